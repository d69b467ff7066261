"""What callbacks are told of an epoch is theirs: what they do to it changes nothing else."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import fastmlp as fm
from tests.problems import numbers, regressor


class Listen(fm.Callback):
    """Hears of each epoch and does nothing."""

    def on_epoch_end(self, net, epoch, logs):
        pass


class Spoil(fm.Callback):
    """Changes what it is told."""

    def on_epoch_end(self, net, epoch, logs):
        assert set(logs) == {"loss", "lr"}
        logs["loss"] *= 100.0 ** (epoch + 1)
        logs.pop("lr")


@pytest.mark.parametrize("make", [regressor, lambda: fm.Population([4, 6, 1], size=3)], ids=["network", "population"])
def test_what_a_callback_does_to_its_logs_changes_no_training(make, engine) -> None:
    X, y = numbers(30)
    stopping = fm.EarlyStopping("loss", patience=1)
    optimizer = fm.Adam(fm.schedules.ReduceOnPlateau(0.01, patience=1, monitor="loss"))
    expected, net = make(), make()
    for each, callbacks in ((expected, [Listen()]), (net, [Spoil(), Spoil()])):
        each.fit(X, y, epochs=5, optimizer=optimizer, early_stopping=stopping, callbacks=callbacks)
    np.testing.assert_array_equal(net.params, expected.params)
    np.testing.assert_array_equal(net.history.loss, expected.history.loss)
    assert net.history.stopped == expected.history.stopped


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_callbacks_of_an_estimator_are_told_one_by_one(solver) -> None:
    pytest.importorskip("sklearn")
    heard = []

    class Empty(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            heard.append(logs["loss"])
            logs.clear()

    X, y = numbers(30)
    options = {"hidden_layer_sizes": (4,), "solver": solver, "max_iter": 3, "tol": 0.0, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # three iterations are few
        fm.MLPRegressor(**options, callbacks=[Empty(), Empty()]).fit(X, y)
    assert heard[::2] == heard[1::2] != []
