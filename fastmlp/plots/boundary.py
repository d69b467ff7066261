"""Decision boundaries: in the plane of two inputs, and in the plane of a hidden layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import arrays, checks
from ..errors import counted, shown
from ..network import MLP
from ..parts import tail
from .figures import axes_of, cut, figure_of, plain
from .regions import Answers, answers_of, bounds_of, check_finite, draw_legend, draw_points, draw_regions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["decision_boundary", "hidden_space"]


def decision_boundary(
    net: Any,
    X: ArrayLike,
    y: ArrayLike | None = None,
    ax: Axes | None = None,
    *,
    names: Sequence[str] | None = None,
    resolution: int = 160,
) -> Figure:
    """Draw what a model of two inputs answers in their plane, and the points that it should learn.

    A place has its class's colour, the paler the less certain; black lines part the classes. If the model answers with
    numbers, colours are the numbers.

    Parameters
    ----------
    net : MLP or estimator
        A network, or any fitted estimator of scikit-learn's kind. Two classes may be one output, with targets 0 and 1, or
        -1 and 1.
    X : (n, 2) array or frame
        Points; the picture is of the plane around them. A frame's columns name the axes.
    y : (n,) or (n, outputs) array, optional
        Their targets: classes or numbers, as `net` is trained with. For a network of several outputs, class indices or rows
        that mark one class.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.
    names : sequence of str, optional
        What to call each class.
    resolution : int
        Places across and up at which the model is asked.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError
        If `net` is no such model, or X or y holds no numbers.
    ValueError
        If X has not two columns, y does not fit, there is not one name for each class, the network's parameters are not
        finite, or an estimator predicts several numbers for a row.

    Examples
    --------
    >>> import fastmlp as fm
    >>> data = fm.datasets.load("moons")
    >>> net = fm.MLP([2, 16, 1], output="sigmoid")
    >>> history = net.fit(data.X, data.y, epochs=40, optimizer=fm.Adam(0.02))
    >>> figure = fm.plots.decision_boundary(net, data.X, data.y)
    """
    points = _two_columns(X)
    resolution = checks.integer("resolution", resolution, 2, 4000)
    if isinstance(net, MLP):
        check_finite(net)
        if net.plan.n_inputs != 2:
            raise ValueError(f"the network takes {counted(net.plan.n_inputs, 'input')}, but a plane has two. Use hidden_space.")
    answers = answers_of(net, y, len(points))
    frame: Any = X
    columns = getattr(X, "columns", None)

    def place(plane: NDArray) -> Any:
        named = columns is not None and hasattr(net, "feature_names_in_") and hasattr(X, "iloc")
        return type(frame)(plane, columns=columns) if named else plane

    ax = axes_of(ax, 4.6, 3.7)
    right = answers.right(place(points))
    title = "Decision boundary" if answers.labels else "Outputs"
    labels = ("x₁", "x₂") if columns is None else (str(columns[0]), str(columns[1]))
    return _draw(
        ax, answers, place, points, labels, title + ("" if right is None else f", {right:.1%} right"), names, resolution
    )


def hidden_space(
    net: MLP,
    X: ArrayLike,
    y: ArrayLike | None = None,
    ax: Axes | None = None,
    *,
    layer: int = -1,
    names: Sequence[str] | None = None,
    resolution: int = 160,
) -> Figure:
    """Draw where the points lie in a hidden layer's space, and where the layers after it put the boundary there.

    A layer of two units is shown as it is. Of more units the plane is that of the activations' first two principal
    components, and the boundary is the one in this plane, off which points may lie. One unit's points are spread upwards.

    Parameters
    ----------
    net : MLP
        A network with a hidden layer.
    X, y : arrays
        Points and their targets, as the network is trained with.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.
    layer : int
        Which hidden layer: 0 is the first, -1 the last.
    names : sequence of str, optional
        What to call each class.
    resolution : int
        Places across and up at which the layers are asked.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError, ValueError
        If `net` is no network, has no such hidden layer or no finite parameters, or X or y does not fit.

    Examples
    --------
    >>> import fastmlp as fm
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> net = fm.MLP([2, 2, 1], activation="tanh", output="sigmoid")
    >>> figure = fm.plots.hidden_space(net, X, y)
    """
    if not isinstance(net, MLP):
        raise TypeError(f"hidden_space draws networks; got {shown(net)} ({type(net).__name__}).")
    resolution = checks.integer("resolution", resolution, 2, 4000)
    hidden = len(net.layers) - 1
    if hidden == 0:
        raise ValueError("the network has no hidden layer to draw. Use decision_boundary for its inputs.")
    check_finite(net)
    layer = checks.integer("layer", layer, -hidden, hidden - 1) % hidden
    activations = net.activations(X)[layer].astype(np.float64)
    part = tail(net, layer + 1)
    answers = answers_of(part, y, len(activations))
    points, place, labels = _plane(activations)
    ax = axes_of(ax, 4.6, 3.7)
    units = activations.shape[1]
    title = f"Hidden layer {layer + 1}: {units} {net.layers[layer].activation} unit{'' if units == 1 else 's'}"
    return _draw(ax, answers, place, points, labels, title, names, resolution)


def _plane(activations: NDArray) -> tuple[NDArray, Callable[[NDArray], NDArray], tuple[str, str]]:
    """Return activations (n, units) as points of a plane (n, 2), the way back from there, and names of the axes."""
    n, units = activations.shape
    if units == 1:
        spread = (np.arange(n) * 0.6180339887) % 1.0  # evenly, in no order that one sees
        return np.column_stack([activations[:, 0], spread]), lambda plane: plane[:, :1], ("h₁", "(spread)")
    if units == 2:
        return activations, lambda plane: plane, ("h₁", "h₂")
    centre = activations.mean(axis=0)
    _, sizes, axes = np.linalg.svd(activations - centre, full_matrices=False)
    if len(axes) < 2:
        axes, sizes = np.vstack([axes, np.zeros((1, units))]), np.append(sizes, 0.0)
    share = sizes**2 / max(float((sizes**2).sum()), 1e-300)
    labels = (f"component 1 ({share[0]:.0%} of variance)", f"component 2 ({share[1]:.0%})")
    return (activations - centre) @ axes[:2].T, lambda plane: plane @ axes[:2] + centre, labels


def _two_columns(X: ArrayLike) -> NDArray:
    shape = np.shape(X)
    if len(shape) != 2 or shape[1] != 2:
        raise ValueError(f"X has shape {shape}, but a plane has two axes. Pass X of shape (n, 2), or use hidden_space.")
    return arrays.inputs(X, 2, np.dtype(np.float64))


def _draw(
    ax: Axes, answers: Answers, place: Callable[[NDArray], Any], points: NDArray, labels: tuple[str, str], title: str,
    names: Sequence[str] | None, resolution: int,
) -> Figure:  # fmt: skip
    called = [str(label) for label in (answers.labels if names is None else names)]
    if len(called) != len(answers.labels):
        raise ValueError(f"names must have one name for each of {len(answers.labels)} classes; got {len(called)}.")
    image = draw_regions(ax, answers, place, bounds_of(points), resolution)
    handles = draw_points(ax, points, answers, called, image)
    ax.set(xlabel=plain(cut(labels[0], 32)), ylabel=plain(cut(labels[1], 32)))
    if labels[1] == "(spread)":
        ax.set_yticks([])
    draw_legend(ax, plain(title), handles, answers, called, image)
    return figure_of(ax)
