"""Training the networks of a group as one population."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from ..errors import DivergenceError
from ..network import MLP
from ..optimizers import Stepping
from ..population import Population
from ..rows import Rows
from ..schedules import Schedule
from .jobs import Group
from .problem import BY_LOSS
from .work import WholeSchedule, Work, failure, numbers

__all__ = ["train_together"]

# So many predicted numbers are in memory at a time.
_MOST_PREDICTED = 1 << 22


def train_together(
    work: Work, group: Group, rows: Rows, held: Rows | None
) -> tuple[list[dict[str, Any]], Population | None, list[int]]:
    """Return each network's outcome, the population of those that have a result, and their places in the group."""
    began = time.perf_counter()
    states = group.states or (None,) * len(group.networks)
    nets = [work.network(network, rows.x.shape[1], state) for network, state in zip(group.networks, states, strict=True)]
    before = 0 if nets[0].history is None else len(nets[0].history)
    run = _Run(work, group, Population.of(nets))
    run.fit(rows, held, before)
    found: list[dict[str, Any]] = [run.lost.get(i, {}) for i in range(len(nets))]
    if run.places:
        judged = _judge(work, run.population, rows, held)
        curves = _curves(run, [nets[i] for i in run.places])
        for number, place in enumerate(run.places):
            found[place] = {name: values[number] for name, values in judged.items()} | curves[number] | {"error": None}
    seconds = time.perf_counter() - began
    costs = np.array([network.cost(len(rows)) for network in group.networks], float)
    for outcome, share in zip(found, costs / costs.sum(), strict=True):
        outcome["seconds"] = float(seconds * share)
    return found, run.population if run.places else None, run.places


class _Run:
    """A population in training: some networks leave it when they diverge."""

    def __init__(self, work: Work, group: Group, population: Population) -> None:
        self.work, self.group, self.population = work, group, population
        self.places = list(range(len(group.networks)))
        self.lost: dict[int, dict[str, Any]] = {}

    def fit(self, rows: Rows, held: Rows | None, before: int) -> None:
        """Train up to the group's epochs, `before` of which are done."""
        work = self.work
        optimizers = [network.setting.optimizer for network in self.group.networks]
        monitors = work.monitors(optimizers[0], held)
        looked_at = held if work.curves or monitors else None
        X, y, weight = rows.given()
        try:
            self.population.fit(
                X, y, sample_weight=weight, validation=None if looked_at is None else looked_at.given(),
                epochs=self.group.epochs - before, batch_size=self.group.networks[0].setting.batch_size,
                optimizer=_merged(optimizers, work.epochs), shuffle=work.shuffle,
                early_stopping=None if held is None else work.early_stopping, metrics=work.metrics(monitors),
                progress=False, on_divergence="raise",
            )  # fmt: skip
        except DivergenceError:
            self._leave_diverged()

    def _leave_diverged(self) -> None:
        history = self.population.history
        assert history is not None
        gone = np.array([why == "diverged" for why in history.stopped])
        for row in np.flatnonzero(gone):
            place = self.places[row]
            rate: Any = getattr(self.group.networks[place].setting.optimizer, "lr", math.nan)
            text = f"Training diverged in epoch {len(history[int(row)].loss)}: its loss or a parameter became infinite or NaN"
            self.lost[place] = failure(f"DivergenceError: {text}, with lr={rate!r}.") | {"stopped": "diverged"}
        self.places = [place for place, left in zip(self.places, gone, strict=True) if not left]
        if self.places:
            self.population = self.population.select(np.flatnonzero(~gone))


def _merged(optimizers: Sequence[Any], epochs: int) -> Stepping:
    """Return one optimizer with each network's numbers; what is no number is the same for all of them."""
    first = optimizers[0]
    changes: dict[str, Any] = {}
    for field in fields(first):
        values = [getattr(one, field.name) for one in optimizers]
        if isinstance(values[0], Schedule):
            changes[field.name] = WholeSchedule(values[0], epochs)
        elif any(value != values[0] for value in values):
            changes[field.name] = tuple(values)
    return replace(first, **changes)


def _judge(work: Work, population: Population, rows: Rows, held: Rows | None) -> dict[str, list[float]]:
    """Return losses and metrics of all networks, by their names in an outcome."""
    found: dict[str, list[float]] = {}
    for name, data in (("train", rows), ("val", held)):
        if data is None:
            found |= {f"{name}_loss": [math.nan] * len(population), f"{name}_metric": [math.nan] * len(population)}
            continue
        found[f"{name}_loss"] = population.loss(*data.given()).tolist()
        by_loss = work.metric == BY_LOSS
        found[f"{name}_metric"] = found[f"{name}_loss"] if by_loss else _measure(work, population, data)
    return found


def _measure(work: Work, population: Population, data: Rows) -> list[float]:
    """Return the metric of each network."""
    at_a_time = max(1, _MOST_PREDICTED // (len(data) * population.n_outputs))
    found: list[float] = []
    for start in range(0, len(population), at_a_time):
        rows = np.arange(start, min(start + at_a_time, len(population)))
        some = population if len(rows) == len(population) else population.select(rows)
        found += [work.metric(data.y, prediction, data.weight) for prediction in some.predict(data.x)]
    return found


def _curves(run: _Run, nets: Sequence[MLP]) -> list[dict[str, Any]]:
    """Return what each network's history says: epochs, stopped and curves."""
    history = run.population.history
    assert history is not None
    found = []
    for row, net in enumerate(nets):
        own = history[row]
        earlier: Any = net.history
        loss = (earlier.loss if earlier is not None else []) + own.loss
        val_loss = (earlier.val_loss if earlier is not None else []) + own.val_loss
        found.append(numbers(loss, val_loss, own.stopped))
    return found
