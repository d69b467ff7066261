"""The learning-rate range test: which rates a network learns with, found in a hundred steps."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import checks, optimizers, training
from .arguments import TrainingData
from .reference import ids
from .schedules import Schedule, Span
from .state import TrainingState

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .network import MLP
    from .optimizers import Optimizer

__all__ = ["RangeTest", "lr_range_test"]

# The most steps of a test, which is one call of the engine.
MOST_STEPS = 1 << 16
# By what part of itself the loss must fall for the test to tell which rates are good.
_LEAST_FALL = 0.03


@dataclass(frozen=True, eq=False)
class RangeTest:
    """The losses of a short training whose learning rate grew from step to step.

    Attributes
    ----------
    lrs : (n,) float64 array
        The rate of each step. There are fewer than were asked for if the loss became infinite or NaN.
    losses : (n,) float64 array
        The loss of each step's minibatch, before the step.
    smoothed : (n,) float64 array
        The losses without their noise: medians of five, averaged over half a decade of rates.
    suggestion : float or None
        The lowest rate at which the smoothed loss falls quickly: half as fast as it ever does. None if it never falls by
        more than its noise.
    lowest : float or None
        The rate where the smoothed loss is lowest: higher ones do harm. None if it never falls.
    limit : float or None
        From this rate on the loss stays higher than it was at the beginning; None if it never does.
    optimizer : Optimizer
        What took the steps.

    Notes
    -----
    Smith, "Cyclical learning rates for training neural networks" (2017), section 3.3.
    """

    lrs: NDArray[np.float64] = field(repr=False)
    losses: NDArray[np.float64] = field(repr=False)
    smoothed: NDArray[np.float64] = field(repr=False)
    suggestion: float | None
    lowest: float | None
    limit: float | None
    optimizer: Optimizer = field(repr=False)

    def plot(self, ax: Axes | None = None) -> Figure:
        """Draw the loss by learning rate; see :func:`fastmlp.plots.lr_range`."""
        from . import plots

        return plots.lr_range(self, ax)


@dataclass(frozen=True)
class _Growing(Schedule):
    """From `lr` to `high` in `n` steps, by the same factor at each."""

    high: float = 1.0
    n: int = 2

    def rates(self, steps: NDArray[np.int64], span: Span) -> NDArray[np.float64]:
        return np.geomspace(self.lr, self.high, self.n)[np.minimum(steps - span.start, self.n - 1)]


def lr_range_test(
    net: MLP,
    X: ArrayLike,
    y: ArrayLike,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    batch_size: int | None = 64,
    optimizer: str | Optimizer = "adam",
    sample_weight: ArrayLike | None = None,
    class_weight: Any = None,
) -> RangeTest:
    """Train a copy of a network for some steps with a growing learning rate, in one call of the engine.

    The copy starts with the network's parameters and an optimizer without memory; the network stays as it is. For arguments,
    result and errors see :meth:`fastmlp.MLP.lr_range_test`.

    Examples
    --------
    >>> import fastmlp as fm
    >>> data = fm.datasets.load("moons")
    >>> net = fm.MLP([2, 16, 1], output="sigmoid")
    >>> test = net.lr_range_test(data.X, data.y)
    >>> 0.001 < test.suggestion < test.lowest
    True
    >>> history = net.fit(data.X, data.y, optimizer=fm.Adam(test.suggestion))
    """
    low = checks.real("low", low, 0.0, open_low=True)
    high = checks.real("high", high, low, open_low=True)
    steps = checks.integer("steps", steps, 10, MOST_STEPS)
    chosen = optimizers.resolve(optimizer)
    if not isinstance(chosen, optimizers.Stepping):
        raise ValueError("L-BFGS has no learning rate to test. Use an optimizer that steps, such as optimizer='adam'.")
    data = training.prepare(net, X, y, sample_weight, class_weight, None)
    if not data.train.weight.all():  # a minibatch without weight has no loss
        data = TrainingData(data.train.take(np.flatnonzero(data.train.weight)), None)
    options = training.Options(  # an epoch has one step at least
        epochs=steps, batch_size=batch_size, optimizer=replace(chosen, lr=_Growing(low, high, steps)),
        shuffle=True, metrics=None, early_stopping=None, callbacks=None, progress=False, on_divergence="warn",
    )  # fmt: skip
    twin = net.copy()
    twin._state = TrainingState(twin.plan, twin.loss_spec, twin.seed, twin.dtype)
    run = training.Run(twin, data, options)
    run.begin()
    twin._state.ints[ids.EACH_STEP] = 1
    run.losses = np.zeros(steps + 1)
    told, lrs = run.call(steps)
    losses = run.losses[:told]
    if not math.isfinite(losses[-1]):
        losses = losses[:-1]
    return _judged(lrs[: len(losses)], losses, told < steps or len(losses) < told, chosen)


def _judged(lrs: NDArray[np.float64], losses: NDArray[np.float64], ended: bool, optimizer: Any) -> RangeTest:
    """Find the suggestion and the limit of losses by rate; `ended` says that the loss became infinite after the last."""
    beyond = float(lrs[-1]) if ended and len(lrs) else None
    if len(losses) < 3:
        return RangeTest(lrs, losses, losses.copy(), None, None, beyond, optimizer)
    decade = max(4, min(len(losses), round((len(lrs) - 1) / max(math.log10(lrs[-1] / lrs[0]), 1e-9))))  # steps
    first = losses[:decade]  # at rates that change nothing yet
    start, noise = float(first.mean()), max(2.0 * float(first.std()), _LEAST_FALL * abs(float(first.mean())))
    smoothed = _smooth(losses, decade // 4)
    best = int(np.argmin(smoothed))
    fall = start - float(smoothed[best])
    # A loss may jump over the limit for a step: it counts where it stays.
    stays = max(1, decade // 2)
    high = np.append(smoothed > start + noise, np.full(stays - 1, True))
    over = np.flatnonzero(np.lib.stride_tricks.sliding_window_view(high, stays).all(axis=1))
    limit = float(lrs[over[0]]) if len(over) else beyond
    if fall <= noise:
        return RangeTest(lrs, losses, smoothed, None, None, limit, optimizer)
    # On the way down, between the noise before it and the flat part at the bottom.
    way = slice(int(np.flatnonzero(smoothed[: best + 1] > start - 0.1 * fall)[-1]), best + 1)
    slope = np.gradient(smoothed)[way]
    # Half as steep as it gets: the loss may fall twice, and the first fall is the safe one.
    steep = way.start + int(np.flatnonzero(slope <= 0.5 * slope.min())[0])
    return RangeTest(lrs, losses, smoothed, float(lrs[steep]), float(lrs[best]), limit, optimizer)


def _smooth(values: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Return medians, which no single explosion moves, and their means over `reach` places to both sides."""
    windows = np.lib.stride_tricks.sliding_window_view
    medians = np.median(windows(np.pad(values, 2, "edge"), 5), axis=1)
    return windows(np.pad(medians, reach, "edge"), 2 * reach + 1).mean(axis=1)
