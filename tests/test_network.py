"""MLP: every layer spec, activation, loss and output, against the formulas."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import fastmlp as fm
from fastmlp.activations import ACTIVATIONS
from fastmlp.losses import LOSSES, CrossEntropy, Huber, Quantile
from tests import oracle
from tests.problems import data_for, make, perturb_biases, targets_for

HIDDEN = [name for name, activation in ACTIVATIONS.items() if activation.hidden]


def allowed(loss: str) -> list[str]:
    """Outputs that a loss may go with."""
    return [LOSSES[loss].output] if LOSSES[loss].from_logits else list(ACTIVATIONS)


PAIRS = [(loss, output) for loss in LOSSES for output in allowed(loss)]


def test_the_oracle_knows_every_activation() -> None:
    assert set(oracle.ACTIVATIONS) == set(ACTIVATIONS)


@pytest.mark.parametrize("spec", [8, np.int64(8), fm.Dense(8), (8, True), [8, True], (8, True, "relu"), {"width": 8}])
def test_every_spec_of_a_layer_means_the_same_network(spec) -> None:
    net, plain = fm.MLP([3, spec, 2]), fm.MLP([3, 8, 2])
    assert net.layers == plain.layers
    assert net.spec() == plain.spec()
    assert (net.params == plain.params).all()


@pytest.mark.parametrize("layers", [(3, 8, 2), iter([3, 8, 2]), np.array([3, 8, 2])], ids=["tuple", "iterator", "array"])
def test_layers_may_be_any_sequence(layers) -> None:
    assert fm.MLP(layers).plan.widths == (3, 8, 2)


def test_activation_and_bias_are_each_layers_own(engine) -> None:
    net = fm.MLP(
        [4, (5, False), (6, True, "tanh"), {"width": 3, "activation": "gelu", "bias": False}, fm.Dense(2, bias=False)],
        activation="elu", output="sigmoid", dtype="float64", seed=3,
    )  # fmt: skip
    assert [dense.activation for dense in net.layers] == ["elu", "tanh", "gelu", "sigmoid"]
    assert [bias is None for bias in net.biases] == [True, False, True, True]
    perturb_biases(net)
    X = data_for(net)[0]
    layers, _ = oracle.forward(net, X)
    for got, expected in zip(net.activations(X), layers, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)


def test_a_network_without_hidden_layers_is_a_linear_model(engine) -> None:
    net = perturb_biases(fm.MLP([3, 2], dtype="float64"))
    X = data_for(net)[0]
    np.testing.assert_allclose(net.predict(X), X @ net.weights[0] + net.biases[0], rtol=1e-13)
    assert net.n_params == 8
    assert (net.n_inputs, net.n_outputs) == (net.plan.n_inputs, net.plan.n_outputs)


def test_a_linear_model_finds_the_least_squares_solution(engine) -> None:
    rng = np.random.default_rng(0)
    X, W = rng.normal(size=(200, 3)), rng.normal(size=(3, 2))
    net = fm.MLP([3, 2], dtype="float64")
    net.fit(X, X @ W + 1.5, epochs=300, batch_size=None, optimizer=fm.SGD(0.3))
    np.testing.assert_allclose(net.weights[0], W, atol=1e-9)
    np.testing.assert_allclose(net.biases[0], [1.5, 1.5], atol=1e-9)


@pytest.mark.parametrize("layers", [[1, 1], [1, 1, 1], [1, 1, 1, 1, 1], [5, 1, 3], [1, 17, 1]])
@pytest.mark.parametrize("bias", [True, False])
def test_width_one_is_a_width(layers, bias, engine) -> None:
    net = fm.MLP([layers[0], *((width, bias) for width in layers[1:])], activation="tanh", dtype="float64", seed=1)
    perturb_biases(net)
    X, y = data_for(net)
    np.testing.assert_allclose(net.predict(X), oracle.forward(net, X)[0][-1], rtol=1e-12, atol=1e-14)
    before = net.loss(X, y)
    net.fit(X, y, epochs=20, batch_size=None, optimizer=fm.SGD(0.05))
    assert net.loss(X, y) < before


def test_twenty_layers_are_a_network(engine) -> None:
    net = perturb_biases(fm.MLP([3, *[4] * 20, 2], activation="tanh", dtype="float64"))
    X = data_for(net)[0]
    np.testing.assert_allclose(net.predict(X), oracle.forward(net, X)[0][-1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", HIDDEN)
def test_every_activation_of_a_hidden_layer(name, engine) -> None:
    for dtype, tolerance in (("float64", 1e-12), ("float32", 1e-5)):
        net = perturb_biases(fm.MLP([3, 19, 4], activation=name, dtype=dtype))
        X = data_for(net, n=33)[0]
        np.testing.assert_allclose(net.predict(X), oracle.forward(net, X)[0][-1], rtol=tolerance, atol=10 * tolerance)


def test_swish_is_another_name_of_silu() -> None:
    assert fm.MLP([2, 3, 1], activation="swish").layers == fm.MLP([2, 3, 1], activation="silu").layers


def test_the_networks_dropout_and_init_are_for_layers_that_name_none() -> None:
    hidden = [4, (4, False), {"width": 4, "dropout": 0.1}, fm.Dense(4, init="zeros"), fm.Dense(4, dropout=0.0)]
    net = fm.MLP([3, *hidden, fm.Dense(2)], dropout=0.5, init="orthogonal")
    assert [dense.dropout for dense in net.layers] == net.plan.dropout.tolist() == [0.5, 0.5, 0.1, 0.5, 0.0, 0.0]
    assert fm.MLP.from_spec(net.spec()).layers == net.layers == net.copy().layers == pickle.loads(pickle.dumps(net)).layers
    assert fm.Population([3, *hidden, 2], size=2, dropout=[0.5, 0.25])[1].layers[3].dropout == 0.25
    assert not net.weights[3].any()
    np.testing.assert_allclose(net.weights[1].T @ net.weights[1], np.eye(4), atol=1e-6)


@pytest.mark.parametrize("name", ["softmax", "exp"])
@pytest.mark.parametrize("layers", [[3, (4, True, "{}"), 2], [3, 4, 2]])
def test_softmax_on_a_hidden_layer_is_an_error_that_says_so(name, layers) -> None:
    specs = [(4, True, name) if isinstance(spec, tuple) else spec for spec in layers]
    with pytest.raises(ValueError, match=f"hidden layer 0 has activation='{name}', which is for outputs only. Use output="):
        fm.MLP(specs, activation="relu" if specs != layers else name)


def test_the_last_layers_own_activation_is_the_output() -> None:
    net = fm.MLP([3, 4, (2, True, "softmax")])
    assert (net.output, net.loss_spec.name) == ("softmax", "cross_entropy")
    assert fm.MLP([3, 4, (2, True, "softmax")], output="softmax").spec() == net.spec()
    with pytest.raises(ValueError, match=r"the last layer has activation='softmax', but output='sigmoid'\. Leave one"):
        fm.MLP([3, 4, (2, True, "softmax")], output="sigmoid")


@pytest.mark.parametrize(("output", "loss"), [("identity", "mse"), ("sigmoid", "bce"), ("softmax", "cross_entropy"),
                                              ("exp", "poisson"), ("tanh", "mse")])  # fmt: skip
def test_auto_takes_the_loss_that_the_output_pairs_with(output, loss) -> None:
    assert fm.MLP([3, 2], output=output).loss_spec.name == loss


@pytest.mark.parametrize(("loss", "output"), PAIRS)
def test_every_loss_on_every_output_that_it_allows(loss, output, engine) -> None:
    net = perturb_biases(make([3, 5, 4], activation="tanh", output=output, loss=loss, dtype="float64", seed=2))
    X, y = data_for(net)
    weight = np.random.default_rng(3).uniform(0.5, 2, len(X))
    np.testing.assert_allclose(net.loss(X, y), oracle.loss(net, X, y), rtol=1e-12)
    np.testing.assert_allclose(net.loss(X, y, weight), oracle.loss(net, X, y, weight), rtol=1e-12)


@pytest.mark.parametrize("spec", [Huber(0.3), Quantile(0.9), CrossEntropy(label_smoothing=0.2)], ids=lambda s: type(s).__name__)
def test_losses_with_a_parameter(spec, engine) -> None:
    output = "softmax" if isinstance(spec, CrossEntropy) else "identity"
    net = perturb_biases(fm.MLP([3, 5, 4], output=output, loss=spec, dtype="float64"))
    X, y = data_for(net)
    np.testing.assert_allclose(net.loss(X, y), oracle.loss(net, X, y), rtol=1e-12)
    assert net.loss_spec.parameter or net.loss_spec.smoothing


@pytest.mark.parametrize(("loss", "output"), PAIRS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [-1e4, 1e4])
def test_losses_and_gradients_are_finite_at_huge_logits(loss, output, dtype, size, engine) -> None:
    net = make([1, 3], output=output, loss=loss, dtype=dtype)
    # Where exp(z) is the output itself, and not inside a loss that is made of z, it is infinite.
    net.weights[0][:] = [[-1e4, 0, 1] if output == "exp" and loss != "poisson" else [size, -size, size / 2]]
    X, y = np.ones((2, 1)), targets_for(loss, 2, 3)
    value, grad = net.value_and_grad(X, y)
    assert np.isfinite(net.predict(X)).all() or output == "exp"
    assert np.isfinite(value)
    assert np.isfinite(grad).all()


def test_class_indices_and_one_hot_rows_are_the_same_targets(engine) -> None:
    net = fm.MLP([3, 5, 4], output="softmax", dtype="float64")
    X, y = data_for(net)
    one_hot = np.eye(4)[y]
    assert net.loss(X, y) == pytest.approx(net.loss(X, one_hot), rel=1e-14)
    np.testing.assert_allclose(net.value_and_grad(X, y)[1], net.value_and_grad(X, one_hot)[1], rtol=1e-12, atol=1e-15)


def test_a_weight_is_as_good_as_a_repeated_row(engine) -> None:
    for loss, output in (("mse", "identity"), ("sse", "identity"), ("cross_entropy", "softmax"), ("bce", "sigmoid")):
        net = perturb_biases(fm.MLP([3, 6, 4], output=output, loss=loss, dtype="float64"))
        X, y = data_for(net)
        times = np.array([1, 3, 2, 1, 1, 5, 1])
        value, grad = net.value_and_grad(X, y, sample_weight=times)
        again, repeated = net.value_and_grad(np.repeat(X, times, axis=0), np.repeat(y, times, axis=0))
        assert value == pytest.approx(again, rel=1e-13)
        np.testing.assert_allclose(grad, repeated, rtol=1e-12, atol=1e-15)


def test_a_row_of_weight_zero_is_as_good_as_none(engine) -> None:
    net = fm.MLP([3, 6, 1], dtype="float64")
    X, y = data_for(net)
    weight = np.array([1, 0, 1, 1, 0, 1, 1])
    kept = weight > 0
    assert net.loss(X, y, weight) == pytest.approx(net.loss(X[kept], y[kept]), rel=1e-14)
    np.testing.assert_allclose(net.value_and_grad(X, y, weight)[1], net.value_and_grad(X[kept], y[kept])[1], rtol=1e-12)


def test_a_poor_pair_of_loss_and_output_warns_once() -> None:
    with pytest.warns(fm.PairingWarning, match="loss='mse' learns slowly with output='sigmoid'.*Use loss='bce'") as caught:
        fm.MLP([3, 2], output="sigmoid", loss="mse")
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize("loss", ["cross_entropy", "bce", "poisson"])
def test_a_loss_from_logits_needs_its_own_output(loss) -> None:
    output = LOSSES[loss].output
    with pytest.raises(ValueError, match=f"loss='{loss}' is computed from the logits of output='{output}'.*Use output="):
        fm.MLP([3, 2], output="identity", loss=loss)
