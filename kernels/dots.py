"""Dot products, and products of columns: sums along memory, whose last step is a sum over the lanes."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import inner
from .simd import I32, I64, LANES32, Vec, element, first_lanes, load, shift, store_each, zeros

# Accumulators, A's vectors and one of B's share the CPU's registers. Four sums end in one vector of four. What is left over of
# rows and columns may need no more than the smaller tiles.
ROWS, COLS = (6, 4) if LANES32 == 16 else (3, 4)
FEW_ROWS, FEW_COLS = (3, 2) if LANES32 == 16 else (1, 2)
# Rows whose dot products with one vector are taken side by side.
DOT_ROWS = 4


@intrinsic
def dots(typingctx, rows, k, a, lda, w, start, z, ldz):
    """z[i*ldz] = start + a[i, :] . w for the first `rows` <= 4 rows of a; vectors run along k."""
    elem, lanes = element(a)

    def codegen(context, builder, sig, args):
        rows, k, a, lda, w, start, z, ldz = args
        row = [I64(0)]
        for m in range(1, DOT_ROWS):
            row.append(builder.select(builder.icmp_signed("<", I64(m), rows), I64(m), row[-1]))
        a_rows = [builder.gep(a, [builder.mul(lda, r)]) for r in row]
        whole = builder.and_(k, I64(-lanes))
        before = builder.block
        head, body, tail = (builder.append_basic_block(f"dots.{n}") for n in ("head", "body", "tail"))
        builder.branch(head)

        builder.position_at_end(head)
        p = builder.phi(I64)
        acc = [builder.phi(ir.VectorType(elem, lanes)) for _ in row]
        p.add_incoming(I64(0), before)
        for phi in acc:
            phi.add_incoming(zeros(builder, elem, lanes).v, before)
        builder.cbranch(builder.icmp_signed("<", p, whole), body, tail)

        def advance(mask=None):
            w_p = load(builder, w, p, lanes, mask)
            return [load(builder, a_m, p, lanes, mask).fma(w_p, Vec(builder, x)) for a_m, x in zip(a_rows, acc, strict=True)]

        builder.position_at_end(body)
        for phi, value in zip(acc, advance(), strict=True):
            phi.add_incoming(value.v, body)
        p.add_incoming(builder.add(p, I64(lanes)), body)
        builder.branch(head)

        builder.position_at_end(tail)
        for r, value in zip(row, advance(first_lanes(builder, builder.sub(k, whole), lanes)), strict=True):
            total = builder.fadd(value.reduce(lambda x, y: x + y), start)
            builder.store(total, builder.gep(z, [builder.mul(ldz, r)]))
        return context.get_dummy_value()

    index = types.intp
    return types.void(index, index, a, index, a, a.dtype, a, index), codegen


@intrinsic
def _dot_tile(typingctx, rows, cols, k, a, b, c, ldc, add):
    """C[i, j] = (C[i, j] if add) + sum of A[i, p] B[j, p] over p < k, for `rows` <= ROWS and `cols` <= COLS.

    The rows of A and B are k apart, and k is whole vectors.
    """
    lanes = element(a)[1]

    def codegen(context, builder, sig, args):
        rows, cols = args[:2]
        with builder.if_else(builder.icmp_signed(">", cols, I64(FEW_COLS))) as (many, few):
            for way, n_cols in ((many, COLS), (few, FEW_COLS)):
                with way, builder.if_else(builder.icmp_signed(">", rows, I64(FEW_ROWS))) as (most, less):
                    with most:
                        _emit_tile(builder, ROWS, n_cols, lanes, *args)
                    with less:
                        _emit_tile(builder, FEW_ROWS, n_cols, lanes, *args)
        return context.get_dummy_value()

    index = types.intp
    return types.void(index, index, index, a, a, a, index, types.boolean), codegen


def _emit_tile(builder, n_rows, n_cols, lanes, rows, cols, k, a, b, c, ldc, add):
    """Emit `_dot_tile` of n_rows by n_cols."""
    elem = a.type.pointee

    def rows_of(pointer, count, stride, most):
        # Those that are too many are the last one again.
        found, i = [pointer], I64(0)
        for n in range(1, most):
            i = builder.select(builder.icmp_signed("<", I64(n), count), I64(n), i)
            found.append(builder.gep(pointer, [builder.mul(stride, i)]))
        return found

    a_rows, b_rows, c_rows = rows_of(a, rows, k, n_rows), rows_of(b, cols, k, n_cols), rows_of(c, rows, ldc, n_rows)
    before = builder.block
    head, body, done = (builder.append_basic_block(f"dots.{n}") for n in ("head", "body", "done"))
    builder.branch(head)

    builder.position_at_end(head)
    p = builder.phi(I64)
    p.add_incoming(I64(0), before)
    cells = [(i, j) for i in range(n_rows) for j in range(n_cols)]
    sums = {cell: builder.phi(ir.VectorType(elem, lanes)) for cell in cells}
    for phi in sums.values():
        phi.add_incoming(zeros(builder, elem, lanes).v, before)
    builder.cbranch(builder.icmp_signed("<", p, k), body, done)

    builder.position_at_end(body)
    a_p = [load(builder, row, p, lanes) for row in a_rows]
    for j, row in enumerate(b_rows):
        b_jp = load(builder, row, p, lanes)
        for i in range(n_rows):
            sums[i, j].add_incoming(a_p[i].fma(b_jp, Vec(builder, sums[i, j])).v, body)
    p.add_incoming(builder.add(p, I64(lanes)), body)
    builder.branch(head)

    builder.position_at_end(done)
    mask = first_lanes(builder, cols, n_cols)
    totals = [_sums(builder, [sums[i, j] for j in range(n_cols)], lanes) for i in range(n_rows)]
    # Every row is read before any is written: rows that are too many are the last one again.
    with builder.if_else(add) as (then, otherwise):
        with then:
            sums = [load(builder, row, I64(0), n_cols, mask) + total for row, total in zip(c_rows, totals, strict=True)]
            store_each(builder, sums, c_rows, mask)
        with otherwise:
            store_each(builder, totals, c_rows, mask)


def _sums(builder, vectors, lanes) -> Vec:
    """A vector with the sum of the lanes of each of some vectors, a power of two of them."""

    def pick(x, y, places):
        return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, len(places)), places))

    def halves(x, y, low, high):
        return builder.fadd(pick(x, y, low), pick(x, y, high))

    each = lanes  # lanes that still belong to one sum
    while len(vectors) > 1 and each > 1:
        half = each // 2
        low = [i for i in range(2 * lanes) if i % each < half]
        vectors = [halves(x, y, low, [i + half for i in low]) for x, y in zip(vectors[::2], vectors[1::2], strict=True)]
        each = half
    while each > 1:
        (x,) = vectors
        half = each // 2
        low = [i for i in range(x.type.count) if i % each < half]
        vectors, each = [halves(x, x, low, [i + half for i in low])], half
    while len(vectors) > 1:
        both = list(range(2 * vectors[0].type.count))
        vectors = [pick(x, y, both) for x, y in zip(vectors[::2], vectors[1::2], strict=True)]
    return Vec(builder, vectors[0])


@inner
def products(m, n, k, a, b, c, add):
    """C (m, n) = A @ B.T for A (m, k) and B (n, k), added to C if `add`; k is whole vectors."""
    for j in range(0, n, COLS):
        for i in range(0, m, ROWS):
            _dot_tile(min(ROWS, m - i), min(COLS, n - j), k, shift(a, i * k), shift(b, j * k), shift(c, i * n + j), n, add)
