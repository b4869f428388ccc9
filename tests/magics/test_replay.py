"""Run all again without paying again: answers are recorded, saved, and given back in a new kernel."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest
from glm_server import GlmServer, error, stream
from IPython.core.interactiveshell import InteractiveShell
from ipython_shell import Notebook, close, new_shell

from glm_magic.asking.archive import journal_of
from glm_magic.chat.attempt import Attempt
from glm_magic.chat.events import Finished, TextDelta
from glm_magic.chat.place import Place
from glm_magic.display.page.view import PageView
from glm_magic.errors import GlmError, HistoryError, Interrupted, NotRecorded, ServiceError
from glm_magic.notebook.bundle import MIME_TYPE, encode
from glm_magic.notebook.document import SavedTurn
from glm_magic.notebook.store import Store
from glm_magic.service import embedded

Cells = dict[str, str]  # the sources by the cells' ids, in the order of the page

TWO = {"a": "%%glm\none", "b": "%%glm\ntwo"}


@dataclass
class Desk:
    """A notebook's file, and one kernel after the other to run it."""

    path: Path
    server: GlmServer
    start: Callable[[], Notebook]
    cells: Cells = field(default_factory=dict)
    outputs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    has_ids: bool = True
    kernel: Any = None

    def restart(self, *lines: str) -> Notebook:
        """Begin a new kernel, and run lines in it that stand in no cell."""
        self.kernel = self.start()
        for line in lines:
            self.kernel.run(line)
        return self.kernel

    def run(self, cell: str, source: str | None = None) -> Any:
        """Run a cell as a front end does; what it shows takes the place of what it had shown."""
        self.cells[cell] = source = self.cells[cell] if source is None else source
        messages = self.kernel.page.messages
        try:
            return self.kernel.run(source, cell if self.has_ids else None)
        finally:
            self.outputs[cell] = [dict(data) for data in self.kernel.page.outputs.values()]
            self.updates = self.kernel.page.messages - messages - len(self.outputs[cell])

    def run_all(self, cells: Cells | None = None) -> str:
        """Run each cell; return all that they show, as JSON."""
        self.cells = dict(self.cells if cells is None else cells)
        self.outputs = {}
        for cell in self.cells:
            self.run(cell)
        return json.dumps(self.outputs, sort_keys=True)

    def replay_all(self, *lines: str) -> str:
        """Run each cell in a new kernel; nothing may be asked, and no output be updated."""
        asked = len(self.server.requests)
        self.restart(*lines or (f"%glm_config replay={self.path}",))
        self.outputs = {}
        for cell in self.cells:
            self.run(cell)
            assert self.updates == 0, f"cell {cell} updates an output"
        assert len(self.server.requests) == asked, "a request was sent"
        return json.dumps(self.outputs, sort_keys=True)

    def save(self) -> Path:
        notebook = nbformat.v4.new_notebook()
        for cell, source in self.cells.items():
            made = nbformat.v4.new_code_cell(source, id=cell)
            made.outputs = [nbformat.v4.new_output("display_data", data=data) for data in self.outputs.get(cell, [])]
            notebook.cells.append(made)
        nbformat.write(notebook, self.path)
        return self.path

    def bundles(self, *cells: str) -> list[dict[str, Any]]:
        return [data[MIME_TYPE] for cell in cells or self.outputs for data in self.outputs[cell] if MIME_TYPE in data]

    def recorded(self, cells: Cells) -> None:
        """Ask in a first kernel, and save."""
        self.restart()
        self.run_all(cells)
        self.save()

    def text(self, cell: str) -> str:
        return "\n".join(data.get("text/plain", "") for data in self.outputs[cell])


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, server: GlmServer, tmp_path: Path) -> Iterator[Desk]:
    shells: list[InteractiveShell] = []

    def start() -> Notebook:
        if shells:
            close(shells.pop())
        monkeypatch.setattr(InteractiveShell, "_instance", None)
        shells.append(new_shell())
        monkeypatch.setattr(InteractiveShell, "_instance", shells[0])
        shells[0].run_line_magic("load_ext", "glm_magic")
        return Notebook(shells[0], server)

    monkeypatch.setenv("GLM_BASE_URL", server.url)
    (tmp_path / "notes").mkdir()
    yield Desk(tmp_path / "notes" / "saved.ipynb", server, start)
    for shell in shells:
        close(shell)


# --- a fixed point ---------------------------------------------------------------------------

NOTEBOOKS: dict[str, list[tuple[str, str]]] = {
    "a conversation": [*TWO.items(), ("c", "%%glm\nthree")],
    "quiet": [("a", "%%glm -q\none"), ("b", "%%glm -q\ntwo")],
    "several lines in a cell": [("a", "%glm one\n%glm two\n%glm two"), ("b", "%%glm\nthree")],
    "messages put in": [
        ("a", "%%glm --role system\nBe brief."),
        ("b", "%%glm --role user\none"),
        ("c", "%%glm -q --role assistant\nNo."),
        ("d", "%%glm\ntwo"),
    ],
    "an undone turn": [*TWO.items(), ("c", "%glm_history --undo"), ("d", "%%glm\nthree")],
    "a cleared chat": [("a", "%%glm\none"), ("b", "%glm_history --clear"), ("c", "%%glm\none")],
    "a skipped turn": [*TWO.items(), ("c", "%glm_history --skip 1"), ("d", "%%glm\nthree")],
    "a fork": [("a", "%%glm\none"), ("b", "%glm_history --fork side"), ("c", "%%glm -c side\ntwo")],
    "one-shot answers": [("a", "%%glm\none"), ("b", "%%glm --no-history\none"), ("c", "%%glm --no-history\none")],
    "a cell that ran again": [("a", "%%glm\none"), ("a", "%%glm\none"), ("b", "%%glm\ntwo")],
    "a cell that was rewritten": [("a", "%%glm\nuno"), ("a", "%%glm\none"), ("b", "%%glm\ntwo")],
    "plain text": [("a", "%%glm -f text\n# one *two*")],
    "a boundary": [("a", "%%glm\none"), ("b", "%%glm --new\ntwo"), ("c", "%%glm\nthree")],
    "two chats": [("a", "%%glm\none"), ("b", "%%glm -c side\none"), ("c", "%%glm\ntwo"), ("d", "%%glm -c side\ntwo")],
    "templates": [("a", "x = 'moon'"), ("b", "%%glm -s {{ x }}\nthe {{ x }}"), ("c", "%%glm --raw\n{{ x }}")],
    "settings": [("a", "%%glm -m other -t 0.5 --stop X --param seed=1\none"), ("b", "%%glm --no-stream\ntwo")],
    "equal prompts": [("a", "%%glm --new\none"), ("b", "%%glm --new\none"), ("c", "%%glm --new\none")],
}


@pytest.mark.parametrize("has_ids", [True, False], ids=["cell ids", "no cell ids"])
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_replay_is_a_fixed_point(desk: Desk, name: str, has_ids: bool) -> None:
    ran = NOTEBOOKS[name]
    desk.has_ids = has_ids
    if not has_ids:  # where each run is a cell of its own, one that ran again is two
        ran = list(dict(ran).items())
    desk.restart()
    desk.server.answer(*(stream(f"answer {number} " * 3) for number in range(len(ran))))
    for cell, source in ran:
        desk.run(cell, source)
    live = desk.bundles()
    desk.save()
    first = desk.replay_all()
    assert desk.bundles() == live
    desk.save()
    assert desk.replay_all() == first
    desk.save()
    assert desk.replay_all("%glm_config replay=" + str(desk.path.parent)) == first


def test_an_interrupted_answer_that_was_gone_on_from_is_given(desk: Desk) -> None:
    desk.restart()
    interrupt(desk, "a", "%%glm\none", "half an")
    desk.run("b", "%%glm\ntwo")
    live = desk.bundles()
    desk.save()
    first = desk.replay_all()
    assert desk.bundles() == live
    assert "interrupted · replayed" in desk.text("a")
    desk.save()
    assert desk.replay_all() == first


def test_an_interrupted_answer_from_which_nothing_went_on_is_asked_to_its_end(desk: Desk) -> None:
    desk.restart()
    desk.run("a", "%%glm\none")
    interrupt(desk, "b", "%%glm\ntwo", "half an")
    desk.save()
    desk.restart(f"%glm_config replay={desk.path}")
    desk.server.answer(stream("the whole"))
    desk.run("a")
    assert desk.run("b").text == "the whole"
    assert desk.server.last.messages[-1] == ("user", "two")
    desk.save()
    first = desk.replay_all()
    assert "the whole" in desk.text("b")
    desk.save()
    assert desk.replay_all() == first


def interrupt(desk: Desk, cell: str, source: str, text: str) -> None:
    """Run a cell that is interrupted after `text`."""
    desk.server.answer(stream(text, " answer"))
    services = desk.kernel.shell.magics_manager.registry["GLMMagics"].shared.session.services
    stream_of = services.stream

    def until_interrupted(events: Iterator[Any]) -> Iterator[Any]:
        for event in events:
            yield event
            if getattr(event, "text", "") == text:
                raise KeyboardInterrupt

    services.stream = lambda *asked: stream_of(*asked).through(until_interrupted)
    with pytest.raises(Interrupted):
        desk.run(cell, source)
    services.stream = stream_of


# --- what is given -----------------------------------------------------------------------------


def test_the_reply_is_the_recorded_one(desk: Desk) -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 3}}
    usage = {"prompt_tokens": 70, "completion_tokens": 5, "total_tokens": 75, **details}
    desk.restart()
    desk.server.answer(stream("one", usage=usage, model="glm-4-air-0111", finish_reason="length"))
    live = desk.run("a", "%%glm\none")
    desk.save()
    desk.replay_all()
    given = desk.kernel.shell.user_ns["_glm"]
    assert given.replayed
    assert not live.replayed
    assert given.seconds == pytest.approx(live.seconds, abs=0.001)
    assert given.first_token_seconds == pytest.approx(live.first_token_seconds, abs=0.001)
    for name in ("text", "reasoning", "usage", "cost", "model", "finish_reason", "interrupted"):
        assert getattr(given, name) == getattr(live, name), name
    assert given.request["messages"] == live.request["messages"]
    assert "replayed" in desk.text("a")
    assert "cut off" in desk.text("a")


def test_a_cell_that_runs_a_second_time_asks_anew(desk: Desk) -> None:
    desk.recorded(TWO)
    desk.replay_all()
    desk.server.answer(stream("new"))
    assert desk.run("b").text == "new"
    desk.server.answer(stream("newer"))
    assert desk.run("b").text == "newer"
    assert len(desk.bundles("b")[0]["attempts"]) == 2


def test_a_cell_that_asked_anew_is_not_given_the_recorded_answer_after_that(desk: Desk) -> None:
    desk.recorded(TWO)
    desk.restart(f"%glm_config replay={desk.path}")
    desk.server.answer(stream("new"), stream("newer"))
    assert desk.run("a", "%%glm --no-replay\none").text == "new"
    assert desk.run("a", "%%glm\none").text == "newer"


def test_a_changed_prompt_and_what_comes_after_it_are_asked(desk: Desk) -> None:
    desk.recorded({**TWO, "c": "%%glm --new\nthree"})
    desk.restart(f"%glm_config replay={desk.path}")
    asked = len(desk.server.requests)
    desk.run("a", "%%glm\nuno")
    desk.run("b")
    desk.run("c")
    assert [request.messages[-1][1] for request in desk.server.requests[asked:]] == ["uno", "two"]
    assert ["replayed" in desk.text(cell) for cell in "abc"] == [False, False, True]


def test_of_equal_requests_each_cell_gets_its_own_answer_wherever_it_stands(desk: Desk) -> None:
    desk.restart()
    desk.server.answer(stream("first"), stream("second"))
    desk.run_all({"a": "%%glm --no-history\none", "b": "%%glm --no-history\none"})
    desk.save()
    desk.restart(f"%glm_config replay={desk.path}")
    assert [desk.run(cell).text for cell in "ba"] == ["second", "first"]


def test_without_cell_ids_equal_requests_get_the_answers_in_the_order_of_the_file(desk: Desk) -> None:
    desk.restart()
    desk.server.answer(stream("first"), stream("second"))
    desk.run_all({"a": "%%glm --no-history\none", "b": "%%glm --no-history\none"})
    desk.save()
    desk.has_ids = False
    desk.restart(f"%glm_config replay={desk.path}")
    assert [desk.run(cell).text for cell in "ab"] == ["first", "second"]


def test_the_endpoint_and_how_the_answer_travels_do_not_matter(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.recorded({"a": "%%glm --param user_id=me-and-you --param request_id=abcdef\none"})
    monkeypatch.setenv("GLM_BASE_URL", "http://127.0.0.1:9/other")
    desk.cells["a"] = "%%glm --no-stream\none"
    desk.replay_all()
    assert "replayed" in desk.text("a")


def test_replaying_needs_neither_key_nor_endpoint_nor_embedded_model(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.recorded(TWO)
    monkeypatch.delenv("GLM_BASE_URL")
    monkeypatch.setattr(embedded, "is_installed", lambda: False)
    desk.replay_all()
    assert "replayed" in desk.text("b")


def test_an_answer_of_glm_is_given_where_the_embedded_model_would_answer(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.recorded(TWO)
    monkeypatch.delenv("GLM_BASE_URL")
    monkeypatch.setattr(embedded, "is_installed", lambda: True)
    desk.replay_all()
    assert "embedded" not in desk.text("b")


def test_an_answer_of_the_embedded_model_is_given_where_glm_would_answer(desk: Desk) -> None:
    name = embedded.EmbeddedModel({}).name
    desk.recorded({"a": f"%%glm -m {name}\none"})
    desk.cells["a"] = "%%glm\none"
    desk.replay_all()
    assert "(embedded, for trials only)" in desk.text("a")


def test_one_cell_alone_may_take_recorded_answers_or_none(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.recorded(TWO)
    monkeypatch.setenv("JPY_SESSION_NAME", str(desk.path))
    desk.restart()
    asked = len(desk.server.requests)
    desk.run("a", "%%glm --replay\none")
    assert len(desk.server.requests) == asked
    desk.run("b")
    assert len(desk.server.requests) == asked + 1
    desk.restart(f"%glm_config replay={desk.path}")
    desk.run("a", "%%glm --no-replay\none")
    assert len(desk.server.requests) == asked + 2


def test_answers_made_in_this_kernel_are_not_given_again(desk: Desk) -> None:
    desk.recorded(TWO)
    desk.kernel.run(f"%glm_config replay={desk.path}")
    asked = len(desk.server.requests)
    desk.run_all()
    assert len(desk.server.requests) == asked + 2


def test_a_replay_that_was_interrupted_is_given_when_its_cell_runs_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.recorded(TWO)
    desk.restart(f"%glm_config replay={desk.path}")
    asked = len(desk.server.requests)
    with monkeypatch.context() as patched:
        patched.setattr(PageView, "paint", interrupted_at(TextDelta))
        with pytest.raises(Interrupted):
            desk.run("a")
    assert desk.run("a").replayed
    with monkeypatch.context() as patched:
        patched.setattr(PageView, "paint", interrupted_at(Finished))
        with pytest.raises(Interrupted):
            desk.run("b")
    assert "You said: two" in desk.text("b")
    desk.run("c", "%glm_history")
    assert "sends 2 of 2 turns" in desk.text("c")  # it was whole, and is on the page
    assert len(desk.server.requests) == asked


def interrupted_at(kind: type) -> Any:
    """A view's `paint` that is interrupted at an event of this kind."""
    paint = PageView.paint

    def interrupted(view: PageView, event: Any) -> None:
        if isinstance(event, kind):
            raise KeyboardInterrupt
        paint(view, event)

    return interrupted


def test_a_dry_run_takes_no_answer_from_the_record(desk: Desk) -> None:
    desk.recorded(TWO)
    desk.restart(f"%glm_config replay={desk.path}")
    asked = len(desk.server.requests)
    desk.run("a", "%%glm -N\none")
    desk.run("a", "%%glm\none")
    assert "replayed" in desk.text("a")
    assert len(desk.server.requests) == asked


# --- where no answer is recorded ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "remedy"),
    [
        ("%%glm\nthree", "--no-replay, then save"),
        ("%%glm -t 0.1\none", r"is recorded \(cell 1\), but with"),
        ("%%glm\ntwo", r"is recorded \(cell 2\), but with other turns"),
    ],
)
def test_a_missing_answer_is_an_error_where_that_is_set(desk: Desk, source: str, remedy: str) -> None:
    desk.recorded(TWO)
    desk.restart(f"%glm_config replay={desk.path} replay_missing=error")
    asked = len(desk.server.requests)
    with pytest.raises(NotRecorded, match=remedy):
        desk.run("x", source)
    assert len(desk.server.requests) == asked
    assert desk.run("a").replayed  # and nothing has changed
    assert desk.run("b").replayed


def test_an_answer_that_was_given_already_is_said_to_be(desk: Desk) -> None:
    desk.recorded(TWO)
    desk.replay_all(f"%glm_config replay={desk.path} replay_missing=error")
    with pytest.raises(NotRecorded, match="This kernel has already given"):
        desk.run("a")


def test_an_interrupted_answer_that_may_not_be_given_is_said_to_be_one(desk: Desk) -> None:
    desk.restart()
    interrupt(desk, "a", "%%glm\none", "half an")
    desk.save()
    desk.restart(f"%glm_config replay={desk.path} replay_missing=error")
    with pytest.raises(NotRecorded, match="was interrupted"):
        desk.run("a")


def test_replay_is_set_by_the_environment(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.recorded(TWO)
    monkeypatch.setenv("GLM_REPLAY", str(desk.path.parent))
    monkeypatch.setenv("GLM_REPLAY_MISSING", "error")
    desk.replay_all("1")
    with pytest.raises(NotRecorded):
        desk.run("c", "%%glm\nthree")


# --- sources that cannot be read ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("missing.ipynb", None, "cannot be read"),
        ("missing.jsonl", None, "no such file"),
        ("nowhere", None, "no such file"),
        ("~nobody-of-this-name/x.ipynb", None, "cannot be read"),
        ("text.txt", b"x", "not a recording"),
        ("half.ipynb", b'{"nbformat": 4, "cells": [{"outputs"', "is not a notebook"),
        ("old.ipynb", b'{"nbformat": 2, "worksheets": []}', "format 2"),
        ("empty", ..., "No .ipynb, .jsonl or .db"),
        ("notebook", None, "does not know its notebook's file"),
    ],
)
def test_a_source_that_cannot_be_read_changes_nothing(desk: Desk, name: str, content: Any, word: str) -> None:
    desk.recorded(TWO)
    path = desk.path.parent / name
    if content is ...:
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    source = name if name == "notebook" or name.startswith("~") else path
    desk.restart(f"%glm_config replay={desk.path}")
    with pytest.raises(HistoryError, match=word):
        desk.kernel.run(f"%glm_config replay={source}")
    assert desk.run("a").replayed


def test_a_wrong_source_of_the_environment_is_said_where_something_is_asked(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLM_REPLAY", str(desk.path))
    desk.restart()
    for source in ("%%glm\none", "%%glm --role system\none"):
        with pytest.raises(HistoryError, match="cannot be read"):
            desk.run("a", source)
    assert desk.server.requests == []
    desk.run("a", "%%glm --no-replay\none")
    assert desk.server.last.messages == [("user", "one")]


def test_what_is_damaged_is_said_and_the_rest_is_given(desk: Desk) -> None:
    desk.recorded({**TWO, "c": "%%glm --new\nthree"})
    saved = json.loads(desk.path.read_bytes())
    saved["cells"][1]["outputs"][0]["data"][MIME_TYPE]["messages"].reverse()  # an answer before its question
    desk.path.write_text(json.dumps(saved), encoding="utf-8")
    written = desk.path.read_bytes()
    desk.restart(f"%glm_config replay={desk.path}")
    assert "Cell 2: The turn is damaged" in desk.kernel.page.text
    assert [desk.run(cell).replayed for cell in "abc"] == [True, False, True]
    assert desk.path.read_bytes() == written


def test_of_many_damaged_turns_a_few_are_named(desk: Desk) -> None:
    lines = "\n".join("broken" for _ in range(1000))
    (desk.path.parent / "broken.jsonl").write_text(lines, encoding="utf-8")
    desk.restart(f"%glm_config replay={desk.path.parent}")
    assert "broken.jsonl: Line 1: " in desk.kernel.page.text
    assert "and 995 more" in desk.kernel.page.text
    assert len(desk.kernel.page.text.splitlines()) < 10


def test_damage_that_was_found_while_asking_is_said_in_the_line_of_the_answer(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.recorded(TWO)
    (desk.path.parent / "broken.jsonl").write_text("{", encoding="utf-8")
    monkeypatch.setenv("GLM_REPLAY", str(desk.path.parent))
    desk.replay_all("1")
    assert ["broken.jsonl: Line 1" in desk.text(cell) for cell in "ab"] == [True, False]


# --- this notebook, and its journal --------------------------------------------------------------


@pytest.fixture
def own(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A notebook whose kernels know its file; it has been saved."""
    monkeypatch.setenv("JPY_SESSION_NAME", str(desk.path))
    desk.save()
    return desk


THIS = "%glm_config replay=notebook"


def stored(desk: Desk) -> list[SavedTurn]:
    """Return what the store has of the notebook."""
    path = desk.path.parent.parent / "data" / "glm_magic" / "answers.db"
    with contextlib.closing(Store(path)) as store:
        return store.turns(str(desk.path), [])


def test_this_notebook_is_its_own_recording(own: Desk) -> None:
    own.recorded(TWO)
    written = own.path.read_bytes(), own.path.stat().st_mtime_ns
    first = own.replay_all(THIS)
    assert (own.path.read_bytes(), own.path.stat().st_mtime_ns) == written
    own.save()
    assert own.replay_all(THIS) == first


def test_answers_that_were_cleared_before_they_were_asked_again_come_from_the_journal(own: Desk) -> None:
    own.recorded(TWO)
    own.restart(THIS)
    own.outputs.clear()  # Run All empties all outputs, and the file is saved before the first cell has ended
    own.save()
    first = own.replay_all(THIS)
    own.outputs.clear()
    own.save()
    assert own.replay_all(THIS) == first


def test_an_answer_that_was_never_saved_comes_from_the_journal(own: Desk) -> None:
    own.restart(THIS)
    own.run_all({**TWO, "c": "%%glm --role system\nBe brief.", "d": "%glm_history --undo", "e": "%%glm\nthree"})
    live = own.bundles()
    own.replay_all(THIS)
    assert own.bundles() == live


def test_a_newer_answer_in_the_journal_comes_before_that_of_the_file_and_an_older_one_after_it(own: Desk) -> None:
    own.server.answer(stream("old"))
    own.recorded({"a": "%%glm\none"})
    own.restart(THIS)
    own.run("a")
    own.server.answer(stream("new"))
    own.run("a")  # it is not saved
    own.replay_all(THIS)
    assert "new" in own.text("a")
    os.utime(own.path, (2**32, 2**32))  # the file was put back from elsewhere, after that
    own.replay_all(THIS)
    assert "old" in own.text("a")


def test_the_journal_is_given_where_the_notebook_is_damaged(own: Desk) -> None:
    own.restart(THIS)
    own.run_all(TWO)
    own.path.write_bytes(b'{"cells": [')
    own.replay_all(THIS)
    assert "replayed" in own.text("b")
    own.restart(THIS)
    assert "is not a notebook" in own.kernel.page.text


def test_the_store_keeps_every_answer_unless_turns_are_not_saved(own: Desk) -> None:
    own.recorded(TWO)
    own.replay_all(f"%glm_config replay={own.path}")
    assert len(stored(own)) == 2
    own.restart(THIS)
    own.run("a", "%%glm --no-replay\none")
    assert len(stored(own)) == 3
    for number, off in enumerate(("%glm_config replay=off", "%glm_config --reset", "%config GLMMagics.replay = 'off'")):
        own.restart(THIS, off)
        own.run("b", f"%%glm\nmore {number}")
        own.run("c", f"%%glm --role system\nmore {number}")
        assert len(stored(own)) == 5 + 2 * number
    kept = [turn.attempt.id for turn in stored(own)]
    own.restart(THIS, "%glm_config save_turns=off")
    own.run("d", "%%glm\nsecret")
    own.run("e", "%%glm --role system\nsecret")
    own.run("f", "%glm_history --undo")
    assert [turn.attempt.id for turn in stored(own)] == kept


def test_an_answer_that_was_asked_for_before_the_record_was_read_is_kept_too(
    own: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLM_REPLAY", "notebook")
    own.restart()
    own.run("a", "%%glm --no-replay\none")
    own.cells["a"] = "%%glm\none"
    own.replay_all("1")


def test_a_conversation_whose_answers_are_older_than_one_before_them_is_restored_whole(desk: Desk) -> None:
    desk.recorded(TWO)
    desk.run("a")
    desk.save()
    desk.replay_all()
    kernel = desk.restart(f"%glm_history --restore {desk.save()}")
    assert "chat main: 2 turns" in kernel.page.text
    assert "not taken" not in kernel.page.text


def test_the_store_is_private_and_holds_each_answer_once(own: Desk) -> None:
    own.recorded(TWO)
    own.replay_all(THIS)
    own.replay_all(THIS)
    files = [path for path in (own.path.parent.parent / "data").rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert len(stored(own)) == 2


def test_forgetting_empties_the_store_of_this_notebook_and_its_old_journal(own: Desk) -> None:
    journal_of(own.path).add([(Place("old"), encode("main", Attempt("old", (), role="")))])
    own.restart(THIS)
    own.run_all({"a": "%%glm\nunforgettable", "b": "%%glm\ntwo"})
    assert len(stored(own)) == 3
    own.kernel.run("%glm_history --forget")
    assert "The store has no answers of saved.ipynb any more" in own.kernel.page.text
    assert stored(own) == []
    files = [path for path in (own.path.parent.parent / "data").rglob("*") if path.is_file()]
    assert [path for path in files if b"unforgettable" in path.read_bytes()] == []
    assert not journal_of(own.path).path.exists()
    own.restart(THIS + " replay_missing=error")
    with pytest.raises(NotRecorded):
        own.run("a")


def test_after_forgetting_new_answers_are_kept_again(own: Desk) -> None:
    own.restart(THIS)
    own.run("a", "%%glm\none")
    own.kernel.run("%glm_history --forget")
    own.run("b", "%%glm\ntwo")
    assert len(stored(own)) == 1


def test_where_the_store_cannot_be_written_that_is_said_once_and_nothing_else_is_lost(own: Desk) -> None:
    (own.path.parent.parent / "data").write_text("in the way of the folder", encoding="utf-8")
    own.recorded(TWO)
    assert ["answers.db cannot be" in own.text(cell) for cell in "ab"] == [True, False]
    own.restart(THIS)
    assert "answers.db cannot be" in own.kernel.page.text
    assert own.run("a").replayed
    assert own.run("a").text == "You said: one"


def test_a_failed_answer_is_not_recorded(own: Desk) -> None:
    own.restart(THIS)
    own.server.answer(error(400, {"error": {"code": "1210", "message": "no"}}))
    with pytest.raises(ServiceError):
        own.run("a", "%%glm\none")
    own.restart(THIS)
    assert not own.run("a").replayed


# --- a file beside the notebook -------------------------------------------------------------------


def test_answers_are_recorded_in_a_file_and_replayed_from_it(desk: Desk, tmp_path: Path) -> None:
    beside = tmp_path / "answers.jsonl"
    put_in, lines = {"s": "%%glm --role system\nBe brief."}, {"c": "%glm x\n%glm y", "d": "%glm_history --undo"}
    desk.restart(f"%glm_config record={beside}")
    desk.run_all({**put_in, **TWO, **lines})
    live = desk.bundles()
    assert len(beside.read_bytes().splitlines()) == len(live) == 6
    desk.replay_all(f"%glm_config replay={beside} replay_missing=error")
    assert desk.bundles() == live
    assert len(beside.read_bytes().splitlines()) == 6


def test_replayed_answers_are_recorded_too(desk: Desk, tmp_path: Path) -> None:
    desk.recorded(TWO)
    beside = tmp_path / "answers.jsonl"
    desk.replay_all(f"%glm_config replay={desk.path} record={beside}")
    live = desk.bundles()
    desk.replay_all(f"%glm_config replay={beside}")
    assert desk.bundles() == live


@pytest.mark.parametrize("name", ["answers.txt", ".", "nowhere/answers.jsonl", "~nobody-of-this-name/a.jsonl"])
def test_a_file_that_cannot_be_a_record_is_refused_before_anything_is_sent(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    desk.restart()
    with pytest.raises(GlmError):
        desk.kernel.run(f"%glm_config record={name}")
    monkeypatch.setenv("GLM_RECORD", name)
    with pytest.raises(GlmError):
        desk.run("a", "%%glm\none")
    assert desk.server.requests == []
