"""Pictures of sweeps: heat maps of the metric over width and depth, and everything on one page."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import counted
from .figures import axes_of, check_result, figure, figure_of, ink, metric_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..sweeps.result import SweepResult

__all__ = ["heatmap", "sweep"]

# Beyond this many cells in a row, numbers in them would be too small to read.
_MOST_ANNOTATED = 16
# Beyond this many widths, as random search tries them, columns stand for ranges of widths.
_MOST_COLUMNS, _RANGES = 24, 12
# How wide a letter of a title is in points, on average.
_LETTER = 5.2


def sweep(result: SweepResult) -> Figure:
    """Draw a sweep on one page: heat maps of mean and spread, loss curves, and the metric by size and learning rate.

    Parameters
    ----------
    result : SweepResult
        The spread is drawn where there are several seeds, loss curves where there are any, and learning rates from three on.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError
        `result` is something else.
    ValueError
        The result has no rows.
    """
    from .sweep_curves import pareto, sweep_curves, sweep_rates, tried_rates

    check_result(result)
    draws: list[Any] = [heatmap]
    if len({row["seed"] for row in result}) > 1:
        draws.append(lambda result, ax: heatmap(result, ax, spread=True))
    if any(curves.get("loss") for curves in result.curves):
        draws.append(sweep_curves)
    draws.append(pareto)
    if len(tried_rates(result)) > 2:
        draws.append(sweep_rates)
    widths, depths, _ = _cells(result)
    columns = 2 if len(draws) > 3 else len(draws)
    rows = -(-len(draws) // columns)
    wide, high = max(1.8 + 0.75 * len(widths), 6.0), max(1.6 + 0.5 * len(depths), 4.0)
    page = figure(columns * min(wide, 14.0), rows * min(high, 9.0))
    # Figures of their own: what stands beside or above one picture takes no room from others.
    parts = page.subfigures(rows, columns, squeeze=False)
    for draw, part in zip(draws, parts.ravel(), strict=False):
        draw(result, part.subplots())
    return page


def heatmap(result: SweepResult, ax: Axes | None = None, spread: bool = False) -> Figure:
    """Draw a sweep's metric over width and depth.

    Parameters
    ----------
    result : SweepResult
        A cell shows the mean over its seeds, and where there are several their standard deviation. If the sweep tried
        several activations or learning rates, a cell shows the best of them. More than 24 widths are drawn as ranges, of
        which a cell shows the best width.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.
    spread : bool
        Colour the cells by the standard deviation over seeds, of the same settings, instead of the mean.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError
        `result` is something else.
    ValueError
        The result has no rows.
    """
    check_result(result)
    widths, depths, cells = _cells(result)
    shown = f"{result.metric}_std" if spread else result.metric
    columns, rows = min(len(widths), 24), min(len(depths), 24)
    ax = axes_of(ax, max(2.6 + 0.85 * columns, 4.8), max(1.5 + 0.55 * rows, 2.4))
    values = np.array([[cells[w, d][shown] if (w, d) in cells else math.nan for w in widths] for d in depths])
    # Yellow is good, whichever way the metric counts.
    low, high = _limits(values)
    colours = _colours("cividis_r" if spread else "viridis" if result.higher_is_better else "viridis_r")
    image = ax.imshow(values, cmap=colours, aspect="auto", vmin=low, vmax=high)
    crowded = len(widths) > _MOST_ANNOTATED or any(len(str(w)) > 4 for w in widths)
    ax.set_xticks(range(len(widths)), [str(w) for w in widths], rotation=45 if crowded else 0)
    ax.set_yticks(range(len(depths)), [str(d) for d in depths])
    ax.set(xlabel="width (units in each hidden layer)", ylabel="depth (hidden layers)")
    name = metric_words(result.metric)
    better = "higher" if result.higher_is_better else "lower"
    title = [f"{name[0].upper()}{name[1:]} ({better} is better)", _of_what(result)]
    if spread:
        name = f"standard deviation of {name}"
        title = [f"S{name[1:]}", f"over {counted(len({row['seed'] for row in result}), 'seed')}"]
    points = ax.get_window_extent().width * 72.0 / figure_of(ax).dpi
    ax.set_title("\n".join(textwrap.fill(line, int(points / _LETTER)) for line in title), fontsize="medium")
    ax.tick_params(length=0)
    if len(np.unique(values[np.isfinite(values)])) > 1:
        ax.figure.colorbar(image, ax=ax, label=name, fraction=0.05, pad=0.02)
    if len(widths) <= _MOST_ANNOTATED:
        _annotate(ax, image, values, [[cells.get((w, d)) for w in widths] for d in depths], result.metric, spread)
    if not spread:
        _mark_best(ax, values, widths, depths, cells)
    return figure_of(ax)


def _colours(name: str):
    """Return a colour map with grey for cells without a value."""
    import matplotlib

    return matplotlib.colormaps[name].with_extremes(bad="0.85")


def _cells(result: SweepResult) -> tuple[list[Any], list[int], dict[tuple[Any, int], dict[str, Any]]]:
    """Return widths or ranges of them, depths, and the best setting of each cell."""
    if len(result) == 0:
        raise ValueError("The sweep has no rows to draw.")
    name = _names({row["width"] for row in result})
    cells: dict[tuple[Any, int], dict[str, Any]] = {}
    for line in result.summary():  # the best first
        cells.setdefault((name[line["width"]], line["depth"]), line)
    return list(dict.fromkeys(name.values())), sorted({d for _, d in cells}), cells


def _names(widths: set[int]) -> dict[int, Any]:
    """Return what each width's column is called, in rising order: itself, or if there are many the range that it is in."""
    rising = sorted(widths)
    if len(rising) <= _MOST_COLUMNS:
        return {width: width for width in rising}
    ends = np.geomspace(rising[0], rising[-1] + 1, _RANGES + 1)
    members: dict[int, list[int]] = {}
    for width in rising:
        members.setdefault(int(np.searchsorted(ends, width, "right")), []).append(width)
    found: dict[int, Any] = {}
    for inside in members.values():
        found |= dict.fromkeys(inside, f"{inside[0]}-{inside[-1]}" if len(inside) > 1 else inside[0])
    return found


def _limits(values: np.ndarray) -> tuple[float, float]:
    """Return the ends of the colour scale; equal values get the middle of it."""
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


# Columns besides width and depth, as one speaks of several.
_PLURALS = {
    "activation": "activations", "optimizer": "optimizers", "lr": "learning rates", "batch_size": "batch sizes",
    "dropout": "dropouts", "weight_decay": "weight decays", "l1": "l1", "l2": "l2", "clip_norm": "clip norms",
}  # fmt: skip


def _of_what(result: SweepResult) -> str:
    """Say over what a cell is taken."""
    seeds = len({row["seed"] for row in result})
    words = [f"mean of {seeds} seeds" if seeds > 1 else "one seed"]
    if len({row["width"] for row in result}) > _MOST_COLUMNS:
        words.append("best width of each range")
    several = {key: len({str(row.get(key)) for row in result}) for key in _PLURALS}
    varied = [key for key in _PLURALS if several[key] > 1]
    if len(varied) == 1:
        words.append(f"best of {several[varied[0]]} {_PLURALS[varied[0]]}")
    elif len(varied) == 2:
        words.append("best of all " + " and ".join(_PLURALS[key] for key in varied))
    elif varied:
        words.append(f"best of {len(varied)} other settings")
    return ", ".join(words)


def _annotate(ax: Axes, image, values: np.ndarray, lines, metric: str, spread: bool) -> None:
    """Write each cell's number into it, dark on light colours and light on dark ones."""
    digits = _decimals(values)
    for row, column in np.ndindex(values.shape):
        line, value = lines[row][column], values[row, column]
        if line is None:
            continue
        if math.isnan(value):
            what = "failed" if line["failed"] or line["seeds"] else "-"  # not finished when the sweep was interrupted
            ax.text(column, row, what, ha="center", va="center", color="0.35", fontsize="small")
            continue
        around = f"\n±{line[f'{metric}_std']:.{digits}f}" if line["seeds"] > 1 and not spread else ""
        text = f"{value:.{digits}f}{around}"
        ax.text(column, row, text, ha="center", va="center", fontsize="small", linespacing=1.0,
                color=ink(image.cmap(image.norm(value))))  # fmt: skip


def _decimals(values: np.ndarray) -> int:
    """Return the decimals that tell the cells apart: three digits of their range, at most four decimals."""
    finite = np.abs(values[np.isfinite(values)])
    scale = finite.max(initial=0.0)
    return 3 if scale == 0.0 else min(max(2 - math.floor(math.log10(scale)), 0), 4)


def _mark_best(ax: Axes, values: np.ndarray, widths: list[Any], depths: list[int], cells: dict[tuple[Any, int], Any]) -> None:
    """Frame the best cell, which is the first; with halving, not the one with the best number of a few epochs."""
    from matplotlib.patches import Rectangle

    width, depth = next(iter(cells))
    column, row = widths.index(width), depths.index(depth)
    if math.isnan(values[row, column]) or values.size == 1:
        return
    ax.add_patch(Rectangle((column - 0.47, row - 0.44), 0.94, 0.88, fill=False, edgecolor="#d62728", linewidth=2.0))
