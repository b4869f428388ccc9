"""An answer: the value that a cell has, and how it grows event by event.

It is accumulated field by field. Text is appended; an id or a name is set once; finish reason and
usage take the last that was said.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from glm_magic.chat.events import Event, Facts, ReasoningDelta, TextDelta, ToolCallDelta
from glm_magic.chat.messages import Message, ToolCall, Usage


@dataclass(frozen=True, slots=True, repr=False)
class Reply:
    """An answer, text first: ``str(reply)`` is its text.

    `finish_reason` is the service's word for why it ended (``stop``, ``length``, …); ``""`` if it did
    not say, as after an interrupt. `usage` is None where the service did not count. `cost` is in CNY
    by GLM's list, None for other services and models. `seconds` is the time from asking to the end,
    `first_token_seconds` to the first text. `request` is the body that was sent; it holds no key.
    A `replayed` answer is a recorded one: its times and its cost are those of then.
    """

    text: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = ""
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

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= 60 else self.text[:59] + "…"
        ending = "interrupted" if self.interrupted else self.finish_reason
        return f"Reply({text!r}, model={self.model!r}, finish_reason={ending!r})"

    @property
    def message(self) -> Message:
        """The reply as a message of the conversation; reasoning is not sent back."""
        return Message("assistant", self.text, self.tool_calls)


@dataclass(slots=True)
class ReplyBuilder:
    """A reply that is still growing. `add` takes every event; the others read what has come so far."""

    _text: list[str] = field(default_factory=list)
    _reasoning: list[str] = field(default_factory=list)
    _calls: list[dict[str, Any]] = field(default_factory=list)
    id: str = ""
    model: str = ""
    finish_reason: str = ""
    usage: Usage | None = None

    def add(self, event: Event) -> None:
        """Take in one event; those that are not part of a reply change nothing."""
        match event:
            case TextDelta(text):
                self._text.append(text)
            case ReasoningDelta(text):
                self._reasoning.append(text)
            case ToolCallDelta():
                self._add_call(event)
            case Facts():
                self.id = self.id or event.id or ""
                self.model = self.model or event.model or ""
                self.finish_reason = event.finish_reason or self.finish_reason
                self.usage = event.usage or self.usage
            case _:
                pass

    def _add_call(self, delta: ToolCallDelta) -> None:
        """Join a fragment to its call.

        Reported: servers give no index, or 0 for every call; ids that change, are missing, or repeat. So a
        name beside another id, or another name, starts a new call, and so does a name without an id where
        the arguments are whole already, and an index that was not there before; else it is the latest call
        of that index that goes on.
        """
        call = next((c for c in reversed(self._calls) if delta.index is None or c["index"] == delta.index), None)
        if call is None and self._calls and not (delta.name or delta.id):  # arguments of no call: of the latest
            call = self._calls[-1]
        if call is None or (delta.name and call["name"] and _starts_anew(delta, call)):
            call = {"index": delta.index, "id": "", "name": "", "arguments": []}
            self._calls.append(call)
        call["id"] = call["id"] or delta.id or ""
        call["name"] = call["name"] or delta.name or ""
        call["arguments"].append(delta.arguments)

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._text)

    @property
    def is_empty(self) -> bool:
        """Whether nothing of an answer has come."""
        return not (self._text or self._reasoning or self._calls)

    def reply(self, **circumstances: Any) -> Reply:
        """Return the reply as it stands; `circumstances` are the fields that the service does not say."""
        circumstances.setdefault("model", self.model)
        return Reply(
            text=self.text,
            reasoning="".join(self._reasoning),
            tool_calls=tuple(
                ToolCall(call["id"] or f"call_{number}", call["name"], "".join(call["arguments"]))
                for number, call in enumerate(self._calls)
            ),
            finish_reason=self.finish_reason,
            usage=self.usage,
            id=self.id,
            **circumstances,
        )


def _starts_anew(delta: ToolCallDelta, call: dict[str, Any]) -> bool:
    """Whether a fragment with a name is of another call than the one of this name."""
    if delta.name != call["name"]:
        return True
    if delta.id:
        return bool(delta.id != call["id"])
    return bool(delta.arguments.strip()) and _is_whole("".join(call["arguments"]))


def _is_whole(arguments: str) -> bool:
    try:
        return isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False
