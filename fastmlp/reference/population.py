"""Many networks of one architecture on shared data: what train.py does, for each network in turn.

Arrays have one more dimension in front, of the networks: params (size, P), slots (size, S, P), ints (size, N_INTS), reals
(size, ·). Targets are (1, n, K) or (size, n, K), with one column of class indices for K > 1; weights are (0, n) for none,
(1, n) or (size, n). Where the first dimension is 1, all networks share it. The networks may differ in every number of ints
and reals but for BATCH, SHUFFLE, DROP_LAST, LOSS, LOSS_PARAM and the optimizer's kind. Questions may be asked of networks
as they were at several times at once: params is then (times, size, P), and answers have a first dimension more too.
"""

from __future__ import annotations

import math

import numpy as np

from . import ids, train


def _of(array, i):
    """Network i's part of targets or weights."""
    return array[i if len(array) > 1 else 0]


def _weight(weight, i):
    return _of(weight, i) if len(weight) else np.empty(0, weight.dtype)


def population_arena_size(table: np.ndarray, size: int, slots: int, rows: int) -> int:
    """Return the elements of scratch that `size` networks with so many slots take on up to `rows` rows: none here."""
    return 0


def population_way(table: np.ndarray, ints: np.ndarray, reals: np.ndarray, params: np.ndarray) -> tuple:
    """Return what decides in which of several ways networks are worked on, whose roundings differ: here there is one way."""
    return ()


def train_population(
    table: np.ndarray,
    ints: np.ndarray,
    reals: np.ndarray,
    params: np.ndarray,
    slots: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    lr: np.ndarray,
    factor: np.ndarray,
    losses: np.ndarray,
    arena: np.ndarray,
    copies: np.ndarray | None = None,
    slot_copies: np.ndarray | None = None,
    powers: np.ndarray | None = None,
) -> None:
    """Train each network for len(losses) whole epochs, as `train_steps` does.

    Parameters
    ----------
    table : ndarray of shape (L, 12), int64, or int32 for special layers
        The layers that all networks have.
    ints, reals, params, slots : ndarray
        Each network's settings, counters, parameters and optimizer state; change. ROW must be 0.
    x : ndarray of shape (n, in)
        Inputs.
    y, weight
        Targets and sample weights, see above.
    lr : ndarray of shape (steps,), float64
        Learning rate of each step of all epochs.
    factor : ndarray of shape (size,), float64
        What each network multiplies it by.
    losses : ndarray of shape (epochs, size), float64
        Overwritten with the mean training losses; NaN after an epoch whose loss is not finite.
    arena
        Not used.
    copies : ndarray of shape (epochs, size, P), optional
    slot_copies : ndarray of shape (epochs, size, S, P), optional
    powers : ndarray of shape (epochs, size, 2), float64, optional
        As many as they have room for are filled with what each epoch left: parameters, optimizer state, and BETA1_POWER and
        BETA2_POWER.
    """
    losses[:] = np.nan
    order, loss, steps = np.empty(len(x), np.int64), np.empty(2), len(lr) // max(1, len(losses))
    for i in range(len(params)):
        for epoch in range(len(losses)):
            rates = lr[epoch * steps : (epoch + 1) * steps, np.newaxis] * factor[i]
            train.train_steps(
                table, ints[i], reals[i], params[i], slots[i], x, _of(y, i), _weight(weight, i), order, rates, loss, arena
            )
            losses[epoch, i] = loss[0]
            left = params[i], slots[i], reals[i, [ids.BETA1_POWER, ids.BETA2_POWER]]
            for array, value in zip((copies, slot_copies, powers), left, strict=True):
                if array is not None and epoch < len(array):
                    array[epoch, i] = value
            if not math.isfinite(loss[0]):
                break


def population_loss(
    table: np.ndarray,
    ints: np.ndarray,
    reals: np.ndarray,
    params: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    out: np.ndarray,
    arena: np.ndarray,
) -> None:
    """Compute out (size,) or (times, size) float64 = each network's loss, as `loss` does."""
    for own, losses in zip(params.reshape(-1, *params.shape[-2:]), out.reshape(-1, out.shape[-1]), strict=True):
        for i in range(len(own)):
            losses[i] = train.loss(table, ints[i], reals[i], own[i], x, _of(y, i), _weight(weight, i), arena)


def predict_each(table: np.ndarray, params: np.ndarray, x: np.ndarray, out: np.ndarray, arena: np.ndarray) -> None:
    """Compute out (times, n, K) = a network's outputs with each of params (times, P), as `predict` does."""
    for own, answer in zip(params, out, strict=True):
        train.predict(table, own, x, answer, arena)


def predict_population(table: np.ndarray, params: np.ndarray, x: np.ndarray, out: np.ndarray, arena: np.ndarray) -> None:
    """Compute out (size, n, K) or (times, size, n, K) = each network's outputs, as `predict` does."""
    predict_each(table, params.reshape(-1, params.shape[-1]), x, out.reshape(-1, *out.shape[-2:]), arena)
