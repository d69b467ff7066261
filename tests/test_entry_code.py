"""What an entry links it keeps to itself: other code that calls the same functions gets them as they were."""

from __future__ import annotations

import subprocess
import sys

from tests.compiler import needs_compiler

# In a process of its own: one that finds the wrong function ends there.
OTHERS_CODE = """
import numpy as np
from numba import njit

import fastmlp as fm

X, y = np.ones((100, 2)), np.ones(100)
net = fm.MLP([2, 8, 1])
net.fit(X, y, epochs=2, progress=False)
net.predict(X)
from fastmlp.kernels import columns, network


@njit
def ours(table):
    few = network.few_parameters(table)
    return columns.narrow(table, 100, True, 16), columns.column_block(table), network.n_params(table), few


@njit
def numbas(k):
    ones = np.empty((k, k))
    ones[:] = 1.0
    return ones.reshape(-1).sum(), min(k, 3), max(k, 7)


table = net.plan.table
assert ours(table) == (True, 480, 33, True), ours(table)
assert numbas(5) == (25.0, 3, 7), numbas(5)
print("right")
"""


@needs_compiler
def test_code_of_others_does_not_find_what_an_entry_made_of_the_functions_that_it_calls():
    done = subprocess.run([sys.executable, "-c", OTHERS_CODE], capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout) == (0, "right\n"), done.stderr
