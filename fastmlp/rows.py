"""Rows of data, and what the engine says of all of them: a network's loss and its gradient."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .sparse import blocks, is_sparse

if TYPE_CHECKING:
    from .network import MLP

__all__ = ["Rows", "apart", "loss", "value_and_grad"]


class Rows:
    """Checked inputs, targets and weights of the same rows.

    Attributes
    ----------
    x : (n, in) array or CSR matrix
        Inputs.
    y : (n, K) array, or (n, 1) array of class indices
        Targets.
    weight : (n,) or (0,) array
        Sample weights, if there are any.
    """

    def __init__(self, x: Any, y: NDArray, weight: NDArray) -> None:
        self.x, self.y, self.weight = x, y, weight

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.x.shape[0]

    def take(self, rows: NDArray | slice) -> Rows:
        """Return some of the rows."""
        return Rows(self.x[rows], self.y[rows], self.weight[rows] if self.weight.size else self.weight)

    def given(self) -> tuple[Any, NDArray, NDArray | None]:
        """Return inputs, targets and weights as ``fit`` and ``loss`` take them: None for no weights."""
        return self.x, self.y, self.weight if self.weight.size else None

    def blocks(self) -> Iterator[tuple[Rows, float]]:
        """Yield rows whose inputs the engine can take, and the share of the weight that is theirs: all at once if dense."""
        if not is_sparse(self.x):
            yield self, 1.0
            return
        total, first = self.total_weight(), 0
        for x in blocks(self.x):
            block = Rows(x, self.y[first : first + len(x)], self.weight[first : first + len(x)])
            yield block, block.total_weight() / total if total > 0 else 0.0
            first += len(x)

    def total_weight(self) -> float:
        """Return the sum of the weights, the number of rows if there are none."""
        return float(self.weight.sum(dtype=np.float64)) if self.weight.size else float(len(self))


Either = TypeVar("Either")  # Rows, or a population's


def apart(rows: Either, own: Sequence[NDArray]) -> Either:
    """Return rows with copies of what shares memory with a network's own arrays: a training would change it as it reads it."""
    arrays = {name: array for name, array in vars(rows).items() if isinstance(array, np.ndarray)}
    shared = [name for name, array in arrays.items() if any(np.may_share_memory(array, one) for one in own)]
    if not shared:
        return rows
    found = copy.copy(rows)
    for name in shared:
        setattr(found, name, arrays[name].copy())
    return found


def loss(net: MLP, ints: NDArray[np.int64], rows: Rows) -> float:
    """Return a network's loss on all rows, which if they are sparse must be a mean; `ints` are the settings to ask with."""
    state, value = net._state, 0.0
    for block, share in rows.blocks():
        desk = net._arena.take(*block.x.shape)
        one = desk.kernels.loss(net.plan.table, ints, state.reals, net.params, block.x, block.y, block.weight, desk.scratch)
        net._arena.give(desk)
        value += share * one
    return float(value)


def value_and_grad(net: MLP, ints: NDArray[np.int64], rows: Rows, grad: NDArray) -> tuple[float, NDArray[np.float64]]:
    """Return the loss, as :func:`loss` does, and its gradient, (P,) as is `grad`, which is scratch."""
    state, value, gradient = net._state, 0.0, None
    for block, share in rows.blocks():
        desk = net._arena.take(*block.x.shape)
        one = desk.value_and_grad(ints, state.reals, net.params, block.x, block.y, block.weight, grad)
        net._arena.give(desk)
        value += share * one
        part = grad.astype(np.float64)
        if share != 1.0:
            part *= share
        gradient = part if gradient is None else np.add(gradient, part, out=gradient)
    assert gradient is not None
    return float(value), gradient
