"""A scalar autograd engine: numbers that know their derivatives, networks of them, and the way to compiled kernels."""

from .bridge import from_network, to_network
from .draw import Dot, draw
from .nn import ACTIVATIONS, MLP, Layer, Neuron
from .tape import Tape, compile
from .value import Value, topological

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "Dot",
    "Layer",
    "Neuron",
    "Tape",
    "Value",
    "compile",
    "draw",
    "from_network",
    "to_network",
    "topological",
]
