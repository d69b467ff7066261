"""A table for terminals, which has room for its most important columns in narrow ones too."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["FittingTable"]

# Where a cell may be wrapped: a schedule between its arguments, but no mean ± deviation.
_SPACE = re.compile(r"(?<!±) (?!±)")
_BETWEEN = 2  # spaces, between two columns


class FittingTable:
    """What ``rich.print`` shows as a table, of as many whole columns as there is room for; it says which it leaves out.

    Parameters
    ----------
    columns : dict of str to list of str
        The cells of each column by its name. The first row is bold.
    spare : sequence of str
        Names of columns that may be left out, the first one first.
    title, caption : str or None
    """

    def __init__(
        self, columns: Mapping[str, Sequence[str]], spare: Sequence[str], title: str | None = None, caption: str | None = None
    ) -> None:
        self.columns, self.spare, self.title, self.caption = dict(columns), tuple(spare), title, caption

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        """Yield what a console of this width shows."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        names, left_out, breaks = list(self.columns), [], " "
        if self._width(names, breaks) > options.max_width:
            breaks = "\n"  # names of several words are written one below the other
        for name in self.spare:
            if self._width(names, breaks) <= options.max_width:
                break
            names.remove(name)
            left_out.append(name)
        caption = " ".join(filter(None, (f"No room for {', '.join(left_out)}." if left_out else "", self.caption)))
        title = Text(self.title, "table.title") if self.title else None
        below = Text(caption, "table.caption") if caption else None
        table = Table(
            title=title, caption=below, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False,
            padding=(0, _BETWEEN - 1, 0, 0),
        )  # fmt: skip
        for name in names:
            whole = not any(map(_SPACE.search, self.columns[name]))
            least = self._width([name], breaks)
            table.add_column(
                Text(name.replace(" ", breaks)), justify="right", vertical="bottom", no_wrap=whole, min_width=least
            )
        for number, row in enumerate(zip(*(self.columns[name] for name in names), strict=True)):
            table.add_row(*map(Text, row), style="bold" if number == 0 else None)
        yield table

    def _repr_mimebundle_(self, include: Sequence[str], exclude: Sequence[str], **_: Any) -> dict[str, str]:
        """Return what a notebook shows."""
        from rich.jupyter import JupyterMixin

        return JupyterMixin._repr_mimebundle_(self, include, exclude)

    def _width(self, names: Sequence[str], breaks: str) -> int:
        """Return how wide columns must be side by side."""
        width = -_BETWEEN
        for name in names:
            words = itertools.chain(name.replace(" ", breaks).split("\n"), *map(_SPACE.split, self.columns[name]))
            width += _BETWEEN + max(map(len, words))
        return width
