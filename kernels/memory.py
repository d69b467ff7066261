"""Memory that an entry takes for itself and gives back: without reference counts, `np.empty` is not to be had."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .simd import I64


@intrinsic
def take(typingctx, n):
    """An array of n int64 numbers, so few that there is room for them; to be given back by `give_back`."""
    array_type = types.Array(types.int64, 1, "C")

    def codegen(context, builder, sig, args):
        function = ir.FunctionType(cgutils.voidptr_t, [I64])
        size = builder.mul(args[0], I64(8))
        data = builder.call(cgutils.get_or_insert_function(builder.module, function, "NRT_Allocate"), [size])
        array = context.make_array(array_type)(context, builder)
        array.data = builder.bitcast(data, array.data.type)
        array.nitems, array.itemsize = args[0], I64(8)
        array.shape, array.strides = cgutils.pack_array(builder, [args[0]]), cgutils.pack_array(builder, [I64(8)])
        array.meminfo, array.parent = (cgutils.get_null_value(field.type) for field in (array.meminfo, array.parent))
        return array._getvalue()

    return array_type(types.intp), codegen


@intrinsic
def give_back(typingctx, array):
    """Let memory of `take` be taken by others."""

    def codegen(context, builder, sig, args):
        function = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t])
        data = builder.bitcast(context.make_array(array)(context, builder, args[0]).data, cgutils.voidptr_t)
        builder.call(cgutils.get_or_insert_function(builder.module, function, "NRT_Free"), [data])
        return context.get_dummy_value()

    return types.void(array), codegen
