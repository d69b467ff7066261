"""The progress line of a sweep, drawn by rich; nothing at all where nobody watches."""

from __future__ import annotations

import time

from ..errors import counted
from ..progress import watched

__all__ = ["SweepBar", "sweep_bar"]


class SweepBar:
    """Reports nothing; what a sweep tells while it runs."""

    def __enter__(self) -> SweepBar:
        """Begin."""
        return self

    def __exit__(self, *error: object) -> None:
        """End."""

    def update(self, flops: int, networks: int, words: str) -> None:
        """Take finished networks, the work they were, and words about the best one so far."""


class _Drawn(SweepBar):
    """One line: networks done of all, networks a second, the best so far, the time left.

    The bar and the time left go by work, not by networks: the largest are trained first.
    """

    def __init__(self, networks: int, flops: int, name: str):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}{task.fields[done]}/{task.fields[networks]}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[rate]}{task.fields[words]}", markup=False),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            expand=True,
            # The bar is drawn by a thread, since the first news may be minutes away; seldom, since it costs the GIL.
            refresh_per_second=4,
            speed_estimate_period=600.0,
        )
        self._task = self._progress.add_task(
            name, total=flops, done=0, networks=counted(networks, "network"), rate="", words=""
        )
        self._done = 0
        self._started = time.monotonic()

    def __enter__(self) -> _Drawn:
        """Draw the empty bar."""
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the last state on the screen."""
        self._progress.refresh()
        self._progress.stop()

    def update(self, flops: int, networks: int, words: str) -> None:
        """Take finished networks, the work they were, and words about the best one so far."""
        self._done += networks
        rate = self._done / max(time.monotonic() - self._started, 1e-9)
        self._progress.update(
            self._task, advance=flops, done=self._done, rate=f"{rate:.3g}/s", words=f"  {words}" if words else ""
        )


def sweep_bar(networks: int, flops: int, show: bool | None, name: str = "") -> SweepBar:
    """Return a progress line, which begins with `name`; a silent one if `show` is False, or None and nobody watches."""
    return _Drawn(networks, flops, name) if (watched() if show is None else show) else SweepBar()
