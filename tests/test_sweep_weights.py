"""Weights of rows and of classes in a sweep: those of ``fit``, and no store of others is gone on with."""

from __future__ import annotations

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import datasets

MOONS = datasets.moons(60)
WEIGHT = np.random.default_rng(0).uniform(0.0, 3.0, 60)
_, HELD = datasets.split(MOONS.y, 0.2, classes=True)
TRAIN = np.setdiff1d(np.arange(60), HELD)


def run(y=MOONS.y, **changes):
    arguments = {"widths": 5, "depths": 1, "epochs": 3, "batch_size": 16, "lr": 0.01, "shuffle": "each", "progress": False}
    return fm.sweep(MOONS.X, y, **(arguments | changes))


def without_time(result):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in result]


def given_rows():
    """The rows that a sweep trains on, and what it holds back, as a user parts them."""
    return MOONS.X[TRAIN], MOONS.y[TRAIN], (MOONS.X[HELD], MOONS.y[HELD], WEIGHT[HELD])


@pytest.mark.parametrize("width", [5, 100])  # in a population, and on its own
@pytest.mark.parametrize("class_weight", [None, "balanced", {1: 4.0}])
def test_a_network_is_the_one_that_fit_makes_of_the_weights(width, class_weight, engine) -> None:
    X, y, validation = given_rows()
    weights = {"sample_weight": WEIGHT[TRAIN], "class_weight": class_weight}
    (row,) = fm.sweep(X, y, widths=width, depths=2, epochs=3, batch_size=16, lr=0.01, shuffle="each", progress=False,
                      validation=validation, **weights)  # fmt: skip
    net = fm.MLP([2, width, width, 1], output="sigmoid")
    history = net.fit(
        X, y, epochs=3, batch_size=16, optimizer=fm.Adam(0.01), validation=validation, metrics="accuracy", **weights
    )
    assert row["val_loss"] == pytest.approx(history.val_loss[-1], rel=1e-4)
    assert row["val_accuracy"] == pytest.approx(history.metrics["val_accuracy"][-1])
    assert row["train_accuracy"] == pytest.approx(history.metrics["accuracy"][-1])


def test_a_fraction_takes_the_weights_of_its_rows_along() -> None:
    X, y, validation = given_rows()
    (row,) = fm.sweep(X, y, widths=5, depths=1, epochs=3, batch_size=None, lr=0.01, progress=False,
                      sample_weight=WEIGHT[TRAIN], validation=validation)  # fmt: skip
    (same,) = run(sample_weight=WEIGHT, batch_size=None, shuffle="shared")
    assert same["val_loss"] == pytest.approx(row["val_loss"], rel=1e-4)
    assert same["val_accuracy"] == pytest.approx(row["val_accuracy"])


def test_folds_take_the_weights_of_their_rows_along() -> None:
    folds = [(TRAIN, HELD), (HELD, TRAIN)]
    (row,) = run(sample_weight=WEIGHT, cv=folds, batch_size=None)
    for number, (train, held) in enumerate(folds, 1):
        net = fm.MLP([2, 5, 1], output="sigmoid")
        net.fit(MOONS.X[train], MOONS.y[train], epochs=3, batch_size=None, optimizer=fm.Adam(0.01), sample_weight=WEIGHT[train])
        assert row[f"fold{number}"] == pytest.approx(net.score(MOONS.X[held], MOONS.y[held], sample_weight=WEIGHT[held]))


def test_class_weights_have_the_names_that_the_classes_have_in_y() -> None:
    words, numbers = np.array(["no", "yes"])[MOONS.y], MOONS.y * 3 + 2
    named = [
        without_time(run(MOONS.y, class_weight={1: 5.0}, output="softmax")),
        without_time(run(words, class_weight={"yes": 5.0}, output="softmax")),
        without_time(run(numbers, class_weight={5: 5.0})),
    ]
    assert named[0] == named[1] == named[2]
    assert named[0] != without_time(run(MOONS.y, output="softmax"))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sample_weight": WEIGHT * 2}, r"differ in sample_weight \(there 'sha256 .*', here 'sha256"),
        ({"sample_weight": None}, r"differ in sample_weight \(there 'sha256 .*', here None\)"),
        ({"class_weight": None}, r"differ in class_weight \(there \"'balanced'\", here None\)"),
        ({"class_weight": {0: 2}}, r"differ in class_weight \(there .*, here '\{0: 2.0\}'\)"),
    ],
)
def test_a_store_of_other_weights_is_not_gone_on_with(tmp_path, changes, why) -> None:
    weights = {"sample_weight": WEIGHT, "class_weight": "balanced", "store": tmp_path}
    first = run(**weights)
    assert run(**weights).rows == first.rows
    with pytest.raises(ValueError, match=why):
        run(**(weights | changes))


def test_a_store_of_equal_class_weights_is_gone_on_with(tmp_path) -> None:
    """However they are written, and as versions before have written them down."""
    weights = [{0: 1.0, 1: 2.0}, {1: 2, 0: 1}, {np.int64(1): np.float32(2.0), np.int64(0): 1}]
    rows = run(class_weight=weights[0], store=tmp_path).rows
    journal = tmp_path / "journal.jsonl"
    whole = journal.read_text()
    for content in (whole, whole.replace("{0: 1.0, 1: 2.0}", "{1: 2, 0: 1}")):
        journal.write_text(content)
        for given in weights:
            assert run(class_weight=given, store=tmp_path).rows == rows
        assert journal.read_text() == content
    with pytest.raises(ValueError, match=r"class_weight \(there '\{0: 1.0, 1: 2.0\}', here '\{0: 1.0, 1: 3.0\}'\)"):
        run(class_weight={0: 1, 1: 3}, store=tmp_path)


@pytest.mark.parametrize(
    ("changes", "error", "why"),
    [
        ({"sample_weight": WEIGHT[:9]}, ValueError, r"sample_weight has shape \(9,\), but X has 60 rows"),
        ({"sample_weight": -WEIGHT}, ValueError, "weights must be >= 0"),
        ({"sample_weight": np.isin(np.arange(60), HELD)}, ValueError, "all training rows have sample_weight 0"),
        ({"sample_weight": np.isin(np.arange(60), TRAIN)}, ValueError, "all validation rows have sample_weight 0"),
        ({"sample_weight": np.isin(np.arange(60), TRAIN), "cv": [(TRAIN, HELD), (HELD, TRAIN)]}, ValueError,
         "all validation rows of fold 1 have sample_weight 0"),
        ({"class_weight": "balance"}, ValueError, "class_weight must be one of 'balanced'"),
        ({"class_weight": 3}, TypeError, "class_weight must be 'balanced', a dict"),
        ({"class_weight": {2: 1.0}}, ValueError, "a key of class_weight must be an integer >= 0 and <= 1; got 2"),
        ({"class_weight": {2: 1.0}, "output": "softmax"}, ValueError, r"a weight for 2, but the classes of y are \[0, 1\]"),
        ({"y": MOONS.X[:, 0], "class_weight": "balanced"}, ValueError, "class_weight='balanced' needs one class for each row"),
        ({"validation": (MOONS.X, MOONS.y, WEIGHT[:9])}, ValueError, r"validation's sample_weight has shape \(9,\)"),
    ],
)  # fmt: skip
def test_weights_that_are_none_are_refused(changes, error, why, tmp_path) -> None:
    with pytest.raises(error, match=why):
        run(**changes, store=tmp_path / "store")
    assert not (tmp_path / "store").exists()
