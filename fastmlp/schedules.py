"""Schedules: a rate for each step of a fit, of learning, of weight decay, or for all dropout rates to be multiplied by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import checks
from .plateau import Plateau

__all__ = [
    "OVER_A_FIT", "SCHEDULES", "Constant", "Cosine", "CosineLog", "Exponential", "FlatCosine", "InverseScaling", "OneCycle",
    "Plateau", "ReduceOnPlateau", "Schedule", "Span", "Step", "resolve",
]  # fmt: skip


@dataclass(frozen=True)
class Span:
    """The fit that a schedule is used in.

    Attributes
    ----------
    start : int
        Number of steps that the network had done before it.
    steps : int
        Number of steps it does.
    steps_per_epoch : int
        Number of steps in an epoch.
    epoch : int, optional
        Number of epochs that the network had done before it; None for what the steps before would be here.
    """

    start: int
    steps: int
    steps_per_epoch: int
    epoch: int | None = None

    def epochs(self, steps: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the epoch that each step is in, counted as the steps are."""
        before = self.start // self.steps_per_epoch if self.epoch is None else self.epoch
        return before + (steps - self.start) // self.steps_per_epoch


@dataclass(frozen=True)
class Schedule:
    """Base of all schedules.

    It is an optimizer's `lr` or `weight_decay`, as in ``fm.Adam(lr=fm.schedules.Cosine(1e-3))``, or the `dropout_schedule` of a
    fit, which all dropout rates are multiplied by. Your own is a frozen dataclass that derives from it and has :meth:`rates`.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import numpy as np, fastmlp as fm
    >>> @dataclass(frozen=True)
    ... class Linear(fm.schedules.Schedule):
    ...     def rates(self, steps, span):
    ...         return self.lr * (1.0 - (steps - span.start) / span.steps)
    >>> Linear(1.0).rates(np.arange(4), fm.schedules.Span(0, 4, 1)).tolist()
    [1.0, 0.75, 0.5, 0.25]
    """

    lr: float

    def __post_init__(self) -> None:
        """Check the rate."""
        checks.real_field(self, "lr", 0.0, open_low=True)

    def rates(self, steps: NDArray[np.int64], span: Span) -> NDArray[np.float64]:
        """Return the rate of each step, finite and not below 0.

        Parameters
        ----------
        steps : (n,) int64 array
            Numbers of steps since the network was made or reset, from 0.
        span : Span
            The fit that they belong to.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method rates(self, steps, span), which a schedule needs.")

    def watch(self) -> Plateau | None:
        """Return what lowers the rates by what the epochs' losses do; None for most schedules."""
        return None


@dataclass(frozen=True)
class Constant(Schedule):
    """Always `lr`.

    Parameters
    ----------
    lr : float
        The rate.

    Raises
    ------
    TypeError, ValueError
        If `lr` is not a positive number.

    Examples
    --------
    >>> Constant(0.1).rates(np.arange(3), Span(0, 3, 1)).tolist()
    [0.1, 0.1, 0.1]
    """

    def rates(self, steps: NDArray[np.int64], span: Span) -> NDArray[np.float64]:
        """Return the rate of each step."""
        return np.full(len(steps), self.lr)


@dataclass(frozen=True)
class Step(Schedule):
    """Times `factor` after every `every` epochs, counted since the network was made or reset, without those of L-BFGS.

    A step of ``net.step`` is no epoch to a later ``fit``; to ``net.step`` every step since then is one.

    Parameters
    ----------
    lr : float
        The first rate.
    every : int
        Epochs between two drops.
    factor : float
        In (0, 1].

    Raises
    ------
    TypeError, ValueError
        If `lr` is not positive, `every` is not a positive integer, or `factor` is not in (0, 1].

    Examples
    --------
    >>> Step(1.0, every=2, factor=0.5).rates(np.arange(5), Span(0, 5, 1)).tolist()
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    every: int = 10
    factor: float = 0.1

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        object.__setattr__(self, "every", checks.integer("every", self.every, 1))
        checks.real_field(self, "factor", 0.0, 1.0, open_low=True)

    def rates(self, steps: NDArray[np.int64], span: Span) -> NDArray[np.float64]:
        """Return the rate of each step."""
        return self.lr * self.factor ** (span.epochs(steps) // self.every).astype(np.float64)


@dataclass(frozen=True)
class Exponential(Schedule):
    """Times `factor` after each epoch; epochs count as for :class:`Step`.

    Parameters
    ----------
    lr : float
        The first rate.
    factor : float
        In (0, 1].

    Raises
    ------
    TypeError, ValueError
        If `lr` is not positive, or `factor` not in (0, 1].

    Examples
    --------
    >>> Exponential(1.0, factor=0.5).rates(np.arange(4), Span(0, 4, 2)).tolist()
    [1.0, 1.0, 0.5, 0.5]
    """

    factor: float = 0.95

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        checks.real_field(self, "factor", 0.0, 1.0, open_low=True)

    def rates(self, steps: NDArray[np.int64], span: Span) -> NDArray[np.float64]:
        """Return the rate of each step."""
        return self.lr * self.factor ** span.epochs(steps).astype(np.float64)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from `lr` down to `floor` over the fit (Loshchilov & Hutter 2017).

    Parameters
    ----------
    lr : float
        The highest rate.
    warmup : float
        Epochs at the start of the fit, or a part of one, in which the rate grows linearly from step to step up to `lr`.
    restarts : int
        How often it jumps back to `lr`, at equal distances.
    floor : float
        The lowest rate.

    Raises
    ------
    TypeError, ValueError
        If a value is out of its range; by :meth:`rates`, if the fit is shorter than `warmup`.

    Examples
    --------
    >>> Cosine(1.0).rates(np.arange(3), Span(0, 4, 1)).round(3).tolist()
    [1.0, 0.854, 0.5]
    """

    warmup: float = 0.0
    restarts: int = 0
    floor: float = 0.0

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        checks.real_field(self, "warmup", 0.0)
        object.__setattr__(self, "restarts", checks.integer("restarts", self.restarts, 0))
        checks.real_field(self, "floor", 0.0, self.lr)

    def rates(self, steps: NDArray[np.int64], span: Span) -> NDArray[np.float64]:
        """Return the rate of each step."""
        warm = round(self.warmup * span.steps_per_epoch)
        if warm > span.steps:
            raise ValueError(
                f"Cosine's warmup takes {self.warmup:g} epochs, but this fit has "
                f"{span.steps / span.steps_per_epoch:g}. Give it a shorter warmup, or fit for more epochs."
            )
        done = np.asarray(steps, np.float64) - span.start
        waves = self.restarts + 1
        # The product before the quotient, so that a restart is a whole number.
        part = (done - warm) * waves / max(span.steps - warm, 1)
        # The end of the last cosine stays down there, the ends of the others are the starts of the next.
        part = np.where(part < waves, part % 1.0, 1.0)
        down = self.floor + (self.lr - self.floor) * 0.5 * (1.0 + np.cos(np.pi * part))
        return np.where(done < warm, self.lr * (done + 1.0) / max(warm, 1), down)


@dataclass(frozen=True)
class CosineLog(Schedule):
    """Waves from 0 to `lr` and back, each twice as long as the one before (Holzmüller, Grinsztajn & Steinwart 2024).

    The rate is lr (1 - cos(2π log2(1 + (2^cycles - 1) t))) / 2, where t goes from 0 to 1 over the fit.

    Parameters
    ----------
    lr : float
        The highest rate.
    cycles : int
        Number of waves.

    Raises
    ------
    TypeError, ValueError
        If `lr` is not positive, or `cycles` not an integer from 1 to 30.

    Examples
    --------
    >>> CosineLog(1.0, cycles=2).rates(np.arange(4), Span(0, 4, 1)).round(2).tolist()
    [0.0, 0.32, 0.72, 0.65]
    """

    cycles: int = 4

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        object.__setattr__(self, "cycles", checks.integer("cycles", self.cycles, 1, 30))

    def rates(self, steps: NDArray[np.int64], span: Span) -> NDArray[np.float64]:
        """Return the rate of each step."""
        part = (np.asarray(steps, np.float64) - span.start) / span.steps
        return self.lr * 0.5 * (1.0 - np.cos(2.0 * np.pi * np.log2(1.0 + (2.0**self.cycles - 1.0) * part)))


@dataclass(frozen=True)
class FlatCosine(Schedule):
    """`lr` for a part of the fit, then half a cosine down to 0 (Holzmüller, Grinsztajn & Steinwart 2024).

    Parameters
    ----------
    lr : float
        The first rate.
    flat : float
        The part of the fit's steps in which it stays, in [0, 1).

    Raises
    ------
    TypeError, ValueError
        If `lr` is not positive, or `flat` is not in [0, 1).

    Examples
    --------
    >>> FlatCosine(1.0).rates(np.arange(4), Span(0, 4, 1)).round(2).tolist()
    [1.0, 1.0, 1.0, 0.5]
    """

    flat: float = 0.5

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        checks.real_field(self, "flat", 0.0, 1.0, open_high=True)

    def rates(self, steps: NDArray[np.int64], span: Span) -> NDArray[np.float64]:
        """Return the rate of each step."""
        part = (np.asarray(steps, np.float64) - span.start) / span.steps
        return _cosine(self.lr, 0.0, (part - self.flat) / (1.0 - self.flat))


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up to `lr` and down to almost nothing over the fit, both as half cosines (Smith & Topin 2018, as in PyTorch).

    Parameters
    ----------
    lr : float
        The highest rate.
    peak : float
        Where in the fit the rate is highest, as a part of all its steps, in (0, 1); up to there it grows.
    start_factor : float
        The first rate is lr / start_factor, if it grows for more than a step.
    end_factor : float
        The last rate is the first one / end_factor.

    Raises
    ------
    TypeError, ValueError
        If a value is out of its range.

    Examples
    --------
    >>> OneCycle(1.0, peak=0.5).rates(np.arange(4), Span(0, 4, 1)).round(2).tolist()
    [0.04, 1.0, 0.5, 0.0]
    """

    peak: float = 0.3
    start_factor: float = 25.0
    end_factor: float = 1e4

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        checks.real_field(self, "peak", 0.0, 1.0, open_low=True, open_high=True)
        checks.real_field(self, "start_factor", 1.0)
        checks.real_field(self, "end_factor", 1.0)

    def rates(self, steps: NDArray[np.int64], span: Span) -> NDArray[np.float64]:
        """Return the rate of each step."""
        done = np.asarray(steps, np.float64) - span.start
        last = float(span.steps - 1)
        peak = self.peak * span.steps - 1.0  # before the first step, if it grows for less than one
        start = self.lr / self.start_factor
        rising = _cosine(start, self.lr, done / peak if peak > 0.0 else np.ones_like(done))
        falling = _cosine(self.lr, start / self.end_factor, (done - peak) / (last - peak))
        return np.where(done <= peak, rising, falling)


def _cosine(first: float, last: float, part: NDArray[np.float64]) -> NDArray[np.float64]:
    """From `first` at part 0 to `last` at part 1 and later."""
    return last + (first - last) * 0.5 * (1.0 + np.cos(np.pi * np.clip(part, 0.0, 1.0)))


@dataclass(frozen=True)
class InverseScaling(Schedule):
    """lr / (t + 1)^power at step t, counted from 0 since the network was made or reset (Robbins & Monro 1951).

    Parameters
    ----------
    lr : float
        The first rate.
    power : float
        0 keeps the rate.

    Raises
    ------
    TypeError, ValueError
        If `lr` is not positive, or `power` is negative.

    Examples
    --------
    >>> InverseScaling(1.0).rates(np.array([0, 3, 8]), Span(0, 9, 1)).round(3).tolist()
    [1.0, 0.5, 0.333]
    """

    power: float = 0.5

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        checks.real_field(self, "power", 0.0)

    def rates(self, steps: NDArray[np.int64], span: Span) -> NDArray[np.float64]:
        """Return the rate of each step."""
        return self.lr / (np.asarray(steps, np.float64) + 1.0) ** self.power


@dataclass(frozen=True)
class ReduceOnPlateau(Constant):
    """Times `factor` whenever `patience` epochs in a row bring no loss lower than the best by more than `min_delta`.

    Parameters
    ----------
    lr : float
        The first rate.
    factor : float
        In (0, 1).
    patience : int
        After this many epochs in a row without improvement the rate is reduced, as in Keras, and as
        :class:`fastmlp.EarlyStopping` counts: 1 reduces it after the first epoch that is no better than the best. Then the
        count begins anew.
    min_delta : float
        How much lower a loss has to be to count as better.
    floor : float
        The lowest rate that `lr` is reduced to.
    monitor : str
        Which loss is watched: "val_loss", which needs validation data, or "loss".

    Raises
    ------
    TypeError, ValueError
        If a value is out of its range.

    Examples
    --------
    >>> schedule = ReduceOnPlateau(0.1, factor=0.5, patience=1)
    >>> watch = schedule.watch()
    >>> [schedule.lr * watch.update(loss) for loss in (3.0, 2.0, 2.0, 1.0)]
    [0.1, 0.1, 0.05, 0.05]
    """

    factor: float = 0.1
    patience: int = 10
    min_delta: float = 1e-4
    floor: float = 0.0
    monitor: str = "val_loss"

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        checks.real_field(self, "factor", 0.0, 1.0, open_low=True, open_high=True)
        object.__setattr__(self, "patience", checks.integer("patience", self.patience, 1))
        checks.real_field(self, "min_delta", 0.0)
        checks.real_field(self, "floor", 0.0, self.lr)
        checks.choice("monitor", self.monitor, ("val_loss", "loss"))

    def watch(self) -> Plateau:
        """Return a new watch, which has seen no epoch."""
        return Plateau(self)


# They follow what one fit does from its first step to its last, which a single step knows nothing of.
OVER_A_FIT = (Cosine, CosineLog, FlatCosine, OneCycle, ReduceOnPlateau)

SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": Constant,
    "step": Step,
    "exponential": Exponential,
    "cosine": Cosine,
    "cosine_log": CosineLog,
    "flat_cosine": FlatCosine,
    "one_cycle": OneCycle,
    "inverse_scaling": InverseScaling,
    "reduce_on_plateau": ReduceOnPlateau,
}


def resolve(spec: Any, lr: float = 1e-3) -> Schedule:
    """Return the schedule that `spec` means.

    Parameters
    ----------
    spec : float, str or Schedule
        A constant rate, a key of `SCHEDULES`, or an instance.
    lr : float
        Rate of one given by name.

    Raises
    ------
    ValueError
        If there is none of that name, or the rate is not positive.
    TypeError
        If `spec` is something else.

    Examples
    --------
    >>> resolve("cosine", lr=0.1)
    Cosine(lr=0.1, warmup=0.0, restarts=0, floor=0.0)
    """
    if isinstance(spec, Schedule):
        return spec
    if isinstance(spec, str):
        return SCHEDULES[checks.choice("schedule", spec, SCHEDULES)](lr)
    return Constant(spec)
