"""Every derivative that a network gives, against central differences in float64 of what it says the function is."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import fastmlp as fm
from fastmlp.activations import ACTIVATIONS
from fastmlp.losses import LOSSES, CrossEntropy, Huber, Quantile
from tests.oracle import central_differences

HIDDEN = [name for name, activation in ACTIVATIONS.items() if activation.hidden]
PAIRS = [
    (loss, output)
    for loss in LOSSES
    for output in ([LOSSES[loss].output] if LOSSES[loss].from_logits else ACTIVATIONS)
]  # fmt: skip
# Central differences with h = 1e-6 are off by about h² f''' and eps f / h.
CLOSE = {"rtol": 2e-6, "atol": 2e-8}

pytestmark = pytest.mark.usefixtures("engine")


def network(layers=(3, 4, 2), seed=0, **options) -> fm.MLP:
    """A network in float64 whose biases are not zero."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fm.PairingWarning)
        net = fm.MLP(list(layers), dtype="float64", seed=seed, **options)
    rng = np.random.default_rng(seed)
    net.params = net.params + rng.normal(size=net.n_params) / 8
    return net


def data(net: fm.MLP, n: int = 3, seed: int = 2):
    """Inputs, targets and weights."""
    rng = np.random.default_rng(seed)
    k = net.plan.n_outputs
    y = {
        "classes": lambda: rng.dirichlet(np.ones(k), size=n),
        "binary": lambda: rng.uniform(size=(n, k)),
        "counts": lambda: rng.poisson(2.0, size=(n, k)).astype(float),
        "regression": lambda: rng.normal(size=(n, k)),
    }[net.loss_spec.kind]()
    return rng.normal(size=(n, net.plan.n_inputs)), y, rng.uniform(0.5, 2, n)


def assert_gradients(net: fm.MLP, n: int = 3) -> None:
    """By parameters and by inputs, with weights."""
    X, y, weight = data(net, n)
    start = net.params.copy()

    def loss_at(params):
        net.params = params
        return net.loss(X, y, weight)

    value, grad = net.value_and_grad(X, y, weight)
    assert value == pytest.approx(net.loss(X, y, weight), rel=1e-14)
    np.testing.assert_allclose(grad, central_differences(loss_at, start), **CLOSE)
    net.params = start
    by_input = central_differences(lambda x: net.loss(x, y, weight), X)
    np.testing.assert_allclose(net.input_gradient(X, y, weight), by_input, **CLOSE)


@pytest.mark.parametrize(("loss", "output"), PAIRS)
def test_every_loss_with_every_output_that_it_allows(loss, output) -> None:
    assert_gradients(network(activation="tanh", output=output, loss=loss))


@pytest.mark.parametrize("activation", HIDDEN)
@pytest.mark.parametrize("loss", list(LOSSES))
def test_every_hidden_activation_under_every_loss(activation, loss) -> None:
    assert_gradients(network(activation=activation, output=LOSSES[loss].output, loss=loss, seed=3))


@pytest.mark.parametrize("spec", [CrossEntropy(label_smoothing=0.3), Huber(0.4), Quantile(0.8)], ids=lambda s: type(s).__name__)
def test_losses_with_a_parameter(spec) -> None:
    assert_gradients(network(output="softmax" if isinstance(spec, CrossEntropy) else "identity", loss=spec))


@pytest.mark.parametrize(
    "layers",
    [
        [3, 2],
        [1, 1],
        [1, 1, 1, 1],
        [4, (5, False), (1, True, "elu"), (7, False, "gelu"), (2, False)],
        [9, 17, 8, 3],
        [2, 33, 1],
        [3, 3, 3, 3, 3, 3, 3, 2],
    ],
    ids=str,
)
@pytest.mark.parametrize("n", [1, 5])
def test_whole_networks(layers, n) -> None:
    assert_gradients(network(layers, activation="silu"), n)


def test_a_network_of_every_activation_at_once() -> None:
    assert_gradients(network([3, *((3, number % 2 == 0, name) for number, name in enumerate(HIDDEN)), 2]))


@pytest.mark.parametrize("loss", ["mse", "sse"])
def test_rows_that_pass_in_many_blocks_have_the_gradients_of_their_parts(loss) -> None:
    """20,000 rows are more than go through this network together."""
    net = network([2, 3, 1], activation="tanh", loss=loss)
    X, y, weight = data(net, 20_000)
    value, grad = net.value_and_grad(X, y, weight)
    by_input = net.input_gradient(X, y, weight)
    parts = [slice(at, at + 250) for at in range(0, 20_000, 250)]
    shares = [1.0 if loss == "sse" else weight[part].sum() / weight.sum() for part in parts]
    found = [net.value_and_grad(X[part], y[part], weight[part]) for part in parts]
    assert value == pytest.approx(sum(share * v for share, (v, _) in zip(shares, found, strict=True)), rel=1e-12)
    np.testing.assert_allclose(grad, sum(s * g for s, (_, g) in zip(shares, found, strict=True)), rtol=1e-10, atol=1e-12)
    joined = [s * net.input_gradient(X[p], y[p], weight[p]) for s, p in zip(shares, parts, strict=True)]
    np.testing.assert_allclose(by_input, np.concatenate(joined), rtol=1e-10, atol=1e-16)
    np.testing.assert_allclose(net.jacobian(X)[-250:], net.jacobian(X[-250:]), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("output", list(ACTIVATIONS))
def test_the_jacobian_of_every_output(output) -> None:
    net = network([3, 5, 4], activation="tanh", output=output)
    X = data(net)[0]
    jacobian = net.jacobian(X)
    assert jacobian.shape == (3, 4, 3)
    h = 1e-6
    for column in range(3):
        step = np.zeros(3)
        step[column] = h
        by_differences = (net.predict(X + step) - net.predict(X - step)) / (2 * h)
        np.testing.assert_allclose(jacobian[:, :, column], by_differences, **CLOSE)


@pytest.mark.parametrize("layers", [[3, 2], [1, 1], [4, 1], [2, 5, 1, 3]], ids=str)
def test_the_jacobian_of_networks_of_other_shapes(layers) -> None:
    net = network(layers, activation="gelu")
    X = data(net, 2)[0]
    for row in range(2):
        for k in range(layers[-1]):
            gradient = central_differences(lambda x, k=k: net.predict(x[None])[0, k], X[row])
            np.testing.assert_allclose(net.jacobian(X)[row, k], gradient, **CLOSE)


def test_a_linear_models_jacobian_is_its_weights() -> None:
    net = network([3, 2])
    np.testing.assert_allclose(net.jacobian(np.zeros((1, 3)))[0], net.weights[0].T, rtol=1e-14)


def test_the_chain_rule_joins_the_jacobian_and_the_input_gradient() -> None:
    """For the sum of squares, d loss / d x = 2 (p - y) J."""
    net = network([3, 6, 4], activation="mish", loss="sse")
    X, y, _ = data(net, 5)
    by_chain = np.einsum("nk,nki->ni", 2 * (net.predict(X) - y), net.jacobian(X))
    np.testing.assert_allclose(net.input_gradient(X, y), by_chain, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("output", ["identity", "sigmoid", "softmax", "exp"])
@pytest.mark.parametrize("n", [3, 700])
def test_a_loss_of_ones_own_has_the_gradients_of_its_outputs_derivatives(output, n, engine) -> None:
    """As if it were the engine's: here the mean of squares, in networks whose own loss is another."""
    known = network([3, 20, 4], activation="tanh", output=output, loss="mse")
    net = network([3, 20, 4], activation="tanh", output=output, loss="auto", dropout=0.4)
    net.params = known.params
    X, y, _ = data(known, n)
    d_outputs = 2 * (net.predict(X) - y) / y.size
    np.testing.assert_allclose(net.vjp(X, d_outputs), known.value_and_grad(X, y)[1], rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(net.input_vjp(X, d_outputs), known.input_gradient(X, y), rtol=1e-9, atol=1e-13)
    assert not net.grad.any()


def test_networks_in_a_row_are_trained_by_what_the_later_one_says_of_its_inputs(engine) -> None:
    first, last = network([3, 6, 2], activation="tanh"), network([2, 5, 1], activation="gelu")
    X, y = data(first, 5)[0], np.ones((5, 1))

    def loss(params):
        first.params = params
        return ((last.predict(first.predict(X)) - y) ** 2).mean()

    params, hidden = first.params.copy(), first.predict(X)
    gradient = first.vjp(X, last.input_vjp(hidden, 2 * (last.predict(hidden) - y) / 5))
    np.testing.assert_allclose(gradient, central_differences(loss, params), **CLOSE)


@pytest.mark.parametrize(
    ("d_outputs", "error", "message"),
    [
        (np.ones((5, 3)), ValueError, r"d_outputs has shape \(5, 3\), but the outputs for X have \(5, 2\)\. Pass a number"),
        (np.ones(5), ValueError, r"d_outputs has shape \(5,\)"),
        (np.ones((4, 2)), ValueError, r"d_outputs has shape \(4, 2\)"),
        (np.full((5, 2), np.nan), ValueError, "d_outputs has nan in row 0, column 0"),
        ([["a", "b"]] * 5, TypeError, "d_outputs has dtype"),
    ],
)
def test_vectors_that_do_not_fit_the_outputs_are_refused(d_outputs, error, message) -> None:
    net = network([3, 2])
    for ask in (net.vjp, net.input_vjp):
        with pytest.raises(error, match=message):
            ask(np.zeros((5, 3)), d_outputs)


def test_networks_of_nan_have_products_of_nan(engine) -> None:
    """Nothing is wrong with the data, of which the message would be."""
    net = network([3, 4, 2], output="softmax")
    with np.errstate(all="ignore"):
        net.params[:] = np.nan
        assert np.isnan(net.vjp(np.zeros((2, 3)), np.ones((2, 2)))).any()


def test_one_output_takes_vectors_of_one_dimension() -> None:
    net = network([3, 4, 1])
    X, d = data(net, 6)[0], np.arange(6.0)
    np.testing.assert_array_equal(net.vjp(X, d), net.vjp(X, d[:, None]))
    np.testing.assert_array_equal(net.input_vjp(X, d), net.input_vjp(X, d[:, None]))


@pytest.mark.parametrize(("output", "loss"), [("softmax", "cross_entropy"), ("sigmoid", "bce"), ("exp", "poisson")])
def test_fused_pairs_have_the_delta_p_minus_y(output, loss) -> None:
    """The bias of the last layer has the sum of the deltas as its gradient."""
    net = network([3, 4], output=output, loss=loss)
    X, y, _ = data(net, 1)
    grad = net.value_and_grad(X, y)[1]
    over = 4 if loss in ("bce", "poisson") else 1
    np.testing.assert_allclose(grad[-4:], (net.predict(X) - y)[0] / over, rtol=1e-12, atol=1e-15)


def test_float32_gradients_are_float64s_but_for_rounding() -> None:
    exact = network([5, 40, 3], activation="gelu", output="softmax")
    rough = fm.MLP([5, 40, 3], activation="gelu", output="softmax")
    rough.params = exact.params
    exact.params = rough.params
    X, y, _ = data(exact, 50)
    X = X.astype(np.float32)
    value, grad = exact.value_and_grad(X, y)
    rough_value, rough_grad = rough.value_and_grad(X, y)
    assert rough_value == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(rough_grad, grad, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(rough.jacobian(X), exact.jacobian(X), rtol=1e-4, atol=1e-6)
