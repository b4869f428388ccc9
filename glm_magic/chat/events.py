"""What happens while an answer comes: the union of all events, and one ``data:`` payload read as some.

::

    TextDelta  ReasoningDelta  ToolCallDelta  Sources  Facts     read from the wire
    ToolCalling  ToolResult                             a call as far as it is written; what a tool has answered
    AskedAgain                                          the answer did not fit; another one follows
    Notice  Tick                                        the wait: something to say; nothing came
    Finished                                            the whole reply, always last
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from glm_magic.chat import refusals
from glm_magic.chat.messages import ToolCall, Usage
from glm_magic.errors import BrokenStream, quoted

if TYPE_CHECKING:
    from glm_magic.chat.reply import Reply


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
    """What a chunk says about the answer; None where it says nothing."""

    id: str | None = None
    model: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A page that the service has read for an answer, in its own words; `refer` is how the text names it."""

    title: str
    link: str = ""
    media: str = ""
    date: str = ""
    refer: str = ""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the service has looked before it answered."""

    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class ToolCalling:
    """A call of a tool as far as it is written; `number` counts the calls of the turn, from 0.

    `runs` says that it is whole, and that the tool runs now; `asks` that the person is asked whether it may.
    """

    number: int
    call: ToolCall
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


NoticeKind = Literal["download", "start", "retry"]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to say to the person who waits; the next notice, or the answer, replaces it."""

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
    | ToolCalling
    | ToolResult
    | AskedAgain
    | Notice
    | Tick
    | Finished
)

PART_OF_AN_ANSWER = (TextDelta, ReasoningDelta, ToolCallDelta)
DONE = "[DONE]"


def read_chunk(payload: str, *, model: str = "", url: str = "") -> list[Event]:
    """Read the payload of one ``data:`` event of a stream.

    `model` and `url` are what was asked for and where, for the error to name.
    Raises `ServiceError` if it is an error of the service, `BrokenStream` if it is not a chunk.
    """
    try:
        data = json.loads(payload)
    except (ValueError, RecursionError):  # no JSON, or nested too deeply
        raise BrokenStream(
            f"The service sent something that is not JSON: {quoted(payload[:200])!r}",
            "What had arrived is kept on the page. Run the cell again.",
        ) from None
    return read_body(data, part="delta", model=model, url=url)


def read_completion(data: Any, *, model: str = "", url: str = "") -> list[Event]:
    """Read a whole completion, as a service sends it that was not asked to stream.

    `model` and `url` are what was asked for and where, for the error to name.
    Raises `ServiceError` if it is an error of the service, `BrokenStream` if it is no completion.
    """
    events = read_body(data, part="message", model=model, url=url)
    if not data.get("choices"):
        raise BrokenStream(
            f"The service answered with something that is no completion: {_shown(data, 300)}",
            "Is base_url the address of an OpenAI-compatible chat service?",
        )
    return events


def read_body(data: Any, *, part: Literal["delta", "message"], model: str = "", url: str = "") -> list[Event]:
    """Read a chunk or a completion, whose text is in `part` of its choice.

    Whatever is null, missing or of another type is taken as not said.
    """
    if not isinstance(data, dict):
        raise BrokenStream(f"The service sent {_shown(data, 200)}, which is not an answer.")
    if data.get("error") or _is_flat_error(data):
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
            events += _tool_calls(message.get("tool_calls"))
    if sources := _sources(data.get("web_search")):
        events.append(Sources(sources))
    facts = Facts(_text(data.get("id")), _text(data.get("model")), finish_reason, Usage.from_api(data.get("usage")))
    if facts != Facts():
        events.append(facts)
    return events


def _is_flat_error(data: dict[str, Any]) -> bool:
    """Whether this is an error with no `error` around it.

    Reported of vLLM before 0.10.1; uncertain of GLM, whose schema has it and whose captures do not.
    """
    if "choices" in data or not _text(data.get("message")):
        return False
    return data.get("object") == "error" or data.get("code") not in (None, "", 0, 200, "0", "200")


def _shown(data: Any, longest: int) -> str:
    try:
        return quoted(json.dumps(data)[:longest])
    except RecursionError:  # what could just be read may nest too deeply to be written
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
    """Read what GLM's own `web_search` tool says of its results (confirmed: these fields, beside `choices`)."""
    said = [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
    sources = (
        Source(*(_text(item.get(name)) or "" for name in ("title", "link", "media", "publish_date", "refer")))
        for item in said
    )
    return tuple(source for source in sources if source.title or source.link)


def without_halves(text: str) -> str:
    """Return `text` as UTF-8 can write it: two halves of a character become one, a lone half U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character, as \ud83d alone in JSON: it can be neither shown nor sent back
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _text(value: object) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    return without_halves(value)
