"""Numba's flags and the code cache: the one place where the project says how it compiles.

``entry`` marks a function that Python calls: it releases the GIL and is cached on disk. ``inner`` marks a function that
only other kernels call: it gets no Python wrapper and lives in its callers' cache entries. Neither ever sets fastmath.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
from pathlib import Path

import llvmlite
import numba
import numpy as np
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.extending import is_jitted

from .aside import aside

_FLAGS = {"nogil": True, "error_model": "numpy"}


@functools.cache
def sources_stamp() -> str:
    """Hash of what makes a cached kernel stale beside the CPU: this package's sources, the compilers, the vectors' width."""
    width = os.environ.get("FASTMLP_VECTOR_BYTES", "")
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__} {width}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


class _KeyedFiles(IndexDataCacheFile):
    """One file per kernel, signature, CPU and source stamp, so that writers never share an index.

    Numba's own scheme keeps an index beside numbered data files; two processes that start on a cold cache can then
    point one signature at the other's code.
    """

    def _path(self, key):
        name = hashlib.sha256(repr((key, self._source_stamp)).encode()).hexdigest()[:24]
        return os.path.join(self._cache_path, f"{self._index_name[:-4]}-{name}.nbc")

    def save(self, key, data):
        with self._open_for_write(self._path(key)) as f:
            f.write(self._dump((repr(key), data)))

    def load(self, key):
        try:
            content = Path(self._path(key)).read_bytes()
            stored_key, data = pickle.loads(content)
        except FileNotFoundError:
            return None
        except Exception:  # a torn or foreign file is a miss: it is compiled and written again
            return None
        return data if stored_key == repr(key) else None

    def flush(self):
        for path in Path(self._cache_path).glob(f"{self._index_name[:-4]}-*.nbc"):
            path.unlink(missing_ok=True)


def _nothing() -> None:
    """Stand in for a listener."""


# Called once a process, before the first kernel that is not in the cache is compiled.
on_compile = _nothing


class KernelCache(FunctionCache):
    """Numba's function cache, stamped with all of ``kernels/`` instead of one file."""

    def __init__(self, py_func):
        super().__init__(py_func)
        self._cache_file = _KeyedFiles(self._cache_path, self._impl.filename_base, sources_stamp())

    def load_overload(self, sig, target_context):
        global on_compile
        data = super().load_overload(sig, target_context)
        if data is None:
            on_compile()
            on_compile = _nothing
        return data

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        except OSError:  # a full or read-only disk must not stop a training
            pass


class _LinkedCode(JITCodeLibrary):
    """Code that is only ever linked into other code, and optimized and turned into machine code there.

    Numba does both for each function and again for each of its callers, so that code at the bottom of eight levels of calls
    would go through LLVM eight times.
    """

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._finalized = True


class _InnerCompiler(Compiler):
    """Numba's compiler, with `_LinkedCode` as what it makes."""

    def compile_extra(self, func):
        target = self.state.targetctx
        self.state.flags.no_compile = True
        self.state.library = _LinkedCode(target.codegen(), func.__qualname__)
        # Numba knows code by the built-in function that calls it from Python: a unique one, here one that raises.
        refusal = f"{{the kernel {func.__name__} can be called by other kernels only}}".format
        result = super().compile_extra(func)._replace(entry_point=refusal)
        target.insert_user_function(result.entry_point, result.fndesc, [result.library])
        return result


# No reference counts: the arrays belong to the entry that was called, and counting costs more than a small step.
_INNER = {**_FLAGS, "_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "pipeline_class": _InnerCompiler}


def inner(function):
    """Compile for callers inside ``kernels/``."""
    return numba.njit(**_INNER)(function)


def glue(function):
    """Compile into the body of each caller: for functions that pass much and do little, where a call would cost as much."""
    return numba.njit(**_INNER, forceinline=True)(function)


def entry(function):
    """Compile for callers in Python, and keep the code on disk."""
    dispatcher = numba.njit(**_FLAGS, no_cfunc_wrapper=True)(function)
    if not numba.config.DISABLE_JIT:
        try:
            dispatcher._cache = KernelCache(function)
        except RuntimeError:  # no writable folder anywhere: compile in every process
            pass
        # What Numba calls when arguments are of types that it has no code for yet.
        dispatcher._compile_for_args = functools.partial(aside, dispatcher._compile_for_args)
    return dispatcher


_ready: set[tuple] = set()


def make_ready(kernel, args) -> None:
    """Compile or load a kernel for such arguments before threads run it, which would all wait for the compiler.

    A plain function's kernels are left to the thread that comes to them first.
    """
    if not hasattr(kernel, "_compile_for_args"):
        return
    kinds = (kernel, *[getattr(arg, "dtype", None) for arg in args])
    if kinds not in _ready:
        kernel._compile_for_args(*args)
        _ready.add(kinds)


def scalar(function):
    """Compile a function of the user's own, for callers inside ``kernels/``; what is compiled already stays as it is."""
    return function if isinstance(function, np.ufunc) or is_jitted(function) else numba.njit(**_FLAGS)(function)


def callback(function, signature):
    """Compile for callers that know an address; its attribute `address` is that."""
    return numba.cfunc(signature, error_model="numpy")(function)


def cache_folder() -> str | None:
    """Where compiled kernels are kept, or None where no folder is writable."""
    try:
        return KernelCache(cache_folder).cache_path
    except RuntimeError:
        return None


def cached_files() -> list[Path]:
    """Return the compiled kernels that the cache holds, stale ones included."""
    folder = cache_folder()
    return sorted(Path(folder).glob("*.nbc")) if folder else []
