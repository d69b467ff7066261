"""Callbacks: what is told of a training as it goes, and may end it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import checks
from .errors import shown

__all__ = ["Callback", "EarlyStopping", "as_callbacks", "ends", "listeners"]

# What a callback may have.
_EVENTS = ("on_train_begin", "on_epoch_end", "on_train_end")


class Callback:
    """Base of callbacks; any object with some of these methods serves as well.

    What derives from it has no other methods that begin with "on_": nobody would call them. `net` is the MLP or the
    Population that is trained (an estimator's is its network), `history` what its ``fit`` returns.

    Examples
    --------
    >>> import fastmlp as fm
    >>> class Stop(fm.Callback):
    ...     def on_epoch_end(self, net, epoch, logs):
    ...         return logs["loss"] < 0.01
    """

    def on_train_begin(self, net: Any) -> None:
        """Training is about to begin; everything has been checked."""

    def on_epoch_end(self, net: Any, epoch: int, logs: Any) -> Any:
        """Epoch `epoch` is over, counted from 0 since a network's ``reset`` or since a population was made.

        A true answer ends the training.

        `logs` has "loss", "lr" (not with L-BFGS), and where there are such data and metrics "val_loss", "<metric>" and
        "val_<metric>". It is a copy: what is changed in it changes nothing else.
        """

    def on_train_end(self, net: Any, history: Any) -> None:
        """Training is over and nothing was raised; `history.stopped` says why it ended.

        It is not called after Ctrl-C, after an error such as a callback's, or where ``on_divergence="raise"`` raises.
        """


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when a curve has not improved for a while.

    Parameters
    ----------
    monitor : str
        A curve: "loss", "val_loss", a metric's name, or "val_" and a metric's name. Losses are to fall, metrics to rise or to
        fall as their :class:`fastmlp.metrics.Metric` says. A plain function among the metrics says nothing, and is refused
        here: make a ``Metric(name, function, higher_is_better=False)`` of it.
    patience : int
        After this many epochs in a row without improvement the training ends, as in Keras, and as a
        :class:`fastmlp.schedules.ReduceOnPlateau` counts: 1 ends it at the first epoch that is no better than the best.
    min_delta : float
        By how much a value must be better than the best so far to count as an improvement.
    restore_best : bool
        Whether the best epoch's parameters come back at the end, however the training ends.

    Raises
    ------
    TypeError, ValueError
        If a value is out of range.

    Notes
    -----
    Prechelt, "Early stopping - but when?" (1998).

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.EarlyStopping("val_accuracy", patience=5)
    EarlyStopping(monitor='val_accuracy', patience=5, min_delta=0.0, restore_best=True)
    """

    monitor: str = "val_loss"
    patience: int = 10
    min_delta: float = 0.0
    restore_best: bool = True

    def __post_init__(self) -> None:
        """Check the values."""
        if not isinstance(self.monitor, str):
            raise TypeError(f"monitor must be a curve's name, such as 'val_loss'; got {self.monitor!r}.")
        checks.integer("patience", self.patience, 1)
        checks.real("min_delta", self.min_delta, 0.0)
        checks.flag("restore_best", self.restore_best)


class Best:
    """The best value of a curve so far, and since when."""

    def __init__(self, higher_is_better: bool, min_delta: float = 0.0):
        self.sign = -1.0 if higher_is_better else 1.0
        self.min_delta = min_delta
        self.value = math.inf  # signed: smaller is better
        self.epochs_since = 0

    def improves(self, value: float) -> bool:
        """Take the next epoch's value; return whether it is better than all before, by min_delta."""
        if self.sign * value < self.value - self.min_delta:
            self.value, self.epochs_since = self.sign * value, 0
            return True
        self.epochs_since += 1
        return False


def as_callbacks(given: Any) -> list[Any]:
    """Return callbacks, a single one, or None for none, as a list of objects that have some of a callback's methods.

    Raises
    ------
    TypeError
        If one of them has none, or is a class.
    ValueError
        If a :class:`Callback` has a method for what is no event.
    """
    one = not isinstance(given, Iterable) or _hears(given)
    callbacks = [] if given is None else [given] if one else list(given)
    for callback in callbacks:
        if isinstance(callback, type):
            raise TypeError(f"a callback must be an instance; got the class {callback.__name__}.")
        if not _hears(callback):
            remedy = " It is for fm.MLP.fit(early_stopping=...)." if isinstance(callback, EarlyStopping) else ""
            raise TypeError(f"a callback must have one of the methods {', '.join(_EVENTS)}; got {shown(callback)}.{remedy}")
        kind = type(callback)
        for name in dir(kind) if isinstance(callback, Callback) else ():
            if name.startswith("on_") and callable(getattr(kind, name)):
                checks.choice(f"a method on_... of {kind.__name__}", name, _EVENTS)
    return callbacks


def _hears(callback: Any) -> bool:
    """Return whether an object has some of a callback's methods."""
    return any(callable(getattr(callback, name, None)) for name in _EVENTS)


def ends(callback: Any, answer: Any, or_else: str = "") -> bool:
    """Return whether a callback's answer after an epoch ends the training.

    Lists and other things that are true unless they are empty are no answer: one of them would end it by accident.

    Parameters
    ----------
    callback : object
        Who answered, for the message.
    answer : bool, str or None
        Or anything else that says itself whether it is true, as numbers do.
    or_else : str
        What else may be returned, for the message.

    Raises
    ------
    TypeError
        If it says neither yes nor no, such as an array of several.
    """
    if answer is None or isinstance(answer, str):
        return bool(answer)
    if hasattr(type(answer), "__bool__") and not (isinstance(answer, np.ndarray) and answer.size != 1):
        try:
            return bool(answer)
        except Exception as error:
            raise _no_answer(callback, answer, or_else) from error
    raise _no_answer(callback, answer, or_else)


def _no_answer(callback: Any, answer: Any, or_else: str) -> TypeError:
    shape = getattr(answer, "shape", None)
    came = f"{shown(answer)} ({type(answer).__name__}{f' of shape {shape}' if isinstance(shape, tuple) else ''})"
    remedy = "bool(answer.any()), or bool(answer.all())" if shape else "True where the training is to end"
    return TypeError(
        f"{type(callback).__name__}.on_epoch_end must return True to end the training, or False or None to go on{or_else}; "
        f"got {came}. Return {remedy}."
    )


def listeners(callbacks: Iterable[Any], event: str) -> list[Any]:
    """Return those callbacks that have the method of an event."""
    return [callback for callback in callbacks if callable(getattr(callback, event, None))]
