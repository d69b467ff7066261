"""The networks of a sweep, and the groups of them that are trained in one piece of work, the longest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from ..optimizers import Stepping
from .problem import Problem
from .space import Setting

if TYPE_CHECKING:
    from ..network import MLP

__all__ = ["ALL", "Group", "Network", "groups", "networks"]

# In place of a part's number: all rows, as for the networks that are kept after a cross-validation.
ALL = -1
# A group has whole packs of a population where it can, and not more networks than bring news now and then.
PACK, MOST = 16, 128
# Beyond so many parameters, a population would train its networks one by one, and they are better spread over workers.
LARGE = 4096
# About so many groups, so that the last ones to end do not leave other workers idle for long.
_GROUPS = 64
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

    @property
    def together(self) -> bool:
        """Whether it is trained in a population; by itself alone, so that results do not depend on others."""
        optimizer = self.setting.optimizer
        return self.n_params < LARGE and isinstance(optimizer, Stepping) and not (optimizer.layered or optimizer.scheduled)

    def order(self) -> tuple[int, int]:
        """Return what decides between equally good networks."""
        return self.n_params, self.number

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
    together : bool
        Whether they are trained as a population; else it is one network.
    """

    networks: tuple[Network, ...]
    part: int
    rung: int
    epochs: int
    cost: int
    states: tuple[Any, ...] | None = None
    together: bool = True

    def one(self, i: int) -> Group:
        """Return a group of one of its networks."""
        states = None if self.states is None else (self.states[i],)
        return replace(self, networks=(self.networks[i],), states=states)


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
    tasks: Sequence[tuple[Network, int]],
    problem: Problem,
    rung: int,
    epochs: int,
    states: Mapping[tuple[int, int], MLP],
) -> list[Group]:
    """Return groups of networks and parts, the longest first.

    Which networks share a pack may change the last bits of their results. So groups follow from the tasks and states alone:
    neither from their order, nor from the number of workers, nor from which tasks of a round are done already.

    Parameters
    ----------
    tasks : sequence of (Network, part)
    problem : Problem
    rung, epochs : int
        The round, and the epochs that networks have behind them after it.
    states : mapping
        Networks as they were after the round before, by number and part. One that is not there is trained from the start,
        in packs of this round: what a sweep that was interrupted knew of it is gone, and so may be its last bits.
    """
    alike: dict[tuple, list[tuple[int, Network]]] = {}
    for network, part in tasks:
        rows = len(problem.X) if part == ALL else problem.parts[part].n_train
        state = states.get((network.number, part))
        done = len(state.history) if state is not None and state.history is not None else 0
        alike.setdefault((part, done, *_kind(network)), []).append((network.cost(rows) * (epochs - done), network))
    total = sum(cost for members in alike.values() for cost, _ in members)
    share = total / _GROUPS
    found = []
    for (part, done, *_), members in alike.items():
        # Networks of one architecture stay together.
        members.sort(key=lambda member: (-member[0], repr(member[1].setting.key()), member[1].seed))
        together = members[0][1].together
        start = 0
        while start < len(members):
            size = min(max(int(share / members[start][0]) // PACK * PACK, PACK), MOST) if together else 1
            taken = members[start : start + size]
            cost = sum(cost for cost, _ in taken)
            chosen = tuple(network for _, network in taken)
            before = tuple(states[network.number, part] for network in chosen) if done else None
            found.append(Group(chosen, part, rung, epochs, cost, before, together))
            start += size
    # The longest first, so that no long one is left for the end.
    return sorted(found, key=lambda group: -group.cost)


def _kind(network: Network) -> tuple:
    """Return what networks must share to be trained together."""
    optimizer = network.setting.optimizer
    # Numbers may differ between the networks of a population, and nothing else may.
    rest = tuple(
        None if isinstance(value, float) else value for value in (getattr(optimizer, field.name) for field in fields(optimizer))
    )
    rest += tuple(getattr(optimizer, name, None) is None for name in ("clip_norm", "clip_value"))
    return network.together, network.setting.batch_size, type(optimizer), optimizer.slots, rest
