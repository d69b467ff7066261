"""Activations f with their derivatives f', each computed together from z, on whole stretches of memory.

One function of Vecs per activation; adding one is one entry of ``_FUNCTIONS``, with its id and its twin. Numbers that are
not there are the user's own activations (``custom.py``).
"""

from __future__ import annotations

import functools
import math

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import custom
from .ids import (
    ELU,
    EXP,
    GELU,
    GELU_TANH,
    HARD_SIGMOID,
    HARD_SWISH,
    IDENTITY,
    LEAKY_RELU,
    MISH,
    RELU,
    SELU,
    SIGMOID,
    SILU,
    SOFTPLUS,
    TANH,
)
from .jit import entry, inner
from .maps import add, elementwise, largest, loop, scale
from .simd import I64, Vec, address, element, element_lanes, first_lanes, lanes_of, load, shift, splat, store
from .vmath import verf, vexp, vexp_negative, vexpm1_negative, vsigmoid, vsoftplus, vtanh

LEAK = 0.01
# z² from which on gelu_tanh's gate is 0 or 1 to the last bit, and its slope 0; it may be infinite, and 0 times that is NaN.
GELU_FAR = 1e4
# Klambauer et al., "Self-normalizing neural networks" (NeurIPS 2017), equation 14.
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def _identity(z: Vec):
    return z, z.const(1.0)


def _relu(z: Vec):
    # The derivative of a NaN is 0, but its output stays NaN and so does the loss.
    return z.maximum(0.0), (z > 0.0).choose(z.const(1.0), 0.0)


def _leaky_relu(z: Vec):
    slope = (z > 0.0).choose(z.const(1.0), LEAK)
    return slope * z, slope


def _elu(z: Vec):
    below = vexpm1_negative(z.minimum(0.0))
    positive = z > 0.0
    return positive.choose(z, below), positive.choose(z.const(1.0), below + 1.0)


def _selu(z: Vec):
    below = SELU_ALPHA * vexpm1_negative(z.minimum(0.0))
    positive = z > 0.0
    return SELU_SCALE * positive.choose(z, below), SELU_SCALE * positive.choose(z.const(1.0), below + SELU_ALPHA)


def _gelu(z: Vec):
    half_normal = 0.5 + 0.5 * verf(z * math.sqrt(0.5))
    density = vexp_negative(z * z * -0.5) * (1.0 / math.sqrt(2.0 * math.pi))
    return z * half_normal, z.fma(density, half_normal)


def _gelu_tanh(z: Vec):
    c, cubic = math.sqrt(2.0 / math.pi), 0.044715
    square = (z * z).minimum(GELU_FAR)
    t = vtanh(c * z * square.fma(cubic, 1.0))
    half = 0.5 + 0.5 * t
    slope = (1.0 - t * t) * (0.5 * c) * square.fma(3.0 * cubic, 1.0)
    return z * half, z.fma(slope, half)


def _silu(z: Vec):
    s = vsigmoid(z)
    a = z * s
    return a, a.fma(1.0 - s, s)


def _mish(z: Vec):
    # tanh(softplus(z)) = n / (n + 2) with n = w (w + 2), w = e^z; beyond 20 it is 1 to the last bit.
    bounded = z.minimum(20.0)
    w = vexp(bounded)
    n = w * (w + 2.0)
    reciprocal = 1.0 / (n + 2.0)
    t = n * reciprocal
    return z * t, (bounded * reciprocal).fma(4.0 * w * (w + 1.0) * reciprocal, t)  # 4 z may be infinite


def _softplus(z: Vec):
    return vsoftplus(z), vsigmoid(z)


def _tanh(z: Vec):
    a = vtanh(z)
    return a, 1.0 - a * a


def _sigmoid(z: Vec):
    a = vsigmoid(z)
    return a, a * (1.0 - a)


def _hard_sigmoid(z: Vec):
    a = z.fma(1.0 / 6.0, 0.5).maximum(0.0).minimum(1.0)
    return a, ((z > -3.0) & (z < 3.0)).choose(z.const(1.0 / 6.0), 0.0)


def _hard_swish(z: Vec):
    gate = z.fma(1.0 / 6.0, 0.5).maximum(0.0).minimum(1.0)
    slope = (z > -3.0).choose((z < 3.0).choose(z.fma(1.0 / 3.0, 0.5), 1.0), 0.0)
    return z * gate, slope


def _exponential(z: Vec):
    e = vexp(z)
    return e, e


_FUNCTIONS = {
    IDENTITY: _identity,
    RELU: _relu,
    LEAKY_RELU: _leaky_relu,
    ELU: _elu,
    SELU: _selu,
    GELU: _gelu,
    GELU_TANH: _gelu_tanh,
    SILU: _silu,
    MISH: _mish,
    SOFTPLUS: _softplus,
    TANH: _tanh,
    SIGMOID: _sigmoid,
    HARD_SIGMOID: _hard_sigmoid,
    HARD_SWISH: _hard_swish,
    EXP: _exponential,
}


def _dispatch(builder, activation, rows, width, ld, z, outs, write):
    """Emit loops over rows and vectors for each activation and a jump to the one asked for.

    write(offset, mask, f, f') stores a vector to `outs`, which activations that are no part of the engine get as they are.
    """
    elem = z.type.pointee
    lanes = element_lanes(elem)
    done = builder.append_basic_block("activation.done")
    other = builder.append_basic_block("activation.custom")
    switch = builder.switch(activation, other)
    builder.position_at_end(other)
    custom.call(builder, activation, custom.ACTIVATE if len(outs) == 2 else custom.APPLY, elem, [rows, width, ld, z, *outs])
    builder.branch(done)
    for number, function in _FUNCTIONS.items():
        block = builder.append_basic_block(f"activation{function.__name__}")
        switch.add_case(I64(number), block)
        builder.position_at_end(block)
        with cgutils.for_range(builder, rows, intp=I64) as row:
            start = builder.mul(row.index, ld)

            def apply(i, mask, function=function, start=start):
                at = builder.add(start, i)
                write(at, mask, *function(load(builder, z, at, lanes, mask)))

            loop(builder, width, lanes, elem, apply)
        builder.branch(done)
    builder.position_at_end(done)


@intrinsic
def _activate_loops(typingctx, activation, rows, width, ld, z, a, g):
    def codegen(context, builder, sig, args):
        *where, z, a, g = args

        def write(i, mask, value, slope):
            store(builder, value, a, i, mask)
            store(builder, slope, g, i, mask)

        _dispatch(builder, *where, z, (a, g), write)
        return context.get_dummy_value()

    index = types.intp
    return types.void(index, index, index, index, z, a, g), codegen


@intrinsic
def _apply_loops(typingctx, activation, rows, width, ld, z, a):
    def codegen(context, builder, sig, args):
        *where, z, a = args
        _dispatch(builder, *where, z, (a,), lambda i, mask, value, _: store(builder, value, a, i, mask))
        return context.get_dummy_value()

    index = types.intp
    return types.void(index, index, index, index, z, a), codegen


@inner
def _activate(activation, rows, width, ld, z, a, g):
    """a = f(z), g = f'(z) for the first `width` numbers of `rows` rows, which are ld apart; a or g may be z."""
    _activate_loops(activation, rows, width, ld, z, a, g)


@inner
def _apply(activation, rows, width, ld, z, a):
    """a = f(z) for the first `width` numbers of `rows` rows, which are ld apart; a may be z."""
    _apply_loops(activation, rows, width, ld, z, a)


@elementwise("z", fold=largest)
def _top(z):
    return z


@elementwise("z +p", "top", fold=add)
def _exp_below(z, top):
    e = vexp_negative(z - top)
    return e, e


def _softmax_of(vectors):
    """Make an intrinsic that is `_softmax_row` for what so many vectors hold: nothing that is stored has to be loaded again."""

    def definition(typingctx, k, z, p):
        def codegen(context, builder, sig, args):
            count, logits, shares = args
            _, lanes = element(z)
            masks = [first_lanes(builder, builder.sub(count, I64(i * lanes)), lanes) for i in range(vectors)]
            values = [load(builder, logits, I64(i * lanes), lanes, mask) for i, mask in enumerate(masks)]
            # A NaN makes the sum one, whatever the largest is.
            tops = [mask.choose(value, -math.inf) for mask, value in zip(masks, values, strict=True)]
            top = functools.reduce(Vec.maximum, tops).reduce(Vec.maximum)
            below = [vexp_negative(value - splat(builder, top, lanes)) for value in values]
            below = [mask.choose(value, 0.0) for mask, value in zip(masks, below, strict=True)]
            total = functools.reduce(add, below).reduce(add)
            factor = splat(builder, builder.fdiv(total.type(1.0), total), lanes)
            for i, mask in enumerate(masks):
                store(builder, below[i] * factor, shares, I64(i * lanes), mask)
            return context.make_tuple(builder, sig.return_type, [top, total])

        return types.UniTuple(z.dtype, 2)(types.intp, z, p), codegen

    definition.__name__ = f"softmax_of_{vectors}"
    return intrinsic(definition)


_softmax_of_one, _softmax_of_two = _softmax_of(1), _softmax_of(2)


@inner
def _softmax_row(k, z, p):
    """p = softmax(z) for k logits; returns their largest and sum(e^(z - that)). p may be z."""
    if k <= lanes_of(z):
        return _softmax_of_one(k, z, p)
    if k <= 2 * lanes_of(z):
        return _softmax_of_two(k, z, p)
    top = _top(k, (z,), ())
    total = _exp_below(k, (z, p), (top,))
    scale(k, (p,), (1.0 / total,))
    return top, total


@inner
def _softmax_rows(m, k, z, ldz, p, ldp):
    """p = softmax of m rows of k logits; p may be z."""
    for i in range(m):
        _softmax_row(k, shift(z, i * ldz), shift(p, i * ldp))


@entry
def activate(activation, z, a, g):
    """a = f(z) and g = f'(z) for z, a, g (n,); a or g may be z. Formulas: fastmlp/activations.py."""
    _activate(activation, 1, z.size, 0, address(z, 0), address(a, 0), address(g, 0))


@entry
def apply(activation, z, a):
    """a = f(z) for z and a (n,), which may be the same array."""
    _apply(activation, 1, z.size, 0, address(z, 0), address(a, 0))


@entry
def softmax(z, p):
    """p = softmax of the rows of z; z and p (n, K) may be the same array."""
    n, k = z.shape
    _softmax_rows(n, k, address(z, 0), k, address(p, 0), k)
