"""NumPy by hand, as one writes it for speed: buffers made once, everything in place, one vector for all parameters.

In a wider dtype it also judges the others' results.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..jobs import Job, Outcome, set_blas_threads
from ..workloads import ADAM, Data, Workload, layers


class Network:
    """Parameters, gradient and buffers for up to `batch` rows."""

    def __init__(self, workload: Workload, params: NDArray) -> None:
        self.w = workload
        self.params = params.astype(workload.dtype)
        self.grad = np.zeros_like(self.params)
        self.layers, self.grads = layers(workload, self.params), layers(workload, self.grad)
        shape = [(workload.batch, width) for width in workload.widths[1:]]
        self.a = [np.empty(s, workload.dtype) for s in shape]
        self.delta = [np.empty(s, workload.dtype) for s in shape]
        self.rows = np.arange(workload.batch)

    def forward(self, x: NDArray) -> NDArray:
        """Return the logits of the last layer, (batch, out)."""
        last = len(self.layers) - 1
        for layer, ((weights, bias), a) in enumerate(zip(self.layers, self.a, strict=True)):
            np.matmul(x, weights, out=a)
            a += bias
            if layer < last:
                if self.w.activation == "relu":
                    np.maximum(a, 0, out=a)
                else:
                    np.tanh(a, out=a)
            x = a
        return x

    def outputs(self, x: NDArray) -> NDArray:
        """Return the outputs, (batch, out)."""
        z = self.forward(x)
        if self.w.loss == "cross_entropy":
            z -= z.max(axis=1, keepdims=True)
            np.exp(z, out=z)
            z /= z.sum(axis=1, keepdims=True)
        elif self.w.loss == "bce":
            np.negative(z, out=z)
            np.exp(z, out=z)
            z += 1
            np.reciprocal(z, out=z)
        return z

    def output_delta(self, x: NDArray, y: NDArray) -> float:
        """Run forward; return the loss and leave its gradient by the logits in the last delta."""
        delta = self.delta[-1]
        if self.w.loss == "mse":
            np.subtract(self.forward(x), y, out=delta)
            loss = np.vdot(delta, delta) / delta.size
            delta *= 2 / delta.size
        elif self.w.loss == "bce":
            z = self.forward(x)[:, 0]
            e = np.exp(-np.abs(z))
            loss = np.mean(np.maximum(z, 0) - z * y + np.log1p(e))
            np.subtract(np.where(z >= 0, 1, e) / (1 + e), y, out=delta[:, 0])
            delta /= len(y)
        else:
            z = self.forward(x)
            np.subtract(z, z.max(axis=1, keepdims=True), out=z)
            np.exp(z, out=delta)
            total = delta.sum(axis=1, keepdims=True)
            loss = np.mean(np.log(total[:, 0]) - z[self.rows, y])
            delta /= total
            delta[self.rows, y] -= 1
            delta /= len(y)
        return loss

    def value_and_grad(self, x: NDArray, y: NDArray) -> float:
        """Return the loss of `batch` rows and leave its gradient in `grad`."""
        loss = self.output_delta(x, y)
        for layer in range(len(self.layers) - 1, -1, -1):
            below, delta = self.a[layer - 1] if layer else x, self.delta[layer]
            np.matmul(below.T, delta, out=self.grads[layer][0])
            np.sum(delta, axis=0, out=self.grads[layer][1])
            if layer:
                np.matmul(delta, self.layers[layer][0].T, out=self.delta[layer - 1])
                if self.w.activation == "relu":
                    self.delta[layer - 1] *= below > 0
                else:
                    np.multiply(below, below, out=below)
                    np.subtract(1, below, out=below)
                    self.delta[layer - 1] *= below
        return loss


class Adam:
    """Adam on a vector, in place."""

    def __init__(self, size: int, dtype: Any, lr: float, eps_hat: bool) -> None:
        self.m, self.v, self.work, self.update = np.zeros((4, size), dtype)
        self.lr, self.eps_hat, self.t = lr, eps_hat, 0

    def step(self, params: NDArray, grad: NDArray) -> None:
        """Change params by grad, which is used up."""
        beta1, beta2, eps = ADAM["beta1"], ADAM["beta2"], ADAM["eps"]
        self.t += 1
        root = float(np.sqrt(1 - beta2**self.t))
        self.m *= beta1
        np.multiply(grad, 1 - beta1, out=self.work)
        self.m += self.work
        np.multiply(grad, grad, out=grad)
        grad *= 1 - beta2
        self.v *= beta2
        self.v += grad
        np.sqrt(self.v, out=self.work)
        self.work += eps if self.eps_hat else eps * root
        np.divide(self.m, self.work, out=self.update)
        self.update *= self.lr * root / (1 - beta1**self.t)
        params -= self.update


class SGD:
    """Gradient descent, in place."""

    def __init__(self, lr: float) -> None:
        self.lr = lr

    def step(self, params: NDArray, grad: NDArray) -> None:
        """Change params by grad, which is used up."""
        grad *= self.lr
        params -= grad


class _Job(Job):
    def __init__(self, workload: Workload, data: Data, params: NDArray, threads: int | None, eps_hat: bool) -> None:
        self.w, self.data, self.initial, self.threads, self.eps_hat = workload, data, params, threads, eps_hat
        self.net = Network(workload, params)

    def begin(self) -> None:
        """Set the BLAS's threads."""
        if self.threads is not None:
            set_blas_threads(self.threads)


class Training(_Job):
    """A loop over minibatches."""

    stateful = True

    def reset(self) -> None:
        """Go back to the initial parameters."""
        w = self.w
        self.net.params[...] = self.initial
        adam = w.optimizer == "adam"
        self.optimizer = Adam(self.initial.size, self.net.params.dtype, w.lr, self.eps_hat) if adam else SGD(w.lr)

    def run(self) -> float:
        """Train."""
        net, step, batch = self.net, self.optimizer.step, self.w.batch
        x, y = self.data.x, self.data.y
        for _ in range(self.w.epochs):
            total = 0.0
            for i in range(0, self.w.rows, batch):
                total += net.value_and_grad(x[i : i + batch], y[i : i + batch])
                step(net.params, net.grad)
        return total / self.w.batches

    def outcome(self, returned: float) -> Outcome:
        """Return the last epoch's loss and the parameters."""
        return Outcome.of(returned, self.net.params)


class Gradient(_Job):
    """Loss and gradient once."""

    def run(self) -> float:
        """Return the loss."""
        return self.net.value_and_grad(self.data.x, self.data.y)

    def outcome(self, returned: float) -> Outcome:
        """Return loss and gradient."""
        return Outcome.of(returned, self.net.grad)


class Prediction(_Job):
    """Outputs once."""

    def run(self) -> NDArray:
        """Return the outputs."""
        return self.net.outputs(self.data.x)

    def outcome(self, returned: NDArray) -> Outcome:
        """Return the outputs."""
        return Outcome.of(0.0, returned)


def prepare(
    workload: Workload, data: Data, params: NDArray, threads: int | None = None, dtype: Any = None, eps_hat: bool = False
) -> Job:
    """Return the job; dtype overrides the workload's, for the judge."""
    if dtype is not None:
        workload = replace(workload, dtype=dtype)
        y = data.y if workload.loss == "cross_entropy" else data.y.astype(dtype)
        data = Data(data.x.astype(dtype), y)
    jobs = {"train": Training, "gradient": Gradient, "predict": Prediction}
    return jobs[workload.task](workload, data, params, threads, eps_hat)
