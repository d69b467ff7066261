"""Expressions of Values, compiled: traced once into a flat list of operations that a kernel runs for any numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import engine
from ..errors import counted
from ..reference import ids
from .value import Value, topological

__all__ = ["Tape", "compile"]

_OPS = {
    "+": ids.OP_ADD,
    "-": ids.OP_SUB,
    "*": ids.OP_MUL,
    "/": ids.OP_DIV,
    "**": ids.OP_POW,
    "neg": ids.OP_NEG,
    "exp": ids.OP_EXP,
    "log": ids.OP_LOG,
    "tanh": ids.OP_TANH,
    "sigmoid": ids.OP_SIGMOID,
    "relu": ids.OP_RELU,
    "sin": ids.OP_SIN,
    "cos": ids.OP_COS,
    "abs": ids.OP_ABS,
    "log1p": ids.OP_LOG1P,
}
# Operations between two visits to Python, where a Ctrl-C is seen: some tenths of a second.
_OPS_CALL = 100_000_000


def compile(loss: Value, inputs: Sequence[Value] = (), parameters: Sequence[Value] = ()) -> Tape:
    """Trace an expression into a tape, a function of its inputs and parameters that a compiled kernel runs.

    Parameters
    ----------
    loss : Value
        The expression. What comparisons chose while it was calculated stays chosen.
    inputs : sequence of Value
        Numbers of it that differ from row to row.
    parameters : sequence of Value
        Numbers of it that all rows share. All others that were given, instead of calculated, become constants.

    Returns
    -------
    Tape
        The function.

    Raises
    ------
    TypeError, ValueError
        If an input or parameter is no Value, was itself calculated, or comes twice.

    Examples
    --------
    >>> from fastmlp.scalar import Value, compile
    >>> x, w = Value(1.0), Value(3.0)
    >>> f = compile((w * x).tanh() + w**2, inputs=[x], parameters=[w])
    >>> f([0.0], [3.0])
    9.0
    >>> f([[0.0], [100.0]], [3.0])
    array([ 9., 10.])
    >>> f.value_and_grad([0.5], [0.0])
    (0.0, array([0.5]))
    """
    if not isinstance(loss, Value):
        raise TypeError(f"loss must be a Value; got {loss!r} ({type(loss).__name__}).")
    inputs, parameters = list(inputs), list(parameters)
    slot: dict[int, int] = {}
    for name, values in (("inputs", inputs), ("parameters", parameters)):
        for n, value in enumerate(values):
            if not isinstance(value, Value):
                raise TypeError(f"{name}[{n}] must be a Value; got {value!r} ({type(value).__name__}).")
            if value.op:
                raise ValueError(f"{name}[{n}], {value!r}, was calculated by {value.op!r}. Name the Values that were given.")
            if id(value) in slot:
                raise ValueError(f"{name}[{n}], {value!r}, comes twice among inputs and parameters. Name it once.")
            slot[id(value)] = len(slot)
    order = topological(loss if loss.op else loss * 1.0)
    constants = [value for value in order if not value.op and id(value) not in slot]
    fixed = {id(value) for value in constants}
    for value in [*constants, *(value for value in order if value.op)]:
        slot[id(value)] = len(slot)
    operations = [value for value in order if value.op]
    code = np.empty((len(operations), 3), np.uint32)
    for row, value in zip(code, operations, strict=True):
        row[:] = _op(value, fixed), slot[id(value.parents[0])], slot[id(value.parents[-1])]
    labels = {slot[id(value)]: value.label for value in [*inputs, *parameters, *order] if value.label}
    return Tape(code, inputs, parameters, np.array([value.data for value in constants]), labels)


def _op(value: Value, fixed: set[int]) -> int:
    if value.op == "**" and id(value.parents[1]) in fixed:
        return ids.OP_SQUARE if value.parents[1].data == 2.0 else ids.OP_POWER
    return _OPS[value.op]


class Tape:
    """A compiled expression: a function of inputs and parameters, with derivatives. `compile` makes it.

    Wherever `inputs` or `parameters` are left out, the numbers that the Values hold at that time are taken.

    Attributes
    ----------
    code : (N, 3) uint32 array
        The operations in their order: the kind, and the slots of the operands.
    inputs, parameters : list of Value
        What it is a function of.
    """

    def __init__(
        self, code: NDArray, inputs: list[Value], parameters: list[Value], constants: NDArray, labels: dict[int, str]
    ) -> None:
        self.code, self.inputs, self.parameters = code, inputs, parameters
        self._labels = labels
        self._slots = np.zeros((2, len(inputs) + len(parameters) + len(constants) + len(code)))
        # The engine's memory: inputs, parameters, constants, results.
        self._shape = (len(parameters),)
        self._most = max(1, _OPS_CALL // len(code))  # rows of a call
        self._place = slice(len(inputs), len(inputs) + len(parameters))
        self._slots[0, self._place.stop : self._place.stop + len(constants)] = constants
        # Memory that no call is using. Threads that call at the same time make themselves more.
        self._free = [self._slots.copy()]

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore what pickling kept, in memory of its own: joblib may have handed out read-only files."""
        self.__dict__.update(state, code=np.array(state["code"]), _slots=np.array(state["_slots"]))
        self._free = [self._slots.copy()]

    def __call__(self, inputs: ArrayLike | None = None, parameters: ArrayLike | None = None) -> Any:
        """Return the value: a float for inputs (k,), an array (n,) for inputs (n, k).

        Parameters
        ----------
        inputs : (k,) or (n, k) array, optional
            Numbers in the order of the inputs that were compiled; a row for each value that is wanted.
        parameters : (P,) array, optional
            Numbers in the order of the parameters that were compiled.

        Returns
        -------
        float or (n,) float64 array

        Raises
        ------
        TypeError, ValueError
            If they are no such numbers.
        ValueError, ZeroDivisionError
            If an operation has no result, such as the logarithm of 0.
        """
        return self._run(self._rows(inputs), parameters, None, _NOTHING)

    def value_and_grad(self, inputs: ArrayLike | None = None, parameters: ArrayLike | None = None) -> tuple[Any, NDArray]:
        """Return what calling returns, and the derivative by the parameters, (P,), summed over the rows.

        Arguments and errors are those of a call.
        """
        grad = np.empty(len(self.parameters))
        return self._run(self._rows(inputs), parameters, grad, _NOTHING), grad

    def input_gradient(self, inputs: ArrayLike | None = None, parameters: ArrayLike | None = None) -> NDArray:
        """Return each value's derivative by its inputs, in the shape of `inputs`; arguments and errors are those of a call."""
        x = self._rows(inputs)
        out = np.empty(x.shape)
        self._run(x, parameters, np.empty(len(self.parameters)), out if x.ndim == 2 else out[None])
        return out

    def __repr__(self) -> str:
        """Return how large it is."""
        of = f"{counted(len(self.inputs), 'input')}, {counted(len(self.parameters), 'parameter')}"
        return f"<Tape of {counted(len(self.code), 'operation')}; {of}>"

    # ---- inside

    def _rows(self, inputs: ArrayLike | None) -> NDArray:
        """Return the inputs as they came, (k,) or (n, k), in float64 and in memory as the kernel wants them."""
        if inputs is None:
            return np.array([value.data for value in self.inputs], np.float64)
        x, k = _numbers("inputs", inputs), len(self.inputs)
        if not 0 < x.ndim < 3 or x.shape[-1] != k:
            raise ValueError(f"inputs must have shape ({k},), or (n, {k}) for n values; got {x.shape}.")
        flags = x.flags
        return x if flags.c_contiguous and flags.writeable else x.copy()

    def _run(self, x: NDArray, parameters: ArrayLike | None, grad: NDArray | None, d_inputs: NDArray, before: int = 0) -> Any:
        """Return the value or values; compute the derivatives as well if there is memory for those by the parameters.

        This is one function because a small tape takes less time than a few calls in Python. `before` rows came before.
        """
        if parameters is None:
            parameters = [value.data for value in self.parameters]
        p = _numbers("parameters", parameters)
        if p.shape != self._shape:
            raise ValueError(f"parameters must have shape {self._shape}; got {p.shape}.")
        rows = x if x.ndim == 2 else x[None]
        if len(rows) > self._most:
            return self._run_in_parts(rows, p, grad, d_inputs)
        values, kernels = np.empty(len(rows)), engine.part("tape")
        try:
            slots = self._free.pop()
        except IndexError:
            slots = self._slots.copy()
        try:
            slots[0, self._place] = p
            if grad is None:
                bad = kernels.evaluate(self.code, slots, rows, values)
            else:
                bad = kernels.differentiate(self.code, slots, rows, values, grad, d_inputs)
            if bad >= 0:
                self._refuse(slots[0], before + bad // len(self.code), bad % len(self.code))
        finally:
            self._free.append(slots)
        return values if rows is x else values.item()

    def _run_in_parts(self, rows: NDArray, p: NDArray, grad: NDArray | None, d_inputs: NDArray) -> NDArray:
        """Do the same, but come back to Python now and then, so that a Ctrl-C need not wait for all of the rows."""
        values, total = np.empty(len(rows)), np.zeros(len(p))
        for start in range(0, len(rows), self._most):
            part = slice(start, start + self._most)
            values[part] = self._run(rows[part], p, grad, d_inputs[part], start)
            total += 0.0 if grad is None else grad
        if grad is not None:
            grad[:] = total
        return values

    def _refuse(self, numbers: NDArray, row: int, operation: int) -> None:
        """Raise what a Value raises for the operation that has no result."""
        op, *operands = self.code[operation].tolist()
        a, b = (Value(numbers[slot].item(), self._labels.get(slot, "")) for slot in operands)
        try:
            a.log() if op == ids.OP_LOG else a.log1p() if op == ids.OP_LOG1P else a / b if op == ids.OP_DIV else a**b
        except (ValueError, ZeroDivisionError) as error:
            raise type(error)(f"row {row} of inputs: {error}") from None


_NOTHING = np.empty((0, 0))


def _numbers(name: str, values: ArrayLike) -> NDArray:
    """Return an array in float64."""
    if isinstance(values, np.ndarray) and values.dtype == np.float64:
        return values
    try:
        array = np.asarray(values)
        if array.dtype.kind in "biuf" or array.size == 0:
            return array.astype(np.float64)
    except ValueError:  # rows of different lengths
        raise ValueError(f"{name} must be an array of numbers; its rows have different lengths.") from None
    raise TypeError(f"{name} must be numbers; got an array of dtype {array.dtype}.")
