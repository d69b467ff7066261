"""The layout of a network in one flat vector."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from fastmlp.activations import ACTIVATIONS
from fastmlp.layers import Dense
from fastmlp.plan import aligned_zeros, make_plan
from fastmlp.reference import ids

LAYERS = [Dense(3, "tanh", dropout=0.25), Dense(4, "relu", bias=False, parametric=True), Dense(1, "sigmoid")]


def test_the_table_of_a_network_by_hand() -> None:
    """2 -> 3 with bias: 9 numbers; 3 -> 4 without, but with alphas: 16; 4 -> 1 with bias: 5."""
    plan, nothing = make_plan(2, LAYERS), [0] * 6  # of an embedding
    assert plan.table.tolist() == [
        [2, 3, ids.TANH, 1, 0, 0, *nothing],
        [3, 4, ids.RELU, 0, 9, 1, *nothing],
        [4, 1, ids.SIGMOID, 1, 25, 0, *nothing],
    ]
    assert plan.table.dtype == np.int32  # since a layer has alphas
    assert make_plan(2, [LAYERS[0], LAYERS[2]]).table.dtype == np.int64
    assert plan.table.flags.c_contiguous
    assert plan.dropout.tolist() == [0.25, 0.0, 0.0]
    assert plan.n_params == 30
    assert plan.sizes.tolist() == [9, 16, 5]
    assert (plan.n_inputs, plan.n_outputs, plan.n_layers, plan.widths) == (2, 1, 3, (2, 3, 4, 1))


def test_weights_biases_and_alphas_are_views_that_cover_the_vector_once() -> None:
    plan = make_plan(2, LAYERS)
    flat = np.zeros(plan.n_params)
    assert [w.shape for w in plan.weights(flat)] == [(2, 3), (3, 4), (4, 1)]
    assert [None if b is None else b.shape for b in plan.biases(flat)] == [(3,), None, (1,)]
    assert [None if a is None else a.shape for a in plan.alphas(flat)] == [None, (4,), None]
    for view in (*plan.weights(flat), *plan.biases(flat), *plan.alphas(flat)):
        if view is not None:
            view += 1.0
    assert flat.tolist() == [1.0] * plan.n_params


def test_weights_are_row_major() -> None:
    plan = make_plan(2, LAYERS)
    assert plan.weights(np.arange(30.0))[0].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    bias = plan.biases(np.arange(30.0))[0]
    assert bias is not None
    assert bias.tolist() == [6.0, 7.0, 8.0]


def test_a_network_may_have_no_hidden_layer() -> None:
    plan = make_plan(5, [Dense(2, "softmax")])
    assert (plan.n_layers, plan.n_params, plan.flops()) == (1, 12, 20)


def test_flops_are_two_for_each_weight_and_row() -> None:
    plan = make_plan(2, LAYERS)
    assert plan.flops() == 2 * (6 + 12 + 4)
    assert plan.flops(10) == 10 * plan.flops()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_may_be_at_the_output(name: str) -> None:
    assert make_plan(2, [Dense(2, name)]).table[0, ids.ACTIVATION] == ACTIVATIONS[name].id


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_for_hidden_layers_may_be_there(name: str) -> None:
    layers = [Dense(2, name), Dense(1, "identity")]
    if ACTIVATIONS[name].hidden:
        assert make_plan(2, layers).table[0, ids.ACTIVATION] == ACTIVATIONS[name].id
    else:
        with pytest.raises(ValueError, match=f"hidden layer 0 has activation='{name}', which is for outputs only. Use out"):
            make_plan(2, layers)


def test_outputs_are_not_dropped() -> None:
    with pytest.raises(ValueError, match=r"the output layer has dropout=0\.5, but outputs stay\. Give it dropout=0"):
        make_plan(2, [Dense(1, "identity", dropout=0.5)])


def test_outputs_are_not_parametric() -> None:
    with pytest.raises(ValueError, match="the output layer has parametric=True, but its activation is the loss's"):
        make_plan(2, [Dense(1, "identity", parametric=True)])


def test_softmax_needs_two_outputs() -> None:
    with pytest.raises(ValueError, match=r"output='softmax' with one output is always 1\. Use output='sigmoid'"):
        make_plan(2, [Dense(1, "softmax")])


def test_a_network_has_an_output_layer() -> None:
    with pytest.raises(ValueError, match="a network needs an output layer"):
        make_plan(2, [])


def test_a_network_has_inputs() -> None:
    with pytest.raises(ValueError, match="the number of inputs must be an integer >= 1; got 0"):
        make_plan(0, LAYERS)


def test_views_need_a_vector_of_the_right_length() -> None:
    with pytest.raises(ValueError, match=r"a flat vector of this network has shape \(30,\); got \(25,\)"):
        make_plan(2, LAYERS).weights(np.zeros(25))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [0, 1, 17, (3, 5), (0, 4)])
def test_aligned_arrays_start_at_a_cache_line(shape: int | tuple[int, ...], dtype: type) -> None:
    array = aligned_zeros(shape, dtype)
    assert array.ctypes.data % 64 == 0 or array.size == 0
    assert array.shape == ((shape,) if isinstance(shape, int) else shape)
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert not array.any()


def test_a_plan_of_another_version_is_refused() -> None:
    """Engines read tables without asking how wide they are."""
    plan = make_plan(2, LAYERS)
    older = {**vars(plan), "table": plan.table[:, :5]}
    with pytest.raises(ValueError, match=r"pickled by a version of fastmlp that lays out networks otherwise\. Load it there"):
        plan.__class__.__new__(plan.__class__).__setstate__(older)
    assert pickle.loads(pickle.dumps(plan)).table.tolist() == plan.table.tolist()
