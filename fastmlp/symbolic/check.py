"""A formula in floating-point numbers against the same in a hundred digits, on a grid from -10,000 to 10,000."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import sympy

from ..reference.custom import run
from .convert import X
from .tree import Program

__all__ = ["GRID", "Problem", "exact", "problems"]

_POSITIVE = (
    1e-8, 1e-6, 1e-4, 1e-3, 0.01, 0.1, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9, 10, 12, 15, 17, 20, 30,
    40, 50, 60, 80, 87, 88, 89, 90, 100, 105, 150, 200, 300, 400, 500, 700, 709, 710, 711, 745, 750, 1000, 2000, 5000, 10000,
)  # fmt: skip
# The same numbers in both precisions.
GRID = np.array([-x for x in reversed(_POSITIVE)] + [0.0] + list(_POSITIVE), np.float32).astype(np.float64)
_DIGITS = 100
# Errors that pass: relative ones, and those beside numbers of the size of 1, in units of the last place.
_RELATIVE, _ABSOLUTE = 256, 16

# Beyond this an exponential is infinite or 0 in any precision, and a sine is a matter of the argument's rounding: mpmath
# would go on, with as many digits as that takes.
_BEYOND = 1e7


def _bounded(function: Callable, high: float, low: float, beyond: float = _BEYOND) -> Callable:
    return lambda x: mpmath.mpf(high if x > 0 else low) if abs(x) > beyond else function(x)


_inf, _nan = float("inf"), float("nan")
_exp = _bounded(mpmath.exp, _inf, 0.0)
_cosh = _bounded(mpmath.cosh, _inf, _inf)
_tanh = _bounded(mpmath.tanh, 1.0, -1.0)


# Of a power, e^x is asked for larger x before it is a part of something else: up to what takes some hundred bits more.
_power_of_e = _bounded(mpmath.exp, _inf, 0.0, 1e100)


def _power(base: Any, exponent: Any) -> Any:
    """Return base ** exponent, infinite or 0 where that is beyond all bounds."""
    if base == 0:
        return base**exponent
    size = _power_of_e(exponent * mpmath.log(abs(base)))
    return size if base > 0 else size * mpmath.expjpi(exponent)


_FUNCTIONS: dict[str, Any] = {
    "power": _power,
    "exp": _exp,
    "sinh": _bounded(mpmath.sinh, _inf, -_inf),
    "cosh": _cosh,
    "tanh": _tanh,
    "erf": _bounded(mpmath.erf, 1.0, -1.0),
    "erfc": _bounded(mpmath.erfc, 0.0, 2.0),
    "sin": _bounded(mpmath.sin, _nan, _nan),
    "cos": _bounded(mpmath.cos, _nan, _nan),
    "tan": _bounded(mpmath.tan, _nan, _nan),
    "sigmoid": lambda x: 1 / (1 + _exp(-x)),
    "softplus": lambda x: mpmath.log(1 + _exp(x)),
    "expm1": _bounded(mpmath.expm1, _inf, -1.0),
    "log1p": mpmath.log1p,
    "tanh_softplus": lambda x: _tanh(mpmath.log(1 + _exp(x))),
    "logcosh": lambda x: mpmath.log(_cosh(x)),
}


@dataclass(frozen=True)
class Problem:
    """A range of x where f or f' comes out wrong.

    Attributes
    ----------
    what : str
        "f(x)" or "f'(x)".
    dtype : str
        The precision.
    low, high : float
        First and last wrong point of the grid.
    x, got : float
        The point nearest 0 and what comes out there.
    wanted : float or None
        What it should be; None where f is no real number.
    count : int
        Wrong points of the grid.
    """

    what: str
    dtype: str
    low: float
    high: float
    x: float
    got: float
    wanted: float | None
    count: int

    def __str__(self) -> str:
        """Return it in a sentence's part."""
        place = f"at x = {self.low:g}" if self.low == self.high else f"for x from {self.low:g} to {self.high:g}"
        if self.wanted is None:
            return f"{self.what} is no finite real number {place}"
        return f"{self.what} is wrong in {self.dtype} {place} (at {self.x:g} it gives {self.got:g}, not {self.wanted:.6g})"


def exact(expr: sympy.Expr) -> list[float | None]:
    """Return an expression of `X` at each point of the grid, None where it is no finite real number; ±inf is beyond float64.

    Examples
    --------
    >>> exact(sympy.exp(X))[-1], exact(sympy.sqrt(X))[0]
    (inf, None)
    """
    plain = expr.replace(sympy.Heaviside, _as_piecewise).replace(_is_unbounded, lambda power: _bounded_power(*power.args))
    function = sympy.lambdify(X, plain, modules=[_FUNCTIONS, "mpmath"])
    found: list[float | None] = []
    with mpmath.workdps(_DIGITS):
        for x in GRID:
            try:
                value = mpmath.mpmathify(function(mpmath.mpf(float(x))))
            except (ZeroDivisionError, ValueError, OverflowError, TypeError):
                value = mpmath.nan
            if isinstance(value, mpmath.mpc):
                value = value.real if value.imag == 0 else mpmath.nan
            found.append(float(value) if mpmath.isfinite(value) else None)
    return found


_bounded_power = sympy.Function("power")


def _is_unbounded(expr: sympy.Expr) -> bool:
    """Whether this is a power whose exponent is no constant."""
    return isinstance(expr, sympy.Pow) and bool(expr.exp.free_symbols)


def _as_piecewise(u: sympy.Expr, at_zero: sympy.Expr = sympy.S.Half) -> sympy.Expr:
    return sympy.Piecewise((0, u < 0), (1, u > 0), (at_zero, True))


def problems(program: Program, values: list[float | None], slopes: list[float | None]) -> list[Problem]:
    """Return where a program's results differ from the exact ones by more than rounding.

    Parameters
    ----------
    program : Program
        Of f and f'.
    values, slopes : list
        What `exact` says of them.

    Examples
    --------
    >>> naive = (("z",), ("exp", 0), ("number", 1.0), ("add", 1, 2), ("log", 3), ("div", 1, 3)), 4, 5
    >>> [str(problem) for problem in problems(naive, exact(sympy.log(1 + sympy.exp(X))), exact(1 / (1 + sympy.exp(-X))))][:1]
    ['f(x) is wrong in float32 for x from 89 to 10000 (at 89 it gives inf, not 89)']
    """
    lines, value_at, slope_at = program
    found = []
    for dtype in ("float32", "float64"):
        results = run(lines, GRID.astype(dtype))
        for what, wanted, at in (("f(x)", values, value_at), ("f'(x)", slopes, slope_at)):
            found += _ranges(what, dtype, np.asarray(results[at], np.float64), wanted)
    return [problem for problem in found if problem.wanted is not None or problem.dtype == "float32"]


def _ranges(what: str, dtype: str, got: np.ndarray, wanted: list[float | None]) -> list[Problem]:
    right = [_right(float(g), w, dtype) for g, w in zip(got, wanted, strict=True)]
    ranges, start = [], 0
    for place in range(1, len(right) + 1):
        ends = place == len(right) or right[place] != right[start] or (wanted[place] is None) != (wanted[start] is None)
        if ends:
            if not right[start]:
                x = min(range(start, place), key=lambda i: abs(GRID[i]))
                ranges.append(Problem(what, dtype, float(GRID[start]), float(GRID[place - 1]), float(GRID[x]), float(got[x]),
                                      wanted[x], place - start))  # fmt: skip
            start = place
    return ranges


def _right(got: float, wanted: float | None, dtype: str) -> bool:
    if wanted is None:
        return False
    largest, eps = float(np.finfo(dtype).max), float(np.finfo(dtype).eps)
    if abs(wanted) > largest:
        return got * wanted > 0 and abs(got) > largest / 2
    return abs(got - wanted) <= eps * (_RELATIVE * abs(wanted) + _ABSOLUTE)
