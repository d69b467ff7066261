"""The peers: one table. A peer that is not installed is skipped."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from joblib import cpu_count

from ..jobs import Job
from ..workloads import Data, Workload

CORES = cpu_count()
_THREADS = tuple({"threads": n} for n in sorted({1, CORES}))
_BOUND = tuple({**threads, "bound": bound} for threads in _THREADS for bound in (False, True))
_TRAINING = frozenset({"train", "gradient"})
_ALL = _TRAINING | {"predict"}


@dataclass(frozen=True)
class Peer:
    """A library that does the workloads.

    Attributes
    ----------
    name, label : str
        Its key, and what tables call it.
    needs : tuple of str
        Packages that it cannot do without.
    packages : tuple of str
        Distributions whose versions belong in the report.
    tasks : frozenset of str
        What it can do.
    variants : tuple of dict
        Settings to try; the best of them counts.
    losses : frozenset of str
        The losses it has.
    least_flops : int
        Smaller steps it leaves to another peer.
    eps_hat : bool
        Whether its Adam adds eps before the bias correction instead of after it.
    """

    name: str
    label: str
    needs: tuple[str, ...]
    packages: tuple[str, ...]
    tasks: frozenset[str] = _ALL
    variants: tuple[Mapping[str, Any], ...] = ({},)
    losses: frozenset[str] = frozenset({"cross_entropy", "bce", "mse"})
    least_flops: int = 0
    eps_hat: bool = False

    def missing(self) -> str | None:
        """Say what keeps it from running here, if anything does."""
        absent = [package for package in self.needs if importlib.util.find_spec(package) is None]
        if absent:
            return f"{self.label} is skipped: {', '.join(absent)} is not installed (pip install -e '.[bench]')"
        if self.name == "torch_compile" and not (shutil.which("g++") or shutil.which("clang++")):
            return f"{self.label} is skipped: it needs a C++ compiler"
        return None

    def does(self, workload: Workload) -> bool:
        """Return whether it can do exactly this job."""
        fits = workload.task in self.tasks and workload.loss in self.losses
        return fits and workload.flops >= self.least_flops

    def settings(self, workload: Workload) -> tuple[Mapping[str, Any], ...]:
        """Return the variants that make a difference to a workload."""
        # Unrolling a scan of many minibatches, or of Adam's many arrays, made JAX up to twice slower.
        rolled = self.name == "jax" and (workload.task != "train" or workload.batches > 1 or workload.optimizer == "adam")
        unbound = self.name == "fastmlp" and workload.task == "train"
        return self.variants[:1] if rolled or unbound else self.variants

    @property
    def module(self) -> ModuleType:
        """The module with its `prepare`, imported when it is needed."""
        return importlib.import_module(f"{__name__}.{self.name}_")

    def prepare(self, workload: Workload, data: Data, params: Any, **variant: Any) -> Job:
        """Return the job that does the workload from these parameters on this data."""
        return self.module.prepare(workload, data, params, **variant)


OURS = Peer("fastmlp", "fastmlp", (), ("fastmlp", "numba", "llvmlite"), variants=({}, {"bound": True}))

PEERS = {
    peer.name: peer
    for peer in (
        Peer("numpy", "NumPy", ("threadpoolctl",), ("numpy",), variants=_THREADS),
        # Its squared error is half of everyone else's, and it has no call for a gradient.
        Peer(
            "sklearn", "scikit-learn", ("sklearn", "threadpoolctl"), ("scikit-learn",), frozenset({"train", "predict"}),
            _THREADS, frozenset({"cross_entropy", "bce"}), eps_hat=True,
        ),
        Peer("torch", "PyTorch", ("torch",), ("torch",), variants=_THREADS),
        # On smaller steps it was up to twice slower than eager PyTorch, for what compiled code has to check at each call.
        Peer("torch_compile", "torch.compile", ("torch",), ("torch",), variants=_THREADS, least_flops=10_000_000),
        Peer("jax", "JAX", ("jax",), ("jax", "jaxlib"), variants=({"unroll": 1}, {"unroll": 8})),
        Peer(
            "onnxruntime", "ONNX Runtime", ("onnx", "onnxruntime"), ("onnxruntime",), frozenset({"predict"}), _BOUND
        ),
    )
}  # fmt: skip
