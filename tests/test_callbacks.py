"""Callbacks and early stopping."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastmlp as fm
from tests.problems import classes, classifier, numbers, regressor


@pytest.mark.parametrize("patience", [1, 2, 5])
def test_early_stopping_waits_for_patience_epochs_and_gives_the_best_back(patience, engine) -> None:
    X, y = numbers(40)
    Xv, yv = numbers(40, seed=1)
    options = {"batch_size": 5, "optimizer": fm.Adam(0.02)}
    net = regressor()
    history = net.fit(X, y, epochs=500, validation=(Xv, yv), early_stopping=fm.EarlyStopping(patience=patience), **options)
    assert history.stopped == "early stopping"
    best = int(np.argmin(history.val_loss))
    assert history.best_epoch == best
    assert len(history) == best + 1 + patience
    assert net.loss(Xv, yv) == pytest.approx(history.val_loss[best], rel=1e-13)
    fresh = regressor()
    fresh.fit(X, y, epochs=best + 1, **options)
    assert (net.params == fresh.params).all()


def test_early_stopping_may_keep_the_last_parameters(engine) -> None:
    X, y = numbers(40)
    Xv, yv = numbers(40, seed=1)
    net, fresh = regressor(), regressor()
    history = net.fit(X, y, epochs=500, validation=(Xv, yv), optimizer=fm.Adam(0.02), batch_size=5,
                      early_stopping=fm.EarlyStopping(patience=2, restore_best=False))  # fmt: skip
    fresh.fit(X, y, epochs=len(history), optimizer=fm.Adam(0.02), batch_size=5)
    assert (net.params == fresh.params).all()
    assert history.best_epoch == len(history) - 3


def test_early_stopping_asks_for_an_improvement_of_min_delta(engine) -> None:
    X, y = numbers(40)
    net = regressor()
    stopping = fm.EarlyStopping("loss", patience=3, min_delta=0.05)
    history = net.fit(X, y, epochs=500, optimizer=fm.SGD(0.01), early_stopping=stopping)
    best, since = math.inf, 0
    for epoch, loss in enumerate(history.loss):
        since = 0 if loss < best - 0.05 else since + 1
        best = loss if since == 0 else best
        assert (since == 3) == (epoch == len(history) - 1)
    assert history.stopped == "early stopping"
    assert history.loss[history.best_epoch] == best > min(history.loss)


@pytest.mark.parametrize(("monitor", "better"), [("val_accuracy", np.argmax), ("accuracy", np.argmax), ("val_mse", np.argmin),
                                                 ("mse", np.argmin), ("val_loss", np.argmin)])  # fmt: skip
def test_early_stopping_watches_any_curve_in_its_own_direction(monitor, better, engine) -> None:
    X, y = classes(60)
    y = np.eye(3)[y]
    noisy = np.eye(3)[np.random.default_rng(3).integers(3, size=60)]
    net = classifier()
    history = net.fit(X, y, epochs=300, validation=(X, noisy), metrics=["accuracy", "mse"], optimizer=fm.Adam(0.05),
                      early_stopping=fm.EarlyStopping(monitor, patience=5))  # fmt: skip
    curve = {**history.metrics, "val_loss": history.val_loss}[monitor]
    assert history.best_epoch == better(curve)
    assert history.stopped in ("early stopping", "epochs")
    fresh = classifier()
    fresh.fit(X, y, epochs=history.best_epoch + 1, optimizer=fm.Adam(0.05))
    assert (net.params == fresh.params).all()


def test_a_metric_of_ones_own_says_whether_it_is_to_be_high(engine) -> None:
    X, y = numbers(30)
    ups, downs = iter(range(100)), iter(range(100))
    up = fm.metrics.Metric("up", lambda y, p, w: next(ups), higher_is_better=True)
    down = fm.metrics.Metric("down", lambda y, p, w: next(downs), higher_is_better=False)
    for metric, best in ((up, 9), (down, 0)):
        net = regressor()
        history = net.fit(X, y, epochs=10, metrics=[metric], early_stopping=fm.EarlyStopping(metric.name, patience=100))
        assert (history.best_epoch, history.stopped) == (best, "epochs")


@pytest.mark.parametrize("kind", ["network", "population"])
@pytest.mark.parametrize("monitor", ["worst", "val_worst"])
def test_early_stopping_by_a_function_is_refused_since_errors_are_to_fall_and_scores_to_rise(engine, monitor, kind) -> None:
    def worst(y, prediction):
        return float(np.abs(y - prediction).max())

    X, y = numbers(30)
    net = regressor() if kind == "network" else fm.Population([4, 3, 1], size=2, dtype="float64")
    before = net.params.copy()
    with pytest.raises(ValueError, match=rf"early stopping by '{monitor}' needs to know whether 'worst' is to be high or low"):
        net.fit(X, y, metrics=[worst], validation=(X, y), early_stopping=fm.EarlyStopping(monitor))
    assert (net.params == before).all()
    net.fit(X, y, epochs=2, metrics=[worst], validation=(X, y), early_stopping=fm.EarlyStopping("val_loss"))
    wrapped = fm.metrics.Metric("worst", lambda y, prediction, weight: worst(y, prediction), higher_is_better=False)
    net.fit(X, y, epochs=2, metrics=[wrapped], validation=(X, y), early_stopping=fm.EarlyStopping(monitor))


def test_a_curve_of_nan_is_no_improvement(engine) -> None:
    X, y = numbers(30)

    undefined = fm.metrics.Metric("undefined", lambda y, prediction, weight: math.nan, higher_is_better=True)
    net = regressor()
    history = net.fit(X, y, epochs=10, metrics=[undefined], early_stopping=fm.EarlyStopping("undefined", patience=2))
    assert (len(history), history.best_epoch, history.stopped) == (2, None, "early stopping")


def test_the_best_of_one_fit_is_nothing_to_the_next(engine) -> None:
    X, y = numbers(30)
    net = regressor()
    stopping = fm.EarlyStopping("loss", patience=3)
    net.fit(X, y, epochs=20, batch_size=5, early_stopping=stopping)
    history = net.fit(X, y, epochs=5, batch_size=5, optimizer=fm.SGD(1e-9), early_stopping=stopping)
    assert history.best_epoch is not None
    assert history.best_epoch >= 20
    net.fit(X, y, epochs=1)
    assert history.best_epoch is None


# ---- callbacks


class Diary(fm.Callback):
    """Writes down what it is told."""

    def __init__(self, stop_after: int | None = None):
        self.lines, self.stop_after = [], stop_after

    def on_train_begin(self, net):
        self.lines.append(("begin", len(net.history)))

    def on_epoch_end(self, net, epoch, logs):
        self.lines.append(("epoch", epoch, dict(logs)))
        return epoch == self.stop_after

    def on_train_end(self, net, history):
        self.lines.append(("end", len(history), history.stopped))


def test_a_callback_hears_of_each_event_in_order(engine) -> None:
    X, y = classes(30)
    diary, net = Diary(), classifier()
    history = net.fit(X, y, epochs=2, validation=(X, y), metrics="accuracy", callbacks=[diary])
    assert [line[0] for line in diary.lines] == ["begin", "epoch", "epoch", "end"]
    for epoch in range(2):
        logs = {name: curve[epoch] for name, curve in history.curves.items()}
        assert set(logs) == {"loss", "val_loss", "lr", "accuracy", "val_accuracy"}
        assert diary.lines[1 + epoch] == ("epoch", epoch, logs)
    assert diary.lines[-1] == ("end", 2, "epochs")
    net.fit(X, y, epochs=1, callbacks=diary)
    assert [line[:2] for line in diary.lines[4:]] == [("begin", 2), ("epoch", 2), ("end", 3)]


@pytest.mark.parametrize("answer", [True, 1, np.True_, "stop"])
@pytest.mark.parametrize("first", [True, False])
def test_a_true_answer_ends_the_training_and_others_hear_of_the_epoch_all_the_same(answer, first, engine) -> None:
    class Stop:
        def on_epoch_end(self, net, epoch, logs):
            return answer if epoch == 2 else None

    diary, net, fresh = Diary(), classifier(), classifier()
    X, y = classes(30)
    history = net.fit(X, y, epochs=100, callbacks=[Stop(), diary] if first else [diary, Stop()])
    assert (len(history), history.stopped) == (3, "callback")
    assert diary.lines[-2][:2] == ("epoch", 2)
    assert diary.lines[-1] == ("end", 3, "callback")
    fresh.fit(X, y, epochs=3)
    assert (net.params == fresh.params).all()


async def later() -> bool:
    return False


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (np.array([True, False]), r"got array\(\[ True, False\]\) \(ndarray of shape \(2,\)\)\. Return bool\(answer\.any\("),
        (np.zeros(0), r"got array\(\[\], dtype=float64\) \(ndarray of shape \(0,\)\)"),
        ([False], r"got \[False\] \(list\)\. Return True where the training is to end\."),
        ({"loss": 1.0}, r"got \{'loss': 1\.0\} \(dict\)"),
        (later, r"got <coroutine object later .*\(coroutine\)"),
    ],
)
def test_an_answer_that_says_neither_yes_nor_no_is_refused(answer, message, optimizer, engine) -> None:
    class Odd:
        def on_epoch_end(self, net, epoch, logs):
            return given if epoch == 1 else None

    given = answer() if callable(answer) else answer
    net, fresh, diary = regressor(), regressor(), Diary()
    wanted = r"Odd\.on_epoch_end must return True to end the training, or False or None to go on; "
    with pytest.raises(TypeError, match=wanted + message):
        net.fit(*numbers(30), epochs=5, optimizer=optimizer, callbacks=[Odd(), diary])
    assert diary.lines[-1][:2] == ("epoch", 1)
    fresh.fit(*numbers(30), epochs=2, optimizer=optimizer)
    assert (net.params == fresh.params).all()
    if callable(answer):
        given.close()


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_an_answer_that_says_neither_yes_nor_no_is_refused_by_an_estimator(solver) -> None:
    class Odd:
        def on_epoch_end(self, net, epoch, logs):
            return np.array([True, False])

    est = fm.MLPRegressor(hidden_layer_sizes=(8,), solver=solver, callbacks=[Odd()], random_state=0)
    with pytest.raises(TypeError, match=r"Odd\.on_epoch_end must return True to end the training"):
        est.fit(*numbers(50))


@pytest.mark.parametrize(("answer", "epochs"), [(np.array([True]), 1), (np.array([[0.0]]), 3), (np.array(1), 1), ("", 3)])
def test_an_array_of_one_answer_is_one(answer, epochs, engine) -> None:
    from types import SimpleNamespace

    callback = SimpleNamespace(on_epoch_end=lambda net, epoch, logs: answer)
    assert len(regressor().fit(*numbers(30), epochs=3, callbacks=[callback])) == epochs


def test_any_object_with_one_of_the_methods_is_a_callback(engine) -> None:
    from types import SimpleNamespace

    heard = []
    callback = SimpleNamespace(on_train_end=lambda net, history: heard.append(history.stopped))
    classifier().fit(*classes(30), epochs=1, callbacks=[callback])
    assert heard == ["epochs"]


def test_a_method_that_nobody_would_call_is_refused(engine) -> None:
    class Misspelt(fm.Callback):
        on_gpu = False

        def on_epoch_ends(self, net, epoch, logs):
            raise AssertionError

    class Foreign:
        def on_batch_end(self, batch, logs):
            raise AssertionError

        def on_train_end(self, net, history):
            self.heard = True

    net, foreign = regressor(), Foreign()
    why = r"a method on_\.\.\. of Misspelt must be one of .*; got 'on_epoch_ends'\. Did you mean 'on_epoch_end'"
    with pytest.raises(ValueError, match=why):
        net.fit(*numbers(), epochs=1, callbacks=[Misspelt()])
    assert net.history is None
    net.fit(*numbers(), epochs=1, callbacks=[foreign])
    assert foreign.heard


def test_a_callback_may_look_at_the_network_and_copy_it(engine) -> None:
    copies = []

    class Keep(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            copies.append((net.copy(), net.predict(X)))

    X, y = classes(30)
    net = classifier(dropout=0.2)
    net.fit(X, y, epochs=3, callbacks=[Keep()])
    for epochs, (copied, prediction) in enumerate(copies, 1):
        fresh = classifier(dropout=0.2)
        fresh.fit(X, y, epochs=epochs)
        assert (copied.params == fresh.params).all()
        assert (copied.predict(X) == prediction).all()
        assert len(copied.history) == epochs
        copied.fit(X, y, epochs=3 - epochs)
        assert (copied.params == net.params).all()


def test_what_a_callback_does_to_the_parameters_stays(engine) -> None:
    class Zero(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            net.biases[-1][:] = 0.25

    net = classifier()
    net.fit(*classes(30), epochs=3, callbacks=[Zero()])
    assert (net.biases[-1] == 0.25).all()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_an_exception_in_a_callback_ends_the_training_after_that_epoch(error, optimizer, engine) -> None:
    class Break(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            if epoch == 2:
                raise error("out of paper")

    X, y = classes(30)
    net, fresh, whole = (classifier(dropout=0.1) for _ in range(3))
    with pytest.raises(error, match="out of paper"):
        net.fit(X, y, epochs=10, optimizer=optimizer, callbacks=[Break()], validation=(X, y))
    ended = "failed" if error is RuntimeError else "interrupted"
    assert (len(net.history), net.history.stopped) == (3, ended)
    assert len(net.history.val_loss) == 3
    fresh.fit(X, y, epochs=3, optimizer=optimizer, validation=(X, y))
    np.testing.assert_array_equal(net.params, fresh.params)
    if optimizer == "adam":
        net.fit(X, y, epochs=2)
        whole.fit(X, y, epochs=5)
        assert (net.params == whole.params).all()
        assert net.history.loss == whole.history.loss


def test_an_exception_before_the_first_epoch_leaves_the_network_as_it_was(engine) -> None:
    class Break(fm.Callback):
        def on_train_begin(self, net):
            raise KeyboardInterrupt("at once")

    net = classifier()
    before = net.params.copy()
    with pytest.raises(KeyboardInterrupt, match="at once"):
        net.fit(*classes(30), callbacks=[Break()])
    assert (net.params == before).all()
    assert (len(net.history), net.history.stopped) == (0, "interrupted")


def test_an_exception_in_a_metric_takes_the_epoch_back(engine) -> None:
    """The epoch is not whole before it has been judged."""
    calls = []

    def fragile(y, prediction):
        calls.append(1)
        if len(calls) == 3:
            raise ZeroDivisionError("no such thing")
        return 0.0

    X, y = classes(30)
    net, fresh = classifier(), classifier()
    with pytest.raises(ZeroDivisionError, match="no such thing"):
        net.fit(X, y, epochs=5, metrics=[fragile])
    fresh.fit(X, y, epochs=2)
    assert (net.params == fresh.params).all()
    assert {name: len(curve) for name, curve in net.history.curves.items()} == {"loss": 2, "lr": 2, "fragile": 2}


@pytest.mark.parametrize("watched", [False, True])
def test_an_interruption_while_an_epoch_is_put_down_leaves_everything_at_the_same_epoch(watched, monkeypatch) -> None:
    """Ctrl-C may come between any two instructions."""
    from fastmlp.state import TrainingState

    X, y = classes(30)
    for call in range(1, 4):
        net, fresh = classifier(), classifier()
        calls, save = iter(range(1000)), TrainingState.save

        def interrupted(self, *args, calls=calls, call=call, save=save):
            if next(calls) == call:
                raise KeyboardInterrupt("now")
            return save(self, *args)

        monkeypatch.setattr(TrainingState, "save", interrupted)
        with pytest.raises(KeyboardInterrupt, match="now"):
            net.fit(X, y, epochs=30_000, callbacks=[fm.Callback()] if watched else [], validation=(X, y) if watched else None)
        monkeypatch.setattr(TrainingState, "save", save)
        epochs = len(net.history)
        assert len(net.history.lr) == epochs
        assert len(net.history.val_loss) == (epochs if watched else 0)
        fresh.fit(X, y, epochs=epochs)
        assert (net.params == fresh.params).all()
        assert net.history.loss == fresh.history.loss


def test_an_interrupted_early_stopping_gives_the_best_back(engine) -> None:
    class Break(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            if epoch == 30:
                raise KeyboardInterrupt("enough")

    X, y = numbers(40)
    net, fresh = regressor(), regressor()
    with pytest.raises(KeyboardInterrupt, match="enough"):
        net.fit(X, y, epochs=50, validation=numbers(40, seed=1), optimizer=fm.Adam(0.05), batch_size=4,
                callbacks=[Break()], early_stopping=fm.EarlyStopping(patience=99, min_delta=0.0))  # fmt: skip
    best = net.history.best_epoch
    assert best == int(np.argmin(net.history.val_loss[:30]))  # the callback came before the last one was judged
    fresh.fit(X, y, epochs=best + 1, optimizer=fm.Adam(0.05), batch_size=4)
    assert (net.params == fresh.params).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"monitor": 3}, TypeError, "monitor must be a curve's name, such as 'val_loss'; got 3"),
        ({"patience": 0}, ValueError, "patience must be an integer >= 1; got 0"),
        ({"patience": 2.5}, TypeError, "patience must be an integer >= 1; got 2.5"),
        ({"min_delta": -1.0}, ValueError, "min_delta must be a finite number >= 0; got -1.0"),
        ({"restore_best": 1}, TypeError, "restore_best must be True or False; got 1"),
    ],
)
def test_early_stopping_refuses_what_it_cannot_mean(options, error, message) -> None:
    with pytest.raises(error, match=message):
        fm.EarlyStopping(**options)


@pytest.mark.parametrize("batch_size", [64, 7, None])
def test_a_callback_may_train_the_network_in_its_own_way(batch_size, engine) -> None:
    """Its settings are not those of the training that goes on after it."""
    X, y = numbers(200)

    class Nested(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            if epoch == 2:
                net.fit(X[:50], y[:50], epochs=2, batch_size=batch_size, optimizer=fm.SGD(0.001), shuffle=False)

    net = regressor()
    history = net.fit(X, y, epochs=6, batch_size=64, callbacks=[Nested()], optimizer=fm.SGD(0.01))
    parts = regressor()
    parts.fit(X, y, epochs=3, batch_size=64, optimizer=fm.SGD(0.01))
    parts.fit(X[:50], y[:50], epochs=2, batch_size=batch_size, optimizer=fm.SGD(0.001), shuffle=False)
    parts.fit(X, y, epochs=3, batch_size=64, optimizer=fm.SGD(0.01))
    assert len(history) == 8
    np.testing.assert_array_equal(net.params, parts.params)
    np.testing.assert_array_equal(history.loss[5:], parts.history.loss[5:])


def test_what_a_callback_changed_stays_when_a_later_epoch_is_interrupted(engine) -> None:
    X, y = numbers(50)

    class Prune(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            net.weights[0][0] = 0.0

    net = regressor()
    predict = net.predict
    calls = []

    def judged(X):
        calls.append(len(X))
        if len(calls) == 3:
            raise KeyboardInterrupt("in the third epoch")
        return predict(X)

    net.predict = judged
    with pytest.raises(KeyboardInterrupt, match="in the third epoch"):
        net.fit(X, y, epochs=5, callbacks=[Prune()], metrics=["r2"])
    assert len(net.history) == 2
    assert (net.weights[0][0] == 0.0).all()


def test_an_error_after_a_fit_by_another_optimizer_comes_out_as_it_is(engine) -> None:
    X, y = numbers(30)

    class Nested(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            net.fit(X, y, epochs=1, optimizer=fm.SGD(0.01))
            raise KeyError("mine")

    net = regressor()
    with pytest.raises(KeyError, match="mine"):
        net.fit(X, y, epochs=3, callbacks=[Nested()])
    assert net._state.optimizer == fm.Adam()
    assert net._state.slots.shape == (2, net.n_params)
    assert (len(net.history), net.history.stopped) == (1, "failed")


def test_a_callback_that_ruins_a_network_is_not_what_it_goes_back_to(engine) -> None:
    X, y = numbers(30)

    class Ruin(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            if epoch == 1:
                net.params[...] = np.inf

    net = regressor()
    with pytest.warns(fm.DivergenceWarning, match="The parameters are those after 2 epochs"):
        net.fit(X, y, epochs=5, callbacks=[Ruin()])
    assert np.isfinite(net.params).all()


def test_what_is_changed_before_the_first_epoch_stays_if_that_diverges(engine) -> None:
    X, y = numbers(30)

    class Begin(fm.Callback):
        def on_train_begin(self, net):
            net.params[...] = 0.123

    net = regressor()
    with pytest.warns(fm.DivergenceWarning, match="Training diverged in epoch 0"):
        net.fit(X, y, epochs=5, batch_size=1, callbacks=[Begin()], optimizer=fm.SGD(1e308))
    np.testing.assert_array_equal(net.params, 0.123)


# ---- a reset in a callback
