"""A Ctrl-C at each line in turn: whichever it comes to, a network is what it was after a whole epoch, and free for others."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import trainer, training

X = np.linspace(-1, 1, 24).reshape(12, 2)
Y = np.sin(3 * X[:, :1])


@pytest.fixture(autouse=True)
def plain_engine() -> Iterator[None]:
    fm.use_engine("numpy")
    yield
    fm.use_engine()


def interrupted_at(number: int, module, call: Callable[[], object]) -> bool:
    """Make a call, with a KeyboardInterrupt at the line of a module that is reached as this number; whether it came to that."""
    lines = itertools.count()

    def at_line(frame, event, argument):
        if event == "line" and next(lines) == number:
            raise KeyboardInterrupt
        return at_line

    def at_call(frame, event, argument):
        return at_line if frame.f_code.co_filename == module.__file__ else None

    before = sys.gettrace()
    sys.settrace(at_call)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


class Seen(fm.Callback):
    """Keeps the parameters after each epoch by the losses up to then, and may reset the network after the second."""

    def __init__(self, resets: bool = False) -> None:
        self.after, self.resets = {}, resets

    def on_train_begin(self, net):
        self.after[()] = net.params.copy()

    def on_epoch_end(self, net, epoch, logs):
        self.after[tuple(net.history.loss)] = net.params.copy()
        if self.resets and epoch == 1:
            self.resets = False
            net.reset()


class Rising(fm.schedules.Schedule):
    """Too high after some steps."""

    def rates(self, steps, span):
        return np.where(steps < 4, self.lr, 30 * self.lr)


def fit(net: fm.MLP, resets: bool = False, **given) -> Seen:
    """Train; returns what was seen."""
    seen = Seen(resets)
    net.fit(X, Y, callbacks=seen, **given)
    return seen


def trained_elsewhere(net: fm.MLP) -> fm.History:
    """Train it in another thread."""
    found = []
    thread = threading.Thread(target=lambda: found.append(net.fit(X, Y, epochs=1)))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("way", ["fit", "step", "population"])
def test_what_was_interrupted_may_be_trained_in_another_thread(way) -> None:
    for number in itertools.count():
        net = fm.Population([2, 3, 1], size=2) if way == "population" else fm.MLP([2, 3, 1])
        call = (lambda net=net: net.fit(X, Y, epochs=1)) if way != "step" else (lambda net=net: net.step("sgd"))
        came = interrupted_at(number, trainer, call)
        assert len(trained_elsewhere(net)) > 0
        if not came:
            break
    assert number > 5


def networks(**given) -> Iterator[tuple[fm.MLP, Seen]]:
    """Networks whose training is interrupted ever later, up to one that is not, and what is seen of that."""
    seen = fit(fm.MLP([2, 3, 1], activation="tanh", dtype="float64"), **given)
    for number in itertools.count():
        net = fm.MLP([2, 3, 1], activation="tanh", dtype="float64")
        came = interrupted_at(number, training, lambda net=net: fit(net, **given))
        yield net, seen
        if not came:
            break
    assert number > 100


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_parameters_belong_to_the_last_epoch_of_the_history(optimizer, resets) -> None:
    for net, seen in networks(epochs=4, optimizer=optimizer, resets=resets):
        losses = () if net.history is None else tuple(net.history.loss)
        np.testing.assert_array_equal(net.params, seen.after[losses])


def test_the_best_epoch_comes_back() -> None:
    stopping = fm.EarlyStopping(patience=2, monitor="loss")
    for net, seen in networks(epochs=20, optimizer=fm.SGD(Rising(0.1)), batch_size=None, early_stopping=stopping):
        if net.history is not None and net.history.best_epoch is not None:
            best = tuple(net.history.loss[: net.history.best_epoch + 1])
            np.testing.assert_array_equal(net.params, seen.after[best])
    assert net.history.stopped == "early stopping"
    assert 0 < net.history.best_epoch < len(net.history) - 1


def test_a_training_within_one_that_was_left_behind_ends_as_usual() -> None:
    """The one left behind lives as long as its traceback, or as whoever counts on it."""
    net = fm.MLP([2, 3, 1])
    left_behind = trainer.TrainedHere(net)
    left_behind.__enter__()
    outer = trainer.TrainedHere(net)
    with outer:
        del left_behind
        with trainer.TrainedHere(net):
            pass
        refused = []

        def attempt() -> None:
            try:
                net.fit(X, Y, epochs=1)
            except RuntimeError as error:
                refused.append(str(error))

        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
        assert len(refused) == 1
    assert len(trained_elsewhere(net)) == 1


def test_the_best_epoch_comes_back_where_an_interruption_takes_a_reset_back() -> None:
    stopping = fm.EarlyStopping(patience=9, monitor="loss")
    for net, seen in networks(epochs=6, optimizer=fm.SGD(Rising(0.1)), batch_size=None, early_stopping=stopping, resets=True):
        if net.history is not None and net.history.best_epoch is not None:
            best = tuple(net.history.loss[: net.history.best_epoch + 1])
            np.testing.assert_array_equal(net.params, seen.after[best])
