"""The matrix products on both sides of every edge of the blocking, against products in float64.

A product of K terms is off by at most K·eps·|A||B| (see tests/compare.py). Where a size decides between two ways of
working, the sizes before, at and after it are tried, and so that more than one such edge meets.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

import numba
from fastmlp.kernels import dense, gemm, simd, tile
from fastmlp.kernels.simd import address

from tests.compare import assert_product

pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="kernels need the compiler")

PRECISION = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
SENTINEL, GUARD = -12345.0, 160
KC, STRIPE, PACK_ROWS, MR = gemm.KC, gemm.STRIPE, gemm.PACK_ROWS, tile.MR
# Rows of a panel, by how A is read.
DEPTHS = sorted({KC, gemm.KC_ACROSS})


def lanes(dtype) -> int:
    return simd.LANES32 if dtype == np.float32 else simd.LANES64


def nr(dtype) -> int:
    """Columns of a tile."""
    return tile.NV * lanes(dtype)


def last_unpacked(k: int, dtype, depth: int = KC) -> int:
    """The largest row stride of B at which its panels, of k rows or `depth`, are read in place."""
    return gemm.PACK_SPAN * lanes(dtype) // (32 * min(k, depth))


def rows_at_once(k: int) -> int:
    """Rows of A that are in strips at a time, of k columns each."""
    return gemm.STRIPS_ROOM // (((k + 1) // 2 | 1) * 2 * tile.STRIP) * MR


def around(*edges: int) -> list[int]:
    return sorted({n for edge in edges for n in (edge - 1, edge, edge + 1) if n > 0})


def shapes(dtype) -> list[tuple[int, int, int]]:
    """(M, N, K) of C (M, N) = A (M, K) @ B (K, N)."""
    width, vector = nr(dtype), lanes(dtype)
    found = [(m, n, k) for m in (1, 3, MR + 1) for n in (2, width + 1) for k in around(*DEPTHS, 2 * KC)]
    found += [(m, n, 5) for m in around(tile.MR_EDGE, MR, 2 * tile.MR_EDGE, 2 * MR) for n in around(vector, width, 2 * width)]
    found += [(m, n, 3) for m in around(STRIPE, 2 * STRIPE) for n in (1, 2, width + 1)]
    found += [(m, n, k) for m in (STRIPE - 1, STRIPE + 1, 2 * STRIPE + 3) for n in (1, 3, width + 1) for k in (KC, KC + 1)]
    for k in (KC, KC + 1):
        found += [(m, n, k) for m in around(PACK_ROWS) for n in around(last_unpacked(k, dtype))]
    at_once = gemm.AT_ONCE * width
    found += [(PACK_ROWS, n, k) for n in around(at_once, 2 * at_once) for k in (KC - 1, KC + 1)]
    edge = last_unpacked(33, dtype)
    found += [(m, n, 33) for m in around(PACK_ROWS) for n in around(edge)]
    return found + [(1, 1, k) for k in (1, KC, KC + 1, 3 * KC)] + [(STRIPE + 1, 1, KC + 1), (1, STRIPE + 1, KC + 1)]


def normal(shape, dtype, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, *np.atleast_1d(shape))).normal(size=shape).astype(dtype)


class Result:
    """An array amid sentinels, which `check` looks at; `odd` moves it off the alignment of vectors."""

    def __init__(self, shape, dtype, odd: int = 0):
        self.size = int(np.prod(shape))
        self.memory = np.full(self.size + 2 * GUARD, SENTINEL, dtype)
        self.first = GUARD - odd
        self.array = self.memory[self.first : self.first + self.size].reshape(shape)

    def check(self) -> None:
        assert (self.memory[: self.first] == SENTINEL).all(), "written before the beginning"
        assert (self.memory[self.first + self.size :] == SENTINEL).all(), "written beyond the end"


def exact(a, b) -> np.ndarray:
    return a.astype(np.float64) @ b.astype(np.float64)


def none(dtype) -> np.ndarray:
    """No bias."""
    return np.empty(0, dtype)


@PRECISION
@pytest.mark.parametrize("relu", [False, True], ids=["", "relu"])
def test_linear_fwd_at_every_edge(relu, dtype):
    kernel = dense.linear_fwd_relu if relu else dense.linear_fwd
    for i, (m, n, k) in enumerate(shapes(dtype)):
        x, w, bias = normal((m, k), dtype), normal((k, n), dtype), normal(n, dtype) if i % 2 else none(dtype)
        z = Result((m, n), dtype, odd=i % 3)
        kernel(x, w, bias, z.array)
        z.check()
        start = bias.astype(np.float64) if bias.size else 0.0
        expected = exact(x, w) + start
        assert_product(z.array, np.maximum(expected, 0) if relu else expected, x, w, start=start)


@PRECISION
def test_linear_bwd_d_at_every_edge(dtype):
    for i, (m, k, n) in enumerate(shapes(dtype)):
        d, w, g = normal((m, n), dtype), normal((k, n), dtype), normal((m, k), dtype)
        out = Result((m, k), dtype, odd=i % 3)
        dense.linear_bwd_d(d, w, g, out.array)
        out.check()
        assert_product(out.array, exact(d, w.T) * g, d, w.T, factor=g)


@PRECISION
def test_linear_bwd_w_at_every_edge(dtype):
    for i, (k, n, m) in enumerate(shapes(dtype)):
        x, d = normal((m, k), dtype), normal((m, n), dtype, seed=1)
        dw, db = Result((k, n), dtype, odd=i % 3), Result((n,) if i % 2 else (0,), dtype)
        dense.linear_bwd_w(x, d, dw.array, db.array)
        dw.check()
        db.check()
        assert_product(dw.array, exact(x.T, d), x.T, d)
        if db.array.size:
            assert_product(db.array[None], d.sum(axis=0, dtype=np.float64)[None], np.ones((1, m)), d)


@PRECISION
def test_a_weight_gradient_of_rows_far_apart(dtype):
    """They are copied in strips first where B is packed, as many at a time as there is room for, the last one of any width."""
    for m in around(*DEPTHS):
        unpacked, least = last_unpacked(m, dtype, gemm.KC_ACROSS), gemm.FAR // m + 1
        edge = (least // rows_at_once(m) + 1) * rows_at_once(m)
        shapes = [(k, unpacked + nr(dtype) + 1) for k in (least - 1, *range(least, least + 16), *range(edge - 1, edge + 17))]
        shapes += [(k, n) for k in (least - 1, least + 1) for n in around(nr(dtype), unpacked, 2 * unpacked)]
        for k, n in shapes:
            x, d = normal((m, k), dtype), normal((m, n), dtype, seed=1)
            dw = Result((k, n), dtype)
            dense.linear_bwd_w(x, d, dw.array, none(dtype))
            dw.check()
            assert_product(dw.array, exact(x.T, d), x.T, d)


@PRECISION
@pytest.mark.parametrize("n", [KC - 1, KC, KC + 1, 2 * KC, 2 * KC + 1])
def test_linear_bwd_d_in_place_of_its_factors(n, dtype):
    """Out may be g: with more than a panel of terms the sums wait elsewhere, a stripe of rows at a time."""
    for m in [1, *around(STRIPE, 2 * STRIPE), 2 * STRIPE + MR + 1]:
        for k in (1, 2, nr(dtype), nr(dtype) + 1):
            d, w, g = normal((m, n), dtype), normal((k, n), dtype), normal((m, k), dtype)
            apart, inside = np.empty_like(g), Result((m, k), dtype)
            dense.linear_bwd_d(d, w, g, apart)
            inside.array[:] = g
            dense.linear_bwd_d(d, w, inside.array, inside.array)
            inside.check()
            np.testing.assert_array_equal(inside.array, apart)
            assert_product(apart, exact(d, w.T) * g, d, w.T, factor=g)


@PRECISION
def test_operands_are_only_read(dtype):
    m, n, k = PACK_ROWS + 1, last_unpacked(KC, dtype) + 1, KC + 1
    x, w, d, g = normal((m, k), dtype), normal((k, n), dtype), normal((m, n), dtype), normal((m, k), dtype)
    before = [a.copy() for a in (x, w, d, g)]
    bias = normal(n, dtype)
    dense.linear_fwd(x, w, bias, np.empty((m, n), dtype))
    dense.linear_bwd_d(d, w, g, np.empty((m, k), dtype))
    dense.linear_bwd_w(x, d, np.empty((k, n), dtype), np.empty(n, dtype))
    for a, b in zip((x, w, d, g), before, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(bias, normal(n, dtype))


@PRECISION
def test_what_lay_in_the_result_does_not_matter(dtype):
    """Neither numbers nor NaNs, with one panel or several."""
    for m, n, k in [(5, 3, 7), (STRIPE + 1, nr(dtype) + 1, KC + 1), (PACK_ROWS, 1, KC + 1), (0, 3, 2), (3, 2, 0)]:
        x, w, d, g = normal((m, k), dtype), normal((k, n), dtype), normal((m, n), dtype), normal((m, k), dtype)
        results = []
        for before in (0.0, np.nan):
            z, dx, dw, db = (np.full(shape, before, dtype) for shape in ((m, n), (m, k), (k, n), n))
            dense.linear_fwd(x, w, none(dtype), z)
            dense.linear_bwd_d(d, w, g, dx)
            dense.linear_bwd_w(x, d, dw, db)
            results.append([z, dx, dw, db])
        for a, b in zip(*results, strict=True):
            np.testing.assert_array_equal(a, b)
            assert np.isfinite(a).all()


@PRECISION
def test_no_terms_give_the_bias_or_zero(dtype):
    bias = normal(5, dtype)
    z = np.full((3, 5), np.nan, dtype)
    dense.linear_fwd(np.empty((3, 0), dtype), np.empty((0, 5), dtype), bias, z)
    np.testing.assert_array_equal(z, np.tile(bias, (3, 1)))
    dw, db = np.full((4, 5), np.nan, dtype), np.full(5, np.nan, dtype)
    dense.linear_bwd_w(np.empty((0, 4), dtype), np.empty((0, 5), dtype), dw, db)
    assert (dw == 0).all()
    assert (db == 0).all()


# NaN.

NAN_SHAPES = [(2 * MR + 3, 1, 9), (2 * MR + 3, 2, KC + 1), (PACK_ROWS + 3, 97, KC + 5), (STRIPE + 2, 7, KC + 1), (5, 3, 4)]


def spots(shape, n: int = 6) -> list[tuple[int, int]]:
    """Corners and some elements between them."""
    rows, cols = shape
    rng = np.random.default_rng(shape)
    inner = [(int(rng.integers(rows)), int(rng.integers(cols))) for _ in range(n)]
    return [(0, 0), (0, cols - 1), (rows - 1, 0), (rows - 1, cols - 1), *inner]


def assert_nan_exactly(got, rows=slice(None), cols=slice(None)) -> None:
    expected = np.zeros(got.shape, bool)
    expected[rows, cols] = True
    np.testing.assert_array_equal(np.isnan(got), expected)


@PRECISION
@pytest.mark.parametrize(("m", "n", "k"), NAN_SHAPES)
def test_nan_goes_forward_to_its_row_or_column_and_no_further(m, n, k, dtype):
    z = np.empty((m, n), dtype)
    for kernel in (dense.linear_fwd, dense.linear_fwd_relu):
        for i, p in spots((m, k)):
            x, w = normal((m, k), dtype), normal((k, n), dtype)
            x[i, p] = np.nan
            kernel(x, w, none(dtype), z)
            assert_nan_exactly(z, rows=i)
        for p, j in spots((k, n)):
            x, w = normal((m, k), dtype), normal((k, n), dtype)
            w[p, j] = np.nan
            kernel(x, w, none(dtype), z)
            assert_nan_exactly(z, cols=j)
        x, w, bias = normal((m, k), dtype), normal((k, n), dtype), normal(n, dtype)
        bias[n // 2] = np.nan
        kernel(x, w, bias, z)
        assert_nan_exactly(z, cols=n // 2)


@PRECISION
@pytest.mark.parametrize(("m", "k", "n"), NAN_SHAPES)
def test_nan_goes_back_to_its_row_or_column_and_no_further(m, k, n, dtype):
    for in_place in (False, True):
        d, w = normal((m, n), dtype), normal((k, n), dtype)

        def run(d, w, g, in_place=in_place):
            out = g if in_place else np.empty_like(g)
            dense.linear_bwd_d(d, w, g, out)
            return out

        for i, p in spots((m, n)):
            bad = d.copy()
            bad[i, p] = np.nan
            assert_nan_exactly(run(bad, w, normal((m, k), dtype)), rows=i)
        for j, p in spots((k, n)):
            bad = w.copy()
            bad[j, p] = np.nan
            assert_nan_exactly(run(d, bad, normal((m, k), dtype)), cols=j)
        for i, j in spots((m, k)):
            g = normal((m, k), dtype)
            g[i, j] = np.nan
            assert_nan_exactly(run(d, w, g), rows=i, cols=j)


@PRECISION
@pytest.mark.parametrize(("k", "n", "m"), NAN_SHAPES)
def test_nan_goes_to_its_weights_and_no_further(k, n, m, dtype):
    dw, db = np.empty((k, n), dtype), np.empty(n, dtype)
    for i, p in spots((m, k)):
        x, d = normal((m, k), dtype), normal((m, n), dtype)
        x[i, p] = np.nan
        dense.linear_bwd_w(x, d, dw, db)
        assert_nan_exactly(dw, rows=p)
        assert np.isfinite(db).all()
    for i, j in spots((m, n)):
        x, d = normal((m, k), dtype), normal((m, n), dtype)
        d[i, j] = np.nan
        dense.linear_bwd_w(x, d, dw, db)
        assert_nan_exactly(dw, cols=j)
        assert_nan_exactly(db[None], cols=j)


@PRECISION
def test_a_nan_beside_an_operand_is_never_read(dtype):
    """Operands amid NaNs, as activations of other layers are in an arena: masked columns take nothing from there."""
    for m, n, k in [(1, 1, 1), (5, 1, KC + 1), (MR + 1, nr(dtype) - 1, 3), (PACK_ROWS, 97, KC + 1), (STRIPE + 1, 3, 5)]:

        def amid(shape, seed=0):
            result = Result(shape, dtype, odd=1)
            result.memory[:] = np.nan
            result.array[:] = normal(shape, dtype, seed)
            return result.array

        x, w, bias, d, g = amid((m, k)), amid((k, n)), amid((n,)), amid((m, n), 1), amid((m, k), 2)
        z, dx, dw, db = (np.empty(shape, dtype) for shape in ((m, n), (m, k), (k, n), n))
        dense.linear_fwd(x, w, bias, z)
        dense.linear_bwd_d(d, w, g, dx)
        dense.linear_bwd_w(x, d, dw, db)
        assert_product(z, exact(x, w) + bias, x, w, start=bias)
        assert_product(dx, exact(d, w.T) * g, d, w.T, factor=g)
        assert_product(dw, exact(x.T, d), x.T, d)


# The bits of an element.


@PRECISION
def test_bits_of_a_row_do_not_depend_on_the_rows_around_it(dtype):
    """Nor those of a column on its neighbours: however a matrix is cut into tiles, an element is one chain of sums."""
    for k in (3, KC + 1):
        m, n = STRIPE + 3, 2 * nr(dtype) + 3
        x, w = normal((m, k), dtype), normal((k, n), dtype)
        z = np.empty((m, n), dtype)
        dense.linear_fwd(x, w, none(dtype), z)
        for rows in (1, 2, MR, MR + 1, PACK_ROWS - 1):
            part = np.empty((rows, n), dtype)
            dense.linear_fwd(x[-rows:].copy(), w, none(dtype), part)
            np.testing.assert_array_equal(part, z[-rows:])
        for cols in (2, lanes(dtype), nr(dtype) + 1):
            part = np.empty((m, cols), dtype)
            dense.linear_fwd(x, w[:, -cols:].copy(), none(dtype), part)
            np.testing.assert_array_equal(part, z[:, -cols:])


@numba.njit
def _gemm_in_place(m, n, k, a, b, c, end, packed, first):
    out, scratch = address(c, 0), address(packed, first)
    gemm.gemm(m, n, k, address(a, 0), k, 1, address(b, 0), n, False, None, out, n, tile.START_ZERO, out, end, out, n, scratch)


@PRECISION
@pytest.mark.parametrize("end", [tile.END_STORE, tile.END_TIMES, tile.END_ADD])
def test_sums_that_wait_stay_in_their_scratch(end, dtype):
    for m in (1, 2, MR + 1, STRIPE + 1):
        for n in around(lanes(dtype), nr(dtype), tile.NV_ROW * lanes(dtype)):
            for k in (1, KC, KC + 1, 2 * KC + 3):
                a, b, before = normal((m, k), dtype), normal((k, n), dtype), normal((m, n), dtype)
                c, scratch = Result((m, n), dtype), np.full(3 * gemm.PACKED, SENTINEL, dtype)
                c.array[...] = before
                _gemm_in_place(m, n, k, a, b, c.array, end, scratch, gemm.PACKED)
                c.check()
                assert (scratch.reshape(3, -1)[[0, 2]] == SENTINEL).all(), "written beside the scratch"
                if end == tile.END_TIMES:
                    assert_product(c.array, exact(a, b) * before, a, b, factor=before)
                elif end == tile.END_ADD:
                    assert_product(c.array, exact(a, b) + before, a, b, start=before)
                elif end == tile.END_STORE:
                    assert_product(c.array, exact(a, b), a, b)


@numba.njit
def _gemm_of(m, n, k, a, rs, cs, b, ldb, turned, c, end, packed, first):
    out, zero = address(c, 0), tile.START_ZERO
    gemm.gemm(m, n, k, address(a, 0), rs, cs, address(b, 0), ldb, turned, None, out, n, zero, out, end, out, n,
              address(packed, first))  # fmt: skip


@PRECISION
@pytest.mark.parametrize("end", [tile.END_STORE, tile.END_ADD])
@pytest.mark.parametrize("case", ["packed", "turned", "strips"])
def test_what_is_packed_stays_in_its_scratch(case, end, dtype):
    at_once, across, turned = gemm.AT_ONCE * nr(dtype), case == "strips", case == "turned"
    for k in around(KC, 2 * KC):
        unpacked = last_unpacked(k, dtype, gemm.KC_ACROSS if across else KC)
        for n in around(at_once, unpacked, unpacked + at_once):
            m = max(gemm.FAR // k, rows_at_once(k)) + MR + 1 if across else PACK_ROWS + 1
            a, b, before = normal((m, k), dtype), normal((k, n), dtype), normal((m, n), dtype)
            c, scratch = Result((m, n), dtype), np.full(3 * gemm.PACKED, SENTINEL, dtype)
            c.array[...] = before
            given = np.ascontiguousarray(a.T if across else a), np.ascontiguousarray(b.T if turned else b)
            rs, cs = (1, m) if across else (k, 1)
            ldb = k if turned else n
            _gemm_of(m, n, k, given[0], rs, cs, given[1], ldb, turned, c.array, end, scratch, gemm.PACKED)
            c.check()
            assert (scratch.reshape(3, -1)[[0, 2]] == SENTINEL).all(), "written beside the scratch"
            inside = scratch.reshape(3, -1)[1]
            assert (inside[: gemm.PANEL] != SENTINEL).any() == (n > unpacked or turned)
            assert (inside[gemm.PANEL :] != SENTINEL).any() == (n > unpacked and across)
            start = before if end == tile.END_ADD else 0.0
            assert_product(c.array, exact(a, b) + start, a, b, start=start)
