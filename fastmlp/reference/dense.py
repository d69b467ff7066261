"""The three products of a dense layer: forward, back to its input, back to its weights."""

from __future__ import annotations

import numpy as np


@np.errstate(all="ignore")
def linear_fwd(x: np.ndarray, w: np.ndarray, bias: np.ndarray, z: np.ndarray) -> None:
    """Go forward: z = x @ w + bias.

    Parameters
    ----------
    x : ndarray of shape (M, K)
        Input, a row per sample.
    w : ndarray of shape (K, N)
        Weights.
    bias : ndarray of shape (N,), or (0,) for a layer without
        Added to each row.
    z : ndarray of shape (M, N)
        Overwritten. It overlaps none of the others; all have one dtype and are C-contiguous, as everywhere below.
    """
    np.matmul(x, w, out=z)  # (M, K) @ (K, N) -> (M, N)
    if bias.size:
        z += bias


@np.errstate(all="ignore")
def linear_fwd_relu(x: np.ndarray, w: np.ndarray, bias: np.ndarray, a: np.ndarray) -> None:
    """Go forward with ReLU: a = max(x @ w + bias, 0); arguments as in `linear_fwd`."""
    linear_fwd(x, w, bias, a)
    np.maximum(a, 0, out=a)


@np.errstate(all="ignore")
def linear_bwd_d(d: np.ndarray, w: np.ndarray, g: np.ndarray, out: np.ndarray) -> None:
    """Compute the delta of the layer before: out = (d @ w.T) * g.

    Parameters
    ----------
    d : ndarray of shape (M, N)
        This layer's delta, the loss's derivative by z.
    w : ndarray of shape (K, N)
        This layer's weights.
    g : ndarray of shape (M, K)
        The derivative f' where the layer before has its outputs.
    out : ndarray of shape (M, K)
        Overwritten; it may be g.
    """
    np.multiply(d @ w.T, g, out=out)  # (M, N) @ (N, K) -> (M, K)


@np.errstate(all="ignore")
def linear_bwd_w(x: np.ndarray, d: np.ndarray, dw: np.ndarray, db: np.ndarray) -> None:
    """Compute the gradients of a layer's parameters: dw = x.T @ d, and db = the sums of d's columns.

    Parameters
    ----------
    x : ndarray of shape (M, K)
        The layer's input.
    d : ndarray of shape (M, N)
        Its delta.
    dw : ndarray of shape (K, N)
        Overwritten.
    db : ndarray of shape (N,), or (0,) for a layer without bias
        Overwritten.
    """
    np.matmul(x.T, d, out=dw)  # (K, M) @ (M, N) -> (K, N)
    if db.size:
        d.sum(axis=0, out=db)
