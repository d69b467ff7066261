"""The table of schedules."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import fastmlp as fm
from fastmlp.schedules import (
    SCHEDULES,
    Constant,
    Cosine,
    Exponential,
    FlatCosine,
    InverseScaling,
    OneCycle,
    ReduceOnPlateau,
    Schedule,
    Span,
    Step,
    resolve,
)


def rates(schedule: Schedule, steps: int, per_epoch: int = 1, start: int = 0) -> list[float]:
    """Rates of a fit of `steps` steps."""
    return schedule.rates(np.arange(start, start + steps), Span(start, steps, per_epoch, start // per_epoch)).tolist()


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_gives_a_positive_rate_for_each_step(name: str) -> None:
    found = SCHEDULES[name](0.1).rates(np.arange(12), Span(0, 12, 3))
    assert found.shape == (12,)
    assert found.dtype == np.float64
    assert (found >= 0.0).all()
    assert found.max() == pytest.approx(0.1, rel=0.02)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_gives_the_same_rates_piece_by_piece(name: str) -> None:
    """A fit asks for a few steps at a time."""
    schedule, span = SCHEDULES[name](0.1), Span(7, 12, 3)
    whole = schedule.rates(np.arange(7, 19), span)
    pieces = [schedule.rates(np.arange(7, 12), span), schedule.rates(np.arange(12, 19), span)]
    assert np.concatenate(pieces).tolist() == whole.tolist()


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_takes_no_steps_and_one(name: str) -> None:
    schedule = SCHEDULES[name](0.1)
    assert schedule.rates(np.arange(0), Span(0, 0, 1)).shape == (0,)
    assert np.isfinite(schedule.rates(np.arange(1), Span(0, 1, 1))).all()


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_needs_a_positive_rate(name: str) -> None:
    with pytest.raises(ValueError, match=r"^lr must be a finite number > 0; got 0\.0"):
        SCHEDULES[name](0.0)


def test_constant() -> None:
    assert rates(Constant(0.3), 3) == [0.3] * 3


def test_step_counts_epochs() -> None:
    assert rates(Step(8.0, every=2, factor=0.5), 10, per_epoch=2) == [8.0] * 4 + [4.0] * 4 + [2.0] * 2


def test_exponential_counts_epochs() -> None:
    assert rates(Exponential(8.0, factor=0.5), 5, per_epoch=2) == [8.0, 8.0, 4.0, 4.0, 2.0]


@pytest.mark.parametrize("name", ["cosine", "cosine_log", "flat_cosine", "one_cycle"])
def test_a_schedule_over_a_fit_begins_with_each(name: str) -> None:
    schedule = SCHEDULES[name](2.0)
    assert rates(schedule, 8, 2, start=100) == rates(schedule, 8, 2)


def test_a_span_counts_epochs_from_the_first_step_of_the_network_unless_told_otherwise() -> None:
    steps = np.array([6, 7, 8])
    assert Span(6, 4, 2).epochs(steps).tolist() == [3, 3, 4]
    assert Span(6, 4, 2, epoch=1).epochs(steps).tolist() == [1, 1, 2]


@pytest.mark.parametrize("schedule", [Step(1.0, 2, 0.5), Exponential(1.0, 0.9), InverseScaling(1.0)], ids=str)
def test_two_fits_are_one_longer_fit(schedule: Schedule) -> None:
    assert rates(schedule, 4, 2) + rates(schedule, 4, 2, start=4) == rates(schedule, 8, 2)


def test_inverse_scaling() -> None:
    assert rates(InverseScaling(6.0, power=1.0), 3) == [6.0, 3.0, 2.0]


def test_cosine_falls_by_half_a_cosine_over_the_fit() -> None:
    expected = [2.0 * (1.0 + math.cos(math.pi * step / 8)) / 2.0 for step in range(8)]
    assert rates(Cosine(2.0), 8) == pytest.approx(expected)


def test_cosine_warms_up_linearly_to_the_highest_rate() -> None:
    found = rates(Cosine(1.0, warmup=2), 8, per_epoch=2)
    assert found[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert found[4:] == pytest.approx(rates(Cosine(1.0), 4))


def test_cosine_restarts_at_equal_distances() -> None:
    assert rates(Cosine(1.0, restarts=2), 12) == pytest.approx(rates(Cosine(1.0), 4) * 3)


def test_cosine_stays_above_its_floor() -> None:
    found = rates(Cosine(1.0, floor=0.5), 100)
    assert 0.5 <= min(found) < 0.501


def test_cosine_stays_down_past_its_end() -> None:
    assert Cosine(1.0, restarts=1, floor=0.25).rates(np.array([8, 9]), Span(0, 8, 1)).tolist() == [0.25, 0.25]


def test_cosine_may_warm_up_all_along() -> None:
    assert rates(Cosine(1.0, warmup=4), 4) == pytest.approx([0.25, 0.5, 0.75, 1.0])


def test_cosine_refuses_a_fit_shorter_than_its_warmup() -> None:
    with pytest.raises(ValueError, match=r"warmup takes 5 epochs, but this fit has 3\. Give it a shorter warmup"):
        rates(Cosine(1.0, warmup=5), 3)


def test_flat_cosine_stays_for_half_the_fit_and_falls_by_half_a_cosine() -> None:
    expected = [2.0 * 0.5 * (1.0 + math.cos(math.pi * (max(1.0, 2.0 * step / 10) - 1.0))) for step in range(10)]
    assert rates(FlatCosine(2.0), 10) == pytest.approx(expected, rel=1e-15)
    assert rates(FlatCosine(2.0), 10)[:6] == [2.0] * 6


@pytest.mark.parametrize("flat", [0.0, 0.25, 0.8])
def test_flat_cosine_falls_in_what_is_left_of_the_fit(flat: float) -> None:
    found, first = rates(FlatCosine(2.0, flat), 20), round(20 * flat)
    assert found[:first] == [2.0] * first
    assert found[first:] == pytest.approx(rates(Cosine(2.0), 20 - first), rel=1e-12)


def test_flat_cosine_stays_down_past_its_end() -> None:
    assert FlatCosine(2.0).rates(np.array([4, 5]), Span(0, 4, 1)).tolist() == [0.0, 0.0]


def test_one_cycle_starts_low_peaks_and_ends_lower() -> None:
    found = rates(OneCycle(1.0, peak=0.3, start_factor=25, end_factor=1e4), 100)
    assert found[0] == pytest.approx(1 / 25)
    assert int(np.argmax(found)) == 29
    assert found[29] == pytest.approx(1.0)
    assert found[-1] == pytest.approx(1 / 25 / 1e4)
    assert np.all(np.diff(found[:30]) > 0)
    assert np.all(np.diff(found[29:]) < 0)


def test_one_cycle_has_the_rates_of_pytorch() -> None:
    """OneCycleLR(max_lr=1, total_steps=6, pct_start=0.5, div_factor=10, final_div_factor=10): 0.1 to 1 to 0.01."""
    up = [0.1 + 0.9 * (1 - math.cos(math.pi * step / 2)) / 2 for step in range(3)]
    down = [0.01 + 0.99 * (1 + math.cos(math.pi * step / 3)) / 2 for step in range(1, 4)]
    assert rates(OneCycle(1.0, 0.5, 10, 10), 6) == pytest.approx(up + down)


def test_a_plateau_lowers_the_rate_after_patience_runs_out() -> None:
    watch = ReduceOnPlateau(1.0, factor=0.5, patience=2, min_delta=0.1).watch()
    losses = [3.0, 2.0, 1.95, 1.95, 1.95, 1.95, 1.0]
    assert [watch.update(loss) for loss in losses] == [1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25]


def test_a_loss_that_is_not_a_number_is_no_improvement() -> None:
    watch = ReduceOnPlateau(1.0, factor=0.5, patience=1).watch()
    assert [watch.update(loss) for loss in (1.0, math.nan)] == [1.0, 0.5]


def test_a_plateau_keeps_the_floor() -> None:
    watch = ReduceOnPlateau(1.0, factor=0.1, patience=1, floor=0.05, monitor="loss").watch()
    for _ in range(3):
        watch.update(1.0)
    assert watch.factor == 0.05
    assert watch.apply(np.ones(2)).tolist() == [0.05, 0.05]
    assert watch.monitor == "loss"


def test_each_fit_has_its_own_watch() -> None:
    schedule = ReduceOnPlateau(1.0, patience=1)
    first, second = schedule.watch(), schedule.watch()
    first.update(1.0)
    first.update(1.0)
    assert (first.factor, second.factor) == (0.1, 1.0)


def test_other_schedules_watch_nothing() -> None:
    assert [SCHEDULES[name](0.1).watch() for name in SCHEDULES if name != "reduce_on_plateau"] == [None] * (len(SCHEDULES) - 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Step(0.1, every=0), "every must be an integer >= 1; got 0"),
        (lambda: Step(0.1, factor=0.0), "factor must be a finite number > 0 and <= 1"),
        (lambda: Exponential(0.1, factor=1.1), "factor must be a finite number > 0 and <= 1"),
        (lambda: Cosine(0.1, warmup=-1), "warmup must be a finite number >= 0"),
        (lambda: Cosine(0.1, restarts=-1), "restarts must be an integer >= 0"),
        (lambda: Cosine(0.1, floor=0.2), "floor must be a finite number >= 0 and <= 0.1"),
        (lambda: FlatCosine(0.1, flat=1.0), "flat must be a finite number >= 0 and < 1; got 1.0"),
        (lambda: FlatCosine(0.1, flat=-0.1), "flat must be a finite number >= 0 and < 1; got -0.1"),
        (lambda: OneCycle(0.1, peak=1.0), "peak must be a finite number > 0 and < 1"),
        (lambda: OneCycle(0.1, start_factor=0.5), "start_factor must be a finite number >= 1"),
        (lambda: OneCycle(0.1, end_factor=0.5), "end_factor must be a finite number >= 1"),
        (lambda: InverseScaling(0.1, power=-1), "power must be a finite number >= 0"),
        (lambda: ReduceOnPlateau(0.1, factor=1.0), "factor must be a finite number > 0 and < 1"),
        (lambda: ReduceOnPlateau(0.1, patience=0), "patience must be an integer >= 1"),
        (lambda: ReduceOnPlateau(0.1, min_delta=-1.0), "min_delta must be a finite number >= 0"),
        (lambda: ReduceOnPlateau(0.1, floor=1.0), "floor must be a finite number >= 0 and <= 0.1"),
        (lambda: ReduceOnPlateau(0.1, monitor="accuracy"), "monitor must be one of 'val_loss', 'loss'; got 'accuracy'"),
    ],
)
def test_settings_are_checked(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


def test_a_schedule_without_rates_says_so_before_the_training() -> None:
    @dataclass(frozen=True)
    class Misspelt(Schedule):
        def rate(self, steps: Any, span: Span) -> Any:
            return np.full(len(steps), self.lr)

    for schedule in (Misspelt(0.1), Schedule(0.1)):
        net = fm.MLP([1, 1])
        with pytest.raises(NotImplementedError, match=rf"^{type(schedule).__name__} has no method rates\(self, steps, span\)"):
            net.fit([[0.0]], [1.0], optimizer=fm.SGD(schedule))
        assert net.history is None


def test_resolve() -> None:
    cosine = Cosine(0.1)
    assert resolve(cosine) is cosine
    assert resolve("cosine", lr=0.2) == Cosine(0.2)
    assert resolve(0.5) == Constant(0.5)


def test_resolve_suggests_the_nearest_name() -> None:
    with pytest.raises(ValueError, match=r"^schedule must be one of 'constant'.*got 'cosin'\. Did you mean 'cosine'"):
        resolve("cosin")


def test_resolve_refuses_what_is_no_rate() -> None:
    with pytest.raises(TypeError, match=r"^lr must be a finite number > 0; got None"):
        resolve(None)


@pytest.mark.parametrize("restarts", range(60))
def test_a_restart_is_at_the_highest_rate(restarts: int) -> None:
    for length in (1, 3, 7):
        steps = length * (restarts + 1)
        rates = Cosine(1.0, restarts=restarts).rates(np.arange(steps), Span(0, steps, 1))
        np.testing.assert_array_equal(rates[::length], 1.0)


@pytest.mark.parametrize("peak", [0.01, 0.3, 0.77, 0.95])
def test_one_cycle_comes_down_however_short_its_fall(peak: float) -> None:
    for steps in (1, 2, 3, 10, 50):
        rates = OneCycle(1.0, peak=peak).rates(np.arange(steps), Span(0, steps, 1))
        np.testing.assert_allclose(rates[-1], 1.0 / 25.0 / 1e4)
        if peak * steps > 1.0:
            np.testing.assert_allclose(rates[0], 1.0 / 25.0)
