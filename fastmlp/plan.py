"""Plan: what both engines read of a network, its widths, op numbers and offsets into one flat parameter vector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from . import activations, checks
from .layers import Dense
from .reference.ids import ACTIVATION, COLUMNS, FAN_IN, HAS_ALPHA, HAS_BIAS, OFFSET, WIDTH

__all__ = ["Plan", "aligned_copies", "aligned_zeros", "make_plan"]

# More than any machine's memory holds.
_MOST_PARAMETERS = 2**44
ALIGNMENT = 64  # bytes: a cache line, and the widest vector


@dataclass(frozen=True, eq=False)
class Plan:
    """The layout of a network.

    Attributes
    ----------
    table : (L, 6) int64 array
        A row for each layer: FAN_IN, WIDTH, ACTIVATION, HAS_BIAS, OFFSET, HAS_ALPHA of ``reference/ids.py``.
    dropout : (L,) float64 array
        Rate of each layer's outputs; 0 for the last.
    n_params : int
        Length of the flat vector: each layer's weights (fan_in, width) row-major, then its bias if it has one.
    activations : tuple of Activation
        Of the layers. Numbers of activations that are not built in hold in one process only.
    """

    table: NDArray[np.int64]
    dropout: NDArray[np.float64]
    n_params: int
    activations: tuple[activations.Activation, ...]

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore what pickling kept, with this process's numbers of the activations.

        In memory of its own: for read-only arrays Numba would compile all kernels again.
        """
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
        """Return views (fan_in, width) of a flat vector, one for each layer."""
        self._check(flat)
        views = []
        for row in self.table:
            start, size = row[OFFSET], row[FAN_IN] * row[WIDTH]
            views.append(flat[start : start + size].reshape(row[FAN_IN], row[WIDTH]))
        return views

    def biases(self, flat: NDArray) -> list[NDArray | None]:
        """Return views (width,) of a flat vector, one for each layer, None for one without a bias."""
        return self._rows(flat, HAS_BIAS, self.table[:, FAN_IN])

    def alphas(self, flat: NDArray) -> list[NDArray | None]:
        """Return views (width,) of a flat vector, one for each layer, None for one that is not parametric."""
        return self._rows(flat, HAS_ALPHA, self.table[:, FAN_IN] + self.table[:, HAS_BIAS])

    def _rows(self, flat: NDArray, there: int, behind: NDArray) -> list[NDArray | None]:
        """Return a view of each layer's row that lies `behind` so many others; None where column `there` of the table is 0."""
        self._check(flat)
        starts = (self.table[:, OFFSET] + behind * self.table[:, WIDTH]).tolist()
        return [flat[i : i + row[WIDTH]] if row[there] else None for i, row in zip(starts, self.table, strict=True)]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Number of each layer's parameters, (L,)."""
        return self.table[:, [FAN_IN, HAS_BIAS, HAS_ALPHA]].sum(axis=1) * self.table[:, WIDTH]

    def flops(self, rows: int = 1) -> int:
        """Return the floating-point operations of a forward pass: two for each weight and row."""
        return 2 * rows * int((self.table[:, FAN_IN] * self.table[:, WIDTH]).sum())

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

    def _check(self, flat: NDArray) -> None:
        if flat.shape != (self.n_params,):
            raise ValueError(f"a flat vector of this network has shape ({self.n_params},); got {flat.shape}.")


def make_plan(n_inputs: int, denses: Sequence[Dense]) -> Plan:
    """Lay out a network of `n_inputs` inputs and these layers, whose activations are filled in.

    Parameters
    ----------
    n_inputs : int
        Number of inputs.
    denses : sequence of Dense
        The hidden layers, possibly none, and the output layer.

    Raises
    ------
    ValueError
        If there is no layer, a hidden layer has an activation for outputs only, or the outputs have dropout or are parametric.

    Examples
    --------
    >>> make_plan(2, [Dense(8, "tanh"), Dense(1, "sigmoid")]).n_params
    33
    """
    n_inputs = checks.integer("the number of inputs", n_inputs, 1)
    if not denses:
        raise ValueError("a network needs an output layer: give layers a number of inputs and at least one width.")
    table = np.zeros((len(denses), COLUMNS), np.int64)
    kinds = tuple(activations.lookup(dense.activation) for dense in denses)
    fan_in, offset = n_inputs, 0
    for number, dense in enumerate(denses):
        last = number == len(denses) - 1
        activation = kinds[number]
        _check_activation(activation, dense.width, number, last)
        if last and dense.dropout > 0.0:
            raise ValueError(f"the output layer has dropout={dense.dropout}, but outputs stay. Give it dropout=0.")
        if last and dense.parametric:
            raise ValueError("the output layer has parametric=True, but its activation is the loss's. Leave it out there.")
        size = (fan_in + dense.bias + dense.parametric) * dense.width
        if size + offset > _MOST_PARAMETERS:
            raise ValueError(
                f"layer {number} has width={dense.width} and {fan_in} inputs: with it the network would have more than "
                f"{_MOST_PARAMETERS:,} parameters. Take fewer units."
            )
        row = table[number]
        row[FAN_IN], row[WIDTH], row[ACTIVATION], row[HAS_BIAS] = fan_in, dense.width, activation.id, dense.bias
        row[OFFSET], row[HAS_ALPHA] = offset, dense.parametric
        offset += size
        fan_in = dense.width
    return Plan(table, np.array([dense.dropout for dense in denses], np.float64), offset, kinds)


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
    dtype = np.dtype(dtype)
    shape = (shape,) if isinstance(shape, int) else shape
    size = math.prod(shape) * dtype.itemsize
    if size == 0:
        return np.zeros(shape, dtype)
    raw = np.zeros(size + ALIGNMENT, np.uint8)
    return np.ndarray(shape, dtype, raw, -raw.ctypes.data % ALIGNMENT)


def aligned_copies(values: dict[str, NDArray]) -> dict[str, NDArray]:
    """Return copies of arrays in memory of their own: joblib hands out what it keeps in files as read-only."""
    copies = {name: aligned_zeros(array.shape, array.dtype) for name, array in values.items()}
    for name, array in values.items():
        copies[name][...] = array
    return copies
