"""MLPClassifier beside scikit-learn's: whole calls of fit, predict and GridSearchCV, with the same parameters and epochs.

scikit-learn runs on one BLAS thread or on all, whichever is faster, and its warm-up is not timed, nor is ours: the processes
of a search are there before. Each pair is checked first: from the same initial weights and in the same order of rows both
come to the same.

Beside ours stands the least that it could take: the products of its fits at this machine's ceiling, all cores together, and of
a search what one takes of an estimator that does nothing, which is scikit-learn's own work and the processes'.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from rich.table import Table
from sklearn.datasets import load_breast_cancer, load_digits, make_classification, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.neural_network import MLPClassifier as Theirs

import fastmlp as fm

from .ceiling import gflops
from .jobs import Job, set_blas_threads
from .measure import Effort, fastest, paired, turn, warm
from .peers import CORES
from .workloads import products

Rows = tuple[Any, NDArray]
# Training goes on to the last epoch, so that both do equally many. Of two classes both hold out the same rows.
_TO_THE_END = {"tol": 0.0, "n_iter_no_change": np.inf, "random_state": 0}
_GRID = {
    "hidden_layer_sizes": [(16,), (32,), (64,), (32, 32)],
    "alpha": [1e-4, 1e-2, 1.0],
    "learning_rate_init": [1e-3, 1e-2],
}


def _digits() -> Rows:
    X, y = load_digits(return_X_y=True)
    return X / 16, y


def _cancer() -> Rows:
    X, y = load_breast_cancer(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def _made(n: int, features: int) -> Rows:
    return make_classification(n, features, n_informative=features // 2, random_state=0)


def _sparse(n: int, features: int, density: float) -> Rows:
    """As counts of words are: few are not zero."""
    rng = np.random.default_rng(0)
    return scipy.sparse.random(n, features, density, "csr", random_state=rng), rng.integers(0, 5, n)


@dataclass(frozen=True)
class Case:
    """One row: data, an estimator's parameters, and what is called of it."""

    title: str
    goal: float
    data: Callable[[], Rows]
    parameters: dict[str, Any] = field(default_factory=dict)
    call: str = "fit"
    rows: int = 0


CASES = {
    "digits": Case("digits, the default network, 50 epochs", 15.0, _digits, {"max_iter": 50}),
    "judged": Case("breast_cancer, the default network, early_stopping=True, 100 epochs", 1.0, _cancer,
                   {"max_iter": 100, "early_stopping": True}),
    "judged small": Case("200 moons, (16,), early_stopping=True, 200 epochs", 1.0,
                         lambda: make_moons(200, noise=0.2, random_state=0),
                         {"hidden_layer_sizes": (16,), "max_iter": 200, "early_stopping": True}),
    "small": Case("2,000 × 20, (64, 64), batch 32, 10 epochs", 20.0, lambda: _made(2000, 20),
                  {"hidden_layer_sizes": (64, 64), "batch_size": 32, "max_iter": 10}),
    "large": Case("20,000 × 784, (100,), batch 200, 3 epochs", 2.5, lambda: _made(20_000, 784), {"max_iter": 3}),
    "sparse": Case("4,000 × 20,000, 0.3% not zero, 3 epochs", 1.0, lambda: _sparse(4000, 20_000, 0.003), {"max_iter": 3}),
    "sparse rows": Case("predict, 4,000 × 20,000, 0.3% not zero", 1.0, lambda: _sparse(4000, 20_000, 0.003), {"max_iter": 1},
                        "predict", 4000),
    "one row": Case("predict, 1 × 20", 10.0, lambda: _made(2000, 20), {"max_iter": 3}, "predict", 1),
    "many rows": Case("predict, 100,000 × 20", 2.0, lambda: _made(100_000, 20), {"max_iter": 1}, "predict", 100_000),
    "search": Case("GridSearchCV, 24 candidates × 5 folds, n_jobs=2, 800 × 20, 30 epochs", 12.0, lambda: _made(800, 20),
                   {"max_iter": 30}, "search"),
}  # fmt: skip


class _Call(Job):
    """One call of an estimator's method."""

    def __init__(self, kind: Any, case: Case, data: Rows, threads: int = 0) -> None:
        self.case, self.threads = case, threads
        self.X, self.y = data
        self.estimator = kind(**(_TO_THE_END | case.parameters))
        if case.call == "predict":
            self._quietly(lambda: self.estimator.fit(self.X[:2000], self.y[:2000]))
            self.X = self.X[: case.rows]
        elif case.call == "search":
            self.search = GridSearchCV(self.estimator, _GRID, cv=5, n_jobs=2)

    def _quietly(self, function: Callable[[], Any]) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return function()

    def begin(self) -> None:
        """Set the BLAS's threads."""
        if self.threads:
            set_blas_threads(self.threads)

    def run(self) -> Any:
        """Make the call."""
        if self.case.call == "fit":
            return self._quietly(lambda: self.estimator.fit(self.X, self.y))
        if self.case.call == "search":
            return self._quietly(lambda: self.search.fit(self.X, self.y))
        return self.estimator.predict(self.X)


class _Nothing(fm.MLPClassifier):
    """An estimator for a search that takes no time of its own."""

    def fit(self, X: Any, y: Any) -> _Nothing:
        """Do nothing."""
        return self

    def score(self, X: Any, y: Any) -> float:
        """Return the same for all."""
        return 0.5


class _Network(Job):
    """fm.MLP and its fit, on what the estimator trains."""

    def __init__(self, case: Case, data: Rows) -> None:
        self.X, self.y = data
        self.epochs = case.parameters["max_iter"]

    def run(self) -> Any:
        """Train."""
        net = fm.MLP([self.X.shape[1], 100, 10], output="softmax", dtype=self.X.dtype)
        optimizer = fm.Adam(1e-3, l2=1e-4, l2_over_batch=True)
        return net.fit(self.X, self.y, epochs=self.epochs, batch_size=200, optimizer=optimizer, progress=False)


def check(case: Case, data: Rows) -> float:
    """Return how far the two are apart, relative to the weights, after a short training in float64; raise if it is too far."""
    X, y = data[0][:2000].astype(np.float64), data[1][:2000]
    parameters = _TO_THE_END | case.parameters | {"shuffle": False, "max_iter": 2}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        ours, theirs = fm.MLPClassifier(**parameters).fit(X, y), Theirs(**parameters).fit(X, y)
    apart = max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(ours.coefs_, theirs.coefs_, strict=True))
    if apart > 1e-9:
        raise AssertionError(f"{case.title}: the weights are {apart:.2g} apart")
    return apart


def measure_case(name: str, dtype: str, effort: Effort) -> dict[str, float]:
    """Return the milliseconds of a call, ours and theirs, and the median of their ratios."""
    case = CASES[name]
    X, y = case.data()
    data = (X.astype(dtype), y)
    ours = _Call(fm.MLPClassifier, case, data)
    theirs = {f"threads={n}": _Call(Theirs, case, data, n) for n in ((1,) if name == "search" else sorted({1, CORES}))}
    warm(ours)
    best = theirs[fastest(theirs, effort.turn)]
    pairs = paired(ours, best, effort)
    set_blas_threads(CORES)
    return {
        "ours": 1e3 * float(np.median(pairs.ours)), "theirs": 1e3 * float(np.median(pairs.theirs)), "ratio": pairs.ratio,
        "threads": best.threads, "least": 1e3 * least(ours, effort),
    }  # fmt: skip


def least(call: _Call, effort: Effort) -> float:
    """Return the seconds that a fit or a search cannot fall below here, see the module; 0 where that is not known."""
    case, rows = call.case, call.X.shape[0]
    if case.call == "predict" or scipy.sparse.issparse(call.X) or call.estimator.early_stopping:
        return 0.0
    seconds, fits = 0.0, [(rows, call.estimator.hidden_layer_sizes)]
    if case.call == "search":
        nothing = _Call(_Nothing, case, (call.X, call.y))
        warm(nothing)
        seconds = min(turn(nothing, effort.turn) for _ in range(effort.most))
        rows_of_folds = rows * (call.search.n_splits_ - 1)
        fits = [(rows_of_folds, given["hidden_layer_sizes"]) for given in ParameterGrid(_GRID)]
    classes, epochs = len(np.unique(call.y)), case.parameters["max_iter"]
    outputs = classes if classes > 2 else 1
    operations = epochs * sum(products([call.X.shape[1], *hidden, outputs], n) for n, hidden in fits)
    return seconds + 1e-9 * operations / gflops(CORES, call.X.dtype.name)


def overhead(dtype: str, effort: Effort) -> dict[str, float]:
    """Return the milliseconds of the estimator's fit and of fm.MLP's on digits, and the median of their ratios."""
    case = CASES["digits"]
    X, y = case.data()
    data = (X.astype(dtype), y)
    ours, network = _Call(fm.MLPClassifier, case, data), _Network(case, data)
    warm(ours, network)
    # Several fits a turn: a turn's first one wakes the threads, and `pace` tries the other number of them now and then.
    pairs = paired(network, ours, replace(effort, turn=0.3, fewest=9, most=21))
    return {"ours": 1e3 * float(np.median(pairs.theirs)), "theirs": 1e3 * float(np.median(pairs.ours)), "ratio": pairs.ratio}


def measure(effort: Effort, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure all cases in both precisions, and the overhead over fm.MLP.fit."""
    found: dict[str, Any] = {}
    for name, case in CASES.items():
        apart = check(case, case.data())
        found[name] = {dtype: measure_case(name, dtype, effort) for dtype in ("float64", "float32")}
        ratios = ", ".join(f"{dtype} {cell['ratio']:.1f}×" for dtype, cell in found[name].items())
        say(f"estimators: {case.title}: {ratios}; weights {apart:.1g} apart")
    found["overhead"] = {dtype: overhead(dtype, effort) for dtype in ("float64", "float32")}
    return found


def table(result: dict[str, Any]) -> Table:
    """Return the figures as a table."""
    columns = "", "float64, ms", "least", "scikit-learn", "", "float32, ms", "least", "scikit-learn", "", "goal"
    shown = Table(*columns, title="MLPClassifier")
    for name, cells in result.items():
        title = CASES[name].title if name in CASES else "digits: fit over fm.MLP.fit (in place of scikit-learn)"
        goal = f"≥ {CASES[name].goal:g}×" if name in CASES else "≤ 1.1"
        figures = []
        for dtype in ("float64", "float32"):
            cell = cells[dtype]
            ratio = f"{cell['ratio']:.1f}×" if name in CASES else f"{cell['ratio']:.2f}"
            known = f"{cell['least']:.3g}" if cell.get("least") else ""
            figures += [f"{cell['ours']:.3g}", known, f"{cell['theirs']:.3g}", ratio]
        shown.add_row(title, *figures, goal)
    return shown
