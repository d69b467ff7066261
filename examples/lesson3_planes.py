"""Lesson 3: ReLU and BCE, what a hidden layer does to the plane, and how small a network may be."""

from itertools import pairwise

import numpy as np
from pictures import axes, place, save

import fastmlp as fm

SEEDS = range(32)
X, y = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])


def accuracy(population, X, y):
    """Share of right answers of each network of a population."""
    return ((population.predict(X)[..., 0] > 0.5) == y).mean(axis=1)


# 1. XOR with ReLU, sigmoid and BCE from He's initial weights, learning rate 0.5, 3,000 steps. A ReLU that is off on a row gets
#    no gradient from it. Where all are off on rows of both classes, these rows have one answer, and no gradient parts them: for
#    them the ReLUs are dead. And where every ReLU is on everywhere, or nowhere, nothing bends: the network is a single neuron.
options = dict(activation="relu", output="sigmoid", init="he_normal", dtype="float64")
xor = {}
for width in (2, 4, 8, 16):
    xor[width] = many = fm.Population([2, width, 1], seeds=SEEDS, **options)
    many.fit(X, y, epochs=3000, batch_size=None, optimizer=fm.SGD(0.5), shuffle=False)
    solved = accuracy(many, X, y) == 1
    hidden = np.array([net.activations(X)[0] for net in many])  # (32, 4, width)
    off = (hidden == 0).all(axis=2)  # (32, 4)
    died = ~solved & (off & (y == 0)).any(axis=1) & (off & (y == 1)).any(axis=1)
    straight = ~solved & ~died & ((hidden > 0).all(axis=1) | (hidden == 0).all(axis=1)).all(axis=1)
    print(
        f"XOR with 2-{width}-1: {solved.sum()} of 32 seeds have it after 3,000 steps. In {died.sum()} all ReLUs are dead for "
        f"rows of both classes, in {straight.sum()} none bends. Dead for all: {(hidden == 0).all(axis=1).mean():.0%} of units."
    )
    assert (solved | died | straight).all(), "there is no other reason"
counts = [int((accuracy(many, X, y) == 1).sum()) for many in xor.values()]
assert counts == sorted(counts), "more units, more that are alive where they are needed"
assert counts[1] >= 16
assert counts[-1] >= 31
assert max(net.loss(X, y) for net in xor[16]) < 0.01

# 2. Two hidden units can be looked at: the first seed that solves it, before and after.
best = int(np.flatnonzero(accuracy(xor[2], X, y) == 1)[0])
pair = {"before training": fm.MLP([2, 2, 1], seed=best, **options), "after 3,000 steps": xor[2][best]}
for ax, (title, net) in zip(axes(2), pair.items(), strict=True):
    fm.plots.hidden_space(net, X, y, ax)
    ax.title.set_text(f"Hidden plane {title}")
    hidden = net.activations(X)[0]
    for corner, at in zip(("00", "01", "10", "11"), hidden, strict=True):
        ax.annotate(corner, at, xytext=(6, -12 if corner == "10" else 6), textcoords="offset points", fontsize="small")
    side = hidden @ net.weights[1][:, 0] + net.biases[1][0] > 0  # of the line w₁h₁ + w₂h₂ + b = 0
    print(f"hidden plane {title}: {(side == y).sum()} of 4 corners on their side of the line")
assert side.tolist() == y.astype(bool).tolist(), "after training a line separates the corners in the hidden plane"
save(ax, "lesson3_hidden.png")

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
film = place("lesson3_moons.gif")
filmed = fm.MLP([2, 8, 1], activation="relu", output="sigmoid")
fm.plots.boundary_animation(filmed, moons.X, moons.y, film, epochs=100, every=4, optimizer=fm.Adam(0.02))
print("picture:", film)

# 4. Circles: a line more for each hidden unit. Two cannot close a curve around the inner circle.
circles, others = fm.datasets.circles(500, noise=0.08, seed=0), fm.datasets.circles(500, noise=0.08, seed=1)
widths, medians = (1, 2, 4, 8, 32), []
*places, last = axes(3, rows=2)
for ax, width in zip(places, widths, strict=True):
    nets = fm.Population([2, width, 1], seeds=SEEDS, activation="relu", output="sigmoid")
    nets.fit(circles.X, circles.y, epochs=300, batch_size=32, optimizer=fm.Adam(0.02))
    scores = accuracy(nets, others.X, others.y)
    medians.append(np.median(scores))
    middle = int(np.argsort(scores)[len(scores) // 2])
    fm.plots.decision_boundary(nets[middle], circles.X, circles.y, ax)
    ax.title.set_text(f"{width} hidden unit{'s' if width > 1 else ''}")
print("circles, accuracy by hidden units:", dict(zip(widths, np.round(medians, 3).tolist(), strict=True)))
assert medians[0] < medians[1] < medians[2]
assert medians[0] < 0.8
assert medians[3] > 0.95
last.plot([str(width) for width in widths], medians, "o-")
last.set(xlabel="hidden units", ylabel="accuracy on 500 other rows")
last.set_title("Median of 32 seeds", fontsize="medium")
save(last, "lesson3_circles.png")

# 5. What networks of various sizes cost.
for ax, layers in zip(axes(3), ([10, 64, 1], [256, 128, 128, 128, 10], [256, *[512] * 8, 10]), strict=True):
    net = fm.MLP(layers)
    print(f"{'-'.join(map(str, layers))}: {net.n_params:,} parameters, {net.flops():,} FLOPs a row")
    weights = sum(a * b for a, b in pairwise(layers))
    assert net.n_params == weights + sum(layers[1:])
    assert net.flops() == 2 * weights
    fm.plots.architecture(net, ax)
ax.figure.get_layout_engine().set(wspace=0.1)
save(ax, "lesson3_costs.png")
assert fm.MLP([10, 64, 1]).n_params == 769
