"""Pictures: what is drawn, where its parts lie, and that nothing overlaps."""

from __future__ import annotations

import itertools
import math
import pickle
import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import fastmlp as fm
from fastmlp import plots
from fastmlp.lr_range import _judged
from fastmlp.plots import figures
from fastmlp.population.history import PopulationHistory
from fastmlp.sweeps.result import SweepResult


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


def draw(figure):
    """Lay a figure out and return its renderer."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return canvas.get_renderer()


def assert_readable(figure):
    """No text lies over another one or outside the picture."""
    renderer = draw(figure)
    for ax in figure.axes:
        ticks = [
            label
            for axis, (low, high) in ((ax.xaxis, sorted(ax.get_xlim())), (ax.yaxis, sorted(ax.get_ylim())))
            for minor in (False, True)
            for place, label in zip(axis.get_ticklocs(minor=minor), axis.get_ticklabels(minor=minor), strict=True)
            if ax.axison and low <= place <= high
        ]
        texts = [*ax.texts, *ticks, ax.title, ax.xaxis.label, ax.yaxis.label]
        extents = [t.get_window_extent(renderer) for t in texts if t.get_text()]
        for one, other in itertools.combinations(extents, 2):
            assert not (one.x0 < other.x1 - 1 and other.x0 < one.x1 - 1 and one.y0 < other.y1 - 1 and other.y0 < one.y1 - 1)
        for extent in extents:
            assert extent.x0 >= 0
            assert extent.y0 >= 0
            assert extent.x1 <= figure.bbox.x1
            assert extent.y1 <= figure.bbox.y1


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


def history(n=30, start=2.0, val=True, floor=0.1):
    x = np.arange(n)
    loss = (start * np.exp(-x / 5) + floor).tolist()
    return fm.History(loss=loss, val_loss=[value + 0.1 + 0.01 * i for i, value in enumerate(loss)] if val else [])


def test_a_history_gives_a_full_and_a_dashed_line_and_a_dot_on_the_lowest():
    run = history()
    ax = plots.loss_curves(run).axes[0]
    full, dashed, dot = ax.lines
    assert full.get_xdata().tolist() == list(range(1, 31))
    assert full.get_ydata().tolist() == run.loss
    assert (full.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
    assert dot.get_xdata()[0] == np.argmin(run.val_loss) + 1
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["training", "validation", "lowest validation loss"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")


def test_without_validation_there_is_one_line():
    assert len(plots.loss_curves(history(val=False)).axes[0].lines) == 1


def test_several_histories_have_colours_and_names():
    ax = plots.loss_curves([history(), history(start=1.0)], labels=["slow", "fast"]).axes[0]
    assert len({line.get_color() for line in ax.lines}) == 2
    legend = ax.get_legend()
    assert [t.get_text() for t in legend.get_texts()] == ["slow", "fast", "training", "validation"]
    slow, fast, *styles = legend.get_lines()
    assert [slow.get_color(), fast.get_color()] == [ax.lines[0].get_color(), ax.lines[3].get_color()]
    assert [style.get_linestyle() for style in styles] == [line.get_linestyle() for line in ax.lines[:2]]


def test_names_are_all_that_is_said_of_several_without_validation():
    ax = plots.loss_curves([history(val=False), history(val=False, start=1.0)], labels=["slow", "fast"]).axes[0]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["slow", "fast"]


def test_losses_of_ones_own_training_are_drawn_too():
    run = history(val=False)
    (line,) = plots.loss_curves(run.loss).axes[0].lines
    assert line.get_ydata().tolist() == run.loss
    assert len(plots.loss_curves(np.array(run.loss)).axes[0].lines) == 1
    assert len(plots.loss_curves([run, run.loss, np.array(run.loss)]).axes[0].lines) == 3


def test_many_histories_only_say_what_the_styles_mean():
    ax, bar = plots.loss_curves([history(start=1 + i) for i in range(15)]).axes
    assert (bar.get_ylabel(), *bar.get_ylim()) == ("run", 1, 15)
    assert sorted(t.get_text() for t in ax.get_legend().get_texts()) == ["training", "validation"]


@pytest.mark.parametrize("n", [1, 2, 12])
def test_the_legend_of_several_runs_hides_no_curve(n):
    figure = plots.loss_curves([history(start=1 + i, val=n < 10) for i in range(n)])
    renderer = draw(figure)
    ax = figure.axes[0]
    legend = ax.get_legend().get_window_extent(renderer)
    if n == 2:
        assert legend.x0 >= ax.get_window_extent(renderer).x1 - 1
    assert legend.x1 <= figure.bbox.x1
    assert legend.y0 >= 0
    assert_readable(figure)


@pytest.mark.parametrize(("floor", "scale"), [(0.1, "linear"), (0.001, "log"), (-0.5, "linear")])
def test_the_scale_is_logarithmic_where_losses_span_magnitudes(floor, scale):
    assert plots.loss_curves(history(val=False, floor=floor)).axes[0].get_yscale() == scale


@pytest.mark.parametrize("wrong", [3, None, "loss", {"a": fm.History(loss=[1.0])}])
def test_loss_curves_of_something_else_are_refused(wrong):
    with pytest.raises(TypeError, match="history must be what fit returned, losses, or a list of these; got"):
        plots.loss_curves(wrong)


@pytest.mark.parametrize("wrong", [[[1.0], 3], [fm.History(), None], [fm.History(), {"a": 1}], [[1.0], "ab"], [[1.0], [[2.0]]]])
def test_loss_curves_name_what_is_none_of_several(wrong):
    with pytest.raises(TypeError, match=r"history\[1\] must be what fit returned, or losses; got "):
        plots.loss_curves(wrong)


def test_odd_histories_are_drawn_too():
    for run in (history(1), fm.History(), fm.History(loss=[1.0, math.nan], val_loss=[math.nan, math.nan])):
        draw(plots.loss_curves(run))


@pytest.mark.parametrize("validation", [None, 0.5])
def test_a_population_is_a_run_for_each_network(validation):
    population = fm.Population([2, 4, 1], size=3, output="sigmoid")
    told = population.fit([[0, 0], [0, 1], [1, 0], [1, 1]] * 4, [0, 1, 1, 0] * 4, epochs=4, validation=validation)
    ax = plots.loss_curves(told).axes[0]
    full = [line for line in ax.lines if line.get_linestyle() == "-"]
    assert [line.get_ydata().tolist() for line in full] == told.loss.T.tolist()
    assert len({line.get_color() for line in ax.lines}) == 3
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [dot.get_xdata()[0] for dot in dots] == ([] if validation is None else (told.val_loss.argmin(axis=0) + 1).tolist())
    names = [t.get_text() for t in ax.get_legend().get_texts()]
    assert names[:3] == ["network 0", "network 1", "network 2"]
    assert [t.get_text() for t in plots.loss_curves(told, labels="abc").axes[0].get_legend().get_texts()][:3] == list("abc")
    among = plots.loss_curves([told, history(val=False)]).axes[0]
    assert [t.get_text() for t in among.get_legend().get_texts()][:4] == ["run 1", "run 2", "run 3", "run 4"]


def test_many_networks_have_thin_lines_without_names():
    curves = np.random.default_rng(0).uniform(size=(5, 30))
    ax, bar = plots.loss_curves(PopulationHistory(30, {"loss": curves})).axes
    assert (bar.get_ylabel(), *bar.get_ylim()) == ("network", 0, 29)
    assert len(ax.lines) == 30
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["training"]


def test_a_loss_between_others_that_are_not_finite_is_a_dot():
    (line,) = plots.loss_curves([1.0, 0.5, math.nan, 0.2, math.inf, 0.1]).axes[0].lines
    assert line.get_marker() == "o"
    assert line.get_markevery().tolist() == [3, 5]
    (line,) = plots.loss_curves([1.0, 0.5, math.nan]).axes[0].lines
    assert line.get_marker() == "None"


def test_losses_of_one_epoch_are_a_dot_and_a_ring_in_the_legend_too():
    net = fm.MLP([2, 1], output="sigmoid", seed=0)
    told = net.fit([[0, 0], [0, 1], [1, 0], [1, 1]] * 4, [0, 1, 1, 0] * 4, epochs=1, validation=0.5)
    ax = plots.loss_curves(told).axes[0]
    training, validation = ax.lines
    assert training.get_markerfacecolor() == training.get_color()
    assert validation.get_markerfacecolor() == "none"
    assert validation.get_markersize() > training.get_markersize()  # so that it shows around the dot
    for drawn, entry in zip(ax.lines, ax.get_legend().get_lines(), strict=True):
        assert entry.get_marker() == drawn.get_marker() == "o"
        assert entry.get_markersize() == drawn.get_markersize()
        assert (entry.get_markerfacecolor() == "none") == (drawn is validation)
    longer = plots.loss_curves(net.fit([[0, 0], [0, 1]] * 4, [0, 1] * 4, epochs=3, validation=0.5)).axes[0].get_legend()
    assert [entry.get_marker() for entry in longer.get_lines()[:2]] == ["None", "None"]


@pytest.mark.parametrize("run", [[[]], [[math.nan, math.inf]], fm.History()])
def test_a_picture_without_losses_says_so(run):
    assert [t.get_text() for t in plots.loss_curves(run).axes[0].texts] == ["no finite loss"]


def test_bad_arguments_of_loss_curves():
    with pytest.raises(ValueError, match="at least one history"):
        plots.loss_curves([])
    with pytest.raises(ValueError, match="one name for each of the 2 histories, not 1"):
        plots.loss_curves([history(), history()], labels=["a"])


# ---- texts of the user's

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


def range_test(n=100, falls=True, limit=True):
    rates = np.geomspace(1e-6, 10.0, 100)[:n]
    r = np.log10(rates)
    loss = 1.0 - falls * 0.5 / (1 + np.exp(-6 * (r + 3))) + limit * 0.5 * 10.0 ** (2 * r)
    return _judged(rates, loss, n < 100, fm.Adam())


def test_a_range_test_shows_losses_suggestion_and_limit():
    test = range_test()
    ax = test.plot().axes[0]
    dots, line, _, mark = ax.lines
    np.testing.assert_array_equal(dots.get_ydata(), test.losses)
    np.testing.assert_array_equal(line.get_ydata(), test.smoothed)
    assert mark.get_xdata()[0] == test.suggestion
    assert mark.get_ydata()[0] == test.smoothed[list(test.lrs).index(test.suggestion)]
    names = [t.get_text() for t in ax.get_legend().get_texts()]
    assert names == ["minibatch", "smoothed", f"suggestion {test.suggestion:.2g}", "too high"]
    assert (ax.get_xscale(), ax.get_xlabel(), ax.get_ylabel()) == ("log", "learning rate", "loss")
    assert ax.get_ylim()[1] < test.losses.max()  # the explosion does not set the scale


def test_what_is_no_range_test_is_refused():
    with pytest.raises(TypeError, match=r"^test must be what net\.lr_range_test returned; got <History of .* \(History\)\.$"):
        plots.lr_range(fm.History())


@pytest.mark.parametrize("n", [0, 1, 2, 60, 100])
@pytest.mark.parametrize("falls", [True, False])
def test_odd_range_tests_are_drawn_too(n, falls):
    ax = figures.figure(4, 3).subplots()
    assert_readable(plots.lr_range(range_test(n, falls, limit=falls), ax))


@pytest.mark.parametrize(("low", "high"), [(1e-9, 1e-8), (2e-3, 1.9e-2), (1.3e-4, 2.2e-4), (3e-9, 4e-8), (1e-4, 1e-2)])
def test_rates_of_a_short_range_are_readable(low, high):
    rates = np.geomspace(low, high, 50)
    test = _judged(rates, np.linspace(1.0, 0.5, 50), False, fm.Adam())
    for ax in (None, figures.figure(4, 3).subplots()):
        page = plots.lr_range(test, ax)
        assert_readable(page)
        assert not any(t.get_text() for t in page.axes[0].get_xticklabels(minor=True))
        assert sum(bool(t.get_text()) for t in page.axes[0].get_xticklabels()) >= 3
