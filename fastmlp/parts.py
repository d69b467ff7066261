"""Parts of a network as networks of their own."""

from __future__ import annotations

import warnings

from .errors import PairingWarning
from .network import MLP
from .reference.ids import OFFSET

__all__ = ["tail"]


def tail(net: MLP, first: int) -> MLP:
    """Return a network of the layers from number `first` on, with copies of their parameters; it takes what they take.

    Examples
    --------
    >>> net = MLP([4, 3, 2, 1], activation="tanh")
    >>> last = tail(net, 2)
    >>> last.plan.widths
    (2, 1)
    >>> X = [[1.0, 2.0, 3.0, 4.0]]
    >>> bool(last.predict(net.activations(X)[1]) == net.predict(X))
    True
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PairingWarning)  # which came when the network was made
        part = MLP([net.plan.widths[first], *net.layers[first:]], loss=net.loss_spec, dtype=net.dtype, seed=net.seed)
    part.params = net.params[net.plan.table[first, OFFSET] :]
    return part
