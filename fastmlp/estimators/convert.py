"""From scikit-learn's fitted estimators to ours and back, the optimizer's state included."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import neural_network
from sklearn.neural_network import _stochastic_optimizers as theirs
from sklearn.utils.validation import check_is_fitted

from ..optimizers import Adam
from ..reference import ids
from .base import BaseMLP
from .classifier import MLPClassifier
from .rates import POLICIES, Policy, is_lbfgs, penalty_of, sgd
from .regressor import MLPRegressor
from .start import plain_activation

__all__ = ["from_sklearn", "to_sklearn"]

# Fitted attributes that are the same in both.
_SHARED = """
    classes_ _label_binarizer n_features_in_ feature_names_in_ n_iter_ t_ n_layers_ n_outputs_ out_activation_ loss_
    loss_curve_ best_loss_ validation_scores_ best_validation_score_ _no_improvement_count
""".split()
_COMMON = {"identity", "sigmoid", "tanh", "relu"}
_THEIR_OPTIMIZERS = {"sgd": theirs.SGDOptimizer, "adam": theirs.AdamOptimizer}
_PAIRS: tuple[tuple[Any, Any], ...] = (
    (MLPClassifier, neural_network.MLPClassifier),
    (MLPRegressor, neural_network.MLPRegressor),
)


def from_sklearn(estimator: Any) -> Any:
    """Return a fitted estimator of fastmlp that equals a fitted one of scikit-learn.

    It predicts the same, and goes on training from the same point: moments and learning rate are taken over too.

    Parameters
    ----------
    estimator : sklearn.neural_network.MLPClassifier or MLPRegressor
        Fitted.

    Returns
    -------
    MLPClassifier or MLPRegressor

    Raises
    ------
    TypeError
        If it is something else.
    NotFittedError
        If it is not fitted.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neural_network import MLPClassifier
    >>> import fastmlp as fm
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = MLPClassifier((5,), solver="lbfgs", alpha=1.0, max_iter=1000, random_state=0).fit(X, y)
    >>> bool((fm.from_sklearn(clf).predict(X) == clf.predict(X)).all())
    True
    """
    for ours, their in _PAIRS:
        if isinstance(estimator, their):
            check_is_fitted(estimator)
            # A subclass may have other parameters; those of the class itself are its attributes in any case.
            new = ours(**{name: getattr(estimator, name) for name in {*ours._get_param_names()} & {*their._get_param_names()}})
            _take_over(new, estimator)
            return new
    raise TypeError(
        f"estimator must be a fitted MLPClassifier or MLPRegressor of scikit-learn; got {type(estimator).__name__}."
    )


def _take_over(new: BaseMLP, old: Any) -> None:
    dtype = old.coefs_[0].dtype
    # The output layer says how many outputs there are; class indices have one column whatever their number.
    objective, new.n_outputs_ = new._objective_for(old.n_outputs_, old.out_activation_)
    new._initialize(objective, old.coefs_[0].shape[0], dtype, np.random.RandomState(0))
    if not is_lbfgs(new.solver):
        new._keep_books()
    for name in _SHARED:
        if hasattr(old, name):
            setattr(new, name, copy.copy(getattr(old, name)))
    new.coefs_, new.intercepts_ = list(old.coefs_), list(old.intercepts_)
    new._synchronize()
    # The solver may have been set after the fit: the state of another one is left behind.
    if isinstance(getattr(old, "_optimizer", None), _THEIR_OPTIMIZERS.get(new.solver, ())):
        _take_state(new, old._optimizer)


def _take_state(new: BaseMLP, optimizer: Any) -> None:
    """Let the network's optimizer go on from where scikit-learn's is."""
    net, layers, gradient = new.network_, len(new.coefs_), new._objective.gradient
    # By what the optimizer was made with: parameters may have been set since.
    first = optimizer.learning_rate_init
    if new.solver == "adam":
        betas = optimizer.beta_1, optimizer.beta_2
        net._state.use(Adam(first, *betas, optimizer.epsilon / gradient, eps_hat=True, **penalty_of(new, gradient)))
        net._state.reals[[ids.BETA1_POWER, ids.BETA2_POWER]] = np.power(betas, optimizer.t)
        new._policy = Policy("constant", first, new.power_t)
        vectors = [optimizer.ms, optimizer.vs]
        # Moments of the engine's gradients, which are smaller by a factor; a velocity has the rate in it.
        factors = [1 / gradient, gradient**-2.0]
    else:
        net._state.use(sgd(first, optimizer.momentum, optimizer.nesterov, **penalty_of(new, gradient)))
        new._policy = Policy(optimizer.lr_schedule, first, optimizer.power_t)
        new._policy.rate = optimizer.learning_rate
        vectors, factors = [optimizer.velocities], [1.0]
    for slot, arrays, factor in zip(net._state.slots, vectors, factors, strict=False):
        slot[...] = factor * _flat(new, arrays[:layers], arrays[layers:])


def _flat(est: BaseMLP, weights: list[NDArray], biases: list[NDArray]) -> NDArray:
    """Return arrays of each layer as one vector of the network's layout."""
    flat = np.zeros_like(est.network_.params)
    for view, array in zip(est.network_.plan.weights(flat), weights, strict=True):
        view[...] = array
    for bias, array in zip(est.network_.plan.biases(flat), biases, strict=True):
        assert bias is not None
        bias[...] = array
    return flat


def to_sklearn(estimator: Any) -> Any:
    """Return a fitted estimator of scikit-learn that equals a fitted one of fastmlp.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Fitted, and with nothing that scikit-learn does not have.

    Returns
    -------
    sklearn.neural_network.MLPClassifier or MLPRegressor

    Raises
    ------
    TypeError
        If it is something else.
    ValueError
        If scikit-learn has no such activation, loss, ensemble or solver; dropout and the like, which concern training only,
        are left behind.
    NotFittedError
        If it is not fitted.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> import fastmlp as fm
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = fm.MLPClassifier((5,), solver="lbfgs", alpha=1.0, max_iter=1000, random_state=0).fit(X, y)
    >>> bool((fm.to_sklearn(clf).predict(X) == clf.predict(X)).all())
    True
    """
    for ours, their in _PAIRS:
        if isinstance(estimator, ours):
            check_is_fitted(estimator)
            return _given_back(estimator, their)
    raise TypeError(f"estimator must be a fitted MLPClassifier or MLPRegressor of fastmlp; got {type(estimator).__name__}.")


def _given_back(old: BaseMLP, kind: Any) -> Any:
    _refuse_what_they_lack(old)
    parameters = {name: getattr(old, name) for name in kind._get_param_names()}
    parameters["activation"] = _common_activation(old)
    if not isinstance(old.solver, str) or old.solver not in ("lbfgs", "sgd", "adam"):
        parameters["solver"] = "adam"
    if not isinstance(old.learning_rate, str) or old.learning_rate not in POLICIES:
        parameters["learning_rate"] = "constant"
    new = kind(**parameters)
    old._synchronize()
    for name in _SHARED:
        if hasattr(old, name):
            setattr(new, name, copy.copy(getattr(old, name)))
    new.coefs_, new.intercepts_ = [w.copy() for w in old.coefs_], [b.copy() for b in old.intercepts_]
    # As there after early stopping: the same arrays, which training changes in place.
    new._best_coefs, new._best_intercepts = new.coefs_, new.intercepts_
    new._random_state = np.random.RandomState()
    # The solver may have been set after the fit.
    trained_by = getattr(old.network_._state.optimizer, "kind", None)
    if old._policy is not None and (old.solver, trained_by) in (("sgd", ids.SGD), ("adam", ids.ADAM)):
        new._optimizer = _their_optimizer(old, new)
    return new


def _their_optimizer(old: BaseMLP, new: Any) -> Any:
    params = new.coefs_ + new.intercepts_
    state, gradient, policy = old.network_._state, old._objective.gradient, old._policy
    # By what the training went with: parameters may have been set since.
    made_with: Any = state.optimizer
    assert policy is not None

    def split(slot: NDArray) -> list[NDArray]:
        plan = old.network_.plan
        return [w.copy() for w in plan.weights(slot)] + [b.copy() for b in plan.biases(slot) if b is not None]

    if old.solver == "adam":
        beta1, beta2 = made_with.beta1, made_with.beta2
        adam = theirs.AdamOptimizer(params, policy.first, beta1, beta2, made_with.eps * gradient)
        adam.ms = split(gradient * state.slots[0])
        adam.vs = split(gradient**2 * state.slots[1])
        # The engine keeps β₂^t, not t.
        power = max(float(state.reals[ids.BETA2_POWER]), np.finfo(float).tiny)
        adam.t = round(math.log(power) / math.log(beta2)) if beta2 > 0 else 1
        return adam
    given = theirs.SGDOptimizer(params, policy.first, policy.kind, made_with.momentum, made_with.nesterov, policy.power)
    given.learning_rate = policy.rate
    if len(state.slots):
        given.velocities = split(state.slots[0])
    return given


def _refuse_what_they_lack(old: BaseMLP) -> None:
    if "estimators_" in vars(old):
        raise ValueError(f"n_ensemble={len(old.estimators_)}, but scikit-learn's MLP is one network. Pass one of estimators_.")
    loss = getattr(old, "loss", "log_loss")
    chosen_there = "loss" in neural_network.MLPRegressor._get_param_names()  # from scikit-learn 1.7 on
    if loss not in ("log_loss", "squared_error", *(["poisson"] if chosen_there else [])):
        raise ValueError(f"loss={loss!r}, which scikit-learn's MLPRegressor does not have.")
    _common_activation(old)


def _common_activation(old: BaseMLP) -> str:
    """Return the one activation of the hidden layers, by scikit-learn's name."""
    # Without any, the parameter says how initial weights are drawn.
    names = {dense.activation for dense in old.network_.layers[:-1]} or {plain_activation(old)} & _COMMON or {"relu"}
    name = names.pop()
    if names or name not in _COMMON:
        raise ValueError(
            f"activation={old.activation!r}, but scikit-learn's MLP has one for all hidden layers, which is "
            "'identity', 'logistic', 'tanh' or 'relu'."
        )
    return "logistic" if name == "sigmoid" else str(name)
