"""Kernels touch nothing beside their arrays, and nothing depends on what scratch memory held."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import fastmlp as fm
from tests.compiler import needs_compiler
from tests.processes import run

ROOT = str(Path(__file__).parents[1])


@needs_compiler
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pages are protected in Linux's way")
def test_kernels_touch_nothing_beside_their_arrays() -> None:
    fm.warmup(special=True)  # whoever has no cache compiles again, in the process below
    path = os.pathsep.join([ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])
    assert run("from tests.guard_pages import main; main(180)", PYTHONPATH=path) == "nothing beside its arrays"
