"""fastmlp.scalar: Values, their derivatives, and networks of them."""

from __future__ import annotations

import math
import random
import shutil
import subprocess
import sys
from copy import deepcopy
from fractions import Fraction

import numpy as np
import pytest

from fastmlp import scalar
from fastmlp.scalar import MLP, Layer, Neuron, Value, draw, topological


def derivative(function, *at: float, h: float = 1e-6) -> list[float]:
    """Central differences of a function of numbers."""
    slopes = []
    for n in range(len(at)):
        left, right = list(at), list(at)
        left[n] -= h
        right[n] += h
        slopes.append((function(*right) - function(*left)) / (2 * h))
    return slopes


FUNCTIONS = {
    "add": (lambda a, b: a + b, None),
    "sub": (lambda a, b: a - b, None),
    "mul": (lambda a, b: a * b, None),
    "div": (lambda a, b: a / b, None),
    "pow": (lambda a, b: abs(a) ** b, None),
    "neg": (lambda a, b: -a * -b, None),
    "pos": (lambda a, b: +a * b, None),
    "abs": (lambda a, b: abs(a) * abs(b), None),
    "numbers on the right": (lambda a, b: ((a + 2) * 3 - 4) / 5 + b**3 + b**-2 + b**0 + b**1 + b**2, None),
    "numbers on the left": (lambda a, b: 2 + 3 * (4 - a) + 5 / b + 2**a, None),
    "used many times": (lambda a, b: (a * b + a) * (a * b) / (a * b + 7), None),
    "exp": (lambda a, b: a.exp() * b, lambda a, b: math.exp(a) * b),
    "log": (lambda a, b: abs(a).log() * b, lambda a, b: math.log(abs(a)) * b),
    "log1p": (lambda a, b: abs(a).log1p() * b, lambda a, b: math.log1p(abs(a)) * b),
    "tanh": (lambda a, b: (a * b).tanh(), lambda a, b: math.tanh(a * b)),
    "sigmoid": (lambda a, b: (a * b).sigmoid(), lambda a, b: 1 / (1 + math.exp(-a * b))),
    "relu": (lambda a, b: a.relu() + b.relu(), lambda a, b: max(a, 0) + max(b, 0)),
    "sin": (lambda a, b: (a * b).sin(), lambda a, b: math.sin(a * b)),
    "cos": (lambda a, b: (a * b).cos(), lambda a, b: math.cos(a * b)),
    "sqrt": (lambda a, b: (a * a + b * b).sqrt(), lambda a, b: math.sqrt(a * a + b * b)),
    "abs()": (lambda a, b: (a * b).abs(), lambda a, b: abs(a * b)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("at", [(0.7, 1.3), (-0.4, 2.1), (1.9, -0.8), (-2.5, -1.6)])
def test_operation_has_the_value_and_the_derivatives_of_numbers(name, at) -> None:
    function, plain = FUNCTIONS[name]
    plain = plain or function
    a, b = map(Value, at)
    result = function(a, b)
    result.backward()
    assert result.data == pytest.approx(plain(*at), rel=1e-14)
    assert [a.grad, b.grad] == pytest.approx(derivative(plain, *at), rel=1e-6, abs=1e-8)
    assert result.grad == 1.0


def test_a_derivative_worked_by_hand() -> None:
    """Karpathy's neuron: x = (2, 0), w = (-3, 1), b = 6.8813735870195432."""
    x1, x2, w1, w2, b = map(Value, (2.0, 0.0, -3.0, 1.0, 6.8813735870195432))
    out = (x1 * w1 + x2 * w2 + b).tanh()
    out.backward()
    assert out.data == pytest.approx(math.sqrt(0.5))
    assert [v.grad for v in (x1, w1, x2, w2, b)] == pytest.approx([-1.5, 1.0, 0.5, 0.0, 0.5])


def test_gradients_add_up_until_they_are_zeroed() -> None:
    x = Value(3.0)
    y = x * x
    for n in (1, 2, 3):
        y.backward()
        assert (x.grad, y.grad) == (6.0 * n, n)
    y.zero_grad()
    assert (x.grad, y.grad) == (0.0, 0.0)
    (x + x).backward()
    assert x.grad == 2.0


def test_deep_graphs_are_made_differentiated_drawn_and_deleted() -> None:
    """In a process of its own, which an overflow of the stack would end."""
    script = """
from fastmlp.scalar import Value, draw, topological
x = v = Value(1.0)
for _ in range(1_000_000):
    v = -v
v.backward()
assert len(topological(v)) == 1_000_001
assert draw(v).count("shape=circle") == 1_000_000
assert x.grad == 1.0 and v.data == 1.0
v.zero_grad()
assert x.grad == 0.0
del v
print("gone")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "gone\n", "")


def test_backward_takes_each_value_once_however_many_ways_lead_to_it() -> None:
    x = v = Value(1.0)
    for _ in range(60):
        v = v + v  # 2^60 ways
    v.backward()
    assert x.grad == v.data == 2.0**60
    assert len(topological(v)) == 61


# ---- numbers beside Values


@pytest.mark.parametrize("number", [2, 2.5, True, Fraction(1, 2), np.float32(1.5), np.float64(2.5), np.int64(3)])
def test_any_real_number_may_stand_on_either_side(number) -> None:
    n = float(number)
    for result, expected in [
        (Value(3) + number, 3 + n), (number + Value(3), n + 3), (Value(3) - number, 3 - n), (number - Value(3), n - 3),
        (Value(3) * number, 3 * n), (number * Value(3), n * 3), (Value(3) / number, 3 / n), (number / Value(3), n / 3),
        (Value(3) ** number, 3**n), (number ** Value(3), n**3),
    ]:  # fmt: skip
        assert isinstance(result, Value)
        assert result.data == pytest.approx(expected, rel=1e-15)


def test_arrays_of_values_work() -> None:
    a, b = Value(2.0), Value(3.0)
    array = np.array([a, b])
    result = (array @ np.array([4.0, 5.0]) + 1).tanh()
    assert isinstance(result, Value)
    sums = a + np.array([1.0, 2.0])
    assert [v.data for v in sums] == [3.0, 4.0]
    assert [v.data for v in np.exp(array)] == [math.exp(2.0), math.exp(3.0)]
    assert [v.data for v in np.sqrt(array)] == [math.sqrt(2.0), math.sqrt(3.0)]
    (array**2).sum().backward()
    assert (a.grad, b.grad) == (4.0, 6.0)


@pytest.mark.parametrize("other", ["2", None, 1j, [1.0]])
def test_what_is_no_number_is_refused(other) -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        Value(1.0) + other
    with pytest.raises(TypeError, match="unsupported operand"):
        other / Value(1.0)
    with pytest.raises(TypeError, match="the data of a Value must be a real number; got"):
        Value(other)


def test_comparisons_compare_numbers() -> None:
    two, three = Value(2.0), Value(3)
    assert two < three
    assert two <= 2
    assert 2.5 < three
    assert three > two
    assert three >= 3.0
    assert two == 2
    assert two == Value(2.0)
    assert two != three
    assert max(two, 0) is two
    assert two != "2"
    assert len({two, Value(2.0)}) == 2
    with pytest.raises(TypeError, match="'<' not supported"):
        two < "3"  # noqa: B015


def test_a_deep_copy_is_of_the_whole_graph_however_deep_and_of_each_value_once() -> None:
    x = Value(1.0, "x")
    half = sum([x] * 20_000, Value(0.0))
    copies = deepcopy([half * half, half, x])
    copies[0].backward()
    assert [value.grad for value in copies] == [1.0, 40_000.0, 40_000.0 * 20_000]
    assert [value.label for value in copies] == ["", "", "x"]
    assert x.grad == half.grad == 0.0


# ---- edges of the domains


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Value(0.0, "p").log(), ValueError, r"only positive numbers have a logarithm; got Value\('p', data=0.0"),
        (lambda: Value(-1.0).log1p(), ValueError, r"only numbers above -1 have a log1p; got Value\(data=-1.0"),
        (lambda: Value(-1.0).log(), ValueError, "only positive numbers have a logarithm"),
        (lambda: Value(0.0) ** -1, ZeroDivisionError, r"zero has no negative power: .*Value\(data=-1.0"),
        (lambda: 0 ** Value(-0.5), ZeroDivisionError, "zero has no negative power"),
        (lambda: Value(-8.0) ** (1 / 3), ValueError, "a negative number has whole powers only"),
        (lambda: (-8.0) ** Value(0.5), ValueError, "a negative number has whole powers only"),
        (lambda: Value(1.0) / Value(0.0, "d"), ZeroDivisionError, r"division by zero: .* / Value\('d', data=0.0"),
        (lambda: 1 / Value(-0.0), ZeroDivisionError, "division by zero"),
        (lambda: Value(10**400), ValueError, r"must fit into a float, below 1\.8e308; got a larger int\."),
        (lambda: Value(1.0) * -(10**5000), ValueError, "must fit into a float"),
    ],
)
def test_what_has_no_result_is_an_error_that_names_the_operands(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()


def slopes(value: Value) -> tuple[float, ...]:
    return (value.data, *value.slopes)


def test_powers_at_the_edges_of_their_domain() -> None:
    assert slopes(Value(-2.0) ** 3) == (-8.0, 12.0, 0.0)
    assert slopes(Value(-2.0) ** -1) == (-0.5, -0.25, 0.0)
    assert slopes(Value(0.0) ** 0) == (1.0, 0.0, 0.0)
    assert slopes(Value(0.0) ** 1) == (0.0, 1.0, 0.0)
    assert slopes(Value(0.0) ** 0.5) == (0.0, math.inf, 0.0)
    assert slopes(Value(0.0) ** Value(2.0)) == (0.0, 0.0, 0.0)
    data, base, exponent = slopes(Value(-2.0) ** Value(2.0))
    assert (data, base) == (4.0, -4.0)
    assert math.isnan(exponent), "there is no derivative by the exponent of a negative number"


def test_what_is_too_large_is_infinite_as_in_the_kernels() -> None:
    assert Value(1000.0).exp().data == math.inf
    assert (Value(10.0) ** 400).data == math.inf
    assert (Value(-10.0) ** 401).data == -math.inf
    assert (Value(1e200) * 1e200).data == math.inf
    assert math.isnan(Value(math.inf).sin().data)


def test_sigmoid_and_tanh_do_not_overflow() -> None:
    for x in (1e4, -1e4, 745.0, -745.0, 0.0):
        assert slopes(Value(x).sigmoid())[0] == pytest.approx(0.5 * (1 + math.tanh(x / 2)), abs=1e-300)
        assert math.isfinite(Value(x).sigmoid().slopes[0])
        assert math.isfinite(Value(x).tanh().slopes[0])
    assert Value(-700.0).sigmoid().data == pytest.approx(math.exp(-700.0), rel=1e-15)


def test_corners_have_the_derivative_zero() -> None:
    assert slopes(Value(0.0).relu()) == (0.0, 0.0)
    assert slopes(abs(Value(0.0))) == (0.0, 0.0)
    assert math.isnan(Value(math.nan).relu().data)


def test_repr_shows_label_number_and_gradient() -> None:
    assert repr(Value(2)) == "Value(data=2.0, grad=0.0)"
    named = Value(0.5, label="x")
    named.backward()
    assert repr(named) == "Value('x', data=0.5, grad=1.0)"


# ---- networks


def test_weights_are_uniform_and_depend_on_the_seed_alone() -> None:
    numbers = [p.data for p in MLP(10, [30, 10], seed=1).parameters()]
    assert len(numbers) == 10 * 30 + 30 + 30 * 10 + 10
    assert -1 <= min(numbers) < -0.95
    assert 0.95 < max(numbers) <= 1
    assert abs(sum(numbers) / len(numbers)) < 0.1
    assert numbers == [p.data for p in MLP(10, [30, 10], seed=1).parameters()]
    assert numbers != [p.data for p in MLP(10, [30, 10], seed=2).parameters()]
    random.seed(3)
    first = [p.data for p in Neuron(2).parameters()]
    random.seed(3)
    assert first == [p.data for p in Neuron(2).parameters()]
    assert first == [p.data for p in Neuron(2, seed=3).parameters()]


def test_widths_may_be_an_array() -> None:
    assert repr(MLP(2, np.array([3, 1]), seed=0)) == repr(MLP(2, [3, 1], seed=0))


def test_one_output_comes_alone_and_several_as_a_list() -> None:
    assert isinstance(MLP(2, [3, 1], seed=0)([1.0, 2.0]), Value)
    outputs = MLP(2, [1, 3], seed=0)([1.0, 2.0])
    assert isinstance(outputs, list)
    assert len(outputs) == 3
    assert isinstance(Layer(2, 1)([1, 2]), Value)


def test_a_network_is_what_its_formula_says() -> None:
    mlp = MLP(2, [2, 1], activation="relu", output="sigmoid", seed=4)
    (first, second), (last,) = (layer.neurons for layer in mlp.layers)
    x = [0.3, -0.9]
    hidden = [max(0.0, n.b.data + n.w[0].data * x[0] + n.w[1].data * x[1]) for n in (first, second)]
    z = last.b.data + last.w[0].data * hidden[0] + last.w[1].data * hidden[1]
    assert mlp(x).data == pytest.approx(1 / (1 + math.exp(-z)))


def test_activations_are_choosable_for_all_layers_and_the_last() -> None:
    assert repr(MLP(2, [3, 1])) == "MLP(Layer(2, 3, tanh), Layer(3, 1, tanh))"
    assert repr(MLP(2, [3, 4, 1], "relu", "identity")) == "MLP(Layer(2, 3, relu), Layer(3, 4, relu), Layer(4, 1, identity))"
    own = MLP(2, [2, 1], activation=Value.sin, output=lambda z: z * 2, bias=False, seed=0)
    assert len(own.parameters()) == 6
    assert repr(own).startswith("MLP(Layer(2, 2, sin)")
    z = [n.w[0].data - n.w[1].data for n in own.layers[0].neurons]
    w = own.layers[1].neurons[0].w
    assert own([1.0, -1.0]).data == pytest.approx(2 * (math.sin(z[0]) * w[0].data + math.sin(z[1]) * w[1].data))


def test_zero_grad_of_a_network_zeroes_its_parameters() -> None:
    mlp = MLP(2, [2, 1], seed=0)
    mlp([1.0, 2.0]).backward()
    assert any(p.grad for p in mlp.parameters())
    mlp.zero_grad()
    assert not any(p.grad for p in mlp.parameters())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Neuron(0), ValueError, "nin must be an integer >= 1; got 0"),
        (lambda: Layer(2, 1.5), TypeError, "nout must be an integer"),
        (lambda: MLP(2, []), ValueError, "nouts must be the widths of one or more layers"),
        (lambda: MLP(2, np.array([], int)), ValueError, "nouts must be the widths of one or more layers"),
        (lambda: MLP(2, np.int64(3)), ValueError, "nouts must be the widths of one or more layers"),
        (lambda: MLP(2, 3), ValueError, r"nouts must be the widths of one or more layers, such as \[8, 1\]; got 3"),
        (lambda: MLP(2, [1], "tanhh"), ValueError, "activation must be one of .* Did you mean 'tanh'"),
        (lambda: MLP(2, [1], "gelu"), ValueError, "Did you mean 'gelu_tanh'"),
        (lambda: Neuron(2, seed=0.5), TypeError, "seed must be an integer"),
        (lambda: Neuron(2)([1.0, 2.0, 3.0]), ValueError, "x has 3 numbers, but this neuron takes 2"),
        (lambda: MLP(2, [1])([1.0]), ValueError, "x has 1 number, but this neuron takes 2"),
        (lambda: MLP(2, [1])(None), TypeError, r"x must be a list of numbers or Values; got None \(NoneType\)"),
        (lambda: MLP(2, [1])("ab"), TypeError, r"x must be a list of numbers or Values; got 'ab' \(str\)"),
        (lambda: Neuron(2)(["a", "b"]), TypeError, r"^x must be a list of numbers or Values; got \['a', 'b'\]"),
        (lambda: MLP(2, [2.5]), TypeError, r"^nouts\[0\] must be an integer >= 1; got 2\.5"),
        (lambda: MLP(2, [3, 0]), ValueError, r"^nouts\[1\] must be an integer >= 1; got 0"),
        (lambda: draw(3), TypeError, r"value must be a Value; got 3 \(int\)"),
        (lambda: topological([Value(1.0)]), TypeError, r"value must be a Value; got \[Value\(.* \(list\)"),
    ],
)
def test_wrong_arguments_are_refused(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()


def test_xor_is_learned_value_by_value() -> None:
    mlp = MLP(2, [4, 1], seed=0)
    for _ in range(150):
        loss = sum((mlp([a, b]) - (1 if a != b else -1)) ** 2 for a in (0, 1) for b in (0, 1)) / 4
        mlp.zero_grad()
        loss.backward()
        for p in mlp.parameters():
            p.data -= 0.3 * p.grad
    assert loss < 0.1


# ---- pictures


def test_dot_has_a_box_for_each_number_and_a_circle_for_each_operation() -> None:
    x, w = Value(2.0, label='the "x"'), Value(-3.0)
    text = draw(x * w + x)
    assert text.startswith("digraph {")
    assert text.count("shape=circle") == 2
    assert text.count("data ") == 4
    assert r'label="the \"x\"\ndata 2\ngrad 0"' in text
    assert text.count("->") == 6


def test_svg_comes_from_graphviz(monkeypatch) -> None:
    text = draw(Value(1.0, label="x").tanh())
    if shutil.which("dot"):
        assert "<svg" in text.svg()
        assert text._repr_svg_() == text.svg()
        assert ">tanh<" in text.svg()
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert text._repr_svg_() is None
    with pytest.raises(RuntimeError, match="needs Graphviz's program dot: install it"):
        text.svg()


def test_everything_public_is_named() -> None:
    assert all(hasattr(scalar, name) for name in scalar.__all__)
