"""Where a layer's parameters lie in the flat vector, and in how many rows: those of a dense layer, or of an embedding.

A dense layer has a row of weights for each input, one for the bias and one for alphas. An embedding (embedding.py) has its
table, all of which counts as one row, and one row of parameters for each of its numbers.
"""

from __future__ import annotations

from .ids import (
    ACTIVATION,
    EMBEDDING,
    ENTRIES,
    FAN_IN,
    HAS_ALPHA,
    HAS_BIAS,
    NUMBERS,
    OFFSET,
    PARTS,
    SIZE,
    WAVES,
    WIDTH,
)
from .jit import glue, inner
from .simd import LANES32

# Rows are padded to whole vectors, in float64 too, and to the eights of the dropout masks.
PAD = max(LANES32, 8)


@inner
def _padded(n):
    return (n + PAD - 1) // PAD * PAD


@glue
def embeds(table, layer):
    """Whether a layer is an embedding, which only the first one may be."""
    return table[layer, ACTIVATION] == EMBEDDING


@glue
def n_of_number(table):
    """Parameters of each of an embedding's numbers."""
    return (2 + table[0, PARTS]) * table[0, WAVES] + table[0, PARTS]


@glue
def n_weights(table, layer):
    """Weights of a layer, with which its parameters begin: what penalties and weight decay act on."""
    if embeds(table, layer):
        return table[layer, ENTRIES] * table[layer, SIZE]
    return table[layer, FAN_IN] * table[layer, WIDTH]


@glue
def n_biases(table, layer):
    """Biases of a layer, which follow its weights."""
    if embeds(table, layer):
        return table[layer, NUMBERS] * n_of_number(table)
    return table[layer, HAS_BIAS] * table[layer, WIDTH]


@inner
def n_rows(table, layer):
    """Rows of a layer's parameters."""
    if embeds(table, layer):
        return 1 + table[layer, NUMBERS]
    return table[layer, FAN_IN] + table[layer, HAS_BIAS] + table[layer, HAS_ALPHA]


@inner
def row_start(table, layer, row):
    """Where a row of a layer's parameters begins; behind the last one, where they end."""
    if embeds(table, layer):
        return table[layer, OFFSET] + (n_weights(table, layer) + (row - 1) * n_of_number(table) if row > 0 else 0)
    return table[layer, OFFSET] + row * table[layer, WIDTH]


@inner
def n_params(table):
    """Parameters of the network."""
    last = table.shape[0] - 1
    return row_start(table, last, n_rows(table, last))
