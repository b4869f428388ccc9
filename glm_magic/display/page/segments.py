"""A growing text as frozen segments and a tail, so that little is sent again while it grows.

Cuts fall only between top-level blocks. Each segment is a little longer than the one before, so that the outputs last
for 400,000 characters. Only text after that is joined to the last segment: a front end draws outputs one by one, so
text that moves between two of them appears twice, or not at all, for some frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SEGMENT_CHARACTERS = 3000  # of the first segment
LONGEST_CHARACTERS = 23_000  # of the last one, before others are joined to it
MOST_SEGMENTS = 36  # JupyterLab shows 50 outputs of a cell; bars and tools need some

_JOINED_AT = 8  # join once there is an eighth of the last segment, which is then sent again


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the text, raw and neutralised."""

    text: str
    shown: str

    def __add__(self, other: Segment) -> Segment:
        return Segment(self.text + other.text, self.shown + other.shown)


class Segments:
    """Text goes in through `add`; after `freeze`, `frozen` has what is finished and `tail` the rest.

    Segments in `frozen` never change, except that text may be joined to the last one. There are at most `most` of
    them (at least 1), the tail included.

    `neutralise` makes text safe to show; `last_block_start` returns the offset of its last block.
    """

    def __init__(
        self,
        neutralise: Callable[[str], str],
        last_block_start: Callable[[str], int],
        *,
        most: int = MOST_SEGMENTS,
    ) -> None:
        self.frozen: list[Segment] = []
        self._neutralise = neutralise
        self._last_block_start = last_block_start
        self._most = most
        self._closed: list[Segment] = []  # complete blocks, too few for a segment yet
        self._closed_length = 0
        self._open = ""  # the block that is still growing
        self._came: list[str] = []  # not joined to it yet: that would copy it for each delta
        self._line_ended = False

    def add(self, text: str) -> None:
        """Append text."""
        self._came.append(text)
        self._line_ended = self._line_ended or "\n" in text

    def freeze(self) -> None:
        """Move finished blocks from the tail to the segments."""
        if not self._line_ended:
            return
        self._line_ended = False
        known = len(self._open)  # had no cut so far
        text, at = self._gathered(), 0
        window = known + 2 * SEGMENT_CHARACTERS  # cut a burst as if it had arrived in small deltas
        while at < len(text):
            length = self._last_block_start(text[at : at + window])
            self._close(text[at : at + length])
            at += length
            self._freeze_closed()
            if window >= len(text) - at:
                break
            window = 2 * SEGMENT_CHARACTERS if length else 4 * window
        self._open = text[at:]

    def finish(self) -> None:
        """Make the rest the last segment."""
        self.freeze()
        self._close(self._gathered())
        self._open = ""
        if self._closed:
            self.frozen.append(self._take_closed())

    @property
    def tail(self) -> str:
        """The text that is not frozen, neutralised."""
        still_open = self._gathered()
        return "".join(block.shown for block in self._closed) + (self._neutralise(still_open) if still_open else "")

    @property
    def tail_length(self) -> int:
        """The characters of the text that is not frozen."""
        return self._closed_length + len(self._gathered())

    def _gathered(self) -> str:
        """Return the open block, with everything that was added."""
        if self._came:
            self._open += "".join(self._came)
            self._came.clear()
        return self._open

    def _close(self, block: str) -> None:
        if block:
            self._closed.append(Segment(block, _ended(self._neutralise(block))))
            self._closed_length += len(block.strip())  # blank lines alone make no output

    def _freeze_closed(self) -> None:
        used = len(self.frozen)
        growth = (LONGEST_CHARACTERS - SEGMENT_CHARACTERS) * used / self._most
        if self._closed_length < SEGMENT_CHARACTERS + growth:
            return
        if used < self._most - 1:
            self.frozen.append(self._take_closed())
        elif used and self._closed_length >= len(self.frozen[-1].text) / _JOINED_AT:
            self.frozen[-1] += self._take_closed()

    def _take_closed(self) -> Segment:
        segment = Segment("".join(b.text for b in self._closed), "".join(b.shown for b in self._closed))
        self._closed, self._closed_length = [], 0
        return segment


def _ended(shown: str) -> str:
    """Separate a block from the next: neutralising may have removed the blank line."""
    return shown if shown.endswith("\n\n") else shown.rstrip("\n") + "\n\n"
