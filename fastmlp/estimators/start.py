"""An estimator's network before training: layers, activations, and initial weights drawn as scikit-learn draws them."""

from __future__ import annotations

import threading
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state

from .. import activations
from ..errors import counted
from ..initializers import INITIALIZERS, auto
from ..layers import Dense
from ..network import MLP

if TYPE_CHECKING:
    from .base import BaseMLP
    from .objective import Objective

__all__ = ["initial_network", "network_to_go_on_with", "plain_activation", "random_state"]

# Whose initial weights scikit-learn has a rule for (Glorot and Bengio 2010), and the factor in it.
_FACTORS = {"identity": 6.0, "relu": 6.0, "tanh": 6.0, "sigmoid": 2.0}


_of_thread = threading.local()


def random_state(seed: Any) -> np.random.RandomState:
    """Return what scikit-learn's ``check_random_state`` does, for use before the next call in this thread.

    For a number it is one that is seeded again each time: to make one takes 60 microseconds.
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        return check_random_state(seed)
    try:
        rng = _of_thread.rng
    except AttributeError:
        rng = _of_thread.rng = np.random.RandomState()
    rng.seed(seed)
    return rng


def initial_network(
    est: BaseMLP, objective: Objective, n_inputs: int, n_outputs: int, dtype: Any, rng: np.random.RandomState
) -> MLP:
    """Return a network with initial weights.

    With scikit-learn's activations they are the very numbers that it draws from the same `rng`; a layer with another one
    has the weights that suit it, see ``fastmlp.initializers``, and no bias to begin with.
    """
    net = _blank_network(est, objective, n_inputs, n_outputs, dtype)
    hidden = [dense.activation for dense in net.layers[:-1]]
    # scikit-learn draws the output layer's weights by the hidden layers' activation.
    drawn_by: list[Any] = [*hidden, hidden[-1] if hidden else plain_activation(est)]
    for name, weights, bias in zip(drawn_by, net.weights, net.biases, strict=True):
        assert bias is not None
        if name in _FACTORS:
            bound = np.sqrt(_FACTORS[name] / sum(weights.shape))
            weights[...] = rng.uniform(-bound, bound, weights.shape)
            bias[...] = rng.uniform(-bound, bound, weights.shape[1])
        else:
            generator = np.random.default_rng(rng.randint(np.iinfo(np.int32).max))
            weights[...] = INITIALIZERS[auto(name)](generator, *weights.shape)
    return net


def network_to_go_on_with(est: BaseMLP, objective: Objective) -> MLP:
    """Return the network that a fitted estimator has, or one that goes on from it if parameters have changed since.

    Raises
    ------
    ValueError
        If the hidden layers' widths have changed.
    """
    net = est.network_
    sizes, widths = est._hidden_sizes(), [dense.width for dense in net.layers[:-1]]
    if sizes != widths:
        raise ValueError(
            f"hidden_layer_sizes is {est.hidden_layer_sizes!r} by now, but the network to go on with has {widths}. "
            "Set it back, or fit anew with warm_start=False."
        )
    wanted = [(activations.canonical(name), float(est.dropout)) for name in _activations(est.activation, len(sizes))]
    if objective == est._objective and wanted == [(dense.activation, dense.dropout) for dense in net.layers[:-1]]:
        return net
    changed = _blank_network(est, objective, net.plan.n_inputs, net.plan.n_outputs, net.dtype)
    changed.params[...] = net.params
    changed._state.go_on_from(net._state)
    return changed


def _blank_network(est: BaseMLP, objective: Objective, n_inputs: int, n_outputs: int, dtype: Any) -> MLP:
    """Return the network that an estimator's parameters describe, of zeros."""
    sizes = est._hidden_sizes()
    names, dropout = _activations(est.activation, len(sizes)), float(est.dropout)
    layers = [Dense(width, name, dropout=dropout, init="zeros") for width, name in zip(sizes, names, strict=True)]
    return MLP([n_inputs, *layers, n_outputs], output=objective.output, loss=objective.loss, init="zeros", dtype=dtype, seed=0)


def plain_activation(est: BaseMLP) -> Any:
    """Return the activation whose rule a network without hidden layers follows, as in scikit-learn."""
    known = isinstance(est.activation, str) and est.activation in (*activations.ACTIVATIONS, *activations.ALIASES)
    return activations.lookup(est.activation).name if known else "identity"


def _activations(given: Any, n: int) -> list[Any]:
    """Return an activation for each of n hidden layers."""
    if isinstance(given, (list, tuple, np.ndarray)):
        names = list(given)
        if len(names) != n:
            raise ValueError(
                f"activation names {len(names)} activations, but there {'is' if n == 1 else 'are'} "
                f"{counted(n, 'hidden layer')}. "
                "Pass one for each of hidden_layer_sizes, or a single one for all."
            )
        return names
    return [given] * n
