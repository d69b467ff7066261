"""``preset="td"``: RealMLP-TD, with embeddings, parametric activations, dropout, weight decay and parameters from the data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

import fastmlp as fm
from fastmlp.schedules import CosineLog, FlatCosine
from fastmlp.tabular import TabularEncoder
from fastmlp.tabular.recipe import FullRecipe, JudgedRun, LastBest, Rows, squared_error

SMALL = {"preset": "td", "hidden": (32, 32), "epochs": 32, "batch_size": 32, "random_state": 0}


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_it_is_the_published_recipe(kind, monkeypatch) -> None:
    """Appendix A of arXiv 2407.04491, and pytabkit 1.7's defaults where that leaves something open."""
    seen = {}

    def go(run):
        seen.update(vars(run.options), net=run.net, rows=len(run.data.train))

    monkeypatch.setattr(JudgedRun, "go", go)
    X, y = load_breast_cancer(return_X_y=True) if kind == "classes" else load_diabetes(return_X_y=True)
    estimator = fm.TabularClassifier if kind == "classes" else fm.TabularRegressor
    estimator(preset="td", random_state=0).fit(X, y)
    net, optimizer = seen["net"], seen["optimizer"]
    embedding, *hidden, last = net.layers
    assert embedding == fm.Embedding(X.shape[1], waves=16, parts=3, size=8, sigma=0.1)
    activation = "selu" if kind == "classes" else "mish"
    assert [(d.width, d.activation, d.parametric, d.dropout) for d in hidden] == [(256, activation, True, 0.15)] * 3
    assert (last.parametric, last.dropout) == (False, 0.0)
    assert optimizer == fm.Adam(
        CosineLog(0.04 if kind == "classes" else 0.2), beta1=0.9, beta2=0.95, eps=1e-8, ntk=True, scale_factor=6.0,
        bias_factor=0.1, alpha_factor=0.1, weight_decay=FlatCosine(0.02), scale_decay=36.0,
    )  # fmt: skip
    assert seen["dropout_schedule"] == FlatCosine(1.0)
    assert (seen["epochs"], seen["batch_size"], seen["drop_last"], seen["shuffle"]) == (256, 256, True, True)
    if kind == "classes":
        assert net.loss_spec.smoothing == 0.1
    np.testing.assert_array_equal(net.alphas[1], np.ones(256))


def test_every_unit_begins_with_a_standard_deviation_of_one_and_a_zero_among_the_rows() -> None:
    """So a unit's values before its bias are 1 apart, and its bias is minus a mean of some of them."""
    X, _ = load_diabetes(return_X_y=True)
    estimator = fm.TabularRegressor(**SMALL)
    encoder = TabularEncoder(max_one_hot=8)
    x = encoder.fit_transform(X)
    net = estimator._recipe().network(x, encoder, 1, seed=3)
    inputs = net.activations(x)[0]
    for layer in range(1, len(net.layers)):
        before = inputs @ net.weights[layer]
        np.testing.assert_allclose(before.std(axis=0), 1.0, rtol=1e-4)
        assert (before.min(axis=0) < -net.biases[layer]).all()
        assert (before.max(axis=0) > -net.biases[layer]).all()
        inputs = net.activations(x)[layer]
    other = estimator._recipe().network(x, encoder, 1, seed=4)
    assert (other.params != net.params).mean() > 0.9


def test_biases_are_means_of_five_rows_with_exponential_weights() -> None:
    """Those weights' squares add up to a third on average, equal ones' to a fifth."""
    X, _ = load_diabetes(return_X_y=True)
    encoder = TabularEncoder(max_one_hot=8)
    x = encoder.fit_transform(X)
    net = fm.TabularRegressor(**{**SMALL, "hidden": (4000,)})._recipe().network(x, encoder, 1, seed=3)
    means = (net.activations(x)[0] @ net.weights[1]).mean(axis=0)
    assert (net.biases[1] + means).var() == pytest.approx(1 / 3, rel=0.1)


def test_a_table_without_spread_begins_with_numbers() -> None:
    """All columns constant: pytabkit divides by zero there."""
    X = np.ones((40, 3))
    regressor = fm.TabularRegressor(**SMALL).fit(X, np.arange(40.0))
    assert np.isfinite(regressor.predict(X)).all()


def frame(n: int = 300) -> tuple[pd.DataFrame, np.ndarray]:
    """A number with gaps, a category of two, one of five, and two with more than eight."""
    rng = np.random.default_rng(0)
    city, shop = rng.integers(0, 30, n), rng.integers(0, 12, n)
    X = pd.DataFrame(
        {
            "city": pd.Categorical([f"city {i}" for i in city]),
            "size": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
            "new": pd.Categorical(np.where(rng.random(n) < 0.5, "yes", "no")),
            "shop": pd.Categorical([f"shop {i}" for i in shop]),
            "kind": pd.Categorical(rng.choice(list("abcde"), n)),
        }
    )
    effects = rng.normal(size=30), rng.normal(size=12)
    return X, effects[0][city] + effects[1][shop] + X["size"].fillna(0.0).to_numpy()


def test_categories_of_which_there_are_many_are_rows_of_a_table() -> None:
    X, y = frame(900)
    estimator = fm.TabularRegressor(**{**SMALL, "epochs": 64}).fit(X[:700], y[:700])
    embedding = estimator.networks_[0].layers[0]
    found = estimator.encoder_.categories_[0], estimator.encoder_.categories_[2]
    assert embedding == fm.Embedding(1, plain=6, codes=2, entries=sum(1 + len(names) for names in found))
    assert estimator.score(X[700:], y[700:]) > 0.8
    odd = X[700:].assign(city="nowhere", shop=None)
    assert np.isfinite(estimator.predict(odd)).all()  # unknown and missing ones are the first rows


def test_few_categories_alone_need_no_embedding() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": pd.Categorical(rng.choice(list("xyz"), 80)), "b": pd.Categorical(rng.choice(list("uv"), 80))})
    y = np.where(X["a"] == "x", "left", "right")
    classifier = fm.TabularClassifier(**SMALL).fit(X, y)
    assert isinstance(classifier.networks_[0].layers[0], fm.Dense)
    assert classifier.score(X, y) == 1.0


def test_numbers_are_judged_within_the_range_of_each_target() -> None:
    recipe = fm.TabularRegressor(**SMALL)._recipe()
    assert isinstance(recipe, FullRecipe)
    train = Rows(np.zeros((2, 1)), np.array([[-1.0, -5.0], [1.0, 5.0]]), None)
    held = Rows(np.zeros((1, 1)), np.array([[1.5, 0.0]]), None)
    judge, plain = recipe.judge(train, held), LastBest(held, squared_error)
    for each in (judge, plain):
        each.judge(np.array([[9.0, 4.0]]), np.zeros(1))
    assert judge.errors == [(0.5**2 + 4.0**2) / 2]
    assert plain.errors == [(7.5**2 + 4.0**2) / 2]


def test_results_depend_on_the_seed_and_not_on_threads(any_threads) -> None:
    X, y = load_iris(return_X_y=True)
    found = []
    for threads in (1, 2):
        fm.set_threads(threads)
        found.append(fm.TabularClassifier(**{**SMALL, "hidden": (160, 160)}, n_ensemble=2).fit(X, y).predict_proba(X))
    np.testing.assert_array_equal(*found)
    other = fm.TabularClassifier(**{**SMALL, "random_state": 1}).fit(X, y).predict_proba(X)
    assert (other != found[0]).any()


def test_it_is_cloned_and_refused_by_name() -> None:
    assert clone(fm.TabularRegressor(preset="td")).preset == "td"
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="preset must be one of 'td-s', 'td'; got 'tds'"):
        fm.TabularClassifier(preset="tds").fit(X, y)
    assert fm.TabularClassifier(**SMALL).fit(X, y).score(X, y) > 0.9
