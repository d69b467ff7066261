"""What a network refuses: wrong architectures, inputs, targets and weights, before any work."""

from __future__ import annotations

import numpy as np
import pytest

import fastmlp as fm

DENSE = "a layer must be a width, a fm.Dense, a tuple"


@pytest.mark.parametrize(
    ("layers", "options", "error", "message"),
    [
        ([], {}, ValueError, "layers must name the number of inputs and at least one layer"),
        ([3], {}, ValueError, r"at least one layer, such as \[64, 10\]; got \[3\]"),
        (3, {}, TypeError, r"layers must be a list such as \[64, 128, 10\]; got 3"),
        ("3-4", {}, TypeError, "layers must be a list"),
        ({3: 4}, {}, TypeError, "layers must be a list"),
        ({4, 8}, {}, TypeError, "layers must be a list"),
        ([3.0, 2], {}, TypeError, r"must be an integer >= 1; got 3.0 \(float\)\. Pass 3\.$"),
        ([0, 2], {}, ValueError, r"layers\[0\], the number of inputs, must be an integer >= 1; got 0"),
        ([fm.Dense(3), 2], {}, TypeError, r"layers\[0\], the number of inputs, must be an integer"),
        ([3, 0, 2], {}, ValueError, "width must be an integer >= 1; got 0"),
        ([3, 2.5, 2], {}, TypeError, f"{DENSE}.*got 2.5"),
        ([3, True, 2], {}, TypeError, f"{DENSE}.*got True"),
        ([3, None, 2], {}, TypeError, f"{DENSE}.*got None"),
        ([3, "8", 2], {}, TypeError, f"{DENSE}.*got '8'"),
        ([3, (8,), 2], {}, ValueError, r"\(width, bias\) or \(width, bias, activation\); got \(8,\)"),
        ([3, (8, 1), 2], {}, TypeError, "bias must be True or False; got 1"),
        ([3, (8, "tanh"), 2], {}, TypeError, r"is \(width, bias\) or .*; got \(8, 'tanh'\)\. Pass \(8, True, 'tanh'\)"),
        ([3, {"widht": 8}, 2], {}, ValueError, "Did you mean 'width'"),
        ([3, {"bias": True}, 2], {}, ValueError, "needs the key 'width'"),
        ([3, 4, 2], {"activation": "rlu"}, ValueError, "activation must be one of .*; got 'rlu'. Did you mean 'relu'"),
        ([3, 4, 2], {"activation": 3}, TypeError, "activation must be one of"),
        ([3, 4, 2], {"output": "softmx"}, ValueError, "output must be one of .*; got 'softmx'. Did you mean 'softmax'"),
        ([3, 4, 2], {"loss": "mes"}, ValueError, "loss must be one of .*; got 'mes'. Did you mean 'mse'"),
        ([3, 4, 2], {"loss": 1}, TypeError, "loss must be one of"),
        ([3, 4, 2], {"init": "he_norml"}, ValueError, "init must be one of .* Did you mean 'he_normal'"),
        ([3, 4, 2], {"dropout": 1.0}, ValueError, "dropout must be a finite number >= 0 and < 1; got 1.0"),
        ([3, 4, 2], {"dropout": -0.1}, ValueError, "dropout must be a finite number >= 0 and < 1; got -0.1"),
        ([3, 4, fm.Dense(2, dropout=0.5)], {}, ValueError, "the output layer has dropout=0.5"),
        ([3, 4, 2], {"dtype": "float16"}, ValueError, "dtype must be 'float32' or 'float64'; got 'float16'"),
        ([3, 4, 2], {"dtype": "no"}, ValueError, "dtype must be 'float32' or 'float64'; got 'no'"),
        ([3, 4, 2], {"seed": 1.5}, TypeError, "seed must be an integer; got 1.5"),
        ([3, 4, 1], {"output": "softmax"}, ValueError, "output='softmax' with one output is always 1"),
        ([3, 4, 2], {"init": lambda rng, i, o: np.zeros(3)}, ValueError, "must return finite weights of shape"),
    ],
)  # fmt: skip
def test_wrong_arguments_of_a_network(layers, options, error, message) -> None:
    with pytest.raises(error, match=message):
        fm.MLP(layers, **options)


def nan_at(X, row, column):
    X[row, column] = np.nan
    return X


GOOD_X = np.zeros((6, 3))
WRONG_X = [
    (np.zeros((6, 4)), ValueError, r"X has 4 columns, but this network takes 3 inputs \(layers=\[3, 5, 2\]\). Pass X of shape"),
    (np.zeros(3), ValueError, r"X has one dimension.*Pass X\[None, :\] if it is one row"),
    (np.zeros((2, 3, 1)), ValueError, r"X has shape \(2, 3, 1\)"),
    (np.float64(3), ValueError, r"X has shape \(\)"),
    (np.zeros((0, 3)), ValueError, r"X has no rows"),
    ([[0, 0, 0], [0, 0]], ValueError, "X does not form an array"),
    (np.zeros((6, 3), object), TypeError, "X has dtype object"),
    (np.full((6, 3), "a"), TypeError, "X has dtype <U1, which is not numeric"),
    (np.zeros((6, 3), complex), TypeError, "X holds complex numbers"),
    (np.zeros((6, 3), "M8[s]"), TypeError, "X has dtype datetime64"),
    (nan_at(np.zeros((6, 3)), 4, 1), ValueError, "X has nan in row 4, column 1; every value must be finite"),
    (np.where(np.arange(18).reshape(6, 3) == 17, -np.inf, 0), ValueError, "X has -inf in row 5, column 2"),
    (np.where(np.arange(18).reshape(6, 3) == 3, 1e200, 0), ValueError, "X has 1e\\+200 in row 1, column 0, which is too large"),
    (None, TypeError, "X has dtype object"),
]  # fmt: skip


@pytest.mark.parametrize(("X", "error", "message"), WRONG_X)
def test_inputs_of_a_wrong_kind_are_refused_by_every_method(X, error, message) -> None:
    net = fm.MLP([3, 5, 2])
    y = np.zeros((6, 2))
    before = net.params.copy()
    asks = [lambda: net.predict(X), lambda: net(X), lambda: net.activations(X), lambda: net.loss(X, y), lambda: net.score(X, y),
            lambda: net.value_and_grad(X, y), lambda: net.backward(X, y), lambda: net.input_gradient(X, y),
            lambda: net.jacobian(X), lambda: net.vjp(X, y), lambda: net.input_vjp(X, y), lambda: net.fit(X, y)]  # fmt: skip
    for ask in asks:
        with pytest.raises(error, match=message):
            ask()
    assert (net.params == before).all()
    assert not net.grad.any()
    assert net.history is None


WRONG_Y = [
    ("softmax", np.zeros(5, int), ValueError, "y has 5 rows, but X has 6"),
    ("softmax", np.zeros((6, 3)), ValueError, r"y has shape \(6, 3\), but this network has 2 outputs"),
    ("softmax", [0, 1, 2, 0, 0, 0], ValueError, r"y has label 2 in row 2, but this network has 2 outputs.*0\.\.1"),
    ("softmax", [0, 1, 0, -1, 0, 0], ValueError, "y has label -1 in row 3"),
    ("softmax", [0, 1, 0, 0.5, 0, 0], ValueError, r"y has label 0\.5 in row 3"),
    ("softmax", np.full((6, 2), 0.7), ValueError, "y row 0 is .*sums to 1.4"),
    ("softmax", list("aabbab"), TypeError, "y has dtype <U1"),
    ("softmax", np.array(["a", 1, None] * 2, object), TypeError, "y has dtype object"),
    ("sigmoid", np.full((6, 2), 1.5), ValueError, r"y has 1.5 in row 0, column 0, but this loss takes values in \[0, 1\]"),
    ("sigmoid", np.full((6, 2), -1), ValueError, "y has -1.0 in row 0, column 0"),
    ("exp", np.full((6, 2), -1), ValueError, "this loss takes counts >= 0"),
    ("identity", np.zeros(6), ValueError, r"y has shape \(6,\), but this network has 2 outputs: it must be of shape \(6, 2\)"),
    ("identity", np.zeros((6, 2, 1)), ValueError, r"y has shape \(6, 2, 1\)"),
    ("identity", nan_at(np.zeros((6, 2)), 3, 1), ValueError, "y has nan in row 3, column 1"),
    ("identity", np.where(np.arange(12).reshape(6, 2) == 4, np.inf, 0), ValueError, "y has inf in row 2, column 0"),
    ("identity", None, ValueError, r"y has shape \(\)"),
]


@pytest.mark.parametrize(("output", "y", "error", "message"), WRONG_Y)
def test_targets_of_a_wrong_kind_are_refused_by_every_method(output, y, error, message) -> None:
    net = fm.MLP([3, 5, 2], output=output)
    before = net.params.copy()
    if y is None:
        error, message = TypeError, "y has dtype object"
    for ask in (net.loss, net.score, net.value_and_grad, net.backward, net.input_gradient, net.fit):
        with pytest.raises(error, match=message):
            ask(GOOD_X, y)
    assert (net.params == before).all()
    assert not net.grad.any()
    assert net.history is None


@pytest.mark.parametrize(
    ("weight", "error", "message"),
    [
        (np.ones(5), ValueError, r"sample_weight has shape \(5,\), but X has 6 rows"),
        (np.ones((6, 1)), ValueError, r"sample_weight has shape \(6, 1\)"),
        ([1, 1, 1, -2, 1, 1], ValueError, r"sample_weight has -2.0 in row 3; weights must be >= 0"),
        ([1, 1, 1, np.nan, 1, 1], ValueError, "sample_weight has nan in row 3"),
        (np.zeros(6), ValueError, "sample_weight is zero in every row"),
        (list("abcdef"), TypeError, "sample_weight has dtype <U1"),
    ],
)
def test_sample_weights_of_a_wrong_kind_are_refused_by_every_method(weight, error, message) -> None:
    net = fm.MLP([3, 5, 2])
    y = np.zeros((6, 2))
    for ask in (net.loss, net.score, net.value_and_grad, net.backward, net.input_gradient, net.fit):
        with pytest.raises(error, match=message):
            ask(GOOD_X, y, sample_weight=weight)
    assert net.history is None


def test_flops_of_a_wrong_number_of_rows() -> None:
    with pytest.raises(ValueError, match="rows must be an integer >= 0; got -1"):
        fm.MLP([3, 2]).flops(-1)


def test_an_unknown_metric_is_refused_with_the_nearest_names() -> None:
    net = fm.MLP([3, 2])
    with pytest.raises(ValueError, match=r"metric must be one of .*got 'acuracy'\. Did you mean 'accuracy'"):
        net.score(GOOD_X, np.zeros((6, 2)), "acuracy")
