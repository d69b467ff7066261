"""What a network answers, for arrays of any kind."""

from __future__ import annotations

import numpy as np
import pytest

import fastmlp as fm
from tests.problems import data_for


def test_calling_a_network_is_predicting(engine) -> None:
    net = fm.MLP([3, 5, 2], output="softmax")
    X = data_for(net)[0]
    assert (net(X) == net.predict(X)).all()
    np.testing.assert_allclose(net(X).sum(axis=1), 1, rtol=1e-6)
    assert net(X).dtype == np.float32


def test_activations_are_every_layers_and_end_with_the_outputs(engine) -> None:
    net = fm.MLP([3, 5, 4, 2], output="softmax", dropout=0.5)
    X = data_for(net)[0]
    layers = net.activations(X)
    assert [layer.shape for layer in layers] == [(7, 5), (7, 4), (7, 2)]
    assert all(layer.flags.c_contiguous for layer in layers)
    assert (layers[-1] == net.predict(X)).all()


@pytest.mark.parametrize("n", [1, 2, 31, 257, 1000, 5000])
def test_a_row_is_predicted_the_same_among_many(n, engine) -> None:
    net = fm.MLP([6, 33, 3], activation="tanh", dtype="float64")
    X = data_for(net, n)[0]
    whole = net.predict(X)
    for row in {0, n // 2, n - 1}:
        np.testing.assert_allclose(whole[row], net.predict(X[row : row + 1])[0], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "change",
    [lambda X: X.tolist(), np.asfortranarray, lambda X: np.repeat(X, 2, axis=0)[::2], lambda X: X[::-1][::-1],
     lambda X: X.astype("float32"), lambda X: X.astype(">f8")],
    ids=["list", "F-order", "strided", "reversed", "float32", "big-endian"],
)  # fmt: skip
def test_arrays_of_any_layout_give_the_same_answer(change, engine) -> None:
    net = fm.MLP([3, 5, 2], dtype="float64")
    X = data_for(net)[0].astype("float32").astype("float64")
    y = np.ones((7, 2))
    assert (net.predict(change(X)) == net.predict(X)).all()
    assert net.loss(change(X), y) == net.loss(X, y)
    assert (net.input_gradient(change(X), y) == net.input_gradient(X, y)).all()


def test_whole_numbers_and_truth_values_are_inputs(engine) -> None:
    net = fm.MLP([3, 5, 2])
    X = np.array([[0, 1, 1], [1, 0, 0]])
    assert (net.predict(X) == net.predict(X.astype(float))).all()
    assert (net.predict(X.astype(bool)) == net.predict(X)).all()


def test_a_prediction_does_not_change_the_network_or_the_data(engine) -> None:
    net = fm.MLP([3, 5, 2], dropout=0.3, dtype="float64")
    X, y = data_for(net)
    kept, params, state = X.copy(), net.params.copy(), net._state.ints.copy()
    net.predict(X), net.activations(X), net.loss(X, y), net.value_and_grad(X, y), net.input_gradient(X, y), net.jacobian(X)
    net.vjp(X, net.predict(X)), net.input_vjp(X, net.predict(X))
    assert (X == kept).all()
    assert (net.params == params).all()
    assert (net._state.ints == state).all()
    assert not net.grad.any()
    assert net.history is None


def test_outputs_are_new_arrays_each_time(engine) -> None:
    net = fm.MLP([3, 5, 2])
    X, y = data_for(net)
    for ask in (net.predict, net.jacobian, lambda X: net.value_and_grad(X, y)[1], lambda X: net.input_gradient(X, y)):
        assert not np.shares_memory(ask(X), ask(X))


def test_score_is_accuracy_for_classes_and_r2_for_numbers(engine) -> None:
    from sklearn.metrics import accuracy_score, r2_score

    net = fm.MLP([3, 5, 4], output="softmax")
    X, y = data_for(net, 50)
    weight = np.random.default_rng(0).uniform(size=50)
    guess = net.predict(X).argmax(axis=1)
    assert net.score(X, y) == pytest.approx(accuracy_score(y, guess))
    assert net.score(X, y, sample_weight=weight) == pytest.approx(accuracy_score(y, guess, sample_weight=weight), rel=1e-6)
    assert net.score(X, np.eye(4)[y]) == net.score(X, y)
    net = fm.MLP([3, 5, 4], dtype="float64")
    X, y = data_for(net, 50)
    assert net.score(X, y) == pytest.approx(r2_score(y, net.predict(X)))
    assert net.score(X, y, "mse") == pytest.approx(net.loss(X, y))
    assert net.score(X, y, lambda y, p: 42.0) == 42.0
    net = fm.MLP([3, 5, 1], output="sigmoid")
    X, y = data_for(net, 50)
    assert net.score(X, y.ravel()) == pytest.approx(((net.predict(X) > 0.5) == (y > 0.5)).mean())
