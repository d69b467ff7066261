"""A sweep on a cluster of Dask workers, which may die."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings

import joblib
import pytest

import fastmlp as fm
from fastmlp.sweeps import jobs
from tests.compiler import needs_compiler

distributed = pytest.importorskip("distributed")
DATA = fm.datasets.moons(300)
SPACE = {"widths": [3, 5, 8], "depths": [1, 2], "seeds": range(8), "epochs": 1500, "batch_size": 16, "progress": False}


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes on this machine."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None, "silence_logs": 50}
        with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
            yield client


@pytest.fixture(scope="module", autouse=True)
def many_groups():
    """Groups of two networks, so that there are many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "PACK", 2)
        patch.setattr(jobs, "_GROUPS", 1000)
        yield


@pytest.fixture(scope="module")
def expected(many_groups):
    return facts(fm.sweep(DATA.X, DATA.y, **SPACE))


def facts(result):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in result]


def kill_when(count, path, pids, done):
    """Kill processes as soon as a journal has so many networks; `done` gets the number of those."""

    def watch():
        while not path.exists() or path.read_bytes().count(b"\n") <= count:
            time.sleep(0.005)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        done.append(path.read_bytes().count(b"\n") - 1)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


@needs_compiler  # without it the networks take longer than a worker's death
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("killed", [0, 1, 2])
def test_the_rows_are_all_there_and_none_twice_whoever_dies(cluster, expected, tmp_path, killed):
    cluster.wait_for_workers(2, timeout=60)
    pids = list(cluster.run(os.getpid).values())[:killed]
    path = tmp_path / "journal.jsonl"
    done: list[int] = []
    thread = kill_when(4, path, pids, done)
    with joblib.parallel_config(backend="dask"):
        result = fm.sweep(DATA.X, DATA.y, **SPACE, store=tmp_path)
    thread.join(10)
    assert done[0] < 48  # they were killed while there was work left
    assert result.stopped == "done"
    assert not result.failed
    assert [row["val_loss"] for row in facts(result)] == pytest.approx([row["val_loss"] for row in expected], rel=1e-3)
    numbers = [line.split(",")[0] for line in path.read_text().splitlines()[1:]]
    assert len(numbers) == len(set(numbers)) == 48
    if killed:
        cluster.wait_for_workers(2, timeout=60)
        assert not set(pids) & set(cluster.run(os.getpid).values())
