"""Tapes: an expression of scalars as a list of operations, run forward and backward for one row of inputs after another.

All numbers of a tape have a slot: the inputs, the parameters and constants, then the results of the operations in their order,
the last of which is the expression's value. An operation is a row (op, left, right) of `code`, with the slots of its operands;
an operation on one number has it on the left, and on the right the same.
"""

from __future__ import annotations

import numpy as np

from .ids import (
    OP_ABS,
    OP_ADD,
    OP_COS,
    OP_DIV,
    OP_EXP,
    OP_LOG,
    OP_LOG1P,
    OP_MUL,
    OP_NEG,
    OP_POW,
    OP_POWER,
    OP_RELU,
    OP_SIGMOID,
    OP_SIN,
    OP_SQUARE,
    OP_SUB,
    OP_TANH,
)


def _sigmoid(a):
    e = np.exp(-np.abs(a))
    return np.where(a < 0, e, 1) / (1 + e)


def _power(a, b):
    """Return a ** b, NaN for what is no real number, and inf for negative powers of zero whatever the zero's sign."""
    return np.where((a == 0) & (b < 0), np.inf, np.power(a, b))


# Op: its value for operands a and b.
_VALUE = {
    OP_ADD: lambda a, b: a + b,
    OP_SUB: lambda a, b: a - b,
    OP_MUL: lambda a, b: a * b,
    OP_DIV: lambda a, b: a / b,
    OP_POW: _power,
    OP_POWER: _power,
    OP_SQUARE: lambda a, b: a * a,
    OP_NEG: lambda a, b: -a,
    OP_EXP: lambda a, b: np.exp(a),
    OP_LOG: lambda a, b: np.log(a),
    OP_TANH: lambda a, b: np.tanh(a),
    OP_SIGMOID: lambda a, b: _sigmoid(a),
    OP_RELU: lambda a, b: np.where(a <= 0, 0, a),
    OP_SIN: lambda a, b: np.sin(a),
    OP_COS: lambda a, b: np.cos(a),
    OP_ABS: lambda a, b: np.abs(a),
    OP_LOG1P: lambda a, b: np.log1p(a),
}


def _base_slope(a, b, v):
    return np.where(b == 0, 0, b * _power(a, b - 1))


def _exponent_slope(a, b, v):
    """Return ∂(a**b)/∂b, NaN for a negative base, which has none."""
    return np.where(a > 0, v * np.log(np.where(a > 0, a, 1)), np.where(a == 0, 0, np.nan))


# Op: its derivatives by a, and by b if it has one, for operands a and b and its value v.
_SLOPES = {
    OP_ADD: (lambda a, b, v: 1, lambda a, b, v: 1),
    OP_SUB: (lambda a, b, v: 1, lambda a, b, v: -1),
    OP_MUL: (lambda a, b, v: b, lambda a, b, v: a),
    OP_DIV: (lambda a, b, v: 1 / b, lambda a, b, v: -v / b),
    OP_POW: (_base_slope, _exponent_slope),
    OP_POWER: (_base_slope,),
    OP_SQUARE: (lambda a, b, v: 2 * a,),
    OP_NEG: (lambda a, b, v: -1,),
    OP_EXP: (lambda a, b, v: v,),
    OP_LOG: (lambda a, b, v: 1 / a,),
    OP_TANH: (lambda a, b, v: 1 - v * v,),
    OP_SIGMOID: (lambda a, b, v: v * (1 - v),),
    OP_RELU: (lambda a, b, v: np.where(a <= 0, 0, 1),),
    OP_SIN: (lambda a, b, v: np.cos(a),),
    OP_COS: (lambda a, b, v: -np.sin(a),),
    OP_ABS: (lambda a, b, v: np.where(a > 0, 1, np.where(a < 0, -1, 0)),),
    OP_LOG1P: (lambda a, b, v: 1 / (1 + a),),
}


def _passed_on(slope, g):
    """Return slope * g, and nothing of any g, even inf and NaN, where the slope is 0."""
    return np.where(slope == 0, 0, slope * g)


def _outside(op, a, b):
    """Say for which rows there is no result: log of 0 and less, a / 0, 0 to a negative power, roots of negative numbers."""
    if op == OP_LOG1P:
        return a <= -1
    if op == OP_LOG:
        return a <= 0
    if op == OP_DIV:
        return b == 0
    if op in (OP_POW, OP_POWER):
        return ((a == 0) & (b < 0)) | ((a < 0) & np.isfinite(b) & (b != np.floor(b)))
    return np.zeros(a.shape, bool)


def _forward(code, slots, inputs):
    """Return all slots' numbers (slots, rows), and the first row's first operation without a result, or -1."""
    first = slots.shape[1] - len(code)
    numbers = np.empty((slots.shape[1], len(inputs)))
    numbers[: inputs.shape[1]] = inputs.T
    numbers[inputs.shape[1] : first] = slots[0, inputs.shape[1] : first, None]
    bad = np.full(len(inputs), -1)
    for n, (op, left, right) in enumerate(code.tolist()):
        a, b = numbers[left], numbers[right]
        bad[(bad < 0) & _outside(op, a, b)] = n
        numbers[first + n] = _VALUE[op](a, b)
    rows = np.flatnonzero(bad >= 0)
    if not rows.size:
        return numbers, -1
    slots[0] = numbers[:, rows[0]]
    return numbers, int(rows[0] * len(code) + bad[rows[0]])


@np.errstate(all="ignore")
def evaluate(code: np.ndarray, slots: np.ndarray, inputs: np.ndarray, values: np.ndarray) -> int:
    """Compute the value of a tape for each row of inputs.

    Parameters
    ----------
    code : ndarray of shape (N, 3), uint32
        The operations.
    slots : ndarray of shape (2, S), float64
        Row 0 has the parameters and constants in the slots that follow those of the inputs; the rest is scratch memory.
    inputs : ndarray of shape (n, k), float64
        The numbers of the first k slots.
    values : ndarray of shape (n,), float64
        Overwritten.

    Returns
    -------
    int
        -1; or, if an operation has no result, its number plus N times its row's, of the first row that has one. Row 0 of
        `slots` then holds this row's numbers up to there, and `values` anything.
    """
    numbers, bad = _forward(code, slots, inputs)
    values[:] = numbers[-1]
    return bad


@np.errstate(all="ignore")
def differentiate(
    code: np.ndarray,
    slots: np.ndarray,
    inputs: np.ndarray,
    values: np.ndarray,
    d_parameters: np.ndarray,
    d_inputs: np.ndarray,
) -> int:
    """Compute the value of a tape for each row of inputs, and the derivatives; arguments and result as in `evaluate`.

    Parameters
    ----------
    code, slots, inputs, values
        As in `evaluate`.
    d_parameters : ndarray of shape (P,), float64
        Overwritten: the derivative of the sum of the values by the first P slots after the inputs'.
    d_inputs : ndarray of shape (n, k) or (0, k), float64
        Overwritten: the derivative of each row's value by its inputs; not computed if it has no rows.

    Returns
    -------
    int
        As in `evaluate`; if it is not -1, `d_parameters` and `d_inputs` hold anything, too.
    """
    numbers, bad = _forward(code, slots, inputs)
    values[:] = numbers[-1]
    if bad >= 0:
        return bad
    adjoints = np.zeros_like(numbers)
    adjoints[-1] = 1
    first = len(numbers) - len(code)
    for n, (op, *operands) in reversed(list(enumerate(code.tolist()))):
        a, b = numbers[operands]
        for operand, slope in zip(operands, _SLOPES[op], strict=False):
            adjoints[operand] += _passed_on(slope(a, b, numbers[first + n]), adjoints[first + n])
    k = inputs.shape[1]
    d_parameters[:] = adjoints[k : k + d_parameters.size].sum(axis=1)
    if len(d_inputs):
        d_inputs[:] = adjoints[:k].T
    return -1
