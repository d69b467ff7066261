"""How much memory this machine has, asked before work that would fill it."""

from __future__ import annotations

import contextlib
import functools
import math
import os
from pathlib import Path

import numpy as np

__all__ = ["holds", "in_words", "installed"]

# Where Linux says what a container may take; "max" is no limit.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@functools.cache
def installed() -> float:
    """Return the bytes of memory that this machine or its container has; infinity where nobody says."""
    found = math.inf
    with contextlib.suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        found = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for name in _LIMITS:
        with contextlib.suppress(OSError, ValueError):
            found = min(found, float(Path(name).read_text()))
    return found if found > 0 else math.inf


def holds(size: int) -> bool:
    """Whether so many bytes may be had, as far as can be said at once; they are not touched."""
    if size > installed():
        return False
    try:
        np.empty(size, np.uint8)
    except (MemoryError, ValueError):  # the latter beyond all addresses
        return False
    return True


def in_words(size: int) -> str:
    """Return a number of bytes and what they are too many for.

    Examples
    --------
    >>> in_words(21_990_232_555_520).partition(", ")[0]
    '21990.2 GB'
    """
    has = installed()
    return f"{size / 1e9:.1f} GB, " + ("which cannot be had" if has == math.inf else f"but this machine has {has / 1e9:.1f} GB")
