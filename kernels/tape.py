"""Tapes of scalars, run by one loop over the operations; the twins in fastmlp/reference/tape.py say what they are.

Results are those of fastmlp.scalar.Value to the last bit: the same operations, from the same library, in the same order.
"""

from __future__ import annotations

import math

import numpy as np

from .ids import (
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
from .jit import entry, inner


@inner
def _power(a, b):
    """a ** b; inf for negative powers of either zero."""
    return math.inf if a == 0.0 and b < 0.0 else math.pow(a, b)


@inner
def _sigmoid(a):
    e = math.exp(-abs(a))
    return (1.0 if a >= 0.0 else e) / (1.0 + e)


@inner
def _exponent_slope(a, v):
    """The derivative of a ** b = v by b."""
    if a > 0.0:
        return v * math.log(a)
    return 0.0 if a == 0.0 else math.nan


@inner
def _passed_on(slope, g):
    """slope * g; nothing of any g, even inf and NaN, where the slope is 0."""
    return 0.0 if slope == 0.0 else slope * g


@inner
def _forward(code, numbers, first):
    """Results of all operations; the number of the first one that has none, or -1."""
    for n in range(np.uint64(len(code))):
        op, a, b = code[n, 0], numbers[code[n, 1]], numbers[code[n, 2]]
        if op == OP_ADD:
            v = a + b
        elif op == OP_SUB:
            v = a - b
        elif op == OP_MUL:
            v = a * b
        elif op == OP_DIV:
            if b == 0.0:
                return np.int64(n)
            v = a / b
        elif op == OP_POW or op == OP_POWER:
            if (a == 0.0 and b < 0.0) or (a < 0.0 and math.isfinite(b) and b != math.floor(b)):
                return np.int64(n)
            v = math.pow(a, b)
        elif op == OP_SQUARE:
            v = a * a
        elif op == OP_NEG:
            v = -a
        elif op == OP_EXP:
            v = math.exp(a)
        elif op == OP_LOG:
            if a <= 0.0:
                return np.int64(n)
            v = math.log(a)
        elif op == OP_TANH:
            v = math.tanh(a)
        elif op == OP_SIGMOID:
            v = _sigmoid(a)
        elif op == OP_RELU:
            v = 0.0 if a <= 0.0 else a
        elif op == OP_SIN:
            v = math.sin(a)
        elif op == OP_COS:
            v = math.cos(a)
        elif op == OP_LOG1P:
            if a <= -1.0:
                return np.int64(n)
            v = math.log1p(a)
        else:
            v = abs(a)
        numbers[first + n] = v
    return -1


@inner
def _backward(code, numbers, adjoints, first):
    """Adjoints of all slots, each of them the derivative of the last number by the slot's; those of the leaves were zero."""
    for n in range(np.uint64(len(code))):
        n = np.uint64(len(code)) - np.uint64(1) - n
        op, left, right = code[n, 0], code[n, 1], code[n, 2]
        a, b, v, g = numbers[left], numbers[right], numbers[first + n], adjoints[first + n]
        if op == OP_ADD:
            adjoints[left] += g
            adjoints[right] += g
        elif op == OP_SUB:
            adjoints[left] += g
            adjoints[right] -= g
        elif op == OP_MUL:
            adjoints[left] += _passed_on(b, g)
            adjoints[right] += _passed_on(a, g)
        elif op == OP_DIV:
            adjoints[left] += _passed_on(1.0 / b, g)
            adjoints[right] += _passed_on(-v / b, g)
        elif op == OP_POW or op == OP_POWER:
            if b == 2.0:
                adjoints[left] += _passed_on(2.0 * a, g)
            elif b != 0.0:
                adjoints[left] += _passed_on(b * _power(a, b - 1.0), g)
            if op == OP_POW:
                adjoints[right] += _passed_on(_exponent_slope(a, v), g)
        elif op == OP_SQUARE:
            adjoints[left] += _passed_on(2.0 * a, g)
        elif op == OP_NEG:
            adjoints[left] -= g
        elif op == OP_EXP:
            adjoints[left] += _passed_on(v, g)
        elif op == OP_LOG:
            adjoints[left] += _passed_on(1.0 / a, g)
        elif op == OP_TANH:
            adjoints[left] += _passed_on(1.0 - v * v, g)
        elif op == OP_SIGMOID:
            adjoints[left] += _passed_on(v * (1.0 - v), g)
        elif op == OP_RELU:
            adjoints[left] += 0.0 if a <= 0.0 else g
        elif op == OP_SIN:
            adjoints[left] += _passed_on(math.cos(a), g)
        elif op == OP_COS:
            adjoints[left] += _passed_on(-math.sin(a), g)
        elif op == OP_LOG1P:
            adjoints[left] += _passed_on(1.0 / (1.0 + a), g)
        elif a > 0.0:
            adjoints[left] += g
        elif a < 0.0:
            adjoints[left] -= g


@entry
def evaluate(code, slots, inputs, values):
    """values = the tape's value for each row of inputs; see the reference."""
    numbers, k = slots[0], inputs.shape[1]
    first = np.uint64(numbers.size - len(code))
    for row in range(len(inputs)):
        for i in range(k):
            numbers[i] = inputs[row, i]
        bad = _forward(code, numbers, first)
        if bad >= 0:
            return row * len(code) + bad
        values[row] = numbers[numbers.size - 1]
    return -1


@entry
def differentiate(code, slots, inputs, values, d_parameters, d_inputs):
    """d_parameters, d_inputs = derivatives of values, which are as from `evaluate`; see the reference."""
    numbers, adjoints, k = slots[0], slots[1], inputs.shape[1]
    first = np.uint64(numbers.size - len(code))
    for i in range(d_parameters.size):
        d_parameters[i] = 0.0
    for row in range(len(inputs)):
        for i in range(k):
            numbers[i] = inputs[row, i]
        bad = _forward(code, numbers, first)
        if bad >= 0:
            return row * len(code) + bad
        values[row] = numbers[numbers.size - 1]
        adjoints[:] = 0.0
        adjoints[numbers.size - 1] = 1.0
        _backward(code, numbers, adjoints, first)
        for i in range(d_parameters.size):
            d_parameters[i] += adjoints[k + i]
        if len(d_inputs):
            for i in range(k):
                d_inputs[row, i] = adjoints[i]
    return -1
