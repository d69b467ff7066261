"""Embedding: what stands before the first layer of a network for tables, waves of numbers and vectors of categories."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from . import checks
from .activations import Activation
from .reference import ids

__all__ = ["EMBEDDING", "Embedding"]

# What stands in the place of its activation.
EMBEDDING = Activation("embedding", ids.EMBEDDING, "sums of waves, rows of a table", "lecun", hidden=False)


@dataclass(frozen=True)
class Embedding:
    """A first layer that gives each number waves of its own, and each category a vector of numbers.

    Of a number x it makes `parts` numbers, sums of `waves` cosines: W2ᵀ cos(2π x w + b) + b2, where w, b, W2 and b2 are x's own
    and trained (the PBLD embedding of Holzmüller, Grinsztajn & Steinwart 2024, after Gorishniy, Rubachev & Babenko 2022). x
    stays beside them. Of a category, which comes as the number of a row, it takes that row of a trained table.

    Its outputs are the parts of all numbers, the numbers, what is `plain`, and the categories' rows.

    Parameters
    ----------
    numbers : int
        How many inputs, the first ones, are numbers that get waves.
    plain : int
        How many inputs behind them are handed on as they are.
    codes : int
        How many inputs, the last ones, are categories: whole numbers from 0 to entries - 1. All share one table, so that
        different columns of data have codes that differ.
    entries : int
        Number of rows of the table.
    waves : int
        Number of cosines of each number.
    parts : int
        How many sums of them there are.
    size : int
        Length of a category's vector.
    sigma : float
        Standard deviation of the first w; the larger, the faster what it makes changes with x.

    Raises
    ------
    TypeError, ValueError
        If a value is out of its range, or there are neither numbers nor codes.

    Examples
    --------
    Two numbers and a category of five:

    >>> import fastmlp as fm
    >>> net = fm.MLP([3, fm.Embedding(2, codes=1, entries=5), 32, 2], output="softmax")
    >>> net.plan.widths
    (3, 16, 32, 2)
    >>> net.predict([[0.5, -1.0, 4]]).shape
    (1, 2)
    """

    numbers: int
    plain: int = 0
    codes: int = 0
    entries: int = 0
    waves: int = 16
    parts: int = 3
    size: int = 8
    sigma: float = 0.1

    # What other layers may differ in.
    activation: ClassVar[Activation] = EMBEDDING
    bias: ClassVar[bool] = True
    dropout: ClassVar[float] = 0.0
    init: ClassVar[str] = "auto"
    parametric: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the fields."""
        for name in ("numbers", "plain", "codes", "entries"):
            object.__setattr__(self, name, checks.integer(name, getattr(self, name), 0))
        for name in ("waves", "parts", "size"):
            object.__setattr__(self, name, checks.integer(name, getattr(self, name), 1))
        checks.real_field(self, "sigma", 0.0)
        if self.numbers + self.codes == 0:
            raise ValueError("an Embedding needs numbers or codes, else it does nothing. Leave it out.")
        if (self.codes == 0) != (self.entries == 0):
            raise ValueError(f"codes={self.codes}, but entries={self.entries}: codes number the rows of a table of entries.")

    @property
    def n_inputs(self) -> int:
        """Number of inputs."""
        return self.numbers + self.plain + self.codes

    @property
    def width(self) -> int:
        """Number of outputs."""
        return self.numbers * (self.parts + 1) + self.plain + self.codes * self.size

    def shapes(self, fan_in: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of its parameters, as they follow each other: the table, then w, b, W2 and b2 of each number."""
        return {"weight": (self.entries, self.size), "bias": (self.numbers, self.waves * (2 + self.parts) + self.parts)}

    def products(self, fan_in: int) -> int:
        """Return how many multiplications a row takes."""
        return self.numbers * self.waves * (1 + self.parts)

    def drawn(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return initial parameters: rows of the table from N(0, 1), w from N(0, sigma²), b from [-π, π], others ±1/√waves."""
        table = rng.standard_normal((self.entries, self.size))
        w = rng.normal(0.0, self.sigma, (self.numbers, self.waves))
        b = rng.uniform(-math.pi, math.pi, (self.numbers, self.waves))
        rest = rng.uniform(-1.0, 1.0, (self.numbers, (self.waves + 1) * self.parts)) / math.sqrt(self.waves)
        return np.concatenate([table.ravel(), np.concatenate([w, b, rest], axis=1).ravel()])

    def check_dtype(self, dtype: np.dtype) -> None:
        """Raise ValueError if a network's inputs cannot hold the number of each row of the table."""
        most = 2 ** (np.finfo(dtype).nmant + 1)
        if self.entries > most:
            raise ValueError(f"entries={self.entries}, but {dtype} tells {most} integers apart. Pass dtype='float64'.")

    def check_codes(self, x: NDArray, name: str) -> None:
        """Raise ValueError if a category of checked inputs x (n, n_inputs) is none of the table's rows."""
        codes = x[:, self.n_inputs - self.codes :]
        wrong = (codes != np.trunc(codes)) | (codes < 0) | (codes >= self.entries)
        if wrong.any():
            row, column = np.argwhere(wrong)[0].tolist()
            raise ValueError(
                f"{name} has {codes[row, column]:g} in row {row}, column {column + self.n_inputs - self.codes}, where this "
                f"network takes a category's number, from 0 to {self.entries - 1}. Number the categories of all columns in one."
            )

    def picklable(self) -> Embedding:
        """Return the layer itself, which has nothing that cannot be pickled."""
        return self

    def spec(self) -> dict[str, Any]:
        """Return its fields as a dict of plain values, which stands for it among a network's layers."""
        return asdict(self)
