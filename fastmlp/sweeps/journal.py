"""The journal of a sweep: a line for each network that is done, on the disk before the next one counts.

A store is a folder. Its ``journal.jsonl`` begins with a line that says which data and options it is of; ``networks`` has
the best networks as safetensors files. A process that is killed leaves at most a torn last line, which is cut off when
the sweep is started again.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import shown
from ..metrics import METRICS, Metric
from .problem import BY_LOSS, Problem

__all__ = ["Journal", "header"]

NAME = "journal.jsonl"
VERSION = 1
# What the first line begins with, of which a killed process may have written only a part.
_BEGIN = b'{"sweep"'


class Journal:
    """The open journal of a store, which no other process can open at the same time.

    Parameters
    ----------
    store : path
        The folder; made if it is not there.
    header : dict
        What the sweep is: data and options by name.

    Attributes
    ----------
    lines : list of dict
        What was in it already.

    Raises
    ------
    OSError
        The store cannot be written, or another process is using it.
    ValueError
        It is of another sweep, or damaged.
    """

    def __init__(self, store: str | os.PathLike, header: dict[str, Any]) -> None:
        self.folder = Path(store)
        self.path = self.folder / NAME
        self._file = _open(self.folder, self.path)
        try:
            self.lines = self._read(header)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        """Use it."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it, and let others open it."""
        self._file.close()

    def append(self, lines: Iterable[dict[str, Any]]) -> None:
        """Write lines; they are on the disk when this returns."""
        self._file.write(b"".join(_line(line) for line in lines))
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self, header: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the lines after the first, which has to be `header`; write that into an empty file."""
        self._file.seek(0)
        content = self._file.read()
        if not _begun(content):  # before anything is cut off
            raise self._foreign()
        # Lines are written whole, with their end last: what comes after the last end was torn.
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            self._file.truncate(whole)
        lines = list(self._parsed(content[:whole]))
        if not lines:
            self.append([header])
            _sync(self.folder)
            return []
        self._check(lines[0], header)
        self._file.seek(0, os.SEEK_END)
        return lines[1:]

    def _parsed(self, content: bytes) -> Iterator[dict[str, Any]]:
        ends = content.count(b"\n")
        for number, line in enumerate(content.splitlines(), 1):
            try:
                value = json.loads(line)
                if not isinstance(value, dict):
                    raise ValueError("it is no JSON object")
                yield value
            except ValueError as error:
                if number == ends:  # some file systems leave zeros where a line was being written
                    self._file.truncate(len(content) - len(line) - 1)
                    return
                raise self.damaged(number, ends, error) from error

    def damaged(self, number: int, ends: int, why: Exception) -> ValueError:
        """Return what to raise for a line, the first one being 1, of so many."""
        remedy = "Delete that line to train what it was of again, or pass another store."
        if number == 1:
            remedy = "It says which data and options the others are of, which are of no use without it. Pass another store."
        return ValueError(f"{self.path} is damaged in line {number} of {ends} ({str(why).rstrip('.')}). {remedy}")

    def _foreign(self) -> ValueError:
        return ValueError(f"{self.path} is no journal of a sweep. Pass another store.")

    def _check(self, found: dict[str, Any], wanted: dict[str, Any]) -> None:
        """Raise unless the journal is of this sweep."""
        if "sweep" not in found:
            raise self._foreign()
        if "own_metric" not in found and found.get("metric") not in METRICS:  # versions before wrote its name alone
            wanted = {key: value for key, value in wanted.items() if key != "own_metric"}
        if "halving" not in found:  # versions before wrote its rounds alone
            wanted = {key: value for key, value in wanted.items() if key != "halving"}
        with contextlib.suppress(KeyError, TypeError, ValueError, SyntaxError):  # as a dict was given, before
            found |= {"class_weight": _weights(ast.literal_eval(found["class_weight"]))}
        if found == json.loads(_line(wanted)):
            return
        differing = []
        for key in dict.fromkeys([*found, *wanted]):
            was, now = found.get(key), json.loads(json.dumps(wanted.get(key)))
            if was != now:
                differing.append(f"{key} (there {shown(was)}, here {shown(now)})")
        raise ValueError(
            f"{self.path} is of another sweep: they differ in {', '.join(differing)}. Pass the same data and options to go on "
            "with it, or another store to begin anew."
        )


def header(problem: Problem, options: dict[str, Any], settings: Iterable[Any]) -> dict[str, Any]:
    """Return a journal's first line: everything that results depend on.

    Settings are many, so it has their number and a hash; so has the data.
    """
    shown = [repr(setting) for setting in settings]
    digest = hashlib.sha256("\n".join(shown).encode()).hexdigest()
    optional = {
        "sample_weight": f"sha256 {hashlib.sha256(problem.weight.data).hexdigest()[:32]}" if problem.weight.size else None,
        "class_weight": None if problem.class_weight is None else _weights(problem.class_weight),
        "own_metric": _own(problem.metric),
    }
    data = f"{len(problem.X)} rows of {problem.X.shape[1]} columns, sha256 {problem.digest()[:32]}"
    given = {name: value for name, value in optional.items() if value is not None}
    return {"sweep": VERSION, "data": data, **given, "settings": f"{len(shown)}, sha256 {digest[:32]}", **options}


def _weights(class_weight: Any) -> str:
    """Return class weights in words, which are the same for equal ones."""
    if isinstance(class_weight, Mapping):
        class_weight = dict(sorted((int(index), float(weight)) for index, weight in class_weight.items()))
    return repr(class_weight)


def _own(metric: Metric) -> str | None:
    """Return what tells a metric of the user's own from others of its name; None for one of the table and for the loss."""
    if metric in (*METRICS.values(), BY_LOSS):
        return None
    function = getattr(metric.function, "__qualname__", type(metric.function).__qualname__)
    return f"{function}, {metric.kind}, {'higher' if metric.higher_is_better else 'lower'} is better"


def _begun(content: bytes) -> bool:
    """Return whether a file begins with a header or with as much of one as an interrupted first write leaves."""
    first = content.partition(b"\n")[0].rstrip(b"\0")
    return first[: len(_BEGIN)] == _BEGIN[: len(first)]


def _open(folder: Path, path: Path) -> BinaryIO:
    """Return the file, open and locked."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+b")
    except OSError as error:
        what = "is a file" if folder.is_file() else f"cannot be written ({error.strerror or error})"
        why = f"store={str(folder)!r} {what}. Pass a folder that can be written."
        raise type(error)(why) from error
    try:
        _lock(file)
    except OSError:
        file.close()
        raise BlockingIOError(
            f"store={str(folder)!r} is in use by another process. Wait for it to end, or pass another store."
        ) from None
    return file


def _lock(file: BinaryIO) -> None:
    """Take the file for this process; the lock goes with the process, however that ends."""
    if os.name == "nt":
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        import fcntl

        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sync(folder: Path) -> None:
    """Put a new file's name on the disk too."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _line(value: dict[str, Any]) -> bytes:
    """Return a line of strict JSON, in which NaN and infinities are words."""
    return json.dumps(_plain(value), allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # "nan", "inf", "-inf": float() reads them
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
