"""Softmax and losses where the rows lie in the lanes: a unit's numbers of n rows side by side, one unit after the other.

The lanes are rows of one network (``columns.py``), or a row of many networks (``lanes.py``).
"""

from __future__ import annotations

import math

from .activations import _activate
from .ids import BCE, LOSS, LOSS_PARAM, POISSON
from .jit import inner
from .loss import _bce, _minus_target, _poisson, loss_of_output, most_of
from .maps import copy, elementwise, fill, largest
from .simd import shift
from .vmath import vexp_negative, vlog


@elementwise("top! x")
def _raise_to(top, x):
    return largest(x, top)


@elementwise("x top +e total!")
def _exp_sum(x, top, total):
    e = vexp_negative(x - top)
    return e, total + e


@elementwise("total top +lse")
def _log_sum(total, top):
    return top + vlog(total)


@elementwise("p! total")
def _divide(p, total):
    return p / total


@elementwise("value! t z", "keep spread")
def _cross(value, t, z, keep, spread):
    share = keep * t + spread
    return value - share.compare("==", 0.0).choose(0.0, z * share)  # as in `loss._shares`


@elementwise("value!", "most")
def _hold(value, most):
    return value.minimum(most)


@inner
def softmax_columns(k, n, z, p, top, total):
    """p = softmax of k columns of n numbers, row by row; leaves ln(sum(e^z)) in `top`, a column. p may be z."""
    copy(n, (z, top), ())
    for j in range(1, k):
        _raise_to(n, (top, shift(z, j * n)), ())
    fill(n, (total,), (0.0,))
    for j in range(k):
        _exp_sum(n, (shift(z, j * n), top, shift(p, j * n), total), ())
    for j in range(k):
        _divide(n, (shift(p, j * n), total), ())
    _log_sum(n, (total, top, top), ())


@inner
def cross_entropy_columns(k, n, z, d, t, keep, spread, most, rows, total):
    """n rows' losses, at `most`, into `rows` and d = softmax(z) - t, for k columns of logits and of targets.

    `total` is scratch. Targets count as keep t + spread: label smoothing, by two numbers, or by vectors if n is the lanes.
    """
    softmax_columns(k, n, z, d, rows, total)
    for j in range(k):
        _cross(n, (rows, shift(t, j * n), shift(z, j * n)), (keep, spread))
        _minus_target(n, (shift(d, j * n), shift(t, j * n)), (keep, spread))
    if most < math.inf:
        _hold(n, (rows,), (most,))


@inner
def loss_of_elements(ints, reals, activation, size, z, d, t, each):
    """Losses of `size` elements into `each`, and d = their derivative by z; z becomes the output where it is needed."""
    loss, parameter = ints[LOSS], reals[LOSS_PARAM]
    if loss == BCE:
        _bce(size, (z, t, d, each), (1.0, most_of(parameter)))
    elif loss == POISSON:
        _poisson(size, (z, t, d, each), (1.0,))
    else:
        _activate(activation, 1, size, 0, z, z, d)
        loss_of_output(loss, parameter, size, (z, t, d, each))
