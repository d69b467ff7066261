"""Many networks of one architecture on shared data; twins, which explain the arguments: fastmlp/reference/population.py."""

from __future__ import annotations

import numpy as np

from . import train
from .threads import ABORT, alone, threads, threads_here, together


def population_arena_size(table, size, slots, rows):
    """Elements of scratch for `size` networks with so many slots on up to `rows` rows."""
    return threads() * train.arena_size(table, rows)


def _one_by_one(size, arena, work):
    """work(i, scratch) for each network, on as many threads as there are, each with its part of the arena."""
    n = min(threads_here(), size)
    part = arena.size // max(threads(), 1)

    def share(tid, n, sync):
        with alone():
            for i in range(tid, size, n):
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
    losses[:] = np.nan

    def work(i, scratch):
        order, own = np.empty(len(x), np.int64), np.full(len(losses) + 1, np.nan)
        train.train_steps(
            table, ints[i], reals[i], params[i], slots[i], x, _of(y, i), _weight(weight, i), order, lr * factor[i], own, scratch
        )
        losses[:, i] = own[:-1]

    _one_by_one(len(params), arena, work)


def population_loss(table, ints, reals, params, x, y, weight, out, arena):
    """out = each network's loss."""

    def work(i, scratch):
        out[i] = train.loss(table, ints[i], reals[i], params[i], x, _of(y, i), _weight(weight, i), scratch)

    _one_by_one(len(params), arena, work)


def predict_population(table, params, x, out, arena):
    """out = each network's outputs."""

    def work(i, scratch):
        train.predict(table, params[i], x, out[i], scratch)

    _one_by_one(len(params), arena, work)
