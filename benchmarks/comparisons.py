"""Ours against ours: threads, optimizers, dropout, activations, shuffling; each pair timed in turn."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from rich.table import Table

from . import ceiling
from .jobs import Job
from .measure import Effort, Pairs, paired, warm
from .peers import CORES, OURS
from .workloads import WORKLOADS, Workload, make_data, make_params

Say = Callable[[str], None]
UNDER_LOAD = ("T1", "S1", "M1", "B1")


def job(workload: Workload, **variant: Any) -> Job:
    """Return our job for a workload."""
    return OURS.prepare(workload, make_data(workload), make_params(workload), **variant)


def compare(first: Job, second: Job, steps: int, effort: Effort) -> dict[str, float]:
    """Return microseconds a step of both, and how many times longer the second takes."""
    warm(first, second)
    return _medians(paired(first, second, effort), steps)


def compare_all_runs(first: Job, second: Job, steps: int, effort: Effort) -> dict[str, float]:
    """As :func:`compare`, for all of the time that there is, with the means of all runs as well and the ratio of those."""
    warm(first, second)
    pairs = paired(first, second, replace(effort, precision=0.0))
    one, other = (1e6 / steps * mean for mean in pairs.means)
    means = {"mean_first": one, "mean_second": other, "mean_ratio": other / one}
    return _medians(pairs, steps) | means | {"runs": min(len(pairs.our_runs), len(pairs.their_runs))}


def _medians(pairs: Pairs, steps: int) -> dict[str, float]:
    scale = 1e6 / steps
    return {
        "first": scale * float(np.median(pairs.ours)),
        "second": scale * float(np.median(pairs.theirs)),
        "ratio": pairs.ratio,
        "low": pairs.quartiles[0],
        "high": pairs.quartiles[1],
    }


@contextlib.contextmanager
def busy(processes: int = CORES) -> Iterator[None]:
    """Keep as many other processes busy inside."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def measure_threads(effort: Effort, say: Say) -> dict[str, Any]:
    """All threads against one on every workload, and one against all while every core is busy with something else."""
    found: dict[str, Any] = {"cores": CORES, "idle": {}, "meetings": []}
    for name, workload in WORKLOADS.items():
        say(f"threads: {name}")
        found["meetings"].append(ceiling.meeting(CORES))
        found["idle"][name] = compare(job(workload, threads=CORES), job(workload, threads=1), workload.steps, effort)
    found["busy"] = measure_busy(UNDER_LOAD, effort, say)
    return found


def measure_busy(names: Iterable[str], effort: Effort, say: Say) -> dict[str, Any]:
    """One thread against all while every core is busy with another process: all runs count, since a few are very slow."""
    found = {}
    with busy():
        for name in names:
            say(f"threads: {name} on a busy machine")
            w = WORKLOADS[name]
            found[name] = compare_all_runs(job(w, threads=1), job(w, threads=CORES), w.steps, effort)
    return found


def table_threads(result: dict[str, Any]) -> Table:
    """Return the figures as a table; on a busy machine the means are judged: medians hide the runs that people wait for."""
    cores = result["cores"]
    shown = Table(title=f"Threads: µs a step on {cores} and on 1")
    if meetings := result.get("meetings"):  # files of before have none
        low, high = min(meetings), max(meetings)
        shown.caption = f"{cores} threads meet at a barrier in {low:.0f} to {high:.0f} ns, measured before each row."
    for column in ("", f"{cores} threads", "1 thread", "faster by", "half lies in", "goal"):
        shown.add_column(column, justify="right" if column else "left")
    goals = {"M1": "≥ 1.7", "B1": "≥ 1.7", "S1": "≥ 1.4"}
    for name, row in result["idle"].items():
        shown.add_row(name, *_figures(row), goals.get(name, "≥ 0.97"))
    for name, row in result["busy"].items():
        for what, prefix, goal in (("mean", "mean_", "≤ 1.3"), ("median", "", "")):
            if f"{prefix}ratio" in row:  # files of before have no means
                spread = "" if prefix else f"{row['low']:.2f} to {row['high']:.2f}"
                times = [f"{row[f'{prefix}{which}']:.2f}" for which in ("second", "first")]
                ratio = f"{row[f'{prefix}ratio']:.2f} times the time"
                shown.add_row(f"{name}, all cores busy, {what}", *times, ratio, spread, goal)
    return shown


_SGD, _ADAM = {"optimizer": "sgd", "lr": 0.01}, {"optimizer": "adam", "lr": 1e-3}
# Name -> (workload, what changes, goal): the changed job against the workload as it stands.
CHOICES: dict[str, tuple[Workload, dict[str, Any], str]] = {
    "S1: Adam instead of SGD": (replace(WORKLOADS["S1"], **_SGD), _ADAM, "≤ 1.15"),
    "M1: Adam instead of SGD": (replace(WORKLOADS["M1"], **_SGD), _ADAM, "≤ 1.15"),
    "S1: dropout 0.2": (WORKLOADS["S1"], {"dropout": 0.2}, "≤ 1.10"),
    "M1: dropout 0.2": (WORKLOADS["M1"], {"dropout": 0.2}, "≤ 1.10"),
    "T3: tanh instead of ReLU": (replace(WORKLOADS["T3"], activation="relu"), {"activation": "tanh"}, "≤ 1.5"),
    "T1: shuffled": (WORKLOADS["T1"], {"shuffle": True}, ""),
    "S1: shuffled": (WORKLOADS["S1"], {"shuffle": True}, ""),
    "M1: shuffled": (WORKLOADS["M1"], {"shuffle": True}, ""),
    "T1: 300,000 steps in one fit": (WORKLOADS["T1"], {"epochs": 300_000}, ""),
}


def measure_choices(effort: Effort, say: Say) -> dict[str, Any]:
    """Time each choice against doing without it."""
    found: dict[str, Any] = {}
    for name, (workload, changes, goal) in CHOICES.items():
        say(f"choices: {name}")
        changes = dict(changes)
        variant = {key: changes.pop(key) for key in ("shuffle",) if key in changes}
        changed = replace(workload, **changes)
        row = compare(job(workload), job(changed, **variant), workload.steps, effort)
        more = changed.steps / workload.steps
        for key in ("second", "ratio", "low", "high"):
            row[key] /= more
        found[name] = row | {"goal": goal}
    return found


def table_choices(result: dict[str, Any]) -> Table:
    """Return the figures as a table."""
    shown = Table(title="What choices cost: µs a step")
    for column in ("", "without", "with", "times", "half lies in", "goal"):
        shown.add_column(column, justify="right" if column else "left")
    for name, row in result.items():
        shown.add_row(name, *_figures(row), row["goal"])
    return shown


def _figures(row: dict[str, float]) -> list[str]:
    """Both times, the ratio and its quartiles."""
    return [f"{row['first']:.2f}", f"{row['second']:.2f}", f"{row['ratio']:.2f}", f"{row['low']:.2f} to {row['high']:.2f}"]
