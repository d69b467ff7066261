"""Threads share the work, never the result: the same bits from any number of them, on networks of every shape."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("numba")

import numba
from fastmlp.kernels import minibatch, network, pace, run, threads, train
from fastmlp.kernels.network import FEW_PARAMETERS
from fastmlp.kernels.simd import LANES32, LANES64

import fastmlp as fm
from fastmlp import engine
from fastmlp.reference import ids
from tests.compiler import needs_compiler

pytestmark = needs_compiler

ACTIVATIONS = [name for name, activation in fm.activations.ACTIVATIONS.items() if activation.hidden]
OPTIMIZERS = [fm.SGD(0.01, momentum=0.9), fm.Adam(1e-3), fm.Adam(1e-3, clip_norm=0.5, l1=0.01, l2=0.01), fm.AdamW(1e-3)]


def trained_by(n: int, net: fm.MLP, X, y, weight, optimizer, batch: int, steps: int, scheduled: bool):
    """Parameters, state vectors and losses after `steps` steps of exactly n threads, whatever the network's size.

    `scheduled` steps have weight decays and factors of dropout, 0 among them.
    """
    net = net.copy()
    state = net._state
    state.use(optimizer)
    state.ints[[ids.BATCH, ids.SHUFFLE, ids.TRAINING]] = batch, 1, 1
    threads.set_threads(n)
    arena = np.full(train.arena_size(net.plan.table, len(X)), np.nan, net.dtype)
    losses, order = np.zeros(steps + 1), np.zeros(len(X), np.int64)
    slots = state.slots if state.slots.size else np.zeros((1, 1), net.dtype)
    each = np.arange(steps)
    rates = np.column_stack([np.full(steps, 1e-3), each % 2, each % 3 / 2][: 3 if scheduled else 1])
    threads.run_on_threads(
        run._run, n, False, minibatch.TRAIN, net.plan.table, state.ints, state.reals, net.params, slots, X, y, weight, order,
        rates, losses, np.zeros((1, 1), net.dtype), arena,
    )  # fmt: skip
    return net.params, state.slots, losses


@pytest.mark.parametrize("seed", range(80))
def test_bits_do_not_depend_on_the_number_of_threads(seed, any_threads) -> None:
    rng = np.random.default_rng(seed)
    # Narrow layers beside wide ones are where a thread's share of the weights is hard to cut.
    widths = [int(rng.integers(1, rng.choice([4, 20, 80, 300]))) for _ in range(rng.integers(2, 7))]
    hidden = [
        fm.Dense(width, rng.choice(ACTIVATIONS), bias=bool(rng.integers(2)), dropout=rng.choice([0.0, 0.2]))
        for width in widths[1:-1]
    ]
    outputs = fm.Dense(widths[-1], bias=bool(rng.integers(2)))
    net = fm.MLP([widths[0], *hidden, outputs], dtype=rng.choice(["float32", "float64"]))
    rows, batch = int(rng.integers(1, 3000)), int(rng.integers(1, 3000 if seed % 2 else 30))
    X = rng.normal(size=(rows, widths[0])).astype(net.dtype)
    y = rng.normal(size=(rows, widths[-1])).astype(net.dtype)
    weight = rng.uniform(0.1, 1, rows if rng.integers(2) else 0).astype(net.dtype)
    optimizer = OPTIMIZERS[rng.integers(len(OPTIMIZERS))]
    job = net, X, y, weight, optimizer, batch, 3 if seed % 2 else 20, seed % 4 < 2
    one = trained_by(1, *job)
    assert np.isfinite(one[0]).all()
    for n in (2, 3, 5):
        for part, expected in zip(trained_by(n, *job), one, strict=True):
            np.testing.assert_array_equal(part, expected)


def test_a_share_of_one_row_is_summed_as_it_is_within_more_rows(any_threads) -> None:
    """Thread 1 has one row of the second layer's gradient, of two blocks of 256 rows; one thread has it amid 129."""
    net = fm.MLP([61, 128, 4, 128, 64], seed=0)
    X, y = (np.random.default_rng(i).normal(size=(512, width)).astype(np.float32) for i, width in enumerate((61, 64)))
    job = net, X, y, np.empty(0, np.float32), fm.SGD(), 512, 1, False
    for part, expected in zip(trained_by(2, *job), trained_by(1, *job), strict=True):
        np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_blocks_whose_inputs_are_copied_in_strips_have_the_same_bits(dtype, any_threads) -> None:
    """Two blocks of 256 rows far apart, whose sums are added up, and one of 88 that are not."""
    net = fm.MLP([500, 300, 3], seed=0, dtype=dtype)
    X, y = (np.random.default_rng(i).normal(size=(600, width)).astype(dtype) for i, width in enumerate((500, 3)))
    one, *others = (trained_by(n, net, X, y, np.empty(0, dtype), fm.SGD(), 600, 2, False) for n in (1, 2, 3, 5))
    for other in others:
        for got, expected in zip(other, one, strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("scheduled", [False, True])
def test_wide_layers_with_dropout_have_the_same_bits(activation, scheduled, any_threads) -> None:
    """Its masks are cut at every 64th unit: of 129 the first of two threads has 64, the second one a column behind them."""
    rng = np.random.default_rng(0)
    hidden = [fm.Dense(129, activation, dropout=0.2), fm.Dense(193, activation, dropout=0.5)]
    net = fm.MLP([400, *hidden, 130])
    X, y = rng.normal(size=(60, 400)).astype("f4"), rng.normal(size=(60, 130)).astype("f4")
    one, *others = (trained_by(n, net, X, y, np.empty(0, "f4"), fm.Adam(1e-3), 20, 9, scheduled) for n in (1, 2, 3))
    assert net.params.size > FEW_PARAMETERS
    for other in others:
        for got, expected in zip(other, one, strict=True):
            np.testing.assert_array_equal(got, expected)


@numba.njit
def _edges(net, units, n):
    return network.shares_columns(units, 1, n), [network.column_edge(net, 1, units, t, n) for t in range(n + 1)]


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_every_thread_has_units_of_a_layer_whose_units_are_shared(rate) -> None:
    """With dropout 64 units are one group of masks, which one of two threads had to itself while the other waited."""
    net = network.Net(0, np.array([rate]), 0, 0, 0, 0, True, False, None)
    for n in (2, 3, 5):
        for units in range(1, 700):
            shared, edges = _edges(net, units, n)
            assert (edges[0], edges[-1]) == (0, units)
            assert not shared or np.diff(edges).min() >= 48, (units, n, edges)


def test_python_threads_get_the_pool_one_at_a_time_and_the_same_bits(any_threads) -> None:
    fm.set_threads(2)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(2048, 64)), rng.integers(0, 10, 2048)
    make = lambda: fm.MLP([64, 200, 10], output="softmax")  # noqa: E731
    alone = make()
    alone.fit(X, y, epochs=3)
    nets = [make() for _ in range(4)]
    workers = [threading.Thread(target=net.fit, args=(X, y), kwargs={"epochs": 3}) for net in nets]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for net in nets:
        np.testing.assert_array_equal(net.params, alone.params)


def test_alone_is_for_this_python_thread_only(any_threads) -> None:
    fm.set_threads(3)
    seen = []
    with engine.alone():
        other = threading.Thread(target=lambda: seen.append(threads.threads_here()))
        other.start()
        other.join()
        seen.append(threads.threads_here())
    seen.append(threads.threads_here())
    assert seen == [3, 1, 3]


def test_pace_prefers_what_took_less_and_asks_again_when_that_may_have_changed() -> None:
    kind = pace.Pace(guess=1e-4)
    speed = {1: 1e-4, 2: 2e-4}  # two threads are slower at first, as on a busy machine
    chosen = []
    for call in range(400):
        if call == 200:
            speed[2] = 5e-5
        left = 500
        while left:
            n, steps = kind.next(left, 2)
            assert 1 <= steps <= left
            kind.took(n, steps, steps * speed[n])
            left -= steps
        chosen.append(n)
    assert chosen[20:200].count(1) > 170
    assert chosen[300:].count(2) > 95


def test_pace_does_not_change_its_mind_for_long_by_one_bad_moment() -> None:
    kind = pace.Pace(guess=1e-4)
    for n, seconds in ((4, 1.0), (4, 5e-5), (1, 1e-4)):
        kind.took(n, 100, 100 * seconds)
    while kind.next(100, 4)[0] == 1:
        kind.took(1, 100, 1e-2)
    assert kind.next(100, 4) == (4, 100)
    kind.took(4, 1000, 0.2)  # twice as long as on one thread
    assert kind.next(1000, 4)[0] == 4
    kind.took(4, 100, 5e-3)
    assert kind.next(1000, 4)[0] == 1  # the best is another one again, and the other is asked
    kind.took(1, 100, 1e-2)
    assert kind.next(1000, 4) == (4, 1000)


@pytest.mark.parametrize(("guess", "expected"), [(1e-7, (1, 1000)), (1.0, (4, 1000))])
def test_pace_does_not_try_what_is_clear(guess, expected) -> None:
    assert pace.Pace(guess).next(1000, 4) == expected


def choice(kind: pace.Pace) -> int:
    """The threads that most of many steps are given."""
    given = {1: 0, 2: 0}
    for _ in range(2):
        n, steps = kind.next(1_000_000, 2)
        given[n] += steps
    return max(given, key=lambda n: given[n])


def test_a_short_slow_call_does_not_change_the_number_of_threads_but_a_long_one_does() -> None:
    kind = pace.Pace(guess=1e-3)
    for n, seconds in ((2, 9.0), (2, 1.0), (1, 1.6)):  # the first time, threads have to be made
        kind.took(n, 1000, seconds)
    assert choice(kind) == 2
    kind.took(2, 2, 2 * 4e-3)
    assert choice(kind) == 2
    kind.took(2, 1000, 4.0)
    assert choice(kind) == 1


def test_long_steps_are_tried_on_one_thread_only_where_all_take_longer_than_one_is_guessed_to() -> None:
    kind = pace.Pace(guess=0.03)
    for _ in range(100):
        assert kind.next(10, 2) == (2, 10)
        kind.took(2, 10, 0.2)
    kind.took(2, 10, 0.5)  # other programs have a core
    assert kind.next(10, 2) == (1, 1)
    for two, calls, most in ((0.05, 20, 1), (0.01, 100, 2)):
        done = {1: 0, 2: 0}
        for _ in range(calls):
            n, steps = kind.next(10, 2)
            kind.took(n, steps, steps * (0.02 if n == 1 else two))
            done[n] += steps
        assert done[most] > 0.9 * sum(done.values())
    assert kind.next(10, 2) == (2, 10)


def test_a_step_is_guessed_to_take_the_longer_the_fewer_numbers_a_vector_has(monkeypatch) -> None:
    guesses = []
    monkeypatch.setattr(train, "pace_of", lambda kind, guess: guesses.append(guess) or pace.Pace(guess))
    for dtype, batch in (("float32", 10), ("float64", 10), ("float64", 5)):
        fm.MLP([4, 8, 1], dtype=dtype).fit(np.zeros((20, 4)), np.zeros(20), epochs=1, batch_size=batch)
    unit = 4.8e-10 * 49  # seconds times numbers in a vector for each row
    assert guesses == pytest.approx([10 * unit / LANES32, 10 * unit / LANES64, 5 * unit / LANES64])


def test_several_threads_may_take_little_longer_than_what_is_known_of_a_step() -> None:
    kind = pace.Pace(guess=1e-3)
    assert kind.budget(1, 1000) == 0.0
    assert 1.0 < kind.budget(2, 1000) < 4.0
    for n, seconds in ((2, 9.0), (2, 1.0), (1, 0.5)):
        kind.took(n, 1000, seconds)
    assert 0.5 < kind.budget(2, 1000) < 2.0


def test_a_waiting_thread_leaves_its_core_to_others(any_threads) -> None:
    """Two threads on cores that others use all the time get done, as they would not if they only spun."""
    fm.set_threads(2)
    stop = threading.Event()
    hogs = [threading.Thread(target=lambda: [None for _ in iter(stop.is_set, True)]) for _ in range(2)]
    for hog in hogs:
        hog.start()
    try:
        rng = np.random.default_rng(0)
        net = fm.MLP([64, 200, 10], output="softmax")
        began = time.monotonic()
        history = net.fit(rng.normal(size=(512, 64)), rng.integers(0, 10, 512), epochs=2)
        assert len(history) == 2
        assert time.monotonic() - began < 60
    finally:
        stop.set()
        for hog in hogs:
            hog.join()


def test_ctrl_c_ends_a_call_that_takes_seconds(any_threads) -> None:
    """A full batch whose single step takes longer than anybody wants to wait is left at once."""
    script = """
import numpy as np, os, signal, threading, time
import fastmlp as fm
net = fm.MLP([100, 2000, 2000, 1])
X, y = np.ones((20_000, 100), "f4"), np.ones(20_000, "f4")
net.fit(X[:2], y[:2], epochs=1)
kicked = []
def kick():
    kicked.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)
threading.Timer(1.0, kick).start()
try:
    net.fit(X, y, batch_size=None, epochs=1000)
except KeyboardInterrupt:
    late = time.monotonic() - kicked[0]
again = net.predict(X[:1])
print(net.history.stopped, np.isfinite(again).all(), late)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    stopped, finite, late = done.stdout.split()
    assert (stopped, finite) == ("interrupted", "True")
    assert float(late) < 30


@pytest.mark.parametrize(("rows", "clip_norm"), [(50, 0.0), (200, 0.0), (200, 1.0)], ids=["units", "rows", "clipped"])
def test_a_thread_that_is_sent_away_from_a_barrier_does_not_follow_sparse_rows_of_others(rows, clip_norm, any_threads) -> None:
    """They may not be gathered yet, and what lies in their place names weights that there are not."""
    script = f"""
import threading, time
import numpy as np
from fastmlp.kernels import minibatch, run, threads, train
import fastmlp as fm
from fastmlp.reference import ids
net = fm.MLP([3000, 130, 3], output="softmax")
state = net._state
state.use(fm.SGD(0.01))
state.ints[ids.BATCH], state.reals[ids.CLIP_NORM] = {rows}, {clip_norm}
threads.set_threads(2)
x = np.tile(np.array([2, 0, 1, 2999, 1], "f4"), ({rows}, 1))
nothing = np.zeros((1, 1), "f4")
data = x, np.zeros(({rows}, 1), "f4"), np.zeros(0, "f4"), np.zeros(0, np.int64)
how = minibatch.TRAIN, net.plan.table, state.ints, state.reals
job = *how, net.params, nothing, *data, np.full((1, 1), 1e-3), np.zeros(2), nothing
arena = np.zeros(train.arena_size(net.plan.table, {rows}, 5), "f4")
run._run(*job, arena, 0, 1, threads.sync_of_one())
# The second thread of two was at the barrier before the first step, and is not seen again.
arena[:] = 3e8
sync = np.zeros(threads.SYNC_SIZE, np.int64)
sync[threads._COUNT] = 1
first = threading.Thread(target=run._run, args=(*job, arena, 0, 2, sync))
first.start()
while sync[threads._COUNT] == 0 or sync[threads._GENERATION] == 0:
    time.sleep(0.01)
sync[threads.ABORT] = 1
first.join()
print("left")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "left\n", (done.returncode, done.stderr)


def test_a_second_interruption_does_not_leave_threads_at_work(monkeypatch) -> None:
    """They write to the parameters that the first one gives back."""
    ended = []

    class Pool:
        shutdowns = 0

        def submit(self, *args):
            raise KeyboardInterrupt("the first")

        def shutdown(self, wait):
            self.shutdowns += 1
            if self.shutdowns < 3:
                raise KeyboardInterrupt("another")
            ended.append(wait)

    monkeypatch.setattr(threads, "_pool", None)
    sync = np.zeros(threads.SYNC_SIZE, np.int64)
    with pytest.raises(KeyboardInterrupt, match="the first"):
        threads._run_all(Pool(), None, 2, True, (), sync)
    assert ended == [True]
    assert sync[threads.ABORT] == 1


needs_cores = pytest.mark.skipif(
    threads._core is None or len(os.sched_getaffinity(0)) < 2, reason="needs a system whose threads may choose among cores"
)


def on_its_own_thread(function, *args):
    """function(*args) on a thread that may change what cores it may use."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result()


@needs_cores
def test_a_thread_leaves_the_core_of_one_that_began_before(monkeypatch) -> None:
    def core() -> int:
        """The core that is taken, until the thread has said that it wants another."""
        return real_core() if wishes else where

    def wish(thread: int, cores: set[int]) -> None:
        wishes.append(cores)
        real_wish(thread, cores)

    real_core, real_wish, allowed = threads._core, os.sched_setaffinity, os.sched_getaffinity(0)
    monkeypatch.setattr(threads, "_core", core)
    monkeypatch.setattr(os, "sched_setaffinity", wish)
    for where in allowed:
        wishes, taken = [], {where}
        assert on_its_own_thread(threads._apart_from, taken, lambda: os.sched_getaffinity(0)) == allowed
        assert wishes == [allowed - {where}, allowed]
        assert len(taken) == 2


@needs_cores
def test_a_thread_stays_where_no_core_is_free_or_may_be_chosen(monkeypatch) -> None:
    def refuse(thread: int, cores: set[int]) -> None:
        refused.append(cores)
        raise OSError("no such core")

    refused: list[set[int]] = []
    allowed = os.sched_getaffinity(0)
    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    assert on_its_own_thread(threads._apart_from, set(allowed), lambda: "done") == "done"
    assert not refused
    monkeypatch.setattr(threads, "_core", lambda: min(allowed))
    assert on_its_own_thread(threads._apart_from, {min(allowed)}, lambda: "done") == "done"
    assert refused == [allowed - {min(allowed)}]


def test_threads_run_where_the_system_tells_nothing_of_cores(monkeypatch, any_threads) -> None:
    monkeypatch.setattr(threads, "_core", None)
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((64, 20)), rng.standard_normal((64, 3))
    trained = [
        trained_by(n, fm.MLP([20, 300, 3], seed=0), X.astype("f"), y.astype("f"), np.zeros(0, "f"), OPTIMIZERS[1], 16, 5, False)
        for n in (1, 2)
    ]
    assert (trained[0][0] == trained[1][0]).all()
