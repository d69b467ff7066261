"""Everything as pytest benchmarks: ``pytest benchmarks --benchmark-only``; without that option all of it is skipped.

One benchmark for each workload, peer and setting, in a group of the workload's name; each checks its result first. Then what
comes before a training, the functions and products below it, and what a step allocates. Nothing asserts a time.
"""

from __future__ import annotations

import tempfile
from typing import Any

import pytest

from . import functions, memory, products, startup
from .judge import Judge
from .peers import OURS, PEERS
from .workloads import WORKLOADS, make_data, make_params

# The peers' warnings are theirs.
pytestmark = pytest.mark.filterwarnings("ignore")

JOBS = [
    pytest.param(workload, peer, variant, id="-".join([name, peer.name, *(f"{key}={value}" for key, value in variant.items())]))
    for name, workload in WORKLOADS.items()
    for peer in (OURS, *PEERS.values())
    if peer.does(workload)
    for variant in peer.settings(workload)
]


@pytest.fixture(scope="module")
def judges() -> dict[str, Judge]:
    """Judges of the workloads so far."""
    return {}


@pytest.mark.parametrize(("workload", "peer", "variant"), JOBS)
def test_workload(workload, peer, variant, judges, benchmark) -> None:
    """A library does a workload, and comes to what everybody comes to."""
    reason = peer.missing()
    if reason:
        pytest.skip(reason)
    if workload.name not in judges:
        judges[workload.name] = Judge(workload)
    judges[workload.name].check(peer, **variant)
    job = peer.prepare(workload, make_data(workload), make_params(workload), **variant)
    benchmark.group = workload.name
    benchmark.extra_info["steps"] = workload.steps
    job.begin()
    if job.stateful:
        benchmark.pedantic(job.run, setup=job.reset, rounds=3, warmup_rounds=1)
    else:
        benchmark(job.run)


@pytest.mark.parametrize("dtypes", [("float32",), ("float32", "float64")], ids="-".join)
def test_cold_compile(dtypes, benchmark) -> None:
    """A first fit with an empty cache."""
    benchmark.group = "start"
    benchmark.pedantic(lambda: startup.cold(*dtypes)[0], rounds=1)


def test_warm_start(benchmark) -> None:
    """A first fit with a warm cache, the interpreter's own start and numba's import included."""
    benchmark.group = "start"
    with tempfile.TemporaryDirectory() as cache:
        startup.run(startup.FIT, "float32", cache=cache)
        seconds = benchmark.pedantic(lambda: startup.run(startup.FIT, "float32", cache=cache), rounds=3)
    benchmark.extra_info.update(seconds)


def test_import(benchmark) -> None:
    """``import fastmlp`` in a new interpreter, whose own start is included, brings in no large package."""
    benchmark.group = "start"
    assert benchmark.pedantic(startup.imports, rounds=3)["heavy"] == []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", functions.FUNCTIONS)
@pytest.mark.parametrize("library", ["fastmlp", "numpy"])
def test_function(name, dtype, library, benchmark) -> None:
    """A function of 4,096 elements."""
    function, x, out = functions.call(library, name, dtype)
    benchmark.group = f"{name}|{dtype}|{functions.SIZE}"
    benchmark.extra_info["ulp"] = functions.ulp(name, dtype) if library == "fastmlp" else None
    benchmark(function, x, out)


@pytest.mark.parametrize("shape", products.SHAPES, ids=lambda shape: "x".join(map(str, shape)))
@pytest.mark.parametrize("product", products.PRODUCTS)
@pytest.mark.parametrize("library", ["fastmlp", "numpy"])
def test_product(product, shape, library, benchmark) -> None:
    """A product of a dense layer on one thread."""
    products.set_blas_threads(1)
    functions_of: dict[str, Any] = dict(zip(("fastmlp", "numpy"), products.operations(product, *shape), strict=True))
    benchmark.group = f"{product}|{'x'.join(map(str, shape))}"
    benchmark.extra_info["flops"] = 2 * shape[0] * shape[1] * shape[2]
    benchmark(functions_of[library])


def test_training_steps_allocate_nothing(benchmark) -> None:
    """A hundred times as many steps in a call make not one array more."""
    benchmark.group = "memory"
    found = benchmark.pedantic(memory.step_allocations, rounds=1)
    benchmark.extra_info.update(found)
    assert found["arrays"] == 0
