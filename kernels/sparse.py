"""The first layer on sparse inputs: only what is not zero is multiplied.

A sparse row is 1 + 2w numbers, fewer than there are inputs: how many entries it has, then each entry's column and value,
columns ascending, and behind them whatever fills the room.
"""

from __future__ import annotations

from .ids import FAN_IN
from .jit import glue, inner
from .maps import add_times, copy, fill, rectify
from .simd import peek, shift
from .tile import END_ADD


@inner
def sparse_width(table, x):
    """The width of the rows of x if they are sparse, else 0."""
    return x.shape[1] if x.shape[1] < table[0, FAN_IN] else 0


@glue
def _entries(row):
    return int(peek(row, 0))


@glue
def _column(row, entry):
    return int(peek(row, 1 + 2 * entry))


@glue
def copy_sparse(source, target):
    """Copy a sparse row, but not its room for more."""
    copy(1 + 2 * _entries(source), (source, target), ())


@inner
def sparse_forward(m, n, x, ldx, w, ldw, bias, has_bias, z, ldz, relu):
    """z = x @ w + bias for m sparse rows x, w (k, n) of stride ldw, z (m, n); max(z, 0) if relu."""
    for i in range(m):
        row, out = shift(x, i * ldx), shift(z, i * ldz)
        if has_bias:
            copy(n, (bias, out), ())
        else:
            fill(n, (out,), (0.0,))
        for entry in range(_entries(row)):
            add_times(n, (out, shift(w, _column(row, entry) * ldw)), (peek(row, 2 + 2 * entry),))
        if relu:
            rectify(n, (out,), ())


@glue
def _first_from(row, column):
    """The first entry whose column is `column` or behind it."""
    low, high = 0, _entries(row)
    while low < high:
        middle = (low + high) // 2
        if _column(row, middle) < column:
            low = middle + 1
        else:
            high = middle
    return low


@inner
def sparse_weight_gradient(first, last, k, n, m, x, ldx, d, ldd, dw, end):
    """Rows first..last of dw (k + 1, n) = [x, 1].T @ d for m sparse rows x, d (m, n).

    They are added to dw if `end` is END_ADD. Row k is the bias's.
    """
    if end != END_ADD:
        fill((last - first) * n, (shift(dw, first * n),), (0.0,))
    for i in range(m):
        row, d_i = shift(x, i * ldx), shift(d, i * ldd)
        for entry in range(_first_from(row, first), _entries(row)):
            column = _column(row, entry)
            if column >= last:
                break
            add_times(n, (shift(dw, column * n), d_i), (peek(row, 2 + 2 * entry),))
        if last > k:
            add_times(n, (shift(dw, k * n), d_i), (1.0,))
