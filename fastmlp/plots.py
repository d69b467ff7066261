"""Pictures: a heat map of a sweep and loss curves of trainings.

matplotlib is imported when a picture is drawn, and only its objects are used, never pyplot's state: figures need no
display, and none stays open.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .history import History
    from .sweep_result import SweepResult

__all__ = ["check_name", "heatmap", "loss_curves", "save"]

_MISSING = "Pictures need matplotlib: pip install fastmlp[plot]"
# Beyond this many cells in a row, numbers in them would be too small to read.
_MOST_ANNOTATED = 16


def heatmap(result: SweepResult, ax: Axes | None = None) -> Figure:
    """Draw a sweep's metric over width and depth.

    Parameters
    ----------
    result : SweepResult
        A cell shows the mean over its seeds, and where there are several their standard deviation. If the sweep tried
        several activations or learning rates, a cell shows the best of them.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    widths, depths, cells = _cells(result)
    if ax is None:
        columns, rows = min(len(widths), 24), min(len(depths), 24)
        ax = _figure(max(2.6 + 0.85 * columns, 4.8), max(1.5 + 0.55 * rows, 2.4)).subplots()
    values = np.array([[cells[w, d][result.metric] if (w, d) in cells else math.nan for w in widths] for d in depths])
    # Yellow is good, whichever way the metric counts.
    low, high = _limits(values)
    colours = _colours("viridis" if result.higher_is_better else "viridis_r")
    image = ax.imshow(values, cmap=colours, aspect="auto", vmin=low, vmax=high)
    ax.set_xticks(range(len(widths)), [str(w) for w in widths], rotation=45 if len(widths) > _MOST_ANNOTATED else 0)
    ax.set_yticks(range(len(depths)), [str(d) for d in depths])
    ax.set(xlabel="width (units in each hidden layer)", ylabel="depth (hidden layers)")
    name = result.metric.replace("val_", "validation ").replace("_", " ")
    better = "higher" if result.higher_is_better else "lower"
    ax.set_title(f"{name[0].upper()}{name[1:]} ({better} is better)\n{_of_what(result)}", fontsize="medium")
    ax.tick_params(length=0)
    if len(np.unique(values[np.isfinite(values)])) > 1:
        ax.figure.colorbar(image, ax=ax, label=name, fraction=0.05, pad=0.02)
    if len(widths) <= _MOST_ANNOTATED:
        _annotate(ax, image, values, [[cells.get((w, d)) for w in widths] for d in depths], result)
    _mark_best(ax, values, result)
    return _figure_of(ax)


def loss_curves(history: History | Sequence[History], ax: Axes | None = None, labels: Sequence[str] | None = None) -> Figure:
    """Draw the losses of one training or of several over their epochs.

    Parameters
    ----------
    history : History or sequence of History
        What `fit` returned. The loss of the training rows is a full line, that of the validation rows a dashed one.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.
    labels : sequence of str, optional
        A name for each history.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    ValueError
        There is no history, or not one label for each.
    """
    histories: list[Any] = [history] if hasattr(history, "val_loss") else list(history)
    if not histories:
        raise ValueError("loss_curves needs at least one history.")
    names = list(labels) if labels is not None else [f"run {i + 1}" for i in range(len(histories))]
    if len(names) != len(histories):
        raise ValueError(f"labels must have one name for each of the {len(histories)} histories, not {len(names)}.")
    if ax is None:
        ax = _figure(6.4, 4.0).subplots()
    many = len(histories) > 10  # thin lines without marks
    lows, highs = [], []
    for number, (run, name) in enumerate(zip(histories, names, strict=True)):
        colour = _colour(number, len(histories))
        prefix = "" if len(histories) == 1 and labels is None else f"{name}, "
        for values, style, rows in ((run.loss, "-", "training"), (run.val_loss, "--", "validation")):
            finite = np.asarray(values, float)[np.isfinite(np.asarray(values, float))]
            if len(finite) == 0:
                continue
            lows.append(finite.min())
            highs.append(finite.max())
            ax.plot(range(1, len(values) + 1), values, style, color=colour, linewidth=1.0 if many else 1.6,
                    marker="o" if len(values) == 1 else None, label=f"{prefix}{rows}")  # fmt: skip
        if len(run.val_loss) > 1 and np.isfinite(run.val_loss).any() and not many:
            best = int(np.nanargmin(run.val_loss))
            ax.plot(best + 1, run.val_loss[best], "o", color=colour, markersize=5,
                    label="lowest validation loss" if len(histories) == 1 else None)  # fmt: skip
    _finish_curves(ax, lows, highs)
    return _figure_of(ax)


def save(figure: Figure, path: str | os.PathLike) -> None:
    """Write a figure to a file of the kind that its name ends in (.png, .pdf, .svg).

    Raises
    ------
    ValueError
        There is no such kind of picture.
    """
    check_name(path)
    figure.savefig(path, dpi=150)


def check_name(path: str | os.PathLike) -> None:
    """Raise if :func:`save` could not write a file of that name, for its ending or for want of matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError as error:
        raise ImportError(_MISSING) from error
    known = sorted(FigureCanvasAgg.get_supported_filetypes())
    ending = os.path.splitext(os.fspath(path))[1].lower().removeprefix(".")
    if ending not in known:
        raise ValueError(f"{os.fspath(path)} cannot be drawn: its name must end in one of {', '.join(known)}.")


def _figure_of(ax: Axes) -> Figure:
    """Return the figure that axes are on; the whole one if it has parts."""
    figure: Any = ax.figure
    return figure.figure


def _figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches that belongs to no window."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(_MISSING) from error
    return Figure(figsize=(width, height), layout="constrained")


def _colours(name: str):
    """Return a colour map with grey for cells without a value."""
    import matplotlib

    return matplotlib.colormaps[name].with_extremes(bad="0.85")


def _cells(result: SweepResult) -> tuple[list[int], list[int], dict[tuple[int, int], dict[str, Any]]]:
    """Return widths, depths and the best setting of each cell."""
    if len(result) == 0:
        raise ValueError("The sweep has no rows to draw.")
    cells: dict[tuple[int, int], dict[str, Any]] = {}
    for line in result.summary():  # the best first
        cells.setdefault((line["width"], line["depth"]), line)
    return sorted({w for w, _ in cells}), sorted({d for _, d in cells}), cells


def _limits(values: np.ndarray) -> tuple[float, float]:
    """Return the ends of the colour scale; equal values get the middle of it."""
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _of_what(result: SweepResult) -> str:
    """Say over what a cell is taken."""
    seeds = len({row["seed"] for row in result})
    words = [f"mean of {seeds} seeds" if seeds > 1 else "one seed"]
    for key, plural in (("activation", "activations"), ("lr", "learning rates")):
        several = len({row[key] for row in result})
        if several > 1:
            words.append(f"best of {several} {plural}")
    return ", ".join(words)


def _annotate(ax: Axes, image, values: np.ndarray, lines, result: SweepResult) -> None:
    """Write each cell's number into it, dark on light colours and light on dark ones."""
    digits = _decimals(values)
    for row, column in np.ndindex(values.shape):
        line, value = lines[row][column], values[row, column]
        if line is None:
            continue
        if math.isnan(value):
            ax.text(column, row, "failed", ha="center", va="center", color="0.35", fontsize="small")
            continue
        spread = line[f"{result.metric}_std"]
        text = f"{value:.{digits}f}" + (f"\n±{spread:.{digits}f}" if line["seeds"] > 1 else "")
        ax.text(column, row, text, ha="center", va="center", fontsize="small", linespacing=1.0,
                color=_ink(image.cmap(image.norm(value))))  # fmt: skip


def _ink(colour: Sequence[float]) -> str:
    """Return black or white, whichever stands out more on an RGBA colour: the contrast ratio of WCAG 2.1."""
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3])
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "black" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "white"


def _decimals(values: np.ndarray) -> int:
    """Return the decimals that tell the cells apart: three digits of their range, at most four decimals."""
    finite = np.abs(values[np.isfinite(values)])
    scale = finite.max(initial=0.0)
    return 3 if scale == 0.0 else min(max(2 - math.floor(math.log10(scale)), 0), 4)


def _mark_best(ax: Axes, values: np.ndarray, result: SweepResult) -> None:
    """Frame the best cell."""
    from matplotlib.patches import Rectangle

    if not np.isfinite(values).any() or values.size == 1:
        return
    row, column = np.unravel_index((np.nanargmax if result.higher_is_better else np.nanargmin)(values), values.shape)
    ax.add_patch(Rectangle((column - 0.47, row - 0.44), 0.94, 0.88, fill=False, edgecolor="#d62728", linewidth=2.0))


def _colour(number: int, total: int):
    """Return a colour that differs from the other runs'."""
    import matplotlib

    return f"C{number}" if total <= 10 else matplotlib.colormaps["viridis"](0.9 * number / (total - 1))


def _finish_curves(ax: Axes, lows: list[float], highs: list[float]) -> None:
    """Label the axes; losses that span orders of magnitude get a logarithmic one."""
    from matplotlib.ticker import MaxNLocator

    if lows and min(lows) > 0.0 and max(highs) > 30.0 * min(lows):
        ax.set_yscale("log")
    ax.set(xlabel="epoch", ylabel="loss", title="Loss by epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.grid(alpha=0.25)
    handles: list[Any] = ax.get_legend_handles_labels()[0]
    if len(handles) > 20:  # a line's name would be lost among so many: only say what the styles mean
        styles = {handle.get_linestyle(): handle for handle in reversed(handles)}
        names = {"-": "training", "--": "validation"}
        ax.legend(list(styles.values()), [names[style] for style in styles], frameon=False, fontsize="small")
    elif len(handles) > 3:
        ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    elif handles:
        ax.legend(frameon=False, fontsize="small")
