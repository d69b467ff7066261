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
PICTURES = ROOT / "docs"
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
    parser.add_argument("--rows", type=_listed(WORKLOADS), metavar="T1,S1", help="which workloads (kept only with --out)")
    parser.add_argument("--peers", type=_listed(PEERS), metavar="torch,jax", help="which libraries (kept only with --out)")
    parser.add_argument(
        "--sections", type=_listed((*SECTIONS, "all")), default=["rows"], metavar="NAMES",
        help=f"what to measure: {', '.join(SECTIONS)}, or all (default: rows)",
    )  # fmt: skip
    parser.add_argument("--read", type=Path, metavar="FILE", help="measure nothing; show what a file holds")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to keep the figures, and pictures beside them")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    options = parser.parse_args(argv)
    if "all" in options.sections:
        options.sections = list(SECTIONS)
    part = options.rows is not None or options.peers is not None
    if options.readme and part:
        parser.error("--readme writes the whole table: leave --rows and --peers out")
    if options.readme and not options.read and "rows" not in options.sections:
        parser.error("--readme writes the table of the section rows: add it to --sections")
    if not options.out and not part:
        options.out = RESULTS  # which a part must not take the place of
    options.rows, options.peers = options.rows or list(WORKLOADS), options.peers or list(PEERS)
    if options.out and not options.read:
        try:
            _check_out(options.out)
        except (OSError, ValueError) as error:
            parser.error(f"{options.out} cannot take the figures ({error}): name another file by --out")
    return options


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _check_out(path: Path) -> None:
    """Raise OSError or ValueError if a report cannot be kept there, before it takes hours to measure one."""
    if not isinstance(_read(path), dict):
        raise ValueError("it holds something other than a report")
    new = not path.exists()
    with path.open("a", encoding="utf-8"):
        pass
    if new:
        path.unlink()


def _measure(options: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Measure the sections asked for, and keep each as soon as it is there; return them and whether all went well."""
    report: dict[str, Any] = {}
    well = True
    if not options.out:
        _say("A part of the rows or of the peers is shown, and not kept; --out FILE keeps it.")
    for name in options.sections:
        facts = machine.describe()
        _say(f"{name}: {machine.sentence(facts)}")
        if (facts["load"] or 0.0) > 0.5:
            _say(f"Other work keeps this machine busy (load {facts['load']}): the figures will be unsteady.")
        try:
            result = _measure_section(name, options, _say)
            report[name] = {"machine": facts, "quick": options.quick, "result": result}
            if options.out:
                kept = _read(options.out) | {name: report[name]}
                options.out.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
                scans.draw(name, result, PICTURES if options.out.resolve() == RESULTS.resolve() else options.out.parent)
        except Exception as error:  # one section must not take the others' figures with it
            _say(f"{name} fails: {error!r}")
            well = False
    return report, well


def _say(line: str) -> None:
    print(line, flush=True)


def _failed(report: dict[str, Any]) -> bool:
    rows = report.get("rows", {}).get("result", {}).get("rows", {})
    return any("error" in cell for row in rows.values() for cell in row["peers"].values())


def main(argv: list[str] | None = None) -> int:
    """Measure or read, and show; returns 1 if a section or a peer failed, or a peer disagreed."""
    options, well = _arguments(argv), True
    if options.read:
        report = _read(options.read)
        if not report:
            print(f"{options.read} holds no figures.", file=sys.stderr)
            return 2
    else:
        machine.shed_handicaps("benchmarks.report")
        report, well = _measure(options)
    for name, section in report.items():
        if name == "rows":
            tables.show(section)
        else:
            scans.show(name, section)
    if options.readme and "rows" in report:
        tables.write_readme(report["rows"], ROOT / "README.md")
    return int(_failed(report) or not well)


if __name__ == "__main__":
    sys.exit(main())
