"""What a comparison does beyond itself, where there is a notebook."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from glm_magic.comparing.axes import Configuration
from glm_magic.comparing.runs import Run


class Pending(Protocol):
    """A comparison that runs in the background."""

    @property
    def done(self) -> bool:
        """Whether it has ended."""

    def wait(self, timeout: float | None = None) -> object:
        """Wait for its end."""

    def stop(self) -> None:
        """Stop it; what has finished is kept."""


@dataclass(frozen=True, slots=True)
class Hands:
    """What a comparison does beyond itself; what is None needs a notebook.

    `changed` shows and keeps it again, `judged` keeps a run's rating and note. `pick` makes a run's answer the turn's
    answer; `use` sets a column's configuration and returns the line that says so; `more` asks each question
    so many times more. In the background, `pending` waits for its end and stops it. `cancel` cancels what is pending in
    batches, and returns what came of that.
    """

    changed: Callable[[], None] = lambda: None
    judged: Callable[[Run], None] = lambda _: None
    pick: Callable[[Run], None] | None = None
    use: Callable[[Configuration], str] | None = None
    more: Callable[[int], None] | None = None
    pending: Pending | None = None
    cancel: Callable[[], str] = lambda: "Nothing of this comparison is pending in a batch."
