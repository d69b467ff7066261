"""What the project asks of its own source, read as syntax trees."""

from __future__ import annotations

import ast
import builtins
import doctest
import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fastmlp as fm

ROOT = Path(__file__).parents[1]
FASTMLP = sorted((ROOT / "fastmlp").rglob("*.py"))
KERNELS = sorted((ROOT / "kernels").glob("*.py"))
TESTS = sorted((ROOT / "tests").glob("*.py"))
BENCHMARKS = sorted((ROOT / "benchmarks").rglob("*.py"))

NODES = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def each(paths: list[Path]):
    """Run a test for each file."""
    return pytest.mark.parametrize("path", paths, ids=name_of)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imports(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and module of every import under a node; relative ones begin with as many dots as they have."""
    for found in ast.walk(node):
        if isinstance(found, ast.Import):
            yield from ((found.lineno, alias.name) for alias in found.names)
        elif isinstance(found, ast.ImportFrom):
            dots = "." * found.level
            module = found.module or ""
            if found.level and not module:
                yield from ((found.lineno, dots + alias.name) for alias in found.names)
            else:
                yield found.lineno, dots + module


def at_import_time(module: ast.Module) -> ast.Module:
    """A module without the bodies of its functions and without what only type checkers read."""

    class Strip(ast.NodeTransformer):
        def visit_FunctionDef(self, node):
            return None

        def visit_If(self, node):
            return None if "TYPE_CHECKING" in ast.unparse(node.test) else node

    return Strip().visit(module)


def top(module: str) -> str:
    return module.partition(".")[0]


def test_there_is_source_to_read() -> None:
    assert len(FASTMLP) > 20
    assert len(KERNELS) > 10
    assert Path(__file__) in TESTS


# ---- who imports whom

# Packages that are imported when somebody asks for an estimator: they derive from scikit-learn's.
ESTIMATORS = {"estimators", "tabular"}


@each(FASTMLP)
def test_fastmlp_imports_neither_numba_nor_any_optional_package_when_it_is_imported(path) -> None:
    allowed = {"numpy", "__future__", *sys.stdlib_module_names}
    if path.parent.name in ESTIMATORS:
        allowed.add("sklearn")
    if path.parent.name == "symbolic":  # imported where a formula comes, for which SymPy is needed
        allowed |= {"sympy", "mpmath"}
    outside = [module for _, module in imports(at_import_time(tree(path))) if not module.startswith(".")]
    assert {top(module) for module in outside} - allowed - {"fastmlp"} == set()


@each(FASTMLP)
def test_only_the_engine_imports_the_kernels_and_numba(path) -> None:
    text = path.read_text("utf-8")
    used = [module for _, module in imports(tree(path)) if top(module) in ("numba", "llvmlite") or "kernels" in module]
    if path.name == "engine.py":
        assert "fastmlp.kernels" in text
    else:
        assert used == []
        assert 'import_module("fastmlp.kernels' not in text


@each([*FASTMLP, *KERNELS, *TESTS, *BENCHMARKS])
def test_nobody_imports_kernels_by_that_name(path) -> None:
    """It is installed as fastmlp.kernels; PyPI has another package called kernels."""
    assert [line for line, module in imports(tree(path)) if top(module) == "kernels"] == []


@each(KERNELS)
def test_kernels_import_numba_numpy_the_standard_library_and_themselves(path) -> None:
    allowed = {"numpy", "numba", "llvmlite", "__future__", *sys.stdlib_module_names}
    modules = [module for _, module in imports(tree(path))]
    assert {top(module) for module in modules if not module.startswith(".")} - allowed == set()
    assert [module for module in modules if module.startswith("..")] == []


@each(sorted((ROOT / "fastmlp" / "reference").glob("*.py")))
def test_the_reference_is_numpy_and_nothing_else(path) -> None:
    """SciPy's erf may serve where it is installed, and is then imported when it is asked for."""
    modules = [module for _, module in imports(at_import_time(tree(path)))]
    allowed = {"numpy", "__future__", "math", "functools", "collections", "typing"}
    assert {top(module) for module in modules if not module.startswith(".")} - allowed == set()
    assert [module for module in modules if module.startswith("..")] == []


# From what people call down to what calculates.
LAYERS = ["cli", "commands", "sweeps", "plots", "network", "answers", "training", "arguments", "state", "engine"]


@pytest.mark.parametrize("name", LAYERS)
def test_imports_go_down_and_never_up(name) -> None:
    above = set(LAYERS[: LAYERS.index(name)])
    place = ROOT / "fastmlp" / name
    files = sorted(place.glob("*.py")) or [place.with_suffix(".py")]
    modules = {module for path in files for _, module in imports(at_import_time(tree(path)))}
    if place.is_dir():  # one dot is for the folder's own modules
        modules = {module for module in modules if module.startswith("..")}
    used = {module.strip(".").partition(".")[0] for module in modules}
    assert used & above == set()


# ---- how things are compiled


@each(BENCHMARKS)
def test_benchmarks_import_of_fastmlp_what_is_there(path) -> None:
    for found in ast.walk(tree(path)):
        if isinstance(found, ast.ImportFrom) and not found.level and top(found.module or "") == "fastmlp":
            module = importlib.import_module(found.module)
            for alias in found.names:
                assert hasattr(module, alias.name) or importlib.util.find_spec(f"{found.module}.{alias.name}"), alias.name


def numba_names(module: ast.Module) -> Iterator[str]:
    """Every use of an attribute of numba, and what is imported from it."""
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "numba":
            yield node.attr
        elif isinstance(node, ast.ImportFrom) and node.module == "numba":
            yield from (alias.name for alias in node.names)


@each(KERNELS)
def test_functions_are_compiled_by_jit_alone(path) -> None:
    compilers = {"njit", "jit", "vectorize", "guvectorize", "cfunc", "generated_jit", "prange", "stencil"}
    if path.name != "jit.py":
        assert set(numba_names(tree(path))) & compilers == set()


def compiled(module: ast.Module, *kinds: str) -> dict[str, ast.FunctionDef]:
    """A module's functions that are compiled as one of some kinds."""
    functions = (node for node in module.body if isinstance(node, ast.FunctionDef))
    return {node.name: node for node in functions if {ast.unparse(kind) for kind in node.decorator_list} & {*kinds}}


@each(KERNELS)
def test_an_entry_is_called_by_python_alone(path) -> None:
    """A process that has loaded it has no code of it that could be linked."""
    module = tree(path)
    entries = {*compiled(module, "entry")}
    for node in module.body:
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
            elsewhere = compiled(tree(path.with_name(f"{node.module}.py")), "entry")
            entries |= {alias.asname or alias.name for alias in node.names if alias.name in elsewhere}
    for function in compiled(module, "entry", "inner", "glue").values():
        assert {node.id for node in ast.walk(function) if isinstance(node, ast.Name)} & entries == set(), function.name


@each([*KERNELS, *FASTMLP])
def test_nobody_asks_for_fastmath_or_parallel(path) -> None:
    """Fastmath gives wrong answers for NaN; numba's threads end the process when two Python threads enter them."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.keyword):
            assert node.arg not in ("fastmath", "parallel")
        if isinstance(node, ast.Dict):
            keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
            assert not {"fastmath", "parallel"} & set(keys)


# ---- tests


def calls(module: ast.Module, *names: str) -> Iterator[ast.Call]:
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in names:
            yield node


@each(TESTS)
def test_whoever_expects_an_error_or_a_warning_says_what_it_tells(path) -> None:
    for call in calls(tree(path), "pytest.raises", "pytest.warns", "raises", "warns"):
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        assert "match" in given, f"line {call.lineno} has no match="
        assert not (isinstance(given["match"], ast.Constant) and given["match"].value in ("", ".*")), f"line {call.lineno}"


@each(TESTS)
def test_every_test_has_a_name_that_says_something(path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            assert len(node.name) > len("test_xor"), node.name


def test_no_test_hides_behind_another_of_its_name() -> None:
    for path in TESTS:
        names = [node.name for node in tree(path).body if isinstance(node, NODES)]
        assert len(names) == len(set(names)), name_of(path)


# ---- documentation


def public(module: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Public functions, classes and methods that are not hidden inside a function; a property's getter stands for it."""

    def walk(node, prefix):
        for child in node.body:
            setter = any(ast.unparse(decorator).endswith(".setter") for decorator in getattr(child, "decorator_list", []))
            if isinstance(child, NODES) and not child.name.startswith("_") and not setter:
                yield prefix + child.name, child
                if isinstance(child, ast.ClassDef):
                    yield from walk(child, f"{prefix}{child.name}.")

    yield from walk(module, "")


@each([*FASTMLP, *KERNELS])
def test_every_module_says_what_it_is(path) -> None:
    doc = ast.get_docstring(tree(path))
    assert doc
    assert doc.splitlines()[0].rstrip().endswith((".", ":")) or len(doc.splitlines()) > 1


@each(FASTMLP)
def test_everything_public_has_a_docstring(path) -> None:
    protocol = {"Reporter"}  # its methods are those of the classes that follow it
    without = [name for name, node in public(tree(path)) if not ast.get_docstring(node) and name.split(".")[0] not in protocol]
    assert without == []


def documented(doc: str) -> list[str]:
    """Names in the Parameters section of a numpydoc docstring."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-{3,}\n|\Z)", doc, re.DOTALL | re.MULTILINE)
    if section is None:
        return []
    heads = re.findall(r"^(\S[^:\n]*?)(?: : .*)?$", section[1], re.MULTILINE)
    return [name.strip().lstrip("*") for head in heads for name in head.split(",")]


def arguments(node: ast.AST) -> set[str]:
    """What a function takes, or a class: its __init__'s arguments, or the fields of a dataclass and of what it derives from."""
    if isinstance(node, ast.ClassDef):
        found = {item.target.id for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)}
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                found |= arguments(item)
        return found
    assert isinstance(node, ast.FunctionDef)
    spec = node.args
    every = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, *filter(None, [spec.vararg, spec.kwarg])]
    return {argument.arg for argument in every}


@each(FASTMLP)
def test_every_documented_parameter_exists(path) -> None:
    module = tree(path)
    fields = {node.name: arguments(node) for node in module.body if isinstance(node, ast.ClassDef)}
    for neighbour in (path.parent / f"{name.strip('.')}.py" for _, name in imports(module) if name.startswith(".")):
        if neighbour.exists():
            fields |= {node.name: arguments(node) for node in tree(neighbour).body if isinstance(node, ast.ClassDef)}
    for name, node in public(module):
        known = arguments(node)
        for base in getattr(node, "bases", []):
            known = known | fields.get(ast.unparse(base), set())
            known |= {field for other in fields.values() for field in other} if isinstance(node, ast.ClassDef) else set()
        unknown = [parameter for parameter in documented(ast.get_docstring(node) or "") if parameter not in known]
        assert unknown == [], f"{name} documents {unknown}"


def test_fastmlp_is_imported_without_what_only_some_need() -> None:
    code = (
        "import sys, fastmlp; print(sorted({'numba', 'sympy', 'mpmath', 'matplotlib', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_search_for_parameters_finds_them() -> None:
    doc = "F.\n\nParameters\n----------\na, b : int\n    Text: more.\nc\n    More.\n\nRaises\n------\nValueError\n    No."
    assert documented(doc) == ["a", "b", "c"]


def test_every_public_name_is_there_and_documented() -> None:
    for name in fm.__all__:
        thing = getattr(fm, name)
        assert name == "__version__" or thing.__doc__, name
    with pytest.raises(AttributeError, match="module 'fastmlp' has no attribute 'nothing'"):
        fm.nothing  # noqa: B018


def asked_about() -> Iterator[tuple[str, str]]:
    """Names and docstrings of what users may ask help for: public functions, and classes with their methods."""
    modules = fm, fm.datasets, fm.plots, fm.scalar, fm.tabular
    things = [getattr(module, name) for module in modules for name in module.__all__]
    things += [fm.losses.CrossEntropy, fm.losses.Huber, fm.losses.Quantile, fm.metrics.Metric]
    things += [fm.initializers.Normal, fm.initializers.Uniform, fm.schedules.Schedule]
    for thing in filter(callable, things):
        yield thing.__qualname__, thing.__doc__ or ""
        for name, method in inspect.getmembers(thing, inspect.isroutine) if inspect.isclass(thing) else ():
            if not name.startswith("_"):
                yield f"{thing.__qualname__}.{name}", method.__doc__ or ""


def missing_names(doc: str) -> set[str]:
    """Names that the examples of a docstring use and do not make."""
    code = ast.parse("".join(example.source for example in doctest.DocTestParser().get_examples(doc)))
    made = {name.asname or top(name.name) for node in ast.walk(code) for name in getattr(node, "names", [])}
    made |= {node.name for node in ast.walk(code) if isinstance(node, NODES)}
    made |= {node.arg for node in ast.walk(code) if isinstance(node, ast.arg)}
    names = [node for node in ast.walk(code) if isinstance(node, ast.Name)]
    made |= {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    return {node.id for node in names} - made - set(dir(builtins))


def test_examples_of_what_is_public_run_where_they_are_pasted() -> None:
    found = dict(asked_about())
    assert len(found) > 100
    assert {name: missing for name, doc in found.items() if (missing := missing_names(doc))} == {}
    assert missing_names(">>> import numpy as np\n>>> for i in a:\n...     np.add(i, b)") == {"a", "b"}


# ---- size


@each([*FASTMLP, *KERNELS])
def test_a_file_is_one_thing(path) -> None:
    """About 400 lines, and about 60 a function without its docstring."""
    assert len(path.read_text("utf-8").splitlines()) <= 500
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            lines = (node.end_lineno or 0) - first.lineno + 1
            assert lines <= 70, f"{node.name} has {lines} lines"


def test_every_method_of_a_network_has_an_example_and_what_it_raises() -> None:
    cannot_fail = {"summary", "spec", "copy", "zero_grad"}
    methods = {name: method for name, method in inspect.getmembers(fm.MLP, callable) if not name.startswith("_")}
    assert {name for name, method in methods.items() if ">>>" not in (method.__doc__ or "")} == set()
    raising = {name for name, method in methods.items() if "Raises\n" in (method.__doc__ or "")}
    assert set(methods) - raising == cannot_fail
