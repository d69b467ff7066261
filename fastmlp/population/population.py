"""Population: many networks trained at once on the same inputs."""

from __future__ import annotations

import copy
import inspect
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .. import activations, arrays, checks, initializers, losses, memory
from ..errors import counted, shown
from ..history import History
from ..layers import as_denses
from ..network import MLP
from ..plan import make_plan
from .answers import PopulationAnswers
from .data import prepare
from .group import Group, bytes_of_one
from .history import PopulationHistory, network_number
from .padding import sort_out

if TYPE_CHECKING:
    from ..activations import Activation
    from ..callbacks import EarlyStopping
    from ..optimizers import Optimizer

__all__ = ["Population"]

# What a network is made from.
_ARGUMENTS = list(inspect.signature(MLP).parameters)


class Population(PopulationAnswers):
    """Networks of one architecture, or with :meth:`of` of several, trained together on shared inputs.

    Small networks lie side by side in the lanes of the CPU's vectors, up to sixteen in one vector; larger ones are trained
    one on each core. Network i is what ``fm.MLP`` with its seed and options would be, to rounding, if ``shuffle="each"`` and no
    fraction of the rows is held back; the order of rows and the rows held back are otherwise those of the population's `seed`.
    ``len(population)`` is the number of networks, and ``population[i]`` a copy of network i as an ``fm.MLP``.

    Parameters
    ----------
    layers, activation, output, init, dtype
        As for :class:`fastmlp.MLP`.
    size : int, optional
        How many networks; by default as many as there are seeds.
    seeds : int or sequence of int, optional
        The seed of each network's initial weights and dropout masks, or how many; by default 0, 1, 2, ...
    loss : str, Huber, Quantile or CrossEntropy
        As for MLP; ``fm.losses.CrossEntropy`` takes an array of `size` label smoothings as well.
    dropout : float or (size,) array
        Dropout rate of hidden layers without one of their own.
    seed : int, optional
        The seed of the shuffles that all networks share, and of the rows held back for validation; None as for MLP.

    Attributes
    ----------
    seeds : list of int
    seed : int
    params : (size, P) array
        All parameters; only for networks of one architecture.
    n_inputs, n_outputs : int
    dtype : numpy.dtype
    n_params : (size,) array
    history : PopulationHistory or None
        All trainings of the population so far; None before the first. Networks that were trained before they came into it
        have those epochs in the history of ``population[i]`` as well.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range; the message names it and the remedy.

    Examples
    --------
    >>> import fastmlp as fm
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> population = fm.Population([2, 8, 1], size=16, activation="tanh", output="sigmoid")
    >>> history = population.fit(X, y, epochs=500, batch_size=4, optimizer=fm.Adam(0.05))
    >>> population.predict(X).shape
    (16, 4, 1)
    >>> population.ensemble(X).round().ravel().tolist()
    [0.0, 1.0, 1.0, 0.0]
    """

    def __init__(
        self,
        layers: Sequence[Any],
        *,
        size: int | None = None,
        seeds: int | Iterable[int] | None = None,
        activation: str | Activation = "relu",
        output: str | Activation | None = None,
        loss: Any = "auto",
        init: Any = "auto",
        dropout: ArrayLike = 0.0,
        dtype: DTypeLike = "float32",
        seed: int | None = 0,
    ) -> None:
        layers = list(layers) if isinstance(layers, Iterator) else layers  # which are read several times
        if isinstance(layers, Sequence) and layers and isinstance(layers[0], (MLP, Mapping, Sequence)):
            raise TypeError(
                f"layers must be those of one architecture, such as [2, 8, 1]; got {shown(layers)}. "
                "For different networks use fm.Population.of."
            )
        _check_memory({"size": size, "seeds": seeds}, layers, activation, output, init, dtype)
        given = None if seeds is None else checks.seeds(seeds)
        count = checks.integer("size", size, 1) if size is not None else len(given) if given is not None else 0
        if count == 0:
            raise ValueError("a population needs size=, the number of networks, or seeds=, one for each.")
        if given is not None and len(given) != count:
            raise ValueError(f"seeds has {counted(len(given), 'value')}, but size={count}. Pass one seed for each network.")
        rates = checks.each("dropout", dropout, count)
        smoothings = losses.smoothings(loss, count)
        made: dict[tuple, MLP] = {}
        prototypes = []
        for rate, smoothing in zip(rates, smoothings, strict=True):
            if (rate, smoothing) not in made:
                made[rate, smoothing] = MLP(
                    layers, activation=activation, output=output, init=init, dropout=rate, dtype=dtype,
                    loss=loss if smoothing is None else losses.CrossEntropy(smoothing),
                )  # fmt: skip
            prototypes.append(made[rate, smoothing])
        self._gather(prototypes, given or list(range(count)), seed)

    @classmethod
    def of(cls, specs: Iterable[Any], *, seed: int | None = 0) -> Population:
        """Return a population of different networks, which share inputs and outputs.

        Parameters
        ----------
        specs : iterable of MLP or dict
            A network, which goes on training from where it is, or the arguments of one, such as
            ``{"layers": [2, 8, 1], "activation": "tanh", "seed": 3}``.
        seed : int, optional
            As for :class:`Population`.

        Raises
        ------
        TypeError, ValueError
            If a spec is something else, or they differ in inputs, outputs, dtype or the kind of targets.

        Examples
        --------
        >>> import fastmlp as fm
        >>> population = fm.Population.of([{"layers": [2, width, 1], "seed": s} for width in (4, 8) for s in range(3)])
        >>> population[4].plan.widths
        (2, 8, 1)
        """
        if isinstance(specs, (MLP, Mapping, str)) or not isinstance(specs, Iterable):
            raise TypeError(f"specs must be a list of networks, or of arguments of networks; got {shown(specs)}.")
        nets = [_network(spec, i) for i, spec in enumerate(specs)]
        if not nets:
            raise ValueError("a population needs at least one network; specs is empty.")
        self = cls.__new__(cls)
        self._gather(nets, [net.seed for net in nets], seed)
        for i, net in enumerate(nets):
            group, row = self._place(i)
            group.params[row, group.places[row]] = net.params
        for group, part in zip(self._groups, self._members, strict=True):
            group.go_on_from([nets[i] for i in part])
        return self

    def _gather(self, prototypes: list[MLP], seeds: list[int], seed: int | None) -> None:
        """Sort networks into groups of one architecture."""
        self.seed, self.seeds = checks.seed(seed), seeds
        self.history: PopulationHistory | None = None
        first = prototypes[0]
        self.n_inputs, self.n_outputs, self.kind, self.dtype = _shared(first)
        for i, net in enumerate(prototypes):
            if _shared(net) != _shared(first):
                raise ValueError(
                    f"network {i} is {net!r} and network 0 is {first!r}: networks of a population have the same number of "
                    "inputs and of outputs, the same dtype, and losses that take the same kind of targets."
                )
            odd = "an Embedding" if net.plan.first_dense else "a layer with parametric=True"
            if net.plan.first_dense or any(layer.parametric for layer in net.layers):
                raise ValueError(
                    f"network {i} has {odd}, which networks of a population have not. Train fm.MLP one by one, or leave it out."
                )
        self._members = [np.array(group) for group in sort_out(prototypes, seeds)]
        self._groups = [Group([prototypes[i] for i in part], [seeds[i] for i in part], self.seed) for part in self._members]
        self._index()

    def _index(self) -> None:
        self._where = np.empty((len(self.seeds), 2), np.int64)
        for number, part in enumerate(self._members):
            self._where[part, 0], self._where[part, 1] = number, np.arange(len(part))

    def _place(self, i: int) -> tuple[Group, int]:
        group, row = self._where[i]
        return self._groups[group], int(row)

    # ---- what it is

    def copy(self) -> Population:
        """Return a population with equal parameters and training state, which shares no memory with this one.

        Examples
        --------
        >>> import fastmlp as fm
        >>> population = fm.Population([2, 4, 1], size=8)
        >>> other = population.copy()
        >>> other.params += 1
        >>> bool((population.params == other.params).any())
        False
        """
        return copy.deepcopy(self)

    # A shallow copy would share its arrays.
    __copy__ = copy

    def __getitem__(self, i: int) -> MLP:
        """Return network i, a copy that goes on training from where it is."""
        i = network_number(i, len(self), "For several of them use select.")
        group, row = self._place(i)
        net = group.network(row)
        if self.history is not None:
            net.history = self.history[i] if net.history is None else _joined(net.history, self.history[i])
        return net

    def __iter__(self) -> Iterator[MLP]:
        """Return each network in turn, as a copy."""
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        """Return size and architectures in one line."""
        counts = Counter(net.plan.widths for group in self._groups for net in group.prototypes)
        kinds = [f"{count} x [{', '.join(map(str, widths))}]" for widths, count in counts.items()]
        return f"<Population of {len(self)}: {'; '.join([*kinds[:4], *['...'][: len(kinds) - 4]])}; {self.dtype}>"

    def save(self, path: str | os.PathLike) -> None:
        """Write the population to a safetensors file, for :meth:`load`; a file of that name is replaced in one go.

        It has architectures, parameters and seeds. As with :meth:`fastmlp.MLP.save`, the optimizers' states, counters and
        history are not in it: a loaded population trains as a new one with these parameters would. A pickle keeps them.

        Parameters
        ----------
        path : path
            Its name is taken as it is.

        Raises
        ------
        TypeError, ValueError
            If `path` is no path, a parameter is infinite or NaN, or an activation is a pair of Python functions.
        OSError
            If the file cannot be written; one that was there before is left as it was.

        Examples
        --------
        >>> import fastmlp as fm, tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "population.safetensors"
        ...     fm.Population([4, 8, 3], size=5).save(path)
        ...     fm.Population.load(path)
        <Population of 5: 5 x [4, 8, 3]; float32>
        """
        from ..formats import populations

        populations.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Population:
        """Return the population that a file holds.

        Networks of one architecture predict bit for bit what the saved ones did. Where there are several, and
        :meth:`select` had taken networks out, others may share a vector than before, and last bits differ.

        Parameters
        ----------
        path : path
            What :meth:`save` wrote.

        Raises
        ------
        ModelFileError
            As for :func:`fastmlp.load`, or the file holds no population; the message says which.
        TypeError
            If `path` is no path.

        Examples
        --------
        >>> import fastmlp as fm, tempfile, pathlib
        >>> population = fm.Population([4, 8, 3], size=5)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "population.safetensors"
        ...     population.save(path)
        ...     again = fm.Population.load(path)
        >>> bool((again.params == population.params).all())
        True
        """
        from ..formats import populations

        return populations.load(path)

    @property
    def params(self) -> NDArray:
        """All parameters, (size, P), of a population of one architecture; assigning copies into it."""
        if len(self._groups) > 1 or len({net.plan.widths for net in self._groups[0].prototypes}) > 1:
            raise ValueError(
                "networks of different architectures have parameters of different shapes: read population[i].params; to change "
                "them, change copies, nets = list(population), and make fm.Population.of(nets)."
            )
        return self._groups[0].params

    @params.setter
    def params(self, values: ArrayLike) -> None:
        self.params[...] = arrays.parameters(values, self.params.shape, self.dtype)

    @property
    def n_params(self) -> NDArray[np.int64]:
        """Number of parameters of each network, (size,)."""
        return self._collect(lambda group, rows: np.array([len(group.places[i]) for i in rows]))

    def select(self, networks: ArrayLike) -> Population:
        """Return a population of some of the networks, which go on training from where they are.

        Parameters
        ----------
        networks : (k,) array of int or bool
            Their numbers, each once, or a mask of `size`.

        Raises
        ------
        ValueError
            If there is no such network, one comes twice, or there is none.

        Examples
        --------
        >>> import fastmlp as fm
        >>> fm.Population([2, 4, 1], size=8).select([5, 2]).seeds
        [5, 2]
        """
        chosen = np.asarray(networks)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool and chosen.shape == (len(self),) else chosen
        good = chosen.ndim == 1 and chosen.size > 0 and chosen.dtype.kind in "iu"
        if not good or len(np.unique(chosen)) != len(chosen) or chosen.min() < 0 or chosen.max() >= len(self):
            raise ValueError(
                f"networks must be numbers from 0 to {len(self) - 1}, each once and at least one, "
                f"or a mask of {len(self)}; got {shown(networks)}."
            )
        part = Population.__new__(Population)
        part.seed, part.seeds = self.seed, [self.seeds[i] for i in chosen]
        part.n_inputs, part.n_outputs, part.kind, part.dtype = self.n_inputs, self.n_outputs, self.kind, self.dtype
        part.history = None if self.history is None else self.history.take(chosen)
        numbers = [(number, np.flatnonzero(self._where[chosen, 0] == number)) for number in range(len(self._groups))]
        part._members = [places for _, places in numbers if places.size]
        part._groups = [self._groups[number].take(self._where[chosen[places], 1]) for number, places in numbers if places.size]
        part._index()
        return part

    # ---- training

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        epochs: int = 20,
        batch_size: int | None = 64,
        optimizer: str | Optimizer = "adam",
        sample_weight: ArrayLike | None = None,
        class_weight: Any = None,
        validation: Any = None,
        shuffle: bool | str = "shared",
        drop_last: bool = False,
        metrics: Iterable[Any] | None = None,
        early_stopping: EarlyStopping | None = None,
        callbacks: Iterable[Any] | None = None,
        progress: bool | None = None,
        on_divergence: str = "warn",
    ) -> PopulationHistory:
        """Train all networks, going on from where the last call ended.

        Unlike ``MLP.fit`` it has no `dropout_schedule`.

        Parameters
        ----------
        X : (n, inputs) array
        y : array
            As for ``MLP.fit``; or of shape (size, n, outputs), or (size, n, 1) for class indices, each network's own.
        epochs, batch_size, class_weight, drop_last, metrics, progress
            As for ``MLP.fit``.
        optimizer : str or Optimizer
            Any but L-BFGS. Numbers may be arrays of `size`, such as ``fm.Adam(lr=np.geomspace(1e-4, 1e-1, size))``.
        sample_weight : (n,) or (size, n) array, optional
            How much each row counts in the mean loss. 0 hides a row from a network; for bagging pass how often each network
            drew each row, ``np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size)``.
        validation : float or (X, y) or (X, y, sample_weight), optional
            A fraction of the rows to hold back, or other data, whose targets and weights may be each network's own.
        shuffle : {"shared", "each"} or bool
            Whether all networks take the rows of an epoch in one order, or each in its own, which takes longer. True is
            "shared"; False keeps the rows in order.
        early_stopping : EarlyStopping, optional
            Applies to each network by itself: one stops, the others go on.
        callbacks : iterable, optional
            As for ``MLP.fit``, but methods get the population, and `logs` holds arrays of `size`. A true answer ends the
            training of all networks; an array of `size` ends it for those where it is true.
        on_divergence : {"warn", "raise"}
            A network whose loss or parameters become infinite or NaN stops at its last finite epoch; the others go on, and
            at the end there is a warning or an error.

        Returns
        -------
        PopulationHistory
            Of all calls; also in `history`.

        Raises
        ------
        TypeError, ValueError
            If an argument is out of its range; the networks are then as they were.
        DivergenceError
            See `on_divergence`.
        RuntimeError
            If another thread trains the population at the moment.
        KeyboardInterrupt
            On Ctrl-C; the parameters are those after a whole epoch, and `history` ends there.

        Examples
        --------
        >>> import fastmlp as fm
        >>> population = fm.Population([1, 1], size=3)
        >>> history = population.fit([[0], [1], [2]], [1, 3, 5], epochs=200, optimizer=fm.SGD([0.01, 0.1, 0.2]))
        >>> history.loss.shape, population[2].predict([[10]]).round(2).tolist()
        ((200, 3), [[21.0]])
        """
        from ..arguments import Options
        from .run import PopulationRun

        if shuffle is None:
            raise TypeError("shuffle must be 'shared', 'each', True or False; got None. Pass False to keep the rows in order.")
        if not isinstance(shuffle, (bool, np.bool_)):
            checks.choice("shuffle", shuffle, ("shared", "each"), "True or False")
        options = Options(
            epochs=epochs, batch_size=batch_size, optimizer=optimizer, shuffle=True if isinstance(shuffle, str) else shuffle,
            drop_last=drop_last, metrics=metrics, early_stopping=early_stopping, callbacks=callbacks, progress=progress,
            on_divergence=on_divergence, networks=len(self),
        )  # fmt: skip
        train, validation = prepare(self, X, y, sample_weight, class_weight, validation)
        return PopulationRun(self, train, validation, options, own_shuffles=shuffle == "each").go()


def _joined(before: History, own: History) -> History:
    """Return a network's history: of its trainings before it came into the population, and of those there."""
    first = len(before)
    before.add(own.loss, [], {"val_loss": own.val_loss, **own.metrics})
    best = None if own.best_epoch is None else first + own.best_epoch
    return replace(before, seconds=before.seconds + own.seconds, stopped=own.stopped, best_epoch=best)


def _shared(net: MLP) -> tuple:
    """Return what all networks of a population have in common."""
    return net.plan.n_inputs, net.plan.n_outputs, net.loss_spec.kind, net.dtype


def _check_memory(
    numbers: dict[str, Any],
    layers: Any,
    activation: str | Activation,
    output: str | Activation | None,
    init: Any,
    dtype: DTypeLike,
) -> None:
    """Refuse numbers of networks that memory does not hold, before there is a list of them."""
    many = {name: int(number) for name, number in numbers.items() if isinstance(number, Integral) and int(number) > 0}
    if not many:
        return
    plan = make_plan(*as_denses(layers, activations.canonical(activation), output, initializers.resolve(init)))
    each = bytes_of_one(plan, checks.floating(dtype))
    for name, number in many.items():
        if not memory.holds(number * each):
            raise ValueError(
                f"{name}={number}: networks of {counted(plan.n_params, 'parameter')} take {each:,} bytes each, together "
                f"{memory.in_words(number * each)}. Take fewer networks, or smaller ones."
            )


def _network(spec: Any, i: int) -> MLP:
    if isinstance(spec, MLP):
        return spec.copy()  # what its owner does with it afterwards does not concern the population
    if not isinstance(spec, Mapping) or "layers" not in spec:
        raise TypeError(
            f"specs[{i}] must be an fm.MLP or a dict of its arguments, such as {{'layers': [2, 8, 1]}}; got {shown(spec)}."
        )
    for key in spec:
        checks.choice(f"specs[{i}]: a key of a network's dict", key, _ARGUMENTS)
    try:
        return MLP(**spec)
    except (TypeError, ValueError) as error:
        raise type(error)(f"specs[{i}]: {error}") from error
