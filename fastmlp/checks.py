"""Every check of what a user passes in: it returns clean values, or raises with argument, value and remedy."""

from __future__ import annotations

import difflib
import math
import os
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import memory
from .errors import counted, shown

__all__ = [
    "Numbers",
    "choice",
    "converted",
    "flag",
    "floating",
    "inputs",
    "integer",
    "is_missing",
    "jobs",
    "numeric",
    "parameters",
    "path",
    "ready",
    "real",
    "real_field",
    "seed",
    "seeds",
    "surely_finite",
    "targets",
    "unmasked",
]

# pandas's values for nothing, which is not imported for their sake.
_NOTHING = ("NAType", "NaTType")
# What a small network takes at least, with its settings and its results.
_NETWORK_BYTES = 1000
# One number, or one for each layer, or for each network of a population; checked ones are floats and tuples of them.
Numbers = float | Sequence[float] | NDArray[Any]

# How far a row of class probabilities may sum from 1: what float16 data or percentages rounded to a tenth still keep.
ROW_SUM_TOLERANCE = 2e-3


def integer(name: str, value: Any, least: int | None = None, most: int | None = None) -> int:
    """Return `value` as an int if it is a whole number (not a bool) in `least`..`most`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, Integral)):
        argument = f"{name}=" if name.isidentifier() else ""
        hint = f" Pass {argument}{int(value)}." if isinstance(value, (float, np.floating)) and value % 1 == 0 else ""
        wanted = _range_text(least, most, False, False)
        raise TypeError(f"{name} must be an integer{wanted}; got {shown(value)} ({type(value).__name__}).{hint}")
    number = int(value)
    if (least is not None and number < least) or (most is not None and number > most):
        raise ValueError(f"{name} must be an integer{_range_text(least, most, False, False)}; got {number}.")
    return number


def jobs(n_jobs: Any) -> int | None:
    """Return how many threads `n_jobs` asks for; None for None and -1, which are as many as fastmlp uses."""
    if n_jobs is None or (number := integer("n_jobs", n_jobs)) == -1:
        return None
    if number < 1:
        raise ValueError(f"n_jobs must be an integer >= 1, or -1 or None for one for each thread; got {number}.")
    return number


def real(
    name: str,
    value: Any,
    low: float | None = None,
    high: float | None = None,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """Return `value` as a float if it is a finite number (not a bool) between `low` and `high`.

    Both ends are allowed values unless `open_low` or `open_high` is set.
    """
    if not isinstance(value, float):  # asked first, as it is quickly said
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value[()]
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
            wanted = _range_text(low, high, open_low, open_high)
            raise TypeError(f"{name} must be a finite number{wanted}; got {shown(value)} ({type(value).__name__}).")
    number = float(value)
    too_low = low is not None and (number <= low if open_low else number < low)
    too_high = high is not None and (number >= high if open_high else number > high)
    if not math.isfinite(number) or too_low or too_high:
        raise ValueError(f"{name} must be a finite number{_range_text(low, high, open_low, open_high)}; got {number!r}.")
    return number


def _range_text(low: float | None, high: float | None, open_low: bool, open_high: bool) -> str:
    parts = []
    if low is not None:
        parts.append(f"{'>' if open_low else '>='} {low:g}")
    if high is not None:
        parts.append(f"{'<' if open_high else '<='} {high:g}")
    return " " + " and ".join(parts) if parts else ""


def real_field(instance: Any, name: str, low: float | None = None, high: float | None = None, **ends: bool) -> None:
    """Replace a frozen dataclass's field by itself as a float that :func:`real` has checked."""
    object.__setattr__(instance, name, real(name, getattr(instance, name), low, high, **ends))


def each(name: str, value: Any, size: int) -> list[Any]:
    """Return a scalar `size` times, or the values of a (size,) array, as Python numbers."""
    if np.ndim(value) == 0:
        return [np.asarray(value).item()] * size
    array = np.asarray(value)
    if array.shape != (size,):
        are = f"{'is' if size == 1 else 'are'} {counted(size, 'network')}"
        raise ValueError(f"{name} has shape {array.shape}, but there {are}. Pass one number, or {size} of them.")
    return array.tolist()


def reals_field(instance: Any, name: str, low: float | None = None, high: float | None = None, **ends: bool) -> None:
    """As :func:`real_field`, for one number or a sequence of them, one for each network of a population."""
    value = getattr(instance, name)
    if type(value) is float:
        if not (low is not None and low < value < (math.inf if high is None else high)):  # mostly it is, which is quickly said
            real(name, value, low, high, **ends)
    elif np.ndim(value) == 0:
        real_field(instance, name, low, high, **ends)
    else:
        numbers = tuple(real(f"{name}[{i}]", one, low, high, **ends) for i, one in enumerate(np.asarray(value).tolist()))
        object.__setattr__(instance, name, numbers)


def seed(value: Any) -> int:
    """Return a seed as an int: any whole number, or for None another one each time, of 32 bits as scikit-learn takes them."""
    return secrets.randbits(32) if value is None else integer("seed", value)


def seeds(values: Any, least: int | None = None) -> list[int]:
    """Return the seeds of several networks as ints: whole numbers from `least` on, or for their number 0, 1, ..."""
    if isinstance(values, Integral) and not isinstance(values, bool):
        count = integer("seeds", values, 1)
        size = _NETWORK_BYTES * count
        if not memory.holds(size):
            raise ValueError(f"seeds={count:,} networks take at least {memory.in_words(size)}. Pass fewer seeds.")
        values = range(count)
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(
            f"seeds must be an integer, how many, or a list of integers; got {shown(values)}. Pass seeds=8, or seeds=[1, 2, 3]."
        )
    found = [integer(f"seeds[{i}]", seed, least) for i, seed in enumerate(values)]
    if not found:
        raise ValueError("seeds is empty, so there is nothing to train. Pass how many, or a list of at least one.")
    return found


def flag(name: str, value: Any) -> bool:
    """Return `value` as a bool if it is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False; got {shown(value)} ({type(value).__name__}).")
    return bool(value)


def path(name: str, value: Any, example: str) -> str:
    """Return the path of a file or a folder as text, if it is one and not empty."""
    found = value if isinstance(value, str) or not isinstance(value, os.PathLike) else os.fspath(value)
    if not isinstance(found, str) or not found:
        error = ValueError if isinstance(found, str) else TypeError
        raise error(
            f"{name} must be a path, as text or a pathlib.Path; got {shown(value)}. Pass {name}={example!r}, for example."
        )
    return found


def choice(name: str, value: Any, known: Collection[str], or_else: str = "", elsewhere: Mapping[str, str] | None = None) -> str:
    """Return `value` if it is one of the `known` names; else raise with the nearest ones.

    `or_else` says in words what else the argument takes, such as ``"an Optimizer"``; `elsewhere` has what other libraries
    call them, in small letters alone.
    """
    if isinstance(value, str) and value in known:
        return value
    wanted = f"{name} must be one of {', '.join(map(repr, known))}" + (f", or {or_else}" if or_else else "")
    if not isinstance(value, str):
        raise TypeError(f"{wanted}; got {shown(value)} ({type(value).__name__}).")
    plain = value.lower().replace("-", "_").replace(" ", "_")
    same = (elsewhere or {}).get(plain.replace("_", ""))
    near = [same] if same else [name for name in known if plain and name.startswith(plain)]
    near = (near or difflib.get_close_matches(plain, known, cutoff=0.55))[:2]
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise ValueError(f"{wanted}; got {value!r}.{hint}")


def floating(dtype: DTypeLike, name: str = "dtype") -> np.dtype:
    """Return the native float32 or float64 dtype that `dtype` names."""
    for known in (np.dtype(np.float32), np.dtype(np.float64)):
        try:
            if dtype is not None and np.dtype(dtype) == known:  # NumPy takes None for float64
                return known
        except TypeError:
            pass
    raise ValueError(f"{name} must be 'float32' or 'float64'; got {dtype!r}.")


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
    if type(array) is not np.ndarray or not array.flags.carray or (array.dtype is not dtype and array.dtype != dtype):
        return False
    shape = array.shape
    return len(shape) == 2 and shape[1] == columns and shape[0] > 0


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


def is_validation(X_val: Any, y_val: Any, weight_val: Any) -> bool:
    """Whether there is data to validate on.

    Raises
    ------
    ValueError
        If there is a part of it only.
    """
    if X_val is None and (y_val is not None or weight_val is not None):
        raise ValueError("y_val and sample_weight_val need X_val, the inputs they belong to. Pass X_val too.")
    if X_val is not None and y_val is None:
        raise ValueError("X_val needs y_val, its targets. Pass both, or neither.")
    return X_val is not None
