"""Training by L-BFGS: SciPy's line search and curvature on the engine's loss and gradient of all rows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .arguments import Options, TrainingData
from .optimizers import LBFGS
from .reference import ids
from .training import Fit

if TYPE_CHECKING:
    from .network import MLP

__all__ = ["LBFGSRun"]


# SciPy's status when iterations or evaluations have run out.
_LIMIT = 1


class _Stop(Exception):
    """Ends SciPy's loop from its callback."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def _weights_of(net: MLP) -> NDArray[np.float64]:
    """Return 1 for each parameter that is a weight, 0 for biases."""
    mask = np.zeros(net.n_params)
    for weights in net.plan.weights(mask):
        weights[...] = 1.0
    return mask


class LBFGSRun(Fit):
    """Training by L-BFGS; an iteration counts as an epoch. Dropout is off, since the line search needs one function."""

    def __init__(self, net: MLP, data: TrainingData, options: Options) -> None:
        super().__init__(net, data, options)
        self.state.use(options.optimizer)

    def remedy(self) -> str:
        """Return what to try when the training diverges."""
        return "L-BFGS has no learning rate: scale inputs and targets to about unit size, or use fm.Adam(1e-3)."

    def run(self) -> str:
        """Train until something ends it; return what did."""
        from scipy.optimize import minimize

        optimizer = self.options.optimizer
        assert isinstance(optimizer, LBFGS)
        net, state, rows = self.net, self.state, self.data.train
        iterations = min(self.options.epochs, optimizer.max_iter)
        if iterations == 0:
            return "epochs"
        ints = state.ints.copy()
        ints[ids.TRAINING] = 0
        grad = np.empty_like(net.params)
        began = time.perf_counter()
        first = len(self.history)

        weights = _weights_of(net)

        def penalty(params: NDArray) -> float:
            return 0.5 * optimizer.l2 * float(np.square(weights * params).sum()) if optimizer.l2 else 0.0

        def value_and_grad(params: NDArray) -> tuple[float, NDArray]:
            with np.errstate(over="ignore"):  # a trial point too far for float32 has an infinite loss
                net.params[...] = params
            kernels, scratch = net._arena.take(len(rows))
            value = kernels.value_and_grad(
                net.plan.table, ints, state.reals, net.params, rows.x, rows.y, rows.weight, grad, scratch
            )
            net._arena.give(scratch)
            return value + penalty(params), grad.astype(np.float64) + optimizer.l2 * weights * params

        def after_iteration(intermediate_result) -> None:
            value = float(intermediate_result.fun) - penalty(intermediate_result.x)
            net.params[...] = intermediate_result.x
            if not np.isfinite(value):
                raise _Stop(self.diverged())
            ended = self.record([value], [])
            done = len(self.history) - first
            seconds = max(time.perf_counter() - began, 1e-9)
            validation = self.history.last().get("val_loss")
            self.reporter.update(done, value, validation, done * len(rows) / seconds)
            if ended:
                raise _Stop(ended)

        settings = {"maxiter": iterations, "maxfun": optimizer.max_fun, "maxcor": optimizer.history, "gtol": optimizer.tol}
        try:
            result = minimize(
                value_and_grad, net.params.astype(np.float64), method="L-BFGS-B", jac=True, callback=after_iteration,
                options=settings,
            )  # fmt: skip
        except _Stop as stop:
            return stop.why
        self.go_back()  # the line search may have left a trial point
        if not np.isfinite(result.fun):
            return self.diverged()
        # What SciPy calls abnormal is a line search that finds no lower loss at this precision.
        return "epochs" if result.status == _LIMIT else "converged"
