"""Curves: losses of trainings by epoch, and the loss by learning rate of a range test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .figures import COLOURS, figure, figure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..history import History
    from ..lr_range import RangeTest

__all__ = ["loss_curves", "lr_range"]


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
        ax = figure(6.4, 4.0).subplots()
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
    return figure_of(ax)


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
    """
    if ax is None:
        ax = figure(5.0, 3.6).subplots()
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


def _colour(number: int, total: int):
    """Return a colour that differs from the other runs'."""
    import matplotlib

    return COLOURS[number] if total <= len(COLOURS) else matplotlib.colormaps["viridis"](0.9 * number / (total - 1))


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
