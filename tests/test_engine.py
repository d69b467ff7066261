"""Which engine runs, what Python has to import for it, and what it has to compile."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import engine as engines
from tests.compiler import needs_compiler
from tests.problems import classes, classifier
from tests.processes import run

# ---- which engine


@needs_compiler
def test_use_engine_chooses() -> None:
    for name in ("numpy", "numba"):
        fm.use_engine(name)
        assert engines.active_name() == name
    fm.use_engine("numpy")
    fm.use_engine()
    assert engines.active_name() == "numba"


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("nmpy", ValueError, r"the engine must be one of 'numba', 'numpy'; got 'nmpy'\. Did you mean 'numpy'"),
        ("cuda", ValueError, "the engine must be one of 'numba', 'numpy'; got 'cuda'"),
        ("", ValueError, "the engine must be one of 'numba', 'numpy'; got ''"),
        (3, TypeError, "the engine must be one of 'numba', 'numpy'; got 3"),
    ],
)
def test_an_unknown_engine_is_refused_and_the_one_before_stays(name, error, message) -> None:
    fm.use_engine("numpy")
    with pytest.raises(error, match=message):
        fm.use_engine(name)
    assert engines.active_name() == "numpy"
    fm.use_engine()


@needs_compiler
def test_the_environment_variable_chooses_where_nobody_else_does(monkeypatch) -> None:
    monkeypatch.setenv("FASTMLP_ENGINE", "numpy")
    fm.use_engine()
    assert engines.active_name() == "numpy"
    fm.use_engine("numba")
    assert engines.active_name() == "numba"
    monkeypatch.setenv("FASTMLP_ENGINE", "nunba")
    with pytest.raises(ValueError, match=r"the environment variable FASTMLP_ENGINE must be one of .*; got 'nunba'.*'numba'"):
        fm.use_engine()
    monkeypatch.setenv("FASTMLP_ENGINE", "")
    fm.use_engine()
    assert engines.active_name() == "numba"


@needs_compiler
@pytest.mark.parametrize("name", ["numba", "numpy"])
def test_the_environment_variable_is_read_at_first_use(name) -> None:
    script = "import fastmlp as fm; fm.MLP([1, 1]).predict([[1.0]]); from fastmlp import engine; print(engine.active_name())"
    assert run(script, FASTMLP_ENGINE=name) == name


@needs_compiler
def test_info_says_what_runs() -> None:
    for name in ("numpy", "numba"):
        fm.use_engine(name)
        facts = engines.info()
        assert facts["engine"] == name
        assert facts["fastmlp"] == fm.__version__
        assert facts["numpy"] == np.__version__
        assert facts["threads"] >= 1
    assert "lanes of float32" in facts["vector"]
    fm.use_engine()


# ---- imports


def test_without_leave_to_compile_the_plain_engine_runs() -> None:
    """NUMBA_DISABLE_JIT has Numba run Python code as it stands, which vectors of LLVM's have none of."""
    script = "import fastmlp as fm; fm.MLP([2, 3, 1]).fit([[1, 2]], [1], epochs=1); print(fm.engine.active_name())"
    assert run(script, NUMBA_DISABLE_JIT="1") == "numpy"


@pytest.mark.parametrize(("name", "source"), [("'numba'", "the engine"), ("None", "the environment variable FASTMLP_ENGINE")])
def test_an_engine_that_may_not_compile_is_refused_by_name(name, source) -> None:
    script = f"""
import fastmlp as fm
try:
    fm.use_engine({name})
except RuntimeError as error:
    print(error)
"""
    said = run(script, NUMBA_DISABLE_JIT="1", FASTMLP_ENGINE="numba")
    assert said == (
        f"{source} is 'numba', whose kernels run compiled only, but NUMBA_DISABLE_JIT is set. "
        "Unset it before Python starts, or use the engine 'numpy'."
    )


OPTIONAL = ["numba", "llvmlite", "sklearn", "scipy", "matplotlib", "rich", "joblib", "pandas", "safetensors"]


def test_importing_fastmlp_imports_nothing_but_numpy() -> None:
    script = f"import json, sys, fastmlp; print(json.dumps([name for name in {OPTIONAL!r} if name in sys.modules]))"
    assert json.loads(run(script)) == []


@needs_compiler
def test_a_training_imports_nothing_that_it_does_not_need() -> None:
    script = f"""
import json, sys, fastmlp as fm
net = fm.MLP([2, 8, 3], output="softmax")
net.fit([[0, 1], [1, 0], [1, 1]] * 4, [0, 1, 2] * 4, epochs=3, validation=0.25, metrics=["accuracy"])
net.predict([[0, 1]]), net.jacobian([[0, 1]]), net.summary(), net.copy()
print(json.dumps([name for name in {OPTIONAL!r} if name in sys.modules]))
"""
    assert json.loads(run(script, FASTMLP_ENGINE="numpy")) == []
    # Numba itself looks at SciPy's version.
    assert set(json.loads(run(script, FASTMLP_ENGINE="numba"))) <= {"numba", "llvmlite", "scipy"}


WITHOUT_NUMBA = """
import importlib.abc, sys


class Absent(importlib.abc.MetaPathFinder):
    # Stands in for a machine without numba.
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("numba", "llvmlite"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


%s
import copy, os, pickle, tempfile
import numpy as np
import fastmlp as fm
from fastmlp import engine

net = fm.MLP([2, 8, 1], activation="tanh", output="sigmoid", dropout=0.1)
X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 5, float), np.array([0, 1, 1, 0] * 5)
net.fit(X, y, epochs=5, validation=0.2, metrics=["accuracy"], early_stopping=fm.EarlyStopping())
net.fit(X, y, epochs=5, optimizer="lbfgs")
assert engine.active_name() == "numpy"
assert len(net.history) >= 6
net.backward(X, y), net.step("adam"), net.value_and_grad(X, y), net.input_gradient(X, y), net.jacobian(X), net.activations(X)
again = pickle.loads(pickle.dumps(net)).copy()
assert (again.predict(X) == net.predict(X)).all()
path = os.path.join(tempfile.mkdtemp(), "net.safetensors")
net.save(path)
assert (fm.load(path).predict(X) == net.predict(X)).all()
fm.set_threads(2), fm.warmup(("float32",))
assert engine.info()["engine"] == "numpy"
assert engine.threads() == 1
for ask in (lambda: fm.use_engine("numba"),):
    try:
        ask()
    except ImportError as error:
        assert "pip install numba" in str(error), error
    else:
        raise AssertionError("numba is not there")
assert engine.active_name() == "numpy"
assert not any(name.partition(".")[0] in ("numba", "llvmlite") and sys.modules[name] for name in sys.modules)
print(*net.history.loss)
"""


@pytest.mark.parametrize("way", ["sys.modules['numba'] = None", "sys.meta_path.insert(0, Absent())"], ids=["None", "finder"])
def test_everything_works_without_numba(way) -> None:
    curve = [float(loss) for loss in run(WITHOUT_NUMBA % way).split()]
    assert np.isfinite(curve).all()


# ---- kernels and the arrays they get


def dispatchers():
    """Every function of the kernels that has been compiled here, or loaded from the cache, for Python to call."""
    for name, module in list(sys.modules.items()):
        if name.startswith("fastmlp.kernels"):
            yield from (value for value in vars(module).values() if getattr(value, "signatures", None))


@needs_compiler
@pytest.mark.parametrize("kind", ["read-only", "memory-mapped", "broadcast", "F-order", "unaligned"])
def test_no_kind_of_array_is_compiled_for_anew(kind, tmp_path) -> None:
    """To compile takes many seconds; whatever comes in must have the one type that the kernels know."""
    fm.use_engine("numba")
    X, y = (np.ascontiguousarray(part, np.float64) for part in classes(40))
    weight = np.ones(40)
    net, plain = classifier(), classifier()
    plain.fit(X, y, epochs=1, sample_weight=weight)
    plain.predict(X)

    def change(array):
        if kind == "memory-mapped":
            path = tmp_path / f"{len(list(tmp_path.iterdir()))}.npy"
            np.save(path, array)
            return np.load(path, mmap_mode="r")
        if kind == "broadcast":
            return np.broadcast_to(array, (1, *array.shape))[0]
        if kind == "F-order":
            return np.asfortranarray(array)
        if kind == "unaligned":
            raw = np.zeros(array.nbytes + 1, np.uint8)[1:].view(np.float64).reshape(array.shape)
            raw[...] = array
            return raw
        changed = array.copy()
        changed.flags.writeable = False
        return changed

    # Without the compiler a new type is an error at once.
    kernels = list(dispatchers())
    assert kernels
    for kernel in kernels:
        kernel.disable_compile()
    try:
        net.fit(change(X), change(y), epochs=1, sample_weight=change(weight))
        assert (net.predict(change(X)) == plain.predict(X)).all()
    finally:
        for kernel in kernels:
            kernel.disable_compile(False)


def test_warmup_leaves_nothing_to_compile() -> None:
    script = """
import fastmlp as fm
fm.warmup(("float32",), special=True)
import sys
def forbidden(signature):
    raise RuntimeError("there was something left to compile")
for name, module in list(sys.modules.items()):
    if name.startswith("fastmlp.kernels"):
        for value in vars(module).values():
            if getattr(value, "signatures", None):
                value.disable_compile()
            elif hasattr(value, "disable_compile"):
                value.compile = forbidden
X, y = [[1, 2, 3], [4, 5, 6]] * 5, [0, 1] * 5
for layers in [3, 5, 2], [3, fm.Embedding(3), fm.Dense(5, parametric=True), 2]:
    net = fm.MLP(layers, output="softmax", dropout=0.1)
    for name in fm.optimizers.OPTIMIZERS:
        net.fit(X, y, epochs=2, optimizer=name, sample_weight=[1] * 10, validation=0.5)
    net.predict(X), net.activations(X), net.jacobian(X), net.input_gradient(X, y), net.backward(X, y), net.step("adam")
print("done")
"""
    assert run(script) == "done"
