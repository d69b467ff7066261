"""A sweep's progress is a line on terminals and nothing elsewhere."""

from __future__ import annotations

import io
import re
import sys

import pytest

from fastmlp.sweeps.progress import SweepBar, sweep_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def screen():
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", sys.stderr.getvalue())


def drive(bar):
    with bar:
        bar.update(600, 1, "best accuracy 0.5")
        bar.update(400, 1, "best accuracy 0.75")


@pytest.mark.parametrize("show", [None, False])
def test_nothing_is_shown_where_nobody_watches(monkeypatch, show):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    bar = sweep_bar(2, 1000, show)
    drive(bar)
    assert type(bar) is SweepBar
    assert sys.stderr.getvalue() == ""


def test_a_terminal_shows_how_many_how_fast_and_the_best(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    drive(sweep_bar(2, 1000, None))
    shown = screen()
    assert "2/2 networks" in shown
    assert "/s  best accuracy 0.75" in shown


def test_one_network_is_one_network(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with sweep_bar(1, 1000, None) as bar:
        bar.update(1000, 1, "")
    assert "1/1 network " in screen()
