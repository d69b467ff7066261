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

    Kept apart from scikit-learn on purpose: a network trained on float32 predicts in float32 whatever X's dtype is, and stays
    float32 after "lbfgs"; an `activation` that is set on a fitted estimator takes effect with the next fit; with `shuffle` rows
    come in an order of their own for each `random_state`; weights of rows must not be negative; and what is not finite is
    refused even if scikit-learn is told to assume that nothing is.

    Parameters
    ----------
    loss : str, Huber or Quantile, default="squared_error"
        "squared_error" or "poisson" (targets >= 0, with an exponential output), as in scikit-learn; "mae" or
        "absolute_error"; "huber" or ``fm.losses.Huber(delta)``; "quantile", which is the median, or ``fm.losses.Quantile(q)``.
    hidden_layer_sizes : array-like of shape (n_layers - 2,), default=(100,)
        Widths of the hidden layers.
    activation : str, array-like or Activation, default="relu"
        Activation of the hidden layers: "identity", "logistic", "tanh", "relu" or any other of
        ``fm.activations.ACTIVATIONS`` but softmax and exp; or a list with one for each layer.
    solver : str or Optimizer, default="adam"
        "lbfgs", "sgd" or "adam", as in scikit-learn; "adamw", whose `alpha` is a decoupled weight decay instead of a penalty;
        "amsgrad", "rmsprop", "adagrad"; or an optimizer such as ``fm.SGD(0.1, clip_norm=1.0)``, which has its own learning
        rate and penalties.
    alpha : float, default=0.0001
        Strength of the L2 penalty alpha / 2 Σ w², divided by the number of samples of the batch.
    batch_size : int or "auto", default="auto"
        Rows of a minibatch; "auto" is min(200, n_samples).
    learning_rate : str or Schedule, default="constant"
        "constant", "invscaling" or "adaptive", for solver="sgd"; or for every stochastic solver the name of a schedule of
        ``fm.schedules.SCHEDULES``, which starts from `learning_rate_init`, or a schedule.
    learning_rate_init : float, default=0.001
        The learning rate to begin with.
    power_t : float, default=0.5
        Exponent of "invscaling": learning_rate_init / (t + 1)^power_t after t samples.
    max_iter : int, default=200
        Most epochs, or for "lbfgs" most iterations.
    shuffle : bool, default=True
        Whether each epoch takes the rows in another order.
    random_state : int, RandomState or None, default=None
        Seed of initial weights, of the rows held out, of the order of rows and of dropout.
    tol : float, default=0.0001
        By how much an epoch must lower the loss, or raise the score, to count as an improvement.
    verbose : bool, default=False
        Print each epoch's loss.
    warm_start : bool, default=False
        Whether fit goes on from the parameters of the fit before.
    momentum : float, default=0.9
        For solver="sgd".
    nesterovs_momentum : bool, default=True
        For solver="sgd".
    early_stopping : bool, default=False
        Stop when the score on validation data stops rising, and go back to the best epoch. The data is a part of the training
        data, unless fit is given some.
    validation_fraction : float, default=0.1
        Part that early stopping holds out.
    beta_1, beta_2, epsilon : float, default=0.9, 0.999, 1e-8
        For Adam; beta_2 and epsilon also for RMSprop, epsilon also for Adagrad.
    n_iter_no_change : int, default=10
        How many epochs without improvement are allowed in a row.
    max_fun : int, default=15000
        Most evaluations of "lbfgs".
    dropout : float, default=0.0
        Part of each hidden layer's outputs that training sets to zero; "lbfgs" knows none.
    scoring : str or callable, default=None
        What early stopping looks at: the name of a scorer, a function ``(estimator, X, y) -> float``, which gets
        `sample_weight` as well if it takes that, or "loss"; None is R². Of sparse data the function may get arrays as well
        as CSR matrices.
    max_time : float, default=None
        Most seconds of a fit; training ends after the epoch in which they are over. Networks of an ensemble that follow each
        other share them.
    callbacks : Callback or list of them, default=None
        Objects with some of the methods of ``fm.Callback``. With scikit-learn 1.9, ``set_callbacks`` takes scikit-learn's. With
        `n_ensemble` above 1 each network has its own copy of them, and the objects that were passed are not called.
    progress : bool, default=False
        Whether to show a progress bar.
    on_divergence : {"raise", "warn"}, default="raise"
        What happens when a loss or parameter becomes infinite or NaN, as soon as it does: scikit-learn's ValueError, or a
        DivergenceWarning. The parameters are those of the last good epoch in either case. Early stopping that has a best epoch
        only warns and goes back to that, as in scikit-learn.
    n_ensemble : int, default=1
        How many networks to train, from different seeds; their predictions are averaged. A Ctrl-C ends all of them: it raises
        KeyboardInterrupt, while a single network keeps what it has.
    n_jobs : int, default=None
        Most threads; None and -1 take as many cores as help. Results do not depend on it.

    Attributes
    ----------
    coefs_, intercepts_ : lists of ndarrays
        Weights (fan_in, width) and biases (width,) of each layer, views of the network's.
    network_ : fm.MLP
        The fitted network.
    loss_ : float
        The last epoch's loss, penalty included.
    best_loss_ : float or None
        The least loss; None with early stopping. With solver="lbfgs" there are neither this nor the curves and scores below.
    loss_curve_ : list of float
        Each epoch's loss.
    validation_loss_curve_ : list of float
        Loss of the validation data after each epoch, without penalty; empty if there is none.
    validation_scores_ : list of float or None
        Each epoch's score, with early stopping.
    best_validation_score_ : float or None
        The highest of them.
    n_iter_, t_ : int
        Epochs of the last fit, and rows seen in all of them.
    n_layers_, n_outputs_, n_features_in_ : int
        Layers, inputs and outputs included; outputs; inputs.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        The columns' names, if X had some.
    out_activation_ : str
        Activation of the outputs.
    estimators_ : list
        The members, if n_ensemble > 1; the attributes above are the first one's.

    Raises
    ------
    InvalidParameterError
        By fit, if a parameter is out of its range.
    ValueError
        By fit and predict, if the data does not suit; by fit, if training diverges (see `on_divergence`).

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

        As in scikit-learn, "sgd" and "adam" go on with the optimizer of the first call: of its parameters `alpha` alone is
        read anew.

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
