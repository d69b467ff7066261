"""The estimators in the company of scikit-learn."""

from __future__ import annotations

import pickle
import re

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import sklearn
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris, make_multilabel_classification
from sklearn.ensemble import BaggingClassifier, StackingClassifier
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.inspection import permutation_importance
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelBinarizer, StandardScaler

import fastmlp as fm
from fastmlp.estimators.classifier import _binarizer
from tests.estimators import quick, quick_numbers

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_grid_search_on_two_processes(iris) -> None:
    search = GridSearchCV(quick(), {"alpha": [1e-4, 10.0], "hidden_layer_sizes": [(4,), (8, 8)]}, cv=3, n_jobs=2)
    assert search.fit(*iris).best_score_ > 0.9


def test_cross_val_score_of_a_pipeline(iris) -> None:
    X, y = load_iris(return_X_y=True)
    assert cross_val_score(make_pipeline(StandardScaler(), quick()), X, y, cv=3).min() > 0.85


def test_calibration_bagging_and_stacking(iris) -> None:
    X, y = iris
    for ensemble in (
        CalibratedClassifierCV(quick(), cv=3),
        BaggingClassifier(quick(), n_estimators=3, random_state=0),
        StackingClassifier([("relu", quick()), ("tanh", quick(activation="tanh"))], cv=3),
    ):
        assert ensemble.fit(X, y).score(X, y) > 0.9


def test_permutation_importance(iris) -> None:
    found = permutation_importance(quick().fit(*iris), *iris, n_repeats=3, random_state=0)
    assert found.importances_mean[2:].max() > found.importances_mean[:2].max()


def test_metadata_routing(iris) -> None:
    X, y = iris
    weight = np.where(y == 0, 0.0, 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        step = quick().set_fit_request(sample_weight=True)
        routed = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), step).fit(X, y, sample_weight=weight)
    plain = quick().fit(StandardScaler().fit_transform(X), y, weight)
    np.testing.assert_array_equal(routed[-1].coefs_[0], plain.coefs_[0])


def test_metadata_routing_to_score_and_partial_fit(iris) -> None:
    X, y = iris
    weight = np.where(y == 0, 0.0, 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        step = quick().set_fit_request(sample_weight=False).set_score_request(sample_weight=True)
        score = make_pipeline(step).fit(X, y).score(X, y, sample_weight=weight)
        several = MultiOutputRegressor(quick_numbers().set_partial_fit_request(sample_weight=True))
        several.partial_fit(X, y[:, None], sample_weight=weight)
    fitted = quick().fit(X, y)
    assert score == fitted.score(X, y, weight) != fitted.score(X, y)
    np.testing.assert_array_equal(several.estimators_[0].coefs_[0], quick_numbers().partial_fit(X, y, weight).coefs_[0])


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames(frame, iris) -> None:
    X, y = iris
    data = frame({f"x{j}": column for j, column in enumerate(X.T)})
    fitted = quick(early_stopping=True, scoring="accuracy").fit(data, y)  # the scorer must not warn of missing names
    if frame is pl.DataFrame and not hasattr(fitted, "feature_names_in_"):
        pytest.skip("this scikit-learn does not see the names of this polars")
    assert list(fitted.feature_names_in_) == ["x0", "x1", "x2", "x3"]
    np.testing.assert_array_equal(fitted.predict(data), clone(fitted).fit(X, y).predict(X))
    with pytest.warns(
        UserWarning, match="X does not have valid feature names, but MLPClassifier was fitted with feature names"
    ):
        fitted.predict(X)


def test_targets_and_weights_of_polars(iris) -> None:
    X, y = iris
    names, weight = np.array(["a", "b", "c"])[y], y + 1.0
    expected = quick(max_iter=3).fit(X, names, weight)
    fitted = quick(max_iter=3).fit(X, pl.Series(names), pl.Series(weight), X_val=X, y_val=pl.Series(names))
    np.testing.assert_array_equal(fitted.coefs_[0], expected.coefs_[0])
    assert fitted.classes_.tolist() == ["a", "b", "c"]
    numbers = quick_numbers(max_iter=3)
    np.testing.assert_array_equal(numbers.fit(X, pl.Series(weight)).predict(X), numbers.fit(X, weight).predict(X))


@pytest.mark.parametrize("labels", [["a", "b", "c"], [False, True], [3, 1, 7], ["yes", "no"]])
def test_labels_of_any_kind(labels, iris) -> None:
    X, y = iris
    X, y = X[y < len(labels)], np.array(labels)[y[y < len(labels)]]
    fitted = quick().fit(X, y)
    assert fitted.classes_.tolist() == sorted(labels)
    assert (fitted.predict(X) == y).mean() > 0.9
    assert fitted.predict_proba(X).shape == (len(X), len(labels))
    np.testing.assert_allclose(np.exp(fitted.predict_log_proba(X)), fitted.predict_proba(X))


@pytest.mark.parametrize("y", [[0, 1, 1], [7, 7, 7], [3, -1, 200], [True, False, True], [5]])
@pytest.mark.parametrize("dtype", [None, np.uint8, ">i4", np.float64, str])
def test_labels_are_known_as_scikit_learn_knows_them(y, dtype) -> None:
    y = np.array(y).astype(dtype)
    ours, theirs = vars(_binarizer(y)), vars(LabelBinarizer().fit(y))
    assert_array_equal(ours.pop("classes_"), theirs.pop("classes_"), strict=True)
    assert ours == theirs


@pytest.mark.parametrize("kind", [int, np.uint8, bool, float, str])
def test_score_is_scikit_learns_accuracy(kind, iris) -> None:
    X, y = iris
    fitted = quick().fit(X, y.astype(kind))
    predicted = fitted.predict(X)
    for target in (y, y[:, None], y.astype(np.int8), y > 0, y.astype(str), y.astype(object), list(y), pd.Series(y)):
        target = target[::-1]  # some of them are wrong
        for weight in (None, y + 1.0):
            try:
                expected = accuracy_score(target, predicted, sample_weight=weight)
            except (TypeError, ValueError) as error:
                with pytest.raises(type(error), match=re.escape(str(error))):
                    fitted.score(X, target, weight)
            else:
                score = fitted.score(X, target, weight)
                assert score == expected
                assert type(score) is type(expected)


def test_score_of_targets_of_another_number_is_refused(iris) -> None:
    X, y = iris
    fitted = quick().fit(X, y)
    for wrong in (y[:-1], y[:1], y[:0]):
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            fitted.score(X, wrong)


def test_score_of_labels_is_none_of_classes() -> None:
    X, labels = make_multilabel_classification(60, 4, n_classes=3, random_state=0)
    fitted = quick().fit(X, labels)
    assert fitted.score(X, labels) == accuracy_score(labels, fitted.predict(X))
    for given in (labels, scipy.sparse.csr_array(labels)):
        with pytest.raises(ValueError, match="can't handle a mix of"):
            quick(max_iter=2).fit(X, given).score(X, labels[:, 0])


@pytest.mark.parametrize("encoded", [lambda y: 2 * y, lambda y: (255 * y).astype(np.uint8), scipy.sparse.csr_array])
def test_labels_are_on_wherever_they_are_not_zero(encoded) -> None:
    X, labels = make_multilabel_classification(60, 4, n_classes=3, random_state=0)
    for given, plain in ((encoded(labels), labels), (encoded(labels) * 3, labels)):
        fitted, expected = (quick(max_iter=5).fit(X, y, X_val=X, y_val=y) for y in (given, plain))
        assert_array_equal(fitted.coefs_[0], expected.coefs_[0])
        assert fitted.validation_loss_curve_ == expected.validation_loss_curve_


@pytest.mark.parametrize("go_on", ["fit", "partial_fit"])
def test_labels_cannot_follow_classes(go_on, iris) -> None:
    X, y = iris[0], (iris[1] > 0) * 1
    fitted = quick(warm_start=True, max_iter=2).fit(X, y)
    with pytest.raises(ValueError, match="The object was not fitted with multilabel input"):
        getattr(fitted, go_on)(X, np.stack([y, y], axis=1))


def test_multilabel_dense_and_sparse() -> None:
    X, y = make_multilabel_classification(80, 6, n_classes=3, random_state=0)
    fitted = quick(max_iter=200).fit(X, y)
    assert fitted.predict(X).shape == y.shape
    assert fitted.score(X, y) > 0.4
    sparse = quick(max_iter=200).fit(X, scipy.sparse.csr_matrix(y)).predict(X)
    np.testing.assert_array_equal(sparse.toarray(), fitted.predict(X))


def test_several_outputs(numbers) -> None:
    X, y = numbers
    both = np.column_stack([y, -y])
    fitted = quick_numbers(solver="lbfgs").fit(X, both)
    assert fitted.predict(X).shape == both.shape
    assert fitted.score(X, both) > 0.9


@pytest.mark.parametrize("through", [pickle, joblib])
def test_pickle_keeps_the_training_state(through, iris, tmp_path) -> None:
    X, y = iris
    fitted = quick(max_iter=3).partial_fit(X, y, classes=[0, 1, 2])
    if through is pickle:
        other = pickle.loads(pickle.dumps(fitted))
    else:
        joblib.dump(fitted, tmp_path / "fitted.joblib")
        other = joblib.load(tmp_path / "fitted.joblib", mmap_mode="r")
    assert other.coefs_[0].base is not None
    assert np.shares_memory(other.coefs_[0], other.network_.params)
    for estimator in (fitted, other):
        estimator.partial_fit(X, y)
    np.testing.assert_array_equal(fitted.coefs_[0], other.coefs_[0])
    np.testing.assert_array_equal(fitted.predict(X), other.predict(X))


def test_clone_and_parameters() -> None:
    estimator = quick(solver=fm.SGD(0.1), dropout=0.2, scoring="loss", class_weight="balanced")
    assert clone(estimator).get_params() == estimator.get_params()
    assert "class_weight='balanced'" in repr(estimator)


def test_the_signature_is_scikit_learns_and_then_ours() -> None:
    import inspect

    from sklearn import neural_network

    for name in ("MLPClassifier", "MLPRegressor"):
        mine = inspect.signature(getattr(fm, name)).parameters
        known = {k: p.default for k, p in inspect.signature(getattr(neural_network, name)).parameters.items()}
        order = [k for k in mine if k in known]
        assert order == list(known)
        assert {k: mine[k].default for k in known} == known
        if set(known) >= {"max_fun"} and ("loss" in known or name == "MLPClassifier"):
            assert list(mine)[: len(known)] == list(known)


class Narrow(fm.MLPClassifier):
    """A subclass with parameters of its own."""

    def __init__(self, width=5, *, networks=1, random_state=0) -> None:
        super().__init__((width,), max_iter=3, n_ensemble=networks, random_state=random_state)
        self.width, self.networks = width, networks


@pytest.mark.parametrize("networks", [1, 2])
def test_a_subclass_may_have_other_parameters(networks, iris) -> None:
    X, y = iris
    narrow = clone(Narrow(width=6, networks=networks)).fit(X, y).fit(X, y)
    assert narrow.get_params() == {"width": 6, "networks": networks, "random_state": 0}
    plain = fm.MLPClassifier((6,), max_iter=3, n_ensemble=networks, random_state=0).fit(X, y)
    np.testing.assert_array_equal(narrow.predict_proba(X), plain.predict_proba(X))


def test_not_fitted(iris) -> None:
    with pytest.raises(NotFittedError, match="This MLPClassifier instance is not fitted yet"):
        quick().predict(iris[0])


def test_partial_fit_needs_a_stochastic_solver(iris) -> None:
    with pytest.raises(AttributeError, match="'MLPClassifier' has no attribute 'partial_fit'"):
        quick(solver="lbfgs").partial_fit(*iris, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        quick(early_stopping=True).partial_fit(*iris, classes=[0, 1, 2])


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"alpha": -1}, "The 'alpha' parameter of MLPClassifier must be a float in the range"),
        ({"solver": "newton"}, "The 'solver' parameter of MLPClassifier must be a str among"),
        ({"activation": "nonsense"}, "The 'activation' parameter of MLPClassifier must be a str among"),
        ({"hidden_layer_sizes": (3, -1)}, r"hidden_layer_sizes must be > 0, got \[3, -1\]"),
        ({"activation": ["relu", "tanh"]}, "activation names 2 activations, but there is 1 hidden layer"),
        ({"early_stopping": True, "validation_fraction": 1e-3}, "The validation set is too small"),
    ],
)
def test_wrong_parameters(parameters, match, iris) -> None:
    X, y = iris
    with pytest.raises(ValueError, match=match):
        quick(**parameters).fit(X, np.minimum(y, 2))


@pytest.mark.parametrize("make", [quick, quick_numbers])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_negative_weights_are_refused(make, solver, iris) -> None:
    X, y = iris
    weight = np.where(np.arange(150) == 4, -1.0, 1.0)
    with pytest.raises(ValueError, match=r"sample_weight has -1.0 in row 4; weights must be >= 0"):
        make(solver=solver).fit(X, y, weight)
    if solver == "adam":
        with pytest.raises(ValueError, match=r"sample_weight has -1.0 in row 4; weights must be >= 0"):
            make().fit(X, y).partial_fit(X, y, weight)
        with pytest.raises(ValueError, match=r"sample_weight_val has -1.0 in row 4; weights must be >= 0"):
            make().fit(X, y, X_val=X, y_val=y, sample_weight_val=weight)


@pytest.mark.parametrize("make", [quick, quick_numbers])
@pytest.mark.parametrize(
    ("parameters", "given", "match"),
    [
        ({}, {"X_val": "narrow", "y_val": "y"}, "X has 1 features, but MLP.* is expecting 4 features"),
        ({}, {"sample_weight": "negative"}, "sample_weight has -1.0 in row 0"),
        ({"learning_rate": "reduce_on_plateau"}, {}, r"got 'val_loss'. Pass X_val and y_val, or early_stopping=True\."),
        ({"callbacks": [5]}, {}, r"a callback must have one of the methods .*; got 5"),
        ({"early_stopping": True, "validation_fraction": 1e-3}, {}, "The validation set is too small"),
    ],
    ids=["validation data", "weights", "a schedule", "a callback", "too few rows"],
)
@pytest.mark.parametrize("warm_start", [False, True])
def test_a_refit_that_is_refused_changes_nothing(make, parameters, given, match, warm_start, iris) -> None:
    X, y = iris
    named = {"narrow": X[:, :1], "y": y, "negative": -np.ones(150)}
    estimator = make(n_ensemble=1 if warm_start else 2).fit(X, y)
    estimator.set_params(n_ensemble=1, warm_start=warm_start, **parameters)
    before, attributes = estimator.predict(X), dict(vars(estimator))
    state = estimator.network_._state
    optimizer, ints = state.optimizer, state.ints.copy()
    with pytest.raises((TypeError, ValueError), match=match):
        estimator.fit(X, (y + 1) % 3, **{name: named[value] for name, value in given.items()})
    np.testing.assert_array_equal(estimator.predict(X), before)
    assert vars(estimator) == attributes
    assert (estimator.network_._state, state.optimizer) == (state, optimizer)
    np.testing.assert_array_equal(state.ints, ints)


def test_an_estimator_whose_first_fit_is_refused_is_not_fitted(iris) -> None:
    X, y = iris
    estimator = quick()
    with pytest.raises(ValueError, match=r"sample_weight has -1.0 in row 0"):
        estimator.partial_fit(X, y, -np.ones(150), classes=[0, 1, 2])
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        estimator.predict(X)
    assert estimator.partial_fit(X, y).n_iter_ == 1


def test_batch_size_is_clipped_with_a_warning(iris) -> None:
    with pytest.warns(UserWarning, match="Got `batch_size` less than 1 or larger than sample size. It is going to be clipped"):
        quick(batch_size=1000).fit(*iris)


def test_end_of_iterations_is_a_warning(iris) -> None:
    with pytest.warns(ConvergenceWarning, match=r"Stochastic Optimizer: Maximum iterations \(2\) reached and the optimization"):
        quick(max_iter=2).fit(*iris)
    with pytest.warns(ConvergenceWarning, match="lbfgs failed to converge"):
        quick(solver="lbfgs", max_iter=2).fit(*iris)


def test_two_classes_too_rare_to_hold_out_have_scikit_learns_names(iris) -> None:
    with pytest.raises(ValueError, match=r"only 1 member.*Classes with too few members are: \['True'\]"):
        quick(early_stopping=True).fit(iris[0][:4], ["a", "a", "a", "b"])


def test_warm_start_with_other_classes(iris) -> None:
    X, y = iris
    fitted = quick(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="warm_start can only be used where `y` has the same classes as in the previous call"):
        fitted.fit(X[y < 2], y[y < 2])
    with pytest.raises(ValueError, match="`y` has classes not in"):
        quick().partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y + 1)


def test_early_stopping_holds_out_the_same_part_of_each_class(iris) -> None:
    X, y = iris
    seen = {}

    def scorer(estimator, X, y):
        seen["y"] = y
        return 0.0

    quick(early_stopping=True, scoring=scorer, validation_fraction=0.2, max_iter=2).fit(X, y)
    assert np.bincount(seen["y"]).tolist() == [10, 10, 10]


def test_an_optimizer_object_has_its_own_penalty_with_lbfgs_too(iris) -> None:
    X, y = iris
    size = {
        (l2, alpha): np.abs(quick(solver=fm.LBFGS(l2=l2), alpha=alpha).fit(X, y).network_.params).sum()
        for l2 in (0.0, 1.0)
        for alpha in (0.0, 1e3)
    }
    assert size[0.0, 0.0] == size[0.0, 1e3] > 10 * size[1.0, 0.0] == 10 * size[1.0, 1e3]
    plain = fm.MLP([4, 8, 3], output="softmax", dtype="float64").fit(X, y, optimizer=fm.LBFGS(l2=1.0))
    penalized = quick(solver=fm.LBFGS(l2=1.0)).fit(X, y)
    assert log_loss(y, penalized.predict_proba(X)) == pytest.approx(plain.loss[-1], rel=1e-3)


def test_the_loss_of_lbfgs_is_that_of_the_parameters_after_an_error_too(iris) -> None:
    X, y = iris

    class Failing(fm.Callback):
        def on_epoch_end(self, net, epoch, logs) -> None:
            if epoch == 4:
                raise ZeroDivisionError("in the fifth iteration")

    fitted = quick(solver="lbfgs", alpha=0.0, callbacks=Failing())
    with pytest.raises(ZeroDivisionError, match="in the fifth iteration"):
        fitted.fit(X, y)
    assert fitted.n_iter_ == 5
    assert fitted.loss_ == pytest.approx(log_loss(y, fitted.predict_proba(X)))


def test_rows_without_weight_are_no_best_loss(iris) -> None:
    X, y = iris
    rates = []
    for nothing in (False, True):
        fitted = quick(solver="sgd", learning_rate="adaptive", learning_rate_init=0.1, class_weight={0: 0.0})
        fitted.partial_fit(X, y, classes=[0, 1, 2])
        if nothing:
            fitted.partial_fit(X[y == 0], y[y == 0])
        assert fitted.best_loss_ > 0.1
        for _ in range(30):
            fitted.partial_fit(X, y)
        rates.append(fitted._policy.rate)
    assert rates == [0.1, 0.1]


@pytest.mark.parametrize("fit", ["fit", "partial_fit"])
def test_warnings_point_to_the_line_of_ones_own(fit, iris) -> None:
    with pytest.warns(UserWarning, match="Got `batch_size` less than 1") as seen:
        getattr(quick_numbers(batch_size=1000, max_iter=2), fit)(*iris)
    with pytest.warns(ConvergenceWarning, match="Maximum iterations") as others:
        cross_val_score(quick(max_iter=2), *iris, cv=2)
    assert {warning.filename for warning in (*seen, *others)} == {__file__}


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        ({"y_val": [0.0, np.nan, 1.0]}, ValueError, "Input y_val contains NaN"),
        ({"y_val": [0, None, 1]}, ValueError, r"y_val has no value in row 1\. Fill the gap or leave the row out"),
        ({"y_val": [0.0, 2.5, 1.0]}, ValueError, "y_val must hold classes, but has numbers between them"),
        ({"X_val": np.zeros((3, 3))}, ValueError, "X_val: X has 3 features, but MLPClassifier is expecting 4"),
    ],
    ids=["NaN", "None", "between classes", "columns"],
)
def test_what_is_wrong_with_validation_data_is_said_by_its_name(wrong, error, match, iris, recwarn) -> None:
    given = {"X_val": np.zeros((3, 4)), "y_val": [0, 1, 2], **wrong}
    with pytest.raises(error, match=match):
        quick().fit(*iris, **given)
    assert not recwarn.list


def test_true_is_one_iteration_as_for_scikit_learn(iris) -> None:
    assert quick(max_iter=True).fit(*iris).n_iter_ == 1
