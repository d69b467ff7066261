"""Large CSV files are read by pyarrow where it is installed: whatever is in them, it comes to the same."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from fastmlp import delimited
from fastmlp.datasets import read_table

NUMBERS = "1 2.5 -3e5 +7 1e400 1e-400 .5 1. 0x10 1_0 inf nan NaN nan(3) 0.1234567890123456789 １２ 4.9e-324 1,5".split()
WORDS = ["True", "false", "yes", "NA", "none", "", "?", "é", 'x"y', '"q,r"', ' "s"', '"a""b"', "#c", '"l\nm"', "\x0c", "\u2028"]
COLUMNS = {
    "numbers": lambda rng, n: rng.normal(size=n).astype(str),
    "truth": lambda rng, n: rng.choice(["True", "False"], n),
    "odd": lambda rng, n: [*rng.normal(size=n - 1).astype(str), rng.choice(NUMBERS)],
    "blanks": lambda rng, n: [f" {value} " for value in rng.integers(0, 9, n)],
    "words": lambda rng, n: rng.choice([*WORDS, *NUMBERS], n),
}
SHARES = [0.5, 0.2, 0.1, 0.15, 0.05]
TARGETS = [lambda rng, n: rng.choice(["a", "b", "none", "NA"], n), lambda rng, n: rng.integers(0, 3, n).astype(str)]


def table(rng: np.random.Generator, odd_line: str | None) -> str:
    """Return a table of a few rows, mostly in order."""
    n, separator = int(rng.integers(2, 30)), rng.choice([",", ";", "\t"])
    columns = [COLUMNS[kind](rng, n) for kind in rng.choice(list(COLUMNS), rng.integers(1, 4), p=SHARES)]
    names = [*(f"x{i}" for i in range(len(columns))), "y"]
    rows = zip(*columns, TARGETS[rng.integers(2)](rng, n), strict=True)
    lines = [separator.join(cells) for cells in (names, *rows)]
    return rng.choice(["\n", "\r\n", "\r"]).join(lines if odd_line is None else [*lines, odd_line])


def outcome(path) -> object:
    """Return what comes of reading a file: everything, or an error's words."""
    try:
        data = read_table(path, "y")
    except ValueError as error:
        return str(error)
    return data.X.tobytes(), data.y.tobytes(), data.X.shape, data.y.dtype, data.kind, data.features, data.labels


@pytest.mark.parametrize("odd_line", [None, "", " ", "1", "1,2,3,4,5"])
@pytest.mark.parametrize("chunk", [7, 20_000])
def test_it_comes_to_the_same(tmp_path, monkeypatch, chunk, odd_line) -> None:
    pytest.importorskip("pyarrow")
    rng, path = np.random.default_rng(chunk), tmp_path / "table.csv"
    monkeypatch.setattr(delimited, "_CHUNK", chunk)
    for _ in range(60):
        path.write_text(table(rng, odd_line), encoding=rng.choice(["utf-8", "utf-8-sig"]), newline="")
        found = []
        for large in (0, 1 << 60):
            monkeypatch.setattr(delimited, "_LARGE", large)
            found.append(outcome(path))
        assert found[0] == found[1], path.read_text()


@pytest.mark.parametrize(
    ("lines", "a"),
    [
        (["1,2\r\n", "\r\n", " False ,3"], [1.0, 0.0]),
        (["x,2\n", "1,3\n"], ["x"]),
        (['"1",2\n'], None),
        (["1,2,3\n"], None),
        (["1,2\n", "1\n"], None),
        (["\n", "\n"], None),
    ],
)
def test_what_it_reads_and_what_it_leaves(lines, a) -> None:
    pytest.importorskip("pyarrow")
    columns = delimited._arrow_columns(lines, ",", delimited._Layout(Path("table.csv"), ("a", "y"), "y", (), "."))
    assert (columns if columns is None else columns["a"].tolist()) == a


def test_it_is_taken_for_large_files(tmp_path, monkeypatch) -> None:
    pytest.importorskip("pyarrow")
    path, calls, real = tmp_path / "table.csv", [], delimited._arrow_columns
    monkeypatch.setattr(delimited, "_arrow_columns", lambda *given: calls.append(given) or real(*given))
    for rows in (100, 200_000):
        path.write_text("a,y\n" + "1.5,2\n2.5,3\n" * rows)
        assert len(read_table(path, "y").X) == 2 * rows
        assert bool(calls) == (rows == 200_000)


def test_it_is_not_needed(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(delimited, "_LARGE", 0)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = tmp_path / "table.csv"
    path.write_text("a,y\n1,2\nFalse,3\n")
    assert read_table(path, "y").X.tolist() == [[1.0], [0.0]]


@pytest.mark.parametrize("rows", [2, 100_000], ids=["small", "large"])
def test_decimal_commas_need_it_neither(tmp_path, monkeypatch, rows) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = tmp_path / "table.csv"
    path.write_text("a;b;y\n" + "1,5;-2,25e-1;0,5\n3;7;1\n" * (rows // 2))
    data = read_table(path, "y", decimal=",")
    assert (path.stat().st_size >= delimited._LARGE) == (rows == 100_000)
    assert data.X.shape == (rows, 2)
    assert data.X[:2].tolist() == [[1.5, -0.225], [3.0, 7.0]]
    assert data.y[:2].tolist() == [0.5, 1.0]
