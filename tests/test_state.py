"""What a network keeps between steps: optimizer state, copies to go back to, scratch memory."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import fastmlp as fm
from fastmlp.layers import Dense
from fastmlp.losses import Huber, resolve
from fastmlp.plan import make_plan
from fastmlp.reference import ids
from fastmlp.state import Arena, TrainingState
from tests.compiler import needs_compiler

PLAN = make_plan(3, [Dense(4, "relu", dropout=0.25), Dense(2, "identity")])
PARAMS = np.arange(PLAN.n_params, dtype=np.float32)


def state(seed: int = 0) -> TrainingState:
    return TrainingState(PLAN, resolve(Huber(0.5)), seed, np.dtype("float32"))


def test_a_new_state_has_the_networks_settings_and_no_optimizer() -> None:
    new = state(seed=7)
    assert new.ints[ids.SEED] == 7
    assert new.ints[ids.LOSS] == ids.HUBER
    assert new.reals[ids.LOSS_PARAM] == 0.5
    assert new.reals[ids.N_REALS :][:2].tolist() == [0.25, 0.0]
    assert new.slots.shape == (0, PLAN.n_params)
    assert new.optimizer is None
    assert not new.ints[[ids.EPOCH, ids.ROW, ids.STEP]].any()


@pytest.mark.parametrize("seed", [-1, 2**63, 2**64 + 3, -(2**70)])
def test_any_whole_number_is_a_seed(seed) -> None:
    assert 0 <= state(seed).ints[ids.SEED] < 2**63


def test_slots_are_aligned_zeros_when_an_optimizer_is_new() -> None:
    for optimizer in (fm.SGD(), fm.SGD(momentum=0.9), fm.Adam(), fm.Adam(amsgrad=True), fm.RMSprop(), fm.Adagrad()):
        new = state()
        new.use(optimizer)
        assert new.slots.shape == (optimizer.slots, PLAN.n_params)
        assert new.slots.dtype == np.float32
        assert new.slots.size == 0 or new.slots.ctypes.data % 64 == 0
        assert not new.slots.any()
        assert new.reals[[ids.BETA1_POWER, ids.BETA2_POWER]].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (fm.Adam(1e-3), fm.Adam(1e-4, beta1=0.5), True),
        (fm.Adam(), fm.AdamW(), True),
        (fm.SGD(momentum=0.9), fm.SGD(momentum=0.5, nesterov=True), True),
        (fm.Adam(), fm.Adam(amsgrad=True), False),
        (fm.SGD(), fm.SGD(momentum=0.9), False),
        (fm.RMSprop(), fm.Adagrad(), False),
        (fm.Adam(), fm.LBFGS(), False),
    ],
)
def test_state_is_kept_for_an_optimizer_that_can_go_on_from_it(first, second, kept) -> None:
    used = state()
    used.use(first)
    used.slots[...] = 3.0
    used.reals[ids.BETA2_POWER] = 0.5
    used.use(second)
    assert used.slots.shape == (second.slots, PLAN.n_params)
    assert (used.slots == 3.0).all() == (kept or second.slots == 0)
    assert (used.reals[ids.BETA2_POWER] == 0.5) == kept
    assert used.optimizer is second


def test_going_back_to_a_copy_brings_everything_back() -> None:
    used, params = state(), PARAMS.copy()
    used.use(fm.Adam())
    saved = used.save(params)
    assert not any(np.shares_memory(a, b) for a, b in zip(saved[:4], (params, used.slots, used.ints, used.reals), strict=True))
    for array in (params, used.slots, used.ints, used.reals):
        array[...] = 99
    used.restore(saved, params)
    assert (params == PARAMS).all()
    assert not used.slots.any()
    assert used.ints[ids.STEP] == 0
    assert used.reals[ids.BETA1] == 0.9
    used.use(fm.SGD())
    used.restore(saved, params)
    assert used.optimizer == fm.Adam()
    assert used.slots.shape == (2, len(PARAMS))


def test_a_copy_may_be_written_over_one_of_the_same_shape_only() -> None:
    used = state()
    used.use(fm.Adam())
    old = used.save(PARAMS)
    again = used.save(PARAMS + 1, into=old)
    assert again.params is old.params
    assert (old.params == PARAMS + 1).all()
    used.use(fm.SGD())
    assert used.save(PARAMS, into=old).params is not old.params


def test_scratch_is_used_again_and_grows(engine) -> None:
    arena = Arena(PLAN, np.dtype("float32"))
    desk = arena.take(10)
    module, first = desk.kernels, desk.scratch
    assert module.__name__.startswith("fastmlp.kernels" if engine == "numba" else "fastmlp.reference")
    assert first.dtype == np.float32
    assert first.size >= module.arena_size(PLAN.table, 10)
    assert first.size == 0 or first.ctypes.data % 64 == 0
    arena.give(desk)
    assert arena.take(5) is desk
    large = arena.take(1000)
    assert large.scratch.size >= module.arena_size(PLAN.table, 1000)
    arena.give(large)
    assert arena.take(10) is large
    arena.give(desk)
    assert arena.take(1000).scratch.size >= module.arena_size(PLAN.table, 1000)


def test_scratch_is_used_again_by_tasks_of_which_neither_is_the_larger(engine) -> None:
    """As by sparse rows to train on and fewer but longer ones held out, in each epoch."""
    arena, used = Arena(PLAN, np.dtype("float32")), []
    for rows, width in [(400, 7), (30, 90)] * 4:
        desk = arena.take(rows, width)
        assert desk.scratch.size >= desk.kernels.arena_size(PLAN.table, rows, width)
        arena.give(desk)
        used.append(desk)
    assert len(set(map(id, used[2:]))) == 1


def test_scratch_that_is_in_use_is_not_given_twice(engine) -> None:
    arena = Arena(PLAN, np.dtype("float64"))
    first, second = arena.take(10), arena.take(10)
    assert first is not second
    assert not np.shares_memory(first.scratch, second.scratch)


@needs_compiler
def test_scratch_is_large_enough_after_the_engine_or_the_threads_changed(any_threads) -> None:
    arena = Arena(PLAN, np.dtype("float32"))
    fm.use_engine("numpy")
    arena.give(arena.take(50))
    fm.use_engine("numba")
    desk = arena.take(20)
    assert desk.scratch.size >= desk.kernels.arena_size(PLAN.table, 20) > 0
    arena.give(desk)
    fm.set_threads(7)
    desk = arena.take(50)
    assert desk.scratch.size >= desk.kernels.arena_size(PLAN.table, 50)
    fm.use_engine()


@needs_compiler
def test_threads_that_ask_at_once_get_scratch_that_is_large_enough() -> None:
    """One thread works out the size for more rows while another takes scratch for fewer."""
    fm.use_engine("numba")
    plan = make_plan(100, [Dense(200, "relu"), Dense(2, "identity")])
    arena, short = Arena(plan, np.dtype("float32")), []
    sizes = {rows: fm.engine.active().arena_size(plan.table, rows) for rows in range(1, 300)}

    def ask(seed):
        for rows in np.random.default_rng(seed).integers(1, 300, 500).tolist():
            desk = arena.take(rows)
            if desk.scratch.size < sizes[rows]:
                short.append(rows)
            arena.give(desk)
            if rows % 50 == 0:
                arena._free.clear()

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not short
    fm.use_engine()
