from __future__ import annotations

import signal
import threading

import pytest
from glm_server import stream
from ipython_shell import Notebook

from glm_magic.asking.session import Session
from glm_magic.chat.events import Finished, TextDelta
from glm_magic.display.page.view import PageView
from glm_magic.errors import Interrupted
from glm_magic.magics.interrupts import Interrupts


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def test_an_interrupt_is_taken_at_the_next_check_and_breaks_nothing_off(clock: Clock) -> None:
    interrupts = Interrupts(clock)
    with interrupts:
        interrupts.check()
        interrupt()
        interrupt()  # a second click breaks nothing off either
        assert interrupts.has_come
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()


def test_where_no_event_comes_a_later_interrupt_acts_at_once(clock: Clock) -> None:
    interrupts = Interrupts(clock)
    with interrupts:
        interrupt()
        clock.now = 1.1
        with pytest.raises(KeyboardInterrupt):
            interrupt()


def test_interrupts_are_afterwards_what_they_were(clock: Clock) -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupts(clock):
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


def test_an_interrupt_of_an_earlier_answer_does_not_stop_the_next(clock: Clock) -> None:
    interrupts = Interrupts(clock)
    with interrupts:
        interrupt()
    with interrupts:
        interrupts.check()


def interrupted_at(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    paint = PageView.paint

    def painted(view: PageView, event: object) -> None:
        paint(view, event)  # type: ignore[arg-type]
        if isinstance(event, kind):
            interrupt()

    monkeypatch.setattr(PageView, "paint", painted)


def test_an_interrupt_while_it_paints_keeps_what_is_painted(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    notebook.server.answer(stream("Half ", gate, "lost"))
    with monkeypatch.context() as patched:
        interrupted_at(TextDelta, patched)
        with pytest.raises(Interrupted, match="What had arrived is kept"):
            notebook.run("%%glm\nask", "a")
    assert notebook.server.hung_up.wait(60)
    assert notebook.sent("%%glm\nmore", "b").messages[1] == ("assistant", "Half ")


def test_an_interrupt_that_comes_too_late_keeps_the_whole_answer_and_stops_the_cells_after_it(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        interrupted_at(Finished, patched)
        with pytest.raises(Interrupted):
            notebook.run("%%glm\nask", "a")
    assert "interrupted" not in notebook.page.text
    assert notebook.sent("%%glm\nmore", "b").messages[1] == ("assistant", "You said: ask")


def test_an_interrupt_before_anything_is_sent_is_said_in_a_line(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook.run("import signal\ndef stop():\n    signal.raise_signal(signal.SIGINT)\n    return 'not inserted'")
    with pytest.raises(Interrupted, match="Nothing was sent"):
        notebook.run("%%glm\n{{ stop() }}", "a")
    with pytest.raises(Interrupted, match="Nothing was sent"):
        notebook.run("%glm -m {{ stop() }} hi", "a")
    with monkeypatch.context() as patched:  # between the words of the line and the request
        plan = Session.plan
        patched.setattr(Session, "plan", lambda *asked: (interrupt(), plan(*asked))[1])
        with pytest.raises(Interrupted, match="Nothing was sent"):
            notebook.run("%%glm\nhi", "a")
    assert notebook.server.requests == []
    assert notebook.sent("%%glm\nhi", "a").messages == [("user", "hi")]


def test_a_first_interrupt_stops_what_takes_longer_than_a_second(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint = PageView.paint
    went_on = threading.Event()

    def painted(view: PageView, event: object) -> None:
        paint(view, event)  # type: ignore[arg-type]
        if isinstance(event, TextDelta):
            interrupt()
            for _ in range(6000):
                threading.Event().wait(0.01)
            went_on.set()

    with monkeypatch.context() as patched:
        patched.setattr(PageView, "paint", painted)
        with pytest.raises(Interrupted, match="What had arrived is kept"):
            notebook.run("%%glm\nask", "a")
    assert not went_on.is_set()
    role, kept = notebook.sent("%%glm\nmore", "b").messages[1]
    assert role == "assistant"
    assert "You said: ask".startswith(kept)


def test_an_interrupted_answer_does_not_interrupt_the_next_change_of_the_history(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook.run("%glm one", "a")
    with monkeypatch.context() as patched:
        interrupted_at(TextDelta, patched)
        with pytest.raises(Interrupted):
            notebook.run("%glm two", "b")
    notebook.run("%glm_history --undo", "c")
    assert "chat main now sends" in notebook.page.text
