"""Elementary functions of one-dimensional arrays: ``out = f(x)``, where out may be x."""

from __future__ import annotations

import math

import numpy as np


@np.errstate(all="ignore")
def exp(x: np.ndarray, out: np.ndarray) -> None:
    """Exponential: out = e^x, inf where that is too large."""
    np.exp(x, out=out)


@np.errstate(all="ignore")
def log(x: np.ndarray, out: np.ndarray) -> None:
    """Natural logarithm: out = ln x, -inf at 0 and NaN below."""
    np.log(x, out=out)


@np.errstate(all="ignore")
def tanh(x: np.ndarray, out: np.ndarray) -> None:
    """Hyperbolic tangent: out = (e^x - e^-x) / (e^x + e^-x)."""
    np.tanh(x, out=out)


@np.errstate(all="ignore")
def sigmoid(x: np.ndarray, out: np.ndarray) -> None:
    """Logistic function: out = 1 / (1 + e^-x).

    Written with e^-|x|, which cannot overflow: it is 1 / (1 + e) for x >= 0 and e / (1 + e) for x < 0.
    """
    e = np.exp(-np.abs(x))
    np.divide(np.where(x < 0, e, 1), 1 + e, out=out)


@np.errstate(all="ignore")
def softplus(x: np.ndarray, out: np.ndarray) -> None:
    """Smooth ramp: out = ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|), where nothing overflows."""
    rest = np.log1p(np.exp(-np.abs(x)))
    np.add(np.maximum(x, 0), rest, out=out)


@np.errstate(all="ignore")
def erf(x: np.ndarray, out: np.ndarray) -> None:
    """Error function: out = 2/√π ∫ e^-t² dt from 0 to x; from SciPy where it is installed, else number by number."""
    try:
        from scipy.special import erf as array_erf
    except ImportError:
        out[:] = [math.erf(number) for number in x.tolist()]
    else:
        array_erf(x, out=out)
