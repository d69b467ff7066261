"""Early stopping's judge: how good an estimator is on rows that are held out, by whatever its `scoring` says."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..rows import Rows

if TYPE_CHECKING:
    from .base import BaseMLP

__all__ = ["Judge", "accuracy", "r_squared"]


class Judge:
    """Scores an estimator on held-out rows after each epoch; higher is better.

    Parameters
    ----------
    rows : Rows
        As the engine takes them.
    y : array
        The targets as the user gave them, for scorers.
    scoring : None, str or callable
        As the estimator's parameter.
    """

    def __init__(self, rows: Rows, y: Any, scoring: Any) -> None:
        from sklearn.metrics import get_scorer

        self.rows, self.y, self.scoring = rows, y, scoring
        if isinstance(scoring, str) and scoring != "loss":
            self.scorer = get_scorer(scoring)
        elif callable(scoring):
            self.scorer = scoring
        else:
            self.scorer = None
        self.weighted = rows.weight.size > 0 and (self.scorer is None or _takes_weights(self.scorer))

    def score(self, est: BaseMLP) -> float:
        """Return the score of the network as it is."""
        rows = self.rows
        if self.scoring == "loss":
            return -float(est.validation_loss_curve_[-1])
        if self.scorer is not None:
            given = {"sample_weight": rows.weight} if self.weighted else {}
            return _number(self.scorer(est, rows.x, self.y, **given))
        outputs = est._forward_all(rows.x)
        if not np.isfinite(outputs).all():
            return float("nan")
        weight = rows.weight if self.weighted else None
        return est._default_score(rows.y, outputs, weight)


def _number(score: Any) -> float:
    """Return what a scorer returned as a number, be it an array of one."""
    try:
        return float(score.item() if hasattr(score, "item") else score)
    except (TypeError, ValueError) as error:
        raise type(error)(f"scoring must return a number, got {score!r} ({type(score).__name__}). Return a float.") from error


def _takes_weights(scorer: Any) -> bool:
    """Whether a scorer, or a function (estimator, X, y), takes sample_weight."""
    function = getattr(scorer, "_score_func", scorer)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of compiled code
        return True
    return any(p.name == "sample_weight" or (p.kind is p.VAR_KEYWORD and function is scorer) for p in parameters)


def accuracy(y: NDArray, outputs: NDArray, weight: NDArray | None) -> float:
    """Return the weighted share of rows whose class, or whose labels all of them, are right.

    Parameters
    ----------
    y : (n, K) or (n, 1) array
        Labels 0 and 1, or class indices if `outputs` has several columns.
    outputs : (n, K) array
        Probabilities.
    weight : (n,) array, optional
    """
    if y.shape[1] == outputs.shape[1]:
        right = ((outputs > 0.5) == (y > 0.5)).all(axis=1)
    else:
        right = outputs.argmax(axis=1) == y[:, 0]
    return float(np.count_nonzero(right) / len(right) if weight is None else np.average(right, weights=weight))


def r_squared(y: NDArray, outputs: NDArray, weight: NDArray | None) -> float:
    """Return R², the mean over the outputs; one whose targets are all equal counts 1 if it is exact, else 0."""
    y, outputs = y.astype(np.float64), outputs.astype(np.float64)
    each = np.ones(len(y)) if weight is None else weight.astype(np.float64)
    left = each @ (y - outputs) ** 2
    there = each @ (y - np.average(y, axis=0, weights=each)) ** 2
    scores = np.where(there > 0, 1.0 - left / np.where(there > 0, there, 1.0), np.where(left == 0, 1.0, 0.0))
    return float(scores.mean())
