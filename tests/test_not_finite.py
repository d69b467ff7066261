"""Data that are not finite: the engine looks at them on their way through the network, whatever is asked of it."""

from __future__ import annotations

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import arrays

# By rows, one and many; by columns; by columns in several blocks; large enough for a team of threads.
SHAPES = [([3, 40, 2], 1), ([3, 40, 2], 50), ([3, 5, 2], 200), ([3, 5, 2], 3000), ([3, 300, 300, 2], 1500)]
CALLS = {
    "predict": lambda net, X, y: net.predict(X),
    "activations": lambda net, X, y: net.activations(X),
    "loss": lambda net, X, y: net.loss(X, y),
    "score": lambda net, X, y: net.score(X, y),
    "value_and_grad": lambda net, X, y: net.value_and_grad(X, y),
    "backward": lambda net, X, y: net.backward(X, y),
    "input_gradient": lambda net, X, y: net.input_gradient(X, y),
    "jacobian": lambda net, X, y: net.jacobian(X),
    "vjp": lambda net, X, y: net.vjp(X, y),
    "input_vjp": lambda net, X, y: net.input_vjp(X, y),
}


def problem(widths, n, dtype):
    rng = np.random.default_rng(0)
    net = fm.MLP(widths, activation="tanh", dtype=dtype, seed=1)
    return net, rng.normal(size=(n, widths[0])).astype(dtype), rng.normal(size=(n, widths[-1])).astype(dtype)


def listed(answer):
    return answer if isinstance(answer, (list, tuple)) else [answer]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("widths", "n"), SHAPES)
@pytest.mark.parametrize("call", CALLS)
def test_inputs_that_are_not_finite_are_refused_with_their_place_and_leave_nothing_behind(
    call, widths, n, dtype, value, any_threads, engine
):
    net, X, y = problem(widths, n, dtype)
    fm.set_threads(3)
    before = CALLS[call](net.copy(), X, y)
    for row, column in {(0, 2), (n // 2, 0), (n - 1, 1)}:
        bad = X.copy()
        bad[row, column] = value
        with pytest.raises(ValueError, match=rf"^X has {value} in row {row}, column {column}; every value must be finite"):
            CALLS[call](net, bad, y)
        assert not net.grad.any()
    after = CALLS[call](net, X, y)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(listed(before), listed(after), strict=True))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("widths", "n"), SHAPES[1:4])
def test_an_input_that_changes_neither_loss_nor_deltas_is_refused_and_leaves_nothing_behind(widths, n, dtype, value, engine):
    """A row without weight through units that are all off: its deltas are zero, and the loss is what it would be without it."""
    _, X, y = problem(widths, n, dtype)
    net = fm.MLP(widths, activation="relu", dtype=dtype, seed=1)
    net.weights[0][...] = -np.sign(value) if np.isinf(value) else -1.0
    net.biases[0][...] = -100.0
    weight = np.ones(n)
    weight[n // 2] = 0.0
    few = n // 3
    before = net.value_and_grad(X[:few], y[:few])
    bad = X.copy()
    bad[n // 2, 1] = value
    for given in (None, weight):
        with pytest.raises(ValueError, match=rf"^X has {value} in row {n // 2}, column 1; every value must be finite"):
            net.value_and_grad(bad, y, given)
    after = net.value_and_grad(X[:few], y[:few])
    assert after[0] == before[0]
    assert (after[1] == before[1]).all()


@pytest.mark.parametrize(("widths", "n"), SHAPES)
@pytest.mark.parametrize("call", ["loss", "score", "value_and_grad", "backward", "input_gradient"])
def test_targets_that_are_not_finite_are_refused_with_their_place(call, widths, n, any_threads, engine):
    net, X, y = problem(widths, n, "float32")
    fm.set_threads(3)
    y[n - 1, 1] = np.inf
    with pytest.raises(ValueError, match=rf"^y has inf in row {n - 1}, column 1; every value must be finite"):
        CALLS[call](net, X, y)
    assert not net.grad.any()


def test_parameters_that_are_not_finite_are_no_fault_of_the_data(engine):
    net, X, y = problem([3, 5, 2], 200, "float32")
    net.params[0] = np.nan
    assert np.isnan(net.predict(X)).any()
    assert np.isnan(net.loss(X, y))
    assert np.isnan(net.value_and_grad(X, y)[0])


def test_the_largest_finite_numbers_are_not_taken_for_infinite_ones(engine):
    net, X, _ = problem([3, 5, 2], 200, "float32")
    X[:] = np.finfo(np.float32).max
    assert np.isfinite(net.predict(X)).all()  # tanh of whatever that is


@pytest.mark.parametrize("assume", [False, True])
def test_estimators_refuse_inputs_that_are_not_finite_even_if_scikit_learn_assumes_otherwise(assume, engine):
    sklearn = pytest.importorskip("sklearn")
    X = np.random.default_rng(0).normal(size=(60, 3))
    for n_ensemble in (1, 3):
        estimator = fm.MLPRegressor(hidden_layer_sizes=(4,), max_iter=2, n_ensemble=n_ensemble)
        with pytest.warns(sklearn.exceptions.ConvergenceWarning, match="hasn't converged yet"):
            estimator.fit(X, X[:, 0])
        bad = X.copy()
        bad[7, 1] = np.nan
        with sklearn.config_context(assume_finite=assume), pytest.raises(ValueError, match=r"NaN|X has nan in row 7, column 1"):
            estimator.predict(bad)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1 << 18, 2_000_001])
def test_a_look_at_many_numbers_finds_one_that_is_not_finite_wherever_it_is(size, dtype, value, engine, any_threads) -> None:
    """The second size is large enough for a team of threads, and no multiple of anything."""
    fm.set_threads(3)
    numbers = np.full((size, 1), np.finfo(dtype).max, dtype)
    assert arrays.surely_finite(numbers)
    for place in (0, size // 3, size // 2, size - 2, size - 1):
        numbers[place] = value
        assert not arrays.surely_finite(numbers)
        numbers[place] = 0.0
    assert arrays.surely_finite(numbers)


def test_a_training_refuses_one_bad_number_among_many(engine) -> None:
    X = np.zeros((3000, 100), np.float32)
    X[-1, -1] = np.nan
    net = fm.MLP([100, 2])
    before = net.params.copy()
    with pytest.raises(ValueError, match="X has nan in row 2999, column 99; every value must be finite"):
        net.fit(X, np.zeros((3000, 2)))
    assert (net.params == before).all()
    assert net.history is None
