"""Populations of trained networks, and parts of populations: each network goes on from its own state, whatever the others'."""

from __future__ import annotations

import copy
import pickle
import sys

import numpy as np
import pytest

import fastmlp as fm
from fastmlp.reference import ids
from tests.compiler import needs_compiler

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = (X[:, 0] > X[:, 1]).astype(int)


def network(seed: int, optimizer=None, epochs: int = 5, width: int = 8) -> fm.MLP:
    net = fm.MLP([3, width, 1], activation="tanh", output="sigmoid", seed=seed, dtype="float64")
    if optimizer is not None:
        net.fit(X, Y, epochs=epochs, optimizer=optimizer)
    return net


OTHERS = {
    "untrained": None,
    "rmsprop": fm.RMSprop(0.01),
    "momentum": fm.SGD(0.1, momentum=0.9),
    "plain": fm.SGD(0.1),
    "amsgrad": fm.Adam(0.05, amsgrad=True),
    "scales": fm.Adam(0.05, scale_factor=6.0),
    "adam": fm.Adam(0.01),
}


@pytest.mark.parametrize("then", [fm.Adam(0.05), fm.SGD(0.1, momentum=0.5)], ids=["adam", "momentum"])
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("width", [8, 5])
def test_a_network_goes_on_from_its_own_state(other, then, width) -> None:
    nets = [network(0, fm.Adam(0.05)), network(1, OTHERS[other], width=width), network(2)]
    population = fm.Population.of(nets)
    population.fit(X, Y, epochs=3, batch_size=20, optimizer=then, shuffle=False)
    for net, inside in zip(nets, population, strict=True):
        net.fit(X, Y, epochs=3, batch_size=20, optimizer=then, shuffle=False)
        np.testing.assert_allclose(inside.params, net.params, rtol=1e-9, atol=1e-12)
        # And out of the population each goes on as well.
        for each in (inside, net):
            each.fit(X, Y, epochs=2, batch_size=20, optimizer=then, shuffle=False)
        np.testing.assert_allclose(inside.params, net.params, rtol=1e-9, atol=1e-12)


def test_networks_taken_out_have_dropout_masks_of_their_own_seeds(engine, tmp_path) -> None:
    options = {"dropout": 0.5, "init": "zeros", "dtype": "float64"}
    population = fm.Population([3, 64, 1], seeds=[5, 6], **options)
    population.save(tmp_path / "population")
    for each in (population, fm.Population.load(tmp_path / "population"), fm.Population.of(population)):
        for seed, inside in zip([5, 6], each, strict=True):
            expected = fm.MLP([3, 64, 1], seed=seed, **options)
            for net in (inside, expected):
                net.params = np.ones(net.n_params)
                net.backward(X, Y)
            np.testing.assert_array_equal(inside.grad, expected.grad)


def test_what_is_done_with_a_network_afterwards_does_not_reach_the_population() -> None:
    net = fm.MLP([3, 8, 1], dropout=0.5, dtype="float64")
    population = fm.Population.of([net, net])
    before = population[0].copy()
    net.fit(X, Y, epochs=2)
    net.backward(X, Y)
    for inside in population:
        assert inside.history is None
        np.testing.assert_array_equal(inside.grad, 0.0)
        assert inside.backward(X, Y) == before.copy().backward(X, Y)


def test_a_network_that_was_trained_before_keeps_that_history() -> None:
    nets = [network(0, fm.Adam(0.05)), network(1)]
    population = fm.Population.of(nets)
    options = {"epochs": 3, "batch_size": 20, "shuffle": False, "metrics": ["accuracy"], "validation": (X, 1 - Y),
               "early_stopping": fm.EarlyStopping(patience=2)}  # fmt: skip
    population.fit(X, Y, **options)
    assert population.history.loss.shape == (3, 2)
    for net, inside in zip(nets, population, strict=True):
        net.fit(X, Y, **options)
        assert inside.history.curves.keys() == net.history.curves.keys() - ({"lr"} if net is nets[1] else set())
        for name in inside.history.curves.keys() - {"lr"}:
            np.testing.assert_allclose(inside.history.curves[name], net.history.curves[name], rtol=1e-9)
        assert inside.history.best_epoch == net.history.best_epoch
        assert inside.history.stopped == net.history.stopped
    assert len(population[0].history) == 8
    assert population[0].history.seconds > population.history.seconds


@pytest.mark.parametrize("epochs", [0, 2, 30])
@pytest.mark.parametrize("validation", [None, 0.2])
def test_a_selection_goes_on_with_a_history_of_its_own(epochs, validation) -> None:
    population = fm.Population([3, 4, 1], size=20, output="sigmoid")
    population.fit(X, Y, epochs=3, validation=validation)
    chosen = np.arange(10)
    part = population.select(chosen)
    before = population.history.loss.copy()
    part.fit(X, Y, epochs=epochs, validation=validation)
    assert part.history.loss.shape == (3 + epochs, 10)
    np.testing.assert_array_equal(part.history.loss[:3], before[:, chosen])
    np.testing.assert_array_equal(population.history.loss, before)
    assert np.isfinite(part.history.loss).all()


def test_weights_of_each_network_from_a_frame() -> None:
    pandas = pytest.importorskip("pandas")
    population = fm.Population([3, 4, 1], size=len(X), output="sigmoid")
    weights = RNG.uniform(size=(len(X), len(X)))
    expected = population.loss(X, Y, weights)
    np.testing.assert_array_equal(population.loss(X, Y, pandas.DataFrame(weights)), expected)


def test_networks_that_stopped_early_go_on_with_rates_of_their_own() -> None:
    """Those of a schedule that counts steps or epochs since a network was made."""
    options = {"batch_size": 10, "shuffle": False}
    population = fm.Population([3, 5, 1], size=8, dtype="float64", activation="tanh")
    population.fit(X, Y, epochs=30, optimizer=fm.Adam(np.geomspace(1e-3, 1, 8)), validation=(X[:20], 1 - Y[:20]),
                   early_stopping=fm.EarlyStopping(patience=2), **options)  # fmt: skip
    nets = list(population)
    assert len({len(net.history) for net in nets}) > 1
    for optimizer in (fm.SGD(fm.schedules.InverseScaling(0.05)), fm.SGD(fm.schedules.Step(0.05, every=4, factor=0.1))):
        population.fit(X, Y, epochs=3, optimizer=optimizer, **options)
        for net, inside in zip(nets, population, strict=True):
            net.fit(X, Y, epochs=3, optimizer=optimizer, **options)
            np.testing.assert_allclose(inside.params, net.params, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(inside.history.loss, net.history.loss, rtol=1e-9)


def test_a_history_after_networks_stopped_and_went_on_has_their_own_epochs_alone() -> None:
    options = {"batch_size": 10, "shuffle": False, "optimizer": fm.Adam(np.geomspace(1e-3, 1, 8)),
               "validation": (X[:20], 1 - Y[:20]), "early_stopping": fm.EarlyStopping(patience=2)}  # fmt: skip
    population = fm.Population([3, 5, 1], size=8, dtype="float64", activation="tanh")
    population.fit(X, Y, epochs=30, **options)
    nets, optimizers = list(population), options.pop("optimizer").each(8)
    assert len({len(net.history) for net in nets}) > 1
    population.fit(X, Y, epochs=20, optimizer=fm.Adam(np.geomspace(1e-3, 1, 8)), **options)
    for net, inside, optimizer in zip(nets, population, optimizers, strict=True):
        net.fit(X, Y, epochs=20, optimizer=optimizer, **options)
        for mine, its in ((inside.history.loss, net.history.loss), (inside.history.val_loss, net.history.val_loss)):
            np.testing.assert_allclose(mine, its, rtol=1e-9)
        assert inside.history.best_epoch == net.history.best_epoch


@pytest.mark.parametrize("width", [8, 400], ids=["packs", "one by one"])
def test_drop_last_of_a_fit_before_is_of_that_fit_alone(width) -> None:
    nets = [network(seed, width=width) for seed in range(3)]
    for net in nets:
        net.fit(X, Y, epochs=1, batch_size=16, shuffle=False, drop_last=True)
    population = fm.Population.of(nets)
    population.fit(X, Y, epochs=3, batch_size=16, shuffle=False)
    for net, inside in zip(nets, population, strict=True):
        net.fit(X, Y, epochs=3, batch_size=16, shuffle=False)
        np.testing.assert_allclose(inside.params, net.params, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("own", [False, True], ids=["weights of all", "of each"])
def test_class_weights_are_those_of_the_rows_trained_on(own) -> None:
    """A fraction held back keeps the classes' shares, but for rounding."""
    y, weight = (np.arange(60) < 7).astype(int), RNG.uniform(1, 2, 60)
    population = fm.Population([3, 4, 1], size=2, output="sigmoid", dtype="float64")
    net = fm.MLP([3, 4, 1], output="sigmoid", dtype="float64")
    options = {"epochs": 3, "class_weight": "balanced", "validation": 0.25, "shuffle": False}
    net.fit(X, y, sample_weight=weight, **options)
    population.fit(X, y, sample_weight=np.stack([weight, weight[::-1]]) if own else weight, **options)
    np.testing.assert_allclose(population.params[0], net.params, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(population.history.val_loss[:, 0], net.history.val_loss, rtol=1e-9)


def test_numpys_false_does_not_shuffle() -> None:
    one, other = (fm.Population([3, 4, 1], size=2, output="sigmoid") for _ in range(2))
    one.fit(X, Y, epochs=2, batch_size=16, shuffle=np.False_)
    other.fit(X, Y, epochs=2, batch_size=16, shuffle=False)
    np.testing.assert_array_equal(one.params, other.params)


def test_a_fit_of_no_epochs_takes_any_schedule() -> None:
    population = fm.Population([3, 4, 1], size=2, output="sigmoid")
    history = population.fit(X, Y, epochs=0, optimizer=fm.SGD(fm.schedules.CosineLog(0.01)))
    assert len(history.loss) == 0


def test_a_fit_of_more_epochs_than_memory_holds_ends_when_it_is_told_to() -> None:
    class Enough(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            return epoch == 2

    for net in (fm.MLP([3, 1]), fm.Population([3, 1], size=4)):
        assert len(net.fit(X, Y, epochs=10**15, callbacks=[Enough()]).loss) == 3


def test_an_interruption_as_an_epoch_is_kept_leaves_history_and_steps_alike(monkeypatch) -> None:
    """Copies of the networks and the number of epochs behind them are kept in one go."""
    from fastmlp.population import PopulationHistory

    loss, asked = PopulationHistory.loss.fget, []

    def interrupted(self):
        if sys._getframe(1).f_code.co_name == "_keep":
            asked.append(len(loss(self)))
            if asked[-1] == 3:
                raise KeyboardInterrupt("as it is kept")
        return loss(self)

    def metric(y, prediction) -> float:  # of the user's own, so that each epoch is a call
        return 0.0

    population = fm.Population([3, 4, 1], size=3, output="sigmoid")
    monkeypatch.setattr(PopulationHistory, "loss", property(interrupted))
    with pytest.raises(KeyboardInterrupt, match="as it is kept"):
        population.fit(X, Y, epochs=9, batch_size=None, metrics=[metric])
    monkeypatch.undo()
    assert asked == [0, 1, 2, 3]
    assert population._groups[0].ints[:, ids.STEP].tolist() == [len(population.history.loss)] * 3 == [2] * 3
    expected = fm.Population([3, 4, 1], size=3, output="sigmoid")
    expected.fit(X, Y, epochs=2, batch_size=None)
    np.testing.assert_array_equal(population.params, expected.params)


def test_an_interruption_while_a_network_is_done_again_keeps_all_at_one_epoch(monkeypatch) -> None:
    """One network diverges in the midst of a call of many epochs, which are done again one by one to find the last good one."""
    from fastmlp.population.group import Group

    train = Group.train

    def interrupted(self, rows, *others):
        if len(rows) == 1:
            raise KeyboardInterrupt("while one is done again")
        return train(self, rows, *others)

    rates = np.array([1e-3] * 3 + [1e6])
    population = fm.Population([3, 8, 1], size=4)
    monkeypatch.setattr(Group, "train", interrupted)
    with pytest.raises(KeyboardInterrupt, match="while one is done again"):
        population.fit(X, 2 * X[:, :1], epochs=3000, optimizer=fm.SGD(rates), batch_size=None)
    monkeypatch.undo()
    epochs = len(population.history.loss)
    assert population._groups[0].ints[:3, ids.STEP].tolist() == [epochs] * 3
    assert epochs > 0
    others = fm.Population([3, 8, 1], size=3)
    others.fit(X, 2 * X[:, :1], epochs=epochs, optimizer=fm.SGD(rates[:3]), batch_size=None)
    np.testing.assert_allclose(population.params[:3], others.params, rtol=1e-5, atol=1e-6)


@needs_compiler
@pytest.mark.parametrize("width", [8, 90])
def test_another_number_of_threads_does_not_overrun_the_scratch(width, monkeypatch) -> None:
    """Which was taken a moment before another Python thread asked for more of them."""
    from fastmlp.kernels import population as kernels

    size_of = kernels.population_arena_size

    def then_more(*args):
        size = size_of(*args)
        fm.set_threads(16)
        return size

    population = fm.Population([3, width, 1], size=40, dtype="float64")
    expected = population.loss(X, Y)
    try:
        monkeypatch.setattr(kernels, "population_arena_size", then_more)
        for _ in range(20):
            fm.set_threads(1)
            np.testing.assert_array_equal(population.loss(X, Y), expected)
    finally:
        fm.set_threads(None)


@pytest.mark.parametrize("width", [4, 90])
def test_a_callback_may_train_the_population_in_its_own_way(width) -> None:
    """Its settings are not those of the training that goes on after it."""

    class Nested(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            if epoch == 1:
                net.fit(X[:20], Y[:20], epochs=2, batch_size=7, optimizer=fm.SGD(0.001))

    population, parts = (fm.Population([3, width, 1], size=20, output="sigmoid") for _ in range(2))
    population.fit(X, Y, epochs=4, batch_size=16, callbacks=[Nested()], optimizer=fm.SGD(0.1))
    parts.fit(X, Y, epochs=2, batch_size=16, optimizer=fm.SGD(0.1))
    parts.fit(X[:20], Y[:20], epochs=2, batch_size=7, optimizer=fm.SGD(0.001))
    parts.fit(X, Y, epochs=2, batch_size=16, optimizer=fm.SGD(0.1))
    np.testing.assert_array_equal(population.params, parts.params)
    np.testing.assert_array_equal(population.history.loss, parts.history.loss)


def test_what_a_callback_changed_stays_when_a_later_epoch_is_interrupted() -> None:
    calls = []

    def judge(y_true, y_pred):
        calls.append(1)
        if len(calls) > 5:
            raise KeyboardInterrupt("in the third epoch")
        return 0.0

    class Prune(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            net.params[:, 0] = 0.0

    population = fm.Population([3, 4, 1], size=2, output="sigmoid")
    with pytest.raises(KeyboardInterrupt, match="in the third epoch"):
        population.fit(X, Y, epochs=5, callbacks=[Prune()], metrics=[judge])
    assert len(population.history.loss) == 2
    assert (population.params[:, 0] == 0.0).all()


def test_networks_of_equal_rates_go_together_whatever_they_have_behind_them(monkeypatch) -> None:
    """One by one they would leave most lanes of a pack empty."""
    from fastmlp.population.group import Group

    population = fm.Population([3, 4, 1], size=32, output="sigmoid")
    population._groups[0].ints[:, ids.STEP] = np.arange(32)
    calls, train = [], Group.train
    monkeypatch.setattr(Group, "train", lambda self, rows, *others: calls.append(len(rows)) or train(self, rows, *others))
    population.fit(X, Y, epochs=3, optimizer=fm.Adam(0.01))
    assert set(calls) == {32}
    calls.clear()
    population.fit(X, Y, epochs=1, optimizer=fm.SGD(fm.schedules.InverseScaling(0.1)))
    assert calls == [1] * 32


def test_a_callback_that_ruins_a_population_is_not_what_it_goes_back_to() -> None:
    class Ruin(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            if epoch == 1:
                net.params[...] = np.inf

    population = fm.Population([3, 4, 1], size=4, output="sigmoid")
    with pytest.warns(fm.DivergenceWarning, match="4 of 4 networks diverged"):
        population.fit(X, Y, epochs=5, callbacks=[Ruin()])
    assert np.isfinite(population.params).all()


def test_a_nested_fit_keeps_what_early_stopping_found() -> None:
    class Nested(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            if epoch == 3:
                net.fit(X, Y, epochs=2, optimizer=fm.Adam(0.1))

    population = fm.Population([3, 4, 1], size=3, output="sigmoid")
    history = population.fit(X, Y, epochs=8, validation=(X, 1 - Y), optimizer=fm.Adam(0.1), callbacks=[Nested()],
                             early_stopping=fm.EarlyStopping(patience=4))  # fmt: skip
    assert history.best_epoch.tolist() == [0, 0, 0]
    assert history.stopped == ["early stopping"] * 3
    np.testing.assert_allclose(population.loss(X, 1 - Y), history.val_loss[0], rtol=1e-6)


def test_an_error_after_a_fit_by_another_optimizer_comes_out_as_it_is() -> None:
    class Nested(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            net.fit(X, Y, epochs=1, optimizer=fm.SGD(0.1))
            raise KeyError("mine")

    population = fm.Population([3, 4, 1], size=3, output="sigmoid")
    with pytest.raises(KeyError, match="mine"):
        population.fit(X, Y, epochs=3, callbacks=[Nested()])
    assert population._groups[0].ints[:, ids.STEP].tolist() == [1] * 3
    assert population._groups[0].slots.shape[1] == 2


def readonly(buffers):
    """As joblib hands out what it keeps in files."""
    return [memoryview(bytes(buffer)) for buffer in buffers]


@pytest.mark.parametrize("width", [4, 90])
def test_a_population_from_read_only_memory_goes_on_training(width) -> None:
    population = fm.Population([3, width, 1], size=20, output="sigmoid")
    population.fit(X, Y, epochs=3)
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(population, 5, buffer_callback=buffers.append)
    assert buffers
    again = pickle.loads(pickled, buffers=readonly(buffers))
    assert again.params.ctypes.data % 64 == 0
    others = [again, copy.copy(population), population.copy()]
    for each in (*others, population):
        each.fit(X, Y, epochs=2)
    for each in others:
        np.testing.assert_array_equal(each.params, population.params)
        np.testing.assert_array_equal(each.history.loss, population.history.loss)
