"""Embeddings before the first layer: numbers as sums of waves, categories as rows of a table.

A row of the table of layers whose ACTIVATION is EMBEDDING takes FAN_IN inputs: first NUMBERS numbers, then some that it hands
on as they are, then CODES numbers of rows of a table of ENTRIES vectors of SIZE numbers. Of a number x it makes PARTS numbers::

    Σ_h W2[h, :] cos(2π x w[h] + b[h]) + b2        for h < WAVES

with weights of x's own (Holzmüller, Grinsztajn & Steinwart 2024, arXiv 2407.04491: periodic, bias, linear, dense). The outputs
are the parts of all numbers, the numbers themselves, what was handed on, and the rows of the table, WIDTH in all. Its weights
are the table, its biases the numbers' w, b, W2 and b2, one number after the other.
"""

from __future__ import annotations

import numpy as np

from .ids import (
    ACTIVATION,
    CODES,
    EMBEDDING,
    ENTRIES,
    FAN_IN,
    HAS_BIAS,
    NUMBERS,
    OFFSET,
    PARTS,
    SIZE,
    WAVES,
    WIDTH,
)


def embeds(row):
    """Return whether a row of the table of layers is of an embedding."""
    return row[ACTIVATION] == EMBEDDING


def n_of_number(row):
    """Return how many parameters each number has."""
    return int((2 + row[PARTS]) * row[WAVES] + row[PARTS])


def n_weights(row):
    """Return how many weights a layer has: what penalties and weight decay act on."""
    return int(row[ENTRIES] * row[SIZE] if embeds(row) else row[FAN_IN] * row[WIDTH])


def n_biases(row):
    """Return how many biases a layer has."""
    return int(row[NUMBERS]) * n_of_number(row) if embeds(row) else int(row[HAS_BIAS] * row[WIDTH])


def _views(row, flat):
    """Return views of a flat vector: the table (ENTRIES, SIZE), and of each number w, b (WAVES,), W2 (WAVES, PARTS), b2."""
    start, waves, parts = int(row[OFFSET]), int(row[WAVES]), int(row[PARTS])
    end = start + n_weights(row)
    table, numbers = flat[start:end].reshape(row[ENTRIES], row[SIZE]), []
    for _ in range(row[NUMBERS]):
        own = flat[end : end + n_of_number(row)]
        w2 = own[2 * waves : 2 * waves + waves * parts].reshape(waves, parts)
        numbers.append((own[:waves], own[waves : 2 * waves], w2, own[len(own) - parts :]))
        end += len(own)
    return table, numbers


def _codes(row, x):
    """Return the rows of the table that x names, (n, CODES); those that are none are the nearest ones."""
    codes = x[:, x.shape[1] - row[CODES] :]
    return np.clip(np.nan_to_num(codes), 0, max(0, row[ENTRIES] - 1)).astype(np.int64)


def codes_fit(row, x):
    """Return whether x (n, FAN_IN) names rows that an embedding's table has; a dense layer takes anything."""
    codes = x[:, x.shape[1] - row[CODES] :] if row[CODES] else x[:, :0]
    return bool(((codes >= 0) & (codes < row[ENTRIES]) & (codes == np.trunc(codes))).all())


def _spans(row):
    """Return where outputs lie: the parts, the inputs that stand beside them, and the rows of the table."""
    first = int(row[NUMBERS] * row[PARTS])
    last = first + int(row[FAN_IN] - row[CODES])
    return slice(0, first), slice(first, last), slice(last, int(row[WIDTH]))


def forward(row, params, x):
    """Return the outputs (n, WIDTH) for inputs x (n, FAN_IN)."""
    table, numbers = _views(row, params)
    out = np.empty((len(x), row[WIDTH]), x.dtype)
    parts, beside, rest = _spans(row)
    for j, (w, b, w2, b2) in enumerate(numbers):
        out[:, parts][:, j * len(b2) : (j + 1) * len(b2)] = np.cos(_angles(x, j, w, b)) @ w2 + b2
    out[:, beside] = x[:, : beside.stop - beside.start]
    out[:, rest] = table[_codes(row, x)].reshape(len(x), -1)
    return out


def _angles(x, j, w, b):
    return x.dtype.type(2 * np.pi) * x[:, j : j + 1] * w + b


def backward(row, params, x, delta, grad):
    """Leave the gradient of the embedding's parameters in its part of the flat vector `grad`; delta (n, WIDTH) = ∂L/∂out."""
    table, numbers = _views(row, params)
    d_table, d_numbers = _views(row, grad)
    parts, _, rest = _spans(row)
    d_table[...] = 0
    if row[CODES]:
        np.add.at(d_table, _codes(row, x), delta[:, rest].reshape(len(x), -1, table.shape[1]))
    for j, ((w, b, w2, b2), (dw, db, dw2, db2)) in enumerate(zip(numbers, d_numbers, strict=True)):
        d = delta[:, parts][:, j * len(b2) : (j + 1) * len(b2)]
        angles = _angles(x, j, w, b)
        d_angles = -np.sin(angles) * (d @ w2.T)
        dw2[...], db2[...] = np.cos(angles).T @ d, d.sum(axis=0)
        dw[...], db[...] = 2 * np.pi * x[:, j] @ d_angles, d_angles.sum(axis=0)


def input_gradient(row, params, x, delta):
    """Return ∂L/∂x (n, FAN_IN), 0 for the numbers of rows of the table."""
    _, numbers = _views(row, params)
    parts, beside, _ = _spans(row)
    d_in = np.zeros_like(x)
    d_in[:, : beside.stop - beside.start] = delta[:, beside]
    for j, (w, b, w2, b2) in enumerate(numbers):
        d = delta[:, parts][:, j * len(b2) : (j + 1) * len(b2)]
        d_in[:, j] += (-np.sin(_angles(x, j, w, b)) * (d @ w2.T)) @ (2 * np.pi * w)
    return d_in
