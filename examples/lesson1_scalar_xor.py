"""Lesson 1: one neuron cannot learn XOR, nine can; number by number, and then in compiled kernels."""

import time

import numpy as np
from pictures import axes, save

import fastmlp as fm
from fastmlp import scalar

X = [[0, 0], [0, 1], [1, 0], [1, 1]]
y = [-1, 1, 1, -1]


def loss_of(model):
    """Mean squared error, as a graph of Values."""
    return sum((model(x) - target) ** 2 for x, target in zip(X, y, strict=True)) / 4


def train(model, steps=300, lr=0.1, zero_grad=True):
    """Gradient descent on all four rows; returns each step's loss."""
    losses = []
    for _ in range(steps):
        loss = loss_of(model)
        if zero_grad:
            model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= lr * p.grad
        losses.append(loss.data)
    return losses


# 1. One neuron draws one straight line, and no line separates XOR. The best it can do is to say 0 everywhere: loss 1.
neuron = scalar.Neuron(2, seed=0)
alone = train(neuron, steps=1000)
print(f"one neuron: loss {alone[0]:.3f} -> {alone[-1]:.4f}, outputs {[round(neuron(x).data, 3) for x in X]}")
assert abs(alone[-1] - 1) < 0.01
assert max(abs(neuron(x).data) for x in X) < 0.1

# 2. Eight neurons in front of it, and it works.
mlp = scalar.MLP(2, [8, 1], seed=4)
assert len(mlp.parameters()) == 33
net = scalar.to_network(mlp)  # a copy for later: the same numbers in the compiled engine
began = time.perf_counter()
losses = train(mlp)
walking = time.perf_counter() - began
print(f"nine neurons: loss {losses[0]:.3f} -> {losses[-1]:.4f}, outputs {[round(mlp(x).data, 2) for x in X]}")
assert losses[0] > 1
assert losses[-1] < 0.02
assert all((mlp(x).data > 0) == (target > 0) for x, target in zip(X, y, strict=True))

# 3. The same training in one call of the compiled engine: the same curve, number by number.
options = dict(epochs=300, batch_size=None, optimizer=fm.SGD(0.1), shuffle=False)
net.copy().fit(X, y, **options)  # the first call compiles
began = time.perf_counter()
history = net.fit(X, y, **options)
compiled = time.perf_counter() - began
np.testing.assert_allclose(history.loss, losses, rtol=1e-9)
print(f"300 steps: {1e3 * walking:.0f} ms on Values, {1e3 * compiled:.2f} ms compiled, {walking / compiled:.0f} times as fast")

# 4. Where between 0 and 1 a seed ends: of 32, how many are below 0.1 after 300 steps, and the middle one.
curves = np.array([scalar.to_network(scalar.MLP(2, [8, 1], seed=seed)).fit(X, y, **options).loss for seed in range(32)])
firsts, lasts = np.median(curves[:, 0]), np.median(curves[:, -1])
print(f"32 seeds: median {firsts:.2f} -> {lasts:.4f}; {(curves[:, -1] < 0.1).sum()} end below 0.1")
assert 1 < firsts < 2.5
assert lasts < 0.05

# 5. Gradients add up. Who forgets to zero them steps along the sum of all gradients so far, like a ball that rolls without
#    friction. Most seeds find the goal all the same here, up and down on the way; some swing to where every tanh is flat, like
#    seed 0, and stay there.
forgetful, stranded = (train(scalar.MLP(2, [8, 1], seed=seed), zero_grad=False) for seed in (4, 0))
assert stranded[-1] > 0.9 > 0.1 > curves[0, -1]
swings = []
for seed in range(32):  # the same in the compiled engine, by hand
    net_of_seed = scalar.to_network(scalar.MLP(2, [8, 1], seed=seed))
    swings.append([])
    for _ in range(300):
        swings[-1].append(net_of_seed.backward(X, y))  # and no net_of_seed.zero_grad()
        net_of_seed.step(fm.SGD(0.1))
swings = np.array(swings)
np.testing.assert_allclose(swings[0][:50], stranded[:50], rtol=1e-6)
rises, rises_zeroed = (np.median((np.diff(each, axis=1) > 0).sum(axis=1)) for each in (swings, curves))
print(f"without zero_grad: the loss rises at {rises:.0f} of 299 steps in the median, with it at {rises_zeroed:.0f};")
print(f"{(swings[:, -1] > 0.9).sum()} of 32 seeds end at a loss of 1, with it {(curves[:, -1] > 0.9).sum()}")
assert rises > 10
assert rises_zeroed == 0

# 6. A graph of one neuron: `dot -Tsvg` turns the text into a picture.
out = scalar.Neuron(2, seed=0)([1.0, -1.0])
out.backward()
assert scalar.draw(out).count("shape=circle") == 5  # two products, two sums, tanh

left, right = axes(2)
shown = {
    "one neuron": alone[:300], "no zero_grad": forgetful, "the same, seed 0": stranded,
    "2-8-1, Values": losses, "2-8-1, compiled": history,
}  # fmt: skip
fm.plots.loss_curves(list(shown.values()), left, labels=list(shown))
left.lines[3].set(linewidth=5, alpha=0.4)  # under the other, which is the same
left.set(yscale="linear", xlabel="step", ylabel="mean squared error")
left.title.set_text("XOR, learning rate 0.1")
fm.plots.decision_boundary(net, X, y, right)
save(left, "lesson1.png")
