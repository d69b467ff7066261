"""Optimizers: what happens to a gradient before the step, and the step.

Penalties and weight decay concern weights only, not biases and alphas. `ints` and `reals` hold a run's settings, see ids.py.
"""

from __future__ import annotations

import math

import numpy as np

from .embedding import embeds, n_biases, n_weights
from .ids import (
    ADAGRAD,
    ADAM,
    ALPHA_RATE,
    AMSGRAD,
    BETA1,
    BETA1_POWER,
    BETA2,
    BETA2_POWER,
    BIAS_RATE,
    CLIP_NORM,
    CLIP_VALUE,
    DECAY,
    EPS,
    EPS_HAT,
    FACTORS,
    FAN_IN,
    HAS_ALPHA,
    L1,
    L2,
    L2_OVER_BATCH,
    LAYER_BLOCKS,
    N_REALS,
    NESTEROV,
    OFFSET,
    OPTIMIZER,
    RMSPROP,
    SCALE_BLOCKS,
    SCALE_DECAY,
    SCALE_RATE,
    WEIGHT_EPS,
    WEIGHT_RATE,
    WIDTH,
)

# The least scale that an input may have: it must divide.
LEAST_SCALE = 1e-6


def _weights(table, flat):
    """Return the weights in a flat vector, layer by layer, as views."""
    return [flat[row[OFFSET] : row[OFFSET] + n_weights(row)] for row in table]


def _norm(g):
    """Return the Euclidean norm of g, scaled by the largest element, so that squares neither overflow nor vanish."""
    top = float(np.abs(g).max(initial=0))
    if not 0 < top < math.inf:
        return top
    scaled = g.astype(np.float64) / top
    return top * math.sqrt(scaled @ scaled)


@np.errstate(all="ignore")
def condition(
    table: np.ndarray, ints: np.ndarray, reals: np.ndarray, params: np.ndarray, grad: np.ndarray, weight_sum: float
) -> None:
    """Prepare a gradient for the step: add the penalties', clip each element, clip the norm.

    1. grad += L1 sign(w) + L2 w. With L2_OVER_BATCH, L2 is divided by weight_sum first (as in scikit-learn's MLP).
    2. If CLIP_VALUE > 0: each element is moved into [-CLIP_VALUE, CLIP_VALUE].
    3. If CLIP_NORM > 0 and the norm is larger: grad *= CLIP_NORM / norm. A norm that is not finite is left alone.

    Parameters
    ----------
    table : ndarray of shape (L, 12), int64, or int32 for special layers
        The layers.
    ints, reals : ndarray
        Settings; read.
    params, grad : ndarray of shape (P,)
        grad is changed in place.
    weight_sum : float
        Sum of the minibatch's sample weights; 0 leaves L2 as it is.
    """
    l1, l2 = float(reals[L1]), float(reals[L2])
    if ints[L2_OVER_BATCH] and weight_sum > 0:
        l2 /= weight_sum
    if l1 or l2:
        for w, dw in zip(_weights(table, params), _weights(table, grad), strict=True):
            dw += l1 * np.sign(w) + l2 * w
    limit = float(reals[CLIP_VALUE])
    if limit > 0:
        np.clip(grad, -limit, limit, out=grad)
    limit = float(reals[CLIP_NORM])
    if limit > 0:
        norm = _norm(grad)
        if limit < norm < math.inf:
            grad *= limit / norm


@np.errstate(all="ignore")
def update(
    table: np.ndarray,
    ints: np.ndarray,
    reals: np.ndarray,
    params: np.ndarray,
    slots: np.ndarray,
    grad: np.ndarray,
    lr: float,
) -> None:
    """Take one optimizer step from a conditioned gradient g, with t steps done including this one.

    First, with DECAY: w *= 1 - lr DECAY, on weights only. Then by kind, p being the parameters::

        SGD       p -= lr g                                                     BETA1 = 0
                  v = BETA1 v - lr g;  p += v                                   BETA1 is the momentum
                  v = BETA1 v - lr g;  p += BETA1 v - lr g                      NESTEROV
        ADAM      m = BETA1 m + (1 - BETA1) g;  v = BETA2 v + (1 - BETA2) g²
                  p -= lr m / (1 - BETA1^t) / (√(v / (1 - BETA2^t)) + EPS)
                  AMSGRAD: the largest v so far stands in for v
                  EPS_HAT: p -= lr √(1 - BETA2^t) / (1 - BETA1^t) m / (√v + EPS)
        RMSPROP   v = BETA2 v + (1 - BETA2) g²;  p -= lr g / (√v + EPS)
        ADAGRAD   v = v + g²;                    p -= lr g / (√v + EPS)

    Adam is that of Kingma and Ba (ICLR 2015), algorithm 1; EPS_HAT its form at the end of their section 2.

    With FACTORS, each layer's weights have lr times WEIGHT_RATE and EPS times WEIGHT_EPS, its bias lr times BIAS_RATE, and its
    alphas lr times ALPHA_RATE.
    Where that is 0 nothing changes, neither by DECAY nor the state.
    With SCALE_RATE also, Adam trains V and s in the place of the first dense layer's weights W = diag(s) V, which is a layer
    that multiplies each input by a factor of its own, folded into the weights behind it. Their gradients are, G being that of
    W::

        dV[j, :] = s[j] G[j, :]        ds[j] = Σ_k V[j, k] G[j, k]

    The learning rate of s is lr times SCALE_RATE, and it decays first, by SCALE_DECAY times what V does. V is W / s and need
    not be kept: a product and a quotient have an error of half a unit in the last place each. So s stays away from 0 by 1e-6.

    Parameters
    ----------
    table : ndarray of shape (L, 12), int64, or int32 for special layers
        The layers.
    ints, reals : ndarray
        Settings; reals' BETA1_POWER and BETA2_POWER are multiplied by BETA1 and BETA2.
    params : ndarray of shape (P,)
        Changed in place.
    slots : ndarray of shape (S, P)
        The state vectors: v for SGD with momentum, RMSprop and Adagrad; m, v for Adam, then v's largest for AMSGrad.
        Changed in place.
    grad : ndarray of shape (P,)
        Read.
    lr : float
        Learning rate.
    """
    # Python's floats, unlike NumPy's, leave float32 arrays in float32.
    _update(table, ints, reals, params, slots, grad, float(lr), float(reals[DECAY]))


@np.errstate(all="ignore")
def _update(table, ints, reals, params, slots, grad, lr, decay):
    """As `update`, with `decay` in the place of DECAY."""
    reals[BETA1_POWER] *= reals[BETA1]
    reals[BETA2_POWER] *= reals[BETA2]
    eps = float(reals[EPS])
    rates = reals[N_REALS:][: LAYER_BLOCKS * len(table)].reshape(LAYER_BLOCKS, len(table))
    if decay:
        for layer, w in enumerate(_weights(table, params)):
            if not ints[FACTORS] or rates[WEIGHT_RATE, layer] > 0:
                w *= 1 - lr * decay
    if not ints[FACTORS]:
        _move(ints, reals, params, slots, grad, lr, eps)
        return
    for layer, row in enumerate(table):
        end = row[OFFSET] + n_weights(row)
        part, bias = slice(row[OFFSET], end), slice(end, end + n_biases(row))
        alpha = slice(bias.stop, bias.stop + row[HAS_ALPHA] * row[WIDTH])
        own = lr * float(rates[WEIGHT_RATE, layer]), eps * float(rates[WEIGHT_EPS, layer])
        if layer == int(embeds(table[0])) and reals[SCALE_RATE] > 0:
            shape = row[FAN_IN], row[WIDTH]
            views = (params[part].reshape(shape), slots[:2, part].reshape(2, *shape), grad[part].reshape(shape))
            kept = 1 - lr * decay * float(reals[SCALE_DECAY])
            _move_scaled(ints, reals, reals[N_REALS + rates.size :].reshape(SCALE_BLOCKS, -1), *views, kept, lr, eps, *own)
        elif rates[WEIGHT_RATE, layer] > 0:
            _move(ints, reals, params[part], slots[:, part], grad[part], *own)
        for block, part in ((BIAS_RATE, bias), (ALPHA_RATE, alpha)):
            if rates[block, layer] > 0:
                _move(ints, reals, params[part], slots[:, part], grad[part], lr * float(rates[block, layer]), eps)


def _move_scaled(ints, reals, state, w, moments, g, kept, lr, eps, w_lr, w_eps):
    """Adam on V and s, of which a part is kept, where w = diag(s) V; state (3, k) has s and its moments."""
    s = state[0].copy()
    slope = (w * g).sum(axis=1, dtype=np.float64) / s
    state[0] *= kept
    _adam(ints, reals, state[0], state[1:], slope, lr * float(reals[SCALE_RATE]), eps)
    state[0] = np.copysign(np.maximum(np.abs(state[0]), LEAST_SCALE), state[0])
    old, new = (values.astype(w.dtype)[:, None] for values in (s, state[0]))
    w /= old
    _adam(ints, reals, w, moments, old * g, w_lr, w_eps)
    w *= new


def _move(ints, reals, params, slots, grad, lr, eps):
    """Take the optimizer's own step on a part of the vectors, with this learning rate and eps."""
    beta1, beta2 = float(reals[BETA1]), float(reals[BETA2])
    kind = ints[OPTIMIZER]
    if kind == ADAM:
        _adam(ints, reals, params, slots, grad, lr, eps)
    elif kind == RMSPROP:
        _divide_by_root(params, slots[0], grad, lr, beta2, 1 - beta2, eps)
    elif kind == ADAGRAD:
        _divide_by_root(params, slots[0], grad, lr, 1.0, 1.0, eps)
    elif beta1 == 0:
        params -= lr * grad
    else:
        v, step = slots[0], lr * grad
        v *= beta1
        v -= step
        params += beta1 * v - step if ints[NESTEROV] else v


def _adam(ints, reals, params, slots, grad, lr, eps):
    beta1, beta2 = float(reals[BETA1]), float(reals[BETA2])
    correct1, correct2 = 1 - float(reals[BETA1_POWER]), 1 - float(reals[BETA2_POWER])
    m, v = slots[0], slots[1]
    m *= beta1
    m += (1 - beta1) * grad
    v *= beta2
    v += (1 - beta2) * (grad * grad)
    if ints[AMSGRAD]:
        v = np.maximum(slots[2], v, out=slots[2])
    if ints[EPS_HAT]:
        params -= lr * math.sqrt(correct2) / correct1 * m / (np.sqrt(v) + eps)
    else:
        params -= lr / correct1 * m / (np.sqrt(v) * (1 / math.sqrt(correct2)) + eps)


def _divide_by_root(params, v, grad, lr, keep, take, eps):
    v *= keep
    v += take * (grad * grad)
    params -= lr * grad / (np.sqrt(v) + eps)
