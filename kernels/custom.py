"""Activations that are no part of the engine: a table of functions that it calls, and what fills the table.

The engine is compiled once for all of them. Where an activation's number is none of its own, it looks into the table, a
stretch of memory that compiled code knows by name, and calls what stands there.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import pickle
import secrets
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.errors import NumbaError
from numba.core.registry import cpu_target

from .aside import aside
from .formulas import function
from .ids import FIRST_CUSTOM, MOST_CUSTOM
from .jit import cache_folder, cached, callback, remove_stale, scalar, sealed, sources_stamp
from .simd import I64

# For each activation: f and f' in float32, f alone; the same in float64. ``ACTIVATE + 2 * (float64)`` is the column.
ACTIVATE, APPLY, COLUMNS = 0, 1, 4
_SYMBOL = "fastmlp_custom_activations"
_addresses = (ctypes.c_int64 * (MOST_CUSTOM * COLUMNS))()
llvm.add_symbol(_SYMBOL, ctypes.addressof(_addresses))
# Machine code goes with whoever holds it.
_kept: list = []


def call(builder, number, which, elem, arguments):
    """Emit a call of the function that stands in the table for an activation's number; of none, if it is empty."""
    type_ = ir.ArrayType(I64, MOST_CUSTOM * COLUMNS)
    module = builder.module
    table = module.globals.get(_SYMBOL) or ir.GlobalVariable(module, type_, _SYMBOL)
    column = which + (2 if isinstance(elem, ir.DoubleType) else 0)
    slot = builder.sub(number, I64(FIRST_CUSTOM))
    place = builder.add(builder.mul(slot, I64(COLUMNS)), I64(column))
    known = builder.icmp_unsigned("<", slot, I64(MOST_CUSTOM))
    with builder.if_then(known, likely=True):
        address = builder.load(builder.gep(table, [I64(0), place]))
        with builder.if_then(builder.icmp_unsigned("!=", address, I64(0)), likely=True):
            signature = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
            builder.call(builder.inttoptr(address, signature.as_pointer()), arguments)


def _enter(number, column, address) -> None:
    _addresses[(number - FIRST_CUSTOM) * COLUMNS + column] = address


def define(number, lines, value_at, slope_at):
    """Compile a program or take it from the cache, and enter it; see the reference."""
    codegen = cpu_target.target_context.codegen()
    stamp = repr((lines, value_at, slope_at, sources_stamp(), codegen.magic_tuple()))
    key = hashlib.sha256(stamp.encode()).hexdigest()[:24]
    names = [f"fastmlp_custom_{key}_{column}" for column in range(COLUMNS)]
    library = aside(_library, codegen, key, names, lines, value_at, slope_at)
    _kept.append(library)
    for column, name in enumerate(names):
        _enter(number, column, library.get_pointer_to_function(name))


def _library(codegen, key, *definition):
    with global_compiler_lock:
        return _from_cache(codegen, key) or _compile(codegen, key, *definition)


def _compile(codegen, key, names, lines, value_at, slope_at):
    library = codegen.create_library(f"fastmlp.custom.{key}")
    library.enable_object_caching()
    module = library.create_ir_module(library.name)
    with np.errstate(over="ignore"):  # a number beyond float32 is infinite there
        for column, name in enumerate(names):
            elem = ir.FloatType() if column < 2 else ir.DoubleType()
            function(module, name, elem, lines, (value_at, slope_at) if column % 2 == ACTIVATE else (value_at,))
    library.add_ir_module(module)
    library.finalize()
    _to_cache(key, library.serialize_using_object_code())
    return library


def _cache_file(key) -> Path | None:
    folder = cache_folder()
    return Path(folder) / f"custom-{sources_stamp()[:12]}-{key}.nbc" if folder else None


def _from_cache(codegen, key):
    """The library of that key, or None."""
    path = _cache_file(key)
    data = None if path is None else cached(path)
    return None if data is None else codegen.unserialize_library(data)


def _to_cache(key, data) -> None:
    """Write a file whole or not at all; a full or read-only disk must not stop a training."""
    path = _cache_file(key)
    if path is None:
        return
    temporary = path.with_name(f"{path.name}.tmp.{secrets.token_hex(6)}")
    with contextlib.suppress(OSError):
        try:
            temporary.write_bytes(sealed(pickle.dumps(data)))
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        remove_stale(path.parent, "custom", sources_stamp())


def define_functions(number, f, df):
    """Compile two functions of a number and enter them; see the reference."""
    f, df = map(scalar, (f, df))
    for column in range(COLUMNS):
        elem = types.CPointer(types.float32 if column < 2 else types.float64)
        loops, pointers = (_both(f, df), 3) if column % 2 == ACTIVATE else (_value(f), 2)
        try:
            made = aside(callback, loops, types.void(types.int64, types.int64, types.int64, *[elem] * pointers))
        except NumbaError as error:
            lines = str(error).split("\n")
            reason = next((line for line in lines if line and not line.startswith("Failed in")), lines[0])
            raise TypeError(
                "Numba cannot compile the activation's function or its derivative for numbers: write them as plain functions, "
                f"with arithmetic and `math` or NumPy functions, or choose the engine 'numpy' first. It says: {reason}"
            ) from error
        _kept.append(made)
        _enter(number, column, made.address)


def _both(f, df):
    def loops(rows, width, ld, z, a, g):
        for row in range(rows):
            for i in range(row * ld, row * ld + width):
                x = z[i]
                a[i] = f(x)
                g[i] = df(x)

    return loops


def _value(f):
    def loops(rows, width, ld, z, a):
        for row in range(rows):
            for i in range(row * ld, row * ld + width):
                a[i] = f(z[i])

    return loops
