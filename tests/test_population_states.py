"""Populations of trained networks, and parts of populations: each network goes on from its own state, whatever the others'."""

from __future__ import annotations

import numpy as np
import pytest

import fastmlp as fm

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = (X[:, 0] > X[:, 1]).astype(int)


def network(seed: int, optimizer=None, epochs: int = 5, width: int = 8) -> fm.MLP:
    net = fm.MLP([3, width, 1], activation="tanh", output="sigmoid", seed=seed, dtype="float64")
    if optimizer is not None:
        net.fit(X, Y, epochs=epochs, optimizer=optimizer)
    return net


OTHERS = {
    "untrained": None,
    "rmsprop": fm.RMSprop(0.01),
    "momentum": fm.SGD(0.1, momentum=0.9),
    "plain": fm.SGD(0.1),
    "amsgrad": fm.Adam(0.05, amsgrad=True),
    "scales": fm.Adam(0.05, scale_factor=6.0),
    "adam": fm.Adam(0.01),
}


@pytest.mark.parametrize("then", [fm.Adam(0.05), fm.SGD(0.1, momentum=0.5)], ids=["adam", "momentum"])
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("width", [8, 5])
def test_a_network_goes_on_from_its_own_state(other, then, width) -> None:
    nets = [network(0, fm.Adam(0.05)), network(1, OTHERS[other], width=width), network(2)]
    population = fm.Population.of(nets)
    population.fit(X, Y, epochs=3, batch_size=20, optimizer=then, shuffle=False)
    for net, inside in zip(nets, population, strict=True):
        net.fit(X, Y, epochs=3, batch_size=20, optimizer=then, shuffle=False)
        np.testing.assert_allclose(inside.params, net.params, rtol=1e-9, atol=1e-12)
        # And out of the population each goes on as well.
        for each in (inside, net):
            each.fit(X, Y, epochs=2, batch_size=20, optimizer=then, shuffle=False)
        np.testing.assert_allclose(inside.params, net.params, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("epochs", [0, 2, 30])
@pytest.mark.parametrize("validation", [None, 0.2])
def test_a_selection_goes_on_with_a_history_of_its_own(epochs, validation) -> None:
    population = fm.Population([3, 4, 1], size=20, output="sigmoid")
    population.fit(X, Y, epochs=3, validation=validation)
    chosen = np.arange(10)
    part = population.select(chosen)
    before = population.history.loss.copy()
    part.fit(X, Y, epochs=epochs, validation=validation)
    assert part.history.loss.shape == (3 + epochs, 10)
    np.testing.assert_array_equal(part.history.loss[:3], before[:, chosen])
    np.testing.assert_array_equal(population.history.loss, before)
    assert np.isfinite(part.history.loss).all()


def test_weights_of_each_network_from_a_frame() -> None:
    pandas = pytest.importorskip("pandas")
    population = fm.Population([3, 4, 1], size=len(X), output="sigmoid")
    weights = RNG.uniform(size=(len(X), len(X)))
    expected = population.loss(X, Y, weights)
    np.testing.assert_array_equal(population.loss(X, Y, pandas.DataFrame(weights)), expected)
