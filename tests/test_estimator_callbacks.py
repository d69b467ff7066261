"""Whom the estimators tell of each epoch: fastmlp's callbacks and scikit-learn's, and progress bars."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import fastmlp as fm
from tests.estimators import quick

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_callbacks_of_fastmlp(solver, iris) -> None:
    class Stop(fm.Callback):
        epochs = 0

        def on_epoch_end(self, net, epoch, logs):
            self.epochs += 1
            return self.epochs == 5

    for single in (False, True):
        stop = Stop()
        fitted = quick(callbacks=stop if single else [stop], solver=solver).fit(*iris)
        assert stop.epochs == fitted.n_iter_ == 5


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_callbacks_may_have_some_of_the_methods_only(solver, iris) -> None:
    heard = []

    class Begin:
        def on_train_begin(self, net):
            heard.append(("begin", net))

    class End:
        def on_train_end(self, net, history):
            heard.append((history.stopped, net))

    fitted = quick(callbacks=[Begin(), End()], solver=solver, max_iter=3).fit(*iris)
    assert heard == [("begin", fitted.network_), ("epochs", fitted.network_)]
    for wrong, message in (([5], "a callback must have one of the methods .*; got 5"), (End, "must be an instance")):
        with pytest.raises(TypeError, match=message):
            quick(callbacks=wrong, solver=solver).fit(*iris)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_callbacks_of_scikit_learn(solver, iris) -> None:
    pytest.importorskip("sklearn.callback", reason="scikit-learn has it from 1.9 on")
    events, weight = [], np.ones(150)

    class Recorder:
        def setup(self, estimator, context):
            events.append("setup")

        def on_fit_task_begin(self, estimator, context, *, metadata):
            assert metadata["sample_weight"] is weight
            events.append(f"begin {context.task_name}")

        def on_fit_task_end(self, estimator, context, *, X, fitted_estimator):
            events.append(f"end {context.task_name}")
            assert fitted_estimator.predict(X).shape == (150,)
            assert not np.shares_memory(fitted_estimator.coefs_[0], estimator.coefs_[0])
            return context.task_name == "iteration" and events.count("end iteration") == 3

        def teardown(self, estimator, context):
            events.append("teardown")

    fitted = quick(solver=solver).set_callbacks(Recorder()).fit(*iris, weight)
    assert fitted.n_iter_ == 3
    assert events == ["setup", "begin fit", *["begin iteration", "end iteration"] * 3, "end fit", "teardown"]


def test_progress_bar(iris, capfd) -> None:
    quick(max_iter=2, progress=True).fit(*iris)
    assert "epoch 2/2" in capfd.readouterr().err


def test_progress_bar_of_scikit_learn(iris, capsys) -> None:
    callback = pytest.importorskip("sklearn.callback", reason="scikit-learn has it from 1.9 on")
    quick(max_iter=3).set_callbacks(callback.ProgressBar()).fit(*iris)
    assert "MLPClassifier - fit" in capsys.readouterr().out


def test_callbacks_of_scikit_learn_hear_of_as_many_iterations_as_an_l_bfgs_of_its_own_has(iris, capsys) -> None:
    callback = pytest.importorskip("sklearn.callback", reason="scikit-learn has it from 1.9 on")
    fitted = quick(max_iter=2, solver=fm.LBFGS(max_iter=5)).set_callbacks(callback.ProgressBar()).fit(*iris)
    assert fitted.n_iter_ == 5
    assert "MLPClassifier - fit" in capsys.readouterr().out


def test_callbacks_of_scikit_learn_see_the_data_as_they_were_given(iris) -> None:
    pytest.importorskip("sklearn.callback", reason="scikit-learn has it from 1.9 on")
    frame, names = pd.DataFrame(iris[0], columns=list("abcd")), np.array(["x", "y", "z"])[iris[1]]
    seen = []

    class Scoring:
        def setup(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
            seen.append(X is frame and y is names and fitted_estimator.score(X, y) > 0.0)

        def teardown(self, estimator, context):
            pass

    quick(max_iter=2).set_callbacks(Scoring()).fit(frame, names)
    assert seen == [True] * 3


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_epochs_are_numbered_through_where_training_goes_on(solver, iris) -> None:
    numbers = []

    class Numbers:
        def on_epoch_end(self, net, epoch, logs):
            numbers.append(epoch)

    fitted = quick(solver=solver, max_iter=3, warm_start=True, callbacks=Numbers())
    for _ in range(2):
        fitted.set_params(callbacks=fitted.callbacks).fit(*iris)
    assert numbers == list(range(6))


def test_a_search_asks_for_many_epochs_at_once_unless_somebody_looks_at_each(iris, monkeypatch) -> None:
    """scikit-learn's searches give every estimator a context for callbacks, whether there are any or not."""
    callback = pytest.importorskip("sklearn.callback", reason="scikit-learn has it from 1.9 on")
    from sklearn.model_selection import GridSearchCV

    from fastmlp import engine

    calls = []
    train_steps = engine.active().train_steps
    monkeypatch.setattr(engine.active(), "train_steps", lambda *args: calls.append(args) or train_steps(*args))
    search = GridSearchCV(quick(max_iter=8, n_iter_no_change=10), {"alpha": [0.1]}, cv=2)
    alone = search.fit(*iris).best_estimator_.loss_curve_
    fits = 3
    assert fits <= len(calls) < 8 * fits
    calls.clear()
    watched = search.set_callbacks(callback.ProgressBar()).fit(*iris).best_estimator_.loss_curve_
    assert len(calls) == 8 * fits
    assert watched == alone
