"""Many networks of one architecture on shared data: what train.py does, for each network in turn.

Arrays have one more dimension in front, of the networks: params (size, P), slots (size, S, P), ints (size, N_INTS), reals
(size, ·). Targets are (1, n, K) or (size, n, K), with one column of class indices for K > 1; weights are (0, n) for none,
(1, n) or (size, n). Where the first dimension is 1, all networks share it. The networks may differ in every number of ints
and reals but for BATCH, SHUFFLE, DROP_LAST, LOSS, LOSS_PARAM and the optimizer's kind.
"""

from __future__ import annotations

import numpy as np

from . import train


def _of(array, i):
    """Network i's part of targets or weights."""
    return array[i if len(array) > 1 else 0]


def _weight(weight, i):
    return _of(weight, i) if len(weight) else np.empty(0, weight.dtype)


def population_arena_size(table: np.ndarray, size: int, slots: int, rows: int) -> int:
    """Return the elements of scratch that `size` networks with so many slots take on up to `rows` rows: none here."""
    return 0


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
) -> None:
    """Train each network for len(losses) whole epochs, as `train_steps` does.

    Parameters
    ----------
    table : ndarray of shape (L, 5), int64
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
    """
    order, own = np.empty(len(x), np.int64), np.empty(len(losses) + 1)
    for i in range(len(params)):
        own[:] = np.nan
        train.train_steps(
            table, ints[i], reals[i], params[i], slots[i], x, _of(y, i), _weight(weight, i), order, lr * factor[i], own, arena
        )
        losses[:, i] = own[:-1]


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
    """Compute out (size,) float64 = each network's loss, as `loss` does."""
    for i in range(len(params)):
        out[i] = train.loss(table, ints[i], reals[i], params[i], x, _of(y, i), _weight(weight, i), arena)


def predict_population(table: np.ndarray, params: np.ndarray, x: np.ndarray, out: np.ndarray, arena: np.ndarray) -> None:
    """Compute out (size, n, K) = each network's outputs, as `predict` does."""
    for i in range(len(params)):
        train.predict(table, params[i], x, out[i], arena)
