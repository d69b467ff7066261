"""A few numbers of an entry's own: Numba's `np.empty` needs reference counts, which entries do without.

Up to FEW of them, as networks of ten layers need, lie on the stack: asking the system takes as long as a small layer.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .simd import I64

FEW = 128


@intrinsic
def take(typingctx, n):
    """An uninitialised array of n int64 numbers, for `give_back`; where this stands in the source has one at a time.

    It is not asked whether there is memory for them: they are a few for each layer.
    """
    array_type = types.Array(types.int64, 1, "C")

    def codegen(context, builder, sig, args):
        place = cgutils.alloca_once_value(builder, cgutils.alloca_once(builder, I64, FEW))
        with builder.if_then(builder.icmp_signed(">", args[0], I64(FEW)), likely=False):
            function = ir.FunctionType(cgutils.voidptr_t, [I64])
            size = builder.mul(args[0], I64(8))
            data = builder.call(cgutils.get_or_insert_function(builder.module, function, "NRT_Allocate"), [size])
            builder.store(builder.bitcast(data, I64.as_pointer()), place)
        array = context.make_array(array_type)(context, builder)
        array.data = builder.load(place)
        array.nitems, array.itemsize = args[0], I64(8)
        array.shape, array.strides = cgutils.pack_array(builder, [args[0]]), cgutils.pack_array(builder, [I64(8)])
        array.meminfo, array.parent = (cgutils.get_null_value(field.type) for field in (array.meminfo, array.parent))
        return array._getvalue()

    return array_type(types.intp), codegen


@intrinsic
def give_back(typingctx, array):
    """Let memory of `take` be taken by others."""

    def codegen(context, builder, sig, args):
        taken = context.make_array(array)(context, builder, args[0])
        with builder.if_then(builder.icmp_signed(">", taken.nitems, I64(FEW)), likely=False):
            function = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t])
            data = builder.bitcast(taken.data, cgutils.voidptr_t)
            builder.call(cgutils.get_or_insert_function(builder.module, function, "NRT_Free"), [data])
        return context.get_dummy_value()

    return types.void(array), codegen


@intrinsic
def hold(typingctx, array):
    """Have an array of `np.empty` until here: Numba gives it back where it is named last, which its address is not."""
    return types.void(array), lambda context, builder, sig, args: context.get_dummy_value()
