"""What the commands of the command line do; :mod:`fastmlp.cli` reads their arguments."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from . import datasets, engine, metrics, optimizers
from .data import Data, nearest, split
from .errors import counted
from .network import MLP
from .sweeps.result import SweepResult, digits

if TYPE_CHECKING:
    from .history import History
    from .scaling import Scaling

__all__ = ["Failed", "Interrupted", "UsageError", "info", "sweep", "train", "warmup"]

# A data set with fewer rows than this gives none away for validation.
_FEW_ROWS = 10
# What is held back of others, if nothing is said.
_SHARE = 0.2
# More columns than any table has.
_ANY_WIDTH = 10_000


class UsageError(Exception):
    """The command cannot be done as it was asked for; the message is one line."""


class Interrupted(Exception):
    """Ctrl-C, with words on what was done until then."""


class Failed(Exception):
    """The command was right, but there is no result."""


@dataclass(frozen=True)
class _Rows:
    """Rows to train on and rows held back, as a network takes them."""

    data: Data
    X: NDArray
    y: NDArray
    held_X: NDArray
    held_y: NDArray
    held_back: int
    scaling: Scaling | None


def train(args: argparse.Namespace) -> None:
    """Train one network, say how good it is, and write what was asked for."""
    _check_output(args.data, save=args.save, plot=args.plot)
    _choose_engine(args)
    rows = _load(args)
    net = MLP(
        [rows.X.shape[1], *args.hidden, rows.data.n_outputs],
        activation=args.activation,
        output=rows.data.output,
        dropout=args.dropout,
        seed=args.seed,
    )
    optimizer = optimizers.changed(optimizers.resolve(args.optimizer, args.lr), weight_decay=args.weight_decay, l2=args.l2)
    _describe(rows)
    print(net.summary(), flush=True)
    print()
    engine.warmup((net.dtype.name,))  # else the first epoch's speed would be the compiler's
    history, interrupted = None, False
    try:
        history = net.fit(
            rows.X, rows.y, epochs=args.epochs, batch_size=args.batch_size, optimizer=optimizer,
            validation=(rows.held_X, rows.held_y) if rows.held_back else None, on_divergence="raise",
        )  # fmt: skip
    except KeyboardInterrupt:
        if not net.history:
            raise
        history, interrupted = net.history, True
    _show_results(net, rows, history)
    if args.save is not None:
        _save(net, rows, args.save)
    if args.plot is not None:
        from . import plots

        plots.save(plots.loss_curves(history), args.plot)
        print(f"wrote {args.plot}")
    if interrupted:
        what = "shown and saved" if args.save is not None else "shown"
        raise Interrupted(f"interrupted; what is {what} is the network after {counted(len(history), 'epoch')}")


def sweep(args: argparse.Namespace) -> None:
    """Train a grid of networks and show which were best."""
    from .sweeps.sweep import sweep as run

    _check_output(args.data, csv=args.csv, parquet=args.parquet, plot=args.plot)
    for axis in ("width", "depth", "lr", "dropout", "weight_decay", "l2"):
        if args.trials is None and hasattr(getattr(args, axis), "rvs"):
            option = axis.replace("_", "-")
            raise UsageError(f"--{option} A:B is drawn from, so it needs --trials N; for a grid name the values: A,B,C")
    if args.min_epochs != 1 and args.halving is None:
        raise UsageError("--min-epochs needs --halving, the share of networks that goes on")
    if args.keep_best and args.store is None:
        raise UsageError("--keep-best needs --store, the folder to keep them in")
    if args.store is not None and os.path.isfile(args.store):
        raise UsageError(f"--store {args.store} is a file: give a folder")
    _choose_engine(args)
    if args.cv is not None and args.validation is not None:
        raise UsageError("--cv holds back each row once, so --validation has no use: leave one out")
    rows = _load(args, all_rows=args.cv is not None)
    _describe(rows, args.cv)
    # Everything is checked in here, before the first network is trained.
    result = run(
        rows.X, rows.y, widths=args.width, depths=args.depth, seeds=args.seeds, lr=args.lr,
        activation=args.activation, epochs=args.epochs, batch_size=args.batch_size, optimizer=args.optimizer,
        dropout=0.0 if args.dropout is None else args.dropout, weight_decay=args.weight_decay, l2=args.l2,
        validation=0.2 if args.cv else (rows.held_X, rows.held_y), cv=args.cv, output=rows.data.output, metric=args.metric,
        n_trials=args.trials, halving=args.halving, min_epochs=args.min_epochs, store=args.store, keep_best=args.keep_best,
        n_jobs=args.jobs,
    )  # fmt: skip
    _write_rows(result, args)
    if result.stopped == "interrupted":
        _say_what_is_kept(result, args)
    _print_table(result.table(args.top))
    for path in filter(None, (args.csv, args.parquet)):
        print(f"wrote {path}")
    for number, net in enumerate(result.networks, 1):
        _save(net, rows, os.path.join(args.store, f"best-{number}.safetensors"))
    if args.plot is not None:
        result.plot(args.plot)
        print(f"wrote {args.plot}")
    if len(result.failed) == len(result):
        raise Failed(f"of {counted(len(result), 'network')} none has a result; the first one says: {result[0]['error']}")


def _write_rows(result: SweepResult, args: argparse.Namespace) -> None:
    if args.csv is not None:
        result.to_csv(args.csv)
    if args.parquet is not None:
        result.to_parquet(args.parquet)


def _say_what_is_kept(result: SweepResult, args: argparse.Namespace) -> NoReturn:
    """End after a Ctrl-C, with the table of the networks that were finished."""
    done = [row for row in result if row["error"] is None and row["stopped"] != "interrupted"]
    if done:
        _print_table(SweepResult(done, result.metric, result.higher_is_better, result.seconds).table(args.top))
    files = " and ".join(filter(None, (args.csv, args.parquet)))
    kept = f"; their rows are in {files}" if files else ""
    if args.store is not None:
        kept += f"; the same command goes on from there, with what is in {args.store}"
    else:
        kept += "; with --store DIR the same command could go on from there"
    raise Interrupted(f"interrupted after {len(done)} of {counted(len(result), 'network')}{kept}")


def info(args: argparse.Namespace) -> None:
    """Say what this machine and this installation are."""
    _choose_engine(args)
    facts = engine.info()
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")


def warmup(args: argparse.Namespace) -> None:
    """Compile the kernels, or load them from the cache."""
    _choose_engine(args)
    began = time.perf_counter()
    engine.warmup(special=args.special)
    took = time.perf_counter() - began
    facts = engine.info()
    where = f"; compiled kernels are kept in {facts['cache']}" if "cache" in facts else ""
    print(f"The {facts['engine']} engine is ready after {took:.1f} s{where}")


# ---- before


def _choose_engine(args: argparse.Namespace) -> None:
    if args.engine is not None:
        try:
            engine.use_engine(args.engine)
        except RuntimeError as error:
            raise UsageError(str(error)) from error
    if args.threads is not None:
        engine.set_threads(args.threads)


def _check_output(table: str, **files: str | None) -> None:
    """Refuse an option's file that could not be written, before the work rather than after."""
    options: dict[Path, str] = {}
    for option, name in files.items():
        if name is None:
            continue
        if not name:  # such as of a shell's variable that is not set
            raise UsageError(f"--{option} is empty: give a file's name")
        if os.path.isdir(name):
            raise UsageError(f"{name} is a folder: give a file's name")
        path = Path(name).resolve()
        if table not in datasets.NAMES and path == Path(table).resolve():
            raise UsageError(f"--{option} {name} would replace the data: give it another name")
        folder = path.parent
        if not folder.is_dir():
            raise UsageError(f"there is no folder {folder} to write {path.name} in")
        if not os.access(folder, os.W_OK):
            raise UsageError(f"the folder {folder} is write-protected")
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:  # such as of /proc, whatever its rights say
            raise UsageError(f"{name} cannot be written: {folder} takes no files ({error.strerror or error})") from error
        if path.exists() and not os.access(path, os.W_OK):
            raise UsageError(f"the file {path} is write-protected")
        if path in options:
            raise UsageError(f"--{options[path]} and --{option} are the same file {name}: give each a name of its own")
        options[path] = option
    if files.get("parquet") is not None and importlib.util.find_spec("pyarrow") is None:
        raise ImportError("--parquet needs pyarrow: pip install pyarrow. --csv does without.")
    plot = files["plot"]
    if plot is not None:
        from . import plots

        plots.check_name(plot)


def _load(args: argparse.Namespace, all_rows: bool = False) -> _Rows:
    """Return the data, parted and on one scale; with `all_rows` none are held back."""
    data = _find(args)
    classes = data.kind != "regression"
    if len(data.X) < _FEW_ROWS or all_rows:
        kept = held = np.arange(len(data.X))
        held_back = 0
    else:
        share = _SHARE if args.validation is None else args.validation
        kept, held = split(data.y, share, classes=classes)
        held_back = len(held)
        if held_back == 0:
            raise UsageError(_none_held_back(data, args.target or "y", share))
    X, y = data.X, data.y
    scaling = None
    if not data.same_scale:
        from .scaling import Scaling

        target = (args.target,) if args.target is not None and y.ndim == 1 else ()
        scaling = Scaling.of(X[kept], None if classes else y[kept], data.features, target)
        X, y = scaling.inputs(X), scaling.targets(y)
    return _Rows(data, X[kept], y[kept], X[held], y[held], held_back, scaling)


def _none_held_back(data: Data, target: str, share: float) -> str:
    """Return why no row is held back, and what to do."""
    rows = len(data.X)
    if data.n_classes == rows:
        return (
            f"each of the {rows} rows is a class of its own, and a class keeps one row, so none can be held back: pass "
            f"--task regression if {target} is a quantity, or another --target"
        )
    return f"--validation {share:g} of {counted(rows, 'row')} holds none back: take a larger share"


def _find(args: argparse.Namespace) -> Data:
    """Return the data set of that name, or the file's."""
    name, is_file = args.data, os.path.exists(args.data)
    if name in datasets.NAMES:
        if args.target is not None:
            raise UsageError(f"--target is for files; the data set {name!r} has its own target")
        if args.drop:
            raise UsageError(f"--drop is for files; the data set {name!r} has no columns that are better left out")
        if args.decimal != ".":
            raise UsageError(f"--decimal is for files of text; the data set {name!r} is there as numbers")
        if args.task != "auto":
            raise UsageError(f"--task is for files; what the data set {name!r} is for is known")
        return datasets.load(name, seed=0)
    if not is_file and not Path(name).suffix and os.sep not in name:
        known = ", ".join(datasets.NAMES)
        raise UsageError(f"there is no data set and no file {name!r}{nearest(name, datasets.NAMES)}; known are {known}")
    return datasets.read_table(name, args.target, drop=args.drop, kind=args.task, decimal=args.decimal)


# ---- after


def _describe(rows: _Rows, folds: int | None = None) -> None:
    """Say what the data is."""
    data = rows.data
    n, columns = data.X.shape
    kind = f"{data.n_classes} classes" if data.kind != "regression" else "a quantity to predict"
    if data.kind == "regression" and data.n_outputs > 1:
        kind = f"{data.n_outputs} quantities to predict"
    held = f"{counted(rows.held_back, 'row')} held back" if rows.held_back else "too few to hold any back"
    held = f"{folds} folds" if folds else held
    print(f"{data.name}: {counted(n, 'row')}, {counted(columns, 'column')}, {kind}; {held}")
    labels = [str(label) for label in data.labels]
    if labels != [str(number) for number in range(len(labels))]:  # a saved network answers by number
        numbered = ", ".join(f"{number} {label}" for number, label in enumerate(labels))
        print(textwrap.shorten(f"classes: {numbered}", 80, placeholder=" ..."))
    if rows.scaling is not None:
        what = "columns" if data.kind != "regression" else "columns and target"
        by = counted(len(rows.X), "row" if folds else "training row")
        print(f"{what} standardized by {'all' if folds else 'the'} {by}")
    print(flush=True)


def _show_results(net: MLP, rows: _Rows, history: History) -> None:
    """Print the final losses and metrics."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("")
    parts = {"training": (rows.X, rows.y)}
    if rows.held_back:
        parts["validation"] = (rows.held_X, rows.held_y)
    for name in parts:
        table.add_column(name, justify="right")
    table.add_row(f"loss ({net.loss_spec.name})", *(digits(net.loss(X, y)) for X, y in parts.values()))
    for metric, unit in _metrics(rows):
        values = [_measure(metric, net, rows, X, y) for X, y in parts.values()]
        table.add_row(f"{metric.name}{unit}", *(digits(value) for value in values))
    _print_table(table)
    rate = len(history) * len(rows.X) / max(history.seconds, 1e-9)
    print(f"{counted(len(history), 'epoch')} in {history.seconds:.3g} s ({rate:,.0f} rows a second)")


def _metrics(rows: _Rows) -> list[tuple[metrics.Metric, str]]:
    """Return what is shown beside the loss, with its unit."""
    if rows.data.kind != "regression":
        return [(metrics.METRICS["accuracy"], "")]
    unit = " (in the target's unit)"
    return [(metrics.METRICS["r2"], ""), (metrics.METRICS["rmse"], unit), (metrics.METRICS["mae"], unit)]


def _measure(metric: metrics.Metric, net: MLP, rows: _Rows, X: NDArray, y: NDArray) -> float:
    """Return a metric in the targets' own units."""
    prediction = net.predict(X)
    if rows.scaling is not None:
        y = rows.scaling.outputs(y if y.ndim == 2 else y[:, None]) if rows.data.kind == "regression" else y
        prediction = rows.scaling.outputs(prediction)
    return metric(y, prediction)


def _save(net: MLP, rows: _Rows, path: str) -> None:
    """Write the network; with the scaling in its weights, so that it takes columns as they are."""
    if rows.scaling is None:
        net.save(path)
        print(f"wrote {path}")
        return
    folded = rows.scaling.fold(net, rows.data.X)
    folded.save(path)
    precision = "" if folded.dtype == net.dtype else f", {folded.dtype}"
    print(f"wrote {path} (the scale is in its weights: it takes the columns as they are{precision})")


def _print_table(table: Any) -> None:
    from rich.console import Console

    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:  # a pipe or a file has room for any table
        console.width = _ANY_WIDTH
    console.print(table)
