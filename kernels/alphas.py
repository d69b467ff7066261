"""Layers with alphas: their output is z + alpha (f(z) - z), and alpha a trained number of each unit."""

from __future__ import annotations

from .activations import _activate, _apply
from .jit import inner
from .maps import elementwise
from .simd import shift


@elementwise("z! f alpha")
def _mix(z, f, alpha):
    return alpha.fma(f - z, z)


@elementwise("z! f! slope! alpha")
def _mix_with_slopes(z, f, slope, alpha):
    gain = f - z
    return alpha.fma(gain, z), gain, alpha.fma(slope - 1.0, slope.const(1.0))


@elementwise("d! gain! slope")
def _times_both(d, gain, slope):
    return d * slope, d * gain


@inner
def blend(activation, rows, n, width, ld, z, alpha, f):
    """z += alpha (f(z) - z) for the first n numbers of rows that are ld apart; f is scratch for `width` in each row."""
    for i in range(0, rows * ld, ld):  # f of a row is mixed while it is near
        _apply(activation, 1, width, 0, shift(z, i), shift(f, i))
        _mix(n, (shift(z, i), shift(f, i), alpha), ())


@inner
def blend_with_slopes(activation, rows, n, width, ld, z, alpha, gain, slope):
    """As `blend`, and gain = f(z) - z and slope = 1 + alpha (f'(z) - 1), the output's derivatives by alpha and z."""
    for i in range(0, rows * ld, ld):
        _activate(activation, 1, width, 0, shift(z, i), shift(gain, i), shift(slope, i))
        _mix_with_slopes(n, (shift(z, i), shift(gain, i), shift(slope, i), alpha), ())


@inner
def through_blend(rows, n, ld, d, gain, slope):
    """gain *= d, of which alpha's gradient is the sum over rows, then d *= slope; n numbers of rows that are ld apart."""
    for i in range(0, rows * ld, ld):
        _times_both(n, (shift(d, i), shift(gain, i), shift(slope, i)), ())
