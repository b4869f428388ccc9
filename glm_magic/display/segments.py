"""A growing text as frozen segments and a tail, so that what is finished is never sent again.

A cut falls only between two top-level blocks. A segment grows with the text, so that a long answer
does not have more outputs than a front end shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SEGMENT_CHARACTERS = 3000
SEGMENTS_IN_AN_ANSWER = 16
MOST_SEGMENTS = 36  # JupyterLab shows 50 outputs of a cell; some are for bars and tools


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the text: as it came, and as it may be shown."""

    text: str
    shown: str


class Segments:
    """Text goes in by `add`; `freeze` gives what is finished since the last call, `tail` what is not.

    `neutralise` makes a text fit to be shown; `last_block_start` finds the offset of its last block.
    """

    def __init__(self, neutralise: Callable[[str], str], last_block_start: Callable[[str], int]) -> None:
        self._neutralise = neutralise
        self._last_block_start = last_block_start
        self._closed: list[Segment] = []  # whole blocks, not enough of them yet for a segment
        self._closed_length = 0
        self._open = ""  # the block that is still growing
        self._length = 0
        self._frozen = 0
        self._line_ended = False

    def add(self, text: str) -> None:
        """Append what came."""
        self._open += text
        self._length += len(text)
        self._line_ended = self._line_ended or "\n" in text

    def freeze(self) -> list[Segment]:
        """Return the segments that are finished, oldest first; each is given once."""
        if not self._line_ended:
            return []
        self._line_ended = False
        frozen: list[Segment] = []
        window = 2 * SEGMENT_CHARACTERS  # what came in one burst is cut as if it had come bit by bit
        while self._open:
            end = self._last_block_start(self._open[:window])
            self._close(end)
            is_full = self._closed_length >= max(SEGMENT_CHARACTERS, self._length / SEGMENTS_IN_AN_ANSWER)
            if is_full and self._frozen < MOST_SEGMENTS - 1:
                frozen += self._freeze_closed()
            if window >= len(self._open):
                break
            window = 2 * (SEGMENT_CHARACTERS if end else window)
        return frozen

    def finish(self) -> list[Segment]:
        """Return all that is left, as the last segments."""
        frozen = self.freeze()
        self._close(len(self._open))
        return frozen + self._freeze_closed()

    @property
    def tail(self) -> str:
        """What is not frozen, as it may be shown."""
        return "".join(block.shown for block in self._closed) + (self._neutralise(self._open) if self._open else "")

    def _close(self, end: int) -> None:
        if end > 0:
            block, self._open = self._open[:end], self._open[end:]
            self._closed.append(Segment(block, _ended(self._neutralise(block))))
            self._closed_length += len(block)

    def _freeze_closed(self) -> list[Segment]:
        if not self._closed:
            return []
        segment = Segment("".join(b.text for b in self._closed), "".join(b.shown for b in self._closed))
        self._closed, self._closed_length = [], 0
        self._frozen += 1
        return [segment]


def _ended(shown: str) -> str:
    """A block that was neutralised may have lost the blank line that parts it from the next."""
    return shown if shown.endswith("\n\n") else shown.rstrip("\n") + "\n\n"
