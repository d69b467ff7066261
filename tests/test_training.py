"""fit: every optimizer's steps, minibatches, weights, schedules, and going on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fastmlp as fm
from fastmlp.optimizers import OPTIMIZERS
from tests.compiler import needs_compiler
from tests.problems import classes, classifier, fit_by_hand, numbers, regressor

STEPPING = [name for name in OPTIMIZERS if name != "lbfgs"]


def test_one_step_of_gradient_descent_by_hand(engine) -> None:
    """Two inputs, one hidden unit, one output.

    x = (1, 2), W1 = (0.5, -0.25), b1 = 0.5:  z1 = 0.5, a1 = relu(z1) = 0.5
    w2 = 2, b2 = 0.25:                        p = 1.25, and y = 1, so loss = 0.25² = 0.0625
    d loss/dp = 2 * 0.25 = 0.5; by w2: 0.5 * a1 = 0.25; by b2: 0.5; by a1 and z1: 0.5 * w2 = 1
    by W1: (1, 2), by b1: 1; then each w -= 0.1 g.
    """
    net = fm.MLP([2, 1, 1], dtype="float64")
    net.params = [0.5, -0.25, 0.5, 2.0, 0.25]
    history = net.fit([[1, 2]], [1], epochs=1, optimizer=fm.SGD(0.1))
    assert history.loss == [pytest.approx(0.0625)]
    np.testing.assert_allclose(net.params, [0.4, -0.45, 0.4, 1.975, 0.2], rtol=1e-14)


@pytest.mark.parametrize("optimizer", [fm.Adam, fm.RMSprop, fm.Adagrad])
@pytest.mark.parametrize("eps", [np.finfo(np.float64).tiny, [1e-40, 1e-3]], ids=["one", "each"])
def test_an_eps_less_than_any_number_of_the_networks_keeps_the_divisor_from_zero(eps, optimizer, engine) -> None:
    """An input that is always zero has gradients that are."""
    x = np.column_stack([np.linspace(-1, 1, 20), np.zeros(20)])
    net = fm.MLP([2, 3, 1]) if np.ndim(eps) == 0 else fm.Population([2, 3, 1], size=2)
    history = net.fit(x, x[:, :1], epochs=2, optimizer=optimizer(1e-3, eps=eps))
    assert np.shape(history.loss)[0] == 2
    assert np.isfinite(history.loss).all()


OPTIONS = {
    "plain": {},
    "l1": {"l1": 0.03},
    "l2": {"l2": 0.1},
    "decay": {"weight_decay": 0.1},
    "clip_value": {"clip_value": 0.02},
    "clip_norm": {"clip_norm": 0.05},
    "all": {"l1": 0.03, "l2": 0.1, "weight_decay": 0.1, "clip_value": 0.1, "clip_norm": 0.2},
}


@pytest.mark.parametrize("name", STEPPING)
@pytest.mark.parametrize("options", OPTIONS)
def test_every_optimizer_steps_as_its_formula_says(name, options, engine) -> None:
    optimizer = replace(fm.optimizers.resolve(name), lr=0.05, **OPTIONS[options])
    net, hand = regressor(seed=3), regressor(seed=3)
    X, y = numbers(23)
    history = net.fit(X, y, epochs=4, batch_size=7, optimizer=optimizer, shuffle=False)
    losses = fit_by_hand(hand, X, y, epochs=4, batch=7, optimizer=optimizer)
    np.testing.assert_allclose(net.params, hand.params, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-11)


@pytest.mark.parametrize("batch", [1, 2, 7, 22, 23, 24, 1000, None])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("loss", ["mse", "sse"])
def test_batches_of_every_size(batch, shuffle, loss, engine) -> None:
    """One row, all rows, more than there are; where they do not divide the rows, the last one is short."""
    optimizer = fm.SGD(0.002, momentum=0.5)
    net, hand = regressor(seed=3, loss=loss), regressor(seed=3, loss=loss)
    X, y = numbers(23)
    history = net.fit(X, y, epochs=3, batch_size=batch, optimizer=optimizer, shuffle=shuffle)
    losses = fit_by_hand(hand, X, y, epochs=3, batch=batch or 23, optimizer=optimizer, shuffle=shuffle)
    np.testing.assert_allclose(net.params, hand.params, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-11)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("part", ["X", "y", "sample_weight", "validation"])
def test_the_networks_own_parameters_as_data_are_those_before_the_training(part, optimizer, engine) -> None:
    net = fm.MLP([4, 4, 4], activation="tanh", dtype="float64")
    net.biases[0] = [1.0, 2.0, 3.0, 4.0]
    X, y = np.random.default_rng(0).normal(size=(2, 4, 4))
    own = {"X": net.weights[0], "y": net.weights[1], "sample_weight": net.biases[0], "validation": tuple(net.weights)}
    data = {"X": X, "y": y, part: own[part]}
    copied = data | {part: tuple(map(np.copy, own[part])) if part == "validation" else own[part].copy()}
    expected = net.copy()
    for one, given in ((net, data), (expected, copied)):
        one.fit(**given, epochs=4, batch_size=2, optimizer=optimizer)
    assert (net.params == expected.params).all()
    assert net.history.loss == expected.history.loss
    assert net.history.val_loss == expected.history.val_loss


@pytest.mark.parametrize("width", [4, 80])  # in packs, and one by one
def test_a_populations_own_parameters_as_data_are_those_before_the_training(width, engine) -> None:
    population = fm.Population([4, width, 1], size=20, dtype="float64")
    expected = population.copy()
    own = population.params.reshape(-1, 1)
    X = np.random.default_rng(0).normal(size=(len(own), 4))
    for networks, y in ((population, own), (expected, own.copy())):
        networks.fit(X, y, epochs=3, batch_size=64, validation=(X, y))
    assert (population.params == expected.params).all()
    assert (population.history.val_loss == expected.history.val_loss).all()


@pytest.mark.parametrize("loss", ["mse", "sse"])
def test_sample_weights_in_minibatches(loss, engine) -> None:
    """Each minibatch's loss is its weighted mean, and the epoch's is the weighted mean of all rows."""
    optimizer = fm.Adam(0.01)
    net, hand = regressor(loss=loss), regressor(loss=loss)
    X, y = numbers(23)
    weight = np.random.default_rng(9).uniform(0, 3, 23)
    weight[:3] = 0
    history = net.fit(X, y, epochs=3, batch_size=5, optimizer=optimizer, sample_weight=weight)
    losses = fit_by_hand(hand, X, y, epochs=3, batch=5, optimizer=optimizer, shuffle=True, weight=weight)
    np.testing.assert_allclose(net.params, hand.params, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-11)


def test_a_minibatch_of_weight_zero_does_no_harm(engine) -> None:
    net = regressor()
    X, y = numbers(20)
    weight = np.r_[np.zeros(10), np.ones(10)]
    net.fit(X, y, epochs=3, batch_size=5, shuffle=False, sample_weight=weight, optimizer=fm.SGD(0.01))
    other = regressor()
    other.fit(X[10:], y[10:], epochs=3, batch_size=5, shuffle=False, optimizer=fm.SGD(0.01))
    np.testing.assert_allclose(net.params, other.params, rtol=1e-12)
    np.testing.assert_allclose(net.history.loss, other.history.loss, rtol=1e-12)


def test_weights_are_as_good_as_repeated_rows_in_a_full_batch(engine) -> None:
    X, y = classes(30)
    times = np.random.default_rng(1).integers(1, 4, 30)
    weighted, repeated = classifier(), classifier()
    weighted.fit(X, y, epochs=5, batch_size=None, sample_weight=times)
    repeated.fit(np.repeat(X, times, axis=0), np.repeat(y, times), epochs=5, batch_size=None)
    np.testing.assert_allclose(weighted.params, repeated.params, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(weighted.history.loss, repeated.history.loss, rtol=1e-12)


def test_rows_are_shuffled_anew_in_each_epoch_and_alike_for_each_seed(engine) -> None:
    X, y = numbers(40)
    curves = [regressor(seed=seed).fit(X, y, epochs=3, batch_size=8).loss for seed in (1, 1, 2)]
    assert curves[0] == curves[1] != curves[2]
    still = [regressor(seed=1) for _ in range(2)]
    for net in still:
        net.fit(X, y, epochs=1, batch_size=8, optimizer=fm.SGD(1e-12), shuffle=net is still[0])
    assert still[0].history.loss == pytest.approx(still[1].history.loss, rel=1e-6)
    assert (still[0].params != still[1].params).any()


def test_dropout_is_on_in_training_only(engine) -> None:
    X, y = numbers(40)
    plain, dropped = regressor(seed=1), regressor(seed=1, dropout=0.5)
    assert (plain.predict(X) == dropped.predict(X)).all()
    plain.fit(X, y, epochs=2)
    dropped.fit(X, y, epochs=2)
    assert (plain.params != dropped.params).any()
    assert dropped.loss(X, y) == dropped.loss(X, y) == pytest.approx(((dropped.predict(X)[:, 0] - y) ** 2).mean())


def test_inverted_dropout_keeps_the_mean_of_the_gradient(engine) -> None:
    """A linear network's mean gradient over many masks is the gradient without them."""
    net = fm.MLP([3, 400, 1], activation="identity", dropout=0.5, loss="mae", dtype="float64")
    X = np.abs(np.random.default_rng(0).normal(size=(1, 3)))
    y = [[1e6]]  # far off, so that mae's slope is -1 whatever the masks are
    for _ in range(300):
        net.backward(X, y)
    last = net.plan.weights(net.grad / 300)[-1]
    expected = net.plan.weights(net.value_and_grad(X, y)[1])[-1]
    assert np.abs(last - expected).mean() < 0.1 * np.abs(expected).mean()


@pytest.mark.parametrize("name", STEPPING)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_five_epochs_and_five_more_are_ten(name, dtype, engine) -> None:
    X, y = classes(50)
    parts, whole = (classifier(dropout=0.3, dtype=dtype, seed=8) for _ in range(2))
    parts.fit(X, y, epochs=5, batch_size=8, optimizer=name)
    parts.fit(X, y, epochs=5, batch_size=8, optimizer=name)
    whole.fit(X, y, epochs=10, batch_size=8, optimizer=name)
    assert (parts.params == whole.params).all()
    assert parts.history.loss == whole.history.loss
    assert (parts._state.slots == whole._state.slots).all()
    assert (parts._state.ints == whole._state.ints).all()
    assert (parts._state.reals == whole._state.reals).all()


def test_going_on_with_another_rate_keeps_the_optimizers_state(engine) -> None:
    X, y = numbers(20)
    net, hand = regressor(), regressor()
    net.fit(X, y, epochs=3, batch_size=None, shuffle=False, optimizer=fm.Adam(0.01))
    net.fit(X, y, epochs=3, batch_size=None, shuffle=False, optimizer=fm.AdamW(0.03, weight_decay=0.0))
    fit_by_hand(hand, X, y, epochs=6, batch=20, optimizer=fm.Adam(), rates=[0.01] * 3 + [0.03] * 3)
    np.testing.assert_allclose(net.params, hand.params, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("between", ["momentum", "rmsprop", "adagrad", "sgd", "amsgrad", "lbfgs"])
def test_another_optimizer_begins_with_a_state_of_its_own(between, engine) -> None:
    X, y = numbers(20)
    net = regressor()
    net.fit(X, y, epochs=3, batch_size=None, optimizer="adam")
    net.fit(X, y, epochs=3, batch_size=None, optimizer=between)
    fresh = regressor()
    fresh.params = net.params
    for each in (net, fresh):
        each.fit(X, y, epochs=3, batch_size=None, shuffle=False, optimizer="adam")
    assert (net.params == fresh.params).all()


def test_other_data_of_another_size_may_come_next(engine) -> None:
    net = regressor()
    for n in (30, 7, 500, 1):
        net.fit(*numbers(n), epochs=2, batch_size=16)
    assert len(net.history) == 8
    assert np.isfinite(net.params).all()


@needs_compiler
def test_engines_may_take_turns(engine) -> None:
    X, y = classes(50)
    mixed, alone = (classifier(dropout=0.2) for _ in range(2))
    alone.fit(X, y, epochs=6, batch_size=8)
    for name in ("numpy", "numba", "numpy"):
        fm.use_engine(name)
        mixed.fit(X, y, epochs=2, batch_size=8)
    np.testing.assert_allclose(mixed.params, alone.params, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(mixed.history.loss, alone.history.loss, rtol=1e-10)


@needs_compiler
def test_the_engine_and_the_threads_may_change_in_the_middle_of_a_fit(engine, any_threads) -> None:
    """A callback may do that, and scratch memory that was sized for another engine must not be used then."""
    X, y = numbers(300)
    turns = iter([("numpy", 1), ("numba", 4), ("numba", 2), ("numpy", 3), ("numba", 3)] * 2)

    class Change(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            name, n = next(turns)
            fm.use_engine(name)
            fm.set_threads(n)

    net, alone = (fm.MLP([4, 150, 150, 1], dtype="float64") for _ in range(2))
    net.fit(X, y, epochs=10, batch_size=100, callbacks=[Change()], validation=(X, y))
    fm.use_engine(engine)
    alone.fit(X, y, epochs=10, batch_size=100)
    np.testing.assert_allclose(net.history.loss, alone.history.loss, rtol=1e-8)


def test_inputs_may_be_the_targets(engine) -> None:
    """An autoencoder: one array for both."""
    X, _ = numbers(60)
    net = fm.MLP([4, 12, 4], activation="tanh", dtype="float64")
    twin = net.copy()
    net.fit(X, X, epochs=50, validation=(X, X))
    twin.fit(X.copy(), X.copy(), epochs=50)
    assert net.history.loss == twin.history.loss
    assert net.history.loss[-1] < net.history.loss[0]


def test_fit_does_not_change_its_arguments(engine) -> None:
    X, y = classes(30)
    weight = np.ones(30)
    kept = X.copy(), y.copy(), weight.copy()
    net = classifier()
    net.fit(X, y, sample_weight=weight, epochs=3, optimizer=fm.SGD(0.1, l2=0.1))
    for now, before in zip((X, y, weight), kept, strict=True):
        assert (now == before).all()
