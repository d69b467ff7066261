"""The two engines give the same training: same shuffles, masks and initial weights, and the same curve but for rounding."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import schedules
from fastmlp.activations import ACTIVATIONS
from fastmlp.losses import LOSSES
from fastmlp.optimizers import OPTIMIZERS
from tests.compiler import needs_compiler
from tests.problems import classes, classifier, numbers, regressor

pytestmark = needs_compiler

STEPPING = [name for name in OPTIMIZERS if name != "lbfgs"]
HIDDEN = [name for name, activation in ACTIVATIONS.items() if activation.hidden]


def on_both(make, X, y, **options) -> list[fm.MLP]:
    """The same training on each engine."""
    nets = []
    for name in ("numba", "numpy"):
        fm.use_engine(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fm.PairingWarning)
            net = make()
        net.fit(X, y, **options)
        nets.append(net)
    fm.use_engine()
    return nets


def assert_agree(nets: list[fm.MLP], loss: float, params: float) -> None:
    """Two trainings agree to relative errors of the losses, and of the parameters."""
    one, other = nets
    assert len(one.history) == len(other.history)
    np.testing.assert_allclose(one.history.loss, other.history.loss, rtol=loss)
    np.testing.assert_allclose(one.history.val_loss, other.history.val_loss, rtol=loss)
    scale = np.abs(other.params).max()
    np.testing.assert_allclose(one.params, other.params, rtol=0, atol=params * scale)
    assert (one._state.ints == other._state.ints).all()
    np.testing.assert_allclose(one._state.reals, other._state.reals, rtol=max(loss, 1e-12))


@pytest.mark.parametrize(("dtype", "loss", "params"), [("float64", 1e-10, 1e-9), ("float32", 2e-4, 2e-3)])
@pytest.mark.parametrize("name", STEPPING)
def test_a_whole_training_with_dropout_and_shuffles(name, dtype, loss, params) -> None:
    X, y = classes(100)
    weight = np.random.default_rng(0).uniform(0.5, 2, 100)
    nets = on_both(lambda: classifier(dropout=0.25, dtype=dtype, seed=11), X, y, epochs=60, batch_size=16, optimizer=name,
                   sample_weight=weight, validation=0.2)  # fmt: skip
    assert_agree(nets, loss, params)


@pytest.mark.parametrize("activation", HIDDEN)
def test_every_activation(activation) -> None:
    nets = on_both(lambda: regressor(activation=activation), *numbers(50), epochs=40, batch_size=8, optimizer=fm.SGD(0.01))
    assert_agree(nets, 1e-9, 1e-9)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("k", [2, 5])
def test_every_loss(loss, k) -> None:
    X, labels = classes(50)
    output = LOSSES[loss].output
    y = labels % k if loss == "cross_entropy" else np.eye(k)[labels % k]
    nets = on_both(lambda: fm.MLP([4, 9, k], activation="tanh", output=output, loss=loss, dtype="float64"), X, y, epochs=30,
                   batch_size=8, optimizer=fm.SGD(0.01))  # fmt: skip
    assert_agree(nets, 1e-10, 1e-9)


OPTIONS = {
    "penalties": {"optimizer": fm.SGD(0.05, momentum=0.9, l1=1e-3, l2=1e-2, weight_decay=1e-2)},
    "clipping": {"optimizer": fm.Adam(0.01, clip_value=0.05, clip_norm=0.1)},
    "schedule": {"optimizer": fm.SGD(schedules.OneCycle(0.05), momentum=0.9, nesterov=True)},
    "batch of one": {"batch_size": 1},
    "full batch": {"batch_size": None},
    "in order": {"shuffle": False},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_option(options, dtype) -> None:
    nets = on_both(lambda: regressor(dropout=0.1, dtype=dtype), *numbers(50), **{"epochs": 20, "batch_size": 16, **options})
    assert_agree(nets, *((1e-9, 1e-9) if dtype == "float64" else (1e-4, 1e-3)))


@pytest.mark.parametrize("layers", [[4, 1], [4, 1, 1], [4, (33, False), (17, True, "gelu"), 1], [4, 100, 64, 1]], ids=str)
def test_networks_of_many_shapes(layers) -> None:
    nets = on_both(lambda: fm.MLP(layers, activation="silu", dropout=0.1, dtype="float64"), *numbers(70), epochs=10)
    assert_agree(nets, 1e-10, 1e-9)


def test_a_network_that_takes_threads(any_threads) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 60)), rng.integers(7, size=400)
    fm.set_threads(3)
    nets = on_both(lambda: fm.MLP([60, 160, 90, 7], output="softmax", dropout=0.2, dtype="float64"), X, y, epochs=4)
    assert_agree(nets, 1e-10, 1e-8)


def test_the_first_epochs_in_float32_agree_to_the_last_digits() -> None:
    """Before rounding errors have grown, a wrong mask or shuffle would stand out a thousand times."""
    X, y = classes(100)
    one, other = on_both(lambda: classifier(dropout=0.5, dtype="float32"), X, y, epochs=3, batch_size=16)
    np.testing.assert_allclose(one.history.loss, other.history.loss, rtol=2e-6)


def test_answers_agree(engine) -> None:
    """Everything that a network can be asked, on this engine and on NumPy's."""
    X, y = classes(40)
    weight = np.linspace(0.5, 2, 40)
    net = classifier(activation="mish")

    def ask():
        value, grad = net.value_and_grad(X, y, weight)
        net.zero_grad()
        return [net.predict(X), *net.activations(X), net.loss(X, y), value, grad, net.input_gradient(X, y), net.jacobian(X),
                net.backward(X, y), net.grad.copy()]  # fmt: skip

    mine = ask()
    fm.use_engine("numpy")
    for one, other in zip(mine, ask(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)
