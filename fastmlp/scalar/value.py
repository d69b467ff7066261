"""Value: a number that remembers how it was computed, and so can tell how it changes with what it was computed from.

Each operation makes a Value that keeps its operands and its derivative by each of them, the slopes. The Values are a graph, and
`Value.backward` applies the chain rule along it, from the result back to the first numbers.
"""

from __future__ import annotations

import math
from copy import copy
from numbers import Real
from typing import Any

from ..errors import shown

__all__ = ["Value", "topological"]


class Value:
    """A number in a graph of computations.

    Values are calculated with like numbers: ``+ - * / **``, unary minus, ``abs``, comparisons, and the methods below, with
    other Values and with numbers on either side. NumPy's arrays of Values work, too: ``np.array([a, b]) @ [2, 3]``.

    Parameters
    ----------
    data : float
        The number.
    label : str
        A name for pictures and messages.

    Attributes
    ----------
    data : float
        The number.
    grad : float
        What :meth:`backward` adds to: the derivative by this number. It is 0 at first.
    label : str
        The name; may be set at any time.
    op : str
        The operation that made it, such as ``"*"`` or ``"tanh"``; empty for a number that was given.
    parents : tuple of Value
        Operands of the operation.
    slopes : tuple of float
        The operation's derivative by each operand.

    Raises
    ------
    TypeError
        If `data` is not a real number.
    ValueError
        If it is too large for a float.

    Notes
    -----
    ``==`` compares the numbers, as ``<`` does, while a set or a dict tells Values apart by identity. ``copy.deepcopy`` copies
    the whole graph, whatever its depth. So does pickle, but by recursion, which ends at about a hundred operations one after
    the other: pickle parameters, or what :func:`compile` makes of a longer expression.

    Examples
    --------
    >>> from fastmlp.scalar import Value
    >>> a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    >>> c = (a * b + 10).tanh()
    >>> c.backward()
    >>> round(c.data, 6), round(a.grad, 6)
    (0.999329, -0.004023)
    """

    __slots__ = ("_adjoint", "data", "grad", "label", "op", "parents", "slopes")

    def __init__(self, data: float, label: str = "") -> None:
        if type(data) is not float:
            if not isinstance(data, Real):
                raise TypeError(f"the data of a Value must be a real number; got {data!r} ({type(data).__name__}).")
            try:
                data = float(data)
            except OverflowError:
                kind = type(data).__name__
                raise ValueError(f"the data of a Value must fit into a float, below 1.8e308; got a larger {kind}.") from None
        self.data: float = data
        self.grad = 0.0
        self.label = label
        self.op = ""
        self.parents: tuple[Value, ...] = ()
        self.slopes: tuple[float, ...] = ()
        self._adjoint = 0.0  # of the backward pass that is under way

    # ---- the chain rule

    def backward(self) -> None:
        """Add the derivative of this Value by each Value of its graph to that one's `grad`.

        Every call adds: set gradients to zero in between where sums are not wanted. The graph may be of any depth. A slope of
        0 passes on nothing, not even of an infinite derivative.

        Examples
        --------
        >>> from fastmlp.scalar import Value
        >>> x = Value(3.0)
        >>> (x * x).backward()
        >>> (x * x).backward()
        >>> x.grad
        12.0
        """
        order = topological(self)
        for value in order:
            value._adjoint = 0.0
        self._adjoint = 1.0
        for value in reversed(order):
            adjoint = value._adjoint
            value.grad += adjoint
            for parent, slope in zip(value.parents, value.slopes, strict=True):
                if slope:
                    parent._adjoint += slope * adjoint

    def zero_grad(self) -> None:
        """Set `grad` to zero in the whole graph of this Value."""
        for value in topological(self):
            value.grad = 0.0

    # ---- arithmetic

    def __add__(self, other: Any) -> Value:
        if (other := _value(other)) is NotImplemented:
            return NotImplemented
        return _result(self.data + other.data, "+", (self, other), (1.0, 1.0))

    def __sub__(self, other: Any) -> Value:
        if (other := _value(other)) is NotImplemented:
            return NotImplemented
        return _result(self.data - other.data, "-", (self, other), (1.0, -1.0))

    def __mul__(self, other: Any) -> Value:
        if (other := _value(other)) is NotImplemented:
            return NotImplemented
        return _result(self.data * other.data, "*", (self, other), (other.data, self.data))

    def __truediv__(self, other: Any) -> Value:
        if (other := _value(other)) is NotImplemented:
            return NotImplemented
        if other.data == 0.0:
            raise ZeroDivisionError(f"division by zero: {self!r} / {other!r}.")
        quotient = self.data / other.data
        return _result(quotient, "/", (self, other), (1.0 / other.data, -quotient / other.data))

    def __pow__(self, other: Any) -> Value:
        constant = not isinstance(other, Value)
        if (other := _value(other)) is NotImplemented:
            return NotImplemented
        base, exponent = self.data, other.data
        if base == 0.0 and exponent < 0.0:
            raise ZeroDivisionError(f"zero has no negative power: {self!r} ** {other!r}.")
        if base < 0.0 and math.isfinite(exponent) and exponent != math.floor(exponent):
            raise ValueError(
                f"a negative number has whole powers only: {self!r} ** {other!r}. Take abs() or relu() of it first."
            )
        power = _power(base, exponent)
        slope = exponent * _power(base, exponent - 1.0) if exponent else 0.0
        # A number as exponent is no variable: a derivative by it, which a negative base does not have, is not wanted.
        return _result(power, "**", (self, other), (slope, 0.0 if constant else _exponent_slope(base, power)))

    def __radd__(self, other: Any) -> Value:
        return NotImplemented if (other := _value(other)) is NotImplemented else other + self

    def __rsub__(self, other: Any) -> Value:
        return NotImplemented if (other := _value(other)) is NotImplemented else other - self

    def __rmul__(self, other: Any) -> Value:
        return NotImplemented if (other := _value(other)) is NotImplemented else other * self

    def __rtruediv__(self, other: Any) -> Value:
        return NotImplemented if (other := _value(other)) is NotImplemented else other / self

    def __rpow__(self, other: Any) -> Value:
        return NotImplemented if (other := _value(other)) is NotImplemented else other**self

    def __neg__(self) -> Value:
        return _result(-self.data, "neg", (self,), (-1.0,))

    def __pos__(self) -> Value:
        return self

    def __abs__(self) -> Value:
        x = self.data
        return _result(abs(x), "abs", (self,), (float((x > 0.0) - (x < 0.0)),))

    # ---- functions

    def exp(self) -> Value:
        """Return e to this power; infinite where that is too large for a float."""
        e = _exp(self.data)
        return _result(e, "exp", (self,), (e,))

    def log(self) -> Value:
        """Return the natural logarithm.

        Raises
        ------
        ValueError
            If this is not positive.
        """
        if self.data <= 0.0:
            raise ValueError(f"only positive numbers have a logarithm; got {self!r}. Add a small number, or clip it first.")
        return _result(math.log(self.data), "log", (self,), (1.0 / self.data,))

    def log1p(self) -> Value:
        """Return the natural logarithm of 1 + this, exact where this is small as well.

        Raises
        ------
        ValueError
            If this is not above -1.
        """
        if self.data <= -1.0:
            raise ValueError(f"only numbers above -1 have a log1p; got {self!r}. Clip it first.")
        return _result(math.log1p(self.data), "log1p", (self,), (1.0 / (1.0 + self.data),))

    def sqrt(self) -> Value:
        """Return the square root, which is ``x ** 0.5``: its derivative at 0 is infinite.

        Raises
        ------
        ValueError
            If this is negative.
        """
        return self**0.5

    def tanh(self) -> Value:
        """Return the hyperbolic tangent."""
        t = math.tanh(self.data)
        return _result(t, "tanh", (self,), (1.0 - t * t,))

    def sigmoid(self) -> Value:
        """Return the logistic function 1 / (1 + e^-x), which is computed so that nothing overflows."""
        e = _exp(-abs(self.data))
        s = (1.0 if self.data >= 0.0 else e) / (1.0 + e)
        return _result(s, "sigmoid", (self,), (s * (1.0 - s),))

    def relu(self) -> Value:
        """Return this if it is positive, else 0, where the derivative is 0."""
        x = self.data
        return _result(0.0 if x <= 0.0 else x, "relu", (self,), (0.0 if x <= 0.0 else 1.0,))

    def sin(self) -> Value:
        """Return the sine of this angle in radians; NaN if it is infinite."""
        return _result(_finite(math.sin, self.data), "sin", (self,), (_finite(math.cos, self.data),))

    def cos(self) -> Value:
        """Return the cosine of this angle in radians; NaN if it is infinite."""
        return _result(_finite(math.cos, self.data), "cos", (self,), (-_finite(math.sin, self.data),))

    def abs(self) -> Value:
        """Return the absolute value, whose derivative at 0 is 0; ``abs(x)`` is the same."""
        return self.__abs__()

    # ---- comparisons

    def __lt__(self, other: Any) -> bool:
        return NotImplemented if (number := _number(other)) is None else self.data < number

    def __le__(self, other: Any) -> bool:
        return NotImplemented if (number := _number(other)) is None else self.data <= number

    def __gt__(self, other: Any) -> bool:
        return NotImplemented if (number := _number(other)) is None else self.data > number

    def __ge__(self, other: Any) -> bool:
        return NotImplemented if (number := _number(other)) is None else self.data >= number

    def __eq__(self, other: object) -> bool:
        return NotImplemented if (number := _number(other)) is None else self.data == number

    __hash__ = object.__hash__

    def __deepcopy__(self, memo: dict[int, Any]) -> Value:
        for value in topological(self):
            if id(value) not in memo:
                memo[id(value)] = twin = copy(value)
                twin.parents = tuple(memo[id(parent)] for parent in value.parents)
        return memo[id(self)]

    def __repr__(self) -> str:
        """Return the label, the number and its gradient."""
        name = f"{self.label!r}, " if self.label else ""
        return f"Value({name}data={self.data!r}, grad={self.grad!r})"


def topological(value: Value) -> list[Value]:
    """Return a Value's graph in an order in which every operand comes before what was made of it; the Value is the last.

    Parameters
    ----------
    value : Value
        The result whose graph is wanted.

    Returns
    -------
    list of Value
        Each Value of the graph once.

    Raises
    ------
    TypeError
        If it is no Value.

    Examples
    --------
    >>> from fastmlp.scalar import Value, topological
    >>> x = Value(2.0)
    >>> [v.data for v in topological((x + 1) * x)]
    [2.0, 1.0, 3.0, 6.0]
    """
    if not isinstance(value, Value):
        raise TypeError(f"value must be a Value; got {shown(value)} ({type(value).__name__}).")
    # By hand instead of by recursion, which ends at a depth of a thousand.
    order, seen, stack = [], {id(value)}, [(value, iter(value.parents))]
    while stack:
        node, parents = stack[-1]
        for parent in parents:
            if id(parent) not in seen:
                seen.add(id(parent))
                stack.append((parent, iter(parent.parents)))
                break
        else:
            order.append(node)
            stack.pop()
    return order


def _result(data: float, op: str, parents: tuple[Value, ...], slopes: tuple[float, ...]) -> Value:
    value = Value(data)
    value.op, value.parents, value.slopes = op, parents, slopes
    return value


def _value(other: Any) -> Any:
    """Return an operand as a Value, or NotImplemented, so that Python asks the operand itself."""
    if isinstance(other, Value):
        return other
    return NotImplemented if (number := _number(other)) is None else Value(number)


def _number(other: Any) -> Any:
    # float: faster to ask
    return other.data if isinstance(other, Value) else other if isinstance(other, (float, Real)) else None


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def _power(base: float, exponent: float) -> float:
    """Return base ** exponent as floating-point hardware has it: infinite where Python raises."""
    if exponent == 2.0:  # exact but for one rounding, and the same in a compiled tape
        return base * base
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return -math.inf if base < 0.0 and exponent % 2.0 == 1.0 else math.inf
    except ValueError:  # a negative power of zero
        return math.inf


def _exponent_slope(base: float, power: float) -> float:
    """Return the derivative of base ** exponent by the exponent; NaN for a negative base, which has none."""
    if base > 0.0:
        return power * math.log(base)
    return 0.0 if base == 0.0 else math.nan


def _finite(function: Any, x: float) -> float:
    return function(x) if math.isfinite(x) else math.nan
