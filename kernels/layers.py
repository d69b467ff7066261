"""A block of rows through the layers and back: outputs, deltas and weight gradients, of dense layers and of special ones.

Special are an embedding and layers with alphas. They have functions of their own, so that a step of a small network does not
take longer for them: a network without any asks once for each layer.
"""

from __future__ import annotations

from .activations import _activate, _apply, _softmax_row
from .alphas import blend, blend_with_slopes, through_blend
from .dense import by_output, delta, delta_ending, forward, weight_gradient
from .embedding import embed, embedding_gradient, embedding_input_gradient
from .ids import ACTIVATION, FAN_IN, HAS_ALPHA, HAS_BIAS, OFFSET, RELU, SOFTMAX, WIDTH
from .jit import glue, inner
from .layout import PAD, _padded, embeds, n_rows
from .maps import scale
from .network import BUFFER, DELTA, GAIN, SLOPE, STRIDE, _set_ones, rows_of
from .rng import _dropout, kept_scale
from .simd import shift
from .sparse import sparse_forward, sparse_weight_gradient
from .tile import END_STORE, END_TIMES, END_WHERE_POSITIVE


@glue
def _ending(activation, width, rate):
    """As `delta_ending`, but for a single unit, whose ReLU is not in the product."""
    return END_TIMES if activation == RELU and width == 1 else delta_ending(activation, rate)


@glue
def forward_layer(net, l, epoch, row, gradient, first, last, left, right, a, lda, z, ldz, packed):
    """Columns left..right of layer l's outputs z for a block's rows first..last, from its inputs a; with f' if `gradient`.

    Dropout masks are those of the epoch's rows from `row` on, the block's first. An embedding makes all columns.
    """
    if net.special:
        _forward_special(net, l, epoch, row, gradient, first, last, left, right, a, lda, z, ldz, packed)
    else:
        _forward_dense(net, l, epoch, row, gradient, first, last, left, right, a, lda, z, ldz, packed)


@glue
def _product(net, l, m, left, right, a, lda, z, ldz, fused, packed):
    """Columns left..right of z = a W + b for m rows, ended with ReLU if `fused`."""
    table = net.table
    k, n = table[l, FAN_IN], table[l, WIDTH]
    w = shift(net.params, table[l, OFFSET] + left)
    bias, part = shift(w, k * n), shift(z, left)
    if l == 0 and net.sparse:
        sparse_forward(m, right - left, a, lda, w, n, bias, table[l, HAS_BIAS], part, ldz, fused)
    else:
        forward(m, right - left, k, a, lda, w, n, bias, table[l, HAS_BIAS], part, ldz, fused, packed)


@inner
def _forward_dense(net, l, epoch, row, gradient, first, last, left, right, a, lda, z, ldz, packed):
    table = net.table
    m, columns, n = last - first, right - left, table[l, WIDTH]
    activation = table[l, ACTIVATION]
    rate = net.rates[l] if net.training else 0.0
    ending = _ending(activation, n, rate) if l + 1 < table.shape[0] else END_STORE
    fused = ending == END_WHERE_POSITIVE
    _product(net, l, m, left, right, a, lda, z, ldz, fused, packed)
    if ending != END_STORE and not fused:
        # Whole vectors, without masks; where that is more than the units, it writes over the column of ones.
        width, part = _padded(columns), shift(z, left)
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
def _forward_special(net, l, epoch, row, gradient, first, last, left, right, a, lda, z, ldz, packed):
    table, m, n, columns = net.table, last - first, net.table[l, WIDTH], right - left
    if embeds(table, l):
        embed(table, net.params, m, a, lda, z, ldz, packed)
        return
    if not table[l, HAS_ALPHA]:
        _forward_dense(net, l, epoch, row, gradient, first, last, left, right, a, lda, z, ldz, packed)
        return
    _product(net, l, m, left, right, a, lda, z, ldz, False, packed)
    alpha = shift(net.params, table[l, OFFSET] + (table[l, FAN_IN] + table[l, HAS_BIAS]) * n + left)
    at = first * ldz + left
    gain, slope = shift(net.arena, net.places[l + 1, GAIN] + at), shift(net.arena, net.places[l + 1, SLOPE] + at)
    activation, part, width = table[l, ACTIVATION], shift(z, left), _padded(columns)
    if not gradient:
        blend(activation, m, columns, width, ldz, part, alpha, gain)
        return
    blend_with_slopes(activation, m, columns, width, ldz, part, alpha, gain, slope)
    rate = net.rates[l] if net.training else 0.0
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


@glue
def backward_layer(net, l, first, last, left, right, packed):
    """Columns left..right of the delta of layer l's inputs, for rows first..last."""
    if net.special:
        _backward_special(net, l, first, last, left, right, packed)
    else:
        _backward_dense(net, l, first, last, left, right, packed)


@inner
def _backward_dense(net, l, first, last, left, right, packed):
    rate = net.rates[l - 1] if net.training else 0.0
    ending = _ending(net.table[l - 1, ACTIVATION], net.table[l - 1, WIDTH], rate)
    ldo = net.places[l, STRIDE]
    out = shift(net.arena, net.places[l, DELTA] + first * ldo)
    aux = shift(net.arena, net.places[l, BUFFER] + first * ldo) if by_output(ending) else out
    delta_rows(net, l, first, last, left, right, out, ldo, ending, aux, packed)
    if ending == END_WHERE_POSITIVE and rate > 0.0:
        rows, columns = last - first, right - left
        if columns == net.table[l, FAN_IN]:  # all in one go, with what lies between
            rows, columns = 1, rows * ldo
        for i in range(rows):
            scale(columns, (shift(out, i * ldo + left),), (kept_scale(rate),))


@inner
def _backward_special(net, l, first, last, left, right, packed):
    if not (net.table[l - 1, HAS_ALPHA] or embeds(net.table, l - 1)):
        _backward_dense(net, l, first, last, left, right, packed)
        return
    ldo = net.places[l, STRIDE]
    out = shift(net.arena, net.places[l, DELTA] + first * ldo)
    delta_rows(net, l, first, last, left, right, out, ldo, END_STORE, out, packed)
    if net.table[l - 1, HAS_ALPHA]:
        at = first * ldo + left
        gain, slope = shift(net.arena, net.places[l, GAIN] + at), shift(net.arena, net.places[l, SLOPE] + at)
        through_blend(last - first, right - left, ldo, shift(out, left), gain, slope)


@inner
def delta_rows(net, l, first, last, left, right, out, ldo, ending, aux, packed):
    """Columns left..right of rows first..last of layer l's delta times its transposed weights, into out."""
    table, places = net.table, net.places
    n, ldd = table[l, WIDTH], places[l + 1, STRIDE]
    d = shift(net.arena, places[l + 1, DELTA] + first * ldd)
    w = shift(net.params, table[l, OFFSET] + left * n)
    delta(last - first, right - left, n, d, ldd, w, shift(out, left), ldo, ending, shift(aux, left), packed)


@inner
def input_rows(net, first, last, left, right, out, packed):
    """Columns left..right of rows first..last of the loss's gradient by the inputs, into out; all columns of an embedding's."""
    if embeds(net.table, 0):
        a, lda = rows_of(net, 0, first)
        ldd = net.places[1, STRIDE]
        d = shift(net.arena, net.places[1, DELTA] + first * ldd)
        embedding_input_gradient(net.table, net.params, last - first, a, lda, d, ldd, out, packed)
    else:
        delta_rows(net, 0, first, last, left, right, out, net.table[0, FAN_IN], END_STORE, out, packed)


@glue
def layer_gradient(net, l, first, last, at, m, grad, end, packed):
    """Rows first..last of layer l's weight gradient from the m rows of a block from `at` on, at its place in `grad`.

    It is added to what is there if `end` is END_ADD. So sums over many rows are sums of sums, of which less is rounded off.
    """
    if net.special:
        _special_gradient(net, l, first, last, at, m, grad, end, packed)
    else:
        _dense_gradient(net, l, first, last, at, m, grad, end, packed)


@inner
def _dense_gradient(net, l, first, last, at, m, grad, end, packed):
    table, arena, places = net.table, net.arena, net.places
    lda, ldd = places[l, STRIDE], places[l + 1, STRIDE]
    a, d = shift(arena, places[l, BUFFER] + at * lda), shift(arena, places[l + 1, DELTA] + at * ldd)
    dw = shift(grad, table[l, OFFSET])
    if l == 0 and net.sparse:
        sparse_weight_gradient(first, last, table[l, FAN_IN], table[l, WIDTH], m, a, lda, d, ldd, dw, end)
    else:
        weight_gradient(first, last, table[l, WIDTH], m, a, lda, d, ldd, dw, end, packed)


@inner
def _special_gradient(net, l, first, last, at, m, grad, end, packed):
    table, n, ldd, dw = net.table, net.table[l, WIDTH], net.places[l + 1, STRIDE], shift(grad, net.table[l, OFFSET])
    if embeds(table, l):
        a, lda = rows_of(net, l, at)
        d = shift(net.arena, net.places[l + 1, DELTA] + at * ldd)
        embedding_gradient(table, net.params, first, last, m, a, lda, d, ldd, dw, end, packed)
        return
    if table[l, HAS_ALPHA] and last == n_rows(table, l):
        last -= 1
        outputs, _ = rows_of(net, l + 1, at)  # behind which there are ones, whose products with the gains are sums
        gain = shift(net.arena, net.places[l + 1, GAIN] + at * ldd)
        weight_gradient(0, 1, n, m, shift(outputs, n), ldd, gain, ldd, shift(dw, last * n), end, packed)
    if first < last:
        _dense_gradient(net, l, first, last, at, m, grad, end, packed)


@inner
def weight_gradients(net, at, m, bounds, tid, grad, end, packed):
    """This thread's rows of every weight gradient from the m rows of a block from `at` on; as `layer_gradient`."""
    for l in range(net.table.shape[0]):
        if bounds[l, tid] < bounds[l, tid + 1]:
            layer_gradient(net, l, bounds[l, tid], bounds[l, tid + 1], at, m, grad, end, packed)
