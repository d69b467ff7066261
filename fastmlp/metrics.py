"""Metrics: name -> a number that says how good predictions are.

Examples
--------
>>> import fastmlp as fm
>>> list(fm.metrics.METRICS)
['accuracy', 'balanced_accuracy', 'binary_accuracy', 'mse', 'rmse', 'mae', 'r2']
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import arrays, checks
from .errors import counted, shown

__all__ = ["METRICS", "OTHER_CURVES", "Metric", "default", "resolve"]

# Of predictions of several networks so many numbers are judged together, which stay in the cache with what is made of them.
_TOGETHER = 1 << 15
# Curves of a history that are no metric's, so that no metric may be called so.
OTHER_CURVES = ("loss", "val_loss", "lr")


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes
    ----------
    name : str
        What it is called in a History, where "val_" before it means on the validation data: it may not begin so itself.
    function : callable
        ``(y, prediction, weight) -> float``, with y (n, 1), of class indices too, or (n, outputs), prediction (n, outputs) and
        weight (n,) or None, all of the network's dtype.
    higher_is_better : bool or None
        Whether a higher value is better; None if nobody has said so, which does where a curve is drawn of it but not where
        the best is chosen by it.
    kind : str
        "classification" or "regression", which it is if you do not say. Of your own metrics it only tells the stores of sweeps
        apart.

    Raises
    ------
    TypeError, ValueError
        If a value is of another kind, or the name begins with "val_".

    Examples
    --------
    >>> import numpy as np
    >>> from fastmlp.metrics import Metric
    >>> def worst(y, prediction, weight):
    ...     return abs(y - prediction).max()
    >>> Metric("worst", worst, higher_is_better=False)(np.ones((2, 1)), np.array([[1.5], [0.75]]))
    0.5

    Classes of a network with an output for each, whose numbers are a column:

    >>> def right(y, prediction, weight):
    ...     return (y[:, 0] == prediction.argmax(axis=1)).mean()
    >>> metric = Metric("right", right, higher_is_better=True)
    >>> metric(np.array([[0.0], [1.0]]), np.array([[0.9, 0.1], [0.8, 0.2]]))
    0.5

    What scikit-learn has, for a network that tells two classes apart:

    >>> from sklearn.metrics import f1_score
    >>> def f1(y, prediction, weight):
    ...     return f1_score(y, prediction > 0.5, sample_weight=weight)
    >>> metric = Metric("f1", f1, higher_is_better=True)
    """

    name: str
    function: Callable[[NDArray, NDArray, NDArray | None], float]
    higher_is_better: bool | None = None
    kind: str = "regression"

    def __post_init__(self) -> None:
        """Check the values."""
        if not isinstance(self.name, str):
            raise TypeError(f"name must be text, what the metric is called; got {shown(self.name)}.")
        if self.name.startswith("val_"):
            raise ValueError(
                f"a metric's name must not begin with 'val_', as its curve's on the validation data does; got {self.name!r}. "
                "Give it another name, or the function another __name__."
            )
        if not callable(self.function):
            came = f"{shown(self.function)} ({type(self.function).__name__})"
            raise TypeError(f"function must be a function (y, prediction, weight) -> float; got {came}.")
        if self.higher_is_better is not None:
            checks.flag("higher_is_better", self.higher_is_better)
        checks.choice("kind", self.kind, ("classification", "regression"))

    @property
    def built_in(self) -> bool:
        """Whether it is the table's, or a copy of that, as another process gets: no function of the user's own."""
        return METRICS.get(self.name) == self

    def __call__(self, y: NDArray, prediction: NDArray, weight: NDArray | None = None) -> float:
        """Return the metric of predictions (n, K) for targets y; rows count by `weight`, (n,) or None."""
        weight = None if weight is None or np.size(weight) == 0 else np.asarray(weight)
        y, prediction = np.asarray(y), np.asarray(prediction)
        if weight is not None and weight.shape != y.shape[:1]:
            rows = counted(len(y), "row")
            raise ValueError(f"weight has shape {weight.shape}, but y has {rows}. Pass weight of shape ({len(y)},).")
        if not self.built_in:  # a function of the user's own may write into what it gets
            y, prediction, weight = y.copy(), prediction.copy(), None if weight is None else weight.copy()
        value = self.function(y, prediction, weight)
        try:
            return float(value)
        except (TypeError, ValueError):
            came = f"{shown(value)} ({type(value).__name__})"
            raise TypeError(f"metric {self.name!r} must return a number; got {came}.") from None

    def direction(self, use: str) -> bool:
        """Return whether a higher value is better; ValueError if nobody has said so, and `use` needs to know."""
        if self.higher_is_better is None:
            raise ValueError(
                f"{use} needs to know whether {self.name!r} is to be high or low: instead of the function pass "
                f"fm.metrics.Metric({self.name!r}, function, higher_is_better=False), or True, with a function "
                "(y, prediction, weight) -> float."
            )
        return self.higher_is_better

    def of_each(self, y: NDArray, predictions: NDArray, weight: NDArray | None = None) -> NDArray[np.float64]:
        """Return the metric of each of several networks' predictions (m, n, K), for targets and weights that they share."""
        if not self.built_in:
            return np.array([self(y, one, weight) for one in predictions])
        if weight is not None and weight.size == 0:
            weight = None
        found, many = np.empty(len(predictions)), max(1, _TOGETHER // max(1, predictions[:1].size))
        for first in range(0, len(predictions), many):
            found[first : first + many] = self.function(y, predictions[first : first + many], weight)
        return found


# The functions of the table take predictions (..., n, K), such as those of several networks, and return (...).


def _columns(y: NDArray, prediction: NDArray) -> tuple[NDArray, NDArray]:
    """Both as (..., n, K); y may be (n, 1) class indices beside (n, K)."""
    y = y[:, None] if y.ndim == 1 else y
    prediction = prediction[:, None] if prediction.ndim == 1 else prediction
    if len(y) != (rows := prediction.shape[-2]):
        raise ValueError(f"y has {counted(len(y), 'row')}, but the prediction has {rows}. Pass as many rows of each.")
    return y, prediction


def _alike(y: NDArray, prediction: NDArray) -> tuple[NDArray, NDArray]:
    """Both as (..., n, K), of the same n and K."""
    y, prediction = _columns(y, prediction)
    _check_shape(y, prediction)
    return y, prediction


def _check_shape(y: NDArray, prediction: NDArray) -> None:
    if y.shape != (shape := prediction.shape[-2:]):
        raise ValueError(f"y has shape {y.shape}, but the prediction has {shape}. Pass y of that shape.")


def _errors(y: NDArray, prediction: NDArray) -> tuple[NDArray, NDArray]:
    """Return the targets (n, K) and prediction - y (..., n, K), both float64."""
    y, prediction = _alike(y, prediction)
    y = y.astype(np.float64)
    return y, prediction - y


def _mean(values: NDArray, weight: NDArray | None) -> NDArray:
    """Weighted mean over rows, the last axis but one; NaN if no row counts."""
    if weight is None:
        return values.mean(axis=-2)
    weight = weight.astype(np.float64)
    total = weight.sum()
    return weight @ values / (total if total else math.nan)


def _share(right: NDArray, weight: NDArray | None) -> Any:
    """Weighted part of the numbers (..., n, K) that are true."""
    if weight is not None:
        return _mean(right.astype(np.float64), weight).mean(axis=-1)
    if right.ndim > 2:
        return right.mean(axis=(-2, -1))
    return np.count_nonzero(right) / right.size if right.size else math.nan


def _accuracy(y: NDArray, prediction: NDArray, weight: NDArray | None) -> Any:
    """Part of the rows whose class is right; a row with NaN is wrong."""
    return _share(_told(y, prediction)[0][..., np.newaxis], weight)


def _balanced_accuracy(y: NDArray, prediction: NDArray, weight: NDArray | None) -> Any:
    """Mean over the classes in y of the part of their rows that is right, so that a rare class counts as a common one does."""
    right, labels = _told(y, prediction)
    shares = np.ones(len(labels)) if weight is None else weight.astype(np.float64)
    numbers = np.unique(labels, return_inverse=True)[1]
    members = (numbers[:, np.newaxis] == np.arange(numbers.max(initial=-1) + 1)) * shares[:, np.newaxis]
    totals = members.sum(axis=0)
    if not totals.any():
        return np.full(right.shape[:-1], math.nan)
    return (right @ members[:, totals > 0.0] / totals[totals > 0.0]).mean(axis=-1)


def _told(y: NDArray, prediction: NDArray) -> tuple[NDArray[np.bool_], NDArray]:
    """Return which rows' class is right, (..., n), and the classes, (n,)."""
    y, prediction = _columns(y, prediction)
    if prediction.shape[-1] == 1:
        if y.shape[1] != 1:
            raise ValueError(f"y has shape {y.shape}, but there is one output. Pass y of shape ({len(y)},).")
        return _sides(y, prediction)[..., 0], y[:, 0] > 0.5
    if y.shape[1] == 1:
        labels = y[:, 0]
        whole = labels == np.floor(labels)
        if not whole.all():
            row = int(np.argmin(whole))
            raise ValueError(
                f"accuracy needs class indices, which are whole numbers; y has {labels[row]} in row {row}. "
                "For numbers use 'r2', 'rmse' or 'mae'."
            )
    else:
        _check_shape(y, prediction)
        if np.abs(y.sum(axis=1, dtype=np.float64) - 1.0).max(initial=0.0) > arrays.ROW_SUM_TOLERANCE:
            raise ValueError(
                "accuracy needs one class for each row, but rows of y do not sum to 1. "
                "For several labels at once use 'binary_accuracy'."
            )
        labels = y.argmax(axis=1)
    right = prediction.argmax(axis=-1) == labels
    if not arrays.surely_finite(prediction):
        right &= ~np.isnan(prediction).any(axis=-1)
    return right, labels


def _binary_accuracy(y: NDArray, prediction: NDArray, weight: NDArray | None) -> Any:
    """Part of the outputs on the right side of 0.5; NaN is wrong."""
    return _share(_sides(*_alike(y, prediction)), weight)


def _sides(y: NDArray, prediction: NDArray) -> NDArray[np.bool_]:
    """Return which outputs (..., n, K) are on the right side of 0.5."""
    if y.size and (y.min() < 0.0 or y.max() > 1.0):
        raise ValueError(
            f"accuracy compares with 0.5, so targets must be in [0, 1]; y goes from {y.min():g} to {y.max():g}. "
            "For numbers use 'r2', 'rmse' or 'mae'."
        )
    right = (prediction > 0.5) == (y > 0.5)
    if not arrays.surely_finite(prediction):
        right &= ~np.isnan(prediction)
    return right


def _mse(y: NDArray, prediction: NDArray, weight: NDArray | None) -> Any:
    """Mean squared error over rows and outputs."""
    return _mean(_errors(y, prediction)[1] ** 2, weight).mean(axis=-1)


def _rmse(y: NDArray, prediction: NDArray, weight: NDArray | None) -> Any:
    """Root of :func:`_mse`."""
    return np.sqrt(_mse(y, prediction, weight))


def _mae(y: NDArray, prediction: NDArray, weight: NDArray | None) -> Any:
    """Mean absolute error over rows and outputs."""
    return _mean(np.abs(_errors(y, prediction)[1]), weight).mean(axis=-1)


def _r2(y: NDArray, prediction: NDArray, weight: NDArray | None) -> Any:
    """Coefficient of determination, the plain mean over outputs.

    As in scikit-learn, an output that is constant in y counts 1 if predicted exactly, else 0; one row alone is NaN.
    """
    y, errors = _errors(y, prediction)
    if len(y) < 2:
        return math.nan
    counts = y if weight is None or not weight.any() else y[weight > 0]
    left = _mean(errors**2, weight)
    # A mean of equal numbers may be off by a rounding.
    total = np.where(counts.min(axis=0) == counts.max(axis=0), 0.0, _mean((y - _mean(y, weight)) ** 2, weight))
    score = 1.0 - left / np.where(total > 0.0, total, 1.0)
    constant = np.where(left > 0.0, 0.0, 1.0)
    return np.where(total > 0.0, score, np.where(np.isnan(left), left, constant)).mean(axis=-1)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", _accuracy, higher_is_better=True, kind="classification"),
        Metric("balanced_accuracy", _balanced_accuracy, higher_is_better=True, kind="classification"),
        Metric("binary_accuracy", _binary_accuracy, higher_is_better=True, kind="classification"),
        Metric("mse", _mse, higher_is_better=False),
        Metric("rmse", _rmse, higher_is_better=False),
        Metric("mae", _mae, higher_is_better=False),
        Metric("r2", _r2, higher_is_better=True),
    )
}

# What Keras and scikit-learn call them.
_ELSEWHERE = {"meansquarederror": "mse", "rootmeansquarederror": "rmse", "meanabsoluteerror": "mae", "r2score": "r2"}


def default(kind: str, n_outputs: int = 1) -> Metric:
    """Return the metric that suits a loss's kind of targets: accuracy for classes, r2 for numbers.

    Examples
    --------
    >>> default("classes").name
    'accuracy'
    """
    if kind == "binary" and n_outputs > 1:
        return METRICS["binary_accuracy"]
    return METRICS["accuracy" if kind in ("classes", "binary") else "r2"]


def resolve(spec: Any) -> Metric:
    """Return the metric that `spec` means.

    Parameters
    ----------
    spec : str, Metric or callable
        A key of `METRICS`, or a function ``(y_true, y_pred) -> float`` of arrays as those of :class:`Metric`, which weights do
        not reach. Where the best is chosen by it, say whether it is to be high or low:
        ``Metric(name, function, higher_is_better=False)``.

    Raises
    ------
    ValueError
        If there is none of that name; the message has the nearest ones. If the name of a function begins with "val_".
    TypeError
        If `spec` is something else.

    Examples
    --------
    >>> import numpy as np
    >>> resolve("mae")(np.array([1.0, 2.0]), np.array([[1.0], [4.0]]))
    1.0
    """
    if isinstance(spec, Metric):
        return spec
    if callable(spec):
        function: Callable[..., Any] = spec
        name = getattr(spec, "__name__", type(spec).__name__)
        return Metric(name, lambda y, prediction, weight: function(y, prediction))
    others = "a fm.metrics.Metric or a function (y_true, y_pred) -> float"
    if hasattr(spec, "__len__") and not isinstance(spec, str):
        came = f"{shown(spec)} ({type(spec).__name__})"
        raise TypeError(f"metric must be a name, {others}; got {came}. If these are weights, pass them as sample_weight=.")
    return METRICS[checks.choice("metric", spec, METRICS, others, _ELSEWHERE)]
