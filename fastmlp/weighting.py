"""Checks of what each row counts: sample weights, class weights, and both together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import converted, numeric
from .checks import choice, integer, real
from .errors import counted, shown

__all__ = ["class_weight", "combined_weight", "nonnegative_weight", "sample_weight"]

# What stands for no weights, by bytes of a number.
_UNWEIGHTED = {dtype.itemsize: np.empty(0, dtype) for dtype in map(np.dtype, ("float32", "float64"))}
# By bytes of a number: how large the largest sample weight may be, and how small (one over that), so that its products with
# losses neither overflow nor vanish; and the least one of all whose reciprocal is a number.
_WEIGHTS = {4: (1e12, 1e-30), 8: (1e100, 1e-250)}


def sample_weight(weight: ArrayLike | None, n: int, dtype: np.dtype, name: str = "sample_weight") -> NDArray:
    """Return weights as a contiguous (n,) array of `dtype`, or one of no elements for None.

    They must be finite and nonnegative, and one at least must be positive. One that is as nothing beside the largest
    becomes 0, so that no minibatch divides by it.
    """
    if weight is None:
        return _UNWEIGHTED[dtype.itemsize]
    array = numeric(name, weight)
    if array.shape != (n,):
        inputs_have = "X has" if name == "sample_weight" else "its inputs have"
        raise ValueError(f"{name} has shape {array.shape}, but {inputs_have} {counted(n, 'row')}. Pass {name} of shape ({n},).")
    nonnegative_weight(array, name)
    largest = float(array.max())
    if largest == 0.0:
        raise ValueError(f"{name} is zero in every row, so that none counts. Give some row a positive weight.")
    most, least = _WEIGHTS[dtype.itemsize]
    if math.isfinite(largest) and not 1.0 / most <= largest <= most:
        own = name.split()[-1]  # without words before it, such as "validation"
        remedy = f"{own} / {own}.max()" if own != "class_weight" else "a weight for each class, all divided by the largest"
        raise ValueError(
            f"the largest {name} is {largest:.3g}, but must be from {1.0 / most:g} to {most:g} in {dtype.name}: losses times "
            f"weights would not add up. Pass {remedy}, which changes no weighted mean."
        )
    out = converted(name, array, dtype)
    if ((out > 0.0) & (out < least)).any():
        out = np.where(out < least, 0.0, out).astype(dtype)
    return out


def nonnegative_weight(weight: NDArray, name: str) -> None:
    """Raise if a sample weight is below 0."""
    if weight.min() < 0.0:
        row = int(np.argmax(weight < 0.0))
        raise ValueError(f"{name} has {float(weight[row])} in row {row}; weights must be >= 0. Pass 0 to leave a row out.")


def class_weight(value: Any, y: NDArray, n_outputs: int, kind: str) -> NDArray[np.float64] | None:
    """Return each sample's class weight, (n,), to multiply its sample weight by; None for None.

    `y` are targets that ``arrays.targets`` has checked. ``"balanced"`` gives class c the weight n / (classes present *
    rows of c), as scikit-learn does; a dict maps class indices to weights, 1 for those it leaves out.
    """
    if value is None:
        return None
    if kind not in ("classes", "binary") or (kind == "binary" and n_outputs > 1):
        raise ValueError(
            f"class_weight={value!r} needs one class for each row: output='softmax', or one output with 'sigmoid'. "
            "Pass sample_weight instead."
        )
    n_classes = n_outputs if kind == "classes" else 2
    labels = y.argmax(axis=1) if y.shape[1] > 1 else (y[:, 0] + (0.5 if kind == "binary" else 0.0)).astype(np.int64)
    if isinstance(value, str):
        choice("class_weight", value, ("balanced",), "a dict from class index to weight")
        counts = np.bincount(labels, minlength=n_classes)
        table = y.shape[0] / (np.count_nonzero(counts) * np.maximum(counts, 1))
        return table[labels]
    if not isinstance(value, Mapping):
        raise TypeError(f"class_weight must be 'balanced', a dict from class index to weight, or None; got {shown(value)}.")
    table = np.ones(n_classes)
    for label, weight in value.items():
        index = integer("a key of class_weight", label, 0, n_classes - 1)
        table[index] = real(f"class_weight[{index}]", weight, 0.0)
    return table[labels]


def combined_weight(weight: ArrayLike | None, classes: Any, y: NDArray, n_outputs: int, kind: str, dtype: np.dtype) -> NDArray:
    """Return sample weights times class weights as :func:`sample_weight` does: (n,), or (0,) if both are None."""
    checked = sample_weight(weight, y.shape[0], dtype)
    factor = class_weight(classes, y, n_outputs, kind)
    if factor is None:
        return checked
    if checked.size:
        factor = factor * checked
    name = "sample_weight times class_weight" if checked.size else "class_weight"
    return sample_weight(factor, y.shape[0], dtype, name)
