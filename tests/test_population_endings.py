"""What happens to a population between epochs, and what ends its training: to each network what would happen to it alone."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import fastmlp as fm
from tests.compiler import needs_compiler
from tests.populations import X, Y, trained_alone


def test_going_on_is_the_same_as_one_training(engine) -> None:
    whole, parts = (fm.Population([3, 6, 1], size=5) for _ in range(2))
    whole.fit(X, Y, epochs=6, batch_size=16)
    parts.fit(X, Y, epochs=2, batch_size=16)
    parts.fit(X, Y, epochs=4, batch_size=16)
    np.testing.assert_array_equal(whole.params, parts.params)
    np.testing.assert_array_equal(whole.history.loss, parts.history.loss)
    net = parts[3]
    net.fit(X, Y, epochs=2, batch_size=16)
    whole.fit(X, Y, epochs=2, batch_size=16)
    np.testing.assert_allclose(whole.params[3], net.params, rtol=1e-4, atol=1e-5)
    assert len(net.history) == 8


def test_a_network_that_diverges_leaves_the_others_alone(engine) -> None:
    rates = np.full(20, 0.01)
    calm = fm.Population([3, 6, 1], size=20)
    calm.fit(X, Y, epochs=8, batch_size=16, optimizer=fm.SGD(rates))
    rates[[3, 11]] = 1e30
    wild = fm.Population([3, 6, 1], size=20)
    with pytest.warns(fm.DivergenceWarning, match=r"2 of 20 networks diverged: 3, 11\. .* learning rate of 1e\+30"):
        history = wild.fit(X, Y, epochs=8, batch_size=16, optimizer=fm.SGD(rates))
    others = np.setdiff1d(np.arange(20), [3, 11])
    np.testing.assert_array_equal(wild.params[others], calm.params[others])
    np.testing.assert_array_equal(history.loss[:, others], calm.history.loss[:, others])
    assert [history.stopped[i] for i in (3, 4, 11)] == ["diverged", "epochs", "diverged"]
    assert np.isfinite(wild.params).all()
    np.testing.assert_array_equal(wild.params[3], fm.Population([3, 6, 1], size=20).params[3])
    assert len(wild[3].history) == 0
    with pytest.raises(fm.DivergenceError, match="2 of 20 networks diverged"):
        fm.Population([3, 6, 1], size=20).fit(X, Y, epochs=2, optimizer=fm.SGD(rates), on_divergence="raise")


def test_early_stopping_is_each_networks_own(engine) -> None:
    stopping = fm.EarlyStopping("val_loss", patience=1)
    population = fm.Population([3, 6, 1], size=18, dtype="float64")
    expected = [
        trained_alone(population, i, fm.SGD(0.5), epochs=30, validation=(X[:20], Y[:20]), early_stopping=stopping)
        for i in range(18)
    ]
    history = population.fit(
        X, Y, epochs=30, optimizer=fm.SGD(0.5), validation=(X[:20], Y[:20]), early_stopping=stopping, metrics=["r2"]
    )
    assert {"early stopping"} < {*history.stopped, "epochs"}
    for i, net in enumerate(expected):
        assert history.stopped[i] == net.history.stopped
        assert history[i].best_epoch == net.history.best_epoch
        np.testing.assert_allclose(history[i].val_loss, net.history.val_loss, rtol=1e-9)
        np.testing.assert_allclose(population.params[i], net.params, rtol=1e-9, atol=1e-9)
    assert len(history[0].metrics["val_r2"]) == len(history[0])


@pytest.mark.parametrize("answer", [[0, 1, 0], [None, True, False], np.array([0, 2, 0]), (False, np.True_, False)])
def test_a_callback_answers_for_each_network_with_anything_that_is_true_or_false(answer) -> None:
    class Stop(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            return answer

    history = fm.Population([3, 6, 1], size=3).fit(X, Y, epochs=2, callbacks=[Stop()])
    assert history.stopped == ["epochs", "callback", "epochs"]


def test_callbacks_stop_all_or_some(engine) -> None:
    class Stop(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            assert logs["loss"].shape == (3,)
            return np.array([epoch == 1, False, epoch == 3])

    history = fm.Population([3, 6, 1], size=3).fit(X, Y, epochs=6, callbacks=[Stop()])
    assert history.stopped == ["callback", "epochs", "callback"]
    assert [len(history[i]) for i in range(3)] == [2, 6, 4]


RATES = {
    "one": fm.SGD(0.01),
    "each": fm.SGD([0.01, 0.02, 0.03]),
    "schedule": fm.SGD(fm.schedules.Cosine(0.02)),
    "plateau": fm.SGD(fm.schedules.ReduceOnPlateau(0.1, patience=1, factor=0.1, min_delta=0.005, monitor="loss")),
}


@pytest.mark.parametrize("name", RATES)
def test_callbacks_are_told_each_networks_rate(name) -> None:
    class Note(fm.Callback):
        def __init__(self):
            self.rates = []

        def on_epoch_end(self, net, epoch, logs):
            self.rates.append(logs["lr"])
            return np.array([epoch == 4, False, False])

    note, population = Note(), fm.Population([3, 6, 1], size=3, dtype="float64")
    expected = [trained_alone(population, i, RATES[name].each(3)[i], epochs=8).history.lr for i in range(3)]
    population.fit(X, Y, epochs=8, optimizer=RATES[name], callbacks=[note])
    rates = np.array(note.rates)
    assert np.isnan(rates[5:, 0]).all()
    rates[5:, 0] = expected[0][5:]
    np.testing.assert_allclose(rates, np.transpose(expected), rtol=1e-12)


def test_plateau_is_each_networks_own(engine) -> None:
    optimizer = fm.SGD(fm.schedules.ReduceOnPlateau(0.1, patience=1, factor=0.1, min_delta=0.005, monitor="loss"))
    population = fm.Population([3, 6, 1], size=4, dtype="float64")
    expected = [trained_alone(population, i, optimizer, epochs=12) for i in range(4)]
    population.fit(X, Y, epochs=12, optimizer=optimizer)
    for i, net in enumerate(expected):
        np.testing.assert_allclose(population.params[i], net.params, rtol=1e-9, atol=1e-9)


def test_a_divergence_is_told_with_the_rate_that_a_plateau_had_left() -> None:
    class Ruin(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            if epoch == 1:
                net.params[0] = np.inf

    optimizer = fm.SGD(fm.schedules.ReduceOnPlateau(0.1, patience=1, factor=0.1, min_delta=9.0, monitor="loss"))
    with pytest.warns(fm.DivergenceWarning, match=r"in epoch 2 of this fit, at a learning rate of 0\.01\. .* Try 0\.001"):
        fm.Population([3, 6, 1], size=2).fit(X, Y, epochs=6, optimizer=optimizer, callbacks=[Ruin()])


def test_an_interruption_leaves_networks_as_after_a_whole_epoch(engine) -> None:
    class Interrupt(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            if epoch == 2:
                raise KeyboardInterrupt("in the third epoch")

    population, expected = (fm.Population([3, 6, 1], size=5) for _ in range(2))
    with pytest.raises(KeyboardInterrupt, match="the third epoch"):
        population.fit(X, Y, epochs=9, callbacks=[Interrupt()])
    expected.fit(X, Y, epochs=3)
    np.testing.assert_array_equal(population.params, expected.params)
    assert population.history.stopped == ["interrupted"] * 5
    assert len(population.history.loss) == 3
    for each in (population, expected):
        each.fit(X, Y, epochs=1)
    np.testing.assert_array_equal(population.params, expected.params)


INTERRUPTED = """
import os, signal, threading, time
import numpy as np
import fastmlp as fm

X = np.random.default_rng(0).normal(size=(1_500_000, 2)).astype(np.float32)
population = fm.Population([2, 16, 16, 1], size=64, activation="tanh")
population.fit(X[:1000], X[:1000, :1], epochs=1, batch_size=8)  # compiles all that the next one needs
before, sent = population.params.copy(), []


def send():
    time.sleep(0.3)
    sent.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)


threading.Thread(target=send).start()
try:
    population.fit(X, X[:, :1], epochs=1000, batch_size=8)  # an epoch takes more than a second
except KeyboardInterrupt:
    print(time.perf_counter() - sent[0], (population.params == before).all(), population.history.stopped[0])
"""


@needs_compiler
def test_ctrl_c_does_not_wait_for_the_end_of_an_epoch() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    latency, same, stopped = done.stdout.split()
    print(f"\n{1000 * float(latency):.0f} ms")
    assert (same, stopped) == ("True", "interrupted")
