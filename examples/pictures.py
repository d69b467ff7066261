"""What the lessons' pictures have in common: where they are saved, and a network's answer all over a plane."""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt

# The folder comes as the first argument.
FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "pictures"
# Blue and orange, which colour-blind people tell apart; so do the markers.
COLOURS, MARKERS = ("tab:blue", "tab:orange"), "os"


def figure(columns=1):
    """Return a figure and its axes, a row of small squares."""
    return plt.subplots(1, columns, figsize=(4.2 * columns, 3.8), layout="constrained", squeeze=False)


def points(ax, X, y):
    """Draw rows of two numbers, with a colour and a marker for each class."""
    for label in (0, 1):
        chosen = np.asarray(X)[np.ravel(y) == label]
        ax.scatter(
            *chosen.T, c=COLOURS[label], marker=MARKERS[label], edgecolors="white", s=36, label=f"class {label}", zorder=3
        )


def boundary(ax, predict, X, y, middle=0.5):
    """Draw what `predict` says all over the plane, the line where it changes its mind, and the rows."""
    X = np.asarray(X, float)
    low, high = X.min(axis=0), X.max(axis=0)
    margin = 0.25 * (high - low)
    x0, x1 = np.meshgrid(*(np.linspace(a - m, b + m, 120) for a, b, m in zip(low, high, margin, strict=True)))
    p = np.reshape(predict(np.c_[x0.ravel(), x1.ravel()]), x0.shape)
    shades = ax.contourf(x0, x1, p, levels=np.linspace(2 * middle - 1, 1, 21), cmap="PuOr_r", alpha=0.6, extend="both")
    ax.contour(x0, x1, p, levels=[middle], colors="black", linewidths=1.5)
    points(ax, X, y)
    ax.set(xlabel="x₀", ylabel="x₁")
    return shades


def save(fig, name):
    """Write a picture and say where."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    fig.savefig(FOLDER / name, dpi=110)
    plt.close(fig)
    print("picture:", FOLDER / name)
