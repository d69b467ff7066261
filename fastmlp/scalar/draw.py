"""Pictures of a Value's graph, as text for Graphviz, and as SVG where Graphviz is installed."""

from __future__ import annotations

import shutil
import subprocess

from .value import Value, topological

__all__ = ["Dot", "draw"]


class Dot(str):
    """A graph in Graphviz's language DOT; a notebook shows it as a picture where Graphviz is installed."""

    def svg(self) -> str:
        """Return the picture as SVG.

        Raises
        ------
        RuntimeError
            If the program `dot` of Graphviz is not installed.
        """
        program = shutil.which("dot")
        if program is None:
            raise RuntimeError(
                "an SVG needs Graphviz's program dot: install it (apt install graphviz, brew install graphviz), or paste "
                "this text into an online viewer of Graphviz."
            )
        done = subprocess.run([program, "-Tsvg"], input=self, capture_output=True, text=True, encoding="utf-8", check=True)
        return done.stdout

    def _repr_svg_(self) -> str | None:
        """Return the picture for a notebook; None, so that it shows the text, without Graphviz."""
        return self.svg() if shutil.which("dot") else None


def draw(value: Value) -> Dot:
    r"""Return the graph of a Value as DOT text: each number with its gradient, each operation, and what goes into what.

    Parameters
    ----------
    value : Value
        The result whose graph is drawn.

    Returns
    -------
    Dot
        The text, a str; its method `svg` renders it where Graphviz is installed.

    Raises
    ------
    TypeError
        If it is no Value.

    Examples
    --------
    >>> from fastmlp.scalar import Value, draw
    >>> x = Value(3.0, label="x")
    >>> print(draw(x.relu()))
    digraph {
      rankdir=LR; node [shape=box, fontname="Helvetica", fontsize=10];
      v0 [label="x\ndata 3\ngrad 0"];
      v1 [label="data 3\ngrad 0"];
      o1 [label="relu", shape=circle];
      v0 -> o1;
      o1 -> v1;
    }
    """
    order = topological(value)
    number = {id(node): n for n, node in enumerate(order)}
    lines = ['digraph {\n  rankdir=LR; node [shape=box, fontname="Helvetica", fontsize=10];']
    for n, node in enumerate(order):
        name = node.label.replace("\\", "\\\\").replace('"', '\\"') + "\\n" if node.label else ""
        lines.append(f'  v{n} [label="{name}data {node.data:.4g}\\ngrad {node.grad:.4g}"];')
        if node.op:
            lines.append(f'  o{n} [label="{node.op}", shape=circle];')
            lines += [f"  v{number[id(parent)]} -> o{n};" for parent in node.parents]
            lines.append(f"  o{n} -> v{n};")
    return Dot("\n".join([*lines, "}"]))
