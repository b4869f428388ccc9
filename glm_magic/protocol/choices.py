"""Picks the one choice of a response that is the answer.

That is the choice of index 0, or the first index seen (reported: servers whose only choice has index 1). Also
reported: servers that count tokens as the index, so a chunk with another index may be the next token or another
choice. Such chunks are held back until that is clear:

- an index that repeats, several choices in one chunk, and what follows a finish reason are choices;
- indexes that grow with every chunk to the end, or for long enough, count tokens.
"""

from __future__ import annotations

from typing import Any

Choice = dict[str, Any]

_MOST_CHOICES = 8  # more than any service sends unasked
_MOST_DIGITS = 9  # of an index


class Choices:
    """The choices of one response. `index` is that of the answer, None until one is seen; `held` is undecided."""

    def __init__(self) -> None:
        self.index: int | None = None
        self.held: list[tuple[int, Choice]] = []
        self._others_differ = False  # choices of other indexes are other answers
        self._is_counting = False  # they are the next tokens

    def pick(self, choices: list[Any]) -> list[Choice]:
        """Return the choices, of this chunk and of those held back, that are now known to be part of the answer."""
        found: dict[int, Choice] = {}
        for choice in choices:
            if isinstance(choice, dict):
                index = index_of(choice.get("index"))
                found.setdefault(self.index or 0 if index is None else index, choice)
        if len(found) == 1:
            return self._next(*found.popitem())
        if self.index is None and found:
            self.index = 0 if 0 in found else self.held[0][0] if self.held else next(iter(found))
        self.held += found.items()
        return self._of_the_answer()

    def end(self) -> None:
        """Note that the answer has a finish reason: any other choice is another answer."""
        self._others_differ = not self._is_counting

    def rest(self) -> list[Choice]:
        """Return what is still undecided at the end of the response: all of it is part of the answer."""
        rest, self.held = [choice for _, choice in self.held], []
        return rest

    def _next(self, index: int, choice: Choice) -> list[Choice]:
        """Take in a chunk of one choice."""
        if self._is_counting:
            return [choice]
        if self._others_differ and self.index is not None:
            return [choice] if index == self.index else []
        is_first = self.index is None and not self.held
        if is_first and index == 0:
            self.index = 0
        last = self.held[-1][0] if self.held else self.index
        if index == self.index and not self.held:
            return [choice]
        self.held.append((index, choice))
        if is_first or (last is not None and index > last):
            self._is_counting = len(self.held) == _MOST_CHOICES
            return self.rest() if self._is_counting else []
        if self.index is None:  # the first index repeats, or one comes that is less
            self.index = 0 if index == 0 else self.held[0][0]
            if all(other == self.index for other, _ in self.held):
                return self.rest()
        return self._of_the_answer()

    def _of_the_answer(self) -> list[Choice]:
        self._others_differ = True
        chosen = [choice for index, choice in self.held if index == self.index]
        self.held = []
        return chosen


def index_of(value: object) -> int | None:
    """Return an index; reported: also as a float or as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < _MOST_DIGITS:
        return int(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 10**_MOST_DIGITS:
        return int(value) if value == int(value) else None
    return None
