"""Neurons, layers and networks of Values: what fastmlp.MLP computes, one number at a time."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import checks
from ..errors import counted, shown
from .value import Value

__all__ = ["ACTIVATIONS", "MLP", "Layer", "Neuron"]

Activation = str | Callable[[Value], Value]


def _elu(z: Value) -> Value:
    return z if z > 0 else z.exp() - 1


def _softplus(z: Value) -> Value:
    positive = z.relu()
    return positive + (z - positive - positive).exp().log1p()  # of -|z|, but with a derivative at 0


def _hard_sigmoid(z: Value) -> Value:
    return 1 - (1 - (z / 6 + 0.5).relu()).relu()


# The same functions under the same names as in fastmlp.activations, but for gelu, which needs erf.
ACTIVATIONS: dict[str, Callable[[Value], Value]] = {
    "identity": lambda z: z,
    "relu": Value.relu,
    "leaky_relu": lambda z: z if z > 0 else 0.01 * z,
    "elu": _elu,
    "selu": lambda z: 1.0507009873554805 * (z if z > 0 else 1.6732632423543772 * _elu(z)),
    "gelu_tanh": lambda z: z * (1 + (0.7978845608028654 * (z + 0.044715 * z**3)).tanh()) / 2,
    "silu": lambda z: z * z.sigmoid(),
    "mish": lambda z: z * _softplus(z).tanh(),
    "softplus": _softplus,
    "tanh": Value.tanh,
    "sigmoid": Value.sigmoid,
    "hard_sigmoid": _hard_sigmoid,
    "hard_swish": lambda z: z * _hard_sigmoid(z),
    "exp": Value.exp,
}


class _Module:
    """What has parameters."""

    def parameters(self) -> list[Value]:
        """Return all parameters."""
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Set the gradient of each parameter to zero."""
        for parameter in self.parameters():
            parameter.grad = 0.0


class Neuron(_Module):
    """A neuron: activation(bias + Σ weight·input).

    Parameters
    ----------
    nin : int
        Number of inputs.
    activation : str or callable
        A name of `ACTIVATIONS`, or a function of a Value that returns one.
    bias : bool
        Whether it has one.
    seed : int or random.Random, optional
        Seed of the weights and the bias, uniform(−1, 1); None draws them from Python's `random`, which `random.seed` seeds.

    Attributes
    ----------
    w : list of Value
        The weights.
    b : Value or None
        The bias.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these; when called, if the number of inputs is wrong.

    Examples
    --------
    >>> from fastmlp.scalar import Neuron
    >>> neuron = Neuron(2, activation="relu", seed=0)
    >>> neuron([1.0, -2.0]).data == max(0, neuron.w[0].data - 2 * neuron.w[1].data + neuron.b.data)
    True
    """

    def __init__(
        self, nin: int, activation: Activation = "tanh", *, bias: bool = True, seed: int | random.Random | None = None
    ) -> None:
        nin = checks.integer("nin", nin, 1)
        rng = _rng(seed)
        self.activation = _check_activation(activation)
        self.w = [Value(rng.uniform(-1, 1), f"w{i}") for i in range(nin)]
        self.b = Value(rng.uniform(-1, 1), "b") if checks.flag("bias", bias) else None

    def logit(self, x: Sequence[Any]) -> Value:
        """Return what the activation is applied to: the bias plus the weighted sum of the inputs."""
        if isinstance(x, str) or not hasattr(x, "__len__"):
            raise TypeError(f"x must be a list of numbers or Values; got {shown(x)} ({type(x).__name__}).")
        if len(x) != len(self.w):
            raise ValueError(f"x has {counted(len(x), 'number')}, but this neuron takes {len(self.w)}.")
        try:
            products = [w * number for w, number in zip(self.w, x, strict=True)]
        except TypeError:
            raise TypeError(f"x must be a list of numbers or Values; got {shown(x)}.") from None
        return sum(products, self.b) if self.b is not None else sum(products[1:], products[0])

    def __call__(self, x: Sequence[Any]) -> Value:
        """Return the output for the inputs x, numbers or Values."""
        return _function(self.activation)(self.logit(x))

    def parameters(self) -> list[Value]:
        """Return the weights, then the bias."""
        return [*self.w, *([] if self.b is None else [self.b])]

    def __repr__(self) -> str:
        """Return the number of inputs and the activation."""
        return f"Neuron({len(self.w)}, {_name(self.activation)})"


class Layer(_Module):
    """Neurons side by side, which see the same inputs.

    Parameters
    ----------
    nin : int
        Number of inputs.
    nout : int
        Number of neurons.
    activation : str or callable
        As in `Neuron`; or "softmax", which turns all neurons' sums into probabilities.
    bias : bool
        Whether each neuron has a bias.
    seed : int or random.Random, optional
        As in `Neuron`.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these; when called, if the number of inputs is wrong.

    Examples
    --------
    >>> from fastmlp.scalar import Layer, Neuron
    >>> probabilities = Layer(2, 3, "softmax", seed=0)([0.5, -1.0])
    >>> round(sum(probabilities).data, 12)
    1.0
    >>> Layer(2, 1, seed=0)([0.5, -1.0]).data == Neuron(2, seed=0)([0.5, -1.0]).data
    True
    """

    def __init__(
        self,
        nin: int,
        nout: int,
        activation: Activation = "tanh",
        *,
        bias: bool = True,
        seed: int | random.Random | None = None,
    ) -> None:
        rng = _rng(seed)
        self.activation = activation if activation == "softmax" else _check_activation(activation)
        own: Activation = "identity" if activation == "softmax" else activation
        self.neurons = [Neuron(nin, own, bias=bias, seed=rng) for _ in range(checks.integer("nout", nout, 1))]

    def __call__(self, x: Sequence[Any]) -> Any:
        """Return the outputs as a list, or alone if there is only one neuron."""
        outputs = [neuron(x) for neuron in self.neurons]
        if self.activation == "softmax":
            top = max(output.data for output in outputs)  # cancels out, and keeps exp from overflowing
            powers = [(output - top).exp() for output in outputs]
            total = sum(powers[1:], powers[0])
            outputs = [power / total for power in powers]
        return outputs if len(outputs) > 1 else outputs[0]

    def parameters(self) -> list[Value]:
        """Return the parameters, neuron by neuron."""
        return [parameter for neuron in self.neurons for parameter in neuron.parameters()]

    def __repr__(self) -> str:
        """Return the number of inputs and neurons and the activation."""
        return f"Layer({len(self.neurons[0].w)}, {len(self.neurons)}, {_name(self.activation)})"


class MLP(_Module):
    """A multilayer perceptron of Values.

    Parameters
    ----------
    nin : int
        Number of inputs.
    nouts : sequence of int
        Width of each layer.
    activation : str or callable
        Of every layer; see `Neuron`.
    output : str or callable, optional
        Of the last layer, or "softmax"; None takes `activation`.
    bias : bool
        Whether neurons have a bias.
    seed : int or random.Random, optional
        Seed of all weights and biases, uniform(−1, 1); None draws them from Python's `random`, which `random.seed` seeds.

    Attributes
    ----------
    layers : list of Layer

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these; when called, if the number of inputs is wrong.

    Examples
    --------
    >>> from fastmlp.scalar import MLP
    >>> mlp = MLP(2, [8, 1], seed=0)
    >>> len(mlp.parameters())
    33
    >>> loss = (mlp([0.0, 1.0]) - 1) ** 2
    >>> loss.backward()
    """

    def __init__(
        self,
        nin: int,
        nouts: Sequence[int],
        activation: Activation = "tanh",
        output: Activation | None = None,
        *,
        bias: bool = True,
        seed: int | random.Random | None = None,
    ) -> None:
        if isinstance(nouts, str) or not np.iterable(nouts) or len(nouts) == 0:
            raise ValueError(f"nouts must be the widths of one or more layers, such as [8, 1]; got {nouts!r}.")
        rng, last = _rng(seed), len(nouts) - 1
        chosen = [activation] * last + [activation if output is None else output]
        widths = [checks.integer(f"nouts[{i}]", width, 1) for i, width in enumerate(nouts)]
        fan_ins = [nin, *widths[:-1]]
        self.layers = [
            Layer(fan_in, width, own, bias=bias, seed=rng) for fan_in, width, own in zip(fan_ins, widths, chosen, strict=True)
        ]

    def __call__(self, x: Sequence[Any]) -> Any:
        """Return the outputs for one row of inputs: a list, or one Value if the last layer has one neuron."""
        out = x
        for number, layer in enumerate(self.layers):
            out = layer(out if number == 0 or isinstance(out, list) else [out])
        return out

    def parameters(self) -> list[Value]:
        """Return the parameters, layer by layer, neuron by neuron: weights, then bias."""
        return [parameter for layer in self.layers for parameter in layer.parameters()]

    def __repr__(self) -> str:
        """Return the layers."""
        return f"MLP({', '.join(map(repr, self.layers))})"


def _rng(seed: Any) -> Any:
    """Return what has the function `uniform`: Python's module random for None."""
    if seed is None or seed is random:
        return random
    return seed if isinstance(seed, random.Random) else random.Random(checks.integer("seed", seed))


def _check_activation(activation: Any) -> Activation:
    if callable(activation):
        return activation
    return checks.choice("activation", activation, ACTIVATIONS, "a function of a Value")


def _function(activation: Activation) -> Callable[[Value], Value]:
    return ACTIVATIONS[activation] if isinstance(activation, str) else activation


def _name(activation: Activation) -> str:
    return activation if isinstance(activation, str) else getattr(activation, "__name__", repr(activation))
