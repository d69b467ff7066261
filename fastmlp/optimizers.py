"""Optimizers: name -> what a gradient does to the parameters. They hold settings only; a network holds its own state.

In the formulas g is the minibatch's gradient, w a parameter, t the number of this step, from 1 on.

Examples
--------
>>> import fastmlp as fm
>>> list(fm.optimizers.OPTIMIZERS)
['sgd', 'momentum', 'nesterov', 'adam', 'adamw', 'amsgrad', 'rmsprop', 'adagrad', 'lbfgs']
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from . import checks
from .checks import Numbers
from .errors import counted, shown
from .reference import ids
from .schedules import Schedule
from .stepping import Optimizer, Stepping

__all__ = ["LBFGS", "OPTIMIZERS", "SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "changed", "resolve"]

# Float32's least normal number: compiled code takes smaller ones for zero.
LEAST_EPS = 2.0**-126


@dataclass(frozen=True)
class SGD(Stepping):
    """Stochastic gradient descent, with momentum if asked.

    Without momentum w -= lr g. With it v = momentum v - lr g and w += v; with `nesterov` w += momentum v - lr g
    (Sutskever, Martens, Dahl & Hinton 2013). For a :class:`fastmlp.Population`, every number of an optimizer may be a
    sequence, one for each network, but for `scale_factor` and the factors, which populations do not have.

    Parameters
    ----------
    lr : float or Schedule
        Learning rate, or one for each step, such as ``fm.schedules.Cosine(0.1)``.
    momentum : float
        In [0, 1).
    nesterov : bool
        Whether the momentum is Nesterov's.
    weight_decay : float or Schedule
        Decoupled: w *= 1 - lr weight_decay before each step; weights only. With a schedule, its rates are the decay of each
        step. Populations take numbers only.
    l1, l2 : float
        Penalties l1 |w| and l2 w² / 2, by their gradients; weights only.
    l2_over_batch : bool
        Divide l2 by the sum of the minibatch's sample weights, as scikit-learn's MLP does; the losses of the history then
        have the penalty in them.
    clip_value, clip_norm : float, optional
        Largest size of each element of the gradient, and of its norm.
    weight_factor, bias_factor, alpha_factor : float or tuple of float
        What the learning rate of weights, of biases and of parametric layers' alphas is multiplied by: one number, or one for
        each layer. With 0 they stay as they are.

    Raises
    ------
    TypeError, ValueError
        If a value is out of its range, `nesterov` is set without momentum, or weight_decay's schedule goes by losses.

    Examples
    --------
    >>> import fastmlp as fm
    >>> net = fm.MLP([1, 1])
    >>> history = net.fit([[0], [1], [2]], [1, 3, 5], optimizer=fm.SGD(0.1, momentum=0.9))
    """

    kind: ClassVar[int] = ids.SGD
    momentum: Numbers = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        checks.reals_field(self, "momentum", 0.0, 1.0, open_high=True)
        object.__setattr__(self, "nesterov", checks.flag("nesterov", self.nesterov))
        if self.nesterov and self.momentum == 0.0:
            raise ValueError("nesterov=True needs momentum > 0; got momentum=0.0. Pass momentum=0.9.")

    @property
    def slots(self) -> int:
        """Number of state vectors: the velocity, if there is momentum."""
        return int((self.momentum if isinstance(self.momentum, float) else np.max(self.momentum)) > 0.0)

    def _fill_own(self, ints: NDArray[np.int64], reals: NDArray[np.float64]) -> None:
        reals[ids.BETA1] = self.momentum
        ints[ids.NESTEROV] = self.nesterov


@dataclass(frozen=True)
class Adam(Stepping):
    """Adaptive moments (Kingma & Ba 2015).

    m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g²,
    w -= lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps).

    Parameters
    ----------
    lr : float or Schedule
        Learning rate, or one for each step, such as ``fm.schedules.Cosine(1e-3)``.
    beta1, beta2 : float
        How much of the moments each step keeps, in [0, 1).
    eps : float
        Keeps the divisor from being zero.
    amsgrad : bool
        Divide by the largest v so far (Reddi, Kale & Kumar 2018).
    eps_hat : bool
        Add eps to sqrt(v) before its correction, the form at the end of the paper's section 2, as scikit-learn does.
    ntk : bool
        Train weights as V / sqrt(fan_in), in the neural tangent parametrisation (Jacot, Gabriel & Hongler 2018): V's
        gradient is that of the weights / sqrt(fan_in), so a step of Adam on V is one on the weights with lr / sqrt(fan_in)
        and eps * sqrt(fan_in).
    scale_factor : float, optional
        Train the first layer's weights as diag(s) V, as if a layer before it multiplied each input by its own factor s. All
        s start at 1 and have this multiple of the learning rate. The network holds the product.
    scale_decay : float
        How much faster than weights these s decay: s *= 1 - lr weight_decay scale_decay.
    weight_decay, l1, l2, l2_over_batch, clip_value, clip_norm, weight_factor, bias_factor, alpha_factor
        As for :class:`SGD`.

    Raises
    ------
    TypeError, ValueError
        If a value is out of its range.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.Adam(3e-4).beta2
    0.999
    """

    kind: ClassVar[int] = ids.ADAM
    lr: Numbers | Schedule = 1e-3
    beta1: Numbers = 0.9
    beta2: Numbers = 0.999
    eps: Numbers = 1e-8
    amsgrad: bool = False
    eps_hat: bool = field(default=False, kw_only=True)
    ntk: bool = field(default=False, kw_only=True)
    scale_factor: float | None = field(default=None, kw_only=True)
    scale_decay: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        checks.reals_field(self, "beta1", 0.0, 1.0, open_high=True)
        checks.reals_field(self, "beta2", 0.0, 1.0, open_high=True)
        checks.reals_field(self, "eps", 0.0, open_low=True)
        for name in ("amsgrad", "eps_hat", "ntk"):
            object.__setattr__(self, name, checks.flag(name, getattr(self, name)))
        checks.real_field(self, "scale_decay", 0.0)
        if self.scale_factor is not None:
            checks.real_field(self, "scale_factor", 0.0, open_low=True)
            if self.amsgrad:
                raise ValueError("scale_factor has no amsgrad form. Leave one of them out.")

    @property
    def slots(self) -> int:
        """Number of state vectors: m and v, with `amsgrad` the largest v too."""
        return 3 if self.amsgrad else 2

    @property
    def layered(self) -> bool:
        """Whether layers, or weights and biases, have learning rates of their own."""
        return super().layered or self.ntk or self.scales

    @property
    def scales(self) -> bool:
        """Whether it keeps a scale for each input."""
        return self.scale_factor is not None

    def fill_layers(self, fan_in: NDArray[np.int64], factors: NDArray[np.float64]) -> None:
        """Write each layer's factors of learning rate and eps, blocks of ``reference/ids.py``."""
        super().fill_layers(fan_in, factors)
        if self.ntk:
            factors[ids.WEIGHT_RATE] /= np.sqrt(fan_in)
            factors[ids.WEIGHT_EPS] = np.sqrt(fan_in)

    def _fill_own(self, ints: NDArray[np.int64], reals: NDArray[np.float64]) -> None:
        reals[ids.SCALE_RATE], reals[ids.SCALE_DECAY] = self.scale_factor or 0.0, self.scale_decay
        reals[ids.BETA1], reals[ids.BETA2] = self.beta1, self.beta2
        reals[ids.EPS] = np.maximum(self.eps, LEAST_EPS)
        ints[ids.AMSGRAD], ints[ids.EPS_HAT] = self.amsgrad, self.eps_hat


@dataclass(frozen=True)
class AdamW(Adam):
    """:class:`Adam` with decoupled weight decay (Loshchilov & Hutter 2019): w *= 1 - lr weight_decay before each step.

    Parameters
    ----------
    lr, beta1, beta2, eps, amsgrad, eps_hat, ntk, scale_factor, scale_decay, l1, l2, l2_over_batch, clip_value, clip_norm
        As for :class:`Adam`.
    weight_factor, bias_factor, alpha_factor
        As for :class:`SGD`.
    weight_decay : float or Schedule
        As for :class:`SGD`, but 0.01 by default.

    Raises
    ------
    TypeError, ValueError
        If a value is out of its range.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.AdamW(1e-3).weight_decay
    0.01
    """

    weight_decay: Numbers | Schedule = field(default=0.01, kw_only=True)


@dataclass(frozen=True)
class RMSprop(Stepping):
    """Division by a running root mean square (Tieleman & Hinton 2012).

    v = rho v + (1 - rho) g², w -= lr g / (sqrt(v) + eps).

    Parameters
    ----------
    lr : float or Schedule
        Learning rate.
    rho : float
        How much of v is kept in a step, in [0, 1).
    eps : float
        Keeps the divisor from zero.
    weight_decay, l1, l2, l2_over_batch, clip_value, clip_norm, weight_factor, bias_factor, alpha_factor
        As for :class:`SGD`.

    Raises
    ------
    TypeError, ValueError
        If a value is out of its range.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.RMSprop().rho
    0.9
    """

    kind: ClassVar[int] = ids.RMSPROP
    lr: Numbers | Schedule = 1e-3
    rho: Numbers = 0.9
    eps: Numbers = 1e-8

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        checks.reals_field(self, "rho", 0.0, 1.0, open_high=True)
        checks.reals_field(self, "eps", 0.0, open_low=True)

    @property
    def slots(self) -> int:
        """Number of state vectors: v."""
        return 1

    def _fill_own(self, ints: NDArray[np.int64], reals: NDArray[np.float64]) -> None:
        reals[ids.BETA2], reals[ids.EPS] = self.rho, np.maximum(self.eps, LEAST_EPS)


@dataclass(frozen=True)
class Adagrad(Stepping):
    """Division by the root of all squared gradients so far (Duchi, Hazan & Singer 2011).

    v += g², w -= lr g / (sqrt(v) + eps).

    Parameters
    ----------
    lr : float or Schedule
        Learning rate.
    eps : float
        Keeps the divisor from zero.
    weight_decay, l1, l2, l2_over_batch, clip_value, clip_norm, weight_factor, bias_factor, alpha_factor
        As for :class:`SGD`.

    Raises
    ------
    TypeError, ValueError
        If a value is out of its range.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.Adagrad(0.05).eps
    1e-10
    """

    kind: ClassVar[int] = ids.ADAGRAD
    lr: Numbers | Schedule = 0.01
    eps: Numbers = 1e-10

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        checks.reals_field(self, "eps", 0.0, open_low=True)

    @property
    def slots(self) -> int:
        """Number of state vectors: v."""
        return 1

    def _fill_own(self, ints: NDArray[np.int64], reals: NDArray[np.float64]) -> None:
        reals[ids.EPS] = np.maximum(self.eps, LEAST_EPS)


@dataclass(frozen=True)
class LBFGS(Optimizer):
    """Limited-memory BFGS over the whole data (Liu & Nocedal 1989), with SciPy's line search.

    Since the search needs one function, a fit has no minibatches then, whatever `batch_size` is, and no dropout.

    Parameters
    ----------
    max_iter : int
        Most iterations, of which `fit` does no more than its `epochs`, 20 unless said; one counts as an epoch.
    max_fun : int
        Most evaluations of loss and gradient.
    tol : float
        Stop when the largest element of the gradient is at most this.
    history : int
        Number of past steps that the curvature is taken from.
    l2 : float
        Penalty l2 w² / 2 on weights, not biases, which the minimised loss has and the history's losses have not. There is no
        l1: L-BFGS needs a gradient everywhere.

    Raises
    ------
    TypeError, ValueError
        If a value is out of its range.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.LBFGS(max_iter=50).history
    10
    """

    max_iter: int = 200
    max_fun: int = 15_000
    tol: float = 1e-5
    history: int = 10
    l2: float = 0.0

    def __post_init__(self) -> None:
        """Check the fields."""
        for name in ("max_iter", "max_fun", "history"):
            object.__setattr__(self, name, checks.integer(name, getattr(self, name), 1))
        for name in ("tol", "l2"):
            checks.real_field(self, name, 0.0)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": SGD,
    "momentum": functools.partial(SGD, momentum=0.9),
    "nesterov": functools.partial(SGD, momentum=0.9, nesterov=True),
    "adam": Adam,
    "adamw": AdamW,
    "amsgrad": functools.partial(Adam, amsgrad=True),
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
    "lbfgs": LBFGS,
}


def resolve(spec: Any, lr: float | Schedule | None = None, networks: int | None = None) -> Optimizer:
    """Return the optimizer that `spec` means.

    Parameters
    ----------
    spec : str or Optimizer
        A key of `OPTIMIZERS`, or an instance.
    lr : float or Schedule, optional
        Learning rate to take instead of its own.
    networks : int, optional
        Size of the population that it is for; None for a single network.

    Raises
    ------
    ValueError
        If there is none of that name; the message has the nearest ones. Or if it has numbers for another number of networks.
    TypeError
        If `spec` is something else.

    Examples
    --------
    >>> resolve("momentum", lr=0.1).momentum
    0.9
    """
    if isinstance(spec, type) and issubclass(spec, Optimizer):
        raise TypeError(f"optimizer must be an instance; got the class {spec.__name__}. Pass fm.{spec.__name__}().")
    if isinstance(spec, Optimizer):
        if spec.kind < 0 and not isinstance(spec, LBFGS):
            raise TypeError(f"optimizer must be one that engines run, such as fm.Adam(1e-3), or fm.LBFGS(); got {shown(spec)}.")
        optimizer: Optimizer = spec
    else:
        optimizer = OPTIMIZERS[checks.choice("optimizer", spec, OPTIMIZERS, "an instance such as fm.Adam(1e-3)")]()
    if networks is None and optimizer.varied:
        name, values = next(iter(optimizer.varied.items()))
        raise ValueError(
            f"{type(optimizer).__name__} has {counted(len(values), 'value')} of {name}, one for each network of a "
            "fm.Population; a single network takes one number."
        )
    if networks is not None:
        optimizer.each(networks)
    if lr is None:
        return optimizer
    if not isinstance(optimizer, Stepping):
        raise ValueError(f"lr={lr!r} is of no use to {type(optimizer).__name__}, which finds its own. Leave lr out.")
    return replace(optimizer, lr=lr)


def changed(optimizer: Optimizer, **settings: Any) -> Optimizer:
    """Return an optimizer with other settings, of which None leaves its own.

    Parameters
    ----------
    optimizer : Optimizer
        It stays as it is.
    **settings
        New values by name.

    Raises
    ------
    ValueError
        If it has no such setting.

    Examples
    --------
    >>> changed(SGD(0.1), l2=0.01, weight_decay=None).l2
    0.01
    """
    given: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
    for name, value in given.items():
        if not hasattr(optimizer, name):
            raise ValueError(f"{name}={value!r} is of no use to {type(optimizer).__name__}, which has none. Leave it out.")
    return replace(optimizer, **given)
