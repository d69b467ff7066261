"""What the estimators do beside what scikit-learn's do."""

from __future__ import annotations

import contextlib
import pickle
import time
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.datasets import make_classification, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer, make_scorer, mean_absolute_error, mean_poisson_deviance, mean_squared_error
from sklearn.utils.class_weight import compute_sample_weight

import fastmlp as fm
from tests.estimators import quick, quick_numbers

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_class_weight(iris) -> None:
    X, y = make_classification(300, 5, weights=[0.95], flip_y=0.1, random_state=0)
    plain, balanced = quick().fit(X, y), quick(class_weight="balanced").fit(X, y)
    assert balanced.predict(X).sum() > 2 * plain.predict(X).sum()
    factors = {0: 1.0, 1: 3.0}
    by_hand = quick().fit(X, y, np.where(y == 1, 3.0, 1.0))
    np.testing.assert_array_equal(quick(class_weight=factors).fit(X, y).coefs_[0], by_hand.coefs_[0])
    with pytest.raises(ValueError, match=r"class_weight has -1.0, but must be finite and >= 0"):
        quick(class_weight={0: -1.0}).fit(X, y)
    with pytest.raises(ValueError, match="class_weight 'balanced' is not supported for partial_fit"):
        quick(class_weight="balanced").partial_fit(X, y, classes=[0, 1])


def test_class_weight_by_the_names_of_classes(iris) -> None:
    X, y = iris
    by_name = quick(class_weight={"c": 3.0}, max_iter=3).fit(X, np.array(["a", "b", "c"])[y])
    by_hand = quick(max_iter=3).fit(X, y, np.where(y == 2, 3.0, 1.0))
    np.testing.assert_array_equal(by_name.coefs_[0], by_hand.coefs_[0])


@pytest.mark.parametrize("weights", ["balanced", [{0: 1.0, 1: 5.0}] * 3], ids=["balanced", "dicts"])
def test_class_weight_of_several_labels(weights) -> None:
    X, y = make_multilabel_classification(80, 6, n_classes=3, random_state=0)
    by_hand = quick(max_iter=3).fit(X, y, compute_sample_weight(weights, y))
    np.testing.assert_array_equal(quick(class_weight=weights, max_iter=3).fit(X, y).coefs_[0], by_hand.coefs_[0])


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_classes_without_weight(solver, iris) -> None:
    X, y = iris
    left_out = quick(solver=solver, class_weight={0: 0.0})
    for weights, sample_weight in (({0: 0.0, 1: 0.0, 2: 0.0}, None), ({0: 0.0}, (y == 0) + 0.0)):
        with pytest.raises(ValueError, match=r"class_weight=\{0: 0.0.*\} leaves no row of y any weight\. Pass one above 0"):
            quick(solver=solver, class_weight=weights).fit(X, y, sample_weight)
    assert left_out.fit(X, y).predict(X).min() == 1
    if solver == "adam":  # which may see the other classes in a later call
        assert np.isfinite(left_out.partial_fit(X[y == 0], y[y == 0]).loss_)


def test_validation_data_of_ones_own(iris) -> None:
    X, y = iris
    train, held = np.arange(150) % 3 > 0, np.arange(150) % 3 == 0
    fitted = quick(max_iter=9).fit(X[train], y[train], X_val=X[held], y_val=y[held])
    assert len(fitted.validation_loss_curve_) == 9
    assert fitted.validation_scores_ is None
    expected = -np.log(fitted.predict_proba(X[held])[np.arange(held.sum()), y[held]]).mean()
    np.testing.assert_allclose(fitted.validation_loss_curve_[-1], expected)
    stopped = quick(early_stopping=True, max_iter=300).fit(X[train], y[train], X_val=X[held], y_val=y[held])
    assert stopped.n_iter_ < 300
    np.testing.assert_allclose(stopped.score(X[held], y[held]), stopped.best_validation_score_)
    weighted = quick(max_iter=2).fit(X, y, X_val=X, y_val=y, sample_weight_val=(y == 0) + 0.0)
    expected = -np.log(weighted.predict_proba(X)[y == 0, 0]).mean()
    np.testing.assert_allclose(weighted.validation_loss_curve_[-1], expected)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("squared_error", lambda y, p: mean_squared_error(y, p) / 2),
        ("mae", mean_absolute_error),
        ("poisson", lambda y, p: mean_poisson_deviance(y.ravel(), p.ravel()) / 2 * 2),  # a sum over the outputs
    ],
    ids=["squared_error", "mae", "poisson"],
)
def test_validation_losses_of_a_regressor_are_as_scikit_learn_counts(loss, expected, numbers) -> None:
    X, y = numbers
    y = np.floor(3.0 * np.abs(np.stack([y, y[::-1]], axis=1)))
    fitted = quick_numbers(loss=loss, max_iter=4).fit(X, y, X_val=X[:50], y_val=y[:50])
    assert fitted.validation_loss_curve_[-1] == pytest.approx(expected(y[:50], fitted.predict(X[:50])))


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"X_val": "X"}, "X_val needs y_val, its targets"),
        ({"y_val": "y"}, "y_val and sample_weight_val need X_val"),
        ({"X_val": "X", "y_val": "short"}, "y_val has 10 rows, but X_val has 150"),
        ({"X_val": "X", "y_val": "other"}, r"y_val has classes not in y: \[9\]"),
        ({"X_val": "gaps", "y_val": "y"}, "Input X_val contains NaN"),
        ({"X_val": "narrow", "y_val": "y"}, "X has 2 features, but MLPClassifier is expecting 4 features"),
        ({"X_val": "flat", "y_val": "y"}, "Expected 2D array, got 1D array instead"),
    ],
)
def test_wrong_validation_data(given, match, iris) -> None:
    X, y = iris
    named = {"X": X, "y": y, "short": y[:10], "other": np.full(150, 9), "gaps": X * np.nan, "narrow": X[:, :2], "flat": X[0]}
    with pytest.raises(ValueError, match=match):
        quick().fit(X, y, **{name: named[value] for name, value in given.items()})


@pytest.mark.parametrize("scoring", [None, "accuracy"])
def test_labels_to_validate_on_may_be_sparse(scoring) -> None:
    X, y = make_multilabel_classification(80, 6, n_classes=3, random_state=0)
    dense, sparse = (
        quick(max_iter=5, early_stopping=True, scoring=scoring).fit(X, y, X_val=X, y_val=labels)
        for labels in (y, scipy.sparse.csr_matrix(y))
    )
    assert sparse.validation_scores_ == dense.validation_scores_
    assert sparse.validation_loss_curve_ == dense.validation_loss_curve_


def test_targets_to_validate_on_must_be_of_the_kind_of_those_to_train_on(iris, numbers) -> None:
    X, y = make_multilabel_classification(80, 6, n_classes=3, random_state=0)
    for wrong in (y[:, 0], y[:, :2], scipy.sparse.csr_matrix(y[:, :2])):
        with pytest.raises(ValueError, match=r"y_val has shape \(80.*\), but y has 3 labels for each row"):
            quick().fit(X, y, X_val=X, y_val=wrong)
    with pytest.raises(ValueError, match=r"y_val has shape \(150, 3\), but y has one class for each row"):
        quick().fit(*iris, X_val=iris[0], y_val=np.eye(3, dtype=int)[iris[1]])
    X, y = numbers
    with pytest.raises(ValueError, match=rf"y_val has shape \({len(y)}, 2\), but this network has 1 output"):
        quick_numbers().fit(X, y, X_val=X, y_val=np.stack([y, y], axis=1))
    with pytest.raises(ValueError, match=r"loss='poisson' takes targets >= 0; got -.* in y_val"):
        quick_numbers(loss="poisson").fit(X, np.abs(y), X_val=X, y_val=-np.abs(y))


@pytest.mark.parametrize(
    ("make", "scoring"),
    [
        (quick, "neg_log_loss"),
        (quick, "balanced_accuracy"),
        (quick, make_scorer(lambda y, p: np.mean(y == p))),
        (quick, "loss"),
        (quick_numbers, "neg_mean_absolute_error"),
    ],
)
def test_early_stopping_on_any_score(make, scoring, iris) -> None:
    X, y = iris
    fitted = make(early_stopping=True, scoring=scoring, max_iter=500).fit(X, y, X_val=X[::3], y_val=y[::3])
    assert fitted.n_iter_ < 500
    assert fitted.best_validation_score_ == max(fitted.validation_scores_)
    if scoring == "loss":
        assert fitted.best_validation_score_ == -min(fitted.validation_loss_curve_)
        assert fitted.network_.history.val_loss == fitted.validation_loss_curve_
    else:
        assert fitted.best_validation_score_ == pytest.approx(get_scorer(scoring)(fitted, X[::3], y[::3]))


def test_activations_per_layer(iris) -> None:
    fitted = quick(hidden_layer_sizes=(6, 5), activation=["silu", "tanh"]).fit(*iris)
    assert [dense.activation for dense in fitted.network_.layers] == ["silu", "tanh", "softmax"]
    assert fitted.score(*iris) > 0.9
    for name in ("gelu", "selu", "mish", "leaky_relu"):
        assert quick(activation=name).fit(*iris).score(*iris) > 0.9


@pytest.mark.parametrize("engine", ["numpy"], indirect=True)
def test_an_activation_of_ones_own(engine, iris) -> None:
    own = fm.activation(np.arctan, lambda z: 1.0 / (1.0 + z * z), name="arctan")
    fitted = quick(activation=own, max_iter=3).fit(*iris)
    expected = np.arctan(iris[0] @ fitted.coefs_[0] + fitted.intercepts_[0])
    np.testing.assert_allclose(fitted.hidden_activations(iris[0])[0], expected, rtol=1e-9)


def test_initial_weights_suit_activations_that_scikit_learn_does_not_have(iris) -> None:
    fitted = quick(hidden_layer_sizes=(3000,), activation="gelu", learning_rate_init=1e-9, max_iter=1).fit(*iris)
    plain = fm.MLP([4, 3000, 3], activation="gelu", output="softmax")
    assert fitted.coefs_[0].std() == pytest.approx(plain.weights[0].std(), rel=0.05)
    assert np.abs(fitted.intercepts_[0]).max() < 1e-6


def test_dropout(iris) -> None:
    fitted = quick(hidden_layer_sizes=(30, 30), dropout=0.4).fit(*iris)
    assert [dense.dropout for dense in fitted.network_.layers] == [0.4, 0.4, 0.0]
    assert fitted.score(*iris) > 0.9
    assert (fitted.predict_proba(iris[0]) == fitted.predict_proba(iris[0])).all()


def test_end_of_time(iris) -> None:
    began = time.perf_counter()
    with pytest.warns(ConvergenceWarning, match=r"max_time \(0.2 s\) is over after \d+ iterations"):
        quick(max_time=0.2, max_iter=10**8, tol=0.0, n_iter_no_change=np.inf).fit(*iris)
    assert time.perf_counter() - began < 60
    with pytest.warns(ConvergenceWarning, match="lbfgs: max_time"):
        quick(solver="lbfgs", max_time=1e-9, max_iter=10**8, tol=0.0).fit(*iris)


def test_divergence_ends_at_once(numbers) -> None:
    X, y = numbers
    wild = {"solver": "sgd", "learning_rate_init": 1e6, "max_iter": 10**6, "n_iter_no_change": np.inf}
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        quick_numbers(**wild).fit(X, y)
    estimator = quick_numbers(on_divergence="warn", **wild)
    with pytest.warns(fm.DivergenceWarning, match="Training diverged in epoch"):
        estimator.fit(X, y)
    assert np.isfinite(estimator.predict(X)).all()
    assert estimator.n_iter_ == len(estimator.loss_curve_)


def test_a_fit_without_a_whole_epoch_has_no_loss(numbers) -> None:
    X, y = numbers
    fitted = quick_numbers(on_divergence="warn").fit(X, y)
    with pytest.warns(fm.DivergenceWarning, match="diverged in epoch 0"):
        fitted.fit(X * 1e200, y)
    assert (fitted.n_iter_, fitted.loss_curve_) == (0, [])
    assert np.isnan(fitted.loss_)


def test_interruption_keeps_what_there_is(iris) -> None:
    class Interrupt(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            if epoch == 4:
                raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="Training interrupted by user"):
        fitted = quick(callbacks=[Interrupt()]).fit(*iris)
    assert fitted.n_iter_ == 5
    np.testing.assert_array_equal(fitted.coefs_[0], quick(max_iter=5).fit(*iris).coefs_[0])


def test_threads_do_not_change_results(iris) -> None:
    X, y = iris
    fits = [quick(hidden_layer_sizes=(300, 300), max_iter=3, n_jobs=n).fit(X, y).coefs_[1] for n in (None, 1, 2, -1)]
    for coefs in fits[1:]:
        np.testing.assert_array_equal(coefs, fits[0])


@pytest.mark.parametrize(("n_jobs", "limits"), [(None, []), (-1, []), (2, [2])])
def test_n_jobs_is_the_number_of_threads(n_jobs, limits, iris, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr("fastmlp.engine.at_most", lambda n: seen.append(n) or contextlib.nullcontext())
    quick(n_jobs=n_jobs, max_iter=2).fit(*iris)
    assert seen == limits


@pytest.mark.parametrize("n_jobs", [0, -2])
def test_n_jobs_is_a_number_of_threads_or_all_of_them(n_jobs, iris) -> None:
    with pytest.raises(ValueError, match="The 'n_jobs' parameter of MLPClassifier must be an int in the range"):
        quick(n_jobs=n_jobs).fit(*iris)
    with pytest.raises(ValueError, match="n_jobs must be an integer >= 1, or -1 or None for one for each thread"):
        fm.cross_validate(quick(), *iris, n_jobs=n_jobs)


@pytest.mark.parametrize(("n_jobs", "together"), [(None, 3), (-1, 3), (1, 1), (2, 2)])
def test_an_ensemble_trains_as_many_networks_side_by_side_as_n_jobs_says(n_jobs, together, iris, monkeypatch) -> None:
    seen = []

    def one_by_one(function, jobs, workers):
        seen.append(workers)
        return [function(*job) for job in jobs]

    monkeypatch.setattr("fastmlp.estimators.ensemble.side_by_side", one_by_one)
    monkeypatch.setattr("fastmlp.engine.threads", lambda: 3)
    quick(n_ensemble=4, n_jobs=n_jobs, max_iter=2).fit(*iris)
    assert seen == [together]


def test_hidden_activations_and_network(iris) -> None:
    X, _ = iris
    fitted = quick(hidden_layer_sizes=(6, 5), activation="tanh").fit(*iris)
    first, second = fitted.hidden_activations(X)
    np.testing.assert_allclose(first, np.tanh(X @ fitted.coefs_[0] + fitted.intercepts_[0]))
    np.testing.assert_allclose(second, np.tanh(first @ fitted.coefs_[1] + fitted.intercepts_[1]))
    assert isinstance(fitted.network_, fm.MLP)
    np.testing.assert_array_equal(fitted.network_.predict(X), fitted.predict_proba(X))
    with pytest.raises(ValueError, match="X has nan in row 3, column 2"):
        fitted.hidden_activations(np.where(X == X[3, 2], np.nan, X))


def test_arrays_put_into_coefs_count(iris) -> None:
    X, y = iris
    fitted = quick().fit(X, y)
    fitted.coefs_[1] = np.zeros_like(fitted.coefs_[1])
    fitted.intercepts_[1][:] = [0.0, 1.0, 0.0]
    assert (fitted.predict(X) == 1).all()
    assert (pickle.loads(pickle.dumps(fitted)).predict(X) == 1).all()


@pytest.mark.parametrize("warm_start", [False, True])
def test_ensemble(warm_start, iris) -> None:
    X, y = iris
    fitted = quick(n_ensemble=3, warm_start=warm_start).fit(X, y)
    expected = np.mean([member.predict_proba(X) for member in fitted.estimators_], axis=0)
    np.testing.assert_array_equal(fitted.predict_proba(X), expected)
    assert not np.array_equal(fitted.estimators_[0].coefs_[0], fitted.estimators_[1].coefs_[0])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict_proba(X), expected)
    before = fitted.estimators_
    fitted.fit(X, y)
    assert (fitted.estimators_ is before) == warm_start
    gradual = quick(n_ensemble=2)
    for _ in range(2):
        gradual.partial_fit(X, y, classes=[0, 1, 2])
    assert len(gradual.loss_curve_) == 2


def test_ensemble_of_regressors(numbers) -> None:
    X, y = numbers
    fitted = quick_numbers(n_ensemble=3).fit(X, y)
    np.testing.assert_allclose(fitted.predict(X), np.mean([m.predict(X) for m in fitted.estimators_], axis=0))


@pytest.mark.parametrize("how", ["class_weight", "sample_weight"])
def test_a_scoring_function_without_weights(how, iris) -> None:
    X, y = iris
    seen = []

    def plain(estimator, X, y):
        seen.append(len(y))
        return estimator.score(X, y)

    def weighted(estimator, X, y, sample_weight):
        seen.append(sample_weight.sum())
        return estimator.score(X, y, sample_weight)

    options = {"class_weight": {2: 3.0}} if how == "class_weight" else {}
    weight = np.where(y == 2, 3.0, 1.0) if how == "sample_weight" else None
    for scoring in (plain, weighted, make_scorer(lambda y, predicted: float((y == predicted).mean()))):
        quick(max_iter=2, early_stopping=True, scoring=scoring, validation_fraction=0.2, **options).fit(X, y, weight)
    assert seen == [30, 30, 50, 50]


def test_a_scoring_function_may_ask_about_some_rows_of_a_frame(iris, recwarn) -> None:
    X, y = pd.DataFrame(iris[0], columns=list("abcd")), iris[1]

    def scoring(estimator, X, y):
        return np.mean(estimator.predict(X[:5]) == y[:5], keepdims=True)

    assert len(quick(early_stopping=True, scoring=scoring, max_iter=3).fit(X, y).validation_scores_) == 3
    assert not [warning for warning in recwarn if "feature names" in str(warning.message)]


@pytest.mark.parametrize("score", [None, {"accuracy": 1.0}, "good", np.ones(2)], ids=repr)
def test_a_scoring_function_returns_a_number(score, iris) -> None:
    with pytest.raises((TypeError, ValueError), match=r"scoring must return a number, got .*\. Return a float\."):
        quick(early_stopping=True, scoring=lambda estimator, X, y: score).fit(*iris)


def test_validation_rows_of_no_weight(iris) -> None:
    X, y = iris
    with pytest.raises(ValueError, match="The validation rows have no weight"):
        quick(early_stopping=True).fit(X, y, np.arange(150) == 5)
    with pytest.raises(ValueError, match="solver='lbfgs' looks at no validation data"):
        quick(solver="lbfgs").fit(X, y, X_val=X, y_val=y)


def test_nothing_is_said_about_a_fit_that_goes_well(iris) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = quick(tol=0.01, max_iter=500).fit(*iris)
    assert fitted.score(*iris) > 0.9


def test_an_interrupted_lbfgs_fit_is_at_an_iteration(iris) -> None:
    """Not at a trial point of its line search."""
    X, y = iris
    fitted = quick(solver="lbfgs", max_iter=6).fit(X, y)

    class Interrupt(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            if epoch == 5:
                self.params = net.params.copy()
                net.params[...] = 0.0
                raise KeyboardInterrupt("now")

    interrupt = Interrupt()
    stopped = quick(solver="lbfgs", callbacks=[interrupt])
    with pytest.raises(KeyboardInterrupt, match="now"):
        stopped.fit(X, y)
    np.testing.assert_array_equal(stopped.network_.params, interrupt.params)
    np.testing.assert_array_equal(stopped.network_.params, fitted.network_.params)
    assert (len(stopped.network_.history), stopped.network_.history.stopped) == (6, "interrupted")


@pytest.mark.parametrize("n_ensemble", [1, 2])
def test_lbfgs_leaves_a_history_as_other_solvers_do(n_ensemble, iris) -> None:
    fitted = quick(solver="lbfgs", max_iter=4, n_ensemble=n_ensemble, warm_start=True).fit(*iris)
    for member in fitted.estimators_ if n_ensemble > 1 else [fitted]:
        history = member.network_.history
        assert (len(history), history.stopped, history.loss[-1]) == (4, "epochs", member.loss_)
    seconds = fitted.network_.history.seconds
    fitted.fit(*iris)
    assert len(fitted.network_.history) == 8
    assert fitted.network_.history.seconds > seconds > 0


def test_weights_that_the_data_s_numbers_do_not_hold_are_refused(iris) -> None:
    X, y = iris
    weight = np.ones(len(X))
    weight[7] = 1e300
    with pytest.raises(ValueError, match=r"weights up to 1e\+300 are infinite in float32"):
        quick().fit(X.astype(np.float32), y, sample_weight=weight)
    for solver in ("adam", "lbfgs"):
        for dtype, least in ((np.float32, 1e-300), (np.float32, 1e-39), (np.float64, 1e-310)):
            with pytest.raises(ValueError, match=f"weights up to 1e.* are as good as 0 in {np.dtype(dtype)}"):
                quick(solver=solver).fit(X.astype(dtype), y, sample_weight=np.full(len(X), least))
