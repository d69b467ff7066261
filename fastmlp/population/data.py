"""The data of a population's fit, checked before any work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..data import split

if TYPE_CHECKING:
    from .population import Population

__all__ = ["PopulationRows", "prepare", "rows_of"]


class PopulationRows:
    """Inputs (n, in) that all networks share, and targets (1 or size, n, ·) and weights (0, 1 or size, n) of each."""

    def __init__(self, x: NDArray, y: NDArray, weight: NDArray) -> None:
        self.x, self.y, self.weight = x, y, weight

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.x.shape[0]

    def take(self, rows: NDArray) -> PopulationRows:
        """Return some of the rows."""
        return PopulationRows(self.x[rows], np.ascontiguousarray(self.y[:, rows]), np.ascontiguousarray(self.weight[:, rows]))

    def of(self, networks: NDArray) -> PopulationRows:
        """Return what these networks see of it."""
        y = self.y[networks] if len(self.y) > 1 else self.y
        return PopulationRows(self.x, y, self.weight[networks] if len(self.weight) > 1 else self.weight)


def rows_of(population: Population, X: Any, y: Any, weight: Any, class_weight: Any = None, name: str = "") -> PopulationRows:
    """Check inputs, targets and weights; `name` goes before "X" and "y" in messages."""
    size, kind, k, dtype = len(population), population.kind, population.n_outputs, population.dtype
    x = checks.inputs(X, population.n_inputs, dtype, name=f"{name}X")
    n = len(x)
    array = np.asarray(y)
    if array.ndim == 3:
        if array.shape[0] != size:
            raise ValueError(
                f"{name}y has shape {array.shape}, but this population has {size} networks. "
                f"Pass targets of each network of shape ({size}, {n}, {k}), or of all of shape ({n}, {k})."
            )
        t = np.stack([checks.targets(one, n, k, kind, dtype, f"{name}y[{i}]") for i, one in enumerate(array)])
    else:
        t = checks.targets(y, n, k, kind, dtype, f"{name}y")[np.newaxis]
    own = weight is not None and np.ndim(weight) == 2
    if own:
        weight = np.asarray(weight)
    if own and len(weight) != size:
        raise ValueError(
            f"{name}sample_weight has shape {np.shape(weight)}, but this population has {size} networks. "
            f"Pass weights of each network of shape ({size}, {n}), or of all of shape ({n},)."
        )
    if class_weight is None and not own:
        w = checks.sample_weight(weight, n, dtype, f"{name}sample_weight")
        return PopulationRows(x, t, w[np.newaxis] if w.size else np.empty((0, n), dtype))
    several = size if own or len(t) > 1 else 1
    w = np.stack([
        checks.combined_weight(weight[i] if own else weight, class_weight, t[i if len(t) > 1 else 0], k, kind, dtype)
        for i in range(several)
    ])  # fmt: skip
    return PopulationRows(x, t, w)


def prepare(
    population: Population, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, class_weight: Any, validation: Any
) -> tuple[PopulationRows, PopulationRows | None]:
    """Return training and validation rows; arguments as in ``Population.fit``."""
    everything = rows_of(population, X, y, sample_weight, class_weight)
    if validation is None:
        return everything, None
    if isinstance(validation, (tuple, list)):
        if len(validation) not in (2, 3):
            raise ValueError(f"validation must be a fraction, (X, y) or (X, y, sample_weight); got {len(validation)} parts.")
        weight = validation[2] if len(validation) == 3 else None
        return everything, rows_of(population, validation[0], validation[1], weight, name="validation ")
    fraction = checks.real("validation", validation, 0.0, 1.0, open_low=True, open_high=True)
    kind, k = population.kind, population.n_outputs
    classes = kind == "classes" or (kind == "binary" and k == 1 and bool(np.isin(everything.y, (0, 1)).all()))
    kept, held = split(everything.y[0], fraction, classes=classes, seed=population.seed & (2**64 - 1))
    if held.size == 0 or kept.size == 0:
        raise ValueError(
            f"validation={fraction} of {len(everything)} rows leaves {kept.size} to train on and {held.size} to validate on. "
            "Pass another fraction, or validation=(X, y)."
        )
    # Class weights are for the rows that are trained on.
    held_back = rows_of(population, X, y, sample_weight).take(held) if class_weight is not None else everything.take(held)
    for part, name in ((everything.take(kept), "training"), (held_back, "validation")):
        if len(part.weight) and bool((part.weight.max(axis=1) == 0.0).any()):
            raise ValueError(f"all {name} rows of a network have sample_weight 0. Pass validation=(X, y, sample_weight).")
    return everything.take(kept), held_back
