"""The entry points: what Python asks of a network, and whole stretches of training in one call.

Each has its twin in fastmlp/reference/train.py, where it is explained.
"""

from __future__ import annotations

import functools
import math
import time

import numpy as np

from .answers import _answer, _look
from .ids import BATCH, FAN_IN, N_INTS, STEP
from .jit import code_for
from .minibatch import GRADIENT, INPUT_GRADIENT, LOSS_ONLY, TRAIN
from .optim import condition, update
from .pace import pace_of
from .run import _run
from .scratch import _scratch_size
from .simd import LANES32, LANES64
from .threads import SYNC_SIZE, run_on_threads, sync_of_one, threads, threads_here

# In a call of its own, a second thread has to be woken, which takes as long as this many floating-point operations. From
# so many on, a call takes long enough that a Ctrl-C must not wait for its end.
_FLOPS_CALL, _FLOPS_LONG = 20_000_000, 1_000_000_000
# What a training step takes beside its arithmetic, in the same measure.
_FLOPS_STEP = 20_000
# Seconds that one thread takes for a step's row and parameter, about; the more numbers a vector has, the fewer.
_ROW_TIMES_PARAMETER = {"f": 4.8e-10 / LANES32, "d": 4.8e-10 / LANES64}
# So many numbers are looked at by all threads.
_MANY = 2_000_000


def _ask(kernel, flops, x, args):
    """kernel(*args, tid, n, sync) on the threads that so many operations on the rows of x are worth."""
    if flops < _FLOPS_CALL:
        return kernel(*args, 0, 1, sync_of_one())
    return run_on_threads(kernel, min(threads_here(), x.shape[0]), flops >= _FLOPS_LONG, *args)


@functools.cache
def _nothing(dtype):
    """Stand-ins for the arguments that a task does not use."""
    zeros = np.zeros
    return zeros(N_INTS, np.int64), zeros((1, 1), dtype), zeros(0, dtype), zeros(0, np.int64), zeros((0, 1)), zeros(0)


def arena_size(table, rows, width=None):
    """Elements of scratch for any task on up to `rows` rows, sparse ones of `width` if that is given."""
    return _scratch_size(table, width or table[0, FAN_IN], rows, threads())


def predict(table, params, x, out, arena):
    """out = the outputs; returns NaN if x is not finite; see the reference."""
    return _ask(_answer, 2 * x.shape[0] * params.size, x, (table, params, x, out, arena))


def predictor(table, arena):
    """predict for one network and its scratch: a function of params, x and out; see the reference.

    It is for rows that take a microsecond, and has looked up all that it can before.
    """
    code, most, sync = None, -1, np.zeros(SYNC_SIZE, np.int64)

    def predict_quickly(params, x, out):
        nonlocal code, most
        if len(x) <= most:
            return code(table, params, x, out, arena, 0, 1, sync)
        if code is None:
            code = code_for(_answer, (table, params, x, out, arena, 0, 1, sync))
            most = _FLOPS_CALL // (2 * params.size)
        return predict(table, params, x, out, arena)

    return predict_quickly


def activations(table, params, x, out, arena):
    """out = every layer's activations side by side; returns NaN if x is not finite; see the reference."""
    return _ask(_answer, 2 * x.shape[0] * params.size, x, (table, params, x, out, arena))


def finite(values):
    """Whether all values are finite; see the reference."""
    n = threads_here() if values.size >= _MANY else 1
    return bool(run_on_threads(_look, n, False, values.reshape(-1)))


def _evaluate(task, table, ints, reals, params, x, y, weight, out, arena):
    _, matrix, _, order, lr, none = _nothing(params.dtype)
    job = task, table, ints, reals, params, matrix, x, y, weight, order, lr, none, out, arena
    return _ask(_run, 6 * x.shape[0] * params.size, x, job)


def loss(table, ints, reals, params, x, y, weight, arena):
    """Return the loss; see the reference."""
    return _evaluate(LOSS_ONLY, table, ints, reals, params, x, y, weight, _nothing(params.dtype)[1], arena)


def value_and_grad(table, ints, reals, params, x, y, weight, grad, arena):
    """Return the loss, grad = its gradient; see the reference."""
    return _evaluate(GRADIENT, table, ints, reals, params, x, y, weight, grad.reshape(1, -1), arena)


def differentiator(table, arena):
    """value_and_grad as `predictor` is predict."""
    code, most, sync = None, -1, np.zeros(SYNC_SIZE, np.int64)
    _, matrix, _, order, lr, none = _nothing(arena.dtype)

    def differentiate(ints, reals, params, x, y, weight, grad):
        nonlocal code, most
        if len(x) <= most:
            out = grad[None]
            return code(GRADIENT, table, ints, reals, params, matrix, x, y, weight, order, lr, none, out, arena, 0, 1, sync)
        if code is None:
            job = GRADIENT, table, ints, reals, params, matrix, x, y, weight, order, lr, none, matrix, arena
            code, most = code_for(_run, (*job, 0, 1, sync)), _FLOPS_CALL // (6 * params.size)
        return value_and_grad(table, ints, reals, params, x, y, weight, grad, arena)

    return differentiate


def input_gradient(table, ints, reals, params, x, y, weight, d_in, arena):
    """d_in = the loss's gradient by the inputs; see the reference."""
    _evaluate(INPUT_GRADIENT, table, ints, reals, params, x, y, weight, d_in, arena)


def train_steps(table, ints, reals, params, slots, x, y, weight, order, lr, losses, arena, copies=None):
    """len(lr) optimizer steps, lr being (steps, 1) or (steps, 3); see the reference."""
    matrix = _nothing(params.dtype)[1]
    slots = slots if slots.size else matrix
    copies = matrix[:0] if copies is None else copies
    batch = min(ints[BATCH], len(y))
    done = finished = 0
    long = len(lr) * (6 * batch * params.size + _FLOPS_STEP) >= _FLOPS_LONG
    kind = table.tobytes(), x.shape[1] < table[0, FAN_IN], batch, params.dtype.char
    pace = pace_of(kind, float(_ROW_TIMES_PARAMETER[params.dtype.char] * batch * params.size))
    while done < len(lr):
        n, steps = pace.next(len(lr) - done, threads_here())
        before = ints[STEP]
        began = time.perf_counter()
        rates, results = lr[done : done + steps], (losses[finished:], copies[finished:])
        job = (_run, n, long, TRAIN, table, ints, reals, params, slots, x, y, weight, order, rates, *results, arena)
        finished += int(run_on_threads(*job, budget=pace.budget(n, steps)))
        steps = int(ints[STEP] - before)  # fewer if that took too long
        if steps == 0 or (finished and not math.isfinite(losses[finished - 1])):
            break
        pace.took(n, steps, time.perf_counter() - began)
        done += steps
    return finished


def step(table, ints, reals, params, slots, grad, lr):
    """One optimizer step from a gradient; see the reference."""
    condition(table, ints, reals, params, grad, 0.0)
    update(table, ints, reals, params, slots if slots.size else _nothing(params.dtype)[1], grad, lr)
    ints[STEP] += 1
