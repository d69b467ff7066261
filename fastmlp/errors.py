"""Errors and warnings that a caller may want to catch by name."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from types import FrameType

__all__ = [
    "DivergenceError",
    "DivergenceWarning",
    "ModelFileError",
    "ModelFileNotFoundError",
    "PairingWarning",
    "PrecisionWarning",
    "counted",
    "named",
    "shown",
    "warn",
    "what_ended",
]

# Characters of a value in a message; a longer one is cut.
_LONGEST = 80


class ModelFileError(ValueError):
    """A file is not a model that this version can read: cut short, damaged, or of another kind."""


class ModelFileNotFoundError(ModelFileError, FileNotFoundError):
    """There is no file of that name."""


class DivergenceError(ArithmeticError):
    """A loss or a parameter became infinite or NaN in training, and ``on_divergence="raise"`` was asked for."""


class DivergenceWarning(UserWarning):
    """A loss or a parameter became infinite or NaN in training, which stopped and went back to the last finite epoch."""


class PairingWarning(UserWarning):
    """A loss was chosen whose gradient vanishes where the output activation is saturated."""


class PrecisionWarning(UserWarning):
    """An activation of the user's own that comes out wrong somewhere."""


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line of the user's own that led here: the first one outside of this package, scikit-learn and joblib."""
    frame: FrameType | None = sys._getframe(1)
    level = 2
    while frame is not None and frame.f_back is not None and _is_inside(frame):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _is_inside(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] in ("fastmlp", "sklearn", "joblib")


@contextlib.contextmanager
def named(argument: str) -> Iterator[None]:
    """Within it, a ValueError names an argument of which it speaks by another name."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{argument}: {error}") from error


def counted(number: int, thing: str) -> str:
    """Return a number of things in words.

    Examples
    --------
    >>> counted(1, "epoch"), counted(1200, "network")
    ('1 epoch', '1200 networks')
    """
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def shown(value: object) -> str:
    """Return a value as a message shows it: in one line, and only the beginning of a long one, such as an array.

    Examples
    --------
    >>> shown("adma"), shown(list(range(100)))[-9:]
    ("'adma'", '20, 21...')
    """
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def what_ended(error: BaseException) -> str:
    """Return what an exception says of how a training ended: only what is no Exception, as Ctrl-C, interrupts."""
    if isinstance(error, DivergenceError):
        return "diverged"
    return "failed" if isinstance(error, Exception) else "interrupted"
