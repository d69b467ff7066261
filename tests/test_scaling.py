"""The scale that a network was trained with goes into its weights."""

from __future__ import annotations

import numpy as np
import pytest

import fastmlp as fm
from fastmlp.scaling import Scaling


def rows(n=40, k=1):
    rng = np.random.default_rng(0)
    X = rng.normal([100.0, -3.0, 0.01], [5.0, 0.1, 0.001], (n, 3))
    return X, 1000.0 + 50.0 * rng.normal(size=(n, k))


@pytest.mark.parametrize("hidden", [[], [6], [6, 5]])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_folded_network_answers_raw_rows_in_the_targets_unit(hidden, k, dtype):
    X, y = rows(k=k)
    scaling = Scaling.of(X, y)
    net = fm.MLP([3, *hidden, k], activation="tanh", dtype=dtype, seed=1)
    folded = scaling.fold(net, X)
    expected = scaling.outputs(net.predict(scaling.inputs(X)))
    np.testing.assert_allclose(folded.predict(X), expected, atol=1e-3 * np.ptp(expected) if dtype == "float32" else 1e-9)
    assert folded.dtype == net.dtype


def test_the_trained_network_is_left_as_it_was():
    X, y = rows()
    net = fm.MLP([3, 4, 1])
    before = net.params.copy()
    Scaling.of(X, y).fold(net, X)
    assert (net.params == before).all()


def test_without_targets_only_the_inputs_are_folded():
    X, _ = rows()
    scaling = Scaling.of(X)
    net = fm.MLP([3, 4, 5], output="softmax")
    np.testing.assert_allclose(scaling.fold(net, X).predict(X), net.predict(scaling.inputs(X)), atol=1e-4)
    labels = np.array(["u", "v"])
    assert scaling.targets(labels) is labels


def test_columns_far_from_zero_make_a_float64_network():
    X = 1.7e9 + np.arange(20.0)[:, None]
    scaling = Scaling.of(X, X[:, 0])
    net = fm.MLP([1, 8, 1])
    folded = scaling.fold(net, X)
    assert folded.dtype == np.float64
    np.testing.assert_allclose(folded.predict(X), scaling.outputs(net.predict(scaling.inputs(X))), atol=1e-3)


@pytest.mark.parametrize("shape", [(40,), (40, 1), (40, 2)])
def test_targets_and_outputs_undo_each_other(shape):
    y = np.random.default_rng(0).normal(7.0, 3.0, shape)
    scaling = Scaling.of(np.zeros((40, 1)), y)
    scaled = scaling.targets(y)
    assert scaled.shape == shape
    np.testing.assert_allclose(scaled.std(axis=0), 1.0)
    np.testing.assert_allclose(scaling.outputs(scaled.reshape(40, -1)), y.reshape(40, -1))


@pytest.mark.parametrize("value", [12345678901234567.0, 1700000000000000000.0])
def test_a_constant_column_however_far_from_zero_takes_nothing_from_what_was_learnt(value):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(60, 2)), np.full(60, value)])
    scaling, net = Scaling.of(X), fm.MLP([3, 6, 1], activation="tanh", seed=1)
    np.testing.assert_allclose(scaling.fold(net, X).predict(X), net.predict(scaling.inputs(X)), atol=1e-4)


def test_what_is_too_large_for_float32_goes_into_a_float64_network():
    X, y = np.random.default_rng(0).normal(size=(60, 2)), 1e60 * np.arange(60.0)
    scaling, net = Scaling.of(X, y), fm.MLP([2, 6, 1], activation="tanh", seed=1)
    folded = scaling.fold(net, X)
    assert folded.dtype == np.float64
    np.testing.assert_allclose(folded.predict(X), scaling.outputs(net.predict(scaling.inputs(X))), rtol=1e-5)


def test_a_spread_that_float64_loses_so_far_from_zero_is_told():
    X = 1.7e18 + 256.0 * np.arange(60.0)[:, None] ** 2
    scaling, net = Scaling.of(X), fm.MLP([1, 6, 1], activation="tanh", seed=1)
    net.params[...] *= 30.0
    with pytest.warns(fm.PrecisionWarning, match="a column lies so far from zero that float64 loses its spread"):
        scaling.fold(net, X)
