"""What a network keeps between steps of training: counters, the optimizer's state, and copies of it all to go back to."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import engine
from .losses import LossSpec
from .optimizers import Optimizer
from .plan import Plan, aligned_copies, aligned_empty, aligned_zeros
from .reference import ids

__all__ = ["SEED_MASK", "Arena", "Saved", "TrainingState"]

# What of a seed the engines see.
SEED_MASK = 2**63 - 1


class Saved(NamedTuple):
    """A copy of parameters and training state."""

    params: NDArray
    slots: NDArray
    ints: NDArray[np.int64]
    reals: NDArray[np.float64]
    optimizer: Optimizer | None


class TrainingState:
    """Counters and settings as the engines read them (``reference/ids.py``), and the optimizer's vectors.

    Attributes
    ----------
    ints, reals : int64 and float64 arrays
        Settings, and the counters of epochs, rows and steps since the network was made or reset.
    still : int64 array
        Settings for questions: without dropout, and to look at the data, which for a training were checked before.
    slots : (S, P) array
        The optimizer's state vectors.
    optimizer : Optimizer or None
        The one whose state it is.
    """

    def __init__(self, plan: Plan, loss: LossSpec, seed: int, dtype: np.dtype) -> None:
        self.ints = np.zeros(ids.N_INTS, np.int64)
        self.reals = np.zeros(ids.N_REALS + ids.LAYER_BLOCKS * plan.n_layers)
        self.ints[ids.LOSS] = loss.loss.id
        self.reals[ids.LOSS_FACTOR] = 1.0
        self.reals[ids.LOSS_PARAM], self.reals[ids.SMOOTHING] = loss.parameter, loss.smoothing
        self._plan = plan
        self._of_layers()[ids.DROPOUT] = plan.dropout
        self.still = self.ints.copy()
        self.still[ids.CHECK_FINITE] = 1
        self.reseed(seed)
        self.slots = aligned_zeros((0, plan.n_params), dtype)
        self.optimizer: Optimizer | None = None
        self.backward_calls = 0

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore what pickling kept, in memory of its own: joblib may have handed out read-only files."""
        self.__dict__.update(state, **aligned_copies({name: state[name] for name in ("ints", "reals", "still", "slots")}))

    def reseed(self, seed: int) -> None:
        """Let shuffles and dropout masks follow another seed."""
        for ints in (self.ints, self.still):
            ints[ids.SEED] = ints[ids.SHUFFLE_SEED] = seed & SEED_MASK

    def use(self, optimizer: Optimizer) -> None:
        """Take the optimizer's settings; its state starts anew unless the one before was of the same kind.

        Raises
        ------
        ValueError
            If the optimizer has settings for another number of layers.
        """
        if optimizer is self.optimizer:  # whose settings are there, and cannot change
            return
        optimizer.check_layers(self._plan.n_layers)
        if not optimizer.same_state_as(self.optimizer):
            self.slots = aligned_zeros((optimizer.slots, self.slots.shape[1]), self.slots.dtype)
            self.reals[ids.BETA1_POWER] = self.reals[ids.BETA2_POWER] = 1.0
            settings = ids.N_REALS + ids.LAYER_BLOCKS * self._plan.n_layers
            if optimizer.scales or self.reals.size > settings:
                scales = np.zeros(
                    (ids.SCALE_BLOCKS, self._plan.table[self._plan.first_dense, ids.FAN_IN] if optimizer.scales else 0)
                )
                scales[ids.SCALE] = 1.0
                self.reals = np.concatenate([self.reals[:settings], scales.ravel()])
        if optimizer.kind >= 0:
            optimizer.fill_layers(self._plan.fan_in, self._of_layers())
            optimizer.fill(self.ints, self.reals)
        self.optimizer = optimizer

    def go_on_from(self, other: TrainingState) -> None:
        """Take over the counters and the optimizer's state of a network of the same widths."""
        own = self.reals[[ids.LOSS_PARAM, ids.SMOOTHING, ids.LOSS_FACTOR]], self.ints[ids.LOSS]
        self.optimizer, self.backward_calls = other.optimizer, other.backward_calls
        self.slots = aligned_zeros(other.slots.shape, other.slots.dtype)
        self.slots[...] = other.slots
        self.ints, self.reals = other.ints.copy(), other.reals.copy()
        self.reals[[ids.LOSS_PARAM, ids.SMOOTHING, ids.LOSS_FACTOR]], self.ints[ids.LOSS] = own
        self._of_layers()[ids.DROPOUT] = self._plan.dropout

    def _of_layers(self) -> NDArray[np.float64]:
        """Return the settings of each layer, (LAYER_BLOCKS, layers), a view of `reals`."""
        blocks = self.reals[ids.N_REALS :][: ids.LAYER_BLOCKS * self._plan.n_layers]
        return blocks.reshape(ids.LAYER_BLOCKS, self._plan.n_layers)

    def save(self, params: NDArray, into: Saved | None = None) -> Saved:
        """Copy everything, into the memory of `into` if that fits."""
        arrays = params, self.slots, self.ints, self.reals
        if into is None or (into.slots.shape, into.reals.shape) != (self.slots.shape, self.reals.shape):
            # Before the first step they are zeros, of which the system makes many for nothing.
            slots = self.slots.copy() if self.ints[ids.STEP] else np.zeros(self.slots.shape, self.slots.dtype)
            return Saved(params.copy(), slots, self.ints.copy(), self.reals.copy(), self.optimizer)
        for target, array in zip(into[:4], arrays, strict=True):
            target[...] = array
        return Saved(*into[:4], self.optimizer)

    def restore(self, saved: Saved, params: NDArray) -> None:
        """Go back to a copy."""
        if (saved.slots.shape, saved.reals.shape) != (self.slots.shape, self.reals.shape):  # another optimizer's since
            self.slots, self.reals = aligned_zeros(saved.slots.shape, saved.slots.dtype), saved.reals.copy()
        for target, array in zip((params, self.slots, self.ints, self.reals), saved[:4], strict=True):
            target[...] = array
        self.optimizer = saved.optimizer


class Desk:
    """An engine and scratch for its tasks on one network.

    Attributes
    ----------
    kernels : module
        The engine.
    scratch : array
    predict, value_and_grad : callables
        The engine's, for this network and scratch: `predictor` and `differentiator` of ``reference/train.py``.
    rows, width, generation : int
        What `scratch` is sure to be enough for: so many rows, so wide, and `engine.generation`.
    """

    __slots__ = ("generation", "kernels", "predict", "rows", "scratch", "value_and_grad", "width")

    def __init__(self, kernels: Any, table: NDArray, scratch: NDArray, generation: int) -> None:
        self.kernels, self.scratch, self.generation = kernels, scratch, generation
        self.predict, self.value_and_grad = kernels.predictor(table, scratch), kernels.differentiator(table, scratch)
        self.rows = self.width = 0


class Arena:
    """Scratch memory of one network, kept from call to call and grown when it must be.

    Threads that use one network at the same time each get a desk of their own. With `for_each` it has as much for each of the
    engine's threads.

    Attributes
    ----------
    give : callable
        Keeps a desk that was taken for the next call.
    """

    def __init__(self, plan: Plan, dtype: np.dtype, for_each: bool = False) -> None:
        self._plan, self._dtype, self._for_each = plan, dtype, for_each
        self._inputs = plan.n_inputs
        # Other threads may take and give at any moment, so both are one call of the list's.
        self._free: list[Desk] = []
        self.give = self._free.append

    def take(self, rows: int, width: int = 0) -> Desk:
        """Return a desk for any of the engine's tasks on `rows` rows, sparse ones of `width` if that is given.

        Give it back with `give`.
        """
        width = width or self._inputs
        try:
            desk = self._free.pop()
        except IndexError:
            return self._sized(None, rows, width)
        if rows > desk.rows or width > desk.width or desk.generation != engine.generation:
            return self._sized(desk, rows, width)
        return desk

    def _sized(self, desk: Desk | None, rows: int, width: int) -> Desk:
        """Return a desk for so much: the one that is given, or a new one in its place."""
        # In this order: if the engine changes now, the next call asks again.
        generation, kernels = engine.generation, engine.active_for(self._plan.activations)
        needed = kernels.arena_size(self._plan.table, rows, width) * (engine.threads() if self._for_each else 1)
        if desk is None or desk.generation != generation or needed > desk.scratch.size:
            desk = Desk(kernels, self._plan.table, aligned_empty(needed, self._dtype), generation)
        desk.rows, desk.width = rows, width
        return desk
