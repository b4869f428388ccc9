"""The text of an answer on a page: a row of outputs, of which only the last is repainted as it grows.

A finished segment is sent with its plain text, and not again unless text is joined to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from glm_magic.display import safe_text
from glm_magic.display.forms import shown_as
from glm_magic.display.pace import Pace
from glm_magic.display.page.segments import MOST_SEGMENTS, Segment, Segments
from glm_magic.display.view import Form, Show

_NOTHING = Segment("", "")


class TextOutputs:
    """One text in at most `most` outputs. `clock` returns seconds.

    Each new output takes the next of `names`. Later outputs of the cell come below them, so another text needs
    another `TextOutputs`.
    """

    def __init__(
        self,
        show: Show,
        names: Iterator[str],
        *,
        form: Form = "markdown",
        most: int = MOST_SEGMENTS,
        clock: Callable[[], float],
    ) -> None:
        self._show = show
        self._new_names = names
        self._form: Form = form
        self._pace = Pace(clock)
        self._segments = self._new_segments(most)
        self._names: list[str] = []  # of the outputs
        self._painted: list[Segment] = []  # what they show, without the tail
        self._is_stale = False

    def add(self, text: str) -> None:
        """Append text, to be painted later."""
        self._segments.add(text)
        self._is_stale = True

    def paint(self) -> None:
        """Update the page if it is due."""
        if not self._is_stale or not self._pace.is_due:
            return
        self._is_stale = False
        self._segments.freeze()
        self._paint(self._segments.frozen)
        tail = self._segments.tail
        self._pace.painted(max(len(tail), self._segments.tail_length))  # some characters are not shown
        at = len(self._painted)
        if tail.strip() or at < len(self._names):
            self._put(at, {"text/plain" if self._form == "text" else "text/markdown": tail})

    def finish(self, carried: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Show the final text; the last output also carries this data."""
        self._segments.finish()
        segments = [segment for segment in self._segments.frozen if segment.text.strip()]
        if carried and not segments:
            segments = [_NOTHING]
        self._paint(segments, carried)
        for at in range(len(segments), len(self._names)):  # the tail that was shown is gone
            self._put(at, {"text/plain": ""})

    def withdraw(self) -> None:
        """Remove the text from the page."""
        for at in range(len(self._names)):
            self._put(at, self._data(Segment("(withdrawn)", "(withdrawn)")))

    def _new_segments(self, most: int) -> Segments:
        match self._form:
            case "markdown":
                return Segments(safe_text.markdown, safe_text.last_block_start, most=most)
            case "text":
                return Segments(safe_text.plain, lambda text: text.rfind("\n") + 1, most=most)
            case form:  # these forms need the whole text
                return Segments(
                    lambda text: safe_text.markdown(shown_as(form, text, whole=False).markdown), lambda _: 0, most=1
                )

    def _paint(self, segments: list[Segment], carried: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Show the segments that have changed."""
        for at, segment in enumerate(segments):
            beside = carried if at == len(segments) - 1 else {}
            if beside or segment is not (self._painted[at] if at < len(self._painted) else None):
                self._put(at, {**self._data(segment), **beside})
        self._painted = [*segments]

    def _put(self, at: int, data: dict[str, Any]) -> None:
        is_new = at == len(self._names)
        if is_new:
            self._names.append(next(self._new_names))
        self._show(data, self._names[at], update=not is_new)

    def _data(self, segment: Segment) -> dict[str, Any]:
        if self._form in ("markdown", "text"):
            text = safe_text.plain(segment.text).strip("\n")
            shown = {} if self._form == "text" else {"text/markdown": segment.shown.strip("\n")}
            return {**shown, "text/plain": text}
        whole = shown_as(self._form, segment.text)
        page = {"text/html": whole.page} if whole.page else {"text/markdown": safe_text.markdown(whole.markdown)}
        return {**page, "text/plain": safe_text.plain(whole.plain).strip("\n")}
