"""Safetensors files with an architecture: tensors that any program can read, and JSON beside them.

The file's metadata has one key, ``fastmlp``: canonical JSON of the architecture, with the version of this format. Nothing in
a file is ever executed, and nothing is allocated before header, architecture and size agree.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

from .. import checks, files
from ..errors import ModelFileError, ModelFileNotFoundError, shown

__all__ = ["DTYPES", "KEY", "VERSION", "canonical", "check_keys", "fail", "is_int", "read", "write"]

KEY = "fastmlp"
VERSION = 1
# A name of a file, for messages.
_EXAMPLE = "model.safetensors"

DTYPES = {"float32": ("F32", 4), "float64": ("F64", 8)}
# A header holds about 250 bytes a layer: what claims to be longer than this is no network.
_LONGEST_HEADER = 16 << 20


def read(
    path: str | os.PathLike, check: Callable[[Any, dict[str, Any]], dict[str, list[int]]]
) -> tuple[dict[str, Any], dict[str, NDArray]]:
    """Return the architecture and the tensors of a file, which are whole and finite.

    `check` gets the file's path and architecture, and returns the shapes of the tensors that belong to that, in their order.
    """
    import safetensors
    import safetensors.numpy

    path = checks.path("path", path, _EXAMPLE)
    try:
        with _open(path) as file:
            size = os.fstat(file.fileno()).st_size
            start = _start(path, file, size)
            header = _header(path, start[8:])
            spec = _architecture(path, header)
            digest = spec.pop("digest", None)
            shapes = check(path, spec)
            expected = len(start) + _check_tensors(path, header, shapes, spec["dtype"])
            if size != expected:
                fail(path, f"it has {size} bytes, not {expected}: it is {'cut short' if size < expected else 'too long'}")
            content = start + file.read(expected)
    except FileNotFoundError as error:
        raise ModelFileNotFoundError(f"{os.fspath(path)} cannot be loaded: there is no such file.") from error
    except OSError as error:
        fail(path, f"it cannot be read ({error.strerror or error})", error)
    try:
        tensors = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, ValueError) as error:
        fail(path, f"it is damaged or cut short ({error})", error)
    tensors = {name: tensors[name] for name in shapes}
    if digest is not None and digest != _digest(spec, tensors):
        fail(path, "it is damaged: its architecture and numbers are not those that were saved")
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        fail(path, "it has parameters that are infinite or NaN")
    return {key: value for key, value in spec.items() if key != "version"}, tensors


def write(path: str | os.PathLike, spec: dict[str, Any], tensors: dict[str, NDArray]) -> None:
    """Write an architecture and its tensors whole or not at all, with a hash of both."""
    import safetensors.numpy

    path = checks.path("path", path, _EXAMPLE)
    spec = {"version": VERSION, **spec}
    architecture = canonical({"digest": _digest(spec, tensors), **spec})
    content = safetensors.numpy.save(tensors, {KEY: architecture})
    if (length := struct.unpack("<Q", content[:8])[0]) > _LONGEST_HEADER:
        raise ValueError(
            f"the header would have {length:,} bytes, and a file's has {_LONGEST_HEADER:,} at most: too many networks "
            "of too many kinds. Save parts of them, by population.select."
        )
    files.write(path, content)


def _digest(spec: dict[str, Any], tensors: dict[str, NDArray]) -> str:
    """Return the SHA-256 of an architecture and its tensors one after the other, in hexadecimal."""
    found = hashlib.sha256(canonical(spec).encode())
    for tensor in tensors.values():
        found.update(tensor.tobytes())
    return found.hexdigest()


def fail(path: str | os.PathLike, why: str, cause: BaseException | None = None) -> NoReturn:
    """Raise for a file that cannot be loaded."""
    raise ModelFileError(f"{os.fspath(path)} cannot be loaded: {why}.") from cause


def canonical(value: Any) -> str:
    """Return JSON with sorted keys and without spaces: the same text for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _open(path: str | os.PathLike) -> BinaryIO:
    """Open a file; never a folder, a pipe or a device."""
    place = Path(path)
    if place.is_dir():
        fail(path, "it is a folder")
    if place.exists() and not place.is_file():
        fail(path, "it is not a regular file")
    return place.open("rb")


def _start(path: str | os.PathLike, file: BinaryIO, size: int) -> bytes:
    """Return a safetensors file's first part: eight bytes with the header's length, and the header."""
    start = file.read(8)
    if len(start) < 8:
        fail(path, f"it has {len(start)} bytes, too few for a safetensors file")
    length = struct.unpack("<Q", start)[0]
    if length > _LONGEST_HEADER:
        fail(path, f"it is not a safetensors file of a network (its header would have {length} bytes)")
    if length > size - 8:
        fail(path, "it is cut short within its header, or not a safetensors file")
    return start + file.read(length)


def _header(path: str | os.PathLike, content: bytes) -> dict[str, Any]:
    """Return what a safetensors header says."""
    try:
        header = _parse(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        fail(path, "its header is no JSON: it is damaged, or not a safetensors file", error)
    if not isinstance(header, dict):
        fail(path, "its header is no JSON object: it is damaged, or not a safetensors file")
    return header


def _parse(text: str) -> Any:
    """Return what JSON says; refuses NaN and keys given twice."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            raise ValueError("a key is given twice")
        return found

    def constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is no number")

    return json.loads(text, object_pairs_hook=pairs, parse_constant=constant)


def _architecture(path: str | os.PathLike, header: dict[str, Any]) -> dict[str, Any]:
    """Return the architecture in a header's metadata, a dict of this version."""
    metadata = header.get("__metadata__")
    text = metadata.get(KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        fail(path, "it is a safetensors file of another program (its metadata has no key 'fastmlp')")
    try:
        spec = _parse(text)
    except (ValueError, RecursionError) as error:
        fail(path, f"its architecture is no JSON ({error})", error)
    if not isinstance(spec, dict):
        fail(path, "its architecture is no JSON object")
    version = spec.get("version")
    if version != VERSION or isinstance(version, bool):
        fail(path, f"it is in version {shown(version)} of the format, and this fastmlp reads version {VERSION}")
    return spec


def is_int(value: Any) -> bool:
    """Whether JSON has a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_keys(path: str | os.PathLike, what: str, value: Any, keys: frozenset[str]) -> None:
    """Refuse what is no dict with these keys."""
    if not isinstance(value, dict):
        fail(path, f"{what} is {shown(value)}, not a JSON object")
    unknown, missing = sorted(set(value) - keys), sorted(keys - set(value))
    if unknown:
        fail(path, f"{what} has the unknown key {shown(unknown[0])}")
    if missing:
        fail(path, f"{what} lacks the key {missing[0]!r}")


def _check_tensors(path: str | os.PathLike, header: dict[str, Any], shapes: dict[str, list[int]], dtype: str) -> int:
    """Refuse tensors that are not the architecture's; return how many bytes they have."""
    names = set(header) - {"__metadata__"}
    if missing := sorted(set(shapes) - names):
        fail(path, f"it lacks the tensor {missing[0]!r}")
    if unknown := sorted(names - set(shapes)):
        fail(path, f"it has the tensor {shown(unknown[0])}, which its architecture does not have")
    code, itemsize = DTYPES[dtype]
    total = 0
    for name, shape in shapes.items():
        entry = header[name] if isinstance(header[name], dict) else {}
        if entry.get("dtype") != code:
            fail(path, f"the tensor {name!r} holds {shown(entry.get('dtype'))}, but its architecture says {code!r}")
        if entry.get("shape") != shape:
            fail(path, f"the tensor {name!r} has shape {shown(entry.get('shape'))}, but its architecture says {shape}")
        total += itemsize * math.prod(shape)
    return total
