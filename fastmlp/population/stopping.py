"""Early stopping of each network of a population by itself."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..callbacks import EarlyStopping

__all__ = ["Stopping", "Verdict"]


class Verdict(NamedTuple):
    """What some epochs mean for each network; epochs count from the first of them.

    Attributes
    ----------
    found : (size,) array
        The epoch of its best parameters so far, -1 for one before these.
    last : (size,) array
        The last one that it takes part in.
    stopped : (size,) array of bool
        Whether it stops there.
    epochs : int
        After how many of them nobody is left; all of them if somebody is.
    best, waited : (size,) arrays
        The best value so far, signed so that smaller is better, and the epochs since.
    """

    found: NDArray[np.int64]
    last: NDArray[np.int64]
    stopped: NDArray[np.bool_]
    epochs: int
    best: NDArray[np.float64]
    waited: NDArray[np.int64]


class Stopping:
    """The best value of a curve so far of each network, and since when."""

    def __init__(self, given: EarlyStopping, higher_is_better: bool, size: int) -> None:
        self.given, self.sign = given, -1.0 if higher_is_better else 1.0
        self.best, self.waited = np.full(size, math.inf), np.zeros(size, np.int64)

    def epochs_left(self, active: NDArray[np.bool_]) -> int:
        """Return after how many epochs the first of the active networks may stop."""
        return self.given.patience - int(self.waited[active].max(initial=0))

    def judge(self, values: NDArray[np.float64], active: NDArray[np.bool_]) -> Verdict:
        """Return what the curve's next values (epochs, size) mean for the active networks; nothing changes yet."""
        size = len(active)
        best, waited, going = self.best.copy(), self.waited.copy(), active.copy()
        found, last = np.full(size, -1), np.full(size, len(values) - 1)
        for epoch, value in enumerate(self.sign * values):
            better = going & (value < best - self.given.min_delta)
            best[better], found[better] = value[better], epoch
            waited += going
            waited[better] = 0
            over = going & (waited >= self.given.patience)
            last[over] = epoch
            going &= ~over
        epochs = 1 + int(last[active].max(initial=0))
        return Verdict(found, last, active & ~going, epochs, best, waited)

    def accept(self, verdict: Verdict) -> None:
        """Go on from there."""
        self.best, self.waited = verdict.best, verdict.waited
