"""Elementary functions on vectors, as branch-free polynomials.

Every polynomial is the minimax one (Remez exchange) for the function and interval named beside it. NaN gives NaN; ±inf
and the largest and smallest arguments give the function's limits. The largest errors, in units in the last place, are
in docs/performance.md; they are at most 2 in float32 and 4 in float64, with and without fused multiply-add.

Coefficients are part of the results that users reproduce: a changed one is a changed release.
"""

from __future__ import annotations

import math

from . import tanh_table
from .jit import entry
from .maps import elementwise
from .simd import LANES32, Vec, address

# (e^r - 1 - r) / r^2 for |r| <= ln(2)/2, lowest power first; relative error of e^r: 3e-9 and 6e-18.
_EXP32 = (0.49999993414103257, 0.16666520110763159, 0.041668393740172085, 0.0083687802599826185, 0.0013814496011347815)
_EXP64 = (
    0.50000000000000056, 0.16666666666666686, 0.041666666666572951, 0.0083333333333144115, 0.001388888893261566,
    0.00019841269903448304, 2.4801504145091348e-5, 2.7557227559611792e-6, 2.7626451762494665e-7, 2.5114603768965627e-8,
)  # fmt: skip
# (2 atanh(s) / s - 2) / s^2 as a polynomial in s^2, for s^2 <= 0.0295 (logarithm of a mantissa) and s^2 <= 1/9 (log1p).
_LOG32 = (0.66666775592967889, 0.39977605105762998, 0.29870588290333452)
_LOG64 = (
    0.66666666666667307, 0.39999999999433439, 0.28571428739020223, 0.2222219886173376, 0.18183551552365371,
    0.15314332266736174, 0.14793503269067788,
)  # fmt: skip
_LOG1P32 = (0.6666641446255113, 0.40021637715388244, 0.27999995555175014, 0.28020748554396333)
_LOG1P64 = (
    0.66666666666666316, 0.40000000000153757, 0.28571428548216768, 0.22222223950332252, 0.18181744529025954,
    0.15386548331621381, 0.13301112584330686, 0.12105071162423021, 0.083442313969471604, 0.17011397893991824,
)  # fmt: skip
# (tanh(x) / x - 1) / x^2 in x^2 for |x| <= 0.625; relative error 4e-9.
_TANH32 = (-0.3333328404333837, 0.13331493750654335, -0.053743667894620225, 0.02065106346404991, -0.0057175143260744045)
# erf(x) / x - 1 in x^2 for |x| <= 1; relative error 1e-9 and 1e-19.
_ERF32 = (
    0.1283791657270888, -0.37612625825101132, 0.11283585150676004, -0.026853811846397497, 0.005188327319515221,
    -0.00080101892472744237, 7.8538440458998214e-5,
)  # fmt: skip
_ERF64 = (
    0.1283791670955126, -0.37612638903183748, 0.11283791670954857, -0.026866170645072891, 0.0052239776247808347,
    -0.00085483269787405676, 0.00012055331036846668, -1.4925593505766363e-5, 1.6460972801190718e-6,
    -1.6350025076223881e-7, 1.4657878989888879e-8, -1.1365663136628493e-9, 5.9452576939415425e-11,
)  # fmt: skip
# ln(erfc(t)) in t for 1 <= t <= 4; error of erfc: 1e-9.
_LOG_ERFC32 = (
    -0.00035371768197937104, -1.1270400395019369, -0.63822567872790367, -0.10303736041539298, 0.021805310609218786,
    -0.0029396043609918971, 0.00018557359899752837,
)  # fmt: skip
# erfc(t) e^(t^2) (1 + 2t) in s = (t - 2)/(t + 2) for 1 <= t <= 6 (Shepherd and Laframboise, Math. Comp. 36, 1981).
_ERFC64 = (
    1.2769783815525287, -0.092763826585745218, -0.16603039761522951, 0.16405128003372721, -0.054220001004126174,
    -0.0080340152034865092, 0.0087226542296948778, 0.0012713474439155847, -0.0014567929771009256,
    -0.00045449316799105029, 0.00020549217547054027, 0.00015058268331805497, 5.2092830876906917e-6,
    -1.8468273559963198e-5,
)  # fmt: skip
# (sin(r) - r) / r^3 in r^2 for |r| <= pi/2; relative error of sin(r): 6e-9 and 3e-19.
_SIN32 = (-0.16666659547504346, 0.0083330661645032724, -0.00019809596509522921, 2.6057656835660634e-6)
_SIN64 = (
    -0.16666666666666666, 0.0083333333333331942, -0.00019841269841209182, 2.7557319211130744e-6, -2.505210687218914e-8,
    1.6058939674348406e-10, -7.6429906500582517e-13, 2.7211659409762899e-15,
)  # fmt: skip

_LOG2E = math.log2(math.e)
# ln(2) in two parts, the first so short that its multiples by whole numbers are exact.
_LN2 = {32: (0.693359375, -2.12194440e-4), 64: (6.93147180369123816490e-01, 1.90821492927058770002e-10)}
# pi in three parts, of which the multiples of the first two by some thousands are exact.
_PI = {
    32: (3.140625, 9.67502593994140625e-4, 1.5099579909783764e-7),
    64: (3.1415925025939941406, 1.5099578831723193e-7, 1.0780605716316238e-14),
}
# The bits of sqrt(1/2).
_ROOT_HALF = {32: 0x3F3504F3, 64: 0x3FE6A09E667F3BCD}
# Adding it rounds to a whole number, which then stands in the lowest bits.
_ROUNDER = {32: 1.5 * 2.0**23, 64: 1.5 * 2.0**52}
_MANTISSA = {32: 23, 64: 52}
# Beyond these e^x is infinite and zero (not even denormal).
_EXP_RANGE = {32: (-104.0, 89.0), 64: (-746.0, 710.0)}


def polynomial(x: Vec, coefficients) -> Vec:
    """Horner's rule, lowest power first."""
    total = x.const(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        total = total.fma(x, c)
    return total


def _power_of_two(x: Vec, n) -> Vec:
    """2^n as a vector of x's type, for a vector of integers n within the range of normal exponents.

    The shift drops all but n's lowest bits, so n may have anything above them, as what was rounded by `_ROUNDER` has.
    """
    return x.from_int(x.b.add(x.b.shl(n, x.int_const(_MANTISSA[x.bits])), x.const(1.0).as_int()))


def _reduce(x: Vec):
    """The whole number n nearest to x / ln(2), in the lowest bits of LLVM integers, and q with x = n ln(2) + r, e^r = 1 + q."""
    rounder = x.const(_ROUNDER[x.bits])
    shifted = x.fma(_LOG2E, rounder)
    whole = shifted - rounder
    high, low = _LN2[x.bits]
    r = whole.fma(-low, whole.fma(-high, x))
    return shifted.as_int(), _expm1_of_rest(r)


def _expm1_of_rest(r: Vec) -> Vec:
    """e^r - 1 for |r| <= ln(2) / 2.

    With few lanes in two halves, whose pairs of terms need not wait for each other. With AVX-512 so many vectors are under way
    that the additional products count for more.
    """
    coefficients, square = _EXP32 if r.bits == 32 else _EXP64, r * r
    if LANES32 == 16:
        return square.fma(polynomial(r, coefficients), r)
    cut, power = len(coefficients) // 4 * 2, square
    for _ in range(cut // 2):
        power = power * square
    low = square.fma(_in_pairs(r, square, coefficients[:cut]), r)
    return power.fma(_in_pairs(r, square, coefficients[cut:]), low)


def _in_pairs(x: Vec, square: Vec, coefficients) -> Vec:
    """As `polynomial`, by Horner's rule in x^2 of pairs of terms."""
    *others, total = (polynomial(x, coefficients[i : i + 2]) for i in range(0, len(coefficients), 2))
    for pair in reversed(others):
        total = square.fma(total, pair)
    return total


def vexp(x: Vec) -> Vec:
    """e^x over the whole range, denormal results included."""
    low, high = _EXP_RANGE[x.bits]
    n, q = _reduce(x.maximum(low).minimum(high))
    # In two factors, since 2^n alone overflows or is denormal at the ends of the range.
    n = x.b.sub(n, x.const(_ROUNDER[x.bits]).as_int())
    half = x.b.ashr(n, x.int_const(1))
    first, second = _power_of_two(x, half), _power_of_two(x, x.b.sub(n, half))
    return q.fma(first, first) * second


def vexp_negative(x: Vec) -> Vec:
    """e^x for x <= 0; what would be denormal is zero."""
    low = -87.0 if x.bits == 32 else -708.0
    n, q = _reduce(x.maximum(low))
    scale = _power_of_two(x, n)
    return (x < low).choose(0.0, q.fma(scale, scale))


def vexpm1_negative(x: Vec) -> Vec:
    """e^x - 1 for x <= 0."""
    n, q = _reduce(x.maximum(-40.0))
    scale = _power_of_two(x, n)
    return q.fma(scale, scale - 1.0)


def vexpm1(x: Vec) -> Vec:
    """e^x - 1 over the whole range."""
    n, q = _reduce(x.maximum(-40.0).minimum(_EXP_RANGE[x.bits][1]))
    # Twice the half: 2^n itself overflows at the end of the range.
    half = _power_of_two(x, x.b.sub(n, x.int_const(1)))
    value = q.fma(half, half - 0.5)
    return value + value


def vsinh(x: Vec) -> Vec:
    """sinh(x) = (E + E / (1 + E)) / 2 with E = e^|x| - 1, which is exact to first order."""
    e = vexpm1(x.abs())
    rest = (e > 1e30).choose(e.const(1.0), e / (e + 1.0))
    return (0.5 * e + 0.5 * rest).copysign(x)


def vcosh(x: Vec) -> Vec:
    """cosh(x) = (e^|x| + e^-|x|) / 2."""
    e = vexp(x.abs())
    return 0.5 * e + 0.5 / e


def _tanh_by_table(t: Vec) -> Vec:
    """tanh(t) for t >= 0 by the polynomial of the stretch that t is in."""
    b = t.b
    t = t.minimum(tanh_table.LAST)
    place = b.sub(t.as_int(), t.int_const(tanh_table.FIRST))
    place = b.select(b.icmp_signed("<", place, t.int_const(0)), t.int_const(0), place)
    place = b.lshr(place, t.int_const(tanh_table.SHIFT))
    middle, *coefficients = (t.lookup(place, column) for column in zip(*tanh_table.ROWS, strict=True))
    r, total = t - middle, coefficients[-1]
    for c in reversed(coefficients[:-1]):
        total = total.fma(r, c)
    return total


def _exp_minus_twice(t: Vec):
    """q and 2^n with e^-2t = (1 + q) 2^n, for t >= 0; n is rounded from t itself, so that it need not wait for the product."""
    rounder = t.const(_ROUNDER[t.bits])
    shifted = t.fma(-2.0 * _LOG2E, rounder)
    whole, r = shifted - rounder, t * -2.0
    if t.bits == 32:  # tanh needs no second part of ln(2): what that is off by counts by e^-2t
        r = whole.fma(-math.log(2.0), r)
    else:
        high, low = _LN2[64]
        r = whole.fma(-low, whole.fma(-high, r))
    return _expm1_of_rest(r), _power_of_two(t, shifted.as_int())


def _tanh_by_quotient(t: Vec) -> Vec:
    """tanh(t) for t >= 0 in float32: a polynomial up to 0.625, (1 - e)/(1 + e) with e = e^-2t beyond."""
    t = t.minimum(9.1)
    q, scale = _exp_minus_twice(t)
    e = q.fma(scale, scale)
    z = t * t
    near = (t * z).fma(polynomial(z, _TANH32), t)
    return (t <= 0.625).choose(near, (1.0 - e) / (e + 1.0))


def _tanh_by_difference(t: Vec) -> Vec:
    """tanh(t) for t >= 0: u/(2 - u) with u = 1 - e^-2t, which in float32 would be off by up to 2.5 units in the last place."""
    q, scale = _exp_minus_twice(t.minimum(20.0))
    u = q.fma(-scale, 1.0 - scale)
    return u / (2.0 - u)


def vtanh(x: Vec) -> Vec:
    """tanh(x), odd by construction. In float32 there is a table where the CPU looks it up."""
    t, sign = x.split()
    how = _tanh_by_difference if x.bits == 64 else _tanh_by_table if x.looks_up else _tanh_by_quotient
    return how(t).with_sign(sign)


def vsigmoid(x: Vec) -> Vec:
    """1 / (1 + e^-x): 1 - q or e - e q with e = e^-|x|, q = e / (1 + e), so that the error of q counts by e only."""
    e = vexp_negative(-x.abs())
    q = e / (e + 1.0)
    top = (x >= 0.0).choose(x.const(1.0), e)
    return (-top).fma(q, top)


def vlog1p_unit(u: Vec, plus: Vec) -> Vec:
    """plus + ln(1 + u) for 0 <= u <= 1: 2 atanh(s) with s = u / (2 + u), in the form u + ... that is exact to first order.

    `plus` goes to the small part first, so that the sum is rounded once where both are about as large.
    """
    s = u / (u + 2.0)
    z = s * s
    half_square = 0.5 * (u * u)
    tail = z.fma(polynomial(z, _LOG1P32 if u.bits == 32 else _LOG1P64), half_square)
    return u + (plus + s.fma(tail, -half_square))


def vsoftplus(x: Vec) -> Vec:
    """ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|)."""
    return vlog1p_unit(vexp_negative(-x.abs()), x.maximum(0.0))


def vlog(x: Vec) -> Vec:
    """ln(x): the exponent times ln(2) plus 2 atanh(s), s = (m - 1)/(m + 1) for a mantissa m in [1/sqrt(2), sqrt(2)]."""
    b, bits = x.b, _MANTISSA[x.bits]
    smallest, lift = (2.0**-126, 2.0**23) if x.bits == 32 else (2.0**-1022, 2.0**52)
    denormal = x < smallest
    scaled = denormal.choose(x * lift, x)
    # Moving the bits by those of sqrt(1/2) puts the cut between mantissas there.
    moved = b.sub(scaled.as_int(), x.int_const(_ROOT_HALF[x.bits]))
    exponent = b.ashr(moved, x.int_const(bits))
    mantissa = x.from_int(b.sub(scaled.as_int(), b.shl(exponent, x.int_const(bits))))
    e = Vec(b, b.sitofp(exponent, x.type))
    e = denormal.choose(e - float(bits), e)
    f = mantissa - 1.0
    s = f / (f + 2.0)
    z = s * s
    half_square = 0.5 * (f * f)
    tail = s * z.fma(polynomial(z, _LOG32 if x.bits == 32 else _LOG64), half_square)
    high, low = _LN2[x.bits]
    value = e.fma(high, f - (half_square - e.fma(low, tail)))
    value = (x > (3.4028234e38 if x.bits == 32 else 1.7976931348623157e308)).choose(x, value)
    value = (x <= 0.0).choose((x < 0.0).choose(x.const(math.nan), x.const(-math.inf)), value)
    return x.is_nan().choose(x, value)


def vlog1p(u: Vec) -> Vec:
    """ln(1 + u): the logarithm of the rounded sum w, and the sum's error by the derivative 1/w."""
    w = u + 1.0
    error = (u.abs() < (1e30 if u.bits == 32 else 1e300)).choose((u - (w - 1.0)) / w, 0.0)
    return vlog(w) + (w > 0.0).choose(error, 0.0)


def verf(x: Vec) -> Vec:
    """erf(x): x P(x^2) up to 1, 1 - erfc(|x|) beyond."""
    t = x.abs().minimum(4.0 if x.bits == 32 else 6.0)
    near = x.fma(polynomial(x * x, _ERF32 if x.bits == 32 else _ERF64), x)
    if x.bits == 32:
        erfc = vexp_negative(polynomial(t, _LOG_ERFC32))
    else:
        s = (t - 2.0) / (t + 2.0)
        erfc = vexp_negative(-(t * t)) * polynomial(s, _ERFC64) / t.fma(2.0, 1.0)
    far = (1.0 - erfc).copysign(x)
    return (t <= 1.0).choose(near, far)


@elementwise("x +y")
def _exp(x):
    return vexp(x)


@elementwise("x +y")
def _log(x):
    return vlog(x)


def _sine(r: Vec, parity) -> Vec:
    """sin(r) for |r| <= pi/2, with the other sign if `parity` (LLVM integers) is odd."""
    # Where x is so large that it says nothing of its sine, r is anything.
    r = r.maximum(-0.5 * math.pi).minimum(0.5 * math.pi)
    z = r * r
    value = (r * z).fma(polynomial(z, _SIN32 if r.bits == 32 else _SIN64), r)
    return r.from_int(r.b.xor(value.as_int(), r.b.shl(parity, r.int_const(r.bits - 1))))


def _less_half_turns(x: Vec, offset: float):
    """x - (n + offset) pi for the whole number n that makes it smallest, and n (LLVM integers, whose low bits count)."""
    rounder = x.const(_ROUNDER[x.bits])
    shifted = x.fma(1.0 / math.pi, -offset) + rounder
    turns = (shifted - rounder) + offset
    for part in _PI[x.bits]:
        x = turns.fma(-part, x)
    return x, shifted.as_int()


def vsin(x: Vec) -> Vec:
    """sin(x), for |x| up to some thousands."""
    return _sine(*_less_half_turns(x, 0.0))


def vcos(x: Vec) -> Vec:
    """cos(x), for |x| up to some thousands: that of r + (n + 1/2) pi is -sin(r), or sin(r) if n is odd."""
    r, n = _less_half_turns(x, 0.5)
    return _sine(r, x.b.add(n, x.int_const(1)))


@elementwise("x +y")
def _tanh(x):
    return vtanh(x)


@elementwise("x +y")
def _sigmoid(x):
    return vsigmoid(x)


@elementwise("x +y")
def _softplus(x):
    return vsoftplus(x)


@elementwise("x +y")
def _erf(x):
    return verf(x)


@entry
def exp(x, out):
    """out = e^x for x and out (n,), which may be the same array; twin: reference/vmath.py, as for all that follow."""
    _exp(x.size, (address(x, 0), address(out, 0)), ())


@entry
def log(x, out):
    """out = ln(x)."""
    _log(x.size, (address(x, 0), address(out, 0)), ())


@entry
def tanh(x, out):
    """out = tanh(x)."""
    _tanh(x.size, (address(x, 0), address(out, 0)), ())


@entry
def sigmoid(x, out):
    """out = 1 / (1 + e^-x)."""
    _sigmoid(x.size, (address(x, 0), address(out, 0)), ())


@entry
def softplus(x, out):
    """out = ln(1 + e^x)."""
    _softplus(x.size, (address(x, 0), address(out, 0)), ())


@entry
def erf(x, out):
    """out = erf(x)."""
    _erf(x.size, (address(x, 0), address(out, 0)), ())
