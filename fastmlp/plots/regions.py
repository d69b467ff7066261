"""A plane coloured by what a model answers there, and points on it; what boundary pictures are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import arrays
from ..errors import counted, shown
from ..network import MLP
from ..population import Population
from .figures import COLOURS, MARKERS, cut, legend, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Answers", "answers_of", "bounds_of", "check_finite", "draw_legend", "draw_points", "draw_regions"]

# Names of classes beside a picture; longer ones are cut.
_LONGEST_NAME = 16
# What fits above a picture in one line.
_LINE = 24
# Of targets on their way into a picture.
_DTYPE = np.dtype(np.float64)


@dataclass(frozen=True)
class Answers:
    """What a model says of points, in one form for networks and estimators.

    Attributes
    ----------
    of : callable
        From inputs (n, in) to each class's share of certainty, (n, C), rows of sum 1; for numbers to values (n, 1).
    labels : list
        What the classes are called; empty for numbers.
    classes : (n,) int64 array or None
        The class of each point; None without targets.
    values : (n,) array or None
        The target of each point, for numbers.
    probabilities : bool
        Whether the shares are probabilities.
    """

    of: Callable[[Any], NDArray]
    labels: list[Any]
    classes: NDArray[np.int64] | None = None
    values: NDArray | None = None
    probabilities: bool = False

    def right(self, X: Any) -> float | None:
        """Return the part of points whose class has the largest share."""
        if self.classes is None or not self.labels:
            return None
        return float((self.of(X).argmax(axis=1) == self.classes).mean())


def check_finite(net: MLP) -> None:
    """Raise if a network has no answers to draw."""
    if not np.isfinite(net.params).all():
        raise ValueError(
            "the network has parameters that are infinite or NaN, which give no answers to draw. "
            "Begin anew: net.reset(), with a lower learning rate or clip_norm=1.0."
        )


def answers_of(model: Any, y: ArrayLike | None, n: int) -> Answers:
    """Return the answers of a network or of an estimator of scikit-learn's kind, and what y says of the n points."""
    if isinstance(model, Population):
        raise TypeError(f"a picture is of one network; got a Population of {len(model)}. Pass one of them: population[i].")
    return _of_network(model, y, n) if isinstance(model, MLP) else _of_estimator(model, y, n)


def _of_network(net: MLP, y: ArrayLike | None, n: int) -> Answers:
    outputs, kind = net.plan.n_outputs, net.loss_spec.kind
    if outputs > 1:
        classes = None if y is None else _classes(y, n, outputs, kind)
        return Answers(lambda X: _shares(net.predict(X)), list(range(outputs)), classes, None, net.output == "softmax")
    flat = None if y is None else arrays.targets(y, n, 1, kind, _DTYPE)[:, 0]
    probability = net.output in ("sigmoid", "hard_sigmoid")
    found = [] if flat is None else np.unique(flat).tolist()
    if set(found) <= {0.0, 1.0} and (found or probability):
        low, high = 0.0, 1.0
    elif len(found) == 2 and not probability:
        low, high = found
    elif len(found) <= 1 and net.output == "tanh":
        low, high = -1.0, 1.0
    else:
        return Answers(net.predict, [], None, flat)
    names = [int(value) if value == int(value) else value for value in (low, high)]
    classes = None if flat is None else (flat >= (low + high) / 2).astype(np.int64)
    return Answers(lambda X: _pair((net.predict(X)[:, 0] - low) / (high - low)), names, classes, None, probability)


def _of_estimator(model: Any, y: ArrayLike | None, n: int) -> Answers:
    if not hasattr(model, "predict"):
        raise TypeError(f"the first argument must be a fm.MLP or a fitted estimator with predict; got {shown(model)}.")
    labels = getattr(model, "classes_", None)
    targets = None if y is None else _column(y, n)
    if labels is None:
        values = None if targets is None else arrays.targets(targets, n, 1, "regression", _DTYPE)[:, 0]
        return Answers(lambda X: _predicted(model, X), [], None, values)
    labels = np.asarray(labels)
    classes = None if targets is None else np.searchsorted(labels, targets)
    if targets is not None and not np.isin(targets, labels).all():
        raise ValueError(f"y has classes that the estimator does not know; it knows {labels.tolist()}.")
    if hasattr(model, "predict_proba"):
        return Answers(model.predict_proba, labels.tolist(), classes, None, True)

    def shares(X: Any) -> NDArray:
        if not hasattr(model, "decision_function"):
            return (np.asarray(model.predict(X))[:, None] == labels).astype(float)
        scores = np.asarray(model.decision_function(X))
        if scores.ndim == 1:
            return _pair(0.5 + 0.5 * np.tanh(0.5 * scores))
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    return Answers(shares, labels.tolist(), classes)


def _pair(share: NDArray) -> NDArray:
    """Shares of two classes from that of the second one."""
    share = np.clip(share, 0.0, 1.0)
    return np.stack([1.0 - share, share], axis=1)


def _shares(outputs: NDArray) -> NDArray:
    """Return outputs as rows of sum 1, which keep their order."""
    positive = outputs - np.minimum(outputs.min(axis=1, keepdims=True), 0.0) + 1e-12
    return positive / positive.sum(axis=1, keepdims=True)


def _predicted(model: Any, X: Any) -> NDArray:
    """Return an estimator's numbers, (n, 1)."""
    given, n = np.asarray(model.predict(X)), len(X)
    if given.shape not in ((n,), (n, 1)):
        raise ValueError(
            f"{type(model).__name__} predicts an array of shape {given.shape} for {counted(n, 'row')}, but a picture is of one "
            "number for each. Pass an estimator fitted to one of the outputs."
        )
    return given.reshape(n, 1)


def _column(y: ArrayLike, n: int) -> NDArray:
    """Targets of n rows as (n,)."""
    targets = np.asarray(y)
    if targets.shape[:1] != (n,):
        raise ValueError(f"y has shape {targets.shape}, but X has {counted(n, 'row')}. Pass one target for each row.")
    if targets.shape not in ((n,), (n, 1)):
        raise ValueError(f"y has shape {targets.shape}, but there is one output: it must be (n,) or (n, 1).")
    return targets.reshape(n)


def _classes(y: ArrayLike, n: int, n_classes: int, kind: str) -> NDArray[np.int64]:
    """Class indices of targets (n,), (n, 1), or (n, classes) for a loss of that kind."""
    if np.shape(y)[1:] in ((), (1,)):
        return arrays.targets(y, n, n_classes, "classes", _DTYPE)[:, 0].astype(np.int64)
    targets = arrays.targets(y, n, n_classes, kind, _DTYPE)
    marked = targets == targets.max()
    good = (marked.sum(axis=1) == 1) & (marked | (targets == targets.min())).all(axis=1)
    if kind != "classes" and not good.all():
        row = int(np.argmin(good))
        raise ValueError(
            f"y row {row} is {np.array2string(targets[row], threshold=8, precision=4)}, which marks no class, and numbers are "
            "drawn of one output only. Pass class indices, or one-hot rows."
        )
    return targets.argmax(axis=1)


def bounds_of(points: NDArray) -> list[tuple[float, float]]:
    """Return the ends of both axes around points (n, 2)."""
    ends = []
    for low, high in zip(points.min(axis=0).tolist(), points.max(axis=0).tolist(), strict=True):
        margin = 0.12 * (high - low) or 0.5
        ends.append((low - margin, high + margin))
    return ends


def colour_of(number: int) -> str:
    """Return the colour of a class."""
    return COLOURS[number % len(COLOURS)]


def draw_regions(ax: Axes, answers: Answers, place: Callable[[NDArray], Any], bounds: Sequence[Any], resolution: int) -> Any:
    """Colour a plane; returns what a colour bar needs, for numbers and for probabilities of two classes.

    `place` makes inputs of points (m, 2) of the plane.
    """
    from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb

    (left, right), (bottom, top) = bounds
    across, up = np.linspace(left, right, resolution), np.linspace(bottom, top, resolution)
    grid = np.stack(np.meshgrid(across, up), axis=-1)  # (resolution, resolution, 2)
    given = np.asarray(answers.of(place(grid.reshape(-1, 2))), float).reshape(resolution, resolution, -1)
    where: dict[str, Any] = {"extent": (left, right, bottom, top), "origin": "lower", "aspect": "auto", "zorder": 0}
    ax.set(xlim=(left, right), ylim=(bottom, top))
    if not answers.labels:
        values = given[..., 0] if answers.values is None else np.append(given[..., 0], answers.values)
        norm = Normalize(values.min(), values.max())
        return ax.imshow(given[..., 0], cmap="cividis", norm=norm, interpolation="bilinear", **where)
    n_classes = len(answers.labels)
    colours = np.array([to_rgb(colour_of(k)) for k in range(n_classes)])
    if n_classes == 2:
        pale = 0.45 * colours + 0.55
        shades = LinearSegmentedColormap.from_list("two classes", [pale[0], (1, 1, 1), pale[1]])
        image = ax.imshow(given[..., 1], cmap=shades, vmin=0, vmax=1, interpolation="bilinear", **where)
    else:
        image = None
        winner, sure = given.argmax(axis=-1), (given.max(axis=-1) * n_classes - 1) / max(n_classes - 1, 1)
        strength = (0.1 + 0.3 * np.clip(sure, 0, 1))[..., None]
        ax.imshow(1.0 - strength * (1.0 - colours[winner]), interpolation="nearest", **where)
    for k in range(n_classes) if n_classes > 2 else (1,):
        ahead = given[..., k] - np.delete(given, k, axis=-1).max(axis=-1)
        if ahead.min() < 0.0 < ahead.max():
            ax.contour(across, up, ahead, levels=[0.0], colors="black", linewidths=1.2, zorder=1)
    return image if answers.probabilities else None


def draw_points(ax: Axes, points: NDArray, answers: Answers, names: Sequence[str], image: Any = None) -> list[Any]:
    """Put points (n, 2) on it, each class with a colour and a mark of its own; returns what a legend shows."""
    size = float(np.clip(4000 / max(len(points), 1), 9, 36))
    if answers.values is not None:
        x, y = points.T
        # Where the answer is right a point has the colour around it: a white edge and a black one around it show it anywhere.
        ax.scatter(x, y, s=1.9 * size, color="black", linewidths=0.0)
        ax.scatter(x, y, c=answers.values, s=size, cmap="cividis", norm=image.norm, edgecolors="white", linewidths=0.6)
    handles: list[Any] = []
    for k in [] if answers.classes is None else np.unique(answers.classes).tolist():
        x, y = points[answers.classes == k].T
        handles.append(ax.scatter(x, y, s=size, color=colour_of(k), marker=MARKERS[k % len(MARKERS)],
                                  edgecolors="white", linewidths=0.5, label=names[k], zorder=2))  # fmt: skip
    return handles


def draw_legend(ax: Axes, title: str, handles: Sequence[Any], answers: Answers, called: Sequence[str], image: Any) -> None:
    """Say which class is which, above the picture or at its right, and what colours mean."""
    names = [cut(handle.get_label(), _LONGEST_NAME) for handle in handles]
    above = 0 < len(names) <= 3 and sum(map(len, names)) <= _LINE
    ax.set_title(title, fontsize="medium", pad=19 if above else 6)
    style: dict[str, Any] = {"frameon": False, "fontsize": "small", "handletextpad": 0.2, "borderpad": 0.1}
    if handles:  # marks of many points are too small to tell their shapes
        style["markerscale"] = max(1.0, (25.0 / float(handles[0].get_sizes()[0])) ** 0.5)
    if above:
        legend(ax, handles, names, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, columnspacing=1.0, **style)
    elif names:
        legend(ax, handles, names, loc="upper left", bbox_to_anchor=(1.0, 1.02), ncols=1 + (len(names) - 1) // 12,
               labelspacing=0.3, columnspacing=0.6, **style)  # fmt: skip
    if image is not None and (above or not names):
        bar = ax.figure.colorbar(image, ax=ax, fraction=0.06, pad=0.03)
        if answers.labels:
            bar.set_ticks([0.0, 0.5, 1.0])
            bar.set_label(f"probability of {plain(called[1])}", fontsize="small")
        bar.ax.tick_params(labelsize="small")
