"""Training a group of networks: what a worker does, be it a thread, a process or another machine."""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from .. import engine, schedules
from ..interruption import Stopped, check, stopped_by
from ..network import MLP
from ..optimizers import Optimizer
from ..rows import Rows
from .jobs import Group
from .problem import BY_LOSS
from .together import train_together
from .work import WholeSchedule, Work, badness, failure, numbers, stops

__all__ = ["Done", "train"]


@dataclass(frozen=True)
class Done:
    """What came of a group.

    Attributes
    ----------
    outcomes : tuple of dict
        For each network its numbers: seconds, epochs, train_loss, train_metric, val_loss, val_metric, stopped, error and
        curves.
    networks : dict
        Trained networks by their place in the group, as many as were asked for.
    """

    outcomes: tuple[dict[str, Any], ...]
    networks: dict[int, MLP]


def train(work: Work, group: Group, X: NDArray, y: NDArray, weight: NDArray, train_rows: Any, held_rows: Any) -> Done | None:
    """Train a group's networks; None if that was interrupted.

    Parameters
    ----------
    work : Work
    group : Group
    X, y, weight : arrays
        All rows of the sweep. They come by themselves, not inside `work`, so that joblib's backends ship them once.
    train_rows, held_rows : slice or array
        Which of them are trained on and held back; None holds none back.
    """
    data = work.rows(Rows(X, y, weight), train_rows, held_rows)
    stop = stops.get(work.stop)
    try:
        with stopped_by(*([] if stop is None else [stop])), contextlib.nullcontext() if work.use_threads else engine.alone():
            check()
            return _train(work, group, *data)
    except Stopped:
        return None


def _train(work: Work, group: Group, rows: Rows, held: Rows | None) -> Done:
    """Train a group; one network's trouble must not cost the others their results."""
    try:
        return (_together if group.together else _single)(work, group, rows, held)
    except Exception as error:
        if len(group.networks) == 1:
            return Done((failure(error),), {})
    parts = [_train(work, group.one(i), rows, held) for i in range(len(group.networks))]
    networks = {i: part.networks[0] for i, part in enumerate(parts) if part.networks}
    outcomes = tuple(part.outcomes[0] for part in parts)
    return Done(outcomes, {i: networks[i] for i in _chosen(work, group, outcomes, list(networks))})


def _chosen(work: Work, group: Group, outcomes: Any, places: list[int]) -> list[int]:
    """Return the places of the networks that the sweep goes on with or keeps."""
    if work.keep < 0:
        return places
    return sorted(places, key=lambda i: (*badness(outcomes[i], work.metric), group.networks[i].order()))[: work.keep]


def _together(work: Work, group: Group, rows: Rows, held: Rows | None) -> Done:
    outcomes, population, places = train_together(work, group, rows, held)
    networks: dict[int, MLP] = {}
    for i in _chosen(work, group, outcomes, places) if population is not None else ():
        assert population is not None
        networks[i] = _finished(population[places.index(i)], group.networks[i].setting.optimizer)
    return Done(tuple(outcomes), networks)


def _single(work: Work, group: Group, rows: Rows, held: Rows | None) -> Done:
    """Train a group of one large network, or of one whose optimizer is not for populations."""
    began = time.perf_counter()
    (network,) = group.networks
    setting = network.setting
    optimizer: Any = setting.optimizer
    monitors = work.monitors(optimizer, held)
    if hasattr(optimizer, "lr"):
        optimizer = replace(optimizer, lr=WholeSchedule(schedules.resolve(optimizer.lr), work.epochs))
        if optimizer.scheduled:
            optimizer = replace(optimizer, weight_decay=WholeSchedule(optimizer.weight_decay, work.epochs))
    net = work.network(network, rows.x.shape[1], None if group.states is None else group.states[0])
    before = 0 if net.history is None else len(net.history)
    # The validation loss after each epoch costs as much as a part of the training: only where somebody looks at it.
    looked_at = held if work.curves or monitors else None
    X, y, weight = rows.given()
    try:
        history = net.fit(
            X, y, epochs=group.epochs - before, batch_size=setting.batch_size, optimizer=optimizer, progress=False,
            sample_weight=weight, validation=None if looked_at is None else looked_at.given(),
            early_stopping=None if held is None else work.early_stopping, metrics=work.metrics(monitors), on_divergence="raise",
        )  # fmt: skip
    except ArithmeticError as error:
        return Done((failure(error) | {"seconds": time.perf_counter() - began, "stopped": "diverged"},), {})
    outcome = numbers(history.loss, history.val_loss, history.stopped) | {"error": None}
    for name, data in (("train", rows), ("val", held)):
        loss = value = math.nan
        if data is not None:
            loss = net.loss(*data.given())
            value = loss if work.metric == BY_LOSS else work.metric(data.y, net.predict(data.x), data.weight)
        outcome |= {f"{name}_loss": loss, f"{name}_metric": value}
    outcome["seconds"] = time.perf_counter() - began
    return Done((outcome,), {0: _finished(net, setting.optimizer)} if work.keep else {})


def _finished(net: MLP, optimizer: Optimizer) -> MLP:
    """Return a network with the optimizer that the user knows."""
    net._state.optimizer = optimizer
    return net
