"""Pictures of sweeps: loss curves of its networks, what more parameters bring, and which learning rates do well."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import counted
from .curves import draw_losses, finish_losses, label_four
from .figures import COLOURS, MARKERS, axes_of, check_result, figure_of, metric_words, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..sweeps.result import SweepResult

__all__ = ["pareto", "sweep_curves", "sweep_rates", "tried_rates"]

# So many settings get a colour and a name; the others are there in grey.
_NAMED = 5
# Settings that only hidden layers have.
_OF_HIDDEN = ("width", "activation", "dropout")
# What a name such as 128×2 takes up in points.
_NAME_SIZE = (30.0, 9.0)
# How many letters of a setting's name stand in a line.
_NAME_LENGTH = 22


def sweep_curves(result: SweepResult, ax: Axes | None = None) -> Figure:
    """Draw the loss curves of a sweep's networks, those of the best settings in colour.

    Parameters
    ----------
    result : SweepResult
        A full line is the loss of the training rows, a dashed one that of the rows held back (``curves=True``). A coloured
        line is the mean over a setting's seeds.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

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
        The result has no curves.
    """
    check_result(result)
    if not any(curves.get("loss") for curves in result.curves):
        raise ValueError("The sweep has no loss curves to draw: none of its networks was trained.")
    ax = axes_of(ax, 6.4, 4.2)
    for curves in result.curves:
        draw_losses(ax, curves.get("loss", []), color="0.8", linewidth=0.6, zorder=1)
    lines = _networks([line for line in result.summary() if line["seeds"]])[:_NAMED]
    for line, colour in zip(lines, COLOURS, strict=False):
        rows = [i for i, row in enumerate(result) if all(str(row[key]) == str(line[key]) for key in _setting(line))]
        for name, style, label in (("loss", "-", plain(_name(line, result))), ("val_loss", "--", None)):
            curve = _mean([result.curves[i].get(name, []) for i in rows])
            draw_losses(ax, curve, style, color=colour, label=label, zorder=2)
    dashed = ", dashed: held back" if any(curves.get("val_loss") for curves in result.curves) else ""
    finish_losses(
        ax, [curves.get("loss", []) for curves in result.curves], f"Loss by epoch, the best settings in colour{dashed}"
    )
    # Beside the picture, as it would lie on curves.
    shown = ax.legend(frameon=False, fontsize="x-small", loc="upper left", bbox_to_anchor=(1.0, 1.02))
    for text in shown.get_texts():
        text.set_text(textwrap.fill(text.get_text(), _NAME_LENGTH))
    return figure_of(ax)


def pareto(result: SweepResult, ax: Axes | None = None) -> Figure:
    """Draw the metric by the number of parameters, and the settings that none smaller beats: the Pareto front.

    Parameters
    ----------
    result : SweepResult
        A point is the mean over a setting's seeds, its line their standard deviation.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError
        `result` is something else.
    """
    check_result(result)
    ax = axes_of(ax, 6.4, 4.2)
    lines = _with_result(result)
    _draw_points(ax, lines, result, "n_params")
    front = _front(lines, result)
    sizes, values = [line["n_params"] for line in front], [line[result.metric] for line in front]
    if front:
        ax.plot(sizes, values, color="0.15", linewidth=1.3, drawstyle="steps-post", zorder=1, label="Pareto front")
    if lines and max(line["n_params"] for line in lines) > 4 * min(line["n_params"] for line in lines):
        ax.set_xscale("log")
    _finish_points(ax, result, "parameters", "size")
    _label_few_powers(ax, [line["n_params"] for line in lines])
    if len(front) <= 8:
        _name_points(ax, front, result)
    return figure_of(ax)


def sweep_rates(result: SweepResult, ax: Axes | None = None) -> Figure:
    """Draw the metric by the learning rate.

    Parameters
    ----------
    result : SweepResult
        A point is the mean over a setting's seeds, its line their standard deviation. A black line goes through the best
        setting of each rate, unless rates were drawn at random for several widths or depths. Schedules are left out.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

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
        The sweep tried no two learning rates.
    """
    check_result(result)
    if len(tried_rates(result)) < 2:
        raise ValueError("The sweep did not try several learning rates to compare. Pass lr, such as lr=[1e-4, 1e-3, 1e-2].")
    ax = axes_of(ax, 6.4, 4.2)
    lines = [line for line in _with_result(result) if line["lr"] in tried_rates(result)]
    _draw_points(ax, lines, result, "lr")
    best: dict[float, float] = {}
    for line in reversed(lines):  # the best come first
        best[line["lr"]] = line[result.metric]
    if len(best) < len(lines) or len({(line["width"], line["depth"]) for line in lines}) == 1:
        ax.plot(*zip(*sorted(best.items()), strict=True), color="0.15", linewidth=1.3, zorder=1, label="best of each rate")
    ax.set_xscale("log")
    _finish_points(ax, result, "learning rate", "learning rate")
    _label_few_powers(ax, [line["lr"] for line in lines])
    return figure_of(ax)


def tried_rates(result: SweepResult) -> set[float]:
    """Return a sweep's learning rates that are numbers."""
    return {row["lr"] for row in result if isinstance(row["lr"], float) and math.isfinite(row["lr"])}


def _with_result(result: SweepResult) -> list[dict[str, Any]]:
    return [line for line in result.summary() if line["seeds"] and math.isfinite(line[result.metric])]


def _draw_points(ax: Axes, lines: list[dict[str, Any]], result: SweepResult, key: str) -> None:
    """Draw the metric of settings by something else of theirs, each depth in a colour and a mark of its own."""
    for number, depth in enumerate(sorted({line["depth"] for line in lines})):
        own = [line for line in lines if line["depth"] == depth]
        spread = [line[f"{result.metric}_std"] for line in own]
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        ax.errorbar(
            [line[key] for line in own], [line[result.metric] for line in own], yerr=spread if any(spread) else None,
            fmt=marker, color=colour, markersize=4 if len(lines) > 50 else 5.5, elinewidth=0.8, alpha=0.8,
            label=counted(depth, "hidden layer"),
        )  # fmt: skip


def _finish_points(ax: Axes, result: SweepResult, label: str, by: str) -> None:
    """Label axes with points on them, and name their colours; say so if there are none."""
    name = metric_words(result.metric)
    ax.set(xlabel=label, ylabel=name)
    ax.set_title(f"{name[0].upper()}{name[1:]} by {by}", fontsize="medium")
    ax.margins(x=0.12, y=0.12)
    ax.grid(alpha=0.25)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, fontsize="small")
    else:
        ax.text(0.5, 0.5, "no result", transform=ax.transAxes, ha="center", va="center", color="0.35")


def _label_few_powers(ax: Axes, places: list[float]) -> None:
    """Label a logarithmic axis with less than two powers of ten, which matplotlib fills with other labels."""
    start, end = np.log10(ax.get_xlim()) if ax.get_xscale() == "log" else (0.0, 1.0)
    if places and math.floor(end) - math.ceil(start) < 1:
        label_four(ax, min(places), max(places))


def _name_points(ax: Axes, front: list[dict[str, Any]], result: SweepResult) -> None:
    """Write the settings of a front on its points, the best first, but for those whose name would lie on another's."""
    up = result.higher_is_better
    ax.autoscale_view()
    taken: list[tuple[float, float]] = []
    for line in reversed(front):
        point = line["n_params"], line[result.metric]
        x, y = ax.transData.transform(point) * 72.0 / figure_of(ax).dpi
        if any(abs(x - other) < _NAME_SIZE[0] and abs(y - beside) < _NAME_SIZE[1] for other, beside in taken):
            continue
        taken.append((x, y))
        ax.annotate(
            _shape(line), point, textcoords="offset points", xytext=(-5, 4 if up else -4),
            fontsize="x-small", ha="right", va="bottom" if up else "top",
        )  # fmt: skip


def _front(lines: list[dict[str, Any]], result: SweepResult) -> list[dict[str, Any]]:
    """Return the settings that are better than all smaller ones, by size."""
    found: list[dict[str, Any]] = []
    for line in sorted(lines, key=lambda line: (line["n_params"], result.badness(line[result.metric]))):
        if not found or result.badness(line[result.metric]) < result.badness(found[-1][result.metric]):
            found.append(line)
    return found


def _setting(line: dict[str, Any]) -> list[str]:
    from ..sweeps.space import SETTINGS

    return [key for key in SETTINGS if key in line]


def _name(line: dict[str, Any], result: SweepResult) -> str:
    """Return a setting's name: width × depth, and what else varies."""
    from ..sweeps.result import setting_text

    rest = [key for key in _setting(line) if key not in ("width", "depth") and result.varies(key)]
    words = []
    for key in rest:
        called = "batch " if key == "batch_size" else f"{key} " * isinstance(line[key], float)
        words.append(called + setting_text(key, line[key]))
    return ", ".join([_shape(line), *words])


def _shape(line: dict[str, Any]) -> str:
    """Return width × depth; a model without hidden layers has no width."""
    return f"{line['width']}×{line['depth']}" if line["depth"] else "linear"


def _networks(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return settings of different networks: without hidden layers, those of all widths are the same one."""
    found: dict[tuple, dict[str, Any]] = {}
    for line in lines:
        found.setdefault(tuple(str(line[key]) for key in _setting(line) if line["depth"] or key not in _OF_HIDDEN), line)
    return list(found.values())


def _mean(curves: list[list[float]]) -> list[float]:
    """Return the mean curve, as far as all go."""
    curves = [curve for curve in curves if curve]
    length = min(map(len, curves), default=0)
    return np.mean([curve[:length] for curve in curves], axis=0).tolist() if length else []
