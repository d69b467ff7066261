"""Small problems and networks for tests of training, and training itself by hand, in NumPy."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

import fastmlp as fm
from fastmlp.reference.rng import permutation


def classes(n: int = 60, seed: int = 0):
    """Three classes that can be told apart, most of the time."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return rng.normal(size=(n, 4)) + 1.5 * np.eye(4)[y], y


def numbers(n: int = 60, seed: int = 0):
    """A smooth function of four numbers."""
    X = np.random.default_rng(seed).normal(size=(n, 4))
    return X, np.sin(X[:, 0]) + X[:, 1] * X[:, 2]


def classifier(**options) -> fm.MLP:
    """A network for `classes`."""
    return fm.MLP([4, 12, 3], **{"output": "softmax", "dtype": "float64", **options})


def regressor(**options) -> fm.MLP:
    """A network for `numbers`."""
    return fm.MLP([4, 12, 1], **{"activation": "tanh", "dtype": "float64", **options})


def make(*args, **kwargs) -> fm.MLP:
    """A network, without the warning that its output and its loss learn slowly together."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fm.PairingWarning)
        return fm.MLP(*args, **kwargs)


def targets_for(loss: str, n: int, k: int, seed: int = 1) -> np.ndarray:
    """Targets of a loss's kind, (n, k), or (n,) with class indices."""
    rng = np.random.default_rng(seed)
    if loss == "cross_entropy":
        return rng.integers(k, size=n)
    if loss == "bce":
        return rng.integers(2, size=(n, k)).astype(float)
    if loss == "poisson":
        return rng.poisson(2.0, size=(n, k)).astype(float)
    return rng.normal(size=(n, k))


def data_for(net: fm.MLP, n: int = 7, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(seed).normal(size=(n, net.plan.n_inputs))
    return X, targets_for(net.loss_spec.name, n, net.plan.n_outputs)


def perturb_biases(net: fm.MLP) -> fm.MLP:
    """Biases start at zero, where a network could forget them and nobody would notice."""
    rng = np.random.default_rng(5)
    for bias in net.biases:
        if bias is not None:
            bias[:] = rng.normal(size=bias.shape) / 4
    return net


def on_weights(net: fm.MLP) -> np.ndarray:
    """1 for each weight, 0 for each bias."""
    marks = np.zeros(net.n_params)
    for part in net.plan.weights(marks):
        part[:] = 1
    return marks


class ByHand:
    """An optimizer in NumPy, from the formulas in its docstring."""

    def __init__(self, optimizer, marks):
        self.o, self.marks, self.t = optimizer, marks, 0
        self.m = self.v = self.top = 0.0 * marks

    def condition(self, w, g):
        o = self.o
        g = g + self.marks * (o.l1 * np.sign(w) + o.l2 * w)
        if o.clip_value is not None:
            g = np.clip(g, -o.clip_value, o.clip_value)
        if o.clip_norm is not None:
            g = g * min(1.0, o.clip_norm / np.linalg.norm(g))
        return g

    def step(self, w, g, lr):
        o, self.t = self.o, self.t + 1
        g = self.condition(w, g)
        w = w - lr * o.weight_decay * w * self.marks
        if isinstance(o, fm.SGD):
            self.m = o.momentum * self.m - lr * g
            return w + (o.momentum * self.m - lr * g if o.nesterov else self.m)
        if isinstance(o, fm.Adam):
            self.m = o.beta1 * self.m + (1 - o.beta1) * g
            self.v = o.beta2 * self.v + (1 - o.beta2) * g**2
            self.top = np.maximum(self.top, self.v)
            second = (self.top if o.amsgrad else self.v) / (1 - o.beta2**self.t)
            return w - lr * self.m / (1 - o.beta1**self.t) / (np.sqrt(second) + o.eps)
        if isinstance(o, fm.RMSprop):
            self.v = o.rho * self.v + (1 - o.rho) * g**2
        else:
            self.v = self.v + g**2
        return w - lr * g / (np.sqrt(self.v) + o.eps)


def fit_by_hand(net, X, y, *, epochs, batch, optimizer, shuffle=False, weight=None, rates=None, decays=None):
    """What fit is to do, in NumPy; returns the epochs' losses. Gradients are the network's own, which other tests judge."""
    hand, w, losses, t = ByHand(optimizer, on_weights(net)), net.params.copy(), [], 0
    weight = np.ones(len(X)) if weight is None else weight
    for epoch in range(epochs):
        order = np.arange(len(X))
        if shuffle:
            permutation(net.seed, epoch, order)
        total = 0.0
        for at in range(0, len(X), batch):
            rows = order[at : at + batch]
            net.params = w
            value, g = net.value_and_grad(X[rows], y[rows], weight[rows])
            total += value * (1 if net.loss_spec.name == "sse" else weight[rows].sum())
            if decays is not None:
                hand.o = replace(optimizer, weight_decay=decays[t])
            w = hand.step(w, g, optimizer.lr if rates is None else rates[t])
            t += 1
        losses.append(total / (1 if net.loss_spec.name == "sse" else weight.sum()))
    net.params = w
    return losses


@dataclass(frozen=True)
class Given(fm.schedules.Schedule):
    """Rates by a table, the last one from there on."""

    table: tuple[float, ...] = (0.1,)

    def rates(self, steps, span):
        return np.array(self.table)[np.minimum(steps - span.start, len(self.table) - 1)]
