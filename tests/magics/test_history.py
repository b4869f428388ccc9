from __future__ import annotations

import html
import json
import os
import re
import threading
from pathlib import Path
from typing import Any

import nbformat
import pytest
from glm_server import Answer, error, stream
from ipython_shell import Notebook
from waiting import comes_true

from glm_magic.errors import GlmError, HistoryError, OptionError, ServiceError, SettingError
from glm_magic.notebook.bundle import MIME_TYPE

USER, ASSISTANT = "user", "assistant"


def said(*texts: str) -> list[tuple[str, str]]:
    """The messages of a conversation in which the server echoed all but the last."""
    messages: list[tuple[str, str]] = []
    for text in texts[:-1]:
        messages += [(USER, text), (ASSISTANT, f"You said: {text}")]
    return [*messages, (USER, texts[-1])]


def test_a_chat_sends_what_was_said_before(notebook: Notebook) -> None:
    notebook.run("%%glm\none", "a")
    notebook.run("%%glm\ntwo", "b")
    assert notebook.sent("%%glm\nthree", "c").messages == said("one", "two", "three")
    assert "2 earlier turns sent" in notebook.page.text


def test_running_a_cell_again_replaces_its_turn_in_place(notebook: Notebook) -> None:
    notebook.run("%%glm\none", "a")
    notebook.run("%%glm\ntwo", "b")
    assert notebook.sent("%%glm\nuno", "a").messages == said("uno")
    assert notebook.sent("%%glm\nthree", "c").messages == said("uno", "two", "three")


def test_the_earlier_attempt_is_kept_in_the_turn(notebook: Notebook) -> None:
    notebook.run("%%glm\none", "a")
    notebook.run("%%glm\nuno", "a")
    (bundle,) = notebook.page.saved(MIME_TYPE)
    assert [attempt["messages"][0]["content"] for attempt in bundle["attempts"]] == ["one"]


def test_a_later_turn_is_stale_and_the_line_says_so(notebook: Notebook) -> None:
    notebook.run("%%glm\none", "a")
    notebook.run("%%glm\ntwo", "b")
    notebook.run("%%glm\nuno", "a")
    assert "stale now: turn 2" in notebook.page.text
    notebook.run("%glm_history")
    assert "stale" in notebook.page.text
    notebook.run("%%glm\ntwo", "b")
    assert "stale" not in notebook.page.text


def test_a_new_cell_goes_last_wherever_it_stands(notebook: Notebook) -> None:
    for cell in "abc":
        notebook.run(f"%%glm\n{cell}", cell)
    assert notebook.sent("%%glm\nbetween", "d").messages == said("a", "b", "c", "between")


def test_a_failed_run_leaves_no_counting_attempt_and_keeps_its_place(notebook: Notebook) -> None:
    notebook.run("%%glm\none", "a")
    notebook.run("%%glm\ntwo", "b")
    notebook.server.answer(error(400, {"error": {"code": "1210", "message": "no"}}))
    with pytest.raises(ServiceError):
        notebook.run("%%glm\nuno", "a")
    assert notebook.sent("%%glm\nthree", "c").messages == said("two", "three")
    notebook.run("%%glm\none", "a")
    assert notebook.sent("%%glm\nfour", "d").messages == said("one", "two", "three", "four")


def test_the_page_of_a_failed_run_keeps_the_earlier_answers(notebook: Notebook) -> None:
    notebook.run("%%glm\none", "a")
    notebook.server.answer(error(400, {"error": {"code": "1210", "message": "no"}}))
    with pytest.raises(ServiceError):
        notebook.run("%%glm\nuno", "a")
    (bundle,) = notebook.page.saved(MIME_TYPE)
    assert (bundle["messages"], len(bundle["attempts"])) == ([], 1)


def test_an_error_before_sending_changes_nothing(notebook: Notebook) -> None:
    notebook.run("%%glm\none", "a")
    for wrong in ("%%glm --bad\nuno", "%%glm\n{{ nowhere }}", "%%glm -t 9\nuno", "nowhere\n"):
        with pytest.raises((GlmError, NameError)):
            notebook.run(wrong, "a")
    notebook.run("%%glm -N\nuno", "a")
    assert notebook.sent("%%glm\ntwo", "b").messages == said("one", "two")


def test_the_kth_line_of_a_cell_is_its_kth_turn_and_surplus_turns_leave(notebook: Notebook) -> None:
    notebook.run("%glm a1\n%glm a2\n%glm a3", "a")
    notebook.run("%%glm\nb", "b")
    notebook.run("%glm a1\n%glm A2", "a")
    assert notebook.server.last.messages == said("a1", "A2")
    assert notebook.sent("%%glm\nc", "c").messages == said("a1", "A2", "b", "c")


def test_a_further_line_follows_those_of_its_cell(notebook: Notebook) -> None:
    notebook.run("%glm a1", "a")
    notebook.run("%glm b", "b")
    notebook.run("%glm a1\n%glm a2", "a")
    assert notebook.sent("%glm c", "c").messages == said("a1", "a2", "b", "c")


def test_a_cell_that_asks_no_more_leaves_the_conversation(notebook: Notebook) -> None:
    notebook.run("%%glm\none", "a")
    notebook.run("x = 1", "a")
    assert notebook.sent("%%glm\ntwo", "b").messages == said("two")


def test_chats_are_apart_and_a_turn_moves_with_its_cell(notebook: Notebook) -> None:
    notebook.run("%%glm\none", "a")
    notebook.run("%%glm -c side\nother", "b")
    assert notebook.server.last.messages == said("other")
    notebook.run("%%glm -c side\none", "a")
    assert notebook.server.last.messages == said("other", "one")
    assert notebook.sent("%%glm\ntwo", "c").messages == said("two")


def test_new_is_a_boundary_for_this_cell_and_later_ones(notebook: Notebook) -> None:
    notebook.run("%%glm\none", "a")
    assert notebook.sent("%%glm --new\ntwo", "b").messages == said("two")
    assert notebook.sent("%%glm\nthree", "c").messages == said("two", "three")
    notebook.run("%%glm\ntwo", "b")
    assert notebook.sent("%%glm\nfour", "d").messages == said("one", "two", "three", "four")


def test_a_one_shot_question_sends_no_turn_and_keeps_none(notebook: Notebook) -> None:
    notebook.run("%%glm\none", "a")
    assert notebook.sent("%%glm --no-history\nalone", "b").messages == said("alone")
    assert notebook.sent("%%glm\ntwo", "c").messages == said("one", "two")
    notebook.run("%%glm --no-history\none", "a")
    assert notebook.sent("%%glm\nthree", "d").messages == said("two", "three")


def test_one_shot_cells_keep_their_attempts_in_a_chat_of_their_own(notebook: Notebook) -> None:
    notebook.run("%%glm\none", "a")
    for number in range(3):
        notebook.sent(f"%%glm -H -t 0.{number}\nalone", "b")
    assert "attempt 3 of 3 · one-shot: no earlier turns sent" in notebook.page.text
    (bundle,) = notebook.page.saved(MIME_TYPE)
    assert (bundle["chat"], [made["parameters"]["temperature"] for made in bundle["attempts"]]) == ("", [0.0, 0.1])
    notebook.run("%%glm -H\nother", "c")
    assert "attempt" not in notebook.page.text
    notebook.run("%glm_history -c one-shot")
    assert "alone, attempt 3 of 3" in notebook.page.text
    assert "Each of these was sent alone" in notebook.page.text
    notebook.run("%glm_history -c one-shot --attempt 1 2")
    assert "Attempt 2 of turn 1 is active." in notebook.page.text
    assert any("attempt 2 of 3 · one-shot" in data.get("text/plain", "") for data in notebook.page.before.values())
    assert notebook.sent("%%glm\ntwo", "d").messages == said("one", "two")
    assert notebook.sent("%%glm -c one-shot\nthree", "e").messages == said("three")
    with pytest.raises(OptionError, match="the chat one-shot is none"):
        notebook.run("%%glm --role system -c one-shot\nBe brief.", "f")


def test_a_cell_that_becomes_one_shot_and_is_sent_again_keeps_its_place_and_all_attempts(notebook: Notebook) -> None:
    notebook.run("%%glm\none", "a")
    notebook.run("%%glm\ntwo", "b")
    assert notebook.sent("%%glm -H\nuno", "a").messages == said("uno")
    assert "attempt 2 of 2" in notebook.page.text
    assert notebook.sent("%%glm\neins", "a").messages == said("eins")
    assert "attempt 3 of 3 · 0 earlier turns sent" in notebook.page.text
    assert notebook.sent("%%glm\nthree", "c").messages == said("eins", "two", "three")


def test_history_off_makes_every_cell_one_shot_but_for_those_that_say_otherwise(notebook: Notebook) -> None:
    notebook.run("%%glm\none", "a")
    notebook.run("%glm_config history=off")
    assert notebook.sent("%%glm\nalone", "b").messages == said("alone")
    assert notebook.sent("%%glm --history\ntwo", "c").messages == said("one", "two")
    notebook.run("%%glm --role system\nBe brief.", "d")
    notebook.run("%glm_config history=on")
    assert notebook.sent("%%glm\nthree", "e").messages == [
        *said("one", "two"),
        (ASSISTANT, "You said: two"),
        ("system", "Be brief."),
        (USER, "three"),
    ]


def test_a_one_shot_cell_does_not_wait_for_another(notebook: Notebook) -> None:
    held = threading.Event()
    notebook.server.answer(stream("slow", held, " answer"), stream("quick"))
    pending = notebook.run("%%glm -H --bg\none", "a")
    assert comes_true(lambda: len(notebook.server.requests) == 1)  # the slow answer is for the first
    try:
        assert notebook.run("%%glm -H\ntwo", "b").text == "quick"
        assert not pending.done
    finally:
        held.set()
    assert pending.wait().text == "slow answer"


def test_a_role_puts_a_message_in_and_asks_nothing(notebook: Notebook) -> None:
    notebook.run("%%glm --role system\nYou count.", "a")
    notebook.run("%%glm --role assistant\nOne.", "b")
    assert notebook.server.requests == []
    assert "assistant message, not asked" in notebook.page.text
    (bundle,) = notebook.page.saved(MIME_TYPE)
    assert (bundle["kind"], bundle["role"]) == ("edit", "assistant")
    sent = notebook.sent("%%glm\ngo on", "c").messages
    assert sent == [("system", "You count."), (ASSISTANT, "One."), (USER, "go on")]
    notebook.run("%%glm --role system\nYou sing.", "a")
    assert notebook.sent("%%glm\nnow", "d").messages[0] == ("system", "You sing.")


def test_without_cell_ids_turns_are_appended(notebook: Notebook) -> None:
    notebook.run("%%glm\none")
    notebook.run("%%glm\none")
    assert notebook.sent("%%glm\ntwo").messages == said("one", "one", "two")


def test_a_reply_that_asks_for_a_tool_is_not_kept(notebook: Notebook) -> None:
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    chunk = stream("", finish_reason=None).steps
    from glm_server import chunk as make
    from glm_server import data

    notebook.server.answer(
        Answer([*chunk, make(delta={"tool_calls": [call]}, finish_reason="tool_calls"), data("[DONE]")])
    )
    reply = notebook.run("%%glm\nuse it", "a")
    assert [made.name for made in reply.tool_calls] == ["look"]
    assert "not run" in notebook.page.text
    assert notebook.sent("%%glm\nnext", "b").messages == said("next")


def test_the_history_shows_what_will_be_sent(notebook: Notebook) -> None:
    notebook.run("%%glm\none", "cell-a")
    notebook.run("%%glm\ntwo", "cell-b")
    notebook.run("%glm_history")
    shown = notebook.page.text
    assert "The next cell sends 2 of 2 turns, about" in shown
    assert all(word in shown for word in ("one", "You said: two", "[1]"))


def test_undo_takes_the_last_turn_out(notebook: Notebook) -> None:
    notebook.run("%%glm\none", "a")
    notebook.run("%%glm\ntwo", "b")
    notebook.run("%glm_history --undo")
    assert "now sends 1 turn" in notebook.page.text
    assert notebook.sent("%%glm\nthree", "c").messages == said("one", "three")


def test_a_skipped_turn_is_not_sent_and_shown_as_skipped(notebook: Notebook) -> None:
    for cell in ("one", "two", "three"):
        notebook.run(f"%%glm\n{cell}", cell)
    notebook.run("%glm_history --skip 2")
    assert "Turn 2 is skipped: chat main now sends 2 turns." in notebook.page.text
    notebook.run("%glm_history")
    assert "skipped" in notebook.page.text.splitlines()[4]
    assert "sends 2 of 3 turns" in notebook.page.text
    assert notebook.sent("%%glm\nfour", "four").messages == said("one", "three", "four")


def test_a_skipped_turn_is_taken_in_again(notebook: Notebook) -> None:
    notebook.run("%%glm\none", "a")
    notebook.run("%%glm\ntwo", "b")
    notebook.run("%glm_history --skip 1")
    notebook.run("%glm_history --unskip=1")
    assert "Turn 1 is sent again: chat main now sends 2 turns." in notebook.page.text
    assert notebook.sent("%%glm\nthree", "c").messages == said("one", "two", "three")


def test_a_skipped_turn_counts_when_its_cell_runs_again(notebook: Notebook) -> None:
    notebook.run("%%glm\none", "a")
    notebook.run("%%glm\ntwo", "b")
    notebook.run("%glm_history --skip 1")
    notebook.run("%glm_history --skip {{ 1 }}")  # as a second Run All does
    notebook.run("%%glm\nuno", "a")
    assert notebook.sent("%%glm\nthree", "c").messages == said("uno", "two", "three")


def test_a_turn_of_another_chat_is_skipped_there(notebook: Notebook) -> None:
    notebook.run("%%glm\none", "a")
    notebook.run("%%glm -c side\nother", "b")
    notebook.run("%glm_history --skip 1 -c side")
    assert notebook.sent("%%glm\ntwo", "c").messages == said("one", "two")
    assert notebook.sent("%%glm -c side\nmore", "d").messages == said("more")


def test_skipping_is_remembered_by_the_notebook(notebook: Notebook, tmp_path: Path) -> None:
    cells = []
    for cell, line in (("a", "%%glm\none"), ("b", "%%glm\ntwo"), ("c", "%glm_history --skip 1")):
        notebook.run(line, cell)
        cells.append((cell, line, list(notebook.page.outputs.values())))
    (bundle,) = notebook.page.saved(MIME_TYPE)
    assert (bundle["kind"], len(bundle["after"])) == ("edit", 1)
    notebook.run("%glm_history --clear")
    notebook.run(f"%glm_history --restore {save(tmp_path / 'saved.ipynb', cells)}")
    assert notebook.sent("%%glm\nthree", "d").messages == said("two", "three")


@pytest.mark.parametrize("number", ["0", "3", "4", "-1", "1.0", "x", "٢", "''"])
@pytest.mark.parametrize("option", ["--skip", "--unskip"])
def test_a_number_that_no_turn_has_says_which_there_are(notebook: Notebook, option: str, number: str) -> None:
    notebook.run("%%glm\none", "a")
    notebook.run("%%glm\ntwo", "b")
    notebook.server.answer(error(400, {"error": {"code": "1210", "message": "no"}}))
    with pytest.raises(ServiceError):
        notebook.run("%%glm\nfailed", "c")
    with pytest.raises(HistoryError, match=r"It has: 1, 2\."):
        notebook.run(f"%glm_history {option} {number}")
    assert notebook.sent("%%glm\nthree", "d").messages == said("one", "two", "three")


def test_clear_empties_one_chat(notebook: Notebook) -> None:
    notebook.run("%%glm\none", "a")
    notebook.run("%%glm -c side\nother", "b")
    notebook.run("%glm_history --clear")
    assert notebook.sent("%%glm\ntwo", "c").messages == said("two")
    assert notebook.sent("%%glm -c side\nmore", "d").messages == said("other", "more")


def test_the_chats_are_listed(notebook: Notebook) -> None:
    notebook.run("%%glm -c side\nother", "b")
    notebook.run("%glm_history --list")
    assert "side" in notebook.page.text


@pytest.mark.parametrize(
    ("line", "kind", "hint"),
    [
        ("--undo", HistoryError, "no turn to undo"),
        ("--claer", OptionError, "--clear"),
        ("-c nowhere", SettingError, "no chat"),
        ('-c ""', SettingError, "no chat"),
        ("--clear --undo", OptionError, "cannot be combined"),
        ("--skip 1 --unskip 1", OptionError, "cannot be combined"),
        ("--skip", OptionError, "needs a value"),
        ("--skip 1", HistoryError, "It has none yet"),
        ("--restore", HistoryError, "FILE.ipynb"),
        ("--restore nowhere.ipynb", HistoryError, "cannot be read"),
        ("what", OptionError, "does not know"),
    ],
)
def test_a_wrong_history_line_says_what_to_do(notebook: Notebook, line: str, kind: type[GlmError], hint: str) -> None:
    with pytest.raises(kind, match=hint):
        notebook.run(f"%glm_history {line}")


def save(path: Path, cells: list[tuple[str, str, list[dict[str, Any]]]]) -> Path:
    """Write a notebook of code cells with these ids, sources and outputs."""
    notebook = nbformat.v4.new_notebook()
    for cell_id, source, outputs in cells:
        cell = nbformat.v4.new_code_cell(source, id=cell_id)
        cell.outputs = [nbformat.v4.new_output("display_data", data=dict(data)) for data in outputs]
        notebook.cells.append(cell)
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def saved(notebook: Notebook, tmp_path: Path) -> Path:
    """A notebook of two turns, saved by an earlier kernel."""
    cells = []
    for cell, text in (("a", "one"), ("b", "two")):
        notebook.run(f"%%glm\n{text}", cell)
        cells.append((cell, f"%%glm\n{text}", list(notebook.page.outputs.values())))
    notebook.run("%glm_history --clear")
    return save(tmp_path / "saved.ipynb", cells)


def test_a_saved_notebook_gives_its_conversation_back_without_a_request(notebook: Notebook, saved: Path) -> None:
    asked = len(notebook.server.requests)
    notebook.run(f"%glm_history --restore {saved}")
    assert len(notebook.server.requests) == asked
    assert "chat main: 2 turns" in notebook.page.text
    assert notebook.sent("%%glm\nthree", "c").messages == said("one", "two", "three")


def test_restored_cells_keep_their_places_when_they_run_again(notebook: Notebook, saved: Path) -> None:
    notebook.run(f"%glm_history --restore {saved}")
    assert notebook.sent("%%glm\nuno", "a").messages == said("uno")
    assert notebook.sent("%%glm\nthree", "c").messages == said("uno", "two", "three")


def test_run_all_without_known_cell_ids_claims_restored_turns_by_their_text(notebook: Notebook, saved: Path) -> None:
    notebook.run(f"%glm_history --restore {saved}")
    notebook.run("%%glm\none", "other-a")
    notebook.run("%%glm\ntwo", "other-b")
    assert notebook.sent("%%glm\nthree", "c").messages == said("one", "two", "three")


def test_restoring_adds_to_a_conversation_that_has_begun_or_replaces_it(notebook: Notebook, saved: Path) -> None:
    notebook.run("%%glm\nbegun", "x")
    notebook.run(f"%glm_history --restore {saved}")
    assert "chat main: 2 turns" in notebook.page.text
    assert notebook.sent("%%glm\nthree", "c").messages == said("one", "two", "begun", "three")
    notebook.run(f"%glm_history --restore {saved} --force")
    assert notebook.sent("%%glm\nthree", "c").messages == said("one", "two", "three")


def test_the_notebook_of_the_kernel_is_found_by_its_variable(
    notebook: Notebook, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", str(saved))
    notebook.run("%glm_history --restore")
    assert "2 turns" in notebook.page.text


def test_a_wrong_variable_of_another_setting_does_not_break_a_change(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook.run("%%glm\none", "a")
    monkeypatch.setenv("GLM_TEMPERATURE", "hot")
    notebook.run("%glm_history --undo")
    assert len(notebook.page.saved(MIME_TYPE)) == 1


class Book:
    """A notebook whose cells keep their outputs, as on the page and in the file, and whose kernel may be restarted."""

    def __init__(self, notebook: Notebook, path: Path) -> None:
        self.notebook = notebook
        self.path = path
        self.cells: dict[str, tuple[str, list[str]]] = {}
        self._former: list[Any] = []  # kept, so that no output of a later kernel has the name of one of theirs

    def run(self, cell: str, code: str, *, deleted: Any = None, without_id: bool = False) -> Any:
        outputs, notebook = self.notebook.page.outputs, self.notebook
        before = set(outputs)
        metadata = {} if without_id else {"cellId": cell}
        notebook._parent = {"metadata": metadata if deleted is None else {**metadata, "deletedCells": deleted}}
        result = notebook.shell.run_cell(code, store_history=True)
        self.cells[cell] = code, [name for name in outputs if name not in before]
        result.raise_error()
        return result.result

    def answers(self, cell: str, *texts: str) -> None:
        """Run a cell once for each text that the server answers with."""
        code = self.cells[cell][0] if cell in self.cells else f"%%glm\n{cell}"
        for text in texts:
            self.notebook.server.answer(stream(text))
            self.run(cell, code)

    def outputs(self, cell: str) -> list[dict[str, Any]]:
        return [self.notebook.page.outputs[name] for name in self.cells[cell][1]]

    def text(self, cell: str) -> str:
        return "\n".join(data["text/plain"] for data in self.outputs(cell))

    def shown(self, cell: str) -> str:
        """The answer as it stands below its cell."""
        parts = [data["text/markdown"] for data in self.outputs(cell) if data.get("text/markdown")]
        return "\n\n".join(parts)

    def bundle(self, cell: str) -> dict[str, Any]:
        (bundle,) = [data[MIME_TYPE] for data in self.outputs(cell) if MIME_TYPE in data]
        return bundle

    def sent(self, options: str = "") -> list[tuple[str, str]]:
        """What would be sent before the next question."""
        self.run("dry", f"%%glm {options} --dry-run\nnow")
        (shown,) = self.outputs("dry")
        body = shown["text/plain"].partition("The exact request:\n")[2]
        return [(message["role"], message["content"]) for message in json.loads(body)["messages"][:-1]]

    def save(self, *cells: str) -> Path:
        return save(self.path, [(cell, self.cells[cell][0], self.outputs(cell)) for cell in cells or self.cells])

    def restart(self) -> None:
        self._former.append(self.notebook.shell.magics_manager.registry["GLMMagics"])
        self.notebook.restart()


@pytest.fixture
def book(notebook: Notebook, tmp_path: Path) -> Book:
    return Book(notebook, tmp_path / "book.ipynb")


LONG = "".join(f"Paragraph {n} of a long answer.\n\n" + "word " * 150 + "\n\n" for n in range(30)).strip()
SHORT = "A short one."


def pair(question: str, answer: str) -> list[tuple[str, str]]:
    return [(USER, question), (ASSISTANT, answer)]


@pytest.mark.parametrize("options", ["", "-q", "--format text", "-q --format text"])
@pytest.mark.parametrize("texts", [(LONG, SHORT), (SHORT, LONG), (LONG, LONG[::-1])])
def test_an_attempt_is_brought_back_on_the_page_and_in_the_file(
    book: Book, options: str, texts: tuple[str, str]
) -> None:
    book.run("a", f"%%glm {options}\n{{{{ 'first' }}}}")
    book.answers("a", *texts)
    assert len(book.outputs("a")) > 3 or texts[1] == SHORT, "several segments"
    for number, text in ((2, texts[0]), (3, texts[1]), (2, texts[0])):
        book.run("h", f"%glm_history --attempt 1 {number}")
        seen = book.text("a") if "text" in options else book.shown("a")
        assert "".join(text.split()) in "".join(seen.split())
        others = {part for other in texts if other != text for part in other.split("\n\n")} - set(text.split("\n\n"))
        assert not any(part in seen for part in others if len(part) > 5)
        assert ("attempt " + str(number) + " of 3" in book.text("a")) != ("-q" in options)
        assert book.bundle("a")["messages"][-1]["content"] == text
        assert len(book.bundle("a")["attempts"]) == 2
        assert book.sent() == pair("first", text)
    for cells in (("a", "h"), ("a",)):  # also where the cell that brought it back is not in the file
        path = book.save(*cells)
        book.restart()
        book.run("r", f"%glm_history --restore {path}")
        assert book.sent() == pair("first", texts[0])


def test_a_name_that_holds_another_attempt_is_told_and_can_be_given_the_one_that_is_brought_back(book: Book) -> None:
    book.run("a", "%%glm answer <<\none")
    book.run("a", "%%glm answer <<\nuno")
    book.run("h", "%glm_history --attempt 1 1")
    told = "answer holds another attempt. To bind this one: answer = %glm_history --attempt 1 1"
    assert told in book.text("h")
    book.run("h", "answer = %glm_history --attempt 1 1\nanswer.text")
    assert book.notebook.shell.user_ns["answer"].text == "You said: one"
    book.run("h", "%glm_history --attempt 1 1")
    assert "another attempt" not in book.text("h")


def test_an_attempt_that_was_brought_back_is_one_of_those_of_the_next_run(book: Book) -> None:
    book.answers("a", "one", "two")
    book.run("h", "%glm_history --attempt 1 1")
    book.answers("a", "three")
    assert "attempt 3 of 3" in book.text("a")
    assert [made["messages"][-1]["content"] for made in book.bundle("a")["attempts"]] == ["one", "two"]


def test_an_attempt_that_is_brought_back_makes_later_turns_stale_and_is_not_skipped(book: Book) -> None:
    book.answers("a", "one", "two")
    book.answers("b", "after two")
    book.run("h", "%glm_history --skip 1")
    book.run("h", "%glm_history --attempt 1 1")
    assert book.sent() == pair("a", "one") + pair("b", "after two")
    assert "stale now: turn 2" in book.text("a")


def test_an_attempt_is_brought_back_after_a_run_that_failed_and_shown_where_that_can_be_done(book: Book) -> None:
    book.answers("a", "one")
    book.notebook.server.answer(error(400, {"error": {"code": "1210", "message": "no"}}))
    with pytest.raises(ServiceError):
        book.run("a", "%%glm\na")
    assert book.sent() == []
    book.run("h", "%glm_history --attempt=1 1")
    assert book.sent() == pair("a", "one")
    assert book.shown("h") == "one"
    assert book.bundle("a")["messages"][-1]["content"] == "one"


@pytest.mark.parametrize("options", ["", "-q"])
def test_a_message_that_was_put_in_has_attempts_too(book: Book, options: str) -> None:
    for text in ("Be brief.", "Be long."):
        book.run("a", f"%%glm {options} --role system\n{text}")
    book.run("h", "%glm_history --attempt 1 1")
    assert book.sent() == [("system", "Be brief.")]
    assert book.bundle("a")["messages"] == [{"role": "system", "content": "Be brief."}]
    book.run("h", "%glm_history --show 1 --diff")
    assert book.text("h").count("[-brief.-]") == 1


def test_a_replayed_turn_can_be_rewritten(book: Book) -> None:
    book.answers("a", LONG, SHORT)
    path = book.save()
    book.restart()
    book.run("c", f"%glm_config replay={path}")
    book.run("a", "%%glm\na")
    assert "replayed" in book.text("a")
    book.run("h", "%glm_history --attempt 1 1")
    assert book.shown("a").startswith("Paragraph 0")
    assert book.sent() == pair("a", LONG)


def test_an_attempt_of_a_restored_turn_is_shown_below_because_its_output_is_out_of_reach(book: Book) -> None:
    book.answers("a", "one", "two")
    path = book.save()
    book.restart()
    book.run("r", f"%glm_history --restore {path}")
    book.run("h", "%glm_history --attempt 1 1")
    assert book.sent() == pair("a", "one")
    assert book.shown("a") == "two"
    assert book.shown("h") == "one"
    path = book.save("a", "h")
    book.restart()
    book.run("r", f"%glm_history --restore {path}")
    assert book.sent() == pair("a", "one")


def test_in_a_terminal_the_attempt_is_shown_below(book: Book) -> None:
    del book.notebook.shell.kernel
    book.answers("a", "one", "two")
    book.run("h", "%glm_history --attempt 1 1")
    assert book.shown("h") == "one"
    assert book.sent() == pair("a", "one")


def test_the_file_keeps_the_ten_latest_earlier_attempts_and_the_one_that_counts(book: Book) -> None:
    book.answers("a", *(f"answer {number}" for number in range(1, 15)))
    book.run("h", "%glm_history --attempt 1 2")
    assert "attempt 2 of 14" in book.text("a")
    path = book.save()
    book.restart()
    book.run("r", f"%glm_history --restore {path}")
    assert book.sent() == pair("a", "answer 2")
    book.run("h", "%glm_history --show 1")
    assert "attempt 1 of 11" in book.text("h")


def test_the_words_that_changed_are_shown_and_hostile_text_stays_text(book: Book) -> None:
    book.answers("a", "the cat <b>sat</b>\x1b[2J", "the dog <b>sat</b>\x1b[2J", "a bird")
    book.run("h", "%glm_history --show 1 --diff 1 2")
    _, what, shown = book.outputs("h")
    assert what["text/plain"] == "Answer"
    assert shown["text/plain"] == "the [-cat-]{+dog+} <b>sat</b> [2J"
    assert "<b>" not in shown["text/html"]
    book.run("h", "%glm_history --show 1 --diff")
    assert "from attempt 2 to attempt 3" in book.text("h")


def test_a_turn_is_shown_again_with_its_question(book: Book) -> None:
    book.answers("a", "one", "two")
    book.run("h", "%glm_history --show 1")
    assert "attempt 2 of 2" in book.text("h")
    assert book.shown("h") == "two"
    book.run("h", "%glm_history --show 1 1")
    assert book.shown("h") == "one"
    assert "a" in book.text("h").splitlines()


def test_what_was_set_is_shown_with_a_turn_and_in_a_difference(book: Book) -> None:
    book.run("a", '%%glm -t 0.2 -s "Be brief."\nSum it up.')
    book.run("a", '%%glm -t 0.9 -s "Be kind." --max-tokens 50\nSum it up.')
    book.run("h", "%glm_history --show 1 1")
    assert "system: Be brief.\nmodel: GLM-4-Air\ntemperature: 0.2" in book.text("h")
    book.run("h", "%glm_history --show 1 --diff")
    _, what, shown, answer, *_ = (data["text/plain"] for data in book.outputs("h"))
    assert (what, answer) == ("Parameters", "Answer")  # the prompt is the same
    assert shown == ("system: Be [-brief.-]{+kind.+}\nmodel: GLM-4-Air\ntemperature: [-0.2-]{+0.9\nmax_tokens: 50+}")


def test_two_attempts_stand_beside_each_other(book: Book) -> None:
    book.answers("a", "the cat", "the dog")
    book.run("h", "%glm_history --show 1 --diff --side")
    assert book.outputs("h")[-1]["text/plain"].split() == ["the", "[-cat-]", "│", "the", "{+dog+}"]
    assert book.outputs("h")[-1]["text/html"].count("<td ") == 2
    with pytest.raises(OptionError, match="--side goes with --diff"):
        book.run("h", "%glm_history --show 1 --side")


def test_the_attempts_of_a_turn_are_listed_with_what_changed(book: Book) -> None:
    book.run("a", "%%glm -t 0\nSum it up in a word.")
    book.run("a", "%%glm -t 0\nSum it up in a sentence.")
    book.run("a", '%%glm -m GLM-4-Plus --max-tokens 50 -s "Be kind."\nSum it up in a sentence.')
    book.run("a", '%%glm -m GLM-4-Plus --max-tokens 50 -s "Be brief."\nSum it up in a sentence.')
    book.run("h", "%glm_history --attempt 1 2")
    book.run("h", "%glm_history --attempts 1")
    (shown,) = book.outputs("h")
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in shown["text/html"].split("<tr>")[2:]]
    assert [row[0] for row in rows] == ["1", "2, active", "3", "4"]
    assert [html.unescape(row[1]) for row in rows] == [
        "Sum it up in a word.; model GLM-4-Air; temperature 0",
        "Sum it up in a [-word.-]{+sentence.+}",
        "model GLM-4-Air → GLM-4-Plus; temperature 0 → not set; system not set → Be kind.; max_tokens not set → 50",
        "system: Be [-kind.-]{+brief.+}",
    ]
    assert {row[2] for row in rows} == {"7 in, 5 out"}
    assert rows[1][3] == "You said: Sum it up in a sentence."
    assert "--show 1 --diff 1 2" in shown["text/plain"]


def test_an_attempt_that_was_asked_with_another_text_says_so(book: Book) -> None:
    book.run("a", "%%glm\none")
    book.run("a", "%%glm\nuno")
    assert "another text" not in book.text("a")
    book.run("h", "%glm_history --attempt 1 1")
    assert "asked with another text (%glm_history --text 1)" in book.text("a")
    book.run("h", "%glm_history")
    assert "asked with another text" in book.text("h")
    book.run("h", "%glm_history --attempt 1 2")
    assert "another text" not in book.text("a")
    book.notebook.server.answer(error(400, {"error": {"code": "1210", "message": "no"}}))
    with pytest.raises(ServiceError):
        book.run("a", "%%glm\nhana")
    book.run("h", "%glm_history --attempt 1 2")  # what the cell holds now was never answered
    book.run("h", "%glm_history")
    assert "asked with another text" in book.text("h")


def test_a_failed_cell_that_has_no_answer_is_no_turn(book: Book) -> None:
    book.notebook.server.answer(error(400, {"error": {"code": "1210", "message": "no"}}))
    with pytest.raises(ServiceError):
        book.run("a", "%%glm\nfails")
    book.run("b", "%%glm\none")
    book.run("h", "%glm_history")
    assert "sends 1 of 1 turns" in book.text("h")
    assert "no active answer" not in book.text("h")
    book.run("h", "%glm_history --show 1")
    assert "You said: one" in book.text("h")
    book.run("a", "%%glm\nworks")
    book.run("h", "%glm_history --show 1")
    assert "You said: works" in book.text("h")


def test_the_text_of_an_attempt_goes_into_a_new_cell_below(
    book: Book, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    saved = tmp_path / "saved.ipynb"
    own = nbformat.v4.new_code_cell("%%glm\nx is {{ 1 + 1 }}", id="a")
    nbformat.write(nbformat.v4.new_notebook(cells=[own]), saved)
    monkeypatch.setenv("JPY_SESSION_NAME", str(saved))
    put: list[str] = []
    monkeypatch.setattr(book.notebook.shell, "set_next_input", lambda text, replace: put.append(text))
    monkeypatch.setattr("glm_magic.magics.new_cell._put_by_this_run", lambda shell: "")
    book.run("a", "%%glm\nx is {{ 1 + 1 }}")
    book.run("a", '%%glm\n{{ "{{" }} is a brace')
    book.run("b", "%%glm -c side\nhi\n")
    book.run("h", "%glm_history --text 1 1")
    book.run("h", "%glm_history --text 1")
    book.run("h", "%glm_history -c side --text 1")
    assert put == ["%%glm\nx is 2", "%%glm --raw\n{{ is a brace", "%%glm -c side\nhi\n"]


def test_turns_are_put_into_the_order_of_the_page(book: Book, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for cell in ("a", "c", "b"):
        book.run(cell, f"%%glm\n{cell}")
    assert "from below" not in book.text("b")
    with pytest.raises(HistoryError, match="its order is not known"):
        book.run("h", "%glm_history --order")
    saved = tmp_path / "saved.ipynb"
    monkeypatch.setenv("JPY_SESSION_NAME", str(saved))
    cells = [nbformat.v4.new_code_cell("", id=cell) for cell in "abcd"]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), saved)
    book.run("b", "%%glm\nb")
    assert "asked after turn 2 from below it (%glm_history --order)" in book.text("b")
    book.run("h", "%glm_history --order")
    assert book.sent() == pair("a", "You said: a") + pair("b", "You said: b") + pair("c", "You said: c")
    book.run("d", "%%glm\nd")
    assert "from below" not in book.text("d")


# --- forks ------------------------------------------------------------------------------------------


def test_a_fork_goes_its_own_way(book: Book) -> None:
    book.answers("a", "one")
    book.run("f", "%glm_history --fork side")
    book.run("s", "%%glm -c side\nin side")
    book.answers("b", "two")
    book.answers("a", "uno")
    assert book.sent() == pair("a", "uno") + pair("b", "two")
    assert book.sent("-c side") == pair("a", "one") + pair("in side", "You said: in side")
    book.run("h", "%glm_history -c side")
    assert "forked" in book.text("h")


def test_the_cell_of_a_fork_may_run_again(book: Book) -> None:
    book.answers("a", "one")
    book.run("f", "%glm_history --fork side")
    book.run("s", "%%glm -c side\nin side")
    for _ in range(2):
        book.run("f", "%glm_history --fork side")
        assert book.sent("-c side") == pair("a", "one") + pair("in side", "You said: in side")
    book.answers("a", "uno")
    book.run("f", "%glm_history --fork side")
    assert book.sent("-c side") == pair("a", "uno") + pair("in side", "You said: in side")


def test_a_fork_of_a_fork_has_everything(book: Book) -> None:
    book.answers("a", "one")
    book.run("f", "%glm_history --fork side")
    book.run("s", "%%glm -c side\nin side")
    book.run("g", "%glm_history --fork third -c side")
    assert book.sent("-c third") == book.sent("-c side")
    path = book.save()
    book.restart()
    book.run("r", f"%glm_history --restore {path}")
    for chat in ("side", "third"):
        assert book.sent(f"-c {chat}") == pair("a", "one") + pair("in side", "You said: in side")
    assert book.sent() == pair("a", "one")


def test_a_cell_that_moves_into_the_fork_takes_the_place_of_its_copy(book: Book) -> None:
    book.answers("a", "one")
    book.answers("b", "two")
    book.run("f", "%glm_history --fork side")
    book.run("a", "%%glm -c side\nmoved")
    assert book.sent() == pair("b", "two")
    assert book.sent("-c side") == pair("moved", "You said: moved") + pair("b", "two")


def test_a_cell_that_fails_in_the_fork_keeps_its_answers(book: Book) -> None:
    book.answers("a", "one")
    book.answers("b", "two")
    book.run("f", "%glm_history --fork side")
    book.notebook.server.answer(error(400, {"error": {"code": "1210", "message": "no"}}))
    with pytest.raises(ServiceError):
        book.run("a", "%%glm -c side\nmoved")
    book.answers("b", "two again")
    book.run("f", "%glm_history --fork side")
    book.run("h", "%glm_history -c side --attempt 2 1")
    assert pair("a", "one")[0] in book.sent("-c side")


def test_an_attempt_of_a_forked_copy_leaves_the_page_of_the_other_chat_alone(book: Book) -> None:
    book.answers("a", "one", "two")
    book.run("f", "%glm_history --fork side")
    book.run("h", "%glm_history -c side --attempt 1 1")
    assert (book.sent(), book.sent("-c side")) == (pair("a", "two"), pair("a", "one"))
    assert book.shown("a") == "two"
    assert book.bundle("a")["chat"] == "main"
    assert book.shown("h") == "one"


def test_what_cannot_be_forked_is_said(book: Book) -> None:
    with pytest.raises(SettingError, match="nothing to copy"):
        book.run("f", "%glm_history --fork side")
    book.answers("a", "one")
    book.run("s", "%%glm -c side\nin side")
    for name in ("side", "main"):
        with pytest.raises(SettingError, match=f"Chat {name} is in use"):
            book.run("f", f"%glm_history --fork {name}")
    with pytest.raises(OptionError, match="needs a name"):
        book.run("f", "%glm_history --fork ' '")


# --- deleted cells ----------------------------------------------------------------------------------


def test_turns_of_deleted_cells_are_marked_and_pruned_on_request(book: Book) -> None:
    for cell in "abc":
        book.answers(cell, cell)
    book.run("f", "%glm_history --fork side")
    book.run("h", "%glm_history", deleted=["a", "b", "nowhere"])
    assert book.text("h").count("cell deleted") == 2
    assert "sends 3 of 3" in book.text("h")
    book.answers("b", "pasted again")
    book.run("h", "%glm_history --prune")
    assert "1 turn of deleted cells removed: chat main now sends 2 turns." in book.text("h")
    assert book.sent() == pair("b", "pasted again") + pair("c", "c")
    assert book.sent("-c side") == pair("a", "a") + pair("b", "b") + pair("c", "c")
    path = book.save("b", "c", "h")
    book.restart()
    book.run("r", f"%glm_history --restore {path}")
    assert book.sent() == pair("b", "pasted again") + pair("c", "c")


def test_a_deleted_cell_is_marked_also_where_nothing_of_it_counts(book: Book) -> None:
    book.answers("a", "one")
    book.run("h", "%glm_history --undo")
    book.run("h", "%glm_history", deleted=["a"])
    assert "cell deleted" in book.text("h")


# --- what is shown ----------------------------------------------------------------------------------


def test_the_system_message_is_counted_with_what_will_be_sent(book: Book) -> None:
    book.answers("a", "one")
    book.run("c", "%glm_config system='Be brief, and then some more.'")
    book.run("h", "%glm_history")
    assert "sends the system message and 1 of 1 turns" in book.text("h")


def test_a_hostile_name_of_a_chat_is_a_name(book: Book, tmp_path: Path) -> None:
    for number, name in enumerate(("<script>alert(1)</script>", "a\nb: 9 turns", "../x", "\x1b[2Jx", "x" * 5000)):
        book.notebook.shell.user_ns["name"] = name
        book.run(f"a{number}", "%%glm -c {{ name }}\nhi")
        for line in ("", "--undo", "--clear", "--list"):
            book.run("h", f"%glm_history {line}{'' if line == '--list' else ' -c {{ name }}'}")
            for data in book.outputs("h"):
                assert "<script>" not in data.get("text/html", "")
                assert "\x1b" not in data["text/plain"]
        book.run(f"a{number}", "%%glm -c {{ name }}\nhi")
    path = book.save()
    book.restart()
    before = set(tmp_path.parent.rglob("*"))
    book.run("r", f"%glm_history --restore {path}")
    assert len(book.text("r").splitlines()) == 1
    book.run("r", f"%glm_history --restore {path}")
    assert len(book.text("r").splitlines()) == 2
    assert "no answer of glm_magic that is not here" in book.text("r")
    assert set(tmp_path.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("line", "kind", "hint"),
    [
        ("--attempt 1", OptionError, "TURN N"),
        ("--attempt 2 1", HistoryError, r"It has: 1\."),
        ("--attempt 1 3", HistoryError, "It has 2"),
        ("--attempt 1 0", HistoryError, "It has 2"),
        ("--attempt 1 1 1", OptionError, "does not know '1'"),
        ("--attempt 1 x", HistoryError, "no attempt 'x'"),
        ("--show", OptionError, "needs a value"),
        ("--show 9", HistoryError, r"It has: 1\."),
        ("--show 1 --diff 1", OptionError, "two numbers"),
        ("--show 1 --diff 1 9", HistoryError, "no attempt '9'"),
        ("--show 1 2 --diff 1 2", OptionError, "two numbers"),
        ("--diff", OptionError, "goes with --show"),
        ("--clear --force", OptionError, "goes with --restore or --export"),
        ("--export", OptionError, "--export FILE"),
        ("--export ''", HistoryError, "known format"),
        ("--export x.txt", HistoryError, ".ipynb .jsonl .md .py .sh"),
        ("--export nowhere/x.md", HistoryError, "cannot be written"),
        ("--forget", HistoryError, "does not know its notebook"),
        ("--list -c main", OptionError, "not about one chat"),
        ("--restore x.ipynb -c main", OptionError, "not about one chat"),
        ("-c nowhere", SettingError, "--list shows them"),
    ],
)
def test_a_wrong_line_changes_nothing_and_says_what_to_do(
    book: Book, line: str, kind: type[GlmError], hint: str
) -> None:
    book.answers("a", "one", "two")
    with pytest.raises(kind, match=hint) as caught:
        book.run("h", f"%glm_history {line}")
    assert caught.value.remedy or f"needs a value: {line}" in caught.value.what
    assert book.sent() == pair("a", "two")


def test_there_is_nothing_to_compare_with_one_answer(book: Book) -> None:
    book.answers("a", "one")
    with pytest.raises(HistoryError, match="nothing to compare"):
        book.run("h", "%glm_history --show 1 --diff")


# --- files ------------------------------------------------------------------------------------------


def test_every_chat_is_exported_as_lines_unless_one_is_named(book: Book, tmp_path: Path) -> None:
    book.answers("a", "one")
    book.run("b", "%%glm --new\nb")
    book.run("s", "%%glm -c side\ns")
    target = tmp_path / "out.jsonl"
    for options, questions in (("", ["a", "b", "s"]), ("-c main", ["a", "b"]), ("-c side", ["s"])):
        book.run("h", f"%glm_history --export {target} --force {options}")
        lines = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
        assert [line["messages"][0]["content"] for line in lines] == questions
    book.run("h", "%glm_history --skip 2")
    book.run("h", f"%glm_history --export {target} --force -c main")
    assert len(target.read_text(encoding="utf-8").splitlines()) == 1
    assert "Written: 1 turn to" in book.text("h")


def test_an_export_replaces_a_file_when_asked_to_and_this_notebook_never(
    book: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.answers("a", "one")
    own = book.save()
    (tmp_path / "link.ipynb").symlink_to(own)
    os.link(own, tmp_path / "same.ipynb")
    monkeypatch.setenv("JPY_SESSION_NAME", str(own))
    monkeypatch.chdir(tmp_path)
    before = own.read_bytes()
    for name in (own, own.name, "./" + own.name, "link.ipynb", "same.ipynb"):
        with pytest.raises(HistoryError, match="is this notebook itself"):
            book.run("h", f"%glm_history --export {name} --force")
    assert own.read_bytes() == before
    (tmp_path / "there.md").write_text("mine", encoding="utf-8")
    with pytest.raises(HistoryError, match="--force"):
        book.run("h", "%glm_history --export there.md")
    assert (tmp_path / "there.md").read_text(encoding="utf-8") == "mine"
    book.run("h", "%glm_history --export there.md --force")
    assert "one" in (tmp_path / "there.md").read_text(encoding="utf-8")


def test_the_variable_of_vs_code_names_the_notebook(book: Book) -> None:
    book.answers("a", "one")
    path = book.save()
    book.restart()
    book.notebook.shell.user_ns["__vsc_ipynb_file__"] = str(path)
    book.run("r", "%glm_history --restore")
    assert book.sent() == pair("a", "one")


@pytest.mark.parametrize("with_ids", [True, False])
@pytest.mark.parametrize("order", ["abc", "cab"])
def test_run_all_after_a_restore_does_not_double_a_turn(book: Book, order: str, with_ids: bool) -> None:
    for cell in "abc":
        book.run(cell, f"%%glm\n{cell}")
    before = book.sent()
    path = book.save("a", "b", "c")
    book.restart()
    book.run("r", f"%glm_history --restore {path}")
    for cell in order:
        book.run(cell, f"%%glm\n{cell}", without_id=not with_ids)
        assert "attempt 2 of 2" in book.text(cell)
        assert book.sent() == before


def test_nothing_of_a_strangers_notebook_is_evaluated_or_sent(book: Book) -> None:
    book.run("a", "%%glm --raw\n{{ boom() }} <img src=x onerror=alert(1)>")
    path = book.save()
    book.restart()
    asked = len(book.notebook.server.requests)
    ran: list[int] = []
    book.notebook.shell.user_ns["boom"] = lambda: ran.append(1)
    book.run("r", f"%glm_history --restore {path}")
    for line in ("", "--show 1", "--show 1 1"):
        book.run("h", f"%glm_history {line}")
        assert not any(
            "<img" in data.get("text/html", "") + data.get("text/markdown", "") for data in book.outputs("h")
        )
    assert (len(book.notebook.server.requests), ran) == (asked, [])
    assert book.sent()[0] == (USER, "{{ boom() }} <img src=x onerror=alert(1)>")


def test_where_nobody_is_before_the_page_the_panel_is_the_table(notebook: Notebook) -> None:
    notebook.run("%glm one")
    notebook.run("%glm_history --panel")
    assert "The next cell sends 1 of 1 turns" in notebook.page.text
