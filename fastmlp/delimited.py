"""Columns from delimited text: CSV with the standard library, large files with pyarrow.

A column is an array of float64, or of str where the text has words. What a column means is not decided here, but in
``tables.py``; only the target's words are turned into numbers, if all of them are some.
"""

from __future__ import annotations

import contextlib
import csv
import importlib
import importlib.util
import itertools
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from .errors import counted

__all__ = ["COMMAS", "PACKED", "is_number", "marks", "read_columns"]

# Words that stand for a value that is not there.
_GAPS = frozenset(["", "na", "n/a", "nan", "null", "none", "?"])
# How truth values are written by pandas, by spreadsheets and in JSON.
_TRUTH = {word: digit for digit, words in (("1", "True TRUE true"), ("0", "False FALSE false")) for word in words.split()}
_CHUNK = 20_000
# From so many bytes on pyarrow takes less time, its import included.
_LARGE = 1 << 20
_INTEGER = re.compile(r"[+-]?\d{1,19}")
# What is a number to people, such as 2,5 or 1,234.5 or 1.234,5.
COMMAS = re.compile(r"[+-]?[\d.]*\d(,\d+)+(\.\d*)?")
_POINTS = "Numbers have a decimal point and no other marks, such as 1234.5."
# The same with a decimal comma.
_DECIMAL_COMMA = re.compile(r"[+-]?(\d+(,\d*)?|,\d+)([eE][+-]?\d+)?")
# Text that is packed, by the ending of the file's name: modules of the standard library with a function open.
PACKED = {".gz": "gzip", ".bz2": "bz2", ".xz": "lzma"}


def marks(words: Iterable[str]) -> str:
    """Return how numbers are written, for words that look like numbers."""
    commas = any(map(_DECIMAL_COMMA.fullmatch, words))
    return _POINTS + (" If they have a decimal comma, pass decimal=',' or in a shell --decimal ,." if commas else "")


def is_number(cell: str) -> bool:
    """Return whether a cell is a number as Python writes one."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # which Python passes over


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
        if "." in bare and (is_number(bare) or "," in bare) and is_number(bare.replace(".", "").replace(",", ".")):
            raise ValueError(
                f"{self.path}: column {name!r} has {bare!r}, but with decimal=',' numbers have a decimal comma and no other "
                "marks, such as 1234,5. Write them so, leave decimal out if they have points, or drop the column."
            )
        return bare.replace(",", ".") if _DECIMAL_COMMA.fullmatch(bare) else cell


def _open(path: Path) -> TextIO:
    """Open a file of text, packed or not."""
    module = PACKED.get(path.suffix.lower())
    if module is None:
        return path.open(newline="", encoding="utf-8-sig")
    try:
        return importlib.import_module(module).open(path, "rt", newline="", encoding="utf-8-sig")
    except ImportError as error:
        raise ImportError(f"{path} needs the module {module}, which this Python was built without. Unpack the file.") from error


def read_columns(
    path: Path, header: Callable[[list[str]], tuple[str, ...]], target: str | None, drop: tuple[str, ...], decimal: str = "."
) -> dict[str, np.ndarray]:
    """Return the columns of a text table by name, a chunk of rows at a time so that a large file is never all strings at once.

    Parameters
    ----------
    path : Path
        Text, packed or not.
    header : callable
        Takes the cells of the first line and returns the columns' names, or refuses them before anything else is read.
    target : str
        The column whose words are no gaps and no truth values.
    drop : tuple of str
        Columns to leave out, whatever they hold.
    decimal : {".", ","}
        The mark before the decimals.

    Raises
    ------
    ValueError
        If it is no table of text.
    """
    try:
        with _open(path) as file:
            first = file.readline()
            if not first.strip():
                raise ValueError(f"{path} is empty: a table begins with a line of columns' names.")
            file.seek(0)
            bare = re.sub(r'"[^"]*"', "", first)
            delimiter = max(",;\t|", key=bare.count)
            reader = _reader(file, delimiter)
            names = header(next(reader))
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
    return {name: _target_of_words(values) if name == target else values for name, values in columns.items()}


def _reader(lines: Iterable[str], delimiter: str):
    """Return the standard library's reader of rows."""
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)


def _damages(path: Path) -> tuple[type[Exception], ...]:
    """Return what reading a packed file raises if that is damaged."""
    module = PACKED.get(path.suffix.lower())
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
    words = {cell: word for cell, word in kept.items() if not is_number(word)}
    if words:
        return np.array([words[cell] for cell in cells if cell in words])
    return np.array([kept[cell] for cell in cells], np.float64)


def _is_gap(cell: str) -> bool:
    return cell.strip().strip("\0").lower() in _GAPS  # some databases write NUL where there is no value


def _target_of_words(cells: np.ndarray) -> np.ndarray:
    """Return a target's cells as int64 or float64 if all are numbers, with NaN in the gaps; else as words, "" in the gaps."""
    plain = cells.tolist()
    if all(map(_INTEGER.fullmatch, plain)):
        with contextlib.suppress(OverflowError):
            return cells.astype(np.int64)
    numbers = _numbers(plain)
    if numbers.dtype.kind == "f" and not np.isnan(numbers).all():
        return numbers
    # "none" may be a class, beside "some".
    gaps = {cell for cell in set(plain) if _is_gap(cell) and cell.strip().lower() != "none"}
    return np.where([cell in gaps for cell in plain], "", cells)
