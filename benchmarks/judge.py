"""Whether two libraries did the same job: results are compared with those of arithmetic that is one precision wider.

How far float32 results may lie from float64 ones is measured, not guessed: by NumPy in the workload's own precision, and by
wide runs from parameters that are off by half a unit in the last place. Rounding errors that a training makes larger are
larger there too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .jobs import Outcome, result
from .peers import PEERS, Peer
from .workloads import Data, Workload, make_data, make_params

WIDER = {"float32": np.float64, "float64": np.longdouble}
# Another order of summation may be off by this many times as much.
FACTOR = 16.0
PERTURBED_RUNS = 3
# A check that would let larger differences pass proves nothing.
LARGEST_BOUND = 0.02


class Disagreement(AssertionError):
    """A library came to another result."""


@dataclass(frozen=True)
class Agreement:
    """How far a result lies from the exact one, in units of what the training moved (or of the exact values).

    Attributes
    ----------
    error, bound : float
    """

    error: float
    bound: float


class Judge:
    """What a workload comes to, and how far from it rounding may lead."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload.short()
        self.data, self.params = make_data(self.workload), make_params(self.workload)
        self._standards: dict[bool, tuple[Outcome, float]] = {}

    def check(self, peer: Peer, **variant) -> Agreement:
        """Let a peer do the short job; raise Disagreement if it comes to something else."""
        job = peer.prepare(self.workload, self.data, self.params, **variant)
        exact, bound = self._standard(peer.eps_hat)
        error = self._distance(result(job), exact)
        if not error <= bound:
            raise Disagreement(
                f"{peer.label} on {self.workload.name}: its result is {error:.2g} away from the exact one, "
                f"and rounding explains {bound:.2g}"
            )
        return Agreement(error, bound)

    def _standard(self, eps_hat: bool) -> tuple[Outcome, float]:
        """Return the exact outcome and the bound; with Adam's eps where scikit-learn has it, if eps_hat."""
        if eps_hat not in self._standards:
            wide = WIDER[self.workload.dtype]
            exact = self._run(self.params, wide, eps_hat)
            rng = np.random.default_rng(3)
            unit = float(np.finfo(self.workload.dtype).eps)
            runs = [self._run(self.params, self.workload.dtype, eps_hat)]
            for _ in range(PERTURBED_RUNS):
                noise = rng.uniform(-unit / 2, unit / 2, self.params.size)
                runs.append(self._run(self.params.astype(wide) * (1 + noise), wide, eps_hat))
            growth = max(self._distance(run, exact) for run in runs)
            bound = FACTOR * max(growth, unit)
            if bound > LARGEST_BOUND:
                raise Disagreement(f"{self.workload.name}: rounding grows to {growth:.2g}; compare after fewer steps")
            self._standards[eps_hat] = exact, bound
        return self._standards[eps_hat]

    def _run(self, params: NDArray, dtype, eps_hat: bool) -> Outcome:
        data = Data(self.data.x, self.data.y)
        return result(PEERS["numpy"].prepare(self.workload, data, params, dtype=np.dtype(dtype).name, eps_hat=eps_hat))

    def _distance(self, outcome: Outcome, exact: Outcome) -> float:
        start = self.params if self.workload.task == "train" else 0.0
        moved = np.linalg.norm(np.asarray(exact.values - start, np.float64))
        values = np.linalg.norm(np.asarray(outcome.values - exact.values, np.float64)) / moved
        return float(max(values, abs(outcome.loss - exact.loss) / max(abs(exact.loss), 1e-12)))
