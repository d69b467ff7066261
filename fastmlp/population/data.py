"""The data of a population's fit, checked before any work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import arrays, weighting
from ..arguments import given_data, parted
from ..errors import counted
from ..metrics import Metric
from ..rows import Rows

if TYPE_CHECKING:
    from .answers import PopulationAnswers
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

    def one(self, network: int) -> Rows:
        """Return what one network sees of it."""
        weight = self.weight[network if len(self.weight) > 1 else 0] if len(self.weight) else np.empty(0, self.x.dtype)
        return Rows(self.x, self.y[network if len(self.y) > 1 else 0], weight)

    def judge(self, metric: Metric, networks: NDArray, predictions: NDArray) -> NDArray[np.float64]:
        """Return a metric of the predictions (..., m, n, K) of these networks, (..., m)."""
        flat = predictions.reshape(-1, *predictions.shape[-2:])
        if len(self.y) == 1 and len(self.weight) <= 1:
            shared = self.one(0)
            found = metric.of_each(shared.y, flat, shared.weight)
        else:
            seen = [self.one(network) for network in networks] * (len(flat) // len(networks))
            found = np.array([metric(own.y, one, own.weight) for own, one in zip(seen, flat, strict=True)])
        return found.reshape(predictions.shape[:-2])


def _ndim(values: Any) -> int:
    """Return the number of dimensions; 0 for rows of different lengths, of which `checks` tells."""
    try:
        return np.ndim(values)
    except ValueError:
        return 0


def _each(values: Any) -> Any:
    """Return what belongs to each network, with its mask if it has one."""
    return values if isinstance(values, (list, tuple)) else np.asanyarray(values)


def rows_of(population: PopulationAnswers, X: Any, y: Any, weight: Any, name: str = "") -> PopulationRows:
    """Check inputs, targets and weights; `name` goes before "X" and "y" in messages."""
    size, kind, k, dtype = len(population), population.kind, population.n_outputs, population.dtype
    x = arrays.inputs(X, population.n_inputs, dtype, name=f"{name}X")
    n = len(x)
    if _ndim(y) == 3:
        if len(each := _each(y)) != size:
            raise ValueError(
                f"{name}y has shape {np.shape(y)}, but this population has {counted(size, 'network')}. "
                f"Pass targets of each network of shape ({size}, {n}, {k}), or of all of shape ({n}, {k})."
            )
        t = np.stack([arrays.targets(one, n, k, kind, dtype, f"{name}y[{i}]") for i, one in enumerate(each)])
    else:
        if _ndim(y) == 2 and np.shape(y) == (size, n) and (size, n) not in ((n, 1), (n, k)) and (k == 1 or kind == "classes"):
            raise ValueError(
                f"{name}y has shape {(size, n)}, but targets of each network have three dimensions. "
                f"Pass them of shape ({size}, {n}, 1), or targets of all networks of shape ({n},)."
            )
        t = arrays.targets(y, n, k, kind, dtype, f"{name}y")[np.newaxis]
    if _ndim(weight) != 2:
        w = weighting.sample_weight(weight, n, dtype, f"{name}sample_weight")
        return PopulationRows(x, t, w[np.newaxis] if w.size else np.empty((0, n), dtype))
    if len(weights := _each(weight)) != size:
        raise ValueError(
            f"{name}sample_weight has shape {np.shape(weight)}, but this population has {counted(size, 'network')}. "
            f"Pass weights of each network of shape ({size}, {n}), or of all of shape ({n},)."
        )
    checked = [weighting.sample_weight(one, n, dtype, f"{name}sample_weight[{i}]") for i, one in enumerate(weights)]
    return PopulationRows(x, t, np.stack(checked))


def _by_class(population: Population, rows: PopulationRows, class_weight: Any) -> PopulationRows:
    """Return rows whose weights have those of their classes in them."""
    if class_weight is None:
        return rows
    each = [rows.one(i) for i in range(max(len(rows.y), len(rows.weight)))]
    weights = [
        weighting.combined_weight(
            one.weight if one.weight.size else None, class_weight, one.y, population.n_outputs, population.kind, rows.x.dtype
        )
        for one in each
    ]
    return PopulationRows(rows.x, rows.y, np.stack(weights))


def prepare(
    population: Population, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, class_weight: Any, validation: Any
) -> tuple[PopulationRows, PopulationRows | None]:
    """Return training and validation rows; arguments as in ``Population.fit``."""
    everything = rows_of(population, X, y, sample_weight)
    if validation is None:
        return _by_class(population, everything, class_weight), None
    given = given_data(validation)
    if given is not None:
        return _by_class(population, everything, class_weight), rows_of(population, *given, name="validation ")
    train, held = parted(everything, everything.y[0], validation, population.kind, population.n_outputs, population.seed)
    return _by_class(population, train, class_weight), held
