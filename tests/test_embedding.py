"""An embedding before the first layer: numbers as sums of waves, categories as rows of a table."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import scalar
from tests.compiler import needs_compiler
from tests.oracle import central_differences

engines = pytest.mark.usefixtures("engine")
# Numbers, plain ones, codes; entries.
KINDS = {"numbers": (3, 0, 0, 0), "categories": (0, 2, 2, 7), "both": (2, 3, 1, 7), "a number": (1, 0, 0, 0)}
KIND = pytest.mark.parametrize("kind", KINDS)


def network(kind="both", widths=(20, 3), seed=1, dtype="float64", **options) -> fm.MLP:
    """A network on an embedding whose waves are fast enough to matter."""
    numbers, plain, codes, entries = KINDS[kind]
    embedding = fm.Embedding(numbers, plain, codes, entries, sigma=1.0, **options)
    return fm.MLP([embedding.n_inputs, embedding, *widths], activation="tanh", dtype=dtype, seed=seed)


def data(net: fm.MLP, n: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    embedding = net.layers[0]
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, embedding.n_inputs))
    if embedding.codes:
        X[:, -embedding.codes :] = rng.integers(0, embedding.entries, size=(n, embedding.codes))
    return X, rng.normal(size=(n, net.n_outputs))


@engines
def test_an_embedding_worked_by_hand() -> None:
    """One number, one plain, one category; one wave and one part: [c cos(2π x w + b) + d, x, plain, row...]."""
    net = fm.MLP([3, fm.Embedding(1, 1, 1, 2, waves=1, parts=1, size=2), 1], dtype="float64")
    w, b, c, d = 0.25, 0.5, 2.0, -1.0
    net.weights[0] = [[7.0, 8.0], [9.0, 10.0]]
    net.biases[0] = [[w, b, c, d]]
    embedded, _ = net.activations([[3.0, 5.0, 1.0]])
    np.testing.assert_allclose(embedded[0], [c * np.cos(2 * np.pi * 3.0 * w + b) + d, 3.0, 5.0, 9.0, 10.0], rtol=1e-14)


@engines
@KIND
def test_gradients_are_central_differences(kind) -> None:
    net = network(kind, parts=2, waves=5)
    X, y = data(net)
    start = net.params.copy()

    def loss_at(params):
        net.params = params
        return net.loss(X, y)

    value, grad = net.value_and_grad(X, y)
    assert value == pytest.approx(net.loss(X, y), rel=1e-14)
    np.testing.assert_allclose(grad, central_differences(loss_at, start), rtol=2e-6, atol=2e-8)
    net.params = start
    numbers, plain, _, _ = KINDS[kind]
    by_input = net.input_gradient(X, y)
    rest = X[:, numbers + plain :]
    inside = central_differences(lambda x: net.loss(np.concatenate([x, rest], axis=1), y), X[:, : numbers + plain])
    np.testing.assert_allclose(by_input[:, : numbers + plain], inside, rtol=2e-6, atol=2e-8)
    assert not by_input[:, numbers + plain :].any()  # by the number of a category


@needs_compiler
@KIND
@pytest.mark.parametrize("rows", [1, 17, 300, 2000])
@pytest.mark.parametrize("widths", [(9, 2), (300, 260, 3)])
def test_engines_agree(kind, rows, widths) -> None:
    """Rows in blocks side by side, and layers shared by rows and by units; on one thread and on more, the same bits."""
    found = []
    try:
        for engine, threads in (("numpy", None), ("numba", 1), ("numba", 2)):
            fm.use_engine(engine)
            fm.set_threads(threads)
            net = network(kind, widths)
            X, y = data(net, rows)
            grad, by_input, before = net.value_and_grad(X, y)[1], net.input_gradient(X, y), net.predict(X)
            optimizer = fm.Adam(1e-3, ntk=True, scale_factor=6.0, bias_factor=0.1, weight_decay=0.1)
            loss = net.fit(X, y, epochs=2, batch_size=256, optimizer=optimizer, shuffle=True).loss
            found.append((grad, by_input, before, np.array(loss), net.params.copy()))
    finally:
        fm.use_engine()
        fm.set_threads(None)
    plain, one, two = found
    for expected, got in zip(plain, one, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-7, atol=1e-9 * np.abs(expected).max())
    for got, other in zip(one, two, strict=True):
        np.testing.assert_array_equal(got, other)


@needs_compiler
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_waves_are_right_to_the_last_places(dtype) -> None:
    """Angles up to some thousands; between larger ones and NaN nothing but the bounds of a wave is kept."""
    from fastmlp.kernels.embedding import _cosines_with_slopes
    from fastmlp.kernels.simd import address
    from numba import njit

    @njit
    def waves(x, cosine, slope):
        _cosines_with_slopes(x.size, (address(x, 0), address(cosine, 0), address(slope, 0)), (1.0, 0.0))

    rng, half = np.random.default_rng(0), np.pi / 2 * np.arange(-2000, 2000)
    x = np.concatenate([rng.uniform(-top, top, 4000) for top in (0.1, 4.0, 100.0, 3000.0)] + [half, [0.0, -0.0]]).astype(dtype)
    cosine, slope, wide = np.empty_like(x), np.empty_like(x), x.astype(np.longdouble)
    waves(x, cosine, slope)
    for got, exact in ((cosine, np.cos(wide)), (slope, -np.sin(wide))):
        off = np.abs(got - exact).astype(np.float64)
        assert (off <= 1.5 * np.finfo(dtype).eps * np.abs(exact) + 1e-7 * np.finfo(dtype).eps * np.abs(x)).all()
    far = np.array([1e6, -3e20, np.finfo(dtype).max, np.inf, np.nan], dtype)
    cosine, slope = np.empty_like(far), np.empty_like(far)
    waves(far, cosine, slope)
    assert (np.abs(cosine[:3]) <= 1).all()
    assert (np.abs(slope[:3]) <= 1).all()
    assert np.isnan([*cosine[3:], *slope[3:]]).all()


@engines
def test_factors_are_of_the_table_and_of_the_waves() -> None:
    """The table is the embedding's weights, what makes waves its biases; of the fan-in of its units there is nothing."""
    net = network()
    X, y = data(net, 30)
    before, grad = net.copy(), net.value_and_grad(X, y)[1]
    optimizer = fm.SGD(0.1, weight_factor=(0.5, 0.0, 0.0), bias_factor=(0.25, 0.0, 0.0), weight_decay=1e-3)
    net.fit(X, y, epochs=1, batch_size=None, optimizer=optimizer)
    table, waves = net.plan.weights(grad)[0], net.plan.biases(grad)[0]
    np.testing.assert_allclose(net.weights[0], before.weights[0] * (1 - 1e-4) - 0.05 * table, rtol=1e-11)
    np.testing.assert_allclose(net.biases[0], before.biases[0] - 0.025 * waves, rtol=1e-11)
    assert (net.weights[1] == before.weights[1]).all()
    adam = before.copy()
    adam.fit(X, y, epochs=1, batch_size=None, optimizer=fm.Adam(0.1, ntk=True, eps=1e-12))
    moved = np.abs(adam.weights[0] - before.weights[0])[table != 0]
    np.testing.assert_allclose(moved, 0.1, rtol=1e-4)  # Adam's first step, whole


@engines
def test_it_learns_what_waves_and_categories_tell() -> None:
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.uniform(-2, 2, 600), rng.integers(0, 4, 600)])
    y = np.sin(6 * X[:, 0]) * np.array([-1.0, 0.0, 1.0, 2.0])[X[:, 1].astype(int)]
    errors = {}
    for name, layers in (("plain", [2]), ("embedded", [2, fm.Embedding(1, codes=1, entries=4, sigma=0.5)])):
        net = fm.MLP([*layers, 32, 32, 1], activation="relu", seed=0)
        errors[name] = net.fit(X, y, epochs=60, optimizer=fm.Adam(3e-3)).loss[-1]
    assert errors["embedded"] < 0.2 * errors["plain"]


@engines
@pytest.mark.parametrize("how", ["file", "pickle", "spec", "copy"])
@KIND
def test_it_is_kept(kind, how, tmp_path) -> None:
    net = network(kind)
    X, y = data(net, 20)
    net.fit(X, y, epochs=1, optimizer=fm.Adam(0.01, scale_factor=2.0))
    if how == "file":
        net.save(tmp_path / "net.safetensors")
        again = fm.load(tmp_path / "net.safetensors")
    elif how == "spec":
        again = fm.MLP.from_spec(net.spec())
        again.params = net.params
    else:
        again = net.copy() if how == "copy" else pickle.loads(pickle.dumps(net))
    assert again.layers[0] == net.layers[0]
    np.testing.assert_array_equal(again.predict(X), net.predict(X))


def test_initial_parameters_are_as_drawn() -> None:
    net = fm.MLP([40, fm.Embedding(38, codes=2, entries=500, sigma=0.1), 8, 1], dtype="float64", seed=0)
    table, waves = net.weights[0], net.biases[0]
    assert waves is not None
    assert (table.shape, waves.shape) == ((500, 8), (38, 83))
    assert table.std() == pytest.approx(1.0, abs=0.05)
    assert waves[:, :16].std() == pytest.approx(0.1, abs=0.01)
    assert np.abs(waves[:, 16:32]).max() == pytest.approx(np.pi, abs=0.05)
    assert np.abs(waves[:, 32:]).max() == pytest.approx(0.25, abs=0.01)
    assert (fm.MLP([40, net.layers[0], 8, 1], dtype="float64", seed=0).params == net.params).all()
    assert (fm.MLP([40, net.layers[0], 8, 1], dtype="float64", seed=1).params != net.params).any()


def test_the_summary_has_it() -> None:
    net = network("both", waves=4, parts=2)
    lines = net.summary().splitlines()
    assert lines[2].split()[:4] == ["embedding", "6", "→", "17"]
    assert lines[3].startswith("hidden 1")
    assert net.n_params == 7 * 8 + 2 * (4 * 4 + 2) + 17 * 20 + 20 + 20 * 3 + 3
    assert net.flops() == 2 * (2 * 4 * 3 + 17 * 20 + 20 * 3)


def test_pictures_have_it_and_leave_out_a_table_without_entries() -> None:
    pytest.importorskip("matplotlib")
    for kind, titles in (("both", ["embedding", "hidden 1", "output"]), ("numbers", ["hidden 1", "output"])):
        panels = fm.plots.weights(network(kind)).axes[0].child_axes
        assert [panel.get_title().split("\n")[0] for panel in panels] == titles
    assert fm.plots.architecture(network("both"))


@engines
@pytest.mark.parametrize("code", [-1.0, 7.0, 0.5, 1e9])
def test_a_category_that_is_none_is_refused(code) -> None:
    net = network()
    X, y = data(net, 9)
    X[4, -1] = code
    message = rf"X has {re.escape(f'{code:g}')} in row 4, column 5, where this network takes a category's number, from 0 to 6\."
    for ask in (net.predict, net.activations):
        with pytest.raises(ValueError, match=message):
            ask(X)
    for ask in (net.loss, net.value_and_grad, net.input_gradient, net.fit, net.backward):
        with pytest.raises(ValueError, match=message):
            ask(X, y)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fm.Embedding(0, 3), "an Embedding needs numbers or codes"),
        (lambda: fm.Embedding(2, codes=1), "codes=1, but entries=0"),
        (lambda: fm.Embedding(2, entries=4), "codes=0, but entries=4"),
        (lambda: fm.Embedding(2, waves=0), "waves"),
        (lambda: fm.Embedding(2, sigma=-1.0), "sigma"),
        (
            lambda: fm.MLP([1, fm.Embedding(0, codes=1, entries=2**24 + 1, size=1), 1]),
            r"entries=16777217, but float32 tells 16777216 integers apart\. Pass dtype='float64'\.",
        ),
        (lambda: fm.MLP([3, fm.Embedding(2), 4, 1]), "the network has 3 inputs, but its embedding takes 2: 2 numbers, 0 plain"),
        (lambda: fm.MLP([2, 8, fm.Embedding(2), 1]), "an Embedding stands before all other layers"),
        (lambda: fm.MLP([2, fm.Embedding(2)]), "an Embedding is no output layer"),
        (lambda: fm.MLP([2, {"numbers": 2, "wave": 3}, 1]), "a key of an embedding's dict"),
        (lambda: fm.Population([2, fm.Embedding(2), 1], size=2), "network 0 has an Embedding"),
        (lambda: scalar.from_network(fm.MLP([2, fm.Embedding(2), 1])), "layer 1 of net has an Embedding"),
    ],
)
def test_what_does_not_fit_is_refused(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()
