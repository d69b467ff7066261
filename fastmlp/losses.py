"""Losses: name -> the engines' number for it, its formula, and the output activation that it pairs with.

Examples
--------
>>> import fastmlp as fm
>>> list(fm.losses.LOSSES)
['cross_entropy', 'bce', 'mse', 'sse', 'half_mse', 'mae', 'huber', 'poisson', 'quantile']
>>> fm.losses.LOSSES["mse"].formula
'mean_j (p_j - y_j)^2'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import checks
from .activations import ACTIVATIONS
from .checks import Numbers
from .errors import PairingWarning, shown, warn
from .reference import ids

__all__ = ["AUTO", "LOSSES", "CrossEntropy", "Huber", "Loss", "LossSpec", "Quantile", "check_pairing", "resolve"]


@dataclass(frozen=True)
class Loss:
    """One loss function of a row's outputs p, logits z and targets y; K outputs, j over outputs.

    Attributes
    ----------
    name : str
        What users write.
    id : int
        Its number in ``reference/ids.py`` and ``kernels/ids.py``.
    formula : str
        A row's loss, for people. A data set's is the weighted mean over rows; for ``sse`` the weighted sum.
    output : str
        The output activation that it pairs with.
    kind : str
        What targets are: "classes", "binary", "counts" or "regression"; see :func:`fastmlp.arrays.targets`.
    parameter : float or None
        Default of its parameter; None if it has none.
    from_logits : bool
        Whether it is computed from logits, and so works with no other output.
    """

    name: str
    id: int
    formula: str
    output: str
    kind: str = "regression"
    parameter: float | None = None
    from_logits: bool = False


LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss("cross_entropy", ids.CROSS_ENTROPY, "logsumexp(z) - sum_j t_j z_j, t = (1 - smoothing) y + smoothing / K",
             "softmax", "classes", from_logits=True),
        Loss("bce", ids.BCE, "mean_j softplus(z_j) - y_j z_j", "sigmoid", "binary", from_logits=True),
        Loss("mse", ids.MSE, "mean_j (p_j - y_j)^2", "identity"),
        Loss("sse", ids.SSE, "sum_j (p_j - y_j)^2", "identity"),
        Loss("half_mse", ids.HALF_MSE, "sum_j (p_j - y_j)^2 / 2", "identity"),
        Loss("mae", ids.MAE, "mean_j |p_j - y_j|", "identity"),
        Loss("huber", ids.HUBER, "mean_j (e_j^2 / 2 if |e_j| <= delta else delta (|e_j| - delta / 2)), e = p - y",
             "identity", parameter=1.0),
        Loss("poisson", ids.POISSON, "mean_j exp(z_j) - y_j z_j", "exp", "counts", from_logits=True),
        Loss("quantile", ids.QUANTILE, "mean_j max(q (y_j - p_j), (q - 1) (y_j - p_j))", "identity", parameter=0.5),
    )
}  # fmt: skip

# The loss that loss="auto" means, by output activation; "mse" for those that are not built in.
AUTO: dict[str, str] = {name: "mse" for name in ACTIVATIONS} | {
    loss.output: loss.name for loss in LOSSES.values() if loss.from_logits
}

# What Keras, scikit-learn and others call them.
_ELSEWHERE = {
    "binarycrossentropy": "bce", "categoricalcrossentropy": "cross_entropy", "sparsecategoricalcrossentropy": "cross_entropy",
    "crossentropy": "cross_entropy", "nll": "cross_entropy", "logloss": "cross_entropy", "meansquarederror": "mse",
    "squarederror": "mse", "meanabsoluteerror": "mae", "absoluteerror": "mae", "l1": "mae",
}  # fmt: skip

# Outputs that flatten out: (p - y) f'(z) vanishes there however wrong p is, unless the loss cancels f'.
_SATURATING = ("sigmoid", "softmax", "exp")


@dataclass(frozen=True)
class LossSpec:
    """A loss with its numbers: what :func:`resolve` makes of everything that users may write."""

    loss: Loss
    parameter: float = 0.0
    smoothing: float = 0.0

    @property
    def name(self) -> str:
        """Name of the loss."""
        return self.loss.name

    @property
    def kind(self) -> str:
        """Kind of targets that the loss takes."""
        return self.loss.kind

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able form, which :func:`resolve` takes."""
        return {"name": self.name, "parameter": self.parameter, "smoothing": self.smoothing}


@dataclass(frozen=True)
class Huber:
    """Squared loss for errors up to `delta`, absolute loss beyond; Huber 1964.

    Parameters
    ----------
    delta : float
        In the targets' unit.

    Raises
    ------
    TypeError, ValueError
        If `delta` is not a positive number.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.MLP([4, 8, 1], loss=fm.losses.Huber(2.0))
    <MLP [4, 8, 1] relu, identity; huber; 49 parameters, float32>
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        """Check `delta`."""
        checks.real_field(self, "delta", 0.0, open_low=True)


@dataclass(frozen=True)
class Quantile:
    """The pinball loss, least at the `q` quantile of the targets; Koenker & Bassett 1978.

    Parameters
    ----------
    q : float
        In (0, 1); 0.5 is the median.

    Raises
    ------
    TypeError, ValueError
        If `q` is not a number between 0 and 1.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.MLP([4, 8, 1], loss=fm.losses.Quantile(0.9))
    <MLP [4, 8, 1] relu, identity; quantile; 49 parameters, float32>
    """

    q: float = 0.5

    def __post_init__(self) -> None:
        """Check `q`."""
        checks.real_field(self, "q", 0.0, 1.0, open_low=True, open_high=True)


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy with label smoothing; Szegedy et al. 2016, section 7.

    Parameters
    ----------
    label_smoothing : float
        The part of a target that is spread evenly over all classes, in [0, 1). For a :class:`fastmlp.Population` it may be
        a sequence, one number for each network.

    Raises
    ------
    TypeError, ValueError
        If `label_smoothing` is not a number in [0, 1).

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.MLP([4, 8, 3], output="softmax", loss=fm.losses.CrossEntropy(label_smoothing=0.1))
    <MLP [4, 8, 3] relu, softmax; cross_entropy; 67 parameters, float32>
    """

    label_smoothing: Numbers = 0.0

    def __post_init__(self) -> None:
        """Check `label_smoothing`."""
        checks.reals_field(self, "label_smoothing", 0.0, 1.0, open_high=True)


def resolve(spec: Any, output: str = "identity") -> LossSpec:
    """Return what `spec` means: a loss with its parameter and label smoothing.

    Parameters
    ----------
    spec : str, Huber, Quantile, CrossEntropy, LossSpec or dict
        A key of `LOSSES`; ``"auto"`` for the one that `output` pairs with; or what ``LossSpec.to_dict`` returns.
    output : str
        The output activation.

    Raises
    ------
    ValueError
        If there is no loss of that name; the message has the nearest ones.
    TypeError
        If `spec` is something else.

    Examples
    --------
    >>> resolve("auto", output="softmax").name
    'cross_entropy'
    """
    if isinstance(spec, LossSpec):
        return spec
    if isinstance(spec, Huber):
        return LossSpec(LOSSES["huber"], parameter=spec.delta)
    if isinstance(spec, Quantile):
        return LossSpec(LOSSES["quantile"], parameter=spec.q)
    if isinstance(spec, CrossEntropy):
        if np.ndim(spec.label_smoothing):
            raise ValueError(
                "label_smoothing has a value for each network of a fm.Population; a single network takes one number."
            )
        return LossSpec(LOSSES["cross_entropy"], smoothing=np.asarray(spec.label_smoothing).item())
    if isinstance(spec, Mapping):
        return _from_dict(spec)
    if callable(spec):
        made = getattr(spec, "__name__", "") if spec in (Huber, Quantile, CrossEntropy) else ""
        remedy = f"Pass fm.losses.{made}()." if made else "For a loss of your own see net.vjp."
        raise TypeError(f"loss must be a name or an instance; got {shown(spec)} ({type(spec).__name__}). {remedy}")
    if spec == "auto":
        spec = AUTO.get(output, "mse")
    others = "fm.losses.Huber, Quantile or CrossEntropy"
    loss = LOSSES[checks.choice("loss", spec, ("auto", *LOSSES), others, _ELSEWHERE)]
    return LossSpec(loss, loss.parameter or 0.0)


def smoothings(spec: Any, networks: int) -> list[float | None]:
    """Return each network's label smoothing if `spec` has one for each, else None for each.

    Examples
    --------
    >>> smoothings(CrossEntropy([0.0, 0.1]), 2), smoothings("mse", 2)
    ([0.0, 0.1], [None, None])
    """
    if isinstance(spec, CrossEntropy) and np.ndim(spec.label_smoothing):
        return checks.each("label_smoothing", spec.label_smoothing, networks)
    return [None] * networks


def _from_dict(spec: Mapping[str, Any]) -> LossSpec:
    unknown = sorted(set(spec) - {"name", "parameter", "smoothing"})
    if unknown or "name" not in spec:
        raise ValueError(f"loss as a dict has the keys 'name', 'parameter' and 'smoothing'; got {dict(spec)!r}.")
    name = checks.choice("loss['name']", spec["name"], LOSSES)
    parameter = spec.get("parameter", LOSSES[name].parameter or 0.0)
    if name == "huber":
        return resolve(Huber(parameter))
    if name == "quantile":
        return resolve(Quantile(parameter))
    if name == "cross_entropy":
        return resolve(CrossEntropy(spec.get("smoothing", 0.0)))
    return resolve(name)


def check_pairing(spec: LossSpec, output: str) -> None:
    """Raise if the loss cannot work with the output activation; warn if its gradient is known to be poor there.

    Parameters
    ----------
    spec : LossSpec
        The loss.
    output : str
        Name of the output activation.

    Raises
    ------
    ValueError
        If the loss works from the logits of another output activation.

    Warns
    -----
    PairingWarning
        If the output saturates and the loss does not cancel its derivative.

    Examples
    --------
    >>> check_pairing(resolve("mse"), "identity")
    """
    loss, own = spec.loss, AUTO.get(output, "mse")
    if loss.from_logits and loss.output != output:
        raise ValueError(
            f"loss={loss.name!r} is computed from the logits of output={loss.output!r}, but this network has "
            f"output={output!r}. Use output={loss.output!r}, or loss={own!r}, which suits output={output!r}."
        )
    if output in _SATURATING and loss.name != own:
        warn(
            f"loss={loss.name!r} learns slowly with output={output!r}: its gradient vanishes where the output is "
            f"saturated, even if it is wrong. Use loss={own!r}, which suits output={output!r}.",
            PairingWarning,
        )
