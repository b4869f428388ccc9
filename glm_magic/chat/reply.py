"""`Reply`: an answer, and the value of its cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from glm_magic.chat.messages import Message, ToolCall, Usage
from glm_magic.errors import SetupError

CURRENCY = "CNY"  # of a cost that names none, as those of earlier versions do


@dataclass(frozen=True, slots=True)
class Source:
    """A page that the service read for an answer; `refer` is the text's reference to it."""

    title: str
    link: str = ""
    media: str = ""
    date: str = ""
    refer: str = ""


@dataclass(frozen=True, slots=True)
class ToolRun:
    """A tool call that has run: its id, its time in `seconds`, and whether it failed."""

    id: str
    seconds: float
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What is known of an answer beside its text and its tool calls; a `Reply` says what each field means."""

    reasoning: str = ""
    finish_reason: str = ""
    tool_runs: tuple[ToolRun, ...] = ()
    sources: tuple[Source, ...] = ()
    usage: Usage | None = None
    cost: float | None = None
    currency: str = CURRENCY
    model: str = ""
    seconds: float = 0.0
    first_token_seconds: float | None = None
    interrupted: bool = False
    repeats_key: bool = False


def details_of(answer: Details) -> dict[str, Any]:
    """Return the details of an answer by name."""
    return {each.name: getattr(answer, each.name) for each in fields(Details)}


@dataclass(frozen=True, slots=True, repr=False)
class Reply(Details):
    """An answer, text first: ``str(reply)`` is its text.

    `finish_reason` is the service's (``stop``, ``length``, …), ``""`` if it sent none, as after an interrupt. `usage`
    is None if the service did not count. `cost` is in `currency` by the price list, None where that does not have the
    model at this service. `seconds` is the time from the request to the end (0 for an answer in a batch),
    `first_token_seconds` to the first text. `request` is the body of the first request; it holds no key. A `replayed`
    answer keeps the times and cost of its recording. Where the service `repeats_key`, the key is masked in the answer.

    `tool_calls` are all calls that the model asked for before it answered, `steps` the messages between the
    prompt and the answer, which are these calls and their results, and `tool_runs` how each went. Tokens,
    cost and time are those of all requests together. `parsed` is the value of a structured answer, None
    without ``--json`` or ``--schema``; `sources` is what the service has read.
    """

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    steps: tuple[Message, ...] = ()
    parsed: Any = None
    id: str = ""
    request: Mapping[str, Any] = field(default_factory=dict)
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
        """The code of its code blocks, separated by blank lines; ``""`` if there is none."""
        from glm_magic.chat.code import code  # noqa: PLC0415 - it needs a Markdown parser

        return code(self.text)

    def to_cell(self) -> None:
        """Put the code into a new cell below the running one, without running it; the same code only once.

        Raises `CellError` if there is no code, `SetupError` outside a notebook.
        """
        if self.put_in_cell is None:
            raise SetupError("There is no notebook to put a cell into.", "The code is reply.code.")
        self.put_in_cell(self.code)

    @property
    def open_calls(self) -> tuple[ToolCall, ...]:
        """The calls that have no result."""
        answered = {message.tool_call_id for message in self.steps}
        return tuple(call for call in self.tool_calls if call.id not in answered)
