"""A file is written whole, or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from glm_magic.errors import HistoryError


def write_atomically(path: Path, text: str, *, force: bool, executable: bool = False) -> None:
    """Write `text` in UTF-8 to `path`; whatever goes wrong, what stood there stands there still.

    A new file has the permissions that the umask leaves, a replaced one keeps its own. Raises `HistoryError`
    if there is a file and not `force`, or if the system refuses.
    """
    data = text.encode()
    try:
        target = Path(os.path.realpath(path))  # a link stays, and what it leads to is written
        there = target.stat() if target.exists() else None
        if there is not None and not stat.S_ISREG(there.st_mode):
            raise HistoryError(f"{path} cannot be written: it is no file.")
        if there is not None and not force:
            raise FileExistsError
        temporary = target.with_name(f".glm-{secrets.token_hex(8)}.tmp")
        try:
            _write(temporary, data, 0o777 if executable else 0o666, there)
            _move(temporary, target, force=force)
        finally:
            temporary.unlink(missing_ok=True)
    except FileExistsError:
        raise HistoryError(f"{path} exists.", "Add --force to replace it.") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        why = getattr(error, "strerror", None) or error
        raise HistoryError(f"{path} cannot be written: {why}.", "Nothing was changed.") from None


def _write(path: Path, data: bytes, mode: int, replaced: os.stat_result | None) -> None:
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        if replaced is not None:  # before there is anything in it to read
            path.chmod(stat.S_IMODE(replaced.st_mode))
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _move(temporary: Path, target: Path, *, force: bool) -> None:
    if not force:
        try:
            os.link(temporary, target)  # unlike a move it replaces nothing, not even what came meanwhile
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            if target.exists():
                raise FileExistsError from None
        else:
            return
    temporary.replace(target)
