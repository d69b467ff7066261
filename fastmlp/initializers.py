"""Initial weights: name -> how they are drawn. Biases start at zero, and alphas at one.

Examples
--------
>>> import fastmlp as fm
>>> list(fm.initializers.INITIALIZERS)[:6]
['he_normal', 'he_uniform', 'glorot_normal', 'glorot_uniform', 'lecun_normal', 'lecun_uniform']
>>> list(fm.initializers.INITIALIZERS)[6:]
['orthogonal', 'zeros']
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from . import activations, checks
from .embedding import Embedding
from .reference.ids import FAN_IN, OFFSET, WIDTH

if TYPE_CHECKING:
    from .layers import Layer
    from .plan import Plan

__all__ = ["INITIALIZERS", "Initializer", "Normal", "Uniform", "auto", "initialize", "initialize_each", "resolve", "to_spec"]

Initializer = Callable[[np.random.Generator, int, int], NDArray[np.float64]]
"""``(rng, fan_in, fan_out) -> (fan_in, fan_out)`` array of weights."""


@dataclass(frozen=True)
class Uniform:
    """Weights drawn evenly from [low, high).

    Parameters
    ----------
    low, high : float
        The ends of the range.

    Raises
    ------
    TypeError, ValueError
        If they are not finite numbers, or `low` is not below `high`.

    Examples
    --------
    >>> import fastmlp as fm
    >>> net = fm.MLP([2, 3], init=fm.initializers.Uniform(-0.1, 0.1))
    >>> bool((abs(net.weights[0]) <= 0.1).all())
    True
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        """Check the limits."""
        checks.real_field(self, "low")
        checks.real_field(self, "high", self.low, open_low=True)

    def __call__(self, rng: np.random.Generator, fan_in: int, fan_out: int) -> NDArray[np.float64]:
        """Draw a (fan_in, fan_out) array."""
        return rng.uniform(self.low, self.high, (fan_in, fan_out))


@dataclass(frozen=True)
class Normal:
    """Weights drawn from the normal distribution with mean 0 and standard deviation `std`.

    Parameters
    ----------
    std : float
        The standard deviation, 0 or more.

    Raises
    ------
    TypeError, ValueError
        If `std` is not a finite number, or negative.

    Examples
    --------
    >>> import fastmlp as fm
    >>> net = fm.MLP([100, 100], init=fm.initializers.Normal(0.1))
    >>> round(float(net.weights[0].std()), 2)
    0.1
    """

    std: float

    def __post_init__(self) -> None:
        """Check the standard deviation."""
        checks.real_field(self, "std", 0.0)

    def __call__(self, rng: np.random.Generator, fan_in: int, fan_out: int) -> NDArray[np.float64]:
        """Draw a (fan_in, fan_out) array."""
        return rng.normal(0.0, self.std, (fan_in, fan_out))


# Standard deviation of a family's weights.
_STD: dict[str, Callable[[int, int], float]] = {
    "he": lambda fan_in, fan_out: math.sqrt(2.0 / fan_in),  # He, Zhang, Ren & Sun 2015
    "lecun": lambda fan_in, fan_out: math.sqrt(1.0 / fan_in),  # LeCun, Bottou, Orr & Müller 1998
    "glorot": lambda fan_in, fan_out: math.sqrt(2.0 / (fan_in + fan_out)),  # Glorot & Bengio 2010
}


def _normal(family: str) -> Initializer:
    return lambda rng, fan_in, fan_out: rng.normal(0.0, _STD[family](fan_in, fan_out), (fan_in, fan_out))


def _uniform(family: str) -> Initializer:
    def draw(rng: np.random.Generator, fan_in: int, fan_out: int) -> NDArray[np.float64]:
        limit = math.sqrt(3.0) * _STD[family](fan_in, fan_out)  # [-limit, limit) has that standard deviation
        return rng.uniform(-limit, limit, (fan_in, fan_out))

    return draw


def _orthogonal(rng: np.random.Generator, fan_in: int, fan_out: int) -> NDArray[np.float64]:
    """Orthonormal rows or columns, whichever are fewer (Saxe, McClelland & Ganguli 2014)."""
    tall = rng.standard_normal((max(fan_in, fan_out), min(fan_in, fan_out)))
    q, r = np.linalg.qr(tall)
    # LAPACK's signs are not random; with R's diagonal made positive, Q is uniform among such matrices (Mezzadri 2007).
    q = q * np.where(np.diag(r) < 0.0, -1.0, 1.0)
    return q if fan_in >= fan_out else q.T


def _zeros(rng: np.random.Generator, fan_in: int, fan_out: int) -> NDArray[np.float64]:
    return np.zeros((fan_in, fan_out))


INITIALIZERS: dict[str, Initializer] = {
    "he_normal": _normal("he"),
    "he_uniform": _uniform("he"),
    "glorot_normal": _normal("glorot"),
    "glorot_uniform": _uniform("glorot"),
    "lecun_normal": _normal("lecun"),
    "lecun_uniform": _uniform("lecun"),
    "orthogonal": _orthogonal,
    "zeros": _zeros,
}


def auto(activation: str | activations.Activation) -> str:
    """Return the name that ``init="auto"`` means for a layer with that activation.

    Examples
    --------
    >>> auto("relu"), auto("tanh")
    ('he_normal', 'glorot_uniform')
    """
    family = activations.lookup(activation).init
    return f"{family}_uniform" if family == "glorot" else f"{family}_normal"


def resolve(spec: Any, argument: str = "init") -> str | Initializer:
    """Return `spec` if it is ``"auto"``, a key of `INITIALIZERS` or a function; what :func:`to_spec` made, made again.

    Raises
    ------
    ValueError
        If there is none of that name; the message has the nearest ones.
    TypeError
        If `spec` is something else.

    Examples
    --------
    >>> resolve({"name": "normal", "std": 0.5})
    Normal(std=0.5)
    """
    if isinstance(spec, str) and (spec == "auto" or spec in INITIALIZERS):  # first, since every layer asks
        return spec
    if isinstance(spec, Mapping):
        arguments = {key: value for key, value in spec.items() if key != "name"}
        kinds = {"uniform": Uniform, "normal": Normal}
        return kinds[checks.choice(f"{argument}['name']", spec.get("name"), kinds)](**arguments)
    if callable(spec):
        function: Initializer = spec  # pyright: ignore[reportAssignmentType]
        return function
    if isinstance(spec, str) and spec.partition("(")[0].strip().lower() in ("uniform", "normal"):
        raise ValueError(f"{argument}={spec!r} is no name. Pass fm.initializers.Uniform(low, high) or Normal(std).")
    return checks.choice(argument, spec, ("auto", *INITIALIZERS), "a function (rng, fan_in, fan_out) -> weights")


def to_spec(init: str | Initializer) -> Any:
    """Return a JSON-able form of what :func:`resolve` takes; a function of the user's own becomes ``"auto"``.

    Examples
    --------
    >>> to_spec(Normal(0.5))
    {'name': 'normal', 'std': 0.5}
    """
    if isinstance(init, (Uniform, Normal)):
        return {"name": type(init).__name__.lower(), **asdict(init)}
    return init if isinstance(init, str) else "auto"


_of_thread = threading.local()


def _new_generator() -> tuple[np.random.Philox, np.random.Generator, Any]:
    """Return a source of bits, its generator, and the state that the source begins in."""
    bits = np.random.Philox(key=0)
    return bits, np.random.Generator(bits), bits.state


def _own_generator() -> tuple[np.random.Philox, np.random.Generator, Any]:
    """Return what :func:`_new_generator` made for this thread."""
    try:
        return _of_thread.made
    except AttributeError:
        _of_thread.made = _new_generator()
        return _of_thread.made


def initialize(plan: Plan, layers: Sequence[Layer], seed: int, dtype: DTypeLike) -> NDArray:
    """Return a flat parameter vector of `plan` as it begins, aligned to a cache line; weights as by :func:`initialize_each`."""
    from .plan import aligned_zeros

    flat = aligned_zeros(plan.n_params, dtype)
    initialize_each(plan, layers, [seed], flat[np.newaxis], range(1))
    for alphas in plan.alphas(flat):
        if alphas is not None:
            alphas[...] = 1.0
    return flat


def initialize_each(
    plan: Plan, layers: Sequence[Layer], seeds: Sequence[int], params: NDArray, rows: Sequence[int], places: Any = None
) -> None:
    """Write the initial weights of networks of one architecture to some rows of an array.

    A layer's weights depend on the seed, its place and its shape alone, not on the other layers.

    Parameters
    ----------
    plan : Plan
        The layout.
    layers : sequence of Dense
        The layers, whose activations are filled in.
    seeds : sequence of int
        One for each network, any integer; its lowest 64 bits count.
    params : (·, P) array
        Zeros.
    rows : sequence of int
        Each network's row of it.
    places : array of int, optional
        Where the parameters lie in a row, if not side by side from its beginning.

    Raises
    ------
    ValueError
        If a function of the user's own returns another shape, or numbers that are not finite.
    """
    # One generator with a key for each layer and network: to make one takes longer than to draw a small layer's weights. A
    # function of the user's own, which may keep it, gets one that nobody else uses.
    built_in = all(isinstance(layer.init, (str, Normal, Uniform)) for layer in layers)
    bits, rng, begin = _own_generator() if built_in else _new_generator()
    for number, (layer, entry) in enumerate(zip(layers, plan.table.tolist(), strict=True)):
        shape = entry[FAN_IN], entry[WIDTH]
        own = slice(entry[OFFSET], entry[OFFSET] + math.prod(shape))
        where = own if places is None else places[own]
        init = layer.init
        if isinstance(init, str):
            init = INITIALIZERS[auto(layer.activation or "identity") if init == "auto" else init]
        for seed, row in zip(seeds, rows, strict=True):
            begin["state"]["key"][:] = seed & (2**64 - 1), number
            bits.state = begin
            if isinstance(layer, Embedding):
                params[row, entry[OFFSET] : entry[OFFSET] + int(plan.sizes[number])] = layer.drawn(rng)
                continue
            drawn = np.asarray(init(rng, *shape))
            with np.errstate(over="ignore"):
                weights = drawn.astype(params.dtype, copy=False)
            if drawn.shape != shape or not np.isfinite(weights).all():
                came = f"ones too large for {params.dtype}" if np.isfinite(drawn).all() else "nan or infinite ones"
                came = f"shape {drawn.shape}" if drawn.shape != shape else came
                raise ValueError(f"init of layer {number} must return finite weights of shape {shape}; got {came}.")
            params[row, where] = weights.ravel()
