"""Optimizers: what happens to a gradient before the update, and the update, over any stretch of the flat vectors."""

from __future__ import annotations

import math

import numpy as np

from .grid import grid
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
    COLUMNS,
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
    SCALE_DECAY,
    SCALE_M,
    SCALE_RATE,
    SCALE_V,
    WEIGHT_EPS,
    WEIGHT_RATE,
    WIDTH,
)
from .jit import entry, glue, inner
from .layout import embeds, n_biases, n_weights
from .maps import add, dot, elementwise, largest, scale
from .simd import address, peek, shift
from .threads import flush_denormals, restore_mode

# The least scale that an input may have: it must divide.
LEAST_SCALE = 1e-6


@elementwise("p! g", "rate")
def _sgd(p, g, rate):
    return p - rate * g


@elementwise("p! v! g", "rate momentum")
def _momentum(p, v, g, rate, momentum):
    v = momentum * v - rate * g
    return p + v, v


@elementwise("p! v! g", "rate momentum")
def _nesterov(p, v, g, rate, momentum):
    step = rate * g
    v = momentum * v - step
    return p + (momentum * v - step), v


@elementwise("p! m! v! g", "rate root keep1 take1 keep2 take2 eps")
def _adam(p, m, v, g, rate, root, keep1, take1, keep2, take2, eps):
    m = m.fma(keep1, take1 * g)
    v = v.fma(keep2, take2 * (g * g))
    return p - rate * m / v.root().fma(root, eps), m, v


@elementwise("p! m! v! g", "ratio rate factor root keep1 take1 keep2 take2 eps")
def _adam_scaled(p, m, v, g, ratio, rate, factor, root, keep1, take1, keep2, take2, eps):
    g = factor * g
    m = m.fma(keep1, take1 * g)
    v = v.fma(keep2, take2 * (g * g))
    return ratio * p - rate * m / v.root().fma(root, eps), m, v


@elementwise("p! m! v! top! g", "rate root keep1 take1 keep2 take2 eps")
def _amsgrad(p, m, v, top, g, rate, root, keep1, take1, keep2, take2, eps):
    m = m.fma(keep1, take1 * g)
    v = v.fma(keep2, take2 * (g * g))
    top = v.maximum(top)
    return p - rate * m / top.root().fma(root, eps), m, v, top


@elementwise("p! v! g", "rate keep take eps")
def _root_mean_square(p, v, g, rate, keep, take, eps):
    """RMSprop with keep + take = 1, Adagrad with both 1."""
    v = v.fma(keep, take * (g * g))
    return p - rate * g / (v.root() + eps), v


@elementwise("g! w", "l1 l2")
def _penalty(g, w, l1, l2):
    sign = (w > 0.0).choose(l1, (w < 0.0).choose(-l1, 0.0 * l1))
    return w.fma(l2, g + sign)


@elementwise("g! w", "l2")
def _penalty_of_squares(g, w, l2):
    return w.fma(l2, g)


@elementwise("g!", "limit")
def _clip(g, limit):
    return g.minimum(limit).maximum(-limit)


@elementwise("g", "", fold=largest)
def _largest(g):
    return g.abs()


@elementwise("g", "unit", fold=add)
def _squares(g, unit):
    scaled = 0.25 * g * unit
    return scaled * scaled


@elementwise("g!", "unit share")
def _shorten(g, unit, share):
    return g * unit * share


@elementwise("w x y z", fold=add)
def _squares_of_four(w, x, y, z):
    return w.fma(w, x * x) + y.fma(y, z * z)


@glue
def _sum_of_squares(n, w):
    """Four at a time, since each sum waits for the last."""
    n4 = n // 4
    total = _squares_of_four(n4, (w, shift(w, n4), shift(w, 2 * n4), shift(w, 3 * n4)), ())
    for i in range(4 * n4, n):
        total += peek(w, i) * peek(w, i)
    return total


@inner
def _weights_in(table, layer, first, last):
    """The part of the stretch first..last of the flat vector that holds weights of a layer: its start and length."""
    start = table[layer, OFFSET]
    end = min(last, start + n_weights(table, layer))
    start = max(first, start)
    return start, max(0, end - start)


@glue
def _penalize(table, ints, reals, w, g, weight_sum, first, last):
    """g += L1 sign(w) + L2 w on weights, then the clipping of each element; on first..last of the flat vectors."""
    if reals[L1] != 0.0 or reals[L2] != 0.0 or reals[CLIP_VALUE] > 0.0:  # a call counts in a step of a small network
        _penalize_some(table, ints, reals, w, g, weight_sum, first, last)


@inner
def _penalize_some(table, ints, reals, w, g, weight_sum, first, last):
    l1, l2 = reals[L1], reals[L2]
    if ints[L2_OVER_BATCH] and weight_sum > 0.0:
        l2 /= weight_sum
    if l1 != 0.0 or l2 != 0.0:
        for layer in range(len(table)):
            start, n = _weights_in(table, layer, first, last)
            if l1 == 0.0:
                _penalty_of_squares(n, (shift(g, start), shift(w, start)), (l2,))
            else:
                _penalty(n, (shift(g, start), shift(w, start)), (l1, l2))
    if reals[CLIP_VALUE] > 0.0:
        _clip(last - first, (shift(g, first),), (reals[CLIP_VALUE],))


@inner
def _squared_weights(table, w, first, last):
    """Σ w² of the weights, not biases, on first..last of the flat vector."""
    total = 0.0
    for layer in range(len(table)):
        start, n = _weights_in(table, layer, first, last)
        if n > 0:
            total += _sum_of_squares(n, shift(w, start))
    return total


@inner
def _norm_factors(reals, g, n):
    """Two numbers that `_shorten` takes for all n elements so that their norm is at most CLIP_NORM, or ones.

    Four times the largest element's inverse, since that itself might be flushed to zero, and so might their product. Sums are
    in one fixed order.
    """
    limit = reals[CLIP_NORM]
    if limit <= 0.0:
        return 1.0, 1.0
    top = np.float64(_largest(n, (g,), ()))
    if not (top > 0.0 and top < math.inf):
        return 1.0, 1.0
    unit = 4.0 / top
    root = math.sqrt(np.float64(_squares(n, (g,), (unit,))))  # scaled, so that squares neither overflow nor vanish
    norm = top * root
    return (unit, 0.25 * limit / root) if limit < norm < math.inf else (1.0, 1.0)


@glue
def _update(table, ints, reals, power1, power2, w, slots, stride, g, lr, decay, first, last):
    """One step on first..last of the flat vectors; state vector s starts at slots + s*stride, powerN is betaN^t.

    `decay` is this step's weight decay, which may be another than DECAY.
    """
    if decay == 0.0 and not ints[FACTORS]:
        _move(ints, reals, power1, power2, w, slots, stride, g, lr, reals[EPS], first, last)
    else:
        _update_layers(table, ints, reals, power1, power2, w, slots, stride, g, lr, decay, first, last)


@inner
def _update_layers(table, ints, reals, power1, power2, w, slots, stride, g, lr, decay, first, last):
    """As `_update`, with weight decay or with factors of each layer's rates."""
    if decay != 0.0:
        for layer in range(len(table)):
            if not ints[FACTORS] or reals[N_REALS + WEIGHT_RATE * len(table) + layer] > 0.0:
                start, count = _weights_in(table, layer, first, last)
                scale(count, (shift(w, start),), (1.0 - lr * decay,))
    if not ints[FACTORS]:
        _move(ints, reals, power1, power2, w, slots, stride, g, lr, reals[EPS], first, last)
        return
    layers = len(table)
    for layer in range(layers):
        at = N_REALS + layer
        start, count = _weights_in(table, layer, first, last)
        rate, eps = lr * reals[at + WEIGHT_RATE * layers], reals[EPS] * reals[at + WEIGHT_EPS * layers]
        if layer == int(embeds(table, 0)) and reals[SCALE_RATE] > 0.0:
            _move_scaled(table, ints, reals, power1, power2, w, slots, stride, g, lr, rate, eps, decay, start, start + count)
        elif reals[at + WEIGHT_RATE * layers] > 0.0:
            _move(ints, reals, power1, power2, w, slots, stride, g, rate, eps, start, start + count)
        start = table[layer, OFFSET] + n_weights(table, layer)
        for block, n in ((BIAS_RATE, n_biases(table, layer)), (ALPHA_RATE, table[layer, HAS_ALPHA] * table[layer, WIDTH])):
            begin, end = max(first, start), min(last, start + n)
            factor = reals[at + block * layers]
            if factor > 0.0 and begin < end:  # at a rate of 0 the moments move all the same
                _move(ints, reals, power1, power2, w, slots, stride, g, lr * factor, reals[EPS], begin, end)
            start += n


@glue
def _corrections(ints, power1, power2):
    """What Adam's m is multiplied by besides the learning rate, and its sqrt(v), for their start at zero."""
    c1, c2 = 1.0 - power1, 1.0 - power2
    if ints[EPS_HAT]:
        return math.sqrt(c2) / c1, 1.0
    return 1.0 / c1, 1.0 / math.sqrt(c2)


@inner
def _move_scaled(table, ints, reals, power1, power2, w, slots, stride, g, lr, rate, eps, decay, first, last):
    """Adam on V and s, where the first layer's weights are diag(s) V, for whole rows of them: first..last; see the twin."""
    layer = int(embeds(table, 0))  # the first one, or the first behind an embedding
    n, k, offset = table[layer, WIDTH], table[layer, FAN_IN], table[layer, OFFSET]
    scales = N_REALS + LAYER_BLOCKS * len(table)
    beta1, beta2 = reals[BETA1], reals[BETA2]
    correct, root = _corrections(ints, power1, power2)
    kept = 1.0 - lr * decay * reals[SCALE_DECAY]
    for start in range(first, last, n):
        i = scales + (start - offset) // n
        s = reals[i]
        p, dp, s0 = shift(w, start), shift(g, start), shift(slots, start)
        slope = dot(n, (p, dp), ()) / s
        m = beta1 * reals[i + SCALE_M * k] + (1.0 - beta1) * slope
        v = beta2 * reals[i + SCALE_V * k] + (1.0 - beta2) * slope * slope
        new = s * kept - lr * reals[SCALE_RATE] * correct * m / (math.sqrt(v) * root + reals[EPS])
        if abs(new) < LEAST_SCALE:
            new = math.copysign(LEAST_SCALE, new)
        _adam_scaled(n, (p, s0, shift(s0, stride), dp),
                     (new / s, new * rate * correct, s, root, beta1, 1.0 - beta1, beta2, 1.0 - beta2, eps))  # fmt: skip
        reals[i], reals[i + SCALE_M * k], reals[i + SCALE_V * k] = new, m, v


@inner
def _move(ints, reals, power1, power2, w, slots, stride, g, lr, eps, first, last):
    """The optimizer's own step on first..last of the flat vectors, with this learning rate and eps."""
    n = last - first
    p, dp = shift(w, first), shift(g, first)
    s0 = shift(slots, first)
    kind = ints[OPTIMIZER]
    beta1, beta2 = reals[BETA1], reals[BETA2]
    if kind == ADAM:
        correct, root = _corrections(ints, power1, power2)
        rate = lr * correct
        s1 = shift(s0, stride)
        numbers = (rate, root, beta1, 1.0 - beta1, beta2, 1.0 - beta2, eps)
        if ints[AMSGRAD]:
            _amsgrad(n, (p, s0, s1, shift(s1, stride), dp), numbers)
        else:
            _adam(n, (p, s0, s1, dp), numbers)
    elif kind == RMSPROP:
        _root_mean_square(n, (p, s0, dp), (lr, beta2, 1.0 - beta2, eps))
    elif kind == ADAGRAD:
        _root_mean_square(n, (p, s0, dp), (lr, 1.0, 1.0, eps))
    elif beta1 == 0.0:
        _sgd(n, (p, dp), (lr,))
    elif ints[NESTEROV]:
        _nesterov(n, (p, s0, dp), (lr, beta1))
    else:
        _momentum(n, (p, s0, dp), (lr, beta1))


@entry
def condition(table, ints, reals, params, grad, weight_sum):
    """grad += penalties' gradients, then clipped by value, then by norm; see the fields L1 to CLIP_NORM of ids.py.

    params and grad are (P,); weight_sum is the minibatch's, by which L2 is divided if L2_OVER_BATCH is set.
    """
    table = grid(table, COLUMNS)
    mode = flush_denormals()
    w, g, n = address(params, 0), address(grad, 0), grad.size
    _penalize(table, ints, reals, w, g, weight_sum, 0, n)
    unit, share = _norm_factors(reals, g, n)
    if unit != 1.0 or share != 1.0:
        _shorten(n, (g,), (unit, share))
    restore_mode(mode)


@entry
def update(table, ints, reals, params, slots, grad, lr):
    """One optimizer step from a conditioned gradient: params (P,) and slots (S, P) change, and the betas' powers."""
    table = grid(table, COLUMNS)
    reals[BETA1_POWER] *= reals[BETA1]
    reals[BETA2_POWER] *= reals[BETA2]
    flat = slots.reshape(slots.size)
    mode = flush_denormals()
    _update(table, ints, reals, reals[BETA1_POWER], reals[BETA2_POWER], address(params, 0), address(flat, 0), params.size,
            address(grad, 0), lr, reals[DECAY], 0, grad.size)  # fmt: skip
    restore_mode(mode)
