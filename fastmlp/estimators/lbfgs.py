"""Training by L-BFGS on scikit-learn's objective: all rows at once, the penalty in it."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.optimize import _check_optimize_result

from .. import interruption
from ..callbacks import ends, listeners
from ..errors import warn, what_ended
from ..history import History
from ..lbfgs import Penalty, minimize
from ..optimizers import LBFGS
from ..reference import ids
from ..rows import Rows, value_and_grad

if TYPE_CHECKING:
    from .base import BaseMLP

__all__ = ["fit_lbfgs"]


class _Objective:
    """Loss and gradient by the flat parameters, with the penalty over the sum of weights."""

    def __init__(self, est: BaseMLP, rows: Rows) -> None:
        self.net, self.rows, self.objective = est.network_, rows, est._objective
        self.constant = self.objective.constant(rows.y, rows.weight)
        own = est.solver.l2 if isinstance(est.solver, LBFGS) else est.alpha / rows.total_weight()
        self.penalty = Penalty(self.net.plan, own)
        self.scratch = np.empty_like(self.net.params)
        self.ints = self.net._state.ints.copy()
        self.ints[ids.TRAINING] = 0

    def __call__(self, params: NDArray) -> tuple[float, NDArray]:
        interruption.check()
        net = self.net
        with np.errstate(over="ignore"):  # a trial point too far for float32 has an infinite loss
            net.params[...] = params
        value, grad = value_and_grad(net, self.ints, self.rows, self.scratch)
        penalty, slope = self.penalty(params)
        value = self.objective.value * value + self.constant + penalty
        return value, self.objective.gradient * grad + slope


def fit_lbfgs(est: BaseMLP, rows: Rows, callbacks: list[Any]) -> None:
    """Train; warns as scikit-learn does if iterations or evaluations run out."""
    net, function = est.network_, _Objective(est, rows)
    state = net._state
    began, out_of_time = time.perf_counter(), False
    history = net.history = History() if net.history is None else net.history
    before = history.seconds
    for callback in listeners(callbacks, "on_train_begin"):
        callback.on_train_begin(net)

    whole = net.params.copy()

    def after_iteration(intermediate_result: Any) -> None:
        nonlocal out_of_time
        net.params[...] = whole[...] = intermediate_result.x
        est.n_iter_ += 1
        est.loss_ = float(intermediate_result.fun)
        history.add([est.loss_], [], {})
        logs = history.last()
        told = listeners(callbacks, "on_epoch_end")
        answers = [(callback, callback.on_epoch_end(net, len(history) - 1, dict(logs))) for callback in told]
        over = any([ends(*answer) for answer in answers])
        changed = not np.array_equal(net.params, whole)
        if changed and over:  # nothing goes on from where it was
            whole[...] = net.params
        if net._state is not state or (changed and not over):
            done = "changed the network's parameters" if net._state is state else "reset the network"
            raise RuntimeError(
                f"a callback has {done}, but an estimator's L-BFGS goes on from where it was. Let the callback "
                "return True and fit again, use solver='adam', or call fm.MLP.fit."
            )
        out_of_time = est.max_time is not None and time.perf_counter() - began >= est.max_time
        if over or out_of_time:
            raise StopIteration

    settings = {"maxfun": est.max_fun, "maxiter": est.max_iter, "gtol": est.tol}
    if isinstance(est.solver, LBFGS):
        own = est.solver
        settings = {"maxfun": own.max_fun, "maxiter": own.max_iter, "gtol": own.tol, "maxcor": own.history}
    est.n_iter_ = 0
    try:
        result = minimize(function, net.params, after_iteration, settings)
    except BaseException as error:  # the line search may be at a trial point
        net.params[...] = whole
        history.stopped = what_ended(error)
        raise
    finally:
        history.seconds = before + time.perf_counter() - began
    ended_here = result.status not in (0, 1, 2)
    net.params[...] = whole if ended_here else result.x
    est.loss_ = result.fun
    history.stopped = "epochs" if result.status == 1 else "converged"
    if ended_here:
        history.stopped = "time" if out_of_time else "callback"
    for callback in listeners(callbacks, "on_train_end"):
        callback.on_train_end(net, history)
    if ended_here:
        est.n_iter_ = int(result.nit)
        if out_of_time:
            warn(f"lbfgs: max_time ({est.max_time:g} s) is over.", ConvergenceWarning)
        return
    if not math.isfinite(est.loss_):
        warn(f"lbfgs: the loss is {est.loss_}. Scale inputs, targets or weights to about unit size.", ConvergenceWarning)
    est.n_iter_ = _check_optimize_result("lbfgs", result, settings["maxiter"])
