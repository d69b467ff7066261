"""The example in which Optuna searches and a population trains."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import fastmlp as fm

optuna = pytest.importorskip("optuna")
PATH = Path(__file__).parents[1] / "examples" / "optuna_population.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("optuna_population", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_optuna_is_told_what_networks_of_its_trials_reach(example):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    data = fm.datasets.load("wine")
    X = fm.datasets.standardize(data.X)[0].astype(np.float32)
    order = np.random.default_rng(0).permutation(len(X))
    train, held = order[:120], order[120:]
    study, net = example.search(X[train], data.y[train], (X[held], data.y[held]), rounds=3, epochs=15)
    assert len(study.trials) == 3 * example.AT_A_TIME
    assert all(trial.state.is_finished() for trial in study.trials)
    assert study.best_value >= 0.9
    assert net.score(X[held], data.y[held]) == pytest.approx(study.best_value)
    best = study.best_params
    assert net.plan.widths == (13, *[best["width"]] * best["depth"], 3)
    assert net.seed == study.best_trial.number
    # By itself the network of a trial reaches the same, to rounding.
    spec, numbers = example.suggest(optuna.trial.FixedTrial(best, study.best_trial.number), 13, 3)
    alone = fm.Population.of([spec])
    alone.fit(X[train], data.y[train], epochs=15, optimizer=fm.Adam(**numbers), progress=False)
    np.testing.assert_allclose(alone[0].params, net.params, rtol=1e-3, atol=1e-4)
