"""The data sets of the accuracy report, all of them on the disk already: scikit-learn's, and two that packages bring along."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import datasets

__all__ = ["DATA", "Table", "splits"]

Table = tuple[pd.DataFrame, np.ndarray, str]
"""Columns, categories among them as pandas categories; targets; "classes" or "numbers"."""


def _bundled(load: Callable[..., Any], kind: str) -> Callable[[], Table]:
    def table() -> Table:
        bunch = load(as_frame=True)
        return bunch.data.astype(np.float64), bunch.target.to_numpy(), kind

    return table


def _file(package: str, *parts: str) -> pd.DataFrame:
    """Return a CSV file that a package carries, without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(f"this data set is a file of {package}: pip install --no-deps {package}")
    return pd.read_csv(Path(found.submodule_search_locations[0], *parts))


def penguins() -> Table:
    """Return the species of 344 penguins: numbers, two categories, some of both missing (Horst, Hill & Gorman 2020)."""
    frame = _file("palmerpenguins", "data", "penguins.csv")
    X = frame.drop(columns=["species", "year"]).astype({"island": "category", "sex": "category"})
    return X, frame["species"].to_numpy(dtype=object), "classes"


def diamonds() -> Table:
    """Return the logarithm of the price of 6,000 of ggplot2's 53,940 diamonds: six numbers and three categories."""
    frame = _file("plotnine", "data", "diamonds.csv").sample(6000, random_state=0)
    X = frame[["carat", "cut", "color", "clarity", "depth", "table", "x", "y", "z"]]
    return X.astype(dict.fromkeys(("cut", "color", "clarity"), "category")), np.log(frame["price"].to_numpy()), "numbers"


def letters() -> Table:
    """Return a made problem of a well-known one's size, for its time: 15,000 x 16 and 26 classes."""
    X, y = datasets.make_classification(15_000, 16, n_informative=12, n_classes=26, random_state=0)
    return pd.DataFrame(X, columns=[f"x{i}" for i in range(16)]), y, "classes"


DATA: dict[str, Callable[[], Table]] = {
    "iris": _bundled(datasets.load_iris, "classes"),
    "wine": _bundled(datasets.load_wine, "classes"),
    "breast_cancer": _bundled(datasets.load_breast_cancer, "classes"),
    "digits": _bundled(datasets.load_digits, "classes"),
    "penguins": penguins,
    "diabetes": _bundled(datasets.load_diabetes, "numbers"),
    "linnerud": _bundled(datasets.load_linnerud, "numbers"),
    "diamonds": diamonds,
    "letters": letters,
}


def splits(y: np.ndarray, kind: str, n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return n random splits, the same ones everywhere, a fifth of the rows being the test."""
    from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

    splitter = (StratifiedShuffleSplit if kind == "classes" else ShuffleSplit)(n, test_size=0.2, random_state=0)
    return list(splitter.split(np.zeros(len(y)), y))
