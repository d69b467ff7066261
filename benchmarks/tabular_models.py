"""The models of the accuracy report, each with its defaults; run as a program, one model's fits on one data set.

``python -m benchmarks.tabular_models MODEL DATA SPLITS`` prints JSON, in whatever Python has that model installed.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from .tabular_data import DATA, splits

__all__ = ["MODELS", "run"]


def _categories(X: pd.DataFrame) -> list[str]:
    return [name for name in X if X[name].dtype == "category"]


def fastmlp(kind: str, X: pd.DataFrame, seed: int, **options: Any) -> Any:
    """Return fastmlp's estimator."""
    import fastmlp as fm

    return (fm.TabularClassifier if kind == "classes" else fm.TabularRegressor)(random_state=seed, **options)


def fastmlp_ensemble(kind: str, X: pd.DataFrame, seed: int, **options: Any) -> Any:
    """Return fastmlp's estimator with five networks."""
    return fastmlp(kind, X, seed, n_ensemble=5, **options)


def fastmlp_td(kind: str, X: pd.DataFrame, seed: int, **options: Any) -> Any:
    """Return fastmlp's estimator with the whole recipe."""
    return fastmlp(kind, X, seed, preset="td", **options)


def pytabkit(kind: str, X: pd.DataFrame, seed: int, **options: Any) -> Any:
    """Return the authors' own RealMLP-TD-S."""
    return _authors_own("TD_S", kind, X, seed, options)


def pytabkit_td(kind: str, X: pd.DataFrame, seed: int, **options: Any) -> Any:
    """Return the authors' own RealMLP-TD."""
    return _authors_own("TD", kind, X, seed, options)


def _authors_own(name: str, kind: str, X: pd.DataFrame, seed: int, options: dict[str, Any]) -> Any:
    """Return a RealMLP of pytabkit; it takes no missing numbers, so medians stand in for them."""
    import pytabkit as ptk
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    make = getattr(ptk, f"RealMLP_{name}_{'Classifier' if kind == 'classes' else 'Regressor'}")
    model = make(device="cpu", random_state=seed, **options)
    numbers = [name for name in X if name not in _categories(X)]
    if not X[numbers].isna().any(axis=None):
        return model
    filled = make_column_transformer((SimpleImputer(strategy="median"), numbers), remainder="passthrough")
    return make_pipeline(filled.set_output(transform="pandas"), model)


def sklearn_mlp(kind: str, X: pd.DataFrame, seed: int, **options: Any) -> Any:
    """Return scikit-learn's MLP, on one-hot codes and standardised numbers."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    encoded = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), _categories(X)),
        remainder=make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
    )
    return make_pipeline(encoded, (MLPClassifier if kind == "classes" else MLPRegressor)(random_state=seed, **options))


def hist_gradient_boosting(kind: str, X: pd.DataFrame, seed: int, **options: Any) -> Any:
    """Return scikit-learn's gradient-boosted trees."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.multioutput import MultiOutputRegressor

    if kind == "classes":
        return HistGradientBoostingClassifier(random_state=seed, **options)
    return MultiOutputRegressor(HistGradientBoostingRegressor(random_state=seed, **options))


# Name: how it is made, what makes a first fit short, and options to try on the first split, of which the fastest stays.
MODELS: dict[str, tuple[Callable[..., Any], dict[str, Any], list[dict[str, Any]]]] = {
    "fastmlp": (fastmlp, {"epochs": 1}, [{}]),
    "fastmlp_td": (fastmlp_td, {"epochs": 1}, [{}]),
    "fastmlp_ensemble": (fastmlp_ensemble, {"epochs": 1}, [{}]),
    "pytabkit": (pytabkit, {"n_epochs": 1}, [{}, {"n_threads": 1}]),
    "pytabkit_td": (pytabkit_td, {"n_epochs": 1}, [{}, {"n_threads": 1}]),
    "sklearn_mlp": (sklearn_mlp, {"max_iter": 1}, [{}]),
    "hist_gradient_boosting": (hist_gradient_boosting, {"max_iter": 1}, [{}]),
}


def error(kind: str, y: np.ndarray, prediction: np.ndarray) -> float:
    """Return the share of wrong classes; or the root mean squared error over the targets' standard deviation."""
    if kind == "classes":
        return float((np.asarray(prediction) != y).mean())
    y, prediction = y.reshape(len(y), -1), np.asarray(prediction).reshape(len(y), -1)
    return float(np.mean(np.sqrt(((prediction - y) ** 2).mean(axis=0)) / y.std(axis=0)))


def run(name: str, data: str, n: int) -> dict[str, Any]:
    """Return a model's test error and seconds of fit for each of n splits of a data set."""
    make, short, candidates = MODELS[name]
    X, y, kind = DATA[data]()
    if kind == "numbers" and y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]

    def fit(options: dict[str, Any], seed: int, rows: np.ndarray) -> tuple[Any, float]:
        model = make(kind, X, seed, **options)
        # The trees of several targets are models of their own, which take targets of two dimensions alone.
        targets = y[:, None] if name == "hist_gradient_boosting" and kind == "numbers" and y.ndim == 1 else y
        began = time.perf_counter()
        model.fit(X.iloc[rows], targets[rows])
        return model, time.perf_counter() - began

    result: dict[str, Any] = {"model": name, "data": data, "rows": len(X), "columns": X.shape[1], "kind": kind}
    errors, seconds, options = [], [], candidates[0]
    for seed, (train, test) in enumerate(splits(y, kind, n)):
        if seed == 0:
            fit(short, seed, train)  # imports, compiling, pools
            tried = [(fit(each, seed, train), each) for each in candidates]
            (model, took), options = min(tried, key=lambda entry: entry[0][1])
        else:
            model, took = fit(options, seed, train)
        errors.append(error(kind, y[test], model.predict(X.iloc[test])))
        seconds.append(took)
    found = {package: importlib.metadata.version(package) for package in ("pytabkit", "torch") if package in sys.modules}
    return result | {"options": options, "errors": errors, "seconds": seconds, "versions": found}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(run(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
