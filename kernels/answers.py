"""What a network answers without training: outputs and activations; and a look at numbers that it is to work on."""

from __future__ import annotations

import math

import numpy as np

from .columns import arrange_columns, column_block, narrow, predict_columns
from .embedding import rows_fit
from .grid import grid
from .ids import ACTIVATION, COLUMNS, SOFTMAX, WIDTH
from .jit import entry, inner
from .kept import kept
from .layers import forward_rows, output_rows
from .layout import special
from .maps import copy, finite
from .network import (
    BUFFER,
    PACK,
    PLACES,
    STRIDE,
    Net,
    arrange,
    own_room,
    rows_of,
    scratch_of,
)
from .scratch import room_of, scratch_size
from .simd import address, lanes_of, shift
from .sparse import sparse_width
from .stack import give_back, take
from .threads import ABORT, NOT_FINITE, barrier, flush_denormals, restore_mode


@inner
def _answer_rows(all_layers, net, x, out, first, at, m, packed):
    """Outputs of rows `at` + 0..m, or with `all_layers` every layer's; in a block they are the rows from `first` on.

    Inputs are read where they are, and outputs made where they shall be. But softmax loads what the last layer has stored,
    through a mask if it is narrow, and there each row would wait for the one before: its logits lie in rows of their own.
    """
    table, arena, places = net.table, net.arena, net.places
    layers = len(table)
    ldx, k, ldo, activation = x.shape[1], table[layers - 1, WIDTH], out.shape[1], table[layers - 1, ACTIVATION]
    outputs = address(out, at * ldo + ldo - k)
    z, ldz = outputs, ldo
    if activation == SOFTMAX:
        z, ldz = rows_of(net, layers, first)
    forward_rows(net.special, net, 0, 0, False, first, first + m, address(x, at * ldx), ldx, z, ldz, packed)
    output_rows(activation, m, k, z, ldz, outputs, ldo)
    if all_layers:
        column = 0
        for l in range(1, layers):
            width, ld = table[l - 1, WIDTH], places[l, STRIDE]
            for i in range(m):
                a = shift(arena, places[l, BUFFER] + (first + i) * ld)
                copy(width, (a, address(out, (at + i) * ldo + column)), ())
            column += width


@entry
def _answer(table, params, x, out, arena, tid, n, sync):
    """out = the outputs of all rows, or if it is wider every layer's, as thread tid of n; returns NaN if x is not finite.

    Each thread takes a stretch of the rows, by columns or by rows, and looks at a block before it goes through the network.
    """
    table = grid(table, COLUMNS)
    layers, rows = len(table), x.shape[0]
    all_layers = out.shape[1] > table[layers - 1, WIDTH]
    numbers = take((layers + 2) * PLACES)
    places = grid(numbers.reshape(layers + 2, PLACES), PLACES)
    if n > 1 and scratch_size(table, x.shape[1], rows, n, places) > arena.size:
        # The scratch was taken when there were fewer threads.
        if tid > 0:
            give_back(numbers)
            return 0.0
        n = 1
    if n == 1:
        sync[NOT_FINITE] = 0
    mode = flush_denormals()
    base = address(arena, 0)
    sparse = sparse_width(table, x) > 0
    room = room_of(table, rows, n)
    columns = not all_layers and not sparse and narrow(table, rows, False, lanes_of(base))
    if columns:
        block = column_block(table)
        base, first = shift(base, tid * arrange_columns(table, block, places)), 0
    else:
        arrange(table, x.shape[1], room, n, places)
        block = max(1, room // n)
        first = tid * block
    # Rates of dropout are not asked for.
    net = kept(Net(table, numbers[:0].view(np.float64), address(params, 0), base, places, 0, False, sparse, special(table)))
    packed = shift(scratch_of(net, PACK), 0 if columns else tid * own_room(net.special, table, room))
    low, high = (rows * tid) // n, (rows * (tid + 1)) // n
    for at in range(low, high, block):
        if sync[ABORT] != 0 or sync[NOT_FINITE] != 0:
            break
        m = min(block, high - at)
        if not rows_fit(net.special, table, m, x.shape[1], address(x, at * x.shape[1])):
            sync[NOT_FINITE] = 1
            break
        if columns:
            predict_columns(net, x, out, at, m)
        else:
            _answer_rows(all_layers, net, x, out, first, at, m, packed)
    restore_mode(mode)
    give_back(numbers)
    barrier(sync, n)
    return math.nan if sync[NOT_FINITE] != 0 else 0.0


@entry
def _look(values, tid, n, sync):
    """Whether all values are finite, as thread tid of n, which looks at its stretch of them."""
    if n == 1:
        sync[NOT_FINITE] = 0
    low, high = (values.size * tid) // n, (values.size * (tid + 1)) // n
    if not finite(high - low, address(values, low)):
        sync[NOT_FINITE] = 1
    barrier(sync, n)
    return sync[NOT_FINITE] == 0
