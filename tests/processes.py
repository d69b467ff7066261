"""Tests that need a new Python process."""

from __future__ import annotations

import os
import subprocess
import sys


def run(script: str, **environment: str) -> str:
    """What a new Python process prints."""
    inherited = {name: value for name, value in os.environ.items() if name != "FASTMLP_ENGINE"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False,
                          env={**inherited, **environment})  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
