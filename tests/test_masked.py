"""Masked arrays of NumPy: what is under a mask is nobody's data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import fastmlp as fm
from fastmlp.tabular import TabularEncoder
from tests.estimators import quick, quick_numbers

RNG = np.random.default_rng(0)
X, NUMBERS, CLASSES = RNG.normal(size=(40, 2)), RNG.normal(size=40), np.arange(40) % 2
TABLE = np.array([[float(row), "ab"[row % 2]] for row in range(40)], object)
HIDDEN = np.arange(40) == 3
SMALL = {"hidden": 4, "epochs": 2, "random_state": 0}


def masked(array):
    return np.ma.masked_array(array, np.broadcast_to(HIDDEN.reshape(-1, *[1] * (np.ndim(array) - 1)), np.shape(array)))


def without(array):
    """The same where nothing is hidden after all."""
    return np.ma.masked_array(array, np.zeros(np.shape(array), bool))


ESTIMATORS = {
    "MLPClassifier": (lambda: quick(max_iter=2), CLASSES),
    "MLPRegressor": (lambda: quick_numbers(max_iter=2), NUMBERS),
    "TabularClassifier": (lambda: fm.TabularClassifier(**SMALL), CLASSES),
    "TabularRegressor": (lambda: fm.TabularRegressor(**SMALL), NUMBERS),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_refuse_masked_targets_and_weights(name) -> None:
    make, y = ESTIMATORS[name]
    named = {"X_val": X, "y_val": y, "sample_weight_val": np.ones(40), "sample_weight": np.ones(40)}
    with pytest.raises(ValueError, match=r"^y has masked values\. Pass y\.filled\(number\), or drop those rows\.$"):
        make().fit(X, masked(y))
    for argument in ("y_val", "sample_weight_val", "sample_weight"):
        with pytest.raises(ValueError, match=rf"^{argument} has masked values"):
            make().fit(X, y, **named | {argument: masked(named[argument])})
    expected = make().fit(X, y, **named).predict(X)
    same = make().fit(X, without(y), **{argument: without(value) for argument, value in named.items()})
    np.testing.assert_array_equal(same.predict(without(X)), expected)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_estimators_that_know_no_missing_values_refuse_masked_inputs(name) -> None:
    make, y = ESTIMATORS[name]
    fitted = make().fit(X, y)
    for ask in (make().partial_fit, make().fit, fitted.score):
        with pytest.raises(ValueError, match=r"^X has masked values\. Pass X\.filled\(number\)"):
            ask(masked(X), y, **{"classes": [0, 1]} if ask.__name__ == "partial_fit" and y is CLASSES else {})
    with pytest.raises(ValueError, match=r"^X_val has masked values"):
        make().fit(X, y, X_val=masked(X), y_val=y)
    with pytest.raises(ValueError, match=r"^X has masked values"):
        fitted.predict(masked(X))


@pytest.mark.parametrize(
    "values",
    [X, np.arange(80).reshape(40, 2), X > 0.0, RNG.choice(list("abc"), (40, 2)), TABLE],
    ids=["floats", "integers", "truth values", "text", "objects"],
)
def test_masked_elements_of_a_table_are_missing(values) -> None:
    gaps = pd.DataFrame(values).astype(object)
    gaps[HIDDEN] = None
    gaps = gaps.to_numpy(dtype=object)
    encoder = TabularEncoder()
    np.testing.assert_array_equal(encoder.fit_transform(masked(values)), TabularEncoder().fit_transform(gaps))
    np.testing.assert_array_equal(encoder.transform(masked(values)), encoder.transform(gaps))
    np.testing.assert_array_equal(encoder.transform(without(values)), encoder.transform(values))


def test_tabular_estimators_take_masked_inputs_as_missing() -> None:
    gaps = np.where(HIDDEN[:, None], np.nan, X)
    for name in ("TabularClassifier", "TabularRegressor"):
        make, y = ESTIMATORS[name]
        expected = make().fit(gaps, y, X_val=gaps, y_val=y).predict(gaps)
        np.testing.assert_array_equal(make().fit(masked(X), y, X_val=masked(X), y_val=y).predict(masked(X)), expected)


@pytest.mark.parametrize("y", [NUMBERS, CLASSES, CLASSES.astype(str)], ids=["numbers", "classes", "words"])
def test_a_sweep_refuses_masked_data(y) -> None:
    options = {"widths": 2, "depths": 1, "epochs": 1, "progress": False}
    with pytest.raises(ValueError, match=r"^y has masked values\. Pass y\.filled\(number\), or drop those rows\.$"):
        fm.sweep(X, masked(y), **options)
    with pytest.raises(ValueError, match=r"^X has masked values"):
        fm.sweep(masked(X), y, **options)
    with pytest.raises(ValueError, match=r"^validation's y has masked values"):
        fm.sweep(X, y, validation=(X, masked(y)), **options)
    assert len(fm.sweep(X, without(y), **options)) == 1


@pytest.mark.parametrize("as_given", [np.ma.stack, list], ids=["array", "list"])
def test_a_population_refuses_masked_targets_and_weights_of_one_of_its_networks(as_given) -> None:
    population = fm.Population([2, 1], size=2)
    y, weight = NUMBERS[:, None], np.ones(40)
    for ask in (population.loss, population.fit, population.score):
        with pytest.raises(ValueError, match=r"^y\[1\] has masked values\. Pass y\[1\]\.filled\(number\), or drop"):
            ask(X, as_given([without(y), masked(y)]))
        with pytest.raises(ValueError, match=r"^sample_weight\[0\] has masked values"):
            ask(X, y, sample_weight=as_given([masked(weight), without(weight)]))
    with pytest.raises(ValueError, match=r"^validation y\[0\] has masked values"):
        population.fit(X, y, validation=(X, as_given([masked(y), without(y)])))
    assert population.history is None
    same = population.loss(X, as_given([without(y)] * 2), as_given([without(weight)] * 2))
    np.testing.assert_array_equal(same, population.loss(X, np.stack([y, y]), np.ones((2, 40))))
