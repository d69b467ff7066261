"""A file is written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading

import pytest

from fastmlp import files


def test_write_makes_a_file_with_the_mode_that_open_gives(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    files.write(tmp_path / "new", b"content")
    assert (tmp_path / "new").read_bytes() == b"content"
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_write_keeps_the_mode_of_a_file_that_was_there(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(b"old")
    path.chmod(0o640)
    files.write(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_write_goes_through_a_link_to_the_file_behind_it(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    files.write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "model"
    path.write_bytes(b"old")

    def fails(*args):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, step, fails)
    with pytest.raises(OSError, match=r"model cannot be written \(no space left\)\.$") as caught:
        files.write(path, b"new")
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model"]


def test_an_interruption_removes_the_temporary_file_too(tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt("Ctrl-C")

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"Ctrl-C"):
        files.write(tmp_path / "model", b"new")
    assert os.listdir(tmp_path) == []


def test_a_folder_is_not_overwritten(tmp_path):
    with pytest.raises(IsADirectoryError, match=r"is a folder: give a file's name"):
        files.write(tmp_path, b"")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*nowhere to write model in"):
        files.write(tmp_path / "nowhere" / "model", b"")


def test_a_write_protected_file_is_left_alone(tmp_path, monkeypatch):
    path = tmp_path / "model"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "access", lambda *args: False)
    with pytest.raises(PermissionError, match=r"write-protected"):
        files.write(path, b"new")
    assert path.read_bytes() == b"old"


@pytest.mark.skipif(sys.platform == "win32", reason="a named pipe is no file there")
def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    files.write(pipe, b"content")
    reader.join()
    assert read == [b"content"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]
