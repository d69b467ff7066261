"""Packs of networks through whole epochs: each lane's numbers, steps, and the loops around lanes.py."""

from __future__ import annotations

import math

import numpy as np

from .gemm import PACKED
from .grid import grid
from .ids import (
    ADAGRAD,
    ADAM,
    BATCH,
    BETA1,
    BETA1_POWER,
    BETA2,
    BETA2_POWER,
    CLIP_NORM,
    CLIP_VALUE,
    COLUMNS,
    DECAY,
    DROP_LAST,
    EPS,
    EPS_HAT,
    L1,
    L2,
    LOSS,
    OPTIMIZER,
    SHUFFLE,
    SMOOTHING,
    SSE,
    WIDTH,
)
from .jit import allocating_entry, entry, glue, inner
from .kept import kept
from .lanes import (
    BUFFER,
    CLIPPED,
    DECAYED,
    EPSILON,
    KEEP,
    KEEP1,
    KEEP2,
    LIMIT,
    LOSS_TOTAL,
    N_NUMBERS,
    NORM_CLIPPED,
    NORM_LIMIT,
    PENALIZED,
    PENALTY1,
    PENALTY2,
    PLACES,
    RATE,
    ROOT,
    SHRINK,
    SPREAD,
    STRIDE,
    TAKE1,
    TAKE2,
    Pack,
    arrange_pack,
    backward_pack,
    block_rows,
    condition_pack,
    forward_pack,
    loss_pack,
    outputs_pack,
    set_ones,
    update_pack,
)
from .layout import n_params
from .loss import mean_loss
from .maps import copy, fill
from .minibatch import LOSS_ONLY, TRAIN
from .pack_rows import (
    LAST_RATE,
    LOSS_SUM,
    N_PACK_NUMBERS,
    POWER1,
    POWER2,
    WEIGHT,
    WEIGHT_SUM,
    Rows,
    draw_orders,
    gather,
    load_rows,
    network_in,
    store_rows,
    weigh,
)
from .simd import address, lanes_of, peek, poke, shift
from .stack import give_back, take
from .threads import ABORT, flush_denormals, restore_mode
from .tile import END_ADD, END_STORE

# Rows that a pack is trained on before the next one has its turn.
CHUNK_ROWS = 1024
# From so many rows on, losses that were added up in the vectors' own precision go to sums in float64.
FLUSH_ROWS = 128


@glue
def _block(task, pack, rows, turn, ints, reals, first, size, at, m, end, sums):
    """A block of m rows: gathered, forward, losses and by `task` gradients."""
    sse = ints[LOSS] == SSE
    uniform = 0.0
    if rows.weight.shape[0] == 0:
        uniform = 1.0 if sse else 1.0 / sums[WEIGHT, 0]
    gather(pack, rows, turn, first, size, at, m, sums, sse)
    forward_pack(pack, m, task == TRAIN)
    loss_pack(pack, ints, reals, m, uniform)
    if task == TRAIN:
        backward_pack(pack, m, end)


@inner
def _set_numbers(pack, ints, reals, first, size, sums):
    """Numbers that do not change from step to step; returns what some lane has beside the plain step, as bits."""
    lanes = lanes_of(pack.arena)
    numbers, table = pack.numbers, pack.table
    outputs = table[len(table) - 1, WIDTH]
    some = 0
    sums[LAST_RATE, 0] = math.nan
    for lane in range(lanes):
        own = reals[network_in(first, lane, size)]
        keep2, take2 = own[BETA2], 1.0 - own[BETA2]
        if ints[OPTIMIZER] == ADAGRAD:
            keep2 = take2 = 1.0
        poke(numbers, KEEP1 * lanes + lane, own[BETA1])
        poke(numbers, TAKE1 * lanes + lane, 1.0 - own[BETA1])
        poke(numbers, KEEP2 * lanes + lane, keep2)
        poke(numbers, TAKE2 * lanes + lane, take2)
        poke(numbers, EPSILON * lanes + lane, own[EPS])
        poke(numbers, PENALTY1 * lanes + lane, own[L1])
        poke(numbers, PENALTY2 * lanes + lane, own[L2])
        poke(numbers, LIMIT * lanes + lane, own[CLIP_VALUE] if own[CLIP_VALUE] > 0.0 else math.inf)
        poke(numbers, NORM_LIMIT * lanes + lane, own[CLIP_NORM])
        poke(numbers, KEEP * lanes + lane, 1.0 - own[SMOOTHING])
        poke(numbers, SPREAD * lanes + lane, own[SMOOTHING] / outputs)
        if own[L1] != 0.0 or own[L2] != 0.0:
            some |= PENALIZED
        if own[CLIP_VALUE] > 0.0:
            some |= CLIPPED
        if own[CLIP_NORM] > 0.0:
            some |= NORM_CLIPPED
        if own[DECAY] != 0.0:
            some |= DECAYED
    return some


@glue
def _set_rates(pack, ints, reals, factor, lr, first, size, some, sums):
    """This step's rates, and Adam's corrections, anew for each lane whose betas differ from those of the one before."""
    lanes = lanes_of(pack.arena)
    numbers = pack.numbers
    root = c1 = 1.0
    for lane in range(lanes):
        network = network_in(first, lane, size)
        rate = lr * factor[network]
        if some & DECAYED:
            poke(numbers, SHRINK * lanes + lane, 1.0 - rate * reals[network, DECAY])
        if ints[OPTIMIZER] == ADAM:
            sums[POWER1, lane] *= reals[network, BETA1]
            sums[POWER2, lane] *= reals[network, BETA2]
            before = max(lane - 1, 0)
            same = sums[POWER1, lane] == sums[POWER1, before] and sums[POWER2, lane] == sums[POWER2, before]
            if lane == 0 or not same:
                c1, root = 1.0 - sums[POWER1, lane], 1.0 / math.sqrt(1.0 - sums[POWER2, lane])
            if ints[EPS_HAT]:
                rate /= root
            rate /= c1
            poke(numbers, ROOT * lanes + lane, 1.0 if ints[EPS_HAT] else root)
        poke(numbers, RATE * lanes + lane, rate)


@glue
def _train_step(pack, rows, turn, ints, reals, factor, lr, first, size, at, count, block, slots, n_slots, some, sums):
    """One minibatch and one optimizer step of a pack."""
    n_parameters = n_params(pack.table)
    weigh(pack, rows, turn, first, size, at, count, sums)
    for done in range(0, count, block):
        m = min(block, count - done)
        end = END_STORE if done == 0 else END_ADD
        _block(TRAIN, pack, rows, turn, ints, reals[0], first, size, at + done, m, end, sums)
        if count > block:
            _add_losses(pack, rows, ints, sums)
    if ints[OPTIMIZER] == ADAM or lr != sums[LAST_RATE, 0]:
        _set_rates(pack, ints, reals, factor, lr, first, size, some, sums)
        sums[LAST_RATE, 0] = lr
    if some:
        condition_pack(pack, n_parameters, some)
    update_pack(pack, ints, n_parameters, slots, n_slots)


@inner
def _add_losses(pack, rows, ints, sums):
    """LOSS_TOTAL, which holds the losses of one minibatch or if rows have no weights of several, goes to the epoch's sums."""
    lanes = lanes_of(pack.arena)
    total = shift(pack.numbers, LOSS_TOTAL * lanes)
    for lane in range(lanes):
        weighted = rows.weight.shape[0] > 0 and ints[LOSS] != SSE
        sums[LOSS_SUM, lane] += peek(total, lane) * (sums[WEIGHT, lane] if weighted else 1.0)
    fill(lanes, (total,), (0.0,))


@glue
def _train(pack, rows, turn, ints, reals, factor, lr, first, size, block, n_slots, some, sums, losses, epoch, sync):
    """One epoch of a pack, whose optimizer vectors follow its parameters."""
    lanes = lanes_of(pack.arena)
    n, batch = rows.x.shape[0], ints[0, BATCH]
    if ints[0, DROP_LAST]:
        n -= n % batch
    steps = (n + batch - 1) // batch
    slots = shift(pack.params, n_params(pack.table) * lanes)
    fill(lanes, (shift(pack.numbers, LOSS_TOTAL * lanes),), (0.0,))
    for lane in range(lanes):
        sums[LOSS_SUM, lane] = sums[WEIGHT_SUM, lane] = 0.0
    weighted = rows.weight.shape[0] > 0
    waiting = 0
    for step in range(steps):
        if sync[ABORT]:
            break
        at = step * batch
        count, rate = min(batch, n - at), lr[epoch * steps + step]
        _train_step(pack, rows, turn, ints[0], reals, factor, rate, first, size, at, count, block, slots, n_slots, some, sums)
        waiting += count
        if weighted or waiting >= FLUSH_ROWS or step == steps - 1:
            _add_losses(pack, rows, ints[0], sums)
            waiting = 0
        if weighted:
            for lane in range(lanes):
                sums[WEIGHT_SUM, lane] += sums[WEIGHT, lane]
    if not weighted:
        for lane in range(lanes):
            sums[WEIGHT_SUM, lane] = float(n)
    for lane in range(min(lanes, size - first)):
        losses[epoch, first + lane] = mean_loss(ints[0], sums[LOSS_SUM, lane], sums[WEIGHT_SUM, lane])


@inner
def _answer(task, pack, rows, ints, reals, time, first, size, block, losses, out, sums, sync):
    """A pack's losses into losses[time], or its outputs into out (times * size, n * outputs)."""
    lanes = lanes_of(pack.arena)
    n = rows.x.shape[0]
    _set_numbers(pack, ints[0], reals, first, size, sums)
    total = shift(pack.numbers, LOSS_TOTAL * lanes)
    fill(lanes, (total,), (0.0,))
    table, places = pack.table, pack.places
    layers = len(table)
    k = table[layers - 1, WIDTH]
    z = shift(pack.arena, places[layers, BUFFER])
    if task == LOSS_ONLY:
        weigh(pack, rows, 0, first, size, 0, n, sums)
        for lane in range(lanes):
            sums[LOSS_SUM, lane] = 0.0
    for at in range(0, n, block):
        if sync[ABORT]:
            break
        m = min(block, n - at)
        if task == LOSS_ONLY:
            _block(task, pack, rows, 0, ints[0], reals[0], first, size, at, m, END_STORE, sums)
            for lane in range(lanes):
                sums[LOSS_SUM, lane] += peek(total, lane)
            fill(lanes, (total,), (0.0,))
            continue
        for i in range(m):
            copy(rows.x.shape[1], (address(rows.x, (at + i) * rows.x.shape[1]),
                                   shift(pack.arena, places[0, BUFFER] + i * places[0, STRIDE])), ())  # fmt: skip
        forward_pack(pack, m, False)
        outputs_pack(pack, m)
        for lane in range(min(lanes, size - first)):
            for i in range(m * k):
                poke(address(out, (time * size + first + lane) * n * k + at * k), i, peek(z, i * lanes + lane))
    if task == LOSS_ONLY:
        for lane in range(min(lanes, size - first)):
            mean = rows.weight.shape[0] == 0 and ints[0, LOSS] != SSE
            losses[time, first + lane] = sums[LOSS_SUM, lane] / n if mean else sums[LOSS_SUM, lane]


@inner
def _pack_size(table, n_slots, lanes):
    """Elements of a pack's parameters and optimizer vectors, in whole blocks of a transposition."""
    return ((1 + n_slots) * n_params(table) + lanes) * lanes


@inner
def _thread_size(table, n_slots, lanes, places):
    """Elements of a thread's scratch beside that; fills `places` as for inputs of each lane's own, which take most."""
    block = block_rows(table)
    return arrange_pack(table, block, lanes, False, places) + _gradient_size(table, lanes)


@inner
def _gradient_size(table, lanes):
    return (n_params(table) + N_NUMBERS + lanes) * lanes + PACKED


@entry
def _packs_size(table, packs, n_slots, lanes, n_threads):
    """Elements of scratch for so many packs at a time, of networks with so many slots."""
    table = grid(table, COLUMNS)
    numbers = take((len(table) + 2) * PLACES)
    places = grid(numbers.reshape(len(table) + 2, PLACES), PLACES)
    size = packs * _pack_size(table, n_slots, lanes) + n_threads * _thread_size(table, n_slots, lanes, places)
    give_back(numbers)
    return size


@inner
def _load(params, slots, reals, time, first, count, at, sums):
    """A pack's networks from `params` (times, size, P) and what else they have, side by side."""
    lanes, size, n_parameters, n_slots = lanes_of(at), params.shape[1], params.shape[2], slots.shape[1]
    load_rows(address(params, time * size * n_parameters), n_parameters, first, count, n_parameters, at)
    for s in range(n_slots):
        load_rows(address(slots, s * n_parameters), n_slots * n_parameters, first, count, n_parameters,
                  shift(at, (1 + s) * n_parameters * lanes))  # fmt: skip
    for lane in range(lanes):
        sums[POWER1, lane] = reals[network_in(first, lane, size), BETA1_POWER]
        sums[POWER2, lane] = reals[network_in(first, lane, size), BETA2_POWER]


@inner
def _store(at, n_parameters, n_slots, spare, params, slots, first, count):
    """The opposite: a pack's parameters and optimizer vectors to where those of all networks begin."""
    lanes = lanes_of(at)
    store_rows(at, n_parameters, spare, params, n_parameters, first, count)
    for s in range(n_slots):
        store_rows(shift(at, (1 + s) * n_parameters * lanes), n_parameters, spare, shift(slots, s * n_parameters),
                   n_slots * n_parameters, first, count)  # fmt: skip


@inner
def _note(at, spare, copies, slot_copies, powers, epoch, first, count, sums):
    """Copies of a pack as it is after an epoch, as far as there is room for them."""
    if epoch >= copies.shape[0]:
        return
    size, n_parameters = copies.shape[1], copies.shape[2]
    n_slots = slot_copies.shape[2] if epoch < slot_copies.shape[0] else 0
    params, slots = address(copies, epoch * size * n_parameters), address(slot_copies, epoch * size * n_slots * n_parameters)
    _store(at, n_parameters, n_slots, spare, params, slots, first, count)
    if epoch < powers.shape[0]:
        for lane in range(count):
            powers[epoch, first + lane, 0], powers[epoch, first + lane, 1] = sums[POWER1, lane], sums[POWER2, lane]


@allocating_entry
def _run_packs(task, table, ints, reals, params, slots, x, y, weight, own, lr, factor, losses, out, copies, slot_copies, powers,
               arena, tid, n, sync):  # fmt: skip
    """Do `task` for thread tid's packs of n threads'; `own` says whether each network shuffles for itself.

    params is (times, size, P), for TRAIN of one time.
    """
    table = grid(table, COLUMNS)
    mode = flush_denormals()
    times, size, n_slots, n_parameters = params.shape[0], params.shape[1], slots.shape[1], n_params(table)
    lanes = lanes_of(address(params, 0))
    taken = take((len(table) + 2) * PLACES)
    places = grid(taken.reshape(len(table) + 2, PLACES), PLACES)
    packs, block = (size + lanes - 1) // lanes, block_rows(table)
    pack_size = _pack_size(table, n_slots, lanes)
    # Packs in training stay where they are; one that is asked makes room for the next.
    room = (packs if task == TRAIN else n) * pack_size
    base = shift(address(arena, 0), room + tid * _thread_size(table, n_slots, lanes, places))
    shared = not own
    grad = shift(base, arrange_pack(table, block, lanes, shared, places))
    numbers = shift(grad, n_parameters * lanes)
    packed = shift(numbers, N_NUMBERS * lanes)
    spare = shift(packed, PACKED)
    shuffled = task == TRAIN and ints[0, SHUFFLE] != 0
    # Epochs that a pack goes through before the next one has its turn, as long as they are short.
    chunk = 1 if own or task != TRAIN else max(1, min(losses.shape[0], CHUNK_ROWS // x.shape[0]))
    orders = lanes if own else chunk
    rows = Rows(x, y, weight, np.empty((orders if shuffled else 0, x.shape[0]), np.int64))
    sums = np.zeros((packs if task == TRAIN else 1, N_PACK_NUMBERS, lanes))
    set_ones(kept(Pack(table, base, places, base, grad, numbers, shared, packed)), block)
    if task != TRAIN:
        at = shift(address(arena, 0), tid * pack_size)
        pack = kept(Pack(table, base, places, at, grad, numbers, shared, packed))
        for p in range(tid, times * packs, n):
            if sync[ABORT]:
                break
            time, first = p // packs, p % packs * lanes
            _load(params, slots, reals, time, first, min(lanes, size - first), at, sums[0])
            _answer(task, pack, rows, ints, reals, time, first, size, block, losses, out, sums[0], sync)
        give_back(taken)
        restore_mode(mode)
        return
    for p in range(tid, packs, n):
        first, at = p * lanes, shift(address(arena, 0), p * pack_size)
        _load(params, slots, reals, 0, first, min(lanes, size - first), at, sums[p])
    for begin in range(0, losses.shape[0], chunk):
        end = min(begin + chunk, losses.shape[0])
        if shuffled and shared:
            draw_orders(shared, rows.order, end - begin, ints, 0, size, begin)
        for p in range(tid, packs, n):
            if sync[ABORT]:
                break
            first, at = p * lanes, shift(address(arena, 0), p * pack_size)
            pack = kept(Pack(table, base, places, at, grad, numbers, shared, packed))
            some = _set_numbers(pack, ints[0], reals, first, size, sums[p])
            if own and shuffled:
                draw_orders(shared, rows.order, lanes, ints, first, size, begin)
            for epoch in range(begin, end):
                _train(pack, rows, epoch - begin, ints, reals, factor, lr, first, size, block, n_slots, some, sums[p], losses,
                       epoch, sync)  # fmt: skip
                _note(at, spare, copies, slot_copies, powers, epoch, first, min(lanes, size - first), sums[p])
    if not sync[ABORT]:
        for p in range(tid, packs, n):
            first, at = p * lanes, shift(address(arena, 0), p * pack_size)
            count = min(lanes, size - first)
            _store(at, n_parameters, n_slots, spare, address(params, 0), address(slots, 0), first, count)
            for lane in range(count):
                reals[first + lane, BETA1_POWER] = sums[p, POWER1, lane]
                reals[first + lane, BETA2_POWER] = sums[p, POWER2, lane]
    give_back(taken)
    restore_mode(mode)
