"""Where a layer's parameters lie in the flat vector, and in how many rows: those of a dense layer, or of an embedding.

A dense layer has a row of weights for each input, one for the bias and one for alphas. An embedding (embedding.py) has its
table, all of which counts as one row, and one row of parameters for each of its numbers.

An embedding and layers with alphas are special: a network with some has a table of int32 instead of int64, for which Numba
compiles kernels of their own when it comes to it. So others take neither longer for them nor wait for their compilation.
"""

from __future__ import annotations

from numba import types
from numba.extending import intrinsic

from .grid import cell
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
from .simd import I32, I64, LANES32

# Rows are padded to whole vectors, in float64 too, and to the eights of the dropout masks.
PAD = max(LANES32, 8)


@inner
def _padded(n):
    return (n + PAD - 1) // PAD * PAD


@intrinsic
def special(typingctx, table):
    """None, or True for a network with an embedding or with alphas: a matter of types.

    An argument that is None by its type spares the compiler the branches that are for others.
    """
    if table.dtype == types.int64:
        return types.none(table), lambda context, builder, sig, args: context.get_dummy_value()
    return types.boolean(table), lambda context, builder, sig, args: context.get_constant(types.boolean, True)


@intrinsic
def is_special(typingctx, kind):
    """Whether what `special` returned is not None."""
    answer = not isinstance(kind, types.NoneType)
    return types.boolean(kind), lambda context, builder, sig, args: context.get_constant(types.boolean, answer)


@intrinsic
def embeds(typingctx, table, layer):
    """Whether a layer is an embedding, which only the first one may be; of networks that are not special it needs no look."""

    def codegen(context, builder, sig, args):
        if table.dtype == types.int64:
            return context.get_constant(types.boolean, False)
        at = cell(context, builder, table, args[0], args[1], I64(ACTIVATION))
        return builder.icmp_signed("==", builder.load(at), I32(EMBEDDING))

    return types.boolean(table, types.intp), codegen


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
    last = len(table) - 1
    return row_start(table, last, n_rows(table, last))
