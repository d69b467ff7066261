"""The fitted network of an estimator: its outputs, and its parameters under scikit-learn's names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from .. import arrays
from ..network import MLP
from ..sparse import blocks, csr, is_sparse

__all__ = ["FittedMLP"]


class FittedMLP(BaseEstimator):
    """The part of an estimator that knows its network; BaseMLP makes and trains that."""

    network_: MLP
    estimators_: list[Any]
    coefs_: list[NDArray]
    intercepts_: list[NDArray]

    def _link(self) -> None:
        """Let coefs_ and intercepts_ be views of the network's parameters."""
        net = self.network_
        self.coefs_ = list(net.weights)
        self.intercepts_ = [bias for bias in net.biases if bias is not None]
        self._views = (*self.coefs_, *self.intercepts_)

    def _synchronize(self) -> None:
        """Take over arrays that somebody has put into coefs_ or intercepts_, or into those of an ensemble's members."""
        for member in self.__dict__.get("estimators_", ()):
            member._synchronize()
        given = (*self.coefs_, *self.intercepts_)
        if len(given) == len(self._views) and all(map(_same, given, self._views)):
            return
        names = [f"{name}[{i}]" for name in ("coefs_", "intercepts_") for i in range(len(getattr(self, name)))]
        if len(given) != len(self._views):
            raise ValueError(f"coefs_ and intercepts_ have {len(given)} arrays, but the network has {len(self._views)}.")
        for name, view, array in zip(names, self._views, given, strict=True):
            if np.shape(array) != view.shape:
                raise ValueError(f"{name} has shape {np.shape(array)}, but the network's is {view.shape}. Pass one like that.")
        for view, array in zip(self._views, given, strict=True):
            if view is not array:
                view[...] = array
        self._link()

    def _forward(self, x: NDArray) -> NDArray:
        """Return the network's outputs for inputs that the engine can take."""
        net = self.network_
        out = np.empty((x.shape[0], net.plan.n_outputs), net.dtype)
        desk = net._arena.take(*x.shape)
        failed = math.isnan(desk.predict(net.params, x, out))
        net._arena.give(desk)
        if failed:  # scikit-learn says so in its words, unless it is told to assume that all is well
            self._engine_inputs(validate_data(self, x, reset=False))
        return out

    def _forward_all(self, x: Any) -> NDArray:
        """Return the outputs, the mean of an ensemble's, for inputs that the engine can take, or for a CSR matrix of them."""
        if is_sparse(x):
            return np.concatenate([self._forward_all(block) for block in blocks(x)])
        if "estimators_" not in self.__dict__:
            return self._forward(x)
        return np.mean([member._forward(x) for member in self.estimators_], axis=0)

    def _checked(self, X: Any) -> Any:
        """Return X as the engine takes it, or a CSR matrix of such; scikit-learn's checks are skipped where that is safe."""
        if "network_" not in self.__dict__:
            check_is_fitted(self, "network_")
        self._synchronize()
        net = self.network_
        held = self.__dict__.get("_held_x")
        if held is not None and X is held:
            return held  # a scorer's question within fit
        # The engine looks for what is not finite. A scorer has arrays without names, and may ask about some of their rows.
        if arrays.ready(X, net.plan.n_inputs, net.dtype) and (held is not None or "feature_names_in_" not in self.__dict__):
            return X
        arrays.unmasked("X", X)
        X = validate_data(self, X, accept_sparse="csr", reset=False)
        return csr(X, net.dtype) if is_sparse(X) else self._engine_inputs(X)

    def _outputs(self, X: Any) -> NDArray:
        """Return the network's outputs for whatever the user passed; the mean of an ensemble's."""
        return self._forward_all(self._checked(X))

    def hidden_activations(self, X: Any) -> list[NDArray]:
        """Return the hidden layers' activations.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        list of ndarrays of shape (n_samples, width)
            One for each hidden layer, the first one first.
        """
        x, net = self._checked(X), self.network_
        if not is_sparse(x):
            return net._activations(x)[:-1]
        every = [net._activations(block)[:-1] for block in blocks(x)]
        return [np.concatenate(layer) for layer in zip(*every, strict=True)]

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickling keeps: the network, and not its parameters a second time."""
        state = super().__getstate__()
        if "network_" not in state:
            return state
        self._synchronize()
        return {name: value for name, value in state.items() if name not in ("coefs_", "intercepts_", "_views")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore what pickling kept."""
        super().__setstate__(state)
        if "network_" in state:
            self._link()

    def _engine_inputs(self, X: Any) -> NDArray:
        if is_sparse(X):
            X = X.toarray()
        return arrays.inputs(X, self.network_.plan.n_inputs, self.network_.dtype)


def _same(a: object, b: object) -> bool:
    return a is b
