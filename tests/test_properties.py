"""What holds for every network: random architectures, batches, weights and options."""

from __future__ import annotations

import warnings

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastmlp as fm
from fastmlp.activations import ACTIVATIONS
from fastmlp.losses import LOSSES, CrossEntropy, Huber, Quantile
from fastmlp.optimizers import OPTIMIZERS
from tests import oracle
from tests.compiler import needs_compiler

HIDDEN = [name for name, activation in ACTIVATIONS.items() if activation.hidden]
QUICK = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
WIDTHS = st.one_of(st.integers(1, 9), st.integers(1, 70))


@st.composite
def losses(draw):
    """A loss with its numbers, and an output that it allows."""
    name = draw(st.sampled_from(list(LOSSES)))
    spec = {
        "huber": st.builds(Huber, st.floats(0.1, 3)),
        "quantile": st.builds(Quantile, st.floats(0.05, 0.95)),
        "cross_entropy": st.builds(CrossEntropy, st.floats(0, 0.5)),
    }.get(name, st.just(name))
    # exp with a loss that is not made for it overflows, as it should.
    free = [output for output in ACTIVATIONS if output != "exp"]
    output = LOSSES[name].output if LOSSES[name].from_logits else draw(st.sampled_from(free))
    return draw(spec), output


@st.composite
def networks(draw, dtype: str):
    """Any network."""
    loss, output = draw(losses())
    hidden = draw(
        st.lists(st.tuples(WIDTHS, st.booleans(), st.sampled_from(HIDDEN), st.sampled_from([0.0, 0.0, 0.3])), max_size=3)
    )
    layers = [fm.Dense(width, bias=bias, activation=activation, dropout=rate) for width, bias, activation, rate in hidden]
    k = draw(st.integers(2 if output == "softmax" else 1, 9))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fm.PairingWarning)
        return fm.MLP(
            [draw(WIDTHS), *layers, fm.Dense(k, bias=draw(st.booleans()))], output=output, loss=loss,
            init=draw(st.sampled_from(["auto", "orthogonal", "glorot_normal", "lecun_uniform"])), dtype=dtype,
            seed=draw(st.integers(0, 2**63)),
        )  # fmt: skip


@st.composite
def problems(draw, dtype: str = "float64"):
    """A network, and data for it."""
    net = draw(networks(dtype))
    n = draw(st.one_of(st.integers(1, 12), st.integers(1, 90)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    k, kind = net.plan.n_outputs, net.loss_spec.kind
    y = {
        "classes": lambda: rng.integers(k, size=n) if draw(st.booleans()) else rng.dirichlet(np.ones(k), size=n),
        "binary": lambda: rng.integers(2, size=(n, k)),
        "counts": lambda: rng.poisson(2.0, size=(n, k)),
        "regression": lambda: rng.normal(size=(n, k)),
    }[kind]()
    weight = rng.uniform(0, 2, n) + 0.01 if draw(st.booleans()) else None
    return net, rng.normal(size=(n, net.plan.n_inputs)), y, weight


@st.composite
def optimizers(draw):
    """Any optimizer that steps, with any options."""
    name = draw(st.sampled_from([name for name in OPTIMIZERS if name != "lbfgs"]))
    small, maybe = st.sampled_from([0.0, 0.0, 1e-3, 1e-2]), st.sampled_from([None, None, 0.1, 1.0])
    schedule = st.sampled_from([fm.schedules.Cosine, fm.schedules.OneCycle, fm.schedules.Exponential, float])
    return OPTIMIZERS[name](lr=draw(schedule)(1e-3), l1=draw(small), l2=draw(small), weight_decay=draw(small),
                            clip_value=draw(maybe), clip_norm=draw(maybe))  # fmt: skip


def on_both(ask):
    """What `ask` returns on each engine."""
    answers = []
    for name in ("numba", "numpy"):
        fm.use_engine(name)
        answers.append(ask())
    fm.use_engine()
    return answers


@needs_compiler
@QUICK
@given(problems())
def test_the_loss_and_the_outputs_are_what_the_formulas_say(problem) -> None:
    net, X, y, weight = problem
    layers, _ = oracle.forward(net, X)
    for outputs in on_both(lambda: net.activations(X)):
        for got, expected in zip(outputs, layers, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-10)
    for value in on_both(lambda: net.loss(X, y, weight)):
        np.testing.assert_allclose(value, oracle.loss(net, X, np.asarray(y), weight), rtol=1e-9, atol=1e-11)


@needs_compiler
@QUICK
@given(problems())
def test_engines_agree_on_every_answer_and_shapes_are_right(problem) -> None:
    net, X, y, weight = problem
    (n, i), k = X.shape, net.plan.n_outputs
    answers = on_both(lambda: [net.predict(X), *net.value_and_grad(X, y, weight), net.input_gradient(X, y, weight),
                               net.jacobian(X), net.loss(X, y, weight)])  # fmt: skip
    shapes = [(n, k), (), (net.n_params,), (n, i), (n, k, i), ()]
    for one, other, shape in zip(*answers, shapes, strict=True):
        assert np.shape(one) == np.shape(other) == shape
        assert np.isfinite(one).all()
        scale = np.abs(other).max(initial=1e-3)
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-9 * scale)


@needs_compiler
@QUICK
@given(problems(), optimizers(), st.integers(0, 6), st.one_of(st.none(), st.integers(1, 100)), st.booleans(), st.booleans())
def test_engines_agree_on_every_training_and_losses_are_finite(problem, optimizer, epochs, batch, shuffle, watched) -> None:
    net, X, y, weight = problem

    def train():
        copied = net.copy()
        copied.fit(X, y, sample_weight=weight, optimizer=optimizer, epochs=epochs, batch_size=batch, shuffle=shuffle,
                   validation=(X, y) if watched else None, on_divergence="raise")  # fmt: skip
        return copied

    one, other = on_both(train)
    assert len(one.history) == epochs
    assert np.isfinite(one.history.loss).all()
    np.testing.assert_allclose(one.history.loss, other.history.loss, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(one.history.val_loss, other.history.val_loss, rtol=1e-6, atol=1e-9)
    assert one.history.lr == other.history.lr
    assert one.params.shape == (net.n_params,)


@QUICK
@given(problems("float32"), optimizers())
def test_a_training_in_float32_begins_as_in_float64(problem, optimizer) -> None:
    net, X, y, weight = problem
    X = X.astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fm.PairingWarning)
        exact = fm.MLP.from_spec({**net.spec(), "dtype": "float64"})
    exact.params = net.params
    one = net.fit(X, y, epochs=1, batch_size=None, sample_weight=weight, optimizer=optimizer)
    other = exact.fit(X, y, epochs=1, batch_size=None, sample_weight=weight, optimizer=optimizer)
    np.testing.assert_allclose(one.loss, other.loss, rtol=1e-4, atol=1e-5)


@QUICK
@given(problems(), optimizers(), st.integers(1, 20), st.integers(0, 3), st.integers(0, 3))
def test_a_training_in_two_parts_is_the_training(problem, optimizer, batch, first, second) -> None:
    if isinstance(optimizer.lr, (fm.schedules.Cosine, fm.schedules.OneCycle)):
        return  # these span one call of fit
    net, X, y, weight = problem
    whole = net.copy()
    options = {"sample_weight": weight, "optimizer": optimizer, "batch_size": batch}
    whole.fit(X, y, epochs=first + second, **options)
    net.fit(X, y, epochs=first, **options)
    net.fit(X, y, epochs=second, **options)
    assert (net.params == whole.params).all()
    assert net.history.loss == whole.history.loss


@QUICK
@given(problems(), st.integers(0, 2**32))
def test_the_order_of_rows_does_not_matter_to_answers(problem, seed) -> None:
    net, X, y, weight = problem
    order = np.random.default_rng(seed).permutation(len(X))
    y = np.asarray(y)
    np.testing.assert_allclose(net.predict(X)[order], net.predict(X[order]), rtol=1e-10, atol=1e-11)
    moved = net.loss(X[order], y[order], None if weight is None else weight[order])
    np.testing.assert_allclose(net.loss(X, y, weight), moved, rtol=1e-10, atol=1e-12)
