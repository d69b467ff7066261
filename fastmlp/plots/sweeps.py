"""Pictures of sweeps: a heat map of the metric over width and depth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .figures import figure, figure_of, ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..sweeps.result import SweepResult

__all__ = ["heatmap"]

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
        ax = figure(max(2.6 + 0.85 * columns, 4.8), max(1.5 + 0.55 * rows, 2.4)).subplots()
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
    return figure_of(ax)


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
                color=ink(image.cmap(image.norm(value))))  # fmt: skip


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
