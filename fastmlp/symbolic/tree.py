"""Formulas as trees of plain values, which files keep and engines run; nothing in one is ever executed as text.

A tree is a number, ``"z"`` (the argument), ``"a"`` (f(z), in a derivative only), or ``(op, operand, ...)`` with an op of
`OPERANDS`. As JSON, tuples are lists. Engines get a tree as a program: instructions in order, equal subtrees once.
"""

from __future__ import annotations

import math
from typing import Any

from ..errors import shown

__all__ = ["OPERANDS", "Program", "Tree", "checked", "cost", "program", "text", "to_json"]

Tree = Any
Instruction = tuple
# Instructions, the place of the value among them, and the place of the derivative.
Program = tuple[tuple[Instruction, ...], int, int]

# What each op takes: n a number, c a condition.
OPERANDS: dict[str, str] = {
    **dict.fromkeys("neg abs sign sqrt exp expm1 log log1p sinh cosh tanh sigmoid softplus erf sin cos atan".split(), "n"),
    "tanh_softplus": "n",
    **dict.fromkeys("add sub mul div max min".split(), "nn"),
    "pow": "nn",
    "where": "cnn",
    **dict.fromkeys("gt ge lt le eq ne".split(), "nn"),
    **dict.fromkeys("and or".split(), "cc"),
    "not": "c",
}
CONDITIONS = frozenset("gt ge lt le eq ne and or not".split())
LARGEST_POWER, DEEPEST, MOST_NODES = 1024, 100, 2000
# What an op costs, in additions.
_COSTS = dict.fromkeys("exp expm1 sinh cosh log log1p tanh sigmoid softplus tanh_softplus erf sin cos atan".split(), 20)
_COSTS |= {"div": 4, "sqrt": 4}
# Ops whose answer to NaN may be a number.
_BLIND = frozenset(["where", "max", "min", "sign"])


def checked(tree: Any, with_value: bool = False) -> Tree:
    """Return what JSON made of a tree as a tree.

    Parameters
    ----------
    tree : nested list
        A number, "z", or a list of an op and its operands.
    with_value : bool
        Whether "a" may stand in it.

    Raises
    ------
    ValueError
        If it has an op that is not in `OPERANDS`, a wrong number of operands, numbers that are not finite, or is too deep
        or too large.

    Examples
    --------
    >>> checked(["mul", "z", ["sigmoid", "z"]])
    ('mul', 'z', ('sigmoid', 'z'))
    """
    leaves = ("z", "a") if with_value else ("z",)
    left = MOST_NODES

    def visit(node: Any, kind: str, depth: int) -> Tree:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError(f"a formula has more than {MOST_NODES} parts")
        if depth > DEEPEST:
            raise ValueError(f"a formula is more than {DEEPEST} levels deep")
        if isinstance(node, (list, tuple)):
            return operation(node, kind, depth)
        if kind == "n" and isinstance(node, str) and node in leaves:
            return node
        if kind == "n" and isinstance(node, (int, float)) and not isinstance(node, bool) and abs(node) <= 1e308:
            return float(node)
        raise ValueError(f"a formula has {shown(node)} where {'a number' if kind == 'n' else 'a condition'} must stand")

    def operation(node: Any, kind: str, depth: int) -> Tree:
        op = node[0] if node else None
        if not isinstance(op, str) or op not in OPERANDS:
            raise ValueError(f"a formula has the unknown operation {shown(op)}")
        if (op in CONDITIONS) != (kind == "c"):
            raise ValueError(f"a formula has {op!r} where {'a number' if kind == 'n' else 'a condition'} must stand")
        if len(node) - 1 != len(OPERANDS[op]):
            raise ValueError(f"a formula has {op!r} of {len(node) - 1} operands, not {len(OPERANDS[op])}")
        made = (op, *(visit(part, kind, depth + 1) for part, kind in zip(node[1:], OPERANDS[op], strict=True)))
        if op == "pow" and not _is_power(made[2]):
            raise ValueError(f"a formula has the power {shown(made[2])}, not a whole number from 2 to {LARGEST_POWER}")
        return made

    return visit(tree, "n", 0)


def _is_power(number: Any) -> bool:
    return isinstance(number, float) and number == int(number) and 2 <= number <= LARGEST_POWER


def to_json(tree: Tree) -> Any:
    """Return a tree as lists, which is what JSON would make of it.

    Examples
    --------
    >>> to_json(("mul", "z", ("sigmoid", "z")))
    ['mul', 'z', ['sigmoid', 'z']]
    """
    return [to_json(part) for part in tree] if isinstance(tree, tuple) else tree


def program(value: Tree, slope: Tree) -> Program:
    """Return the instructions for f(z) and f'(z): those for f(z) first, each subtree that occurs in both or twice once.

    An instruction is ``("z",)``, ``("number", c)``, ``("pow", place, exponent)`` or ``(op, place, ...)`` with the places of
    its operands. A last instruction for f(z) keeps NaN where the formula might lose it.

    Examples
    --------
    >>> program(("sigmoid", "z"), ("mul", "a", ("sub", 1.0, "a")))
    ((('z',), ('sigmoid', 0), ('number', 1.0), ('sub', 2, 1), ('mul', 1, 3)), 1, 4)
    """
    lines: list[Instruction] = []
    places: dict[Any, int] = {}

    def place(node: Tree) -> int:
        if node not in places:
            if isinstance(node, tuple):
                op, *parts = node
                line = ("pow", place(parts[0]), int(parts[1])) if op == "pow" else (op, *map(place, parts))
            else:
                line = ("z",) if node == "z" else ("number", node)
            lines.append(line)
            places[node] = len(lines) - 1
        return places[node]

    z, value_at = place("z"), place(value)
    if any(line[0] in _BLIND for line in lines):
        lines.append(("keep_nan", z, value_at))
        value_at = len(lines) - 1
    places["a"] = value_at
    slope_at = place(slope)
    return tuple(lines), value_at, slope_at


def cost(value: Tree, slope: Tree) -> int:
    """Return what f'(z) costs beside f(z), in additions.

    Examples
    --------
    >>> tanh = ("tanh", "z")
    >>> cost(tanh, ("sub", 1.0, ("mul", "a", "a"))) < cost(tanh, ("pow", ("div", 1.0, ("cosh", "z")), 2.0))
    True
    """
    lines, value_at, _ = program(value, slope)
    total = 0
    for line in lines[value_at + 1 :]:
        total += math.ceil(math.log2(line[2])) if line[0] == "pow" else _COSTS.get(line[0], int(line[0] != "number"))
    return total


_SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**",
          "gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "==", "ne": "!=", "and": "and", "or": "or"}  # fmt: skip


def text(tree: Tree) -> str:
    """Return a tree as a formula of x, for people.

    Examples
    --------
    >>> text(("mul", "z", ("sigmoid", ("neg", "z"))))
    'x * sigmoid(-x)'
    """

    def inner(node: Tree) -> str:
        written = text(node)
        return f"({written})" if isinstance(node, tuple) and (node[0] in _SIGNS or node[0] in ("where", "neg")) else written

    if not isinstance(tree, tuple):
        return {"z": "x", "a": "f(x)"}.get(tree, "") if isinstance(tree, str) else f"{tree:.12g}"
    op, *parts = tree
    if op in _SIGNS:
        return f"{inner(parts[0])} {_SIGNS[op]} {inner(parts[1])}"
    if op == "neg":
        return f"-{inner(parts[0])}"
    if op == "where":
        return f"{inner(parts[1])} if {text(parts[0])} else {inner(parts[2])}"
    return f"{op}({', '.join(map(text, parts))})"
