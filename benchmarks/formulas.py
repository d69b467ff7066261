"""Activations from formulas beside the same ones built in: time per element of f and f' together, and of making one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sympy
from fastmlp.kernels import activations
from rich.table import Table

import fastmlp as fm

from .measure import Effort, contest

SIZE = 4096
ROUNDS = 5
exp, log, tanh, erf = sympy.exp, sympy.log, sympy.tanh, sympy.erf
# As people write them.
FORMULAS: dict[str, Callable[[sympy.Symbol], sympy.Expr]] = {
    "relu": lambda x: sympy.Max(x, 0),
    "elu": lambda x: sympy.Piecewise((x, x > 0), (exp(x) - 1, True)),
    "gelu": lambda x: x * (1 + erf(x / sympy.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x * (1 + tanh(sympy.sqrt(2 / sympy.pi) * (x + 0.044715 * x**3))) / 2,
    "silu": lambda x: x / (1 + exp(-x)),
    "mish": lambda x: x * tanh(log(1 + exp(x))),
    "softplus": lambda x: log(1 + exp(x)),
    "tanh": lambda x: (exp(x) - exp(-x)) / (exp(x) + exp(-x)),
    "sigmoid": lambda x: 1 / (1 + exp(-x)),
}


def seconds(name: str, dtype: str, rounds: int) -> tuple[float, float]:
    """Return the seconds of an element, from the formula and built in; their results agree."""
    z = np.random.default_rng(0).normal(0.0, 3.0, SIZE).astype(dtype)
    kinds = fm.activation(FORMULAS[name]).id, fm.activations.lookup(name).id
    results = np.empty((2, 2, SIZE), dtype)

    def call(which: int) -> Callable[[], None]:
        return lambda: activations.activate(kinds[which], z, *results[which])

    for which in (0, 1):
        call(which)()
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-5)
    ours, built_in = contest([call(0), call(1)], rounds)
    return ours / SIZE, built_in / SIZE


def measure(effort: Effort, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure every formula in both dtypes."""
    fm.use_engine("numba")
    result: dict[str, Any] = {}
    for dtype in ("float32", "float64"):
        for name in FORMULAS:
            say(f"formulas: {name} {dtype}")
            ours, built_in = seconds(name, dtype, ROUNDS * effort.fewest)
            result[f"{name} {dtype}"] = {"ns": 1e9 * ours, "built-in ns": 1e9 * built_in, "ratio": ours / built_in}
    return result


def table(result: dict[str, Any]) -> Table:
    """Return the figures as a table."""
    shown = Table(title=f"Activations from formulas, f and f' of {SIZE} elements on one thread")
    for column in ("", "ns an element", "built in, ns", "ratio"):
        shown.add_column(column, justify="right" if column else "left")
    for name, row in result.items():
        shown.add_row(name, f"{row['ns']:.3f}", f"{row['built-in ns']:.3f}", f"{row['ratio']:.2f}×")
    return shown
