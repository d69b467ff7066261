"""What a hundred digits say of formulas: where they are wrong, and that they come to an end."""

from __future__ import annotations

import math
import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("sympy")

import sympy

import fastmlp as fm
from fastmlp.symbolic.check import GRID, X, exact


def test_what_is_wrong_somewhere_is_told_with_its_range() -> None:
    with pytest.warns(fm.PrecisionWarning, match=r"f\(x\) is wrong in float32 for x from 89 to 10000"):
        fm.activation(lambda t: sympy.exp(t) / (2 + sympy.exp(t) + sympy.cos(t)))
    with pytest.warns(fm.PrecisionWarning, match=r"f\(x\) is no finite real number for x from -10000 to 0"):
        fm.activation(lambda t: sympy.log(t))


def test_powers_in_a_hundred_digits_have_the_values_of_powers() -> None:
    for power, plain in ((sympy.Abs(X) ** X, lambda z: abs(z) ** z), ((-2) ** X, lambda z: (-2.0) ** z)):
        for z, value in zip(GRID.tolist(), exact(power), strict=True):
            if abs(z) <= 100:
                wanted = plain(z)
                assert value == (None if isinstance(wanted, complex) else pytest.approx(wanted, rel=1e-12))


@pytest.mark.skipif(sys.platform == "win32", reason="this test bounds memory in the way of Unix")
def test_towers_of_powers_are_beyond_all_numbers_and_not_computed() -> None:
    script = textwrap.dedent("""
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30))
        import sympy
        from fastmlp.symbolic.check import X, exact
        from fastmlp.symbolic.derive import derive

        for f in (2 ** (2 ** (2**X)), (1 + X**2) ** sympy.exp(X)):
            print(exact(f)[-1], exact(1 / (1 + f))[-1], derive(1 / (1 + f)).value[0])
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("None 0.0 div\n" * 2, "")


def test_powers_of_powers_have_their_values_where_those_are_finite() -> None:
    values = exact(1 / (1 + sympy.Rational(3, 2) ** (-(X**3))))
    assert (values[0], values[-1]) == (0.0, 1.0)
    assert None not in values
    assert exact(2 ** (X**2))[-1] == math.inf
