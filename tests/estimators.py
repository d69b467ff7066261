"""Small estimators for tests."""

from __future__ import annotations

import pytest
import sklearn

import fastmlp as fm

OLD = tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 7)
SINCE_1_7 = pytest.mark.skipif(OLD, reason="scikit-learn has it from 1.7 on")


def quick(**parameters):
    return fm.MLPClassifier(
        **{"hidden_layer_sizes": (8,), "max_iter": 40, "learning_rate_init": 0.02, "random_state": 0} | parameters
    )


def quick_numbers(**parameters):
    return fm.MLPRegressor(
        **{"hidden_layer_sizes": (8,), "max_iter": 40, "learning_rate_init": 0.02, "random_state": 0} | parameters
    )
