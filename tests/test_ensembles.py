"""Estimators of several networks: what ends them, what they go on with, and what is left of an earlier fit."""

from __future__ import annotations

import signal
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("sklearn")

from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError

import fastmlp as fm
from tests.estimators import quick, quick_numbers

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_iris(return_X_y=True)


class Interrupting(fm.Callback):
    """Sends a Ctrl-C in an epoch of the first network that gets there."""

    sent = threading.Event()

    def on_epoch_end(self, net, epoch, logs) -> None:
        if epoch >= 3 and not self.sent.is_set():
            self.sent.set()
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def interrupting():
    """A callback that interrupts once."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background may ignore it
    Interrupting.sent.clear()
    yield Interrupting()
    signal.signal(signal.SIGINT, before)


def test_its_networks_are_those_that_are_trained_alone() -> None:
    weight = np.arange(150) % 3 + 1.0
    given = {"sample_weight": weight, "X_val": X[::3], "y_val": y[::3], "sample_weight_val": weight[::3]}
    for member in quick(n_ensemble=3, early_stopping=True).fit(X, y, **given).estimators_:
        alone = quick(random_state=member.random_state, early_stopping=True).fit(X, y, **given)
        np.testing.assert_array_equal(member.network_.params, alone.network_.params)
        assert member.validation_scores_ == alone.validation_scores_


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
@pytest.mark.filterwarnings("ignore:Training interrupted by user")
def test_ctrl_c_ends_all_networks_where_one_follows_the_other(interrupting) -> None:
    fitted = quick(n_ensemble=3, callbacks=[interrupting])
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        fitted.fit(X, y)
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        fitted.predict(X)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
@pytest.mark.filterwarnings("ignore:Training interrupted by user")
def test_an_ensemble_that_went_on_is_what_its_networks_are_after_ctrl_c(interrupting) -> None:
    fitted = quick(n_ensemble=2, max_iter=5, warm_start=True).fit(X, y)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        fitted.set_params(callbacks=[interrupting]).fit(X, y)
    first, second = fitted.estimators_
    assert (first.t_, second.t_) == (6 * 150, 5 * 150)
    assert (fitted.t_, fitted.loss_) == (first.t_, first.loss_)
    np.testing.assert_array_equal(fitted.predict_proba(X), np.mean([m.predict_proba(X) for m in (first, second)], axis=0))
    before = fitted.loss_
    assert fitted.set_params(solver="lbfgs", callbacks=None).fit(X, y).loss_ < before  # which goes by no history


def test_a_refit_leaves_nothing_of_the_fit_before() -> None:
    frame = pd.DataFrame(X, columns=list("abcd"))
    fitted = quick(n_ensemble=2, max_iter=2).fit(frame, y)
    fitted.set_params(solver="lbfgs").fit(X[:, :2], y)
    assert fitted.n_features_in_ == 2
    assert {"feature_names_in_", "loss_curve_", "best_loss_"}.isdisjoint(vars(fitted))
    assert set(fitted.predict(frame[["a", "b"]].to_numpy())) <= {0, 1, 2}
    fitted.note_ = "the user's own"
    assert fitted.fit(frame, y).feature_names_in_.tolist() == list("abcd")


@pytest.mark.parametrize("go_on", ["fit", "partial_fit"])
def test_an_ensemble_cannot_go_on_as_one_network(go_on) -> None:
    fitted = quick(n_ensemble=3, max_iter=3, warm_start=True).fit(X, y).set_params(n_ensemble=1)
    with pytest.raises(ValueError, match="n_ensemble is 1 by now, but there are 3 networks to go on with"):
        getattr(fitted, go_on)(X, y)
    assert len(fitted.estimators_) == 3
    assert "estimators_" not in vars(fitted.set_params(warm_start=False).fit(X, y))


class Alone:
    """A callback of scikit-learn that knows whether it was called from two threads at once."""

    def __init__(self) -> None:
        self.lock, self.calls = threading.Lock(), 0

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        assert self.lock.acquire(blocking=False)
        time.sleep(0.001)
        self.calls += 1
        self.lock.release()

    def teardown(self, estimator, context):
        pass


@pytest.mark.parametrize("at_once", ["networks", "seeds"])
def test_callbacks_of_scikit_learn_are_called_one_after_the_other(at_once, monkeypatch) -> None:
    pytest.importorskip("sklearn.callback", reason="scikit-learn has it from 1.9 on")
    monkeypatch.setattr("fastmlp.engine.threads", lambda: 4)
    heard = Alone()
    if at_once == "networks":
        quick(n_ensemble=3, max_iter=5).set_callbacks(heard).fit(X, y)
    else:
        fm.cross_validate(quick(max_iter=5).set_callbacks(heard), X, y, cv=2, seeds=3)
    assert heard.calls >= 15


@pytest.mark.parametrize("before", [1, 2])
def test_another_number_of_networks_cannot_go_on(before) -> None:
    fitted = quick(n_ensemble=before, max_iter=3, warm_start=True).fit(X, y)
    expected = fitted.predict_proba(X)
    there = "there is 1 network" if before == 1 else "there are 2 networks"
    for go_on in (lambda: fitted.fit(X, y), lambda: fitted.partial_fit(X, y)):
        with pytest.raises(ValueError, match=f"n_ensemble is 3 by now, but {there} to go on with. Set it back, or fit anew"):
            fitted.set_params(n_ensemble=3) and go_on()
    np.testing.assert_array_equal(fitted.predict_proba(X), expected)
    assert len(fitted.set_params(warm_start=False).fit(X, y).estimators_) == 3


@pytest.mark.parametrize(("n_jobs", "share"), [(1, 0.25), (2, 0.5)])
def test_networks_that_follow_each_other_share_the_time(n_jobs, share, monkeypatch) -> None:
    monkeypatch.setattr("fastmlp.engine.threads", lambda: 2)
    fitted = quick_numbers(n_ensemble=4, n_jobs=n_jobs, max_iter=2, max_time=1.0).fit(X, y * 1.0)
    assert [member.max_time for member in fitted.estimators_] == [share] * 4
    assert fitted.max_time == 1.0
    fitted.set_params(max_time=None, warm_start=True).fit(X, y * 1.0)
    assert [member.max_time for member in fitted.estimators_] == [None] * 4


def test_an_ensemble_set_to_one_network_is_still_none_of_scikit_learns() -> None:
    fitted = quick(n_ensemble=2, max_iter=2).fit(X, y).set_params(n_ensemble=1)
    with pytest.raises(ValueError, match="n_ensemble=2, but scikit-learn's MLP is one network"):
        fm.to_sklearn(fitted)
