from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from glm_magic.chat.conversation import Turn
from glm_magic.chat.place import Place
from glm_magic.magics.cells import Cells


class Desk:
    """Runs cells with a given parent message."""

    def __init__(self) -> None:
        self.parent: Any = {}
        self.cells = Cells(SimpleNamespace(get_parent=lambda: self.parent))  # type: ignore[arg-type]
        self.count = 0

    def run(self, metadata: Any, raw: str | None = "x") -> Place:
        self.parent = {"metadata": metadata}
        self.count += 1
        self.cells.begin(raw)
        place = self.cells.run.next_place()
        self.cells.end(self.count)
        return place


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_cell_has_the_id_that_the_front_end_sends(desk: Desk) -> None:
    assert desk.run({"cellId": "a"}) == Place("a")
    assert desk.cells.label(Turn(Place("a"))) == "[1]"
    assert desk.run({"cellId": "a"}) == Place("a")
    assert desk.cells.label(Turn(Place("a"))) == "[2]"


def test_without_an_id_each_run_is_a_cell_of_its_own(desk: Desk) -> None:
    assert len({desk.run({}) for _ in range(3)}) == 3
    assert not desk.cells.have_ids


@pytest.mark.parametrize("parent", [None, {}, [], "x", {"metadata": None}, {"metadata": ["cellId"]}, {"metadata": "x"}])
def test_a_message_without_metadata_is_a_run_without_an_id(desk: Desk, parent: Any) -> None:
    desk.parent = parent
    desk.cells.begin("x")
    assert desk.cells.run.next_place().cell.startswith("run ")


@pytest.mark.parametrize("cell_id", [None, "", 5, {"a": 1}, ["a"], True])
def test_an_id_that_is_no_text_is_none(desk: Desk, cell_id: Any) -> None:
    assert desk.run({"cellId": cell_id}).cell.startswith("run ")
    assert not desk.cells.have_ids


def test_cells_that_are_reported_deleted_are_so_until_they_run_again(desk: Desk) -> None:
    desk.run({"cellId": "b", "deletedCells": ["a", "c"]})
    assert [desk.cells.is_deleted(Turn(Place(cell))) for cell in "abc"] == [True, False, True]
    assert not desk.cells.is_deleted(Turn(Place("a"), forked=True))
    desk.run({"cellId": "a", "deletedCells": ["a"]})  # cut, pasted and run
    assert [desk.cells.is_deleted(Turn(Place(cell))) for cell in "abc"] == [False, False, True]


@pytest.mark.parametrize("deleted", [None, "a", {"a": 1}, 7, [["a"], {"a": 1}, None, 5, "b"]])
def test_a_report_of_hostile_types_is_not_believed(desk: Desk, deleted: Any) -> None:
    desk.run({"cellId": "x", "deletedCells": deleted})
    assert not desk.cells.is_deleted(Turn(Place("a")))
    assert desk.cells.deleted <= {"b"}


def test_a_cell_that_another_one_runs_belongs_to_it(desk: Desk) -> None:
    desk.parent = {"metadata": {"cellId": "a"}}
    desk.cells.begin("%%capture")
    desk.cells.begin("inner\n")
    assert desk.cells.run.next_place() == Place("a", 0)
    assert desk.cells.end(None) is None
    assert desk.cells.run.next_place() == Place("a", 1)
    run = desk.cells.end(3)
    assert run is not None
    assert (run.cell, run.calls) == ("a", 2)


def test_a_restored_turn_is_labelled_as_saved(desk: Desk) -> None:
    assert desk.cells.label(Turn(Place("a"), restored=True)) == "saved"
    assert desk.cells.label(Turn(Place("never ran"))) == "[*]"


@pytest.mark.parametrize(
    ("raw", "body", "typed"),
    [("%%glm\nhi", "hi\n", "hi"), ("%%glm\nhi\n", "hi\n", "hi\n"), (None, "hi\n", "hi\n"), ("other", "hi\n", "hi\n")],
)
def test_only_the_newline_that_ipython_adds_is_dropped(desk: Desk, raw: str | None, body: str, typed: str) -> None:
    desk.cells.begin(raw)
    assert desk.cells.run.as_typed(body) == typed
