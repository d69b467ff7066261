"""Trainings side by side: they end together, whatever ends one of them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time

import pytest

pytest.importorskip("sklearn")

from fastmlp import interruption
from tests.compiler import needs_compiler

SCRIPT = """
import json, os, signal, threading, time
import numpy as np
import fastmlp as fm

rng = np.random.default_rng(0)
X, y = rng.normal(size=(2000, 20)), rng.integers(0, 2, 2000)
many = rng.normal(size=(50_000, 20)), rng.integers(0, 2, 50_000)
endless = {"max_iter": 10**6, "n_iter_no_change": 10**6, "random_state": 0}
CASES = {
    "ensemble": lambda: fm.MLPClassifier((64,), n_ensemble=3, **endless).fit(X, y),
    "lbfgs": lambda: fm.MLPClassifier((64,), n_ensemble=2, solver="lbfgs", tol=0.0, max_fun=10**9, **endless).fit(*many),
    "tabular": lambda: fm.TabularClassifier(epochs=10**6, n_ensemble=3).fit(X, y),
    "nested": lambda: fm.cross_validate(fm.MLPClassifier((64,), n_ensemble=2, **endless), X, y, cv=2, seeds=2),
    "folds": lambda: fm.cross_validate(fm.MLPClassifier((64,), **endless), X, y, cv=2, seeds=2),
}
results = {}
signal.signal(signal.SIGINT, signal.default_int_handler)
fm.set_threads(2)
fm.warmup()
fm.MLPClassifier, fm.TabularClassifier, fm.cross_validate  # imported now: SciPy does not survive an interrupted import
for name, run in CASES.items():
    threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        run()
    except KeyboardInterrupt:
        began = time.process_time()
        time.sleep(0.5)
        results[name] = time.process_time() - began
print(json.dumps(results))
"""


@needs_compiler
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_nothing_goes_on_after_an_interruption() -> None:
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    used = json.loads(done.stdout.splitlines()[-1])
    assert set(used) == {"ensemble", "lbfgs", "tabular", "nested", "folds"}
    # Seconds of a core in the half second after: one that goes on takes all of it.
    assert max(used.values()) < 0.25, used


def test_results_come_in_the_order_of_the_jobs() -> None:
    def late(i: int) -> int:
        time.sleep(0.02 * (4 - i))
        return i

    jobs = [(i,) for i in range(4)]
    assert interruption.side_by_side(late, jobs, 4) == interruption.side_by_side(late, jobs, 1) == [0, 1, 2, 3]


def test_an_error_of_one_ends_the_others() -> None:
    began = threading.Event()

    def job(fails: bool) -> None:
        if fails:
            began.wait(10)
            raise ZeroDivisionError("the first one fails")
        began.set()
        end = time.monotonic() + 60
        while time.monotonic() < end:
            interruption.check()
        raise AssertionError("it was not ended")

    with pytest.raises(ZeroDivisionError, match="the first one fails"):
        interruption.side_by_side(job, [(True,), (False,)], 2)


def test_only_what_is_inside_is_stopped() -> None:
    event = threading.Event()
    event.set()
    interruption.check()
    with interruption.stopped_by(event), pytest.raises(interruption.Stopped, match="have been ended"):
        interruption.check()
    interruption.check()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_a_second_interruption_waits_for_all_of_them_too() -> None:
    begun, goes_on = threading.Barrier(3), [True, True]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background may ignore it

    def job(number: int) -> None:
        begun.wait(20)
        try:
            end = time.monotonic() + 60
            while time.monotonic() < end:
                interruption.check()
                time.sleep(0.01)
        finally:
            time.sleep(0.6)
            goes_on[number] = False

    def interrupt() -> None:
        begun.wait(20)
        for _ in range(3):
            time.sleep(0.15)
            signal.raise_signal(signal.SIGINT)

    threading.Thread(target=interrupt).start()
    try:
        with pytest.raises(KeyboardInterrupt, match=r"^$"):
            interruption.side_by_side(job, [(0,), (1,)], 2)
    finally:
        signal.signal(signal.SIGINT, before)
    assert goes_on == [False, False]
