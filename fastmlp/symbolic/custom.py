"""Activations that are not built in, and the numbers that engines know them by in this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .. import engine
from ..activations import ACTIVATIONS, ALIASES, Activation
from ..reference.ids import FIRST_CUSTOM, MOST_CUSTOM
from .tree import Tree, checked, program, text, to_json

__all__ = ["INITS", "Custom", "Formula", "Functions", "check_name", "default_name", "formula", "from_spec", "functions"]

_LONGEST_NAME = 60
INITS = ("he", "lecun", "glorot")
_known: dict[Any, Custom] = {}
_lock = threading.Lock()


def _forget_lock() -> None:
    """Another thread may have held it when this process was forked."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)


@dataclass(frozen=True, repr=False)
class Custom(Activation):
    """An activation that is not built in. There is one object for each in a process; its id holds there only."""

    def __repr__(self) -> str:
        """Return its name and formula."""
        return f"<activation {self.name}: {self.formula}>"

    def __copy__(self) -> Custom:
        """Return itself."""
        return self

    def __deepcopy__(self, memo: dict) -> Custom:
        """Return itself."""
        return self


@dataclass(frozen=True, repr=False)
class Formula(Custom):
    """One that has a formula.

    Attributes
    ----------
    value, slope : Tree
        f and f'; see ``symbolic/tree.py``.
    """

    value: Tree = None
    slope: Tree = None

    def __reduce__(self) -> tuple:
        """Pickle as what a file would hold."""
        return from_spec, (self.spec(),)

    def spec(self) -> dict[str, Any]:
        """Return what a file holds of it: plain values."""
        return {"name": self.name, "init": self.init, "value": to_json(self.value), "slope": to_json(self.slope)}


@dataclass(frozen=True, repr=False)
class Functions(Custom):
    """One that is a pair of Python functions.

    Attributes
    ----------
    f, df : callable
        The function and its derivative.
    """

    f: Callable | None = None
    df: Callable | None = None

    def __reduce__(self) -> tuple:
        """Pickle by its functions, which must be importable by name."""
        return functions, (self.name, self.init, self.f, self.df)

    def spec(self) -> dict[str, Any]:
        """Refuse, since a file holds no code."""
        raise ValueError(
            f"activation {self.name!r} is a pair of Python functions, and files hold no code. Make it from a formula to save "
            "networks with it: fm.activation(lambda x: ...) with SymPy's functions."
        )


def check_name(name: Any) -> None:
    """Raise ValueError if `name` cannot be the name of an activation that is not built in."""
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= 80:
        raise ValueError(f"an activation's name must be a text of up to 80 characters in one line; got {str(name)[:80]!r}.")
    if name in ACTIVATIONS or name in ALIASES:
        raise ValueError(f"name={name!r} is a built-in activation's. Choose another one.")


def default_name(f: Any, formula: str) -> str:
    """Return a function's name if it has one that is free, else the formula, shortened."""
    name = getattr(f, "__name__", "<lambda>")
    if name == "<lambda>":
        name = formula
    elif name in ACTIVATIONS or name in ALIASES:
        name = f"{name}(x)"
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."


def _register(key: Any, make: Callable[[int], Custom], define: Callable[[int], None]) -> Custom:
    """Return the activation of that key; the first time, make it with a new number and tell the engines.

    Raises
    ------
    ValueError
        If there are too many already.
    """
    with _lock:
        if key not in _known:
            if len(_known) == MOST_CUSTOM:
                raise ValueError(f"there are {MOST_CUSTOM} activations of your own already. Use the objects that you have.")
            number = FIRST_CUSTOM + len(_known)
            define(number)
            _known[key] = make(number)
        return _known[key]


def formula(name: str, init: str, value: Tree, slope: Tree) -> Formula:
    """Return the activation with these trees.

    Examples
    --------
    >>> formula("cube", "glorot", ("pow", "z", 3.0), ("mul", 3.0, ("pow", "z", 2.0)))
    <activation cube: x ** 3>
    """
    made = _register(
        (name, init, value, slope),
        lambda number: Formula(name, number, text(value), init, value=value, slope=slope),
        lambda number: engine.define(number, "define", *program(value, slope)),
    )
    assert isinstance(made, Formula)
    return made


def functions(name: str, init: str, f: Callable, df: Callable) -> Functions:
    """Return the activation with these functions."""
    made = _register(
        (name, init, f, df),
        lambda number: Functions(name, number, f"{_called(f)}(x)", init, f=f, df=df),
        lambda number: engine.define(number, "define_functions", f, df),
    )
    assert isinstance(made, Functions)
    return made


def _called(f: Any) -> str:
    name = getattr(f, "__name__", type(f).__name__)
    return "f" if name == "<lambda>" else name


def from_spec(spec: Mapping[str, Any]) -> Formula:
    """Return the activation that :meth:`Formula.spec` described. Nothing in it is executed.

    Raises
    ------
    ValueError
        If it is not such a description.
    """
    if set(spec) != {"name", "init", "value", "slope"}:
        raise ValueError(
            f"an activation as a dict has the keys 'name', 'init', 'value' and 'slope'; got {sorted(map(str, spec))}"
        )
    name, init = spec["name"], spec["init"]
    check_name(name)
    if not isinstance(init, str) or init not in INITS:
        raise ValueError(f"the activation {name!r} has init={str(init)[:80]!r}, not one of {', '.join(INITS)}")
    return formula(name, init, checked(spec["value"]), checked(spec["slope"], with_value=True))
