"""Kernels that allocate scratch have it until they are done with it.

In a process of its own, whose C library gives large blocks back to the system at once: who uses one afterwards ends there.
"""

from __future__ import annotations

import sys

import pytest

from tests.compiler import needs_compiler
from tests.processes import run

KERNELS = """
import numpy as np
from fastmlp.kernels import dense, loss

for dtype in (np.float32, np.float64):
    x, w, d, none = (np.ones(shape, dtype) for shape in ((300, 200), (200, 500), (300, 500), 0))
    dw, db = np.empty((200, 500), dtype), np.empty(500, dtype)
    for _ in range(2):
        for forward in (dense.linear_fwd, dense.linear_fwd_relu):
            z = np.empty_like(d)
            forward(x, w, none, z)
            assert (z == 200).all()
        dx = np.empty_like(x)
        dense.linear_bwd_d(d, w, x, dx)
        dense.linear_bwd_w(x, d, dw, db)
        assert (dx == 500).all() and (dw == 300).all() and (db == 300).all()
        z, rows = np.ones((60_000, 3), dtype), np.empty(60_000, dtype)
        loss.loss_and_delta(loss.SSE, loss.IDENTITY, 0.0, 0.0, z, z, np.ones(60_000, dtype), rows, np.empty_like(z))
        assert (rows == 0).all()
print("had it")
"""


@needs_compiler
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the variable is the GNU C library's")
def test_scratch_is_there_until_the_last_use() -> None:
    assert run(KERNELS, MALLOC_MMAP_THRESHOLD_="65536") == "had it"
