"""The lessons: each runs, its claims hold, and its pictures are there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.compiler import needs_compiler

FOLDER = Path(__file__).parents[1] / "examples"
LESSONS = sorted(FOLDER.glob("lesson*.py"))


@needs_compiler  # without it they take a quarter of an hour
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_lesson_runs_and_saves_its_pictures(path, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    if path.stem.startswith("lesson4"):
        pytest.importorskip("sympy")
    command = [sys.executable, "-W", "error", str(path), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pictures = list(tmp_path.iterdir())
    assert len(pictures) == done.stdout.count("picture:") >= 1
    assert all(picture.read_bytes().startswith((b"\x89PNG", b"GIF89a")) for picture in pictures)
    assert all(picture.stat().st_size > 10_000 for picture in pictures)


def test_every_lesson_is_in_the_list() -> None:
    text = (FOLDER / "README.md").read_text("utf-8")
    assert len(LESSONS) == 6
    assert [path.name for path in LESSONS if f"({path.name})" not in text] == []
