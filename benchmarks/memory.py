"""Memory: what a training needs beyond the interpreter, and whether a step allocates anything."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.table import Table

from .measure import Effort
from .startup import run
from .workloads import WORKLOADS

# Writing 5 to it sets the peak back.
CLEAR = "/proc/self/clear_refs"
# In a process of its own: warm up on a tiny network, give back what is free, set the peak back, train. The data are there
# before, and counted.
_PEAK = """
import ctypes, gc, json
import numpy as np
import fastmlp as fm
from fastmlp import engine
from benchmarks.workloads import WORKLOADS, make_data, make_params
from benchmarks.memory import CLEAR, status

w = WORKLOADS["S1"]
small = np.zeros((8, 4), "float32")
fm.MLP([4, 8, 3], output="softmax").fit(small, np.arange(8) % 3, epochs=2, batch_size=4, progress=False)
data, params = make_data(w), make_params(w)
gc.collect()
ctypes.CDLL(None).malloc_trim(0)
open(CLEAR, "w").write("5")
before = status("VmRSS")
net = fm.MLP(list(w.widths), output="softmax")
net.params = params
net.fit(data.x, data.y, epochs=w.epochs, batch_size=w.batch, optimizer="adam", progress=False)
peak = status("VmHWM")
scratch = engine.active().arena_size(net.plan.table, w.batch) * net.params.itemsize
state = net.params.nbytes * 3
size = data.x.nbytes + data.y.nbytes
print(json.dumps({"peak": size + peak - before, "data": size, "state": state, "arena": scratch}))
"""


def status(field: str) -> int:
    """Return a figure of this process from Linux's /proc, in bytes."""
    with open("/proc/self/status", encoding="ascii") as lines:
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field + ":"))


def peak() -> dict[str, int]:
    """Return the peak of training S1 over what the process had before, and what it must hold, in bytes."""
    return run(_PEAK)


def step_allocations(fewer: int = 280, more: int = 28_000) -> dict[str, int]:
    """Return how much more memory a call of `more` steps takes than one of `fewer`: arrays made, and pages touched."""
    from numba.core.runtime import _nrt_python, rtsys

    call = training_call()
    call(fewer)
    counted = []
    _nrt_python.memsys_enable_stats()
    try:
        for steps in (fewer, more):
            arrays, pages = rtsys.get_allocation_stats().alloc, resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            call(steps)
            now = rtsys.get_allocation_stats().alloc, resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            counted.append((now[0] - arrays, now[1] - pages))
    finally:
        _nrt_python.memsys_disable_stats()
    (arrays_few, pages_few), (arrays_many, pages_many) = counted
    return {"steps": more - fewer, "arrays": arrays_many - arrays_few, "pages": max(0, pages_many - pages_few)}


def training_call() -> Callable[[int], None]:
    """Return a function that does so many steps of S1 in one call of the engine, on one thread."""
    import fastmlp as fm
    from fastmlp import engine
    from fastmlp.plan import aligned_zeros

    from .peers import OURS
    from .workloads import make_data, make_params

    w = WORKLOADS["S1"]
    data = make_data(w)
    job = OURS.prepare(w, data, make_params(w), threads=1)
    job.begin()
    job.reset()
    job.run()
    net = job.net
    state, size = net._state, engine.active().arena_size(net.plan.table, w.batch)
    scratch = aligned_zeros(size, net.dtype)
    y, none = data.y.astype(w.dtype)[:, None], np.zeros(0, w.dtype)
    order, losses = np.zeros(0, np.int64), np.zeros(100_000)
    rates = np.full((100_000, 1), 1e-4)
    fm.set_threads(1)

    def call(steps: int) -> None:
        engine.active().train_steps(
            net.plan.table, state.ints, state.reals, net.params, state.slots, data.x, y, none, order, rates[:steps], losses,
            scratch,
        )  # fmt: skip

    return call


def measure(effort: Effort, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure both.

    Raises
    ------
    RuntimeError
        Where the system has no /proc with a process's peak, or does not let it be set back.
    """
    if not os.access(CLEAR, os.W_OK):
        raise RuntimeError(f"a training's peak of memory needs Linux's {CLEAR}, which cannot be written here")
    say("memory: S1")
    runs = [peak() for _ in range(effort.fewest)]
    return {"peak": min(runs, key=lambda run: run["peak"]), "steps": step_allocations()}


def table(result: dict[str, Any]) -> Table:
    """Return the figures as a table."""
    sizes, steps = result["peak"], result["steps"]
    needed = sizes["data"] + sizes["state"] + sizes["arena"]
    shown = Table("", "", "goal", title="Memory of training S1")
    for key, what in (("data", "data"), ("state", "parameters and Adam's moments"), ("arena", "arena")):
        shown.add_row(what, f"{sizes[key] / 1024:.0f} KiB", "")
    shown.add_row("peak, over what the process had before the data", f"{sizes['peak'] / 1024:.0f} KiB", "")
    shown.add_row("peak / sum", f"{sizes['peak'] / needed:.2f}", "≤ 1.5")
    shown.add_row(f"arrays made in {steps['steps']:,} steps", str(steps["arrays"]), "0")
    shown.add_row(f"pages first touched in {steps['steps']:,} steps", str(steps["pages"]), "0")
    return shown
