"""Activations of the user's own, from programs of instructions to loops of vectors.

An instruction's operation is one function of Vecs in ``OPERATIONS``; its twin is in reference/custom.py.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from .maps import loop
from .simd import I32, I64, Mask, Vec, element_lanes, load, store
from .vmath import vcosh, verf, vexp, vexp_negative, vexpm1, vlog, vlog1p, vsigmoid, vsinh, vsoftplus, vtanh


def _power(x: Vec, n: int) -> Vec:
    result = None
    while n:
        if n & 1:
            result = x if result is None else result * x
        x, n = x * x, n >> 1
    return result


def _lane_by_lane(name):
    """A function of the C library, which is called for each lane."""

    def call(x: Vec) -> Vec:
        b, elem = x.b, x.type.element
        function = cgutils.get_or_insert_function(b.module, ir.FunctionType(elem, [elem]), name + ("f" if x.bits == 32 else ""))
        result = ir.Constant(x.type, ir.Undefined)
        for lane in range(x.lanes):
            value = b.call(function, [b.extract_element(x.v, I32(lane))])
            result = b.insert_element(result, value, I32(lane))
        return Vec(b, result)

    return call


def _maximum(x: Vec, y: Vec) -> Vec:
    return ((x < y) | y.is_nan()).choose(y, x)


def _minimum(x: Vec, y: Vec) -> Vec:
    return ((x > y) | y.is_nan()).choose(y, x)


def _tanh_softplus(x: Vec) -> Vec:
    # tanh(ln(1 + w)) = n / (n + 2) with n = w (w + 2), w = e^x; divided by w² for x >= 0, so that nothing overflows.
    e = vexp_negative(-x.abs())
    positive = x >= 0.0
    above = positive.choose(e.fma(2.0, 1.0), e * (e + 2.0))
    return above / (above + positive.choose(2.0 * (e * e), 2.0))


def _sign(x: Vec) -> Vec:
    return (x > 0.0).choose(x.const(1.0), (x < 0.0).choose(x.const(-1.0), x * 0.0))


OPERATIONS = {
    "neg": lambda x: -x,
    "abs": Vec.abs,
    "sign": _sign,
    "sqrt": Vec.sqrt,
    "exp": vexp,
    "expm1": vexpm1,
    "log": vlog,
    "log1p": vlog1p,
    "sinh": vsinh,
    "cosh": vcosh,
    "tanh": vtanh,
    "sigmoid": vsigmoid,
    "softplus": vsoftplus,
    "tanh_softplus": _tanh_softplus,
    "erf": verf,
    "sin": _lane_by_lane("sin"),
    "cos": _lane_by_lane("cos"),
    "atan": _lane_by_lane("atan"),
    "add": Vec.__add__,
    "sub": Vec.__sub__,
    "mul": Vec.__mul__,
    "div": Vec.__truediv__,
    "max": _maximum,
    "min": _minimum,
    "pow": _power,
    "where": Mask.choose,
    "gt": Vec.__gt__,
    "ge": Vec.__ge__,
    "lt": Vec.__lt__,
    "le": Vec.__le__,
    "eq": lambda x, y: x.compare("==", y),
    "ne": lambda x, y: x.compare("!=", y),
    "and": Mask.__and__,
    "or": Mask.__or__,
    "not": lambda mask: Mask(mask.b, mask.b.not_(mask.v)),
    "keep_nan": lambda z, value: z.is_nan().choose(z, value),
}


def run(lines, z: Vec) -> list:
    """What each instruction gives for a vector: Vecs and Masks."""
    results: list = []
    for op, *operands in lines:
        if op == "z":
            result = z
        elif op == "number":
            result = z.const(operands[0])
        elif op == "pow":
            result = _power(results[operands[0]], operands[1])
        else:
            result = OPERATIONS[op](*(results[place] for place in operands))
        results.append(result)
    return results


def function(module, name, elem, lines, places):
    """Add void name(rows, width, ld, z*, out*...) to an LLVM module: the results at `places` of a program, an out for each.

    For the first `width` numbers of `rows` rows, which are ld apart; an out may be z.
    """
    pointer = elem.as_pointer()
    made = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * 3 + [pointer] * (1 + len(places))), name)
    builder = ir.IRBuilder(made.append_basic_block("entry"))
    rows, width, ld, z, *outs = made.args
    lanes = element_lanes(elem)
    with cgutils.for_range(builder, rows, intp=I64) as row:
        start = builder.mul(row.index, ld)

        def apply(i, mask):
            at = builder.add(start, i)
            results = run(lines[: max(places) + 1], load(builder, z, at, lanes, mask))
            for place, out in zip(places, outs, strict=True):
                store(builder, results[place], out, at, mask)

        loop(builder, width, lanes, elem, apply)
    builder.ret_void()
