"""MLP: every layer spec, what a network answers, its parameters, the manual loop, and what it refuses."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest

import fastmlp as fm
from fastmlp.activations import ACTIVATIONS
from fastmlp.losses import LOSSES, CrossEntropy, Huber, Quantile
from tests import oracle

HIDDEN = [name for name, activation in ACTIVATIONS.items() if activation.hidden]


def allowed(loss: str) -> list[str]:
    """Outputs that a loss may go with."""
    return [LOSSES[loss].output] if LOSSES[loss].from_logits else list(ACTIVATIONS)


PAIRS = [(loss, output) for loss in LOSSES for output in allowed(loss)]


def make(*args, **kwargs) -> fm.MLP:
    """A network, without the warning that its output and its loss learn slowly together."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fm.PairingWarning)
        return fm.MLP(*args, **kwargs)


def targets(loss: str, n: int, k: int, seed: int = 1) -> np.ndarray:
    """Targets of a loss's kind, (n, k), or (n,) with class indices."""
    rng = np.random.default_rng(seed)
    if loss == "cross_entropy":
        return rng.integers(k, size=n)
    if loss == "bce":
        return rng.integers(2, size=(n, k)).astype(float)
    if loss == "poisson":
        return rng.poisson(2.0, size=(n, k)).astype(float)
    return rng.normal(size=(n, k))


def data(net: fm.MLP, n: int = 7, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(seed).normal(size=(n, net.plan.n_inputs))
    return X, targets(net.loss_spec.name, n, net.plan.n_outputs)


def perturb_biases(net: fm.MLP) -> fm.MLP:
    """Biases start at zero, where a network could forget them and nobody would notice."""
    rng = np.random.default_rng(5)
    for bias in net.biases:
        if bias is not None:
            bias[:] = rng.normal(size=bias.shape) / 4
    return net


def test_the_oracle_knows_every_activation() -> None:
    assert set(oracle.ACTIVATIONS) == set(ACTIVATIONS)


# ---- layers


@pytest.mark.parametrize("spec", [8, np.int64(8), fm.Dense(8), (8, True), [8, True], (8, True, "relu"), {"width": 8}])
def test_every_spec_of_a_layer_means_the_same_network(spec) -> None:
    net, plain = fm.MLP([3, spec, 2]), fm.MLP([3, 8, 2])
    assert net.layers == plain.layers
    assert net.spec() == plain.spec()
    assert (net.params == plain.params).all()


@pytest.mark.parametrize("layers", [(3, 8, 2), iter([3, 8, 2]), np.array([3, 8, 2])], ids=["tuple", "iterator", "array"])
def test_layers_may_be_any_sequence(layers) -> None:
    assert fm.MLP(layers).plan.widths == (3, 8, 2)


def test_activation_and_bias_are_each_layers_own(engine) -> None:
    net = fm.MLP(
        [4, (5, False), (6, True, "tanh"), {"width": 3, "activation": "gelu", "bias": False}, fm.Dense(2, bias=False)],
        activation="elu", output="sigmoid", dtype="float64", seed=3,
    )  # fmt: skip
    assert [dense.activation for dense in net.layers] == ["elu", "tanh", "gelu", "sigmoid"]
    assert [bias is None for bias in net.biases] == [True, False, True, True]
    perturb_biases(net)
    X = data(net)[0]
    layers, _ = oracle.forward(net, X)
    for got, expected in zip(net.activations(X), layers, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)


def test_a_network_without_hidden_layers_is_a_linear_model(engine) -> None:
    net = perturb_biases(fm.MLP([3, 2], dtype="float64"))
    X = data(net)[0]
    np.testing.assert_allclose(net.predict(X), X @ net.weights[0] + net.biases[0], rtol=1e-13)
    assert net.n_params == 8


def test_a_linear_model_finds_the_least_squares_solution(engine) -> None:
    rng = np.random.default_rng(0)
    X, W = rng.normal(size=(200, 3)), rng.normal(size=(3, 2))
    net = fm.MLP([3, 2], dtype="float64")
    net.fit(X, X @ W + 1.5, epochs=300, batch_size=None, optimizer=fm.SGD(0.3))
    np.testing.assert_allclose(net.weights[0], W, atol=1e-9)
    np.testing.assert_allclose(net.biases[0], [1.5, 1.5], atol=1e-9)


@pytest.mark.parametrize("layers", [[1, 1], [1, 1, 1], [1, 1, 1, 1, 1], [5, 1, 3], [1, 17, 1]])
@pytest.mark.parametrize("bias", [True, False])
def test_width_one_is_a_width(layers, bias, engine) -> None:
    net = fm.MLP([layers[0], *((width, bias) for width in layers[1:])], activation="tanh", dtype="float64", seed=1)
    perturb_biases(net)
    X, y = data(net)
    np.testing.assert_allclose(net.predict(X), oracle.forward(net, X)[0][-1], rtol=1e-12, atol=1e-14)
    before = net.loss(X, y)
    net.fit(X, y, epochs=20, batch_size=None, optimizer=fm.SGD(0.05))
    assert net.loss(X, y) < before


def test_twenty_layers_are_a_network(engine) -> None:
    net = perturb_biases(fm.MLP([3, *[4] * 20, 2], activation="tanh", dtype="float64"))
    X = data(net)[0]
    np.testing.assert_allclose(net.predict(X), oracle.forward(net, X)[0][-1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", HIDDEN)
def test_every_activation_of_a_hidden_layer(name, engine) -> None:
    for dtype, tolerance in (("float64", 1e-12), ("float32", 1e-5)):
        net = perturb_biases(fm.MLP([3, 19, 4], activation=name, dtype=dtype))
        X = data(net, n=33)[0]
        np.testing.assert_allclose(net.predict(X), oracle.forward(net, X)[0][-1], rtol=tolerance, atol=10 * tolerance)


def test_swish_is_another_name_of_silu() -> None:
    assert fm.MLP([2, 3, 1], activation="swish").layers == fm.MLP([2, 3, 1], activation="silu").layers


def test_the_networks_dropout_and_init_are_for_layers_that_name_none() -> None:
    net = fm.MLP([3, 4, (4, False), {"width": 4, "dropout": 0.1}, fm.Dense(4, init="zeros"), 2], dropout=0.5, init="orthogonal")
    assert [dense.dropout for dense in net.layers] == [0.5, 0.5, 0.1, 0.0, 0.0]
    assert not net.weights[3].any()
    np.testing.assert_allclose(net.weights[1].T @ net.weights[1], np.eye(4), atol=1e-6)


@pytest.mark.parametrize("name", ["softmax", "exp"])
@pytest.mark.parametrize("layers", [[3, (4, True, "{}"), 2], [3, 4, 2]])
def test_softmax_on_a_hidden_layer_is_an_error_that_says_so(name, layers) -> None:
    specs = [(4, True, name) if isinstance(spec, tuple) else spec for spec in layers]
    with pytest.raises(ValueError, match=f"hidden layer 0 has activation='{name}', which is for outputs only. Use output="):
        fm.MLP(specs, activation="relu" if specs != layers else name)


def test_the_last_layers_own_activation_is_the_output() -> None:
    net = fm.MLP([3, 4, (2, True, "softmax")])
    assert (net.output, net.loss_spec.name) == ("softmax", "cross_entropy")
    assert fm.MLP([3, 4, (2, True, "softmax")], output="softmax").spec() == net.spec()
    with pytest.raises(ValueError, match=r"the last layer has activation='softmax', but output='sigmoid'\. Leave one"):
        fm.MLP([3, 4, (2, True, "softmax")], output="sigmoid")


# ---- losses


@pytest.mark.parametrize(("output", "loss"), [("identity", "mse"), ("sigmoid", "bce"), ("softmax", "cross_entropy"),
                                              ("exp", "poisson"), ("tanh", "mse")])  # fmt: skip
def test_auto_takes_the_loss_that_the_output_pairs_with(output, loss) -> None:
    assert fm.MLP([3, 2], output=output).loss_spec.name == loss


@pytest.mark.parametrize(("loss", "output"), PAIRS)
def test_every_loss_on_every_output_that_it_allows(loss, output, engine) -> None:
    net = perturb_biases(make([3, 5, 4], activation="tanh", output=output, loss=loss, dtype="float64", seed=2))
    X, y = data(net)
    weight = np.random.default_rng(3).uniform(0.5, 2, len(X))
    np.testing.assert_allclose(net.loss(X, y), oracle.loss(net, X, y), rtol=1e-12)
    np.testing.assert_allclose(net.loss(X, y, weight), oracle.loss(net, X, y, weight), rtol=1e-12)


@pytest.mark.parametrize("spec", [Huber(0.3), Quantile(0.9), CrossEntropy(label_smoothing=0.2)], ids=lambda s: type(s).__name__)
def test_losses_with_a_parameter(spec, engine) -> None:
    output = "softmax" if isinstance(spec, CrossEntropy) else "identity"
    net = perturb_biases(fm.MLP([3, 5, 4], output=output, loss=spec, dtype="float64"))
    X, y = data(net)
    np.testing.assert_allclose(net.loss(X, y), oracle.loss(net, X, y), rtol=1e-12)
    assert net.loss_spec.parameter or net.loss_spec.smoothing


@pytest.mark.parametrize(("loss", "output"), PAIRS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [-1e4, 1e4])
def test_losses_and_gradients_are_finite_at_huge_logits(loss, output, dtype, size, engine) -> None:
    net = make([1, 3], output=output, loss=loss, dtype=dtype)
    # Where exp(z) is the output itself, and not inside a loss that is made of z, it is infinite.
    net.weights[0][:] = [[-1e4, 0, 1] if output == "exp" and loss != "poisson" else [size, -size, size / 2]]
    X, y = np.ones((2, 1)), targets(loss, 2, 3)
    value, grad = net.value_and_grad(X, y)
    assert np.isfinite(net.predict(X)).all() or output == "exp"
    assert np.isfinite(value)
    assert np.isfinite(grad).all()


def test_class_indices_and_one_hot_rows_are_the_same_targets(engine) -> None:
    net = fm.MLP([3, 5, 4], output="softmax", dtype="float64")
    X, y = data(net)
    one_hot = np.eye(4)[y]
    assert net.loss(X, y) == pytest.approx(net.loss(X, one_hot), rel=1e-14)
    np.testing.assert_allclose(net.value_and_grad(X, y)[1], net.value_and_grad(X, one_hot)[1], rtol=1e-12, atol=1e-15)


def test_a_weight_is_as_good_as_a_repeated_row(engine) -> None:
    for loss, output in (("mse", "identity"), ("sse", "identity"), ("cross_entropy", "softmax"), ("bce", "sigmoid")):
        net = perturb_biases(fm.MLP([3, 6, 4], output=output, loss=loss, dtype="float64"))
        X, y = data(net)
        times = np.array([1, 3, 2, 1, 1, 5, 1])
        value, grad = net.value_and_grad(X, y, sample_weight=times)
        again, repeated = net.value_and_grad(np.repeat(X, times, axis=0), np.repeat(y, times, axis=0))
        assert value == pytest.approx(again, rel=1e-13)
        np.testing.assert_allclose(grad, repeated, rtol=1e-12, atol=1e-15)


def test_a_row_of_weight_zero_is_as_good_as_none(engine) -> None:
    net = fm.MLP([3, 6, 1], dtype="float64")
    X, y = data(net)
    weight = np.array([1, 0, 1, 1, 0, 1, 1])
    kept = weight > 0
    assert net.loss(X, y, weight) == pytest.approx(net.loss(X[kept], y[kept]), rel=1e-14)
    np.testing.assert_allclose(net.value_and_grad(X, y, weight)[1], net.value_and_grad(X[kept], y[kept])[1], rtol=1e-12)


def test_a_poor_pair_of_loss_and_output_warns_once() -> None:
    with pytest.warns(fm.PairingWarning, match="loss='mse' learns slowly with output='sigmoid'.*Use loss='bce'") as caught:
        fm.MLP([3, 2], output="sigmoid", loss="mse")
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize("loss", ["cross_entropy", "bce", "poisson"])
def test_a_loss_from_logits_needs_its_own_output(loss) -> None:
    output = LOSSES[loss].output
    with pytest.raises(ValueError, match=f"loss='{loss}' is computed from the logits of output='{output}'.*Use output="):
        fm.MLP([3, 2], output="identity", loss=loss)


# ---- parameters


def test_params_are_one_aligned_vector_and_weights_and_biases_are_views_of_it() -> None:
    net = fm.MLP([3, 5, (4, False), 2])
    assert net.params.shape == (3 * 5 + 5 + 5 * 4 + 4 * 2 + 2,) == (net.n_params,)
    assert net.params.ctypes.data % 64 == 0
    assert net.params.dtype == np.float32
    for layer, weights in enumerate(net.weights):
        weights[:] = layer + 1
    net.biases[0][:] = 10
    net.biases[2][:] = 30
    assert net.params.tolist() == [1.0] * 15 + [10.0] * 5 + [2.0] * 20 + [3.0] * 8 + [30.0] * 2


def test_assigning_params_copies_into_them() -> None:
    net = fm.MLP([3, 5, 2])
    vector, view = net.params, net.weights[0]
    net.params = new = np.arange(net.n_params)
    assert net.params is vector
    assert (view.ravel() == new[:15]).all()
    new[:] = 0
    assert net.params[-1] == net.n_params - 1


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (np.zeros(3), ValueError, r"params must have shape \(32,\); got \(3,\)"),
        (np.zeros((32, 1)), ValueError, r"params must have shape \(32,\); got \(32, 1\)"),
        (["a"] * 32, TypeError, "params must be numbers; got an array of dtype"),
        (np.zeros(32, complex), TypeError, "params must be numbers; got an array of dtype complex128"),
        (np.r_[np.zeros(7), np.nan, np.zeros(24)], ValueError, r"params\[7\] is nan, but must be finite"),
        (np.r_[np.zeros(7), 1e300, np.zeros(24)], ValueError, r"params\[7\] is 1e\+300, but must be finite in float32"),
    ],
)
def test_params_refuse_what_is_no_parameter_vector(values, error, message) -> None:
    net = fm.MLP([3, 5, 2])
    before = net.params.copy()
    with pytest.raises(error, match=message):
        net.params = values
    assert (net.params == before).all()


def test_initial_weights_depend_on_the_seed_alone() -> None:
    first, again, other = (fm.MLP([3, 5, 2], seed=seed) for seed in (4, 4, 5))
    assert (first.params == again.params).all()
    assert not (first.weights[0] == other.weights[0]).any()
    assert (fm.MLP([3, 5, 2], seed=-1).params != first.params).any()
    assert all(not bias.any() for bias in first.biases)


def test_reset_forgets_all_training(engine) -> None:
    net, fresh = (fm.MLP([3, 5, 1], dropout=0.2, seed=4) for _ in range(2))
    X, y = data(net, 20)
    net.fit(X, y, epochs=3)
    net.backward(X, y)
    assert net.reset() is net
    assert net.history is None
    assert (net.params == fresh.params).all()
    assert not net.grad.any()
    net.fit(X, y, epochs=3)
    fresh.fit(X, y, epochs=3)
    assert (net.params == fresh.params).all()
    assert net.history.loss == fresh.history.loss


def test_reset_may_change_the_seed() -> None:
    net = fm.MLP([3, 5, 1], seed=4).reset(seed=9)
    assert net.seed == 9
    assert (net.params == fm.MLP([3, 5, 1], seed=9).params).all()


@pytest.mark.parametrize("how", [fm.MLP.copy, copy.deepcopy, copy.copy, lambda net: pickle.loads(pickle.dumps(net))],
                         ids=["copy", "deepcopy", "copy.copy", "pickle"])  # fmt: skip
def test_a_copy_goes_on_as_the_original_would_and_shares_no_memory(how, engine) -> None:
    net = fm.MLP([3, 16, 1], dropout=0.1, dtype="float64")
    X, y = data(net, 50)
    net.fit(X, y, epochs=2, optimizer="adam")
    net.backward(X, y)
    twin = how(net)
    assert twin.spec() == net.spec()
    assert twin.params.ctypes.data % 64 == 0
    mine = [net.params, net.grad, net._state.slots, net._state.ints, net._state.reals]
    its = [twin.params, twin.grad, twin._state.slots, twin._state.ints, twin._state.reals]
    for a, b in zip(mine, its, strict=True):
        assert (a == b).all()
        assert not np.shares_memory(a, b)
    assert np.shares_memory(twin.weights[0], twin.params)
    assert twin.history == net.history
    assert twin.history is not net.history
    before = net.params.copy()
    twin.fit(X, y, epochs=2, optimizer="adam")
    assert (net.params == before).all()
    assert len(net.history) == 2
    net.fit(X, y, epochs=2, optimizer="adam")
    assert (net.params == twin.params).all()
    assert net.history.loss == twin.history.loss


def test_a_spec_is_plain_and_makes_the_same_network() -> None:
    import json

    net = fm.MLP([3, (5, False, "mish"), fm.Dense(4, dropout=0.25, init=fm.initializers.Normal(0.5)), 2], output="softmax",
                 loss=CrossEntropy(0.1), dtype="float64", seed=7)  # fmt: skip
    again = fm.MLP.from_spec(json.loads(json.dumps(net.spec())))
    assert again.spec() == net.spec()
    assert again.layers == net.layers
    assert again.loss_spec == net.loss_spec
    assert (again.params == net.params).all()


def test_flops_count_a_multiplication_and_an_addition_for_each_weight() -> None:
    net = fm.MLP([3, 5, 2])
    assert net.flops() == 2 * (15 + 10)
    assert net.flops(100) == 100 * net.flops()


def test_summary_and_repr_are_for_people() -> None:
    net = fm.MLP([64, (1000, False), 10], output="softmax", dropout=0.25)
    text = net.summary()
    for words in ("hidden 1", "64 → 1000", "relu", "0.25", "64,000", "output", "1000 → 10", "softmax", "10,010", "74,010",
                  "148,000", "loss: cross_entropy, float32"):  # fmt: skip
        assert words in text
    assert len({len(line) for line in text.splitlines() if set(line) == {"-"}}) == 1
    assert max(map(len, text.splitlines())) <= 100
    assert repr(net) == "<MLP [64, 1000, 10] relu, softmax; cross_entropy; 74,010 parameters, float32>"


# ---- answers


def test_calling_a_network_is_predicting(engine) -> None:
    net = fm.MLP([3, 5, 2], output="softmax")
    X = data(net)[0]
    assert (net(X) == net.predict(X)).all()
    np.testing.assert_allclose(net(X).sum(axis=1), 1, rtol=1e-6)
    assert net(X).dtype == np.float32


def test_activations_are_every_layers_and_end_with_the_outputs(engine) -> None:
    net = fm.MLP([3, 5, 4, 2], output="softmax", dropout=0.5)
    X = data(net)[0]
    layers = net.activations(X)
    assert [layer.shape for layer in layers] == [(7, 5), (7, 4), (7, 2)]
    assert all(layer.flags.c_contiguous for layer in layers)
    assert (layers[-1] == net.predict(X)).all()


@pytest.mark.parametrize("n", [1, 2, 31, 257, 1000, 5000])
def test_a_row_is_predicted_the_same_among_many(n, engine) -> None:
    net = fm.MLP([6, 33, 3], activation="tanh", dtype="float64")
    X = data(net, n)[0]
    whole = net.predict(X)
    for row in {0, n // 2, n - 1}:
        np.testing.assert_allclose(whole[row], net.predict(X[row : row + 1])[0], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "change",
    [lambda X: X.tolist(), np.asfortranarray, lambda X: np.repeat(X, 2, axis=0)[::2], lambda X: X[::-1][::-1],
     lambda X: X.astype("float32"), lambda X: X.astype(">f8")],
    ids=["list", "F-order", "strided", "reversed", "float32", "big-endian"],
)  # fmt: skip
def test_arrays_of_any_layout_give_the_same_answer(change, engine) -> None:
    net = fm.MLP([3, 5, 2], dtype="float64")
    X = data(net)[0].astype("float32").astype("float64")
    y = np.ones((7, 2))
    assert (net.predict(change(X)) == net.predict(X)).all()
    assert net.loss(change(X), y) == net.loss(X, y)
    assert (net.input_gradient(change(X), y) == net.input_gradient(X, y)).all()


def test_whole_numbers_and_truth_values_are_inputs(engine) -> None:
    net = fm.MLP([3, 5, 2])
    X = np.array([[0, 1, 1], [1, 0, 0]])
    assert (net.predict(X) == net.predict(X.astype(float))).all()
    assert (net.predict(X.astype(bool)) == net.predict(X)).all()


def test_a_prediction_does_not_change_the_network_or_the_data(engine) -> None:
    net = fm.MLP([3, 5, 2], dropout=0.3, dtype="float64")
    X, y = data(net)
    kept, params, state = X.copy(), net.params.copy(), net._state.ints.copy()
    net.predict(X), net.activations(X), net.loss(X, y), net.value_and_grad(X, y), net.input_gradient(X, y), net.jacobian(X)
    assert (X == kept).all()
    assert (net.params == params).all()
    assert (net._state.ints == state).all()
    assert not net.grad.any()
    assert net.history is None


def test_outputs_are_new_arrays_each_time(engine) -> None:
    net = fm.MLP([3, 5, 2])
    X, y = data(net)
    for ask in (net.predict, net.jacobian, lambda X: net.value_and_grad(X, y)[1], lambda X: net.input_gradient(X, y)):
        assert not np.shares_memory(ask(X), ask(X))


def test_score_is_accuracy_for_classes_and_r2_for_numbers(engine) -> None:
    from sklearn.metrics import accuracy_score, r2_score

    net = fm.MLP([3, 5, 4], output="softmax")
    X, y = data(net, 50)
    weight = np.random.default_rng(0).uniform(size=50)
    guess = net.predict(X).argmax(axis=1)
    assert net.score(X, y) == pytest.approx(accuracy_score(y, guess))
    assert net.score(X, y, sample_weight=weight) == pytest.approx(accuracy_score(y, guess, sample_weight=weight), rel=1e-6)
    assert net.score(X, np.eye(4)[y]) == net.score(X, y)
    net = fm.MLP([3, 5, 4], dtype="float64")
    X, y = data(net, 50)
    assert net.score(X, y) == pytest.approx(r2_score(y, net.predict(X)))
    assert net.score(X, y, "mse") == pytest.approx(net.loss(X, y))
    assert net.score(X, y, lambda y, p: 42.0) == 42.0
    net = fm.MLP([3, 5, 1], output="sigmoid")
    X, y = data(net, 50)
    assert net.score(X, y.ravel()) == pytest.approx(((net.predict(X) > 0.5) == (y > 0.5)).mean())


# ---- the manual loop


def test_backward_adds_to_grad_until_it_is_zeroed(engine) -> None:
    net = fm.MLP([3, 5, 2], dtype="float64")
    X, y = data(net)
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
    X, y = data(net, 10)
    value, grad = net.value_and_grad(X, y)
    assert net.backward(X[:4], y[:4]) + net.backward(X[4:], y[4:]) == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(net.grad, grad, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", [name for name in fm.optimizers.OPTIMIZERS if name != "lbfgs"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_manual_loop_is_what_fit_does(name, dtype, engine) -> None:
    options = {"l1": 1e-3, "l2": 1e-2, "weight_decay": 1e-2, "clip_value": 0.5, "clip_norm": 0.4}
    from dataclasses import replace

    optimizer = replace(fm.optimizers.resolve(name), **options)
    by_hand, by_fit = (fm.MLP([3, 17, 2], output="softmax", dtype=dtype) for _ in range(2))
    X, y = data(by_fit, 25)
    by_fit.fit(X, y, epochs=3, batch_size=10, shuffle=False, optimizer=optimizer)
    losses = []
    for _ in range(3):
        total = 0.0
        for rows in (slice(0, 10), slice(10, 20), slice(20, 25)):
            by_hand.zero_grad()
            total += by_hand.backward(X[rows], y[rows]) * (rows.stop - rows.start)
            by_hand.step(optimizer)
        losses.append(total / 25)
    assert (by_hand.params == by_fit.params).all()
    np.testing.assert_allclose(losses, by_fit.history.loss, rtol=1e-5 if dtype == "float32" else 1e-12)


def test_a_manual_step_goes_on_from_fit_and_fit_from_a_manual_step(engine) -> None:
    mixed, fitted = (fm.MLP([3, 17, 2], dtype="float64") for _ in range(2))
    X, y = data(fitted, 10)
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
    X, y = data(net)
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


def test_backward_draws_new_dropout_masks_each_time_and_value_and_grad_none(engine) -> None:
    net = fm.MLP([3, 50, 1], dropout=0.5, dtype="float64")
    X, y = data(net)
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
    X, y = data(net)
    net.fit(X, y, epochs=2)
    net.backward(X, y)
    before, slots, reals = net.params.copy(), net._state.slots.copy(), net._state.reals.copy()
    with pytest.raises(ValueError, match="warmup takes 3 epochs"):
        net.step(fm.SGD(fm.schedules.Cosine(0.1, warmup=3)))
    with pytest.raises(ValueError, match=r"optimizer must be one of .*; got 'sdg'\. Did you mean 'sgd'"):
        net.step("sdg")
    assert (net.params == before).all()
    assert (net._state.slots == slots).all()
    assert (net._state.reals == reals).all()


# ---- refusals

DENSE = "a layer must be a width, a fm.Dense, a tuple"


@pytest.mark.parametrize(
    ("layers", "options", "error", "message"),
    [
        ([], {}, ValueError, "layers must name the number of inputs and at least one layer"),
        ([3], {}, ValueError, r"at least one layer, such as \[64, 10\]; got \[3\]"),
        (3, {}, TypeError, r"layers must be a list such as \[64, 128, 10\]; got 3"),
        ("3-4", {}, TypeError, "layers must be a list"),
        ({3: 4}, {}, TypeError, "layers must be a list"),
        ([0, 2], {}, ValueError, r"layers\[0\], the number of inputs, must be an integer >= 1; got 0"),
        ([fm.Dense(3), 2], {}, TypeError, r"layers\[0\], the number of inputs, must be an integer"),
        ([3, 0, 2], {}, ValueError, "width must be an integer >= 1; got 0"),
        ([3, 2.5, 2], {}, TypeError, f"{DENSE}.*got 2.5"),
        ([3, True, 2], {}, TypeError, f"{DENSE}.*got True"),
        ([3, None, 2], {}, TypeError, f"{DENSE}.*got None"),
        ([3, "8", 2], {}, TypeError, f"{DENSE}.*got '8'"),
        ([3, (8,), 2], {}, ValueError, r"\(width, bias\) or \(width, bias, activation\); got \(8,\)"),
        ([3, (8, 1), 2], {}, TypeError, "bias must be True or False; got 1"),
        ([3, {"widht": 8}, 2], {}, ValueError, "Did you mean 'width'"),
        ([3, {"bias": True}, 2], {}, ValueError, "needs the key 'width'"),
        ([3, 4, 2], {"activation": "rlu"}, ValueError, "activation must be one of .*; got 'rlu'. Did you mean 'relu'"),
        ([3, 4, 2], {"activation": 3}, TypeError, "activation must be one of"),
        ([3, 4, 2], {"output": "softmx"}, ValueError, "output must be one of .*; got 'softmx'. Did you mean 'softmax'"),
        ([3, 4, 2], {"loss": "mes"}, ValueError, "loss must be one of .*; got 'mes'. Did you mean 'mse'"),
        ([3, 4, 2], {"loss": 1}, TypeError, "loss must be one of"),
        ([3, 4, 2], {"init": "he_norml"}, ValueError, "init must be one of .* Did you mean 'he_normal'"),
        ([3, 4, 2], {"dropout": 1.0}, ValueError, "dropout must be a finite number >= 0 and < 1; got 1.0"),
        ([3, 4, 2], {"dropout": -0.1}, ValueError, "dropout must be a finite number >= 0 and < 1; got -0.1"),
        ([3, 4, fm.Dense(2, dropout=0.5)], {}, ValueError, "the output layer has dropout=0.5"),
        ([3, 4, 2], {"dtype": "float16"}, ValueError, "dtype must be 'float32' or 'float64'; got 'float16'"),
        ([3, 4, 2], {"dtype": "no"}, ValueError, "dtype must be 'float32' or 'float64'; got 'no'"),
        ([3, 4, 2], {"seed": 1.5}, TypeError, "seed must be an integer; got 1.5"),
        ([3, 4, 1], {"output": "softmax"}, ValueError, "output='softmax' with one output is always 1"),
        ([3, 4, 2], {"init": lambda rng, i, o: np.zeros(3)}, ValueError, "must return finite weights of shape"),
    ],
)  # fmt: skip
def test_wrong_arguments_of_a_network(layers, options, error, message) -> None:
    with pytest.raises(error, match=message):
        fm.MLP(layers, **options)


def nan_at(X, row, column):
    X[row, column] = np.nan
    return X


GOOD_X = np.zeros((6, 3))
WRONG_X = [
    (np.zeros((6, 4)), ValueError, r"X has 4 columns, but this network takes 3 inputs \(layers=\[3, 5, 2\]\). Pass X of shape"),
    (np.zeros(3), ValueError, r"X has one dimension.*Pass X\[None, :\] if it is one row"),
    (np.zeros((2, 3, 1)), ValueError, r"X has shape \(2, 3, 1\)"),
    (np.float64(3), ValueError, r"X has shape \(\)"),
    (np.zeros((0, 3)), ValueError, r"X has no rows"),
    ([[0, 0, 0], [0, 0]], ValueError, "X does not form an array"),
    (np.zeros((6, 3), object), TypeError, "X has dtype object"),
    (np.full((6, 3), "a"), TypeError, "X has dtype <U1, which is not numeric"),
    (np.zeros((6, 3), complex), TypeError, "X holds complex numbers"),
    (np.zeros((6, 3), "M8[s]"), TypeError, "X has dtype datetime64"),
    (nan_at(np.zeros((6, 3)), 4, 1), ValueError, "X has nan in row 4, column 1; every value must be finite"),
    (np.where(np.arange(18).reshape(6, 3) == 17, -np.inf, 0), ValueError, "X has -inf in row 5, column 2"),
    (np.where(np.arange(18).reshape(6, 3) == 3, 1e200, 0), ValueError, "X has 1e\\+200 in row 1, column 0, which is too large"),
    (None, TypeError, "X has dtype object"),
]  # fmt: skip


@pytest.mark.parametrize(("X", "error", "message"), WRONG_X)
def test_inputs_of_a_wrong_kind_are_refused_by_every_method(X, error, message) -> None:
    net = fm.MLP([3, 5, 2])
    y = np.zeros((6, 2))
    before = net.params.copy()
    asks = [lambda: net.predict(X), lambda: net(X), lambda: net.activations(X), lambda: net.loss(X, y), lambda: net.score(X, y),
            lambda: net.value_and_grad(X, y), lambda: net.backward(X, y), lambda: net.input_gradient(X, y),
            lambda: net.jacobian(X), lambda: net.fit(X, y)]  # fmt: skip
    for ask in asks:
        with pytest.raises(error, match=message):
            ask()
    assert (net.params == before).all()
    assert not net.grad.any()
    assert net.history is None


WRONG_Y = [
    ("softmax", np.zeros(5, int), ValueError, "y has 5 rows, but X has 6"),
    ("softmax", np.zeros((6, 3)), ValueError, r"y has shape \(6, 3\), but this network has 2 outputs"),
    ("softmax", [0, 1, 2, 0, 0, 0], ValueError, r"y has label 2 in row 2, but this network has 2 outputs.*0\.\.1"),
    ("softmax", [0, 1, 0, -1, 0, 0], ValueError, "y has label -1 in row 3"),
    ("softmax", [0, 1, 0, 0.5, 0, 0], ValueError, r"y has label 0\.5 in row 3"),
    ("softmax", np.full((6, 2), 0.7), ValueError, "y row 0 is .*sums to 1.4"),
    ("softmax", list("aabbab"), TypeError, "y has dtype <U1"),
    ("softmax", np.array(["a", 1, None] * 2, object), TypeError, "y has dtype object"),
    ("sigmoid", np.full((6, 2), 1.5), ValueError, r"y has 1.5 in row 0, column 0, but this loss takes values in \[0, 1\]"),
    ("sigmoid", np.full((6, 2), -1), ValueError, "y has -1.0 in row 0, column 0"),
    ("exp", np.full((6, 2), -1), ValueError, "this loss takes counts >= 0"),
    ("identity", np.zeros(6), ValueError, r"y has shape \(6,\), but this network has 2 outputs: it must be of shape \(6, 2\)"),
    ("identity", np.zeros((6, 2, 1)), ValueError, r"y has shape \(6, 2, 1\)"),
    ("identity", nan_at(np.zeros((6, 2)), 3, 1), ValueError, "y has nan in row 3, column 1"),
    ("identity", np.where(np.arange(12).reshape(6, 2) == 4, np.inf, 0), ValueError, "y has inf in row 2, column 0"),
    ("identity", None, ValueError, r"y has shape \(\)"),
]


@pytest.mark.parametrize(("output", "y", "error", "message"), WRONG_Y)
def test_targets_of_a_wrong_kind_are_refused_by_every_method(output, y, error, message) -> None:
    net = fm.MLP([3, 5, 2], output=output)
    before = net.params.copy()
    if y is None:
        error, message = TypeError, "y has dtype object"
    for ask in (net.loss, net.score, net.value_and_grad, net.backward, net.input_gradient, net.fit):
        with pytest.raises(error, match=message):
            ask(GOOD_X, y)
    assert (net.params == before).all()
    assert not net.grad.any()
    assert net.history is None


@pytest.mark.parametrize(
    ("weight", "error", "message"),
    [
        (np.ones(5), ValueError, r"sample_weight has shape \(5,\), but X has 6 rows"),
        (np.ones((6, 1)), ValueError, r"sample_weight has shape \(6, 1\)"),
        ([1, 1, 1, -2, 1, 1], ValueError, r"sample_weight has -2.0 in row 3; weights must be >= 0"),
        ([1, 1, 1, np.nan, 1, 1], ValueError, "sample_weight has nan in row 3"),
        (np.zeros(6), ValueError, "sample_weight is zero in every row"),
        (list("abcdef"), TypeError, "sample_weight has dtype <U1"),
    ],
)
def test_sample_weights_of_a_wrong_kind_are_refused_by_every_method(weight, error, message) -> None:
    net = fm.MLP([3, 5, 2])
    y = np.zeros((6, 2))
    for ask in (net.loss, net.score, net.value_and_grad, net.backward, net.input_gradient, net.fit):
        with pytest.raises(error, match=message):
            ask(GOOD_X, y, sample_weight=weight)
    assert net.history is None


def test_flops_of_a_wrong_number_of_rows() -> None:
    with pytest.raises(ValueError, match="rows must be an integer >= 0; got -1"):
        fm.MLP([3, 2]).flops(-1)


def test_an_unknown_metric_is_refused_with_the_nearest_names() -> None:
    net = fm.MLP([3, 2])
    with pytest.raises(ValueError, match=r"metric must be one of .*got 'acuracy'\. Did you mean 'accuracy'"):
        net.score(GOOD_X, np.zeros((6, 2)), "acuracy")
