"""The bytes of one response become events: its framing, its end, and a body where a stream was due.

The framing is that of httpx-sse; in front of it, three kinds of line beginnings are looked for that
a decoder true to the specification would pass over. A comment names the server that does so, and tags
the fact: confirmed (an official document, an SDK's source or a captured response) or reported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import httpx_sse

from glm_magic.chat.events import PART_OF_AN_ANSWER, Event
from glm_magic.errors import BrokenStream, ServiceError, quoted
from glm_magic.protocol import refusals
from glm_magic.protocol.chunks import DONE, read_chunk, read_completion

LONGEST_EVENT, LONGEST_BODY, LONGEST_REFUSAL = 16 * 2**20, 64 * 2**20, 2**20  # bytes

_BOM = b"\xef\xbb\xbf"
_BLANK = re.compile(rb"\A(?:\s|\xef\xbb\xbf)+")
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b"error:", b":")
# llama.cpp before late 2025 writes a field `error` (reported: its #16109), and gateways pass a JSON error
# on with no field at all (reported: lemonade#2826).
_ERRORS = (b"error:", b'{"error"')
_ERROR_LINE = re.compile(rb'(?<=[\r\n])(?:error:|(?=\{"error"))')
_ERROR_EVENT = b"event: error\ndata: "
_SEAM = re.compile(r"\n|data:\s*(?=\{)")
_READABLE = re.compile(r'"(?:content|reasoning_content|reasoning|arguments)"\s*:\s*"[^"]')
_ID = re.compile(r'"id"\s*:\s*"([^"]+)"')
_PINGS = ("ping", "heartbeat", "keepalive", "keep-alive")


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for and where: errors name them."""

    model: str
    url: str


def read(chunks: Iterator[bytes], asked: Asked) -> Iterator[list[Event]]:
    """Yield the events of a response as they come, to ``[DONE]`` or to the end; what follows stays in `chunks`.

    Raises `BrokenStream` if it makes no sense or is too long, `ServiceError` if it says that it failed.
    """
    start, is_stream = _begin(chunks)
    if not is_stream:  # whatever its content type says (reported: proxies and firewalls)
        yield _whole(start, chunks, asked)
        return
    begun = False
    for sse in _framed(start, chunks):
        payload = sse.data.strip()
        if payload == DONE:
            return
        # reported: gateways wrap comments as data (llm-gateway#2053) and send pings as events (sub2api#1707)
        if not payload or payload.startswith(":") or sse.event in _PINGS:
            continue
        if sse.event == "error":
            raise _failure(payload, asked)
        events = _read_payload(payload, asked, begun=begun)
        begun = begun or any(isinstance(event, PART_OF_AN_ANSWER) for event in events)
        yield events


def read_refusal(chunks: Iterator[bytes]) -> object:
    """Return what a refusal says, as JSON where it is some, else as text; of a very long one the beginning."""
    content = bytearray()
    for chunk in chunks:
        content += chunk
        if len(content) > LONGEST_REFUSAL:
            break
    text = _text(content[:LONGEST_REFUSAL])
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _begin(chunks: Iterator[bytes]) -> tuple[bytes, bool]:
    """Read until it is certain whether this is a stream; return what was read, and whether it is one."""
    start = b""
    for chunk in chunks:
        start = _BLANK.sub(b"", start + chunk)  # reported: blank lines keep a connection alive until the answer
        if start.startswith(_FIELDS):
            return start, True
        if not any(beginning.startswith(start) for beginning in (_BOM, *_FIELDS)):
            return start, False
    return start, False


def _text(content: bytes | bytearray) -> str:
    """Decode as UTF-8, whatever the headers say."""
    return content.removeprefix(_BOM).decode("utf-8", "replace")


def _whole(start: bytes, chunks: Iterator[bytes], asked: Asked) -> list[Event]:
    content = bytearray(start)
    for chunk in chunks:
        content += chunk
        if len(content) > LONGEST_BODY:
            raise _too_long(LONGEST_BODY, "as one body")
    text = _text(content).strip()
    if not text:
        raise BrokenStream("The service sent an empty answer.", "Run the cell again.")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        if text.startswith(("{", "[")):
            raise BrokenStream(
                f"The service sent something that is not JSON: {quoted(text[:200])!r}", "Run the cell again."
            ) from None
        raise refusals.refused(0, text, url=asked.url) from None
    return read_completion(data, model=asked.model, url=asked.url)


def _framed(start: bytes, chunks: Iterator[bytes]) -> Iterator[httpx_sse.ServerSentEvent]:
    waiting = 0  # bytes of an event that has not ended

    def body() -> Iterator[bytes]:
        nonlocal waiting
        yield start
        for chunk in chunks:  # not `yield from`, which would close the connection when [DONE] ends this early
            if waiting > LONGEST_EVENT:
                raise _too_long(LONGEST_EVENT, "as one event")
            waiting += len(chunk)
            yield chunk
        yield b"\n\n"  # reported: the last event, or [DONE] (llama.cpp), may end without a blank line

    headers = {"Content-Type": "text/event-stream; charset=utf-8"}  # whatever its own say
    stream = httpx.Response(200, headers=headers, content=_with_error_events(body()))
    for sse in httpx_sse.EventSource(stream).iter_sse():
        waiting = 0
        yield sse


def _with_error_events(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Turn each line that begins as an error does outside the specification into an event named so."""
    before, line = b"\n", b""  # the byte that was passed on last; the beginning of a line that may be an error
    for chunk in chunks:
        piece = line + chunk
        end = max(piece.rfind(b"\n"), piece.rfind(b"\r")) + 1
        line = piece[end:] if end or before in (b"\n", b"\r") else b""
        if not line or not any(error.startswith(line) and error != line for error in _ERRORS):
            line = b""
        if b"error" in piece:
            piece = _ERROR_LINE.sub(_ERROR_EVENT, before + piece)[1:]
        piece = piece[: len(piece) - len(line)]
        if piece:
            before = piece[-1:]
            yield piece
    if line:
        yield line


def _failure(payload: str, asked: Asked) -> ServiceError:
    """Return the error that an event named so tells of."""
    try:
        said = json.loads(payload)
    except (ValueError, RecursionError):
        said = payload
    body = said if isinstance(said, dict) and said.get("error") else {"error": said}
    return refusals.refused(0, body, model=asked.model, url=asked.url)


def _read_payload(payload: str, asked: Asked, *, begun: bool) -> list[Event]:
    try:
        return read_chunk(payload, model=asked.model, url=asked.url)
    except BrokenStream:
        parts = [part for part in _SEAM.split(payload) if part.strip() not in ("", DONE)]
        if len(parts) == 1 and parts[0] == payload:
            raise
        return _read_parts(parts, asked, begun=begun)


def _read_parts(parts: list[str], asked: Asked, *, begun: bool) -> list[Event]:
    """Read several chunks that came as one event; what was cut off is passed over only if nothing is lost by it.

    Reported (GLM-5#66, kilocode#9432, opencode#8282): Z.ai cuts the first chunk of an attempt off before its
    text and begins anew in the same line, with another id and a later time. The remains of that attempt are
    no part of this answer. In mid-answer, though, or with text in it, or with the same id, a chunk that was
    cut off is text lost, and an answer with a hole must not pass for a whole one.
    """
    events: list[Event] = []
    for number, part in enumerate(parts):
        try:
            more = read_chunk(part, model=asked.model, url=asked.url)
        except BrokenStream as error:
            own, following = _ID.search(part), _ID.search("".join(parts[number + 1 : number + 2]))
            is_same = own is not None and following is not None and own[1] == following[1]
            if begun or is_same or number == len(parts) - 1 or _READABLE.search(part):
                raise BrokenStream(
                    f"The service cut off a part of its answer: {quoted(part[:200])!r}", error.remedy
                ) from None
            continue
        begun = begun or any(isinstance(event, PART_OF_AN_ANSWER) for event in more)
        events += more
    return events


def _too_long(limit: int, what: str) -> BrokenStream:
    return BrokenStream(
        f"The service sent more than {limit // 2**20} MiB {what}.",
        "That is no answer of a chat service. Is base_url the right address?",
    )
