"""The table of a network's layers that ``summary()`` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .network import MLP

__all__ = ["layer_name", "table"]


def layer_name(net: MLP, number: int) -> str:
    """Return what people call a layer."""
    before = net.plan.first_dense
    return "output" if number == len(net.layers) - 1 else "embedding" if number < before else f"hidden {number + 1 - before}"


def table(net: MLP) -> str:
    """Return a line for each layer with its shape, activation, parameters and operations for one row, and the sums."""
    header = ("layer", "shape", "activation", "bias", "dropout", "parameters", "FLOPs a row")
    rows = [header]
    for number, dense in enumerate(net.layers):
        fan_in = net.plan.widths[number]
        rows.append((
            layer_name(net, number),
            f"{fan_in} → {dense.width}",
            f"{dense.activation}, parametric" if dense.parametric else str(dense.activation),
            "yes" if dense.bias else "no",
            f"{dense.dropout:g}" if dense.dropout else "",
            f"{net.plan.sizes[number]:,}",
            f"{2 * net.plan.products[number]:,}",
        ))  # fmt: skip
    rows.append(("sum", "", "", "", "", f"{net.n_params:,}", f"{net.flops():,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = []
    for row in rows:
        cells = [row[c].rjust(w) if c >= 5 else row[c].ljust(w) for c, w in enumerate(widths)]
        lines.append("  ".join(cells).rstrip())
    rule = "-" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], f"loss: {net.loss_spec.name}, {net.dtype}"])
