"""scikit-learn's MLP from the same initial weights, its rows in the same order, arrives at the same weights."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

import fastmlp as fm
from tests.estimators import SINCE_1_7
from tests.problems import classes, numbers

pytestmark = pytest.mark.usefixtures("engine")

ACTIVATIONS = {"relu": "relu", "tanh": "tanh", "sigmoid": "logistic", "identity": "identity"}


def from_weights(estimator: type, net: fm.MLP, **options):
    """An estimator of scikit-learn that begins with a network's weights."""
    queue = [(w.copy(), b.copy()) for w, b in zip(net.weights, net.biases, strict=True) if b is not None]

    class Begun(estimator):
        def _init_coef(self, fan_in, fan_out, dtype):
            weights, bias = queue.pop(0)
            assert weights.shape == (fan_in, fan_out)
            return weights, bias

    fixed = {"shuffle": False, "alpha": 0.0, "tol": 0.0, "n_iter_no_change": 10**9}
    activation = ACTIVATIONS[str(net.layers[0].activation)]
    hidden = [dense.width for dense in net.layers[:-1]]
    return Begun(**{"hidden_layer_sizes": hidden, "activation": activation, **fixed, **options})


def make(output: str, activation: str = "tanh", dtype: str = "float64"):
    """A network, its data, and scikit-learn's estimator for them."""
    estimator = MLPRegressor if output == "identity" else MLPClassifier
    k = {"softmax": 3, "sigmoid": 1, "identity": 1}[output]
    loss = "half_mse" if output == "identity" else "auto"
    net = fm.MLP([4, 13, 7, k], activation=activation, output=output, loss=loss, dtype=dtype, seed=3)
    rng = np.random.default_rng(1)
    for bias in net.biases:
        bias[:] = rng.normal(size=bias.shape) / 10
    X, y = numbers(53) if output == "identity" else classes(53)
    return net, X, (y == 1).astype(int) if output == "sigmoid" else y, estimator


def assert_same(net: fm.MLP, estimator, rtol: float = 1e-9) -> None:
    for ours, theirs in ((net.weights, estimator.coefs_), (net.biases, estimator.intercepts_)):
        for mine, its in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine, its, rtol=rtol, atol=rtol)


def train(net, X, y, estimator, *, optimizer, epochs, batch, sample_weight=None):
    history = net.fit(X, y, epochs=epochs, batch_size=batch, shuffle=False, optimizer=optimizer, sample_weight=sample_weight)
    estimator.set_params(max_iter=epochs, batch_size=batch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(X, y, **({} if sample_weight is None else {"sample_weight": sample_weight}))
    return history, estimator


OPTIMIZERS = {
    "sgd": (fm.SGD(0.05), {"solver": "sgd", "learning_rate_init": 0.05, "momentum": 0.0}),
    "momentum": (fm.SGD(0.02, momentum=0.9), {"solver": "sgd", "learning_rate_init": 0.02, "momentum": 0.9,
                                              "nesterovs_momentum": False}),
    "nesterov": (fm.SGD(0.02, momentum=0.8, nesterov=True), {"solver": "sgd", "learning_rate_init": 0.02, "momentum": 0.8}),
    "adam": (fm.Adam(0.01, eps_hat=True), {"solver": "adam", "learning_rate_init": 0.01}),
    "adam with other betas": (fm.Adam(0.01, beta1=0.7, beta2=0.95, eps=1e-3, eps_hat=True),
                              {"solver": "adam", "learning_rate_init": 0.01, "beta_1": 0.7, "beta_2": 0.95, "epsilon": 1e-3}),
}  # fmt: skip


@pytest.mark.parametrize("output", ["softmax", "sigmoid", "identity"])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("batch", [10, 53])
def test_the_same_weights_after_several_epochs(output, name, batch) -> None:
    """Batches of 10 leave a short one of 3."""
    optimizer, options = OPTIMIZERS[name]
    net, X, y, estimator = make(output)
    history, theirs = train(net, X, y, from_weights(estimator, net, **options), optimizer=optimizer, epochs=8, batch=batch)
    assert_same(net, theirs)
    np.testing.assert_allclose(history.loss, theirs.loss_curve_, rtol=1e-9)
    if output == "softmax":
        np.testing.assert_allclose(net.predict(X), theirs.predict_proba(X), rtol=1e-8)
    elif output == "identity":
        np.testing.assert_allclose(net.predict(X)[:, 0], theirs.predict(X), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_same_weights_with_each_activation_that_it_knows(activation) -> None:
    optimizer, options = OPTIMIZERS["adam"]
    net, X, y, estimator = make("softmax", activation)
    _, theirs = train(net, X, y, from_weights(estimator, net, **options), optimizer=optimizer, epochs=6, batch=16)
    assert_same(net, theirs)


@SINCE_1_7
def test_the_same_weights_with_sample_weights() -> None:
    optimizer, options = OPTIMIZERS["nesterov"]
    net, X, y, estimator = make("softmax")
    weight = np.random.default_rng(0).uniform(0.2, 3, len(X))
    _, theirs = train(net, X, y, from_weights(estimator, net, **options), optimizer=optimizer, epochs=6, batch=16,
                      sample_weight=weight)  # fmt: skip
    assert_same(net, theirs)


@pytest.mark.parametrize("name", ["nesterov", "adam"])
def test_its_alpha_is_l2_times_the_rows_of_a_batch(name) -> None:
    """scikit-learn divides the penalty by the rows of each batch."""
    optimizer, options = OPTIMIZERS[name]
    from dataclasses import replace

    net, X, y, estimator = make("softmax")
    X, y = X[:50], y[:50]
    begun = from_weights(estimator, net, **{**options, "alpha": 0.5})
    _, theirs = train(net, X, y, begun, optimizer=replace(optimizer, l2=0.5 / 10), epochs=6, batch=10)
    assert_same(net, theirs)


def test_the_same_weights_with_several_outputs() -> None:
    """Its gradient is that of the sum over outputs, as half_mse is; its loss_curve_ shows the mean over outputs."""
    optimizer, options = OPTIMIZERS["momentum"]
    X, _ = numbers(40)
    y = np.c_[np.sin(X[:, 0]), X[:, 1], X[:, 2] ** 2]
    net = fm.MLP([4, 9, 3], activation="tanh", loss="half_mse", dtype="float64")
    begun = from_weights(MLPRegressor, net, **options)
    history, theirs = train(net, X, y, begun, optimizer=optimizer, epochs=8, batch=7)
    assert_same(net, theirs)
    np.testing.assert_allclose(np.array(history.loss) / 3, theirs.loss_curve_, rtol=1e-9)


@SINCE_1_7
def test_the_same_weights_for_counts() -> None:
    net = fm.MLP([4, 9, 1], activation="tanh", output="exp", dtype="float64")
    X, _ = numbers(40)
    y = np.random.default_rng(0).poisson(2.0, 40)
    optimizer, options = OPTIMIZERS["adam"]
    begun = from_weights(MLPRegressor, net, **options, loss="poisson")
    _, theirs = train(net, X, y, begun, optimizer=optimizer, epochs=8, batch=7)
    assert_same(net, theirs)


def test_the_same_rates_with_inverse_scaling() -> None:
    """Its schedule counts rows where ours counts steps: with one batch of n rows an epoch, at epoch e it is at row n e."""

    class ByRows(fm.schedules.Schedule):
        def rates(self, steps, span):
            return self.lr / (np.asarray(steps, float) * 53 + 1) ** 0.5

    net, X, y, estimator = make("softmax")
    begun = from_weights(estimator, net, solver="sgd", learning_rate="invscaling", learning_rate_init=0.5, momentum=0.0)
    _, theirs = train(net, X, y, begun, optimizer=fm.SGD(ByRows(0.5)), epochs=6, batch=53)
    assert_same(net, theirs)


def test_the_same_weights_by_lbfgs() -> None:
    net, X, y, estimator = make("softmax")
    begun = from_weights(estimator, net, solver="lbfgs")
    begun.set_params(tol=1e-5, max_fun=15_000)
    history, theirs = train(net, X, y, begun, optimizer=fm.LBFGS(tol=1e-5), epochs=12, batch=53)
    assert len(history) == theirs.n_iter_ == 12
    assert_same(net, theirs, rtol=1e-6)


def test_float32_stays_close() -> None:
    optimizer, options = OPTIMIZERS["adam"]
    net, X, y, estimator = make("softmax", dtype="float32")
    _, theirs = train(net, X, y, from_weights(estimator, net, **options), optimizer=optimizer, epochs=6, batch=16)
    assert_same(net, theirs, rtol=2e-4)
