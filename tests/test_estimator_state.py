"""What an estimator keeps from call to call, as scikit-learn's: its optimizer, random state, best epoch, and arrays given."""

from __future__ import annotations

import copy

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn import neural_network as theirs
from sklearn.datasets import load_diabetes, load_iris

import fastmlp as fm
from tests.estimators import quick

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_iris(return_X_y=True)
X_NUMBERS, NUMBERS = load_diabetes(return_X_y=True)
NUMBERS = (NUMBERS - NUMBERS.mean()) / NUMBERS.std()
# What the optimizer of the first call goes by to the end, and what is read anew.
LATER = [
    ("sgd", {"momentum": 0.0}),
    ("sgd", {"momentum": 0.5, "nesterovs_momentum": False}),
    ("sgd", {"learning_rate": "invscaling", "power_t": 0.1, "learning_rate_init": 0.3}),
    ("adam", {"beta_1": 0.1}),
    ("adam", {"beta_2": 0.5}),
    ("adam", {"epsilon": 0.1}),
    ("adam", {"learning_rate_init": 0.3}),
    ("adam", {"alpha": 1.0}),
    ("sgd", {"alpha": 1.0}),
]


def assert_same(ours, their, atol: float = 1e-12) -> None:
    for mine, other in zip([*ours.coefs_, *ours.intercepts_], [*their.coefs_, *their.intercepts_], strict=True):
        np.testing.assert_allclose(mine, other, rtol=0.0, atol=atol)


def make(module, kind: str = "MLPClassifier", **parameters):
    given = {"hidden_layer_sizes": (5,), "shuffle": False, "random_state": 0, "max_iter": 3, "learning_rate_init": 0.01}
    return getattr(module, kind)(**given | parameters)


@pytest.mark.parametrize(("solver", "later"), [*LATER, ("sgd", {"solver": "adam"}), ("adam", {"solver": "sgd"})], ids=str)
def test_partial_fit_goes_on_with_the_optimizer_of_the_first_call(solver, later) -> None:
    ours, their = (make(module, solver=solver, batch_size=8) for module in (fm, theirs))
    for estimator in (ours, their):
        estimator.partial_fit(X, y, classes=[0, 1, 2]).set_params(**later)
        estimator.partial_fit(X, y).partial_fit(X, y)
    assert_same(ours, their)


@pytest.mark.parametrize(("solver", "later"), LATER, ids=str)
@pytest.mark.parametrize(("module", "convert"), [(theirs, fm.from_sklearn), (fm, fm.to_sklearn)], ids=["here", "there"])
def test_the_optimizer_is_converted_as_it_is_whatever_was_set_since(module, convert, solver, later) -> None:
    source = make(module, solver=solver).fit(X, y).set_params(**later)
    other = convert(source)
    for estimator in (source, other):
        estimator.partial_fit(X, y).partial_fit(X, y)
    assert_same(source, other)


def test_converted_rates_go_on_falling() -> None:
    source = make(theirs, solver="sgd", learning_rate="invscaling").fit(X, y).set_params(power_t=0.1)
    for start, convert in ((source, fm.from_sklearn), (fm.from_sklearn(source), fm.to_sklearn)):
        other = convert(start)
        assert_same(start.partial_fit(X, y).partial_fit(X, y), other.partial_fit(X, y).partial_fit(X, y))


def test_a_warm_start_after_early_stopping_goes_on_there_too() -> None:
    parameters = {"early_stopping": True, "warm_start": True, "max_iter": 60}
    ours, their = (make(module, "MLPRegressor", **parameters).fit(X_NUMBERS, NUMBERS) for module in (fm, theirs))
    converted = fm.to_sklearn(ours)
    assert converted._best_coefs is converted.coefs_
    assert converted._best_intercepts is converted.intercepts_
    for estimator in (ours, their, converted):
        estimator.set_params(max_iter=1, learning_rate_init=0.05).fit(X_NUMBERS, NUMBERS)
    assert_same(ours, their)
    assert_same(converted, their)


@pytest.mark.parametrize("parameters", [{}, {"early_stopping": True, "warm_start": True}], ids=str)
@pytest.mark.parametrize("own", [True, False], ids=["instance", "global"])
def test_without_shuffling_a_random_state_is_used_as_there(own, parameters) -> None:
    fitted, draws = [], []
    for module in (fm, theirs):
        np.random.seed(0)  # noqa: NPY002
        state = np.random.RandomState(0) if own else None
        estimator = make(module, "MLPRegressor", random_state=state, **parameters)
        fitted.append(estimator.fit(X_NUMBERS, NUMBERS).fit(X_NUMBERS, NUMBERS))
        draws.append((state or np.random).random())
    assert_same(*fitted)
    assert draws[0] == draws[1]


def test_the_seed_is_the_random_state_s_wherever_something_is_drawn() -> None:
    seeds = [make(fm, random_state=0, **given).fit(X, y).network_.seed for given in ({"shuffle": True}, {"dropout": 0.1}, {})]
    assert seeds[0] == seeds[1] > 0
    assert seeds[2] == 0


def test_rows_are_shuffled_unless_told_otherwise() -> None:
    shuffled, ordered = (make(fm, shuffle=given, batch_size=8).fit(X, y).coefs_[0] for given in (True, False))
    assert not np.allclose(shuffled, ordered)


def test_arrays_put_into_a_member_count_in_the_ensemble() -> None:
    fitted = quick(n_ensemble=2, max_iter=3).fit(X, y)
    before = fitted.predict_proba(X)
    for member in fitted.estimators_:
        member.coefs_[0] = np.zeros_like(member.coefs_[0])
    probabilities = fitted.predict_proba(X)
    assert not np.allclose(probabilities, before)
    np.testing.assert_array_equal(probabilities, np.mean([m.predict_proba(X) for m in fitted.estimators_], axis=0))


@pytest.mark.parametrize(
    ("coefs", "intercepts", "match"),
    [
        ([(3,), (8, 3)], [(8,), (3,)], r"coefs_\[0\] has shape \(3,\), but the network's is \(4, 8\)"),
        ([(4, 8), (8, 2)], [(8,), (3,)], r"coefs_\[1\] has shape \(8, 2\), but the network's is \(8, 3\)"),
        ([(4, 8), (8, 3)], [(8,), (1,)], r"intercepts_\[1\] has shape \(1,\), but the network's is \(3,\)"),
        ([(4, 8), (8, 3)], [(8,)], "coefs_ and intercepts_ have 3 arrays, but the network has 4"),
    ],
)
def test_arrays_of_other_shapes_are_refused_before_any_is_taken_over(coefs, intercepts, match) -> None:
    fitted = quick(max_iter=3).fit(X, y)
    given, expected = (fitted.coefs_, fitted.intercepts_), fitted.predict_proba(X)
    fitted.coefs_, fitted.intercepts_ = [np.ones(shape) for shape in coefs], [np.ones(shape) for shape in intercepts]
    with pytest.raises(ValueError, match=match):
        fitted.predict_proba(X)
    fitted.coefs_, fitted.intercepts_ = given
    np.testing.assert_array_equal(fitted.predict_proba(X), expected)


def diverging(module, **parameters):
    wild = {"hidden_layer_sizes": (10,), "activation": "identity", "solver": "sgd", "learning_rate_init": 0.1}
    return make(module, "MLPRegressor", max_iter=200, **wild | parameters)


def wild_data():
    rng = np.random.default_rng(0)
    rng.random(150)
    A = rng.standard_normal((200, 5))
    return A, A @ np.arange(1.0, 6.0)


def test_early_stopping_keeps_its_best_epoch_where_training_diverges_later() -> None:
    A, target = wild_data()
    ours, their = diverging(fm, early_stopping=True), diverging(theirs, early_stopping=True)
    with pytest.warns(fm.DivergenceWarning, match=r"diverged in epoch \d+: .* are those after 5 epochs, the best of them\."):
        ours.fit(A, target)
    with np.errstate(all="ignore"):
        their.fit(A, target)
    assert_same(ours, their, 1e-9)
    assert ours.network_.history.best_epoch == int(np.argmax(ours.validation_scores_)) == 4
    assert ours.best_validation_score_ == pytest.approx(their.best_validation_score_)


def test_early_stopping_without_a_best_epoch_refuses_what_diverges() -> None:
    A, target = wild_data()
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        diverging(fm, early_stopping=True, learning_rate_init=1e200).fit(A, target)
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        diverging(fm).fit(A, target)


def test_an_optimizer_set_since_the_first_call_has_its_own_rate() -> None:
    first = fm.MLPClassifier((5,), shuffle=False, random_state=0).partial_fit(X, y, classes=[0, 1, 2])
    moved = []
    for rate in (1e-3, 1e-1):
        est = copy.deepcopy(first).set_params(solver=fm.SGD(rate)).partial_fit(X, y)
        moved.append(np.abs(est.network_.params - first.network_.params).max())
    assert moved[1] > 50 * moved[0]


def test_a_population_of_estimators_networks_has_the_whole_loss(engine) -> None:
    """The limit of scikit-learn's log loss is the estimator's alone."""
    fitted = [fm.MLPClassifier((5,), max_iter=1, random_state=seed).fit(300.0 * X, y).network_ for seed in (0, 1)]
    plain = fm.MLP([4, 5, 3], output="softmax", dtype="float64")
    whole = []
    for net in fitted:
        plain.params = net.params
        whole.append(plain.loss(300.0 * X, y))
        assert net.loss(300.0 * X, y) < 0.9 * whole[-1]
    population = fm.Population.of(fitted)
    np.testing.assert_allclose(population.loss(300.0 * X, y), whole, rtol=1e-12)
    np.testing.assert_allclose([population[i].loss(300.0 * X, y) for i in (0, 1)], whole, rtol=1e-12)
