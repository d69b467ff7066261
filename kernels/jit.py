"""Numba's flags and the code cache: the one place where the project says how it compiles.

``entry`` marks a function that Python calls: it releases the GIL and is cached on disk. ``inner`` marks a function that
only other kernels call: it gets no Python wrapper and lives in its callers' cache entries. Neither ever sets fastmath.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import os
import pickle
import re
import time
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite.binding import Linkage
from numba import types
from numba.core.caching import FunctionCache, IndexDataCacheFile, NullCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.runtime import rtsys
from numba.extending import is_jitted

from .aside import aside

_FLAGS = {"nogil": True, "error_model": "numpy"}


@functools.cache
def sources_stamp() -> str:
    """What makes a cached kernel stale beside the CPU: a hash of the sources and the compilers, and the vectors' width.

    The hash comes first: files whose names begin with another one can be removed, those for another width cannot.
    """
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return f"{digest.hexdigest()} {os.environ.get('FASTMLP_VECTOR_BYTES', '')}"


# A temporary file that is older than these seconds has no writer any more.
_ABANDONED = 3600.0


def remove_stale(folder: str | Path, kernel: str, stamp: str) -> None:
    """Remove the cached files of a kernel, a pattern of names, for another source stamp, and what interrupted writers left.

    Other processes may read, write and remove at the same time: a reader has its file whole or misses it, and writes it again.
    """
    current = re.compile(rf"{kernel}-{stamp[:12]}-\w+\.nbc")
    any_file = re.compile(rf"{kernel}-[\w-]+\.nbc(\.tmp\.\w+)?")
    with contextlib.suppress(OSError), os.scandir(folder) as files:
        for file in files:
            found = any_file.fullmatch(file.name)
            if not found or current.fullmatch(file.name):
                continue
            with contextlib.suppress(OSError):  # another process was faster, or Windows keeps an open file
                if found[1] is None or time.time() - file.stat().st_mtime > _ABANDONED:
                    os.unlink(file.path)


def sealed(content: bytes) -> bytes:
    """Return what a file of the cache holds: LLVM may crash on code that a disk has damaged."""
    return hashlib.sha256(content).digest() + content


def unsealed(file: bytes) -> bytes:
    """Return the content of a file of the cache.

    Raises
    ------
    ValueError
        If it is not what was written.
    """
    digest, content = file[:32], file[32:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("a damaged file")
    return content


def cached(path: str | Path) -> Any:
    """Return what a file of the cache holds; None if it is missing, torn or foreign: then it is compiled and written again."""
    try:
        return pickle.loads(unsealed(Path(path).read_bytes()))
    except Exception:
        return None


class _KeyedFiles(IndexDataCacheFile):
    """One file per kernel, signature, CPU and source stamp, so that writers never share an index.

    Numba's own scheme keeps an index beside numbered data files; two processes that start on a cold cache can then
    point one signature at the other's code.
    """

    def _path(self, key):
        name = hashlib.sha256(repr((key, self._source_stamp)).encode()).hexdigest()[:24]
        return os.path.join(self._cache_path, f"{self._index_name[:-4]}-{self._source_stamp[:12]}-{name}.nbc")

    def save(self, key, data):
        with self._open_for_write(self._path(key)) as f:
            f.write(sealed(self._dump((repr(key), data))))
        # Names are kernel-line.python-stamp-key: sources that changed may have the kernel on another line.
        kernel, rest = self._index_name[:-4].rsplit("-", 1)
        python = rest.partition(".")[2]
        remove_stale(self._cache_path, rf"{re.escape(kernel)}-\w+\.{re.escape(python)}", self._source_stamp)

    def load(self, key):
        match cached(self._path(key)):
            case (stored_key, data) if stored_key == repr(key):
                return data
        return None

    def flush(self):
        for path in Path(self._cache_path).glob(f"{self._index_name[:-4]}-*.nbc"):
            path.unlink(missing_ok=True)


def _nothing() -> None:
    """Stand in for a listener."""


# Called once a process, before the first kernel that is not in the cache is compiled.
on_compile = _nothing


def _tell() -> None:
    """Call the listener, once."""
    global on_compile
    listener, on_compile = on_compile, _nothing
    listener()


class _NoCache(NullCache):
    """What a kernel has where no folder is writable."""

    def load_overload(self, sig, target_context):
        _tell()


class KernelCache(FunctionCache):
    """Numba's function cache, stamped with all of ``kernels/`` instead of one file."""

    def __init__(self, py_func):
        super().__init__(py_func)
        self._cache_file = _KeyedFiles(self._cache_path, self._impl.filename_base, sources_stamp())

    def load_overload(self, sig, target_context):
        # Numba's own also imports here whatever it may ever compile, SciPy's BLAS among it: half of a process's first fit.
        # Who does compile in this process has it imported then.
        rtsys.initialize(target_context)
        data = self._load_overload(sig, target_context)
        if data is None:
            _tell()
        else:
            data.library._shared_module = None  # names alone: who would link it is told that there is no code
        return data

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        except OSError:  # a full or read-only disk must not stop a training
            pass


class _LinkedCode(JITCodeLibrary):
    """Code that is only ever linked into other code, and optimized and turned into machine code there.

    Numba does both for each function and again for each of its callers, so that code at the bottom of eight levels of calls
    would go through LLVM eight times. Nor has it what it calls linked in: its callers get all of that beside it.
    """

    def _optimize_functions(self, ll_module):
        pass

    def finalize(self):
        self._raise_if_finalized()
        self._finalize_dynamic_globals()
        self._finalized = True


class _EntryCode(JITCodeLibrary):
    """Code that Python calls, with all kernels that it calls for itself alone: then what no caller uses is not passed.

    They get names of their own: the linker would find them for other code, although they are no longer what that calls.
    """

    def _optimize_final_module(self):
        for function in self._final_module.functions:
            if function.linkage == Linkage.linkonce_odr and "fastmlp" in function.name:
                function.linkage = Linkage.internal
                function.name += ".own"
        super()._optimize_final_module()

    def serialize_using_object_code(self):
        """Return the machine code and, in place of the IR that others could link, the functions' names alone.

        Reading the IR took a sixth of a process's first fit.
        """
        self._ensure_finalized()
        ours = (f for f in self._final_module.functions if not f.is_declaration and f.linkage != Linkage.internal)
        names = "".join(f'define void @"{function.name}"() {{ unreachable }}\n' for function in ours)
        return self.name, "object", (self._get_compiled_object(), llvm.parse_assembly(names).as_bitcode())


class _EntryCompiler(Compiler):
    """Numba's compiler, with `_EntryCode` as what it makes."""

    def compile_extra(self, func):
        self.state.library = _EntryCode(self.state.targetctx.codegen(), func.__qualname__)
        self.state.library.enable_object_caching()
        return super().compile_extra(func)


class _InnerCompiler(Compiler):
    """Numba's compiler, with `_LinkedCode` as what it makes."""

    def compile_extra(self, func):
        target = self.state.targetctx
        self.state.flags.no_compile = True
        self.state.library = _LinkedCode(target.codegen(), func.__qualname__)
        # Numba knows code by the built-in function that calls it from Python: a unique one, here one that raises.
        refusal = f"{{the kernel {func.__name__} can be called by other kernels only}}".format
        result = super().compile_extra(func)._replace(entry_point=refusal)
        # The linker leaves out what nobody calls yet: callers stand before what they call.
        code = dict.fromkeys([result.library, *result.library._linking_libraries])
        target.insert_user_function(result.entry_point, result.fndesc, list(code))
        return result


# No reference counts: the arrays belong to the entry that was called, and counting costs more than a small step.
_INNER = {**_FLAGS, "_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "pipeline_class": _InnerCompiler}


def inner(function):
    """Compile for callers inside ``kernels/``, once for all constants that are passed."""
    return _for_kernels(function, forceinline=False)


def glue(function):
    """Compile into the body of each caller: for functions that pass much and do little, where a call would cost as much."""
    return _for_kernels(function, forceinline=True)


def _for_kernels(function, forceinline):
    # Always said: Numba hands forceinline on to what it compiles on the way.
    dispatcher = numba.njit(**_INNER, forceinline=forceinline)(function)
    if not numba.config.DISABLE_JIT:
        dispatcher.get_call_template = functools.partial(_without_constants, dispatcher.get_call_template)
    return dispatcher


def _without_constants(get_call_template, args, keywords):
    """Ask a function for the code of a call: Numba would make it anew for every set of constants among the arguments."""
    return get_call_template(tuple(map(types.unliteral, args)), {name: types.unliteral(k) for name, k in keywords.items()})


def entry(function, *, allocates=False):
    """Compile for callers in Python, and keep the code on disk.

    One that `allocates` arrays takes references of its arguments too, which costs a tenth of a microsecond for each two. Others
    have what `stack.py` gives.
    """
    flags = {**_FLAGS, "no_cfunc_wrapper": True, "pipeline_class": _EntryCompiler, "_nrt": allocates}
    dispatcher = numba.njit(**flags)(function)
    if not numba.config.DISABLE_JIT:
        try:
            dispatcher._cache = KernelCache(function)
        except RuntimeError:  # no writable folder anywhere: compile in every process
            dispatcher._cache = _NoCache()
        # What Numba calls when arguments are of types that it has no code for yet.
        dispatcher._compile_for_args = functools.partial(aside, dispatcher._compile_for_args)
    return dispatcher


allocating_entry = functools.partial(entry, allocates=True)

_codes: dict[tuple, Any] = {}


def code_for(kernel, args):
    """Return a kernel's code for arguments of such types, compiled or loaded: threads that ran it first would all wait for it.

    Unlike the kernel it does not look at its arguments' types, which takes half of a short call. So it is for no others than
    those, and for C-contiguous arrays of as many dimensions. A plain function is its own code.
    """
    if not hasattr(kernel, "_compile_for_args"):
        return kernel
    kinds = (kernel, *[getattr(arg, "dtype", None) for arg in args])
    if kinds not in _codes:
        _codes[kinds] = kernel._compile_for_args(*args)
    return _codes[kinds]


def scalar(function):
    """Compile a function of the user's own, for callers inside ``kernels/``; what is compiled already stays as it is."""
    if isinstance(function, np.ufunc) or is_jitted(function):
        return function
    # Numba takes what is written in Python alone; what else may be called, such as math.tanh, is so from there.
    return numba.njit(**_FLAGS)(function if inspect.isfunction(function) else lambda x: function(x))


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
