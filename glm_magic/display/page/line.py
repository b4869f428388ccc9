"""The status line of an answer: static at first, live while it runs, static again at the end with the saved data."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from glm_magic.display import safe_text
from glm_magic.display.view import SEPARATOR, Ending, Show
from glm_magic.protocol.tokens import tokens_of_characters, wide_characters

if TYPE_CHECKING:
    from glm_magic.display.page.bar import Bar, Bars

LIVE_AFTER_SECONDS = 0.15  # a faster answer needs no Stop button, and the first words do not wait for a widget
UPDATE_SECONDS = 0.25
UNFINISHED = "not finished yet"  # what is below the live bar, and in a file that is saved meanwhile: true for ever

_STYLE = (
    "color: var(--jp-content-font-color2, #767676); font-size: var(--jp-ui-font-size1, 13px); "
    "border-left: 3px solid var(--jp-brand-color1, #2196f3); padding: 0 0 0 8px"
)


def line(facts: tuple[str, ...], turn: str = "", bar: str = "") -> dict[str, str]:
    """Return a line of facts as ``text/html`` and ``text/plain``.

    `turn` is the id of its answer, and `bar` the key of the bar that is drawn over it.
    """
    text = SEPARATOR.join(map(safe_text.one_line, facts))
    known_by = f' data-glm-turn="{html.escape(turn)}"' if turn else f' data-glm-bar="{html.escape(bar)}"' if bar else ""
    shown = f'<div{known_by} class="{safe_text.NO_MATHS}" style="{_STYLE}">{html.escape(text)}</div>'
    return {"text/html": shown, "text/plain": text}


class Line:
    """One output with the status of an answer. `clock` returns seconds.

    `bars` returns the pool of live bars, or None if the front end has no widgets. Stop calls `on_stop`, or interrupts
    the kernel if that is None. `marks` are shown beside the status.
    """

    def __init__(
        self,
        show: Show,
        name: str,
        title: str,
        *,
        marks: tuple[str, ...] = (),
        bars: Callable[[], Bars | None] = lambda: None,
        on_stop: Callable[[], None] | None = None,
        clock: Callable[[], float],
    ) -> None:
        self._show = show
        self._name = name
        self._title = safe_text.one_line(title)
        self._marks = marks
        self._bars = bars
        self._on_stop = on_stop
        self._clock = clock
        self._begun = clock()
        self._status = ""
        self._shown = ""  # of it
        self._first_token = 0.0
        self._wide = self._narrow = 0
        self._thoughts: list[str] = []
        self._may_be_live = True
        self._bar: Bar | None = None
        self._updated = float("-inf")

    def say(self, what: str, *, at_once: bool = True) -> None:
        """Show a new status, `at_once` or with the next update that is due."""
        self._status = what
        if at_once and self._status != self._shown:
            self._update()

    def count(self, text: str) -> None:
        """Count text of the answer towards its tokens."""
        if not self._first_token:
            self._first_token = self._clock() - self._begun
        wide = wide_characters(text)
        self._wide += wide
        self._narrow += len(text) - wide

    def think(self, text: str) -> None:
        """Take reasoning; only the live bar shows it."""
        self._thoughts.append(safe_text.plain(text))

    def forget_thoughts(self) -> None:
        """Clear the reasoning from the bar: it has an output of its own now."""
        self._thoughts.clear()
        if self._bar is not None:
            self._bar.forget_thoughts()

    def go_on(self, *, at_once: bool = False) -> None:
        """Show the live bar when it is due, or `at_once`, and keep it up to date."""
        now = self._clock()
        is_time = at_once or now - self._begun >= LIVE_AFTER_SECONDS
        if self._bar is None and self._may_be_live and is_time:
            self._may_be_live = False
            bars = self._bars()
            if bars is not None:
                self._bar = bars.take()
                key = self._bar.begin(self._title, self._marks, now - self._begun, self._on_stop)
                self._update()
                static = line((self._title, UNFINISHED, *self._marks), bar=key)
                self._show(static, self._name, update=True)
        is_stale = self._bar is not None or self._status != self._shown
        if is_stale and now - self._updated >= UPDATE_SECONDS:
            self._update()

    def settle(self, ending: Ending, *, is_new: bool = False) -> None:
        """Show the final facts, and return the live bar to the pool."""
        facts = line(ending.facts, ending.turn)
        self._replace({**facts, **ending.attached}, facts["text/plain"], is_new=is_new)

    def remove(self) -> None:
        """Remove it from the page, and return the live bar to the pool."""
        self._replace({"text/plain": ""}, self._title)

    def _replace(self, data: dict[str, Any], status: str, *, is_new: bool = False) -> None:
        self._show(data, self._name, update=not is_new)
        if self._bar is not None:
            self._bar.end(status)
            self._bar = None
        self._may_be_live = False

    def _update(self) -> None:
        is_new = not self._shown
        self._updated, self._shown = self._clock(), self._status
        if self._bar is None:
            self._show(line((self._title, f"{self._status} …", *self._marks)), self._name, update=not is_new)
            return
        tokens = tokens_of_characters(self._wide, self._narrow)
        status = safe_text.one_line(self._status)
        self._bar.update(status=status, tokens=tokens, first_token_seconds=self._first_token)
        if self._thoughts:
            self._bar.think("".join(self._thoughts))
            self._thoughts.clear()
