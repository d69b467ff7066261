"""Measurements across the rows: one table of them, each with its way to measure and its way to show.

``python -m benchmarks.report --sections all`` runs them, and the rows.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import machine
from .measure import Effort

# Name -> module, suffix of its functions `measure` and `table`.
SCANS = {
    "start": ("startup", ""),
    "functions": ("functions", ""),
    "formulas": ("formulas", ""),
    "products": ("products", ""),
    "threads": ("comparisons", "_threads"),
    "choices": ("comparisons", "_choices"),
    "memory": ("memory", ""),
    "widths": ("widths", ""),
    "populations": ("populations", ""),
    "estimators": ("estimators", ""),
    "scalars": ("scalars", ""),
}
# Name -> the file of its picture, which the module's `plot` draws.
PICTURES = {"widths": "width-scan.png"}


def _function(name: str, what: str) -> Callable[..., Any]:
    module, suffix = SCANS[name]
    return getattr(importlib.import_module(f"{__package__}.{module}"), what + suffix)


def measure(name: str, effort: Effort, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure one of them."""
    return _function(name, "measure")(effort, say)


def draw(name: str, result: dict[str, Any], folder: Path) -> None:
    """Draw the picture of one of them, if it has one."""
    if name in PICTURES:
        _function(name, "plot")(result, folder / PICTURES[name])


def show(name: str, section: dict[str, Any]) -> None:
    """Print one of them, and what it was measured on."""
    from rich.console import Console

    console = Console(width=max(Console().width, 110))
    console.print(_function(name, "table")(section["result"]), machine.sentence(section["machine"]), sep="\n")
