"""Layers whose activation has a trained share of each unit's own: z + alpha (f(z) - z)."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import scalar
from tests import oracle
from tests.problems import classes, numbers

pytestmark = pytest.mark.usefixtures("engine")


def network(activation="mish", dtype="float64", seed=3, **options) -> fm.MLP:
    """Two parametric layers and one that is not, on the inputs of `numbers`; alphas all over the place."""
    layers = [4, fm.Dense(9, activation, parametric=True, **options), 6, fm.Dense(5, activation, parametric=True, **options), 1]
    net = fm.MLP(layers, dtype=dtype, seed=seed)
    for alphas in (net.alphas[0], net.alphas[2]):
        alphas[:] = np.linspace(-0.5, 1.5, len(alphas))
    return net


def test_an_alpha_of_one_is_the_activation_and_of_zero_none() -> None:
    X, _ = numbers(20)
    net, plain, linear = (fm.MLP([4, fm.Dense(7, name, parametric=p), 2], dtype="float64", seed=1)
                          for name, p in (("tanh", True), ("tanh", False), ("identity", False)))  # fmt: skip
    np.testing.assert_array_equal(net.alphas[0], np.ones(7))  # at first
    np.testing.assert_allclose(net.predict(X), plain.predict(X), rtol=1e-14, atol=1e-15)
    net.alphas[0] = np.zeros(7)
    np.testing.assert_allclose(net.predict(X), linear.predict(X), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("activation", ["relu", "selu", "mish", "tanh"])
@pytest.mark.parametrize("bias", [True, False])
def test_outputs_and_gradients_are_those_of_the_formula(activation, bias) -> None:
    X, y = numbers(11)
    net = network(activation, bias=bias)
    layers, _ = oracle.forward(net, X)
    for got, expected in zip(net.activations(X), layers, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)
    start = net.params.copy()

    def loss_at(params):
        net.params = params
        return net.loss(X, y)

    _, grad = net.value_and_grad(X, y)
    np.testing.assert_allclose(grad, oracle.central_differences(loss_at, start), rtol=2e-6, atol=2e-8)
    net.params = start
    by_input = oracle.central_differences(lambda x: net.loss(x, y), X)
    np.testing.assert_allclose(net.input_gradient(X, y), by_input, rtol=2e-6, atol=2e-8)


def test_a_factor_is_the_alphas_learning_rate() -> None:
    X, y = numbers(30)
    net = network()
    before = net.copy()
    net.fit(X, y, epochs=1, batch_size=None, optimizer=fm.SGD(0.1, alpha_factor=(0.5, 1.0, 0.0, 1.0), bias_factor=0.0))
    grad = before.value_and_grad(X, y)[1]
    moved = [new - old if new is not None else None for new, old in zip(net.alphas, before.alphas, strict=True)]
    np.testing.assert_allclose(moved[0], -0.05 * before.plan.alphas(grad)[0], rtol=1e-12)
    assert moved[1] is None
    assert not moved[2].any()
    assert all((new == old).all() for new, old in zip(net.biases, before.biases, strict=True))


def test_alphas_are_neither_penalised_nor_decayed() -> None:
    X, y = numbers(30)
    plain, held = network(), network()
    plain.fit(X, y, epochs=1, batch_size=None, optimizer=fm.SGD(0.1))
    held.fit(X, y, epochs=1, batch_size=None, optimizer=fm.SGD(0.1, weight_decay=0.5, l2=0.3, l1=0.1))
    for one, other in zip(plain.alphas, held.alphas, strict=True):
        assert one is None or (one == other).all()
    assert (plain.weights[0] != held.weights[0]).all()


@pytest.mark.parametrize(
    "optimizer", [fm.Adam(0.01, ntk=True, scale_factor=6.0, bias_factor=0.1, alpha_factor=0.1), "lbfgs"], ids=str
)
def test_training_lowers_the_loss_and_moves_alphas(optimizer) -> None:
    X, y = classes(90)
    net = fm.MLP([4, fm.Dense(16, "selu", parametric=True), 3], output="softmax", seed=0)
    history = net.fit(X, y, epochs=40, optimizer=optimizer)
    assert history.loss[-1] < 0.5 * history.loss[0]
    assert (net.alphas[0] != 1.0).any()


@pytest.mark.parametrize("how", ["file", "pickle", "spec", "copy"])
def test_alphas_are_kept(how, tmp_path) -> None:
    X, _ = numbers(5)
    net = network("tanh")
    if how == "file":
        net.save(tmp_path / "net.safetensors")
        again = fm.load(tmp_path / "net.safetensors")
    elif how == "spec":
        again = fm.MLP.from_spec(net.spec())
        again.params = net.params
    else:
        again = net.copy() if how == "copy" else pickle.loads(pickle.dumps(net))
    assert [dense.parametric for dense in again.layers] == [True, False, True, False]
    np.testing.assert_array_equal(again.predict(X), net.predict(X))


def test_the_summary_names_them() -> None:
    net = fm.MLP([4, fm.Dense(8, "selu", parametric=True), 3])
    assert "selu, parametric" in net.summary()
    assert net.n_params == 4 * 8 + 8 + 8 + 8 * 3 + 3


def test_alphas_are_assigned_as_weights_are() -> None:
    net = network()
    net.alphas = [np.zeros(9), None, np.ones(5), None]
    assert not net.alphas[0].any()
    assert net.alphas[2].all()
    with pytest.raises(ValueError, match=r"layer 1 has no alphas\. Make the network with fm\.Dense\(width, parametric=True\)"):
        net.alphas[1] = np.ones(6)
    with pytest.raises(ValueError, match=r"alphas\[0\]"):
        net.alphas[0] = np.ones(8)


def test_populations_and_values_have_none() -> None:
    with pytest.raises(ValueError, match=r"network 0 has a layer with parametric=True.*Train fm\.MLP one by one"):
        fm.Population([4, fm.Dense(3, parametric=True), 1], size=2)
    with pytest.raises(ValueError, match=r"layer 1 of net has parametric=True, which Values have not"):
        scalar.from_network(network("tanh"))


@pytest.mark.parametrize("ask", ["predict", "activations"])
def test_numbers_that_overflow_on_their_way_are_no_warnings(ask) -> None:
    net = fm.MLP([2, fm.Dense(4, parametric=True), 1])
    net.params[:] = 1e20
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        getattr(net, ask)(np.full((3, 2), -1e30, "f4"))
        with pytest.raises(ValueError, match="X has inf in row 0"):
            getattr(net, ask)(np.full((3, 2), np.inf, "f4"))
