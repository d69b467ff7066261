"""Errors of the elementary functions over the whole range, in units in the last place (ULP).

One ULP is the distance between neighbouring numbers of the result's dtype at the exact result; an infinite result
counts as the number that would come after the largest. The exact results are mpmath's, or for the many arguments of
the float32 scan NumPy's and SciPy's in float64.

Denormal results: exp gives them in full. sigmoid and softplus are built on an exponential that stops shortly before
the smallest normal number and give 0 for x < -87 (float32) and x < -708 (float64). tanh and erf of a denormal number
are that number or a neighbour, and log takes denormal arguments as any others.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("mpmath")

import mpmath
import numba
from fastmlp.kernels import simd, tanh_table, vmath

pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="kernels need the compiler")

PRECISION = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
LARGEST_ERROR = {np.float32: 2, np.float64: 4}
# Where e^x for x <= 0 is cut to zero.
CUT = {np.float32: -87.0, np.float64: -708.0}
# Bits enough to round correctly what two roundings of a float64 computation could blur.
BITS = 160


@dataclass
class Function:
    """An elementary function: its exact value, the same in float64, and where its formula or its result changes."""

    exact: Callable
    plain: Callable
    switches: dict[type, list[float]]
    domain: tuple[float, float] = (-np.inf, np.inf)
    cut: bool = False  # whether results below the smallest normal number are 0


def both(*switches: float) -> dict[type, list[float]]:
    return {np.float32: list(switches), np.float64: list(switches)}


def exact_softplus(x):
    return mpmath.log1p(mpmath.exp(x)) if x <= 0 else x + mpmath.log1p(mpmath.exp(-x))


def plain_erf(x):
    return pytest.importorskip("scipy.special").erf(x)


EXP_ENDS = {
    np.float32: [-104.0, -103.97, -103.28, -87.3365, 88.7228, 89.0, -0.34657, 0.34657],
    np.float64: [-746.0, -745.13, -708.3964, 709.7827, 710.0, -0.34657, 0.34657],
}
GATE_ENDS = {
    np.float32: [-104.0, -88.0, -87.3365, -87.0, -17.4, 16.7, 17.4, 87.0, 104.0],
    np.float64: [-746.0, -709.0, -708.3964, -708.0, -37.0, 36.8, 37.0, 708.0],
}
# Where other ways to add up softplus were off by more than 2 ULP, with FMA or without.
SUM_ENDS = {np.float32: [*GATE_ENDS[np.float32], 0.3317602, 0.30162242, 0.09482047], np.float64: GATE_ENDS[np.float64]}
FUNCTIONS = {
    "exp": Function(mpmath.exp, np.exp, EXP_ENDS),
    "log": Function(mpmath.log, np.log, both(0.5, np.sqrt(0.5), 1.0, np.sqrt(2), 2.0), domain=(0.0, np.inf)),
    "tanh": Function(mpmath.tanh, np.tanh, both(0.046875, 0.0546875, 0.17329, 0.625, 1.0, 8.0, 9.02, 10.0, 19.1, 20.0, 43.5)),
    "sigmoid": Function(lambda x: 1 / (1 + mpmath.exp(-x)), lambda x: 1 / (1 + np.exp(-x)), GATE_ENDS, cut=True),
    "softplus": Function(exact_softplus, lambda x: np.logaddexp(0, x), SUM_ENDS, cut=True),
    "erf": Function(mpmath.erf, plain_erf, both(1.0, 2.0, 3.83, 3.92, 4.0, 5.86, 5.93, 6.0)),
}
NAMES = pytest.mark.parametrize("name", list(FUNCTIONS))


def of(name: str, x: np.ndarray) -> np.ndarray:
    """The kernel's result."""
    out = np.full_like(x, 12345)
    getattr(vmath, name)(x, out)
    return out


def neighbours(x: float, dtype, n: int) -> np.ndarray:
    """x in dtype with the n numbers before and after it."""
    bits = np.array([x], dtype).view(np.int32 if dtype == np.float32 else np.int64)
    return (bits + np.arange(-n, n + 1, dtype=bits.dtype)).view(dtype)


def arguments(name: str, dtype) -> np.ndarray:
    """Random numbers of every magnitude and sign, in every interval between switches, and close by the switches."""
    function, info = FUNCTIONS[name], np.finfo(dtype)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    lowest, highest = np.log2(float(info.smallest_subnormal)), np.log2(float(info.max))
    sizes = [rng.uniform(lowest, highest, 600), rng.uniform(-30, 11, 600)]
    magnitudes = 2 ** np.concatenate(sizes)
    ends = sorted({*(s * x for x in function.switches[dtype] for s in (1, -1)), 0.0})
    ends = [1.5 * ends[0], *ends, 1.5 * ends[-1]]
    between = [rng.uniform(low, high, 150) for low, high in itertools.pairwise(ends)]
    close = [neighbours(x, dtype, 12) for x in ends if x]
    near = [x * (1 + 0.02 * rng.normal(size=60)) for x in ends]
    x = np.concatenate([magnitudes, -magnitudes, *between, *near]).astype(dtype)
    x = np.concatenate([x, *close])
    return x[(x > function.domain[0]) & np.isfinite(x)]


def ulp_exponent(exact, dtype) -> int:
    """The power of two that is one ULP at an exact result."""
    info = np.finfo(dtype)
    exponent = mpmath.frexp(exact)[1] - 1 if exact else info.minexp
    return int(min(max(exponent, info.minexp), info.maxexp - 1)) - info.nmant


def errors(function: Function, x: np.ndarray, got: np.ndarray) -> np.ndarray:
    """Each result's error in ULP."""
    dtype = x.dtype.type
    off = np.empty(x.size)
    with mpmath.workprec(BITS):
        beyond = mpmath.ldexp(1, np.finfo(dtype).maxexp)
        for i, (argument, result) in enumerate(zip(x.tolist(), got.tolist(), strict=True)):
            exact = min(function.exact(mpmath.mpf(argument)), beyond)
            result = mpmath.mpf(result)
            off[i] = abs(min(result, beyond) - exact) * mpmath.ldexp(1, -ulp_exponent(exact, dtype))
    return off


def assert_ulps(x, off, limit) -> None:
    worst = int(np.argmax(np.where(np.isnan(off), np.inf, off)))
    assert off[worst] <= limit, f"{off[worst]:.2f} ULP at {x[worst]!r}, at most {limit} are allowed"


@NAMES
@PRECISION
def test_error_is_within_the_limit_over_the_whole_range(name, dtype):
    function, x = FUNCTIONS[name], arguments(name, dtype)
    got = of(name, x)
    if function.cut:
        low = x < CUT[dtype]
        assert low.any()
        assert (got[low] == 0).all()
        x, got = x[~low], got[~low]
    assert_ulps(x, errors(function, x, got), LARGEST_ERROR[dtype])


@NAMES
def test_float32_scan_of_evenly_spaced_bit_patterns(name):
    """Float64 is exact enough to judge float32; an odd distance goes through the lowest bits, too.

    Closer together where the functions are neither constant nor straight, since the worst arguments are rare.
    """
    function, dtype = FUNCTIONS[name], np.float32
    low, high = np.array([2.0**-8, 32.0], np.float32).view(np.uint32)
    everywhere, curved = np.arange(0, 2**32, 4093, dtype=np.uint32), np.arange(low, high, 101, dtype=np.uint32)
    x = np.concatenate([everywhere, curved, curved | np.uint32(1 << 31)]).view(np.float32)
    x = x[np.isfinite(x) & (x > function.domain[0])]
    got = of(name, x)
    with np.errstate(all="ignore"):
        exact = function.plain(x.astype(np.float64))
    if function.cut:
        exact[x < CUT[dtype]] = 0
    ulp = np.ldexp(1.0, np.clip(np.frexp(exact)[1] - 1, -126, 127) - 23)
    held = np.minimum(got.astype(np.float64), 2.0**128), np.minimum(exact, 2.0**128)
    assert_ulps(x, np.abs(held[0] - held[1]) / ulp, LARGEST_ERROR[dtype])


SPECIAL = {  # f of 0, -0, inf, -inf and the largest number
    "exp": (1.0, 1.0, np.inf, 0.0, np.inf),
    "log": (-np.inf, -np.inf, np.inf, np.nan, None),
    "tanh": (0.0, -0.0, 1.0, -1.0, 1.0),
    "sigmoid": (0.5, 0.5, 1.0, 0.0, 1.0),
    "softplus": (np.log(2), np.log(2), np.inf, 0.0, "x"),
    "erf": (0.0, -0.0, 1.0, -1.0, 1.0),
}


@NAMES
@PRECISION
def test_special_values(name, dtype):
    """Limits are exact, zeros keep their sign, and NaN gives NaN whatever its sign."""
    largest = np.finfo(dtype).max
    x = np.array([0.0, -0.0, np.inf, -np.inf, largest, np.nan, -np.nan], dtype)
    got = of(name, x)
    at_largest = {None: np.log(np.float64(largest)), "x": largest}.get(SPECIAL[name][-1], SPECIAL[name][-1])
    expected = np.array([*SPECIAL[name][:-1], at_largest, np.nan, np.nan]).astype(dtype)
    np.testing.assert_array_equal(got, expected)
    zeros = expected == 0
    np.testing.assert_array_equal(np.signbit(got[zeros]), np.signbit(expected[zeros]))


@NAMES
@PRECISION
def test_nan_in_any_lane_stays_in_its_lane(name, dtype):
    n = 2 * simd.LANES32 + 3
    x = np.full(n, 0.75, dtype)
    alone = of(name, x)
    for i in range(n):
        y = x.copy()
        y[i] = np.nan
        got = of(name, y)
        assert np.isnan(got[i])
        np.testing.assert_array_equal(np.delete(got, i), np.delete(alone, i))


def test_the_table_of_tanh() -> None:
    """Each row again, by interpolation in high precision."""
    edges = np.array(tanh_table.FIRST + (np.arange(33) << tanh_table.SHIFT), np.uint32).view(np.float32).tolist()
    rows = np.array(tanh_table.ROWS, np.float32).tolist()
    assert edges[31] == tanh_table.LAST == tanh_table.ROWS[31][0]
    assert tanh_table.ROWS[31][1:] == (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    with mpmath.workdps(40):
        for low, high, (b, start, *coefficients) in zip([0.0, *edges[1:]], edges[1:], rows[:31], strict=False):
            assert low <= b < high
            assert abs(mpmath.tanh(b) - start) <= (0.02 if b < 4 else 0.5) * mpmath.mpf(float(np.spacing(np.float32(start))))
            points = [(low + high) / 2 + (mpmath.mpf(high) - low) / 2 * mpmath.cos(mpmath.pi * (k + 0.5) / 5) for k in range(5)]
            powers = mpmath.matrix(5, 5)
            for i, point in enumerate(points):
                for j in range(5):
                    powers[i, j] = (point - b) ** j
            slopes = mpmath.matrix([(mpmath.tanh(point) - mpmath.tanh(b)) / (point - b) for point in points])
            expected = [float(np.float32(float(c))) for c in mpmath.lu_solve(powers, slopes)]
            np.testing.assert_allclose(coefficients, expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["tanh", "erf"])
@PRECISION
def test_odd_functions_are_odd_to_the_bit(name, dtype):
    x = arguments(name, dtype)
    np.testing.assert_array_equal(of(name, -x), -of(name, x))


@pytest.mark.parametrize("name", ["tanh", "erf", "sigmoid"])
@PRECISION
def test_bounded_functions_never_leave_their_bounds(name, dtype):
    got = of(name, arguments(name, dtype))
    assert (got <= 1).all()
    assert (got >= (0 if name == "sigmoid" else -1)).all()


@PRECISION
def test_logarithm_of_negative_numbers_is_nan(dtype):
    info = np.finfo(dtype)
    x = -np.array([info.smallest_subnormal, info.tiny, 1, info.max], dtype)
    assert np.isnan(of("log", x)).all()


@NAMES
@PRECISION
def test_denormal_arguments(name, dtype):
    """Even the smallest of both signs; tanh and erf of them are not flushed to zero."""
    function, info = FUNCTIONS[name], np.finfo(dtype)
    small = np.array([1, 2, 3, 5, 2**10 + 1, 2 ** (info.nmant - 1) + 1, 2**info.nmant - 1], np.float64)
    x = np.concatenate([small, -small]) * float(info.smallest_subnormal)
    x = x.astype(dtype)
    assert (x != 0).all()
    x = x[x > function.domain[0]]
    got = of(name, x)
    assert_ulps(x, errors(function, x, got), LARGEST_ERROR[dtype])
    if name in ("tanh", "erf"):
        assert (got[np.abs(x) > info.smallest_subnormal] != 0).all()


@PRECISION
def test_exponential_gives_denormal_results(dtype):
    info = np.finfo(dtype)
    x = np.linspace(np.log(float(info.smallest_subnormal)) + 0.1, np.log(float(info.tiny)) - 0.1, 50).astype(dtype)
    got = of("exp", x)
    assert ((got > 0) & (got < info.tiny)).all()


def test_the_measure_of_errors():
    """A correctly rounded result is off by half a ULP at most, its neighbours by up to 1.5, also at the ends."""
    for dtype in (np.float32, np.float64):
        x = neighbours(1.0, dtype, 20)
        rounded = np.array([float(mpmath.exp(v)) for v in x.tolist()]).astype(dtype)
        function = FUNCTIONS["exp"]
        assert (errors(function, x, rounded) <= 0.5).all()
        off = errors(function, x, np.nextafter(rounded, dtype(9)))
        assert ((off >= 0.5) & (off <= 1.5)).all()
        huge = np.array([1e4], dtype)
        assert errors(function, huge, np.array([np.inf], dtype)) == 0
        assert errors(function, huge, np.array([np.finfo(dtype).max])) == 1
        assert errors(function, -huge, np.array([np.finfo(dtype).smallest_subnormal])) == 1
        assert np.isnan(errors(function, x[:1], np.array([np.nan], dtype))).all()
