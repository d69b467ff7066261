"""A minibatch: its rows gathered, taken through the network and back, and shared among threads one way or the other."""

from __future__ import annotations

from collections import namedtuple

from .columns import backward_columns, forward_columns, gather_columns, loss_columns
from .ids import ACTIVATION, FAN_IN, LOSS, LOSS_PARAM, SMOOTHING, WIDTH
from .jit import glue, inner
from .layers import backward_layer, backward_rows, forward_layer, forward_rows, input_rows, weight_gradients
from .layout import PAD, _padded, is_special
from .loss import is_sum, loss_rows
from .maps import accumulate, copy, copy_rows
from .network import (
    BUFFER,
    DELTA,
    EACH,
    ROWS,
    SCALES,
    STRIDE,
    TARGETS,
    column_edge,
    rows_of,
    scratch_of,
    shares_columns,
)
from .simd import address, peek, poke, shift
from .sparse import copy_sparse
from .threads import ABORT, N_SUMS, barrier
from .tile import END_ADD, END_STORE, NV

# What a call is for; PREDICT is one of packs alone.
TRAIN, LOSS_ONLY, GRADIENT, INPUT_GRADIENT, PREDICT = range(5)

# The rows that a task takes: inputs, targets, weights; the order that they are taken in, if `ordered`; whether targets are
# class indices; where in that order the first of the inputs stands, if they are a window of them, else -1.
Data = namedtuple("Data", "x y weight order ordered classes window")
# A thread's part: its number among n and their barrier; its rows of each layer's weights, (L, 2) from and to (`whole`: all of
# them), and its stretch of the flat vectors, of which there are `size` elements; room for packing, and for the groups'
# gradients and losses; whether blocks are taken by columns.
Part = namedtuple("Part", "tid n sync bounds whole begin end size packed partial sums columns")


@glue
def _row(data, i):
    return data.order[i] if data.ordered else i


@glue
def _gather(net, data, at, first, last, unit):
    """Copy the data's rows `at` + first..last to a block's rows first..last; a row's scale is its weight times `unit`."""
    arena, places = net.arena, net.places
    layers = len(net.table)
    k, targets, n = data.x.shape[1], data.y.shape[1], last - first
    ldx, ldy = places[0, STRIDE], places[layers, STRIDE] if targets > 1 else 1
    at += first
    x, y, order = address(data.x, 0), address(data.y, 0), address(data.order, 0)
    a, t = shift(arena, places[0, BUFFER] + first * ldx), shift(scratch_of(net, TARGETS), first * ldy)
    by_order, begin = data.ordered, at
    if data.window >= 0:
        by_order, begin = False, at - data.window
    if net.sparse:
        for i in range(n):
            copy_sparse(shift(x, (peek(order, begin + i) if by_order else begin + i) * k), shift(a, i * ldx))
    else:
        copy_rows(k, x, order, by_order, begin, n, a, ldx)
    if targets > 1:
        copy_rows(targets, y, order, data.ordered, at, n, t, ldy)
    elif data.ordered:
        for i in range(n):
            poke(t, i, peek(y, peek(order, at + i)))
    else:
        copy(n, (shift(y, at), t), ())
    if data.weight.size > 0:
        scales = shift(scratch_of(net, SCALES), first)
        for i in range(n):
            poke(scales, i, data.weight[_row(data, at + i)] * unit)


@glue
def _weight_sum(data, at, count):
    """Sum of `count` rows' weights; 1 each where there are none."""
    if data.weight.size == 0:
        return float(count)
    total = 0.0
    for i in range(at, at + count):
        total += data.weight[_row(data, i)]
    return total


@glue
def _loss_of_rows(net, ints, reals, classes, first, last, uniform):
    """Losses and output deltas of a block's rows first..last, from the logits in the last buffer."""
    table, arena, places = net.table, net.arena, net.places
    layers = len(table)
    ld, k = places[layers, STRIDE], table[layers - 1, WIDTH]
    ldy = 1 if classes else ld
    loss_rows(ints[LOSS], table[layers - 1, ACTIVATION], reals[LOSS_PARAM], reals[SMOOTHING], last - first, k,
              shift(arena, places[layers, BUFFER] + first * ld), ld, shift(arena, places[layers, DELTA] + first * ld),
              shift(scratch_of(net, TARGETS), first * ldy), classes, ldy, shift(scratch_of(net, ROWS), first),
              shift(scratch_of(net, EACH), first * ld), uniform, shift(scratch_of(net, SCALES), first))  # fmt: skip


@glue
def _weighted(data, losses, at, i):
    """A row's loss times its weight, if there are weights."""
    return peek(losses, i) * (data.weight[_row(data, at + i)] if data.weight.size > 0 else 1.0)


@glue
def _sum_losses(net, data, at, first, m):
    """Weighted sum of the losses of a block's m rows from `first` on.

    In four sums side by side, by four loads: one load in a loop over few rows took a quarter of a step of 2-8-1 on Zen 4, see
    docs/performance.md.
    """
    losses = shift(scratch_of(net, ROWS), first)
    one = two = three = four = 0.0
    whole = m // 4 * 4
    for i in range(0, whole, 4):
        one += _weighted(data, losses, at, i)
        two += _weighted(data, losses, at, i + 1)
        three += _weighted(data, losses, at, i + 2)
        four += _weighted(data, losses, at, i + 3)
    for i in range(whole, m):
        one += _weighted(data, losses, at, i)
    return (one + two) + (three + four)


@inner
def _rows(task, net, data, ints, reals, epoch, row, at, first, last, unit, d_in, packed):
    """Take the data's rows from `at` on to a block's rows first..last: their losses and, by `task`, deltas or d_in."""
    arena, places = net.arena, net.places
    layers = len(net.table)
    _gather(net, data, at - first, first, last, unit)
    ldx, ldz = places[0, STRIDE], places[layers, STRIDE]
    x, z = shift(arena, places[0, BUFFER] + first * ldx), shift(arena, places[layers, BUFFER] + first * ldz)
    forward_rows(net.special, net, epoch, row - first, task != LOSS_ONLY, first, last, x, ldx, z, ldz, packed)
    _loss_of_rows(net, ints, reals, data.classes, first, last, unit if data.weight.size == 0 else 0.0)
    if task != LOSS_ONLY:
        backward_rows(net.special, net, first, last, packed)
    if task == INPUT_GRADIENT:
        k = net.table[0, FAN_IN]
        input_rows(net.special, net, first, last, 0, k, shift(d_in, at * k), packed)


@glue
def _share(net, l, units, first, last, m, part):
    """This thread's rows and columns of buffer l's `units` units for a block of m rows, of which it has first..last."""
    if shares_columns(units, m, part.n):
        return 0, m, column_edge(net, l, units, part.tid, part.n), column_edge(net, l, units, part.tid + 1, part.n)
    return first, last, 0, units


@inner
def _layers(task, net, data, ints, reals, epoch, row, at, first, last, m, unit, d_in, part):
    """Take the data's m rows from `at` on through the network, all threads together: as `_rows`, first..last being this one's.

    Of a wide layer each thread has some columns and all rows, so that it reads no more of the weights than that.
    """
    table, layers = net.table, len(net.table)
    _gather(net, data, at, first, last, unit)
    for l in range(layers):
        units = table[l, WIDTH]
        top, bottom, left, right = _share(net, l + 1, units, first, last, m, part)
        if shares_columns(units, m, part.n) or (l > 0 and shares_columns(table[l, FAN_IN], m, part.n)):
            barrier(part.sync, part.n)
            if part.sync[ABORT] != 0:  # as in `_together`
                return
        a, lda = rows_of(net, l, top)
        z, ldz = rows_of(net, l + 1, top)
        if left < right:
            gradient, hidden = task != LOSS_ONLY, l + 1 < layers
            forward_layer(net, l, epoch, row, gradient, top, bottom, left, right, a, lda, z, ldz, hidden, part.packed)
    if shares_columns(table[layers - 1, WIDTH], m, part.n):
        barrier(part.sync, part.n)
    _loss_of_rows(net, ints, reals, data.classes, first, last, unit if data.weight.size == 0 else 0.0)
    if task == LOSS_ONLY:
        return
    for l in range(layers - 1, -1, -1):
        if l == 0 and task != INPUT_GRADIENT:
            break
        units = table[l, FAN_IN]
        top, bottom, left, right = _share(net, l, units, first, last, m, part)
        if shares_columns(units, m, part.n) or (l + 1 < layers and shares_columns(table[l, WIDTH], m, part.n)):
            barrier(part.sync, part.n)
        if left < right and l > 0:
            backward_layer(net, l, top, bottom, left, right, part.packed)
        elif left < right:
            input_rows(net.special, net, top, bottom, left, right, shift(d_in, (at + top) * units), part.packed)


@inner
def _columns(task, net, data, ints, reals, at, m, unit, grad, add):
    """Take the data's m rows from `at` on through a block of columns: their losses and, by `task`, the weights' gradient."""
    ld = _padded(m)
    gather_columns(net, data, at, m, ld, unit)
    forward_columns(net, ld, task != LOSS_ONLY)
    loss_columns(net, ints, reals, ld)
    if task != LOSS_ONLY:
        backward_columns(net, ld, grad, add)


@glue
def _together(task, net, data, ints, reals, epoch, row, at, count, unit, out, part, few, block, gradient):
    """One block after the other, each shared among the threads: by rows or units, then by parts of the weights' gradient."""
    total = 0.0
    done = 0
    while done < count:
        m = min(block, count - done)
        first, last = 0, m
        if part.n > 1:  # divisions count in a step of a small network
            first, last = (m * part.tid) // part.n, (m * (part.tid + 1)) // part.n
        if part.sync[ABORT] != 0:
            break
        if done > 0:
            barrier(part.sync, part.n)
        if few or part.n == 1 or is_special(net.special):  # which go over the same rows several times
            begin = at + done + first
            _rows(task, net, data, ints, reals, epoch, row + done + first, begin, first, last, unit, out, part.packed)
        else:
            _layers(task, net, data, ints, reals, epoch, row + done, at + done, first, last, m, unit, out, part)
        barrier(part.sync, part.n)
        if part.sync[ABORT] != 0:  # what others should have gathered may be anything, and sparse rows hold addresses
            break
        if gradient:
            end = END_STORE if done == 0 else END_ADD
            weight_gradients(net, 0, m, part.bounds, out, end, part.packed)
        if part.tid == 0:
            total += _sum_losses(net, data, at + done, 0, m)
        done += m
    return total


@glue
def _side_by_side(task, net, data, ints, reals, epoch, row, at, count, unit, out, part, block):
    """Groups of rows, each done by one thread, in blocks, with a gradient of its own; all are added up in order at the end.

    There is an even number of groups, of as many rows each as whole tiles allow: two threads have the same to do.
    """
    size = part.size
    first = 0 if part.columns else part.tid * block
    tile = NV * PAD if part.columns else 8
    blocks, tiles = (count + block - 1) // block, (count + tile - 1) // tile
    groups = min(blocks + blocks % 2, tiles, N_SUMS) if blocks > 1 else 1
    gradient = task == TRAIN or task == GRADIENT
    for group in range((groups * part.tid) // part.n, (groups * (part.tid + 1)) // part.n):
        low, high = (tiles * group) // groups * tile, min((tiles * (group + 1)) // groups * tile, count)
        total = 0.0
        for done in range(low, high, block):
            if part.sync[ABORT] != 0:
                break
            m, begins = min(block, high - done), done == low
            to = out if groups == 1 else shift(part.partial, group * size)
            if part.columns:
                _columns(task, net, data, ints, reals, at + done, m, unit, to, not begins)
            else:
                _rows(task, net, data, ints, reals, epoch, row + done, at + done, first, first + m, unit, out, part.packed)
                if gradient:
                    end = END_STORE if begins else END_ADD
                    weight_gradients(net, first, m, part.whole, to, end, part.packed)
            total += _sum_losses(net, data, at + done, first, m)
        part.sums[group] = total
    barrier(part.sync, part.n)
    if gradient and groups > 1:
        n, total_grad = part.end - part.begin, shift(out, part.begin)
        copy(n, (shift(part.partial, part.begin), total_grad), ())
        for group in range(1, groups):
            accumulate(n, (total_grad, shift(part.partial, group * size + part.begin)), ())
    total = 0.0
    for group in range(groups):
        total += part.sums[group]
    return total


@glue
def _minibatch(task, net, data, ints, reals, epoch, row, at, count, weight_sum, out, part, few, limit, later):
    """Loss of `count` rows from `at` on, and by `task` their gradient or d_in in `out`; thread 0 returns the sum.

    Ends with every thread's share of the gradient done, or if it is to be done `later` ready to be, but without a barrier.
    """
    unit = 1.0 if is_sum(ints[LOSS]) else (1.0 / weight_sum if weight_sum > 0.0 else 0.0)
    if part.columns or (few and count > limit):
        return _side_by_side(task, net, data, ints, reals, epoch, row, at, count, unit, out, part, limit)
    gradient = (task == TRAIN or task == GRADIENT) and not later
    block = min(limit, count)
    return _together(task, net, data, ints, reals, epoch, row, at, count, unit, out, part, few, block, gradient)
