"""SymPy expressions, rewritten so that floating-point numbers neither overflow nor cancel where the formula does not.

Each rule is an identity of real numbers: 1/(1 + exp(-x)) is sigmoid(x), log(1 + exp(x)) is softplus(x), and so on.
"""

from __future__ import annotations

import sympy
from sympy import Add, Expr, Function, Mul, Pow, S, cosh, exp, log, sinh, tanh

__all__ = ["expm1", "log1p", "logcosh", "sigmoid", "softplus", "stable", "tanh_softplus"]


class _Real(Function):
    """A function of a real number that gives one."""

    nargs = 1
    is_extended_real = True


class sigmoid(_Real):
    """1 / (1 + exp(-x))."""

    def fdiff(self, argindex: int = 1) -> Expr:
        """Return the derivative; 1 - sigmoid(x) would cancel."""
        return sigmoid(self.args[0]) * sigmoid(-self.args[0])


class softplus(_Real):
    """log(1 + exp(x))."""

    def fdiff(self, argindex: int = 1) -> Expr:
        """Return the derivative."""
        return sigmoid(self.args[0])


class expm1(_Real):
    """exp(x) - 1."""

    def fdiff(self, argindex: int = 1) -> Expr:
        """Return the derivative."""
        return exp(self.args[0])


class log1p(_Real):
    """log(1 + x)."""

    def fdiff(self, argindex: int = 1) -> Expr:
        """Return the derivative."""
        return 1 / (1 + self.args[0])


class tanh_softplus(_Real):
    """tanh(log(1 + exp(x))), which is rational in exp(x)."""

    def fdiff(self, argindex: int = 1) -> Expr:
        """Return the derivative."""
        return (1 - self**2) * sigmoid(self.args[0])


class logcosh(_Real):
    """log(cosh(x))."""

    def fdiff(self, argindex: int = 1) -> Expr:
        """Return the derivative."""
        return tanh(self.args[0])


def stable(expr: Expr) -> Expr:
    """Return an equal expression that is safe to compute, as far as the rules go.

    Examples
    --------
    >>> x = sympy.Symbol("x", real=True)
    >>> stable(x / (1 + exp(-x))), stable(log(1 + exp(x))), stable((exp(x) - exp(-x)) / (exp(x) + exp(-x)))
    (x*sigmoid(x), softplus(x), tanh(x))
    """
    if not expr.args:
        return expr
    args = [stable(arg) for arg in expr.args]
    if any(new is not old for new, old in zip(args, expr.args, strict=True)):
        expr = expr.func(*args)
    for kind, rule in _RULES.items():
        if isinstance(expr, kind):
            return rule(expr)
    return expr


def _exponential_terms(expr: Expr) -> tuple[Expr, dict[Expr, Expr], list[Expr]]:
    """Split a sum into its number, {u: c} for its terms c exp(u) with numbers c, and the rest."""
    number, rest = S.Zero, []
    terms: dict[Expr, Expr] = {}
    for term in Add.make_args(expr):
        factor, other = term.as_independent(*term.free_symbols) if term.free_symbols else (term, S.One)
        if other is S.One:
            number += term
        elif isinstance(other, exp) and factor.is_number:
            # exp(x + 1) is e exp(x)
            shift, argument = other.args[0].as_independent(*other.free_symbols, as_Add=True)
            terms[argument] = terms.get(argument, S.Zero) + factor * exp(shift)
        else:
            rest.append(term)
    return number, terms, rest


def _one_plus_exp(expr: Expr) -> tuple[Expr, Expr] | None:
    """Return k and v if `expr` is k (1 + exp(v)) with a positive number k."""
    number, terms, rest = _exponential_terms(expr)
    if rest or len(terms) != 1 or not number.is_positive:
        return None
    ((argument, factor),) = terms.items()
    return (number, argument + log(factor / number)) if factor.is_positive else None


def _add(expr: Expr) -> Expr:
    number, terms, rest = _exponential_terms(expr)
    for argument in list(terms):
        if argument in terms and -argument in terms:
            one, other = terms[argument], terms[-argument]
            if one in (other, -other):
                del terms[argument], terms[-argument]
                rest.append(2 * one * (cosh if one == other else sinh)(argument))
    for argument in list(terms):
        if number != 0 and terms[argument] == -number:
            rest.append(-number * expm1(argument))
            del terms[argument]
            number = S.Zero
    for place, term in enumerate(rest):
        factor, other = term.as_coeff_Mul()
        if number != 0 and factor == -number and isinstance(other, sigmoid):  # 1 - sigmoid(x)
            rest[place] = number * sigmoid(-other.args[0])
            number = S.Zero
    return Add(number, *(factor * exp(argument) for argument, factor in terms.items()), *rest)


def _pow(expr: Expr) -> Expr:
    base, exponent = expr.as_base_exp()
    if isinstance(base, Add) and exponent.is_negative and (found := _one_plus_exp(base)):
        return (sigmoid(-found[1]) / found[0]) ** -exponent
    return expr


def _mul(expr: Expr) -> Expr:
    factors = dict(expr.as_powers_dict())
    for base, power in list(factors.items()):
        if not (power.is_Integer and power > 0):
            continue
        if isinstance(base, sigmoid):
            _exp_times_sigmoid(factors, base, power)
        if isinstance(base, expm1):  # (e^w - 1) / (e^w + 1) = tanh(w/2)
            _exchange(factors, base, sigmoid(-base.args[0]), tanh(base.args[0] / 2), 1)
        if isinstance(base, sinh):
            _exchange(factors, base, cosh(base.args[0]), tanh(base.args[0]), -1)
    return Mul(*(base**power for base, power in factors.items()))


def _exchange(factors: dict[Expr, Expr], one: Expr, other: Expr, result: Expr, sign: int) -> None:
    """Replace one * other (sign 1) or one / other (sign -1) by `result`, as often as it is there."""
    there = sign * factors.get(other, S.Zero)
    if there.is_Integer and there > 0:
        n = min(factors[one], there)
        factors[one] -= n
        factors[other] -= sign * n
        factors[result] = factors.get(result, S.Zero) + n


def _exp_times_sigmoid(factors: dict[Expr, Expr], base: Expr, power: Expr) -> None:
    """exp(-j v) sigmoid(v)^m = sigmoid(v)^(m - j) sigmoid(-v)^j."""
    v, other = base.args[0], sigmoid(-base.args[0])
    exponentials = {b: p * log(b) for b, p in factors.items() if isinstance(b, exp) or b is S.Exp1}
    total = Add(*exponentials.values())
    for j in range(int(power), 0, -1):
        rest = sympy.expand(total + j * v)
        if not rest.free_symbols:
            for b in exponentials:
                del factors[b]
            factors[base] -= j
            factors[other] = factors.get(other, S.Zero) + j
            factors[exp(rest)] = S.One
            return


def _log(expr: Expr) -> Expr:
    inner = expr.args[0]
    factor, base = inner.as_coeff_Mul()
    if factor.is_positive and factor != 1:
        return log(factor) + _log(log(base)) if isinstance(log(base), log) else expr
    if isinstance(inner, sigmoid):
        return -softplus(-inner.args[0])
    if isinstance(inner, cosh):
        return logcosh(inner.args[0])
    if not isinstance(inner, Add):
        return expr
    if found := _one_plus_exp(inner):
        return log(found[0]) + softplus(found[1])
    number, terms, rest = _exponential_terms(inner)
    if len(terms) == 2 and number == 0 and not rest and all(factor.is_positive for factor in terms.values()):
        (u, c), (v, d) = terms.items()
        return u + log(c) + softplus(v - u + log(d / c))
    if number == 1:
        return log1p(inner - 1)
    return expr


def _tanh(expr: Expr) -> Expr:
    inner = expr.args[0]
    return tanh_softplus(inner.args[0]) if isinstance(inner, softplus) else expr


_RULES = {Add: _add, Pow: _pow, Mul: _mul, log: _log, tanh: _tanh}
