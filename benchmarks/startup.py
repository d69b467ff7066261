"""What comes before the first trained network: imports, compiling on a cold cache, loading from a warm one.

Each is measured in a process of its own, which gets a cache folder of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.table import Table

from .measure import Effort

ROOT = Path(__file__).parent.parent
# Prints a JSON object of seconds.
_IMPORT = """
import json, sys, time
began = time.perf_counter()
import fastmlp
seconds = time.perf_counter() - began
heavy = [name for name in ("numba", "scipy", "sklearn", "matplotlib", "rich", "pandas") if name in sys.modules]
print(json.dumps({"import": seconds, "heavy": heavy}))
"""
FIT = """
import json, sys, time
import numpy as np
began = time.perf_counter()
import numba
numba_done = time.perf_counter()
import fastmlp as fm
imported = time.perf_counter()
for dtype in sys.argv[1:]:
    x, y = np.eye(8, dtype=dtype), np.arange(8) % 3
    fm.MLP([8, 16, 3], output="softmax", dtype=dtype).fit(x, y, epochs=1, progress=False)
fitted = time.perf_counter()
print(json.dumps({"numba": numba_done - began, "import": imported - numba_done, "fit": fitted - imported}))
"""


def run(script: str, *arguments: str, cache: str | None = None) -> dict[str, Any]:
    """Run a script in a fresh interpreter and return what it prints."""
    environment = os.environ | ({"NUMBA_CACHE_DIR": cache} if cache else {})
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # modules come compiled, as they do for those who have installed them
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def cold(*dtypes: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the seconds of a first fit on an empty cache, and of the next process's on the cache that it left."""
    with tempfile.TemporaryDirectory() as cache:
        first = run(FIT, *dtypes, cache=cache)
        return first, run(FIT, *dtypes, cache=cache)


def imports() -> dict[str, Any]:
    """Return the seconds of ``import fastmlp``, and what large packages it brought in."""
    return run(_IMPORT)


def measure(effort: Effort, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure all of it, the least of a few runs where runs are short."""
    say("start: imports, then compiling for float32 and for both dtypes in empty caches")
    bare = min((imports() for _ in range(effort.fewest)), key=lambda run: run["import"])
    compile32, _ = cold("float32")
    compile_both, _ = cold("float32", "float64")
    with tempfile.TemporaryDirectory() as cache:
        run(FIT, "float32", cache=cache)
        warm = [run(FIT, "float32", cache=cache) for _ in range(effort.fewest)]
    first = min(warm, key=lambda run: run["import"] + run["fit"])
    return {
        "import": bare["import"],
        "heavy": bare["heavy"],
        "numba": first["numba"],
        "cold float32": compile32["fit"],
        "cold both": compile_both["fit"],
        "warm": first["import"] + first["fit"],
    }


def table(result: dict[str, Any]) -> Table:
    """Return the figures as a table."""
    shown = Table("seconds", "", "goal", title="Start")
    lines = [
        ("import fastmlp", "import", f"brings in {', '.join(result['heavy']) or 'none of the large packages'}"),
        ("import numba", "numba", ""),
        ("first fit, cold cache, float32", "cold float32", "≤ 20"),
        ("first fits, cold cache, both dtypes", "cold both", "≤ 40"),
        ("import fastmlp and first fit, warm cache, beyond import numba", "warm", "≤ 0.5"),
    ]
    for what, key, goal in lines:
        shown.add_row(what, f"{result[key]:.2f}", goal)
    return shown
