"""How good and how fast the tabular estimators are beside others: one table, of test errors and seconds of fit.

``python -m benchmarks.accuracy`` runs every model on every data set and writes ``docs/accuracy.md``. pytabkit, which wants a
torch of its own, may live in another Python: ``--pytabkit /path/to/python``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from . import machine
from .tabular_data import DATA
from .tabular_models import MODELS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "accuracy.md"
NAMES = {
    "fastmlp": "fastmlp",
    "pytabkit": "pytabkit RealMLP_TD_S",
    "fastmlp_td": 'fastmlp, preset="td"',
    "pytabkit_td": "pytabkit RealMLP_TD",
    "fastmlp_ensemble": "fastmlp, n_ensemble=5",
    "sklearn_mlp": "scikit-learn MLP",
    "hist_gradient_boosting": "HistGradientBoosting",
}
MARK = "<!-- results: "
# Whose time is a pytabkit's divided by.
RIVALS = {"pytabkit": "fastmlp", "pytabkit_td": "fastmlp_td"}
RECIPES = """## Recipes

fastmlp's default is RealMLP-TD-S, the paper's simplified recipe; `preset="td"` is RealMLP-TD, with PBLD embeddings of
numbers, trained vectors for categories of which there are more than eight, parametric activations, dropout and weight
decay that fall to nothing, and initial parameters from the data. It differs from pytabkit's in this: missing numbers are
allowed, rows held out are stratified by class, and waves and alphas do not decay, which pytabkit lets them do by a
3,600th of what inputs' scales do.
"""


def measure(models: Iterable[str], data: Iterable[str], splits: int, pytabkit: str) -> Iterable[dict[str, Any]]:
    """Yield each model's results on each data set, from a process of its own."""
    for name in data:
        for model in models:
            python = pytabkit if model in RIVALS else sys.executable
            command = [python, "-m", "benchmarks.tabular_models", model, name, str(splits)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{model} on {name} failed: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                continue
            yield json.loads(done.stdout.strip().splitlines()[-1])


def table(results: list[dict[str, Any]]) -> list[str]:
    """Return the lines of a Markdown table: a row for each data set, a column for each model."""
    models = [model for model in NAMES if any(result["model"] == model for result in results)]
    found = {(result["data"], result["model"]): result for result in results}
    lines = ["| data | rows × columns | " + " | ".join(NAMES[model] for model in models) + " |"]
    lines.append("|---|--:|" + "--:|" * len(models))
    for name in dict.fromkeys(result["data"] for result in results):
        any_result = next(result for result in results if result["data"] == name)
        cells = [_cell(found.get((name, model)), found.get((name, RIVALS.get(model)))) for model in models]
        lines.append(f"| {name} | {any_result['rows']:,} × {any_result['columns']} | " + " | ".join(cells) + " |")
    return lines


def _cell(result: dict[str, Any] | None, ours: dict[str, Any] | None) -> str:
    if result is None:
        return "–"
    errors, seconds = np.array(result["errors"]), float(np.mean(result["seconds"]))
    shown = (
        f"{100 * errors.mean():.1f} ± {100 * errors.std():.1f} %"
        if result["kind"] == "classes"
        else f"{errors.mean():.3f} ± {errors.std():.3f}"
    )
    times = f", {seconds / float(np.mean(ours['seconds'])):.1f}×" if ours else ""
    return f"{shown}<br>{seconds:.2g} s{times}" if seconds < 10 else f"{shown}<br>{seconds:.0f} s{times}"


def page(results: list[dict[str, Any]]) -> str:
    """Return the page with the table and, hidden in it, the results."""
    n = max(len(result["errors"]) for result in results)
    return "\n".join(
        [
            "# How good the tabular estimators are",
            "",
            f"Mean and standard deviation of the test error over {n} random splits, a fifth of the rows each, and the mean",
            "seconds of `fit`. The error is the share of wrong classes, or for numbers the root mean squared error over the",
            "targets' standard deviation; of several targets, the mean. Every model has its defaults and sees the same splits;",
            "scikit-learn's MLP gets one-hot codes and standardised numbers. pytabkit runs with as many threads as it takes",
            "by itself or with one, whichever was faster on the first split; the factor is its time over fastmlp's for the",
            "same recipe.",
            "",
            *table(results),
            "",
            "`penguins` (palmerpenguins) has categories and missing values, `diamonds` (plotnine's file, 6,000 rows, the",
            "logarithm of the price) three categories; `letters` is made, for the time alone: 26 classes.",
            "",
            f"{machine.sentence(machine.describe())} {versions(results)}",
            "Other programs may have run beside it. `python -m benchmarks.accuracy --pytabkit PYTHON` made this page, PYTHON "
            "being that of an environment with pytabkit.",
            "",
            RECIPES,
            MARK + json.dumps(results) + " -->",
            "",
        ]
    )


def versions(results: list[dict[str, Any]]) -> str:
    """Return the peers' versions as a sentence."""
    found = {name: number for result in results for name, number in result["versions"].items()}
    return ", ".join(f"{name} {number}" for name, number in sorted(found.items())) + "."


def main(argv: list[str] | None = None) -> None:
    """Measure, print the table, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=list(DATA), default=list(DATA), help="these data sets only")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS), help="these models only")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--pytabkit", default=sys.executable, metavar="PYTHON", help="a Python that has pytabkit")
    parser.add_argument("--keep", action="store_true", help="keep the page's other results")
    arguments = parser.parse_args(argv)
    machine.shed_handicaps("benchmarks.accuracy")
    results = previous() if arguments.keep else []
    for result in measure(arguments.models, arguments.data, arguments.splits, arguments.pytabkit):
        print(f"{result['data']:14} {NAMES[result['model']]:22} {_cell(result, None).replace('<br>', '  ')}", flush=True)
        same = ("data", "model")
        results = [other for other in results if any(other[key] != result[key] for key in same)] + [result]
        order = list(DATA)
        results.sort(key=lambda one: order.index(one["data"]))
        PAGE.write_text(page(results), "utf-8")
    print("\n".join(table(results)))


def previous() -> list[dict[str, Any]]:
    """Return the results in the page as it is."""
    if not PAGE.exists():
        return []
    (line,) = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith(MARK)]
    return json.loads(line.removeprefix(MARK).removesuffix(" -->"))


if __name__ == "__main__":
    main()
