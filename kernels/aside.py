"""The compiler's work on a thread of its own, so that neither a Ctrl-C nor the end of the process has to wait for it."""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import threading
from concurrent.futures import Future, wait

# How long the main thread sleeps before it looks whether a Ctrl-C has come: not every system wakes it.
_SECONDS = 0.05
_working: set[Future] = set()


def aside(work, *args):
    """work(*args) on another thread, which is left to finish by itself if a Ctrl-C comes.

    Python tells the main thread alone of a Ctrl-C, and not before it comes out of LLVM. Other threads do the work themselves.
    """
    if threading.current_thread() is not threading.main_thread():
        return work(*args)
    outcome: Future = Future()
    _working.add(outcome)
    threading.Thread(target=_work, args=(outcome, work, args), name="fastmlp-compiler", daemon=True).start()
    while not wait([outcome], _SECONDS).done:
        pass
    return outcome.result()


def _work(outcome: Future, work, args) -> None:
    try:
        outcome.set_result(work(*args))
    except BaseException as error:
        outcome.set_exception(error)
    finally:
        _working.discard(outcome)


def _wait_for_all() -> None:
    """A forked child would wait forever for a lock that a thread of its parent holds."""
    wait(list(_working))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_wait_for_all)


@atexit.register
def _leave() -> None:
    """End the process before the C library clears LLVM's global memory away, under the hands of a thread that compiles."""
    if not _working or isinstance(getattr(sys, "last_value", None), KeyboardInterrupt):
        return  # after a Ctrl-C that nobody caught, Python ends by the signal, and nothing is cleared away
    try:
        # Functions for the exit run in reverse order, so that this one, which takes the status, comes before LLVM's.
        library = ctypes.CDLL(None)
        library.on_exit(library._exit, None)
    except (AttributeError, OSError, TypeError):  # not the GNU C library
        _wait_for_all()
