"""Losses: each row's value together with delta = ∂L/∂z, from the logits z.

Cross-entropy, bce and Poisson know their output's activation (softmax, sigmoid, exp) and work from the logits, where
nothing overflows and the derivative is simply p - y. The others look at the outputs p = f(z) and follow the chain rule.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import vmath
from .activations import activate, softmax
from .ids import BCE, CROSS_ENTROPY, HALF_MSE, HUBER, MAE, MSE, POISSON, PRODUCT, QUANTILE, SOFTMAX, SSE

# Beyond these logits the Poisson loss goes on as a straight line, before e^z overflows.
_POISSON_LIMIT = {4: 70.0, 8: 700.0}


def _square(p, y, parameter):
    e = p - y
    return e * e, 2 * e


def _absolute(p, y, parameter):
    e = p - y
    return np.abs(e), np.sign(e)


def _huber(p, y, parameter):
    e = p - y
    inside = np.abs(e) <= parameter
    value = np.where(inside, 0.5 * (e * e), parameter * (np.abs(e) - 0.5 * parameter))
    return value, np.where(inside, e, parameter * np.sign(e))


def _quantile(p, y, parameter):
    # Koenker and Bassett, "Regression quantiles" (Econometrica 46, 1978): too low costs q, too high 1 - q.
    u = y - p
    slope = np.where(u > 0, -parameter, np.where(u < 0, 1 - parameter, 0 * u))
    return np.maximum(parameter * u, (parameter - 1) * u), slope


def _product(p, y, parameter):
    return y * p, y


def _bce(z, y):
    # With p = sigmoid(z): -y ln p - (1-y) ln(1-p) = ln(1 + e^z) - y z
    value, p = np.empty_like(z), np.empty_like(z)
    vmath.softplus(z, value)
    vmath.sigmoid(z, p)
    return value - y * z, p - y


def _poisson(z, y):
    # With rate p = e^z, up to what does not depend on z: p - y ln p = e^z - y z
    limit = _POISSON_LIMIT[z.itemsize]
    p = np.exp(np.minimum(z, limit))
    value = np.where(z > limit, p * (z - limit + 1), p)
    return value - y * z, p - y


# Losses of outputs: (p, y, parameter) -> value and derivative by p of each element. Losses of logits: (z, y), by z.
OF_OUTPUTS: dict[int, Callable] = {
    MSE: _square,
    SSE: _square,
    HALF_MSE: _square,
    MAE: _absolute,
    HUBER: _huber,
    QUANTILE: _quantile,
    PRODUCT: _product,
}
OF_LOGITS: dict[int, Callable] = {BCE: _bce, POISSON: _poisson}
# Sums over rows and outputs, not means.
SUMS = (SSE, PRODUCT)


def _cross_entropy(smoothing, z, y):
    """Rows' -Σ_k t_k ln p_k = ln Σ_k e^z_k - Σ_k t_k z_k and the derivative p - t, for p = softmax(z) and targets t."""
    n, k = z.shape
    if y.shape[1] != k:  # class indices
        hot = np.zeros_like(z)
        hot[np.arange(n), y[:, 0].astype(np.intp)] = 1
        y = hot
    target = (1 - smoothing) * y + smoothing / k
    top = z.max(axis=1, initial=-np.inf)  # (n,)
    below = z - top[:, None]
    p = np.empty_like(z)
    softmax(z, p)
    # Σ t = 1 where Σ y = 1; then the last term is 0 and large logits cancel without rounding.
    rows = np.log(np.exp(below).sum(axis=1)) - np.where(target == 0, 0, target * below).sum(axis=1)
    rows += (1 - smoothing) * (1 - y.sum(axis=1)) * top
    return rows, p - target


def _from_outputs(loss, activation, parameter, z, y):
    """Values and derivatives by z of each element, through p = f(z)."""
    p = np.empty_like(z)
    if activation == SOFTMAX:
        softmax(z, p)
        value, d = OF_OUTPUTS[loss](p, y, parameter)
        return value, p * (d - (d * p).sum(axis=1, keepdims=True))  # the Jacobian is diag(p) - p pᵀ
    slope = np.empty_like(z)
    activate(activation, z.reshape(-1), p.reshape(-1), slope.reshape(-1))
    value, d = OF_OUTPUTS[loss](p, y, parameter)
    return value, d * slope


@np.errstate(all="ignore")
def loss_and_delta(
    loss: int,
    activation: int,
    param: float,
    smoothing: float,
    z: np.ndarray,
    y: np.ndarray,
    scales: np.ndarray,
    rows: np.ndarray,
    delta: np.ndarray,
) -> None:
    """Compute each row's loss, and delta = scale * ∂(row's loss)/∂z.

    A row's loss, e = p - y being the error of the outputs p = f(z), is::

        CROSS_ENTROPY  -Σ_k t_k ln p_k, t = (1 - smoothing) y + smoothing / K        output softmax
        BCE            mean_k of -y ln p - (1 - y) ln(1 - p)                         output sigmoid
        POISSON        mean_k of p - y ln p                                          output exp
        MSE            mean_k of e²
        SSE            Σ_k e²
        HALF_MSE       Σ_k e² / 2
        MAE            mean_k of |e|
        HUBER          mean_k of e²/2 where |e| <= param, param (|e| - param/2) beyond
        QUANTILE       mean_k of max(param (y - p), (param - 1) (y - p))
        PRODUCT        Σ_k y p, whose gradient is the vector-Jacobian product with y

    Where |e| has its kink the derivative is 0. Poisson's e^z continues as a straight line beyond z = 70 in float32 and
    700 in float64.

    Parameters
    ----------
    loss, activation : int
        Ids of the loss and of the output's activation.
    param : float
        Of HUBER and QUANTILE. Of CROSS_ENTROPY and BCE, if above 0, the most that a row or one of its terms counts, as if
        probabilities were clipped; delta is as without it.
    smoothing : float
        Of CROSS_ENTROPY, 0 <= smoothing < 1.
    z : ndarray of shape (n, K)
        Logits; read.
    y : ndarray of shape (n, K)
        Targets; or of shape (n, 1) with K > 1, class indices.
    scales : ndarray of shape (n,)
        What each row's delta is multiplied by; its loss is not.
    rows : ndarray of shape (n,)
        Overwritten with the losses.
    delta : ndarray of shape (n, K)
        Overwritten.
    """
    param, smoothing = float(param), float(smoothing)
    if loss == CROSS_ENTROPY:
        rows[:], delta[:] = _cross_entropy(smoothing, z, y)
        if param > 0:
            np.minimum(rows, param, out=rows)
    else:
        if loss in OF_LOGITS:
            value, delta[:] = OF_LOGITS[loss](z, y)
            if loss == BCE and param > 0:
                np.minimum(value, param, out=value)
        else:
            value, delta[:] = _from_outputs(loss, activation, param, z, y)
        factor = {SSE: 1.0, PRODUCT: 1.0, HALF_MSE: 0.5}.get(loss, 1 / z.shape[1])
        value.sum(axis=1, out=rows)
        rows *= factor
        delta *= factor
    delta *= scales[:, None]
