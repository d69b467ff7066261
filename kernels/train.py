"""The entry points: what Python asks of a network, and whole stretches of training in one call.

All of it is one compiled function, `_run`, so that the kernels under it are compiled once. The functions that Python
sees have twins in fastmlp/reference/train.py, where each is explained.
"""

from __future__ import annotations

import functools
import math
import time
from collections import namedtuple

import numpy as np

from .dense import accumulate, copy
from .gemm import PACKED
from .ids import (
    ACTIVATION,
    BATCH,
    BETA1,
    BETA1_POWER,
    BETA2,
    BETA2_POWER,
    CLIP_NORM,
    EPOCH,
    FAN_IN,
    LOSS,
    LOSS_PARAM,
    LOSS_SUM,
    N_INTS,
    N_REALS,
    ROW,
    SEED,
    SHUFFLE,
    SMOOTHING,
    SOFTMAX,
    SSE,
    STEP,
    TRAINING,
    WEIGHT_SUM,
    WIDTH,
)
from .jit import entry, glue, inner
from .loss import _softmax_back, loss_rows, output_derivative
from .network import (
    BUFFER,
    DELTA,
    EACH,
    PACK,
    PLACES,
    ROWS,
    SCALES,
    STRIDE,
    TARGETS,
    TURNED,
    Net,
    _padded,
    _set_ones,
    arrange,
    backward_rows,
    block_limit,
    delta_rows,
    few_parameters,
    forward_rows,
    n_params,
    output_rows,
    share,
    stretch,
    turn_weights,
    weight_gradients,
)
from .optim import _norm_factor, _penalize, _update, condition, scale, update
from .pace import pace_of
from .rng import permutation
from .simd import address, peek, poke, shift
from .threads import N_SUMS, SUMS, barrier, flush_denormals, restore_mode, threads, threads_here, together
from .tile import END_STORE, START_SUMS, START_ZERO

TRAIN, LOSS_ONLY, GRADIENT, PREDICT, ACTIVATIONS, INPUT_GRADIENT, VJP = range(7)


# The rows that a task takes: inputs, targets, weights; the order that they are taken in, if `ordered`; whether targets are
# class indices.
Data = namedtuple("Data", "x y weight order ordered classes")
# A thread's part: its number among n and their barrier; its rows of the weights (`whole`: all of them) and its stretch of the
# flat vectors; room for packing, and for the groups' gradients and losses.
Part = namedtuple("Part", "tid n sync bounds whole begin end packed partial sums")


@glue
def _row(data, i):
    return data.order[i] if data.ordered else i


@glue
def _gather(net, data, at, first, last, unit):
    """Copy the data's rows `at` + first..last to a block's rows first..last; a row's scale is its weight times `unit`."""
    arena, places = net.arena, net.places
    layers = places.shape[0] - 2
    k, targets = data.x.shape[1], data.y.shape[1]
    ldx, ldy = places[0, STRIDE], places[layers, STRIDE] if targets > 1 else 1
    scratch = places[layers + 1]
    for i in range(first, last):
        row = _row(data, at + i)
        a = shift(arena, places[0, BUFFER] + i * ldx)
        copy(k, (address(data.x, row * k), a), ())
        poke(a, k, 1.0)
        t = shift(arena, scratch[TARGETS] + i * ldy)
        if targets == 1:
            poke(t, 0, data.y[row, 0])
        else:
            copy(targets, (address(data.y, row * targets), t), ())
        if data.weight.size > 0:
            poke(arena, scratch[SCALES] + i, data.weight[row] * unit)


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
    layers = table.shape[0]
    scratch = places[layers + 1]
    ld, k = places[layers, STRIDE], table[layers - 1, WIDTH]
    ldy = 1 if classes else ld
    loss_rows(ints[LOSS], table[layers - 1, ACTIVATION], reals[LOSS_PARAM], reals[SMOOTHING], last - first, k,
              shift(arena, places[layers, BUFFER] + first * ld), ld, shift(arena, places[layers, DELTA] + first * ld),
              shift(arena, scratch[TARGETS] + first * ldy), classes, ldy, shift(arena, scratch[ROWS] + first),
              shift(arena, scratch[EACH] + first * ld), uniform, shift(arena, scratch[SCALES] + first))  # fmt: skip


@glue
def _sum_losses(net, data, at, first, m):
    """Weighted sum of the losses of a block's m rows from `first` on, in order."""
    losses = shift(net.arena, net.places[net.table.shape[0] + 1, ROWS] + first)
    total = 0.0
    for i in range(m):
        value = peek(losses, i)
        if data.weight.size > 0:
            value *= data.weight[_row(data, at + i)]
        total += value
    return total


@inner
def _rows(task, net, data, ints, reals, epoch, row, at, first, last, unit, d_in, packed):
    """Take the data's rows from `at` on to a block's rows first..last: their losses and, by `task`, deltas or d_in."""
    _gather(net, data, at - first, first, last, unit)
    forward_rows(net, epoch, row - first, task != LOSS_ONLY, first, last, packed)
    _loss_of_rows(net, ints, reals, data.classes, first, last, unit if data.weight.size == 0 else 0.0)
    if task != LOSS_ONLY:
        backward_rows(net, first, last, packed)
    if task == INPUT_GRADIENT:
        k = net.table[0, FAN_IN]
        out = shift(d_in, at * k)
        delta_rows(net, 0, first, last, out, k, END_STORE, out, packed)


@glue
def _together(task, net, data, ints, reals, epoch, row, at, count, unit, out, part, block):
    """One block after the other, each shared among the threads: by rows, then by parts of the weights' gradient."""
    total = 0.0
    for done in range(0, count, block):
        m = min(block, count - done)
        first, last = (m * part.tid) // part.n, (m * (part.tid + 1)) // part.n
        if done > 0:
            barrier(part.sync, part.n)
        _rows(task, net, data, ints, reals, epoch, row + done + first, at + done + first, first, last, unit, out, part.packed)
        barrier(part.sync, part.n)
        if task == TRAIN or task == GRADIENT:
            start = START_ZERO if done == 0 else START_SUMS
            weight_gradients(net, 0, m, part.bounds, part.tid, out, start, part.packed)
        if part.tid == 0:
            total += _sum_losses(net, data, at + done, 0, m)
    return total


@glue
def _side_by_side(task, net, data, ints, reals, epoch, row, at, count, unit, out, part, block):
    """Groups of blocks, each done by one thread with a gradient of its own, all added up in order at the end."""
    size = n_params(net.table)
    first = part.tid * block
    blocks = (count + block - 1) // block
    groups = min(N_SUMS, blocks)
    gradient = task == TRAIN or task == GRADIENT
    for group in range((groups * part.tid) // part.n, (groups * (part.tid + 1)) // part.n):
        low, high = (blocks * group) // groups, (blocks * (group + 1)) // groups
        total = 0.0
        for done in range(low * block, min(high * block, count), block):
            m = min(block, count - done)
            _rows(task, net, data, ints, reals, epoch, row + done, at + done, first, first + m, unit, out, part.packed)
            if gradient:
                start = START_ZERO if done == low * block else START_SUMS
                weight_gradients(net, first, m, part.whole, 0, shift(part.partial, group * size), start, part.packed)
            total += _sum_losses(net, data, at + done, first, m)
        part.sums[group] = total
    barrier(part.sync, part.n)
    if gradient:
        n, to = part.end - part.begin, shift(out, part.begin)
        copy(n, (shift(part.partial, part.begin), to), ())
        for group in range(1, groups):
            accumulate(n, (to, shift(part.partial, group * size + part.begin)), ())
    total = 0.0
    for group in range(groups):
        total += part.sums[group]
    return total


@glue
def _minibatch(task, net, data, ints, reals, epoch, row, at, count, weight_sum, out, part, few, limit):
    """Loss of `count` rows from `at` on, and by `task` their gradient or d_in in `out`; thread 0 returns the sum.

    Ends with every thread's share of the gradient done, but without a barrier.
    """
    unit = 1.0 if ints[LOSS] == SSE else (1.0 / weight_sum if weight_sum > 0.0 else 0.0)
    if few and count > limit:
        return _side_by_side(task, net, data, ints, reals, epoch, row, at, count, unit, out, part, limit)
    return _together(task, net, data, ints, reals, epoch, row, at, count, unit, out, part, min(limit, count))


@inner
def _steps(task, net, data, ints, reals, slots, lr, losses, out, part, few, limit):
    """For TRAIN lr.size steps, returning the epochs finished; else one minibatch of all rows, returning its loss.

    Every thread follows the same counters, number 0 writes them down.
    """
    rows = data.x.shape[0]
    size = n_params(net.table)
    row, epoch = ints[ROW], ints[EPOCH]
    power1, power2 = reals[BETA1_POWER], reals[BETA2_POWER]
    loss_sum, weight_total = reals[LOSS_SUM], reals[WEIGHT_SUM]
    state = address(slots, 0)
    finished, steps = 0, 0
    for step in range(lr.size if task == TRAIN else 1):
        at, count = row, min(ints[BATCH], rows - row)
        if task != TRAIN:
            at, count = 0, rows
        elif row == 0:
            loss_sum, weight_total = 0.0, 0.0
            if data.ordered:
                if part.tid == 0:
                    permutation(ints[SEED], epoch, data.order)
                barrier(part.sync, part.n)
        weight_sum = _weight_sum(data, at, count)
        loss = _minibatch(task, net, data, ints, reals, epoch, row, at, count, weight_sum, out, part, few, limit)
        if task != TRAIN:
            return _mean(ints, loss, weight_sum)
        loss_sum += loss
        weight_total += weight_sum
        _penalize(net.table, ints, reals, net.params, out, weight_sum, part.begin, part.end)
        if reals[CLIP_NORM] > 0.0:
            barrier(part.sync, part.n)
            factor = _norm_factor(reals, out, size)
            barrier(part.sync, part.n)
            if factor != 1.0:
                scale(part.end - part.begin, (shift(out, part.begin),), (factor,))
        power1 *= reals[BETA1]
        power2 *= reals[BETA2]
        _update(net.table, ints, reals, power1, power2, net.params, state, size, out, lr[step], part.begin, part.end)
        if not few:
            turn_weights(net, part.bounds, part.tid, 1)
        steps += 1
        row += count
        if row == rows:
            if part.tid == 0:
                losses[finished] = _mean(ints, loss_sum, weight_total)
            row, epoch, finished = 0, epoch + 1, finished + 1
        barrier(part.sync, part.n)
        if few:
            turn_weights(net, part.whole, 0, 1)
        if row == 0 and not math.isfinite(losses[finished - 1]):
            break
    if part.tid == 0:
        ints[ROW], ints[EPOCH] = row, epoch
        ints[STEP] += steps
        reals[BETA1_POWER], reals[BETA2_POWER] = power1, power2
        reals[LOSS_SUM], reals[WEIGHT_SUM] = loss_sum, weight_total
    return float(finished)


@glue
def _mean(ints, loss_sum, weight_sum):
    """The loss of rows with this sum of weighted losses."""
    if ints[LOSS] == SSE:
        return loss_sum
    return loss_sum / weight_sum if weight_sum > 0.0 else 0.0


@inner
def _predict(task, net, x, out, part, room):
    """Outputs of all rows, or with ACTIVATIONS every layer's; each thread takes a stretch of the rows."""
    table, arena, places = net.table, net.arena, net.places
    layers = table.shape[0]
    k = table[layers - 1, WIDTH]
    ldx, ldz = places[0, STRIDE], places[layers, STRIDE]
    z = shift(arena, places[layers, BUFFER])
    per_thread = max(1, room // part.n)
    rows = x.shape[0]
    low, high = (rows * part.tid) // part.n, (rows * (part.tid + 1)) // part.n
    first = part.tid * per_thread
    for at in range(low, high, per_thread):
        m = min(per_thread, high - at)
        for i in range(m):
            copy(x.shape[1], (address(x, (at + i) * x.shape[1]), shift(arena, places[0, BUFFER] + (first + i) * ldx)), ())
        forward_rows(net, 0, 0, False, first, first + m, part.packed)
        output_rows(table[layers - 1, ACTIVATION], m, k, shift(z, first * ldz), ldz)
        column = 0
        for l in range(1 if task == ACTIVATIONS else layers, layers + 1):
            width, ld = table[l - 1, WIDTH], places[l, STRIDE]
            for i in range(m):
                a = shift(arena, places[l, BUFFER] + (first + i) * ld)
                copy(width, (a, address(out, (at + i) * out.shape[1] + column)), ())
            column += width


@inner
def _vjp(net, x, d_out, out, packed, room):
    """d_in (in `out`) = d_out times each row's Jacobian, for d_out (rows, outputs), d_in (rows, inputs)."""
    table, arena, places = net.table, net.arena, net.places
    layers = table.shape[0]
    k_in, k, activation = table[0, FAN_IN], table[layers - 1, WIDTH], table[layers - 1, ACTIVATION]
    ldx, ldz = places[0, STRIDE], places[layers, STRIDE]
    z, d = shift(arena, places[layers, BUFFER]), shift(arena, places[layers, DELTA])
    for at in range(0, x.shape[0], room):
        m = min(room, x.shape[0] - at)
        for i in range(m):
            copy(k_in, (address(x, (at + i) * k_in), shift(arena, places[0, BUFFER] + i * ldx)), ())
        forward_rows(net, 0, 0, True, 0, m, packed)
        output_derivative(activation, m, k, z, ldz, d)
        for i in range(m):
            for j in range(k):
                poke(d, i * ldz + j, peek(d, i * ldz + j) * d_out[at + i, j])
        if activation == SOFTMAX:
            _softmax_back(m, k, d, z, ldz)
        backward_rows(net, 0, m, packed)
        d_in = shift(out, at * k_in)
        delta_rows(net, 0, 0, m, d_in, k_in, END_STORE, d_in, packed)


@inner
def _room(table, rows, n):
    """Rows that the buffers must hold for any task on `rows` rows at once by n threads."""
    limit = block_limit(table)
    return limit * n if rows > limit and few_parameters(table) else max(1, min(rows, limit))


@entry
def _arena_size(table, rows, n):
    """Elements of scratch for any task on up to `rows` rows at once by n threads."""
    places = np.empty((table.shape[0] + 2, PLACES), np.int64)
    gradients = 1 + (N_SUMS if few_parameters(table) and rows > block_limit(table) else 0)
    return arrange(table, _room(table, rows, n), n, places) + gradients * _padded(n_params(table))


@entry
def _run(task, table, ints, reals, params, slots, x, y, weight, order, lr, losses, out, arena, tid, n, sync):
    """Do `task` as thread tid of n; its numbers go to losses (TRAIN) or out (others, 2-D)."""
    mode = flush_denormals()
    layers = table.shape[0]
    places = np.empty((layers + 2, PLACES), np.int64)
    bounds, whole = np.empty((layers, n + 1), np.int64), np.empty((layers, 2), np.int64)
    rows = min(ints[BATCH], x.shape[0]) if task == TRAIN else x.shape[0]
    room, few, limit = _room(table, rows, n), few_parameters(table), block_limit(table)
    base, target = address(arena, 0), address(out, 0)
    grad = shift(base, arrange(table, room, n, places))
    share(table, n, bounds)
    share(table, 1, whole)
    training = ints[TRAINING] != 0 and (task == TRAIN or task == GRADIENT)
    turned = shift(base, tid * places[layers, TURNED])
    net = Net(table, reals[N_REALS:], address(params, 0), base, places, turned, ints[SEED], training)
    data = Data(x, y, weight, order, task == TRAIN and ints[SHUFFLE] != 0, y.shape[1] != table[layers - 1, WIDTH])
    part = Part(tid, n, sync, bounds, whole, stretch(table, bounds, tid), stretch(table, bounds, tid + 1),
                shift(base, places[layers + 1, PACK] + tid * PACKED), shift(grad, _padded(n_params(table))),
                sync[SUMS:].view(np.float64))  # fmt: skip
    result = 0.0
    if task == PREDICT or task == ACTIVATIONS:
        _predict(task, net, x, out, part, room)
    else:
        if tid == 0:
            for l in range(layers):
                _set_ones(room, table[l, FAN_IN], shift(base, places[l, BUFFER]), places[l, STRIDE])
        from_layer = 0 if task == INPUT_GRADIENT or task == VJP else 1
        if few:
            turn_weights(net, whole, 0, from_layer)
        else:
            turn_weights(net, bounds, tid, from_layer)
        barrier(sync, n)
        if task == VJP:
            _vjp(net, x, y, target, part.packed, room)
        else:
            gradient = grad if task == TRAIN else target
            result = _steps(task, net, data, ints, reals, slots, lr, losses, gradient, part, few, limit)
    restore_mode(mode)
    return result


# In a call of its own, a second thread has to be woken, which takes as long as this many floating-point operations.
_FLOPS_CALL = 20_000_000


def _team(params, rows, passes) -> int:
    """Threads for one pass of 2 * rows * parameters operations, or several."""
    return threads_here() if rows > 1 and 2 * passes * rows * params.size >= _FLOPS_CALL else 1


@functools.cache
def _nothing(dtype):
    """Stand-ins for the arguments that a task does not use."""
    return (np.zeros(N_INTS, np.int64), np.zeros((1, 1), dtype), np.zeros(0, dtype), np.zeros(0, np.int64), np.zeros(0))


def arena_size(table, rows):
    """Elements of scratch for any task on up to `rows` rows."""
    return _arena_size(table, rows, threads())


def predict(table, params, x, out, arena, task=PREDICT):
    """out = the outputs; see the reference."""
    ints, matrix, vector, order, reals = _nothing(params.dtype)
    n = _team(params, len(x), 1)
    together(_run, n, task, table, ints, reals, params, matrix, x, matrix, vector, order, reals, reals, out, arena)


def activations(table, params, x, out, arena):
    """out = every layer's activations side by side; see the reference."""
    predict(table, params, x, out, arena, ACTIVATIONS)


def _evaluate(task, table, ints, reals, params, x, y, weight, out, arena):
    _, matrix, _, order, none = _nothing(params.dtype)
    n = _team(params, len(x), 3)
    return together(_run, n, task, table, ints, reals, params, matrix, x, y, weight, order, none, none, out, arena)


def loss(table, ints, reals, params, x, y, weight, arena):
    """Return the loss; see the reference."""
    return _evaluate(LOSS_ONLY, table, _quiet(ints), reals, params, x, y, weight, _nothing(params.dtype)[1], arena)


def value_and_grad(table, ints, reals, params, x, y, weight, grad, arena):
    """Return the loss, grad = its gradient; see the reference."""
    return _evaluate(GRADIENT, table, ints, reals, params, x, y, weight, grad.reshape(1, -1), arena)


def input_gradient(table, ints, reals, params, x, y, weight, d_in, arena):
    """d_in = the loss's gradient by the inputs; see the reference."""
    _evaluate(INPUT_GRADIENT, table, _quiet(ints), reals, params, x, y, weight, d_in, arena)


def _quiet(ints):
    """The settings without dropout."""
    if ints[TRAINING]:
        ints = ints.copy()
        ints[TRAINING] = 0
    return ints


def vjp(table, params, x, d_out, d_in, arena):
    """d_in = each row's d_out times its Jacobian; see the reference."""
    ints, matrix, vector, order, none = _nothing(params.dtype)
    reals = np.zeros(N_REALS + len(table))
    together(_run, 1, VJP, table, ints, reals, params, matrix, x, d_out, vector, order, none, none, d_in, arena)


def train_steps(table, ints, reals, params, slots, x, y, weight, order, lr, losses, arena):
    """len(lr) optimizer steps; see the reference."""
    matrix = _nothing(params.dtype)[1]
    slots = slots if slots.size else matrix
    batch = min(ints[BATCH], len(x))
    done = finished = 0
    pace = pace_of((table.tobytes(), batch, params.dtype.char), 6e-11 * batch * params.size)
    while done < lr.size:
        n, steps = pace.next(lr.size - done, threads_here())
        before = ints[STEP]
        began = time.perf_counter()
        rates, results = lr[done : done + steps], losses[finished:]
        job = (_run, n, TRAIN, table, ints, reals, params, slots, x, y, weight, order, rates, results, matrix, arena)
        finished += int(together(*job))
        pace.took(n, steps, time.perf_counter() - began)
        if ints[STEP] - before < steps:  # an epoch's loss was not finite
            break
        done += steps
    return finished


def step(table, ints, reals, params, slots, grad, lr):
    """One optimizer step from a gradient; see the reference."""
    condition(table, ints, reals, params, grad, 0.0)
    update(table, ints, reals, params, slots if slots.size else _nothing(params.dtype)[1], grad, lr)
    ints[STEP] += 1
