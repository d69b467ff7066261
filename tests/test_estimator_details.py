"""Estimators to the last detail: rates, scores and interruptions at the edges."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

import fastmlp as fm
from tests.problems import classes, numbers


def test_each_epoch_of_a_long_fit_has_its_own_rate_by_inverse_scaling() -> None:
    X, y = numbers(40)
    est = fm.MLPRegressor(
        hidden_layer_sizes=(8,),
        solver="sgd",
        learning_rate="invscaling",
        learning_rate_init=0.01,
        power_t=0.3,
        max_iter=40,
        batch_size=40,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        est.fit(X, y)
    rates = [0.01 / (epoch * 40 + 1.0) ** 0.3 for epoch in range(40)]
    np.testing.assert_allclose(est.network_.history.lr, rates, rtol=1e-13)


def test_without_tol_a_score_as_good_as_the_best_is_none_that_is_worse() -> None:
    X, y = classes(60)
    est = fm.MLPClassifier(
        hidden_layer_sizes=(3,),
        learning_rate_init=1e-12,
        max_iter=10,
        n_iter_no_change=2,
        tol=0.0,
        early_stopping=True,
        random_state=0,
    )
    with pytest.warns(UserWarning, match="Maximum iterations"):
        est.fit(X, y)
    assert est.n_iter_ == 10


def test_an_interruption_while_an_epoch_is_scored_leaves_curves_of_one_length() -> None:
    calls = []

    def score(est, X, y):
        calls.append(len(X))
        if len(calls) == 3:
            raise KeyboardInterrupt("now")
        return 0.1 * len(calls)

    est = fm.MLPRegressor(hidden_layer_sizes=(3,), max_iter=9, early_stopping=True, scoring=score, random_state=0)
    with pytest.warns(UserWarning, match="interrupted"):
        est.fit(*numbers(40))
    assert (len(est.loss_curve_), len(est.validation_loss_curve_), len(est.validation_scores_)) == (2, 2, 2)
    assert est.loss_ == est.loss_curve_[-1]


def test_an_interrupted_estimator_does_not_count_what_a_callback_trained(monkeypatch) -> None:
    checks = []

    def check():
        checks.append(1)
        if len(checks) == 4:  # one of each epoch, and that of the callback's fit
            raise KeyboardInterrupt("now")

    class Nested(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            if len(checks) == 2:
                net.fit(*numbers(40), epochs=1)

    monkeypatch.setattr("fastmlp.interruption.check", check)
    est = fm.MLPRegressor(hidden_layer_sizes=(3,), max_iter=9, callbacks=[Nested()], random_state=0)
    with pytest.warns(UserWarning, match="interrupted"):
        est.fit(*numbers(40))
    assert (est.n_iter_, len(est.loss_curve_), len(est.network_.history)) == (2, 2, 3)


def test_adamw_has_the_estimators_settings() -> None:
    est = fm.MLPRegressor(
        hidden_layer_sizes=(3,),
        solver="adamw",
        epsilon=0.25,
        beta_1=0.5,
        beta_2=0.75,
        learning_rate_init=0.1,
        alpha=0.2,
        max_iter=1,
        random_state=0,
    )
    with pytest.warns(UserWarning, match="Maximum iterations"):
        est.fit(*numbers(40))
    o = est.network_._state.optimizer
    assert (type(o), o.lr, o.beta1, o.beta2, o.eps, o.weight_decay) == (fm.AdamW, 0.1, 0.5, 0.75, 0.25, 0.2)
