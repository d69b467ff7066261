"""fit: epochs, validation, stopping, callbacks, interruption, divergence.

An epoch, or many short ones, is one call of the engine. It comes back several times a second, so that a Ctrl-C
gets through and the progress bar moves, and after each epoch if a callback wants to hear of it. Where epochs are only
judged, the engine copies the parameters after each, and they are judged together after the call.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from . import arrays, engine, interruption
from .arguments import Options, TrainingData, prepare
from .callbacks import Best, ends, listeners
from .errors import DivergenceError, DivergenceWarning, counted, warn, what_ended
from .history import History
from .optimizers import LBFGS
from .plan import aligned_empty
from .reference import ids
from .rows import apart, loss
from .schedules import Span
from .sparse import Reader, is_sparse
from .state import Saved, TrainingState
from .stepping import rates_of
from .trainer import TrainedHere

if TYPE_CHECKING:
    from .network import MLP

__all__ = ["Fit", "Options", "Run", "fit", "prepare"]

T = TypeVar("T")

# A call of the engine lasts about this long, and so at most does judging its epochs: short enough for the progress bar, long
# enough that calling costs nothing.
CALL_SECONDS = 0.15
# The first call is shorter, since how long a step takes is not known yet.
FIRST_CALL_SECONDS = 0.001
# How many steps one call may run at most: the rates and losses of so many fit into memory that malloc hands out again and
# again, where larger arrays come from the system as pages that it clears first.
MOST_STEPS = 1 << 13
# How many epochs of a call are judged after it, at most, and how many numbers the copies of their parameters may be.
MOST_JUDGED, MOST_COPIED = 64, 1 << 20
# How long a step of a kind of training took last time in this process.
_step_seconds: dict[tuple, float] = {}
MOST_KINDS = 1000
# What mostly becomes infinite or NaN.
LOSS_OR_PARAMETER = "its loss or a parameter"


def fit(net: MLP, data: TrainingData, options: Options) -> History:
    """Train a network on checked data; see ``MLP.fit``."""
    options.check_curves(data.validation is not None)
    options.check_metrics_on(data, net.plan.n_outputs)
    if isinstance(options.optimizer, LBFGS):
        from .lbfgs import LBFGSRun

        return LBFGSRun(net, data, options).go()
    return Run(net, data, options).go()


class Fit:
    """What every way of training shares: what happens around it, and after each epoch."""

    def __init__(self, net: MLP, data: TrainingData, options: Options) -> None:
        engine.active_for(net.plan.activations)
        validation = None if data.validation is None else apart(data.validation, (net.params,))
        self.net, self.options = net, options
        self.data = TrainingData(apart(data.train, (net.params,)), validation)
        self.state = net._state
        self.history = net.history if net.history is not None else History()
        self._watch_anew()
        self.best_params: NDArray | None = None
        self.best_epoch: int | None = None
        self._saved: tuple[Saved, TrainingState, History, int, int] | None = None
        self._spare: Saved | None = None
        self._divergence = ""

    def go(self) -> History:
        """Train; whatever ends it, the network is left as it was after a whole epoch."""
        with TrainedHere(self.net):
            self.begin()
            return self._train()

    def _train(self) -> History:
        net = self.net
        net.history = self.history
        self.history.best_epoch = None
        self.keep()
        self._start_clock()
        try:
            with self.options.reporter as self.reporter:
                for callback in listeners(self.options.callbacks, "on_train_begin"):
                    callback.on_train_begin(net)
                self._begin_anew_if_reset()
                self._keep_what_callbacks_did()
                stopped = self.run()
                if self.options.callbacks and not self._divergence and not _finite(net.params):
                    stopped = self.diverged()  # by a callback, after the last epoch
                self.history.stopped = stopped
                self._restore_best()
                if self._divergence and self.options.on_divergence == "raise":
                    raise DivergenceError(self._divergence)
        except BaseException as error:
            self.go_back()
            self._restore_best()
            self.history.stopped = what_ended(error)
            raise
        finally:
            self.history.seconds = self._seconds_before + time.perf_counter() - self._began
            self.history.best_epoch = self.best_epoch  # a callback may have trained in between
        if self._divergence:
            warn(self._divergence, DivergenceWarning)
        for callback in listeners(self.options.callbacks, "on_train_end"):
            callback.on_train_end(net, self.history)
        return self.history

    def run(self) -> str:
        """Train until something ends it; return what did."""
        raise NotImplementedError

    def remedy(self) -> str:
        """Return a sentence that says what to try when the training diverges."""
        raise NotImplementedError

    def _start_clock(self) -> None:
        self._began, self._seconds_before = time.perf_counter(), self.history.seconds

    def _watch_anew(self) -> None:
        """Let what judges curves have seen no epoch."""
        stopping = self.options.early_stopping
        self.watch = self.options.watch()
        self.best = Best(self.options.higher_is_better(stopping.monitor), stopping.min_delta) if stopping else None

    def _begin_anew_if_reset(self) -> bool:
        """Go on with the network's new state and history if a callback has reset it; returns whether one has."""
        net = self.net
        if net._state is self.state:
            return False
        before = self.best_params, self.best_epoch, self._began, self._seconds_before
        try:
            self.state = net._state
            self.history = net.history = History() if net.history is None else net.history
            self._start_clock()
            if self.options.early_stopping:
                self.best_params = self.best_epoch = None
            self._watch_anew()
            self.begin()
            self.keep()
        except BaseException:  # what is gone back to is the training before
            self.best_params, self.best_epoch, self._began, self._seconds_before = before
            raise
        return True

    def begin(self) -> None:
        """Get ready to go on from the state that the network has now."""
        raise NotImplementedError

    def keep(self) -> None:
        """Remember this moment, the end of a whole epoch, as the one to go back to."""
        # Into memory of its own, then in one assignment: an interruption finds either the old copy or the new one.
        state, history = self.state, self.history
        fresh = state.save(self.net.params, self._spare), state, history, len(history), self.net.seed
        self._spare = self._saved[0] if self._saved else None
        self._saved = fresh

    def _keep_what_callbacks_did(self) -> None:
        if self.options.callbacks and _finite(self.net.params):
            self.keep()

    def go_back(self) -> None:
        """Go back to the moment that was remembered."""
        assert self._saved is not None
        # A callback may have reset the network, which this training has begun to go on from, or not yet.
        saved, self.state, self.history, epochs, self.net.seed = self._saved
        self.net._state, self.net.history = self.state, self.history
        self.state.restore(saved, self.net.params)
        self.history.cut(epochs)

    def record(self, losses: list[float], rates: list[float]) -> str | None:
        """Note whole epochs that are over; judge the network if somebody wants to. Returns what ends the training."""
        judged: dict[str, list[float]] = {}
        if self.options.metrics or self.data.validation is not None:
            for values in self._after_each(len(losses), lambda _: self._judge()):
                for name, value in values.items():
                    judged.setdefault(name, []).append(value)
        if not all(map(math.isfinite, judged.get("val_loss", ()))):
            return self.went_wrong(len(losses), "its validation loss")
        first, ended = len(self.history), None
        self.history.add(losses, rates, judged)
        if not self.over or self.followed:  # else nothing comes that could go wrong
            self.keep()
        if self.followed:
            ended = self._after_each(len(losses), lambda number: self._ended(first + number))[-1]
        self._keep_what_callbacks_did()
        return ended

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do but to judge the last epochs."""
        return False

    @property
    def judged(self) -> bool:
        """Whether anybody wants to know of the network as it is after each epoch."""
        o = self.options
        return bool(o.callbacks or o.metrics or self.best or self.watch or self.data.validation is not None)

    @property
    def followed(self) -> bool:
        """Whether anything happens after each epoch."""
        return self.judged

    def _after_each(self, epochs: int, see: Callable[[int], T]) -> list[T]:
        """Return see(number) of the epochs just over, the network being, if it is judged, as it was after each of them."""
        assert epochs == 1
        return [see(0)]

    def went_wrong(self, epochs: int, what: str = LOSS_OR_PARAMETER) -> str | None:
        """Give up one of the epochs just over; returns what ends the training."""
        assert epochs <= 1
        return self.diverged(what)

    def _judge(self) -> dict[str, float]:
        """Return the validation loss and the metrics of the network as it is."""
        train, validation = self.data.train, self.data.validation
        judged = {} if validation is None else {"val_loss": loss(self.net, self.state.ints, validation)}
        if self.options.metrics:
            for prefix, rows in (("", train), ("val_", validation)):
                if rows is not None:
                    prediction = self.net.predict(rows.x)
                    for metric in self.options.metrics:
                        judged[prefix + metric.name] = metric(rows.y, prediction, rows.weight)
        return judged

    def _ended(self, epoch: int) -> str | None:
        """Return what ends the training after this epoch, if anything does."""
        if not (self.options.callbacks or self.watch or self.best):
            return None
        logs = self.history.at(epoch)
        # Every callback hears of the epoch, whichever of them wants to stop, and from a dict of its own.
        told = listeners(self.options.callbacks, "on_epoch_end")
        answers = [(callback, callback.on_epoch_end(self.net, epoch, dict(logs))) for callback in told]
        over = any([ends(*answer) for answer in answers])
        if self._begin_anew_if_reset():  # the epoch is forgotten, and no curve has it
            return "callback" if over else None
        if self.watch:
            self.watch.update(logs[self.watch.monitor])
        stopping = self.options.early_stopping
        if stopping and self.best:
            if self.best.improves(logs[stopping.monitor]):
                # Copied first, then in one assignment: an interruption finds either the old best or the new one.
                best = self.net.params.copy() if stopping.restore_best else None
                self.best_params, self.best_epoch = best, epoch
                self.history.best_epoch = epoch
            elif self.best.epochs_since >= stopping.patience:
                return "early stopping"
        return "callback" if over else None

    def _kept_epochs(self) -> int:
        """Return after how many epochs the parameters were what they will be when this ends."""
        best = self.best_epoch
        return len(self.history) if self.best_params is None or best is None else best + 1

    def _restore_best(self) -> None:
        if self.best_params is not None:
            self.net.params[...] = self.best_params

    def diverged(self, what: str = LOSS_OR_PARAMETER) -> str:
        """Go back to the last finite epoch, and say so."""
        self.go_back()
        epochs, best = len(self.history), "" if self.best_params is None else ", the best of them"
        self._divergence = (
            f"Training diverged in epoch {epochs}: {what} became infinite or NaN. "
            f"The parameters are those after {counted(self._kept_epochs(), 'epoch')}{best}. {self.remedy()}"
        )
        if not _finite(self.net.params):
            self._divergence = (
                f"Training diverged in epoch {epochs}: parameters were infinite or NaN before it. Give net.params finite "
                "numbers, or call net.reset()."
            )
        return "diverged"


class Run(Fit):
    """Training by an optimizer that steps: everything but L-BFGS."""

    def __init__(self, net: MLP, data: TrainingData, options: Options) -> None:
        super().__init__(net, data, options)
        data = self.data
        rows = len(data.train)
        self.batch = min(options.batch_size or rows, rows)
        self.per_epoch = rows // self.batch if options.drop_last else -(-rows // self.batch)
        self.done = 0
        self._count()
        # What does not fit this training says so now.
        options.optimizer.check_layers(net.plan.n_layers)
        self._for_engine(self._rates_of(self.span.start, min(1, self.span.steps)))
        self.order = np.zeros(rows if options.shuffle else 0, np.int64)
        self.reader = Reader(data.train.x, self.batch) if is_sparse(data.train.x) else None
        self.losses = np.zeros(1)
        self.copies = np.zeros((0, net.n_params), net.dtype)
        if self.judged:
            self.copies = aligned_empty((max(1, min(MOST_JUDGED, MOST_COPIED // net.n_params)), net.n_params), net.dtype)
        self._kind = (self.reader is None, self.batch, net.dtype.char, engine.active_name(), net.plan.table.tobytes())
        # A guess on the safe side: a microsecond, and what a tenth of an old core's speed gives.
        guess = 1e-6 + 6 * self.batch * net.n_params / 1e9
        seconds = _step_seconds.get(self._kind)
        self.steps_in_call = max(1, int(CALL_SECONDS / seconds if seconds else FIRST_CALL_SECONDS / guess))
        # How long it takes to judge an epoch: a guess of that kind, then what it took last time.
        validated = 0 if data.validation is None else len(data.validation)
        self.judging_seconds = 1e-6 + 2 * (rows + validated) * net.n_params / 1e9
        self.rate = math.nan

    def begin(self) -> None:
        """Go on from the state that the network has now."""
        self.state.ints[ids.ROW] = 0  # not so of a copy that another thread made amid an epoch
        self._count()
        self._set()

    def _count(self) -> None:
        """Count steps and epochs on from the state that the network has now; what was planned for this fit goes on."""
        ints, epochs = self.state.ints, self.done // self.per_epoch
        steps = self.options.epochs * self.per_epoch
        self.span = Span(int(ints[ids.STEP]) - self.done, steps, self.per_epoch, int(ints[ids.EPOCH]) - epochs)
        self.epochs_before = len(self.history) - epochs

    def _set(self) -> None:
        """Write the settings where the engine reads them."""
        o, state = self.options, self.state
        state.use(o.optimizer)
        ints = state.ints
        ints[ids.BATCH], ints[ids.SHUFFLE], ints[ids.DROP_LAST], ints[ids.TRAINING] = self.batch, o.shuffle, o.drop_last, 1

    @property
    def over(self) -> bool:
        """Whether all steps are done."""
        return self.done == self.span.steps

    def run(self) -> str:
        """Train until something ends it; return what did."""
        began, before = time.perf_counter(), 0
        while self.done < self.span.steps:
            interruption.check()
            first_call = self.done == 0
            ended = self._advance(self._steps())
            now = time.perf_counter()
            speed = (self.done - before) * len(self.data.train) / self.per_epoch / max(now - began, 1e-9)
            last = self.history.last()
            self.reporter.update(self.done / self.per_epoch, last.get("loss"), last.get("val_loss"), speed)
            if first_call:  # which may have waited for the compiler: the speed is that of all calls after it
                began, before = now, self.done
            if ended:
                return ended
        return "epochs"

    def remedy(self) -> str:
        """Return what to try when the training diverges."""
        rate = self.rate
        return f"The learning rate was {rate:.3g}: try {rate / 10:.1g}, clip_norm=1.0, or inputs scaled to about unit size."

    def _steps(self) -> int:
        """Return the number of steps of the next call: up to the end of an epoch, or as many as take a moment."""
        into = self.done % self.per_epoch
        left_in_epoch = self.per_epoch - into
        steps = max(1, min(self.steps_in_call, MOST_STEPS))
        if self.reader is not None:
            steps = min(steps, self.reader.steps, left_in_epoch)
        elif into or steps < left_in_epoch:
            steps = min(steps, left_in_epoch)
        else:
            steps = self.per_epoch * int(max(1, min(steps // self.per_epoch, self._epochs_at_once())))
        return min(steps, self.span.steps - self.done)

    def _epochs_at_once(self) -> float:
        """Return how many epochs may pass until something may have to change, or a user's function wants to see the network."""
        if self.options.shows_each_epoch:
            return 1
        epochs = min(len(self.copies), CALL_SECONDS / self.judging_seconds) if self.judged else math.inf
        if self.best and self.options.early_stopping:
            epochs = min(epochs, self.options.early_stopping.patience - self.best.epochs_since)
        return min(epochs, self.watch.epochs_left) if self.watch else epochs

    def _advance(self, steps: int) -> str | None:
        """Do `steps` steps; returns what ends the training."""
        began = time.perf_counter()
        finished, rates = self.call(steps)
        seconds = time.perf_counter() - began
        # Grows slowly: the first calls may have waited for the compiler or for cold caches.
        self.steps_in_call = max(1, min(int(steps * CALL_SECONDS / max(seconds, 1e-6)), 4 * self.steps_in_call))
        if len(_step_seconds) >= MOST_KINDS:
            _step_seconds.clear()
        _step_seconds[self._kind] = seconds / steps
        losses = self.losses[:finished]
        if _finite(losses) and _finite(self.net.params):
            return self._accept(steps, losses, rates)
        return self.went_wrong(finished)

    def call(self, steps: int) -> tuple[int, NDArray[np.float64]]:
        """Let the engine do `steps` steps; returns the epochs that it finished, and the rates."""
        net, state, train = self.net, self.state, self.data.train
        if self.options.callbacks:  # they may have trained the network in their own way
            self._set()
        rates = self._rates(steps)
        columns = self._for_engine(rates)
        # That of the first epoch's last step: where a later epoch goes wrong, each gets a call of its own.
        self.rate = float(rates[min(steps, self.per_epoch) - 1])
        epochs = -(-steps // self.per_epoch) + 1
        if self.losses.size < epochs:
            self.losses = np.zeros(2 * epochs)
        x = train.x if self.reader is None else self._next_rows(self.reader, steps)
        # Anew for each call, since a callback may have chosen another engine or number of threads.
        desk = net._arena.take(len(train), x.shape[1])
        finished = desk.kernels.train_steps(
            net.plan.table, state.ints, state.reals, net.params, state.slots, x, train.y, train.weight, self.order,
            columns, self.losses, desk.scratch, self.copies if self.judged and steps > self.per_epoch else self.copies[:0],
        )  # fmt: skip
        net._arena.give(desk)
        return finished, rates

    def _next_rows(self, reader: Reader, steps: int) -> NDArray:
        """Return the inputs of the next `steps` steps alone, in the epoch's order, and tell the engine so."""
        ints = self.state.ints
        ints[ids.WINDOW] = first = int(ints[ids.ROW])
        last = min(first + steps * self.batch, len(self.data.train))
        if not self.options.shuffle or last - first == len(self.data.train):
            return reader.rows(slice(first, last))  # all rows the engine takes by the order itself
        if first == 0:
            engine.part("rng").permutation(ints[ids.SHUFFLE_SEED], ints[ids.EPOCH], self.order)
        return reader.rows(self.order[first:last])

    def _rates(self, steps: int) -> NDArray[np.float64]:
        """Learning rates of the next `steps` steps."""
        rates = self._rates_of(self.span.start + self.done, steps)
        return self.watch.apply(rates) if self.watch else rates

    def _for_engine(self, rates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the next steps' rates, (n, 1), or (n, 3) with weight decays and factors of dropout if one has a schedule."""
        optimizer: Any = self.options.optimizer
        dropout = self.options.dropout_schedule
        if dropout is None and not optimizer.scheduled:
            return rates[:, np.newaxis]
        first = self.span.start + self.done
        steps = np.arange(first, first + len(rates))
        factors = rates_of(1.0 if dropout is None else dropout, steps, self.span, most=1.0)
        return np.stack([rates, optimizer.decays(steps, self.span), factors], axis=1)

    def _rates_of(self, first: int, steps: int) -> NDArray[np.float64]:
        optimizer: Any = self.options.optimizer
        return optimizer.rates(np.arange(first, first + steps), self.span)

    def _accept(self, steps: int, losses: NDArray[np.float64], rates: NDArray[np.float64]) -> str | None:
        """Take note of steps that went well."""
        into = self.done % self.per_epoch
        self.done += steps
        if losses.size == 0:
            return None
        ends = rates[self.per_epoch - 1 - into :: self.per_epoch][: losses.size]
        # Mostly it is one rate for all of them: one number, many times, takes less time and memory than many equal ones.
        first = float(ends[0])
        began = time.perf_counter()
        ended = self.record(losses.tolist(), [first] * ends.size if (ends == first).all() else ends.tolist())
        self.judging_seconds = max((time.perf_counter() - began) / losses.size, 1e-9)
        return ended

    def _after_each(self, epochs: int, see: Callable[[int], T]) -> list[T]:
        if not self.judged or epochs == 1:
            return [see(number) for number in range(epochs)]
        seen, own = [], self.net._params
        try:
            for number in range(epochs):
                self.net._params = self.copies[number]
                seen.append(see(number))
        finally:
            self.net._params = own
        return seen

    def went_wrong(self, epochs: int, what: str = LOSS_OR_PARAMETER) -> str | None:
        """Find the epoch that went wrong in a call of several: do them again, one by one."""
        if epochs <= 1:
            return self.diverged(what)
        self.go_back()
        self.done = self.per_epoch * (len(self.history) - self.epochs_before)
        for _ in range(epochs):
            ended = self._advance(self.per_epoch)
            if ended:
                return ended
        return None


def _finite(values: NDArray) -> bool:
    """Return whether all numbers are finite."""
    return arrays.surely_finite(values) or bool(np.isfinite(values).all())
