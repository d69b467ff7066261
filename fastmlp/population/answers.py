"""What can be asked of a population: every network's outputs, loss and score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import arrays
from .. import metrics as metric_table
from .data import rows_of

if TYPE_CHECKING:
    from .group import Group

__all__ = ["PopulationAnswers"]


class PopulationAnswers:
    """The part of :class:`fastmlp.Population` that answers questions; ``Population`` makes and trains the networks."""

    n_inputs: int
    n_outputs: int
    kind: str
    dtype: np.dtype
    seeds: list[int]
    _groups: list[Group]
    _members: list[NDArray[np.int64]]

    def __len__(self) -> int:
        """Return the number of networks."""
        return len(self.seeds)

    def predict(self, X: ArrayLike) -> NDArray:
        """Return every network's outputs.

        Parameters
        ----------
        X : (n, inputs) array
            Finite numbers.

        Returns
        -------
        (size, n, outputs) array of the networks' dtype

        Raises
        ------
        TypeError, ValueError
            If X is not such an array.

        Examples
        --------
        >>> import fastmlp as fm
        >>> fm.Population([2, 4, 1], size=8).predict([[0.5, -1.0]]).shape
        (8, 1, 1)
        """
        x = arrays.inputs(X, self.n_inputs, self.dtype)
        return self._collect(lambda group, rows: group.predict(rows, x))

    def ensemble(self, X: ArrayLike) -> NDArray:
        """Return the mean of the networks' outputs, (n, outputs); X and errors as for :meth:`predict`.

        How far the networks are apart is their uncertainty: ``predict(X).std(axis=0)``.

        Examples
        --------
        >>> import fastmlp as fm, numpy as np
        >>> X = np.linspace(-1, 1, 40)[:, np.newaxis]
        >>> population = fm.Population([1, 16, 1], size=32, activation="tanh")
        >>> drawn = np.random.default_rng(0).multinomial(40, np.full(40, 1 / 40), 32)  # bagging
        >>> history = population.fit(X, X**2, epochs=200, optimizer=fm.Adam(0.02), sample_weight=drawn)
        >>> known, unknown = population.predict([[0.5], [4.0]]).std(axis=0)
        >>> bool(unknown > 10 * known)
        True
        """
        return self.predict(X).mean(axis=0)

    def loss(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> NDArray[np.float64]:
        """Return every network's loss, without dropout and penalties.

        Parameters
        ----------
        X, y, sample_weight
            As for :meth:`fit`.

        Returns
        -------
        (size,) float64 array

        Raises
        ------
        TypeError, ValueError
            If X, y or the weights are not such arrays, or hold what is not finite.

        Examples
        --------
        >>> import fastmlp as fm
        >>> fm.Population([2, 1], size=3, init="zeros").loss([[1, 2], [3, 4]], [1, 3]).tolist()
        [5.0, 5.0, 5.0]
        """
        data = rows_of(self, X, y, sample_weight)
        return self._collect(lambda group, rows: group.losses(rows, data.of(self._members_of(group)[rows])))

    def score(
        self, X: ArrayLike, y: ArrayLike, metric: Any = None, sample_weight: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Return a metric of every network's predictions.

        Parameters
        ----------
        X, y, sample_weight
            As for :meth:`fit`.
        metric : str, Metric or callable, optional
            See ``fastmlp.metrics.METRICS``, and ``MLP.fit`` for functions; by default accuracy for classes, binary_accuracy
            for several sigmoid outputs, and R² for numbers.

        Returns
        -------
        (size,) float64 array

        Raises
        ------
        TypeError, ValueError
            If X, y or the weights are not such arrays, there is no such metric, or it does not suit y.

        Examples
        --------
        >>> import fastmlp as fm
        >>> fm.Population([2, 1], size=3, init="zeros").score([[1, 2], [3, 4]], [1, 3], "mae").tolist()
        [2.0, 2.0, 2.0]
        """
        data = rows_of(self, X, y, sample_weight)
        chosen = metric_table.default(self.kind, self.n_outputs) if metric is None else metric_table.resolve(metric)
        return data.judge(chosen, np.arange(len(self)), self.predict(data.x))

    def _members_of(self, group: Group) -> NDArray[np.int64]:
        return self._members[next(i for i, one in enumerate(self._groups) if one is group)]

    def _collect(self, answer: Any) -> Any:
        """Put together what answer(group, all its rows) returns, in the order of the networks."""
        parts = [answer(group, np.arange(len(group))) for group in self._groups]
        if len(parts) == 1:
            return parts[0]
        out = np.empty((len(self), *parts[0].shape[1:]), parts[0].dtype)
        for places, part in zip(self._members, parts, strict=True):
            out[places] = part
        return out
