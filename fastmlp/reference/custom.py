"""Activations of the user's own: programs of instructions and pairs of functions, entered beside the built-in ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import vmath
from .activations import SLOPES, VALUES


def _through(function: Callable[[np.ndarray, np.ndarray], None]) -> Callable[[np.ndarray], np.ndarray]:
    def call(x: np.ndarray) -> np.ndarray:
        out = np.empty_like(x)
        function(x, out)
        return out

    return call


def _power(x: np.ndarray, n: int) -> np.ndarray:
    """x^n by squaring, as the kernels have it."""
    result = None
    while n:
        if n & 1:
            result = x if result is None else result * x
        x, n = x * x, n >> 1
    return np.asarray(result)


def _tanh_softplus(x: np.ndarray) -> np.ndarray:
    """tanh(ln(1 + w)) = n / (n + 2) with n = w (w + 2), w = e^x; divided by w² for x >= 0, so that nothing overflows."""
    e = np.exp(-np.abs(x))
    above = np.where(x >= 0, 1 + 2 * e, e * (e + 2))
    return above / (above + np.where(x >= 0, 2 * e * e, x.dtype.type(2)))


# An instruction's operation, of arrays and scalars of one dtype. See symbolic/tree.py for instructions.
OPERATIONS: dict[str, Callable] = {
    "neg": np.negative,
    "abs": np.abs,
    "sign": np.sign,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "sigmoid": _through(vmath.sigmoid),
    "softplus": _through(vmath.softplus),
    "tanh_softplus": _tanh_softplus,
    "erf": _through(vmath.erf),
    "sin": np.sin,
    "cos": np.cos,
    "atan": np.arctan,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": np.maximum,
    "min": np.minimum,
    "pow": _power,
    "where": np.where,
    "gt": np.greater,
    "ge": np.greater_equal,
    "lt": np.less,
    "le": np.less_equal,
    "eq": np.equal,
    "ne": lambda x, y: (x < y) | (x > y),
    "and": np.logical_and,
    "or": np.logical_or,
    "not": np.logical_not,
    "keep_nan": lambda z, value: np.where(np.isnan(z), z, value),
}


@np.errstate(all="ignore")
def run(lines: tuple, z: np.ndarray) -> list[np.ndarray]:
    """Return what each instruction of a program gives for z (n,), in z's dtype.

    Examples
    --------
    >>> run((("z",), ("number", 2.0), ("mul", 1, 0)), np.array([1.0, 3.0]))[-1]
    array([2., 6.])
    """
    results: list[Any] = []
    for op, *operands in lines:
        if op == "z":
            result = z
        elif op == "number":
            result = np.full_like(z, operands[0])
        elif op == "pow":
            result = _power(results[operands[0]], operands[1])
        else:
            result = OPERATIONS[op](*(results[place] for place in operands))
        results.append(result)
    return results


def define(number: int, lines: tuple, value_at: int, slope_at: int) -> None:
    """Enter the activation `number`, whose value and derivative are the results at two places of a program."""
    VALUES[number] = lambda z: run(lines[: value_at + 1], z)[value_at]
    SLOPES[number] = lambda z, a: run(lines, z)[slope_at]


def define_functions(number: int, f: Callable, df: Callable) -> None:
    """Enter the activation `number` as a function and its derivative, of arrays or of numbers."""
    value, slope = over_arrays(f), over_arrays(df)
    VALUES[number] = lambda z: value(z).astype(z.dtype)
    SLOPES[number] = lambda z, a: slope(z).astype(z.dtype)


def over_arrays(function: Callable) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function of arrays (n,), which calls one of numbers for each.

    Examples
    --------
    >>> over_arrays(lambda x: x if x > 0 else 0.0)(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    probe = np.array([-1.5, 0.25, 2.0])
    try:
        at_once = np.shape(function(probe)) == probe.shape
    except Exception:  # whatever a function of numbers makes of an array
        at_once = False
    if at_once:
        return function
    return lambda x: np.array([function(number) for number in x.tolist()], np.float64)
