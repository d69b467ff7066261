"""The one compiled function behind all entry points, so that the kernels under it are compiled once; and its training loop."""

from __future__ import annotations

import math

import numpy as np

from .columns import arrange_columns, column_block, narrow
from .embedding import rows_fit
from .grid import grid
from .ids import (
    ACTIVATION,
    BATCH,
    BETA1,
    BETA1_POWER,
    BETA2,
    BETA2_POWER,
    CHECK_FINITE,
    CLIP_NORM,
    COLUMNS,
    CROSS_ENTROPY,
    DECAY,
    DROP_LAST,
    DROPOUT,
    EACH_STEP,
    EPOCH,
    FAN_IN,
    L2,
    L2_OVER_BATCH,
    LOSS,
    LOSS_FACTOR,
    LOSS_SUM,
    N_REALS,
    ROW,
    SEED,
    SHUFFLE,
    SHUFFLE_SEED,
    SOFTMAX,
    STEP,
    TRAINING,
    WEIGHT_SUM,
    WIDTH,
    WINDOW,
)
from .jit import entry, glue, inner
from .kept import kept
from .layers import layer_gradient
from .layout import _padded, is_special, n_params, row_start, special
from .loss import mean_loss
from .maps import copy
from .minibatch import (
    GRADIENT,
    INPUT_GRADIENT,
    LOSS_ONLY,
    TRAIN,
    Data,
    Part,
    _minibatch,
    _weight_sum,
)
from .network import (
    BUFFER,
    PACK,
    PLACES,
    STRIDE,
    Net,
    _set_ones,
    arrange,
    block_limit,
    few_parameters,
    own_room,
    scratch_of,
    share,
    stretch,
)
from .optim import _norm_factors, _penalize, _shorten, _squared_weights, _update
from .rng import permute
from .scratch import room_of, scratch_size
from .simd import address, lanes_of, peek, shift
from .sparse import sparse_width
from .stack import give_back, take
from .threads import ABORT, LATE, N_SUMS, NOT_FINITE, SUMS, barrier, deadline, flush_denormals, nanoseconds, restore_mode
from .tile import END_STORE

# Elements of a gradient that are made and used up before the next ones, so that they stay in a part of the L2 cache.
CHUNK = 128 * 1024


@inner
def _descend(net, ints, reals, power1, power2, state, out, lr, decay, weight_sum, m, part):
    """This thread's part of the weight gradients of a block of m rows and the step on it, a chunk of rows at a time."""
    for l in range(len(net.table)):
        rows = max(1, CHUNK // net.table[l, WIDTH] // 8) * 8
        for first in range(part.bounds[l, 0], part.bounds[l, 1], rows):
            last = min(first + rows, part.bounds[l, 1])
            begin, end = row_start(net.table, l, first), row_start(net.table, l, last)
            # Every chunk lies where the first one does, at the beginning of this thread's stretch.
            grad = shift(out, part.begin - begin)
            layer_gradient(net.special, net, l, first, last, 0, m, grad, END_STORE, part.packed)
            _penalize(net.table, ints, reals, net.params, grad, weight_sum, begin, end)
            _update(net.table, ints, reals, power1, power2, net.params, state, part.size, grad, lr, decay, begin, end)


@glue
def _descend_at_once(net, ints, reals, power1, power2, state, grad, lr, decay, weight_sum, part):
    """This thread's part of the step on a gradient that is there as a whole."""
    size, begin, end = part.size, part.begin, part.end
    _penalize(net.table, ints, reals, net.params, grad, weight_sum, begin, end)
    if reals[CLIP_NORM] > 0.0:
        barrier(part.sync, part.n)
        unit, rest = _norm_factors(reals, grad, size)
        barrier(part.sync, part.n)
        if unit != 1.0 or rest != 1.0:
            _shorten(end - begin, (shift(grad, begin),), (unit, rest))
    _update(net.table, ints, reals, power1, power2, net.params, state, size, grad, lr, decay, begin, end)


@inner
def _start_penalty(net, part, few):
    """This thread's sums of squared weights, over parts of the flat vector that depend on its size alone.

    They are complete after the next barrier, which comes before any thread changes a weight.
    """
    size, parts = part.size, 1 if few else N_SUMS
    for i in range((parts * part.tid) // part.n, (parts * (part.tid + 1)) // part.n):
        first, last = (size * i) // parts, (size * (i + 1)) // parts
        part.sums[N_SUMS + i] = _squared_weights(net.table, net.params, first, last)


@inner
def _penalized(reals, part, few, loss, weight_sum):
    """A minibatch's mean loss times LOSS_FACTOR with its share of the penalty, as scikit-learn's MLP has it."""
    if weight_sum <= 0.0:
        return 0.0
    squares = 0.0
    if reals[L2] != 0.0:  # else nobody has written the sums
        for i in range(1 if few else N_SUMS):
            squares += part.sums[N_SUMS + i]
    return (reals[LOSS_FACTOR] * loss + 0.5 * reals[L2] * squares) / weight_sum


@inner
def _note(net, ints, losses, copies, number, loss_sum, weight_total, part):
    """Write down a loss, and this thread's stretch of the parameters after it if there is room for them."""
    if number < copies.shape[0]:
        source, target = shift(net.params, part.begin), address(copies, number * copies.shape[1] + part.begin)
        copy(part.end - part.begin, (source, target), ())
    if part.tid == 0:
        losses[number] = mean_loss(ints, loss_sum, weight_total)


@inner
def _set_dropout(net, reals, factor):
    """Set this thread's dropout rates to those of the network times a factor."""
    for l in range(len(net.table)):
        net.rates[l] = factor * reals[N_REALS + DROPOUT * len(net.table) + l]


@inner
def _steps(task, net, data, ints, reals, slots, lr, losses, out, copies, part, few, limit):
    """For TRAIN a step for each row of `lr`, returning the losses written; else one minibatch of all rows, returning its loss.

    `copies` (epochs, P) is filled with the parameters after each loss, as far as it goes.

    Every thread follows the same counters, number 0 writes them down.
    """
    rows = data.y.shape[0]
    row, epoch = ints[ROW], ints[EPOCH]
    power1, power2 = reals[BETA1_POWER], reals[BETA2_POWER]
    loss_sum, weight_total = reals[LOSS_SUM], reals[WEIGHT_SUM]
    state = address(slots, 0)
    each = ints[EACH_STEP] != 0
    finished, steps = 0, 0
    ends = deadline(part.sync) if task == TRAIN and part.n > 1 and part.tid == 0 else 0
    if task == TRAIN and ints[DROP_LAST]:
        rows -= rows % ints[BATCH]
    scheduled = task == TRAIN and lr.shape[1] > 1
    for step in range(lr.shape[0] if task == TRAIN else 1):
        at, count = row, min(ints[BATCH], rows - row)
        if task != TRAIN:
            at, count = 0, rows
        elif row == 0 or each:
            loss_sum, weight_total = 0.0, 0.0
            if row == 0 and data.ordered:
                if part.tid == 0:
                    permute(ints[SHUFFLE_SEED], epoch, data.order)
                barrier(part.sync, part.n)
        if scheduled:
            _set_dropout(net, reals, lr[step, 2])
        weight_sum = _weight_sum(data, at, count)
        penalized = task == TRAIN and ints[L2_OVER_BATCH] != 0
        if penalized and reals[L2] != 0.0:
            _start_penalty(net, part, few)
        # A large gradient need not visit memory, if nothing but the update looks at it.
        fused = task == TRAIN and not few and count <= limit and reals[CLIP_NORM] <= 0.0
        loss = _minibatch(task, net, data, ints, reals, epoch, row, at, count, weight_sum, out, part, few, limit, fused)
        if task != TRAIN:
            return mean_loss(ints, loss, weight_sum)
        if penalized:
            loss_sum += _penalized(reals, part, few, loss, weight_sum) * count
            weight_total += count
        else:
            loss_sum += loss
            weight_total += weight_sum
        decay = lr[step, 1] if scheduled else reals[DECAY]
        power1 *= reals[BETA1]
        power2 *= reals[BETA2]
        if fused and part.sync[ABORT] != 0:  # as in `_together`
            break
        if fused:
            _descend(net, ints, reals, power1, power2, state, out, lr[step, 0], decay, weight_sum, count, part)
        else:
            _descend_at_once(net, ints, reals, power1, power2, state, out, lr[step, 0], decay, weight_sum, part)
        steps += 1
        row += count
        counts = row == rows or each
        if counts:
            _note(net, ints, losses, copies, finished, loss_sum, weight_total, part)
            finished += 1
        if row == rows:
            row, epoch = 0, epoch + 1
        if ends > 0 and nanoseconds() > ends:
            part.sync[LATE] = 1
        barrier(part.sync, part.n)
        if (counts and not math.isfinite(losses[finished - 1])) or part.sync[ABORT] != 0 or part.sync[LATE] != 0:
            break
    if part.tid == 0:
        ints[ROW], ints[EPOCH] = row, epoch
        ints[STEP] += steps
        reals[BETA1_POWER], reals[BETA2_POWER] = power1, power2
        reals[LOSS_SUM], reals[WEIGHT_SUM] = loss_sum, weight_total
    return float(finished)


@inner
def _by_columns(task, table, ints, rates, rows, sparse, lanes):
    """Whether a task's rows are taken by columns."""
    if sparse or task == INPUT_GRADIENT or not narrow(table, rows, task != LOSS_ONLY, lanes):
        return False
    if table[len(table) - 1, ACTIVATION] == SOFTMAX and ints[LOSS] != CROSS_ENTROPY:
        return False
    if ints[TRAINING] != 0 and task != LOSS_ONLY:
        for l in range(len(table)):
            if rates[l] > 0.0:
                return False
    return True


@inner
def _fit(kind, table, x, tid, n):
    """Whether thread tid's stretch of the rows is as `rows_fit` says."""
    low, high = (x.shape[0] * tid) // n, (x.shape[0] * (tid + 1)) // n
    return rows_fit(kind, table, high - low, x.shape[1], address(x, low * x.shape[1]))


@inner
def _tells_finite(table, grad):
    """Whether the derivatives by each input's first weight are finite; with an input that is not, none of its weights' are.

    A gradient has fewer inputs than the data have numbers: of 200 rows of 24 to look at those first took 4% of the call.
    """
    total = 0.0
    for i in range(table[0, FAN_IN]):
        total += 0.0 * peek(grad, i * table[0, WIDTH])
    return total == 0.0


@entry
def _run(task, table, ints, reals, params, slots, x, y, weight, order, lr, losses, out, arena, tid, n, sync):
    """Do `task` as thread tid of n; its numbers go to losses (TRAIN, copies of parameters to out) or out (others, 2-D).

    With CHECK_FINITE set, NaN is all that is returned if x or y is not finite; a gradient in out is none then.
    x may be sparse rows (sparse.py), and for TRAIN fewer rows than y: those that the epoch takes from place WINDOW on.
    """
    table = grid(table, COLUMNS)
    layers = len(table)
    size = (layers + 2) * PLACES
    numbers = take(size + 5 * layers)
    places = grid(numbers[:size].reshape(layers + 2, PLACES), PLACES)
    bounds = grid(numbers[size : size + 2 * layers].reshape(layers, 2), 2)
    whole = grid(numbers[size + 2 * layers : size + 4 * layers].reshape(layers, 2), 2)
    # Each thread's own, since they may change from step to step.
    rates = numbers[size + 4 * layers :].view(np.float64)
    rows = min(ints[BATCH], y.shape[0]) if task == TRAIN else y.shape[0]
    if n > 1 and scratch_size(table, x.shape[1], rows, n, places) > arena.size:
        # The scratch was taken when there were fewer threads.
        if tid > 0:
            give_back(numbers)
            return 0.0
        n = 1
    mode = flush_denormals()
    room, few, limit = room_of(table, rows, n), few_parameters(table), block_limit(table)
    sparse = sparse_width(table, x) > 0
    base, target = address(arena, 0), address(out, 0)
    columns = _by_columns(task, table, ints, reals[N_REALS:], rows, sparse, lanes_of(base))
    if columns:
        # Each thread has all of its blocks to itself.
        limit = column_block(table)
        size = arrange_columns(table, limit, places)
        base, grad = shift(base, tid * size), shift(base, n * size)
    else:
        grad = shift(base, arrange(table, x.shape[1], room, n, places))
    for l in range(layers):
        rates[l] = reals[N_REALS + DROPOUT * layers + l]
    share(table, 1, 0, whole)
    if n == 1:
        bounds = whole
    else:
        share(table, n, tid, bounds)
    begin, end = stretch(table, bounds, 0), stretch(table, bounds, 1)
    training = ints[TRAINING] != 0 and (task == TRAIN or task == GRADIENT)
    net = kept(Net(table, rates, address(params, 0), base, places, ints[SEED], training, sparse, special(table)))
    data = kept(Data(x, y, weight, order, task == TRAIN and ints[SHUFFLE] != 0, y.shape[1] != table[layers - 1, WIDTH],
                     ints[WINDOW] if x.shape[0] < y.shape[0] else -1))  # fmt: skip
    packed = shift(scratch_of(net, PACK), 0 if columns else tid * own_room(net.special, table, room))
    partial = shift(grad, _padded(n_params(table)))
    part = kept(Part(tid, n, sync, bounds, whole, begin, end, n_params(table), packed, partial, sync[SUMS:].view(np.float64),
                     columns))  # fmt: skip
    if tid == 0 and not columns:
        for l in range(layers):
            if l > 0 or not sparse:
                _set_ones(room, table[l, FAN_IN], shift(base, places[l, BUFFER]), places[l, STRIDE])
    if n == 1:
        sync[NOT_FINITE] = 0
    looks = ints[CHECK_FINITE] != 0
    tells = looks and task == GRADIENT and n == 1 and not sparse and not is_special(net.special)
    if looks and not ((tells or _fit(net.special, table, x, tid, n)) and _fit(None, table, y, tid, n)):
        sync[NOT_FINITE] = 1
    barrier(sync, n)
    result = math.nan
    if sync[NOT_FINITE] == 0:
        gradient = grad if task == TRAIN else target
        copies = out if task == TRAIN and out.shape[1] == part.size else out[:0]
        result = _steps(task, net, data, ints, reals, slots, lr, losses, gradient, copies, part, few, limit)
        if tells and not _tells_finite(table, gradient) and not _fit(None, table, x, tid, n):
            result = math.nan
    restore_mode(mode)
    give_back(numbers)
    return result
