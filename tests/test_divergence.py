"""When a loss or a parameter becomes infinite or NaN: the last finite epoch comes back, and a message says what to do.

The example: one weight w, no bias, x = 1, y = 0. The loss is w², its gradient 2 w, and a step makes w into (1 - 2 lr) w.
"""

from __future__ import annotations

import numpy as np
import pytest

import fastmlp as fm
from tests.problems import numbers, regressor

pytestmark = pytest.mark.usefixtures("engine")


def one_weight() -> fm.MLP:
    net = fm.MLP([1, (1, False)])
    net.params = [1.0]
    return net


def diverge(net, *, rows=1, lr=1.5, epochs=1000, match="", **options) -> fm.History:
    with pytest.warns(fm.DivergenceWarning, match=match) as caught:
        history = net.fit(np.ones((rows, 1)), np.zeros(rows), epochs=epochs, batch_size=1, optimizer=fm.SGD(lr), **options)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    return history


def test_the_last_finite_epoch_comes_back_even_from_a_call_of_many_epochs() -> None:
    """With lr = 1.5 w doubles and changes its sign: its square is 2^(2 * 64) after 64 epochs, just too large for float32."""
    net = one_weight()
    history = diverge(net, match="Training diverged in epoch 64: .* parameters are those after 64 epochs. .* rate was 1.5: try")
    assert history.loss == [4.0**epoch for epoch in range(64)]
    assert len(history.lr) == 64
    assert history.stopped == "diverged"
    assert net.params.tolist() == [2.0**64]


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("seconds", [0.002, 1e9])
def test_the_last_finite_epoch_comes_back_from_the_middle_of_a_long_epoch(watched, seconds, monkeypatch) -> None:
    """1 - 2 lr = -1.01 takes 4,459 steps to 2^64: more than two epochs of 2,000. Many calls an epoch, or few."""
    monkeypatch.setattr("fastmlp.training.CALL_SECONDS", seconds)
    net, fresh = one_weight(), one_weight()
    history = diverge(net, rows=2000, lr=1.005, match="diverged in epoch 2:", callbacks=[fm.Callback()] if watched else [])
    fresh.fit(np.ones((2000, 1)), np.zeros(2000), epochs=2, batch_size=1, optimizer=fm.SGD(1.005))
    assert len(history) == 2
    assert history.loss == fresh.history.loss
    assert (net.params == fresh.params).all()
    assert net.params[0] == pytest.approx(1.01**4000, rel=1e-3)


def test_the_message_names_epoch_learning_rate_and_remedy() -> None:
    message = (
        "^Training diverged in epoch 57: its loss or a parameter became infinite or NaN. The parameters are those after 57 "
        "epochs. The learning rate was 1.6: try 0.2, clip_norm=1.0, or inputs scaled to about unit size.$"
    )
    with pytest.raises(fm.DivergenceError, match=message):
        one_weight().fit([[1]], [0], epochs=100, optimizer=fm.SGD(1.6), on_divergence="raise")


def test_raising_leaves_what_warning_leaves() -> None:
    warned, raised = one_weight(), one_weight()
    diverge(warned)
    with pytest.raises(fm.DivergenceError, match="diverged in epoch 64"):
        raised.fit(np.ones((1, 1)), [0], epochs=1000, optimizer=fm.SGD(1.5), on_divergence="raise")
    assert (raised.params == warned.params).all()
    assert raised.history.loss == warned.history.loss
    assert raised.history.stopped == "diverged"
    assert issubclass(fm.DivergenceError, ArithmeticError)


def test_a_network_is_usable_after_it_diverged() -> None:
    net, untroubled = one_weight(), one_weight()
    diverge(net, epochs=70)
    untroubled.fit([[1]], [0], epochs=64, optimizer=fm.SGD(1.5))
    assert net.predict([[1]]).tolist() == untroubled.predict([[1]]).tolist() == [[2.0**64]]
    for each in (net, untroubled):
        each.fit([[1e-3]], [0], epochs=5, optimizer=fm.SGD(0.25e6))
    assert len(net.history) == 69
    assert net.history.loss == untroubled.history.loss
    assert (net.params == untroubled.params).all()
    assert net.params[0] == pytest.approx(2.0**59, rel=1e-5)
    assert net.history.stopped == "epochs"


@pytest.mark.parametrize("name", ["momentum", "adam", "rmsprop", "amsgrad"])
def test_the_optimizers_state_comes_back_too(name) -> None:
    """Epochs whose rows are huge make Adam's second moment infinite; afterwards nothing of it is left."""
    X, y = np.linspace(-1, 1, 20)[:, None], np.linspace(-1, 1, 20)
    net, untroubled = (fm.MLP([1, 4, 1], activation="softplus", seed=2) for _ in range(2))
    for each in (net, untroubled):
        each.fit(X, y, epochs=3, batch_size=4, optimizer=name)
    with pytest.warns(fm.DivergenceWarning, match="diverged in epoch 3"):
        net.fit(X * 1e20, y * 1e30, epochs=3, batch_size=4, optimizer=name)
    state, other = net._state, untroubled._state
    for mine, its in ((state.slots, other.slots), (state.reals, other.reals), (net.params, untroubled.params)):
        np.testing.assert_array_equal(mine, its)
    for each in (net, untroubled):
        each.fit(X, y, epochs=3, batch_size=4, optimizer=name)
    assert (net.params == untroubled.params).all()
    assert np.isfinite(net.params).all()


def test_a_parameter_that_becomes_infinite_while_the_loss_is_finite() -> None:
    net = one_weight()
    net.params = [1e19]
    history = diverge(net, lr=1e30, epochs=1, match="diverged in epoch 0:.*after 0 epochs.*learning rate was 1e")
    assert (len(history), history.stopped) == (0, "diverged")
    assert net.params.tolist() == [np.float32(1e19)]


@pytest.mark.parametrize("epochs", [1, 50])
def test_an_infinite_parameter_of_a_unit_that_nothing_reads_is_seen(epochs) -> None:
    """The dead unit's weight does not show in the loss, but in the parameters."""
    net = fm.MLP([1, (1, False)])
    history = net.fit([[0.0]], [0.0], epochs=3)
    assert history.stopped == "epochs"
    net.params[:] = np.nan
    with pytest.warns(fm.DivergenceWarning, match=r"in epoch 3: parameters were infinite or NaN before it\. .*net\.reset"):
        net.fit([[0.0]], [0.0], epochs=epochs)


def test_an_infinite_validation_loss_is_a_divergence() -> None:
    net = one_weight()
    history = diverge(net, lr=1e-3, validation=([[1e20]], [0.0]), match="in epoch 0: its validation loss became infinite")
    assert (len(history), len(history.val_loss)) == (0, 0)
    assert net.params.tolist() == [1.0]


def test_callbacks_hear_of_a_divergence_and_early_stopping_gives_its_best_back() -> None:
    heard = []

    class Listen(fm.Callback):
        def on_train_end(self, net, history):
            heard.append(history.stopped)

    net = one_weight()
    history = diverge(net, callbacks=[Listen()], early_stopping=fm.EarlyStopping("loss", patience=1000))
    assert heard == ["diverged"]
    assert history.best_epoch == 0
    assert net.params.tolist() == [-2.0]


def test_sums_that_overflow_in_a_check_are_no_divergence() -> None:
    """Parameters whose squares are too large for float32 are finite all the same."""
    net = fm.MLP([1, (1, False)])
    net.params = [1e30]
    history = net.fit([[1e-30]], [0.0], epochs=2, optimizer=fm.SGD(1e-3))
    assert history.stopped == "epochs"


def test_a_training_that_diverged_leaves_nothing_to_the_next_one(engine) -> None:
    """Not in the memory that calls on one thread share: penalties that became infinite, where the next one has none."""
    X, y = numbers(50)
    wild = regressor()
    with pytest.warns(fm.DivergenceWarning, match="Training diverged"):
        wild.fit(X, y, epochs=50, batch_size=1, optimizer=fm.SGD(10.0, l2=0.1, l2_over_batch=True))
    history = regressor().fit(X, y, epochs=3, optimizer=fm.SGD(0.01, l2_over_batch=True))
    assert history.stopped == "epochs"
    assert np.isfinite(history.loss).all()
