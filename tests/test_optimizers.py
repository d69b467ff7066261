"""The table of optimizers: their settings, and what the engines read of them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

from fastmlp import schedules
from fastmlp.optimizers import LBFGS, OPTIMIZERS, SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop, resolve
from fastmlp.reference import ids
from fastmlp.schedules import Span
from fastmlp.stepping import Stepping

STEPPING = [name for name in OPTIMIZERS if name != "lbfgs"]
SPAN = Span(start=0, steps=4, steps_per_epoch=2)


def filled(optimizer: Any) -> tuple[np.ndarray, np.ndarray]:
    """What it writes over numbers that were there before."""
    ints, reals = np.full(ids.N_INTS, 77), np.full(ids.N_REALS, 77.0)
    optimizer.fill(ints, reals)
    return ints, reals


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_has_defaults_and_a_docstring(name: str) -> None:
    optimizer = resolve(name)
    assert isinstance(optimizer, Optimizer)
    assert "Parameters" in (type(optimizer).__doc__ or "")
    assert optimizer == resolve(name)
    assert hash(optimizer) == hash(resolve(name))


@pytest.mark.parametrize("name", STEPPING)
def test_every_optimizer_writes_all_its_settings_and_nothing_else(name: str) -> None:
    ints, reals = filled(resolve(name))
    own = {ids.OPTIMIZER, ids.NESTEROV, ids.AMSGRAD, ids.EPS_HAT, ids.L2_OVER_BATCH, ids.FACTORS}
    assert {i for i in range(ids.N_INTS) if ints[i] != 77} == own
    own = {ids.L1, ids.L2, ids.DECAY, ids.CLIP_VALUE, ids.CLIP_NORM, ids.BETA1, ids.BETA2, ids.EPS}
    own |= {ids.SCALE_RATE, ids.SCALE_DECAY}
    assert {i for i in range(ids.N_REALS) if reals[i] != 77.0} == own


def test_momentum_of_each_network_is_a_state_vector_if_one_has_any() -> None:
    assert [SGD(0.1, momentum=values).slots for values in ([0.5, 0.9], [0.0, 0.9], [0.0, 0.0])] == [1, 1, 0]


@pytest.mark.parametrize(
    ("name", "kind", "slots", "lr"),
    [
        ("sgd", ids.SGD, 0, 0.01),
        ("momentum", ids.SGD, 1, 0.01),
        ("nesterov", ids.SGD, 1, 0.01),
        ("adam", ids.ADAM, 2, 1e-3),
        ("adamw", ids.ADAM, 2, 1e-3),
        ("amsgrad", ids.ADAM, 3, 1e-3),
        ("rmsprop", ids.RMSPROP, 1, 1e-3),
        ("adagrad", ids.ADAGRAD, 1, 0.01),
        ("lbfgs", -1, 0, None),
    ],
)
def test_kind_state_and_default_rate(name: str, kind: int, slots: int, lr: float | None) -> None:
    optimizer = resolve(name)
    assert (optimizer.kind, optimizer.slots, getattr(optimizer, "lr", None)) == (kind, slots, lr)


@pytest.mark.parametrize(
    ("optimizer", "beta1", "beta2", "eps"),
    [
        (SGD(), 0.0, 0.0, 0.0),
        (SGD(momentum=0.8), 0.8, 0.0, 0.0),
        (Adam(beta1=0.7, beta2=0.8, eps=1e-3), 0.7, 0.8, 1e-3),
        (RMSprop(rho=0.8, eps=1e-3), 0.0, 0.8, 1e-3),
        (Adagrad(eps=1e-3), 0.0, 0.0, 1e-3),
    ],
    ids=str,
)
def test_where_each_setting_goes(optimizer: Optimizer, beta1: float, beta2: float, eps: float) -> None:
    _, reals = filled(optimizer)
    assert (reals[ids.BETA1], reals[ids.BETA2], reals[ids.EPS]) == (beta1, beta2, eps)


def test_flags_go_to_the_integers() -> None:
    assert filled(SGD(momentum=0.9, nesterov=True))[0][ids.NESTEROV] == 1
    assert filled(Adam(amsgrad=True))[0][ids.AMSGRAD] == 1
    assert filled(Adam(eps_hat=True))[0][ids.EPS_HAT] == 1
    assert not filled(SGD())[0][[ids.NESTEROV, ids.AMSGRAD, ids.EPS_HAT]].any()


@pytest.mark.parametrize("name", STEPPING)
def test_every_optimizer_takes_penalties_and_clipping(name: str) -> None:
    optimizer = OPTIMIZERS[name](weight_decay=0.1, l1=0.2, l2=0.3, clip_value=0.4, clip_norm=0.5)
    _, reals = filled(optimizer)
    assert reals[[ids.DECAY, ids.L1, ids.L2, ids.CLIP_VALUE, ids.CLIP_NORM]].tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]


@pytest.mark.parametrize("name", [name for name in STEPPING if name != "adamw"])
def test_penalties_and_clipping_are_off_unless_asked_for(name: str) -> None:
    _, reals = filled(resolve(name))
    assert not reals[[ids.DECAY, ids.L1, ids.L2, ids.CLIP_VALUE, ids.CLIP_NORM]].any()


def test_adamw_decays_by_default() -> None:
    assert filled(AdamW())[1][ids.DECAY] == 0.01
    assert AdamW(weight_decay=0).weight_decay == 0.0


@pytest.mark.parametrize("name", STEPPING)
@pytest.mark.parametrize("lr", [0.0, -1.0, float("inf"), float("nan")])
def test_every_optimizer_needs_a_positive_rate(name: str, lr: float) -> None:
    with pytest.raises(ValueError, match=r"^lr must be a finite number > 0; got"):
        OPTIMIZERS[name](lr=lr)


@pytest.mark.parametrize("name", STEPPING)
def test_every_optimizer_takes_a_schedule(name: str) -> None:
    optimizer = OPTIMIZERS[name](lr=schedules.Exponential(1.0, factor=0.5))
    assert optimizer.rates(np.arange(4), SPAN).tolist() == [1.0, 1.0, 0.5, 0.5]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", STEPPING)
def test_every_optimizer_takes_a_schedule_of_its_weight_decay(name: str) -> None:
    optimizer = OPTIMIZERS[name](weight_decay=schedules.Exponential(0.1, factor=0.5))
    assert optimizer.decays(np.arange(4), SPAN).tolist() == [0.1, 0.1, 0.05, 0.05]  # type: ignore[attr-defined]
    assert filled(optimizer)[1][ids.DECAY] == 0.0


def test_a_weight_decay_that_goes_by_losses_is_refused() -> None:
    wanted = r"^weight_decay=ReduceOnPlateau\(lr=0.1, .*\) goes by losses, as only lr can\. Pass a schedule that goes by steps"
    with pytest.raises(ValueError, match=wanted):
        SGD(weight_decay=schedules.ReduceOnPlateau(0.1))


def test_a_weight_decay_by_the_name_of_a_schedule_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^weight_decay must be a number or a schedule such as .*; got 'flat_cosine'"):
        AdamW(weight_decay="flat_cosine")  # type: ignore[arg-type]


def test_a_rate_alone_is_constant() -> None:
    assert Adam(0.5).rates(np.arange(3), SPAN).tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("weight_decay", -0.1, ">= 0"),
        ("l1", -0.1, ">= 0"),
        ("l2", float("inf"), ">= 0"),
        ("clip_value", 0.0, "> 0"),
        ("clip_norm", -1.0, "> 0"),
    ],
)
def test_common_settings_are_checked(name: str, value: float, wanted: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be a finite number {wanted}; got"):
        SGD(**{name: value})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(momentum=1.0), "momentum must be a finite number >= 0 and < 1; got 1.0"),
        (lambda: SGD(nesterov=True), "nesterov=True needs momentum > 0; got momentum=0.0. Pass momentum=0.9"),
        (lambda: Adam(beta1=1.0), "beta1 must be a finite number >= 0 and < 1"),
        (lambda: Adam(beta2=-0.1), "beta2 must be a finite number >= 0 and < 1"),
        (lambda: Adam(eps=0.0), "eps must be a finite number > 0"),
        (lambda: RMSprop(rho=1.0), "rho must be a finite number >= 0 and < 1"),
        (lambda: RMSprop(eps=-1.0), "eps must be a finite number > 0"),
        (lambda: Adagrad(eps=0.0), "eps must be a finite number > 0"),
        (lambda: LBFGS(max_iter=0), "max_iter must be an integer >= 1; got 0"),
        (lambda: LBFGS(tol=-1.0), "tol must be a finite number >= 0"),
    ],
)
def test_own_settings_are_checked(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Adam("fast"), r"lr must be a finite number; got 'fast' \(str\)"),
        (lambda: Adam(True), r"lr must be a finite number; got True \(bool\)"),
        (lambda: SGD(0.1, nesterov=1), r"nesterov must be True or False; got 1 \(int\)"),
        (lambda: Adam(amsgrad="yes"), r"amsgrad must be True or False; got 'yes' \(str\)"),
        (lambda: LBFGS(history=2.5), r"history must be an integer >= 1; got 2.5 \(float\)"),
    ],
)
def test_types_of_settings_are_checked(make: Any, message: str) -> None:
    message = message.replace("finite number;", "finite number > 0;")
    with pytest.raises(TypeError, match=f"^{message}"):
        make()


def test_another_rate_goes_on_from_the_same_state() -> None:
    assert Adam(1e-3).same_state_as(Adam(1e-4))
    assert Adam(1e-3).same_state_as(AdamW(1e-3))
    assert SGD(momentum=0.9).same_state_as(SGD(momentum=0.5, nesterov=True))


def test_another_kind_of_state_does_not() -> None:
    assert not Adam().same_state_as(Adam(amsgrad=True))
    assert not RMSprop().same_state_as(Adagrad())
    assert not SGD().same_state_as(SGD(momentum=0.9))
    assert not Adam().same_state_as(None)


def test_optimizers_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError, match="cannot assign"):
        Adam().lr = 0.1  # type: ignore[misc]


def test_resolve_leaves_nothing_in_an_optimizer() -> None:
    """What hashes or pickles one, as joblib's memory does, finds it the same before and after."""
    optimizer = Adam()
    before = dict(vars(optimizer))
    resolve(optimizer)
    assert vars(optimizer) == before


def test_resolve_replaces_the_rate_if_asked() -> None:
    assert resolve("adam", lr=0.1) == Adam(0.1)
    assert resolve(SGD(0.1, momentum=0.9), lr=0.2) == SGD(0.2, momentum=0.9)
    adam = Adam()
    assert resolve(adam) is adam


def test_resolve_suggests_the_nearest_name() -> None:
    with pytest.raises(ValueError, match=r"^optimizer must be one of 'sgd'.*got 'adma'\. Did you mean 'adam'"):
        resolve("adma")


def test_resolve_refuses_a_class() -> None:
    with pytest.raises(TypeError, match=r"got the class Adam\. Pass fm\.Adam\(\)"):
        resolve(Adam)


@pytest.mark.parametrize("base", [Optimizer(), Stepping(0.1)], ids=["Optimizer", "Stepping"])
def test_resolve_refuses_what_optimizers_have_in_common(base: Optimizer) -> None:
    name = type(base).__name__
    with pytest.raises(TypeError, match=rf"^optimizer must be one that engines run, .*; got {name}\("):
        resolve(base)


def test_resolve_refuses_a_number() -> None:
    with pytest.raises(TypeError, match=r"or an instance such as fm\.Adam\(1e-3\); got 0\.1 \(float\)"):
        resolve(0.1)


def test_lbfgs_has_no_rate_to_replace() -> None:
    with pytest.raises(ValueError, match=r"lr=0\.1 is of no use to LBFGS"):
        resolve("lbfgs", lr=0.1)
