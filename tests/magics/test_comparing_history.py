"""What a comparison sends of its chat, and what it leaves there."""

from __future__ import annotations

from typing import Any

import pytest
from desk import Desk
from glm_server import Answer, Received, stream

from glm_magic.errors import OptionError
from glm_magic.notebook.bundle import MIME_TYPE as TURN
from glm_magic.notebook.comparison import MIME_TYPE

CELL = "%%glm -t 0,1\nhi"


def by_temperature(request: Received) -> Answer:
    body = request.body
    return stream(f"{body['messages'][-1]['content']} at {body.get('temperature')}", model=body["model"])


@pytest.fixture
def asked(desk: Desk) -> Desk:
    """A notebook with an answer before and after a comparison."""
    desk.server.echo = by_temperature
    desk.run("a", "%%glm\nfirst")
    desk.run("b", CELL)
    return desk


FIRST = [("user", "first"), ("assistant", "first at None")]


def sent(desk: Desk, cell: str = "x", code: str = "%%glm\nlast") -> list[tuple[str, str]]:
    """Ask in another cell, and return what was sent before its question."""
    messages = desk.kernel.sent(code, cell).messages
    assert messages[-1] == ("user", "last")
    return messages[:-1]


def comparison(desk: Desk) -> Any:
    return desk.kernel.shell.user_ns["_glm"]


def refresh(desk: Desk, cell: str = "b") -> None:
    """Take what a cell shows after another one has changed it."""
    page = desk.kernel.page
    shown = [dict(data) for data in {**page.before, **page.outputs}.values() if MIME_TYPE in data]
    desk.outputs[cell] = shown[-1:]


def picked(at: float) -> list[tuple[str, str]]:
    return [*FIRST, ("user", "hi"), ("assistant", f"hi at {at}")]


def test_nothing_is_sent_until_an_answer_is_picked(asked: Desk) -> None:
    assert sent(asked) == FIRST
    asked.run("h", "%glm_history")
    assert "hi at" not in asked.text("h")
    assert "sends 2 of 2 turns" in asked.text("h")


def test_a_picked_answer_is_sent_from_the_place_of_its_cell(asked: Desk) -> None:
    asked.run("c", "%%glm\nthird")
    asked.run("b")
    asked.run("p", "_glm.pick('B')")
    assert sent(asked, "c") == picked(1.0)


def test_another_one_can_be_picked(asked: Desk) -> None:
    asked.run("p", "_glm.pick('B')")
    asked.run("q", "_glm.pick(0)")
    assert sent(asked) == picked(0.0)
    found = comparison(asked)
    asked.run("b")
    found = comparison(asked)
    assert [run.is_picked for run in found] == [True, False]


def test_a_picked_answer_is_the_turn_in_the_file_and_can_be_restored(asked: Desk) -> None:
    asked.run("p", "_glm.pick('B')")
    refresh(asked)
    assert asked.bundle("b")["messages"][-1]["content"] == "hi at 1.0"
    asked.save()
    asked.restart()
    asked.kernel.run("%glm_history --restore")
    assert sent(asked) == picked(1.0)


def test_it_is_the_turn_again_after_restart_and_run_all(asked: Desk) -> None:
    asked.run("p", "_glm.pick('B')")
    del asked.cells["p"]  # picked in the grid
    before = len(asked.server.requests)
    asked.restart()
    for cell in ("a", "b"):
        asked.run(cell)
    assert len(asked.server.requests) == before + 1
    assert sent(asked) == picked(1.0)


def test_it_is_the_turn_again_when_the_notebook_is_replayed(asked: Desk) -> None:
    asked.run("p", "_glm.pick('B')")
    refresh(asked)
    del asked.cells["p"]
    asked.save()
    before = len(asked.server.requests)
    asked.restart(f"%glm_config replay={asked.path} replay_missing=error")
    for cell in ("a", "b"):
        asked.run(cell)
    assert len(asked.server.requests) == before
    assert asked.bundle("b")["messages"][-1]["content"] == "hi at 1.0"
    assert sent(asked, code="%%glm --no-replay\nlast") == picked(1.0)


def test_a_picked_answer_stays_when_other_columns_are_asked(asked: Desk) -> None:
    asked.run("p", "_glm.pick('B')")
    asked.run("b", "%%glm -t 0,1,0.5 -n 2\nhi")
    assert sent(asked) == picked(1.0)
    assert [run.is_picked for run in comparison_of(asked, "b")] == [False, False, True, False, False, False]


def comparison_of(desk: Desk, cell: str) -> Any:
    desk.run(cell)
    return comparison(desk)


def test_one_that_is_no_longer_asked_for_does_not_count(asked: Desk) -> None:
    asked.run("p", "_glm.pick('B')")
    asked.run("b", "%%glm -t 0,0.5\nhi")
    assert sent(asked) == FIRST
    asked.run("b", CELL)
    assert sent(asked, "y") == [*picked(1.0), ("user", "last"), ("assistant", "last at None")]


def test_an_answer_of_before_is_an_earlier_attempt(desk: Desk) -> None:
    desk.server.echo = by_temperature
    desk.run("a", "%%glm\nfirst")
    desk.run("b", "%%glm\nhi")
    desk.run("b", CELL)
    assert sent(desk) == FIRST
    assert [made["messages"][0]["content"] for made in desk.bundle("b")["attempts"]] == ["hi"]
    desk.run("b", CELL)
    desk.run("p", "_glm.pick('B')")
    assert sent(desk, "x") == picked(1.0)
    refresh(desk)
    assert len(desk.bundle("b")["attempts"]) == 1
    desk.run("b", "%%glm\nhi")
    assert "attempt 3 of 3" in desk.text("b")


def test_a_comparison_that_was_picked_is_picked_once_among_the_attempts(asked: Desk) -> None:
    asked.run("p", "_glm.pick('B')")
    for _ in range(3):
        asked.run("b")
        asked.run("p", "_glm.pick('B')")
    refresh(asked)
    assert asked.bundle("b")["attempts"] == []


def test_one_shot_comparisons_send_nothing_and_are_sent_nowhere(asked: Desk) -> None:
    before = len(asked.server.requests)
    asked.run("d", "%%glm -H -t 0,1\nhi")
    assert [request.messages for request in asked.server.requests[before:]] == [[("user", "hi")]] * 2
    asked.run("p", "_glm.pick('B')")
    assert sent(asked) == FIRST
    refresh(asked, "d")
    assert (asked.bundle("d")["chat"], asked.bundle("d")["messages"][-1]["content"]) == ("", "hi at 1.0")


def test_a_cell_may_compare_more_than_once(desk: Desk) -> None:
    desk.server.echo = by_temperature
    compare = "get_ipython().run_cell_magic('glm', '-t 0,1', 'hi')"
    cell = f"one = {compare}\ntwo = {compare}"
    desk.run("a", cell)
    assert len(desk.server.requests) == 4, "each has answers of its own"
    desk.kernel.run("two.pick('B')", "p")
    assert sent(desk) == [("user", "hi"), ("assistant", "hi at 1.0")]
    desk.restart()
    desk.run("a")
    assert len(desk.server.requests) == 5
    ns = desk.kernel.shell.user_ns
    assert ([run.is_picked for run in ns["one"]], [run.is_picked for run in ns["two"]]) == (
        [False, False],
        [False, True],
    )


def test_the_history_shows_the_picked_answer(asked: Desk) -> None:
    asked.run("p", "_glm.pick('B')")
    shown = asked.run("h", "%glm_history")
    assert "hi at 1.0" in shown
    assert "sends 2 of 2 turns" in shown


def test_a_run_without_an_answer_cannot_be_picked(asked: Desk) -> None:
    for what in ("'C'", "'A', row=1", "'A', repeat=1", "'A', row=-1"):
        with pytest.raises(OptionError):
            asked.kernel.run(f"_glm.pick({what})", "p")
    assert sent(asked) == FIRST


def test_where_turns_are_not_saved_a_picked_answer_is_sent_all_the_same(desk: Desk) -> None:
    desk.server.echo = by_temperature
    desk.kernel.run("%glm_config save_turns=off")
    desk.run("b", CELL)
    desk.run("p", "_glm.pick('B')")
    refresh(desk)
    assert [data for data in desk.outputs["b"] if TURN in data] == []
    assert sent(desk) == picked(1.0)[2:]
