"""TabularClassifier and TabularRegressor: RealMLP-TD-S and RealMLP-TD as scikit-learn estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    assert_all_finite,
    check_array,
    column_or_1d,
)

from .. import arrays, checks
from ..estimators.refits import unchanged_by_errors
from ..losses import CrossEntropy
from .base import Tabular
from .recipe import Recipe, error_rate, log_loss, log_of, squared_error

__all__ = ["TabularClassifier", "TabularRegressor"]

# Targets of which many squares can be added up.
_LARGEST = 1e150
# Targets that range over less have differences whose squares vanish.
_SMALLEST = 1e-150


class TabularClassifier(ClassifierMixin, Tabular):
    """A classifier for tables that needs no tuning: RealMLP of Holzmüller, Grinsztajn & Steinwart (2024).

    Numbers may be missing (NaN) and columns may be categories; see :class:`fastmlp.tabular.TabularEncoder`. A network of
    three hidden layers of 256 SELU units is trained for 256 epochs with label smoothing, and the last epoch with the least
    error on a fifth of the rows, held out, comes back.

    Parameters
    ----------
    preset : {"td-s", "td"}
        "td-s" is RealMLP-TD-S, the simple one. "td" is RealMLP-TD, which takes two to three times as long: numbers as sums of
        waves, categories of which there are many as rows of a table (:class:`fastmlp.Embedding`), parametric activations,
        dropout of 0.15 and weight decay of 0.02 that fall to nothing, and initial parameters from the data.
    n_ensemble : int
        Number of networks, whose probabilities are averaged. From 2 on, each has its own fold of the rows to be judged by and
        is trained on all others, side by side on the cores.
    metric : {"error", "log_loss"}
        What the best epoch is chosen by. "log_loss", for good probabilities, goes without label smoothing.
    epochs : int
        How many times to go through the rows.
    batch_size : int
        Rows in a step; what is left over at the end of an epoch is left out.
    lr : float, optional
        The highest learning rate; None takes 0.04.
    hidden : int or tuple of int
        Widths of the hidden layers.
    label_smoothing : float, optional
        In [0, 1); None takes 0.1 for the error and 0 for the log loss.
    validation_fraction : float
        The share of the rows that a single network is judged by, in [0, 1); with 0 the last epoch is taken.
    categorical_features : "from_dtype", None, or array-like of bool, int or str
        Which columns are categories; see :class:`fastmlp.tabular.TabularEncoder`.
    n_jobs : int, optional
        How many networks to train side by side; None and -1 take one for each thread of :func:`fastmlp.set_threads`.
    random_state : int, RandomState or None
        Seed of the rows held out, of initial weights and of shuffles.
    progress : bool
        Whether to show a progress bar, of one network after the other.

    Attributes
    ----------
    classes_ : (n_classes,) array
    networks_ : list of MLP
        The networks, which take what `encoder_` makes of X.
    encoder_ : TabularEncoder
    best_epochs_ : list of int
        After how many epochs each network was at its best.
    validation_errors_ : list of lists of float
        Each network's metric on the rows held out, epoch by epoch.
    n_features_in_, feature_names_in_, n_iter_
        As in scikit-learn.

    Raises
    ------
    TypeError, ValueError
        By `fit` and `predict`, if an argument is out of its range or X does not suit.

    References
    ----------
    Holzmüller, Grinsztajn & Steinwart, "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on Tabular Data",
    NeurIPS 2024, arXiv 2407.04491.

    Examples
    --------
    >>> import fastmlp as fm
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> fm.TabularClassifier(epochs=64, random_state=0).fit(X, y).score(X, y) > 0.9
    True
    """

    def __init__(
        self,
        *,
        preset: str = "td-s",
        n_ensemble: int = 1,
        metric: str = "error",
        epochs: int = 256,
        batch_size: int = 256,
        lr: float | None = None,
        hidden: Any = (256, 256, 256),
        label_smoothing: float | None = None,
        validation_fraction: float = 0.2,
        categorical_features: Any = "from_dtype",
        n_jobs: int | None = None,
        random_state: Any = None,
        progress: bool = False,
    ) -> None:
        self.preset = preset
        self.n_ensemble = n_ensemble
        self.metric = metric
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.hidden = hidden
        self.label_smoothing = label_smoothing
        self.validation_fraction = validation_fraction
        self.categorical_features = categorical_features
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.progress = progress

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: Any = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> TabularClassifier:
        """Train.

        Parameters
        ----------
        X : (n, columns) array or frame
        y : (n,) array
            Classes: numbers or names.
        sample_weight : (n,) array, optional
            How much each row counts; one of weight 0 is checked, and then as if it were not there but for its class.
        X_val, y_val, sample_weight_val : array or frame, arrays, optional
            Rows to judge each epoch by, instead of some of X.

        Returns
        -------
        self : TabularClassifier
        """
        with unchanged_by_errors(self):
            self._check(X, y, sample_weight=sample_weight, y_val=y_val, sample_weight_val=sample_weight_val)
            y = column_or_1d(y, warn=True)
            _check_gaps(y, "y")
            check_classification_targets(y)
            classes, codes = np.unique(y, return_inverse=True)
            if len(classes) < 2:
                raise ValueError(f"y has 1 class ({classes.tolist()[0]!r}), but a classifier needs 2 or more.")
            codes_val = None if y_val is None else _codes(y_val, classes)
            X, codes, weight = self._counting(X, codes, sample_weight)
            self._fit(X, codes, len(classes), weight, (X_val, codes_val, sample_weight_val))
            self.classes_ = classes
        return self

    def _recipe(self) -> Recipe:
        metric = checks.choice("metric", self.metric, ("error", "log_loss"))
        smoothing = self.label_smoothing
        if smoothing is None:
            smoothing = 0.1 if metric == "error" else 0.0
        error = error_rate if metric == "error" else log_loss
        rates = {"td-s": 0.04, "td": 0.04}
        return self._made(rates, activation="selu", output="softmax", loss=CrossEntropy(smoothing), error=error)

    def predict_proba(self, X: Any) -> NDArray:
        """Return the probability of each class, (n, n_classes); X has the columns of fit."""
        return np.mean(self._outputs(X), axis=0)

    def predict_log_proba(self, X: Any) -> NDArray:
        """Return the logarithm of each class's probability, (n, n_classes); -87.3 where that is 0 or hardly more.

        That is the logarithm of float32's smallest normal number.
        """
        return log_of(self.predict_proba(X))

    def predict(self, X: Any) -> NDArray:
        """Return the most probable class of each row, (n,); X has the columns of fit."""
        most = self.predict_proba(X).argmax(axis=1)
        return self.classes_[most]


class TabularRegressor(RegressorMixin, Tabular):
    """A regressor for tables that needs no tuning: RealMLP of Holzmüller, Grinsztajn & Steinwart (2024).

    Numbers may be missing (NaN) and columns may be categories; see :class:`fastmlp.tabular.TabularEncoder`. A network of
    three hidden layers of 256 Mish units is trained for 256 epochs on standardised targets, and the last epoch with the least
    squared error on a fifth of the rows, held out, comes back. Predictions stay within the range of the targets in fit.

    Parameters
    ----------
    preset : {"td-s", "td"}
        As for :class:`TabularClassifier`.
    n_ensemble : int
        Number of networks, whose predictions are averaged. From 2 on, each has its own fold of the rows to be judged by and
        is trained on all others, side by side on the cores.
    lr : float, optional
        The highest learning rate; None takes 0.07, and for "td" 0.2.
    epochs, batch_size, hidden, validation_fraction, categorical_features, n_jobs, random_state, progress
        As for :class:`TabularClassifier`.

    Attributes
    ----------
    networks_, encoder_, best_epochs_, validation_errors_, n_features_in_, feature_names_in_, n_iter_
        As for :class:`TabularClassifier`; the networks' targets are standardised, and the errors mean squared ones of those.

    Raises
    ------
    TypeError, ValueError
        By `fit` and `predict`, if an argument is out of its range or X does not suit.

    Examples
    --------
    >>> import fastmlp as fm
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> fm.TabularRegressor(epochs=64, random_state=0).fit(X, y).score(X, y) > 0.4
    True
    """

    def __init__(
        self,
        *,
        preset: str = "td-s",
        n_ensemble: int = 1,
        epochs: int = 256,
        batch_size: int = 256,
        lr: float | None = None,
        hidden: Any = (256, 256, 256),
        validation_fraction: float = 0.2,
        categorical_features: Any = "from_dtype",
        n_jobs: int | None = None,
        random_state: Any = None,
        progress: bool = False,
    ) -> None:
        self.preset = preset
        self.n_ensemble = n_ensemble
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.hidden = hidden
        self.validation_fraction = validation_fraction
        self.categorical_features = categorical_features
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.progress = progress

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: Any = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> TabularRegressor:
        """Train.

        Parameters
        ----------
        X : (n, columns) array or frame
        y : (n,) or (n, outputs) array
            Numbers.
        sample_weight : (n,) array, optional
            How much each row counts; one of weight 0 is checked, and then as if it were not there.
        X_val, y_val, sample_weight_val : array or frame, arrays, optional
            Rows to judge each epoch by, instead of some of X.

        Returns
        -------
        self : TabularRegressor
        """
        with unchanged_by_errors(self):
            self._check(X, y, sample_weight=sample_weight, y_val=y_val, sample_weight_val=sample_weight_val)
            targets, one_output = _targets(y, "y")
            X, targets, weight = self._counting(X, targets, sample_weight)
            _check_range(targets)
            targets_val = None if y_val is None else _targets(y_val, "y_val")[0]
            if targets_val is not None and targets_val.shape[1] != targets.shape[1]:
                raise ValueError(f"y_val has shape {targets_val.shape}, but y has {targets.shape}. Pass as many columns.")
            self._shifts = self._fit(X, targets, targets.shape[1], weight, (X_val, targets_val, sample_weight_val))
            self._one_output = one_output
            self._range = targets.min(axis=0), targets.max(axis=0)
        return self

    def _recipe(self) -> Recipe:
        rates = {"td-s": 0.07, "td": 0.2}
        return self._made(rates, activation="mish", output="identity", loss="mse", error=squared_error)

    def predict(self, X: Any) -> NDArray:
        """Return the predictions, (n,) or (n, outputs) as y in fit; X has the columns of fit."""
        outputs = self._outputs(X)
        means = [out * std + mean for out, (mean, std) in zip(outputs, self._shifts, strict=True)]
        prediction = np.mean(np.clip(means, *self._range), axis=0)
        return prediction[:, 0] if self._one_output else prediction

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _check_gaps(y: Any, name: str) -> None:
    """Raise if a row has no class."""
    gaps = [row for row, value in enumerate(y) if arrays.is_missing(value)] if y.dtype == object else []
    if gaps:
        raise ValueError(f"{name} has no value in row {gaps[0]} ({y[gaps[0]]!r}). Fill the gap or leave the row out.")
    assert_all_finite(y, input_name=name)


def _codes(y: ArrayLike, classes: NDArray) -> NDArray[np.int64]:
    """Return the number of each target's class."""
    y = column_or_1d(y, warn=True)
    _check_gaps(y, "y_val")
    unknown = np.setdiff1d(y, classes)
    if unknown.size:
        raise ValueError(f"y_val has the class {unknown.tolist()[0]!r}, which y has not.")
    return np.searchsorted(classes, y)


def _check_range(targets: NDArray[np.float64]) -> None:
    """Raise if targets differ by so little that they could not be told from constant ones."""
    for low, high in zip(targets.min(axis=0), targets.max(axis=0), strict=True):
        if 0.0 < high - low < _SMALLEST:
            raise ValueError(
                f"y goes from {low:.3g} to {high:.3g} only, and their squares vanish. Multiply y by a power of ten."
            )


def _targets(y: ArrayLike, name: str) -> tuple[NDArray[np.float64], bool]:
    """Return targets as (n, outputs), and whether they came as (n,)."""
    targets = check_array(y, ensure_2d=False, dtype=np.float64, input_name=name)
    if np.abs(targets).max() > _LARGEST:
        raise ValueError(
            f"{name} goes up to {np.abs(targets).max():.3g}, whose square is no number. Divide {name} by a power of ten."
        )
    return (targets[:, None], True) if targets.ndim == 1 else (targets, False)
