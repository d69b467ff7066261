"""Tables from files: CSV with the standard library (large ones with pyarrow), Parquet with pyarrow, ``.npz`` with NumPy.

Every reader hands over columns: arrays of float64, or arrays of str where the file has words. What a column of words, a
gap or an unknown target means is then decided in one place, whatever the file was.
"""

from __future__ import annotations

import contextlib
import csv
import importlib
import importlib.util
import itertools
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from . import checks
from .data import MOST_CLASSES, Data, Kind, nearest
from .errors import counted

# Words that stand for a value that is not there.
_GAPS = frozenset(["", "na", "n/a", "nan", "null", "none", "?"])
# How truth values are written by pandas, by spreadsheets and in JSON.
_TRUTH = {word: digit for digit, words in (("1", "True TRUE true"), ("0", "False FALSE false")) for word in words.split()}
_CHUNK = 20_000
# From so many bytes on pyarrow takes less time, its import included.
_LARGE = 1 << 20
_INTEGER = re.compile(r"[+-]?\d{1,18}")
# What is a number to people, such as 2,5 or 1,234.5 or 1.234,5.
_COMMAS = re.compile(r"[+-]?[\d.]*\d(,\d+)+(\.\d*)?")
_POINTS = "Numbers have a decimal point and no other marks, such as 1234.5."
# The same with a decimal comma.
_DECIMAL_COMMA = re.compile(r"[+-]?(\d+(,\d*)?|,\d+)([eE][+-]?\d+)?")
# Text that is packed, by the ending of the file's name: modules of the standard library with a function open.
_PACKED = {".gz": "gzip", ".bz2": "bz2", ".xz": "lzma"}


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
    ValueError
        The file cannot be used; the message names the column, the row and the remedy.
    ImportError
        A Parquet file, and no pyarrow to read it.
    """
    path = Path(checks.path("path", path, "houses.csv"))
    checks.choice("kind", kind, ("auto", "classes", "regression"))
    if isinstance(drop, str):
        raise TypeError(f"drop must be a list of columns' names, such as ['id']; got the text {drop!r}.")
    checks.choice("decimal", decimal, (".", ","))
    suffix = path.suffix.lower()
    packed = suffix in _PACKED
    if packed:
        suffix = path.with_suffix("").suffix.lower()
    reader = _READERS.get(suffix)
    if reader is None or (packed and reader is not _read_csv):
        raise ValueError(
            f"{path} is not a kind of file that can be read: its name must end in {', '.join(_READERS)}, where those of text "
            f"may have one of {', '.join(_PACKED)} after it."
        )
    if decimal != "." and reader is not _read_csv:
        raise ValueError(f"{path} has numbers, not text: decimal={decimal!r} is for text, such as .csv. Leave it out.")
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not a file.")
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    marks = {"decimal": decimal} if reader is _read_csv else {}
    X, y, features = reader(path, target, tuple(drop), **marks)
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
    if y.dtype.kind in "US" and all(map(_COMMAS.fullmatch, map(str, y.flat))):
        raise ValueError(f"{path}: the target {target!r} holds words such as {str(y[0])!r}. {_marks([str(y[0])])}")
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
    hint = " All names are numbers: is the line of names missing?" if all(map(_is_number, names)) else ""
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
    hint = f" {_marks(examples.values())}" if any(map(_COMMAS.fullmatch, examples.values())) else ""
    return f"{path}: feature column{plural} words, not numbers: {shown}. Encode them as numbers or drop them.{hint}"


def _marks(words: Iterable[str]) -> str:
    """Return how numbers are written, for words that look like numbers."""
    commas = any(map(_DECIMAL_COMMA.fullmatch, words))
    return _POINTS + (" If they have a decimal comma, pass decimal=',' or in a shell --decimal ,." if commas else "")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # which Python passes over


# ---- CSV


class _Layout(NamedTuple):
    """What the lines of a table are: names of columns, which of them are wanted for what, and the mark of decimals."""

    path: Path
    names: tuple[str, ...]
    target: str | None
    drop: tuple[str, ...]
    decimal: str

    def column(self, name: str, cells: Sequence[str]) -> np.ndarray:
        """Return a column as floats, or as words where a cell is one; the target stays as it is."""
        if self.decimal == ",":
            cells = [self.pointed(name, cell) for cell in cells]
        return np.array([cell.strip() for cell in cells]) if name == self.target else _numbers(cells, truth=True)

    def pointed(self, name: str, cell: str) -> str:
        """Return a number that has a decimal comma with a point, and any other cell as it is."""
        bare = cell.strip()
        if "." in bare and (_is_number(bare) or "," in bare) and _is_number(bare.replace(".", "").replace(",", ".")):
            raise ValueError(
                f"{self.path}: column {name!r} has {bare!r}, but with decimal=',' numbers have a decimal comma and no other "
                "marks, such as 1234,5. Write them so, leave decimal out if they have points, or drop the column."
            )
        return bare.replace(",", ".") if _DECIMAL_COMMA.fullmatch(bare) else cell


def _open(path: Path) -> TextIO:
    """Open a file of text, packed or not."""
    module = _PACKED.get(path.suffix.lower())
    if module is None:
        return path.open(newline="", encoding="utf-8-sig")
    try:
        return importlib.import_module(module).open(path, "rt", newline="", encoding="utf-8-sig")
    except ImportError as error:
        raise ImportError(f"{path} needs the module {module}, which this Python was built without. Unpack the file.") from error


def _read_csv(path: Path, target: str | None, drop: tuple[str, ...], decimal: str = "."):
    """Read a text table, a chunk of rows at a time so that a large file is never all strings at once."""
    try:
        with _open(path) as file:
            header = file.readline()
            if not header.strip():
                raise ValueError(f"{path} is empty: a table begins with a line of columns' names.")
            file.seek(0)
            bare = re.sub(r'"[^"]*"', "", header)
            delimiter = max(",;\t|", key=bare.count)
            reader = _reader(file, delimiter)
            names = _names(path, next(reader))
            _check_names(path, names, target, drop)
            layout = _Layout(path, names, target, drop, decimal)
            parts = list(_parts(layout, file, delimiter, reader.line_num))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8 (byte {error.start}): save it as UTF-8.") from error
    except csv.Error as error:
        raise ValueError(f"{path} is not a table of text: {error}.") from error
    except _damages(path) as error:
        raise ValueError(f"{path} cannot be unpacked: {str(error).rstrip('.')}. Is it cut short or of another kind?") from error
    if not parts:
        raise ValueError(f"{path} has no rows below the line of names.")
    columns = {name: _join([part[name] for part in parts]) for name in names if name not in drop}
    return _table(path, {name: _target_of_words(v) if name == target else v for name, v in columns.items()}, target)


def _reader(lines: Iterable[str], delimiter: str):
    """Return the standard library's reader of rows."""
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)


def _names(path: Path, cells: list[str]) -> tuple[str, ...]:
    names = tuple(cell.strip() for cell in cells)
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{path} has {names.count(name)} columns named {name!r}: names must differ.")
    return names


def _damages(path: Path) -> tuple[type[Exception], ...]:
    """Return what reading a packed file raises if that is damaged."""
    module = _PACKED.get(path.suffix.lower())
    if module is None:
        return ()
    return (EOFError, OSError, zlib.error, getattr(sys.modules.get(module), "LZMAError", EOFError))


def _parts(layout: _Layout, file: TextIO, delimiter: str, before: int) -> Iterator[dict]:
    """Yield the columns of some rows after the others; `before` lines of the file have been read."""
    lines: list[str] = []
    large = layout.path.stat().st_size >= _LARGE
    if large and layout.decimal == "." and importlib.util.find_spec("pyarrow"):
        while lines := list(itertools.islice(file, _CHUNK)):
            part = _arrow_columns(lines, delimiter, layout)
            if part is None:
                break
            before += len(lines)
            yield part
    for rows in _chunks(layout.path, _reader(itertools.chain(lines, file), delimiter), before, len(layout.names)):
        yield _columns(layout, rows)


def _chunks(path: Path, reader, before: int, width: int) -> Iterator[list[list[str]]]:
    """Yield lists of rows of `width` cells; blank lines are skipped."""
    rows: list[list[str]] = []
    for cells in reader:
        if not cells:
            continue
        if len(cells) != width:
            line = before + reader.line_num
            raise ValueError(f"{path}, line {line}: {counted(len(cells), 'cell')}, but the line of names has {width}.")
        rows.append(cells)
        if len(rows) == _CHUNK:
            yield rows
            rows = []
    if rows:
        yield rows


def _arrow_columns(lines: list[str], delimiter: str, layout: _Layout) -> dict | None:
    """Do what :func:`_columns` does, with the functions of pyarrow, in a fifth of the time.

    None if there are quotes or other than one cell for each name, or nothing but blank lines. pyarrow's own reader of CSV
    is not taken: its threads sometimes abort Python at its end.
    """
    import pyarrow
    from pyarrow import compute

    names = layout.names
    if '"' in "".join(lines):
        return None
    texts = compute.ascii_rtrim(pyarrow.array(lines), "\r\n")
    rows = compute.split_pattern(texts.filter(compute.not_equal(texts, "")), delimiter)
    if len(rows) == 0 or not compute.all(compute.equal(compute.list_value_length(rows), len(names))).as_py():
        return None
    columns, every = {}, rows.flatten()
    for i, name in enumerate(names):
        if name in layout.drop:
            continue
        cells, numbers = every.take(pyarrow.array(np.arange(i, len(every), len(names)))), np.full(1, np.nan)
        if name != layout.target:
            with contextlib.suppress(pyarrow.ArrowException):
                numbers = compute.ascii_trim_whitespace(cells).cast("float64").to_numpy()
        columns[name] = numbers if np.isfinite(numbers).all() else layout.column(name, cells.to_pylist())
    return columns


def _columns(layout: _Layout, rows: list[list[str]]) -> dict[str, np.ndarray]:
    """Turn rows of cells into columns."""
    cells = zip(layout.names, zip(*rows, strict=True), strict=True)
    return {name: layout.column(name, column) for name, column in cells if name not in layout.drop}


def _join(parts: list[np.ndarray]) -> np.ndarray:
    """Return a column's parts as one; of the words alone, if some are words."""
    return np.concatenate([part for part in parts if part.dtype.kind == "U"] or parts)


def _numbers(cells: Sequence[str], truth: bool = False) -> np.ndarray:
    """Return the cells as float64 with NaN in the gaps, or as the words alone if some are words.

    With `truth`, truth values are numbers.
    """
    if "_" not in "".join(cells):
        with contextlib.suppress(ValueError):
            return np.array(cells, np.float64)
    kept = {cell: "nan" if _is_gap(cell) else cell.strip() for cell in set(cells)}
    kept = {cell: _TRUTH.get(word, word) for cell, word in kept.items()} if truth else kept
    words = {cell: word for cell, word in kept.items() if not _is_number(word)}
    if words:
        return np.array([words[cell] for cell in cells if cell in words])
    return np.array([kept[cell] for cell in cells], np.float64)


def _is_gap(cell: str) -> bool:
    return cell.strip().lower() in _GAPS


def _target_of_words(cells: np.ndarray) -> np.ndarray:
    """Return a target's cells as int64 or float64 if all are numbers, with NaN in the gaps; else as words, "" in the gaps."""
    plain = cells.tolist()
    if all(map(_INTEGER.fullmatch, plain)):
        return cells.astype(np.int64)
    numbers = _numbers(plain)
    if numbers.dtype.kind == "f" and not np.isnan(numbers).all():
        return numbers
    # "none" may be a class, beside "some".
    gaps = {cell for cell in set(plain) if _is_gap(cell) and cell.strip().lower() != "none"}
    return np.where([cell in gaps for cell in plain], "", cells)


# ---- Parquet and npz


def _read_parquet(path: Path, target: str | None, drop: tuple[str, ...]):
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError(f"{path} is a Parquet file, which needs pyarrow: pip install pyarrow") from error
    try:
        table = parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} is not a readable Parquet file: {str(error).splitlines()[0]}") from error
    columns = dict(zip(_names(path, table.column_names), table.columns, strict=True))
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
                "Turn it into columns of numbers or drop it."
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
            shown = ", ".join(loaded)
            raise ValueError(f"{path} has no array {name!r}{nearest(name, loaded)}; its arrays are {shown}.")
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
