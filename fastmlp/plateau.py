"""What lowers a learning rate when the loss stops falling: the state of a ``ReduceOnPlateau`` in one fit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .schedules import ReduceOnPlateau

__all__ = ["Plateau"]


class Plateau:
    """What a :class:`ReduceOnPlateau` has seen in one fit.

    Attributes
    ----------
    monitor : str
        Which loss :meth:`update` wants after each epoch.
    factor : float
        What the rates are multiplied by now: not below floor / lr of the schedule.
    """

    def __init__(self, schedule: ReduceOnPlateau) -> None:
        self.schedule = schedule
        self.monitor = schedule.monitor
        self.factor = 1.0
        self._best = math.inf
        self._waited = 0

    @property
    def epochs_left(self) -> int:
        """After how many epochs the factor may change."""
        return self.schedule.patience - self._waited

    def update(self, loss: float) -> float:
        """Take an epoch's loss and return the factor from now on."""
        if loss < self._best - self.schedule.min_delta:
            self._best, self._waited = loss, 0
        else:
            self._waited += 1
        if self._waited >= self.schedule.patience:
            self.factor = max(self.factor * self.schedule.factor, self.schedule.floor / self.schedule.lr)
            self._waited = 0
        return self.factor

    def apply(self, rates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rates times the factor."""
        return rates * self.factor
