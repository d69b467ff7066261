"""Training by minibatches, with scikit-learn's rules for when to stop."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arguments import Options, TrainingData
from ..history import History
from ..reference import ids
from ..training import LOSS_OR_PARAMETER, Run
from .rates import optimizer_of

if TYPE_CHECKING:
    from .base import BaseMLP
    from .judge import Judge

__all__ = ["StochasticRun"]


class StochasticRun(Run):
    """One call of an estimator's fit or partial_fit; its attributes grow with each epoch.

    The engine is asked for as many epochs at once as can pass before training may have to stop: while the loss keeps
    falling that is n_iter_no_change and one more.
    """

    followed = True

    def __init__(self, est: BaseMLP, data: TrainingData, options: Options, judge: Judge | None) -> None:
        assert est.network_ is not None
        super().__init__(est.network_, data, options)
        self.est, self.judge = est, judge
        self.objective = est._objective
        self.constant = self.objective.constant(data.train.y, data.train.weight)
        self.validation_constant = 0.0
        if data.validation is not None:
            self.validation_constant = self.objective.constant(data.validation.y, data.validation.weight)
        own = options.optimizer is not est.solver
        self.rate_factor = self.objective.gradient if own and options.optimizer.kind == ids.SGD else 1.0
        # A history that has scikit-learn's penalty in it has the loss that the gradient is of, else the one that is shown.
        optimizer: Any = options.optimizer
        self.loss_factor = self.objective.gradient if optimizer.l2_over_batch else self.objective.value
        self.seen_before = est.t_
        self.weighs = data.train.total_weight() > 0.0
        self.began = time.perf_counter()

    def go(self) -> History:
        """Train; the best parameters come back where there is a judge."""
        self._mark()
        try:
            return super().go()
        except BaseException:
            self._catch_up()
            raise

    def _catch_up(self) -> None:
        """Take note of epochs of the last call that an interruption has left out, though the network has been through them.

        Where there is a judge, the network has gone back to the best of those that were judged, and the others are given up.
        """
        in_history, in_estimator = self._marks
        noted = in_history + self.est.n_iter_ - in_estimator
        if self.judge is not None:
            self.history.cut(noted)
        for epoch in range(noted, len(self.history)):
            self._epoch_over(epoch)

    def record(self, losses: list[float], rates: list[float]) -> str | None:
        """Note whole epochs that are over; see :meth:`Fit.record`."""
        self._mark()
        ended = super().record(losses, rates)
        self._mark()  # a callback may have trained in between
        return ended

    def _mark(self) -> None:
        """Keep how many epochs the history has where the estimator has noted so many."""
        self._marks = len(self.history), self.est.n_iter_

    def _epochs_at_once(self) -> float:
        if self.est.max_time is not None or (self.judge is not None and self.judge.scorer is not None):
            return 1
        return min(super()._epochs_at_once(), self.est.n_iter_no_change + 1 - self.est._no_improvement_count)

    def _rates(self, steps: int) -> NDArray[np.float64]:
        policy = self.est._policy
        if policy is None:
            return self.rate_factor * super()._rates(steps)
        epochs = (self.done + np.arange(steps)) // self.per_epoch
        first = self.done // self.per_epoch  # the policy's rate is this epoch's
        rows = len(self.data.train)
        return self.rate_factor * policy.rates(epochs - first, self.seen_before + first * rows, rows)

    def _ended(self, epoch: int) -> str | None:
        stalled = self._epoch_over(epoch)
        ended = super()._ended(epoch)
        if ended or stalled:
            return ended or ("converged" if self.judge is None else "early stopping")
        limit = self.est.max_time
        return "time" if limit is not None and time.perf_counter() - self.began >= limit else None

    def _epoch_over(self, epoch: int) -> bool:
        """Take note of an epoch; returns whether training has come to its end."""
        est = self.est
        est.n_iter_ += 1
        est.loss_ = self.loss_factor * self.history.loss[epoch] + self.constant
        est.t_ += len(self.data.train)
        est.loss_curve_.append(est.loss_)
        if est.verbose:
            print(f"Iteration {est.n_iter_}, loss = {est.loss_:.8f}")
        if self.data.validation is not None:
            value = self.objective.value * self.history.val_loss[epoch] + self.validation_constant
            est.validation_loss_curve_.append(value)
        if self.judge is not None:
            self._judge_epoch(self.judge, epoch)
        elif self.weighs:  # else a loss of 0 says nothing
            est._no_improvement_count = est._no_improvement_count + 1 if est.loss_ > est.best_loss_ - est.tol else 0
            est.best_loss_ = min(est.best_loss_, est.loss_)
        if est._policy is not None:
            est._policy.epoch_over(est.t_)
        if est._no_improvement_count <= est.n_iter_no_change:
            return False
        return self._stalled()

    def _judge_epoch(self, judge: Judge, epoch: int) -> None:
        est = self.est
        try:
            score = judge.score(est)
        except BaseException:  # an interruption mostly finds an estimator here
            self._take_back()
            raise
        assert est.validation_scores_ is not None
        est.validation_scores_.append(score)
        if est.verbose:
            print(f"Validation score: {score:f}")
        # A score that is NaN counts as none that is worse, as in scikit-learn.
        est._no_improvement_count = est._no_improvement_count + 1 if score < est.best_validation_score_ + est.tol else 0
        if score > est.best_validation_score_:
            # Copied first, then in one assignment: an interruption finds either the old best or the new one.
            best = self.net.params.copy()
            self.best_params, self.best_epoch, est.best_validation_score_ = best, epoch, score

    def diverged(self, what: str = LOSS_OR_PARAMETER) -> str:
        """Go back; no error where a best epoch comes back, as in scikit-learn, which trains on till nothing improves."""
        if self.best_params is not None:
            self.options.on_divergence = "warn"
        return super().diverged(what)

    def remedy(self) -> str:
        """Return what to try when the training diverges, among an estimator's parameters."""
        rate = self.rate / self.rate_factor
        return (
            f"The learning rate was {rate:.3g}: try {rate / 10:.1g}, an optimizer that clips such as "
            f"solver=fm.Adam({rate / 10:.1g}, clip_norm=1.0), or inputs scaled to about unit size."
        )

    def _take_back(self) -> None:
        """Forget the epoch just noted, which no score will follow."""
        est = self.est
        est.n_iter_ -= 1
        est.t_ -= len(self.data.train)
        for curve in (est.loss_curve_, est.validation_loss_curve_ if self.data.validation is not None else []):
            del curve[-1:]
        est.loss_ = est.loss_curve_[-1] if est.loss_curve_ else math.nan

    def _stalled(self) -> bool:
        """Lower an adaptive rate, or say that training has come to its end."""
        est = self.est
        what = "Validation score" if self.judge is not None else "Training loss"
        text = f"{what} did not improve more than tol={est.tol:f} for {est.n_iter_no_change} consecutive epochs."
        further = est._policy.stalled() if est._policy is not None else ""
        if est.verbose:
            last = est._policy.last_words if est._policy is not None else " Stopping."
            print(text + (further or last))
        if further:
            est._no_improvement_count = 0
        return not further


def options_of(est: BaseMLP, rows: int, epochs: int) -> Options:
    """Return the arguments of ``fm.MLP.fit`` that an estimator's parameters mean, but for the callbacks."""
    batch = min(200, rows) if est.batch_size == "auto" else min(max(est.batch_size, 1), rows)
    return Options(
        epochs=int(epochs), batch_size=batch, optimizer=optimizer_of(est, est._objective.gradient), shuffle=est.shuffle,
        metrics=None, early_stopping=None, callbacks=(), progress=bool(est.progress),
        on_divergence=est.on_divergence,
    )  # fmt: skip
