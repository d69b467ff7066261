"""Pictures: what is drawn, where its parts lie, and that nothing overlaps."""

from __future__ import annotations

import itertools
import math
import pickle
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

import fastmlp as fm
from fastmlp import plots
from fastmlp.plots import figures
from fastmlp.sweeps.result import SweepResult
from tests.pictures import assert_readable, draw, history


def sweep(widths, depths, seeds=1, lrs=(0.001,), failed=(), higher=True, scale=1.0):
    """A made-up sweep whose best cell is the largest width at depth 2."""
    rows = []
    for width, depth, lr, seed in itertools.product(widths, depths, lrs, range(seeds)):
        value = 1.0 - 0.5 / math.sqrt(width) - 0.02 * abs(depth - 2) + 0.001 * seed - 10 * abs(lr - 0.001)
        value = scale * (value if higher else 1.0 - value)
        bad = (width, depth) in failed
        rows.append(
            {"width": width, "depth": depth, "seed": seed, "lr": lr, "activation": "relu", "n_params": width * depth,
             "flops": 2 * width, "seconds": 1.0, "epochs": 1, "train_loss": math.nan if bad else 0.1,
             "val_loss": math.nan if bad else 0.2, "val_score": math.nan if bad else value,
             "error": "failed" if bad else None}
        )  # fmt: skip
    return SweepResult(rows, "val_score", higher)


@pytest.mark.parametrize(
    ("widths", "depths"),
    [
        ([8], [1]),
        ([8, 16], [1, 2]),
        ([8, 16, 32], range(1, 13)),
        ([2**k for k in range(12)], [0, 1, 2]),
        (range(4, 64, 3), [1, 2]),
    ],
    ids=["1x1", "2x2", "3x12", "12x3", "20x2"],
)
@pytest.mark.parametrize("seeds", [1, 3])
def test_heatmap_is_readable_whatever_its_size(widths, depths, seeds):
    assert_readable(plots.heatmap(sweep(widths, depths, seeds)))


def test_heatmap_has_width_across_depth_down_and_the_mean_in_each_cell():
    ax = plots.heatmap(sweep([16, 4, 8], [1, 2], seeds=2)).axes[0]
    values = ax.images[0].get_array()
    assert values.shape == (2, 3)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["4", "8", "16"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["1", "2"]
    assert values[0, 0] == pytest.approx(1.0 - 0.25 - 0.02 + 0.0005)
    assert ax.texts[0].get_text() == "0.730\n±0.001"
    assert "width" in ax.get_xlabel()
    assert "depth" in ax.get_ylabel()
    assert ax.get_title() == "Validation score (higher is better)\nmean of 2 seeds"


def test_heatmap_frames_the_best_cell():
    for higher in (True, False):
        ax = plots.heatmap(sweep([4, 8, 16], [1, 2, 3], higher=higher)).axes[0]
        (frame,) = ax.patches
        assert (round(frame.get_center()[0]), round(frame.get_center()[1])) == (2, 1)


def test_the_best_cell_is_yellow_whichever_way_the_metric_counts():
    for higher in (True, False):
        (image,) = plots.heatmap(sweep([4, 8], [1, 2], higher=higher)).axes[0].images
        red, green, blue, _ = image.cmap(image.norm(image.get_array()[1, 1]))
        assert red > 0.9
        assert green > 0.8
        assert blue < 0.3


def test_a_cell_shows_the_best_of_several_learning_rates():
    ax = plots.heatmap(sweep([4], [2], lrs=(0.01, 0.001))).axes[0]
    assert ax.images[0].get_array()[0, 0] == pytest.approx(0.75)
    assert "best of 2 learning rates" in ax.get_title()


def several(*keys, widths=(4, 8)):
    """A sweep that tried two values of each of these settings, with loss curves."""
    values = {"lr": (0.001, 0.01), "activation": ("relu", "tanh"), "batch_size": (16, 32), "weight_decay": (0.0, 0.01)}
    rows = []
    for row in sweep(widths, [1, 2], seeds=2):
        for tried in itertools.product(*(values[key] for key in keys)):
            rows.append(row | {"batch_size": 16, "weight_decay": 0.0} | dict(zip(keys, tried, strict=True)))
    return SweepResult(rows, "val_score", curves=[{"loss": [2.0 / (1 + i), 1.9, 1.8]} for i in range(len(rows))])


@pytest.mark.parametrize(
    ("keys", "widths", "words"),
    [
        (["lr", "weight_decay"], [4, 8], "mean of 2 seeds, best of all learning rates and weight decays"),
        (["lr", "weight_decay"], range(4, 40), "best width of each range, best of all learning rates and weight decays"),
        (["lr", "weight_decay", "activation"], [4, 8], "mean of 2 seeds, best of 3 other settings"),
    ],
)
def test_a_title_says_what_a_cell_is_the_best_of_and_ends_within_its_picture(keys, widths, words):
    result = several(*keys, widths=widths)
    figure = plots.heatmap(result)
    assert words in " ".join(figure.axes[0].get_title().split())
    assert_readable(figure)
    page = plots.sweep(result)
    renderer = draw(page)
    for ax in page.axes:
        title, own = ax.title.get_window_extent(renderer), ax.figure.bbox  # that of its part of the page
        assert own.x0 <= title.x0
        assert title.x1 <= own.x1


def test_names_of_many_settings_stand_beside_their_curves():
    result = several("lr", "weight_decay", "activation", "batch_size")
    figure = plots.sweep_curves(result)
    renderer = draw(figure)
    ax = figure.axes[0]
    legend = ax.get_legend()
    names = [" ".join(shown(text).split()) for text in legend.get_texts()]
    assert len(names) == 5
    assert all(", batch 16, weight_decay 0" in name or ", batch 32, weight_decay 0" in name for name in names)
    extent = legend.get_window_extent(renderer)
    assert extent.x0 >= ax.get_window_extent(renderer).x1 - 1
    assert extent.x1 <= figure.bbox.x1
    assert extent.y0 >= 0
    assert ax.get_window_extent(renderer).width > 0.5 * figure.bbox.width


def test_failed_cells_are_grey_and_say_so():
    ax = plots.heatmap(sweep([4, 8], [1, 2], failed=[(8, 1)])).axes[0]
    assert [t.get_text() for t in ax.texts] == ["0.730", "failed", "0.750", "0.823"]
    everything = plots.heatmap(sweep([4], [1], failed=[(4, 1)])).axes
    assert [t.get_text() for t in everything[0].texts] == ["failed"]
    assert len(everything) == 1


@pytest.mark.parametrize(("scale", "first"), [(1.0, "0.730"), (1000.0, "730"), (1e-3, "0.0007"), (0.0, "0.000")])
def test_numbers_have_the_digits_that_matter(scale, first):
    assert plots.heatmap(sweep([4, 8], [1], scale=scale)).axes[0].texts[0].get_text() == first


def test_ink_stands_out_on_every_colour_of_the_map():
    import matplotlib

    def luminance(colour):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    for level in np.linspace(0.0, 1.0, 101):
        colour = matplotlib.colormaps["viridis"](level)
        ink = {"black": 0.0, "white": 1.0}[figures.ink(colour)]
        low, high = sorted([luminance(colour), ink])
        assert (high + 0.05) / (low + 0.05) >= 4.5


def test_heatmap_of_nothing():
    with pytest.raises(ValueError, match="no rows to draw"):
        plots.heatmap(SweepResult([], "val_score"))


@pytest.mark.parametrize("picture", [plots.heatmap, plots.pareto, plots.sweep, plots.sweep_curves, plots.sweep_rates])
@pytest.mark.parametrize("wrong", [fm.MLP([2, 1]), [], None], ids=["network", "list", "None"])
def test_what_is_no_sweep_is_refused(picture, wrong):
    with pytest.raises(TypeError, match=r"^result must be what fm\.sweep returned; got .* \((MLP|list|NoneType)\)\.$"):
        picture(wrong)


# ---- loss curves


NAMES = ["$", "$^$", "net $ % of $", "_private", "", r"\$ a \$"]


def shown(text):
    """What a renderer gets."""
    told, formula = text._preprocess_math(text.get_text())
    assert not formula
    return told


@pytest.mark.parametrize("formulas", [True, False])
def test_names_are_shown_as_they_are(formulas):
    import matplotlib

    with matplotlib.rc_context({"text.parse_math": formulas}):
        figure = plots.loss_curves([history(val=False)] * len(NAMES), labels=NAMES)
        draw(figure)
        assert [shown(text) for text in figure.axes[0].get_legend().get_texts()] == NAMES


def test_dollars_in_sweeps():
    result = sweep([4, 8], [1, 2])
    result.metric = "val_$^$"
    for row in result.rows:
        row["val_$^$"] = row["val_score"]
    for figure in (plots.heatmap(result), plots.heatmap(result, spread=True), plots.pareto(result)):
        draw(figure)
        assert "$^$" in "".join(shown(t) for ax in figure.axes for t in (ax.title, ax.yaxis.label))
    rows = [row | {"activation": name} for row, name in zip(result.rows, ["relu", "$^$"] * 2, strict=True)]
    figure = plots.sweep_curves(SweepResult(rows, "val_score", curves=[{"loss": [2.0, 1.0]}] * 4))
    draw(figure)
    assert "4×2, $^$" in [shown(t) for t in figure.axes[0].get_legend().get_texts()]


@pytest.mark.parametrize("scale", [1, 100])
def test_sizes_with_one_power_of_ten_among_them_do_not_lie_over_each_other(scale):
    figure = plots.pareto(sweep([17 * scale, 33 * scale, 65 * scale], [1, 2, 5]))
    assert_readable(figure)
    labels = [shown(text) for text in figure.axes[0].get_xticklabels()]
    assert labels[0] == f"{17 * scale:,}"
    assert labels[-1] == f"{325 * scale:,}"
    assert [label for label in labels if "." in label] == []  # nothing has 45.5 parameters


def test_a_linear_model_is_among_the_curves_once_and_by_that_name():
    rows = sweep([4, 8, 16], [0, 1]).rows
    result = SweepResult(rows, "val_score", curves=[{"loss": [2.0, 1.0]}] * 6)
    names = [shown(text) for text in plots.sweep_curves(result).axes[0].get_legend().get_texts()]
    assert sorted(names) == ["16×1", "4×1", "8×1", "linear"]
    one = SweepResult([row | {"n_params": 3} for row in rows[:1]], "val_score")
    assert [text.get_text() for text in plots.pareto(one).axes[0].texts] == ["linear"]


def test_the_spread_of_one_seed_says_so():
    assert plots.heatmap(sweep([4], [1]), spread=True).axes[0].get_title().endswith("over 1 seed")


@pytest.mark.parametrize("lrs", [(1e-3, 2e-3, 5e-3), (0.9, 1.0, 1.1), (2e-3, 3e-3)])
def test_near_learning_rates_do_not_lie_over_each_other(lrs):
    figure = plots.sweep_rates(sweep([4, 8], [1, 2], lrs=lrs))
    assert_readable(figure)
    labels = [shown(text) for text in figure.axes[0].get_xticklabels()]
    assert labels[0] == f"{lrs[0]:g}"
    assert labels[-1] == f"{lrs[-1]:g}"


# ---- files


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_save_writes_the_kind_that_the_name_says(tmp_path, ending, start):
    plots.save(plots.loss_curves(history()), tmp_path / f"curves.{ending}")
    assert (tmp_path / f"curves.{ending}").read_bytes().startswith(start)


def test_an_unknown_kind_of_picture(tmp_path):
    with pytest.raises(ValueError, match=r"must end in one of .*pdf.*png"):
        plots.save(plots.loss_curves(history()), tmp_path / "curves.txt")


def test_a_name_in_the_place_of_axes_is_told_how_to_write_a_file():
    net, X, y = fm.MLP([2, 4, 1], output="sigmoid"), np.eye(2), [0, 1]
    result, test = sweep([4, 8], [1, 2]), net.lr_range_test(X, y)
    drawing = [
        lambda ax: plots.loss_curves(history(), ax), test.plot, lambda ax: plots.architecture(net, ax),
        lambda ax: plots.weights(net, ax), lambda ax: plots.decision_boundary(net, X, y, ax),
        lambda ax: plots.hidden_space(net, X, y, ax), lambda ax: plots.heatmap(result, ax),
        lambda ax: plots.pareto(result, ax),
    ]  # fmt: skip
    for draw_on in drawing:
        with pytest.raises(TypeError, match=r"^ax must be matplotlib Axes; got 'x.png' \(str\)\. .* fm\.plots\.save"):
            draw_on("x.png")
    with pytest.raises(TypeError, match=r"^figure must be a matplotlib Figure, .*; got <History of 30 epochs"):
        plots.save(history(), "x.png")


def test_notebooks_show_figures():
    figure = plots.loss_curves(history())
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert pickle.loads(pickle.dumps(figure))._repr_png_() == figure._repr_png_()


def test_drawing_on_given_axes_makes_no_figure_and_leaves_pyplot_alone():
    ax = Figure().subplots()
    assert plots.loss_curves(history(), ax) is ax.figure
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_without_matplotlib_the_message_says_how_to_get_it(monkeypatch, tmp_path):
    result = sweep([4], [1])
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    for call in (lambda: plots.heatmap(result), lambda: plots.loss_curves(history()), lambda: plots.check_name("a.png")):
        with pytest.raises(ImportError, match=r"pip install fastmlp\[plot\]"):
            call()


# ---- range tests
