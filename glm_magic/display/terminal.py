"""The terminal's view: plain text as it comes, and a line about it at the end."""

from __future__ import annotations

from typing import TextIO

from glm_magic.chat.events import Event, Notice, TextDelta
from glm_magic.display import safe_text
from glm_magic.display.view import Ending


class TerminalView:
    """Writes to `out`; a `quiet` view writes the answer alone."""

    def __init__(self, out: TextIO, *, quiet: bool = False) -> None:
        self._out = out
        self._quiet = quiet
        self._in_line = False
        self._said = ""

    def paint(self, event: Event) -> None:
        """Write the text of the answer at once; notices in lines of their own, each kind once."""
        match event:
            case TextDelta(text):
                safe = safe_text.plain(text)
                self._write(safe)
                self._in_line = not safe.endswith("\n") if safe else self._in_line
            case Notice(kind, text) if kind != self._said and not self._quiet:
                self._said = kind
                self._write(f"[{safe_text.plain(text)}]\n")
            case _:
                pass

    def settle(self, ending: Ending) -> None:
        """End the line that is open, and write the facts."""
        self._write("\n" if self._in_line else "")
        if ending.withdrawn:
            self._write("[The answer above was withdrawn.]\n")
        if not self._quiet:
            self._write(f"[{' · '.join(safe_text.plain(fact) for fact in ending.facts)}]\n")

    def rewrite(self, text: str, ending: Ending) -> None:
        """Change nothing: what a terminal shows stays."""

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
