"""Reads the bytes of one response as events: its framing, its end, and a body where a stream was expected.

The strategy:

1. Look at the first bytes. A response that begins like a field of server-sent events is a stream, anything else
   is one body, whatever its content type says.
2. Leave the framing to httpx-sse. In front of it, rewrite the lines by which some servers report an error outside
   of the specification, since a decoder that is true to it would skip them.
3. Skip payloads that are known not to be chunks (pings, comments). Read every other payload as a chunk of the answer.
4. A payload that is not JSON may be two chunks run together: read them apart if no text is lost by it, else fail.
   An answer with a hole must not pass for a complete one.

Every workaround names the server that needs it and tags the fact: confirmed (an official document, an SDK's source
or a captured response) or reported.
"""

from __future__ import annotations

import codecs
import itertools
import json
import re
from collections.abc import Iterator

import httpx
import httpx_sse

from glm_magic.chat.events import Event
from glm_magic.errors import BrokenStream, ServiceError, quoted
from glm_magic.protocol import refusals
from glm_magic.protocol.chunks import DONE, AnswerReader

# Bounds in bytes: no service needs more, and a response without an end must not fill the memory.
LONGEST_EVENT, LONGEST_BODY, LONGEST_REFUSAL = 16 * 2**20, 64 * 2**20, 2**20

_BOM = b"\xef\xbb\xbf"
_BLANK = re.compile(rb"\A(?:\s|\xef\xbb\xbf)+")
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b"error:", b":")
_PINGS = ("ping", "heartbeat", "keepalive", "keep-alive")


def read(pieces: Iterator[bytes], reader: AnswerReader) -> Iterator[list[Event]]:
    """Yield the events of each payload of a response, to ``[DONE]`` or to the end; what follows stays in `pieces`.

    Whatever is yielded, even an empty list, is content; pings and blank lines yield nothing. The facts that every
    chunk repeats are an event only where they are new.
    Raises `BrokenStream` if the response is malformed or too long, `ServiceError` if it reports an error.
    """
    start, is_stream = _begin(pieces)
    try:
        yield from (_stream if is_stream else _whole)(start, pieces, reader)
    except Exception:
        yield reader.rest()
        raise
    yield reader.rest()


def read_body(pieces: Iterator[bytes], most: int = LONGEST_REFUSAL) -> object:
    """Return a body, parsed if it is JSON, else as text; of one that is longer than `most` bytes the beginning."""
    content = bytearray()
    for piece in pieces:
        content += piece
        if len(content) > most:
            break
    text = _text(content[:most])
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _begin(pieces: Iterator[bytes]) -> tuple[bytes, bool]:
    """Read until it is clear whether this is a stream; return what was read, and whether it is one."""
    start = b""
    for piece in pieces:
        start = _BLANK.sub(b"", start + piece)  # reported: blank lines keep a connection alive until the answer
        if start.startswith(_FIELDS):
            return start, True
        if not any(beginning.startswith(start) for beginning in (_BOM, *_FIELDS)):
            return start, False
    return start, False


def _text(content: bytes | bytearray) -> str:
    """Decode as UTF-8, whatever the headers say."""
    return content.removeprefix(_BOM).decode("utf-8", "replace")


def _stream(start: bytes, pieces: Iterator[bytes], reader: AnswerReader) -> Iterator[list[Event]]:
    for sse in _framed(start, pieces):
        payload, kind = sse.data.strip(), sse.event
        if payload == DONE:
            return
        # reported: gateways wrap comments as data (llm-gateway#2053) and send pings as events (sub2api#1707)
        if not payload or payload[0] == ":" or kind in _PINGS:
            continue
        if kind == "error":
            raise _failure(payload, reader)
        try:
            yield reader.read_chunk(payload)
        except BrokenStream as error:
            yield from _read_parts(payload, reader, error)


def _whole(start: bytes, pieces: Iterator[bytes], reader: AnswerReader) -> Iterator[list[Event]]:
    content = bytearray(start)
    for piece in pieces:
        yield []  # the body grows
        content += piece
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
        raise refusals.refused(0, text, url=reader.url) from None
    yield reader.read_completion(data)


class _Stream(httpx.Response):
    """Text for httpx-sse: decoded as UTF-8, whatever the charset of the response itself."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__(200, headers={"Content-Type": "text/event-stream"})
        self._pieces = pieces
        self.waiting = 0  # bytes of the event that has not ended; whoever takes events sets it back

    def iter_text(self, chunk_size: int | None = None) -> Iterator[str]:  # noqa: ARG002 - as httpx declares it
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        for piece in self._pieces:
            if self.waiting > LONGEST_EVENT:
                raise _too_long(LONGEST_EVENT, "as one event")
            self.waiting += len(piece)
            if text := decode(piece):
                yield text
        if text := decode(b"", final=True):
            yield text


def _framed(start: bytes, pieces: Iterator[bytes]) -> Iterator[httpx_sse.ServerSentEvent]:
    # The chain leaves `pieces`, and so the connection, open where [DONE] ends the stream early.
    # Reported: the last event, or [DONE] (llama.cpp), may end without a blank line.
    stream = _Stream(_with_error_events(itertools.chain((start,), pieces, (b"\n\n",))))
    for sse in httpx_sse.EventSource(stream).iter_sse():
        stream.waiting = 0
        yield sse


# llama.cpp before late 2025 writes a field `error` (reported: its #16109), and gateways pass a JSON error
# on without any field (reported: lemonade#2826).
_ERRORS = (b"error:", b'{"error"')
_ERROR_LINE = re.compile(rb'(?<=[\r\n])(?:error:|(?=\{"error"))')
_ERROR_EVENT = b"event: error\ndata: "


def _with_error_events(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Turn each line that reports an error outside of the specification into an event named ``error``."""
    before, line = b"\n", b""  # the byte that was passed on last; the beginning of a line that may be an error
    for arrived in pieces:
        if not line and arrived.endswith(b"\n") and b"error" not in arrived:
            before = b"\n"
            yield arrived
            continue
        piece = line + arrived
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


def _failure(payload: str, reader: AnswerReader) -> ServiceError:
    """Return the error that an event named ``error`` reports."""
    try:
        error = json.loads(payload)
    except (ValueError, RecursionError):
        error = payload
    body = error if isinstance(error, dict) and error.get("error") else {"error": error}
    return refusals.refused(0, body, model=reader.model, url=reader.url)


_SEAM = re.compile(r"\n|data:\s*(?=\{)")
_READABLE = re.compile(r'"(?:content|reasoning_content|reasoning|arguments)"\s*:\s*"[^"]')
_ID = re.compile(r'"id"\s*:\s*"([^"]+)"')


def _read_parts(payload: str, reader: AnswerReader, error: BrokenStream) -> Iterator[list[Event]]:
    """Read several chunks that came as one event; skip a truncated one only if no text is lost by it.

    Raises the `error` of the whole event if it is a single chunk.

    Reported (GLM-5#66, kilocode#9432, opencode#8282): Z.ai truncates the first chunk of an attempt before its
    text, and starts again on the same line, with another id and a later time. The remains of the first attempt
    are not part of this answer. A chunk that is truncated in mid-answer, that has text, or that has the id of
    the next one is text lost.
    """
    parts = [part for part in _SEAM.split(payload) if part.strip() not in ("", DONE)]
    if parts == [payload]:
        raise error
    for number, part in enumerate(parts):
        try:
            yield reader.read_chunk(part)
        except BrokenStream:
            own, following = _ID.search(part), _ID.search("".join(parts[number + 1 : number + 2]))
            is_same = own is not None and following is not None and own[1] == following[1]
            if reader.has_begun or is_same or number == len(parts) - 1 or _READABLE.search(part):
                raise BrokenStream(
                    f"The service truncated a part of its answer: {quoted(part[:200])!r}", error.remedy
                ) from None


def _too_long(limit: int, what: str) -> BrokenStream:
    return BrokenStream(
        f"The service sent more than {limit // 2**20} MiB {what}.",
        "A chat service does not do that. Check base_url.",
    )
