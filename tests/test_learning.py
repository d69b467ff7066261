"""Networks learn what they are known to be able to learn."""

from __future__ import annotations

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import datasets


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_xor_from_any_seed(seed, dtype) -> None:
    """Two inputs, eight hidden units, one output: four right answers."""
    data = datasets.load("xor")
    net = fm.MLP([2, 8, 1], activation="tanh", output="sigmoid", seed=seed, dtype=dtype)
    net.fit(data.X, data.y, epochs=1000, batch_size=4, optimizer=fm.Adam(0.05))
    assert net.predict(data.X).round().ravel().tolist() == data.y.tolist()
    assert net.loss(data.X, data.y) < 0.1


@pytest.mark.parametrize("optimizer", [fm.SGD(0.1, momentum=0.9), fm.SGD(0.5), fm.RMSprop(0.02), fm.Adagrad(0.3), fm.LBFGS()],
                         ids=lambda optimizer: type(optimizer).__name__)  # fmt: skip
def test_xor_by_every_way_down(optimizer) -> None:
    data = datasets.load("xor")
    for seed in range(3):
        net = fm.MLP([2, 8, 1], activation="tanh", output="sigmoid", seed=seed)
        net.fit(data.X, data.y, epochs=3000, batch_size=4, optimizer=optimizer)
        assert net.score(data.X, data.y) == 1.0


def test_a_linear_model_cannot_learn_xor() -> None:
    data = datasets.load("xor")
    net = fm.MLP([2, 1], output="sigmoid")
    net.fit(data.X, data.y, epochs=2000, batch_size=4, optimizer=fm.Adam(0.05))
    assert net.loss(data.X, data.y) == pytest.approx(np.log(2), abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_digits_that_were_held_back_are_read_above_97_percent(seed) -> None:
    data = datasets.load("digits")
    kept, held = datasets.split(data.y, 0.2, classes=True, seed=seed)
    net = fm.MLP([64, 128, 64, 10], output="softmax", dropout=0.2, seed=seed)
    net.fit(data.X[kept], data.y[kept], epochs=60, batch_size=64, optimizer=fm.Adam(2e-3))
    assert net.score(data.X[held], data.y[held]) > 0.97


def test_moons_are_told_apart_above_97_percent() -> None:
    train, test = datasets.load("moons", seed=0), datasets.load("moons", seed=1)
    net = fm.MLP([2, 8, 1], activation="tanh", output="sigmoid")
    net.fit(train.X, train.y, epochs=200, batch_size=32, optimizer=fm.Adam(0.02))
    assert net.score(test.X, test.y) > 0.97


def test_spirals_are_told_apart() -> None:
    train, test = datasets.load("spirals", seed=0), datasets.load("spirals", seed=1)
    net = fm.MLP([2, 32, 32, 3], output="softmax")
    net.fit(train.X, train.y, epochs=60, optimizer=fm.Adam(fm.schedules.OneCycle(0.02)))
    assert net.score(test.X, test.y) > 0.95


def test_a_smooth_function_is_followed() -> None:
    X = np.linspace(-3, 3, 400)[:, None]
    net = fm.MLP([1, 32, 32, 1], activation="gelu")
    net.fit(X, np.sin(2 * X), epochs=300, optimizer=fm.Adam(fm.schedules.Cosine(0.01)))
    assert net.score(X, np.sin(2 * X)) > 0.99


def test_a_quantile_network_finds_its_quantile() -> None:
    """A tenth of the targets lies above what the 0.9 quantile's network says."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (4000, 1))
    y = X[:, 0] + rng.exponential(size=4000)
    net = fm.MLP([1, 16, 1], activation="tanh", loss=fm.losses.Quantile(0.9))
    net.fit(X, y, epochs=60, optimizer=fm.Adam(fm.schedules.Cosine(0.02)))
    assert (y > net.predict(X)[:, 0]).mean() == pytest.approx(0.1, abs=0.02)


def test_counts_are_learnt_as_rates() -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (3000, 1))
    net = fm.MLP([1, 1], output="exp")
    net.fit(X, rng.poisson(np.exp(1 + X[:, 0])), epochs=60, optimizer=fm.Adam(0.02))
    np.testing.assert_allclose(net.params, [1, 1], atol=0.1)
