"""Activations of the user's own: both engines, built-ins written as formulas, files, processes, precision."""

from __future__ import annotations

import copy
import json
import math
import pickle
import subprocess
import sys
import warnings

import mpmath
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastmlp as fm
from fastmlp.symbolic import tree
from tests.compiler import needs_compiler
from tests.user_activations import both, cube, data

sympy = pytest.importorskip("sympy")

x = sympy.Symbol("x", real=True)
exp, log, tanh, erf = sympy.exp, sympy.log, sympy.tanh, sympy.erf

# Built-in activations as people write them.
SAME = {
    "identity": x,
    "relu": sympy.Max(x, 0),
    "leaky_relu": sympy.Piecewise((x, x > 0), (x / 100, True)),
    "elu": sympy.Piecewise((x, x > 0), (exp(x) - 1, True)),
    "gelu": x * (1 + erf(x / sympy.sqrt(2))) / 2,
    "gelu_tanh": x * (1 + tanh(sympy.sqrt(2 / sympy.pi) * (x + 0.044715 * x**3))) / 2,
    "silu": x / (1 + exp(-x)),
    "mish": x * tanh(log(1 + exp(x))),
    "softplus": log(1 + exp(x)),
    "tanh": (exp(x) - exp(-x)) / (exp(x) + exp(-x)),
    "sigmoid": 1 / (1 + exp(-x)),
    "hard_sigmoid": sympy.Min(sympy.Max(x / 6 + sympy.Rational(1, 2), 0), 1),
    "exp": exp(x),
}
EXTREME = np.array([-1e4, -100, -20, -1.5, -1e-8, 0.0, 1e-8, 0.7, 20, 100, 1e4])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SAME)
def test_a_built_in_written_as_a_formula_is_the_built_in(name, dtype, engine) -> None:
    act = fm.activation(SAME[name])
    z = np.concatenate([EXTREME, np.linspace(-12, 12, 301)]).astype(dtype)
    z = z[np.abs(z) < 80] if name == "exp" else z
    (a, g), (b, h) = both(act, z), both(fm.activations.lookup(name), z)
    eps = np.finfo(dtype).eps
    assert (np.abs(a - b) <= 16 * eps * (np.abs(b) + 1)).all()
    at_kink = np.isclose(np.abs(z), 3) if name == "hard_sigmoid" else np.zeros(z.size, bool)
    assert (np.abs(g - h) <= 64 * eps * (np.abs(h) + 1))[~at_kink].all()


@pytest.mark.parametrize("name", ["sigmoid", "softplus", "silu", "tanh", "mish"])
def test_what_overflows_as_it_is_written_is_right_and_without_a_warning(name, engine) -> None:
    """At ±1e4, value and derivative; warnings are errors here."""
    act = fm.activation(SAME[name])
    for dtype in ("float32", "float64"):
        a, g = both(act, np.array([-1e4, 1e4], dtype))
        expected = {"sigmoid": ([0, 1], [0, 0]), "tanh": ([-1, 1], [0, 0])}.get(name, ([0, 1e4], [0, 1]))
        np.testing.assert_array_equal((a, g), expected)


def test_the_derivative_is_the_cheaper_of_its_forms() -> None:
    assert fm.activation(SAME["tanh"]).slope == ("sub", 1.0, ("pow", "a", 2.0))
    assert "a" in str(fm.activation(SAME["sigmoid"]).slope)
    assert tree.text(fm.activation(SAME["softplus"]).slope) == "sigmoid(x)"


def test_common_subexpressions_are_computed_once() -> None:
    act = fm.activation(SAME["silu"])
    lines = tree.program(act.value, act.slope)[0]
    assert sum(line[0] == "sigmoid" for line in lines) == 1


CUSTOM = [
    x * sympy.atan(x), x / (1 + sympy.Abs(x)), x * exp(-(x**2)), sympy.sin(x) + x / 2, log(sympy.cosh(x)), sympy.sinh(x) / 9,
    sympy.sqrt(x**2 + 1) - 1, sympy.Max(x, 0) ** 2, x * sympy.Heaviside(x), sympy.sign(x) * log(1 + sympy.Abs(x)),
    sympy.Piecewise((x**2, (x > -1) & (x < 1)), (2 * sympy.Abs(x) - 1, True)),
]  # fmt: skip


@needs_compiler
@pytest.mark.parametrize("formula", CUSTOM, ids=str)
def test_gradients_agree_with_central_differences_and_the_engines_with_each_other(formula) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fm.PrecisionWarning)
        act = fm.activation(formula)
    X, y = data()
    found = []
    for engine in ("numba", "numpy"):
        fm.use_engine(engine)
        for dtype in ("float32", "float64"):
            net = fm.MLP([3, 5, (4, False, act), fm.Dense(6, act), 1], activation=act, output=act, dtype=dtype, seed=3)
            found.append((net.predict(X.astype(dtype)), *net.value_and_grad(X.astype(dtype), y.astype(dtype))))
        grad, step = found[-1][2], 1e-6
        for place in range(0, net.n_params, 7):
            keep = net.params[place]
            sides = []
            for side in (step, -step):
                net.params[place] = keep + side
                sides.append(net.loss(X, y))
            net.params[place] = keep
            assert grad[place] == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-5, abs=1e-7)
    fm.use_engine()
    for (p, v, g), (q, w, h), tolerance in [(found[0], found[2], 2e-5), (found[1], found[3], 1e-12)]:
        np.testing.assert_allclose(p, q, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(v, w, rtol=tolerance)
        np.testing.assert_allclose(g, h, rtol=tolerance, atol=tolerance)


@needs_compiler
def test_padding_that_becomes_infinite_harms_nothing() -> None:
    """Whole vectors go through f, also those lanes that hold no units: here f(0) is infinite, and f(1) grows and grows."""
    with pytest.warns(fm.PrecisionWarning, match="no finite real number at x = 0"):
        act = fm.activation(lambda t: t**2 * 3 + 1 / t)
    X, y = data("float32", 200)
    losses = []
    for engine in ("numba", "numpy"):
        fm.use_engine(engine)
        net = fm.MLP([3, (5, True, act), (3, True, act), 1], init=lambda rng, m, n: np.full((m, n), 0.3), seed=1)
        net.params += 0.5
        losses.append(net.value_and_grad(np.abs(X), y)[1])
        assert np.isfinite(losses[-1]).all()
    fm.use_engine()
    np.testing.assert_allclose(*losses, rtol=1e-3)


def test_every_place_takes_it(engine) -> None:
    act = fm.activation(SAME["silu"], name="swash")
    net = fm.MLP([3, 4, fm.Dense(5, act), (4, False, act), {"width": 2, "activation": act}, 1], activation=act)
    assert [dense.activation for dense in net.layers[:-1]] == [act] * 4
    assert (net.biases[2], net.layers[-1].activation) == (None, "identity")
    assert repr(net).startswith("<MLP [3, 4, 5, 4, 2, 1] swash, identity; mse;")
    assert "swash" in net.summary()
    assert fm.MLP([3, 2], output=act).loss_spec.name == "mse"
    assert fm.MLP([3, (2, True, act)]).output == "swash"


def test_nan_stays_and_tails_are_left_alone(engine) -> None:
    act = fm.activation(sympy.Piecewise((x, x > 0), (0, True)))
    for dtype in ("float32", "float64"):
        for n in range(1, 40):
            z = np.linspace(-1, 1, n).astype(dtype)
            z[n // 2] = np.nan
            a, _ = both(act, z)
            np.testing.assert_array_equal(a, np.where(np.isnan(z), z, np.maximum(z, 0)))


def test_copies_and_pickles_have_the_same_activation() -> None:
    act = fm.activation(SAME["mish"])
    net = fm.MLP([3, 4, 1], activation=act)
    assert fm.activation(SAME["mish"]) is act
    assert fm.activation(act) is act
    for other in (copy.copy(act), copy.deepcopy(act), pickle.loads(pickle.dumps(act))):
        assert other is act
    X, _ = data("float32")
    for other in (net.copy(), pickle.loads(pickle.dumps(net)), fm.MLP.from_spec(json.loads(json.dumps(net.spec())))):
        other.params = net.params
        np.testing.assert_array_equal(other.predict(X), net.predict(X))


# ---- files and processes


def test_a_file_gives_the_same_network_to_a_process_that_has_no_sympy_and_other_numbers(tmp_path) -> None:
    act = fm.activation(lambda t: t * sympy.atan(t) + log(1 + exp(t)), name="mine")
    X, y = data("float32")
    net = fm.MLP([3, 8, 1], activation=act, output="sigmoid")
    net.fit(X, y, epochs=2, progress=False)
    net.save(tmp_path / "net.safetensors")
    (tmp_path / "net.pickle").write_bytes(pickle.dumps(net))
    np.save(tmp_path / "X.npy", X)
    code = """if True:
        import sys, pickle, numpy as np
        sys.modules["sympy"] = None
        import fastmlp as fm
        fm.symbolic.custom.formula("another", "he", ("mul", "z", "z"), ("add", "z", "z"))
        X = np.load("X.npy")
        net, pickled = fm.load("net.safetensors"), pickle.load(open("net.pickle", "rb"))
        np.save("out.npy", [net.predict(X), pickled.predict(X)])
        net.fit(X, X[:, :1] > 0, epochs=1, progress=False)
        print(net.layers[0].activation.id)
    """
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 101
    for found in np.load(tmp_path / "out.npy"):
        np.testing.assert_array_equal(found, net.predict(X))


@needs_compiler
def test_the_machine_code_is_kept_between_processes(tmp_path) -> None:
    code = """if True:
        import fastmlp as fm
        from fastmlp.kernels import custom
        compiled, compile = [], custom._compile
        custom._compile = lambda *args: compiled.append(args) or compile(*args)
        fm.use_engine("numba")
        fm.symbolic.custom.formula("f", "he", ("mul", "z", ("atan", "z")), ("sub", 7.25, "z"))
        print(len(compiled))
    """
    env = {**__import__("os").environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    runs = [subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True) for _ in range(2)]
    assert [int(run.stdout) for run in runs] == [1, 0]
    (kept,) = tmp_path.rglob("custom-*.nbc")
    kept.write_bytes(kept.read_bytes()[:-9])
    stale = kept.with_name("custom-of_other_sources-0.nbc")  # removed when the next one is kept
    stale.touch()
    assert subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout == "1\n"
    assert list(tmp_path.rglob("custom-*.nbc")) == [kept]


@needs_compiler
def test_a_new_activation_recompiles_nothing_of_the_engine() -> None:
    from fastmlp.kernels import run

    X, y = data()
    fm.use_engine("numba")
    fm.MLP([3, 4, 1], dtype="float64").fit(X, y, epochs=1, progress=False)
    before = dict(run._run.stats.cache_misses), len(run._run.signatures)
    act = fm.activation(lambda t: t * sympy.atan(t) / (1 + t**2) + t / 7.125)
    fm.MLP([3, (4, True, act), 1], dtype="float64").fit(X, y, epochs=1, progress=False)
    assert (dict(run._run.stats.cache_misses), len(run._run.signatures)) == before


def change(spec, value):
    return {**spec, "value": value}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (["system", "z"], "unknown operation 'system'"),
        (["mul", "z"], "'mul' of 1 operands, not 2"),
        (["mul", "z", "__import__('os')"], "where a number must stand"),
        (["mul", "z", "a"], "where a number must stand"),
        (["pow", "z", 1e9], "not a whole number from 2 to 1024"),
        (["pow", "z", "z"], "not a whole number from 2 to 1024"),
        (["where", "z", "z", "z"], "where a condition must stand"),
        (["gt", "z", 0.0], "where a number must stand"),
        (["add", "z", True], "where a number must stand"),
        (["add", "z", 10**400], "where a number must stand"),
        (["add", "z", None], "where a number must stand"),
        ([], "unknown operation None"),
        ([["add"], "z", "z"], "unknown operation"),
        (eval("['neg', " * 90 + "'z'" + "]" * 90), None),
        ((lambda deep: [deep := ["neg", deep] for _ in range(150)][-1])("z"), "more than 100 levels deep"),
        ((lambda wide: [wide := ["add", wide, wide] for _ in range(11)][-1])("z"), "more than 2000 parts"),
    ],
    ids=str,
)
def test_a_file_with_another_tree_is_no_network(value, why, tmp_path) -> None:
    import safetensors
    import safetensors.numpy

    net = fm.MLP([3, 4, 1], activation=fm.activation(SAME["silu"], name="changed"))
    path = tmp_path / "net.safetensors"
    net.save(path)
    with safetensors.safe_open(path, "numpy") as file:
        spec = json.loads(file.metadata()["fastmlp"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    spec.pop("digest")
    spec["layers"][1]["activation"]["value"] = value
    safetensors.numpy.save_file(tensors, path, {"fastmlp": json.dumps(spec, sort_keys=True)})
    if why is None:
        assert fm.load(path).n_params == net.n_params
    else:
        with pytest.raises(fm.ModelFileError, match=why):
            fm.load(path)


# ---- what is refused


@pytest.mark.parametrize(
    ("arguments", "kind", "why"),
    [
        ((lambda t: np.exp(t),), TypeError, "failed on a SymPy symbol .*Write f with SymPy's functions"),
        ((lambda t: math.exp(t),), TypeError, "failed on a SymPy symbol"),
        ((3,), TypeError, "f must be a function of a SymPy symbol"),
        ((lambda t: 3,), ValueError, "must be a formula of x alone"),
        ((x * sympy.Symbol("y"),), ValueError, "formula of one symbol; it has x, y"),
        ((lambda t: sympy.I * t,), ValueError, "is not real"),
        ((lambda t: sympy.gamma(t),), ValueError, "gamma is not among the functions of an activation: Abs, Add"),
        ((sympy.sympify("relu(x) * x"),), ValueError, r"has relu, of which SymPy knows but the name.*sympy\.Max\(0, x\)"),
        ((lambda t: t + sympy.Function("swish")(t),), ValueError, "has swish, of which"),
        ((lambda t: "x",), TypeError, "gave str for a SymPy symbol"),
        ((lambda t: sympy.Piecewise((t, t > 0)),), ValueError, r"End it with a pair \(value, True\)"),
        ((cube, 3), TypeError, "df must be a function"),
        ((cube, lambda t: [1, 2]), ValueError, "df must give a number for each number"),
    ],
    ids=range(13),
)
def test_what_is_no_activation_is_refused(arguments, kind, why) -> None:
    with pytest.raises(kind, match=why):
        fm.activation(*arguments)


def test_names_and_functions_in_the_wrong_place_are_refused() -> None:
    with pytest.raises(ValueError, match="name='relu' is a built-in activation's"):
        fm.activation(x**2, name="relu")
    with pytest.raises(ValueError, match="text of up to 80 characters"):
        fm.activation(x**2, name="two\nlines")
    with pytest.raises(
        TypeError, match=r"activation is a function, .* Make an activation of it first: fm.activation\(function\)"
    ):
        fm.MLP([2, 3, 1], activation=np.sin)


# ---- any formula

LEAVES = st.one_of(st.just(x), st.sampled_from([sympy.Rational(1, 2), sympy.Integer(2), sympy.Float(-0.7), sympy.Integer(3)]))
UNARY = [lambda u: exp(-(u**2)), lambda u: 1 / (1 + exp(-u)), lambda u: log(1 + exp(u)), tanh, erf, sympy.sin, sympy.cos,
         sympy.Abs, sympy.atan, lambda u: sympy.sqrt(1 + u**2), lambda u: u**3, lambda u: -u, lambda u: log(1 + u**2),
         lambda u: sympy.Max(u, 0), lambda u: sympy.Piecewise((u, u > 0), (exp(u) - 1, True))]  # fmt: skip
BINARY = [lambda u, v: u + v, lambda u, v: u - v, lambda u, v: u * v, lambda u, v: u / (1 + v**2), sympy.Max, sympy.Min]
FORMULAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda f, u: f(u), st.sampled_from(UNARY), inner),
        st.builds(lambda f, u, v: f(u, v), st.sampled_from(BINARY), inner, inner),
    ),
    max_leaves=5,
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(FORMULAS, st.integers(0, 1000))
def test_any_formula_is_right_in_both_engines_or_told_of(expr, seed) -> None:
    """Value, and derivative where it has no kink, against SymPy's arithmetic of fifty digits, within |x| <= 4."""
    if expr.free_symbols != {x}:
        return
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        act = fm.activation(expr)
    z = np.random.default_rng(seed).uniform(-4, 4, 9)
    fm.use_engine("numpy")
    b, h = both(act, z)
    fm.use_engine()
    a, g = both(act, z)
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(g, h, rtol=1e-9, atol=1e-9)
    if told:
        return
    function = sympy.lambdify(x, expr, "mpmath")
    with mpmath.workdps(50):
        for place, number in enumerate(z):
            step = mpmath.mpf(10) ** -15
            left, middle, right = (function(mpmath.mpf(float(number)) + side) for side in (-step, 0, step))
            assert float(middle) == pytest.approx(a[place], rel=1e-9, abs=1e-9)
            assert float((right - left) / (2 * step)) == pytest.approx(g[place], rel=1e-8, abs=1e-8)
