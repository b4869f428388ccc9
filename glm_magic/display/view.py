"""The interface of a view: it paints events as they come, and settles when the answer has ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:  # loading the extension needs no conversation
    from glm_magic.chat.events import Event

# How an answer's text is shown: as Markdown, as plain text, as its code blocks alone, or as the value of its JSON.
Form: TypeAlias = Literal["markdown", "text", "code", "json"]

SEPARATOR = " · "  # between the facts in a line
SILENCE_SECONDS = 5.0  # of silence from the service, until the view says so


@dataclass(frozen=True, slots=True)
class Ending:
    """How an answer ended: the `facts` for its line, in order, and the data that the page keeps.

    `attached` maps MIME types to JSON that is saved beside the output. If `withdrawn`, the text must
    leave the page. `turn` is the id of the counting answer, by which its line is found again.
    """

    facts: tuple[str, ...]
    attached: Mapping[str, Any] = field(default_factory=dict)
    withdrawn: bool = False
    turn: str = ""


class View:
    """A place where an answer is shown. A method does nothing unless a subclass overrides it."""

    def paint(self, event: Event) -> None:
        """Take an event; show it now or with a later one."""

    def settle(self, ending: Ending) -> None:
        """Show everything; nothing is painted afterwards."""

    def rewrite(self, events: Iterable[Event], ending: Ending) -> None:
        """Replace the settled answer with another one, where outputs can be replaced."""


class Show(Protocol):
    """Displays data, by MIME type, as the output `name`, or updates that output."""

    def __call__(self, data: dict[str, Any], name: str, *, update: bool) -> None: ...
