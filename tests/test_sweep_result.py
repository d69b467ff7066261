"""The views of a sweep's rows."""

from __future__ import annotations

import csv
import errno
import itertools
import math
import os
import sys
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from fastmlp import plots
from fastmlp.sweeps.result import SweepResult, digits
from fastmlp.sweeps.terminal import FittingTable


def row(width, depth, seed=0, value=0.5, *, metric="val_accuracy", error=None, **changes):
    """One network's row."""
    numbers = {"seconds": 0.25, "train_loss": 0.1, "val_loss": 1.0 - value, metric: value}
    if error is not None:
        numbers = dict.fromkeys(numbers, math.nan)
    settings = {"width": width, "depth": depth, "seed": seed, "lr": 0.001, "activation": "relu"}
    sizes = {"n_params": 10 * width * depth, "flops": 20 * width * depth, "epochs": 3}
    return settings | sizes | numbers | {"error": error} | changes


@pytest.fixture
def result():
    values = {(8, 1): (0.7, 0.9), (8, 2): (0.6, 0.62), (16, 1): (0.84, 0.86), (16, 2): (0.5, 0.5)}
    return SweepResult([row(w, d, s, v) for (w, d), vs in values.items() for s, v in enumerate(vs)], "val_accuracy")


def text(table, width=80):
    console = Console(file=StringIO(), width=width)
    console.print(table)
    return console.file.getvalue()


def test_it_is_a_sequence_of_rows(result):
    assert len(result) == 8
    assert result[0]["width"] == 8
    assert result[-1] is result.rows[7]
    assert len(result[2:4]) == 2
    assert list(result) == list(result.rows)


def test_best_is_the_row_with_the_best_metric(result):
    assert (result.best["width"], result.best["seed"]) == (8, 1)
    lower = SweepResult(result.rows, "val_loss", higher_is_better=False)
    assert lower.best is result.best


def test_among_equals_the_loss_and_then_the_size_decide():
    rows = [row(8, 1, val_loss=0.2), row(8, 2, val_loss=0.1), row(4, 2, val_loss=0.1)]
    assert SweepResult(rows, "val_accuracy").best is rows[2]
    assert SweepResult(rows[:2], "val_accuracy").best is rows[1]  # though it has more parameters


def test_nan_is_never_best():
    rows = [row(8, 1, value=math.nan), row(8, 2, value=0.1)]
    assert SweepResult(rows, "val_accuracy").best is rows[1]
    assert SweepResult(rows, "val_accuracy", higher_is_better=False).best is rows[1]
    equal = [row(8, 1, val_loss=math.nan), row(8, 2, val_loss=0.1)]
    assert SweepResult(equal, "val_accuracy").best is equal[1]


def test_best_of_failures_says_why():
    result = SweepResult([row(8, 1, error="MemoryError: no")], "val_accuracy")
    with pytest.raises(ValueError, match="of 1 network none has a result; the first one says: MemoryError: no"):
        result.best  # noqa: B018
    assert repr(result) == "<SweepResult: 1 network, 1 without a result>"


def test_summary_compares_means_over_seeds(result):
    lines = result.summary()
    assert [(line["width"], line["depth"]) for line in lines] == [(16, 1), (8, 1), (8, 2), (16, 2)]
    assert lines[0]["val_accuracy"] == pytest.approx(0.85)
    assert lines[0]["val_accuracy_std"] == pytest.approx(0.01)
    assert lines[1]["val_loss_std"] == pytest.approx(np.std([0.3, 0.1]))
    assert lines[0]["seeds"] == 2
    rows = [row(8, 1, seed, epochs=epochs, train_loss=0.1 * epochs) for seed, epochs in enumerate((3, 7, 5))]
    (line,) = SweepResult(rows, "val_accuracy").summary()
    assert (line["seeds"], line["epochs"]) == (3, 7)
    assert (line["train_loss"], line["train_loss_std"]) == pytest.approx((0.5, np.std([0.3, 0.7, 0.5])))
    assert line["val_accuracy_std"] == 0.0


def test_summary_leaves_failed_seeds_out_and_failed_settings_for_the_end():
    rows = [row(8, 1, 0, error="x"), row(8, 1, 1, error="x"), row(16, 1, 0, 0.5), row(16, 1, 1, error="x")]
    lines = SweepResult(rows, "val_accuracy").summary()
    assert [(line["width"], line["seeds"], line["failed"]) for line in lines] == [(16, 1, 1), (8, 0, 2)]
    assert math.isnan(lines[1]["val_accuracy"])


def test_repr_names_the_best(result):
    assert "8 networks; best val_accuracy 0.9 with width=8, depth=1" in repr(result)
    drawn = SweepResult([row(8, 1) | {"lr": 0.02102330874348013}, row(8, 2)], "val_accuracy")
    assert "lr=0.021, " in repr(drawn)


def test_table_fits_in_80_columns_and_puts_the_best_first(result):
    lines = text(result).splitlines()
    assert max(map(len, lines)) <= 80
    assert "8 networks; mean ± standard deviation over 2 seeds" in lines[0]
    assert lines[3].split() == ["16", "1", "160", "0.25", "0.15", "±", "0.01", "0.85", "±", "0.01"]


def test_table_shows_what_varies_and_no_more():
    rows = [row(8, 1, lr=lr, activation=name) for lr in (0.1, 0.2) for name in ("relu", "tanh")]
    shown = text(SweepResult(rows, "val_accuracy").table())
    assert "activation" in shown
    assert "lr" in shown
    assert "±" not in shown
    assert "failed" not in shown
    assert "lr" not in text(SweepResult(rows[:1], "val_accuracy").table())


VARIED = {
    "lr": (0.001, 0.01), "activation": ("relu", "tanh"), "batch_size": (16, 32), "dropout": (0.0, 0.1),
}  # fmt: skip


@pytest.fixture
def many_settings():
    """Two widths and depths, and four more settings of two values each, for two seeds."""
    settings = itertools.product((4, 8), (1, 2), (0, 1), *VARIED.values())
    return SweepResult(
        [row(w, d, s, 0.75 + 0.1 * s, **dict(zip(VARIED, rest, strict=True))) for w, d, s, *rest in settings], "val_accuracy"
    )


@pytest.mark.parametrize(
    ("width", "names", "left_out"),
    [
        (80, "width depth activation lr size dropout loss accuracy", "seconds, params"),
        (100, "width depth activation lr batch size dropout params seconds val loss val accuracy", None),
        (82, "width depth activation lr size dropout params loss accuracy", "seconds"),
        (60, "width depth activation lr loss accuracy", "seconds, params, dropout, batch size"),
        (40, "width depth loss accuracy", "seconds, params, dropout, batch size, lr, activation"),
        (25, "width depth accuracy", "seconds, params, dropout, batch size, lr, activation, val loss"),
    ],
)
def test_a_narrow_console_shows_whole_columns_the_metric_among_them_and_says_which_it_has_no_room_for(
    width, names, left_out, many_settings
):
    table = many_settings.table(3)
    lines = text(table, width).splitlines()
    assert max(map(len, lines)) <= width
    assert names.split() in [line.split() for line in lines]
    assert len([line for line in lines if line.endswith("0.80 ± 0.05")]) == 3
    said = " ".join(" ".join(lines).split())
    assert "…" not in said
    assert (f"No room for {left_out}. 61 more" in said) if left_out else ("No room" not in said)
    assert text(table, 120) == text(many_settings.table(3), 120)  # it is as it was


def test_a_notebook_shows_a_table(many_settings) -> None:
    shown = many_settings.table(3)._repr_mimebundle_((), ())
    assert shown["text/html"].count("0.80 ± 0.05") == shown["text/plain"].count("0.80 ± 0.05") == 3


def test_a_schedule_is_wrapped_between_its_arguments():
    rows = [row(8, 1, lr=f"Cosine(lr={lr}, warmup=0.0, restarts=0, floor=0.0)") for lr in (0.1, 0.2)]
    shown = text(SweepResult(rows, "val_accuracy").table(), 70)
    assert "Cosine(lr=0.1,\n" in "\n".join(line.rstrip() for line in shown.splitlines())
    assert "No room" not in shown


def test_all_rows_as_a_batch_are_called_all():
    rows = [row(8, 1, batch_size=size) for size in (8, None)]
    result = SweepResult(rows, "val_accuracy", curves=[{"loss": [1.0, 0.5]}] * 2)
    for shown in (text(result.table()), " ".join(line.get_label() for line in result.plot(kind="curves").axes[0].lines)):
        assert "all" in shown
        assert "None" not in shown


def test_table_can_be_cut_and_says_so(result):
    shown = text(result.table(1))
    assert "3 more settings not shown" in shown
    assert len(shown.splitlines()) < 9


def test_table_tells_of_failures_and_interruption():
    rows = [row(8, 1), row(8, 2, error="DivergenceError: inf"), row(8, 3, error="interrupted")]
    shown = " ".join(text(SweepResult(rows, "val_accuracy", stopped="interrupted").table()).split())
    assert "Interrupted before the end. With store='a folder' the same call could go on from here. 1 failed" in shown
    assert "failed, the first with: DivergenceError: inf" in shown
    assert "nan" not in shown
    kept = SweepResult(rows, "val_accuracy", stopped="interrupted", store="MyStore/RUN[old]")
    assert "The same call with store='MyStore/RUN[old]' goes on" in " ".join(text(kept.table()).split())


def test_networks_that_are_not_finished_have_not_failed():
    rows = [row(8, 1), row(8, 2, error="interrupted"), row(16, 1, 0), row(16, 1, 1, error="interrupted")]
    result = SweepResult(rows, "val_accuracy", stopped="interrupted")
    assert [line["failed"] for line in result.summary()] == [0, 0, 0]
    assert "failed" not in text(result.table())
    rows.append(row(16, 2, error="DivergenceError: inf"))
    result = SweepResult(rows, "val_accuracy", stopped="interrupted")
    assert sorted(line["failed"] for line in result.summary()) == [0, 0, 0, 1]
    assert len(result.failed) == 3
    assert [shown.get_text() for shown in result.plot(kind="heatmap").axes[0].texts] == ["0.500", "0.500", "-", "failed"]


def halved(width, value, epochs, stopped, **changes):
    return row(width, 1, value=value, epochs=epochs, stopped=stopped, **changes)


def test_with_halving_what_was_to_go_on_comes_before_what_was_thrown_out():
    rows = [halved(4, 0.9, 2, "halving"), halved(8, 0.95, 4, "halving"), halved(16, 0.7, 4, "interrupted")]
    rows += [halved(32, 0.8, 8, "diverged", error="DivergenceError: nan"), halved(64, 0.8, 4, "interrupted")]
    result = SweepResult(rows, "val_accuracy", stopped="interrupted")
    assert result.best["width"] == 64
    assert [line["width"] for line in result.summary()] == [64, 16, 8, 4, 32]
    (frame,) = result.plot(kind="heatmap").axes[0].patches
    assert round(frame.get_center()[0]) == 4
    ended = SweepResult([*rows, halved(128, 0.5, 8, "epochs")], "val_accuracy", stopped="interrupted")
    assert ended.best["width"] == ended.summary()[0]["width"] == 128


def test_a_seed_that_diverged_does_not_bring_its_setting_before_those_that_went_on():
    rows = [halved(4, 0.9, 2, "halving"), halved(4, 0.9, 1, "diverged", seed=1, error="DivergenceError: nan")]
    rows += [halved(8, 0.8, 4, "epochs", seed=seed) for seed in range(2)]
    assert [line["width"] for line in SweepResult(rows, "val_accuracy").summary()] == [8, 4]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.12345, "0.1235"), (12345.6, "12346"), (0.5, "0.5"), (100.0, "100"), (-2.0, "-2"), (0.0, "0"), (1e-7, "1e-07"),
     (3e12, "3e+12"), (math.nan, "-"), (math.inf, "inf"), (0.00099999, "0.001")],
)  # fmt: skip
def test_digits(value, shown):
    assert digits(value) == shown


def test_csv_has_a_line_for_each_network(result, tmp_path):
    rows = [*result.rows, row(9, 9, error="ValueError: a, b\nc")]
    SweepResult(rows, "val_accuracy").to_csv(tmp_path / "rows.csv")
    with open(tmp_path / "rows.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 9
    assert list(lines[0]) == list(rows[0])
    assert float(lines[1]["val_accuracy"]) == rows[1]["val_accuracy"]
    assert lines[0]["error"] == ""
    assert lines[8]["error"] == "ValueError: a, b\nc"


@pytest.mark.parametrize("kind", ["csv", "parquet", "png"])
def test_a_file_that_cannot_be_written_whole_leaves_the_one_that_was_there(kind, result, tmp_path, monkeypatch):
    def fails(*args):
        raise OSError(errno.ENOSPC, "no space left")

    path = tmp_path / f"rows.{kind}"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fails)
    write = {"csv": result.to_csv, "parquet": result.to_parquet, "png": result.plot}[kind]
    with pytest.raises(OSError, match=rf"rows\.{kind} cannot be written \(no space left\)") as caught:
        write(path)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_pandas_frame(result):
    frame = result.to_pandas()
    assert frame.shape == (8, 13)
    assert frame["val_accuracy"].tolist() == [row["val_accuracy"] for row in result]


def test_without_pandas_the_message_names_to_csv(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        result.to_pandas()


def test_plot_writes_a_file_or_draws_on_axes(result, tmp_path):
    from matplotlib.figure import Figure

    result.plot(tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    ax = Figure().subplots()
    assert result.plot(ax, "heatmap") is ax.figure
    assert len(ax.images) == 1
    assert len(result.plot(kind="heatmap").axes) == 2
    assert len(result.plot(kind="spread").axes) == 2
    assert len(result.plot().axes) == 5  # two maps with their colours, and sizes: there are no curves here
    with pytest.raises(ValueError, match="kind='all' is a page"):
        result.plot(ax)
    with pytest.raises(ValueError, match="Did you mean 'pareto'"):
        result.plot(kind="paretto")
    with pytest.raises(ValueError, match="no loss curves to draw"):
        result.plot(kind="curves")


def test_the_pareto_front_has_what_no_smaller_setting_beats(result):
    figure = result.plot(kind="pareto")
    front = next(line for line in figure.axes[0].lines if line.get_label() == "Pareto front")
    # 8×1 has 80 parameters and 0.8; 8×2 and 16×1 have 160, and 0.61 and 0.85; 16×2 is worse than all.
    assert front.get_xydata().tolist() == [[80.0, pytest.approx(0.8)], [160.0, pytest.approx(0.85)]]


def test_names_on_the_pareto_front_do_not_lie_on_each_other():
    rows = [row(width, 1) | {"n_params": width, "val_accuracy": 0.8 + width / 1e4} for width in (8, 900, 910, 920)]
    drawn = SweepResult(rows, "val_accuracy").plot(kind="pareto").axes[0]
    assert [text.get_text() for text in drawn.texts] == ["920×1", "8×1"]


def test_learning_rates_are_drawn_with_the_best_of_each():
    rows = [
        row(width, 1) | {"lr": lr, "val_accuracy": value} for width, lr, value in ((8, 0.1, 0.5), (16, 0.1, 0.6), (8, 1.0, 0.3))
    ]
    (ax,) = SweepResult(rows, "val_accuracy").plot(kind="rates").axes
    line = next(line for line in ax.lines if line.get_label() == "best of each rate")
    assert line.get_xydata().tolist() == [[0.1, 0.6], [1.0, 0.3]]
    assert (ax.get_xscale(), ax.get_xlabel(), ax.get_title()) == (
        "log",
        "learning rate",
        "Validation accuracy by learning rate",
    )
    drawn = SweepResult([*rows, row(8, 1) | {"lr": 0.01}], "val_accuracy").plot()
    assert "Validation accuracy by learning rate" in [ax.get_title() for ax in drawn.axes]
    failed = SweepResult([each | {"error": "no", "val_accuracy": math.nan} for each in rows], "val_accuracy").plot(kind="rates")
    assert [text.get_text() for text in failed.axes[0].texts] == ["no result"]


def test_rates_drawn_at_random_for_several_widths_are_points_alone():
    rows = [row(width, 1) | {"lr": 0.1 * width} for width in (8, 16, 32)]
    (ax,) = SweepResult(rows, "val_accuracy").plot(kind="rates").axes
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["1 hidden layer"]


def test_one_learning_rate_is_no_picture(result):
    with pytest.raises(ValueError, match=r"did not try several learning rates to compare\. Pass lr, such as"):
        result.plot(kind="rates")


@pytest.mark.parametrize("draw", [plots.sweep, plots.heatmap, plots.sweep_curves, plots.sweep_rates, plots.pareto])
def test_pictures_of_something_else_are_refused(draw):
    with pytest.raises(TypeError, match=r"result must be what fm.sweep returned; got \[\] \(list\)"):
        draw([])


def test_a_pareto_front_of_nothing_says_so():
    (text,) = SweepResult([row(8, 1, error="MemoryError: no")], "val_accuracy").plot(kind="pareto").axes[0].texts
    assert text.get_text() == "no result"


def test_loss_curves_are_of_all_networks_and_the_best_settings_in_colour(result):
    curves = [{"loss": [1.0 / (i + 1), 0.5 / (i + 1)], "val_loss": [1.0, 0.9]} for i in range(8)]
    drawn = SweepResult(result.rows, "val_accuracy", curves=curves).plot(kind="curves").axes[0]
    assert len(drawn.lines) == 8 + 4 * 2
    named = {line.get_label(): line for line in drawn.lines if not line.get_label().startswith("_")}
    assert list(named) == ["16×1", "8×1", "8×2", "16×2"]
    assert named["8×1"].get_ydata().tolist() == pytest.approx([0.75, 0.375])


def test_many_widths_are_drawn_as_ranges():
    rows = [row(width, 1, value=width / 100) for width in range(1, 60)]
    axes = SweepResult(rows, "val_accuracy").plot(kind="heatmap").axes[0]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert len(labels) <= 12
    assert labels[0] == "1"
    assert labels[-1].endswith("-59")
    assert axes.get_title().endswith("one seed, best width of each range")
    few = SweepResult(rows[:24], "val_accuracy").plot(kind="heatmap").axes[0]
    assert few.get_title().endswith("one seed")


def test_to_parquet_and_back(result, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    from fastmlp import schedules

    rows = [*result.rows, row(4, 1, error="MemoryError", lr=schedules.Cosine(0.1))]
    SweepResult(rows, "val_accuracy").to_parquet(tmp_path / "rows.parquet")
    back = parquet.read_table(tmp_path / "rows.parquet").to_pylist()
    assert [{**one, "lr": str(one["lr"])} for one in rows[:-1]] == back[:-1]
    assert back[-1]["lr"] == str(rows[-1]["lr"])
    assert (back[-1]["error"], math.isnan(back[-1]["val_accuracy"])) == ("MemoryError", True)


def test_without_pyarrow_the_message_names_to_csv(result, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match="to_parquet needs pyarrow: pip install pyarrow"):
        result.to_parquet(tmp_path / "rows.parquet")


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_a_metric_that_is_no_number_is_shown_as_it_is(odd, tmp_path):
    result = SweepResult([row(8, 1, s, v) for s, v in enumerate((odd, 0.5))] + [row(16, 1, 0, 0.7)], "val_accuracy")
    first, last = result.summary()
    assert (first["width"], last["width"]) == ((8, 16) if odd == math.inf else (16, 8))
    assert math.isnan((first if odd == math.inf else last)["val_accuracy_std"])
    assert text(result.table()).count("16") >= 1
    result.plot(tmp_path / "odd.png")


def test_brackets_in_names_and_messages_are_no_markup() -> None:
    table = FittingTable({"q[/z]": ["[bold]1"]}, (), title="shape [n, k]", caption="[/b] x")
    console = Console(file=StringIO(), width=60)
    console.print(table)
    shown = " ".join(console.file.getvalue().split())
    assert all(text in shown for text in ("q[/z]", "[bold]1", "shape [n, k]", "[/b] x"))
