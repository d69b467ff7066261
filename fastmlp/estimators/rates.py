"""The optimizer behind an estimator's `solver`, and scikit-learn's policies for its learning rate."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import optimizers, schedules
from ..optimizers import LBFGS, SGD, Adagrad, Adam, AdamW, RMSprop, Stepping

if TYPE_CHECKING:
    from .base import BaseMLP

__all__ = ["POLICIES", "SOLVERS", "Policy", "is_lbfgs", "optimizer_of", "penalty_of", "sgd"]

POLICIES = ("constant", "invscaling", "adaptive")
SOLVERS = ("lbfgs", "sgd", "adam", "adamw", "amsgrad", "rmsprop", "adagrad")
# An adaptive rate is divided by this, and training ends where it would fall below that.
_DIVISOR, _LEAST_RATE = 5.0, 1e-6


def is_lbfgs(solver: str | optimizers.Optimizer) -> bool:
    """Whether a solver is L-BFGS, which takes no minibatches."""
    return solver == "lbfgs" or isinstance(solver, LBFGS)


def penalty_of(est: BaseMLP, gradient: float) -> dict[str, Any]:
    """Return the optimizer's settings that `alpha` means."""
    return {"l2": est.alpha / gradient, "l2_over_batch": True}


def sgd(rate: Any, momentum: float, nesterov: bool, **penalty: Any) -> SGD:
    """Return SGD with scikit-learn's momentum, which may be 1."""
    momentum = min(float(momentum), float(np.nextafter(1.0, 0.0)))
    return SGD(rate, momentum=momentum, nesterov=nesterov and momentum > 0.0, **penalty)


def optimizer_of(est: BaseMLP, gradient: float) -> Stepping:
    """Return the engine's optimizer for an estimator whose gradients are the engine's times `gradient`.

    A factor of the gradient is a factor of SGD's rate, and of what 1 / eps is for those that divide by the gradient's size.
    As in scikit-learn, partial_fit goes on with the optimizer that there is, whatever has been set since, but for `alpha`.
    """
    if isinstance(est.solver, Stepping):
        return est.solver
    kept: Any = est.network_._state.optimizer
    if est._policy is not None and est.solver in ("sgd", "adam") and type(kept) in (SGD, Adam):
        return replace(kept, **penalty_of(est, gradient))
    rate: Any = est.learning_rate_init
    if not isinstance(est.learning_rate, str):
        rate = est.learning_rate
    elif est.learning_rate not in POLICIES:
        rate = schedules.resolve(est.learning_rate, lr=est.learning_rate_init)
    penalty = penalty_of(est, gradient)
    if est.solver == "sgd":
        return sgd(rate, est.momentum, est.nesterovs_momentum, **penalty)
    eps = est.epsilon / gradient
    if est.solver == "rmsprop":
        return RMSprop(rate, rho=est.beta_2, eps=eps, **penalty)
    if est.solver == "adagrad":
        return Adagrad(rate, eps=eps, **penalty)
    adam = Adam(rate, est.beta_1, est.beta_2, eps, amsgrad=est.solver == "amsgrad", eps_hat=True, **penalty)
    if est.solver == "adamw":
        fields = {name: getattr(adam, name) for name in ("lr", "beta1", "beta2", "eps")}
        return AdamW(**fields, eps_hat=True, weight_decay=est.alpha, l2_over_batch=True)
    return adam


class Policy:
    """scikit-learn's constant, invscaling and adaptive rates; an adaptive one goes on from call to call of partial_fit.

    Attributes
    ----------
    rate : float
        The rate now.
    """

    def __init__(self, kind: str, first: float, power: float) -> None:
        self.kind, self.first, self.power = kind, float(first), float(power)
        self.rate = self.first

    def rates(self, epochs: NDArray[np.int64], seen: int, rows: int) -> NDArray[np.float64]:
        """Return the rate in each of the `epochs`, counted from the one that the rate now belongs to.

        `seen` is the number of rows before that one, `rows` their number in each.
        """
        if self.kind != "invscaling":
            return np.full(epochs.shape, self.rate)
        # Of one number at a time: NumPy rounds some powers of an array in another way, and calls are of any length.
        first, power, begun = self.first, self.power, seen + 1.0
        later = [first / (begun + epoch * rows) ** power for epoch in range(1, int(epochs[-1]) + 1)]
        return np.array([self.rate, *later])[epochs]

    def epoch_over(self, seen: int) -> None:
        """Take note that an epoch is over, after `seen` rows in all."""
        if self.kind == "invscaling":
            self.rate = self.first / (seen + 1.0) ** self.power

    def stalled(self) -> str:
        """Return what scikit-learn says when the loss has stopped falling: lower the rate, or "" to go no further."""
        if self.kind != "adaptive" or self.rate <= _LEAST_RATE:
            return ""
        self.rate /= _DIVISOR
        return f" Setting learning rate to {self.rate:f}"

    @property
    def last_words(self) -> str:
        """What scikit-learn prints when it stops."""
        return " Learning rate too small. Stopping." if self.kind == "adaptive" else " Stopping."
