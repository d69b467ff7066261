"""Rows are held back fairly and always the same; columns are scaled by the training rows alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmlp.data import Data, nearest, split, standardize


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 5),
    classes=st.booleans(),
)
def test_split_parts_all_rows_and_holds_back_the_same_share_of_each_class(sizes, fraction, seed, classes):
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    train, held = split(y, fraction, classes=classes, seed=seed)
    assert sorted([*train, *held]) == list(range(len(y)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(held) > 0).all()
    groups = np.array(sizes if classes else [len(y)])
    counts = np.bincount(y[held], minlength=len(sizes)) if classes else np.array([len(held)])
    assert (counts < groups).all()
    assert (np.abs(counts - fraction * groups) <= 1.0).all()
    assert len(held) <= round(fraction * len(y))


def test_split_of_many_small_classes_still_holds_back_the_share_of_all_rows():
    train, held = split(np.arange(60) % 30, 0.2, classes=True)
    assert len(held) == 12
    assert len(set(train % 30)) == 30


def test_split_depends_on_the_seed_alone():
    y = np.arange(100)
    assert (split(y, 0.3, classes=False)[1] == split(y, 0.3, classes=False)[1]).all()
    assert (split(y, 0.3, classes=False, seed=1)[1] != split(y, 0.3, classes=False)[1]).any()


@pytest.mark.parametrize(
    "y", [["a", "b"] * 10, np.eye(2)[[0, 1] * 10], np.array([[0], [1]] * 10)], ids=["words", "one-hot", "column"]
)
def test_split_knows_classes_in_every_form(y):
    _, held = split(y, 0.2, classes=True)
    assert len(held) == 4
    assert sum(held % 2) == 2


@pytest.mark.parametrize("fraction", [0.0, 1.0, 1.5, -0.1, float("nan")])
def test_split_refuses_a_share_outside_0_and_1(fraction):
    with pytest.raises(ValueError, match="fraction must be a finite number > 0 and < 1"):
        split(np.arange(10), fraction, classes=False)


@pytest.mark.parametrize("values", [3.0, np.zeros((2, 2, 2))])
def test_numbers_without_rows_are_refused(values):
    with pytest.raises(ValueError, match=r"y must be of shape \(n,\) or \(n, K\); got shape \("):
        split(values, 0.5, classes=False)
    with pytest.raises(ValueError, match=r"X must be of shape \(n, columns\) or \(n,\); got shape \("):
        standardize(values)


def test_standardize_takes_mean_and_spread_from_the_training_rows():
    X = np.random.default_rng(0).normal(5.0, 3.0, (50, 4))
    rows = np.arange(0, 50, 2)
    scaled, mean, std = standardize(X, rows)
    np.testing.assert_allclose(scaled[rows].mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(scaled[rows].std(axis=0), 1.0)
    np.testing.assert_allclose(scaled * std + mean, X)
    assert (mean == X[rows].mean(axis=0)).all()


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9, -7.3])
def test_standardize_only_shifts_a_constant_column(value):
    scaled, mean, std = standardize(np.full((7, 2), value))
    assert (std == 1.0).all()
    np.testing.assert_allclose(scaled, 0.0, atol=1e-6)
    np.testing.assert_allclose(mean, value)


def test_standardize_leaves_its_argument_alone_and_takes_vectors():
    y = np.array([1, 2, 3])
    scaled, mean, _ = standardize(y)
    assert y.tolist() == [1, 2, 3]
    assert (mean, scaled[1]) == (2.0, 0.0)


def test_standardize_of_a_vector_gives_arrays_too():
    mean, std = standardize([1.0, 3.0])[1:]
    assert (type(mean), mean.shape, float(mean)) == (np.ndarray, (), 2.0)
    assert (type(std), std.shape, float(std)) == (np.ndarray, (), 1.0)


@pytest.mark.parametrize("rows", [[0, 2], (0, 2), np.array([True, False, True]), [True, False, True], slice(0, 3, 2), [0, -1]])
def test_standardize_takes_training_rows_in_every_form(rows):
    assert standardize([[1.0], [9.0], [3.0]], rows)[1].tolist() == [2.0]


@pytest.mark.parametrize("rows", [[0, 7], [-4], "ab", 1, [0.5], [True, False], [[0, 1]], {"a": 1}])
def test_standardize_refuses_other_training_rows(rows):
    with pytest.raises(ValueError, match=r"^rows must be numbers of the 3 rows of X, a mask of 3, or a slice; got "):
        standardize([[1.0], [9.0], [3.0]], rows)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ([["a"], ["b"]], TypeError, "^X has dtype .*'a'.* Encode text and categories as numbers first"),
        ([[1.0, 2.0], [3.0, np.nan]], ValueError, "^X has nan in row 1, column 1; every value must be finite"),
        ([1.0, np.inf], ValueError, "^X has inf in row 1; every value must be finite"),
    ],
)
def test_standardize_refuses_text_and_what_is_not_finite(X, error, message):
    with pytest.raises(error, match=message):
        standardize(X)


def test_standardize_needs_a_row():
    with pytest.raises(ValueError, match="at least one training row"):
        standardize(np.zeros((3, 2)), np.array([], np.int64))


@pytest.mark.parametrize(
    ("kind", "y", "n_classes", "output", "n_outputs"),
    [
        ("classes", np.arange(3), 3, "softmax", 3),
        ("binary", np.arange(2), 2, "sigmoid", 1),
        ("regression", np.zeros(3), 0, "identity", 1),
        ("regression", np.zeros((3, 4)), 0, "identity", 4),
    ],
)
def test_data_knows_the_outputs_that_suit_it(kind, y, n_classes, output, n_outputs):
    data = Data(np.zeros((3, 2)), y, kind, n_classes, "name")
    assert (data.output, data.n_outputs) == (output, n_outputs)


def test_nearest_names_what_is_near_and_else_nothing():
    assert nearest("digist", ["digits", "wine"]) == " (did you mean 'digits'?)"
    assert nearest("Y", ["x", "y"]) == " (did you mean 'y'?)"
    assert nearest("zzz", ["digits", "wine"]) == ""


@pytest.mark.parametrize("value", [12345678901234567.0, 1732895135123456789.0, 1e30, 0.1, -7.3e300])
def test_the_mean_of_a_constant_column_is_its_value_to_the_last_place(value):
    scaled, mean, std = standardize(np.full((240, 1), value))
    assert (mean.tolist(), std.tolist(), np.abs(scaled).max()) == ([value], [1.0], 0.0)


def test_columns_far_from_zero_and_tiny_ones_are_scaled_by_their_spread():
    assert standardize(1.7e15 + np.arange(2000.0))[2] == pytest.approx(np.arange(2000.0).std())
    for least in (1e-170, 1e-280, 1e-320):
        np.testing.assert_allclose(standardize(least * np.arange(5.0))[0], standardize(np.arange(5.0))[0], atol=1e-3)
