"""What tests of pictures share: how one is drawn, and that nothing in it lies over another."""

from __future__ import annotations

import itertools

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

import fastmlp as fm


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


def history(n=30, start=2.0, val=True, floor=0.1):
    """A made-up training."""
    x = np.arange(n)
    loss = (start * np.exp(-x / 5) + floor).tolist()
    return fm.History(loss=loss, val_loss=[value + 0.1 + 0.01 * i for i, value in enumerate(loss)] if val else [])
