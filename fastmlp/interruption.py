"""Ending trainings on threads that a Ctrl-C does not reach, and running several side by side that end together."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from . import engine

__all__ = ["Stopped", "check", "side_by_side", "stopped_by"]

_here = threading.local()


class Stopped(BaseException):
    """Ends a training on another thread than the one that Ctrl-C reaches."""


def check() -> None:
    """Raise Stopped if this thread's training is to end; trainings ask several times a second."""
    for event in _events():
        if event.is_set():
            raise Stopped("the trainings beside this one have been ended")


def _events() -> tuple[threading.Event, ...]:
    return getattr(_here, "events", ())


@contextlib.contextmanager
def stopped_by(*events: threading.Event) -> Iterator[None]:
    """Within it, trainings of this thread end when one of the events is set, beside those that end them already."""
    before = _events()
    _here.events = before + events
    try:
        yield
    finally:
        _here.events = before


def side_by_side(function: Callable, jobs: Iterable[tuple], workers: int) -> list[Any]:
    """Return function(*job) of each job: from so many threads at a time, which use one core each, or with 1 in this thread.

    Whatever ends it early, a Ctrl-C or an error of one of them, has ended all trainings in them when it returns.
    """
    from sklearn.utils.parallel import Parallel, delayed

    jobs = list(jobs)
    if workers == 1:
        return [function(*job) for job in jobs]
    stop, ends = threading.Event(), []
    events = (*_events(), stop)

    def one(job: tuple) -> Any:
        ends.append(end := threading.Event())
        try:
            with stopped_by(*events), engine.alone():
                check()
                return function(*job)
        finally:
            end.set()

    try:
        return Parallel(n_jobs=workers, prefer="threads", require="sharedmem")(delayed(one)(job) for job in jobs)
    except BaseException:
        stop.set()
        while not all(end.is_set() for end in ends):
            with contextlib.suppress(KeyboardInterrupt):  # another one changes nothing
                for end in list(ends):
                    end.wait()
        raise
