"""How often a growing output is repainted, so that the traffic per character stays constant."""

from __future__ import annotations

from collections.abc import Callable

UPDATE_SECONDS = 0.1
UPDATE_CHARACTERS = 3000  # longer outputs are repainted less often


class Pace:
    """Decides when to repaint: ten times a second, less often the longer the output is."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due = float("-inf")

    @property
    def is_due(self) -> bool:
        """Whether enough time has passed since the last repaint."""
        return self._clock() >= self._due

    def painted(self, length: int) -> None:
        """Record a repaint of `length` characters."""
        self._due = self._clock() + UPDATE_SECONDS * max(1.0, length / UPDATE_CHARACTERS)


class Allowance:
    """A budget for immediate repaints: a few times the length of the output, refilled over time."""

    _TIMES = 2
    _A_SECOND = UPDATE_CHARACTERS / UPDATE_SECONDS  # characters

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._counted_at = clock()
        self._left = 0.0

    def grow(self, characters: int) -> None:
        """Record that the output has grown by so many characters."""
        self._left += self._TIMES * max(0, characters)

    def take(self, length: int) -> bool:
        """Spend `length` characters from the budget; return whether it was enough."""
        now = self._clock()
        earned = self._A_SECOND * (now - self._counted_at)
        self._left = max(self._left, min(self._left + earned, self._TIMES * length))
        self._counted_at = now
        if length > self._left:
            return False
        self._left -= length
        return True
