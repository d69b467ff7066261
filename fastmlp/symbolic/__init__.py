"""Activations of the user's own: from SymPy expressions, and from pairs of functions."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

from ..activations import Activation
from ..checks import choice
from ..errors import PrecisionWarning, warn
from .custom import INITS, Custom, Formula, Functions, check_name

__all__ = ["Custom", "Formula", "Functions", "activation"]


def activation(f: Any, df: Callable | None = None, *, name: str | None = None, init: str | None = None) -> Activation:
    """Make an activation from a formula, or from a function and its derivative.

    A formula is differentiated by SymPy, rewritten so that it does not overflow where it need not, and checked in both
    precisions against a hundred digits from -10,000 to 10,000. Networks with it can be saved; a file holds the formula as a
    tree of operations.

    Parameters
    ----------
    f : callable or sympy.Expr
        A function of a SymPy symbol, such as ``lambda x: x / (1 + sympy.exp(-x))``, or an expression with one symbol. With
        `df`, a function of a number or of an array: one of NumPy's own ufuncs, such as ``np.sin``, or what ``numba.njit`` can
        compile. Any other function needs ``fm.use_engine("numpy")`` first. It must come to an end for any number: vectors may
        hold more than a layer has.
    df : callable, optional
        The derivative of a function `f` that is not SymPy's. A network with such a pair cannot be saved.
    name : str, optional
        What it is called in summaries; by default the function's name, or the formula.
    init : {"he", "lecun", "glorot"}, optional
        Family of initial weights that ``init="auto"`` takes; by default "he" for what grows on one side alone, as relu
        does, else "glorot".

    Returns
    -------
    Activation
        For ``fm.MLP(activation=...)``, ``output=``, ``fm.Dense`` and whatever else takes an activation's name.

    Raises
    ------
    ImportError
        If a formula comes and SymPy is not installed.
    TypeError, ValueError
        If `f` gives no formula of x, or one with functions that activations do not have; if Numba, as the engine, cannot
        compile `f` or `df`; or if `name` is a built-in's.

    Warns
    -----
    PrecisionWarning
        If f or f' is wrong somewhere, or no real number; or `df` is not what `f`'s differences say.

    Examples
    --------
    >>> import sympy
    >>> import fastmlp as fm
    >>> swish = fm.activation(lambda x: x / (1 + sympy.exp(-x)), name="my_swish")
    >>> swish
    <activation my_swish: x * sigmoid(x)>
    >>> fm.MLP([2, 8, 1], activation=swish, output="sigmoid")
    <MLP [2, 8, 1] my_swish, sigmoid; bce; 33 parameters, float32>
    """
    if isinstance(f, Activation):
        return f
    if init is not None:
        choice("init", init, INITS)
    if name is not None:
        check_name(name)
    if df is not None:
        from .functions import from_functions

        return from_functions(f, df, name, init)
    if importlib.util.find_spec("sympy") is None:
        raise ImportError("a formula needs SymPy: pip install fastmlp[symbolic]. A pair (f, df) of functions works without it.")
    from .formula import from_formula

    made, problems = from_formula(f, name, init)
    if problems:
        listed = "; ".join(map(str, problems[:4])) + (f"; and {len(problems) - 4} more" if len(problems) > 4 else "")
        warn(
            f"activation {made.name!r}: {listed}. Keep its inputs out of there, or write the formula another way.",
            PrecisionWarning,
        )
    return made
