"""Files on disk: read within a bound, and replaced whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from glm_magic.errors import HistoryError

MOST_BYTES = 512 * 1024**2

NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # else opening a named pipe waits until somebody writes to it


def read(path: Path) -> bytes:
    """Return the content of a regular file of at most `MOST_BYTES`.

    Raises `HistoryError`, but `FileNotFoundError` if there is no such file.
    """
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | NO_WAIT)) as file:
            size = regular_size(file.fileno(), path)
            if size > MOST_BYTES:
                raise HistoryError(f"{path} cannot be read: it is larger than {MOST_BYTES // 1024**2} MB.")
            return file.read(size)  # and not what is added meanwhile
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise HistoryError(f"{path} cannot be read: {_reason(error)}.") from None


def regular_size(descriptor: int, path: Path) -> int:
    """Return the size of an open file in bytes.

    Raises `HistoryError` for a device, a pipe or a socket: reading one may never end.
    """
    status = os.fstat(descriptor)
    check_regular(status, path)
    return status.st_size


def check_regular(status: os.stat_result, path: Path) -> None:
    """Raise `HistoryError` unless it is the status of a regular file."""
    if not stat.S_ISREG(status.st_mode):
        raise HistoryError(f"{path} cannot be used: it is not a regular file.")


def write_atomically(path: Path, text: str, *, force: bool, executable: bool = False) -> None:
    """Write `text` to `path` in UTF-8. If anything goes wrong, the file is left as it was.

    A new file gets the permissions that the umask allows, a replaced file keeps its own. A link is followed, and
    counts as an existing file even if its target is missing. Raises `HistoryError` if the file exists and not
    `force`, or if the system refuses.
    """
    data = text.encode()
    try:
        target = Path(os.path.realpath(path))
        if not force and os.path.lexists(path):
            raise FileExistsError
        if target.is_symlink():  # realpath() leaves a link that leads back to itself
            raise HistoryError(f"{path} cannot be written: it is a link that leads to itself.")
        existing = target.stat() if target.exists() else None
        if existing is not None and not stat.S_ISREG(existing.st_mode):
            raise HistoryError(f"{path} cannot be written: it is not a regular file.")
        temporary = target.with_name(f".glm-{secrets.token_hex(8)}.tmp")
        try:
            _write(temporary, data, 0o777 if executable else 0o666, existing)
            _move(temporary, target, force=force)
        finally:
            temporary.unlink(missing_ok=True)
    except FileExistsError:
        raise HistoryError(f"{path} exists.", "Add --force to replace it.") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise HistoryError(f"{path} cannot be written: {_reason(error)}.", "Nothing was changed.") from None


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _write(path: Path, data: bytes, mode: int, replaced: os.stat_result | None) -> None:
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        if replaced is not None:  # set before there is anything to read
            path.chmod(stat.S_IMODE(replaced.st_mode))
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _move(temporary: Path, target: Path, *, force: bool) -> None:
    if not force:
        try:
            os.link(temporary, target)  # unlike a rename, it never replaces a file that appeared meanwhile
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            if os.path.lexists(target):
                raise FileExistsError from None
        else:
            return
    temporary.replace(target)
