"""Threads that run one kernel together, and the barrier where they meet.

The threads are Python's, since kernels release the GIL; inside a kernel each knows its number, works on its own share,
and meets the others at a barrier that spins, then yields, so that a busy machine slows it but does not stop it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import math
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

from .jit import code_for, inner
from .simd import I64

# What threads share: the barrier's counter and its generation in cache lines of their own, beside the latter whether all is
# to be left and whether data are not finite, how many ns a training may take and whether it has taken more, then room for
# float64 sums, twice N_SUMS.
_COUNT, _GENERATION, ABORT, NOT_FINITE, BUDGET, LATE, SUMS, N_SUMS = 0, 16, 17, 18, 19, 20, 32, 64
SYNC_SIZE = SUMS + 2 * N_SUMS
# A waiting thread spins for a few µs, then offers its core to others, and after many offers sleeps: the thread that it waits
# for may be the one that has no core.
_SPINS, _OFFERS, _SLEEP_US = 100, 500, 20

_caller = threading.local()
_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_pool_size = 0
_threads: int | None = None


@functools.cache
def _quota() -> float:
    """How many cores' time this container may take, as Linux says; more threads than that would spin it away."""
    with contextlib.suppress(OSError, ValueError):
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return math.inf if limit == "max" else int(limit) / int(period)
    with contextlib.suppress(OSError, ValueError):  # the first version of control groups
        limit, period = (Path(f"/sys/fs/cgroup/cpu/cpu.cfs_{what}_us").read_text() for what in ("quota", "period"))
        return int(limit) / int(period) if int(limit) > 0 else math.inf
    return math.inf


def threads() -> int:
    """Threads that a large enough kernel uses."""
    if _threads is not None:
        return _threads
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # The second is what joblib gives each of its worker processes.
    return max(1, math.ceil(min(cores, config.NUMBA_NUM_THREADS, _quota())))


@contextlib.contextmanager
def at_most(n: int):
    """Within it, kernels that this Python thread calls run on n threads or fewer."""
    before = getattr(_caller, "most", None)
    _caller.most = n if before is None else min(n, before)
    try:
        yield
    finally:
        _caller.most = before


def alone():
    """Within it, kernels that this Python thread calls run on one thread: for callers that use the cores in their own way."""
    return at_most(1)


def threads_here() -> int:
    """Threads that a large enough kernel uses if this Python thread calls it."""
    most = getattr(_caller, "most", None)
    return threads() if most is None else min(most, threads())


def set_threads(n: int | None) -> None:
    """Use n threads from now on; None means all cores this process may use."""
    global _threads, _pool
    with _lock:
        _threads, _pool = n, None


def _forget_pool() -> None:
    """A forked child has none of its parent's threads."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def sync_of_one():
    """What a thread shares with nobody, kept since a call takes but a few microseconds."""
    try:
        return _caller.sync
    except AttributeError:
        _caller.sync = np.zeros(SYNC_SIZE, np.int64)
        return _caller.sync


def run_on_threads(kernel, n: int, long: bool, *args, budget: float = 0.0):
    """kernel(*args, tid, n, sync) on n threads at once; returns what number 0 returns.

    A training on several threads ends after the step in which it has taken `budget` seconds, if that is not 0.

    A Ctrl-C reaches Python only where compiled code is not running, so the main thread does not take part in a `long` call,
    but waits for it and has it left if it must. When another Python thread has the pool, the caller runs alone: results do
    not depend on n.
    """
    global _pool, _pool_size
    apart = long and threading.current_thread() is threading.main_thread()
    if n == 1 and not apart:
        return kernel(*args, 0, 1, sync_of_one())
    sync = np.zeros(SYNC_SIZE, np.int64)
    sync[BUDGET] = int(1e9 * budget)
    code_for(kernel, (*args, 0, n, sync))
    if not _lock.acquire(blocking=False):
        return kernel(*args, 0, 1, sync)
    try:
        if _pool is None:
            _pool_size = threads()
            _pool = ThreadPoolExecutor(_pool_size, thread_name_prefix="fastmlp")
        return _run_all(_pool, kernel, min(n, _pool_size), apart, args, sync)
    finally:
        _lock.release()


def _core_number():
    """Return a function that tells a thread the number of its core; None where there is none, or threads may not choose."""
    function = getattr(ctypes.PyDLL(None), "sched_getcpu", None) if hasattr(os, "sched_setaffinity") else None
    return function if function is not None and function() >= 0 else None


_core = _core_number()


def _apart_from(taken: set[int], kernel, *args):
    """kernel(*args) on a core that none of the threads has that began before, if this one may use such a core.

    The system often wakes a thread on the core of the one that wakes it. There both stay for many milliseconds, in which each
    waits for the other at every barrier.
    """
    core = _core()
    if core in taken:
        with contextlib.suppress(OSError):  # the cores that there are have just changed
            allowed = os.sched_getaffinity(0)
            if free := allowed - taken:
                os.sched_setaffinity(0, free)
                core = _core()
                os.sched_setaffinity(0, allowed)
    taken.add(core)
    return kernel(*args)


def _run_all(pool: ThreadPoolExecutor, kernel, n: int, apart: bool, args, sync):
    """Run a kernel on n of the pool's threads, or if not `apart` on this one and n - 1."""
    global _pool
    try:
        begin = (kernel,) if _core is None else (_apart_from, set() if apart else {_core()}, kernel)
        others = [pool.submit(*begin, *args, tid, n, sync) for tid in range(0 if apart else 1, n)]
        result = None if apart else kernel(*args, 0, n, sync)
        results = [other.result() for other in others]
        return results[0] if apart else result
    except BaseException:
        # Threads that have begun would otherwise wait at a barrier for those that have not, or go on for long.
        sync[ABORT] = 1
        _pool = None
        _end(pool)
        raise


def _end(pool: ThreadPoolExecutor) -> None:
    """Wait for all of a pool's threads, however often Ctrl-C is pressed: they write to what the caller will look at."""
    while True:
        try:
            return pool.shutdown(wait=True)
        except KeyboardInterrupt:
            continue


def _slot(context, builder, array_type, array, i):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [I64(i)])


@intrinsic
def _arrive(typingctx, sync, n):
    """Count the caller in; the last of n opens the barrier. Returns the generation to wait on, or -1 for the last."""

    def codegen(context, builder, sig, args):
        count = _slot(context, builder, sig.args[0], args[0], _COUNT)
        generation = _slot(context, builder, sig.args[0], args[0], _GENERATION)
        now = builder.load_atomic(generation, "acquire", 8)
        before = builder.atomic_rmw("add", count, I64(1), "acq_rel")
        is_last = builder.icmp_signed("==", before, builder.sub(args[1], I64(1)))
        with builder.if_then(is_last):
            builder.store_atomic(I64(0), count, "monotonic", 8)
            builder.store_atomic(builder.add(now, I64(1)), generation, "release", 8)
        return builder.select(is_last, I64(-1), now)

    return types.int64(sync, types.int64), codegen


@intrinsic
def _opened(typingctx, sync, generation):
    """Whether the barrier has gone beyond `generation`, or all is to be left."""

    def codegen(context, builder, sig, args):
        now = builder.load_atomic(_slot(context, builder, sig.args[0], args[0], _GENERATION), "acquire", 8)
        abort = builder.load_atomic(_slot(context, builder, sig.args[0], args[0], ABORT), "monotonic", 8)
        return builder.or_(builder.icmp_signed("!=", now, args[1]), builder.icmp_signed("!=", abort, I64(0)))

    return types.boolean(sync, types.int64), codegen


def _x86() -> bool:
    import llvmlite.binding as llvm

    return llvm.get_process_triple().split("-")[0] in ("x86_64", "i386", "i686", "amd64")


@intrinsic
def _pause(typingctx):
    """Tell the core that this is a spin loop."""

    def codegen(context, builder, sig, args):
        if _x86():
            function = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, function, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _yield_core(typingctx):
    """Let another thread have this core."""

    def codegen(context, builder, sig, args):
        if sys.platform != "win32":
            function = ir.FunctionType(ir.IntType(32), [])
            builder.call(cgutils.get_or_insert_function(builder.module, function, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _sleep(typingctx, microseconds):
    """Sleep for about so long."""

    def codegen(context, builder, sig, args):
        if sys.platform != "win32":
            function = ir.FunctionType(ir.IntType(32), [ir.IntType(32)])
            call = cgutils.get_or_insert_function(builder.module, function, "usleep")
            builder.call(call, [builder.trunc(args[0], ir.IntType(32))])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@intrinsic
def nanoseconds(typingctx):
    """Nanoseconds since some moment; 0 where there is no such clock."""

    def codegen(context, builder, sig, args):
        if sys.platform == "win32":
            return I64(0)
        now = cgutils.alloca_once(builder, ir.ArrayType(I64, 2))  # seconds, nanoseconds
        function = ir.FunctionType(ir.IntType(32), [ir.IntType(32), now.type])
        call = cgutils.get_or_insert_function(builder.module, function, "clock_gettime")
        builder.call(call, [ir.IntType(32)(time.CLOCK_MONOTONIC), now])
        seconds, rest = (builder.load(builder.gep(now, [I64(0), I64(i)])) for i in (0, 1))
        return builder.add(builder.mul(seconds, I64(10**9)), rest)

    return types.int64(), codegen


@inner
def deadline(sync):
    """When `nanoseconds` will say that a call is to end, 0 for never: number 0 then sets LATE before a barrier.

    All see it behind that. A step has another barrier before, so that it is not set again before all have looked.
    """
    return nanoseconds() + sync[BUDGET] if sync[BUDGET] > 0 else 0


@inner
def barrier(sync, n):
    """Wait for all n threads; what each wrote before is seen by all after."""
    if n == 1:
        return
    generation = _arrive(sync, n)
    if generation < 0:
        return
    spins = 0
    while not _opened(sync, generation):
        _pause()
        spins += 1
        if spins > _SPINS + _OFFERS:
            _sleep(_SLEEP_US)
        elif spins > _SPINS:
            _yield_core()


@intrinsic
def flush_denormals(typingctx):
    """Treat numbers below the smallest normal one as zero on this thread; returns the mode before, for `restore_mode`.

    Long trainings otherwise slow down by a factor of ten when moments of unused weights fade out.
    """

    def codegen(context, builder, sig, args):
        slot = cgutils.alloca_once(builder, ir.IntType(32))
        if not _x86():
            return I64(0)
        _mode_call(builder, "llvm.x86.sse.stmxcsr", slot)
        before = builder.load(slot)
        builder.store(builder.or_(before, ir.IntType(32)(0x8040)), slot)  # flush to zero, denormals are zero
        _mode_call(builder, "llvm.x86.sse.ldmxcsr", slot)
        return builder.zext(before, I64)

    return types.int64(), codegen


@intrinsic
def restore_mode(typingctx, mode):
    """Undo `flush_denormals`."""

    def codegen(context, builder, sig, args):
        if _x86():
            slot = cgutils.alloca_once(builder, ir.IntType(32))
            builder.store(builder.trunc(args[0], ir.IntType(32)), slot)
            _mode_call(builder, "llvm.x86.sse.ldmxcsr", slot)
        return context.get_dummy_value()

    return types.void(types.int64), codegen


def _mode_call(builder, name, slot):
    byte_pointer = ir.IntType(8).as_pointer()
    function = ir.FunctionType(ir.VoidType(), [byte_pointer])
    builder.call(cgutils.get_or_insert_function(builder.module, function, name), [builder.bitcast(slot, byte_pointer)])
