"""The tables of the store that hold what was handed to a service's Batch API, and what is intended to be."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

from glm_magic.chat.attempt import Attempt
from glm_magic.chat.place import Place
from glm_magic.notebook import bundle
from glm_magic.notebook.database import Database, Value, insert, text_of
from glm_magic.notebook.runs import RunKey
from glm_magic.protocol.prices import Price

BATCHES = """
CREATE TABLE batches (
    label TEXT PRIMARY KEY,
    notebook TEXT NOT NULL,
    cell TEXT NOT NULL,
    call INTEGER NOT NULL,
    base_url TEXT NOT NULL,
    model TEXT NOT NULL,
    price TEXT NOT NULL,
    step TEXT NOT NULL,
    since REAL NOT NULL,
    file TEXT NOT NULL,
    id TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX batches_of_a_cell ON batches (cell, notebook, call);
CREATE TABLE batch_requests (
    label TEXT NOT NULL,
    name TEXT NOT NULL,
    notebook TEXT NOT NULL,
    cell TEXT NOT NULL,
    call INTEGER NOT NULL,
    service TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    nth INTEGER NOT NULL,
    repeat INTEGER NOT NULL,
    turn TEXT NOT NULL,
    PRIMARY KEY (label, name)
) WITHOUT ROWID;
CREATE INDEX batch_requests_of_a_cell ON batch_requests (cell, notebook, call, fingerprint);
"""

# How far a batch has come. Whoever finds one that is `intended` may drop it: nothing was created. One that is
# `creating` may be at the service or not; one that is `submitted` is there, and has an id. One that has `ended` is
# remembered by its label alone, so that it is not taken for one that the store has lost.
Step: TypeAlias = Literal["intended", "creating", "submitted", "ended"]


@dataclass(frozen=True, slots=True)
class PendingBatch:
    """A batch as this side knows it.

    The service knows it by `label`, which is in its metadata, and by `id` once it is `submitted`. `base_url` is where
    that is, `price` that of its tokens there. `since` is when it came to its `step`, in seconds since the epoch. `file`
    is the id of the uploaded file, ``""`` before. `requests` counts those that have no answer yet.
    """

    label: str
    base_url: str
    model: str
    price: Price | None
    since: float
    step: Step = "intended"
    file: str = ""
    id: str = ""
    requests: int = 0


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """A request of a batch: the run that it is of, and its question as an attempt that has no answer yet."""

    key: RunKey
    asked: Attempt

    @property
    def name(self) -> str:
        """What its line is known by in the files of the service (`custom_id`)."""
        return name_of(self.key)


def name_of(key: RunKey) -> str:
    """Return what the request of a run is called in the files of a batch."""
    name = f"{key.fingerprint}-{key.nth}-{key.repeat}"
    return hashlib.sha256(name.encode()).hexdigest()[:32]  # some gateways take at most 64 characters


class BatchTable:
    """Batches by the path of their notebook and the place of their cell. Every method raises `HistoryError`."""

    def __init__(self, file: Database) -> None:
        self._file = file

    # --- writing -------------------------------------------------------------------------------

    def intend(
        self, notebook: str, place: Place, batch: PendingBatch, requests: Iterable[PendingRequest], *, now: float
    ) -> bool:
        """Write down a batch before anything is sent; return false if one of its runs is pending already."""
        where: dict[str, Value] = {"notebook": text_of(notebook), "cell": text_of(place.cell), "call": place.call}
        row: dict[str, Value] = {
            **where,
            "label": batch.label,
            "base_url": batch.base_url,
            "model": batch.model,
            "price": json.dumps(batch.price and asdict(batch.price)),
            "step": batch.step,
            "since": batch.since,
            "file": batch.file,
            "id": batch.id,
        }
        rows = [{**where, "label": batch.label, **_columns(each)} for each in requests]

        def write(connection: sqlite3.Connection) -> bool:
            taken = (
                "SELECT 1 FROM batch_requests WHERE notebook = :notebook AND cell = :cell AND call = :call"
                " AND service = :service AND fingerprint = :fingerprint AND nth = :nth AND repeat = :repeat"
            )
            if any(connection.execute(taken, each).fetchone() for each in rows):
                return False
            insert(connection, "batches", [row])
            insert(connection, "batch_requests", rows)
            connection.execute("INSERT OR REPLACE INTO notebooks VALUES (?, ?)", (text_of(notebook), now))
            return True

        return bool(self._file.write(write, durable=True))

    def creating(self, label: str, file: str, *, now: float) -> bool:
        """Note that a batch of an uploaded file is being created; return false if it may not be: it was dropped."""
        change = "UPDATE batches SET step = 'creating', file = ?, since = ? WHERE label = ? AND step = 'intended'"
        return self._file.change(change, file, now, label, durable=True) == 1

    def submitted(self, label: str, id_: str) -> None:
        """Note the id of a batch that the service has."""
        self._file.change("UPDATE batches SET step = 'submitted', id = ? WHERE label = ?", id_, label)

    def answered(self, label: str, names: Iterable[str]) -> None:
        """Note that requests of a batch, by their names, have answers, which are kept elsewhere."""
        rows = [(label, name) for name in names]
        change = "DELETE FROM batch_requests WHERE label = ? AND name = ?"
        self._file.write(lambda connection: connection.executemany(change, rows))

    def end(self, label: str, *, at: Step) -> None:
        """Note that nothing more comes of a batch that is `at` this step, and delete what is left of its requests."""

        def write(connection: sqlite3.Connection) -> None:
            change = "UPDATE batches SET step = 'ended' WHERE label = ? AND step = ?"
            if connection.execute(change, (label, at)).rowcount:
                connection.execute("DELETE FROM batch_requests WHERE label = ?", (label,))

        self._file.write(write)

    # --- reading -------------------------------------------------------------------------------

    def at(self, notebook: str, place: Place) -> list[PendingBatch]:
        """Return the batches of a place from which something may come, the oldest first."""
        every = (
            "SELECT label, base_url, model, price, since, step, file, id,"
            " (SELECT count(*) FROM batch_requests WHERE batch_requests.label = batches.label)"
            " FROM batches WHERE cell = ? AND notebook = ? AND call = ? AND step != 'ended' ORDER BY since, label"
        )
        return [
            PendingBatch(label, base_url, model, _price(price), *others)
            for label, base_url, model, price, *others in self._file.rows(every, place.cell, notebook, place.call)
        ]

    def waiting(self, notebook: str) -> int:
        """Return how many requests of a notebook a service has, or may have."""
        count = (
            "SELECT count(*) FROM batch_requests JOIN batches USING (label)"
            " WHERE batches.notebook = ? AND step IN ('creating', 'submitted')"
        )
        return sum(number for (number,) in self._file.rows(count, notebook))

    def keys(self, label: str) -> list[RunKey]:
        """Return the runs that the requests of a batch are of."""
        every = "SELECT service, fingerprint, nth, repeat FROM batch_requests WHERE label = ?"
        return [RunKey(*row) for row in self._file.rows(every, label)]

    def request(self, label: str, name: str) -> PendingRequest | None:
        """Return a request of a batch by its name; None if there is none (any more), or it is damaged."""
        found = "SELECT service, fingerprint, nth, repeat, turn FROM batch_requests WHERE label = ? AND name = ?"
        rows = self._file.rows(found, label, name)
        if not rows:
            return None
        *key, turn = rows[0]
        try:
            return PendingRequest(RunKey(*key), bundle.attempt_of(json.loads(turn), is_answered=False))
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
            return None

    def labels(self) -> frozenset[str]:
        """Return the labels of all batches, of whatever notebook."""
        return frozenset(label for (label,) in self._file.rows("SELECT label FROM batches"))


def _columns(request: PendingRequest) -> dict[str, Value]:
    turn = json.dumps(bundle.fields_of(request.asked), ensure_ascii=False, sort_keys=True)
    return {"name": request.name, **asdict(request.key), "turn": turn}


def _price(text: str) -> Price | None:
    try:
        known = json.loads(text)
        return Price(**known) if known else None
    except (ValueError, TypeError):  # damaged: what the answers cost is not known then
        return None
