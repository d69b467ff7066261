"""What is wrong with a network and its data: findings, each with its figure and its remedy."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import checks, losses, optimizers
from .findings import Finding, Report
from .lr_range import RangeTest, lr_range_test
from .reference import ids
from .schedules import Schedule

if TYPE_CHECKING:
    from .network import MLP
    from .optimizers import Optimizer

__all__ = ["Finding", "Report", "diagnose"]

# Fewer rows tell nothing of a unit: half of all ReLUs are off for any one row.
LEAST_ROWS = 4
# More rows tell nothing new of units and gradients; those beyond are left out, by chance.
MOST_ROWS = 10_000
# Part of a layer's units: single ones that are lost do not matter, and are common. Initial weights alone leave more of them
# dead, up to a quarter where there are two inputs and about a third where there are four rows, and such networks learn well.
DEAD_PART, DEAD_AT_START = 0.1, 0.5
SATURATED_PART = 0.25
# A unit counts as saturated if its slope is below this part of its greatest on nearly all rows. What tells two classes
# apart is flat on most rows and has its slope between them; what is flat on these too learns no more.
FLAT_SLOPE = 0.05
FLAT_ROWS = 0.95
# Size of a layer's gradient as a part of the last one's. With weights of a good size the ratio stays near 1 at any
# depth, and ten sigmoid layers give 1e-6: three powers of ten are beyond what widths and chance do.
GRADIENT_RATIO = 1e-3
# Initial weights keep the signal's size if inputs are about 1; columns from 0 to 1 and standardised ones are well within.
LARGE_INPUT, SMALL_INPUT = 10.0, 0.1
# A column far from zero, by its own spread: its weights act like a bias until they have cancelled the mean.
OFF_CENTRE = 10.0
# How many times larger or smaller than the outputs targets may be, before most steps only carry outputs to their size.
TARGET_RATIO = 30.0
# Probabilities that range over less than this part of chance, 1/2 or 1/K, over all rows, tell no row from another.
STUCK_PART = 0.1
# Initial weights alone do that too, most of all to sigmoids: stuck are only those that so many steps do not part. Through
# twelve layers of sixteen sigmoids they do.
TRIAL_STEPS, TRIAL_BATCH = 300, 64
# What takes the steps if the network was not trained: the rate of its training is judged elsewhere.
_TRIAL = optimizers.Adam(0.01)
# A rate this many times lower than the range test's suggestion needs as many times the steps.
SLOW = 100.0
# Steps of the range test, and of a longer one where gradients vanish or the loss does not fall: through five sigmoid layers
# and more it stays flat for hundreds of steps, and then it falls.
SHORT_TEST, LONG_TEST = 100, 1000

# Least and greatest value of outputs that are bounded.
_RANGES: dict[str, tuple[float, float]] = {
    "sigmoid": (0.0, 1.0), "hard_sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0), "tanh": (-1.0, 1.0),
    "relu": (0.0, math.inf), "softplus": (0.0, math.inf), "exp": (0.0, math.inf), "elu": (-1.0, math.inf),
    "selu": (-1.7580993408473768, math.inf),
}  # fmt: skip


def diagnose(
    net: MLP,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    optimizer: str | Optimizer | None = None,
    batch_size: int | None = 64,
) -> Report:
    """Look for what commonly keeps a network from learning, without changing it.

    It finds dead ReLUs, saturated units, gradients that vanish or explode on their way down, a loss that does not pair
    with the output, inputs and targets of a wrong shape, range or size, inputs that are the same for every row, targets of
    one class only, or otherwise the same for every row, probabilities that are the same for every row and stay so in a short
    trial on a copy, a learning rate that is too high or too low, and a loss that the optimizer lowers at no learning rate,
    while Adam does.

    Of a schedule, its `lr` is judged. A network that was trained is judged from its initial weights on. For arguments, result
    and errors see :meth:`fastmlp.MLP.diagnose`.

    Examples
    --------
    >>> import fastmlp as fm
    >>> data = fm.datasets.load("moons")
    >>> net = fm.MLP([2, 16, 1], output="sigmoid")
    >>> net.diagnose(data.X, data.y, optimizer="adam")
    Nothing found.
    >>> for finding in net.diagnose(1000 * data.X, data.y):
    ...     print(finding.kind, "-", finding.remedy)
    inputs - Standardise them: fm.datasets.standardize, or scikit-learn's StandardScaler.
    """
    chosen = net._state.optimizer if optimizer is None else optimizers.resolve(optimizer)
    batch_size = None if batch_size is None else checks.integer("batch_size", batch_size, 1)
    found = [*_parameters(net), *_data(net, X, y, sample_weight)]
    sick = {finding.kind for finding in found}
    if sick & {"parameters", "inputs"}:
        return Report((*found, *_pairing(net, None)))
    usable = not sick & {"targets", "sample_weight"}
    case = _Case(net, *_sound(net, X, y if usable else None, sample_weight if usable else None))
    if case.enough and not np.ptp(case.x, axis=0).any():
        # Nothing else tells anything of the training that is meant.
        text = f"all {len(case.x):,} rows looked at have the same inputs: there is nothing to tell them apart by."
        same = Finding("inputs", None, 0.0, text, "Look at how X is made, and pass columns in which rows differ.")
        return Report((*found, *_pairing(net, None), same))
    searches: list[Callable[[_Case], Iterator[Finding]]] = [_inputs, _units]
    if usable:
        searches = [_inputs, _targets, _units]
        # Where all targets are alike, neither gradients nor rates tell anything of the training that is meant.
        usable = not case.alike
        searches += [_gradients, _stuck] if usable else []
    found += [*_pairing(net, case.layers[-1]), *(finding for search in searches for finding in search(case))]
    if usable and isinstance(chosen, optimizers.Stepping):
        vanishing = any(finding.kind == "vanishing gradient" for finding in found)
        found += _rate(net, (X, y, sample_weight), chosen, batch_size, vanishing)
    return Report(tuple(found))


class _Case:
    """A network and its activations on sound rows; targets are None if they are not sound."""

    def __init__(self, net: MLP, x: NDArray, y: NDArray | None, weight: NDArray | None, alike: int) -> None:
        self.net, self.x, self.y, self.weight = net, x, y, weight
        self.alike = alike
        self.layers = net.activations(x)
        # Activations of the user's own have no name here.
        self.names = [dense.activation if isinstance(dense.activation, str) else "" for dense in net.layers]
        self.enough = len(x) >= LEAST_ROWS


def _sound(net: MLP, X: Any, y: Any, weight: Any) -> tuple[NDArray, NDArray | None, NDArray | None, int]:
    """Return checked data without rows that do not count, and at most `MOST_ROWS` of the others.

    The last is how many rows there are if the targets of all of them are alike, else 0, as for a few rows.
    """
    if y is None:
        x, t, w = net._inputs(X), None, np.empty(0)
    else:
        x, t, w = net._data(X, y, weight)
    rows = np.flatnonzero(w) if w.size else np.arange(len(x))
    # Of all rows: chance may leave a rare class out.
    alike = len(rows) if t is not None and len(rows) >= LEAST_ROWS and not np.ptp(t[rows], axis=0).any() else 0
    if len(rows) > MOST_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(rows, MOST_ROWS, replace=False))
    return x[rows], None if t is None else t[rows], w[rows] if w.size else None, alike


# ---- what can be said before anything is calculated


def _parameters(net: MLP) -> Iterator[Finding]:
    bad = 1.0 - float(np.isfinite(net.params).mean())
    if bad:
        yield Finding(
            "parameters", None, bad, f"{bad:.0%} of the parameters are infinite or NaN.",
            "Begin anew: net.reset(), with a lower learning rate or clip_norm=1.0.",
        )  # fmt: skip


def _data(net: MLP, X: Any, y: Any, weight: Any) -> Iterator[Finding]:
    """Find what the network's own checks refuse."""
    tries: list[tuple[str, Callable[[], Any]]] = [
        ("inputs", lambda: net._inputs(X)),
        ("targets", lambda: net._data(X, y, None)),
        ("sample_weight", lambda: net._data(X, y, weight)),
    ]
    for kind, attempt in tries:
        try:
            attempt()
        except (TypeError, ValueError) as error:
            # The checks' messages end with the remedy, if it does not follow from what they say.
            text, *remedy = re.split(r"(?<=\.) (?=[A-Z])", str(error), maxsplit=1)
            yield Finding(kind, None, None, text, remedy[0] if remedy else "Bring it to that form.")
            return


def _pairing(net: MLP, outputs: NDArray | None) -> Iterator[Finding]:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        losses.check_pairing(net.loss_spec, net.output)
    for warning in told:
        text, remedy = re.split(r"(?<=\.) (?=[A-Z])", str(warning.message), maxsplit=1)
        flat = None if outputs is None else float(_flat(net.output, outputs).mean())
        now = "" if flat is None else f" It is saturated on {flat:.0%} of these rows."
        yield Finding("pairing", len(net.layers) - 1, flat, text[0].upper() + text[1:] + now, remedy)


# ---- data that the network takes, but does not learn from


def _inputs(case: _Case) -> Iterator[Finding]:
    mean = np.abs(case.x.mean(axis=0, dtype=np.float64))
    spread = case.x.std(axis=0, dtype=np.float64)
    size = np.hypot(mean, spread)
    remedy = "Standardise them: fm.datasets.standardize, or scikit-learn's StandardScaler."
    varies = spread > 1e-6 * size  # a constant's is rounding
    worst = int(np.argmax(size))
    off = varies & (mean > np.maximum(1.0, OFF_CENTRE * spread))
    if size[worst] > LARGE_INPUT:
        many = np.count_nonzero(size > LARGE_INPUT)
        text = f"{many} of {size.size} columns have sizes above {LARGE_INPUT:g}; column {worst}'s is {size[worst]:.3g}."
        yield Finding("inputs", None, float(size[worst]), text, remedy)
    elif off.any():
        far = int(np.argmax(np.where(off, mean / np.where(varies, spread, 1.0), 0.0)))
        ratio = float(mean[far] / spread[far])
        text = f"column {far}'s mean is {ratio:.3g} times its spread; {np.count_nonzero(off)} columns are so far from zero."
        yield Finding("inputs", None, ratio, text, remedy)
    elif size[worst] < SMALL_INPUT:
        text = f"no column's size is above {SMALL_INPUT:g}; the largest is {size[worst]:.3g}."
        yield Finding("inputs", None, float(size[worst]), text, remedy)


def _targets(case: _Case) -> Iterator[Finding]:
    assert case.y is not None
    if case.alike:
        what = _shared_target(case.net.loss_spec.kind, case.y[0])
        text = f"all {case.alike:,} rows have {what}: there is nothing to tell apart."
        remedy = "Look at how y is made, and take rows with different targets; of sorted ones the first may all be alike."
        yield Finding("targets", None, 0.0, text, remedy)
        return
    if case.net.loss_spec.kind != "regression":
        return
    low, high = _RANGES.get(case.names[-1], (-math.inf, math.inf))
    beyond = float(((case.y < low) | (case.y > high)).mean())
    if beyond:
        text = f"{beyond:.0%} of the targets lie outside {low:.3g} to {high:.3g}, where {case.names[-1]} outputs are."
        yield Finding("targets", None, beyond, text, "Scale them into that range, or use output='identity'.")
        return
    wanted, given = _rms(case.y), _rms(case.layers[-1])
    ratio = wanted / max(given, 1.0) if wanted > 1.0 else wanted / given if given else 1.0
    if ratio > TARGET_RATIO or 0.0 < ratio < 1.0 / TARGET_RATIO:
        text = f"their size is {wanted:.3g}, while that of the outputs is {given:.3g}."
        yield Finding("targets", None, wanted, text, "Standardise them, and scale predictions back.")


def _shared_target(kind: str, target: NDArray) -> str:
    """Return words for the target of every row, (1,) or (outputs,)."""
    if kind == "classes" and (target.size == 1 or np.count_nonzero(target) == 1):
        return f"class {int(target[0]) if target.size == 1 else int(target.argmax())}"
    if kind == "binary" and target.size == 1 and target[0] in (0.0, 1.0):
        return f"class {int(target[0])}"
    numbers = ", ".join(f"{value:.4g}" for value in target[:4].tolist()) + (", ..." if target.size > 4 else "")
    return f"the target {numbers}" if target.size == 1 else f"the targets [{numbers}]"


# ---- units


def _flat(name: str, values: NDArray) -> NDArray[np.bool_]:
    """Return where an activation with these values has next to no slope."""
    if name == "tanh":
        return 1.0 - values * values < FLAT_SLOPE
    if name == "exp":
        return values < FLAT_SLOPE
    return 4.0 * values * (1.0 - values) < FLAT_SLOPE


def _units(case: _Case) -> Iterator[Finding]:
    """Find dead units in any layer, and saturated ones in hidden layers: outputs are saturated once all is learnt."""
    if not case.enough:
        return
    last = len(case.layers) - 1
    for layer, (name, values) in enumerate(zip(case.names, case.layers, strict=True)):
        width = values.shape[1]
        if name in ("relu", "hard_swish"):
            dead = int(np.count_nonzero(~values.any(axis=0)))
            if dead >= max(1, DEAD_PART * width) and (dead >= DEAD_AT_START * width or not _as_initialized(case.net)):
                text = f"{dead} of {width} {name} units are 0 on every row, and get no gradient."
                remedy = "Use 'leaky_relu', 'elu' or 'gelu', scale the inputs, or begin anew with a lower learning rate."
                yield Finding("dead units", layer, dead / width, text, _all_zero(case.net) or remedy)
        elif name in ("tanh", "sigmoid", "hard_sigmoid") and layer < last:
            # A hard sigmoid has one slope or none.
            flat = (values == 0.0) | (values == 1.0) if name == "hard_sigmoid" else _flat(name, values)
            stuck = int(np.count_nonzero(flat.mean(axis=0) >= FLAT_ROWS))
            if stuck >= max(1, SATURATED_PART * width):
                text = f"{stuck} of {width} {name} units are saturated on {FLAT_ROWS:.0%} of the rows or more."
                remedy = "Scale the inputs, begin with smaller weights (init='auto'), lower the learning rate, or use 'relu'."
                yield Finding("saturated units", layer, stuck / width, text, remedy)


def _as_initialized(net: MLP) -> bool:
    return np.array_equal(net.params, net.copy().reset().params)


def _all_zero(net: MLP) -> str:
    """Return the remedy for a hidden layer without weights other than 0, whose units remain alike; "" if there is none."""
    layer = next((number for number, weights in enumerate(net.weights[:-1]) if not weights.any()), None)
    return "" if layer is None else f"The weights of layer {layer} are all 0: begin anew with init='auto'."


def _stuck(case: _Case) -> Iterator[Finding]:
    """Find probabilities that are the same for every row, and remain so when a copy is trained for some steps."""
    assert case.y is not None
    name = case.names[-1]
    if name not in ("sigmoid", "softmax") or not case.enough or not np.ptp(case.y, axis=0).any():
        return
    least = STUCK_PART * (1.0 / case.layers[-1].shape[1] if name == "softmax" else 0.5)
    if float(np.ptp(case.layers[-1], axis=0).max()) >= least:
        return
    outputs, optimizer = _after_trial(case)
    reach = float(np.ptp(outputs, axis=0).max())
    if reach < least:
        text = (
            f"every row has nearly the same probabilities, about {outputs[0].max():.2g}: they range over {reach:.2g}, also "
            f"after {TRIAL_STEPS} steps more of {type(optimizer).__name__} with {_rate_of(optimizer):.3g}."
        )
        remedy = "Look for dead or saturated units and vanishing gradients, scale the inputs, or raise the learning rate."
        yield Finding("stuck outputs", len(case.layers) - 1, reach, text, _all_zero(case.net) or remedy)


def _after_trial(case: _Case) -> tuple[NDArray, optimizers.Stepping]:
    """Return the outputs after steps of a copy, which goes on as it was trained last, and what took them."""
    last = case.net._state.optimizer
    trained = case.net._state.ints[ids.STEP] > 0 and isinstance(last, optimizers.Stepping)
    optimizer: Any = last if trained else _TRIAL
    twin = case.net.copy()
    batch = min(TRIAL_BATCH, len(case.x))
    y: Any = case.y
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a divergence; it is taken back
        twin.fit(
            case.x, y, sample_weight=case.weight, epochs=math.ceil(TRIAL_STEPS / (len(case.x) // batch)), batch_size=batch,
            drop_last=True, optimizer=replace(optimizer, lr=_rate_of(optimizer)), progress=False,
        )  # fmt: skip
    return twin.predict(case.x), optimizer


def _rate_of(optimizer: optimizers.Stepping) -> float:
    lr: Any = optimizer.lr
    return float(lr.lr if isinstance(lr, Schedule) else lr)


# ---- gradients


def _gradients(case: _Case) -> Iterator[Finding]:
    """Compare the gradients by the hidden layers' outputs with that of the last of them."""
    from .parts import tail

    assert case.y is not None
    hidden = case.layers[:-1]
    remedy = "Use initial weights that suit the activation (init='auto'), a lower learning rate, and clip_norm=1.0."
    for layer, values in enumerate(case.layers):
        if not np.isfinite(values).all():
            yield Finding("exploding gradient", layer, math.inf, "activations are infinite or NaN.", remedy)
            return
    sizes = [_rms(tail(case.net, at + 1).input_gradient(values, case.y, case.weight)) for at, values in enumerate(hidden)]
    if not sizes or sizes[-1] == 0.0:  # nothing left to learn, or nothing to compare with
        return
    ratios = np.array(sizes) / sizes[-1]
    if not np.isfinite(ratios).all() or ratios.max() > 1.0 / GRADIENT_RATIO:
        worst = int(np.argmax(np.nan_to_num(ratios, nan=math.inf, posinf=math.inf)))
        many = np.count_nonzero(~(ratios <= 1.0 / GRADIENT_RATIO))
        text = f"it is {ratios[worst]:.2g} times the last hidden layer's, and too large in {many} of {len(ratios)} layers."
        yield Finding("exploding gradient", worst, float(ratios[worst]), text, remedy)
    elif ratios.min() < GRADIENT_RATIO:
        worst, many = int(np.argmin(ratios)), np.count_nonzero(ratios < GRADIENT_RATIO)
        text = f"it is {ratios[worst]:.2g} times the last hidden layer's, and too small in {many} of {len(ratios)} layers."
        remedy = "Use 'relu', 'gelu' or 'selu' in the hidden layers, init='auto', or fewer layers."
        yield Finding("vanishing gradient", worst, float(ratios[worst]), text, remedy)


def _rms(values: NDArray) -> float:
    """Return the size of numbers: the root of their mean square, without overflow in between."""
    largest = float(np.abs(values).max())
    if largest == 0.0 or not math.isfinite(largest):
        return largest
    return largest * math.sqrt(float(np.mean(np.square(values.astype(np.float64) / largest))))


# ---- the learning rate


def _rate(
    net: MLP, data: tuple[Any, Any, Any], optimizer: optimizers.Stepping, batch_size: int | None, vanishing: bool
) -> Iterator[Finding]:
    """Judge the rate by a range test, from the initial weights on if the network was trained."""
    rate = _rate_of(optimizer)
    X, y, weight = data
    start = net.copy().reset() if net.history is not None else net

    def tested(optimizer: optimizers.Stepping, steps: int) -> RangeTest:
        return lr_range_test(start, X, y, sample_weight=weight, optimizer=optimizer, batch_size=batch_size, steps=steps)

    steps = LONG_TEST if vanishing else SHORT_TEST
    test = tested(optimizer, steps)
    if test.suggestion is None and steps < LONG_TEST:
        steps = LONG_TEST
        test = tested(optimizer, steps)
    most = test.limit if test.lowest is None else test.lowest
    best = test.suggestion if test.suggestion is not None else None if most is None else most / 10.0
    name, shows = type(optimizer).__name__, "" if steps == SHORT_TEST else f", steps={steps}"
    remedy = f"Try {best:.2g}; net.lr_range_test(X, y{shows}).plot() shows why." if best is not None else ""
    if most is not None and rate >= most:
        text = f"{name}'s {rate:.3g} is not below {most:.3g}, from where on the loss grows in a range test."
        yield Finding("learning rate too high", None, rate, text, remedy)
    elif test.suggestion is not None and rate < test.suggestion / SLOW:
        text = f"{name}'s {rate:.3g} is {test.suggestion / rate:,.0f} times lower than where the loss falls quickly."
        yield Finding("learning rate too low", None, rate, text, remedy)
    elif test.suggestion is None and not isinstance(optimizer, optimizers.Adam):
        found = tested(_TRIAL, LONG_TEST).suggestion
        if found is not None:
            tried = f"from {test.lrs[0]:.3g} to {test.lrs[-1]:.3g} in {steps:,} steps"
            remedy = f"Try fm.Adam({found:.2g}), which divides each parameter's gradient by its size."
            yield Finding("flat loss", None, found, f"{name} lowers the loss at no rate {tried}; Adam does.", remedy)
