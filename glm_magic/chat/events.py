"""What happens while an answer comes: the union of all events.

::

    TextDelta  ReasoningDelta  ToolCallDelta            read from the wire
    Sources  Facts  Unread                              read from the wire too, beside the answer
    ToolCalling  ToolResult                             a call as far as it is written; what a tool has answered
    AskedAgain                                          the answer did not fit; another one follows
    Notice  Tick                                        the wait: something to say; nothing came
    Finished                                            the whole reply, always last
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from glm_magic.chat.messages import GrowingCall, ToolCall, Usage
from glm_magic.chat.reply import Reply, Source


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More text of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of what the model thinks before it answers."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A fragment of a tool call: `index`, `id` and `name` as the service gave them, or None."""

    index: int | None
    id: str | None
    name: str | None
    arguments: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Metadata of the answer; None for fields that a chunk does not have.

    `repeats_key` says that the answer held the key, which is masked in it.
    """

    id: str | None = None
    model: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    repeats_key: bool = False


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the service has looked before it answered."""

    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Unread:
    """No part of an answer has come; these are the `fields` that came instead, and that nobody reads."""

    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToolCalling:
    """A call of a tool as far as it is written; `number` counts the calls of the turn, from 0.

    `runs` says that it is whole, and that the tool runs now; `asks` that the person is asked whether it may.
    """

    number: int
    call: ToolCall | GrowingCall
    runs: bool = False
    asks: bool = False


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of call `number`, as text for the model, after `seconds`; `failed` if that is an error.

    `call` has the arguments with which it ran.
    """

    number: int
    call: ToolCall
    text: str
    seconds: float
    failed: bool = False


@dataclass(frozen=True, slots=True)
class AskedAgain:
    """The answer so far does not fit, for this `reason`; the model is asked once more."""

    reason: str


NoticeKind = Literal["download", "start", "retry", "wait"]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to say to the person who waits; the next notice, or the answer, replaces it.

    A `wait` is for other requests: it is no part of the time that this one takes.
    """

    kind: NoticeKind
    text: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing came for a while; `silence` counts the seconds since something did."""

    silence: float


@dataclass(frozen=True, slots=True)
class Finished:
    """The turn is whole, and committed."""

    reply: Reply


Event: TypeAlias = (
    TextDelta
    | ReasoningDelta
    | ToolCallDelta
    | Sources
    | Facts
    | Unread
    | ToolCalling
    | ToolResult
    | AskedAgain
    | Notice
    | Tick
    | Finished
)

PART_OF_AN_ANSWER = (TextDelta, ReasoningDelta, ToolCallDelta)


def joined(events: Iterable[Event]) -> list[Event]:
    """Return the events with neighbouring texts joined, so that what was read together travels as one event."""
    result: list[Event] = []
    texts: list[str] = []
    kind: type[TextDelta | ReasoningDelta] | None = None
    for event in events:
        if isinstance(event, (TextDelta, ReasoningDelta)):
            if type(event) is not kind:
                if kind is not None:
                    result.append(kind("".join(texts)))
                kind, texts = type(event), []
            texts.append(event.text)
            continue
        if kind is not None:
            result.append(kind("".join(texts)))
            kind = None
        result.append(event)
    if kind is not None:
        result.append(kind("".join(texts)))
    return result
