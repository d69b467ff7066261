"""Which networks are worked on side by side: those of one architecture, and what is left over of several in wider ones.

A unit that is added to a layer has weights of zero, in and out. Where f(0) = 0 it never gets others: its output is zero, so
are the gradients of its outgoing weights, and with them its delta and those of its incoming ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..layers import Dense
from ..network import MLP
from ..plan import Plan, make_plan

__all__ = ["kind_of", "places_in", "sort_out", "widened"]

# Hidden activations with f(0) = 0.
_ZERO_AT_ZERO = {
    "identity", "relu", "leaky_relu", "elu", "selu", "gelu", "gelu_tanh", "silu", "mish", "tanh", "hard_swish",
}  # fmt: skip
# Networks that fill the lanes of the widest vectors, in bytes of a number.
_VECTOR_BYTES = 64


def kind_of(net: MLP) -> tuple:
    """Return what networks must have in common to be worked on side by side as they are."""
    return *_family(net), net.plan.widths


def _family(net: MLP) -> tuple:
    """Return what they must have in common if layers may be widened."""
    layers = tuple((dense.activation, bool(dense.bias)) for dense in net.layers)
    return net.loss_spec.loss.id, net.loss_spec.parameter, net.dtype.char, layers


def sort_out(nets: Sequence[MLP], seeds: Sequence[int]) -> list[list[int]]:
    """Return the numbers of the networks of each group; which go together does not depend on the order of the networks."""
    kinds: dict[tuple, list[int]] = {}
    for i in sorted(range(len(nets)), key=lambda i: (seeds[i], nets[i].plan.dropout.tobytes(), nets[i].loss_spec.smoothing)):
        kinds.setdefault(kind_of(nets[i]), []).append(i)
    families: dict[tuple, list[list[int]]] = {}
    for kind, members in kinds.items():
        families.setdefault(kind[:-1], []).append(members)
    groups: list[list[int]] = []
    for family in families.values():
        first = nets[family[0][0]]
        lanes = _VECTOR_BYTES // first.dtype.itemsize
        left = [members for members in family if len(members) % lanes]
        if len(left) > 1 and all(dense.activation in _ZERO_AT_ZERO for dense in first.layers[:-1]):
            cuts = [len(members) // lanes * lanes for members in family]
            groups += [members[:cut] for members, cut in zip(family, cuts, strict=True) if cut]
            groups += _packed([members[cut:] for members, cut in zip(family, cuts, strict=True) if members[cut:]], lanes, nets)
        else:
            groups += family
    return [sorted(group) for group in groups]


def _packed(parts: list[list[int]], lanes: int, nets: Sequence[MLP]) -> list[list[int]]:
    """Put together what is left over of several architectures, those of similar size, as long as lanes are free."""
    groups: list[list[int]] = []
    for part in sorted(parts, key=lambda part: (nets[part[0]].n_params, nets[part[0]].plan.widths)):
        if groups and len(groups[-1]) + len(part) <= lanes:
            groups[-1] = groups[-1] + part
        else:
            groups.append(part)
    return groups


def widened(nets: Sequence[MLP]) -> Plan:
    """Return the plan of the narrowest layers that hold all networks' layers."""
    widths = np.max([net.plan.widths for net in nets], axis=0)
    first = nets[0]
    denses = [Dense(int(w), dense.activation, dense.bias) for w, dense in zip(widths[1:], first.layers, strict=True)]
    return make_plan(int(widths[0]), denses)


def places_in(plan: Plan, wide: Plan) -> NDArray[np.int64]:
    """Return where the parameters of a plan lie among those of a wider one, (P,)."""
    places = np.arange(wide.n_params)
    parts = []
    for (k, n), weights, bias in zip(
        [w.shape for w in plan.weights(np.empty(plan.n_params))], wide.weights(places), wide.biases(places), strict=True
    ):
        parts.append(weights[:k, :n].ravel())
        if bias is not None:
            parts.append(bias[:n])
    return np.concatenate(parts)
