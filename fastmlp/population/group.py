"""Group: networks of a population that are worked on side by side, a row of every array each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import engine, initializers
from ..network import MLP
from ..optimizers import Optimizer, Stepping
from ..plan import Plan, aligned_copies, aligned_zeros
from ..reference import ids
from ..state import SEED_MASK
from .padding import places_in, widened

__all__ = ["Copies", "Group", "Kept", "bytes_of_one"]


def bytes_of_one(plan: Plan, dtype: np.dtype, slots: int = 0) -> int:
    """Return the bytes of a network's rows in a group's arrays, with so many of an optimizer's vectors."""
    settings = ids.N_INTS + ids.N_REALS + ids.LAYER_BLOCKS * plan.n_layers
    return (1 + slots) * plan.n_params * dtype.itemsize + 8 * settings


class Kept:
    """A copy of some networks' parameters, optimizer states and counters."""

    def __init__(self, group: Group, rows: NDArray[np.int64]) -> None:
        self.rows = rows
        self.arrays = [array[rows] for array in group.arrays]
        self.optimizers = [group.optimizers[i] for i in rows]

    def restore(self, group: Group, places: NDArray[np.int64]) -> None:
        """Put back the networks that stand at these places of the copy."""
        slots = self.arrays[1]
        if slots.shape[1] != group.slots.shape[1]:  # another optimizer has been at work since
            group.slots = aligned_zeros((len(group), *slots.shape[1:]), group.dtype)
        for array, copy in zip(group.arrays, self.arrays, strict=True):
            array[self.rows[places]] = copy[places]
        for i in places:
            group.optimizers[self.rows[i]] = self.optimizers[i]


class Copies:
    """What several epochs in one call left of some networks, each of them: room for it, which the engine fills.

    Attributes
    ----------
    rows : (m,) array
        The networks.
    params : (epochs, m, P) array
    slots, powers : (epochs, m, S, P) and (epochs, m, 2) arrays
        What else a network needs to go on from there; of no epochs if none will have to.
    """

    def __init__(self, group: Group, rows: NDArray[np.int64], epochs: int, to_go_on: bool) -> None:
        m, whole = len(rows), epochs if to_go_on else 0
        self.rows, self.params = rows, np.empty((epochs, m, group.plan.n_params), group.dtype)
        self.slots, self.powers = np.empty((whole, m, *group.slots.shape[1:]), group.dtype), np.empty((whole, m, 2))

    def go_back(self, group: Group, places: NDArray[np.int64], epochs: NDArray[np.int64], steps: int) -> None:
        """Leave the networks at these places as they were after these epochs, of so many steps, in the call just over."""
        rows, after = self.rows[places], len(self.params) - 1 - epochs
        # Sums over an epoch, which reals holds too, begin anew with the next one.
        group.params[rows], group.slots[rows] = self.params[epochs, places], self.slots[epochs, places]
        group.reals[rows[:, np.newaxis], [ids.BETA1_POWER, ids.BETA2_POWER]] = self.powers[epochs, places]
        group.ints[rows, ids.EPOCH] -= after
        group.ints[rows, ids.STEP] -= after * steps


class Group:
    """Networks of one architecture, or of several that are embedded in a wider one.

    Attributes
    ----------
    prototypes : list of MLP
        For each network one of its architecture and options; several may share one.
    seeds : list of int
    plan : Plan
        The one that all are worked on in.
    places : list of arrays
        Where each network's parameters lie in its row.
    params : (size, P) array
    ints, reals, slots : (size, ·) arrays
        Each network's row as in :class:`fastmlp.state.TrainingState`.
    """

    def __init__(self, prototypes: Sequence[MLP], seeds: Sequence[int], shuffle_seed: int) -> None:
        self.prototypes, self.seeds = list(prototypes), list(seeds)
        first = self.prototypes[0]
        self.plan, self.dtype = first.plan, first.dtype
        if any(net.plan.widths != first.plan.widths for net in self.prototypes):
            self.plan = widened(self.prototypes)
        rows: dict[int, list[int]] = {}
        found = {self.plan.widths: np.arange(self.plan.n_params)}
        for i, net in enumerate(self.prototypes):
            rows.setdefault(id(net), []).append(i)
            if net.plan.widths not in found:
                found[net.plan.widths] = places_in(net.plan, self.plan)
        self.places = [found[net.plan.widths] for net in self.prototypes]
        size = len(self.seeds)
        self.params = aligned_zeros((size, self.plan.n_params), self.dtype)
        self.ints = np.stack([net._state.ints for net in self.prototypes])
        settings = ids.N_REALS + ids.LAYER_BLOCKS * self.plan.n_layers  # and no scales of inputs
        self.reals = np.stack([net._state.reals[:settings] for net in self.prototypes])
        self.reals[:, ids.LOSS_PARAM] = self.prototypes[0].loss_spec.parameter  # without the limit of an estimator's network
        self.slots = aligned_zeros((size, 0, self.plan.n_params), self.dtype)
        self.optimizers: list[Optimizer | None] = [None] * size
        self.ints[:, ids.SHUFFLE_SEED] = shuffle_seed & SEED_MASK
        self.ints[:, ids.SEED] = [seed & SEED_MASK for seed in self.seeds]
        for own in rows.values():
            net, seeds = self.prototypes[own[0]], [self.seeds[i] for i in own]
            places = None if net.plan.widths == self.plan.widths else found[net.plan.widths]
            initializers.initialize_each(net.plan, net.layers, seeds, self.params, own, places)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore what pickling kept, in memory of its own: joblib may have handed out read-only files."""
        self.__dict__.update(state, **aligned_copies({name: state[name] for name in ("params", "slots", "ints", "reals")}))

    def __len__(self) -> int:
        """Return the number of networks."""
        return len(self.seeds)

    @property
    def arrays(self) -> tuple[NDArray, ...]:
        """All that a training changes."""
        return self.params, self.slots, self.ints, self.reals

    def network(self, i: int) -> MLP:
        """Return network i as one of its own, which goes on training from where it is."""
        net = self.prototypes[i].copy()
        net.seed = self.seeds[i]
        own = self.places[i]
        net.params[...] = self.params[i, own]
        state = net._state
        state.reseed(net.seed)
        state.ints[...], state.reals = self.ints[i], self.reals[i].copy()
        state.optimizer = optimizer = self.optimizers[i]
        state.slots = aligned_zeros((0 if optimizer is None else optimizer.slots, len(own)), self.dtype)
        state.slots[...] = self.slots[i][: len(state.slots), own]
        return net

    def take(self, rows: NDArray[np.int64]) -> Group:
        """Return a group of some of the networks, with copies of their arrays."""
        part = Group.__new__(Group)
        part.prototypes, part.seeds = [self.prototypes[i] for i in rows], [self.seeds[i] for i in rows]
        part.plan, part.dtype = self.plan, self.dtype
        part.places = [self.places[i] for i in rows]
        part.params, part.slots, part.ints, part.reals = (array[rows] for array in self.arrays)
        part.optimizers = [self.optimizers[i] for i in rows]
        return part

    def go_on_from(self, nets: Sequence[MLP]) -> None:
        """Take over the state of each network's optimizer, unless that has scales of inputs, which no population has."""
        states = [net._state for net in nets]
        self.optimizers = [None if one.optimizer is None or one.optimizer.scales else one.optimizer for one in states]
        most = max(len(state.slots) for state in states)
        self.slots = aligned_zeros((len(nets), most, self.plan.n_params), self.dtype)
        for slots, own, state, optimizer in zip(self.slots, self.places, states, self.optimizers, strict=True):
            if optimizer is not None:
                slots[: len(state.slots), own] = state.slots

    def use(self, optimizer: Optimizer) -> None:
        """Take an optimizer's settings; a network's state starts anew unless its optimizer before was of the same kind."""
        if optimizer.layered:
            raise ValueError(
                "a population has one learning rate for all of a network. Leave out weight_factor, bias_factor, alpha_factor, "
                "ntk and scale_factor, or train networks of fm.MLP one by one."
            )
        if isinstance(optimizer, Stepping) and optimizer.scheduled:
            raise ValueError(
                f"weight_decay={optimizer.weight_decay!r} is a schedule, but each network of a population has one weight decay "
                "for all steps. Pass a number, or one for each network, or train networks of fm.MLP one by one."
            )
        optimizers = optimizer.each(len(self))
        most, before = max(one.slots for one in optimizers), self.slots
        if before.shape[1] != most:
            self.slots = aligned_zeros((len(self), most, self.plan.n_params), self.dtype)
            self.slots[:, : before.shape[1]] = before[:, :most]
        for i, (one, other) in enumerate(zip(optimizers, self.optimizers, strict=True)):
            if one is not other and not one.same_state_as(other):
                self.slots[i] = 0.0
                self.reals[i, [ids.BETA1_POWER, ids.BETA2_POWER]] = 1.0
        optimizer.fill(self.ints.T, self.reals.T)
        self.optimizers = list(optimizers)

    def _kernels(self) -> Any:
        """Return the engine's module for populations; TypeError if the engine cannot compute with one of the activations."""
        engine.active_for(self.plan.activations)
        return engine.part("population")

    def way(self, rows: NDArray[np.int64]) -> tuple:
        """Return what decides how the engine works on the networks in `rows`, if it does on no others."""
        return self._kernels().population_way(self.plan.table, self.ints[rows], self.reals[rows], self.params[rows])

    def train(
        self, rows: NDArray[np.int64], data: Any, lr: NDArray, factor: NDArray, epochs: int, copies: Copies | None = None
    ) -> NDArray[np.float64]:
        """Train the networks in `rows` for whole epochs; returns their losses, (epochs, len(rows))."""
        losses = np.empty((epochs, len(rows)))
        everyone = len(rows) == len(self)
        params, slots, ints, reals = self.arrays if everyone else (array[rows] for array in self.arrays)
        kernels = self._kernels()
        arena = aligned_zeros(kernels.population_arena_size(self.plan.table, len(rows), slots.shape[1], len(data)), self.dtype)
        kernels.train_population(
            self.plan.table, ints, reals, params, slots, data.x, data.y, data.weight, lr, factor, losses, arena,
            *(() if copies is None else (copies.params, copies.slots, copies.powers)),
        )  # fmt: skip
        if not everyone:
            for array, changed in zip(self.arrays, (params, slots, ints, reals), strict=True):
                array[rows] = changed
        return losses

    def losses(self, rows: NDArray[np.int64], data: Any, params: NDArray | None = None) -> NDArray[np.float64]:
        """Return the losses of the networks in `rows`, (len(rows),), or with `params` (times, len(rows), P) of each time."""
        params = self.params[rows] if params is None else params
        out = np.empty(params.shape[:-1])
        kernels = self._kernels()
        arena = aligned_zeros(kernels.population_arena_size(self.plan.table, len(rows), 0, len(data)), self.dtype)
        kernels.population_loss(
            self.plan.table, self.ints[rows], self.reals[rows], params, data.x, data.y, data.weight, out, arena
        )
        return out

    def predict(self, rows: NDArray[np.int64], x: NDArray, params: NDArray | None = None) -> NDArray:
        """Return the outputs of the networks in `rows`, (len(rows), n, outputs), or with `params` as above of each time."""
        params = self.params[rows] if params is None else params
        out = np.empty((*params.shape[:-1], len(x), self.plan.n_outputs), self.dtype)
        kernels = self._kernels()
        arena = aligned_zeros(kernels.population_arena_size(self.plan.table, len(rows), 0, len(x)), self.dtype)
        kernels.predict_population(self.plan.table, params, x, out, arena)
        return out
