"""What a pack takes: rows of the data in their order, and networks' parameters side by side."""

from __future__ import annotations

from collections import namedtuple

from .ids import EPOCH, SHUFFLE_SEED, WIDTH
from .jit import glue, inner
from .lanes import BUFFER, SCALES, STRIDE, TARGETS
from .maps import copy, copy_rows, fill
from .network import scratch_of
from .rng import permute
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
    """Fill a block's m rows of inputs, targets and scales from the data's rows `at` on, in their order.

    Each in loops of its own: all in one, their addresses were a third of a small pack's step.
    """
    table, arena, places = pack.table, pack.arena, pack.places
    layers = len(table)
    order = address(rows.order, turn * rows.x.shape[0])
    x, t = shift(arena, places[0, BUFFER]), scratch_of(pack, TARGETS)
    if pack.shared:
        copy_rows(rows.x.shape[1], address(rows.x, 0), order, rows.order.size > 0, at, m, x, places[0, STRIDE])
    else:
        _gather_inputs(rows, at, m, x, places[0, STRIDE])
    if pack.shared and rows.y.shape[0] == 1:
        _spread_targets(rows, order, at, m, table[layers - 1, WIDTH], t)
    else:
        _gather_targets(pack.shared, rows, order, first, size, at, m, table[layers - 1, WIDTH], t)
    if rows.weight.shape[0] > 0:
        scales = scratch_of(pack, SCALES)
        _gather_scales(pack.shared, rows, order, first, size, at, m, sums, unit_of_one, scales)


@inner
def _gather_inputs(rows, at, m, x, ld):
    """Rows of inputs in each lane's own order."""
    lanes, k = lanes_of(x), rows.x.shape[1]
    for i in range(m):
        for lane in range(lanes):
            source = address(rows.x, rows.order[lane, at + i] * k)
            for j in range(k):
                poke(x, i * ld + j * lanes + lane, peek(source, j))


@glue
def _place(rows, order, i):
    """The row that stands at i."""
    return peek(order, i) if rows.order.size > 0 else i


@glue
def _spread_targets(rows, order, at, m, outputs, t):
    """Targets t (m, outputs, lanes) that all lanes share."""
    lanes, columns = lanes_of(t), rows.y.shape[2]
    y = address(rows.y, 0)
    if columns == outputs:
        for i in range(m):
            row = _place(rows, order, at + i)
            for j in range(columns):
                fill(lanes, (shift(t, (i * columns + j) * lanes),), (peek(y, row * columns + j),))
        return
    fill(m * outputs * lanes, (t,), (0.0,))
    for i in range(m):
        fill(lanes, (shift(t, (i * outputs + int(peek(y, _place(rows, order, at + i)))) * lanes),), (1.0,))


@inner
def _gather_targets(shared, rows, order, first, size, at, m, outputs, t):
    """Targets t (m, outputs, lanes) of each lane's own, or in each lane's own order."""
    lanes, n, columns = lanes_of(t), rows.x.shape[0], rows.y.shape[2]
    own = rows.y.shape[0] > 1
    if columns != outputs:
        fill(m * outputs * lanes, (t,), (0.0,))
    for i in range(m):
        for lane in range(lanes):
            row = _place(rows, order, at + i) if shared else rows.order[lane, at + i]
            source = address(rows.y, ((network_in(first, lane, size) if own else 0) * n + row) * columns)
            if columns != outputs:
                poke(t, (i * outputs + int(peek(source, 0))) * lanes + lane, 1.0)
            else:
                for j in range(columns):
                    poke(t, (i * columns + j) * lanes + lane, peek(source, j))


@inner
def _gather_scales(shared, rows, order, first, size, at, m, sums, unit_of_one, scales):
    """What rows weigh, as parts of their lane's sum unless that does not count, in each lane (m, lanes)."""
    lanes = lanes_of(scales)
    own = rows.weight.shape[0] > 1
    for i in range(m):
        for lane in range(lanes):
            row = _place(rows, order, at + i) if shared else rows.order[lane, at + i]
            weight = rows.weight[network_in(first, lane, size) if own else 0, row]
            total = sums[WEIGHT, lane]
            unit = 1.0 if unit_of_one else (1.0 / total if total > 0.0 else 0.0)
            poke(scales, i * lanes + lane, weight * unit)


@glue
def weigh(pack, rows, turn, first, size, at, count, sums):
    """Each lane's sum of the weights of `count` rows; where they have none, the first lane's is all that is looked at."""
    if rows.weight.shape[0] == 0:
        sums[WEIGHT, 0] = float(count)
        return
    for lane in range(lanes_of(pack.arena)):
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
        permute(ints[network, SHUFFLE_SEED], ints[network, EPOCH] + number, orders[i])
