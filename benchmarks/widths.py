"""The width scan: the time of a training step over widths 1 to 512, beside PyTorch's, as figures and as a plot."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

import fastmlp as fm

from .comparisons import job
from .jobs import Job
from .measure import Effort, fastest, paired, turn, warm
from .peers import PEERS
from .workloads import WORKLOADS, Workload, make_data, make_params

# All small widths; beyond, multiples of eight and the neighbours of multiples of sixteen, where cliffs would be.
WIDTHS = sorted({*range(1, 65), *range(64, 513, 8), *(w + d for w in range(64, 512, 16) for d in (-1, 1))})
PEER_WIDTHS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
# A width may cost this many times what the next larger one costs, plus noise.
CLIFF = 1.15


def workload(width: int) -> Workload:
    """Return the training of two hidden layers of a width, batch 64."""
    return replace(WORKLOADS["S1"], widths=(64, width, width, 10), epochs=20 if width < 64 else 5)


def measure(effort: Effort, say: Callable[[str], None]) -> dict[str, Any]:
    """Time each width beside the next larger one, on all cores and on one: what a second adds is a matter of the moment."""
    jobs = {width: job(workload(width)) for width in WIDTHS}
    warm(*jobs.values())
    result: dict[str, Any] = {}
    result["fastmlp"], result["on all cores"] = _scan(jobs, effort, say, "")
    with fm.engine.at_most(1):
        result["fastmlp, one thread"], result["on one thread"] = _scan(jobs, effort, say, " on one thread")
    absent = PEERS["torch"].missing()
    if absent:
        say(absent)
    result["times ours"] = {} if absent else _peer(jobs, effort, say)
    # Not its own time, which may be of a moment when the machine was faster or slower.
    result["PyTorch"] = {width: result["fastmlp"][width] * ratio for width, ratio in result["times ours"].items()}
    return result


def _scan(
    jobs: dict[int, Job], effort: Effort, say: Callable[[str], None], how: str
) -> tuple[dict[str, float], dict[str, Any]]:
    """Return each width's least time, and how it stands to the next larger one's.

    The two are timed in turn, pairs in another order each time, since the machine's speed drifts more between two moments
    than there is between two widths. What looks like a cliff is measured again, for longer.
    """
    pairs = list(itertools.pairwise(WIDTHS))
    times: dict[int, list[float]] = {width: [] for width in WIDTHS}
    ratios: dict[tuple[int, int], list[float]] = {pair: [] for pair in pairs}
    rng = np.random.default_rng(0)
    for n in range(effort.fewest):
        say(f"widths{how}: pass {n + 1} of {effort.fewest}")
        for a, b in rng.permutation(pairs).tolist():
            took = {width: 1e6 * turn(jobs[width], effort.turn / 5) / workload(width).steps for width in (a, b)[:: (-1) ** n]}
            ratios[a, b].append(took[a] / took[b])
            for width, microseconds in took.items():
                times[width].append(microseconds)
    steps = {f"{a} {b}": float(np.median(found)) for (a, b), found in ratios.items()}
    suspects = [(a, b) for a, b in pairs if steps[f"{a} {b}"] > CLIFF]
    say(f"widths{how}: {len(suspects)} steps down, each measured again")
    again = {f"{a} {b}": paired(jobs[b], jobs[a], effort).ratio for a, b in suspects}
    noise = float(np.median([np.ptp(found) / np.median(found) for found in ratios.values()]))
    return {str(width): min(found) for width, found in times.items()}, {"steps": steps, "again": again, "noise": noise}


def _peer(ours: dict[int, Job], effort: Effort, say: Callable[[str], None]) -> dict[str, float]:
    """Return how many times longer PyTorch takes at some widths, the two timed in turn."""
    peer, ratios = PEERS["torch"], {}
    for width in PEER_WIDTHS:
        w = workload(width)
        data, params = make_data(w), make_params(w)
        jobs: dict[str, Job] = {str(v): peer.prepare(w, data, params, **v) for v in peer.settings(w)}
        ratios[str(width)] = paired(ours[width], jobs[fastest(jobs, effort.turn)], effort).ratio
        say(f"widths: PyTorch at {width}: {ratios[str(width)]:.2f} times ours")
    return ratios


def plot(result: dict[str, Any], path: Path) -> None:
    """Draw the curves."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    styles = {
        "PyTorch": {"color": "#c2571a", "marker": "s"},
        "fastmlp, one thread": {"color": "#7f8c99", "marker": ""},
        "fastmlp": {"color": "#1f6fb4", "marker": "."},
    }
    for name, style in styles.items():
        curve = {int(width): value for width, value in result[name].items()}
        if curve:
            widths = sorted(curve)
            axes.plot(widths, [curve[width] for width in widths], label=name, markersize=4, linewidth=1.2, **style)
    axes.legend(frameon=False, loc="lower right")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    ticks = [2**n for n in range(10)]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xlabel("width w of the network 64-w-w-10")
    axes.set_ylabel("µs per training step (Adam, batch 64)")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(True, which="major", alpha=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _summary(scan: dict[str, Any]) -> str:
    words = f"{_worst(scan['steps'])}; median spread of a pair {100 * scan['noise']:.0f}%"
    return words + (f"; those measured again: {_worst(scan['again'])}" if scan["again"] else "")


def _worst(ratios: dict[str, float]) -> str:
    most = max(ratios, key=lambda pair: ratios[pair])
    over = sum(ratio > CLIFF for ratio in ratios.values())
    return f"{over} of {len(ratios)} above {CLIFF}, the largest {ratios[most]:.2f} ({most.replace(' ', ' beside ')})"


def table(result: dict[str, Any]) -> Table:
    """Return some widths as a table, and the worst step down."""
    caption = f"a width's time over that of the next larger one, in turn: {_summary(result['on all cores'])}. "
    caption += f"On one thread: {_summary(result['on one thread'])}."
    shown = Table(title="Width scan: µs a step", caption=caption)
    for column in ("width", "fastmlp", "PyTorch", "ratio"):
        shown.add_column(column, justify="right")
    for width in map(str, PEER_WIDTHS):
        ours, theirs = result["fastmlp"][width], result["PyTorch"].get(width)
        shown.add_row(width, f"{ours:.1f}", *((f"{theirs:.0f}", f"{theirs / ours:.1f}×") if theirs else ("–", "–")))
    return shown
