"""The progress bar of ``fit``, drawn by rich; nothing at all where nobody watches."""

from __future__ import annotations

import sys
import time
from typing import Protocol

__all__ = ["Silent", "bar", "watched"]


class Reporter(Protocol):
    """What ``fit`` tells while it runs."""

    def __enter__(self) -> Reporter: ...

    def __exit__(self, *error: object) -> None: ...

    def update(self, epochs_done: float, loss: float | None, val_loss: float | None, rate: float) -> None:
        """Show this many epochs (with the part of the one under way), the last losses and samples per second."""


class Silent:
    """Reports nothing."""

    def __enter__(self) -> Silent:
        """Begin."""
        return self

    def __exit__(self, *error: object) -> None:
        """End."""

    def update(self, epochs_done: float, loss: float | None, val_loss: float | None, rate: float) -> None:
        """Take the news, and show nothing."""


class Bar:
    """One line with epoch, losses, samples per second and the time left, redrawn at most ten times a second."""

    def __init__(self, epochs: int):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.total:.0f}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[losses]}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            auto_refresh=False,
            expand=True,
        )
        self._task = self._progress.add_task("", total=epochs, epoch=0, losses="", rate="")
        self._drawn = 0.0

    def __enter__(self) -> Bar:
        """Draw the empty bar."""
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the last state on the screen."""
        self._progress.refresh()
        self._progress.stop()

    def update(self, epochs_done: float, loss: float | None, val_loss: float | None, rate: float) -> None:
        """Show the state, unless it was shown less than 0.1 s ago."""
        losses = "" if loss is None else f"loss {loss:.4g}"
        losses += "" if val_loss is None else f"  val {val_loss:.4g}"
        self._progress.update(self._task, completed=epochs_done, epoch=int(epochs_done), losses=losses, rate=_per_second(rate))
        now = time.monotonic()
        if now - self._drawn > 0.1:
            self._drawn = now
            self._progress.refresh()


def _per_second(rate: float) -> str:
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if rate >= size:
            return f"{rate / size:.1f}{unit} samples/s"
    return f"{rate:.0f} samples/s"


def bar(epochs: int, show: bool | None) -> Reporter:
    """Return a progress bar; a silent one if `show` is False, or None and nobody watches."""
    return Bar(epochs) if (watched() if show is None else show) else Silent()


def watched() -> bool:
    """Return whether standard error is a terminal."""
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # there is none, it can do no more than write, or it is closed
        return False
