"""Loss and gradient of a 2-8-1 network on XOR, number by number: fastmlp's Values, its compiled tape, and micrograd."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.table import Table

from fastmlp import scalar

from .measure import Effort, contest

_X, _Y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [-1.0, 1.0, 1.0, -1.0]


def _mean_squared_error(model: Any) -> Any:
    total = (model(_X[0]) - _Y[0]) ** 2
    for x, y in zip(_X[1:], _Y[1:], strict=True):
        total = total + (model(x) - y) ** 2
    return total / 4


def _walk(model: Any) -> Any:
    """Build the graph and walk it, as a training step does."""
    loss = _mean_squared_error(model)
    model.zero_grad()
    loss.backward()
    return loss


def jobs() -> dict[str, Callable[[], Any]]:
    """Return the contestants; those of one kind compute the same loss and gradient, ReLU's with a linear output."""
    found: dict[str, Callable[[], Any]] = {}
    nothing = np.empty(0)
    for kind, output in (("relu", "identity"), ("tanh", "tanh")):
        mlp = scalar.MLP(2, [8, 1], kind, output, seed=0)
        f = scalar.compile(_walk(mlp), parameters=mlp.parameters())
        params = np.array([p.data for p in mlp.parameters()])
        value, grad = f.value_and_grad(nothing, params)
        np.testing.assert_allclose([p.grad for p in mlp.parameters()], grad, atol=1e-12)
        found[f"tape, {kind}"] = functools.partial(f.value_and_grad, nothing, params)
        found[f"Values, {kind}"] = functools.partial(_walk, mlp)
        if kind == "relu" and importlib.util.find_spec("micrograd"):
            from micrograd.nn import MLP

            peer = MLP(2, [8, 1])
            for theirs, ours in zip(peer.parameters(), mlp.parameters(), strict=True):
                theirs.data = ours.data
            np.testing.assert_allclose(_walk(peer).data, value, rtol=1e-12)
            np.testing.assert_allclose([p.grad for p in peer.parameters()], grad, atol=1e-12)
            found["micrograd, relu"] = functools.partial(_walk, peer)
    return found


def measure(effort: Effort, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure the contestants in turn."""
    found = jobs()
    say(f"scalars: {', '.join(found)}")
    best = contest(list(found.values()), 5 * effort.fewest)
    return {name: 1e6 * seconds for name, seconds in zip(found, best, strict=True)}


def table(result: dict[str, Any]) -> Table:
    """Return the figures as a table."""
    shown = Table(
        title="Loss and gradient of 2-8-1 on XOR, number by number", caption="goal: the tape ≥ 100 times as fast as Values"
    )
    for column in ("", "µs", "times the tape's"):
        shown.add_column(column, justify="right" if column else "left")
    for name, microseconds in result.items():
        tape = result[f"tape, {name.split(', ')[1]}"]
        shown.add_row(name, f"{microseconds:.2f}", f"{microseconds / tape:.1f}×")
    return shown
