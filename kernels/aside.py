"""The compiler's work on a thread of its own, so that neither a Ctrl-C nor the end of the process has to wait for it."""

from __future__ import annotations

import _thread
import atexit
import contextlib
import ctypes
import gc
import os
import sys
import threading
from concurrent.futures import Future, wait

# How long the main thread sleeps before it looks whether a Ctrl-C has come: not every system wakes it.
_SECONDS = 0.05
# What is at work; whoever forks holds the gate, and nothing begins. What a work calls is a part of it, and does not wait there.
_working: set[Future] = set()
_gate = threading.Lock()
_here = threading.local()
_interrupted = False
# How many works have Python's garbage collector off, and whether it was on before the first of them.
_off = 0
_was_on = False
_switch = threading.Lock()


def aside(work, *args):
    """work(*args) on another thread, which is left to finish by itself if a Ctrl-C comes.

    Python tells the main thread alone of a Ctrl-C, and not before it comes out of LLVM. Other threads do the work themselves.
    """
    if threading.current_thread() is not threading.main_thread():
        with _no_fork(), _no_collector():
            return work(*args)
    outcome: Future = Future()
    threading.Thread(target=_work, args=(outcome, work, args), name="fastmlp-compiler", daemon=True).start()
    while not wait([outcome], _SECONDS).done:
        pass
    return outcome.result()


def _work(outcome: Future, work, args) -> None:
    try:
        with _no_fork(), _no_collector():
            result = work(*args)
    except BaseException as error:
        outcome.set_exception(error)
    else:
        outcome.set_result(result)


@contextlib.contextmanager
def _no_fork():
    """Within it, other threads that fork wait for its end. The main thread is never in it: no Ctrl-C interrupts this."""
    if _works():
        yield
        return
    end: Future = Future()
    with _gate:
        _working.add(end)
    _here.works = True
    try:
        yield
    finally:
        _here.works = False
        _working.discard(end)
        end.set_result(None)


@contextlib.contextmanager
def _no_collector():
    """Numba makes half a million objects that stay: to look for garbage among them is a twelfth of its time."""
    global _off, _was_on
    with _switch:
        if _off == 0:
            _was_on = gc.isenabled()
            gc.disable()
        _off += 1
    try:
        yield
    finally:
        with _switch:
            _off -= 1
            if _off == 0 and _was_on:
                gc.enable()


def _works() -> bool:
    return getattr(_here, "works", False)


def _wait_for_all() -> None:
    wait(list(_working))


def _close() -> None:
    """A forked child would wait forever for a lock that a thread of its parent holds: let all come to an end first."""
    _surely(_gate.acquire)
    if not _works():  # it would wait for itself
        _surely(_wait_for_all)


def _surely(wait_for) -> None:
    """Call it, again after each Ctrl-C: what is raised before a fork Python reports, and forks."""
    global _interrupted
    while True:
        try:
            wait_for()
            return
        except KeyboardInterrupt:
            _interrupted = True


def _open() -> None:
    """Let works begin again, and a Ctrl-C that came before the fork come now."""
    global _interrupted
    _gate.release()
    if _interrupted:
        _interrupted = False
        threading.Timer(_SECONDS, _thread.interrupt_main).start()  # after the fork's own end


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_close, after_in_parent=_open, after_in_child=_gate.release)


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
