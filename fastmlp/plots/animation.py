"""A film of the decision boundary while a network is trained."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks, files
from ..callbacks import as_callbacks
from ..errors import shown
from ..network import MLP
from .boundary import decision_boundary
from .figures import axes_of, check_name, figure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..history import History

__all__ = ["boundary_animation"]

_SIZE, _DPI = (4.6, 3.7), 100
# Of a film whose `every` is not given; and seconds that it stays on the last one.
_FRAMES, _REST = 60, 1.5


class _Moment(NamedTuple):
    """What a frame shows."""

    epoch: int
    loss: float
    params: NDArray


class _Recorder:
    """A callback that keeps the parameters of every so many epochs, so that drawing does not hold up the training."""

    def __init__(self, net: MLP, first_loss: float, every: int, restores: bool) -> None:
        self.every, self.restores = every, restores
        self.start = 0 if net.history is None else len(net.history)
        self.moments = [_Moment(self.start, first_loss, net.params.copy())]

    def on_epoch_end(self, net: MLP, epoch: int, logs: dict[str, float]) -> None:
        if (epoch + 1 - self.start) % self.every == 0:
            self.moments.append(_Moment(epoch + 1, logs["loss"], net.params.copy()))

    def on_train_end(self, net: MLP, history: History) -> None:
        # A divergence takes epochs back.
        self.moments = [moment for moment in self.moments if moment.epoch <= len(history)]
        if len(history) == self.start:
            return
        best = history.best_epoch if self.restores else None
        epoch = len(history) if best is None else best + 1
        if epoch != self.moments[-1].epoch:
            self.moments.append(_Moment(epoch, history.loss[epoch - 1], net.params.copy()))


def boundary_animation(
    net: MLP,
    X: ArrayLike,
    y: ArrayLike,
    path: str | os.PathLike,
    ax: Axes | None = None,
    *,
    epochs: int = 100,
    every: int | None = None,
    fps: int = 10,
    names: Sequence[str] | None = None,
    resolution: int = 120,
    **options: Any,
) -> Figure:
    """Train a network of two inputs and write a film of its decision boundary.

    The given network is trained, as ``net.fit(X, y, epochs=epochs, **options)`` trains it, and comes out the same; pass
    ``net.copy()`` to keep it as it is. Its losses are in ``net.history``. The frames are drawn when training is over: the
    network before it, after every so many epochs, and at the end, which is the best epoch where early stopping restores it.

    Parameters
    ----------
    net : MLP
        A network of two inputs.
    X, y : arrays
        Points (n, 2) and their targets, as for ``net.fit``.
    path : str or path
        A file to write, .gif or .mp4; the latter needs ffmpeg. An older one is replaced when training has ended.
    ax : matplotlib Axes, optional
        Where to draw, with all that its figure has besides; what the axes hold is cleared. A new figure if not given.
    epochs : int
        How many epochs to train.
    every : int, optional
        Epochs from one frame to the next; as many as give about 60 frames if not given.
    fps : int
        Frames a second, at most 50.
    names : sequence of str, optional
        What to call each class.
    resolution : int
        Places across and up at which the network is asked.
    **options
        Further arguments of ``net.fit``, such as `optimizer` and `batch_size`.

    Returns
    -------
    matplotlib.figure.Figure
        The last frame.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    RuntimeError
        The file is to be an .mp4 and ffmpeg is not installed.
    TypeError, ValueError
        If an argument is out of its range; the network is then as it was, and nothing is written.
    OSError
        The file cannot be written; this is found before the training, but for a disk that is full at its end.

    Examples
    --------
    >>> import fastmlp as fm, tempfile
    >>> data = fm.datasets.load("moons")
    >>> net = fm.MLP([2, 16, 1], activation="tanh", output="sigmoid")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     figure = fm.plots.boundary_animation(
    ...         net, data.X, data.y, folder + "/moons.gif", epochs=20, every=10, optimizer=fm.Adam(0.02)
    ...     )
    >>> len(net.history)
    20
    """
    if not isinstance(net, MLP):
        raise TypeError(f"boundary_animation trains networks; got {shown(net)} ({type(net).__name__}). Pass a fm.MLP.")
    epochs = checks.integer("epochs", epochs, 1)
    every = max(epochs // _FRAMES, 1) if every is None else checks.integer("every", every, 1)
    fps = checks.integer("fps", fps, 1, 50)
    callbacks = as_callbacks(options.pop("callbacks", None))
    path = Path(checks.path("path", path, "moons.gif"))
    writer = _writer(path, fps)
    # Written beside it first, so that a film which cannot be finished does not take an older one's place.
    unfinished = path.with_name(f".unfinished-{os.getpid()}-{path.name}")
    _try(unfinished, path)
    ax = axes_of(ax, *_SIZE)
    page = figure_of(ax)
    draw: dict[str, Any] = {"names": names, "resolution": resolution}
    _clear(ax)
    decision_boundary(net, X, y, ax, **draw)  # what is wrong with the data is said before training
    restores = getattr(options.get("early_stopping"), "restore_best", False)
    recorder = _Recorder(net, net.loss(X, y), every, restores)
    net.fit(X, y, epochs=epochs, callbacks=[*callbacks, recorder], **options)
    digits = max(len(str(moment.epoch)) for moment in recorder.moments)
    drawn = net.copy()
    try:
        with _saving(writer, page, unfinished):
            for moment in recorder.moments:
                drawn.params = moment.params
                _draw_frame(ax, drawn, X, y, moment, digits, draw)
                writer.grab_frame()
            for _ in range(round(_REST * fps)):
                writer.grab_frame()
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return page


def _try(unfinished: Path, path: Path) -> None:
    """Raise if a film could not be written: before the training instead of after it."""
    try:
        unfinished.touch()
        unfinished.unlink()
    except OSError as error:
        raise files.refusal(path, error, " Give another place.") from error


@contextmanager
def _saving(writer: Any, page: Figure, path: Path) -> Iterator[None]:
    """Write the frames grabbed in here; unlike ``writer.saving``, an error in here stays what it is."""
    import matplotlib

    with matplotlib.rc_context({"savefig.bbox": None}):  # frames have one size
        writer.setup(page, str(path), _DPI)
        try:
            yield
        except BaseException:
            with suppress(Exception):
                writer.finish()  # ends ffmpeg; a film of no frames is an error of its own
            raise
        writer.finish()


def _clear(ax: Axes) -> None:
    """Take everything from axes, and the colour bar that belongs to it."""
    for image in ax.images:
        if image.colorbar is not None:
            image.colorbar.remove()
    ax.clear()


def _draw_frame(ax: Axes, net: MLP, X: ArrayLike, y: ArrayLike, moment: _Moment, digits: int, draw: dict[str, Any]) -> None:
    """Draw the boundary of one moment in place of what the axes show."""
    _clear(ax)
    decision_boundary(net, X, y, ax, **draw)
    right = ax.get_title().partition(", ")[2]
    ax.title.set_text(f"Epoch {moment.epoch:>{digits}}, loss {moment.loss:.3g}" + (f", {right}" if right else ""))
    if not right and np.min(y) < np.max(y):  # numbers: colours mean the same throughout
        ax.images[0].set_clim(np.min(y), np.max(y))


def _writer(path: Path, fps: int) -> Any:
    """Return what writes a film of that name."""
    check_name("film.png")  # says so if matplotlib is missing
    from matplotlib.animation import FFMpegWriter, PillowWriter

    if not path.parent.is_dir():
        raise ValueError(f"{path} cannot be written: there is no folder {path.parent}.")
    if path.is_dir():
        raise ValueError(f"{path} cannot be written: it is a folder.")
    ending = path.suffix.lower()
    if ending == ".gif":
        return PillowWriter(fps=fps)
    if ending != ".mp4":
        raise ValueError(f"{path} cannot be written: the name of a film must end in .gif or .mp4.")
    if not FFMpegWriter.isAvailable():
        raise RuntimeError(f"{path} cannot be written: .mp4 needs the program ffmpeg, which is not installed. Use .gif.")
    # Players want this form of colours.
    return FFMpegWriter(fps=fps, codec="h264", extra_args=["-pix_fmt", "yuv420p"])
