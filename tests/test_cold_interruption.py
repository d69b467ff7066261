"""Ctrl-C while kernels are compiled: nobody waits for the compiler, neither the call nor the end of the process.

Each process has an empty code cache, says "begun" and "compiled" when it does these with the kernel that takes longest, and
gets its SIGINT between.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

numba = pytest.importorskip("numba")

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send"),
    pytest.mark.skipif(numba.config.DISABLE_JIT, reason="kernels need the compiler"),
]

SCRIPT = """
import os, signal, sys, threading
import numpy as np
import fastmlp as fm

fm.use_engine("numba")
from fastmlp.kernels import answers, run


def say(word):
    os.write(1, f"{word}\\n".encode())  # print would hold stdout's lock while the process ends


def tell(compiler):
    compile_kernel = compiler.compile

    def compile_and_say(*types):
        say("begun")
        result = compile_kernel(*types)
        say("compiled")
        return result

    compiler.compile = compile_and_say


tell(run._run._compiler)
X, y = np.eye(4, 2), np.arange(4.0)
"""
AGAIN = """
def interrupted(call):
    threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
    try:
        call()
    except KeyboardInterrupt:
        say("interrupted")


net, fresh = fm.MLP([2, 8, 1], seed=1), fm.MLP([2, 8, 1], seed=1)
try:
    net.fit(X, y)
except KeyboardInterrupt:
    say("interrupted")
assert net.history.stopped == "interrupted" and len(net.history) == 0
interrupted(lambda: net.predict(X))
interrupted(lambda: fm.warmup("float32"))
assert (net.params == fresh.params).all()
for each in (net, fresh):
    each.fit(X, y)
assert (net.params == fresh.params).all()
say("trained")
"""
ENDS = {
    "fit": "fm.MLP([2, 8, 1]).fit(X, y)",
    "predict by threads": "tell(answers._answer._compiler); fm.set_threads(2)\n"
    "fm.MLP([500, 500, 1]).predict(np.zeros((10_000, 500)))",
    "warmup": "fm.warmup()",
    "caught": "try:\n    fm.warmup()\nexcept KeyboardInterrupt:\n    sys.exit(130)",
    "command": "from fastmlp.cli import main; sys.exit(main(['train', 'xor', '--engine', 'numba']))",
}


def interrupt(script: str, cache: Path) -> tuple[list[str], str, int]:
    """Send SIGINT to a process once it compiles; return its lines, its errors and its status."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    command, pipe = [sys.executable, "-c", SCRIPT + script], subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if lines[-1] == "begun":
                process.send_signal(signal.SIGINT)
                break
        rest, errors = process.communicate(timeout=170)
    return [*lines, *rest.split("\n")[:-1]], errors, process.returncode


@pytest.mark.parametrize("how", ENDS)
def test_the_process_ends_before_the_compiler_does(how, tmp_path) -> None:
    lines, errors, status = interrupt(ENDS[how], tmp_path)
    assert "begun" in lines
    assert "compiled" not in lines
    if how in ("caught", "command"):
        assert status == 130
        assert errors == ("" if how == "caught" else "fastmlp train: interrupted\n")
    else:
        assert status == -signal.SIGINT
        assert errors.splitlines()[-1] == "KeyboardInterrupt"
        assert errors.count("Traceback") == 1


def test_calls_are_left_before_the_compiler_ends_and_the_network_is_as_it_was(tmp_path) -> None:
    lines, errors, status = interrupt(AGAIN, tmp_path)
    assert (status, errors) == (0, "")
    assert lines == ["begun", *["interrupted"] * 3, "compiled", "trained"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
@pytest.mark.parametrize("seconds", [0.02, 0.06, 0.12])
def test_an_interruption_while_the_engine_is_imported_breaks_nothing(seconds) -> None:
    script = f"""
import os, signal, threading, numpy as np, fastmlp as fm
signal.signal(signal.SIGINT, signal.default_int_handler)
threading.Timer({seconds}, os.kill, (os.getpid(), signal.SIGINT)).start()
for _ in range(3):
    try:
        fm.MLP([2, 8, 1]).fit(np.eye(4, 2), np.arange(4.0), progress=False)
        print("trained")
    except KeyboardInterrupt:
        print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    lines = done.stdout.split()
    assert len(lines) == 3, done.stderr
    assert lines[1:] == ["trained", "trained"]
