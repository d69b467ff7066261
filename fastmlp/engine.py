"""The engine: compiled kernels where numba is installed, plain NumPy otherwise. The only importer of what runs in either."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np

from . import checks
from .progress import watched

try:
    from .kernels.aside import aside
except ImportError:  # a clone that is not installed

    def aside(work: Any, *args: Any) -> Any:
        """work(*args)."""
        return work(*args)


__all__ = [
    "active", "active_for", "active_name", "alone", "at_most", "define", "info", "set_threads", "threads", "use_engine",
    "warmup",
]  # fmt: skip

ENGINES = ("numba", "numpy")
MOST_THREADS = 1024

_name: str | None = None
_module: ModuleType | None = None
# Other modules of the engines' packages, which are imported when they are asked for.
_parts: dict[tuple[str, str], ModuleType] = {}
_n_threads: int | None = None
# Activations that are not built in: number -> the function of an engine's module `custom` that enters it, and its arguments.
_definitions: dict[int, tuple[str, tuple]] = {}
_entered: set[tuple[str, int]] = set()
# What an engine that was chosen later said to those that it cannot compile.
_refused: dict[tuple[str, int], str] = {}
# Changes whenever scratch memory that was sized before may be too small.
generation = 0


def use_engine(name: str | None = None) -> None:
    """Choose the engine for all networks of this process.

    Parameters
    ----------
    name : {"numba", "numpy"}, optional
        Compiled kernels, or the NumPy reference, which gives the same results but for rounding. None takes what the
        environment variable FASTMLP_ENGINE names, else numba if it is installed and may compile. If this function was never
        called, the first network that computes, or the first activation of your own, chooses as None does.

    Raises
    ------
    TypeError, ValueError
        If there is no such engine.
    ImportError
        If numba is asked for and not installed.
    RuntimeError
        If numba is asked for and NUMBA_DISABLE_JIT forbids it to compile.

    Notes
    -----
    Activations that are pairs of functions, and that Numba cannot compile, do not stand in its way: networks that have one
    raise a TypeError where they are to compute.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.use_engine("numpy")
    >>> fm.use_engine()
    """
    global _name, _module, generation
    argument = "the engine"
    if name is None:
        name = os.environ.get("FASTMLP_ENGINE") or None
        argument = "the environment variable FASTMLP_ENGINE"
    installed = _installed("numba")
    if name is None:
        name = "numba" if installed and _compiles() else "numpy"
    checks.choice(argument, name, ENGINES)
    if name == "numba" and not installed:
        raise ImportError("the engine 'numba' needs numba: pip install numba. The engine 'numpy' works without it.")
    if name == "numba" and not _compiles():
        raise RuntimeError(
            f"{argument} is 'numba', whose kernels run compiled only, but NUMBA_DISABLE_JIT is set. "
            "Unset it before Python starts, or use the engine 'numpy'."
        )
    package = "fastmlp.kernels" if name == "numba" else "fastmlp.reference"
    try:
        module = _imported(f"{package}.train")
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ImportError("the kernels are found where fastmlp is installed: pip install -e . in its folder.") from error
    if name == "numba":
        jit: Any = importlib.import_module("fastmlp.kernels.jit")
        jit.on_compile = _announce
        importlib.import_module("fastmlp.kernels.threads").set_threads(_n_threads)
    for number, definition in list(_definitions.items()):
        if (package, number) not in _refused:
            try:
                _enter(package, number, *definition)
            except Exception as error:  # whatever compiling a user's functions raises: networks without them go on
                _refused[package, number] = str(error)
    _name, _module = name, module
    generation += 1


def define(number: int, how: str, *definition: Any) -> None:
    """Give an activation that is not built in its number, in the engine chosen now and in those chosen later.

    Parameters
    ----------
    number : int
        From FIRST_CUSTOM of ``reference/ids.py`` on.
    how : str
        "define" or "define_functions", of ``reference/custom.py``.
    *definition
        What that takes.
    """
    # Into the engine first: what that cannot compile must not be tried again whenever one is chosen.
    _enter(active().__package__, number, how, definition)
    _definitions[number] = how, definition


def _enter(package: str, number: int, how: str, definition: tuple) -> None:
    if (package, number) not in _entered:
        getattr(_imported(f"{package}.custom"), how)(number, *definition)
        _entered.add((package, number))


def _installed(package: str) -> bool:
    """Whether a package can be found; an import hook that keeps it out counts as well."""
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def _compiles() -> bool:
    """Whether numba, which is installed, may compile."""
    return not _imported("numba").config.DISABLE_JIT


def _imported(name: str) -> Any:
    """Import a module where no Ctrl-C and no fork comes in between: Numba is not imported a second time after that."""
    return aside(importlib.import_module, name)


def active() -> Any:
    """Return the module with the engine's functions; choose one if none has been chosen yet."""
    if _module is None:
        use_engine()
    return _module


def active_for(activations: Iterable[Any]) -> Any:
    """Return the module with the engine's functions, for a network of these activations.

    Raises
    ------
    TypeError
        If one of them is a pair of functions that the engine cannot compile.
    """
    module = active()
    for activation in activations if _refused else ():
        refusal = _refused.get((module.__package__, activation.id))
        if refusal is not None:
            raise TypeError(f"activation {activation.name!r}: {refusal}")
    return module


def part(name: str) -> Any:
    """Return another module of the engine, such as "tape"."""
    package = active().__package__
    found = _parts.get((package, name))
    if found is None:
        found = _parts[package, name] = _imported(f"{package}.{name}")
    return found


def active_name() -> str:
    """Return "numba" or "numpy"."""
    active()
    assert _name is not None
    return _name


def _announce() -> None:
    """Tell whoever watches a terminal why the first call takes a while."""
    if watched():
        print("fastmlp: compiling its kernels for this CPU, once; this takes up to half a minute.", file=sys.stderr)


def set_threads(n: int | None) -> None:
    """Use `n` threads for networks that are large enough; None for as many as this process has cores.

    Results do not depend on it, to the last bit.

    Parameters
    ----------
    n : int or None
        From 1 to 1024.

    Raises
    ------
    TypeError, ValueError
        If `n` is not a whole number from 1 to 1024.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.set_threads(1)
    >>> fm.set_threads(None)
    """
    global _n_threads, generation
    _n_threads = None if n is None else checks.integer("n", n, 1, MOST_THREADS)
    if active_name() == "numba":
        importlib.import_module("fastmlp.kernels.threads").set_threads(_n_threads)
    generation += 1


def threads() -> int:
    """Return how many threads a large network uses here; the NumPy engine leaves that to NumPy's BLAS and says 1."""
    if active_name() == "numpy":
        return 1
    return importlib.import_module("fastmlp.kernels.threads").threads_here()


def alone() -> contextlib.AbstractContextManager[None]:
    """Return a context in which this Python thread's networks use one thread each, as where a sweep trains one per core."""
    return at_most(1)


def at_most(n: int) -> contextlib.AbstractContextManager[None]:
    """Return a context in which this Python thread's networks use `n` threads each or fewer."""
    if active_name() == "numpy":
        return contextlib.nullcontext()
    return importlib.import_module("fastmlp.kernels.threads").at_most(n)


def warmup(dtypes: str | tuple[str, ...] = ("float32", "float64"), special: bool = False) -> None:
    """Compile what networks and populations need, or load it from the cache, before time matters.

    The tapes of ``fm.scalar.compile`` are not among it.

    Parameters
    ----------
    dtypes : str or tuple of str
        The number types to prepare: "float32", "float64" or both.
    special : bool
        Whether networks with an embedding or parametric layers are prepared for too, such as those of ``preset="td"``. They
        have kernels of their own, which take as long to compile again.

    Raises
    ------
    TypeError, ValueError
        If there is another type among them, or `special` is neither True nor False.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.warmup(("float32",))
    """
    from .layers import Dense
    from .network import MLP
    from .population import Population

    kinds: list[list[Any]] = [[1, 1], [1, Dense(1, parametric=True), 1]] if checks.flag("special", special) else [[1, 1]]
    for dtype in [checks.floating(name) for name in ([dtypes] if isinstance(dtypes, str) else dtypes)]:
        X = np.zeros((2, 1), dtype)
        for layers in kinds:
            net = MLP(layers, dtype=dtype)
            net.fit(X, X, epochs=1, batch_size=1, progress=False)
            net.backward(X, X)
            net.step("sgd")
            net.predict(X)
        active().finite(X)
        population = Population([1, 1], size=16, dtype=dtype)
        population.fit(X, X, epochs=1, batch_size=1, progress=False)
        population.loss(X, X)
        population.predict(X)


def info() -> dict[str, Any]:
    """Return what ``fastmlp info`` shows: versions, CPU, lanes, engine, threads, and where compiled kernels are kept."""
    import platform

    from . import __version__

    facts: dict[str, Any] = {
        "fastmlp": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "engine": active_name(),
        "threads": threads(),
        "cores": os.cpu_count(),
        "platform": platform.platform(),
    }
    if active_name() == "numba":
        facts |= _kernel_facts()
    return facts


def _kernel_facts() -> dict[str, Any]:
    import llvmlite
    import numba
    from llvmlite import binding

    simd = importlib.import_module("fastmlp.kernels.simd")
    jit = importlib.import_module("fastmlp.kernels.jit")
    facts = {
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "cpu": numba.config.CPU_NAME or binding.get_host_cpu_name(),
        "vector": f"{8 * simd.VECTOR_BYTES} bits: {simd.LANES32} lanes of float32, {simd.LANES64} of float64",
        "cache": jit.cache_folder() or "none: no folder is writable, so every process compiles",
    }
    with contextlib.suppress(OSError):
        facts["cached"] = f"{len(jit.cached_files())} compiled kernels"
    return facts
