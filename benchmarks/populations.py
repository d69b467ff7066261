"""Many networks at once: ours beside JAX's vmap inside a scan, and a grid of 1,440 networks beside scikit-learn too.

``python -m benchmarks.report --sections populations`` measures it.
"""

from __future__ import annotations

import functools
import itertools
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

import fastmlp as fm

from .jobs import Job, Outcome
from .measure import Effort, paired, warm
from .peers import CORES, PEERS
from .workloads import Data, Workload, layers, make_data

Say = Callable[[str], None]


@dataclass(frozen=True)
class Several:
    """So many networks of a workload; `goal` is how many times faster than the best peer they are meant to be."""

    size: int
    workload: Workload
    goal: float


ROWS = {
    "P1": Several(4096, Workload("P1", (2, 8, 1), 4, 512, 8, "moons", "bce", optimizer="sgd", lr=0.1), 8.0),
    "P2": Several(256, Workload("P2", (2, 16, 16, 1), 32, 512, 16, "moons", "bce", activation="tanh"), 6.0),
    "P3": Several(64, Workload("P3", (64, 64, 64, 10), 64, 1024, 6, "digits", "cross_entropy"), 2.5),
}


class Ours(Job):
    """One call of ``Population.fit``."""

    stateful = True

    def __init__(self, several: Several, data: Data) -> None:
        self.w, self.size, self.data = several.workload, several.size, data

    def reset(self) -> None:
        """Make the networks anew."""
        w = self.w
        self.population = fm.Population(list(w.widths), size=self.size, activation=w.activation, output=w.output, loss=w.loss)

    def run(self) -> NDArray:
        """Train."""
        w = self.w
        optimizer = fm.Adam(w.lr) if w.optimizer == "adam" else fm.SGD(w.lr)
        history = self.population.fit(
            self.data.x, self.data.y, epochs=w.epochs, batch_size=w.batch, optimizer=optimizer, shuffle=False, progress=False
        )
        return history.loss[-1]

    def outcome(self, returned: NDArray) -> Outcome:
        """Return the networks' last losses."""
        return Outcome.of(returned.mean(), returned)


class Vmapped(Job):
    """JAX: the whole training of all networks is one jitted scan, its step mapped over them."""

    stateful = True

    def __init__(self, several: Several, data: Data) -> None:
        import jax

        from .peers import jax_

        self.jax, self.w = jax, several.workload
        w = self.w
        networks = fm.Population(list(w.widths), size=several.size, activation=w.activation, output=w.output, loss=w.loss)
        flat = networks.params
        self.initial = [
            (np.stack(weights), np.stack(bias))
            for weights, bias in (zip(*one, strict=True) for one in zip(*(layers(w, row) for row in flat), strict=True))
        ]
        arrays = data.x, jax_.targets(data)
        self.x, self.y = (jax.device_put(np.reshape(a, (w.batches, w.batch, *a.shape[1:]))) for a in arrays)
        train = functools.partial(jax_.train, w, 1)
        self.call = jax.jit(jax.vmap(train, in_axes=(0, None, None)), donate_argnums=0)

    def reset(self) -> None:
        """Put the initial parameters on the device."""
        jnp = self.jax.numpy
        params = [(jnp.array(weights), jnp.array(bias)) for weights, bias in self.initial]
        state: Any = ()
        if self.w.optimizer == "adam":
            ones = jnp.ones(len(self.initial[0][0]), self.w.dtype)
            state = (*(self.jax.tree.map(jnp.zeros_like, params) for _ in range(2)), ones, jnp.copy(ones))
        self.carry = self.jax.block_until_ready((params, state))

    def run(self) -> Any:
        """Train."""
        self.carry, losses = self.jax.block_until_ready(self.call(self.carry, self.x, self.y))
        return losses

    def outcome(self, returned: Any) -> Outcome:
        """Return the networks' last losses."""
        losses = np.asarray(returned)[:, -1]
        return Outcome.of(losses.mean(), losses)


WIDTHS, DEPTHS, RATES, SEEDS, EPOCHS, BATCH = (4, 8, 16, 32, 64), (1, 2, 3), (1e-3, 3e-3, 1e-2), 32, 100, 32
GRID = Workload("P4", (2, 1), BATCH, 500, EPOCHS, "moons", "bce")
GOAL_SKLEARN, GOAL_JAX = 50.0, 4.0
# Every so many of the grid's networks is what scikit-learn is timed on.
SAMPLE = 24
# Losses of the same network may be this far apart, relative to their size, and those of this share of networks farther.
APART, FEW = 1e-2, 1e-2


def grid() -> list[tuple[int, int, float, int]]:
    """Return width, depth, rate and seed of each network."""
    return list(itertools.product(WIDTHS, DEPTHS, RATES, range(SEEDS)))


def _grid_ours(data: Data) -> float:
    """Return the seconds of the whole grid, with everything that is made for it."""
    began = time.perf_counter()
    jobs = grid()
    population = fm.Population.of(
        [{"layers": [2, *[width] * depth, 1], "output": "sigmoid", "seed": seed} for width, depth, _, seed in jobs]
    )
    rates = [rate for _, _, rate, _ in jobs]
    population.fit(data.x, data.y, epochs=EPOCHS, batch_size=BATCH, optimizer=fm.Adam(rates), progress=False)
    return time.perf_counter() - began


def _one_sklearn(x: NDArray, y: NDArray, width: int, depth: int, rate: float, seed: int) -> float:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(
        (width,) * depth, batch_size=BATCH, learning_rate_init=rate, max_iter=EPOCHS, n_iter_no_change=EPOCHS, alpha=0.0,
        random_state=seed,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return float(model.fit(x, y).loss_)


def _grid_sklearn(data: Data) -> float:
    """Return the seconds of the whole grid in as many processes as there are cores, from a part of it."""
    from joblib import Parallel, delayed

    with Parallel(n_jobs=CORES) as parallel:
        parallel(delayed(_one_sklearn)(data.x[:64], data.y[:64], 4, 1, 1e-3, 0) for _ in range(CORES))
        part = grid()[::SAMPLE]
        began = time.perf_counter()
        parallel(delayed(_one_sklearn)(data.x, data.y, *job) for job in part)
        return (time.perf_counter() - began) * len(grid()) / len(part)


def _grid_jax(data: Data) -> tuple[float, float]:
    """Return the seconds of the whole grid, and how many of them one compilation for each architecture takes."""
    import jax
    import jax.numpy as jnp

    from .peers import jax_

    jax.clear_caches()
    rng = np.random.default_rng(0)
    full = len(data.x) // BATCH * BATCH
    began, compiling = time.perf_counter(), 0.0
    x, y = (jax.device_put(a[:full].reshape(-1, BATCH, *a.shape[1:])) for a in (data.x, data.y))
    rest = jax.device_put((data.x[full:], data.y[full:])) if full < len(data.x) else None
    for width, depth in itertools.product(WIDTHS, DEPTHS):
        widths = (2, *[width] * depth, 1)
        w = replace(GRID, widths=widths)
        size = len(RATES) * SEEDS
        params = [
            (jnp.array(rng.normal(0, np.sqrt(2 / a), (size, a, b)).astype(np.float32)), jnp.zeros((size, b), jnp.float32))
            for a, b in itertools.pairwise(widths)
        ]
        ones = jnp.ones(size, jnp.float32)
        state = (*(jax.tree.map(jnp.zeros_like, params) for _ in range(2)), ones, ones)
        rates = jnp.array(np.repeat(RATES, SEEDS).astype(np.float32))

        def train(carry: Any, rate: Any, w: Workload = w) -> Any:
            return jax_.train(replace(w, lr=rate), 1, carry, x, y, rest)

        ready = time.perf_counter()
        call = jax.jit(jax.vmap(train)).lower((params, state), rates).compile()
        compiling += time.perf_counter() - ready
        jax.block_until_ready(call((params, state), rates))
    return time.perf_counter() - began, compiling


def measure(effort: Effort, say: Say) -> dict[str, Any]:
    """P1 to P3 in nanoseconds for each step of each network, P4 in seconds."""
    found: dict[str, Any] = {}
    absent = PEERS["jax"].missing()
    for name, several in ROWS.items():
        w = several.workload
        data = make_data(w)
        ours = Ours(several, data)
        warm(ours)
        scale = 1e9 / w.steps / several.size
        if absent:
            say(absent)
            pairs = paired(ours, ours, effort)
            found[name] = {"ns": scale * float(np.median(pairs.ours))}
            continue
        theirs = Vmapped(several, data)
        error = _agree(ours, theirs)
        pairs = paired(ours, theirs, effort)
        found[name] = {
            "ns": scale * float(np.median(pairs.ours)), "jax": scale * float(np.median(pairs.theirs)),
            "ratio": pairs.ratio, "quartiles": pairs.quartiles, "agreement": error,
        }  # fmt: skip
        say(f"{name}: {found[name]['ns']:.1f} ns, JAX {pairs.ratio:.2f} times ours")
    data = make_data(GRID)
    _grid_ours(data)
    found["P4"] = {"seconds": float(np.median([_grid_ours(data) for _ in range(3)])), "sklearn": _grid_sklearn(data)}
    if not absent:
        found["P4"]["jax"], found["P4"]["jax compiling"] = _grid_jax(data)
    say(f"P4: {found['P4']}")
    return found


def _agree(ours: Job, theirs: Job) -> float:
    """Return how far the networks' losses are apart at most; raise if for more than a few that is more than rounding."""
    results = []
    for job in (ours, theirs):
        job.reset()
        results.append(job.outcome(job.run()).values)
    errors = np.abs(results[0] - results[1]) / np.maximum(np.abs(results[1]), 1e-3)
    # A ReLU that is on the other side of zero after a thousand steps makes a network's loss a little different.
    share = 1.0 - np.mean(errors <= APART)
    if share > FEW:
        raise RuntimeError(f"JAX's losses of {share:.1%} of the networks differ from ours by more than {APART:.0%}.")
    return float(np.max(errors))


def table(result: dict[str, Any]) -> Table:
    """Return the figures as a table."""
    shown = Table(title=f"many networks at once, {CORES} threads: ns for each step of each network")
    for title in ("", "work", "fastmlp", "peer", "ratio", "goal", "losses apart"):
        shown.add_column(title, justify="left" if title in ("", "work") else "right")
    for name, several in ROWS.items():
        row = result[name]
        peer = f"JAX vmap {row['jax']:,.0f}" if "jax" in row else "–"
        ratio = f"{row['ratio']:.1f}×" if "ratio" in row else "–"
        apart = f"{row['agreement']:.1g}" if "agreement" in row else "–"
        work = f"{several.size:,} × {several.workload.title}"
        shown.add_row(name, work, f"{row['ns']:,.1f}", peer, ratio, f"{several.goal:g}×", apart)
    row = result["P4"]
    work = f"{len(grid()):,} networks on moons, {EPOCHS} epochs"
    for label, seconds, goal in _grid_peers(row):
        ratio = f"{seconds / row['seconds']:.1f}×"
        shown.add_row("P4", work, f"{row['seconds']:.2f} s", f"{label} {seconds:.0f} s", ratio, goal, "")
    return shown


def _grid_peers(row: dict[str, float]) -> Iterator[tuple[str, float, str]]:
    """Give label, seconds and goal of each line of the grid: ours are compiled already, JAX's with and without compiling."""
    yield "scikit-learn", row["sklearn"], f"{GOAL_SKLEARN:g}×"
    if "jax" in row:
        yield "JAX, compiling", row["jax"], f"{GOAL_JAX:g}×"
    if "jax compiling" in row:  # files of before have only both together
        yield "JAX, compiled", row["jax"] - row["jax compiling"], ""
