"""Callbacks that reset the network in the midst of a fit."""

from __future__ import annotations

import numpy as np
import pytest

import fastmlp as fm
from tests.problems import numbers, regressor


class Reset(fm.Callback):
    """Resets the network after some epoch of the fit, counted by itself: the network counts anew."""

    def __init__(self, after: int, then=lambda net: None, seed: int | None = None):
        self.after, self.then, self.seed, self.heard = after, then, seed, []

    def on_epoch_end(self, net, epoch, logs):
        self.heard.append(epoch)
        if len(self.heard) == self.after:
            net.reset(self.seed)
            return self.then(net)
        return None


@pytest.mark.parametrize("optimizer", [fm.Adam(0.02), fm.SGD(0.01, momentum=0.9), fm.Adam(fm.schedules.Step(0.02, every=2)),
                                       fm.LBFGS()], ids=["adam", "sgd", "step", "lbfgs"])  # fmt: skip
@pytest.mark.parametrize("seed", [None, 7])
def test_the_epochs_after_a_reset_in_a_callback_are_those_of_a_new_network(optimizer, seed, engine) -> None:
    X, y = numbers(50)
    options = {"batch_size": 16, "optimizer": optimizer, "validation": numbers(20, seed=1), "metrics": ["r2"]}
    reset, net = Reset(4, seed=seed), regressor(dropout=0.1)
    history = net.fit(X, y, epochs=10, callbacks=[reset], **options)
    fresh = regressor(dropout=0.1, seed=net.seed)
    expected = fresh.fit(X, y, epochs=6, **options)
    assert net.seed == (0 if seed is None else seed)
    assert net.history is history
    assert (history.curves, history.stopped) == (expected.curves, "epochs")
    assert reset.heard == [0, 1, 2, 3, 0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(net.params, fresh.params)
    for one in (net, fresh):
        one.fit(X, y, epochs=2, **options)
    np.testing.assert_array_equal(net.params, fresh.params)


def test_a_reset_before_the_first_epoch_forgets_what_was_trained_before(engine) -> None:
    class First(fm.Callback):
        def on_train_begin(self, net):
            net.reset()

    X, y = numbers(50)
    net, fresh = regressor(), regressor()
    before = net.fit(X, y, epochs=3)
    history = net.fit(X, y, epochs=2, callbacks=[First()])
    assert history.loss == fresh.fit(X, y, epochs=2).loss
    assert len(before) == 3
    np.testing.assert_array_equal(net.params, fresh.params)


def test_a_schedule_over_a_whole_fit_goes_on_after_a_reset(engine) -> None:
    X, y = numbers(50)
    rates = regressor().fit(X, y, epochs=8, optimizer=fm.Adam(fm.schedules.Cosine(0.01, warmup=5))).lr
    history = regressor().fit(X, y, epochs=8, optimizer=fm.Adam(fm.schedules.Cosine(0.01, warmup=5)), callbacks=Reset(5))
    assert history.lr == rates[5:]


def test_early_stopping_knows_only_of_epochs_after_the_reset(engine) -> None:
    X, y = numbers(40)
    options = {"validation": numbers(40, seed=1), "early_stopping": fm.EarlyStopping(patience=3), "optimizer": fm.Adam(0.02)}
    net, fresh = regressor(), regressor()
    history = net.fit(X, y, epochs=500, batch_size=5, callbacks=[Reset(2, lambda net: net.fit(X, y, epochs=1) and None)],
                      **options)  # fmt: skip
    fresh.fit(X, y, epochs=1)
    expected = fresh.fit(X, y, epochs=498, batch_size=5, **options)
    assert history.stopped == expected.stopped == "early stopping"
    assert history.best_epoch == expected.best_epoch
    assert history.loss == expected.loss
    np.testing.assert_array_equal(net.params, fresh.params)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_callback_may_reset_the_network_and_end_the_training(optimizer, engine) -> None:
    net = regressor()
    history = net.fit(*numbers(30), epochs=5, optimizer=optimizer, callbacks=[Reset(2, lambda net: True)])
    assert (len(history), history.stopped) == (0, "callback")
    assert net.history is history
    np.testing.assert_array_equal(net.params, regressor().params)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_reset_in_a_callback_that_fails_is_taken_back(optimizer, engine) -> None:
    def fail(net):
        raise KeyError("mine")

    X, y = numbers(30)
    net, fresh = regressor(), regressor()
    with pytest.raises(KeyError, match="mine"):
        net.fit(X, y, epochs=5, optimizer=optimizer, callbacks=[Reset(2, fail, seed=5)])
    fresh.fit(X, y, epochs=2, optimizer=optimizer)
    assert (net.seed, net.history.loss, net.history.stopped) == (0, fresh.history.loss, "failed")
    for one in (net, fresh):
        one.fit(X, y, epochs=2, optimizer=optimizer)
    np.testing.assert_array_equal(net.params, fresh.params)


def test_an_estimator_goes_on_from_a_reset_in_a_callback_too() -> None:
    X, y = numbers(50)
    est = fm.MLPRegressor(hidden_layer_sizes=(8,), max_iter=6, n_iter_no_change=100, callbacks=[Reset(4)], random_state=0)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        est.fit(X, y)
    assert (est.n_iter_, len(est.loss_curve_), len(est.network_.history)) == (6, 6, 2)
    assert est.network_.history.loss[0] > est.network_.history.loss[1]


def test_an_estimators_lbfgs_says_that_a_reset_does_nothing() -> None:
    est = fm.MLPRegressor(hidden_layer_sizes=(8,), solver="lbfgs", callbacks=[Reset(2)], random_state=0)
    with pytest.raises(RuntimeError, match=r"a callback has reset the network, but an estimator's L-BFGS .* return True"):
        est.fit(*numbers(50))
