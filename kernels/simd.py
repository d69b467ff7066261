"""Vectors as LLVM IR.

``Vec`` wraps an LLVM vector value so that a kernel's arithmetic reads like arithmetic. Everything is explicit: LLVM neither
reassociates nor narrows it.
"""

from __future__ import annotations

import os

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

I32, I64 = ir.IntType(32), ir.IntType(64)


def _vector_bytes() -> int:
    """Width in bytes of the widest float vectors that the code generator's CPU has."""
    if config.CPU_FEATURES is not None:
        features = set(config.CPU_FEATURES.split(","))
    elif config.CPU_NAME in (None, "host"):
        features = {f"+{name}" for name, present in llvm.get_host_cpu_features().items() if present}
    else:
        features = set()  # a named CPU without its features: the baseline that every 64-bit CPU has
    if "+avx512f" in features:
        return 64
    return 32 if "+avx" in features else 16


_HAS_AVX512 = _vector_bytes() == 64
VECTOR_BYTES = int(os.environ.get("FASTMLP_VECTOR_BYTES") or _vector_bytes())
LANES32, LANES64 = VECTOR_BYTES // 4, VECTOR_BYTES // 8


def element(numba_type) -> tuple[ir.Type, int]:
    """LLVM element type and number of lanes of a float32 or float64 scalar or pointer type."""
    scalar = numba_type.dtype if isinstance(numba_type, types.CPointer) else numba_type
    return (ir.FloatType(), LANES32) if scalar == types.float32 else (ir.DoubleType(), LANES64)


def element_lanes(elem: ir.Type) -> int:
    """Lanes in a vector of an LLVM element type."""
    return LANES32 if isinstance(elem, ir.FloatType) else LANES64


class Vec:
    """A vector of floats in LLVM IR; Python numbers mix in as splats."""

    __slots__ = ("b", "v")

    def __init__(self, builder, value):
        self.b, self.v = builder, value

    @property
    def type(self) -> ir.VectorType:
        return self.v.type

    @property
    def lanes(self) -> int:
        return self.v.type.count

    @property
    def bits(self) -> int:
        """32 or 64: the width of an element."""
        return 32 if isinstance(self.v.type.element, ir.FloatType) else 64

    @property
    def int_type(self) -> ir.VectorType:
        return ir.VectorType(ir.IntType(self.bits), self.lanes)

    def const(self, number) -> Vec:
        """`number` in every lane, in this vector's precision."""
        rounded = float(np.float32(number)) if self.bits == 32 else float(number)
        return Vec(self.b, ir.Constant(self.type, [rounded] * self.lanes))

    def int_const(self, number):
        return ir.Constant(self.int_type, [number] * self.lanes)

    def _other(self, other):
        return other.v if isinstance(other, Vec) else self.const(other).v

    def _call(self, name, *args) -> Vec:
        suffix = f"v{self.lanes}f{self.bits}"
        fn = cgutils.get_or_insert_function(
            self.b.module, ir.FunctionType(self.type, [self.type] * len(args)), f"llvm.{name}.{suffix}"
        )
        return Vec(self.b, self.b.call(fn, args))

    def __add__(self, other):
        return Vec(self.b, self.b.fadd(self.v, self._other(other)))

    def __sub__(self, other):
        return Vec(self.b, self.b.fsub(self.v, self._other(other)))

    def __mul__(self, other):
        return Vec(self.b, self.b.fmul(self.v, self._other(other)))

    def __truediv__(self, other):
        return Vec(self.b, self.b.fdiv(self.v, self._other(other)))

    def __radd__(self, other):
        return self.const(other) + self

    def __rsub__(self, other):
        return self.const(other) - self

    def __rmul__(self, other):
        return self.const(other) * self

    def __rtruediv__(self, other):
        return self.const(other) / self

    def __neg__(self):
        return Vec(self.b, self.b.fneg(self.v))

    def fma(self, factor, addend) -> Vec:
        """self * factor + addend, fused where the CPU can."""
        return self._call("fmuladd", self.v, self._other(factor), self._other(addend))

    def root(self) -> Vec:
        """sqrt(self) for self >= 0, to within one unit in the last place.

        By Goldschmidt's iteration where the CPU can begin with an estimate: AVX-512 takes two or three times as long for the
        exact root, on the unit that divides.
        """
        if not (_HAS_AVX512 and self.lanes * self.bits == 512):
            return self.sqrt()
        smallest, largest = (2.0**-126, 3.4028234e38) if self.bits == 32 else (2.0**-1022, 1.7976931348623157e308)
        x = self.minimum(largest)
        y = x.maximum(smallest)._estimate("rsqrt14")
        s, half = x * y, y * 0.5
        for _ in range(self.bits // 32):
            error = (-s).fma(half, 0.5)
            s, half = s.fma(error, s), half.fma(error, half)
        return (self > largest).choose(self, s)

    def _estimate(self, name) -> Vec:
        """The CPU's estimate of a function of normal numbers, to 14 bits."""
        kind, mask = ("ps", ir.IntType(16)) if self.bits == 32 else ("pd", ir.IntType(8))
        function = ir.FunctionType(self.type, [self.type, self.type, mask])
        fn = cgutils.get_or_insert_function(self.b.module, function, f"llvm.x86.avx512.{name}.{kind}.512")
        return Vec(self.b, self.b.call(fn, [self.v, self.v, ir.Constant(mask, -1)]))

    @property
    def looks_up(self) -> bool:
        """Whether the CPU has :meth:`lookup` for such vectors."""
        return _HAS_AVX512 and self.lanes == 16

    def lookup(self, index, table) -> Vec:
        """table[index] in each lane, for 32 numbers and an LLVM vector of integers, of which the lowest five bits count."""
        halves = [ir.Constant(self.type, [float(np.float32(number)) for number in half]) for half in (table[:16], table[16:])]
        function = ir.FunctionType(self.type, [self.type, self.int_type, self.type])
        fn = cgutils.get_or_insert_function(self.b.module, function, "llvm.x86.avx512.vpermi2var.ps.512")
        return Vec(self.b, self.b.call(fn, [halves[0], index, halves[1]]))

    def sqrt(self) -> Vec:
        return self._call("sqrt", self.v)

    def abs(self) -> Vec:
        return self._call("fabs", self.v)

    def split(self):
        """The absolute value, and the sign bit alone (LLVM integers)."""
        sign = self.b.and_(self.as_int(), self.int_const(1 << (self.bits - 1)))
        return self.from_int(self.b.xor(self.as_int(), sign)), sign

    def with_sign(self, sign) -> Vec:
        """A number that is not negative, or NaN, with the sign bit of `split`."""
        return self.from_int(self.b.or_(self.as_int(), sign))

    def copysign(self, sign) -> Vec:
        return self._call("copysign", self.v, self._other(sign))

    def compare(self, op, other) -> Mask:
        """Ordered comparison: false where either side is NaN."""
        return Mask(self.b, self.b.fcmp_ordered(op, self.v, self._other(other)))

    def __gt__(self, other):
        return self.compare(">", other)

    def __lt__(self, other):
        return self.compare("<", other)

    def __ge__(self, other):
        return self.compare(">=", other)

    def __le__(self, other):
        return self.compare("<=", other)

    def is_nan(self) -> Mask:
        return Mask(self.b, self.b.fcmp_unordered("uno", self.v, self.v))

    def maximum(self, other) -> Vec:
        """The larger one; a NaN in self stays."""
        other = Vec(self.b, self._other(other))
        return (self < other).choose(other, self)

    def minimum(self, other) -> Vec:
        """The smaller one; a NaN in self stays."""
        other = Vec(self.b, self._other(other))
        return (self > other).choose(other, self)

    def as_int(self):
        """The same bits as a vector of integers (an LLVM value)."""
        return self.b.bitcast(self.v, self.int_type)

    def from_int(self, value) -> Vec:
        """A vector of this type from an LLVM vector of integers of the same width, bits unchanged."""
        return Vec(self.b, self.b.bitcast(value, self.type))

    def reduce(self, op):
        """Fold the lanes pairwise with op(Vec, Vec) -> Vec; returns an LLVM scalar."""
        x, lanes = self.v, self.lanes
        while lanes > 1:
            lanes //= 2
            low, high = (Vec(self.b, _lanes(self.b, x, first, lanes)) for first in (0, lanes))
            x = op(low, high).v
        return self.b.extract_element(x, I32(0))


class Mask:
    """The result of comparing Vecs; one of the first lanes knows how many they are (an LLVM value)."""

    __slots__ = ("b", "count", "v")

    def __init__(self, builder, value, count=None):
        self.b, self.v, self.count = builder, value, count

    def choose(self, yes: Vec, no) -> Vec:
        """`yes` where the mask is set, `no` elsewhere."""
        if not isinstance(yes, Vec):
            yes = no.const(yes)
        no = no if isinstance(no, Vec) else yes.const(no)
        return Vec(self.b, self.b.select(self.v, yes.v, no.v))

    def __and__(self, other):
        return Mask(self.b, self.b.and_(self.v, other.v))

    def __or__(self, other):
        return Mask(self.b, self.b.or_(self.v, other.v))


def splat(builder, scalar, lanes) -> Vec:
    """A scalar in every lane."""
    undef = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    v = builder.insert_element(undef, scalar, I32(0))
    return Vec(builder, builder.shuffle_vector(v, undef, ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)))


def zeros(builder, elem, lanes) -> Vec:
    return Vec(builder, ir.Constant(ir.VectorType(elem, lanes), [0.0] * lanes))


def first_lanes(builder, count, lanes) -> Mask:
    """Mask of the first `count` lanes (an i64 LLVM value; counts beyond the vector set every lane)."""
    undef = ir.Constant(ir.VectorType(I32, lanes), ir.Undefined)
    n = builder.insert_element(undef, builder.trunc(count, I32), I32(0))
    n = builder.shuffle_vector(n, undef, ir.Constant(ir.VectorType(I32, lanes), [0] * lanes))
    return Mask(builder, builder.icmp_signed("<", ir.Constant(ir.VectorType(I32, lanes), list(range(lanes))), n), count)


def keep_rolled(module, branch) -> None:
    """Have the loop of this branch back not unrolled, which computes more addresses beforehand than a short loop uses."""
    option = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    loop = module.add_metadata([option, ir.MetaDataString(module, f"loop {len(module.metadata)}")])
    loop.operands = (loop, option)  # what names a loop begins with itself
    branch.set_metadata("llvm.loop", loop)


def load(builder, pointer, offset, lanes, mask: Mask | None = None) -> Vec:
    """The vector at pointer[offset]; lanes outside `mask` are not read and give zero."""
    elem = pointer.type.pointee
    vtype = ir.VectorType(elem, lanes)
    at = builder.bitcast(builder.gep(pointer, [offset]), vtype.as_pointer())
    align = 4 if isinstance(elem, ir.FloatType) else 8
    if mask is None:
        return Vec(builder, builder.load(at, align=align))
    name = f"llvm.masked.load.v{lanes}f{align * 8}.p0"
    fn = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vtype, [at.type, I32, mask.v.type, vtype]), name)
    zero = ir.Constant(vtype, [0.0] * lanes)
    return Vec(builder, builder.call(fn, [at, I32(align), mask.v, zero]))


def store(builder, value: Vec, pointer, offset, mask: Mask | None = None) -> None:
    """Write a vector to pointer[offset], only the lanes in `mask`, one of the first lanes."""
    store_each(builder, [value], [builder.gep(pointer, [offset])], mask)


def store_each(builder, values, pointers, mask: Mask | None = None) -> None:
    """Write vectors to pointers, of each only the lanes in `mask`, one of the first lanes, of which there are 0 or more."""
    assert mask is None or mask.count is not None
    if mask is None:
        for value, pointer in zip(values, pointers, strict=True):
            _store(builder, value.v, pointer)
    elif _HAS_AVX512:
        for value, pointer in zip(values, pointers, strict=True):
            at, align = builder.bitcast(pointer, value.type.as_pointer()), value.bits // 8
            kinds = [value.type, at.type, I32, mask.v.type]
            name = f"llvm.masked.store.v{value.lanes}f{value.bits}.p0"
            fn = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), kinds), name)
            builder.call(fn, [value.v, at, I32(align), mask.v])
    else:
        _store_parts(builder, [value.v for value in values], pointers, mask.count)


def _store(builder, value, pointer) -> None:
    align = 4 if isinstance(value.type.element, ir.FloatType) else 8
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=align)


def _store_parts(builder, values, pointers, count) -> None:
    """The first `count` lanes of each vector: half of them at once, or a quarter, and so on.

    Where there are no masks, a masked store is 42 instructions of the CPU's own (AMD's, with AVX2), or one lane after another.
    """
    lanes = values[0].type.count
    with builder.if_else(builder.icmp_signed(">=", count, I64(lanes))) as (whole, part):
        with whole:
            for value, pointer in zip(values, pointers, strict=True):
                _store(builder, value, pointer)
        with part:
            while lanes > 1:
                lanes //= 2
                low, high = ([_lanes(builder, value, first, lanes) for value in values] for first in (0, lanes))
                before = builder.block
                odd = builder.icmp_signed("!=", builder.and_(count, I64(lanes)), I64(0))
                with builder.if_then(odd):
                    for value, pointer in zip(low, pointers, strict=True):
                        _store(builder, value, pointer)
                    behind = [builder.gep(pointer, [I64(lanes)]) for pointer in pointers]
                    stored = builder.block
                values = [_phi(builder, (x, before), (y, stored)) for x, y in zip(low, high, strict=True)]
                pointers = [_phi(builder, (p, before), (q, stored)) for p, q in zip(pointers, behind, strict=True)]


def _lanes(builder, vector, first, count):
    """Lanes first..first + count of an LLVM vector."""
    undef = ir.Constant(vector.type, ir.Undefined)
    return builder.shuffle_vector(vector, undef, ir.Constant(ir.VectorType(I32, count), list(range(first, first + count))))


def _phi(builder, *arrivals):
    """The value of whichever block one comes from."""
    phi = builder.phi(arrivals[0][0].type)
    for value, block in arrivals:
        phi.add_incoming(value, block)
    return phi


def prefetch(builder, pointer) -> None:
    """Ask for the line of a pointer, which may be anywhere: to lie in the L2 cache when it is loaded."""
    i8, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
    name = "llvm.prefetch.p0"
    function = builder.module.globals.get(name)
    if function is None:
        function = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), [i8, i32, i32, i32]), name)
    builder.call(function, [builder.bitcast(pointer, i8), i32(0), i32(2), i32(1)])


@intrinsic
def address(typingctx, array, offset):
    """Pointer to array.flat[offset] of a C-contiguous array."""

    def codegen(context, builder, sig, args):
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        return builder.gep(data, [args[1]])

    return types.CPointer(array.dtype)(array, types.intp), codegen


@intrinsic
def shift(typingctx, pointer, offset):
    """pointer + offset elements."""

    def codegen(context, builder, sig, args):
        return builder.gep(args[0], [args[1]])

    return pointer(pointer, types.intp), codegen


@intrinsic
def peek(typingctx, pointer, offset):
    """pointer[offset]."""

    def codegen(context, builder, sig, args):
        return builder.load(builder.gep(args[0], [args[1]]))

    return pointer.dtype(pointer, types.intp), codegen


@intrinsic
def poke(typingctx, pointer, offset, value):
    """pointer[offset] = value."""

    def codegen(context, builder, sig, args):
        value = context.cast(builder, args[2], sig.args[2], sig.args[0].dtype)
        builder.store(value, builder.gep(args[0], [args[1]]))
        return context.get_dummy_value()

    return types.void(pointer, types.intp, value), codegen


@intrinsic
def cast(typingctx, pointer, value):
    """A number in the pointer's element type."""

    def codegen(context, builder, sig, args):
        return context.cast(builder, args[1], sig.args[1], sig.return_type)

    return pointer.dtype(pointer, value), codegen


@intrinsic
def lanes_of(typingctx, pointer):
    """Lanes in a vector of the pointer's element type, a compile-time constant."""
    lanes = element(pointer)[1]

    def codegen(context, builder, sig, args):
        return context.get_constant(types.intp, lanes)

    return types.intp(pointer), codegen
