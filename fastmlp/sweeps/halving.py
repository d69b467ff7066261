"""Successive halving: many settings for a few epochs, the best part of them for more (Jamieson & Talwalkar 2016)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from .. import checks
from ..errors import counted
from .jobs import Network

__all__ = ["rounds", "survivors"]


def rounds(halving: int | None, min_epochs: int, epochs: int, settings: int) -> list[int]:
    """Return the epochs that a network has behind it after each round.

    Parameters
    ----------
    halving : int or None
        One in so many settings goes on to the next round; None makes one round for all.
    min_epochs : int
        Least epochs of the first round.
    epochs : int
        Those of the last one.
    settings : int
        How many there are.

    Examples
    --------
    >>> rounds(3, 1, 90, 30)
    [3, 10, 30, 90]
    """
    least = checks.integer("min_epochs", min_epochs, 1)
    if halving is None:
        if least != 1:
            raise ValueError(f"min_epochs={least} is for halving. Pass halving=3, say, or leave min_epochs out.")
        return [epochs]
    factor = checks.integer("halving", halving, 2)
    most = min(math.floor(math.log(epochs / least, factor) + 1e-9) if epochs >= least else 0, _powers(factor, settings))
    if most < 1:
        given = f"{counted(settings, 'setting')} and {counted(epochs, 'epoch')}"
        raise ValueError(
            f"halving={factor} has nothing to do with {given} of which the first {'is' if least == 1 else f'{least} are'} for "
            f"all: it needs {factor} settings and {factor * least} epochs at least. Leave halving out, or pass more."
        )
    return [round(epochs / factor**left) for left in range(most, -1, -1)]


def _powers(factor: int, number: int) -> int:
    """Return how often a number can be divided by a factor and stay 1 or more."""
    powers = 0
    while number >= factor:
        number //= factor
        powers += 1
    return powers


def survivors(
    networks: Sequence[Network], factor: int, badness: Callable[[Sequence[Network]], tuple[float, float]]
) -> list[Network]:
    """Return the networks of the best settings, one in `factor` of them, all seeds of each.

    `badness` says of a setting's networks what is lower for better ones; a setting for which it is infinite never goes on.
    """
    members: dict[tuple, list[Network]] = {}
    for network in networks:
        members.setdefault(network.setting.key(), []).append(network)
    ranks = {key: (*badness(of_one), repr(key)) for key, of_one in members.items()}
    going = sorted((key for key in ranks if math.isfinite(ranks[key][0])), key=ranks.__getitem__)
    kept = set(going[: math.ceil(len(members) / factor)])
    return [network for network in networks if network.setting.key() in kept]
