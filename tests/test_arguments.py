"""The arguments of fit: validation data, class weights, and everything that is refused before any work."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

import fastmlp as fm
from fastmlp import datasets, schedules
from tests.problems import classes, classifier, numbers, regressor


def test_a_fraction_is_held_back_with_the_same_part_of_each_class(engine) -> None:
    X, _ = classes(100)
    y = np.repeat([0, 1, 2], [60, 30, 10])
    kept, held = datasets.split(y, 0.2, classes=True, seed=5)
    assert np.bincount(y[held]).tolist() == [12, 6, 2]
    net, given = classifier(seed=5), classifier(seed=5)
    history = net.fit(X, y, epochs=3, validation=0.2, metrics="accuracy")
    assert history.val_loss[-1] == pytest.approx(net.loss(X[held], y[held]))
    assert history.metrics["val_accuracy"][-1] == accuracy_score(y[held], net.predict(X[held]).argmax(axis=1))
    assert history.metrics["accuracy"][-1] == accuracy_score(y[kept], net.predict(X[kept]).argmax(axis=1))
    given.fit(X[kept], y[kept], epochs=3, validation=(X[held], y[held]), metrics="accuracy")
    assert (net.params == given.params).all()
    assert given.history.metrics == history.metrics


def test_two_classes_on_one_output_are_held_back_alike_and_one_hot_rows_too(engine) -> None:
    X, _ = classes(100)
    y = np.repeat([0, 1], [90, 10])
    held = datasets.split(y, 0.3, classes=True, seed=0)[1]
    assert y[held].sum() == 3
    binary = fm.MLP([4, 5, 1], output="sigmoid")
    assert binary.fit(X, y, epochs=1, validation=0.3).val_loss[-1] == pytest.approx(binary.loss(X[held], y[held]))
    one_hot = fm.MLP([4, 5, 2], output="softmax")
    assert one_hot.fit(X, np.eye(2)[y], epochs=1, validation=0.3).val_loss[-1] == pytest.approx(one_hot.loss(X[held], y[held]))


def test_a_fraction_of_numbers_is_held_back(engine) -> None:
    X, y = numbers(50)
    net = regressor(seed=2)
    kept, held = datasets.split(y, 0.1, classes=False, seed=2)
    assert (len(kept), len(held)) == (45, 5)
    assert net.fit(X, y, epochs=2, validation=0.1).val_loss[-1] == pytest.approx(net.loss(X[held], y[held]))


def test_none_is_no_metric_and_no_callback(engine) -> None:
    X, y = classes(60)
    net, population = classifier(), fm.Population([4, 3], size=2, output="softmax")
    for one in (net, population):
        history = one.fit(X, y, epochs=2, metrics=None, callbacks=None)
        assert set(history.curves) - {"lr"} == {"loss"}


def test_a_network_of_any_seed_can_hold_rows_back(engine) -> None:
    for seed in (-1, 2**64 + 1):
        assert len(regressor(seed=seed).fit(*numbers(30), epochs=1, validation=0.2).val_loss) == 1


def test_given_validation_data_may_have_weights(engine) -> None:
    X, y = numbers(50)
    weight = np.random.default_rng(0).uniform(size=20)
    net = regressor()
    history = net.fit(X[:30], y[:30], epochs=2, validation=(X[30:], y[30:], weight), metrics="mse")
    assert history.val_loss[-1] == pytest.approx(net.loss(X[30:], y[30:], weight))
    assert history.metrics["val_mse"][-1] == pytest.approx(history.val_loss[-1])


def test_held_back_rows_keep_their_sample_weight_but_no_class_weight(engine) -> None:
    """So val_loss says the same whether the data are given or held back."""
    X, y = classes(60)
    weight = np.random.default_rng(0).uniform(1, 2, 60)
    held = datasets.split(y, 0.25, classes=True, seed=0)[1]
    net = classifier()
    history = net.fit(X, y, epochs=2, validation=0.25, sample_weight=weight, class_weight={0: 100.0})
    assert history.val_loss[-1] == pytest.approx(net.loss(X[held], y[held], weight[held]))


def test_class_weights_are_sample_weights_of_each_class(engine) -> None:
    X, y = classes(40)
    by_dict, by_sample, balanced, by_counts = (classifier() for _ in range(4))
    by_dict.fit(X, y, epochs=3, class_weight={0: 2.0, 2: 0.5})
    by_sample.fit(X, y, epochs=3, sample_weight=np.array([2.0, 1.0, 0.5])[y])
    assert (by_dict.params == by_sample.params).all()
    balanced.fit(X, y, epochs=3, class_weight="balanced")
    by_counts.fit(X, y, epochs=3, sample_weight=(len(y) / (3 * np.bincount(y)))[y])
    np.testing.assert_allclose(balanced.params, by_counts.params, rtol=1e-10)
    both, product = classifier(), classifier()
    weight = np.random.default_rng(0).uniform(1, 2, 40)
    both.fit(X, y, epochs=3, sample_weight=weight, class_weight={1: 3.0})
    product.fit(X, y, epochs=3, sample_weight=weight * np.array([1.0, 3.0, 1.0])[y])
    np.testing.assert_allclose(both.params, product.params, rtol=1e-10)


def test_class_weights_are_for_two_classes_on_one_output_too(engine) -> None:
    X, y = classes(40)
    nets = [fm.MLP([4, 5, 1], output="sigmoid", dtype="float64") for _ in range(2)]
    nets[0].fit(X, y == 1, epochs=3, class_weight={1: 2.0})
    nets[1].fit(X, y == 1, epochs=3, sample_weight=np.where(y == 1, 2.0, 1.0))
    assert (nets[0].params == nets[1].params).all()


X4, Y = classes(12)
WRONG = [
    ({"epochs": -1}, ValueError, "epochs must be an integer >= 0; got -1"),
    ({"epochs": 2.0}, TypeError, r"epochs must be an integer >= 0; got 2.0 \(float\). Pass epochs=2"),
    ({"epochs": True}, TypeError, "epochs must be an integer >= 0; got True"),
    ({"batch_size": 0}, ValueError, "batch_size must be an integer >= 1; got 0"),
    ({"batch_size": -4}, ValueError, "batch_size must be an integer >= 1; got -4"),
    ({"batch_size": 1.5}, TypeError, "batch_size must be an integer >= 1; got 1.5"),
    ({"batch_size": "all"}, TypeError, "batch_size must be an integer >= 1; got 'all'"),
    ({"optimizer": "adm"}, ValueError, "optimizer must be one of .*; got 'adm'. Did you mean 'adam'"),
    ({"optimizer": fm.Adam}, TypeError, r"optimizer must be an instance; got the class Adam. Pass fm.Adam\(\)"),
    ({"optimizer": 0.1}, TypeError, "optimizer must be one of .*; got 0.1"),
    ({"optimizer": fm.SGD(schedules.Cosine(0.1, warmup=30))}, ValueError, "warmup takes 30 epochs, but this fit has 2"),
    ({"optimizer": fm.SGD(schedules.ReduceOnPlateau(0.1))}, ValueError,
     r"monitor must be one of 'loss' here; got 'val_loss'. Pass validation=0.1"),
    ({"optimizer": fm.SGD(weight_decay=schedules.Cosine(0.1, warmup=30))}, ValueError, "warmup takes 30 epochs, but"),
    ({"dropout_schedule": 0.5}, TypeError, "dropout_schedule must be a schedule such as .*FlatCosine.*, or None; got 0.5"),
    ({"dropout_schedule": "cosine"}, TypeError, "dropout_schedule must be a schedule such as .*, or None; got 'cosine'"),
    ({"dropout_schedule": schedules.Cosine(2.0)}, ValueError,
     r"dropout_schedule=Cosine\(lr=2.0, .*\) must not go above 1: .* Give it lr=1.0 and the layers their highest rates"),
    ({"dropout_schedule": schedules.ReduceOnPlateau(1.0)}, ValueError, r"dropout_schedule=ReduceOnPlateau.* goes by losses"),
    ({"dropout_schedule": schedules.Cosine(1.0), "optimizer": "lbfgs"}, ValueError,
     r"dropout_schedule=Cosine\(.*\) is of no use to L-BFGS, which has no dropout. Leave it out"),
    ({"dropout_schedule": schedules.Cosine(1.0, warmup=30)}, ValueError, "warmup takes 30 epochs, but this fit has 2"),
    ({"shuffle": 1}, TypeError, "shuffle must be True or False; got 1"),
    ({"metrics": ["acuracy"]}, ValueError, "metric must be one of .*; got 'acuracy'. Did you mean 'accuracy'"),
    ({"metrics": ["r2"]}, ValueError, r"metric 'r2' does not suit this network and data: y has shape \(12, 1\)"),
    ({"metrics": 3}, TypeError, "metric must be one of .*; got 3"),
    ({"metrics": ["mse", "mse"]}, ValueError, "metrics has a second curve called 'mse': name it once"),
    ({"metrics": [fm.metrics.Metric("mse", max), "mse"]}, ValueError, "curve called 'mse': give the function another __name__"),
    ({"metrics": [fm.metrics.Metric("loss", max)]}, ValueError, r"'loss': .*, or the Metric another name\."),
    ({"early_stopping": 5}, TypeError, "early_stopping must be a fm.EarlyStopping or None; got 5"),
    ({"early_stopping": fm.EarlyStopping()}, ValueError, "monitor must be one of 'loss' here; got 'val_loss'. Pass validation"),
    ({"early_stopping": fm.EarlyStopping("accuracy")}, ValueError, r"got 'accuracy'. Pass metrics=\['accuracy'\]"),
    ({"early_stopping": fm.EarlyStopping("val_mse"), "validation": 0.5}, ValueError, r"got 'val_mse'. Pass metrics=\['mse'\]"),
    ({"callbacks": [3]}, TypeError, "a callback must have one of the methods on_train_begin, .*; got 3"),
    ({"callbacks": [fm.EarlyStopping()]}, TypeError, r"got EarlyStopping\(.*\)\. It is for fm\.MLP\.fit"),
    ({"callbacks": 3}, TypeError, "a callback must have one of the methods .*; got 3"),
    ({"callbacks": [fm.Callback]}, TypeError, "a callback must be an instance; got the class Callback"),
    ({"progress": "yes"}, TypeError, "progress must be True or False; got 'yes'"),
    ({"on_divergence": "rise"}, ValueError, "on_divergence must be one of 'warn', 'raise'; got 'rise'. Did you mean 'raise'"),
    ({"validation": 0.0}, ValueError, "validation must be a finite number > 0 and < 1; got 0.0"),
    ({"validation": 1}, ValueError, "validation must be a finite number > 0 and < 1; got 1"),
    ({"validation": True}, TypeError, r"validation must be a fraction > 0 and < 1, or \(X, y\) or \(X, y, s.*\); got True"),
    ({"validation": X4}, TypeError, r"validation must be a fraction > 0 and < 1, or .*; got array\(.{60,75}\.\.\. \(ndarray\)"),
    ({"validation": 0.01}, ValueError, "validation=0.01 of 12 rows leaves 12 to train on and 0 to validate on"),
    ({"validation": (X4,)}, ValueError, r"validation must be a fraction, \(X, y\) or \(X, y, sample_weight\); got 1 part"),
    ({"validation": (X4[:, :2], Y)}, ValueError, "validation X has 2 columns, but this network takes 4 inputs"),
    ({"validation": (X4, Y[:4])}, ValueError, "validation y has 4 rows"),
    ({"validation": (X4, Y + 3)}, ValueError, "validation y has label 3 in row 0"),
    ({"validation": (X4, Y, -np.ones(12))}, ValueError, "weights must be >= 0"),
    ({"validation": (X4, Y, np.zeros(12))}, ValueError, "validation sample_weight is zero in every row"),
    ({"validation": (X4, Y, np.ones(4))}, ValueError, r"^validation sample_weight has shape \(4,\), but its inputs have 12"),
    ({"validation": (X4, Y, np.full(12, 1e200))}, ValueError, r"Pass sample_weight / sample_weight\.max\(\), which changes no"),
    ({"validation": (X4, None)}, TypeError, r"^validation y has dtype object \(it is None\)\. .*: np\.asarray\(y, dtype=float"),
    ({"validation": (X4[:0], Y[:0])}, ValueError, "validation X has no rows"),
    ({"validation": (np.where(X4 == X4[3, 2], np.nan, X4), Y)}, ValueError, "validation X has nan in row 3, column 2"),
    ({"class_weight": {0: 1e200}}, ValueError, "largest class_weight is 1e.200, .* Pass a weight for each class, all div"),
    ({"class_weight": {7: 1.0}}, ValueError, "a key of class_weight must be an integer >= 0 and <= 2; got 7"),
    ({"class_weight": {0: -1.0}}, ValueError, r"class_weight\[0\] must be a finite number >= 0; got -1"),
    ({"class_weight": "balenced"}, ValueError, "class_weight must be one of 'balanced'.* Did you mean 'balanced'"),
    ({"class_weight": [1, 2, 3]}, TypeError, "class_weight must be 'balanced', a dict"),
    ({"class_weight": {0: 0, 1: 0, 2: 0}}, ValueError, "class_weight is zero in every row"),
    ({"sample_weight": -np.ones(12)}, ValueError, "sample_weight has -1.0 in row 0; weights must be >= 0"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "error", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_wrong_arguments_of_fit_are_refused_before_any_work(options, error, message) -> None:
    fm.use_engine("numpy")
    for trained in (False, True):
        net = classifier()
        if trained:
            net.fit(X4, Y, epochs=2, validation=0.5, early_stopping=fm.EarlyStopping(), optimizer="rmsprop")
        state, history = net._state, repr(net.history)
        before = [a.copy() for a in (net.params, net.grad, state.slots, state.ints, state.reals)]
        with pytest.raises(error, match=message):
            net.fit(X4, Y, **{"epochs": 2, **options})
        assert net._state is state
        for now, then in zip((net.params, net.grad, state.slots, state.ints, state.reals), before, strict=True):
            assert (now == then).all()
        assert repr(net.history) == history
    fm.use_engine()


def test_class_weight_of_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match=r"class_weight=\{0: 1\} needs one class for each row"):
        regressor().fit(*numbers(10), class_weight={0: 1})


@pytest.mark.parametrize("part", ["training", "validation"])
def test_a_split_that_leaves_a_part_without_weight_is_refused(part) -> None:
    X, y = numbers(10)
    kept, held = datasets.split(y, 0.3, classes=False, seed=0)
    weight = np.ones(10)
    weight[kept if part == "training" else held] = 0
    with pytest.raises(ValueError, match=f"all {part} rows have sample_weight 0"):
        regressor().fit(X, y, validation=0.3, sample_weight=weight)


def test_a_single_callback_or_metric_may_itself_be_iterable() -> None:
    class Log(list):
        def on_epoch_end(self, net, epoch, logs):
            self.append(epoch)

    class Zero(tuple):
        __name__ = "zero"

        def __call__(self, y, prediction):
            return 0.0

    log, also = Log(), Log()
    X, y = numbers(10)
    history = regressor().fit(X, y, epochs=3, callbacks=log, metrics=Zero())
    assert log == [0, 1, 2]
    assert history.metrics == {"zero": [0.0] * 3}
    regressor().fit(X, y, epochs=2, callbacks=[log, also], metrics=[Zero()])
    assert log == [0, 1, 2, *also] == [0, 1, 2, 0, 1]
