"""Random numbers without a state: each is a function of the seed, the epoch and its place.

The generator is Philox4x32-7 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011): seven rounds of
multiplication turn a counter of four 32-bit words into four random ones, the seed being the key. Seven are the fewest with
which it passes all of BigCrush; what ten take longer is felt in a small network's dropout. So any part of the
sequence can be had without what came before it, in any order and on any thread.
"""

from __future__ import annotations

import numpy as np

_LOW = 0xFFFFFFFF
_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
# What the two words of the key grow by after each round: the golden ratio and sqrt(3) - 1, times 2^32.
_WEYL = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 7
# The counter's fourth word tells the uses apart; the dropout of layer l has DROPOUT + l.
SHUFFLE, DROPOUT = 1, 2
# A column's dropout takes 16 bits, half a word, so that one counter serves 8 columns. They are not neighbours: of 64
# columns, 8 counters serve columns 0 to 15 with the lower halves of their first and second words in turns, 16 to 31 with the
# upper halves, and 32 to 63 with their third and fourth words.
_COUNTERS, _HALVES, _GROUP = 8, 65536, 64


def _philox(c0, c1, c2, c3, seed: int):
    """Random words of counters (c0, c1, c2, c3): four uint64 arrays of the broadcast shape, holding 32 bits each."""
    x0, x1, x2, x3 = (np.asarray(c, np.uint64) for c in (c0, c1, c2, c3))
    k0, k1 = seed & _LOW, (seed >> 32) & _LOW
    half = np.uint64(32)
    for _ in range(_ROUNDS):
        p0, p1 = x0 * np.uint64(_MULTIPLIERS[0]), x2 * np.uint64(_MULTIPLIERS[1])
        x0, x2 = (p1 >> half) ^ x1 ^ np.uint64(k0), (p0 >> half) ^ x3 ^ np.uint64(k1)
        x1, x3 = p1 & np.uint64(_LOW), p0 & np.uint64(_LOW)
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return x0, x1, x2, x3


def permutation(seed: int, epoch: int, order: np.ndarray) -> None:
    """Fill order (n,), int64, with a permutation of 0..n-1: the shuffle of an epoch.

    From the last place down, each swaps its number with that of a random place up to itself (Fisher and Yates; Knuth,
    The Art of Computer Programming 2, algorithm P). The swap of place n-1-i uses word i of the counters
    (0, 0, epoch, SHUFFLE), (1, 0, epoch, SHUFFLE), ...

    Examples
    --------
    >>> order = np.empty(5, np.int64)
    >>> permutation(0, 0, order)
    >>> sorted(order.tolist())
    [0, 1, 2, 3, 4]
    """
    n = order.size
    blocks = np.arange((n + 2) // 4, dtype=np.uint64)
    words = np.stack(_philox(blocks, 0, epoch & _LOW, SHUFFLE, int(seed)), axis=-1).reshape(-1)
    places = np.arange(n - 1, 0, -1)
    targets = (words[: places.size] * (places + 1).astype(np.uint64)) >> 32  # word / 2^32 * (place + 1), rounded down
    numbers = list(range(n))
    for i, j in zip(places.tolist(), targets.tolist(), strict=True):
        numbers[i], numbers[j] = numbers[j], numbers[i]
    order[:] = numbers


def dropout_mask(seed: int, epoch: int, row: int, layer: int, rate: float, mask: np.ndarray) -> None:
    """Fill mask (rows, width) with 0 where a unit is dropped and 1 / (1 - rate) where it is kept.

    Parameters
    ----------
    seed, epoch : int
        The run's seed and the epoch.
    row : int
        Where in the epoch the mask's first row stands. A row's mask does not depend on the minibatch it is part of.
    layer : int
        The layer whose output is masked.
    rate : float
        Probability to drop, 0 <= rate < 1; it is rounded to a multiple of 1/65536 below 1, and so is the scale.
    mask : ndarray of shape (rows, width)
        Overwritten.
    """
    rows, width = mask.shape
    threshold = min(round(rate * _HALVES), _HALVES - 1)
    groups = -(-width // _GROUP)
    counters = np.arange(groups * _COUNTERS, dtype=np.uint64)  # (groups * 8,)
    row_numbers = np.arange(row, row + rows, dtype=np.uint64)[:, None]  # (rows, 1)
    words = _philox(counters, row_numbers, epoch & _LOW, DROPOUT + layer, int(seed))
    pairs = [np.stack(pair, axis=-1).reshape(rows, groups, 2 * _COUNTERS) for pair in (words[:2], words[2:])]
    halves = [half for pair in pairs for half in (pair & 0xFFFF, pair >> 16)]
    bits = np.stack(halves, axis=2).reshape(rows, groups * _GROUP)[:, :width]
    mask[:] = np.where(bits >= threshold, _HALVES / (_HALVES - threshold), 0.0)
