"""Networks as safetensors files: tensors that any program can read, and the architecture as JSON beside them.

Tensors are called ``layers.0.weight`` (in, out), ``layers.0.bias`` (out,) and ``layers.0.alpha`` (out,). The architecture is
what ``MLP.spec`` returns. Equal networks give equal files.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..embedding import Embedding
from ..errors import PairingWarning, shown
from ..layers import Dense
from ..network import MLP
from .container import DTYPES, KEY, check_keys, fail, is_int, read, write

__all__ = ["KEY", "load", "made", "save", "shapes_of"]

_LAYER_KEYS = frozenset(["activation", "bias", "dropout", "init", "width"])
_EMBEDDING_KEYS = frozenset(field.name for field in fields(Embedding))
# Of a layer that is so; others lack it.
_PARAMETRIC = "parametric"
_KEYS = frozenset(["dtype", "layers", "loss", "seed", "version"])


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
    if not np.isfinite(net.params).all():
        index = int(np.argmin(np.isfinite(net.params)))
        raise ValueError(f"net.params[{index}] is {net.params[index]}: only a network of finite numbers can be saved.")
    tensors = {}
    for name, view in _views(net):
        tensors[name] = np.ascontiguousarray(view)
    write(path, net.spec(), tensors)


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
        The file is missing (then it is a FileNotFoundError too), unreadable, cut, damaged, or holds no network; the message
        says which.
    TypeError
        If `path` is no path.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.load("no-such-file")
    Traceback (most recent call last):
        ...
    fastmlp.errors.ModelFileNotFoundError: no-such-file cannot be loaded: there is no such file.
    """
    spec, tensors = read(path, _check_network)
    net = made(path, spec)
    for name, view in _views(net):
        view[...] = tensors[name]
    return net


def _views(net: MLP) -> Iterator[tuple[str, NDArray]]:
    """Yield each tensor's name and numbers, in their order in a file."""
    for number, arrays in enumerate(zip(net.weights, net.biases, net.alphas, strict=True)):
        for name, view in zip(("weight", "bias", "alpha"), arrays, strict=True):
            if view is not None:
                yield f"layers.{number}.{name}", view


def _check_network(path: str | os.PathLike, spec: dict[str, Any]) -> dict[str, list[int]]:
    """Check a network's architecture; return the shapes of its tensors."""
    if "kinds" in spec:
        fail(path, "it holds a population, which fm.Population.load reads")
    check_keys(path, "the architecture", spec, _KEYS)
    if not is_int(spec["seed"]):
        fail(path, f"its seed is {shown(spec['seed'])}, not an integer")
    return shapes_of(path, spec)


def shapes_of(path: str | os.PathLike, spec: dict[str, Any]) -> dict[str, list[int]]:
    """Return the shape that each tensor of a network must have; its loss, dtype and layers are checked."""
    if spec["dtype"] not in tuple(DTYPES):
        fail(path, f"its dtype is {shown(spec['dtype'])}, not 'float32' or 'float64'")
    layers = spec["layers"]
    if not isinstance(layers, list) or len(layers) < 2 or not is_int(layers[0]) or layers[0] < 1:
        fail(path, "its layers are not a list of the number of inputs and at least one layer")
    for number, layer in enumerate(layers[1:]):
        if number == 0 and isinstance(layer, dict) and "numbers" in layer:
            check_keys(path, "layer 0", layer, _EMBEDDING_KEYS)
            continue
        more = {_PARAMETRIC} if isinstance(layer, dict) and _PARAMETRIC in layer else set()
        check_keys(path, f"layer {number}", layer, _LAYER_KEYS | more)
        if not isinstance(layer["activation"], (str, dict)):
            fail(path, f"layer {number} has the activation {shown(layer['activation'])}, not a name or a formula")
    check_keys(path, "the loss", spec["loss"], frozenset(["name", "parameter", "smoothing"]))
    shapes: dict[str, list[int]] = {}
    fan_in = spec["layers"][0]
    for number, layer in enumerate(spec["layers"][1:]):
        try:
            dense = Embedding(**layer) if "numbers" in layer else Dense(**layer)
            own = dense.shapes(fan_in)
        except (TypeError, ValueError, OverflowError) as error:
            fail(path, f"its layer {number} is wrong ({str(error).rstrip('.')})", error)
        shapes |= {f"layers.{number}.{name}": list(shape) for name, shape in own.items()}
        fan_in = dense.width
    return shapes


def made(path: str | os.PathLike, spec: dict[str, Any]) -> MLP:
    """Return a network of an architecture, with initial weights."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PairingWarning)  # whoever made the network has been told
            net = MLP.from_spec(spec)
    except (TypeError, ValueError, OverflowError, KeyError) as error:
        fail(path, f"its architecture is wrong ({str(error).rstrip('.')})", error)
    if net.spec() != spec:
        fail(path, "its architecture says the same thing in two ways that differ")
    return net
