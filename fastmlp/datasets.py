"""Data to train on: the classic small sets by name, and tables from files.

Nothing here scales a column by itself. :func:`standardize` does it when it is asked to, by the mean and the spread of the
training rows, and :func:`split` says which rows those are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import checks
from .data import Data, Kind, split, standardize
from .tables import read_table

__all__ = ["NAMES", "Data", "circles", "load", "moons", "read_table", "spirals", "split", "standardize", "xor"]


def load(name: str, seed: int = 0) -> Data:
    """Return a data set by its name.

    Parameters
    ----------
    name : str
        "digits" (pixels divided by 16), "breast_cancer", "wine", "iris", "diabetes" (these come with scikit-learn),
        "moons", "circles", "xor" (four rows) or "spirals".
    seed : int
        The seed of the generated sets' noise; it changes nothing for the others.

    Raises
    ------
    TypeError, ValueError
        There is no such name; the message has the nearest ones. Or the seed is no whole number from 0 on.
    ImportError
        The set needs scikit-learn, which is not installed.

    Examples
    --------
    >>> from fastmlp import datasets
    >>> datasets.load("xor").X.shape
    (4, 2)
    >>> X, y = datasets.load("moons")
    """
    checks.choice("name", name, NAMES)
    checks.integer("seed", seed, 0)
    return _GENERATED[name](seed=seed) if name in _GENERATED else _from_sklearn(name)


def moons(n: int = 1000, noise: float = 0.15, seed: int = 0) -> Data:
    """Return two half circles that reach into each other.

    Parameters
    ----------
    n : int
        Rows, 1 or more, divided among the classes as evenly as can be.
    noise : float
        Standard deviation of what is added to both coordinates.
    seed : int
        Seed of the noise and of where on the circles the points are.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.
    """
    n, noise, rng = _checked(n, noise, seed)
    y = np.arange(n) % 2
    angle = np.pi * rng.random(n)
    outer = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    X = np.where(y[:, None] == 0, outer, [1.0, 0.5] - outer)
    return _plane(X, y, noise, rng, "moons", 2)


def circles(n: int = 1000, noise: float = 0.1, seed: int = 0) -> Data:
    """Return a circle of radius 1/2 within one of radius 1.

    Parameters
    ----------
    n : int
        Rows, 1 or more, divided among the classes as evenly as can be.
    noise : float
        Standard deviation of what is added to both coordinates.
    seed : int
        Seed of the noise and of where on the circles the points are.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.
    """
    n, noise, rng = _checked(n, noise, seed)
    y = np.arange(n) % 2
    angle = 2.0 * np.pi * rng.random(n)
    X = np.stack([np.cos(angle), np.sin(angle)], axis=1) * np.where(y == 0, 1.0, 0.5)[:, None]
    return _plane(X, y, noise, rng, "circles", 2)


def xor(seed: int = 0) -> Data:
    """Return the four rows of exclusive or, which no network without a hidden layer can learn.

    Parameters
    ----------
    seed : int
        As the other sets have one; it changes nothing.

    Raises
    ------
    TypeError, ValueError
        If the seed is no whole number from 0 on.
    """
    X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    _, noise, rng = _checked(len(X), 0.0, seed)
    return _plane(X, np.array([0, 1, 1, 0]), noise, rng, "xor", 2)


def spirals(n: int = 1500, noise: float = 0.05, arms: int = 3, seed: int = 0) -> Data:
    """Return spiral arms that wind around each other, one class each.

    Parameters
    ----------
    n : int
        Rows, 1 or more, divided among the classes as evenly as can be.
    noise : float
        Standard deviation of what is added to both coordinates.
    arms : int
        How many, 2 or more.
    seed : int
        Seed of the noise and of where on the arms the points are.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.
    """
    n, noise, rng = _checked(n, noise, seed)
    arms = checks.integer("arms", arms, 2)
    y = np.arange(n) % arms
    radius = np.sqrt(rng.random(n))
    angle = 3.5 * radius + 2.0 * np.pi * y / arms
    X = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return _plane(X, y, noise, rng, "spirals", arms)


def _checked(n: int, noise: float, seed: int) -> tuple[int, float, np.random.Generator]:
    """Return the rows and the noise, if they can be that, and the generator of that seed."""
    generator = np.random.default_rng(checks.integer("seed", seed, 0))
    return checks.integer("n", n, 1), checks.real("noise", noise, 0.0), generator


def _plane(X, y, noise, rng, name, n_classes) -> Data:
    """Return points of the plane as Data."""
    X = X + noise * rng.standard_normal(X.shape)
    kind: Kind = "binary" if n_classes <= 2 else "classes"
    return Data(X, y.astype(np.int64), kind, n_classes, name, ("x0", "x1"), tuple(range(n_classes)), True)


def _from_sklearn(name: str) -> Data:
    """Return one of scikit-learn's small sets, which lie in its package: nothing is downloaded."""
    try:
        from sklearn import datasets as sklearn_datasets
    except ImportError as error:
        raise ImportError(f"The data set {name!r} comes with scikit-learn: pip install scikit-learn") from error
    raw = getattr(sklearn_datasets, f"load_{name}")()
    X = np.ascontiguousarray(raw.data, np.float64)
    features = tuple(map(str, raw.feature_names))
    if name == "diabetes":
        return Data(X, raw.target.astype(np.float64), "regression", 0, name, features)
    labels = tuple(label.item() for label in raw.target_names)
    kind: Kind = "binary" if len(labels) == 2 else "classes"
    same_scale = name == "digits"
    return Data(X / 16.0 if same_scale else X, raw.target.astype(np.int64), kind, len(labels), name, features, labels,
                same_scale)  # fmt: skip


_SKLEARN = ("digits", "breast_cancer", "wine", "iris", "diabetes")
_GENERATED: dict[str, Callable[..., Data]] = {"moons": moons, "circles": circles, "xor": xor, "spirals": spirals}

# Every name that `load` knows.
NAMES: tuple[str, ...] = (*_SKLEARN, *_GENERATED)
