"""What the estimators minimise, and by what: losses, solvers and learning rates that scikit-learn's do not have."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from sklearn.datasets import make_multilabel_classification
from sklearn.metrics import mean_absolute_error, mean_pinball_loss

import fastmlp as fm
from fastmlp.estimators import lbfgs
from tests.estimators import quick, quick_numbers

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def huber(y, predicted, delta: float = 1.0) -> float:
    error = np.abs(y - predicted)
    return np.where(error < delta, error**2 / 2, delta * (error - delta / 2)).mean()


LOSSES = [
    ("mae", mean_absolute_error),
    ("absolute_error", mean_absolute_error),
    ("huber", huber),
    ("quantile", mean_pinball_loss),
    (fm.losses.Huber(0.5), partial(huber, delta=0.5)),
]


@pytest.mark.parametrize(("loss", "expected"), LOSSES, ids=[str(loss) for loss, _ in LOSSES])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_losses(loss, expected, solver, numbers) -> None:
    X, y = numbers
    spoiled = np.where(np.arange(len(y)) % 10 == 0, 30.0, y)
    fitted = quick_numbers(loss=loss, solver=solver, max_iter=300).fit(X, spoiled)
    squared = quick_numbers(solver=solver, max_iter=300).fit(X, spoiled)
    assert fitted.network_.loss(X, spoiled) == pytest.approx(expected(spoiled, fitted.predict(X)))
    assert mean_absolute_error(y, fitted.predict(X)) < mean_absolute_error(y, squared.predict(X))


def test_quantile_is_the_quantile(numbers) -> None:
    X, y = numbers
    high = quick_numbers(loss=fm.losses.Quantile(0.9), max_iter=400, tol=0.0).fit(X, y)
    assert 0.8 < (y < high.predict(X)).mean() < 0.97
    np.testing.assert_allclose(high.network_.loss(X, y), mean_pinball_loss(y, high.predict(X), alpha=0.9), rtol=1e-6)


def test_poisson_refuses_negative_targets(numbers) -> None:
    with pytest.raises(ValueError, match=r"loss='poisson' takes targets >= 0; got -"):
        quick_numbers(loss="poisson").fit(*numbers)


@pytest.mark.parametrize("solver", ["adamw", fm.SGD(0.1, momentum=0.9), fm.LBFGS(tol=1e-3)])
def test_other_solvers(solver, iris) -> None:
    assert quick(solver=solver, learning_rate_init=0.05).fit(*iris).score(*iris) > 0.9


@pytest.mark.parametrize(
    ("named", "optimizer"),
    [
        ({"solver": "amsgrad", "beta_1": 0.7}, fm.Adam(0.05, beta1=0.7, amsgrad=True, eps_hat=True)),
        ({"solver": "rmsprop", "beta_2": 0.8, "epsilon": 1e-3}, fm.RMSprop(0.05, rho=0.8, eps=1e-3)),
        ({"solver": "adagrad", "epsilon": 1e-3}, fm.Adagrad(0.05, eps=1e-3)),
    ],
    ids=["amsgrad", "rmsprop", "adagrad"],
)
def test_a_solver_s_name_is_that_optimizer(named, optimizer, iris) -> None:
    by_name = quick(learning_rate_init=0.05, alpha=0.0, **named).fit(*iris)
    np.testing.assert_allclose(by_name.coefs_[0], quick(solver=optimizer).fit(*iris).coefs_[0], rtol=1e-9)
    assert by_name.score(*iris) > 0.9


def test_an_optimizer_object_of_l_bfgs_has_its_own_settings(iris, monkeypatch) -> None:
    seen, minimize = [], lbfgs.minimize
    monkeypatch.setattr(lbfgs, "minimize", lambda *args: seen.append(args[-1]) or minimize(*args))
    quick(solver=fm.LBFGS(max_iter=3, tol=1e-3, history=5, max_fun=50)).fit(*iris)
    assert seen == [{"maxiter": 3, "gtol": 1e-3, "maxcor": 5, "maxfun": 50}]


def test_decoupled_weight_decay(iris) -> None:
    X, y = iris
    plain, decayed = quick(solver="adamw", alpha=0.0).fit(X, y), quick(solver="adamw", alpha=5.0).fit(X, y)
    assert np.linalg.norm(decayed.coefs_[0]) < 0.5 * np.linalg.norm(plain.coefs_[0])


def test_without_decay_adamw_is_adam(iris) -> None:
    """In its losses too, which are means over outputs and over the rows of minibatches, whatever these weigh."""
    X, y = iris
    given = {"alpha": 0.0, "batch_size": 16, "max_iter": 3}
    adam, adamw = (quick_numbers(solver=name, **given).fit(X, np.eye(3)[y], y + 1.0) for name in ("adam", "adamw"))
    np.testing.assert_array_equal(adamw.coefs_[0], adam.coefs_[0])
    assert adamw.loss_curve_ == adam.loss_curve_


@pytest.mark.parametrize("optimizer", [fm.Adam(1e-12), fm.SGD(1e-12), fm.Adam(1e-12, l2_over_batch=True)], ids=str)
@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "poisson"])
def test_losses_of_several_outputs_are_the_same_by_name_and_by_object(loss, optimizer, iris) -> None:
    X, y = iris
    given = {"loss": loss, "alpha": 0.0, "max_iter": 1}
    by_name = quick_numbers(learning_rate_init=1e-12, **given).fit(X, np.eye(3)[y])
    assert quick_numbers(solver=optimizer, **given).fit(X, np.eye(3)[y]).loss_ == pytest.approx(by_name.loss_)


@pytest.mark.parametrize("learning_rate", ["cosine", "one_cycle", fm.schedules.Step(0.1, every=10)])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_schedules(learning_rate, solver, iris) -> None:
    fitted = quick(solver=solver, learning_rate=learning_rate, learning_rate_init=0.05, tol=0.0).fit(*iris)
    rates = fitted.network_.history.lr
    assert len(rates) == 40
    assert max(rates) == pytest.approx(0.05 if isinstance(learning_rate, str) else learning_rate.lr, rel=0.01)
    assert rates[-1] < 0.02 * max(rates)
    assert fitted.score(*iris) > 0.7


def test_a_constant_schedule_is_the_constant_rate_for_several_outputs_too() -> None:
    X, y = make_multilabel_classification(70, 6, n_classes=3, random_state=0)
    given = {"solver": "sgd", "batch_size": 16, "max_iter": 3}
    by_policy = quick(learning_rate_init=0.05, **given).fit(X, y)
    by_schedule = quick(learning_rate=fm.schedules.Constant(0.05), **given).fit(X, y)
    np.testing.assert_allclose(by_schedule.coefs_[0], by_policy.coefs_[0], rtol=1e-9)
