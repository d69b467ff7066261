"""Which thread trains a network: only one at a time, since all would write to the same parameters and counters."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["trained_here"]

# Of what is being trained, by process and identity, the number of the thread that does. A child that was forked has none of
# its parent's threads, so it does not look at theirs.
_trainers: dict[tuple[int, int], list[int]] = {}


@contextlib.contextmanager
def trained_here(trained: Any) -> Iterator[None]:
    """Within it, this thread alone trains a network or a population; it may do so again, as from a callback.

    Raises
    ------
    RuntimeError
        If another thread does.
    """
    what, mine = (os.getpid(), id(trained)), [threading.get_ident()]
    found = _trainers.setdefault(what, mine)  # in one go: of two threads that come at once, one finds the other's
    if found != mine:
        kind, name = ("network", "net") if hasattr(trained, "plan") else ("population", "population")
        raise RuntimeError(
            f"this {kind} is being trained in another thread. Train a copy here, {name}.copy(), or wait until that is done."
        )
    try:
        yield
    finally:
        if found is mine:  # else this is within a training
            del _trainers[what]
