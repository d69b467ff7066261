"""Where the lessons save their pictures; what is on them comes from `fastmlp.plots`."""

import sys
from pathlib import Path

from matplotlib.figure import Figure

from fastmlp import plots

# The folder comes as the first argument.
FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "pictures"


def axes(columns=1, rows=1):
    """Return the axes of a new picture, (rows · columns,)."""
    size = (4.4 * columns, 3.7 * rows)
    return Figure(figsize=size, layout="constrained").subplots(rows, columns, squeeze=False).ravel()


def save(ax, name):
    """Write the picture that axes are on and say where."""
    path = place(name)
    plots.save(ax.figure, path)
    print("picture:", path)


def place(name):
    """Return where a picture goes."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    return FOLDER / name
