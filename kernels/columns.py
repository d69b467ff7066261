"""A narrow network's way through several rows or many: they lie in the lanes, and a buffer has one unit's numbers side by side.

Where layers are narrower than a vector, or not whole vectors wide, rows of units waste lanes and need masks; columns do not.
Neither weights nor deltas are transposed then: a product broadcasts weights from where they are. What columns cost is the sum
over the lanes at the end of each weight gradient, so a block must have rows enough to be worth it.
"""

from __future__ import annotations

from .activations import _activate, _apply
from .column_losses import cross_entropy_columns, loss_of_elements, softmax_columns
from .dense import by_output, delta_ending
from .dots import products
from .gemm import PACKED, gemm
from .ids import (
    ACTIVATION,
    CROSS_ENTROPY,
    FAN_IN,
    HALF_MSE,
    HAS_BIAS,
    IDENTITY,
    LOSS,
    LOSS_PARAM,
    OFFSET,
    RELU,
    SMOOTHING,
    SOFTMAX,
    WIDTH,
)
from .jit import glue, inner
from .layout import PAD, _padded, is_special, n_params, special
from .loss import is_sum, most_of
from .maps import accumulate, copy, copy_rows, elementwise, fill, scale
from .network import BUFFER, DELTA, EACH, PACK, ROWS, SCALES, TARGETS, few_parameters, scratch_of
from .simd import LANES32, address, lanes_of, peek, poke, shift
from .tile import END_ADD, END_RELU, END_STORE, NV, START_COLUMN, START_ZERO
from .transpose import transpose, transpose_narrow

# A block has whole tiles of rows, as many as this many bytes hold.
BLOCK_BYTES, MOST_ROWS = 192 * 1024, 480
# Columns are used from so many rows in a minibatch on, where rows of units take so many hundredths of their arithmetic, that of
# whole vectors of rows, and SUMS / rows more: the sums over lanes are as many whatever the rows. A single unit's sum of
# products counts as DOT vectors of them, a row's softmax as so many products; forward alone, so do an input's column and an
# output's row that are to be made. Measured, see docs/performance.md.
LEAST_ROWS, DOT, OF_SOFTMAX = 8, 4, 25 * LANES32
WASTE, SUMS = 101, 200 if LANES32 == 16 else 0
WASTE_FORWARD, SUMS_FORWARD, TURN_IN, TURN_OUT = 100, 40 * LANES32, LANES32 // 2, LANES32
# A block is one thread's. Where all rows are one, and so many that another thread has enough to do with a part of each layer's
# (rows times parameters), columns have to save more.
SHARED, WASTE_SHARED = 240_000, 130


@elementwise("d! s", "factor")
def _times(d, s, factor):
    return d * (s * factor)


@inner
def column_block(table):
    """Rows in a block: whole tiles of them."""
    tile = NV * PAD
    per_row = table[0, FAN_IN] + 4 * table[len(table) - 1, WIDTH] + 2
    for l in range(len(table)):
        per_row += 2 * table[l, WIDTH] + 1
    return max(1, min(MOST_ROWS, BLOCK_BYTES // (4 * per_row)) // tile) * tile


@inner
def _lanes_for(n, lanes):
    """Lanes that n units take in rows."""
    return (n + lanes - 1) // lanes * lanes if n > 1 else 1


@inner
def _wastes(table, rows, backward, lanes, least):
    """Whether rows of units take `least` hundredths of their arithmetic or more, in vectors of so many lanes.

    There and back float64 wastes what float32 does, as measured; forward alone it has vectors of fewer lanes.
    """
    if is_special(special(table)) or rows < LEAST_ROWS or not few_parameters(table):
        return False
    last = len(table) - 1
    spent, exact = (OF_SOFTMAX if table[last, ACTIVATION] == SOFTMAX else 0), 0
    if backward:
        lanes = PAD
    else:
        outputs = table[last, WIDTH]
        exact = TURN_IN * table[0, FAN_IN] + (TURN_OUT * outputs if outputs > 1 else 0)
    for l in range(last + 1):
        k, n = table[l, FAN_IN], table[l, WIDTH]
        exact += k * n
        spent += k * _lanes_for(n, lanes) + (DOT * lanes if n == 1 else 0)
        if backward:
            exact += k * n
            spent += k * _lanes_for(n, lanes)
            if l > 0:
                exact += k * n
                spent += n * _lanes_for(k, lanes)
    return 100 * spent >= least * exact


@inner
def narrow(table, rows, backward, lanes):
    """Whether so many rows at once go through the network, and with `backward` back, by columns: a matter of shapes alone."""
    some = max(1, rows)
    least = (WASTE * _padded(some) + SUMS) // some if backward else WASTE_FORWARD + SUMS_FORWARD // some
    if backward and rows * n_params(table) >= SHARED and rows <= column_block(table):
        least = max(least, WASTE_SHARED)
    return _wastes(table, rows, backward, lanes, least)


@inner
def narrow_up_to(table, rows):
    """Whether there may be columns for so many rows or for fewer, of numbers of any size: scratch must have room for them.

    What rows of units have to waste falls with their number, but for SHARED and for vectors that are not whole, which are left
    out; the widest vectors waste the most.
    """
    some = max(1, rows)
    there_and_back = _wastes(table, rows, True, PAD, WASTE + SUMS // some)
    return there_and_back or _wastes(table, rows, False, PAD, WASTE_FORWARD + SUMS_FORWARD // some)


@inner
def arrange_columns(table, block, places):
    """Fill `places` (layers + 2, PLACES) for one thread's blocks of `block` rows; returns their size in elements."""
    layers = len(table)
    at = 0
    for l in range(layers + 1):
        width = table[l, FAN_IN] if l < layers else table[l - 1, WIDTH]
        places[l, BUFFER] = at
        at += (width + 1) * block
        places[l, DELTA] = at
        if l > 0:
            at += width * block
    outputs, widest = max(2, table[layers - 1, WIDTH]) * block, 0
    for l in range(layers):
        widest = max(widest, _padded(table[l, WIDTH]))
    packed = PACKED + block * widest
    for column, size in ((TARGETS, outputs), (ROWS, block), (SCALES, block), (EACH, outputs), (PACK, packed)):
        places[layers + 1, column] = at
        at += size
    return _padded(at)


@inner
def _turn_in(source, k, m, target, ld):
    """Columns of m rows of k numbers; from m to ld they have the last row again.

    Columns beyond the last one are written over, as far as whole vectors go.
    """
    lanes = lanes_of(source)
    if k == 1:
        copy(m, (source, target), ())
    elif 2 * k >= lanes:
        for j in range(0, k, lanes):
            for i in range(0, m, lanes):
                transpose(min(lanes, m - i), min(lanes, k - j), shift(source, i * k + j), k, shift(target, j * ld + i), ld)
    else:
        whole = m // lanes * lanes
        for i in range(0, whole, lanes):
            transpose_narrow(k, shift(source, i * k), shift(target, i), ld)
        for j in range(k):
            for i in range(whole, m):
                poke(target, j * ld + i, peek(source, i * k + j))
    _fill_up(k, m, target, ld)


@glue
def _gather_in(source, k, order, at, m, target, ld, packed):
    """As `_turn_in`, of the rows that order[at:] names; copied side by side first where `packed` has room for them."""
    if k > 1 and k * m <= PACKED:
        copy_rows(k, source, address(order, 0), True, at, m, packed, k)
        _turn_in(packed, k, m, target, ld)
        return
    for j in range(k):
        for i in range(m):
            poke(target, j * ld + i, peek(source, order[at + i] * k + j))
    _fill_up(k, m, target, ld)


@glue
def _fill_up(k, m, target, ld):
    for j in range(k):
        for i in range(m, ld):
            poke(target, j * ld + i, peek(target, j * ld + m - 1))


@glue
def gather_columns(net, data, at, m, ld, unit):
    """Copy the data's rows `at` + 0..m to columns of ld; a row's scale is its weight times `unit`, and 0 from m on."""
    arena, places = net.arena, net.places
    layers = len(net.table)
    k, targets = data.x.shape[1], data.y.shape[1]
    x, t, scales = shift(arena, places[0, BUFFER]), scratch_of(net, TARGETS), scratch_of(net, SCALES)
    packed = scratch_of(net, PACK)
    if data.window >= 0:
        _turn_in(address(data.x, (at - data.window) * k), k, m, x, ld)
    elif data.ordered:
        _gather_in(address(data.x, 0), k, data.order, at, m, x, ld, packed)
    else:
        _turn_in(address(data.x, at * k), k, m, x, ld)
    if data.classes:
        fill(net.table[layers - 1, WIDTH] * ld, (t,), (0.0,))
        for i in range(m):
            poke(t, int(data.y[data.order[at + i] if data.ordered else at + i, 0]) * ld + i, 1.0)
    elif data.ordered:
        _gather_in(address(data.y, 0), targets, data.order, at, m, t, ld, packed)
    else:
        _turn_in(address(data.y, at * targets), targets, m, t, ld)
    if data.weight.size > 0:
        for i in range(m):
            poke(scales, i, data.weight[data.order[at + i] if data.ordered else at + i] * unit)
    else:
        fill(m, (scales,), (unit,))
    fill(ld - m, (shift(scales, m),), (0.0,))


@inner
def forward_columns(net, ld, gradient):
    """Take a block of ld columns from buffer 0 to the logits in the last one; with f' if `gradient`, and columns of ones."""
    table, arena, places = net.table, net.arena, net.places
    layers = len(table)
    packed = scratch_of(net, PACK)
    for l in range(layers):
        k, n, activation = table[l, FAN_IN], table[l, WIDTH], table[l, ACTIVATION]
        a, z = shift(arena, places[l, BUFFER]), shift(arena, places[l + 1, BUFFER])
        w = shift(net.params, table[l, OFFSET])
        if gradient:
            fill(ld, (shift(a, k * ld),), (1.0,))
        start = START_COLUMN if table[l, HAS_BIAS] else START_ZERO
        hidden = l + 1 < layers
        end = END_RELU if hidden and activation == RELU else END_STORE
        gemm(n, ld, k, w, 1, n, a, ld, False, None, z, ld, start, shift(w, k * n), end, z, ld, packed)
        if hidden and activation != RELU and activation != IDENTITY:
            if gradient and not by_output(delta_ending(activation, 0.0)):
                _activate(activation, 1, n * ld, 0, z, z, shift(arena, places[l + 1, DELTA]))
            else:
                _apply(activation, 1, n * ld, 0, z, z)


@inner
def loss_columns(net, ints, reals, ld):
    """Losses of a block's columns into ROWS, and output deltas, times each row's scale, from the logits in the last buffer."""
    table, arena, places = net.table, net.arena, net.places
    layers = len(table)
    k, activation = table[layers - 1, WIDTH], table[layers - 1, ACTIVATION]
    z, d = shift(arena, places[layers, BUFFER]), shift(arena, places[layers, DELTA])
    t, each, rows = scratch_of(net, TARGETS), scratch_of(net, EACH), scratch_of(net, ROWS)
    factor = 1.0
    if ints[LOSS] == CROSS_ENTROPY:
        keep, spread = 1.0 - reals[SMOOTHING], reals[SMOOTHING] / k
        cross_entropy_columns(k, ld, z, d, t, keep, spread, most_of(reals[LOSS_PARAM]), rows, each)
    else:
        if not is_sum(ints[LOSS]):
            factor = 0.5 if ints[LOSS] == HALF_MSE else 1.0 / k
        loss_of_elements(ints, reals, activation, k * ld, z, d, t, each)
        copy(ld, (each, rows), ())
        for j in range(1, k):
            accumulate(ld, (rows, shift(each, j * ld)), ())
        scale(ld, (rows,), (factor,))
    for j in range(k):
        _times(ld, (shift(d, j * ld), scratch_of(net, SCALES)), (factor,))


@inner
def _weight_gradient(m, n, k, a, d, dw, add, packed):
    """dw (m, n) = A @ D.T for columns A (m, k) and D (n, k), added to dw if `add`; k is whole vectors.

    By dot products, which end in sums over lanes; or D is turned to rows first. Measured, see docs/performance.md.
    """
    lanes = lanes_of(a)
    width = (n + lanes - 1) // lanes * lanes
    if 10 * k * (width + m * (width - n) // lanes) >= 3 * lanes * m * n:
        products(m, n, k, a, d, dw, add)
        return
    rows = shift(packed, PACKED)
    for j in range(0, n, lanes):
        for p in range(0, k, lanes):
            transpose(min(lanes, n - j), lanes, shift(d, j * k + p), k, shift(rows, p * width + j), width)
    end = END_ADD if add else END_STORE
    gemm(m, n, k, a, k, 1, rows, width, False, None, dw, n, START_ZERO, dw, end, dw, n, packed)


@inner
def backward_columns(net, ld, grad, add):
    """Every weight gradient from a block's columns, added to `grad` if `add`, and the deltas that they need."""
    table, arena, places = net.table, net.arena, net.places
    layers = len(table)
    packed = scratch_of(net, PACK)
    for l in range(layers - 1, -1, -1):
        k, n = table[l, FAN_IN], table[l, WIDTH]
        a, d = shift(arena, places[l, BUFFER]), shift(arena, places[l + 1, DELTA])
        _weight_gradient(k + table[l, HAS_BIAS], n, ld, a, d, shift(grad, table[l, OFFSET]), add, packed)
        if l > 0:
            end, out = delta_ending(table[l - 1, ACTIVATION], 0.0), shift(arena, places[l, DELTA])
            aux = a if by_output(end) else out
            w = shift(net.params, table[l, OFFSET])
            gemm(k, ld, n, w, n, 1, d, ld, False, None, out, ld, START_ZERO, out, end, aux, ld, packed)


@inner
def predict_columns(net, x, out, at, m):
    """Outputs of rows `at` + 0..m."""
    table, arena, places = net.table, net.arena, net.places
    layers = len(table)
    ld, k, n, activation = _padded(m), table[0, FAN_IN], table[layers - 1, WIDTH], table[layers - 1, ACTIVATION]
    z = shift(arena, places[layers, BUFFER])
    _turn_in(address(x, at * k), k, m, shift(arena, places[0, BUFFER]), ld)
    forward_columns(net, ld, False)
    if activation == SOFTMAX:
        each = scratch_of(net, EACH)
        softmax_columns(n, ld, z, z, each, shift(each, ld))
    elif n == 1:
        _apply(activation, 1, m, 0, z, address(out, at))
        return
    else:
        _apply(activation, 1, n * ld, 0, z, z)
    for j in range(n):
        column = address(out, at * n + j)
        for i in range(m):
            poke(column, i * n, peek(z, j * ld + i))
