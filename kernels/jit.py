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
from numba.core.caching import FunctionCache, IndexDataCacheFile

_FLAGS = {"nogil": True, "error_model": "numpy"}


@functools.cache
def sources_stamp() -> str:
    """Hash of every source file of this package and of the compilers' versions: what makes a cached kernel stale."""
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
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


class KernelCache(FunctionCache):
    """Numba's function cache, stamped with all of ``kernels/`` instead of one file."""

    def __init__(self, py_func):
        super().__init__(py_func)
        self._cache_file = _KeyedFiles(self._cache_path, self._impl.filename_base, sources_stamp())

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        except OSError:  # a full or read-only disk must not stop a training
            pass


def inner(function):
    """Compile for callers inside ``kernels/``."""
    return numba.njit(**_FLAGS, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)


def entry(function):
    """Compile for callers in Python, and keep the code on disk."""
    dispatcher = numba.njit(**_FLAGS, no_cfunc_wrapper=True)(function)
    if not numba.config.DISABLE_JIT:
        try:
            dispatcher._cache = KernelCache(function)
        except RuntimeError:  # no writable folder anywhere: compile in every process
            pass
    return dispatcher


def cache_folder() -> str | None:
    """Where compiled kernels are kept, or None where no folder is writable."""
    try:
        return KernelCache(cache_folder).cache_path
    except RuntimeError:
        return None
