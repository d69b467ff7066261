"""The arguments of ``fit``, checked before any work: data, what is held back of it, and everything else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import arrays, checks, optimizers, weighting
from . import metrics as metric_table
from .callbacks import EarlyStopping, as_callbacks
from .data import split
from .errors import counted, shown
from .metrics import Metric
from .optimizers import Optimizer
from .progress import bar as progress_bar
from .rows import Rows
from .schedules import Plateau, Schedule
from .stepping import Stepping, check_blind

if TYPE_CHECKING:
    from .network import MLP

__all__ = ["Options", "TrainingData", "given_data", "parted", "prepare", "share"]


@dataclass(frozen=True)
class TrainingData:
    """What a fit trains on, and what it is validated on."""

    train: Rows
    validation: Rows | None


def given_data(validation: Any) -> tuple[Any, Any, Any] | None:
    """Return X, y and sample weights of the argument `validation`, or None if it is a fraction."""
    if not isinstance(validation, (tuple, list)):
        return None
    if len(validation) not in (2, 3):
        raise ValueError(
            f"validation must be a fraction, (X, y) or (X, y, sample_weight); got {counted(len(validation), 'part')}."
        )
    return validation[0], validation[1], validation[2] if len(validation) == 3 else None


def share(validation: Any, pairs: str) -> float:
    """Return the argument `validation` as a fraction of the rows; `pairs` says what else it takes."""
    try:
        return checks.real("validation", validation, 0.0, 1.0, open_low=True, open_high=True)
    except TypeError:
        came = f"{shown(validation)} ({type(validation).__name__})"
        raise TypeError(f"validation must be a fraction > 0 and < 1, or {pairs}; got {came}.") from None


def parted(rows: Any, y: NDArray, fraction: Any, kind: str, n_outputs: int, seed: int) -> tuple[Any, Any]:
    """Part rows, of one network or a population, into those to train on and a fraction held back; by classes if `y` has any."""
    fraction = share(fraction, "(X, y) or (X, y, sample_weight)")
    classes = kind == "classes" or (kind == "binary" and n_outputs == 1 and bool(np.isin(y, (0, 1)).all()))
    kept, held = split(y, fraction, classes=classes, seed=seed & (2**64 - 1))
    if held.size == 0 or kept.size == 0:
        raise ValueError(
            f"validation={fraction} of {counted(len(rows), 'row')} leaves {kept.size} to train on and {held.size} to validate "
            "on. Pass another fraction, or validation=(X, y)."
        )
    train, held_back = rows.take(kept), rows.take(held)
    for part, name in ((train, "training"), (held_back, "validation")):
        if part.weight.size and (part.weight.max(axis=-1) == 0.0).any():
            of = " of a network" if part.weight.ndim > 1 else ""
            raise ValueError(f"all {name} rows{of} have sample_weight 0. Pass another fraction, or validation=(X, y).")
    return train, held_back


def prepare(
    net: MLP, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, class_weight: Any, validation: Any
) -> TrainingData:
    """Check the data of a fit and part it into training and validation rows; arguments as in ``MLP.fit``."""
    kind, k = net.loss_spec.kind, net.plan.n_outputs

    def rows(X: Any, y: Any, weight: Any, name: str = "") -> Rows:
        x = net.plan.inputs(X, net.dtype, f"{name}X")
        t = arrays.targets(y, x.shape[0], k, kind, net.dtype, f"{name}y")
        return Rows(x, t, weighting.sample_weight(weight, x.shape[0], net.dtype, f"{name}sample_weight"))

    def by_class(part: Rows) -> Rows:
        if class_weight is None and part.weight.size == 0:
            return part
        weight = part.weight if part.weight.size else None
        return Rows(part.x, part.y, weighting.combined_weight(weight, class_weight, part.y, k, kind, net.dtype))

    everything = rows(X, y, sample_weight)
    if validation is None:
        return TrainingData(by_class(everything), None)
    given = given_data(validation)
    if given is not None:
        return TrainingData(by_class(everything), rows(*given, "validation "))
    train, held_back = parted(everything, everything.y, validation, kind, k, net.seed)
    return TrainingData(by_class(train), held_back)


class Options:
    """The checked arguments of ``MLP.fit``, where each is explained."""

    def __init__(
        self,
        *,
        epochs: Any,
        batch_size: Any,
        optimizer: Any,
        shuffle: Any,
        drop_last: Any = False,
        metrics: Any,
        early_stopping: Any,
        callbacks: Any,
        progress: Any,
        on_divergence: Any,
        networks: int | None = None,
        dropout_schedule: Any = None,
    ) -> None:
        self.epochs = checks.integer("epochs", epochs, 0)
        self.batch_size = None if batch_size is None else checks.integer("batch_size", batch_size, 1)
        self.optimizer: Optimizer = optimizers.resolve(optimizer, networks=networks)
        self.dropout_schedule = self._dropout_schedule(dropout_schedule)
        self.shuffle = checks.flag("shuffle", shuffle)
        self.drop_last = checks.flag("drop_last", drop_last)
        one = isinstance(metrics, str) or callable(metrics) or not isinstance(metrics, Iterable)
        given = [] if metrics is None else [metrics] if one else metrics
        self.metrics: list[Metric] = [metric_table.resolve(name) for name in given]
        self.callbacks = as_callbacks(callbacks)
        show = None if progress is None else checks.flag("progress", progress)
        self.on_divergence = checks.choice("on_divergence", on_divergence, ("warn", "raise"))
        if early_stopping is not None and not isinstance(early_stopping, EarlyStopping):
            raise TypeError(f"early_stopping must be a fm.EarlyStopping or None; got {shown(early_stopping)}.")
        self.early_stopping: EarlyStopping | None = early_stopping
        self._check_metrics()
        self.reporter = progress_bar(self.epochs, show)

    def _dropout_schedule(self, schedule: Any) -> Schedule | None:
        """Return it checked: factors that make no dropout rate higher, known before a step."""
        if schedule is None:
            return None
        if not isinstance(schedule, Schedule):
            wanted = "a schedule such as fm.schedules.FlatCosine(1.0), or None"
            raise TypeError(f"dropout_schedule must be {wanted}; got {shown(schedule)}.")
        if not isinstance(self.optimizer, Stepping):
            raise ValueError(f"dropout_schedule={schedule!r} is of no use to L-BFGS, which has no dropout. Leave it out.")
        check_blind("dropout_schedule", schedule)
        if schedule.lr > 1.0:
            raise ValueError(
                f"dropout_schedule={schedule!r} must not go above 1: dropout rates are multiplied by its rates. Give it lr=1.0 "
                "and the layers their highest rates."
            )
        return schedule

    def _check_metrics(self) -> None:
        """Raise if two curves of the history would have one name."""
        taken = set(metric_table.OTHER_CURVES)
        for metric in self.metrics:
            if metric.name in taken:
                built_in = all(one.built_in for one in self.metrics if one.name == metric.name)
                remedy = "name it once" if built_in else "give the function another __name__, or the Metric another name"
                raise ValueError(f"metrics has a second curve called {metric.name!r}: {remedy}.")
            taken |= {metric.name, f"val_{metric.name}"}

    def check_curves(self, validation: bool, remedy: str = "Pass validation=0.1, or validation data.") -> None:
        """Raise if early stopping or the schedule watches a curve that this fit does not draw; `remedy` draws val_loss."""
        curves = ["loss", *(metric.name for metric in self.metrics)]
        if validation:
            curves += [f"val_{name}" for name in curves]
        watch = self.watch()
        for monitor in ([self.early_stopping.monitor] if self.early_stopping else []) + ([watch.monitor] if watch else []):
            if monitor not in curves:
                hint = "" if validation or not monitor.startswith("val_") else f" {remedy}"
                if monitor.removeprefix("val_") in metric_table.METRICS and monitor.removeprefix("val_") not in curves:
                    hint += f" Pass metrics=[{monitor.removeprefix('val_')!r}]."
                raise ValueError(f"monitor must be one of {', '.join(map(repr, curves))} here; got {monitor!r}.{hint}")
            self.higher_is_better(monitor)

    def check_metrics_on(self, data: TrainingData, n_outputs: int) -> None:
        """Raise if a metric of the table cannot judge predictions for these targets."""
        for metric in self.metrics:
            if not metric.built_in:
                continue  # a function of the user's own may count its calls
            for rows in filter(None, (data.train, data.validation)):
                try:
                    metric(rows.y, np.zeros((len(rows), n_outputs)), rows.weight)
                except ValueError as error:
                    raise ValueError(f"metric {metric.name!r} does not suit this network and data: {error}") from error

    def higher_is_better(self, curve: str) -> bool:
        """Whether higher values of a curve are better ones."""
        named = {metric.name: metric for metric in self.metrics}
        metric = named.get(curve.removeprefix("val_"))
        return metric is not None and metric.direction(f"early stopping by {curve!r}")

    @property
    def shows_each_epoch(self) -> bool:
        """Whether a function of the user's is to see the network after each epoch."""
        return bool(self.callbacks) or not all(metric.built_in for metric in self.metrics)

    def watch(self) -> Plateau | None:
        """Return what lowers the learning rate by what the losses do, if anything does; it has seen no epoch yet."""
        schedule = getattr(self.optimizer, "lr", None)
        return schedule.watch() if isinstance(schedule, Schedule) else None
