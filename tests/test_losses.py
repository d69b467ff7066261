"""The table of losses, what users may write for one, and which output it goes with."""

from __future__ import annotations

import json
import warnings
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

import fastmlp as fm
from fastmlp import losses
from fastmlp.activations import ACTIVATIONS
from fastmlp.errors import PairingWarning
from fastmlp.losses import AUTO, LOSSES, CrossEntropy, Huber, Loss, LossSpec, Quantile, check_pairing, resolve
from fastmlp.reference import ids

NUMBERS = "CROSS_ENTROPY BCE MSE SSE HALF_MSE MAE HUBER POISSON QUANTILE".split()


@pytest.mark.parametrize("loss", LOSSES.values(), ids=str)
def test_every_loss_says_what_it_is(loss: Loss) -> None:
    assert LOSSES[loss.name] is loss
    assert loss.formula
    assert loss.output in ACTIVATIONS
    assert loss.kind in {"classes", "binary", "counts", "regression"}
    assert loss.id == getattr(ids, loss.name.upper())


@pytest.mark.parametrize("loss", LOSSES.values(), ids=str)
def test_every_loss_works_with_its_own_output(loss: Loss) -> None:
    check_pairing(resolve(loss.name), loss.output)


@pytest.mark.parametrize("output", ACTIVATIONS)
def test_auto_is_a_loss_that_suits_the_output(output: str) -> None:
    check_pairing(resolve("auto", output), output)


def test_auto_pairs() -> None:
    pairs = {"identity": "mse", "sigmoid": "bce", "softmax": "cross_entropy", "exp": "poisson"}
    assert pairs.items() <= AUTO.items()
    assert {loss for output, loss in AUTO.items() if output not in pairs} == {"mse"}


def test_every_number_of_the_engines_has_one_loss() -> None:
    assert sorted(loss.id for loss in LOSSES.values()) == sorted(getattr(ids, name) for name in NUMBERS)


@pytest.mark.parametrize(
    ("spec", "name", "parameter", "smoothing"),
    [
        ("huber", "huber", 1.0, 0.0),
        ("quantile", "quantile", 0.5, 0.0),
        ("mse", "mse", 0.0, 0.0),
        (Huber(2), "huber", 2.0, 0.0),
        (Quantile(0.9), "quantile", 0.9, 0.0),
        (CrossEntropy(label_smoothing=0.1), "cross_entropy", 0.0, 0.1),
        ({"name": "mae"}, "mae", 0.0, 0.0),
        ({"name": "huber"}, "huber", 1.0, 0.0),
    ],
)
def test_what_users_may_write(spec: Any, name: str, parameter: float, smoothing: float) -> None:
    assert resolve(spec) == LossSpec(LOSSES[name], parameter, smoothing)


@pytest.mark.parametrize("spec", [*LOSSES, Huber(0.3), Quantile(0.1), CrossEntropy(0.2)], ids=str)
def test_a_loss_comes_back_from_json(spec: Any) -> None:
    found = resolve(spec)
    assert resolve(json.loads(json.dumps(found.to_dict()))) == found
    assert resolve(found) is found


@pytest.mark.parametrize("make", [lambda: Huber(0.0), lambda: Huber(-1.0)])
def test_huber_needs_a_positive_delta(make: Any) -> None:
    with pytest.raises(ValueError, match=r"^delta must be a finite number > 0; got"):
        make()


@pytest.mark.parametrize("q", [0.0, 1.0, float("nan")])
def test_a_quantile_is_between_0_and_1(q: float) -> None:
    with pytest.raises(ValueError, match=r"^q must be a finite number > 0 and < 1; got"):
        Quantile(q)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_label_smoothing_is_a_part(smoothing: float) -> None:
    with pytest.raises(ValueError, match=r"^label_smoothing must be a finite number >= 0 and < 1; got"):
        CrossEntropy(smoothing)


def test_a_misspelt_loss_gets_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"got 'crossentropy'\. Did you mean 'cross_entropy'\?"):
        resolve("crossentropy")


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ("binary_crossentropy", "bce"),
        ("BinaryCrossentropy", "bce"),
        ("categorical_crossentropy", "cross_entropy"),
        ("sparse_categorical_crossentropy", "cross_entropy"),
        ("nll", "cross_entropy"),
        ("log_loss", "cross_entropy"),
        ("mean_squared_error", "mse"),
        ("squared_error", "mse"),
        ("mean_absolute_error", "mae"),
        ("absolute_error", "mae"),
        ("l1", "mae"),
    ],
)
def test_a_name_of_another_library_gets_ours(given: str, ours: str) -> None:
    with pytest.raises(ValueError, match=rf"got '{given}'\. Did you mean '{ours}'\?$"):
        fm.MLP([2, 1], loss=given)


def test_a_loss_is_no_class_and_no_function() -> None:
    for kind in (Huber, Quantile, CrossEntropy):
        with pytest.raises(TypeError, match=rf"^loss must be .*; got <class .*\. Pass fm\.losses\.{kind.__name__}\(\)\.$"):
            fm.MLP([2, 1], loss=kind)
    with pytest.raises(TypeError, match=r"^loss must be .*; got <function .*\. For a loss of your own see net\.vjp\.$"):
        fm.MLP([2, 1], loss=lambda y, p: p - y)


def test_a_loss_is_not_a_number() -> None:
    with pytest.raises(TypeError, match=r"^loss must be one of .*; got 3 \(int\)"):
        resolve(3)


@pytest.mark.parametrize("spec", [{}, {"name": "mse", "delta": 1.0}])
def test_a_loss_as_a_dict_has_known_keys(spec: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="loss as a dict has the keys 'name', 'parameter' and 'smoothing'; got"):
        resolve(spec)


@pytest.mark.parametrize(
    ("loss", "output"),
    [(loss, output) for loss in ("cross_entropy", "bce", "poisson") for output in ACTIVATIONS if output != LOSSES[loss].output],
)
def test_a_loss_of_logits_is_refused_beside_another_output(loss: str, output: str) -> None:
    remedy = f"Use output='{LOSSES[loss].output}', or loss='{AUTO[output]}', which suits output='{output}'"
    with pytest.raises(ValueError, match=remedy):
        check_pairing(resolve(loss), output)


@pytest.mark.parametrize("output", ["sigmoid", "softmax", "exp"])
@pytest.mark.parametrize("loss", ["mse", "sse", "half_mse", "mae", "huber", "quantile"])
def test_a_loss_that_learns_slowly_with_the_output_warns(loss: str, output: str) -> None:
    with pytest.warns(PairingWarning, match=f"loss='{loss}' learns slowly .* Use loss='{AUTO[output]}'"):
        check_pairing(resolve(loss), output)


def test_the_warning_points_at_the_caller_of_the_constructor() -> None:
    def caller() -> None:
        fm.MLP([2, 1], output="sigmoid", loss="mse")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        caller()
    assert caught[0].filename == __file__
    assert caught[0].lineno == caller.__code__.co_firstlineno + 1


def test_specs_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError, match="cannot assign"):
        losses.Huber(1.0).delta = 2.0  # type: ignore[misc]
