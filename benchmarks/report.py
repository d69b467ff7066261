"""The report: ``python -m benchmarks.report`` measures, keeps the figures as JSON, and prints them.

Sections are measured by themselves and kept beside those measured before, each with the machine and date it belongs to.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import fastmlp as fm

from . import machine, scans, tables
from .measure import FULL, QUICK
from .peers import PEERS
from .workloads import WORKLOADS

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results.json"
SECTIONS = ("rows", *scans.SCANS)


def _measure_section(name: str, options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    fm.set_threads(None)  # the section before may have left one
    effort = QUICK if options.quick else FULL
    if name == "rows":
        from . import rows

        return rows.measure(options.rows, options.peers, effort, say)
    return scans.measure(name, effort, say)


def _listed(known: Iterable[str]) -> Callable[[str], list[str]]:
    """Return a parser of a comma-separated choice among `known`."""

    def parse(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"there is no {unknown[0]!r}; there are {', '.join(known)}")
        return names

    return parse


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter turns: a first impression")
    parser.add_argument("--rows", type=_listed(WORKLOADS), default=list(WORKLOADS), metavar="T1,S1", help="which workloads")
    parser.add_argument("--peers", type=_listed(PEERS), default=list(PEERS), metavar="torch,jax", help="which libraries")
    parser.add_argument(
        "--sections", type=_listed((*SECTIONS, "all")), default=["rows"], metavar="NAMES",
        help=f"what to measure: {', '.join(SECTIONS)}, or all (default: rows)",
    )  # fmt: skip
    parser.add_argument("--read", type=Path, metavar="FILE", help="measure nothing; show what a file holds")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help="where to keep the figures")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    options = parser.parse_args(argv)
    if "all" in options.sections:
        options.sections = list(SECTIONS)
    return options


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the sections asked for; each is kept as soon as it is there."""
    for name in options.sections:
        facts = machine.describe()
        print(f"{name}: {machine.sentence(facts)}", flush=True)
        if (facts["load"] or 0.0) > 0.5:
            print(f"Other work keeps this machine busy (load {facts['load']}): the figures will be unsteady.", flush=True)
        result = _measure_section(name, options, lambda line: print(line, flush=True))
        report = _read(options.out) | {name: {"machine": facts, "quick": options.quick, "result": result}}
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return {name: _read(options.out)[name] for name in options.sections}


def _failed(report: dict[str, Any]) -> bool:
    rows = report.get("rows", {}).get("result", {}).get("rows", {})
    return any("error" in cell for row in rows.values() for cell in row["peers"].values())


def main(argv: list[str] | None = None) -> int:
    """Measure or read, and show; returns 1 if a peer failed or disagreed."""
    options = _arguments(argv)
    if options.read:
        report = _read(options.read)
        if not report:
            print(f"{options.read} holds no figures.", file=sys.stderr)
            return 2
    else:
        machine.shed_handicaps("benchmarks.report")
        report = _measure(options)
    for name, section in report.items():
        if name == "rows":
            tables.show(section)
        else:
            scans.show(name, section)
    if options.readme and "rows" in report:
        tables.write_readme(report["rows"], ROOT / "README.md")
    return int(_failed(report))


if __name__ == "__main__":
    sys.exit(main())
