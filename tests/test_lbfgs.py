"""L-BFGS: SciPy's, on the engine's loss and gradient of all rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

import fastmlp as fm
from tests.compiler import needs_compiler
from tests.problems import classes, classifier, numbers, regressor


def test_it_takes_the_steps_that_scipy_takes(engine) -> None:
    X, y = numbers()
    net, other = regressor(), regressor()
    history = net.fit(X, y, epochs=20, optimizer="lbfgs")
    curve = []

    def value_and_grad(params):
        other.params = params
        return other.value_and_grad(X, y)

    minimize(value_and_grad, regressor().params, jac=True, method="L-BFGS-B", options={"maxiter": 20, "maxcor": 10},
             callback=lambda intermediate_result: curve.append((intermediate_result.fun, intermediate_result.x)))  # fmt: skip
    np.testing.assert_allclose(history.loss, [value for value, _ in curve], rtol=1e-10)
    np.testing.assert_allclose(net.params, curve[-1][1], rtol=1e-7, atol=1e-10)
    assert (len(history), history.stopped, history.lr) == (20, "epochs", [])


def test_it_finds_the_least_squares_solution(engine) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 3))
    y = rng.normal(size=50)
    net = fm.MLP([3, 1], dtype="float64")
    history = net.fit(X, y, epochs=100, optimizer=fm.LBFGS(tol=1e-9))
    solution = np.linalg.lstsq(np.c_[X, np.ones(50)], y, rcond=None)[0]
    np.testing.assert_allclose(net.params, solution, atol=1e-6)
    assert history.stopped == "converged"
    assert len(history) < 100


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_ends_where_no_lower_loss_is_to_be_found(dtype, engine) -> None:
    """In float32 the line search gives up before the gradient is zero; that is the end of the training too."""

    class Keep(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            self.params = net.params.copy()

    net, keep = fm.MLP([4, 1], dtype=dtype), Keep()
    history = net.fit(*numbers(), epochs=1000, optimizer=fm.LBFGS(max_iter=1000, tol=0.0), callbacks=[keep])
    assert history.stopped == "converged"
    assert len(history) < 100
    assert (net.params == keep.params).all()


@pytest.mark.parametrize(("options", "most"), [({"max_iter": 5}, 5), ({"max_fun": 7}, 7)])
def test_its_own_limits_end_it(options, most, engine) -> None:
    history = regressor().fit(*numbers(), epochs=50, optimizer=fm.LBFGS(**options))
    assert 0 < len(history) <= most
    assert history.stopped == "epochs"


def test_the_loss_of_an_epoch_is_the_networks_after_it(engine) -> None:
    X, y = classes()
    net = classifier()
    history = net.fit(X, y, epochs=6, optimizer="lbfgs", validation=(X, y), metrics="accuracy")
    np.testing.assert_allclose(history.loss, history.val_loss, rtol=1e-12)
    assert net.loss(X, y) == pytest.approx(history.loss[-1], rel=1e-12)
    assert len(history.metrics["accuracy"]) == len(history.metrics["val_accuracy"]) == 6
    assert all(np.diff(history.loss) < 0)


def test_weights_count(engine) -> None:
    X, y = numbers(20)
    times = np.random.default_rng(0).integers(1, 4, 20)
    weighted, repeated = regressor(), regressor()
    weighted.fit(X, y, epochs=5, optimizer="lbfgs", sample_weight=times)
    repeated.fit(np.repeat(X, times, axis=0), np.repeat(y, times), epochs=5, optimizer="lbfgs")
    np.testing.assert_allclose(weighted.params, repeated.params, rtol=1e-5, atol=1e-8)


def test_dropout_is_off(engine) -> None:
    """The line search needs one function, not another at each call."""
    plain, dropped = regressor(), regressor(dropout=0.5)
    dropped.fit(*numbers(), epochs=1)
    plain.params = dropped.params
    for net in (plain, dropped):
        net.fit(*numbers(), epochs=5, optimizer="lbfgs")
    assert (plain.params == dropped.params).all()


def test_early_stopping_and_callbacks_end_it(engine) -> None:
    X, y = numbers(30)

    class Stop(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            return epoch == 3

    net = regressor()
    history = net.fit(X, y, epochs=50, optimizer="lbfgs", callbacks=[Stop()])
    assert (len(history), history.stopped) == (4, "callback")
    assert net.loss(X, y) == pytest.approx(history.loss[-1], rel=1e-12)
    Xv, yv = numbers(30, seed=1)
    net = regressor()
    history = net.fit(X, y, epochs=500, optimizer=fm.LBFGS(max_iter=500), validation=(Xv, yv),
                      early_stopping=fm.EarlyStopping(patience=5))  # fmt: skip
    assert history.stopped == "early stopping"
    assert history.best_epoch == int(np.argmin(history.val_loss))
    assert net.loss(Xv, yv) == pytest.approx(min(history.val_loss), rel=1e-12)


@pytest.mark.parametrize("optimizer", [fm.LBFGS(), fm.SGD(0.1)], ids=["lbfgs", "sgd"])
def test_parameters_that_a_callback_changes_are_gone_on_from(optimizer, engine) -> None:
    """The least squares solution lies where the callback lets no weight be."""
    X = np.random.default_rng(0).normal(size=(40, 3))
    net = fm.MLP([3, 1], dtype="float64")

    class Clip(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            net.params = np.clip(net.params, -0.5, 0.5)

    history = net.fit(X, X @ [3.0, 2.0, -4.0], epochs=30, batch_size=None, optimizer=optimizer, callbacks=Clip())
    assert len(history) == 30
    assert np.abs(net.params).max() == 0.5
    assert history.loss[-1] > 1.0


def test_an_estimator_says_that_parameters_which_a_callback_changes_are_not_gone_on_from() -> None:
    pytest.importorskip("sklearn")

    class Clip(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            net.params = np.clip(net.params, -1e-3, 1e-3)

    X = np.random.default_rng(0).normal(size=(40, 3))
    with pytest.raises(RuntimeError, match="a callback has changed the network's parameters, but an estimator's"):
        fm.MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", callbacks=Clip()).fit(X, X[:, 0])


def test_an_estimator_ends_with_the_parameters_of_a_callback_that_ends_it() -> None:
    pytest.importorskip("sklearn")

    class First(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            if epoch == 0:
                self.params = net.params.copy()
            net.params = self.params if epoch == 3 else net.params
            return epoch == 3

    first, X = First(), np.random.default_rng(0).normal(size=(40, 3))
    fitted = fm.MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", callbacks=first, random_state=0).fit(X, X[:, 0])
    np.testing.assert_array_equal(fitted.network_.params, first.params)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_parameters_that_a_callback_ruins_after_the_last_epoch_are_taken_back(optimizer, engine) -> None:
    class Ruin(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            if epoch == 2:
                net.params[...] = np.nan

    X = np.random.default_rng(0).normal(size=(40, 3))
    net, fresh = (fm.MLP([3, 4, 1], activation="tanh", dtype="float64") for _ in range(2))
    with pytest.warns(fm.DivergenceWarning, match="diverged in epoch 3"):
        history = net.fit(X, X[:, 0], epochs=3, batch_size=None, optimizer=optimizer, callbacks=Ruin())
    fresh.fit(X, X[:, 0], epochs=3, batch_size=None, optimizer=optimizer)
    assert history.stopped == "diverged"
    np.testing.assert_array_equal(net.params, fresh.params)


def test_no_epoch_is_kept_of_a_loss_that_is_infinite_from_the_start(engine) -> None:
    net = regressor(dtype="float32")
    net.params = np.full(net.n_params, 1e30)
    with pytest.warns(fm.DivergenceWarning, match="diverged in epoch 0.*L-BFGS has no learning rate: scale inputs") as caught:
        history = net.fit(np.ones((3, 4)), np.ones(3), optimizer="lbfgs")
    assert caught[0].filename == __file__
    assert (len(history), history.stopped) == (0, "diverged")
    assert (net.params == np.float32(1e30)).all()
    with pytest.raises(fm.DivergenceError, match="diverged in epoch 0"):
        net.fit(np.ones((3, 4)), np.ones(3), optimizer="lbfgs", on_divergence="raise")


def test_trial_points_that_are_too_far_for_float32_are_survived(engine) -> None:
    """Of huge targets the line search's first points overflow; that is no divergence, and warns of nothing."""
    X, y = numbers(20)
    net = regressor(activation="relu", dtype="float32")
    history = net.fit(X, y * 1e16, epochs=30, optimizer="lbfgs")
    assert np.isfinite(history.loss).all()
    assert np.isfinite(net.params).all()


@needs_compiler
def test_engines_agree() -> None:
    X, y = classes()
    curves = []
    for name in ("numba", "numpy"):
        fm.use_engine(name)
        curves.append(classifier().fit(X, y, epochs=15, optimizer="lbfgs").loss)
    fm.use_engine()
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-8)


def test_it_starts_again_where_it_ended(engine) -> None:
    X, y = numbers()
    net = regressor()
    first = net.fit(X, y, epochs=10, optimizer="lbfgs").loss[-1]
    history = net.fit(X, y, epochs=10, optimizer="lbfgs")
    assert len(history) == 20
    assert history.loss[10] < first


@pytest.mark.parametrize("l2", [0.01, 1.0])
def test_l2_is_in_what_is_minimised_and_biases_are_not_penalised(engine, l2):
    from scipy.optimize import minimize

    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 1)) + 2.0
    net = fm.MLP([3, 1], dtype="float64")
    history = net.fit(X, y, epochs=200, optimizer=fm.LBFGS(l2=l2, tol=1e-10))

    def objective(p):
        return np.mean((X @ p[:3] + p[3] - y[:, 0]) ** 2) + 0.5 * l2 * (p[:3] ** 2).sum()

    expected = minimize(objective, np.zeros(4), tol=1e-12).x
    np.testing.assert_allclose(net.params, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(history.loss[-1], net.loss(X, y), rtol=1e-6)


def test_l2_must_not_be_negative():
    with pytest.raises(ValueError, match="l2 must be"):
        fm.LBFGS(l2=-1.0)


def test_with_l2_it_takes_the_steps_that_scipy_takes(engine) -> None:
    X, y = numbers()
    net, other = regressor(), regressor()
    history = net.fit(X, y, epochs=20, optimizer=fm.LBFGS(l2=0.1))
    curve = []

    def value_and_grad(params):
        other.params = params
        value, grad = other.value_and_grad(X, y)
        for weights, slope in zip(other.weights, other.plan.weights(grad), strict=True):
            value += 0.05 * float((weights**2).sum())
            slope += 0.1 * weights
        return value, grad

    result = minimize(value_and_grad, regressor().params, jac=True, method="L-BFGS-B", options={"maxiter": 20, "maxcor": 10},
                      callback=lambda intermediate_result: curve.append(intermediate_result.x.copy()))  # fmt: skip
    np.testing.assert_allclose(net.params, result.x, rtol=1e-6, atol=1e-9)
    other.params = curve[3]
    assert history.loss[3] == pytest.approx(other.loss(X, y), rel=1e-9)  # without the penalty
