"""Every kernel against its twin in the reference, on shapes around the edges."""

from __future__ import annotations

import ast
import inspect
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

import numba
from fastmlp.kernels import gemm, simd, threads, tile
from fastmlp.kernels import train as compiled

from fastmlp import kernels, reference
from fastmlp.reference import ids
from fastmlp.reference import train as plain
from tests.compare import assert_close, assert_product, assert_within, eps, network_bounds
from tests.nets import (
    ACTIVATIONS,
    HIDDEN,
    LOSSES,
    PARTNER,
    Data,
    make_data,
    make_net,
    make_targets,
    number,
)

# Kernels are made of LLVM code, which Python cannot run in the compiler's place.
pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="kernels need the compiler")

DTYPES = [np.float32, np.float64]
PRECISION = pytest.mark.parametrize("dtype", DTYPES, ids=["f32", "f64"])
# Modules of kernels/ that Python calls into, found by their source so that none is forgotten.
SOURCES = {path.stem: ast.parse(path.read_text()) for path in Path(kernels.__file__).parent.glob("*.py")}


def entries(module):
    """Public functions of a kernel module that Python calls: names to names of their required arguments."""
    found = {}
    for node in SOURCES[module].body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            marks = [ast.unparse(mark) for mark in node.decorator_list]
            if marks == ["entry"] or (module == "train" and not marks):
                arguments = [argument.arg for argument in node.args.args]
                found[node.name] = arguments[: len(arguments) - len(node.args.defaults)]
    return found


TWINS = sorted(module for module in SOURCES if entries(module))


def twins(module, name):
    """The kernel and its twin."""
    return (getattr(import_module(f"{package.__name__}.{module}"), name) for package in (kernels, reference))


def lanes(dtype):
    return simd.LANES32 if dtype == np.float32 else simd.LANES64


def sizes(dtype):
    """Lengths around those of the vectors."""
    n = lanes(dtype)
    return sorted({0, 1, 2, n - 1, n, n + 1, 2 * n, 2 * n + 3, 97})


def guarded(shape, dtype):
    """An array with a guard around it, and a function that fails if the guard was written to."""
    size, edge = int(np.prod(shape)), 2 * simd.LANES32
    memory = np.full(size + 2 * edge, 12345.0, dtype)
    inside = memory[edge : edge + size].reshape(shape)
    inside[:] = np.nan

    def check():
        assert (memory[:edge] == 12345).all(), "written before the beginning"
        assert (memory[edge + size :] == 12345).all(), "written beyond the end"

    return inside, check


def normal(shape, dtype, seed=0):
    return np.random.default_rng((seed, *np.atleast_1d(shape))).normal(size=shape).astype(dtype)


# Names.


def test_every_kernel_module_has_a_twin_with_the_same_functions():
    assert {"activations", "dense", "loss", "optim", "rng", "train", "vmath"} <= set(TWINS)
    for module in TWINS:
        twin = import_module(f"{reference.__name__}.{module}")
        public = {
            name: list(inspect.signature(value).parameters)
            for name, value in vars(twin).items()
            if inspect.isfunction(value) and value.__module__ == twin.__name__ and not name.startswith("_")
        }
        assert entries(module) == public, module


def test_ids_are_the_same():
    names = [{k: v for k, v in vars(import_module(f"{p.__name__}.ids")).items() if k.isupper()} for p in (kernels, reference)]
    assert names[0] == names[1]


# Elementary functions and activations.


def grid(dtype):
    """Numbers of all sizes, the special ones at the end: NaN, inf, -inf."""
    info = np.finfo(dtype)
    powers = 10.0 ** np.arange(-6, 3)
    moderate = np.concatenate([np.linspace(-12, 12, 301), powers, -powers, [3, -3, 89, -88, 104, -104, 710, -709, 746, -746]])
    tiny = np.array([0, info.smallest_subnormal, 3 * info.smallest_subnormal, info.tiny / 2, info.tiny, info.eps])
    far = np.array([1e4, -1e4])
    return np.concatenate([moderate, tiny, -tiny, far, [np.nan, np.inf, -np.inf]]).astype(dtype)


def held(values, dtype):
    """Float64 numbers, infinite where dtype cannot hold them."""
    return np.where(np.abs(values) > np.finfo(dtype).max, np.copysign(np.inf, values), values)


@PRECISION
@pytest.mark.parametrize("name", sorted(entries("vmath")))
def test_elementary_function_over_a_grid(name, dtype):
    kernel, twin = twins("vmath", name)
    x = grid(dtype)
    x = np.concatenate([np.abs(x), [np.finfo(dtype).max, dtype(-1)]]).astype(dtype) if name == "log" else x
    got, expected = np.empty_like(x), np.empty(x.size)
    kernel(x, got)
    twin(x.astype(np.float64), expected)
    assert_close(got, held(expected, dtype), errors=5)


@PRECISION
@pytest.mark.parametrize("name", sorted(entries("vmath")))
def test_elementary_function_on_every_length(name, dtype):
    kernel, twin = twins("vmath", name)
    for n in sizes(dtype):
        x = np.abs(normal(n, dtype))
        out, check = guarded(n, dtype)
        expected = np.empty_like(x)
        kernel(x, out)
        twin(x, expected)
        assert_close(out, expected, errors=5)
        check()
        kernel(x, x)
        np.testing.assert_array_equal(x, out)


# What an activation's error is measured by, if not by itself: in z * gate(z) the gate's error is one of its maximum, 1.
ERRORS_OF_GATE = {"GELU", "GELU_TANH", "HARD_SWISH"}


@PRECISION
@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "SOFTMAX"])
def test_activation_over_a_grid(name, dtype):
    z = grid(dtype)
    kernel, twin = twins("activations", "activate")
    a, g, alone = np.empty_like(z), np.empty_like(z), np.empty_like(z)
    expected, slope = np.empty(z.size), np.empty(z.size)
    kernel(number(name), z, a, g)
    twin(number(name), z.astype(np.float64), expected, slope)
    expected, slope = held(expected, dtype), held(slope, dtype)
    assert np.isnan(a[-3])
    finite = np.isfinite(z)
    scale = np.abs(z) if name in ERRORS_OF_GATE else np.abs(expected)
    scale = np.maximum(scale, 1) if name == "HARD_SIGMOID" else scale
    # A gate below the smallest normal number may be 0 or that.
    bound = 6 * eps(dtype) * scale + np.finfo(dtype).tiny * np.maximum(1, np.abs(z))
    assert_within(a[finite], expected[finite], bound[finite])
    # f' is near 1 where it changes, or e^z; from 1 + tanh it has an error that grows with z.
    steep = np.maximum(1, np.abs(slope)) * (1 + np.minimum(np.abs(z), 10))
    assert_close(g[finite], slope[finite], steep[finite], errors=8)
    one_is_enough, _ = twins("activations", "apply")
    one_is_enough(number(name), z, alone)
    np.testing.assert_array_equal(alone, a)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "SOFTMAX"])
def test_activation_at_plus_infinity(name):
    """And at -inf, except where f is z * gate(z), whose -inf * 0 is left open."""
    for dtype in DTYPES:
        z = np.array([np.inf, -np.inf], dtype)
        results = []
        for function in twins("activations", "apply"):
            a = np.empty_like(z)
            function(number(name), z, a)
            results.append(a if name not in {"GELU", "GELU_TANH", "SILU", "MISH", "HARD_SWISH"} else a[:1])
        assert_within(*results, np.finfo(dtype).tiny)


@PRECISION
@pytest.mark.parametrize("name", HIDDEN)
def test_activation_on_every_length_and_in_place(name, dtype):
    kernel, twin = twins("activations", "activate")
    for n in sizes(dtype):
        z = normal(n, dtype)
        (a, check_a), (g, check_g) = guarded(n, dtype), guarded(n, dtype)
        kernel(number(name), z, a, g)
        check_a()
        check_g()
        expected, slope = np.empty_like(z), np.empty_like(z)
        twin(number(name), z, expected, slope)
        assert_close(a, expected, np.abs(z) + 1, errors=6)
        assert_close(g, slope, np.abs(z) + 1, errors=8)
        in_z, over_z = z.copy(), np.empty_like(z)
        kernel(number(name), in_z, in_z, over_z)
        np.testing.assert_array_equal([in_z, over_z], [a, g])
        in_z[:] = z
        kernel(number(name), in_z, over_z, in_z)
        np.testing.assert_array_equal([over_z, in_z], [a, g])


@PRECISION
@pytest.mark.parametrize("k", [1, 2, 3, 10, 33])
def test_softmax(k, dtype):
    kernel, twin = twins("activations", "softmax")
    for n in (0, 1, 5):
        z = normal((n, k), dtype) * 10
        z[n // 2 :] *= 100
        p, check = guarded((n, k), dtype)
        kernel(z, p)
        check()
        expected = np.empty((n, k))
        twin(z.astype(np.float64), expected)
        # z less the largest is rounded, and e to that passes the error on.
        below = z.max(axis=1, keepdims=True, initial=-np.inf) - z
        assert_close(p, expected, expected * (k + below), errors=4)
        kernel(z, z)
        np.testing.assert_array_equal(z, p)


# Dense layers.


def widths(dtype):
    """Numbers of columns around the vectors' and the tiles'."""
    n = lanes(dtype)
    nr = tile.NV * n
    return sorted({1, 2, 7, n - 1, n, n + 1, 10, nr - 1, nr, nr + 1, 2 * nr + 3})


ROWS = sorted({0, 1, 2, tile.MR_EDGE, tile.MR_EDGE + 1, tile.MR - 1, tile.MR, tile.MR + 1, 13, 2 * tile.MR + 3})
# Products long enough for a second panel, and so wide that panels are packed.
LONG = [(5, 3, 255), (5, 3, gemm.KC), (5, 3, gemm.KC + 1), (1, 1, 521), (5, 1, 300), (gemm.PACK_ROWS + 1, 101, gemm.KC + 3)]


def products(dtype):
    """(M, N, K) of layers to try."""
    short = [(m, n, k) for m in ROWS for n in widths(dtype) for k in (1, 3, 17)]
    return short + LONG + [(n, m, k) for m, n, k in LONG]


@PRECISION
@pytest.mark.parametrize("name", ["linear_fwd", "linear_fwd_relu"])
@pytest.mark.parametrize("with_bias", [False, True])
def test_linear_fwd_matches_reference(name, with_bias, dtype):
    kernel, twin = twins("dense", name)
    for m, n, k in products(dtype):
        x, w, bias = normal((m, k), dtype), normal((k, n), dtype), normal(n if with_bias else 0, dtype)
        z, check = guarded((m, n), dtype)
        expected = np.empty((m, n), dtype)
        kernel(x, w, bias, z)
        twin(x, w, bias, expected)
        assert_product(z, expected, x, w, start=bias if with_bias else 0)
        check()


@PRECISION
def test_linear_bwd_d_matches_reference(dtype):
    kernel, twin = twins("dense", "linear_bwd_d")
    for m, k, n in products(dtype):
        d, w, g = normal((m, n), dtype), normal((k, n), dtype), normal((m, k), dtype)
        out, check = guarded((m, k), dtype)
        expected = np.empty((m, k), dtype)
        kernel(d, w, g, out)
        twin(d, w, g, expected)
        assert_product(out, expected, d, w.T, factor=g)
        check()
        kernel(d, w, g, g)
        np.testing.assert_array_equal(g, out)


@PRECISION
@pytest.mark.parametrize("with_bias", [False, True])
def test_linear_bwd_w_matches_reference(with_bias, dtype):
    kernel, twin = twins("dense", "linear_bwd_w")
    for k, n, m in [*products(dtype), (3, 4, 0), (3, 1, 0)]:
        if k == 0:
            continue
        x, d = normal((m, k), dtype), normal((m, n), dtype, seed=1)
        (dw, check_w), (db, check_b) = guarded((k, n), dtype), guarded((n,) if with_bias else (0,), dtype)
        expected_w, expected_b = np.empty_like(dw), np.empty_like(db)
        kernel(x, d, dw, db)
        twin(x, d, expected_w, expected_b)
        assert_product(dw, expected_w, x.T, d)
        if with_bias:
            assert_product(db[None], expected_b[None], np.ones((1, m)), d)
        check_w()
        check_b()


@PRECISION
def test_nan_and_infinity_go_through_a_layer(dtype):
    kernel, twin = twins("dense", "linear_fwd_relu")
    x, w = normal((5, 4), dtype), normal((4, 7), dtype)
    x[1, 2], x[3, 0], w[:, 6] = np.nan, np.inf, -1
    got, expected = np.empty((5, 7), dtype), np.empty((5, 7), dtype)
    kernel(x, w, np.empty(0, dtype), got)
    twin(x, w, np.empty(0, dtype), expected)
    assert np.isnan(expected[1]).all()
    assert expected[3, 6] == 0
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    assert_within(got, expected, 20 * eps(dtype))


# Losses.


@PRECISION
@pytest.mark.parametrize(("loss", "output"), [(x, y) for x in LOSSES for y in ACTIVATIONS if PARTNER.get(x, y) == y])
def test_loss_and_delta(loss, output, dtype):
    kernel, twin = twins("loss", "loss_and_delta")
    rng = np.random.default_rng(0)
    for k in (1, 2, 10, lanes(dtype) + 1):
        for n in (0, 1, 5):
            for classes, smoothing in [(False, 0.0), (True, 0.0), (False, 0.1), (True, 0.1)]:
                if (loss != "CROSS_ENTROPY" and (classes or smoothing)) or (classes and k == 1):
                    continue
                z, y = rng.normal(size=(n, k)).astype(dtype), make_targets(loss, n, k, rng, classes).astype(dtype)
                scales = rng.random(n).astype(dtype)
                (rows, check_rows), (delta, check_delta) = guarded(n, dtype), guarded((n, k), dtype)
                kernel(number(loss), number(output), 0.7, smoothing, z.copy(), y, scales, rows, delta)
                check_rows()
                check_delta()
                expected, d = np.empty(n), np.empty((n, k))
                wide = [v.astype(np.float64) for v in (z, y, scales)]
                twin(number(loss), number(output), 0.7, smoothing, *wide, expected, d)
                # Values are squares at most, of outputs that are at most e^z.
                size = np.maximum(np.exp(np.abs(wide[0])), 1) + np.abs(y).max(axis=1, keepdims=True, initial=1)
                assert_close(rows, expected, 2 * (size**2).sum(axis=1), errors=4)
                assert_close(delta, d, scales[:, None] * size**2, errors=(k + 8))


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
@pytest.mark.parametrize("loss", LOSSES)
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

OPTIMIZERS = {
    "sgd": {"optimizer": "SGD"},
    "momentum": {"optimizer": "SGD", "beta1": 0.9},
    "nesterov": {"optimizer": "SGD", "beta1": 0.9, "nesterov": 1},
    "adam": {"optimizer": "ADAM", "beta1": 0.9, "beta2": 0.99},
    "adamw": {"optimizer": "ADAM", "beta1": 0.9, "beta2": 0.99, "decay": 0.1},
    "amsgrad": {"optimizer": "ADAM", "beta1": 0.9, "beta2": 0.9, "amsgrad": 1},
    "eps_hat": {"optimizer": "ADAM", "beta1": 0.9, "beta2": 0.99, "eps_hat": 1},
    "rmsprop": {"optimizer": "RMSPROP", "beta2": 0.9},
    "adagrad": {"optimizer": "ADAGRAD"},
}


def optimizer_state(net, dtype):
    return np.zeros((3, net.params.size), dtype)


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
    "half": {"widths": [3, 8, 2], "loss": "HALF_MSE", "hidden": "IDENTITY"},
    "counts": {"widths": [3, 8, 2], "loss": "POISSON", "output": "EXP", "hidden": "ELU"},
    "softmax with mse": {"widths": [3, 8, 4], "output": "SOFTMAX", "hidden": "MISH"},
    "wider than a panel": {"widths": [3, 8, gemm.KC + 1, 2]},
    "relu wider than a panel": {"widths": [3, 8, gemm.KC + 1, 5], "hidden": "RELU"},
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


def run(engine, task, net, data, dtype, d_out=None):
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
    elif task == "vjp":
        value = engine.vjp(net.table, net.params, data.x, d_out.astype(dtype), out, arena)
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
    """predict, activations, loss, value_and_grad, input_gradient and vjp, each by the error bounds of its network."""
    for net, data in cases(dtype, [name]):
        quiet = net.copy()
        quiet.ints[ids.TRAINING] = 0
        d_out = normal((len(data.x), net.n_outputs), dtype).astype(np.float64)
        bounds = network_bounds(quiet, dense_targets(net, data), dtype, d_out)
        noisy = network_bounds(net, dense_targets(net, data), dtype)
        results = {}
        for task in ("predict", "activations", "loss", "value_and_grad", "input_gradient", "vjp"):
            results[task] = [run(compiled, task, net, data, dtype, d_out), run(plain, task, net, data, np.float64, d_out)]

        def compare(task, bound, part=1, results=results):
            assert_within(results[task][0][part], results[task][1][part], bound)

        compare("predict", bounds.outputs)
        compare("activations", bounds.activations)
        compare("loss", bounds.loss, part=0)
        compare("value_and_grad", noisy.loss, part=0)
        compare("value_and_grad", noisy.grad)
        compare("input_gradient", bounds.d_in)
        compare("vjp", bounds.vjp)


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
def test_gradient_of_more_rows_than_a_block_has(dtype):
    """Rows go through the network in blocks, whose gradients are summed; their number is no multiple of anything."""
    net = make_net([6, 40, 3], "RELU", dropout=[0.2, 0.0], training=1).astype(dtype).astype(np.float64)
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
@pytest.mark.usefixtures("any_threads")
def test_several_threads_give_the_same_bits_and_the_right_ones(dtype):
    """A network large enough to be shared among threads, whose parts are uneven."""
    net = make_net([64, 201, 130, 10], "TANH", "SOFTMAX", "CROSS_ENTROPY", batch=301, shuffle=1)
    net, results = net.astype(dtype).astype(np.float64), []
    data = make_data(net, 301, classes=True, weighted=True).astype(dtype).astype(np.float64)
    for n in (1, 2, 3):
        threads.set_threads(n)
        value, grad = run(compiled, "value_and_grad", net, data, dtype)
        trained, _, losses = train_run(compiled, net, data, [0.1, 0.1], dtype)
        outputs = run(compiled, "predict", net, data, dtype)[1]
        results.append([value, *losses, grad, outputs, trained.params])
    for result in results[1:]:
        for x, y in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(x, y)
    bounds = network_bounds(net, dense_targets(net, data), dtype)
    value, grad = run(plain, "value_and_grad", net, data, np.float64)
    assert_within(results[0][0], value, bounds.loss)
    assert_within(results[0][3], grad, bounds.grad)
    assert_within(results[0][4], run(plain, "predict", net, data, np.float64)[1], bounds.outputs)


# Training.


def train_run(engine, net, data, rates, dtype, calls=1):
    """Parameters, state, losses and counters after training, in `calls` calls."""
    net, data = net.astype(dtype), data.astype(dtype)
    n, slots = len(data.x), optimizer_state(net, dtype)
    arena = np.full(engine.arena_size(net.table, n), np.nan, dtype)
    order, losses, finished = np.empty(n, np.int64), np.full(len(rates) + 1, np.nan), 0
    for part in np.array_split(np.asarray(rates, np.float64), calls):
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
