"""A network's way through a block of rows: where everything lies in the arena, and the shares of threads.

Buffer l holds layer l's input, rows apart by its stride; the last one holds the outputs. Beside its units each row has a
column of ones, so that the gradient of the bias is one more row of the weights' gradient. A delta has its buffer's
strides; until the backward pass comes by it holds f'(z), where that is not told by the buffer's outputs.

A layer with alphas (alphas.py) has two more buffers, of its output's derivatives by z and by alpha. The backward pass turns
the latter into each row's gradient of alpha.
"""

from __future__ import annotations

from collections import namedtuple

from .embedding import embedding_room
from .gemm import PACKED
from .ids import FAN_IN, HAS_ALPHA, WIDTH
from .jit import glue, inner
from .layout import PAD, _padded, embeds, n_of_number, n_params, n_rows, row_start, special
from .simd import poke, shift

# What a way through the network needs: the layer table, dropout rates, flat parameters, scratch and where things are in it,
# the seed, whether dropout is on, whether inputs are sparse rows, and None if no layer is special.
Net = namedtuple("Net", "table rates params arena places seed training sparse special")

# Columns of `places`, one row per buffer; offsets in elements from the arena's start.
BUFFER, STRIDE, DELTA, SLOPE, GAIN, PLACES = range(6)
# The row after the last buffer's: scratch.
TARGETS, ROWS, SCALES, EACH, PACK = 0, 1, 2, 3, 4

# Rows go through the network in blocks. A network of few parameters takes as many rows as a part of a typical L2 cache
# holds; a larger one takes enough to be worth packing its weights for.
FEW_PARAMETERS, BLOCK_BYTES, MOST_ROWS, LARGE_ROWS = 16 * 1024, 160 * 1024, 1024, 256
# Units that are worth sharing for each thread; a group of dropout's masks, so that each has some.
SHARED = 64


@inner
def few_parameters(table):
    """Whether blocks of rows are worked on side by side, each thread with some of them and a gradient of its own."""
    return n_params(table) <= FEW_PARAMETERS


@inner
def block_limit(table):
    """Most rows that go through the network together: a matter of shapes alone."""
    if not few_parameters(table):
        return LARGE_ROWS
    per_row = _padded(table[0, FAN_IN] + 1)
    for layer in range(len(table)):
        per_row += (2 + 2 * table[layer, HAS_ALPHA]) * _padded(table[layer, WIDTH] + 1)
    return max(8, min(MOST_ROWS, BLOCK_BYTES // (4 * per_row)) // 8 * 8)


@inner
def arrange(table, inputs, block, n_threads, places):
    """Fill `places` (layers + 2, PLACES) for blocks of `block` rows of `inputs` numbers; returns the elements they take."""
    layers = len(table)
    at = 0
    for l in range(layers + 1):
        width = inputs if l == 0 else table[l - 1, WIDTH]
        stride = _padded(width + 1)
        if l == layers:
            stride = 1 if width == 1 else _padded(width)
        places[l, STRIDE] = stride
        places[l, BUFFER] = at
        at += _padded(block * stride)
        places[l, DELTA] = at
        if l > 0:
            size = _padded(block * stride)
            places[l, SLOPE], places[l, GAIN] = at + size, at + 2 * size
            at += (1 + 2 * table[l - 1, HAS_ALPHA]) * size
    outputs = _padded(block * places[layers, STRIDE])
    for column, size in ((TARGETS, outputs), (ROWS, _padded(block)), (SCALES, _padded(block)), (EACH, outputs),
                         (PACK, n_threads * own_room(special(table), table, block))):  # fmt: skip
        places[layers + 1, column] = at
        at += size
    return at


@inner
def own_room(kind, table, block):
    """Scratch that each thread has for itself: for packing, and behind that what an embedding needs."""
    if kind is None:
        return PACKED
    return PACKED + embedding_room(table, _padded(block))


@inner
def share(table, n_threads, t, bounds):
    """Split the rows of all weight matrices among threads: thread t has rows bounds[l, 0] to bounds[l, 1] of layer l.

    A bias counts as one more row, and so do alphas. Splits are at eights of rows, and at whole vectors, which an odd width may
    have at sixteens alone. Each thread's rows are one stretch of the flat vectors.
    """
    layers = len(table)
    if n_threads == 1:  # in a gradient of few rows the divisions below count
        for l in range(layers):
            bounds[l, 0], bounds[l, 1] = 0, n_rows(table, l)
        return
    total = 0
    of_number = 4 * n_of_number(table)  # a few small products, and waves
    for l in range(layers):
        total += n_rows(table, l) * (of_number if embeds(table, l) else _padded(table[l, WIDTH]))
    before = 0
    for l in range(layers):
        rows, cost = n_rows(table, l), of_number if embeds(table, l) else _padded(table[l, WIDTH])
        for i in range(2):
            row = ((total * (t + i)) // n_threads - before + cost // 2) // cost
            if row < rows and not embeds(table, l):
                unit = 8 if table[l, WIDTH] % 2 == 0 else PAD
                row = (row + unit // 2) // unit * unit
            bounds[l, i] = rows if t + i == n_threads else max(0, min(rows, row))
        before += rows * cost


@inner
def stretch(table, bounds, end):
    """Where a thread's part of the flat vector begins, or with `end` 1 ends."""
    for l in range(len(table)):
        if bounds[l, end] < n_rows(table, l):
            return row_start(table, l, bounds[l, end])
    return n_params(table)


@glue
def shares_columns(units, m, n):
    """Whether n threads share a layer's units, each for all m rows of a block, or else rows, each for all units.

    Either way each reads what it shares: all inputs of the layer, or all of its weights.
    """
    return n > 1 and units >= SHARED * n and units >= m


@glue
def column_edge(net, l, units, t, n):
    """Where thread t's columns begin (and t-1's end) of buffer l with so many units: at whole groups of dropout's masks."""
    group = 64 if l > 0 and net.training and net.rates[l - 1] > 0.0 else PAD
    return min(units, (units + group - 1) // group * t // n * group)


@glue
def _set_ones(rows, column, a, lda):
    for i in range(rows):
        poke(a, i * lda + column, 1.0)


@glue
def scratch_of(net, what):
    """Where scratch of one kind begins: TARGETS to PACK."""
    return shift(net.arena, net.places[len(net.table) + 1, what])


@glue
def rows_of(net, buffer, first):
    """Where a buffer's rows begin from `first` on, and how far they are apart."""
    stride = net.places[buffer, STRIDE]
    return shift(net.arena, net.places[buffer, BUFFER] + first * stride), stride
