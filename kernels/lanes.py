"""A pack of networks, one in each lane: every number of a network is a vector, and so every sum and product is one.

The networks of a pack have one architecture. Parameters, gradients and optimizer vectors have the layout of a single
network's, a vector for each number; so have activations and deltas, but for the inputs where all networks see the same ones.
Nothing is padded, transposed or masked, whatever the widths.
"""

from __future__ import annotations

import math
from collections import namedtuple

from .activations import _activate, _apply
from .column_losses import cross_entropy_columns, loss_of_elements, softmax_columns
from .dense import by_output, delta_ending
from .gemm import gemm
from .ids import (
    ACTIVATION,
    ADAGRAD,
    ADAM,
    AMSGRAD,
    CROSS_ENTROPY,
    FAN_IN,
    HALF_MSE,
    HAS_BIAS,
    IDENTITY,
    LOSS,
    NESTEROV,
    OFFSET,
    OPTIMIZER,
    RELU,
    RMSPROP,
    SOFTMAX,
    SSE,
    WIDTH,
)
from .jit import glue, inner
from .maps import accumulate, elementwise, fill, largest, scale
from .network import scratch_of
from .optim import _adam, _amsgrad, _clip, _momentum, _nesterov, _penalty, _root_mean_square, _sgd, _shorten
from .simd import lanes_of, poke, shift
from .tile import END_RELU, END_STORE, MR, START_BIAS, START_ZERO

# What a pack works with: the layer table, scratch and where things are in it, this pack's parameters, its gradient, the
# numbers of each lane, whether all lanes have the same inputs, and room for packing.
Pack = namedtuple("Pack", "table arena places params grad numbers shared packed")
# Columns of `places`, one row per buffer, in elements; the row after the last buffer's is scratch.
BUFFER, STRIDE, DELTA, PLACES = 0, 1, 2, 3
TARGETS, SCALES, EACH = 0, 1, 2
# Vectors of `numbers`: the optimizer's settings and rates, and what the losses need.
(RATE, ROOT, KEEP1, TAKE1, KEEP2, TAKE2, EPSILON, PENALTY1, PENALTY2, LIMIT, NORM_LIMIT, SHRINK, KEEP, SPREAD, TOP, TOTAL,
 ONE, LOSS_TOTAL, N_NUMBERS) = range(19)  # fmt: skip
# What some lane has beside the plain step, as bits.
PENALIZED, CLIPPED, NORM_CLIPPED, DECAYED = 1, 2, 4, 8
# Rows that go through the networks together: as many as this many bytes hold.
BLOCK_BYTES, MOST_ROWS = 512 * 1024, 64


@elementwise("total! x", "factor")
def _add_times(total, x, factor):
    return total + x * factor


@elementwise("top! g")
def _raise_to_size(top, g):
    return largest(g.abs(), top)


@elementwise("top +unit")
def _inverse(top):
    return ((top > 0.0) & (top < math.inf)).choose(4.0 / top, 0.0)


@elementwise("total! unit!", "limit")
def _norm_factors(total, unit, limit):
    root = total.sqrt()
    clips = (limit > 0.0) & (root > 0.25 * limit * unit)
    return clips.choose(0.25 * limit / root, 1.0), clips.choose(unit, 1.0)


@elementwise("total! g", "unit")
def _add_square(total, g, unit):
    scaled = 0.25 * g * unit
    return total + scaled * scaled


@inner
def block_rows(table):
    """Rows that go through a pack together: a matter of shapes alone."""
    per_row = table[0, FAN_IN] + 1
    for l in range(len(table)):
        per_row += 2 * (table[l, WIDTH] + 1)
    return max(MR, min(MOST_ROWS, BLOCK_BYTES // (4 * 16 * per_row)) // MR * MR)


@inner
def arrange_pack(table, block, lanes, shared, places):
    """Fill `places` (layers + 2, PLACES) for blocks of `block` rows; returns the size in elements."""
    layers = len(table)
    at = 0
    for l in range(layers + 1):
        width = table[l, FAN_IN] if l < layers else table[l - 1, WIDTH]
        stride = width * lanes if l == layers else (width + 1) * lanes
        if l == 0 and shared:
            stride = (width + lanes) // lanes * lanes
        places[l, BUFFER], places[l, STRIDE] = at, stride
        at += block * stride
        places[l, DELTA] = at
        if l > 0:
            at += block * stride
    outputs = block * places[layers, STRIDE]
    for column, size in ((TARGETS, outputs), (SCALES, block * lanes), (EACH, outputs)):
        places[layers + 1, column] = at
        at += size
    return at


@inner
def set_ones(pack, block):
    """The columns of ones beside each buffer's units, by which a bias is one more row of its layer's weights."""
    table, places = pack.table, pack.places
    lanes = lanes_of(pack.arena)
    for l in range(len(table)):
        k, ld = table[l, FAN_IN], places[l, STRIDE]
        for i in range(block):
            row = shift(pack.arena, places[l, BUFFER] + i * ld)
            if l == 0 and pack.shared:
                poke(row, k, 1.0)
            else:
                fill(lanes, (shift(row, k * lanes),), (1.0,))


@glue
def forward_pack(pack, m, gradient):
    """Take a block's m rows from buffer 0 to the logits in the last one; with f' if `gradient`."""
    table, arena, places = pack.table, pack.arena, pack.places
    lanes = lanes_of(arena)
    layers = len(table)
    for l in range(layers):
        k, n, activation = table[l, FAN_IN], table[l, WIDTH], table[l, ACTIVATION]
        lda, ldz = places[l, STRIDE], places[l + 1, STRIDE]
        a, z = shift(arena, places[l, BUFFER]), shift(arena, places[l + 1, BUFFER])
        w = shift(pack.params, table[l, OFFSET] * lanes)
        bias, start = shift(w, k * n * lanes), START_BIAS if table[l, HAS_BIAS] else START_ZERO
        hidden = l + 1 < layers
        end = END_RELU if hidden and activation == RELU else END_STORE
        if l == 0 and pack.shared:
            gemm(m, n * lanes, k, a, lda, 1, w, n * lanes, False, None, z, ldz, start, bias, end, z, ldz, pack.packed)
        else:
            gemm(m, n * lanes, k, a, lda, lanes, w, n * lanes, False, lanes, z, ldz, start, bias, end, z, ldz, pack.packed)
        if hidden and activation != RELU and activation != IDENTITY:
            if gradient and not by_output(delta_ending(activation, 0.0)):
                _activate(activation, m, n * lanes, ldz, z, z, shift(arena, places[l + 1, DELTA]))
            else:
                _apply(activation, m, n * lanes, ldz, z, z)


@glue
def backward_pack(pack, m, end):
    """Deltas of m rows from the last layer's down, which is there already, and every weight gradient, ended as `end` says."""
    table, arena, places = pack.table, pack.arena, pack.places
    lanes = lanes_of(arena)
    for l in range(len(table) - 1, -1, -1):
        k, n = table[l, FAN_IN], table[l, WIDTH]
        rows, lda, ldd = k + table[l, HAS_BIAS], places[l, STRIDE], places[l + 1, STRIDE]
        a, d = shift(arena, places[l, BUFFER]), shift(arena, places[l + 1, DELTA])
        w, dw = shift(pack.params, table[l, OFFSET] * lanes), shift(pack.grad, table[l, OFFSET] * lanes)
        if l == 0 and pack.shared:
            gemm(rows, n * lanes, m, a, 1, lda, d, ldd, False, None, dw, n * lanes, START_ZERO, dw, end, dw, n * lanes,
                 pack.packed)  # fmt: skip
        else:
            gemm(rows, n * lanes, m, a, lanes, lda, d, ldd, False, lanes, dw, n * lanes, START_ZERO, dw, end, dw, n * lanes,
                 pack.packed)  # fmt: skip
        if l > 0:
            ending, out = delta_ending(table[l - 1, ACTIVATION], 0.0), shift(arena, places[l, DELTA])
            aux = a if by_output(ending) else out
            gemm(m, k * lanes, n, d, ldd, lanes, w, lanes, False, n * lanes, out, lda, START_ZERO, out, ending, aux, lda,
                 pack.packed)  # fmt: skip


@glue
def loss_pack(pack, ints, reals, m, uniform):
    """Losses and output deltas of m rows, each times its scale: `uniform`, or if that is 0 the lanes' own in SCALES.

    Adds the rows' losses to LOSS_TOTAL of `numbers`, times their own scales if they have any.
    """
    table, arena, places = pack.table, pack.arena, pack.places
    lanes = lanes_of(arena)
    layers = len(table)
    k, activation = table[layers - 1, WIDTH], table[layers - 1, ACTIVATION]
    z, d = shift(arena, places[layers, BUFFER]), shift(arena, places[layers, DELTA])
    t, each, scales = scratch_of(pack, TARGETS), scratch_of(pack, EACH), scratch_of(pack, SCALES)
    total, one = shift(pack.numbers, LOSS_TOTAL * lanes), shift(pack.numbers, ONE * lanes)
    factor, per_row = 1.0, k
    if ints[LOSS] == CROSS_ENTROPY:
        keep, spread = shift(pack.numbers, KEEP * lanes), shift(pack.numbers, SPREAD * lanes)
        for i in range(m):
            at = i * k * lanes
            cross_entropy_columns(k, lanes, shift(z, at), shift(d, at), shift(t, at), keep, spread, math.inf,
                                  shift(each, i * lanes), shift(pack.numbers, TOTAL * lanes))  # fmt: skip
        per_row = 1
    else:
        if ints[LOSS] != SSE:
            factor = 0.5 if ints[LOSS] == HALF_MSE else 1.0 / k
        loss_of_elements(ints, reals, activation, m * k * lanes, z, d, t, each)
    fill(lanes, (one,), (factor,))
    if uniform != 0.0:
        scale(m * k * lanes, (d,), (factor * uniform,))
    else:
        if factor != 1.0:
            scale(m * lanes, (scales,), (factor,))
        for i in range(m):
            scale(k * lanes, (shift(d, i * k * lanes),), (shift(scales, i * lanes),))
    for i in range(m):
        by, row = one if uniform != 0.0 else shift(scales, i * lanes), shift(each, i * per_row * lanes)
        for j in range(1, per_row):  # a row's sum first: sums of sums round less off
            accumulate(lanes, (row, shift(row, j * lanes)), ())
        _add_times(lanes, (total, row), (by,))


@inner
def outputs_pack(pack, m):
    """The last buffer's logits become outputs."""
    table, places = pack.table, pack.places
    lanes = lanes_of(pack.arena)
    layers = len(table)
    k, activation = table[layers - 1, WIDTH], table[layers - 1, ACTIVATION]
    z = shift(pack.arena, places[layers, BUFFER])
    if activation == SOFTMAX:
        for i in range(m):
            row = shift(z, i * k * lanes)
            softmax_columns(k, lanes, row, row, shift(pack.numbers, TOP * lanes), shift(pack.numbers, TOTAL * lanes))
    else:
        _apply(activation, 1, m * k * lanes, 0, z, z)


@glue
def _number(pack, i):
    return shift(pack.numbers, i * lanes_of(pack.numbers))


@inner
def clip_norm_pack(pack, size):
    """Each lane's gradient scaled down to its NORM_LIMIT, 0 for none; as `optim._norm_factors` says."""
    lanes = lanes_of(pack.grad)
    top, total, unit = _number(pack, TOP), _number(pack, TOTAL), _number(pack, ONE)
    fill(lanes, (top,), (0.0,))
    fill(lanes, (total,), (0.0,))
    for p in range(size):
        _raise_to_size(lanes, (top, shift(pack.grad, p * lanes)), ())
    _inverse(lanes, (top, unit), ())
    for p in range(size):
        _add_square(lanes, (total, shift(pack.grad, p * lanes)), (unit,))
    _norm_factors(lanes, (total, unit), (_number(pack, NORM_LIMIT),))
    _shorten(size * lanes, (pack.grad,), (unit, total))


@inner
def condition_pack(pack, size, some):
    """Penalties' gradients, clipping and decoupled decay, as far as any lane has them: bits of `some`."""
    table = pack.table
    lanes = lanes_of(pack.grad)
    for l in range(len(table)):
        at, n = table[l, OFFSET] * lanes, table[l, FAN_IN] * table[l, WIDTH] * lanes
        if some & PENALIZED:
            _penalty(n, (shift(pack.grad, at), shift(pack.params, at)), (_number(pack, PENALTY1), _number(pack, PENALTY2)))
    if some & CLIPPED:
        _clip(size * lanes, (pack.grad,), (_number(pack, LIMIT),))
    if some & NORM_CLIPPED:
        clip_norm_pack(pack, size)
    for l in range(len(table)):
        at, n = table[l, OFFSET] * lanes, table[l, FAN_IN] * table[l, WIDTH] * lanes
        if some & DECAYED:
            scale(n, (shift(pack.params, at),), (_number(pack, SHRINK),))


@glue
def update_pack(pack, ints, size, slots, n_slots):
    """One optimizer step with each lane's numbers; the n_slots state vectors follow each other from `slots` on."""
    lanes = lanes_of(pack.grad)
    n = size * lanes
    p, g = pack.params, pack.grad
    kind = ints[OPTIMIZER]
    rate, keep1, keep2, take2 = _number(pack, RATE), _number(pack, KEEP1), _number(pack, KEEP2), _number(pack, TAKE2)
    if kind == ADAM:
        numbers = (rate, _number(pack, ROOT), keep1, _number(pack, TAKE1), keep2, take2, _number(pack, EPSILON))
        if ints[AMSGRAD]:
            _amsgrad(n, (p, slots, shift(slots, n), shift(slots, 2 * n), g), numbers)
        else:
            _adam(n, (p, slots, shift(slots, n), g), numbers)
    elif kind == RMSPROP or kind == ADAGRAD:
        _root_mean_square(n, (p, slots, g), (rate, keep2, take2, _number(pack, EPSILON)))
    elif n_slots == 0:
        _sgd(n, (p, g), (rate,))
    elif ints[NESTEROV]:
        _nesterov(n, (p, slots, g), (rate, keep1))
    else:
        _momentum(n, (p, slots, g), (rate, keep1))
