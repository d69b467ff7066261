"""Fixtures that any test may ask for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import fastmlp as fm


def pytest_sessionstart(session: pytest.Session) -> None:
    """Have the first two of several processes compile for one number type each; else both would compile the same at once."""
    worker = getattr(session.config, "workerinput", {}).get("workerid")
    dtypes = {"gw0": "float32", "gw1": "float64"}
    if worker in dtypes:
        fm.warmup(dtypes[worker], special=True)


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


@pytest.fixture(scope="session")
def iris() -> tuple[np.ndarray, np.ndarray]:
    """Three classes of flowers, standardized."""
    X, y = pytest.importorskip("sklearn.datasets").load_iris(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


@pytest.fixture(scope="session")
def numbers() -> tuple[np.ndarray, np.ndarray]:
    """A linear regression with noise."""
    X, y = pytest.importorskip("sklearn.datasets").make_regression(200, 5, noise=5.0, random_state=0)
    return X, y / y.std()
