"""Elementary functions on vectors: time per element beside NumPy's, cycles, and errors in units in the last place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numba
import numpy as np
from fastmlp.kernels import vmath
from numpy.typing import NDArray
from rich.table import Table
from scipy.special import erf

from .measure import Effort, calls, contest

# Large enough that a call counts for little, small enough for L1.
SIZE = 4096
ROUNDS = 5
FUNCTIONS = ("exp", "log", "tanh", "sigmoid", "softplus", "erf")
_EXACT = {
    "exp": mpmath.exp,
    "log": mpmath.log,
    "tanh": mpmath.tanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "erf": mpmath.erf,
}
_CHECKED = 3000


def _sigmoid(x: NDArray, out: NDArray) -> None:
    np.negative(x, out)
    np.exp(out, out)
    out += 1
    np.reciprocal(out, out)


def _softplus(x: NDArray, out: NDArray) -> None:
    np.abs(x, out)
    np.negative(out, out)
    np.exp(out, out)
    np.log1p(out, out)
    out += np.maximum(x, 0)


# As one writes them in NumPy for speed, of arguments whose e^-x does not overflow.
NUMPY: dict[str, Callable[[NDArray, NDArray], Any]] = {
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "erf": erf,
}


def arguments(name: str, dtype: str, size: int) -> NDArray:
    """Return arguments as a network meets them: of either sign, or for the logarithm over many powers of ten."""
    x = np.random.default_rng(0).normal(0.0, 3.0, size)
    return (np.exp(2.0 * x) if name == "log" else x).astype(dtype)


def ulp(name: str, dtype: str) -> float:
    """Return the largest error against mpmath over some thousand arguments, in units in the last place."""
    x = arguments(name, dtype, _CHECKED)
    found = np.empty_like(x)
    getattr(vmath, name)(x, found)
    worst = 0.0
    with mpmath.workdps(40):
        for value, argument in zip(found, x, strict=True):
            exact = _EXACT[name](mpmath.mpf(float(argument)))
            unit = float(np.spacing(np.abs(np.array(float(exact), dtype))))
            worst = max(worst, float(abs(mpmath.mpf(float(value)) - exact)) / unit)
    return worst


def call(library: str, name: str, dtype: str) -> tuple[Callable[[NDArray, NDArray], None], NDArray, NDArray]:
    """Return a warm function of "fastmlp" or "numpy", arguments for it, and room for its values."""
    x = arguments(name, dtype, SIZE)
    function, out = getattr(vmath, name) if library == "fastmlp" else NUMPY[name], np.empty_like(x)
    function(x, out)
    return function, x, out


def seconds(name: str, dtype: str, rounds: int) -> tuple[float, float]:
    """Return the seconds of an element, ours and NumPy's."""
    ours, x, out = call("fastmlp", name, dtype)
    theirs, *_ = call("numpy", name, dtype)
    best = contest([lambda: ours(x, out), lambda: theirs(x, out)], rounds)
    return best[0] / SIZE, best[1] / SIZE


def hertz() -> float:
    """Return the core's clock, from a chain of six dependent one-cycle instructions."""

    @numba.njit
    def chain(n, x):
        for _ in range(n):
            x ^= x << np.uint64(13)
            x ^= x >> np.uint64(7)
            x ^= x << np.uint64(17)
        return x

    rounds = 200_000
    chain(1, np.uint64(1))
    return 6 * rounds / min(calls(lambda: chain(rounds, np.uint64(1)), 0.02) for _ in range(10))


def measure(effort: Effort, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure every function in both dtypes."""
    clock = hertz()
    result: dict[str, Any] = {"hertz": clock, "functions": {}}
    for dtype in ("float32", "float64"):
        for name in FUNCTIONS:
            say(f"functions: {name} {dtype}")
            ours, theirs = seconds(name, dtype, ROUNDS * effort.fewest)
            result["functions"][f"{name} {dtype}"] = {
                "ns": 1e9 * ours,
                "cycles": clock * ours,
                "numpy ns": 1e9 * theirs,
                "ratio": theirs / ours,
                "ulp": ulp(name, dtype),
            }
    return result


def table(result: dict[str, Any]) -> Table:
    """Return the figures as a table."""
    clock = result["hertz"] / 1e9
    shown = Table(title=f"Functions of {SIZE} elements on one thread, at {clock:.2f} GHz", caption="NumPy: SciPy's erf")
    for column in ("", "ns an element", "cycles", "NumPy ns", "ratio", "largest error, ULP"):
        shown.add_column(column, justify="right" if column else "left")
    for name, row in result["functions"].items():
        nanoseconds = f"{row['ns']:.3f}", f"{row['cycles']:.2f}", f"{row['numpy ns']:.3f}"
        shown.add_row(name, *nanoseconds, f"{row['ratio']:.1f}×", f"{row['ulp']:.2f}")
    return shown
