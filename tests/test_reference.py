"""The NumPy engine judged on its own: by central differences and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastmlp.reference import activations, dense, train, vmath
from fastmlp.reference.loss import loss_and_delta
from tests.nets import ACTIVATIONS, HIDDEN, LOSSES, PARTNER, make_data, make_net, make_targets, number, settings
from tests.reference import NO_ARENA, PAIRS, H, assert_gradient, central_differences, loss_of, value_and_grad

# Activations.


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "SOFTMAX"])
def test_derivative_of_activation_is_its_central_difference(name):
    z = np.linspace(-6.05, 6.05, 98)  # no kink within H
    a, g = np.empty_like(z), np.empty_like(z)
    above, below = np.empty_like(z), np.empty_like(z)
    activations.activate(number(name), z, a, g)
    activations.apply(number(name), z + H, above)
    activations.apply(number(name), z - H, below)
    np.testing.assert_allclose(g, (above - below) / (2 * H), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "z", "value", "slope"),
    [
        ("IDENTITY", -2, -2, 1),
        ("RELU", -2, 0, 0),
        ("RELU", 0, 0, 0),
        ("RELU", 3, 3, 1),
        ("LEAKY_RELU", -2, -0.02, 0.01),
        ("LEAKY_RELU", 0, 0, 0.01),
        ("ELU", -1, math.exp(-1) - 1, math.exp(-1)),
        ("ELU", 0, 0, 1),
        ("SELU", 2, 2.1014019747, 1.05070098736),
        ("SELU", -1, 1.7580993408 * (math.exp(-1) - 1), 1.7580993408 * math.exp(-1)),
        ("SELU", 0, 0, 1.7580993408),
        ("GELU", 1, 0.8413447461, 0.8413447461 + 0.2419707245),  # Φ(1), Φ(1) + φ(1)
        ("GELU_TANH", 1, 0.8411919906, 1.0829640838),
        ("SILU", 1, 0.7310585786, 0.7310585786 + 0.1966119332),  # s(1), s(1) + s'(1)
        ("MISH", 1, 0.8650983883, 1.0490362200),
        ("SOFTPLUS", 0, math.log(2), 0.5),
        ("TANH", 1, 0.7615941560, 0.4199743416),
        ("SIGMOID", 0, 0.5, 0.25),
        ("HARD_SIGMOID", 1.5, 0.75, 1 / 6),
        ("HARD_SIGMOID", -3, 0, 0),
        ("HARD_SIGMOID", 3, 1, 0),
        ("HARD_SWISH", 1.5, 1.125, 1),
        ("HARD_SWISH", -3, 0, 0),
        ("HARD_SWISH", 3, 3, 1),
        ("EXP", 1, math.e, math.e),
    ],
)
def test_activation_at_a_known_point(name, z, value, slope):
    z = np.array([z], np.float64)
    a, g = np.empty(1), np.empty(1)
    activations.activate(number(name), z, a, g)
    np.testing.assert_allclose([a[0], g[0]], [value, slope], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", HIDDEN)
def test_activation_is_finite_far_out_and_keeps_nan(name, dtype):
    z = np.array([-1e4, -100, -1e-40, 0, 1e-40, 100, 1e4, np.nan], dtype)
    a, g = np.empty_like(z), np.empty_like(z)
    activations.activate(number(name), z, a, g)
    assert np.isfinite(a[:-1]).all()
    assert np.isfinite(g[:-1]).all()
    assert np.isnan(a[-1])
    assert a.dtype == g.dtype == dtype


@pytest.mark.parametrize("name", [*HIDDEN, "EXP"])
def test_activation_may_overwrite_its_input(name):
    z = np.linspace(-4, 4, 11)
    a, g = np.empty_like(z), np.empty_like(z)
    activations.activate(number(name), z, a, g)
    for where in range(2):
        results = [np.empty_like(z), np.empty_like(z)]
        results[where] = z.copy()
        activations.activate(number(name), results[where], *results)
        np.testing.assert_array_equal(results, [a, g])
    activations.apply(number(name), z, z)
    np.testing.assert_array_equal(z, a)


def test_softmax_of_large_logits_is_finite_and_sums_to_one():
    z = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4 - math.log(2)]])
    softmax = np.empty_like(z)
    activations.softmax(z, softmax)
    np.testing.assert_allclose(softmax, [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0.4, 0.4, 0.2]], rtol=1e-11)
    activations.softmax(z, z)
    np.testing.assert_array_equal(z, softmax)


def test_erf_is_the_same_without_scipy(monkeypatch):
    x = np.linspace(-7, 7, 57)
    with_scipy, without = np.empty_like(x), np.empty_like(x)
    vmath.erf(x, with_scipy)
    monkeypatch.setitem(__import__("sys").modules, "scipy.special", None)
    vmath.erf(x, without)
    np.testing.assert_allclose(with_scipy, without, rtol=1e-15)


# Losses.


def row_losses(loss, output, z, y, param=None, smoothing=0.0, scales=None):
    rows, delta = np.empty(len(z), z.dtype), np.empty_like(z)
    scales = np.ones(len(z), z.dtype) if scales is None else scales
    param = (0.7 if loss in ("HUBER", "QUANTILE") else 0.0) if param is None else param
    loss_and_delta(number(loss), number(output), param, smoothing, z, y, scales, rows, delta)
    return rows, delta


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize(("loss", "output"), PAIRS)
def test_delta_is_the_central_difference_of_the_loss(loss, output, k):
    generator = np.random.default_rng(3)
    z, y = generator.normal(size=(5, k)), make_targets(loss, 5, k, generator)
    scales = generator.random(5)
    _, delta = row_losses(loss, output, z, y, scales=scales)

    assert_gradient(delta, central_differences(lambda: scales @ row_losses(loss, output, z, y)[0], z))


@pytest.mark.parametrize(
    ("loss", "value", "delta"),
    [
        # Outputs (1, -2), targets (0.5, 0): errors e = (0.5, -2).
        ("MSE", (0.25 + 4) / 2, (0.5, -2)),
        ("SSE", 0.25 + 4, (1, -4)),
        ("HALF_MSE", (0.25 + 4) / 2, (0.5, -2)),
        ("MAE", (0.5 + 2) / 2, (0.5, -0.5)),
        ("HUBER", (0.125 + 0.7 * (2 - 0.35)) / 2, (0.25, -0.35)),  # param = 0.7
        ("QUANTILE", (0.3 * 0.5 + 0.7 * 2) / 2, (0.15, -0.35)),  # too high by 0.5 costs 0.3, too low by 2 costs 0.7
    ],
)
def test_loss_of_outputs_worked_by_hand(loss, value, delta):
    rows, d = row_losses(loss, "IDENTITY", np.array([[1.0, -2.0]]), np.array([[0.5, 0.0]]))
    np.testing.assert_allclose(rows, [value], rtol=1e-14)
    np.testing.assert_allclose(d, [delta], rtol=1e-14)


def test_huber_is_a_line_beyond_its_parameter():
    rows, d = row_losses("HUBER", "IDENTITY", np.array([[0.69], [0.71]]), np.zeros((2, 1)))  # param = 0.7
    np.testing.assert_allclose(rows, [0.69**2 / 2, 0.7 * (0.71 - 0.35)], rtol=1e-14)
    np.testing.assert_allclose(d[:, 0], [0.69, 0.7], rtol=1e-14)


@pytest.mark.parametrize("loss", ["MAE", "HUBER", "QUANTILE"])
def test_derivative_at_the_kink_of_a_loss_is_zero(loss):
    rows, d = row_losses(loss, "IDENTITY", np.array([[2.0]]), np.array([[2.0]]))
    assert rows[0] == 0
    assert d[0, 0] == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_delta_of_softmax_and_cross_entropy_is_p_minus_y(smoothing):
    generator = np.random.default_rng(5)
    z, classes = generator.normal(size=(6, 4)), generator.integers(4, size=(6, 1))
    rows, delta = row_losses("CROSS_ENTROPY", "SOFTMAX", z, classes.astype(float), smoothing=smoothing)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    y = (1 - smoothing) * np.eye(4)[classes[:, 0]] + smoothing / 4
    np.testing.assert_allclose(delta, p - y, atol=1e-15)
    np.testing.assert_allclose(rows, -(y * np.log(p)).sum(axis=1), rtol=1e-13)


def test_class_indices_and_one_hot_targets_are_the_same():
    generator = np.random.default_rng(6)
    z, classes = generator.normal(size=(6, 4)), generator.integers(4, size=(6, 1))
    as_classes = row_losses("CROSS_ENTROPY", "SOFTMAX", z, classes.astype(float), smoothing=0.2)
    as_rows = row_losses("CROSS_ENTROPY", "SOFTMAX", z, np.eye(4)[classes[:, 0]], smoothing=0.2)
    np.testing.assert_array_equal(as_classes[0], as_rows[0])
    np.testing.assert_array_equal(as_classes[1], as_rows[1])


def test_cross_entropy_of_targets_that_do_not_sum_to_one_has_the_gradient_p_minus_y():
    z, y = np.array([[3.0, -1.0, 0.5]]), np.array([[0.2, 0.1, 0.3]])
    rows, delta = row_losses("CROSS_ENTROPY", "SOFTMAX", z, y)
    np.testing.assert_allclose(rows, np.log(np.exp(z).sum()) - (y * z).sum(), rtol=1e-14)
    np.testing.assert_allclose(delta, np.exp(z) / np.exp(z).sum() - y, rtol=1e-14)


def test_bce_is_minus_the_log_likelihood():
    z, y = np.array([[0.3, -2.0]]), np.array([[1.0, 0.25]])
    p = 1 / (1 + np.exp(-z))
    rows, delta = row_losses("BCE", "SIGMOID", z, y)
    np.testing.assert_allclose(rows, -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(axis=1), rtol=1e-14)
    np.testing.assert_allclose(delta, (p - y) / 2, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_losses_of_logits_are_finite_far_out(dtype):
    z = np.array([[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4]], dtype)
    y = np.array([[1, 0], [1, 0], [0.5, 0.5]], dtype)
    rows, delta = row_losses("CROSS_ENTROPY", "SOFTMAX", z, y)
    np.testing.assert_allclose(rows, [0, 2e4, math.log(2)], rtol=1e-6)
    np.testing.assert_allclose(delta, [[0, 0], [-1, 1], [0, 0]], atol=1e-6)
    rows, delta = row_losses("BCE", "SIGMOID", z, y)
    np.testing.assert_allclose(rows, [0, 1e4, 5e3], rtol=1e-6)
    np.testing.assert_allclose(delta, [[0, 0], [-0.5, 0.5], [0.25, 0.25]], atol=1e-6)
    limit = 70 if dtype == np.float32 else 700
    z = np.array([[limit + 0.5], [limit + 1], [-1e4]], dtype)
    rows, delta = row_losses("POISSON", "EXP", z, np.ones((3, 1), dtype))
    np.testing.assert_allclose(rows / np.exp(dtype(limit)), [1.5, 2, 0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(delta[:2, 0] / np.exp(dtype(limit)), [1, 1], rtol=1e-5)
    assert delta[2, 0] == -1


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss != "PRODUCT"])  # whose derivative by p is y
def test_loss_of_nan_is_nan(loss):
    rows, delta = row_losses(loss, PARTNER.get(loss, "IDENTITY"), np.array([[np.nan], [0.0]]), np.ones((2, 1)))
    assert np.isnan(rows).tolist() == [True, False]
    assert np.isnan(delta[:, 0]).tolist() == [True, False]


# Networks.

ARCHITECTURES = {
    "no hidden layer": {"widths": [3, 2]},
    "one unit everywhere": {"widths": [1, 1, 1, 1]},
    "three hidden layers": {"widths": [3, 5, 4, 3, 2]},
    "no bias": {"widths": [3, 4, 2], "bias": False},
    "bias in some layers": {"widths": [3, 4, 3, 2], "bias": [True, False, True]},
    "parametric": {"widths": [3, 5, 4, 2], "alphas": True},
    "parametric with dropout": {"widths": [3, 6, 5, 2], "alphas": True, "dropout": [0.3, 0.5, 0.0], "training": 1},
    "dropout": {"widths": [3, 6, 5, 2], "dropout": [0.3, 0.5, 0.0], "training": 1, "seed": 9, "epoch": 2, "row": 5},
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradient_of_a_network_is_its_central_difference(architecture, weighted):
    net = make_net(**ARCHITECTURES[architecture])
    data = make_data(net, 7, weighted=weighted)
    value, grad = value_and_grad(net, data)
    # The same masks every time, for they depend on the counters alone.
    assert_gradient(grad, central_differences(lambda: value_and_grad(net, data)[0], net.params))
    if "dropout" not in architecture:
        assert value == loss_of(net, data)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_gradient_is_right_for_every_activation_and_loss(hidden, loss):
    net = make_net([3, 4, 3], hidden, PARTNER.get(loss, "IDENTITY"), loss, smoothing=0.1 * (loss == "CROSS_ENTROPY"))
    data = make_data(net, 5)
    assert_gradient(value_and_grad(net, data)[1], central_differences(lambda: loss_of(net, data), net.params))


@pytest.mark.parametrize(("loss", "output"), PAIRS)
def test_input_gradient_is_its_central_difference(loss, output):
    net = make_net([3, 4, 2], "SILU", output, loss)
    data = make_data(net, 4, weighted=True)
    d_in = np.full_like(data.x, np.nan)
    train.input_gradient(net.table, net.ints, net.reals, net.params, *data.arrays, d_in, NO_ARENA)
    assert_gradient(d_in, central_differences(lambda: loss_of(net, data), data.x))


@pytest.mark.parametrize("output", ACTIVATIONS)
def test_products_with_the_jacobian_are_central_differences_of_the_outputs(output):
    net = make_net([3, 4, 2], "GELU", output, "PRODUCT")
    data = make_data(net, 4)
    d_in, grad, out = np.full((4, 3), np.nan), np.full_like(net.params, np.nan), np.empty((4, 2))

    def product():
        train.predict(net.table, net.params, data.x, out, NO_ARENA)
        return (data.y * out).sum()

    asked = net.table, net.ints, net.reals, net.params, *data.arrays
    train.input_gradient(*asked, d_in, NO_ARENA)
    assert_gradient(d_in, central_differences(product, data.x))
    assert train.value_and_grad(*asked, grad, NO_ARENA) == pytest.approx(product())
    assert_gradient(grad, central_differences(product, net.params))


def test_input_gradient_and_loss_take_no_dropout():
    net = make_net([3, 8, 2], dropout=[0.5, 0.0], training=1)
    data = make_data(net, 6)
    d_in = np.empty_like(data.x)
    train.input_gradient(net.table, net.ints, net.reals, net.params, *data.arrays, d_in, NO_ARENA)
    assert_gradient(d_in, central_differences(lambda: loss_of(net, data), data.x))
    settings(net.ints, net.reals, training=0)
    assert loss_of(net, data) == value_and_grad(net, data)[0]


def test_activations_are_every_layers_and_end_with_the_predictions():
    net = make_net([3, 4, 2], "TANH", "SOFTMAX", "CROSS_ENTROPY")
    data = make_data(net, 5)
    out, everything = np.empty((5, 2)), np.empty((5, 6))
    train.predict(net.table, net.params, data.x, out, NO_ARENA)
    train.activations(net.table, net.params, data.x, everything, NO_ARENA)
    w, b = net.params[:12].reshape(3, 4), net.params[12:16]
    np.testing.assert_allclose(everything[:, :4], np.tanh(data.x @ w + b), rtol=1e-14)
    np.testing.assert_array_equal(everything[:, 4:], out)
    np.testing.assert_allclose(out.sum(axis=1), 1, rtol=1e-15)


def test_a_row_of_weight_two_counts_like_two_rows():
    for loss in ("MSE", "SSE"):
        net = make_net([3, 4, 2], loss=loss)
        data = make_data(net, 4)
        data.weight = np.array([1.0, 2, 1, 1])
        twice = make_data(net, 4)
        twice.x, twice.y = np.concatenate([twice.x, twice.x[1:2]]), np.concatenate([twice.y, twice.y[1:2]])
        (value, grad), (expected, expected_grad) = value_and_grad(net, data), value_and_grad(net, twice)
        np.testing.assert_allclose(value, expected, rtol=1e-14)
        np.testing.assert_allclose(grad, expected_grad, rtol=1e-13, atol=1e-15)


def test_weights_that_sum_to_zero_give_loss_zero_and_gradient_zero():
    net = make_net([3, 4, 2])
    data = make_data(net, 4)
    data.weight = np.zeros(4)
    value, grad = value_and_grad(net, data)
    assert value == 0
    assert not grad.any()


def test_dense_products_are_what_they_say():
    x, w = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 0.0, -1.0], [0.0, 1.0, -1.0]])
    z, a, out, dw, db = np.empty((2, 3)), np.empty((2, 3)), np.array([[2.0, 1], [1, 0]]), np.empty((2, 3)), np.empty(3)
    dense.linear_fwd(x, w, np.array([0.5, 0, 0]), z)
    np.testing.assert_array_equal(z, [[1.5, 2, -3], [3.5, 4, -7]])
    dense.linear_fwd_relu(x, w, np.empty(0), a)
    np.testing.assert_array_equal(a, [[1, 2, 0], [3, 4, 0]])
    d = np.array([[1.0, 0, 2], [0, 1, 0]])
    dense.linear_bwd_d(d, w, out, out)
    np.testing.assert_array_equal(out, [[-2, -2], [0, 0]])
    dense.linear_bwd_w(x, d, dw, db)
    np.testing.assert_array_equal(dw, [[1, 3, 2], [2, 4, 4]])
    np.testing.assert_array_equal(db, [1, 1, 2])
