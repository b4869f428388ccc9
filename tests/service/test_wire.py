from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from pathlib import Path

import pytest
from glm_server import chunk, data, error
from hypothesis import given, settings
from hypothesis import strategies as st

from glm_magic.chat.events import Event, TextDelta
from glm_magic.chat.growing import ReplyBuilder
from glm_magic.chat.messages import Message
from glm_magic.errors import BrokenStream, GlmError, ModelUnknown, ServiceError
from glm_magic.protocol.chunks import AnswerReader
from glm_magic.service import wire

MIB = 2**20
FILES = sorted(path.read_bytes() for path in (Path(__file__).parent.parent / "streams").glob("[!.]*"))
# what the formats have a meaning for, so that chance finds its way past the first line
WORDS = (
    b'data: data:error:event:id:retry::[DONE]{}[]"\\\r\n\n\r\t ,<\xef\xbb\xbf\xff\x00\xe2\x80\xa8'
    b'{"error"{"choices":[{"delta":{"content":"a"}}]}null"id""tool_calls""usage""code""message"ping'
)
TOKENS = [bytes([byte]) for byte in set(WORDS)] + [
    b"data: ",
    b"error: ",
    b"event: error\n",
    b"\n\n",
    b"\r\n",
    b"[DONE]",
    b'{"error": ',
    b'{"choices":[{"delta":{"content":"a"}}]}',
    b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{"}}]}}]}',
    b'{"id":"x","choi',
    b"\xef\xbb\xbf",
]


def reader() -> AnswerReader:
    return AnswerReader(model="GLM-4-Flash", url="http://127.0.0.1/v1/chat/completions")


def read(*pieces: bytes) -> list[Event]:
    return list(chain.from_iterable(wire.read(iter(pieces), reader())))


class Endless:
    """A body without an end, which counts what is taken from it."""

    def __init__(self, start: bytes, piece: bytes) -> None:
        self.taken = 0
        self._pieces = chain([start], repeat(piece))

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = next(self._pieces)
        self.taken += len(piece)
        return piece


def test_what_follows_done_is_left_for_the_caller() -> None:
    chunks = iter([chunk("a"), data("[DONE]"), b"more"])
    assert [event.text for event in chain.from_iterable(wire.read(chunks, reader())) if isinstance(event, TextDelta)]
    assert list(chunks) == [b"more"]


def test_events_are_given_before_more_is_taken() -> None:
    body = Endless(chunk("first"), chunk("next"))
    events = next(wire.read(body, reader()))
    assert isinstance(events[0], TextDelta)
    assert body.taken == len(chunk("first"))


def test_a_line_that_may_be_an_error_holds_up_no_event_before_it() -> None:
    pieces = iter([chunk("first") + b"err", chunk("next")])
    assert isinstance(next(wire.read(pieces, reader()))[0], TextDelta)
    assert next(pieces)


@pytest.mark.parametrize("beginning", [b"e", b"erro", b"event", b'{"er', b""])
def test_a_line_that_only_begins_like_an_error_is_none(beginning: bytes) -> None:
    events = read(chunk("a") + beginning, b"\n" + chunk("b"), beginning)
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["a", "b"]


def test_the_word_error_inside_a_line_is_text() -> None:
    assert [event.text for event in read(chunk('error: {"error"')) if isinstance(event, TextDelta)] == [
        'error: {"error"'
    ]


@pytest.mark.parametrize("payload", [b"out of memory", b'"out of memory"', b'{"message": "out of memory"}'])
def test_an_error_event_is_an_error_whatever_its_form(payload: bytes) -> None:
    with pytest.raises(ServiceError, match="out of memory"):
        read(b"error:" + payload + b"\n\n")


@pytest.mark.parametrize("payload", [b"null", b"{}", b"[]", b'""'])
def test_an_error_event_that_says_nothing_is_an_error_still(payload: bytes) -> None:
    with pytest.raises(ServiceError):
        read(b"event: error\ndata: " + payload + b"\n\n")


def test_an_error_in_a_stream_names_the_model_that_was_asked_for() -> None:
    with pytest.raises(ModelUnknown, match="GLM-4-Flash"):
        read(data({"error": {"code": "1211", "message": "模型不存在"}}))


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        pytest.param(b"data: ", b"x" * MIB, id="a line"),
        pytest.param(b"data: x\n", (b"data: " + b"x" * 1017 + b"\n") * 1024, id="an event of many lines"),
        pytest.param(b": ", b"x" * MIB, id="a comment"),
    ],
)
def test_an_event_without_an_end_is_refused(start: bytes, piece: bytes) -> None:
    body = Endless(start, piece)
    with pytest.raises(BrokenStream, match="16 MiB"):
        list(wire.read(body, reader()))
    assert body.taken <= wire.LONGEST_EVENT + 3 * MIB


def test_a_long_answer_of_small_events_is_no_long_event() -> None:
    heap = chunk("x" * 1000) * 1000
    pieces = repeat(heap, 18)
    texts = [event for events in wire.read(pieces, reader()) for event in events if isinstance(event, TextDelta)]
    assert len(texts) == 18_000


@pytest.mark.parametrize("start", [b'{"a": "', b"<html>", b"text"])
def test_a_body_without_an_end_is_refused(start: bytes) -> None:
    body = Endless(start, b"x" * MIB)
    with pytest.raises(BrokenStream, match="64 MiB"):
        list(wire.read(body, reader()))
    assert body.taken <= wire.LONGEST_BODY + 2 * MIB


def test_of_a_refusal_without_an_end_the_beginning_is_read() -> None:
    body = Endless(b"<html>", b"x" * MIB)
    assert str(wire.read_body(body)).startswith("<html>")
    assert body.taken <= wire.LONGEST_REFUSAL + 2 * MIB


def test_blank_lines_without_an_end_take_no_memory() -> None:
    pieces = chain(repeat(b"\n" * 1000, 1000), [chunk("a")])
    assert any(isinstance(event, TextDelta) for event in chain.from_iterable(wire.read(pieces, reader())))


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"error":' * 100_000])
def test_json_nested_too_deeply_is_no_answer_and_no_crash(content: bytes) -> None:
    for body in (content, b"data: " + content, b"error: " + content):
        with pytest.raises(GlmError):
            read(body)
    assert isinstance(wire.read_body(iter([content])), str)


@pytest.mark.parametrize("depth", range(900, 1000, 7))
def test_json_nested_almost_too_deeply_is_no_crash(depth: int) -> None:
    content = b"[" * depth + b"]" * depth
    for body in (content, b"data: " + content, b'{"error":' + content + b"}", b'data: {"choices":' + content + b"}"):
        with contextlib.suppress(GlmError):
            read(body)


def test_a_refusal_is_read_as_json_where_it_is_some() -> None:
    assert wire.read_body(iter(error(400, {"detail": "서울"}).steps)) == {"detail": "서울"}
    assert wire.read_body(iter([b"\xef\xbb\xbf{}"])) == {}
    assert wire.read_body(iter(["서울".encode()[:2]])) == "\ufffd"


def outcome(pieces: Iterable[bytes]) -> tuple[object, str]:
    """What becomes of these bytes: the reply, and the error if there is one; any other exception is a fault."""
    builder, said = ReplyBuilder(), ""
    try:
        for events in wire.read(iter(pieces), reader()):
            for event in events:
                builder.add(event)
    except GlmError as error:
        said = repr(error)
    reply = builder.reply()
    assert Message("assistant", reply.text, reply.tool_calls).to_api()
    return reply, said


def check(content: bytes, cuts: list[int]) -> None:
    """Whether these bytes become events or an error that says so, and the same however they are cut."""
    ends = [*sorted(cut % (len(content) + 1) for cut in cuts), len(content)]
    assert outcome(content[a:b] for a, b in zip([0, *ends], ends, strict=False)) == outcome([content])


CUTS = st.lists(st.integers(0, 10_000), max_size=8)


@settings(max_examples=500)
@given(st.binary(max_size=400), CUTS)
def test_any_bytes_are_events_or_an_error_that_says_so(content: bytes, cuts: list[int]) -> None:
    check(content, cuts)
    check(b"data: " + content, cuts)


@settings(max_examples=1000)
@given(st.lists(st.sampled_from(TOKENS), max_size=25).map(b"".join), CUTS)
def test_any_words_of_the_formats_are_events_or_an_error_that_says_so(content: bytes, cuts: list[int]) -> None:
    check(content, cuts)


@settings(max_examples=1000)
@given(
    st.sampled_from(FILES),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 60), st.sampled_from([b"", *TOKENS]), st.booleans())),
    CUTS,
)
def test_what_was_damaged_on_its_way_is_events_or_an_error_that_says_so(
    content: bytes, damages: list[tuple[int, int, bytes, bool]], cuts: list[int]
) -> None:
    for at, length, instead, is_doubled in damages:
        start = at % (len(content) + 1)
        end = start + length
        content = content[:start] + instead + (content[start:end] * 2 if is_doubled else b"") + content[end:]
    check(content, cuts)
