"""Pictures of losses: of trainings, of populations, of a learning-rate range test."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import plots
from fastmlp.lr_range import _judged
from fastmlp.plots import figures
from fastmlp.population.history import PopulationHistory
from tests.pictures import assert_readable, draw, history


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
