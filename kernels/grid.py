"""Tables of whole numbers, by address: kernels hand them on as two words, where an array is nine.

An array's index may count from its end and its rows may lie anywhere, which costs five instructions for each number that is
read. Here rows follow each other, are as long as the type says, and count from the first.
"""

from __future__ import annotations

import operator

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

from .simd import I64


class Grid(types.Type):
    """What `grid` makes of an array; `grid[i, j]` and `len(grid)` are as the array's, numbers are int64."""

    def __init__(self, dtype: types.Integer, columns: int) -> None:
        super().__init__(f"Grid({dtype}, {columns})")
        self.dtype, self.columns = dtype, columns


@register_model(Grid)
class _GridModel(models.StructModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, [("data", types.CPointer(kind.dtype)), ("rows", types.intp)])


@intrinsic(prefer_literal=True)
def grid(typingctx, array, columns):
    """A C-contiguous array (n, columns) of int64 or int32, which must outlive it, as a Grid; the columns must be a constant."""
    kind = Grid(array.dtype, columns.literal_value)

    def codegen(context, builder, sig, args):
        source = context.make_array(array)(context, builder, args[0])
        made = cgutils.create_struct_proxy(kind)(context, builder)
        made.data, made.rows = source.data, cgutils.unpack_tuple(builder, source.shape)[0]
        return made._getvalue()

    return kind(array, columns), codegen


def cell(context, builder, kind, value, row, column):
    """Emit the address of a Grid's number."""
    data = cgutils.create_struct_proxy(kind)(context, builder, value=value).data
    return builder.gep(data, [builder.add(builder.mul(row, I64(kind.columns)), column)])


@type_callable(operator.getitem)
def _type_getitem(context):
    return lambda kind, at: types.int64 if isinstance(kind, Grid) and isinstance(at, types.BaseTuple) else None


@lower_builtin(operator.getitem, Grid, types.BaseTuple)
def _getitem(context, builder, sig, args):
    number = builder.load(cell(context, builder, sig.args[0], args[0], *cgutils.unpack_tuple(builder, args[1])))
    return context.cast(builder, number, sig.args[0].dtype, types.int64)


@type_callable(operator.setitem)
def _type_setitem(context):
    return lambda kind, at, number: types.void if isinstance(kind, Grid) else None


@lower_builtin(operator.setitem, Grid, types.BaseTuple, types.Integer)
def _setitem(context, builder, sig, args):
    number = context.cast(builder, args[2], sig.args[2], sig.args[0].dtype)
    builder.store(number, cell(context, builder, sig.args[0], args[0], *cgutils.unpack_tuple(builder, args[1])))
    return context.get_dummy_value()


@type_callable(len)
def _type_len(context):
    return lambda kind: types.intp if isinstance(kind, Grid) else None


@lower_builtin(len, Grid)
def _len(context, builder, sig, args):
    return cgutils.create_struct_proxy(sig.args[0])(context, builder, value=args[0]).rows
