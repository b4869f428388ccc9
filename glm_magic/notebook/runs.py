"""The table of the store that holds the answers of comparisons, run by run as they end."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from glm_magic.chat.attempt import Attempt
from glm_magic.chat.place import Place
from glm_magic.errors import HistoryError
from glm_magic.notebook import bundle
from glm_magic.notebook.database import Database, text_of

RUNS = """
CREATE TABLE runs (
    number INTEGER PRIMARY KEY,
    notebook TEXT NOT NULL,
    cell TEXT NOT NULL,
    call INTEGER NOT NULL,
    service TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    nth INTEGER NOT NULL,
    repeat INTEGER NOT NULL,
    id TEXT NOT NULL,
    turn TEXT NOT NULL,
    rating INTEGER,
    note TEXT NOT NULL,
    picked INTEGER NOT NULL,
    blind INTEGER NOT NULL,
    UNIQUE (notebook, id)
);
CREATE INDEX runs_of_a_cell ON runs (cell, notebook, call);
"""


@dataclass(frozen=True, slots=True)
class RunKey:
    """What the run of a comparison is known by in its cell.

    `service` is a digest of the endpoint, and of the source of the tools that are offered. Of several equal requests
    of one cell the run answers the `nth`, for the `repeat`-th time; both count from 0.
    """

    service: str
    fingerprint: str
    nth: int = 0
    repeat: int = 0


@dataclass(frozen=True, slots=True)
class SavedRun:
    """The answer of one run, and what a person thinks of it: a `rating` from 1 to 5, a note, whether it is picked.

    It `was_blind` if it was rated without knowing which configuration had answered.
    """

    key: RunKey
    attempt: Attempt
    rating: int | None = None
    note: str = ""
    is_picked: bool = False
    was_blind: bool = False


@dataclass(frozen=True, slots=True)
class FailedRun:
    """A run that failed, and what its error says."""

    key: RunKey
    error: str


class RunTable:
    """Runs by the path of their notebook and the place of their cell. Every method raises `HistoryError`."""

    def __init__(self, file: Database) -> None:
        self._file = file

    def add(self, notebook: str, place: Place, runs: Iterable[SavedRun], *, now: float) -> None:
        """Add runs; those that are there, by the id of their answer, are left as they are."""
        rows = [(text_of(notebook), text_of(place.cell), place.call, *_row(run)) for run in runs]

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "INSERT OR IGNORE INTO runs (notebook, cell, call, service, fingerprint, nth, repeat, id, turn,"
                " rating, note, picked, blind) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            connection.execute("INSERT OR REPLACE INTO notebooks VALUES (?, ?)", (text_of(notebook), now))

        self._file.write(write)

    def move(self, notebook: str, place: Place, to: Place) -> None:
        """Give the runs of one place to another."""
        where = text_of(notebook), text_of(place.cell), place.call
        change = "UPDATE runs SET cell = ?, call = ? WHERE notebook = ? AND cell = ? AND call = ?"
        self._file.write(lambda connection: connection.execute(change, (text_of(to.cell), to.call, *where)))

    def judge(self, notebook: str, place: Place, run: SavedRun, *, now: float) -> None:
        """Note the rating and the note of a run, and whether it is picked; it is added if it is not there."""
        self.add(notebook, place, [run], now=now)
        change = "UPDATE runs SET rating = ?, note = ?, picked = ?, blind = ? WHERE notebook = ? AND id = ?"
        judged = run.rating, text_of(run.note), int(run.is_picked), int(run.was_blind)
        values = *judged, text_of(notebook), text_of(run.attempt.id)
        self._file.write(lambda connection: connection.execute(change, values))

    def ids(self, notebook: str) -> frozenset[str]:
        """Return the ids of the answers of a notebook's runs."""
        every = "SELECT id FROM runs WHERE notebook = ?"
        values = (text_of(notebook),)
        return self._file.read(lambda c: frozenset(id_ for (id_,) in c.execute(every, values)), none=frozenset())

    def places(self, notebook: str) -> list[Place]:
        """Return the places of a notebook that have runs."""
        every = "SELECT DISTINCT cell, call FROM runs WHERE notebook = ?"
        values = (text_of(notebook),)
        return self._file.read(lambda c: [Place(*found) for found in c.execute(every, values)], none=[])

    def fingerprints(self, notebook: str, place: Place) -> frozenset[str]:
        """Return the fingerprints of the requests that the runs of a place answer."""
        found = "SELECT DISTINCT fingerprint FROM runs WHERE cell = ? AND notebook = ? AND call = ?"
        values = text_of(place.cell), text_of(notebook), place.call
        return self._file.read(lambda c: frozenset(each for (each,) in c.execute(found, values)), none=frozenset())

    def at(self, notebook: str, place: Place, problems: list[str]) -> list[SavedRun]:
        """Return the runs of a place, in the order in which they were written.

        A sentence is appended to `problems` for each that is damaged.
        """
        where = " WHERE cell = ? AND notebook = ? AND call = ?"
        return [run for _, run in self._runs(where, (text_of(place.cell), text_of(notebook), place.call), problems)]

    def all(self, problems: list[str]) -> list[tuple[Place, SavedRun]]:
        """Return all runs with their places, as `at` does."""
        return self._runs("", (), problems)

    def _runs(self, where: str, values: tuple[str | int, ...], problems: list[str]) -> list[tuple[Place, SavedRun]]:
        columns = "number, cell, call, service, fingerprint, nth, repeat, turn, rating, note, picked, blind"
        every = f"SELECT {columns} FROM runs{where} ORDER BY number"  # noqa: S608 - our own text
        rows: list[Any] = self._file.read(lambda connection: connection.execute(every, values).fetchall(), none=[])
        runs: list[tuple[Place, SavedRun]] = []
        for number, cell, call, service, fingerprint, nth, repeat, turn, rating, note, picked, blind in rows:
            try:
                attempt = bundle.decode(json.loads(turn)).attempt
            except (ValueError, TypeError, RecursionError):
                problems.append(f"Run {number}: not JSON.")
            except HistoryError as error:
                problems.append(f"Run {number}: {error.what}")
            else:
                key = RunKey(service, fingerprint, nth, repeat)
                judged = SavedRun(key, attempt, rating, note, is_picked=bool(picked), was_blind=bool(blind))
                runs.append((Place(cell, call), judged))
        return runs


def _row(run: SavedRun) -> tuple[str | int | None, ...]:
    key = run.key
    turn = text_of(json.dumps(bundle.encode("", run.attempt), ensure_ascii=False, sort_keys=True))
    judged = run.rating, text_of(run.note), int(run.is_picked), int(run.was_blind)
    return key.service, key.fingerprint, key.nth, key.repeat, text_of(run.attempt.id), turn, *judged
