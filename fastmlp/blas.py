"""SciPy's BLAS on one thread while it minimizes.

Its own threads would wait for work on the cores that the engine's threads need: where other processes are busy as well, an
iteration takes ten times as long, and more. The sums of several threads also end in other bits than those of one.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["one_thread"]

# BLAS libraries have one number of threads for the process: who comes first sets it, who leaves last sets it back.
_lock = threading.RLock()
_inside: dict[object, int] = {}  # a mark for each time that somebody is in it, and the thread
_before: Any = None  # what remembers the numbers that there were
_limited = False


def _forget_others() -> None:
    """Forget the threads that a forked process has not, and which will never leave."""
    for mark in [mark for mark, thread in _inside.items() if thread != threading.get_ident()]:
        del _inside[mark]
    _lock.release()


# A fork waits until no thread is setting the number: OpenBLAS has a lock of its own then, which would stay locked.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_forget_others)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Within it, SciPy's BLAS uses one thread; several Python threads may be in it at once."""
    mark = object()
    try:
        try:
            _enter(mark)
            yield
        finally:
            _leave(mark)
    finally:
        _leave(mark)  # does nothing, unless a Ctrl-C came into the first one, wherever in it that was


def _enter(mark: object) -> None:
    """Set the number, if nobody has, after it is known who is in it and what the number was."""
    global _before, _limited
    with _lock:
        _inside[mark] = threading.get_ident()
        if _before is None:
            _before = _scipys().limit(limits=None)  # changes nothing
        if not _limited:
            _give_control()
            _scipys().limit(limits=1)
            _limited = True


def _leave(mark: object) -> None:
    """Set the number back, if nobody else is in it; may be called again after an end at any place."""
    global _before, _limited
    with _lock:
        _inside.pop(mark, None)
        if not _inside and _before is not None:
            _limited = False
            _give_control()
            _before.restore_original_limits()
            _give_control()
            _before = None


def _give_control() -> None:
    """Let any Python thread set the number next: from threadpoolctl 3.8 on, only the one that has set it first may."""
    from threadpoolctl import OpenBLASController

    if hasattr(OpenBLASController, "clear_controlling_thread"):
        OpenBLASController.clear_controlling_thread(force=True)


@functools.cache
def _scipys() -> Any:
    """Return a controller of the BLAS that SciPy has for itself, or else of all, among them the one that it shares.

    It is kept, since looking through all libraries of the process takes milliseconds.
    """
    import scipy.optimize
    from threadpoolctl import ThreadpoolController

    every = ThreadpoolController().select(user_api="blas")
    folder = os.path.dirname(os.path.realpath(scipy.__file__))  # wheels have the libraries in it or in scipy.libs beside it
    own = [library["filepath"] for library in every.info() if library["filepath"].startswith(folder)]
    return every.select(filepath=own) if own else every
