"""Sums over many rows, and numbers at the ends of their ranges: no answer depends on how rows are cut into blocks."""

from __future__ import annotations

import numpy as np
import pytest

import fastmlp as fm
from tests.compiler import needs_compiler

ROWS = 100_000
X = np.random.default_rng(0).standard_normal((ROWS, 1)).astype(np.float32)
Y = np.full((ROWS, 1), 0.37, np.float32)


@needs_compiler  # without it they take minutes
@pytest.mark.parametrize("width", [64, 5500])  # one that threads take side by side, and one that they share
def test_a_gradient_of_many_rows_is_no_long_chain_of_roundings(width) -> None:
    net = fm.MLP([1, width, 1], seed=0)
    net.params[-width - 1 :] = 0
    _, gradient = net.value_and_grad(X, Y)
    assert gradient[-1] == pytest.approx(-0.74, rel=5e-5)  # a chain's is off by 7e-4


@pytest.mark.parametrize("batch", [64, 20_000, ROWS])
def test_a_populations_losses_are_exact_whatever_the_minibatch(batch) -> None:
    population = fm.Population([1, 1], size=3)
    population.params[...] = 0
    history = population.fit(X, Y, epochs=1, batch_size=batch, optimizer=fm.SGD(1e-12), progress=False)
    np.testing.assert_allclose(history.loss, 0.37**2, rtol=3e-5)


def test_a_populations_step_on_many_rows() -> None:
    population = fm.Population([1, 1], size=3)
    population.params[...] = 0
    population.fit(X, Y, epochs=1, batch_size=ROWS, optimizer=fm.SGD(1.0), progress=False)
    np.testing.assert_allclose(population.params[:, 1], 0.74, rtol=1e-4)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_dropout_next_to_one(engine, activation) -> None:
    rng = np.random.default_rng(0)
    inputs, targets = rng.standard_normal((200, 8)), rng.standard_normal((200, 2))
    net = fm.MLP([8, fm.Dense(16, activation, dropout=1 - 1e-9), 2], dtype="float64")
    assert np.isfinite(net.fit(inputs, targets, epochs=3, progress=False).loss).all()


@pytest.mark.parametrize("rows", [32, 500])
@pytest.mark.parametrize("kind", ["classes", "probabilities"])
def test_an_infinite_logit_of_a_class_that_has_no_share(rows, kind, engine) -> None:
    net = fm.MLP([2, 4], output="softmax")
    net.params[...] = 0
    net.weights[0][0] = [0, 1, 1, -3e38]  # times 10 beyond float32
    y = np.zeros(rows, int)
    value = net.loss(np.full((rows, 2), 10.0), y if kind == "classes" else np.eye(4)[y])
    assert value == pytest.approx(10 + np.log(2 + np.exp(-10)), rel=1e-6)
