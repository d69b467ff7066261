"""One network, or population, and several threads: one of them trains it, and the others are told."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import numpy as np
import pytest

import fastmlp as fm
from fastmlp.reference import ids
from tests.problems import classes, classifier
from tests.processes import run

X, Y = classes(60)


class Pause:
    """A callback that waits after the first epoch until it may go on."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def on_epoch_end(self, net, epoch, logs) -> None:
        self.begun.set()
        assert self.go_on.wait(300)


def while_training(train: Callable[[list], object], meanwhile: Callable[[], None]) -> None:
    """train(callbacks) in another thread, and meanwhile() while that is going on."""
    pause = Pause()
    thread = threading.Thread(target=train, args=([pause],))
    thread.start()
    try:
        assert pause.begun.wait(300)
        meanwhile()
    finally:
        pause.go_on.set()
        thread.join()


ELSEWHERE = {
    "fit": lambda net: net.fit(X[:20], Y[:20], batch_size=7, optimizer="sgd"),
    "L-BFGS": lambda net: net.fit(X, Y, optimizer=fm.LBFGS()),
    "no epoch": lambda net: net.fit(X, Y, epochs=0),
    "step": lambda net: net.step("sgd"),
    "reset": lambda net: net.reset(),
}


@pytest.mark.parametrize("what", ELSEWHERE)
@pytest.mark.parametrize("optimizer", ["adam", fm.LBFGS()], ids=["adam", "lbfgs"])
def test_a_network_that_another_thread_trains_says_so(what, optimizer, engine) -> None:
    net, alone = classifier(seed=1), classifier(seed=1)

    def meanwhile() -> None:
        with pytest.raises(RuntimeError, match=r"^this network is being trained in another thread\. .* net\.copy\(\),"):
            ELSEWHERE[what](net)

    def fit(net: fm.MLP, callbacks: list) -> None:
        net.fit(X, Y, epochs=4, batch_size=20, optimizer=optimizer, callbacks=callbacks)

    while_training(lambda callbacks: fit(net, callbacks), meanwhile)
    fit(alone, [])
    assert (net.params == alone.params).all()
    assert net.history.loss == alone.history.loss
    ELSEWHERE[what](net)  # now it may


def test_a_population_that_another_thread_trains_says_so(engine) -> None:
    population, alone = (fm.Population([4, 5, 3], size=3, output="softmax") for _ in range(2))

    def meanwhile() -> None:
        with pytest.raises(RuntimeError, match=r"this population is being trained in another .* population\.copy\(\)"):
            population.fit(X[:20], Y[:20], optimizer="sgd")
        population[0].fit(X, Y, epochs=1)

    while_training(lambda callbacks: population.fit(X, Y, epochs=3, callbacks=callbacks), meanwhile)
    alone.fit(X, Y, epochs=3)
    assert (population.params == alone.params).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_an_estimator_that_another_thread_fits_says_so(solver) -> None:
    est, pause = fm.MLPClassifier((5,), max_iter=3, warm_start=True, solver=solver), Pause()
    est.fit(X, Y)
    est.callbacks = [pause]

    def meanwhile() -> None:
        with pytest.raises(RuntimeError, match="this network is being trained in another thread"):
            est.fit(X, Y)

    thread = threading.Thread(target=est.fit, args=(X, Y))
    thread.start()
    assert pause.begun.wait(300)
    meanwhile()
    pause.go_on.set()
    thread.join()
    assert est.n_iter_ == 3


def test_of_many_threads_that_fit_one_network_each_trains_it_whole_or_says_so(any_threads) -> None:
    fm.set_threads(2)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 20)), rng.normal(size=300)
    net, said = fm.MLP([20, 256, 256, 1]), []

    def fit() -> None:
        for _ in range(5):
            try:
                net.fit(X, y, epochs=2)
            except RuntimeError as error:
                said.append(str(error))

    threads = [threading.Thread(target=fit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(net.history) == 2 * (20 - len(said))
    assert net._state.ints[ids.STEP] == 5 * len(net.history)


def test_a_callback_may_train_and_step_and_another_thread_may_train_a_copy(engine) -> None:
    net = classifier()

    class Within(fm.Callback):
        def on_epoch_end(self, net, epoch, logs) -> None:
            if len(net.history) < 3:
                net.fit(X, Y, epochs=1, optimizer="sgd")
                net.backward(X, Y)
                net.step("adam")

    def meanwhile() -> None:
        assert len(net.copy().fit(X[:10], Y[:10], epochs=2)) >= 2

    while_training(lambda callbacks: net.fit(X, Y, epochs=2, callbacks=[Within(), *callbacks]), meanwhile)
    net.fit(X, Y, epochs=1)


def test_a_network_copied_amid_an_epoch_begins_with_a_whole_one(engine) -> None:
    """As another thread may copy it: it has counted rows that fewer rows do not reach."""
    copies, whole = [classifier(dropout=0.0) for _ in range(2)], classifier(dropout=0.0)
    for net in copies:
        net._state.ints[ids.ROW] = 50
    whole.fit(X[:20], Y[:20], epochs=2)
    copies[0].fit(X[:20], Y[:20], epochs=2)
    assert (copies[0].params == whole.params).all()
    population = fm.Population.of([copies[1]])
    history = population.fit(X[:20], Y[:20], epochs=2, shuffle="each")
    np.testing.assert_allclose(history.loss[:, 0], whole.history.loss, rtol=1e-5)


def test_a_failed_training_lets_other_threads_train() -> None:
    net, trained = classifier(), []

    class Fail(fm.Callback):
        def on_epoch_end(self, net, epoch, logs) -> None:
            raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        net.fit(X, Y, callbacks=[Fail()])
    thread = threading.Thread(target=lambda: trained.append(net.fit(X, Y, epochs=1)))
    thread.start()
    thread.join()
    assert trained


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_process_that_was_forked_while_another_thread_trains_may_train_too() -> None:
    script = """
import os, signal, threading, numpy as np, fastmlp as fm

X = np.random.default_rng(0).normal(size=(200, 5))
net = fm.MLP([5, 8, 1])
begun, go_on = threading.Event(), threading.Event()

class Pause(fm.Callback):
    def on_epoch_end(self, net, epoch, logs):
        begun.set()
        go_on.wait(300)

thread = threading.Thread(target=lambda: net.fit(X, X[:, 0], epochs=3, callbacks=[Pause()]))
thread.start()
begun.wait(300)
child = os.fork()
if child == 0:
    signal.alarm(300)
    net.copy().fit(X[:50], X[:50, 0], epochs=2)
    net.fit(X[:50], X[:50, 0], epochs=2)
    os._exit(0)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
go_on.set()
thread.join()
print(status, len(net.history))
"""
    assert run(script) == "0 3"
