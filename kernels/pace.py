"""How many threads a training is fastest on, found out by trying while it runs.

Results do not depend on the number of threads, so it may change at any step. Two cores that work on one small network spend
more time on handing its weights to each other than they save; where that turns is a matter of the machine, and of what else
runs on it at the moment.
"""

from __future__ import annotations

import functools

# A try lasts about this long, or a few steps that are not long themselves: waking a core that slept can take a millisecond,
# which must not count for much.
_TRY_SECONDS, _TRY_STEPS = 0.01, 3
# A step guessed to be shorter is not worth a second thread, and a longer one is not worth a try, unless all threads take longer
# than one is guessed to: then other programs have a core.
_SHORT, _LONG = 3e-6, 0.01
# The other number of threads is tried again after so many times what a try costs, then twice and four times that; but after so
# many seconds at most.
_PATIENCE, _LONGEST = 8, 1.0
# One thread has to be this much faster to be preferred: it may have been lucky.
_MARGIN = 0.97
# From a call shorter than this a step is not believed to have become slower by more than so much: few steps cost something
# beside themselves. A longer call is believed: if other programs take a core, two threads wait for each other all the time.
_SURE_SECONDS, _SLOWER = 0.02, 1.25
# Several threads may take so many times what the steps should take, and so many seconds. On a busy machine they wait for each
# other, up to a hundred times as long, and what they took last says nothing about that.
_SLACK, _GRACE = 2.0, 0.02


class Pace:
    """Seconds that a step of one kind of training takes on one thread and on all.

    `guess` is how long it may take on one.
    """

    def __init__(self, guess: float) -> None:
        self._guess = guess
        self._one = self._all = 0.0
        self._woken = False
        self._since = self._wait = 0.0
        self._best = 0

    def next(self, steps: int, n: int) -> tuple[int, int]:
        """How many threads, up to n, should do how many of the next steps."""
        if n == 1 or self._guess < _SHORT:
            return 1, steps
        if self._guess > _LONG and self._all <= self._guess:
            return n, steps
        expected = self._one or self._guess
        tries = min(steps, max(_TRY_STEPS if expected < _LONG else 1, int(_TRY_SECONDS / expected)))
        if not self._all:
            return n, tries
        if not self._one:
            return 1, tries
        best, other = (1, n) if self._one < _MARGIN * self._all else (n, 1)
        if best != self._best:  # by one bad moment, it may be: the other is asked again at once
            self._best, self._wait = best, 0.0
        if self._since < self._wait:
            return best, steps
        least = _PATIENCE * tries * max(self._one, self._all)
        self._wait = min(max(2 * self._wait, least), 4 * least, _LONGEST)
        self._since = 0.0
        return other, tries

    def budget(self, n: int, steps: int) -> float:
        """Return the seconds that n threads may take for so many steps, after which they are to stop; 0 for no end."""
        if n == 1:
            return 0.0
        known = [seconds for seconds in (self._one, self._all) if seconds]
        return _SLACK * steps * min(known, default=self._guess) + _GRACE

    def took(self, n: int, steps: int, seconds: float) -> None:
        """Note that n threads took so long for so many steps."""
        self._since += seconds
        if n == 1:
            self._one = _believed(self._one, seconds, steps)
        elif self._woken:
            self._all = _believed(self._all, seconds, steps)
        self._woken = self._woken or n > 1  # the first time, the threads had to be made


def _believed(before: float, seconds: float, steps: int) -> float:
    now = seconds / steps
    return min(now, _SLOWER * before) if before and seconds < _SURE_SECONDS else now


@functools.lru_cache(maxsize=256)
def pace_of(kind, guess: float) -> Pace:
    """Return what is known of a kind of training: its layer table, batch and number type."""
    return Pace(guess)
