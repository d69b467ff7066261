"""scikit-learn's callbacks, from its version 1.9 on: the hooks that an estimator calls, as a callback of fastmlp's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..optimizers import LBFGS

if TYPE_CHECKING:
    from ..network import MLP
    from .base import BaseMLP

__all__ = ["Hooks", "around_fit"]


class Hooks:
    """Tells scikit-learn's callbacks of each epoch."""

    def __init__(self, est: BaseMLP, context: Any, data: dict[str, Any]) -> None:
        self.est, self.context, self.data = est, context, data

    def on_epoch_end(self, net: MLP, epoch: int, logs: dict[str, float]) -> bool:
        """Call the hooks of one iteration; a true answer ends the training."""
        est, task = self.est, self.context.subcontext(task_name="iteration")
        task.call_on_fit_task_begin(estimator=est, **self.data)
        return task.call_on_fit_task_end(estimator=est, **self.data, reconstruction_attributes=self._snapshot)

    def _snapshot(self) -> dict[str, Any]:
        """Return the attributes of an estimator that stopped here."""
        net = self.est.network_.copy()
        weights, biases = list(net.weights), [bias for bias in net.biases if bias is not None]
        return {"network_": net, "coefs_": weights, "intercepts_": biases, "_views": (*weights, *biases)}


@contextlib.contextmanager
def around_fit(est: BaseMLP, X: Any, y: Any, sample_weight: Any) -> Iterator[list[Hooks]]:
    """Call the hooks of the beginning and the end of a fit; gives those of its iterations, if there are callbacks.

    Searches and other meta-estimators tell each estimator its place among their tasks, with callbacks or without.
    """
    if not hasattr(est, "_skl_callbacks") and not hasattr(est, "_parent_callback_ctx"):
        yield []
        return
    most = est.solver.max_iter if isinstance(est.solver, LBFGS) else est.max_iter
    context = est._init_callback_context(max_subtasks=most)
    data = {"X": X, "y": y, "metadata": None if sample_weight is None else {"sample_weight": sample_weight}}
    context.call_on_fit_task_begin(estimator=est, **data)
    hooks = Hooks(est, context, data)
    yield [hooks] if getattr(est, "_skl_callbacks", None) else []
    context.call_on_fit_task_end(estimator=est, **data, reconstruction_attributes=hooks._snapshot)
