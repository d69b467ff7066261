"""What a population tells of its networks - scores, curves, where they stopped - is what each would tell of itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastmlp as fm

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = X[:, :1] * X[:, 1:2] + 0.3 * RNG.normal(size=(60, 1))
WEIGHT = RNG.uniform(0.0, 2.0, (4, 60))
LAYERS = [3, 5, 1]


def network(seed: int = 0, **options: Any) -> fm.MLP:
    return fm.MLP(LAYERS, **{"activation": "tanh", "dtype": "float64", "seed": seed, **options})


def population(**options: Any) -> fm.Population:
    return fm.Population(LAYERS, **{"activation": "tanh", "dtype": "float64", "size": 4, **options})


# ---- a seed of a population


SEEDED: dict[str, Callable[[], fm.Population]] = {
    "of one architecture": lambda: population(size=2, seeds=[5, 8], seed=8),
    "of several": lambda: fm.Population.of([network(5), network(8)], seed=8),
    "a selection": lambda: population(size=3, seeds=[5, 2, 8], seed=8).select([0, 2]),
}


@pytest.mark.parametrize("made", SEEDED)
def test_its_seed_is_that_of_shuffles_and_of_the_rows_held_back(made) -> None:
    """So the network of that seed is what it would be by itself."""
    options: dict[str, Any] = {"epochs": 3, "batch_size": 8, "validation": 0.25}
    whole, net = SEEDED[made](), network(8)
    assert whole.seed == 8
    history = whole.fit(X, Y, **options)
    net.fit(X, Y, **options)
    np.testing.assert_allclose(history[1].val_loss, net.history.val_loss, rtol=1e-9)
    np.testing.assert_allclose(whole[1].params, net.params, rtol=1e-9, atol=1e-12)


# ---- scores


@pytest.mark.parametrize("own", [False, True], ids=["of all", "of each"])
@pytest.mark.parametrize("metric", [None, "mae", "r2"])
def test_scores_and_losses_are_by_the_weights_and_targets_of_each(metric, own) -> None:
    y, weight = np.stack([Y, -Y, Y + 1, Y**2]), WEIGHT
    if not own:
        y, weight = y[:1].repeat(4, axis=0), weight[:1].repeat(4, axis=0)
    asked = population()
    given = (y, weight) if own else (y[0], weight[0])
    scores, losses = asked.score(X, given[0], metric, given[1]), asked.loss(X, *given)
    for i, net in enumerate(asked):
        assert scores[i] == pytest.approx(net.score(X, y[i], metric, weight[i]))
        assert losses[i] == pytest.approx(net.loss(X, y[i], weight[i]))


def test_the_score_of_several_sigmoid_outputs_is_of_each_output() -> None:
    several = fm.Population([3, 4, 2], size=3, output="sigmoid")
    y = (np.column_stack([Y, -Y]) > 0).astype(float)
    assert several.score(X, y).tolist() == several.score(X, y, "binary_accuracy").tolist() == [n.score(X, y) for n in several]


def test_class_weights_are_by_the_targets_of_each_and_of_no_rows_held_back() -> None:
    y = np.stack([Y > 0, Y > 0.8, Y > -0.8]).astype(float)
    trained, options = population(size=3, output="sigmoid"), {"epochs": 3, "class_weight": "balanced", "shuffle": False}
    nets = list(trained)
    history = trained.fit(X, y, validation=(X[:30], y[:, :30]), **options)
    for i, net in enumerate(nets):
        net.fit(X, y[i], validation=(X[:30], y[i, :30]), **options)
        np.testing.assert_allclose(history[i].val_loss, net.history.val_loss, rtol=1e-9)
        np.testing.assert_allclose(trained.params[i], net.params, rtol=1e-9, atol=1e-12)


# ---- curves, and what goes by them


# Which has the same value in many epochs, and of a function, so that each epoch is a call.
STEPS = fm.metrics.Metric("steps", lambda y, prediction, weight: round(float(np.abs(y - prediction).mean()), 1), False)
STOPPING = {
    "least": fm.EarlyStopping("val_mae", patience=2),
    "highest": fm.EarlyStopping("val_r2", patience=2),
    "by much": fm.EarlyStopping("val_loss", patience=2, min_delta=0.1),
    "in steps": fm.EarlyStopping("val_steps", patience=3),
    "where it ends": fm.EarlyStopping("val_r2", patience=3, restore_best=False),
}


@pytest.mark.parametrize("name", STOPPING)
def test_each_stops_by_its_own_curves(name, engine) -> None:
    """Networks of two architectures; the rows held back have weights."""
    rates, penalties, held = [0.003, 0.03, 0.1, 0.3], [0.0, 0.01, 0.02, 0.1], (X[:25], Y[:25], WEIGHT[0, :25])
    options: dict[str, Any] = {"epochs": 25, "batch_size": 16, "shuffle": False, "validation": held,
                               "metrics": ["mae", "r2", *([STEPS] if name == "in steps" else [])],
                               "early_stopping": STOPPING[name]}  # fmt: skip
    nets = [network(seed, activation="tanh" if seed < 2 else "sigmoid") for seed in range(4)]
    trained = fm.Population.of(nets)
    history = trained.fit(X[25:], Y[25:], optimizer=fm.Adam(rates, l2=penalties), **options)
    for i, net in enumerate(nets):
        net.fit(X[25:], Y[25:], optimizer=fm.Adam(rates[i], l2=penalties[i]), **options)
        assert (history[i].stopped, history[i].best_epoch) == (net.history.stopped, net.history.best_epoch)
        for curve in ("loss", "val_loss", "mae", "r2", "val_mae", "val_r2"):
            np.testing.assert_allclose(history[i].curves[curve], net.history.curves[curve], rtol=1e-8)
        np.testing.assert_allclose(trained[i].params, net.params, rtol=1e-8, atol=1e-10)
    assert len({len(own) for own in history}) > 1


def test_epochs_are_judged_by_the_predictions_of_each_however_many_fit_into_memory(engine, monkeypatch) -> None:
    monkeypatch.setattr("fastmlp.population.run.CALL_SECONDS", 1e9)
    many, few = population(), population()
    options: dict[str, Any] = {"epochs": 12, "metrics": ["mae"], "validation": 0.5}
    expected = many.fit(X, Y, **options)
    monkeypatch.setattr("fastmlp.population.run.MOST_COPIED", 5 * many.params.size)  # and predictions after 4 epochs
    history = few.fit(X, Y, **options)
    for name, curve in expected.curves.items():
        np.testing.assert_array_equal(history.curves[name], curve, name)


def test_each_rate_falls_by_the_curve_that_its_plateau_watches() -> None:
    plateau = fm.schedules.ReduceOnPlateau(0.03, patience=1, factor=0.1, monitor="val_loss")
    options: dict[str, Any] = {"epochs": 12, "optimizer": fm.Adam(plateau), "validation": (X[:25], -Y[:25]), "shuffle": False}
    trained = population()
    nets = list(trained)
    trained.fit(X, Y, **options)
    for i, net in enumerate(nets):
        net.fit(X, Y, **options)
        assert net.history.lr[-1] < 0.01
        np.testing.assert_allclose(trained.params[i], net.params, rtol=1e-9, atol=1e-12)


def test_every_place_of_every_curve_belongs_to_its_epoch() -> None:
    trained = population()
    trained.fit(X, Y, epochs=2)
    trained.fit(X, Y, epochs=3, validation=(X, Y), metrics=["mae"])
    history = trained.fit(X, Y, epochs=1, validation=(X, Y))
    for i in range(4):
        np.testing.assert_array_equal(np.isnan(history.val_loss[:, i]), [True, True, False, False, False, False])
        np.testing.assert_array_equal(np.isnan(history.metrics["val_mae"][:, i]), [True, True, False, False, False, True])
    np.testing.assert_allclose(history.val_loss[-1], trained.loss(X, Y))


def test_seconds_are_those_of_all_fits() -> None:
    trained = population()
    first = trained.fit(X, Y, epochs=200).seconds
    assert trained.fit(X, Y, epochs=1).seconds > first > 0.0
    assert trained.select([1]).history.seconds == trained.history.seconds


# ---- selections


def test_a_selection_tells_what_its_networks_have_told() -> None:
    trained = population()
    trained.fit(X[25:], Y[25:], epochs=25, optimizer=fm.Adam([0.003, 0.03, 0.1, 0.3]), validation=(X[:25], Y[:25]),
                early_stopping=fm.EarlyStopping(patience=2))  # fmt: skip
    assert len({(own.stopped, own.best_epoch) for own in trained.history}) == 4
    part = trained.select([3, 0])
    assert [part.history[0], part.history[1]] == [trained.history[3], trained.history[0]]


def test_networks_of_a_selection_go_on_with_their_own_optimizers_states() -> None:
    nets = [network(seed) for seed in range(3)]
    for net, optimizer in zip(nets, (fm.SGD(0.1, momentum=0.9), fm.Adam(0.05), fm.Adam(0.05)), strict=True):
        net.fit(X, Y, epochs=3, optimizer=optimizer, shuffle=False)
    part = fm.Population.of(nets).select([2, 0])
    part.fit(X, Y, epochs=3, optimizer=fm.Adam(0.05), shuffle=False)
    for net, inside in zip((nets[2], nets[0]), part, strict=True):
        net.fit(X, Y, epochs=3, optimizer=fm.Adam(0.05), shuffle=False)
        np.testing.assert_allclose(inside.params, net.params, rtol=1e-9, atol=1e-12)


# ---- callbacks


def test_each_callback_may_stop_some_networks_and_is_told_epochs_of_all_fits() -> None:
    class Stop(fm.Callback):
        def __init__(self, network: int) -> None:
            self.network, self.begun, self.epochs, self.ended = network, 0, [], []

        def on_train_begin(self, net):
            self.begun += 1

        def on_epoch_end(self, net, epoch, logs):
            self.epochs.append(epoch)
            return np.arange(4) == self.network if epoch >= 3 else None

        def on_train_end(self, net, history):
            self.ended.append(len(history.loss))

    trained, callbacks = population(), [Stop(2), Stop(0)]
    trained.fit(X, Y, epochs=2, callbacks=callbacks)
    history = trained.fit(X, Y, epochs=4, callbacks=callbacks)
    assert history.stopped == ["callback", "epochs", "callback", "epochs"]
    assert [len(own) for own in history] == [4, 6, 4, 6]
    for callback in callbacks:
        assert (callback.begun, callback.epochs, callback.ended) == (2, list(range(6)), [2, 6])


@pytest.mark.parametrize(("error", "why"), [(KeyError, "failed"), (KeyboardInterrupt, "interrupted")])
def test_a_history_says_whether_a_callback_failed_or_was_interrupted(error, why) -> None:
    class Raise(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            if epoch == 2:
                raise error("in the third epoch")
            return np.arange(4) == 1

    trained = population()
    with pytest.raises(error, match="in the third epoch"):
        trained.fit(X, Y, epochs=5, callbacks=[Raise()])
    assert trained.history.stopped == [why, "callback", why, why]
