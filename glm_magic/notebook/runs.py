"""The table of the store that holds the answers of comparisons, run by run as they end."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from glm_magic.chat.conversation import Attempt
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
    """The answer of one run, and what a person thinks of it: a `rating` from 1 to 5, a note, whether it is picked."""

    key: RunKey
    attempt: Attempt
    rating: int | None = None
    note: str = ""
    is_picked: bool = False


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
                " rating, note, picked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            connection.execute("INSERT OR REPLACE INTO notebooks VALUES (?, ?)", (text_of(notebook), now))

        self._file.write(write)

    def judge(self, notebook: str, run: SavedRun) -> None:
        """Note the rating and the note of a run."""
        change = "UPDATE runs SET rating = ?, note = ? WHERE notebook = ? AND id = ?"
        values = run.rating, text_of(run.note), text_of(notebook), run.attempt.id
        self._file.write(lambda connection: connection.execute(change, values), create=False)

    def pick(self, notebook: str, place: Place, id_: str) -> None:
        """Note which run of a place is picked, by the id of its answer; ``""`` if none is."""
        change = "UPDATE runs SET picked = (id = ?) WHERE notebook = ? AND cell = ? AND call = ?"
        values = id_, text_of(notebook), text_of(place.cell), place.call
        self._file.write(lambda connection: connection.execute(change, values), create=False)

    def at(self, notebook: str | None, place: Place | None, problems: list[str]) -> list[SavedRun]:
        """Return the runs of a place, or all if it is None, in the order in which they were written.

        A sentence is appended to `problems` for each that is damaged.
        """
        every = "SELECT number, service, fingerprint, nth, repeat, turn, rating, note, picked FROM runs"
        values: tuple[str | int, ...] = ()
        if notebook is not None and place is not None:
            every += " WHERE cell = ? AND notebook = ? AND call = ?"
            values = text_of(place.cell), text_of(notebook), place.call
        every += " ORDER BY number"
        rows: list[Any] = self._file.read(lambda connection: connection.execute(every, values).fetchall(), none=[])
        runs: list[SavedRun] = []
        for number, service, fingerprint, nth, repeat, turn, rating, note, picked in rows:
            try:
                attempt = bundle.decode(json.loads(turn)).attempt
            except (ValueError, TypeError, RecursionError):
                problems.append(f"Run {number}: not JSON.")
            except HistoryError as error:
                problems.append(f"Run {number}: {error.what}")
            else:
                key = RunKey(service, fingerprint, nth, repeat)
                runs.append(SavedRun(key, attempt, rating, note, is_picked=bool(picked)))
        return runs


def _row(run: SavedRun) -> tuple[str | int | None, ...]:
    key = run.key
    turn = text_of(json.dumps(bundle.encode("", run.attempt), ensure_ascii=False, sort_keys=True))
    judged = run.rating, text_of(run.note), int(run.is_picked)
    return key.service, key.fingerprint, key.nth, key.repeat, text_of(run.attempt.id), turn, *judged
