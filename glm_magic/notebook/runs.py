"""The table of the store that holds the answers of comparisons, run by run as they end."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from glm_magic.chat.attempt import Attempt
from glm_magic.chat.place import Place
from glm_magic.errors import HistoryError
from glm_magic.notebook import bundle
from glm_magic.notebook.database import Database, Value, insert, text_of

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
        where: dict[str, Value] = {"notebook": notebook, "cell": place.cell, "call": place.call}
        rows = [{**where, **_columns(run)} for run in runs]

        def write(connection: sqlite3.Connection) -> None:
            insert(connection, "runs", rows, or_ignore=True)
            connection.execute("INSERT OR REPLACE INTO notebooks VALUES (?, ?)", (text_of(notebook), now))

        self._file.write(write)

    def judge(self, notebook: str, place: Place, run: SavedRun, *, now: float) -> None:
        """Note the rating and the note of a run, and whether it is picked; it is added if it is not there."""
        self.add(notebook, place, [run], now=now)
        change = "UPDATE runs SET rating = ?, note = ?, picked = ?, blind = ? WHERE notebook = ? AND id = ?"
        self._file.change(change, run.rating, run.note, run.is_picked, run.was_blind, notebook, run.attempt.id)

    def ids(self, notebook: str) -> frozenset[str]:
        """Return the ids of the answers of a notebook's runs."""
        return frozenset(id_ for (id_,) in self._file.rows("SELECT id FROM runs WHERE notebook = ?", notebook))

    def at(self, notebook: str, place: Place, problems: list[str]) -> list[SavedRun]:
        """Return the runs of a place, in the order in which they were written.

        A sentence is appended to `problems` for each that is damaged.
        """
        where = " WHERE cell = ? AND notebook = ? AND call = ?"
        return [run for _, run in self._runs(problems, where, place.cell, notebook, place.call)]

    def all(self, problems: list[str]) -> list[tuple[Place, SavedRun]]:
        """Return all runs with their places, as `at` does."""
        return self._runs(problems)

    def _runs(self, problems: list[str], where: str = "", *values: Value) -> list[tuple[Place, SavedRun]]:
        columns = "number, cell, call, service, fingerprint, nth, repeat, turn, rating, note, picked, blind"
        every = f"SELECT {columns} FROM runs{where} ORDER BY number"  # noqa: S608 - our own text
        runs: list[tuple[Place, SavedRun]] = []
        for number, cell, call, service, fingerprint, nth, repeat, turn, *judged in self._file.rows(every, *values):
            try:
                attempt = bundle.read(turn).attempt
            except HistoryError as error:
                problems.append(f"Run {number}: {error.what}")
            else:
                rating, note, picked, blind = judged
                key = RunKey(service, fingerprint, nth, repeat)
                run = SavedRun(key, attempt, rating, note, is_picked=bool(picked), was_blind=bool(blind))
                runs.append((Place(cell, call), run))
        return runs


def _columns(run: SavedRun) -> dict[str, Value]:
    return {
        **asdict(run.key),
        "id": run.attempt.id,
        "turn": json.dumps(bundle.encode("", run.attempt), ensure_ascii=False, sort_keys=True),
        "rating": run.rating,
        "note": run.note,
        "picked": run.is_picked,
        "blind": run.was_blind,
    }
