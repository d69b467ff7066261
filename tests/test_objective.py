"""The loss and its gradient as a function of the parameters: what ``value_and_grad`` answers, for other libraries."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

import fastmlp as fm
from tests.problems import data_for

LOSSES = [("identity", "mse", 2), ("softmax", "cross_entropy", 3), ("sigmoid", "bce", 1), ("exp", "poisson", 2)]


@pytest.mark.parametrize(("output", "loss", "outputs"), LOSSES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_is_value_and_grad_at_any_parameters_and_leaves_the_networks_alone(output, loss, outputs, dtype, engine) -> None:
    net = fm.MLP([3, 5, outputs], output=output, loss=loss, dtype=dtype, dropout=0.5)
    X, y = data_for(net, 50)
    weight = np.random.default_rng(1).uniform(0.0, 2.0, 50)
    own = net.params.copy()
    for data in ((X, y), (X, y, weight)):
        objective = net.objective(*data)
        for seed in range(3):
            other = fm.MLP([3, 5, outputs], output=output, loss=loss, dtype=dtype, seed=seed)
            value, gradient = objective(other.params)
            expected, by_parameters = other.value_and_grad(*data)
            assert value == expected
            assert (gradient == by_parameters).all()
    assert (net.params == own).all()
    assert not net.grad.any()


@pytest.mark.parametrize(("dtype", "most"), [("float32", 1e-3), ("float64", 1e-4)])
def test_scipy_minimizes_it(dtype, most, engine) -> None:
    X = np.linspace(-1, 1, 50)[:, None]
    net = fm.MLP([1, 8, 1], activation="tanh", dtype=dtype, seed=0)
    found = minimize(net.objective(X, np.sin(3 * X)), net.params, jac=True, method="L-BFGS-B")
    net.params = found.x
    assert net.loss(X, np.sin(3 * X)) < most


def test_each_gradient_is_a_new_array(engine) -> None:
    net = fm.MLP([3, 5, 2])
    objective = net.objective(*data_for(net))
    assert not np.shares_memory(objective(net.params)[1], objective(net.params)[1])


def test_parameters_may_be_a_list_or_strided_or_of_another_dtype(engine) -> None:
    net = fm.MLP([3, 5, 2], dtype="float64")
    objective = net.objective(*data_for(net))
    value, gradient = objective(net.params)
    for params in (net.params.tolist(), np.repeat(net.params, 2)[::2], net.params.astype("g")):
        found = objective(params)
        assert found[0] == value
        assert (found[1] == gradient).all()


@pytest.mark.parametrize("shape", [(31,), (33,), (1, 32), ()])
def test_parameters_of_another_shape_are_refused(shape, engine) -> None:
    net = fm.MLP([3, 5, 2])
    assert net.n_params == 32
    objective = net.objective(*data_for(net))
    with pytest.raises(ValueError, match=r"params must have shape \(32,\), as net\.params; got "):
        objective(np.zeros(shape, np.float32))


def test_parameters_that_lead_nowhere_have_a_loss_that_is_not_finite_and_the_next_call_answers(engine) -> None:
    net = fm.MLP([3, 5, 2], dtype="float64")
    objective = net.objective(*data_for(net))
    value, gradient = objective(net.params)
    assert np.isnan(objective(np.full(32, np.nan))[0])
    assert not np.isfinite(objective(np.full(32, 1e200))[0])
    again = objective(net.params)
    assert again[0] == value
    assert (again[1] == gradient).all()


def test_parameters_too_far_for_float32_have_a_loss_that_is_not_finite_and_no_warning(engine) -> None:
    net = fm.MLP([3, 5, 2])
    assert not np.isfinite(net.objective(*data_for(net))(np.full(32, 1e300))[0])


def test_data_are_looked_at_when_they_are_given(engine) -> None:
    net = fm.MLP([3, 5, 2])
    X, y = data_for(net)
    X[1, 2] = np.nan
    with pytest.raises(ValueError, match="X has nan in row 1, column 2"):
        net.objective(X, y)
    with pytest.raises(ValueError, match="y has 4 rows, but X has 7"):
        net.objective(np.zeros((7, 3)), np.zeros((4, 2)))


def test_a_number_that_stops_being_finite_is_named(engine) -> None:
    net = fm.MLP([3, 5, 2])
    X, y = (array.astype(net.dtype) for array in data_for(net))
    objective = net.objective(X, y)
    X[4, 1] = np.inf
    with pytest.raises(ValueError, match="X has inf in row 4, column 1"):
        objective(net.params)


def test_it_outlives_trainings_resets_shapes_engines_and_threads(any_threads) -> None:
    net = fm.MLP([64, 200, 10], output="softmax")
    X, y = data_for(net, 300)
    X = X.astype(net.dtype)
    try:
        fm.use_engine("numpy")
        objective = net.objective(X, y)
        params = net.params.copy()
        value, gradient = objective(params)
        X.shape = 600, 32
        fm.use_engine()
        net.fit(X.reshape(300, 64), y, epochs=1, optimizer="adam")
        for change in (net.reset, lambda: fm.set_threads(3), lambda: fm.set_threads(1), lambda: None):
            change()
            found = objective(params)
            assert found[0] == pytest.approx(value, rel=1e-5)
            np.testing.assert_allclose(found[1], gradient, rtol=1e-3, atol=1e-6)
    finally:
        fm.use_engine()
