"""SymPy expressions as trees of ``symbolic/tree.py``."""

from __future__ import annotations

from functools import reduce

import sympy
from sympy import Expr, Rational, S

from .stable import expm1, log1p, logcosh, sigmoid, softplus, tanh_softplus
from .tree import LARGEST_POWER, Tree

__all__ = ["A", "X", "to_trees"]

# The argument, and f(x) in a derivative.
X, A = sympy.Symbol("x", real=True), sympy.Symbol("a", real=True)

_SAME = {
    sympy.exp: "exp", expm1: "expm1", sympy.log: "log", log1p: "log1p", sympy.tanh: "tanh", sympy.sinh: "sinh",
    sympy.cosh: "cosh", sigmoid: "sigmoid", softplus: "softplus", sympy.erf: "erf", sympy.sin: "sin", sympy.cos: "cos",
    sympy.atan: "atan", sympy.Abs: "abs", sympy.sign: "sign",
    tanh_softplus: "tanh_softplus",
}  # fmt: skip
# Functions that are a formula of others.
_MEANING = {
    sympy.erfc: lambda u: 1 - sympy.erf(u),
    sympy.tan: lambda u: sympy.sin(u) / sympy.cos(u),
    sympy.cot: lambda u: sympy.cos(u) / sympy.sin(u),
    sympy.sec: lambda u: 1 / sympy.cos(u),
    sympy.csc: lambda u: 1 / sympy.sin(u),
    sympy.sech: lambda u: 1 / sympy.cosh(u),
    sympy.csch: lambda u: 1 / sympy.sinh(u),
    sympy.coth: lambda u: 1 / sympy.tanh(u),
    sympy.asinh: lambda u: sympy.sign(u) * sympy.log(sympy.Abs(u) + sympy.sqrt(u**2 + 1)),
    sympy.atanh: lambda u: (log1p(u) - log1p(-u)) / 2,
    logcosh: lambda u: sympy.Abs(u) + softplus(-2 * sympy.Abs(u)) - sympy.log(2),
}
_RELATIONS = {sympy.Gt: "gt", sympy.Ge: "ge", sympy.Lt: "lt", sympy.Le: "le", sympy.Eq: "eq", sympy.Ne: "ne"}


def to_trees(expressions: list[Expr]) -> list[Tree]:
    """Return expressions of `X` and `A` as trees, with what they have in common in one form.

    Raises
    ------
    ValueError
        If something in them has no operation here.

    Examples
    --------
    >>> to_trees([X * sigmoid(X)])
    [('mul', 'z', ('sigmoid', 'z'))]
    """
    shared, expressions = sympy.cse(expressions)
    known: dict[Expr, Tree] = {X: "z", A: "a"}
    for symbol, expr in shared:
        known[symbol] = _tree(expr, known)
    return [_tree(expr, known) for expr in expressions]


def _tree(expr: Expr, known: dict[Expr, Tree]) -> Tree:
    if expr in known:
        return known[expr]
    if not expr.free_symbols and isinstance(expr, Expr):
        return _number(expr)
    made = _BY_KIND.get(expr.func)
    if made is not None:
        return made(expr, known)
    if expr.func in _SAME:
        return (_SAME[expr.func], _tree(expr.args[0], known))
    if expr.func in _MEANING:
        return _tree(_MEANING[expr.func](expr.args[0]), known)
    supported = sorted({kind.__name__ for kind in (*_SAME, *_MEANING, *_BY_KIND)})
    raise ValueError(f"{expr.func.__name__} is not among the functions of an activation: {', '.join(supported)}.")


def _number(expr: Expr) -> float:
    value = expr.evalf(25)
    if value.is_real is not True or not value.is_finite or abs(value) > 1e308:
        raise ValueError(f"the number {expr} is not real and finite.")
    return float(value)


def _add(expr: Expr, known: dict[Expr, Tree]) -> Tree:
    plus: list[Expr] = []
    minus: list[Expr] = []
    for term in expr.as_ordered_terms():
        (minus if term.could_extract_minus_sign() else plus).append(term)
    positive = [_tree(term, known) for term in plus]
    negative = [_tree(-term, known) for term in minus]
    if not positive:
        return ("neg", _chain("add", negative))
    return reduce(lambda total, term: ("sub", total, term), negative, _chain("add", positive))


def _chain(op: str, parts: list[Tree]) -> Tree:
    return reduce(lambda total, part: (op, total, part), parts)


def _mul(expr: Expr, known: dict[Expr, Tree]) -> Tree:
    steps = [factor for factor in expr.args if isinstance(factor, sympy.Heaviside)]
    if steps:  # 0 * inf would be NaN
        return _heaviside(steps[0], known, expr / steps[0])
    factor, rest = expr.as_coeff_Mul()
    if factor.is_negative:
        return ("neg", _tree(-expr, known))
    above, below = [] if factor == 1 else [_number(factor)], []
    for part in rest.as_ordered_factors():
        base, exponent = part.as_base_exp()
        if exponent.is_negative and base is not S.Exp1:
            below.append(_tree(base**-exponent, known))
        else:
            above.append(_tree(part, known))
    numerator = _chain("mul", above) if above else 1.0
    return ("div", numerator, _chain("mul", below)) if below else numerator


def _pow(expr: Expr, known: dict[Expr, Tree]) -> Tree:
    base, exponent = expr.args
    if base is S.Exp1:
        return ("exp", _tree(exponent, known))
    if exponent.is_negative:
        return ("div", 1.0, _tree(base**-exponent, known))
    if exponent == Rational(1, 2):
        return ("sqrt", _tree(base, known))
    if exponent.is_Rational and exponent.q == 2 and exponent.p <= LARGEST_POWER:
        return ("pow", ("sqrt", _tree(base, known)), float(exponent.p))
    if exponent.is_Integer and exponent <= LARGEST_POWER:
        return ("pow", _tree(base, known), float(exponent))
    return ("exp", ("mul", _tree(exponent, known), _tree(sympy.log(base), known)))


def _heaviside(expr: Expr, known: dict[Expr, Tree], times: Expr = S.One) -> Tree:
    argument, at_zero = _tree(expr.args[0], known), expr.args[1] if len(expr.args) > 1 else S.Half
    yes, zero = _tree(times, known), _tree(at_zero * times, known)
    below = 0.0 if at_zero == 0 else ("where", ("lt", argument, 0.0), 0.0, zero)
    return ("where", ("gt", argument, 0.0), yes, below)


def _piecewise(expr: Expr, known: dict[Expr, Tree]) -> Tree:
    *pairs, (last, always) = expr.args
    if always != sympy.true:
        raise ValueError(f"{expr} leaves some x without a value. End it with a pair (value, True).")
    tree = _tree(last, known)
    for value, condition in reversed(pairs):
        tree = ("where", _tree(condition, known), _tree(value, known), tree)
    return tree


def _relation(expr: Expr, known: dict[Expr, Tree]) -> Tree:
    return (_RELATIONS[expr.func], *(_tree(side, known) for side in expr.args))


def _all_of(op: str):
    return lambda expr, known: _chain(op, [_tree(arg, known) for arg in sorted(expr.args, key=sympy.default_sort_key)])


_BY_KIND = {
    sympy.Add: _add, sympy.Mul: _mul, sympy.Pow: _pow, sympy.Heaviside: _heaviside, sympy.Piecewise: _piecewise,
    sympy.Max: _all_of("max"), sympy.Min: _all_of("min"), sympy.And: _all_of("and"), sympy.Or: _all_of("or"),
    sympy.ITE: lambda expr, known: _tree(sympy.Or(expr.args[0] & expr.args[1], ~expr.args[0] & expr.args[2]), known),
    type(sympy.true): lambda expr, known: ("eq", 0.0, 0.0), type(sympy.false): lambda expr, known: ("ne", 0.0, 0.0),
    sympy.Not: lambda expr, known: ("not", _tree(expr.args[0], known)),
    **dict.fromkeys(_RELATIONS, _relation),
}  # fmt: skip
