"""Training of a population: epochs, validation, stopping and divergence of each network by itself.

As in ``fastmlp/training.py``, epochs that are only judged go several in a call, with copies of the networks after each, and
are judged together after it. What then turns out to have gone otherwise is done again, epoch by epoch.
"""

from __future__ import annotations

import contextlib
import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import engine, interruption, memory
from ..arguments import Options, TrainingData
from ..callbacks import ends, listeners
from ..errors import DivergenceError, DivergenceWarning, counted, warn
from ..optimizers import Stepping
from ..reference import ids
from ..rows import apart
from ..schedules import Span
from ..state import SEED_MASK
from ..trainer import TrainedHere
from ..training import CALL_SECONDS, MOST_COPIED, MOST_JUDGED, MOST_STEPS
from .data import PopulationRows
from .group import Copies, Kept, bytes_of_one
from .history import PopulationHistory
from .stopping import Stopping, Verdict

if TYPE_CHECKING:
    from .population import Population

__all__ = ["PopulationRun"]

# About how long a call lasts in which networks may stop: what they do after that in the call is lost, half of it on average.
STOPPING_SECONDS = 0.01


class PopulationRun:
    """One call of ``Population.fit`` with checked arguments."""

    def __init__(
        self, population: Population, train: PopulationRows, validation: PopulationRows | None, options: Options,
        own_shuffles: bool,
    ) -> None:  # fmt: skip
        options.check_curves(validation is not None)
        for group in population._groups:
            engine.active_for(group.plan.activations)
        own = [group.params for group in population._groups]
        self.population, self.options = population, options
        self.train, self.validation = apart(train, own), None if validation is None else apart(validation, own)
        if not isinstance(options.optimizer, Stepping):
            raise ValueError(
                "L-BFGS trains one network at a time: net = population[i], a copy, then net.fit(..., optimizer=fm.LBFGS())."
            )
        first = TrainingData(train.one(0), None if validation is None else validation.one(0))
        options.check_metrics_on(first, population.n_outputs)
        self.optimizer: Stepping = options.optimizer
        self._check_memory()
        size, rows = len(population), len(train)
        self.batch = min(options.batch_size or rows, rows)
        self.per_epoch = rows // self.batch if options.drop_last else -(-rows // self.batch)
        starts = np.empty((size, 2), np.int64)
        for group, part in zip(population._groups, population._members, strict=True):
            starts[part] = group.ints[:, [ids.STEP, ids.EPOCH]]
        # Networks that stopped early in a fit before have fewer steps behind them than others.
        begun, which = np.unique(starts, axis=0, return_inverse=True)
        steps = options.epochs * self.per_epoch
        self.spans = [Span(int(step), steps, self.per_epoch, int(epoch)) for step, epoch in begun]
        self.span_of = which.ravel()
        self.factor = np.array(self.optimizer.varied.get("lr", np.ones(size)), np.float64)
        for span in self.spans:
            self._rates(span, 0, min(1, options.epochs))  # a schedule that does not fit this training says so now
        self.own_shuffles = own_shuffles
        stopping = options.early_stopping
        self.stopping = Stopping(stopping, options.higher_is_better(stopping.monitor), size) if stopping else None
        restores = stopping is not None and stopping.restore_best
        self.best_params = [group.params.copy() for group in population._groups] if restores else []
        self.watches = [watch for watch in (options.watch() for _ in range(size)) if watch]
        self.active = np.ones(size, bool)
        self.stopped, self.best_epoch = [""] * size, np.full(size, -1, np.int64)
        self.done = 0
        self.epochs_in_call = 1
        self.history = population.history or PopulationHistory(size)
        self.diverged_after: dict[int, int] = {}
        self._losses = np.empty((1, size))

    def _check_memory(self) -> None:
        """Refuse a training that memory does not hold: the networks, the optimizer's vectors, and two copies to go back to."""
        groups, vectors = self.population._groups, self.optimizer.slots
        size = 3 * sum(len(group) * bytes_of_one(group.plan, group.dtype, vectors) for group in groups)
        if not memory.holds(size):
            sgd = ", or pass optimizer='sgd', which keeps nothing" if vectors else ""
            raise ValueError(
                f"optimizer={type(self.optimizer).__name__} keeps {counted(vectors, 'number')} for each parameter: with copies "
                f"to go back to, training {counted(len(self.population), 'network')} takes {memory.in_words(size)}. Train some "
                f"of them at a time, as with population.select(range(100)){sgd}."
            )

    def _set(self) -> None:
        """Write the settings where the engine reads them."""
        shared = self.population.seed & SEED_MASK
        for group, part in zip(self.population._groups, self.population._members, strict=True):
            group.use(self.optimizer.of(part))
            # Not at row 0 are networks that another thread trained when they were copied.
            settings = self.batch, self.options.shuffle, self.options.drop_last, 1, 0
            group.ints[:, [ids.BATCH, ids.SHUFFLE, ids.DROP_LAST, ids.TRAINING, ids.ROW]] = settings
            group.ints[:, ids.SHUFFLE_SEED] = group.ints[:, ids.SEED] if self.own_shuffles else shared
        self._given = [group.optimizers for group in self.population._groups]

    def go(self) -> PopulationHistory:
        """Train; whatever ends it, each network is left as it was after a whole epoch."""
        with TrainedHere(self.population):
            self._set()
            return self._train()

    def _train(self) -> PopulationHistory:
        population, history = self.population, self.history
        population.history = history
        self._own_history()
        began, before = time.perf_counter(), history.seconds
        self._keep()
        try:
            history.reserve(min(self.options.epochs, max(1, MOST_COPIED // len(population))))
            with self.options.reporter as self.reporter:
                for callback in listeners(self.options.callbacks, "on_train_begin"):
                    callback.on_train_begin(population)
                self._keep_what_callbacks_did()
                self._run()
                self._stop(self.active, "epochs")
                self._restore_best()
                if self.diverged_after and self.options.on_divergence == "raise":
                    raise DivergenceError(self._divergence())
        except BaseException as error:
            self._go_back()
            self._restore_best()
            self._stop(self.active, "failed" if isinstance(error, Exception) else "interrupted")
            raise
        finally:
            history.seconds = before + time.perf_counter() - began
            self._own_history()
        if self.diverged_after:
            warn(self._divergence(), DivergenceWarning)
        for callback in listeners(self.options.callbacks, "on_train_end"):
            callback.on_train_end(population, history)
        return history

    def _own_history(self) -> None:
        """Show how this fit goes; one that a callback makes shows its own meanwhile."""
        self.history.stopped, self.history.best_epoch = self.stopped, self.best_epoch

    def _run(self) -> None:
        epochs, rows = self.options.epochs, len(self.train)
        while self.done < epochs and self.active.any():
            interruption.check()
            began, before = time.perf_counter(), self.done
            self._advance(min(self.epochs_in_call, epochs - self.done))
            seconds = max(time.perf_counter() - began, 1e-6)
            self.epochs_in_call = max(1, min(4 * self.epochs_in_call, self._epochs_at_once(seconds / (self.done - before))))
            last = {name: _mean(curve[-1]) for name, curve in self.history.curves.items()}
            speed = (self.done - before) * rows * int(self.active.sum()) / seconds
            self.reporter.update(self.done, last.get("loss"), last.get("val_loss"), speed)

    def _epochs_at_once(self, seconds: float) -> int:
        """Return how many epochs the next call may have, of so many seconds each."""
        epochs = min(int(CALL_SECONDS / seconds), MOST_STEPS // self.per_epoch)
        if self.options.shows_each_epoch:
            return 1
        if not self._judged:
            return epochs
        groups = self.population._groups
        copied = sum(len(group) * group.plan.n_params * (1 + bool(self.stopping) * group.slots.shape[1]) for group in groups)
        epochs = min(epochs, MOST_JUDGED, MOST_COPIED // copied)
        epochs = min([epochs, *(watch.epochs_left for watch, active in zip(self.watches, self.active, strict=False) if active)])
        if self.stopping:
            epochs = min(epochs, max(int(STOPPING_SECONDS / seconds), self.stopping.epochs_left(self.active)))
        return epochs

    @property
    def _judged(self) -> bool:
        """Whether anybody wants to know of the networks as they are after each epoch."""
        o = self.options
        return bool(o.callbacks or o.metrics or o.early_stopping or self.watches or self.validation is not None)

    def _rates(self, span: Span, first: int, epochs: int) -> NDArray[np.float64]:
        """Return the rates of the steps of some epochs, counted from 0, of the networks that this fit is such a span for."""
        steps = np.arange(span.start + first * self.per_epoch, span.start + (first + epochs) * self.per_epoch)
        if "lr" in self.optimizer.varied:
            return np.ones(len(steps))
        return self.optimizer.rates(steps, span)

    def _advance(self, epochs: int) -> None:
        """Do some epochs with all networks that are still at it."""
        if any(group.optimizers is not own for group, own in zip(self.population._groups, self._given, strict=True)):
            self._set()  # a callback has trained the networks in its own way
        rates = [self._rates(span, self.done, epochs) for span in self.spans]
        alike: dict[bytes, list[int]] = {}  # those of equal rates go together
        for span, lr in enumerate(rates):
            alike.setdefault(lr.tobytes(), []).append(span)
        together = self._judged and epochs > 1
        if together and len(alike) > 1:
            self._one_by_one(epochs)
            return
        if len(self._losses) < epochs:
            self._losses = np.empty((2 * epochs, len(self.population)))
        losses = self._losses[:epochs]
        losses[:, ~self.active] = math.nan
        copies: list[Copies | None] = []
        for number, members in enumerate(self.population._members):
            copied = None
            for spans in alike.values():
                going = np.flatnonzero(self.active[members] & np.isin(self.span_of[members], spans))
                if together and going.size:
                    copied = Copies(self.population._groups[number], going, epochs, to_go_on=self.stopping is not None)
                lr, kept = rates[spans[0]], self._saved[0][number]
                if not self._advance_group(number, members, going, self.done, lr, losses, kept, copied):
                    self._one_by_one(epochs)
                    return
            copies.append(copied)
        if not self.active.any():  # the call ends for all with the epoch in which the last of them diverged, as one by one
            epochs = 1 + max(self.diverged_after.values()) - self.done
        curves = {"loss": losses} | self._judge(losses, copies)
        verdict = self.stopping.judge(curves[self.stopping.given.monitor], self.active) if self.stopping else None
        finite = self.validation is None or np.isfinite(curves["val_loss"][:, self.active]).all()
        if together and not (finite and self._went_alike(copies, verdict)):
            self._one_by_one(epochs)
            return
        if together and verdict:
            self._cut(curves, copies, verdict)
            epochs = verdict.epochs
        self.done += epochs
        self.history.add({name: curve[:epochs] for name, curve in curves.items()})
        self._keep()
        if self._judged:
            self._look(curves, copies, verdict, rates)
        self._keep_what_callbacks_did()

    def _one_by_one(self, epochs: int) -> None:
        """Do the epochs of a call again, which turned out not to be what they would have been one by one."""
        self._go_back()
        for _ in range(epochs):
            if self.active.any():
                self._advance(1)

    def _went_alike(self, copies: list[Copies | None], verdict: Verdict | None) -> bool:
        """Whether the engine does the same with those that go on when others have stopped."""
        if verdict is None:
            return True
        for group, members, copied in zip(self.population._groups, self.population._members, copies, strict=True):
            if copied is not None:
                last = verdict.last[members[copied.rows]]
                left = [copied.rows[last > epoch] for epoch in np.unique(last)]
                if len({group.way(rows) for rows in (copied.rows, *left) if rows.size}) > 1:
                    return False
        return True

    def _cut(self, curves: dict[str, NDArray[np.float64]], copies: list[Copies | None], verdict: Verdict) -> None:
        """Take networks that have stopped within a call back to there."""
        epochs = len(curves["loss"])
        for curve in curves.values():
            curve[np.arange(epochs)[:, np.newaxis] > verdict.last] = math.nan
        for group, members, copied in zip(self.population._groups, self.population._members, copies, strict=True):
            if copied is not None:
                last = verdict.last[members[copied.rows]]
                early = np.flatnonzero(last < epochs - 1)
                copied.go_back(group, early, last[early], self.per_epoch)

    def _advance_group(
        self, number: int, members: NDArray, rows: NDArray, first: int, lr: NDArray, losses: NDArray, kept: Kept,
        copies: Copies | None = None,
    ) -> bool:  # fmt: skip
        """Do epochs from `first` on with a group's networks in `rows`; returns whether they are as they are to be.

        Networks that diverge go back to `kept`, and theirs are done again one by one, but not where there are copies.
        """
        if rows.size == 0:
            return True
        group, networks = self.population._groups[number], members[rows]
        data, factor = self.train.of(networks), self._factor(networks)
        result = group.train(rows, data, lr, factor, len(losses), copies)
        losses[:, networks if len(networks) < losses.shape[1] else slice(None)] = result
        if math.isfinite(result.sum()) and np.isfinite(group.params).all():
            return True
        bad = np.flatnonzero(~(np.isfinite(result).all(axis=0) & np.isfinite(group.params[rows]).all(axis=1)))
        if bad.size == 0 or copies is not None:
            return bad.size == 0
        kept.restore(group, np.searchsorted(kept.rows, rows[bad]))
        if len(losses) == 1:
            for network in networks[bad]:
                self._diverged(int(network), first)
                losses[:, network] = math.nan
            return True
        losses[:, networks[bad]] = math.nan
        for epoch in range(len(losses)):
            again = rows[bad][self.active[networks[bad]]]
            if again.size == 0:
                break
            step = slice(epoch * self.per_epoch, (epoch + 1) * self.per_epoch)
            self._advance_group(number, members, again, first + epoch, lr[step], losses[epoch : epoch + 1], Kept(group, again))
        return True

    def _factor(self, networks: NDArray) -> NDArray[np.float64]:
        return np.array([self.watches[i].factor for i in networks]) if self.watches else self.factor[networks]

    def _last_rates(self, rates: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return each network's rate of the last of these steps; NaN of those that have stopped."""
        found = np.full(len(self.active), math.nan)
        for span, lr in enumerate(rates):
            going = np.flatnonzero(self.active & (self.span_of == span))
            found[going] = lr[-1] * self._factor(going)
        return found

    def _keep(self) -> None:
        """Remember the networks that are at it as they are, at the end of an epoch."""
        groups = zip(self.population._groups, self.population._members, strict=True)
        kept = [Kept(group, np.flatnonzero(self.active[part])) for group, part in groups]
        # In one assignment: an interruption finds either the old copies or the new ones.
        self._saved = kept, len(self.history.loss)

    def _keep_what_callbacks_did(self) -> None:
        if self.options.callbacks and all(np.isfinite(group.params).all() for group in self.population._groups):
            self._keep()

    def _go_back(self) -> None:
        saved, epochs = self._saved
        for group, kept in zip(self.population._groups, saved, strict=True):
            kept.restore(group, np.arange(len(kept.rows)))
        self.history.cut(epochs)

    def _judge(self, losses: NDArray, copies: list[Copies | None]) -> dict[str, NDArray[np.float64]]:
        """Return validation losses and metrics after each epoch, (epochs, size) each."""
        judged: dict[str, NDArray[np.float64]] = {}
        if self.validation is not None:
            judged["val_loss"] = np.full(losses.shape, math.nan)
        for metric in self.options.metrics:
            for prefix, rows in (("", self.train), ("val_", self.validation)):
                if rows is not None:
                    judged[prefix + metric.name] = np.full(losses.shape, math.nan)
        for number, members in enumerate(self.population._members):
            active = np.flatnonzero(self.active[members])
            if active.size and judged:
                self._judge_group(number, active, members[active], copies[number], judged)
        if self.validation is not None and len(losses) == 1:
            for network in np.flatnonzero(self.active & ~np.isfinite(judged["val_loss"][0])):
                group, row = self.population._place(int(network))
                kept = self._saved[0][self.population._where[network, 0]]
                kept.restore(group, np.searchsorted(kept.rows, [row]))
                self._diverged(int(network), self.done)
                for curve in (losses, *judged.values()):
                    curve[:, network] = math.nan
        return judged

    def _judge_group(
        self, number: int, rows: NDArray, networks: NDArray, copies: Copies | None, judged: dict[str, NDArray]
    ) -> None:
        group = self.population._groups[number]
        times = group.params[rows][np.newaxis] if copies is None else copies.params
        if self.validation is not None:
            judged["val_loss"][:, networks] = group.losses(rows, self.validation.of(networks), times)
        if not self.options.metrics:
            return
        for prefix, data in (("", self.train), ("val_", self.validation)):
            if data is not None:
                # As many predictions at a time as there may be copies of parameters.
                many = max(1, MOST_COPIED // (len(rows) * len(data) * group.plan.n_outputs))
                for first in range(0, len(times), many):
                    predictions = group.predict(rows, data.x, times[first : first + many])
                    for metric in self.options.metrics:
                        judged[prefix + metric.name][first : first + many, networks] = data.judge(metric, networks, predictions)

    def _look(
        self, curves: dict[str, NDArray[np.float64]], copies: list[Copies | None], verdict: Verdict | None, rates: list[NDArray]
    ) -> None:
        """Tell callbacks of an epoch, and stop the networks that have done enough."""
        told, answers = listeners(self.options.callbacks, "on_epoch_end"), []
        if told:
            logs = {name: values[-1] for name, values in curves.items()} | {"lr": self._last_rates(rates)}
            epoch = len(self.history.loss) - 1
            for callback in told:  # each with arrays of its own
                own = {name: values.copy() for name, values in logs.items()}
                answers.append(callback.on_epoch_end(self.population, epoch, own))
        for i, watch in enumerate(self.watches):
            for value in curves[watch.monitor][:, i].tolist() if self.active[i] else ():
                watch.update(value)
        if self.stopping and verdict:
            self._note_best(copies, verdict)
            self.stopping.accept(verdict)
            self._stop(verdict.stopped, "early stopping")
        for callback, answer in zip(told, answers, strict=True):
            self._stop(self.active & _answered(callback, answer, len(self.active)), "callback")

    def _note_best(self, copies: list[Copies | None], verdict: Verdict) -> None:
        """Note the best epochs among those just over, and keep their parameters if they are to come back."""
        better = self.active & (verdict.found >= 0)
        if not better.any():
            return
        epochs = np.where(better, len(self.history.loss) - verdict.epochs + verdict.found, self.best_epoch)
        kept = [params.copy() for params in self.best_params]
        for number, best in enumerate(kept):
            members, copied = self.population._members[number], copies[number]
            rows = np.flatnonzero(better[members])
            if copied is None:
                best[rows] = self.population._groups[number].params[rows]
            else:
                best[rows] = copied.params[verdict.found[members[rows]], np.searchsorted(copied.rows, rows)]
        # In one assignment: an interruption finds either the old best ones or the new ones.
        self.best_params, self.best_epoch = kept, epochs
        self._own_history()

    def _stop(self, networks: NDArray[np.bool_], why: str) -> None:
        for i in np.flatnonzero(networks & self.active):
            self.stopped[i] = why
        self.active = self.active & ~networks

    def _diverged(self, network: int, epoch: int) -> None:
        self.diverged_after[network] = epoch
        self.stopped[network] = "diverged"
        self.active[network] = False

    def _divergence(self) -> str:
        networks = sorted(self.diverged_after)
        named = ", ".join(map(str, networks[:8])) + (", ..." if len(networks) > 8 else "")
        first = networks[0]
        # The rate of the epoch in which the first of them went wrong.
        epoch = min(self.diverged_after[first], self.options.epochs - 1)
        rates = self._rates(self.spans[self.span_of[first]], epoch, 1)
        rate = float(rates[-1] * self._factor(np.array([first]))[0])
        which, whose = ("It", "Its") if len(networks) == 1 else ("The first of them", "Their")
        return (
            f"{len(networks)} of {counted(len(self.population), 'network')} diverged: {named}. {which} did in epoch "
            f"{self.diverged_after[first]} of this fit, at a learning rate of {rate:.3g}. {whose} parameters are those of "
            f"{whose.lower()} last finite epoch. Try {rate / 10:.1g}, clip_norm=1.0, or inputs scaled to about unit size."
        )

    def _restore_best(self) -> None:
        for number, best in enumerate(self.best_params):
            rows = np.flatnonzero(self.best_epoch[self.population._members[number]] >= 0)
            self.population._groups[number].params[rows] = best[rows]


def _answered(callback: Any, answer: Any, size: int) -> NDArray[np.bool_]:
    """Return which networks a callback wants to stop: True or False for all, or one for each."""
    stop = None
    if isinstance(answer, (list, tuple)) or np.ndim(answer):
        with contextlib.suppress(TypeError, ValueError):  # of what has no shape, which `ends` refuses
            given = np.asarray(answer)
            stop = given.astype(bool)
    if stop is None:
        return np.asarray(ends(callback, answer, f", or an array with one of them for each of {counted(size, 'network')}"))
    if stop.shape != (size,):
        are = f"{'is' if size == 1 else 'are'} {counted(size, 'network')}"
        raise ValueError(
            f"{type(callback).__name__}.on_epoch_end answered with shape {stop.shape}, but there {are}. "
            f"Return True or False for all of them, or an array of {size}."
        )
    if given.dtype.kind not in "biuO":  # an object may be a list's None
        raise TypeError(
            f"{type(callback).__name__}.on_epoch_end answered with an array of {given.dtype}, but it must be True or False for "
            f"each of {counted(size, 'network')}. Return a condition, such as logs['loss'] < 0.01."
        )
    return stop


def _mean(values: NDArray) -> float | None:
    """Return the mean over the networks that are still at it."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else None
