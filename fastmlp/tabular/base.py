"""What TabularClassifier and TabularRegressor share: encoding, holding out, training one network or several."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, check_is_fitted

from .. import arrays, checks, engine, weighting
from ..data import split
from ..errors import counted, named
from ..interruption import side_by_side
from ..network import MLP
from .preprocessing import TabularEncoder, noted
from .recipe import RECIPES, LastBest, Recipe, Rows

__all__ = ["Tabular"]


class Tabular(BaseEstimator):
    """The common part of the two estimators; use :class:`TabularClassifier` or :class:`TabularRegressor`."""

    def _counting(self, X: Any, y: NDArray, sample_weight: Any) -> tuple[Any, NDArray, NDArray | None]:
        """Return X, y and checked weights of the rows that count; one of weight 0 is as if it were not there."""
        weight = _weights(sample_weight, X)
        if weight is None:
            return X, y, None
        counts = weighting.sample_weight(weight, len(weight), np.dtype(np.float32)) > 0.0
        return (X, y, weight) if counts.all() else (_safe_indexing(X, np.flatnonzero(counts)), y[counts], weight[counts])

    def _fit(self, X: Any, y: NDArray, n_outputs: int, weight: NDArray | None, held_out: tuple[Any, Any, Any]) -> Any:
        """Train on checked targets y and weights above 0; `held_out` is X, y and weights of the rows to judge by, or Nones.

        The attributes of an earlier fit stay until there is all that replaces them.
        """
        recipe = self._recipe()
        n_ensemble = checks.integer("n_ensemble", self.n_ensemble, 1)
        fraction = checks.real("validation_fraction", self.validation_fraction, 0.0, 1.0, open_high=True)
        seeds = check_random_state(self.random_state).randint(2**31, size=n_ensemble + 1).tolist()
        workers = checks.jobs(self.n_jobs) or engine.threads()
        encoder = TabularEncoder(self.categorical_features, max_one_hot=recipe.max_one_hot)
        rows = Rows(encoder.fit_transform(X), y, weight)
        if rows.X.shape[1] == 0:
            raise ValueError("X has no column with a number or a category in it. Pass one that has some.")
        judge = None
        if checks.is_validation(*held_out):
            X_val, y_val, weight_val = held_out
            check_consistent_length(X_val, y_val)
            with named("X_val"):
                columns = noted(self, X_val, reset=False)
            judge = Rows(encoder._transformed(columns), y_val, _weights(weight_val, X_val))
        jobs = self._jobs(rows, judge, fraction, seeds)
        # Several bars at once would be drawn over each other.
        together = 1 if recipe.progress else min(len(jobs), workers)
        trained = _run([(recipe, *job, encoder, n_outputs) for job in jobs], together)
        self.encoder_ = encoder
        self.networks_: list[MLP] = [net for net, _, _ in trained]
        judges = [judge for _, judge, _ in trained]
        self.best_epochs_ = [judge.epoch + 1 if judge else recipe.epochs for judge in judges]
        self.validation_errors_ = [judge.errors if judge else [] for judge in judges]
        self.n_iter_ = recipe.epochs
        return [shift for _, _, shift in trained]

    def _jobs(self, rows: Rows, judge: Rows | None, fraction: float, seeds: list[int]) -> list[tuple]:
        """Return what each network is trained on and judged by, with its seed."""
        if judge is not None:
            return [(rows, judge, seed) for seed in seeds[1:]]
        classes = isinstance(self, ClassifierMixin)
        if len(seeds) > 2:
            if len(seeds) - 1 > len(rows.y):
                raise ValueError(
                    f"n_ensemble={len(seeds) - 1}, but X has {counted(len(rows.y), 'row')}"
                    f"{'' if rows.weight is None else ' with a weight above 0'}, and each network is judged by other rows. "
                    "Pass a smaller n_ensemble, or X_val and y_val to judge them all by."
                )
            stratified = classes and np.unique(rows.y, return_counts=True)[1].min() >= len(seeds) - 1
            folds = (StratifiedKFold if stratified else KFold)(len(seeds) - 1, shuffle=True, random_state=seeds[0])
            parts = zip(folds.split(rows.X, rows.y), seeds[1:], strict=True)
            return [(*_parted(rows, *part), seed) for part, seed in parts]
        if fraction == 0.0:
            return [(rows, None, seeds[1])]
        return [(*_parted(rows, *split(rows.y, fraction, classes=classes, seed=seeds[0])), seeds[1])]

    def _check(self, X: Any, y: Any, **others: Any) -> None:
        """Raise unless X is a table and there is a target for each row, and `others` are whole too; note X's columns."""
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        for name, value in {"y": y, **others}.items():
            arrays.unmasked(name, value)
        noted(self, X, reset=True)
        check_consistent_length(X, y)

    def _outputs(self, X: Any) -> list[NDArray]:
        """Return each network's outputs."""
        check_is_fitted(self, "networks_")
        x = self.encoder_._transformed(noted(self, X, reset=False))
        return [net.predict(x) for net in self.networks_]

    def _made(self, rates: dict[str, float], **own: Any) -> Recipe:
        """Return the preset's recipe with an estimator's parameters, checked; `rates` has the learning rate of each preset."""
        preset = checks.choice("preset", self.preset, RECIPES)
        hidden = [self.hidden] if np.ndim(self.hidden) == 0 else list(self.hidden)
        return RECIPES[preset](
            hidden=tuple(checks.integer("a width of hidden", width, 1) for width in hidden),
            epochs=checks.integer("epochs", self.epochs, 1),
            batch_size=checks.integer("batch_size", self.batch_size, 1),
            lr=rates[preset] if self.lr is None else checks.real("lr", self.lr, 0.0, open_low=True),
            progress=checks.flag("progress", self.progress),
            **own,
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


def _parted(rows: Rows, kept: NDArray, held: NDArray) -> tuple[Rows, Rows | None]:
    """Return what is trained on and what it is judged by: all rows and nothing where a part would be empty."""
    return (rows.take(kept), rows.take(held)) if min(kept.size, held.size) else (rows, None)


def _weights(sample_weight: Any, X: Any) -> NDArray | None:
    if sample_weight is None:
        return None
    weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
    if not weight.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")  # as scikit-learn does from 1.9 on
    return weight


def _run(jobs: list[tuple], workers: int) -> list[tuple[MLP, LastBest | None, Any]]:
    """Train each job's network: one at a time on all threads, or several side by side, one thread each."""

    def one(recipe, train, held_out, seed, encoder, n_outputs):
        shift = None
        if recipe.output == "identity":
            shift = train.y.mean(axis=0), train.y.std(axis=0)
            train, held_out = (_standardized(rows, *shift) for rows in (train, held_out))
        return *recipe.train(train, held_out, encoder, n_outputs, seed), shift

    return side_by_side(one, jobs, workers)


def _standardized(rows: Rows | None, mean: NDArray, std: NDArray) -> Rows | None:
    if rows is None:
        return None
    return Rows(rows.X, (rows.y - mean) / np.where(std > 0.0, std, 1.0), rows.weight)
