"""Mistakes that people make, and what they are told."""

from __future__ import annotations

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import datasets, metrics, weighting
from fastmlp.cli import main


def swept(**options):
    return fm.sweep(np.eye(9, 2), np.arange(9.0), widths=2, depths=1, epochs=1, **{"progress": False} | options)


MISTAKES = {
    "a schedule by name": (lambda: fm.Adam(lr="cosine"), TypeError, r"a schedule such as fm\.schedules\.Cosine"),
    "an initializer as text": (lambda: fm.MLP([2, 1], init="uniform(-1, 1)"), ValueError, r"Pass fm\.initializers\.Uniform"),
    "a layer without end": (lambda: fm.MLP([2, 2**62, 1]), ValueError, r"layer 0 has width=4611686018427387904 and 2 inputs"),
    "two layers without end": (lambda: fm.MLP([2, 2**30, 2**30]), ValueError, "layer 1 has width=1073741824"),
    "a layer beyond memory": (
        lambda: fm.MLP([4, 2**40, 2]), ValueError,
        r"layer 0 has width=1099511627776 and 4 inputs: its 5,497,558,138,880 parameters take 21,990\.2 GB",
    ),
    "accuracy of labels that are numbers": (
        lambda: metrics.METRICS["accuracy"](np.array([0.0, 1.3]), np.eye(2)), ValueError,
        r"accuracy needs class indices, which are whole numbers; y has 1\.3 in row 1",
    ),
    "accuracy of numbers": (
        lambda: metrics.METRICS["accuracy"](np.array([[0.5], [3.0]]), np.zeros((2, 1)), np.empty(0)),
        ValueError, r"targets must be in \[0, 1\]; y goes from 0\.5 to 3",
    ),
    "weights beyond all sums": (
        lambda: weighting.sample_weight(np.full(3, 1e38), 3, np.dtype("float32")), ValueError,
        r"the largest sample_weight is 1e\+38, but must be from 1e-12 to 1e\+12 in float32",
    ),
    "weights that vanish": (
        lambda: weighting.sample_weight(np.full(3, 1e-44), 3, np.dtype("float32")), ValueError,
        r"the largest sample_weight is 1e-44, but .* Pass sample_weight / sample_weight\.max\(\)",
    ),
    "a store that is no path": (
        lambda: swept(store=3), TypeError,
        r"store must be a path, as text or a pathlib\.Path; got 3\. Pass store='digits-sweep', for example\.",
    ),
    "a store that is a list": (lambda: swept(store=["a"]), TypeError, r"store must be a path, .* got \['a'\]\."),
    "a store that is True": (lambda: swept(store=True), TypeError, r"store must be a path, .* got True\."),
    "a store without a name": (lambda: swept(store=""), ValueError, r"store must be a path, .* got ''\."),
    "a network saved as a number": (
        lambda: fm.MLP([2, 1]).save(3), TypeError, r"path must be a path, .* Pass path='model\.safetensors', for example",
    ),
    "a population saved as None": (lambda: fm.Population([2, 1], size=2).save(None), TypeError, "path must be a path, .* None"),
    "a network saved without a name": (lambda: fm.MLP([2, 1]).save(""), ValueError, r"path must be a path, .* got ''\."),
    "a network loaded from None": (lambda: fm.load(None), TypeError, "path must be a path, .* got None"),
    "a table that is a number": (lambda: datasets.read_table(3, "y"), TypeError, "path must be a path, .* path='houses.csv'"),
    "a picture that is a number": (lambda: swept().plot(3), TypeError, "path must be a path, .* path='picture.png'"),
    "rows into a number": (lambda: swept().to_csv(1), TypeError, "path must be a path, .* Pass path='rows.csv'"),
    "columns into a number": (lambda: swept().to_parquet(1), TypeError, "path must be a path, .* Pass path='rows.parquet'"),
    "one setting to halve": (
        lambda: swept(halving=2), ValueError, r"halving=2 has nothing to do with 1 setting and 1 epoch of which the first",
    ),
    "one fold": (lambda: swept(cv=[([0, 1], [2])]), ValueError, r"cv has 1 fold\. Pass two or more"),
    "a fold without held rows": (lambda: swept(cv=[([0], [])]), ValueError, "a fold with 1 row to train on and 0 held back"),
    "a sweep's progress as a number": (lambda: swept(progress=3), TypeError, "progress must be True or False; got 3"),
    "lines of a table as text": (lambda: swept().table("3"), TypeError, r"limit must be an integer >= 0; got '3'"),
    "lines of a table from the end": (lambda: swept().table(-1), ValueError, r"limit must be an integer >= 0; got -1"),
    "columns beyond all sums": (
        lambda: datasets.standardize([[1.0, 1e300], [2.0, -1e300]]), ValueError, "column 1 has numbers up to 1e",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_explained(name) -> None:
    action, error, message = MISTAKES[name]
    with pytest.raises(error, match=message):
        action()


def test_a_mistyped_command_is_answered_with_the_nearest(capsys) -> None:
    assert main(["trian", "digits"]) == 2
    assert "did you mean train?" in capsys.readouterr().err


@pytest.mark.parametrize("loss", ["mse", "mae"])
@pytest.mark.parametrize(("dtype", "weight"), [("float32", 1e12), ("float32", 1e-12), ("float64", 1e100), ("float64", 1e-100)])
def test_the_largest_and_the_smallest_weights_change_no_mean(engine, loss, dtype, weight) -> None:
    X = np.random.default_rng(0).normal(size=(5, 3))
    net = fm.MLP([3, 2], loss=loss, dtype=dtype)
    for y in (np.full((5, 2), 1e6), net.predict(X) + 1e-4):
        expected, gradient = net.value_and_grad(X, y)
        value, other = net.value_and_grad(X, y, sample_weight=np.full(5, weight))
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        np.testing.assert_allclose(other, gradient, rtol=1e-5, atol=1e-5 * np.abs(gradient).max())


def test_a_weight_that_is_nothing_beside_others_is_zero_even_in_a_minibatch_of_its_own(engine) -> None:
    X, y = np.random.default_rng(0).normal(size=(4, 3)), np.ones((4, 2))
    net, other = fm.MLP([3, 2]), fm.MLP([3, 2])
    weight = np.array([1.0, 1e-44, 2.0, 1e-60])
    net.fit(X, y, batch_size=1, epochs=2, optimizer="sgd", sample_weight=weight)
    other.fit(X, y, batch_size=1, epochs=2, optimizer="sgd", sample_weight=weight.round())
    assert net.params.tobytes() == other.params.tobytes()
    assert weight[1] == 1e-44
