"""Plan: what both engines read of a network, its widths, op numbers and offsets into one flat parameter vector."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import activations, arrays, checks
from .embedding import Embedding
from .layers import Layer
from .reference.ids import (
    ACTIVATION,
    CODES,
    COLUMNS,
    ENTRIES,
    FAN_IN,
    HAS_ALPHA,
    HAS_BIAS,
    NUMBERS,
    OFFSET,
    PARTS,
    SIZE,
    WAVES,
    WIDTH,
)

__all__ = ["Plan", "aligned_copies", "aligned_empty", "aligned_zeros", "make_plan"]

# More than any machine's memory holds.
_MOST_PARAMETERS = 2**44
ALIGNMENT = 64  # bytes: a cache line, and the widest vector


@dataclass(frozen=True, eq=False)
class Plan:
    """The layout of a network.

    Attributes
    ----------
    table : (L, 12) int64 array, int32 with an embedding or a parametric layer
        A row for each layer: FAN_IN, WIDTH, ACTIVATION, HAS_BIAS, OFFSET, ... of ``reference/ids.py``.
    dropout : (L,) float64 array
        Rate of each layer's outputs; 0 for the last.
    n_params : int
        Length of the flat vector: each layer's weights (fan_in, width) row-major, then its bias and its alphas, if any.
    activations : tuple of Activation
        Of the layers. Numbers of activations that are not built in hold in one process only.
    shapes : tuple of dict
        The shapes of each layer's "weight", "bias" and "alpha", as they follow each other in the flat vector.
    products : tuple of int
        Multiplications of each layer for a row.
    embedding : Embedding or None
        The first layer, if it is one.
    """

    table: NDArray[np.int64] | NDArray[np.int32]
    dropout: NDArray[np.float64]
    n_params: int
    activations: tuple[activations.Activation, ...]
    shapes: tuple[dict[str, tuple[int, ...]], ...]
    products: tuple[int, ...]
    embedding: Embedding | None

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore what pickling kept, with this process's numbers of the activations; ValueError if another version kept it.

        In memory of its own: for read-only arrays Numba would compile all kernels again.
        """
        if state["table"].shape[1] != COLUMNS:
            raise ValueError(
                "this network was pickled by a version of fastmlp that lays out networks otherwise. Load it there and write it "
                "by net.save, whose files this version reads."
            )
        self.__dict__.update(state, table=np.array(state["table"]), dropout=np.array(state["dropout"]))
        self.table[:, ACTIVATION] = [activation.id for activation in self.activations]

    @cached_property
    def n_layers(self) -> int:
        """Number of layers with weights."""
        return self.table.shape[0]

    @cached_property
    def n_inputs(self) -> int:
        """Number of inputs."""
        return int(self.table[0, FAN_IN])

    @cached_property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return int(self.table[-1, WIDTH])

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Number of inputs, then each layer's width."""
        return (self.n_inputs, *(int(width) for width in self.table[:, WIDTH]))

    def weights(self, flat: NDArray) -> list[NDArray]:
        """Return views of a flat vector, one for each layer: (fan_in, width), or of an embedding (entries, size)."""
        return [view for view in self._views(flat, "weight") if view is not None]

    def biases(self, flat: NDArray) -> list[NDArray | None]:
        """Return views (width,) of a flat vector, one for each layer, None for one without a bias.

        Of an embedding they are the parameters of its numbers, (numbers, ·).
        """
        return self._views(flat, "bias")

    def alphas(self, flat: NDArray) -> list[NDArray | None]:
        """Return views (width,) of a flat vector, one for each layer, None for one that is not parametric."""
        return self._views(flat, "alpha")

    def _views(self, flat: NDArray, name: str) -> list[NDArray | None]:
        if flat.shape != (self.n_params,):
            raise ValueError(f"a flat vector of this network has shape ({self.n_params},); got {flat.shape}.")
        return [flat[own[name][0]].reshape(own[name][1]) if name in own else None for own in self._places]

    @cached_property
    def _places(self) -> list[dict[str, tuple[slice, tuple[int, ...]]]]:
        """Where in a flat vector each layer's parameters lie, and their shapes."""
        start, places = 0, []
        for shapes in self.shapes:
            own = {}
            for name, shape in shapes.items():
                own[name] = slice(start, start + math.prod(shape)), shape
                start += math.prod(shape)
            places.append(own)
        return places

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Number of each layer's parameters, (L,)."""
        return np.array([sum(map(math.prod, shapes.values())) for shapes in self.shapes], np.int64)

    @property
    def first_dense(self) -> int:
        """Number of the first layer that is no embedding."""
        return 0 if self.embedding is None else 1

    @cached_property
    def fan_in(self) -> NDArray[np.int64]:
        """How many inputs each unit of a layer sums up, (L,); 1 in an embedding."""
        return np.where(np.arange(self.n_layers) < self.first_dense, 1, self.table[:, FAN_IN])

    def flops(self, rows: int = 1) -> int:
        """Return the floating-point operations of a forward pass: two for each multiplication of each row."""
        return 2 * rows * sum(self.products)

    def inputs(self, X: ArrayLike, dtype: np.dtype, name: str = "X") -> NDArray:
        """Return `X` as a C-contiguous (n, n_inputs) array of `dtype`, all finite, n >= 1, with codes that an embedding has.

        Raises
        ------
        TypeError, ValueError
            If it is none.
        """
        x = arrays.inputs(X, self.n_inputs, dtype, self.widths, name)
        if self.embedding is not None:
            self.embedding.check_codes(x, name)
        return x

    def is_weight(self) -> NDArray[np.bool_]:
        """Return for each parameter whether it is a weight, which penalties act on, and not a bias or an alpha: (P,)."""
        mask = np.zeros(self.n_params, bool)
        for weights in self.weights(mask):
            weights[...] = True
        return mask

    def too_large(self, dtype: np.dtype) -> str:
        """Return words for a network that memory does not hold, which name its largest layer."""
        sizes = self.sizes
        number = int(sizes.argmax())
        gigabytes = int(sizes[number]) * dtype.itemsize / 1e9
        return (
            f"layer {number} has width={self.table[number, WIDTH]} and {self.table[number, FAN_IN]} inputs: its "
            f"{sizes[number]:,} parameters take {gigabytes:,.1f} GB, which memory does not hold. Take fewer units."
        )


def make_plan(n_inputs: int, denses: Sequence[Layer]) -> Plan:
    """Lay out a network of `n_inputs` inputs and these layers, whose activations are filled in.

    Parameters
    ----------
    n_inputs : int
        Number of inputs.
    denses : sequence of Dense
        The hidden layers, possibly none, of which the first may be an Embedding, and the output layer.

    Raises
    ------
    ValueError
        If there is no layer, a hidden layer has an activation for outputs only, or the outputs have dropout or are parametric.

    Examples
    --------
    >>> from fastmlp.layers import Dense
    >>> make_plan(2, [Dense(8, "tanh"), Dense(1, "sigmoid")]).n_params
    33
    """
    n_inputs = checks.integer("the number of inputs", n_inputs, 1)
    if not denses:
        raise ValueError("a network needs an output layer: give layers a number of inputs and at least one width.")
    special = isinstance(denses[0], Embedding) or any(dense.parametric for dense in denses)
    table = np.zeros((len(denses), COLUMNS), np.int32 if special else np.int64)
    kinds = tuple(activations.lookup(dense.activation) for dense in denses)
    fan_in, offset = n_inputs, 0
    shapes: list[dict[str, tuple[int, ...]]] = []
    products: list[int] = []
    most = 2**31 - 1 if special else _MOST_PARAMETERS  # what the table can hold
    for number, dense in enumerate(denses):
        last = number == len(denses) - 1
        activation = kinds[number]
        if isinstance(dense, Embedding):
            _check_embedding(dense, fan_in)
        else:
            _check_activation(activation, dense.width, number, last)
        if last and dense.dropout:
            raise ValueError(f"the output layer has dropout={dense.dropout}, but outputs stay. Give it dropout=0.")
        if last and dense.parametric:
            raise ValueError("the output layer has parametric=True, but its activation is the loss's. Leave it out there.")
        shapes.append(dense.shapes(fan_in))
        products.append(dense.products(fan_in))
        size = sum(map(math.prod, shapes[-1].values()))
        if size + offset > most:
            raise ValueError(
                f"layer {number} has width={dense.width} and {fan_in} inputs: with it the network would have more than "
                f"{most:,} parameters. Take fewer units."
            )
        row = table[number]
        row[FAN_IN], row[WIDTH], row[ACTIVATION], row[HAS_BIAS] = fan_in, dense.width, activation.id, dense.bias
        row[OFFSET], row[HAS_ALPHA] = offset, dense.parametric
        if isinstance(dense, Embedding):
            row[HAS_BIAS], row[NUMBERS], row[CODES], row[ENTRIES] = 0, dense.numbers, dense.codes, dense.entries
            row[SIZE], row[WAVES], row[PARTS] = dense.size, dense.waves, dense.parts
        offset += size
        fan_in = dense.width
    dropout = np.array([dense.dropout or 0.0 for dense in denses], np.float64)
    first = denses[0]
    return Plan(table, dropout, offset, kinds, tuple(shapes), tuple(products), first if isinstance(first, Embedding) else None)


def _check_embedding(embedding: Embedding, n_inputs: int) -> None:
    if embedding.n_inputs != n_inputs:
        raise ValueError(
            f"the network has {n_inputs} inputs, but its embedding takes {embedding.n_inputs}: {embedding.numbers} numbers, "
            f"{embedding.plain} plain ones and {embedding.codes} codes. Let layers begin with {embedding.n_inputs}."
        )


def _check_activation(activation: activations.Activation, width: int, number: int, last: bool) -> None:
    if not last and not activation.hidden:
        hidden = ", ".join(repr(name) for name, a in activations.ACTIVATIONS.items() if a.hidden)
        raise ValueError(
            f"hidden layer {number} has activation={activation.name!r}, which is for outputs only. "
            f"Use output={activation.name!r} for the last layer, and for hidden ones one of {hidden}."
        )
    if last and activation.name == "softmax" and width == 1:
        raise ValueError("output='softmax' with one output is always 1. Use output='sigmoid', or two outputs for two classes.")


def aligned_zeros(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray:
    """Return an array of zeros that starts at a cache line."""
    return _aligned(np.zeros, shape, dtype)


def aligned_empty(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray:
    """Return an array of any numbers that starts at a cache line."""
    return _aligned(np.empty, shape, dtype)


def _aligned(make: Callable[..., NDArray], shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray:
    dtype = np.dtype(dtype)
    shape = (shape,) if isinstance(shape, int) else shape
    size = math.prod(shape) * dtype.itemsize
    if size == 0:
        return make(shape, dtype)
    raw = make(size + ALIGNMENT, np.uint8)
    return np.ndarray(shape, dtype, raw, -raw.ctypes.data % ALIGNMENT)


def aligned_copies(values: dict[str, NDArray]) -> dict[str, NDArray]:
    """Return copies of arrays in memory of their own: joblib hands out what it keeps in files as read-only."""
    copies = {name: aligned_zeros(array.shape, array.dtype) for name, array in values.items()}
    for name, array in values.items():
        copies[name][...] = array
    return copies
