"""Data for tests of populations, and their networks trained by themselves."""

from __future__ import annotations

import numpy as np

import fastmlp as fm
from fastmlp.reference import ids

RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, 3)).astype(np.float32)
Y = (X[:, :1] * X[:, 1:2] + 0.1 * RNG.normal(size=(70, 1))).astype(np.float32)
LABELS = (Y[:, 0] > 0).astype(int) + (X[:, 2] > 0.5)


def trained_alone(population: fm.Population, i: int, optimizer, **options) -> fm.MLP:
    """Network i of a population that is not trained yet, trained by itself in the same order of rows."""
    net = population[i]
    net._state.ints[ids.SHUFFLE_SEED] = population.seed
    net.fit(X, options.pop("y", Y), optimizer=optimizer, **options)
    return net
