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

from glm_magic.chat.events import Event, Notice, ReasoningDelta, TextDelta, Tick
from glm_magic.display import safe_text
from glm_magic.display.line import Line
from glm_magic.display.segments import SEGMENT_CHARACTERS, Segment, Segments
from glm_magic.display.view import Ending, Show

UPDATE_SECONDS = 0.1
SILENCE_SECONDS = 5.0

_FOLD_STYLE = (
    "color: var(--jp-content-font-color2, #767676); font-size: var(--jp-ui-font-size1, 13px); padding: 0 0 0 11px"
)
_THOUGHTS_STYLE = "white-space: pre-wrap; overflow-wrap: anywhere"


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
        **live: Any,
    ) -> None:
        """`live` is what the `Line` needs to be live."""
        self._show = show
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
        self._thoughts: list[str] = []
        self._thoughts_name = ""
        self._thoughts_are_stale = False
        self._line = None if quiet else Line(show, next(self._names), title, clock=clock, **live)
        if not at_once:
            self._say("asking")

    def paint(self, event: Event) -> None:
        """Show text at once if the last update is a while ago, else with the next event or tick."""
        match event:
            case TextDelta(text):
                self._segments.add(text)
                self._tail_is_stale = not self._at_once
            case ReasoningDelta(text):
                self._thoughts.append(text)
                self._thoughts_are_stale = True
            case _:
                pass
        if self._at_once:
            return
        self._tell(event)
        if self._tail_is_stale and self._clock() - self._painted_at >= self._interval:
            self._paint_tail()
        if self._line is not None:
            self._line.go_on()

    def _tell(self, event: Event) -> None:
        """Let the line say what happens."""
        match event:
            case TextDelta(text):
                self._show_thoughts()
                self._say("answering")
                if self._line is not None:
                    self._line.count(text)
            case ReasoningDelta(text):
                self._say("thinking")
                if self._line is not None:
                    self._line.think(text)
            case Notice(_, text):
                self._say(text)
            case Tick(silence) if silence >= SILENCE_SECONDS:
                self._say(f"silent for {int(silence)} s")
            case _:
                pass

    def settle(self, ending: Ending) -> None:
        """Freeze what is left, and put the facts and the attached data where they are saved."""
        if self._at_once and self._line is not None:
            self._line.settle(ending, is_new=True)
        if not ending.withdrawn:
            self._show_thoughts()
        rest = [segment for segment in self._segments.finish() if segment.text.strip()]
        carried = {} if self._line or ending.withdrawn else ending.attached
        for segment in rest:
            self._freeze(segment, carried if segment is rest[-1] else {})
        if self._tail_name:  # a tail was shown of which nothing is left
            self._put({"text/plain": ""}, self._tail_name, update=True)
        if ending.withdrawn:
            for name in self._shown_names:
                self._put(self._data(Segment("(withdrawn)", "(withdrawn)")), name, update=True)
            if self._thoughts_name:
                self._put({"text/plain": ""}, self._thoughts_name, update=True)
        if self._line is None:
            if ending.attached and not (rest and carried):
                name, segment = self._last or (self._next_name(), Segment("", ""))
                self._put({**self._data(segment), **ending.attached}, name, update=self._last is not None)
        elif not self._at_once:
            self._line.settle(ending)

    def _show_thoughts(self) -> None:
        """Put what the model has thought above the answer, folded, when it begins to answer."""
        if not self._thoughts_are_stale:
            return
        self._thoughts_are_stale = False
        if self._line is not None:
            self._line.forget_thoughts()
        thoughts = safe_text.plain("".join(self._thoughts)).strip("\n")
        is_new = not self._thoughts_name
        self._thoughts_name = self._thoughts_name or next(self._names)
        summary = f"Thinking · {len(thoughts)} characters"
        folded = (
            f'<details style="{_FOLD_STYLE}"><summary>{summary}</summary>'
            f'<div class="{safe_text.NO_MATHS}" style="{_THOUGHTS_STYLE}">{html.escape(thoughts)}</div></details>'
        )
        self._put({"text/html": folded, "text/plain": f"[{summary}]"}, self._thoughts_name, update=not is_new)

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
            carried = ending.attached if name == names[-1] and self._line is None else {}
            data = self._data(segment) if segment is not None and segment.text else {"text/plain": ""}
            self._put({**data, **carried}, name, update=True)
        if self._thoughts_name:
            self._put({"text/plain": ""}, self._thoughts_name, update=True)
        if self._line is not None:
            self._line.settle(ending)

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

    def _say(self, what: str) -> None:
        if self._line is not None:
            self._line.say(what)
