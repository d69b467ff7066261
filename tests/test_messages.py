"""Mistakes that people make, and what they are told."""

from __future__ import annotations

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import checks, datasets, metrics
from fastmlp.cli import main

MISTAKES = {
    "a schedule by name": (lambda: fm.Adam(lr="cosine"), TypeError, r"a schedule such as fm\.schedules\.Cosine"),
    "an initializer as text": (lambda: fm.MLP([2, 1], init="uniform(-1, 1)"), ValueError, r"Pass fm\.initializers\.Uniform"),
    "a layer without end": (lambda: fm.MLP([2, 2**62, 1]), ValueError, r"layer 0 has width=4611686018427387904 and 2 inputs"),
    "two layers without end": (lambda: fm.MLP([2, 2**30, 2**30]), ValueError, "layer 1 has width=1073741824"),
    "accuracy of numbers": (
        lambda: metrics.METRICS["accuracy"](np.array([[0.5], [3.0]]), np.zeros((2, 1)), np.empty(0)),
        ValueError, r"targets must be in \[0, 1\]; y goes from 0\.5 to 3",
    ),
    "weights beyond all sums": (
        lambda: checks.sample_weight(np.full(3, 1e38), 3, np.dtype("float32")), ValueError, "must be from 1e-30 to 1e30",
    ),
    "weights that vanish": (
        lambda: checks.sample_weight(np.full(3, 1e-44), 3, np.dtype("float32")), ValueError, "must be from 1e-30 to 1e30",
    ),
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
