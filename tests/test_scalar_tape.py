"""Compiled expressions: fastmlp.scalar.compile, its kernel, and the kernel's twin."""

from __future__ import annotations

import math
import pickle
import threading

import numpy as np
import pytest

import fastmlp as fm
from fastmlp.scalar import MLP, Tape, Value, compile
from fastmlp.scalar import tape as module
from tests.compiler import needs_compiler

CORNERS = [(0, 0), (0, 1), (1, 0), (1, 1)]


def xor_loss(mlp: MLP) -> Value:
    return sum((mlp([a, b]) - (1 if a != b else -1)) ** 2 for a, b in CORNERS) / 4


def everything(a: Value, b: Value, c: Value) -> Value:
    """Each operation, with parts that are used many times."""
    s = a * b + c
    t = (s.tanh() + s.sigmoid() * s.relu() - abs(s)) / (c**2 + 1)
    u = (t.exp() + s.sin() * t.cos()) ** 2 + (s * s + 0.5).log() + s.sigmoid().log1p()
    return -u + abs(a) ** b + (s * s + 1) ** 1.5 - a**3 + 2**b + u / (s * s + 1) - c**-1


def numbers(rows: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(0.2, 2.0, (rows, 3)) * rng.choice([-1.0, 1.0], (rows, 3))


def walked(row) -> tuple[float, list[float]]:
    """Value and gradients from the objects."""
    leaves = [Value(x) for x in row]
    result = everything(*leaves)
    result.backward()
    return result.data, [v.grad for v in leaves]


def traced(inputs: int) -> Tape:
    leaves = [Value(1.0) for _ in range(3)]
    return compile(everything(*leaves), leaves[:inputs], leaves[inputs:])


@pytest.mark.parametrize("inputs", [0, 1, 2, 3])
def test_a_tape_gives_what_the_objects_give(engine, inputs) -> None:
    f = traced(inputs)
    for row in numbers(20):
        expected, gradients = walked(row.tolist())
        value, grad = f.value_and_grad(row[:inputs], row[inputs:])
        assert isinstance(value, float)
        by_inputs = f.input_gradient(row[:inputs], row[inputs:])
        got = np.array([value, f(row[:inputs], row[inputs:]), *by_inputs, *grad])
        if engine == "numba":
            np.testing.assert_array_equal(got, [expected, expected, *gradients])
        else:
            np.testing.assert_allclose(got, [expected, expected, *gradients], rtol=1e-12)


@pytest.mark.usefixtures("engine")
def test_many_rows_give_their_values_and_the_sum_of_their_gradients() -> None:
    f, data = traced(2), numbers(17)
    shared = [0.7]
    each = [f.value_and_grad(row[:2], shared) for row in data]
    values, grad = f.value_and_grad(data[:, :2], shared)
    np.testing.assert_array_equal(values, [value for value, _ in each])
    np.testing.assert_allclose(grad, np.sum([g for _, g in each], axis=0), rtol=1e-12)
    np.testing.assert_array_equal(f(data[:, :2], shared), values)
    by_row = [f.input_gradient(row[:2], shared) for row in data]
    np.testing.assert_array_equal(f.input_gradient(data[:, :2], shared), by_row)
    assert f(np.empty((0, 2)), shared).shape == (0,)
    assert f.value_and_grad(np.empty((0, 2)), shared)[1].tolist() == [0.0]


@pytest.mark.usefixtures("engine")
def test_long_calls_come_in_parts_with_the_same_result(monkeypatch) -> None:
    data = numbers(50)
    whole = traced(2).value_and_grad(data[:, :2], [0.5])
    monkeypatch.setattr(module, "_OPS_CALL", 300)
    f = traced(2)
    assert f._most < 20
    parts = f.value_and_grad(data[:, :2], [0.5])
    np.testing.assert_array_equal(parts[0], whole[0])
    np.testing.assert_allclose(parts[1], whole[1], rtol=1e-13)
    np.testing.assert_array_equal(f.input_gradient(data[:, :2], [0.5]), traced(2).input_gradient(data[:, :2], [0.5]))


def test_the_xor_loss_is_trained_like_the_objects(engine) -> None:
    mlp = MLP(2, [8, 1], seed=0)
    f = compile(xor_loss(mlp), parameters=mlp.parameters())
    params = np.array([p.data for p in mlp.parameters()])
    for _ in range(20):
        loss = xor_loss(mlp)
        mlp.zero_grad()
        loss.backward()
        value, grad = f.value_and_grad((), params)
        assert value == pytest.approx(loss.data, rel=0 if engine == "numba" else 1e-12)
        for p in mlp.parameters():
            p.data -= 0.1 * p.grad
        params -= 0.1 * grad
    np.testing.assert_allclose(params, [p.data for p in mlp.parameters()], rtol=1e-12)


def test_numbers_left_out_are_those_that_the_values_hold() -> None:
    x, w = Value(2.0), Value(3.0)
    f = compile(x * w, [x], [w])
    assert f() == 6.0
    w.data = 5.0
    assert f() == 10.0
    assert f([1.0]) == 5.0
    assert f(parameters=[1.0]) == 2.0
    value, grad = f.value_and_grad()
    assert (value, grad.tolist()) == (10.0, [2.0])
    assert f.input_gradient().tolist() == [5.0]


def test_leaves_that_are_not_named_are_constants() -> None:
    x, c = Value(2.0), Value(3.0)
    f = compile(x * c + 1, [x])
    c.data = 100.0
    assert f([4.0]) == 13.0
    assert repr(f) == "<Tape of 2 operations; 1 input, 0 parameters>"


@pytest.mark.usefixtures("engine")
def test_an_expression_may_be_one_number_or_ignore_its_inputs() -> None:
    x, y = Value(2.0), Value(3.0)
    assert compile(x, [x])([7.0]) == 7.0
    assert compile(x)() == 2.0
    f = compile(x * 1, [x, y], [])
    assert f([[1.0, 5.0], [2.0, 6.0]]).tolist() == [1.0, 2.0]
    assert f.input_gradient([1.0, 5.0]).tolist() == [1.0, 0.0]


@pytest.mark.usefixtures("engine")
def test_shared_parts_are_computed_once() -> None:
    x = v = Value(1.0)
    for _ in range(50):
        v = v + v
    f = compile(v, [x])
    assert len(f.code) == 50
    assert f([3.0]) == 3 * 2.0**50
    assert f.input_gradient([3.0]).tolist() == [2.0**50]


def test_a_chain_may_be_a_million_operations_long() -> None:
    x = v = Value(1.0)
    w = Value(0.5)
    for _ in range(500_000):
        v = (v * w).sin()
    f = compile(v, [x], [w])
    assert len(f.code) == 1_000_000
    value, grad = f.value_and_grad([1.0], [1.0])
    assert 0.0 < value < 0.01
    assert math.isfinite(grad[0])


DOMAINS = {
    "log1p": (lambda x, w: (x * w).log1p(), [[1.0], [2.0], [-1.0]], "only numbers above -1 have a log1p; got Value"),
    "log": (lambda x, w: (x * w).log(), [[1.0], [2.0], [0.0]], "only positive numbers have a logarithm; got Value"),
    "div": (lambda x, w: w / x, [[1.0], [2.0], [0.0]], "division by zero: Value"),
    "pow of zero": (lambda x, w: x**-1.5, [[1.0], [2.0], [0.0]], "zero has no negative power"),
    "pow of negative": (lambda x, w: x**1.5, [[1.0], [2.0], [-1.0]], "a negative number has whole powers only"),
    "pow of two": (lambda x, w: w**x, [[1.0], [2.0], [0.5]], "a negative number has whole powers only"),
}


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("name", DOMAINS)
def test_what_has_no_result_is_the_error_that_the_objects_raise(name, monkeypatch) -> None:
    function, rows, message = DOMAINS[name]
    for most in (100_000_000, 1):
        monkeypatch.setattr(module, "_OPS_CALL", most)
        x, w = Value(1.0, "x"), Value(1.0, "w")
        f = compile(function(x, w), [x], [w])
        for call in (f, f.value_and_grad, f.input_gradient):
            with pytest.raises((ValueError, ZeroDivisionError), match=f"row 2 of inputs: {message}"):
                call(rows, [-1.0] if name == "pow of two" else [1.0])
        assert f([[1.0]], [1.0]).shape == (1,)


@pytest.mark.usefixtures("engine")
def test_powers_at_the_edges_are_those_of_the_objects() -> None:
    x, b = Value(1.0), Value(1.0)
    f = compile(x**b, [x, b])
    for base, exponent in [(-2.0, 3.0), (-2.0, 2.0), (0.0, 0.0), (0.0, 1.0), (0.0, 2.0), (0.0, 0.5), (2.0, 0.0), (3.0, 2.0)]:
        p, q = Value(base), Value(exponent)
        power = p**q
        power.backward()
        assert f([base, exponent]) == power.data
        np.testing.assert_array_equal(f.input_gradient([base, exponent]), [p.grad, q.grad])
    for exponent in (2, 3, 0, 1, -1, 0.5, -2.5):
        y = Value(1.7)
        power = y**exponent
        power.backward()
        g = compile(power, [y])
        assert g([1.7]) == pytest.approx(power.data, rel=1e-15)
        assert g.input_gradient([1.7]) == pytest.approx(y.grad, rel=1e-15)


@pytest.mark.usefixtures("engine")
def test_infinities_and_nan_go_through() -> None:
    x = Value(1.0)
    f = compile((x.exp() + x.relu()).tanh() + abs(x).sigmoid(), [x])
    values = f([[np.inf], [-np.inf], [np.nan], [1e4]])
    assert values[[0, 1, 3]].tolist() == [2.0, 1.0, 2.0]
    assert math.isnan(values[2])


FLAT = {
    "relu": lambda x: x.relu() ** 0.5,
    "abs": lambda x: abs(x * 0.0) ** 0.5 + abs(x),
    "product": lambda x: (x * 0.0) ** 0.5 * 2,
    "quotient": lambda x: (x / math.inf) ** 0.5,
    "square": lambda x: ((x - x) ** 2) ** 0.5,
    "sigmoid": lambda x: (-abs(x) * 1e300).sigmoid() ** 0.5,
    "tanh": lambda x: (1 - (abs(x) * 100).tanh()) ** 0.5,
    "exp": lambda x: (-abs(x) * 1e300).exp() ** 0.5,
    "power": lambda x: x ** (x**0),
    "exponent": lambda x: (0 ** abs(x)) ** 0.5,
}


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("at", [-2.0, 2.0, 0.0, -math.inf, math.nan])
@pytest.mark.parametrize("name", FLAT)
def test_a_slope_of_0_passes_on_nothing_whatever_comes_from_above(name, at) -> None:
    x = Value(at)
    y = FLAT[name](x)
    y.backward()
    np.testing.assert_array_equal(compile(y, [x]).input_gradient(), [x.grad])


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    ("make", "at", "slope"),
    [(FLAT["relu"], -2.0, 0.0), (abs, math.nan, 0.0), (lambda v: (-3.0) ** (v**0), 2.0, 0.0), (FLAT["power"], -2.0, 1.0)],
    ids=["relu", "abs of NaN", "exponent", "power"],
)
def test_corners_have_the_derivatives_of_their_flat_side(make, at, slope) -> None:
    x = Value(at)
    y = make(x)
    y.backward()
    assert [x.grad, *compile(y, [x]).input_gradient()] == [slope, slope]


def test_inputs_may_be_of_any_kind_and_layout() -> None:
    x, y, w = Value(1.0), Value(1.0), Value(1.0)
    f = compile(x * w - y, [x, y], [w])
    wide = np.arange(12.0).reshape(3, 4)
    frozen = np.array([[1.0, 2.0]])
    frozen.flags.writeable = False
    expected = wide[:, ::2] @ [3.0, -1.0]
    for inputs in (wide[:, ::2], wide[:, ::2].astype(np.float32), wide[:, ::2].astype(int), wide[:, ::2].tolist(),
                   np.asfortranarray(wide[:, ::2])):  # fmt: skip
        np.testing.assert_array_equal(f(inputs, [3]), expected)
    assert f(frozen, np.array([3.0], np.float32)).tolist() == [1.0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: f([1.0]), ValueError, r"inputs must have shape \(2,\), or \(n, 2\) for n values; got \(1,\)"),
        (lambda f: f(np.zeros((2, 2, 2))), ValueError, r"inputs must have shape .*; got \(2, 2, 2\)"),
        (lambda f: f(1.0), ValueError, r"inputs must have shape .*; got \(\)"),
        (lambda f: f([1.0, 2.0], [1.0, 2.0]), ValueError, r"parameters must have shape \(1,\); got \(2,\)"),
        (lambda f: f(["a", "b"]), TypeError, "inputs must be numbers; got an array of dtype <U1"),
        (lambda f: f([1.0, 2.0], [1j]), TypeError, "parameters must be numbers; got an array of dtype complex128"),
        (lambda f: f([[1.0, 2.0], [1.0]]), ValueError, "inputs must be an array of numbers; its rows have different lengths"),
    ],
)
def test_a_call_with_other_than_the_compiled_numbers_is_refused(call, error, message) -> None:
    x, y, w = Value(1.0), Value(1.0), Value(1.0)
    with pytest.raises(error, match=message):
        call(compile(x * w - y, [x, y], [w]))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda x: compile(1.0), TypeError, r"loss must be a Value; got 1.0 \(float\)"),
        (lambda x: compile(x * 2, [1.0]), TypeError, r"inputs\[0\] must be a Value; got 1.0"),
        (lambda x: compile(x * 2, [x], [x]), ValueError, r"parameters\[0\], Value\('x', .*, comes twice"),
        (lambda x: compile(x * 2, [x, x]), ValueError, r"inputs\[1\], Value\('x', .*, comes twice"),
        (lambda x: compile(x * 2, [], [x * 2]), ValueError, r"parameters\[0\], .*, was calculated by '\*'"),
    ],
)
def test_what_is_no_input_or_parameter_is_refused(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make(Value(2.0, "x"))


def test_threads_may_share_a_tape() -> None:
    f, data = traced(2), numbers(4000)
    expected, wrong = f(data[:, :2], [0.5]), []

    def work():
        for _ in range(20):
            if not np.array_equal(f(data[:, :2], [0.5]), expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@needs_compiler
def test_the_engine_may_change_between_calls() -> None:
    f = traced(3)
    row = numbers(1)[0]
    results = []
    for name in ("numba", "numpy"):
        fm.use_engine(name)
        results.append(f(row))
    fm.use_engine()
    assert results[0] == pytest.approx(results[1], rel=1e-12)


# ---- the kernel and its twin


def random_tape(rng, leaves: int, operations: int):
    """Code and slots of a random expression whose numbers stay in every operation's domain."""
    from fastmlp.reference import ids

    safe = [ids.OP_ADD, ids.OP_SUB, ids.OP_MUL, ids.OP_NEG, ids.OP_TANH, ids.OP_SIGMOID, ids.OP_RELU, ids.OP_SIN, ids.OP_COS,
            ids.OP_ABS, ids.OP_SQUARE]  # fmt: skip
    code = np.empty((operations, 3), np.uint32)
    for n in range(operations):
        op = int(rng.choice(safe)) if n < operations - 1 else ids.OP_TANH
        left, right = rng.integers(leaves + n, size=2)
        if n % 7 == 6:  # keeps products and squares from growing without end
            op = ids.OP_TANH
        code[n] = op, left, right if op in (ids.OP_ADD, ids.OP_SUB, ids.OP_MUL) else left
    return code


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("rows", [0, 1, 3])
def test_random_tapes_match_the_reference(seed, rows) -> None:
    kernels = pytest.importorskip("fastmlp.kernels.tape")
    from fastmlp.reference import tape as reference

    rng = np.random.default_rng(seed)
    k, p, c, n = (int(v) for v in rng.integers(1, 5, size=4) * [1, 1, 1, 12])
    code = random_tape(rng, k + p + c, n)
    start = np.zeros((2, k + p + c + n))
    start[0, k : k + p + c] = rng.normal(size=p + c)
    inputs, results = rng.normal(size=(rows, k)), []
    for engine in (kernels, reference):
        values, alone, grad, d_inputs = (np.full(shape, np.nan) for shape in (rows, rows, p, (rows, k)))
        assert engine.evaluate(code, start.copy(), inputs, alone) == -1
        assert engine.differentiate(code, start.copy(), inputs, values, grad, d_inputs) == -1
        np.testing.assert_array_equal(values, alone)
        results.append((values, grad, d_inputs))
    for got, expected in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-11)


def test_a_tape_from_read_only_memory_computes() -> None:
    x = Value(2.0)
    tape = compile((x * x).tanh(), inputs=[x])
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(tape, 5, buffer_callback=buffers.append)
    again = pickle.loads(pickled, buffers=[memoryview(bytes(buffer)) for buffer in buffers])
    assert again([0.5]) == tape([0.5])
