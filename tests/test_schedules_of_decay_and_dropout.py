"""Weight decay and dropout that follow a schedule in a fit."""

from __future__ import annotations

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import schedules
from fastmlp.optimizers import OPTIMIZERS
from tests.problems import classes, fit_by_hand, numbers, regressor

STEPPING = [name for name in OPTIMIZERS if name != "lbfgs"]
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
# Few parameters, and many, whose gradient is made and used up in parts.
SHAPES = pytest.mark.parametrize("layers", [[4, 12, 1], [4, 130, 130, 1]], ids=["small", "large"])


class Nothing(schedules.Schedule):
    """0 all the time, which `lr` cannot be."""

    def rates(self, steps, span):
        return np.zeros(len(steps))


def trained(layers, dtype="float32", dropout=0.0, activation="relu", epochs=3, batch_size=16, **options) -> np.ndarray:
    net = fm.MLP(layers, activation=activation, dropout=dropout, dtype=dtype)
    net.fit(*numbers(50), epochs=epochs, batch_size=batch_size, **options)
    return net.params


@pytest.mark.parametrize("name", STEPPING)
@pytest.mark.parametrize("watched", [False, True])
def test_a_scheduled_weight_decay_reaches_every_step(name, watched, engine) -> None:
    X, y = numbers(23)
    decay, rate = schedules.FlatCosine(2.0), schedules.Cosine(0.02)
    optimizer = OPTIMIZERS[name](rate, weight_decay=decay)
    net, hand = regressor(), regressor()
    steps, span = np.arange(24), schedules.Span(0, 24, 4)
    rates, decays = (schedule.rates(steps, span).tolist() for schedule in (rate, decay))
    history = net.fit(X, y, epochs=6, batch_size=7, optimizer=optimizer, callbacks=[fm.Callback()] if watched else [])
    assert history.lr == rates[3::4]
    fit_by_hand(hand, X, y, epochs=6, batch=7, optimizer=optimizer, shuffle=True, rates=rates, decays=decays)
    np.testing.assert_allclose(net.params, hand.params, rtol=1e-8, atol=1e-11)


@DTYPES
@SHAPES
@pytest.mark.parametrize("clip_norm", [None, 0.1])
def test_a_constant_weight_decay_has_the_bits_of_the_number(layers, dtype, clip_norm, engine) -> None:
    decays = 0.3, schedules.Constant(0.3)
    one, other = (trained(layers, dtype, optimizer=fm.AdamW(0.01, weight_decay=w, clip_norm=clip_norm)) for w in decays)
    np.testing.assert_array_equal(one, other)


@DTYPES
@SHAPES
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_a_factor_of_dropout_of_one_has_the_bits_of_none(layers, dtype, activation, engine) -> None:
    one, other = (trained(layers, dtype, 0.4, activation, dropout_schedule=s) for s in (None, schedules.Constant(1.0)))
    np.testing.assert_array_equal(one, other)


@DTYPES
@SHAPES
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_a_factor_of_dropout_of_zero_has_the_bits_of_no_dropout(layers, dtype, activation, engine) -> None:
    """Of minibatches that are too small to go by columns, which has roundings of its own, and no dropout."""
    ways = (0.0, None), (0.4, Nothing(1.0))
    one, other = (trained(layers, dtype, d, activation, batch_size=7, dropout_schedule=s) for d, s in ways)
    np.testing.assert_array_equal(one, other)


@SHAPES
def test_a_factor_multiplies_the_rate_of_every_layer(layers, engine) -> None:
    hidden = [[fm.Dense(width, dropout=rate / 2**i) for i, width in enumerate(layers[1:-1])] for rate in (0.4, 0.2)]
    high, low = ([layers[0], *denses, 1] for denses in hidden)
    np.testing.assert_array_equal(trained(high, dropout_schedule=schedules.Constant(0.5)), trained(low))
    assert (trained(high) != trained(low)).any()


def test_dropout_of_a_narrow_network_with_many_rows_ends_with_its_schedule(engine) -> None:
    """Without dropout it goes through the engine by columns, with roundings of their own."""
    X, y = numbers(200)
    nets = regressor(dropout=0.3), regressor()
    nets[0].fit(X, y, epochs=3, batch_size=100, dropout_schedule=Nothing(1.0))
    nets[1].fit(X, y, epochs=3, batch_size=100)
    np.testing.assert_allclose(nets[0].params, nets[1].params, rtol=1e-9, atol=1e-12)


def test_a_schedule_without_any_dropout_does_no_harm(engine) -> None:
    np.testing.assert_array_equal(trained([4, 12, 1], dropout_schedule=schedules.FlatCosine(1.0)), trained([4, 12, 1]))


def test_schedules_by_epoch_go_on_in_the_next_fit(engine) -> None:
    X, y = numbers(50)
    halves = schedules.Step(1.0, every=2, factor=0.5)
    options = {"batch_size": 16, "optimizer": fm.AdamW(0.01, weight_decay=halves), "dropout_schedule": halves}
    nets = [regressor(dropout=0.4) for _ in range(3)]
    nets[0].fit(X, y, epochs=6, **options)
    for _ in range(3):
        nets[1].fit(X, y, epochs=2, **options)
    for half in (1.0, 0.5, 0.25):
        net = regressor(dropout=0.4 * half)
        net.params = nets[2].params
        net._state.go_on_from(nets[2]._state)
        net.fit(X, y, epochs=2, batch_size=16, optimizer=fm.AdamW(0.01, weight_decay=half))
        nets[2] = net
    for net in nets[1:]:
        np.testing.assert_array_equal(net.params, nets[0].params)


def test_a_fit_goes_on_with_numbers_after_a_schedule(engine) -> None:
    """Nothing of a schedule stays behind."""
    nets = [regressor(dropout=0.4) for _ in range(2)]
    nets[0].fit(*numbers(50), epochs=2, optimizer=fm.SGD(0.01, weight_decay=Nothing(1.0)), dropout_schedule=Nothing(1.0))
    nets[1].params = nets[0].params
    nets[1]._state.go_on_from(nets[0]._state)
    for net in nets:
        net.fit(*numbers(50), epochs=2, optimizer=fm.SGD(0.01, weight_decay=0.1))
    np.testing.assert_array_equal(nets[0].params, nets[1].params)
    np.testing.assert_array_equal(nets[0]._state.reals, nets[1]._state.reals)


@pytest.mark.parametrize(("rate", "shown"), [(-0.5, "-0.5"), (1.5, "1.5"), (np.nan, "nan")])
def test_factors_of_dropout_are_from_zero_to_one(rate, shown, engine) -> None:
    class FromStepTwo(schedules.Schedule):
        def rates(self, steps, span):
            return np.where(steps < 2, self.lr, rate)

    with pytest.raises(ValueError, match=rf"FromStepTwo\(lr=1.0\) gives the rate {shown} for step 2; it must be >= 0 and <= 1"):
        trained([4, 1], dropout_schedule=FromStepTwo(1.0))


def test_weight_decays_are_finite_and_not_negative(engine) -> None:
    class Down(schedules.Schedule):
        def rates(self, steps, span):
            return self.lr - steps

    with pytest.raises(ValueError, match=r"Down\(lr=0.5\) gives the rate -0.5 for step 1; it must be finite and >= 0"):
        trained([4, 1], optimizer=fm.SGD(0.01, weight_decay=Down(0.5)))


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_other_ways_to_train_take_a_scheduled_weight_decay(engine) -> None:
    pytest.importorskip("sklearn")
    X, y = classes(60)
    solvers = [fm.AdamW(0.01, weight_decay=decay) for decay in (0.3, schedules.Constant(0.3), schedules.FlatCosine(0.3))]
    one, other, flat = (fm.MLPClassifier((5,), solver=solver, max_iter=5, random_state=0).fit(X, y) for solver in solvers)
    assert one.loss_curve_ == other.loss_curve_ != flat.loss_curve_
    tests = [fm.MLP([4, 5, 3], output="softmax").lr_range_test(X, y, optimizer=solver) for solver in solvers]
    np.testing.assert_array_equal(tests[0].losses, tests[1].losses)
    assert tests[0].lrs.tolist() == tests[2].lrs.tolist()


def test_a_sweep_trains_networks_with_a_scheduled_weight_decay_one_by_one() -> None:
    """The schedule goes by the whole training, of which a round of halving is a part."""
    X, y = numbers(60)
    decay = schedules.FlatCosine(5.0)
    optimizer, options = fm.AdamW(0.02, weight_decay=decay), {"epochs": 8, "n_jobs": 1, "keep_best": 1, "batch_size": 16}
    whole = fm.sweep(X, y, widths=[3, 5], depths=1, optimizer=optimizer, **options)
    parts = fm.sweep(X, y, widths=[3, 5], depths=1, optimizer=optimizer, halving=2, min_epochs=4, **options)
    assert not whole.failed
    assert {row["weight_decay"] for row in whole} == {decay}
    best = next(row for row in parts if row["epochs"] == 8)
    same = next(row for row in whole if row["width"] == best["width"])
    assert best["train_loss"] == same["train_loss"]
    plain = fm.sweep(X, y, widths=[3, 5], depths=1, optimizer=fm.AdamW(0.02, weight_decay=5.0), **options)
    assert [row["train_loss"] for row in plain] != [row["train_loss"] for row in whole]
