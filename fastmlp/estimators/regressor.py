"""MLPRegressor: numbers by a multilayer perceptron, as scikit-learn's."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils import check_array, column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data

from ..losses import Huber, Quantile
from .base import BaseMLP
from .compat import with_callbacks
from .judge import r_squared
from .objective import REGRESSION_LOSSES, Objective, regression

__all__ = ["MLPRegressor"]


class MLPRegressor(RegressorMixin, BaseMLP):
    """A multilayer perceptron for numbers, with scikit-learn's parameters, attributes and results.

    Parameters up to `max_fun` are those of ``sklearn.neural_network.MLPRegressor``, in its order; the others are more. With
    loss="poisson", `sample_weight` and several minibatches the losses differ from scikit-learn's by what depends on the targets
    alone, since that averages y ln y - y batch by batch.

    Parameters
    ----------
    loss : str, Huber or Quantile, default="squared_error"
        "squared_error" or "poisson" (targets >= 0, with an exponential output), as in scikit-learn; "mae" or
        "absolute_error"; "huber" or ``fm.losses.Huber(delta)``; "quantile", which is the median, or ``fm.losses.Quantile(q)``.
    hidden_layer_sizes, activation, dropout
        The layers, as for :class:`MLPClassifier`.
    solver, alpha, batch_size, learning_rate, learning_rate_init, power_t, momentum, nesterovs_momentum, beta_1, beta_2, epsilon
        The steps, as there.
    max_iter, max_fun, max_time, tol, n_iter_no_change, on_divergence
        When training ends, as there.
    early_stopping, validation_fraction, scoring
        What is held out and how it is judged, as there; but scoring=None is R².
    random_state, shuffle, warm_start, n_ensemble, n_jobs
        How networks begin, and how many there are, as there.
    callbacks, verbose, progress
        Who is told, as there.

    Attributes
    ----------
    coefs_, intercepts_, network_, n_layers_, n_outputs_, out_activation_, estimators_, n_features_in_, feature_names_in_
        What is fitted, as for :class:`MLPClassifier`.
    loss_, best_loss_, loss_curve_, validation_loss_curve_, validation_scores_, best_validation_score_, n_iter_, t_
        How the fit went, as there.

    Raises
    ------
    InvalidParameterError
        By fit, if a parameter is out of its range.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from fastmlp import MLPRegressor
    >>> X, y = make_regression(200, 5, random_state=0)
    >>> MLPRegressor(hidden_layer_sizes=(20,), solver="lbfgs", max_iter=2000, random_state=0).fit(X, y).score(X, y) > 0.99
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions(set(REGRESSION_LOSSES)), Huber, Quantile],
    }

    def __init__(
        self,
        loss="squared_error",
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        dropout=0.0,
        scoring=None,
        max_time=None,
        callbacks=None,
        progress=False,
        on_divergence="raise",
        n_ensemble=1,
        n_jobs=None,
    ):
        self._store(locals())

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Fit the model to data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The target values.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights.
        X_val, y_val, sample_weight_val : array-like, default=None
            Data to validate on after each epoch: `validation_loss_curve_`, and early stopping's scores.

        Returns
        -------
        self : MLPRegressor
        """
        return self._fit(X, y, sample_weight, False, (X_val, y_val, sample_weight_val))

    @available_if(lambda est: est._check_solver())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Update the model with a single iteration over the given data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The target values.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights.

        Returns
        -------
        self : MLPRegressor
        """
        return self._fit(X, y, sample_weight, True)

    def predict(self, X):
        """Predict numbers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The predicted values.
        """
        outputs = self._outputs(X)
        return outputs.ravel() if outputs.shape[1] == 1 else outputs

    # ---- inside

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Any, NDArray]:
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, y_numeric=True, dtype=(np.float64, np.float32),
            reset=reset,
        )  # fmt: skip
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y, self._encode(y)

    def _encode(self, y: Any, name: str = "y") -> NDArray:
        if self.loss == "poisson" and y.min() < 0:
            raise ValueError(
                f"loss='poisson' takes targets >= 0; got {y.min():g} in {name}. Use another loss, such as 'squared_error'."
            )
        return y[:, None] if y.ndim == 1 else y

    def _validation_target(self, y: Any) -> tuple[NDArray, NDArray]:
        y = check_array(y, ensure_2d=False, dtype="numeric", input_name="y_val")
        return y, self._encode(y, "y_val")

    def _objective_of(self, y: NDArray) -> tuple[Objective, int]:
        return self._objective_for(y.shape[1], "")

    def _objective_for(self, n_outputs: int, out_activation: str) -> tuple[Objective, int]:
        return regression(self.loss, n_outputs), n_outputs

    def _default_score(self, y: NDArray, outputs: NDArray, weight: NDArray | None) -> float:
        return r_squared(y, outputs, weight)
