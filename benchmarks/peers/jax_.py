"""JAX: the whole training is one jitted `lax.scan`, with data on the device and donated parameters."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from ..jobs import Job, Outcome
from ..workloads import ADAM, Data, Workload, layers

jax.config.update("jax_enable_x64", True)  # for the workloads in float64; arrays say their own dtype

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh}
OUTPUTS = {"softmax": jax.nn.softmax, "sigmoid": jax.nn.sigmoid, "identity": lambda z: z}


def targets(data: Data) -> NDArray:
    """Return y with class indices as int32, as JAX has them where float64 is not asked for."""
    return data.y.astype(np.int32) if data.y.dtype.kind == "i" else data.y


def logits(w: Workload, params: Any, x: Any) -> Any:
    """Return the last layer's z for x (n, in)."""
    for weights, bias in params[:-1]:
        x = ACTIVATIONS[w.activation](x @ weights + bias)
    weights, bias = params[-1]
    return x @ weights + bias


def loss_of(w: Workload, params: Any, x: Any, y: Any) -> Any:
    """Return the mean loss."""
    z = logits(w, params, x)
    if w.loss == "cross_entropy":
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], axis=1))
    if w.loss == "bce":
        return jnp.mean(jnp.logaddexp(0, z[:, 0]) - y * z[:, 0])
    return jnp.mean((z - y) ** 2)


def update(w: Workload, params: Any, state: Any, grad: Any) -> tuple[Any, Any]:
    """One step of the optimizer."""
    if w.optimizer == "sgd":
        return jax.tree.map(lambda p, g: p - w.lr * g, params, grad), state
    beta1, beta2, eps = ADAM["beta1"], ADAM["beta2"], ADAM["eps"]
    m, v, power1, power2 = state
    power1, power2 = power1 * beta1, power2 * beta2
    m = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, m, grad)
    v = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, v, grad)
    rate, root = w.lr / (1 - power1), lax.rsqrt(1 - power2)
    params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) * root + eps), params, m, v)
    return params, (m, v, power1, power2)


def train(w: Workload, unroll: int, carry: Any, x: Any, y: Any, rest: Any = None) -> tuple[Any, Any]:
    """All steps; x is (batches, batch, in), and `rest` x and y of an epoch's last step if its rows are fewer.

    Returns parameters and state, and each epoch's loss.
    """

    def step(carry: Any, batch: Any) -> tuple[Any, Any]:
        params, state = carry
        loss, grad = jax.value_and_grad(functools.partial(loss_of, w))(params, *batch)
        return update(w, params, state, grad), loss

    def epoch(carry: Any, _: Any) -> tuple[Any, Any]:
        carry, losses = lax.scan(step, carry, (x, y), unroll=min(unroll, w.batches))
        if rest is None:
            return carry, jnp.mean(losses)
        carry, last = step(carry, rest)
        full, few = x.shape[0] * x.shape[1], len(rest[0])
        return carry, (full * jnp.mean(losses) + few * last) / (full + few)

    if w.batches == 1 and rest is None:
        return lax.scan(lambda carry, _: step(carry, (x[0], y[0])), carry, None, length=w.epochs, unroll=unroll)
    return lax.scan(epoch, carry, None, length=w.epochs)


class _Job(Job):
    def __init__(self, workload: Workload, data: Data, params: NDArray, unroll: int) -> None:
        self.w, self.initial, self.unroll = workload, params, unroll
        self.x, self.y = jax.device_put((data.x, targets(data)))
        self.params = self._on_device()

    def _on_device(self) -> Any:
        return [(jnp.array(weights), jnp.array(bias)) for weights, bias in layers(self.w, self.initial)]


class Training(_Job):
    """One call of the scan."""

    stateful = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        w = self.w
        self.x, self.y = (a.reshape(w.batches, w.batch, *a.shape[1:]) for a in (self.x, self.y))
        self.call = jax.jit(functools.partial(train, w, self.unroll), donate_argnums=0)

    def reset(self) -> None:
        """Put the initial parameters on the device."""
        params, state = self._on_device(), ()
        if self.w.optimizer == "adam":
            one = jnp.ones((), self.w.dtype)
            state = (*(jax.tree.map(jnp.zeros_like, params) for _ in range(2)), one, jnp.copy(one))
        self.carry = jax.block_until_ready((params, state))

    def run(self) -> Any:
        """Train."""
        self.carry, losses = jax.block_until_ready(self.call(self.carry, self.x, self.y))
        return losses

    def outcome(self, returned: Any) -> Outcome:
        """Return the last epoch's loss and the parameters."""
        return Outcome.of(returned[-1], *jax.tree.leaves(self.carry[0]))


class Gradient(_Job):
    """One call of a jitted value_and_grad."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.call = jax.jit(jax.value_and_grad(functools.partial(loss_of, self.w)))

    def run(self) -> Any:
        """Return loss and gradient."""
        return jax.block_until_ready(self.call(self.params, self.x, self.y))

    def outcome(self, returned: Any) -> Outcome:
        """Return both."""
        return Outcome.of(returned[0], *jax.tree.leaves(returned[1]))


class Prediction(_Job):
    """One call of a jitted forward pass."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        w = self.w
        self.call = jax.jit(lambda params, x: OUTPUTS[w.output](logits(w, params, x)))

    def run(self) -> Any:
        """Return the outputs."""
        return jax.block_until_ready(self.call(self.params, self.x))

    def outcome(self, returned: Any) -> Outcome:
        """Return the outputs."""
        return Outcome.of(0.0, returned)


def prepare(workload: Workload, data: Data, params: NDArray, unroll: int = 1) -> Job:
    """Return the job; `unroll` is lax.scan's."""
    return {"train": Training, "gradient": Gradient, "predict": Prediction}[workload.task](workload, data, params, unroll)
