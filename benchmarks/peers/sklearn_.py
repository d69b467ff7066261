"""scikit-learn's MLPClassifier.

Training is its `fit` with `warm_start`, which is as fast as it gets: one call for all epochs. Its checks of the data, its
label encoding and its loop in Python are part of what it takes. It has no option to leave out the L2 penalty's sum, so
that is in the time too, with alpha = 0.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from ..jobs import Job, Outcome, set_blas_threads
from ..workloads import ADAM, Data, Workload, layers


class _Job(Job):
    def __init__(self, workload: Workload, data: Data, params: NDArray, threads: int) -> None:
        self.w, self.data, self.initial, self.threads = workload, data, params, threads
        self.y = data.y.astype(np.int64)
        self.model = MLPClassifier(
            workload.widths[1:-1], activation=workload.activation, solver=workload.optimizer, alpha=0.0,
            batch_size=workload.batch, learning_rate_init=workload.lr, max_iter=workload.epochs, shuffle=False, tol=0.0,
            warm_start=True, momentum=0.0, nesterovs_momentum=False, beta_1=ADAM["beta1"], beta_2=ADAM["beta2"],
            epsilon=ADAM["eps"], n_iter_no_change=np.inf, random_state=0,
        )  # fmt: skip
        self._allocate()
        self._set_params()

    def _allocate(self) -> None:
        """Let it make its arrays, from a few rows that hold every class."""
        classes = np.arange(max(2, self.w.widths[-1]))
        x = np.zeros((len(classes), self.w.widths[0]), self.data.x.dtype)
        small = self.model.batch_size
        self.model.set_params(batch_size=1).partial_fit(x, classes, classes=classes)
        self.model.set_params(batch_size=small)

    def _set_params(self) -> None:
        for layer, (weights, bias) in enumerate(layers(self.w, self.initial)):
            self.model.coefs_[layer], self.model.intercepts_[layer] = weights.copy(), bias.copy()

    def begin(self) -> None:
        """Set the BLAS's threads."""
        set_blas_threads(self.threads)


class Training(_Job):
    """One call of fit."""

    stateful = True

    def reset(self) -> None:
        """Go back to the initial parameters; fit makes a new optimizer itself."""
        self._set_params()
        self.model.loss_curve_ = []

    def run(self) -> float:
        """Train."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.model.fit(self.data.x, self.y)
        return self.model.loss_curve_[-1]

    def outcome(self, returned: float) -> Outcome:
        """Return the last epoch's loss and the parameters."""
        pairs = zip(self.model.coefs_, self.model.intercepts_, strict=True)
        return Outcome.of(returned, *(array for pair in pairs for array in pair))


class Prediction(_Job):
    """One call of predict_proba."""

    def run(self) -> NDArray:
        """Return the probabilities, of both classes if there are two."""
        return self.model.predict_proba(self.data.x)

    def outcome(self, returned: NDArray) -> Outcome:
        """Return the outputs."""
        return Outcome.of(0.0, returned if self.w.widths[-1] > 1 else returned[:, 1])


def prepare(workload: Workload, data: Data, params: NDArray, threads: int = 1) -> Job:
    """Return the job."""
    jobs: dict[str, Any] = {"train": Training, "predict": Prediction}
    return jobs[workload.task](workload, data, params, threads)
