"""Every kernel of a step beside the layers against its twin: losses, optimizers, random numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("numba")

import numba
from fastmlp.kernels import population
from fastmlp.kernels import train as compiled

from fastmlp.reference import ids
from fastmlp.reference import train as plain
from tests.compare import assert_close
from tests.nets import ACTIVATIONS, LOSSES, PARTNER, make_net, make_targets, number
from tests.twins import OPTIMIZERS, PRECISION, guarded, lanes, normal, optimizer_state, twins

# Kernels are made of LLVM code, which Python cannot run in the compiler's place.
pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="kernels need the compiler")


# Losses.


@PRECISION
@pytest.mark.parametrize(("loss", "output"), [(x, y) for x in LOSSES for y in ACTIVATIONS if PARTNER.get(x, y) == y])
def test_loss_and_delta(loss, output, dtype):
    kernel, twin = twins("loss", "loss_and_delta")
    rng = np.random.default_rng(0)
    param = 0.7 if loss in ("HUBER", "QUANTILE") else 0.0
    for k in (1, 2, 10, lanes(dtype) + 1):
        for n in (0, 1, 5):
            for classes, smoothing in [(False, 0.0), (True, 0.0), (False, 0.1), (True, 0.1)]:
                if (loss != "CROSS_ENTROPY" and (classes or smoothing)) or (classes and k == 1):
                    continue
                z, y = rng.normal(size=(n, k)).astype(dtype), make_targets(loss, n, k, rng, classes).astype(dtype)
                scales = rng.random(n).astype(dtype)
                (rows, check_rows), (delta, check_delta) = guarded(n, dtype), guarded((n, k), dtype)
                kernel(number(loss), number(output), param, smoothing, z.copy(), y, scales, rows, delta)
                check_rows()
                check_delta()
                expected, d = np.empty(n), np.empty((n, k))
                wide = [v.astype(np.float64) for v in (z, y, scales)]
                twin(number(loss), number(output), param, smoothing, *wide, expected, d)
                # Values are squares at most, of outputs that are at most e^z.
                size = np.maximum(np.exp(np.abs(wide[0])), 1) + np.abs(y).max(axis=1, keepdims=True, initial=1)
                assert_close(rows, expected, 2 * (size**2).sum(axis=1), errors=4)
                assert_close(delta, d, scales[:, None] * size**2, errors=(k + 8))


@PRECISION
@pytest.mark.parametrize("loss", ["CROSS_ENTROPY", "BCE"])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_row_or_an_element_of_it_counts_no_more_than_the_limit(loss, k, dtype):
    """Its derivative is what it is without one."""
    z = np.repeat(np.array([[-50], [-0.5], [0], [3], [200], [np.inf], [np.nan]], dtype), k, axis=1)
    z[:, 1:] = 1
    y = np.zeros_like(z)
    y[:, 0] = 1
    for function in twins("loss", "loss_and_delta"):
        (free, d), (held, same) = [(np.empty(len(z), dtype), np.empty_like(z)) for _ in range(2)]
        for limit, rows, delta in ((0.0, free, d), (2.0, held, same)):
            function(number(loss), number(PARTNER[loss]), limit, 0.0, z.copy(), y, np.ones_like(rows), rows, delta)
        np.testing.assert_array_equal(d, same)
        if loss == "CROSS_ENTROPY":
            expected = np.minimum(free, 2)
        else:
            with np.errstate(invalid="ignore"):  # infinity less infinity
                expected = np.minimum(np.logaddexp(0, z.astype(float)) - y * z, 2).mean(axis=1)
        assert_close(held, expected, 4, errors=4)
        assert (loss == "CROSS_ENTROPY" and k == 1) or free[0] > 15


@PRECISION
def test_losses_of_logits_far_out(dtype):
    kernel, twin = twins("loss", "loss_and_delta")
    limit = 80 if dtype == np.float32 else 700
    z = np.array([[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4], [limit, limit + 1]], dtype)
    y = np.array([[1, 0], [1, 0], [0.5, 0.5], [3, 0]], dtype)
    for loss, output in PARTNER.items():
        part = slice(3, 4) if loss == "POISSON" else slice(0, 4)
        results = []
        for function in (kernel, twin):
            rows, delta = np.empty(len(z[part]), dtype), np.empty_like(z[part])
            function(number(loss), number(output), 0.0, 0.0, z[part].copy(), y[part], np.ones_like(rows), rows, delta)
            results.append((rows, delta))
        (rows, delta), (expected, d) = results
        # The logits' own rounding is in the value.
        assert_close(rows, expected, np.abs(expected) + np.abs(z[part]).max(axis=1), errors=4)
        assert_close(delta, d, np.maximum(1, np.abs(d)), errors=100 if loss == "POISSON" else 4)


@PRECISION
@pytest.mark.parametrize("loss", ["MAE", "HUBER", "QUANTILE"])
def test_losses_at_their_kinks(loss, dtype):
    y = np.zeros((5, 1), dtype)
    z = np.array([[0], [-0.0], [0.5], [-0.5], [np.nextafter(dtype(0.5), dtype(1))]], dtype)
    results = []
    for function in twins("loss", "loss_and_delta"):
        rows, delta = np.empty(5, dtype), np.empty((5, 1), dtype)
        function(number(loss), ids.IDENTITY, 0.5, 0.0, z.copy(), y, np.ones(5, dtype), rows, delta)
        results.append((rows, delta))
    np.testing.assert_array_equal(results[0][1], results[1][1])
    assert_close(results[0][0], results[1][0])


@PRECISION
@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss != "PRODUCT"])  # whose derivative by p is y
def test_loss_of_nan_is_nan(loss, dtype):
    kernel, _ = twins("loss", "loss_and_delta")
    for k in (1, 3):
        z, y = np.zeros((2, k), dtype), np.ones((2, k), dtype)
        z[0, 0] = np.nan
        rows, delta = np.zeros(2, dtype), np.zeros((2, k), dtype)
        kernel(number(loss), number(PARTNER.get(loss, "IDENTITY")), 0.7, 0.0, z, y, np.ones(2, dtype), rows, delta)
        assert np.isnan(rows).tolist() == [True, False]
        assert np.isnan(delta[:, 0]).tolist() == [True, False]


# Optimizers.


@PRECISION
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_update(name, dtype):
    """The formulas are short, and both engines round them alike but for the order of a few products."""
    kernel, twin = twins("optim", "update")
    results = []
    for function in (kernel, twin):
        net = make_net([7, 5, 3], bias=[True, False], dtype=dtype, **OPTIMIZERS[name])
        slots = optimizer_state(net, dtype)
        for i in range(5):
            function(net.table, net.ints, net.reals, net.params, slots, normal(net.params.size, dtype, seed=i), 0.1)
        results.append((net, slots))
    (got, slots), (expected, expected_slots) = results
    assert_close(got.params, expected.params, np.abs(expected.params) + 5 * 0.1, errors=4)
    assert_close(slots, expected_slots, np.abs(expected_slots) + 0.1, errors=4)
    np.testing.assert_array_equal(got.reals, expected.reals)


@PRECISION
@pytest.mark.parametrize("name", ["adam", "amsgrad", "eps_hat", "rmsprop", "adagrad"])
def test_a_gradient_whose_square_is_infinite_moves_nothing(name, dtype):
    """What is divided by its root is divided by an infinite number, also where the root begins with an estimate."""
    huge = dtype(np.sqrt(np.finfo(dtype).max)) * 8
    kernel, twin = twins("optim", "update")
    for function in (kernel, twin):
        net = make_net([7, 5, 3], dtype=dtype, **OPTIMIZERS[name])
        slots, before = optimizer_state(net, dtype), net.params.copy()
        with np.errstate(over="ignore"):
            function(net.table, net.ints, net.reals, net.params, slots, np.full(net.params.size, huge), 0.1)
        np.testing.assert_array_equal(net.params, before)


CONDITIONS = {
    "none": {},
    "l1": {"l1": 0.1},
    "l2": {"l2": 0.2},
    "l2 over batch": {"l2": 0.2, "l2_over_batch": 1},
    "value": {"clip_value": 0.5},
    "norm": {"clip_norm": 0.5},
    "long enough norm": {"clip_norm": 1e3},
    "all": {"l1": 0.1, "l2": 0.2, "clip_value": 0.5, "clip_norm": 0.5},
}


@PRECISION
@pytest.mark.parametrize("name", CONDITIONS)
def test_condition(name, dtype):
    kernel, twin = twins("optim", "condition")
    for weight_sum in (0.0, 3.5):
        results = []
        for function in (kernel, twin):
            net = make_net([7, 5, 3], dtype=dtype, **CONDITIONS[name])
            net.params[:4] = 0  # where the sign is 0
            grad = normal(net.params.size, dtype)
            function(net.table, net.ints, net.reals, net.params, grad, weight_sum)
            results.append(grad)
        # The norm is a sum of squares.
        errors = 4 + net.params.size * ("norm" in name or name == "all")
        assert_close(*results, np.abs(results[1]) + 0.2, errors=errors)


@PRECISION
@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_norm_of_large_and_small_gradients(size, dtype):
    for function in twins("optim", "condition"):
        net = make_net([2, 1], clip_norm=size, dtype=dtype)
        grad = np.array([3 * size, 4 * size, 0], dtype)
        function(net.table, net.ints, net.reals, net.params, grad, 0.0)
        assert_close(grad / dtype(size), np.array([0.6, 0.8, 0]), errors=8)


@PRECISION
def test_norm_of_the_largest_gradients(dtype):
    """One over the largest element, and the factor, are no normal numbers then, and compiled code flushes such to zero."""
    size = float(np.finfo(dtype).max) / 8
    for function in twins("optim", "condition"):
        net = make_net([2, 1], clip_norm=1.0, dtype=dtype)
        grad = np.array([3 * size, 4 * size, 0], dtype)
        function(net.table, net.ints, net.reals, net.params, grad, 0.0)
        assert_close(grad, np.array([0.6, 0.8, 0]), errors=8)


@PRECISION
def test_norm_of_the_largest_gradients_of_a_population(dtype):
    """As above, in a pack: the target is so far off that all but the first network's gradients are that large."""
    size = float(np.finfo(dtype).max) / 8
    for function in twins("population", "train_population"):
        net = make_net([2, 1], loss="SSE", batch=1, clip_norm=1.0, dtype=dtype)
        ints, reals, params = (np.stack([numbers] * 20) for numbers in (net.ints, net.reals, 0 * net.params))
        reals[0, ids.CLIP_NORM] = 0.0
        x, y = np.array([[3, 4]], dtype), np.full((20, 1, 1), -size / 4, dtype)
        y[0] = -0.5
        slots, losses = np.empty((20, 0, params.shape[1]), dtype), np.empty((1, 20))
        arena = np.empty(population.population_arena_size(net.table, 20, 0, 1), dtype)
        function(net.table, ints, reals, params, slots, x, y, np.empty((0, 1), dtype), np.ones(1), np.ones(20), losses, arena)
        assert_close(params[0], np.array([-3, -4, -1]), errors=8)
        assert_close(params[1:], np.array([[-3, -4, -1]] * 19) / math.sqrt(26), errors=8)


@PRECISION
def test_gradient_that_is_not_finite_is_not_clipped_by_norm(dtype):
    for values in ([3, np.nan, 1], [3, np.inf, 1], [0, 0, 0]):
        for function in twins("optim", "condition"):
            net = make_net([2, 1], clip_norm=0.5, dtype=dtype)
            grad = np.array(values, dtype)
            function(net.table, net.ints, net.reals, net.params, grad, 0.0)
            np.testing.assert_array_equal(grad, np.array(values, dtype))


@PRECISION
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_step(name, dtype):
    results = []
    for engine in (compiled, plain):
        net = make_net([7, 5, 3], dtype=dtype, l2=0.1, l1=0.01, clip_norm=1.0, **OPTIMIZERS[name])
        slots = optimizer_state(net, dtype)
        for i in range(3):
            grad = normal(net.params.size, dtype, seed=i)
            engine.step(net.table, net.ints, net.reals, net.params, slots, grad, 0.1)
        results.append(net)
    got, expected = results
    assert_close(got.params, expected.params, np.abs(expected.params) + 0.3, errors=net.params.size)
    np.testing.assert_array_equal(got.ints, expected.ints)


# Random numbers, bit for bit.


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**40 + 5, 2**63 - 1, -1])
@pytest.mark.parametrize("epoch", [0, 7, 2**32 - 1])
def test_permutation_is_the_same(seed, epoch):
    for n in (0, 1, 2, 3, 4, 5, 6, 64, 997):
        orders = []
        for function in twins("rng", "permutation"):
            order = np.full(n, -1, np.int64)
            function(seed, epoch, order)
            orders.append(order)
        np.testing.assert_array_equal(*orders)


@PRECISION
@pytest.mark.parametrize("width", [1, 7, 8, 9, 63, 64, 65, 130])
def test_dropout_mask_is_the_same(width, dtype):
    for seed, epoch, row, layer, rate in [(0, 0, 0, 0, 0.5), (2**40 + 5, 3, 1000, 2, 0.1), (-1, 2**31, 5, 7, 0.99)]:
        for rows in (0, 1, 5):
            masks = []
            for function in twins("rng", "dropout_mask"):
                mask, check = guarded((rows, width), dtype)
                function(seed, epoch, row, layer, rate, mask)
                check()
                masks.append(mask)
            np.testing.assert_array_equal(*masks)
