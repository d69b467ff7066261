"""A mark for tests that ask for the compiled engine by name."""

from __future__ import annotations

import importlib.util

import pytest

_installed = importlib.util.find_spec("numba") is not None
if _installed:
    import numba

needs_compiler = pytest.mark.skipif(not _installed or numba.config.DISABLE_JIT, reason="kernels need the compiler")
