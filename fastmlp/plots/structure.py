"""Pictures of networks themselves: their layers from the inputs to the outputs, and their weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import shown
from ..network import MLP
from ..summary import layer_name
from .figures import COLOURS, axes_of, cut, figure_of, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["architecture", "weights"]

_HEADER = ("", "units", "activation", "parameters", "FLOPs")
# Points: the text's usual size, and the least that a row is read at.
_TEXT, _SMALLEST = 9.0, 6.0
# A row's least and largest height, and a character's width, as parts of the text's size.
_ROW, _TALLEST_ROW, _CHARACTER = 1.5, 2.4, 0.62
_LONGEST_NAME = 18
_MOST_ROWS = 26


class _Row(NamedTuple):
    """A layer as the picture shows it; or several that have no place of their own, without a width."""

    name: str
    width: int | None
    activation: str = ""
    parameters: int = 0
    flops: int = 0

    def cells(self) -> tuple[str, ...]:
        counts = ("", "") if self.name == "input" else (_compact(self.parameters), _compact(self.flops))
        return (self.name, "" if self.width is None else f"{self.width:,}", self.activation, *counts)


def architecture(net: MLP, ax: Axes | None = None) -> Figure:
    """Draw a network's layers from the inputs down to the outputs, with their parameters and operations.

    Bars are as wide as the square root of the layers' units. Where there are more layers than rows that could be read, the
    middle ones share a row.

    Parameters
    ----------
    net : MLP
    ax : matplotlib Axes, optional
        Where to draw; a new figure, as high as the layers need, if not given.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError
        If `net` is no network.

    Examples
    --------
    >>> import fastmlp as fm
    >>> net = fm.MLP([784, 128, fm.Dense(32, "tanh"), 10], output="softmax")
    >>> figure = fm.plots.architecture(net)
    >>> figure.axes[0].get_title()
    '104,938 parameters, 209,536 FLOPs a row'
    """
    rows = _rows(_checked(net, "architecture"))
    ax = axes_of(ax, 5.0, 0.6 + _ROW * _TEXT / 72 * (min(len(rows), _MOST_ROWS) + 1))
    ax.set_axis_off()
    ax.set_title(f"{_long(net.n_params)} parameters, {_long(net.flops())} FLOPs a row", fontsize="medium")
    width, height = _points(ax)
    rows = _shortened(rows, min(max(int(height / (_ROW * _SMALLEST)) - 1, 3), _MOST_ROWS))
    table = [_HEADER, *(row.cells() for row in rows)]
    lengths = [max(len(line[column]) for line in table) for column in range(len(_HEADER))]
    # The bars have a quarter of the width; between columns there is more than a character's width.
    spaced = [_CHARACTER * (length + 1.4) for length in lengths]
    size = min(_TEXT, height / (_ROW * len(table)), 0.75 * width / sum(spaced))
    step = _CHARACTER * size / width
    spans = [each * size / width for each in spaced]
    rest = max(height / (_TALLEST_ROW * size) - len(table), 0.0) / 2  # empty rows above and below
    ax.set(xlim=(0, 1), ylim=(len(table) - 0.5 + rest, -0.5 - rest))
    _draw_bars(ax, rows, spans[0], 1.0 - sum(spans[1:]))
    for number, line in enumerate(table):
        style: dict[str, Any] = {"fontsize": size, "va": "center", "color": "0.35" if number == 0 else "black"}
        right = 1.0
        for column in range(len(line) - 1, 0, -1):
            words = _HEADER[column] == "activation"
            ax.text(right - spans[column] + step if words else right, number, plain(line[column]),
                    ha="left" if words else "right", **style)  # fmt: skip
            right -= spans[column]
        ax.text(0.0, number, line[0], ha="left", **style)
    return figure_of(ax)


def _checked(net: Any, name: str) -> MLP:
    if not isinstance(net, MLP):
        raise TypeError(f"{name} draws networks; got {shown(net)} ({type(net).__name__}).")
    return net


def _points(ax: Axes) -> tuple[float, float]:
    """Return the width and height of axes in points, as the figure's layout has them."""
    figure_of(ax).draw_without_rendering()
    box = ax.get_window_extent()
    scale = 72 / figure_of(ax).dpi
    return box.width * scale, box.height * scale


def _rows(net: MLP) -> list[_Row]:
    """Return the inputs and each layer."""
    rows = [_Row("input", net.plan.n_inputs)]
    for number, dense in enumerate(net.layers):
        kind = cut(str(dense.activation), _LONGEST_NAME)
        kind += ", parametric" if dense.parametric else ""
        kind += f", dropout {dense.dropout:.2g}" if dense.dropout else ""
        parameters, flops = int(net.plan.sizes[number]), 2 * net.plan.products[number]
        rows.append(_Row(layer_name(net, number), dense.width, kind, parameters, flops))
    return rows


def _shortened(rows: list[_Row], most: int) -> list[_Row]:
    """Return at most so many rows, of which one stands for those in the middle."""
    if len(rows) <= most:
        return rows
    first = most // 2
    last = len(rows) - (most - first - 1)
    middle = rows[first:last]
    among = _Row(f"⋮ {len(middle)} more", None, "", sum(r.parameters for r in middle), sum(r.flops for r in middle))
    return [*rows[:first], among, *rows[last:]]


def _draw_bars(ax: Axes, rows: Sequence[_Row], left: float, right: float) -> None:
    """Draw each layer as a bar between these places, and the connections between them as the paler shape."""
    from matplotlib.patches import Polygon, Rectangle

    widest = max(row.width or 1 for row in rows)
    middle, reach, half = (left + right) / 2, 0.46 * (right - left), 0.28
    above = None
    for number, row in enumerate(rows, start=1):
        if row.width is None:
            above = None
            continue
        side = max(reach * math.sqrt(row.width / widest), 0.004)
        if above is not None:
            corners = [(middle - above, number - 1 + half), (middle + above, number - 1 + half), (middle + side, number - half),
                       (middle - side, number - half)]  # fmt: skip
            ax.add_patch(Polygon(corners, closed=True, facecolor="0.88", zorder=0))
        colour = COLOURS[1] if row.name in ("input", "output") else COLOURS[0]
        ax.add_patch(Rectangle((middle - side, number - half), 2 * side, 2 * half, color=colour, linewidth=0))
        above = side


def _compact(count: int) -> str:
    """Return a count with its thousands, or with three digits if it is long."""
    if count < 1_000_000:
        return f"{count:,}"
    power = min((len(str(count)) - 1) // 3, 5)
    return f"{count / 1000**power:.3g}{' kMGTP'[power]}"


def _long(count: int) -> str:
    return f"{count:,}" if count < 10**9 else _compact(count)


# ---- weights


def weights(net: MLP, ax: Axes | None = None) -> Figure:
    """Draw each layer's weights as a panel, all on one scale of colours.

    A panel's rows are the layer's inputs and its columns are the layer's units, as in ``net.weights``; biases are not
    shown. Orange is positive, purple negative, white zero, and grey is not finite. The scale suits the middle one of the
    layers; where others have weights far beyond it, the colour bar's ends are pointed.

    Parameters
    ----------
    net : MLP
    ax : matplotlib Axes, optional
        Where to draw, all panels within it; a new figure if not given.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError
        If `net` is no network.

    Examples
    --------
    >>> import fastmlp as fm
    >>> figure = fm.plots.weights(fm.MLP([2, 16, 16, 1], activation="tanh"))
    """
    every = [np.asarray(each, np.float64) for each in _checked(net, "weights").weights]
    names, layers = zip(*[(layer_name(net, k), each) for k, each in enumerate(every) if each.size], strict=True)
    columns = math.ceil(math.sqrt(len(layers)))
    rows = math.ceil(len(layers) / columns)
    ax = axes_of(ax, min(max(1.6 + 1.5 * columns, 4.0), 10.0), min(max(0.6 + 1.3 * rows, 2.4), 9.0))
    ax.set_axis_off()
    ax.set_title("Weights: rows are inputs, columns units", fontsize="medium")
    return _draw_panels(ax, names, layers, rows, columns)


def _limit(layers: Sequence[NDArray]) -> tuple[float, bool]:
    """Return where the scale of colours ends, and whether there are weights beyond."""
    finite = [np.abs(each[np.isfinite(each)]) for each in layers]
    largest = max(float(each.max(initial=0.0)) for each in finite)
    # A layer of few inputs has weights many times as large as those of one with many, which would all look white.
    most = float(np.median([np.quantile(each, 0.99) if len(each) else 0.0 for each in finite]))
    cut = 0.0 < 1.5 * most < largest
    return (most if cut else largest or 1.0), cut


def _draw_panels(ax: Axes, names: Sequence[str], layers: Sequence[NDArray], rows: int, columns: int) -> Figure:
    """Put the layers' panels into axes, row by row, and the colour bar beside them."""
    import matplotlib
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    limit, cut = _limit(layers)
    norm = Normalize(-limit, limit)
    scale = ScalarMappable(norm, matplotlib.colormaps["PuOr_r"].with_extremes(bad="0.6"))
    bar = ax.figure.colorbar(scale, ax=ax, fraction=0.06, pad=0.03, extend="both" if cut else "neither")
    bar.ax.tick_params(labelsize="small")
    width, height = _points(ax)
    cell = (width / columns, height / rows)
    names = [f"{name}\n{each.shape[0]} × {each.shape[1]}" for name, each in zip(names, layers, strict=True)]
    longest = max(len(part) for name in names for part in name.split("\n"))
    size = min(8.0, 0.95 * cell[0] / (_CHARACTER * longest), 0.2 * cell[1])
    if size < _SMALLEST:  # only the layers' numbers have room
        names = [str(number) for number in range(1, len(layers) + 1)]
        size = min(8.0, 0.3 * cell[1])
    head = size * (1.35 * names[0].count("\n") + 1.7) / height
    for number, (name, values) in enumerate(zip(names, layers, strict=True)):
        row, column = divmod(number, columns)
        place = (column / columns, 1.0 - (row + 1) / rows, 0.9 / columns, 1.0 / rows - head)
        panel = ax.inset_axes(place)
        panel.imshow(values, cmap=scale.cmap, norm=norm, aspect="auto", interpolation="nearest")
        panel.set(xticks=[], yticks=[])
        panel.set_title(name, fontsize=size, pad=2.0, linespacing=1.05)
        for spine in panel.spines.values():
            spine.set(color="0.5", linewidth=0.6)
    return figure_of(ax)
