"""Layers: Dense, and everything that a user may write for one."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, fields, replace
from numbers import Integral
from typing import Any

import numpy as np

from . import activations, checks, initializers
from .embedding import Embedding
from .errors import shown

__all__ = ["Dense", "Layer", "as_dense", "as_denses", "output_layer", "split_layers"]


@dataclass(frozen=True)
class Dense:
    """A layer of `width` units: f(x @ weights + bias), f being its activation.

    Parameters
    ----------
    width : int
        Number of units.
    activation : str or Activation, optional
        A name of `fastmlp.activations.ACTIVATIONS`, or one of :func:`fastmlp.activation`; None takes the network's. Those for
        outputs only, "softmax" and "exp", may stand in the last layer.
    bias : bool
        Whether it has one.
    dropout : float, optional
        Part of its outputs that training sets to zero, in [0, 1); the others grow by 1 / (1 - dropout). None takes the
        network's; outputs have none.
    init : str or callable
        Initial weights: a name of `fastmlp.initializers.INITIALIZERS`; a function ``(rng, fan_in, fan_out) -> (fan_in,
        fan_out)`` array; or ``"auto"`` for the network's `init`, and if that is "auto" too, what suits the activation.
    parametric : bool
        Whether each unit's output is z + alpha (f(z) - z), with z = x @ weights + bias and a number alpha of its own, which is
        trained from 1 on (Holzmüller, Grinsztajn & Steinwart 2024). Hidden layers only.

    Raises
    ------
    TypeError, ValueError
        If a value is none of these.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.Dense(8, activation="tanh")
    Dense(width=8, activation='tanh', bias=True, dropout=None, init='auto', parametric=False)
    """

    width: int
    activation: str | activations.Activation | None = None
    bias: bool = True
    dropout: float | None = None
    init: Any = "auto"
    parametric: bool = False

    def __post_init__(self) -> None:
        """Check the fields and bring them to one form."""
        set_field = object.__setattr__
        set_field(self, "width", checks.integer("a layer's width", self.width, 1))
        if self.activation is not None:
            set_field(self, "activation", activations.canonical(self.activation))
        set_field(self, "bias", checks.flag("bias", self.bias))
        if self.dropout is not None:
            checks.real_field(self, "dropout", 0.0, 1.0, open_high=True)
        set_field(self, "init", initializers.resolve(self.init))
        set_field(self, "parametric", checks.flag("parametric", self.parametric))

    def shapes(self, fan_in: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of its parameters, as they follow each other."""
        shapes: dict[str, tuple[int, ...]] = {"weight": (fan_in, self.width)}
        for name, there in (("bias", self.bias), ("alpha", self.parametric)):
            if there:
                shapes[name] = (self.width,)
        return shapes

    def products(self, fan_in: int) -> int:
        """Return how many multiplications a row takes."""
        return fan_in * self.width

    def spec(self) -> dict[str, Any]:
        """Return its fields as a dict of plain values; `parametric` only where it is true, as files had none at first."""
        own = {field.name: getattr(self, field.name) for field in fields(self) if self.parametric or field.name != "parametric"}
        return own | {"activation": activations.lookup(self.activation).spec(), "init": initializers.to_spec(self.init)}

    def picklable(self) -> Dense:
        """Return the layer, with ``init="auto"`` if its own is a function that cannot be pickled.

        Examples
        --------
        >>> import fastmlp as fm
        >>> fm.Dense(2, init=lambda rng, fan_in, fan_out: rng.random((fan_in, fan_out))).picklable().init
        'auto'
        """
        try:
            pickle.dumps(self.init)
        except (pickle.PicklingError, AttributeError, TypeError):
            return replace(self, init="auto")
        return self


Layer = Dense | Embedding
"""What a network is made of; an embedding may be its first layer."""


def as_dense(spec: Any, default_activation: str | activations.Activation, *, dropout: float = 0.0, init: Any = "auto") -> Dense:
    """Return the Dense that `spec` means, with what it leaves open filled in.

    Parameters
    ----------
    spec : int, Dense, tuple or dict
        A width; ``(width, bias)``; ``(width, bias, activation)``; or a dict of Dense's arguments.
    default_activation : str or Activation
        Activation of a layer that names none.
    dropout : float
        Dropout of a layer that has none of its own.
    init : str or callable
        Initial weights of a layer whose own are ``"auto"``.

    Raises
    ------
    TypeError, ValueError
        If `spec` is none of these.

    Examples
    --------
    >>> as_dense((16, False), "relu")
    Dense(width=16, activation='relu', bias=False, dropout=0.0, init='auto', parametric=False)
    """
    if isinstance(spec, Integral) and not isinstance(spec, (bool, np.bool_)):  # in one go, since each Dense is checked
        return Dense(int(spec), default_activation, dropout=dropout, init=init)
    if isinstance(spec, Dense):
        dense = spec
    elif isinstance(spec, Mapping):
        dense = _from_mapping(spec)
    elif isinstance(spec, (tuple, list)):
        if len(spec) not in (2, 3):
            raise ValueError(f"a layer as a tuple is (width, bias) or (width, bias, activation); got {spec!r}.")
        if isinstance(spec[1], str):
            bias = spec[2] if len(spec) == 3 and isinstance(spec[2], (bool, np.bool_)) else True
            raise TypeError(
                f"a layer as a tuple is (width, bias) or (width, bias, activation); got {spec!r}. "
                f"Pass ({spec[0]!r}, {bias}, {spec[1]!r})."
            )
        dense = Dense(spec[0], bias=spec[1], activation=spec[2] if len(spec) == 3 else None)
    elif isinstance(spec, Embedding):
        raise ValueError("an Embedding stands before all other layers: put it right behind the number of inputs.")
    else:
        raise TypeError(
            "a layer must be a width, a fm.Dense, a tuple (width, bias) or (width, bias, activation), or a dict of "
            f"Dense's arguments; got {shown(spec)} ({type(spec).__name__})."
        )
    filled: dict[str, Any] = {}
    if dense.activation is None:
        filled["activation"] = default_activation
    if dense.dropout is None:
        filled["dropout"] = dropout
    if isinstance(dense.init, str) and dense.init == "auto":
        filled["init"] = init
    return replace(dense, **filled) if filled else dense


def _from_mapping(spec: Mapping[str, Any]) -> Dense:
    known = [field.name for field in fields(Dense)]
    for key in spec:
        checks.choice("a key of a layer's dict", key, known)
    if "width" not in spec:
        raise ValueError(f"a layer as a dict needs the key 'width'; got {dict(spec)!r}.")
    return Dense(**spec)


def split_layers(layers: Sequence[Any]) -> tuple[int, list[Any]]:
    """Return the number of inputs and the layers' specs."""
    if isinstance(layers, (str, Mapping, Set)) or not isinstance(layers, Iterable):  # a set has an order of its own
        raise TypeError(f"layers must be a list such as [64, 128, 10]; got {shown(layers)}.")
    specs = list(layers)
    if len(specs) < 2:
        raise ValueError(f"layers must name the number of inputs and at least one layer, such as [64, 10]; got {shown(specs)}.")
    return checks.integer("layers[0], the number of inputs,", specs[0], 1), specs[1:]


def as_denses(
    layers: Sequence[Any],
    activation: str | activations.Activation,
    output: str | activations.Activation | None,
    init: Any,
    dropout: float = 0.0,
) -> tuple[int, tuple[Layer, ...]]:
    """Return the number of inputs and all layers, Dense but for an embedding at first; what they leave open is filled in."""
    n_inputs, specs = split_layers(layers)
    first = [found for found in map(_as_embedding, specs[:1]) if found is not None]
    if first and len(specs) == 1:
        raise ValueError("an Embedding is no output layer: name the outputs behind it, such as [3, fm.Embedding(3), 32, 1].")
    hidden = [as_dense(spec, activation, dropout=dropout, init=init) for spec in specs[len(first) : -1]]
    return n_inputs, (*first, *hidden, output_layer(specs[-1], output, init))


def _as_embedding(spec: Any) -> Embedding | None:
    """Return the embedding that a layer is or that a dict of its fields stands for."""
    if isinstance(spec, Mapping) and "numbers" in spec:
        known = [field.name for field in fields(Embedding)]
        for key in spec:
            checks.choice("a key of an embedding's dict", key, known)
        return Embedding(**spec)
    return spec if isinstance(spec, Embedding) else None


def output_layer(spec: Any, output: str | activations.Activation | None, init: Any) -> Dense:
    """Return the last layer; its own activation, if it names one, and `output` must agree."""
    chosen = None if output is None else activations.canonical(output, "output")
    dense = as_dense(spec, chosen or "identity", init=init)
    if chosen is not None and dense.activation != chosen:
        raise ValueError(f"the last layer has activation={dense.activation!r}, but output={output!r}. Leave one of them out.")
    return dense
