"""Matrix products of any size from the register tile: panels and packing.

The loops are those of Goto and van de Geijn (ACM TOMS 34(3), 2008), less the packing of A: a panel of B stays in L1
while the rows of A pass by.
"""

from __future__ import annotations

from numba import types
from numba.extending import intrinsic

from .jit import inner
from .simd import I64, LANES32, element, first_lanes, lanes_of, load, shift, store
from .tile import END_STORE, MR, MR_EDGE, NV, START_C, tile

# Rows of B in a panel: KC * NR elements are at most half of a 32 KB L1 cache.
KC = 256
# A panel is packed where its rows lie so far apart that they fight for the cache's sets, and enough rows of A use it.
PACK_SPAN = 24 * 1024
PACK_ROWS = 16
# Elements that `packed` must have room for, whatever the dtype.
PACKED = KC * NV * LANES32


@intrinsic
def pack(typingctx, k, cols, b, ldb, out):
    """out[p, j] = b[p*ldb + j] for k rows of NV vectors, zero in columns from `cols` on."""
    lanes = element(b)[1]

    def codegen(context, builder, sig, args):
        k, cols, b, ldb, out = args
        masks = [first_lanes(builder, builder.sub(cols, I64(v * lanes)), lanes) for v in range(NV)]
        before = builder.block
        head, body, done = (builder.append_basic_block(f"pack.{n}") for n in ("head", "body", "done"))
        builder.branch(head)
        builder.position_at_end(head)
        p = builder.phi(I64)
        p.add_incoming(I64(0), before)
        builder.cbranch(builder.icmp_signed("<", p, k), body, done)
        builder.position_at_end(body)
        source, target = builder.mul(p, ldb), builder.mul(p, I64(NV * lanes))
        for v in range(NV):
            row = load(builder, b, builder.add(source, I64(v * lanes)), lanes, masks[v])
            store(builder, row, out, builder.add(target, I64(v * lanes)))
        p.add_incoming(builder.add(p, I64(1)), body)
        builder.branch(head)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, b, types.intp, b), codegen


@inner
def gemm(m, n, k, a, rs, cs, b, ldb, c, ldc, start, bias, end, aux, ldaux, packed):
    """C = finish(begin + A @ B) for C (m, n), A (m, k) with strides rs and cs, B (k, n) with row stride ldb.

    START_* and END_* of tile.py say how the sums begin and finish; bias is (n,), aux is (m, n) with row stride ldaux and
    may be C. C overlaps nothing else. `packed` is scratch for PACKED elements. With k = 0, C = finish(begin).
    """
    width = NV * lanes_of(a)
    packing = m >= PACK_ROWS and min(k, KC) * ldb * (32 // lanes_of(a)) > PACK_SPAN
    p = 0
    while True:
        kc = min(k - p, KC)
        begin = start if p == 0 else START_C
        finish = end if p + kc == k else END_STORE
        j = 0
        while j < n:
            cols = min(n - j, width)
            b_panel, ldp = shift(b, p * ldb + j), ldb
            if packing:
                pack(kc, cols, b_panel, ldb, packed)
                b_panel, ldp = packed, width
            i = 0
            while i < m:
                # Two edge tiles are faster than a full one and a nearly empty one.
                rows = m - i
                rows = MR_EDGE if rows == 2 * MR_EDGE else min(rows, MR)
                tile(rows, cols, kc, shift(a, i * rs + p * cs), rs, cs, b_panel, ldp, shift(c, i * ldc + j), ldc,
                     begin, shift(bias, j), finish, shift(aux, i * ldaux + j), ldaux)  # fmt: skip
                i += rows
            j += width
        p += kc
        if p >= k:
            break
