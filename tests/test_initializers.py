"""Initial weights."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import fastmlp as fm
from fastmlp.activations import ACTIVATIONS
from fastmlp.initializers import INITIALIZERS, Normal, Uniform, auto, initialize, resolve, to_spec
from fastmlp.layers import Dense
from fastmlp.plan import make_plan

STD = {
    "he": lambda m, n: math.sqrt(2 / m),
    "lecun": lambda m, n: math.sqrt(1 / m),
    "glorot": lambda m, n: math.sqrt(2 / (m + n)),
}
FAMILIES = [name for name in INITIALIZERS if name.partition("_")[0] in STD]


def weights_of(*layers: Dense, n_inputs: int = 6, seed: int = 0, dtype: Any = "float64") -> list[np.ndarray]:
    """Initial weights of a network, by layer."""
    plan = make_plan(n_inputs, layers)
    return plan.weights(initialize(plan, layers, seed, dtype))


@pytest.mark.parametrize("name", INITIALIZERS)
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 5)])
def test_every_initializer_returns_finite_weights(name: str, shape: tuple[int, int]) -> None:
    found = INITIALIZERS[name](np.random.default_rng(0), *shape)
    assert found.shape == shape
    assert np.isfinite(found).all()


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("shape", [(400, 100), (100, 400)])
def test_spread_is_the_family_s(name: str, shape: tuple[int, int]) -> None:
    """The mean and deviation of 40,000 draws are within five of their standard errors."""
    family, _, law = name.partition("_")
    std = STD[family](*shape)
    found = INITIALIZERS[name](np.random.default_rng(1), *shape)
    assert abs(found.mean()) < 5 * std / 200
    assert abs(found.std() - std) < 5 * std / 200
    if law == "uniform":
        assert np.abs(found).max() <= math.sqrt(3) * std
    else:
        assert np.abs(found).max() > 3 * std


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4)])
def test_orthogonal_rows_or_columns_are_orthonormal(shape: tuple[int, int]) -> None:
    w = INITIALIZERS["orthogonal"](np.random.default_rng(0), *shape)
    gram = w.T @ w if shape[0] >= shape[1] else w @ w.T
    assert gram == pytest.approx(np.eye(min(shape)), abs=1e-12)


def test_orthogonal_signs_are_even() -> None:
    """QR alone would give each first column the same sign."""
    rng = np.random.default_rng(0)
    signs = [INITIALIZERS["orthogonal"](rng, 1, 1)[0, 0] for _ in range(100)]
    assert 25 < signs.count(1.0) < 75
    assert set(signs) == {1.0, -1.0}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_auto_is_an_initializer_for_every_activation(activation: str) -> None:
    assert auto(activation) in INITIALIZERS
    last = Dense(2, "identity")
    hidden = ACTIVATIONS[activation].hidden
    chosen, named = ([Dense(4, activation, init=init), last][: 1 + hidden] for init in ("auto", auto(activation)))
    assert weights_of(*chosen)[0].tolist() == weights_of(*named)[0].tolist()


@pytest.mark.parametrize(("activation", "name"), [("relu", "he_normal"), ("selu", "lecun_normal"), ("tanh", "glorot_uniform")])
def test_auto_suits_the_activation(activation: str, name: str) -> None:
    assert auto(activation) == name


def test_a_layer_s_weights_do_not_depend_on_the_others() -> None:
    first = weights_of(Dense(4, "relu"), Dense(5, "relu"), Dense(2, "identity"))
    second = weights_of(Dense(4, "relu", init="zeros"), Dense(5, "relu"), Dense(3, "identity"))
    assert first[1].tolist() == second[1].tolist()


def test_layers_and_seeds_have_weights_of_their_own() -> None:
    layers = [Dense(6, "relu"), Dense(6, "relu"), Dense(2, "identity")]
    a, b = weights_of(*layers)[:2]
    assert not (a == b).any()
    assert not (a == weights_of(*layers, seed=1)[0]).any()
    assert (a == weights_of(*layers)[0]).all()


@pytest.mark.parametrize("seed", [-1, 2**64 - 1, 2**70 + 3])
def test_any_integer_is_a_seed(seed: int) -> None:
    layer = Dense(2, "identity")
    assert weights_of(layer, seed=seed)[0].tolist() == weights_of(layer, seed=seed % 2**64)[0].tolist()


def test_biases_start_at_zero() -> None:
    layers = [Dense(4, "relu"), Dense(2, "identity")]
    plan = make_plan(3, layers)
    biases = plan.biases(initialize(plan, layers, 0, "float32"))
    assert [b.any() for b in biases if b is not None] == [False, False]


def test_both_dtypes_have_the_same_weights() -> None:
    layer = Dense(4, "identity")
    (single,), (double,) = weights_of(layer, dtype="float32"), weights_of(layer)
    assert single.dtype == np.float32
    assert (single == double.astype(np.float32)).all()


def test_the_vector_starts_at_a_cache_line() -> None:
    layer = Dense(4, "identity")
    assert initialize(make_plan(3, [layer]), [layer], 0, "float32").ctypes.data % 64 == 0


def test_a_function_of_one_s_own_is_called_with_the_shape() -> None:
    layer = Dense(4, "identity", init=lambda rng, fan_in, fan_out: np.full((fan_in, fan_out), 7))
    assert (weights_of(layer)[0] == 7.0).all()


@pytest.mark.parametrize(
    ("made", "came"),
    [(np.zeros((4, 6)), r"shape \(4, 6\)"), (np.full((6, 4), np.nan), "nan or infinite ones"), (3.0, r"shape \(\)")],
)
def test_a_function_of_one_s_own_returns_finite_weights_of_that_shape(made: Any, came: str) -> None:
    with pytest.raises(ValueError, match=rf"init of layer 0 must return finite weights of shape \(6, 4\); got {came}\.$"):
        weights_of(Dense(4, "identity", init=lambda rng, fan_in, fan_out: made))


@pytest.mark.parametrize("make", [fm.MLP, fm.Population])
def test_weights_too_large_for_the_networks_dtype_are_refused(make: Any) -> None:
    options = {"init": lambda rng, fan_in, fan_out: np.full((fan_in, fan_out), 1e39)}
    options |= {"size": 2} if make is fm.Population else {}
    with pytest.raises(ValueError, match=r"^init of layer 0 must return finite .* \(3, 2\); got ones too large for float32\.$"):
        make([3, 2], **options)
    assert (make([3, 2], dtype="float64", **options).params.max() == 1e39).all()


def test_uniform_and_normal_have_the_numbers_they_are_given() -> None:
    rng = np.random.default_rng(0)
    even = Uniform(2.0, 3.0)(rng, 100, 100)
    assert 2.0 <= even.min() < 2.01
    assert 2.99 < even.max() <= 3.0
    assert Normal(5.0)(rng, 100, 100).std() == pytest.approx(5.0, rel=0.05)


def test_uniform_needs_two_limits_in_order() -> None:
    with pytest.raises(ValueError, match=r"^high must be a finite number > 1; got 1\.0"):
        Uniform(1.0, 1.0)


def test_normal_needs_a_deviation() -> None:
    with pytest.raises(ValueError, match=r"^std must be a finite number >= 0; got -1\.0"):
        Normal(-1.0)


@pytest.mark.parametrize("init", ["auto", *INITIALIZERS, Uniform(-0.5, 0.25), Normal(0.1)], ids=str)
def test_an_initializer_comes_back_from_json(init: Any) -> None:
    assert resolve(json.loads(json.dumps(to_spec(init)))) == init


def test_a_function_of_one_s_own_is_written_down_as_auto() -> None:
    assert to_spec(lambda rng, fan_in, fan_out: np.zeros((fan_in, fan_out))) == "auto"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("glorot", "init must be one of .*got 'glorot'. Did you mean 'glorot_normal' or 'glorot_uniform'"),
        ({"name": "cauchy"}, r"init\['name'\] must be one of 'uniform', 'normal'; got 'cauchy'"),
    ],
)
def test_an_unknown_name_is_refused(spec: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve(spec)


def test_an_initializer_is_not_a_number() -> None:
    with pytest.raises(TypeError, match=r"or a function \(rng, fan_in, fan_out\) -> weights; got 0 \(int\)"):
        resolve(0)


def test_what_draws_for_names_is_kept_and_what_draws_for_a_users_function_is_its_own(monkeypatch) -> None:
    given, made = [], []

    def own(rng, fan_in, fan_out):
        given.append(rng)
        return rng.random((fan_in, fan_out))

    def philox(key, real=np.random.Philox):
        made.append(key)
        return real(key=key)

    wanted = [fm.MLP([3, 5, 2], seed=seed).params for seed in (4, 5)]
    monkeypatch.setattr(np.random, "Philox", philox)
    for seed, params in zip((4, 5), wanted, strict=True):
        np.testing.assert_array_equal(fm.MLP([3, 5, 2], seed=seed).params, params)
    assert made == []
    nets = [fm.MLP([3, 5, 2], init=own, seed=4) for _ in range(2)]
    assert len(made) == 2
    assert given[0] is given[1] is not given[2]
    np.testing.assert_array_equal(nets[0].params, nets[1].params)
    given[0].random(100)
    np.testing.assert_array_equal(fm.MLP([3, 5, 2], seed=5).params, wanted[1])


def test_networks_made_on_several_threads_are_as_if_made_on_one() -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: fm.MLP([3, 40, 2], seed=seed).params, range(200)))
    for seed, params in enumerate(found):
        np.testing.assert_array_equal(params, fm.MLP([3, 40, 2], seed=seed).params)
