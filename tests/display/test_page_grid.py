from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from glm_magic.display.grid import Action, Answer, Changes, Column, Grid, Interval, Row
from glm_magic.display.page.grid.view import PageGrid
from glm_magic.errors import GlmError

BUNDLE = {"application/x-comparison+json": {"id": "a"}}
COLUMNS = (
    Column("A", ("GLM-4-Flash",), ("1 s",), Interval(0.5), "right", prompt="Say it."),
    Column("B", ("GLM-4-Plus",), ("9 s",), Interval(0.9), "right", Interval(0.4), "better", "Shout it."),
)
BEGUN = Grid(("2 rows",), COLUMNS, (Row(1, {"word": "ja"}), Row(2, {"word": "nein"})), (((Answer(),) * 2,) * 2,) * 2)
TELLING = ("GLM-4", "Plus", "9 s", "0.90", "better", "Shout", "Because", "1305", "right", "baseline")


class Widget:
    """Takes what the browser would."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def add(self, key: str, whole: Any, on_action: Any) -> None:
        self.whole, self.on_action = whole, on_action

    def begin(self, key: str) -> None:
        self.messages.append({"begin": self.whole()})

    def patch(self, key: str, patch: dict[str, Any]) -> None:
        self.messages.append(patch)

    def send_whole(self, key: str) -> None:
        self.messages.append({"whole": self.whole()})

    def end(self, key: str) -> None:
        self.messages.append({"end": key})


class Sheet:
    """A page under a clock of its own."""

    def __init__(self, *, is_live: bool = True, **options: Any) -> None:
        self.now = 0.0
        self.outputs: dict[str, dict[str, Any]] = {}
        self.sent: list[dict[str, Any]] = []
        self.actions: list[Action] = []
        self.widget = Widget()
        found: Any = (lambda: self.widget) if is_live else (lambda: None)
        self.view = PageGrid(self.show, "n", lambda: self.now, self.actions.append, key="k", grids=found, **options)

    def show(self, data: dict[str, Any], name: str, *, update: bool) -> None:
        assert update == (name in self.outputs)
        self.outputs[name] = data
        self.sent.append(data)

    def paint(self, *changes: Changes, after: float = 0.1) -> None:
        for change in changes:
            self.now += after
            self.view.paint(change)

    @property
    def patches(self) -> list[dict[str, Any]]:
        return [message for message in self.widget.messages if "number" in message]


def begun(**options: Any) -> Sheet:
    sheet = Sheet(**options)
    sheet.view.begin(BEGUN)
    return sheet


def filled(grid: Grid = BEGUN) -> Grid:
    """The grid with all answers."""
    done = Answer("yes", "done", "Because.", facts=("9 s",), scores={"right": True})
    failed = Answer(state="failed", error="GLM-4-Plus is busy (1305).")
    return replace(grid, answers=(((done,) * 2,) * 2, ((done, failed),) * 2))


def test_the_page_knows_the_whole_grid_from_the_start() -> None:
    sheet = begun()
    (begin,) = [message["begin"] for message in sheet.widget.messages]
    assert begin["rows"] == [[1, {"word": "ja"}], [2, {"word": "nein"}]]
    assert begin["shape"] == [[2, 2]]
    assert begin["running"]
    assert [column["label"] for column in begin["patch"]["columns"]] == ["A", "B"]
    assert 'data-glm-grid="k"' in sheet.outputs["n"]["text/html"]


def test_what_changed_too_late_for_an_update_is_sent_with_the_end() -> None:
    sheet = begun()
    running = Answer(state="running")
    sheet.paint(Changes({(0, 0, 0): running, (1, 0, 0): running}))
    end = filled()
    sheet.paint(Changes({(0, 0, 0): end.answers[0][0][0]}, {(1, 0, 0): "y"}), after=0.0)
    assert len(sheet.patches) == 1
    sheet.view.settle(end, BUNDLE)
    assert {tuple(answer[:3]) for answer in sheet.patches[-1]["answers"]} >= {(0, 0, 0), (1, 0, 0)}
    assert all(answer[3]["state"] != "running" for answer in sheet.patches[-1]["answers"])


def test_text_is_sent_as_it_grows_and_only_what_is_new_of_it() -> None:
    sheet = begun()
    sheet.paint(Changes({(0, 0, 0): Answer(state="running")}), *(Changes(grown={(0, 0, 0): word}) for word in "abc"))
    assert [patch["grown"] for patch in sheet.patches[1:]] == [
        [[0, 0, 0, 0, "a"]],
        [[0, 0, 0, 1, "b"]],
        [[0, 0, 0, 2, "c"]],
    ]


def test_an_answer_that_begins_and_grows_in_one_step_loses_no_text() -> None:
    sheet = begun()
    sheet.paint(Changes({(0, 0, 0): Answer(state="running")}, {(0, 0, 0): "a"}), Changes(grown={(0, 0, 0): "b"}))
    assert sheet.patches[0]["answers"] == [[0, 0, 0, {"state": "running", "text": "a"}]]
    assert sheet.patches[1]["grown"] == [[0, 0, 0, 0, "b"]]


def test_patches_come_ten_times_a_second_at_most_and_nothing_is_lost() -> None:
    sheet = begun()
    sheet.paint(*[Changes(grown={(0, 0, 0): "x"})] * 1000, after=0.001)
    sheet.paint(Changes())
    assert len(sheet.patches) <= 11
    assert sum(len(delta[-1]) for patch in sheet.patches for delta in patch["grown"]) == 1000


def test_a_patch_has_only_what_has_changed() -> None:
    sheet = begun()
    sheet.paint(Changes(title=("1 of 4",)), Changes({(1, 1, 0): Answer("yes", "done")}), Changes())
    first, second = sheet.patches
    assert first == {"number": 0, "title": ["1 of 4"]}
    assert second == {
        "number": 1,
        "answers": [[1, 1, 0, {"state": "done", "text": "yes"}]],
        "cells": [[1, 1, 0, None, []]],
    }


def test_many_streams_cost_few_bytes_a_character() -> None:
    rows = tuple(Row(number) for number in range(1, 33))
    sheet = Sheet()
    sheet.view.begin(Grid((), COLUMNS[:1], rows, (((Answer(),),),) * 32))
    words = "five words of a text "
    for _ in range(50):
        sheet.paint(Changes(grown={(row, 0, 0): words for row in range(32)}))
    sent = sum(len(json.dumps(patch)) + 700 for patch in sheet.patches)  # and the head of a message
    assert sent / (50 * 32 * len(words)) < 4


def test_the_settled_grid_is_static_with_what_is_attached() -> None:
    sheet = begun()
    assert "Under way." in sheet.outputs["n"]["text/html"]  # as a page that is loaded again has it
    sheet.view.settle(filled(), BUNDLE)
    assert "Under way." not in sheet.outputs["n"]["text/html"]
    kinds = ["text/html", "text/markdown", "text/plain", *BUNDLE]
    assert list(sheet.outputs["n"]) == kinds
    assert "script" not in sheet.outputs["n"]["text/html"]
    assert sheet.widget.messages[-1] == {"end": "k"}
    assert sheet.patches[-1]["running"] is False
    assert len(sheet.patches[-1]["answers"]) == 8


def test_a_change_of_a_settled_grid_is_sent_alone() -> None:
    sheet = begun()
    sheet.view.settle(filled(), BUNDLE)
    answers = filled().answers
    rated = ((replace(answers[0][0][0], rating=4), answers[0][0][1]), answers[0][1])
    sheet.view.rewrite(replace(filled(), answers=(rated, answers[1])), BUNDLE)
    ((row, column, repeat, answer),) = sheet.patches[-1]["answers"]
    assert ((row, column, repeat), answer["rating"]) == ((0, 0, 0), 4)
    assert "rated 4" in sheet.outputs["n"]["text/html"]


def test_a_grid_that_has_grown_is_sent_whole() -> None:
    sheet = begun()
    sheet.view.settle(filled(), BUNDLE)
    more = Grid(("3 repeats",), COLUMNS, BEGUN.rows, (((Answer(),) * 3,) * 2,) * 2)
    sheet.view.begin(more)
    assert sheet.widget.messages[-1]["begin"]["shape"] == [[3, 3]]
    sheet.view.settle(filled(), BUNDLE)
    assert any(message["whole"]["shape"] == [[2, 2]] for message in sheet.widget.messages if "whole" in message)


def test_at_once_there_is_one_output_that_is_never_updated() -> None:
    sheet = begun(at_once=True)
    sheet.paint(Changes(grown={(0, 0, 0): "x"}))
    sheet.view.settle(filled(), BUNDLE)
    assert len(sheet.sent) == 1
    (message,) = sheet.widget.messages
    assert message["whole"]["running"] is False


def test_two_times_the_same_grid_give_the_same_outputs() -> None:
    first, second = begun(at_once=True), begun()
    first.view.settle(filled(), BUNDLE)
    second.view.settle(filled(), BUNDLE)
    assert first.outputs == second.outputs


def test_without_widgets_static_grids_follow_one_another_slowly() -> None:
    sheet = begun(is_live=False)
    sheet.paint(*[Changes(grown={(0, 0, 0): "x"})] * 50)
    assert 5 < len(sheet.sent) <= 11
    sheet.paint(Changes(), Changes(grown={(0, 0, 0): "END"}), after=1)
    assert "xxxEND" in sheet.outputs["n"]["text/html"]


def test_the_whole_has_the_text_that_has_grown_so_far() -> None:
    sheet = begun()
    sheet.paint(*[Changes(grown={(0, 1, 0): "x"})] * 3)
    ((_, _, _, answer),) = sheet.widget.whole()["patch"]["answers"]
    assert answer == {"state": "running", "text": "xxx"}


def test_what_a_model_says_is_neutralised() -> None:
    sheet = begun()
    sheet.paint(
        Changes(grown={(0, 0, 0): "a\x1b[2J\u202eb"}), Changes({(0, 1, 0): Answer("\x00", "done", note="\x07")})
    )
    assert "\\u001b" not in json.dumps(sheet.patches)
    assert "\\u202e" not in json.dumps(sheet.patches)
    assert "\\u0000" not in json.dumps(sheet.patches)


def test_a_blind_grid_tells_nothing_of_the_configurations() -> None:
    sheet = Sheet()
    sheet.view.begin(replace(BEGUN, is_blind=True))
    answers = filled().answers
    sheet.paint(Changes({(0, 0, 0): answers[0][0][0], (1, 1, 1): answers[1][1][1]}, columns=COLUMNS))
    sheet.view.settle(replace(filled(), is_blind=True, verdict=("B is better",), baseline=1, more="ask GLM-4-Plus"), {})
    said = json.dumps([sheet.sent, sheet.widget.messages, sheet.widget.whole()], ensure_ascii=False)
    words = said.replace('"baseline": 0', "")  # which is always the first
    assert not [word for word in TELLING if word in words]
    sheet.view.rewrite(filled(), {})
    assert "GLM-4-Plus" in json.dumps(sheet.patches[-1])


@pytest.mark.parametrize(
    ("message", "action"),
    [
        ({"kind": "stop"}, Action("stop")),
        ({"kind": "rate", "spot": [1, 1, 0], "value": 5}, Action("rate", (1, 1, 0), 5)),
        ({"kind": "rate", "spot": [1, 1, 0], "value": None}, Action("rate", (1, 1, 0))),
        ({"kind": "note", "spot": [0, 0, 0], "value": "good"}, Action("note", (0, 0, 0), "good")),
        ({"kind": "pick", "spot": [0, 1, 1]}, Action("pick", (0, 1, 1))),
        ({"kind": "baseline", "spot": [0, 1, 0]}, Action("baseline", (0, 1, 0))),
        ({"kind": "more", "spot": [0, 0, 0]}, Action("more")),
    ],
)
def test_what_a_person_does_comes_back(message: dict[str, Any], action: Action) -> None:
    sheet = begun()
    sheet.widget.on_action(message)
    assert sheet.actions == [action]


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (GlmError("It has failed.", "Ask again."), "It has failed. Ask again."),
        (KeyError("x"), "KeyError: 'x'"),
        (None, ""),
    ],
)
def test_why_something_was_not_done_is_said(error: Exception | None, why: str) -> None:
    def act(action: Action) -> None:
        if error is not None:
            raise error

    sheet = begun()
    sheet.view._on_action = act
    sheet.widget.on_action({"kind": "pick", "spot": [0, 0, 0]})
    assert sheet.patches[-1] == {"number": 0, "said": why}


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"kind": "run", "spot": [0, 0, 0]},
        {"kind": "rate", "spot": [0, 0, 0], "value": 6},
        {"kind": "rate", "spot": [0, 0, 0], "value": True},
        {"kind": "note", "spot": [0, 0, 0], "value": ["x"]},
        {"kind": "pick", "spot": [0, 0]},
        {"kind": "pick", "spot": [0, 0, 2]},
        {"kind": "pick", "spot": [-1, 0, 0]},
        {"kind": "pick", "spot": ["0", 0, 0]},
        {"kind": "pick", "spot": None},
    ],
)
def test_anything_else_is_ignored(message: dict[str, Any]) -> None:
    sheet = begun()
    sheet.widget.on_action(message)
    assert sheet.actions == []
