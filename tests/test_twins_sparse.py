"""Both engines on sparse rows and on windows of a training's rows, beside the reference on all rows made dense."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

pytest.importorskip("numba")

import numba
from fastmlp.kernels import train as compiled

from fastmlp import sparse
from fastmlp.reference import ids
from fastmlp.reference import train as plain
from tests.nets import Data, make_data, make_net
from tests.twins import optimizer_state

# Kernels are made of LLVM code, which Python cannot run in the compiler's place.
pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="kernels need the compiler")

# Widths, rows, minibatch, and what else the network has. 60 columns of 3000 inputs are several stretches of the gradient.
CASES = {
    "few parameters": ([40, 9, 3], 83, 16, {}),
    "rows in the lanes, were they dense": ([40, 4, 1], 300, 299, {"hidden": "RELU"}),
    "groups of blocks": ([40, 30, 2], 700, 650, {}),
    "several blocks": ([400, 50, 2], 300, 290, {"hidden": "RELU"}),
    "several stretches": ([3000, 60, 3], 70, 33, {"hidden": "RELU"}),
    "clipped": ([3000, 60, 3], 70, 33, {"clip_norm": 1e-3}),
    "no bias": ([40, 9, 3], 83, 16, {"bias": False}),
    "one layer": ([40, 1], 83, 16, {}),
    "dropout": ([40, 17, 3], 83, 16, {"dropout": 0.3, "training": 1}),
    "a part left out": ([40, 17, 3], 83, 16, {"drop_last": 1}),
}


def case(name):
    """A network, dense data of which few inputs are not zero, and a matrix of its inputs."""
    widths, n, batch, options = CASES[name]
    net = make_net(widths, **{"batch": batch, "optimizer": "ADAM", "beta1": 0.9, "beta2": 0.999, "l2": 0.01} | options)
    data = make_data(net, n, weighted=name == "few parameters")
    x = scipy.sparse.random(n, widths[0], 0.08, "csr", random_state=np.random.default_rng(0))
    return net, Data(x.toarray(), data.y, data.weight), sparse.csr(x, np.dtype("float64"))


def sparse_rows(x, chosen=slice(None)):
    """Rows of a matrix in the engines' own form."""
    counts = np.diff(x[chosen].indptr)
    rows = np.full((len(counts), 1 + 2 * np.diff(x.indptr).max()), np.nan)  # what fills the room is of no account
    for row, count, entries in zip(rows, counts, x[chosen], strict=True):
        row[0], row[1 : 1 + 2 * count : 2], row[2 : 2 + 2 * count : 2] = count, entries.indices, entries.data
    assert rows.shape[1] < x.shape[1]
    return np.nan_to_num(rows)


@pytest.mark.parametrize("engine", [compiled, plain], ids=["compiled", "reference"])
@pytest.mark.parametrize("name", CASES)
def test_questions(name, engine) -> None:
    net, data, x = case(name)
    rows = sparse_rows(x)
    arena = np.full(engine.arena_size(net.table, len(rows), rows.shape[1]), np.nan)
    for task, shape in (("predict", (len(rows), net.n_outputs)), ("activations", (len(rows), net.table[:, ids.WIDTH].sum()))):
        expected, found = np.empty(shape), np.empty(shape)
        getattr(plain, task)(net.table, net.params, data.x, expected, np.empty(0))
        assert getattr(engine, task)(net.table, net.params, rows, found, arena) == 0.0
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    settings = net.table, net.ints, net.reals, net.params
    expected, found = np.empty_like(net.params), np.empty_like(net.params)
    value = plain.value_and_grad(*settings, *data.arrays, expected, np.empty(0))
    assert engine.value_and_grad(*settings, rows, data.y, data.weight, found, arena) == pytest.approx(value, rel=1e-10)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    still = net.ints.copy()
    still[ids.TRAINING] = 0
    value = plain.loss(net.table, still, *settings[2:], *data.arrays, np.empty(0))
    assert engine.loss(net.table, still, *settings[2:], rows, data.y, data.weight, arena) == pytest.approx(value, rel=1e-10)


def trained(engine, net, data, steps, rows_of):
    """Parameters and losses after `steps` steps, `rows_of(first, last)` of each being its inputs, or all at once of None."""
    net, n = net.copy(), len(data.y)
    slots, order, losses, finished = optimizer_state(net, np.float64), np.empty(n, np.int64), np.full(steps + 1, np.nan), 0
    arena = np.full(engine.arena_size(net.table, n), np.nan)
    for _ in range(steps):
        first = int(net.ints[ids.ROW])
        net.ints[ids.WINDOW] = first
        plain.permutation(int(net.ints[ids.SHUFFLE_SEED]), int(net.ints[ids.EPOCH]), order)
        x = data.x if rows_of is None else rows_of(order[first : first + net.ints[ids.BATCH]])
        finished += engine.train_steps(
            net.table, net.ints, net.reals, net.params, slots, x, data.y, data.weight, order, np.array([[0.01]]),
            losses[finished:], arena,
        )  # fmt: skip
    return net.params, losses[:finished]


@pytest.mark.parametrize("engine", [compiled, plain], ids=["compiled", "reference"])
@pytest.mark.parametrize("form", ["sparse", "dense"])
@pytest.mark.parametrize("name", CASES)
def test_training_by_windows(name, form, engine) -> None:
    net, data, x = case(name)
    net.ints[[ids.SHUFFLE, ids.SHUFFLE_SEED]] = 1, 7
    rows_of = (lambda chosen: sparse_rows(x, chosen)) if form == "sparse" else (lambda chosen: data.x[chosen])
    params, losses = trained(engine, net, data, 7, rows_of)
    expected, those = trained(plain, net, data, 7, None)
    np.testing.assert_allclose(params, expected, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(losses, those, rtol=1e-10)
