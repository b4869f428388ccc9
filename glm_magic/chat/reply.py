"""An answer: the value that a cell has, and how it grows event by event.

It is accumulated field by field. Text is appended; an id or a name is set once; finish reason and
usage take the last that was said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from glm_magic.chat.messages import Message, ToolCall, Usage
from glm_magic.errors import SetupError


@dataclass(frozen=True, slots=True)
class Source:
    """A page that the service has read for an answer, in its own words; `refer` is how the text names it."""

    title: str
    link: str = ""
    media: str = ""
    date: str = ""
    refer: str = ""


@dataclass(frozen=True, slots=True)
class ToolRun:
    """How a call went: its id, how many `seconds` it took, and whether an error came of it."""

    id: str
    seconds: float
    failed: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Reply:
    """An answer, text first: ``str(reply)`` is its text.

    `finish_reason` is the service's word for why it ended (``stop``, ``length``, …); ``""`` if it did
    not say, as after an interrupt. `usage` is None where the service did not count. `cost` is in CNY
    by GLM's list, None for other services and models. `seconds` is the time from asking to the end,
    `first_token_seconds` to the first text. `request` is the body that was sent first; it holds no key.
    A `replayed` answer is a recorded one: its times and its cost are those of then.

    `tool_calls` are all calls that the model asked for before it answered, `steps` the messages between the
    prompt and the answer, which are these calls and their results, and `tool_runs` how each went. Tokens,
    cost and time are those of all requests together. `parsed` is the value of a structured answer, None
    without ``--json`` or ``--schema``; `sources` is what the service has read.
    """

    text: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = ""
    steps: tuple[Message, ...] = ()
    tool_runs: tuple[ToolRun, ...] = ()
    sources: tuple[Source, ...] = ()
    parsed: Any = None
    usage: Usage | None = None
    cost: float | None = None
    model: str = ""
    id: str = ""
    seconds: float = 0.0
    first_token_seconds: float | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    interrupted: bool = False
    embedded: bool = False
    replayed: bool = False
    put_in_cell: Callable[[str], object] | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return self.text

    def __format__(self, spec: str) -> str:
        return format(self.text, spec)

    def __hash__(self) -> int:
        return hash((self.id, self.text))  # the request is a dict, which has none

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= 60 else self.text[:59] + "…"
        ending = "interrupted" if self.interrupted else self.finish_reason
        return f"Reply({text!r}, model={self.model!r}, finish_reason={ending!r})"

    @property
    def code(self) -> str:
        """The code in its code blocks, with a blank line between two; ``""`` if it has none."""
        from glm_magic.chat.code import code  # noqa: PLC0415 - it needs a parser of Markdown

        return code(self.text)

    def to_cell(self) -> None:
        """Put the code into a new cell below the one that runs; it is not run. The same code is put there once.

        Raises `CellError` if there is no code, `SetupError` outside a notebook.
        """
        if self.put_in_cell is None:
            raise SetupError("There is no notebook to put a cell into.", "reply.code is the code.")
        self.put_in_cell(self.code)

    @property
    def open_calls(self) -> tuple[ToolCall, ...]:
        """The calls that nobody has answered."""
        answered = {message.tool_call_id for message in self.steps}
        return tuple(call for call in self.tool_calls if call.id not in answered)
