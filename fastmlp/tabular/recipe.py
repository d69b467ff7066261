"""The network and the training of RealMLP-TD-S: Holzmüller, Grinsztajn & Steinwart 2024, arXiv 2407.04491."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..layers import Dense
from ..network import MLP
from ..optimizers import Adam
from ..schedules import CosineLog

if TYPE_CHECKING:
    from ..history import History

__all__ = ["LastBest", "Recipe", "Rows"]

# What the learning rate of the scales of inputs and of biases is multiplied by.
SCALE_FACTOR, BIAS_FACTOR = 6.0, 0.1
BETA2 = 0.95


@dataclass(frozen=True)
class Rows:
    """Inputs (n, d), targets as the network takes them, and weights (n,) or None."""

    X: NDArray
    y: NDArray
    weight: NDArray | None

    def take(self, rows: NDArray[np.int64]) -> Rows:
        """Return some of the rows."""
        return Rows(self.X[rows], self.y[rows], None if self.weight is None else self.weight[rows])


class LastBest:
    """A callback that brings back the last epoch that was as good as any, by an error on rows that were held out.

    Parameters
    ----------
    rows : Rows
        Those.
    error : callable
        ``(y, prediction, weight or None) -> float``.
    """

    def __init__(self, rows: Rows, error: Callable[[NDArray, NDArray, NDArray | None], float]) -> None:
        self.rows, self.error = rows, error
        self.errors: list[float] = []
        self.best, self.epoch = math.inf, 0
        self.params: NDArray | None = None

    def on_epoch_end(self, net: MLP, epoch: int, logs: dict[str, float]) -> None:
        """Judge the network, and keep its parameters if it is as good as ever."""
        error = self.error(self.rows.y, net.predict(self.rows.X), self.rows.weight)
        self.errors.append(error)
        if error <= self.best:
            self.best, self.epoch = error, epoch
            if self.params is None:
                self.params = np.empty_like(net.params)
            self.params[...] = net.params

    def on_train_end(self, net: MLP, history: History) -> None:
        """Bring the best parameters back."""
        if self.params is not None:
            net.params = self.params
            history.best_epoch = self.epoch


@dataclass(frozen=True)
class Recipe:
    """What to train, and how: the fields are those of the estimators."""

    activation: str
    output: str
    loss: Any
    lr: float
    error: Callable[[NDArray, NDArray, NDArray | None], float]
    hidden: tuple[int, ...]
    epochs: int
    batch_size: int
    progress: bool

    def network(self, n_inputs: int, n_outputs: int, seed: int) -> MLP:
        """Return a network of standard normal weights / sqrt(fan_in) and biases; the last layer starts at zero."""
        layers = [Dense(width, self.activation, init="lecun_normal") for width in self.hidden]
        net = MLP([n_inputs, *layers, Dense(n_outputs, init="zeros")], output=self.output, loss=self.loss, seed=seed)
        rng = np.random.default_rng(seed)
        for bias in net.biases[:-1]:
            assert bias is not None
            bias[...] = rng.standard_normal(bias.shape)
        return net

    def train(self, train: Rows, held_out: Rows | None, n_outputs: int, seed: int) -> tuple[MLP, LastBest | None]:
        """Return a network trained on some rows, at its best on others, and how it did there."""
        net = self.network(train.X.shape[1], n_outputs, seed)
        judge = None if held_out is None else LastBest(held_out, self.error)
        optimizer = Adam(CosineLog(self.lr), beta2=BETA2, ntk=True, scale_factor=SCALE_FACTOR, bias_factor=BIAS_FACTOR)
        net.fit(
            train.X, train.y, sample_weight=train.weight, epochs=self.epochs, batch_size=self.batch_size, drop_last=True,
            optimizer=optimizer, callbacks=[] if judge is None else [judge], progress=self.progress,
        )  # fmt: skip
        return net, judge


def error_rate(y: NDArray, prediction: NDArray, weight: NDArray | None) -> float:
    """Return the share of rows whose class is wrong; y holds class indices."""
    return float(np.average(prediction.argmax(axis=1) != y, weights=weight))


def log_loss(y: NDArray, prediction: NDArray, weight: NDArray | None) -> float:
    """Return the mean of -log of the probability of the class; y holds class indices."""
    right = prediction[np.arange(len(y)), y].astype(np.float64)
    return float(np.average(-np.log(np.maximum(right, np.finfo(np.float32).tiny)), weights=weight))


def squared_error(y: NDArray, prediction: NDArray, weight: NDArray | None) -> float:
    """Return the mean squared error over rows and outputs."""
    return float(np.average(((prediction - y.reshape(prediction.shape)) ** 2).mean(axis=1), weights=weight))
