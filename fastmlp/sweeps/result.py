"""What a sweep found: one row a network, and the views people want of them."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from .. import checks, files
from ..errors import counted
from .space import SETTINGS
from .terminal import FittingTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..network import MLP

__all__ = ["SweepResult", "digits", "setting_text"]


class SweepResult(Sequence):
    """The rows of a sweep, in the order of its grid.

    Each row is a dict: its setting (width, depth, seed, lr, activation, optimizer, batch_size, dropout, weight_decay, l1, l2,
    clip_norm), n_params, flops (of a forward pass of one row), seconds (its share, where networks were trained together),
    epochs, train_loss and val_loss, the metric under its name (such as ``train_accuracy`` and ``val_accuracy``; after a
    cross-validation their means, and each fold's as ``fold1`` and so on), stopped: what ended its training, and error: None,
    or why there is no result (the numbers are NaN then).

    Attributes
    ----------
    rows : tuple of dict
        All rows; the object itself is a sequence of them too.
    metric : str
        The key of the metric by which networks are compared.
    higher_is_better : bool
        Whether more of it is better.
    seconds : float
        What the whole sweep took.
    stopped : {"done", "interrupted"}
        With "interrupted" (Ctrl-C), the networks that were not finished have that as their error. With halving, those that
        were to go on have only "stopped" say so: their numbers are those of the last round that they finished.
    curves : sequence of dict
        For each row the loss after each epoch, as "loss", and if it was asked for "val_loss".
    networks : tuple of MLP
        The best ones, the best first, as many as ``keep_best`` asked for.
    store : str or None
        Where the rows were written down.
    """

    def __init__(
        self,
        rows: Iterable[dict[str, Any]],
        metric: str,
        higher_is_better: bool = True,
        seconds: float = math.nan,
        stopped: str = "done",
        curves: Sequence[dict[str, list[float]]] = (),
        networks: Sequence[MLP] = (),
        store: str | None = None,
    ) -> None:
        self.rows = tuple(rows)
        self.metric = metric
        self.higher_is_better = higher_is_better
        self.seconds = seconds
        self.stopped = stopped
        self.curves = tuple(curves) or tuple({} for _ in self.rows)
        self.networks = tuple(networks)
        self.store = store

    def __len__(self) -> int:
        """Return the number of networks."""
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[dict[str, Any], ...]: ...
    def __getitem__(self, index):
        """Return a row."""
        return self.rows[index]

    def __repr__(self) -> str:
        """Return the number of networks and the best of them."""
        failed = len(self.failed)
        words = counted(len(self), "network") + (f", {failed} without a result" if failed else "")
        if failed < len(self):
            best = self.best
            shown = [key for key in SETTINGS if key in best and (key in ("width", "depth") or self.varies(key))]
            settings = ", ".join(f"{key}={setting_text(key, best[key])}" for key in (*shown, "seed"))
            words += f"; best {self.metric} {best[self.metric]:.4g} with {settings}"
        if self.stopped == "interrupted":
            words += f"; {self.how_to_resume()}"
        return f"<SweepResult: {words}>"

    def __rich__(self):
        """Return the table, for ``rich.print``."""
        return self.table()

    def varies(self, key: str) -> bool:
        """Return whether rows differ in a column."""
        return len({str(row.get(key)) for row in self.rows}) > 1

    def how_to_resume(self) -> str:
        """Return what to do after an interruption, in words."""
        if self.store is None:
            return "interrupted: with store='a folder' the same call could go on from here"
        return f"interrupted: the same call with store={self.store!r} goes on from here"

    @property
    def failed(self) -> tuple[dict[str, Any], ...]:
        """The rows that have an error."""
        return tuple(row for row in self.rows if row["error"] is not None)

    @property
    def best(self) -> dict[str, Any]:
        """The row with the best metric; among equals the one with the least loss, then the fewest parameters.

        One lucky seed can win here: :meth:`summary` compares means over seeds. With halving, only networks that were
        trained to the end count; if an interruption left none, those that came furthest, and not those left behind.

        Raises
        ------
        ValueError
            If no network has a result.
        """
        rows = [row for row in self.rows if row["error"] is None]
        if not rows:
            raise ValueError(
                f"of {counted(len(self), 'network')} none has a result; the first one says: {self.rows[0]['error']}"
            )
        furthest = max(map(_reached, rows))
        rows = [row for row in rows if _reached(row) == furthest]
        return min(rows, key=self._order)

    def _order(self, row: dict[str, Any]) -> tuple:
        loss = row["val_loss"]
        return self.badness(row[self.metric]), math.inf if math.isnan(loss) else loss, row["n_params"]

    def badness(self, value: float) -> float:
        """Return a metric's value as a number that is lower for better ones, and infinite for NaN."""
        return math.inf if math.isnan(value) else -value if self.higher_is_better else value

    def summary(self) -> list[dict[str, Any]]:
        """Return one dict for all seeds of a setting, the best mean first.

        Keys: the setting's, n_params, flops, seeds (with a result), failed (without those that an interruption left
        unfinished), epochs (the most of its rows), and for seconds, train_loss, val_loss and the metric their mean and, as
        ``..._std``, their standard deviation over the seeds. With halving, settings that went further come before
        those that were left behind; of one that an interruption stopped on its way, the seeds that count are those that came
        furthest. Settings without a result come last.
        """
        groups: dict[tuple, list[dict[str, Any]]] = {}
        for row in self.rows:
            # As text: a rate that is NaN, as L-BFGS's, does not equal itself.
            groups.setdefault(tuple(repr(row.get(key)) for key in SETTINGS), []).append(row)
        lines = []
        for rows in groups.values():
            good = [row for row in rows if row["error"] is None]
            furthest = max(map(_reached, good), default=(-math.inf, False))
            good = [row for row in good if _reached(row) == furthest]
            line = {key: rows[0][key] for key in SETTINGS if key in rows[0]}
            line |= {"n_params": rows[0]["n_params"], "flops": rows[0]["flops"]}
            line |= {"seeds": len(good), "failed": len(_errors(rows))}
            for name in ("seconds", "train_loss", "val_loss", self.metric):
                values = [row[name] for row in good]
                line[name], line[f"{name}_std"] = _mean_and_std(values)
            line["epochs"] = max(row["epochs"] for row in rows)
            lines.append((furthest, line))
        lines.sort(key=lambda pair: self.badness(pair[1][self.metric]))
        lines.sort(key=lambda pair: pair[0], reverse=True)
        return [line for _, line in lines]

    def to_pandas(self):
        """Return a pandas DataFrame, one line for each network.

        Raises
        ------
        ImportError
            pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("to_pandas needs pandas: pip install pandas. to_csv does without.") from error
        return pandas.DataFrame(list(self.rows))

    def to_csv(self, path: str | os.PathLike) -> None:
        """Write a CSV file: a line of names, then one line for each network. The error is empty where there is none.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        path, text = checks.path("path", path, "rows.csv"), io.StringIO(newline="")
        writer = csv.DictWriter(text, list(self.rows[0]))
        writer.writeheader()
        writer.writerows(self.rows)
        files.write(path, text.getvalue().encode())

    def to_parquet(self, path: str | os.PathLike) -> None:
        """Write a Parquet file, one row for each network; a schedule is written as text.

        Raises
        ------
        ImportError
            pyarrow is not installed.
        OSError
            The file cannot be written.
        """
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise ImportError("to_parquet needs pyarrow: pip install pyarrow. to_csv does without.") from error
        columns = {}
        for key in self.rows[0]:
            values = [row[key] for row in self.rows]
            plain = all(value is None or isinstance(value, (int, float)) for value in values)
            columns[key] = values if plain else [None if value is None else str(value) for value in values]
        path, content = checks.path("path", path, "rows.parquet"), io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table(columns), content)
        files.write(path, content.getvalue())

    def table(self, limit: int | None = None) -> FittingTable:
        """Return a table for ``rich.print``: means ± standard deviations over seeds, the best first.

        A terminal that is too narrow for all of it shows fewer columns, the metric always, and names those left out.

        Parameters
        ----------
        limit : int, optional
            Show only so many settings.
        """
        lines = self.summary()
        shown = lines if limit is None else lines[: checks.integer("limit", limit, 0)]
        varied = [key for key in SETTINGS if key in ("width", "depth") or self.varies(key)]
        seeds, failed = max(line["seeds"] for line in lines), len(_errors(self.rows))
        columns = {key: [setting_text(key, line[key]) for line in shown] for key in varied}
        columns["params"] = [f"{line['n_params']:,}" for line in shown]
        if failed:
            columns["failed"] = [str(line["failed"] or "") for line in shown]
        columns["seconds"] = [f"{line['seconds']:.3g}" if line["seeds"] else "-" for line in shown]
        for key in ("val_loss", self.metric):
            columns[key] = [_spread(line[key], line[f"{key}_std"], seeds) for line in shown]
        # By the metric the networks are compared, and width and depth they always have.
        spare = [key for key in ("seconds", "params", "failed", *varied[:1:-1], "val_loss") if key in columns]
        return FittingTable(
            {key.replace("_", " "): cells for key, cells in columns.items()},
            [key.replace("_", " ") for key in spare if key != self.metric],
            self._title(seeds),
            self._caption(len(lines) - len(shown)),
        )

    def _title(self, seeds: int) -> str:
        networks = counted(len(self), "network")
        took = "" if math.isnan(self.seconds) else f" in {self.seconds:.3g} s"
        return f"{networks}{took}" + (f"; mean ± standard deviation over {seeds} seeds" if seeds > 1 else "")

    def _caption(self, hidden: int) -> str | None:
        words = []
        if hidden > 0:
            words.append(f"{counted(hidden, 'more setting')} not shown.")
        if self.stopped == "interrupted":
            remedy = self.how_to_resume().partition(": ")[2]
            words.append(f"Interrupted before the end. {remedy[:1].upper()}{remedy[1:]}.")
        errors = _errors(self.rows)
        if errors:
            words.append(f"{len(errors)} failed, the first with: {errors[0]}")
        return " ".join(words) or None

    def plot(self, to: Any = None, kind: str = "all") -> Figure:
        """Draw the result.

        Parameters
        ----------
        to : path or matplotlib Axes, optional
            A file to write (.png, .pdf, .svg), or for a single picture the axes to draw on; without it, a new figure.
        kind : {"all", "heatmap", "spread", "curves", "pareto", "rates"}
            The metric over width and depth, its spread over seeds, loss curves, the metric by the number of parameters with
            its Pareto front, or by learning rate; or all on one page. See :mod:`fastmlp.plots`.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            matplotlib is not installed.
        TypeError, ValueError
            If there is no such kind, it is "all" and `to` is axes, or the file's name has no known ending.
        OSError
            The file cannot be written.
        """
        from .. import checks, plots

        kinds = ("all", "heatmap", "spread", "curves", "pareto", "rates")
        checks.choice("kind", kind, kinds)
        on_axes = hasattr(to, "imshow")
        if on_axes and kind == "all":
            raise ValueError(f"kind='all' is a page of several pictures. For axes pass {', '.join(map(repr, kinds[1:]))}.")
        ax = to if on_axes else None
        if kind == "all":
            figure = plots.sweep(self)
        elif kind in ("heatmap", "spread"):
            figure = plots.heatmap(self, ax, spread=kind == "spread")
        else:
            draw = {"curves": plots.sweep_curves, "pareto": plots.pareto, "rates": plots.sweep_rates}[kind]
            figure = draw(self, ax)
        if to is not None and not on_axes:
            plots.save(figure, to)
        return figure


def _reached(row: dict[str, Any]) -> tuple[float, bool]:
    """Return what is higher for a row that comes before others, whatever its metric: how far halving let it come.

    That is infinite for what was trained to the end, else epochs; among equals, one that was to go on is higher.
    """
    why = row.get("stopped")
    return row["epochs"] if why in ("halving", "interrupted") else math.inf, why != "halving"


def _errors(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Return what rows failed with; those that are merely not finished did not."""
    return [row["error"] for row in rows if row["error"] not in (None, "interrupted")]


def _mean_and_std(values: list[float]) -> tuple[float, float]:
    """Return both, NaN where there are no values; the deviation is NaN too where some are not finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        return (float(np.mean(values)), float(np.std(values))) if values else (math.nan, math.nan)


def digits(value: float) -> str:
    """Return the first four digits of a number, without an exponent where people do without; a dash for NaN."""
    if math.isnan(value):
        return "-"
    if not 1e-4 <= abs(value) < 1e9:
        return f"{value:.4g}"
    decimals = max(3 - math.floor(math.log10(abs(value))), 0)
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def setting_text(key: str, value: Any) -> str:
    """Return the value of a setting in few letters."""
    if key == "batch_size" and value is None:
        return "all"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _spread(mean: float, std: float, seeds: int) -> str:
    """Return ``mean ± std``, the mean to the digits that the spread leaves, with a mean alone for one seed."""
    if seeds < 2 or math.isnan(mean) or not math.isfinite(std):
        return digits(mean)
    if std == 0.0:
        return f"{digits(mean)} ± 0"
    decimals = min(max(-math.floor(math.log10(std)), 0), 5)
    return f"{mean:.{decimals}f} ± {std:.{decimals}f}"
