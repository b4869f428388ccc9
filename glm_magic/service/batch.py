"""The Batch API over HTTP: upload, create, look, list, download, cancel. Nothing is repeated, so nothing is sent twice.

Never seen live from here: OpenAI's API, with GLM's `endpoint` string on GLM's own hosts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

from glm_magic.errors import ServiceError, quoted
from glm_magic.protocol.batch_files import Batch, read_batch, url_of
from glm_magic.service.calls import NO_ROUTE, Calls

WINDOW = "24h"  # the one that both GLM and OpenAI take

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
        return url_of(urlsplit(self._calls.base_url).hostname)

    def check(self) -> None:
        """Raise `ServiceError` if the endpoint has no Batch API; nothing is uploaded for that."""
        with self._route():
            self._page("/batches", {"limit": "1"})

    def upload(self, file: BinaryIO, name: str) -> str:
        """Upload a file of requests, and return its id. `name` is what `find_file` finds it by."""
        files, data = {"file": (name, file, "application/jsonl")}, {"purpose": "batch"}
        with self._route():
            try:
                body = self._calls.json("POST", "/files", files=files, data=data)
            except ServiceError as error:
                if error.status == _TOO_LARGE:
                    error.what = f"The service does not take a file of this size: {error.what}"
                    error.remedy = "Ask fewer at a time: a part of the rows, or one model after the other."
                raise
        return self._id(body)

    def find_file(self, name: str) -> str:
        """Return the id of an uploaded file by its name, ``""`` if it is not there."""
        files = self._pages("/files", {"purpose": "batch"})
        return next((self._id(entry) for entry in files if entry.get("filename") == name), "")

    def create(self, file: str, metadata: Mapping[str, str]) -> Batch:
        """Create a batch of an uploaded file. `metadata` is what it is found by in the list."""
        wish = {"input_file_id": file, "endpoint": self.url, "completion_window": WINDOW, "metadata": dict(metadata)}
        with self._route():
            return self._batch(self._calls.json("POST", "/batches", json=wish))

    def get(self, id_: str) -> Batch:
        """Return a batch as it is now."""
        return self._batch(self._calls.json("GET", f"/batches/{_safe(id_)}"))

    def all(self) -> Iterator[Batch]:
        """Yield the batches that the service tells of, mostly the latest first."""
        for entry in self._pages("/batches", {}):
            if (found := read_batch(entry)) is not None:
                yield found

    def cancel(self, id_: str) -> Batch:
        """Cancel a batch; what it has answered by then is still there."""
        return self._batch(self._calls.json("POST", f"/batches/{_safe(id_)}/cancel"))

    def download(self, file: str) -> Iterator[bytes]:
        """Yield the lines of a result file, in whatever order they come. It may break off: then it raises."""
        return self._calls.lines(f"/files/{_safe(file)}/content")

    def _pages(self, path: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Yield the entries of a list, page by page."""
        after: dict[str, str] = {}
        for _ in range(_MOST_PAGES):
            entries, has_more = self._page(path, {**query, "limit": str(_PAGE), **after})
            yield from entries
            last = entries[-1].get("id") if entries else None
            if not has_more or not isinstance(last, str) or after.get("after") == last:
                return
            after = {"after": last}

    def _page(self, path: str, query: Mapping[str, str]) -> tuple[list[dict[str, Any]], bool]:
        body = self._calls.json("GET", path, query)
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
                    f"{self._calls.base_url} has no Batch API (HTTP {error.status}).",
                    "Run the cell without --batch.",
                    status=error.status,
                ) from None
            raise

    def _batch(self, body: object) -> Batch:
        found = read_batch(body)
        if found is None:
            raise self._unread(body)
        return found

    def _id(self, body: object) -> str:
        id_ = body.get("id") if isinstance(body, dict) else None
        if not isinstance(id_, str) or not id_:
            raise self._unread(body)
        return id_

    def _unread(self, body: object) -> ServiceError:
        return ServiceError(
            f"{self._calls.base_url} answered with what is not the Batch API's: {quoted(str(body))[:200]}",
            "Run the cell without --batch.",
        )


def _safe(id_: str) -> str:
    return quote(id_, safe="")
