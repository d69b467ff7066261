"""Sparse inputs: SciPy's matrices on their way to the engine, a few rows at a time.

The engine takes rows in one of two forms: dense; or where few numbers are not zero as sparse rows of its own, which hold how
many entries there are, then each entry's column and value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import engine

__all__ = ["Reader", "blocks", "csr", "is_sparse", "stays_sparse"]

# How much memory rows may take at a time, unless a single minibatch takes more.
ROOM_BYTES = 1 << 25
# Up to this share of numbers that are not zero, sparse rows surely take less time than dense ones.
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


def csr(x: Any, dtype: np.dtype) -> Any:
    """Return a sparse matrix as CSR of `dtype` with ascending columns, one entry for a place; itself if it is that.

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
    finite = np.isfinite(rows.data)
    if not finite.all():
        entry = int(np.argmin(finite))
        row, column = int(np.searchsorted(rows.indptr, entry, "right")) - 1, rows.indices[entry]
        raise ValueError(
            f"X has {rows.data[entry]} in row {row}, column {column}, as {dtype.name}; every value must be finite. "
            "Drop, fill or scale it."
        )
    return rows


class Reader:
    """Hands out rows of a CSR matrix as the engine takes them.

    Which form they have depends on the whole matrix alone, since the two may differ in their results' last bits.

    Parameters
    ----------
    x : (n, in) CSR matrix
        All inputs, as :func:`csr` returns them.
    batch : int
        Rows of a minibatch.

    Attributes
    ----------
    width : int
        Numbers in a row.
    steps : int
        The most minibatches to ask for at a time.
    """

    def __init__(self, x: Any, batch: int) -> None:
        n, inputs = x.shape
        sparse = 1 + 2 * int(np.diff(x.indptr).max(initial=0))
        few = x.nnz < DENSITY * n * inputs and sparse < inputs
        # A column's number has to be one of the dtype's. NumPy's engine makes what it gets dense, so it gets no more than that.
        held = inputs <= 2 ** (np.finfo(x.dtype).nmant + 1) and engine.active_name() == "numba"
        self.x, self.width = x, sparse if few and held else inputs
        self.steps = max(1, ROOM_BYTES // (self.width * x.dtype.itemsize) // batch)

    def rows(self, chosen: Any) -> NDArray:
        """Return rows, given by their numbers or a slice: (n, width)."""
        part = self.x[chosen]
        if self.width == part.shape[1]:
            return part.toarray()
        counts = np.diff(part.indptr)
        rows = np.zeros((part.shape[0], self.width), part.dtype)
        rows[:, 0] = counts
        used = np.arange(self.width // 2) < counts[:, np.newaxis]
        rows[:, 1::2][used] = part.indices
        rows[:, 2::2][used] = part.data
        return rows


def blocks(x: Any) -> Iterator[NDArray]:
    """Yield a CSR matrix's rows, in order, as the engine takes them."""
    reader = Reader(x, 1)
    for first in range(0, x.shape[0], reader.steps):
        yield reader.rows(slice(first, first + reader.steps))
