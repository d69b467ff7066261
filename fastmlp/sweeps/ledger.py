"""The ledger of a sweep: takes what comes of each group, journals it, and makes rows of it."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from .. import checks
from ..metrics import Metric
from .jobs import Group, Network
from .journal import Journal
from .progress import SweepBar
from .train import Done
from .work import badness

if TYPE_CHECKING:
    from ..network import MLP

__all__ = ["Ledger"]

_PLACE = ("round", "network", "part")
_NUMBERS = ("train_loss", "train_metric", "val_loss", "val_metric")


class Ledger:
    """What is known of each network.

    Parameters
    ----------
    rows : list of dict
        The result's rows, which it fills.
    networks : sequence of Network
    parts : int
        How many parts each network is trained on, one after another round.
    metric : Metric
    keep : int
        How many of the best networks are kept.
    last : int
        Number of the last round.
    journal : Journal or None

    Attributes
    ----------
    outcomes : dict
        What came of each network, by round, network and part.
    states : dict
        Networks to go on with in the next round, by network and part.
    kept : dict
        The best networks by their numbers.
    curves : list of dict
        For each row its loss curves.
    bar : SweepBar
        What is told of the state.
    """

    def __init__(
        self,
        rows: list[dict[str, Any]],
        networks: Sequence[Network],
        parts: int,
        metric: Metric,
        keep: int,
        last: int,
        journal: Journal | None,
    ) -> None:
        self.rows, self.networks, self.parts, self.metric = rows, networks, parts, metric
        self.keep, self.last, self.journal = keep, last, journal
        self.bar = SweepBar()
        self.outcomes: dict[tuple[int, int, int], dict[str, Any]] = {}
        self.states: dict[tuple[int, int], MLP] = {}
        self.kept: dict[int, MLP] = {}
        self.curves: list[dict[str, list[float]]] = [{} for _ in rows]
        self._best: float | None = None
        names = [f"train_{metric.name}", "val_loss", f"val_{metric.name}", *(f"fold{i + 1}" for i in range(parts) if parts > 1)]
        for row in rows:
            row |= {"seconds": math.nan, "epochs": 0, "train_loss": math.nan} | dict.fromkeys(names, math.nan)
            row |= {"stopped": "interrupted", "error": "interrupted"}

    def read(self) -> None:
        """Take what the journal has."""
        if self.journal is None:
            return
        for number, line in enumerate(self.journal.lines, 2):
            try:
                place, outcome = self._parsed(line)
            except (TypeError, ValueError) as error:
                raise self.journal.damaged(number, len(self.journal.lines) + 1, error) from error
            self.outcomes[place] = outcome
        for key, outcome in list(self.outcomes.items()):
            # What failed for want of memory, say, may work today; what diverged would diverge again.
            if outcome["error"] is not None and outcome["stopped"] != "diverged":
                del self.outcomes[key]
        if self.keep:
            self._find_files()

    def _parsed(self, line: dict[str, Any]) -> tuple[tuple[int, int, int], dict[str, Any]]:
        """Return round, network and part of a line of the journal, and the outcome that it holds."""
        for name in (*_PLACE, *_NUMBERS, "seconds", "epochs", "stopped", "error", "curves"):
            if name not in line:
                raise ValueError(f"it has no {name!r}")
        last = self.last, len(self.networks) - 1, self.parts - 1
        rung, network, part = (checks.integer(name, line[name], 0, most) for name, most in zip(_PLACE, last, strict=True))
        outcome: dict[str, Any] = {name: _number(name, line[name]) for name in (*_NUMBERS, "seconds")}
        outcome["epochs"] = checks.integer("epochs", line["epochs"], 0)
        outcome |= {name: line[name] for name in ("stopped", "error")}
        if not isinstance(line["stopped"], str) or not isinstance(line["error"], str | None):
            raise ValueError(f"'stopped' and 'error' are {line['stopped']!r} and {line['error']!r}")
        if not isinstance(line["curves"], dict) or not all(isinstance(curve, list) for curve in line["curves"].values()):
            raise ValueError("'curves' are no lists by name")
        outcome["curves"] = {name: [_number(name, value) for value in curve] for name, curve in line["curves"].items()}
        return (rung, network, part), outcome

    def show(self, networks: Sequence[Network], rung: int) -> None:
        """Write the rows of networks that had done a round before the sweep was started again."""
        for network in networks:
            self._write(network, rung)

    def lacks(self, group: Group) -> bool:
        """Return whether one of a group's networks has no outcome yet."""
        return any((group.rung, network.number, group.part) not in self.outcomes for network in group.networks)

    def take(self, group: Group, done: Done) -> None:
        """Take what came of a group: first the networks to be kept, then the journal, then the rows."""
        lines = []
        for network, outcome in zip(group.networks, done.outcomes, strict=True):
            if (group.rung, network.number, group.part) in self.outcomes:
                continue  # a group of which some were done already, before its process was killed
            self.outcomes[group.rung, network.number, group.part] = outcome
            named = {"network": network.number, "part": group.part, "round": group.rung}
            lines.append(named | _told(network) | outcome)
        for i, net in done.networks.items():
            if group.rung < self.last:
                self.states[group.networks[i].number, group.part] = net
            elif self.parts == 1:
                self._keep(group.networks[i], net)
        if self.journal is not None:
            self.journal.append(lines)
        for network in group.networks:
            self._write(network, group.rung)
        self.bar.update(group.cost, len(group.networks), self._words())

    def mean(self, rung: int, networks: Sequence[Network]) -> tuple[float, float]:
        """Return what is lower for better settings: their networks' mean metric and loss, infinite if one has none."""
        found = [self.outcomes[rung, network.number, part] for network in networks for part in range(self.parts)]
        pairs = [badness(outcome, self.metric) for outcome in found]
        return fmean(bad for bad, _ in pairs), fmean(loss for _, loss in pairs)

    def drop_all_but(self, alive: Sequence[Network]) -> None:
        """Note that of the networks of a round only these go on."""
        going = {number for network in alive for number in network.rows}
        for number, row in enumerate(self.rows):
            if number in going:  # until the next round is done, these are the numbers that it has
                row["stopped"] = "interrupted"
            elif row["error"] is None:
                row["stopped"] = "halving"

    # ---- rows

    def _write(self, network: Network, rung: int) -> None:
        """Write a network's rows, if all its parts are done."""
        found = [self.outcomes.get((rung, network.number, part)) for part in range(self.parts)]
        outcomes = [outcome for outcome in found if outcome is not None]
        if len(outcomes) < self.parts:
            return
        name = self.metric.name
        failed = [(i, outcome["error"]) for i, outcome in enumerate(outcomes) if outcome["error"] is not None]
        row: dict[str, Any] = {"seconds": sum(outcome["seconds"] for outcome in outcomes)}
        row["epochs"] = round(fmean(outcome["epochs"] for outcome in outcomes))
        for key in _NUMBERS:
            row[key.replace("metric", name)] = fmean(outcome[key] for outcome in outcomes)
        if self.parts > 1:
            row |= {f"fold{i + 1}": outcome["val_metric"] for i, outcome in enumerate(outcomes)}
        row["stopped"] = outcomes[failed[0][0] if failed else 0]["stopped"]
        row["error"] = None
        if failed:
            part, error = failed[0]
            row["error"] = error if self.parts == 1 else f"fold {part + 1}: {error}"
        for number in network.rows:
            self.rows[number] |= row
            self.curves[number] = outcomes[0]["curves"]
        value = row[f"val_{name}"]
        if not math.isnan(value):
            better = max if self.metric.higher_is_better else min
            self._best = value if self._best is None else better(self._best, value)

    def _words(self) -> str:
        return "" if self._best is None else f"best {self.metric.name} {self._best:.4g}"

    # ---- networks to keep

    def best(self) -> list[int]:
        """Return the numbers of the networks to keep, the best first: of those that were trained to the end."""
        ranks = self._ranks()
        return sorted(ranks, key=ranks.__getitem__)[: self.keep]

    def _ranks(self) -> dict[int, tuple]:
        """Return for each network that was trained to the end what is lower for better ones."""
        ranks = {}
        for network in self.networks:
            outcomes = [self.outcomes.get((self.last, network.number, part)) for part in range(self.parts)]
            good = [outcome for outcome in outcomes if outcome is not None and outcome["error"] is None]
            if len(good) == self.parts:
                mean = {key: fmean(outcome[key] for outcome in good) for key in ("val_metric", "val_loss")}
                ranks[network.number] = (*badness(mean, self.metric), network.order())
        return ranks

    def _keep(self, network: Network, net: Any) -> None:
        """Keep a network if it is among the best so far; those that are so no longer go."""
        best = set(self.best())
        if network.number in best:
            self.hold(network, net)
        for number in set(self.kept) - best:
            self.drop(number)

    def best_networks(self) -> tuple[MLP, ...]:
        """Return the networks that are kept, the best first."""
        return tuple(self.kept[number] for number in self.best() if number in self.kept)

    def hold(self, network: Network, net: MLP) -> None:
        """Keep a network, in a file too if there is a store."""
        self.kept[network.number] = net
        if self.journal is not None:
            path = self.file(network.number)
            path.parent.mkdir(exist_ok=True)
            net.save(path)

    def drop(self, number: int) -> None:
        """Keep a network no longer."""
        del self.kept[number]
        if self.journal is not None:
            self.file(number).unlink(missing_ok=True)

    def file(self, number: int) -> Path:
        """Return where a network is kept."""
        assert self.journal is not None
        return self.journal.folder / "networks" / f"{number}.safetensors"

    def _find_files(self) -> None:
        """Take the best networks from their files; those that have none are trained again."""
        from ..formats.safetensors import load

        for path in self.file(0).parent.glob("*.safetensors"):
            if path.is_dir():
                raise IsADirectoryError(
                    f"{path} is a folder, where a network's file belongs. Remove it, or pass another store."
                )
        for number in self.best():
            with contextlib.suppress(ValueError):
                self.kept[number] = load(self.file(number))
            if number not in self.kept and self.parts == 1:
                del self.outcomes[self.last, number, 0]

    def clear(self) -> None:
        """Delete the files of networks that are not kept, as a killed process may have left."""
        if self.journal is None or not self.keep:
            return
        folder = self.journal.folder / "networks"
        for name in os.listdir(folder) if folder.is_dir() else ():
            if name.endswith(".safetensors") and name.partition(".")[0] not in map(str, self.kept):
                (folder / name).unlink()


def _number(name: str, value: Any) -> float:
    """Return a number of the journal, where those that are not finite are words."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{name} is {value!r}, which is no number")
    return float(value)


def _told(network: Network) -> dict[str, Any]:
    """Return a network's setting for people who read a journal."""
    row = network.setting.row() | {"seed": network.seed}
    return {key: value if isinstance(value, (int, float, str, type(None))) else repr(value) for key, value in row.items()}
