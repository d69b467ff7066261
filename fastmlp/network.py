"""MLP: a network's parameters, and everything that can be asked of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike, DTypeLike

from . import activations, checks, initializers, losses, summary
from .gradients import Gradients
from .layers import as_denses
from .parameters import Parameters
from .plan import aligned_copies, aligned_zeros, make_plan
from .state import Arena, TrainingState
from .trainer import TrainedHere

if TYPE_CHECKING:
    from .activations import Activation
    from .callbacks import EarlyStopping
    from .diagnosis import Report
    from .history import History
    from .lr_range import RangeTest
    from .optimizers import Optimizer
    from .schedules import Schedule

__all__ = ["MLP"]


class MLP(Parameters, Gradients):
    """A multilayer perceptron.

    Parameters
    ----------
    layers : sequence
        The number of inputs, then one entry for each layer, the outputs last. An entry is a width, a :class:`fastmlp.Dense`, a
        tuple ``(width, bias)`` or ``(width, bias, activation)``, or a dict of Dense's arguments. ``[n, k]`` is a linear model.
        The first entry behind the number of inputs may be a :class:`fastmlp.Embedding`.
    activation : str or Activation
        Activation of hidden layers without one of their own; see ``fastmlp.activations.ACTIVATIONS`` and
        :func:`fastmlp.activation`.
    output : str or Activation, optional
        Activation of the outputs: "identity" for numbers, "sigmoid" for probabilities, "softmax" for the probabilities of
        classes, or any other; by default the last layer's own, else "identity".
    loss : str, Huber, Quantile or CrossEntropy
        What training minimises; "auto" takes the one that suits the output. See ``fastmlp.losses.LOSSES``.
    init : str or callable
        Initial weights of layers without their own; "auto" takes what suits the activation. See ``fastmlp.initializers``.
        Files do not keep functions, and pickles do not keep lambdas: both hold "auto" instead, which :meth:`reset` then uses.
    dropout : float
        Dropout rate of hidden layers without one of their own, in [0, 1).
    dtype : {"float32", "float64"}
        Type of parameters and of all arithmetic.
    seed : int, optional
        Seed of initial weights, shuffles and dropout masks, which depend on nothing else. None draws another one each time,
        which is `net.seed` afterwards.

    Attributes
    ----------
    params : (P,) array
        All parameters in one aligned vector; for each layer its weights (fan_in, width) row by row, then its bias, and its
        alphas if it is parametric.
    weights, biases, alphas : sequences of arrays
        Views of `params`, (fan_in, width), (width,) and (width,); None for a layer without bias or alphas. An embedding's are
        its table (entries, size) and a row of w, b, W2, b2 for each number. ``net.weights[0] = W`` copies into them.
    grad : (P,) array
        What :meth:`backward` adds to.
    layers : tuple of Dense, the first of which may be an Embedding
    n_inputs, n_outputs, n_params, seed : int
    dtype : numpy.dtype
    output : str
    history : History or None
        All trainings since the network was made or reset; None before the first.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range; the message names it and the remedy.

    Examples
    --------
    >>> import fastmlp as fm
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> net = fm.MLP([2, 8, 1], activation="tanh", output="sigmoid", seed=0)
    >>> history = net.fit(X, y, epochs=500, batch_size=4, optimizer=fm.Adam(0.05))
    >>> net.predict(X).round().ravel().tolist()
    [0.0, 1.0, 1.0, 0.0]
    """

    def __init__(
        self,
        layers: Sequence[Any],
        *,
        activation: str | Activation = "relu",
        output: str | Activation | None = None,
        loss: Any = "auto",
        init: Any = "auto",
        dropout: float = 0.0,
        dtype: DTypeLike = "float32",
        seed: int | None = 0,
    ) -> None:
        hidden = activations.canonical(activation)
        init = initializers.resolve(init)
        dropout = checks.real("dropout", dropout, 0.0, 1.0, open_high=True)
        self.dtype = checks.floating(dtype)
        self.seed = checks.seed(seed)
        n_inputs, self.layers = as_denses(layers, hidden, output, init, dropout)
        self.plan = make_plan(n_inputs, self.layers)
        if self.plan.embedding is not None:
            self.plan.embedding.check_dtype(self.dtype)
        self.loss_spec = losses.resolve(loss, self.output)
        losses.check_pairing(self.loss_spec, self.output)
        try:
            self._params = initializers.initialize(self.plan, self.layers, self.seed, self.dtype)
            self._grad = aligned_zeros(self.plan.n_params, self.dtype)
            self._arena = Arena(self.plan, self.dtype)
            self._forget()
        except MemoryError as error:
            raise ValueError(self.plan.too_large(self.dtype)) from error

    # ---- what it is

    @property
    def output(self) -> str:
        """Name of the outputs' activation."""
        return str(self.layers[-1].activation)

    def summary(self) -> str:
        """Return a table of the layers, for people.

        Examples
        --------
        >>> import fastmlp as fm
        >>> "4 → 8" in fm.MLP([4, 8, 3]).summary()
        True
        """
        return summary.table(self)

    def __repr__(self) -> str:
        """Return the architecture in one line."""
        widths = ", ".join(map(str, self.plan.widths))
        kinds = ", ".join(dict.fromkeys(str(dense.activation) for dense in self.layers))
        many = f"{self.n_params:,} parameter{'' if self.n_params == 1 else 's'}"
        return f"<MLP [{widths}] {kinds}; {self.loss_spec.name}; {many}, {self.dtype}>"

    def spec(self) -> dict[str, Any]:
        """Return the architecture as a dict of plain values, which :meth:`from_spec` takes; without parameters.

        Examples
        --------
        >>> import fastmlp as fm
        >>> spec = fm.MLP([4, 8, 3], seed=5).spec()
        >>> spec["loss"]["name"], spec["seed"], len(spec["layers"])
        ('mse', 5, 3)
        """
        return {
            "layers": [self.plan.n_inputs, *(layer.spec() for layer in self.layers)],
            "loss": self.loss_spec.to_dict(),
            "dtype": self.dtype.name,
            "seed": self.seed,
        }

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> MLP:
        """Make a network from what :meth:`spec` returned, with initial weights.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is nothing that :meth:`spec` returns.

        Examples
        --------
        >>> import fastmlp as fm
        >>> net = fm.MLP([4, 8, 3], seed=5)
        >>> bool((fm.MLP.from_spec(net.spec()).params == net.params).all())
        True
        """
        return cls(spec["layers"], loss=spec["loss"], dtype=spec["dtype"], seed=spec["seed"])

    def reset(self, seed: int | None = None) -> MLP:
        """Forget all training: initial weights, counters at zero, no optimizer state, no history. Returns the network.

        A callback may do so: the epochs that are left of the fit go on from there, and its early stopping begins anew. A
        schedule that is planned over a whole fit, such as ``Cosine``, goes on.

        Parameters
        ----------
        seed : int, optional
            Another seed than the network's own, which None keeps.

        Raises
        ------
        TypeError
            If the seed is no whole number.
        RuntimeError
            If another thread trains the network at the moment.

        Examples
        --------
        >>> import fastmlp as fm
        >>> net = fm.MLP([4, 3], seed=1)
        >>> bool((net.reset(seed=2).params == fm.MLP([4, 3], seed=2).params).all())
        True
        """
        seed = self.seed if seed is None else checks.integer("seed", seed)
        with TrainedHere(self):
            self._params[...] = initializers.initialize(self.plan, self.layers, seed, self.dtype)
            self.seed = seed
            self._grad[...] = 0.0
            self._forget()
        return self

    def _forget(self) -> None:
        self._state = TrainingState(self.plan, self.loss_spec, self.seed, self.dtype)
        self.history: History | None = None

    def copy(self) -> MLP:
        """Return a network with equal parameters and training state, which shares no memory with this one.

        Examples
        --------
        >>> import fastmlp as fm
        >>> net = fm.MLP([4, 3])
        >>> other = net.copy()
        >>> other.params += 1
        >>> bool((net.params == other.params).any())
        False
        """
        import copy

        return copy.deepcopy(self)

    # A shallow copy would have parameters of its own, but share the optimizer's state.
    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> MLP:
        """Return a copy whose layers keep every `init`, as pickling cannot."""
        import copy

        net = memo[id(self)] = object.__new__(type(self))
        # These never change, so that both may have the same ones.
        memo.update({id(part): part for part in (self.layers, self.plan, self.loss_spec)})
        net.__setstate__(copy.deepcopy(self.__getstate__() | {"layers": self.layers}, memo))
        return net

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickling keeps: everything but scratch memory, and but an `init` that has no name, such as a lambda."""
        state = {name: value for name, value in self.__dict__.items() if name != "_arena"}
        return state | {"layers": tuple(dense.picklable() for dense in self.layers)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore what pickling kept, in aligned memory."""
        self.__dict__.update(state, **aligned_copies({name: state[name] for name in ("_params", "_grad")}))
        self._arena = Arena(self.plan, self.dtype)

    def save(self, path: str | os.PathLike) -> None:
        """Write the network to a safetensors file, for :func:`fastmlp.load`; a file of that name is replaced in one go.

        It has the architecture and the parameters. The optimizer's state, counters and history are not in it: a loaded
        network trains as a new one with these parameters would. A pickle keeps them.

        Parameters
        ----------
        path : path
            Its name is taken as it is.

        Raises
        ------
        TypeError, ValueError
            If `path` is no path, a parameter is infinite or NaN, or an activation is a pair of Python functions.
        OSError
            If the file cannot be written; one that was there before is left as it was.

        Examples
        --------
        >>> import fastmlp as fm, tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "net.safetensors"
        ...     fm.MLP([4, 8, 3]).save(path)
        ...     fm.load(path)
        <MLP [4, 8, 3] relu, identity; mse; 67 parameters, float32>
        """
        from .formats import safetensors

        safetensors.save(self, path)

    # ---- training

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        epochs: int = 20,
        batch_size: int | None = 64,
        optimizer: str | Optimizer = "adam",
        sample_weight: ArrayLike | None = None,
        class_weight: Any = None,
        validation: Any = None,
        shuffle: bool = True,
        drop_last: bool = False,
        metrics: Iterable[Any] | None = None,
        early_stopping: EarlyStopping | None = None,
        callbacks: Iterable[Any] | None = None,
        progress: bool | None = None,
        on_divergence: str = "warn",
        dropout_schedule: Schedule | None = None,
    ) -> History:
        """Train, going on from where the last call ended.

        Parameters
        ----------
        X : (n, inputs) array
        y : array
            Class indices (n,) or probabilities (n, outputs) for cross_entropy, else (n, outputs), or (n,) for one output.
        epochs : int
            How many times to go through the data; for L-BFGS, the most iterations, if its `max_iter` is not less.
        batch_size : int, optional
            Rows in a step; the last one of an epoch may be shorter. None takes all rows.
        optimizer : str or Optimizer
            Such as ``fm.Adam(1e-3)``, or a name in ``fastmlp.optimizers.OPTIMIZERS``. Its rate and its weight decay may be
            schedules of ``fm.schedules``. Its state is kept between calls.
        sample_weight : (n,) array, optional
            How much each row counts in the mean loss.
        class_weight : "balanced" or dict, optional
            A factor on the weights of each class's training rows; "balanced" makes all classes count alike. A dict need not
            name all classes: the others have 1.
        validation : float or (X, y) or (X, y, sample_weight), optional
            A fraction of the rows to hold back (of classes, the same fraction of each), or other data.
        shuffle : bool
            Whether each epoch takes the rows in another order.
        drop_last : bool
            Whether an epoch leaves out the rows behind its last whole batch. Fewer rows than `batch_size` are trained on as
            the one short batch that they are; L-BFGS takes all rows anyway.
        metrics : iterable of str or callable, optional
            What to compute after each epoch besides the loss: names in ``fastmlp.metrics.METRICS``, or functions
            ``(y_true, y_pred) -> float``. y_true has shape (n, 1), of class indices too, or (n, outputs), and y_pred
            (n, outputs), both of the network's dtype; the accuracy of several classes is
            ``(y_true[:, 0] == y_pred.argmax(axis=1)).mean()``. For early stopping to watch your own make a
            :class:`fastmlp.metrics.Metric` of it, which says whether it is to be high or low.
        early_stopping : EarlyStopping, optional
        callbacks : iterable, optional
            Objects with some of the methods of :class:`fastmlp.Callback`.
        progress : bool, optional
            Whether to show a progress bar; None shows it on a terminal.
        on_divergence : {"warn", "raise"}
            What happens when a loss or a parameter becomes infinite or NaN. The last finite epoch's parameters come back
            in any case.
        dropout_schedule : Schedule, optional
            Its rates, from 0 to 1, are what the dropout rates of all layers are multiplied by in each step, as those of
            ``fm.schedules.FlatCosine(1.0)``.

        Returns
        -------
        History
            Of all calls since the network was made or reset; also in `history`.

        Raises
        ------
        TypeError, ValueError
            If an argument is out of its range; the network is then as it was.
        DivergenceError
            See `on_divergence`.
        RuntimeError
            If another thread trains the network at the moment.
        KeyboardInterrupt
            On Ctrl-C, within 0.2 s; the parameters are those after a whole epoch, where epochs are short one of the last
            0.3 s, and `history` ends there.

        Examples
        --------
        >>> import fastmlp as fm
        >>> net = fm.MLP([1, 1], seed=0)
        >>> history = net.fit([[0], [1], [2]], [1, 3, 5], epochs=200, optimizer=fm.SGD(0.2))
        >>> net.predict([[10]]).round(2).tolist(), len(history)
        ([[21.0]], 200)
        """
        from . import training

        options = training.Options(
            epochs=epochs, batch_size=batch_size, optimizer=optimizer, shuffle=shuffle, drop_last=drop_last,
            metrics=metrics, early_stopping=early_stopping, callbacks=callbacks, progress=progress, on_divergence=on_divergence,
            dropout_schedule=dropout_schedule,
        )  # fmt: skip
        data = training.prepare(self, X, y, sample_weight, class_weight, validation)
        return training.fit(self, data, options)

    def lr_range_test(
        self, X: ArrayLike, y: ArrayLike, *, low: float = 1e-6, high: float = 10.0, steps: int = 100,
        batch_size: int | None = 64, optimizer: str | Optimizer = "adam", sample_weight: ArrayLike | None = None,
        class_weight: Any = None,
    ) -> RangeTest:  # fmt: skip
        """Train a copy for some steps with a growing learning rate, in one call of the engine.

        Parameters
        ----------
        X, y, sample_weight, class_weight
            As for :meth:`fit`.
        low, high : float
            The first and the last rate.
        steps : int
            How many steps, each with a rate that is larger by the same factor; at least 10.
        batch_size : int, optional
            Rows in a step; None takes all rows.
        optimizer : str or Optimizer
            What takes the steps; its own rate does not matter.

        Returns
        -------
        RangeTest
            Rates and losses, and the rate that they suggest; it can be plotted.

        Raises
        ------
        TypeError, ValueError
            If an argument is out of its range.

        Examples
        --------
        >>> import fastmlp as fm
        >>> data = fm.datasets.load("moons")
        >>> test = fm.MLP([2, 16, 1], output="sigmoid").lr_range_test(data.X, data.y)
        >>> 0.001 < test.suggestion < test.lowest
        True
        """
        from . import lr_range

        return lr_range.lr_range_test(
            self, X, y, low=low, high=high, steps=steps, batch_size=batch_size, optimizer=optimizer,
            sample_weight=sample_weight, class_weight=class_weight,
        )  # fmt: skip

    def diagnose(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None, *,
        optimizer: str | Optimizer | None = None, batch_size: int | None = 64,
    ) -> Report:  # fmt: skip
        """Look for what keeps the network from learning, without changing it.

        Parameters
        ----------
        X, y, sample_weight
            As for :meth:`fit`; what is wrong with them is a finding, and no error.
        optimizer : str or Optimizer, optional
            What the network is to be trained with; by default what it was trained with last. Without either, and for
            L-BFGS, the learning rate is not judged.
        batch_size : int, optional
            Rows in a step of that training; None for all.

        Returns
        -------
        Report
            The findings, each with its figure and its remedy.

        Raises
        ------
        TypeError, ValueError
            If `optimizer` or `batch_size` is out of its range.

        Examples
        --------
        >>> import fastmlp as fm
        >>> data = fm.datasets.load("moons")
        >>> fm.MLP([2, 16, 1], output="sigmoid").diagnose(data.X, data.y, optimizer="adam")
        Nothing found.
        """
        from . import diagnosis

        return diagnosis.diagnose(self, X, y, sample_weight, optimizer=optimizer, batch_size=batch_size)
