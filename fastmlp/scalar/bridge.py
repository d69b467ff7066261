"""From networks of Values to networks on compiled kernels, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..embedding import Embedding
from ..layers import Dense
from ..network import MLP as Network
from .nn import ACTIVATIONS, MLP, Neuron

__all__ = ["from_network", "to_network"]


def to_network(mlp: MLP, *, loss: Any = "auto") -> Network:
    """Return the network of `fastmlp` that has the parameters and gradients of a network of Values, in float64.

    Parameters
    ----------
    mlp : fastmlp.scalar.MLP
        The network of Values.
    loss : str, Huber, Quantile or CrossEntropy
        As in :class:`fastmlp.MLP`.

    Returns
    -------
    fastmlp.MLP
        Its `params` are the Values' `data` and its `grad` their `grad`, in its own order; no memory is shared.

    Raises
    ------
    TypeError, ValueError
        If `mlp` is no such network, or has a layer whose activation is a function instead of a name, or whose neurons differ.

    Examples
    --------
    >>> from fastmlp import scalar
    >>> mlp = scalar.MLP(2, [8, 1], seed=0)
    >>> net = scalar.to_network(mlp)
    >>> abs(net.predict([[0.5, -1.0]]).item() - mlp([0.5, -1.0]).data) < 1e-12
    True
    """
    if not isinstance(mlp, MLP):
        raise TypeError(f"mlp must be a fastmlp.scalar.MLP; got {mlp!r} ({type(mlp).__name__}).")
    layers: list[Any] = [len(mlp.layers[0].neurons[0].w)]
    for number, layer in enumerate(mlp.layers, 1):
        own = "identity" if layer.activation == "softmax" else layer.activation
        kinds = {(len(neuron.w), neuron.b is not None, neuron.activation) for neuron in layer.neurons}
        if not isinstance(layer.activation, str) or kinds != {(*next(iter(kinds))[:2], own)}:
            raise ValueError(
                f"layer {number} of {mlp!r} is not one that fastmlp.MLP has: all its neurons must have as many weights, a bias "
                f"or none, and the layer's activation, one of {', '.join(map(repr, ACTIVATIONS))}."
            )
        layers.append(Dense(len(layer.neurons), layer.activation, bias=layer.neurons[0].b is not None))
    net = Network(layers, loss=loss, dtype="float64")
    for data, flat in (("data", net.params), ("grad", net.grad)):
        for neuron, weights, bias in _places(mlp, net, flat):
            weights[:] = [getattr(w, data) for w in neuron.w]
            if neuron.b is not None:
                bias[:] = getattr(neuron.b, data)
    return net


def from_network(net: Network) -> MLP:
    """Return the network of Values that has the parameters and gradients of a network of `fastmlp`.

    Parameters
    ----------
    net : fastmlp.MLP
        The network. Its dropout is left out, as in its predictions.

    Raises
    ------
    TypeError, ValueError
        If `net` is no such network, or has an activation that Values have not, or a parametric layer or an embedding.

    Examples
    --------
    >>> import fastmlp as fm
    >>> net = fm.MLP([3, 4, 2], output="softmax", dtype="float64")
    >>> fm.scalar.from_network(net)
    MLP(Layer(3, 4, relu), Layer(4, 2, softmax))
    """
    if not isinstance(net, Network):
        raise TypeError(f"net must be a fastmlp.MLP; got {net!r} ({type(net).__name__}).")
    for number, dense in enumerate(net.layers, 1):
        if dense.parametric or isinstance(dense, Embedding):
            odd = "parametric=True" if dense.parametric else "an Embedding"
            raise ValueError(f"layer {number} of net has {odd}, which Values have not. Make a network without it.")
    mlp = MLP(net.plan.n_inputs, net.plan.widths[1:], "identity", seed=0)
    for layer, dense in zip(mlp.layers, net.layers, strict=True):
        layer.activation = str(dense.activation)
        if layer.activation != "softmax":
            checks.choice("the activation of a layer of Values", layer.activation, ACTIVATIONS)
        for neuron in layer.neurons:
            neuron.activation = "identity" if layer.activation == "softmax" else layer.activation
            neuron.b = neuron.b if dense.bias else None
    for data, flat in (("data", net.params), ("grad", net.grad)):
        for neuron, weights, bias in _places(mlp, net, flat):
            for value, number in zip(neuron.parameters(), [*weights.tolist(), *bias.tolist()], strict=True):
                setattr(value, data, number)
    return mlp


def _places(mlp: MLP, net: Network, flat: NDArray) -> list[tuple[Neuron, NDArray, NDArray]]:
    """Return each neuron with views of its weights and of its bias in a flat vector of the network."""
    nothing = np.zeros(0)
    return [
        (neuron, weights[:, unit], nothing if biases is None else biases[unit : unit + 1])
        for layer, weights, biases in zip(mlp.layers, net.plan.weights(flat), net.plan.biases(flat), strict=True)
        for unit, neuron in enumerate(layer.neurons)
    ]
