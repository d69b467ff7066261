"""Results as tables: for a terminal, and for the README."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import machine
from .peers import PEERS
from .workloads import WORKLOADS

BEGIN, END = "<!-- benchmark table -->", "<!-- end -->"
COMMAND = "python -m benchmarks.report --readme"


def _number(value: float) -> str:
    """Three digits."""
    if value >= 999.5:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def _columns(rows: dict[str, Any]) -> list[str]:
    return [name for name in PEERS if any(name in row["peers"] for row in rows.values())]


def _cell(row: dict[str, Any], peer: str, mark: str) -> str:
    cell = row["peers"].get(peer)
    if cell is None:
        return "–"
    if "error" in cell:
        return "fails"
    # Our time times the ratio, since the peer's own median may be of a moment when the machine was faster or slower.
    text = f"{_number(row['us'] * cell['ratio'])} ({_number(cell['ratio'])}×)"
    return f"{mark}{text}{mark}" if peer == row["best"] else text


def _against_best(row: dict[str, Any]) -> str:
    return f"{_number(row['peers'][row['best']]['ratio'])}×" if row["best"] else "–"


def _cells(name: str, row: dict[str, Any], peers: list[str], mark: str) -> list[str]:
    workload = WORKLOADS[name]
    return [
        name,
        workload.title,
        _number(row["us"]),
        *(_cell(row, peer, mark) for peer in peers),
        _against_best(row),
        f"{100 * row['of_ceiling']:.0f}%",
    ]


def _header(peers: list[str]) -> list[str]:
    return ["", "workload", "fastmlp", *(PEERS[name].label for name in peers), "against the best", "of the ceiling"]


def ceiling_sentence(ceiling: dict[str, dict[str, float]], cores: int) -> str:
    """Return the ceiling in one line."""
    single, double = ceiling["float32"], ceiling["float64"]
    return (
        f"The ceiling is the register tile on operands in L1, measured in the same run: {single['one']:.0f} GFLOP/s in "
        f"float32 on one thread and {single['all']:.0f} on all {cores}; {double['one']:.0f} and {double['all']:.0f} in float64."
    )


def markdown(section: dict[str, Any]) -> str:
    """Return the table of a report's section "rows" as the README shows it."""
    facts, result = section["machine"], section["result"]
    peers = _columns(result["rows"])
    header = _header(peers)
    lines = ["| " + " | ".join(header) + " |", "|---|---|" + "--:|" * (len(header) - 2)]
    lines += ["| " + " | ".join(_cells(name, row, peers, "**")) + " |" for name, row in result["rows"].items()]
    return "\n".join(
        [
            "Microseconds per training step or call: fastmlp's median, and for others that times the ratio in brackets, the",
            "median of paired runs. Everybody does the same steps from the same parameters, in float32 unless the row says",
            "otherwise, on all cores; where a library was faster on one thread, that counts. JAX uses as many as it wants to.",
            "",
            *lines,
            "",
            ceiling_sentence(result["ceiling"], facts["cores"]),
            machine.sentence(facts),
            f"`{COMMAND}{' --quick' if section['quick'] else ''}` made this table.",
        ]
    )


def write_readme(section: dict[str, Any], path: Path) -> None:
    """Put the table between its markers in the README.

    Raises
    ------
    ValueError
        If the file has no such markers.
    """
    text = path.read_text(encoding="utf-8")
    begin, end = text.find(BEGIN), text.find(END)
    if begin < 0 or end < begin:
        raise ValueError(f"{path} has no place for the table: put the lines {BEGIN} and {END} where it belongs.")
    path.write_text(f"{text[: begin + len(BEGIN)]}\n\n{markdown(section)}\n\n{text[end:]}", encoding="utf-8")


def show(section: dict[str, Any]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    facts, result = section["machine"], section["result"]
    peers = _columns(result["rows"])
    table = Table(title="µs per step or call (times fastmlp's)", caption="bold: the best peer", row_styles=["", "dim"])
    header = _header(peers)
    for n, title in enumerate(header):
        table.add_column(title, justify="left" if n < 2 else "right", no_wrap=n != 1)
    for name, row in result["rows"].items():
        cells = _cells(name, row, peers, "")
        if row["best"]:
            at = 3 + peers.index(row["best"])
            cells[at] = f"[bold]{cells[at]}[/bold]"
        cells[-2] += f" of {WORKLOADS[name].goal:g}×"
        table.add_row(*cells)
    console = Console(width=max(Console().width, 60 + 17 * len(header)))
    console.print(table)
    console.print(ceiling_sentence(result["ceiling"], facts["cores"]), machine.sentence(facts), sep="\n")
