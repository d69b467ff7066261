"""The entry points: what Python asks of a network, and whole stretches of training in one call.

All of it is one compiled function, `_run`, so that the kernels under it are compiled once. The functions that Python
sees have twins in fastmlp/reference/train.py, where each is explained.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from .dense import copy
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
    OFFSET,
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
from .jit import entry, inner
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
    _set_ones,
    arrange,
    backward_rows,
    block_rows,
    delta_rows,
    forward_rows,
    output_rows,
    share,
    stretch,
    turn_weights,
    weight_gradients,
)
from .gemm import PACKED
from .optim import _norm_factor, _penalize, _update, condition, scale, update
from .rng import permutation
from .simd import address, peek, poke, shift
from .threads import barrier, flush_denormals, restore_mode, threads, together
from .tile import END_STORE, START_C, START_ZERO

TRAIN, LOSS_ONLY, GRADIENT, PREDICT, ACTIVATIONS, INPUT_GRADIENT, VJP = range(7)


@inner
def _gather(x, y, weight, order, ordered, at, arena, places, first, last, unit):
    """Copy the rows `at` + first..last of the data (of `order`, if `ordered`) to a block's rows first..last.

    A row's scale is its weight times `unit`.
    """
    layers = places.shape[0] - 2
    k, targets = x.shape[1], y.shape[1]
    ldx, ldy = places[0, STRIDE], places[layers, STRIDE] if targets > 1 else 1
    scratch = places[layers + 1]
    for i in range(first, last):
        row = order[at + i] if ordered else at + i
        a = shift(arena, places[0, BUFFER] + i * ldx)
        copy(k, (address(x, row * k), a), ())
        poke(a, k, 1.0)
        t = shift(arena, scratch[TARGETS] + i * ldy)
        if targets == 1:
            poke(t, 0, y[row, 0])
        else:
            copy(targets, (address(y, row * targets), t), ())
        if weight.size > 0:
            poke(arena, scratch[SCALES] + i, weight[row] * unit)


@inner
def _weight_sum(weight, order, ordered, at, count):
    """Sum of `count` rows' weights; 1 each where there are none."""
    if weight.size == 0:
        return float(count)
    total = 0.0
    for i in range(at, at + count):
        total += weight[order[i] if ordered else i]
    return total


@inner
def _loss_of_rows(table, ints, reals, arena, places, first, last, classes, uniform):
    """Losses and output deltas of a block's rows first..last, from the logits in the last buffer."""
    layers = table.shape[0]
    scratch = places[layers + 1]
    ld, k = places[layers, STRIDE], table[layers - 1, WIDTH]
    ldy = 1 if classes else ld
    loss_rows(ints[LOSS], table[layers - 1, ACTIVATION], reals[LOSS_PARAM], reals[SMOOTHING], last - first, k,
              shift(arena, places[layers, BUFFER] + first * ld), ld, shift(arena, places[layers, DELTA] + first * ld),
              shift(arena, scratch[TARGETS] + first * ldy), classes, ldy, shift(arena, scratch[ROWS] + first),
              shift(arena, scratch[EACH] + first * ld), uniform, shift(arena, scratch[SCALES] + first))  # fmt: skip


@inner
def _sum_losses(weight, order, ordered, at, m, losses):
    """Weighted sum of m rows' losses, in order."""
    total = 0.0
    for i in range(m):
        value = peek(losses, i)
        if weight.size > 0:
            value *= weight[order[at + i] if ordered else at + i]
        total += value
    return total


@inner
def _minibatch(task, table, ints, reals, epoch, row, params, x, y, weight, order, ordered, at, count, weight_sum, grad, d_in,
               arena, places, bounds, block, tid, n, sync):  # fmt: skip
    """Loss of `count` rows from `at` on, and by `task` their gradient in grad or d_in; thread 0 returns the sum.

    Ends with every thread's share of the gradient done, but without a barrier.
    """
    layers = table.shape[0]
    classes = y.shape[1] != table[layers - 1, WIDTH]
    gradient, training = task != LOSS_ONLY, ints[TRAINING] != 0
    unit = 1.0 if ints[LOSS] == SSE else (1.0 / weight_sum if weight_sum > 0.0 else 0.0)
    packed = shift(arena, places[layers + 1, PACK] + tid * PACKED)
    total = 0.0
    for done in range(0, count, block):
        m = min(block, count - done)
        first, last = (m * tid) // n, (m * (tid + 1)) // n
        if done > 0:
            barrier(sync, n)
        _gather(x, y, weight, order, ordered, at + done, arena, places, first, last, unit)
        forward_rows(table, reals, ints[SEED], epoch, row + done, training, gradient, params, arena, places, first, last,
                     packed)  # fmt: skip
        _loss_of_rows(table, ints, reals, arena, places, first, last, classes, unit if weight.size == 0 else 0.0)
        if gradient:
            backward_rows(table, reals, training, params, arena, places, first, last, packed)
        if task == INPUT_GRADIENT:
            k = table[0, FAN_IN]
            out = shift(d_in, (at + done + first) * k)
            delta_rows(table, params, arena, places, 0, first, last, out, k, END_STORE, out, packed)
        barrier(sync, n)
        if gradient and task != INPUT_GRADIENT:
            weight_gradients(table, m, arena, places, bounds, tid, grad, START_ZERO if done == 0 else START_C, packed)
        if tid == 0:
            total += _sum_losses(weight, order, ordered, at + done, m, shift(arena, places[layers + 1, ROWS]))
    return total


@inner
def _train(table, ints, reals, params, slots, x, y, weight, order, lr, losses, grad, arena, places, bounds, block, tid, n, sync):
    """lr.size steps; returns the epochs finished. Every thread follows the same counters, number 0 writes them down."""
    rows = x.shape[0]
    row, epoch = ints[ROW], ints[EPOCH]
    power1, power2 = reals[BETA1_POWER], reals[BETA2_POWER]
    loss_sum, weight_total = reals[LOSS_SUM], reals[WEIGHT_SUM]
    w, state = address(params, 0), address(slots, 0)
    begin, end = stretch(table, bounds, tid), stretch(table, bounds, tid + 1)
    finished, steps = 0, 0
    for step in range(lr.size):
        if row == 0:
            loss_sum, weight_total = 0.0, 0.0
            if ints[SHUFFLE]:
                if tid == 0:
                    permutation(ints[SEED], epoch, order)
                barrier(sync, n)
        count = min(ints[BATCH], rows - row)
        weight_sum = _weight_sum(weight, order, ints[SHUFFLE] != 0, row, count)
        loss_sum += _minibatch(TRAIN, table, ints, reals, epoch, row, w, x, y, weight, order, ints[SHUFFLE] != 0, row, count,
                               weight_sum, grad, grad, arena, places, bounds, block, tid, n, sync)  # fmt: skip
        weight_total += weight_sum
        _penalize(table, ints, reals, w, grad, weight_sum, begin, end)
        if reals[CLIP_NORM] > 0.0:
            barrier(sync, n)
            factor = _norm_factor(reals, grad, params.size)
            barrier(sync, n)
            if factor != 1.0:
                scale(end - begin, (shift(grad, begin),), (factor,))
        power1 *= reals[BETA1]
        power2 *= reals[BETA2]
        _update(table, ints, reals, power1, power2, w, state, params.size, grad, lr[step], begin, end)
        turn_weights(table, w, arena, places, bounds, tid, 1)
        steps += 1
        row += count
        if row == rows:
            if tid == 0:
                mean = weight_total if ints[LOSS] != SSE else 1.0
                losses[finished] = loss_sum / mean if mean > 0.0 else 0.0
            row, epoch, finished = 0, epoch + 1, finished + 1
        barrier(sync, n)
        if row == 0 and not math.isfinite(losses[finished - 1]):
            break
    if tid == 0:
        ints[ROW], ints[EPOCH] = row, epoch
        ints[STEP] += steps
        reals[BETA1_POWER], reals[BETA2_POWER] = power1, power2
        reals[LOSS_SUM], reals[WEIGHT_SUM] = loss_sum, weight_total
    return finished


@inner
def _predict(task, table, reals, params, x, out, arena, places, block, tid, n):
    """Outputs of all rows, or with ACTIVATIONS every layer's; each thread takes a stretch of the rows."""
    layers = table.shape[0]
    k = table[layers - 1, WIDTH]
    ldx, ldz = places[0, STRIDE], places[layers, STRIDE]
    packed = shift(arena, places[layers + 1, PACK] + tid * PACKED)
    z = shift(arena, places[layers, BUFFER])
    per_thread = max(1, block // n)
    rows = x.shape[0]
    low, high = (rows * tid) // n, (rows * (tid + 1)) // n
    first = tid * per_thread
    for at in range(low, high, per_thread):
        m = min(per_thread, high - at)
        for i in range(m):
            copy(x.shape[1], (address(x, (at + i) * x.shape[1]), shift(arena, places[0, BUFFER] + (first + i) * ldx)), ())
        forward_rows(table, reals, 0, 0, 0, False, False, params, arena, places, first, first + m, packed)
        output_rows(table[layers - 1, ACTIVATION], m, k, shift(z, first * ldz), ldz)
        column = 0
        for l in range(1 if task == ACTIVATIONS else layers, layers + 1):
            width, ld = table[l - 1, WIDTH], places[l, STRIDE]
            for i in range(m):
                a = shift(arena, places[l, BUFFER] + (first + i) * ld)
                copy(width, (a, address(out, (at + i) * out.shape[1] + column)), ())
            column += width


@inner
def _vjp(table, reals, params, x, d_out, d_in, arena, places, block):
    """d_in = d_out times each row's Jacobian, for d_out (rows, outputs), d_in (rows, inputs)."""
    layers = table.shape[0]
    k_in, k, activation = table[0, FAN_IN], table[layers - 1, WIDTH], table[layers - 1, ACTIVATION]
    ldx, ldz = places[0, STRIDE], places[layers, STRIDE]
    packed = shift(arena, places[layers + 1, PACK])
    z, d = shift(arena, places[layers, BUFFER]), shift(arena, places[layers, DELTA])
    for at in range(0, x.shape[0], block):
        m = min(block, x.shape[0] - at)
        for i in range(m):
            copy(k_in, (address(x, (at + i) * k_in), shift(arena, places[0, BUFFER] + i * ldx)), ())
        forward_rows(table, reals, 0, 0, 0, False, True, params, arena, places, 0, m, packed)
        output_derivative(activation, m, k, z, ldz, d)
        for i in range(m):
            for j in range(k):
                poke(d, i * ldz + j, peek(d, i * ldz + j) * d_out[at + i, j])
        if activation == SOFTMAX:
            _softmax_back(m, k, d, z, ldz)
        backward_rows(table, reals, False, params, arena, places, 0, m, packed)
        out = address(d_in, at * k_in)
        delta_rows(table, params, arena, places, 0, 0, m, out, k_in, END_STORE, out, packed)


@entry
def _arena_size(table, rows, n_threads):
    """Elements of scratch for any task on `rows` rows at once, the gradient of a training step included."""
    places = np.empty((table.shape[0] + 2, PLACES), np.int64)
    last = table.shape[0] - 1
    parameters = table[last, OFFSET] + (table[last, FAN_IN] + 1) * table[last, WIDTH]
    return arrange(table, block_rows(table, rows), n_threads, places) + parameters


@entry
def _run(task, table, ints, reals, params, slots, x, y, weight, order, lr, losses, out, arena, tid, n, sync):
    """Do `task` as thread tid of n; its numbers go to losses (TRAIN) or out (others, 2-D)."""
    mode = flush_denormals()
    layers = table.shape[0]
    places = np.empty((layers + 2, PLACES), np.int64)
    bounds = np.empty((layers, n + 1), np.int64)
    batch = min(ints[BATCH], x.shape[0]) if task == TRAIN else x.shape[0]
    block = block_rows(table, batch)
    size = arrange(table, block, n, places)
    share(table, n, bounds)
    w, base, target = address(params, 0), address(arena, 0), address(out, 0)
    result = 0.0
    if task == PREDICT or task == ACTIVATIONS:
        _predict(task, table, reals, w, x, out, base, places, block, tid, n)
    else:
        if tid == 0:
            for l in range(layers):
                _set_ones(block, table[l, FAN_IN], shift(base, places[l, BUFFER]), places[l, STRIDE])
        turn_weights(table, w, base, places, bounds, tid, 0 if task == INPUT_GRADIENT or task == VJP else 1)
        barrier(sync, n)
        if task == TRAIN:
            result = float(_train(table, ints, reals, params, slots, x, y, weight, order, lr, losses, shift(base, size), base,
                                  places, bounds, block, tid, n, sync))  # fmt: skip
        elif task == VJP:
            _vjp(table, reals, w, x, y, out, base, places, block)
        else:
            weight_sum = _weight_sum(weight, order, False, 0, x.shape[0])
            result = _minibatch(task, table, ints, reals, ints[EPOCH], ints[ROW], w, x, y, weight, order, False, 0, x.shape[0],
                                weight_sum, target, target, base, places, bounds, block, tid, n, sync)  # fmt: skip
            if ints[LOSS] != SSE:
                result = result / weight_sum if weight_sum > 0.0 else 0.0
    restore_mode(mode)
    return result


# Fewer floating-point operations than this are done before a second thread has joined: at each step of a training, whose
# threads run together already, and in a call of its own, which has to wake them.
_FLOPS_STEP, _FLOPS_CALL = 1_000_000, 20_000_000


def _team(params, rows, passes, least) -> int:
    """Threads for `passes` times 2 * rows * parameters operations."""
    return threads() if rows > 1 and 2 * passes * rows * params.size >= least else 1


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
    n = _team(params, len(x), 1, _FLOPS_CALL)
    together(_run, n, task, table, ints, reals, params, matrix, x, matrix, vector, order, reals, reals, out, arena)


def activations(table, params, x, out, arena):
    """out = every layer's activations side by side; see the reference."""
    predict(table, params, x, out, arena, ACTIVATIONS)


def _evaluate(task, table, ints, reals, params, x, y, weight, out, arena):
    _, matrix, _, order, none = _nothing(params.dtype)
    n = _team(params, len(x), 3, _FLOPS_CALL)
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
    n = _team(params, min(ints[BATCH], len(x)), 3, _FLOPS_STEP)
    slots = slots if slots.size else matrix
    return int(together(_run, n, TRAIN, table, ints, reals, params, slots, x, y, weight, order, lr, losses, matrix, arena))


def step(table, ints, reals, params, slots, grad, lr):
    """One optimizer step from a gradient; see the reference."""
    condition(table, ints, reals, params, grad, 0.0)
    update(table, ints, reals, params, slots if slots.size else _nothing(params.dtype)[1], grad, lr)
    ints[STEP] += 1
