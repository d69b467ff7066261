"""diagnose: each illness is found where it is and nowhere else, with its layer and its figure, and changes nothing."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

import fastmlp as fm
from fastmlp.diagnosis import MOST_ROWS
from fastmlp.findings import Finding, Report
from tests.problems import classes, classifier, make, numbers

rng = np.random.default_rng(0)
X = rng.normal(size=(200, 4))
LABELS = (X[:, 0] + 0.3 * X[:, 1] > 0).astype(float)
SMOOTH = np.sin(X[:, 0]) + X[:, 1]
THREE = np.arange(200) % 3
SQUARE = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])


def net(*hidden: int, change: Callable[[fm.MLP], object] = lambda net: None, n_outputs: int = 1, **options) -> fm.MLP:
    """A network of four inputs after a change of its parameters."""
    made = make([4, *(hidden or (16,)), n_outputs], **{"seed": 3, **options})
    change(made)
    return made


def biased(layer: int, value: float, units=slice(None)):
    """Set biases of a layer."""

    def change(net):
        net.biases[layer][units] = value

    return change


def scaled(layer: int, factor: float):
    """Multiply weights of a layer."""

    def change(net):
        net.weights[layer][...] *= factor

    return change


def all_scaled(factor: float):
    def change(net):
        for layer in range(1, len(net.layers) - 1):
            net.weights[layer][...] *= factor

    return change


def poisoned(net):
    net.weights[0][0, 0] = np.nan


SGD, Adam = fm.SGD, fm.Adam
binary, softmax = {"output": "sigmoid"}, {"output": "softmax", "n_outputs": 3}
sigmoids = {"activation": "sigmoid", **binary}
deep = (16,) * 12
# No weight has a gradient; nothing else is wrong with it.
alike = {"activation": "tanh", "init": "zeros"}


def leaky(**options) -> fm.MLP:
    """A deep network without the dead units that narrow, deep networks of ReLUs begin with."""
    return net(*deep, activation="leaky_relu", **options)


# Name of the case: kind, layer, then network, inputs, targets and options of the sick one and of the healthy one.
CASES = {
    "relu": ("dead units", 1, (net(16, 16, change=biased(1, -50.0, slice(4))), X, SMOOTH), (net(16, 16), X, SMOOTH)),
    "relu output": ("dead units", 1, (net(output="relu", change=biased(1, -50.0)), X, SMOOTH**2),
                    (net(output="relu", change=biased(1, 1.0)), X, SMOOTH**2)),
    "hard swish": ("dead units", 0, (net(activation="hard_swish", change=biased(0, -50.0)), X, SMOOTH),
                   (net(activation="hard_swish"), X, SMOOTH)),
    "tanh": ("saturated units", 0, (net(activation="tanh", change=scaled(0, 1000.0)), X, SMOOTH),
             (net(activation="tanh"), X, SMOOTH)),
    "sigmoid": ("saturated units", 0, (net(activation="sigmoid", change=biased(0, -9.0)), X, SMOOTH),
                (net(activation="sigmoid"), X, SMOOTH)),
    "hard sigmoid": ("saturated units", 1, (net(8, 8, activation="hard_sigmoid", change=biased(1, 9.0)), X, SMOOTH),
                     (net(8, 8, activation="hard_sigmoid"), X, SMOOTH)),
    "vanishing": ("vanishing gradient", 0, (net(*deep, activation="sigmoid"), X, SMOOTH),
                  (net(*deep, activation="tanh"), X, SMOOTH)),
    "small weights": ("vanishing gradient", 0, (leaky(change=all_scaled(0.3)), X, SMOOTH), (leaky(), X, SMOOTH)),
    "exploding": ("exploding gradient", 0, (leaky(change=all_scaled(4.0)), X, SMOOTH), (leaky(), X, SMOOTH)),
    "overflow": ("exploding gradient", None, (leaky(change=all_scaled(1e6)), X, SMOOTH), (leaky(), X, SMOOTH)),
    "sigmoid with mse": ("pairing", 1, (net(output="sigmoid", loss="mse"), X, LABELS), (net(**binary), X, LABELS)),
    "softmax with mse": ("pairing", 1, (net(n_outputs=3, output="softmax", loss="mse"), X, np.eye(3)[THREE]),
                         (net(**softmax), X, THREE)),
    "too few targets": ("targets", None, (net(), X, SMOOTH[:-1]), (net(), X, SMOOTH)),
    "targets of three dimensions": ("targets", None, (net(), X, SMOOTH[:, None, None]), (net(), X, SMOOTH[:, None])),
    "columns of targets": ("targets", None, (net(n_outputs=3), X, SMOOTH), (net(n_outputs=3), X, X[:, :3])),
    "classes from one": ("targets", None, (net(**softmax), X, THREE + 1), (net(**softmax), X, THREE)),
    "classes as text": ("targets", None, (net(**softmax), X, np.array(["a", "b", "c"])[THREE]), (net(**softmax), X, THREE)),
    "labels of plus and minus one": ("targets", None, (net(**binary), X, 2 * LABELS - 1), (net(**binary), X, LABELS)),
    "negative counts": ("targets", None, (net(output="exp"), X, np.round(SMOOTH) - 9), (net(output="exp"), X, THREE)),
    "out of tanh's reach": ("targets", None, (net(output="tanh"), X, 3 * SMOOTH), (net(output="tanh"), X, np.tanh(SMOOTH))),
    "large targets": ("targets", None, (net(), X, 1000 * SMOOTH), (net(), X, 3 * SMOOTH)),
    "small targets": ("targets", None, (net(), X, SMOOTH / 1000), (net(), X, SMOOTH / 3)),
    "NaN in targets": ("targets", None, (net(), X, np.where(LABELS, np.nan, 1.0)), (net(), X, SMOOTH)),
    "large inputs": ("inputs", None, (net(), X * [1, 1, 300, 1], SMOOTH), (net(), X * [1, 1, 3, 1], SMOOTH)),
    "small inputs": ("inputs", None, (net(), X / 100, SMOOTH), (net(), X / 3, SMOOTH)),
    "inputs far from zero": ("inputs", None, (net(), X / 10 + [0, 0, 5, 0], SMOOTH), (net(), X + [0, 0, 1, 0], SMOOTH)),
    "NaN in inputs": ("inputs", None, (net(), np.where(X > 2, np.nan, X), SMOOTH), (net(), X, SMOOTH)),
    "columns of inputs": ("inputs", None, (net(), X[:, :3], SMOOTH), (net(), X, SMOOTH)),
    "rate too high": ("learning rate too high", None, (net(), X, SMOOTH, SGD(5.0)), (net(), X, SMOOTH, SGD(0.05))),
    "Adam's rate too high": ("learning rate too high", None, (net(**softmax), *classes(200), Adam(20.0)),
                             (net(**softmax), *classes(200), Adam(0.01))),
    "rate too low": ("learning rate too low", None, (net(), X, SMOOTH, SGD(1e-6)), (net(), X, SMOOTH, SGD(0.05))),
    "a schedule's rate": ("learning rate too low", None, (net(), X, SMOOTH, Adam(fm.schedules.Cosine(1e-7))),
                          (net(), X, SMOOTH, Adam(fm.schedules.Cosine(0.01)))),
    "rate too low for a long plateau": ("learning rate too low", None, (net(*(16,) * 10, **sigmoids), X, LABELS, Adam(1e-5)),
                                        (net(*(16,) * 5, **sigmoids), X, LABELS, Adam(1e-2))),
    "plain steps through sigmoids": ("flat loss", None, (net(*(16,) * 5, **sigmoids), X, LABELS, SGD(0.01)),
                                     (net(*(16,) * 5, activation="tanh", **binary), X, LABELS, SGD(0.05))),
    "stuck at 0.5": ("stuck outputs", 1, (net(**binary, **alike), X, LABELS),
                     (net(**binary, change=scaled(1, 0.001)), X, LABELS)),
    "stuck at 1/3": ("stuck outputs", 1, (net(**softmax, **alike), X, THREE),
                     (net(**softmax, change=scaled(1, 0.001)), X, THREE)),
    "parameters": ("parameters", None, (net(change=poisoned), X, SMOOTH), (net(), X, SMOOTH)),
}  # fmt: skip


def report(net: fm.MLP, X, y, optimizer=None) -> Report:
    return net.diagnose(X, y, optimizer=optimizer)


def cases():
    return pytest.mark.parametrize(("kind", "layer", "sick", "healthy"), CASES.values(), ids=list(CASES))


@cases()
def test_an_illness_is_found_where_it_is(engine, kind, layer, sick, healthy) -> None:
    found = [finding for finding in report(*sick) if finding.kind == kind]
    assert len(found) == 1
    (finding,) = found
    assert layer is None or finding.layer == layer
    assert finding.text.strip()
    assert finding.remedy.strip()
    assert str(finding) in str(report(*sick))


@cases()
def test_nothing_is_found_in_the_healthy_network(engine, kind, layer, sick, healthy) -> None:
    assert str(report(*healthy)) == "Nothing found."
    assert not report(*healthy)


def test_every_kind_has_its_case() -> None:
    named = {kind for kind, *_ in CASES.values()} | {"sample_weight"}
    assert all(f'"{kind}"' in (Finding.__doc__ or "") for kind in named)
    assert (Finding.__doc__ or "").split("layer :")[0].count('"') == 2 * len(named)


# ---- figures


def only(*case) -> Finding:
    (finding,) = report(*case)
    return finding


def test_the_figure_of_dead_units_is_their_part() -> None:
    finding = only(net(change=biased(0, -50.0, slice(4))), X, SMOOTH)
    assert finding.figure == 4 / 16
    assert "4 of 16 relu units" in finding.text
    assert only(net(20, change=biased(0, -50.0, slice(2))), X, SMOOTH).figure == 2 / 20
    assert not report(net(20, change=biased(0, -50.0, slice(1))), X, SMOOTH)


def test_units_that_initial_weights_leave_dead_by_chance_are_no_finding() -> None:
    """Small networks for points of a plane have many, and learn; half of a layer is too much."""
    moons, found, dead = fm.datasets.load("moons"), 0, 0
    for seed in range(16):
        fresh = fm.MLP([2, 16, 16, 1], output="sigmoid", seed=seed)
        dead += (~fresh.activations(moons.X)[1].any(axis=0)).sum() >= 2
        found += "dead units" in {finding.kind for finding in report(fresh, moons.X, moons.y)}
    assert dead >= 2
    assert found == 0
    dying = next(
        net
        for net in (fm.MLP([2, 8, 1], output="sigmoid", seed=seed) for seed in range(99))
        if (~net.activations(SQUARE)[0].any(axis=0)).sum() >= 4
    )
    assert "dead units" in {finding.kind for finding in report(dying, SQUARE, [0, 1, 1, 0])}
    dying.fit(SQUARE, [0, 1, 1, 0], epochs=1, progress=False)
    assert "dead units" in {finding.kind for finding in report(dying, SQUARE, [0, 1, 1, 0])}


def test_the_figure_of_saturated_units_is_their_part() -> None:
    sick = net(8, activation="tanh", change=biased(0, 9.0, slice(2)))
    assert only(sick, X, SMOOTH).figure == 2 / 8
    assert not report(net(8, activation="tanh", change=biased(0, 9.0, slice(1))), X, SMOOTH)


@pytest.mark.parametrize("name", ["vanishing", "exploding"])
def test_the_figure_of_a_gradient_is_what_the_chain_rule_gives(name) -> None:
    """The gradient by the first hidden layer's outputs, by hand, over that by the last one's."""
    sick = CASES[name][2][0].copy()
    values = sick.activations(X)
    by = 2.0 * (values[-1] - SMOOTH[:, None])
    sizes = []
    for layer in range(len(sick.layers) - 1, 0, -1):
        by = by @ sick.weights[layer].T
        sizes.append(np.sqrt(np.mean(by.astype(float) ** 2)))
        below = values[layer - 1]
        by = by * (below * (1 - below) if name == "vanishing" else np.where(below > 0, 1.0, 0.01))
    finding = next(one for one in report(sick, X, SMOOTH) if one.kind.startswith(name))
    assert finding.figure == pytest.approx(sizes[-1] / sizes[0], rel=1e-4)


def test_the_figure_of_inputs_is_the_worst_columns_size() -> None:
    inputs = X * [1, 1, 300, 1]
    finding = report(net(), inputs, SMOOTH)[0]
    assert finding.figure == pytest.approx(np.sqrt(np.mean(inputs[:, 2] ** 2)), rel=1e-5)
    assert finding.text.startswith("1 of 4 columns have sizes above 10; column 2's is")


def test_the_figure_of_targets_beyond_the_outputs_is_their_part() -> None:
    targets = np.where(np.arange(200) < 50, 1.5, 0.5)
    assert only(net(output="tanh"), X, targets).figure == 0.25


def test_the_figure_of_a_pairing_is_how_much_of_the_output_is_saturated() -> None:
    sick = net(output="sigmoid", loss="mse", change=biased(1, 30.0))
    found = {finding.kind: finding for finding in report(sick, X, LABELS)}
    assert found["pairing"].figure == 1.0
    assert found["pairing"].remedy == "Use loss='bce', which suits output='sigmoid'."


def test_the_figure_of_stuck_outputs_is_how_far_they_range_after_the_trial() -> None:
    sick = net(16, 16, activation="sigmoid", **binary)
    sick.fit(X, LABELS, epochs=20, optimizer=SGD(1e-3, 0.5), progress=False)
    finding = next(one for one in report(sick, X, LABELS) if one.kind == "stuck outputs")
    assert f"range over {finding.figure:.2g}, also after 300 steps more of SGD with 0.001." in finding.text
    sick.fit(X, LABELS, epochs=100, batch_size=64, drop_last=True, optimizer=SGD(1e-3, 0.5), progress=False)
    assert finding.figure == pytest.approx(np.ptp(sick.predict(X)), rel=1e-5)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "gelu", "softplus", "hard_sigmoid"])
@pytest.mark.parametrize("hidden", [(8,), (16, 16)], ids=str)
def test_probabilities_that_have_not_begun_to_part_are_not_stuck(engine, activation, hidden) -> None:
    """Initial weights give many networks of sigmoids nearly the same probability for all rows."""
    alike = 0
    for seed in range(4):
        for head, labels in ((binary, LABELS), (softmax, np.digitize(X[:, 0], [-0.5, 0.5]))):
            fresh = net(*hidden, activation=activation, seed=seed, **head)
            alike += np.ptp(fresh.predict(X), axis=0).max() < 0.05
            assert "stuck outputs" not in {finding.kind for finding in report(fresh, X, labels)}
    if activation == "sigmoid" and len(hidden) == 2:
        assert alike >= 2, "there was nothing to try"


def test_probabilities_that_no_training_parts_are_stuck(engine) -> None:
    layers = {"activation": "sigmoid", **binary}
    assert "stuck outputs" in {finding.kind for finding in report(net(*deep, *deep, **layers), X, LABELS)}
    slow = net(16, 16, **layers)
    assert not report(slow, X, LABELS)
    slow.fit(X, LABELS, epochs=20, optimizer=SGD(fm.schedules.Cosine(1e-3)), progress=False)
    found = {finding.kind: finding for finding in report(slow, X, LABELS)}
    assert "300 steps more of SGD with 0.001" in found["stuck outputs"].text
    slow.fit(X, LABELS, epochs=100, optimizer=Adam(0.01), progress=False)
    assert not report(slow, X, LABELS)


def test_a_rate_is_judged_by_the_range_test_and_the_remedy_is_its_suggestion() -> None:
    well = net()
    test = well.lr_range_test(X, SMOOTH, optimizer="sgd")
    high, low = (only(well, X, SMOOTH, SGD(rate)) for rate in (1.001 * test.lowest, test.suggestion / 101))
    assert high.figure == 1.001 * test.lowest
    assert high.remedy.startswith(f"Try {test.suggestion:.2g};")
    assert low.figure == test.suggestion / 101
    assert low.remedy == high.remedy
    assert not report(well, X, SMOOTH, SGD(test.suggestion / 99))
    assert not report(well, X, SMOOTH, SGD(0.999 * test.lowest))


# ---- what is judged


def test_the_last_fits_optimizer_is_judged_from_the_initial_weights_on() -> None:
    trained = net()
    assert not report(trained, X, SMOOTH)
    trained.fit(X, SMOOTH, epochs=2, optimizer=SGD(1e-7), progress=False)
    assert [finding.kind for finding in report(trained, X, SMOOTH)] == ["learning rate too low"]
    assert not report(trained, X, SMOOTH, SGD(0.05))
    ruined = net()
    ruined.fit(X, SMOOTH, epochs=1, optimizer=SGD(5.0, clip_norm=1.0), progress=False)
    assert "learning rate too high" in {finding.kind for finding in report(ruined, X, SMOOTH)}


def test_lbfgs_has_no_rate_to_judge() -> None:
    assert not report(net(), X, SMOOTH, fm.LBFGS())


def test_a_network_that_has_learnt_is_healthy() -> None:
    trained = classifier()
    trained.fit(*classes(), epochs=100, optimizer=Adam(0.01), progress=False)
    assert not report(trained, *classes())


@pytest.mark.parametrize("name", ["moons", "digits", "breast_cancer", "iris"])
def test_well_known_data_and_the_usual_network_are_healthy(name) -> None:
    data = fm.datasets.load(name)
    inputs = data.X if name in ("moons", "digits") else (data.X - data.X.mean(axis=0)) / data.X.std(axis=0)
    usual = fm.MLP([inputs.shape[1], 64, 32, data.n_outputs], output=data.output)
    assert str(report(usual, inputs, data.y, "adam")) == "Nothing found."
    usual.fit(inputs, data.y, epochs=20, progress=False)
    assert str(report(usual, inputs, data.y)) == "Nothing found."


def test_well_known_data_that_nobody_scaled_is_not() -> None:
    data = fm.datasets.load("breast_cancer")
    raw = fm.MLP([data.X.shape[1], 16, 1], output="sigmoid")
    assert "inputs" in {finding.kind for finding in report(raw, data.X, data.y)}


def test_rows_without_weight_do_not_count() -> None:
    inputs, weight = X.copy(), np.ones(200)
    inputs[:10], weight[:10] = 1e6, 0.0
    assert report(net(), inputs, SMOOTH)
    assert not net().diagnose(inputs, SMOOTH, weight)


def test_wrong_weights_are_a_finding() -> None:
    (finding,) = net().diagnose(X, SMOOTH, -np.ones(200))
    assert finding.kind == "sample_weight"
    assert finding.remedy == "Pass 0 to leave a row out."


def test_several_illnesses_are_told_together() -> None:
    sick = net(16, 16, activation="tanh", output="sigmoid", loss="mse")
    found = [finding.kind for finding in report(sick, 1000 * X, 5 * LABELS, SGD(1e-9))]
    assert found[:4] == ["pairing", "inputs", "targets", "saturated units"]


def test_wrong_targets_do_not_hide_what_needs_none() -> None:
    sick = net(change=biased(0, -1e4))
    assert {finding.kind for finding in report(sick, 1000 * X, SMOOTH[:-1])} == {"targets", "inputs", "dead units"}


def test_few_rows_tell_nothing_of_units_and_targets_all_alike_ask_for_outputs_all_alike() -> None:
    assert not report(net(), X[:3], SMOOTH[:3])
    stuck = net(**binary, **alike)
    assert report(stuck, X, LABELS)
    assert only(stuck, X, np.ones(200)).kind == "targets"


@pytest.mark.parametrize("value", [0.0, 1.0, 1e4])
def test_inputs_that_are_the_same_for_every_row_are_the_finding(value, engine) -> None:
    for sick, targets in ((net(8), SMOOTH), (net(**binary), LABELS), (net(8), np.ones(200))):
        for optimizer in (None, SGD(10.0)):
            finding = only(sick, np.full((200, 4), value), targets, optimizer)
            assert (finding.kind, finding.layer, finding.figure) == ("inputs", None, 0.0)
            assert finding.text.startswith("all 200 rows looked at have the same inputs")
            assert finding.remedy.startswith("Look at how X is made")
    assert not report(net(), np.ones((3, 4)), SMOOTH[:3])
    assert not report(net(), np.where([True, True, True, False], 0.5, X), SMOOTH)  # as at the edges of pictures


@pytest.mark.parametrize(
    ("options", "targets", "what"),
    [
        (binary, np.zeros(200), "class 0"),
        (binary, np.ones((200, 1), int), "class 1"),
        (binary, np.full(200, 0.25), "the target 0.25"),
        (softmax, np.full(200, 2), "class 2"),
        (softmax, np.tile([0, 1, 0], (200, 1)), "class 1"),
        (softmax, np.tile([0.5, 0.25, 0.25], (200, 1)), "the targets [0.5, 0.25, 0.25]"),
        ({"output": "sigmoid", "n_outputs": 5}, np.tile([0, 1, 1, 0, 0], (200, 1)), "the targets [0, 1, 1, 0, ...]"),
        ({}, np.full(200, 5.0), "the target 5"),
    ],
)
@pytest.mark.parametrize("epochs", [0, 30])
def test_targets_of_one_class_are_the_finding_and_no_rate_is_judged_by_them(options, targets, what, epochs, engine) -> None:
    sick = net(**options)
    sick.fit(X, targets, epochs=epochs, progress=False)
    for optimizer in (None, "adam", SGD(1e-9), SGD(10.0)):
        finding = only(sick, X, targets, optimizer)
        assert (finding.kind, finding.figure) == ("targets", 0.0)
        assert finding.text == f"all 200 rows have {what}: there is nothing to tell apart."
        assert finding.remedy.startswith("Look at how y is made, and take rows with different targets;")


def test_one_row_of_another_class_is_enough_unless_it_has_no_weight() -> None:
    labels, weight = np.zeros(4 * MOST_ROWS), np.ones(4 * MOST_ROWS)
    many = np.random.default_rng(0).normal(size=(len(labels), 4))
    labels[-1] = 1
    assert not net(**binary).diagnose(many, labels, weight)
    weight[-1] = 0.0
    (finding,) = net(**binary).diagnose(many, labels, weight)
    assert finding.text.startswith("all 39,999 rows have class 0:")


def test_many_rows_are_as_good_as_some() -> None:
    many = np.tile(X, (MOST_ROWS // 100, 1))
    wanted = np.tile(SMOOTH, MOST_ROWS // 100)
    assert not report(net(), many, wanted)
    assert only(net(change=biased(0, -50.0, slice(4))), many, wanted).figure == 4 / 16


def test_an_activation_of_ones_own_is_not_taken_for_another() -> None:
    own = fm.activation(np.tanh, lambda z: 1 - np.tanh(z) ** 2)
    assert not report(net(activation=own), *numbers(200), "adam")
    deep_one = net(*deep, activation=own)
    assert not report(deep_one, *numbers(200))


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_weights_that_are_all_zero_are_named_as_the_cause(activation) -> None:
    alike = net(16, 16, activation=activation, init="zeros", **binary)
    found = report(alike, X, LABELS)
    assert "stuck outputs" in {finding.kind for finding in found}
    for finding in found:
        assert finding.remedy == "The weights of layer 0 are all 0: begin anew with init='auto'."


# ---- the report, and the network afterwards


def test_a_report_is_a_sequence_of_findings() -> None:
    two = report(net(change=biased(0, -1e4)), 1000 * X, SMOOTH)
    assert len(two) == 2
    assert two
    assert list(two) == [two[0], two[1]]
    assert repr(two) == str(two) == f"{two[0]}\n{two[1]}"
    assert str(two[1]).startswith("dead units (layer 0): 16 of 16 relu units")
    assert len(Report()) == 0


@pytest.mark.parametrize("fitted", [False, True])
def test_the_network_is_the_same_afterwards_to_the_last_bit(fitted) -> None:
    after = net(16, 16, **binary, dropout=0.2)
    if fitted:
        after.fit(X, LABELS, epochs=2, progress=False)
    after.backward(X, LABELS)
    before, inputs, targets = after.copy(), X.copy(), LABELS.copy()
    after.diagnose(inputs, targets, optimizer="adam")
    after.diagnose(inputs, targets[:-1])
    after.weights[-1][...] = before.weights[-1][...] = 0.0  # which needs a trial
    after.diagnose(inputs, targets)
    for name in ("params", "grad"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    for name in ("ints", "reals", "slots"):
        np.testing.assert_array_equal(getattr(after._state, name), getattr(before._state, name))
    assert (after._state.optimizer, after._state.backward_calls) == (before._state.optimizer, before._state.backward_calls)
    assert after.history == before.history
    np.testing.assert_array_equal(inputs, X)
    np.testing.assert_array_equal(targets, LABELS)
    for other in (after, before):
        other.fit(X, LABELS, epochs=1, progress=False)
    np.testing.assert_array_equal(after.params, before.params)


def test_the_arguments_of_the_training_are_checked() -> None:
    with pytest.raises(ValueError, match=r"optimizer must be one of .*Did you mean 'adam'"):
        net().diagnose(X, SMOOTH, optimizer="adan")
    with pytest.raises(ValueError, match="batch_size must be an integer >= 1; got 0"):
        net().diagnose(X, SMOOTH, optimizer="adam", batch_size=0)


@pytest.mark.parametrize("optimizer", [None, "lbfgs"])
def test_the_batch_size_is_checked_where_no_rate_is_judged_too(optimizer) -> None:
    with pytest.raises(ValueError, match="batch_size must be an integer >= 1; got 0"):
        net().diagnose(X, SMOOTH, optimizer=optimizer, batch_size=0)


def test_what_overflows_is_an_infinite_figure() -> None:
    found = {finding.kind: finding for finding in report(*CASES["overflow"][2])}
    assert found["exploding gradient"].figure == math.inf


def test_a_learning_rate_is_judged_beyond_the_plateau_of_vanishing_gradients() -> None:
    """In the usual steps of a range test the loss stays flat, or falls at rates of which the next steps are too large."""
    sick = net(*(16,) * 10, **sigmoids)
    assert sick.lr_range_test(X, LABELS).suggestion is None
    found = {finding.kind: finding for finding in report(sick, X, LABELS, Adam(1e-5))}
    assert set(found) == {"vanishing gradient", "learning rate too low"}
    suggestion = sick.lr_range_test(X, LABELS, steps=1000).suggestion
    assert f"Try {suggestion:.2g}; net.lr_range_test(X, y, steps=1000).plot()" in found["learning rate too low"].remedy
    losses = [sick.copy().fit(X, LABELS, epochs=300, optimizer=Adam(lr), progress=False).loss for lr in (1e-5, suggestion)]
    assert losses[0][-1] > 0.65
    assert losses[1][-1] < 0.5
    assert {finding.kind for finding in report(sick, X, LABELS, Adam(1e-3))} == {"vanishing gradient"}


def test_a_loss_that_no_optimizer_lowers_is_no_matter_of_the_optimizer() -> None:
    chance = np.random.default_rng(1).integers(0, 2, 2000)
    rows = np.random.default_rng(2).normal(size=(2000, 4))
    assert not report(net(**binary), rows, chance, SGD(0.05))
