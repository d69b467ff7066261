"""Many networks of one architecture on shared data; twins, which explain the arguments: fastmlp/reference/population.py."""

from __future__ import annotations

import math

import numpy as np

from . import train
from .ids import (
    ACTIVATION,
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
from .threads import ABORT, alone, threads, threads_here, together

# Parameters of a network up to which packs are faster; see docs/performance.md.
LANE_PARAMETERS = 4096
# What the works of `_one_by_one` call, and for which numbers.
_compiled: set[tuple[str, str]] = set()


def population_arena_size(table, size, slots, rows):
    """Elements of scratch for `size` networks with so many slots on up to `rows` rows."""
    n = threads()
    return max(n * train.arena_size(table, rows), _packs_size(table, size, slots, VECTOR_BYTES // 4, n))


def _in_lanes(params):
    """Whether the networks are worked on in packs, which is a matter of their number and size alone.

    Larger networks keep vectors busy by themselves, and stay in a nearer cache; so do few that would leave lanes empty.
    """
    size, n_parameters = params.shape
    lanes = VECTOR_BYTES // params.itemsize
    return n_parameters <= LANE_PARAMETERS * size / (-(-size // lanes) * lanes)


def _packs_can(table, ints, reals, training):
    """Whether packs can do it: no dropout, no penalty in the loss, no softmax with another loss than cross-entropy."""
    more = training and (reals[:, N_REALS:][:, : len(table)].any() or ints[0, L2_OVER_BATCH])
    return not more and (table[-1, ACTIVATION] != SOFTMAX or ints[0, LOSS] == CROSS_ENTROPY)


def _run(task, table, ints, reals, params, slots, x, y, weight, lr, factor, losses, out, arena):
    size = len(params)
    lanes = VECTOR_BYTES // params.itemsize
    shuffles = ints[:, [SHUFFLE_SEED, EPOCH]]
    own = task == TRAIN and bool(ints[0, SHUFFLE]) and bool((shuffles != shuffles[0]).any())
    n = min(threads_here(), -(-size // lanes))
    # The scratch may have been taken when there were fewer threads.
    while n > 1 and _packs_size(table, size, slots.shape[1], VECTOR_BYTES // 4, n) > arena.size:
        n -= 1
    job = _run_packs, n, n > 1, task, table, ints, reals, params, slots, x, y, weight, own, lr, factor, losses, out, arena
    together(*job)


def _one_by_one(table, x, size, arena, work):
    """work(i, scratch) for each network, on as many threads as there are and have room in the arena."""
    part = _scratch_size(table, x.shape[1], len(x), 1)
    n = max(1, min(threads_here(), size, arena.size // part))
    kind, first = (work.__qualname__, arena.dtype.char), 0
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

    together(share, n, n > 1)


def _of(array, i):
    return array[i if len(array) > 1 else 0]


def _weight(weight, i):
    return _of(weight, i) if len(weight) else np.empty(0, weight.dtype)


def train_population(table, ints, reals, params, slots, x, y, weight, lr, factor, losses, arena):
    """Whole epochs for each network."""
    if _in_lanes(params) and _packs_can(table, ints, reals, True):
        none = np.empty((0, 0), params.dtype)
        _run(TRAIN, table, ints, reals, params, slots, x, y, weight, lr, factor, losses, none, arena)
        ints[:, EPOCH] += len(losses)
        ints[:, STEP] += len(lr)
        if not math.isfinite(losses.sum()):
            losses[np.cumsum(~np.isfinite(losses), axis=0) > 1] = np.nan
        return
    losses[:] = np.nan

    def work(i, scratch):
        order, own = np.empty(len(x), np.int64), np.full(len(losses) + 1, np.nan)
        train.train_steps(
            table, ints[i], reals[i], params[i], slots[i], x, _of(y, i), _weight(weight, i), order, lr * factor[i], own, scratch
        )
        losses[:, i] = own[:-1]

    _one_by_one(table, x, len(params), arena, work)


def population_loss(table, ints, reals, params, x, y, weight, out, arena):
    """out = each network's loss."""
    if _in_lanes(params) and _packs_can(table, ints, reals, False):
        none, nothing = np.empty(0), np.empty((0, 0), params.dtype)
        slots = np.empty((len(out), 0, params.shape[1]), params.dtype)
        _run(LOSS_ONLY, table, ints, reals, params, slots, x, y, weight, none, none, out[np.newaxis], nothing, arena)
        return

    def work(i, scratch):
        out[i] = train.loss(table, ints[i], reals[i], params[i], x, _of(y, i), _weight(weight, i), scratch)

    _one_by_one(table, x, len(params), arena, work)


def predict_population(table, params, x, out, arena):
    """out = each network's outputs."""
    if _in_lanes(params):
        size, none = len(params), np.empty(0)
        nothing = np.empty((0, 0), params.dtype), np.empty((size, 0, params.shape[1]), params.dtype)
        ints, reals = np.zeros((size, N_INTS), np.int64), np.zeros((size, N_REALS))
        y = np.empty((1, len(x), out.shape[2]), params.dtype)
        rows = out.reshape(size, -1)
        _run(PREDICT, table, ints, reals, params, nothing[1], x, y, nothing[0], none, none, none[np.newaxis], rows, arena)
        return

    def work(i, scratch):
        train.predict(table, params[i], x, out[i], scratch)

    _one_by_one(table, x, len(params), arena, work)
