"""Products and smaller kernels of this checkout and another, in turns, in one process and on the same memory.

Two processes differ by 10 to 20%, by where their memory happens to lie; such turns repeat to within 1%.

    python -m benchmarks.versions OTHER [rows,inputs,units ...]

OTHER is the folder of the other checkout. The smaller kernels run where no shapes are given. Ratios are those of its times to
this one's, each the median of many turns.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from rich.console import Console
from rich.table import Table

from fastmlp.plan import aligned_zeros

SHAPES = (
    (32, 16, 16), (64, 64, 10), (64, 64, 64), (200, 100, 10), (200, 100, 100), (200, 784, 100), (128, 784, 256),
    (256, 256, 256), (256, 512, 512), (256, 1024, 1024),
)  # fmt: skip
PRODUCTS = ("forward", "delta", "weight gradient")
# Smaller kernels: what they are called, and the shapes of their arrays, the last of them for what they make.
PARTS = {
    "exp": ("exp", (4096,), (4096,)),
    "tanh": ("tanh", (4096,), (4096,)),
    "sigmoid": ("sigmoid", (4096,), (4096,)),
    "200 rows of 24 to columns": ("columns", (200, 24), (32, 208)),  # as many as whole vectors have
    "192 rows of 4 to columns": ("columns", (192, 4), (16, 192)),
    "weight gradient of columns, 25 × 8": ("sums", (25, 208), (8, 208), (25, 8)),
    "weight gradient of columns, 33 × 16": ("sums", (33, 192), (16, 192), (33, 16)),
}
DTYPES = ("float32", "float64")
TURNS, SECONDS = 40, 0.003


def load(folder: Path, name: str) -> str:
    """Make the kernels of the checkout in `folder` the package `name`, and return that."""
    found = importlib.util.spec_from_file_location(
        name, folder / "kernels" / "__init__.py", submodule_search_locations=[str(folder / "kernels")]
    )
    if found is None or found.loader is None or not (folder / "kernels").is_dir():
        raise SystemExit(f"{folder} has no folder kernels. Pass the folder of a checkout.")
    sys.modules[name] = importlib.util.module_from_spec(found)
    return name


def parts(name: str) -> dict[str, Callable[..., None]]:
    """Return the smaller kernels of the package `name`, each a function of how many times and its arrays."""
    columns, dots, simd, vmath = (importlib.import_module(f"{name}.{part}") for part in ("columns", "dots", "simd", "vmath"))
    to_columns, sums, address = columns._turn_in, dots.products, simd.address
    maps = {"exp": vmath._exp, "tanh": vmath._tanh, "sigmoid": vmath._sigmoid}

    def mapped(function: Any) -> Callable[..., None]:
        @numba.njit(error_model="numpy")
        def run(times, x, out):
            for _ in range(times):
                function(x.size, (address(x, 0), address(out, 0)), ())

        return run

    @numba.njit(error_model="numpy")
    def turn(times, x, out):
        for _ in range(times):
            to_columns(address(x, 0), x.shape[1], x.shape[0], address(out, 0), out.shape[1])

    @numba.njit(error_model="numpy")
    def gradient(times, a, d, out):
        for _ in range(times):
            sums(a.shape[0], d.shape[0], a.shape[1], address(a, 0), address(d, 0), address(out, 0), False)

    return {kind: mapped(function) for kind, function in maps.items()} | {"columns": turn, "sums": gradient}


def products(name: str) -> list[Callable[..., None]]:
    """Return the three products of the package `name`."""
    gemm, simd, tile = (importlib.import_module(f"{name}.{part}") for part in ("gemm", "simd", "tile"))
    multiply, address, room = gemm.gemm, simd.address, gemm.PACKED
    bias, zero, relu, store = tile.START_BIAS, tile.START_ZERO, tile.END_RELU, tile.END_STORE

    @numba.njit(error_model="numpy")
    def forward(times, m, n, k, a, lda, b, ldb, c, ldc, first, packed):
        for _ in range(times):
            multiply(m, n, k, address(a, 0), lda, 1, address(b, 0), ldb, False, None, address(c, 0), ldc, bias,
                     address(first, 0), relu, address(c, 0), ldc, address(packed, 0))  # fmt: skip

    @numba.njit(error_model="numpy")
    def delta(times, m, n, k, a, lda, b, ldb, c, ldc, first, packed):
        for _ in range(times):
            multiply(m, n, k, address(a, 0), lda, 1, address(b, 0), ldb, True, None, address(c, 0), ldc, zero,
                     address(first, 0), store, address(c, 0), ldc, address(packed, 0))  # fmt: skip

    @numba.njit(error_model="numpy")
    def gradient(times, m, n, k, a, lda, b, ldb, c, ldc, first, packed):
        for _ in range(times):
            multiply(m, n, k, address(a, 0), 1, lda, address(b, 0), ldb, False, None, address(c, 0), ldc, zero,
                     address(first, 0), store, address(c, 0), ldc, address(packed, 0))  # fmt: skip

    scratch = aligned_zeros(room, np.float32)

    def with_scratch(product: Any) -> Callable[..., None]:
        return lambda *args: product(*args, scratch)

    return [with_scratch(product) for product in (forward, delta, gradient)]


def normal(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return normally distributed numbers."""
    array = aligned_zeros(shape, dtype)
    array[...] = np.random.default_rng(0).normal(size=shape)
    return array


def operands(m: int, k: int, n: int) -> list[tuple]:
    """Return the arguments of each product of m rows through a layer of k inputs and n units."""
    ldx, ldz = (16 * (width // 16 + 1) for width in (k, n))  # with a column of ones, in whole vectors, as in the engine
    x, w, d, bias = (normal(shape, np.float32) for shape in ((m, ldx), (k, n), (m, ldz), (1, n)))
    z, dx, dw = (aligned_zeros(shape, np.float32) for shape in ((m, ldz), (m, ldx), (k, n)))
    return [
        (m, n, k, x, ldx, w, n, z, ldz, bias),
        (m, k, n, d, ldz, w, n, dx, ldx, bias),
        (k, n, m, x, ldx, d, ldz, dw, n, bias),
    ]


def compare(ours: Callable[..., None], theirs: Callable[..., None], args: tuple) -> tuple[float, float]:
    """Return the median of our seconds, and of the ratios of theirs to ours."""
    for product in (ours, theirs):
        product(1, *args)
    began = time.perf_counter()
    ours(3, *args)
    times = max(1, int(3 * SECONDS / (time.perf_counter() - began)))
    found = np.empty((TURNS, 2))
    for turn in range(TURNS):
        for side, product in list(enumerate((ours, theirs)))[:: 1 if turn % 2 else -1]:
            began = time.perf_counter()
            product(times, *args)
            found[turn, side] = (time.perf_counter() - began) / times
    return float(np.median(found[:, 0])), float(np.median(found[:, 1] / found[:, 0]))


def main() -> None:
    """Compare, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.versions", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("other", type=Path, help="folder of the other checkout")
    parser.add_argument("shapes", nargs="*", help="rows,inputs,units of a layer, such as 128,784,256")
    given = parser.parse_args()
    shapes = [tuple(map(int, shape.split(","))) for shape in given.shapes] or SHAPES
    names = load(Path(__file__).parents[1], "kernels_here"), load(given.other, "kernels_there")
    table = Table(title="float32 GFLOP/s (the other's time to ours)")
    table.add_column("rows, inputs, units")
    for name in PRODUCTS:
        table.add_column(name, justify="right")
    here, there = (products(name) for name in names)
    for m, k, n in shapes:
        cells = []
        for ours, theirs, args in zip(here, there, operands(m, k, n), strict=True):
            seconds, ratio = compare(ours, theirs, args)
            cells.append(f"{2e-9 * m * k * n / seconds:.0f} ({ratio:.3f})")
        table.add_row(f"{m}, {k}, {n}", *cells)
    Console().print(table)
    if not given.shapes:
        Console().print(smaller(*(parts(name) for name in names)))


def smaller(here: dict[str, Callable[..., None]], there: dict[str, Callable[..., None]]) -> Table:
    """Return a table of the smaller kernels."""
    table = Table(title="ns (the other's time to ours)")
    table.add_column("kernel")
    for dtype in DTYPES:
        table.add_column(dtype, justify="right")
    for label, (kind, *shapes, made) in PARTS.items():
        cells = []
        for dtype in DTYPES:
            args = (*(normal(shape, dtype) for shape in shapes), aligned_zeros(made, dtype))
            seconds, ratio = compare(here[kind], there[kind], args)
            cells.append(f"{1e9 * seconds:.0f} ({ratio:.3f})")
        table.add_row(label, *cells)
    return table


if __name__ == "__main__":
    main()
