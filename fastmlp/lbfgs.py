"""Training by L-BFGS: SciPy's line search and curvature on the engine's loss and gradient of all rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import blas, interruption
from .optimizers import LBFGS
from .reference import ids
from .rows import value_and_grad
from .training import Fit

if TYPE_CHECKING:
    from .plan import Plan

__all__ = ["LBFGSRun", "Penalty", "minimize"]


# SciPy's status when iterations or evaluations have run out.
_LIMIT = 1


class _Stop(Exception):
    """Ends SciPy's loop from its callback."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Penalty:
    """l2 / 2 Σ w² over the weights of a plan, not its biases."""

    def __init__(self, plan: Plan, l2: float) -> None:
        self.is_weight, self.l2 = plan.is_weight(), l2

    def __call__(self, params: NDArray) -> tuple[float, NDArray[np.float64] | float]:
        """Return the penalty of all parameters (P,), and its gradient, (P,) or 0."""
        if self.l2 == 0.0:
            return 0.0, 0.0
        weights = np.where(self.is_weight, params, 0.0)
        # Not weights @ weights, which is for NumPy's BLAS: it would wake threads of its own.
        return 0.5 * self.l2 * float(np.square(weights).sum()), self.l2 * weights


def minimize(objective: Callable, params: NDArray, after_iteration: Callable, settings: dict[str, Any]) -> Any:
    """Return what SciPy's L-BFGS-B returns.

    Parameters
    ----------
    objective : callable
        From parameters (P,), float64, to the loss and its gradient (P,).
    params : (P,) array
        Where to begin.
    after_iteration : callable
        Its argument ``intermediate_result`` has the loss ``fun`` at the parameters ``x``.
    settings : dict
        SciPy's options.
    """
    from scipy import optimize

    with blas.one_thread():
        return optimize.minimize(
            objective, params.astype(np.float64), method="L-BFGS-B", jac=True, callback=after_iteration, options=settings
        )


class LBFGSRun(Fit):
    """Training by L-BFGS; an iteration counts as an epoch. Dropout is off, since the line search needs one function."""

    def begin(self) -> None:
        """Take the optimizer's settings into the state that the network has now."""
        self.state.use(self.options.optimizer)

    def remedy(self) -> str:
        """Return what to try when the training diverges."""
        return "L-BFGS has no learning rate: scale inputs and targets to about unit size, or use fm.Adam(1e-3)."

    def run(self) -> str:
        """Train until something ends it; return what did."""
        optimizer = self.options.optimizer
        assert isinstance(optimizer, LBFGS)
        self.began, self.done, most = time.perf_counter(), 0, min(self.options.epochs, optimizer.max_iter)
        while self.done < most:
            ended = self._minimize(optimizer, most - self.done)
            if ended:
                return ended
        return "epochs"

    def _minimize(self, optimizer: LBFGS, iterations: int) -> str:
        """Minimize from where the network is; returns what ended it, "" if a callback has changed or reset the network."""
        net, state, rows = self.net, self.state, self.data.train
        ints = state.ints.copy()
        ints[ids.TRAINING] = 0

        penalty, scratch = Penalty(net.plan, optimizer.l2), np.empty_like(net.params)

        def objective(params: NDArray) -> tuple[float, NDArray]:
            interruption.check()
            with np.errstate(over="ignore"):  # a trial point too far for float32 has an infinite loss
                net.params[...] = params
            value, grad = value_and_grad(net, ints, rows, scratch)
            extra, slope = penalty(params)
            return value + extra, grad + slope

        def after_iteration(intermediate_result) -> None:
            value = float(intermediate_result.fun) - penalty(intermediate_result.x)[0]
            net.params[...] = intermediate_result.x
            reached = net.params.copy() if self.options.callbacks else net.params
            if not np.isfinite(value):
                raise _Stop(self.diverged())
            ended = self.record([value], [])
            self.done += 1
            seconds = max(time.perf_counter() - self.began, 1e-9)
            validation = self.history.last().get("val_loss")
            self.reporter.update(self.done, value, validation, self.done * len(rows) / seconds)
            # SciPy would go on from where the network was before a callback changed or reset it.
            if ended or self.state is not state or not np.array_equal(net.params, reached):
                raise _Stop(ended or "")

        settings = {"maxiter": iterations, "maxfun": optimizer.max_fun, "maxcor": optimizer.history, "gtol": optimizer.tol}
        try:
            result = minimize(objective, net.params, after_iteration, settings)
        except _Stop as stop:
            return stop.why
        self.go_back()  # the line search may have left a trial point
        if not np.isfinite(result.fun):
            return self.diverged()
        # What SciPy calls abnormal is a line search that finds no lower loss at this precision.
        return "epochs" if result.status == _LIMIT else "converged"
