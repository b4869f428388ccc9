"""Each way of writing an answer that was met in the wild, from a file of its bytes to the reply or the error.

The files in tests/streams are named for the cause; the values in them are invented, the shapes are not.
Those that name LiteLLM, llama.cpp or transformers were recorded by the servers of tests/real_servers.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from glm_server import Answer, GlmServer

from glm_magic import errors
from glm_magic.asking.loop import Loop, Stream
from glm_magic.chat.events import Finished, ToolCallDelta
from glm_magic.chat.messages import Usage
from glm_magic.chat.reply import Reply
from glm_magic.protocol.chunks import AnswerReader
from glm_magic.service import wire
from glm_magic.service.client import Client, Patience
from glm_magic.service.endpoint import endpoint

STREAMS = Path(__file__).parent.parent / "streams"

TEXT, HALF = "Seoul ist 서울 🏙.", "Seoul ist 서울"
USAGE = Usage(7, 5, 12)
SEOUL, OSLO = '{"city":"Seoul"}', '{"city":"Oslo"}'
SSE = "text/event-stream"


@dataclass(frozen=True)
class Dialect:
    """One file, the source of its shape, and what is to come of it.

    `calls` are name, arguments and, where the service gives one, id. With `error` the rest is what has
    arrived before it; `said` is part of what the error says.
    """

    file: str
    source: str
    text: str = TEXT
    reasoning: str = ""
    calls: tuple[tuple[str, ...], ...] = ()
    usage: Usage | None = USAGE
    finish: str = "stop"
    error: str = ""
    said: str = ""
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": SSE})


def tools(file: str, source: str, *calls: tuple[str, ...], text: str = "", **more: Any) -> Dialect:
    return Dialect(file, source, text, calls=calls, finish="tool_calls", **more)


def broken(file: str, source: str, error: str, said: str, text: str = "", **more: Any) -> Dialect:
    more = {"usage": None, "finish": "", **more}
    return Dialect(file, source, text, error=error, said=said, **more)


DIALECTS = (
    Dialect("glm-4-as-documented.sse", "GLM4-DOC"),
    # choices
    Dialect("empty-choices-on-the-first-chunk.sse", "Azure, MindSearch#310"),
    Dialect("empty-choices-on-the-usage-chunk.sse", "OpenAI's include_usage; Bedrock, llmeter#34"),
    Dialect("empty-choices-to-keep-alive.sse", "NIM, hello-agents#377"),
    Dialect("null-fields.sse", "llama.cpp's first chunk"),
    Dialect("choices-index-1-before-index-0.sse", "gateways that ask for several"),
    Dialect("choices-woven.sse", "the specification of n"),
    Dialect("choice-of-index-1-alone.sse", "gateways"),
    Dialect("choice-index-counts-tokens.sse", "servers that take the index for that of the chunk"),
    Dialect("message-instead-of-delta.sse", "servers that stream bodies"),
    Dialect("whole-message-after-its-deltas.sse", "servers that stream bodies"),
    Dialect("text-of-a-choice.sse", "the completions before chat"),
    Dialect("finish-reason-of-another-protocol.sse", "LiteLLM's table of finish reasons"),
    # tool calls
    tools("tool-calls-without-index.sse", "Ollama, ollama#7881", ("get_weather", SEOUL, "call_a"), ("get_time", OSLO)),
    tools(
        "tool-calls-of-one-name-without-index-or-id.sse",
        "Gemini proxies, AstrBot#6692",
        ("get_weather", SEOUL),
        ("get_weather", OSLO),
    ),
    tools(
        "tool-calls-index-zero-for-all.sse",
        "older vLLM; SGLang, lmdeploy#3412",
        ("get_weather", SEOUL, "call_a"),
        ("get_weather", OSLO, "call_b"),
    ),
    tools(
        "tool-call-ids-change-on-each-fragment.sse",
        "GLM-4's demo server, GLM-4#194",
        ("get_weather", SEOUL, "call_DfU2"),
    ),
    tools(
        "tool-call-ids-empty-null-or-missing.sse",
        "vLLM; Mistral's relay, opencode#49692",
        ("get_weather", SEOUL, "call_a"),
    ),
    tools(
        "tool-call-id-repeated-last-fragment-on-the-finish-chunk.sse",
        "GLM on other hosts, lingua#318, vllm#44098",
        ("get_weather", SEOUL, "call_a"),
    ),
    tools(
        "tool-call-whole-after-text-and-finish-reason-repeated.sse",
        "GLM-4, langchain#26693",
        ("get_weather", SEOUL, "call_9012_0"),
        text="Let me look.",
    ),
    tools(
        "tool-calls-in-fragments-by-index.sse",
        "GLM-4.6 with tool_stream",
        ("get_weather", SEOUL, "call_a"),
        ("get_time", OSLO, "call_b"),
    ),
    tools("tool-call-arguments-as-an-object.sse", "SPEC's response schema", ("get_weather", '{"city": "Seoul"}')),
    tools("tool-calls-as-an-object.sse", "gateways", ("get_weather", SEOUL, "call_a")),
    tools("tool-call-as-a-legacy-function-call.sse", "OpenAI before tools", ("get_weather", SEOUL)),
    tools("tool-call-empty-object-before-the-arguments.sse", "ogx#5462, cogito#66", ("get_weather", SEOUL, "call_a")),
    tools("tool-call-arguments-twice.sse", "OmniRoute#11144", ("get_weather", SEOUL, "call_a")),
    tools("tool-call-fragments-and-then-the-whole.sse", "continue#5849", ("get_weather", SEOUL, "call_a")),
    tools("tool-call-each-fragment-the-whole-so-far.sse", "after continue#5849", ("get_weather", SEOUL, "call_a")),
    tools(
        "tool-calls-told-apart-by-id-alone.sse",
        "OmniRoute#11144",
        ("get_weather", SEOUL, "call_a"),
        ("get_time", OSLO, "call_b"),
    ),
    tools(
        "tool-call-index-as-text-or-float.sse",
        "gateways in languages with one kind of number",
        ("get_weather", SEOUL, "call_a"),
        ("get_time", OSLO, "call_b"),
    ),
    tools("tool-call-name-in-two-fragments.sse", "servers that stream tokens", ("get_weather", SEOUL, "call_a")),
    tools(
        "llama-cpp-tool-call.sse",
        "recorded: llama.cpp of xllamacpp 2026.10",
        ("get_weather", '{"city": "Seoul"}', "zTWfNNv7XuZQ1Gk3kV5G5i3KsA4cZ4Gb"),
        text="",
        usage=Usage(398, 32, 430),
    ),
    tools(
        "litellm-tool-call.sse",
        "recorded: LiteLLM 1.108.7 before llama.cpp",
        ("get_weather", '{"city": "Seoul"}', "Eyup4sD6vQ1iiXtlhadizShoBtNSQYaf"),
        text="",
        usage=Usage(398, 32, 430),
    ),
    # text, reasoning, usage
    Dialect(
        "litellm-usage-beside-an-empty-delta.sse",
        "recorded: LiteLLM 1.108.7 before llama.cpp",
        "Southeast Asia, specifically in",
        usage=Usage(37, 6, 43, 36),
        finish="length",
    ),
    Dialect(
        "transformers-serve-usage-on-the-finish-chunk-and-no-done.sse",
        "recorded: transformers 5.24.0",
        "Southeast Asia, specifically in",
        usage=Usage(37, 6, 43),
        finish="length",
    ),
    Dialect("content-as-a-list-of-parts.sse", "Mistral's thinking models", reasoning="Hm, 서울?"),
    Dialect("refusal.sse", "OpenAI's structured answers", finish="refusal"),
    Dialect("think-tags-in-the-text.sse", "GLM-Z1 and GLM-4.1V without a reasoning parser", reasoning="Hm, 서울?"),
    Dialect("think-tag-never-closed.sse", "the token limit", "", reasoning="Hm, 서울?", finish="length"),
    Dialect("think-tags-in-a-code-block.sse", "answers about them", "```\n<think>Hm</think>\n```"),
    Dialect("all-text-in-one-block.sse", "Ollama with tools, ollama#12557"),
    Dialect("reasoning-by-its-other-name.sse", "Ollama, newer vLLM, OpenRouter", reasoning="Hm, 서울?"),
    Dialect("reasoning-by-both-names.sse", "OpenRouter", reasoning="Hm, 서울?"),
    Dialect("usage-on-each-chunk.sse", "SGLang"),
    Dialect("usage-empty-or-null-on-each-chunk.sse", "Mistral, LiteLLM#1371", usage=None),
    Dialect("usage-absent.sse", "vLLM without stream_options", usage=None),
    Dialect("length.sse", "GLM4-DOC", finish="length"),
    # framing
    Dialect("comments.sse", "llama.cpp#24013, OpenRouter"),
    Dialect("comment-as-data.sse", "llm-gateway#2053"),
    Dialect("ping-events.sse", "sub2api#1707, sub2api#5105"),
    Dialect("no-space-after-data.sse", "iFlow", headers={"Content-Type": f"{SSE};charset=UTF-8"}),
    Dialect("wrong-charset.sse", "httpx obeys it", headers={"Content-Type": f"{SSE}; charset=ISO-8859-1"}),
    Dialect("crlf.sse", "new-api"),
    Dialect("done-without-a-blank-line.sse", "llama.cpp, apogee#139"),
    Dialect("no-done.sse", "dropped connections"),
    Dialect("no-done-and-the-last-event-not-ended.sse", "dropped connections"),
    Dialect("a-frame-after-done.sse", "OpenCode Zen"),
    Dialect("id-and-retry-fields.sse", "llmgateway#2334"),
    Dialect("no-blank-line-between-events.sse", "llama.cpp#14268"),
    Dialect("byte-order-mark.sse", "the specification of server-sent events"),
    Dialect("blank-lines-before-the-stream.sse", "gateways that keep the connection alive"),
    Dialect("u2028-u2029-u0085.sse", "httpx's iter_lines", text="Seoul\u2028ist\u2029서울\u0085\\\u000b\u000c\u001c🏙."),
    Dialect("character-in-two-halves-of-one-chunk.sse", "servers that escape all but ASCII"),
    broken("no-finish-reason.sse", "dropped connections", "BrokenStream", "ended before", HALF + " 🏙."),
    broken("not-json.sse", "gateways", "BrokenStream", "not JSON", HALF),
    # errors
    broken("error-as-a-field.sse", "llama.cpp before late 2025, llama.cpp#16109", "ServiceError", "context size"),
    broken("error-as-a-field-in-mid-answer.sse", "llama.cpp#16109", "ServiceDown", "context shift", HALF),
    broken("error-with-no-field.sse", "lemonade#2826", "ServiceError", "context size"),
    broken("error-with-an-event-name.sse", "llama.cpp#16109 as proposed", "RateLimited", "1302", HALF),
    broken("error-first.sse", "vLLM, SGLang", "ServiceDown", "model not loaded"),
    broken("error-in-mid-answer.sse", "LiteLLM#32237", "RateLimited", "1302", HALF),
    broken("error-beside-choices.sse", "OpenRouter", "ServiceDown", "upstream died", HALF),
    broken("error-as-a-bare-string.sse", "LiteLLM#6629", "ServiceError", "engine died", HALF),
    broken("error-flat.sse", "vLLM before 0.10.1", "ServiceError", "maximum context length"),
    broken("sensitive-after-text.sse", "SAFE", "Withdrawn", "content filter"),
    broken("network-error-after-text.sse", "SPEC", "ServiceDown", "network_error", HALF, finish="network_error"),
    broken("content-filter-after-text.sse", "Azure, OpenAI", "Withdrawn", "content filter"),
    broken("abort-after-text.sse", "vllm#57082", "ServiceDown", "abort", HALF, finish="abort", usage=USAGE),
    broken("error-in-a-choice.sse", "OpenRouter", "ServiceDown", "upstream died", HALF),
    broken("blank-though-tokens-were-counted.sse", "gateways", "BrokenStream", "5 tokens"),
    broken("blank-but-for-an-unknown-field.sse", "OpenAI's audio", "BrokenStream", "choices[].delta.audio"),
    broken("blank-though-a-tool-is-called.sse", "Ollama, ollama#9092", "BrokenStream", "call a tool"),
    # a chunk that is cut off, with the next one in its line
    Dialect("truncated-json-with-the-next-data-inside.sse", "Z.ai, GLM-5#66, kilocode#9432"),
    Dialect("truncated-json-cut-in-its-id.sse", "Z.ai, opencode#23442"),
    Dialect("truncated-json-ended-by-a-newline.sse", "Z.ai, opencode#25858"),
    broken("truncated-json-with-text-in-it.sse", "after GLM-5#66", "BrokenStream", "truncated"),
    broken("truncated-json-of-the-same-answer.sse", "after GLM-5#66", "BrokenStream", "truncated"),
    broken("truncated-json-in-mid-answer.sse", "after GLM-5#66", "BrokenStream", "truncated", HALF),
    broken("truncated-json-after-text-in-one-event.sse", "after llama.cpp#14268", "BrokenStream", "truncated", HALF),
    broken("truncated-json-at-the-end.sse", "dropped connections", "BrokenStream", "not JSON", HALF),
    # a body where a stream was due
    Dialect("a-json-body-where-a-stream-was-due.json", "proxies", reasoning="Hm, 서울?", headers={}),
    Dialect("a-json-body-as-an-event-stream.json", "proxies", reasoning="Hm, 서울?"),
    tools(
        "a-json-body-with-tool-calls.json",
        "GLM-4, captures",
        ("get_weather", SEOUL, "call_-8001"),
        ("get_time", OSLO, "call_-8002"),
    ),
    Dialect("a-json-body-with-parts.json", "Mistral's thinking models", reasoning="Hm, 서울?", headers={}),
    broken("a-json-body-with-an-error-in-its-choice.json", "OpenRouter", "ServiceDown", "upstream died", HALF),
    broken("a-json-body-cut-off.json", "proxies", "BrokenStream", "not JSON"),
    broken("an-error-body-with-200.json", "zai-sdk shows an empty answer", "ModelUnknown", "GLM-4-Flash"),
    broken("an-error-body-of-a-wrong-path-with-200.json", "GLM's gateway", "ServiceError", "/v4/v1/chat/completions"),
    broken("a-json-body-that-is-no-completion.json", "GLM's gateway", "BrokenStream", "404 NOT_FOUND"),
    broken(
        "html-where-a-stream-was-due.html",
        "firewalls",
        "ServiceError",
        "Access denied",
        headers={"Content-Type": "text/html"},
    ),
    broken("plain-text-where-a-stream-was-due.txt", "Envoy", "ServiceError", "upstream connect error"),
    broken("an-empty-body.txt", "dropped connections", "BrokenStream", "empty answer"),
)

every_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.file)


@pytest.fixture(scope="module")
def shared_server() -> Iterator[GlmServer]:
    with GlmServer() as server:
        yield server


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    client = Client()
    yield client
    client.close()


def content(dialect: Dialect) -> bytes:
    return (STREAMS / dialect.file).read_bytes()


def split(content: bytes, rng: random.Random) -> list[bytes]:
    """Cut anywhere, as often as not into very small pieces."""
    cuts = sorted(rng.sample(range(len(content) + 1), min(rng.choice((1, 3, 40, 200)), len(content))))
    return [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]


def seen(stream: Stream) -> tuple[Reply | None, errors.GlmError | None]:
    """Ask, and return the reply or what had arrived of it, and the error."""
    turn = Loop({"model": "GLM-4-Flash"}, stream, lambda: 0.0)
    try:
        events = list(turn)
    except errors.AnswerError as error:
        return error.partial, error
    assert isinstance(events[-1], Finished)
    return events[-1].reply, None


def reader() -> AnswerReader:
    return AnswerReader(model="GLM-4-Flash", url="http://127.0.0.1/v1/chat/completions")


def off_the_wire(pieces: Iterable[bytes]) -> tuple[Reply | None, errors.GlmError | None]:
    return seen(lambda request: chain.from_iterable(wire.read(iter(pieces), reader())))


def through_a_socket(
    client: Client, server: GlmServer, dialect: Dialect, pieces: list[bytes]
) -> tuple[Reply | None, errors.GlmError | None]:
    server.answer(Answer(pieces, headers=dialect.headers))
    return seen(lambda request: client.stream(endpoint(server.url, None), request, Patience(retries=0)))


def check(dialect: Dialect, outcome: tuple[Reply | None, errors.GlmError | None]) -> None:
    reply, error = outcome
    if dialect.error:
        assert isinstance(error, getattr(errors, dialect.error)), error
        assert dialect.said in str(error)
        if not dialect.text:
            assert reply is None
            return
    else:
        assert error is None
    assert reply is not None
    assert (reply.text, reply.reasoning, reply.finish_reason) == (dialect.text, dialect.reasoning, dialect.finish)
    assert reply.usage == dialect.usage
    assert len(reply.tool_calls) == len(dialect.calls)
    for call, (name, arguments, *ids) in zip(reply.tool_calls, dialect.calls, strict=True):
        assert (call.name, call.arguments) == (name, arguments)
        assert call.id
        assert ids in ([], [call.id])
    assert len({call.id for call in reply.tool_calls}) == len(reply.tool_calls)


def test_each_file_of_bytes_has_its_expectation_and_its_source() -> None:
    assert sorted(dialect.file for dialect in DIALECTS) == sorted(
        path.name for path in STREAMS.iterdir() if not path.name.startswith(".")
    )
    assert all(dialect.source for dialect in DIALECTS)


@every_dialect
def test_each_dialect_is_understood_in_one_piece(client: Client, shared_server: GlmServer, dialect: Dialect) -> None:
    check(dialect, through_a_socket(client, shared_server, dialect, [content(dialect)]))


@every_dialect
def test_each_dialect_is_understood_in_pieces(client: Client, shared_server: GlmServer, dialect: Dialect) -> None:
    pieces = split(content(dialect), random.Random(dialect.file))
    check(dialect, through_a_socket(client, shared_server, dialect, pieces))


@every_dialect
def test_each_dialect_is_understood_byte_by_byte(dialect: Dialect) -> None:
    check(dialect, off_the_wire(bytes([byte]) for byte in content(dialect)))


@every_dialect
def test_each_dialect_is_understood_however_it_is_split(dialect: Dialect) -> None:
    for seed in range(10):
        check(dialect, off_the_wire(split(content(dialect), random.Random(f"{dialect.file}{seed}"))))


@pytest.mark.parametrize(
    "file",
    [
        "crlf.sse",
        "error-as-a-field-in-mid-answer.sse",
        "truncated-json-with-the-next-data-inside.sse",
        "a-json-body-where-a-stream-was-due.json",
    ],
)
def test_bytes_one_by_one_through_a_socket_are_an_answer_too(
    client: Client, shared_server: GlmServer, file: str
) -> None:
    dialect = next(dialect for dialect in DIALECTS if dialect.file == file)
    check(dialect, through_a_socket(client, shared_server, dialect, [bytes([byte]) for byte in content(dialect)]))


# but for snapshots: half of one is not the whole so far
CALLS = [dialect for dialect in DIALECTS if dialect.calls and "whole-so-far" not in dialect.file]


@pytest.mark.parametrize("dialect", CALLS, ids=lambda dialect: dialect.file)
def test_calls_are_the_same_however_their_arguments_are_split(dialect: Dialect) -> None:
    events = list(chain.from_iterable(wire.read(iter([content(dialect)]), reader())))
    for number, event in enumerate(events):
        for cut in range(1, len(event.arguments) if isinstance(event, ToolCallDelta) else 0):
            assert isinstance(event, ToolCallDelta)
            first = replace(event, arguments=event.arguments[:cut])
            second = replace(event, name=None, arguments=event.arguments[cut:])
            split_events = [*events[:number], first, second, *events[number + 1 :]]
            check(dialect, seen(lambda request, split_events=split_events: iter(split_events)))
