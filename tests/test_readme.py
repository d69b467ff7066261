"""README's Python, block after block in one process, as a reader would run it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compiler import needs_compiler

README = Path(__file__).parents[1] / "README.md"


@needs_compiler  # without it they take minutes
def test_the_blocks_run_one_after_the_other(tmp_path) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert len(blocks) >= 5
    command = [sys.executable, "-W", "ignore", "-c", "\n".join(blocks)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=600, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "digits.safetensors").exists()
    assert (tmp_path / "sweep.png").stat().st_size > 10_000
    printed = [float(line) for line in done.stdout.splitlines() if re.fullmatch(r"[01]\.\d+", line)]
    assert len(printed) == 2  # the accuracy of held back digits, and the mean of a cross-validation
    assert min(printed) > 0.9
