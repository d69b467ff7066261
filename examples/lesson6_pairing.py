"""Lesson 6: a softmax head on digits, and outputs that are paired with the wrong loss."""

import warnings

import numpy as np
from pictures import axes, save

import fastmlp as fm

digits = fm.datasets.load("digits")
rows = np.random.default_rng(0).permutation(len(digits.X))
train, test = rows[:1400], rows[1400:]
one_hot = np.eye(10)[digits.y]
EPOCHS = 30

# The same network, the same steps; only the head and its loss differ.
PAIRS = {
    "softmax, cross_entropy": ("softmax", "cross_entropy", "-"),
    "softmax, mse": ("softmax", "mse", "--"),
    "sigmoid, bce": ("sigmoid", "bce", "-"),
    "sigmoid, mse": ("sigmoid", "mse", "--"),
}


class Accuracy(fm.Callback):
    """Note the share of right answers on the test rows after each epoch."""

    def __init__(self):
        self.values = []

    def on_epoch_end(self, *args):
        """Note it; `net` is the network of the loop below."""
        self.values.append((net.predict(digits.X[test]).argmax(axis=1) == digits.y[test]).mean())


curves = {}
for name, (output, loss, _) in PAIRS.items():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net = fm.MLP([64, 32, 10], activation="relu", output=output, loss=loss, seed=0)
    assert bool(caught) == (loss == "mse"), "the wrong pairs are warned of"
    note = Accuracy()
    net.fit(
        digits.X[train], one_hot[train], epochs=EPOCHS, batch_size=32, optimizer=fm.SGD(0.1), callbacks=[note], progress=False
    )
    curves[name] = note.values
    print(f"{name:23} accuracy after 1, 5, 30 epochs: {note.values[0]:.3f} {note.values[4]:.3f} {note.values[-1]:.3f}")
assert curves["softmax, cross_entropy"][-1] > 0.93
for head in ("softmax, cross_entropy", "sigmoid, bce"):
    wrong = head.split(",")[0] + ", mse"
    assert np.mean(curves[head]) > np.mean(curves[wrong]) + 0.02, "(p - y) f'(z) is small where p is wrong and sure"

(ax,) = axes()
for (name, values), colour in zip(curves.items(), ("#0072B2", "#E69F00", "#009E73", "#CC79A7"), strict=True):
    ax.plot(range(1, EPOCHS + 1), values, PAIRS[name][2], color=colour, label=name)
ax.set(xlabel="epoch", ylabel=f"accuracy on {len(test)} other rows")
ax.set_title("Digits, 64-32-10, SGD 0.1", fontsize="medium")
ax.legend(fontsize="small", frameon=False)
save(ax, "lesson6.png")
