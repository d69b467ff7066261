"""The three products of a dense layer for some shapes, on one thread, beside NumPy's and the ceiling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from fastmlp.kernels import dense
from rich.table import Table

from . import ceiling
from .jobs import set_blas_threads
from .measure import Effort, contest
from .peers import CORES

# Rows, inputs, outputs.
SHAPES = (
    (4, 2, 8), (32, 16, 16), (64, 64, 10), (64, 64, 64), (64, 100, 100), (128, 256, 256), (128, 784, 256), (256, 1024, 1024),
    (10_000, 32, 16),
)  # fmt: skip
ROUNDS = 5
PRODUCTS = ("linear_fwd", "linear_bwd_d", "linear_bwd_w")


def operations(product: str, m: int, k: int, n: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return our product for x (m, k) and w (k, n), and NumPy's for the same result, both in place."""
    rng = np.random.default_rng(0)
    x, w, d = (rng.normal(size=shape).astype("float32") for shape in ((m, k), (k, n), (m, n)))
    bias, z, dx, dw = rng.normal(size=n).astype("float32"), np.empty_like(d), np.empty_like(x), np.empty_like(w)
    ones = np.ones_like(x)

    def numpy_fwd() -> None:
        np.matmul(x, w, out=z)
        np.add(z, bias, out=z)

    def numpy_bwd_d() -> None:
        np.matmul(d, w.T, out=dx)
        np.multiply(dx, ones, out=dx)

    def numpy_bwd_w() -> None:
        np.matmul(x.T, d, out=dw)
        np.sum(d, axis=0, out=bias)

    return {
        "linear_fwd": (lambda: dense.linear_fwd(x, w, bias, z), numpy_fwd),
        "linear_bwd_d": (lambda: dense.linear_bwd_d(d, w, ones, dx), numpy_bwd_d),
        "linear_bwd_w": (lambda: dense.linear_bwd_w(x, d, dw, bias), numpy_bwd_w),
    }[product]


def gflops(product: str, shape: tuple[int, int, int], rounds: int) -> tuple[float, float]:
    """Return our rate and NumPy's, the best of many."""
    m, k, n = shape
    functions = operations(product, m, k, n)
    for function in functions:
        function()
    ours, theirs = contest(functions, rounds)
    return 2e-9 * m * k * n / ours, 2e-9 * m * k * n / theirs


def measure(effort: Effort, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure every product of every shape on one thread."""
    set_blas_threads(1)
    top = ceiling.measure()["float32"]["one"]
    found: dict[str, Any] = {}
    for shape in SHAPES:
        say(f"products: {shape}")
        found["×".join(map(str, shape))] = {product: gflops(product, shape, ROUNDS * effort.fewest) for product in PRODUCTS}
    set_blas_threads(CORES)
    return {"ceiling": top, "products": found}


def table(result: dict[str, Any]) -> Table:
    """Return the figures as a table."""
    top = result["ceiling"]
    shown = Table(title=f"float32 GFLOP/s on one thread, NumPy's in brackets; the ceiling is {top:.0f}")
    shown.add_column("rows × inputs × outputs")
    for product in PRODUCTS:
        shown.add_column(product, justify="right")
    for shape, rates in result["products"].items():
        shown.add_row(shape, *(f"{ours:.1f} ({theirs:.1f})" for ours, theirs in (rates[product] for product in PRODUCTS)))
    return shown
