"""Pictures of networks: their layers and their weights."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import plots
from fastmlp.plots.figures import figure
from tests.pictures import assert_readable, draw


def small():
    return figure(4, 3).subplots()


def table_of(ax):
    """The texts of each row, from the left."""
    rows = {}
    for text in ax.texts:
        rows.setdefault(text.get_position()[1], []).append((text.get_position()[0], text.get_text()))
    return [[words for _, words in sorted(rows[y])] for y in sorted(rows)]


NETS = {
    "typical": fm.MLP([784, 128, fm.Dense(32, "tanh"), 10], output="softmax"),
    "one layer": fm.MLP([1, 1]),
    "ten layers": fm.MLP([2, *[16, 512, 1, 64, 8] * 2, 3], output="softmax", dropout=0.25),
    "wide": fm.MLP([512, 512, 1, 512, 512], activation="leaky_relu"),
    "many": fm.MLP([4, *[8] * 60, 1], activation="hard_sigmoid"),
}


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
@pytest.mark.parametrize("given", [True, False])
def test_the_layers_are_readable(net, given):
    picture = plots.architecture(net, small() if given else None)
    assert_readable(picture)
    assert min(text.get_fontsize() for text in picture.axes[0].texts) > 5


def test_the_layers_are_told_with_their_figures():
    ax = plots.architecture(NETS["typical"]).axes[0]
    assert table_of(ax) == [
        ["", "units", "activation", "parameters", "FLOPs"],
        ["input", "784", "", "", ""],
        ["hidden 1", "128", "relu", "100,480", "200,704"],
        ["hidden 2", "32", "tanh", "4,128", "8,192"],
        ["output", "10", "softmax", "330", "640"],
    ]
    assert ax.get_title() == f"{NETS['typical'].n_params:,} parameters, {NETS['typical'].flops():,} FLOPs a row"


def test_bars_have_the_layers_widths():
    bars = [patch.get_width() for patch in plots.architecture(NETS["typical"]).axes[0].patches if hasattr(patch, "get_width")]
    np.testing.assert_allclose(np.square(bars) / bars[0] ** 2, np.array([784, 128, 32, 10]) / 784)


def test_layers_that_share_a_row_are_counted_and_summed():
    net = NETS["many"]
    rows = table_of(plots.architecture(net, small()).axes[0])[2:]
    (place,) = (k for k, row in enumerate(rows) if row[0].startswith("⋮"))
    assert rows[0][0] == "hidden 1"
    assert rows[-1][0] == "output"
    assert len(rows) - 1 + int(rows[place][0].split()[1]) == len(net.layers)
    assert sum(int(row[3].replace(",", "")) for row in rows) == net.n_params
    assert sum(int(row[4].replace(",", "")) for row in rows) == net.flops()


def test_long_counts_are_shortened():
    rows = table_of(plots.architecture(fm.MLP([2000, 2000, 1]), small()).axes[0])
    assert rows[2] == ["hidden 1", "2,000", "relu", "4M", "8M"]


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
@pytest.mark.parametrize("given", [True, False])
def test_weights_are_panels_that_do_not_overlap(net, given):
    picture = plots.weights(net, small() if given else None)
    assert_readable(picture)
    renderer = draw(picture)
    panels = picture.axes[0].child_axes
    assert len(panels) == len(net.layers)
    boxes = [panel.get_tightbbox(renderer) for panel in panels] + [picture.axes[0].title.get_window_extent(renderer)]
    for one, other in itertools.combinations(boxes, 2):
        assert not (one.x0 < other.x1 - 1 and other.x0 < one.x1 - 1 and one.y0 < other.y1 - 1 and other.y0 < one.y1 - 1)
    assert min(box.y0 for box in boxes) >= 0


def test_panels_show_the_weights_on_one_scale_around_zero():
    net = fm.MLP([2, 3, 1])
    net.params = np.linspace(-1.0, 0.5, net.n_params)
    panels, bar = plots.weights(net, small()).axes[0].child_axes, plots.weights(net, small()).axes[1]
    for panel, values, title in zip(panels, net.weights, ["hidden 1\n2 × 3", "output\n3 × 1"], strict=True):
        np.testing.assert_array_equal(panel.images[0].get_array(), values)
        assert panel.get_title() == title
        assert panel.images[0].norm.vmin == -panel.images[0].norm.vmax
    assert panels[0].images[0].norm is panels[1].images[0].norm
    assert bar.get_ylim() == (panels[0].images[0].norm.vmin, panels[0].images[0].norm.vmax)
    np.testing.assert_allclose(panels[0].images[0].cmap(0.5)[:3], 1.0, atol=0.04)


@pytest.mark.parametrize("values", [0.0, np.nan, [1.0, np.inf]])
def test_weights_that_are_zero_or_not_finite_are_drawn(values):
    net = fm.MLP([1, 1])
    net.params[:] = values
    panel = plots.weights(net, small()).axes[0].child_axes[0].images[0]
    assert panel.norm.vmax == 1.0


def test_only_networks_have_layers_to_draw():
    with pytest.raises(TypeError, match="architecture draws networks; got 'net'"):
        plots.architecture("net")
    with pytest.raises(TypeError, match="weights draws networks; got 3"):
        plots.weights(3)
