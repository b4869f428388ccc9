"""The Batch API, against the scripted server and, as the other side, the openai client's own idea of it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from batch_server import BatchServer
from glm_server import CUT, Answer, GlmServer, error

from glm_magic.errors import AnswerError, AuthenticationError, ConnectionFailed, ServiceError
from glm_magic.protocol.batch_files import GLM_URL, read_result, request_line
from glm_magic.service.batch import Batches
from glm_magic.service.endpoint import endpoint
from glm_magic.service.keys import Key
from glm_magic.service.services import Services
from glm_magic.settings.layers import Layers

KEY = "0123456789abcdef.canary-canary"


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with BatchServer(page=2) as server:
        yield server


@pytest.fixture
def batches(server: BatchServer) -> Iterator[Batches]:
    with asked(server) as batches:
        yield batches


def asked(server: GlmServer, **settings: Any) -> Any:
    return Services({}).batches(endpoint(server.url, Key(KEY, "a test")), Layers({}).values(settings))


def requests(batches: Batches, number: int) -> io.BytesIO:
    body = {"model": "GLM-4-Air", "messages": [{"role": "user", "content": "서울"}]}
    return io.BytesIO(b"".join(request_line(f"r-{at}", body, batches.url) for at in range(number)))


def test_what_is_submitted_comes_back_by_its_name(batches: Batches, server: BatchServer) -> None:
    batches.check()
    file = batches.upload(requests(batches, 3), "glm_magic-abc.jsonl")
    made = batches.create(file, {"glm_magic": "abc"})
    assert (made.status, made.is_over, made.metadata) == ("validating", False, {"glm_magic": "abc"})
    assert [line["url"] for line in server.lines(made.id)] == ["/v1/chat/completions"] * 3
    server.run(made.id, refused=("r-1",))
    done = batches.get(made.id)
    assert (done.total, done.completed, done.failed, done.is_over) == (3, 2, 1, True)
    answers = [read_result(line) for line in batches.download(done.output_file)]
    assert [(each.custom_id, each.is_answer) for each in answers if each] == [("r-2", True), ("r-0", True)]
    assert [each.custom_id for line in batches.download(done.error_file) if (each := read_result(line))] == ["r-1"]
    assert all(request.headers["authorization"] == f"Bearer {KEY}" for request in server.requests)


def test_glm_is_asked_not_to_delete_what_a_batch_asks(
    batches: Batches, server: BatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = batches.upload(requests(batches, 1), "a.jsonl")
    assert "auto_delete_input_file" not in server.batches[batches.create(file, {}).id]
    monkeypatch.setattr(Batches, "url", GLM_URL)
    assert server.batches[batches.create(file, {}).id]["auto_delete_input_file"] is False


def test_the_list_has_every_batch_the_latest_first(batches: Batches) -> None:
    file = batches.upload(requests(batches, 1), "glm_magic-abc.jsonl")
    made = [batches.create(file, {"glm_magic": str(number)}) for number in range(5)]
    assert [each.id for each in batches.all()] == [each.id for each in reversed(made)]


def test_a_batch_is_found_by_its_label_or_by_its_file_where_the_list_has_no_metadata(
    batches: Batches, server: BatchServer
) -> None:
    file = batches.upload(requests(batches, 1), "a.jsonl")
    made = batches.create(file, {"glm_magic": "abc"})
    assert batches.find("abc", "") == made
    del server.batches[made.id]["metadata"]
    found = batches.find("abc", file)
    assert found is not None
    assert found.id == made.id
    assert batches.find("abc", "file-9") is None


def test_a_line_without_a_response_says_why(batches: Batches) -> None:
    line = b'{"custom_id": "a", "response": null, "error": {"code": "batch_expired", "message": "too late"}}'
    result = read_result(line)
    assert result is not None
    with pytest.raises(ServiceError, match="The batch ended without an answer to this: too late"):
        list(batches.events(result, "GLM-4-Air"))


def test_a_batch_may_be_cancelled(batches: Batches) -> None:
    made = batches.create(batches.upload(requests(batches, 1), "a.jsonl"), {})
    assert batches.cancel(made.id).status == "cancelled"


def test_an_endpoint_without_the_routes_says_so_before_anything_is_uploaded() -> None:
    with GlmServer() as server, pytest.raises(ServiceError) as caught, asked(server) as batches:
        batches.check()
    assert caught.value.what == f"{server.url} has no Batch API (HTTP 404)."
    assert [request.method for request in server.requests] == ["GET"]


def test_an_id_that_is_not_there_any_more_is_told_apart(batches: Batches) -> None:
    for look in (batches.get, batches.cancel, lambda id_: list(batches.download(id_))):
        with pytest.raises(ServiceError) as caught:
            look("gone/../x")
        assert caught.value.status == 404


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (error(413, "<html>too large</html>"), ServiceError, "does not take a file of this size"),
        (error(401, {"error": {"code": "1000", "message": f"{KEY} is wrong"}}), AuthenticationError, "is wrong"),
        (error(400, {"error": {"message": "wrong purpose"}}), ServiceError, "wrong purpose"),
        (Answer([b'{"object": "file"}']), ServiceError, "not the Batch API's"),
        (Answer([CUT]), ConnectionFailed, ""),
    ],
)
def test_a_failed_upload_is_said_and_not_repeated(
    server: BatchServer, monkeypatch: pytest.MonkeyPatch, answer: Answer, kind: type[AnswerError], said: str
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(server, "other", lambda request: sent.append(request) or answer)
    with pytest.raises(kind) as caught, asked(server) as batches:
        batches.upload(requests(batches, 1), "a.jsonl")
    assert said in caught.value.what
    assert "canary" not in str(caught.value)
    assert len(sent) == 1


def test_a_download_that_breaks_off_gives_its_whole_lines_and_raises(
    server: BatchServer, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "other", lambda request: Answer([b'{"a": 1}\n{"b"', b': 2}\n{"c', CUT]))
    lines = batches.download("file-1")
    assert [next(lines), next(lines)] == [b'{"a": 1}', b'{"b": 2}']
    with pytest.raises(ConnectionFailed):
        next(lines)


def test_a_file_may_lack_the_end_of_its_last_line(server: BatchServer, batches: Batches) -> None:
    file = server.keep("odd", b"\n1\r\n\n22")
    assert list(batches.download(file)) == [b"", b"1\r", b"", b"22"]


def test_what_it_writes_and_reads_is_what_the_openai_client_does(server: BatchServer, batches: Batches) -> None:
    import openai

    with openai.OpenAI(base_url=server.url, api_key=KEY) as client:
        theirs = client.files.create(file=("theirs.jsonl", requests(batches, 1)), purpose="batch")
        made = client.batches.create(
            input_file_id=theirs.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"a": "b"}
        )
    ours = batches.create(batches.upload(requests(batches, 1), "ours.jsonl"), {"a": "b"})
    posted = [request for request in server.requests if request.method == "POST"]
    assert posted[1].body == {**posted[3].body, "input_file_id": theirs.id}
    assert server.lines(made.id) == server.lines(ours.id)
    assert batches.get(made.id).metadata == {"a": "b"}
