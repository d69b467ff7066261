"""Grids of networks: the same results however many are trained at once, and nothing is trained on bad input."""

from __future__ import annotations

import math
import os
import re
import signal
import threading
import time

import numpy as np
import pytest
import scipy.stats
from sklearn.model_selection import GroupKFold

import fastmlp as fm
from fastmlp import datasets
from fastmlp.sweeps import sweep
from fastmlp.sweeps import train as module
from fastmlp.sweeps.work import stops


@pytest.fixture(scope="module")
def moons():
    return datasets.moons(60)


def run(data, **changes):
    """Sweep a small grid quietly."""
    arguments = {"widths": [3, 5], "depths": [1, 2], "epochs": 2, "batch_size": 16, "n_jobs": 1, "progress": False}
    return sweep(data.X, data.y, **(arguments | changes))


def without_time(rows):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def test_it_is_what_the_package_calls_sweep():
    assert fm.sweep is sweep


def test_rows_follow_the_grid_with_seeds_last(moons):
    result = run(moons, seeds=range(2), lr=[1e-3, 1e-2], activation=["relu", "tanh"])
    keys = ("width", "depth", "activation", "lr", "seed")
    cells = [tuple(row[key] for key in keys) for row in result]
    assert len(cells) == len(set(cells)) == 32
    assert cells[:3] == [(3, 1, "relu", 1e-3, 0), (3, 1, "relu", 1e-3, 1), (3, 1, "relu", 1e-2, 0)]
    assert cells == [
        (w, d, a, r, s) for w in (3, 5) for d in (1, 2) for a in ("relu", "tanh") for r in (1e-3, 1e-2) for s in (0, 1)
    ]


def test_a_row_says_what_a_network_trained_by_hand_says(moons):
    result = run(moons, widths=[5], depths=[2], seeds=[7], lr=0.01, shuffle="each")
    train, held = datasets.split(moons.y, 0.2, classes=True)
    net = fm.MLP([2, 5, 5, 1], output="sigmoid", seed=7)
    X, y = moons.X.astype(np.float32), moons.y
    history = net.fit(X[train], y[train], epochs=2, batch_size=16, optimizer=fm.Adam(0.01), progress=False)
    (row,) = result
    assert row["n_params"] == net.n_params
    assert row["flops"] == net.flops()
    assert row["epochs"] == len(history) == 2
    assert row["train_loss"] == pytest.approx(net.loss(X[train], y[train]), rel=1e-5)
    assert row["train_accuracy"] == net.score(X[train], y[train])
    assert row["val_loss"] == pytest.approx(net.loss(X[held], y[held]), rel=1e-5)
    assert row["val_accuracy"] == net.score(X[held], y[held])
    assert row["error"] is None
    assert row["seconds"] > 0.0


def test_the_number_of_jobs_changes_nothing_but_the_time(moons):
    results = [run(moons, seeds=range(3), n_jobs=n) for n in (1, 2, 5, None)]
    for other in results[1:]:
        assert without_time(other) == without_time(results[0])


def test_validation_rows_keep_the_classes_proportions_and_are_the_same_for_all(moons, monkeypatch):
    seen = []
    train = module._train

    def spy(work, group, rows, held):
        seen.append((rows.x, held.y))
        return train(work, group, rows, held)

    monkeypatch.setattr(module, "_train", spy)
    run(moons, validation=0.3)
    assert len({X.ctypes.data for X, _ in seen}) == 1  # one memory for all
    assert np.bincount(seen[0][1][:, 0].astype(int)).tolist() == [9, 9]
    assert len(seen[0][0]) == 42


def test_the_largest_networks_are_trained_first(moons, monkeypatch):
    order = []
    train = module._train

    def spy(work, group, *rest):
        order.extend(network.flops for network in group.networks)
        return train(work, group, *rest)

    monkeypatch.setattr(module, "_train", spy)
    run(moons, widths=[2, 9, 4], depths=[1, 3])
    assert order == sorted(order, reverse=True)


def test_without_hidden_layers_one_network_fills_the_cells_of_all_widths(moons, monkeypatch):
    trained = []
    train = module._train

    def spy(work, group, *rest):
        trained.extend(network.setting.depth for network in group.networks)
        return train(work, group, *rest)

    monkeypatch.setattr(module, "_train", spy)
    result = run(moons, depths=[0, 1], activation=["relu", "tanh"])
    assert trained.count(0) == 1
    assert len(trained) == 5
    linear = [row for row in result if row["depth"] == 0]
    assert len(linear) == 4
    assert {row["n_params"] for row in linear} == {3}
    assert len({row["val_loss"] for row in linear}) == 1


def test_a_number_of_seeds_is_the_first_ones(moons):
    few, listed = (run(moons, widths=[5], depths=[1], seeds=seeds) for seeds in (3, range(3)))
    assert [row["seed"] for row in few] == [0, 1, 2]
    assert [row["val_loss"] for row in few] == [row["val_loss"] for row in listed]


def test_more_seeds_than_memory_holds_are_refused_at_once(moons):
    with pytest.raises(ValueError, match=r"seeds=1,000,000,000,000 networks take at least .*Pass fewer seeds"):
        run(moons, widths=[3], depths=[1], seeds=10**12)
    with pytest.raises(ValueError, match=r"seeds=.* networks take at least"):
        fm.cross_validate(fm.MLPClassifier(), moons.X, moons.y, seeds=10**30)


def test_seeds_are_any_whole_numbers(moons):
    result = run(moons, widths=[5], depths=[2], seeds=[-7], lr=0.01, shuffle="each")
    train, _ = datasets.split(moons.y, 0.2, classes=True)
    net = fm.MLP([2, 5, 5, 1], output="sigmoid", seed=-7)
    net.fit(moons.X[train], moons.y[train], epochs=2, batch_size=16, optimizer=fm.Adam(0.01))
    assert result[0]["seed"] == -7
    assert result[0]["train_loss"] == pytest.approx(net.loss(moons.X[train], moons.y[train]), rel=1e-5)


def test_values_given_twice_count_once(moons):
    assert len(run(moons, widths=[3, 3, 5], seeds=[0, 0])) == 4


@pytest.mark.parametrize(
    ("y", "output", "metric"),
    [
        (np.arange(60) % 3, "softmax", "val_accuracy"),
        (np.array(["no", "yes"] * 30), "sigmoid", "val_accuracy"),
        (np.array([True, False] * 30), "sigmoid", "val_accuracy"),
        (np.array([1, 5] * 30), "softmax", "val_accuracy"),
        (np.linspace(0.0, 1.0, 60), "identity", "val_r2"),
        (np.linspace(0.0, 1.0, 120).reshape(60, 2), "identity", "val_r2"),
    ],
    ids=["indices", "words", "truth", "other integers", "quantity", "two quantities"],
)
def test_the_output_follows_from_the_targets(moons, y, output, metric):
    result = sweep(moons.X, y, widths=[3], depths=[1], epochs=1, n_jobs=1)
    assert result.metric == metric
    assert result[0]["error"] is None
    net = fm.MLP([2, 3, {"softmax": len(np.unique(y)), "sigmoid": 1, "identity": y.size // 60}[output]])
    assert result[0]["n_params"] == net.n_params


@pytest.mark.parametrize("options", [{}, {"optimizer": "lbfgs"}, {"cv": 3}, {"halving": 2, "widths": [2, 4, 8]}], ids=str)
def test_networks_can_be_compared_by_their_loss(moons, options):
    options = {"widths": [4, 8], "depths": 1, "seeds": 2, "epochs": 4, "n_jobs": 1} | options
    plain, result = (fm.sweep(moons.X, moons.y, **options, metric=metric) for metric in (None, "loss"))
    assert (result.metric, result.higher_is_better) == ("val_loss", False)
    if "halving" not in options:
        assert [row["val_loss"] for row in result] == [row["val_loss"] for row in plain]
    assert result.best["val_loss"] == min(row["val_loss"] for row in result if row["stopped"] != "halving")
    assert list(result[0]) == [key for key in plain[0] if "accuracy" not in key]
    assert list(result.table().columns).count("val loss") == 1
    with pytest.raises(ValueError, match=r"metric must be one of 'loss', 'accuracy'.*, or a fm\.metrics\.Metric; got 'f1'"):
        fm.sweep(moons.X, moons.y, **options, metric="f1")


def test_a_sweep_by_loss_may_stop_early_by_it(moons):
    stopping = fm.EarlyStopping("val_loss", patience=1)
    result = fm.sweep(
        moons.X, moons.y, widths=[4, 300], depths=1, epochs=30, lr=0.5, early_stopping=stopping, metric="loss", n_jobs=1
    )
    assert {row["stopped"] for row in result} == {"early stopping"}


def test_the_output_can_be_given(moons):
    counts = np.arange(60) % 30
    assert sweep(moons.X, counts, widths=[3], depths=[1], epochs=1, output="softmax", n_jobs=1)[0]["n_params"] == 129
    assert sweep(moons.X, counts, widths=[3], depths=[1], epochs=1, output="exp", n_jobs=1).metric == "val_r2"
    several = np.eye(3)[counts % 3]
    assert sweep(moons.X, several, widths=[3], depths=[1], epochs=1, output="softmax", n_jobs=1).metric == "val_accuracy"
    assert sweep(moons.X, several, widths=[3], depths=[1], epochs=1, output="sigmoid", n_jobs=1).metric == "val_binary_accuracy"


def test_other_rows_can_be_held_back(moons):
    held = datasets.moons(20, seed=1)
    result = run(moons, validation=(held.X, held.y))
    net = fm.MLP([2, 3, 1], output="sigmoid")
    net.fit(moons.X, moons.y, epochs=2, batch_size=16, progress=False)
    assert result[0]["val_loss"] == pytest.approx(net.loss(held.X, held.y), rel=1e-5)


def test_a_metric_can_be_named_or_be_ones_own(moons):
    result = run(moons, metric="mae")
    assert (result.metric, result.higher_is_better) == ("val_mae", False)

    def closeness(y, prediction, weight):
        return -float(np.abs(y - prediction).mean())

    other = run(moons, metric=fm.metrics.Metric("closeness", closeness, higher_is_better=True))
    assert other.metric == "val_closeness"
    np.testing.assert_allclose([row["val_closeness"] for row in other], [-row["val_mae"] for row in result], rtol=1e-6)


def test_optimizers_and_schedules(moons):
    result = run(moons, optimizer=fm.SGD(0.5, momentum=0.9))
    assert {row["lr"] for row in result} == {0.5}
    result = run(moons, optimizer="lbfgs", batch_size=None)
    assert all(math.isnan(row["lr"]) and row["error"] is None for row in result)
    penalized = run(moons, optimizer="lbfgs", batch_size=None, l2=10.0)
    assert {row["l2"] for row in penalized} == {10.0}
    assert min(row["train_loss"] for row in penalized) > max(row["train_loss"] for row in result)
    schedules = [fm.schedules.Cosine(0.1), fm.schedules.ReduceOnPlateau(0.1, patience=1)]
    result = run(moons, lr=schedules)
    assert [row["lr"] for row in result[:2]] == schedules
    assert not result.failed


def test_one_networks_failure_is_a_row_and_not_the_end(moons, monkeypatch):
    of = fm.Population.of

    def fails(nets):
        if any(net.plan.widths[1] == 5 for net in nets):
            raise MemoryError("no room for it")
        return of(nets)

    monkeypatch.setattr(fm.Population, "of", fails)
    result = run(moons, n_jobs=2)
    assert [row["error"] for row in result] == [None, None, "MemoryError: no room for it", "MemoryError: no room for it"]
    assert math.isnan(result[2]["val_loss"])
    assert math.isnan(result[2]["val_accuracy"])
    assert result.best["width"] == 3
    assert result.stopped == "done"


def test_a_training_that_diverges_is_a_row_with_that_error(moons):
    result = run(moons, widths=[4], depths=[3], epochs=20, optimizer="sgd", lr=[1e30, 1e-2])
    assert result[0]["error"].startswith("DivergenceError: Training diverged")
    assert result[1]["error"] is None


# ---- what is refused, before anything is trained

REFUSED = {
    "no widths": ({"widths": []}, ValueError, "widths is empty"),
    "no depths": ({"depths": []}, ValueError, "depths is empty"),
    "no seeds": ({"seeds": range(0)}, ValueError, "seeds is empty"),
    "no lr": ({"lr": []}, ValueError, "lr is empty"),
    "no activation": ({"activation": ()}, ValueError, "activation is empty"),
    "width 0": ({"widths": [8, 0]}, ValueError, "widths must be an integer >= 1; got 0"),
    "width 2.5": ({"widths": [2.5]}, TypeError, "widths must be an integer"),
    "a class": ({"optimizer": fm.SGD}, TypeError, "must be an instance; got the class SGD"),
    "an object": ({"widths": object()}, TypeError, "widths must be a value, a list of them or a distribution; got <object"),
    "words": ({"widths": ["a"]}, TypeError, "widths must be an integer >= 1; got 'a'"),
    "dropout": ({"dropout": [0.0, 1.0]}, ValueError, "dropout must be a finite number >= 0 and < 1; got 1.0"),
    "l2": ({"l2": -1.0}, ValueError, "l2 must be a finite number >= 0; got -1.0"),
    "lbfgs l1": ({"optimizer": "lbfgs", "l1": 0.1}, ValueError, "l1=0.1 is of no use to LBFGS, which has none"),
    "distribution": ({"lr": scipy.stats.uniform(0.1, 1)}, ValueError, "lr is a distribution, .* Pass n_trials"),
    "trials": ({"n_trials": 0}, ValueError, "n_trials must be an integer >= 1; got 0"),
    "drawn width": ({"widths": scipy.stats.uniform(1, 9), "n_trials": 2}, TypeError, "widths must be an integer"),
    "halving": ({"halving": 1}, ValueError, "halving must be an integer >= 2; got 1"),
    "nothing to halve": ({"halving": 3}, ValueError, "halving=3 has nothing to do with 4 settings and 2 epochs"),
    "trials_seed": ({"trials_seed": 3}, ValueError, "trials_seed=3 is for n_trials"),
    "no trials_seed": ({"trials_seed": "x"}, TypeError, "trials_seed must be an integer"),
    "min_epochs": ({"min_epochs": 2}, ValueError, "min_epochs=2 is for halving"),
    "halving lbfgs": ({"halving": 2, "optimizer": "lbfgs"}, ValueError, "lbfgs cannot be trained in rounds"),
    "halving plateau": ({"halving": 2, "lr": fm.schedules.ReduceOnPlateau(0.1)}, ValueError, "halving trains in rounds"),
    "halving and stopping": ({"halving": 2, "early_stopping": fm.EarlyStopping()}, ValueError, "does not go with halving"),
    "stopping": ({"early_stopping": 3}, TypeError, "early_stopping must be a fm.EarlyStopping or None; got 3"),
    "stopping on nothing": ({"early_stopping": fm.EarlyStopping("val_r2")}, ValueError, "monitor must be one of"),
    "cv 1": ({"cv": 1}, ValueError, "cv must be an integer >= 2; got 1"),
    "cv 31": ({"cv": 31}, ValueError, "cv=31 needs as many rows in each part, but the rarest class has 30"),
    "cv word": ({"cv": "five"}, TypeError, "cv must be an integer >= 2; got 'five'"),
    "cv numbers": ({"cv": [(range(59), [60])] * 2}, ValueError, "numbers from 0 to 59, or by a mask of 60; got int64 .* to 60"),
    "cv negative": ({"cv": [(range(59), [-1])] * 2}, ValueError, "numbers from 0 to 59, or .* from -1 to -1"),
    "cv mask": ({"cv": [(np.ones(50, bool), [3])] * 2}, ValueError, r"or by a mask of 60; got bool of shape \(50,\)"),
    "cv floats": ({"cv": [([0.5, 1.0], [3])] * 2}, ValueError, r"cv must name the rows .*; got float64 of shape \(2,\)"),
    "cv groups": ({"cv": GroupKFold(2)}, ValueError, r"cv=GroupKFold.*names no folds .*cv=list\(splitter\.split\(X, y, groups"),
    "cv nothing": ({"cv": [([], [3])] * 2}, ValueError, "cv has a fold with 0 rows to train on and 1 held back"),
    "cv and validation": ({"cv": 3, "validation": 0.3}, ValueError, "so validation=0.3 has no use"),
    "keep": ({"keep_best": -1}, ValueError, "keep_best must be an integer >= 0"),
    "keep on a plateau": (
        {"cv": 3, "keep_best": 1, "lr": [0.1, fm.schedules.ReduceOnPlateau(0.1)]},
        ValueError,
        r"lr=ReduceOnPlateau\(lr=0.1, .*\) goes by rows held back, but .* all rows\. Use one with monitor='loss', or leave",
    ),
    "dtype": ({"dtype": "float16"}, ValueError, "dtype must be 'float32' or 'float64'"),
    "metric of classes": ({"output": "identity", "metric": "accuracy"}, ValueError, "'accuracy' needs classes"),
    "metric of quantities": ({"output": "softmax", "metric": "r2"}, ValueError, "'r2' does not suit these targets"),
    "metric without a direction": (
        {"metric": lambda y, prediction: 0.0},
        ValueError,
        "a sweep's comparison needs to know whether '<lambda>' is to be high or low: .*Metric.'<lambda>', function, higher",
    ),
    "metric loss": ({"metric": fm.metrics.Metric("loss", max)}, ValueError, "metric is called 'loss', as another curve is"),
    "metric lr": ({"metric": fm.metrics.Metric("lr", max)}, ValueError, "metric is called 'lr', as another curve is"),
    "seeds": ({"seeds": [0, 1.5]}, TypeError, r"seeds\[1\] must be an integer; got 1.5"),
    "loss": ({"loss": "mze"}, ValueError, "Did you mean 'mse'"),
    "pairing": ({"loss": "poisson"}, ValueError, "output='exp'"),
    "depth -1": ({"depths": [-1]}, ValueError, "depths must be an integer >= 0; got -1"),
    "no optimizer": ({"optimizer": []}, ValueError, "optimizer is empty"),
    "no number of seeds": ({"seeds": 0}, ValueError, "seeds must be an integer >= 1; got 0"),
    "half a seed": ({"seeds": 2.0}, TypeError, "seeds must be an integer, how many, or a list of integers; got 2.0"),
    "truth": ({"seeds": True}, TypeError, "seeds must be an integer, how many, or a list of integers; got True"),
    "lr 0": ({"lr": [0.0]}, ValueError, "lr must be"),
    "activation": ({"activation": "rleu"}, ValueError, "Did you mean 'relu'"),
    "softmax hidden": ({"activation": ["softmax"]}, ValueError, "for outputs only"),
    "optimizer": ({"optimizer": "adm"}, ValueError, "Did you mean 'adam'"),
    "lbfgs lr": ({"optimizer": "lbfgs", "lr": [0.1]}, ValueError, "is of no use to LBFGS"),
    "metric": ({"metric": "acuracy"}, ValueError, "Did you mean 'accuracy'"),
    "epochs": ({"epochs": 0}, ValueError, "epochs must be an integer >= 1"),
    "batch size": ({"batch_size": 0}, ValueError, "batch_size must be an integer >= 1"),
    "jobs": ({"n_jobs": -2}, ValueError, "n_jobs must be an integer >= 1, or -1 or None for one for each thread; got -2"),
    "validation 0": ({"validation": 0.0}, ValueError, "validation must be a finite number > 0"),
    "validation None": (
        {"validation": None},
        TypeError,
        r"validation must be a fraction > 0 and < 1, or \(X, y\) or .*; got None",
    ),
    "validation too small": ({"validation": 0.001}, ValueError, "holds none back"),
    "validation of four": ({"validation": (1, 2, 3, 4)}, ValueError, r"a fraction, \(X, y\) or .*; got 4 parts"),
    "validation columns": ({"validation": (np.zeros((3, 5)), np.zeros(3, int))}, ValueError, "do not go with"),
    "output": ({"output": "sofmax"}, ValueError, "Did you mean 'softmax'"),
    "misspelt": ({"width": [8]}, TypeError, "unexpected keyword argument 'width'"),
}


@pytest.mark.parametrize(("changes", "error", "why"), REFUSED.values(), ids=list(REFUSED))
def test_bad_input_is_refused_before_anything_is_trained(moons, monkeypatch, changes, error, why):
    def never(*args):
        raise AssertionError("a network was trained")

    monkeypatch.setattr(module, "train", never)
    monkeypatch.setattr("fastmlp.sweeps.run.train", never)
    with pytest.raises(error, match=why):
        run(moons, **changes)


@pytest.mark.parametrize(
    ("X", "y", "why"),
    [
        (np.zeros(5), np.zeros(5), "X has one dimension"),
        (np.zeros((5, 2)), np.zeros(4), "one row for each of X's 5 rows"),
        (np.full((5, 2), np.nan), np.zeros(5), "X has nan in row 0"),
        (np.zeros((5, 2)), np.full(5, np.nan), "y has nan in row 0"),
        (np.zeros((5, 2)), np.zeros(5, int), "y is 0 in every row"),
        (np.zeros((30, 2)), np.arange(30), "y holds integers, 30 different ones"),
        (np.zeros((5, 2)), np.eye(5, dtype=int), "say output='softmax', 'sigmoid' or 'identity'"),
    ],
)
def test_bad_data_is_refused(X, y, why):
    with pytest.raises(ValueError, match=why):
        sweep(X, y, widths=[2], depths=[1], epochs=1)


@pytest.mark.parametrize(
    ("bad", "changes", "why"),
    [
        (np.nan, {}, "y has nan in row 37"),
        (np.inf, {"cv": 3}, "y has inf in row 37"),
        (1e39, {}, "y has 1e[+]39 in row 37, column 0, which is too large for float32"),
        (2.0, {"output": "sigmoid"}, "y has 2.0 in row 37, column 0, but this loss takes values in"),
    ],
)
def test_a_bad_target_is_named_by_its_row_in_what_was_passed(bad, changes, why):
    y = np.where(np.arange(40) == 37, bad, 0.5)
    with pytest.raises(ValueError, match=why):
        sweep(np.ones((40, 2)), y, widths=[2], depths=[1], epochs=1, **changes)


def test_a_bad_target_to_validate_on_is_named_by_its_row_there():
    X, y = np.ones((8, 2)), np.linspace(0.0, 1.0, 8)
    with pytest.raises(ValueError, match="validation's y has nan in row 3"):
        sweep(X, y, widths=[2], depths=[1], epochs=1, validation=(X, np.where(np.arange(8) == 3, np.nan, y)))


def test_more_than_two_words_are_no_sigmoid(moons):
    with pytest.raises(ValueError, match="y has 3 classes, but output='sigmoid' is for two"):
        sweep(moons.X, np.array(["a", "b", "c"] * 20), widths=[2], depths=[1], output="sigmoid")


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_after_an_interruption_finished_networks_are_there_and_no_thread_goes_on(moons, n_jobs):
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    sweep(moons.X, moons.y, widths=[2], depths=[1], epochs=1, n_jobs=n_jobs)  # joblib's threads and kernels are there
    began = time.monotonic()
    timer.start()
    result = run(moons, widths=[2, 8], depths=[1], epochs=50_000_000, n_jobs=n_jobs)
    assert time.monotonic() - began < 10.0
    assert result.stopped == "interrupted"
    assert [row["error"] for row in result] == ["interrupted", "interrupted"]
    assert len(stops) == 1  # until the next sweep, since its threads may still have to find it
    while any("worker" in thread.name for thread in threading.enumerate()):
        assert time.monotonic() - began < 10.0
        time.sleep(0.02)
    run(moons, n_jobs=n_jobs)
    assert not stops


def test_optimizers_that_no_population_has_train_networks_one_by_one(moons):
    for optimizer in (fm.Adam(weight_factor=2.0), fm.Adam(ntk=True), fm.Adam(scale_factor=6.0)):
        result = run(moons, widths=[3], optimizer=optimizer)
        assert [row["error"] for row in result] == [None, None]
        net = fm.MLP([2, 3, 1], output="sigmoid", seed=0)
        assert result[0]["n_params"] == net.n_params


def test_activations_of_ones_own(moons, tmp_path):
    sympy = pytest.importorskip("sympy")
    own = fm.activation(lambda x: x * sympy.sin(x))
    pair = fm.activation(np.arctan, lambda x: 1 / (1 + x * x), name="arctan")
    result = run(moons, activation=[own, pair, "tanh"], store=tmp_path / "kept")
    assert [row["error"] for row in result] == [None] * 12
    assert {row["activation"] for row in result} == {"x*sin(x)", "arctan", "tanh"}
    assert without_time(run(moons, activation=own)) == [row for row in without_time(result) if row["activation"] == "x*sin(x)"]
    again = fm.activation(lambda x: x * sympy.cos(x), name="x*sin(x)")
    with pytest.raises(ValueError, match="is of another sweep: they differ in settings"):
        run(moons, activation=[again, pair, "tanh"], store=tmp_path / "kept")
    assert len(run(moons, activation=[own, "tanh"], store=tmp_path / "best", keep_best=9).networks) == 8


def test_the_training_targets_say_what_they_are(moons):
    X, y = moons.X, moons.y
    result = sweep(X[:40], y[:40], validation=(X[40:], y[40:] * 1.0), widths=[2], depths=[1], epochs=1, progress=False)
    assert result.metric == "val_accuracy"
    for held in (y[40:] + 0.5, np.array(["a", "b"] * 10)):
        with pytest.raises(ValueError, match=r"validation's y holds .*, but y holds int64"):
            sweep(X[:40], y[:40], validation=(X[40:], held), widths=[2], depths=[1], epochs=1)


@pytest.mark.parametrize(
    ("values", "metric"),
    [([0.5, 1.5, 2.5], "val_r2"), (["a", "b", "a"], "val_accuracy"), ([True, False, True], "val_accuracy")],
    ids=["numbers", "words", "truth values"],
)
def test_targets_as_objects_are_what_they_hold(moons, values, metric):
    y = np.array(values * 20, dtype=object)
    assert run(moons, widths=[2], depths=[1]).metric == "val_accuracy"
    assert sweep(moons.X, y, widths=[2], depths=[1], epochs=1, progress=False).metric == metric


@pytest.mark.parametrize("y", [np.ones(60) * 1j, np.arange(60).astype("m8[s]"), np.array([1j, 2j] * 30, dtype=object)])
def test_targets_that_are_neither_classes_nor_quantities_are_refused(moons, y):
    kind = "complex128" if y.dtype == object else str(y.dtype)
    message = f"y has dtype {kind}, but must be classes (integers, truth values or words) or quantities (floats)"
    with pytest.raises(TypeError, match=re.escape(message)):
        sweep(moons.X, y, widths=[2], depths=[1])
    with pytest.raises(TypeError, match=f"^validation's {re.escape(message)}"):
        sweep(moons.X, moons.y, validation=(moons.X, y), widths=[2], depths=[1])


def test_targets_as_objects_of_several_kinds(moons):
    for odd in (None, math.nan, np.float32("nan"), pytest.importorskip("pandas").NaT):
        with pytest.raises(ValueError, match="y has no value in row 1"):
            sweep(moons.X, np.array(["a", odd] * 30, dtype=object), widths=[2], depths=[1])
    with pytest.raises(TypeError, match="y has dtype object and holds words such as 'a', numbers such as 1"):
        sweep(moons.X, np.array(["a", 1] * 30, dtype=object), widths=[2], depths=[1])
