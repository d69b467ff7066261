"""Running groups on whatever joblib's backend is: threads here, or the workers of a cluster."""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from .. import checks, engine
from .jobs import ALL, Group
from .problem import Problem
from .train import Done, train
from .work import Work, failure, stops

__all__ = ["run", "workers"]

# After so many passes in a row that brought nothing, as when a cluster has lost all its workers, what is left has failed.
_FRUITLESS = 2


def workers(n_jobs: int | None) -> int:
    """Return how many groups are trained at a time."""
    backend, configured, shared = _backend()
    if number := checks.jobs(n_jobs):
        return number
    if configured is None and shared:
        return engine.threads()
    return max(backend.effective_n_jobs(-1 if configured is None else configured), 1)


def _backend() -> tuple[Any, int | None, bool]:
    """Return joblib's backend, the number of jobs that is configured for it, and whether workers share this memory."""
    from joblib.parallel import get_active_backend

    backend, n_jobs = get_active_backend(prefer="threads")
    return backend, n_jobs, getattr(backend, "supports_sharedmem", False)


def run(groups: Sequence[Group], problem: Problem, work: Work, n_jobs: int, take: Callable[[Group, Done], None]) -> bool:
    """Train all groups and hand over what comes of each as it comes; return whether all were done.

    A worker that is lost costs no group: joblib's backends give its groups to others, and where they cannot, as when
    the data was lost with it, the groups that are left are given out again.
    """
    for other, event in list(stops.items()):
        if event.is_set():  # of a sweep that was ended; its threads have found it since
            stops.pop(other, None)
    name = secrets.token_hex(8)
    stop = stops[name] = threading.Event()
    # Several groups side by side take a core each; one at a time may take them all.
    work = replace(work, stop=name, use_threads=n_jobs == 1 or len(groups) == 1)
    try:
        for group, done in _each(groups, problem, work, n_jobs):
            if done is not None:
                take(group, done)
    except KeyboardInterrupt:
        stop.set()
        return False
    except BaseException:
        stop.set()
        raise
    del stops[name]  # only now: threads that are to stop look for it
    return True


def _each(groups: Sequence[Group], problem: Problem, work: Work, n_jobs: int) -> Iterator[tuple[Group, Done | None]]:
    """Yield every group once with what came of it, None for one that was interrupted."""
    left = dict(enumerate(groups))
    fruitless = 0
    while left:
        before = len(left)
        try:
            for number, done in _pass(left, problem, work, n_jobs):
                group = left.pop(number, None)
                if group is not None:
                    yield group, done
        except Exception as error:  # not a network's, which are outcomes, but the backend's
            fruitless = 0 if len(left) < before else fruitless + 1
            if fruitless == _FRUITLESS:
                for group in left.values():
                    yield group, Done((failure(error),) * len(group.networks), {})
                return


def _pass(left: dict[int, Group], problem: Problem, work: Work, n_jobs: int) -> Iterator[tuple[int, Done | None]]:
    """Yield the number of a group and what came of it, for each group that is left."""
    from joblib import Parallel, delayed

    def calls(numbers):
        for number in numbers:
            group = left[number]
            part = None if group.part == ALL else problem.parts[group.part]
            rows = (slice(None), None) if part is None else (part.train, part.held)
            yield delayed(_numbered)(number, work, group, problem.X, problem.y, problem.weight, *rows)

    backend, *_ = _backend()
    options: dict[str, Any] = {"n_jobs": n_jobs, "prefer": "threads", "batch_size": 1}
    numbers = list(left)
    if backend.supports_return_generator:
        yield from Parallel(return_as="generator_unordered", **options)(calls(numbers))
        return
    # Such a backend, as Ray's, gives its results all at once: in waves, then, so that finished ones are safe.
    rest = iter(numbers)
    while wave := list(itertools.islice(rest, 4 * n_jobs)):
        yield from Parallel(**options)(calls(wave))


def _numbered(number: int, work: Work, group: Group, *data: Any) -> tuple[int, Done | None]:
    return number, train(work, group, *data)
