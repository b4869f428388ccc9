from __future__ import annotations

import io

from glm_magic.chat.events import Notice, ReasoningDelta, TextDelta, Tick
from glm_magic.display.terminal.view import TerminalView
from glm_magic.display.view import Ending


def written(*events: object, quiet: bool = False, ending: Ending | None = None) -> str:
    out = io.StringIO()
    view = TerminalView(out, quiet=quiet)
    for event in events:
        view.paint(event)  # type: ignore[arg-type]
    view.settle(ending or Ending(("GLM-4-Air", "1 s")))
    return out.getvalue()


def test_text_is_written_as_it_comes_and_the_facts_below_it() -> None:
    assert written(TextDelta("Hel"), Tick(0.1), TextDelta("lo")) == "Hello\n[GLM-4-Air · 1 s]\n"


def test_a_quiet_view_writes_the_answer_alone() -> None:
    assert written(Notice("start", "x"), TextDelta("Hello\n"), quiet=True) == "Hello\n"


def test_each_kind_of_notice_is_written_once() -> None:
    shown = written(Notice("download", "0 of 9"), Notice("download", "5 of 9"), Notice("start", "up"), TextDelta("a"))
    assert shown.startswith("[0 of 9]\n[up]\na\n")


def test_control_sequences_of_a_model_do_not_reach_the_terminal() -> None:
    shown = written(TextDelta("\x1b]52;c;aGk=\x07\x1b[2J\u202eevil"), ending=Ending(("\x1b[31mred",)))
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\u202e" not in shown


def test_a_withdrawn_answer_is_said() -> None:
    assert "withdrawn" in written(TextDelta("bad"), ending=Ending(("x",), withdrawn=True))


def test_thoughts_are_not_shown_but_said() -> None:
    seconds = iter((0.0, 3.2, 3.2))
    out = io.StringIO()
    view = TerminalView(out, clock=lambda: next(seconds))
    for event in (ReasoningDelta("hm, "), ReasoningDelta("so."), TextDelta("Yes.")):
        view.paint(event)
    view.settle(Ending(("x",)))
    assert out.getvalue() == "[thought for 3.2 s, 7 characters: _glm.reasoning]\nYes.\n[x]\n"


def test_a_quiet_view_says_nothing_of_thoughts() -> None:
    assert written(ReasoningDelta("hm"), TextDelta("Yes."), quiet=True) == "Yes.\n"
