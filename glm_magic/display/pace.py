"""How often what grows is painted again, so that what is sent for a character does not grow with the whole."""

from __future__ import annotations

from collections.abc import Callable

UPDATE_SECONDS = 0.1
UPDATE_CHARACTERS = 3000  # what is longer than this is painted less often


class Pace:
    """When something may be painted again: ten times a second, and less often the longer it is."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due = float("-inf")

    @property
    def is_due(self) -> bool:
        """Whether enough time has passed since it was painted."""
        return self._clock() >= self._due

    def painted(self, length: int) -> None:
        """Note that it was painted, `length` characters long."""
        self._due = self._clock() + UPDATE_SECONDS * max(1.0, length / UPDATE_CHARACTERS)


class Allowance:
    """How much may be painted at once: a few times what there is, and more as time passes."""

    _TIMES = 4
    _A_SECOND = UPDATE_CHARACTERS / UPDATE_SECONDS  # characters

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._counted_at = clock()
        self._left = 0.0

    def grow(self, characters: int) -> None:
        """Note that there are so many characters more."""
        self._left += self._TIMES * max(0, characters)

    def take(self, length: int) -> bool:
        """Whether `length` characters may be painted now; if so, they count as painted."""
        now = self._clock()
        earned = self._A_SECOND * (now - self._counted_at)
        self._left = max(self._left, min(self._left + earned, self._TIMES * length))
        self._counted_at = now
        if length > self._left:
            return False
        self._left -= length
        return True
