"""Fixtures that any test may ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import fastmlp as fm


@pytest.fixture(params=["numba", "numpy"])
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run a test on each engine that there is."""
    if request.param == "numba" and pytest.importorskip("numba").config.DISABLE_JIT:
        pytest.skip("kernels need the compiler")
    fm.use_engine(request.param)
    yield request.param
    fm.use_engine()


@pytest.fixture
def any_threads() -> Iterator[None]:
    """Let a test set the number of threads."""
    yield
    fm.set_threads(None)
