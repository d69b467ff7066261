"""Activations of the user's own from pairs of functions: compiled, called, refused, copied."""

from __future__ import annotations

import functools
import math
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest

import fastmlp as fm
from tests.compiler import needs_compiler
from tests.user_activations import both, cube, data

sympy = pytest.importorskip("sympy")

x = sympy.Symbol("x", real=True)


def cube_slope(t):
    return 3 * t * t / 10


def leak(t):
    return t if t > 0 else 0.2 * t


def leak_slope(t):
    return 1.0 if t > 0 else 0.2


@pytest.mark.parametrize(
    ("f", "df", "same"),
    [(np.sin, np.cos, sympy.sin(x)), (cube, cube_slope, x**3 / 10), (leak, leak_slope, sympy.Max(x, x / 5)),
     (lambda t: np.where(t > 0, t, 0.2 * t), lambda t: np.where(t > 0, 1.0, 0.2), sympy.Max(x, x / 5))],
    ids=["ufuncs", "arithmetic", "scalar", "where"],
)  # fmt: skip
def test_a_pair_of_functions_is_what_its_formula_is(f, df, same, engine) -> None:
    act = fm.activation(f, df, name="pair")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fm.PrecisionWarning)
        formula = fm.activation(same)
    for dtype in ("float32", "float64"):
        X, y = data(dtype)
        grads = [
            fm.MLP([3, 5, 4, 1], activation=a, init="lecun_normal", dtype=dtype).value_and_grad(X, y)[1] for a in (act, formula)
        ]
        np.testing.assert_allclose(
            *grads, rtol=1e-4 if dtype == "float32" else 1e-11, atol=1e-5 if dtype == "float32" else 1e-12
        )


def test_a_compiled_scalar_function_serves_both_engines(engine) -> None:
    numba = pytest.importorskip("numba")
    act = fm.activation(numba.njit(leak), numba.njit(leak_slope), name="compiled leak")
    a, g = both(act, np.array([-1.0, 2.0]))
    np.testing.assert_allclose((a, g), ([-0.2, 2.0], [0.2, 1.0]))


def tanh_slope(x):
    return 1.0 - np.tanh(x) ** 2


@pytest.mark.parametrize("f", [math.tanh, np.tanh], ids=["math", "numpy"])
def test_functions_that_are_not_written_in_python_serve_both_engines(f, engine) -> None:
    a, g = both(fm.activation(f, tanh_slope, name=f"tanh of {f}"), np.array([-1.0, 2.0]))
    np.testing.assert_allclose((a, g), (np.tanh([-1.0, 2.0]), tanh_slope(np.array([-1.0, 2.0]))), rtol=1e-12)


class Squash:
    """What can be called and is no function."""

    def __call__(self, x):
        return np.tanh(x)

    def method(self, x):
        return np.tanh(x)


@needs_compiler
@pytest.mark.parametrize("first", ["numba", "numpy"])
@pytest.mark.parametrize("pair", [0, 1], ids=["f", "df"])
@pytest.mark.parametrize(
    "called", [Squash(), Squash().method, functools.partial(np.tanh), np.vectorize(math.tanh)], ids=lambda f: type(f).__name__
)
@pytest.mark.filterwarnings("ignore::fastmlp.errors.PrecisionWarning")
def test_what_can_be_called_and_is_no_function_is_refused_in_our_words(called, pair, first) -> None:
    fm.use_engine(first)
    functions = (called, tanh_slope) if pair == 0 else (np.tanh, called)
    name = f"{type(called).__name__} {pair} {first}"
    words = "Numba cannot compile the activation's function or its derivative .*: write them as plain functions.* It says: "
    try:
        if first == "numba":
            with pytest.raises(TypeError, match=f"^{words}"):
                fm.activation(*functions, name=name)
            return
        net = fm.MLP([2, 3, 1], activation=fm.activation(*functions, name=name))
        assert net.predict([[1, 2]]).shape == (1, 1)
        fm.use_engine("numba")
        with pytest.raises(TypeError, match=f"^activation '{name}': {words}"):
            net.predict([[1, 2]])
    finally:
        fm.use_engine()


@needs_compiler
def test_functions_that_numba_cannot_compile_are_in_nobody_s_way() -> None:
    """Refused by the engine that compiles; of the other one, they keep only networks with them from being computed there."""
    script = """
        import json
        import numpy as np
        import fastmlp as fm

        def through_text(x):
            return np.reshape([json.loads("1") * v for v in np.ravel(x)], np.shape(x))

        try:
            fm.activation(through_text, lambda x: np.ones_like(x))
        except TypeError as error:
            print("Numba cannot compile the activation's function or its derivative" in str(error))
        fm.use_engine("numpy")
        act = fm.activation(through_text, lambda x: np.ones_like(x))
        net, population = fm.MLP([2, 3, 1], activation=act), fm.Population([2, 3, 1], size=2, activation=act)
        print(net.predict([[1, 2]]).shape)
        for _ in range(2):
            fm.use_engine("numba")
        print(fm.engine.active_name(), fm.MLP([2, 3, 1]).predict([[1, 2]]).shape)
        for one in (net, population):
            for answer in (one.predict, lambda X: one.loss(X, [1]), lambda X: one.fit(X, [1])):
                try:
                    answer([[1, 2]])
                except TypeError as error:
                    print(str(error).count("activation 'through_text': Numba cannot compile"), str(error).count("\\n"))
        fm.use_engine("numpy")
        print(net.history, population.history, net.predict([[1, 2]]).shape, population.predict([[1, 2]]).shape)
        """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == [
        "True", "(1, 1)", "numba (1, 1)", *["1 0"] * 6, "None None (1, 1) (2, 1, 1)",
    ], done.stderr  # fmt: skip


def test_a_network_with_functions_is_not_saved_but_copied_and_pickled(tmp_path) -> None:
    act = fm.activation(cube, cube_slope)
    net = fm.MLP([3, 4, 1], activation=act)
    with pytest.raises(
        ValueError, match=r"'cube' is a pair of Python functions, and files hold no code. Make it from a formula"
    ):
        net.save(tmp_path / "net")
    assert list(tmp_path.iterdir()) == []
    X, _ = data("float32")
    assert net.copy().layers[0].activation is act
    np.testing.assert_array_equal(net.copy().predict(X), net.predict(X))


def test_functions_of_no_numbers_are_told_by_their_derivative() -> None:
    with pytest.warns(fm.PrecisionWarning, match="it gives 1, and differences of f give 0"):
        fm.activation(lambda x: x > 0, lambda x: x < 100)


def test_a_derivative_that_is_none_is_told() -> None:
    with pytest.warns(
        fm.PrecisionWarning, match=r"df is not the derivative of f: at x = -7.31 it gives .*differences of f give"
    ):
        fm.activation(cube, leak_slope)
