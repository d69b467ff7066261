"""cross_validate: folds with several seeds."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler

import fastmlp as fm
from tests.estimators import quick

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_cross_validate_is_the_loop(iris) -> None:
    X, y = iris
    table = fm.cross_validate(quick(max_iter=10), X, y, cv=3, seeds=[4, 7], scoring="neg_log_loss", return_estimator=True)
    assert table["seeds"].tolist() == [4, 7]
    for row, seed in enumerate((4, 7)):
        expected = cross_val_score(quick(max_iter=10, random_state=seed), X, y, cv=3, scoring="neg_log_loss")
        np.testing.assert_allclose(table["test_score"][row], expected, rtol=1e-6)
    assert table["estimator"].shape == (2, 3)
    one_by_one = fm.cross_validate(quick(max_iter=10), X, y, cv=3, seeds=[4, 7], scoring="neg_log_loss", n_jobs=1)
    assert np.array_equal(one_by_one["test_score"], table["test_score"])
    every_thread = fm.cross_validate(quick(max_iter=10), X, y, cv=3, seeds=[4, 7], scoring="neg_log_loss", n_jobs=-1)
    assert np.array_equal(every_thread["test_score"], table["test_score"])
    piped = fm.cross_validate(make_pipeline(StandardScaler(), quick(max_iter=5)), X, y, cv=3, seeds=2)
    assert piped["test_score"].shape == (2, 3)
    assert not np.array_equal(*piped["test_score"])
    with pytest.raises(ValueError, match="seeds is empty"):
        fm.cross_validate(quick(), X, y, seeds=[])
    with pytest.raises(ValueError, match=r"seeds\[1\] must be an integer >= 0; got -1"):
        fm.cross_validate(quick(), X, y, seeds=[0, -1])
    for wrong in (2.0, True, "ab", None):
        with pytest.raises(TypeError, match="seeds must be an integer, how many, or a list of integers; got"):
            fm.cross_validate(quick(), X, y, seeds=wrong)


def trained_together(monkeypatch, estimator, *data, **options) -> tuple[list[int], int]:
    """The seeds that cross_validate asks for, and how many of them side by side of 3 threads; nothing is trained."""
    seen = []
    monkeypatch.setattr("fastmlp.engine.threads", lambda: 3)
    monkeypatch.setattr(
        "fastmlp.estimators.cross_validation.side_by_side",
        lambda function, jobs, workers: seen.append(([seed for (seed,) in jobs], workers)) or [{}],
    )
    fm.cross_validate(estimator, *data, **options)
    return seen[0]


def test_ten_seeds_of_five_folds_unless_told_otherwise(iris, monkeypatch) -> None:
    assert trained_together(monkeypatch, quick(), *iris) == (list(range(10)), 3)
    assert trained_together(monkeypatch, quick(), *iris, seeds=2) == ([0, 1], 2)
    monkeypatch.undo()
    assert fm.cross_validate(quick(max_iter=1), *iris, seeds=1)["test_score"].shape == (1, 5)


@pytest.mark.parametrize(
    ("parameters", "options"),
    [
        ({"max_time": 9.0}, {}),
        ({"verbose": True}, {}),
        ({"progress": True}, {}),
        ({"callbacks": [fm.Callback()]}, {}),
        ({}, {"verbose": 1}),
        ({}, {"scoring": lambda estimator, X, y: 0.0}),
        ({}, {"n_jobs": 1}),
    ],
    ids=["max_time", "verbose", "progress", "callbacks", "a verbose search", "a scoring function", "n_jobs"],
)
def test_one_network_follows_the_other_where_the_user_looks_on(parameters, options, iris, monkeypatch) -> None:
    pipeline = make_pipeline(StandardScaler(), quick(**parameters))
    for estimator in (quick(**parameters), pipeline):
        assert trained_together(monkeypatch, estimator, *iris, **options)[1] == 1


@pytest.mark.parametrize("nested", [False, True])
def test_groups_may_be_routed(iris, nested) -> None:
    X, y = iris
    params = {"groups": np.arange(150) % 7}
    with sklearn.config_context(enable_metadata_routing=True):
        est = quick(max_iter=3)
        if nested:  # which asks for the groups too
            est = GridSearchCV(est, {"alpha": [0.1]}, cv=GroupKFold(2))
        table = fm.cross_validate(est, X, y, cv=GroupKFold(3), seeds=[0], params=params, return_indices=True)
        expected = cross_validate(est, X, y, cv=GroupKFold(3), params=params, return_indices=True)
    np.testing.assert_array_equal(table["test_score"][0], expected["test_score"])
    for ours, theirs in zip(table["indices"]["test"], expected["indices"]["test"], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert list(params) == ["groups"]


@pytest.mark.parametrize("wrong", [fm.MLP([4, 3]), fm.MLPClassifier, 3], ids=["network", "class", "number"])
def test_cross_validate_says_what_an_estimator_is(iris, wrong) -> None:
    with pytest.raises(TypeError, match=r"estimator must be an estimator .* got .*\. For networks of fm\.MLP .*fm\.sweep"):
        fm.cross_validate(wrong, *iris)


def test_cross_validate_keeps_pipelines_whole(iris) -> None:
    est = make_pipeline(StandardScaler(), quick(max_iter=5))
    table = fm.cross_validate(est, *iris, cv=3, seeds=np.int64(2), return_estimator=True, return_indices=True)
    assert table["estimator"].shape == table["test_score"].shape == (2, 3)
    assert [type(one) for one in table["estimator"].ravel()] == [type(est)] * 6
    assert [len(rows) for rows in table["indices"]["test"]] == [50, 50, 50]


def test_cross_validate_gives_the_seeds_to_every_part(iris) -> None:
    pipeline = make_pipeline(QuantileTransformer(n_quantiles=20), quick(max_iter=5))
    bagging = BaggingClassifier(quick(max_iter=5), n_estimators=2)
    for est, names in (
        (pipeline, ["quantiletransformer__random_state", "mlpclassifier__random_state"]),
        (bagging, ["random_state", "estimator__random_state"]),
    ):
        table = fm.cross_validate(est, *iris, cv=2, seeds=[4, 7], return_estimator=True)
        for row, seed in zip(table["estimator"], (4, 7), strict=True):
            assert [one.get_params()[name] for one in row for name in names] == [seed] * 4
