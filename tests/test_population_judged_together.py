"""Populations: epochs that are judged after a call of several are what they are one by one, for each network."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import datasets, engine
from fastmlp.population.group import Group
from fastmlp.population.run import PopulationRun
from fastmlp.reference import ids
from tests.compiler import needs_compiler
from tests.problems import classes

pytestmark = pytest.mark.usefixtures("engine")
X, Y = classes(60)
POWERS = [ids.BETA1_POWER, ids.BETA2_POWER]


def population(size: int = 5, hidden: int = 6, **options: Any) -> fm.Population:
    return fm.Population([4, hidden, 3], size=size, output="softmax", **options)


def epochs_of_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that each call of the engine adds its number of epochs to."""
    finished: list[int] = []
    train = Group.train

    def counted(group: Group, *args: Any) -> Any:
        losses = train(group, *args)
        finished.append(len(losses))
        return losses

    monkeypatch.setattr(Group, "train", counted)
    return finished


def both_ways(monkeypatch: pytest.MonkeyPatch, fit: Callable[[], Any]) -> tuple[Any, Any]:
    """Return what `fit` gives if each epoch is a call, and if as many go in one as may, however slow the machine."""
    monkeypatch.setattr("fastmlp.population.run.CALL_SECONDS", 1e9)
    monkeypatch.setattr("fastmlp.population.run.STOPPING_SECONDS", 1e9)
    finished = epochs_of_calls(monkeypatch)
    monkeypatch.setattr("fastmlp.population.run.MOST_JUDGED", 1)
    one = fit()
    assert max(finished) == 1
    monkeypatch.setattr("fastmlp.population.run.MOST_JUDGED", 64)
    finished.clear()
    many = fit()
    assert max(finished) > 1
    return one, many


def same(a: fm.Population, b: fm.Population) -> None:
    assert a.history.curves.keys() == b.history.curves.keys()
    for name, curve in a.history.curves.items():
        np.testing.assert_array_equal(curve, b.history.curves[name], name)
    assert a.history.stopped == b.history.stopped
    np.testing.assert_array_equal(a.history.best_epoch, b.history.best_epoch)
    for one, other in zip(a._groups, b._groups, strict=True):
        np.testing.assert_array_equal(one.params, other.params)
        np.testing.assert_array_equal(one.slots, other.slots)
        np.testing.assert_array_equal(one.ints, other.ints)
        np.testing.assert_array_equal(one.reals[:, POWERS], other.reals[:, POWERS])


RATES = fm.Adam([0.3, 0.003, 0.1, 0.03, 0.01])
CASES: dict[str, dict[str, Any]] = {
    "validation": {"validation": 0.3},
    "a metric": {"metrics": ["accuracy"], "shuffle": "each"},
    "stopping": {"validation": 0.3, "early_stopping": fm.EarlyStopping(patience=2)},
    "stopping on a metric": {
        "validation": 0.3, "metrics": ["accuracy"], "early_stopping": fm.EarlyStopping("val_accuracy", patience=4)
    },
    "the last parameters": {
        "validation": 0.3, "early_stopping": fm.EarlyStopping(patience=3, restore_best=False), "batch_size": 7
    },
    "without moments": {"optimizer": fm.SGD(0.3), "early_stopping": fm.EarlyStopping("loss", patience=1, min_delta=0.01)},
    "a plateau": {"validation": 0.3, "optimizer": fm.Adam(fm.schedules.ReduceOnPlateau(0.1, patience=2))},
    "a schedule": {
        "validation": 0.3, "optimizer": fm.Adam(fm.schedules.Cosine(0.1)), "early_stopping": fm.EarlyStopping(patience=3)
    },
    "weights of their own": {
        "validation": (X[::2], Y[::2], np.random.default_rng(1).random((5, 30))), "metrics": ["accuracy"],
        "sample_weight": np.random.default_rng(0).random((5, 60)), "early_stopping": fm.EarlyStopping(patience=2),
    },
}  # fmt: skip


@pytest.mark.parametrize("hidden", [6, 600])
@pytest.mark.parametrize("name", CASES)
def test_curves_decisions_and_states_are_those_of_single_epochs(name, hidden, monkeypatch) -> None:
    """In packs and one by one; networks that have stopped go on from where they stopped."""

    def fit() -> fm.Population:
        trained = population(hidden=hidden)
        options: dict[str, Any] = {"epochs": 40 if hidden < 100 else 12, "batch_size": 16, "optimizer": RATES} | CASES[name]
        trained.fit(X, Y, **options)
        trained.fit(X, Y, **{**options, "epochs": 5})
        return trained

    one, many = both_ways(monkeypatch, fit)
    same(one, many)


def test_each_network_stops_where_it_would_and_goes_on_from_there(monkeypatch) -> None:
    def fit() -> fm.Population:
        trained = population(20)
        trained.fit(X, Y, epochs=60, optimizer=fm.Adam(0.1), validation=0.3, early_stopping=fm.EarlyStopping(patience=3))
        return trained

    one, many = both_ways(monkeypatch, fit)
    same(one, many)
    ends = {len(net.history) for net in many}
    assert len(ends) > 3  # some of them in the midst of a call
    for trained in (one, many):
        trained.fit(X, Y, epochs=3)
    same(one, many)


@needs_compiler
@pytest.mark.parametrize("dropout", [0.0, np.where(np.arange(8) < 7, 0.0, 0.2)], ids=["plain", "one with dropout"])
def test_when_too_few_are_left_for_a_pack_it_is_as_if_each_epoch_had_been_a_call(dropout, engine, monkeypatch) -> None:
    """A network by itself has other roundings than one in a lane."""

    def fit() -> fm.Population:
        trained = population(8, 160, dropout=dropout)  # one of them is too large for a pack of any CPU's lanes
        optimizer = fm.Adam(np.geomspace(0.003, 0.3, 8))
        trained.fit(X, Y, epochs=60, optimizer=optimizer, validation=0.3, early_stopping=fm.EarlyStopping(patience=3))
        return trained

    whole, again = PopulationRun._one_by_one, []

    def noted(run: Any, epochs: int) -> None:
        again.append(epochs)
        whole(run, epochs)

    monkeypatch.setattr(PopulationRun, "_one_by_one", noted)
    same(*both_ways(monkeypatch, fit))
    assert bool(again) == (engine == "numba")


def test_networks_that_diverge_end_where_they_would(monkeypatch) -> None:
    def fit() -> fm.Population:
        trained = fm.Population([4, 6, 1], size=6)
        optimizer = fm.SGD([0.01, 0.5, 0.02, 100.0, 0.7, 0.05])
        with pytest.warns(fm.DivergenceWarning, match="diverged"):
            trained.fit(
                X, 9.0 * Y, epochs=50, optimizer=optimizer, batch_size=None, validation=0.3,
                early_stopping=fm.EarlyStopping(patience=40, restore_best=False),
            )  # fmt: skip
        return trained

    one, many = both_ways(monkeypatch, fit)
    same(one, many)
    assert {"diverged", "epochs"} <= set(many.history.stopped)


def test_a_validation_loss_that_becomes_infinite_between_two_epochs_of_a_call(monkeypatch) -> None:
    """As in test_judged_together.py: w doubles and changes its sign in each epoch, of one network."""

    def fit() -> fm.Population:
        trained = fm.Population([1, (1, False)], size=2)
        trained.params = [[1.0], [1.0]]
        one = np.ones((1, 1), np.float32)
        with pytest.warns(fm.DivergenceWarning, match="1 of 2 networks diverged: 0. .* in epoch 23 of"):
            trained.fit(
                one, 0 * one, epochs=50, optimizer=fm.SGD([1.5, 0.5]), validation=(2.0**40 * one, 0 * one), metrics=["mae"]
            )
        return trained

    one, many = both_ways(monkeypatch, fit)
    same(one, many)
    assert many.history[0].loss == [4.0**epoch for epoch in range(23)]
    for curve in many.history.curves.values():  # the network is what it was before the epoch
        assert np.isfinite(curve[:23]).all()
        assert np.isnan(curve[23:, 0]).all()
    assert many.history.stopped == ["diverged", "epochs"]


@pytest.mark.parametrize("seconds", [0.0, 1e9], ids=["one by one", "in one call"])
def test_epochs_after_the_last_network_has_diverged_are_none(seconds, monkeypatch) -> None:
    monkeypatch.setattr("fastmlp.population.run.CALL_SECONDS", seconds)
    trained = population(hidden=20)
    with pytest.warns(fm.DivergenceWarning, match="5 of 5 networks diverged"):
        history = trained.fit(X, Y, epochs=40, batch_size=16, optimizer=fm.SGD(np.geomspace(1e4, 1e9, 5)))
    epochs = [len(own) for own in history]
    assert len(set(epochs)) > 1
    assert len(history.loss) == max(epochs) + 1
    assert np.isnan(history.loss[-1]).all()


def test_sweeps_are_the_same_in_each_number(tmp_path, monkeypatch) -> None:
    """Those that go on from a store too."""
    moons = datasets.moons(80)

    def rows(**options: Any) -> list[dict[str, Any]]:
        result = fm.sweep(
            moons.X, moons.y, widths=[3, 6], depths=[1, 2], lr=[0.01, 0.1], seeds=range(3), epochs=30, batch_size=16, n_jobs=1,
            curves=True, progress=False, **options,
        )  # fmt: skip
        return [{**row, "seconds": 0.0} | curves for row, curves in zip(result, result.curves, strict=True)]

    for number, options in enumerate(({"early_stopping": fm.EarlyStopping(patience=2)}, {"halving": 2, "min_epochs": 5})):
        runs = iter(range(2))

        def stored(number=number, runs=runs, options=options) -> list[dict[str, Any]]:
            path = tmp_path / f"{number}-{next(runs)}"
            first = rows(store=path, **options)
            journal = path / "journal.jsonl"
            lines = journal.read_text().splitlines(keepends=True)
            journal.write_text("".join(lines[: len(lines) // 2]))
            assert rows(store=path, **options) == first
            return first

        one, many = both_ways(monkeypatch, stored)
        assert one == many


def test_who_wants_to_see_the_networks_sees_each_epoch(monkeypatch) -> None:
    finished = epochs_of_calls(monkeypatch)
    seen: list[Any] = []

    class Watcher(fm.Callback):
        def on_epoch_end(self, trained, epoch, logs) -> None:
            seen.append(trained.params.copy())

    def metric(y, prediction) -> float:
        return 0.0

    for options in ({"callbacks": [Watcher()]}, {"metrics": [metric]}):
        population().fit(X, Y, epochs=6, validation=0.3, **options)
    assert finished == [1] * 12
    assert len({params.tobytes() for params in seen}) == 6


def test_copies_have_a_bound(monkeypatch) -> None:
    """Of all networks' parameters, and if networks may have to go on from there of their moments."""
    monkeypatch.setattr("fastmlp.population.run.CALL_SECONDS", 1e9)
    monkeypatch.setattr("fastmlp.population.run.STOPPING_SECONDS", 1e9)
    finished = epochs_of_calls(monkeypatch)
    monkeypatch.setattr("fastmlp.population.run.MOST_COPIED", 9 * population().params.size)
    population().fit(X, Y, epochs=40, validation=0.3)
    assert max(finished) == 9
    finished.clear()
    population().fit(X, Y, epochs=40, validation=0.3, early_stopping=fm.EarlyStopping(patience=90))
    assert max(finished) == 3


@pytest.mark.parametrize("method", ["_judge", "_cut", "_keep", "_look", "_note_best"])
def test_an_interruption_leaves_a_whole_epoch(method, monkeypatch) -> None:
    monkeypatch.setattr("fastmlp.population.run.STOPPING_SECONDS", 1e9)
    for nth in (1, 2, 3):
        trained, calls = population(), []

        def interrupted(run: Any, *args: Any, nth=nth, calls=calls, whole=getattr(PopulationRun, method)) -> Any:
            calls.append(1)
            if len(calls) == nth:
                raise KeyboardInterrupt("now")
            return whole(run, *args)

        stopping = fm.EarlyStopping("loss", patience=1, restore_best=False)
        with monkeypatch.context() as patch:
            patch.setattr(PopulationRun, method, interrupted)
            with pytest.raises(KeyboardInterrupt, match="now"):
                trained.fit(X, Y, epochs=90, optimizer=RATES, validation=0.3, early_stopping=stopping)
        for i, net in enumerate(trained):
            epochs = len(net.history)
            fresh = population()
            if epochs:
                fresh.fit(X, Y, epochs=epochs, optimizer=RATES, validation=0.3)
                assert fresh.history[i].loss == net.history.loss
            np.testing.assert_array_equal(fresh[i].params, net.params)
            assert fresh._groups[0].ints[i, ids.STEP] == trained._groups[0].ints[i, ids.STEP]


def test_an_interruption_at_any_line_leaves_best_parameters_and_best_epochs_alike(monkeypatch) -> None:
    """As the best so far are noted, of networks of two architectures."""
    monkeypatch.setattr("fastmlp.population.run.MOST_JUDGED", 1)
    specs = [{"layers": [4, hidden, 3], "output": "softmax"} for hidden in (6, 6, 20)]
    stopping = fm.EarlyStopping("loss", patience=50)
    place = 0
    while True:
        place, trained, calls, lines = place + 1, fm.Population.of(specs), 0, 0

        def trace(frame: Any, event: str, arg: Any, place=place) -> Any:
            nonlocal calls, lines
            if frame.f_code is not PopulationRun._note_best.__code__:
                return None
            calls += event == "call"
            lines += event == "line" and calls == 3
            if lines == place:
                raise KeyboardInterrupt("now")
            return trace

        before = sys.gettrace()
        try:
            sys.settrace(trace)
            trained.fit(X, Y, epochs=5, early_stopping=stopping)
        except KeyboardInterrupt:
            pass
        else:
            break
        finally:
            sys.settrace(before)
        assert len(trained.history.loss) == 3
        for i, best in enumerate(trained.history.best_epoch):
            assert best in (1, 2)
            expected = fm.Population.of(specs)
            expected.fit(X, Y, epochs=int(best) + 1)
            np.testing.assert_array_equal(trained[i].params, expected[i].params)
    assert place > 10


@pytest.mark.parametrize("hidden", [6, 600])
@pytest.mark.parametrize("optimizer", [fm.Adam(0.01), fm.SGD(0.1)])
def test_the_engine_copies_what_each_epoch_leaves(hidden, optimizer) -> None:
    """And answers for networks as they were at several times as for one time after another."""
    kernels, size, epochs = engine.part("population"), 5, 3
    left: list[tuple] = []
    x, weight = np.ascontiguousarray(X, np.float32), np.empty((0, 60), np.float32)
    y = np.eye(3, dtype=np.float32)[np.newaxis, Y]
    for copied in range(epochs + 1):
        group = population(size, hidden)._groups[0]
        group.use(optimizer)
        group.ints[:, [ids.BATCH, ids.SHUFFLE, ids.TRAINING]] = 16, 1, 1
        arena = np.zeros(kernels.population_arena_size(group.plan.table, size, group.slots.shape[1], 60), np.float32)
        copies = (
            np.zeros((2, *group.params.shape), np.float32),
            np.zeros((2, *group.slots.shape), np.float32),
            np.zeros((2, 5, 2)),
        )
        done = copied or epochs
        kernels.train_population(
            group.plan.table, group.ints, group.reals, group.params, group.slots, x, y, weight, np.full(4 * done, 0.01),
            np.ones(size), np.zeros((done, size)), arena, *(() if copied else copies),
        )  # fmt: skip
        left.append(copies if copied == 0 else (group.params, group.slots, group.reals[:, POWERS]))
    for epoch in range(2):  # as many as there is room for
        for copy, array in zip(left[0], left[1 + epoch], strict=True):
            np.testing.assert_array_equal(copy[epoch], array)
    rows, data = np.arange(size), fm.population.data.PopulationRows(x, y, weight)
    losses, outputs = group.losses(rows, data, left[0][0]), group.predict(rows, x, left[0][0])
    for epoch in range(2):
        group.params[...] = left[0][0][epoch]
        np.testing.assert_array_equal(losses[epoch], group.losses(rows, data))
        np.testing.assert_array_equal(outputs[epoch], group.predict(rows, x))
