"""An answer: the value that a cell has, and how it grows event by event.

It is accumulated field by field. Text is appended; an id or a name is set once; finish reason and
usage take the last that was said.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from glm_magic.chat.events import Event, Facts, ReasoningDelta, Source, Sources, TextDelta, ToolCallDelta
from glm_magic.chat.messages import Message, ToolCall, Usage
from glm_magic.errors import SetupError


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
    _sources: dict[Source, None] = field(default_factory=dict)
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
            case Sources(sources):
                self._sources.update(dict.fromkeys(sources))
            case Facts():
                self.id = self.id or event.id or ""
                self.model = self.model or event.model or ""
                self.finish_reason = event.finish_reason or self.finish_reason
                self.usage = event.usage or self.usage
            case _:
                pass

    def _add_call(self, delta: ToolCallDelta) -> int:
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
        return next(at for at, other in enumerate(self._calls) if other is call)

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
        at = self._add_call(delta)
        return self.first_call + at, self.calls[at]

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
