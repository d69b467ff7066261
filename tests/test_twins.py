"""Every kernel against its twin in the reference, on shapes around the edges."""

from __future__ import annotations

import inspect
from importlib import import_module

import numpy as np
import pytest

pytest.importorskip("numba")

import numba
from fastmlp.kernels import gemm, tile

from fastmlp import kernels, reference
from tests.compare import assert_close, assert_product, assert_within, eps
from tests.nets import ACTIVATIONS, HIDDEN, number
from tests.twins import DTYPES, PRECISION, TWINS, entries, guarded, lanes, normal, sizes, twins

# Kernels are made of LLVM code, which Python cannot run in the compiler's place.
pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="kernels need the compiler")


# Names.


def test_every_kernel_module_has_a_twin_with_the_same_functions():
    assert {"activations", "dense", "loss", "optim", "rng", "train", "vmath"} <= set(TWINS)
    for module in TWINS:
        twin = import_module(f"{reference.__name__}.{module}")
        public = {
            name: [p for p, info in inspect.signature(value).parameters.items() if info.default is info.empty]
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


@PRECISION
@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name not in ("SOFTMAX", "EXP")])
def test_slopes_of_the_largest_numbers(name, dtype):
    powers = np.ldexp(1.0, np.arange(4, np.finfo(dtype).maxexp, 3))
    z = np.concatenate([-powers, powers, [-np.finfo(dtype).max, np.finfo(dtype).max]]).astype(dtype)
    a, slopes = np.empty_like(z), []
    for activate in twins("activations", "activate"):
        with np.errstate(over="ignore"):
            activate(number(name), z, a, slope := np.empty_like(z))
        slopes.append(slope)
    assert np.isfinite(slopes).all()
    np.testing.assert_allclose(*slopes, rtol=1e-6, atol=1e-5)


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
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 8, 9, 10, 15, 16, 17, 31, 32, 33, 70])
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


@PRECISION
@pytest.mark.parametrize("k", [3, 10, 20, 40])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_row_that_has_no_softmax_is_nan_and_no_other(k, wrong, dtype):
    kernel, _ = twins("activations", "softmax")
    z = normal((k, k), dtype)
    for i in range(0, k, 2):
        z[i, i] = wrong
    p = np.empty_like(z)
    kernel(z, p)
    assert np.isnan(p[::2]).all()
    assert np.isfinite(p[1::2]).all()


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
