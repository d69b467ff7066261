"""Multilayer perceptrons on compiled CPU kernels.

`MLP` is a network of layers, such as `Dense` and `Embedding`. `Population` trains many at once, and `sweep` compares widths,
depths and settings. `MLPClassifier`, `MLPRegressor`, `TabularClassifier` and `TabularRegressor` are estimators for
scikit-learn. What there is to choose from is in `activations`, `losses`, `optimizers`, `schedules`, `initializers` and
`metrics`; `activation` makes one of your own. `datasets` has data to try things on, `plots` pictures, and `scalar` an autograd
engine for single numbers.

Examples
--------
>>> import fastmlp as fm
>>> data = fm.datasets.load("moons")
>>> net = fm.MLP([2, 16, 1], output="sigmoid")
>>> history = net.fit(data.X, data.y, epochs=40, optimizer=fm.Adam(0.02))
>>> net.score(data.X, data.y) > 0.95
True
"""

import importlib
from typing import TYPE_CHECKING, Any

from . import activations, initializers, losses, metrics, optimizers, schedules
from .callbacks import Callback, EarlyStopping
from .embedding import Embedding
from .engine import set_threads, use_engine, warmup
from .errors import DivergenceError, DivergenceWarning, ModelFileError, PairingWarning, PrecisionWarning
from .history import History
from .layers import Dense
from .network import MLP
from .optimizers import LBFGS, SGD, Adagrad, Adam, AdamW, RMSprop

if TYPE_CHECKING:
    from . import datasets, plots, scalar, symbolic, tabular
    from .estimators import MLPClassifier, MLPRegressor, cross_validate, from_sklearn, to_sklearn
    from .formats.safetensors import load
    from .population import Population, PopulationHistory
    from .sweeps.sweep import sweep
    from .symbolic import activation
    from .tabular import TabularClassifier, TabularRegressor

__version__ = "0.1.0"

__all__ = [
    "LBFGS",
    "MLP",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Callback",
    "Dense",
    "DivergenceError",
    "DivergenceWarning",
    "EarlyStopping",
    "Embedding",
    "History",
    "MLPClassifier",
    "MLPRegressor",
    "ModelFileError",
    "PairingWarning",
    "Population",
    "PopulationHistory",
    "PrecisionWarning",
    "RMSprop",
    "TabularClassifier",
    "TabularRegressor",
    "__version__",
    "activation",
    "activations",
    "cross_validate",
    "datasets",
    "from_sklearn",
    "initializers",
    "load",
    "losses",
    "metrics",
    "optimizers",
    "plots",
    "scalar",
    "schedules",
    "set_threads",
    "sweep",
    "symbolic",
    "tabular",
    "to_sklearn",
    "use_engine",
    "warmup",
]


# What not every script needs, and where it is.
_LATER = {
    "MLPClassifier": "estimators",
    "MLPRegressor": "estimators",
    "Population": "population",
    "PopulationHistory": "population",
    "TabularClassifier": "tabular",
    "TabularRegressor": "tabular",
    "activation": "symbolic",
    "cross_validate": "estimators",
    "from_sklearn": "estimators",
    "load": "formats.safetensors",
    "sweep": "sweeps",
    "to_sklearn": "estimators",
}
_MODULES = ("datasets", "plots", "scalar", "symbolic", "tabular")


def __getattr__(name: str) -> Any:
    """Import what not every script needs when it is asked for."""
    if name in _LATER:
        return getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module 'fastmlp' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Name the public names, those included that are imported when asked for."""
    return sorted(__all__)
