"""The width scan: the time of a training step over widths 1 to 512, beside PyTorch's, as figures and as a plot."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from .comparisons import job
from .jobs import Job
from .measure import Effort, fastest, paired, turn, warm
from .peers import PEERS
from .workloads import WORKLOADS, Workload, make_data, make_params

PLOT = Path(__file__).parent.parent / "docs" / "width-scan.png"
# All small widths; beyond, multiples of eight and the neighbours of multiples of sixteen, where cliffs would be.
WIDTHS = sorted({*range(1, 65), *range(64, 513, 8), *(w + d for w in range(64, 512, 16) for d in (-1, 1))})
PEER_WIDTHS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
# A width may cost this many times what the next larger one costs, plus noise.
CLIFF = 1.15


def workload(width: int) -> Workload:
    """Return the training of two hidden layers of a width, batch 64."""
    return replace(WORKLOADS["S1"], widths=(64, width, width, 10), epochs=20 if width < 64 else 5)


def measure(effort: Effort, say: Callable[[str], None]) -> dict[str, Any]:
    """Go through all widths several times, each time in another order; a width's time is the least of its turns.

    The least, since other work on the machine would look like a cliff. What still looks like one is measured again, the two
    widths in turn.
    """
    jobs = {width: job(workload(width)) for width in WIDTHS}
    warm(*jobs.values())
    found: dict[int, list[float]] = {width: [] for width in WIDTHS}
    rng = np.random.default_rng(0)
    for n in range(effort.fewest):
        say(f"widths: pass {n + 1} of {effort.fewest}")
        for width in rng.permutation(WIDTHS).tolist():
            found[width].append(1e6 * turn(jobs[width], effort.turn / 5) / workload(width).steps)
    result: dict[str, Any] = {"fastmlp": {width: min(times) for width, times in found.items()}}
    result["noise"] = {width: float(np.ptp(times) / np.median(times)) for width, times in found.items()}
    result["PyTorch"] = _peer(effort, say) if PEERS["torch"].missing() is None else {}
    result = {name: {str(width): value for width, value in curve.items()} for name, curve in result.items()}
    suspects = [(a, b) for a, b, ratio in cliffs(result["fastmlp"]) if ratio > CLIFF]
    say(f"widths: {len(suspects)} steps down, each measured in turn")
    result["in turn"] = {f"{a} {b}": paired(jobs[b], jobs[a], effort).ratio for a, b in suspects}
    plot(result, PLOT)
    return result


def _peer(effort: Effort, say: Callable[[str], None]) -> dict[int, float]:
    peer, curve = PEERS["torch"], {}
    for width in PEER_WIDTHS:
        w = workload(width)
        data, params = make_data(w), make_params(w)
        jobs: dict[str, Job] = {str(v): peer.prepare(w, data, params, **v) for v in peer.settings(w)}
        best = jobs[fastest(jobs, effort.turn)]
        curve[width] = 1e6 * min(turn(best, effort.turn / 2) for _ in range(effort.fewest)) / w.steps
        say(f"widths: PyTorch at {width}: {curve[width]:.0f} µs")
    return curve


def cliffs(curve: dict[str, float]) -> list[tuple[int, int, float]]:
    """Return each width whose time is over that of the next larger one, that width, and the ratio; the worst first."""
    widths = sorted(map(int, curve))
    steps = [(a, b, curve[str(a)] / curve[str(b)]) for a, b in itertools.pairwise(widths)]
    return sorted((step for step in steps if step[2] > 1.0), key=lambda step: -step[2])


def plot(result: dict[str, Any], path: Path) -> None:
    """Draw both curves."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for name, style in (("PyTorch", {"color": "#c2571a", "marker": "s"}), ("fastmlp", {"color": "#1f6fb4", "marker": "."})):
        curve = {int(width): value for width, value in result[name].items()}
        if curve:
            widths = sorted(curve)
            axes.plot(widths, [curve[width] for width in widths], label=name, markersize=4, linewidth=1.2, **style)
            start = widths[0], max(curve[width] for width in widths if width <= 2)
            axes.annotate(name, start, xytext=(0, 9), textcoords="offset points", color=style["color"], weight="bold")
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


def table(result: dict[str, Any]) -> Table:
    """Return some widths and the worst cliffs as a table."""
    worst = cliffs(result["fastmlp"])
    caption = "; ".join(f"{a} costs {ratio:.2f} of what {b} does" for a, b, ratio in worst[:5]) or "none"
    noise = np.median(list(result["noise"].values()))
    caption = f"steps down, goal ≤ {CLIFF}: {caption}. Median spread of a width: {100 * noise:.0f}%."
    if pairs := result.get("in turn"):
        most = max(pairs, key=lambda pair: pairs[pair])
        over = sum(ratio > CLIFF for ratio in pairs.values())
        a, b = most.split()
        caption += f" Of {len(pairs)} over it {over} are so when measured in turn: at most {pairs[most]:.2f}, {a} beside {b}."
    shown = Table(title="Width scan: µs a step", caption=caption)
    for column in ("width", "fastmlp", "PyTorch", "ratio"):
        shown.add_column(column, justify="right")
    for width in map(str, PEER_WIDTHS):
        ours, theirs = result["fastmlp"][width], result["PyTorch"].get(width)
        shown.add_row(width, f"{ours:.1f}", *((f"{theirs:.0f}", f"{theirs / ours:.1f}×") if theirs else ("–", "–")))
    return shown
