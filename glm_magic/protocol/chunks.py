"""Turns a service's payloads into events: the chunks of a stream, or a whole completion."""

from __future__ import annotations

import json
from typing import Any

from glm_magic.chat.events import (
    Event,
    Facts,
    ReasoningDelta,
    Sources,
    TextDelta,
    ToolCallDelta,
    Unread,
)
from glm_magic.chat.messages import Usage
from glm_magic.chat.reply import Source
from glm_magic.chat.text import without_halves
from glm_magic.errors import BrokenStream, quoted
from glm_magic.protocol import refusals
from glm_magic.protocol.choices import Choices, index_of
from glm_magic.protocol.parts import pieces
from glm_magic.protocol.thinking import Thinking

DONE = "[DONE]"
REFUSAL = "refusal"  # the finish reason of an answer in which the model refuses

_NOTHING = Facts()

# Other words for a finish reason (confirmed by LiteLLM's source, which meets them at other services), in lower case.
_FINISH_REASONS = {
    **dict.fromkeys(("stop", "eos", "eos_token", "end_turn", "stop_sequence", "complete", "completed"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length"), "length"),
    **dict.fromkeys(("tool_calls", "tool_call", "tool_use", "function_call"), "tool_calls"),
    **dict.fromkeys(("sensitive", "content_filter", "content_filtered", "safety"), "sensitive"),
}

# Fields of a choice and of its message that are not part of an answer; some are vLLM's, SGLang's, Azure's, LiteLLM's.
_NO_ANSWER = (
    *("index", "finish_reason", "native_finish_reason", "finish_details", "stop_reason", "matched_stop", "logprobs"),
    *("token_ids", "prompt_token_ids", "content_filter_results", "content_filter_offsets", "seed", "role", "name"),
    "provider_specific_fields",
)
_MOST_UNREAD = 10
_REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")


class AnswerReader:
    """Reads the payloads of one response, in order; `rest` returns what is left at its end.

    `model` and `url` are what was requested and where; errors name them. Fields that are null, missing or of an
    unexpected type are skipped. An answer is one choice, and what every chunk repeats is an event only where it is new.
    """

    def __init__(self, *, model: str = "", url: str = "") -> None:
        self.model = model
        self.url = url
        self._known = _NOTHING  # the facts so far
        self._choices = Choices()
        self._thinking: Thinking | None = Thinking()  # None once it is over
        self._has_deltas = False
        self._has_refused = False
        self._error: Any = None  # of a choice
        self._came_with_error: list[Event] = []
        self._unread: dict[str, None] = {}
        self.has_begun = False  # whether a part of an answer has come

    def read_chunk(self, payload: str) -> list[Event]:
        """Read the payload of one ``data:`` event of a stream.

        Raises `ServiceError` if it reports an error, `BrokenStream` if it is not a chunk.
        """
        try:
            data = json.loads(payload)
        except (ValueError, RecursionError):  # not JSON, or nested too deeply
            raise BrokenStream(
                f"The service sent something that is not JSON: {quoted(payload[:200])!r}",
                "What had arrived stays on the page. Run the cell again.",
            ) from None
        return self.read(data)

    def read_completion(self, data: Any) -> list[Event]:
        """Read a whole completion: the response to a request without ``stream``.

        Raises `ServiceError` if it reports an error, `BrokenStream` if it is not a completion.
        """
        events = self.read(data)
        if not data.get("choices"):
            raise BrokenStream(
                f"The response is not a chat completion: {_shown(data, 300)}",
                "Check that base_url is the address of an OpenAI-compatible chat service.",
            )
        return events

    def read(self, data: Any) -> list[Event]:
        """Read a chunk or a completion; raises as `read_chunk` does. What came with an error is in `rest`."""
        if not isinstance(data, dict):
            raise BrokenStream(f"The service sent {_shown(data, 200)}, which is not a chat completion.")
        events: list[Event] = []
        finish_reason: str | None = None
        choices = data.get("choices")
        if type(choices) is list and choices:
            choice, picker = choices[0], self._choices
            # most chunks have one choice, that of the answer
            is_plain = type(choice) is dict and choice.get("index", picker.index) == picker.index and not picker.held
            for picked in choices if is_plain and len(choices) == 1 else picker.pick(choices):
                finish_reason = self._read_choice(picked, events) or finish_reason
            if events:
                events = self._begun(events)
        if data.get("error") or self._error or ("choices" not in data and _is_flat_error(data)):
            self._came_with_error = events
            body = {"error": self._error} if self._error else data
            raise refusals.refused(0, body, model=self.model, url=self.url)
        if (found := data.get("web_search")) and (sources := _sources(found)):
            events.append(Sources(sources))
        id_, answering, usage, known = data.get("id"), data.get("model"), data.get("usage"), self._known
        if finish_reason or usage or id_ != known.id or answering != known.model:
            facts = Facts(_text(id_), _text(answering), finish_reason, Usage.from_api(usage))
            if facts not in (known, _NOTHING):
                self._known = facts
                events.append(facts)
        return events

    def rest(self) -> list[Event]:
        """Return what was held back, what came with an error, and, if no answer came, what was not read."""
        events: list[Event] = []
        finish_reason: str | None = None
        for choice in self._choices.rest():
            finish_reason = self._read_choice(choice, events) or finish_reason
        events = self._begun(events) if events else events
        if self._thinking is not None:
            events += self._thinking.rest()
        events += self._came_with_error
        if finish_reason:
            events.append(Facts(finish_reason=finish_reason))
        if self._unread and not self.has_begun:
            events.append(Unread(tuple(self._unread)))
        self._came_with_error, self._unread = [], {}
        return events

    def _read_choice(self, choice: dict[str, Any], events: list[Event]) -> str | None:
        """Add what a choice says to the events; return its finish reason."""
        delta = choice.get("delta")
        if (  # most chunks; the result is the same as below
            type(delta) is dict
            and len(delta) == 1 + ("role" in delta)
            and type(text := delta.get("content")) is str
            and text
        ):
            self._has_deltas = True
            events.append(TextDelta(without_halves(text)))
        elif found := self._read(delta):
            self._has_deltas = True
            events += found
        elif not self._has_deltas and (found := self._read(choice.get("message")) or self._read(choice.get("text"))):
            events += found
        elif not self.has_begun:
            self._note_unread(choice)
        if error := choice.get("error"):
            self._error = error
        reason = _text(choice.get("finish_reason"))
        if reason:
            self._choices.end()
            reason = _FINISH_REASONS.get(reason.lower(), reason)
            if reason == "stop" and self._has_refused:
                reason = REFUSAL
        return reason

    def _read(self, message: object) -> list[Event]:
        """Return what a message, or a piece of one, says."""
        if not isinstance(message, dict):
            return [*pieces(message, TextDelta)]
        events: list[Event] = []
        for name in _REASONING_FIELDS:  # the same by several names is read once
            if (value := message.get(name)) and (thoughts := pieces(value, ReasoningDelta)):
                events += thoughts
                break
        if content := message.get("content"):
            events += pieces(content, TextDelta)
        if (refusal := message.get("refusal")) and (found := pieces(refusal, TextDelta)):
            self._has_refused = True
            events += found
        if calls := message.get("tool_calls") or message.get("function_call"):
            events += _tool_calls(calls)
        return events

    def _begun(self, events: list[Event]) -> list[Event]:
        """Return parts of the answer with its thoughts told apart."""
        self.has_begun = True
        if self._thinking is None:
            return events
        events = self._thinking.split(events)
        if self._thinking.is_over:
            self._thinking = None
        return events

    def _note_unread(self, choice: dict[str, Any]) -> None:
        """Note the fields of a choice that says nothing."""
        parts = {f".{name}": part for name in ("delta", "message") if isinstance(part := choice.get(name), dict)}
        for where, fields in (("", choice), *parts.items()):
            for name, value in fields.items():
                is_read = name in _NO_ANSWER or f"{where}.{name}" in parts
                if value and not is_read and len(self._unread) < _MOST_UNREAD:
                    self._unread[quoted(f"choices[]{where}.{name}")] = None


def _is_flat_error(data: dict[str, Any]) -> bool:
    """Whether this is an error without an `error` object around it.

    Reported of vLLM before 0.10.1; uncertain of GLM, whose schema has it and whose captures do not.
    """
    if not _text(data.get("message")):
        return False
    return data.get("object") == "error" or data.get("code") not in (None, "", 0, 200, "0", "200")


def _shown(data: Any, longest: int) -> str:
    try:
        return quoted(json.dumps(data)[:longest])
    except RecursionError:  # data that could just be read may be too deeply nested to be written
        return "JSON nested too deeply to show"


def _tool_calls(calls: object) -> list[ToolCallDelta]:
    """Read a list of calls, or one call by itself; reported: also without `function` around its name and arguments."""
    found: list[ToolCallDelta] = []
    for call in calls if isinstance(calls, list) else (calls,):
        if not isinstance(call, dict):
            continue
        function = call.get("function")
        function = function if isinstance(function, dict) else call
        arguments = function.get("arguments")
        if isinstance(arguments, (dict, list)):  # the response schema calls it an object; PHP writes {} as []
            arguments = json.dumps(arguments or {}, ensure_ascii=False)
        id_, name, arguments = _text(call.get("id")), _text(function.get("name")), _text(arguments)
        if id_ or name or arguments:
            found.append(ToolCallDelta(index_of(call.get("index")), id_, name, arguments or ""))
    return found


def _sources(found: object) -> tuple[Source, ...]:
    """Read the results of GLM's own `web_search` tool (confirmed: these fields, beside `choices`)."""
    if not isinstance(found, list):
        return ()
    sources = (
        Source(*(_text(item.get(name)) or "" for name in ("title", "link", "media", "publish_date", "refer")))
        for item in found
        if isinstance(item, dict)
    )
    return tuple(source for source in sources if source.title or source.link)


def _text(value: object) -> str | None:
    return without_halves(value) if isinstance(value, str) and value else None
