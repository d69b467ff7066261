"""Losses: each row's value and delta = ∂L/∂z together, from logits where the output's activation pairs with the loss."""

from __future__ import annotations

import math

import numpy as np

from .activations import _activate, _softmax_row, _softmax_rows
from .ids import BCE, CROSS_ENTROPY, HALF_MSE, HUBER, IDENTITY, LOSS, MAE, POISSON, PRODUCT, QUANTILE, SOFTMAX, SSE
from .jit import allocating_entry, glue, inner
from .maps import add, dot, elementwise, scale
from .simd import address, peek, poke, shift
from .stack import hold
from .vmath import vexp, vlog, vsigmoid, vsoftplus


@elementwise("z y +d +r", "s most")
def _bce(z, y, s, most):
    return (vsigmoid(z) - y) * s, (vsoftplus(z) - y * z).minimum(most)


@elementwise("z y +d +r", "s")
def _poisson(z, y, s):
    limit = 70.0 if z.bits == 32 else 700.0
    rate = vexp(z.minimum(limit))
    value = (z > limit).choose(rate * (z - limit + 1.0), rate)
    return (rate - y) * s, value - y * z


@elementwise("p y g! +r")
def _square(p, y, g):
    e = p - y
    return (e + e) * g, e * e


@elementwise("p y g! +r")
def _absolute(p, y, g):
    e = p - y
    return (e > 0.0).choose(g, (e < 0.0).choose(-g, e * 0.0)), e.abs()


@elementwise("p y g! +r", "limit")
def _huber(p, y, g, limit):
    e = p - y
    inside = e.abs() <= limit
    slope = e.minimum(limit).maximum(-limit)
    return slope * g, inside.choose(0.5 * (e * e), limit * (e.abs() - 0.5 * limit))


@elementwise("p y g! +r", "q")
def _quantile(p, y, g, q):
    u = y - p
    slope = (u > 0.0).choose(-q, (u < 0.0).choose(1.0 - q, u * 0.0))
    return slope * g, (q * u).maximum((q - 1.0) * u)


@elementwise("p y g! +r")
def _product(p, y, g):
    return y * g, y * p


@elementwise("y z", fold=add)
def _shares(y, z):
    return y.compare("==", 0.0).choose(0.0, y * z)  # a class of no share adds nothing: 0 times infinity would be NaN


@elementwise("d! p", "s")
def _softmax_jacobian(d, p, s):
    return p * (d - s)


@elementwise("d! t", "keep spread")
def _minus_target(d, t, keep, spread):
    return d - (keep * t + spread)


@elementwise("d!", "spread")
def _minus(d, spread):
    return d - spread


@elementwise("r! total", "most")
def _add_logarithm(r, total, most):
    return (r + vlog(total)).minimum(most)


@elementwise("r", fold=add)
def _total(r):
    return r


@inner
def _cross_entropy(m, k, smoothing, most, z, ld, d, y, classes, ldy, rows, sums):
    """Rows' logsumexp(z) - t.z, at `most`, and d = softmax(z) - t; y holds a class index per row, or k probabilities.

    `sums` (m,) is scratch: the logarithms are taken of all rows at once.
    """
    keep, spread = 1.0 - smoothing, smoothing / k
    for i in range(m):
        z_i, d_i, y_i = shift(z, i * ld), shift(d, i * ld), shift(y, i * ldy)
        value, total = _softmax_row(k, z_i, d_i)
        poke(sums, i, total)
        if classes:
            c = np.int64(peek(y_i, 0))
            value -= keep * peek(z_i, c)
            poke(d_i, c, peek(d_i, c) - keep)
            if spread != 0.0:
                value -= spread * _total(k, (z_i,), ())
                _minus(k, (d_i,), (spread,))
        else:
            value -= keep * _shares(k, (y_i, z_i), ())
            if spread != 0.0:
                value -= spread * _total(k, (z_i,), ())
            _minus_target(k, (d_i, y_i), (keep, spread))
        poke(rows, i, value)
    _add_logarithm(m, (rows, sums), (most,))


@inner
def _softmax_back(m, k, d, p, ld):
    """Rows' d = p * (d - d.p): from ∂L/∂p to ∂L/∂z."""
    for i in range(m):
        d_i, p_i = shift(d, i * ld), shift(p, i * ld)
        _softmax_jacobian(k, (d_i, p_i), (dot(k, (d_i, p_i), ()),))


@inner
def output_derivative(activation, m, k, z, ld, d):
    """z becomes the output p; d becomes f'(z), or 1 for softmax, whose Jacobian `_softmax_back` applies."""
    if activation == SOFTMAX:
        _softmax_rows(m, k, z, ld, z, ld)
        activation = IDENTITY
    _activate(activation, 1, m * ld, 0, z, z, d)


@glue
def loss_of_output(loss, parameter, size, operands):
    """Losses of outputs, of logits none: operands are (p, y, d, each), where d is times what it was."""
    if loss == MAE:
        _absolute(size, operands, ())
    elif loss == HUBER:
        _huber(size, operands, (parameter,))
    elif loss == QUANTILE:
        _quantile(size, operands, (parameter,))
    elif loss == PRODUCT:
        _product(size, operands, ())
    else:
        _square(size, operands, ())


@glue
def is_sum(loss):
    """Whether a loss is a sum over rows and outputs, not a mean."""
    return loss == SSE or loss == PRODUCT


@glue
def most_of(parameter):
    """The most that a row of CROSS_ENTROPY or an element of BCE counts."""
    return parameter if parameter > 0.0 else math.inf


@glue
def mean_loss(ints, loss_sum, weight_sum):
    """The loss of rows with this sum of weighted losses."""
    if is_sum(ints[LOSS]):
        return loss_sum
    return loss_sum / weight_sum if weight_sum > 0.0 else 0.0


@inner
def loss_rows(loss, activation, parameter, smoothing, m, k, z, ld, d, y, classes, ldy, rows, each, uniform, scales):
    """Losses of m rows into `rows` and d = ∂L/∂z times the row's scale; z (m, k) are logits and are overwritten.

    `each` is scratch of z's shape. Every row has the scale `uniform`, or if that is 0 its own in `scales`. Where k is 1,
    ld must be 1. y (m, k) has z's stride, or ldy = 1 if it holds `classes`.
    """
    factor, scaled = 1.0, False
    if loss == CROSS_ENTROPY:
        _cross_entropy(m, k, smoothing, most_of(parameter), z, ld, d, y, classes, ldy, rows, each)
    else:
        if not is_sum(loss):
            factor = 0.5 if loss == HALF_MSE else 1.0 / k
        per_element = rows if k == 1 else each
        size = m * ld
        if loss == BCE or loss == POISSON:
            scaled = uniform != 0.0  # in the same pass: another would wait for what a mask has stored
            s = factor * uniform if scaled else 1.0
            if loss == BCE:
                _bce(size, (z, y, d, per_element), (s, most_of(parameter)))
            else:
                _poisson(size, (z, y, d, per_element), (s,))
        else:
            output_derivative(activation, m, k, z, ld, d)
            loss_of_output(loss, parameter, size, (z, y, d, per_element))
            if activation == SOFTMAX:
                _softmax_back(m, k, d, z, ld)
        if k > 1:
            for i in range(m):
                poke(rows, i, factor * _total(k, (shift(each, i * ld),), ()))
        elif factor != 1.0:
            scale(m, (rows,), (factor,))
    if scaled:
        return
    if uniform != 0.0:
        scale(m * ld, (d,), (factor * uniform,))
    else:
        for i in range(m):
            scale(k, (shift(d, i * ld),), (factor * peek(scales, i),))


@allocating_entry
def loss_and_delta(loss, activation, param, smoothing, z, y, scales, rows, delta):
    """Each row's loss and delta = scale * ∂(row's loss)/∂z; logits z, delta (n, K), y (n, K) or (n, 1), scales and rows (n,).

    y of one column beside K > 1 holds class indices. Formulas: fastmlp/losses.py.
    """
    m, k = z.shape
    ld = k
    padded = np.zeros((3, m * ld + 1), z.dtype)
    padded[0, : m * ld] = z.reshape(m * ld)
    logits, each = address(padded, 0), address(padded, m * ld + 1)
    loss_rows(loss, activation, param, smoothing, m, k, logits, ld, address(delta, 0), address(y, 0), y.shape[1] != k,
              y.shape[1], address(rows, 0), each, 0.0, address(scales, 0))  # fmt: skip
    hold(padded)
