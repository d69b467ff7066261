"""The mathematics of networks once more, as plain as it can be written in float64: what the API is judged by."""

from __future__ import annotations

import numpy as np
from scipy import special

SIGMOID = special.expit
ACTIVATIONS = {
    "identity": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
    "selu": lambda z: 1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * np.expm1(np.minimum(z, 0))),
    "gelu": lambda z: z * (1 + special.erf(z / np.sqrt(2))) / 2,
    "gelu_tanh": lambda z: z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))) / 2,
    "silu": lambda z: z * SIGMOID(z),
    "mish": lambda z: z * np.tanh(np.logaddexp(0, z)),
    "softplus": lambda z: np.logaddexp(0, z),
    "tanh": np.tanh,
    "sigmoid": SIGMOID,
    "hard_sigmoid": lambda z: np.clip(z / 6 + 0.5, 0, 1),
    "hard_swish": lambda z: z * np.clip(z / 6 + 0.5, 0, 1),
    "softmax": lambda z: special.softmax(z, axis=1),
    "exp": np.exp,
}


def forward(net, X):
    """Every layer's activations, and the last one's logits; X (n, in)."""
    a, layers = np.asarray(X, np.float64), []
    for dense, w, b, alpha in zip(net.layers, net.weights, net.biases, net.alphas, strict=True):
        z = a @ w.astype(np.float64) + (0 if b is None else b.astype(np.float64))
        a = ACTIVATIONS[dense.activation](z)
        a = a if alpha is None else (1 - alpha.astype(np.float64)) * z + alpha * a
        layers.append(a)
    return layers, z


def row_losses(name, z, p, y, parameter=0.0, smoothing=0.0):
    """Each row's loss, (n,), of logits z and outputs p (n, K); y is (n, K), or (n,) with class indices."""
    y = np.eye(z.shape[1])[y] if name == "cross_entropy" and y.ndim == 1 else y.reshape(z.shape)
    e = p - y
    if name == "cross_entropy":
        t = (1 - smoothing) * y + smoothing / z.shape[1]
        return special.logsumexp(z, axis=1) - (t * z).sum(axis=1)
    if name == "bce":
        return (np.logaddexp(0, z) - y * z).mean(axis=1)
    if name == "poisson":
        return (np.exp(z) - y * z).mean(axis=1)
    if name in ("sse", "half_mse"):
        return (e**2).sum(axis=1) / (1 if name == "sse" else 2)
    each = {
        "mse": lambda: e**2,
        "mae": lambda: np.abs(e),
        "huber": lambda: np.where(np.abs(e) <= parameter, e**2 / 2, parameter * (np.abs(e) - parameter / 2)),
        "quantile": lambda: np.maximum(-parameter * e, (1 - parameter) * e),
    }
    return each[name]().mean(axis=1)


def loss(net, X, y, weight=None):
    """A network's loss on data."""
    layers, z = forward(net, X)
    spec = net.loss_spec
    rows = row_losses(spec.name, z, layers[-1], np.asarray(y), spec.parameter, spec.smoothing)
    weight = np.ones(len(rows)) if weight is None else np.asarray(weight)
    total = (weight * rows).sum()
    return total if spec.name == "sse" else total / weight.sum()


def central_differences(f, at, h=1e-6):
    """The gradient of f at a vector, element by element."""
    gradient = np.empty_like(at)
    for i in range(at.size):
        step = np.zeros_like(at)
        step.flat[i] = h
        gradient.flat[i] = (f(at + step) - f(at - step)) / (2 * h)
    return gradient
