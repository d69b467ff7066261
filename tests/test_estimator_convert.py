"""From scikit-learn's fitted estimators to ours and back."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import neural_network as theirs
from sklearn.datasets import load_iris, make_multilabel_classification, make_regression
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

import fastmlp as fm
from tests.estimators import OLD

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


def data(kind: str):
    if kind == "multilabel":
        return make_multilabel_classification(80, 6, n_classes=3, random_state=0)
    if kind == "numbers":
        return make_regression(80, 6, n_targets=2, random_state=0)
    X, y = load_iris(return_X_y=True)
    return (X, y) if kind == "classes" else (X[:100], y[:100])


def make(module, kind: str, **parameters):
    cls = module.MLPRegressor if kind == "numbers" else module.MLPClassifier
    return cls(**{"hidden_layer_sizes": (7, 4), "max_iter": 5, "shuffle": False, "random_state": 0} | parameters)


@pytest.mark.parametrize("kind", ["classes", "two classes", "multilabel", "numbers"])
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("way", ["here", "there"])
def test_the_same_predictions_and_the_same_training_from_there_on(way, solver, kind) -> None:
    X, y = data(kind)
    if way == "here":
        source, convert = make(theirs, kind, solver=solver, learning_rate="invscaling"), fm.from_sklearn
    else:
        source, convert = make(fm, kind, solver=solver, learning_rate="invscaling"), fm.to_sklearn
    source.fit(X, y)
    other = convert(source)
    np.testing.assert_allclose(other.predict(X), source.predict(X), rtol=1e-9, atol=1e-9)
    for name in ("n_iter_", "t_", "loss_", "n_features_in_", "n_outputs_", "n_layers_", "out_activation_"):
        assert getattr(other, name) == getattr(source, name), name
    if solver != "lbfgs":
        for estimator in (source, other):
            estimator.partial_fit(X, y)
        for mine, their in zip(source.coefs_, other.coefs_, strict=True):
            np.testing.assert_allclose(mine, their, rtol=1e-8, atol=1e-10)
        assert len(other.loss_curve_) == 6


def test_there_and_back_is_the_same(recwarn) -> None:
    X, y = data("classes")
    fitted = make(fm, "classes", activation="logistic", dropout=0.1).fit(X, y)
    back = fm.from_sklearn(fm.to_sklearn(fitted))
    np.testing.assert_array_equal(back.predict_proba(X), fitted.predict_proba(X))
    assert back.activation == "logistic"
    assert back.dropout == 0.0


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"activation": "gelu"}, "activation='gelu', but scikit-learn's MLP has one for all hidden layers"),
        ({"activation": ["relu", "tanh"]}, "scikit-learn's MLP has one for all hidden layers"),
        ({"n_ensemble": 2}, "n_ensemble=2, but scikit-learn's MLP is one network"),
    ],
)
def test_what_scikit_learn_does_not_have(parameters, match) -> None:
    fitted = make(fm, "classes", **parameters).fit(*data("classes"))
    with pytest.raises(ValueError, match=match):
        fm.to_sklearn(fitted)


@pytest.mark.parametrize(("before", "after"), [("sgd", "adam"), ("adam", "sgd"), ("adam", "lbfgs")])
def test_the_state_of_another_solver_is_left_behind(before, after) -> None:
    X, y = data("classes")
    fitted = make(fm, "classes", solver=before).fit(X, y).set_params(solver=after)
    other = fm.to_sklearn(fitted)
    assert not hasattr(other, "_optimizer")
    np.testing.assert_allclose(other.predict_proba(X), fitted.predict_proba(X))
    back = fm.from_sklearn(make(theirs, "classes", solver=before).fit(X, y).set_params(solver=after))
    assert back.network_._state.optimizer is None
    np.testing.assert_allclose(back.predict_proba(X), fitted.predict_proba(X), rtol=1e-9)


def test_a_loss_that_scikit_learn_does_not_have() -> None:
    fitted = make(fm, "numbers", loss="mae").fit(*data("numbers"))
    with pytest.raises(ValueError, match="loss='mae', which scikit-learn's MLPRegressor does not have"):
        fm.to_sklearn(fitted)


def test_poisson_is_scikit_learns_from_its_version_1_7_on() -> None:
    X, y = data("numbers")
    fitted = make(fm, "numbers", loss="poisson").fit(X, np.abs(y) / 100)
    if OLD:
        with pytest.raises(ValueError, match="loss='poisson', which scikit-learn's MLPRegressor does not have"):
            fm.to_sklearn(fitted)
    else:
        np.testing.assert_allclose(fm.to_sklearn(fitted).predict(X), fitted.predict(X))


@pytest.mark.parametrize(("activation", "there"), [("logistic", "logistic"), ("tanh", "tanh"), ("gelu", "relu")])
def test_without_hidden_layers_the_activation_draws_initial_weights(activation, there) -> None:
    X, y = data("classes")
    fitted = make(fm, "classes", hidden_layer_sizes=(), activation=activation).fit(X, y)
    other = fm.to_sklearn(fitted)
    assert other.activation == there
    if there == activation:
        np.testing.assert_allclose(other.fit(X, y).coefs_[0], fitted.coefs_[0], rtol=1e-9)


def narrow(module) -> type:
    """A subclass whose constructor has other parameters."""

    class Narrow(module.MLPClassifier):
        def __init__(self, width=5) -> None:
            super().__init__((width,), max_iter=3, random_state=0)
            self.width = width

    return Narrow


@pytest.mark.parametrize(("module", "convert"), [(theirs, fm.from_sklearn), (fm, fm.to_sklearn)], ids=["here", "there"])
def test_subclasses_become_the_plain_class(module, convert) -> None:
    X, y = data("classes")
    source = narrow(module)().fit(X, y)
    other = convert(source)
    assert type(other) in (fm.MLPClassifier, theirs.MLPClassifier)
    assert (other.hidden_layer_sizes, other.max_iter) == ((5,), 3)
    np.testing.assert_allclose(other.predict_proba(X), source.predict_proba(X))


def test_other_things_are_refused() -> None:
    with pytest.raises(
        TypeError, match="must be a fitted MLPClassifier or MLPRegressor of scikit-learn; got LogisticRegression"
    ):
        fm.from_sklearn(LogisticRegression())
    with pytest.raises(TypeError, match="must be a fitted MLPClassifier or MLPRegressor of fastmlp; got LogisticRegression"):
        fm.to_sklearn(LogisticRegression())
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        fm.from_sklearn(theirs.MLPClassifier())
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        fm.to_sklearn(fm.MLPClassifier())
