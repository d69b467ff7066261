"""Activation functions f and their derivatives f'.

All are finite wherever z is, except e^z; NaN gives NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from . import vmath
from .ids import (
    ELU,
    EXP,
    GELU,
    GELU_TANH,
    HARD_SIGMOID,
    HARD_SWISH,
    IDENTITY,
    LEAKY_RELU,
    MISH,
    RELU,
    SELU,
    SIGMOID,
    SILU,
    SOFTPLUS,
    TANH,
)

LEAK = 0.01
# Klambauer et al., "Self-normalizing neural networks" (NeurIPS 2017), equation 14.
SELU_SCALE, SELU_ALPHA = 1.0507009873554804934, 1.6732632423543772848
# Hendrycks and Gimpel, "Gaussian error linear units" (2016): tanh(SLOPE (z + CUBE z³)) stands for erf(z/√2).
GELU_SLOPE, GELU_CUBE = math.sqrt(2 / math.pi), 0.044715
# z² from which on that is ±1 to the last bit.
GELU_FAR = 1e4


def _sigmoid(z):
    out = np.empty_like(z)
    vmath.sigmoid(z, out)
    return out


def _softplus(z):
    out = np.empty_like(z)
    vmath.softplus(z, out)
    return out


def _normal_cdf(z):
    """Φ(z) = (1 + erf(z/√2)) / 2, the part of a standard normal distribution below z."""
    out = z * math.sqrt(0.5)
    vmath.erf(out, out)
    return (1 + out) / 2


def _gelu_gate(z):
    return (1 + np.tanh(GELU_SLOPE * z * (1 + GELU_CUBE * np.minimum(z * z, GELU_FAR)))) / 2


def _hard_sigmoid(z):
    return (z / 6 + 0.5).clip(0, 1)


# f(z). A function of the form z * gate(z) is named by its gate.
VALUES: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    IDENTITY: lambda z: z,
    RELU: lambda z: np.maximum(z, 0),
    LEAKY_RELU: lambda z: np.where(z > 0, z, LEAK * z),
    ELU: lambda z: np.where(z > 0, z, np.expm1(z)),
    SELU: lambda z: SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * np.expm1(z)),
    GELU: lambda z: z * _normal_cdf(z),
    GELU_TANH: lambda z: z * _gelu_gate(z),
    SILU: lambda z: z * _sigmoid(z),
    MISH: lambda z: z * np.tanh(_softplus(z)),
    SOFTPLUS: _softplus,
    TANH: np.tanh,
    SIGMOID: _sigmoid,
    HARD_SIGMOID: _hard_sigmoid,
    HARD_SWISH: lambda z: z * _hard_sigmoid(z),
    EXP: np.exp,
}


def _gelu_slope(z, a):
    # (z Φ)' = Φ + z φ with the density φ = e^(-z²/2) / √(2π)
    return _normal_cdf(z) + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _gelu_tanh_slope(z, a):
    # The gate is a sigmoid s of 2u, so that (z s)' = s + z s (1 - s) 2u'.
    gate = _gelu_gate(z)
    return gate + z * gate * (1 - gate) * (2 * GELU_SLOPE * (1 + 3 * GELU_CUBE * np.minimum(z * z, GELU_FAR)))


def _silu_slope(z, a):
    # (z s)' = s + z s (1 - s)
    return _sigmoid(z) + a * _sigmoid(-z)


def _mish_slope(z, a):
    # (z t)' = t + z (1 - t²) s for the gate t = tanh(softplus(z)), since softplus' is the sigmoid s.
    gate = np.tanh(_softplus(z))
    return gate + z * (1 - gate * gate) * _sigmoid(z)


def _hard_sigmoid_slope(z, a):
    return np.where(np.abs(z) < 3, z.dtype.type(1 / 6), z.dtype.type(0))


# f'(z) from z and a = f(z). At a kink it is the derivative from the left, and 0 at both kinks of hard_sigmoid.
SLOPES: dict[int, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    IDENTITY: lambda z, a: np.ones_like(z),
    RELU: lambda z, a: z > 0,
    LEAKY_RELU: lambda z, a: np.where(z > 0, 1, LEAK),
    ELU: lambda z, a: np.where(z > 0, 1, np.exp(z)),
    SELU: lambda z, a: SELU_SCALE * np.where(z > 0, 1, SELU_ALPHA * np.exp(z)),
    GELU: _gelu_slope,
    GELU_TANH: _gelu_tanh_slope,
    SILU: _silu_slope,
    MISH: _mish_slope,
    SOFTPLUS: lambda z, a: _sigmoid(z),
    TANH: lambda z, a: 1 - a * a,
    SIGMOID: lambda z, a: a * _sigmoid(-z),
    HARD_SIGMOID: _hard_sigmoid_slope,
    HARD_SWISH: lambda z, a: _hard_sigmoid(z) + z * _hard_sigmoid_slope(z, a),
    EXP: lambda z, a: a,
}


@np.errstate(all="ignore")
def activate(activation: int, z: np.ndarray, a: np.ndarray, g: np.ndarray) -> None:
    """Compute an activation and its derivative: a = f(z), g = f'(z).

    Parameters
    ----------
    activation : int
        Id of any activation but softmax, whose derivative is a matrix.
    z, a, g : ndarray of shape (n,)
        Input and the two results, of one dtype; a or g may be z itself.

    Examples
    --------
    >>> z = np.array([-1.0, 0.0, 2.0])
    >>> a, g = np.empty(3), np.empty(3)
    >>> activate(RELU, z, a, g)
    >>> a, g
    (array([0., 0., 2.]), array([0., 0., 1.]))
    """
    value = VALUES[activation](z)
    slope = SLOPES[activation](z, value)
    a[:] = value
    g[:] = slope


@np.errstate(all="ignore")
def apply(activation: int, z: np.ndarray, a: np.ndarray) -> None:
    """Compute an activation alone: a = f(z) for z and a (n,), which may be the same array."""
    a[:] = VALUES[activation](z)


@np.errstate(all="ignore")
def softmax(z: np.ndarray, p: np.ndarray) -> None:
    """Compute the softmax of each row, p_j = e^z_j / Σ_k e^z_k, for z and p (n, K), which may be the same array.

    A row's largest logit is taken off first, which changes nothing but keeps e^z from overflowing.

    Examples
    --------
    >>> p = np.empty((1, 3))
    >>> softmax(np.array([[1e4, 1e4, 0.0]]), p)
    >>> p
    array([[0.5, 0.5, 0. ]])
    """
    np.subtract(z, z.max(axis=1, keepdims=True, initial=-np.inf), out=p)
    np.exp(p, out=p)
    p /= p.sum(axis=1, keepdims=True)
