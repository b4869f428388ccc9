"""Events become a reply, accumulated field by field.

Text is appended; an id or a name is set once; finish reason and usage take the last value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from glm_magic.chat.events import Event, Facts, ReasoningDelta, Sources, TextDelta, ToolCallDelta, Unread
from glm_magic.chat.fragments import Calls
from glm_magic.chat.messages import GrowingCall, ToolCall, Usage
from glm_magic.chat.reply import Reply, Source


@dataclass(slots=True)
class ReplyBuilder:
    """The answer to one request while it grows. `add` takes every event; the others read what has come so far."""

    _calls: Calls = field(default_factory=Calls)
    _text: list[str] = field(default_factory=list)
    _reasoning: list[str] = field(default_factory=list)
    _sources: dict[Source, None] = field(default_factory=dict)
    id: str = ""
    model: str = ""
    finish_reason: str = ""
    usage: Usage | None = None
    repeats_key: bool = False
    unread: tuple[str, ...] = ()  # fields that came instead of an answer

    def add(self, event: Event) -> None:
        """Take in one event; those that are not part of a reply change nothing."""
        match event:
            case TextDelta(text):
                self._text.append(text)
            case ReasoningDelta(text):
                self._reasoning.append(text)
            case ToolCallDelta():
                self._calls.add(event)
            case Sources(sources):
                self._sources.update(dict.fromkeys(sources))
            case Facts():
                self.id = self.id or event.id or ""
                self.model = self.model or event.model or ""
                self.finish_reason = event.finish_reason or self.finish_reason
                self.usage = event.usage or self.usage
                self.repeats_key = event.repeats_key or self.repeats_key
            case Unread(fields):
                self.unread = fields
            case _:
                pass

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._text)

    @property
    def is_empty(self) -> bool:
        """Whether nothing of an answer has come."""
        return not (self._text or self._reasoning or self._calls)

    @property
    def reasoning(self) -> str:
        """The reasoning so far."""
        return "".join(self._reasoning)

    @property
    def sources(self) -> tuple[Source, ...]:
        """What the service has read, each once."""
        return tuple(self._sources)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls so far, each with an id of its own (reported: ids are missing, or repeat)."""
        return tuple(self._calls[at] for at in range(len(self._calls)))

    def calling(self, delta: ToolCallDelta) -> tuple[int, GrowingCall]:
        """Add a fragment of a call; return the number of the call in its turn, and the call as it stands."""
        at = self._calls.add(delta)
        return self._calls.first + at, self._calls.growing(at)

    def reply(self, **circumstances: Any) -> Reply:
        """Return the reply as it stands; `circumstances` are the fields that it does not have."""
        fields = {
            "text": self.text,
            "reasoning": self.reasoning,
            "tool_calls": self.calls,
            "sources": self.sources,
            "finish_reason": self.finish_reason,
            "usage": self.usage,
            "model": self.model,
            "id": self.id,
            "repeats_key": self.repeats_key,
        }
        return Reply(**{**fields, **circumstances})
