"""Curves: losses of trainings by epoch, and the loss by learning rate of a range test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import shown
from ..population.history import PopulationHistory
from .figures import COLOURS, axes_of, figure_of, legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..lr_range import RangeTest

__all__ = ["draw_losses", "finish_losses", "label_four", "loss_curves", "lr_range"]

# Of the losses of training rows and of validation rows.
_STYLES = ("-", "--")
# And of losses that stand alone; a ring is larger, so that it shows around a dot of about the same loss.
_DOTS: dict[str, dict[str, Any]] = {
    "-": {"marker": "o", "markersize": 4},
    "--": {"marker": "o", "markersize": 7, "markerfacecolor": "none"},
}


def loss_curves(history: Any, ax: Axes | None = None, labels: Sequence[str] | None = None) -> Figure:
    """Draw the losses of one training or of several over their epochs.

    Parameters
    ----------
    history : History, PopulationHistory, sequence of float, or sequence of these
        What `fit` returned, or the losses of a training of one's own. The loss of the training rows is a full line, that of
        the validation rows a dashed one, with a dot where it is lowest. A population's history is a training for each of its
        networks. More than ten trainings have thin lines without dots, and a scale of colours instead of names.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.
    labels : sequence of str, optional
        A name for each training; by default a population's are "network 0" and so on, others "run 1" and so on.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError
        If `history` is none of these.
    ValueError
        If there is no history, or not one label for each.

    Examples
    --------
    >>> import fastmlp as fm
    >>> data = fm.datasets.load("moons")
    >>> net = fm.MLP([2, 16, 1], output="sigmoid")
    >>> history = net.fit(data.X, data.y, epochs=40, validation=0.2, optimizer=fm.Adam(0.02))
    >>> figure = fm.plots.loss_curves(history)
    """
    if isinstance(history, (str, Mapping)) or not hasattr(history, "__len__"):
        raise TypeError(f"history must be what fit returned, losses, or a list of these; got {shown(history)}.")
    one = hasattr(history, "val_loss") or (len(history) > 0 and all(isinstance(value, Real) for value in history))
    given = {"history": history} if one else {f"history[{i}]": each for i, each in enumerate(history)}
    runs = [_losses(run, name) for name, each in given.items() for run in _trainings(each)]
    if not runs:
        raise ValueError("loss_curves needs at least one history.")
    names = list(labels) if labels is not None else _names(history, len(runs))
    if len(names) != len(runs):
        raise ValueError(f"labels must have one name for each of the {len(runs)} histories, not {len(names)}.")
    ax = axes_of(ax, 6.4, 4.0)
    many = len(runs) > 10  # thin lines without marks and names
    for number, lines in enumerate(runs):
        colour = _colour(number, len(runs))
        for values, style in zip(lines, _STYLES, strict=True):
            if np.isfinite(values).any():
                draw_losses(ax, values, style, color=colour, linewidth=1.0 if many else 1.6)
        held_out = lines[1]
        if len(held_out) > 1 and np.isfinite(held_out).any() and not many:
            best = int(np.nanargmin(held_out))
            ax.plot(best + 1, held_out[best], "o", color=colour, markersize=5)
    finish_losses(ax, [part for lines in runs for part in lines], "Loss by epoch")
    if many:
        _colour_bar(ax, len(runs), 0 if isinstance(history, PopulationHistory) else 1)
    _legend(ax, runs, [] if many or (one and len(runs) == 1 and labels is None) else names)
    return figure_of(ax)


def _trainings(history: Any) -> list[Any]:
    """Return a population's trainings, or any other one by itself."""
    return list(history) if isinstance(history, PopulationHistory) else [history]


def _names(history: Any, total: int) -> list[str]:
    if isinstance(history, PopulationHistory):
        return [f"network {i}" for i in range(total)]
    return [f"run {i + 1}" for i in range(total)]


def draw_losses(ax: Axes, losses: ArrayLike, style: str = "-", **options: Any) -> None:
    """Draw losses over their epochs; one that has no finite neighbour, which no line shows, as a dot or a ring."""
    values = np.asarray(losses, float)
    alone = _alone(values)
    marks: dict[str, Any] = _DOTS[style] | {"markevery": alone} if alone.size else {}
    ax.plot(range(1, len(values) + 1), values, style, **marks, **options)


def _alone(values: NDArray) -> NDArray:
    """Return the places of finite losses without a finite neighbour."""
    finite = np.pad(np.isfinite(values), 1)
    return np.flatnonzero(finite[1:-1] & ~finite[:-2] & ~finite[2:])


def _losses(run: Any, name: str) -> tuple[NDArray, NDArray]:
    """Return the losses of training and of validation rows; TypeError with that name if it has none."""
    if hasattr(run, "val_loss"):
        return np.asarray(run.loss, float), np.asarray(run.val_loss, float)
    try:
        loss = np.asarray(run, float)
    except (TypeError, ValueError):
        loss = np.empty(())
    if loss.ndim != 1:
        raise TypeError(f"{name} must be what fit returned, or losses; got {shown(run)} ({type(run).__name__}).")
    return loss, np.empty(0)


def lr_range(test: RangeTest, ax: Axes | None = None) -> Figure:
    """Draw what a range test found: the loss by learning rate.

    Parameters
    ----------
    test : RangeTest
        What ``net.lr_range_test`` returned. Dots are the minibatches' losses, the line is without their noise; the
        suggested rate is marked, and rates from the limit on are shaded.
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
        `test` is something else.
    """
    from ..lr_range import RangeTest

    if not isinstance(test, RangeTest):
        raise TypeError(f"test must be what net.lr_range_test returned; got {shown(test)} ({type(test).__name__}).")
    ax = axes_of(ax, 5.0, 3.6)
    ax.set_xscale("log")
    ax.plot(test.lrs, test.losses, ".", color="0.6", markersize=4, label="minibatch")
    ax.plot(test.lrs, test.smoothed, color=COLOURS[0], linewidth=1.8, label="smoothed")
    if len(test.losses) > 1:
        # What lies above is the explosion at the end, which would flatten everything else.
        start, low = float(test.losses[:10].max()), float(test.losses.min())
        high = start + max(0.5 * (start - low), 0.1 * abs(start), 1e-12)
        room = 0.08 if test.suggestion is not None else 0.6  # the legend lies under a curve that falls
        ax.set_ylim(low - room * (high - low), high)
        ax.set_xlim(test.lrs[0], test.lrs[-1])
        if test.lrs[-1] < 99.0 * test.lrs[0]:
            label_four(ax, test.lrs[0], test.lrs[-1])
    if test.suggestion is not None:
        at = int(np.searchsorted(test.lrs, test.suggestion))
        ax.axvline(test.suggestion, color=COLOURS[5], linestyle=":", linewidth=1.2)
        ax.plot(test.suggestion, test.smoothed[at], "D", color=COLOURS[5], markersize=6,
                label=f"suggestion {test.suggestion:.2g}")  # fmt: skip
    if test.limit is not None and test.limit < test.lrs[-1]:
        ax.axvspan(test.limit, test.lrs[-1], color="0.88", label="too high", zorder=0)
    ax.set(xlabel="learning rate", ylabel="loss")
    ax.set_title(f"Range test, {type(test.optimizer).__name__}", fontsize="medium")
    ax.grid(alpha=0.25)
    ax.legend(fontsize="small", loc="lower left", edgecolor="none", framealpha=0.85)
    return figure_of(ax)


def label_four(ax: Axes, low: float, high: float) -> None:
    """Label four places from `low` to `high`, whole ones between integers, where matplotlib labels more than has room."""
    places = np.geomspace(low, high, 4)
    if isinstance(low, int) and isinstance(high, int):
        places = np.unique(np.round(places))
    ax.set_xticks(places, [f"{place:,.0f}" if place >= 100.0 else f"{place:.3g}" for place in places])
    ax.set_xticks([], minor=True)


def _colour(number: int, total: int):
    """Return a colour that differs from the other runs'."""
    import matplotlib

    return COLOURS[number] if total <= len(COLOURS) else matplotlib.colormaps["viridis"](0.9 * number / (total - 1))


def _colour_bar(ax: Axes, total: int, first: int) -> None:
    """Say which colour is whose where there are too many runs for names; a population's networks count from 0."""
    import matplotlib
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize
    from matplotlib.ticker import MaxNLocator

    colours = ListedColormap(matplotlib.colormaps["viridis"](np.linspace(0.0, 0.9, 256)))
    scale = ScalarMappable(Normalize(first, first + total - 1), colours)
    bar = ax.figure.colorbar(scale, ax=ax, fraction=0.05, pad=0.02, label="run" if first else "network")
    bar.locator = MaxNLocator(5, integer=True)
    bar.update_ticks()


def finish_losses(ax: Axes, losses: Sequence[ArrayLike], title: str) -> None:
    """Label axes with these losses on them; those that span orders of magnitude get a logarithmic axis."""
    from matplotlib.ticker import MaxNLocator

    values = np.concatenate([np.asarray(each, float) for each in losses])
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0.0 and values.max() > 30.0 * values.min():
        ax.set_yscale("log")
    if not len(values):
        ax.text(0.5, 0.5, "no finite loss", transform=ax.transAxes, ha="center", va="center", color="0.35")
    ax.set(xlabel="epoch", ylabel="loss")
    ax.set_title(title, fontsize="medium")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.grid(alpha=0.25)


def _legend(ax: Axes, runs: Sequence[tuple[NDArray, NDArray]], names: Sequence[str]) -> None:
    """Say which colour is whose, and what the styles mean if there are two."""
    from matplotlib.lines import Line2D

    colours = [_colour(number, len(runs)) for number in range(len(names))]
    entries = [(Line2D([], [], color=colour, linewidth=1.6), name) for colour, name in zip(colours, names, strict=True)]
    ink = "black" if len(runs) > 1 else _colour(0, 1)
    kinds = [any(np.isfinite(lines[kind]).any() for lines in runs) for kind in range(len(_STYLES))]
    if all(kinds) or not entries:
        for kind, (style, name) in enumerate(zip(_STYLES, ("training", "validation"), strict=True)):
            if kinds[kind]:
                marks = _DOTS[style] if any(_alone(lines[kind]).size for lines in runs) else {}
                entries.append((Line2D([], [], color=ink, linestyle=style, linewidth=1.6, **marks), name))
    if len(runs) == 1 and len(runs[0][1]) > 1 and kinds[1]:
        entries.append((Line2D([], [], color=ink, linestyle="", marker="o", markersize=5), "lowest validation loss"))
    if entries:
        handles, texts = zip(*entries, strict=True)
        aside: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.02)} if len(entries) > 3 else {}
        legend(ax, handles, texts, frameon=False, fontsize="small", **aside)
