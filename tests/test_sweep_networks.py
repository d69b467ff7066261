"""A sweep's rows are of the networks that their settings name, whether these are trained together or each by itself."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import datasets
from fastmlp.sweeps import jobs
from fastmlp.sweeps.halving import survivors
from fastmlp.sweeps.progress import SweepBar

MOONS = datasets.moons(60)
X, Y = MOONS.X, np.sin(2.0 * MOONS.X[:, 0]) * MOONS.X[:, 1]


def run(y: Any = Y, **changes: Any) -> fm.SweepResult:
    arguments = {"widths": 5, "depths": 1, "epochs": 3, "batch_size": 16, "lr": 0.01, "n_jobs": 1, "progress": False}
    return fm.sweep(X, y, **(arguments | changes))


@pytest.fixture(params=["together", "each by itself"])
def way(request, monkeypatch) -> str:
    if request.param == "each by itself":
        monkeypatch.setattr(jobs, "LARGE", 1)
    return request.param


@pytest.fixture
def alone(monkeypatch):
    """Return a function that has the networks of later sweeps trained one by one."""
    return lambda: monkeypatch.setattr(jobs, "LARGE", 1)


GRID = {
    "activation": ["relu", "tanh"], "dropout": [0.0, 0.4], "lr": [0.01, 0.05], "l2": [0.0, 0.1], "batch_size": [16, None],
}  # fmt: skip


def test_every_row_is_of_the_network_that_its_setting_names(way) -> None:
    options: dict[str, Any] = {"loss": fm.losses.Huber(0.1), "dtype": "float64"}
    train, held = datasets.split(Y, 0.2, classes=False)
    for row in run(**GRID, seeds=2, shuffle="each", **options):
        net = fm.MLP([2, 5, 1], activation=row["activation"], dropout=row["dropout"], seed=row["seed"], **options)
        optimizer = fm.Adam(row["lr"], l2=row["l2"])
        net.fit(X[train], Y[train], epochs=3, batch_size=row["batch_size"], optimizer=optimizer)
        assert row["train_loss"] == pytest.approx(net.loss(X[train], Y[train]), rel=1e-8)
        assert row["val_loss"] == pytest.approx(net.loss(X[held], Y[held]), rel=1e-8)
        assert row["val_r2"] == pytest.approx(net.score(X[held], Y[held]), rel=1e-8)


def test_predictions_are_judged_some_networks_at_a_time(monkeypatch) -> None:
    whole = run(seeds=5)
    monkeypatch.setattr("fastmlp.sweeps.together._MOST_PREDICTED", 100)  # of two networks, and the last one by itself
    for row, other in zip(run(seeds=5), whole, strict=True):
        assert (row["train_r2"], row["val_r2"]) == pytest.approx((other["train_r2"], other["val_r2"]), rel=1e-5)


def test_large_networks_stop_early_where_small_ones_do(alone) -> None:
    options: dict[str, Any] = {"seeds": 4, "epochs": 40, "lr": [0.02, 0.2], "early_stopping": fm.EarlyStopping(patience=2)}
    expected = run(**options, curves=True)
    for row, curves in zip(expected, expected.curves, strict=True):
        assert row["val_loss"] == pytest.approx(min(curves["val_loss"]), rel=1e-4)
    assert {"early stopping"} <= {row["stopped"] for row in expected}
    assert len({row["epochs"] for row in expected}) > 1
    alone()
    for row, other in zip(run(**options), expected, strict=True):
        assert (row["epochs"], row["stopped"]) == (other["epochs"], other["stopped"])
        assert row["val_loss"] == pytest.approx(other["val_loss"], rel=1e-4)


def test_rates_of_large_networks_fall_where_those_of_small_ones_do(alone) -> None:
    options: dict[str, Any] = {"epochs": 15, "lr": [fm.schedules.ReduceOnPlateau(0.2, patience=1), 0.2]}
    expected = run(**options)
    assert expected[0]["train_loss"] != expected[1]["train_loss"]
    alone()
    for row, other in zip(run(**options), expected, strict=True):
        assert row["error"] is None
        assert row["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)


def test_curves_go_over_all_rounds(way) -> None:
    options: dict[str, Any] = {"lr": [1e-3, 0.01, 0.03, 0.1], "epochs": 8, "curves": True}
    whole, halved = run(**options), run(**options, halving=2)
    assert [row["epochs"] for row in halved].count(8) == 1
    for row, curves, expected in zip(halved, halved.curves, whole.curves, strict=True):
        for name in ("loss", "val_loss"):
            assert len(curves[name]) == row["epochs"]
            np.testing.assert_allclose(curves[name], expected[name][: row["epochs"]], rtol=1e-4)


def test_the_rate_in_an_error_is_the_networks_own() -> None:
    result = run(depths=3, optimizer="sgd", lr=[0.01, 1e30, 2e30], epochs=9)
    assert result[0]["error"] is None
    assert [row["error"].rpartition(", with lr=")[2] for row in result[1:]] == ["1e+30.", "2e+30."]


# ---- the best


def test_networks_are_kept_in_the_order_of_the_best_rows(way) -> None:
    result = run(MOONS.y, lr=[0.01, 0.1], seeds=4, epochs=9, keep_best=5)
    _, held = datasets.split(MOONS.y, 0.2, classes=True)
    best = sorted(result, key=lambda row: (-row["val_accuracy"], row["val_loss"]))[:5]
    assert best != sorted(best, key=result.rows.index)
    for net, row in zip(result.networks, best, strict=True):
        assert net.seed == row["seed"]
        assert net.loss(X[held], MOONS.y[held]) == pytest.approx(row["val_loss"], rel=1e-5)


@pytest.mark.parametrize(("metric", "pick"), [("mae", min), ("r2", max)])
def test_the_best_so_far_is_the_lowest_error_or_the_highest_score(metric, pick, monkeypatch) -> None:
    told: list[str] = []

    class Bar(SweepBar):
        def update(self, flops: int, networks: int, words: str) -> None:
            told.append(words)

    monkeypatch.setitem(fm.sweep.__globals__, "sweep_bar", lambda *args: Bar())
    result = run(seeds=4, metric=metric)
    assert told[-1] == f"best {metric} {pick(row[f'val_{metric}'] for row in result):.4g}"


def test_the_summary_of_an_error_begins_with_the_least() -> None:
    lines = run(lr=[1e-4, 0.1, 0.01], metric="mae").summary()
    assert [line["val_mae"] for line in lines] == sorted(line["val_mae"] for line in lines)


def test_a_linear_models_curves_are_those_of_all_widths() -> None:
    one, other = run(depths=0, widths=[3, 5]).curves
    assert one == other
    assert len(one["loss"]) == 3


# ---- folds


@pytest.mark.parametrize("of", ["folds", "seeds"])
def test_halving_goes_by_all(of) -> None:
    options: dict[str, Any] = {"widths": [2, 3, 4, 5, 6, 7], "lr": 0.1, "batch_size": None}
    options |= {"cv": 3} if of == "folds" else {"seeds": 3}
    first = run(**options, epochs=2)
    best = {line["width"] for line in first.summary()[:3]}
    key, rows = ("fold1", first) if of == "folds" else ("val_r2", [row for row in first if row["seed"] == 0])
    assert best != {row["width"] for row in sorted(rows, key=lambda row: -row[key])[:3]}
    halved = run(**options, epochs=4, halving=2, min_epochs=2)
    assert {row["width"] for row in halved if row["stopped"] == "epochs"} == best


def test_where_folds_stop_early_is_what_the_network_of_all_rows_is_trained_for() -> None:
    folds = [(np.arange(20, 60), np.arange(20)), (np.arange(40), np.arange(40, 60))]
    stopping = fm.EarlyStopping(patience=2)
    result = run(cv=folds, lr=0.1, epochs=40, batch_size=None, early_stopping=stopping, keep_best=1)
    ends = []
    for train, held in folds:
        net = fm.MLP([2, 5, 1])
        net.fit(X[train], Y[train], epochs=40, batch_size=None, optimizer=fm.Adam(0.1), early_stopping=stopping,
                validation=(X[held], Y[held]))  # fmt: skip
        ends.append(len(net.history))
    assert ends[0] != ends[1]
    assert result[0]["epochs"] == round(np.mean(ends))
    whole = fm.MLP([2, 5, 1])
    whole.fit(X, Y, epochs=result[0]["epochs"], batch_size=None, optimizer=fm.Adam(0.1))
    np.testing.assert_allclose(result.networks[0].params, whole.params, rtol=1e-4, atol=1e-5)


def test_the_network_of_all_rows_has_the_weights_of_rows_and_classes() -> None:
    weights: dict[str, Any] = {"sample_weight": np.linspace(0.5, 2.0, 60), "class_weight": {1: 4.0}}
    (kept,) = run(MOONS.y, cv=3, batch_size=None, keep_best=1, **weights).networks
    net = fm.MLP([2, 5, 1], output="sigmoid")
    net.fit(X, MOONS.y, epochs=3, batch_size=None, optimizer=fm.Adam(0.01), **weights)
    np.testing.assert_allclose(kept.params, net.params, rtol=1e-4, atol=1e-6)


def test_seconds_are_those_of_all_folds(tmp_path) -> None:
    result = run(cv=3, seeds=2, store=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()[1:]]
    for number, row in enumerate(result):
        own = [line["seconds"] for line in lines if line["network"] == number]
        assert len(own) == 3
        assert row["seconds"] == pytest.approx(sum(own))
    assert sum(row["seconds"] for row in result) <= result.seconds


def test_an_error_says_in_which_fold(way) -> None:
    x = X.copy()
    x[50] = 3e38  # which the second fold trains on
    folds = [(np.arange(30), np.arange(30, 40)), (np.arange(30, 60), np.arange(30))]
    (row,) = fm.sweep(x, Y, widths=5, depths=1, epochs=2, optimizer="sgd", cv=folds, n_jobs=1, progress=False)
    assert row["error"].startswith("fold 2: Divergence")
    assert row["stopped"] == "diverged"
    assert math.isfinite(row["fold1"])


# ---- halving


def test_networks_that_are_done_again_by_themselves_go_on_from_their_own_states(monkeypatch) -> None:
    options: dict[str, Any] = {"lr": [1e-3, 0.1, 0.01, 0.03], "epochs": 8, "halving": 2, "seeds": 2}
    expected, of = run(**options), fm.Population.of

    def fails(nets):
        if len(nets) > 1 and nets[0].history is not None:
            raise MemoryError("no room for several")
        return of(nets)

    monkeypatch.setattr(fm.Population, "of", fails)
    for row, other in zip(run(**options), expected, strict=True):
        assert (row["error"], row["epochs"]) == (None, other["epochs"])
        assert row["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)


def test_a_setting_without_a_result_never_goes_on() -> None:
    badness = [math.inf, 0.3, math.inf, 0.1, math.inf]
    networks: list[Any] = [SimpleNamespace(number=i, setting=SimpleNamespace(key=lambda i=i: (i,))) for i in range(5)]
    found = survivors(networks, 2, lambda members: (badness[members[0].number], 0.0))
    assert [network.number for network in found] == [1, 3]


def test_settings_of_equal_metric_go_on_by_their_loss() -> None:
    metric = fm.metrics.Metric("same", lambda y, prediction, weight: 1.0, higher_is_better=True)
    options: dict[str, Any] = {"lr": [1e-3, 0.1, 0.01, 0.03], "metric": metric}
    ranked = sorted(run(**options, epochs=4), key=lambda row: row["val_loss"])
    halved = run(**options, epochs=8, halving=2, min_epochs=4)
    assert {row["lr"] for row in halved if row["stopped"] == "epochs"} == {row["lr"] for row in ranked[:2]}
    assert [row["lr"] for row in ranked[:2]] != [1e-3, 0.1]
