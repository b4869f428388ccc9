"""Requests to an endpoint's other routes: models, files, batches. None is retried."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import httpx

from glm_magic.errors import BrokenStream, GlmError, SetupError
from glm_magic.service import faults, wire
from glm_magic.service.connection import Connection
from glm_magic.service.endpoint import Endpoint
from glm_magic.service.exchange import HEADERS, Bearer, Patience

NO_ROUTE = (404, 405, 501)  # the statuses of an endpoint that does not have what is asked for


class Calls:
    """Requests to one endpoint, one at a time, on a connection of their own. The key goes as with a question.

    It is masked in every error, where the error is made: who catches it may show it.
    """

    def __init__(self, connection: Connection, endpoint: Endpoint, patience: Patience) -> None:
        self.endpoint = endpoint
        self._connection = connection
        self._patience = patience

    def json(self, method: str, path: str, query: Mapping[str, str] | None = None, **content: Any) -> object:
        """Send a request, and return its answer, parsed if it is JSON, else as text.

        `path` comes after the base URL, `content` is httpx's: `json`, or `files` and `data`. Raises `ServiceError` if
        the service refuses, `ConnectionFailed` and the like as a question does.
        """
        asked = replace(self.endpoint, path=path)
        try:
            return self._json(asked, method, query, content)
        except faults.SlashWanted:
            return self._json(asked.with_slash, method, query, content)

    def lines(self, path: str) -> Iterator[bytes]:
        """Yield the lines of a file without their ends. Raises as `json` does, also in the middle of the file."""
        rest = b""
        with self._response(replace(self.endpoint, path=path), "GET", None, {}) as response:
            for piece in response.iter_raw():
                *whole, rest = (rest + piece).split(b"\n")
                yield from whole
                if len(rest) > wire.LONGEST_BODY:
                    what = f"{self.endpoint.base_url} sends a file with a line without an end."
                    raise BrokenStream(what, "Run the cell again.")
        if rest:
            yield rest

    def hidden(self, text: str) -> str:
        """Return a text of the service without the key."""
        return text if self.endpoint.key is None else self.endpoint.key.hidden_in(text)

    def _json(self, asked: Endpoint, method: str, query: Mapping[str, str] | None, content: dict[str, Any]) -> object:
        with self._response(asked, method, query, content) as response:
            return wire.read_body(response.iter_raw(), wire.LONGEST_BODY)

    @contextlib.contextmanager
    def _response(
        self, asked: Endpoint, method: str, query: Mapping[str, str] | None, content: dict[str, Any]
    ) -> Iterator[httpx.Response]:
        patience = self._patience
        url = asked.url
        if query:
            url += ("&" if "?" in url else "?") + urlencode(query)
        with self.masked():
            try:
                with self._connection.http.stream(
                    method,
                    url,
                    headers=HEADERS,
                    auth=Bearer(asked.key),
                    timeout=httpx.Timeout(patience.silence, connect=patience.connect),
                    **content,
                ) as response:
                    if not response.is_success:
                        raise faults.refusal(response, asked, "")
                    faults.check_encoding(response)
                    yield response
            except httpx.HTTPError as error:
                raise faults.fault(error, asked, silence=patience.silence, connect=patience.connect) from None
            except httpx.InvalidURL as error:
                raise SetupError(f"base_url is not an address: {error}") from None

    @contextlib.contextmanager
    def masked(self) -> Iterator[None]:
        """Mask the key in the errors that are raised within."""
        try:
            yield
        except GlmError as error:
            error.rewrite(self.hidden)
            raise error.with_traceback(None) from None
