"""Optuna searches, a population trains: 32 trials at a time, each a network of its own in a lane of the CPU's vectors.

    pip install optuna
    python examples/optuna_population.py

Optuna's ask-and-tell lets us ask for many trials before we tell what came of them. Their widths, depths, activations,
learning rates, penalties and dropout all differ; `fm.Population.of` puts them side by side.
"""

import numpy as np
import optuna

import fastmlp as fm

AT_A_TIME = 32


def suggest(trial: optuna.Trial, n_inputs: int, n_outputs: int) -> tuple[dict, dict]:
    """Return what makes a trial's network, and the optimizer's numbers for it."""
    width = trial.suggest_int("width", 4, 64, log=True)
    depth = trial.suggest_int("depth", 1, 3)
    network = {
        "layers": [n_inputs, *[width] * depth, n_outputs],
        "activation": trial.suggest_categorical("activation", ["relu", "tanh", "silu"]),
        "output": "softmax",
        "dropout": trial.suggest_float("dropout", 0.0, 0.4),
        "seed": trial.number,
    }
    numbers = {"lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True), "l2": trial.suggest_float("l2", 1e-6, 1e-1, log=True)}
    return network, numbers


def search(X, y, held, rounds: int = 8, epochs: int = 20, seed: int = 0) -> tuple[optuna.Study, fm.MLP]:
    """Return the study, and the best network that was trained in it.

    Parameters
    ----------
    X, y : arrays
        Rows to train on, (n, in), and their classes, (n,).
    held : (X, y)
        Rows to judge by.
    rounds : int
        How many times 32 trials are asked for.
    """
    # constant_liar keeps trials that are asked for together from being all alike.
    sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True, n_startup_trials=AT_A_TIME)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    best = None
    for _ in range(rounds):
        trials = [study.ask() for _ in range(AT_A_TIME)]
        networks, numbers = zip(*(suggest(trial, X.shape[1], int(y.max()) + 1) for trial in trials), strict=True)
        population = fm.Population.of(networks)
        optimizer = fm.Adam(lr=[one["lr"] for one in numbers], l2=[one["l2"] for one in numbers])
        history = population.fit(X, y, epochs=epochs, optimizer=optimizer, progress=False)
        scores = population.score(*held)
        for i, trial in enumerate(trials):
            if history.stopped[i] == "diverged":
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                continue
            study.tell(trial, float(scores[i]))
            if study.best_trial.number == trial.number:
                best = population[i]
    assert best is not None
    return study, best


def main() -> None:
    """Search on the digits, and say what was found."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    data = fm.datasets.load("digits")
    order = np.random.default_rng(0).permutation(len(data.X))
    train, held = order[:1400], order[1400:]
    study, net = search(data.X[train], data.y[train], (data.X[held], data.y[held]))
    print(
        f"{len(study.trials)} trials; the best one has {study.best_value:.2%} of the rows held back right: {study.best_params}"
    )
    print(net)


if __name__ == "__main__":
    main()
