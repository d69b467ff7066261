"""Populations as safetensors files: each tensor holds that of all networks of one architecture, one after the other.

Tensors are called ``0.layers.0.weight`` (networks, in, out) and ``0.layers.0.bias`` (networks, out): first the number of the
kind, which is an architecture with its loss and dropout, then the name that it has in a network's file. Of the population the
architecture has the `seed`; of its networks their `seeds`, and the number of the kind that each is of, `kinds`; and `networks`,
each kind as in a network's file, but without a seed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import shown
from ..plan import Plan
from ..population import Population
from .container import canonical, check_keys, fail, is_int, read, write
from .safetensors import made, shapes_of

__all__ = ["load", "save"]

_KEYS = frozenset(["dtype", "kinds", "networks", "seed", "seeds", "version"])
_NETWORK_KEYS = frozenset(["layers", "loss"])


def save(population: Population, path: str | os.PathLike) -> None:
    """Write a population to a file; see ``Population.save``."""
    numbers: dict[str, int] = {}  # of kinds, by their canonical JSON
    known: dict[int, int] = {}  # of prototypes, which many networks may share
    networks: list[dict[str, Any]] = []
    members: list[list[NDArray]] = []
    plans, kinds = [], []
    for i in range(len(population)):
        group, row = population._place(i)
        net, own = group.prototypes[row], group.params[row, group.places[row]]
        if not np.isfinite(own).all():
            index = int(np.argmin(np.isfinite(own)))
            raise ValueError(
                f"population[{i}].params[{index}] is {own[index]}: only networks of finite numbers can be saved. "
                "Take the others by population.select."
            )
        if id(net) not in known:
            network = {key: value for key, value in net.spec().items() if key in _NETWORK_KEYS}
            known[id(net)] = kind = numbers.setdefault(canonical(network), len(numbers))
            if kind == len(networks):
                networks.append(network)
                members.append([])
                plans.append(net.plan)
        kinds.append(known[id(net)])
        members[kinds[-1]].append(own)
    tensors = {}
    for kind, plan in enumerate(plans):
        rows = np.stack(members[kind])
        for name, places in _places(plan, kind):
            tensors[name] = np.ascontiguousarray(rows[:, places])
    seeds = {"seed": population.seed, "seeds": population.seeds}
    write(path, {"dtype": population.dtype.name, "kinds": kinds, "networks": networks, **seeds}, tensors)


def _places(plan: Plan, kind: int) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield the name of each tensor of a kind, and where its numbers lie in a network's parameters."""
    numbers = np.arange(plan.n_params)
    for number, (weight, bias) in enumerate(zip(plan.weights(numbers), plan.biases(numbers), strict=True)):
        yield f"{kind}.layers.{number}.weight", weight
        if bias is not None:
            yield f"{kind}.layers.{number}.bias", bias


def load(path: str | os.PathLike) -> Population:
    """Return the population that a file holds; see ``Population.load``."""
    spec, tensors = read(path, _check)
    prototypes = [made(path, {"dtype": spec["dtype"], "seed": 0, **network}) for network in spec["networks"]]
    population = Population.__new__(Population)
    try:
        population._gather([prototypes[kind] for kind in spec["kinds"]], spec["seeds"], spec["seed"])
    except ValueError as error:
        fail(path, f"its networks do not go together ({str(error).rstrip('.')})", error)
    counts, taken = Counter(spec["kinds"]), Counter[int]()
    params = [np.empty((counts[kind], net.n_params), net.dtype) for kind, net in enumerate(prototypes)]
    for kind, net in enumerate(prototypes):
        for name, places in _places(net.plan, kind):
            params[kind][:, places] = tensors[name]
    for i, kind in enumerate(spec["kinds"]):
        group, row = population._place(i)
        group.params[row, group.places[row]] = params[kind][taken[kind]]
        taken[kind] += 1
    return population


def _check(path: str | os.PathLike, spec: dict[str, Any]) -> dict[str, list[int]]:
    """Check a population's architecture; return the shapes of its tensors."""
    if "layers" in spec:
        fail(path, "it holds a single network, which fm.load reads")
    check_keys(path, "the architecture", spec, _KEYS)
    seeds, kinds, networks = spec["seeds"], spec["kinds"], spec["networks"]
    if not is_int(spec["seed"]) or not _ints(seeds):
        fail(path, f"its seeds are {shown(spec['seed'])} and {shown(seeds)}, not integers")
    if not isinstance(networks, list) or not networks:
        fail(path, "its networks are not a list of at least one")
    if not _ints(kinds) or set(kinds) != set(range(len(networks))) or len(kinds) != len(seeds):
        fail(path, f"its kinds are {shown(kinds)}, not the numbers of {len(networks)} architectures for {len(seeds)} seeds")
    counts = Counter(kinds)
    shapes: dict[str, list[int]] = {}
    for kind, network in enumerate(networks):
        check_keys(path, f"network {kind}", network, _NETWORK_KEYS)
        own = shapes_of(path, {"dtype": spec["dtype"], **network})
        shapes |= {f"{kind}.{name}": [counts[kind], *shape] for name, shape in own.items()}
    return shapes


def _ints(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_int, value))
