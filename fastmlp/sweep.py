"""Grids of networks: every width, depth, seed, learning rate and activation together, trained side by side.

Kernels release the GIL, so threads are enough: the data is there once, and no process has to start. Everything a
network does depends on its own seed alone, so the result does not depend on how many are trained at once.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import activations, checks, engine, losses, metrics, optimizers, schedules
from .data import MOST_CLASSES, split
from .layers import Dense
from .plan import make_plan
from .sweep_progress import SweepBar, sweep_bar
from .sweep_result import SweepResult

__all__ = ["SweepResult", "sweep"]

_NO_NUMBERS = {"seconds": math.nan, "epochs": 0, "train_loss": math.nan, "val_loss": math.nan}


@dataclass(frozen=True)
class _Problem:
    """The data of all networks: rows to train on, rows held back, and what the outputs are."""

    X: NDArray
    y: NDArray
    held_X: NDArray
    held_y: NDArray
    output: str
    n_outputs: int


@dataclass(frozen=True)
class _Job:
    """One network to train, and the rows of the result that it fills."""

    layers: tuple[int, ...]
    activation: str
    optimizer: optimizers.Optimizer
    seed: int
    flops: int
    rows: tuple[int, ...]


def sweep(
    X: ArrayLike,
    y: ArrayLike,
    *,
    widths: Iterable[int],
    depths: Iterable[int],
    seeds: Iterable[int] = range(1),
    lr: Iterable[Any] | float | None = None,
    activation: Iterable[str] | str = ("relu",),
    epochs: int = 20,
    batch_size: int | None = 64,
    optimizer: Any = "adam",
    validation: float | tuple[ArrayLike, ArrayLike] = 0.2,
    output: str = "auto",
    metric: Any = None,
    n_jobs: int | None = None,
    progress: bool | None = None,
) -> SweepResult:
    """Train a network for each cell of a grid, and compare them on rows that none of them has seen.

    Parameters
    ----------
    X : array of shape (n, in)
        Features, used as they are: see :func:`fastmlp.datasets.standardize`.
    y : array of shape (n,) or (n, K)
        Targets; classes may be any integers, truth values or words.
    widths : iterable of int
        Units of each hidden layer.
    depths : iterable of int
        Numbers of hidden layers; 0 is a linear model, trained once whatever the widths.
    seeds : iterable of int
        Of initial weights and shuffles.
    lr : float or Schedule, or an iterable of them, optional
        Learning rates; without it, the optimizer's own.
    activation : str or iterable of str
        Of the hidden layers.
    epochs, batch_size, optimizer
        As for ``MLP.fit``.
    validation : float or (X, y)
        The share of rows that is held back (classes keep their proportions; always the same rows), or such rows.
    output : str
        Output activation; "auto" takes "softmax" for classes, "sigmoid" for two of them, "identity" for quantities.
    metric : str or callable, optional
        A name in ``fastmlp.metrics.METRICS`` or a function ``(y, prediction) -> float``, higher being better; without it
        accuracy for classes and r2 for quantities.
    n_jobs : int, optional
        Networks trained at a time; without it (or with -1) one for each thread of :func:`fastmlp.set_threads`.
    progress : bool, optional
        Whether to show a line with the state; without it, on terminals only.

    Returns
    -------
    SweepResult
        One row a network, with ``best``, ``summary()``, ``table()``, ``plot()``, ``to_csv()`` and ``to_pandas()``. A
        network that failed has its error in its row. After Ctrl-C it has the networks finished so far.

    Raises
    ------
    TypeError, ValueError
        An argument is not usable; found before anything is trained.

    Examples
    --------
    >>> import fastmlp as fm
    >>> data = fm.datasets.load("moons")
    >>> result = fm.sweep(data.X, data.y, widths=[4, 8], depths=[1, 2], epochs=2, n_jobs=1)
    >>> len(result), sorted({row["depth"] for row in result})
    (4, [1, 2])
    """
    grid = _grid(widths, depths, seeds, lr, activation, optimizer)
    problem = _problem(X, y, validation, output)
    measure = metrics.resolve(metric) if metric is not None else _default_metric(problem)
    checks.integer("epochs", epochs, 1)
    if batch_size is not None:
        checks.integer("batch_size", batch_size, 1)
    workers = engine.threads() if n_jobs in (None, -1) else checks.integer("n_jobs", n_jobs, 1)
    name = f"val_{measure.name}"
    rows, jobs = _jobs(grid, problem, name, epochs)
    engine.warmup(("float32",))  # else the first rows' seconds would be the compiler's
    started = time.perf_counter()
    with sweep_bar(len(jobs), sum(job.flops for job in jobs), progress) as bar:
        settings = {"epochs": epochs, "batch_size": batch_size, "progress": False, "on_divergence": "raise"}
        finished = _run(jobs, problem, measure, settings, workers, _Reporter(bar, rows, name, measure.higher_is_better))
    stopped = "done" if finished else "interrupted"
    return SweepResult(rows, name, measure.higher_is_better, time.perf_counter() - started, stopped)


# ---- what is asked for


def _grid(widths, depths, seeds, lr, activation, optimizer) -> list[tuple[int, int, str, optimizers.Optimizer, int]]:
    """Return (width, depth, activation, optimizer, seed) for each cell, all checked."""
    rates = [None] if lr is None else _values("lr", lr)
    names = [activation] if isinstance(activation, str) else _values("activation", activation)
    axes: list[list[Any]] = [
        [checks.integer("widths", width, 1) for width in _values("widths", widths)],
        [checks.integer("depths", depth, 0) for depth in _values("depths", depths)],
        [_hidden(name) for name in names],
        [optimizers.resolve(optimizer, rate) for rate in rates],
        [checks.integer("seeds", seed, 0) for seed in _values("seeds", seeds, "range(8)")],
    ]
    # A value given twice would count twice in the means over seeds.
    return list(itertools.product(*(dict.fromkeys(axis) for axis in axes)))


def _values(name: str, values: Any, example: str = "[8, 16]") -> list:
    """Return an axis of the grid as a list, not empty."""
    if name == "lr" and not isinstance(values, Iterable):
        return [values]
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a sequence such as {example}; got {values!r}.")
    values = list(values)
    if not values:
        raise ValueError(f"{name} is empty, so there is nothing to train. Pass at least one value.")
    return values


def _hidden(name: Any) -> str:
    """Return the full name of an activation for hidden layers."""
    found = activations.lookup(name)
    make_plan(1, [Dense(2, found.name), Dense(1, "identity")])  # refuses the ones for outputs only
    return found.name


def _problem(X: ArrayLike, y: ArrayLike, validation: Any, output: str) -> _Problem:
    """Check the data, number the classes, and part the rows held back from the others."""
    X, y = _rows("X", X, "y", y)
    n = len(X)
    if isinstance(validation, (tuple, list)):
        if len(validation) != 2:
            raise ValueError(f"validation must be a share or a pair (X, y), not {len(validation)} things.")
        held_X, held_y = _rows("validation's X", validation[0], "validation's y", validation[1])
        if held_X.shape[1] != X.shape[1] or held_y.shape[1:] != y.shape[1:]:
            came = f"{held_X.shape} and {held_y.shape}"
            raise ValueError(f"validation's X and y have shapes {came}, which do not go with {X.shape} and {y.shape}.")
        X, y = np.concatenate([X, held_X]), np.concatenate([y, held_y])
    y, output, n_outputs = _targets(y, output)
    if isinstance(validation, (tuple, list)):
        train, held = np.arange(n), np.arange(n, len(X))
    else:
        share = checks.real("validation", validation, 0.0, 1.0, open_low=True, open_high=True)
        by_class = y.ndim == 1 and (output == "softmax" or (output == "sigmoid" and y.dtype.kind == "i"))
        train, held = split(y, share, classes=by_class)
        if len(held) == 0:
            raise ValueError(f"validation={share} of {n} rows holds none back. Pass a larger share, or rows as (X, y).")
    kind = losses.resolve("auto", output).kind
    y = checks.targets(y, len(X), n_outputs, kind, np.dtype(np.float32))
    return _Problem(X[train], y[train], X[held], y[held], output, n_outputs)


def _rows(x_name: str, X: ArrayLike, y_name: str, y: ArrayLike) -> tuple[NDArray, NDArray]:
    """Return X as finite float32 of shape (n, columns), and y as an array of n rows."""
    try:
        shape = np.shape(X)
    except ValueError:  # rows of different lengths, of which `inputs` tells
        shape = ()
    x = checks.inputs(X, shape[-1] if shape else 1, np.dtype(np.float32), name=x_name)
    t = np.asarray(y)
    if t.ndim == 2 and t.shape[1] == 1:
        t = t[:, 0]
    if t.ndim not in (1, 2) or len(t) != len(x):
        raise ValueError(f"{y_name} has shape {t.shape}, but must have one row for each of {x_name}'s {len(x)} rows.")
    return x, t


def _targets(y: NDArray, output: str) -> tuple[NDArray, str, int]:
    """Return y with its classes numbered, the output activation, and how many outputs there are."""
    if output != "auto":
        output = activations.lookup(output, "output").name
    names = y.dtype.kind in "bOSU"
    if output == "auto":
        output = _guess(y, names)
    if y.ndim == 1 and (output == "softmax" or (output == "sigmoid" and names)):
        labels, y = np.unique(y, return_inverse=True)
        if len(labels) < 2:
            raise ValueError(f"y is {labels[0]!s} in every row: nothing is to be told apart.")
        if output == "sigmoid" and len(labels) > 2:
            raise ValueError(f"y has {len(labels)} classes, but output='sigmoid' is for two. Use output='softmax'.")
        return y, output, len(labels) if output == "softmax" else 1
    return y, output, y.shape[1] if y.ndim == 2 else 1


def _guess(y: NDArray, names: bool) -> str:
    """Return the output activation that suits the targets."""
    if y.dtype.kind == "f":
        return "identity"
    if y.ndim == 2:
        raise ValueError(f"y holds {y.dtype} of shape {y.shape}: say output='softmax', 'sigmoid' or 'identity'.")
    values = np.unique(y)
    if not names and len(values) > MOST_CLASSES:
        raise ValueError(
            f"y holds integers, {len(values)} different ones: say output='softmax' if they are classes, "
            "or output='identity' if they are quantities."
        )
    two = names or set(values.tolist()) == {0, 1}
    return "sigmoid" if two and len(values) == 2 else "softmax"


def _default_metric(problem: _Problem) -> metrics.Metric:
    return metrics.default(losses.resolve("auto", problem.output).kind, problem.n_outputs)


# ---- what is done


def _jobs(grid: Sequence[tuple], problem: _Problem, metric: str, epochs: int) -> tuple[list[dict[str, Any]], list[_Job]]:
    """Return the result's rows, still without numbers, and the jobs that fill them, the longest first."""
    rows: list[dict[str, Any]] = []
    places: dict[tuple, list[int]] = {}
    n_inputs = problem.X.shape[1]
    for number, (width, depth, activation, optimizer, seed) in enumerate(grid):
        denses = [Dense(width, activation)] * depth + [Dense(problem.n_outputs, problem.output)]
        plan = make_plan(n_inputs, denses)
        row = {"width": width, "depth": depth, "seed": seed, "lr": getattr(optimizer, "lr", math.nan)}
        row |= {"activation": activation, "n_params": plan.n_params, "flops": plan.flops()}
        rows.append(row | _NO_NUMBERS | {metric: math.nan, "error": "interrupted"})
        # Without hidden layers neither width nor activation changes anything: one job fills all those rows.
        key = (plan.widths, activation if depth else None, optimizer, seed)
        places.setdefault(key, []).append(number)
    jobs = []
    for (layers, activation, optimizer, seed), numbers in places.items():
        flops = 3 * epochs * len(problem.X) * rows[numbers[0]]["flops"]
        jobs.append(_Job(layers, activation or "relu", optimizer, seed, flops, tuple(numbers)))
    return rows, sorted(jobs, key=lambda job: -job.flops)


class _Interrupted(BaseException):
    """Ends a training on another thread than the one that Ctrl-C reaches."""


@dataclass(frozen=True)
class _Interruptible(schedules.Schedule):
    """A schedule that ends the training it is used in when `stop` is set, and changes nothing else.

    `fit` asks for rates about twenty times a second. A callback would be asked after each epoch, which doubles the time
    of a network with a few weights.
    """

    lr: schedules.Schedule  # type: ignore[assignment]
    stop: threading.Event

    def __post_init__(self) -> None:
        """Take the schedule as it is: it has been checked."""

    def rates(self, steps, span):
        """Return the schedule's rates."""
        if self.stop.is_set():
            raise _Interrupted
        return self.lr.rates(steps, span)

    def watch(self):
        """Return what the schedule watches."""
        return self.lr.watch()


def _train(job: _Job, problem: _Problem, measure: metrics.Metric, settings: dict[str, Any], stop: threading.Event):
    """Return what the job's rows say, or None if it was interrupted."""
    from .network import MLP

    started = time.perf_counter()
    optimizer: Any = job.optimizer
    if hasattr(optimizer, "lr"):
        optimizer = replace(optimizer, lr=_Interruptible(schedules.resolve(optimizer.lr), stop))
        if optimizer.lr.watch():  # then fit has to draw the curve that is watched
            settings = settings | {"validation": (problem.held_X, problem.held_y)}
    try:
        net = MLP(list(job.layers), activation=job.activation, output=problem.output, seed=job.seed)
        history = net.fit(problem.X, problem.y, optimizer=optimizer, **settings)
        seconds = time.perf_counter() - started
        return {
            "seconds": seconds,
            "epochs": len(history),
            "train_loss": net.loss(problem.X, problem.y),
            "val_loss": net.loss(problem.held_X, problem.held_y),
            f"val_{measure.name}": measure(problem.held_y, net.predict(problem.held_X)),
            "error": None,
        }
    except _Interrupted:
        return None
    except Exception as error:  # one network's trouble must not cost the others their results
        return {"seconds": time.perf_counter() - started, "error": f"{type(error).__name__}: {error}"}


class _Reporter:
    """Writes finished jobs into the rows and tells the progress line."""

    def __init__(self, bar: SweepBar, rows: list[dict[str, Any]], metric: str, higher_is_better: bool) -> None:
        self.bar, self.rows, self.metric = bar, rows, metric
        self.better = max if higher_is_better else min
        self.best: float | None = None

    def __call__(self, job: _Job, outcome: dict[str, Any]) -> None:
        """Take one job's outcome."""
        for number in job.rows:
            self.rows[number] |= outcome
        value = outcome.get(self.metric, math.nan)
        if not math.isnan(value):
            self.best = value if self.best is None else self.better(self.best, value)
        words = "" if self.best is None else f"best {self.metric.removeprefix('val_')} {self.best:.4g}"
        self.bar.update(job.flops, words)


def _run(jobs, problem: _Problem, measure, settings: dict[str, Any], workers: int, report: _Reporter) -> bool:
    """Run the jobs on threads; return whether all were done."""
    from joblib import Parallel, delayed

    stop = threading.Event()

    def one(job: _Job):
        if stop.is_set():
            return job, None
        # Several networks side by side take a core each; one at a time may take them all.
        with engine.alone() if workers > 1 else contextlib.nullcontext():
            return job, _train(job, problem, measure, settings, stop)

    parallel = Parallel(n_jobs=workers, prefer="threads", require="sharedmem", return_as="generator_unordered")
    try:
        for job, outcome in parallel(delayed(one)(job) for job in jobs):
            report(job, outcome)
    except KeyboardInterrupt:
        stop.set()
    return not stop.is_set()
