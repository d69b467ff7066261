"""Checks of the arrays that a user passes in: each returns clean numbers, or raises with argument, value and remedy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import counted, shown

__all__ = [
    "check_layout",
    "converted",
    "inputs",
    "is_missing",
    "numeric",
    "parameters",
    "ready",
    "surely_finite",
    "targets",
    "unmasked",
]

# pandas's values for nothing, which is not imported for their sake.
_NOTHING = ("NAType", "NaTType")
# How far a row of class probabilities may sum from 1: what float16 data or percentages rounded to a tenth still keep.
ROW_SUM_TOLERANCE = 2e-3

# From more elements on NumPy's BLAS would wake threads for a dot product, which takes milliseconds where cores are busy; from
# _LARGE on, the engine's kernel is worth a call.
_SMALL, _LARGE = 8192, 1 << 18


def surely_finite(array: NDArray) -> bool:
    """Whether a contiguous array of floats is finite, in one quick pass; a False may be due to an overflow.

    A sum is NaN or infinite if any element is; so is one of squares. np.isfinite(array).all() takes twice as long. Of large
    ones the engine looks at every element, on all threads.
    """
    if array.size <= _SMALL:
        return math.isfinite(np.vdot(array, array))  # np.dot is as quick, but warns of an overflow
    if array.size >= _LARGE and array.flags.carray and array.dtype in (np.float32, np.float64):
        from . import engine

        return engine.active().finite(array)
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(np.add.reduce(array, axis=None))


def ready(array: Any, columns: int, dtype: np.dtype) -> TypeGuard[NDArray]:
    """Whether this is an array of rows that the engine can use as it is, if they are finite; takes a fraction of a µs."""
    # The flag is all of C-contiguous, aligned and writable.
    if type(array) is not np.ndarray or array.ndim != 2 or not array.flags.carray:
        return False
    rows, width = array.shape
    return width == columns and rows > 0 and (array.dtype is dtype or array.dtype == dtype)


def check_layout(name: str, value: Any, columns: int, dtype: np.dtype) -> None:
    """Raise unless this is an array of rows that the engine can use as it is, since a copy would not follow its changes."""
    if ready(value, columns, dtype):
        return
    wanted = f"{name} must be a writable, C-contiguous {dtype} array of shape (n, {columns}), as later changes to it count"
    remedy = f"Pass np.empty((n, {columns}), {str(dtype)!r}), to be filled."
    if type(value) is not np.ndarray:
        raise TypeError(f"{wanted}; got {shown(value)} ({type(value).__name__}). {remedy}")
    got = "it is not aligned" if value.flags.c_contiguous else "it is not C-contiguous"
    if not value.flags.writeable:
        got = "it is read-only"
    if value.dtype != dtype:
        got = f"its dtype is {value.dtype}"
    elif value.ndim != 2 or value.shape[1] != columns or len(value) == 0:
        got = f"its shape is {value.shape}"
    raise ValueError(f"{wanted}, but {got}. {remedy}")


def inputs(X: ArrayLike, n_inputs: int, dtype: np.dtype, layers: Sequence[int] = (), name: str = "X") -> NDArray:
    """Return `X` as a C-contiguous (n, n_inputs) array of `dtype`, all finite, n >= 1.

    It is `X` itself where that is one already. `layers` are the network's widths, for the message.
    """
    if ready(X, n_inputs, dtype) and surely_finite(X):
        return X
    array = numeric(name, X)
    takes = f"this network takes {counted(n_inputs, 'input')}" + (f" (layers={list(layers)})" if len(layers) else "")
    if array.ndim == 1:
        raise ValueError(
            f"{name} has one dimension (shape {array.shape}), but {takes} in each row. "
            f"Pass {name}[None, :] if it is one row, or {name}[:, None] if it is one column."
        )
    if array.ndim != 2:
        raise ValueError(f"{name} has shape {array.shape}, but {takes}. Pass {name} of shape (n, {n_inputs}).")
    if array.shape[1] != n_inputs:
        raise ValueError(f"{name} has {counted(array.shape[1], 'column')}, but {takes}. Pass {name} of shape (n, {n_inputs}).")
    if array.shape[0] == 0:
        raise ValueError(f"{name} has no rows (shape {array.shape}). Pass at least one row.")
    return converted(name, array, dtype)


def numeric(name: str, value: Any, remedy: str = "Encode text and categories as numbers first.") -> NDArray:
    """`value` as an array of bools, integers or floats of any width."""
    if type(value) is np.ndarray and value.dtype.kind in "biuf":
        return value
    _check_whole(name, value)
    frame: Any = value
    if _is_numeric_frame(frame):
        value = frame.to_numpy(dtype=np.float64, na_value=np.nan)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} does not form an array: are its rows of different lengths? ({error})") from error
    if array.dtype.kind in "biuf":
        return array
    if array.dtype.kind == "c":
        raise TypeError(f"{name} holds complex numbers ({array.dtype}). Pass real and imaginary parts as columns.")
    if array.dtype.kind == "O":
        raise TypeError(
            f"{name} has dtype object{_first_odd(array)}. "
            f"If it holds numbers only, pass it as floats: np.asarray({name.split()[-1]}, dtype=float). {remedy}"
        )
    raise TypeError(f"{name} has dtype {array.dtype}, which is not numeric{_first_odd(array)}. {remedy}")


def _check_whole(name: str, value: Any) -> None:
    """Refuse what NumPy would make another array of than its user sees."""
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise TypeError(f"{name} is sparse ({type(value).__name__}), but must be dense. Pass {name}.toarray().")
    unmasked(name, value)


def unmasked(name: str, value: Any) -> None:
    """Raise if an array has masked values, since what is under a mask would be taken for data."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.getmaskarray(value).any():
        raise ValueError(f"{name} has masked values. Pass {name}.filled(number), or drop those rows.")


def is_missing(value: Any) -> bool:
    """Whether a value stands for none: None, NaN, NA or NaT."""
    return value is None or (isinstance(value, (float, np.floating)) and value != value) or type(value).__name__ in _NOTHING


def _is_numeric_frame(value: Any) -> bool:
    """Whether np.asarray may make objects of a pandas frame of numbers: bool beside int, or nullable types."""
    if not hasattr(value, "to_numpy") or type(value).__module__.partition(".")[0] != "pandas":
        return False
    types = list(value.dtypes) if hasattr(value, "columns") else [value.dtype]
    mixed = len({str(t) for t in types}) > 1 or not isinstance(types[0], np.dtype) if types else False
    return mixed and all(getattr(t, "kind", "O") in "biuf" for t in types)


def _first_odd(array: NDArray) -> str:
    """Where the first element that is no number is, for a message."""
    for place, element in np.ndenumerate(array):
        if not isinstance(element, Real):
            element = element.item() if isinstance(element, np.generic) else element
            return f" ({f'element {_place(place)}' if place else 'it'} is {shown(element)})"
    return ""


def _place(index: Sequence[Any]) -> str:
    return "[" + ", ".join(str(int(i)) for i in index) + "]"


class _Memory:
    """Memory of an array, to make another array of."""

    def __init__(self, array: NDArray) -> None:
        self.owner = array
        self.__array_interface__ = {**array.__array_interface__, "data": (array.ctypes.data, False)}


def _called_writable(array: NDArray) -> NDArray:
    """Return the same memory under flags that say writable: for read-only arrays Numba would compile all kernels again.

    No kernel writes to inputs, targets or weights.
    """
    return np.asarray(_Memory(array))


def converted(name: str, array: NDArray, dtype: np.dtype) -> NDArray:
    """`array` as C-contiguous, aligned `dtype`, with finite elements only."""
    out = array
    if array.dtype != dtype or not array.flags.carray:
        with np.errstate(over="ignore"):
            out = np.require(array, dtype, ["C", "A"])
        if not out.flags.writeable:
            out = _called_writable(out)
    if not surely_finite(out) and not np.isfinite(out).all():
        index = np.unravel_index(int(np.argmin(np.isfinite(out))), out.shape)
        value = array[index]
        where = f"row {index[0]}" + (f", column {index[1]}" if out.ndim > 1 else "")
        if np.isfinite(value):
            raise ValueError(
                f"{name} has {value!s} in {where}, which is too large for {np.dtype(dtype).name}. "
                f"Scale {name}, or use float64: the network's dtype, or that of an estimator's data."
            )
        raise ValueError(
            f"{name} has {value!s} in {where}; every value must be finite. Drop or fill such rows before the call."
        )
    return out


def parameters(values: ArrayLike, shape: tuple[int, ...], dtype: np.dtype, name: str = "params") -> NDArray:
    """Return parameters, or a gradient by them, as an array of `dtype` and this shape, all finite."""
    _check_whole(name, values)
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} must have shape {shape}; got what does not form an array: {shown(values)}.") from error
    if array.dtype.kind not in "biuf":
        odd = _first_odd(array)
        raise TypeError(f"{name} must be numbers; got an array of dtype {array.dtype}{odd}. Pass floats of shape {shape}.")
    if array.shape != shape:
        remedy = f" Pass numbers of shape {shape}."
        if array.ndim == 0:
            remedy = f" To fill it with one number assign {name}[...]."
        elif array.ndim == 2 and array.shape[::-1] == shape:
            remedy = " Pass its transpose, .T" + (": weights are (inputs, units)." if name.startswith("weights") else ".")
        raise ValueError(f"{name} must have shape {shape}; got {array.shape}.{remedy}")
    with np.errstate(over="ignore"):
        converted = array.astype(dtype)
    if not np.isfinite(converted).all():
        place = np.unravel_index(int(np.argmin(np.isfinite(converted))), shape)
        raise ValueError(f"{name}{_place(place)} is {array[place]}, but must be finite in {dtype}.")
    return converted


_LABELS = "Number the classes 0, 1, ..., as scikit-learn's LabelEncoder does."


def targets(y: ArrayLike, n: int, n_outputs: int, kind: str, dtype: np.dtype, name: str = "y") -> NDArray:
    """Return targets for `n` rows as a C-contiguous array of `dtype`, (n, n_outputs) or for class indices (n, 1).

    `kind` is the loss's: "classes" takes indices 0..n_outputs-1 of shape (n,) or (n, 1), or a row of probabilities for
    each sample; "binary" values in [0, 1]; "counts" values >= 0; "regression" any finite ones. All but "classes" take
    (n,) if there is one output, else (n, n_outputs).
    """
    if kind == "regression" and ready(y, n_outputs, dtype) and y.shape[0] == n and surely_finite(y):
        return y
    labels = kind in ("classes", "binary")
    array = numeric(name, y, _LABELS) if labels else numeric(name, y)
    if array.ndim == 0 or array.ndim > 2:
        raise ValueError(f"{name} has shape {array.shape}, but must be {_target_shape(n, n_outputs, kind)}.")
    if array.shape[0] != n:
        inputs_have = "X has" if name == "y" else "its inputs have"
        raise ValueError(f"{name} has {counted(array.shape[0], 'row')}, but {inputs_have} {n}. Pass one target for each row.")
    columns = array.shape[1] if array.ndim == 2 else 1
    indices = kind == "classes" and columns == 1
    if columns != n_outputs and not indices:
        raise ValueError(
            f"{name} has shape {array.shape}, but this network has {counted(n_outputs, 'output')}: it must be "
            f"{_target_shape(n, n_outputs, kind)}.{_class_remedy(array, n_outputs, kind, name)}"
        )
    array = array.reshape(n, columns)
    if indices:
        _check_indices(name, array[:, 0], n_outputs)
    out = converted(name, array, dtype)
    if kind == "classes" and not indices:
        _check_probabilities(name, out)
    elif kind == "binary":
        remedy = "Pass 0 for one class and 1 for the other; more classes need output='softmax' and an output for each."
        _check_within(name, out, 1.0, "this loss takes values in [0, 1]", remedy)
    elif kind == "counts":
        _check_within(name, out, math.inf, "this loss takes counts >= 0", "Use another loss, such as 'mse'.")
    return out


def _target_shape(n: int, n_outputs: int, kind: str) -> str:
    if kind == "classes":
        return f"class indices of shape ({n},) or probabilities of shape ({n}, {n_outputs})"
    return f"of shape ({n}, {n_outputs})" + (f" or ({n},)" if n_outputs == 1 else "")


def _class_remedy(array: NDArray, n_outputs: int, kind: str, name: str) -> str:
    """Say what to do with class indices where the loss wants one number for each output."""
    looks_like_indices = array.dtype.kind in "iu" and array.size and array.min() >= 0 and array.max() < n_outputs
    if kind == "classes" or array.ndim != 1 or not looks_like_indices:
        return ""
    return (
        " If these are class indices, use output='softmax' with loss='cross_entropy', "
        f"or pass one-hot rows: np.eye({n_outputs})[{name.split()[-1]}]."
    )


def _check_indices(name: str, labels: NDArray, n_outputs: int) -> None:
    if labels.dtype.kind == "b":
        labels = labels.astype(np.int8)
    good = (labels >= 0) & (labels < n_outputs)
    if labels.dtype.kind == "f":
        good &= labels == np.floor(labels)
    if good.all():
        return
    row = int(np.argmin(good))
    raise ValueError(
        f"{name} has label {labels[row]!s} in row {row}, but this network has {counted(n_outputs, 'output')}: "
        f"class indices are whole numbers in 0..{n_outputs - 1}. {_LABELS}"
    )


def _check_probabilities(name: str, rows: NDArray) -> None:
    sums = rows.sum(axis=1, dtype=np.float64)
    good = (np.abs(sums - 1.0) <= ROW_SUM_TOLERANCE) & (rows.min(axis=1) >= 0.0)
    if good.all():
        return
    row = int(np.argmin(good))
    shown = np.array2string(rows[row], threshold=8, precision=4)
    raise ValueError(
        f"{name} row {row} is {shown}, which sums to {sums[row]:.6g}; a row must be one-hot or probabilities: no "
        "negative value, sum 1. For several labels at once use output='sigmoid'."
    )


def _check_within(name: str, values: NDArray, most: float, rule: str, remedy: str) -> None:
    if values.min() >= 0.0 and values.max() <= most:
        return
    row, column = divmod(int(np.argmax((values < 0.0) | (values > most))), values.shape[1])
    raise ValueError(f"{name} has {values[row, column]!s} in row {row}, column {column}, but {rule}. {remedy}")
