"""The Batch API's objects and the lines of its files, as values; OpenAI's format, which GLM has too."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from glm_magic.errors import quoted
from glm_magic.protocol.models import GLM_HOSTS

# GLM's documented bounds of one file; OpenAI's are 50,000 requests and 200 MB.
MOST_REQUESTS, MOST_BYTES = 50_000, 100_000_000

# Confirmed: the status words of GLM and OpenAI. Others count as still under way.
OVER = ("completed", "failed", "expired", "cancelled")

_STATUS = {"canceled": "cancelled"}  # as some gateways spell it

OPENAI_URL, GLM_URL = "/v1/chat/completions", "/v4/chat/completions"

_OF_STREAMS = ("stream", "stream_options")  # a batch answers whole


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as the service describes it; ``""`` for a file that there is not (yet).

    `total`, `completed` and `failed` count requests. `problems` says why the whole batch failed. `created` is in
    seconds since the epoch, 0 where the service does not say.
    """

    id: str
    status: str
    input_file: str = ""
    output_file: str = ""
    error_file: str = ""
    total: int = 0
    completed: int = 0
    failed: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    created: float = 0.0

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in OVER and not self.lacks_answers

    @property
    def lacks_answers(self) -> bool:
        """Whether it is completed and does not name the file of its answers: some gateways do that a while later."""
        if self.status != "completed" or self.output_file:
            return False
        return self.completed > 0 or (not self.total and not self.error_file)


@dataclass(frozen=True, slots=True)
class Result:
    """One line of a result file: the request's `custom_id`, and a status with its body, as a response has them.

    A line that says an error without a response has status 0.
    """

    custom_id: str
    status: int
    body: object

    @property
    def is_answer(self) -> bool:
        """Whether the body is a completion, and no refusal."""
        return self.status == 200 and isinstance(self.body, dict) and "choices" in self.body


def url_of(host: str | None) -> str:
    """Return the `endpoint` that a batch at a host names, and the `url` of its lines."""
    return GLM_URL if host in GLM_HOSTS else OPENAI_URL


def in_batch(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a request as it stands in a batch: without the fields that ask for a stream."""
    return {name: value for name, value in body.items() if name not in _OF_STREAMS}


def request_line(custom_id: str, body: Mapping[str, Any], url: str) -> bytes:
    """Return the line of a request, with its end; `custom_id` is what the answer is known by."""
    line = {"custom_id": custom_id, "method": "POST", "url": url, "body": in_batch(body)}
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def files(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield the lines of one file after the other, each within the service's bounds."""
    file: list[bytes] = []
    size = 0
    for line in lines:
        if file and (len(file) == MOST_REQUESTS or size + len(line) > MOST_BYTES):
            yield file
            file, size = [], 0
        file.append(line)
        size += len(line)
    if file:
        yield file


def read_batch(body: object) -> Batch | None:
    """Return a batch; None if it is none."""
    if not isinstance(body, dict) or not _text(body.get("id")) or not _text(body.get("status")):
        return None
    counts, metadata = body.get("request_counts"), body.get("metadata")
    counts = counts if isinstance(counts, dict) else {}
    return Batch(
        id=_text(body["id"]),
        status=_STATUS.get(status := _text(body["status"]).lower(), status),
        input_file=_text(body.get("input_file_id")),
        output_file=_text(body.get("output_file_id")),
        error_file=_text(body.get("error_file_id")),
        total=_count(counts.get("total")),
        completed=_count(counts.get("completed")),
        failed=_count(counts.get("failed")),
        metadata={str(name): _text(value) for name, value in metadata.items()} if isinstance(metadata, dict) else {},
        problems=tuple(_problems(body.get("errors"))),
        created=float(_count(body.get("created_at"))),
    )


def read_result(line: bytes) -> Result | None:
    """Return what a line of an output or error file says; None for one that is damaged."""
    try:
        read = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(read, dict) or not isinstance(read.get("custom_id"), str):
        return None
    response = read.get("response")
    if isinstance(response, dict) and response.get("body") is not None:
        body = response["body"]
        implied = 200 if isinstance(body, dict) and "choices" in body else 0  # where a gateway leaves it out
        return Result(read["custom_id"], _count(response.get("status_code", implied)), body)
    return Result(read["custom_id"], 0, {"error": read.get("error") or "no answer"})


def _problems(errors: Any) -> Iterator[str]:
    """Yield what the errors of a batch say: OpenAI's are ``{"data": [{"message", "line", …}]}``."""
    found = errors.get("data") if isinstance(errors, dict) else errors
    for error in found if isinstance(found, list) else ():
        message = error.get("message") if isinstance(error, dict) else error
        where = error.get("line") if isinstance(error, dict) else None
        yield quoted(str(message)) + (f" (line {where})" if isinstance(where, int) else "")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: object) -> int:
    return value if type(value) is int and value > 0 else 0
