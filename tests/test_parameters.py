"""A network's parameters: one vector and its views, copies, specs, and what people are shown."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from scipy.sparse import csr_array

import fastmlp as fm
from fastmlp.losses import CrossEntropy
from tests.problems import data_for


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


def test_assigning_to_a_layers_weights_or_biases_copies_into_them() -> None:
    net = fm.MLP([3, 5, 2], dtype="float64")
    W, b = np.arange(15.0).reshape(3, 5), [7, 8]
    net.weights[0], net.biases[-1] = W, b
    assert net.params[:15].tolist() == list(range(15))
    assert net.params[-2:].tolist() == b
    assert not np.shares_memory(net.params, W)
    net.weights[0] *= 2
    assert net.params[:15].tolist() == list(range(0, 30, 2))
    assert net.predict([[1, 0, 0]]).tolist() == (np.maximum(W[:1] * 2, 0) @ net.weights[1] + b).tolist()
    assert len(net.weights) == len(list(net.biases)) == 2
    assert repr(net.biases) == repr(list(net.biases))


def test_a_list_of_arrays_is_copied_into_all_layers_or_into_none() -> None:
    net = fm.MLP([2, (3, False), 3, 1], seed=1)
    other, before = fm.MLP([2, (3, False), 3, 1], seed=2), net.params.copy()
    net.weights, net.biases = other.weights, [None, [1, 2, 3], [4]]
    assert np.array_equal(net.weights[1], other.weights[1])
    assert net.biases[1].tolist() == [1.0, 2.0, 3.0]
    assert np.shares_memory(net.weights[0], net.params)
    net.weights = [net.weights[0], net.weights[1].T, net.weights[2]]  # of its own memory
    assert np.array_equal(net.weights[1], other.weights[1].T)
    net.params = before
    for wrong, error, why in (
        (3, ValueError, "weights has 3 layers: pass a list of an array for each; got 3 .int"),
        (other.weights[:2], ValueError, "weights has 3 layers"),
        ([*other.weights[:2], [[1.0]]], ValueError, r"weights\[2\] must have shape \(3, 1\); got \(1, 1\)"),
    ):
        with pytest.raises(error, match=why):
            net.weights = wrong
    with pytest.raises(ValueError, match="layer 0 has no bias"):
        net.biases = [[0, 0, 0], [1, 2, 3], [4]]
    with pytest.raises(TypeError, match=r"biases\[1\] must be numbers; got .*None"):
        net.biases = [None, None, [4]]
    assert np.array_equal(net.params, before)


def test_weights_and_biases_are_added_to_lists_as_lists_are() -> None:
    net = fm.MLP([3, 5, (2, False)])
    more = [np.zeros(1)]
    for added in (
        net.weights + more,
        net.weights + tuple(more),
        net.weights + net.biases[:1],
        net.weights + fm.MLP([2, 1]).weights,
    ):
        assert type(added) is list
        assert len(added) == 3
        assert np.shares_memory(added[0], net.params)
    for added in (more + net.weights, (*more,) + net.weights):
        assert type(added) is list
        assert added[0] is more[0]
        assert added[2].shape == (5, 2)
    assert (net.weights + net.biases)[3] is None
    for wrong in (1, "text", None):
        with pytest.raises(TypeError, match="unsupported operand"):
            net.weights + wrong


def test_a_copy_of_weights_stays_as_it_is() -> None:
    net = fm.MLP([3, 5, (2, False)])
    kept, biases = net.weights.copy(), net.biases.copy()
    before = [weights.tolist() for weights in net.weights]
    net.params += 1
    assert type(kept) is list
    assert [weights.tolist() for weights in kept] == before
    assert biases[0].tolist() == [0.0] * 5
    assert biases[1] is None
    deep = copy.deepcopy(net.weights)
    deep[0] = np.zeros((3, 5))
    assert net.weights[0].any()
    assert copy.copy(net.weights)[0] is not deep[0]


def test_weights_are_compared_one_by_one() -> None:
    net = fm.MLP([3, 5, (2, False)])
    for compare in (lambda a, b: a == b, lambda a, b: a != b):
        for other in (net.weights, list(net.weights), tuple(net.weights), []):
            with pytest.raises(
                TypeError, match=r"weights are arrays, which '==' does not compare: use np\.array_equal\(weights\[0\]"
            ):
                compare(net.weights, other)
    weights = net.weights
    assert weights == weights
    assert weights != None  # noqa: E711
    assert weights != 1
    with pytest.raises(TypeError, match="unhashable"):
        hash(weights)
    assert weights[0] in weights
    assert weights.index(weights[1]) == 1
    assert None in net.biases
    assert None not in weights
    assert (net.biases.index(None), net.biases.count(None), weights.count(None)) == (1, 1, 0)
    for what in (lambda: np.zeros((3, 5)) in weights, lambda: weights.count(1), lambda: weights.index(np.zeros(3))):
        with pytest.raises(TypeError, match=r"weights are arrays, which '(in|index)' does not compare"):
            what()
    with pytest.raises(ValueError, match="every one of these weights is there: no layer has None"):
        weights.index(None)


@pytest.mark.parametrize(
    ("name", "layer", "values", "error", "message"),
    [
        ("weights", 0, np.zeros((5, 3)), ValueError, r"weights\[0\] must have shape \(3, 5\); got \(5, 3\)"),
        ("weights", -1, np.zeros(4), ValueError, r"weights\[1\] must have shape \(5, 2\); got \(4,\)"),
        ("weights", 0, 0.0, ValueError, r"weights\[0\] must have shape \(3, 5\); got \(\)"),
        ("weights", 0, np.full((3, 5), np.inf), ValueError, r"weights\[0\]\[0, 0\] is inf, but must be finite in float32"),
        ("weights", 0, [["a"] * 5] * 3, TypeError, r"weights\[0\] must be numbers; got an array of dtype"),
        ("biases", 0, np.zeros(5), ValueError, r"layer 0 has no bias\. Make the network with a bias there"),
        ("weights", 0, np.zeros((5, 3)), ValueError, r"Pass its transpose, \.T: weights are \(inputs, units\)\.$"),
        ("weights", 0, np.zeros((5, 4)), ValueError, r"got \(5, 4\)\. Pass numbers of shape \(3, 5\)\.$"),
        ("weights", 0, 0.0, ValueError, r"To fill it with one number assign weights\[0\]\[\.\.\.\]"),
        ("weights", 0, None, TypeError, r"weights\[0\] must be numbers; .* object \(it is None\)\. Pass floats of shape \(3"),
        ("weights", 0, [[1], [1, 2]], ValueError, r"\[0\] must have shape \(3, 5\); got what does .*: \[\[1\], \[1, 2\]\]"),
        ("weights", 0, csr_array(np.eye(3, 5)), TypeError, r"weights\[0\] is sparse \(csr_array\), but must be dense\. Pass"),
        ("weights", 0, np.ma.masked_equal(np.eye(3, 5), 1), ValueError, r"weights\[0\] has masked values\. Pass weights"),
        ("weights", 5, 0, IndexError, "weights has 2 layers, numbered from 0 to 1, or from the end -1 to -2; got 5"),
        ("biases", 2, np.zeros(2), IndexError, "biases has 2 layers, numbered from 0 to 1, .*; got 2"),
        ("weights", -3, 0, IndexError, "from the end -1 to -2; got -3"),
        ("weights", "0", 0, TypeError, r"weights takes the number of a layer, an integer from 0 to 1; got '0' \(str\)\.$"),
        ("weights", 1.0, 0, TypeError, r"an integer from 0 to 1; got 1\.0 \(float\)"),
        ("weights", (0, 1), 0, TypeError, r"got \(0, 1\) \(tuple\)\. One number of a layer's is weights\[0\]\[\.\.\.\]"),
        ("weights", slice(None), [], TypeError, r"weights takes the values of one layer at a time: assign weights\[0\]"),
    ],
)
def test_weights_and_biases_refuse_what_does_not_fit(name, layer, values, error, message) -> None:
    net = fm.MLP([3, (5, False), 2])
    before = net.params.copy()
    with pytest.raises(error, match=message):
        getattr(net, name)[layer] = values
    assert (net.params == before).all()


@pytest.mark.parametrize(("layer", "error"), [(2, IndexError), ("0", TypeError), (1.0, TypeError), ((0, 1), TypeError)])
def test_a_layer_that_is_not_there_cannot_be_read_either(layer, error) -> None:
    with pytest.raises(error, match=r"weights (takes the number of a layer|has 2 layers, numbered from 0 to 1)"):
        fm.MLP([3, 5, 2]).weights[layer]


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


def test_a_reset_that_fails_leaves_the_network_as_it_was() -> None:
    answers = [np.ones((3, 2)), np.zeros((2, 3))]
    net = fm.MLP([3, 2], init=lambda rng, fan_in, fan_out: answers.pop(0), seed=1)
    with pytest.raises(ValueError, match=r"must return finite weights of shape \(3, 2\); got shape \(2, 3\)"):
        net.reset(seed=2)
    assert net.seed == 1
    assert (net.weights[0] == 1.0).all()


def test_no_seed_is_another_one_each_time_which_the_network_tells(engine) -> None:
    first, other = (fm.MLP([3, 5, 1], dropout=0.2, seed=None) for _ in range(2))
    assert 0 <= first.seed < 2**32
    assert first.seed != other.seed
    again = fm.MLP([3, 5, 1], dropout=0.2, seed=first.seed)
    X, y = data_for(first, 20)
    for net in (first, again):
        net.fit(X, y, epochs=3)
    assert (first.params == again.params).all()
    assert first.copy().reset(seed=None).seed == fm.MLP.from_spec(first.spec()).seed == first.seed


def test_a_number_of_seeds_is_the_first_ones() -> None:
    assert fm.Population([3, 1], seeds=3).seeds == fm.Population([3, 1], size=3).seeds == [0, 1, 2]


def test_a_population_without_a_seed_tells_the_one_it_drew(engine) -> None:
    first = fm.Population([3, 5, 1], size=2, seed=None)
    again = fm.Population([3, 5, 1], size=2, seed=first.seed)
    assert first.seed != fm.Population.of(first, seed=None).seed
    X, y = data_for(first[0], 20)
    for population in (first, again):
        population.fit(X, y, epochs=3, batch_size=4, validation=0.2)
    assert (first.params == again.params).all()


def test_reset_forgets_all_training(engine) -> None:
    net, fresh = (fm.MLP([3, 5, 1], dropout=0.2, seed=4) for _ in range(2))
    X, y = data_for(net, 20)
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
    X, y = data_for(net, 50)
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


def test_a_lambda_as_init_stays_in_a_copy_and_is_auto_in_a_pickle() -> None:
    def ones(rng, fan_in, fan_out):
        return np.ones((fan_in, fan_out))

    net = fm.MLP([3, fm.Dense(4, init=fm.initializers.Uniform(-1.0, 1.0)), 2], init=ones, seed=1)
    assert (net.copy().reset().weights[1] == 1.0).all()
    again = pickle.loads(pickle.dumps(net))
    assert again.params.tobytes() == net.params.tobytes()
    assert [dense.init for dense in again.layers] == [fm.initializers.Uniform(-1.0, 1.0), "auto"]
    assert [dense.init for dense in net.layers] == [fm.initializers.Uniform(-1.0, 1.0), ones]
    assert again.reset().params.tobytes() == fm.MLP([3, again.layers[0], 2], seed=1).params.tobytes()
