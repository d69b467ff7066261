"""`n_ensemble` of TabularClassifier and TabularRegressor: what each network is trained on and judged by."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris

import fastmlp as fm
from fastmlp.tabular import base, recipe

SMALL = {"hidden": (32, 32), "epochs": 32, "batch_size": 32, "random_state": 0}
IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)


def classifier(**options) -> fm.TabularClassifier:
    return fm.TabularClassifier(**SMALL | options)


def regressor(**options) -> fm.TabularRegressor:
    return fm.TabularRegressor(**SMALL | options)


class Nines:
    """Stands for a network that has been trained."""

    def predict(self, x):
        return np.full((len(x), 1), 9.0)


@pytest.fixture
def parts(monkeypatch) -> list[tuple]:
    """The rows that each network would be trained on, those that it would be judged by, and its seed."""
    seen = []

    def train(self, train, held_out, encoder, n_outputs, seed):
        seen.append((train, held_out, seed))
        return Nines(), None

    monkeypatch.setattr(recipe.Recipe, "train", train)
    return seen


def test_an_ensemble_averages_networks_that_saw_different_folds() -> None:
    X, y = IRIS
    estimator = classifier(n_ensemble=4).fit(X, y)
    assert len(estimator.networks_) == len(estimator.best_epochs_) == 4
    each = [net.predict(estimator.encoder_.transform(X)) for net in estimator.networks_]
    np.testing.assert_allclose(estimator.predict_proba(X), np.mean(each, axis=0), rtol=1e-6)
    assert len({net.params.tobytes() for net in estimator.networks_}) == 4
    numbers = regressor(n_ensemble=3).fit(*DIABETES)
    assert len(numbers.networks_) == 3
    assert numbers.score(*DIABETES) > 0.4


@pytest.mark.usefixtures("any_threads")
def test_results_depend_on_the_seed_and_not_on_threads() -> None:
    X, y = DIABETES
    results = []
    for n_jobs, threads in ((1, 1), (2, 2), (None, 2), (3, None), (-1, 2)):
        fm.set_threads(threads)
        results.append(regressor(n_ensemble=3, n_jobs=n_jobs).fit(X, y).predict(X))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
    assert (regressor(n_ensemble=3, random_state=1).fit(X, y).predict(X) != results[0]).any()


def test_the_folds_hold_out_every_row_once_and_the_same_share_of_each_class(parts) -> None:
    X = np.arange(150.0)[:, None]
    every = classifier(n_ensemble=5, n_jobs=1).fit(X, IRIS[1]).encoder_.transform(X)[:, 0]
    np.testing.assert_array_equal(np.sort(np.concatenate([held.X[:, 0] for _, held, _ in parts])), every)
    for train, held, _ in parts:
        np.testing.assert_array_equal(np.sort([*train.X[:, 0], *held.X[:, 0]]), every)
        assert np.bincount(held.y).tolist() == [10, 10, 10]
    assert len({seed for _, _, seed in parts}) == 5


def test_a_single_network_is_judged_by_the_same_share_of_each_class(parts) -> None:
    classifier(validation_fraction=0.1).fit(*IRIS)
    ((_, held, _),) = parts
    assert np.bincount(held.y).tolist() == [5, 5, 5]


def test_rows_of_ones_own_judge_every_network(parts) -> None:
    X, y = IRIS
    classifier(n_ensemble=3, n_jobs=1).fit(X, y, X_val=X[40:60], y_val=y[40:60])
    for train, held, _ in parts:
        np.testing.assert_array_equal(train.y, y)
        np.testing.assert_array_equal(held.y, y[40:60])
    assert len({seed for _, _, seed in parts}) == 3


def test_each_network_has_the_mean_and_the_spread_of_its_own_targets(parts) -> None:
    """Its predictions stay within the range of all."""
    X, y = np.arange(30.0)[:, None], np.where(np.arange(30) == 7, 300.0, np.arange(30.0))
    fitted = regressor(n_ensemble=3, n_jobs=1).fit(X, y)
    every = fitted.encoder_.transform(X)[:, 0]
    own = [y[np.isin(every, train.X[:, 0])] for train, _, _ in parts]
    each = [targets.mean() + 9.0 * targets.std() for targets in own]
    assert min(each) < 300.0 < np.mean(each)
    np.testing.assert_allclose(fitted.predict([[5.0]]), np.mean(np.minimum(each, 300.0)))


@pytest.mark.parametrize(("n_jobs", "together"), [(None, 3), (-1, 3), (1, 1), (2, 2)])
def test_as_many_networks_are_trained_side_by_side_as_n_jobs_says(n_jobs, together, parts, monkeypatch) -> None:
    seen, side_by_side = [], base.side_by_side
    monkeypatch.setattr("fastmlp.engine.threads", lambda: 3)
    monkeypatch.setattr(base, "side_by_side", lambda *args: seen.append(args[-1]) or side_by_side(*args[:-1], 1))
    classifier(n_ensemble=4, n_jobs=n_jobs).fit(*IRIS)
    assert seen == [together]
