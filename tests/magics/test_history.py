from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from glm_server import Answer, error, stream
from ipython_shell import Notebook

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
    assert "Turn 1 counts: chat main now sends 2 turns." in notebook.page.text
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
        ("--clear --undo", OptionError, "One at a time"),
        ("--skip 1 --unskip 1", OptionError, "One at a time"),
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


def test_restoring_does_not_replace_a_conversation_that_has_begun(notebook: Notebook, saved: Path) -> None:
    notebook.run("%%glm\nbegun", "x")
    with pytest.raises(SettingError, match="Already used"):
        notebook.run(f"%glm_history --restore {saved}")
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
