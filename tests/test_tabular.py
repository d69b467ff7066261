"""TabularClassifier and TabularRegressor: the recipe, what they accept, and what they tell."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.stats import kurtosis
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import fastmlp as fm
from fastmlp.tabular import recipe
from fastmlp.tabular.recipe import JudgedRun, LastBest, Rows, error_rate, log_loss, squared_error

SMALL = {"hidden": (32, 32), "epochs": 32, "batch_size": 32, "random_state": 0}


def classifier(**options) -> fm.TabularClassifier:
    return fm.TabularClassifier(**SMALL | options)


def regressor(**options) -> fm.TabularRegressor:
    return fm.TabularRegressor(**SMALL | options)


IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)


def test_they_are_imported_when_they_are_asked_for() -> None:
    code = (
        "import sys, fastmlp; assert 'sklearn' not in sys.modules; fastmlp.TabularClassifier; assert 'sklearn' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- the recipe


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_the_default_is_the_published_recipe(kind, monkeypatch) -> None:
    """RealMLP-TD-S, table A.1 of arXiv 2407.04491."""
    seen = {}

    def go(run):
        seen.update(vars(run.options), net=run.net, params=run.net.params.copy(), rows=len(run.data.train))

    monkeypatch.setattr(JudgedRun, "go", go)
    X, y = load_breast_cancer(return_X_y=True) if kind == "classes" else DIABETES
    estimator = fm.TabularClassifier(random_state=0) if kind == "classes" else fm.TabularRegressor(random_state=0)
    estimator.fit(X, y)
    net = seen["net"]
    assert net.plan.widths == (X.shape[1], 256, 256, 256, 2 if kind == "classes" else 1)
    assert [dense.activation for dense in net.layers[:3]] == ["selu" if kind == "classes" else "mish"] * 3
    assert seen["rows"] == round(0.8 * len(X))
    assert (seen["epochs"], seen["batch_size"], seen["drop_last"]) == (256, 256, True)
    if kind == "classes":
        assert (net.output, net.loss_spec.name, net.loss_spec.smoothing) == ("softmax", "cross_entropy", 0.1)
    else:
        assert (net.output, net.loss_spec.name) == ("identity", "mse")
    optimizer = seen["optimizer"]
    assert (optimizer.beta1, optimizer.beta2, optimizer.eps) == (0.9, 0.95, 1e-8)
    assert (optimizer.ntk, optimizer.scale_factor, optimizer.bias_factor, optimizer.weight_decay) == (True, 6.0, 0.1, 0.0)
    steps = np.arange(100)
    rates = optimizer.rates(steps, fm.schedules.Span(0, 100, 10))
    lr = 0.04 if kind == "classes" else 0.07
    np.testing.assert_allclose(rates, lr * 0.5 * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * steps / 100))))
    weights = [np.sqrt(len(w)) * w.ravel() for w in net.weights[:3]]
    for normal in (*weights, np.concatenate(net.biases[:3])):
        assert abs(normal.mean()) < 0.1
        assert abs(normal.std() - 1) < 0.05
        assert abs(kurtosis(normal)) < 0.5  # of uniform numbers it is -1.2
    assert not net.weights[3].any()
    assert not net.biases[3].any()


def test_the_last_of_the_best_epochs_comes_back() -> None:
    errors = iter([0.5, 0.25, 0.25, 0.75])
    judge = LastBest(Rows(np.zeros((1, 1), np.float32), np.zeros(1), None), lambda *_: next(errors))
    for epoch in range(4):
        params = np.full(2, epoch)
        judge.judge(np.zeros((1, 1)), params)
        if epoch % 2:  # epochs are judged together, two by two
            judge.keep()
            params[:] = 9
    assert judge.params.tolist() == [2.0, 2.0]
    assert (judge.epoch, judge.errors) == (2, [0.5, 0.25, 0.25, 0.75])


@pytest.mark.parametrize("batch_size", [16, 64])
def test_epochs_judged_together_are_those_judged_one_by_one(engine, monkeypatch, batch_size) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3)).astype(np.float32)
    y = (X[:, 0] * X[:, 1] + 0.5 * rng.normal(size=100) > 0).astype(int)
    fitted = []
    for together in (1, 8):
        monkeypatch.setattr("fastmlp.training.MOST_JUDGED", together)
        fitted.append(fm.TabularClassifier(hidden=(16,), epochs=30, batch_size=batch_size, random_state=2).fit(X, y))
    one, many = fitted
    assert one.best_epochs_ == many.best_epochs_
    assert one.validation_errors_ == many.validation_errors_
    assert one.networks_[0].history.best_epoch + 1 == one.best_epochs_[0]
    np.testing.assert_array_equal(one.networks_[0].params, many.networks_[0].params)


def test_metrics_by_hand() -> None:
    p, y = np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]], np.float32), np.array([0, 0, 1])
    assert error_rate(y, p, None) == pytest.approx(2 / 3)
    assert error_rate(y, p, np.array([1.0, 0.0, 1.0])) == 0.5
    assert log_loss(y, p, None) == pytest.approx(-np.log([0.9, 0.4, 0.5]).mean())
    assert log_loss(np.array([1]), np.array([[1.0, 0.0]], np.float32), None) == pytest.approx(
        -np.log(np.finfo(np.float32).tiny)
    )
    assert squared_error(np.array([[1.0, 2.0]]), np.array([[2.0, 4.0]]), None) == 2.5
    assert squared_error(np.array([[1.0], [2.0]]), np.array([[2.0], [2.0]]), np.array([3.0, 1.0])) == 0.75


def test_fit_returns_the_best_of_its_validation_errors() -> None:
    X, y = DIABETES
    X, X_val, y, y_val = train_test_split(X, y, random_state=0)
    estimator = regressor().fit(X, y, X_val=X_val, y_val=y_val)
    (errors,), (best,) = estimator.validation_errors_, estimator.best_epochs_
    assert len(errors) == 32
    assert best == 32 - np.argmin(errors[::-1])
    outside = (y_val < y.min()) | (y_val > y.max())
    assert not outside.any()
    ours = (
        (estimator.networks_[0].predict(estimator.encoder_.transform(X_val))[:, 0] - (y_val - y.mean()) / y.std()) ** 2
    ).mean()
    assert ours == pytest.approx(min(errors), rel=1e-5)


def test_log_loss_goes_without_smoothing_and_gives_better_probabilities() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, random_state=0)
    by_error, by_loss = classifier().fit(X, y), classifier(metric="log_loss").fit(X, y)
    assert by_loss.networks_[0].loss_spec.smoothing == 0.0
    losses = [log_loss(y_test, e.predict_proba(X_test), None) for e in (by_error, by_loss)]
    assert losses[1] < losses[0]
    assert classifier(metric="log_loss", label_smoothing=0.2).fit(X, y).networks_[0].loss_spec.smoothing == 0.2


def test_predictions_stay_in_the_range_of_each_target() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    y = np.stack([3 * X[:, 0], 100 - X[:, 0]], axis=1)
    far = regressor().fit(X, y).predict([[-1e6, 0.0], [1e6, 0.0]])
    np.testing.assert_allclose(far[:, 0], [y[:, 0].min(), y[:, 0].max()])
    np.testing.assert_allclose(far[:, 1], [y[:, 1].max(), y[:, 1].min()])


def test_a_training_that_diverges_warns() -> None:
    with pytest.warns(fm.DivergenceWarning, match="Training diverged in epoch"):
        diverged = regressor(lr=1e30).fit(*DIABETES)
    assert np.isfinite(diverged.predict(DIABETES[0])).all()


def test_a_constant_target_is_predicted() -> None:
    assert regressor().fit(np.arange(20.0)[:, None], np.full(20, 7.0)).predict([[3.0], [40.0]]).tolist() == [7.0, 7.0]


def test_good_without_tuning() -> None:
    """What scikit-learn's own MLP reaches on these after scaling is about 0.97 and 0.3 to 0.45."""
    assert cross_val_score(fm.TabularClassifier(random_state=0), *load_breast_cancer(return_X_y=True), cv=3).mean() > 0.96
    assert cross_val_score(fm.TabularRegressor(random_state=0, n_ensemble=3), *DIABETES, cv=3).mean() > 0.35


# ---- what they accept


def frame(library):
    rng = np.random.default_rng(0)
    n = 300
    colour = rng.choice(["red", "green", "blue"], n)
    size, noise = rng.normal(size=n), rng.normal(size=n)
    y = np.where((colour == "red") ^ (size > 0), "yes", "no")
    size[::17] = np.nan
    columns = {"colour": list(colour), "size": size, "noise": noise}
    if library == "polars":
        return pl.DataFrame(columns), pl.Series(y)
    table = pd.DataFrame(columns)
    if library == "category":
        table["colour"] = table["colour"].astype("category")
    return table, y


@pytest.mark.parametrize("library", ["pandas", "category", "polars"])
def test_frames_with_categories_and_missing_numbers(library) -> None:
    X, y = frame(library)
    estimator = classifier(epochs=64).fit(X, y)
    assert estimator.score(X, y) > 0.9
    assert estimator.classes_.tolist() == ["no", "yes"]
    assert estimator.encoder_.categorical_.tolist() == [True, False, False]
    if library == "polars" and not hasattr(estimator, "feature_names_in_"):
        pytest.skip("this scikit-learn does not see the names of this polars")
    assert estimator.feature_names_in_.tolist() == ["colour", "size", "noise"]
    with pytest.raises(ValueError, match="The feature names should match"):
        estimator.predict(X[["size", "colour", "noise"]])


def test_columns_of_numbers_may_be_categories() -> None:
    rng = np.random.default_rng(0)
    code = rng.integers(0, 30, 600)
    y = rng.normal(size=30)[code]
    X = code[:, None].astype(float)
    as_numbers, as_categories = regressor().fit(X, y), regressor(categorical_features=[0]).fit(X, y)
    assert as_categories.encoder_.median_.shape == (30,)
    assert as_categories.score(X, y) > 0.95 > as_numbers.score(X, y)


def test_several_targets() -> None:
    X, y = DIABETES
    Y = np.stack([y, X[:, 0]], axis=1)
    estimator = regressor().fit(X, Y)
    assert estimator.predict(X).shape == Y.shape
    assert estimator.score(X, Y) > 0.4


def test_weights_count() -> None:
    """Two kinds of rows contradict each other: the heavy ones are believed."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    y = (X[:, 0] > 0).astype(int)
    y[200:] = 1 - y[200:]
    for heavy in (slice(0, 200), slice(200, 400)):
        weight = np.full(400, 0.05)
        weight[heavy] = 1.0
        estimator = classifier().fit(X, y, sample_weight=weight)
        assert estimator.score(X[heavy], y[heavy]) > 0.9
    with pytest.raises(ValueError, match="Sample weights must contain at least one non-zero number"):
        classifier().fit(X, y, sample_weight=np.zeros(400))


def test_a_weight_that_is_too_large_to_train_with_is_refused() -> None:
    X, y = IRIS
    weight = np.where(np.arange(150) == 7, 1e300, 1.0)
    with pytest.raises(ValueError, match=r"the largest sample_weight is 1e\+300.* Pass sample_weight / sample_weight.max\(\)"):
        classifier().fit(X, y, sample_weight=weight)
    assert classifier().fit(X, y, X_val=X, y_val=y, sample_weight_val=weight).score(X, y) > 0.9


def test_validation_rows_and_weights_may_be_given() -> None:
    X, y = IRIS
    estimator = classifier().fit(X, y, X_val=X[:50], y_val=y[:50], sample_weight_val=np.arange(50))
    probability = estimator.predict_proba(X[:50])
    assert estimator.validation_errors_[0][-1] == pytest.approx(error_rate(y[:50], probability, np.arange(50)), abs=1e-6)
    with pytest.raises(ValueError, match="y_val has the class 7, which y has not"):
        classifier().fit(X, y, X_val=X[:1], y_val=[7])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        classifier().fit(X, y, X_val=X[:1], y_val=y[:2])


def test_without_validation_the_last_epoch_is_taken() -> None:
    estimator = classifier(validation_fraction=0.0).fit(*IRIS)
    assert (estimator.best_epochs_, estimator.validation_errors_) == ([32], [[]])
    assert classifier().fit([[0.0], [1.0]], [0, 1]).best_epochs_ == [32]  # too few rows to hold any out


# ---- as scikit-learn's users use them


def test_clone_pickle_grid_search_and_pipeline() -> None:
    X, y = IRIS
    estimator = classifier()
    assert clone(estimator).get_params() == estimator.get_params()
    estimator.fit(X, y)
    again = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(again.predict_proba(X), estimator.predict_proba(X))
    search = GridSearchCV(classifier(epochs=8), {"lr": [1e-5, 0.04]}, cv=2).fit(X, y)
    assert search.best_params_ == {"lr": 0.04}
    assert make_pipeline(FunctionTransformer(), classifier()).fit(X, y).score(X, y) > 0.9


def stopped(*_):
    raise KeyboardInterrupt("by the user")


@pytest.mark.parametrize("make", [classifier, regressor])
def test_a_refit_that_fails_leaves_what_was_fitted(make, monkeypatch) -> None:
    X, y = IRIS
    estimator = make(n_jobs=1).fit(X, y)
    before, attributes = estimator.predict(X), dict(vars(estimator))
    other = 3.0 * X[::-1, :2], 10 - y[::-1]
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        estimator.fit(*other, -np.ones(150))
    with pytest.raises(ValueError, match="epochs must be"):
        estimator.set_params(epochs=0).fit(*other)
    estimator.set_params(epochs=32)
    monkeypatch.setattr(recipe.Recipe, "train", stopped)
    with pytest.raises(KeyboardInterrupt, match="by the user"):
        estimator.fit(*other)
    np.testing.assert_array_equal(estimator.predict(X), before)
    assert vars(estimator) == attributes


@pytest.mark.parametrize("make", [classifier, regressor])
def test_an_estimator_whose_first_fit_is_interrupted_is_not_fitted(make, monkeypatch) -> None:
    monkeypatch.setattr(recipe.Recipe, "train", stopped)
    estimator = make()
    with pytest.raises(KeyboardInterrupt, match="by the user"):
        estimator.fit(*IRIS)
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        estimator.predict(IRIS[0])


def test_predict_log_proba_is_the_logarithm() -> None:
    estimator = classifier().fit(*IRIS)
    np.testing.assert_array_equal(estimator.predict_log_proba(IRIS[0]), np.log(estimator.predict_proba(IRIS[0])))


@pytest.mark.filterwarnings("error")
def test_predict_log_proba_of_a_probability_of_zero_is_finite() -> None:
    estimator = classifier(epochs=4).fit(*IRIS)
    estimator.networks_[0].weights[-1] *= 1e6
    probabilities, logarithms = estimator.predict_proba(IRIS[0]), estimator.predict_log_proba(IRIS[0])
    assert (probabilities == 0.0).any()
    assert logarithms.dtype == np.float32
    np.testing.assert_allclose(logarithms[probabilities == 0.0], np.log(np.finfo(np.float32).tiny))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_ensemble": 0}, ValueError, "n_ensemble must be"),
        ({"metric": "auc"}, ValueError, "metric must be one of 'error', 'log_loss'"),
        ({"epochs": 1.5}, TypeError, "epochs must be"),
        ({"batch_size": 0}, ValueError, "batch_size must be"),
        ({"lr": -1.0}, ValueError, "lr must be"),
        ({"hidden": (8, 0)}, ValueError, "a width of hidden must be"),
        ({"label_smoothing": 1.0}, ValueError, "label_smoothing must be"),
        ({"validation_fraction": 1.0}, ValueError, "validation_fraction must be"),
        ({"progress": "much"}, TypeError, "progress must be"),
        ({"n_jobs": 0.5, "n_ensemble": 2}, TypeError, "n_jobs must be"),
        ({"n_jobs": 0}, ValueError, "n_jobs must be an integer >= 1, or -1 or None"),
        ({"n_jobs": -2, "n_ensemble": 2}, ValueError, "n_jobs must be an integer >= 1, or -1 or None"),
        ({"n_ensemble": 200}, ValueError, "n_ensemble=200, but X has 150 rows"),
    ],
)
def test_wrong_arguments_are_refused_by_fit(options, error, message) -> None:
    with pytest.raises(error, match=message):
        classifier(**options).fit(*IRIS)


def test_each_network_has_a_progress_bar_of_its_own(capfd) -> None:
    shown = classifier(n_ensemble=3, n_jobs=3, progress=True, epochs=2).fit(*IRIS)
    lines = capfd.readouterr().err.split("\n")
    assert [line.count("epoch 2/2") for line in lines if line.strip()] == [1, 1, 1]
    hidden = classifier(n_ensemble=3, n_jobs=3, epochs=2).fit(*IRIS)
    assert capfd.readouterr().err == ""
    for one, other in zip(shown.networks_, hidden.networks_, strict=True):
        assert (one.params == other.params).all()


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match=r"y has 1 class \(3\), but a classifier needs 2 or more"):
        classifier().fit(IRIS[0], np.full(150, 3))


@pytest.mark.parametrize("nothing", [None, np.nan])
def test_a_row_without_a_class_is_named(nothing) -> None:
    y = np.where(np.arange(150) == 70, nothing, np.array(["a", "b", "c"], object)[IRIS[1]])
    with pytest.raises(ValueError, match=rf"y has no value in row 70 \({nothing}\)\. Fill the gap or leave the row out"):
        classifier().fit(IRIS[0], y)
    with pytest.raises(ValueError, match=rf"y_val has no value in row 70 \({nothing}\)\. Fill the gap or leave the row out"):
        classifier().fit(IRIS[0], np.array(["a", "b", "c"], object)[IRIS[1]], X_val=IRIS[0], y_val=y)


def test_columns_without_names_are_warned_of_once_and_in_the_estimator_s_name() -> None:
    X, y = IRIS
    named = pd.DataFrame(X, columns=list("abcd"))
    fitted = classifier(epochs=1)
    for work in (lambda: fitted.fit(named, y, X_val=X, y_val=y), lambda: fitted.predict(X)):
        with pytest.warns(UserWarning, match="X does not have valid feature names, but TabularClassifier was") as seen:
            work()
        assert len(seen) == 1


def test_one_hidden_layer_may_be_a_number() -> None:
    assert classifier(hidden=16).fit(*IRIS).networks_[0].plan.widths == (4, 16, 3)


def test_targets_to_judge_by_must_be_like_those_to_train_on() -> None:
    X, y = DIABETES
    with pytest.raises(ValueError, match=r"y_val has shape \(442, 1\), but y has \(442, 2\)"):
        regressor().fit(X, X[:, :2], X_val=X, y_val=y)
    for wrong, message in (
        ({"X_val": X}, "X_val needs y_val"),
        ({"y_val": y > 100}, "need X_val"),
        ({"sample_weight_val": y}, "need X_val"),
    ):
        for estimator in (regressor(), classifier()):
            with pytest.raises(ValueError, match=message):
                estimator.fit(X, y > 100, **wrong)


def test_a_table_with_nothing_in_it() -> None:
    X, y = IRIS
    for estimator in (classifier(), regressor()):
        for empty in (X[:0], pd.DataFrame(X[:0])):
            with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
                estimator.fit(empty, y[:0])
        with pytest.raises(ValueError, match="X has no column with a number or a category"):
            estimator.fit(pd.DataFrame({"a": [None] * 150}), y)


def test_targets_too_large_to_square() -> None:
    X, y = DIABETES
    with pytest.raises(ValueError, match=r"y goes up to 3.46e\+202"):
        regressor().fit(X, y * 1e200)


def test_targets_too_small_to_square() -> None:
    X, y = DIABETES
    with pytest.raises(ValueError, match=r"y goes from 2.5e-199 to 3.46e-198 only, .*\. Multiply y by a power of ten\."):
        regressor().fit(X, y * 1e-200)
    with pytest.raises(ValueError, match=r"y goes from 0 to 1e-200 only"):
        regressor().fit(X[:4], np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [4.0, 1e-200]]))
    for constant in (0.0, 1e-200):
        assert set(regressor(epochs=1).fit(X[:20], np.full(20, constant)).predict(X[:20]).tolist()) == {constant}
    predictions = regressor().fit(X, y * 1e-100).predict(X) * 1e100
    np.testing.assert_allclose(predictions, regressor().fit(X, y).predict(X), rtol=1e-3)


@pytest.mark.parametrize("rows", [4, 6])
def test_a_network_that_was_not_trained_yet_is_never_the_best(rows) -> None:
    """The first step's rate is 0, and few rows have one step in each epoch."""
    X, y = np.random.default_rng(0).normal(size=(rows, 4)), np.arange(rows) % 2
    for seed in range(5):
        fitted = fm.TabularClassifier(hidden=(16,), epochs=16, random_state=seed).fit(X, y)
        assert fitted.best_epochs_[0] > 1
        assert len(fitted.validation_errors_[0]) == 16
        assert (fitted.predict_proba(X) != 0.5).any()
