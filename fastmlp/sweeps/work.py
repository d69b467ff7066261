"""What the trainings of a sweep have in common, and how they are ended from outside."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import schedules, weighting
from ..callbacks import EarlyStopping
from ..losses import LossSpec
from ..metrics import Metric
from ..network import MLP
from ..reference import ids
from ..rows import Rows
from ..schedules import Span
from .jobs import Network
from .problem import BY_LOSS

__all__ = ["WholeSchedule", "Work", "badness", "failure", "numbers", "stops"]

# Events that end trainings of this process, by the name that the work knows them by; elsewhere there is none of that name.
stops: dict[str, threading.Event] = {}


@dataclass(frozen=True)
class WholeSchedule(schedules.Schedule):
    """A schedule that goes by the whole training, of which a fit may be a part."""

    lr: schedules.Schedule  # type: ignore[assignment]
    epochs: int

    def __post_init__(self) -> None:
        """Take the schedule as it is: it has been checked."""

    def rates(self, steps, span):
        """Return the schedule's rates."""
        return self.lr.rates(steps, Span(0, self.epochs * span.steps_per_epoch, span.steps_per_epoch))

    def watch(self):
        """Return what the schedule watches."""
        return self.lr.watch()


@dataclass(frozen=True)
class Work:
    """What is the same for all groups of a sweep.

    Attributes
    ----------
    output, loss, n_outputs, metric, dtype
        What networks have in common.
    epochs : int
        Of the whole training, by which schedules go.
    shuffle : {"shared", "each"}
        Whether all networks see the rows in one order, or each in its seed's.
    early_stopping : EarlyStopping or None
    class_weight : "balanced", dict or None
        By class indices.
    curves : bool
        Whether the loss of the rows held back is taken after each epoch.
    keep : int
        So many of a group's best networks come back; -1 for all of them.
    stop : str
        The name of an event that ends it.
    use_threads : bool
        Whether a training may take all threads, since there is no other at the same time.
    """

    output: str
    loss: LossSpec
    n_outputs: int
    metric: Metric
    dtype: str
    epochs: int
    shuffle: str
    early_stopping: EarlyStopping | None
    class_weight: Any
    curves: bool
    keep: int = 0
    stop: str = ""
    use_threads: bool = False

    def network(self, network: Network, n_inputs: int, state: MLP | None) -> MLP:
        """Return a network to train: a copy of what it was after the round before, or a new one."""
        if state is not None:
            return state.copy()
        layers = [n_inputs, *network.setting.layers(self.n_outputs, self.output)]
        net = MLP(layers, loss=self.loss, dtype=self.dtype, seed=network.seed)
        if self.shuffle == "shared":
            net._state.ints[ids.SHUFFLE_SEED] = 0  # a population's, so that large networks see the same order
        return net

    def rows(self, everything: Rows, train: Any, held: Any) -> tuple[Rows, Rows | None]:
        """Return the rows to train on, with their classes' weights in theirs, and those held back, if any are."""
        rows = everything.take(train)
        own = rows.given()[2]
        kind = self.loss.kind
        weight = weighting.combined_weight(own, self.class_weight, rows.y, self.n_outputs, kind, rows.x.dtype)
        return Rows(rows.x, rows.y, weight), None if held is None else everything.take(held)

    def monitors(self, optimizer: Any, held: Any) -> list[str]:
        """Return the curves that early stopping and the learning rate go by."""
        found = [self.early_stopping.monitor] if self.early_stopping is not None and held is not None else []
        rate = getattr(optimizer, "lr", None)
        watch = rate.watch() if isinstance(rate, schedules.Schedule) else None
        return found + ([watch.monitor] if watch is not None else [])

    def metrics(self, monitors: Sequence[str]) -> list[Metric]:
        """Return what has to be computed after each epoch for them."""
        if self.metric == BY_LOSS:
            return []
        return [self.metric] if self.metric.name in (name.removeprefix("val_") for name in monitors) else []


def failure(error: BaseException | str) -> dict[str, Any]:
    """Return the outcome of a network that has no result."""
    text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    nothing = dict.fromkeys(("seconds", "train_loss", "train_metric", "val_loss", "val_metric"), math.nan)
    return {**nothing, "epochs": 0, "stopped": "error", "error": text, "curves": {}}


def numbers(loss: Sequence[float], val_loss: Sequence[float], stopped: str) -> dict[str, Any]:
    """Return what an outcome says of a history."""
    curves = {"loss": _short(loss)} | ({"val_loss": _short(val_loss)} if len(val_loss) else {})
    return {"epochs": len(loss), "stopped": stopped, "curves": curves}


def _short(curve: Sequence[float]) -> list[float]:
    """Return a curve to six digits, which is what a picture needs."""
    values = np.asarray(curve, float)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        scale = 10.0 ** (5 - np.floor(np.log10(np.abs(values))))
        return np.where(np.isfinite(scale), np.round(values * scale) / scale, values).tolist()


def badness(outcome: dict[str, Any], metric: Metric) -> tuple[float, float]:
    """Return what is lower for better outcomes: the metric first, then the loss."""
    value, loss = outcome["val_metric"], outcome["val_loss"]
    bad = math.inf if math.isnan(value) else -value if metric.higher_is_better else value
    return bad, math.inf if math.isnan(loss) else loss
