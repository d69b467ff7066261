"""zero_grad, backward, step: training as people write it when they learn."""

from __future__ import annotations

import numpy as np
import pytest

import fastmlp as fm
from tests.problems import data_for


def test_backward_adds_to_grad_until_it_is_zeroed(engine) -> None:
    net = fm.MLP([3, 5, 2], dtype="float64")
    X, y = data_for(net)
    value, grad = net.value_and_grad(X, y)
    assert net.backward(X, y) == value
    assert (net.grad == grad).all()
    net.backward(X, y)
    np.testing.assert_allclose(net.grad, 2 * grad, rtol=1e-14)
    kept = net.grad
    net.zero_grad()
    assert kept is net.grad
    assert not net.grad.any()


def test_halves_of_a_batch_add_up_to_its_gradient(engine) -> None:
    """The sum loss is a sum, so the gradients of parts add up to the whole's."""
    net = fm.MLP([3, 5, 2], loss="sse", dtype="float64")
    X, y = data_for(net, 10)
    value, grad = net.value_and_grad(X, y)
    assert net.backward(X[:4], y[:4]) + net.backward(X[4:], y[4:]) == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(net.grad, grad, rtol=1e-11, atol=1e-13)


def test_the_gradient_of_several_batches_is_divided_in_place() -> None:
    whole = fm.MLP([3, 5, 2], dtype="float64")
    parts, (X, y) = whole.copy(), data_for(whole, 12)
    whole.backward(X, y)
    for rows in (slice(0, 4), slice(4, 8), slice(8, 12)):
        parts.backward(X[rows], y[rows])
    memory = parts.grad
    parts.grad /= 3
    np.testing.assert_allclose(parts.grad, whole.grad, rtol=1e-12, atol=1e-15)
    assert parts.grad is memory
    parts.grad = np.zeros(parts.n_params)
    assert not memory.any()
    with pytest.raises(ValueError, match=r"grad must have shape \(32,\); got \(2,\)"):
        parts.grad = [1.0, 2.0]
    with pytest.raises(ValueError, match=r"grad\[1\] is nan, but must be finite in float64"):
        parts.grad = np.where(np.arange(32) == 1, np.nan, 0.0)


@pytest.mark.parametrize("name", [name for name in fm.optimizers.OPTIMIZERS if name != "lbfgs"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("rows", "batch"), [(18, 7), (28, 10)])  # few for columns, and enough, to the last minibatch
def test_the_manual_loop_is_what_fit_does(rows, batch, name, dtype, engine) -> None:
    options = {"l1": 1e-3, "l2": 1e-2, "weight_decay": 1e-2, "clip_value": 0.5, "clip_norm": 0.4}
    from dataclasses import replace

    optimizer = replace(fm.optimizers.resolve(name), **options)
    by_hand, by_fit = (fm.MLP([3, 17, 2], output="softmax", dtype=dtype) for _ in range(2))
    X, y = data_for(by_fit, rows)
    by_fit.fit(X, y, epochs=3, batch_size=batch, shuffle=False, optimizer=optimizer)
    losses = []
    for _ in range(3):
        total = 0.0
        for at in range(0, rows, batch):
            some = X[at : at + batch]
            by_hand.zero_grad()
            total += by_hand.backward(some, y[at : at + batch]) * len(some)
            by_hand.step(optimizer)
        losses.append(total / rows)
    assert (by_hand.params == by_fit.params).all()
    np.testing.assert_allclose(losses, by_fit.history.loss, rtol=1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("optimizer", [fm.SGD(1e-39), fm.SGD(1e-30, momentum=0.5), fm.RMSprop(1e-41), fm.Adam(1e-39)])
def test_what_is_below_the_smallest_normal_number_is_to_a_manual_step_what_it_is_to_fit(optimizer, engine) -> None:
    by_hand, by_fit = (fm.MLP([1, (1, False)], init="zeros") for _ in range(2))
    X, y = np.ones((1, 1), np.float32), np.ones((1, 1), np.float32)
    faded = np.zeros_like(X)  # from which there is no gradient
    for inputs, epochs in ((X, 1), (faded, 60)):
        by_fit.fit(inputs, y, epochs=epochs, optimizer=optimizer, progress=False)
        for _ in range(epochs):
            by_hand.zero_grad()
            by_hand.backward(inputs, y)
            by_hand.step(optimizer)
    assert (by_hand.params == by_fit.params).all()
    assert (by_hand._state.slots == by_fit._state.slots).all()


def test_a_manual_step_goes_on_from_fit_and_fit_from_a_manual_step(engine) -> None:
    mixed, fitted = (fm.MLP([3, 17, 2], dtype="float64") for _ in range(2))
    X, y = data_for(fitted, 10)
    fitted.fit(X, y, epochs=4, batch_size=None, shuffle=False)
    mixed.fit(X, y, epochs=1, batch_size=None, shuffle=False)
    for _ in range(2):
        mixed.zero_grad()
        mixed.backward(X, y)
        mixed.step("adam")
    mixed.fit(X, y, epochs=1, batch_size=None, shuffle=False)
    assert (mixed.params == fitted.params).all()


def test_a_step_leaves_the_gradient_alone(engine) -> None:
    net = fm.MLP([3, 5, 2])
    X, y = data_for(net)
    net.backward(X, y)
    grad = net.grad.copy()
    net.step(fm.SGD(0.1, l2=1.0, clip_norm=1e-3))
    assert (net.grad == grad).all()


def test_a_step_takes_its_rate_from_a_schedule(engine) -> None:
    net = fm.MLP([1, 1], dtype="float64")
    net.params[:] = 0
    for expected in (-1.0, -1.0 - 2**-0.5, -1.0 - 2**-0.5 - 3**-0.5):
        net.grad[:] = 1.0
        net.step(fm.SGD(fm.schedules.InverseScaling(1.0)))
        np.testing.assert_allclose(net.params, expected, rtol=1e-14)


def test_a_step_takes_its_weight_decay_from_a_schedule(engine) -> None:
    net, other = fm.MLP([1, 1], dtype="float64"), fm.MLP([1, 1], dtype="float64")
    for decay in (0.5, 0.5 * 2**-0.5, 0.5 * 3**-0.5):
        net.grad[:] = other.grad[:] = 1.0
        net.step(fm.Adam(0.1, weight_decay=fm.schedules.InverseScaling(0.5)))
        other.step(fm.Adam(0.1, weight_decay=decay))
        np.testing.assert_array_equal(net.params, other.params)


def test_a_weight_decay_that_goes_over_a_fit_is_refused_in_a_step() -> None:
    with pytest.raises(ValueError, match=r"^FlatCosine\(lr=0.1, flat=0.5\) goes over the steps of a fit, .* Pass a number"):
        fm.MLP([1, 1]).step(fm.AdamW(weight_decay=fm.schedules.FlatCosine(0.1)))


@pytest.mark.parametrize("name", sorted(fm.schedules.SCHEDULES))
def test_a_schedule_moves_single_steps_as_it_says_or_is_refused(name, engine) -> None:
    """Of a fit of one step each, CosineLog's rate was 0 for ever and OneCycle's almost."""
    schedule = fm.schedules.SCHEDULES[name](0.1)
    net = fm.MLP([1, 1], dtype="float64", init="zeros")
    if name in ("cosine", "cosine_log", "flat_cosine", "one_cycle", "reduce_on_plateau"):
        why = "watches the losses of epochs" if name == "reduce_on_plateau" else "goes over the steps of a fit"
        with pytest.raises(ValueError, match=rf"^\w+\(lr=0.1, .*\) {why}, .* Pass a number for each step"):
            net.step(fm.SGD(schedule))
        if name == "reduce_on_plateau":
            with pytest.raises(ValueError, match=r"such as schedule\.lr \* watch\.update\(loss\), watch being schedule\.watch"):
                net.step(fm.SGD(schedule))
        return
    for at in range(12):
        before = net.params.copy()
        net.grad = [1.0, 1.0]
        net.step(fm.SGD(schedule))
        (rate,) = schedule.rates(np.array([at]), fm.schedules.Span(0, 12, 1))
        np.testing.assert_allclose(before - net.params, rate, rtol=1e-9)


def test_backward_draws_new_dropout_masks_each_time_and_value_and_grad_none(engine) -> None:
    net = fm.MLP([3, 50, 1], dropout=0.5, dtype="float64")
    X, y = data_for(net)
    losses = {net.backward(X, y) for _ in range(4)}
    assert len(losses) == 4
    assert len({net.value_and_grad(X, y)[0] for _ in range(4)}) == 1
    assert net.loss(X, y) == pytest.approx(net.value_and_grad(X, y)[0], rel=1e-14)
    net.reset()
    assert net.backward(X, y) in losses


def test_lbfgs_takes_no_single_steps() -> None:
    net = fm.MLP([3, 5, 2])
    with pytest.raises(ValueError, match=r"L-BFGS takes no single steps.*Use fit\(optimizer=fm.LBFGS\(\)\)"):
        net.step("lbfgs")


def test_a_step_that_is_refused_changes_nothing(engine) -> None:
    net = fm.MLP([3, 5, 2])
    X, y = data_for(net)
    net.fit(X, y, epochs=2)
    net.backward(X, y)
    before, slots, reals = net.params.copy(), net._state.slots.copy(), net._state.reals.copy()
    with pytest.raises(ValueError, match=r"^Cosine\(lr=0.1, .*\) goes over the steps of a fit, .* such as .*InverseScaling"):
        net.step(fm.SGD(fm.schedules.Cosine(0.1)))
    with pytest.raises(ValueError, match=r"optimizer must be one of .*; got 'sdg'\. Did you mean 'sgd'"):
        net.step("sdg")
    assert (net.params == before).all()
    assert (net._state.slots == slots).all()
    assert (net._state.reals == reals).all()
