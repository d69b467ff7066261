"""What a network answers: predictions, activations, losses and metrics."""

from __future__ import annotations

from collections.abc import Callable
from math import isnan
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import arrays, engine, metrics, weighting

if TYPE_CHECKING:
    from .losses import LossSpec
    from .plan import Plan
    from .state import Arena, TrainingState

__all__ = ["Answers"]


class Answers:
    """The part of :class:`fastmlp.MLP` that asks the engine about its parameters: forward, see ``gradients.py`` for back."""

    plan: Plan
    dtype: np.dtype
    loss_spec: LossSpec
    _params: NDArray
    _arena: Arena
    _state: TrainingState

    # ---- what it answers

    def predict(self, X: ArrayLike) -> NDArray:
        """Return the outputs for each row.

        Parameters
        ----------
        X : (n, inputs) array
            Finite numbers.

        Returns
        -------
        (n, outputs) array of the network's dtype

        Raises
        ------
        TypeError, ValueError
            If X is not such an array.

        See Also
        --------
        bind : For one array, again and again; a single row takes half of the time.

        Examples
        --------
        >>> import fastmlp as fm
        >>> fm.MLP([4, 8, 3]).predict([[0.1, 0.2, 0.3, 0.4]]).shape
        (1, 3)
        """
        plan, dtype, arena = self.plan, self.dtype, self._arena
        x = X if arrays.ready(X, plan.n_inputs, dtype) else self._inputs(X)
        rows = len(x)
        out = np.empty((rows, plan.n_outputs), dtype)
        desk = arena.take(rows)
        failed = isnan(desk.predict(self._params, x, out))
        arena.give(desk)
        if failed:
            self._inputs(x)
        return out

    __call__ = predict

    def bind(self, X: NDArray) -> Callable[[], NDArray]:
        """Return a function that predicts the rows that X holds when it is called, with the parameters of that moment.

        It is for loops in which every microsecond counts: what :meth:`predict` looks up, checks and makes in each call is done
        once, but for the check of the numbers.

        Parameters
        ----------
        X : (n, inputs) array of the network's dtype, C-contiguous
            To be filled before each call.

        Returns
        -------
        callable
            It takes nothing and returns an (n, outputs) array of that dtype, the same in each call, which the next one
            overwrites. It raises ValueError for numbers that :meth:`predict` refuses. Each thread needs one of its own, and
            it cannot be pickled.

        Raises
        ------
        TypeError, ValueError
            If X is not such an array.

        Examples
        --------
        >>> import numpy as np
        >>> import fastmlp as fm
        >>> net = fm.MLP([2, 8, 3])
        >>> x = np.zeros((1, 2), net.dtype)
        >>> predict = net.bind(x)
        >>> for angle in range(100):
        ...     x[:] = angle, 1.0
        ...     action = predict().argmax()
        """
        arrays.check_layout("X", X, self.plan.n_inputs, self.dtype)
        # Arrays of ours keep their shapes whatever becomes of X's and of the answer's, and the desk is not given back.
        # The parameters are looked up in each call: while a fit judges its epochs, the network has copies of an epoch's.
        x, desk = X[:], self._arena.take(len(X))
        out = np.empty((len(x), self.plan.n_outputs), self.dtype)
        answer = out[:]

        def predict_bound() -> NDArray:
            """Return the outputs for the rows that the bound array holds, in the same array each time."""
            nonlocal desk
            if desk.generation != engine.generation:
                desk = self._arena.take(len(x))
            if isnan(desk.predict(self._params, x, out)):
                self._inputs(x)
            return answer

        return predict_bound

    def activations(self, X: ArrayLike) -> list[NDArray]:
        """Return every layer's activations for each row.

        Parameters
        ----------
        X : (n, inputs) array
            Finite numbers.

        Returns
        -------
        list of (n, width) arrays
            One for each layer, the last of them the outputs.

        Raises
        ------
        TypeError, ValueError
            If X is not such an array.

        Examples
        --------
        >>> import fastmlp as fm
        >>> [layer.shape for layer in fm.MLP([4, 8, 3]).activations([[0.1, 0.2, 0.3, 0.4]])]
        [(1, 8), (1, 3)]
        """
        return self._activations(X if arrays.ready(X, self.plan.n_inputs, self.dtype) else self._inputs(X))

    def _activations(self, x: NDArray) -> list[NDArray]:
        """Return every layer's activations for inputs that the engine can take, which may be sparse rows."""
        widths = self.plan.widths[1:]
        out = np.empty((x.shape[0], sum(widths)), self.dtype)
        desk = self._arena.take(*x.shape)
        failed = isnan(desk.kernels.activations(self.plan.table, self._params, x, out, desk.scratch))
        self._arena.give(desk)
        if failed:
            self._inputs(x)
        return [np.ascontiguousarray(part) for part in np.split(out, np.cumsum(widths[:-1]), axis=1)]

    def loss(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the loss, without dropout and penalties.

        Parameters
        ----------
        X : (n, inputs) array
        y : array
            Class indices (n,) or probabilities (n, outputs) for cross_entropy, else (n, outputs), or (n,) for one output.
        sample_weight : (n,) array, optional
            How much each row counts.

        Raises
        ------
        TypeError, ValueError
            If X, y or the weights are not such arrays, or hold what is not finite.

        Examples
        --------
        >>> import fastmlp as fm
        >>> fm.MLP([2, 1], init="zeros").loss([[1, 2], [3, 4]], [1, 3])
        5.0
        """
        x, t, w = self._raw_data(X, y, sample_weight)
        desk, state = self._arena.take(len(x)), self._state
        value = desk.kernels.loss(self.plan.table, state.still, state.reals, self._params, x, t, w, desk.scratch)
        self._arena.give(desk)
        if isnan(value):
            self._data(x, t, None)
        return value

    def score(self, X: ArrayLike, y: ArrayLike, metric: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Return a metric of the predictions.

        Parameters
        ----------
        X, y, sample_weight
            As for :meth:`loss`.
        metric : str, Metric or callable, optional
            See ``fastmlp.metrics.METRICS``, and :meth:`fit` for functions; by default accuracy for classes, binary_accuracy
            for several sigmoid outputs, and R² for numbers.

        Raises
        ------
        TypeError, ValueError
            If X, y or the weights are not such arrays, there is no such metric, or it does not suit y.

        Examples
        --------
        >>> import fastmlp as fm
        >>> fm.MLP([2, 1], init="zeros").score([[1, 2], [3, 4]], [1, 3], "mae")
        2.0
        """
        x, t, w = self._data(X, y, sample_weight)
        chosen = metrics.default(self.loss_spec.kind, self.plan.n_outputs) if metric is None else metrics.resolve(metric)
        return chosen(t, self.predict(x), w)

    # ---- inside

    def _inputs(self, X: ArrayLike) -> NDArray:
        """X checked."""
        return self.plan.inputs(X, self.dtype)

    def _data(self, X: ArrayLike, y: ArrayLike, weight: ArrayLike | None) -> tuple[NDArray, NDArray, NDArray]:
        """All data checked."""
        x = self._inputs(X)
        t = arrays.targets(y, x.shape[0], self.plan.n_outputs, self.loss_spec.kind, self.dtype)
        return x, t, weighting.sample_weight(weight, x.shape[0], self.dtype)

    # Arrays that the engine can use as they are it looks at itself, on their way through the network: that is quicker. Where
    # it finds a number that is not finite it does nothing and returns NaN; then the checks above say which one that is.

    def _raw_data(self, X: ArrayLike, y: ArrayLike, weight: ArrayLike | None) -> tuple[NDArray, NDArray, NDArray]:
        """All data checked, but for what the engine looks at."""
        plan, dtype, kind = self.plan, self.dtype, self.loss_spec.kind
        x = X if arrays.ready(X, plan.n_inputs, dtype) else self._inputs(X)
        if kind == "regression" and arrays.ready(y, plan.n_outputs, dtype) and len(y) == len(x):
            t = y
        else:
            t = arrays.targets(y, len(x), plan.n_outputs, kind, dtype)
        return x, t, weighting.sample_weight(weight, len(x), dtype)
