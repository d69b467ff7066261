"""Small networks and data for tests of the engines: what the API hands to an engine, made by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from fastmlp.reference import ids

INTS = """
    BATCH SHUFFLE SHUFFLE_SEED SEED EPOCH ROW STEP LOSS OPTIMIZER NESTEROV AMSGRAD EPS_HAT TRAINING L2_OVER_BATCH EACH_STEP
    DROP_LAST FACTORS
""".split()
REALS = """
    L1 L2 DECAY CLIP_VALUE CLIP_NORM BETA1 BETA2 EPS BETA1_POWER BETA2_POWER LOSS_PARAM SMOOTHING LOSS_SUM WEIGHT_SUM
    LOSS_FACTOR SCALE_RATE SCALE_DECAY
""".split()
ACTIVATIONS = """
    IDENTITY RELU LEAKY_RELU ELU SELU GELU GELU_TANH SILU MISH SOFTPLUS TANH SIGMOID HARD_SIGMOID HARD_SWISH SOFTMAX EXP
""".split()
LOSSES = "CROSS_ENTROPY BCE MSE SSE HALF_MSE MAE HUBER POISSON QUANTILE PRODUCT".split()
HIDDEN = [name for name in ACTIVATIONS if name not in ("SOFTMAX", "EXP")]
# The only output that a loss of logits goes with; other losses take any.
PARTNER = {"CROSS_ENTROPY": "SOFTMAX", "BCE": "SIGMOID", "POISSON": "EXP"}


def number(name: str) -> int:
    """Id of an activation, a loss or an optimizer."""
    return getattr(ids, name)


@dataclass
class Net:
    """A network and a run's settings."""

    table: np.ndarray
    params: np.ndarray
    ints: np.ndarray
    reals: np.ndarray

    @property
    def n_inputs(self) -> int:
        return int(self.table[0, ids.FAN_IN])

    @property
    def n_outputs(self) -> int:
        return int(self.table[-1, ids.WIDTH])

    @property
    def loss(self) -> str:
        return LOSSES[self.ints[ids.LOSS]]

    def astype(self, dtype) -> Net:
        """A copy with parameters of another dtype."""
        return Net(self.table, self.params.astype(dtype), self.ints.copy(), self.reals.copy())

    def copy(self) -> Net:
        return self.astype(self.params.dtype)


@dataclass
class Data:
    """Inputs, targets and sample weights."""

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray

    def astype(self, dtype) -> Data:
        return replace(self, x=self.x.astype(dtype), y=self.y.astype(dtype), weight=self.weight.astype(dtype))

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.x, self.y, self.weight


def settings(ints: np.ndarray, reals: np.ndarray, **values) -> None:
    """Set fields of a run by their names in lower case; `loss` and `optimizer` by name."""
    for name, value in values.items():
        field = name.upper()
        if field in INTS:
            ints[getattr(ids, field)] = number(value) if isinstance(value, str) else value
        else:
            assert field in REALS, name
            reals[getattr(ids, field)] = value


def make_net(
    widths,
    hidden="TANH",
    output="IDENTITY",
    loss="MSE",
    bias=True,
    dropout=0.0,
    dtype=np.float64,
    seed=0,
    alphas=False,
    embedding=None,
    **values,
) -> Net:
    """A network of the given widths, inputs first, with random parameters whose size keeps signals near 1.

    `values` are fields of ints and reals in lower case; `seed` is the run's and the parameters'; with `alphas` all hidden
    layers are parametric, or those that a list says. `embedding` is its numbers, plain ones, codes, entries, size, waves and
    parts; widths are then those of the layers behind it.
    """
    layers, rows, start = len(widths) - 1, [], 0
    if embedding is not None:
        numbers, plain, codes, entries, size, waves, parts = embedding
        widths = [numbers * (parts + 1) + plain + codes * size, *widths[1:]]
        rows.append([numbers + plain + codes, widths[0], ids.EMBEDDING, 0, 0, 0, numbers, codes, entries, size, waves, parts])
        start = entries * size + numbers * (waves * (2 + parts) + parts)
    for layer, (k, n) in enumerate(pairwise(widths)):
        has_bias = bias if isinstance(bias, bool) else bias[layer]
        has_alphas = layer < layers - 1 and (alphas if isinstance(alphas, bool) else alphas[layer])
        rows.append([k, n, number(output if layer == layers - 1 else hidden), has_bias, start, has_alphas, *[0] * 6])
        start += (k + has_bias + has_alphas) * n
    special = embedding is not None or any(row[ids.HAS_ALPHA] for row in rows)
    table, layers = np.array(rows, np.int32 if special else np.int64), len(rows)
    params = np.random.default_rng(seed).normal(size=start)
    for k, n, _, _, at, *_ in rows[len(rows) - len(widths) + 1 :]:
        params[at : at + k * n] /= np.sqrt(k)
    ints, reals = np.zeros(ids.N_INTS, np.int64), np.ones(ids.N_REALS + ids.LAYER_BLOCKS * layers)
    reals[: ids.N_REALS] = 0.0
    reals[ids.N_REALS :][:layers] = dropout
    param = 0.7 if loss in ("HUBER", "QUANTILE") else 0.0
    settings(ints, reals, loss=loss, loss_param=param, beta1_power=1.0, beta2_power=1.0, eps=1e-8, batch=4, seed=seed)
    settings(ints, reals, **values)
    return Net(table, params.astype(dtype), ints, reals)


def make_targets(loss: str, n: int, k: int, rng: np.random.Generator, classes: bool = False) -> np.ndarray:
    """Targets (n, k) of a loss's kind; `classes` gives (n, 1) with indices."""
    if classes:
        return rng.integers(k, size=(n, 1)).astype(np.float64)
    if loss == "CROSS_ENTROPY":
        return rng.dirichlet(np.ones(k), size=n)
    if loss == "BCE":
        return rng.random((n, k)).round(1)
    if loss == "POISSON":
        return rng.poisson(2.0, (n, k)).astype(np.float64)
    return rng.normal(size=(n, k))


def make_data(net: Net, n: int, classes: bool = False, weighted: bool = False, seed: int = 1) -> Data:
    """Data of n rows that fits a network, in its dtype."""
    rng = np.random.default_rng(seed)
    x, codes = rng.normal(size=(n, net.n_inputs)), int(net.table[0, ids.CODES])
    if codes:
        x[:, -codes:] = rng.integers(net.table[0, ids.ENTRIES], size=(n, codes))
    y = make_targets(net.loss, n, net.n_outputs, rng, classes)
    weight = rng.random(n) + 0.5 if weighted else np.zeros(0)
    return Data(x, y, weight).astype(net.params.dtype)
