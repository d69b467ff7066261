"""A network's numbers: parameters, their views by layer, their gradient, and how many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import checks

if TYPE_CHECKING:
    from .plan import Plan

__all__ = ["Parameters"]


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
        self._params[...] = checks.parameters(values, self._params.shape, self.dtype)

    @property
    def grad(self) -> NDArray:
        """The gradient that :meth:`backward` adds to, (P,), laid out as `params`; assigning copies into it."""
        return self._grad

    @grad.setter
    def grad(self, values: ArrayLike) -> None:
        self._grad[...] = checks.parameters(values, self._grad.shape, self.dtype, "grad")

    @property
    def weights(self) -> list[NDArray]:
        """Views of the layers' weights, (fan_in, width)."""
        return self.plan.weights(self._params)

    @property
    def biases(self) -> list[NDArray | None]:
        """Views of the layers' biases, (width,); None for a layer that has none."""
        return self.plan.biases(self._params)

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
        """Return the floating-point operations of a prediction: two for each weight and row.

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
