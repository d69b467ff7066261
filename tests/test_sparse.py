"""Sparse inputs: of the estimators beside dense ones and scikit-learn's, and of the engines."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone

import fastmlp as fm
from fastmlp import MLPClassifier, MLPRegressor, sparse
from tests.estimators import quick

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ROWS, COLUMNS, BATCH = 230, 40, 32


@pytest.fixture(params=[0.0, 1.0], ids=["dense", "sparse"])
def few_at_a_time(request, monkeypatch) -> bool:
    """Let no more than 70 rows be taken at once, two minibatches and a bit, dense or sparse; returns whether sparse."""
    monkeypatch.setattr("fastmlp.sparse.ROOM_BYTES", 70 * COLUMNS * 8)
    monkeypatch.setattr("fastmlp.sparse.DENSITY", request.param)
    x = sparse.csr(scipy.sparse.csr_matrix(table()[0]), np.dtype("float64"))
    assert (sparse.Reader(x, 1).width < COLUMNS) == bool(request.param and fm.engine.active_name() == "numba")
    return request.param > 0.0


def table(dtype="float64", columns=COLUMNS) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, columns)) * (rng.uniform(size=(ROWS, columns)) < 0.15)
    return X.astype(dtype), (X[:, :3].sum(axis=1) > 0).astype(int) + (X[:, 3:6].sum(axis=1) > 0)


def classifier(**options) -> MLPClassifier:
    return MLPClassifier(**{"hidden_layer_sizes": (40, 9), "batch_size": BATCH, "max_iter": 6, "random_state": 1, **options})


@pytest.mark.parametrize("kind", [scipy.sparse.csr_matrix, scipy.sparse.csc_array])
def test_small_data_gives_the_same_bits(kind, iris) -> None:
    X, y = iris
    dense, sparse = quick().fit(X, y), quick().fit(kind(X), y)
    np.testing.assert_array_equal(dense.coefs_[0], sparse.coefs_[0])
    np.testing.assert_array_equal(dense.predict_proba(X), sparse.predict_proba(kind(X)))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shuffle": False},
        {"dropout": 0.2},
        {"batch_size": ROWS},  # a minibatch of all rows
        {"batch_size": ROWS - 1},
        {"hidden_layer_sizes": (4,), "batch_size": 100},  # rows lie in the lanes
        {"solver": "sgd", "learning_rate": "adaptive", "alpha": 0.1},
        {"early_stopping": True, "max_iter": 20, "n_iter_no_change": 2},
        {"class_weight": {0: 1.0, 1: 0.0, 2: 3.0}},
    ],
    ids=str,
)
def test_training(engine, options, few_at_a_time) -> None:
    X, y = table()
    dense = classifier(**options).fit(X, y)
    sparse = classifier(**options).fit(scipy.sparse.csc_matrix(X), y)
    if few_at_a_time:
        np.testing.assert_allclose(sparse.network_.params, dense.network_.params, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(sparse.loss_curve_, dense.loss_curve_, rtol=1e-12)
    else:  # to the last bit
        np.testing.assert_array_equal(sparse.network_.params, dense.network_.params)
        assert sparse.loss_curve_ == dense.loss_curve_
    np.testing.assert_allclose(sparse.predict_proba(scipy.sparse.csr_array(X)), dense.predict_proba(X), rtol=1e-12)


def test_float32_and_partial_fit_and_warm_start(few_at_a_time) -> None:
    X, y = table("float32", 2 * COLUMNS)
    there = scipy.sparse.csr_matrix(X)
    dense, sparse = classifier(warm_start=True), classifier(warm_start=True)
    for fitted, given in ((dense, X), (sparse, there)):
        fitted.fit(given, y).fit(given, y).partial_fit(given, y)
    assert sparse.coefs_[0].dtype == np.float32
    np.testing.assert_allclose(dense.coefs_[0], sparse.coefs_[0], rtol=0 if not few_at_a_time else 1e-4, atol=1e-6)


@pytest.mark.parametrize("scoring", ["neg_log_loss", "loss", lambda est, X, y: -est.score(X, y)])
def test_early_stopping_by_a_scorer(scoring, few_at_a_time) -> None:
    X, y = table()
    X, y = np.repeat(X, 4, axis=0), np.repeat(y, 4)
    there = scipy.sparse.csr_matrix(X)
    options = {"early_stopping": True, "scoring": scoring}
    dense = classifier(**options).fit(X, y, X_val=X[::2], y_val=y[::2])
    sparse = classifier(**options).fit(there, y, X_val=there[::2], y_val=y[::2])
    np.testing.assert_allclose(sparse.validation_scores_, dense.validation_scores_, rtol=1e-9)
    np.testing.assert_allclose(sparse.validation_loss_curve_, dense.validation_loss_curve_, rtol=1e-9)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("weighted", [False, True])
def test_lbfgs(loss, weighted, few_at_a_time) -> None:
    X, y = table()
    weight = np.random.default_rng(1).uniform(size=ROWS) if weighted else None
    est = MLPRegressor(hidden_layer_sizes=(5,), loss=loss, solver="lbfgs", alpha=1.0, max_iter=20, random_state=0)
    dense, sparse = clone(est).fit(X, y, weight), clone(est).fit(scipy.sparse.csr_matrix(X), y, weight)
    assert sparse.n_iter_ == dense.n_iter_
    np.testing.assert_allclose(sparse.coefs_[0], dense.coefs_[0], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(sparse.loss_, dense.loss_, rtol=1e-9)


@pytest.mark.parametrize("n_ensemble", [1, 2])
def test_ensembles_and_hidden_activations(n_ensemble, few_at_a_time) -> None:
    X, y = table()
    there = scipy.sparse.csr_matrix(X)
    dense, sparse = classifier(n_ensemble=n_ensemble).fit(X, y), classifier(n_ensemble=n_ensemble).fit(there, y)
    np.testing.assert_allclose(sparse.predict_proba(there), dense.predict_proba(X), rtol=1e-12)
    for a, b in zip(sparse.hidden_activations(there), dense.hidden_activations(X), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


def test_few_entries_stay_and_many_are_made_dense() -> None:
    x = sparse.csr(scipy.sparse.random(50, 40, 0.02, "csr", random_state=np.random.default_rng(0)), np.dtype("float64"))
    reader = sparse.Reader(x, 10)
    rows = reader.rows(slice(None))
    assert rows.shape == (50, reader.width) == (50, 1 + 2 * int(np.diff(x.indptr).max()))
    for row, there in zip(rows, x.toarray(), strict=True):
        count = int(row[0])
        assert row[1 : 1 + 2 * count : 2].tolist() == np.flatnonzero(there).tolist()
        assert row[2 : 2 + 2 * count : 2].tolist() == there[there != 0].tolist()
    x = scipy.sparse.vstack([x, np.ones((1, 40))], "csr")  # with one full row nothing is gained
    np.testing.assert_array_equal(sparse.Reader(x, 10).rows(slice(None)), x.toarray())


@pytest.mark.parametrize("density", [0.001, 0.03, 0.06, 0.4])
@pytest.mark.parametrize("columns", [50, 3000])
def test_blocks_keep_to_their_room(density, columns, engine, monkeypatch) -> None:
    monkeypatch.setattr("fastmlp.sparse.ROOM_BYTES", 1 << 16)
    x = scipy.sparse.random(400, columns, density, "csr", random_state=np.random.default_rng(0))
    given = list(sparse.blocks(x))
    assert max(block.nbytes for block in given) <= 1 << 16
    assert sum(map(len, given)) == 400


def test_columns_that_float32_cannot_number_are_made_dense() -> None:
    x = scipy.sparse.csr_matrix(([1.0], ([0], [1 << 24])), shape=(1, (1 << 24) + 1))
    assert sparse.Reader(x.astype(np.float32), 1).width == x.shape[1]
    assert sparse.Reader(x, 1).width == 3


def test_rows_without_entries_have_the_bias_alone(engine) -> None:
    X, y = table()
    fitted = classifier().fit(X, y)
    nothing = scipy.sparse.csr_matrix((3, COLUMNS))
    np.testing.assert_allclose(fitted.predict_proba(nothing), fitted.predict_proba(np.zeros((3, COLUMNS))), rtol=1e-12)


@pytest.mark.parametrize(("units", "batch"), [(60, 200), (130, 50)], ids=["rows shared", "units shared"])
def test_results_do_not_depend_on_threads(units, batch, any_threads) -> None:
    X = scipy.sparse.random(600, 3000, 0.01, "csr", random_state=np.random.default_rng(0))
    y = np.arange(600) % 3
    found = []
    for n in (1, 2, 3):
        fm.set_threads(n)
        found.append(MLPClassifier((units,), batch_size=batch, max_iter=2, random_state=0).fit(X, y).network_.params)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize("options", [{"loss": "absolute_error"}, {"hidden_layer_sizes": ()}, {"alpha": 10.0, "solver": "sgd"}])
def test_regression(options, few_at_a_time, engine) -> None:
    X, y = table()
    est = MLPRegressor(**{"hidden_layer_sizes": (17, 5), "batch_size": BATCH, "max_iter": 5, "random_state": 0} | options)
    dense, there = clone(est).fit(X, y), clone(est).fit(scipy.sparse.csr_matrix(X), y)
    np.testing.assert_allclose(there.network_.params, dense.network_.params, rtol=1e-9, atol=1e-12)


def test_a_place_named_twice_counts_as_the_sum_and_nothing_of_the_users_changes() -> None:
    X, y = table()
    plain = scipy.sparse.csr_matrix(X)
    halves = scipy.sparse.csr_matrix(
        (np.repeat(plain.data / 2, 2), np.repeat(plain.indices, 2), 2 * plain.indptr), shape=X.shape
    )
    before = halves.data.copy()
    found = classifier().fit(X, y).predict_proba(halves)
    np.testing.assert_allclose(found, classifier().fit(X, y).predict_proba(X), rtol=1e-12)
    np.testing.assert_array_equal(halves.data, before)


def test_what_is_not_finite_is_found_even_if_scikit_learn_does_not_look() -> None:
    import sklearn

    X, y = table()
    there = scipy.sparse.csr_matrix(X)
    fitted = classifier().fit(there, y)
    there.data[5] = np.nan
    with sklearn.config_context(assume_finite=True), pytest.raises(ValueError, match="X has nan in row 1, column"):
        fitted.predict(there)


def test_divergence_leaves_the_last_good_epoch(few_at_a_time) -> None:
    X, y = table()
    est = classifier(solver="sgd", learning_rate_init=1e9, on_divergence="warn", activation="identity")
    with pytest.warns(fm.DivergenceWarning, match="diverged in epoch"):
        est.fit(scipy.sparse.csr_matrix(1e3 * X), y)
    assert np.isfinite(est.coefs_[0]).all()


def test_memory_does_not_grow_with_the_rows(engine) -> None:
    peaks = []
    for n in (2000, 6000):
        X = scipy.sparse.random(n, 4000, 0.002, "csr", np.float32, np.random.default_rng(0))
        y = np.arange(n) % 2
        est = MLPClassifier((8,), batch_size=100, max_iter=2, random_state=0)
        est.partial_fit(X[:500], y[:500], classes=[0, 1]).predict(X)  # whatever is made once
        tracemalloc.start()
        est.fit(X, y).predict(X)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The compiled engine never makes them dense, NumPy's 32 MB at a time, of which it makes a copy or two.
    assert max(peaks) < (6 << 20 if engine == "numba" else 5 << 25)


def test_a_networks_scratch_for_sparse_rows_is_not_that_of_dense_ones() -> None:
    arena = fm.MLP([1 << 20, 4, 1])._arena
    assert arena.take(256, 61).scratch.size < 2 * (4 << 20) + (1 << 20)
