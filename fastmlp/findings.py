"""What a diagnosis says: findings, each with its figure and its remedy, and reports of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Finding", "Report"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes
    ----------
    kind : str
        "inputs", "targets", "sample_weight", "parameters", "pairing", "dead units", "saturated units", "vanishing gradient",
        "exploding gradient", "stuck outputs", "learning rate too high", "learning rate too low" or "flat loss".
    layer : int or None
        Place in ``net.layers``, if it is one layer's.
    figure : float or None
        The number that it was judged by; None for data of the wrong kind or shape, which `text` describes.
    text : str
        What is wrong.
    remedy : str
        What to try.
    """

    kind: str
    layer: int | None
    figure: float | None
    text: str
    remedy: str

    def __str__(self) -> str:
        """Return it in one line."""
        where = "" if self.layer is None else f" (layer {self.layer})"
        return f"{self.kind}{where}: {self.text} {self.remedy}"


@dataclass(frozen=True, repr=False)
class Report:
    """What :meth:`fastmlp.MLP.diagnose` found; false if that is nothing.

    Attributes
    ----------
    findings : tuple of Finding
        Causes before what follows from them: data, loss, units, gradients, learning rate.
    """

    findings: tuple[Finding, ...] = ()

    def __len__(self) -> int:
        """Return the number of findings."""
        return len(self.findings)

    def __iter__(self) -> Iterator[Finding]:
        """Return the findings one by one."""
        return iter(self.findings)

    def __getitem__(self, place: int) -> Finding:
        """Return one finding."""
        return self.findings[place]

    def __str__(self) -> str:
        """Return a line for each finding."""
        return "\n".join(map(str, self.findings)) or "Nothing found."

    __repr__ = __str__
