"""The comparison helper itself: right kernels pass, and kernels that are wrong on purpose do not."""

from __future__ import annotations

import numpy as np
import pytest

from fastmlp.reference import ids, train
from tests.compare import assert_close, assert_product, assert_within, network_bounds
from tests.nets import make_data, make_net

DTYPES = [np.float32, np.float64]


def operands(dtype, m=7, k=300, n=5):
    rng = np.random.default_rng(0)
    return tuple(rng.normal(size=s).astype(dtype) for s in ((m, k), (k, n), (n,)))


def in_another_order(a, b, bias):
    """A correct product that adds from the last term to the first."""
    z = np.tile(bias, (len(a), 1))
    for p in reversed(range(len(b))):
        z += a[:, p : p + 1] * b[p]
    return z


def without_last_term(a, b, bias):
    return in_another_order(a[:, :-1], b[:-1], bias)


def without_bias(a, b, bias):
    return in_another_order(a, b, 0 * bias)


def with_one_row_twice(a, b, bias):
    z = in_another_order(a, b, bias)
    z[-1] = z[-2]
    return z


def in_half_precision(a, b, bias):
    z = np.tile(bias, (len(a), 1))
    for p in range(len(b)):
        z += (a[:, p : p + 1] * b[p]).astype(np.float16)
    return z


def with_a_term_twice(a, b, bias):
    return in_another_order(np.concatenate([a, a[:, :1]], axis=1), np.concatenate([b, b[:1]]), bias)


def not_written(a, b, bias):
    return np.zeros((len(a), b.shape[1]), a.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_product_summed_in_another_order_passes(dtype):
    a, b, bias = operands(dtype)
    assert_product(in_another_order(a, b, bias), a @ b + bias, a, b, bias)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "kernel",
    [without_last_term, without_bias, with_one_row_twice, in_half_precision, with_a_term_twice, not_written],
)
def test_a_wrong_product_is_rejected(kernel, dtype):
    a, b, bias = operands(dtype)
    with pytest.raises(AssertionError, match="elements are wrong"):
        assert_product(kernel(a, b, bias), a @ b + bias, a, b, bias)


def test_the_bound_follows_each_element_not_the_largest():
    """Rows a million times smaller than others are held to a bound a million times smaller."""
    a, b, _ = operands(np.float32)
    a[0] *= 1e-6
    z = a @ b
    wrong = z.copy()
    wrong[0] = 0
    with pytest.raises(AssertionError, match="5 of 35 elements are wrong"):
        assert_product(wrong, z, a, b)


def test_a_single_wrong_element_is_named():
    with pytest.raises(AssertionError, match=r"1 of 6 elements are wrong; at \(1, 2\): got .*5.0.*, expected .*0.0"):
        assert_within(np.array([[0.0, 0, 0], [0, 0, 5]]), np.zeros((2, 3)), 1e-3)


@pytest.mark.parametrize(
    ("got", "expected"),
    [(np.nan, 1.0), (1.0, np.nan), (np.inf, np.nan), (np.inf, -np.inf), (3e38, np.inf), (np.inf, 3e38), (-np.inf, 0.0)],
)
def test_nan_and_infinity_match_nothing_else(got, expected):
    with pytest.raises(AssertionError, match="1 of 1 elements are wrong"):
        assert_within(np.array([got]), np.array([expected]), 1e30)


def test_nan_and_infinity_match_themselves():
    special = np.array([np.nan, np.inf, -np.inf])
    assert_within(special, special.copy(), 0)


def test_another_shape_is_rejected():
    with pytest.raises(AssertionError, match=r"shape \(3,\), expected \(3, 1\)"):
        assert_within(np.zeros(3), np.zeros((3, 1)), 1)


@pytest.mark.parametrize("bound", [np.nan, np.inf])
def test_a_bound_that_accepts_anything_is_rejected(bound):
    with pytest.raises(AssertionError, match="would accept anything"):
        assert_within(np.zeros(3), np.zeros(3), bound)


@pytest.mark.parametrize("dtype", DTYPES)
def test_close_counts_errors_in_eps(dtype):
    x = np.linspace(1, 2, 9, dtype=dtype)
    off = x * (1 + 8 * np.finfo(dtype).eps)
    assert_close(off, x.astype(np.float64), errors=10)
    with pytest.raises(AssertionError, match="elements are wrong"):
        assert_close(off, x.astype(np.float64), errors=5)


def wrong_engines():
    """Ways to be wrong about a gradient, each as a function of a network and data that gives loss and gradient."""

    def value_and_grad(net, data):
        grad = np.empty_like(net.params)
        value = train.value_and_grad(net.table, net.ints, net.reals, net.params, *data.arrays, grad, np.empty(0))
        return value, grad

    def last_row_left_out(net, data):
        data.weight[-1] = 0
        return value_and_grad(net, data)

    def weights_ignored(net, data):
        data.weight[:] = 1
        return value_and_grad(net, data)

    def masks_of_the_next_row(net, data):
        net.ints[ids.ROW] += 1
        return value_and_grad(net, data)

    def derivative_of_another_activation(net, data):
        value, _ = value_and_grad(net, data)
        net.table[0, ids.ACTIVATION] = ids.SIGMOID
        return value, value_and_grad(net, data)[1]

    def last_bias_not_written(net, data):
        value, grad = value_and_grad(net, data)
        grad[-1] = 0
        return value, grad

    return [last_row_left_out, weights_ignored, masks_of_the_next_row, derivative_of_another_activation,
            last_bias_not_written]  # fmt: skip


def some_network():
    net = make_net([5, 17, 9, 3], "TANH", "SOFTMAX", "CROSS_ENTROPY", dropout=[0.5, 0.2, 0.0], training=1, row=3)
    return net, make_data(net, 11, weighted=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_network_in_its_own_precision_is_within_its_bounds(dtype):
    net, data = some_network()
    bounds = network_bounds(net, data, dtype)
    results = []
    for precision in (dtype, np.float64):
        n, grad = net.astype(precision), np.empty(net.params.size, precision)
        arrays = data.astype(precision).arrays
        value = train.value_and_grad(n.table, n.ints, n.reals, n.params, *arrays, grad, np.empty(0))
        results.append((value, grad))
    assert_within(results[0][0], results[1][0], bounds.loss)
    assert_within(results[0][1], results[1][1], bounds.grad)


@pytest.mark.parametrize("wrong", wrong_engines(), ids=lambda f: f.__name__)
def test_a_wrong_gradient_is_rejected_even_by_the_bounds_of_float32(wrong):
    net, data = some_network()
    bounds = network_bounds(net, data, np.float32)
    grad = np.empty_like(net.params)
    train.value_and_grad(net.table, net.ints, net.reals, net.params, *data.arrays, grad, np.empty(0))
    _, got = wrong(net, data)
    with pytest.raises(AssertionError, match="elements are wrong"):
        assert_within(got, grad, bounds.grad)


def test_network_bounds_stay_near_the_precision():
    """The bounds of a gradient are within a few thousand eps of its size: wrong by a part in a thousand is rejected."""
    net, data = some_network()
    grad = np.empty_like(net.params)
    train.value_and_grad(net.table, net.ints, net.reals, net.params, *data.arrays, grad, np.empty(0))
    assert network_bounds(net, data, np.float32).grad.max() < 1e-3 * np.abs(grad).max()
