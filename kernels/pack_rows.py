"""What a pack takes: rows of the data in their order, and networks' parameters side by side."""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from .dense import copy, fill
from .ids import EPOCH, SHUFFLE_SEED, WIDTH
from .jit import glue, inner
from .lanes import BUFFER, SCALES, STRIDE, TARGETS
from .rng import permutation
from .simd import address, lanes_of, peek, poke, shift
from .transpose import transpose

# Inputs, targets and weights as in reference/population.py, and the orders of rows: one, or one for each lane; none.
Rows = namedtuple("Rows", "x y weight order")
# float64 numbers of a pack: powers of the betas, sums over an epoch, what a minibatch's rows weigh, the last step's rate.
POWER1, POWER2, LOSS_SUM, WEIGHT_SUM, WEIGHT, LAST_RATE, N_PACK_NUMBERS = range(7)


@glue
def network_in(first, lane, size):
    """The network in a lane; lanes to spare repeat the last one."""
    return min(first + lane, size - 1)


@inner
def load_rows(source, ld, first, count, n, target):
    """target (n, lanes) = `count` rows of n numbers, ld apart from `first` on, side by side; the last one fills spare lanes."""
    lanes = lanes_of(source)
    for j in range(0, n, lanes):
        transpose(count, min(lanes, n - j), shift(source, first * ld + j), ld, shift(target, j * lanes), lanes)


@inner
def store_rows(source, n, spare, target, ld, first, count):
    """The opposite of `load_rows`; `spare` is scratch of lanes x lanes."""
    lanes = lanes_of(source)
    for j in range(0, n, lanes):
        m = min(lanes, n - j)
        transpose(m, lanes, shift(source, j * lanes), lanes, spare, lanes)
        for i in range(count):
            copy(m, (shift(spare, i * lanes), shift(target, (first + i) * ld + j)), ())


@glue
def gather(pack, rows, turn, first, size, at, m, sums, unit_of_one):
    """Fill a block's m rows of inputs, targets and scales from the data's rows `at` on, in their order."""
    table, arena, places = pack.table, pack.arena, pack.places
    lanes = lanes_of(arena)
    layers = table.shape[0]
    k, outputs, columns = rows.x.shape[1], table[layers - 1, WIDTH], rows.y.shape[2]
    ldx, scratch = places[0, STRIDE], places[layers + 1]
    n = rows.x.shape[0]
    own_y, own_weight = rows.y.shape[0] > 1, rows.weight.shape[0] > 1
    for i in range(m):
        a = shift(arena, places[0, BUFFER] + i * ldx)
        t = shift(arena, scratch[TARGETS] + i * outputs * lanes)
        row = at + i
        if pack.shared:
            row = rows.order[turn, at + i] if rows.order.size else at + i
            source = address(rows.x, row * k)
            if k < lanes:
                for j in range(k):
                    poke(a, j, peek(source, j))
            else:
                copy(k, (source, a), ())
        else:
            for lane in range(lanes):
                source = address(rows.x, rows.order[lane, at + i] * k)
                for j in range(k):
                    poke(a, j * lanes + lane, peek(source, j))
        classes = columns != outputs
        if classes:
            fill(outputs * lanes, (t,), (0.0,))
        if pack.shared and not own_y:
            if classes:
                fill(lanes, (shift(t, np.int64(rows.y[0, row, 0]) * lanes),), (1.0,))
            else:
                for j in range(columns):
                    fill(lanes, (shift(t, j * lanes),), (rows.y[0, row, j],))
        else:
            for lane in range(lanes):
                own = row if pack.shared else rows.order[lane, at + i]
                source = address(rows.y, ((network_in(first, lane, size) if own_y else 0) * n + own) * columns)
                if classes:
                    poke(t, np.int64(peek(source, 0)) * lanes + lane, 1.0)
                else:
                    for j in range(columns):
                        poke(t, j * lanes + lane, peek(source, j))
        if rows.weight.shape[0] > 0:
            for lane in range(lanes):
                own = row if pack.shared else rows.order[lane, at + i]
                weight = rows.weight[network_in(first, lane, size) if own_weight else 0, own]
                total = sums[WEIGHT, lane]
                unit = 1.0 if unit_of_one else (1.0 / total if total > 0.0 else 0.0)
                poke(arena, scratch[SCALES] + i * lanes + lane, weight * unit)


@glue
def weigh(pack, rows, turn, first, size, at, count, sums):
    """Each lane's sum of the weights of `count` rows."""
    for lane in range(lanes_of(pack.arena)):
        total = float(count)
        if rows.weight.shape[0] > 0:
            total = 0.0
            network = network_in(first, lane, size) if rows.weight.shape[0] > 1 else 0
            for i in range(at, at + count):
                row = i
                if rows.order.size:
                    row = rows.order[turn if pack.shared else lane, i]
                total += rows.weight[network, row]
        sums[WEIGHT, lane] = total


@inner
def draw_orders(shared, orders, count, ints, first, size, epoch):
    """The orders of rows of `count` epochs from `epoch` on, or that epoch's in each lane."""
    for i in range(count):
        network, number = (0, epoch + i) if shared else (network_in(first, i, size), epoch)
        permutation(ints[network, SHUFFLE_SEED], ints[network, EPOCH] + number, orders[i])
