"""Writing a file whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

__all__ = ["refusal", "write"]


def write(path: str | os.PathLike, content: bytes) -> None:
    """Write a file so that at every moment, even if the machine stops, it is the old one or the new one.

    The bytes go to a temporary file in the same folder, reach the disk, and take the name's place in one step. A file
    that was there keeps its mode, a link to it goes on pointing to it, and a failure leaves it as it was. What is no file,
    as a pipe, is written to.

    Raises
    ------
    OSError
        The file cannot be written; `FileNotFoundError` if its folder does not exist.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give a file's name, such as {Path(path) / 'model.safetensors'}.")
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as other:
            other.write(content)
        return
    if not target.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {target.parent} to write {target.name} in: make it first.")
    mode = None
    if target.exists():
        if not os.access(target, os.W_OK):
            raise PermissionError(f"{path} is write-protected.")
        mode = stat.S_IMODE(target.stat().st_mode)
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        with open(temporary, "xb") as file:
            if mode is not None:
                os.chmod(temporary, mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):  # whose words name the temporary file, of which nobody knows
            raise refusal(path, error) from error
        raise


def refusal(path: str | os.PathLike, error: OSError, remedy: str = "") -> OSError:
    """Return an error like another one, which says of `path` what that may say of a file that nobody knows."""
    told = type(error)(f"{path} cannot be written ({error.strerror or error}).{remedy}")
    told.errno = error.errno
    return told
