"""A fit that is refused, or interrupted before it trains: the estimator is what it was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

__all__ = ["unchanged_by_errors"]


@contextlib.contextmanager
def unchanged_by_errors(est: Any) -> Iterator[None]:
    """Within it, an error leaves an estimator as it was before, and its network's seed and optimizer."""
    before = est.__dict__.copy()
    net = before.get("network_")
    kept = (None, None) if net is None else (net.seed, net._state.optimizer)
    try:
        yield
    except BaseException:
        est.__dict__ = before
        if net is not None:
            net.seed, net._state.optimizer = kept
            net._state.reseed(net.seed)
        raise
