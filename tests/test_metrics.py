"""Metrics, beside scikit-learn's."""

from __future__ import annotations

import math
import pickle
import re
from typing import Any

import numpy as np
import pytest

import fastmlp as fm
from fastmlp.metrics import METRICS, Metric, default, resolve

RNG = np.random.default_rng(0)
N, K = 40, 3
LABELS = RNG.integers(0, K, N)
PROBABILITIES = RNG.dirichlet(np.ones(K), N)
TARGETS, PREDICTION = RNG.normal(size=(N, K)), RNG.normal(size=(N, K))
WEIGHT = RNG.uniform(0.0, 2.0, N)
ONE_HOT = np.eye(K)[LABELS]


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_every_metric_is_best_at_the_truth(metric: Metric) -> None:
    y = ONE_HOT if metric.kind == "classification" else TARGETS
    wrong = np.roll(y, 1, axis=1) + (metric.kind == "regression")
    best, worse = metric(y, y), metric(y, wrong)
    assert best == (1.0 if metric.higher_is_better else 0.0)
    assert (best > worse) == metric.higher_is_better


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_a_whole_weight_is_a_row_that_many_times(metric: Metric) -> None:
    y, prediction = (ONE_HOT, PROBABILITIES) if metric.kind == "classification" else (TARGETS, PREDICTION)
    counts = RNG.integers(0, 4, N)
    repeated = metric(np.repeat(y, counts, axis=0), np.repeat(prediction, counts, axis=0))
    assert metric(y, prediction, counts.astype(np.float32)) == pytest.approx(repeated)


def test_lists_are_taken_as_arrays() -> None:
    assert METRICS["mae"]([1, 2], [[1], [4]], [3, 1]) == 0.5
    assert METRICS["mae"]([1, 2], [1, 4], []) == 1.0


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_no_weights_are_equal_weights(metric: Metric) -> None:
    y, prediction = (ONE_HOT, PROBABILITIES) if metric.kind == "classification" else (TARGETS, PREDICTION)
    plain = metric(y, prediction)
    assert metric(y, prediction, np.empty(0)) == plain
    assert metric(y, prediction, np.full(N, 3.0)) == pytest.approx(plain)


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_not_a_number_is_never_good(metric: Metric) -> None:
    y = ONE_HOT if metric.kind == "classification" else TARGETS
    found = metric(y, np.full((N, K), np.nan))
    assert found == 0.0 if metric.kind == "classification" else math.isnan(found)


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["equal", "weighted"])
@pytest.mark.parametrize(
    ("name", "peer"),
    [
        ("mse", "mean_squared_error"),
        ("rmse", "root_mean_squared_error"),
        ("mae", "mean_absolute_error"),
        ("r2", "r2_score"),
    ],
)
def test_regression_is_scikit_learn_s(name: str, peer: str, weight: np.ndarray | None) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    for y, prediction in ((TARGETS, PREDICTION), (TARGETS[:, 0], PREDICTION[:, :1])):
        if name == "rmse" and y.ndim == 2:
            continue  # scikit-learn's is the mean of the outputs' roots, ours the root of `mse`
        expected = getattr(sklearn, peer)(y, prediction.reshape(y.shape), sample_weight=weight)
        assert METRICS[name](y, prediction, weight) == pytest.approx(expected)


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["equal", "weighted"])
@pytest.mark.parametrize("y", [LABELS, LABELS[:, None].astype(np.float32), ONE_HOT], ids=["labels", "column", "one-hot"])
def test_accuracy_is_scikit_learn_s(y: np.ndarray, weight: np.ndarray | None) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    expected = sklearn.accuracy_score(LABELS, PROBABILITIES.argmax(axis=1), sample_weight=weight)
    assert METRICS["accuracy"](y, PROBABILITIES, weight) == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_accuracy_of_one_output_is_a_threshold(shape: tuple[int, ...]) -> None:
    y, p = np.array([0, 1, 1, 0, 1]), np.array([0.2, 0.7, 0.4, 0.5, np.nan])
    assert METRICS["accuracy"](y.reshape(shape), p.reshape(shape)) == pytest.approx(3 / 5)


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["equal", "weighted"])
def test_balanced_accuracy_is_scikit_learns(weight) -> None:
    from sklearn.metrics import balanced_accuracy_score

    metric, rare = METRICS["balanced_accuracy"], (LABELS == 2) & (np.arange(N) % 2 == 0)
    for y in (LABELS, ONE_HOT):
        expected = balanced_accuracy_score(LABELS, PROBABILITIES.argmax(axis=1), sample_weight=weight)
        assert metric(y, PROBABILITIES, weight) == pytest.approx(expected)
    expected = balanced_accuracy_score(rare, PROBABILITIES[:, 2] > 0.5, sample_weight=weight)
    assert metric(rare, PROBABILITIES[:, 2:], weight) == pytest.approx(expected)
    assert math.isnan(metric(rare, PROBABILITIES[:, 2:], np.zeros(N)))


def test_a_network_that_names_the_common_class_alone_has_half_the_balanced_accuracy() -> None:
    y = np.array([0] * 9 + [1])
    assert METRICS["accuracy"](y, np.zeros((10, 1))) == 0.9
    assert METRICS["balanced_accuracy"](y, np.zeros((10, 1))) == 0.5


def test_binary_accuracy_counts_each_output() -> None:
    y, p = np.array([[1, 1], [0, 0]]), np.array([[0.9, 0.2], [0.1, 0.3]])
    assert METRICS["binary_accuracy"](y, p) == 0.75


def test_accuracy_refuses_several_labels_in_a_row() -> None:
    with pytest.raises(ValueError, match=r"rows of y do not sum to 1\. For several labels at once use 'binary_accuracy'"):
        METRICS["accuracy"](np.ones((2, 2)), np.ones((2, 2)))


@pytest.mark.parametrize(("close", "expected"), [(0.0, 1.0), (0.1, 0.0)])
def test_r2_of_constant_targets(close: float, expected: float) -> None:
    assert METRICS["r2"](np.ones(5), np.ones((5, 1)) + close) == expected


def test_r2_of_one_row_is_not_a_number() -> None:
    assert math.isnan(METRICS["r2"](np.ones(1), np.ones((1, 1))))


@pytest.mark.parametrize("name", ["mse", "rmse", "mae", "r2", "binary_accuracy"])
def test_shapes_must_agree(name: str) -> None:
    with pytest.raises(ValueError, match=r"y has shape \(4, 1\), but the prediction has \(4, 2\)"):
        METRICS[name](np.ones(4), np.ones((4, 2)))


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_rows_must_agree(metric: Metric) -> None:
    with pytest.raises(ValueError, match="y has 3 rows, but the prediction has 4"):
        metric(np.ones((3, 2)), np.ones((4, 2)))


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
@pytest.mark.parametrize("weight", [np.ones(3), np.ones((4, 1))], ids=str)
def test_each_row_has_one_weight(metric: Metric, weight: np.ndarray) -> None:
    message = f"weight has shape {weight.shape}, but y has 4 rows. Pass weight of shape (4,)."
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        metric(np.ones((4, 1)), np.ones((4, 1)), weight)


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_a_metric_of_no_row_that_counts_is_not_a_number(metric: Metric) -> None:
    y, prediction = (ONE_HOT, PROBABILITIES) if metric.kind == "classification" else (TARGETS, PREDICTION)
    assert math.isnan(metric(y, prediction, np.zeros(N)))


@pytest.mark.parametrize(
    ("y", "prediction", "message"),
    [
        (np.ones((4, 3)), np.ones((4, 2)), r"y has shape \(4, 3\), but the prediction has \(4, 2\)"),
        (np.ones((4, 3)), np.ones((4, 1)), r"y has shape \(4, 3\), but there is one output"),
    ],
)
def test_accuracy_needs_targets_that_fit(y: np.ndarray, prediction: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        METRICS["accuracy"](y, prediction)


@pytest.mark.parametrize(
    ("kind", "n_outputs", "name"),
    [
        ("classes", 3, "accuracy"),
        ("binary", 1, "accuracy"),
        ("binary", 2, "binary_accuracy"),
        ("counts", 1, "r2"),
        ("regression", 2, "r2"),
    ],
)
def test_default_suits_the_targets(kind: str, n_outputs: int, name: str) -> None:
    assert default(kind, n_outputs).name == name


def test_a_function_is_a_metric_by_its_name() -> None:
    def largest_error(y_true: Any, y_pred: Any) -> float:
        return np.abs(y_true - y_pred).max()

    metric = resolve(largest_error)
    assert metric.name == "largest_error"
    assert metric(np.array([[1.0]]), np.array([[3.0]]), np.ones(1)) == 2.0
    assert resolve(metric) is metric


def test_a_metric_of_the_table_is_that_in_another_process_too() -> None:
    sent = pickle.loads(pickle.dumps(METRICS["accuracy"]))
    assert sent is not METRICS["accuracy"]
    assert sent.built_in
    assert not resolve(max).built_in
    assert not Metric("accuracy", max, True).built_in


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (("low", max, "min"), TypeError, r"higher_is_better must be True or False; got 'min' \(str\)"),
        (("low", 3, False), TypeError, r"function must be a function \(y, prediction, weight\) -> float; got 3 \(int\)"),
        ((max, "low", False), TypeError, "name must be text, what the metric is called; got <built-in function max>"),
        (("low", max, False, "classes"), ValueError, "kind must be one of 'classification', 'regression'; got 'classes'"),
    ],
)
def test_a_metric_of_other_values_is_refused(values, error, message) -> None:
    with pytest.raises(error, match=message):
        Metric(*values)


@pytest.mark.parametrize("make", [fm.MLP, lambda layers: fm.Population(layers, size=2)], ids=["MLP", "Population"])
def test_a_function_that_writes_into_what_it_gets_changes_neither_training_nor_other_metrics(make) -> None:
    def clears(y: np.ndarray, prediction: np.ndarray) -> float:
        y[:], prediction[:] = 0.0, 0.0
        return 1.0

    X, y = RNG.normal(size=(N, 2)).astype(np.float32), RNG.normal(size=(N, 1)).astype(np.float32)
    before, one, other = y.copy(), make([2, 1]), make([2, 1])
    judged = one.fit(X, y, epochs=2, metrics=[clears, "mae"])
    np.testing.assert_array_equal(y, before)
    alone = other.fit(X, y, epochs=2, metrics=["mae"])
    np.testing.assert_array_equal(one.params, other.params)
    np.testing.assert_allclose(judged.curves["mae"], alone.curves["mae"], rtol=1e-6)


def test_a_misspelt_metric_gets_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"^metric must be one of .*; got 'acuracy'\. Did you mean 'accuracy'"):
        resolve("acuracy")


@pytest.mark.parametrize(
    ("given", "ours"),
    [("mean_squared_error", "mse"), ("root_mean_squared_error", "rmse"), ("mean_absolute_error", "mae"), ("r2_score", "r2")],
)
def test_a_name_of_another_library_gets_ours(given, ours) -> None:
    with pytest.raises(ValueError, match=rf"^metric must be one of .*; got '{given}'\. Did you mean '{ours}'\?$"):
        resolve(given)


def test_weights_in_the_place_of_the_metric_are_told_where_they_belong() -> None:
    for one in (fm.MLP([1, 1]), fm.Population([1, 1], size=2)):
        with pytest.raises(TypeError, match=r"^metric must be a name, .*; got array.* pass them as sample_weight=\.$"):
            one.score([[0.0], [1.0]], [0.0, 1.0], np.ones(2))


def test_functions_get_class_indices_as_a_column_of_the_network_s_dtype() -> None:
    got = []

    def accuracy(y_true, y_pred):
        got.append((y_true.shape, y_true.dtype, y_pred.shape, y_pred.dtype))
        return (y_true[:, 0] == y_pred.argmax(axis=1)).mean()

    X, y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 3
    net, population = fm.MLP([2, 3], output="softmax"), fm.Population([2, 3], size=2, output="softmax")
    assert net.score(X, y, accuracy) == net.score(X, y)
    assert population.score(X, y, accuracy).tolist() == population.score(X, y).tolist()
    history = net.fit(X, y, epochs=2, metrics=["accuracy", Metric("own", lambda y, p, w: accuracy(y, p))], validation=0.2)
    assert history.metrics["val_own"] == history.metrics["val_accuracy"]
    metric = Metric("own", lambda y, p, w: accuracy(y, p), higher_is_better=True)
    fm.sweep(X, y, widths=[2], depths=[1], epochs=1, metric=metric, n_jobs=1, progress=False)
    assert {(y[1:], y_dtype, p[1:], p_dtype) for y, y_dtype, p, p_dtype in got} == {((1,), net.dtype, (3,), net.dtype)}


def test_a_metric_is_not_a_number() -> None:
    with pytest.raises(TypeError, match=r"or a function \(y_true, y_pred\) -> float; got 1 \(int\)"):
        resolve(1)


@pytest.mark.parametrize("weight", [None, np.array([0.5, 0.25, 0.125, 0.0])])
def test_r2_of_equal_targets_is_0_or_1_whatever_their_mean_rounds_to(weight) -> None:
    r2 = resolve("r2")
    y = np.array([[0.1, 1.0], [0.1, 2.0], [0.1, 3.0], [0.1 if weight is None else 7.0, 4.0]])
    assert r2(y, y, weight) == 1.0
    assert r2(y, y + np.array([1.0, 0.0]), weight) == 0.5


@pytest.mark.parametrize(("answer", "shown"), [(None, "None (NoneType)"), (np.zeros(3), "array([0., 0., 0.]) (ndarray)")])
def test_what_a_function_returns_instead_of_a_number_is_named(answer: object, shown: str) -> None:
    def spread(y: np.ndarray, prediction: np.ndarray) -> object:
        return answer

    net = fm.MLP([2, 1])
    with pytest.raises(TypeError, match=re.escape(f"metric 'spread' must return a number; got {shown}.")):
        net.fit(np.eye(2), [0, 1], epochs=1, metrics=[spread])
    with pytest.raises(TypeError, match="metric 'spread' must return a number"):
        net.score(np.eye(2), [0, 1], spread)


@pytest.mark.parametrize("weight", [None, WEIGHT, np.empty(0)], ids=["equal", "weighted", "none"])
@pytest.mark.parametrize("metric", METRICS.values(), ids=list(METRICS))
@pytest.mark.parametrize("together", [1, 3 * N * K, 1 << 15])
def test_several_networks_are_judged_as_each_by_itself(metric: Metric, weight: Any, together: int, monkeypatch) -> None:
    monkeypatch.setattr("fastmlp.metrics._TOGETHER", together)
    predictions = RNG.dirichlet(np.ones(K), (7, N)).astype(np.float32)
    predictions[2, 5, 1] = np.nan
    for y, found in ((ONE_HOT, predictions), (LABELS[:, None], predictions), (ONE_HOT[:, :1], predictions[:, :, :1])):
        if y.shape[1] < found.shape[2] and metric.name not in ("accuracy", "balanced_accuracy"):
            continue
        apart = [metric(y, one, weight) for one in found]
        np.testing.assert_allclose(metric.of_each(y, found, weight), apart, rtol=1e-13)


def test_a_function_of_one_s_own_judges_one_network_at_a_time() -> None:
    calls = []

    def rows(y: np.ndarray, prediction: np.ndarray) -> float:
        calls.append(prediction.shape)
        return 1.0

    assert resolve(rows).of_each(ONE_HOT, np.zeros((4, N, K))).tolist() == [1.0] * 4
    assert calls == [(N, K)] * 4


def test_a_name_that_means_the_validation_data_is_refused() -> None:
    """Early stopping by the curve "val_score" would look for the metric "score", whose values may be to rise or to fall."""

    def val_score(y, prediction) -> float:
        return -float(((y - prediction) ** 2).mean())

    why = r"^a metric's name must not begin with 'val_', .*; got 'val_score'\. Give it another name, .* another __name__\.$"
    with pytest.raises(ValueError, match=why):
        Metric("val_score", lambda y, prediction, weight: val_score(y, prediction), higher_is_better=True)
    X, y = RNG.normal(size=(12, 3)), RNG.normal(size=12)
    for net in (fm.MLP([3, 1]), fm.Population([3, 1], size=2)):
        with pytest.raises(ValueError, match=why):
            net.fit(X, y, metrics=[val_score])
        assert net.history is None
    with pytest.raises(ValueError, match=why):
        fm.sweep(X, y, widths=2, depths=1, metric=val_score)
