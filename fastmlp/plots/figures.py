"""What all pictures share: figures that need no display, colours that stay apart in colour-blind vision, files."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import checks, files
from ..errors import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "MARKERS",
    "axes_of",
    "check_name",
    "check_result",
    "cut",
    "figure",
    "figure_of",
    "ink",
    "legend",
    "plain",
    "save",
]

_MISSING = "Pictures need matplotlib: pip install fastmlp[plot]"

# Okabe & Ito, "Color universal design" (2008), the two that stand out most against each other first, black last; then two
# of Tol's "muted" scheme.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000", "#882255", "#999933")
# As many as are told apart in a few points' size; one more than colours, so that pairs of both do not repeat.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "*")


def figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches that belongs to no window."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(_MISSING) from error
    made: Any = Figure(figsize=(width, height), layout="constrained")
    # By themselves notebooks show only pyplot's figures.
    made._repr_png_ = functools.partial(_png, made)
    return made


def _png(made: Figure) -> bytes:
    """Return the picture as a notebook takes it."""
    out = io.BytesIO()
    made.savefig(out, format="png")
    return out.getvalue()


def axes_of(ax: Axes | None, width: float, height: float) -> Axes:
    """Return the axes to draw on: those that a user passed, or those of a new figure of this size in inches."""
    if ax is None:
        return figure(width, height).subplots()
    if not hasattr(ax, "imshow"):
        came = f"{shown(ax)} ({type(ax).__name__})"
        raise TypeError(f"ax must be matplotlib Axes; got {came}. To write a file, use fm.plots.save(figure, path).")
    return ax


def check_result(result: Any) -> None:
    """Raise unless this is what a sweep returned."""
    from ..sweeps.result import SweepResult

    if not isinstance(result, SweepResult):
        raise TypeError(f"result must be what fm.sweep returned; got {shown(result)} ({type(result).__name__}).")


def figure_of(ax: Axes) -> Figure:
    """Return the figure that axes are on; the whole one if it has parts."""
    found: Any = ax.figure
    return found.figure


def plain(text: str) -> str:
    """Return what matplotlib shows as this text, whose dollars it would take for the ends of formulas."""
    import matplotlib

    return text.replace("$", r"\$") if matplotlib.rcParams["text.parse_math"] else text


def metric_words(name: str) -> str:
    """Return a curve's name in words, as matplotlib shows them."""
    part = "validation " if name.startswith("val_") else ""
    return plain(part + name.removeprefix("val_").replace("_", " "))


def legend(ax: Axes, handles: Sequence[Any], names: Sequence[str], **style: Any) -> None:
    """Put a legend of these names on axes, each as it is."""
    made = ax.legend(handles, [""] * len(names), **style)  # which may leave out names that begin with "_"
    for text, name in zip(made.get_texts(), names, strict=True):
        text.set_text(plain(str(name)))


def cut(text: str, longest: int) -> str:
    """Return the beginning of a text that is too long to be drawn."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def save(figure: Figure, path: str | os.PathLike) -> None:
    """Write a figure to a file of the kind that its name ends in (.png, .pdf, .svg).

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What a function of :mod:`fastmlp.plots` returned, or any other.
    path : path
        A file of that name is replaced.

    Raises
    ------
    TypeError
        `figure` is something else, or `path` is no path.
    ImportError
        matplotlib is not installed.
    ValueError
        There is no such kind of picture.
    OSError
        The file cannot be written.
    """
    if not hasattr(figure, "savefig"):
        raise TypeError(f"figure must be a matplotlib Figure, as pictures return it; got {shown(figure)}.")
    kind, drawn = check_name(path), io.BytesIO()
    figure.savefig(drawn, dpi=150, format=kind)
    files.write(path, drawn.getvalue())


def check_name(path: str | os.PathLike) -> str:
    """Return the kind of picture that a name ends in; raise if :func:`save` could not write it, before the work.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError, ValueError
        `path` is no path, or there is no such kind of picture.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError as error:
        raise ImportError(_MISSING) from error
    known = sorted({*FigureCanvasAgg.get_supported_filetypes()} - {"pgf"})  # which takes a TeX of one's own
    name = checks.path("path", path, "picture.png")
    ending = os.path.splitext(name)[1].lower().removeprefix(".")
    if ending not in known:
        raise ValueError(f"{name} cannot be drawn: its name must end in one of {', '.join(known)}.")
    return ending


def ink(colour: Sequence[float]) -> str:
    """Return black or white, whichever stands out more on an RGBA colour: the contrast ratio of WCAG 2.1."""
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3])
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "black" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "white"
