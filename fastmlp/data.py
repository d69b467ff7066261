"""What a data set is, which of its rows are held back, and how its columns are put on one scale."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from . import arrays, checks
from .errors import counted, shown

Kind = Literal["classes", "binary", "regression"]

# A target of integers with more values than this counts as a quantity, not as a name.
MOST_CLASSES = 20


@dataclass(frozen=True)
class Data:
    """Rows to learn from; ``X, y = data`` takes it apart.

    Attributes
    ----------
    X : ndarray of shape (n, in), float64
        One row a sample.
    y : ndarray of shape (n,), or (n, K) for several quantities
        Class indices (int64) for "classes" and "binary", float64 for "regression".
    kind : {"classes", "binary", "regression"}
        "classes" goes with a softmax output, "binary" with one sigmoid output, "regression" with an identity output.
    n_classes : int
        0 for regression.
    name : str
        The name it was loaded by, or the file's.
    features : tuple of str
        The columns' names.
    labels : tuple
        What each class index stands for; empty for regression.
    same_scale : bool
        Whether the columns of X share one scale already, so that nothing is gained by standardizing them.
    """

    X: np.ndarray = field(repr=False)
    y: np.ndarray = field(repr=False)
    kind: Kind
    n_classes: int
    name: str
    features: tuple[str, ...] = field(default=(), repr=False)
    labels: tuple = field(default=(), repr=False)
    same_scale: bool = False

    def __iter__(self) -> Iterator[np.ndarray]:
        """Return X, then y."""
        return iter((self.X, self.y))

    @property
    def output(self) -> str:
        """The output activation that suits the kind."""
        return {"classes": "softmax", "binary": "sigmoid", "regression": "identity"}[self.kind]

    @property
    def n_outputs(self) -> int:
        """The width of the last layer that suits the kind."""
        if self.kind == "classes":
            return self.n_classes
        return self.y.shape[1] if self.y.ndim == 2 else 1


def nearest(word: object, known) -> str:
    """Return words for a message such as ``" (did you mean 'x'?)"``, or none where no known word is near."""
    names = {str(name).lower(): str(name) for name in known}
    found = [names[key] for key in difflib.get_close_matches(str(word).lower(), names, n=2, cutoff=0.5)]
    return f" (did you mean {' or '.join(map(repr, found))}?)" if found else ""


def split(y: np.ndarray, fraction: float, *, classes: bool, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the training rows and of the rows held back, each in rising order.

    Parameters
    ----------
    y : array of shape (n,) or (n, K)
        The targets. With `classes`, each class gives the same share of its rows and keeps one at least for training.
    fraction : float
        The share that is held back, above 0 and below 1.
    classes : bool
        Whether y holds classes (their indices, names or one-hot rows).
    seed : int
        Which rows: the same seed always holds back the same ones.

    Raises
    ------
    TypeError, ValueError
        The fraction is no number between 0 and 1, the seed no whole number from 0 on, or y of another shape.

    Examples
    --------
    >>> from fastmlp import datasets
    >>> training, held_back = datasets.split([0, 1, 0, 1, 0, 1, 0, 1], 0.25, classes=True)
    >>> len(training), len(held_back)
    (6, 2)
    """
    fraction = checks.real("fraction", fraction, 0.0, 1.0, open_low=True, open_high=True)
    seed = checks.integer("seed", seed, 0)
    y = np.asarray(y)
    if y.ndim not in (1, 2):
        raise ValueError(f"y must be of shape (n,) or (n, K); got shape {y.shape}.")
    if classes:
        labels = y.argmax(axis=1) if y.ndim == 2 and y.shape[1] > 1 else y.ravel()
        groups = np.unique(labels, return_inverse=True)[1]
    else:
        groups = np.zeros(len(y), np.int64)
    rng = np.random.default_rng(seed)
    held = np.zeros(len(y), bool)
    for group, count in enumerate(_shares(np.bincount(groups), fraction, rng)):
        held[rng.permutation(np.flatnonzero(groups == group))[:count]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def _shares(sizes: NDArray[np.int64], fraction: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return how many rows each class gives: its share to within one row, and together the share of all rows.

    Hamilton's method of the largest remainders; equal ones in random order. No class gives all its rows.
    """
    exact = fraction * sizes
    counts = np.minimum(exact.astype(np.int64), sizes - 1)
    order = rng.permutation(len(sizes))
    order = order[np.argsort(counts[order] - exact[order], kind="stable")]
    order = order[counts[order] < sizes[order] - 1]
    counts[order[: round(fraction * sizes.sum()) - counts.sum()]] += 1
    return counts


def standardize(X, rows=None, names: Sequence[str] = ()) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ``((X - mean) / std, mean, std)``, with mean and std taken from the training rows alone.

    Parameters
    ----------
    X : array of shape (n, columns) or (n,)
        What to scale.
    rows : array of int or bool, or slice, optional
        The training rows: their numbers, a mask of n, or a slice; all of them if not given. To take mean and std from the
        whole of X would let the rows held back speak before they are asked.
    names : sequence of str
        The columns' names, for messages.

    Returns
    -------
    X : ndarray, float64
        The scaled copy of all rows. A column that is constant in the training rows is only shifted (its std is 1).
    mean, std : ndarray of shape (columns,), of shape () if X is (n,)
        What undoes it: ``X * std + mean``.

    Raises
    ------
    TypeError, ValueError
        X holds text or what is not finite, or has another shape, there is no training row or not those of `rows`, or a
        column's numbers are so large that their standard deviation is not finite.

    Examples
    --------
    >>> from fastmlp import datasets
    >>> X, mean, std = datasets.standardize([[1.0, 5.0], [3.0, 5.0]])
    >>> X.tolist(), mean.tolist(), std.tolist()
    ([[-1.0, 0.0], [1.0, 0.0]], [2.0, 5.0], [1.0, 1.0])
    """
    return standardized(X, rows, names)[:3]


def standardized(X, rows=None, names: Sequence[str] = ()) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """As :func:`standardize`, and which columns are constant in the training rows."""
    X = arrays.numeric("X", X)
    if X.ndim not in (1, 2):
        raise ValueError(f"X must be of shape (n, columns) or (n,); got shape {X.shape}.")
    X = arrays.converted("X", X, np.dtype(np.float64))
    training = X if rows is None else X[_checked_rows(rows, len(X))]
    if len(training) == 0:
        raise ValueError("standardize needs at least one training row to take the mean of.")
    with np.errstate(over="ignore", invalid="ignore"):
        # The mean of equal numbers is one of them, but for rounding; and no square of what is apart from it may vanish.
        mean = np.where((training == training[0]).all(axis=0), training[0], training.mean(axis=0))
        unit = np.abs(training - mean).max(axis=0)
        in_units = (training - mean) / np.where(unit > 0.0, unit, 1.0)
        std = np.where(unit > 1e-100, training.std(axis=0), unit * in_units.std(axis=0))
    bad = np.flatnonzero(~np.isfinite(std))
    if bad.size:
        number = int(bad[0])
        name = repr(names[number]) if len(names) > number else number
        raise ValueError(
            f"column {name} has numbers up to {np.abs(training).max(axis=0).ravel()[number]:.3g}, whose standard "
            "deviation is beyond what float64 holds. Divide the column by a power of ten."
        )
    # What is constant but for the rounding of whatever it was calculated by.
    constant = np.asarray(std <= 8 * np.finfo(np.float64).eps * np.abs(mean))
    std = np.where(constant, 1.0, std)
    return (X - mean) / std, mean, std, constant


def _checked_rows(rows, n: int) -> NDArray | slice:
    """Return the training rows of n, a slice or numbers or a mask."""
    if isinstance(rows, slice):
        return rows
    chosen = np.asarray(rows)
    if chosen.shape == (0,):
        return slice(0)
    numbers = chosen.dtype.kind in "iu" and chosen.ndim == 1 and chosen.min() >= -n and chosen.max() < n
    if numbers or (chosen.dtype == bool and chosen.shape == (n,)):
        return chosen
    raise ValueError(f"rows must be numbers of the {counted(n, 'row')} of X, a mask of {n}, or a slice; got {shown(rows)}.")
