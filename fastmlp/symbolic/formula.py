"""An activation from a SymPy expression, or from a function that makes one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sympy
from sympy.core.function import AppliedUndef

from ..reference.custom import run
from .check import Problem
from .convert import X
from .custom import Formula, default_name, formula
from .derive import derive
from .tree import program

__all__ = ["from_formula"]


def from_formula(f: Any, name: str | None, init: str | None) -> tuple[Formula, list[Problem]]:
    """Return the activation, and where it is wrong; see :func:`fastmlp.activation`."""
    expr = _expression(f)
    try:
        derived = derive(expr)
    except ValueError as error:
        raise ValueError(f"f(x) = {expr} cannot be an activation: {error}") from error
    name, init = name or default_name(f, str(expr)), init or _family(derived.value)
    return formula(name, init, derived.value, derived.slope), derived.problems


def _expression(f: Any) -> sympy.Expr:
    """Return an expression of `X`."""
    if isinstance(f, sympy.Expr):
        if len(f.free_symbols) != 1:
            names = sorted(map(str, f.free_symbols))
            raise ValueError(f"f = {f} must be a formula of one symbol; it has {', '.join(names) if names else 'none'}.")
        expr = f.subs(f.free_symbols.pop(), X)
    elif callable(f):
        expr = _called(f)
    else:
        raise TypeError(
            "f must be a function of a SymPy symbol or a SymPy expression, such as lambda x: x / (1 + sympy.exp(-x)); "
            f"got {f!r}."
        )
    expr = sympy.sympify(expr).doit()
    if expr.free_symbols != {X}:
        raise ValueError(f"f(x) = {expr} must be a formula of x alone.")
    unknown = sorted({call.func.__name__ for call in expr.atoms(AppliedUndef)})
    if unknown:
        raise ValueError(
            f"f(x) = {expr} has {', '.join(unknown)}, of which SymPy knows but the name. Write out what is meant, such as "
            "sympy.Max(0, x) for relu."
        )
    if expr.has(sympy.I):
        raise ValueError(f"f(x) = {expr} is not real.")
    return expr


def _called(f: Callable) -> Any:
    """Return what a function makes of a symbol."""
    remedy = (
        "Write f with SymPy's functions (sympy.exp, not numpy.exp or math.exp), or pass its derivative too: "
        "fm.activation(f, df)."
    )
    try:
        result = f(X)
    except (TypeError, AttributeError) as error:
        raise TypeError(f"f(x) failed on a SymPy symbol ({error}). {remedy}") from error
    if not isinstance(result, (sympy.Expr, int, float)):
        raise TypeError(f"f(x) gave {type(result).__name__} for a SymPy symbol, not a formula. {remedy}")
    return result


def _family(value: Any) -> str:
    """Return the family of initial weights: "he" for what grows on one side alone."""
    lines, value_at, _ = program(value, 0.0)
    low, high = np.abs(run(lines, np.array([-1e4, 1e4]))[value_at])
    return "he" if (low > 100) != (high > 100) else "glorot"
