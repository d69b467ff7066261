"""Matrix products of any size from the register tile: panels of B, and their packing.

The loops are those of Goto and van de Geijn (ACM TOMS 34(3), 2008), less the packing of most A: a panel of B stays
near while the rows of A pass by.
"""

from __future__ import annotations

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import glue, inner
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
    STRIP,
    lanes_tiles,
    small_tile,
    tiles,
    turned_tiles,
    whole_strips,
)
from .transpose import transpose

# Rows of B in a panel, of which KC * NR elements leave room for A in a 32 KB L1 cache; KC_ACROSS for an A that is read across
# its rows, which takes more of that unless it is copied. AT_ONCE panels are packed at once. Measured, see docs/performance.md.
KC, KC_ACROSS, AT_ONCE = (128, 128, 1) if LANES32 == 16 else (256, 128, 4)
# A panel is packed where its rows lie so far apart that they fight for the cache's sets, and enough rows of A use it.
PACK_SPAN = 56 * 1024
PACK_ROWS = 16
# Rows whose sums wait in scratch at a time.
STRIPE = 256
# Elements from which on an A that is read across its rows is copied in strips, as those lie in so many pages that the core
# forgets which (448 columns of 256 rows: of half as many the copy costs what it brings); and room for the strips.
FAR, STRIPS_ROOM = 112 * 1024, 64 * 1024
# Elements that `packed` must have room for, whatever the dtype: a panel of B, and a stripe of sums, or those of a single row;
# then strips.
PANEL = max((KC * AT_ONCE + STRIPE) * NV, (KC + 1) * NV_ROW) * LANES32
PACKED = PANEL + STRIPS_ROOM


@intrinsic
def pack(typingctx, k, cols, b, ldb, out):
    """out[p, j] = b[p*ldb + j] for k rows of NV vectors, zero in columns from `cols` on."""
    lanes = element(b)[1]

    def codegen(context, builder, sig, args):
        k, cols, b, ldb, out = args
        masks = [first_lanes(builder, builder.sub(cols, I64(v * lanes)), lanes) for v in range(NV)]
        _copy_rows(builder, k, b, ldb, [(I64(v * lanes), out, I64(v * lanes), mask) for v, mask in enumerate(masks)], lanes)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, b, types.intp, b), codegen


@intrinsic
def pack_at_once(typingctx, k, b, ldb, out):
    """As `pack` of AT_ONCE panels side by side, all of whose columns are there."""
    lanes = element(b)[1]

    def codegen(context, builder, sig, args):
        k, b, ldb, out = args
        size = builder.mul(k, I64(NV * lanes))
        panels = [builder.gep(out, [builder.mul(size, I64(q))]) for q in range(AT_ONCE)]
        places = [(I64((q * NV + v) * lanes), panels[q], I64(v * lanes), None) for q in range(AT_ONCE) for v in range(NV)]
        _copy_rows(builder, k, b, ldb, places, lanes)
        return context.get_dummy_value()

    return types.void(types.intp, b, types.intp, b), codegen


def _copy_rows(builder, k, b, ldb, places, lanes):
    """Emit a loop over k rows of b, in each of which vectors go from an offset to an offset in a panel."""
    with cgutils.for_range(builder, k, intp=I64) as row:
        source, target = builder.mul(row.index, ldb), builder.mul(row.index, I64(NV * lanes))
        for left, panel, at, mask in places:
            store(builder, load(builder, b, builder.add(source, left), lanes, mask), panel, builder.add(target, at))


@intrinsic
def pack_strips(typingctx, k, whole, last, a, cs, apart, out):
    """A's columns of k rows in strips of MR: out[s*apart + p*STRIP + i] = a[p*cs + s*MR + i].

    After `whole` strips, behind which A has STRIP - MR columns more, comes one of `last`, up to STRIP.
    """

    def codegen(context, builder, sig, args):
        k, whole, last, a, cs, apart, out = args
        mask = first_lanes(builder, last, STRIP)
        with cgutils.for_range(builder, k, intp=I64) as row:
            source, target = builder.mul(row.index, cs), builder.mul(row.index, I64(STRIP))

            def copy(strip, mask):
                left, at = builder.mul(strip, I64(MR)), builder.mul(strip, apart)
                store(builder, load(builder, a, builder.add(source, left), STRIP, mask), out, builder.add(target, at))

            with cgutils.for_range(builder, whole, intp=I64) as strip:
                copy(strip.index, None)
            copy(whole, mask)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, a, types.intp, types.intp, a), codegen


@inner
def _pack_turned(k, cols, b, ldb, out):
    """out[p, j] = b[j*ldb + p] for k rows, up to the last whole vector with one of `cols` columns."""
    lanes = lanes_of(b)
    width = NV * lanes
    for j in range(0, cols, lanes):
        for p in range(0, k, lanes):
            transpose(min(lanes, cols - j), min(lanes, k - p), shift(b, j * ldb + p), ldb, shift(out, p * width + j), width)


@inner
def _pack(k, cols, b, ldb, transposed, out):
    """Panels of k rows, one after the other, with `cols` columns in all."""
    width = NV * lanes_of(b)
    if AT_ONCE > 1 and not transposed and cols == AT_ONCE * width:
        pack_at_once(k, b, ldb, out)
        return
    for j in range(0, cols, width):
        n = min(width, cols - j)
        if transposed:
            _pack_turned(k, n, shift(b, j * ldb), ldb, shift(out, j * k))
        else:
            pack(k, n, shift(b, j), ldb, shift(out, j * k))


@glue
def _tiles(m, n, k, a, rs, cs, below, b, ldb, csb, c, ldc, start, first, ldf, end, aux, ldaux):
    """The tiles of whichever kind A and B ask for."""
    if csb is not None:
        lanes_tiles(m, n, k, a, rs, cs, b, ldb, csb, c, ldc, start, first, ldf, end, aux, ldaux)
    elif rs == 1:
        turned_tiles(m, n, k, a, cs, below, b, ldb, c, ldc, start, first, ldf, end, aux, ldaux)
    else:
        tiles(m, n, k, a, rs, b, ldb, c, ldc, start, first, ldf, end, aux, ldaux)


@glue
def _panels_of_tiles(m, n, width, k, a, rs, cs, below, b, ldb, csb, c, ldc, start, first, ldf, end, aux, ldaux):
    """As `_tiles`, of up to `width` columns of B, or of packed panels of so many, which follow each other."""
    j = 0
    while j < n:
        first_j = first if start == START_COLUMN else shift(first, j)
        b_j, c_j, aux_j = shift(b, j * k), shift(c, j), shift(aux, j)
        _tiles(m, min(n - j, width), k, a, rs, cs, below, b_j, ldb, csb, c_j, ldc, start, first_j, ldf, end, aux_j, ldaux)
        j += width


@glue
def _spans(rows, ldb, lanes):
    """Whether so many rows of B fight for the cache's sets."""
    return rows * ldb * (32 // lanes) > PACK_SPAN


@glue
def _in_strips(k, rs, cs, ldb, lanes):
    """Whether A is copied in strips, if a thread's share of C is large enough: for a B that is packed without them too."""
    return rs == 1 and k * cs > FAR and _spans(min(k, KC_ACROSS), ldb, lanes)


@glue
def _depth(k, rs, cs, ldb, lanes):
    """Rows of B in a panel. Sums are cut there where they are added to others: what threads share, m and n, may not count."""
    return KC_ACROSS if rs == 1 and not _in_strips(k, rs, cs, ldb, lanes) else KC


@glue
def gemm(m, n, k, a, rs, cs, b, ldb, transposed, csb, c, ldc, start, bias, end, aux, ldaux, packed):
    """C = finish(begin + A @ B) for C (m, n), A (m, k) with strides rs and cs, one of them 1, B (k, n) with row stride ldb,
    or if `transposed` the transpose of such an array of shape (n, k).

    START_* and END_* of tile.py say how the sums begin and finish; bias is (n,), or (m,) with START_COLUMN, aux is (m, n) with
    row stride ldaux and may be C. END_ADD takes START_ZERO, and C as aux. C overlaps nothing else. `packed` is scratch for
    PACKED elements. With k = 0, C = finish(begin).

    csb is None, or the distance of B's columns where each lane has a product of its own: then every element of A, B and C is
    a vector, rs and cs are free, n counts C's numbers in whole vectors, and nothing is packed; see `lanes_tiles`.

    Rows of a transposed A that lie far apart are copied first, in strips, where B is packed too.

    Where k is more than a panel's, the sums wait in C from one panel to the next, or with END_ADD are added to it panel by
    panel; but where C holds an aux that is still needed, they wait in scratch, a stripe of rows at a time.
    """
    depth = _depth(k, rs, cs, ldb, lanes_of(a))
    packing = csb is None and (transposed or (m >= PACK_ROWS and _spans(min(k, depth), ldb, lanes_of(a))))
    if k <= depth and not packing:
        _tiles(m, n, k, a, rs, cs, MR, b, ldb, csb, c, ldc, start, bias, 1 if start == START_COLUMN else 0, end, aux, ldaux)
    else:
        _panels(m, n, k, a, rs, cs, b, ldb, transposed, csb, c, ldc, start, bias, end, aux, ldaux, packed, packing, depth)


@inner
def _panels(m, n, k, a, rs, cs, b, ldb, transposed, csb, c, ldc, start, bias, end, aux, ldaux, packed, packing, depth):
    """As `gemm`, a panel of B after the other, packed or not."""
    lanes = lanes_of(a)
    width = (NV_ROW if m == 1 and csb is None and not transposed else NV) * lanes
    waits_in_c = k <= depth or end != END_TIMES
    at_once = width * AT_ONCE if packing and waits_in_c else width
    stripe = m if waits_in_c else STRIPE
    # An odd number of 64 (or 128) bytes: a row of all strips, which is written at a time, is in all sets of the cache then.
    apart = ((k + 1) // 2 | 1) * 2 * STRIP
    fit = apart * ((PACK_ROWS + MR - 1) // MR) <= STRIPS_ROOM
    strips = packing and _in_strips(k, rs, cs, ldb, lanes) and waits_in_c and n > width and fit
    if strips:
        stripe = STRIPS_ROOM // apart * MR
    top = 0
    while top < m:  # the length of a range is a division
        rows, left = min(stripe, m - top), 0
        a_top, cs_top, below = shift(a, top * rs), cs, MR
        if strips:
            whole = whole_strips(rows)
            a_top, cs_top, below = shift(packed, PANEL), STRIP, apart
            pack_strips(k, whole, rows - whole * MR, shift(a, top), cs, apart, a_top)
        while left < n:
            cols, p = min(n - left, at_once), 0
            if HALVES and width == NV * lanes and width < n - left <= width + lanes:
                cols = 2 * lanes  # as `tiles` would cut them
            while True:
                kc, column = min(k - p, depth), left if csb is None else left // lanes * csb
                b_p, ldp = shift(b, column * ldb + p if transposed else p * ldb + column), ldb
                if packing:
                    _pack(kc, cols, b_p, ldb, transposed, packed)
                    b_p, ldp = packed, width
                c_p, aux_p = shift(c, top * ldc + left), shift(aux, top * ldaux + left)
                sums, lds = c_p, ldc
                if not waits_in_c:
                    sums, lds = shift(packed, KC * width), width
                begin, first, ldf = start, shift(bias, left), 0
                if start == START_COLUMN:
                    first, ldf = shift(bias, top), 1
                if p > 0 and end != END_ADD:
                    begin, first, ldf = START_SUMS, sums, lds
                finish, out, ldo = END_STORE, sums, lds
                if p + kc == k or end == END_ADD:
                    finish, out, ldo = end, c_p, ldc
                a_p = shift(a_top, p * cs_top)
                _panels_of_tiles(rows, cols, width, kc, a_p, rs, cs_top, below, b_p, ldp, csb, out, ldo, begin, first, ldf,
                                 finish, aux_p, ldaux)  # fmt: skip
                p += kc
                if p >= k:
                    break
            left += cols
        top += stripe


@glue
def product(m, n, k, a, rs, cs, b, ldb, c, ldc, start, bias, end, aux, ldaux, packed):
    """As `gemm` of B as it is. A product of one small tile, which takes as long as a call, is made where it is."""
    if 0 < m <= MR_EDGE and n <= lanes_of(a) and k <= _depth(k, rs, cs, ldb, lanes_of(a)):
        small_tile(m, n, k, a, rs, cs, b, ldb, c, ldc, start, bias, 0, end, aux, ldaux)
    else:
        gemm(m, n, k, a, rs, cs, b, ldb, False, None, c, ldc, start, bias, end, aux, ldaux, packed)
