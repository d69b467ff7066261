"""History: what a training was like, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from . import checks
from .errors import counted, shown

__all__ = ["History"]


@dataclass(repr=False)
class History:
    """Curves of one or more calls of ``fit``, and how the last one ended.

    Attributes
    ----------
    loss : list of float
        Mean training loss of each epoch, over the minibatches as they came; without penalties, unless the optimizer has
        `l2_over_batch`, as an estimator's.
    val_loss : list of float
        Loss on the validation data after each epoch; empty without such data.
    metrics : dict of str to list of float
        Each metric after each epoch, on the training data under its name, on the validation data as ``val_<name>``.
    lr : list of float
        Learning rate of each epoch's last step; L-BFGS has none, nor has a population.
    seconds : float
        Time spent in ``fit``.
    stopped : str
        Why the last call ended: "epochs" (all done, or as many iterations or evaluations as L-BFGS may take), "early
        stopping", "callback", "converged" (L-BFGS finds no lower loss, an estimator's has stopped falling), "time" (an
        estimator's `max_time`), "diverged", "interrupted", or "failed" (an exception, as of a callback).
    best_epoch : int or None
        The best epoch of the last call, if it had early stopping: its place in the curves, which go over all calls.

    Notes
    -----
    Place i of every curve belongs to epoch i: what was not known at an epoch that a later one knows is NaN there.

    Examples
    --------
    >>> import fastmlp as fm
    >>> history = fm.History(loss=[0.7, 0.2])
    >>> len(history), history.last()
    (2, {'loss': 0.2})
    >>> history
    <History of 2 epochs; loss 0.2>
    """

    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)
    lr: list[float] = field(default_factory=list)
    seconds: float = 0.0
    stopped: str = ""
    best_epoch: int | None = None

    def __len__(self) -> int:
        """Return the number of epochs."""
        return len(self.loss)

    def __repr__(self) -> str:
        """Return the number of epochs, the last one's numbers and what ended the training in one line."""
        last = ", ".join(f"{name} {value:.4g}" for name, value in self.last().items() if name != "lr")
        parts = (f"History of {counted(len(self), 'epoch')}", last, self.stopped)
        return f"<{'; '.join(filter(None, parts))}>"

    @property
    def curves(self) -> dict[str, list[float]]:
        """Every curve that has points, by name: loss, val_loss, lr and the metrics."""
        named = {"loss": self.loss, "val_loss": self.val_loss, "lr": self.lr, **self.metrics}
        return {name: curve for name, curve in named.items() if curve}

    def last(self) -> dict[str, float]:
        """Return the last epoch's numbers, by name."""
        return self.at(len(self) - 1) if self.loss else {}

    def at(self, epoch: int) -> dict[str, float]:
        """Return the numbers of an epoch, counted from 0, by name.

        Raises
        ------
        TypeError, ValueError
            If there is no such epoch.
        """
        if not self.loss:
            raise ValueError(f"this history has no epochs, so none has the number {shown(epoch)}.")
        epoch = checks.integer("epoch", epoch, 0, len(self) - 1)
        return {name: curve[epoch] for name, curve in self.curves.items() if len(curve) > epoch}

    def add(self, losses: list[float], rates: list[float], judged: Mapping[str, list[float]]) -> None:
        """Add whole epochs: their losses, learning rates, and other numbers by name."""
        before = len(self)
        self.loss += losses
        _put(self.lr, before, rates)
        for name, values in judged.items():
            _put(self.val_loss if name == "val_loss" else self.metrics.setdefault(name, []), before, values)

    def cut(self, epochs: int) -> None:
        """Forget all but the first `epochs` epochs."""
        for curve in (self.loss, self.val_loss, self.lr, *self.metrics.values()):
            del curve[epochs:]


def _put(curve: list[float], epoch: int, values: list[float]) -> None:
    """Add values to a curve, the first of them at an epoch."""
    if values:
        curve += [math.nan] * (epoch - len(curve))
        curve += values
