"""What a network answers without training: outputs, activations, and products with its Jacobian."""

from __future__ import annotations

from .columns import predict_columns
from .dense import copy
from .ids import ACTIVATION, FAN_IN, SOFTMAX, WIDTH
from .jit import inner
from .loss import _softmax_back, output_derivative
from .minibatch import ACTIVATIONS
from .network import BUFFER, DELTA, STRIDE, backward_rows, delta_rows, forward_rows, output_rows
from .simd import address, peek, poke, shift
from .threads import ABORT
from .tile import END_STORE


@inner
def _predict(task, net, x, out, part, room):
    """Outputs of all rows, or with ACTIVATIONS every layer's; each thread takes a stretch of the rows.

    Inputs are read where they are, and outputs made where they shall be.
    """
    table, arena, places = net.table, net.arena, net.places
    layers = table.shape[0]
    ldx, k, ldo = x.shape[1], table[layers - 1, WIDTH], out.shape[1]
    per_thread = max(1, room // part.n)
    rows = x.shape[0]
    low, high = (rows * part.tid) // part.n, (rows * (part.tid + 1)) // part.n
    first = part.tid * per_thread
    for at in range(low, high, per_thread):
        if part.sync[ABORT] != 0:
            break
        m = min(per_thread, high - at)
        z = address(out, at * ldo + ldo - k)
        forward_rows(net, 0, 0, False, first, first + m, address(x, at * ldx), ldx, z, ldo, part.packed)
        output_rows(table[layers - 1, ACTIVATION], m, k, z, ldo)
        if task == ACTIVATIONS:
            column = 0
            for l in range(1, layers):
                width, ld = table[l - 1, WIDTH], places[l, STRIDE]
                for i in range(m):
                    a = shift(arena, places[l, BUFFER] + (first + i) * ld)
                    copy(width, (a, address(out, (at + i) * ldo + column)), ())
                column += width


@inner
def _predict_columns(net, x, order, out, part, block):
    """Outputs of all rows, by columns; each thread takes a stretch of the rows."""
    rows = x.shape[0]
    low, high = (rows * part.tid) // part.n, (rows * (part.tid + 1)) // part.n
    for at in range(low, high, block):
        if part.sync[ABORT] != 0:
            break
        predict_columns(net, x, order, out, at, min(block, high - at))


@inner
def _vjp(net, x, d_out, out, packed, room):
    """d_in (in `out`) = d_out times each row's Jacobian, for d_out (rows, outputs), d_in (rows, inputs)."""
    table, arena, places = net.table, net.arena, net.places
    layers = table.shape[0]
    k_in, k, activation = table[0, FAN_IN], table[layers - 1, WIDTH], table[layers - 1, ACTIVATION]
    ldx, ldz = places[0, STRIDE], places[layers, STRIDE]
    z, d = shift(arena, places[layers, BUFFER]), shift(arena, places[layers, DELTA])
    for at in range(0, x.shape[0], room):
        m = min(room, x.shape[0] - at)
        for i in range(m):
            copy(k_in, (address(x, (at + i) * k_in), shift(arena, places[0, BUFFER] + i * ldx)), ())
        forward_rows(net, 0, 0, True, 0, m, shift(arena, places[0, BUFFER]), ldx, z, ldz, packed)
        output_derivative(activation, m, k, z, ldz, d)
        for i in range(m):
            for j in range(k):
                poke(d, i * ldz + j, peek(d, i * ldz + j) * d_out[at + i, j])
        if activation == SOFTMAX:
            _softmax_back(m, k, d, z, ldz)
        backward_rows(net, 0, m, packed)
        d_in = shift(out, at * k_in)
        delta_rows(net, 0, 0, m, d_in, k_in, END_STORE, d_in, packed)
