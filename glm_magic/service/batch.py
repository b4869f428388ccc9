"""The Batch API over HTTP: upload, create, look, find, download, cancel. Nothing is repeated, so nothing is sent twice.

Never seen live from here: OpenAI's API, with GLM's `endpoint` string on GLM's own hosts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, BinaryIO
from urllib.parse import quote

from glm_magic.chat.events import Event
from glm_magic.errors import ServiceError, quoted
from glm_magic.protocol import refusals
from glm_magic.protocol.batch_files import GLM_URL, Batch, Result, read_batch, read_result, request_line, url_of
from glm_magic.protocol.chunks import AnswerReader
from glm_magic.service.calls import NO_ROUTE, Calls

WINDOW = "24h"  # the one that both GLM and OpenAI take
LABEL, CELL = "glm_magic", "glm_magic_cell"  # in the metadata: which batch it is, and of which cell
WITHOUT = "Ask without a batch (--batch, batch=True)."  # what to do where there is no Batch API

_PAGE = 100
_MOST_PAGES = 100
_TOO_LARGE = 413


class Batches:
    """The batches of one endpoint.

    Every method raises `ServiceError` if the service refuses (its `status` is 404 for an id that is not there, or not
    any more), and `ConnectionFailed` and the like as a question does.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    @property
    def url(self) -> str:
        """The `url` of each line of a file."""
        return url_of(self._calls.endpoint.host)

    def line(self, custom_id: str, body: Mapping[str, Any]) -> bytes:
        """Return a request body as a line of a file."""
        return request_line(custom_id, self._calls.endpoint.written(body), self.url)

    def check(self) -> None:
        """Raise `ServiceError` if the endpoint has no Batch API; nothing is uploaded for that."""
        with self._route():
            self._page({"limit": "1"})

    def upload(self, file: BinaryIO, name: str) -> str:
        """Upload a file of requests, and return its id."""
        files, data = {"file": (name, file, "application/jsonl")}, {"purpose": "batch"}
        with self._route():
            try:
                body = self._calls.json("POST", "/files", files=files, data=data)
            except ServiceError as error:
                if error.status == _TOO_LARGE:
                    error.what = f"The service does not take a file of this size: {error.what}"
                    error.remedy = "Ask fewer at a time: a part of the rows, or one model after the other."
                raise
        id_ = body.get("id") if isinstance(body, dict) else None
        if not isinstance(id_, str) or not id_:
            raise self._unread(body)
        return self._calls.hidden(id_)

    def create(self, file: str, metadata: Mapping[str, str]) -> Batch:
        """Create a batch of an uploaded file. `metadata` is what it is found by in the list: `LABEL` and `CELL`."""
        wish: dict[str, Any] = {"input_file_id": file, "endpoint": self.url, "completion_window": WINDOW}
        if self.url == GLM_URL:  # which deletes it by default, and it tells what a batch asks where the store is lost
            wish["auto_delete_input_file"] = False
        wish["metadata"] = dict(metadata)
        with self._route():
            return self._batch(self._calls.json("POST", "/batches", json=wish))

    def get(self, id_: str) -> Batch:
        """Return a batch as it is now."""
        return self._batch(self._calls.json("GET", f"/batches/{_safe(id_)}"))

    def all(self) -> Iterator[Batch]:
        """Yield the batches that the service tells of, mostly the latest first."""
        after: dict[str, str] = {}
        for _ in range(_MOST_PAGES):
            entries, has_more = self._page({"limit": str(_PAGE), **after})
            yield from map(self._without_key, filter(None, map(read_batch, entries)))
            last = entries[-1].get("id") if entries else None
            if not has_more or not isinstance(last, str) or after.get("after") == last:
                return
            after = {"after": last}
        raise ServiceError(f"{self._calls.endpoint.base_url} lists more than {_PAGE * _MOST_PAGES:,} batches.")

    def find(self, label: str, file: str) -> Batch | None:
        """Return the batch with this label in its metadata, or, as some lists leave that out, of this input file."""
        return next((each for each in self.all() if each.metadata.get(LABEL) == label or each.input_file == file), None)

    def cancel(self, id_: str) -> Batch:
        """Cancel a batch; what it has answered by then is still there."""
        return self._batch(self._calls.json("POST", f"/batches/{_safe(id_)}/cancel"))

    def download(self, file: str) -> Iterator[bytes]:
        """Yield the lines of a file, in whatever order they come. It may break off: then it raises."""
        return self._calls.lines(f"/files/{_safe(file)}/content")

    def results(self, batch: Batch) -> Iterator[Result]:
        """Yield what came of the requests of a batch; damaged lines are skipped. It raises as `download` does."""
        for file in filter(None, (batch.output_file, batch.error_file)):
            yield from filter(None, map(read_result, self.download(file)))

    def events(self, result: Result, model: str) -> Iterator[Event]:
        """Yield the events of an answer, with the key masked in them. Raises `AnswerError` if it is a refusal."""
        endpoint = self._calls.endpoint
        masking = endpoint.key.masking() if endpoint.key is not None else None
        with self._calls.masked():
            events = _read(result, model, endpoint.url)
        yield from events if masking is None else masking.masked(events)

    def _page(self, query: Mapping[str, str]) -> tuple[list[dict[str, Any]], bool]:
        """Return a page of the list, and whether there are more."""
        body = self._calls.json("GET", "/batches", query)
        entries = body.get("data") if isinstance(body, dict) else None
        if not isinstance(body, dict) or not isinstance(entries, list):
            raise self._unread(body)
        return [entry for entry in entries if isinstance(entry, dict)], body.get("has_more") is True

    @contextlib.contextmanager
    def _route(self) -> Iterator[None]:
        """Say shortly that there is no Batch API, where the route is missing."""
        try:
            yield
        except ServiceError as error:
            if error.status in NO_ROUTE:
                raise ServiceError(
                    f"{self._calls.endpoint.base_url} has no Batch API (HTTP {error.status}).",
                    WITHOUT,
                    status=error.status,
                ) from None
            raise

    def _batch(self, body: object) -> Batch:
        found = read_batch(body)
        if found is None:
            raise self._unread(body)
        return self._without_key(found)

    def _without_key(self, batch: Batch) -> Batch:
        """Return a batch as it may be shown and written down."""
        hidden = self._calls.hidden
        return replace(
            batch,
            id=hidden(batch.id),
            status=hidden(batch.status),
            input_file=hidden(batch.input_file),
            output_file=hidden(batch.output_file),
            error_file=hidden(batch.error_file),
            problems=tuple(map(hidden, batch.problems)),
            metadata={name: hidden(text) for name, text in batch.metadata.items()},
        )

    def _unread(self, body: object) -> ServiceError:
        said = self._calls.hidden(quoted(str(body)))[:200]
        return ServiceError(
            f"{self._calls.endpoint.base_url} answered with what is not the Batch API's: {said}",
            WITHOUT,
        )


def _read(result: Result, model: str, url: str) -> list[Event]:
    if not result.status:
        raise ServiceError(f"The batch ended without an answer to this: {_message(result.body)}", "Run the cell again.")
    if not result.is_answer:
        raise refusals.refused(result.status, result.body, model=model, url=url)
    reader = AnswerReader(model=model, url=url)
    return [*reader.read_completion(result.body), *reader.rest()]


def _message(body: Any) -> str:
    """Return what a line says that has an error and no response."""
    error = body.get("error") if isinstance(body, dict) else body
    if isinstance(error, dict):
        error = error.get("message") or error.get("code") or error
    return quoted(str(error))


def _safe(id_: str) -> str:
    return quote(id_, safe="")
