"""Trainings to the last detail: what histories, schedules, weights and callbacks are at the edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import fastmlp as fm
from tests.problems import Given, numbers, regressor


class Seen(fm.Callback):
    """Writes down what the history says of the best epoch."""

    def __init__(self):
        self.first, self.each = "nothing", []

    def on_train_begin(self, net):
        self.first = net.history.best_epoch

    def on_epoch_end(self, net, epoch, logs):
        self.each.append(net.history.best_epoch)


def test_a_callback_sees_no_best_epoch_of_the_fit_before(engine) -> None:
    net, seen = regressor(), Seen()
    net.fit(*numbers(30), epochs=3, early_stopping=fm.EarlyStopping("loss"))
    net.fit(*numbers(30), epochs=2, callbacks=[seen])
    assert (seen.first, seen.each) == (None, [None, None])


def test_a_callback_sees_the_best_epoch_so_far(engine) -> None:
    net, seen = regressor(), Seen()
    net.fit(*numbers(30), epochs=4, callbacks=[seen], early_stopping=fm.EarlyStopping("loss"), optimizer=fm.SGD(1e-4))
    assert seen.each == [None, 0, 1, 2]


def test_early_stopping_of_a_callbacks_own_fit_leaves_no_best_epoch(engine) -> None:
    class Nested(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            net.fit(*numbers(30), epochs=1, early_stopping=fm.EarlyStopping("loss"))

    history = regressor().fit(*numbers(30), epochs=1, callbacks=[Nested()])
    assert (len(history), history.best_epoch) == (2, None)


class Reset(fm.Callback):
    def __init__(self, after, answer=None):
        self.after, self.answer, self.heard = after, answer, 0

    def on_epoch_end(self, net, epoch, logs):
        self.heard += 1
        if self.heard == self.after:
            net.reset()
            return self.answer
        return None


def test_after_a_reset_in_a_callback_the_seconds_are_counted_anew(engine) -> None:
    net = regressor()
    net.fit(*numbers(30), epochs=1)
    net.history.seconds = 1000.0
    assert net.fit(*numbers(30), epochs=3, callbacks=[Reset(1)]).seconds < 500.0


def test_a_reset_that_ends_the_training_leaves_no_best_epoch(engine) -> None:
    stopping = fm.EarlyStopping("loss")
    history = regressor().fit(*numbers(30), epochs=5, early_stopping=stopping, callbacks=[Reset(3, answer=True)])
    assert (len(history), history.best_epoch) == (0, None)


def test_early_stopping_compares_with_no_epoch_before_a_reset(engine) -> None:
    X, y = numbers(40)
    options = {"optimizer": fm.Adam(0.02), "early_stopping": fm.EarlyStopping("loss", patience=1)}
    net, fresh = regressor(), regressor()
    history = net.fit(X, y, epochs=13, callbacks=[Reset(10)], **options)
    expected = fresh.fit(X, y, epochs=3, **options)
    assert history.loss == expected.loss
    assert history.best_epoch == expected.best_epoch


def test_an_error_of_a_callback_in_the_last_epoch_leaves_that_epoch(engine) -> None:
    class Fail(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            if epoch == 2:
                raise KeyError("mine")

    X, y = numbers(30)
    net, fresh = regressor(), regressor()
    with pytest.raises(KeyError, match="mine"):
        net.fit(X, y, epochs=3, callbacks=[Fail()])
    fresh.fit(X, y, epochs=3)
    assert net.history.loss == fresh.history.loss
    np.testing.assert_array_equal(net.params, fresh.params)


@dataclass(frozen=True)
class Late(fm.schedules.Schedule):
    def rates(self, steps, span):
        return np.where(steps < 5, 0.0, self.lr)


def test_a_validation_loss_that_is_infinite_for_some_epochs_is_a_divergence_in_the_first_of_them(engine) -> None:
    net = fm.MLP([1, 1], dtype="float64")
    net.params[...] = [1.0, 0.0]
    optimizer = fm.SGD(Late(0.5), bias_factor=0.0)  # which comes to w = 0 in one step
    with pytest.warns(fm.DivergenceWarning, match="diverged in epoch 0: its validation loss"):
        history = net.fit([[1.0]], [0.0], epochs=10, optimizer=optimizer, validation=([[1e200]], [0.0]))
    assert len(history) == 0


def test_an_answer_that_says_nothing_is_refused_after_a_true_one(engine) -> None:
    class Answers(fm.Callback):
        def __init__(self, answer):
            self.answer = answer

        def on_epoch_end(self, net, epoch, logs):
            return self.answer

    with pytest.raises(TypeError, match="must return True to end the training"):
        regressor().fit(*numbers(30), epochs=2, callbacks=[Answers(True), Answers([])])


def test_a_divergence_says_how_many_epochs_the_best_parameters_have(engine) -> None:
    class Ruin(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            if epoch == 2:
                net.params[...] = np.inf

    net = regressor()
    with pytest.warns(fm.DivergenceWarning, match="The parameters are those after 3 epochs, the best of them"):
        history = net.fit(*numbers(30), epochs=5, callbacks=[Ruin()], early_stopping=fm.EarlyStopping("loss"),
                          optimizer=fm.SGD(1e-4))  # fmt: skip
    assert history.best_epoch == 2


def test_a_schedule_by_steps_begins_anew_after_a_reset(engine) -> None:
    X, y = numbers(50)
    optimizer = fm.Adam(fm.schedules.InverseScaling(0.02))
    history = regressor().fit(X, y, epochs=6, optimizer=optimizer, callbacks=[Reset(2)])
    assert history.lr == regressor().fit(X, y, epochs=4, optimizer=optimizer).lr


def test_a_divergence_names_the_rate_of_the_last_step_of_its_epoch(engine) -> None:
    with pytest.warns(fm.DivergenceWarning, match="The learning rate was 3e.200"):
        regressor().fit(*numbers(30), epochs=1, batch_size=10, optimizer=fm.SGD(Given(1.0, (1e200, 2e200, 3e200))))


def test_each_epoch_of_a_call_has_its_own_rate_in_the_history(engine) -> None:
    rates = [0.01, 0.02, 0.03, 0.02, 0.01]
    history = regressor().fit(*numbers(30), epochs=5, batch_size=30, optimizer=fm.SGD(Given(1.0, tuple(rates))))
    assert history.lr == rates


def test_epochs_that_are_done_again_have_the_rates_that_they_had(engine) -> None:
    rates = [0.01, 0.02, 0.03, 0.02, 1e300]
    with pytest.warns(fm.DivergenceWarning, match="diverged in epoch 5"):
        history = regressor().fit(*numbers(30), epochs=9, batch_size=30, optimizer=fm.SGD(Given(1.0, tuple(rates))))
    assert history.lr == rates


def test_one_cycle_may_be_highest_at_the_first_of_two_steps() -> None:
    rates = fm.schedules.OneCycle(1.0, peak=0.5).rates(np.arange(2), fm.schedules.Span(0, 2, 1))
    np.testing.assert_allclose(rates, [1.0, 1.0 / 25.0 / 1e4])


def test_epochs_count_from_the_first_step_of_the_fit() -> None:
    span = fm.schedules.Span(start=3, steps=4, steps_per_epoch=2, epoch=1)
    assert span.epochs(np.arange(3, 7)).tolist() == [1, 1, 2, 2]


def test_a_loss_as_low_as_the_best_is_no_better() -> None:
    watch = fm.schedules.ReduceOnPlateau(0.1, factor=0.5, patience=1, min_delta=0.0).watch()
    assert [watch.update(loss) for loss in (2.0, 2.0, 1.0)] == [1.0, 0.5, 0.5]


def test_losses_that_are_lower_by_less_than_min_delta_add_up() -> None:
    watch = fm.schedules.ReduceOnPlateau(0.1, factor=0.5, patience=2, min_delta=0.1).watch()
    assert [watch.update(loss) for loss in (1.0, 0.95, 0.86)] == [1.0, 1.0, 1.0]


def test_a_callback_may_have_an_attribute_that_begins_with_on_and_is_no_method() -> None:
    class Switch(fm.Callback):
        on_time = 3.0

    assert len(regressor().fit(*numbers(30), epochs=1, callbacks=[Switch()])) == 1


def test_what_is_cut_of_a_history_is_cut_of_each_curve() -> None:
    history = fm.History(loss=[3.0, 2.0], val_loss=[4.0, 3.0], lr=[0.1, 0.1], metrics={"r2": [0.5, 0.6]})
    history.cut(1)
    assert history.curves == {"loss": [3.0], "val_loss": [4.0], "lr": [0.1], "r2": [0.5]}


def test_scratch_for_more_rows_of_less_width_is_not_enough_for_both(engine) -> None:
    from fastmlp.state import Arena

    plan = regressor().plan
    arena = Arena(plan, np.dtype("float64"))
    for rows, width in ((400, 7), (30, 1000), (400, 1000)):
        desk = arena.take(rows, width)
        assert desk.scratch.size >= desk.kernels.arena_size(plan.table, rows, width)
        arena.give(desk)


def test_a_step_refuses_factors_for_another_number_of_layers() -> None:
    net = regressor()
    net.backward(*numbers(30))
    with pytest.raises(ValueError, match="weight_factor has 3 numbers, but the network has 2 layers"):
        net.step(fm.Adam(weight_factor=(1.0, 1.0, 1.0)))


@pytest.mark.parametrize(("own", "other"), [(None, 6.0), (6.0, None)])
def test_an_error_after_a_fit_with_other_scales_comes_out_as_it_is(own, other, engine) -> None:
    X, y = numbers(30)

    class Nested(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            if epoch == 1:
                net.fit(X, y, epochs=3, optimizer=fm.Adam(0.01, scale_factor=other))
                raise KeyError("mine")

    net, fresh = regressor(), regressor()
    with pytest.raises(KeyError, match="mine"):
        net.fit(X, y, epochs=5, callbacks=[Nested()], optimizer=fm.Adam(0.01, scale_factor=own))
    fresh.fit(X, y, epochs=2, optimizer=fm.Adam(0.01, scale_factor=own))
    for one in (net, fresh):
        one.fit(X, y, epochs=2, optimizer=fm.Adam(0.01, scale_factor=own))
    np.testing.assert_array_equal(net.params, fresh.params)


def test_weight_factor_and_ntk_go_together(engine) -> None:
    X, y = numbers(30)
    one, other = regressor(), regressor()
    one.fit(X, y, epochs=3, optimizer=fm.Adam(0.01, ntk=True, weight_factor=3.0))
    other.fit(X, y, epochs=3, optimizer=fm.Adam(0.03, ntk=True, bias_factor=1 / 3))
    np.testing.assert_allclose(one.params, other.params, rtol=1e-12)


def test_nesterov_is_a_bool() -> None:
    assert fm.SGD(0.1, momentum=0.9, nesterov=np.True_).nesterov is True


@pytest.mark.parametrize(("dtype", "most"), [("float32", 1e12), ("float64", 1e100)])
def test_the_largest_weight_may_be_as_large_and_as_small_as_is_said(dtype, most) -> None:
    from fastmlp.weighting import sample_weight

    for largest in (most, 1.0 / most):
        assert sample_weight([largest, 0.0], 2, np.dtype(dtype)).tolist() == [np.dtype(dtype).type(largest), 0.0]


def test_a_weight_little_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sample_weight has -0\.25 in row 1; weights must be >= 0"):
        regressor().fit(*numbers(3), sample_weight=[1.0, -0.25, 1.0])


def test_a_weight_that_is_as_nothing_beside_the_largest_is_zero() -> None:
    from fastmlp.weighting import sample_weight

    assert sample_weight([1.0, 1e-35], 2, np.dtype("float32")).tolist() == [1.0, 0.0]


def test_what_is_no_whole_number_is_not_rounded_by_the_remedy() -> None:
    with pytest.raises(TypeError, match=r"batch_size must be an integer >= 1; got 2\.5 \(float\)\.$"):
        regressor().fit(*numbers(30), batch_size=2.5)


def test_a_warmup_of_a_part_of_an_epoch_is_rounded_to_whole_steps() -> None:
    rates = fm.schedules.Cosine(1.0, warmup=0.5).rates(np.arange(3), fm.schedules.Span(0, 6, 3))
    np.testing.assert_allclose(rates, [0.5, 1.0, 1.0])


def test_metrics_of_a_fit_are_weighted_as_its_losses_are(engine) -> None:
    X, y = numbers(30)
    weight = np.random.default_rng(0).uniform(size=30)
    net = regressor()
    history = net.fit(X, y, epochs=2, sample_weight=weight, validation=(X[:9], y[:9], weight[:9]), metrics=["mse"])
    found = history.metrics["mse"][-1], history.metrics["val_mse"][-1]
    wanted = net.score(X, y, "mse", weight), net.score(X[:9], y[:9], "mse", weight[:9])
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_scratch_for_each_thread_is_as_much_for_each(any_threads) -> None:
    from fastmlp.state import Arena

    pytest.importorskip("numba")
    fm.set_threads(2)
    plan = regressor().plan
    one, each = (Arena(plan, np.dtype("float64"), for_each=for_each).take(10) for for_each in (False, True))
    assert each.scratch.size >= 2 * one.scratch.size > 0


def test_without_a_seed_each_network_has_another() -> None:
    assert len({fm.MLP([2, 1], seed=None).seed for _ in range(4)}) > 1


def test_numbers_of_each_network_have_one_dimension() -> None:
    with pytest.raises(ValueError, match=r"dropout has shape \(2, 2\), but there are 2 networks"):
        fm.Population([2, 4, 1], size=2, dropout=[[0.1, 0.2], [0.1, 0.2]])


def test_a_callback_may_have_nothing_for_an_event(engine) -> None:
    heard = []

    class Quiet:
        on_epoch_end = None

        def on_train_end(self, net, history):
            heard.append(len(history))

    X, y = numbers(30)
    regressor().fit(X, y, epochs=3, callbacks=[Quiet()])
    assert heard == [3]
