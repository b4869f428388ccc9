from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest
from glm_server import calls, error, stream
from ipython_shell import Notebook

from glm_magic.chat.conversation import Conversation
from glm_magic.errors import HistoryError, Interrupted, OptionError, OverBudget, ServiceError
from glm_magic.magics.interrupts import Interrupts
from glm_magic.notebook.bundle import MIME_TYPE


@pytest.fixture
def stale(notebook: Notebook) -> Notebook:
    """Three turns, of which the last two were asked after another first one."""
    notebook.run("%%glm\none", "a")
    notebook.run("%%glm -t 0.3 -s Briefly.\ntwo", "b")
    notebook.run("%%glm\nthree", "c")
    notebook.run("%%glm\nuno", "a")
    assert len(conversation(notebook).stale()) == 2
    notebook.server.requests.clear()
    return notebook


def conversation(notebook: Notebook) -> Conversation:
    return notebook.shell.magics_manager.registry["GLMMagics"].shared.session.chats.conversation()


def answers(notebook: Notebook) -> list[str]:
    return [attempt.answer for attempt in conversation(notebook).sent()]


def test_the_stale_turns_are_asked_again_in_order_with_what_they_were_asked_with(stale: Notebook) -> None:
    stale.server.answer(stream("new two"), stream("new three"))
    stale.run("%glm_history --refresh", "h")
    first, second = stale.server.requests
    assert first.messages == [
        ("system", "Briefly."),
        ("user", "uno"),
        ("assistant", "You said: uno"),
        ("user", "two"),
    ]
    assert first.body["temperature"] == 0.3
    assert second.messages[2:] == [("user", "two"), ("assistant", "new two"), ("user", "three")]
    assert "temperature" not in second.body
    assert answers(stale) == ["You said: uno", "new two", "new three"]
    assert conversation(stale).stale() == frozenset()
    assert [len(turn.attempts) for turn in conversation(stale)] == [2, 2, 2]


def test_it_says_what_it_will_cost_and_shows_old_against_new(stale: Notebook) -> None:
    stale.server.answer(stream("new two"), stream("new three"))
    stale.run("%glm_history --refresh", "h")
    page = " ".join(stale.page.text.split())
    assert "Asking turns 2, 3 again: about" in page
    assert page.index("Asking turns") < page.index("Turn 2, old against new")
    assert "2 turns were asked again (--undo takes that back)" in page
    assert "[-You said:-]{+new+} two" in page
    assert [bundle["kind"] for bundle in stale.page.saved(MIME_TYPE)] == ["edit"]


def test_the_cells_own_outputs_hold_the_new_answer(stale: Notebook) -> None:
    stale.server.answer(stream("new two"), stream("new three"))
    stale.run("%glm_history --refresh", "h")
    shown = [data.get("text/markdown", "") for data in stale.page.before.values()]
    assert "new two" in shown
    stale.run("%glm_history --undo", "i")
    shown = [data.get("text/markdown", "") for data in stale.page.before.values()]
    assert "You said: two" in shown


def test_undo_takes_all_of_it_back(stale: Notebook) -> None:
    stale.server.answer(stream("new two"), stream("new three"))
    stale.run("%glm_history --refresh", "h")
    stale.run("%glm_history --undo", "i")
    assert answers(stale) == ["You said: uno", "You said: two", "You said: three"]
    assert len(conversation(stale).stale()) == 2
    assert "2 refreshed turns have their old answer again" in stale.page.text
    stale.run("%glm_history --undo", "i")
    assert answers(stale) == ["You said: uno", "You said: two"], "and then the last turn"


def test_what_was_asked_since_is_undone_first(stale: Notebook) -> None:
    stale.run("%glm_history --refresh", "h")
    stale.run("%%glm\nfour", "d")
    stale.run("%glm_history --undo", "i")
    assert answers(stale) == ["You said: uno", "You said: two", "You said: three"]


def test_an_answer_that_comes_out_the_same_leaves_the_later_turns_as_they_are(stale: Notebook) -> None:
    stale.run("%glm_history --refresh", "h")
    assert len(stale.server.requests) == 2
    stale.run("%%glm\none", "a")
    stale.run("%glm_history --skip 2", "h")
    stale.server.requests.clear()
    stale.run("%glm_history --refresh", "h")
    assert [request.messages[-1] for request in stale.server.requests] == [("user", "three")]


def test_a_turn_that_fails_keeps_its_answer_and_those_before_it_are_new(stale: Notebook) -> None:
    stale.server.answer(stream("new two"), error(400, {"error": {"code": "1210", "message": "m"}}))
    with pytest.raises(ServiceError):
        stale.run("%glm_history --refresh", "h")
    assert answers(stale) == ["You said: uno", "new two", "You said: three"]
    stale.run("%glm_history --undo", "i")
    assert answers(stale) == ["You said: uno", "You said: two", "You said: three"]


def test_an_interrupt_keeps_what_is_whole_and_nothing_else(stale: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, check = threading.Event(), Interrupts.check
    stale.server.answer(stream("new two"), stream("half", gate, " of it"))
    seen = []

    def interrupted(interrupts: Interrupts) -> None:
        if len(stale.server.requests) == 2:
            seen.append(1)
            if len(seen) == 2:
                signal.raise_signal(signal.SIGINT)
        check(interrupts)

    monkeypatch.setattr(Interrupts, "check", interrupted)
    with pytest.raises(Interrupted, match="1 of 2 turns were asked again"):
        stale.run("%glm_history --refresh", "h")
    gate.set()
    assert answers(stale) == ["You said: uno", "new two", "You said: three"]
    stale.run("%glm_history --undo", "i")
    assert answers(stale) == ["You said: uno", "You said: two", "You said: three"]


def test_turns_with_tools_run_them_again(notebook: Notebook) -> None:
    notebook.run("def f():\n    '''Return a word.'''\n    return 'apple'")
    notebook.run("%%glm\none", "a")
    notebook.server.answer(calls(("f", {})), stream("pear"))
    notebook.run("%%glm -T f\ntwo", "b")
    notebook.run("%%glm\nuno", "a")
    notebook.server.answer(calls(("f", {})), stream("an apple"))
    notebook.run("%glm_history --refresh", "h")
    assert answers(notebook)[-1] == "an apple"
    notebook.run("%%glm\none more", "a")
    notebook.run("del f")
    before = len(notebook.server.requests)
    with pytest.raises(OptionError, match="The tool of turn 2 f: there is no f in this notebook"):
        notebook.run("%glm_history --refresh", "h")
    assert len(notebook.server.requests) == before


def test_a_replay_refreshes_from_the_recording_and_takes_it_back(notebook: Notebook, tmp_path: Path) -> None:
    def run_all() -> None:
        notebook.run("%%glm\none", "a")
        notebook.run("%%glm\ntwo", "b")
        notebook.run("%glm_history --skip 1", "c")
        notebook.run("%glm_history --refresh", "d")
        assert answers(notebook) == ["new two"]
        notebook.run("%glm_history --undo", "e")
        assert answers(notebook) == ["old two"]

    record = tmp_path / "answers.jsonl"
    notebook.run(f"%glm_config record={record}")
    notebook.server.answer(stream("one"), stream("old two"), stream("new two"))
    run_all()
    assert len(notebook.server.requests) == 3
    notebook.restart()
    notebook.run(f"%glm_config replay={record} replay_missing=error")
    run_all()
    assert len(notebook.server.requests) == 3
    assert [turn.number for turn in conversation(notebook)] == [1, 1]


def test_without_a_stale_turn_nothing_is_sent(notebook: Notebook) -> None:
    notebook.run("%glm hi")
    with pytest.raises(HistoryError, match="has no stale turn; nothing was sent"):
        notebook.run("%glm_history --refresh")
    assert len(notebook.server.requests) == 1


def test_the_budget_is_asked_first(stale: Notebook, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("model,input,output,currency\nGLM-4-Air,1000,1000,CNY\n")
    stale.run(f"%glm_config budget=0.04 prices={tmp_path / 'p.csv'}")
    with pytest.raises(OverBudget, match="These 2 requests would pass"):
        stale.run("%glm_history --refresh", "h")
    assert not stale.server.requests
