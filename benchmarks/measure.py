"""Timing: two jobs in turn, and the median of their ratios, since the speed of a shared machine drifts.

Between turns there is a pause, in which the idle threads of the library that was last at work stop spinning.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .jobs import Job

PAUSE = 0.05


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes
    ----------
    turn : float
        Least seconds of a turn.
    fewest, most : int
        Pairs of turns.
    seconds : float
        No further pair is begun after this long.
    precision : float
        No further pair is needed when half of the ratios lie within this fraction of their median.
    """

    turn: float = 0.15
    fewest: int = 7
    most: int = 41
    seconds: float = 20.0
    precision: float = 0.02


FULL = Effort()
QUICK = Effort(turn=0.05, fewest=3, most=5, seconds=4.0)


@dataclass
class Pairs:
    """Seconds of one run, ours and theirs, pair by pair.

    Attributes
    ----------
    ours, theirs : list of float
        The mean of each turn's runs.
    our_runs, their_runs : list of float
        All runs of all turns.
    """

    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    our_runs: list[float] = field(default_factory=list)
    their_runs: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> np.ndarray:
        """How many times longer they took."""
        return np.array(self.theirs) / np.array(self.ours)

    @property
    def ratio(self) -> float:
        """Median of the ratios."""
        return float(np.median(self.ratios))

    @property
    def means(self) -> tuple[float, float]:
        """Means of all runs, in which a rare one that is very slow has its share; the median of turns does not see it."""
        return float(np.mean(self.our_runs)), float(np.mean(self.their_runs))

    @property
    def quartiles(self) -> tuple[float, float]:
        """Between these lies half of the ratios."""
        low, high = np.percentile(self.ratios, (25, 75))
        return float(low), float(high)


@contextmanager
def quiet() -> Iterator[None]:
    """No garbage collection inside, and a pause before."""
    gc.collect()
    time.sleep(PAUSE)
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def turn(job: Job, least: float) -> float:
    """Return the mean seconds of a run, over as many runs as take `least` seconds."""
    return float(np.mean(runs(job, least)))


def runs(job: Job, least: float) -> list[float]:
    """Return the seconds of as many runs as take `least` seconds; of a job that is not reset, the mean of many as one."""
    job.begin()
    with quiet():
        return _stateful(job, least) if job.stateful else [calls(job.run, least)]


def _stateful(job: Job, least: float) -> list[float]:
    seconds: list[float] = []
    total = 0.0
    while total < least:
        job.reset()
        began = time.perf_counter()
        job.run()
        seconds.append(time.perf_counter() - began)
        total += seconds[-1]
    return seconds


def calls(function: Callable[[], Any], least: float) -> float:
    """Return the mean seconds of a call, over as many calls in a plain loop as take about `least` seconds."""
    number, seconds = 1, 0.0
    while True:
        repeat = range(number)
        began = time.perf_counter()
        for _ in repeat:
            function()
        seconds = time.perf_counter() - began
        if seconds >= least:
            return seconds / number
        number = max(2 * number, min(10 * number, int(1.1 * number * least / max(seconds, 1e-9))))


def contest(functions: Sequence[Callable[[], Any]], rounds: int, least: float = 0.004) -> list[float]:
    """Return the least seconds of a call of each of some short functions on one thread, called in turn, many times over."""
    best = [np.inf] * len(functions)
    for _ in range(rounds):
        for n, function in enumerate(functions):
            best[n] = min(best[n], calls(function, least))
    return best


def warm(*jobs: Job) -> None:
    """Let each job run once, so that what is done only the first time is done."""
    for job in jobs:
        job.begin()
        job.reset()
        job.run()


def fastest(jobs: dict[str, Job], least: float) -> str:
    """Return the name of the fastest of one peer's variants; each is warm after it."""
    seconds: dict[str, float] = {}
    warm(*jobs.values())
    for _ in range(3 if len(jobs) > 1 else 0):
        for name, job in jobs.items():
            # What has fallen far behind need not be waited for again.
            if seconds.get(name, 0.0) <= 2.0 * min(seconds.values(), default=0.0):
                seconds[name] = min(turn(job, least / 3), seconds.get(name, np.inf))
    return min(seconds, key=seconds.__getitem__) if seconds else next(iter(jobs))


def paired(ours: Job, theirs: Job, effort: Effort = FULL) -> Pairs:
    """Time two warm jobs in turn until the median of their ratios is known well enough."""
    pairs = Pairs()
    began = time.perf_counter()
    for n in range(effort.most):
        # Who is first changes, so that neither always follows the other's traces in the caches.
        sides = (ours, pairs.ours, pairs.our_runs), (theirs, pairs.theirs, pairs.their_runs)
        for job, times, every in sides[:: 1 if n % 2 == 0 else -1]:
            seconds = runs(job, effort.turn)
            times.append(float(np.mean(seconds)))
            every += seconds
        low, high = pairs.quartiles
        known = high - low <= 2.0 * effort.precision * pairs.ratio
        if n + 1 >= effort.fewest and (known or time.perf_counter() - began > effort.seconds):
            break
    return pairs
