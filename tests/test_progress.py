"""The progress bar: what it draws on a terminal of 80 columns, and that it is silent elsewhere."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import engine, progress
from tests.problems import classes, classifier

SCRIPT = textwrap.dedent("""
    import sys, time
    import numpy as np
    import fastmlp as fm

    class Slow(fm.Callback):
        def on_epoch_end(self, net, epoch, logs):
            time.sleep(0.12)  # longer than the time between two drawings
            return epoch == STOP

    STOP = {stop}
    X = np.random.default_rng(0).normal(size=(1000, 3))
    fm.MLP([3, 8, 1]).fit(X, X[:, 0], epochs=8, validation={validation}, progress={progress}, callbacks=[Slow()])
    print("the end")
""")


def on_a_terminal(columns: int = 80, **options) -> list[str]:
    """The lines that were drawn, one after the other, by a process that has a terminal."""
    import fcntl
    import os
    import pty
    import struct
    import termios

    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "FASTMLP_ENGINE": "numpy"}
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        environment.pop(name, None)
    script = SCRIPT.format(**{"stop": -1, "validation": None, "progress": None, **options})
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment) as run:
        os.close(terminal)
        drawn = b""
        while True:
            try:
                part = os.read(controller, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            drawn += part
    os.close(controller)
    assert run.returncode == 0, drawn.decode()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn.decode())
    return [line for line in re.split(r"[\r\n]+", plain) if line.strip()]


posix = pytest.mark.skipif(sys.platform == "win32", reason="this test makes a terminal in the way of Unix")


@posix
def test_the_bar_shows_epoch_losses_samples_per_second_and_the_time_left() -> None:
    lines = on_a_terminal(validation=0.2)
    bars = [line for line in lines if line.startswith("epoch")]
    assert len(bars) > 5
    shown = re.compile(r"epoch (\d)/8 [━╸╺ ]+ loss [\d.e-]+  val [\d.e-]+ +[\d.]+[kM]? samples/s \d+:\d\d$")
    drawn = [match for match in map(shown.match, bars) if match]
    assert len(drawn) >= len(bars) - 2  # before the first epoch there are no losses
    epochs = [int(match[1]) for match in drawn]
    assert epochs == sorted(epochs)
    assert epochs[-1] == 8
    assert all(len(line) == 80 for line in bars)
    assert lines[-1] == "the end"


@posix
def test_without_validation_data_the_bar_shows_the_loss() -> None:
    bars = [line for line in on_a_terminal() if line.startswith("epoch")]
    assert re.search(r"epoch 8/8 ━+ loss [\d.e-]+ +[\d.]+[kM]? samples/s 00:00", bars[-1])
    assert not any(" val " in line for line in bars)


@posix
def test_the_bar_of_a_training_that_stops_stays_at_its_last_epoch() -> None:
    bars = [line for line in on_a_terminal(stop=2) if line.startswith("epoch")]
    assert bars[-1].startswith("epoch 3/8 ━")


@posix
def test_nothing_is_drawn_on_a_terminal_if_it_is_not_wanted() -> None:
    assert on_a_terminal(progress=False) == ["the end"]


def test_nothing_is_written_where_there_is_no_terminal(capfd) -> None:
    X, y = classes()
    classifier().fit(X, y, epochs=3, validation=0.2, metrics="accuracy")
    classifier().fit(X, y, epochs=3, optimizer="lbfgs")
    assert capfd.readouterr() == ("", "")


def test_it_writes_to_standard_error_where_it_is_asked_to(capfd) -> None:
    X, y = classes()
    for optimizer in ("adam", "lbfgs"):
        classifier().fit(X, y, epochs=3, optimizer=optimizer, progress=True)
        out, err = capfd.readouterr()
        assert out == ""
        assert "epoch 3/3" in err
        assert "loss" in err


def test_a_bar_does_not_change_a_training(capfd) -> None:
    X, y = classes()
    shown, hidden = classifier(), classifier()
    shown.fit(X, y, epochs=10, progress=True)
    hidden.fit(X, y, epochs=10)
    assert (shown.params == hidden.params).all()


def test_without_standard_error_everything_is_silent(monkeypatch, capfd) -> None:
    """As in services and windowed programs, which have none."""
    monkeypatch.setattr(sys, "stderr", None)
    X, y = classes()
    for show in (None, True):
        classifier().fit(X, y, epochs=2, progress=show)
        fm.Population([4, 3], size=2, output="softmax").fit(X, y, epochs=1, progress=show)
        fm.sweep(X, y, widths=[3], depths=[1], epochs=1, progress=show)
    engine._announce()
    assert capfd.readouterr() == ("", "")


class OnlyWrites:
    def write(self, text):
        return len(text)

    def flush(self):
        pass


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [OnlyWrites, closed])
def test_what_cannot_say_whether_it_is_a_terminal_is_none(stream, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream())
    X, y = classes()
    assert len(classifier().fit(X, y, epochs=2)) == 2
    fm.Population([4, 3], size=2, output="softmax").fit(X, y, epochs=1)
    assert len(fm.sweep(X, y, widths=[3], depths=[1], epochs=1)) == 1
    engine._announce()


@pytest.mark.parametrize(("rate", "text"), [(0.4, "0 samples/s"), (999, "999 samples/s"), (1000, "1.0k samples/s"),
                                            (12_345, "12.3k samples/s"), (2.5e6, "2.5M samples/s")])  # fmt: skip
def test_rates_are_short(rate, text) -> None:
    assert progress._per_second(rate) == text


def test_the_rate_is_rows_in_a_second(monkeypatch) -> None:
    """Of all calls after the first, which may have waited for the compiler."""
    rates = []
    monkeypatch.setattr(progress.Silent, "update", lambda self, done, loss, val_loss, rate: rates.append((done, rate)))
    ticks = iter(np.arange(1000.0))
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    X, y = classes(60)
    classifier().fit(X, y, epochs=4, callbacks=[fm.Callback()])
    assert [done for done, _ in rates] == [1, 2, 3, 4]
    assert all(0 < rate <= 60 for _, rate in rates)
