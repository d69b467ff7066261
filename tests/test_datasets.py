"""Data sets by name: shapes, kinds, and the same numbers each time."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from fastmlp import datasets

EXPECTED = {
    "digits": ((1797, 64), "classes", 10),
    "breast_cancer": ((569, 30), "binary", 2),
    "wine": ((178, 13), "classes", 3),
    "iris": ((150, 4), "classes", 3),
    "diabetes": ((442, 10), "regression", 0),
    "moons": ((1000, 2), "binary", 2),
    "circles": ((1000, 2), "binary", 2),
    "xor": ((4, 2), "binary", 2),
    "spirals": ((1500, 2), "classes", 3),
}


def test_every_name_is_tested():
    assert set(EXPECTED) == set(datasets.NAMES)


@pytest.mark.parametrize("name", datasets.NAMES)
def test_load_returns_contiguous_finite_rows_of_the_kind_it_says(name):
    data = datasets.load(name)
    assert (data.X.shape, data.kind, data.n_classes) == EXPECTED[name]
    assert data.name == name
    assert data.X.dtype == np.float64
    assert data.X.flags.c_contiguous
    assert np.isfinite(data.X).all()
    assert data.y.shape == (len(data.X),)
    assert len(data.features) == data.X.shape[1]
    assert len(data.labels) == data.n_classes
    if data.n_classes:
        assert data.y.dtype == np.int64
        assert np.unique(data.y).tolist() == list(range(data.n_classes))


@pytest.mark.parametrize("name", ["moons", "circles", "spirals"])
def test_generated_sets_depend_on_the_seed_alone_and_are_balanced(name):
    data = datasets.load(name, seed=3)
    assert (data.X == datasets.load(name, seed=3).X).all()
    assert (data.X != datasets.load(name, seed=4).X).any()
    assert np.ptp(np.bincount(data.y)) <= 1


def test_a_set_is_taken_apart_as_a_pair():
    data = datasets.load("xor")
    X, y = data
    assert X is data.X
    assert y is data.y


def test_digits_are_pixels_between_0_and_1():
    X = datasets.load("digits").X
    assert (X.min(), X.max()) == (0.0, 1.0)


def test_xor_is_the_four_rows_of_exclusive_or():
    data = datasets.load("xor")
    assert (data.X.sum(axis=1) % 2 == data.y).all()
    assert len(np.unique(data.X, axis=0)) == 4


def test_without_noise_the_shapes_are_what_they_are_called():
    circles = datasets.circles(100, noise=0.0)
    np.testing.assert_allclose(np.hypot(*circles.X.T), np.where(circles.y == 0, 1.0, 0.5))
    moons = datasets.moons(100, noise=0.0)
    centres = np.where(moons.y[:, None] == 0, [0.0, 0.0], [1.0, 0.5])
    np.testing.assert_allclose(np.hypot(*(moons.X - centres).T), 1.0)
    spirals = datasets.spirals(100, noise=0.0, arms=4)
    radius, angle = np.hypot(*spirals.X.T), np.arctan2(*spirals.X.T[::-1])
    turn = (angle - 3.5 * radius - np.pi / 2 * spirals.y) / (2 * np.pi)
    np.testing.assert_allclose(turn, np.round(turn), atol=1e-12)


def test_an_unknown_name_brings_the_nearest():
    with pytest.raises(ValueError, match=r"name must be one of 'digits', .*; got 'digist'. Did you mean 'digits'"):
        datasets.load("digist")


@pytest.mark.parametrize(
    ("make", "error", "why"),
    [
        (lambda: datasets.load(["x"]), TypeError, "name must be one of 'digits', .*; got .'x'. .list."),
        (lambda: datasets.load("moons", seed=-1), ValueError, "seed must be an integer >= 0; got -1"),
        (lambda: datasets.load("digits", seed=0.5), TypeError, r"seed must be an integer >= 0; got 0.5 \(float\)"),
        (lambda: datasets.xor(seed=-1), ValueError, "seed must be an integer >= 0; got -1"),
        (lambda: datasets.split([0, 1], 0.5, classes=False, seed=-1), ValueError, "seed must be an integer >= 0; got -1"),
        (lambda: datasets.moons(n=-1), ValueError, "n must be an integer >= 1; got -1"),
        (lambda: datasets.moons(n=10.0), TypeError, r"n must be an integer >= 1; got 10.0 \(float\). Pass n=10"),
        (lambda: datasets.circles(noise=-0.1), ValueError, "noise must be a finite number >= 0; got -0.1"),
        (lambda: datasets.spirals(arms=0), ValueError, "arms must be an integer >= 2; got 0"),
    ],
)
def test_arguments_out_of_their_range_are_refused(make, error, why):
    with pytest.raises(error, match=why):
        make()


def test_without_scikit_learn_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match="pip install scikit-learn"):
        datasets.load("iris")
    assert len(datasets.load("moons").X) == 1000


def test_importing_it_imports_no_other_library():
    code = "import sys, fastmlp.datasets; print([m for m in ('sklearn', 'pandas', 'pyarrow', 'scipy') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
