"""Named tuples that lie in memory: kernels hand on their address, and read a field where they need it.

A named tuple is passed field by field, and an array in it as nine words, all of which each function stores for the next one.
"""

from __future__ import annotations

from numba import types
from numba.core import cgutils
from numba.core.imputils import impl_ret_borrowed, lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import intrinsic, models, register_model


class Kept(types.Type):
    """What `kept` makes of a named tuple: its fields can be read, not assigned."""

    def __init__(self, kind: types.NamedTuple) -> None:
        super().__init__(f"Kept({kind})")
        self.dtype = kind


register_model(Kept)(models.PointerModel)


@infer_getattr
class _Fields(AttributeTemplate):
    key = Kept

    def generic_resolve(self, kind, field):
        fields = kind.dtype.fields
        return kind.dtype.types[fields.index(field)] if field in fields else None


@lower_getattr_generic(Kept)
def _field(context, builder, kind, pointer, field):
    i = kind.dtype.fields.index(field)
    value = context.unpack_value(builder, kind.dtype.types[i], cgutils.gep_inbounds(builder, pointer, 0, i))
    return impl_ret_borrowed(context, builder, kind.dtype.types[i], value)  # whoever counts references gives this one back


@intrinsic
def kept(typingctx, values):
    """The address of a copy of a named tuple, which lasts as long as the entry that this is called in."""

    def codegen(context, builder, sig, args):
        place = cgutils.alloca_once(builder, context.get_data_type(values))
        context.pack_value(builder, values, args[0], place)
        return place

    return Kept(values)(values), codegen
