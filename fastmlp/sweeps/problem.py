"""The data of a sweep: checked once, its classes numbered, and its rows parted into those trained on and those held back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import activations, arrays, checks, losses, metrics, weighting
from ..arguments import given_data, share
from ..data import MOST_CLASSES, split
from ..errors import counted, shown
from ..metrics import Metric

__all__ = ["BY_LOSS", "Part", "Problem", "make"]

# Rows of a part: a slice where they lie together, so that nothing has to be copied, else their numbers.
RowNumbers = slice | NDArray[np.int64]


def _not_from_predictions(y: Any, prediction: Any, weight: Any) -> float:
    raise NotImplementedError("the loss is computed from logits, not from predictions")


# What stands for the metric where networks are compared by their loss, which they are asked for anyway.
BY_LOSS = Metric("loss", _not_from_predictions, higher_is_better=False)


@dataclass(frozen=True, eq=False)
class Part:
    """Which rows are trained on, and which are held back to judge by; None where nothing is held back."""

    train: RowNumbers
    held: RowNumbers | None
    n_train: int


@dataclass(frozen=True, eq=False)
class Problem:
    """What all networks of a sweep have in common.

    Attributes
    ----------
    X : (n, in) array
        Inputs.
    y : (n, 1) or (n, K) array of the same type
        Targets as networks take them.
    weight : (n,) or (0,) array of the same type
        Sample weights, if there are any.
    class_weight : "balanced", dict or None
        By class indices.
    parts : tuple of Part
        One, or as many as there are folds.
    output : str
        The output activation.
    loss : LossSpec
        What is minimised.
    n_outputs : int
        Number of outputs.
    metric : Metric
        By what networks are compared.
    """

    X: NDArray
    y: NDArray
    weight: NDArray
    class_weight: Any
    parts: tuple[Part, ...]
    output: str
    loss: losses.LossSpec
    n_outputs: int
    metric: Metric

    @property
    def folds(self) -> int:
        """Number of folds; 0 without cross-validation."""
        return len(self.parts) if len(self.parts) > 1 else 0

    def digest(self) -> str:
        """Return a hash of the data and of how it is parted, in hexadecimal."""
        found = hashlib.sha256()
        for array in (self.X, self.y, *(rows for part in self.parts for rows in (part.train, part.held))):
            if isinstance(array, np.ndarray):
                found.update(f"{array.dtype}{array.shape}".encode())
                found.update(np.ascontiguousarray(array).data)
            else:
                found.update(repr(array).encode())
        return found.hexdigest()


def make(
    X: ArrayLike, y: ArrayLike, sample_weight: Any, class_weight: Any, validation: Any, cv: Any, output: str, loss: Any,
    metric: Any, dtype: Any,
) -> Problem:  # fmt: skip
    """Check the data and everything that depends on it; arguments as in :func:`fastmlp.sweep`."""
    kind = checks.floating(dtype)
    x, t = _rows("X", X, "y", y, kind)
    n = len(x)
    weight = weighting.sample_weight(sample_weight, n, kind)
    pair = given_data(validation)
    if pair is not None and cv is None:
        x, t, weight = _with_held_rows(x, t, weight, pair, kind)
    t, output, n_outputs, labels = _targets(t, output)
    spec = losses.resolve(loss, output)
    losses.check_pairing(spec, output)
    targets = arrays.targets(t, len(x), n_outputs, spec.kind, kind)  # while its rows have the numbers that users know
    by_class = t.ndim == 1 and (output == "softmax" or (output == "sigmoid" and t.dtype.kind == "i"))
    if cv is not None:
        parts = _folds(x, t, cv, validation, by_class)
    elif pair is not None:
        parts = (Part(slice(0, n), slice(n, len(x)), n),)
    else:
        fraction = share(validation, "(X, y) or (X, y, sample_weight)")
        train, held = split(t, fraction, classes=by_class)
        if len(held) == 0:
            raise ValueError(
                f"validation={fraction} of {counted(n, 'row')} holds none back. Pass a larger fraction, or (X, y)."
            )
        order = np.concatenate([train, held])
        x, targets, weight = x[order], targets[order], weight[order] if weight.size else weight
        parts = (Part(slice(0, len(train)), slice(len(train), n), len(train)),)
    measure = _metric(metric, spec.kind, n_outputs, targets)
    by_index = _by_index(class_weight, labels)
    _check_weights(targets, weight, by_index, parts, n_outputs, spec.kind)
    return Problem(np.ascontiguousarray(x), targets, weight, by_index, parts, output, spec, n_outputs, measure)


def _by_index(class_weight: Any, labels: NDArray | None) -> Any:
    """Return class weights by the classes' numbers; `labels` are the classes by number, or None where y has the numbers."""
    if labels is None or not isinstance(class_weight, Mapping):
        return class_weight
    numbers = {label: number for number, label in enumerate(labels.tolist())}
    if unknown := [label for label in class_weight if label not in numbers]:
        raise ValueError(f"class_weight has a weight for {unknown[0]!r}, but the classes of y are {shown(list(numbers))}.")
    return {numbers[label]: weight for label, weight in class_weight.items()}


def _check_weights(y: NDArray, weight: NDArray, class_weight: Any, parts: tuple[Part, ...], n_outputs: int, kind: str) -> None:
    """Raise unless some row of each part counts, of those trained on and of those held back."""
    for number, part in enumerate(parts, 1):
        for rows, name in ((part.train, "training"), (part.held, "validation")):
            if weight.size and not weight[rows].any():
                where = f" of fold {number}" if len(parts) > 1 else ""
                raise ValueError(f"all {name} rows{where} have sample_weight 0. Hold other rows back, or leave these out.")
        own = weight[part.train] if weight.size else None
        weighting.combined_weight(own, class_weight, y[part.train], n_outputs, kind, y.dtype)


def _with_held_rows(
    X: NDArray, y: NDArray, weight: NDArray, validation: tuple[Any, Any, Any], dtype: np.dtype
) -> tuple[NDArray, NDArray, NDArray]:
    """Return rows and their weights with those of `validation`, (X, y, sample_weight), after them."""
    held_X, held_y = _rows("validation's X", validation[0], "validation's y", validation[1], dtype)
    held_weight = weighting.sample_weight(validation[2], len(held_X), dtype, "validation's sample_weight")
    if held_X.shape[1] != X.shape[1] or held_y.shape[1:] != y.shape[1:]:
        came = f"{held_X.shape} and {held_y.shape}"
        raise ValueError(f"validation's X and y have shapes {came}, which do not go with {X.shape} and {y.shape}.")
    if weight.size or held_weight.size:
        both = ((weight, len(X)), (held_weight, len(held_X)))
        weight = np.concatenate([own if own.size else np.ones(n, dtype) for own, n in both])
    return np.concatenate([X, held_X]), np.concatenate([y, _alike(y, held_y)]), weight


def _alike(y: NDArray, held_y: NDArray) -> NDArray:
    """Return held_y as what y is: classes or quantities is decided by y alone."""
    if y.dtype.kind == held_y.dtype.kind or (y.dtype.kind == "f" and held_y.dtype.kind in "iu"):
        return held_y
    if not {y.dtype.kind, held_y.dtype.kind} & set("US"):
        converted = held_y.astype(y.dtype)
        if (converted == held_y).all():
            return converted
    raise ValueError(f"validation's y holds {held_y.dtype}, but y holds {y.dtype}. Pass both as the same.")


def _folds(X: NDArray, y: NDArray, cv: Any, validation: Any, by_class: bool) -> tuple[Part, ...]:
    """Return the parts of a cross-validation."""
    from sklearn.model_selection import KFold, StratifiedKFold, check_cv

    if not (isinstance(validation, float) and validation == 0.2):
        raise ValueError(f"cv={cv!r} holds back each row once, so validation={_short(validation)} has no use. Leave one out.")
    if isinstance(cv, str) or (not hasattr(cv, "split") and not isinstance(cv, Iterable)):
        folds = checks.integer("cv", cv, 2)
        least = int(np.bincount(np.unique(y, return_inverse=True)[1]).min()) if by_class else len(X)
        if folds > least:
            whose = "the rarest class has" if by_class else "X has"
            raise ValueError(f"cv={folds} needs as many rows in each part, but {whose} {least}. Pass cv of at most {least}.")
        cv = (StratifiedKFold if by_class else KFold)(folds, shuffle=True, random_state=0)
    try:
        named = list(check_cv(cv).split(X, y))
    except ValueError as error:
        remedy = "If it needs groups, pass its folds: cv=list(splitter.split(X, y, groups))."
        raise ValueError(f"cv={shown(cv)} names no folds of these rows: {str(error).rstrip('.')}. {remedy}") from error
    parts = []
    for fold in named:
        train, held = (_row_numbers(rows, len(X)) for rows in fold)
        if len(train) == 0 or len(held) == 0:
            raise ValueError(f"cv has a fold with {counted(len(train), 'row')} to train on and {len(held)} held back.")
        parts.append(Part(train, held, len(train)))
    if len(parts) < 2:
        raise ValueError(f"cv has {counted(len(parts), 'fold')}. Pass two or more, or validation=0.2 for one part.")
    return tuple(parts)


def _row_numbers(rows: Any, n: int) -> NDArray[np.int64]:
    """Return the numbers of the rows that a fold names by numbers or by a mask."""
    array = np.asarray(rows)
    if array.dtype == bool and array.shape == (n,):
        return np.flatnonzero(array)
    numbers = array.ndim == 1 and array.dtype.kind in "iu" and (array.size == 0 or 0 <= array.min() <= array.max() < n)
    if not numbers and array.size:
        raise ValueError(
            f"cv must name the rows of each fold by numbers from 0 to {n - 1}, or by a mask of {n}; got {array.dtype} of shape "
            f"{array.shape}" + (f" from {array.min()} to {array.max()}." if array.dtype.kind in "iu" else ".")
        )
    return array.astype(np.int64)


def _short(value: Any) -> str:
    return "(X, y)" if isinstance(value, (tuple, list)) else shown(value)


def _rows(x_name: str, X: ArrayLike, y_name: str, y: ArrayLike, dtype: np.dtype) -> tuple[NDArray, NDArray]:
    """Return X as finite numbers of shape (n, columns), and y as an array of n rows."""
    try:
        shape = np.shape(X)
    except ValueError:  # rows of different lengths, of which `inputs` tells
        shape = ()
    x = arrays.inputs(X, shape[-1] if shape else 1, dtype, name=x_name)
    arrays.unmasked(y_name, y)
    t = _plain(y_name, np.asarray(y))
    if t.dtype.kind not in "biufSUT":
        raise TypeError(
            f"{y_name} has dtype {t.dtype}, but must be classes (integers, truth values or words) or quantities (floats). "
            "Pass it as one of these."
        )
    if t.ndim == 2 and t.shape[1] == 1:
        t = t[:, 0]
    if t.ndim not in (1, 2) or len(t) != len(x):
        raise ValueError(
            f"{y_name} has shape {t.shape}, but must have one row for each of {x_name}'s {counted(len(x), 'row')}."
        )
    if t.dtype.kind == "f":
        arrays.targets(t, len(x), t.shape[1] if t.ndim == 2 else 1, "regression", dtype, y_name)
    return x, t


_KINDS = (((bool, np.bool_), "truth values"), (str, "words"), (Real, "numbers"))


def _plain(name: str, y: NDArray) -> NDArray:
    """Return an array of objects as one of words, truth values or numbers, whichever they all are."""
    if y.dtype != object:
        return y
    found: dict[str, Any] = {}
    for place, value in np.ndenumerate(y):
        if arrays.is_missing(value):
            raise ValueError(f"{name} has no value in row {place[0]}. Fill the gap or leave the row out.")
        found.setdefault(next((word for kind, word in _KINDS if isinstance(value, kind)), type(value).__name__), value)
    plain = np.array(y.tolist())
    if len(found) == 1 and plain.dtype != object:
        return plain
    kinds = ", ".join(f"{kind} such as {value!r}" for kind, value in found.items())
    raise TypeError(f"{name} has dtype object and holds {kinds}. Pass words alone, or numbers alone.")


def _targets(y: NDArray, output: str) -> tuple[NDArray, str, int, NDArray | None]:
    """Return y with its classes numbered, the output activation, how many outputs there are, and the classes by number."""
    if output != "auto":
        output = activations.lookup(output, "output").name
    names = y.dtype.kind in "bSU"
    if output == "auto":
        output = _guess(y, names)
    if y.ndim == 1 and (output == "softmax" or (output == "sigmoid" and names)):
        labels, y = np.unique(y, return_inverse=True)
        if len(labels) < 2:
            raise ValueError(f"y is {labels[0]!s} in every row: nothing is to be told apart.")
        if output == "sigmoid" and len(labels) > 2:
            raise ValueError(f"y has {len(labels)} classes, but output='sigmoid' is for two. Use output='softmax'.")
        return y, output, len(labels) if output == "softmax" else 1, labels
    return y, output, y.shape[1] if y.ndim == 2 else 1, None


def _guess(y: NDArray, names: bool) -> str:
    """Return the output activation that suits the targets."""
    if y.dtype.kind == "f":
        return "identity"
    if y.ndim == 2:
        raise ValueError(f"y holds {y.dtype} of shape {y.shape}: say output='softmax', 'sigmoid' or 'identity'.")
    values = np.unique(y)
    if not names and len(values) > MOST_CLASSES:
        raise ValueError(
            f"y holds integers, {len(values)} different ones: say output='softmax' if they are classes, "
            "or output='identity' if they are quantities."
        )
    two = names or set(values.tolist()) == {0, 1}
    return "sigmoid" if two and len(values) == 2 else "softmax"


def _metric(spec: Any, kind: str, n_outputs: int, y: NDArray) -> Metric:
    """Return the metric, which suits the targets."""
    if spec is None:
        return metrics.default(kind, n_outputs)
    if isinstance(spec, str):
        checks.choice("metric", spec, ("loss", *metrics.METRICS), "a fm.metrics.Metric")
    if spec == "loss":
        return BY_LOSS
    metric = metrics.resolve(spec)
    if metric.name in metrics.OTHER_CURVES:
        raise ValueError(f"metric is called {metric.name!r}, as another curve is: give the function another __name__.")
    metric.direction("a sweep's comparison")
    if not metric.built_in:
        return metric  # a function of the user's own, which may count its calls
    if metric.kind == "classification" and kind not in ("classes", "binary"):
        raise ValueError(
            f"metric={metric.name!r} needs classes, but these targets are quantities. Use 'r2', 'rmse' or 'mae', "
            "or say output='softmax' or 'sigmoid'."
        )
    try:
        metric(y, np.zeros((len(y), n_outputs)))
    except ValueError as error:
        raise ValueError(f"metric={metric.name!r} does not suit these targets: {error}") from error
    return metric
