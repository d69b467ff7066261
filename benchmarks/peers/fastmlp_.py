"""Our own jobs, by the public API only."""

from __future__ import annotations

from typing import Any

import fastmlp as fm

from ..jobs import Job, Outcome
from ..workloads import Data, Workload
from . import CORES


class _Job(Job):
    def __init__(self, workload: Workload, data: Data, params: Any, threads: int | None, shuffle: bool) -> None:
        self.workload, self.data, self.initial = workload, data, params
        self.threads, self.shuffle = threads, shuffle
        self.net = fm.MLP(
            list(workload.widths), activation=workload.activation, output=workload.output, loss=workload.loss,
            dropout=workload.dropout, dtype=workload.dtype,
        )  # fmt: skip
        self.net.params = params

    def begin(self) -> None:
        """Set the threads; new ones are made at their first use, which is not timed."""
        wanted = self.threads or CORES
        if fm.engine.threads() != wanted:
            fm.set_threads(wanted)
            self.reset()
            self.run()


class Training(_Job):
    """One call of fit."""

    stateful = True

    def reset(self) -> None:
        """Forget all training."""
        self.net.reset()
        self.net.params = self.initial

    def run(self) -> float:
        """Train."""
        w = self.workload
        optimizer = fm.Adam(w.lr) if w.optimizer == "adam" else fm.SGD(w.lr)
        history = self.net.fit(
            self.data.x, self.data.y, epochs=w.epochs, batch_size=w.batch, optimizer=optimizer,
            shuffle=self.shuffle, progress=False,
        )  # fmt: skip
        return history.loss[-1]

    def outcome(self, returned: float) -> Outcome:
        """Return the last epoch's loss and the parameters."""
        return Outcome.of(returned, self.net.params)


class Gradient(_Job):
    """One call of value_and_grad."""

    def run(self) -> tuple[float, Any]:
        """Return loss and gradient."""
        return self.net.value_and_grad(self.data.x, self.data.y)

    def outcome(self, returned: tuple[float, Any]) -> Outcome:
        """Return both."""
        return Outcome.of(*returned)


class BoundGradient(Gradient):
    """One call of what objective returns for the data."""

    def __init__(self, workload: Workload, data: Data, params: Any, threads: int | None, shuffle: bool) -> None:
        super().__init__(workload, data, params, threads, shuffle)
        self.objective, self.params = self.net.objective(data.x, data.y), self.net.params.copy()

    def run(self) -> tuple[float, Any]:
        """Return loss and gradient."""
        return self.objective(self.params)


class Prediction(_Job):
    """One call of predict."""

    def run(self) -> Any:
        """Return the outputs."""
        return self.net.predict(self.data.x)

    def outcome(self, returned: Any) -> Outcome:
        """Return the outputs."""
        return Outcome.of(0.0, returned)


class BoundPrediction(Prediction):
    """One call of what bind returns for the rows."""

    def __init__(self, workload: Workload, data: Data, params: Any, threads: int | None, shuffle: bool) -> None:
        super().__init__(workload, data, params, threads, shuffle)
        self.predict = self.net.bind(data.x)

    def run(self) -> Any:
        """Return the outputs, which the next call overwrites."""
        return self.predict()


def prepare(
    workload: Workload, data: Data, params: Any, threads: int | None = None, shuffle: bool = False, bound: bool = False
) -> Job:
    """Return the job; `threads` as in fastmlp.set_threads, `bound` is whether what is not trained on is bound before."""
    jobs = {
        "train": Training,
        "gradient": BoundGradient if bound else Gradient,
        "predict": BoundPrediction if bound else Prediction,
    }
    return jobs[workload.task](workload, data, params, threads, shuffle)
