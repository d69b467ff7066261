"""An activation from two Python functions, f and its derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import PrecisionWarning, warn
from ..reference.custom import over_arrays
from .custom import Functions, default_name, functions

__all__ = ["from_functions"]

# Where f' is compared with differences of f: no round numbers, since kinks lie there.
_POINTS = np.array([-7.31, -3.17, -1.43, -0.617, -0.0713, 0.0391, 0.457, 1.29, 2.83, 6.61])
_STEP, _TOLERANCE = 1e-6, 1e-4


def from_functions(f: Any, df: Any, name: str | None, init: str | None) -> Functions:
    """Return the activation; see :func:`fastmlp.activation`."""
    for argument, function in (("f", f), ("df", df)):
        if not callable(function):
            raise TypeError(f"{argument} must be a function of a number or an array; got {function!r}.")
        found = _values(argument, function, _POINTS)
        if found.shape != _POINTS.shape:
            raise ValueError(f"{argument} must give a number for each number; of {_POINTS.size} it makes shape {found.shape}.")
    _compare(f, df)
    low, high = np.abs(_values("f", f, np.array([-1e4, 1e4])))
    return functions(name or default_name(f, "f(x)"), init or ("he" if (low > 100) != (high > 100) else "glorot"), f, df)


def _values(argument: str, function: Callable, x: np.ndarray) -> np.ndarray:
    try:
        with np.errstate(all="ignore"):
            return np.asarray(over_arrays(function)(x), np.float64)
    except Exception as error:
        raise TypeError(f"{argument} failed on numbers ({error}). Pass functions of a number or of a NumPy array.") from error


def _compare(f: Callable, df: Callable) -> None:
    """Warn if df is not what central differences of f give."""
    with np.errstate(all="ignore"):
        difference = (_values("f", f, _POINTS + _STEP) - _values("f", f, _POINTS - _STEP)) / (2 * _STEP)
        given = _values("df", df, _POINTS)
    wrong = np.abs(given - difference) > _TOLERANCE * (1 + np.abs(difference))
    if wrong.any():
        place = int(np.argmax(wrong))
        warn(
            f"df is not the derivative of f: at x = {_POINTS[place]:g} it gives {given[place]:.6g}, and differences of f "
            f"give {difference[place]:.6g}. Training follows df; pass the derivative unless that is meant.",
            PrecisionWarning,
        )
