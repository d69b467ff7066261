"""The register tile: every matrix product in the project is this.

A tile computes ``C[MR, NR] = finish(start + A[MR, k] @ B[k, NR])``, NR being NV vectors, with all accumulators in
registers. `tiles` covers a whole C with them, one column of tiles after the other. A may be transposed.

The rows of a tile are independent chains of fused multiply-adds over k in ascending order, whatever mr and nv are: the
bits of an element do not depend on how a matrix was cut into tiles.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .activations import SELU_ALPHA, SELU_SCALE
from .jit import glue
from .simd import I64, LANES32, Vec, element, first_lanes, keep_rolled, load, prefetch, splat, store_each, zeros

# Accumulators, B's vectors and one broadcast of A share the CPU's registers: 16 (SSE, AVX2) or 32 (AVX-512).
# Of the tiles that fit, these were measured to be the fastest.
MR, NV = (8, 3) if LANES32 == 16 else (6, 2)
# Up to this many rows take the same time, since a vector's multiply-add waits for the one before it.
MR_EDGE = 4
# Numbers from one row to the next in a strip of a transposed A, which has the columns of a tile or of the last two edge tiles.
STRIP = 2 * MR_EDGE
assert MR <= STRIP
# A single row has more vectors, for the same reason.
NV_ROW = 4
# Up to a vector more than a full tile goes in two halves: a tile of one vector waits for its multiply-adds.
HALVES = NV == 3
# Whether a tile of several vectors asks for the rows below it: one of 6 x 2 has no room for that between its multiply-adds.
ASKS = NV == 3
# Whether loops of smaller tiles, and of those with a product in each lane, are left rolled: with few registers, LLVM would have
# four turns' loads wait in memory.
ROLLED = NV == 2

# How the accumulators start: from zero, each row from the same bias, from sums of rows of B before these (which is for `gemm`
# alone), or each column from the same bias.
START_ZERO, START_BIAS, START_SUMS, START_COLUMN = 0, 1, 2, 3
# What happens to the sums before they are stored: nothing, max(c, 0), c * aux, c where aux > 0 else 0, aux + c, or c times
# the derivative of tanh or SELU, whose output aux is.
END_STORE, END_RELU, END_TIMES, END_WHERE_POSITIVE, END_ADD, END_TANH, END_SELU = 0, 1, 2, 3, 4, 5, 6


@intrinsic
def tiles(typingctx, m, n, k, a, rs, b, ldb, c, ldc, start, first, ldf, end, aux, ldaux):
    """C[m, n] = finish(begin + A @ B) with A[i, p] = a[i*rs + p], B[p, j] = b[p*ldb + j].

    A tile of fewer rows computes its last one again, which costs nothing in a tile that waits for its multiply-adds anyway;
    columns from n on are neither read nor written. A tile's operands are read before its C is written, so `first` (the bias,
    or the sums to go on from, with row stride ldf) and aux may be C.
    """

    def emit(builder, m, n, k, a, rs, *others):
        _tiles(builder, element(sig.args[3])[1], m, n, k, a, rs, I64(1), *others, ahead=ASKS)

    sig = _signature(m, n, k, a, rs, b, ldb, c, ldc, start, first, ldf, end, aux, ldaux)
    return sig, _apart("tiles", emit)


@intrinsic
def turned_tiles(typingctx, m, n, k, a, cs, below, b, ldb, c, ldc, start, first, ldf, end, aux, ldaux):
    """As `tiles`, with A[i, p] = a[i + p*cs]; from a whole tile's rows to the next ones it is `below`, MR if not in strips."""

    def emit(builder, m, n, k, a, cs, below, *others):
        _tiles(builder, element(sig.args[3])[1], m, n, k, a, I64(1), cs, *others, below=below)

    sig = _signature(m, n, k, a, cs, below, b, ldb, c, ldc, start, first, ldf, end, aux, ldaux)
    return sig, _apart("turned_tiles", emit)


@glue
def whole_strips(rows):
    """How many tiles of MR rows `tiles` makes of so many before the last one or two, which have up to STRIP."""
    return max(0, rows - STRIP + MR - 1) // MR


@intrinsic
def lanes_tiles(typingctx, m, n, k, a, rs, cs, b, ldb, csb, c, ldc, start, first, ldf, end, aux, ldaux):
    """As `tiles`, for one product in each lane: every element of A, B and C is a vector, of its own product in each lane.

    A[i, p] = a[i*rs + p*cs] and B[p, j] = b[p*ldb + j*csb] are vectors from there on, and C's columns lie side by side: n
    counts its numbers, in whole vectors, so that there are no masks.
    """

    def emit(builder, m, n, k, a, rs, cs, b, ldb, csb, *others):
        _tiles(builder, element(sig.args[3])[1], m, n, k, a, rs, cs, b, ldb, *others, csb=csb)

    sig = _signature(m, n, k, a, rs, cs, b, ldb, csb, c, ldc, start, first, ldf, end, aux, ldaux)
    return sig, _apart("lanes_tiles", emit)


@intrinsic
def small_tile(typingctx, rows, cols, k, a, rs, cs, b, ldb, c, ldc, start, first, ldf, end, aux, ldaux):
    """As `tiles` with free strides of A, for up to MR_EDGE rows and a vector of columns: so little code that it is inlined."""
    lanes = element(a)[1]
    sig = _signature(rows, cols, k, a, rs, cs, b, ldb, c, ldc, start, first, ldf, end, aux, ldaux)

    def codegen(context, builder, sig, args):
        _tile(builder, MR_EDGE, 1, True, lanes, *args, rolled=True)
        return context.get_dummy_value()

    return sig, codegen


def _signature(*operands):
    """Pointers as they are, whole numbers for all else."""
    return types.void(*(operand if isinstance(operand, types.CPointer) else types.intp for operand in operands))


def _apart(name, emit):
    """Code generation that calls a function of the module's own, which emit(builder, *args) makes the first time.

    Inlined, tiles of all sizes would have their addresses computed before it is known which of them is needed.
    """

    def codegen(context, builder, sig, args):
        elem = element(sig.args[3])[0]
        full = f"{name}.{elem}"
        function = builder.module.globals.get(full)
        if function is None:
            function = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), [arg.type for arg in args]), full)
            function.linkage = "internal"
            function.attributes.add("noinline")
            function.attributes.add("nounwind")
            body = ir.IRBuilder(function.append_basic_block("entry"))
            emit(body, *function.args)
            body.ret_void()
        builder.call(function, args)
        return context.get_dummy_value()

    return codegen


def _tiles(
    builder, lanes, m, n, k, a, rs, cs, b, ldb, c, ldc, start, first, ldf, end, aux, ldaux,
    csb=None, ahead=False, below=None,
):  # fmt: skip
    """Emit the loops over a whole C: across its columns, in each of them down its rows."""
    masks = (False,) if csb else (False, True)

    def tile(rows, cols, rights, downs, n_rows, vectors, masked):
        a, c, first, aux = downs
        operands = rows, cols, k, a, rs, cs, rights[0], ldb, c, ldc, start, first, ldf, end, aux, ldaux
        _tile(builder, n_rows, vectors, masked, lanes, *operands, csb=csb, ahead=ahead and n_rows == MR and vectors > 1)

    def one(cols, rights, vectors, masked):
        tile(I64(1), cols, rights, (a, *rights[1:]), 1, vectors, masked)

    def down(cols, rights, vectors, masked):
        enter = builder.block
        head, body, done = (builder.append_basic_block(f"down.{name}") for name in ("head", "body", "done"))
        builder.branch(head)
        builder.position_at_end(head)
        left = builder.phi(I64)
        left.add_incoming(m, enter)
        tops = a, *rights[1:]
        downs = [builder.phi(pointer.type) for pointer in tops]
        for pointer, top in zip(downs, tops, strict=True):
            pointer.add_incoming(top, enter)
        builder.cbranch(builder.icmp_signed(">", left, I64(0)), body, done)
        builder.position_at_end(body)
        # Two edge tiles are faster than a full one and a nearly empty one; `whole_strips` counts on it.
        most = builder.select(builder.icmp_signed(">", left, I64(2 * MR_EDGE)), I64(MR), I64(MR_EDGE))
        rows = builder.select(builder.icmp_signed(">", left, I64(MR)), most, left)
        with builder.if_else(builder.icmp_signed(">", rows, I64(MR_EDGE))) as (large, edge):
            with large:
                tile(rows, cols, rights, downs, MR, vectors, masked)
            with edge, builder.if_else(builder.icmp_signed(">", rows, I64(1))) as (several, last):
                with several:
                    tile(rows, cols, rights, downs, MR_EDGE, vectors, masked)
                with last:
                    tile(rows, cols, rights, downs, 1, vectors, masked)
        left.add_incoming(builder.sub(left, rows), builder.block)
        down_a, *others = (builder.mul(rows, stride) for stride in (rs, ldc, ldf, ldaux))
        if below:
            down_a = builder.select(builder.icmp_signed("==", rows, I64(MR)), below, down_a)
        for pointer, step in zip(downs, (down_a, *others), strict=True):
            pointer.add_incoming(builder.gep(pointer, [step]), builder.block)
        builder.branch(head)
        builder.position_at_end(done)

    # A number for each row is the same in all columns.
    along = builder.select(builder.icmp_signed("==", start, I64(START_COLUMN)), I64(0), I64(lanes))
    rights, steps = (b, c, first, aux), (csb or I64(lanes), I64(lanes), along, I64(lanes))
    if csb:
        _across(builder, NV, n, lanes, masks, rights, steps, down)
        return
    with builder.if_else(builder.icmp_signed("==", m, I64(1))) as (single, several):
        with single:
            _across(builder, NV_ROW, n, lanes, masks, rights, steps, one)
        with several:
            _across(builder, NV, n, lanes, masks, rights, steps, down)


def _across(builder, most, n, lanes, masks, lefts, steps, emit):
    """Emit a loop over n columns by `most` vectors at a time, and what is left over for each number of vectors and mask."""
    enter = builder.block
    head, body, rest, leave = (builder.append_basic_block(f"across.{name}") for name in ("head", "body", "rest", "leave"))
    builder.branch(head)
    builder.position_at_end(head)
    cols, rights = builder.phi(I64), [builder.phi(pointer.type) for pointer in lefts]
    cols.add_incoming(n, enter)
    for pointer, left in zip(rights, lefts, strict=True):
        pointer.add_incoming(left, enter)

    def emit_and_go_on(vectors):
        emit(cols, rights, vectors, False)
        cols.add_incoming(builder.sub(cols, I64(vectors * lanes)), builder.block)
        for pointer, step in zip(rights, steps, strict=True):
            pointer.add_incoming(builder.gep(pointer, [builder.mul(I64(vectors), step)]), builder.block)
        builder.branch(head)

    whole = I64(most * lanes)
    halving = most == NV and HALVES
    if halving:
        halves, other = (builder.append_basic_block(f"across.{name}") for name in ("halves", "other"))
        more = builder.icmp_signed(">", cols, whole)
        but_little = builder.icmp_signed("<=", cols, I64((most + 1) * lanes))
        builder.cbranch(builder.and_(more, but_little), halves, other)
        builder.position_at_end(other)
    builder.cbranch(builder.icmp_signed(">=", cols, whole), body, rest)
    builder.position_at_end(body)
    emit_and_go_on(most)
    builder.position_at_end(rest)
    for vectors in range(most, 0, -1):
        for masked in masks:
            least = vectors * lanes if not masked else (vectors - 1) * lanes + 1
            if least == most * lanes:
                continue
            half = halving and vectors == 2 and not masked
            fits = halves if half else builder.append_basic_block("across.fits")
            other = builder.append_basic_block("across.other")
            builder.cbranch(builder.icmp_signed(">=", cols, I64(least)), fits, other)
            builder.position_at_end(fits)
            if half:
                emit_and_go_on(vectors)
            else:
                emit(cols, rights, vectors, masked)
                builder.branch(leave)
            builder.position_at_end(other)
    builder.branch(leave)
    builder.position_at_end(leave)


def _tile(
    builder, n_rows, vectors, masked, lanes, rows, cols, k, a, rs, cs, b, ldb, c, ldc, start, first, ldf, end, aux, ldaux,
    csb=None, rolled=False, ahead=False,
):  # fmt: skip
    """Emit the loop of a tile of n_rows by `vectors` vectors; with csb it is that of `lanes_tiles`.

    With `ahead` it asks for the rows of A below it, which another core may have written: a number of each in eight turns.
    """
    elem = a.type.pointee
    mask = first_lanes(builder, builder.sub(cols, I64((vectors - 1) * lanes)), lanes) if masked else None
    masks = [mask if v == vectors - 1 else None for v in range(vectors)]
    cells = [(m, v) for m in range(n_rows) for v in range(vectors)]
    row = [I64(0)]
    for m in range(1, n_rows):
        row.append(builder.select(builder.icmp_signed("<", I64(m), rows), I64(m), row[-1]))

    def rows_of(pointer, stride):
        return [builder.gep(pointer, [builder.mul(stride, r)]) for r in row]

    def vector(pointer, v):
        return load(builder, pointer, I64(v * lanes), lanes, masks[v])

    a_rows = rows_of(a, rs)
    b_columns = [builder.gep(b, [builder.mul(I64(v), csb or I64(lanes))]) for v in range(vectors)]
    acc0 = _begin(builder, start, cells, lambda: rows_of(first, ldf), vector, elem, lanes)
    entry = builder.block
    head, body, done = (builder.append_basic_block(f"tile.{n}") for n in ("head", "body", "done"))
    builder.branch(head)

    builder.position_at_end(head)
    p, a_at, b_at = builder.phi(I64), builder.phi(I64), builder.phi(I64)
    for counter in (p, a_at, b_at):
        counter.add_incoming(I64(0), entry)
    acc = {cell: builder.phi(ir.VectorType(elem, lanes)) for cell in cells}
    for cell in cells:
        acc[cell].add_incoming(acc0[cell].v, entry)
    builder.cbranch(builder.icmp_signed("<", p, k), body, done)

    builder.position_at_end(body)
    if ahead:
        below = builder.mul(rs, builder.add(I64(MR), builder.and_(p, I64(7))))
        prefetch(builder, builder.gep(a, [builder.add(below, a_at)]))
    b_row = [load(builder, b_columns[v], b_at, lanes, masks[v]) for v in range(vectors)]
    for m in range(n_rows):
        if csb:
            a_mp = load(builder, a_rows[m], a_at, lanes)
        else:
            a_mp = splat(builder, builder.load(builder.gep(a_rows[m], [a_at])), lanes)
        for v in range(vectors):
            acc[m, v].add_incoming(a_mp.fma(b_row[v], Vec(builder, acc[m, v])).v, body)
    p.add_incoming(builder.add(p, I64(1)), body)
    a_at.add_incoming(builder.add(a_at, cs), body)
    b_at.add_incoming(builder.add(b_at, ldb), body)
    back = builder.branch(head)
    if rolled or (ROLLED and (n_rows < MR or csb)):
        keep_rolled(builder.module, back)

    builder.position_at_end(done)
    sums = {cell: Vec(builder, acc[cell]) for cell in cells}
    sums = _finish(builder, end, sums, lambda: rows_of(aux, ldaux), vector)
    c_rows = rows_of(c, ldc)
    for v in range(vectors):
        places = [builder.gep(pointer, [I64(v * lanes)]) for pointer in c_rows]
        store_each(builder, [sums[m, v] for m in range(n_rows)], places, masks[v])


def _begin(builder, start, cells, first_rows, vector, elem, lanes):
    """Accumulators' initial values by `start`: zero, one row for all, a row each, or a number for each row.

    Like those of `_finish`, pointers are made where they are used: a tile of a small network has little to do beside that.
    """

    def one_row():
        pointer = first_rows()[0]
        row = {v: vector(pointer, v) for m, v in cells if m == 0}
        return {(m, v): row[v] for m, v in cells}

    def rows():
        pointers = first_rows()
        return {(m, v): vector(pointers[m], v) for m, v in cells}

    def numbers():
        number = [splat(builder, builder.load(pointer), lanes) for pointer in first_rows()]
        return {(m, v): number[m] for m, v in cells}

    zero = zeros(builder, elem, lanes)
    ways = {START_BIAS: one_row, START_SUMS: rows, START_COLUMN: numbers}
    return _select(builder, start, ways, {cell: zero for cell in cells})


def _finish(builder, end, sums, aux_rows, vector):
    """The sums as they are to be stored, by `end`."""

    def aux():
        pointers = aux_rows()
        return {(m, v): vector(pointers[m], v) for m, v in sums}

    def times():
        by = aux()
        return {cell: x * by[cell] for cell, x in sums.items()}

    def add():
        before = aux()
        return {cell: before[cell] + x for cell, x in sums.items()}

    def where_positive():
        by = aux()
        return {cell: (by[cell] > 0.0).choose(x, 0.0) for cell, x in sums.items()}

    def tanh():
        by = aux()
        return {cell: x * (-by[cell]).fma(by[cell], 1.0) for cell, x in sums.items()}

    def selu():
        by = aux()
        slopes = {cell: (a > 0.0).choose(a.const(SELU_SCALE), a + SELU_SCALE * SELU_ALPHA) for cell, a in by.items()}
        return {cell: x * slopes[cell] for cell, x in sums.items()}

    ways = {
        END_RELU: lambda: {cell: x.maximum(0.0) for cell, x in sums.items()},
        END_TIMES: times,
        END_WHERE_POSITIVE: where_positive,
        END_ADD: add,
        END_TANH: tanh,
        END_SELU: selu,
    }
    return _select(builder, end, ways, sums)


def _select(builder, code, ways, default):
    """The dictionary of Vecs that `ways[code]()` makes, or `default` for any other code; one branch each."""
    join = builder.append_basic_block("select.join")
    switch = builder.switch(code, join)
    arrivals = [(default, builder.block)]
    for number, make in ways.items():
        block = builder.append_basic_block("select.way")
        switch.add_case(I64(number), block)
        builder.position_at_end(block)
        arrivals.append((make(), builder.block))
        builder.branch(join)
    builder.position_at_end(join)
    chosen = {}
    for cell, value in default.items():
        phi = builder.phi(value.type)
        for values, block in arrivals:
            phi.add_incoming(values[cell].v, block)
        chosen[cell] = Vec(builder, phi)
    return chosen
