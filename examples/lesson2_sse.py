"""Lesson 2: MLP(2, [3, 3, 1]) with the sum of squared errors, and the same in PyTorch where it is installed."""

import numpy as np
from pictures import axes, save

import fastmlp as fm
from fastmlp import scalar

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float)
y = np.array([0, 1, 1, 0], float)
# From 0.05 on the loss jumps on its way down, and jumps magnify rounding: two libraries then part ways.
EPOCHS, LR = 1000, 0.02

# 1. Twenty-five parameters; the kernels do the thousand epochs.
mlp = scalar.MLP(2, [3, 3, 1], seed=0)
assert len(mlp.parameters()) == 25
net = scalar.to_network(mlp, loss="sse")
start = net.copy()
history = net.fit(X, y, epochs=EPOCHS, batch_size=None, optimizer=fm.SGD(LR), shuffle=False)
outputs = net.predict(X).ravel()
print(f"loss {history.loss[0]:.3f} -> {history.loss[-1]:.5f}; outputs {outputs.round(3)}")
assert np.abs(outputs.round()).tolist() == [0, 1, 1, 0]

# 2. That is not luck of one seed, though some seeds do get stuck.
right = 0
for seed in range(32):
    other = scalar.to_network(scalar.MLP(2, [3, 3, 1], seed=seed), loss="sse")
    other.fit(X, y, epochs=EPOCHS, batch_size=None, optimizer=fm.SGD(LR), shuffle=False)
    right += np.abs(other.predict(X).ravel().round()).tolist() == [0, 1, 1, 0]
print(f"{right} of 32 seeds round to [0, 1, 1, 0]")
assert right >= 24

# 3. Back in the world of Values: the trained network still is a graph that can be looked at.
back = scalar.from_network(net)
assert np.allclose([back(x).data for x in X], outputs, atol=1e-12)

# 4. PyTorch comes to the same numbers.
try:
    import torch
except ImportError:
    print("PyTorch is not installed: that part is left out.")
else:
    model = torch.nn.Sequential(
        *(m for k, n in ((2, 3), (3, 3), (3, 1)) for m in (torch.nn.Linear(k, n), torch.nn.Tanh()))
    ).double()
    with torch.no_grad():
        for layer, w, b in zip(model[::2], start.weights, start.biases, strict=True):
            layer.weight[:] = torch.tensor(w.T)
            layer.bias[:] = torch.tensor(b)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    tx, ty = torch.tensor(X), torch.tensor(y)[:, None]
    curve = []
    for _ in range(EPOCHS):
        loss = ((model(tx) - ty) ** 2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    print(f"PyTorch: loss {curve[0]:.3f} -> {curve[-1]:.5f}")
    np.testing.assert_allclose(curve, history.loss, rtol=1e-6)

left, right = axes(2)
fm.plots.loss_curves(history, left)
left.set_ylabel("sum of squared errors")
left.title.set_text(f"2-3-3-1 tanh, learning rate {LR}")
fm.plots.decision_boundary(net, X, y, right)
save(left, "lesson2.png")
