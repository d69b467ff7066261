"""The embedding before the first layer, in a thread's own scratch: rows lie in the lanes; its formula: the twin.

A number's cosines and what is made of them are a small layer of columns, as in columns.py.
"""

from __future__ import annotations

import math

from .dots import products
from .gemm import PACKED, gemm
from .ids import CODES, ENTRIES, FAN_IN, NUMBERS, OFFSET, PARTS, SIZE, WAVES
from .jit import glue, inner
from .layout import _padded, n_of_number, n_weights
from .maps import accumulate, add_times, copy, elementwise, fill, finite
from .simd import peek, poke, shift
from .tile import END_ADD, END_STORE, END_TIMES, START_COLUMN, START_ZERO
from .vmath import vcos, vsin

TURN = 2.0 * math.pi


@elementwise("x +c", "w b")
def _cosines(x, w, b):
    return vcos(x.fma(w, b))


@elementwise("x +c +s", "w b")
def _cosines_with_slopes(x, w, b):
    angle = x.fma(w, b)
    return vcos(angle), -vsin(angle)


@inner
def embedding_room(table, ld):
    """Scratch for `ld` rows: 2π x and ones, cosines and ones, slopes, and the parts of one number."""
    return (2 + table[0, WAVES] + 1 + table[0, WAVES] + table[0, PARTS]) * ld


@glue
def _columns(table, packed, ld):
    """Where in the scratch behind `packed` these lie."""
    x = shift(packed, PACKED)
    cosines = shift(x, 2 * ld)
    slopes = shift(cosines, (table[0, WAVES] + 1) * ld)
    return x, cosines, slopes, shift(slopes, table[0, WAVES] * ld)


@glue
def _turn(m, a, lda, ld, x, factor):
    """x[i] = factor a[i*lda] for i < m, and 0 from there to ld."""
    for i in range(m):
        poke(x, i, peek(a, i * lda) * factor)
    fill(ld - m, (shift(x, m),), (0.0,))


@glue
def _entry(table, a, code):
    """Where in the table of vectors the row begins that a row of inputs names in its column of codes number `code`."""
    row = int(peek(a, table[0, FAN_IN] - table[0, CODES] + code))
    return max(0, min(row, table[0, ENTRIES] - 1)) * table[0, SIZE]


@inner
def rows_fit(kind, table, m, k, a):
    """Whether m rows of k numbers are finite, and name what an embedding has, if they are not sparse and `kind` not None."""
    if not finite(m * k, a):
        return False
    if kind is None:
        return True
    for i in range(m):
        for code in range(table[0, FAN_IN] - table[0, CODES], table[0, FAN_IN]):
            value = peek(a, i * k + code)
            if not (value >= 0.0 and value < table[0, ENTRIES] and value == int(value)):
                return False
    return True


@inner
def _multiply(m, n, k, a, rs, cs, b, c, start, bias, end, packed):
    """As `gemm`, of columns, which are n apart: compiled once."""
    gemm(m, n, k, a, rs, cs, b, n, False, None, c, n, start, bias, end, c, n, packed)


@inner
def embed(table, params, m, a, lda, z, ldz, packed):
    """z = the outputs for m rows of inputs a."""
    waves, parts, numbers, size = table[0, WAVES], table[0, PARTS], table[0, NUMBERS], table[0, SIZE]
    beside, ld = table[0, FAN_IN] - table[0, CODES], _padded(m)
    own = shift(params, table[0, OFFSET])
    for i in range(m):
        row, out = shift(a, i * lda), shift(z, i * ldz + numbers * parts)
        copy(beside, (row, out), ())
        for code in range(table[0, CODES]):
            copy(size, (shift(own, _entry(table, row, code)), shift(out, beside + code * size)), ())
    x, cosines, _, made = _columns(table, packed, ld)
    for j in range(numbers):
        w = shift(own, n_weights(table, 0) + j * n_of_number(table))
        w2 = shift(w, 2 * waves)
        _turn(m, shift(a, j), lda, ld, x, TURN)
        for h in range(waves):
            _cosines(ld, (x, shift(cosines, h * ld)), (peek(w, h), peek(w, waves + h)))
        _multiply(parts, ld, waves, w2, 1, parts, cosines, made, START_COLUMN, shift(w2, waves * parts), END_STORE, packed)
        for k in range(parts):
            for i in range(m):
                poke(z, i * ldz + j * parts + k, peek(made, k * ld + i))


@inner
def _wave_deltas(table, m, a, lda, d, ldd, ld, w, j, x, cosines, slopes, made, packed):
    """Of number j: 2π x, cosines, the deltas of its parts in `made`, and those of its angles in `slopes`."""
    waves, parts = table[0, WAVES], table[0, PARTS]
    _turn(m, shift(a, j), lda, ld, x, TURN)
    for k in range(parts):
        _turn(m, shift(d, j * parts + k), ldd, ld, shift(made, k * ld), 1.0)
    for h in range(waves):
        at = h * ld
        _cosines_with_slopes(ld, (x, shift(cosines, at), shift(slopes, at)), (peek(w, h), peek(w, waves + h)))
    _multiply(waves, ld, parts, shift(w, 2 * waves), parts, 1, made, slopes, START_ZERO, slopes, END_TIMES, packed)


@inner
def embedding_gradient(table, params, first, last, m, a, lda, d, ldd, dw, end, packed):
    """Rows first..last (layout.py) of the gradient of its parameters, which begin at dw, from m rows a and deltas d."""
    waves, parts, size = table[0, WAVES], table[0, PARTS], table[0, SIZE]
    beside, ld = table[0, FAN_IN] - table[0, CODES], _padded(m)
    if first == 0 and last > 0:
        if end != END_ADD:
            fill(n_weights(table, 0), (dw,), (0.0,))
        for i in range(m):
            row, made = shift(a, i * lda), shift(d, i * ldd + table[0, NUMBERS] * parts + beside)
            for code in range(table[0, CODES]):
                accumulate(size, (shift(dw, _entry(table, row, code)), shift(made, code * size)), ())
    x, cosines, slopes, made = _columns(table, packed, ld)
    fill(ld, (shift(x, ld),), (1.0,))
    fill(ld, (shift(cosines, waves * ld),), (1.0,))
    for j in range(max(0, first - 1), last - 1):
        at = n_weights(table, 0) + j * n_of_number(table)
        w, grad = shift(params, table[0, OFFSET] + at), shift(dw, at)
        _wave_deltas(table, m, a, lda, d, ldd, ld, w, j, x, cosines, slopes, made, packed)
        products(2, waves, ld, x, slopes, grad, end == END_ADD)
        products(waves + 1, parts, ld, cosines, made, shift(grad, 2 * waves), end == END_ADD)


@inner
def embedding_input_gradient(table, params, m, a, lda, d, ldd, out, packed):
    """out (m, FAN_IN) = the loss's gradient by the inputs a, from deltas d; 0 for numbers of rows of the table."""
    waves, k, ld = table[0, WAVES], table[0, FAN_IN], _padded(m)
    beside = k - table[0, CODES]
    for i in range(m):
        copy(beside, (shift(d, i * ldd + table[0, NUMBERS] * table[0, PARTS]), shift(out, i * k)), ())
        fill(k - beside, (shift(out, i * k + beside),), (0.0,))
    x, cosines, slopes, made = _columns(table, packed, ld)
    for j in range(table[0, NUMBERS]):
        w = shift(params, table[0, OFFSET] + n_weights(table, 0) + j * n_of_number(table))
        _wave_deltas(table, m, a, lda, d, ldd, ld, w, j, x, cosines, slopes, made, packed)
        fill(ld, (x,), (0.0,))
        for h in range(waves):
            add_times(ld, (x, shift(slopes, h * ld)), (TURN * peek(w, h),))
        for i in range(m):
            poke(out, i * k + j, peek(out, i * k + j) + peek(x, i))
