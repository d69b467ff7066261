"""The command line: statuses, one line on wrong use, help, and being run as a program."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest

import fastmlp as fm
from fastmlp import commands
from fastmlp.cli import main
from fastmlp.errors import DivergenceError


def wrong(capsys, *argv, status=2):
    """Run a command that fails; return its one line."""
    assert main([str(arg) for arg in argv]) == status
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in err
    return err


WRONG_USE = {
    "nothing": ([], "required: COMMAND"),
    "command": (["trian"], "invalid choice: 'trian'"),
    "no data": (["train"], "fastmlp train: the following arguments are required: DATA"),
    "data": (["train", "digist"], "no data set and no file 'digist' (did you mean 'digits'"),
    "file": (["train", "none.csv", "--target", "y"], "There is no file none.csv"),
    "folder": (["train", "/"], "is not a kind of file that can be read"),
    "option": (["train", "moons", "--hiden", "8"], "there is no '--hiden' here; did you mean --hidden?"),
    "option with value": (["sweep", "moons", "--widht=8"], "did you mean --width?"),
    "abbreviation": (["train", "moons", "--epoch", "8"], "there is no '--epoch' here; did you mean --epochs?"),
    "range": (["sweep", "moons", "--width", "8:64"], "so it needs --trials N"),
    "range of rates": (["sweep", "moons", "--lr", "1e-3:1e-1"], "--lr A:B is drawn from, so it needs --trials N"),
    "range of decays": (["sweep", "moons", "--weight-decay", "1e-3:1e-1"], "--weight-decay A:B is drawn from"),
    "least epochs": (["sweep", "moons", "--min-epochs", "5"], "--min-epochs needs --halving"),
    "extra": (["train", "moons", "circles"], "there is no 'circles' here"),
    "target of a name": (["train", "moons", "--target", "y"], "--target is for files"),
    "drop": (["train", "houses.csv", "--drop", ","], "--drop: is empty: give values separated by commas"),
    "hidden": (["train", "moons", "--hidden", "8,x"], "--hidden: 'x' is not a whole number"),
    "hidden 0": (["train", "moons", "--hidden", "8,0"], "--hidden: must be at least 1, not 0"),
    "epochs": (["train", "moons", "--epochs", "0"], "--epochs: must be at least 1, not 0"),
    "batch": (["train", "moons", "--batch-size", "0"], "--batch-size: must be at least 1"),
    "lr": (["train", "moons", "--lr", "0"], "--lr: must be above 0"),
    "lr nan": (["train", "moons", "--lr", "nan"], "--lr: must be above 0"),
    "lr word": (["sweep", "moons", "--lr", "fast"], "--lr: 'fast' is not a number"),
    "validation": (["train", "moons", "--validation", "1"], "--validation: must be above 0 and below 1"),
    "validation too small": (["train", "moons", "--validation", "1e-9"], "holds none back"),
    "dropout": (["train", "moons", "--dropout", "1.5"], "--dropout: must be at least 0 and below 1"),
    "activation": (["train", "moons", "--activation", "rleu"], "Did you mean 'relu'"),
    "optimizer": (["train", "moons", "--optimizer", "adm"], "Did you mean 'adam'"),
    "lbfgs lr": (["train", "moons", "--optimizer", "lbfgs", "--lr", "1"], "is of no use to LBFGS"),
    "lbfgs decay": (
        ["train", "moons", "--optimizer", "lbfgs", "--weight-decay", "1"],
        "weight_decay=1.0 is of no use to LBFGS",
    ),
    "l2": (["train", "moons", "--l2", "-1"], "--l2: must be at least 0, not -1"),
    "engine": (["train", "moons", "--engine", "cuda"], "--engine: invalid choice: 'cuda'"),
    "threads": (["train", "moons", "--threads", "0"], "--threads: must be at least 1"),
    "many threads": (["train", "moons", "--threads", "9999"], "--threads: must be at most 1024, not 9999"),
    "same files": (["train", "moons", "--save", "a.png", "--plot", "./a.png"], "--save and --plot are the same file ./a.png"),
    "same rows": (["sweep", "moons", "--csv", "a.csv", "--parquet", "a.csv"], "--csv and --parquet are the same file a.csv"),
    "own table": (["sweep", "rows.csv", "--csv", "./rows.csv"], "--csv ./rows.csv would replace the data"),
    "save folder": (["train", "moons", "--save", "no/such/model"], "to write model in"),
    "save nowhere": (["train", "moons", "--save", ""], "--save is empty: give a file's name"),
    "rows nowhere": (["sweep", "moons", "--csv="], "--csv is empty: give a file's name"),
    "save on a folder": (["train", "moons", "--save", "/"], "/ is a folder"),
    "store on a file": (["sweep", "none.csv", "--store", __file__], "test_cli.py is a file: give a folder"),
    "plot": (["train", "moons", "--plot", "curves.txt"], "its name must end in one of"),
    "plot for TeX": (["train", "moons", "--plot", "curves.pgf"], "its name must end in one of"),
    "widths": (["sweep", "moons", "--width", ","], "--width: is empty"),
    "depth": (["sweep", "moons", "--depth", "-1"], "--depth: must be at least 0"),
    "seeds": (["sweep", "moons", "--seeds", "0"], "--seeds: must be at least 1"),
    "metric": (["sweep", "moons", "--metric", "acuracy"], "Did you mean 'accuracy'"),
    "hidden softmax": (["sweep", "moons", "--activation", "softmax"], "for outputs only"),
}


@pytest.mark.parametrize(("argv", "why"), WRONG_USE.values(), ids=list(WRONG_USE))
def test_wrong_use_ends_with_2_and_one_line(capsys, argv, why):
    assert why in wrong(capsys, *argv)


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        ("train moons --optimizer adma", r"'lbfgs'; got 'adma'\. Did you mean 'adam' or"),
        ("sweep moons --metric acuracy", r"'r2'; got 'acuracy'\. Did you mean"),
        ("sweep moons --activation softmax", r"is for outputs only\. Use one of 'identity', 'relu'"),
        ("sweep diabetes --metric accuracy", r"needs classes, but these targets are quantities\. Use 'r2', 'rmse' or 'mae'\.$"),
    ],
)
def test_no_remedy_is_for_those_who_write_programs(capsys, argv, why):
    assert re.search(why, wrong(capsys, *argv.split()).strip())


def test_nothing_is_trained_or_written_on_wrong_use(capsys, tmp_path):
    assert "its name must end in" in wrong(capsys, "train", "moons", "--save", tmp_path / "m", "--plot", tmp_path / "c.txt")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("command", "option", "name"),
    [("train", "--save", "m"), ("train", "--plot", "c.png"), ("sweep", "--csv", "r.csv"), ("sweep", "--parquet", "r.parquet")],
)
def test_a_write_protected_file_is_refused_before_the_work(capsys, tmp_path, monkeypatch, command, option, name):
    old = tmp_path / name
    old.write_text("old")
    monkeypatch.setattr(os, "access", lambda path, mode: not os.path.isfile(path))  # root may write all the same
    assert f"the file {old} is write-protected" in wrong(capsys, command, "none.csv", option, old)
    assert old.read_text() == "old"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="there is no /proc")
def test_a_folder_that_takes_no_files_is_refused_before_the_work(capsys):
    line = wrong(capsys, "train", "none.csv", "--save", "/proc/x")
    assert "train: /proc/x cannot be written: /proc takes no files (" in line


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), 130),
        (commands.Interrupted("interrupted after 3 of 9 networks"), 130),
        (DivergenceError("Training\ndiverged"), 1),
        (MemoryError(), 1),
        (ImportError("Pictures need matplotlib"), 1),
        (PermissionError("is write-protected"), 1),
        (ValueError("X has\n two lines"), 2),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_what_a_command_raises_becomes_one_line_and_a_status(capsys, monkeypatch, error, status):
    def fails(args):
        raise error

    monkeypatch.setattr(commands, "train", fails)
    line = wrong(capsys, "train", "moons", status=status)
    assert line.startswith("fastmlp train: ")
    assert " ".join(str(error).split()) in line


def test_a_mistake_of_ours_is_not_hidden(monkeypatch):
    def fails(args):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(commands, "info", fails)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        main(["info"])


@pytest.mark.parametrize("command", ["", "train", "sweep", "info", "warmup"])
def test_help_fits_the_terminal_and_has_examples(capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*command.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 84
    if command in ("", "train", "sweep"):
        assert "examples:\n  fastmlp" in shown
    if command == "train":
        assert "standardized by their training rows" in " ".join(shown.split())
        assert "--decimal MARK the mark before the decimals in a file of text, a point or a comma" in " ".join(shown.split())


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("fastmlp 0.")


# ---- as a program


def program(*argv, **options):
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "fastmlp", *argv],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def test_it_runs_as_a_module_in_a_pipe_without_escape_codes():
    process = program("train", "xor", "--epochs", "2", "--engine", "numpy", env=os.environ | {"PYTHONIOENCODING": "ascii"})
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "xor: 4 rows" in out
    assert "\x1b" not in out


def test_ctrl_c_saves_what_is_there_and_ends_with_130_and_one_line(tmp_path):
    path = str(tmp_path / "net.safetensors")
    process = program("train", "digits", "--epochs", "100000000", "--hidden", "8", "--engine", "numpy", "--save", path)
    for line in process.stdout:
        if line.startswith("loss:"):
            break
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.fullmatch(r"fastmlp train: interrupted; what is shown and saved is the network after \d+ epochs?\n", err)
    assert f"wrote {path}" in out
    assert fm.load(path).plan.widths == (64, 8, 10)


TRAIN = ["train", "xor", "--epochs", "2", "--engine", "numpy"]


@pytest.fixture
def buffered(monkeypatch):
    """Output as programs have it if nothing is said: what is printed is written at the end."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


@pytest.mark.usefixtures("buffered")
@pytest.mark.parametrize("argv", [["info", "--engine", "numpy"], ["--help"], TRAIN], ids=" ".join)
def test_a_reader_that_goes_away_is_no_traceback(argv):
    process = program(*argv)
    process.stdout.close()
    process.wait(timeout=60)
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.returncode == 1


def shell(argv, redirection):
    """Run a command with its output or errors elsewhere; return its status and what it wrote."""
    words = [sys.executable, "-W", "error", "-m", "fastmlp", *argv]
    done = subprocess.run(["sh", "-c", f'"$@" {redirection}', "sh", *words], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.usefixtures("buffered")
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has a device that is always full")
@pytest.mark.parametrize("argv", [["--version"], ["train", "--help"], ["info"], TRAIN], ids=" ".join)
def test_output_that_cannot_be_written_is_one_line_and_status_1(argv):
    status, _, err = shell(argv, ">/dev/full")
    assert (status, err.count("\n")) == (1, 1)
    assert re.match(r"fastmlp.*: .*No space left on device", err)


@pytest.mark.skipif(sys.platform == "win32", reason="this test closes files in the way of Unix")
@pytest.mark.parametrize("argv", [["info"], TRAIN, "sweep xor --width 2 --depth 1 --epochs 1".split()], ids=" ".join)
@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_a_command_does_without_output_or_errors_that_are_closed(argv, closed):
    status, out, err = shell(argv, closed)
    assert (status, err) == (0, "")
    assert bool(out) == (closed == "2>&-")


@pytest.mark.usefixtures("buffered")
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has a device that is always full")
@pytest.mark.parametrize("closed", ["2>&-", "2> /dev/full"])
def test_an_error_that_nobody_hears_is_a_status(closed):
    assert shell(["train", "no_such_data"], closed) == (2, "", "")
