"""Turns a service's payload into events: one chunk of a stream, or a whole completion."""

from __future__ import annotations

import json
from typing import Any, Literal

from glm_magic.chat.events import Event, Facts, ReasoningDelta, Sources, TextDelta, ToolCallDelta
from glm_magic.chat.messages import Usage
from glm_magic.chat.reply import Source
from glm_magic.chat.text import without_halves
from glm_magic.errors import BrokenStream, quoted
from glm_magic.protocol import refusals

DONE = "[DONE]"

_NOTHING = Facts()


def read_chunk(payload: str, *, model: str = "", url: str = "", known: Facts = _NOTHING) -> list[Event]:
    """Read the payload of one ``data:`` event of a stream.

    `model` and `url` are what was requested and where; errors name them. `known` holds the facts of the chunks
    before: every chunk repeats the id and the model, and only news becomes an event.
    Raises `ServiceError` if the payload is an error of the service, `BrokenStream` if it is not a chunk.
    """
    try:
        data = json.loads(payload)
    except (ValueError, RecursionError):  # not JSON, or nested too deeply
        raise BrokenStream(
            f"The service sent something that is not JSON: {quoted(payload[:200])!r}",
            "What had arrived stays on the page. Run the cell again.",
        ) from None
    return read_body(data, part="delta", model=model, url=url, known=known)


def read_completion(data: Any, *, model: str = "", url: str = "") -> list[Event]:
    """Read a whole completion: the response to a request without ``stream``.

    `model` and `url` are what was requested and where; errors name them.
    Raises `ServiceError` if it is an error of the service, `BrokenStream` if it is not a completion.
    """
    events = read_body(data, part="message", model=model, url=url)
    if not data.get("choices"):
        raise BrokenStream(
            f"The response is not a chat completion: {_shown(data, 300)}",
            "Check that base_url is the address of an OpenAI-compatible chat service.",
        )
    return events


def read_body(
    data: Any, *, part: Literal["delta", "message"], model: str = "", url: str = "", known: Facts = _NOTHING
) -> list[Event]:
    """Read a chunk or a completion, whose text is in `part` of its choice.

    Fields that are null, missing or of an unexpected type are skipped.
    """
    if not isinstance(data, dict):
        raise BrokenStream(f"The service sent {_shown(data, 200)}, which is not a chat completion.")
    if data.get("error") or ("choices" not in data and _is_flat_error(data)):
        raise refusals.refused(0, data, model=model, url=url)
    events: list[Event] = []
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    finish_reason = None
    if isinstance(choice, dict):
        finish_reason = _text(choice.get("finish_reason"))
        message = choice.get(part)
        if isinstance(message, dict):
            if reasoning := _text(message.get("reasoning_content")) or _text(message.get("reasoning")):
                events.append(ReasoningDelta(reasoning))
            if text := _text(message.get("content")):
                events.append(TextDelta(text))
            if calls := message.get("tool_calls"):
                events += _tool_calls(calls)
    if (found := data.get("web_search")) and (sources := _sources(found)):
        events.append(Sources(sources))
    id_, answering, usage = data.get("id"), data.get("model"), data.get("usage")
    if finish_reason or usage or id_ != known.id or answering != known.model:
        facts = Facts(_text(id_), _text(answering), finish_reason, Usage.from_api(usage))
        if facts not in (known, _NOTHING):
            events.append(facts)
    return events


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


def _tool_calls(calls: object) -> list[Event]:
    found: list[Event] = []
    for call in calls if isinstance(calls, list) else ():
        if not isinstance(call, dict):
            continue
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        arguments = function.get("arguments")
        if isinstance(arguments, dict):  # the response schema calls it an object
            arguments = json.dumps(arguments, ensure_ascii=False)
        index = call.get("index")
        found.append(
            ToolCallDelta(
                index if type(index) is int else None,
                _text(call.get("id")),
                _text(function.get("name")),
                _text(arguments) or "",
            )
        )
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
    if not isinstance(value, str) or not value:
        return None
    return value if value.isascii() else without_halves(value)
