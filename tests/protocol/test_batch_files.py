"""The lines and the objects of the Batch API."""

from __future__ import annotations

import json

import pytest

from glm_magic.protocol import batch_files
from glm_magic.protocol.batch_files import Batch, files, read_batch, read_result, request_line, url_of


def test_a_line_holds_one_request_whole() -> None:
    line = request_line(
        "r-1", {"model": "GLM-4-Air", "messages": [{"role": "user", "content": "서울\u2028\n"}]}, "/v4/x"
    )
    assert line.count(b"\n") == 1
    assert line.endswith(b"}\n")
    assert json.loads(line) == {
        "custom_id": "r-1",
        "method": "POST",
        "url": "/v4/x",
        "body": {"model": "GLM-4-Air", "messages": [{"role": "user", "content": "서울\u2028\n"}]},
    }


def test_glms_own_hosts_have_an_endpoint_of_their_own() -> None:
    assert url_of("open.bigmodel.cn") == "/v4/chat/completions"
    assert url_of("127.0.0.1") == url_of(None) == "/v1/chat/completions"


def test_a_file_ends_where_the_service_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_files, "MOST_REQUESTS", 3)
    monkeypatch.setattr(batch_files, "MOST_BYTES", 10)
    lines = [b"12345", b"12345", b"1", b"2", b"3", b"4", b"12345678901234", b"5"]
    assert list(files(lines)) == [[b"12345", b"12345"], [b"1", b"2", b"3"], [b"4"], [b"12345678901234"], [b"5"]]
    assert list(files([])) == []


def test_a_batch_is_read_with_what_it_has() -> None:
    read = read_batch(
        {
            "id": "batch_1",
            "status": "completed",
            "input_file_id": "f-1",
            "output_file_id": "f-2",
            "error_file_id": None,
            "request_counts": {"total": 3, "completed": 2, "failed": 1},
            "metadata": {"glm_magic": "abc"},
            "errors": {"object": "list", "data": [{"message": "bad line", "line": 7}, "odd"]},
        }
    )
    assert read == Batch(
        "batch_1", "completed", "f-1", "f-2", "", 3, 2, 1, {"glm_magic": "abc"}, ("bad line (line 7)", "odd")
    )
    assert read.is_over


@pytest.mark.parametrize("status", ["validating", "in_progress", "finalizing", "cancelling", "a new word"])
def test_what_is_not_over_may_still_come(status: str) -> None:
    read = read_batch({"id": "b", "status": status, "request_counts": "?", "metadata": None, "errors": None})
    assert read == Batch("b", status)
    assert not read.is_over


@pytest.mark.parametrize(("status", "read_as"), [("COMPLETED", "completed"), ("canceled", "cancelled")])
def test_a_status_is_read_as_gateways_write_it(status: str, read_as: str) -> None:
    read = read_batch({"id": "b", "status": status, "output_file_id": "f-2"})
    assert read is not None
    assert (read.status, read.is_over) == (read_as, True)


def test_a_completion_without_a_status_is_an_answer() -> None:
    line = {"custom_id": "a", "response": {"body": {"choices": []}}}
    read = read_result(json.dumps(line).encode())
    assert read is not None
    assert read.is_answer


@pytest.mark.parametrize("body", [None, [], "text", {}, {"id": "b"}, {"id": 7, "status": "completed"}])
def test_what_is_no_batch_is_none(body: object) -> None:
    assert read_batch(body) is None


def test_a_result_is_an_answer_or_an_error() -> None:
    completion = {"choices": []}
    answer = read_result(json.dumps({"custom_id": "a", "response": {"status_code": 200, "body": completion}}).encode())
    assert answer is not None
    assert (answer.custom_id, answer.status, answer.body, answer.is_answer) == ("a", 200, completion, True)
    refused = read_result(b'{"custom_id": "b", "response": {"status_code": 400, "body": {"error": {"code": "1210"}}}}')
    assert refused is not None
    assert (refused.status, refused.is_answer) == (400, False)
    expired = read_result(b'{"custom_id": "c", "response": null, "error": {"code": "batch_expired"}}')
    assert expired is not None
    assert (expired.status, expired.body, expired.is_answer) == (0, {"error": {"code": "batch_expired"}}, False)


@pytest.mark.parametrize("line", [b"", b'{"custom_id": "a", "resp', b"[]", b"7", b'{"id": "a"}', b"\xff", b"[" * 9999])
def test_a_damaged_line_is_none(line: bytes) -> None:
    assert read_result(line) is None
