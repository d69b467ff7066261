"""Derivatives of what a network answers, and the steps of a training loop of one's own."""

from __future__ import annotations

from collections.abc import Callable
from math import isnan

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import arrays, engine, optimizers
from .answers import Answers
from .optimizers import Optimizer
from .reference import ids
from .schedules import OVER_A_FIT, ReduceOnPlateau, Span
from .trainer import TrainedHere

__all__ = ["Gradients"]


class Gradients(Answers):
    """The part of :class:`fastmlp.MLP` that goes back through the network."""

    _grad: NDArray

    # ---- by the parameters

    def value_and_grad(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> tuple[float, NDArray]:
        """Return the loss and its gradient by all parameters, without dropout and penalties.

        Parameters
        ----------
        X, y, sample_weight
            As for :meth:`loss`.

        Returns
        -------
        loss : float
        gradient : (P,) array
            Laid out as `params`; `grad` is left alone.

        Raises
        ------
        TypeError, ValueError
            If X, y or the weights are not such arrays, or hold what is not finite.

        Examples
        --------
        >>> import fastmlp as fm
        >>> value, gradient = fm.MLP([2, 1], init="zeros").value_and_grad([[1, 2], [3, 4]], [1, 3])
        >>> value, gradient.tolist()
        (5.0, [-10.0, -14.0, -4.0])
        """
        return self._gradient(self._state.still, *self._raw_data(X, y, sample_weight))

    def objective(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Callable[[ArrayLike], tuple[float, NDArray]]:
        """Return the loss and its gradient as a function of all parameters, as optimizers of other libraries take it.

        The data are looked at once, and the network's own parameters are left alone.

        Parameters
        ----------
        X, y, sample_weight
            As for :meth:`loss`. What the engine can take as it is it reads in each call: leave it as it is.

        Returns
        -------
        callable
            It takes a (P,) array laid out as `params` and returns what :meth:`value_and_grad` would with these parameters: the
            loss, which is NaN or infinite where the outputs are, and a new (P,) array of the network's dtype. It raises
            ValueError for another shape. Each thread needs one of its own, and it cannot be pickled.

        Raises
        ------
        TypeError, ValueError
            If X, y or the weights are not such arrays, or hold what is not finite.

        Examples
        --------
        >>> import numpy as np
        >>> from scipy.optimize import minimize
        >>> import fastmlp as fm
        >>> X = np.linspace(-1, 1, 50)[:, None]
        >>> net = fm.MLP([1, 8, 1], activation="tanh", dtype="float64", seed=0)
        >>> found = minimize(net.objective(X, np.sin(3 * X)), net.params, jac=True, method="BFGS")
        >>> net.params = found.x
        >>> net.loss(X, np.sin(3 * X)) < 1e-4
        True
        """
        x, t, w = (array[:] for array in self._data(X, y, sample_weight))
        desk, dtype, shape = self._arena.take(len(x)), self.dtype, self._params.shape

        def value_and_grad(params: ArrayLike) -> tuple[float, NDArray]:
            """Return the loss and its gradient, a new array, for parameters laid out as the network's."""
            nonlocal desk
            if type(params) is not np.ndarray or params.dtype != dtype or not params.flags.carray:
                with np.errstate(over="ignore"):  # a point too far for float32 has an infinite loss
                    params = np.array(params, dtype)
            if params.shape != shape:
                raise ValueError(f"params must have shape {shape}, as net.params; got {params.shape}.")
            if desk.generation != engine.generation:
                desk = self._arena.take(len(x))
            state, grad = self._state, np.empty(shape, dtype)
            value = desk.value_and_grad(state.still, state.reals, params, x, t, w, grad)
            if isnan(value):
                self._data(x, t, None)
            return value, grad

        return value_and_grad

    def zero_grad(self) -> None:
        """Set `grad` to zero.

        Examples
        --------
        >>> import fastmlp as fm
        >>> net = fm.MLP([2, 1])
        >>> value = net.backward([[1, 2]], [3])
        >>> net.zero_grad()
        >>> net.grad.tolist()
        [0.0, 0.0, 0.0]
        """
        self._grad[...] = 0.0

    def backward(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Add the loss's gradient to `grad` and return the loss. Dropout is on, with new masks at each call.

        Parameters
        ----------
        X, y, sample_weight
            As for :meth:`loss`.

        Raises
        ------
        TypeError, ValueError
            If X, y or the weights are not such arrays, or hold what is not finite.

        Examples
        --------
        >>> import fastmlp as fm
        >>> net = fm.MLP([2, 1], init="zeros")
        >>> net.backward([[1, 2]], [1]), net.backward([[1, 2]], [1]), net.grad.tolist()
        (1.0, 1.0, [-4.0, -8.0, -4.0])
        """
        data, state = self._raw_data(X, y, sample_weight), self._state
        ints = state.still.copy()
        ints[[ids.TRAINING, ids.EPOCH]] = 1, state.backward_calls
        value, grad = self._gradient(ints, *data)
        state.backward_calls += 1
        self._grad += grad
        return value

    def step(self, optimizer: str | Optimizer) -> None:
        """Let the optimizer change the parameters by `grad`, which penalties and clipping do not alter.

        To a schedule, each of these steps is an epoch of its own. Those that go over a whole fit do not know its length here,
        ReduceOnPlateau knows no losses, and they are refused: pass a number for each step instead.

        Parameters
        ----------
        optimizer : str or Optimizer
            Any but L-BFGS. Its state is kept between calls.

        Raises
        ------
        TypeError, ValueError
            If it is no optimizer, or L-BFGS, which takes no single steps, or its schedule is one of a whole fit.
        RuntimeError
            If another thread trains the network at the moment.

        Examples
        --------
        >>> import fastmlp as fm
        >>> net = fm.MLP([2, 1], init="zeros")
        >>> value = net.backward([[1, 2]], [1])
        >>> net.step(fm.SGD(0.25))
        >>> net.params.tolist()
        [0.5, 1.0, 0.5]
        """
        chosen = optimizers.resolve(optimizer)
        if not isinstance(chosen, optimizers.Stepping):
            raise ValueError("L-BFGS takes no single steps: it evaluates the loss itself. Use fit(optimizer=fm.LBFGS()).")
        for schedule in (chosen.lr, chosen.weight_decay):
            if isinstance(schedule, ReduceOnPlateau):
                raise ValueError(
                    f"{schedule!r} watches the losses of epochs, of which a single step knows none. Pass a number for each "
                    "step, such as schedule.lr * watch.update(loss), watch being schedule.watch()."
                )
            if isinstance(schedule, OVER_A_FIT):
                raise ValueError(
                    f"{schedule!r} goes over the steps of a fit, whose number a single step does not know. Pass a number for "
                    "each step, or a schedule that needs no end, such as fm.schedules.InverseScaling."
                )
        with TrainedHere(self):
            state = self._state
            at = int(state.ints[ids.STEP])
            this, span = np.array([at]), Span(at, 1, 1, at)
            (rate,) = chosen.rates(this, span)
            decay = chosen.decays(this, span) if chosen.scheduled else None
            state.use(chosen)
            if decay is not None:
                (state.reals[ids.DECAY],) = decay
            grad = self._grad.copy()
            engine.active().step(self.plan.table, state.ints, state.reals, self._params, state.slots, grad, rate)

    # ---- by the inputs, and of other functions

    def input_gradient(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> NDArray:
        """Return the loss's gradient by the inputs, without dropout.

        Parameters
        ----------
        X, y, sample_weight
            As for :meth:`loss`.

        Returns
        -------
        (n, inputs) array

        Raises
        ------
        TypeError, ValueError
            If X, y or the weights are not such arrays, or hold what is not finite.

        Examples
        --------
        >>> import fastmlp as fm
        >>> net = fm.MLP([2, 1])
        >>> net.params = [2, 3, 0]
        >>> net.input_gradient([[1, 1]], [4]).tolist()
        [[4.0, 6.0]]
        """
        return self._by_inputs(self._state.still, *self._data(X, y, sample_weight))

    def jacobian(self, X: ArrayLike) -> NDArray:
        """Return the outputs' derivatives by the inputs.

        Parameters
        ----------
        X : (n, inputs) array
            Finite numbers.

        Returns
        -------
        (n, outputs, inputs) array

        Raises
        ------
        TypeError, ValueError
            If X is not such an array.

        Examples
        --------
        >>> import fastmlp as fm
        >>> net = fm.MLP([2, 1])
        >>> net.params = [2, 3, 0]
        >>> net.jacobian([[1, 1]]).tolist()
        [[[2.0, 3.0]]]
        """
        x = self._inputs(X)
        k = self.plan.n_outputs
        out, one = np.empty((len(x), k, x.shape[1]), self.dtype), np.zeros((len(x), k), self.dtype)
        for j in range(k):
            one[:, j] = 1.0
            out[:, j] = self._by_inputs(self._product(), x, one, one[:0, 0])
            one[:, j] = 0.0
        return out

    def vjp(self, X: ArrayLike, d_outputs: ArrayLike) -> NDArray:
        """Return the vector-Jacobian product by all parameters: the gradient of a loss that is not in the library.

        Parameters
        ----------
        X : (n, inputs) array
            Finite numbers.
        d_outputs : (n, outputs) or, for one output, (n,) array
            The loss's derivatives by the outputs for X, as :meth:`predict` returns them, or any other vectors.

        Returns
        -------
        (P,) array
            The sum over rows and outputs of d_outputs times the output's derivatives by the parameters, without dropout. Laid
            out as `params`; `grad` is left alone.

        Raises
        ------
        TypeError, ValueError
            If X or d_outputs are not such arrays, or hold what is not finite.

        See Also
        --------
        input_vjp : The same by the inputs.

        Examples
        --------
        Training with a loss of one's own, here the mean of the errors' fourth powers:

        >>> import numpy as np
        >>> import fastmlp as fm
        >>> X = np.linspace(-1, 1, 50)[:, None]
        >>> net = fm.MLP([1, 16, 1], activation="tanh", seed=0)
        >>> for step in range(500):
        ...     error = net.predict(X) - np.sin(3 * X)
        ...     net.grad[:] = net.vjp(X, 4 * error**3 / error.size)
        ...     net.step(fm.Adam(0.05))
        >>> bool((error**4).mean() < 1e-3)
        True
        """
        return self._gradient(self._product(), *self._vectors(X, d_outputs))[1]

    def input_vjp(self, X: ArrayLike, d_outputs: ArrayLike) -> NDArray:
        """Return each row's vector-Jacobian product by the inputs, such as for a network that comes before this one.

        Parameters
        ----------
        X, d_outputs
            As for :meth:`vjp`.

        Returns
        -------
        (n, inputs) array
            The sum over outputs of d_outputs times the output's derivatives by the inputs.

        Raises
        ------
        TypeError, ValueError
            If X or d_outputs are not such arrays, or hold what is not finite.

        Examples
        --------
        >>> import fastmlp as fm
        >>> net = fm.MLP([2, 1])
        >>> net.params = [2, 3, 0]
        >>> net.input_vjp([[1, 1]], [[10]]).tolist()
        [[20.0, 30.0]]
        """
        return self._by_inputs(self._product(), *self._vectors(X, d_outputs))

    # ---- inside

    def _vectors(self, X: ArrayLike, d_outputs: ArrayLike) -> tuple[NDArray, NDArray, NDArray]:
        """Return inputs and a vector for each row, checked, and no weights."""
        x, k = self._inputs(X), self.plan.n_outputs
        if arrays.ready(d_outputs, k, self.dtype) and len(d_outputs) == len(x) and arrays.surely_finite(d_outputs):
            return x, d_outputs, d_outputs[:0, 0]
        d = arrays.numeric("d_outputs", d_outputs)
        if d.shape != (len(x), k) and not (k == 1 and d.shape == (len(x),)):
            raise ValueError(
                f"d_outputs has shape {d.shape}, but the outputs for X have {(len(x), k)}. Pass a number for each of them."
            )
        d = arrays.converted("d_outputs", d.reshape(len(x), k), self.dtype)
        return x, d, d[:0, 0]

    def _product(self) -> NDArray:
        """Return settings whose loss is the sum of the outputs times the targets."""
        ints = self._state.still.copy()
        ints[ids.LOSS] = ids.PRODUCT
        return ints

    def _by_inputs(self, ints: NDArray, x: NDArray, t: NDArray, w: NDArray) -> NDArray:
        """Gradient of the loss by the inputs, for checked data."""
        out = np.empty_like(x)
        desk = self._arena.take(len(x))
        desk.kernels.input_gradient(self.plan.table, ints, self._state.reals, self._params, x, t, w, out, desk.scratch)
        self._arena.give(desk)
        return out

    def _gradient(self, ints: NDArray, x: NDArray, t: NDArray, w: NDArray) -> tuple[float, NDArray]:
        """Loss and its gradient by the parameters, of data that the engine looks at, or of vectors, which were looked at."""
        params, arena = self._params, self._arena
        desk, grad = arena.take(len(x)), np.empty(params.shape, self.dtype)
        value = desk.value_and_grad(ints, self._state.reals, params, x, t, w, grad)
        arena.give(desk)
        if isnan(value) and ints[ids.LOSS] != ids.PRODUCT:
            self._data(x, t, None)
        return value, grad
