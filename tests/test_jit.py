"""The code cache: what makes an entry stale, what counts as a miss, and who may share a folder; and the kinds of kernels.

`vmath.exp` stands for all kernels, since it compiles in a moment.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

import numba
from fastmlp.kernels import jit, tile, vmath

pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="kernels need the compiler")

X = np.linspace(-3, 3, 37, dtype=np.float32)
# What a process reports that calls `vmath.exp` on X: its result, whether it found it in the cache, the listener's calls.
PROCESS = """
import json
import numpy as np
from fastmlp.kernels import jit, vmath
compiled = []
jit.on_compile = lambda: compiled.append(1)
out = np.empty(37, np.float32)
vmath.exp(np.linspace(-3, 3, 37, dtype=np.float32), out)
stats = vmath.exp.stats
print(json.dumps([out.tolist(), sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), len(compiled)]))
"""


# The same from the cache, without what Numba imports to compile; then it has to compile code of the user's own.
COMPILES_LATER = """
import sys
import numba
import numpy as np
from fastmlp.kernels import jit, vmath
x, out = np.linspace(-3, 3, 37, dtype=np.float32), np.empty(37, np.float32)
vmath.exp(x, out)
assert sum(vmath.exp.stats.cache_hits.values()) == 1
assert "numba.np.arraymath" not in sys.modules and "scipy.linalg" not in sys.modules
np.testing.assert_allclose(out, np.exp(x), rtol=5e-7)
@numba.njit
def solved(a, b):
    return np.linalg.solve(a, b) + np.sort(b)
np.testing.assert_allclose(solved(2 * np.eye(3), np.array([3.0, 2, 1])), [2.5, 3, 3.5])
wide = np.empty(37)
vmath.exp(x.astype(float), wide)
np.testing.assert_allclose(wide, np.exp(x.astype(float)), rtol=1e-15)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that kernels made from now on are cached in."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows with each call of the listener."""
    calls: list[str] = []
    monkeypatch.setattr(jit, "on_compile", lambda: calls.append("compiled"))
    return calls


def fresh() -> Any:
    """The kernel as a new process has it: nothing compiled or loaded."""
    return jit.entry(vmath.exp.py_func)


def assert_right(kernel: Any, x: np.ndarray = X) -> None:
    out = np.empty_like(x)
    kernel(x, out)
    np.testing.assert_allclose(out, np.exp(x), rtol=4 * np.finfo(x.dtype).eps)


def hits_and_misses(kernel: Any) -> tuple[int, int]:
    return sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values())


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.nbc"))


# What makes an entry stale.


def stamp_of(package: Path) -> str:
    """The stamp that a copy of the package computes."""
    spec = importlib.util.spec_from_file_location(f"{jit.__package__}.copied_jit", package / "jit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.sources_stamp()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the kernels' sources."""
    return Path(shutil.copytree(Path(jit.__file__).parent, tmp_path / "kernels", ignore=shutil.ignore_patterns("__pycache__")))


def test_stamp_is_the_same_for_the_same_sources(package):
    assert stamp_of(package) == jit.sources_stamp()


def test_stamp_changes_with_one_byte_of_any_file(package):
    stamps = {stamp_of(package)}
    sources = sorted(package.glob("*.py"))
    assert Path(tile.__file__).name in {path.name for path in sources}
    for path in sources:
        content = path.read_bytes()
        path.write_bytes(content + b"\n")
        stamps.add(stamp_of(package))
        path.write_bytes(content)
    assert len(stamps) == len(sources) + 1


def test_stamp_changes_with_a_file_that_comes_goes_or_is_renamed(package):
    stamps = [stamp_of(package)]
    (package / "rng.py").rename(package / "zzz.py")
    stamps.append(stamp_of(package))
    (package / "zzz.py").unlink()
    stamps.append(stamp_of(package))
    (package / "more.py").touch()
    stamps.append(stamp_of(package))
    assert len(set(stamps)) == 4


@pytest.mark.parametrize("module", ["numba", "llvmlite"])
def test_stamp_changes_with_the_compilers(module, monkeypatch):
    before = jit.sources_stamp()
    monkeypatch.setattr(getattr(jit, module), "__version__", "0.0.1")
    assert jit.sources_stamp.__wrapped__() != before


def test_stamp_changes_with_the_vectors_width(monkeypatch):
    stamps = set()
    for width in ("16", "32", "64"):
        monkeypatch.setenv("FASTMLP_VECTOR_BYTES", width)
        stamps.add(jit.sources_stamp.__wrapped__())
    assert len(stamps) == 3


def test_code_for_another_stamp_is_a_miss_and_goes(folder, monkeypatch):
    assert_right(fresh())
    assert_right(fresh(), X.astype(np.float64))
    before = files(folder)
    other = before[0].with_name(before[0].name.replace("-", "-9", 1))  # the kernel, when it stood on another line
    before[0].rename(other)
    monkeypatch.setattr(jit, "sources_stamp", lambda: "other")
    kernel = fresh()
    assert_right(kernel)
    assert hits_and_misses(kernel) == (0, 1)
    (after,) = files(folder)
    assert "-other-" in after.name


def test_what_is_not_the_kernels_own_stays_when_its_stale_files_go(folder, monkeypatch):
    assert_right(fresh())
    (own,) = files(folder)
    others = [own.with_name(own.name.replace(*change)) for change in
              [("vmath.exp", "vmath.expm1"), ("vmath.exp", "vmath"), (".py3", ".py4"), (".nbc", ".txt")]]  # fmt: skip
    for path in others:
        path.touch()
    monkeypatch.setattr(jit, "sources_stamp", lambda: "other")
    assert_right(fresh())
    assert not own.exists()
    assert all(path.exists() for path in others)


def test_code_for_another_width_of_vectors_stays(folder, monkeypatch):
    assert_right(fresh())
    monkeypatch.setattr(jit, "sources_stamp", lambda stamp=jit.sources_stamp(): f"{stamp}16")
    kernel = fresh()
    assert_right(kernel)
    assert hits_and_misses(kernel) == (0, 1)
    assert len(files(folder)) == 2


@pytest.mark.parametrize(("age", "stays"), [(60.0, True), (7200.0, False)])
@pytest.mark.parametrize("stamp", ["same", "other"])
def test_what_an_interrupted_write_left_goes_after_an_hour(age, stays, stamp, folder, monkeypatch):
    assert_right(fresh())
    (own,) = files(folder)
    left = own.with_name(f"{own.name}.tmp.0123456789abcdef")
    left.write_bytes(b"torn")
    os.utime(left, (time.time() - age,) * 2)
    if stamp == "other":
        monkeypatch.setattr(jit, "sources_stamp", lambda: "other")
    assert_right(fresh(), X.astype(np.float64))
    assert left.exists() is stays


def test_a_stale_file_that_cannot_be_removed_stops_nothing(folder, monkeypatch):
    assert_right(fresh())

    def refuse(path):
        raise PermissionError(13, "The file is open")

    monkeypatch.setattr(jit, "sources_stamp", lambda: "other")
    with monkeypatch.context() as patched:
        patched.setattr(jit.os, "unlink", refuse)
        assert_right(fresh())
    assert len(files(folder)) == 2


def test_code_for_another_cpu_is_a_miss(folder, monkeypatch):
    assert_right(fresh())
    kernel = fresh()
    monkeypatch.setattr(type(kernel.targetctx.codegen()), "magic_tuple", lambda self: ("another CPU",))
    assert_right(kernel)
    assert hits_and_misses(kernel) == (0, 1)
    assert len(files(folder)) == 2


# Hits and misses.


def test_code_is_loaded_and_not_compiled_again(folder, compiled):
    for expected in [(0, 1), (1, 0)]:
        kernel = fresh()
        assert_right(kernel)
        assert hits_and_misses(kernel) == expected
    assert compiled == ["compiled"]
    assert len(files(folder)) == 1


def test_what_is_loaded_is_for_python_alone(folder):
    """The file has no IR that other code could link; nothing may call the names that stand there in its place."""
    fresh()(X, np.empty_like(X))
    loaded = fresh()

    @numba.njit
    def ours(x, out):
        loaded(x, out)

    assert_right(loaded)
    with pytest.raises(RuntimeError, match="library unfit for linking"):
        ours(X, np.empty_like(X))
    assert_right(loaded)


def test_each_signature_has_its_own_file(folder):
    kernel = fresh()
    assert_right(kernel)
    assert_right(kernel, X.astype(np.float64))
    assert len(files(folder)) == 2
    kernel = fresh()
    assert_right(kernel, X.astype(np.float64))
    assert_right(kernel)
    assert hits_and_misses(kernel) == (2, 0)


def test_a_writer_leaves_nothing_but_its_entry(folder):
    assert_right(fresh())
    assert [path for path in folder.rglob("*") if path.is_file()] == files(folder)


SPOILT = {
    "empty": lambda content: b"",
    "torn": lambda content: content[: len(content) // 2],
    "noise": lambda content: bytes(range(256)) * 8,
    "a bit": lambda content: content[:-900] + bytes([content[-900] ^ 1]) + content[-899:],
    "zeros": lambda content: content[:1000] + bytes(len(content) - 1000),
    "text": lambda content: b"not a pickle\n",
    "no pair": lambda content: jit.sealed(pickle.dumps("something else")),
    "triple": lambda content: jit.sealed(pickle.dumps((1, 2, 3))),
    "another key": lambda content: jit.sealed(pickle.dumps(("('another key',)", pickle.loads(jit.unsealed(content))[1]))),
    "unknown class": lambda content: jit.sealed(b"cno.such.module\nThing\n."),
}


@pytest.mark.parametrize("how", list(SPOILT))
def test_a_spoilt_file_is_a_miss_and_is_written_again(how, folder, compiled):
    assert_right(fresh())
    (path,) = files(folder)
    path.write_bytes(SPOILT[how](path.read_bytes()))
    for expected in [(0, 1), (1, 0)]:
        kernel = fresh()
        assert_right(kernel)
        assert hits_and_misses(kernel) == expected
    assert files(folder) == [path]


def test_recompile_flushes_the_kernels_own_files_only(folder):
    assert_right(fresh())
    other = jit.entry(vmath.log.py_func)
    other(np.abs(X), np.empty_like(X))
    kernel = fresh()
    kernel._cache.flush()
    (left,) = files(folder)
    assert left.name.startswith("vmath.log")


def test_cached_files_lists_them(folder):
    assert jit.cached_files() == []
    assert_right(fresh())
    assert jit.cached_files() == files(folder)
    assert str(files(folder)[0].parent) == jit.cache_folder()


# Folders that cannot be written to.


def test_a_full_disk_stops_nothing(folder, monkeypatch):
    def refuse(self, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jit._KeyedFiles, "_open_for_write", refuse)
    assert_right(fresh())
    assert files(folder) == []


def test_a_read_only_cache_is_read(folder, monkeypatch):
    assert_right(fresh())

    def refuse(self, path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(jit._KeyedFiles, "_open_for_write", refuse)
    kernel = fresh()
    assert_right(kernel)
    assert hits_and_misses(kernel) == (1, 0)
    assert_right(kernel, X.astype(np.float64))
    assert len(files(folder)) == 1


def test_without_any_folder_kernels_are_compiled_in_each_process(tmp_path, compiled, monkeypatch):
    """A folder below a file cannot be made, not even by root."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "file" / "cache"))
    cannot = classmethod(lambda cls, *args: None)
    for locator in numba.core.caching.CacheImpl._locator_classes:
        if "UserProvided" not in locator.__name__:
            monkeypatch.setattr(locator, "from_function", cannot)
    for _ in range(2):
        kernel = fresh()
        assert_right(kernel)
        assert hits_and_misses(kernel) == (0, 1)
    assert compiled == ["compiled"]
    assert jit.cache_folder() is None
    assert jit.cached_files() == []


# The listener.


def test_the_listener_hears_of_the_first_kernel_only(folder, compiled):
    kernel = fresh()
    assert_right(kernel)
    assert_right(kernel, X.astype(np.float64))
    assert compiled == ["compiled"]


def test_the_listener_hears_nothing_if_all_is_cached(folder, compiled, monkeypatch):
    assert_right(fresh())
    compiled.clear()
    monkeypatch.setattr(jit, "on_compile", lambda: compiled.append("compiled"))
    kernel = fresh()
    assert_right(kernel)
    assert_right(kernel)
    assert compiled == []


# Processes that share a folder.


def start(folder: Path, program: str = PROCESS, **variables: str) -> subprocess.Popen:
    """A process that calls the kernel."""
    variables = {"NUMBA_CACHE_DIR": str(folder), **variables}
    environment = {name: value for name, value in os.environ.items() if name != "FASTMLP_VECTOR_BYTES"}
    command, pipe = [sys.executable, "-c", program], subprocess.PIPE
    return subprocess.Popen(command, env={**environment, **variables}, stdout=pipe, stderr=pipe, text=True)


def reported(process: subprocess.Popen) -> tuple[int, int, int]:
    """Hits, misses and calls of the listener, after the result was checked."""
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    result, *counts = json.loads(output)
    np.testing.assert_allclose(result, np.exp(X), rtol=5e-7)
    return tuple(counts)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, int, int]]]:
    """A folder that was empty when eight processes began at once, and what they report."""
    folder = tmp_path_factory.mktemp("shared")
    processes = [start(folder) for _ in range(8)]
    return folder, [reported(process) for process in processes]


def test_eight_processes_start_at_once_on_a_cold_cache(shared):
    folder, reports = shared
    assert all(hits + misses == 1 and misses == calls for hits, misses, calls in reports)
    assert any(misses for _, misses, _ in reports)
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 1


def test_a_later_process_loads_what_an_earlier_one_compiled(shared):
    assert reported(start(shared[0])) == (1, 0, 0)


def test_what_only_compiling_needs_is_imported_when_something_is_compiled(shared, tmp_path):
    shutil.copytree(shared[0], tmp_path / "copy")
    process = start(tmp_path / "copy", COMPILES_LATER)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors


def test_no_code_is_loaded_for_another_width_of_vectors(shared):
    for expected in [(0, 1, 1), (1, 0, 0)]:
        assert reported(start(shared[0], FASTMLP_VECTOR_BYTES="16")) == expected
    assert len(files(shared[0])) == 2


# Kernels for kernels.


@jit.inner
def doubled(x):
    return x + x


@jit.glue
def doubled_and_one(x):
    return doubled(x) + 1


def symbol_is_defined(kernel: Any) -> bool:
    """Whether the process has machine code for the kernel's only signature."""
    (result,) = kernel.overloads.values()
    return result.library.codegen._engine.is_symbol_defined(result.fndesc.llvm_func_name)


def test_inner_code_is_never_made_into_machine_code_of_its_own(folder):
    def tripled(x):
        return x * 3

    def call(x):
        return inner(x) + glue(x)

    inner, glue, entry = jit.inner(tripled), jit.glue(tripled), jit.entry(tripled)
    for kernel in (inner, glue, entry):
        kernel.compile((numba.float64,))
    for kernel in (inner, glue):
        assert type(kernel.overloads[numba.float64,].library) is jit._LinkedCode
        assert not symbol_is_defined(kernel)
    assert symbol_is_defined(entry)
    assert len(files(folder)) == 1
    assert jit.entry(call)(2.0) == 12.0
    assert len(files(folder)) == 2


@pytest.mark.parametrize("kernel", [doubled, doubled_and_one], ids=["inner", "glue"])
def test_inner_code_refuses_to_be_called_from_python(kernel):
    name = kernel.py_func.__name__
    for value in (3, 3.0, 3.0):
        with pytest.raises(KeyError, match=f"the kernel {name} can be called by other kernels only"):
            kernel(value)


def test_every_inner_function_is_its_own_to_the_compiler():
    """Numba finds a function's code by its entry point: two that were equal would be called in each other's place."""
    points = set()
    for kernel in (doubled, doubled_and_one):
        for signature in [(numba.float32,), (numba.float64,)]:
            kernel.compile(signature)
            points.add(kernel.overloads[signature].entry_point)
    assert len(points) == 4
