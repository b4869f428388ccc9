from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import httpx
import pytest
from glm_server import CUT, USAGE, Answer, GlmServer, chunk, data, error, stream, whole
from waiting import comes_true, readers

from glm_magic.chat.events import Facts, Notice, TextDelta, Tick
from glm_magic.chat.growing import ReplyBuilder
from glm_magic.chat.reply import Reply
from glm_magic.errors import (
    AnswerError,
    AuthenticationError,
    BalanceError,
    BrokenStream,
    ConnectionFailed,
    GlmError,
    ModelUnknown,
    RateLimited,
    ServiceDown,
    ServiceError,
    SetupError,
    Stalled,
)
from glm_magic.service import faults
from glm_magic.service.client import Client, Patience
from glm_magic.service.endpoint import Endpoint, endpoint
from glm_magic.service.exchange import PULL_SECONDS
from glm_magic.service.keys import Key

BODY: dict[str, Any] = {"model": "GLM-4-Air", "messages": [{"role": "user", "content": "hi"}], "stream": True}


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client()
    yield client
    client.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def patient(clock: Clock) -> Iterator[Client]:
    """A client whose waits pass at once, and last as long as backoff ever lets them."""
    client = Client(clock=clock, sleep=clock.sleep, draw=lambda: 1.0)
    yield client
    client.close()


def at(server: GlmServer, key: str | None = None) -> Endpoint:
    return endpoint(server.url, Key(key, "a test") if key else None)


def ask(client: Client, server: GlmServer, *, retries: int = 0, **patience: float) -> Reply:
    builder = ReplyBuilder()
    for event in client.stream(at(server), BODY, Patience(retries=retries, **patience)):
        builder.add(event)
    return builder.reply()


def test_a_stream_becomes_the_text_with_its_facts(client: Client, server: GlmServer) -> None:
    server.answer(stream("Seoul ", "is ", "서울."))
    reply = ask(client, server)
    assert (reply.text, reply.finish_reason, reply.model) == ("Seoul is 서울.", "stop", "GLM-4-Air")
    assert reply.usage is not None
    assert reply.usage.to_api() == USAGE


def test_the_body_arrives_as_it_was_given_and_goes_to_chat_completions(client: Client, server: GlmServer) -> None:
    ask(client, server)
    assert server.last.body == BODY
    assert server.last.path == "/v1/chat/completions"


def test_chinese_text_is_sent_as_utf_8_and_not_escaped(client: Client, server: GlmServer) -> None:
    body = {**BODY, "messages": [{"role": "user", "content": "北京"}]}
    list(client.stream(at(server), body, Patience()))
    assert "北京".encode() in server.last.raw


def test_the_key_goes_into_the_authorization_header(client: Client, server: GlmServer) -> None:
    list(client.stream(at(server, "id.secret"), BODY, Patience()))
    assert server.last.headers["authorization"] == "Bearer id.secret"


def test_without_a_key_no_authorization_is_sent(client: Client, server: GlmServer) -> None:
    ask(client, server)
    assert "authorization" not in server.last.headers


def test_a_completion_that_is_not_streamed_is_an_answer(client: Client, server: GlmServer) -> None:
    server.answer(whole("all at once"))
    assert ask(client, server).text == "all at once"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100_000])
def test_characters_and_events_may_be_split_anywhere(client: Client, server: GlmServer, size: int) -> None:
    wire = b"".join([*stream("서", "울 🏙", "\u2028\u0085|").steps])
    server.answer(Answer([wire[at : at + size] for at in range(0, len(wire), size)]))
    assert ask(client, server).text == "서울 🏙\u2028\u0085|"


def test_a_wrong_charset_is_not_believed(client: Client, server: GlmServer) -> None:
    answer = stream("中文")
    answer.headers = {"Content-Type": "text/event-stream; charset=ISO-8859-1"}
    server.answer(answer)
    assert ask(client, server).text == "中文"


def test_the_last_event_need_not_be_ended_by_a_blank_line(client: Client, server: GlmServer) -> None:
    server.answer(Answer([chunk("a"), chunk("b", finish_reason="stop").rstrip(b"\n")]))
    assert (ask(client, server).text) == "ab"


def test_comments_and_pings_are_passed_over(client: Client, server: GlmServer) -> None:
    noise = [b": ping\n\n", b"event: ping\ndata:\n\n", data(": OPENROUTER PROCESSING"), b"\r\n"]
    server.answer(Answer([*noise, chunk("a"), *noise, chunk("", finish_reason="stop"), data("[DONE]")]))
    assert ask(client, server).text == "a"


def test_text_that_has_arrived_is_given_at_once_whatever_follows(client: Client, server: GlmServer) -> None:
    gate = threading.Event()
    server.answer(stream("first", gate, " second"))
    events = client.stream(at(server), BODY, Patience())
    assert next(event for event in events if isinstance(event, TextDelta)).text == "first"
    assert isinstance(next(event for event in events if not isinstance(event, Facts)), Tick)
    gate.set()
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == " second"


def test_closing_in_mid_answer_frees_the_connection_and_the_thread(client: Client, server: GlmServer) -> None:
    gate = threading.Event()
    server.answer(stream("first", gate))
    events = client.stream(at(server), BODY, Patience())
    next(event for event in events if isinstance(event, TextDelta))
    events.close()  # type: ignore[attr-defined]
    assert server.hung_up.wait(60)
    assert comes_true(lambda: readers() == 0)


def test_closing_before_the_first_byte_frees_the_connection(client: Client, server: GlmServer) -> None:
    gate = threading.Event()
    server.answer(Answer([gate, chunk("late")]))
    events = client.stream(at(server), BODY, Patience())
    while not server.requests:
        assert isinstance(next(events), Tick)
    events.close()  # type: ignore[attr-defined]
    assert server.hung_up.wait(60)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
def test_ticks_go_on_after_a_signal_whose_handler_outlasts_one(client: Client, server: GlmServer) -> None:
    gate = threading.Event()
    server.answer(Answer([gate, chunk("late")]))
    handled = []

    def handle(*_: object) -> None:
        time.sleep(3 * PULL_SECONDS)  # a tick comes after one
        handled.append(True)

    in_mid_wait = threading.Timer(PULL_SECONDS / 2, signal.pthread_kill, (threading.get_ident(), signal.SIGUSR1))
    at_last = threading.Timer(20, gate.set)
    events = client.stream(at(server), BODY, Patience())
    assert isinstance(next(events), Tick)
    before = signal.signal(signal.SIGUSR1, handle)
    in_mid_wait.start()
    at_last.start()
    try:
        while not handled:
            assert isinstance(next(events), Tick)
        assert isinstance(next(events), Tick)
    finally:
        in_mid_wait.join()
        signal.signal(signal.SIGUSR1, before)
        at_last.cancel()
        gate.set()


def test_the_next_request_uses_the_same_connection(client: Client, server: GlmServer) -> None:
    for _ in range(3):
        ask(client, server)
    assert server.connections == 1


def test_an_answer_that_outlasts_the_client_leaves_no_connection_open(client: Client, server: GlmServer) -> None:
    gate = threading.Event()
    server.answer(stream("Half ", gate, "and whole."))
    events = client.stream(at(server), BODY, Patience())
    assert next(event for event in events if isinstance(event, TextDelta)).text == "Half "
    client.close()
    gate.set()
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "and whole."
    ask(client, server)
    assert server.connections == 2, "the first one was closed"


def test_a_kept_connection_that_the_service_has_closed_is_replaced_at_once(
    patient: Client, clock: Clock, server: GlmServer
) -> None:
    list(patient.stream(at(server), BODY, Patience()))
    server.answer(Answer([CUT]))
    events = list(patient.stream(at(server), BODY, Patience(retries=0)))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "You said: hi"
    assert not any(isinstance(event, Notice) for event in events)
    assert clock.slept == []


def test_a_request_after_an_abandoned_one_has_a_new_connection(client: Client, server: GlmServer) -> None:
    server.answer(stream("a", threading.Event()))
    events = client.stream(at(server), BODY, Patience())
    next(event for event in events if isinstance(event, TextDelta))
    events.close()  # type: ignore[attr-defined]
    assert ask(client, server).text == "You said: hi"


def test_an_answer_is_whole_at_done_though_the_response_stays_open(client: Client, server: GlmServer) -> None:
    answer = stream("whole")
    answer.steps.append(threading.Event())
    server.answer(answer)
    assert ask(client, server).text == "whole"
    assert server.hung_up.wait(60)
    assert comes_true(lambda: readers() == 0)
    assert ask(client, server).text == "You said: hi"


def test_an_answer_is_whole_at_done_though_the_connection_breaks_then(client: Client, server: GlmServer) -> None:
    answer = stream("whole")
    answer.steps.append(CUT)
    server.answer(answer)
    assert ask(client, server).text == "whole"
    assert ask(client, server).text == "You said: hi"


def test_frames_after_done_leave_the_connection_fit_for_the_next_request(client: Client, server: GlmServer) -> None:
    answer = stream("whole")
    answer.steps.append(chunk("never"))
    server.answer(answer)
    assert ask(client, server).text == "whole"
    assert ask(client, server).text == "You said: hi"
    assert server.connections == 1


def test_a_refusal_without_an_end_is_read_in_part(client: Client, server: GlmServer) -> None:
    gate = threading.Event()
    server.answer(Answer([b"<html><title>Busy</title>", *[b"x" * 2**18] * 8, gate], status=503))
    with pytest.raises(ServiceDown, match="Busy"):
        ask(client, server)


def test_what_may_pass_is_asked_again_with_backoff_and_said(patient: Client, clock: Clock, server: GlmServer) -> None:
    server.answer(*[error(500, {"error": {"code": "1234", "message": "again"}})] * 2, stream("now"))
    events = list(patient.stream(at(server), BODY, Patience(retries=3)))
    notices = [event.text for event in events if isinstance(event, Notice)]
    assert any("1 of 3" in text for text in notices)
    assert any("2 of 3" in text for text in notices)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "now"
    assert sum(clock.slept) == pytest.approx(1.0 + 2.0)


def test_a_refusal_because_of_too_many_requests_uses_up_no_retry(
    patient: Client, clock: Clock, server: GlmServer
) -> None:
    server.answer(*[error(429, {"error": {"code": "1302", "message": "slow down"}})] * 4, stream("now"))
    events = list(patient.stream(at(server), BODY, Patience(retries=0)))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "now"
    assert all("slow down" in event.text for event in events if isinstance(event, Notice))
    assert sum(clock.slept) == pytest.approx(1.0 + 2.0 + 4.0 + 8.0)


def test_a_service_that_refuses_everything_is_given_up_after_the_timeout(
    patient: Client, clock: Clock, server: GlmServer
) -> None:
    server.answer(*[error(429, {"error": {"code": "1302", "message": "slow down"}})] * 40)
    with pytest.raises(RateLimited, match=r"every request for 150 s .HTTP 429, code 1302"):
        list(patient.stream(at(server), BODY, Patience(silence=150)))
    assert clock.now == pytest.approx(150, abs=0.2)
    sent = len(server.requests)
    with pytest.raises(RateLimited):  # and a question after it is not sent before its time
        list(patient.stream(at(server), BODY, Patience(silence=150)))
    assert len(server.requests) == sent


def test_retry_after_is_honoured(patient: Client, clock: Clock, server: GlmServer) -> None:
    server.answer(error(503, {"error": {"message": "busy"}}, Retry_After="7"))
    list(patient.stream(at(server), BODY, Patience(retries=1)))
    assert sum(clock.slept) == pytest.approx(7.0)


def test_a_retry_after_that_is_a_date_is_honoured() -> None:
    date = "Wed, 21 Oct 2026 07:28:00 GMT"
    then = datetime(2026, 10, 21, 7, 28, tzinfo=timezone.utc).timestamp()
    assert faults.seconds_to_wait(date, then - 7) == 7
    assert faults.seconds_to_wait(date, then + 7) == 0


@pytest.mark.parametrize("value", ["", "soon", "nan", "inf", "Wed, 99 Oct 2026 07:28:00 GMT"])
def test_a_retry_after_that_is_neither_a_number_nor_a_date_is_ignored(value: str) -> None:
    assert faults.seconds_to_wait(value, 0.0) is None


def test_too_long_a_wait_is_an_error_that_says_how_long(patient: Client, clock: Clock, server: GlmServer) -> None:
    server.answer(error(429, {"error": {"code": "1302", "message": "slow down"}}, Retry_After="3600"))
    with pytest.raises(RateLimited) as caught:
        list(patient.stream(at(server), BODY, Patience(retries=3)))
    assert "wait 3600 s" in caught.value.remedy
    assert clock.slept == []
    assert len(server.requests) == 1


WITH_USAGE = {**BODY, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"message": "Unrecognized request argument: stream_options", "code": None}}),
        (422, {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]}),
    ],
)
def test_a_service_that_refuses_stream_options_is_asked_without_them_from_then_on(
    client: Client, server: GlmServer, status: int, body: Any
) -> None:
    server.answer(error(status, body), stream("fine"), stream("again"))
    for text in ("fine", "again"):
        events = list(client.stream(at(server), WITH_USAGE, Patience(retries=0)))
        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == text
    assert ["stream_options" in request.body for request in server.requests] == [True, False, False]


def test_a_refusal_of_something_else_is_not_asked_again_without_stream_options(
    client: Client, server: GlmServer
) -> None:
    server.answer(error(400, {"error": {"message": "bad temperature"}}))
    with pytest.raises(ServiceError):
        list(client.stream(at(server), WITH_USAGE, Patience(retries=3)))
    assert len(server.requests) == 1


def test_a_server_that_wants_a_slash_at_the_end_of_its_address_gets_it(client: Client, server: GlmServer) -> None:
    server.answer(error(307, {}, Location="/v1/chat/completions/"))
    assert ask(client, server).text == "You said: hi"
    assert ask(client, server).text == "You said: hi"
    paths = [request.path.removeprefix("/v1/chat/completions") for request in server.requests]
    assert paths == ["", "/", "/"]


def test_the_slash_at_the_end_of_the_path_stands_before_a_query(client: Client, server: GlmServer) -> None:
    server.answer(error(307, {}, Location="/v1/chat/completions/?a=1"))
    asked = Endpoint(f"{server.url}?a=1")
    assert "".join(event.text for event in client.stream(asked, BODY, Patience()) if isinstance(event, TextDelta))
    assert server.last.path == "/v1/chat/completions/?a=1"


@pytest.mark.parametrize(
    "location", ["https://elsewhere.example/v1/chat/completions/", "/v2/chat/completions/", "//x/"]
)
def test_a_slash_at_the_end_of_another_address_is_no_reason_to_go_there(
    client: Client, server: GlmServer, location: str
) -> None:
    server.answer(error(307, {}, Location=location))
    with pytest.raises(SetupError, match="key is not sent there"):
        ask(client, server)
    assert len(server.requests) == 1


def test_a_server_that_redirects_to_slashes_without_end_is_refused(client: Client, server: GlmServer) -> None:
    server.answer(*[error(307, {}, Location="/v1/chat/completions" + "/" * slashes) for slashes in (1, 2)])
    with pytest.raises(SetupError):
        ask(client, server)
    assert len(server.requests) == 2


def test_it_is_never_asked_more_often_than_retries_says(patient: Client, server: GlmServer) -> None:
    server.answer(*[error(500, {"error": {"code": "500", "message": "no"}})] * 9)
    with pytest.raises(ServiceDown):
        list(patient.stream(at(server), BODY, Patience(retries=2)))
    assert len(server.requests) == 3


def test_network_error_without_text_is_asked_again(client: Client, server: GlmServer) -> None:
    server.answer(Answer([chunk("", finish_reason="network_error"), data("[DONE]")]), stream("fine"))
    assert ask(client, server, retries=1).text == "fine"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, {"error": {"code": "401", "message": "token expired or incorrect"}}, AuthenticationError),
        (429, {"error": {"code": "1113", "message": "余额不足"}}, BalanceError),
        (400, {"error": {"code": "1211", "message": "模型不存在"}}, ModelUnknown),
        (404, {"timestamp": "x", "status": 404, "error": "Not Found", "path": "/v4/v1/chat/completions"}, ServiceError),
        (
            400,
            {"error": {"message": "bad", "type": "invalid_request_error", "param": None, "code": None}},
            ServiceError,
        ),
        (502, "<html><head><title>502 Bad Gateway</title></head></html>", ServiceDown),
        (400, {"detail": "nope"}, ServiceError),
    ],
)
def test_a_refusal_is_named_by_its_cause(
    client: Client, server: GlmServer, status: int, body: Any, kind: type[ServiceError]
) -> None:
    server.answer(error(status, body))
    with pytest.raises(kind) as caught:
        ask(client, server)
    assert type(caught.value) is kind
    assert caught.value.status == status


def test_an_empty_balance_is_not_asked_again(client: Client, server: GlmServer) -> None:
    server.answer(error(429, {"error": {"code": "1113", "message": "余额不足"}}))
    with pytest.raises(BalanceError):
        ask(client, server, retries=3)
    assert len(server.requests) == 1


def test_an_error_inside_a_stream_is_raised(client: Client, server: GlmServer) -> None:
    server.answer(Answer([chunk("half"), data({"error": {"code": "1305", "message": "overloaded"}})]))
    with pytest.raises(RateLimited):
        ask(client, server, retries=3)
    assert len(server.requests) == 1  # never after the first token


def test_an_error_body_with_status_200_is_raised(client: Client, server: GlmServer) -> None:
    server.answer(error(200, {"error": {"code": "1211", "message": "模型不存在"}}))
    with pytest.raises(ModelUnknown):
        ask(client, server)


def test_a_connection_cut_in_mid_answer_is_not_asked_again(client: Client, server: GlmServer) -> None:
    server.answer(Answer([chunk("half"), CUT]))
    with pytest.raises(BrokenStream):
        ask(client, server, retries=3)
    assert len(server.requests) == 1


def test_a_connection_cut_before_the_first_token_is_asked_again(client: Client, server: GlmServer) -> None:
    server.answer(Answer([CUT]), stream("fine"))
    assert ask(client, server, retries=1).text == "fine"


def test_a_refused_connection_says_where_nothing_answers(client: Client) -> None:
    with GlmServer() as gone:
        url = gone.url
    with pytest.raises(ConnectionFailed, match="Nothing answers at"):
        list(client.stream(endpoint(url, None), BODY, Patience(retries=0)))


def test_a_service_that_speaks_no_tls_is_told_apart_from_one_that_is_not_there(
    client: Client, server: GlmServer
) -> None:
    secure = server.url.replace("http:", "https:")
    with pytest.raises(ConnectionFailed, match="No secure connection") as caught:
        list(client.stream(endpoint(secure, None), BODY, Patience(retries=0)))
    assert "http" in caught.value.remedy


def test_the_services_name_for_the_request_is_shown(client: Client, server: GlmServer) -> None:
    server.answer(error(400, {"error": {"code": "1210", "message": "no"}}, X_Request_Id="req-77"))
    with pytest.raises(ServiceError, match="req-77"):
        ask(client, server)


def test_silence_longer_than_the_timeout_is_an_error(client: Client, server: GlmServer) -> None:
    server.answer(stream("a", threading.Event()))
    with pytest.raises(Stalled, match="silent for"):
        ask(client, server, silence=0.2)


def test_a_redirect_is_not_followed_and_the_key_stays(client: Client, server: GlmServer) -> None:
    with GlmServer() as elsewhere:
        server.answer(error(307, {}, Location=elsewhere.url + "/chat/completions"))
        with pytest.raises(SetupError, match="key is not sent there"):
            list(client.stream(at(server, "id.secret"), BODY, Patience()))
        assert elsewhere.requests == []


@pytest.mark.parametrize(
    ("variable", "value"), [("ALL_PROXY", "socks://127.0.0.1:1080"), ("SSL_CERT_FILE", "/nowhere/cert.pem")]
)
def test_a_broken_network_environment_is_said(
    client: Client, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SetupError, match="cannot be set up"):
        list(client.stream(endpoint("https://glm.invalid/v4", None), BODY, Patience()))


def test_a_proxy_is_not_asked_for_this_machine(
    client: Client, server: GlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert ask(client, server).text == "You said: hi"


def test_a_stream_that_is_not_json_is_broken(client: Client, server: GlmServer) -> None:
    server.answer(Answer([data("nonsense")]))
    with pytest.raises(BrokenStream, match="not JSON"):
        ask(client, server)


def test_no_error_shows_the_key(client: Client, server: GlmServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    server.answer(error(401, {"error": {"code": "401", "message": "no"}}))
    with pytest.raises(GlmError) as caught:
        list(client.stream(at(server, "id.canary-canary"), BODY, Patience()))
    said = repr(caught.value) + str(caught.value) + caplog.text + repr(vars(caught.value))
    assert "canary" not in said


def test_every_httpx_error_becomes_an_answer_error(client: Client, server: GlmServer) -> None:
    server.answer(Answer([b"not gzip"], headers={"Content-Encoding": "gzip", "Content-Type": "text/event-stream"}))
    with pytest.raises(AnswerError):
        ask(client, server)
    assert issubclass(httpx.DecodingError, httpx.HTTPError)


def test_sixteen_threads_may_ask_at_once(client: Client, server: GlmServer) -> None:
    texts: list[str] = []
    threads = [threading.Thread(target=lambda: texts.append(ask(client, server).text)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert texts == ["You said: hi"] * 16
    assert comes_true(lambda: readers() == 0)


def test_events_know_nothing_of_json_that_is_no_object(client: Client, server: GlmServer) -> None:
    server.answer(Answer([json.dumps([1, 2]).encode()]))
    with pytest.raises(BrokenStream):
        ask(client, server)
