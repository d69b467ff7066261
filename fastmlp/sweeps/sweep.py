"""``fastmlp.sweep``: every setting and seed trained side by side, and compared on rows that none of them has seen.

Kernels release the GIL, so threads are enough on one machine: the data is there once, and no process has to start.
Everything a network does depends on its own setting and seed, and which networks are trained side by side on the sweep
alone, so rows do not depend on how many are trained at once, in which order, or where. With halving, networks that go on
after an interruption are trained from the start, beside others than before: their last bits may differ.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from numpy.typing import ArrayLike, DTypeLike

from .. import checks, engine
from ..callbacks import EarlyStopping
from ..errors import named, shown, warn
from . import problem as problems
from .halving import rounds, survivors
from .jobs import ALL, Group, Network, groups, networks
from .journal import Journal, header
from .ledger import Ledger
from .problem import Problem
from .progress import sweep_bar
from .result import SweepResult
from .run import run, workers
from .space import Setting, settings
from .train import Done
from .work import Work

__all__ = ["sweep"]


def sweep(
    X: ArrayLike,
    y: ArrayLike,
    *,
    widths: Any,
    depths: Any,
    seeds: int | Iterable[int] = 1,
    lr: Any = None,
    activation: Any = "relu",
    optimizer: Any = "adam",
    batch_size: Any = 64,
    dropout: Any = 0.0,
    weight_decay: Any = None,
    l1: Any = None,
    l2: Any = None,
    clip_norm: Any = None,
    epochs: int = 20,
    n_trials: int | None = None,
    trials_seed: int = 0,
    halving: int | None = None,
    min_epochs: int = 1,
    sample_weight: ArrayLike | None = None,
    class_weight: Any = None,
    validation: float | tuple[ArrayLike, ...] = 0.2,
    cv: Any = None,
    output: str = "auto",
    loss: Any = "auto",
    metric: str | Callable[..., float] | None = None,
    early_stopping: EarlyStopping | None = None,
    shuffle: str = "shared",
    dtype: DTypeLike = "float32",
    store: str | os.PathLike | None = None,
    keep_best: int = 0,
    curves: bool = False,
    n_jobs: int | None = None,
    progress: bool | None = None,
) -> SweepResult:
    """Train a network for each setting and seed, and compare them on rows that none of them has seen.

    Parameters
    ----------
    X : array of shape (n, in)
        Features, used as they are: see :func:`fastmlp.datasets.standardize`.
    y : array of shape (n,) or (n, K)
        Targets. Integers of at most 20 different values, truth values and words are classes, floats are quantities; `output`
        says it otherwise, and has to for other integers.
    widths, depths : int, list or distribution
        Units of each hidden layer, and numbers of hidden layers; 0 is a linear model, trained once whatever the widths.
    seeds : int or iterable of int
        Seeds of initial weights and dropout, or how many: 0, 1, ... Each setting is trained with each of them, each once.
    lr : float, Schedule, list or distribution, optional
        Learning rates; None keeps the optimizer's own.
    activation, optimizer, batch_size, dropout
        As for ``MLP`` and ``MLP.fit``: one or a list of them, numbers also as a distribution.
    weight_decay, l1, l2, clip_norm : float, list or distribution, optional
        Settings of the optimizer; None keeps its own.
    epochs : int
        How many times to go through the training rows.
    n_trials : int, optional
        Draw this many different settings, or all if there are fewer, instead of trying all combinations: from lists with
        equal chances, from distributions by their own. A distribution has a method ``rvs``, such as
        ``scipy.stats.loguniform(1e-4, 1e-1)``.
    trials_seed : int
        Seed of the draws.
    halving : int, optional
        Successive halving. All settings are trained for a few epochs. The best one in `halving` of them, by the mean metric
        over seeds, goes on for `halving` times as many epochs, and so on until the last ones have had `epochs`.
    min_epochs : int
        With halving: the least epochs of the first round.
    sample_weight : (n,) array, optional
        How much each row counts: in the mean loss of those trained on, and in losses and metrics that networks are compared by.
    class_weight : "balanced" or dict, optional
        As for ``MLP.fit``, a factor on the weights of the rows trained on; a dict has the classes as they are in y.
    validation : float or (X, y) or (X, y, sample_weight)
        The fraction of rows to hold back (classes keep their proportions; always the same rows), or other rows.
    cv : int, splitter or iterable, optional
        Cross-validation instead of `validation`: a number of folds (shuffled, classes in proportion), or what scikit-learn
        takes. A network is trained for each fold, and its row has the means and each fold's metric.
    output : str
        Output activation; "auto" takes "softmax" for classes, "sigmoid" for two of them, "identity" for quantities.
    loss : str, Huber, Quantile or CrossEntropy
        As for ``MLP``.
    metric : str or Metric, optional
        What networks are compared by: "loss", a name in ``fastmlp.metrics.METRICS``, or a :class:`fastmlp.metrics.Metric` of
        your own that says whether it is to be high or low, whose function gets y of shape (n, 1), of class indices too, or
        (n, outputs); without it accuracy for classes and r2 for quantities.
    early_stopping : EarlyStopping, optional
        When to stop each network; it may monitor "loss", "val_loss", the metric, or "val_" and the metric.
    shuffle : {"shared", "each"}
        Whether all networks see the rows of an epoch in one order, that of seed 0, which is faster; or each in the order of
        its own seed, as ``MLP.fit`` does.
    dtype : {"float32", "float64"}
        Number type of all networks.
    store : path, optional
        A folder in which each group of networks is written down as soon as it is finished. The same call with the same store
        goes on where the last one ended, however it ended, with the results of a call that ran through; with halving, their
        last bits may differ. Metrics of your own it tells apart by the names of metric and function, kind and direction,
        schedules and activations by their repr; not by what they compute.
    keep_best : int
        How many of the best networks to keep in ``result.networks``, and in the store as safetensors files. After a
        cross-validation they are trained on all rows, and a warning tells of one that fails there; with halving, they come
        from those that were trained to the end.
    curves : bool
        Whether to take the loss of the rows held back after each epoch as well, for the loss curves.
    n_jobs : int, optional
        How many groups of networks to train at a time; None and -1 take one for each thread of :func:`fastmlp.set_threads`,
        or what joblib's backend has: under ``joblib.parallel_config(backend="dask")`` the sweep runs on that cluster.
    progress : bool, optional
        Whether to show a line with the state; None shows it on a terminal.

    Returns
    -------
    SweepResult
        One row for each setting and seed, with ``best``, ``summary()``, ``table()``, ``plot()``, ``to_csv()``,
        ``to_parquet()`` and ``to_pandas()``. The row of a network that failed holds its error. After Ctrl-C the result has
        the networks that were finished, and with halving the last finished round of those that were to go on.

    Raises
    ------
    TypeError, ValueError
        An argument is not usable, or the store is of another sweep; found before anything is trained.
    OSError
        The store cannot be written, or another process is using it.

    Examples
    --------
    >>> import fastmlp as fm
    >>> data = fm.datasets.load("moons")
    >>> result = fm.sweep(data.X, data.y, widths=[4, 8], depths=[1, 2], epochs=2, n_jobs=1)
    >>> len(result), sorted({row["depth"] for row in result})
    (4, [1, 2])
    """
    space = {
        "widths": widths, "depths": depths, "activation": activation, "optimizer": optimizer, "batch_size": batch_size,
        "dropout": dropout, "weight_decay": weight_decay, "l1": l1, "l2": l2, "clip_norm": clip_norm, "lr": lr,
    }  # fmt: skip
    tried = settings(space, n_trials, trials_seed)
    numbers = list(dict.fromkeys(checks.seeds(seeds)))  # each once
    epochs = checks.integer("epochs", epochs, 1)
    stages = rounds(halving, min_epochs, epochs, len({setting.key() for setting in tried}))
    problem = problems.make(X, y, sample_weight, class_weight, validation, cv, output, loss, metric, dtype)
    store = None if store is None else checks.path("store", store, "digits-sweep")
    progress = None if progress is None else checks.flag("progress", progress)
    keep = checks.integer("keep_best", keep_best, 0)
    if keep:
        _check_kept(tried, problem, store is not None)
    work = Work(
        problem.output, problem.loss, problem.n_outputs, problem.metric, problem.X.dtype.name, epochs,
        checks.choice("shuffle", shuffle, ("shared", "each")),
        _stopping(early_stopping, halving, tried, problem.metric.name), problem.class_weight,
        checks.flag("curves", curves), keep,
    )  # fmt: skip
    search = _Search(problem, tried, numbers, stages, halving or 2, work, workers(n_jobs), progress)
    with contextlib.ExitStack() as stack:
        journal = None
        if store is not None:
            options = {
                "seeds": numbers, "rounds": stages, "output": problem.output, "loss": problem.loss.to_dict(),
                "metric": problem.metric.name, "early_stopping": repr(work.early_stopping), "dtype": work.dtype,
                "shuffle": work.shuffle, "curves": work.curves,
            }  # fmt: skip
            if halving is not None:
                options["halving"] = int(halving)  # which may have the same rounds as another one
            journal = stack.enter_context(Journal(store, header(problem, options, tried)))
        return search.go(journal)


def _stopping(stopping: EarlyStopping | None, halving: int | None, tried: list[Setting], metric: str) -> EarlyStopping | None:
    """Check what ends networks early, and what else goes by a curve."""
    if stopping is not None and not isinstance(stopping, EarlyStopping):
        raise TypeError(f"early_stopping must be a fm.EarlyStopping or None; got {shown(stopping)}.")
    rates: list[Any] = [getattr(setting.optimizer, "lr", None) for setting in tried]
    watches = [watch for rate in dict.fromkeys(rates) if hasattr(rate, "watch") and (watch := rate.watch()) is not None]
    curves = dict.fromkeys(("loss", "val_loss", metric, f"val_{metric}"))
    for watch in (*([stopping] if stopping else []), *watches):
        if watch.monitor not in curves:
            raise ValueError(f"monitor must be one of {', '.join(map(repr, curves))} here; got {watch.monitor!r}.")
    if halving is None:
        return stopping
    if stopping is not None:
        raise ValueError("early_stopping does not go with halving, which ends networks itself. Leave one of them out.")
    for setting, rate in zip(tried, rates, strict=True):
        if rate is None:
            raise ValueError(f"{setting.name} cannot be trained in rounds, as halving does. Leave halving out.")
        if watches and hasattr(rate, "watch") and rate.watch() is not None:
            raise ValueError(f"{rate!r} goes by what one fit has seen, and halving trains in rounds. Use another schedule.")
    return None


def _check_kept(tried: list[Setting], problem: Problem, stored: bool) -> None:
    """Raise if one of the best networks could not be trained on all rows after folds, or not be written to the store."""
    for setting in tried:
        rate: Any = getattr(setting.optimizer, "lr", None)
        watch = rate.watch() if problem.folds and hasattr(rate, "watch") else None
        if watch is not None and watch.monitor.startswith("val_"):
            raise ValueError(
                f"lr={rate!r} goes by rows held back, but with cv= the networks of keep_best are trained on all rows. Use one "
                "with monitor='loss', or leave keep_best out."
            )
        with named("a store for keep_best"):
            for layer in setting.layers(problem.n_outputs, problem.output) if stored else ():
                layer.spec()  # which refuses what a file cannot hold


class _Search:
    """A sweep whose arguments have been checked."""

    def __init__(
        self,
        problem: Problem,
        tried: list[Setting],
        seeds: list[int],
        stages: list[int],
        factor: int,
        work: Work,
        n_jobs: int,
        progress: bool | None,
    ) -> None:
        self.problem, self.stages, self.factor, self.work = problem, stages, factor, work
        self.n_jobs, self.progress = n_jobs, progress
        self.rows, self.networks = networks(problem, tried, seeds)

    def go(self, journal: Journal | None) -> SweepResult:
        """Train what the journal does not have, and return the result."""
        engine.warmup((self.work.dtype,))  # else the first rows' seconds would be the compiler's
        started = time.perf_counter()
        parts, last = len(self.problem.parts), len(self.stages) - 1
        ledger = Ledger(self.rows, self.networks, parts, self.problem.metric, self.work.keep, last, journal)
        ledger.read()
        finished = self._train(ledger) and self._train_kept(ledger)
        if finished:
            ledger.clear()
        metric = self.problem.metric
        return SweepResult(
            self.rows, f"val_{metric.name}", bool(metric.higher_is_better), time.perf_counter() - started,
            "done" if finished else "interrupted", ledger.curves, ledger.best_networks(),
            store=None if journal is None else str(journal.folder),
        )  # fmt: skip

    def _train(self, ledger: Ledger) -> bool:
        """Go through the rounds; return whether all were done."""
        alive: list[Network] = self.networks
        last = len(self.stages) - 1
        for rung, epochs in enumerate(self.stages):
            # Earlier rounds hand over all networks; the last one its best, unless those are yet to see all rows.
            keep = -1 if rung < last else self.work.keep if len(self.problem.parts) == 1 else 0
            work = replace(self.work, keep=keep)
            name = f"round {rung + 1}/{last + 1}: " if last else ""
            ledger.show(alive, rung)
            tasks = [(network, part) for network in alive for part in range(len(self.problem.parts))]
            todo = list(filter(ledger.lacks, groups(tasks, self.problem, rung, epochs, ledger.states)))
            ledger.states.clear()
            if not self._run(todo, work, ledger, ledger.take, name):
                return False
            if rung < last:
                alive = survivors(alive, self.factor, partial(ledger.mean, rung))
                ledger.drop_all_but(alive)
        return True

    def _train_kept(self, ledger: Ledger) -> bool:
        """After a cross-validation, train the best networks on all rows."""
        if len(self.problem.parts) == 1 or not self.work.keep:
            return True
        todo: list[Group] = []
        failed: dict[int, str] = {}
        for number in ledger.best():
            if number not in ledger.kept:
                network = self.networks[number]
                epochs = self.rows[network.rows[0]]["epochs"]  # where they were stopped early, the mean of the folds
                todo += groups([(network, ALL)], self.problem, len(self.stages), epochs, {})

        def take(group: Group, done: Done) -> None:
            for network, outcome in zip(group.networks, done.outcomes, strict=True):
                if outcome["error"] is not None:
                    failed[network.rows[0]] = outcome["error"]
            for i, net in done.networks.items():
                ledger.hold(group.networks[i], net)

        finished = self._run(todo, replace(self.work, keep=-1, early_stopping=None), ledger, take, "on all rows: ")
        for row, error in failed.items():
            warn(f"the network of row {row}, one of the best, is not kept: its training on all rows failed ({error}).")
        return finished

    def _run(self, todo: list[Group], work: Work, ledger: Ledger, take: Callable[[Group, Done], None], name: str) -> bool:
        if not todo:
            return True
        count, cost = sum(len(group.networks) for group in todo), sum(group.cost for group in todo)
        with sweep_bar(count, cost, self.progress, name) as ledger.bar:
            return run(todo, self.problem, work, self.n_jobs, take)
