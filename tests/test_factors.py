"""Factors of the learning rate for each layer, the neural tangent parametrisation, and a scale for each input."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import fastmlp as fm
from fastmlp.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop
from fastmlp.reference import ids
from fastmlp.reference import optim as plain
from tests.compare import assert_close
from tests.compiler import needs_compiler
from tests.nets import make_net
from tests.oracle import ACTIVATIONS
from tests.problems import numbers

BETA1, BETA2 = 0.9, 0.95


def regressor(dtype="float32") -> fm.MLP:
    """Three layers on the inputs of `numbers`."""
    return fm.MLP([4, 12, 5, 1], activation="tanh", dtype=dtype, seed=3)


class AdamByHand:
    """Adam on one array, as in the paper's algorithm 1."""

    def __init__(self, lr, eps=1e-8):
        self.lr, self.eps, self.t, self.m, self.v = lr, eps, 0, 0.0, 0.0

    def step(self, p, g):
        self.t += 1
        self.m = BETA1 * self.m + (1 - BETA1) * g
        self.v = BETA2 * self.v + (1 - BETA2) * g * g
        m, v = self.m / (1 - BETA1**self.t), self.v / (1 - BETA2**self.t)
        return p - self.lr * m / (np.sqrt(v) + self.eps)


def slope(activation, z, h=1e-6):
    return (ACTIVATIONS[activation](z + h) - ACTIVATIONS[activation](z - h)) / (2 * h)


def train_by_hand(net, X, y, steps, lr, scale_factor, bias_factor, eps, decay, scale_decay):
    """Least squares with a layer of scales and weights / sqrt(fan_in), every parameter of its own; returns what it predicts.

    Nothing is folded into anything: x -> s x -> (s x) V1 / sqrt(d) + b1 -> ...
    """
    V = [w * np.sqrt(len(w)) for w in net.weights]
    b = [bias.copy() for bias in net.biases]
    s = np.ones(X.shape[1])
    move_s = AdamByHand(scale_factor * lr, eps)
    move_v, move_b = ([AdamByHand(factor * lr, eps) for _ in V] for factor in (1.0, bias_factor))
    names = [dense.activation for dense in net.layers]

    def forward(X):
        inputs, logits = [X * s], []
        for w, bias, name in zip(V, b, names, strict=True):
            logits.append(inputs[-1] @ w / np.sqrt(len(w)) + bias)
            inputs.append(ACTIVATIONS[name](logits[-1]))
        return inputs, logits

    for _ in range(steps):
        inputs, logits = forward(X)
        delta = 2 * (inputs[-1] - y) / y.size
        gradients = []
        for layer in range(len(V) - 1, -1, -1):
            delta = delta * slope(names[layer], logits[layer])
            root = np.sqrt(len(V[layer]))
            gradients.append((layer, inputs[layer].T @ delta / root, delta.sum(axis=0)))
            delta = delta @ V[layer].T / root
        s_slope = (X * delta).sum(axis=0) * (1 - lr * decay)  # V decays before it
        for layer, dv, db in gradients:
            V[layer] = move_v[layer].step(V[layer] * (1 - lr * decay), dv)
            b[layer] = move_b[layer].step(b[layer], db)
        s = move_s.step(s * (1 - lr * decay * scale_decay), s_slope)
    return forward(X)[0][-1]


@pytest.mark.parametrize("eps", [1e-8, 1e-2])
@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_it_is_a_layer_of_scales_before_weights_in_the_neural_tangent_parametrisation(engine, eps, decay) -> None:
    """Folding s and 1 / sqrt(fan_in) into the weights changes nothing but rounding; eps is large enough to matter once."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 5)), rng.normal(size=(40, 2))
    X[:, 3] = 0.0  # a constant column, whose scale has no gradient
    net = fm.MLP([5, 9, 7, 2], activation="mish", dtype="float64", seed=1)
    for bias in net.biases:
        bias[...] = rng.normal(size=bias.shape)
    options = {"scale_factor": 6.0, "bias_factor": 0.1, "scale_decay": 4.0}
    expected = train_by_hand(net, X, y, 30, lr=0.01, eps=eps, decay=decay, **options)
    optimizer = Adam(0.01, BETA1, BETA2, eps, ntk=True, weight_decay=decay, **options)
    net.fit(X, y, epochs=30, batch_size=None, optimizer=optimizer)
    np.testing.assert_allclose(net.predict(X), expected, atol=1e-6)  # by_hand takes f' from differences


@needs_compiler
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 3, 8, 17, 40])
@pytest.mark.parametrize("eps_hat", [0, 1])
def test_update_matches_reference(n, eps_hat, dtype) -> None:
    kernels = pytest.importorskip("fastmlp.kernels.optim")
    results = []
    for update in (kernels.update, plain.update):
        net = make_net([5, n, 3], bias=[True, False], alphas=True, dtype=dtype, optimizer="ADAM", beta1=BETA1, beta2=BETA2,
                       eps=1e-3, eps_hat=eps_hat, factors=1, scale_rate=2.0, decay=0.1, scale_decay=3.0)  # fmt: skip
        blocks = net.reals[ids.N_REALS :].reshape(ids.LAYER_BLOCKS, 2)
        blocks[[ids.WEIGHT_RATE, ids.BIAS_RATE, ids.WEIGHT_EPS]] = [[0.5, 0.25], [0.1, 0.2], [3.0, 2.0]]
        blocks[ids.ALPHA_RATE] = 0.3, 0.4
        scales = np.zeros((ids.SCALE_BLOCKS, 5))
        scales[ids.SCALE] = [1.0, -2.0, 0.5, -0.1, 1.0]
        reals = np.concatenate([net.reals, scales.ravel()])
        slots = np.zeros((2, net.params.size), dtype)
        for i in range(5):
            grad = np.random.default_rng(i).normal(size=net.params.size).astype(dtype)
            grad[4 * n : 5 * n] = 0.0
            update(net.table, net.ints, reals, net.params, slots, grad, 0.1)
        results.append((net.params, slots, reals.astype(dtype)))
    (params, slots, reals), (expected, expected_slots, expected_reals) = results
    # The slope of a scale is a sum of n products, which may cancel, by a scale.
    assert_close(reals, expected_reals, np.abs(expected_reals) + 10.0, errors=8 + n)
    assert_close(params, expected, np.abs(expected) + 10.0, errors=8 + n)
    assert_close(slots, expected_slots, np.abs(expected_slots) + 1.0, errors=8 + n)


def test_a_scale_goes_through_zero(engine) -> None:
    """The best scale of the second input is negative: steps this long take it there within a few."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(64, 2))
    net = fm.MLP([2, 4, 1], activation="identity", dtype="float64", seed=0)
    net.weights[0][...] = np.abs(net.weights[0])
    net.weights[1][...] = np.abs(net.weights[1])
    before = net.weights[0].copy()
    optimizer = Adam(0.02, scale_factor=10.0, weight_factor=0.0)
    net.fit(X, X[:, :1] - X[:, 1:], epochs=300, batch_size=None, optimizer=optimizer)
    scales = net.weights[0] / before
    np.testing.assert_allclose(scales, scales[:, :1] * np.ones(4), rtol=1e-8)  # V stayed, W is s V
    assert scales[0, 0] > 0 > scales[1, 0]
    assert net._state.reals[-6:-4] == pytest.approx(scales[:, 0])
    assert net.history.loss[-1] < 1e-3


@pytest.mark.parametrize("make", [SGD, Adam, RMSprop, Adagrad, AdamW])
def test_a_factor_is_a_learning_rate_of_its_own(engine, make) -> None:
    """One step with factors moves each part as far as one with the learning rate times its factor."""
    X, y = numbers(30)
    weights, biases = (0.5, 0.0, 2.0), (0.1, 3.0, 0.0)
    plain = {"weight_decay": 0.0} if make is AdamW else {}
    net = regressor(dtype="float64")
    before = net.copy()
    net.fit(X, y, epochs=1, batch_size=None, optimizer=make(0.01, weight_factor=weights, bias_factor=biases, **plain))
    for layer in range(3):
        for parts, factor in (("weights", weights[layer]), ("biases", biases[layer])):
            other = before.copy()
            if factor:
                other.fit(X, y, epochs=1, batch_size=None, optimizer=make(0.01 * factor, **plain))
            np.testing.assert_allclose(getattr(net, parts)[layer], getattr(other, parts)[layer], rtol=1e-12)


def test_one_factor_is_for_all_layers() -> None:
    X, y = numbers(30)
    one, each = regressor(), regressor()
    one.fit(X, y, epochs=2, optimizer=Adam(weight_factor=0.5, bias_factor=0.1))
    each.fit(X, y, epochs=2, optimizer=Adam(weight_factor=[0.5] * 3, bias_factor=np.full(3, 0.1)))
    assert (one.params == each.params).all()


@pytest.mark.parametrize("lr", [0.01, fm.schedules.CosineLog(0.01)])  # the second one begins with a rate of 0
def test_factors_of_one_change_nothing(lr, engine) -> None:
    """Of weights, biases and activations' own parameters alike."""
    X, y = numbers(30)
    layers = [4, fm.Dense(6, "tanh"), fm.Dense(5, "silu", parametric=True), 1]
    plain, ones = (fm.MLP(layers, dtype="float64", seed=3) for _ in range(2))
    plain.fit(X, y, epochs=4, batch_size=8, optimizer=Adam(lr))
    ones.fit(X, y, epochs=4, batch_size=8, optimizer=Adam(lr, weight_factor=(1.0, 1.0, 1.0)))
    np.testing.assert_allclose(plain.params, ones.params, rtol=1e-12)


OPTIMIZER = Adam(0.02, ntk=True, scale_factor=6.0, bias_factor=0.1)


@pytest.mark.usefixtures("any_threads")
def test_bits_do_not_depend_on_threads() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 40)), rng.normal(size=(300, 1))
    results = []
    for n in (1, 2, 3):
        fm.set_threads(n)
        net = fm.MLP([40, 300, 130, 1], activation="mish")
        net.fit(X, y, epochs=3, batch_size=256, optimizer=OPTIMIZER)
        results.append((net.params, net._state.reals))
    for params, reals in results[1:]:
        assert (params == results[0][0]).all()
        assert (reals == results[0][1]).all()


def test_training_goes_on_from_a_copy_and_in_parts() -> None:
    X, y = numbers(40)
    whole, parts = regressor(), regressor()
    whole.fit(X, y, epochs=4, optimizer=OPTIMIZER)
    parts.fit(X, y, epochs=2, optimizer=OPTIMIZER)
    for again in (parts, copy.deepcopy(parts), pickle.loads(pickle.dumps(parts))):
        again.fit(X, y, epochs=2, optimizer=OPTIMIZER)
        assert (again.params == whole.params).all()
        assert (again._state.reals == whole._state.reals).all()


def test_scales_start_at_one_with_another_kind_of_state() -> None:
    X, y = numbers(40)
    net = regressor()
    net.fit(X, y, epochs=2, optimizer=OPTIMIZER)
    n = net.plan.n_inputs
    assert net._state.reals.size == ids.N_REALS + ids.LAYER_BLOCKS * 3 + ids.SCALE_BLOCKS * n
    assert not (net._state.reals[-3 * n : -2 * n] == 1.0).any()
    net.fit(X, y, epochs=1, optimizer=Adam())
    assert net._state.reals.size == ids.N_REALS + ids.LAYER_BLOCKS * 3
    net._state.use(OPTIMIZER)
    assert net._state.reals[-3 * n :].tolist() == [1.0] * n + [0.0] * 2 * n


def test_factors_for_another_number_of_layers_are_refused_before_anything_changes() -> None:
    X, y = numbers(40)
    net = regressor()
    net.fit(X, y, epochs=1, optimizer="sgd")
    before = net.params.copy(), net._state.ints.copy(), net._state.reals.copy()
    with pytest.raises(ValueError, match=r"bias_factor has 2 numbers, but the network has 3 layers. Pass one for each."):
        net.fit(X, y, optimizer=Adam(bias_factor=(0.1, 0.2)))
    for now, then in zip((net.params, net._state.ints, net._state.reals), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"weight_factor": -1.0}, ValueError, "weight_factor must be"),
        ({"bias_factor": (0.1, -2.0)}, ValueError, r"bias_factor\[1\] must be"),
        ({"bias_factor": "much"}, TypeError, "bias_factor must be"),
        ({"scale_factor": 0.0}, ValueError, "scale_factor must be"),
        ({"scale_factor": 6.0, "amsgrad": True}, ValueError, "scale_factor has no amsgrad form. Leave one of them out."),
        ({"ntk": "yes"}, TypeError, "ntk must be"),
    ],
)
def test_wrong_factors_are_refused(arguments, error, message) -> None:
    with pytest.raises(error, match=message):
        Adam(**arguments)


def test_drop_last_leaves_out_the_rows_behind_the_last_whole_batch(engine) -> None:
    X, y = numbers(50)
    net, by_hand = regressor(dtype="float64"), regressor(dtype="float64")
    history = net.fit(X, y, epochs=3, batch_size=16, shuffle=False, drop_last=True, optimizer="sgd")
    by_hand.fit(X[:48], y[:48], epochs=3, batch_size=16, shuffle=False, optimizer="sgd")
    assert net._state.ints[ids.STEP] == 9
    assert history.loss == pytest.approx(by_hand.history.loss)
    np.testing.assert_allclose(net.params, by_hand.params, rtol=1e-12)


def test_drop_last_with_fewer_rows_than_a_batch_takes_them_all() -> None:
    X, y = numbers(10)
    net, other = regressor(), regressor()
    net.fit(X, y, epochs=2, batch_size=64, drop_last=True)
    other.fit(X, y, epochs=2, batch_size=64)
    assert (net.params == other.params).all()


def test_drop_last_shuffles_all_rows(engine) -> None:
    """Each epoch leaves out others; both engines the same ones."""
    X = np.eye(10)
    net = fm.MLP([10, 1], dtype="float64", init="zeros")
    net.fit(X, np.ones(10), epochs=50, batch_size=8, drop_last=True, optimizer=SGD(0.5))
    assert (net.weights[0] > 0.05).all()


def test_a_population_refuses_them() -> None:
    X, y = numbers(40)
    pop = fm.Population([4, 3, 1], size=2)
    for optimizer in (SGD(bias_factor=0.1), OPTIMIZER):
        with pytest.raises(ValueError, match="a population has one learning rate for all of a network"):
            pop.fit(X, y, optimizer=optimizer)


@pytest.mark.parametrize(
    "make",
    [
        lambda **factors: SGD(0.05, momentum=0.9, **factors),
        lambda **factors: SGD(0.05, momentum=0.9, nesterov=True, weight_decay=0.1, **factors),
        lambda **factors: AdamW(0.05, **factors),
        lambda **factors: RMSprop(0.05, weight_decay=0.1, l1=0.1, **factors),
        lambda **factors: Adagrad(0.05, weight_decay=0.1, l2=0.1, **factors),
    ],
)
def test_a_factor_of_0_freezes(make, engine) -> None:
    """Whatever moved before: neither weight decay nor what is left of a momentum changes it."""
    X, y = numbers(60)
    net = regressor("float64")
    net.fit(X, y, epochs=3, optimizer=make())
    weights, biases = [w.copy() for w in net.weights], [b.copy() for b in net.biases]
    net.fit(X, y, epochs=3, optimizer=make(weight_factor=(0.0, 1.0, 0.0), bias_factor=(1.0, 0.0, 1.0)))
    for layer, frozen in enumerate((True, False, True)):
        assert np.array_equal(net.weights[layer], weights[layer]) == frozen
        assert np.array_equal(net.biases[layer], biases[layer]) != frozen
