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
_inside: list[int] = []  # threads
_limit: Any = None


def _forget_others() -> None:
    """Forget the threads that a forked process has not, and which will never leave."""
    _inside[:] = [thread for thread in _inside if thread == threading.get_ident()]
    _lock.release()


# A fork waits until no thread is setting the number: OpenBLAS has a lock of its own then, which would stay locked.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_forget_others)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Within it, SciPy's BLAS uses one thread; several Python threads may be in it at once."""
    global _limit
    thread = threading.get_ident()
    with _lock:
        if _limit is None:
            _give_control()
            _limit = _scipys().limit(limits=1)
        _inside.append(thread)
    try:
        yield
    finally:
        with _lock:
            _inside.remove(thread)
            if not _inside:
                _give_control()
                _limit.restore_original_limits()
                _limit = None
                _give_control()


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
