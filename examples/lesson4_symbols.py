"""Lesson 4: one row at a time, derivatives from SymPy, and a network that is saved and comes back."""

import tempfile
from pathlib import Path

import numpy as np
import sympy
from pictures import axes, save

import fastmlp as fm

X, y = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0.0, 1, 1, 0])

# 1. What the delta rule needs of an activation is its derivative, and SymPy finds it: a formula is enough for an activation.
z = sympy.Symbol("z")
formulas = {"tanh": sympy.tanh(z), "sigmoid": 1 / (1 + sympy.exp(-z))}
own = {name: fm.activation(f, name=f"my_{name}") for name, f in formulas.items()}
for name, f in formulas.items():
    slope = sympy.lambdify(z, sympy.diff(f, z))
    one = fm.MLP([1, (1, False, own[name])], dtype="float64")
    one.params = [1.0]
    at = np.linspace(-4, 4, 41)[:, None]
    print(f"{name}: f' = {sympy.simplify(sympy.diff(f, z))}")
    np.testing.assert_allclose(one.jacobian(at).ravel(), slope(at).ravel(), atol=1e-13)

# 2. Layers as (width, bias, activation), with these activations; squared error on a sigmoid, as lessons have it.
LAYERS = [2, (2, True, own["tanh"]), (2, True, own["tanh"]), (1, False, own["sigmoid"])]
nets = fm.Population(LAYERS, seeds=range(32), loss="half_mse", dtype="float64")
assert nets[0].n_params == 14

# 3. One row a step, learning rate 0.1, 20,000 epochs, deltas clipped to [-1, 1]. A hidden unit's bias has its delta as
#    gradient, a weight none larger, since every input of a layer is in [-1, 1]; the output's delta is below 1/4 in size.
#    So clipping gradients does nothing as long as no delta is beyond 1, and then clipping deltas does nothing either.
clipped, free = (nets.select(range(32)) for _ in range(2))
for population, clip in ((clipped, 1.0), (free, None)):
    population.fit(X, y, epochs=20_000, batch_size=1, optimizer=fm.SGD(0.1, clip_value=clip), shuffle=False)
outputs = clipped.predict(X)[..., 0]
right = (outputs.round() == y).all(axis=1)
print(f"{right.sum()} of 32 seeds have XOR; outputs of the best {outputs[np.abs(outputs - y).max(axis=1).argmin()].round(3)}")
print("clipping changed", int((clipped.params != free.params).any(axis=1).sum()), "of 32 networks")
assert right.sum() >= 16
assert np.array_equal(clipped.params, free.params), "no delta ever was beyond 1"

# 4. Saved and loaded, it answers the same to the last bit.
net = clipped[int(np.abs(outputs - y).max(axis=1).argmin())]
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "xor.safetensors"
    net.save(path)
    again = fm.load(path)
np.testing.assert_array_equal(again.predict(X), net.predict(X))
assert again.spec()["layers"] == net.spec()["layers"]

left, right = axes(2)
fm.plots.decision_boundary(again, X, y, left)
fm.plots.weights(again, right)
save(left, "lesson4.png")
