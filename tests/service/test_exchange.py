"""What one exchange makes of bytes that come as no ordinary server writes them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from glm_server import Answer, GlmServer, chunk, data, stream, whole

from glm_magic.chat.events import Event, TextDelta
from glm_magic.errors import BrokenStream, ServiceDown, Stalled
from glm_magic.service.client import Client, Patience
from glm_magic.service.endpoint import endpoint
from glm_magic.service.exchange import Exchange
from glm_magic.service.limiter import Limiter

BODY: dict[str, Any] = {"model": "GLM-4-Air", "messages": [{"role": "user", "content": "hi"}], "stream": True}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def framed(*events: bytes) -> bytes:
    """Each event as one chunk of the transfer encoding."""
    return b"".join(f"{len(event):x}\r\n".encode() + event + b"\r\n" for event in events)


WHOLE = HEAD + framed(*[chunk("ab")] * 200, chunk(finish_reason="stop"), data("[DONE]")) + b"0\r\n\r\n"


@contextmanager
def raw_server(write: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve one connection: read a request, and leave the rest to `write`."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError), listening.accept()[0] as opened:
            opened.recv(65536)
            write(opened)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    finally:
        listening.close()
        thread.join(10)


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client()
    yield client
    client.close()


def ask(client: Client, url: str, **patience: Any) -> list[Event]:
    return list(client.stream(endpoint(url, None), BODY, Patience(retries=0, **patience)))


def test_chunks_that_arrive_together_travel_as_one_delta(client: Client) -> None:
    with raw_server(lambda opened: opened.sendall(WHOLE)) as url:
        texts = [event.text for event in ask(client, url) if isinstance(event, TextDelta)]
    assert "".join(texts) == "ab" * 200
    assert len(texts) <= len(WHOLE) / 1000  # a read of the socket holds far more than one chunk


class FakeConnection:
    has_arrived = False


@pytest.mark.parametrize(
    ("has_arrived", "in_a_read", "rests"),
    [
        pytest.param(False, 2, 16, id="a trickle"),
        pytest.param(True, 2, 0, id="more has arrived"),
        pytest.param(False, 300, 0, id="a burst"),
    ],
)
def test_a_reader_rests_in_a_trickle_alone_and_not_at_its_beginning(
    has_arrived: bool, in_a_read: int, rests: int
) -> None:
    connection, rested = FakeConnection(), []
    connection.has_arrived = has_arrived
    exchange = Exchange(
        connection,  # type: ignore[arg-type]
        endpoint("http://127.0.0.1/v1", None),
        BODY,
        Patience(),
        slot=Limiter().slot(),
        clock=lambda: 0.0,
        rest=lambda: rested.append(1) or 0.0,  # type: ignore[func-returns-value]
    )
    for _ in range(20):
        exchange._heap += [TextDelta("a")] * in_a_read
        exchange._before_read(None)
    assert len(rested) == rests


def test_a_reader_hands_on_what_it_has_read_before_it_rests() -> None:
    handed_on: list[object] = []
    exchange = Exchange(
        FakeConnection(),  # type: ignore[arg-type]
        endpoint("http://127.0.0.1/v1", None),
        BODY,
        Patience(),
        slot=Limiter().slot(),
        clock=lambda: 0.0,
        rest=lambda: handed_on.append(exchange._arrived.get_nowait()) or 0.0,  # type: ignore[func-returns-value]
    )
    exchange._reads = 100
    exchange._heap += [TextDelta("a"), TextDelta("b")]
    exchange._before_read(None)
    assert handed_on == [[TextDelta("ab")]]


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(b"HTTP/1.1 103 Early Hints\r\n\r\n", id="1xx responses"),
        pytest.param(HEAD + framed(b"\n" * 100), id="blank lines"),
        pytest.param(HEAD + framed(b": ping\n\n"), id="comments"),
        pytest.param(HEAD + framed(b"event: ping\ndata: {}\n\n"), id="pings"),
    ],
)
def test_a_service_that_sends_no_content_is_silent_whatever_else_it_sends(client: Client, again: bytes) -> None:
    def write(opened: socket.socket) -> None:
        opened.sendall(again)
        while True:  # until the client hangs up
            opened.sendall(again.removeprefix(HEAD))

    with raw_server(write) as url, pytest.raises(Stalled, match=r"silent for 0\.2 s"):
        ask(client, url, silence=0.2)


def test_a_slow_body_is_not_silent_while_it_grows(client: Client, server: GlmServer) -> None:
    seconds = iter(range(1000))
    client._clock = lambda: float(next(seconds))
    answer = whole("x" * 20)
    answer.steps = [bytes([byte]) for byte in answer.steps[0]]
    server.answer(answer)
    assert "".join(event.text for event in ask(client, server.url, silence=50) if isinstance(event, TextDelta))


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "br", "zstd"])
def test_a_compressed_answer_is_refused_and_not_expanded(client: Client, server: GlmServer, encoding: str) -> None:
    answer = stream("hi")
    answer.headers["Content-Encoding"] = encoding
    server.answer(answer)
    with pytest.raises(BrokenStream, match=f"compressed its answer .{encoding}"):
        ask(client, server.url)


def test_the_encoding_identity_is_no_compression(client: Client, server: GlmServer) -> None:
    answer = stream("hi")
    answer.headers["Content-Encoding"] = "identity"
    server.answer(answer)
    assert TextDelta("hi") in ask(client, server.url)


def test_a_compressed_refusal_is_named_by_its_status_without_the_garbage(client: Client, server: GlmServer) -> None:
    refusal = Answer([b"\x0b\x02\x80garbage"], 503, {"Content-Type": "application/json", "Content-Encoding": "br"})
    server.answer(refusal)
    with pytest.raises(ServiceDown, match="compressed as br") as caught:
        ask(client, server.url)
    assert "garbage" not in str(caught.value)


def test_cookies_are_neither_kept_nor_sent_back(client: Client, server: GlmServer) -> None:
    answer = stream("hi")
    answer.headers["Set-Cookie"] = "session=" + "x" * 1000
    server.answer(answer)
    ask(client, server.url)
    ask(client, server.url)
    assert server.connections == 1
    assert "cookie" not in server.last.headers


def test_few_idle_connections_are_kept_however_many_addresses_were_asked(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glm_magic.service.client._MOST_IDLE", 2)
    with GlmServer() as first:
        ask(client, first.url)
        for _ in range(3):
            with GlmServer() as server:
                ask(client, server.url)
        ask(client, first.url)
        assert first.connections == 2  # it was asked longest ago
    assert len(client._idle) == 2
    assert client._under_way == 0
