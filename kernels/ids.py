"""The numbers by which Python names things to the kernels; the same as in fastmlp/reference/ids.py, as a test checks."""

# Columns of the layer table, one row per layer; those from NUMBERS on are an embedding's.
FAN_IN, WIDTH, ACTIVATION, HAS_BIAS, OFFSET, HAS_ALPHA, NUMBERS, CODES, ENTRIES, SIZE, WAVES, PARTS, COLUMNS = range(13)

# Activations.
(
    IDENTITY,
    RELU,
    LEAKY_RELU,
    ELU,
    SELU,
    GELU,
    GELU_TANH,
    SILU,
    MISH,
    SOFTPLUS,
    TANH,
    SIGMOID,
    HARD_SIGMOID,
    HARD_SWISH,
    SOFTMAX,
    EXP,
) = range(16)
# Numbers of activations that are no part of the engine, and how many of them there may be.
FIRST_CUSTOM, MOST_CUSTOM = 100, 16384

# In the place of an activation: the first row is an embedding's, which stands before the layers.
EMBEDDING = 99

# Losses.
CROSS_ENTROPY, BCE, MSE, SSE, HALF_MSE, MAE, HUBER, POISSON, QUANTILE, PRODUCT = range(10)

# Optimizers.
SGD, ADAM, RMSPROP, ADAGRAD = range(4)

# Run.ints: one training run's whole numbers.
(
    BATCH,
    SHUFFLE,
    SHUFFLE_SEED,
    SEED,
    EPOCH,
    ROW,
    STEP,
    LOSS,
    OPTIMIZER,
    NESTEROV,
    AMSGRAD,
    EPS_HAT,
    TRAINING,
    L2_OVER_BATCH,
    EACH_STEP,
    DROP_LAST,
    FACTORS,
    CHECK_FINITE,
    WINDOW,
    N_INTS,
) = range(20)

# Run.reals: one training run's real numbers, float64.
(
    L1,
    L2,
    DECAY,
    CLIP_VALUE,
    CLIP_NORM,
    BETA1,
    BETA2,
    EPS,
    BETA1_POWER,
    BETA2_POWER,
    LOSS_PARAM,
    SMOOTHING,
    LOSS_SUM,
    WEIGHT_SUM,
    LOSS_FACTOR,
    SCALE_RATE,
    SCALE_DECAY,
    N_REALS,
) = range(18)

# Behind them, blocks of one number for each layer: dropout; and with FACTORS what the learning rates of weights, biases and
# alphas and the weights' eps are multiplied by.
DROPOUT, WEIGHT_RATE, BIAS_RATE, ALPHA_RATE, WEIGHT_EPS, LAYER_BLOCKS = range(6)
# With SCALE_RATE > 0, behind those, blocks of one number for each input: its scale, and Adam's two moments of it.
SCALE, SCALE_M, SCALE_V, SCALE_BLOCKS = range(4)

# Operations of a tape of scalars. OP_POWER has a constant exponent, OP_SQUARE the exponent 2.
(
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_POW,
    OP_POWER,
    OP_SQUARE,
    OP_NEG,
    OP_EXP,
    OP_LOG,
    OP_TANH,
    OP_SIGMOID,
    OP_RELU,
    OP_SIN,
    OP_COS,
    OP_ABS,
    OP_LOG1P,
) = range(17)
