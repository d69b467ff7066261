"""Which thread trains a network: only one at a time, since all would write to the same parameters and counters."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

__all__ = ["TrainedHere"]


class TrainedHere:
    """Within it, this thread alone trains a network or a population; it may do so again, as from a callback.

    A Ctrl-C may come on the way in or out. So it counts for as long as it lives, not until somebody takes it back.

    Raises
    ------
    RuntimeError
        On the way in, if another thread does.
    """

    # Not a generator's context, which takes a microsecond longer: a tenth of a single step.
    __slots__ = ("__weakref__", "_outer", "_thread", "_trained", "_what")

    _outer: TrainedHere | None

    def __init__(self, trained: Any) -> None:
        self._trained, self._what, self._thread = trained, (os.getpid(), id(trained)), threading.get_ident()

    def __enter__(self) -> None:
        """Take it, if it is free or this thread's."""
        own = weakref.ref(self)
        # In one go: of two threads that come at once, one finds the other's.
        found = _trainers.setdefault(self._what, own)()
        while found is None:  # it was left behind
            with _clearing:
                if self._what in _trainers and _trainers[self._what]() is None:
                    del _trainers[self._what]
            found = _trainers.setdefault(self._what, own)()
        self._outer = None if found is self else found  # lives as long as this, which counts on it
        if found._thread != self._thread:
            kind, name = ("network", "net") if hasattr(self._trained, "plan") else ("population", "population")
            raise RuntimeError(
                f"this {kind} is being trained in another thread. Train a copy here, {name}.copy(), or wait until that is done."
            )

    def __exit__(self, *error: object) -> None:
        """Leave it to others, unless this was within a training."""
        held = _trainers.get(self._what)
        if held is not None and held() is self:
            del _trainers[self._what]
        self._outer = None


# By process and identity of what is being trained. A child that was forked has none of its parent's threads, so it does not
# look at theirs.
_trainers: dict[tuple[int, int], weakref.ref[TrainedHere]] = {}
_clearing = threading.Lock()
