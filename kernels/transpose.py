"""Transposes of small blocks, in registers."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .simd import I32, I64, Vec, element, first_lanes, load, store


@intrinsic
def transpose(typingctx, rows, cols, a, lda, b, ldb):
    """b[j, i] = a[i, j] for a block of lanes x lanes; a's rows and columns beyond `rows` and `cols` are not read.

    All of b's block is written: what has no counterpart in a gets other numbers of a or zeros.
    """
    _, lanes = element(a)

    def codegen(context, builder, sig, args):
        rows, cols, a, lda, b, ldb = args
        mask = first_lanes(builder, cols, lanes)
        block, row = [], I64(0)
        for i in range(lanes):
            if i:
                row = builder.select(builder.icmp_signed("<", I64(i), rows), I64(i), row)
            block.append(load(builder, a, builder.mul(lda, row), lanes, mask).v)
        block = _transposed(builder, block)
        for j in range(lanes):
            store(builder, Vec(builder, block[j]), b, builder.mul(ldb, I64(j)))
        return context.get_dummy_value()

    size = types.intp
    return types.void(size, size, a, size, a, size), codegen


def _transposed(builder, block):
    """The columns of a block, a list of as many vectors as they have lanes.

    CPUs interleave two vectors in one instruction within pieces of 128 bits, and in another put every second piece of two into
    one: as often as a piece's numbers, then the pieces, can be halved. To interleave whole vectors takes AVX2 two.
    """
    lanes, piece = len(block), 128 // Vec(builder, block[0]).bits

    def shuffle(x, y, places):
        return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, lanes), places))

    starts, half = range(0, lanes, piece), piece // 2
    low = [start + i // 2 + i % 2 * lanes for start in starts for i in range(piece)]
    for _ in range(piece.bit_length() - 1):
        pairs = [(block[start + i], block[start + i + half]) for start in starts for i in range(half)]
        block = [shuffle(x, y, [i + above for i in low]) for x, y in pairs for above in (0, half)]
    even = [start + i for start in range(0, 2 * lanes, 2 * piece) for i in range(piece)]
    for _ in range(len(starts).bit_length() - 1):
        pairs = [(block[i], block[i + piece]) for start in range(0, lanes, 2 * piece) for i in range(start, start + piece)]
        block = [shuffle(x, y, [i + right for i in even]) for right in (0, piece) for x, y in pairs]
    return block


@intrinsic
def transpose_narrow(typingctx, k, a, b, ldb):
    """b[j, i] = a[i, j] for a vector's lanes of rows of k numbers, for 1 < k < lanes / 2.

    Each column is picked out of k vectors, in k - 1 shuffles of two.
    """
    _, lanes = element(a)

    def codegen(context, builder, sig, args):
        k, a, b, ldb = args
        leave = builder.append_basic_block("transpose.leave")
        switch = builder.switch(k, leave)
        for width in range(2, lanes // 2):
            block = builder.append_basic_block("transpose.width")
            switch.add_case(I64(width), block)
            builder.position_at_end(block)
            vectors = [load(builder, a, I64(v * lanes), lanes).v for v in range(width)]
            for j in range(width):
                store(builder, Vec(builder, _pick(builder, vectors, j)), b, builder.mul(ldb, I64(j)))
            builder.branch(leave)
        builder.position_at_end(leave)
        return context.get_dummy_value()

    return types.void(types.intp, a, a, types.intp), codegen


def _pick(builder, vectors, first):
    """Every len(vectors)-th number of some vectors side by side, from number `first` on."""
    lanes = vectors[0].type.count
    places = [divmod(first + i * len(vectors), lanes) for i in range(lanes)]
    picked = vectors[0]
    for v in range(1, len(vectors)):
        # From the vectors before this one a lane has what it shall have already, but for the first of them.
        before = [place if v == 1 else i for i, (_, place) in enumerate(places)]
        index = [lanes + place if vector == v else before[i] for i, (vector, place) in enumerate(places)]
        picked = builder.shuffle_vector(picked, vectors[v], ir.Constant(ir.VectorType(I32, lanes), index))
    return picked
