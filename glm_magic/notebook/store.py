"""The store: one SQLite file with every answer, written as each one ends."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from glm_magic.chat.fingerprint import fingerprint
from glm_magic.chat.messages import Message
from glm_magic.chat.place import Place
from glm_magic.errors import HistoryError
from glm_magic.notebook import bundle
from glm_magic.notebook.batches import BATCHES, BatchTable
from glm_magic.notebook.database import Database, Value, insert, taken, text_of
from glm_magic.notebook.document import SavedTurn
from glm_magic.notebook.runs import RUNS, RunTable

SUFFIX = ".db"

_APPLICATION = 0x474C4D31  # "GLM1", by which a file is known as a store
_MANY = 500  # SQLite takes at least 999 values at once

# The `turn` is the bundle of one answer alone: the other attempts of its turn have rows of their own.
_ANSWERS = """
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
"""
_SCHEMA = (_ANSWERS, RUNS, BATCHES)
_OF_COMPARISONS = ("runs", "batches", "batch_requests")
_TABLES = ("answers", *_OF_COMPARISONS)


class Store:
    """Answers by the path of their notebook and the place of their cell; only the file's owner can read it.

    Several kernels may use one file at a time. A damaged file is set aside, which `tell` is told, and a new one is
    begun; without `tell` it is left as it is. Every method raises `HistoryError` if the system refuses.
    """

    def __init__(self, path: Path, *, tell: Callable[[str], None] | None = None) -> None:
        self.path = path
        self._file = Database(path, _SCHEMA, _APPLICATION, tell=tell)
        self.runs = RunTable(self._file)
        self.batches = BatchTable(self._file)

    def close(self) -> None:
        """Close the file; it opens again when it is needed."""
        self._file.close()

    # --- writing -----------------------------------------------------------------------------

    def add(self, notebook: str, turns: Iterable[tuple[Place, dict[str, Any]]], *, now: float) -> None:
        """Add turns, each given as its place and its bundle, with all their attempts; what is there is skipped."""
        rows = [row for place, turn in turns for row in _rows(notebook, place, turn)]

        def write(connection: sqlite3.Connection) -> None:
            insert(connection, "answers", rows, or_ignore=True)
            connection.execute("INSERT OR REPLACE INTO notebooks VALUES (?, ?)", (text_of(notebook), now))

        self._file.write(write)

    def move(self, notebook: str, place: Place, to: Place) -> None:
        """Give the answers of one place to another."""
        self._move(["answers"], notebook, place, to)

    def move_comparison(self, notebook: str, place: Place, to: Place) -> None:
        """Give the runs of one place, and what is pending of them in batches, to another."""
        self._move(_OF_COMPARISONS, notebook, place, to)

    def _move(self, tables: Iterable[str], notebook: str, place: Place, to: Place) -> None:
        values = taken([to.cell, to.call, notebook, place.cell, place.call])

        def change(connection: sqlite3.Connection) -> None:
            for table in tables:
                connection.execute(
                    f"UPDATE {table} SET cell = ?, call = ? WHERE notebook = ? AND cell = ? AND call = ?",  # noqa: S608
                    values,
                )

        self._file.write(change)

    def rename(self, notebook: str, to: str, cells: Iterable[str]) -> None:
        """Give the answers of these cells of one notebook to another; those that it has already are left."""
        pairs = [taken([to, notebook, cell]) for cell in cells]

        def change(connection: sqlite3.Connection) -> None:
            for table in _TABLES:
                connection.executemany(
                    f"UPDATE OR IGNORE {table} SET notebook = ? WHERE notebook = ? AND cell = ?",  # noqa: S608
                    pairs,
                )

        self._file.write(change)

    def forget(self, notebook: str) -> None:
        """Delete what a notebook has here, also from the free space of the file."""
        self._delete("?", notebook)
        with contextlib.suppress(HistoryError):  # another kernel reads it: then the log is emptied later
            self._file.rows("PRAGMA wal_checkpoint(TRUNCATE)")

    def touch(self, notebook: str, now: float) -> None:
        """Note that a notebook that has something here is used."""
        self._file.change("UPDATE notebooks SET used = ? WHERE path = ?", now, notebook, create=False)

    def sweep(self, before: float) -> None:
        """Delete the answers of notebooks that were last used before a time."""
        old = "SELECT path FROM notebooks WHERE used < ?"
        if self._file.rows(old, before):
            self._delete(old, before)

    def _delete(self, paths: str, value: Value) -> None:
        """Delete all of some notebooks. `paths` is SQL for their paths, and `value` its one parameter."""

        def delete(connection: sqlite3.Connection) -> None:
            for table, column in (*((table, "notebook") for table in _TABLES), ("notebooks", "path")):
                statement = f"DELETE FROM {table} WHERE {column} IN ({paths})"  # noqa: S608 - our own text
                connection.execute(statement, taken([value]))

        self._file.write(delete, create=False)

    # --- reading -----------------------------------------------------------------------------

    def check(self) -> None:
        """Raise `HistoryError` if there is a file that is not a store, or cannot be read."""
        self._file.read(lambda _: None, none=None)

    def knows(self, notebook: str) -> bool:
        """Whether anything of a notebook was ever kept here, and not forgotten."""
        return bool(self._file.rows("SELECT 1 FROM notebooks WHERE path = ?", notebook))

    def has(self, notebook: str, id_: str) -> bool:
        """Whether an answer of a notebook is here."""
        return bool(self._file.rows("SELECT 1 FROM answers WHERE notebook = ? AND id = ?", notebook, id_))

    def turns(self, notebook: str | None, problems: list[str]) -> list[SavedTurn]:
        """Return the answers of a notebook, of all if it is None, in the order in which they were written.

        Each is a turn of its own. A sentence is appended to `problems` for each that is damaged.
        """
        return self._turns(problems) if notebook is None else self._turns(problems, " WHERE notebook = ?", notebook)

    def at(self, notebook: str, place: Place, problems: list[str]) -> list[SavedTurn]:
        """Return the answers of a place, in the order in which they were written."""
        where = " WHERE cell = ? AND notebook = ? AND call = ?"
        return self._turns(problems, where, place.cell, notebook, place.call)

    def calls(self, notebook: str, cell: str) -> frozenset[int]:
        """Return the numbers of the questions of a cell that have answers."""
        found = "SELECT DISTINCT call FROM answers WHERE cell = ? AND notebook = ?"
        return frozenset(call for (call,) in self._file.rows(found, cell, notebook))

    def places(self, notebook: str, prompt: Message) -> list[Place]:
        """Return the places of a notebook where `prompt` was asked, the latest first."""
        found = "SELECT cell, call FROM answers WHERE notebook = ? AND prompt = ? ORDER BY number DESC"
        rows = self._file.rows(found, notebook, _prompt([prompt.to_api()]))
        return list(dict.fromkeys(Place(cell, call) for cell, call in rows))

    def compared(self, notebook: str) -> dict[Place, set[str]]:
        """Return the places of a notebook that have comparisons, with the fingerprints of their requests.

        What is pending in batches counts too.
        """
        every = (
            "SELECT cell, call, fingerprint FROM runs WHERE notebook = ?"
            " UNION SELECT cell, call, fingerprint FROM batch_requests WHERE notebook = ?"
        )
        found: dict[Place, set[str]] = {}
        for cell, call, asked in self._file.rows(every, notebook, notebook):
            found.setdefault(Place(cell, call), set()).add(asked)
        return found

    def elsewhere(self, notebook: str, cells: Iterable[str]) -> dict[str, set[str]]:
        """Return the other notebooks that have answers of these cells, each with the ids of those cells."""
        cells = list(cells)
        found: dict[str, set[str]] = {}
        for start in range(0, len(cells), _MANY):
            some = cells[start : start + _MANY]
            marks = ", ".join("?" * len(some))
            for table in _TABLES:
                every = f"SELECT DISTINCT notebook, cell FROM {table} WHERE cell IN ({marks})"  # noqa: S608 - our own text
                for other, cell in self._file.rows(every, *some):
                    if other != text_of(notebook):
                        found.setdefault(other, set()).add(cell)
        return found

    def _turns(self, problems: list[str], where: str = "", *values: Value) -> list[SavedTurn]:
        every = f"SELECT number, cell, call, turn FROM answers{where} ORDER BY number"  # noqa: S608 - our own text
        turns: list[SavedTurn] = []
        for number, cell, call, turn in self._file.rows(every, *values):
            try:
                found = bundle.read(turn)
            except HistoryError as error:
                problems.append(f"Answer {number}: {error.what}")
            else:
                turns.append(SavedTurn(found.chat, Place(cell, call), found.attempt, where=f"answer {number}"))
        return turns


def _rows(notebook: str, place: Place, turn: dict[str, Any]) -> Iterator[dict[str, Value]]:
    """Yield a row for each attempt of a turn, the earlier ones first."""
    whole = {name: turn[name] for name in ("version", "chat", "call")}
    for attempt in (*turn["attempts"], turn):
        kind = "turn" if attempt["role"] == "user" else "edit"
        alone = {**attempt, **whole, "kind": kind, "attempts": []}
        yield {
            "notebook": notebook,
            "id": attempt["id"],
            "cell": place.cell,
            "call": place.call,
            "prompt": _prompt(attempt["messages"]),
            "turn": json.dumps(alone, ensure_ascii=False, sort_keys=True),
        }


def _prompt(messages: list[dict[str, Any]]) -> str:
    """Return the digest by which answers to the same user message are found; empty for any other."""
    return fingerprint({"messages": messages[:1]}) if messages and messages[0].get("role") == "user" else ""
