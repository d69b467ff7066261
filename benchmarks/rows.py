"""One row of the table: a workload on fastmlp and on every peer that can do it, checked, then timed in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from . import ceiling
from .jobs import Job
from .judge import Disagreement, Judge
from .measure import Effort, Pairs, fastest, paired
from .peers import OURS, PEERS, Peer
from .workloads import WORKLOADS, Workload, make_data, make_params

Say = Callable[[str], None]


def measure(names: Iterable[str], peers: Iterable[str], effort: Effort, say: Say) -> dict[str, Any]:
    """Measure rows and the ceiling, before them and after them; `say` is told what happens."""
    chosen = []
    for peer in (PEERS[name] for name in peers):
        absent = peer.missing()
        if absent:
            say(absent)
        else:
            chosen.append(peer)
    top = ceiling.measure()
    rows = {}
    for name in names:
        rows[name] = _row(WORKLOADS[name], chosen, effort, say)
    top = ceiling.higher(top, ceiling.measure())
    for name, row in rows.items():
        _rate(WORKLOADS[name], row, top)
    return {"ceiling": top, "rows": rows}


def _row(workload: Workload, peers: list[Peer], effort: Effort, say: Say) -> dict[str, Any]:
    say(f"{workload.name}: {workload.title}")
    judge = Judge(workload)
    variant, agreement, ours = _best(workload, OURS, judge, effort)
    row: dict[str, Any] = {"steps": workload.steps, "variant": variant, "agreement": agreement, "peers": {}}
    seconds: list[float] = []
    for peer in peers:
        if not peer.does(workload):
            continue
        try:
            cell, times = _cell(workload, peer, judge, ours, effort)
            seconds += times
        except Disagreement as error:
            say(f"  {error}")
            cell = {"error": str(error)}
        except Exception as error:  # a peer that breaks must not take the others' figures with it
            say(f"  {peer.label} fails: {error!r}")
            cell = {"error": repr(error)}
        else:
            say(f"  {peer.label:14} {cell['us']:10.2f} µs a step, {cell['ratio']:6.2f} times ours   {cell['variant']}")
        row["peers"][peer.name] = cell
    if not seconds:
        seconds = paired(ours, ours, effort).ours
    row["us"] = 1e6 * float(np.median(seconds)) / workload.steps
    ratios = {name: cell["ratio"] for name, cell in row["peers"].items() if "ratio" in cell}
    row["best"] = min(ratios, key=ratios.__getitem__) if ratios else None
    return row


def _cell(workload: Workload, peer: Peer, judge: Judge, ours: Job, effort: Effort) -> tuple[dict[str, Any], list[float]]:
    """Return one peer's figures, and our own times beside them."""
    variant, agreement, theirs = _best(workload, peer, judge, effort)
    pairs: Pairs = paired(ours, theirs, effort)
    cell = {
        "variant": variant,
        "agreement": agreement,
        "us": 1e6 * float(np.median(pairs.theirs)) / workload.steps,
        "ratio": pairs.ratio,
        "quartiles": pairs.quartiles,
        "pairs": len(pairs.ours),
    }
    return cell, pairs.ours


def _best(workload: Workload, peer: Peer, judge: Judge, effort: Effort) -> tuple[str, dict[str, float], Job]:
    """Return a library's fastest variant, all of which are checked: its name, how far it is off, and the job, warm."""
    jobs, agreement = {}, {}
    for variant in peer.settings(workload):
        name = ", ".join(f"{key}={value}" for key, value in variant.items())
        found = judge.check(peer, **variant)
        agreement[name] = {"error": found.error, "bound": found.bound}
        jobs[name] = peer.prepare(workload, make_data(workload), make_params(workload), **variant)
    best = fastest(jobs, effort.turn)
    return best, agreement[best], jobs[best]


def _rate(workload: Workload, row: dict[str, Any], top: dict[str, dict[str, float]]) -> None:
    """Add what follows from the ceiling."""
    row["gflops"] = 1e-3 * workload.flops / row["us"]
    row["of_ceiling"] = row["gflops"] / top[workload.dtype]["all"]
