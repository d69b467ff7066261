"""The workloads: one table, and the data and initial parameters that everybody gets.

Minibatches are consecutive rows of the data set in every library, ours included: nobody shuffles while it is timed, so
that everybody does the same steps and must come to the same parameters.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

ADAM = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
OUTPUTS = {"cross_entropy": "softmax", "bce": "sigmoid", "mse": "identity"}


def products(widths: Sequence[int], rows: int, back: bool = True) -> int:
    """Return the operations of the matrix products of rows that go forward and, if `back`, back to all weights' gradients."""
    sizes = [i * o for i, o in itertools.pairwise(widths)]
    return 2 * rows * (3 * sum(sizes) - sizes[0] if back else sum(sizes))


@dataclass(frozen=True)
class Workload:
    """A job that every library can do.

    Attributes
    ----------
    name : str
    widths : tuple of int
        Inputs, hidden layers, outputs.
    batch, rows, epochs : int
        What is timed is `epochs` times through `rows` rows in minibatches of `batch`; one call for other tasks.
    data : {"xor", "moons", "digits", "random"}
    loss : {"cross_entropy", "bce", "mse"}
        The output's activation is the one that belongs to it.
    task : {"train", "gradient", "predict"}
        Training from given parameters; one value_and_grad call; one prediction. Each is called from Python.
    activation : {"relu", "tanh"}
        Of the hidden layers.
    optimizer : {"sgd", "adam"}
    lr : float
    dtype : {"float32", "float64"}
    check_batches : int
        Minibatches of the training by which results are compared before anything is timed.
    check_epochs : int
        Epochs of it.
    dropout : float
        For comparisons among our own workloads only.
    goal : float
        How many times faster than the best peer it is meant to be.
    """

    name: str
    widths: tuple[int, ...]
    batch: int
    rows: int
    epochs: int
    data: str
    loss: str
    task: str = "train"
    activation: str = "relu"
    optimizer: str = "adam"
    lr: float = 1e-3
    dtype: str = "float32"
    check_batches: int = 8
    check_epochs: int = 2
    dropout: float = 0.0
    goal: float = 1.0

    @property
    def output(self) -> str:
        """Activation of the outputs."""
        return OUTPUTS[self.loss]

    @property
    def batches(self) -> int:
        """Minibatches in an epoch."""
        return self.rows // self.batch

    @property
    def steps(self) -> int:
        """Steps in one run: what a run's time is divided by."""
        return self.epochs * self.batches if self.task == "train" else 1

    @property
    def flops(self) -> int:
        """Floating-point operations of the matrix products in one step; nobody needs the inputs' gradient."""
        return products(self.widths, self.batch, self.task != "predict")

    @property
    def title(self) -> str:
        """The workload in a few words."""
        what = {
            "train": f"{self.loss.replace('_', '-')} {'SGD' if self.optimizer == 'sgd' else 'Adam'}, batch {self.batch:,}",
            "gradient": f"{self.loss}, loss and gradient of {self.batch:,} rows",
            "predict": f"predict {self.batch:,} row{'s' if self.batch > 1 else ''}",
        }[self.task]
        function = {"relu": "ReLU"}.get(self.activation, self.activation)
        precision = "" if self.dtype == "float32" else f", {self.dtype}"
        return f"{'-'.join(map(str, self.widths))} {function}, {what}{precision}"

    def short(self) -> Workload:
        """Return the training by which results are compared: a few steps, before rounding differences have grown."""
        if self.task != "train":
            return self
        batches = min(self.batches, self.check_batches)
        return replace(self, rows=batches * self.batch, epochs=self.check_epochs)


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("T1", (2, 8, 1), 4, 4, 3000, "xor", "bce", optimizer="sgd", lr=0.1, check_epochs=100, goal=10),
        Workload("T2", (2, 16, 16, 1), 32, 1024, 50, "moons", "bce", activation="tanh", goal=8),
        Workload("T3", (4, 32, 16, 4), 10_000, 10_000, 100, "random", "mse", activation="tanh", check_epochs=8, goal=5),
        Workload("T4", (24, 8, 2), 200, 200, 1, "random", "mse", "gradient", activation="tanh", dtype="float64", goal=5),
        Workload("S1", (64, 64, 64, 10), 64, 1792, 20, "digits", "cross_entropy", goal=3),
        Workload("M1", (784, 256, 256, 10), 128, 7680, 2, "random", "cross_entropy", check_batches=4, goal=1.8),
        Workload(
            "B1", (1024, 1024, 1024, 10), 256, 2048, 1, "random", "cross_entropy", optimizer="sgd", lr=0.01,
            check_batches=2, goal=1.25,
        ),
        Workload("I1", (64, 64, 64, 10), 1, 1, 1, "digits", "cross_entropy", "predict", goal=4),
        Workload("I2", (784, 256, 256, 10), 10_000, 10_000, 1, "random", "cross_entropy", "predict", goal=1.25),
        Workload("I3", (2, 8, 1), 10_000, 10_000, 1, "moons", "bce", "predict", goal=4),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Data:
    """Inputs (rows, in) and targets: class indices (rows,) int64, 0 or 1 (rows,), or numbers (rows, out)."""

    x: NDArray
    y: NDArray


def make_data(workload: Workload) -> Data:
    """Return the workload's data set, the same at each call."""
    rng = np.random.default_rng(1)
    x, y = _SOURCES[workload.data](rng, workload)
    x = np.ascontiguousarray(x, workload.dtype)
    return Data(x, y.astype(np.int64) if workload.loss == "cross_entropy" else np.ascontiguousarray(y, workload.dtype))


def make_params(workload: Workload) -> NDArray:
    """Return initial parameters in one vector: for each layer its weights (in, out) row by row, then its bias."""
    rng = np.random.default_rng(2)
    gain = 2.0 if workload.activation == "relu" else 1.0
    parts = []
    for fan_in, width in zip(workload.widths[:-1], workload.widths[1:], strict=True):
        parts += [rng.normal(0.0, np.sqrt(gain / fan_in), fan_in * width), rng.normal(0.0, 0.01, width)]
    return np.concatenate(parts).astype(workload.dtype)


def layers(workload: Workload, flat: NDArray) -> list[tuple[NDArray, NDArray]]:
    """Return views of each layer's weights (in, out) and bias (out,) in a flat vector."""
    views, at = [], 0
    for fan_in, width in zip(workload.widths[:-1], workload.widths[1:], strict=True):
        middle, end = at + fan_in * width, at + (fan_in + 1) * width
        views.append((flat[at:middle].reshape(fan_in, width), flat[middle:end]))
        at = end
    return views


def _xor(rng: np.random.Generator, workload: Workload) -> tuple[NDArray, NDArray]:
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float)
    return x, x[:, 0] != x[:, 1]


def _moons(rng: np.random.Generator, workload: Workload) -> tuple[NDArray, NDArray]:
    angle, upper = rng.uniform(0.0, np.pi, workload.rows), rng.integers(0, 2, workload.rows)
    x = np.column_stack([np.cos(angle), np.sin(angle)])
    x[upper == 0] = [1.0, 0.5] - x[upper == 0]
    return x + rng.normal(0.0, 0.1, x.shape), upper


def _digits(rng: np.random.Generator, workload: Workload) -> tuple[NDArray, NDArray]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return x[: workload.rows] / 16.0, y[: workload.rows]


def _random(rng: np.random.Generator, workload: Workload) -> tuple[NDArray, NDArray]:
    """Return normal inputs, and what a random linear map makes of them: its largest component, or its tanh."""
    x = rng.normal(size=(workload.rows, workload.widths[0]))
    z = x @ rng.normal(size=(workload.widths[0], workload.widths[-1]))
    return x, z.argmax(axis=1) if workload.loss == "cross_entropy" else np.tanh(z)


_SOURCES = {"xor": _xor, "moons": _moons, "digits": _digits, "random": _random}
