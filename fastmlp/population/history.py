"""PopulationHistory: what a training was like, epoch by epoch and network by network."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..errors import counted, shown
from ..history import History

__all__ = ["PopulationHistory", "network_number"]


def network_number(i: Any, size: int, several: str) -> int:
    """Return a network's number, counted from the end if it is negative; `several` says what to do for more than one."""
    if isinstance(i, slice) or np.ndim(i):
        raise TypeError(f"a population gives one network by its number; got {shown(i)}. {several}")
    i = checks.integer("the number of the network", i)
    if not -size <= i < size:
        raise IndexError(f"the number of the network must be from {-size} to {size - 1}; got {i}.")
    return i % size


@dataclass(repr=False, eq=False)
class PopulationHistory:
    """Curves of one or more calls of ``fit``, one column for each network, and how the last call ended for each.

    As in a population, ``len(history)`` is the number of networks, and ``history[i]`` the :class:`fastmlp.History` of network
    i; ``len(history.loss)`` is the number of epochs.

    Attributes
    ----------
    curves : dict of str to (epochs, size) array
        "loss", and where there were such data and metrics "val_loss", "<metric>" and "val_<metric>", as in
        :class:`fastmlp.History`; NaN where a network had stopped and others went on.
    seconds : float
        Time spent in ``fit``.
    stopped : list of str
        Why the last call ended for each network: "epochs", "early stopping", "callback", "diverged", "interrupted" or
        "failed".
    best_epoch : (size,) int64 array
        The best epoch of the last call with early stopping, its place in the curves, which go over all calls; -1 for none.

    Examples
    --------
    >>> import numpy as np
    >>> import fastmlp as fm
    >>> history = fm.PopulationHistory(2)
    >>> history.add({"loss": np.array([[0.7, 0.6]])})
    >>> history.loss.shape, len(history), history[1].loss
    ((1, 2), 2, [0.6])

    The network with the least loss, if some stopped before others, so that the last row has NaN, which ``argmin`` would take:

    >>> history.add({"loss": np.array([[0.3, np.nan]])})
    >>> int(np.nanmin(history.loss, axis=0).argmin())
    0
    """

    size: int
    curves: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    seconds: float = 0.0
    stopped: list[str] = field(default_factory=list)
    best_epoch: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        """Make room for each network, and for curves in memory of their own: `add` writes behind their ends."""
        self.curves = {name: np.array(curve, np.float64) for name, curve in self.curves.items()}
        self.stopped = self.stopped or [""] * self.size
        if self.best_epoch.size == 0:
            self.best_epoch = np.full(self.size, -1, np.int64)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore what pickling kept, in memory of its own."""
        curves = {name: np.array(curve) for name, curve in state["curves"].items()}
        self.__dict__.update(state, curves=curves, best_epoch=np.array(state["best_epoch"]))

    def __len__(self) -> int:
        """Return the number of networks."""
        return self.size

    def __iter__(self) -> Iterator[History]:
        """Return each network's history in turn."""
        return (self[i] for i in range(self.size))

    def __repr__(self) -> str:
        """Return the number of networks and epochs, the curves' names and what ended the trainings in one line."""
        ends = ", ".join(f"{count} x {why}" for why, count in Counter(self.stopped).items() if why)
        parts = (
            f"PopulationHistory of {counted(self.size, 'network')}, {counted(len(self.loss), 'epoch')}",
            ", ".join(self.curves),
            ends,
        )
        return f"<{'; '.join(filter(None, parts))}>"

    @property
    def loss(self) -> NDArray[np.float64]:
        """Mean training loss, (epochs, size)."""
        return self.curves.get("loss", np.empty((0, self.size)))

    @property
    def val_loss(self) -> NDArray[np.float64]:
        """Loss on the validation data, (epochs, size), or (0, size) without such data."""
        return self.curves.get("val_loss", np.empty((0, self.size)))

    @property
    def metrics(self) -> dict[str, NDArray[np.float64]]:
        """Each metric, (epochs, size), on the training data under its name, on the validation data as ``val_<name>``."""
        return {name: curve for name, curve in self.curves.items() if name not in ("loss", "val_loss")}

    def reserve(self, epochs: int) -> None:
        """Make room for more epochs of losses, so that adding them copies nothing else."""
        total = len(self.loss) + epochs
        self.curves["loss"] = self._room("loss", total, total)[: len(self.loss)]

    def _room(self, name: str, epochs: int, size: int) -> NDArray[np.float64]:
        """Return the memory that a curve lies in; if that has no room for so many epochs, other memory for `size` of them."""
        curve = self.curves.get(name, np.empty((0, self.size)))
        room = curve.base
        if room is None or len(room) < epochs:
            room = np.empty((size, self.size))
            room[: len(curve)] = curve
        return room

    def add(self, rows: Mapping[str, NDArray[np.float64]]) -> None:
        """Add epochs to each curve: (epochs, size) arrays by name, of which "loss" is one."""
        after = len(self.loss) + len(rows["loss"])
        for name in {**self.curves, **rows}:
            new = rows.get(name, np.empty((0, self.size)))
            old = len(self.curves.get(name, ()))
            room = self._room(name, after, 2 * after)
            room[old : after - len(new)] = math.nan
            room[after - len(new) : after] = new
            self.curves[name] = room[:after]

    def cut(self, epochs: int) -> None:
        """Forget all but the first `epochs` epochs."""
        self.curves = {name: curve[:epochs].copy() for name, curve in self.curves.items()}

    def take(self, networks: NDArray[np.int64]) -> PopulationHistory:
        """Return the history of some of the networks."""
        curves = {name: curve[:, networks].copy() for name, curve in self.curves.items()}
        stopped = [self.stopped[i] for i in networks]
        return PopulationHistory(len(networks), curves, self.seconds, stopped, self.best_epoch[networks])

    def __getitem__(self, network: int) -> History:
        """Return one network's history, without the epochs in which it had stopped and others went on."""
        network = network_number(network, self.size, "For several of them take columns, as of history.loss[:, 2:5].")
        trained = np.isfinite(self.loss[:, network])
        own = {name: curve[trained[: len(curve)], network].tolist() for name, curve in self.curves.items()}
        best = int(self.best_epoch[network])
        return History(
            loss=own.pop("loss", []),
            val_loss=own.pop("val_loss", []),
            metrics=own,
            seconds=self.seconds,
            stopped=self.stopped[network],
            best_epoch=int(trained[:best].sum()) if best >= 0 else None,
        )
