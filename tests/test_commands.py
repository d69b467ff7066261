"""What the commands train, print and write."""

from __future__ import annotations

import csv
import gzip
import re
import sys

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import datasets, engine
from fastmlp.cli import main
from fastmlp.datasets import split
from tests.compiler import needs_compiler


@pytest.fixture(autouse=True)
def _engine_as_before():
    """Put back what --engine and --threads change."""
    yield
    engine.use_engine()
    engine.set_threads(None)


def run(capsys, *argv):
    """Run a command that succeeds; return what it printed."""
    status = main([str(arg) for arg in argv])
    shown = capsys.readouterr()
    assert (status, shown.err) == (0, "")
    assert max(map(len, shown.out.splitlines())) <= 80 or "wrote" in shown.out or argv[0] in ("info", "warmup")
    return shown.out


def numbers(out, name):
    """The row of the result's table that begins with a name."""
    (line,) = re.findall(rf"^{re.escape(name)}\s.*$", out, re.MULTILINE)
    return [float(cell) for cell in re.findall(r"\s(-?[\d.]+(?:e-?\d+)?)(?=\s|$)", line)]


@pytest.fixture
def houses(tmp_path):
    """A table with a price."""
    rng = np.random.default_rng(0)
    size, age = rng.uniform(40, 200, 60), rng.integers(1900, 2020, 60)
    price = 3000 * size + 500 * (age - 1900) + rng.normal(0, 5000, 60)
    path = tmp_path / "houses.csv"
    lines = [f"{s:.1f},{a},{p:.2f}" for s, a, p in zip(size, age, price, strict=True)]
    path.write_text("\n".join(["size,built,price", *lines]) + "\n")
    return path


# ---- train


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_columns_of_a_file_may_be_dropped(capsys, tmp_path, houses, command):
    header, *lines = houses.read_text().splitlines()
    path = tmp_path / "numbered.csv"
    path.write_text("\n".join([f"id,{header},city", *(f"h{i},{line},Rome" for i, line in enumerate(lines))]))
    options = ["--target", "price", "--epochs", "2", *(["--width", "4", "--depth", "1"] if command == "sweep" else [])]
    assert main([command, str(path), *options]) == 2
    assert (
        "feature columns hold words, not numbers: 'id' ('h0'), 'city' ('Rome'). Encode them as numbers, or leave them out, "
        "by drop= or in a shell by --drop." in capsys.readouterr().err
    )
    assert "numbered.csv: 60 rows, 2 columns" in run(capsys, command, path, *options, "--drop", "id, city")
    assert main([command, str(path), *options, "--drop", "cty"]) == 2
    assert "has no column 'cty' to drop (did you mean 'city'?)" in capsys.readouterr().err


def test_decimal_commas_of_a_packed_file(capsys, tmp_path, houses):
    path = tmp_path / "houses.csv.gz"
    path.write_bytes(gzip.compress(houses.read_text().replace(",", ";").replace(".", ",").encode()))
    options = ["--target", "price", "--epochs", "2"]
    plain = run(capsys, "train", houses, *options).replace("houses.csv", "houses.csv.gz")
    found = run(capsys, "train", path, *options, "--decimal", ",")
    assert "columns and target standardized by" in found
    assert plain.splitlines()[:12] == found.splitlines()[:12]
    assert main(["train", "digits", "--decimal", ","]) == 2
    assert "--decimal is for files of text; the data set 'digits'" in capsys.readouterr().err


def test_train_prints_data_network_and_results(capsys):
    out = run(capsys, "train", "digits", "--epochs", "1", "--hidden", "8,6")
    assert out.startswith("digits: 1797 rows, 64 columns, 10 classes; 359 rows held back\n")
    assert "64 → 8" in out
    assert "standardized" not in out
    assert len(numbers(out, "loss (cross_entropy)")) == 2
    assert all(0.0 <= value <= 1.0 for value in numbers(out, "accuracy"))
    assert re.search(r"1 epoch in [\d.e-]+ s", out)


def test_train_does_what_the_same_lines_of_python_do(capsys, tmp_path):
    run(capsys, "train", "moons", "--hidden", "5", "--activation", "tanh", "--epochs", "3", "--batch-size", "32",
        "--lr", "0.01", "--optimizer", "rmsprop", "--dropout", "0.2", "--weight-decay", "2", "--l2", "0.01", "--seed", "4",
        "--save", tmp_path / "net")  # fmt: skip
    data = datasets.load("moons")
    train, _ = split(data.y, 0.2, classes=True)
    net = fm.MLP([2, 5, 1], activation="tanh", output="sigmoid", dropout=0.2, seed=4)
    optimizer = fm.RMSprop(0.01, weight_decay=2.0, l2=0.01)
    net.fit(data.X[train], data.y[train], epochs=3, batch_size=32, optimizer=optimizer, progress=False)
    assert fm.load(tmp_path / "net").params.tobytes() == net.params.tobytes()


def test_train_writes_a_network_and_a_picture_and_says_where(capsys, tmp_path):
    net, picture = tmp_path / "net.safetensors", tmp_path / "curves.png"
    out = run(capsys, "train", "circles", "--epochs", "2", "--hidden", "4", "--save", net, "--plot", picture)
    assert f"wrote {net}\n" in out
    assert f"wrote {picture}\n" in out
    assert fm.load(net).plan.widths == (2, 4, 1)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_saved_network_takes_columns_as_they_are_and_answers_in_the_targets_unit(capsys, tmp_path, houses):
    path = tmp_path / "net"
    out = run(capsys, "train", houses, "--target", "price", "--epochs", "60", "--lr", "0.02", "--hidden", "8", "--save", path)
    assert "columns and target standardized by the 48 training rows" in out
    assert "the scale is in its weights" in out
    data = datasets.read_table(houses, "price")
    train, held = split(data.y, 0.2, classes=False)
    net = fm.load(path)
    for rows, column in ((train, 0), (held, 1)):
        assert net.score(data.X[rows], data.y[rows], "r2") == pytest.approx(numbers(out, "r2")[column], abs=2e-3)
        for name in ("rmse", "mae"):
            value = numbers(out, f"{name} (in the target's unit)")[column]
            assert net.score(data.X[rows], data.y[rows], name) == pytest.approx(value, rel=2e-3)
    assert numbers(out, "r2")[1] > 0.8


def test_train_standardizes_the_columns_of_classes_too(capsys, tmp_path):
    out = run(capsys, "train", "wine", "--epochs", "15", "--lr", "0.01", "--save", tmp_path / "net")
    assert "columns standardized by the 142 training rows" in out
    data = datasets.load("wine")
    _, held = split(data.y, 0.2, classes=True)
    accuracy = fm.load(tmp_path / "net").score(data.X[held], data.y[held])
    assert accuracy == pytest.approx(numbers(out, "accuracy")[1], abs=1e-3)
    assert accuracy > 0.9


def test_names_of_classes_are_shown_with_the_numbers_that_a_network_answers_by(capsys, tmp_path):
    path = tmp_path / "table.csv"
    options = "--epochs", "1", "--hidden", "2", "--target", "kind"
    path.write_text("a,kind\n" + "1,small\n2,large\n3,medium\n" * 9)
    assert "\nclasses: 0 large, 1 medium, 2 small\n" in run(capsys, "train", path, *options)
    path.write_text("a,kind\n" + "1,0\n2,1\n3,2\n" * 9)
    assert "classes:" not in run(capsys, "train", path, *options)
    path.write_text("a,kind\n" + "".join(f"{i},w{i % 30:02}\n" for i in range(90)))
    assert re.search(r"\nclasses: 0 w00, 1 w01, .* \.\.\.\n", run(capsys, "train", path, *options))


def test_train_on_few_rows_holds_none_back_and_says_so(capsys, tmp_path):
    out = run(capsys, "train", "xor", "--epochs", "300", "--hidden", "8", "--activation", "tanh", "--lr", "0.1",
              "--batch-size", "all", "--plot", tmp_path / "c.png")  # fmt: skip
    assert "too few to hold any back" in out
    assert "validation" not in out
    assert numbers(out, "accuracy") == [1.0]


def test_train_without_hidden_layers_is_a_linear_model(capsys, tmp_path):
    run(capsys, "train", "moons", "--hidden", "none", "--epochs", "1", "--save", tmp_path / "net")
    assert fm.load(tmp_path / "net").plan.widths == (2, 1)


def test_train_on_several_quantities(capsys, tmp_path):
    X = np.random.default_rng(0).normal(5.0, 2.0, (40, 3))
    np.savez(tmp_path / "data.npz", X=X, y=X @ [[1.0, 100.0], [2.0, 0.0], [0.0, -100.0]])
    out = run(capsys, "train", tmp_path / "data.npz", "--epochs", "2", "--optimizer", "lbfgs", "--save", tmp_path / "net")
    assert "2 quantities to predict" in out
    assert fm.load(tmp_path / "net").plan.n_outputs == 2


def test_the_task_can_be_given(capsys, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,y\n" + "".join(f"{i},{i % 3}\n" for i in range(30)))
    assert "3 classes" in run(capsys, "train", path, "--target", "y", "--epochs", "1")
    assert "a quantity" in run(capsys, "train", path, "--target", "y", "--epochs", "1", "--task", "regression")


def test_classes_of_one_row_each_are_told_from_a_share_that_is_too_small(capsys, houses):
    for line in ("--task classes", "--task classes --validation 0.3"):
        assert main(["train", str(houses), "--target", "price", *line.split()]) == 2
        err = capsys.readouterr().err
        assert "each of the 60 rows is a class of its own" in err
        assert "pass --task regression if price is a quantity" in err


def test_engine_and_threads_are_taken(capsys):
    out = run(capsys, "info", "--engine", "numpy")
    assert re.search(r"^engine +numpy$", out, re.MULTILINE)


def test_divergence_is_one_line(capsys):
    assert main(["train", "moons", "--optimizer", "sgd", "--lr", "1e30", "--hidden", "8,8"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("fastmlp train: Training diverged in epoch 0")
    assert "try 1e+29, or inputs scaled" in err
    assert err.count("\n") == 1


# ---- sweep


def test_sweep_prints_a_table_and_writes_rows_and_a_picture(capsys, tmp_path):
    rows, picture = tmp_path / "rows.csv", tmp_path / "sweep.png"
    out = run(capsys, "sweep", "moons", "--width", "3,5", "--depth", "0,1", "--seeds", "2", "--lr", "1e-3,1e-2",
              "--epochs", "1", "--csv", rows, "--plot", picture, "--jobs", "2")  # fmt: skip
    assert "16 networks" in out
    assert f"wrote {rows}\n" in out
    assert f"wrote {picture}\n" in out
    with rows.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 16
    assert {line["error"] for line in lines} == {""}
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_sweep_holds_the_same_rows_back_as_train(capsys, tmp_path):
    rows = tmp_path / "rows.csv"
    run(capsys, "sweep", "diabetes", "--width", "4", "--depth", "1", "--epochs", "2", "--csv", rows)
    out = run(capsys, "train", "diabetes", "--hidden", "4", "--epochs", "2")
    with rows.open(newline="") as file:
        (line,) = csv.DictReader(file)
    assert float(line["val_loss"]) == pytest.approx(numbers(out, "loss (mse)")[1], rel=1e-3)
    assert float(line["val_r2"]) == pytest.approx(numbers(out, "r2")[1], rel=1e-3)


def test_a_sweep_for_parquet_without_pyarrow_is_refused_before_the_work(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["sweep", "moons", "--parquet", str(tmp_path / "rows.parquet")]) == 1
    shown = capsys.readouterr()
    assert shown.err == "fastmlp sweep: --parquet needs pyarrow: pip install pyarrow. --csv does without.\n"
    assert shown.out == ""


def test_sweep_shows_only_the_best_if_asked(capsys):
    out = run(capsys, "sweep", "moons", "--width", "2,3", "--depth", "1,2", "--epochs", "1", "--top", "1", "--metric", "mae")
    assert "3 more settings not shown" in out
    assert "val mae" in out


def test_a_sweep_without_any_result_fails_in_one_line(capsys):
    argv = ["sweep", "moons", "--width", "4", "--depth", "2", "--optimizer", "sgd", "--lr", "1e30"]
    assert main(argv) == 1
    err = capsys.readouterr().err
    assert err.startswith("fastmlp sweep: of 1 network none has a result; the first one says: DivergenceError")
    assert err.count("\n") == 1


def test_an_interrupted_sweep_keeps_its_rows_and_says_so(capsys, tmp_path, monkeypatch):
    from fastmlp.sweeps import train as module

    train = module._train

    def interrupted(work, group, *rest):
        if group.networks[0].setting.width == 2:  # the smaller one comes last
            raise KeyboardInterrupt
        return train(work, group, *rest)

    monkeypatch.setattr(module, "_train", interrupted)
    monkeypatch.setattr("fastmlp.sweeps.jobs.PACK", 1)
    path = tmp_path / "rows.csv"
    assert main(["sweep", "moons", "--width", "2,9", "--depth", "1", "--epochs", "1", "--jobs", "1", "--csv", str(path)]) == 130
    shown = capsys.readouterr()
    assert (
        shown.err == f"fastmlp sweep: interrupted after 1 of 2 networks; their rows are in {path}; "
        "with --store DIR the same command could go on from there\n"
    )
    with path.open(newline="") as file:
        assert [line["error"] for line in csv.DictReader(file)] == ["interrupted", ""]
    lines = [line.split() for line in shown.out.splitlines()]
    assert ["1", "network", "in"] in [line[:3] for line in lines]
    assert [line[:2] for line in lines].count(["9", "1"]) == 1
    assert "2 1" not in [" ".join(line[:2]) for line in lines]


def test_a_sweep_interrupted_before_a_network_is_finished_shows_no_table(capsys, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("fastmlp.sweeps.train._train", interrupted)
    assert main(["sweep", "moons", "--width", "2", "--depth", "1", "--epochs", "1", "--jobs", "1"]) == 130
    shown = capsys.readouterr()
    assert "width" not in shown.out
    assert "interrupted after 0 of 1 network;" in shown.err


SIX = "--lr 1e-3,1e-2 --activation relu,tanh --batch-size 16,32 --dropout 0,.1".split()
RESULTS = "width depth activation lr batch size dropout params seconds val loss val accuracy".split()


@pytest.mark.parametrize("columns", [None, "40", "80"])
def test_a_table_in_a_pipe_is_as_wide_as_it_is(columns, capsys, monkeypatch):
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    assert main(["sweep", "moons", "--width", "4,8", "--depth", "1", "--epochs", "1", "--top", "2", *SIX]) == 0
    assert RESULTS in [line.split() for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("columns", [40, 70])
def test_a_table_on_a_terminal_is_as_wide_as_that(columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["sweep", "moons", "--width", "4,8", "--depth", "1", "--epochs", "1", "--top", "2", *SIX]) == 0
    lines = [line.split() for line in re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()]
    assert [line[:2] for line in lines if "accuracy" in line] == [["width", "depth"]]
    assert ["No", "room", "for"] in [line[:3] for line in lines]


# ---- info and warmup


def test_info_names_engine_versions_and_threads(capsys):
    out = run(capsys, "info")
    for name in ("fastmlp", "python", "numpy", "engine", "threads"):
        assert re.search(rf"^{name} +\S", out, re.MULTILINE)


@needs_compiler
def test_info_tells_of_this_cpu_and_the_cache_with_the_compiled_engine(capsys):
    pytest.importorskip("numba")
    out = run(capsys, "info", "--engine", "numba")
    for name in ("cpu", "vector", "cache"):
        assert re.search(rf"^{name} +\S", out, re.MULTILINE)


@pytest.mark.parametrize("more", [[], ["--special"]])
def test_warmup_says_when_it_is_ready(more, capsys):
    out = run(capsys, "warmup", "--engine", "numpy", *more)
    assert re.fullmatch(r"The numpy engine is ready after [\d.]+ s\n", out)


def table(tmp_path, a="1", price="1"):
    """A file whose first rows have these cells."""
    path = tmp_path / "t.csv"
    path.write_text("a,price\n" + f"{a},{price}\n-{a},-{price}\n" * 4 + "".join(f"{i},{i}.5\n" for i in range(20)))
    return path


@pytest.mark.parametrize(("cells", "column"), [({"a": "1e300"}, "'a'"), ({"price": "1e300"}, "'price'")])
def test_a_column_beyond_all_sums_is_named(capsys, tmp_path, cells, column):
    assert main(["train", str(table(tmp_path, **cells)), "--target", "price"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"fastmlp train: column {column} has numbers up to 1e+300, whose standard deviation is beyond")


def test_kernels_are_ready_before_the_time_of_a_training_is_taken(capsys, monkeypatch):
    events = []
    warmup, fit = engine.warmup, fm.MLP.fit
    monkeypatch.setattr(engine, "warmup", lambda dtypes: (events.append(dtypes), warmup(dtypes)))
    monkeypatch.setattr(
        fm.MLP, "fit", lambda net, *args, **options: (events.append(net.plan.widths), fit(net, *args, **options))[1]
    )
    run(capsys, "train", "moons", "--hidden", "3", "--epochs", "1")
    assert (events[0], events[-1]) == (("float32",), (2, 3, 1))


def test_ctrl_c_shows_and_saves_the_last_whole_epoch(capsys, tmp_path, monkeypatch):
    from fastmlp.training import Run

    accept = Run._accept

    def interrupted(self, *arguments):
        ended = accept(self, *arguments)
        if len(self.data.train) > 100:  # and not the warming up
            raise KeyboardInterrupt
        return ended

    monkeypatch.setattr(Run, "_accept", interrupted)
    path = tmp_path / "net"
    assert main(["train", "moons", "--hidden", "3", "--epochs", "1000", "--save", str(path)]) == 130
    shown = capsys.readouterr()
    told = re.fullmatch(r"fastmlp train: .* what is shown and saved is the network after ((\d+) epochs?)\n", shown.err)
    assert told
    assert re.search(rf"^{told[1]} in ", shown.out, re.MULTILINE)
    data = datasets.load("moons", seed=0)
    train, held = split(data.y, 0.2, classes=True)
    net = fm.load(path)
    assert net.score(data.X[held], data.y[held]) == pytest.approx(numbers(shown.out, "accuracy")[1], abs=1e-3)
    monkeypatch.undo()
    again = fm.MLP([2, 3, 1], output="sigmoid", seed=0)
    epochs = int(told[2])  # as many as the first call of the engine does
    assert 1 <= epochs < 1000
    again.fit(data.X[train], data.y[train], epochs=epochs)
    assert net.params.tobytes() == again.params.tobytes()
    assert main(["train", "moons", "--hidden", "3", "--epochs", "1"]) == 0


def test_ctrl_c_before_the_first_epoch_has_nothing_to_show(capsys, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "warmup", interrupted)
    assert main(["train", "moons"]) == 130
    assert capsys.readouterr().err == "fastmlp train: interrupted\n"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("sweep iris --cv 3 --validation 0.3", "--cv holds back each row once, so --validation has no use"),
        ("train iris --task regression", "--task is for files; what the data set 'iris' is for is known"),
        ("train iris --target y", "--target is for files"),
        ("sweep iris --drop id", "--drop is for files; the data set 'iris' has no columns that are better left out"),
    ],
)
def test_options_that_would_be_without_effect_are_refused(capsys, line, why):
    assert main(line.split()) == 2
    assert why in capsys.readouterr().err


def test_no_penalty_may_be_among_the_penalties(capsys):
    assert main("sweep iris --width 4 --depth 1 --epochs 1 --l2 0,0.1 --weight-decay 0".split()) == 0
    assert "0.1" in capsys.readouterr().out
