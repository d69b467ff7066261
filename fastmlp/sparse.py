"""Sparse inputs: SciPy's matrices on their way to the engine, a few rows at a time.

The engine takes rows in one of two forms: dense, or packed, where few numbers are not zero. A packed row has the number of its
entries, room for w columns and room for w values, 1 + 2w numbers of the network's dtype, fewer than there are inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ROOM_BYTES", "Window", "csr", "is_sparse", "parts", "stays_sparse"]

# How much memory rows may take at a time, unless a single minibatch takes more.
ROOM_BYTES = 1 << 25
# Up to this share of numbers that are not zero, packed rows take less time than dense ones.
DENSITY = 0.05


def is_sparse(x: Any) -> bool:
    """Whether this is one of SciPy's sparse matrices or arrays."""
    return hasattr(x, "toarray")


def stays_sparse(x: Any, dtype: np.dtype) -> bool:
    """Whether this is a sparse matrix that is better not made dense as a whole."""
    if not is_sparse(x):
        return False
    numbers = x.shape[0] * x.shape[1]
    return x.nnz < DENSITY * numbers or numbers * dtype.itemsize > ROOM_BYTES


def csr(x: Any, dtype: np.dtype, name: str = "X") -> Any:
    """Return a sparse matrix as CSR of `dtype`, one entry for a place; itself if it is that.

    Raises
    ------
    ValueError
        If an entry is not finite.
    """
    with np.errstate(over="ignore"):
        rows = x.tocsr().astype(dtype, copy=False)
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    if not np.isfinite(rows.data).all():
        raise ValueError(f"{name} has entries that are not finite, or too large for {dtype.name}. Drop or scale them.")
    return rows


class Window:
    """Some rows of a CSR matrix, as the engine takes them.

    Parameters
    ----------
    x : (n, in) CSR matrix
        All inputs.
    batch : int
        Rows of a minibatch.

    Attributes
    ----------
    steps : int
        The most minibatches to ask for at a time.
    """

    def __init__(self, x: Any, batch: int) -> None:
        self.x = x
        width = min(x.shape[1], 1 + 2 * int(np.diff(x.indptr).max(initial=0)))
        self.steps = max(1, ROOM_BYTES // (width * x.dtype.itemsize) // batch)

    def of(self, rows: Any) -> NDArray:
        """Return rows, given by their numbers or a slice: packed (n, 1 + 2w) if that pays, else dense (n, in)."""
        chosen = self.x[rows]
        n, inputs = chosen.shape
        counts = np.diff(chosen.indptr)
        room = int(counts.max(initial=0))
        # Beyond that many columns float32 does not hold every number of one.
        if 1 + 2 * room >= inputs or chosen.nnz > DENSITY * n * inputs or inputs > 1 << 24:
            return chosen.toarray()
        packed = np.zeros((n, 1 + 2 * room), chosen.dtype)
        packed[:, 0] = counts
        used = np.arange(room) < counts[:, np.newaxis]
        packed[:, 1 : 1 + room][used] = chosen.indices
        packed[:, 1 + room :][used] = chosen.data
        return packed


def parts(x: Any) -> Iterator[NDArray]:
    """Yield a CSR matrix's rows, in order, as the engine takes them; or a dense array itself."""
    if not is_sparse(x):
        yield x
        return
    window = Window(x, 1)
    for first in range(0, x.shape[0], window.steps):
        yield window.of(slice(first, first + window.steps))
