"""torch.compile: model and loss compiled together, forward and backward; the optimizer is the fused one.

Its compiler runs at the first call, for some seconds to a minute, outside of what is timed.
"""

from __future__ import annotations

import functools

import torch
from numpy.typing import NDArray

from ..jobs import Job
from ..workloads import Data, Workload
from .torch_ import JOBS


def prepare(workload: Workload, data: Data, params: NDArray, threads: int = 1) -> Job:
    """Return the job."""
    torch.set_num_threads(threads)  # compiled code is made for a number of threads
    torch._dynamo.config.recompile_limit = 64
    compiler = functools.partial(torch.compile, fullgraph=True, dynamic=False)
    return JOBS[workload.task](workload, data, params, threads, compiler)
