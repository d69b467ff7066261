"""Lesson 3: ReLU and BCE, what a hidden layer does to the plane, and how small a network may be."""

from itertools import pairwise

import numpy as np
from pictures import boundary, figure, points, save

import fastmlp as fm

SEEDS = range(32)
X, y = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])


def accuracy(population, X, y):
    """Share of right answers of each network of a population."""
    return ((population.predict(X)[..., 0] > 0.5) == y).mean(axis=1)


# 1. XOR with ReLU, sigmoid and BCE from He's initial weights, learning rate 0.5, 3,000 steps.
options = dict(activation="relu", output="sigmoid", init="he_normal", dtype="float64")
many = fm.Population([2, 4, 1], seeds=SEEDS, **options)
many.fit(X, y, epochs=3000, batch_size=None, optimizer=fm.SGD(0.5), shuffle=False)
solved = accuracy(many, X, y) == 1
print(f"XOR with 2-4-1: {solved.sum()} of 32 seeds have it after 3,000 steps; the others' ReLUs died")
assert solved.sum() >= 12

# 2. Two hidden units can be looked at: the first seed that solves it, before and after.
pairs = fm.Population([2, 2, 1], seeds=range(64), **options)
pairs.fit(X, y, epochs=3000, batch_size=None, optimizer=fm.SGD(0.5), shuffle=False)
best = int(np.flatnonzero(accuracy(pairs, X, y) == 1)[0])
after, before = pairs[best], fm.MLP([2, 2, 1], seed=best, **options)
fig, axes = figure(2)
for ax, net, title in zip(axes[0], (before, after), ("before", "after 3,000 steps"), strict=True):
    hidden = net.activations(X)[0]
    points(ax, hidden, y)
    (w,), b = net.weights[1].T, net.biases[1][0]
    side = hidden @ w + b > 0
    print(f"hidden plane {title}: {(side == y).sum()} of 4 corners on their side")
    low, high = hidden.min() - 0.15 * np.ptp(hidden), hidden.max() + 0.15 * np.ptp(hidden)
    h = np.array([low, high])
    ax.plot(h, -(w[0] * h + b) / w[1], color="black", label="where the output is 1/2")  # w₀h₁ + w₁h₂ + b = 0
    for corner, (h1, h2) in zip(("00", "01", "10", "11"), hidden, strict=True):
        ax.annotate(corner, (h1, h2), xytext=(6, 6 if corner != "10" else -12), textcoords="offset points", fontsize=8)
    ax.set(xlabel="h₁", ylabel="h₂", title=f"The hidden plane {title}", xlim=(low, high), ylim=(low, high))
    ax.legend(fontsize=8)
assert side.tolist() == y.astype(bool).tolist(), "after training a line separates the corners in the hidden plane"
save(fig, "lesson3_hidden.png")

# 3. Moons, 500 rows, noise 0.15: the smallest of three that passes 97% on data it has not seen.
moons, unseen = fm.datasets.moons(500, noise=0.15, seed=0), fm.datasets.moons(500, noise=0.15, seed=1)
passed = {}
for layers in ([2, 4, 1], [2, 8, 1], [2, 4, 4, 1]):
    nets = fm.Population(layers, seeds=SEEDS, activation="relu", output="sigmoid")
    nets.fit(moons.X, moons.y, epochs=300, batch_size=32, optimizer=fm.Adam(0.02))
    scores = accuracy(nets, unseen.X, unseen.y)
    passed[nets[0].n_params] = (scores > 0.97).sum()
    count = passed[nets[0].n_params]
    print(f"moons {layers}, {nets[0].n_params} parameters: median {np.median(scores):.3f}, {count} of 32 pass 97%")
smallest = min(n for n, count in passed.items() if count >= 16)
print(f"the fewest parameters with which at least half of the seeds pass: {smallest}")
assert list(passed) == [17, 33, 37]
assert smallest == 17, "four hidden units are enough for most seeds, if closely: eight are for nearly all"
assert passed[33] > passed[17]

# 4. Circles: a line more for each hidden unit. Two cannot close a curve around the inner circle.
circles, others = fm.datasets.circles(500, noise=0.08, seed=0), fm.datasets.circles(500, noise=0.08, seed=1)
widths, medians = (1, 2, 4, 8, 32), []
fig, axes = figure(len(widths))
for ax, width in zip(axes[0], widths, strict=True):
    nets = fm.Population([2, width, 1], seeds=SEEDS, activation="relu", output="sigmoid")
    nets.fit(circles.X, circles.y, epochs=300, batch_size=32, optimizer=fm.Adam(0.02))
    scores = accuracy(nets, others.X, others.y)
    medians.append(np.median(scores))
    middle = int(np.argsort(scores)[len(scores) // 2])
    boundary(ax, nets[middle].predict, circles.X, circles.y)
    ax.set_title(f"{width} hidden: median {medians[-1]:.0%}")
print("circles, accuracy by hidden units:", dict(zip(widths, np.round(medians, 3).tolist(), strict=True)))
assert medians[0] < medians[1] < medians[2] < 1
assert medians[0] < 0.8
assert medians[3] > 0.95
save(fig, "lesson3_circles.png")

# 5. What networks of various sizes cost.
for layers in ([10, 64, 1], [256, 128, 128, 128, 10], [256, *[512] * 8, 10]):
    net = fm.MLP(layers)
    print(f"{'-'.join(map(str, layers))}: {net.n_params:,} parameters, {net.flops():,} FLOPs a row")
    weights = sum(a * b for a, b in pairwise(layers))
    assert net.n_params == weights + sum(layers[1:])
    assert net.flops() == 2 * weights
assert fm.MLP([10, 64, 1]).n_params == 769
