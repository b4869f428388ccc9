"""What a view is: it paints events as they come, and settles when they have ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:  # loading the extension needs no conversation
    from glm_magic.chat.events import Event

# How an answer's text is shown: as Markdown, as it is, its code blocks alone, or as the value that its JSON is.
Form: TypeAlias = Literal["markdown", "text", "code", "json"]

SEPARATOR = " · "  # between the facts in a line
SILENCE_SECONDS = 5.0  # without anything from the service, until that is said


@dataclass(frozen=True, slots=True)
class Ending:
    """How it ended: the `facts` for the line about it, in order, and the data that the page keeps.

    `attached` maps a MIME type to JSON that is saved beside what is shown. `withdrawn` says that the
    text must leave the page. `turn` is the id of the answer that counts, by which the line about it is
    found again.
    """

    facts: tuple[str, ...]
    attached: Mapping[str, Any] = field(default_factory=dict)
    withdrawn: bool = False
    turn: str = ""


class View(Protocol):
    """A place where an answer appears."""

    def paint(self, event: Event) -> None:
        """Take in what happened, and show it when it is time."""

    def settle(self, ending: Ending) -> None:
        """Show everything that has come; nothing is painted after it."""

    def rewrite(self, events: Iterable[Event], ending: Ending) -> None:
        """Put another answer in place of the one that was shown and has settled, where that can be done."""


class NoView:
    """No place at all: a terminal has moved on while an answer comes in the background."""

    def paint(self, event: Event) -> None:
        """Show nothing."""

    def settle(self, ending: Ending) -> None:
        """Show nothing."""

    def rewrite(self, events: Iterable[Event], ending: Ending) -> None:
        """Show nothing."""


class Show(Protocol):
    """Puts data, by MIME type, on the page as an output called `name`, or in place of that output."""

    def __call__(self, data: dict[str, Any], name: str, *, update: bool) -> None: ...
