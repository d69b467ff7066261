"""Lesson 5: a neuron by hand, a network that works, four changes that may break it, and overfitting."""

import math

import numpy as np
from pictures import axes, save

import fastmlp as fm
from fastmlp import scalar

X, y = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])

# 1. One neuron: z = 0.8·0.2 - 0.3·0.4 + 0.5·0.6 + 0.1 = 0.44.
for activation, expected in (("identity", 0.44), ("sigmoid", 0.608), ("relu", 0.44)):
    net = fm.MLP([3, 1], output=activation, dtype="float64")
    net.weights[0][:, 0], net.biases[0][:] = (0.2, -0.4, 0.6), 0.1
    (answer,) = net.predict([[0.8, 0.3, 0.5]])[0]
    assert round(answer, 3) == expected
    assert math.isclose(answer, scalar.from_network(net)([0.8, 0.3, 0.5]).data, rel_tol=1e-14)
    print(f"{activation}: {answer:.3f}")

# 2. 2-4-1 with tanh, sigmoid and BCE, Adam with 0.1, 2,000 steps; and what changes break it, 32 seeds each.
PROBES = {
    "2-4-1 tanh": ([2, 4, 1], "tanh"),
    "no hidden activation": ([2, 4, 1], "identity"),
    "2 hidden units": ([2, 2, 1], "tanh"),
    "ReLU for tanh": ([2, 4, 1], "relu"),
    "one more layer": ([2, 4, 4, 1], "tanh"),
}
nets = fm.Population.of(
    {"layers": layers, "activation": activation, "output": "sigmoid", "dtype": "float64", "seed": seed}
    for layers, activation in PROBES.values()
    for seed in range(32)
)
print(nets)
nets.fit(X, y, epochs=2000, batch_size=None, optimizer=fm.Adam(0.1), shuffle=False)
right = ((nets.predict(X)[..., 0] > 0.5) == y).all(axis=1).reshape(-1, 32).sum(axis=1)  # seeds of each
solved = dict(zip(PROBES, right.tolist(), strict=True))
losses = dict(zip(PROBES, nets.loss(X, y).reshape(-1, 32), strict=True))
for name in PROBES:
    print(f"{name:22} {solved[name]:2} of 32 seeds have XOR, median loss {np.median(losses[name]):.1e}")
assert solved["no hidden activation"] == 0, "without a bend it is one straight line, however many units it has"
assert abs(np.median(losses["no hidden activation"]) - math.log(2)) < 1e-2
assert solved["2-4-1 tanh"] >= 28
assert 1e-5 < np.median(losses["2-4-1 tanh"]) < 1e-3
assert solved["2 hidden units"] < solved["2-4-1 tanh"]
assert solved["ReLU for tanh"] < solved["2-4-1 tanh"], "ReLUs die, and with four none is to spare"
assert solved["one more layer"] >= 28

# 3. Forty noisy rows and a large network: it learns the noise. Weight decay keeps it from that.
few, many = fm.datasets.moons(40, noise=0.35, seed=0), fm.datasets.moons(2000, noise=0.35, seed=1)
gaps = {}
pictures = axes(2)
for ax, decay in zip(pictures, (0.0, 10.0), strict=True):
    net = fm.MLP([2, 64, 64, 1], activation="relu", output="sigmoid", seed=0)
    h = net.fit(
        few.X, few.y, epochs=400, batch_size=None, optimizer=fm.AdamW(0.01, weight_decay=decay), validation=(many.X, many.y)
    )
    gaps[decay] = h.val_loss[-1] - net.loss(few.X, few.y)
    fm.plots.loss_curves(h, ax)
    ax.set(yscale="linear", ylim=(0, 3))
    ax.title.set_text(f"40 rows, weight decay {decay:g}: gap {gaps[decay]:.2f}")
print(f"gap between training and validation loss: {gaps[0.0]:.2f}, with weight decay {gaps[10.0]:.2f}")
assert gaps[0.0] > 0.3
assert gaps[10.0] < 0.5 * gaps[0.0]
save(ax, "lesson5_gap.png")

(ax,) = axes()
bars = ax.barh(list(solved), list(solved.values()))
ax.bar_label(bars, padding=2, fontsize="small")
ax.set(xlabel="seeds of 32 that have XOR", xlim=(0, 36))
ax.set_title("Four changes to 2-4-1", fontsize="medium")
ax.invert_yaxis()
save(ax, "lesson5_probes.png")
