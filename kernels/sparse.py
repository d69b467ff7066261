"""The first layer on sparse inputs: only what is not zero is multiplied.

A packed row of width 1 + 2w holds the number of its entries, room for w columns and room for w values, all of them floats; it
lies where a dense row would, and is at most as wide.
"""

from __future__ import annotations

from .dense import _relu, copy, fill
from .jit import glue, inner
from .maps import elementwise
from .simd import peek, shift
from .tile import START_ZERO


@elementwise("x! y", "factor")
def _add_times(x, y, factor):
    return y.fma(factor, x)


@glue
def _column(row, entry):
    return int(peek(row, 1 + entry))


@inner
def sparse_forward(m, n, x, ldx, width, w, bias, has_bias, z, ldz, relu):
    """z = x @ w + bias for m packed rows of `width`, w (k, n), z (m, n); max(z, 0) if relu."""
    half = (width - 1) // 2
    for i in range(m):
        row, out = shift(x, i * ldx), shift(z, i * ldz)
        if has_bias:
            copy(n, (bias, out), ())
        else:
            fill(n, (out,), (0.0,))
        for entry in range(int(peek(row, 0))):
            _add_times(n, (out, shift(w, _column(row, entry) * n)), (peek(row, 1 + half + entry),))
        if relu:
            _relu(n, (out,), ())


@inner
def sparse_weight_gradient(first, last, k, n, m, x, ldx, width, d, ldd, dw, start):
    """Rows first..last of dw (k + 1, n) = [x, 1].T @ d for m packed rows x of k inputs, d (m, n).

    They are added to dw unless `start` is START_ZERO. Row k is the bias's.
    """
    half = (width - 1) // 2
    if start == START_ZERO:
        fill((last - first) * n, (shift(dw, first * n),), (0.0,))
    for i in range(m):
        row, d_i = shift(x, i * ldx), shift(d, i * ldd)
        for entry in range(int(peek(row, 0))):
            column = _column(row, entry)
            if first <= column < last:
                _add_times(n, (shift(dw, column * n), d_i), (peek(row, 1 + half + entry),))
        if last > k:
            _add_times(n, (shift(dw, k * n), d_i), (1.0,))
