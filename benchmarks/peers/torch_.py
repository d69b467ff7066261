"""PyTorch, eager: nn.Linear, its fused optimizers, minibatches as views that are made once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from ..jobs import Job, Outcome
from ..workloads import ADAM, Data, Workload, layers

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}
OUTPUTS = {"softmax": lambda z: torch.softmax(z, 1), "sigmoid": torch.sigmoid, "identity": lambda z: z}


def _bce(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(z[:, 0], y)


LOSSES = {"cross_entropy": F.cross_entropy, "bce": _bce, "mse": F.mse_loss}


def _leave(function: Callable) -> Callable:
    return function


class TorchJob(Job):
    """Model and data as tensors; `compiler` wraps the function that is run again and again."""

    def __init__(
        self, workload: Workload, data: Data, params: NDArray, threads: int, compiler: Callable[[Callable], Callable] = _leave
    ) -> None:
        self.w, self.threads = workload, threads
        self.x, self.y = torch.from_numpy(data.x), torch.from_numpy(data.y)
        self.initial = [(torch.from_numpy(w.T.copy()), torch.from_numpy(b.copy())) for w, b in layers(workload, params)]
        parts: list[nn.Module] = []
        for fan_in, width in zip(workload.widths[:-1], workload.widths[1:], strict=True):
            parts += [nn.Linear(fan_in, width), ACTIVATIONS[workload.activation]()]
        self.model = nn.Sequential(*parts[:-1]).to(self.x.dtype)
        self.linears = [part for part in self.model if isinstance(part, nn.Linear)]
        self._set_params()
        model, loss, output = self.model, LOSSES[workload.loss], OUTPUTS[workload.output]
        self.loss = compiler(lambda x, y: loss(model(x), y))
        self.outputs = compiler(lambda x: output(model(x)))

    def _set_params(self) -> None:
        with torch.no_grad():
            for linear, (weights, bias) in zip(self.linears, self.initial, strict=True):
                linear.weight.copy_(weights)
                linear.bias.copy_(bias)

    def begin(self) -> None:
        """Set PyTorch's threads."""
        torch.set_num_threads(self.threads)

    def _flat(self, loss: Any, gradient: bool = False) -> Outcome:
        pairs = [(linear.weight, linear.bias) for linear in self.linears]
        if gradient:
            pairs = [(weights.grad, bias.grad) for weights, bias in pairs]
        arrays = [a for weights, bias in pairs for a in (weights.detach().numpy().T, bias.detach().numpy())]
        return Outcome.of(loss, *arrays)


class Training(TorchJob):
    """A loop over minibatches."""

    stateful = True

    def reset(self) -> None:
        """Go back to the initial parameters, with a new optimizer."""
        self._set_params()
        parameters = list(self.model.parameters())
        if self.w.optimizer == "adam":
            betas = (ADAM["beta1"], ADAM["beta2"])
            self.optimizer: Any = torch.optim.Adam(parameters, lr=self.w.lr, betas=betas, eps=ADAM["eps"], fused=True)
        else:
            self.optimizer = torch.optim.SGD(parameters, lr=self.w.lr, fused=True)
        self.batches = list(zip(self.x.split(self.w.batch), self.y.split(self.w.batch), strict=True))

    def run(self) -> list[torch.Tensor]:
        """Train; return the losses of the last epoch."""
        optimizer, loss_of, batches = self.optimizer, self.loss, self.batches
        for _ in range(self.w.epochs):
            losses = []
            for x, y in batches:
                optimizer.zero_grad(set_to_none=True)
                loss = loss_of(x, y)
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
        return losses

    def outcome(self, returned: list[torch.Tensor]) -> Outcome:
        """Return the last epoch's loss and the parameters."""
        return self._flat(torch.stack(returned).mean())


class Gradient(TorchJob):
    """One forward and backward pass."""

    def run(self) -> float:
        """Return the loss."""
        self.model.zero_grad(set_to_none=True)
        loss = self.loss(self.x, self.y)
        loss.backward()
        return loss.item()

    def outcome(self, returned: float) -> Outcome:
        """Return loss and gradient."""
        return self._flat(returned, gradient=True)


class Prediction(TorchJob):
    """One forward pass on a tensor that is there already."""

    def run(self) -> torch.Tensor:
        """Return the outputs."""
        with torch.inference_mode():
            return self.outputs(self.x)

    def outcome(self, returned: torch.Tensor) -> Outcome:
        """Return the outputs."""
        return Outcome.of(0.0, returned.numpy())


JOBS: dict[str, type[TorchJob]] = {"train": Training, "gradient": Gradient, "predict": Prediction}


def prepare(workload: Workload, data: Data, params: NDArray, threads: int = 1) -> Job:
    """Return the job."""
    return JOBS[workload.task](workload, data, params, threads)
