"""What the machine can do: its ceiling, and how long threads take to meet.

The ceiling is the register tile on operands that stay in L1, on one thread and on all. Nothing that is built on this tile can
be faster. It is the highest of many short measurements, since other work on the machine only ever lowers them.
"""

from __future__ import annotations

import functools
import time
from typing import Any

import numba
import numpy as np
from fastmlp.kernels.simd import LANES32, LANES64, address
from fastmlp.kernels.threads import barrier, run_on_threads, set_threads, threads
from fastmlp.kernels.tile import END_STORE, MR, NV, START_ZERO, tiles

# So many tiles below each other, of such a depth, are about what an L1 cache of 32 KB holds.
TILES, DEPTH = 2, 128
_LANES = {"float32": LANES32, "float64": LANES64}


@functools.cache
def _kernel() -> Any:
    @numba.njit(nogil=True, error_model="numpy")
    def multiply(repeats, rows, nr, depth, a, b, c, tid, n, sync):
        p, q, r = address(a, 0), address(b, 0), address(c, tid * rows * nr)
        for _ in range(repeats):
            tiles(rows, nr, depth, p, depth, q, nr, r, nr, START_ZERO, r, nr, END_STORE, r, nr)

    return multiply


def gflops(n_threads: int, dtype: str = "float32", seconds: float = 0.5) -> float:
    """Return the best rate seen within about `seconds`, in GFLOP/s."""
    nr = NV * _LANES[dtype]
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=shape).astype(dtype) for shape in ((TILES * MR, DEPTH), (DEPTH, nr)))
    c = np.empty((n_threads, TILES * MR, nr), dtype)
    before = threads()
    set_threads(n_threads)
    try:
        run_on_threads(_kernel(), n_threads, False, 0, TILES * MR, nr, DEPTH, a, b, c)  # compiles
        best, repeats = 0.0, 10
        end = time.perf_counter() + seconds
        while best == 0.0 or time.perf_counter() < end:
            began = time.perf_counter()
            run_on_threads(_kernel(), n_threads, False, repeats, TILES * MR, nr, DEPTH, a, b, c)
            took = time.perf_counter() - began
            best = max(best, 2e-9 * TILES * MR * nr * DEPTH * repeats * n_threads / took)
            if took < 0.005:
                repeats *= 2
    finally:
        set_threads(before)
    return best


@functools.cache
def _meetings() -> Any:
    @numba.njit(nogil=True, error_model="numpy")
    def meet(times, tid, n, sync):
        for _ in range(times):
            barrier(sync, n)

    return meet


def meeting(n_threads: int, times: int = 2000, turns: int = 15) -> float:
    """Return the nanoseconds that threads take to meet at a barrier, the median of some turns.

    It is a few cache lines' way from core to core, and so says how far these lie apart at the moment.
    """
    before = threads()
    set_threads(n_threads)
    try:
        took = []
        for _ in range(turns + 1):  # of which the first compiles
            began = time.perf_counter()
            run_on_threads(_meetings(), n_threads, False, times)
            took.append(time.perf_counter() - began)
    finally:
        set_threads(before)
    return 1e9 * float(np.median(took[1:])) / times


def measure(seconds: float = 0.5) -> dict[str, dict[str, float]]:
    """Return GFLOP/s by dtype, on one thread and on all."""
    return {dtype: {"one": gflops(1, dtype, seconds), "all": gflops(threads(), dtype, seconds)} for dtype in _LANES}


def higher(first: dict[str, dict[str, float]], second: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return the higher of two measurements, figure by figure."""
    return {dtype: {key: max(first[dtype][key], second[dtype][key]) for key in first[dtype]} for dtype in first}


if __name__ == "__main__":
    for dtype, rates in measure(2.0).items():
        print(f"{dtype}: {rates['one']:.0f} GFLOP/s on one thread, {rates['all']:.0f} on {threads()}")
    print(f"{threads()} threads meet in {meeting(threads()):.0f} ns")
