"""What a peer makes of a workload: a job that can be started, run, and asked for its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Outcome:
    """What a job came to, in float64 or wider.

    Attributes
    ----------
    loss : float
        Mean loss of the last epoch, or the loss of the one call; 0 for a prediction.
    values : (n,) array
        The trained parameters, the gradient (both laid out as in ``workloads.make_params``), or the outputs.
    """

    loss: float
    values: NDArray

    @classmethod
    def of(cls, loss: Any, *arrays: ArrayLike) -> Outcome:
        """Make one from a loss and arrays in their order."""
        parts = [np.asarray(array) for array in arrays]
        wide = np.result_type(np.float64, *parts)
        return cls(float(loss), np.concatenate([part.ravel() for part in parts], dtype=wide))


class Job:
    """One workload on one library. `run` is what is timed; everything else happens before or after."""

    #: Whether each run must be preceded by `reset`.
    stateful = False

    def begin(self) -> None:
        """Prepare the library for this job's turn, such as its number of threads."""

    def reset(self) -> None:
        """Go back to the initial parameters."""

    def run(self) -> Any:
        """Do the work."""
        raise NotImplementedError

    def outcome(self, returned: Any) -> Outcome:
        """Return what the last run came to, given what it returned."""
        raise NotImplementedError


def result(job: Job) -> Outcome:
    """Run a job once from the start and return what it came to."""
    job.begin()
    job.reset()
    return job.outcome(job.run())


def set_blas_threads(n: int) -> None:
    """Let NumPy's and SciPy's BLAS use n threads from now on."""
    from threadpoolctl import ThreadpoolController

    ThreadpoolController().limit(limits=n, user_api="blas")
