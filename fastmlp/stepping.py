"""What optimizers have in common: settings that engines read, learning rates, penalties, clipping, factors for layers."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from . import checks, schedules
from .checks import Numbers
from .errors import counted
from .reference import ids
from .schedules import Schedule, Span

__all__ = ["Optimizer", "Stepping", "check_blind", "rates_of"]

# Settings that may have a number for each layer; others may have one for each network of a population.
_FOR_LAYERS = ("weight_factor", "bias_factor", "alpha_factor")


def check_blind(name: str, schedule: Schedule) -> None:
    """Raise ValueError if a schedule, the argument `name`, goes by losses, as only a learning rate can."""
    if schedule.watch() is not None:
        raise ValueError(
            f"{name}={schedule!r} goes by losses, as only lr can. Pass a schedule that goes by steps, such as "
            "fm.schedules.FlatCosine."
        )


def rates_of(rate: Any, steps: NDArray[np.int64], span: Span, most: float = sys.float_info.max) -> NDArray[np.float64]:
    """Return the rate of each step by a number or a schedule.

    Parameters
    ----------
    rate : float or Schedule
    steps, span
        As for :meth:`fastmlp.schedules.Schedule.rates`.
    most : float
        The highest rate that may be.

    Raises
    ------
    ValueError
        If a schedule gives another number of rates, or one that is negative, too high or not finite.
    """
    if isinstance(rate, float):
        return np.full(len(steps), rate)
    rates = np.ascontiguousarray(rate.rates(steps, span), np.float64)
    if rates.shape != steps.shape:
        raise ValueError(f"{rate!r} must give one rate for each step, here {len(steps)}; got shape {rates.shape}.")
    if not 0.0 <= rates.min(initial=0.0) <= rates.max(initial=0.0) <= most:  # which is not so of NaN either
        bad = int(np.argmin((rates >= 0.0) & (rates <= most)))
        wanted = "finite and >= 0" if most == sys.float_info.max else f">= 0 and <= {most:g}"
        raise ValueError(f"{rate!r} gives the rate {rates[bad]} for step {steps[bad]}; it must be {wanted}.")
    return rates


@dataclass(frozen=True)
class Optimizer:
    """Base of all optimizers.

    Attributes
    ----------
    kind : int
        The engines' number for it in ``reference/ids.py``; -1 for one that no engine runs.
    """

    kind: ClassVar[int] = -1

    @property
    def slots(self) -> int:
        """Number of state vectors, each as long as the parameters."""
        return 0

    def fill(self, ints: NDArray[np.int64], reals: NDArray[np.float64]) -> None:
        """Write the settings where the engines read them, (·,) or (·, networks): nothing, for one that no engine runs."""

    @property
    def varied(self) -> dict[str, tuple[float, ...]]:
        """Settings that have a number for each network of a population, by name."""
        # Not by `fields`, which takes three times as long: every fit asks.
        return {name: value for name, value in vars(self).items() if isinstance(value, tuple) and name not in _FOR_LAYERS}

    def of(self, networks: NDArray[np.int64]) -> Optimizer:
        """Return it with the numbers of these networks."""
        return replace(self, **{name: tuple(value[i] for i in networks) for name, value in self.varied.items()})

    def each(self, size: int) -> list[Optimizer]:
        """Return one for each of `size` networks.

        Raises
        ------
        ValueError
            If a setting has another number of values.
        """
        varied = {name: checks.each(name, value, size) for name, value in self.varied.items()}
        if not varied:
            return [self] * size
        return [replace(self, **{name: value[i] for name, value in varied.items()}) for i in range(size)]

    @property
    def layered(self) -> bool:
        """Whether layers, or weights and biases, have learning rates of their own."""
        return False

    @property
    def scales(self) -> bool:
        """Whether it keeps a scale for each input."""
        return False

    def check_layers(self, n_layers: int) -> None:
        """Raise ValueError if it has settings for another number of layers."""

    def fill_layers(self, fan_in: NDArray[np.int64], factors: NDArray[np.float64]) -> None:
        """Write each layer's factors of learning rate and eps, blocks of ``reference/ids.py``."""

    def same_state_as(self, other: Optimizer | None) -> bool:
        """Return whether it can go on from the state that `other` left, as with another learning rate."""
        if not isinstance(other, Optimizer):
            return False
        return (self.kind, self.slots, self.scales) == (other.kind, other.slots, other.scales)


@dataclass(frozen=True)
class Stepping(Optimizer):
    """What SGD, Adam, RMSprop and Adagrad have in common: a rate, penalties, clipping.

    In order: g += l1 sign(w) + l2 w, where `l2_over_batch` divides l2 by the sum of the minibatch's sample weights; each
    element of g into ±clip_value; g scaled down to the norm clip_norm; w *= 1 - lr weight_decay; then the optimizer's own
    step, in which a layer's weights, its bias and its alphas may have a multiple of lr. Only weights are penalised or decayed.
    Both lr and weight_decay may follow a schedule.
    For a :class:`fastmlp.Population` each number may be a sequence, one for each network.
    """

    lr: Numbers | Schedule = 0.01
    weight_decay: Numbers | Schedule = field(default=0.0, kw_only=True)
    l1: Numbers = field(default=0.0, kw_only=True)
    l2: Numbers = field(default=0.0, kw_only=True)
    l2_over_batch: bool = field(default=False, kw_only=True)
    clip_value: Numbers | None = field(default=None, kw_only=True)
    clip_norm: Numbers | None = field(default=None, kw_only=True)
    weight_factor: Numbers = field(default=1.0, kw_only=True)
    bias_factor: Numbers = field(default=1.0, kw_only=True)
    alpha_factor: Numbers = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        """Check the fields that all have."""
        for name in ("lr", "weight_decay"):
            value = getattr(self, name)
            if isinstance(value, str) and value in schedules.SCHEDULES:
                raise TypeError(f"{name} must be a number or a schedule such as fm.schedules.Cosine(0.01); got {value!r}.")
            if not isinstance(value, Schedule):
                checks.reals_field(self, name, 0.0, open_low=name == "lr")
        if isinstance(self.weight_decay, Schedule):
            check_blind("weight_decay", self.weight_decay)
        for name in (*_FOR_LAYERS, "l1", "l2"):
            checks.reals_field(self, name, 0.0)
        object.__setattr__(self, "l2_over_batch", checks.flag("l2_over_batch", self.l2_over_batch))
        for name in ("clip_value", "clip_norm"):
            if getattr(self, name) is not None:
                checks.reals_field(self, name, 0.0, open_low=True)

    def rates(self, steps: NDArray[np.int64], span: Span) -> NDArray[np.float64]:
        """Return the learning rate of each step; see :func:`rates_of`.

        Raises
        ------
        ValueError
            If the schedule gives another number of rates, or one that is negative or not finite.
        """
        return rates_of(self.lr, steps, span)

    def decays(self, steps: NDArray[np.int64], span: Span) -> NDArray[np.float64]:
        """Return the weight decay of each step; as :meth:`rates`."""
        return rates_of(self.weight_decay, steps, span)

    def fill(self, ints: NDArray[np.int64], reals: NDArray[np.float64]) -> None:
        """Write the settings where the engines read them, (·,) or (·, networks); counters and the betas' powers stay."""
        ints[ids.OPTIMIZER] = self.kind
        ints[ids.NESTEROV] = ints[ids.AMSGRAD] = ints[ids.EPS_HAT] = 0
        ints[ids.L2_OVER_BATCH] = self.l2_over_batch
        reals[ids.BETA1] = reals[ids.BETA2] = reals[ids.EPS] = 0.0
        decay: Any = 0.0 if self.scheduled else self.weight_decay
        reals[ids.L1], reals[ids.L2], reals[ids.DECAY] = self.l1, self.l2, decay
        reals[ids.CLIP_VALUE], reals[ids.CLIP_NORM] = self.clip_value or 0.0, self.clip_norm or 0.0
        ints[ids.FACTORS], reals[ids.SCALE_RATE], reals[ids.SCALE_DECAY] = self.layered, 0.0, 0.0
        self._fill_own(ints, reals)

    @property
    def layered(self) -> bool:
        """Whether layers, or weights and biases, have learning rates of their own."""
        return (self.weight_factor, self.bias_factor, self.alpha_factor) != (1.0, 1.0, 1.0)

    @property
    def scheduled(self) -> bool:
        """Whether its weight decay follows a schedule."""
        return isinstance(self.weight_decay, Schedule)

    def check_layers(self, n_layers: int) -> None:
        """Raise ValueError if it has factors for another number of layers."""
        for name in _FOR_LAYERS:
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != n_layers:
                raise ValueError(
                    f"{name} has {counted(len(value), 'number')}, but the network has {counted(n_layers, 'layer')}. "
                    "Pass one for each."
                )

    def fill_layers(self, fan_in: NDArray[np.int64], factors: NDArray[np.float64]) -> None:
        """Write each layer's factors of learning rate and eps, blocks of ``reference/ids.py``."""
        factors[ids.WEIGHT_RATE], factors[ids.WEIGHT_EPS] = self.weight_factor, 1.0
        factors[ids.BIAS_RATE], factors[ids.ALPHA_RATE] = self.bias_factor, self.alpha_factor

    def _fill_own(self, ints: NDArray[np.int64], reals: NDArray[np.float64]) -> None:
        raise NotImplementedError
