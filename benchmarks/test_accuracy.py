"""The accuracy report's own tests: its data, its splits, its figures. No peer is needed but scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from . import accuracy
from .tabular_data import DATA, splits
from .tabular_models import error, run


@pytest.mark.parametrize("name", DATA)
def test_data_are_the_same_at_each_call_and_splits_are_disjoint(name):
    try:
        X, y, kind = DATA[name]()
    except ModuleNotFoundError as missing:
        pytest.skip(str(missing))
    again, targets, _ = DATA[name]()
    assert X.equals(again)
    assert (y == targets).all()
    assert len(X) == len(y)
    parts = splits(y, kind, 3)
    for train, test in parts:
        assert sorted([*train, *test]) == list(range(len(y)))
        assert len(test) == pytest.approx(len(y) / 5, abs=1)
    assert len({tuple(test) for _, test in parts}) == 3


def test_errors_by_hand():
    assert error("classes", np.array(["a", "b", "b", "a"]), np.array(["a", "a", "b", "b"])) == 0.5
    assert error("numbers", np.array([1.0, 3.0]), np.array([2.0, 2.0])) == 1.0
    assert error("numbers", np.array([[1.0, 1.0], [3.0, 5.0]]), np.array([[1.0, 3.0], [3.0, 3.0]])) == 0.5


@pytest.mark.parametrize(
    ("model", "data"), [("sklearn_mlp", "iris"), ("hist_gradient_boosting", "linnerud"), ("fastmlp", "iris")]
)
@pytest.mark.filterwarnings("ignore")
def test_a_model_s_results_on_a_data_set(model, data):
    result = run(model, data, 2)
    assert (result["model"], result["data"], result["rows"]) == (model, data, 150 if data == "iris" else 20)
    assert len(result["errors"]) == len(result["seconds"]) == 2
    assert min(result["seconds"]) > 0
    if data == "iris":
        assert max(result["errors"]) < 0.2


def result(model, errors, seconds, kind="classes"):
    return {"model": model, "data": "iris", "rows": 150, "columns": 4, "kind": kind, "errors": errors, "seconds": seconds,
            "options": {}, "versions": {"torch": "2"} if model == "pytabkit" else {}}  # fmt: skip


def test_the_table_has_means_deviations_and_the_factor():
    results = [result("pytabkit", [0.0, 0.1], [60.0, 40.0]), result("fastmlp", [0.02, 0.04], [2.0, 3.0])]
    header, _, row = accuracy.table(results)
    assert header == "| data | rows × columns | fastmlp | pytabkit RealMLP_TD_S |"
    assert row == "| iris | 150 × 4 | 3.0 ± 1.0 %<br>2.5 s | 5.0 ± 5.0 %<br>50 s, 20.0× |"
    (cell,) = accuracy.table([result("fastmlp", [0.5, 0.7], [1.0, 1.0], "numbers")])[2:]
    assert "0.600 ± 0.100<br>1 s" in cell


def test_the_page_keeps_its_results(tmp_path, monkeypatch):
    monkeypatch.setattr(accuracy, "PAGE", tmp_path / "accuracy.md")
    assert accuracy.previous() == []
    results = [result("fastmlp", [0.02, 0.04], [2.0, 3.0]), result("pytabkit", [0.0, 0.1], [60.0, 40.0])]
    accuracy.PAGE.write_text(accuracy.page(results), "utf-8")
    assert accuracy.previous() == results
    assert "torch 2" in accuracy.PAGE.read_text("utf-8")
