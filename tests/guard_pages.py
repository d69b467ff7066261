"""Kernels on memory between pages that nobody may touch: what they read or write beside their arrays ends the process.

Scratch is filled with NaN, and so is what is to be overwritten: results that are those on ordinary memory, to the last bit, do
not depend on what was there. A module of its own, since the test runs it in a process of its own.
"""

from __future__ import annotations

import ctypes
import faulthandler
import functools
import inspect
import mmap
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from fastmlp.kernels import dense, population, rng, threads, train

from fastmlp.reference import ids
from tests.nets import ACTIVATIONS, HIDDEN, LOSSES, PARTNER, Data, Net, make_data, make_net

# Around vectors, tiles and the limits of columns; rows around blocks of them.
WIDTHS = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 23, 31, 32, 33, 49, 65, 97, 130, 257]
ROWS = [1, 2, 3, 5, 8, 16, 17, 31, 63, 64, 65, 97, 130, 257, 481]
# Numbers, plain ones, codes, entries, size, waves, parts.
EMBEDDINGS = [(3, 0, 0, 0, 8, 16, 3), (0, 2, 3, 9, 5, 1, 1), (17, 5, 2, 30, 8, 7, 2), (1, 0, 1, 2, 1, 33, 4)]
OVERWRITTEN = {"arena", "out", "grad", "d_in", "order", "copies", "slot_copies", "powers"}


@functools.cache
def _protect() -> Callable[[int, int, int], int]:
    mprotect = ctypes.CDLL(None).mprotect
    mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return mprotect


def between_pages(array: np.ndarray, at_end: bool) -> np.ndarray:
    """A copy of an array that begins where a page does, or ends there; on both sides is one that nobody may touch."""
    page = mmap.PAGESIZE
    inner = max(1, -(-array.nbytes // page)) * page
    memory = mmap.mmap(-1, inner + 2 * page)
    first = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for forbidden in (first, first + page + inner):
        assert _protect()(forbidden, page, 0) == 0, "mprotect"
    start = page + (inner - array.nbytes if at_end else 0)
    copy = np.frombuffer(memory, array.dtype, array.size, start).reshape(array.shape)
    copy[...] = array
    return copy


def compare(function: Callable[..., Any], at_end: bool, *args: Any) -> None:
    """Call a kernel on ordinary memory and between pages, and compare all that it leaves."""
    results = []
    names = list(inspect.signature(function).parameters)[: len(args)]
    for place in (np.copy, lambda array: between_pages(array, at_end)):
        given = [place(arg) if isinstance(arg, np.ndarray) else arg for arg in args]
        for name, arg in zip(names, given, strict=True):
            if name in OVERWRITTEN and (name != "arena" or place is not np.copy):
                arg[...] = np.nan if arg.dtype.kind == "f" else -1
        value = function(*given)
        left = [arg for name, arg in zip(names, given, strict=True) if isinstance(arg, np.ndarray) and name != "arena"]
        results.append([np.asarray(np.nan if value is None else value, float), *left])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other, function.__name__)


def sparse(data: Data) -> Data:
    """Most inputs left out, in rows as the kernels take sparse ones."""
    x = np.where(np.random.default_rng(0).random(data.x.shape) < 0.1, data.x, 0)
    counts = (x != 0).sum(axis=1)
    rows = np.zeros((len(x), 1 + 2 * counts.max()), x.dtype)
    for row, numbers, count in zip(rows, x, counts, strict=True):
        row[0], row[1 : 1 + 2 * count : 2] = count, np.flatnonzero(numbers)
        row[2 : 2 + 2 * count : 2] = numbers[numbers != 0]
    return Data(rows, data.y, data.weight)


def predict_quickly(table, params, x, out, arena):
    """`train.predictor`, which has looked up all that it needs when it is called again."""
    ask = train.predictor(table, arena)
    return ask(params, x, out) + ask(params, x, out)


def differentiate_quickly(table, ints, reals, params, x, y, weight, grad, arena):
    """`train.differentiator` likewise."""
    ask = train.differentiator(table, arena)
    return ask(ints, reals, params, x, y, weight, grad) + ask(ints, reals, params, x, y, weight, grad)


def questions(net: Net, data: Data, at_end: bool, room: int = 0) -> None:
    """Whatever is asked of one network, with scratch for `room` rows if that is more."""
    dtype, rows = net.params.dtype, len(data.x)
    arena = np.zeros(train.arena_size(net.table, max(rows, room), data.x.shape[1]), dtype)
    out, every = np.zeros((rows, net.n_outputs), dtype), np.zeros((rows, int(net.table[:, ids.WIDTH].sum())), dtype)
    asked = net.table, net.ints, net.reals, net.params, *data.arrays
    compare(train.predict, at_end, net.table, net.params, data.x, out, arena)
    compare(predict_quickly, at_end, net.table, net.params, data.x, out, arena)
    compare(train.activations, at_end, net.table, net.params, data.x, every, arena)
    compare(train.loss, at_end, *asked, arena)
    compare(train.value_and_grad, at_end, *asked, np.zeros_like(net.params), arena)
    compare(differentiate_quickly, at_end, *asked, np.zeros_like(net.params), arena)
    if data.x.shape[1] == net.n_inputs:
        compare(train.input_gradient, at_end, *asked, np.zeros_like(data.x), arena)


def steps(net: Net, data: Data, at_end: bool) -> None:
    """Two epochs, and a step by hand."""
    batch, slots = int(net.ints[ids.BATCH]), np.zeros((3, net.params.size), net.params.dtype)
    rows, asked = len(data.x), (net.table, net.ints, net.reals, net.params, slots)
    arena = np.zeros(train.arena_size(net.table, min(batch, rows), data.x.shape[1]), net.params.dtype)
    losses, copies, order = np.zeros(2), np.zeros((2, net.params.size), net.params.dtype), np.zeros(rows, np.int64)
    for numbers in ([1e-3], [1e-3, 0.1, 0.5]):
        rates = np.tile(numbers, (2 * -(-rows // batch), 1))
        compare(train.train_steps, at_end, *asked, *data.arrays, order, rates, losses, arena, copies)
    compare(train.step, at_end, *asked, np.full_like(net.params, 0.01), 1e-3)
    compare(rng.permutation, at_end, 1, 2, np.zeros(rows, np.int64))


def populations(net: Net, data: Data, size: int, own: bool, at_end: bool) -> None:
    """Networks of one architecture, `own` with shuffles, targets and weights of their own."""
    dtype, rows, batch = net.params.dtype, len(data.x), int(net.ints[ids.BATCH])
    net.reals[ids.N_REALS :] = 0.0
    ints, reals = np.stack([net.ints] * size), np.stack([net.reals] * size)
    if own:
        ints[:, ids.SHUFFLE_SEED] = np.arange(size)
    params, slots = np.stack([net.params] * size), np.zeros((size, 3, net.params.size), dtype)
    y, weight = np.stack([data.y] * (size if own else 1)), np.stack([data.weight] * (size if own else 1))
    weight = weight if weight.size else np.zeros((0, rows), dtype)
    arena = np.zeros(population.population_arena_size(net.table, size, 3, rows), dtype)
    asked, seen, rates = (net.table, ints, reals, params), (data.x, y, weight), np.full(2 * -(-rows // batch), 1e-3)
    copies = np.stack([params] * 2), np.stack([slots] * 2), np.zeros((2, size, 2))
    compare(
        population.train_population, at_end, *asked, slots, *seen, rates, np.ones(size), np.zeros((2, size)), arena,
        *(copies if own else ()),
    )  # fmt: skip
    out = np.zeros((size, rows, net.n_outputs), dtype)
    for several, losses, answer in (
        (params, np.zeros(size), out),
        (np.stack([params] * 3), np.zeros((3, size)), np.stack([out] * 3)),
    ):
        compare(population.population_loss, at_end, net.table, ints, reals, several, *seen, losses, arena)
        compare(population.predict_population, at_end, net.table, several, data.x, answer, arena)
    compare(population.predict_each, at_end, net.table, params, data.x, out, arena)


def weight_gradients(dtype) -> None:
    """Of rows far apart, whose inputs are copied in strips by more columns than are a strip's own; the last of any width."""
    numbers = np.random.default_rng(0)
    d = numbers.normal(size=(256, 300)).astype(dtype)
    for inputs in range(500, 510):
        x = numbers.normal(size=(256, inputs)).astype(dtype)
        compare(dense.linear_bwd_w, True, x, d, np.zeros((inputs, 300), dtype), np.zeros(300, dtype))


def fewer_rows(dtype) -> None:
    """Fewer rows than scratch was made for, some of which go by columns where more would go by rows of units."""
    for widths in ([64, 29, 29, 8], [64, 42, 42, 10], [14, 40, 24], [20, 70, 5], [40, 24, 10, 24, 1]):
        net = make_net(widths, "RELU", "IDENTITY", "MSE", True, 0.0, dtype, training=1, optimizer="SGD", batch=1000, l2=0.0)
        for room in (64, 112, 160, 400):
            for rows in (8, 16, 32, 48, 64, 100, 144):
                if rows < room:
                    questions(net, make_data(net, rows, False, False), True, room)


def many_inputs(dtype) -> None:
    """Shuffled rows by columns that scratch has no room for side by side, whatever the vectors."""
    net = make_net(
        [4000, 3, 1], "RELU", "IDENTITY", "MSE", True, 0.0, dtype, training=1, optimizer="SGD", batch=64, shuffle=1, l2=0.0
    )
    steps(net, make_data(net, 130), True)


def case(chosen: random.Random) -> None:
    """A network of a few odd widths, and one or the other thing that it does."""
    do = chosen.choice([questions, steps, populations])
    widths = [chosen.choice(WIDTHS) for _ in range(chosen.choice([2, 2, 3, 3, 4]))]
    loss = chosen.choice(LOSSES)
    output = PARTNER.get(loss) or chosen.choice([name for name in ACTIVATIONS if name != "EXP"])
    net = make_net(
        widths, chosen.choice(HIDDEN), output, loss, chosen.random() < 0.8, chosen.choice([0.0, 0.3]),
        chosen.choice([np.float32, np.float64]), training=1, optimizer=chosen.choice(["SGD", "ADAM"]), beta1=0.9, beta2=0.99,
        batch=chosen.choice([1, 7, 64, 65, 130, 1000]), shuffle=chosen.randrange(2), l2=0.01, clip_norm=chosen.choice([0, 0.5]),
        alphas=do is not populations and chosen.random() < 0.3,
        embedding=chosen.choice(EMBEDDINGS) if do is not populations and chosen.random() < 0.3 else None,
    )  # fmt: skip
    data = make_data(net, chosen.choice(ROWS), loss == "CROSS_ENTROPY" and widths[-1] > 1, chosen.random() < 0.4)
    at_end = chosen.random() < 0.7
    threads.set_threads(chosen.choice([1, 1, 3]))
    if do is populations:
        populations(net, data, chosen.choice([1, 2, 5, 16, 17]), chosen.random() < 0.3, at_end)
        return
    part = sparse(data) if chosen.random() < 0.3 and net.table[0, ids.ACTIVATION] != ids.EMBEDDING else data
    do(net, part if part.x.shape[1] < net.n_inputs else data, at_end)


def main(cases: int) -> None:
    """Some cases, always the same ones."""
    faulthandler.enable()
    for dtype in (np.float32, np.float64):
        weight_gradients(dtype)
        fewer_rows(dtype)
        many_inputs(dtype)
    chosen = random.Random(0)
    for _ in range(cases):
        case(chosen)
    print("nothing beside its arrays")
