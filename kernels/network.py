"""A network's way through a block of rows: where everything lies in the arena, forward, backward, the shares of threads.

Buffer l holds layer l's input, rows apart by its stride; the last one holds the outputs. Beside its units each row has a
column of ones, so that the gradient of the bias is one more row of the weights' gradient. A delta has its buffer's
strides; until the backward pass comes by it holds f'(z), where that is not told by the buffer's outputs.

A layer with alphas (alphas.py) has two more buffers, of its output's derivatives by z and by alpha. The backward pass turns
the latter into each row's gradient of alpha.
"""

from __future__ import annotations

from collections import namedtuple

from .activations import _activate, _apply, _softmax_row
from .alphas import blend, blend_with_slopes, through_blend
from .dense import by_output, delta, delta_ending, forward, weight_gradient
from .embedding import embed, embedding_gradient, embedding_input_gradient, embedding_room
from .gemm import PACKED
from .ids import ACTIVATION, FAN_IN, HAS_ALPHA, HAS_BIAS, OFFSET, RELU, SOFTMAX, WIDTH
from .jit import glue, inner
from .layout import PAD, _padded, embeds, n_of_number, n_params, n_rows, row_start
from .maps import scale
from .rng import _dropout, kept_scale
from .simd import poke, shift
from .sparse import sparse_forward, sparse_weight_gradient
from .tile import END_STORE, END_TIMES, END_WHERE_POSITIVE

# What a way through the network needs: the layer table, dropout rates, flat parameters, scratch and where things are in it,
# the seed, whether dropout is on, and whether inputs are sparse rows.
Net = namedtuple("Net", "table rates params arena places seed training sparse")

# Columns of `places`, one row per buffer; offsets in elements from the arena's start.
BUFFER, STRIDE, DELTA, SLOPE, GAIN, PLACES = range(6)
# The row after the last buffer's: scratch.
TARGETS, ROWS, SCALES, EACH, PACK = 0, 1, 2, 3, 4

# Rows go through the network in blocks. A network of few parameters takes as many rows as a part of a typical L2 cache
# holds; a larger one takes enough to be worth packing its weights for.
FEW_PARAMETERS, BLOCK_BYTES, MOST_ROWS, LARGE_ROWS = 16 * 1024, 160 * 1024, 1024, 256
# Units that are worth sharing for each thread; a group of dropout's masks, so that each has some.
SHARED = 64


@inner
def few_parameters(table):
    """Whether blocks of rows are worked on side by side, each thread with some of them and a gradient of its own."""
    return n_params(table) <= FEW_PARAMETERS


@inner
def block_limit(table):
    """Most rows that go through the network together: a matter of shapes alone."""
    if not few_parameters(table):
        return LARGE_ROWS
    per_row = _padded(table[0, FAN_IN] + 1)
    for layer in range(table.shape[0]):
        per_row += (2 + 2 * table[layer, HAS_ALPHA]) * _padded(table[layer, WIDTH] + 1)
    return max(8, min(MOST_ROWS, BLOCK_BYTES // (4 * per_row)) // 8 * 8)


@inner
def arrange(table, inputs, block, n_threads, places):
    """Fill `places` (layers + 2, PLACES) for blocks of `block` rows of `inputs` numbers; returns the elements they take."""
    layers = table.shape[0]
    at = 0
    for l in range(layers + 1):
        width = inputs if l == 0 else table[l - 1, WIDTH]
        stride = _padded(width + 1)
        if l == layers:
            stride = 1 if width == 1 else _padded(width)
        places[l, STRIDE] = stride
        places[l, BUFFER] = at
        at += _padded(block * stride)
        places[l, DELTA] = at
        if l > 0:
            size = _padded(block * stride)
            places[l, SLOPE], places[l, GAIN] = at + size, at + 2 * size
            at += (1 + 2 * table[l - 1, HAS_ALPHA]) * size
    scratch = places[layers + 1]
    outputs = _padded(block * places[layers, STRIDE])
    for column, size in ((TARGETS, outputs), (ROWS, _padded(block)), (SCALES, _padded(block)), (EACH, outputs),
                         (PACK, n_threads * own_room(table, block))):  # fmt: skip
        scratch[column] = at
        at += size
    return at


@inner
def own_room(table, block):
    """Scratch that each thread has for itself: for packing, and behind that what an embedding needs."""
    return PACKED + embedding_room(table, _padded(block))


@inner
def share(table, n_threads, bounds):
    """Split the rows of all weight matrices among threads: thread t has rows bounds[l, t] to bounds[l, t+1] of layer l.

    A bias counts as one more row, and so do alphas. Splits are at whole vectors. Each thread's rows are one stretch of the flat
    vectors.
    """
    layers = table.shape[0]
    total = 0
    for l in range(layers):
        total += n_rows(table, l) * _cost(table, l)
    before = 0
    for l in range(layers):
        rows, cost = n_rows(table, l), _cost(table, l)
        for t in range(n_threads + 1):
            row = ((total * t) // n_threads - before + cost // 2) // cost
            if row < rows and not embeds(table, l):
                row = (row + PAD // 2) // PAD * PAD
            bounds[l, t] = rows if t == n_threads else max(0, min(rows, row))
        before += rows * cost


@glue
def _cost(table, layer):
    """What the gradient of a row of parameters takes; that of a number is a few small products and waves."""
    return 4 * n_of_number(table) if embeds(table, layer) else _padded(table[layer, WIDTH])


@inner
def stretch(table, bounds, t):
    """Where thread t's part of the flat vector begins (and t-1's ends)."""
    for l in range(table.shape[0]):
        if bounds[l, t] < n_rows(table, l):
            return row_start(table, l, bounds[l, t])
    return n_params(table)


@glue
def shares_columns(units, m, n):
    """Whether n threads share a layer's units, each for all m rows of a block, or else rows, each for all units.

    Either way each reads what it shares: all inputs of the layer, or all of its weights.
    """
    return n > 1 and units >= SHARED * n and units >= m


@glue
def column_edge(net, l, units, t, n):
    """Where thread t's columns begin (and t-1's end) of buffer l with so many units: at whole groups of dropout's masks."""
    group = 64 if l > 0 and net.training and net.rates[l - 1] > 0.0 else PAD
    return min(units, (units + group - 1) // group * t // n * group)


@glue
def _ending(table, layer, rate):
    """As `delta_ending`, but for a single unit, whose ReLU is not in the product, and what has its f' elsewhere or none."""
    activation = table[layer, ACTIVATION]
    if table[layer, HAS_ALPHA] or embeds(table, layer):
        return END_STORE
    return END_TIMES if activation == RELU and table[layer, WIDTH] == 1 else delta_ending(activation, rate)


@glue
def _set_ones(rows, column, a, lda):
    for i in range(rows):
        poke(a, i * lda + column, 1.0)


@inner
def forward_layer(net, l, epoch, row, gradient, first, last, left, right, a, lda, z, ldz, packed):
    """Columns left..right of layer l's outputs z for a block's rows first..last, from its inputs a; with f' if `gradient`.

    Dropout masks are those of the epoch's rows from `row` on, the block's first.
    """
    table = net.table
    m, columns = last - first, right - left
    k, n = table[l, FAN_IN], table[l, WIDTH]
    if embeds(table, l):
        embed(table, net.params, m, a, lda, z, ldz, packed)
        return
    w = shift(net.params, table[l, OFFSET] + left)
    bias, part = shift(w, k * n), shift(z, left)
    activation = table[l, ACTIVATION]
    rate = net.rates[l] if net.training else 0.0
    ending = _ending(table, l, rate) if l + 1 < table.shape[0] else END_STORE
    fused = ending == END_WHERE_POSITIVE
    if l == 0 and net.sparse:
        sparse_forward(m, columns, a, lda, w, n, bias, table[l, HAS_BIAS], part, ldz, fused)
    else:
        forward(m, columns, k, a, lda, w, n, bias, table[l, HAS_BIAS], part, ldz, fused, packed)
    if table[l, HAS_ALPHA]:
        _blend_layer(net, l, epoch, row, gradient, first, m, left, right, z, ldz, rate)
    elif ending != END_STORE and not fused:
        # Whole vectors, without masks; where that is more than the units, it writes over the column of ones.
        width = _padded(columns)
        if gradient and ending == END_TIMES:
            g = shift(net.arena, net.places[l + 1, DELTA] + first * ldz + left)
            _activate(activation, m, width, ldz, part, part, g)
            if rate > 0.0:
                _dropout(net.seed, epoch, row + first, l, rate, m, left, right, ldz, z, shift(g, -left), True)
        else:
            _apply(activation, m, width, ldz, part, part)
        if gradient and width > columns:
            _set_ones(m, n, z, ldz)
    elif gradient and rate > 0.0 and l + 1 < table.shape[0]:
        _dropout(net.seed, epoch, row + first, l, rate, m, left, right, ldz, z, z, False)
        if columns % PAD > 0:
            _set_ones(m, n, z, ldz)


@inner
def _blend_layer(net, l, epoch, row, gradient, first, m, left, right, z, ldz, rate):
    """Make columns left..right of layer l's outputs from what its product left in z, as `forward_layer`; l has alphas."""
    table, n, columns = net.table, net.table[l, WIDTH], right - left
    alpha = shift(net.params, table[l, OFFSET] + (table[l, FAN_IN] + table[l, HAS_BIAS]) * n + left)
    gain = shift(net.arena, net.places[l + 1, GAIN] + first * ldz + left)
    activation, part, width = table[l, ACTIVATION], shift(z, left), _padded(columns)
    if not gradient:
        blend(activation, m, columns, width, ldz, part, alpha, gain)
        return
    slope = shift(net.arena, net.places[l + 1, SLOPE] + first * ldz + left)
    blend_with_slopes(activation, m, columns, width, ldz, part, alpha, gain, slope)
    if rate > 0.0:
        gain, slope = shift(gain, -left), shift(slope, -left)
        _dropout(net.seed, epoch, row + first, l, rate, m, left, right, ldz, z, slope, True)
        _dropout(net.seed, epoch, row + first, l, rate, m, left, right, ldz, gain, gain, False)
        if width > columns:
            _set_ones(m, n, z, ldz)


@inner
def forward_rows(net, epoch, row, gradient, first, last, x, ldx, out, ldo, packed):
    """Take rows first..last of a block, whose inputs are x, to their logits, in `out`; as `forward_layer`."""
    layers = net.table.shape[0]
    for l in range(layers):
        a, lda = rows_of(net, l, first)
        z, ldz = rows_of(net, l + 1, first)
        if l == 0:
            a, lda = x, ldx
        if l + 1 == layers:
            z, ldz = out, ldo
        forward_layer(net, l, epoch, row, gradient, first, last, 0, net.table[l, WIDTH], a, lda, z, ldz, packed)


@glue
def rows_of(net, buffer, first):
    """Where a buffer's rows begin from `first` on, and how far they are apart."""
    stride = net.places[buffer, STRIDE]
    return shift(net.arena, net.places[buffer, BUFFER] + first * stride), stride


@inner
def output_rows(activation, m, k, z, ld):
    """Logits become outputs, in place."""
    if activation == SOFTMAX:
        for i in range(m):
            _softmax_row(k, shift(z, i * ld), shift(z, i * ld))
    elif ld == k:
        _apply(activation, 1, m * k, 0, z, z)
    else:
        _apply(activation, m, k, ld, z, z)


@inner
def backward_rows(net, first, last, packed):
    """Deltas of rows first..last from the last layer's down to the first's; the last one is there already."""
    for l in range(net.table.shape[0] - 1, 0, -1):
        backward_layer(net, l, first, last, 0, net.table[l, FAN_IN], packed)


@inner
def backward_layer(net, l, first, last, left, right, packed):
    """Columns left..right of the delta of layer l's inputs, for rows first..last."""
    rate = net.rates[l - 1] if net.training else 0.0
    ending = _ending(net.table, l - 1, rate)
    ldo = net.places[l, STRIDE]
    out = shift(net.arena, net.places[l, DELTA] + first * ldo)
    aux = shift(net.arena, net.places[l, BUFFER] + first * ldo) if by_output(ending) else out
    delta_rows(net, l, first, last, left, right, out, ldo, ending, aux, packed)
    if net.table[l - 1, HAS_ALPHA]:
        at = first * ldo + left
        gain, slope = shift(net.arena, net.places[l, GAIN] + at), shift(net.arena, net.places[l, SLOPE] + at)
        through_blend(last - first, right - left, ldo, shift(out, left), gain, slope)
    elif ending == END_WHERE_POSITIVE and rate > 0.0:
        rows, columns = last - first, right - left
        if columns == net.table[l, FAN_IN]:  # all in one go, with what lies between
            rows, columns = 1, rows * ldo
        for i in range(rows):
            scale(columns, (shift(out, i * ldo + left),), (kept_scale(rate),))


@inner
def delta_rows(net, l, first, last, left, right, out, ldo, ending, aux, packed):
    """Columns left..right of rows first..last of layer l's delta times its transposed weights, into out."""
    table, places = net.table, net.places
    n, ldd = table[l, WIDTH], places[l + 1, STRIDE]
    d = shift(net.arena, places[l + 1, DELTA] + first * ldd)
    if embeds(table, l):
        a = shift(net.arena, places[0, BUFFER] + first * places[0, STRIDE])
        embedding_input_gradient(table, net.params, last - first, a, places[0, STRIDE], d, ldd, out, packed)
        return
    w = shift(net.params, table[l, OFFSET] + left * n)
    delta(last - first, right - left, n, d, ldd, w, shift(out, left), ldo, ending, shift(aux, left), packed)


@inner
def layer_gradient(net, l, first, last, at, m, grad, end, packed):
    """Rows first..last of layer l's weight gradient from the m rows of a block from `at` on, at its place in `grad`.

    It is added to what is there if `end` is END_ADD. So sums over many rows are sums of sums, of which less is rounded off.
    """
    table, arena, places = net.table, net.arena, net.places
    lda, ldd = places[l, STRIDE], places[l + 1, STRIDE]
    a, d = shift(arena, places[l, BUFFER] + at * lda), shift(arena, places[l + 1, DELTA] + at * ldd)
    dw = shift(grad, table[l, OFFSET])
    if embeds(table, l):
        embedding_gradient(table, net.params, first, last, m, a, lda, d, ldd, dw, end, packed)
        return
    if last == n_rows(table, l) and table[l, HAS_ALPHA]:
        last -= 1
        ones = shift(arena, places[l + 1, BUFFER] + at * ldd + table[l, WIDTH])
        gain = shift(arena, places[l + 1, GAIN] + at * ldd)
        weight_gradient(0, 1, table[l, WIDTH], m, ones, ldd, gain, ldd, shift(dw, last * table[l, WIDTH]), end, packed)
        if first == last:
            return
    if l == 0 and net.sparse:
        sparse_weight_gradient(first, last, table[l, FAN_IN], table[l, WIDTH], m, a, lda, d, ldd, dw, end)
    else:
        weight_gradient(first, last, table[l, WIDTH], m, a, lda, d, ldd, dw, end, packed)


@inner
def weight_gradients(net, at, m, bounds, tid, grad, end, packed):
    """This thread's rows of every weight gradient from the m rows of a block from `at` on; as `layer_gradient`."""
    for l in range(net.table.shape[0]):
        if bounds[l, tid] < bounds[l, tid + 1]:
            layer_gradient(net, l, bounds[l, tid], bounds[l, tid + 1], at, m, grad, end, packed)
