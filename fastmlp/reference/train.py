"""What Python asks of a network, and whole stretches of training in one call.

Words used throughout: `table` is the (L, 12) table of layers, int64 or for special ones int32, and `params` the flat vector
of their weights, biases and alphas (see ids.py); a is an activation, z = a w + b what comes before it (for the last layer:
the logits), and a delta is ∂L/∂z. `ints` and `reals` hold a run's settings and counters. `arena` is the compiled engine's
scratch memory, which is of no use here. All arrays are C-contiguous, and all but table, ints, reals, order, lr and losses
have one dtype.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from . import embedding
from .activations import activate, apply, softmax
from .dense import linear_bwd_d, linear_bwd_w, linear_fwd
from .embedding import embeds
from .ids import (
    ACTIVATION,
    BATCH,
    CHECK_FINITE,
    DECAY,
    DROP_LAST,
    DROPOUT,
    EACH_STEP,
    EPOCH,
    FAN_IN,
    HAS_ALPHA,
    HAS_BIAS,
    L2,
    L2_OVER_BATCH,
    LOSS,
    LOSS_FACTOR,
    LOSS_PARAM,
    LOSS_SUM,
    N_REALS,
    OFFSET,
    ROW,
    SEED,
    SHUFFLE,
    SHUFFLE_SEED,
    SMOOTHING,
    SOFTMAX,
    STEP,
    TRAINING,
    WEIGHT_SUM,
    WIDTH,
    WINDOW,
)
from .loss import SUMS, loss_and_delta
from .optim import _update, _weights, condition, update
from .rng import dropout_mask, permutation


def _layers(table, flat):
    """Return views of a flat vector, layer by layer: weights (in, out), bias and alpha (out,), or (0,) if there is none.

    Of an embedding there is the vector itself.
    """
    views = []
    for row in table:
        k, n, start = row[FAN_IN], row[WIDTH], row[OFFSET]
        end = start + k * n
        last = end + n * row[HAS_BIAS]
        own = (
            (flat[start:end].reshape(k, n), flat[end:last], flat[last : last + n * row[HAS_ALPHA]]) if not embeds(row) else flat
        )
        views.append(own)
    return views


def _dense(table, x):
    """Return dense inputs as they are, and sparse rows made dense, (n, in).

    A sparse row is 1 + 2w numbers, fewer than in: how many entries it has, then each entry's column and value.
    """
    if x.shape[1] >= table[0, FAN_IN]:
        return x
    dense = np.zeros((len(x), table[0, FAN_IN]), x.dtype)
    used = np.arange(x.shape[1] // 2) < x[:, :1]
    dense[np.nonzero(used)[0], x[:, 1::2][used].astype(np.int64)] = x[:, 2::2][used]
    return dense


def _forward(table, layers, x, drop=None):
    """Return the logits, and for the way back each layer's input a (x is the first), ∂a/∂z and ∂a/∂alpha or None.

    `drop(layer, arrays)` masks the output of a hidden layer and its derivatives; None is for no dropout.
    """
    x = _dense(table, x)
    inputs, slopes, gains, z = [x], [x], [None], x  # slopes[0] and gains[0] are not used
    for layer, own in enumerate(layers):
        if embeds(table[layer]):
            inputs.append(embedding.forward(table[0], own, x))
            slopes.append(np.ones_like(inputs[1]))
            gains.append(None)
            continue
        w, bias, alpha = own
        z = np.empty((len(x), w.shape[1]), x.dtype)
        linear_fwd(inputs[layer], w, bias, z)  # (n, in) @ (in, out) -> (n, out)
        if layer + 1 < len(layers):
            g = np.empty_like(z)
            gain = np.empty_like(z) if alpha.size else None
            f = z if gain is None else gain
            activate(table[layer, ACTIVATION], z.reshape(-1), f.reshape(-1), g.reshape(-1))
            if gain is not None:
                gain -= z
                z += alpha * gain
                g[:] = 1 + alpha * (g - 1)
            if drop is not None:
                drop(layer, [array for array in (z, g, gain) if array is not None])
            inputs.append(z)
            slopes.append(g)
            gains.append(gain)
    return z, (inputs, slopes, gains)


def _output(table, z):
    """Turn logits into outputs, in place."""
    if table[-1, ACTIVATION] == SOFTMAX:
        softmax(z, z)
    else:
        apply(table[-1, ACTIVATION], z.reshape(-1), z.reshape(-1))


def _backward(table, layers, way, delta, gradients=None):
    """Go back from the last delta to ∂L/∂x, which is returned, or leave ∂L/∂params in `gradients` (see `_layers`)."""
    inputs, slopes, gains = way
    for layer in range(len(layers) - 1, -1, -1):
        if embeds(table[layer]):
            if gradients is None:
                return embedding.input_gradient(table[0], layers[0], inputs[0], delta)
            embedding.backward(table[0], layers[0], inputs[0], delta, gradients[0])
            continue
        w, _, _ = layers[layer]
        if gradients is not None:
            dw, db, _ = gradients[layer]
            linear_bwd_w(inputs[layer], delta, dw, db)  # (in, n) @ (n, out) -> (in, out)
        if layer > 0:
            gain, before = gains[layer], slopes[layer]
            if gain is not None and gradients is not None:
                linear_bwd_d(delta, w, gain, gain)
                gradients[layer - 1][2][:] = gain.sum(axis=0)
            linear_bwd_d(delta, w, before, before)  # (n, out) @ (out, in) -> (n, in)
            delta = before
    return delta @ layers[0][0].T if gradients is None else None


def _dropout(ints, reals, layers, row, factor=1.0):
    """Make what `_forward` takes as `drop` for the minibatch at `row` of the current epoch, with `factor` on all rates."""
    rates = factor * reals[N_REALS + DROPOUT * layers :][:layers]
    if not ints[TRAINING] or not rates.any():
        return None
    seed, epoch = int(ints[SEED]), int(ints[EPOCH])

    def drop(layer, arrays):
        rate = float(rates[layer])
        if rate > 0:
            mask = np.empty_like(arrays[0])
            dropout_mask(seed, epoch, row, layer, rate, mask)
            for array in arrays:
                array *= mask

    return drop


def _loss(table, ints, reals, z, y, weight):
    """Return the weighted sum of the rows' losses, the weights' sum, and the delta of the weighted mean, or sum."""
    rows, delta = np.empty(len(z), z.dtype), np.empty_like(z)
    weight_sum = float(weight.sum(dtype=np.float64)) if weight.size else float(len(z))
    unit = 1.0 if ints[LOSS] in SUMS else 1.0 / weight_sum if weight_sum > 0 else 0.0
    scales = weight * unit if weight.size else np.full(len(z), unit, z.dtype)
    loss_and_delta(ints[LOSS], table[-1, ACTIVATION], reals[LOSS_PARAM], reals[SMOOTHING], z, y, scales, rows, delta)
    if weight.size:
        rows *= weight
    return float(rows.sum(dtype=np.float64)), weight_sum, delta


def _mean(ints, loss_sum, weight_sum):
    if ints[LOSS] in SUMS:
        return loss_sum
    return loss_sum / weight_sum if weight_sum > 0 else 0.0


def _penalized(table, reals, params, loss_sum, weight_sum):
    """Return a minibatch's mean loss times LOSS_FACTOR with its share of the penalty, as scikit-learn's MLP has it."""
    if weight_sum <= 0:
        return 0.0
    squares = sum(float(w @ w) for w in _weights(table, params))
    return (float(reals[LOSS_FACTOR]) * loss_sum + 0.5 * float(reals[L2]) * squares) / weight_sum


def arena_size(table: np.ndarray, rows: int, width: int | None = None) -> int:
    """Return the elements of scratch that tasks on up to `rows` rows take: none, as NumPy allocates as it goes."""
    return 0


def _finite(array):
    return bool(np.isfinite(array).all())


def _fit(table, x):
    """Return whether inputs are numbers that the network takes."""
    return _finite(x) and embedding.codes_fit(table[0], x)


@np.errstate(all="ignore")
def predict(table: np.ndarray, params: np.ndarray, x: np.ndarray, out: np.ndarray, arena: np.ndarray) -> float:
    """Compute the outputs of x (n, in), without dropout: out (n, K) = f(z) of the last layer.

    Returns NaN if x is not finite, and then leaves numbers in `out` that mean nothing; else 0.

    Examples
    --------
    Three inputs, no hidden layer, one output:

    >>> table = np.array([[3, 1, 0, 1] + [0] * 8])  # FAN_IN, WIDTH, ACTIVATION, HAS_BIAS; nothing else here
    >>> out = np.empty((1, 1))
    >>> predict(table, np.array([1.0, 10.0, 100.0, 0.5]), np.array([[1.0, 2.0, 3.0]]), out, np.empty(0))
    0.0
    >>> out
    array([[321.5]])
    """
    out[:] = _forward(table, _layers(table, params), x)[0]
    _output(table, out)
    return 0.0 if _fit(table, x) else math.nan


def predictor(table: np.ndarray, arena: np.ndarray) -> Callable[..., float]:
    """Return `predict` for one network and its scratch, as a function of params, x and out, which may be quicker."""
    return functools.partial(predict, table, arena=arena)


@np.errstate(all="ignore")
def activations(table: np.ndarray, params: np.ndarray, x: np.ndarray, out: np.ndarray, arena: np.ndarray) -> float:
    """Compute every layer's activations, side by side: out (n, sum of widths), the last K columns being the outputs.

    Returns what `predict` does.
    """
    z, (inputs, _, _) = _forward(table, _layers(table, params), x)
    _output(table, z)
    out[:] = np.concatenate([*inputs[1:], z], axis=1)
    return 0.0 if _fit(table, x) else math.nan


def finite(values: np.ndarray) -> bool:
    """Return whether all values of a C-contiguous array are finite."""
    return _finite(values)


@np.errstate(all="ignore")
def loss(
    table: np.ndarray,
    ints: np.ndarray,
    reals: np.ndarray,
    params: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    arena: np.ndarray,
) -> float:
    """Return the loss of x (n, in) and y, without dropout and penalties: Σ weight_i loss_i / Σ weight_i.

    The sums (SSE, PRODUCT) are not divided; a mean whose weights sum to 0 is 0. `loss_and_delta` has each row's formula.

    Parameters
    ----------
    table, params
        The network.
    ints, reals : ndarray
        LOSS, LOSS_PARAM, SMOOTHING and CHECK_FINITE are read.
    x : ndarray of shape (n, in), or (n, 1 + 2w)
        Inputs, dense or as sparse rows: a number of entries, then each entry's column and value, columns ascending.
    y : ndarray of shape (n, K)
        Targets; or of shape (n, 1) with K > 1, class indices.
    weight : ndarray of shape (n,) or (0,)
        Sample weights; 1 each if there are none.
    arena
        Not used.

    Returns
    -------
    float
        The loss; with CHECK_FINITE set, NaN if x or y is not finite.
    """
    if ints[CHECK_FINITE] and not (_fit(table, x) and _finite(y)):
        return math.nan
    z = _forward(table, _layers(table, params), x)[0]
    loss_sum, weight_sum, _ = _loss(table, ints, reals, z, y, weight)
    return _mean(ints, loss_sum, weight_sum)


@np.errstate(all="ignore")
def value_and_grad(
    table: np.ndarray,
    ints: np.ndarray,
    reals: np.ndarray,
    params: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    grad: np.ndarray,
    arena: np.ndarray,
) -> float:
    """Return the loss and compute its gradient, grad (P,) = ∂L/∂params, without penalties.

    Other arguments are as in `loss`. With TRAINING set there is dropout, with the masks of epoch EPOCH and of the rows
    from ROW on, and the loss is that of the masked network. If NaN is returned since x or y is not finite, grad is anything.
    """
    if ints[CHECK_FINITE] and not (_fit(table, x) and _finite(y)):
        return math.nan
    layers = _layers(table, params)
    z, way = _forward(table, layers, x, _dropout(ints, reals, len(layers), int(ints[ROW])))
    loss_sum, weight_sum, delta = _loss(table, ints, reals, z, y, weight)
    _backward(table, layers, way, delta, _layers(table, grad))
    return _mean(ints, loss_sum, weight_sum)


def differentiator(table: np.ndarray, arena: np.ndarray) -> Callable[..., float]:
    """Return `value_and_grad` for one network and its scratch, as a function of all else, which may be quicker."""
    return functools.partial(value_and_grad, table, arena=arena)


@np.errstate(all="ignore")
def input_gradient(
    table: np.ndarray,
    ints: np.ndarray,
    reals: np.ndarray,
    params: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    d_in: np.ndarray,
    arena: np.ndarray,
) -> None:
    """Compute the loss's gradient by the inputs, d_in (n, in) = ∂L/∂x, without dropout; the rest is as in `loss`."""
    layers = _layers(table, params)
    z, way = _forward(table, layers, x)
    d_in[:] = _backward(table, layers, way, _loss(table, ints, reals, z, y, weight)[2])


@np.errstate(all="ignore")
def train_steps(
    table: np.ndarray,
    ints: np.ndarray,
    reals: np.ndarray,
    params: np.ndarray,
    slots: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    order: np.ndarray,
    lr: np.ndarray,
    losses: np.ndarray,
    arena: np.ndarray,
    copies: np.ndarray | None = None,
) -> int:
    """Take len(lr) optimizer steps, one per minibatch, from where the counters stand.

    An epoch goes once through all rows, BATCH at a time, the last minibatch being what is left, which DROP_LAST leaves
    out; with SHUFFLE in the order of `permutation(SHUFFLE_SEED, EPOCH)`. Each step is: forward, loss, backward,
    `condition`, `update`. Where weight decay and dropout follow schedules, lr has three columns.

    Parameters
    ----------
    table, params
        The network; params (P,) changes.
    ints : ndarray, int64
        Settings. The counters EPOCH, ROW (rows of the epoch that are done) and STEP go on.
    reals : ndarray, float64
        Settings. The betas' powers change, and the running sums LOSS_SUM and WEIGHT_SUM of the epoch.
    slots : ndarray of shape (S, P)
        The optimizer's state; changes.
    x, y, weight
        All data, as in `loss`. If x has fewer rows than y, it is a window: the inputs of the rows that the epoch takes from
        place WINDOW on, in the epoch's order; the steps must not leave it.
    order : ndarray of shape (n,), int64
        Overwritten with the permutation at the beginning of an epoch, and read until its end; not used without SHUFFLE.
    lr : ndarray of shape (steps, 1) or (steps, 3), float64
        Each step's learning rate; or that, a weight decay in the place of DECAY, and what all dropout rates are multiplied
        by, in [0, 1].
    losses : ndarray, float64
        Overwritten with the mean training loss of each epoch that ends (SSE: the sum), as seen during its steps; with
        EACH_STEP set, of each step's minibatch before the step. With L2_OVER_BATCH a minibatch's loss is LOSS_FACTOR times
        its rows' weighted mean, and L2 / 2 Σ w² over the sum of its weights; the epoch's is the mean over its rows.
    arena
        Not used.
    copies : ndarray of shape (epochs, P), optional
        Its first rows are overwritten with the parameters after each of the losses, as far as it goes.

    Returns
    -------
    int
        Losses that were written. The call returns early after one that is not finite.
    """
    layers, grad = _layers(table, params), np.empty_like(params)
    gradients = _layers(table, grad)
    rows_per_epoch = len(y) - (len(y) % int(ints[BATCH]) if ints[DROP_LAST] else 0)
    finished = 0
    for rate, *scheduled in lr.tolist():
        decay, factor = scheduled or (float(reals[DECAY]), 1.0)
        row = int(ints[ROW])
        if row == 0 or ints[EACH_STEP]:
            reals[LOSS_SUM] = reals[WEIGHT_SUM] = 0.0
        if row == 0 and ints[SHUFFLE]:
            permutation(int(ints[SHUFFLE_SEED]), int(ints[EPOCH]), order)
        batch = slice(row, min(row + int(ints[BATCH]), rows_per_epoch))
        rows = order[batch] if ints[SHUFFLE] else batch
        seen = x[batch.start - ints[WINDOW] : batch.stop - ints[WINDOW]] if len(x) < len(y) else x[rows]
        z, way = _forward(table, layers, seen, _dropout(ints, reals, len(layers), row, factor))
        loss_sum, weight_sum, delta = _loss(table, ints, reals, z, y[rows], weight[rows] if weight.size else weight)
        _backward(table, layers, way, delta, gradients)
        if ints[L2_OVER_BATCH]:
            reals[LOSS_SUM] += _penalized(table, reals, params, loss_sum, weight_sum) * len(z)
            reals[WEIGHT_SUM] += len(z)
        else:
            reals[LOSS_SUM] += loss_sum
            reals[WEIGHT_SUM] += weight_sum
        condition(table, ints, reals, params, grad, weight_sum)
        _update(table, ints, reals, params, slots, grad, rate, decay)
        ints[STEP] += 1
        ints[ROW] = batch.stop
        if batch.stop == rows_per_epoch:
            ints[ROW] = 0
            ints[EPOCH] += 1
        if batch.stop == rows_per_epoch or ints[EACH_STEP]:
            losses[finished] = _mean(ints, reals[LOSS_SUM], reals[WEIGHT_SUM])
            if copies is not None and finished < len(copies):
                copies[finished] = params
            finished += 1
            if not math.isfinite(losses[finished - 1]):
                break
    return finished


@np.errstate(all="ignore")
def step(
    table: np.ndarray,
    ints: np.ndarray,
    reals: np.ndarray,
    params: np.ndarray,
    slots: np.ndarray,
    grad: np.ndarray,
    lr: float,
) -> None:
    """Take one optimizer step: condition grad in place, then update params, slots, STEP and the betas' powers."""
    condition(table, ints, reals, params, grad, 0.0)
    update(table, ints, reals, params, slots, grad, lr)
    ints[STEP] += 1
