"""From the same initial weights and in the same order of rows, the estimators come to what scikit-learn's come to."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from sklearn import neural_network as theirs
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression

import fastmlp as fm
from tests.estimators import SINCE_1_7

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

FITTED = ["n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"]


def classes(k: int = 3, n: int = 70):
    return make_classification(n, 6, n_informative=4, n_classes=k, random_state=0)


def labels(n: int = 70):
    return make_multilabel_classification(n, 6, n_classes=3, random_state=0)


def numbers(k: int = 1, n: int = 70):
    X, y = make_regression(n, 6, n_targets=k, random_state=0)
    return X, y / np.abs(y).max()


def pair(name: str, **parameters):
    """Our estimator and theirs; both draw the same initial weights from one random state."""
    parameters = {
        "random_state": 0,
        "shuffle": False,
        "max_iter": 7,
        "batch_size": 16,
        "hidden_layer_sizes": (9, 5),
        **parameters,
    }
    return getattr(fm, name)(**parameters), getattr(theirs, name)(**parameters)


def assert_same(ours, their, rtol: float = 1e-9) -> None:
    """Parameters, curves, and what both answer about rows that they have not seen."""
    for mine, other in zip([*ours.coefs_, *ours.intercepts_], [*their.coefs_, *their.intercepts_], strict=True):
        np.testing.assert_allclose(mine, other, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(ours.loss_, their.loss_, rtol=rtol)
    for name in FITTED:
        assert getattr(ours, name) == getattr(their, name), name
    X = np.random.default_rng(0).normal(size=(9, ours.n_features_in_)).astype(ours.coefs_[0].dtype)
    np.testing.assert_allclose(ours.predict(X), their.predict(X), rtol=100 * rtol, atol=rtol)
    if hasattr(their, "classes_"):
        np.testing.assert_array_equal(ours.classes_, their.classes_, strict=True)
        np.testing.assert_allclose(ours.predict_proba(X), their.predict_proba(X), rtol=100 * rtol, atol=rtol)
        with np.errstate(divide="ignore"):
            logarithms = ours.predict_log_proba(X), their.predict_log_proba(X)
        # Those of 1 - p have few digits, and 0 has none.
        np.testing.assert_allclose(*map(np.exp, logarithms), rtol=100 * rtol, atol=rtol)
    if their.solver != "lbfgs":
        np.testing.assert_allclose(ours.loss_curve_, their.loss_curve_, rtol=rtol)
        for name in ("best_loss_", "validation_scores_", "best_validation_score_"):
            mine, other = getattr(ours, name), getattr(their, name)
            assert (mine is None) == (other is None), name
            if other is not None:
                np.testing.assert_allclose(mine, other, rtol=rtol)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("solver", ["lbfgs", "sgd", "adam"])
@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_every_solver_and_activation(name, solver, activation, engine) -> None:
    X, y = classes() if name == "MLPClassifier" else numbers()
    for estimator in (estimators := pair(name, solver=solver, activation=activation, learning_rate_init=0.01)):
        estimator.fit(X, y)
    assert_same(*estimators)


@pytest.mark.parametrize("widths", [(9, 5), (100,)])
@pytest.mark.parametrize("solver", ["lbfgs", "sgd", "adam"])
@pytest.mark.parametrize("kind", ["three classes", "two classes", "labels"])
def test_losses_of_rows_that_are_surely_wrong(kind, solver, widths, engine) -> None:
    """scikit-learn clips probabilities, so that no output of a row counts more than 36, or 16 in float32."""
    if kind == "labels":
        X, y = labels()
    else:
        X, y = classes(3 if kind == "three classes" else 2)
    X = 1000.0 * (X - X.mean(axis=0))
    for dtype, rtol in ((np.float64, 1e-3), (np.float32, 1e-2)):  # theirs has few digits of 1 - p
        fields = {"hidden_layer_sizes": widths, "learning_rate_init": 1e-5, "max_iter": 3, "solver": solver, "max_fun": 4}
        ours, their = pair("MLPClassifier", **fields)
        ours.fit(X.astype(dtype), y)
        their.fit(X.astype(dtype), y)
        np.testing.assert_allclose(ours.loss_, their.loss_, rtol=rtol)
        if solver != "lbfgs":
            np.testing.assert_allclose(ours.loss_curve_, their.loss_curve_, rtol=rtol)
        unlimited = fm.MLP([6, *widths, ours.n_outputs_], output=ours.network_.output, loss=ours.network_.loss_spec.name)
        unlimited.params = ours.network_.params
        assert unlimited.loss(X, y) > 1.1 * ours.network_.loss(X, y)


@pytest.mark.parametrize("momentum", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("nesterovs_momentum", [True, False])
@pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "adaptive"])
def test_every_policy_of_the_learning_rate(learning_rate, nesterovs_momentum, momentum) -> None:
    X, y = classes(2)
    fields = {"learning_rate": learning_rate, "nesterovs_momentum": nesterovs_momentum, "momentum": momentum, "power_t": 0.3}
    # A tolerance that losses cannot meet lets the adaptive rate fall.
    ours, their = pair(
        "MLPClassifier", solver="sgd", learning_rate_init=0.05, tol=0.5, n_iter_no_change=2, max_iter=25, **fields
    )
    assert_same(ours.fit(X, y), their.fit(X, y))


def test_an_adaptive_rate_falls_to_the_same_end() -> None:
    X, y = classes(2)
    fields = {"learning_rate": "adaptive", "learning_rate_init": 0.05, "tol": 0.5, "n_iter_no_change": 2, "max_iter": 100}
    ours, their = pair("MLPClassifier", solver="sgd", **fields)
    assert_same(ours.fit(X, y), their.fit(X, y))
    assert ours.n_iter_ < 100


@pytest.mark.parametrize("data", [classes, labels, numbers])
def test_settings_of_adam(data) -> None:
    name = "MLPRegressor" if data is numbers else "MLPClassifier"
    ours, their = pair(name, beta_1=0.5, beta_2=0.7, epsilon=1e-2)
    assert_same(*(estimator.fit(*data()) for estimator in (ours, their)))


@pytest.mark.parametrize("solver", ["lbfgs", "sgd", "adam"])
@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_penalty(solver, alpha) -> None:
    X, y = classes()
    ours, their = pair("MLPClassifier", solver=solver, alpha=alpha)
    assert_same(ours.fit(X, y), their.fit(X, y))


@pytest.mark.parametrize("solver", ["lbfgs", "sgd", "adam"])
@pytest.mark.parametrize("data", ["multilabel", "outputs"])
def test_several_outputs(solver, data) -> None:
    if data == "outputs":
        name, (X, y) = "MLPRegressor", numbers(3)
    else:
        name, (X, y) = "MLPClassifier", make_multilabel_classification(60, 6, n_classes=4, random_state=0)
    ours, their = pair(name, solver=solver)
    assert_same(ours.fit(X, y), their.fit(X, y))
    np.testing.assert_allclose(ours.predict(X), their.predict(X), rtol=1e-9, atol=1e-9)


@SINCE_1_7
@pytest.mark.parametrize("solver", ["lbfgs", "sgd", "adam"])
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_poisson(solver, outputs, weighted) -> None:
    X, y = numbers(outputs)
    y = np.floor(3 * np.abs(y))
    weight = np.random.default_rng(0).random(len(X)) + 0.1 if weighted else None
    ours, their = pair("MLPRegressor", loss="poisson", solver=solver, batch_size=len(X) if weighted else 16)
    assert_same(ours.fit(X, y, weight), their.fit(X, y, weight))


@SINCE_1_7
@pytest.mark.parametrize("solver", ["lbfgs", "sgd", "adam"])
@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_sample_weight(name, solver) -> None:
    X, y = classes() if name == "MLPClassifier" else numbers()
    weight = np.random.default_rng(0).random(len(X)) + 0.1
    ours, their = pair(name, solver=solver, alpha=0.3)
    assert_same(ours.fit(X, y, weight), their.fit(X, y, weight))


@pytest.mark.parametrize("weighted", [False, pytest.param(True, marks=SINCE_1_7)])
@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_early_stopping_on_the_same_rows(name, weighted) -> None:
    X, y = classes(2, 200) if name == "MLPClassifier" else numbers(1, 200)
    weight = [np.random.default_rng(0).random(len(X)) + 0.1] if weighted else []
    ours, their = pair(name, early_stopping=True, max_iter=60, n_iter_no_change=3, tol=0.01, learning_rate_init=0.01)
    ours.fit(X, y, *weight)
    assert ours.n_iter_ < 60
    assert_same(ours, their.fit(X, y, *weight))


@pytest.mark.parametrize("data", [labels, lambda n: numbers(3, n)], ids=["labels", "outputs"])
def test_early_stopping_with_several_outputs(data) -> None:
    ours, their = pair("MLPClassifier" if data is labels else "MLPRegressor", early_stopping=True)
    assert_same(*(estimator.fit(*data(200)) for estimator in (ours, their)))


def test_early_stopping_with_a_class_too_rare_to_hold_out() -> None:
    X, y = classes(3, 60)
    y = np.where(np.arange(60) == 7, 2, np.minimum(y, 1))
    ours, their = pair("MLPClassifier", early_stopping=True)
    assert_same(ours.fit(X, y), their.fit(X, y))


def test_early_stopping_with_one_class() -> None:
    X, _ = classes()
    ours, their = pair("MLPClassifier", early_stopping=True, max_iter=2, random_state=1, learning_rate_init=1e-6)
    assert_same(ours.fit(X, np.ones(70, int)), their.fit(X, np.ones(70, int)))
    assert ours.validation_scores_ == [1.0, 1.0]


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("data", [classes, labels])
def test_partial_fit(solver, data) -> None:
    X, y = data()
    ours, their = pair("MLPClassifier", solver=solver, learning_rate="invscaling")
    for rows in (slice(0, 40), slice(30, 70), slice(0, 70)):
        for estimator in (ours, their):
            estimator.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
    ours.max_iter = their.max_iter = 3
    assert_same(ours, their)
    assert_same(ours.fit(X, y), their.fit(X, y))


@pytest.mark.parametrize("solver", ["lbfgs", "sgd", "adam"])
def test_warm_start(solver) -> None:
    X, y = classes()
    ours, their = pair("MLPClassifier", solver=solver, warm_start=True)
    for _ in range(2):
        assert_same(ours.fit(X, y), their.fit(X, y))
    for estimator in (ours, their):
        estimator.coefs_[0] = np.full_like(estimator.coefs_[0], 0.1)
        estimator.intercepts_[1][:] = 0.2
        estimator.fit(X, y)
    assert_same(ours, their)


def test_convergence_after_the_same_number_of_epochs() -> None:
    X, y = classes(2)
    ours, their = pair("MLPClassifier", max_iter=300, learning_rate_init=0.02, tol=1e-3, hidden_layer_sizes=(4,))
    ours.fit(X, y)
    assert 20 < ours.n_iter_ < 300
    assert_same(ours, their.fit(X, y), rtol=1e-6)


@pytest.mark.parametrize("data", [classes, numbers])
def test_float32_stays(data) -> None:
    X, y = data()
    ours, their = pair("MLPClassifier" if data is classes else "MLPRegressor")
    X = X.astype(np.float32)
    assert_same(ours.fit(X, y), their.fit(X, y), rtol=2e-5)
    answer = ours.predict_proba(X) if data is classes else ours.predict(X)
    assert ours.coefs_[0].dtype == answer.dtype == np.float32


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_what_is_printed(solver, capsys) -> None:
    X, y = classes(2, 200)
    printed = []
    for estimator in pair("MLPClassifier", solver=solver, verbose=True, early_stopping=True, tol=0.2, n_iter_no_change=2,
                          learning_rate="adaptive", max_iter=12):  # fmt: skip
        estimator.fit(X, y)
        printed.append(capsys.readouterr().out)
    assert printed[0].splitlines()[0] == printed[1].splitlines()[0]
    assert printed[0].splitlines() == printed[1].splitlines()


@pytest.mark.parametrize("solver", ["lbfgs", "sgd", "adam"])
@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_sparse_inputs(name, solver, engine) -> None:
    X = scipy.sparse.random(90, 60, 0.04, "csr", random_state=np.random.default_rng(0))
    y = np.arange(90) % 3
    ours, their = pair(name, solver=solver, alpha=0.1, shuffle=solver == "lbfgs")
    assert_same(ours.fit(X, y), their.fit(X, y), 1e-7 if solver == "lbfgs" else 1e-9)
    np.testing.assert_allclose(ours.predict(X), their.predict(X), rtol=1e-7)
