"""Philox4x32-7, the counter-based random numbers of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).

A number depends on the seed, the epoch and its place alone, so threads, batches and engines all agree on it.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import allocating_entry, entry, glue, inner
from .simd import I32, I64, LANES32, Vec, address, cast, element, load, shift, splat, store

_M0, _M1 = 0xD2511F53, 0xCD9E8D57
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
# The fewest that pass every test of its authors'.
_ROUNDS = 7
# The counter's fourth word tells the uses apart; a layer's dropout has DROPOUT + layer.
SHUFFLE, DROPOUT = 1, 2
# Blocks computed side by side; the columns that 16-bit halves of two words of each serve; those written at a time.
_SIDE, _SERVED, _COLUMNS = 8, 16, max(LANES32, 8)
_WIDE = ir.VectorType(I64, _SIDE)
_HALVES = 65536


@inner
def _block(c0, c2, c3, seed):
    """Four 32-bit words (as uint64) of the counter (c0, 0, c2, c3)."""
    low = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    x0, x1, x2, x3 = np.uint64(c0) & low, np.uint64(0), np.uint64(c2) & low, np.uint64(c3) & low
    k0, k1 = np.uint64(seed) & low, (np.uint64(seed) >> half) & low
    for _ in range(_ROUNDS):
        p0, p1 = np.uint64(_M0) * x0, np.uint64(_M1) * x2
        x0, x1, x2, x3 = (p1 >> half) ^ x1 ^ k0, p1 & low, (p0 >> half) ^ x3 ^ k1, p0 & low
        k0, k1 = (k0 + np.uint64(_W0)) & low, (k1 + np.uint64(_W1)) & low
    return x0, x1, x2, x3


@inner
def _draw(word, i):
    """A number in 0..i from a 32-bit word."""
    return np.int64((word * np.uint64(i + 1)) >> np.uint64(32))


@inner
def permute(seed, epoch, order):
    """order = a permutation of 0..n-1, by Fisher and Yates (Knuth, TAOCP 2, algorithm P)."""
    n = order.size
    for i in range(n):
        order[i] = i
    i = n - 1
    block = 0
    while i > 0:
        for word in _block(block, epoch, SHUFFLE, seed):
            if i > 0:
                j = _draw(word, i)
                order[i], order[j] = order[j], order[i]
                i -= 1
        block += 1


@entry
def permutation(seed, epoch, order):
    """order = a permutation of 0..n-1; order (n,) int64."""
    permute(seed, epoch, order)


@intrinsic
def _drop(typingctx, width, group, row, epoch, stream, seed, threshold, scale, a, g, both):
    """Mask 64 columns of a row: a *= m, and if `both` g *= m, m = scale where the column's 16 bits reach the threshold, else 0.

    `width` counts the columns from a on; _COLUMNS are written at a time, at most 64.
    """
    elem, _ = element(a)

    def codegen(context, builder, sig, args):
        width, group, row, epoch, stream, seed, threshold, scale, a, g, both = args
        lane = ir.Constant(_WIDE, list(range(_SIDE)))
        counter = [builder.add(_spread(builder, builder.mul(group, I64(_SIDE)), _WIDE), lane)]
        words = _philox(builder, counter + [_spread(builder, c, _WIDE) for c in (row, epoch, stream)], seed)
        limit = _spread(builder, builder.trunc(builder.shl(threshold, I64(16)), I32), ir.VectorType(I32, _COLUMNS))
        factor, zero = splat(builder, scale, _COLUMNS), ir.Constant(ir.VectorType(elem, _COLUMNS), [0.0] * _COLUMNS)
        done = builder.append_basic_block("drop.done")
        for column in range(0, 64, _COLUMNS):
            more = builder.append_basic_block("drop.more")
            builder.cbranch(builder.icmp_signed("<", I64(column), width), more, done)
            builder.position_at_end(more)
            bits = _halves(builder, words, *divmod(column, _SERVED))
            mask = builder.select(builder.icmp_unsigned(">=", bits, limit), factor.v, zero)
            _times(builder, a, column, mask)
            with builder.if_then(both):
                _times(builder, g, column, mask)
        builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    index = types.intp
    return types.void(index, index, index, index, index, index, index, a.dtype, a, a, types.boolean), codegen


def _times(builder, target, at, mask):
    value = load(builder, target, I64(at), _COLUMNS)
    store(builder, value * Vec(builder, mask), target, I64(at))


def _wide(number):
    return ir.Constant(_WIDE, [number] * _SIDE)


def _halves(builder, words, number, at):
    """From a 16-bit half of the words of two vectors in turns, _COLUMNS numbers from `at` on: in the upper bits of 32.

    A lower half is moved there; what is below an upper one is less than one of its steps.
    """
    even, odd = words[:2] if number < 2 else words[2:]
    both = builder.or_(builder.and_(even, _wide(0xFFFFFFFF)), builder.shl(odd, _wide(32)))
    both = builder.bitcast(both, ir.VectorType(I32, _SERVED))
    lanes = ir.Constant(ir.VectorType(I32, _COLUMNS), list(range(at, at + _COLUMNS)))
    some = builder.shuffle_vector(both, ir.Constant(both.type, ir.Undefined), lanes)
    return some if number % 2 else builder.shl(some, ir.Constant(some.type, [16] * _COLUMNS))


def _spread(builder, word, vector):
    undef = ir.Constant(vector, ir.Undefined)
    first = ir.Constant(ir.VectorType(I32, vector.count), [0] * vector.count)
    return builder.shuffle_vector(builder.insert_element(undef, word, I32(0)), undef, first)


def _philox(builder, counter, seed):
    """The rounds on vectors of 32-bit counters; four vectors of words.

    All in 64-bit lanes, whose upper halves count for nothing: a multiplication of lower halves is one instruction there.
    """
    x0, x1, x2, x3 = counter
    k0, k1 = builder.trunc(seed, I32), builder.trunc(builder.lshr(seed, I64(32)), I32)

    def product(multiplier, x):
        wide = builder.mul(builder.and_(x, _wide(0xFFFFFFFF)), _wide(multiplier))
        return builder.lshr(wide, _wide(32)), wide

    def keyed(x, y, key):
        return builder.xor(builder.xor(x, y), _spread(builder, builder.zext(key, I64), _WIDE))

    for _ in range(_ROUNDS):
        (high0, low0), (high1, low1) = product(_M0, x0), product(_M1, x2)
        x0, x1, x2, x3 = keyed(high1, x1, k0), low1, keyed(high0, x3, k1), low0
        k0, k1 = builder.add(k0, I32(_W0)), builder.add(k1, I32(_W1))
    return x0, x1, x2, x3


@glue
def _threshold(rate):
    return np.int64(min(round(rate * _HALVES), _HALVES - 1))


@glue
def kept_scale(rate):
    """What the units that dropout keeps are multiplied with."""
    return _HALVES / (_HALVES - _threshold(rate))


@inner
def _dropout(seed, epoch, row, layer, rate, rows, left, right, ld, a, g, both):
    """Mask columns left..right (left a multiple of 64) of `rows` rows of a, and if `both` of g, that stand at `row` and on in
    the epoch; their stride ld is padded to _COLUMNS."""
    threshold, scale = _threshold(rate), cast(a, kept_scale(rate))
    for i in range(rows):
        for group in range(left // 64, (right + 63) // 64):
            at = i * ld + group * 64
            _drop(right - group * 64, group, row + i, epoch, DROPOUT + layer, seed, threshold, scale,
                  shift(a, at), shift(g, at), both)  # fmt: skip


@allocating_entry
def dropout_mask(seed, epoch, row, layer, rate, mask):
    """mask = 0 where a unit is dropped, 1/(1 - rate) where it is kept; mask (rows, width), its first row is at `row`."""
    rows, width = mask.shape
    padded = np.ones((rows, (width + 15) // 16 * 16), mask.dtype)
    _dropout(seed, epoch, row, layer, rate, rows, 0, width, padded.shape[1], address(padded, 0), address(padded, 0),
             False)  # fmt: skip
    mask[:] = padded[:, :width]
