"""What MLPClassifier and MLPRegressor share: their parameters, and fitting."""

from __future__ import annotations

import contextlib
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, validate_data

from .. import activations, arrays, checks, engine, schedules, weighting
from ..arguments import TrainingData
from ..callbacks import as_callbacks
from ..errors import DivergenceError, counted, named, warn
from ..network import MLP
from ..optimizers import Optimizer
from ..reference import ids
from ..rows import Rows
from ..sparse import csr, stays_sparse
from ..trainer import TrainedHere
from . import callbacks as callback_support
from .compat import CallbackSupportMixin
from .ensemble import fit_members
from .fitted import FittedMLP
from .judge import Judge
from .lbfgs import fit_lbfgs
from .objective import Objective
from .rates import POLICIES, SOLVERS, Policy, is_lbfgs
from .refits import unchanged_by_errors
from .start import initial_network, network_to_go_on_with, random_state
from .stochastic import StochasticRun, options_of

__all__ = ["BaseMLP"]

_NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)


class BaseMLP(CallbackSupportMixin, FittedMLP):
    """The common part of the two estimators; use :class:`MLPClassifier` or :class:`MLPRegressor`."""

    _parameter_constraints: ClassVar[dict] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [
            StrOptions({*(name for name, a in activations.ACTIVATIONS.items() if a.hidden), *activations.ALIASES}),
            "array-like", activations.Activation, callable,
        ],
        "solver": [StrOptions(set(SOLVERS)), Optimizer],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({*POLICIES, *schedules.SCHEDULES}), schedules.Schedule],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "scoring": [str, callable, None],
        "max_time": [Interval(Real, 0, None, closed="neither"), None],
        "callbacks": [object],
        "progress": ["boolean"],
        "on_divergence": [StrOptions({"raise", "warn"})],
        "n_ensemble": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Interval(Integral, 1, None, closed="left"), Options(Integral, {-1}), None],
    }  # fmt: skip

    hidden_layer_sizes: Any
    activation: Any
    solver: Any
    learning_rate: Any
    batch_size: Any
    alpha: float
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    random_state: Any
    tol: float
    verbose: Any
    warm_start: bool
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    validation_fraction: float
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: float
    max_fun: int
    dropout: float
    scoring: Any
    max_time: float | None
    callbacks: Any
    progress: bool
    on_divergence: str
    n_ensemble: int
    n_jobs: int | None

    loss_: float
    best_loss_: Any
    best_validation_score_: Any
    _names_once: ClassVar[tuple[str, ...]]

    @classmethod
    def _get_param_names(cls) -> list[str]:
        """Return the parameters' names; scikit-learn reads the constructor's signature anew for each of many calls."""
        if "_names_once" not in cls.__dict__:
            cls._names_once = tuple(super()._get_param_names())
        return list(cls._names_once)

    def _store(self, arguments: dict[str, Any]) -> None:
        """Keep the constructor's arguments as they are; a subclass's constructor may have others of its own."""
        for name, value in arguments.items():
            if name != "self":
                setattr(self, name, value)

    # ---- what a classifier and a regressor do in their own ways

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Any, NDArray]:
        """Return X and y checked, and targets as the engine takes them, (n, K) or class indices (n, 1)."""
        raise NotImplementedError

    def _encode(self, y: Any) -> NDArray:
        """Return checked targets as the engine takes them."""
        raise NotImplementedError

    def _objective_of(self, y: NDArray) -> tuple[Objective, int]:
        """Return the objective for such targets, and the number of outputs."""
        raise NotImplementedError

    def _objective_for(self, n_outputs: int, out_activation: str) -> tuple[Objective, int]:
        """Return the objective of a network that is already there, and the number of outputs."""
        raise NotImplementedError

    def _default_score(self, y: NDArray, outputs: NDArray, weight: NDArray | None) -> float:
        """Return what early stopping looks at if `scoring` names nothing else."""
        raise NotImplementedError

    def _class_factors(self, y: Any, incremental: bool) -> NDArray | None:
        """Return each row's factor by its class, or None."""
        return None

    # ---- fitting

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        incremental: bool,
        validation: tuple[Any, Any, Any] = (None, None, None),
        **more: Any,
    ) -> Any:
        method, goes_on = ("partial_fit", True) if incremental else ("fit", self.warm_start)
        if self.n_ensemble > 1 or (goes_on and "estimators_" in self.__dict__):
            named = dict(zip(("X_val", "y_val", "sample_weight_val"), validation, strict=True)) if not incremental else {}
            fit_members(self, method, goes_on, X, y, sample_weight, **named, **more)
            return self
        names = ("X", "y", "sample_weight", "X_val", "y_val", "sample_weight_val")
        for name, value in zip(names, (X, y, sample_weight, *validation), strict=True):
            arrays.unmasked(name, value)  # scikit-learn would take what is under the mask
        self._check_sizes()
        if checks.is_validation(*validation) and is_lbfgs(self.solver):
            raise ValueError("solver='lbfgs' looks at no validation data. Leave X_val out, or use another solver.")
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        with unchanged_by_errors(self):
            self.__dict__.pop("estimators_", None)
            given, rng, callbacks = (X, y), random_state(self.random_state), as_callbacks(self.callbacks)
            first = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
            X, y, target = self._validate_input(X, y, incremental, first)
            weight = self._weight(sample_weight, X, y, incremental)
            self._begin(X, target, first, rng)
            rows = self._rows(X, target, weight)
            run = None
            if not is_lbfgs(self.solver):
                run = self._stochastic_run(*self._part(rows, y, rng, validation), rng, incremental)
        fit_hooks = callback_support.around_fit(self, *given, sample_weight)
        with self._few_threads(), TrainedHere(self.network_), fit_hooks as hooks:
            if run is None:
                fit_lbfgs(self, rows, [*callbacks, *hooks])
            else:
                run.options.callbacks = [*callbacks, *hooks]
                self._fit_stochastic(run, incremental)
        if not np.isfinite(self.network_.params).all():
            raise ValueError(_NOT_FINITE)
        return self

    def _check_sizes(self) -> None:
        sizes = self._hidden_sizes()
        if any(size <= 0 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")

    def _hidden_sizes(self) -> list[int]:
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if not all(isinstance(size, Integral) and not isinstance(size, bool) for size in sizes):
            raise TypeError(f"hidden_layer_sizes must be integers; got {self.hidden_layer_sizes!r}. Pass such as (100, 50).")
        return [int(size) for size in sizes]

    def _weight(self, sample_weight: Any, X: Any, y: Any, incremental: bool) -> NDArray | None:
        """Return what each row counts, for itself and by its class; None if that is the same for all."""
        weight = None if sample_weight is None else _checked_weight(sample_weight, X, "sample_weight")
        factors = self._class_factors(y, incremental)
        if factors is None:
            return weight
        weight = factors if weight is None else weight * factors
        if not incremental and not weight.any():  # later calls of partial_fit may have rows of other classes
            raise ValueError(
                f"class_weight={self.class_weight!r} leaves no row of y any weight. Pass one above 0 for some class."
            )
        return weight

    def _begin(self, X: Any, target: NDArray, first: bool, rng: np.random.RandomState) -> None:
        """Begin anew, or go on with the network that there is."""
        objective, n_outputs = self._objective_of(target)
        if first:
            self.n_outputs_ = n_outputs
            self._initialize(objective, X.shape[1], X.dtype, rng)
        elif n_outputs != self.n_outputs_:
            raise ValueError(
                f"y asks for n_outputs={n_outputs}, but the network to go on with has n_outputs={self.n_outputs_}. "
                "Pass a y like that before, or fit anew with warm_start=False."
            )
        self._synchronize()
        if not first:
            self._take(objective, network_to_go_on_with(self, objective))
        if not is_lbfgs(self.solver):
            self._keep_books()

    def _initialize(self, objective: Objective, n_inputs: int, dtype: np.dtype, rng: np.random.RandomState) -> None:
        """Begin anew: initial weights, counters, curves."""
        self.n_iter_ = self.t_ = 0
        self.loss_ = np.nan
        self._take(objective, initial_network(self, objective, n_inputs, self.n_outputs_, dtype, rng))
        self._policy: Policy | None = None
        for name in ("loss_curve_", "validation_loss_curve_", "_no_improvement_count"):
            self.__dict__.pop(name, None)

    def _keep_books(self) -> None:
        """Begin the curves, and what improvements are judged by, where there are none, or none of this kind."""
        if "loss_curve_" not in self.__dict__:
            self.loss_curve_: list[float] = []
        if "validation_loss_curve_" not in self.__dict__:
            self.validation_loss_curve_: list[float] = []
        if "_no_improvement_count" in self.__dict__ and (self.best_loss_ is None) == bool(self.early_stopping):
            return
        self._no_improvement_count = 0
        self.validation_scores_: list[float] | None = [] if self.early_stopping else None
        self.best_validation_score_ = -np.inf if self.early_stopping else None
        self.best_loss_ = None if self.early_stopping else np.inf

    def _take(self, objective: Objective, net: MLP) -> None:
        """Train this network from now on."""
        self._objective = objective
        self.out_activation_ = objective.out_activation
        net._state.reals[ids.LOSS_FACTOR] = objective.value / objective.gradient
        most = objective.most(net.dtype)
        if most:
            net._state.reals[ids.LOSS_PARAM] = most
        if self.__dict__.get("network_") is not net:
            self.network_ = net
            self.n_layers_ = net.plan.n_layers + 1
            self._link()

    def _stochastic_run(
        self, data: TrainingData, judge: Judge | None, rng: np.random.RandomState, incremental: bool
    ) -> StochasticRun:
        """Return the training by minibatches that is about to begin."""
        net = self.network_
        if not incremental or net._state.optimizer is None:
            net._state.optimizer = None  # whatever there was of momentum and moments is forgotten
            named = isinstance(self.learning_rate, str) and self.learning_rate in POLICIES
            kind = self.learning_rate if self.solver == "sgd" else "constant"
            self._policy = None
            if named and not isinstance(self.solver, Optimizer):
                self._policy = Policy(kind, self.learning_rate_init, self.power_t)
        elif isinstance(self.solver, Optimizer):  # set since the first call: it has its own rate
            self._policy = None
        n = len(data.train)
        if self.batch_size != "auto" and self.batch_size > n:
            warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped")
        if self.shuffle or self.dropout > 0.0:  # else nothing is drawn, from a random state of the user's own neither
            net.seed = int(rng.randint(np.iinfo(np.int32).max))
            net._state.reseed(net.seed)
        options = options_of(self, n, 1 if incremental else self.max_iter)
        options.check_curves(data.validation is not None, "Pass X_val and y_val, or early_stopping=True.")
        return StochasticRun(self, data, options, judge)

    def _fit_stochastic(self, run: StochasticRun, incremental: bool) -> None:
        self.n_iter_ = 0
        self._held_x = None if run.judge is None else run.judge.rows.x
        ended = ""
        try:
            ended = run.go().stopped
        except KeyboardInterrupt:
            warn("Training interrupted by user.")
        except DivergenceError as error:
            raise ValueError(f"{_NOT_FINITE} {error}") from error
        finally:
            del self._held_x
        if incremental:
            return
        if ended == "epochs":
            warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't "
                "converged yet.",
                ConvergenceWarning,
            )
        elif ended == "time":
            warn(
                f"Stochastic Optimizer: max_time ({self.max_time:g} s) is over after {self.n_iter_} iterations and the "
                "optimization hasn't converged yet.",
                ConvergenceWarning,
            )

    def _part(
        self, rows: Rows, y: Any, rng: np.random.RandomState, validation: tuple[Any, Any, Any]
    ) -> tuple[TrainingData, Judge | None]:
        """Return what is trained on and what is looked at after each epoch, and who judges it."""
        X_val, y_val, weight_val = validation
        if checks.is_validation(X_val, y_val, weight_val):
            held, held_y = self._held_out(X_val, y_val, weight_val)
            train = rows
        elif not self.early_stopping:
            return TrainingData(rows, None), None
        else:
            kept, out = self._split(rows.y, rng)
            if len(out) < 2:
                raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
            train, held, held_y = rows.take(kept), rows.take(out), y[out]
        if held.weight.size and not held.weight.any():
            raise ValueError("The validation rows have no weight, all of them. Give one of them at least a positive weight.")
        judge = Judge(held, held_y, self.scoring) if self.early_stopping else None
        return TrainingData(train, held), judge

    def _split(self, target: NDArray, rng: np.random.RandomState) -> tuple[NDArray, NDArray]:
        """Return row numbers to train on and to hold out, the same share of each class."""
        numbers = np.arange(len(target))
        arguments = {"random_state": rng, "test_size": self.validation_fraction}
        by_class = is_classifier(self) and target.shape[1] == 1
        if by_class and self.n_outputs_ > 1:
            # scikit-learn stratifies by two classes only; where several are too rare for it, nor do we.
            try:
                return train_test_split(numbers, stratify=target, **arguments)
            except ValueError:  # before it has drawn anything
                by_class = False
        # Two classes are False and True, as in scikit-learn, which names them so if they are too rare.
        return train_test_split(numbers, stratify=target > 0 if by_class else None, **arguments)

    def _held_out(self, X: Any, y: Any, weight: Any) -> tuple[Rows, NDArray]:
        """Check validation data that the user passed."""
        given, kinds = X, (np.float64, np.float32)
        X = check_array(X, accept_sparse=["csr", "csc"], dtype=kinds, input_name="X_val", estimator=self)
        with named("X_val"):
            validate_data(self, given, reset=False, skip_check_array=True)  # the number of columns, and their names
        y, target = self._validation_target(y)
        if y.shape[0] != X.shape[0]:
            raise ValueError(
                f"y_val has {counted(y.shape[0], 'row')}, but X_val has {X.shape[0]}. Pass one target for each row."
            )
        weight = None if weight is None else _checked_weight(weight, X, "sample_weight_val")
        return self._rows(X, target, weight, "y_val"), y

    def _validation_target(self, y: Any) -> tuple[NDArray, NDArray]:
        """Return validation targets checked, and as the engine takes them."""
        raise NotImplementedError

    def _rows(self, X: Any, target: NDArray, weight: NDArray | None, name: str = "y") -> Rows:
        """Return checked data as the engine takes it."""
        dtype = self.network_.dtype
        x = csr(X, dtype) if stays_sparse(X, dtype) else self._engine_inputs(X)
        y = arrays.targets(target, x.shape[0], self.n_outputs_, self.network_.loss_spec.kind, dtype, name)
        if weight is None:
            return Rows(x, y, np.zeros(0, dtype))
        with np.errstate(over="ignore"):
            w = np.ascontiguousarray(weight, dtype)
        if not np.isfinite(w).all():
            raise ValueError(f"weights up to {weight.max():.3g} are infinite in {dtype}. Divide all of them by the largest.")
        if weight.any() and w.max() < np.finfo(dtype).tiny:  # what is less the engine takes for 0
            raise ValueError(
                f"weights up to {weight.max():.3g} are as good as 0 in {dtype}. Divide all of them by the largest."
            )
        return Rows(x, y, w)

    def _few_threads(self) -> contextlib.AbstractContextManager[None]:
        n = checks.jobs(self.n_jobs)
        return contextlib.nullcontext() if n is None else engine.at_most(n)

    def _check_solver(self) -> bool:
        if is_lbfgs(self.solver):
            raise AttributeError(f"partial_fit is only available for stochastic optimizers. {self.solver} is not stochastic.")
        return True

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _checked_weight(weight: Any, X: Any, name: str) -> NDArray:
    with contextlib.nullcontext() if name == "sample_weight" else named(name):
        weight = _check_sample_weight(weight, X)
    weighting.nonnegative_weight(weight, name)
    return weight
