"""Tables from files, of delimited text, Parquet or ``.npz``: which columns are features, and what the target is.

Every reader hands over columns: arrays of float64, or arrays of str where the file has words. What a column of words, a
gap or an unknown target means is then decided here, whatever the file was.
"""

from __future__ import annotations

import itertools
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from . import checks
from .data import MOST_CLASSES, Data, Kind, nearest
from .delimited import COMMAS, PACKED, is_number, marks, read_columns
from .errors import counted

_OUT = "out, by drop= or in a shell by --drop"


def read_table(
    path: str | os.PathLike,
    target: str | None = None,
    *,
    drop: Sequence[str] = (),
    kind: str = "auto",
    decimal: str = ".",
) -> Data:
    """Return the rows of a CSV, Parquet or ``.npz`` file, split into features and a target.

    Parameters
    ----------
    path : path
        ``.csv``, ``.tsv`` or ``.txt`` (first line: the columns' names; separated by commas, semicolons, tabs or bars), also
        packed, as ``.csv.gz``, ``.csv.bz2`` or ``.csv.xz``;
        ``.parquet`` or ``.pq`` (needs pyarrow; a pandas frame's index is left out unless it is the target), or ``.npz``
        with an array X of shape (n, columns) and an array y.
    target : str, optional
        The column to predict. All others are features and must be numbers, or truth values, which become 1 and 0. It may
        only be left out for ``.npz``, where it is the name of the array that is y.
    drop : sequence of str
        Columns to leave out, such as numbers of rows, whatever they hold; none of an ``.npz``, whose columns have no names.
    kind : {"auto", "classes", "regression"}
        What the target is. "auto" takes words, truth values and integers of at most 20 different values as classes,
        everything else as a quantity.
    decimal : {".", ","}
        The mark before the decimals of numbers in text; marks between thousands are refused.

    Returns
    -------
    Data
        Features are as in the file, not scaled. Classes are numbered in the sorted order of their names.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    TypeError, ValueError
        An argument is of another kind, or the file cannot be used; the message names the column, the row and the remedy.
    ImportError
        A Parquet file, and no pyarrow to read it.
    """
    path = Path(checks.path("path", path, "houses.csv"))
    checks.choice("kind", kind, ("auto", "classes", "regression"))
    if isinstance(drop, str):
        raise TypeError(f"drop must be a list of columns' names, such as ['id']; got the text {drop!r}.")
    checks.choice("decimal", decimal, (".", ","))
    suffix = path.suffix.lower()
    packed = suffix in PACKED
    if packed:
        suffix = path.with_suffix("").suffix.lower()
    reader = _READERS.get(suffix)
    if reader is None or (packed and reader is not _read_csv):
        raise ValueError(
            f"{path} is not a kind of file that can be read: its name must end in {', '.join(_READERS)}, where those of text "
            f"may have one of {', '.join(PACKED)} after it."
        )
    if decimal != "." and reader is not _read_csv:
        raise ValueError(f"{path} has numbers, not text: decimal={decimal!r} is for text, such as .csv. Leave it out.")
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not a file.")
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    given = {"decimal": decimal} if reader is _read_csv else {}
    X, y, features = reader(path, target, tuple(drop), **given)
    if len(X) == 0:
        raise ValueError(f"{path} has no rows.")
    return _as_data(path, X, y, features, target or "y", kind)


def _as_data(path: Path, X, y, features: tuple[str, ...], target: str, kind: str) -> Data:
    """Return a Data, with its classes numbered or its quantities checked."""
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if kind == "auto":
        few = y.ndim == 1 and y.dtype.kind in "iu" and len(np.unique(y)) <= MOST_CLASSES
        kind = "classes" if y.dtype.kind in "USb" or few else "regression"
    _check_finite(path, y, target)
    if y.dtype.kind in "US" and all(map(COMMAS.fullmatch, map(str, y.flat))):
        raise ValueError(f"{path}: the target {target!r} holds words such as {str(y[0])!r}. {marks([str(y[0])])}")
    if kind == "regression":
        if y.dtype.kind in "US":
            example = str(y[0])
            raise ValueError(f"{path}: the target {target!r} holds words such as {example!r}, so it is not a quantity.")
        return Data(X, np.ascontiguousarray(y, np.float64), "regression", 0, path.name, features)
    if y.ndim == 2:
        raise ValueError(f"{path}: the target {target!r} has {y.shape[1]} columns, but classes are one column.")
    labels, indices = np.unique(y, return_inverse=True)
    if len(labels) < 2:
        raise ValueError(f"{path}: the target {target!r} is {labels[0]!s} in every row: nothing is to be told apart.")
    settled: Kind = "binary" if len(labels) == 2 else "classes"
    return Data(X, indices.astype(np.int64), settled, len(labels), path.name, features, tuple(labels.tolist()))


def _check_finite(path: Path, y: np.ndarray, target: str) -> None:
    """Refuse a gap in the target."""
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        row = np.argwhere(~np.isfinite(y))[0][0]
        raise ValueError(_gap(path, row, target, y[row].ravel()[~np.isfinite(y[row].ravel())][0]))
    if y.dtype.kind in "US" and (y == y.dtype.type("")).any():
        raise ValueError(_gap(path, np.flatnonzero(y == y.dtype.type(""))[0], target, np.nan))


def _gap(path: Path, row: int, column: str, value: float) -> str:
    what = "no value (such as an empty cell, NA or ?)" if np.isnan(value) else f"the value {value}"
    where = f"row {row + 1} (the first row of data is 1)"
    return f"{path}: column {column!r} has {what} in {where}. Fill the gap or leave the row out."


def _table(path: Path, columns: dict[str, np.ndarray], target: str | None):
    """Part columns into (n, features), the target's values and the features' names."""
    _check_names(path, tuple(columns), target)
    assert target is not None
    features = tuple(name for name in columns if name != target)
    words = {name: columns[name] for name in features if columns[name].dtype.kind in "US"}
    if words:
        raise ValueError(_not_numbers(path, {name: str(v[v != ""][0]) for name, v in words.items()}))
    X = np.column_stack([columns[name] for name in features]).astype(np.float64)
    _check_features(path, X, features)
    return X, columns[target], features


def _check_names(path: Path, names: tuple[str, ...], target: str | None, drop: tuple[str, ...] = ()) -> None:
    """Refuse a table without the target, without what is to be left out, or without anything else."""
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    hint = " All names are numbers: is the line of names missing?" if all(map(is_number, names)) else ""
    if target is None:
        raise ValueError(
            f"{path} is a table: say which column is the target, by target= or in a shell by --target. "
            f"Its columns are {shown}.{hint}"
        )
    if target not in names:
        raise ValueError(f"{path} has no column {target!r}{nearest(target, names)}. Its columns are {shown}.{hint}")
    for name in drop:
        if name == target:
            raise ValueError(f"{path}: column {name!r} is the target, which cannot be dropped.")
        if name not in names:
            raise ValueError(f"{path} has no column {name!r} to drop{nearest(name, names)}. Its columns are {shown}.")
    if set(names) == {target, *drop}:
        but = " that is not dropped" if drop else ""
        raise ValueError(f"{path} has no column beside the target {target!r}{but}: there is nothing to predict it from.")


def _check_features(path: Path, X: np.ndarray, features: tuple[str, ...]) -> None:
    """Refuse gaps and infinities."""
    bad = ~np.isfinite(X)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(_gap(path, row, features[column], X[row, column]))


def _not_numbers(path: Path, examples: dict[str, str]) -> str:
    shown = ", ".join(f"{name!r} ({value!r})" for name, value in itertools.islice(examples.items(), 8))
    shown += f" and {len(examples) - 8} more" if len(examples) > 8 else ""
    plural = "s hold" if len(examples) > 1 else " holds"
    hint = f" {marks(examples.values())}" if any(map(COMMAS.fullmatch, examples.values())) else ""
    return f"{path}: feature column{plural} words, not numbers: {shown}. Encode them as numbers, or leave them {_OUT}.{hint}"


# ---- files


def _read_csv(path: Path, target: str | None, drop: tuple[str, ...], decimal: str = "."):
    def header(cells: list[str]) -> tuple[str, ...]:
        names = _names(path, cells)
        _check_names(path, names, target, drop)
        return names

    return _table(path, read_columns(path, header, target, drop, decimal), target)


def _names(path: Path, cells: list[str]) -> tuple[str, ...]:
    names = tuple(cell.strip() for cell in cells)
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{path} has {names.count(name)} columns named {name!r}: names must differ.")
    return names


def _read_parquet(path: Path, target: str | None, drop: tuple[str, ...]):
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError(f"{path} is a Parquet file, which needs pyarrow: pip install pyarrow") from error
    try:
        names = _names(path, parquet.read_schema(path).names)
        table = parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} is not a readable Parquet file: {str(error).splitlines()[0]}") from error
    columns = dict(zip(names, table.columns, strict=True))
    for name in (table.schema.pandas_metadata or {}).get("index_columns", ()):
        if isinstance(name, str) and name not in (target, *drop):
            columns.pop(name, None)
    _check_names(path, tuple(columns), target, drop)
    values = {}
    for name, column in columns.items():
        if name in drop:
            continue
        try:
            values[name] = _arrow_values(column)
        except pyarrow.ArrowException as error:
            raise ValueError(
                f"{path}: column {name!r} of type {column.type} holds neither numbers nor words. "
                f"Turn it into columns of numbers, or leave it {_OUT}."
            ) from error
    return _table(path, values, target)


def _arrow_values(column) -> np.ndarray:
    """Return an Arrow column as int64, bool, float64 (NaN in the gaps) or str ("" in the gaps)."""
    from pyarrow import compute, types

    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if types.is_boolean(column.type):
        return column.to_numpy() if column.null_count == 0 else column.cast("int8").cast("float64").to_numpy()
    if types.is_integer(column.type) and column.null_count == 0:
        values = column.to_numpy()
        return values.astype(np.int64 if len(values) == 0 or values.max() <= np.iinfo(np.int64).max else np.float64)
    if types.is_integer(column.type) or types.is_floating(column.type) or types.is_decimal(column.type):
        return column.cast("float64", safe=False).to_numpy()  # large integers are rounded
    if types.is_null(column.type):
        return np.full(len(column), np.nan)
    words = np.array(compute.fill_null(column.cast("string"), "").to_pylist(), dtype=str)
    return words if (words != "").any() else np.full(len(column), np.nan)


def _read_npz(path: Path, target: str | None, drop: tuple[str, ...]):
    if drop:
        raise ValueError(f"{path}: the columns of X have no names to drop them by. Save X without them.")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            loaded = {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        why = str(error).split(". ")[0]
        raise ValueError(f"{path} is not a readable .npz file of plain arrays: {why}.") from error
    wanted = target or "y"
    if wanted == "X":
        raise ValueError(f"{path}: the array 'X' has the features, so that it cannot be the target. Name another one.")
    for name in ("X", wanted):
        if name not in loaded:
            others = f"its arrays are {', '.join(loaded)}" if loaded else "it has none at all"
            raise ValueError(f"{path} has no array {name!r}{nearest(name, loaded)}; {others}.")
    X, y = loaded["X"], loaded[wanted]
    if X.ndim != 2 or X.dtype.kind not in "fiub" or X.shape[1] == 0:
        raise ValueError(f"{path}: X must be numbers of shape (n, columns), not {X.dtype} of shape {X.shape}.")
    if y.ndim not in (1, 2) or len(y) != len(X) or y.dtype.kind not in "fiubUS" or y.size < len(X):
        came = f"{y.dtype} of shape {y.shape}"
        raise ValueError(f"{path}: {wanted} must have one row for each of X's {counted(len(X), 'row')}, but is {came}.")
    X = np.ascontiguousarray(X, np.float64)
    features = tuple(f"X[:, {column}]" for column in range(X.shape[1]))
    _check_features(path, X, features)
    return X, y, features


_READERS: dict[str, Callable] = {".csv": _read_csv, ".tsv": _read_csv, ".txt": _read_csv, ".parquet": _read_parquet,
                                 ".pq": _read_parquet, ".npz": _read_npz}  # fmt: skip
