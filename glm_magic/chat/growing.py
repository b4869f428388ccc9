"""Events become a reply, accumulated field by field.

Text is appended; an id or a name is set once; finish reason and usage take the last that was said.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from glm_magic.chat.events import Event, Facts, ReasoningDelta, Sources, TextDelta, ToolCallDelta
from glm_magic.chat.messages import ToolCall, Usage
from glm_magic.chat.reply import Reply, Source


@dataclass(slots=True)
class ReplyBuilder:
    """The answer to one request while it grows. `add` takes every event; the others read what has come so far.

    `first_call` is the number in its turn that its first call has, `taken` the ids of the calls before it.
    """

    first_call: int = 0
    taken: frozenset[str] = frozenset()

    _text: list[str] = field(default_factory=list)
    _reasoning: list[str] = field(default_factory=list)
    _calls: list[dict[str, Any]] = field(default_factory=list)
    _by_index: dict[int | None, dict[str, Any]] = field(default_factory=dict)  # the latest call of each index
    _sources: dict[Source, None] = field(default_factory=dict)
    id: str = ""
    model: str = ""
    finish_reason: str = ""
    usage: Usage | None = None
    repeats_key: bool = False

    def add(self, event: Event) -> None:
        """Take in one event; those that are not part of a reply change nothing."""
        match event:
            case TextDelta(text):
                self._text.append(text)
            case ReasoningDelta(text):
                self._reasoning.append(text)
            case ToolCallDelta():
                self._add_call(event)
            case Sources(sources):
                self._sources.update(dict.fromkeys(sources))
            case Facts():
                self.id = self.id or event.id or ""
                self.model = self.model or event.model or ""
                self.finish_reason = event.finish_reason or self.finish_reason
                self.usage = event.usage or self.usage
                self.repeats_key = event.repeats_key or self.repeats_key
            case _:
                pass

    def _add_call(self, delta: ToolCallDelta) -> dict[str, Any]:
        """Join a fragment to its call.

        Reported: servers give no index, or 0 for every call; ids that change, are missing, or repeat. So a
        name beside another id, or another name, starts a new call, and so does a name without an id where
        the arguments are whole already, and an index that was not there before; else it is the latest call
        of that index that goes on.
        """
        latest = self._calls[-1] if self._calls else None
        call = latest if delta.index is None else self._by_index.get(delta.index)
        if call is None and self._calls and not (delta.name or delta.id):  # arguments of no call: of the latest
            call = latest
        if call is None or (delta.name and call["name"] and _starts_anew(delta, call)):
            call = {"at": len(self._calls), "index": delta.index, "id": "", "name": "", "arguments": []}
            self._calls.append(call)
            self._by_index[delta.index] = call
        call["id"] = call["id"] or delta.id or ""
        call["name"] = call["name"] or delta.name or ""
        call["arguments"].append(delta.arguments)
        return call

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
        """What the model has thought so far."""
        return "".join(self._reasoning)

    @property
    def sources(self) -> tuple[Source, ...]:
        """What the service has read, each once."""
        return tuple(self._sources)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls so far, each with an id of its own (reported: ids are missing, or repeat)."""
        calls: list[ToolCall] = []
        taken = set(self.taken)
        for number, call in enumerate(self._calls, self.first_call):
            id_ = call["id"] or f"call_{number}"
            while id_ in taken:
                id_ = f"{id_}_{number}"
            taken.add(id_)
            calls.append(ToolCall(id_, call["name"], "".join(call["arguments"])))
        return tuple(calls)

    def calling(self, delta: ToolCallDelta) -> tuple[int, ToolCall]:
        """Add a fragment of a call; return the number of the call in its turn, and the call as it stands."""
        call = self._add_call(delta)
        number: int = self.first_call + call["at"]
        # its id may change yet, to be one of its own: `calls` says it when all are there
        return number, ToolCall(call["id"] or f"call_{number}", call["name"], "".join(call["arguments"]))

    def reply(self, **circumstances: Any) -> Reply:
        """Return the reply as it stands; `circumstances` are the fields that this one answer does not say."""
        said = {
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
        return Reply(**{**said, **circumstances})


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
