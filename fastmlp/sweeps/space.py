"""What a sweep tries: the settings of a grid, or as many as are asked for drawn from lists and distributions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from .. import activations, checks, optimizers
from ..activations import Activation
from ..errors import shown
from ..layers import Dense
from ..optimizers import OPTIMIZERS, Optimizer
from ..plan import Plan, make_plan
from ..schedules import Schedule

__all__ = ["SETTINGS", "LogRange", "Setting", "settings"]

# What makes two rows the same network but for the seed, in the order of a table's columns.
SETTINGS = (
    "width", "depth", "activation", "optimizer", "lr", "batch_size", "dropout", "weight_decay", "l1", "l2", "clip_norm",
)  # fmt: skip
# What is put into the optimizer, where it is not None.
_OF_OPTIMIZER = ("lr", "weight_decay", "l1", "l2", "clip_norm")


@dataclass(frozen=True)
class Setting:
    """One architecture with one way to train it; with a seed it is a network."""

    width: int
    depth: int
    activation: str | Activation
    name: str
    optimizer: Optimizer
    batch_size: int | None
    dropout: float

    def row(self) -> dict[str, Any]:
        """Return what its rows say of it, by the names of `SETTINGS`."""
        of_optimizer = {key: getattr(self.optimizer, key, math.nan if key == "lr" else None) for key in _OF_OPTIMIZER}
        own = {"width": self.width, "depth": self.depth, "activation": str(self.activation), "optimizer": self.name}
        return own | {"lr": of_optimizer.pop("lr"), "batch_size": self.batch_size, "dropout": self.dropout} | of_optimizer

    def layers(self, n_outputs: int, output: str) -> list[Dense]:
        """Return its layers."""
        hidden = [Dense(self.width, self.activation, dropout=self.dropout)] * self.depth
        return [*hidden, Dense(n_outputs, output)]

    def plan(self, n_inputs: int, n_outputs: int, output: str) -> Plan:
        """Return the layout of its networks."""
        return make_plan(n_inputs, self.layers(n_outputs, output))

    def key(self) -> tuple:
        """Return what tells networks apart: without hidden layers width, activation and dropout change nothing."""
        hidden = (self.width, self.depth, self.activation, self.dropout) if self.depth else (0, 0, "", 0.0)
        return (*hidden, self.optimizer, self.batch_size)


@dataclass(frozen=True)
class LogRange:
    """Numbers from `low` to `high` with equal chances for equal ratios; whole ones if both ends are."""

    low: float
    high: float

    def rvs(self, size: Any = None, random_state: Any = None) -> Any:
        """Return one of them, as SciPy's distributions do."""
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        ends = np.log([self.low, self.high + 1 if whole else self.high])
        drawn = np.exp(random_state.uniform(*ends, size=size))
        return np.minimum(drawn.astype(np.int64), self.high) if whole else drawn


def _hidden(value: Any) -> str | Activation:
    found = activations.canonical(value)
    make_plan(1, [Dense(2, found), Dense(1, "identity")])  # refuses the ones for outputs only
    return found


def _batch(value: Any) -> int | None:
    return None if value is None else checks.integer("batch_size", value, 1)


def _rate(value: Any) -> Any:
    return value if value is None or isinstance(value, Schedule) else checks.real("lr", value, 0.0, open_low=True)


def _penalty(name: str) -> Callable[[Any], float | None]:
    return lambda value: None if value is None else checks.real(name, value, 0.0)


# The axes, in the order in which rows vary (the last one fastest), each with the check of one value of it.
_AXES: dict[str, Callable[[Any], Any]] = {
    "widths": lambda value: checks.integer("widths", value, 1),
    "depths": lambda value: checks.integer("depths", value, 0),
    "activation": _hidden,
    "optimizer": lambda value: value if isinstance(value, str) else optimizers.resolve(value),
    "batch_size": _batch,
    "dropout": lambda value: checks.real("dropout", value, 0.0, 1.0, open_high=True),
    "weight_decay": _penalty("weight_decay"),
    "l1": _penalty("l1"),
    "l2": _penalty("l2"),
    "clip_norm": lambda value: None if value is None else checks.real("clip_norm", value, 0.0, open_low=True),
    "lr": _rate,
}


def settings(space: dict[str, Any], n_trials: int | None, trials_seed: int) -> list[Setting]:
    """Return the settings to try, each once.

    Parameters
    ----------
    space : dict
        For each axis a value, several, or a distribution with a method ``rvs``, as SciPy's have.
    n_trials : int or None
        How many to draw; None takes all combinations.
    trials_seed : int
        Of the draws.

    Raises
    ------
    TypeError, ValueError
        An axis is empty, a value is out of its range, or there are distributions but not `n_trials`.
    """
    axes = {name: _axis(name, space[name]) for name in _AXES}
    drawn = [name for name, axis in axes.items() if not isinstance(axis, list)]
    if n_trials is not None:
        return _draw(axes, checks.integer("n_trials", n_trials, 1), trials_seed, bool(drawn))
    if drawn:
        raise ValueError(f"{drawn[0]} is a distribution, of which there is no grid. Pass n_trials=50, say, or a list.")
    if checks.integer("trials_seed", trials_seed, 0, 2**32 - 1) != 0:
        raise ValueError(f"trials_seed={trials_seed} is for n_trials. Pass n_trials=50, say, or leave trials_seed out.")
    cells = (dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values()))
    return list(dict.fromkeys(_setting(cell) for cell in cells))


def _axis(name: str, values: Any) -> Any:
    """Return an axis as a list of checked values, each once; a distribution as it is."""
    if hasattr(values, "rvs"):
        return values
    if isinstance(values, np.ndarray) and values.ndim == 0:
        values = values.item()
    if values is None or isinstance(values, (str, Real, Optimizer, Schedule, Activation)):
        values = [values]
    if isinstance(values, type) or not isinstance(values, Iterable):
        if name == "optimizer":
            optimizers.resolve(values)  # says what an optimizer is
        raise TypeError(f"{name} must be a value, a list of them or a distribution; got {shown(values)}.")
    # A value given twice would count twice in the means over seeds.
    found = list(dict.fromkeys(_AXES[name](value) for value in values))
    if not found:
        raise ValueError(f"{name} is empty, so there is nothing to train. Pass at least one value.")
    return found


def _setting(cell: dict[str, Any]) -> Setting:
    """Return the setting of one value for each axis."""
    spec = cell["optimizer"]
    optimizer = optimizers.resolve(spec, cell["lr"])
    optimizer = optimizers.changed(optimizer, **{key: cell[key] for key in _OF_OPTIMIZER[1:]})
    name = spec if isinstance(spec, str) else _name_of(spec)
    return Setting(cell["widths"], cell["depths"], cell["activation"], name, optimizer, cell["batch_size"], cell["dropout"])


def _name_of(optimizer: Optimizer) -> str:
    """Return a name for an optimizer that came as an object: its own, and what it has beside what other columns show."""
    kind = type(optimizer)
    plain: Any = kind()
    shown = [
        f"{key}={value!r}"
        for key, value in vars(optimizer).items()
        if key not in _OF_OPTIMIZER and value != getattr(plain, key)
    ]
    short = next((name for name, made in OPTIMIZERS.items() if made is kind), kind.__name__)
    return f"{short}({', '.join(shown)})" if shown else short


def _draw(axes: dict[str, Any], n_trials: int, seed: int, with_repeats: bool) -> list[Setting]:
    """Return `n_trials` different settings, or all of them if there are not so many."""
    from sklearn.model_selection import ParameterSampler

    if with_repeats:
        # Whole numbers from a small range come again: draw on, but not for ever.
        most = 20 * n_trials
    else:
        most = min(n_trials, math.prod(len(axis) for axis in axes.values()))
    found: dict[Setting, None] = {}
    for cell in ParameterSampler(axes, most, random_state=checks.integer("trials_seed", seed, 0, 2**32 - 1)):
        found.setdefault(_setting({name: _AXES[name](_plain(value)) for name, value in cell.items()}))
        if len(found) == n_trials:
            break
    return list(found)


def _plain(value: Any) -> Any:
    """Return a NumPy number as Python's."""
    return value.item() if isinstance(value, np.generic) else value
