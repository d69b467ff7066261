"""How a kernel's result is compared with the reference's.

A sum of K products a·b that is rounded after each step is off by at most about K·eps·Σ|a||b|, in whatever order it was
summed (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1). So the bound is worked out for each
element from the operands, instead of one tolerance that is too tight for some and accepts wrong results in others.
The bounds count one eps per operation, which is two roundings: one for the kernel and one for the reference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastmlp.reference import ids, train
from fastmlp.reference.activations import activate, softmax
from fastmlp.reference.loss import loss_and_delta
from tests.nets import PARTNER, Data, Net

# Largest |f''| and |f'| of any activation but exp (SELU's), and the error of f, f' and the losses in eps.
_CURVED, _STEEP, _MATHS = 1.8, 1.8, 4


def eps(dtype) -> float:
    """Distance from 1 to the next number."""
    return float(np.finfo(dtype).eps)


def assert_within(got, expected, bound) -> None:
    """|got - expected| <= bound in each element; where expected is NaN or infinite, got is the same."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape, f"shape {got.shape}, expected {expected.shape}"
    bound = np.broadcast_to(np.asarray(bound, np.float64), got.shape)
    finite = np.isfinite(expected)
    assert np.isfinite(bound[finite]).all(), "a bound that is not finite would accept anything"
    # In float64, since float32's differences are themselves rounded.
    off = np.abs(got.astype(np.float64) - np.where(finite, expected, 0))
    same = (got == expected) | (np.isnan(got) & np.isnan(expected))
    wrong = ~np.where(finite, off <= bound, same)
    if wrong.any():
        with np.errstate(all="ignore"):
            excess = np.where(wrong, np.where(np.isfinite(off), off / bound, np.inf), -1.0)
        at = np.unravel_index(int(excess.argmax()), got.shape)
        raise AssertionError(
            f"{int(wrong.sum())} of {got.size} elements are wrong; at {tuple(int(i) for i in at)}: got {got[at]!r}, "
            f"expected {expected[at]!r}, bound {bound[at]:.3g}"
        )


def assert_close(got, expected, scale=None, errors: float = 4) -> None:
    """Got is off by at most `errors` eps of `scale`, by default of the expected number itself."""
    got = np.asarray(got)
    scale = np.abs(expected) if scale is None else scale
    assert_within(got, expected, errors * eps(got.dtype) * scale + _smallest(got.dtype))


def assert_product(got, expected, a, b, start=0.0, factor=1.0) -> None:
    """Got and expected are both (start + a @ b) * factor, for a (M, K), b (K, N); start and factor broadcast."""
    a, b, start, factor = (np.abs(np.asarray(v, np.float64)) for v in (a, b, start, factor))
    magnitude = (a @ b + start) * factor  # |A||B|
    terms = a.shape[1] + 2
    got = np.asarray(got)
    assert_within(got, expected, terms * eps(got.dtype) * magnitude + terms * _smallest(got.dtype))


def _smallest(dtype) -> float:
    """The smallest normal number: results below it may be flushed to zero."""
    return float(np.finfo(dtype).tiny)


@dataclass
class Bounds:
    """How far a network's results in some dtype may be from the exact ones; shapes as the results'."""

    outputs: np.ndarray
    activations: np.ndarray
    loss: float
    grad: np.ndarray
    d_in: np.ndarray


def network_bounds(net: Net, data: Data, dtype) -> Bounds:
    """Follow the rounding errors of a network through it, layer by layer: a running error analysis.

    `net` and `data` are in float64. An error is carried on by |W| and f' (or f'', into f'); each product adds its own.
    Inputs must not sit on a kink of an activation or a loss.
    """
    u = eps(dtype)
    drop = train._dropout(net.ints, net.reals, len(net.table), int(net.ints[ids.ROW]))
    layers = train._layers(net.table, net.params)
    z, (inputs, slopes, gains) = train._forward(net.table, layers, data.x, drop)
    scale = 1 / (1 - net.reals[ids.N_REALS :][: len(net.table)].max())  # dropout's
    of_inputs, of_slopes, of_gains = [np.zeros_like(data.x)], [None], [None]
    for layer, (w, bias, alpha) in enumerate(layers):
        magnitude = np.abs(inputs[layer]) @ np.abs(w) + (np.abs(bias) if bias.size else 0)
        of_z = of_inputs[layer] @ np.abs(w) + (len(w) + 2) * u * magnitude
        if layer + 1 < len(layers):
            own = scale * _MATHS * u * (1 + magnitude)
            of_gains.append(scale * (1 + _STEEP) * of_z + 2 * own)
            part = np.abs(alpha) if alpha.size else 1
            own = own * (1 + part) if alpha.size else own
            of_inputs.append(np.abs(slopes[layer + 1]) * of_z + own)
            of_slopes.append(scale * _CURVED * part * of_z + own)
    p, steep, curved = _output_shape(net, z)
    logits = of_z.max(axis=1, keepdims=True) + _MATHS * u * np.abs(z).max(axis=1, keepdims=True)  # (n, 1)
    outputs = steep * logits + _MATHS * u * (1 + np.abs(z))

    rows, ones, delta = np.empty(len(z)), np.ones(len(z)), np.empty_like(z)
    weight = data.weight if data.weight.size else ones
    scales = weight if net.loss in ("SSE", "PRODUCT") or not weight.sum() else weight / weight.sum()
    loss_and_delta(net.ints[ids.LOSS], net.table[-1, ids.ACTIVATION], net.reals[ids.LOSS_PARAM],
                   net.reals[ids.SMOOTHING], z, data.y, scales, rows, delta)  # fmt: skip
    loss = (np.abs(delta) * logits).sum() + _MATHS * u * (scales * (np.abs(rows) + np.abs(z).sum(axis=1) + 1)).sum()
    # How a delta changes with the logits: l(p(z))'' = l'' p'² + l' p'', with |l'| and |l''| no more than a square's.
    bend = steep
    if net.loss not in PARTNER:
        bend = 2 * steep**2 + 2 * (np.abs(p) + np.abs(data.y)) * curved
        if net.loss == "PRODUCT":
            bend = 2 * (1 + np.abs(data.y)) * (steep + curved)
    share = 1 if net.loss in ("SSE", "PRODUCT", "HALF_MSE", "CROSS_ENTROPY") else 1 / z.shape[1]
    of_delta = scales[:, None] * share * (bend * logits + _MATHS * u * (np.abs(p) + np.abs(data.y)))
    grad = np.empty_like(net.params)
    values, errors = (inputs, slopes, gains), (of_inputs, of_slopes, of_gains)
    d_in = _backward(layers, values, errors, delta, of_delta, u, train._layers(net.table, grad))
    # Twice, for errors of errors.
    activations = np.concatenate([*of_inputs[1:], outputs], axis=1)
    return Bounds(2 * outputs, 2 * activations, 2 * loss, 2 * grad, 2 * d_in)


def _output_shape(net, z):
    """Outputs p, and bounds of the derivatives: how far p moves with the logits, and p' with them."""
    p = np.empty_like(z)
    activation = net.table[-1, ids.ACTIVATION]
    if activation == ids.SOFTMAX:
        softmax(z, p)
        return p, 2 * p, 4 * p  # Σ_j |∂p_i/∂z_j| = 2 p_i (1 - p_i)
    slope = np.empty_like(z)
    activate(activation, z.reshape(-1), p.reshape(-1), slope.reshape(-1))
    return p, np.abs(slope), p if activation == ids.EXP else _CURVED * np.ones_like(p) * (activation != ids.IDENTITY)


def _backward(layers, values, errors, delta, of_delta, u, gradients):
    """Errors of the gradients, left in `gradients`, and of ∂L/∂x, which is returned."""
    (inputs, slopes, gains), (of_inputs, of_slopes, of_gains) = values, errors
    d = np.abs(delta)
    for layer in range(len(layers) - 1, -1, -1):
        w, x = np.abs(layers[layer][0]), np.abs(inputs[layer])
        dw, db, _ = gradients[layer]
        terms = (len(x) + 2) * u
        dw[:] = of_inputs[layer].T @ d + x.T @ of_delta + terms * (x.T @ d)
        db[:] = (of_delta + terms * d).sum(axis=0) if db.size else 0
        d, of_delta = d @ w.T, of_delta @ w.T + (w.shape[1] + 2) * u * (d @ w.T)
        if layer > 0 and gains[layer] is not None:
            gain = np.abs(gains[layer])
            gradients[layer - 1][2][:] = (of_delta * gain + d * of_gains[layer] + terms * d * gain).sum(axis=0)
        if layer > 0:
            g = np.abs(slopes[layer])
            d, of_delta = d * g, of_delta * g + d * of_slopes[layer]
    return of_delta
