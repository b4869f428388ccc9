"""What a model or a service could send to act on a terminal: none of it gets there, however it is cut."""

from __future__ import annotations

import io
from collections.abc import Iterable

import pytest
from emulator import ACTING, Terminal

from glm_magic.chat.events import (
    AskedAgain,
    Event,
    Notice,
    ReasoningDelta,
    Sources,
    TextDelta,
    Tick,
    ToolCalling,
    ToolResult,
)
from glm_magic.chat.messages import ToolCall
from glm_magic.chat.reply import Source
from glm_magic.display.terminal import view as terminals
from glm_magic.display.terminal.view import TerminalView
from glm_magic.display.view import Ending, Form

ATTACKS = {
    "clear the screen": "\x1b[2J\x1b[H",
    "clear the scrollback": "\x1b[3J",
    "move the cursor up, and write over": "\x1b[5A\x1b[2K$ rm -rf ~",
    "insert lines": "\x1b[10L",
    "scroll": "\x1b[5S\x1b[1;3r",
    "colours that hide": "\x1b[30;40mhidden\x1b[8m",
    "the alternate screen": "\x1b[?1049h",
    "hide the cursor": "\x1b[?25l",
    "take the mouse": "\x1b[?1000h\x1b[?1006h",
    "bracketed paste off": "\x1b[?2004l",
    "ask for a report": "\x1b[6n\x1b[c\x1b[>q",
    "report the title": "\x1b[21t",
    "resize the window": "\x1b[8;1;1t",
    "set the title": "\x1b]0;owned\x07",
    "set the title, ended by ST": "\x1b]2;owned\x1b\\",
    "the clipboard": "\x1b]52;c;ZXZpbA==\x07",
    "a link that lies": "\x1b]8;;http://evil.example\x1b\\http://bank.example\x1b]8;;\x1b\\",
    "colours of the palette": "\x1b]4;0;#ffffff\x07\x1b]10;#000\x07",
    "a file by iTerm": "\x1b]1337;File=inline=1:AAAA\x07",
    "a notification": "\x1b]9;evil\x07\x1b]777;notify;a;b\x07",
    "DCS": "\x1bP$qm\x1b\\",
    "DCS that defines keys": "\x1bP1;1|17/6c730d\x1b\\",
    "sixel": "\x1bPq#0;2;0;0;0~~\x1b\\",
    "APC": "\x1b_Gf=24;AAAA\x1b\\",
    "PM and SOS": "\x1b^evil\x1b\\\x1bXevil\x1b\\",
    "a full reset": "\x1bc",
    "another character set": "\x1b(0\x0e",
    "CSI in one C1 character": "\x9b2J\x9b31m",
    "OSC in one C1 character": "\x9d52;c;ZXZpbA==\x9c",
    "DCS and APC in one C1 character": "\x90q\x9c\x9fevil\x9c",
    "next line in one C1 character": "one\x85two",
    "write over by carriage return": "harmless\revil    ",
    "write over by backspace": "harm\x08\x08\x08\x08evil",
    "ring, feed, vertical tab": "\x07\x0c\x0b",
    "delete and null": "a\x7f\x00b",
    "text that reads backwards": "\u202egnp.exe\u202c",
    "isolates": "\u2066\u2067\u2068x\u2069",
    "line and paragraph separator": "a\u2028b\u2029c",
    "half a character": "\ud83d",
    "in code": "```\n\x1b[2J\r\n```\n",
    "in a fence's line": "```py\x1b[2J\x9b31m\nx\n```\n",
    "in a table": "|\x1b[2J|b|\n|-|-|\n|\x9b2J|\x1b]0;x\x07|\n",
    "as an address that is shown decoded": "<http://a.example/%1b%5d52;c;ZXZpbA==%07%9b2J%0d>",
    "as a link": "[x](http://a.example/\x1b]52;c;eA==\x07) [\x1b[2J](http://a.example/%1b%5b2J)",
    "as a picture, which rich makes a link": "![x](http://evil.example/%1b.png)",
    "as entities": "&#13;&#8238;&#x202e;&#27;[2J&#x9b;2J&#12;&#8232;&#133;",
    "as tags": "<a href='\x1b]8;;x\x07'>\x1b[2J</a>",
    "markup of rich": "[link=http://evil.example]x[/link][blink]y[/] :smile:",
    "in a formula": "$\x1b[2J$ $$\r\x9b2J$$",
}  # fmt: skip


def events(attack: str, cut: int) -> Iterable[Event]:
    """The attack in all that a model or a service can say, in pieces of `cut` characters."""
    yield Tick(0.1)
    yield Notice("retry", f"busy: {attack}")
    yield Tick(9.0)
    yield ReasoningDelta(attack)
    text = f"Before {attack} after.\n\n{attack}\n\nLast {attack}"
    for at in range(0, len(text), cut):
        yield TextDelta(text[at : at + cut])
    call = ToolCall(attack, f"tool {attack}", attack)
    yield ToolCalling(0, call)
    yield ToolCalling(0, call, runs=True)
    yield ToolResult(0, call, attack, 0.1)
    yield ToolResult(1, call, attack, 0.1, failed=True)
    yield AskedAgain(attack)
    yield Sources((Source(attack, f"https://example.org/{attack}", attack, attack),))
    yield TextDelta(attack)


def test_there_are_many() -> None:
    assert len(ATTACKS) >= 25


@pytest.mark.parametrize("form", ["markdown", "text", "code", "json"])
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_nothing_that_acts_reaches_a_terminal(terminal: Terminal, attack: str, form: Form) -> None:
    for cut in (1, 7, 1000):
        time = iter(range(10_000))
        view = terminals.view(terminal, title=f"model {attack}", form=form, clock=lambda time=time: float(next(time)))
        for event in events(attack, cut):
            view.paint(event)
        view.settle(Ending((f"GLM {attack}", attack)))
    assert terminal.acting() == []
    assert not any(sequence in "".join(terminal.writes) for sequence in ("\x1b]", "\x1b[2J", "\x1b[31m", "\x1b[30;40m"))


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_nothing_that_acts_is_written_where_there_is_no_terminal(attack: str) -> None:
    out = io.StringIO()
    view = terminals.view(out)
    assert isinstance(view, TerminalView)
    for event in events(attack, 1):
        view.paint(event)
    view.settle(Ending((f"GLM {attack}", attack)))
    assert not ACTING.findall(out.getvalue().replace("\t", ""))
