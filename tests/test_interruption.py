"""Ctrl-C: a training in another process is sent SIGINT, and says what became of it.

The process measures how long it took from the signal to the KeyboardInterrupt; `pytest -s` shows it. It is meant to be less
than 0.2 s, but no test depends on how busy a machine is: only a hang fails.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import fastmlp as fm
from tests.compiler import needs_compiler

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")

SCRIPT = """
import json, os, signal, sys, threading, time
import numpy as np
import fastmlp as fm

rng = np.random.default_rng(0)
results = {}


def interrupted(name, make, X, y, after=0.3, **options):
    make().fit(X[:4], y[:4], epochs=1, **options)  # what has to be compiled or loaded is, then
    net, sent = make(), []

    def send():
        while not net.history:  # until the first epoch is over
            time.sleep(0.01)
        time.sleep(after)
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=send).start()
    try:
        net.fit(X, y, epochs=10**9, **options)
    except KeyboardInterrupt:
        latency, stopped = time.perf_counter() - sent[0], net.history.stopped
    else:
        raise SystemExit(f"{name}: fit ended by itself")
    epochs, fresh = len(net.history), make()
    fresh.fit(X, y, epochs=epochs, **options)
    again = (net.params == fresh.params).all() and net.history.loss == fresh.history.loss
    for each in (net, fresh):
        each.fit(X, y, epochs=2, **options)
    results[name] = {
        "latency": latency, "epochs": epochs, "stopped": stopped, "same": bool(again),
        "usable": bool((net.params == fresh.params).all()) and len(net.history) == epochs + 2,
    }


X, y = rng.normal(size=(100, 2)), rng.normal(size=100)
"""

CASES = {
    # A million tiny epochs a call.
    "small": "lambda: fm.MLP([2, 8, 1]), X, y, batch_size=None",
    "dropout": "lambda: fm.MLP([2, 8, 1], dropout=0.2, dtype='float64'), X, y, batch_size=7",
    # Whoever looks at each epoch gets it.
    "watched": "lambda: fm.MLP([2, 8, 1]), X, y, validation=0.2, metrics=['mse'], callbacks=[fm.Callback()]",
    # One epoch takes many calls.
    "long": "lambda: fm.MLP([2, 64, 64, 1]), rng.normal(size=(100_000, 2)), rng.normal(size=100_000), batch_size=50",
    # Large enough for a team of threads.
    "threads": "lambda: fm.MLP([200, 256, 256, 10]), rng.normal(size=(2000, 200)), rng.normal(size=(2000, 10))",
    "lbfgs": "lambda: fm.MLP([2, 30, 1], activation='tanh', dtype='float64'), *np.split(rng.normal(size=(2000, 3)), [2], 1), "
    "optimizer=fm.LBFGS(max_iter=10**6, max_fun=10**9, tol=0.0), after=0.05",
}


@pytest.fixture(scope="module")
def results() -> dict:
    calls = [f"interrupted({name!r}, {arguments})" for name, arguments in CASES.items()]
    script = "\n".join([SCRIPT, "fm.set_threads(2)", *calls, "print(json.dumps(results))"])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", CASES)
def test_ctrl_c_ends_a_training_after_a_whole_epoch_and_the_network_can_go_on(name, results) -> None:
    found = results[name]
    print(f"\n{name}: {1000 * found['latency']:.0f} ms after {found['epochs']} epochs")
    assert found["latency"] < 5
    assert found["epochs"] > 0
    assert found["stopped"] == "interrupted"
    assert found["same"]
    assert found["usable"]


def test_a_script_that_is_interrupted_ends_as_python_scripts_do() -> None:
    """With a traceback of KeyboardInterrupt, and no other."""
    script = textwrap.dedent("""
        import sys
        import fastmlp as fm
        class Ready(fm.Callback):
            def on_epoch_end(self, net, epoch, logs):
                if epoch == 10:
                    print("ready", flush=True)
        fm.MLP([1, 8, 1]).fit([[1.0], [2.0]], [1.0, 2.0], epochs=10**9, callbacks=[Ready()])
    """)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert errors.splitlines()[-1] == "KeyboardInterrupt"
    assert errors.count("Traceback") == 1
    assert process.returncode != 0


@needs_compiler
def test_an_interruption_between_the_starts_of_two_threads_leaves_none_waiting(monkeypatch, any_threads) -> None:
    """Threads that have begun wait for the others at a barrier; they must not wait for one that will never come."""
    from concurrent.futures import ThreadPoolExecutor

    from fastmlp.kernels import threads, train

    class Interrupted(ThreadPoolExecutor):
        starts = 0

        def submit(self, *job):
            Interrupted.starts += 1
            if Interrupted.starts == 4:
                raise KeyboardInterrupt("between two threads")
            return super().submit(*job)

    class AllThreads:
        def next(self, steps, n):
            return n, min(steps, 10)

        def budget(self, n, steps):
            return 0.0

        def took(self, n, steps, seconds):
            pass

    monkeypatch.setattr(threads, "ThreadPoolExecutor", Interrupted)
    monkeypatch.setattr(train, "pace_of", lambda *kind: AllThreads())
    fm.use_engine("numba")
    fm.set_threads(3)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(500, 100)), rng.normal(size=500)
    net, fresh = (fm.MLP([100, 200, 100, 1]) for _ in range(2))
    with pytest.raises(KeyboardInterrupt, match="between two threads"):
        net.fit(X, y, epochs=100)
    assert Interrupted.starts == 4
    fresh.fit(X, y, epochs=len(net.history))
    assert (net.params == fresh.params).all()
    for each in (net, fresh):
        each.fit(X, y, epochs=3)
    assert (net.params == fresh.params).all()
    assert Interrupted.starts > 10
