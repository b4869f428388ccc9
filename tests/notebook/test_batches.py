"""The batches in the store: written down before they are sent, and found again whatever happens."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from glm_magic.chat.attempt import Attempt
from glm_magic.chat.messages import Message
from glm_magic.chat.place import Place
from glm_magic.notebook.batches import BatchTable, PendingBatch, PendingRequest, name_of
from glm_magic.notebook.runs import RunKey
from glm_magic.notebook.store import Store
from glm_magic.protocol.prices import Price

HERE = "/a/mine.ipynb", Place("cell")
BATCH = PendingBatch("label", "https://example.org/v1", "GLM-4-Air", Price(1, 2, 0.5, "USD"), 100.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.db"


@pytest.fixture
def table(path: Path) -> Iterator[BatchTable]:
    store = Store(path)
    yield store.batches
    store.close()


NAMES = [name_of(RunKey("service", "f", 0, repeat)) for repeat in range(3)]


def requests(*repeats: int) -> list[PendingRequest]:
    asked = Attempt("id", (Message("user", "서울"),), parameters={"model": "GLM-4-Air"}, fingerprint="f")
    return [PendingRequest(RunKey("service", "f", 0, repeat), asked) for repeat in repeats]


def test_what_is_intended_is_read_as_it_was_written(table: BatchTable) -> None:
    assert table.intend(*HERE, BATCH, requests(0, 1), now=1.0)
    assert table.at(*HERE) == [replace(BATCH, requests=2)]
    assert table.request("label", NAMES[1]) == requests(1)[0]
    assert table.request("label", NAMES[2]) is None
    assert {*table.keys("label")} == {RunKey("service", "f", 0, 0), RunKey("service", "f", 0, 1)}
    assert table.at(HERE[0], Place("another")) == table.at("/another.ipynb", HERE[1]) == []


def test_a_run_is_in_one_batch_of_its_cell_at_a_time(table: BatchTable) -> None:
    assert table.intend(*HERE, BATCH, requests(0, 1), now=1.0)
    other = replace(BATCH, label="other")
    assert not table.intend(*HERE, other, requests(1, 2), now=1.0)
    assert [batch.label for batch in table.at(*HERE)] == ["label"]
    assert table.intend(HERE[0], Place("copy"), other, requests(1, 2), now=1.0)
    table.answered("label", [NAMES[1]])
    assert table.intend(*HERE, replace(BATCH, label="third"), requests(1), now=1.0)


def test_a_batch_is_created_only_as_long_as_nobody_has_ended_it(table: BatchTable) -> None:
    table.intend(*HERE, BATCH, requests(0), now=1.0)
    table.end("label", at="intended")
    assert not table.creating("label", "file-1", now=2.0)
    table.intend(*HERE, replace(BATCH, label="second"), requests(0), now=1.0)
    assert table.creating("second", "file-1", now=2.0)
    assert not table.creating("second", "file-2", now=2.0), "it is being created already"
    table.end("second", at="intended")  # too late
    table.submitted("second", "batch_1")
    (batch,) = table.at(*HERE)
    assert (batch.step, batch.file, batch.id, batch.since, batch.requests) == ("submitted", "file-1", "batch_1", 2.0, 1)


def test_one_that_has_ended_is_known_by_its_label_alone(table: BatchTable) -> None:
    table.intend(*HERE, BATCH, requests(0), now=1.0)
    table.end("label", at="intended")
    assert table.at(*HERE) == []
    assert table.keys("label") == []
    assert table.labels() == {"label"}


def test_a_damaged_request_costs_itself(table: BatchTable, path: Path) -> None:
    table.intend(*HERE, BATCH, requests(0, 1), now=1.0)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE batch_requests SET turn = '{' WHERE name = ?", NAMES[:1])
        connection.execute("UPDATE batches SET price = '{'")
        connection.commit()
    assert table.request("label", NAMES[0]) is None
    assert table.request("label", NAMES[1]) is not None
    assert table.at(*HERE) == [replace(BATCH, price=None, requests=2)]


def test_a_batch_is_on_the_disk_before_it_is_submitted(path: Path) -> None:
    store = Store(path)
    store.batches.intend(*HERE, BATCH, requests(0), now=1.0)
    said: list[str] = []
    store.batches._file.read(lambda connection: connection.set_trace_callback(said.append), none=None)
    store.batches.intend(*HERE, replace(BATCH, label="second"), requests(1), now=1.0)
    store.batches.creating("label", "file-1", now=2.0)
    steps = [each for each in said if each.startswith(("PRAGMA synchronous =", "BEGIN", "COMMIT"))]
    assert steps == ["PRAGMA synchronous = FULL", "BEGIN IMMEDIATE", "COMMIT", "PRAGMA synchronous = 1"] * 2
    store.close()


def test_the_name_of_a_request_is_short_enough_for_gateways() -> None:
    assert len({*NAMES}) == 3
    assert {len(name_of(RunKey("service", "f" * 64, 9_999, repeat))) for repeat in (0, 9_999)} == {32}


def test_batches_are_forgotten_with_their_notebook(path: Path) -> None:
    store = Store(path)
    store.batches.intend(*HERE, BATCH, requests(0), now=1.0)
    store.forget(HERE[0])
    assert store.batches.labels() == frozenset()
    assert store.batches.keys("label") == []
    store.close()
