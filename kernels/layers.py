"""A block of rows through the layers and back: outputs, deltas and weight gradients, of dense layers and of special ones.

Special are an embedding and layers with alphas. Their rows are shared, not their units: they go over a block's numbers several
times. An argument `kind` is what `layout.special` says.
"""

from __future__ import annotations

from .activations import _activate, _apply, _softmax_rows
from .alphas import blend, blend_with_slopes, through_blend
from .dense import by_output, delta, delta_ending, forward, weight_gradient
from .embedding import embed, embedding_gradient, embedding_input_gradient
from .ids import ACTIVATION, FAN_IN, HAS_ALPHA, HAS_BIAS, OFFSET, RELU, SOFTMAX, WIDTH
from .jit import glue, inner
from .layout import PAD, _padded, embeds, n_rows
from .maps import accumulate, fill, scale
from .network import BUFFER, DELTA, GAIN, SLOPE, STRIDE, _set_ones, rows_of
from .rng import _dropout, kept_scale
from .simd import shift
from .sparse import sparse_forward, sparse_weight_gradient
from .tile import END_ADD, END_STORE, END_TIMES, END_WHERE_POSITIVE


@glue
def _ending(activation, width, rate):
    """As `delta_ending`, but for a single unit, whose ReLU is not in the product."""
    return END_TIMES if activation == RELU and width == 1 else delta_ending(activation, rate)


@inner
def forward_layer(net, l, epoch, row, gradient, first, last, left, right, a, lda, z, ldz, activate, packed):
    """Columns left..right of a dense layer's outputs z for a block's rows first..last, from inputs a; with f' if `gradient`.

    Dropout masks are those of the epoch's rows from `row` on, the block's first. If it does not activate, as the last layer, z
    is what comes before that.
    """
    table = net.table
    m, columns = last - first, right - left
    k, n = table[l, FAN_IN], table[l, WIDTH]
    w = shift(net.params, table[l, OFFSET] + left)
    bias, part = shift(w, k * n), shift(z, left)
    activation = table[l, ACTIVATION]
    rate = net.rates[l] if net.training else 0.0
    ending = _ending(activation, n, rate) if activate else END_STORE
    fused = ending == END_WHERE_POSITIVE
    if l == 0 and net.sparse:
        sparse_forward(m, columns, a, lda, w, n, bias, table[l, HAS_BIAS], part, ldz, fused)
    else:
        forward(m, columns, k, a, lda, w, n, bias, table[l, HAS_BIAS], part, ldz, fused, packed)
    if ending != END_STORE and not fused:
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
    elif gradient and rate > 0.0 and activate:
        _dropout(net.seed, epoch, row + first, l, rate, m, left, right, ldz, z, z, False)
        if columns % PAD > 0:
            _set_ones(m, n, z, ldz)


@inner
def _forward_special(net, l, epoch, row, gradient, first, last, a, lda, z, ldz, hidden, packed):
    table, m, n = net.table, last - first, net.table[l, WIDTH]
    if embeds(table, l):
        embed(table, net.params, m, a, lda, z, ldz, packed)
        return
    if not table[l, HAS_ALPHA]:
        forward_layer(net, l, epoch, row, gradient, first, last, 0, n, a, lda, z, ldz, hidden, packed)
        return
    forward_layer(net, l, epoch, row, gradient, first, last, 0, n, a, lda, z, ldz, False, packed)
    alpha = shift(net.params, table[l, OFFSET] + (table[l, FAN_IN] + table[l, HAS_BIAS]) * n)
    at, activation = first * ldz, table[l, ACTIVATION]
    gain, slope = shift(net.arena, net.places[l + 1, GAIN] + at), shift(net.arena, net.places[l + 1, SLOPE] + at)
    if not gradient:
        blend(activation, m, n, _padded(n), ldz, z, alpha, gain)
        return
    blend_with_slopes(activation, m, n, _padded(n), ldz, z, alpha, gain, slope)
    rate = net.rates[l] if net.training else 0.0
    if rate > 0.0:
        _dropout(net.seed, epoch, row + first, l, rate, m, 0, n, ldz, z, slope, True)
        _dropout(net.seed, epoch, row + first, l, rate, m, 0, n, ldz, gain, gain, False)
        if n % PAD > 0:
            _set_ones(m, n, z, ldz)


@inner
def forward_rows(kind, net, epoch, row, gradient, first, last, x, ldx, out, ldo, packed):
    """Take rows first..last of a block, whose inputs are x, to their logits, in `out`; as `forward_layer`."""
    layers = len(net.table)
    for l in range(layers):
        a, lda = rows_of(net, l, first)
        z, ldz = rows_of(net, l + 1, first)
        hidden = l + 1 < layers
        if l == 0:
            a, lda = x, ldx
        if not hidden:
            z, ldz = out, ldo
        if kind is None:
            forward_layer(net, l, epoch, row, gradient, first, last, 0, net.table[l, WIDTH], a, lda, z, ldz, hidden, packed)
        else:
            _forward_special(net, l, epoch, row, gradient, first, last, a, lda, z, ldz, hidden, packed)


@inner
def output_rows(activation, m, k, z, ldz, out, ldo):
    """The logits z become outputs; but for softmax z is `out`."""
    if activation == SOFTMAX:
        _softmax_rows(m, k, z, ldz, out, ldo)
    elif ldo == k:
        _apply(activation, 1, m * k, 0, out, out)
    else:
        _apply(activation, m, k, ldo, out, out)


@inner
def backward_rows(kind, net, first, last, packed):
    """Deltas of rows first..last from the last layer's down to the first's; the last one is there already."""
    for l in range(len(net.table) - 1, 0, -1):
        if kind is None:
            backward_layer(net, l, first, last, 0, net.table[l, FAN_IN], packed)
        else:
            _backward_special(net, l, first, last, packed)


@inner
def backward_layer(net, l, first, last, left, right, packed):
    """Columns left..right of the delta of a dense layer's inputs, which another one made, for rows first..last."""
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
def _backward_special(net, l, first, last, packed):
    n = net.table[l, FAN_IN]
    if not (net.table[l - 1, HAS_ALPHA] or embeds(net.table, l - 1)):
        backward_layer(net, l, first, last, 0, n, packed)
        return
    ldo = net.places[l, STRIDE]
    out = shift(net.arena, net.places[l, DELTA] + first * ldo)
    delta_rows(net, l, first, last, 0, n, out, ldo, END_STORE, out, packed)
    if net.table[l - 1, HAS_ALPHA]:
        at = first * ldo
        gain, slope = shift(net.arena, net.places[l, GAIN] + at), shift(net.arena, net.places[l, SLOPE] + at)
        through_blend(last - first, n, ldo, out, gain, slope)


@inner
def delta_rows(net, l, first, last, left, right, out, ldo, ending, aux, packed):
    """Columns left..right of rows first..last of layer l's delta times its transposed weights, into out."""
    table, places = net.table, net.places
    n, ldd = table[l, WIDTH], places[l + 1, STRIDE]
    d = shift(net.arena, places[l + 1, DELTA] + first * ldd)
    w = shift(net.params, table[l, OFFSET] + left * n)
    delta(last - first, right - left, n, d, ldd, w, shift(out, left), ldo, ending, shift(aux, left), packed)


@inner
def input_rows(kind, net, first, last, left, right, out, packed):
    """Columns left..right of rows first..last of the loss's gradient by the inputs, into out; all columns of an embedding's."""
    if kind is not None:
        if embeds(net.table, 0):
            a, lda = rows_of(net, 0, first)
            ldd = net.places[1, STRIDE]
            d = shift(net.arena, net.places[1, DELTA] + first * ldd)
            embedding_input_gradient(net.table, net.params, last - first, a, lda, d, ldd, out, packed)
            return
    delta_rows(net, 0, first, last, left, right, out, net.table[0, FAN_IN], END_STORE, out, packed)


@inner
def layer_gradient(kind, net, l, first, last, at, m, grad, end, packed):
    """Rows first..last of layer l's weight gradient from the m rows of a block from `at` on, at its place in `grad`.

    It is added to what is there if `end` is END_ADD. So sums over many rows are sums of sums, of which less is rounded off.
    """
    table, arena, places = net.table, net.arena, net.places
    lda, ldd = places[l, STRIDE], places[l + 1, STRIDE]
    a, d = shift(arena, places[l, BUFFER] + at * lda), shift(arena, places[l + 1, DELTA] + at * ldd)
    dw = shift(grad, table[l, OFFSET])
    if kind is not None:
        last = _special_gradient(net, l, first, last, at, m, a, lda, d, ldd, dw, end, packed)
        if first == last:
            return
    if l == 0 and net.sparse:
        sparse_weight_gradient(first, last, table[l, FAN_IN], table[l, WIDTH], m, a, lda, d, ldd, dw, end)
    else:
        weight_gradient(first, last, table[l, WIDTH], m, a, lda, d, ldd, dw, end, packed)


@inner
def _special_gradient(net, l, first, last, at, m, a, lda, d, ldd, dw, end, packed):
    """The gradient of an embedding, or of alphas; returns where the rows end that are left to do."""
    table, n = net.table, net.table[l, WIDTH]
    if embeds(table, l):
        embedding_gradient(table, net.params, first, last, m, a, lda, d, ldd, dw, end, packed)
        return first
    if not table[l, HAS_ALPHA] or last < n_rows(table, l):
        return last
    sums, gain = shift(dw, (last - 1) * n), shift(net.arena, net.places[l + 1, GAIN] + at * ldd)
    if end != END_ADD:
        fill(n, (sums,), (0.0,))
    for i in range(m):
        accumulate(n, (sums, shift(gain, i * ldd)), ())
    return last - 1


@inner
def weight_gradients(net, at, m, bounds, grad, end, packed):
    """This thread's rows of every weight gradient from the m rows of a block from `at` on; as `layer_gradient`."""
    for l in range(len(net.table)):
        if bounds[l, 0] < bounds[l, 1]:
            layer_gradient(net.special, net, l, bounds[l, 0], bounds[l, 1], at, m, grad, end, packed)
