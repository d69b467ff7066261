"""MLPClassifier: classes by a multilayer perceptron, as scikit-learn's."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_array, column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels
from sklearn.utils.validation import validate_data

from .base import BaseMLP
from .compat import with_callbacks
from .judge import accuracy
from .objective import Objective, classification

__all__ = ["MLPClassifier"]


class MLPClassifier(ClassifierMixin, BaseMLP):
    """A multilayer perceptron for classes, with scikit-learn's parameters, attributes and results.

    It minimises the log loss, of one class among several or of several labels at once. Parameters up to `max_fun` are those of
    ``sklearn.neural_network.MLPClassifier``, in its order; the others are more.

    Kept apart from scikit-learn on purpose: a network trained on float32 predicts in float32 whatever X's dtype is, and stays
    float32 after "lbfgs"; an `activation` that is set on a fitted estimator takes effect with the next fit; what
    `early_stopping` holds out has the same share of each class for three or more classes too, and not for two only; with
    `shuffle` rows come in an order of their own for each `random_state`; weights of rows must not be negative; and what is not
    finite is refused even if scikit-learn is told to assume that nothing is.

    Parameters
    ----------
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
        data, the same part of each class, unless fit is given some.
    validation_fraction : float, default=0.1
        Part that early stopping holds out.
    beta_1, beta_2, epsilon : float, default=0.9, 0.999, 1e-8
        For Adam; beta_2 and epsilon also for RMSprop, epsilon also for Adagrad.
    n_iter_no_change : int, default=10
        How many epochs without improvement are allowed in a row.
    max_fun : int, default=15000
        Most evaluations of "lbfgs".
    class_weight : dict or "balanced", default=None
        A factor for each class. Rows that early stopping holds out of X have it too, in losses and scores; X_val's have not.
    dropout : float, default=0.0
        Part of each hidden layer's outputs that training sets to zero; "lbfgs" knows none.
    scoring : str or callable, default=None
        What early stopping looks at: the name of a scorer, a function ``(estimator, X, y) -> float``, which gets
        `sample_weight` as well if it takes that, or "loss"; None is the accuracy. Of sparse data the function may get arrays as
        well as CSR matrices.
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
    classes_ : ndarray or list of ndarrays of shape (n_classes,)
        The classes.

    Raises
    ------
    InvalidParameterError
        By fit, if a parameter is out of its range.
    ValueError
        By fit and predict, if the data does not suit; by fit, if training diverges (see `on_divergence`).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastmlp import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = MLPClassifier((16,), solver="lbfgs", alpha=1.0, max_iter=1000, random_state=0).fit(X, y)
    >>> clf.score(X, y) > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseMLP._parameter_constraints,
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
    }
    loss = "log_loss"

    def __init__(
        self,
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
        class_weight=None,
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
        self : MLPClassifier
        """
        return self._fit(X, y, sample_weight, False, (X_val, y_val, sample_weight_val))

    @available_if(lambda est: est._check_solver())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """Update the model with a single iteration over the given data.

        As in scikit-learn, "sgd" and "adam" go on with the optimizer of the first call: of its parameters `alpha` alone is
        read anew.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.
        y : array-like of shape (n_samples,)
            The target values.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights.
        classes : array of shape (n_classes,), default=None
            Classes across all calls to partial_fit; needed at the first one.

        Returns
        -------
        self : MLPClassifier
        """
        if _check_partial_fit_first_call(self, classes):  # and kept even if this call is refused, as by scikit-learn
            multilabel = type_of_target(y).startswith("multilabel")
            self._label_binarizer = LabelBinarizer().fit(y if multilabel else classes)
        return self._fit(X, y, sample_weight, True, classes=classes)

    def predict(self, X):
        """Predict classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_classes)
            The predicted classes, or labels 0 and 1 of each.
        """
        outputs = self._outputs(X)
        binarizer = self._label_binarizer
        if binarizer.y_type_ == "multiclass":
            return self.classes_.take(outputs.argmax(axis=1))
        if binarizer.y_type_ == "binary" and len(self.classes_) == 2:
            return self.classes_.take(outputs[:, 0] > 0.5)
        return binarizer.inverse_transform(outputs.ravel() if outputs.shape[1] == 1 else outputs)

    def predict_proba(self, X):
        """Predict the probabilities of classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        y_prob : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; of several labels at once, each one's own.
        """
        outputs = self._outputs(X)
        if outputs.shape[1] > 1:
            return outputs
        return np.concatenate([1 - outputs, outputs], axis=1)

    def predict_log_proba(self, X):
        """Return the logarithms of :meth:`predict_proba`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        log_y_prob : ndarray of shape (n_samples, n_classes)
        """
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)

    def score(self, X, y, sample_weight=None):
        """Return the share of rows whose class, or whose labels all of them, are predicted right.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Test samples.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            True labels for `X`.
        sample_weight : array-like of shape (n_samples,), default=None
            What each row counts.

        Returns
        -------
        score : float
            As of ``sklearn.metrics.accuracy_score``.
        """
        predicted = self.predict(X)
        plain = sample_weight is None and _plain_classes(y) and _plain_classes(predicted)
        if plain and y.dtype.kind == predicted.dtype.kind and 0 < len(y) == len(predicted):
            # What accuracy_score comes to after a third of a millisecond's checks, a fifth of a small network's fit and score.
            return float(np.count_nonzero(y == predicted) / len(y))
        return accuracy_score(y, predicted, sample_weight=sample_weight)

    # ---- inside

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Any, NDArray]:
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, dtype=(np.float64, np.float32), reset=reset
        )
        y = _one_column(y)
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            self._label_binarizer = _binarizer(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            self._check_classes(y)
        return X, y, self._encode(y)

    def _check_classes(self, y: Any) -> None:
        """Raise unless y has the classes that are known, all of them for a warm start."""
        classes = unique_labels(y)
        if self.warm_start:
            if set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {self.classes_}, `y` has {classes}"
                )
        elif len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {classes}.")

    def _encode(self, y: Any) -> NDArray:
        if self._label_binarizer.y_type_.startswith("multilabel"):
            labels = self._label_binarizer.transform(y).astype(bool)
            return labels.toarray() if hasattr(labels, "toarray") else labels
        if np.ndim(y) > 1:
            raise ValueError("The object was not fitted with multilabel input.")
        return np.searchsorted(self.classes_, y)[:, None]

    def _validation_target(self, y: Any) -> tuple[NDArray, NDArray]:
        y = _one_column(check_array(y, accept_sparse="csr", ensure_2d=False, dtype=None, input_name="y_val"))
        missing = [i for i, value in enumerate(y) if value is None] if y.dtype.kind == "O" else []
        if missing:
            raise ValueError(f"y_val has no value in row {missing[0]}. Fill the gap or leave the row out.")
        if type_of_target(y, input_name="y_val").startswith("continuous"):
            raise ValueError("y_val must hold classes, but has numbers between them. Pass rows whose classes are all in y.")
        multilabel = self._label_binarizer.y_type_.startswith("multilabel")
        if y.shape[1:] != ((self.n_outputs_,) if multilabel else ()):
            has = f"{self.n_outputs_} labels" if multilabel else "one class"
            raise ValueError(f"y_val has shape {y.shape}, but y has {has} for each row. Pass y_val of the same kind.")
        unknown = np.setdiff1d(unique_labels(y), self.classes_)
        if len(unknown):
            raise ValueError(f"y_val has classes not in y: {unknown}. Pass rows whose classes are all in y.")
        return y, self._encode(y)

    def _objective_of(self, y: NDArray) -> tuple[Objective, int]:
        multiclass = self._label_binarizer.y_type_ == "multiclass"
        return self._objective_for(len(self.classes_) if multiclass else y.shape[1], "softmax" if multiclass else "logistic")

    def _objective_for(self, n_outputs: int, out_activation: str) -> tuple[Objective, int]:
        return classification(out_activation == "softmax", n_outputs), n_outputs

    def _class_factors(self, y: Any, incremental: bool) -> NDArray | None:
        if self.class_weight is None:
            return None
        if incremental and isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit, which does not see all the data. Pass a dict of "
                "weights, as sklearn.utils.class_weight.compute_class_weight returns them."
            )
        if np.ndim(y) > 1:
            factors = compute_sample_weight(self.class_weight, y)
        else:
            factors = compute_class_weight(self.class_weight, classes=self.classes_, y=y)[np.searchsorted(self.classes_, y)]
        wrong = factors[~(np.isfinite(factors) & (factors >= 0.0))]
        if wrong.size:
            raise ValueError(f"class_weight has {wrong[0]}, but must be finite and >= 0. Pass 0 to leave a class out.")
        return factors

    def _default_score(self, y: NDArray, outputs: NDArray, weight: NDArray | None) -> float:
        if len(self.classes_) == 1:  # which is the answer, whatever the output
            return 1.0
        return accuracy(y, outputs, weight)

    def __sklearn_tags__(self):
        """Return scikit-learn's tags."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _binarizer(y: Any) -> LabelBinarizer:
    """Return a LabelBinarizer fitted on y."""
    binarizer = LabelBinarizer()
    if not _plain_classes(y):
        return binarizer.fit(y)
    # As fit finds it, which looks for much that these cannot be: a sixth of the time of a small training.
    binarizer.classes_ = np.unique(y)
    binarizer.y_type_ = "multiclass" if len(binarizer.classes_) > 2 else "binary"
    binarizer.sparse_input_ = False
    return binarizer


def _plain_classes(y: Any) -> bool:
    """Whether y is an array of classes beyond doubt, as scikit-learn would have it."""
    return type(y) is np.ndarray and y.ndim == 1 and y.dtype.kind in "biu" and y.dtype.isnative


def _one_column(y: Any) -> Any:
    return column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
