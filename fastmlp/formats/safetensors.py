"""Networks as safetensors files: tensors that any program can read, and the architecture as JSON beside them.

Tensors are called ``layers.0.weight`` (in, out) and ``layers.0.bias`` (out,). The file's metadata has one key,
``fastmlp``: canonical JSON of what ``MLP.spec`` returns, with the version of this format. Equal networks give equal
files. Nothing in a file is ever executed, and nothing is allocated before header, architecture and size agree.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
import warnings
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np

from ..errors import ModelFileError, PairingWarning
from ..layers import Dense
from ..network import MLP
from . import files

__all__ = ["load", "save"]

KEY = "fastmlp"
VERSION = 1

_DTYPES = {"float32": ("F32", 4), "float64": ("F64", 8)}
_LAYER_KEYS = frozenset(["activation", "bias", "dropout", "init", "width"])
_KEYS = frozenset(["dtype", "layers", "loss", "seed", "version"])
# A header holds about 250 bytes a layer: what claims to be longer than this is no network.
_LONGEST_HEADER = 16 << 20


def save(net: MLP, path: str | os.PathLike) -> None:
    """Write a network to a file, whole or not at all; an existing file keeps its mode.

    Architecture, parameters and seed are kept; the history and the optimizer's state are not. An initializer that is a
    function of your own is kept as "auto". An activation of your own is kept as its formula, a tree of operations.

    Raises
    ------
    ValueError
        A parameter is infinite or NaN, or an activation is a pair of Python functions.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> import fastmlp as fm, tempfile
    >>> net = fm.MLP([2, 3, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.save(f"{folder}/net.safetensors")
    ...     again = fm.load(f"{folder}/net.safetensors")
    >>> bool((again.params == net.params).all())
    True
    """
    import safetensors.numpy

    if not np.isfinite(net.params).all():
        index = int(np.argmin(np.isfinite(net.params)))
        raise ValueError(f"net.params[{index}] is {net.params[index]}: only a network of finite numbers can be saved.")
    tensors = {}
    for number, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True)):
        tensors[f"layers.{number}.weight"] = np.ascontiguousarray(weight)
        if bias is not None:
            tensors[f"layers.{number}.bias"] = np.ascontiguousarray(bias)
    spec = {"version": VERSION, **net.spec()}
    architecture = _canonical({"digest": _digest(spec, net), **spec})
    files.write(path, safetensors.numpy.save(tensors, {KEY: architecture}))


def load(path: str | os.PathLike) -> MLP:
    """Return the network that a file holds; it predicts bit for bit what the saved one did.

    Parameters
    ----------
    path : path
        What :meth:`fastmlp.MLP.save` wrote.

    Returns
    -------
    MLP
        Its training begins anew from these parameters: the file has no optimizer's state, no counters and no history.

    Raises
    ------
    ModelFileError
        The file is missing, unreadable, cut, damaged, or not written by :func:`save`; the message says which.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.load("no-such-file")
    Traceback (most recent call last):
        ...
    fastmlp.errors.ModelFileError: no-such-file is no network that can be loaded: there is no such file.
    """
    try:
        with _open(path) as file:
            size = os.fstat(file.fileno()).st_size
            start = _start(path, file, size)
            header = _header(path, start[8:])
            spec = _architecture(path, header)
            expected = len(start) + _check_tensors(path, header, _shapes(path, spec), spec["dtype"])
            if size != expected:
                _fail(path, f"it has {size} bytes, not {expected}: it is {'cut short' if size < expected else 'too long'}")
            content = start + file.read(expected)
    except OSError as error:
        _fail(path, f"it cannot be read ({error.strerror or error})", error)
    digest = spec.pop("digest", None)
    net = _build(path, spec, content)
    if digest is not None and digest != _digest(spec, net):
        _fail(path, "it is damaged: its architecture and numbers are not those that were saved")
    return net


def _digest(spec: dict[str, Any], net: MLP) -> str:
    """Return the SHA-256 of architecture and parameters, in hexadecimal."""
    return hashlib.sha256(_canonical(spec).encode() + net.params.tobytes()).hexdigest()


def _fail(path: str | os.PathLike, why: str, cause: BaseException | None = None) -> NoReturn:
    raise ModelFileError(f"{os.fspath(path)} is no network that can be loaded: {why}.") from cause


def _canonical(value: Any) -> str:
    """Return JSON with sorted keys and without spaces: the same text for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _open(path: str | os.PathLike) -> BinaryIO:
    """Open a file; never a folder, a pipe or a device."""
    place = Path(path)
    if place.is_dir():
        _fail(path, "it is a folder")
    if not place.exists():
        _fail(path, "there is no such file")
    if not place.is_file():
        _fail(path, "it is not a regular file")
    return place.open("rb")


def _start(path: str | os.PathLike, file: BinaryIO, size: int) -> bytes:
    """Return a safetensors file's first part: eight bytes with the header's length, and the header."""
    start = file.read(8)
    if len(start) < 8:
        _fail(path, f"it has {len(start)} bytes, too few for a safetensors file")
    length = struct.unpack("<Q", start)[0]
    if length > _LONGEST_HEADER:
        _fail(path, f"it is not a safetensors file of a network (its header would have {length} bytes)")
    if length > size - 8:
        _fail(path, "it is cut short within its header, or not a safetensors file")
    return start + file.read(length)


def _header(path: str | os.PathLike, content: bytes) -> dict[str, Any]:
    """Return what a safetensors header says."""
    try:
        header = _parse(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        _fail(path, "its header is no JSON: it is damaged, or not a safetensors file", error)
    if not isinstance(header, dict):
        _fail(path, "its header is no JSON object: it is damaged, or not a safetensors file")
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
    """Return the architecture in a header's metadata, with its keys and their types checked."""
    metadata = header.get("__metadata__")
    text = metadata.get(KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        _fail(path, "it is a safetensors file of another program (its metadata has no key 'fastmlp')")
    try:
        spec = _parse(text)
    except (ValueError, RecursionError) as error:
        _fail(path, f"its architecture is no JSON ({error})", error)
    if not isinstance(spec, dict):
        _fail(path, "its architecture is no JSON object")
    version = spec.get("version")
    if version != VERSION or isinstance(version, bool):
        _fail(path, f"it is in version {_short(version)} of the format, and this fastmlp reads version {VERSION}")
    _check_keys(path, "the architecture", spec, _KEYS | ({"digest"} & set(spec)))
    if spec["dtype"] not in tuple(_DTYPES):
        _fail(path, f"its dtype is {_short(spec['dtype'])}, not 'float32' or 'float64'")
    if not _is_int(spec["seed"]):
        _fail(path, f"its seed is {_short(spec['seed'])}, not an integer")
    layers = spec["layers"]
    if not isinstance(layers, list) or len(layers) < 2 or not _is_int(layers[0]) or layers[0] < 1:
        _fail(path, "its layers are not a list of the number of inputs and at least one layer")
    for number, layer in enumerate(layers[1:]):
        _check_keys(path, f"layer {number}", layer, _LAYER_KEYS)
        if not isinstance(layer["activation"], (str, dict)):
            _fail(path, f"layer {number} has the activation {_short(layer['activation'])}, not a name or a formula")
    _check_keys(path, "the loss", spec["loss"], frozenset(["name", "parameter", "smoothing"]))
    return spec


def _short(value: Any) -> str:
    """Return a value for a message: a damaged file may hold long ones."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_keys(path: str | os.PathLike, what: str, value: Any, keys: frozenset[str]) -> None:
    if not isinstance(value, dict):
        _fail(path, f"{what} is {_short(value)}, not a JSON object")
    unknown, missing = sorted(set(value) - keys), sorted(keys - set(value))
    if unknown:
        _fail(path, f"{what} has the unknown key {_short(unknown[0])}")
    if missing:
        _fail(path, f"{what} lacks the key {missing[0]!r}")


def _shapes(path: str | os.PathLike, spec: dict[str, Any]) -> dict[str, list[int]]:
    """Return the shape that each tensor must have."""
    shapes: dict[str, list[int]] = {}
    fan_in = spec["layers"][0]
    for number, layer in enumerate(spec["layers"][1:]):
        try:
            dense = Dense(**layer)
        except (TypeError, ValueError, OverflowError) as error:
            _fail(path, f"its layer {number} is wrong ({str(error).rstrip('.')})", error)
        shapes[f"layers.{number}.weight"] = [fan_in, dense.width]
        if dense.bias:
            shapes[f"layers.{number}.bias"] = [dense.width]
        fan_in = dense.width
    return shapes


def _check_tensors(path: str | os.PathLike, header: dict[str, Any], shapes: dict[str, list[int]], dtype: str) -> int:
    """Refuse tensors that are not the architecture's; return how many bytes they have."""
    names = set(header) - {"__metadata__"}
    if missing := sorted(set(shapes) - names):
        _fail(path, f"it lacks the tensor {missing[0]!r}")
    if unknown := sorted(names - set(shapes)):
        _fail(path, f"it has the tensor {_short(unknown[0])}, which its architecture does not have")
    code, itemsize = _DTYPES[dtype]
    total = 0
    for name, shape in shapes.items():
        entry = header[name] if isinstance(header[name], dict) else {}
        if entry.get("dtype") != code:
            _fail(path, f"the tensor {name!r} holds {_short(entry.get('dtype'))}, but its architecture says {code!r}")
        if entry.get("shape") != shape:
            _fail(path, f"the tensor {name!r} has shape {_short(entry.get('shape'))}, but its architecture says {shape}")
        total += itemsize * math.prod(shape)
    return total


def _build(path: str | os.PathLike, spec: dict[str, Any], content: bytes) -> MLP:
    """Return the network, with the parameters in."""
    import safetensors
    import safetensors.numpy

    try:
        tensors = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, ValueError) as error:
        _fail(path, f"it is damaged or cut short ({error})", error)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PairingWarning)  # whoever made the network has been told
            net = MLP.from_spec({key: value for key, value in spec.items() if key != "version"})
    except (TypeError, ValueError, OverflowError, KeyError) as error:
        _fail(path, f"its architecture is wrong ({str(error).rstrip('.')})", error)
    if {"version": VERSION, **net.spec()} != spec:
        _fail(path, "its architecture says the same thing in two ways that differ")
    for number, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True)):
        weight[...] = tensors[f"layers.{number}.weight"]
        if bias is not None:
            bias[...] = tensors[f"layers.{number}.bias"]
    if not np.isfinite(net.params).all():
        _fail(path, "it has parameters that are infinite or NaN")
    return net
