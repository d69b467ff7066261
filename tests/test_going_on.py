"""Estimators that go on, by warm_start or partial_fit, from what they were: with other parameters or data, or not at all."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.datasets import load_iris
from sklearn.neural_network import MLPClassifier as TheirClassifier

import fastmlp as fm
from fastmlp.reference import ids
from tests.estimators import quick, quick_numbers

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_iris(return_X_y=True)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("before", [1, 2])
def test_another_number_of_outputs_is_refused(solver, before) -> None:
    targets = {1: y * 1.0, 2: np.c_[y, -y] * 1.0}
    fitted = quick_numbers(warm_start=True, solver=solver).fit(X, targets[before])
    predictions = fitted.predict(X)
    with pytest.raises(ValueError, match=rf"y asks for n_outputs={3 - before}, but the network .* has n_outputs={before}"):
        fitted.fit(X, targets[3 - before])
    assert fitted.n_outputs_ == before
    np.testing.assert_array_equal(fitted.predict(X), predictions)


def test_partial_fit_refuses_another_number_of_outputs() -> None:
    with pytest.raises(ValueError, match="n_outputs=2"):
        quick_numbers().partial_fit(X, y * 1.0).partial_fit(X, np.c_[y, y] * 1.0)


def test_other_widths_are_refused() -> None:
    fitted = quick(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match=r"hidden_layer_sizes is \(50, 50\) by now, but the network .* has \[8\]"):
        fitted.set_params(hidden_layer_sizes=(50, 50)).fit(X, y)
    fitted.set_params(warm_start=False).fit(X, y)
    assert [weights.shape for weights in fitted.coefs_] == [(4, 50), (50, 50), (50, 3)]


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_another_activation_is_taken_as_scikit_learn_does(solver) -> None:
    parameters = {"hidden_layer_sizes": (5,), "max_iter": 5, "random_state": 0, "solver": solver}
    ours, their = fm.MLPClassifier(**parameters), TheirClassifier(**parameters)
    for estimator in (ours, their):
        estimator.set_params(warm_start=True).fit(X, y).set_params(activation="tanh").fit(X, y)
    np.testing.assert_allclose(ours.loss_curve_, their.loss_curve_, rtol=1e-10)
    np.testing.assert_allclose(ours.coefs_[0], their.coefs_[0], rtol=1e-8)
    for estimator in (ours, their):
        estimator.set_params(activation="logistic").partial_fit(X, y)
    np.testing.assert_allclose(ours.coefs_[0], their.coefs_[0], rtol=1e-8)


def test_partial_fit_keeps_the_optimizer_where_dropout_comes_in() -> None:
    plain, dropping = quick(), quick()
    for fitted in (plain, dropping):
        fitted.partial_fit(X, y, classes=[0, 1, 2])
    before = dropping.network_
    dropping.set_params(dropout=0.5)
    for fitted in (plain, dropping):
        fitted.partial_fit(X, y)
    after = dropping.network_
    assert after is not before
    assert after.layers[0].dropout == 0.5
    assert after._state.reals[ids.BETA1_POWER] == pytest.approx(0.9**2)
    assert not np.shares_memory(after._state.slots, before._state.slots)
    assert after._state.ints[ids.STEP] == plain.network_._state.ints[ids.STEP] == 2
    assert dropping.loss_ > plain.loss_
    assert dropping.t_ == plain.t_ == 300


def test_another_loss_is_taken() -> None:
    fitted = quick_numbers(warm_start=True, solver="lbfgs", alpha=0.0).fit(X, y * 1.0)
    fitted.set_params(loss="mae").fit(X, y * 1.0)
    assert fitted.network_.loss_spec.name == "mae"
    assert fitted.loss_ == pytest.approx(np.abs(fitted.predict(X) - y).mean())


def test_members_of_an_ensemble_take_what_was_set() -> None:
    fitted = quick(n_ensemble=2, warm_start=True, max_iter=5).fit(X, y)
    seeds = [member.random_state for member in fitted.estimators_]
    fitted.set_params(max_iter=9, alpha=1.0).fit(X, y)
    assert [(m.max_iter, m.alpha, m.n_ensemble) for m in fitted.estimators_] == [(9, 1.0, 1)] * 2
    assert [member.random_state for member in fitted.estimators_] == seeds
    assert fitted.n_iter_ == 9


def test_class_weights_of_a_part_of_the_classes() -> None:
    weighted, by_hand = quick(class_weight={1: 2.0, 2: 3.0}), quick()
    for rows in (slice(None), slice(100)):
        weighted.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
        by_hand.partial_fit(X[rows], y[rows], sample_weight=np.array([1.0, 2.0, 3.0])[y[rows]], classes=[0, 1, 2])
    np.testing.assert_array_equal(weighted.coefs_[0], by_hand.coefs_[0])


@pytest.mark.parametrize("sizes", [(3.9,), ["3"], [4, None]])
def test_widths_are_integers(sizes) -> None:
    with pytest.raises((TypeError, ValueError), match="hidden_layer_sizes"):
        quick(hidden_layer_sizes=sizes).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert quick(hidden_layer_sizes=np.array([3])).fit(X, y).coefs_[0].shape == (4, 3)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"solver": "lbfgs"}, {"solver": "adam"}),
        ({}, {"early_stopping": True}),
        ({"early_stopping": True}, {"early_stopping": False}),
    ],
    ids=["lbfgs", "to early stopping", "from early stopping"],
)
def test_a_warm_start_may_change_what_it_is_judged_by(before, after) -> None:
    fitted = quick(warm_start=True, **before).fit(X, y)
    fitted.set_params(max_iter=7, **after).fit(X, y)
    assert fitted.n_iter_ == 7
    assert (fitted.best_loss_ is None) == fitted.early_stopping
    assert len(fitted.loss_curve_) >= 7


@pytest.mark.parametrize("changes", [{"activation": "tanh"}, {"solver": "lbfgs"}])
@pytest.mark.parametrize("wrong", [{"X_val": X}, {"X_val": X[:, :2], "y_val": y}, {"X_val": X, "y_val": y[:3]}])
def test_a_fit_that_is_refused_changes_nothing(changes, wrong) -> None:
    fitted = quick(warm_start=True).fit(X, y)
    probabilities = fitted.predict_proba(X)
    with pytest.raises(ValueError, match=r"X_val|X has 2 features|y_val has 3 rows"):
        fitted.set_params(**changes).fit(X, y, **wrong)
    np.testing.assert_array_equal(fitted.predict_proba(X), probabilities)


class Counting(fm.Callback):
    """Counts the epochs that it hears of."""

    def __init__(self) -> None:
        self.epochs = 0

    def on_epoch_end(self, net, epoch, logs) -> None:
        self.epochs += 1


def test_members_keep_their_callbacks() -> None:
    fitted = quick(n_ensemble=2, callbacks=[Counting()])
    for _ in range(4):
        fitted.partial_fit(X, y, classes=[0, 1, 2])
    assert [member.callbacks[0].epochs for member in fitted.estimators_] == [4, 4]
