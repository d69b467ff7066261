"""The table of a network's layers that ``summary()`` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .network import MLP

__all__ = ["table"]


def table(net: MLP) -> str:
    """Return a line for each layer with its shape, activation, parameters and operations for one row, and the sums."""
    header = ("layer", "shape", "activation", "bias", "dropout", "parameters", "FLOPs a row")
    rows = [header]
    for number, dense in enumerate(net.layers):
        fan_in = net.plan.widths[number]
        rows.append((
            "output" if number == len(net.layers) - 1 else f"hidden {number + 1}",
            f"{fan_in} → {dense.width}",
            f"{dense.activation}, parametric" if dense.parametric else str(dense.activation),
            "yes" if dense.bias else "no",
            f"{dense.dropout:g}" if dense.dropout else "",
            f"{net.plan.sizes[number]:,}",
            f"{2 * fan_in * dense.width:,}",
        ))  # fmt: skip
    rows.append(("sum", "", "", "", "", f"{net.n_params:,}", f"{net.flops():,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = []
    for row in rows:
        cells = [row[c].rjust(w) if c >= 5 else row[c].ljust(w) for c, w in enumerate(widths)]
        lines.append("  ".join(cells).rstrip())
    rule = "-" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], f"loss: {net.loss_spec.name}, {net.dtype}"])
