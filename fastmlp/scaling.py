"""Columns on one scale while a network learns, and the scale put into its weights afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .data import standardized
from .errors import PrecisionWarning, warn
from .network import MLP

__all__ = ["Scaling"]

# By how much of the outputs' spread a network with the scale in its weights may differ from the one that was trained.
_CLOSE = 1e-3


@dataclass(frozen=True)
class Scaling:
    """Means and spreads of features and of targets: ``(X - mean) / std``, ``(y - y_mean) / y_std``; constant features."""

    mean: NDArray
    std: NDArray
    y_mean: NDArray
    y_std: NDArray
    constant: NDArray

    @classmethod
    def of(cls, X: ArrayLike, y: ArrayLike | None = None, features: Sequence[str] = (), targets: Sequence[str] = ()) -> Scaling:
        """Return the scaling of these training rows; without y, targets stay as they are. The names are for messages."""
        _, mean, std, constant = standardized(X, names=features)
        if y is None:
            return cls(mean, std, np.zeros(1), np.ones(1), constant)
        _, y_mean, y_std, _ = standardized(y, names=targets)
        return cls(mean, std, np.atleast_1d(y_mean), np.atleast_1d(y_std), constant)

    def inputs(self, X: ArrayLike) -> NDArray:
        """Return features as the network learns them."""
        return (np.asarray(X, np.float64) - self.mean) / self.std

    def targets(self, y: ArrayLike) -> NDArray:
        """Return targets as the network learns them."""
        y = np.asarray(y)
        if (self.y_mean == 0.0).all() and (self.y_std == 1.0).all():
            return y
        return (y - (self.y_mean if y.ndim == 2 else self.y_mean[0])) / (self.y_std if y.ndim == 2 else self.y_std[0])

    def outputs(self, prediction: NDArray) -> NDArray:
        """Return the network's outputs (n, K) in the targets' own units."""
        return prediction * self.y_std + self.y_mean

    def fold(self, net: MLP, X: ArrayLike) -> MLP:
        """Return a network that takes features as they were and answers in the targets' own units.

        The first layer's weights and bias take the features' scale in, the last one's the targets'; of constant columns they
        take nothing. Where columns are so far from zero that float32 would lose their spread, or too large for it, the network
        is a float64 one; the rows X decide that. Where float64 loses it too, there is a PrecisionWarning.

        Parameters
        ----------
        net : MLP
            A network whose layers all have a bias, trained on what :meth:`inputs` and :meth:`targets` return.
        X : array of shape (n, in)
            Rows as they were, to compare both networks on.
        """
        expected = self.outputs(net.predict(self.inputs(X)))
        close = _CLOSE * max(np.ptp(expected), 1e-30)
        if net.dtype == np.float32:
            with contextlib.suppress(ValueError):  # what is too large for float32 may not be for float64
                folded = self._folded(net, "float32")
                if np.abs(folded.predict(X) - expected).max() <= close:
                    return folded
        folded = self._folded(net, "float64")
        error = np.abs(folded.predict(X) - expected).max()
        if not error <= close:
            warn(
                f"with the columns' scale in its weights the outputs are up to {error:.3g} away from what was trained, since a "
                "column lies so far from zero that float64 loses its spread. Subtract its least value, or drop it.",
                PrecisionWarning,
            )
        return folded

    def _folded(self, net: MLP, dtype: str) -> MLP:
        folded = MLP.from_spec(net.spec() | {"dtype": dtype})
        weights = [weight.astype(np.float64) for weight in net.weights]
        biases = [bias.astype(np.float64) for bias in net.biases if bias is not None]
        weights[0] = np.where(self.constant[:, None], 0.0, weights[0] / self.std[:, None])
        biases[0] = biases[0] - self.mean @ weights[0]
        weights[-1] = weights[-1] * self.y_std
        biases[-1] = biases[-1] * self.y_std + self.y_mean
        # A layer's parameters lie as weights, then bias; layer after layer.
        layers = zip(weights, biases, strict=True)
        folded.params = np.concatenate([part.ravel() for layer in layers for part in layer])
        return folded
