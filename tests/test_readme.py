"""README's Python, block after block in one process, as a reader would run it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compiler import needs_compiler

README = Path(__file__).parents[1] / "README.md"


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)


@needs_compiler  # without it they take minutes
def test_the_blocks_run_one_after_the_other(tmp_path) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    assert len(blocks()) >= 5
    command = [sys.executable, "-W", "ignore", "-c", "\n".join(blocks())]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=600, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "digits.safetensors").exists()
    assert (tmp_path / "sweep.png").stat().st_size > 10_000
    printed = [float(line) for line in done.stdout.splitlines() if re.fullmatch(r"[01]\.\d+", line)]
    assert len(printed) == 2  # the accuracy of held back digits, and the mean of a cross-validation
    assert min(printed) > 0.9


USER = """
import numpy as np
import fastmlp as fm


class Stop(fm.Callback):
    def on_epoch_end(self, net: fm.MLP, epoch: int, logs: dict[str, float]) -> bool:
        return logs["loss"] < 0.1


class StopSome(fm.Callback):
    def on_epoch_end(self, net: fm.Population, epoch: int, logs: dict[str, np.ndarray]) -> np.ndarray:
        return logs["loss"] < 0.1


net: fm.MLP = fm.load("net.safetensors")
net.fit([[0.0]], [1.0], callbacks=[Stop()], optimizer=fm.SGD(0.1, weight_factor=[0.0, 1.0]))
square = fm.activation(lambda x: x * x)
population = fm.Population([1, 8, 1], size=2, activation=square, loss=fm.losses.CrossEntropy([0.0, 0.1]))
population.fit([[0.0]], [1.0], callbacks=[StopSome()], optimizer=fm.SGD([0.1, 0.2], momentum=[0.0, 0.9], clip_norm=[1.0, 2.0]))
fm.MLPClassifier((16,), solver="lbfgs").fit([[0.0], [1.0]], [0, 1]).predict([[0.5]])
fm.scalar.Value(2.0).relu().backward()
net.weights.no_such_thing
"""


def test_types_suit_what_users_write(tmp_path) -> None:
    """README's blocks and a program of a user's are well typed, and an error in it is seen: not everything is Any."""
    pytest.importorskip("mypy")
    (tmp_path / "readme.py").write_text("\n".join(blocks()), "utf-8")
    (tmp_path / "user.py").write_text(USER, "utf-8")
    root = README.parent
    command = [sys.executable, "-m", "mypy", "--config-file", str(root / "pyproject.toml"), "--no-error-summary",
               str(tmp_path / "readme.py"), str(tmp_path / "user.py")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, cwd=root)
    errors = [line.split(" error: ")[1] for line in done.stdout.splitlines() if " error: " in line]
    assert len(errors) == 1, done
    assert 'has no attribute "no_such_thing"' in errors[0]
