"""The three products of a dense layer on pointers: forward, delta, weight gradient."""

from __future__ import annotations

import numpy as np

from .dots import DOT_ROWS, dots
from .gemm import PACKED, gemm, product
from .ids import IDENTITY, RELU, SELU, TANH
from .jit import allocating_entry, glue
from .maps import rectify
from .simd import address, cast, peek, shift
from .stack import hold
from .tile import END_RELU, END_SELU, END_STORE, END_TANH, END_TIMES, END_WHERE_POSITIVE, START_BIAS, START_ZERO


@glue
def forward(m, n, k, a, lda, w, ldw, bias, has_bias, z, ldz, relu, packed):
    """z = a @ w + bias for a (m, k), w (k, n) of stride ldw, z (m, n); max(z, 0) if relu, which must be 0 where ldw is 1."""
    if ldw == 1:
        start = peek(bias, 0) if has_bias else cast(a, 0.0)
        for i in range(0, m, DOT_ROWS):
            dots(min(DOT_ROWS, m - i), k, shift(a, i * lda), lda, w, start, shift(z, i * ldz), ldz)
    else:
        start = START_BIAS if has_bias else START_ZERO
        product(m, n, k, a, lda, 1, w, ldw, z, ldz, start, bias, END_RELU if relu else END_STORE, z, ldz, packed)


@glue
def weight_gradient(first, last, n, m, a, lda, d, ldd, dw, end, packed):
    """Rows first..last of dw (k, n) = a.T @ d for a (m, k), d (m, n); added to dw if `end` is END_ADD."""
    if n == 1:
        a, dw = shift(a, first), shift(dw, first)
        product(1, last - first, m, d, 1, ldd, a, lda, dw, 1, START_ZERO, dw, end, dw, 1, packed)
    else:
        a, dw = shift(a, first), shift(dw, first * n)
        product(last - first, n, m, a, 1, lda, d, ldd, dw, n, START_ZERO, dw, end, dw, n, packed)


@glue
def delta(m, k, n, d, ldd, w, out, ldo, end, aux, packed):
    """out = d @ w.T for d (m, n), w (k, n); ended as `end` says with aux (m, k) of stride ldo."""
    if n == 1:  # its own transpose
        product(m, k, 1, d, ldd, 1, w, k, out, ldo, START_ZERO, out, end, aux, ldo, packed)
    else:
        gemm(m, k, n, d, ldd, 1, w, n, True, None, out, ldo, START_ZERO, out, end, aux, ldo, packed)


@glue
def delta_ending(activation, rate):
    """How a hidden layer's f' enters the delta: not at all, by the layer's output, or as numbers kept in the delta.

    Of ReLU the output's sign tells it, with dropout at `rate` all but what is left is scaled by; of tanh and SELU the output.
    """
    if activation == RELU:
        return END_WHERE_POSITIVE
    if activation == TANH and rate == 0.0:
        return END_TANH
    if activation == SELU and rate == 0.0:
        return END_SELU
    return END_STORE if rate == 0.0 and activation == IDENTITY else END_TIMES


@glue
def by_output(ending):
    """Whether f' enters the delta by the layer's output."""
    return ending != END_STORE and ending != END_TIMES


@allocating_entry
def linear_fwd(x, w, bias, z):
    """z = x @ w + bias for x (M, K), w (K, N), bias (N,) or (0,), z (M, N); all C-contiguous, z overlaps nothing."""
    m, k = x.shape
    n = w.shape[1]
    packed = np.empty(PACKED, x.dtype)
    forward(m, n, k, address(x, 0), k, address(w, 0), n, address(bias, 0), bias.size > 0, address(z, 0), n, False,
            address(packed, 0))  # fmt: skip
    hold(packed)


@allocating_entry
def linear_fwd_relu(x, w, bias, a):
    """a = max(x @ w + bias, 0), in one pass; arguments as in linear_fwd."""
    m, k = x.shape
    n = w.shape[1]
    packed = np.empty(PACKED, x.dtype)
    out = address(a, 0)
    forward(m, n, k, address(x, 0), k, address(w, 0), n, address(bias, 0), bias.size > 0, out, n, n > 1, address(packed, 0))
    hold(packed)
    if n == 1:
        rectify(m, (out,), ())


@allocating_entry
def linear_bwd_d(d, w, g, out):
    """out = (d @ w.T) * g for d (M, N), w (K, N), g (M, K) the derivative f', out (M, K), which may be g."""
    m, n = d.shape
    k = w.shape[0]
    packed = np.empty(PACKED, d.dtype)
    delta(m, k, n, address(d, 0), n, address(w, 0), address(out, 0), k, END_TIMES, address(g, 0), address(packed, 0))
    hold(packed)


@allocating_entry
def linear_bwd_w(x, d, dw, db):
    """dw = x.T @ d and db = the sums of d's columns; x (M, K), d (M, N), dw (K, N), db (N,) or (0,) for no bias."""
    m, k = x.shape
    n = d.shape[1]
    packed = np.empty(PACKED, x.dtype)
    weight_gradient(0, k, n, m, address(x, 0), k, address(d, 0), n, address(dw, 0), END_STORE, address(packed, 0))
    if db.size > 0:
        ones = np.ones(m, x.dtype)
        sums = address(db, 0)
        gemm(1, n, m, address(ones, 0), 0, 1, address(d, 0), n, False, None, sums, n, START_ZERO, sums, END_STORE, sums, n,
             address(packed, 0))  # fmt: skip
        hold(ones)
    hold(packed)
