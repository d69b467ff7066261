"""A network's numbers: parameters, their views by layer, their gradient, and how many there are."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import arrays, checks
from .errors import counted, shown

if TYPE_CHECKING:
    from .plan import Plan

__all__ = ["Parameters", "Views"]

View = TypeVar("View", covariant=True)


class Views(Sequence[View]):
    """Views of a network's parameters, one for each layer; assigning to a place copies into that layer's view.

    Examples
    --------
    >>> import fastmlp as fm
    >>> net = fm.MLP([2, 1])
    >>> net.weights[0] = [[3.0], [4.0]]
    >>> net.params.tolist()
    [3.0, 4.0, 0.0]
    """

    def __init__(self, name: str, views: Iterable[View]) -> None:
        self._name = name
        self._views: tuple[View, ...] = tuple(views)

    def __len__(self) -> int:
        """Return the number of layers."""
        return len(self._views)

    def __getitem__(self, layer: Any) -> Any:
        """Return a layer's view; for a slice, a tuple of them."""
        try:
            return self._views[layer]
        except (IndexError, TypeError) as error:
            raise self._no_layer(layer, type(error)) from error

    def __setitem__(self, layer: int, values: ArrayLike) -> None:
        """Copy values of its shape into a layer's view."""
        if isinstance(layer, slice):
            raise TypeError(f"{self._name} takes the values of one layer at a time: assign {self._name}[0], and so on.")
        view: Any = self[layer]
        if values is view:  # net.weights[0] *= 2 has done its work
            return
        number = operator.index(layer) % len(self)
        if view is None:
            raise self._lacks(number)
        view[...] = arrays.parameters(values, view.shape, view.dtype, f"{self._name}[{number}]")

    def fill(self, values: Any) -> None:
        """Copy an array for each layer into its view, None for a layer that has none; if one does not fit, none is copied."""
        given, views = list(values) if np.iterable(values) else [], list[Any](self._views)
        if len(given) != len(self):
            came = f"{shown(values)} ({type(values).__name__})"
            raise ValueError(f"{self._name} has {counted(len(self), 'layer')}: pass a list of an array for each; got {came}.")
        for number, (view, own) in enumerate(zip(given, views, strict=True)):
            if view is not None and own is None:
                raise self._lacks(number)
            given[number] = None
            if own is not None:
                given[number] = arrays.parameters(view, own.shape, own.dtype, f"{self._name}[{number}]").copy()
        for view, own in zip(given, views, strict=True):
            if own is not None:
                own[...] = view

    def __add__(self, others: Any) -> list[Any]:
        """Return these views and others in a new list."""
        return [*self._views, *others] if isinstance(others, (Views, list, tuple)) else NotImplemented

    def __radd__(self, others: Any) -> list[Any]:
        """Return others and these views in a new list."""
        return [*others, *self._views] if isinstance(others, (list, tuple)) else NotImplemented

    def copy(self) -> list[Any]:
        """Return a list of copies of the arrays, which training leaves as they are."""
        views: tuple[Any, ...] = self._views
        return [None if view is None else view.copy() for view in views]

    def __eq__(self, others: object) -> bool:
        """Refuse to compare arrays as a whole; nothing else is equal."""
        if others is self:
            return True
        if isinstance(others, (Views, list, tuple)):
            raise TypeError(self._one_by_one("=="))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __contains__(self, view: object) -> bool:
        """Whether a view is among these itself, such as None for a layer without a bias."""
        return self.count(view) > 0

    def count(self, view: object) -> int:
        """Return how often a view is among these itself, such as None for layers without a bias."""
        found = sum(own is view for own in self._views)
        if not found and view is not None:
            raise TypeError(self._one_by_one("in"))
        return found

    def index(self, view: object, start: int = 0, stop: int | None = None) -> int:
        """Return the layer of a view, such as None for the first one without a bias."""
        for layer in range(len(self))[start:stop]:
            if self._views[layer] is view:
                return layer
        if view is not None:
            raise TypeError(self._one_by_one("index"))
        raise ValueError(f"every one of these {self._name} is there: no layer has None.")

    def _one_by_one(self, what: str) -> str:
        name = self._name
        return (
            f"{name} are arrays, which {what!r} does not compare: use np.array_equal({name}[0], other), and so on for each "
            "layer, or compare net.params."
        )

    def _lacks(self, number: int) -> ValueError:
        if self._name == "alphas":
            return ValueError(f"layer {number} has no alphas. Make the network with fm.Dense(width, parametric=True) there.")
        return ValueError(f"layer {number} has no bias. Make the network with a bias there, as (width, True).")

    def _no_layer(self, layer: Any, error: type[Exception]) -> Exception:
        name, last = self._name, len(self) - 1
        if error is IndexError:
            many = counted(len(self), "layer")
            return IndexError(f"{name} has {many}, numbered from 0 to {last}, or from the end -1 to {-last - 1}; got {layer}.")
        inside = f" One number of a layer's is {name}[0][...]." if isinstance(layer, tuple) else ""
        came = f"{shown(layer)} ({type(layer).__name__})"
        return TypeError(f"{name} takes the number of a layer, an integer from 0 to {last}; got {came}.{inside}")

    def __repr__(self) -> str:
        """Return the arrays as a list shows them."""
        return repr(list(self._views))


class Parameters:
    """The part of :class:`fastmlp.MLP` that shows its numbers; ``MLP`` makes and trains them."""

    plan: Plan
    dtype: np.dtype
    _params: NDArray
    _grad: NDArray

    @property
    def params(self) -> NDArray:
        """All parameters, (P,); assigning copies into it."""
        return self._params

    @params.setter
    def params(self, values: ArrayLike) -> None:
        self._params[...] = arrays.parameters(values, self._params.shape, self.dtype)

    @property
    def grad(self) -> NDArray:
        """The gradient that :meth:`backward` adds to, (P,), laid out as `params`; assigning copies into it."""
        return self._grad

    @grad.setter
    def grad(self, values: ArrayLike) -> None:
        self._grad[...] = arrays.parameters(values, self._grad.shape, self.dtype, "grad")

    @property
    def weights(self) -> Views[NDArray]:
        """Views of the layers' weights, (fan_in, width), of an embedding its table, (entries, size).

        Assigning to one, or a list to all, copies into them.
        """
        return Views("weights", self.plan.weights(self._params))

    @weights.setter
    def weights(self, values: Sequence[ArrayLike]) -> None:
        self.weights.fill(values)

    @property
    def biases(self) -> Views[NDArray | None]:
        """Views of the layers' biases, (width,), None for a layer that has none; assigning to one or all copies into them."""
        return Views("biases", self.plan.biases(self._params))

    @biases.setter
    def biases(self, values: Sequence[ArrayLike | None]) -> None:
        self.biases.fill(values)

    @property
    def alphas(self) -> Views[NDArray | None]:
        """Views of the parametric layers' alphas, (width,), None for other layers; assigning to one or all copies into them."""
        return Views("alphas", self.plan.alphas(self._params))

    @alphas.setter
    def alphas(self, values: Sequence[ArrayLike | None]) -> None:
        self.alphas.fill(values)

    @property
    def n_inputs(self) -> int:
        """Number of inputs."""
        return self.plan.n_inputs

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return self.plan.n_outputs

    @property
    def n_params(self) -> int:
        """Number of parameters."""
        return self.plan.n_params

    def flops(self, rows: int = 1) -> int:
        """Return the floating-point operations of a prediction: for each row two for each multiplication.

        Of a dense layer these are its weights, of an embedding those of its waves.

        Raises
        ------
        TypeError, ValueError
            If `rows` is not a whole number from 0 on.

        Examples
        --------
        >>> import fastmlp as fm
        >>> fm.MLP([4, 8, 3]).flops(rows=10)
        1120
        """
        return self.plan.flops(checks.integer("rows", rows, 0))
