"""Populations: each network is what it would be by itself, whatever happens to the others."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import fastmlp as fm
from fastmlp.reference import ids
from tests.populations import LABELS, RNG, X, Y, trained_alone

OPTIMIZERS = {
    "sgd": fm.SGD(0.05),
    "momentum": fm.SGD(0.05, momentum=0.9),
    "nesterov": fm.SGD(0.05, momentum=0.8, nesterov=True),
    "adam": fm.Adam(0.01, weight_decay=0.1),
    "adamw": fm.AdamW(0.01),
    "amsgrad": fm.Adam(0.01, amsgrad=True),
    "eps_hat": fm.Adam(0.01, eps_hat=True, l2=0.01),
    "rmsprop": fm.RMSprop(0.01, l1=0.001),
    "adagrad": fm.Adagrad(0.05, clip_value=0.01),
    "clipped": fm.SGD(0.1, clip_norm=0.05),
    "penalty in the loss": fm.Adam(0.01, l2=0.1, l2_over_batch=True),
    "schedule": fm.Adam(fm.schedules.Cosine(0.02, warmup=0.1)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_network_is_what_it_would_be_by_itself(engine, name, dtype) -> None:
    population = fm.Population([3, 9, 5, 1], size=19, activation="tanh", dtype=dtype)
    expected = [trained_alone(population, i, OPTIMIZERS[name], epochs=5, batch_size=16) for i in (0, 7, 18)]
    history = population.fit(X, Y, epochs=5, batch_size=16, optimizer=OPTIMIZERS[name])
    tolerance = 2e-4 if dtype == "float32" else 1e-11
    for i, net in zip((0, 7, 18), expected, strict=True):
        np.testing.assert_allclose(population.params[i], net.params, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(history.loss[:, i], net.history.loss, rtol=tolerance)
    assert history.stopped == ["epochs"] * 19


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("width", [8, 80])  # in packs, and one by one
@pytest.mark.parametrize("batch_size", [16, 35, 64, 100])
def test_drop_last_leaves_out_the_rows_behind_the_last_whole_batch(engine, batch_size, width, weighted) -> None:
    population = fm.Population([3, width, width, 1], size=17, dtype="float64")
    options = {"epochs": 3, "batch_size": batch_size, "drop_last": True}
    options["sample_weight"] = RNG.uniform(0.5, 2.0, len(X)) if weighted else None
    optimizer = fm.Adam(fm.schedules.Cosine(0.02, warmup=1))
    expected = [trained_alone(population, i, optimizer, **options) for i in (0, 16)]
    history = population.fit(X, Y, optimizer=optimizer, **options)
    for i, net in zip((0, 16), expected, strict=True):
        np.testing.assert_allclose(population.params[i], net.params, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(history.loss[:, i], net.history.loss, rtol=1e-11)
        assert population[i]._state.ints[ids.STEP] == net._state.ints[ids.STEP] == 3 * max(1, 70 // batch_size)
    going_on = population[3]
    for one in (population, going_on):
        one.fit(X, Y, **(options | {"drop_last": False}), shuffle=False)
    np.testing.assert_allclose(population.params[3], going_on.params, rtol=1e-11, atol=1e-11)


def test_a_population_of_one_takes_the_class_of_one_row_as_a_column(engine) -> None:
    population = fm.Population([3, 4, 3], size=1, output="softmax", dtype="float64")
    for y in ([2], [[2]], [[0.0, 0.0, 1.0]]):
        assert population.loss(X[:1], y) == pytest.approx(population[0].loss(X[:1], y))


def test_shuffles_of_its_own_make_a_network_the_one_with_its_seed(engine) -> None:
    population = fm.Population([3, 8, 1], seeds=[4, 9, 2], dtype="float64")
    population.fit(X, Y, epochs=3, batch_size=16, shuffle="each")
    for i, seed in enumerate([4, 9, 2]):
        net = fm.MLP([3, 8, 1], dtype="float64", seed=seed)
        net.fit(X, Y, epochs=3, batch_size=16)
        np.testing.assert_allclose(population.params[i], net.params, rtol=1e-11, atol=1e-11)


NUMBERS = {
    "lr": lambda values: fm.SGD(values[0] / 10),
    "momentum": lambda values: fm.SGD(0.01, momentum=values[1]),
    "betas": lambda values: fm.Adam(0.01, beta1=values[1], beta2=values[2]),
    "penalties": lambda values: fm.SGD(0.1, l1=values[0] / 10, l2=values[1], weight_decay=values[0]),
    "clip_norm": lambda values: fm.SGD(0.1, clip_norm=values[0]),
    "clip_value": lambda values: fm.SGD(0.1, clip_value=values[0] / 10),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_of_its_own(engine, name) -> None:
    values = np.linspace(0.01, 0.5, 18), np.linspace(0.0, 0.9, 18), np.linspace(0.9, 0.999, 18)
    population = fm.Population([3, 6, 1], size=18, dtype="float64")
    expected = {
        i: trained_alone(population, i, NUMBERS[name]([v[i] for v in values]), epochs=3, batch_size=16) for i in (0, 5, 17)
    }
    population.fit(X, Y, epochs=3, batch_size=16, optimizer=NUMBERS[name](values))
    for i, net in expected.items():
        np.testing.assert_allclose(population.params[i], net.params, rtol=1e-11, atol=1e-11)


def test_dropout_of_its_own(engine) -> None:
    population = fm.Population([3, 12, 1], size=4, dropout=[0.0, 0.2, 0.5, 0.2], dtype="float64")
    assert [net.layers[0].dropout for net in population] == [0.0, 0.2, 0.5, 0.2]
    expected = [trained_alone(population, i, "adam", epochs=3, batch_size=16) for i in range(4)]
    population.fit(X, Y, epochs=3, batch_size=16)
    for i, net in enumerate(expected):
        np.testing.assert_allclose(population.params[i], net.params, rtol=1e-11, atol=1e-11)


def test_dropout_may_be_an_array_of_one_number() -> None:
    assert [net.layers[0].dropout for net in fm.Population([3, 4, 1], size=2, dropout=np.array(0.25))] == [0.25, 0.25]


def test_label_smoothing_of_its_own(engine) -> None:
    smoothing = [0.0, 0.1, 0.3]
    population = fm.Population(
        [3, 6, 3], size=3, output="softmax", loss=fm.losses.CrossEntropy(smoothing), dtype="float64"
    )  # fmt: skip
    expected = [trained_alone(population, i, "adam", y=LABELS, epochs=3, batch_size=16) for i in range(3)]
    assert [net.loss_spec.smoothing for net in expected] == smoothing
    population.fit(X, LABELS, epochs=3, batch_size=16)
    for i, net in enumerate(expected):
        np.testing.assert_allclose(population.params[i], net.params, rtol=1e-11, atol=1e-11)


LOSSES = [
    ("softmax", "cross_entropy"), ("sigmoid", "bce"), ("identity", "mse"), ("identity", "sse"), ("identity", "half_mse"),
    ("identity", "mae"), ("identity", "huber"), ("exp", "poisson"), ("identity", "quantile"), ("tanh", "mse"),
]  # fmt: skip


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(("output", "loss"), LOSSES)
def test_every_loss(engine, output, loss, k) -> None:
    k = max(k, 2) if loss == "cross_entropy" else k
    y = np.abs(RNG.normal(size=(70, k)))
    y = y / y.sum(axis=1, keepdims=True) if loss == "cross_entropy" else np.minimum(y, 1.0)
    weight = RNG.uniform(0, 2, 70)
    population = fm.Population([3, 7, k], size=5, output=output, loss=loss, dtype="float64")
    expected = trained_alone(population, 3, fm.SGD(0.01), y=y, sample_weight=weight, epochs=3, batch_size=16)
    population.fit(X, y, sample_weight=weight, optimizer=fm.SGD(0.01), epochs=3, batch_size=16)
    np.testing.assert_allclose(population.params[3], expected.params, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(population.loss(X, y, weight)[3], expected.loss(X, y, weight), rtol=1e-11)
    np.testing.assert_allclose(population.predict(X)[3], expected.predict(X), rtol=1e-10, atol=1e-12)


HIDDEN = [name for name, one in fm.activations.ACTIVATIONS.items() if one.hidden]


@pytest.mark.parametrize("activation", HIDDEN)
def test_every_activation(engine, activation) -> None:
    population = fm.Population([3, 7, 1], size=3, activation=activation, dtype="float64")
    expected = trained_alone(population, 2, "adam", epochs=3, batch_size=16)
    population.fit(X, Y, epochs=3, batch_size=16)
    np.testing.assert_allclose(population.params[2], expected.params, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("widths", [[3, 1], [3, 1, 1], [3, 17, 2], [3, 2, 3, 4, 5, 1]])
@pytest.mark.parametrize("size", [1, 2, 16, 17])
def test_every_shape(engine, widths, size) -> None:
    y = np.repeat(Y, widths[-1], axis=1)
    population = fm.Population(widths, size=size, activation="tanh", dtype="float64")
    expected = trained_alone(population, size - 1, "adam", y=y, epochs=2, batch_size=33)
    population.fit(X, y, epochs=2, batch_size=33)
    np.testing.assert_allclose(population.params[-1], expected.params, rtol=1e-11, atol=1e-11)


def test_layers_without_bias(engine) -> None:
    population = fm.Population([3, (6, False), (4, False, "tanh"), 1], size=3, dtype="float64")
    expected = trained_alone(population, 1, "adam", epochs=3, batch_size=16)
    population.fit(X, Y, epochs=3, batch_size=16)
    np.testing.assert_allclose(population.params[1], expected.params, rtol=1e-11, atol=1e-11)


def test_weights_and_targets_of_its_own(engine) -> None:
    weight = RNG.integers(0, 2, (5, 70)).astype(float)
    y = np.stack([Y * (i + 1) for i in range(5)])
    population = fm.Population([3, 6, 1], size=5, dtype="float64")
    expected = [trained_alone(population, i, "adam", y=y[i], sample_weight=weight[i], epochs=3) for i in range(5)]
    population.fit(X, y, sample_weight=weight, epochs=3)
    for i, net in enumerate(expected):
        np.testing.assert_allclose(population.params[i], net.params, rtol=1e-11, atol=1e-11)
    labels = np.stack([(LABELS + i) % 3 for i in range(4)])[:, :, np.newaxis]
    population = fm.Population([3, 6, 3], size=4, output="softmax", dtype="float64")
    expected = [trained_alone(population, i, "adam", y=labels[i], epochs=3) for i in range(4)]
    population.fit(X, labels, epochs=3)
    for i, net in enumerate(expected):
        np.testing.assert_allclose(population.params[i], net.params, rtol=1e-11, atol=1e-11)


def test_any_order_of_specs_gives_the_same_networks(engine) -> None:
    specs = [{"layers": [3, *widths, 1], "activation": a, "seed": s}
             for widths in ((4,), (8,), (5, 5)) for a in ("relu", "tanh") for s in range(3)]  # fmt: skip
    order = RNG.permutation(len(specs))
    one, other = fm.Population.of(specs), fm.Population.of([specs[i] for i in order])
    for population in (one, other):
        population.fit(X, Y, epochs=3, batch_size=16)
    for place, i in enumerate(order):
        np.testing.assert_array_equal(other[place].params, one[int(i)].params)
    np.testing.assert_array_equal(other.history.loss, one.history.loss[:, order])


def test_layers_may_come_from_an_iterator() -> None:
    population = fm.Population(iter([3, 4, 1]), size=2, dropout=[0.0, 0.5])
    np.testing.assert_array_equal(population.params, fm.Population([3, 4, 1], size=2).params)


def test_bits_do_not_depend_on_threads() -> None:
    results = []
    for n in (1, 2, 3):
        fm.set_threads(n)
        population = fm.Population([3, 9, 1], size=70, activation="tanh")
        population.fit(X, Y, epochs=3, batch_size=16)
        results.append((population.params, population.predict(X), population.loss(X, Y)))
    fm.set_threads(None)
    for one, two in itertools.pairwise(results):
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("batch_size", [1, 16, 64])
def test_losses_of_many_rows_and_outputs_are_added_up_precisely(engine, batch_size) -> None:
    """All alike, so that sums in float32 would be rounded in one direction."""
    x, y = np.ones((2048, 2)), np.full((2048, 10), 0.37)
    population = fm.Population([2, 3, 10], size=20, activation="relu")
    population.params[:] = 0.0
    history = population.fit(x, y, epochs=1, batch_size=batch_size, optimizer=fm.SGD(1e-30))
    np.testing.assert_allclose(history.loss[0], 0.37**2, rtol=1e-5)
    np.testing.assert_allclose(population.loss(x, y), 0.37**2, rtol=1e-5)


def test_ensemble_is_the_mean(engine) -> None:
    population = fm.Population([3, 8, 3], size=5, output="softmax")
    population.fit(X, LABELS, epochs=2)
    np.testing.assert_allclose(population.ensemble(X), np.mean([net.predict(X) for net in population], axis=0), rtol=1e-5)
    assert population.score(X, LABELS).shape == (5,)
    np.testing.assert_allclose(population.score(X, LABELS)[2], population[2].score(X, LABELS))


def test_select_goes_on_from_where_they_are(engine) -> None:
    population = fm.Population.of([{"layers": [3, w, 1], "seed": w} for w in (4, 5, 4, 6)])
    population.fit(X, Y, epochs=2)
    part = population.select([3, 0])
    assert part.seeds == [6, 4]
    part.fit(X, Y, epochs=2)
    population.fit(X, Y, epochs=2)
    for place, i in enumerate([3, 0]):
        np.testing.assert_array_equal(part[place].params, population[i].params)
    np.testing.assert_array_equal(part.history.loss, population.history.loss[:, [3, 0]])
    assert population.select(np.array([True, False, False, True])).seeds == [4, 6]


@pytest.mark.parametrize(("widths", "size"), [([3, 80, 70, 1], 3), ([3, 4, 1], 33)])
def test_large_and_small_networks_answer_as_they_would_by_themselves(engine, widths, size) -> None:
    population = fm.Population(widths, size=size, activation="tanh", dtype="float64")
    expected = trained_alone(population, size - 1, "adam", epochs=2)
    population.fit(X, Y, epochs=2)
    np.testing.assert_allclose(population.params[-1], expected.params, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(population.predict(X)[-1], expected.predict(X), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(population.loss(X, Y)[-1], expected.loss(X, Y), rtol=1e-11)


def test_softmax_with_another_loss(engine) -> None:
    with pytest.warns(fm.PairingWarning, match="learns slowly"):
        population = fm.Population([3, 6, 3], size=4, output="softmax", loss="mse", dtype="float64")
    y = np.eye(3)[LABELS]
    expected = trained_alone(population, 3, "adam", y=y, epochs=2)
    population.fit(X, y, epochs=2)
    np.testing.assert_allclose(population.params[3], expected.params, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(population.predict(X)[3], expected.predict(X), rtol=1e-11, atol=1e-12)


def test_left_over_architectures_share_a_pack(engine) -> None:
    widths = [(w,) for w in range(2, 20)] * 2 + [(4, 3), (5, 2), (6, 6)]
    specs = [{"layers": [3, *w, 1], "activation": "tanh", "seed": s, "dtype": "float64"} for s, w in enumerate(widths)]
    population = fm.Population.of(specs)
    assert len(population._groups) < len(set(widths))
    expected = [trained_alone(population, i, fm.AdamW(0.01, l1=0.01), epochs=3, batch_size=16) for i in range(len(specs))]
    population.fit(X, Y, epochs=3, batch_size=16, optimizer=fm.AdamW(0.01, l1=0.01))
    for i, net in enumerate(expected):
        assert population.n_params[i] == net.n_params
        np.testing.assert_allclose(population[i].params, net.params, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(population.predict(X)[i], net.predict(X), rtol=1e-10, atol=1e-12)
    population.fit(X, Y, epochs=1, batch_size=16, optimizer=fm.AdamW(0.01, l1=0.01))
    net = expected[7]
    net.fit(X, Y, epochs=1, batch_size=16, optimizer=fm.AdamW(0.01, l1=0.01))
    np.testing.assert_allclose(population[7].params, net.params, rtol=1e-10, atol=1e-12)


def test_activations_of_ones_own_stand_beside_others(engine) -> None:
    own = [fm.activation(np.arctan, lambda x: 1 / (1 + x * x), name=name) for name in ("arctan", "another")]
    specs = [{"layers": [3, w, 1], "activation": a, "seed": s, "dtype": "float64"}
             for a in (own[0], "tanh", own[1]) for w in (4, 5) for s in range(2)]  # fmt: skip
    population = fm.Population.of(specs)
    expected = [trained_alone(population, i, "adam", epochs=2) for i in range(len(specs))]
    population.fit(X, Y, epochs=2)
    for inside, net in zip(population, expected, strict=True):
        np.testing.assert_allclose(inside.params, net.params, rtol=1e-9, atol=1e-11)


def test_units_that_would_not_stay_zero_are_not_added(engine) -> None:
    specs = [{"layers": [3, w, 1], "activation": "sigmoid", "seed": w} for w in range(2, 8)]
    assert len(fm.Population.of(specs)._groups) == 6


def test_metrics_of_a_history_are_found_as_of_one_network() -> None:
    population = fm.Population([2, 3, 1], size=4)
    X = np.random.default_rng(0).normal(size=(30, 2))
    assert population.fit(X, X[:, 0], epochs=1).metrics == {}
    history = population.fit(X, X[:, 0], epochs=2, metrics=["mae"], validation=0.2)
    assert list(history.metrics) == ["mae", "val_mae"]
    assert history.metrics["val_mae"].shape == (3, 4)
    for i, own in enumerate(history):
        for name, curve in own.metrics.items():
            np.testing.assert_array_equal(history.metrics[name][:, i], curve)
