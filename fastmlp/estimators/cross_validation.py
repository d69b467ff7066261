"""cross_validate: the folds of a cross-validation, each with several seeds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.base import clone, is_classifier
from sklearn.model_selection import check_cv
from sklearn.model_selection import cross_validate as one_seed
from sklearn.pipeline import Pipeline
from sklearn.utils import indexable
from sklearn.utils.metadata_routing import get_routing_for_object

from .. import checks, engine
from ..errors import shown
from ..interruption import side_by_side
from .base import BaseMLP
from .ensemble import is_heard

__all__ = ["cross_validate"]


def cross_validate(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    cv: Any = 5,
    seeds: int | Iterable[int] = 10,
    groups: Any = None,
    n_jobs: int | None = None,
    **options: Any,
) -> dict[str, NDArray]:
    """Evaluate an estimator by cross-validation with several seeds, on the same folds.

    Networks of MLPClassifier and MLPRegressor, alone or at the end of a pipeline, are trained side by side on the cores, with
    the same results to the last bit.

    Parameters
    ----------
    estimator : estimator
        Anything with a random_state, or with parts that have one, such as a pipeline.
    X, y : array-like
        The data.
    cv : int, splitter or iterable
        As for ``sklearn.model_selection.cross_validate``.
    seeds : int or iterable of int
        The random states, or how many: 0, 1, ... Every parameter random_state is set to them, those of parts too.
    groups : array-like, optional
        For the splitter; with scikit-learn's metadata routing they may be in `params` instead.
    n_jobs : int, optional
        With None and -1 networks of fastmlp take all threads, a seed on each. A number, or of other estimators -1 too, is
        scikit-learn's, by which the folds of one seed after the other go to so many processes.
    options
        More arguments of ``sklearn.model_selection.cross_validate``: scoring, params, return_train_score,
        return_estimator, ...

    Returns
    -------
    dict
        Arrays of shape (seeds, folds): "test_score" (or one of each metric), "fit_time", "score_time" and what else was asked
        for; and "seeds". The "indices" of return_indices are scikit-learn's, the same for all seeds.

    Raises
    ------
    TypeError, ValueError
        If `estimator` is none, if `seeds` names none, if `n_jobs` is neither a number >= 1 nor -1, or by scikit-learn.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from fastmlp import MLPClassifier, cross_validate
    >>> X, y = load_iris(return_X_y=True)
    >>> network = MLPClassifier((4,), activation="tanh", solver="lbfgs", alpha=1.0, tol=1e-3)
    >>> pipeline = make_pipeline(StandardScaler(), network)
    >>> cross_validate(pipeline, X, y, cv=3, seeds=2)["test_score"].shape
    (2, 3)
    """
    if isinstance(estimator, type) or not hasattr(estimator, "get_params"):
        raise TypeError(
            f"estimator must be an estimator of scikit-learn's kind, such as fm.MLPClassifier(); got {shown(estimator)}. "
            "For networks of fm.MLP there is fm.sweep(..., cv=5)."
        )
    chosen = checks.seeds(seeds, 0)
    if groups is None and get_config()["enable_metadata_routing"]:
        groups, options["params"] = _routed_groups(estimator, options.get("params"))
    X, y, groups = indexable(X, y, groups)
    folds = list(check_cv(cv, y, classifier=is_classifier(estimator)).split(X, y, groups))
    # Seeds side by side, a network on each core, unless something of the user's own runs in between or looks at the clock.
    together = 1
    if _undisturbed(estimator, options) and checks.jobs(n_jobs) is None:
        together, n_jobs = min(len(chosen), engine.threads()), None
    options |= {"cv": folds, "n_jobs": n_jobs}
    results = side_by_side(lambda seed: _one_seed(estimator, seed, X, y, **options), [(seed,) for seed in chosen], together)
    table = {name: _stacked([result[name] for result in results]) for name in results[0]}
    return {"seeds": np.array(chosen), **table}


def _routed_groups(estimator: Any, params: Any) -> tuple[Any, Any]:
    """Return the groups among routed parameters, and what is left when the folds are made: they, if the estimator asks too."""
    groups = (params or {}).get("groups")
    if groups is None or get_routing_for_object(estimator).consumes("fit", ["groups"]):
        return groups, params
    return groups, {name: value for name, value in params.items() if name != "groups"}


def _stacked(parts: list[Any]) -> Any:
    """Return what each seed has of a name, arrays or lists of one thing a fold, as one array (seeds, folds)."""
    if isinstance(parts[0], dict):
        return parts[0]  # the folds' row numbers, which are the same for all seeds
    if isinstance(parts[0], np.ndarray):
        return np.array(parts)
    table = np.empty((len(parts), len(parts[0])), object)
    for place in np.ndindex(table.shape):  # NumPy would take a pipeline apart, which is a sequence too
        table[place] = parts[place[0]][place[1]]
    return table


def _one_seed(est: Any, seed: int, *arguments: Any, **named: Any) -> dict[str, Any]:
    seeded = clone(est)
    states = [name for name in seeded.get_params() if name.rpartition("__")[2] == "random_state"]
    seeded.set_params(**dict.fromkeys(states, seed))
    return one_seed(seeded, *arguments, **named)


def _undisturbed(est: Any, options: dict[str, Any]) -> bool:
    """Whether an estimator is one of ours, or a pipeline that ends in one, of which nobody hears while it is fitted."""
    network = est.steps[-1][1] if isinstance(est, Pipeline) else est
    if not isinstance(network, BaseMLP) or options.get("verbose") or not isinstance(options.get("scoring"), str | None):
        return False
    return not (is_heard(network) or network.max_time)
