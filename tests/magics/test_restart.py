"""A restart loses no attempt: what the store and the saved notebook hold comes back when a cell runs again."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from desk import Desk
from glm_server import error, stream

from glm_magic.errors import GlmError, Interrupted, PromptError, ServiceError
from glm_magic.notebook.bundle import MIME_TYPE

THREE = ("one", "uno", "eins")


@pytest.fixture(params=["store and file", "store alone", "file alone"])
def kept(request: pytest.FixtureRequest, desk: Desk) -> Desk:
    """A notebook with three attempts in one cell, and a second cell; a new kernel has been started."""
    desk.asked("a", *THREE)
    desk.asked("b", "two")
    if request.param == "store alone":  # autosave is off, and the notebook was never saved with its outputs
        outputs, desk.outputs = desk.outputs, {}
        desk.save()
        desk.outputs = outputs
    else:
        desk.save()
    desk.restart()
    if request.param == "file alone":  # it came from another machine
        shutil.rmtree(desk.store)
    return desk


# --- the attempts of a cell --------------------------------------------------------------------------


@pytest.mark.parametrize("replay", ["off", "notebook"])
def test_a_cells_first_run_has_the_attempts_from_before_as_earlier_ones(kept: Desk, replay: str) -> None:
    kept.kernel.run(f"%glm_config replay={replay}")
    asked = len(kept.server.requests)
    shown = kept.run("a", "%%glm\nun")
    assert "attempt 4 of 4, 3 from before" in shown
    assert kept.attempts("a") == [*THREE, "un"]
    assert kept.sent()[asked:] == [[("user", "un")]]
    assert "attempt 5 of 5, 3 from before" in kept.run("a")


def test_a_replayed_answer_has_them_too_and_says_nothing_of_the_present_run(kept: Desk) -> None:
    kept.kernel.run("%glm_config replay=notebook")
    asked = len(kept.server.requests)
    shown = kept.run("a")
    assert "attempt 3 of 3 · 0 earlier turns sent" in shown
    assert "saved turn" not in shown
    assert kept.attempts("a") == [*THREE]
    assert len(kept.server.requests) == asked


def test_an_attempt_from_before_can_be_made_the_active_one_and_compared(kept: Desk) -> None:
    kept.run("a")
    kept.run("h", "%glm_history --attempt 1 2")
    assert kept.kernel.sent("%%glm\nand", "c").messages == [
        ("user", "uno"),
        ("assistant", "You said: uno"),
        ("user", "and"),
    ]
    assert "uno" in kept.run("h", "%glm_history --show 1 2")


def test_it_is_once_that_they_come_back(kept: Desk) -> None:
    kept.run("a")
    kept.run("h", "%glm_history --clear")
    assert "attempt" not in kept.run("a")


def test_restarts_add_up(desk: Desk) -> None:
    for number in range(1, 13):
        desk.restart()
        shown = desk.run("a", f"%%glm\n{number}")
        if number > 1:
            assert f"attempt {number} of {number}, {number - 1} from before" in shown
    assert desk.attempts("a") == [str(number) for number in range(2, 13)]  # a bundle has room for ten and one
    desk.run("h", "%glm_history --show 1 1")
    assert "You said: 1" in desk.text("h")


def test_the_turns_of_one_cell_keep_their_own_attempts(desk: Desk) -> None:
    desk.run("a", "%glm one\n%glm two")
    desk.save()
    desk.restart()
    desk.run("a", "%glm uno\n%glm zwei")
    bundles = [data[MIME_TYPE] for data in desk.outputs["a"] if MIME_TYPE in data]
    assert [[made["messages"][0]["content"] for made in bundle["attempts"]] for bundle in bundles] == [["one"], ["two"]]


def test_restart_and_run_all_sends_what_it_sent_before(kept: Desk) -> None:
    def run_all() -> list[list[tuple[str, str]]]:
        before = len(kept.server.requests)
        for cell in ("a", "b"):
            kept.run(cell)
        return kept.sent()[before:]

    first = run_all()
    assert first == [[("user", "eins")], [("user", "eins"), ("assistant", "You said: eins"), ("user", "two")]]
    for save in (True, False, True):
        if save:
            kept.save()
        kept.restart()
        assert run_all() == first
    assert len(kept.attempts("a")) == 3 + 4


def test_a_message_that_is_put_in_again_is_no_other_attempt(desk: Desk) -> None:
    for number, text in enumerate(("Be brief.", "Be brief.", "Be long.", "Be long.")):
        desk.run("a", f"%%glm --role system\n{text}")
        assert len(desk.bundle("a")["attempts"]) == (number >= 2), "only the other wording"
        desk.restart()


def test_one_shot_cells_have_theirs(desk: Desk) -> None:
    for text in THREE:
        desk.run("a", f"%%glm -H\n{text}")
    desk.save()
    desk.restart("%glm_config history=off")
    assert "attempt 4 of 4, 3 from before · one-shot" in desk.run("a", "%%glm\nun")
    assert desk.attempts("a") == [*THREE, "un"]
    assert "saved turn" not in desk.text("a")


def test_where_turns_are_not_saved_those_of_the_file_come_back_and_none_is_stored(desk: Desk) -> None:
    desk.asked("a", *THREE)
    desk.save()
    desk.restart("%glm_config save_turns=off")
    shutil.rmtree(desk.store)
    assert "attempt 4 of 4, 3 from before" in desk.run("a")
    assert [data for data in desk.outputs["a"] if MIME_TYPE in data] == []
    assert not desk.store.exists()


def test_an_attempt_from_before_is_stale_where_it_was_asked_after_other_answers(desk: Desk) -> None:
    desk.asked("a", "one")
    desk.asked("b", "two")
    desk.restart()
    desk.run("a", "%%glm\nuno")
    desk.run("b")
    desk.run("h", "%glm_history --attempt 2 1")
    assert "stale" in desk.run("h", "%glm_history")


# --- which cell it was -------------------------------------------------------------------------------


def test_a_cell_that_has_another_id_now_is_known_by_its_prompt(kept: Desk) -> None:
    kept.rename_cell("a", "pasted")
    kept.save()
    kept.restart()
    assert "attempt 4 of 4, 3 from before" in kept.run("pasted")
    assert kept.attempts("pasted") == [*THREE, "eins"]
    kept.restart()  # not saved: the store knows it by its new id
    assert "attempt 5 of 5, 4 from before" in kept.run("pasted", "%%glm\nanother wording")


def test_a_cell_with_the_prompt_of_another_one_has_no_attempts_of_it(kept: Desk) -> None:
    assert "attempt" not in kept.run("copy", "%%glm\neins")
    assert "attempt 4 of 4" in kept.run("a")


def test_of_two_cells_with_the_same_prompt_one_has_the_attempts_of_a_cell_that_is_gone(desk: Desk) -> None:
    desk.asked("a", *THREE)
    del desk.cells["a"]
    desk.save()
    desk.restart()
    assert "attempt 4 of 4" in desk.run("x", "%%glm\neins")
    assert "attempt" not in desk.run("y", "%%glm\neins")


def test_a_renamed_notebook_takes_its_answers_with_it(desk: Desk) -> None:
    desk.asked("a", *THREE)
    desk.outputs = {}
    desk.save()
    new = desk.path.with_name("renamed.ipynb")
    desk.path = desk.path.rename(new)
    desk.restart()
    assert "attempt 4 of 4, 3 from before" in desk.run("a")


def test_a_renamed_notebook_takes_its_answers_though_another_has_its_name_now(desk: Desk) -> None:
    desk.asked("a", *THREE)
    desk.outputs = {}
    desk.save()
    old, new = desk.path, desk.path.with_name("renamed.ipynb")
    old.rename(new)
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", id="other")]), old)
    desk.path = new
    desk.restart()
    assert "attempt 4 of 4, 3 from before" in desk.run("a")


def test_a_copy_has_what_its_file_holds_and_leaves_the_rest(desk: Desk) -> None:
    desk.asked("a", "one")
    desk.save()
    copy = desk.path.with_name("copy.ipynb")
    shutil.copy(desk.path, copy)
    desk.asked("a", "uno")  # in the original alone
    original, desk.path = desk.path, copy
    desk.restart()
    assert "attempt 2 of 2, 1 from before" in desk.run("a", "%%glm\neins")
    assert desk.attempts("a") == ["one", "eins"]
    desk.path = original
    desk.restart()
    desk.run("a", "%%glm\nun")
    assert desk.attempts("a") == ["one", "uno", "un"]


def test_a_kernel_that_does_not_know_its_notebook_keeps_and_finds_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        desk.restart()
        monkeypatch.delenv("JPY_SESSION_NAME")
        assert "attempt" not in desk.run("a", "%%glm\none")
    assert not desk.store.exists()


# --- a run that asks nothing -----------------------------------------------------------------------


@pytest.mark.parametrize("source", ["%%glm\n{{ missing }}", "%%glm --tempreature 1\none", "%%glm -N\none", "%%glm\n  "])
def test_a_first_run_that_asks_nothing_leaves_the_attempts_in_the_notebook(kept: Desk, source: str) -> None:
    asked = len(kept.server.requests)
    try:
        kept.run("a", source)
    except GlmError:
        pass
    else:
        assert "-N" in source
    assert "3 earlier answers are kept" in kept.text("a")
    assert kept.attempts("a") == [*THREE]
    kept.save()
    shutil.rmtree(kept.store)
    kept.restart()
    assert "attempt 4 of 4, 3 from before" in kept.run("a", "%%glm\nun")
    assert len(kept.server.requests) == asked + 1


def test_a_later_run_that_asks_nothing_leaves_them_too_and_changes_nothing(desk: Desk) -> None:
    desk.asked("a", *THREE)
    with pytest.raises(PromptError):
        desk.run("a", "%%glm\n{{ missing }}")
    assert desk.attempts("a") == [*THREE]
    assert desk.kernel.sent("%%glm\ntwo", "b").messages[0] == ("user", "eins")


def test_turns_that_a_failed_cell_did_not_come_to_are_kept(desk: Desk) -> None:
    desk.run("a", "%glm one\n%glm two\n%glm three")
    desk.save()
    for _ in range(2):
        desk.restart()
        with pytest.raises(ZeroDivisionError):
            desk.run("a", "%glm one\n1 / 0\n%glm two\n%glm three")
        bundles = [data[MIME_TYPE] for data in desk.outputs["a"] if MIME_TYPE in data]
        assert [bundle["messages"][0]["content"] for bundle in bundles] == ["one", "two", "three"]
        desk.save()


def test_a_first_run_that_the_service_refuses_keeps_them(kept: Desk) -> None:
    kept.server.answer(error(400, {"error": {"code": "1210", "message": "no"}}))
    with pytest.raises(ServiceError):
        kept.run("a")
    assert kept.attempts("a") == [*THREE]
    assert "attempt 4 of 4, 3 from before" in kept.run("a")


def test_a_first_run_that_is_interrupted_before_any_text_keeps_them(
    kept: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = kept.kernel.shell.magics_manager.registry["GLMMagics"].shared.session.services

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(services, "stream", interrupted)
        with pytest.raises(Interrupted):
            kept.run("a")
    assert kept.attempts("a") == [*THREE]


def test_what_was_never_asked_leaves_nothing(desk: Desk) -> None:
    with pytest.raises(PromptError):
        desk.run("a", "%%glm\n{{ missing }}")
    with pytest.raises(ZeroDivisionError):
        desk.run("b", "1 / 0")
    assert (desk.outputs["a"], desk.outputs["b"]) == ([], [])


# --- turns that are not sent -----------------------------------------------------------------------


def five(desk: Desk) -> None:
    for cell in "abcde":
        desk.asked(cell, cell)
    desk.save()
    desk.restart()


def test_the_first_question_says_once_how_many_saved_turns_are_not_sent(desk: Desk) -> None:
    five(desk)
    assert "4 saved turns are not sent: %glm_history --restore" in desk.run("e")
    assert "saved turn" not in desk.run("d")
    desk.restart()
    assert "5 saved turns are not sent" in desk.run("f", "%%glm\nf")


@pytest.mark.parametrize("source", ["%%glm --new\nx", "%%glm -H\nx", "%%glm -c side\nx", "%%glm -q\nx"])
def test_it_is_said_where_it_matters(desk: Desk, source: str) -> None:
    five(desk)
    assert "saved turn" not in desk.run("f", source)


def test_nothing_is_said_where_all_are_sent_or_there_are_none(desk: Desk) -> None:
    assert "saved turn" not in desk.run("a", "%%glm\na")
    five(desk)
    desk.run("r", "%glm_history --restore")
    assert "saved turn" not in desk.run("f", "%%glm\nf")


@pytest.mark.parametrize("saved", [True, False])
def test_restoring_after_the_first_question_adds_the_turns_before_it(desk: Desk, saved: bool) -> None:
    five(desk)
    desk.run("e")
    if saved:  # the file has the new answer by then, which was sent after nothing
        desk.save()
    assert "chat main: 4 turns" in desk.run("r", "%glm_history --restore")
    (messages,) = [desk.kernel.sent("%%glm\nf", "f").messages]
    assert [text for role, text in messages if role == "user"] == [*"abcdef"]
    assert "not here" in desk.run("r", "%glm_history --restore")
    desk.run("r", "%glm_history --restore --force")


def test_a_restored_turn_has_the_attempts_of_the_file_and_of_the_store(desk: Desk) -> None:
    desk.asked("a", "one")
    desk.save()
    desk.asked("a", "uno")
    desk.restart("%glm_history --restore")
    assert "attempt 3 of 3, 2 from before" in desk.run("a", "%%glm\neins")


def test_one_shot_answers_are_restored_too_and_sent_with_no_other(desk: Desk) -> None:
    for text in ("one", "uno"):
        desk.run("a", f"%%glm -H\n{text}")
    desk.save()
    desk.restart("%glm_history --restore")
    assert "You said: one" in desk.run("h", "%glm_history -c one-shot --attempts 1")
    desk.run("b", "%%glm\nnow")
    assert desk.sent()[-1] == [("user", "now")]
    assert "attempt 3 of 3, 2 from before" in desk.run("a", "%%glm -H\neins")


def test_after_a_restart_the_history_says_what_the_saved_notebook_holds(desk: Desk) -> None:
    desk.asked("a", "one", "uno")
    desk.asked("b", "two")
    desk.save()
    desk.restart()
    assert "2 saved turns are not here: %glm_history --restore" in desk.run("h", "%glm_history")
    with pytest.raises(GlmError) as caught:
        desk.run("h", "%glm_history --attempts 1")
    assert "%glm_history --restore" in caught.value.remedy
    with pytest.raises(GlmError) as caught:
        desk.run("h", "%glm_history -c reviews")
    assert "%glm_history --restore" in caught.value.remedy
    desk.run("h", "%glm_history --restore")
    assert "not here" not in desk.run("h", "%glm_history")


# --- what it holds ---------------------------------------------------------------------------------


def test_the_store_holds_no_key(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLM_API_KEY", "canary.0123456789abcdef")
    desk.restart()
    desk.asked("a", *THREE)
    desk.server.answer(error(401, {"error": {"code": "1000", "message": "canary.0123456789abcdef"}}))
    with pytest.raises(ServiceError):
        desk.run("a")
    assert desk.server.last.headers.get("authorization", "").endswith("canary.0123456789abcdef")
    assert [path for path in desk.store.rglob("*") if path.is_file() and b"canary" in path.read_bytes()] == []


def test_a_damaged_store_is_set_aside_which_the_next_line_says(desk: Desk) -> None:
    desk.asked("a", *THREE)
    desk.save()
    desk.restart()
    for path in desk.store.iterdir():
        path.write_bytes(b"x" * 10_000)
    shown = desk.run("a")
    assert "attempt 4 of 4, 3 from before" in shown  # the file has them
    assert re.search(r"damaged. It was set aside as .*answers.db.damaged-1", shown)
    desk.restart()
    assert "attempt 5 of 5, 4 from before" in desk.run("a")


def test_answers_are_recorded_in_a_store_of_ones_own_and_replayed_from_it(desk: Desk, tmp_path: Path) -> None:
    beside = tmp_path / "answers.db"
    desk.restart(f"%glm_config record={beside}")
    desk.server.answer(stream("first"), stream("second"))
    desk.asked("a", "one")
    desk.asked("b", "two")
    live = json.dumps([desk.bundle("a"), desk.bundle("b")])
    asked = len(desk.server.requests)
    desk.restart(f"%glm_config replay={beside} replay_missing=error")
    desk.run("a")
    desk.run("b")
    assert json.dumps([desk.bundle("a"), desk.bundle("b")]) == live
    assert len(desk.server.requests) == asked
    (tmp_path / "other.db").write_bytes(b"x" * 5000)
    with pytest.raises(GlmError, match="not a database"):
        desk.kernel.run(f"%glm_config record={tmp_path / 'other.db'}")
