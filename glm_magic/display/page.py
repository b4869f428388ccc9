"""The notebook's view: a line about the answer, and below it the answer in segments of Markdown.

Finished segments are sent once, with their plain text beside them; only the tail is sent again, at
most ten times a second, and more seldom when it is long, so that the traffic for a character does
not grow with the answer.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from glm_magic.chat.events import Event, Finished, Notice, ReasoningDelta, TextDelta, Tick
from glm_magic.display import safe_text
from glm_magic.display.segments import SEGMENT_CHARACTERS, Segment, Segments
from glm_magic.display.view import Ending, Show

UPDATE_SECONDS = 0.1
SILENCE_SECONDS = 5.0

_BAR_STYLE = (
    "color: var(--jp-content-font-color2, #767676); font-size: var(--jp-ui-font-size1, 13px); "
    "border-left: 3px solid var(--jp-brand-color1, #2196f3); padding: 0 0 0 8px"
)
_SEPARATOR = " · "


class PageView:
    """Paints into a notebook page through `show`. `clock` counts seconds.

    `title` is what the bar says from the start; a `quiet` view has no bar, and its last segment
    carries what the bar would. A view of what is known already is put on the page `at_once`, when it
    settles, so that no output is ever updated. `name` makes the outputs' names unique in the kernel.
    """

    def __init__(
        self,
        show: Show,
        *,
        name: str,
        title: str,
        as_text: bool = False,
        quiet: bool = False,
        at_once: bool = False,
        clock: Callable[[], float],
    ) -> None:
        self._show = show
        self._title = title
        self._as_text = as_text
        self._at_once = at_once
        self._clock = clock
        self._segments = self._new_segments()
        self._names = (f"{name}-{number}" for number in itertools.count())
        self._tail_name = ""
        self._tail_is_stale = False
        self._painted_at = float("-inf")
        self._tail_length = 0
        self._last: tuple[str, Segment] | None = None
        self._shown_names: list[str] = []
        self._bar_name = "" if quiet else next(self._names)
        self._bar_says = ""
        if not quiet and not at_once:
            self._say("asking", update=False)

    def paint(self, event: Event) -> None:
        """Show text at once if the last update is a while ago, else with the next event or tick."""
        match event:
            case TextDelta(text) if self._at_once:
                self._segments.add(text)
            case _ if self._at_once:
                pass
            case TextDelta(text):
                self._segments.add(text)
                self._tail_is_stale = True
                self._say("answering")
            case ReasoningDelta():
                self._say("thinking")
            case Notice(_, text):
                self._say(text)
            case Tick(silence) if silence >= SILENCE_SECONDS:
                self._say(f"silent for {int(silence)} s")
            case Finished():
                return
            case _:
                pass
        if self._tail_is_stale and self._clock() - self._painted_at >= self._interval:
            self._paint_tail()

    def settle(self, ending: Ending) -> None:
        """Freeze what is left, and put the facts and the attached data where they are saved."""
        if self._at_once:
            self._settle_bar(ending, update=False)
        rest = [segment for segment in self._segments.finish() if segment.text.strip()]
        carried = {} if self._bar_name or ending.withdrawn else ending.attached
        for segment in rest:
            self._freeze(segment, carried if segment is rest[-1] else {})
        if self._tail_name:  # a tail was shown of which nothing is left
            self._put({"text/plain": ""}, self._tail_name, update=True)
        if ending.withdrawn:
            for name in self._shown_names:
                self._put(self._data(Segment("(withdrawn)", "(withdrawn)")), name, update=True)
        if not self._at_once:
            self._settle_bar(ending)
        if not self._bar_name and ending.attached and not (rest and carried):
            name, segment = self._last or (self._next_name(), Segment("", ""))
            self._put({**self._data(segment), **ending.attached}, name, update=self._last is not None)

    def rewrite(self, text: str, ending: Ending) -> None:
        """Put another answer in place of the one that was shown and has settled."""
        segments = self._new_segments()
        segments.add(text)
        parts = segments.finish()
        names = self._shown_names
        rest = parts[len(names) - 1 :]
        fitting = [
            *parts[: len(names) - 1],
            Segment("".join(part.text for part in rest), "".join(part.shown for part in rest)),
        ]
        for name, segment in itertools.zip_longest(names, fitting) if names else ():
            carried = ending.attached if name == names[-1] and not self._bar_name else {}
            data = self._data(segment) if segment is not None and segment.text else {"text/plain": ""}
            self._put({**data, **carried}, name, update=True)
        self._settle_bar(ending)

    def _settle_bar(self, ending: Ending, *, update: bool = True) -> None:
        if self._bar_name:
            self._put({**bar(ending.facts, ending.turn), **ending.attached}, self._bar_name, update=update)

    def _new_segments(self) -> Segments:
        if self._as_text:
            return Segments(safe_text.plain, lambda text: text.rfind("\n") + 1)
        return Segments(safe_text.markdown, safe_text.last_block_start)

    @property
    def _interval(self) -> float:
        return UPDATE_SECONDS * max(1.0, self._tail_length / SEGMENT_CHARACTERS)

    def _paint_tail(self) -> None:
        for segment in self._segments.freeze():
            self._freeze(segment)
        self._tail_is_stale = False
        self._painted_at = self._clock()
        tail = self._segments.tail
        self._tail_length = len(tail)
        if tail.strip():
            is_new = not self._tail_name
            self._tail_name = self._tail_name or self._next_name()
            self._put({"text/plain" if self._as_text else "text/markdown": tail}, self._tail_name, update=not is_new)

    def _freeze(self, segment: Segment, carried: Mapping[str, Any] = MappingProxyType({})) -> None:
        if not segment.text.strip():
            return
        is_new = not self._tail_name
        name = self._tail_name or self._next_name()
        self._tail_name = ""
        self._last = name, segment
        self._put({**self._data(segment), **carried}, name, update=not is_new)

    def _next_name(self) -> str:
        self._shown_names.append(next(self._names))
        return self._shown_names[-1]

    def _data(self, segment: Segment) -> dict[str, Any]:
        text = safe_text.plain(segment.text).strip("\n")
        return (
            {"text/plain": text} if self._as_text else {"text/markdown": segment.shown.strip("\n"), "text/plain": text}
        )

    def _put(self, data: dict[str, Any], name: str, *, update: bool) -> None:
        self._show(data, name, update=update)

    def _say(self, what: str, *, update: bool = True) -> None:
        if what == self._bar_says:
            return
        self._bar_says = what
        if self._bar_name:
            self._put(bar((self._title, f"{what} …")), self._bar_name, update=update)


def bar(facts: tuple[str, ...], turn: str = "") -> dict[str, str]:
    """Return a line of facts as ``text/html`` and ``text/plain``; `turn` is the id of the answer that it is about."""
    line = _SEPARATOR.join(" ".join(safe_text.plain(fact).split()) for fact in facts)
    known_by = f' data-glm-turn="{html.escape(turn)}"' if turn else ""
    return {"text/html": f'<div{known_by} style="{_BAR_STYLE}">{html.escape(line)}</div>', "text/plain": line}
