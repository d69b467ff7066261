"""What a measurement was made on, and an environment in which it is fair."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

from .peers import CORES, OURS, PEERS

# Settings that make NumPy's BLAS take kernels or block sizes that are not this CPU's.
HANDICAPS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
# Settings that a reader of the figures must know of.
_TOLD = (
    "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "FASTMLP_VECTOR_BYTES", "FASTMLP_ENGINE", "OMP_NUM_THREADS", "OMP_WAIT_POLICY",
    "OMP_PROC_BIND", "OMP_PLACES", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "XLA_FLAGS", "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA", "NPY_DISABLE_CPU_FEATURES",
)  # fmt: skip
# Those of Intel's OpenMP as well, but for two that scikit-learn sets at its import.
_OPENMP, _SCIKIT_LEARN = "KMP_", ("KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK")


def handicaps() -> list[str]:
    """Return the settings of this process that would slow a peer down."""
    return [name for name in HANDICAPS if name in os.environ]


def shed_handicaps(module: str) -> None:
    """Start ``python -m module`` anew without settings that would slow a peer down, if there are any."""
    found = handicaps()
    if found:
        print(f"Starting anew without {' and '.join(found)}, which would slow NumPy's BLAS down.", file=sys.stderr, flush=True)
        environment = {name: value for name, value in os.environ.items() if name not in HANDICAPS}
        os.execve(sys.executable, [sys.executable, "-m", module, *sys.argv[1:]], environment)


def settings() -> dict[str, str]:
    """Return the settings of this process that a reader of the figures must know of."""
    openmp = sorted(name for name in os.environ if name.startswith(_OPENMP) and name not in _SCIKIT_LEARN)
    return {name: os.environ[name] for name in (*_TOLD, *openmp) if name in os.environ}


def cpu_name() -> str:
    """Return the CPU's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def version(package: str) -> str | None:
    """Return an installed package's version."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def describe() -> dict[str, Any]:
    """Return CPU, cores, versions, date and load, as they are stored with each measurement."""
    from fastmlp import engine

    names = dict.fromkeys(name for peer in (OURS, *PEERS.values()) for name in peer.packages)
    versions = {name: version(name) for name in names}
    return {
        "cpu": cpu_name(),
        "cores": CORES,
        "code": engine.info().get("cpu", ""),
        "vector": engine.info().get("vector", "none"),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: found for name, found in versions.items() if found},
        "settings": settings(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
    }


def sentence(facts: dict[str, Any]) -> str:
    """Return the facts in one line."""
    cores = f"{facts['cores']} core{'s' if facts['cores'] > 1 else ''}"
    parts = [
        f"{facts['cpu']} ({facts['code']}), {cores}, vectors of {facts['vector']}",
        f"{facts['system']}, Python {facts['python']}",
        ", ".join(f"{name} {found}" for name, found in facts["versions"].items()),
    ]
    if facts["settings"]:
        parts.append("with " + " ".join(f"{name}={value}" for name, value in facts["settings"].items()))
    return "; ".join(parts) + f"; {facts['date']}."
