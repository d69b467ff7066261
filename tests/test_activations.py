"""The table of activations."""

from __future__ import annotations

import numpy as np
import pytest

import fastmlp as fm
from fastmlp.activations import ACTIVATIONS, ALIASES, Activation, lookup
from fastmlp.reference import ids

NUMBERS = ("IDENTITY RELU LEAKY_RELU ELU SELU GELU GELU_TANH SILU MISH SOFTPLUS TANH SIGMOID HARD_SIGMOID HARD_SWISH "
           "SOFTMAX EXP").split()  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=str)
def test_every_activation_says_what_it_is(activation: Activation) -> None:
    assert ACTIVATIONS[activation.name] is activation
    assert activation.formula
    assert activation.source
    assert activation.init in {"he", "glorot", "lecun"}
    assert activation.id == getattr(ids, activation.name.upper())


def test_every_number_of_the_engines_has_one_activation() -> None:
    assert sorted(a.id for a in ACTIVATIONS.values()) == sorted(getattr(ids, name) for name in NUMBERS)


def test_softmax_and_exp_are_for_outputs_only() -> None:
    assert [name for name, a in ACTIVATIONS.items() if not a.hidden] == ["softmax", "exp"]


@pytest.mark.parametrize(
    ("family", "names"),
    [
        ("he", "relu leaky_relu elu gelu gelu_tanh silu mish softplus hard_swish"),
        ("lecun", "selu"),
        ("glorot", "identity tanh sigmoid hard_sigmoid softmax exp"),
    ],
)
def test_initial_weights_follow_the_activation(family: str, names: str) -> None:
    assert [name for name, a in ACTIVATIONS.items() if a.init == family] == names.split()


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_an_alias_is_another_name_of_a_known_one(alias: str, name: str) -> None:
    assert alias not in ACTIVATIONS
    assert lookup(alias) is ACTIVATIONS[name]


def test_lookup_returns_what_is_an_activation_already() -> None:
    assert lookup(ACTIVATIONS["relu"]) is ACTIVATIONS["relu"]


@pytest.mark.parametrize(
    ("wrong", "near"), [("rleu", "relu"), ("leaky-rel", "leaky_relu"), ("Sofmax", "softmax"), ("hard", "hard_sigmoid")]
)
def test_a_misspelt_name_gets_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(ValueError, match=rf"^output must be one of .*; got '{wrong}'\. Did you mean '{near}'"):
        lookup(wrong, "output")


def test_an_activation_is_named_by_a_string() -> None:
    with pytest.raises(TypeError, match=r"^activation must be one of .*; got 3 \(int\)\."):
        lookup(3)


def test_hard_swish_is_the_one_of_howard_et_al(engine) -> None:
    """Equation 2 of arXiv:1905.02244: x relu6(x + 3) / 6."""
    x = np.linspace(-8.0, 8.0, 161)
    net = fm.MLP([1, 1], output="hard_swish", loss="mse", dtype="float64")
    net.params = [1.0, 0.0]
    np.testing.assert_allclose(net.predict(x[:, None])[:, 0], x * np.clip(x + 3.0, 0.0, 6.0) / 6.0, rtol=1e-13, atol=1e-15)
