"""What an estimator minimises: its loss as the engine knows it, and as scikit-learn counts it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..losses import Huber, Quantile

__all__ = ["REGRESSION_LOSSES", "Objective", "classification", "regression"]


@dataclass(frozen=True)
class Objective:
    """A loss and the output activation that belongs to it.

    scikit-learn sums some losses over the outputs where the engine takes their mean, and its squared error is a sum in
    the gradient and a mean in the value; to follow it, both are the engine's times a factor.

    Attributes
    ----------
    loss : str, Huber or Quantile
        What ``fm.MLP`` takes.
    output : str
        The output activation for ``fm.MLP``.
    out_activation : str
        The same by scikit-learn's name.
    gradient, value : float
        scikit-learn's gradient and value over the engine's.
    """

    loss: Any
    output: str
    out_activation: str
    gradient: float = 1.0
    value: float = 1.0

    def most(self, dtype: DTypeLike) -> float:
        """Return the most that a row, or an output of it, counts, as scikit-learn's log loss clips probabilities; or 0."""
        return -math.log(np.finfo(dtype).eps) if self.loss in ("cross_entropy", "bce") else 0.0

    def constant(self, y: NDArray, weight: NDArray) -> float:
        """Return what scikit-learn's value has besides, which depends on the targets alone: Poisson's y ln y - y."""
        if self.loss != "poisson":
            return 0.0
        y = y.astype(np.float64)
        terms = np.where(y > 0, y * np.log(np.where(y > 0, y, 1.0)), 0.0) - y
        return float(np.average(terms.sum(axis=1), weights=weight if weight.size else None))


def classification(multiclass: bool, n_outputs: int) -> Objective:
    """Return the log loss: of one class among several, or of each output by itself."""
    if multiclass:
        return Objective("cross_entropy", "softmax", "softmax")
    return Objective("bce", "sigmoid", "logistic", gradient=n_outputs, value=n_outputs)


REGRESSION_LOSSES = {
    "squared_error": "half_mse",
    "poisson": "poisson",
    "mae": "mae",
    "absolute_error": "mae",
    "huber": "huber",
    "quantile": "quantile",
}


def regression(loss: str | Huber | Quantile, n_outputs: int) -> Objective:
    """Return what a regressor's `loss` means."""
    known = REGRESSION_LOSSES[loss] if isinstance(loss, str) else loss
    if known == "half_mse":
        return Objective(known, "identity", "identity", value=1.0 / n_outputs)
    if known == "poisson":
        return Objective(known, "exp", "exp", gradient=n_outputs, value=n_outputs)
    return Objective(known, "identity", "identity")
