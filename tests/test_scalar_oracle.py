"""Networks of Values judge both engines: losses and every gradient agree to 1e-12, number by number."""

from __future__ import annotations

import numpy as np
import pytest

import fastmlp as fm
from fastmlp.scalar import ACTIVATIONS, MLP, Value, from_network, to_network


def pinball(e: Value, q: float) -> Value:
    """Quantile loss of y - p = e."""
    return e * q if e >= 0 else e * (q - 1)


def huber(e: Value, delta: float) -> Value:
    return e * e / 2 if abs(e) <= delta else delta * (abs(e) - delta / 2)


# Sigmoid outputs with other losses learn slowly, but their gradients are right.
pytestmark = pytest.mark.filterwarnings("ignore::fastmlp.PairingWarning")

# Loss: output activation, and a row's loss of outputs p and targets y.
LOSSES = {
    "mse": (None, lambda p, y: sum((a - b) ** 2 for a, b in zip(p, y, strict=True)) / len(p)),
    "sse": (None, lambda p, y: sum((a - b) ** 2 for a, b in zip(p, y, strict=True))),
    "half_mse": (None, lambda p, y: sum((a - b) ** 2 for a, b in zip(p, y, strict=True)) / 2),
    "mae": (None, lambda p, y: sum(abs(a - b) for a, b in zip(p, y, strict=True)) / len(p)),
    "huber": (None, lambda p, y: sum(huber(a - b, 0.6) for a, b in zip(p, y, strict=True)) / len(p)),
    "quantile": (None, lambda p, y: sum(pinball(b - a, 0.3) for a, b in zip(p, y, strict=True)) / len(p)),
    "bce": ("sigmoid", lambda p, y: -sum(b * a.log() + (1 - b) * (1 - a).log() for a, b in zip(p, y, strict=True)) / len(p)),
    "cross_entropy": ("softmax", lambda p, y: -sum(b * a.log() for a, b in zip(p, y, strict=True))),
    "poisson": ("exp", lambda p, y: sum(a - b * a.log() for a, b in zip(p, y, strict=True)) / len(p)),
}
PARAMETERS = {"huber": fm.losses.Huber(0.6), "quantile": fm.losses.Quantile(0.3)}


def target(loss: str, k: int, rng) -> list[float]:
    if loss == "cross_entropy":
        return rng.dirichlet(np.ones(k)).tolist()
    return (rng.random(k) if loss == "bce" else rng.poisson(2.0, k) if loss == "poisson" else rng.normal(size=k)).tolist()


def compare(mlp: MLP, loss: str, rows: int, rng) -> None:
    """One network's loss and gradients, those by the inputs included, from Values and from the engine."""
    k, width = len(mlp.layers[0].neurons[0].w), len(mlp.layers[-1].neurons)
    X = [[Value(x) for x in row] for row in rng.normal(size=(rows, k)).tolist()]
    y = [target(loss, width, rng) for _ in range(rows)]
    outputs = [out if isinstance(out := mlp(x), list) else [out] for x in X]
    total = sum(LOSSES[loss][1](p, t) for p, t in zip(outputs, y, strict=True)) / (1 if loss == "sse" else rows)
    mlp.zero_grad()
    total.backward()

    net = to_network(mlp, loss=PARAMETERS.get(loss, loss))
    x = [[value.data for value in row] for row in X]
    value, grad = net.value_and_grad(x, y)
    assert abs(value - total.data) <= 1e-12 * max(1, abs(total.data))
    scale = max(1, np.abs(grad).max())
    np.testing.assert_allclose(grad, net.grad, rtol=0, atol=1e-12 * scale)
    np.testing.assert_allclose(net.input_gradient(x, y), [[v.grad for v in row] for row in X], rtol=0, atol=1e-12 * scale)
    np.testing.assert_allclose(net.predict(x), [[v.data for v in row] for row in outputs], rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_agrees(activation) -> None:
    rng = np.random.default_rng(7)
    hidden = "tanh" if activation == "exp" else activation  # exp is for outputs
    compare(MLP(3, [5, 4, 2], hidden, "identity", seed=1), "mse", 6, rng)
    compare(MLP(2, [3, 1], hidden, activation, seed=2), "mse", 5, rng)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("activation", ["softplus", "mish", "hard_sigmoid", "hard_swish"])
def test_activations_agree_however_large_or_small_their_inputs(activation) -> None:
    net = fm.MLP([1, fm.Dense(1, activation), 1], dtype="float64")
    net.params[:] = [1.0, 0.0, 1.0, 0.0]
    mlp = from_network(net)
    rounding = 1e-15 if "hard" in activation else 0.0  # 1 / 6 is no number of float64
    far = [3.0, 10.0, 20.0, 36.0, 40.0, 700.0, 1e17, 1e100, 1e300]
    for x in (0.0, 1e-300, *far, *(-x for x in far)):
        z = Value(x)
        out = mlp([z])
        out.backward()
        assert out.data == pytest.approx(net.predict([[x]]).item(), rel=1e-13, abs=rounding)
        assert z.grad == pytest.approx(net.input_vjp([[x]], [[1.0]]).item(), rel=1e-13, abs=rounding)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_agrees(loss) -> None:
    output = LOSSES[loss][0] or "tanh"
    compare(MLP(3, [4, 3], "tanh", output, seed=3), loss, 7, np.random.default_rng(8))


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("seed", range(12))
def test_random_architectures_agree(seed) -> None:
    rng = np.random.default_rng(seed)
    loss = str(rng.choice(list(LOSSES)))
    widths = [int(n) for n in rng.integers(1, 7, size=rng.integers(1, 5))]
    if loss == "cross_entropy":
        widths[-1] += 1  # softmax of one output is always 1
    activation = str(rng.choice(["relu", "tanh", "sigmoid", "silu", "softplus"]))
    output = LOSSES[loss][0] or str(rng.choice(["identity", "tanh", "sigmoid"]))
    compare(MLP(int(rng.integers(1, 5)), widths, activation, output, bias=bool(seed % 3), seed=seed), loss, 4, rng)


# ---- there and back


def test_a_network_goes_there_and_back_unchanged() -> None:
    net = fm.MLP([3, 5, fm.Dense(4, "silu", bias=False), 2], activation="tanh", output="softmax", dtype="float64", seed=5)
    net.backward([[0.1, 0.2, 0.3]], [1])
    mlp = from_network(net)
    assert [repr(layer) for layer in mlp.layers] == ["Layer(3, 5, tanh)", "Layer(5, 4, silu)", "Layer(4, 2, softmax)"]
    again = to_network(mlp)
    assert again.layers == net.layers
    np.testing.assert_array_equal(again.params, net.params)
    np.testing.assert_array_equal(again.grad, net.grad)
    assert [v.data for v in mlp([0.1, 0.2, 0.3])] == pytest.approx(net.predict([[0.1, 0.2, 0.3]])[0].tolist(), rel=1e-13)


def test_no_memory_is_shared() -> None:
    mlp = MLP(1, [1], seed=0)
    net = to_network(mlp)
    before = mlp.parameters()[0].data
    net.params[:] = 9.0
    assert mlp.parameters()[0].data == before
    back = from_network(net)
    net.params[:] = 1.0
    assert [p.data for p in back.parameters()] == [9.0, 9.0]


def test_training_is_the_same_step_by_step() -> None:
    X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [-1, 1, 1, -1]
    mlp = MLP(2, [4, 1], seed=0)
    net, losses = to_network(mlp), []
    for _ in range(30):
        loss = sum((mlp(x) - t) ** 2 for x, t in zip(X, y, strict=True)) / 4
        mlp.zero_grad()
        loss.backward()
        for p in mlp.parameters():
            p.data -= 0.1 * p.grad
        losses.append(loss.data)
    history = net.fit(X, y, epochs=30, batch_size=None, optimizer=fm.SGD(0.1), shuffle=False)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-12)
    np.testing.assert_allclose(net.params, to_network(mlp).params, atol=1e-12)


def mixed() -> MLP:
    mlp = MLP(2, [2, 1], seed=0)
    mlp.layers[0].neurons[0].b = None
    return mlp


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: to_network("mlp"), TypeError, "mlp must be a fastmlp.scalar.MLP; got 'mlp'"),
        (lambda: to_network(MLP(2, [1], Value.sin)), ValueError, "layer 1 of MLP.* is not one that fastmlp.MLP has"),
        (lambda: to_network(mixed()), ValueError, "layer 1 of MLP.* is not one that fastmlp.MLP has"),
        (lambda: from_network(MLP(2, [1])), TypeError, "net must be a fastmlp.MLP; got MLP"),
        (
            lambda: from_network(fm.MLP([2, 3, 1], activation="gelu")),
            ValueError,
            "activation of a layer of Values.*'gelu_tanh'",
        ),
    ],
)
def test_what_the_other_side_does_not_have_is_refused(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()
