"""Many networks of one architecture on shared data; twins, which explain the arguments: fastmlp/reference/population.py."""

from __future__ import annotations

import math

import numpy as np

from . import train
from .ids import (
    ACTIVATION,
    BETA1_POWER,
    BETA2_POWER,
    CROSS_ENTROPY,
    EPOCH,
    L2_OVER_BATCH,
    LOSS,
    N_INTS,
    N_REALS,
    SHUFFLE,
    SHUFFLE_SEED,
    SOFTMAX,
    STEP,
)
from .minibatch import LOSS_ONLY, PREDICT, TRAIN
from .packs import _packs_size, _run_packs
from .scratch import _scratch_size
from .simd import VECTOR_BYTES
from .threads import ABORT, alone, run_on_threads, threads, threads_here

# Of float32, which has the most.
MOST_LANES = VECTOR_BYTES // 4
# Parameters of a network up to which packs are faster; see docs/performance.md.
LANE_PARAMETERS = 4096
# What the works of `_one_by_one` call, and for which numbers.
_compiled: set[tuple[str, str]] = set()


def population_arena_size(table, size, slots, rows):
    """Elements of scratch for `size` networks with so many slots on up to `rows` rows."""
    n = threads()
    return max(n * train.arena_size(table, rows), _packs_room(table, max(size, n * MOST_LANES), slots, n))


def _packs_room(table, size, slots, n):
    """Elements of scratch for packs of `size` networks, whatever their dtype, on n threads."""
    return _packs_size(table, -(-size // MOST_LANES), slots, MOST_LANES, n)


def _in_lanes(params):
    """Whether the networks are worked on in packs, which is a matter of their number and size alone.

    Larger networks keep vectors busy by themselves, and stay in a nearer cache; so do few that would leave lanes empty.
    """
    size, n_parameters = params.shape[-2:]
    lanes = VECTOR_BYTES // params.itemsize
    return n_parameters <= LANE_PARAMETERS * size / (-(-size // lanes) * lanes)


def _packs_can(table, ints, reals, training):
    """Whether packs can do it: no dropout, no penalty in the loss, no softmax with another loss than cross-entropy."""
    more = training and (reals[:, N_REALS:][:, : len(table)].any() or ints[0, L2_OVER_BATCH])
    return not more and (table[-1, ACTIVATION] != SOFTMAX or ints[0, LOSS] == CROSS_ENTROPY)


def population_way(table, ints, reals, params):
    """What decides in which of two ways networks are worked on, whose roundings differ."""
    return _in_lanes(params), _packs_can(table, ints, reals, True)


def _run(task, table, ints, reals, params, slots, x, y, weight, lr, factor, losses, out, copies, arena):
    """Do `task` in packs; `copies` are those of parameters, of slots and of powers."""
    times, size, _ = params.shape
    lanes = VECTOR_BYTES // params.itemsize
    shuffles = ints[:, [SHUFFLE_SEED, EPOCH]]
    own = task == TRAIN and bool(ints[0, SHUFFLE]) and bool((shuffles != shuffles[0]).any())
    n = min(threads_here(), times * -(-size // lanes))
    # The scratch may have been taken when there were fewer threads.
    while n > 1 and _packs_room(table, size if task == TRAIN else n * lanes, slots.shape[1], n) > arena.size:
        n -= 1
    job = task, table, ints, reals, params, slots, x, y, weight, own, lr, factor, losses, out, *copies, arena
    run_on_threads(_run_packs, n, n > 1, *job)


def _one_by_one(table, x, size, arena, work):
    """work(i, scratch) for each network, on as many threads as there are and have room in the arena."""
    part = _scratch_size(table, x.shape[1], len(x), 1)
    n = max(1, min(threads_here(), size, arena.size // part))
    kind, first = (work.__qualname__, table.dtype.char, arena.dtype.char), 0
    if kind not in _compiled:  # by the caller, who may be interrupted
        with alone():
            work(0, arena[:part])
        _compiled.add(kind)
        first = 1

    def share(tid, n, sync):
        with alone():
            for i in range(first + tid, size, n):
                if sync[ABORT]:
                    return
                work(i, arena[tid * part : (tid + 1) * part])

    run_on_threads(share, n, n > 1)


def _of(array, i):
    return array[i if len(array) > 1 else 0]


def _weight(weight, i):
    return _of(weight, i) if len(weight) else np.empty(0, weight.dtype)


def _no_copies(dtype):
    return np.empty((0, 0, 0), dtype), np.empty((0, 0, 0, 0), dtype), np.empty((0, 0, 0))


def train_population(
    table, ints, reals, params, slots, x, y, weight, lr, factor, losses, arena, copies=None, slot_copies=None, powers=None
):
    """Whole epochs for each network."""
    none = _no_copies(params.dtype)
    given = tuple(other if one is None else one for one, other in zip((copies, slot_copies, powers), none, strict=True))
    if _in_lanes(params) and _packs_can(table, ints, reals, True):
        nothing = np.empty((0, 0), params.dtype)
        _run(TRAIN, table, ints, reals, params[np.newaxis], slots, x, y, weight, lr, factor, losses, nothing, given, arena)
        ints[:, EPOCH] += len(losses)
        ints[:, STEP] += len(lr)
        if not math.isfinite(losses.sum()):
            losses[np.cumsum(~np.isfinite(losses), axis=0) > 1] = np.nan
        return
    losses[:] = np.nan
    epochs = len(losses)
    # In one go, or to copy what there is after each epoch.
    at_once, steps = 1 if len(given[0]) else epochs, len(lr) // max(1, epochs)

    def work(i, scratch):
        order, own = np.empty(len(x), np.int64), np.full(epochs + 1, np.nan)
        network, data = (table, ints[i], reals[i], params[i], slots[i]), (x, _of(y, i), _weight(weight, i), order)
        for epoch in range(0, epochs, at_once):
            rates = lr[epoch * steps : (epoch + at_once) * steps, np.newaxis] * factor[i]
            train.train_steps(*network, *data, rates, own[epoch:], scratch)
            if at_once == 1 and not _note(i, epoch, own[epoch], params, slots, reals, *given):
                break
        losses[:, i] = own[:-1]

    _one_by_one(table, x, len(params), arena, work)


def _note(i, epoch, loss, params, slots, reals, copies, slot_copies, powers):
    """Copy network i as it is after an epoch, as far as there is room; returns whether it goes on."""
    if epoch < len(copies):
        copies[epoch, i] = params[i]
    if epoch < len(slot_copies):
        slot_copies[epoch, i] = slots[i]
    if epoch < len(powers):
        powers[epoch, i] = reals[i, [BETA1_POWER, BETA2_POWER]]
    return math.isfinite(loss)


def population_loss(table, ints, reals, params, x, y, weight, out, arena):
    """out = each network's loss."""
    times, losses = params.reshape(-1, *params.shape[-2:]), out.reshape(-1, out.shape[-1])
    if _in_lanes(params) and _packs_can(table, ints, reals, False):
        none, nothing = np.empty(0), np.empty((0, 0), params.dtype)
        slots, copies = np.empty((len(ints), 0, params.shape[-1]), params.dtype), _no_copies(params.dtype)
        _run(LOSS_ONLY, table, ints, reals, times, slots, x, y, weight, none, none, losses, nothing, copies, arena)
        return

    def work(i, scratch):
        for own, loss in zip(times[:, i], losses, strict=True):
            loss[i] = train.loss(table, ints[i], reals[i], own, x, _of(y, i), _weight(weight, i), scratch)

    _one_by_one(table, x, len(ints), arena, work)


def predict_each(table, params, x, out, arena):
    """out = a network's outputs with each of several parameters."""

    def work(i, scratch):
        train.predict(table, params[i], x, out[i], scratch)

    _one_by_one(table, x, len(params), arena, work)


def predict_population(table, params, x, out, arena):
    """out = each network's outputs."""
    times = params.reshape(-1, *params.shape[-2:])
    size = times.shape[1]
    if _in_lanes(params):
        none, copies = np.empty((1, 0)), _no_copies(params.dtype)
        nothing = np.empty((0, 0), params.dtype), np.empty((size, 0, params.shape[-1]), params.dtype)
        ints, reals = np.zeros((size, N_INTS), np.int64), np.zeros((size, N_REALS))
        y, rows = np.empty((1, len(x), out.shape[-1]), params.dtype), out.reshape(times.shape[0] * size, -1)
        _run(PREDICT, table, ints, reals, times, nothing[1], x, y, nothing[0], none[0], none[0], none, rows, copies, arena)
        return
    predict_each(table, params.reshape(-1, params.shape[-1]), x, out.reshape(-1, *out.shape[-2:]), arena)
