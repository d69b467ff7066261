"""The networks of a sweep, and the groups of them that are trained in one piece of work, the longest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..schedules import Schedule
from .problem import Problem
from .space import Setting

__all__ = ["ALL", "Group", "Network", "groups", "networks"]

# In place of a part's number: all rows, as for the networks that are kept after a cross-validation.
ALL = -1
# Of more networks in a group, it would be long until news of it come.
MOST = 128
# So many groups for each worker, so that the last ones to end do not leave the others idle for long.
_GROUPS_PER_WORKER = 6
# What a step costs beside its arithmetic, in floating-point operations: a few hundred nanoseconds.
_STEP_FLOPS = 3_000


@dataclass(frozen=True)
class Network:
    """One network of the sweep.

    Attributes
    ----------
    number : int
        Its place among all of them.
    setting : Setting
    seed : int
    n_params, flops : int
        Its parameters, and the operations of a prediction.
    rows : tuple of int
        The rows of the result that it fills.
    """

    number: int
    setting: Setting
    seed: int
    n_params: int
    flops: int
    rows: tuple[int, ...]

    def cost(self, rows: int) -> int:
        """Return about how many floating-point operations an epoch of so many rows takes."""
        steps = -(-rows // (self.setting.batch_size or rows))
        return 3 * self.flops * rows + _STEP_FLOPS * steps


@dataclass(frozen=True)
class Group:
    """Networks that are trained together, on the rows of one part.

    Attributes
    ----------
    networks : tuple of Network
    part : int
        Number of the part, or ALL.
    rung, epochs : int
        Which round of the sweep it is, and how many epochs each network has behind it afterwards.
    cost : int
        About how many floating-point operations it takes.
    states : tuple or None
        The networks as they were after the round before; None trains them from the start.
    """

    networks: tuple[Network, ...]
    part: int
    rung: int
    epochs: int
    cost: int
    states: tuple[Any, ...] | None = None


def networks(problem: Problem, settings: Sequence[Setting], seeds: Sequence[int]) -> tuple[list[dict[str, Any]], list[Network]]:
    """Return the result's rows, still without numbers, and the networks that fill them."""
    rows: list[dict[str, Any]] = []
    places: dict[tuple, list[int]] = {}
    kinds: dict[tuple, Setting] = {}
    for setting in settings:
        plan = setting.plan(problem.X.shape[1], problem.n_outputs, problem.output)
        for seed in seeds:
            # Without hidden layers one network fills the rows of all widths.
            key = (*setting.key(), seed)
            places.setdefault(key, []).append(len(rows))
            kinds.setdefault(key, setting)
            row = setting.row()
            first = {name: row.pop(name) for name in ("width", "depth")} | {"seed": seed, "lr": row.pop("lr")}
            rows.append(first | row | {"n_params": plan.n_params, "flops": plan.flops()})
    found = [
        Network(i, kinds[key], key[-1], rows[where[0]]["n_params"], rows[where[0]]["flops"], tuple(where))
        for i, (key, where) in enumerate(places.items())
    ]
    return rows, found


def groups(
    tasks: Sequence[tuple[Network, int]], problem: Problem, rung: int, epochs: int, done: int, workers: int
) -> list[Group]:
    """Return groups of networks and parts, the longest first.

    Which networks share a group changes nothing about them, so groups are as large as the workers' balance allows.
    """
    alike: dict[tuple, list[tuple[int, Network]]] = {}
    for network, part in tasks:
        rows = len(problem.X) if part == ALL else problem.parts[part].n_train
        alike.setdefault(_kind(network, part), []).append((network.cost(rows) * (epochs - done), network))
    total = sum(cost for members in alike.values() for cost, _ in members)
    share = total / (_GROUPS_PER_WORKER * workers)
    found = []
    for (part, *_), members in alike.items():
        # Networks of one size stay together.
        members.sort(key=lambda member: (-member[0], member[1].number))
        start = 0
        while start < len(members):
            size = min(max(int(share / max(members[start][0], 1)), 1), MOST)
            taken = members[start : start + size]
            cost = sum(cost for cost, _ in taken)
            found.append(Group(tuple(network for _, network in taken), part, rung, epochs, cost))
            start += size
    return sorted(found, key=lambda group: -group.cost)


def _kind(network: Network, part: int) -> tuple:
    """Return what networks must share to be trained together."""
    setting = network.setting
    rate = getattr(setting.optimizer, "lr", None)
    return part, setting.batch_size, type(setting.optimizer), rate if isinstance(rate, Schedule) else None
