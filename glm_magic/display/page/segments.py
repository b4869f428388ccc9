"""A growing text as segments that are finished and a tail, so that little is sent again while it grows.

A cut falls only between two top-level blocks. Each segment is a little longer than the one before, so that the
outputs last for 400,000 characters; only what comes after that is joined to the last segment, for a page draws one
output after the other, and what moves between two of them stands there twice, or not at all, for some frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SEGMENT_CHARACTERS, LONGEST_CHARACTERS = 3000, 23_000  # of the first segment, and of the last before any is joined
MOST_SEGMENTS = 36  # JupyterLab shows 50 outputs of a cell; some are for bars and tools

_JOINED_AT = 8  # what is joined has an eighth of what it is joined to, which is sent again with it


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the text: as it came, and as it may be shown."""

    text: str
    shown: str

    def __add__(self, other: Segment) -> Segment:
        return Segment(self.text + other.text, self.shown + other.shown)


class Segments:
    """Text goes in by `add`; after `freeze`, `frozen` is what is finished, and `tail` what is not.

    A segment of `frozen` stays as it is, but for the last one, which may be joined by what follows. Together with
    the tail there are at most `most` of them, which is at least 1.

    `neutralise` makes a text fit to be shown; `last_block_start` finds the offset of its last block.
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
        self._closed: list[Segment] = []  # whole blocks, not enough of them yet for a segment
        self._closed_length = 0
        self._open = ""  # the block that is still growing,
        self._came: list[str] = []  # and what came since: to append each piece would copy the block each time
        self._line_ended = False

    def add(self, text: str) -> None:
        """Append what came."""
        self._came.append(text)
        self._line_ended = self._line_ended or "\n" in text

    def freeze(self) -> None:
        """Move what is finished from the tail to the segments."""
        if not self._line_ended:
            return
        self._line_ended = False
        known = len(self._open)  # no cut falls in it
        text, at = self._gathered(), 0
        window = known + 2 * SEGMENT_CHARACTERS  # what came in one burst is cut as if it had come bit by bit
        while at < len(text):
            length = self._last_block_start(text[at : at + window])
            self._close(text[at : at + length])
            at += length
            self._freeze_closed()
            if window >= len(text) - at:
                break
            window = 2 * (SEGMENT_CHARACTERS if length else window)
        self._open = text[at:]

    def finish(self) -> None:
        """Make what is left the last segment."""
        self.freeze()
        self._close(self._gathered())
        self._open = ""
        if self._closed:
            self.frozen.append(self._take_closed())

    @property
    def tail(self) -> str:
        """What is not frozen, as it may be shown."""
        still_open = self._gathered()
        return "".join(block.shown for block in self._closed) + (self._neutralise(still_open) if still_open else "")

    def _gathered(self) -> str:
        """Return the block that is still growing, with all that came."""
        if self._came:
            self._open += "".join(self._came)
            self._came.clear()
        return self._open

    def _close(self, block: str) -> None:
        if block:
            self._closed.append(Segment(block, _ended(self._neutralise(block))))
            self._closed_length += len(block.strip())  # an output of blank lines would be none

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
    """A block that was neutralised may have lost the blank line that parts it from the next."""
    return shown if shown.endswith("\n\n") else shown.rstrip("\n") + "\n\n"
