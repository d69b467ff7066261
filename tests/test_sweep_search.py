"""What is tried: random draws, halving, cross-validation; and that neither order nor grouping changes a row."""

from __future__ import annotations

import math
import pickle

import joblib
import numpy as np
import pytest
import scipy.stats

import fastmlp as fm
from fastmlp import datasets
from fastmlp.sweeps import jobs
from fastmlp.sweeps.halving import rounds
from fastmlp.sweeps.ledger import Ledger
from fastmlp.sweeps.space import LogRange

MOONS = datasets.moons(80)


def run(**changes):
    arguments = {"widths": [3, 5], "depths": [1, 2], "epochs": 3, "batch_size": 16, "n_jobs": 1, "progress": False}
    return fm.sweep(MOONS.X, MOONS.y, **(arguments | changes))


def facts(row):
    """A row without what takes time."""
    return {key: value for key, value in row.items() if key != "seconds"}


SPACE = {
    "widths": [3, 5, 9], "depths": [0, 1, 2], "seeds": range(3), "lr": [1e-3, 1e-2, fm.schedules.Cosine(0.02)],
    "optimizer": ["adam", fm.SGD(0.1, momentum=0.9)], "dropout": [0.0, 0.2], "activation": ["relu", "tanh"],
}  # fmt: skip


def by_setting(result):
    keys = ("width", "depth", "seed", "lr", "optimizer", "dropout", "activation")
    return {tuple(str(row[key]) for key in keys): facts(row) for row in result}


def test_rows_do_not_depend_on_order_or_workers(monkeypatch):
    expected = by_setting(run(**SPACE))
    assert len(expected) == 3 * 3 * 3 * 3 * 2 * 2 * 2
    turned = {key: list(values)[::-1] for key, values in SPACE.items()}
    assert by_setting(run(**turned, n_jobs=3)) == expected
    # In other groups, in which a pack has other networks, only the last bits differ.
    monkeypatch.setattr(jobs, "PACK", 5)
    for key, row in by_setting(run(**SPACE, n_jobs=2)).items():
        assert row["train_loss"] == pytest.approx(expected[key]["train_loss"], rel=1e-4)


@pytest.mark.parametrize("backend", ["threading", "multiprocessing", "loky"])
def test_rows_do_not_depend_on_joblibs_backend(backend):
    expected = [facts(row) for row in run(seeds=range(3))]
    with joblib.parallel_config(backend=backend, n_jobs=2):
        found = run(seeds=range(3), n_jobs=None)
    assert [facts(row) for row in found] == expected


def test_everything_that_varies_is_in_the_row_and_in_the_table():
    varied = {"batch_size": [16, None], "weight_decay": [0.0, 0.1], "l1": 1e-4, "l2": [0.0, 0.5], "clip_norm": [None, 0.2]}
    result = run(**varied, depths=1, optimizer="sgd", lr=0.5)
    assert len(result) == 2 * 2 * 2 * 2 * 2
    assert len({str(facts(row)) for row in result}) == 32
    assert {row["batch_size"] for row in result} == {16, None}
    assert {row["l1"] for row in result} == {1e-4}
    assert len({row["val_loss"] for row in result}) == 32  # each of them changed something


def test_optimizers_are_named_by_what_they_are():
    optimizers = ["adam", fm.Adam(beta1=0.5), fm.SGD(0.1, momentum=0.9), "lbfgs"]
    result = run(widths=3, depths=1, optimizer=optimizers, batch_size=None)
    assert [row["optimizer"] for row in result] == ["adam", "adam(beta1=0.5)", "sgd(momentum=0.9)", "lbfgs"]
    assert not result.failed


def test_a_large_network_is_trained_by_itself_and_sees_the_same_order(monkeypatch):
    together = run(seeds=[4], shuffle="shared")
    monkeypatch.setattr(jobs, "LARGE", 1)
    alone = run(seeds=[4], shuffle="shared")
    for one, other in zip(together, alone, strict=True):
        assert one["val_loss"] == pytest.approx(other["val_loss"], rel=1e-4)


# ---- random search


def test_draws_are_different_settings_of_the_space_and_the_same_each_time():
    space = {"widths": scipy.stats.randint(2, 9), "lr": scipy.stats.loguniform(1e-4, 1e-1), "activation": ["relu", "tanh"]}
    result = run(**space, n_trials=12, seeds=range(2))
    assert len(result) == 24
    assert {row["width"] for row in result} <= set(range(2, 9))
    assert all(1e-4 <= row["lr"] <= 1e-1 and type(row["lr"]) is float for row in result)
    assert len({row["lr"] for row in result}) == 12
    assert [facts(row) for row in run(**space, n_trials=12, seeds=range(2))] == [facts(row) for row in result]
    other = run(**space, n_trials=12, seeds=range(2), trials_seed=1)
    assert {row["lr"] for row in other}.isdisjoint({row["lr"] for row in result})


def test_draws_from_lists_are_without_repeats_and_end_with_the_grid():
    lists = {"widths": [2, 3, 4, 5], "depths": [1, 2]}
    assert len({(row["width"], row["depth"]) for row in run(**lists, n_trials=5)}) == 5
    assert len(run(**lists, n_trials=100)) == 8


def test_a_small_range_ends_when_it_is_used_up():
    assert {row["width"] for row in run(widths=scipy.stats.randint(2, 5), depths=1, n_trials=10)} == {2, 3, 4}


def test_a_logarithmic_range_has_equal_chances_for_equal_ratios():
    random = np.random.RandomState(0)
    whole = np.array([LogRange(4, 64).rvs(random_state=random) for _ in range(4000)])
    assert (whole.min(), whole.max()) == (4, 64)
    assert abs((whole < 16).mean() - math.log(4) / math.log(65 / 4)) < 0.03
    real = LogRange(1e-4, 1e-2).rvs(1000, random)
    assert abs((real < 1e-3).mean() - 0.5) < 0.05


# ---- halving


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [((3, 1, 81, 100), [1, 3, 9, 27, 81]), ((3, 1, 81, 9), [9, 27, 81]), ((2, 5, 40, 100), [5, 10, 20, 40]),
     ((3, 1, 100, 27), [4, 11, 33, 100]), ((None, 1, 7, 3), [7])],
)  # fmt: skip
def test_rounds(arguments, expected):
    assert rounds(*arguments) == expected


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_survivors_are_what_they_would_be_in_one_go(n_jobs):
    space = SPACE | {"seeds": range(2)}
    whole = run(**space, epochs=9)
    halved = run(**space, epochs=9, halving=3, n_jobs=n_jobs, keep_best=2)
    going = [(a, b) for a, b in zip(halved, whole, strict=True) if a["stopped"] != "halving"]
    assert len(going) >= 2 * 2
    assert len(going) < len(whole) / 4
    for a, b in going:  # other neighbours in a pack may change the last bits
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-5)
        assert a["val_accuracy"] == b["val_accuracy"]
    assert {row["epochs"] for row in halved} == {1, 3, 9}
    assert len(halved.networks[0].history) == 9
    assert halved.best["epochs"] == 9
    assert halved.summary()[0]["epochs"] == 9


def test_survivors_go_on_and_do_not_begin_again(monkeypatch):
    from fastmlp.sweeps import run as running

    done = []
    train = running.train

    def spy(work, group, *data):
        before = 0 if group.states is None else len(group.states[0].history)
        done.append((group.rung, before, group.epochs, len(group.networks)))
        return train(work, group, *data)

    monkeypatch.setattr(running, "train", spy)
    run(widths=[2, 3, 4, 5, 6, 7], depths=1, epochs=8, halving=2, keep_best=1)
    assert {(rung, before, epochs) for rung, before, epochs, _ in done} == {(0, 0, 2), (1, 2, 4), (2, 4, 8)}
    assert [sum(n for rung, *_, n in done if rung == r) for r in range(3)] == [6, 3, 2]


def test_the_settings_with_the_best_mean_go_on_with_all_their_seeds():
    arguments = {"widths": [2, 3, 4, 5, 6, 7], "depths": 1, "seeds": range(4), "lr": [1e-3, 0.05]}
    first = run(**arguments, epochs=4)  # the round that decides: of 12 settings 6 go on
    best = {(line["width"], line["lr"]) for line in first.summary()[:6]}
    halved = run(**arguments, epochs=8, halving=2, min_epochs=4)
    further = [row for row in halved if row["stopped"] == "epochs"]
    assert len(further) == 6 * 4
    assert {(row["width"], row["lr"]) for row in further} == best


def test_a_setting_that_diverges_does_not_go_on():
    result = run(widths=[3], depths=[3], optimizer="sgd", lr=[1e30, 0.1], epochs=4, halving=2)
    assert [row["stopped"] for row in result] == ["diverged", "epochs"]


def test_halving_that_was_cut_off_ends_as_if_it_had_not_been(tmp_path):
    arguments = {"widths": [2, 3, 4, 5, 6, 7], "depths": 1, "seeds": range(2), "epochs": 8, "halving": 2, "store": tmp_path}
    whole = run(**arguments)
    path = tmp_path / "journal.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    for left in (3, 14, len(lines) - 1):
        path.write_text("".join(lines[:left]))
        for a, b in zip(run(**arguments), whole, strict=True):
            assert (a["epochs"], a["stopped"], a["val_accuracy"]) == (b["epochs"], b["stopped"], b["val_accuracy"])
            assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-5)


def test_a_store_of_another_halving_is_not_gone_on_with_though_its_rounds_be_the_same(tmp_path):
    arguments = {"widths": [3, 5, 8], "depths": 1, "epochs": 5, "keep_best": 2, "store": tmp_path}
    first = run(**arguments, halving=np.int64(2))
    with pytest.raises(ValueError, match=r"is of another sweep: they differ in halving \(there 2, here 3\)"):
        run(**arguments, halving=3)
    path = tmp_path / "journal.jsonl"
    path.write_text(path.read_text().replace(',"halving":2', "", 1))  # as versions before have written it
    again = run(**arguments, halving=2)
    assert again.rows == first.rows
    assert '"halving"' not in path.read_text().partition("\n")[0]


def interrupted(monkeypatch, rung, done=0, **changes):
    """A sweep of four widths that Ctrl-C ends in a round, after so many of its groups."""
    take, left = Ledger.take, [done]

    def taking(self, group, outcomes):
        if group.rung == rung:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
        take(self, group, outcomes)

    arguments = {"widths": [4, 8, 16, 32], "depths": 1, "lr": 0.03, "halving": 2, "epochs": 16}
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "take", taking)
        return run(**arguments | changes)


def test_after_an_interruption_settings_that_were_to_go_on_come_before_those_thrown_out(monkeypatch):
    first = run(widths=[4, 8, 16, 32], depths=1, lr=0.03, epochs=4)
    ranked = [row["width"] for row in sorted(first, key=lambda row: (-row["val_accuracy"], row["val_loss"]))]
    result = interrupted(monkeypatch, 1)
    assert result.best["width"] == ranked[0]
    assert f"; best val_accuracy {first.best['val_accuracy']:.4g} with width={ranked[0]}," in repr(result)
    assert {line["width"] for line in result.summary()[:2]} == set(ranked[:2])
    stopped = ["interrupted"] * 2 + ["halving"] * 2
    assert {row["width"]: row["stopped"] for row in result} == dict(zip(ranked, stopped, strict=True))
    for row, one in zip(result, first, strict=True):
        assert (row["epochs"], row["error"], row["val_accuracy"]) == (4, None, one["val_accuracy"])
        assert row["train_loss"] == pytest.approx(one["train_loss"], rel=1e-5)


def test_after_an_interruption_settings_count_by_how_far_they_came(monkeypatch, tmp_path):
    monkeypatch.setattr(jobs, "PACK", 1)
    arguments = {"seeds": 2, "store": tmp_path}
    result = interrupted(monkeypatch, 1, done=1, **arguments)
    (further,) = [row for row in result if row["epochs"] == 8]
    assert result.best is further
    line = result.summary()[0]
    assert (line["width"], line["seeds"], line["val_accuracy"]) == (further["width"], 1, further["val_accuracy"])
    assert [line["seeds"] for line in result.summary()] == [1, 2, 2, 2]
    whole = interrupted(monkeypatch, None, **arguments)  # goes on from there, and nothing is in its way
    again = interrupted(monkeypatch, None, **arguments | {"store": None})
    for a, b in zip(whole, again, strict=True):
        assert (a["epochs"], a["stopped"], a["val_accuracy"]) == (b["epochs"], b["stopped"], b["val_accuracy"])


# ---- cross-validation


def test_a_row_has_the_mean_over_folds_and_each_of_them():
    from sklearn.model_selection import StratifiedKFold

    result = run(cv=4, widths=5, depths=1)
    (row,) = result
    folds = [row[f"fold{i}"] for i in range(1, 5)]
    assert row["val_accuracy"] == pytest.approx(np.mean(folds))
    splits = StratifiedKFold(4, shuffle=True, random_state=0).split(MOONS.X, MOONS.y)
    for (train, held), value in zip(splits, folds, strict=True):
        net = fm.MLP([2, 5, 1], output="sigmoid")
        net.fit(MOONS.X[train], MOONS.y[train], epochs=3, batch_size=16, progress=False)
        assert net.score(MOONS.X[held], MOONS.y[held]) == pytest.approx(value, abs=1e-9)


def test_scikit_learns_splitters_and_plain_splits_serve():
    from sklearn.model_selection import ShuffleSplit

    assert "fold3" in run(cv=ShuffleSplit(3, random_state=0))[0]
    halves = np.split(np.random.default_rng(0).permutation(80), 2)
    result = run(cv=[(halves[0], halves[1]), (halves[1], halves[0])])
    assert [key for key in result[0] if key.startswith("fold")] == ["fold1", "fold2"]


def test_masks_are_splits_like_numbers():
    first = np.random.default_rng(0).permutation(80) < 40
    numbers = [np.flatnonzero(first), np.flatnonzero(~first)]
    by_mask = run(cv=[(first, ~first), (~first, first)])
    by_number = run(cv=[numbers, numbers[::-1]])
    assert [facts(row) for row in by_mask] == [facts(row) for row in by_number]


def test_a_regression_is_cross_validated_too():
    y = MOONS.X[:, 0] * 2.0 + 1.0
    result = fm.sweep(MOONS.X, y, widths=4, depths=1, epochs=30, cv=3, lr=0.05, n_jobs=1)
    assert result.metric == "val_r2"
    assert result[0]["val_r2"] > 0.5


def test_folds_and_halving_go_together():
    result = run(cv=3, widths=[2, 3, 4, 5], halving=2, epochs=4, keep_best=1)
    assert {row["stopped"] for row in result} == {"halving", "epochs"}
    assert len(result.networks) == 1


def test_a_fold_may_be_one_row():
    from sklearn.model_selection import LeaveOneOut

    y = np.arange(9) % 3
    (row,) = fm.sweep(MOONS.X[:9], y, widths=3, depths=1, epochs=2, cv=LeaveOneOut(), progress=False)
    assert row["error"] is None
    assert {row[f"fold{i}"] for i in range(1, 10)} <= {0.0, 1.0}
    (row,) = fm.sweep(MOONS.X[:9], y, widths=3, depths=1, epochs=2, validation=(MOONS.X[:1], y[:1]), progress=False)
    assert row["error"] is None


def test_the_networks_that_are_kept_after_folds_may_watch_their_loss():
    rate = fm.schedules.ReduceOnPlateau(0.01, patience=1, monitor="loss")
    assert len(run(cv=3, keep_best=2, lr=rate).networks) == 2
    assert len(run(keep_best=2, lr=fm.schedules.ReduceOnPlateau(0.01)).networks) == 2


@pytest.mark.parametrize("width", [3, 2000])  # in a population, and on its own
def test_a_network_that_fails_on_all_rows_is_not_kept_without_a_word(width):
    X = MOONS.X.copy()
    X[0] = 3e38  # which no fold trains on
    folds = [(np.arange(1, 40), np.arange(40, 80)), (np.arange(40, 80), np.arange(1, 40))]
    with pytest.warns(UserWarning, match=r"network of row 0, one of the best, is not kept: .* on all rows failed \(Divergence"):
        result = fm.sweep(X, MOONS.y, widths=width, depths=1, lr=1e-3, cv=folds, optimizer="sgd", epochs=2, keep_best=1)
    assert result.networks == ()
    assert result[0]["error"] is None


# ---- what a network does while it is trained


def test_early_stopping_is_each_networks_own():
    stopping = fm.EarlyStopping("val_accuracy", patience=2)
    result = run(seeds=range(4), epochs=60, early_stopping=stopping, lr=0.05, curves=True)
    assert {row["stopped"] for row in result} == {"early stopping"}
    assert len({row["epochs"] for row in result}) > 1
    for row, curves in zip(result, result.curves, strict=True):
        assert len(curves["loss"]) == len(curves["val_loss"]) == row["epochs"]


def test_curves_are_those_of_the_training():
    result = run(curves=True, widths=5, depths=1, seeds=[0], epochs=5)
    train, held = datasets.split(MOONS.y, 0.2, classes=True)
    net = fm.MLP([2, 5, 1], output="sigmoid")
    history = net.fit(
        MOONS.X[train], MOONS.y[train], epochs=5, batch_size=16, validation=(MOONS.X[held], MOONS.y[held]), progress=False
    )
    np.testing.assert_allclose(result.curves[0]["loss"], history.loss, rtol=2e-5)
    np.testing.assert_allclose(result.curves[0]["val_loss"], history.val_loss, rtol=2e-5)
    assert set(run(widths=5, depths=1).curves[0]) == {"loss"}


def test_kept_networks_can_be_pickled_and_trained_on():
    net = pickle.loads(pickle.dumps(run(keep_best=1, lr=[fm.schedules.Cosine(0.01), 0.02]).networks[0]))
    net.fit(MOONS.X, MOONS.y, epochs=1, progress=False)
    assert len(net.history) == 4
