"""A SQLite file that several kernels use at a time: opened late, private to its owner, and set aside if damaged."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from glm_magic.errors import HistoryError
from glm_magic.notebook import files

_BUSY_SECONDS = 10.0

# A write-ahead log needs memory that all who use the file share, which these do not give.
_NETWORK = frozenset(
    ["9p", "afs", "beegfs", "ceph", "cifs", "fuse.sshfs", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "smb3", "smbfs"]
)

Value: TypeAlias = "str | int | float | None"

_Result = TypeVar("_Result")


class Database:
    """A file of tables, which only its owner can read.

    Each text of the `schema` makes the tables of one version out of those of the version before; `application` is the
    number by which a file is known as one of ours. A damaged file is set aside, which `tell` is told, and a new one is
    begun; without `tell` it is left as it is. Every method raises `HistoryError` if the system refuses.
    """

    def __init__(
        self, path: Path, schema: Sequence[str], application: int, *, tell: Callable[[str], None] | None = None
    ) -> None:
        self.path = path
        self._schema = schema
        self._application = application
        self._tell = tell
        self._lock = threading.RLock()  # answers in the background end in threads of their own
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int, int] | None = None  # by which process, and which file it was
        self._inherited: list[sqlite3.Connection] = []  # of the process that forked: SQLite must not close them here

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

    def read(self, read: Callable[[sqlite3.Connection], _Result], *, none: _Result) -> _Result:
        """Return what `read` finds, `none` if there is no file."""
        return self._guarded(lambda: none if (c := self._open(create=False)) is None else read(c), "read")

    def write(
        self, write: Callable[[sqlite3.Connection], _Result], *, create: bool = True, durable: bool = False
    ) -> _Result | None:
        """Let `write` change the file, in one transaction, and return what it returns.

        Without `create`, only if there is a file; None if there is none. What is `durable` survives a power failure.
        """

        def written() -> _Result | None:
            connection = self._open(create=create)
            if connection is None:
                return None
            with _durable(connection) if durable else contextlib.nullcontext(), _transaction(connection):
                return write(connection)

        return self._guarded(written, "written")

    def rows(self, query: str, *values: Value) -> list[Any]:
        """Return the rows that a query finds, none if there is no file."""
        return self.read(lambda connection: connection.execute(query, taken(values)).fetchall(), none=[])

    def change(self, statement: str, *values: Value, create: bool = True, durable: bool = False) -> int:
        """Let one statement change the file as `write` does, and return how many rows it has changed."""
        return self.write(lambda c: c.execute(statement, taken(values)).rowcount, create=create, durable=durable) or 0

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
        if self._version(connection) < len(self._schema):
            if is_on_a_network(self.path):
                connection.execute("PRAGMA journal_mode = DELETE")
            else:
                with contextlib.suppress(sqlite3.OperationalError):  # it stays with a rollback journal
                    connection.execute("PRAGMA journal_mode = WAL")
            with _transaction(connection):
                for step in self._schema[self._version(connection) :]:  # another kernel may have been faster
                    for statement in filter(str.strip, step.split(";")):
                        connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {self._application}")
                connection.execute(f"PRAGMA user_version = {len(self._schema)}")
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

    def _version(self, connection: sqlite3.Connection) -> int:
        """Return the version of the open file, 0 if it is new. Raises `HistoryError` if it is not one of ours."""
        # in this order: another kernel may be making the tables, with their mark, between two of these
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if tables and application != self._application:
            raise HistoryError(f"{self.path} is a database, but not a store of glm_magic.", "Name another file.")
        if version > len(self._schema):
            raise HistoryError(
                f"{self.path} was written by a later glm_magic (version {version}; this one reads up to"
                f" {len(self._schema)}).",
                "Update glm_magic as it was installed.",
            )
        return int(version)


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


@contextlib.contextmanager
def _durable(connection: sqlite3.Connection) -> Iterator[None]:
    """Let the disk have what is written before it goes on; it costs a flush for each transaction."""
    (usual,) = connection.execute("PRAGMA synchronous").fetchone()
    connection.execute("PRAGMA synchronous = FULL")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA synchronous = {usual}")


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether a file is not a database, or a malformed one; what the system refuses has a class of its own."""
    return type(error) is sqlite3.DatabaseError


def insert(
    connection: sqlite3.Connection, table: str, rows: Sequence[Mapping[str, Value]], *, or_ignore: bool = False
) -> None:
    """Insert rows that all have the same columns; where `or_ignore`, those that the table has already are left out."""
    if rows:
        columns, marks = ", ".join(rows[0]), ", ".join("?" * len(rows[0]))
        verb = "INSERT OR IGNORE" if or_ignore else "INSERT"
        statement = f"{verb} INTO {table} ({columns}) VALUES ({marks})"
        connection.executemany(statement, (taken(row.values()) for row in rows))


def taken(values: Iterable[Value]) -> list[Value]:
    """Return values as SQLite takes them."""
    return [text_of(value) if isinstance(value, str) else value for value in values]


def text_of(text: str) -> str:
    """Return text that SQLite takes: a path may hold bytes that are not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
