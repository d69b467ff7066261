"""The networks and trainings of RealMLP-TD-S and RealMLP-TD: Holzmüller, Grinsztajn & Steinwart 2024, arXiv 2407.04491."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import engine
from ..embedding import Embedding
from ..layers import Dense
from ..network import MLP
from ..optimizers import Adam
from ..schedules import CosineLog, FlatCosine, Schedule
from ..state import Arena
from ..training import MOST_COPIED, Options, Run, prepare

if TYPE_CHECKING:
    from ..arguments import TrainingData
    from ..history import History
    from .preprocessing import TabularEncoder

__all__ = ["RECIPES", "FullRecipe", "JudgedRun", "LastBest", "Recipe", "Rows"]

# What the learning rate of the scales of inputs and of biases is multiplied by.
SCALE_FACTOR, BIAS_FACTOR = 6.0, 0.1
BETA2 = 0.95
# RealMLP-TD's, both of which fall along half a cosine in the second half of the training; and its alphas' learning rate. The
# square of the scales' factor multiplies their decay, as in pytabkit. Waves and alphas, which decay there by a 3,600th of that,
# do not.
DROPOUT, WEIGHT_DECAY, ALPHA_FACTOR = 0.15, 0.02, 0.1
# With more categories than this, a column's are rows of a table.
MOST_ONE_HOT = 8
# Rows that its initial parameters are drawn from, at most, and rows for each bias.
MOST_SEEN, ROWS_OF_BIAS = 1 << 16, 5


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
    """The last epoch that was as good as any, by an error on rows that were held out.

    Parameters
    ----------
    rows : Rows
        The rows that were held out.
    error : callable
        ``(y, prediction, weight or None) -> float``.
    """

    def __init__(self, rows: Rows, error: Callable[[NDArray, NDArray, NDArray | None], float]) -> None:
        self.rows, self.error = rows, error
        self.errors: list[float] = []
        self.best, self.epoch = math.inf, 0
        self.params: NDArray | None = None
        self._best: NDArray | None = None

    def judge(self, prediction: NDArray, params: NDArray, trained: bool = True) -> None:
        """Judge the next epoch, unless nothing is `trained` yet; its parameters are not copied before `keep`."""
        error = self.error(self.rows.y, prediction, self.rows.weight)
        if error <= self.best and trained:
            self.best, self.epoch = error, len(self.errors)
            self._best = params
        self.errors.append(error)

    def keep(self) -> None:
        """Copy the best parameters, since the arrays that hold them may change from now on."""
        if self._best is not None:
            self.params, self._best = self._best.copy(), None


class JudgedRun(Run):
    """A training in which every epoch is judged by a prediction for rows that were held out."""

    judged = True

    def __init__(self, net: MLP, data: TrainingData, options: Options, judge: LastBest) -> None:
        super().__init__(net, data, options)
        self.judge = judge
        self.x = net.plan.inputs(judge.rows.X, net.dtype)
        outputs = len(self.x), net.plan.n_outputs
        self.copies = self.copies[: max(1, MOST_COPIED // math.prod(outputs))]
        self.first, self.predictions = 0, np.empty((len(self.copies), *outputs), net.dtype)
        self.arena = Arena(net.plan, net.dtype, for_each=True)

    def go(self) -> History:
        """Train, and bring the best epoch back."""
        history = super().go()
        if self.judge.params is not None:
            self.net.params = self.judge.params
            history.best_epoch = self.judge.epoch
        return history

    def record(self, losses: list[float], rates: list[float]) -> str | None:
        """Note whole epochs that are over; see :meth:`Fit.record`."""
        self.first = len(self.history)
        self._predict(len(losses))
        ended = super().record(losses, rates)
        self.judge.keep()
        return ended

    def _predict(self, epochs: int) -> None:
        """Predict as after each of the epochs just over: one by one on each core, where there are several."""
        table, params = self.net.plan.table, self.net.params
        desk = self.arena.take(len(self.x))
        if epochs == 1:
            desk.predict(params, self.x, self.predictions[0])
        else:
            predict_each = engine.part("population").predict_each
            predict_each(table, self.copies[:epochs], self.x, self.predictions[:epochs], desk.scratch)
        self.arena.give(desk)

    def _ended(self, epoch: int) -> str | None:
        # The rate of the very first step is 0, and some epochs are a single step.
        trained = max(self.history.lr[: epoch + 1]) > 0.0
        self.judge.judge(self.predictions[epoch - self.first], self.net.params, trained)
        return super()._ended(epoch)


@dataclass(frozen=True)
class Recipe:
    """What to train, and how: RealMLP-TD-S. The fields are those of the estimators.

    Attributes
    ----------
    max_one_hot : int or None
        What :class:`fastmlp.tabular.TabularEncoder` takes.
    """

    max_one_hot: ClassVar[int | None] = None
    dropout_schedule: ClassVar[Schedule | None] = None

    activation: str
    output: str
    loss: Any
    lr: float
    error: Callable[[NDArray, NDArray, NDArray | None], float]
    hidden: tuple[int, ...]
    epochs: int
    batch_size: int
    progress: bool

    def network(self, X: NDArray, encoder: TabularEncoder, n_outputs: int, seed: int) -> MLP:
        """Return a network of standard normal weights / sqrt(fan_in) and biases; the last layer starts at zero."""
        n_inputs = X.shape[1]
        layers = [Dense(width, self.activation, init="lecun_normal") for width in self.hidden]
        net = MLP([n_inputs, *layers, Dense(n_outputs, init="zeros")], output=self.output, loss=self.loss, seed=seed)
        rng = np.random.default_rng(seed)
        for bias in net.biases[:-1]:
            assert bias is not None
            bias[...] = rng.standard_normal(bias.shape)
        return net

    def optimizer(self) -> Adam:
        """Return what trains it."""
        return Adam(CosineLog(self.lr), beta2=BETA2, ntk=True, scale_factor=SCALE_FACTOR, bias_factor=BIAS_FACTOR)

    def judge(self, train: Rows, held_out: Rows) -> LastBest:
        """Return what judges each epoch."""
        return LastBest(held_out, self.error)

    def train(
        self, train: Rows, held_out: Rows | None, encoder: TabularEncoder, n_outputs: int, seed: int
    ) -> tuple[MLP, LastBest | None]:
        """Return a network trained on some rows, at its best on others, and how it did there."""
        net = self.network(train.X, encoder, n_outputs, seed)
        judge = None if held_out is None else self.judge(train, held_out)
        options = Options(
            epochs=self.epochs, batch_size=self.batch_size, optimizer=self.optimizer(), shuffle=True, drop_last=True,
            metrics=None, early_stopping=None, callbacks=None, progress=self.progress, on_divergence="warn",
            dropout_schedule=self.dropout_schedule,
        )  # fmt: skip
        data = prepare(net, train.X, train.y, train.weight, None, None)
        (Run(net, data, options) if judge is None else JudgedRun(net, data, options, judge)).go()
        return net, judge


@dataclass(frozen=True)
class FullRecipe(Recipe):
    """RealMLP-TD: with embeddings, parametric activations, dropout and weight decay, and initial parameters from the data."""

    max_one_hot: ClassVar[int | None] = MOST_ONE_HOT
    dropout_schedule: ClassVar[Schedule | None] = FlatCosine(1.0)

    def network(self, X: NDArray, encoder: TabularEncoder, n_outputs: int, seed: int) -> MLP:
        """Return a network whose units all begin with a standard deviation of 1 over the rows, and a zero among them."""
        numbers, codes = encoder.n_numbers_, encoder.n_codes_
        before = [Embedding(numbers, X.shape[1] - numbers - codes, codes, encoder.n_entries_)] if numbers + codes else []
        hidden = [Dense(width, self.activation, dropout=DROPOUT, parametric=True, init="zeros") for width in self.hidden]
        layers = [X.shape[1], *before, *hidden, Dense(n_outputs, init="zeros")]
        net = MLP(layers, output=self.output, loss=self.loss, seed=seed)
        rng = np.random.default_rng(seed)
        seen = X if len(X) <= MOST_SEEN else X[rng.choice(len(X), MOST_SEEN, replace=False)]
        for layer in range(len(before), len(net.layers)):
            inputs = net.activations(seen)[layer - 1] if layer else seen
            drawn = rng.standard_normal(net.weights[layer].shape)
            outputs = inputs @ drawn
            spread = outputs.std(axis=0)
            spread[spread <= 1e-5 * np.abs(outputs).max(axis=0)] = 1.0  # all rows are alike, but for rounding
            drawn /= spread
            outputs /= spread
            net.weights[layer] = drawn
            net.biases[layer] = -_means_of_some(outputs, rng)
        return net

    def optimizer(self) -> Adam:
        """Return what trains it."""
        decay = FlatCosine(WEIGHT_DECAY)
        return replace(super().optimizer(), alpha_factor=ALPHA_FACTOR, weight_decay=decay, scale_decay=SCALE_FACTOR**2)

    def judge(self, train: Rows, held_out: Rows) -> LastBest:
        """Return what judges each epoch: of numbers, by predictions within the range of the targets, as in the end."""
        if self.output != "identity":
            return super().judge(train, held_out)
        low, high = train.y.min(axis=0), train.y.max(axis=0)
        return LastBest(held_out, lambda y, prediction, weight: self.error(y, np.clip(prediction, low, high), weight))


def _means_of_some(values: NDArray, rng: np.random.Generator) -> NDArray:
    """Return for each column of (n, k) the mean of some of its numbers, drawn and weighted at random: (k,)."""
    rows = rng.integers(len(values), size=(ROWS_OF_BIAS, values.shape[1]))
    weights = rng.exponential(size=rows.shape)
    return (np.take_along_axis(values, rows, axis=0) * weights).sum(axis=0) / weights.sum(axis=0)


def error_rate(y: NDArray, prediction: NDArray, weight: NDArray | None) -> float:
    """Return the share of rows whose class is wrong; y holds class indices."""
    wrong = prediction.argmax(axis=1) != y
    return float(wrong.mean() if weight is None else np.average(wrong, weights=weight))


def log_of(probability: NDArray) -> NDArray:
    """Return the logarithm of probabilities; of 0, as the softmax of float32 rounds what is small, that of its least number."""
    return np.log(np.maximum(probability, np.finfo(np.float32).tiny))


def log_loss(y: NDArray, prediction: NDArray, weight: NDArray | None) -> float:
    """Return the mean of -log of the probability of the class; y holds class indices."""
    right = prediction[np.arange(len(y)), y].astype(np.float64)
    return float(np.average(-log_of(right), weights=weight))


def squared_error(y: NDArray, prediction: NDArray, weight: NDArray | None) -> float:
    """Return the mean squared error over rows and outputs."""
    return float(np.average(((prediction - y.reshape(prediction.shape)) ** 2).mean(axis=1), weights=weight))


RECIPES: dict[str, type[Recipe]] = {"td-s": Recipe, "td": FullRecipe}
