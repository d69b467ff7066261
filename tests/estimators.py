"""Small estimators for tests."""

from __future__ import annotations

import fastmlp as fm


def quick(**parameters):
    return fm.MLPClassifier(
        **{"hidden_layer_sizes": (8,), "max_iter": 40, "learning_rate_init": 0.02, "random_state": 0} | parameters
    )


def quick_numbers(**parameters):
    return fm.MLPRegressor(
        **{"hidden_layer_sizes": (8,), "max_iter": 40, "learning_rate_init": 0.02, "random_state": 0} | parameters
    )
