"""Checks of what a user passes in, but for arrays: each returns a clean value, or raises with argument, value and remedy."""

from __future__ import annotations

import difflib
import math
import os
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from . import memory
from .errors import counted, shown

__all__ = [
    "Numbers",
    "choice",
    "flag",
    "floating",
    "integer",
    "jobs",
    "path",
    "real",
    "real_field",
    "seed",
    "seeds",
]

# What a small network takes at least, with its settings and its results.
_NETWORK_BYTES = 1000
# One number, or one for each layer, or for each network of a population; checked ones are floats and tuples of them.
Numbers = float | Sequence[float] | NDArray[Any]


def integer(name: str, value: Any, least: int | None = None, most: int | None = None) -> int:
    """Return `value` as an int if it is a whole number (not a bool) in `least`..`most`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, Integral)):
        argument = f"{name}=" if name.isidentifier() else ""
        hint = f" Pass {argument}{int(value)}." if isinstance(value, (float, np.floating)) and value % 1 == 0 else ""
        wanted = _range_text(least, most, False, False)
        raise TypeError(f"{name} must be an integer{wanted}; got {shown(value)} ({type(value).__name__}).{hint}")
    number = int(value)
    if (least is not None and number < least) or (most is not None and number > most):
        raise ValueError(f"{name} must be an integer{_range_text(least, most, False, False)}; got {number}.")
    return number


def jobs(n_jobs: Any) -> int | None:
    """Return how many threads `n_jobs` asks for; None for None and -1, which are as many as fastmlp uses."""
    if n_jobs is None or (number := integer("n_jobs", n_jobs)) == -1:
        return None
    if number < 1:
        raise ValueError(f"n_jobs must be an integer >= 1, or -1 or None for one for each thread; got {number}.")
    return number


def real(
    name: str,
    value: Any,
    low: float | None = None,
    high: float | None = None,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """Return `value` as a float if it is a finite number (not a bool) between `low` and `high`.

    Both ends are allowed values unless `open_low` or `open_high` is set.
    """
    if not isinstance(value, float):  # asked first, as it is quickly said
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value[()]
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
            wanted = _range_text(low, high, open_low, open_high)
            raise TypeError(f"{name} must be a finite number{wanted}; got {shown(value)} ({type(value).__name__}).")
    number = float(value)
    too_low = low is not None and (number <= low if open_low else number < low)
    too_high = high is not None and (number >= high if open_high else number > high)
    if not math.isfinite(number) or too_low or too_high:
        raise ValueError(f"{name} must be a finite number{_range_text(low, high, open_low, open_high)}; got {number!r}.")
    return number


def _range_text(low: float | None, high: float | None, open_low: bool, open_high: bool) -> str:
    parts = []
    if low is not None:
        parts.append(f"{'>' if open_low else '>='} {low:g}")
    if high is not None:
        parts.append(f"{'<' if open_high else '<='} {high:g}")
    return " " + " and ".join(parts) if parts else ""


def real_field(instance: Any, name: str, low: float | None = None, high: float | None = None, **ends: bool) -> None:
    """Replace a frozen dataclass's field by itself as a float that :func:`real` has checked."""
    object.__setattr__(instance, name, real(name, getattr(instance, name), low, high, **ends))


def each(name: str, value: Any, size: int) -> list[Any]:
    """Return a scalar `size` times, or the values of a (size,) array, as Python numbers."""
    if np.ndim(value) == 0:
        return [np.asarray(value).item()] * size
    array = np.asarray(value)
    if array.shape != (size,):
        are = f"{'is' if size == 1 else 'are'} {counted(size, 'network')}"
        raise ValueError(f"{name} has shape {array.shape}, but there {are}. Pass one number, or {size} of them.")
    return array.tolist()


def reals_field(instance: Any, name: str, low: float | None = None, high: float | None = None, **ends: bool) -> None:
    """As :func:`real_field`, for one number or a sequence of them, one for each network of a population."""
    value = getattr(instance, name)
    if type(value) is float:
        above = low is not None and (low < value or (low == value and not ends.get("open_low")))
        if not (above and value < (math.inf if high is None else high)):  # mostly it is, which is quickly said
            real(name, value, low, high, **ends)
    elif np.ndim(value) == 0:
        real_field(instance, name, low, high, **ends)
    else:
        numbers = tuple(real(f"{name}[{i}]", one, low, high, **ends) for i, one in enumerate(np.asarray(value).tolist()))
        object.__setattr__(instance, name, numbers)


def seed(value: Any) -> int:
    """Return a seed as an int: any whole number, or for None another one each time, of 32 bits as scikit-learn takes them."""
    return secrets.randbits(32) if value is None else integer("seed", value)


def seeds(values: Any, least: int | None = None) -> list[int]:
    """Return the seeds of several networks as ints: whole numbers from `least` on, or for their number 0, 1, ..."""
    if isinstance(values, Integral) and not isinstance(values, bool):
        count = integer("seeds", values, 1)
        size = _NETWORK_BYTES * count
        if not memory.holds(size):
            raise ValueError(f"seeds={count:,} networks take at least {memory.in_words(size)}. Pass fewer seeds.")
        values = range(count)
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(
            f"seeds must be an integer, how many, or a list of integers; got {shown(values)}. Pass seeds=8, or seeds=[1, 2, 3]."
        )
    found = [integer(f"seeds[{i}]", seed, least) for i, seed in enumerate(values)]
    if not found:
        raise ValueError("seeds is empty, so there is nothing to train. Pass how many, or a list of at least one.")
    return found


def flag(name: str, value: Any) -> bool:
    """Return `value` as a bool if it is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False; got {shown(value)} ({type(value).__name__}).")
    return bool(value)


def path(name: str, value: Any, example: str) -> str:
    """Return the path of a file or a folder as text, if it is one and not empty."""
    found = value if isinstance(value, str) or not isinstance(value, os.PathLike) else os.fspath(value)
    if not isinstance(found, str) or not found:
        error = ValueError if isinstance(found, str) else TypeError
        raise error(
            f"{name} must be a path, as text or a pathlib.Path; got {shown(value)}. Pass {name}={example!r}, for example."
        )
    return found


def choice(name: str, value: Any, known: Collection[str], or_else: str = "", elsewhere: Mapping[str, str] | None = None) -> str:
    """Return `value` if it is one of the `known` names; else raise with the nearest ones.

    `or_else` says in words what else the argument takes, such as ``"an Optimizer"``; `elsewhere` has what other libraries
    call them, in small letters alone.
    """
    if isinstance(value, str) and value in known:
        return value
    wanted = f"{name} must be one of {', '.join(map(repr, known))}" + (f", or {or_else}" if or_else else "")
    if not isinstance(value, str):
        raise TypeError(f"{wanted}; got {shown(value)} ({type(value).__name__}).")
    plain = value.lower().replace("-", "_").replace(" ", "_")
    same = (elsewhere or {}).get(plain.replace("_", ""))
    near = [same] if same else [name for name in known if plain and name.startswith(plain)]
    near = (near or difflib.get_close_matches(plain, known, cutoff=0.55))[:2]
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise ValueError(f"{wanted}; got {value!r}.{hint}")


def floating(dtype: DTypeLike, name: str = "dtype") -> np.dtype:
    """Return the native float32 or float64 dtype that `dtype` names."""
    for known in (np.dtype(np.float32), np.dtype(np.float64)):
        try:
            if dtype is not None and np.dtype(dtype) == known:  # NumPy takes None for float64
                return known
        except TypeError:
            pass
    raise ValueError(f"{name} must be 'float32' or 'float64'; got {dtype!r}.")


def is_validation(X_val: Any, y_val: Any, weight_val: Any) -> bool:
    """Whether there is data to validate on.

    Raises
    ------
    ValueError
        If there is a part of it only.
    """
    if X_val is None and (y_val is not None or weight_val is not None):
        raise ValueError("y_val and sample_weight_val need X_val, the inputs they belong to. Pass X_val too.")
    if X_val is not None and y_val is None:
        raise ValueError("X_val needs y_val, its targets. Pass both, or neither.")
    return X_val is not None
