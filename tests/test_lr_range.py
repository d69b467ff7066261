"""The learning-rate range test: what it tells is what the same steps do one by one, and what it suggests works."""

from __future__ import annotations

import numpy as np
import pytest

import fastmlp as fm
from fastmlp.lr_range import _judged, _smooth


@pytest.fixture(scope="module")
def moons():
    data = fm.datasets.load("moons")
    return data.X, data.y


def network(**options):
    return fm.MLP([2, 16, 1], **{"output": "sigmoid", "seed": 2, **options})


def optimizers():
    return pytest.mark.parametrize("optimizer", [fm.SGD(), fm.Adam(), fm.RMSprop()], ids=lambda o: type(o).__name__)


@optimizers()
def test_losses_are_those_of_the_same_steps_taken_one_by_one(engine, moons, optimizer):
    X, y = moons[0][:40], moons[1][:40]
    net = network(dtype="float64")
    test = net.lr_range_test(X, y, low=1e-4, high=1.0, steps=12, batch_size=None, optimizer=optimizer)
    np.testing.assert_allclose(test.lrs, np.geomspace(1e-4, 1.0, 12), rtol=1e-12)
    losses = []
    for rate in test.lrs:
        losses.append(net.loss(X, y))
        net.fit(X, y, epochs=1, batch_size=None, optimizer=type(optimizer)(rate), progress=False)
    np.testing.assert_allclose(test.losses, losses, rtol=1e-9)


def test_class_weights_count_as_the_sample_weights_that_they_are(moons):
    X, y = moons
    test = network().lr_range_test(X, y, steps=20, class_weight={0: 1.0, 1: 3.0})
    other = network().lr_range_test(X, y, steps=20, sample_weight=np.where(y == 1, 3.0, 1.0))
    np.testing.assert_array_equal(test.losses, other.losses)
    assert (test.losses != network().lr_range_test(X, y, steps=20).losses).any()


def test_rows_without_weight_are_as_if_they_were_not_there(moons):
    X, y = moons
    weight = (np.random.default_rng(0).random(len(X)) > 0.9) * 1.0
    test = network().lr_range_test(X, y, sample_weight=weight, batch_size=4)
    other = network().lr_range_test(X[weight > 0], y[weight > 0], sample_weight=weight[weight > 0], batch_size=4)
    np.testing.assert_array_equal(test.losses, other.losses)
    assert (test.losses[:50] > 0.0).all()
    assert test.suggestion == other.suggestion is not None


def test_tests_are_the_same_if_they_are_one(moons):
    test, other = (network().lr_range_test(*moons, steps=20) for _ in range(2))
    assert test == test != other
    assert [other, test].index(test) == 1
    assert len({test, other}) == 2


def test_each_loss_is_that_of_its_minibatch(engine):
    """Two rows in two minibatches, so that an epoch is two steps, in either order."""
    X, y = np.array([[1.0], [1.0]]), np.array([0.0, 10.0])
    net = fm.MLP([1, 1], dtype="float64")
    net.params = [0.0, 0.0]
    losses = net.lr_range_test(X, y, low=1e-12, high=1e-11, steps=10, batch_size=1, optimizer="sgd").losses
    assert sorted(losses.round(6)) == [0.0] * 5 + [100.0] * 5
    assert all({a, b} == {0.0, 100.0} for a, b in losses.round(6).reshape(5, 2))


def test_the_network_is_the_same_afterwards_to_the_last_bit(moons):
    net = network(dropout=0.2)
    net.fit(*moons, epochs=2, progress=False)
    net.backward(*moons)
    before, after = net.copy(), net
    net.lr_range_test(*moons)
    np.testing.assert_array_equal(after.params, before.params)
    np.testing.assert_array_equal(after.grad, before.grad)
    for name in ("ints", "reals", "slots"):
        np.testing.assert_array_equal(getattr(after._state, name), getattr(before._state, name))
    assert after.history == before.history
    for other in (after, before):
        other.fit(*moons, epochs=1, progress=False)
    np.testing.assert_array_equal(after.params, before.params)


def test_it_begins_with_the_parameters_and_an_optimizer_without_memory(moons):
    net = network()
    net.fit(*moons, epochs=3, optimizer=fm.SGD(0.1, momentum=0.9), progress=False)
    fresh = network()
    fresh.params = net.params
    for one, other in zip(*(n.lr_range_test(*moons, optimizer=fm.SGD(momentum=0.9)).losses for n in (net, fresh)), strict=True):
        assert one == other


@optimizers()
@pytest.mark.parametrize("problem", ["moons", "digits", "numbers"])
def test_training_with_the_suggestion_works_and_with_a_hundredth_does_not(problem, optimizer):
    if problem == "numbers":
        rng = np.random.default_rng(0)
        X = rng.normal(size=(500, 5))
        y, net = X @ rng.normal(size=5) + np.sin(3 * X[:, 0]), fm.MLP([5, 32, 1])
    else:
        data = fm.datasets.load(problem)
        X, y = data.X, data.y
        net = fm.MLP([X.shape[1], 32, data.n_outputs], output=data.output)
    test = net.lr_range_test(X, y, optimizer=optimizer)
    losses = []
    for factor in (1.0, 0.01):
        one = net.copy()
        losses.append(one.fit(X, y, epochs=10, optimizer=type(optimizer)(factor * test.suggestion), progress=False).loss[-1])
    assert losses[0] < 0.6 * losses[1]
    assert losses[0] < 0.6 * net.loss(X, y)
    assert test.suggestion <= test.lowest
    assert test.limit is None or test.lowest < test.limit


def test_a_training_that_explodes_ends_the_test_early(engine):
    X = np.random.default_rng(0).normal(size=(64, 3))
    net = fm.MLP([3, 8, 1], dtype="float32")
    test = net.lr_range_test(X, X[:, 0], high=1e6, optimizer="sgd")
    assert len(test.lrs) == len(test.losses) == len(test.smoothed) < 100
    assert np.isfinite(test.losses).all()
    assert test.lowest < test.limit <= test.lrs[-1]


def test_without_a_gradient_nothing_is_suggested():
    net = fm.MLP([2, 4, (1, False)])
    net.params = np.full(net.n_params, -1.0)
    test = net.lr_range_test(np.ones((50, 2)), np.zeros(50))
    assert (test.suggestion, test.lowest) == (None, None)


# ---- what is read from curves

RATES = np.geomspace(1e-6, 10.0, 100)


def judged(loss, noise=0.0, ended=False):
    """The reading of a loss that is a function of log10(rate)."""
    values = loss(np.log10(RATES)) + noise * np.random.default_rng(0).normal(size=100)
    return _judged(RATES, values, ended, fm.Adam())


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_fall_and_a_rise(noise):
    test = judged(lambda r: 1.0 - 0.5 / (1 + np.exp(-6 * (r + 3))) + 10.0 ** (2 * r) * 0.5, noise)
    assert 2e-4 < test.suggestion < 2e-3
    assert test.suggestion < test.lowest < 0.5
    assert 0.5 < test.limit < 3.0


def test_of_two_falls_the_first_counts_if_it_is_steep_enough():
    test = judged(lambda r: 1.0 - 0.3 / (1 + np.exp(-9 * (r + 4))) - 0.3 / (1 + np.exp(-9 * (r + 1))))
    assert 3e-5 < test.suggestion < 2e-4
    assert test.limit is None


@pytest.mark.parametrize("level", [1.0, 0.0, -3.0])
def test_noise_alone_suggests_nothing(level):
    test = judged(lambda r: level + 0 * r, noise=0.01)
    assert (test.suggestion, test.lowest, test.limit) == (None, None, None)


def test_one_wild_minibatch_is_no_limit():
    def loss(r):
        values = 1.0 - 0.5 / (1 + np.exp(-6 * (r + 3)))
        values[70] = 1e30
        return values

    assert judged(loss).limit is None


def test_where_the_loss_became_infinite_is_a_limit():
    assert judged(lambda r: 1.0 - 0.05 * (r + 6), ended=True).limit == RATES[-1]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_losses_that_end_at_once_suggest_nothing(n):
    test = _judged(RATES[:n], np.ones(n), True, fm.Adam())
    assert test.suggestion is None
    assert test.limit == (RATES[n - 1] if n else None)


def test_smoothing_keeps_lines_and_drops_single_jumps():
    line = np.arange(20.0)
    np.testing.assert_allclose(_smooth(line, 3)[5:-5], line[5:-5])
    jumping = np.ones(20)
    jumping[7] = 1e30
    np.testing.assert_array_equal(_smooth(jumping, 3), np.ones(20))


# ---- arguments


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"low": 0.0}, ValueError, "low must be a finite number > 0"),
        ({"low": 1.0, "high": 1.0}, ValueError, "high must be a finite number > 1"),
        ({"steps": 9}, ValueError, "steps must be an integer >= 10"),
        ({"steps": 1e6}, TypeError, "steps must be an integer"),
        ({"batch_size": 0}, ValueError, "batch_size must be an integer >= 1"),
        ({"optimizer": "adm"}, ValueError, "Did you mean 'adam'"),
        ({"optimizer": fm.LBFGS()}, ValueError, "L-BFGS has no learning rate to test"),
    ],
)
def test_bad_arguments(moons, options, error, words):
    with pytest.raises(error, match=words):
        network().lr_range_test(*moons, **options)


def test_bad_data(moons):
    with pytest.raises(ValueError, match="X has 1 column,"):
        network().lr_range_test(moons[0][:, :1], moons[1])


def test_sample_weights_count(moons):
    X, y = moons
    weight = (y == 1).astype(float)
    some = network().lr_range_test(X, y, sample_weight=weight, batch_size=None).losses
    few = network().lr_range_test(X[y == 1], y[y == 1], batch_size=None).losses
    np.testing.assert_allclose(some[0], few[0], rtol=1e-5)


@pytest.mark.parametrize("high", [np.nextafter(0.01, 1), 0.01 * (1 + 1e-10), 0.0101])
def test_rates_that_hardly_grow_suggest_nothing_strange(moons, high):
    test = network().lr_range_test(*moons, low=0.01, high=high, steps=20)
    assert len(test.losses) == len(test.smoothed) == 20
    assert test.suggestion is None or 0.01 <= test.suggestion <= high
