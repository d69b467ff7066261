"""Narrow networks with many rows, which go through the kernels by columns: against the other engine, around every edge."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from fastmlp.kernels import columns, dots, gemm, simd
from fastmlp.kernels.simd import address
from numba import njit

import fastmlp as fm
from tests.compare import assert_close, assert_product
from tests.compiler import needs_compiler

pytestmark = needs_compiler

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
HIDDEN = sorted(name for name, activation in fm.activations.ACTIVATIONS.items() if activation.hidden)
PAIRS = {
    "cross_entropy": "softmax", "bce": "sigmoid", "mse": "identity", "sse": "tanh", "half_mse": "identity", "mae": "identity",
    "huber": "identity", "poisson": "exp", "quantile": "identity",
}  # fmt: skip

LOSSES = [(loss, outputs) for loss in sorted(PAIRS) for outputs in (1, 3) if (loss, outputs) != ("cross_entropy", 1)]


@njit
def _products(m, n, k, a, b, c, add):
    dots.products(m, n, k, address(a, 0), address(b, 0), address(c, 0), add)


@njit
def _weight_gradient(m, n, k, a, d, dw, add, packed):
    columns._weight_gradient(m, n, k, address(a, 0), address(d, 0), address(dw, 0), add, address(packed, 0))


@njit
def _narrow(table, rows, backward, lanes):
    return columns.narrow(table, rows, backward, lanes)


@njit
def _narrow_up_to(table, rows):
    return columns.narrow_up_to(table, rows)


@njit
def _block(table):
    return columns.column_block(table)


def narrow(net: fm.MLP, rows: int, backward: bool = True) -> bool:
    return _narrow(net.plan.table, rows, backward, simd.LANES32 if net.dtype == np.float32 else simd.LANES64)


@DTYPES
def test_products_of_columns(dtype) -> None:
    lanes = simd.LANES32 if dtype == "float32" else simd.LANES64
    rng = np.random.default_rng(0)
    for m in (1, dots.FEW_ROWS, dots.FEW_ROWS + 1, dots.ROWS - 1, dots.ROWS, dots.ROWS + 1, 3 * dots.ROWS):
        for n in (1, dots.FEW_COLS, dots.COLS - 1, dots.COLS, dots.COLS + 1, 3 * dots.COLS):
            for k in (0, lanes, 2 * lanes, 7 * lanes):
                a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(n, k)).astype(dtype)
                for add in (False, True):
                    guarded = np.full(m * n + 40, 7.0, dtype)
                    _products(m, n, k, a, b, guarded[20:], add)
                    got, start = guarded[20 : 20 + m * n].reshape(m, n), 7.0 if add else 0.0
                    assert_product(got, start + a.astype(np.float64) @ b.T.astype(np.float64), a, b.T, start)
                    assert (np.delete(guarded, slice(20, 20 + m * n)) == 7.0).all()


@DTYPES
def test_weight_gradients_by_sums_over_lanes_and_from_turned_deltas(dtype) -> None:
    lanes = simd.LANES32 if dtype == "float32" else simd.LANES64
    rng = np.random.default_rng(0)
    ways = set()
    for m, n in ((1, 1), (3, 16), (17, 16), (17, 7), (33, 10), (65, 37)):
        for k in (lanes, 2 * lanes, 3 * lanes, 20 * lanes):
            a, d = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(n, k)).astype(dtype)
            width = -(-n // lanes) * lanes
            for add in (False, True):
                guarded, packed = np.full(m * n + 40, 7.0, dtype), np.full(gemm.PACKED + k * width + 20, 7.0, dtype)
                _weight_gradient(m, n, k, a, d, guarded[20:], add, packed)
                got, start = guarded[20 : 20 + m * n].reshape(m, n), 7.0 if add else 0.0
                assert_product(got, start + a.astype(np.float64) @ d.T.astype(np.float64), a, d.T, start)
                assert (np.delete(guarded, slice(20, 20 + m * n)) == 7.0).all()
                assert (packed[-20:] == 7.0).all()
                turned = bool((packed[gemm.PACKED :] != 7.0).any())
                ways.add((turned, k <= lanes and m > lanes))
    assert {(True, True), (False, False)} <= ways  # few rows beside many inputs, and many rows


@DTYPES
def test_which_networks_are_narrow(dtype) -> None:
    assert narrow(fm.MLP([2, 5, 1], dtype=dtype), 64)
    assert narrow(fm.MLP([2, 5, 1], dtype=dtype), 1000, backward=False)
    assert not narrow(fm.MLP([2, 5, 1], dtype=dtype), columns.LEAST_ROWS - 1)
    if simd.LANES32 == 16:
        assert narrow(fm.MLP([10, 24, 24, 3]), 1000)
        assert narrow(fm.MLP([20, 48, 52, 5]), 1000, backward=False)
    for rows in (64, 1000, 4096, 1_000_000):  # nothing is wasted
        assert not narrow(fm.MLP([64, 64, 64, 64], dtype=dtype), rows)
    assert not narrow(fm.MLP([500, 40, 3], dtype=dtype), 1000)


def test_rows_of_one_block_go_by_rows_where_threads_are_worth_it() -> None:
    net = fm.MLP([64, 46, 46, 10])
    block = _block(net.plan.table)
    assert not any(narrow(net, rows) for rows in range(48, block + 1) if rows * net.n_params >= columns.SHARED)
    if simd.LANES32 == 8:  # with 16 lanes 46 units waste too few
        assert narrow(net, 2 * block)
        assert narrow(fm.MLP([64, 42, 42, 10]), 32)  # too few to share
    assert narrow(fm.MLP([64, 17, 17, 3]), 320)  # columns save too much


# Some of more rows go by rows where fewer go by columns, with 16 lanes and with 8; the rest are any.
LESS_NARROW = [[51, 37], [49, 26], [14, 73, 13], [15, 31, 20], [44, 27], [88, 35], [55, 50], [81, 3, 81, 47]]


def test_there_is_room_for_columns_wherever_fewer_rows_may_go_by_them() -> None:
    rng = np.random.default_rng(0)
    some = [
        rng.choice([1, 2, 3, 5, 8, 10, 16, 17, 20, 30, 32, 37, 46, 54, 64, 81, 100], rng.integers(2, 5)) for _ in range(300)
    ]
    less = 0
    for widths in [*LESS_NARROW, *some]:
        table = fm.MLP([int(width) for width in widths], output="identity").plan.table
        before = False
        for rows in [7, *range(8, 488, 8), 1000]:
            ways = [(backward, lanes) for backward in (True, False) for lanes in (simd.LANES32, simd.LANES64)]
            now = any(_narrow(table, rows, *way) for way in ways)
            less += before and not now
            before |= now
            assert _narrow_up_to(table, rows) or not before, (widths, rows)
    assert less > 0 or simd.LANES32 not in (8, 16)


def agree(net: fm.MLP, X, y, weight=None, batch=70) -> None:
    """Losses, gradients, predictions and some training on both engines."""
    assert narrow(net, min(batch, len(X)))
    found = []
    for name in ("numba", "numpy"):
        fm.use_engine(name)
        twin = net.copy()
        value, gradient = twin.value_and_grad(X, y, weight)
        answers = [np.float64(value), gradient, np.float64(twin.loss(X, y, weight)), twin.predict(X)]
        twin.fit(X, y, sample_weight=weight, epochs=2, batch_size=batch, optimizer="sgd", progress=False)
        found.append([*answers, twin.params, np.array(twin.history.loss)])
    fm.use_engine()
    for got, expected in zip(*found, strict=True):
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(got, expected, rtol=0, atol=scale * 300 * np.finfo(net.dtype).eps)


def data(net: fm.MLP, rows: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, net.plan.n_inputs)).astype(net.dtype)
    k = net.plan.n_outputs
    y = rng.integers(0, k, rows) if net.loss_spec.kind == "classes" else rng.uniform(0, 1, (rows, k)).astype(net.dtype)
    return X, y


@DTYPES
@pytest.mark.parametrize("activation", HIDDEN)
def test_every_activation(activation, dtype) -> None:
    net = fm.MLP([3, 9, 5, 2], activation=activation, dtype=dtype)
    agree(net, *data(net, 150))


@DTYPES
@pytest.mark.parametrize(("loss", "outputs"), LOSSES)
def test_every_loss(loss, outputs, dtype) -> None:
    net = fm.MLP([4, 5, outputs], output=PAIRS[loss], loss=loss, dtype=dtype)
    X, y = data(net, 131)
    agree(net, X, y)
    agree(net, X, y, np.random.default_rng(1).uniform(0, 2, len(X)).astype(dtype))


@DTYPES
@pytest.mark.parametrize("beside", [-1, 0, 1])
def test_rows_around_a_block(beside, dtype) -> None:
    net = fm.MLP([5, 11, 3, 4], dtype=dtype)
    block = _block(net.plan.table)
    for rows in (block + beside, 2 * block + beside, 65 + beside, 96 + beside):
        agree(net, *data(net, rows), batch=rows)


def test_probabilities_label_smoothing_and_layers_without_bias() -> None:
    layers = [6, fm.Dense(10, "tanh", bias=False), fm.Dense(3, bias=False)]
    net = fm.MLP(layers, output="softmax", loss=fm.losses.CrossEntropy(label_smoothing=0.1), dtype="float64")
    X, _ = data(net, 200)
    agree(net, X, np.random.default_rng(2).dirichlet(np.ones(3), 200))


def test_a_row_whose_output_overflows_does_not_spoil_its_block() -> None:
    net = fm.MLP([2, 8, 1], output="exp", loss="poisson", dtype="float32")
    X = np.random.default_rng(0).normal(size=(100, 2)).astype("f4")
    X[40] = 3e38
    predicted = net.predict(X)
    rest = np.delete(np.arange(100), 40)
    assert_close(predicted[rest], net.predict(X[rest]), errors=4)


def test_shuffled_rows_are_those_of_the_other_engine() -> None:
    net = fm.MLP([3, 8, 2], dtype="float64")
    X, y = data(net, 333)
    curves = []
    for name in ("numba", "numpy"):
        fm.use_engine(name)
        curves.append(net.copy().fit(X, y, epochs=5, batch_size=100, shuffle=True, progress=False).loss)
    fm.use_engine()
    np.testing.assert_allclose(*curves, rtol=1e-12)
