"""Dense, and everything that may be written for one."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest

import fastmlp as fm
from fastmlp.activations import ACTIVATIONS
from fastmlp.initializers import INITIALIZERS, Normal
from fastmlp.layers import Dense, as_dense


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (8, Dense(8, "relu")),
        (np.int64(8), Dense(8, "relu")),
        (np.uint8(8), Dense(8, "relu")),
        (Dense(8), Dense(8, "relu")),
        (Dense(8, "tanh", bias=False, dropout=0.5), Dense(8, "tanh", bias=False, dropout=0.5)),
        ((8, False), Dense(8, "relu", bias=False)),
        ([8, False], Dense(8, "relu", bias=False)),
        ((8, np.True_, "gelu"), Dense(8, "gelu")),
        ((8, True, None), Dense(8, "relu")),
        ({"width": 8}, Dense(8, "relu")),
        ({"width": 8, "activation": "tanh", "dropout": 0.1, "init": "zeros"}, Dense(8, "tanh", True, 0.1, "zeros")),
    ],
    ids=repr,
)
def test_what_may_be_written_for_a_layer(spec: Any, expected: Dense) -> None:
    assert as_dense(spec, "relu") == replace(expected, dropout=expected.dropout or 0.0)


def test_a_layer_of_its_own_keeps_its_dropout() -> None:
    assert as_dense(8, "relu", dropout=0.3).dropout == 0.3
    assert as_dense((8, True), "relu", dropout=0.3).dropout == 0.3
    assert as_dense({"width": 8}, "relu", dropout=0.3).dropout == 0.3
    assert as_dense({"width": 8, "dropout": 0.0}, "relu", dropout=0.3).dropout == 0.0
    assert as_dense(Dense(8), "relu", dropout=0.3).dropout == 0.3
    assert as_dense(Dense(8, dropout=0.0), "relu", dropout=0.3).dropout == 0.0


def test_the_network_s_init_is_for_layers_that_leave_it_to_auto() -> None:
    assert as_dense(8, "relu", init="zeros").init == "zeros"
    assert as_dense(Dense(8), "relu", init="zeros").init == "zeros"
    assert as_dense(Dense(8, init="orthogonal"), "relu", init="zeros").init == "orthogonal"


def test_fields_are_brought_to_one_form() -> None:
    dense = Dense(np.int32(3), activation="swish", bias=np.False_, dropout=0)  # type: ignore[arg-type]
    assert (type(dense.width), dense.activation, dense.bias, dense.dropout) == (int, "silu", False, 0.0)
    assert hash(dense) == hash(Dense(3, "silu", bias=False, dropout=0.0))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_may_be_named(activation: str) -> None:
    assert Dense(3, activation).activation == activation


@pytest.mark.parametrize("init", ["auto", *INITIALIZERS, Normal(0.1), lambda rng, fan_in, fan_out: None])
def test_every_initializer_may_be_named(init: Any) -> None:
    assert Dense(3, init=init).init is init


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dense(0), "a layer's width must be an integer >= 1; got 0"),
        (lambda: Dense(3, "rleu"), "activation must be one of .* Did you mean 'relu'"),
        (lambda: Dense(3, dropout=1.0), "dropout must be a finite number >= 0 and < 1; got 1.0"),
        (lambda: Dense(3, init="he"), "init must be one of .*got 'he'. Did you mean 'he_normal' or 'he_uniform'"),
        (lambda: as_dense((3,), "relu"), r"a layer as a tuple is \(width, bias\) or .*got \(3,\)"),
        (lambda: as_dense({"widht": 3}, "relu"), "a key of a layer's dict must be one of .* Did you mean 'width'"),
        (lambda: as_dense({"bias": True}, "relu"), "a layer as a dict needs the key 'width'; got {'bias': True}"),
        (lambda: as_dense(-3, "relu"), "a layer's width must be an integer >= 1; got -3"),
    ],
)
def test_wrong_values_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


@pytest.mark.parametrize(
    ("spec", "remedy"),
    [
        ((4, "silu"), "(4, True, 'silu')"),
        ((4, "silu", True), "(4, True, 'silu')"),
        ((4, "silu", False), "(4, False, 'silu')"),
        ((4, "silu", np.False_), "(4, False, 'silu')"),
        ((4, "silu", "relu"), "(4, True, 'silu')"),
    ],
)
def test_a_tuple_in_another_order_is_told_its_own(spec: Any, remedy: str) -> None:
    with pytest.raises(TypeError, match=rf"^a layer as a tuple is \(width, bias\) or .*\. Pass {re.escape(remedy)}\.$"):
        fm.MLP([2, spec, 1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dense(2.5), "a layer's width must be an integer >= 1; got 2.5"),
        (lambda: Dense(8.0), r"a layer's width must be an integer >= 1; got 8.0 \(float\)"),
        (lambda: Dense(True), r"a layer's width must be an integer >= 1; got True \(bool\)"),
        (lambda: Dense(3, bias=1), r"bias must be True or False; got 1 \(int\)"),
        (lambda: Dense(3, init=0.1), r"init must be one of .*got 0.1 \(float\)"),
        (lambda: as_dense(True, "relu"), r"a layer must be a width, a fm.Dense.*got True \(bool\)"),
        (lambda: as_dense("8", "relu"), r"a layer must be a width, a fm.Dense.*got '8' \(str\)"),
        (lambda: as_dense(8.0, "relu"), r"a layer must be a width, a fm.Dense.*got 8.0 \(float\)"),
        (lambda: as_dense(None, "relu"), r"a layer must be a width, a fm.Dense.*got None"),
    ],
)
def test_wrong_types_are_refused(make: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"^{message}"):
        make()


def test_a_layer_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError, match="cannot assign"):
        Dense(3).width = 4  # type: ignore[misc]


@pytest.mark.parametrize("spec", [8, (8, False), {"width": 8}, {"width": 8, "init": "zeros"}, Dense(8), Dense(8, "tanh")])
def test_what_a_layer_leaves_open_is_filled_in_at_once(spec, monkeypatch) -> None:
    """Each Dense that is made is checked, which most of a small network's making would go on."""
    made, check = [], Dense.__post_init__
    monkeypatch.setattr(Dense, "__post_init__", lambda dense: (made.append(1), check(dense)))
    dense = as_dense(spec, "gelu", init="orthogonal")
    assert len(made) == (2 if isinstance(spec, (tuple, dict)) else 1)
    assert dense.activation == ("tanh" if spec == Dense(8, "tanh") else "gelu")
    assert dense.init == ("zeros" if spec == {"width": 8, "init": "zeros"} else "orthogonal")
