"""From a SymPy expression to the trees of f and f': the cheapest form of f' that is right wherever a form is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import sympy
from sympy import DiracDelta, Expr, Heaviside, Max, Min, Piecewise, S

from .check import Problem, exact, problems
from .convert import A, X, to_trees
from .stable import expm1, sigmoid, stable
from .tree import Tree, checked, cost, program

__all__ = ["Derived", "derive"]

# SymPy's simplify takes long where there are more operations.
_SIMPLE = 20


class Derived(NamedTuple):
    """Trees of f and f', and where floating-point numbers do not give them."""

    value: Tree
    slope: Tree
    problems: list[Problem]


def derive(expr: Expr) -> Derived:
    """Return f and f' for an expression of `X`.

    Parameters
    ----------
    expr : sympy.Expr
        f(X).

    Raises
    ------
    ValueError
        If something in f or f' is no operation of an activation.

    Examples
    --------
    >>> derive(sympy.tanh(X)).slope
    ('sub', 1.0, ('pow', 'a', 2.0))
    """
    values = exact(expr)
    slopes = exact(_derivative(expr))
    best: tuple[tuple[int, int, int], Derived] | None = None
    refusal: ValueError | None = None
    for value, slope in _forms(expr):
        try:
            trees = to_trees([value, slope])
            f, df = checked(trees[0]), checked(trees[1], with_value=True)
        except ValueError as error:
            refusal = refusal or error
            continue
        found = problems(program(f, df), values, slopes)
        rank = sum(problem.count for problem in found), cost(f, df), len(str(df))
        if best is None or rank < best[0]:
            best = rank, Derived(f, df, found)
    if best is None:
        assert refusal is not None
        raise refusal
    return best[1]


def _forms(expr: Expr) -> Iterator[tuple[Expr, Expr]]:
    """Pairs of f and f', the latter in x and in a = f(x)."""
    value = stable(expr)
    first = _derivative(value)
    slopes = [first, stable(first), sympy.factor_terms(first), *_with_what_f_has(value, first)]
    if sympy.count_ops(first) < _SIMPLE:
        slopes.append(sympy.simplify(first))
    slopes += [slope.subs(value, A) for slope in slopes if value != X]
    slopes += [sympy.expand(slope).subs(value, A) for slope in slopes[:4] if value != X]
    for slope in dict.fromkeys(slopes):
        yield value, slope


def _with_what_f_has(value: Expr, slope: Expr) -> Iterator[Expr]:
    """Put 1 - sigmoid(u) for sigmoid(-u), and 1 + expm1(u) for exp(u), where f has sigmoid(u) or expm1(u)."""
    for one in value.atoms(sigmoid):
        yield slope.subs(sigmoid(-one.args[0]), 1 - one)
    for one in value.atoms(expm1):
        yield slope.subs(sympy.exp(one.args[0]), 1 + one)


def _derivative(expr: Expr) -> Expr:
    """Differentiate by x; at a kink it is the derivative from one side, at that of max(x, 0) the one from the left."""
    slope = expr.replace(Max, lambda *args: _choose(sympy.Gt, args)).replace(Min, lambda *args: _choose(sympy.Lt, args)).diff(X)
    slope = slope.replace(DiracDelta, lambda *args: S.Zero).replace(Heaviside, lambda u, *at_zero: Heaviside(u, 0))
    if slope.has(sympy.Derivative, sympy.Subs):
        raise ValueError(f"SymPy finds no formula for the derivative of {expr}.")
    return slope


def _choose(relation: type, args: tuple[Expr, ...]) -> Expr:
    """Max or Min as a choice, numbers last."""
    *rest, chosen = sorted(args, key=lambda arg: (bool(arg.free_symbols), sympy.default_sort_key(arg)), reverse=True)
    for arg in reversed(rest):
        chosen = Piecewise((arg, relation(arg, chosen)), (chosen, True))
    return chosen
