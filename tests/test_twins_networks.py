"""Whole networks and their training, compiled against plain."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

import numba
from fastmlp.kernels import gemm, threads
from fastmlp.kernels import train as compiled

from fastmlp.reference import ids
from fastmlp.reference import train as plain
from tests.compare import assert_within, eps, network_bounds
from tests.nets import HIDDEN, Data, make_data, make_net
from tests.twins import OPTIMIZERS, PRECISION, guarded, optimizer_state, twins

# Kernels are made of LLVM code, which Python cannot run in the compiler's place.
pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="kernels need the compiler")


# Whole networks.

NETWORKS = {
    "no hidden layer": {"widths": [3, 2]},
    "no hidden layer, one output": {"widths": [5, 1], "output": "SIGMOID", "loss": "BCE"},
    "one unit everywhere": {"widths": [1, 1, 1, 1], "hidden": "RELU"},
    "edges": {"widths": [17, 31, 33, 10], "hidden": "RELU", "output": "SOFTMAX", "loss": "CROSS_ENTROPY"},
    "smoothed": {"widths": [4, 16, 3], "output": "SOFTMAX", "loss": "CROSS_ENTROPY", "smoothing": 0.1},
    "no bias": {"widths": [3, 9, 4, 2], "bias": False, "hidden": "SILU"},
    "bias in some layers": {"widths": [3, 8, 1, 3, 2], "bias": [True, False, True, False], "hidden": "GELU"},
    "dropout": {"widths": [3, 65, 20, 2], "hidden": "RELU", "dropout": [0.3, 0.5, 0.0], "training": 1, "row": 5},
    "dropout of identity": {"widths": [3, 8, 2], "hidden": "IDENTITY", "dropout": [0.3, 0.0], "training": 1},
    "dropout not in training": {"widths": [3, 8, 2], "hidden": "RELU", "dropout": [0.3, 0.0]},
    "sum": {"widths": [3, 8, 2], "loss": "SSE"},
    "product with the jacobian": {"widths": [3, 8, 2], "loss": "PRODUCT", "output": "SIGMOID"},
    "product with softmax's jacobian": {"widths": [3, 8, 4], "loss": "PRODUCT", "output": "SOFTMAX"},
    "product by rows": {"widths": [32, 48, 16], "loss": "PRODUCT", "output": "EXP", "hidden": "RELU"},
    "half": {"widths": [3, 8, 2], "loss": "HALF_MSE", "hidden": "IDENTITY"},
    "counts": {"widths": [3, 8, 2], "loss": "POISSON", "output": "EXP", "hidden": "ELU"},
    "softmax with mse": {"widths": [3, 8, 4], "output": "SOFTMAX", "hidden": "MISH"},
    "wider than a panel": {"widths": [3, 8, gemm.KC + 1, 2]},
    "relu wider than a panel": {"widths": [3, 8, gemm.KC + 1, 5], "hidden": "RELU"},
    "parametric": {"widths": [5, 19, 33, 3], "hidden": "MISH", "alphas": True},
    "parametric in some layers": {"widths": [3, 16, 1, 70, 2], "hidden": "RELU", "alphas": [True, True, False], "bias": False},
    "parametric with dropout": {
        "widths": [3, 65, 20, 2],
        "hidden": "SELU",
        "alphas": True,
        "dropout": [0.3, 0.5, 0.0],
        "training": 1,
        "row": 5,
    },
    "bounded output": {"widths": [3, 8, 4], "output": "TANH", "hidden": "SOFTPLUS"},
}
# One row, a few, and more than the tile has; not more than one block, for which see below.
N_ROWS = (1, 5, 29)


def cases(dtype, names=NETWORKS, n_rows=N_ROWS):
    """(network, data) in float64 but with numbers that dtype holds, over all networks, sizes and kinds of weights."""
    for name in names:
        net = make_net(**NETWORKS[name], seed=3, epoch=2).astype(dtype).astype(np.float64)
        for n in n_rows:
            weighted = (n + len(name)) % 2 == 0
            classes = net.loss == "CROSS_ENTROPY" and n != 5
            data = make_data(net, n, classes, weighted)
            yield net, data.astype(dtype).astype(np.float64)


def dense_targets(net, data):
    """The data with one-hot targets instead of class indices, as the bounds need them."""
    y = data.y if data.y.shape[1] == net.n_outputs else np.eye(net.n_outputs)[data.y[:, 0].astype(int)]
    return Data(data.x, y, data.weight)


def run(engine, task, net, data, dtype):
    """An engine's result of a task, in arrays with guards."""
    net, data = net.astype(dtype), data.astype(dtype)
    n, arena = len(data.x), np.full(engine.arena_size(net.table, len(data.x)), np.nan, dtype)
    shapes = {
        "predict": (n, net.n_outputs),
        "activations": (n, int(net.table[:, ids.WIDTH].sum())),
        "value_and_grad": net.params.shape,
        "loss": (0,),
    }
    out, check = guarded(shapes.get(task, data.x.shape), dtype)
    before = net.copy()
    if task in ("predict", "activations"):
        value = getattr(engine, task)(net.table, net.params, data.x, out, arena)
    else:
        target = () if task == "loss" else (out,)
        value = getattr(engine, task)(net.table, net.ints, net.reals, net.params, *data.arrays, *target, arena)
    check()
    for name in ("table", "params", "ints", "reals"):
        np.testing.assert_array_equal(getattr(net, name), getattr(before, name))
    return value, out


@PRECISION
@pytest.mark.parametrize("name", NETWORKS)
def test_network_tasks(name, dtype):
    """predict, activations, loss, value_and_grad and input_gradient, each by the error bounds of its network."""
    for net, data in cases(dtype, [name]):
        quiet = net.copy()
        quiet.ints[ids.TRAINING] = 0
        bounds = network_bounds(quiet, dense_targets(net, data), dtype)
        noisy = network_bounds(net, dense_targets(net, data), dtype)
        results = {}
        for task in ("predict", "activations", "loss", "value_and_grad", "input_gradient"):
            results[task] = [run(compiled, task, net, data, dtype), run(plain, task, net, data, np.float64)]

        def compare(task, bound, part=1, results=results):
            assert_within(results[task][0][part], results[task][1][part], bound)

        compare("predict", bounds.outputs)
        compare("activations", bounds.activations)
        compare("loss", bounds.loss, part=0)
        compare("value_and_grad", noisy.loss, part=0)
        compare("value_and_grad", noisy.grad)
        compare("input_gradient", bounds.d_in)


@PRECISION
@pytest.mark.parametrize("hidden", HIDDEN)
def test_gradient_with_every_activation(hidden, dtype):
    net = make_net([4, 19, 5, 2], hidden).astype(dtype).astype(np.float64)
    data = make_data(net, 9).astype(dtype).astype(np.float64)
    bounds = network_bounds(net, data, dtype)
    (value, grad), (expected, expected_grad) = (
        run(engine, "value_and_grad", net, data, precision) for engine, precision in ((compiled, dtype), (plain, np.float64))
    )
    assert_within(value, expected, bounds.loss)
    assert_within(grad, expected_grad, bounds.grad)


@PRECISION
@pytest.mark.parametrize("alphas", [False, True], ids=["", "parametric"])
def test_gradient_of_more_rows_than_a_block_has(alphas, dtype):
    """Rows go through the network in blocks, whose gradients are summed; their number is no multiple of anything."""
    net = make_net([6, 40, 3], "RELU", dropout=[0.2, 0.0], training=1, alphas=alphas).astype(dtype).astype(np.float64)
    data = make_data(net, 2003, weighted=True).astype(dtype).astype(np.float64)
    bounds = network_bounds(net, data, dtype)
    got, grad = run(compiled, "value_and_grad", net, data, dtype)
    expected, expected_grad = run(plain, "value_and_grad", net, data, np.float64)
    assert_within(got, expected, bounds.loss)
    assert_within(grad, expected_grad, bounds.grad)
    for task in ("predict", "input_gradient"):
        (_, got), (_, expected) = run(compiled, task, net, data, dtype), run(plain, task, net, data, np.float64)
        quiet = net.copy()
        quiet.ints[ids.TRAINING] = 0
        bound = network_bounds(quiet, data, dtype)
        assert_within(got, expected, bound.outputs if task == "predict" else bound.d_in)


@PRECISION
@pytest.mark.parametrize(
    ("widths", "hidden", "rows"),
    [([64, 201, 130, 10], "TANH", 301), ([150, 330, 200, 97], "RELU", 40), ([200, 100, 300, 1], "GELU", 90)],
    ids=["rows shared", "columns shared", "both"],
)
@pytest.mark.parametrize("alphas", [False, True], ids=["", "parametric"])
@pytest.mark.usefixtures("any_threads")
def test_several_threads_give_the_same_bits_and_the_right_ones(widths, hidden, rows, alphas, dtype):
    """A network large enough to be shared among threads, whose parts are uneven."""
    output, loss = ("SOFTMAX", "CROSS_ENTROPY") if widths[-1] > 1 else ("IDENTITY", "MSE")
    net = make_net(widths, hidden, output, loss, batch=rows, shuffle=1, alphas=alphas)
    net, results = net.astype(dtype).astype(np.float64), []
    data = make_data(net, rows, classes=widths[-1] > 1, weighted=True).astype(dtype).astype(np.float64)
    for n in (1, 2, 3):
        threads.set_threads(n)
        value, grad = run(compiled, "value_and_grad", net, data, dtype)
        trained, _, losses = train_run(compiled, net, data, [0.1, 0.1], dtype)
        outputs = run(compiled, "predict", net, data, dtype)[1]
        d_in = run(compiled, "input_gradient", net, data, dtype)[1]
        results.append([value, run(compiled, "loss", net, data, dtype)[0], *losses, grad, outputs, d_in, trained.params])
    for result in results[1:]:
        for x, y in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(x, y)
    bounds = network_bounds(net, dense_targets(net, data), dtype)
    value, grad = run(plain, "value_and_grad", net, data, np.float64)
    assert_within(results[0][0], value, bounds.loss)
    *_, grad_by_us, outputs, d_in, _ = results[0]
    assert_within(grad_by_us, grad, bounds.grad)
    assert_within(outputs, run(plain, "predict", net, data, np.float64)[1], bounds.outputs)
    assert_within(d_in, run(plain, "input_gradient", net, data, np.float64)[1], bounds.d_in)


@PRECISION
@pytest.mark.usefixtures("any_threads")
def test_predictions_with_each_of_several_parameters(dtype):
    """They are those of `predict` with each, in both engines; with scratch for fewer threads as well."""
    net = make_net([6, 130, 70, 3], "SELU").astype(dtype)
    data = make_data(net, 33).astype(dtype)
    params = np.stack([(1 + 0.1 * i) * net.params for i in range(5)])
    threads.set_threads(2)
    kernel, twin = twins("population", "predict_each")
    for size in (1, 2):
        for function, engine in ((kernel, compiled), (twin, plain)):
            out, check = guarded((5, 33, 3), dtype)
            function(net.table, params, data.x, out, np.full(size * engine.arena_size(net.table, 33), np.nan, dtype))
            check()
            for own, answer in zip(params, out, strict=True):
                alone = net.copy()
                alone.params[:] = own
                np.testing.assert_array_equal(answer, run(engine, "predict", alone, data, dtype)[1])


# Training.


def train_run(engine, net, data, rates, dtype, calls=1):
    """Parameters, state, losses and counters after training, in `calls` calls; `rates` are (steps,) or (steps, 3)."""
    net, data = net.astype(dtype), data.astype(dtype)
    n, slots = len(data.x), optimizer_state(net, dtype)
    arena = np.full(engine.arena_size(net.table, n), np.nan, dtype)
    order, losses, finished = np.empty(n, np.int64), np.full(len(rates) + 1, np.nan), 0
    for part in np.array_split(np.asarray(rates, np.float64).reshape(len(rates), -1), calls):
        finished += engine.train_steps(net.table, net.ints, net.reals, net.params, slots, *data.arrays, order, part,
                                       losses[finished:], arena)  # fmt: skip
    assert np.isnan(losses[finished:]).all()
    return net, slots, losses[:finished]


def moved_by_rounding(net, data, rates, dtype):
    """How far the reference's results move when the parameters and inputs are off by an eps of dtype each.

    Errors of a training grow by its own dynamics, whatever they come from, so this measures what one rounding of each
    number does to the result.
    """
    rng = np.random.default_rng(0)
    middle = train_run(plain, net, data, rates, np.float64)
    moved = [0.0, 0.0, 0.0]
    for _ in range(4):
        other, inputs = net.copy(), Data(data.x.copy(), data.y, data.weight)
        for values in (other.params, inputs.x):
            values += eps(dtype) * values * rng.choice([-1, 1], size=values.shape)
        result = train_run(plain, other, inputs, rates, np.float64)
        for i, (x, y) in enumerate(zip((result[0].params, *result[1:]), (middle[0].params, *middle[1:]), strict=True)):
            moved[i] = max(moved[i], np.abs(x - y).max(initial=0))
    return middle, moved


TRAININGS = {
    "sgd": ({"widths": [3, 5, 2], "batch": 4}, 10, False),
    "shuffled": ({"widths": [3, 5, 2], "batch": 4, "shuffle": 1, "seed": 2**40 + 1}, 10, True),
    "batch of one": ({"widths": [3, 5, 1], "batch": 1, "shuffle": 1}, 5, False),
    "full batch": ({"widths": [3, 5, 1], "batch": 1000}, 9, True),
    "no hidden layer": ({"widths": [3, 2], "batch": 4, "shuffle": 1}, 9, True),
    "one unit": ({"widths": [1, 1, 1], "batch": 2, "hidden": "SIGMOID"}, 5, False),
    "no bias": ({"widths": [3, 17, 2], "batch": 3, "bias": False, "hidden": "RELU"}, 10, False),
    "dropout": ({"widths": [3, 70, 9, 2], "batch": 3, "shuffle": 1, "dropout": [0.5, 0.2, 0.0], "training": 1,
                 "hidden": "RELU"}, 10, True),
    "classes": ({"widths": [3, 8, 3], "batch": 4, "output": "SOFTMAX", "loss": "CROSS_ENTROPY", "smoothing": 0.1}, 9, True),
    "sum": ({"widths": [3, 4, 2], "batch": 4, "loss": "SSE"}, 10, True),
    "penalties": ({"widths": [3, 5, 2], "batch": 4, "l1": 0.01, "l2": 0.1, "l2_over_batch": 1, "loss_factor": 0.7,
                   "clip_value": 0.3}, 10, True),
    "penalties on many weights": ({"widths": [40, 300, 20], "batch": 4, "l2": 0.1, "l2_over_batch": 1, "loss_factor": 1.0},
                                  10, False),
    "clipped": ({"widths": [3, 5, 2], "batch": 4, "clip_norm": 0.1, "shuffle": 1}, 10, False),
    "each step": ({"widths": [3, 5, 2], "batch": 4, "shuffle": 1, "each_step": 1}, 10, True),
    "each step of a sum": ({"widths": [3, 5, 2], "batch": 4, "loss": "SSE", "each_step": 1}, 10, False),
}  # fmt: skip
for _name, _fields in OPTIMIZERS.items():
    TRAININGS[_name] = ({"widths": [3, 6, 2], "batch": 4, "shuffle": 1, **_fields, "eps": 1e-3}, 10, False)


@PRECISION
@pytest.mark.parametrize("calls", [1, 3])
@pytest.mark.parametrize("name", TRAININGS)
def test_train_steps(name, calls, dtype):
    fields, n, weighted = TRAININGS[name]
    net = make_net(**{"seed": 3, **fields}).astype(dtype).astype(np.float64)
    data = make_data(net, n, net.loss == "CROSS_ENTROPY", weighted).astype(dtype).astype(np.float64)
    rates = np.linspace(0.02, 0.01, 11)
    (expected, slots, losses), moved = moved_by_rounding(net, data, rates, dtype)
    got, got_slots, got_losses = train_run(compiled, net, data, rates, dtype, calls)
    # Each step rounds again, with as many terms as a product has.
    terms = len(rates) * (net.table[:, ids.FAN_IN].max() + 2)
    for x, y, by in ((got.params, expected.params, moved[0]), (got_slots, slots, moved[1]), (got_losses, losses, moved[2])):
        assert_within(x, y, terms * (by + eps(dtype) * 1e-2))
    np.testing.assert_array_equal(got.ints, expected.ints)
    np.testing.assert_allclose(got.reals, expected.reals, rtol=1e3 * eps(dtype), atol=1e3 * eps(dtype))


SCHEDULED = {
    "decay": ({"widths": [3, 6, 2], "batch": 4, "shuffle": 1, "decay": 9.0}, 10),
    "dropout": ({"widths": [3, 70, 9, 2], "batch": 3, "shuffle": 1, "dropout": [0.5, 0.2, 0.0], "training": 1}, 10),
    "both": ({"widths": [3, 70, 9, 2], "batch": 3, "dropout": [0.5, 0.2, 0.0], "training": 1, "hidden": "RELU"}, 10),
    "many weights": ({"widths": [40, 300, 70, 20], "batch": 4, "dropout": [0.5, 0.2, 0.0], "training": 1}, 10),
    "many rows": ({"widths": [3, 6, 2], "batch": 100, "dropout": [0.5, 0.0], "training": 1, "hidden": "RELU"}, 130),
    "narrow": ({"widths": [3, 6, 2], "batch": 100}, 130),
    "factors": ({"widths": [3, 6, 2], "batch": 4, "factors": 1, **OPTIMIZERS["adam"], "eps": 1e-3}, 10),
}


@PRECISION
@pytest.mark.parametrize("name", SCHEDULED)
def test_train_steps_with_a_weight_decay_and_a_factor_of_dropout_for_each(name, dtype):
    """DECAY does not matter then; a factor of 0 is no dropout."""
    fields, n = SCHEDULED[name]
    net = make_net(**{"seed": 3, **fields}).astype(dtype).astype(np.float64)
    data = make_data(net, n).astype(dtype).astype(np.float64)
    rates = np.column_stack([np.linspace(0.02, 0.01, 11), np.linspace(3.0, 0.0, 11), np.linspace(1.0, 0.0, 11)])
    (expected, slots, losses), moved = moved_by_rounding(net, data, rates, dtype)
    for calls in (1, 3):
        got, got_slots, got_losses = train_run(compiled, net, data, rates, dtype, calls)
        terms = len(rates) * (net.table[:, ids.FAN_IN].max() + 2)
        for x, y, by in ((got.params, expected.params, moved[0]), (got_slots, slots, moved[1]), (got_losses, losses, moved[2])):
            assert_within(x, y, terms * (by + eps(dtype) * 1e-2))
        np.testing.assert_array_equal(got.ints, expected.ints)
        np.testing.assert_array_equal(got.reals[ids.N_REALS :], net.reals[ids.N_REALS :])
        assert got.reals[ids.DECAY] == net.reals[ids.DECAY]


@pytest.mark.parametrize("widths", [[3, 5, 2], [40, 300, 20]])
def test_the_parameters_after_each_epoch(widths):
    net, rates = make_net(widths, batch=4), np.full(8, 0.1)
    data = make_data(net, 10)
    for engine in (compiled, plain):
        trained, slots, order = net.copy(), optimizer_state(net, np.float64), np.empty(10, np.int64)
        copies, losses = np.zeros((3, net.params.size)), np.empty(4)
        arena = np.empty(engine.arena_size(net.table, 10))
        engine.train_steps(trained.table, trained.ints, trained.reals, trained.params, slots, *data.arrays, order,
                           rates[:, np.newaxis], losses, arena, copies)  # fmt: skip
        one = train_run(engine, net.copy(), data, rates[:3], np.float64)[0]
        two = train_run(engine, net.copy(), data, rates[:6], np.float64)[0]
        np.testing.assert_array_equal(copies[:2], [one.params, two.params])
        assert not copies[2].any()


@PRECISION
def test_training_ends_after_an_epoch_whose_loss_is_not_finite(dtype):
    net = make_net([3, 4, 2], "RELU", batch=2, dtype=dtype)
    data = make_data(net, 6)
    rates = np.full(40, 1e30 if dtype == np.float32 else 1e250)
    ends = [train_run(engine, net, data, rates, dtype) for engine in (compiled, plain)]
    for end, _, losses in ends:
        assert 0 < len(losses) < 10
        assert not np.isfinite(losses[-1])
        assert np.isfinite(losses[:-1]).all()
        assert end.ints[ids.STEP] == 3 * len(losses)
    np.testing.assert_array_equal(ends[0][0].ints, ends[1][0].ints)


@PRECISION
def test_training_ends_after_a_step_whose_loss_is_not_finite_where_each_is_told(dtype):
    net = make_net([3, 4, 2], "RELU", batch=2, dtype=dtype, each_step=1)
    data = make_data(net, 60)
    rates = np.full(40, 1e30 if dtype == np.float32 else 1e250)
    for engine in (compiled, plain):
        end, _, losses = train_run(engine, net, data, rates, dtype)
        assert 0 < len(losses) < 30
        assert not np.isfinite(losses[-1])
        assert np.isfinite(losses[:-1]).all()
        assert end.ints[ids.STEP] == len(losses)


@PRECISION
def test_weights_that_sum_to_zero(dtype):
    net = make_net([3, 4, 2], batch=2, dtype=dtype)
    data = make_data(net, 6)
    data.weight = np.zeros(6, dtype)
    for engine in (compiled, plain):
        value, grad = run(engine, "value_and_grad", net, data, dtype)
        assert value == 0
        assert not grad.any()
        end, _, losses = train_run(engine, net, data, [0.1] * 3, dtype)
        assert losses.tolist() == [0]
        np.testing.assert_array_equal(end.params, net.params)
