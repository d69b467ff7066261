"""What tests of kernels against their twins share: pairs of functions, lengths around the edges, guarded arrays."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from fastmlp.kernels import simd

from fastmlp import kernels, reference

DTYPES = [np.float32, np.float64]
PRECISION = pytest.mark.parametrize("dtype", DTYPES, ids=["f32", "f64"])
# Modules of kernels/ that Python calls into, found by their source so that none is forgotten.
SOURCES = {path.stem: ast.parse(path.read_text()) for path in Path(kernels.__file__).parent.glob("*.py")}


def entries(module):
    """Public functions of a kernel module that Python calls: names to names of their required arguments."""
    found = {}
    for node in SOURCES[module].body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            marks = [ast.unparse(mark) for mark in node.decorator_list]
            if marks in (["entry"], ["allocating_entry"]) or (module == "train" and not marks):
                arguments = [argument.arg for argument in node.args.args]
                found[node.name] = arguments[: len(arguments) - len(node.args.defaults)]
    return found


TWINS = sorted(module for module in SOURCES if entries(module))


def twins(module, name):
    """The kernel and its twin."""
    return (getattr(import_module(f"{package.__name__}.{module}"), name) for package in (kernels, reference))


def lanes(dtype):
    return simd.LANES32 if dtype == np.float32 else simd.LANES64


def sizes(dtype):
    """Lengths around those of the vectors."""
    n = lanes(dtype)
    return sorted({0, 1, 2, n - 1, n, n + 1, 2 * n, 2 * n + 3, 97})


def guarded(shape, dtype):
    """An array with a guard around it, and a function that fails if the guard was written to."""
    size, edge = int(np.prod(shape)), 2 * simd.LANES32
    memory = np.full(size + 2 * edge, 12345.0, dtype)
    inside = memory[edge : edge + size].reshape(shape)
    inside[:] = np.nan

    def check():
        assert (memory[:edge] == 12345).all(), "written before the beginning"
        assert (memory[edge + size :] == 12345).all(), "written beyond the end"

    return inside, check


def normal(shape, dtype, seed=0):
    return np.random.default_rng((seed, *np.atleast_1d(shape))).normal(size=shape).astype(dtype)


# Fields of networks: each optimizer with what it takes.
OPTIMIZERS = {
    "sgd": {"optimizer": "SGD"},
    "momentum": {"optimizer": "SGD", "beta1": 0.9},
    "nesterov": {"optimizer": "SGD", "beta1": 0.9, "nesterov": 1},
    "adam": {"optimizer": "ADAM", "beta1": 0.9, "beta2": 0.99},
    "adamw": {"optimizer": "ADAM", "beta1": 0.9, "beta2": 0.99, "decay": 0.1},
    "amsgrad": {"optimizer": "ADAM", "beta1": 0.9, "beta2": 0.9, "amsgrad": 1},
    "eps_hat": {"optimizer": "ADAM", "beta1": 0.9, "beta2": 0.99, "eps_hat": 1},
    "rmsprop": {"optimizer": "RMSPROP", "beta2": 0.9},
    "adagrad": {"optimizer": "ADAGRAD"},
}


def optimizer_state(net, dtype):
    return np.zeros((3, net.params.size), dtype)
