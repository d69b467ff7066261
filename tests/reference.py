"""What tests of the NumPy engine share: its functions called in short, and central differences."""

from __future__ import annotations

import numpy as np

from fastmlp.reference import train
from tests.nets import ACTIVATIONS, LOSSES, PARTNER

NO_ARENA = np.empty(0)
# Step of a central difference in float64: its error is about H^2, that of rounding about eps / H.
H, TOLERANCE = 1e-5, 1e-7
# Every loss with every output activation that it goes with.
PAIRS = [(loss, out) for loss in LOSSES for out in ACTIVATIONS if PARTNER.get(loss, out) == out]


def central_differences(f, x):
    """Gradient of the number f() by each element of x, which is moved in place."""
    gradient, flat = np.empty(x.size), x.reshape(-1)
    for i, value in enumerate(flat.tolist()):
        flat[i] = value + H
        above = f()
        flat[i] = value - H
        gradient[i] = (above - f()) / (2 * H)
        flat[i] = value
    return gradient.reshape(x.shape)


def assert_gradient(got, expected):
    np.testing.assert_allclose(got, expected, rtol=TOLERANCE, atol=TOLERANCE)


def loss_of(net, data):
    return train.loss(net.table, net.ints, net.reals, net.params, *data.arrays, NO_ARENA)


def value_and_grad(net, data):
    grad = np.full_like(net.params, np.nan)
    value = train.value_and_grad(net.table, net.ints, net.reals, net.params, *data.arrays, grad, NO_ARENA)
    return value, grad


def steps(net, data, slots, rates):
    """train_steps with arrays of the right sizes; returns the epochs' losses."""
    losses, order = np.full(len(rates) + 1, np.nan), np.empty(len(data.x), np.int64)
    n = train.train_steps(net.table, net.ints, net.reals, net.params, slots, *data.arrays, order,
                          np.asarray(rates, np.float64).reshape(len(rates), -1), losses, NO_ARENA)  # fmt: skip
    assert np.isnan(losses[n:]).all()
    return losses[:n]
