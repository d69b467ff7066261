"""Collection of the benchmarks: peers are imported only when they are installed and asked for."""

from __future__ import annotations

import pytest

from .machine import handicaps

# Not for the collection of doctests: these modules need what they measure.
collect_ignore_glob = ["peers/*"]


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to time NumPy with another CPU's settings."""
    found = handicaps()
    if found and config.getoption("benchmark_only", False):
        raise pytest.UsageError(f"{' and '.join(found)} would slow NumPy's BLAS down: unset it and start again.")
