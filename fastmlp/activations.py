"""Activations: name -> the engines' number for it, its formula, and the initial weights that suit it.

Examples
--------
>>> import fastmlp as fm
>>> list(fm.activations.ACTIVATIONS)[:8]
['identity', 'relu', 'leaky_relu', 'elu', 'selu', 'gelu', 'gelu_tanh', 'silu']
>>> list(fm.activations.ACTIVATIONS)[8:]
['mish', 'softplus', 'tanh', 'sigmoid', 'hard_sigmoid', 'hard_swish', 'softmax', 'exp']
>>> fm.activations.ACTIVATIONS["silu"].formula
'x / (1 + exp(-x))'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import checks
from .reference import ids

__all__ = ["ACTIVATIONS", "ALIASES", "Activation", "canonical", "lookup"]


@dataclass(frozen=True)
class Activation:
    """One activation function.

    Attributes
    ----------
    name : str
        What users write.
    id : int
        Its number in ``reference/ids.py`` and ``kernels/ids.py``.
    formula : str
        f(x), for people.
    init : str
        Family of initial weights that ``init="auto"`` takes: "he", "lecun" or "glorot".
    hidden : bool
        Whether hidden layers may have it; False for those made for outputs.
    source : str
        Where it comes from.
    """

    name: str
    id: int
    formula: str
    init: str
    hidden: bool = True
    source: str = ""

    def __str__(self) -> str:
        """Return its name."""
        return self.name

    def spec(self) -> Any:
        """Return what specs and files hold of it, which :func:`lookup` takes: its name."""
        return self.name


ACTIVATIONS: dict[str, Activation] = {
    a.name: a
    for a in (
        Activation("identity", ids.IDENTITY, "x", "glorot", source="the linear unit"),
        Activation("relu", ids.RELU, "max(x, 0)", "he", source="Nair & Hinton 2010"),
        Activation("leaky_relu", ids.LEAKY_RELU, "x if x > 0 else 0.01 x", "he", source="Maas, Hannun & Ng 2013"),
        Activation("elu", ids.ELU, "x if x > 0 else exp(x) - 1", "he", source="Clevert, Unterthiner & Hochreiter 2016"),
        Activation("selu", ids.SELU, "1.0507009873554805 (x if x > 0 else 1.6732632423543772 (exp(x) - 1))", "lecun",
                   source="Klambauer et al. 2017"),
        Activation("gelu", ids.GELU, "x (1 + erf(x / sqrt(2))) / 2", "he", source="Hendrycks & Gimpel 2016"),
        Activation("gelu_tanh", ids.GELU_TANH, "x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2", "he",
                   source="Hendrycks & Gimpel 2016, the approximation"),
        Activation("silu", ids.SILU, "x / (1 + exp(-x))", "he",
                   source="Elfwing, Uchibe & Doya 2018; Ramachandran, Zoph & Le 2017 (swish)"),
        Activation("mish", ids.MISH, "x tanh(log(1 + exp(x)))", "he", source="Misra 2020"),
        Activation("softplus", ids.SOFTPLUS, "log(1 + exp(x))", "he", source="Dugas et al. 2001"),
        Activation("tanh", ids.TANH, "tanh(x)", "glorot", source="LeCun et al. 1998"),
        Activation("sigmoid", ids.SIGMOID, "1 / (1 + exp(-x))", "glorot", source="the logistic function"),
        Activation("hard_sigmoid", ids.HARD_SIGMOID, "min(max(x / 6 + 1 / 2, 0), 1)", "glorot",
                   source="Courbariaux, Bengio & David 2015; this slope: Howard et al. 2019"),
        Activation("hard_swish", ids.HARD_SWISH, "x min(max(x / 6 + 1 / 2, 0), 1)", "he", source="Howard et al. 2019"),
        Activation("softmax", ids.SOFTMAX, "exp(x_i) / sum_j exp(x_j)", "glorot", hidden=False, source="Bridle 1990"),
        Activation("exp", ids.EXP, "exp(x)", "glorot", hidden=False, source="the inverse link of Poisson regression"),
    )
}  # fmt: skip

ALIASES: dict[str, str] = {"swish": "silu", "linear": "identity", "logistic": "sigmoid"}


def lookup(name: Any, argument: str = "activation") -> Activation:
    """Return the activation called `name`, or by an alias of it.

    Parameters
    ----------
    name : str, Activation or dict
        A key of `ACTIVATIONS` or `ALIASES`; what :func:`fastmlp.activation` returned; or the `spec` of that.
    argument : str
        What the caller's argument is called, for the message.

    Raises
    ------
    ValueError
        If there is none of that name; the message has the nearest ones.
    TypeError
        If `name` is none of these.

    Examples
    --------
    >>> lookup("swish").formula
    'x / (1 + exp(-x))'
    """
    if isinstance(name, str) and name in ACTIVATIONS:  # first, since every layer asks
        return ACTIVATIONS[name]
    if isinstance(name, Activation):
        return name
    if isinstance(name, Mapping):
        from .symbolic.custom import from_spec

        return from_spec(name)
    if callable(name):
        raise TypeError(f"{argument} is a function, {name!r}. Make an activation of it first: fm.activation(function).")
    if isinstance(name, str) and name in ALIASES:
        return ACTIVATIONS[ALIASES[name]]
    return ACTIVATIONS[checks.choice(argument, name, (*ACTIVATIONS, *ALIASES))]


def canonical(name: Any, argument: str = "activation") -> str | Activation:
    """Return the one form in which layers keep an activation: the full name of a built-in one, others as they are.

    Examples
    --------
    >>> canonical("swish")
    'silu'
    """
    found = lookup(name, argument)
    return found.name if ACTIVATIONS.get(found.name) is found else found
