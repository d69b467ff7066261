"""Epochs that are judged after a call of several are what they are one by one: curves, decisions, and what stays."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import fastmlp as fm
from fastmlp.estimators.judge import Judge
from fastmlp.estimators.rates import Policy
from fastmlp.estimators.stochastic import StochasticRun
from tests.problems import classes, classifier

pytestmark = pytest.mark.usefixtures("engine")


def epochs_of_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that each call of the engine adds its number of epochs to."""
    finished: list[int] = []
    call = fm.training.Run.call

    def counted(run: Any, steps: int) -> Any:
        result = call(run, steps)
        finished.append(result[0])
        return result

    monkeypatch.setattr("fastmlp.training.Run.call", counted)
    return finished


def both_ways(monkeypatch: pytest.MonkeyPatch, fit: Callable[[], Any], several: bool = True) -> tuple[Any, Any]:
    """Return what `fit` gives if each epoch is a call, and if as many go in one as may; checks that `several` do."""
    # However slow the machine, time does not make calls short.
    monkeypatch.setattr("fastmlp.training.FIRST_CALL_SECONDS", 1e9)
    monkeypatch.setattr("fastmlp.training.CALL_SECONDS", 1e9)
    finished = epochs_of_calls(monkeypatch)
    monkeypatch.setattr("fastmlp.training.MOST_JUDGED", 1)
    one = fit()
    assert max(finished) == 1
    monkeypatch.setattr("fastmlp.training.MOST_JUDGED", 64)
    finished.clear()
    many = fit()
    assert (max(finished) > 1) == several
    return one, many


def same(a: fm.MLP, b: fm.MLP) -> None:
    assert a.history.curves == b.history.curves
    assert (a.history.stopped, a.history.best_epoch) == (b.history.stopped, b.history.best_epoch)
    np.testing.assert_array_equal(a.params, b.params)
    np.testing.assert_array_equal(a._state.slots, b._state.slots)
    np.testing.assert_array_equal(a._state.ints, b._state.ints)


@pytest.mark.parametrize(
    "options",
    [
        {"validation": 0.3},
        {"metrics": ["accuracy"]},
        {"validation": 0.3, "metrics": ["accuracy"], "early_stopping": fm.EarlyStopping("val_accuracy", patience=4)},
        {"validation": 0.3, "early_stopping": fm.EarlyStopping(patience=2, restore_best=False), "batch_size": 7},
        {"validation": 0.3, "early_stopping": fm.EarlyStopping(patience=2)},
        {"early_stopping": fm.EarlyStopping("loss", patience=3, min_delta=0.01)},
        {"validation": 0.3, "optimizer": fm.Adam(fm.schedules.ReduceOnPlateau(0.3, patience=2))},
    ],
)
def test_curves_decisions_and_state_are_those_of_single_epochs(options, monkeypatch) -> None:
    X, y = classes(60)

    def fit() -> fm.MLP:
        net = classifier()
        net.fit(X, y, **{"epochs": 40, "batch_size": 16, "optimizer": fm.Adam(0.1)} | options)
        net.fit(X, y, epochs=1, batch_size=16, optimizer=fm.Adam(0.1))  # goes on from the same moments and shuffles
        return net

    same(*both_ways(monkeypatch, fit))


@pytest.mark.parametrize("scoring", [None, "loss"])
@pytest.mark.parametrize("held_out", ["a part", "rows of their own"])
def test_estimators_stop_where_single_epochs_stop(scoring, held_out, monkeypatch) -> None:
    X, y = classes(60)
    own = {} if held_out == "a part" else {"X_val": X[::3], "y_val": y[::3]}

    def fit() -> fm.MLPClassifier:
        estimator = fm.MLPClassifier(
            (8,), early_stopping=True, scoring=scoring, random_state=3, n_iter_no_change=4, learning_rate_init=0.05,
            max_iter=500,
        )  # fmt: skip
        return estimator.fit(X, y, **own)

    one, many = both_ways(monkeypatch, fit)
    for name in ("loss_curve_", "validation_scores_", "validation_loss_curve_", "n_iter_", "t_", "best_validation_score_"):
        assert getattr(one, name) == getattr(many, name)
    assert one.n_iter_ < 500
    same(one.network_, many.network_)


def test_rates_of_several_epochs_are_those_of_one_after_another() -> None:
    """To the last bit: NumPy's power of an array is not that of each of its numbers, in 2 of these."""
    policy, one = Policy("invscaling", 0.1, 0.5), []
    many = policy.rates(np.arange(300), 0, 20)
    for epoch in range(300):
        one.append(policy.rate)
        policy.epoch_over(20 * (epoch + 1))
    assert many.tolist() == one


def test_a_scorer_sees_the_estimator_after_each_epoch() -> None:
    """It may look at anything of the estimator, which must be as it was then."""
    X, y = classes(60)
    seen = []

    def scorer(estimator, X, y) -> float:
        seen.append((estimator.n_iter_, estimator.t_))
        return -float(estimator.n_iter_)

    estimator = fm.MLPClassifier((4,), early_stopping=True, scoring=scorer, n_iter_no_change=5, random_state=0).fit(X, y)
    assert seen == [(epoch + 1, 54 * (epoch + 1)) for epoch in range(estimator.n_iter_)]


def test_a_validation_loss_that_becomes_infinite_between_two_epochs_of_a_call(monkeypatch) -> None:
    """w doubles and changes its sign in each epoch; of inputs of 2^40 the square overflows 40 epochs before the training's."""

    def fit() -> fm.MLP:
        net = fm.MLP([1, (1, False)])
        net.params = [1.0]
        one = np.ones((1, 1), np.float32)
        with pytest.warns(fm.DivergenceWarning, match="in epoch 23: its validation loss .* after 23 epochs. .* rate was 1.5"):
            net.fit(
                one, 0 * one, epochs=50, optimizer=fm.SGD(1.5), validation=(2.0**40 * one, 0 * one),
                early_stopping=fm.EarlyStopping("loss", patience=50, restore_best=False),
            )  # fmt: skip
        return net

    one, many = both_ways(monkeypatch, fit)
    same(one, many)
    assert many.history.loss == [4.0**epoch for epoch in range(23)]
    assert many.history.stopped == "diverged"


def test_the_rate_that_went_wrong_is_that_of_its_epoch(monkeypatch) -> None:
    """Not of the last epoch that the call would have gone on to: the second step's loss is infinite."""

    def fit() -> str:
        one = np.ones((2, 1), np.float32)
        optimizer = fm.SGD(fm.schedules.Cosine(1e30))
        with pytest.warns(fm.DivergenceWarning, match="in epoch 0: .* The learning rate was") as caught:
            fm.MLP([1, 1]).fit(one, 2.0**20 * one, epochs=20, batch_size=1, optimizer=optimizer, validation=(one, one))
        return str(caught[0].message)

    one, many = both_ways(monkeypatch, fit, several=False)
    assert one == many


def test_as_many_epochs_go_in_a_call_as_are_judged_in_a_moment(monkeypatch) -> None:
    """Else a progress bar would stand still, and an interruption lose what has long been trained."""
    finished = epochs_of_calls(monkeypatch)
    monkeypatch.setattr("fastmlp.training.FIRST_CALL_SECONDS", 1e9)
    X, y = classes(60)
    # How long that is, the number of rows says before the first call.
    many = np.zeros((200_000, 1), np.float32)
    fm.MLP([1, 300, 1]).fit(X[:, :1], y, epochs=2, validation=(many, many))
    assert finished == [1, 1]
    finished.clear()

    def slow(*args: Any) -> float:
        time.sleep(0.2)
        return 1.0

    monkeypatch.setattr("fastmlp.training.MOST_JUDGED", 3)
    monkeypatch.setattr("fastmlp.training.loss", slow)
    classifier().fit(X, y, epochs=5, validation=0.3)
    assert finished == [3, 1, 1]


def test_an_interruption_while_epochs_are_judged_leaves_a_whole_epoch(monkeypatch) -> None:
    """Whether it comes while the network is judged or while what came of it is noted."""
    X, y = classes(60)
    monkeypatch.setattr("fastmlp.training.FIRST_CALL_SECONDS", 1e9)
    for method in ("_judge", "_ended"):
        for nth in (1, 5, 19):
            net, fresh, calls = classifier(), classifier(), []

            def interrupted(run: Any, *args: Any, nth=nth, calls=calls, whole=getattr(fm.training.Fit, method)) -> Any:
                calls.append(1)
                if len(calls) == nth:
                    raise KeyboardInterrupt("now")
                return whole(run, *args)

            stopping = fm.EarlyStopping("loss", patience=10, restore_best=False)
            with monkeypatch.context() as patch:
                patch.setattr(f"fastmlp.training.Fit.{method}", interrupted)
                with pytest.raises(KeyboardInterrupt, match="now"):
                    net.fit(X, y, epochs=40, validation=0.3, early_stopping=stopping)
            assert net.history.stopped == "interrupted"
            done = len(net.history)
            if done:
                fresh.fit(X, y, epochs=done, validation=0.3)
                assert fresh.history.loss == net.history.loss
                assert fresh.history.val_loss == net.history.val_loss
            np.testing.assert_array_equal(net.params, fresh.params)


@pytest.mark.parametrize("own", [True, False])
def test_an_interrupted_estimator_has_noted_each_epoch_of_its_network(own, monkeypatch) -> None:
    monkeypatch.setattr("fastmlp.training.FIRST_CALL_SECONDS", 1e9)
    X, y = classes(60)
    given: dict[str, Any] = {"X_val": X[::3], "y_val": y[::3]} if own else {}
    whole, calls = StochasticRun._epoch_over, []

    def interrupted(run: Any, epoch: int) -> bool:
        calls.append(epoch)
        if len(calls) == 3:
            raise KeyboardInterrupt("now")
        return whole(run, epoch)

    settings = {"random_state": 3, "solver": "sgd", "learning_rate": "invscaling", "n_iter_no_change": 50}
    estimator = fm.MLPClassifier((8,), **settings)
    with monkeypatch.context() as patch:
        patch.setattr(StochasticRun, "_epoch_over", interrupted)
        with pytest.warns(UserWarning, match="interrupted by user"):
            estimator.fit(X, y, **given)
    epochs = len(estimator.network_.history)
    assert epochs > 3
    with pytest.warns(ConvergenceWarning, match="Maximum iterations"):
        fresh = fm.MLPClassifier((8,), **settings, max_iter=epochs).fit(X, y, **given)
    for name in ("loss_curve_", "validation_loss_curve_", "n_iter_", "t_", "loss_", "best_loss_"):
        assert getattr(estimator, name) == getattr(fresh, name)
    np.testing.assert_array_equal(estimator.network_.params, fresh.network_.params)


@pytest.mark.parametrize("callbacks", [None, [fm.Callback()]])
@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize(("owner", "name"), [(fm.training.Fit, "_ended"), (StochasticRun, "_epoch_over"), (Judge, "score")])
def test_an_interrupted_estimator_that_stops_early_keeps_the_epochs_it_has_judged(
    owner, name, nth, callbacks, monkeypatch
) -> None:
    monkeypatch.setattr("fastmlp.training.FIRST_CALL_SECONDS", 1e9)
    X, y = classes(60)
    whole, calls = getattr(owner, name), []

    def interrupted(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == nth:
            raise KeyboardInterrupt("now")
        return whole(*given)

    settings = {"random_state": 3, "early_stopping": True, "n_iter_no_change": 50, "callbacks": callbacks}
    estimator = fm.MLPClassifier((8,), **settings)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupted)
        with pytest.warns(UserWarning, match="interrupted by user"):
            estimator.fit(X, y)
    epochs = nth if name == "_ended" else nth - 1
    found = [estimator.loss_curve_, estimator.validation_scores_, estimator.network_.history.loss]
    assert (estimator.n_iter_, *map(len, found)) == (epochs,) * 4
    assert estimator.network_.history.stopped == "interrupted"
    if epochs:
        with pytest.warns(ConvergenceWarning, match="Maximum iterations"):
            fresh = fm.MLPClassifier((8,), **settings, max_iter=epochs).fit(X, y)
        assert found == [fresh.loss_curve_, fresh.validation_scores_, fresh.network_.history.loss]
        np.testing.assert_array_equal(estimator.network_.params, fresh.network_.params)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_an_estimator_that_is_interrupted_at_once_has_noted_nothing(early_stopping, monkeypatch) -> None:
    X, y = classes(60)
    estimator = fm.MLPClassifier((8,), random_state=3, early_stopping=early_stopping, max_iter=4, warm_start=True)
    with pytest.warns(ConvergenceWarning, match="Maximum iterations"):
        estimator.fit(X, y)
    curve, params = list(estimator.loss_curve_), estimator.network_.params.copy()

    def interrupted(run: Any, steps: int) -> Any:
        raise KeyboardInterrupt("now")

    monkeypatch.setattr(StochasticRun, "call", interrupted)
    with pytest.warns(UserWarning, match="interrupted by user"):
        estimator.fit(X, y)
    assert (estimator.n_iter_, estimator.loss_curve_, len(estimator.network_.history)) == (0, curve, 4)
    np.testing.assert_array_equal(estimator.network_.params, params)


def interrupted_copy(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return a list; once something is in it, the next look at a network's parameters is interrupted."""
    armed: list[bool] = []
    params: Any = fm.MLP.params

    def look(net: fm.MLP) -> Any:
        if armed:
            armed.clear()
            raise KeyboardInterrupt("now")
        return params.fget(net)

    monkeypatch.setattr(fm.MLP, "params", property(look, params.fset))
    return armed


def test_an_interruption_while_the_best_parameters_are_copied_leaves_the_old_ones_and_their_epoch(monkeypatch) -> None:
    X, y = classes(60)
    net, fresh = classifier(), classifier()
    armed, improves, better = interrupted_copy(monkeypatch), fm.training.Best.improves, []

    def counted(best: Any, value: float) -> bool:
        found = improves(best, value)
        better.append(found)
        if sum(better) == 4:
            armed.append(True)
        return found

    with monkeypatch.context() as patch:
        patch.setattr("fastmlp.training.Best.improves", counted)
        with pytest.raises(KeyboardInterrupt, match="now"):
            net.fit(X, y, epochs=40, validation=0.3, early_stopping=fm.EarlyStopping("loss"))
    fresh.fit(X, y, epochs=net.history.best_epoch + 1, validation=0.3)
    assert sum(better[: len(fresh.history)]) == 3
    np.testing.assert_array_equal(net.params, fresh.params)


def test_so_it_does_for_an_estimator_and_its_best_score(monkeypatch) -> None:
    X, y = classes(60)
    armed, score, better = interrupted_copy(monkeypatch), Judge.score, []

    def counted(judge: Judge, estimator: fm.MLPClassifier) -> float:
        value = score(judge, estimator)
        better.append(value > estimator.best_validation_score_)
        if sum(better) == 3 and better[-1]:
            armed.append(True)
        return value

    monkeypatch.setattr(Judge, "score", counted)
    estimator = fm.MLPClassifier((8,), early_stopping=True, random_state=3, learning_rate_init=0.05)
    with pytest.warns(UserWarning, match="interrupted by user"):
        estimator.fit(X, y, X_val=X[::2], y_val=y[::2])
    assert sum(better) == 3
    assert estimator.score(X[::2], y[::2]) == estimator.best_validation_score_


def test_the_network_has_its_own_parameters_again_after_epochs_were_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where judging them fails: then it goes back to what it was before the call."""
    monkeypatch.setattr("fastmlp.training.FIRST_CALL_SECONDS", 1e9)
    X, y = classes()
    net = fm.MLP([X.shape[1], 8, int(y.max()) + 1], output="softmax", seed=0)
    own, finished, judged = net.params, epochs_of_calls(monkeypatch), []
    before, loss = own.copy(), fm.training.loss

    def fails(net: fm.MLP, *rest: Any) -> float:
        judged.append(net.params is own)
        if len(judged) == 5:
            raise RuntimeError("no memory")
        return loss(net, *rest)

    monkeypatch.setattr("fastmlp.training.loss", fails)
    with pytest.raises(RuntimeError, match="no memory"):
        net.fit(X, y, epochs=6, validation=0.2, progress=False)
    assert finished == [6]
    assert judged == 5 * [False]
    assert net.params is own
    np.testing.assert_array_equal(own, before)
    monkeypatch.setattr("fastmlp.training.loss", loss)
    net.fit(X, y, epochs=6, validation=0.2, progress=False)
    assert net.params is own
    assert np.shares_memory(net.weights[0], own)
