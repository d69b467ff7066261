"""The engines among threads: how many of their own, and how many that ask them."""

from __future__ import annotations

import os
import sys
import threading

import joblib
import numpy as np
import pytest

import fastmlp as fm
from fastmlp import engine as engines
from tests.compiler import needs_compiler
from tests.problems import classes, classifier
from tests.processes import run


@pytest.mark.parametrize(
    ("n", "error", "message"),
    [
        (0, ValueError, "n must be an integer >= 1 and <= 1024; got 0"),
        (-2, ValueError, "n must be an integer >= 1 and <= 1024; got -2"),
        (1.5, TypeError, "n must be an integer >= 1 and <= 1024; got 1.5"),
        (True, TypeError, "n must be an integer >= 1 and <= 1024; got True"),
        ("2", TypeError, "n must be an integer >= 1 and <= 1024; got '2'"),
    ],
)
def test_a_wrong_number_of_threads_is_refused(n, error, message, any_threads) -> None:
    fm.set_threads(3)
    before = engines.threads()
    with pytest.raises(error, match=message):
        fm.set_threads(n)
    assert engines.threads() == before


@needs_compiler
def test_the_number_of_threads_outlives_a_change_of_engine(any_threads) -> None:
    fm.set_threads(3)
    assert engines.threads() == 3
    fm.use_engine("numpy")
    assert engines.threads() == 1
    fm.set_threads(5)
    fm.use_engine("numba")
    assert engines.threads() == 5
    fm.set_threads(None)
    assert engines.threads() == min(joblib.cpu_count(), int(os.environ.get("NUMBA_NUM_THREADS", "1024")))
    fm.use_engine()


@needs_compiler
@pytest.mark.parametrize(
    ("files", "most"),
    [
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "300000 100000\n"}, 3),
        ({"cpu.max": "250000 100000\n"}, 3),
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "25000\n"}, 2),
        ({"cpu.max": "neither\n"}, 8),
        ({}, 8),
    ],
)
def test_a_container_that_may_use_the_time_of_few_cores_has_as_few_threads(files, most, tmp_path, monkeypatch) -> None:
    from fastmlp.kernels import threads

    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(threads, "Path", lambda name: tmp_path / name.removeprefix("/sys/fs/cgroup/"))
    monkeypatch.setattr(threads, "_quota", threads._quota.__wrapped__)
    monkeypatch.setattr(threads, "_threads", None)
    monkeypatch.setattr(threads.config, "NUMBA_NUM_THREADS", 8)
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: range(8), raising=False)
    assert threads.threads() == most


def large(dtype: str, **options) -> tuple[fm.MLP, np.ndarray, np.ndarray]:
    """A network that is trained by a team of threads, and asked by one too."""
    rng = np.random.default_rng(0)
    net = fm.MLP([50, 130, (70, False), 5], **{"output": "softmax", "dropout": 0.2, "dtype": dtype, "seed": 1, **options})
    return net, rng.normal(size=(1000, 50)), rng.integers(5, size=1000)


def everything(net: fm.MLP, X: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """Whatever threads may have a part in."""
    weight = np.linspace(0.5, 2, len(X))
    optimizer = fm.Adam(fm.schedules.Cosine(1e-3), l1=1e-4, l2=1e-3, weight_decay=1e-2, clip_value=0.1, clip_norm=0.5)
    history = net.fit(X, y, epochs=2, batch_size=96, optimizer=optimizer, sample_weight=weight, validation=(X, y))
    net.fit(X, y, epochs=2, batch_size=None, optimizer="sgd")
    value, grad = net.value_and_grad(X, y, weight)
    return [net.params, np.array(history.loss), np.array(history.val_loss), net.predict(X), np.hstack(net.activations(X)),
            np.array(value), grad, net.input_gradient(X, y), net.jacobian(X[:10])]  # fmt: skip


class AllThreads:
    """Stands in for what finds out how many threads are fastest: always all."""

    def next(self, steps: int, n: int) -> tuple[int, int]:
        return n, steps

    def budget(self, n: int, steps: int) -> float:
        return 0.0

    def took(self, n: int, steps: int, seconds: float) -> None:
        pass


class NoTime(AllThreads):
    """All of them, which are to stop after every step."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def budget(self, n: int, steps: int) -> float:
        return 1e-9

    def took(self, n: int, steps: int, seconds: float) -> None:
        self.steps.append(steps)


class AnyThreads(AllThreads):
    """Another number of threads every few steps."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def next(self, steps: int, n: int) -> tuple[int, int]:
        return int(self.rng.integers(1, n + 1)), int(self.rng.integers(1, min(5, steps) + 1))


@needs_compiler
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_number_of_threads_changes_no_bit(dtype, any_threads, monkeypatch) -> None:
    from fastmlp.kernels import train

    fm.use_engine("numba")
    found = []
    for n in (1, 2, 3, 4):
        fm.set_threads(n)
        for pace in (AllThreads(), AnyThreads(), NoTime()):
            monkeypatch.setattr(train, "pace_of", lambda *kind, pace=pace: pace)
            found.append(everything(*large(dtype)))
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(one, other)


class InTurn(fm.schedules.Schedule):
    """Nothing, a half and the whole of it in turn."""

    def rates(self, steps, span):
        return self.lr * (steps % 3) / 2


@needs_compiler
@pytest.mark.parametrize("rows", [20, 96, 300])
@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_the_number_of_threads_changes_no_bit_where_decay_and_dropout_change_from_step_to_step(
    rows, clip_norm, any_threads, monkeypatch
) -> None:
    from fastmlp.kernels import train

    fm.use_engine("numba")
    optimizer = fm.Adam(1e-3, weight_decay=InTurn(0.1), clip_norm=clip_norm)
    found = []
    for n in (1, 2, 3):
        fm.set_threads(n)
        for pace in (AllThreads(), AnyThreads()):
            monkeypatch.setattr(train, "pace_of", lambda *kind, pace=pace: pace)
            net, X, y = large("float32")
            wide = fm.MLP([50, 260, 200, 5], output="softmax", activation="tanh", dropout=0.2, seed=1)
            for each in (net, wide):
                each.fit(X, y, epochs=2, batch_size=rows, optimizer=optimizer, dropout_schedule=InTurn(1.0))
            found.append([net.params, wide.params])
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(one, other)


@needs_compiler
@pytest.mark.skipif(sys.platform == "win32", reason="kernels have no clock there, and no call is too long")
@pytest.mark.parametrize("shape", [[20, 24, 3], [30, 300, 300, 3]])
def test_threads_that_took_too_long_stop_after_a_step_and_go_on_in_another_call(shape, any_threads, monkeypatch) -> None:
    from fastmlp.kernels import train

    fm.use_engine("numba")
    fm.set_threads(2)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(140, shape[0])), rng.integers(0, 3, 140)
    found = []
    for pace in (AllThreads(), NoTime()):
        monkeypatch.setattr(train, "pace_of", lambda *kind, pace=pace: pace)
        net = fm.MLP(shape, output="softmax")
        history = net.fit(X, y, epochs=3, batch_size=50)
        found.append((net.params.copy(), history.loss, net._state.ints.copy()))
    assert pace.steps == [1] * 9
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@needs_compiler
def test_these_networks_are_large_enough_for_threads(any_threads, monkeypatch) -> None:
    """Else the test above would say nothing."""
    from fastmlp.kernels import answers, minibatch, run, threads, train

    teams = []
    monkeypatch.setattr(train, "pace_of", lambda *kind: AllThreads())

    def counting(kernel, n, long, *args, **budget):
        what = args[0] if kernel is run._run else args[3].shape[1] if kernel is answers._answer else None
        teams.append((kernel, what, n))
        return threads.run_on_threads(kernel, n, long, *args, **budget)

    monkeypatch.setattr(train, "run_on_threads", counting)
    fm.use_engine("numba")
    fm.set_threads(3)
    net, *data = large("float32")
    everything(net, *data)
    tasks = minibatch.TRAIN, minibatch.GRADIENT, minibatch.LOSS_ONLY, minibatch.INPUT_GRADIENT
    widths = net.plan.n_outputs, sum(net.plan.widths[1:])  # of outputs, and of all activations
    wanted = {(run._run, task) for task in tasks} | {(answers._answer, width) for width in widths}
    assert {(kernel, what) for kernel, what, n in teams if n == 3} >= wanted


@needs_compiler
@pytest.mark.parametrize(("name", "size"), [("numba", "small"), ("numba", "large"), ("numpy", "small")])
def test_two_networks_trained_at_once_are_as_if_each_were_alone(name, size, any_threads) -> None:
    fm.use_engine(name)

    def make(seed):
        if size == "large":
            return large("float32", seed=seed)
        return classifier(seed=seed, dropout=0.1), *classes(60)

    def train(net, X, y):
        net.fit(X, y, epochs=4 if size == "large" else 40, batch_size=64 if size == "large" else 8)

    fm.set_threads(2)
    alone, together = [make(seed) for seed in range(4)], [make(seed) for seed in range(4)]
    for job in alone:
        train(*job)
    threads = [threading.Thread(target=train, args=job) for job in together]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for (one, *_), (other, *_) in zip(alone, together, strict=True):
        assert (one.params == other.params).all()
        assert one.history.loss == other.history.loss
    fm.use_engine()


def test_threads_may_ask_one_network_at_the_same_time(engine, any_threads) -> None:
    fm.set_threads(2)
    net, X, y = large("float32") if engine == "numba" else (classifier(), *classes(1000))
    expected = {rows: net.predict(X[:rows]) for rows in (1, 10, 500, 1000)}
    value = net.value_and_grad(X, y)[0]
    wrong = []

    def ask(seed):
        for rows in np.random.default_rng(seed).choice([1, 10, 500, 1000], 20).tolist():
            if not (net.predict(X[:rows]) == expected[rows]).all() or net.value_and_grad(X, y)[0] != value:
                wrong.append(rows)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@needs_compiler
def test_the_engine_may_change_while_other_threads_ask() -> None:
    """Scratch memory that was sized for one engine is not given to the other."""
    net, X, _ = large("float64")
    expected, wrong, stop = net.predict(X), [], threading.Event()

    def ask():
        while not stop.is_set():
            if not np.allclose(net.predict(X), expected, rtol=1e-8, atol=1e-10):
                wrong.append(1)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for turn in range(60):
        fm.use_engine(("numpy", "numba")[turn % 2])
        net.predict(X[:5])
    stop.set()
    for thread in threads:
        thread.join()
    fm.use_engine()
    assert not wrong


@needs_compiler
def test_the_number_of_threads_may_change_while_other_threads_train_and_ask(any_threads, monkeypatch) -> None:
    """Scratch memory that was sized for fewer threads than there are now is not overrun."""
    from fastmlp.kernels import train

    monkeypatch.setattr(train, "pace_of", lambda *kind: AllThreads())
    fm.use_engine("numba")
    alone, X, y = large("float32")
    alone.fit(X, y, epochs=15, batch_size=96)
    nets, expected, wrong, done = [large("float32")[0] for _ in range(2)], alone.predict(X), [], threading.Event()

    def ask():
        while not done.is_set():
            if not (alone.predict(X) == expected).all():
                wrong.append(1)

    def fit(net):
        net.fit(X, y, epochs=15, batch_size=96)

    asking = threading.Thread(target=ask)
    training = [threading.Thread(target=fit, args=(net,)) for net in nets]
    for thread in (asking, *training):
        thread.start()
    while any(thread.is_alive() for thread in training):
        for n in (1, 4, 2, 5):
            fm.set_threads(n)
    done.set()
    for thread in (asking, *training):
        thread.join()
    assert not wrong
    for net in nets:
        assert (net.params == alone.params).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_trains_as_its_parent_does() -> None:
    script = """
import os, numpy as np, fastmlp as fm
fm.set_threads(2)
X = np.random.default_rng(0).normal(size=(500, 100))
def train():
    net = fm.MLP([100, 200, 1], seed=3)
    net.fit(X, X[:, 0], epochs=2)
    return net.params
params = train()
child = os.fork()
if child == 0:
    os._exit(0 if (train() == params).all() else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run(script) == "0"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_waits_for_what_other_threads_compile() -> None:
    """A child would wait forever for the locks of a thread that it does not have."""
    script = """
import os, signal, threading, fastmlp as fm

def scaled(factor):
    return fm.activation(lambda x: factor * x, lambda x: factor + 0.0 * x)

fm.MLP([2, 3, 1], activation=scaled(0.5)).predict([[1, 2]])
stop = threading.Event()
def define():
    number = 1
    while not stop.is_set():
        number += 1
        scaled(float(number))
thread = threading.Thread(target=define)
thread.start()
statuses = []
for number in range(8):
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        fm.MLP([2, 3, 1], activation=scaled(-1.0 - number)).predict([[1, 2]])
        os._exit(0)
    statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
stop.set()
thread.join()
print(set(statuses))
"""
    assert run(script) == "{0}"


def test_a_compiler_thread_that_does_not_start_is_not_waited_for(monkeypatch) -> None:
    from fastmlp.kernels import aside

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        aside.aside(print)
    assert not aside._working


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity") or os.cpu_count() == 1, reason="needs two cores, and a choice of them")
def test_cores_may_come_and_go_in_the_middle_of_a_training() -> None:
    """As when a container is given another core: neither scratch memory nor the pool of threads was made for that."""
    script = """
import os, numpy as np, fastmlp as fm
cores = sorted(os.sched_getaffinity(0))
rng = np.random.default_rng(0)
X, y = rng.normal(size=(200, 100)), rng.normal(size=200)

class Change(fm.Callback):
    def on_epoch_end(self, net, epoch, logs):
        os.sched_setaffinity(0, cores[: 2 if epoch % 2 else 1])

def train(callbacks):
    net = fm.MLP([100, 200, 1], seed=3)
    net.fit(X, y, epochs=6, batch_size=64, callbacks=callbacks)
    return net.params

os.sched_setaffinity(0, cores[:1])
changing = train([Change()])
os.sched_setaffinity(0, cores)
print((changing == train([])).all())
"""
    assert run(script) == "True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_work_may_fork_within_itself() -> None:
    script = """
import os, signal
from fastmlp.kernels.aside import aside

def fork():
    child = os.fork()
    if child == 0:
        os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

signal.alarm(60)
print(aside(fork))
"""
    assert run(script) == "7"


@needs_compiler
@pytest.mark.parametrize("was_on", [True, False])
def test_garbage_is_not_collected_until_the_last_of_several_works_is_done(was_on) -> None:
    script = f"""
import gc, threading
from fastmlp.kernels.aside import aside

first_begun, second_done = threading.Event(), threading.Event()

def first():
    first_begun.set()
    second_done.wait(60)
    return gc.isenabled()

def second():
    first_begun.wait(60)
    return aside(gc.isenabled)

def fail():
    raise ValueError

gc.enable() if {was_on} else gc.disable()
seen = []
threads = [threading.Thread(target=lambda: seen.append(aside(first))), threading.Thread(target=lambda: seen.append(second()))]
for thread in threads:
    thread.start()
threads[1].join()
seen.append(gc.isenabled())
second_done.set()
threads[0].join()
try:
    aside(fail)
except ValueError:
    print(seen, gc.isenabled())
"""
    assert run(script) == f"[False, False, False] {was_on}"
