from __future__ import annotations

import io
import re
import signal
import threading
from collections.abc import Iterable
from typing import Any

import pytest
from emulator import Terminal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glm_magic.chat.events import Event, Notice, ReasoningDelta, TextDelta, Tick, ToolCalling, ToolResult
from glm_magic.chat.messages import ToolCall
from glm_magic.display.terminal import view as terminals
from glm_magic.display.terminal.view import LiveView, TerminalView
from glm_magic.display.view import Ending

ENDING = Ending(("GLM-4-Air", "1 s"))


class Clock:
    """Each look at it is a while after the one before, so that every event is shown."""

    def __init__(self, step: float = 1.0) -> None:
        self.now = 0.0
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def live(terminal: Terminal, step: float = 1.0, **how: Any) -> LiveView:
    view = terminals.view(terminal, clock=Clock(step), **how)  # type: ignore[arg-type]
    assert isinstance(view, LiveView)
    return view


def answered(terminal: Terminal, events: Iterable[Event], ending: Ending = ENDING, **how: Any) -> list[str]:
    view = live(terminal, **how)
    for event in events:
        view.paint(event)
    view.settle(ending)
    return terminal.lines


def deltas(text: str, size: int = 5) -> list[Event]:
    return [TextDelta(text[at : at + size]) for at in range(0, len(text), size)]


def test_markdown_is_rendered_and_the_facts_stand_below_it(terminal: Terminal) -> None:
    text = "## Head\n\n- **a**\n- b\n\n| x | y |\n|---|---|\n| 漢字 | 1 |\n\n```python\nif x:\n    y = 1\n```\n"
    assert answered(terminal, deltas(text)) == [
        "Head",
        "",
        " • a",
        " • b",
        "",
        " x      y",
        " ────────",
        " 漢字   1",
        "",
        "  if x:",
        "      y = 1",
        "[GLM-4-Air · 1 s]",
    ]
    assert any("\x1b[" in write for write in terminal.writes)


def test_what_is_finished_stays_and_only_the_tail_is_drawn_again(terminal: Terminal) -> None:
    view = live(terminal)
    for event in deltas("One.\n\nTwo.\n\nThr"):
        view.paint(event)
    assert terminal.lines == ["One.", "", "Two.", "", "Thr"]
    before = len(terminal.writes)
    for event in deltas("ee.", 1):
        view.paint(event)
    assert terminal.lines[-1] == "Three."
    assert all("One" not in write for write in terminal.writes[before:])
    view.settle(ENDING)
    assert terminal.lines == ["One.", "", "Two.", "", "Three.", "[GLM-4-Air · 1 s]"]


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("form", ["{}.\n\n", "- {}\n", "{}\n"], ids=["paragraphs", "one list", "one paragraph"])
def test_an_answer_longer_than_the_screen_is_there_once_in_order(
    terminal: Terminal, form: str, *, as_text: bool
) -> None:
    words = [f"word{number:03}" for number in range(100)]
    lines = answered(terminal, deltas("".join(map(form.format, words)), 25), form="text" if as_text else "markdown")
    assert re.findall(r"word\d+", "\n".join(lines)) == words


def test_code_longer_than_the_screen_is_there_once(terminal: Terminal) -> None:
    words = [f"word{number:03}" for number in range(60)]
    text = "Before.\n\n```python\n" + "".join(f"{word} = 1\n" for word in words) + "```\n\nAfter."
    assert re.findall(r"word\d+", "\n".join(answered(terminal, deltas(text, 25)))) == words


def test_the_draft_is_never_taller_than_the_screen(terminal: Terminal) -> None:
    answered(terminal, deltas("- item\n" * 50, 12))
    drafts = [write.rpartition("\n")[0].count("\n") for write in terminal.writes[:-1]]
    assert max(drafts) < 12


@pytest.mark.parametrize("sizes", [[(90, 30), (60, 12)], [(60, 30), (60, 8), (60, 20)], [(40, 12), (80, 12)]])
def test_a_resize_in_mid_answer_breaks_nothing_that_is_printed(
    terminal: Terminal, sizes: list[tuple[int, int]]
) -> None:
    view = live(terminal)
    words = [f"word{number:03}" for number in range(40)]
    for number, word in enumerate(words):
        if number % 12 == 11 and sizes:
            terminal.resize(*sizes.pop(0))
        for event in deltas(f"{word}.\n\n"):
            view.paint(event)
    view.settle(ENDING)
    written = "".join(re.sub("\x1b\\[[\\d;]*m", "", write) for write in terminal.writes)
    assert all(f"{word}.\n" in written for word in words)
    seen = re.findall(r"word\d+", terminal.text)
    assert sorted(set(seen)) == seen, "in order, and none twice"
    assert seen[-1] == "word039"


def test_plain_text_comes_as_it_is(terminal: Terminal) -> None:
    long = "x" * 150
    lines = answered(terminal, deltas(f"# *Head*\n\n{long}\nend"), form="text")
    assert lines == ["# *Head*", "", "x" * 60, "x" * 60, "x" * 30, "end", "[GLM-4-Air · 1 s]"]


def test_markup_of_rich_formulas_tags_and_addresses_are_shown_as_typed(terminal: Terminal) -> None:
    terminal.resize(100, 40)
    for text in (
        "[red]x[/red] :smile: [bold]",
        "$a_1*b*c_2$ and \\(x_{1}*y*z\\) and \\[q*r*s\\] for $5 and $10",
        "$$\na\n- b\n= c\n$$",
        "<div>tag</div> and <b>bold</b>",
        "<http://a.example/%1b%5d52>",
        "[1]: http://b.example",
    ):
        lines = answered(terminal, [TextDelta(text)], quiet=True)
        shown = "\n".join(line.strip() for line in lines)
        assert text.strip("<>") in shown or text in shown
        terminal.writes.clear()


def test_a_link_is_shown_with_its_address_and_is_none_of_the_terminals(terminal: Terminal) -> None:
    text = "[your bank](http://evil.example/x) ![picture](http://evil.example/p.png)"
    terminal.resize(100, 12)
    assert "your bank (http://evil.example/x) !picture (http://evil.example/p.png)" in "\n".join(
        answered(terminal, [TextDelta(text)])
    )
    assert not any("\x1b]8" in write for write in terminal.writes)


@pytest.mark.parametrize(
    "text",
    [
        "> " * 30 + "deep",
        "- " * 30 + "deep",
        "> " * 300 + "deep",
        "".join("  " * n + f"- deep{n}\n" for n in range(40)),
        "|" + "|".join(f"c{n}" for n in range(70)) + "|\n" + "|-" * 70 + "|\n" + "|word" * 70 + "|\n",
        "| a |\n|---|\n| " + "w" * 300 + " |\n",
        "[" * 300 + "x" + "](a)" * 300,
        "a" * 500,
        "![x](http://a.example) " + "words after a picture " * 10,
    ],
)
def test_nothing_of_an_answer_is_left_out_however_it_is_built(terminal: Terminal, text: str) -> None:
    shown = "".join(answered(terminal, [TextDelta(text)], quiet=True))
    assert all(shown.count(sign) >= text.count(sign) for sign in set(filter(str.isalnum, text)))


@given(text=st.text(alphabet="ab1 \n*_`#>-|$\\[]()<&;\x1b漢", max_size=200), size=st.integers(1, 40))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_shown_and_acts_in_no_way(colours: None, text: str, size: int) -> None:
    terminal = Terminal(30, 8)
    try:
        shown = "".join(answered(terminal, deltas(text, size), quiet=True))
        assert terminal.acting() == []
        assert shown.count("漢") == text.count("漢")
    finally:
        terminal.close()


def test_while_it_thinks_a_line_says_so_and_afterwards_for_how_long(terminal: Terminal) -> None:
    view = live(terminal, title="GLM-Z1")
    view.paint(Tick(0.1))
    assert terminal.lines == ["GLM-Z1 · asking …"]
    view.paint(ReasoningDelta("Let me see. "))
    assert re.fullmatch(r"thinking … \d+ s", terminal.lines[0])
    before = terminal.lines[0]
    view.paint(Tick(0.1))
    assert terminal.lines[0] != before
    view.paint(Tick(7.0))
    assert terminal.lines[0].endswith("silent for 7 s")
    view.paint(TextDelta("Yes."))
    view.settle(ENDING)
    assert re.fullmatch(r"\[thought for \d+\.0 s, 12 characters: _glm\.reasoning\]", terminal.lines[0])
    assert terminal.lines[1:] == ["Yes.", "[GLM-4-Air · 1 s]"]
    assert "Let me see" not in "".join(terminal.writes)


def test_thoughts_that_came_all_at_once_say_nothing_of_time(terminal: Terminal) -> None:
    lines = answered(terminal, [ReasoningDelta("hm"), TextDelta("Yes.")], step=0.001)
    assert lines[0] == "[thought, 2 characters: _glm.reasoning]"


def test_a_notice_is_kept_as_it_was_last_said(terminal: Terminal) -> None:
    view = live(terminal)
    for text in ("0 of 9 MB", "5 of 9 MB", "9 of 9 MB"):
        view.paint(Notice("download", text))
        assert terminal.lines == [text]
    view.paint(Notice("start", "Starting"))
    view.paint(TextDelta("Hi"))
    view.settle(ENDING)
    assert terminal.lines == ["[9 of 9 MB]", "[Starting]", "Hi", "[GLM-4-Air · 1 s]"]


def test_silence_in_mid_answer_is_said_below_the_tail_and_goes(terminal: Terminal) -> None:
    view = live(terminal)
    view.paint(TextDelta("Half "))
    view.paint(Tick(12.3))
    assert terminal.lines == ["Half", "silent for 12 s"]
    view.paint(TextDelta("and half."))
    assert terminal.lines == ["Half and half."]


def test_nothing_is_drawn_that_will_be_erased_while_a_tool_may_print(terminal: Terminal) -> None:
    view = live(terminal)
    view.paint(TextDelta("I look it up."))
    view.paint(ToolCalling(0, ToolCall("1", "weather", "{}"), runs=True))
    terminal.write("the tool prints\n")
    view.paint(ToolResult(0, ToolCall("1", "weather", "{}"), "rain", 0.2))
    view.paint(TextDelta("It rains."))
    view.settle(ENDING)
    assert terminal.lines == [
        "I look it up.",
        "the tool prints",
        "[weather() → rain · 0.2 s]",
        "It rains.",
        "[GLM-4-Air · 1 s]",
    ]


def test_a_quiet_view_shows_the_answer_alone(terminal: Terminal) -> None:
    events = [Tick(0.1), ReasoningDelta("hm"), Tick(9.0), Notice("retry", "x"), TextDelta("Yes.")]
    assert answered(terminal, events, quiet=True) == ["Yes."]
    assert all(word not in "".join(terminal.writes) for word in ("think", "silent", "asking"))


def test_a_withdrawn_answer_leaves_no_tail_and_is_said(terminal: Terminal) -> None:
    assert answered(terminal, [TextDelta("bad")], Ending(("x",), withdrawn=True)) == [
        "[The answer was withdrawn.]",
        "[x]",
    ]


def test_updates_are_at_most_ten_a_second(terminal: Terminal) -> None:
    answered(terminal, [TextDelta("w ")] * 1000, step=0.001)
    assert len(terminal.writes) < 50


def test_an_interrupt_waits_for_the_end_of_a_step_and_what_came_is_there_once(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = live(terminal)
    view.paint(TextDelta("First.\n\nSec"))
    write = terminal.write

    def interrupted(text: str) -> int:
        signal.raise_signal(signal.SIGINT)  # to this thread: another one would take it a moment later
        return write(text)

    monkeypatch.setattr(terminal, "write", interrupted)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        view.paint(TextDelta("ond.\n\nThird"))
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGINT) is before
    view.settle(ENDING)
    assert terminal.lines == ["First.", "", "Second.", "", "Third", "[GLM-4-Air · 1 s]"]
    assert "?25" not in "".join(terminal.writes), "the cursor was never hidden"


def test_a_view_paints_outside_the_main_thread(terminal: Terminal) -> None:
    thread = threading.Thread(target=answered, args=(terminal, [TextDelta("Hi")]))
    thread.start()
    thread.join()
    assert terminal.lines == ["Hi", "[GLM-4-Air · 1 s]"]


def test_without_colours_there_are_none(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    answered(terminal, deltas("# Head\n\n```python\nx = 'a'\n```\n\n`code` [l](http://a.example)\n\n1. x"))
    codes = re.findall(r"\x1b\[([\d;]*)m", "".join(terminal.writes))
    assert not [code for code in codes for part in code.split(";") if part and int(part) >= 30]


@pytest.mark.parametrize(("name", "value"), [("TERM", "dumb"), ("TTY_COMPATIBLE", "0")])
def test_a_terminal_that_cannot_go_back_gets_plain_text(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert isinstance(terminals.view(terminal), TerminalView)


def test_a_file_gets_plain_text_whatever_the_environment_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = io.StringIO()
    view = terminals.view(out)
    for event in deltas("# Head\n\n**bold**"):
        view.paint(event)
    view.settle(ENDING)
    assert out.getvalue() == "# Head\n\n**bold**\n[GLM-4-Air · 1 s]\n"


def test_a_file_that_does_not_know_a_character_gets_the_rest() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="cp1252")
    view = terminals.view(out)
    view.paint(TextDelta("안녕 hello é"))
    view.settle(ENDING)
    assert raw.getvalue().decode("cp1252").startswith("?? hello é")
