"""Populations to the last detail: divergence, callbacks, weights and groups at the edges."""

from __future__ import annotations

import numpy as np
import pytest

import fastmlp as fm
from tests.problems import Given, classes, numbers, regressor


def test_an_answer_for_each_network_has_one_dimension() -> None:
    class Answer(fm.Callback):
        def on_epoch_end(self, population, epoch, logs):
            return (logs["loss"] < 0)[np.newaxis]

    with pytest.raises(ValueError, match=r"answered with shape \(1, 3\), but there are 3 networks"):
        fm.Population([4, 3, 1], size=3).fit(*numbers(20), epochs=1, callbacks=[Answer()])


def test_a_populations_divergence_is_told_with_the_rate_of_its_epoch(engine) -> None:
    population = fm.Population([4, 3, 1], size=2, dtype="float64")
    with pytest.warns(fm.DivergenceWarning, match=r"in epoch 4 of this fit, at a learning rate of 2e\+300"):
        population.fit(*numbers(30), epochs=9, batch_size=30, optimizer=fm.SGD(Given(1.0, (0.01, 0.02, 0.01, 1e300, 2e300))))


def test_a_populations_divergence_names_eight_networks() -> None:
    population = fm.Population([4, 3, 1], size=10, dtype="float64")
    with pytest.warns(fm.DivergenceWarning, match=r"9 of 10 networks diverged: 0, 1, 2, 3, 4, 5, 6, 7, \.\.\.\. The first"):
        population.fit(*numbers(30), epochs=3, optimizer=fm.SGD([1e300] * 9 + [0.01]))


def test_of_a_call_of_several_epochs_a_network_that_diverges_keeps_all_before(engine) -> None:
    X, y = numbers(30)
    rates = (0.01, 0.02, 0.01, 0.03, 0.02, 0.01, 1e300)
    options = {"batch_size": 30, "shuffle": False}
    population = fm.Population([4, 3, 1], size=2, dtype="float64")
    alone = population[0]
    with pytest.warns(fm.DivergenceWarning, match="The first of them did in epoch 7"):
        history = population.fit(X, y, epochs=12, optimizer=fm.SGD(Given(1.0, rates)), **options)
    assert history.loss.shape == (8, 2)
    assert np.isfinite(history.loss[:7]).all()
    assert np.isnan(history.loss[7]).all()
    with pytest.warns(fm.DivergenceWarning, match="in epoch 7"):
        alone.fit(X, y, epochs=12, optimizer=fm.SGD(Given(1.0, rates)), **options)
    np.testing.assert_allclose(population.params[0], alone.params, rtol=1e-10)


def test_what_is_changed_before_a_populations_first_epoch_stays_if_that_diverges(engine) -> None:
    class Begin(fm.Callback):
        def on_train_begin(self, population):
            population.params[...] = 0.123

    population = fm.Population([4, 3, 1], size=2, dtype="float64")
    with pytest.warns(fm.DivergenceWarning, match="in epoch 0"):
        population.fit(*numbers(30), epochs=5, batch_size=1, callbacks=[Begin()], optimizer=fm.SGD(1e308))
    np.testing.assert_array_equal(population.params, 0.123)


@pytest.mark.parametrize("kind", ["network", "population"])
def test_what_stops_early_with_a_callbacks_last_epoch_has_stopped_early(kind) -> None:
    class Stop(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            return epoch == 1

    net = regressor() if kind == "network" else fm.Population([4, 3, 1], size=2)
    history = net.fit(*numbers(30), epochs=5, callbacks=[Stop()], optimizer=fm.SGD(1e-30),
                      early_stopping=fm.EarlyStopping("loss", patience=1), shuffle=False)  # fmt: skip
    assert history.stopped == ("early stopping" if kind == "network" else ["early stopping"] * 2)


def test_a_verdict_changes_nothing_before_it_is_accepted() -> None:
    from fastmlp.population.stopping import Stopping

    stopping, active = Stopping(fm.EarlyStopping("loss", patience=3), False, 2), np.ones(2, bool)
    stopping.accept(stopping.judge(np.array([[1.0, 2.0]]), active))
    for _ in range(2):
        verdict = stopping.judge(np.array([[2.0, 1.0], [3.0, 3.0]]), active)
        assert (verdict.best.tolist(), verdict.waited.tolist()) == ([1.0, 1.0], [2, 1])
    assert (stopping.best.tolist(), stopping.waited.tolist(), active.tolist()) == ([1.0, 2.0], [0, 0], [True, True])


def test_a_network_from_a_population_begins_anew_with_scales_of_inputs(engine) -> None:
    X, y = numbers(30)
    net, new = regressor(), regressor()
    options = {"optimizer": fm.Adam(0.01, scale_factor=6.0), "shuffle": False}
    net.fit(X, y, epochs=3, **options)
    new.params = net.params
    losses = [fm.Population.of([one] * 2)[0].fit(X, y, epochs=3, **options).loss[-3:] for one in (net, new)]
    assert losses[0] == losses[1]


def test_an_error_after_a_callbacks_fit_of_a_population_by_another_optimizer_leaves_its_state(engine) -> None:
    X, y = numbers(30)

    class Nested(fm.Callback):
        def on_epoch_end(self, population, epoch, logs):
            if epoch == 1:
                population.fit(X, y, epochs=1, optimizer=fm.SGD(0.01, momentum=0.9))
                raise KeyError("mine")

    one, other = (fm.Population([4, 3, 1], size=2, dtype="float64") for _ in range(2))
    with pytest.raises(KeyError, match="mine"):
        one.fit(X, y, epochs=3, callbacks=[Nested()])
    other.fit(X, y, epochs=2)
    for population in (one, other):
        population.fit(X, y, epochs=2)
    np.testing.assert_array_equal(one.params, other.params)


def test_each_networks_own_weights_go_with_class_weights_for_shared_targets(engine) -> None:
    X, y = classes(30)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, size=(3, 30))
    one, other = (fm.Population([4, 5, 3], size=3, output="softmax", dtype="float64") for _ in range(2))
    one.fit(X, y, epochs=2, sample_weight=weight, class_weight={0: 2.0, 1: 0.5})
    other.fit(X, y, epochs=2, sample_weight=weight * np.array([2.0, 0.5, 1.0])[y])
    np.testing.assert_allclose(one.params, other.params, rtol=1e-12)


def test_answers_of_several_groups_have_the_types_of_those_of_one() -> None:
    population = fm.Population.of([{"layers": [2, 4, 1], "activation": name} for name in ("tanh", "sigmoid")])
    assert population.predict([[1.0, 2.0]]).dtype == np.float32
    assert population.n_params.dtype == np.int64


@pytest.mark.parametrize(("many", "sizes"), [(8, [16]), (9, [9, 9])])
def test_what_is_left_over_of_two_architectures_goes_together_if_a_vector_holds_it(many, sizes) -> None:
    population = fm.Population.of([{"layers": [2, width, 1], "seed": s} for width in (4, 5) for s in range(many)])
    assert sorted(map(len, population._groups)) == sizes


def test_networks_with_and_without_biases_are_in_one_population() -> None:
    nets = [fm.MLP([2, fm.Dense(width, "relu", bias=bias), 1]) for width, bias in ((4, False), (5, True))]
    X = [[1.0, 2.0], [-1.0, 0.5]]
    found = fm.Population.of(nets).predict(X)
    np.testing.assert_allclose(found, [net.predict(X) for net in nets], rtol=1e-5)
