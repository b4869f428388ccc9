"""The store: one SQLite file with every answer, written as each one ends."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from glm_magic.chat.fingerprint import fingerprint
from glm_magic.chat.messages import Message
from glm_magic.chat.place import Place
from glm_magic.errors import HistoryError
from glm_magic.notebook import bundle, files
from glm_magic.notebook.document import SavedTurn

SUFFIX = ".db"

_VERSION = 1
_APPLICATION = 0x474C4D31  # "GLM1", by which a file is known as a store
_BUSY_SECONDS = 10.0
_MANY = 500  # SQLite takes at least 999 values at once

# `turn` is the bundle of one answer alone: the other attempts of its turn have rows of their own.
_SCHEMA = f"""
CREATE TABLE notebooks (path TEXT PRIMARY KEY, used REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE answers (
    number INTEGER PRIMARY KEY,
    notebook TEXT NOT NULL,
    id TEXT NOT NULL,
    cell TEXT NOT NULL,
    call INTEGER NOT NULL,
    prompt TEXT NOT NULL,
    turn TEXT NOT NULL,
    UNIQUE (notebook, id)
);
CREATE INDEX answers_of_a_cell ON answers (cell, notebook);
CREATE INDEX answers_to_a_prompt ON answers (notebook, prompt);
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_VERSION};
"""

# A write-ahead log needs memory that all who use the file share, which these do not give.
_NETWORK = frozenset(
    ["9p", "afs", "beegfs", "ceph", "cifs", "fuse.sshfs", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "smb3", "smbfs"]
)

_Result = TypeVar("_Result")


class Store:
    """Answers by the path of their notebook and the place of their cell; only the file's owner can read it.

    Several kernels may use one file at a time. A damaged file is set aside, which `tell` is told, and a new one is
    begun; without `tell` it is left as it is. Every method raises `HistoryError` if the system refuses.
    """

    def __init__(self, path: Path, *, tell: Callable[[str], None] | None = None) -> None:
        self.path = path
        self._tell = tell
        self._lock = threading.RLock()  # answers in the background end in threads of their own
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int, int] | None = None  # by which process, and which file it was
        self._inherited: list[sqlite3.Connection] = []  # of the process that forked: SQLite must not close them here

    # --- writing -----------------------------------------------------------------------------

    def add(self, notebook: str, turns: Iterable[tuple[Place, dict[str, Any]]], *, now: float) -> None:
        """Add turns, each given as its place and its bundle, with all their attempts; what is there is skipped."""
        rows = [row for place, turn in turns for row in _rows(_text(notebook), place, turn)]

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "INSERT OR IGNORE INTO answers (notebook, id, cell, call, prompt, turn) VALUES (?, ?, ?, ?, ?, ?)", rows
            )
            connection.execute("INSERT OR REPLACE INTO notebooks VALUES (?, ?)", (_text(notebook), now))

        self._write(write)

    def move(self, notebook: str, place: Place, to: Place) -> None:
        """Give the answers of one place to another."""
        where = _text(notebook), _text(place.cell), place.call
        change = "UPDATE answers SET cell = ?, call = ? WHERE notebook = ? AND cell = ? AND call = ?"
        self._write(lambda connection: connection.execute(change, (_text(to.cell), to.call, *where)))

    def rename(self, notebook: str, to: str, cells: Iterable[str]) -> None:
        """Give the answers of these cells of one notebook to another; those that it has already are left."""
        pairs = [(_text(to), _text(notebook), _text(cell)) for cell in cells]
        change = "UPDATE OR IGNORE answers SET notebook = ? WHERE notebook = ? AND cell = ?"
        self._write(lambda connection: connection.executemany(change, pairs))

    def forget(self, notebook: str) -> None:
        """Delete what a notebook has here, also from the free space of the file."""

        def delete(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM answers WHERE notebook = ?", (_text(notebook),))
            connection.execute("DELETE FROM notebooks WHERE path = ?", (_text(notebook),))

        self._write(delete, create=False)
        with contextlib.suppress(HistoryError):  # another kernel reads it: then the log is emptied later
            self._read(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall(), none=[])

    def sweep(self, before: float) -> None:
        """Delete the answers of notebooks that were last used before a time."""
        old = "SELECT path FROM notebooks WHERE used < ?"
        if not self._read(lambda connection: connection.execute(old, (before,)).fetchall(), none=[]):
            return

        def delete(connection: sqlite3.Connection) -> None:
            connection.execute(f"DELETE FROM answers WHERE notebook IN ({old})", (before,))  # noqa: S608 - our own text
            connection.execute("DELETE FROM notebooks WHERE used < ?", (before,))

        self._write(delete, create=False)

    # --- reading -----------------------------------------------------------------------------

    def check(self) -> None:
        """Raise `HistoryError` if there is a file that is not a store, or cannot be read."""
        self._read(lambda _: None, none=None)

    def knows(self, notebook: str) -> bool:
        """Whether anything of a notebook was ever kept here, and not forgotten."""
        found = "SELECT 1 FROM notebooks WHERE path = ?"
        return self._read(lambda c: c.execute(found, (_text(notebook),)).fetchone() is not None, none=False)

    def has(self, notebook: str, id_: str) -> bool:
        """Whether an answer of a notebook is here."""
        found = "SELECT 1 FROM answers WHERE notebook = ? AND id = ?"
        values = _text(notebook), _text(id_)
        return self._read(lambda connection: connection.execute(found, values).fetchone() is not None, none=False)

    def turns(self, notebook: str | None, problems: list[str]) -> list[SavedTurn]:
        """Return the answers of a notebook, of all if it is None, in the order in which they were written.

        Each is a turn of its own. A sentence is appended to `problems` for each that is damaged.
        """
        where = "" if notebook is None else " WHERE notebook = ?"
        return self._turns(where, () if notebook is None else (_text(notebook),), problems)

    def at(self, notebook: str, place: Place, problems: list[str]) -> list[SavedTurn]:
        """Return the answers of a place, in the order in which they were written."""
        where = " WHERE cell = ? AND notebook = ? AND call = ?"
        return self._turns(where, (_text(place.cell), _text(notebook), place.call), problems)

    def calls(self, notebook: str, cell: str) -> frozenset[int]:
        """Return the numbers of the questions of a cell that have answers."""
        found = "SELECT DISTINCT call FROM answers WHERE cell = ? AND notebook = ?"
        values = _text(cell), _text(notebook)
        return self._read(lambda c: frozenset(call for (call,) in c.execute(found, values)), none=frozenset())

    def places(self, notebook: str, prompt: Message) -> list[Place]:
        """Return the places of a notebook where `prompt` was asked, the latest first."""
        found = "SELECT cell, call FROM answers WHERE notebook = ? AND prompt = ? ORDER BY number DESC"
        values = _text(notebook), _prompt([prompt.to_api()])
        rows: list[Any] = self._read(lambda connection: connection.execute(found, values).fetchall(), none=[])
        return list(dict.fromkeys(Place(cell, call) for cell, call in rows))

    def elsewhere(self, notebook: str, cells: Iterable[str]) -> dict[str, set[str]]:
        """Return the other notebooks that have answers of these cells, each with the ids of those cells."""
        cells = [_text(cell) for cell in cells]
        found: dict[str, set[str]] = {}

        def read(connection: sqlite3.Connection) -> None:
            for start in range(0, len(cells), _MANY):
                some = cells[start : start + _MANY]
                marks = ", ".join("?" * len(some))
                every = f"SELECT DISTINCT notebook, cell FROM answers WHERE cell IN ({marks})"  # noqa: S608 - only marks
                for other, cell in connection.execute(every, some):
                    if other != _text(notebook):
                        found.setdefault(other, set()).add(cell)

        self._read(read, none=None)
        return found

    def _turns(self, where: str, values: tuple[str | int, ...], problems: list[str]) -> list[SavedTurn]:
        every = f"SELECT number, cell, call, turn FROM answers{where} ORDER BY number"  # noqa: S608 - our own text
        rows: list[Any] = self._read(lambda connection: connection.execute(every, values).fetchall(), none=[])
        turns: list[SavedTurn] = []
        for number, cell, call, turn in rows:
            try:
                found = bundle.decode(json.loads(turn))
            except (ValueError, TypeError, RecursionError):
                problems.append(f"Answer {number}: not JSON.")
            except HistoryError as error:
                problems.append(f"Answer {number}: {error.what}")
            else:
                turns.append(SavedTurn(found.chat, Place(cell, call), found.attempt, where=f"answer {number}"))
        return turns

    # --- the file ----------------------------------------------------------------------------

    def close(self) -> None:
        """Close the file; it opens again when it is needed."""
        with self._lock:
            if self._connection is not None and self._opened is not None:
                if self._opened[0] == os.getpid():
                    with contextlib.suppress(sqlite3.Error):
                        self._connection.close()
                else:
                    self._inherited.append(self._connection)
            self._connection = self._opened = None

    def _read(self, read: Callable[[sqlite3.Connection], _Result], *, none: _Result) -> _Result:
        """Return what `read` finds, `none` if there is no file."""
        return self._guarded(lambda: none if (c := self._open(create=False)) is None else read(c), "read")

    def _write(self, write: Callable[[sqlite3.Connection], object], *, create: bool = True) -> None:
        def whole() -> None:
            connection = self._open(create=create)
            if connection is not None:
                with _transaction(connection):
                    write(connection)

        self._guarded(whole, "written")

    def _guarded(self, work: Callable[[], _Result], what: str) -> _Result:
        with self._lock:
            try:
                try:
                    return work()
                except sqlite3.DatabaseError as error:
                    if not _is_damage(error) or self._tell is None:
                        raise
                    self._set_aside(self._tell)
                    return work()
            except (sqlite3.Error, OSError, OverflowError, ValueError) as error:  # ValueError: a NUL in the path
                self.close()
                reason = getattr(error, "strerror", None) or error
                raise HistoryError(f"{self.path} cannot be {what}: {reason}.") from None

    def _open(self, *, create: bool) -> sqlite3.Connection | None:
        """Return the connection; None if there is no file, and none is to be made."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self.close()
            if not create:
                return None
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its other files the same mode
            status = self.path.stat()
        known = os.getpid(), status.st_dev, status.st_ino
        if self._connection is None or self._opened != known:  # forked, deleted, or set aside by another kernel
            self.close()
            files.check_regular(status, self.path)
            # a write-ahead log makes files beside it even for a reader, unless the file is said not to change
            is_fixed = not (os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK))
            connection = sqlite3.connect(
                f"{self.path.absolute().as_uri()}{'?immutable=1' if is_fixed else ''}",
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
                uri=True,
            )
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection, self._opened = connection, known
        return self._connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        if _version(connection, self.path) < _VERSION:
            if is_on_a_network(self.path):
                connection.execute("PRAGMA journal_mode = DELETE")
            else:
                with contextlib.suppress(sqlite3.OperationalError):  # it stays with a rollback journal
                    connection.execute("PRAGMA journal_mode = WAL")
            with _transaction(connection):
                if _version(connection, self.path) < _VERSION:  # another kernel may have been faster
                    for statement in filter(str.strip, _SCHEMA.split(";")):
                        connection.execute(statement)
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        if mode == "wal":  # a crash of the machine may cost the last answers, but never the file
            connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA secure_delete = ON")  # what is forgotten is not left in free pages

    def _set_aside(self, tell: Callable[[str], None]) -> None:
        """Move a damaged file out of the way, unless another kernel has done so already."""
        self.close()
        if not self._is_damaged():
            return
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.damaged-{number}")).exists():
            number += 1
        for ending in ("-wal", "-shm", "-journal"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self.path}{ending}").replace(f"{aside}{ending}")
        self.path.replace(aside)
        tell(f"The store of answers was damaged. It was set aside as {aside}, and a new one was begun.")

    def _is_damaged(self) -> bool:
        try:
            connection = self._open(create=False)
            return connection is not None and connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",)
        except sqlite3.DatabaseError as error:
            return _is_damage(error)
        finally:
            self.close()


def is_on_a_network(path: Path, mounts: str = "/proc/self/mounts") -> bool:
    """Whether a file is on a network file system, as far as the system says so."""
    if str(path).startswith(("\\\\", "//")):
        return True
    try:
        lines = Path(mounts).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not on Linux
        return False
    whole = os.path.realpath(path)
    kinds: dict[str, str] = {}
    for line in lines:
        _, point, kind, *_ = [*line.split(" "), "", "", ""]
        point = point.replace("\\040", " ").rstrip("/")
        if whole == point or whole.startswith(point + "/"):
            kinds[point] = kind  # of two mounts on one point, the later one counts
    return bool(kinds) and kinds[max(kinds, key=len)] in _NETWORK


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):  # a full disk rolls back by itself
                connection.execute("ROLLBACK")


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of an open store, 0 if it is new. Raises `HistoryError` if it is not one of ours."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and application != _APPLICATION:
        raise HistoryError(f"{path} is a database, but not a store of glm_magic.", "Name another file.")
    if version > _VERSION:
        raise HistoryError(
            f"{path} was written by a later glm_magic (version {version}; this one reads up to {_VERSION}).",
            "%pip install --upgrade glm_magic",
        )
    return int(version)


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether a file is not a database, or a malformed one; what the system refuses has a class of its own."""
    return type(error) is sqlite3.DatabaseError


def _rows(notebook: str, place: Place, turn: dict[str, Any]) -> Iterator[tuple[str | int, ...]]:
    """Yield a row for each attempt of a turn, the earlier ones first."""
    whole = {name: turn[name] for name in ("version", "chat", "call")}
    for attempt in (*turn["attempts"], turn):
        kind = "turn" if attempt["role"] == "user" else "edit"
        alone = {**attempt, **whole, "kind": kind, "attempts": []}
        text = json.dumps(alone, ensure_ascii=False, sort_keys=True)
        yield notebook, _text(attempt["id"]), _text(place.cell), place.call, _prompt(attempt["messages"]), _text(text)


def _prompt(messages: list[dict[str, Any]]) -> str:
    """Return the digest by which answers to the same user message are found; empty for any other."""
    return fingerprint({"messages": messages[:1]}) if messages and messages[0].get("role") == "user" else ""


def _text(text: str) -> str:
    """Return text that SQLite takes: a path may hold bytes that are not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
