"""Functions of vectors, mapped over arrays; and what of that the kernels have in common.

``elementwise`` turns a function of Vecs into an intrinsic that maps it over arrays, and folds what it returns.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import glue, inner
from .simd import I64, Vec, element, first_lanes, load, peek, shift, splat, store


def elementwise(pointers: str, scalars: str = "", fold=None):
    """Make an intrinsic f(n, (pointers...), (scalars...)) that maps a function of Vecs over n elements.

    Parameters
    ----------
    pointers : str
        Names of the array operands. ``w`` is read, ``w!`` is read and written, ``+w`` is only written. The decorated
        function takes the read ones in order and returns a tuple with the new values of the written ones in order.
    scalars : str
        Names of scalar operands, passed on as splats; a pointer in the place of one gives each lane a number of its own.
    fold : function of two Vecs, optional
        If given, the function returns one more Vec, whose lanes are folded with it over all elements; the intrinsic
        returns that as a scalar (lanes past the end do not take part).

    Operands may be the same array, else they must not overlap. The last n % lanes elements go through masked loads and
    stores, so nothing beyond n is read or written.
    """
    names = pointers.split()
    reads = [not name.startswith("+") for name in names]
    writes = [name.startswith("+") or name.endswith("!") for name in names]
    n_scalars = len(scalars.split())

    def decorate(function):
        def definition(typingctx, n, operands, numbers):
            first = operands.types[0] if isinstance(operands, types.Tuple) else operands.dtype
            elem, lanes = element(first)
            result = first.dtype if fold else types.void
            assert (len(operands), len(numbers)) == (len(names), n_scalars), function.__name__

            def codegen(context, builder, sig, args):
                count = args[0]
                ptrs = [builder.extract_value(args[1], i) for i in range(len(names))]
                nums = []
                for i in range(n_scalars):
                    value = builder.extract_value(args[2], i)
                    if isinstance(sig.args[2][i], types.CPointer):
                        nums.append(load(builder, value, I64(0), lanes))
                    else:
                        nums.append(splat(builder, context.cast(builder, value, sig.args[2][i], first.dtype), lanes))

                def apply(i, mask):
                    values = [load(builder, p, i, lanes, mask) for p, r in zip(ptrs, reads, strict=True) if r]
                    out = function(*values, *nums)
                    out = out if isinstance(out, tuple) else (out,)
                    targets = [p for p, w in zip(ptrs, writes, strict=True) if w]
                    for p, value in zip(targets, out, strict=False):
                        store(builder, value, p, i, mask)
                    return out[-1] if fold else None

                return loop(builder, count, lanes, elem, apply, fold) or context.get_dummy_value()

            return result(types.intp, operands, numbers), codegen

        definition.__name__ = function.__name__
        definition.__doc__ = function.__doc__
        return intrinsic(definition)

    return decorate


def loop(builder, count, lanes, elem, apply, fold=None):
    """Emit a loop of apply(offset, mask or None) over full vectors and the masked tail; returns what `fold` makes, a scalar."""
    vtype = ir.VectorType(elem, lanes)
    whole = builder.and_(count, I64(-lanes))
    start = builder.block
    head, body, after, tail, done = (
        builder.append_basic_block(f"map.{name}") for name in ("head", "body", "after", "tail", "done")
    )
    builder.branch(head)
    builder.position_at_end(head)
    i = builder.phi(I64)
    i.add_incoming(I64(0), start)
    acc = builder.phi(vtype) if fold else None
    builder.cbranch(builder.icmp_signed("<", i, whole), body, after)

    builder.position_at_end(body)
    term = apply(i, None)
    i.add_incoming(builder.add(i, I64(lanes)), builder.block)
    if fold:
        identity = fold.identity(elem, lanes)
        acc.add_incoming(identity, start)
        acc.add_incoming(fold(Vec(builder, acc), term).v, builder.block)
    builder.branch(head)

    builder.position_at_end(after)
    builder.cbranch(builder.icmp_signed("<", whole, count), tail, done)
    builder.position_at_end(tail)
    mask = first_lanes(builder, builder.sub(count, whole), lanes)
    term = apply(whole, mask)
    if fold:
        term = mask.choose(term, Vec(builder, identity))
        total = fold(Vec(builder, acc), term).v
    tail_end = builder.block
    builder.branch(done)
    builder.position_at_end(done)
    if not fold:
        return None
    folded = builder.phi(vtype)
    folded.add_incoming(acc, after)
    folded.add_incoming(total, tail_end)
    return Vec(builder, folded).reduce(fold)


def add(x: Vec, y: Vec) -> Vec:
    """Fold by sum."""
    return x + y


def largest(x: Vec, y: Vec) -> Vec:
    """Fold by maximum; NaN spreads."""
    return ((x > y) | x.is_nan()).choose(x, y)


add.identity = lambda elem, lanes: ir.Constant(ir.VectorType(elem, lanes), [0.0] * lanes)
largest.identity = lambda elem, lanes: ir.Constant(ir.VectorType(elem, lanes), [float("-inf")] * lanes)


@elementwise("x!", "factor")
def scale(x, factor):
    return x * factor


@elementwise("x y", fold=add)
def dot(x, y):
    return x * y


@elementwise("x +y")
def copy(x):
    return x


@glue
def copy_rows(width, source, order, ordered, at, n, target, ld):
    """Rows `at` + 0..n of `source`, or those that order[at:] names, to rows ld apart."""
    for i in range(n):
        copy(width, (shift(source, (peek(order, at + i) if ordered else at + i) * width), shift(target, i * ld)), ())


@elementwise("+x", "value")
def fill(value):
    return value


@elementwise("x! y")
def accumulate(x, y):
    return x + y


@elementwise("x! y", "factor")
def add_times(x, y, factor):
    return y.fma(factor, x)


@elementwise("x!")
def rectify(x):
    return x.maximum(0.0)


@elementwise("x y z w", fold=add)
def _zero_times(x, y, z, w):
    return (x * 0.0 + y * 0.0) + (z * 0.0 + w * 0.0)


@inner
def finite(n, x):
    """Whether n numbers are finite: zero times any other number is NaN. Four at a time, since each sum waits for the last."""
    n4 = n // 4
    total = _zero_times(n4, (x, shift(x, n4), shift(x, 2 * n4), shift(x, 3 * n4)), ())
    for i in range(4 * n4, n):
        total += peek(x, i) * 0.0
    return total == 0.0
