"""History: what a training tells of itself, and that being watched does not change it."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import schedules
from tests.problems import classes, classifier, numbers, regressor


def test_history_has_a_number_for_each_epoch(engine) -> None:
    net = classifier()
    X, y = classes()
    history = net.fit(X, y, epochs=4, validation=0.2, metrics=["accuracy"])
    assert history is net.history
    assert len(history) == len(history.loss) == len(history.val_loss) == len(history.lr) == 4
    assert {name: len(curve) for name, curve in history.metrics.items()} == {"accuracy": 4, "val_accuracy": 4}
    assert history.stopped == "epochs"
    assert history.best_epoch is None
    assert history.seconds > 0
    assert history.lr == [1e-3] * 4
    assert set(history.last()) == {"loss", "val_loss", "lr", "accuracy", "val_accuracy"}
    assert all(type(value) is float for curve in history.curves.values() for value in curve)


def test_a_populations_history_is_one_for_each_network_with_the_same_names(engine) -> None:
    population = fm.Population([4, 4, 1], size=5)
    X, y = numbers(30)
    history = population.fit(X, y, epochs=3, validation=0.3, metrics=["mae"])
    assert len(history) == len(population) == len(list(history)) == 5
    for i, (own, net) in enumerate(zip(history, population, strict=True)):
        assert own == history[i] == net.history
        assert own.curves == {name: curve[:, i].tolist() for name, curve in history.curves.items()}
    assert history[-1] == history[4]
    with pytest.raises(IndexError, match="from -5 to 4; got 5"):
        history[5]


def test_an_epoch_that_there_is_not_has_no_numbers() -> None:
    history = fm.history.History(loss=[0.7, 0.2], val_loss=[0.9])
    assert history.at(0) == {"loss": 0.7, "val_loss": 0.9}
    assert history.at(np.int64(1)) == history.last() == {"loss": 0.2}
    for epoch in (-1, 2):
        with pytest.raises(ValueError, match=r"^epoch must be an integer >= 0 and <= 1; got "):
            history.at(epoch)
    with pytest.raises(TypeError, match=r"^epoch must be an integer >= 0 and <= 1; got 1\.5"):
        history.at(1.5)  # type: ignore[arg-type]
    empty = fm.history.History()
    assert empty.last() == {}
    with pytest.raises(ValueError, match="this history has no epochs, so none has the number 0"):
        empty.at(0)


def test_seconds_are_those_of_all_calls(engine) -> None:
    net = regressor()
    first = net.fit(*numbers(), epochs=200).seconds
    assert first > 0
    assert net.fit(*numbers(), epochs=1).seconds > first


def test_no_epochs_are_no_training(engine) -> None:
    net = classifier()
    X, y = classes()
    before = net.params.copy()
    for optimizer in ("adam", "lbfgs", fm.Adam(schedules.OneCycle(0.1)), fm.Adam(schedules.Cosine(0.1))):
        history = net.fit(X, y, epochs=0, optimizer=optimizer, validation=0.5)
        assert (len(history), history.stopped) == (0, "epochs")
        assert (net.params == before).all()


def test_the_loss_of_an_epoch_is_the_mean_over_its_minibatches_as_they_came(engine) -> None:
    net = regressor()
    X, y = numbers(30)
    value = net.loss(X, y)
    assert net.fit(X, y, epochs=1, batch_size=None).loss == [pytest.approx(value)]
    value = net.loss(X, y)
    tiny = net.fit(X, y, epochs=1, batch_size=4, optimizer=fm.SGD(1e-14))
    assert tiny.loss[-1] == pytest.approx(value)


def test_penalties_are_not_in_the_reported_loss(engine) -> None:
    X, y = numbers(30)
    plain, penalized = regressor(), regressor()
    plain.fit(X, y, epochs=1, batch_size=None)
    penalized.fit(X, y, epochs=1, batch_size=None, optimizer=fm.Adam(l2=10.0, l1=1.0, weight_decay=0.5))
    assert plain.history.loss == penalized.history.loss
    assert (plain.params != penalized.params).any()


def test_to_be_watched_does_not_change_a_training(engine) -> None:
    """Validation, metrics and callbacks end each epoch's call; the bits stay the same."""
    X, y = classes(60)
    alone, watched = classifier(dropout=0.2), classifier(dropout=0.2)
    alone.fit(X, y, epochs=30, batch_size=7)
    watched.fit(X, y, epochs=30, batch_size=7, validation=(X, y), metrics=["accuracy"], callbacks=[fm.Callback()],
                early_stopping=fm.EarlyStopping(patience=99, restore_best=False), progress=False)  # fmt: skip
    assert (alone.params == watched.params).all()
    assert alone.history.loss == watched.history.loss


@pytest.mark.parametrize("seconds", [0.0, 1e-4, 1.0])
def test_how_many_steps_a_call_has_does_not_change_a_training(seconds, monkeypatch, engine) -> None:
    X, y = numbers(50)
    one, other = regressor(dropout=0.2), regressor(dropout=0.2)
    one.fit(X, y, epochs=40, batch_size=7, optimizer=fm.Adam(schedules.Cosine(0.01, warmup=2)))
    monkeypatch.setattr("fastmlp.training.CALL_SECONDS", seconds)
    other.fit(X, y, epochs=40, batch_size=7, optimizer=fm.Adam(schedules.Cosine(0.01, warmup=2)))
    assert (one.params == other.params).all()
    assert one.history.loss == other.history.loss
    assert one.history.lr == other.history.lr


def test_metrics_by_name_and_by_function(engine) -> None:
    def worst(y, prediction):
        return np.abs(y - prediction).max()

    X, y = numbers(30)
    net = regressor()
    history = net.fit(X, y, epochs=2, metrics=["mse", "mae", "rmse", "r2", worst], validation=(X, y))
    error = net.predict(X)[:, 0] - y
    last = history.last()
    for prefix in ("", "val_"):
        assert last[f"{prefix}mse"] == pytest.approx((error**2).mean())
        assert last[f"{prefix}rmse"] == pytest.approx(math.sqrt((error**2).mean()))
        assert last[f"{prefix}mae"] == pytest.approx(np.abs(error).mean())
        assert last[f"{prefix}r2"] == pytest.approx(1 - (error**2).mean() / y.var())
        assert last[f"{prefix}worst"] == pytest.approx(np.abs(error).max())


def test_every_place_of_every_curve_belongs_to_its_epoch(engine) -> None:
    """What one call of fit knows and another does not is NaN in the history of both."""
    X, y = numbers(30)
    net = regressor()
    net.fit(X, y, epochs=2)
    net.fit(X, y, epochs=2, validation=(X, y), metrics="mse")
    net.fit(X, y, epochs=1, optimizer="lbfgs")
    history = net.fit(X, y, epochs=1, validation=(X, y))
    np.testing.assert_array_equal(np.isnan(history.val_loss), [True, True, False, False, True, False])
    np.testing.assert_array_equal(np.isnan(history.metrics["mse"]), [True, True, False, False])
    np.testing.assert_array_equal(np.isnan(history.lr), [False, False, False, False, True, False])
    assert set(history.last()) == {"loss", "val_loss", "lr"}


def test_a_history_is_shown_in_one_line(engine) -> None:
    assert repr(fm.History()) == "<History of 0 epochs>"
    history = regressor().fit(*numbers(), epochs=300, validation=0.2, metrics=["r2"])
    assert repr(history) == (
        f"<History of 300 epochs; loss {history.loss[-1]:.4g}, val_loss {history.val_loss[-1]:.4g}, "
        f"r2 {history.metrics['r2'][-1]:.4g}, val_r2 {history.metrics['val_r2'][-1]:.4g}; epochs>"
    )
    population = fm.Population([4, 1], size=5)
    assert repr(fm.PopulationHistory(5)) == "<PopulationHistory of 5 networks, 0 epochs>"
    histories = population.fit(*numbers(), epochs=3, validation=0.2)
    assert repr(histories) == "<PopulationHistory of 5 networks, 3 epochs; loss, val_loss; 5 x epochs>"
    assert repr(fm.Population([4, 1], size=1).fit(*numbers(), epochs=1)).startswith("<PopulationHistory of 1 network, 1 epoch;")
    assert repr(regressor().fit(*numbers(), epochs=1)).startswith("<History of 1 epoch;")


def test_curves_that_were_given_are_not_written_into() -> None:
    base = np.zeros((10, 2))
    history = fm.PopulationHistory(2, {"loss": base[:3]})
    history.add({"loss": np.full((2, 2), -1.0)})
    assert history.loss.tolist() == [[0.0, 0.0]] * 3 + [[-1.0, -1.0]] * 2
    assert not base.any()
    flat = fm.PopulationHistory(2, {"loss": np.arange(20.0).reshape(10, 2)[:3]})
    flat.add({"loss": np.ones((1, 2))})
    assert len(flat.loss) == 4


def test_histories_of_populations_are_the_same_if_they_are_one() -> None:
    first, second = (fm.PopulationHistory(2, {"loss": np.zeros((3, 2))}) for _ in range(2))
    assert first == first != second
    assert [first, second].index(second) == 1
