"""The store of a sweep: nothing done is done again, whatever ended it, and nothing of another sweep is taken for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import datasets
from fastmlp.sweeps import jobs
from fastmlp.sweeps import run as running

MOONS = datasets.moons(60)


def run(store, **changes):
    arguments = {"widths": [3, 5], "depths": [1, 2], "seeds": range(2), "epochs": 2, "batch_size": 16, "n_jobs": 1}
    return fm.sweep(MOONS.X, MOONS.y, store=store, progress=False, **(arguments | changes))


def without_time(result):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in result]


@pytest.fixture
def trained(monkeypatch):
    """The networks that are trained, by width, depth and seed."""
    seen = []
    train = running.train

    def spy(work, group, *data):
        seen.extend((network.setting.width, network.setting.depth, network.seed) for network in group.networks)
        return train(work, group, *data)

    monkeypatch.setattr(running, "train", spy)
    return seen


def lines(store):
    return (store / "journal.jsonl").read_text().splitlines()


def test_a_line_for_each_network_after_one_that_says_what_the_sweep_is(tmp_path):
    result = run(tmp_path)
    first, *rest = map(json.loads, lines(tmp_path))
    assert first["sweep"] == 1
    assert first["rounds"] == [2]
    assert sorted(line["network"] for line in rest) == list(range(8))
    for line in rest:
        row = result[line["network"]]
        assert all(line[key] == row[key] for key in ("width", "depth", "seed", "lr", "train_loss", "val_loss"))
        assert line["val_metric"] == row["val_accuracy"]
        assert len(line["curves"]["loss"]) == 2


def test_a_second_call_trains_nothing_and_returns_the_same(tmp_path, trained):
    first = run(tmp_path)
    trained.clear()
    again = run(tmp_path)
    assert trained == []
    assert again.rows == first.rows
    assert again.curves == first.curves


@pytest.mark.parametrize("left", [0, 1, 3, 7])
def test_a_sweep_that_was_cut_off_goes_on_from_there(tmp_path, trained, left):
    whole = run(tmp_path)
    kept = lines(tmp_path)[: 1 + left]
    (tmp_path / "journal.jsonl").write_text("\n".join(kept) + "\n")
    trained.clear()
    again = run(tmp_path)
    assert trained
    assert without_time(again) == without_time(whole)
    assert len(lines(tmp_path)) == 9


@pytest.mark.parametrize("torn", [1, 30, 10_000], ids=["its end", "a part", "all but a letter"])
def test_a_torn_last_line_is_cut_off(tmp_path, trained, torn):
    whole = run(tmp_path)
    path = tmp_path / "journal.jsonl"
    content = path.read_bytes()
    last = len(content) - (content[:-1].rfind(b"\n") + 1)
    path.write_bytes(content[: -min(torn, last - 1)])
    trained.clear()
    assert without_time(run(tmp_path)) == without_time(whole)
    assert trained
    assert sorted(json.loads(line)["network"] for line in lines(tmp_path)[1:]) == list(range(8))


def test_a_last_line_of_zeros_is_cut_off(tmp_path, trained):
    whole = run(tmp_path)
    path = tmp_path / "journal.jsonl"
    *before, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(before) + bytes(len(last) - 1) + b"\n")
    trained.clear()
    assert without_time(run(tmp_path)) == without_time(whole)
    assert trained


@pytest.mark.parametrize("left", [0, 1, 5, 40])
@pytest.mark.parametrize("end", [b"", bytes(9), bytes(9) + b"\n"], ids=["torn", "zeros", "a line of zeros"])
def test_a_torn_first_line_begins_anew(tmp_path, left, end):
    whole = run(tmp_path)
    (tmp_path / "journal.jsonl").write_bytes((tmp_path / "journal.jsonl").read_bytes()[:left] + end)
    assert without_time(run(tmp_path)) == without_time(whole)


def test_damage_in_the_middle_is_told_and_nothing_is_lost(tmp_path):
    run(tmp_path)
    path = tmp_path / "journal.jsonl"
    damaged = lines(tmp_path)
    damaged[3] = damaged[3][:50]
    path.write_text("\n".join(damaged) + "\n")
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"journal.jsonl is damaged in line 4 of 9 .* Delete that line"):
        run(tmp_path)
    assert path.read_bytes() == before


def test_no_one_is_told_to_delete_a_damaged_first_line(tmp_path):
    run(tmp_path)
    path = tmp_path / "journal.jsonl"
    damaged = lines(tmp_path)
    damaged[0] = damaged[0][:50]
    path.write_text("\n".join(damaged) + "\n")
    before = path.read_bytes()
    what = r"is damaged in line 1 of 9 \(.*\)\. It says which data and options the others are of"
    with pytest.raises(ValueError, match=rf"journal\.jsonl {what}, .*without it\. Pass another store\.$"):
        run(tmp_path)
    assert path.read_bytes() == before


DAMAGED = {
    "nothing": (lambda line: {}, "it has no 'round'"),
    "no curves": (lambda line: {key: value for key, value in line.items() if key != "curves"}, "it has no 'curves'"),
    "number": (lambda line: line | {"val_metric": None}, "val_metric is None, which is no number"),
    "word": (lambda line: line | {"val_loss": "x"}, "could not convert string to float: 'x'"),
    "epochs": (lambda line: line | {"epochs": "x"}, "epochs must be an integer >= 0; got 'x'"),
    "network": (lambda line: line | {"network": 99}, "network must be an integer >= 0 and <= 7; got 99"),
    "part": (lambda line: line | {"part": 1}, "part must be an integer >= 0 and <= 0; got 1"),
    "round": (lambda line: line | {"round": -1}, "round must be an integer >= 0 and <= 0; got -1"),
    "stopped": (lambda line: line | {"stopped": 3}, "'stopped' and 'error' are 3 and None"),
    "curves": (lambda line: line | {"curves": {"loss": 3}}, "'curves' are no lists by name"),
    "curve": (lambda line: line | {"curves": {"loss": [None]}}, "loss is None, which is no number"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_line_that_is_not_the_journals_is_told(tmp_path, trained, name):
    change, why = DAMAGED[name]
    run(tmp_path)
    changed = lines(tmp_path)
    changed[2] = json.dumps(change(json.loads(changed[2])))
    (tmp_path / "journal.jsonl").write_text("\n".join(changed) + "\n")
    trained.clear()
    with pytest.raises(ValueError, match=rf"journal.jsonl is damaged in line 3 of 9 \({why}.*\)\. Delete that line"):
        run(tmp_path)
    assert trained == []


OTHER = {
    "settings": ({"widths": [3, 6]}, "they differ in settings"),
    "seeds": ({"seeds": range(3)}, r"seeds \(there \[0, 1\], here \[0, 1, 2\]\)"),
    "epochs": ({"epochs": 3}, r"rounds \(there \[2\], here \[3\]\)"),
    "metric": ({"metric": "mae"}, "metric"),
    "held back": ({"validation": 0.3}, "data"),
    "folds": ({"cv": 3}, "data"),
    "dtype": ({"dtype": "float64"}, "dtype"),
    "shuffles": ({"shuffle": "each"}, "shuffle"),
    "stopping": ({"early_stopping": fm.EarlyStopping(patience=3)}, r"early_stopping \(there 'None', here \"EarlyStopping"),
    "curves": ({"curves": True}, r"curves \(there False, here True\)"),
    "output": ({"output": "softmax"}, r"output \(there 'sigmoid', here 'softmax'\)"),
}


@pytest.mark.parametrize(("changes", "why"), OTHER.values(), ids=list(OTHER))
def test_a_journal_of_another_sweep_is_refused(tmp_path, trained, changes, why):
    run(tmp_path)
    before = (tmp_path / "journal.jsonl").read_bytes()
    trained.clear()
    with pytest.raises(ValueError, match=rf"is of another sweep: they differ in .*{why.removeprefix('they differ in ')}"):
        run(tmp_path, **changes)
    assert trained == []
    assert (tmp_path / "journal.jsonl").read_bytes() == before


def one(y, prediction, weight):
    return 1.0


def two(y, prediction, weight):
    return 2.0


@pytest.mark.parametrize(
    "other", [fm.metrics.Metric("mm", one, False), fm.metrics.Metric("mm", two, True),
              fm.metrics.Metric("mm", one, True, "classification")], ids=["direction", "function", "kind"],
)  # fmt: skip
def test_a_journal_of_another_metric_of_the_same_name_is_refused(tmp_path, other):
    metric = fm.metrics.Metric("mm", one, True)
    run(tmp_path, metric=metric)
    with pytest.raises(ValueError, match=r"is of another sweep: they differ in own_metric \(there 'one, regression, higher is"):
        run(tmp_path, metric=other)
    assert run(tmp_path, metric=metric).best["val_mm"] == 1.0


def test_a_journal_of_ones_own_metric_is_refused_for_one_of_the_table(tmp_path):
    run(tmp_path, metric=fm.metrics.Metric("accuracy", one, True))
    with pytest.raises(ValueError, match=r"they differ in own_metric \(there 'one, regression, higher is better', here None\)"):
        run(tmp_path)


def test_a_journal_that_has_no_more_than_the_name_of_ones_own_metric_is_read(tmp_path, trained):
    metric = fm.metrics.Metric("mm", one, True)
    run(tmp_path, metric=metric)
    first, *rest = lines(tmp_path)
    header = json.loads(first)
    del header["own_metric"]
    (tmp_path / "journal.jsonl").write_text("\n".join([json.dumps(header, separators=(",", ":")), *rest, ""]))
    trained.clear()
    assert run(tmp_path, metric=metric).best["val_mm"] == 1.0
    assert not trained


def test_a_journal_of_other_data_is_refused(tmp_path):
    run(tmp_path)
    X = MOONS.X.copy()
    X[7, 1] += 1e-3
    with pytest.raises(ValueError, match=r"differ in data \(there '60 rows of 2 columns, sha256"):
        fm.sweep(X, MOONS.y, widths=[3, 5], depths=[1, 2], seeds=range(2), epochs=2, batch_size=16, store=tmp_path)


def test_a_journal_of_other_targets_folds_or_loss_is_refused(tmp_path):
    y, halves = MOONS.X[:, 0], [(np.arange(30), np.arange(30, 60)), (np.arange(30, 60), np.arange(30))]
    others = {
        "data": ({"y": np.where(np.arange(60) == 7, 0.5, y)}, {"cv": halves[::-1]}, {"cv": [halves[0], halves[0]]}),
        "loss": ({"loss": "mae"}, {"loss": fm.losses.Huber(0.5)}, {"loss": fm.losses.Huber(2.0)}),
    }
    options = {"y": y, "cv": halves, "loss": "huber", "widths": 3, "depths": 1, "epochs": 1, "progress": False}
    fm.sweep(MOONS.X, **options, store=tmp_path)
    for name, changes in others.items():
        for change in changes:
            with pytest.raises(ValueError, match=rf"is of another sweep: they differ in {name} \(there"):
                fm.sweep(MOONS.X, **options | change, store=tmp_path)


@pytest.mark.parametrize("content", ['{"a": 1}\n', "hello\n", "hello", "1\n", '{"a": 1}\nhello', "hello\nworld\n"])
def test_another_file_of_that_name_is_left_alone(tmp_path, content):
    (tmp_path / "journal.jsonl").write_text(content)
    with pytest.raises(ValueError, match="is no journal of a sweep"):
        run(tmp_path)
    assert (tmp_path / "journal.jsonl").read_text() == content


def test_a_store_that_cannot_be_written_is_refused_before_any_training(tmp_path, trained):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"store='.*file' is a file\. Pass a folder that can be written\."):
        run(tmp_path / "file")
    with pytest.raises(OSError, match=r"cannot be written \(.*\)\. Pass a folder that can be written\."):
        run(tmp_path / "file" / "folder")
    assert trained == []


def test_two_processes_do_not_share_a_store(tmp_path):
    code = f"""
import sys
from fastmlp.sweeps.journal import Journal
with Journal({str(tmp_path)!r}, {{"sweep": 1}}):
    print("open", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(BlockingIOError, match="is in use by another process"):
            run(tmp_path)
        other.kill()
    (tmp_path / "journal.jsonl").unlink()
    assert len(run(tmp_path)) == 8  # the lock went with the process


def test_a_process_that_is_killed_loses_only_what_was_under_way(tmp_path):
    code = f"""
import fastmlp as fm
data = fm.datasets.moons(60)
fm.sweep(data.X, data.y, widths=[2, 3, 4, 5], depths=[1, 2, 3], seeds=range(4), epochs=3000, batch_size=16, n_jobs=2,
         store={str(tmp_path)!r}, progress=False)
"""
    with subprocess.Popen([sys.executable, "-c", code]) as victim:
        began = time.monotonic()
        while not (tmp_path / "journal.jsonl").exists() or len(lines(tmp_path)) < 5:
            assert victim.poll() is None
            assert time.monotonic() - began < 120
            time.sleep(0.01)
        os.kill(victim.pid, signal.SIGKILL)
    done = len(lines(tmp_path)) - 1
    result = run(tmp_path, widths=[2, 3, 4, 5], depths=[1, 2, 3], seeds=range(4), epochs=3000, n_jobs=2)
    assert 4 <= done
    assert [row["error"] for row in result] == [None] * 48
    numbers = [json.loads(line)["network"] for line in lines(tmp_path)[1:]]
    assert sorted(numbers) == list(range(48))  # each once


def test_what_failed_is_tried_again_but_not_what_diverged(tmp_path, trained, monkeypatch):
    of = fm.Population.of

    def fails(nets):
        if any(net.plan.widths[1] == 5 for net in nets):
            raise MemoryError("no room for it")
        return of(nets)

    options = {"optimizer": "sgd", "lr": [1e30, 1e-2], "depths": [3], "seeds": [0], "epochs": 20}
    monkeypatch.setattr(fm.Population, "of", fails)
    first = run(tmp_path, **options)
    assert [str(row["error"]).partition(":")[0] for row in first] == ["DivergenceError", "None", "MemoryError", "MemoryError"]
    monkeypatch.setattr(fm.Population, "of", of)
    trained.clear()
    again = run(tmp_path, **options)
    assert (5, 3, 0) in trained
    assert len(lines(tmp_path)) == 1 + 4 + 2  # those that had failed for want of memory have a second line
    assert [row["stopped"] for row in again] == ["diverged", "epochs", "diverged", "epochs"]


def test_an_interrupted_sweep_says_how_to_go_on(tmp_path, monkeypatch):
    train = running.train

    def interrupted(work, group, *data):
        if group.networks[0].setting.width == 3:
            raise KeyboardInterrupt
        return train(work, group, *data)

    monkeypatch.setattr(jobs, "PACK", 2)
    monkeypatch.setattr(running, "train", interrupted)
    result = run(tmp_path)
    assert result.stopped == "interrupted"
    assert {row["error"] for row in result} == {None, "interrupted"}
    assert "goes on from here" in repr(result)
    assert str(tmp_path) in repr(result)
    monkeypatch.setattr(running, "train", train)
    assert run(tmp_path).stopped == "done"


@pytest.mark.parametrize("cv", [None, 3])
def test_the_best_networks_are_kept_as_files(tmp_path, cv):
    result = run(tmp_path, keep_best=3, cv=cv)
    files = sorted((tmp_path / "networks").iterdir())
    assert len(files) == len(result.networks) == 3
    for net in result.networks:
        assert any(np.array_equal(fm.load(path).params, net.params) for path in files)
    if cv is None:
        _, held = datasets.split(MOONS.y, 0.2, classes=True)
        assert result.networks[0].score(MOONS.X[held], MOONS.y[held]) == result.best["val_accuracy"]
    files[0].unlink()  # a file that was lost is made again
    (tmp_path / "networks" / "77.safetensors").write_bytes(b"left over")
    again = run(tmp_path, keep_best=3, cv=cv)
    assert sorted((tmp_path / "networks").iterdir()) == files
    for net, other in zip(result.networks, again.networks, strict=True):
        np.testing.assert_array_equal(net.params, other.params)


def test_a_folder_in_the_place_of_a_networks_file_is_told_before_any_training(tmp_path, trained):
    (tmp_path / "networks" / "3.safetensors").mkdir(parents=True)
    with pytest.raises(IsADirectoryError, match=r"3.safetensors is a folder, where a network's file belongs. Remove it"):
        run(tmp_path, keep_best=3)
    assert trained == []


def test_networks_are_kept_without_a_store_too():
    result = run(None, keep_best=2)
    assert len(result.networks) == 2
    assert len(run(None).networks) == 0


def test_networks_that_no_file_can_hold_are_refused_before_any_training(tmp_path, trained):
    pair = fm.activation(np.arctan, lambda x: 1 / (1 + x * x), name="arctan")
    with pytest.raises(ValueError, match=r"^a store for keep_best: activation 'arctan' is a pair of Python functions"):
        run(tmp_path / "store", keep_best=1, activation=["relu", pair])
    assert trained == []
    assert not (tmp_path / "store").exists()
    assert len(run(tmp_path / "linear", keep_best=1, activation=pair, depths=0).networks) == 1  # which has none of them
