"""The view in a terminal: finished blocks are printed for good, and only the growing one is redrawn.

Without a terminal (a pipe, a file, ``%%capture``), plain text is written as it arrives.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TextIO

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
from glm_magic.display import safe_text
from glm_magic.display.forms import shown_as
from glm_magic.display.pace import Pace
from glm_magic.display.page import folds
from glm_magic.display.view import SEPARATOR, SILENCE_SECONDS, Ending, Form, View

if TYPE_CHECKING:
    from glm_magic.chat.reply import Source
    from glm_magic.display.terminal.screen import Screen

SHORTEST_THOUGHT = 0.05  # seconds; a replay arrives all at once, so its time means nothing


def view(
    out: TextIO,
    *,
    title: str = "",
    form: Form = "markdown",
    quiet: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> View:
    """Return a view for `out`: a live one if it is a terminal that can move its cursor back.

    A live view shows `title` while it waits; `clock` returns seconds.
    """
    screen = open_screen(out)
    if screen is None:
        return TerminalView(out, form=form, quiet=quiet, clock=clock)
    return LiveView(screen, title=title, form=form, quiet=quiet, clock=clock)


def open_screen(out: TextIO) -> Screen | None:
    """Return a screen on `out`, or None if that is no terminal that can move its cursor back."""
    if not out.isatty() or os.environ.get("TERM") == "dumb":
        return None
    from glm_magic.display.terminal import screen  # noqa: PLC0415 - rich is slow, and useless elsewhere

    return screen.open_screen(out)


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Defer interrupts to the end of a step: half a step would lose lines, or leave a draft behind."""
    held: list[int] = []
    try:
        before = signal.getsignal(signal.SIGINT)
        signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    except ValueError:  # not the main thread, which alone is interrupted
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
        if held:
            signal.raise_signal(signal.SIGINT)


class _Thought:
    """How long the model has been reasoning, and how much."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began: float | None = None
        self._characters = 0

    @property
    def seconds(self) -> float | None:
        """How long it has lasted; None if the model is not reasoning."""
        return None if self._began is None else self._clock() - self._began

    def add(self, text: str) -> None:
        if self._began is None:
            self._began = self._clock()
        self._characters += len(text)

    def end(self) -> str:
        """Return a note about it and start over; ``""`` if there was none."""
        if (seconds := self.seconds) is None:
            return ""
        lasted = f" for {seconds:.1f} s" if seconds >= SHORTEST_THOUGHT else ""
        note = f"[thought{lasted}, {self._characters} characters: _glm.reasoning]"
        self._began, self._characters = None, 0
        return note


class TerminalView(View):
    """Writes plain text to `out`, without control characters; a `quiet` view writes the answer alone.

    The forms ``code`` and ``json`` are written when the text has ended.
    """

    def __init__(
        self,
        out: TextIO,
        *,
        form: Form = "markdown",
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = out
        self._form: Form = form
        self._held: list[str] = []
        self._quiet = quiet
        self._in_line = False
        self._noticed = ""
        self._sources: tuple[Source, ...] = ()
        self._thought = _Thought(clock)

    def paint(self, event: Event) -> None:
        """Write text immediately; notices on lines of their own, each kind once."""
        match event:
            case ReasoningDelta(text):
                self._thought.add(text)
            case TextDelta(text) if self._form in ("code", "json"):
                self._end_thought()
                self._held.append(text)
            case TextDelta(text):
                self._end_thought()
                self._write_text(text)
            case ToolResult(_, call, text, seconds, failed):
                self._note(folds.line_of_call(folds.CallState(call, text, seconds, failed)))
            case AskedAgain(reason):
                self._note(f"[{folds.asked_again(reason)}]")
            case Sources(sources):
                self._sources = sources
            case Notice(kind, text) if kind != self._noticed and not self._quiet:
                self._noticed = kind
                self._write(f"[{safe_text.plain(text)}]\n")
            case _:
                pass

    def settle(self, ending: Ending) -> None:
        """End the open line, and write the facts."""
        self._end_thought()
        if ending.withdrawn:
            self._held.clear()
        self._end_text()
        if self._sources:
            self._note(folds.sources(self._sources)["text/plain"])
        if ending.withdrawn:
            self._write("[The answer above was withdrawn.]\n")
        if not self._quiet:
            self._write(f"[{_line_of(ending)}]\n")

    def _end_thought(self) -> None:
        if note := self._thought.end():
            self._note(note)

    def _note(self, text: str) -> None:
        self._end_text()
        if not self._quiet:
            self._write(f"{safe_text.plain(text)}\n")

    def _write_text(self, text: str) -> None:
        safe = safe_text.plain(text)
        self._write(safe)
        self._in_line = not safe.endswith("\n") if safe else self._in_line

    def _end_text(self) -> None:
        held = "".join(self._held)
        self._held.clear()
        if held:
            self._write_text(shown_as(self._form, held).plain)
        self._write("\n" if self._in_line else "")
        self._in_line = False

    def _write(self, text: str) -> None:
        self._out.write(encodable(text, self._out.encoding))
        self._out.flush()


class LiveView(View):
    """Shows an answer on `screen`: Markdown block by block, text line by line, or in another `form`.

    Finished lines are printed once and never touched again. A `quiet` view shows the answer alone.
    """

    def __init__(
        self,
        screen: Screen,
        *,
        title: str = "",
        form: Form = "markdown",
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._screen = screen
        self._title = title
        self._form: Form = form
        self._sources: tuple[Source, ...] = ()
        self._quiet = quiet
        self._open = ""  # text whose rendering may still change
        self._came: list[str] = []  # not joined to it yet
        self._line_ended = False
        self._printed_text = False
        self._after_block = False
        self._done: list[str] = []  # lines to be printed for good
        self._notice: Notice | None = None
        self._thought = _Thought(clock)
        self._waits_for = "asking"
        self._silence = 0.0
        self._pace = Pace(clock)

    @interrupts_held()
    def paint(self, event: Event) -> None:
        """Take an event; update the screen if it is due."""
        match event:
            case Tick(silence):
                self._silence = silence
            case Notice(kind, text):
                if self._notice is not None and self._notice.kind != kind:
                    self._end_notice()
                self._notice = Notice(kind, text)
            case _:
                self._silence = 0.0
                self._take(event)
        if self._pace.is_due:
            self._show()

    @interrupts_held()
    def settle(self, ending: Ending) -> None:
        """Print the rest, and the facts."""
        self._end_notice()
        self._end_thought()
        if ending.withdrawn:
            self._open = ""
            self._came.clear()
            what = "answer above" if self._printed_text else "answer"
            self._done += self._screen.note(f"[The {what} was withdrawn.]")
        self._end_text()
        if self._sources:
            self._note(folds.sources(self._sources)["text/plain"])
        if not self._quiet:
            self._done += self._screen.note(f"[{_line_of(ending)}]")
        self._waits_for = ""
        self._silence = 0.0
        self._show()

    def _take(self, event: Event) -> None:
        match event:
            case TextDelta(text):
                self._end_notice()
                self._end_thought()
                self._came.append(text)
                self._line_ended = self._line_ended or "\n" in text
                self._waits_for = ""
            case ReasoningDelta(text):
                self._end_notice()
                self._end_text()
                self._thought.add(text)
                self._waits_for = ""
            case ToolCalling(_, call, runs, asks):
                self._end_notice()
                self._end_thought()
                self._end_text()
                self._waits_for = "" if runs or asks else f"calling {safe_text.one_line(call.name)}"
                if runs or asks:  # it may print or ask: leave no draft to erase
                    self._show()
            case ToolResult(_, call, text, seconds, failed):
                self._note(folds.line_of_call(folds.CallState(call, text, seconds, failed)))
                self._waits_for = "asking"
            case AskedAgain(reason):
                self._end_text()
                self._note(f"[{folds.asked_again(reason)}]")
                self._waits_for = "asking again"
            case Sources(sources):
                self._sources = sources
            case _:
                pass

    # --- what is done ------------------------------------------------------------------------

    def _end_notice(self) -> None:
        if self._notice is not None:
            self._note(f"[{self._notice.text}]")
        self._notice = None

    def _end_thought(self) -> None:
        if note := self._thought.end():
            self._note(note)

    def _note(self, text: str) -> None:
        if not self._quiet:
            self._done += self._screen.note(text)
            self._after_block = False

    def _gather(self) -> None:
        """Join what was added: joining each delta would copy the text every time."""
        if self._came:
            self._open += "".join(self._came)
            self._came.clear()

    def _end_text(self) -> None:
        self._gather()
        self._freeze(len(self._open))
        self._after_block = False

    def _freeze_blocks(self) -> None:
        if self._line_ended:
            self._line_ended = False
            if self._form != "json":  # a value is shown when it is complete
                is_text = self._form == "text"
                self._freeze(self._open.rfind("\n") + 1 if is_text else safe_text.last_block_start(self._open))

    def _freeze(self, end: int) -> None:
        text, self._open = self._open[:end], self._open[end:]
        lines = self._lines(text, whole=True)
        if lines:
            self._done += lines
            self._printed_text = self._after_block = True

    # --- what is seen ------------------------------------------------------------------------

    def _lines(self, text: str, *, whole: bool) -> list[str]:
        if self._form == "text":
            return self._screen.text(text, whole=whole) if text else []
        shown = shown_as(self._form, text, whole=whole).markdown if self._form != "markdown" else text
        lines = self._screen.markdown(shown) if shown.strip() else []
        return ["", *lines] if lines and self._after_block else lines

    def _status(self) -> str:
        """Return the status line to show while no text arrives."""
        if (seconds := self._thought.seconds) is not None:
            doing = f"thinking … {seconds:.0f} s"
        elif self._notice is not None:
            return self._notice.text
        elif self._waits_for:
            doing = f"{self._title}{SEPARATOR}{self._waits_for} …" if self._title else f"{self._waits_for} …"
        else:
            doing = ""
        silent = f"silent for {int(self._silence)} s" if self._silence >= SILENCE_SECONDS else ""
        return ", ".join(filter(None, (doing, silent)))

    def _show(self) -> None:
        self._gather()
        self._freeze_blocks()
        draft = self._lines(self._open, whole=False)
        status = self._status()
        if status and not self._quiet:
            draft += self._screen.note(status, whole=False)
        self._screen.show(self._done, draft)
        self._done = []
        self._pace.painted(len(self._open))


def _line_of(ending: Ending) -> str:
    return SEPARATOR.join(safe_text.plain(fact) for fact in ending.facts)


def encodable(text: str, encoding: str | None) -> str:
    """Replace characters that a file or an old terminal cannot encode."""
    if not encoding or encoding.lower().replace("-", "") == "utf8":
        return text
    return text.encode(encoding, "replace").decode(encoding)
