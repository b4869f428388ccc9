"""Finds closing marks ahead in a text; each part of the text is searched once, however many marks open."""

from __future__ import annotations

import re
from bisect import bisect_left

NOWHERE = 1 << 60  # past the end of any text

MATHS = r"\$\$?|\\\\[(\[]|\\begin\{[a-zA-Z]*\*?\}"  # opens maths in a notebook
_CLOSES = {
    "$": re.compile(r"(?<!\\)\$"),
    "$$": re.compile(r"(?<!\\)\$\$"),
    "\\\\(": re.compile(r"\\\\\)"),
    "\\\\[": re.compile(r"\\\\\]"),
    "\\(": re.compile(r"\\\)"),  # as a terminal shows it
    "\\[": re.compile(r"\\\]"),
}
_DISPLAY = re.compile(r"\$\$|\\\\\[|\\begin\{(?:[a-z]*\*?\})?")
_BACKTICKS = re.compile("`+")
_END = re.compile(r"\\end\{[a-zA-Z]*\*?\}")


class Lookahead:
    """Finds what comes next in `text`, for a reader that only moves forward."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._found: dict[re.Pattern[str], tuple[int, int, int]] = {}  # searched from, and found from and to
        self._starts: dict[re.Pattern[str], dict[str, list[int]]] = {}  # of all matches, by what was matched

    def next(self, pattern: re.Pattern[str], at: int) -> tuple[int, int]:
        """Return start and end of the next match at or after `at`; both are `NOWHERE` if there is none."""
        since, start, end = self._found.get(pattern, (NOWHERE, 0, 0))
        if not since <= at <= start:
            found = pattern.search(self._text, at)
            start, end = found.span() if found else (NOWHERE, NOWHERE)
            self._found[pattern] = (at, start, end)
        return start, end

    def code_end(self, marks: str, at: int) -> tuple[int, int]:
        """Return start and end of the next run of exactly as many backticks."""
        return self._next_like(marks, _BACKTICKS, at)

    def maths_end(self, opening: str, at: int) -> tuple[int, int]:
        """Return start and end of the mark that closes `opening`."""
        if closing := _CLOSES.get(opening):
            return self.next(closing, at)
        return self._next_like("\\end" + opening[len("\\begin") :], _END, at)

    def _next_like(self, mark: str, pattern: re.Pattern[str], at: int) -> tuple[int, int]:
        """Return start and end of the next match of `pattern` that is exactly `mark`."""
        if pattern not in self._starts:
            by_mark = self._starts[pattern] = dict[str, list[int]]()
            for found in pattern.finditer(self._text):
                by_mark.setdefault(found[0], []).append(found.start())
        starts = self._starts[pattern].get(mark, [])
        number = bisect_left(starts, at)
        return (starts[number], starts[number] + len(mark)) if number < len(starts) else (NOWHERE, NOWHERE)


def open_display(text: str) -> int:
    """Return the start of the first display maths that is never closed, or `NOWHERE`."""
    ahead, at = Lookahead(text), 0
    while opening := _DISPLAY.search(text, at):
        is_escaped = opening[0] == "$$" and text[opening.start() - 1 : opening.start()] == "\\"
        _, at = ahead.maths_end(opening[0], opening.end())
        if is_escaped or at == NOWHERE:
            return opening.start()
    return NOWHERE


def has_display(text: str) -> bool:
    """Whether `text` has something that may begin display maths."""
    return _DISPLAY.search(text) is not None
