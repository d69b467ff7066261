"""Rows of weight 0 in fits of TabularClassifier and TabularRegressor: as if they were not there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.datasets import load_iris

import fastmlp as fm

X, y = load_iris(return_X_y=True)
ABSENT = np.arange(150) % 5 == 0
WEIGHT = np.where(ABSENT, 0.0, 1.0 + np.arange(150) % 2)


def make(kind: str, **parameters):
    given = {"hidden": (16,), "epochs": 16, "batch_size": 32, "random_state": 0}
    return getattr(fm, f"Tabular{kind}")(**given | parameters)


def outputs(fitted, rows):
    return fitted.predict_proba(rows) if hasattr(fitted, "predict_proba") else fitted.predict(rows)


@pytest.mark.parametrize("parameters", [{}, {"n_ensemble": 3}, {"preset": "td"}, {"validation_fraction": 0.0}], ids=str)
@pytest.mark.parametrize("kind", ["Classifier", "Regressor"])
def test_rows_of_weight_0_are_as_if_they_were_not_there(kind, parameters) -> None:
    """They are far off, in X and y: medians, the targets' mean and range, and the rows held out are those of the others."""
    far, targets = X.copy(), y * 1.0 if kind == "Regressor" else y.copy()
    far[ABSENT] *= 1e3
    targets[ABSENT] = 1e4 if kind == "Regressor" else 2 - y[ABSENT]
    fitted = make(kind, **parameters).fit(far, targets, WEIGHT)
    alone = make(kind, **parameters).fit(X[~ABSENT], targets[~ABSENT], WEIGHT[~ABSENT])
    np.testing.assert_array_equal(outputs(fitted, X), outputs(alone, X))
    np.testing.assert_array_equal(fitted.encoder_.median_, alone.encoder_.median_)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, lambda columns: np.array(pd.DataFrame(columns), object)])
def test_a_category_of_rows_without_weight_is_unknown(frame) -> None:
    colour = np.where(ABSENT, "green", np.where(y == 0, "red", "blue"))
    table = frame({"width": X[:, 0], "colour": colour})
    fitted = make("Classifier").fit(table, y, WEIGHT)
    assert [list(known) for known in fitted.encoder_.categories_] == [["blue", "red"]]
    assert fitted.n_features_in_ == 2
    assert np.isfinite(fitted.predict_proba(table)).all()


def test_masked_and_listed_rows_without_weight() -> None:
    masked = np.ma.masked_array(X, mask=ABSENT[:, None] & (np.arange(4) > 2))
    expected = outputs(make("Regressor").fit(X[~ABSENT], y[~ABSENT], WEIGHT[~ABSENT]), X)
    for table in (masked, X.tolist()):
        np.testing.assert_array_equal(outputs(make("Regressor").fit(table, y, WEIGHT), X), expected)


@pytest.mark.parametrize("parameters", [{}, {"n_ensemble": 3}, {"preset": "td", "metric": "log_loss"}], ids=str)
@pytest.mark.parametrize("absent", [0, 1, 2])
def test_classes_of_rows_without_weight_stay(absent, parameters) -> None:
    fitted = make("Classifier", **parameters).fit(X, y, (y != absent) * 1.0)
    assert fitted.classes_.tolist() == [0, 1, 2]
    probabilities = fitted.predict_proba(X)
    assert probabilities.shape == (150, 3)
    assert absent not in probabilities.argmax(axis=1)


def test_weights_that_leave_nothing_to_train_on() -> None:
    for kind in ("Classifier", "Regressor"):
        with pytest.raises(ValueError, match="Sample weights must contain at least one non-zero number"):
            make(kind).fit(X, y, np.zeros(150))
        with pytest.raises(ValueError, match="n_ensemble=5, but X has 3 rows with a weight above 0"):
            make(kind, n_ensemble=5).fit(X, y, np.isin(np.arange(150), (0, 60, 120)) * 1.0)
        with pytest.raises(ValueError, match="X has no column with a number or a category"):
            make(kind).fit(pd.DataFrame({"a": np.where(ABSENT, "x", None)}), y, WEIGHT)
