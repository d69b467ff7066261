"""Learning-rate schedules in a fit: what they say reaches every step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import schedules
from tests.problems import fit_by_hand, numbers, regressor

SCHEDULES = [
    schedules.Constant(0.01), schedules.Step(0.01, every=2, factor=0.5), schedules.Exponential(0.01, 0.8),
    schedules.Cosine(0.01), schedules.Cosine(0.01, warmup=1.5, restarts=1, floor=1e-3), schedules.OneCycle(0.05),
    schedules.CosineLog(0.05), schedules.FlatCosine(0.05), schedules.InverseScaling(0.05, 0.3),
]  # fmt: skip


def test_every_schedule_is_among_these() -> None:
    assert {type(schedule) for schedule in SCHEDULES} | {schedules.ReduceOnPlateau} == set(schedules.SCHEDULES.values())


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)
@pytest.mark.parametrize("watched", [False, True])
def test_every_schedule_reaches_every_step(schedule, watched, engine) -> None:
    X, y = numbers(23)
    optimizer = fm.SGD(schedule, momentum=0.9)
    net, hand = regressor(), regressor()
    steps = 6 * 4
    rates = schedule.rates(np.arange(steps), schedules.Span(0, steps, 4))
    history = net.fit(X, y, epochs=6, batch_size=7, optimizer=optimizer, callbacks=[fm.Callback()] if watched else [])
    assert history.lr == rates[3::4].tolist()
    fit_by_hand(hand, X, y, epochs=6, batch=7, optimizer=optimizer, shuffle=True, rates=rates)
    np.testing.assert_allclose(net.params, hand.params, rtol=1e-9, atol=1e-12)


def test_schedules_by_epoch_go_on_in_the_next_fit_and_those_of_a_fit_begin_again(engine) -> None:
    X, y = numbers(20)
    net = regressor()
    for _ in range(2):
        history = net.fit(X, y, epochs=3, optimizer=fm.SGD(schedules.Exponential(0.01, 0.5)))
    assert history.lr == [0.01 * 0.5**epoch for epoch in range(6)]
    net = regressor()
    for _ in range(2):
        history = net.fit(X, y, epochs=3, optimizer=fm.SGD(schedules.Cosine(0.01)))
    assert history.lr[:3] == history.lr[3:]


def test_schedules_by_epoch_count_neither_those_of_lbfgs_nor_single_steps(engine) -> None:
    X, y = numbers(20)
    net = regressor()
    net.fit(X, y, epochs=3, optimizer="lbfgs")
    net.step("sgd")
    history = net.fit(X, y, epochs=2, optimizer=fm.SGD(schedules.Step(0.01, every=1, factor=0.5)))
    assert history.lr[-2:] == [0.01, 0.005]


@pytest.mark.parametrize("monitor", ["loss", "val_loss"])
def test_reduce_on_plateau_lowers_the_rate_when_its_loss_stays(monitor, engine) -> None:
    X, y = numbers(20)
    schedule = schedules.ReduceOnPlateau(1e-9, factor=0.5, patience=3, floor=2e-10, monitor=monitor)
    net = regressor()
    history = net.fit(X, y, epochs=12, optimizer=fm.SGD(schedule), validation=(X, y) if monitor == "val_loss" else None)
    # Epoch 0 is the best; after three more without improvement the rate is halved, and so on.
    expected = [1e-9] * 4 + [5e-10] * 3 + [2.5e-10] * 3 + [2e-10] * 2
    np.testing.assert_allclose(history.lr, expected, rtol=1e-12)


@pytest.mark.parametrize("patience", [1, 2, 5])
def test_early_stopping_and_reduce_on_plateau_count_alike(patience, engine) -> None:
    """The first epoch is the best: after so many others the rate falls in the one, and the training ends in the other."""
    X, y = numbers(20)
    reduced = fm.SGD(schedules.ReduceOnPlateau(1e-9, factor=0.5, patience=patience, monitor="loss"))
    stopping = fm.EarlyStopping("loss", patience=patience, min_delta=1e-4)
    for make in (regressor, lambda: fm.Population([4, 12, 1], size=3, dtype="float64")):
        ended = make().fit(X, y, epochs=20, optimizer=fm.SGD(1e-9), early_stopping=stopping)
        assert len(ended.loss) == 1 + patience
        assert ended.stopped in ("early stopping", ["early stopping"] * 3)
    rates = regressor().fit(X, y, epochs=20, optimizer=reduced).lr
    assert [rates.index(rate) for rate in (1e-9, 5e-10)] == [0, 1 + patience]


def test_a_schedule_of_ones_own_reaches_the_steps(engine) -> None:
    class Alternating(schedules.Schedule):
        def rates(self, steps, span):
            return np.where(steps % 2 == 0, self.lr, self.lr / 10)

    X, y = numbers(20)
    history = regressor().fit(X, y, epochs=4, batch_size=None, optimizer=fm.SGD(Alternating(0.01)))
    np.testing.assert_allclose(history.lr, [0.01, 0.001] * 2)


def test_a_schedule_that_gives_the_wrong_number_of_rates_is_refused(engine) -> None:
    class One(schedules.Schedule):
        def rates(self, steps, span):
            return np.full(3, self.lr)

    net = regressor()
    with pytest.raises(ValueError, match=r"must give one rate for each step, here 1; got shape \(3,\)"):
        net.fit(*numbers(20), optimizer=fm.SGD(One(0.1)))
    assert net.history is None
    population = fm.Population([4, 1], size=16)
    with pytest.raises(ValueError, match=r"must give one rate for each step, here 20; got shape \(3,\)"):
        population.fit(*numbers(20), epochs=2, batch_size=1, optimizer=fm.SGD(One(0.01)))


@pytest.mark.parametrize(("rate", "shown"), [(-0.01, "-0.01"), (math.nan, "nan"), (math.inf, "inf")])
def test_a_schedule_whose_rates_are_no_steps_downhill_is_refused(rate, shown, engine) -> None:
    class FromStepTwo(schedules.Schedule):
        def rates(self, steps, span):
            return np.where(steps < 2, self.lr, rate)

    X, y = numbers(20)
    net, wanted = regressor(), rf"FromStepTwo\(lr=0.01\) gives the rate {shown} for step 2; it must be finite and >= 0"
    with pytest.raises(ValueError, match=wanted):
        net.fit(X, y, epochs=4, batch_size=None, optimizer=fm.SGD(FromStepTwo(0.01)))
    with pytest.raises(ValueError, match="for step 2"):
        net.reset().fit(X, y, epochs=1, batch_size=1, optimizer=fm.SGD(FromStepTwo(0.01)))
    with pytest.raises(ValueError, match="for step 2"):
        fm.Population([4, 1], size=16).fit(X, y, epochs=4, batch_size=None, optimizer=fm.SGD(FromStepTwo(0.01)))


@pytest.mark.parametrize("schedule", [schedules.Step(0.01, every=10, factor=0.5), schedules.Exponential(0.01, factor=0.5)])
def test_epochs_are_counted_whatever_their_number_of_steps(schedule, engine) -> None:
    """Since the network was made: with another batch size in a later fit, and with more or fewer rows."""
    X, y = numbers(100)
    net, even = regressor(), regressor()
    for epochs, batch in ((5, 1), (7, 10), (3, 100)):
        net.fit(X, y, epochs=epochs, batch_size=batch, optimizer=fm.SGD(schedule))
    even.fit(X, y, epochs=15, batch_size=20, optimizer=fm.SGD(schedule))
    np.testing.assert_allclose(net.history.lr, even.history.lr)


@pytest.mark.parametrize("floor", [0.0, 0.002])
def test_a_plateau_of_ones_own_rates_is_the_same_to_a_population(floor, engine) -> None:
    """It begins with a rate of 0, and has others within an epoch."""

    @dataclass(frozen=True)
    class Warm(schedules.ReduceOnPlateau):
        def rates(self, steps, span):
            return self.lr * np.minimum(1.0, (steps - span.start) / 5)

    X, y = numbers(23)
    seen: list[float] = []

    class Rates(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            seen.append(float(logs["lr"][0]))

    optimizer = fm.SGD(Warm(0.05, factor=0.1, patience=1, min_delta=0.05, floor=floor, monitor="loss"))
    net, population = regressor(), fm.Population([4, 12, 1], activation="tanh", seeds=[0], dtype="float64")
    history = net.fit(X, y, epochs=9, batch_size=7, optimizer=optimizer)
    population.fit(X, y, epochs=9, batch_size=7, optimizer=optimizer, callbacks=[Rates()])
    assert history.lr[0] == pytest.approx(0.03)
    assert min(history.lr) == pytest.approx(floor) if floor else min(history.lr) < 1e-3
    assert seen == history.lr
    np.testing.assert_allclose(population.history.loss[:, 0], history.loss, rtol=1e-11)
    np.testing.assert_allclose(population.params[0], net.params, rtol=1e-11, atol=1e-11)
