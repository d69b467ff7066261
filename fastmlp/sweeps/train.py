"""Training a group of networks: what a worker does, be it a thread, a process or another machine."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import engine, schedules
from ..callbacks import EarlyStopping
from ..losses import LossSpec
from ..metrics import Metric
from ..schedules import Span
from .jobs import Group, Network

if TYPE_CHECKING:
    from ..network import MLP

__all__ = ["Done", "Stopped", "Work", "failure", "stops", "train"]

# Events that end trainings of this process, by the name that the work knows them by; elsewhere there is none of that name.
stops: dict[str, threading.Event] = {}


def _stopping(name: str) -> bool:
    event = stops.get(name)
    return event is not None and event.is_set()


class Stopped(BaseException):
    """Ends a training on another thread than the one that Ctrl-C reaches."""


@dataclass(frozen=True)
class Work:
    """What is the same for all groups of a sweep.

    Attributes
    ----------
    output, loss, n_outputs, metric, dtype
        What networks have in common.
    epochs : int
        Of the whole training, by which learning-rate schedules go.
    early_stopping : EarlyStopping or None
    curves : bool
        Whether the loss of the rows held back is taken after each epoch.
    keep : int
        So many of a group's best networks come back; -1 for all of them.
    stop : str
        The name of an event that ends it.
    """

    output: str
    loss: LossSpec
    n_outputs: int
    metric: Metric
    dtype: str
    epochs: int
    early_stopping: EarlyStopping | None
    curves: bool
    keep: int
    stop: str
    use_threads: bool


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
    networks: dict[int, Any]


def train(work: Work, group: Group, X: NDArray, y: NDArray, train_rows: Any, held_rows: Any) -> Done | None:
    """Train a group's networks; None if that was interrupted.

    Parameters
    ----------
    work : Work
    group : Group
    X, y : arrays
        All rows of the sweep. They come by themselves, not inside `work`, so that joblib's backends ship them once.
    train_rows, held_rows : slice or array
        Which of them are trained on and held back; None holds none back.
    """
    if _stopping(work.stop):
        return None
    train_X, train_y = X[train_rows], y[train_rows]
    held = None if held_rows is None else (X[held_rows], y[held_rows])
    outcomes, nets = [], {}
    try:
        for i, network in enumerate(group.networks):
            state = None if group.states is None else group.states[i]
            outcome, net = _train_one(work, group, network, state, train_X, train_y, held)
            outcomes.append(outcome)
            nets[i] = net
    except Stopped:
        return None
    return Done(tuple(outcomes), _kept(work, group, outcomes, nets))


def failure(error: BaseException | str, seconds: float = math.nan) -> dict[str, Any]:
    """Return the outcome of a network that has no result."""
    text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    numbers = dict.fromkeys(("train_loss", "train_metric", "val_loss", "val_metric"), math.nan)
    return {"seconds": seconds, "epochs": 0, **numbers, "stopped": "error", "error": text, "curves": {}}


def badness(outcome: dict[str, Any], metric: Metric) -> tuple[float, float]:
    """Return what is lower for better outcomes: the metric first, then the loss."""
    value, loss = outcome["val_metric"], outcome["val_loss"]
    bad = math.inf if math.isnan(value) else -value if metric.higher_is_better else value
    return bad, math.inf if math.isnan(loss) else loss


def _kept(work: Work, group: Group, outcomes: list[dict[str, Any]], nets: dict[int, Any]) -> dict[int, Any]:
    """Return the networks that the sweep goes on with or keeps."""
    good = [i for i, outcome in enumerate(outcomes) if outcome["error"] is None]
    if work.keep >= 0:
        order = sorted(good, key=lambda i: (*badness(outcomes[i], work.metric), group.networks[i].n_params, i))
        good = order[: work.keep]
    return {i: nets[i] for i in good}


# ---- one network


@dataclass(frozen=True)
class _Schedule(schedules.Schedule):
    """A schedule that goes by the whole training, of which a fit may be a part, and ends it when `stop` is set, if it is here.

    `fit` asks for rates about twenty times a second. A callback would be asked after each epoch, which doubles the time
    of a network with a few weights.
    """

    lr: schedules.Schedule  # type: ignore[assignment]
    epochs: int
    stop: str

    def __post_init__(self) -> None:
        """Take the schedule as it is: it has been checked."""

    def rates(self, steps, span):
        """Return the schedule's rates."""
        if _stopping(self.stop):
            raise Stopped
        return self.lr.rates(steps, Span(0, self.epochs * span.steps_per_epoch, span.steps_per_epoch))

    def watch(self):
        """Return what the schedule watches."""
        return self.lr.watch()


def _train_one(work: Work, group: Group, network: Network, state: Any, X, y, held) -> tuple[dict[str, Any], MLP | None]:
    """Return what a network's row says, and the network."""
    from ..network import MLP

    started = time.perf_counter()
    setting = network.setting
    optimizer: Any = setting.optimizer
    stopping = None if held is None else work.early_stopping
    monitors = [stopping.monitor] if stopping is not None else []
    if hasattr(optimizer, "lr"):
        optimizer = replace(optimizer, lr=_Schedule(schedules.resolve(optimizer.lr), work.epochs, work.stop))
        watch = optimizer.lr.watch()
        monitors += [watch.monitor] if watch else []
    # The validation loss after each epoch costs as much as a part of the training: only where somebody looks at it.
    looks = held is not None and (work.curves or bool(monitors))
    try:
        if state is None:
            layers = [X.shape[1], *setting.layers(work.n_outputs, work.output)]
            net = MLP(layers, loss=work.loss, dtype=work.dtype, seed=network.seed)
        else:
            net = state.copy()
        before = 0 if net.history is None else len(net.history)
        net.fit(
            X, y, epochs=group.epochs - before, batch_size=setting.batch_size, optimizer=optimizer, progress=False,
            validation=held if looks else None, early_stopping=stopping, on_divergence="raise",
            metrics=[work.metric] if work.metric.name in (name.removeprefix("val_") for name in monitors) else [],
        )  # fmt: skip
        net._state.optimizer = setting.optimizer  # not the one that this sweep can end
        return _outcome(work, net, X, y, held, started), net
    except Exception as error:  # one network's trouble must not cost the others their results
        return failure(error, time.perf_counter() - started), None


def _outcome(work: Work, net: MLP, X: NDArray, y: NDArray, held: Any, started: float) -> dict[str, Any]:
    """Return a trained network's numbers."""
    history: Any = net.history
    seconds = time.perf_counter() - started
    curves = {"loss": _short(history.loss)} | ({"val_loss": _short(history.val_loss)} if history.val_loss else {})
    numbers = {
        "seconds": seconds,
        "epochs": len(history),
        "train_loss": net.loss(X, y),
        "train_metric": work.metric(y, net.predict(X)),
        "val_loss": math.nan if held is None else net.loss(*held),
        "val_metric": math.nan if held is None else work.metric(held[1], net.predict(held[0])),
    }
    return numbers | {"stopped": history.stopped, "error": None, "curves": curves}


def _short(curve: list[float]) -> list[float]:
    """Return a curve to six digits, which is what a picture needs."""
    return [float(f"{value:.6g}") for value in np.asarray(curve, float)]


def run_here(work: Work, group: Group, *data: Any) -> Done | None:
    """Train a group on one thread, or where nothing else is trained at the same time on all of them."""
    if work.use_threads:
        return train(work, group, *data)
    with engine.alone():
        return train(work, group, *data)
