"""Matrix products of any size from the register tile: panels of B, and their packing.

The loops are those of Goto and van de Geijn (ACM TOMS 34(3), 2008), less the packing of most A: a panel of B stays
near while the rows of A pass by.
"""

from __future__ import annotations

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import glue, inner
from .maps import copy
from .simd import I64, LANES32, element, first_lanes, lanes_of, load, shift, store
from .tile import (
    END_ADD,
    END_STORE,
    END_TIMES,
    HALVES,
    MR,
    MR_EDGE,
    NV,
    NV_ROW,
    START_COLUMN,
    START_SUMS,
    lanes_tiles,
    small_tile,
    tiles,
    turned_tiles,
)
from .transpose import transpose

# Rows of B in a panel, of which KC * NR elements leave room for A in a 32 KB L1 cache.
KC = 128
# A panel is packed where its rows lie so far apart that they fight for the cache's sets, and enough rows of A use it.
PACK_SPAN = 56 * 1024
PACK_ROWS = 16
# Rows whose sums wait in scratch at a time.
STRIPE = 256
# A that is read across its rows is copied where those lie in so many pages that the core forgets which; this much at a time.
FAR, BESIDE = 128 * 1024, 64 * 1024
# Elements that `packed` must have room for, whatever the dtype: a panel of B, and a stripe of sums, or those of a single row.
PANEL = max((KC + STRIPE) * NV, (KC + 1) * NV_ROW) * LANES32
PACKED = PANEL + BESIDE


@intrinsic
def pack(typingctx, k, cols, b, ldb, out):
    """out[p, j] = b[p*ldb + j] for k rows of NV vectors, zero in columns from `cols` on."""
    lanes = element(b)[1]

    def codegen(context, builder, sig, args):
        k, cols, b, ldb, out = args
        masks = [first_lanes(builder, builder.sub(cols, I64(v * lanes)), lanes) for v in range(NV)]
        with cgutils.for_range(builder, k, intp=I64) as row:
            source, target = builder.mul(row.index, ldb), builder.mul(row.index, I64(NV * lanes))
            for v in range(NV):
                vector = load(builder, b, builder.add(source, I64(v * lanes)), lanes, masks[v])
                store(builder, vector, out, builder.add(target, I64(v * lanes)))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, b, types.intp, b), codegen


@inner
def _put_beside(rows, cols, a, lda, out, ldo):
    """out[i, j] = a[i, j] for rows ldo and lda apart."""
    for i in range(rows):
        copy(cols, (shift(a, i * lda), shift(out, i * ldo)), ())


@inner
def _pack_turned(k, cols, b, ldb, out):
    """out[p, j] = b[j*ldb + p] for k rows, up to the last whole vector with one of `cols` columns."""
    lanes = lanes_of(b)
    width = NV * lanes
    for j in range(0, cols, lanes):
        for p in range(0, k, lanes):
            transpose(min(lanes, cols - j), min(lanes, k - p), shift(b, j * ldb + p), ldb, shift(out, p * width + j), width)


@glue
def _tiles(m, n, k, a, rs, cs, b, ldb, csb, c, ldc, start, first, ldf, end, aux, ldaux):
    """The tiles of whichever kind A and B ask for."""
    if csb is not None:
        lanes_tiles(m, n, k, a, rs, cs, b, ldb, csb, c, ldc, start, first, ldf, end, aux, ldaux)
    elif rs == 1:
        turned_tiles(m, n, k, a, cs, b, ldb, c, ldc, start, first, ldf, end, aux, ldaux)
    else:
        tiles(m, n, k, a, rs, b, ldb, c, ldc, start, first, ldf, end, aux, ldaux)


@glue
def gemm(m, n, k, a, rs, cs, b, ldb, turned, csb, c, ldc, start, bias, end, aux, ldaux, packed):
    """C = finish(begin + A @ B) for C (m, n), A (m, k) with strides rs and cs, one of them 1, B (k, n) with row stride ldb,
    or if `turned` the transpose of such an array of shape (n, k).

    START_* and END_* of tile.py say how the sums begin and finish; bias is (n,), or (m,) with START_COLUMN, aux is (m, n) with
    row stride ldaux and may be C. END_ADD takes START_ZERO, and C as aux. C overlaps nothing else. `packed` is scratch for
    PACKED elements. With k = 0, C = finish(begin).

    csb is None, or the distance of B's columns where each lane has a product of its own: then every element of A, B and C is
    a vector, rs and cs are free, n counts C's numbers in whole vectors, and nothing is packed; see `lanes_tiles`.

    Rows of a transposed A that lie far apart are copied first, a stripe of A's columns at a time.

    Where k is more than a panel's, the sums wait in C from one panel to the next, or with END_ADD are added to it panel by
    panel; but where C holds an aux that is still needed, they wait in scratch, a stripe of rows at a time.
    """
    packing = csb is None and (turned or (m >= PACK_ROWS and min(k, KC) * ldb * (32 // lanes_of(a)) > PACK_SPAN))
    if k <= KC and not packing:
        _tiles(m, n, k, a, rs, cs, b, ldb, csb, c, ldc, start, bias, 1 if start == START_COLUMN else 0, end, aux, ldaux)
    else:
        _panels(m, n, k, a, rs, cs, b, ldb, turned, csb, c, ldc, start, bias, end, aux, ldaux, packed, packing)


@inner
def _panels(m, n, k, a, rs, cs, b, ldb, turned, csb, c, ldc, start, bias, end, aux, ldaux, packed, packing):
    """As `gemm`, a panel of B after the other, packed or not."""
    lanes = lanes_of(a)
    width = (NV_ROW if m == 1 and csb is None and not turned else NV) * lanes
    waits_in_c = k <= KC or end != END_TIMES
    stripe = m if waits_in_c else STRIPE
    beside = packing and rs == 1 and waits_in_c and n > width and k * cs > FAR and k * MR <= BESIDE
    if beside:
        stripe = BESIDE // k // MR * MR
    top = 0
    while top < m:  # the length of a range is a division
        rows, j = min(stripe, m - top), 0
        a_top, cs_top = shift(a, top * rs), cs
        if beside:
            a_top, cs_top = shift(packed, PANEL), rows
            _put_beside(k, rows, shift(a, top), cs, a_top, rows)
        while j < n:
            cols = min(n - j, width)
            if HALVES and width == NV * lanes and width < n - j <= width + lanes:
                cols = 2 * lanes  # as `tiles` would cut them
            c_j = shift(c, top * ldc + j)
            sums, lds = c_j, ldc
            if not waits_in_c:
                sums, lds = shift(packed, KC * width), width
            column = j if csb is None else j // lanes * csb
            aux_j = shift(aux, top * ldaux + j)
            p = 0
            while True:
                kc = min(k - p, KC)
                b_p, ldp = shift(b, column * ldb + p if turned else p * ldb + column), ldb
                if packing:
                    if turned:
                        _pack_turned(kc, cols, b_p, ldb, packed)
                    else:
                        pack(kc, cols, b_p, ldb, packed)
                    b_p, ldp = packed, width
                begin, first, ldf = start, shift(bias, j), 0
                if start == START_COLUMN:
                    first, ldf = shift(bias, top), 1
                if p > 0 and end != END_ADD:
                    begin, first, ldf = START_SUMS, sums, lds
                finish, out, ldo = END_STORE, sums, lds
                if p + kc == k or end == END_ADD:
                    finish, out, ldo = end, c_j, ldc
                a_p = shift(a_top, p * cs_top)
                _tiles(rows, cols, kc, a_p, rs, cs_top, b_p, ldp, csb, out, ldo, begin, first, ldf, finish, aux_j, ldaux)
                p += kc
                if p >= k:
                    break
            j += cols
        top += stripe


@glue
def product(m, n, k, a, rs, cs, b, ldb, c, ldc, start, bias, end, aux, ldaux, packed):
    """As `gemm` of B as it is. A product of one small tile, which takes as long as a call, is made where it is."""
    if 0 < m <= MR_EDGE and n <= lanes_of(a) and k <= KC:
        small_tile(m, n, k, a, rs, cs, b, ldb, c, ldc, start, bias, 0, end, aux, ldaux)
    else:
        gemm(m, n, k, a, rs, cs, b, ldb, False, None, c, ldc, start, bias, end, aux, ldaux, packed)
