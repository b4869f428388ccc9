"""One request over HTTP: sent, read by a thread of its own into events, tried again before the first token.

The caller pulls; a pull waits a tenth of a second at most, so an interrupt or a tick of the page is
never late, and text that has arrived is never held back by a stall.
"""

from __future__ import annotations

import contextlib
import enum
import os
import queue
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from glm_magic.chat.events import PART_OF_AN_ANSWER, Event, Facts, Notice, Tick
from glm_magic.errors import (
    AnswerError,
    BrokenStream,
    ConnectionFailed,
    GlmError,
    RateLimited,
    ServiceDown,
    SetupError,
    Stalled,
    quoted,
)
from glm_magic.protocol import refusals
from glm_magic.service import wire
from glm_magic.version import __version__

if TYPE_CHECKING:
    from glm_magic.service.endpoint import Endpoint
    from glm_magic.service.keys import Key

PULL_SECONDS = 0.1

_FIRST_DELAY, _LONGEST_DELAY, _LONGEST_ASKED_DELAY = 0.5, 8.0, 120.0
_REST_SECONDS, _HEAP_SECONDS = 0.025, 0.003
_CHUNKS_OF_A_BURST, _CHUNKS_AT_ONCE = 50, 8
_MAY_PASS = (ConnectionFailed, RateLimited, ServiceDown)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds, and how often to try again.

    `silence` is the longest time without a byte, not the longest answer.
    """

    silence: float = 300.0
    connect: float = 10.0
    retries: int = 3


class Client:
    """Asks endpoints. Keeps connections warm between cells; one request has a connection to itself.

    `sleep`, `clock` and `draw` (a number from 0 to 1) are arguments so that a test need not wait.
    """

    def __init__(
        self,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._sleep = sleep
        self._clock = clock
        self._draw = draw
        self._lock = threading.Lock()
        self._idle: list[_Line] = []
        self._process = os.getpid()
        self._tls: ssl.SSLContext | None = None  # 15 ms to make, so made once

    def stream(self, endpoint: Endpoint, request: Mapping[str, Any], patience: Patience) -> Iterator[Event]:
        """Send `request` and yield what comes back, until the answer or an `AnswerError` ends it.

        What may pass is tried again, as long as nothing of an answer has come. Closing the iterator
        ends the request at once.
        """
        begun, tries = False, 0
        while True:
            try:
                for event in self._ask_once(endpoint, request, patience):
                    begun = begun or isinstance(event, PART_OF_AN_ANSWER)
                    if isinstance(event, Facts) and event.finish_reason == "network_error" and not begun:
                        raise ServiceDown("The service could not answer (network_error).", "Run the cell again.")
                    yield event
            except AnswerError as error:
                if begun and isinstance(error, ConnectionFailed):
                    raise BrokenStream(
                        f"The connection broke in mid-answer: {error.what}",
                        "What had arrived is on the page; it is not in the conversation. Run the cell again.",
                    ) from error
                if begun or tries >= patience.retries or not isinstance(error, _MAY_PASS):
                    raise
                tries += 1
                if not error.was_stale:
                    yield from self._wait(self._delay(tries, error.retry_after), tries, patience.retries, error)
            else:
                return

    def close(self) -> None:
        """Close the connections that wait for the next cell."""
        with self._lock:
            idle, self._idle = self._idle, []
        for line in idle:
            line.hang_up()

    def _ask_once(self, endpoint: Endpoint, request: Mapping[str, Any], patience: Patience) -> Iterator[Event]:
        line, was_idle = self._line_to(endpoint)
        exchange = _Exchange(line, endpoint, request, patience, self._clock)
        try:
            yield from exchange.events()
        except ConnectionFailed as error:  # a service may close a connection that has been idle, or used often
            error.was_stale = was_idle
            raise
        finally:
            if exchange.was_read_whole:
                with self._lock:
                    self._idle.append(line)
            else:
                line.hang_up()

    def _line_to(self, endpoint: Endpoint) -> tuple[_Line, bool]:
        """Return a connection to ask on, and whether it was kept from an earlier answer."""
        if self._process != os.getpid():  # forked: the connections, and perhaps the lock, are the parent's
            self._process, self._lock, self._idle = os.getpid(), threading.Lock(), []
        with self._lock:
            for line in self._idle:
                if line.base_url == endpoint.base_url:
                    self._idle.remove(line)
                    return line, True
        try:
            if self._tls is None and endpoint.base_url.startswith("https:"):
                self._tls = httpx.create_ssl_context()
            return _Line(endpoint, self._tls), False
        except (ValueError, ImportError, OSError, httpx.InvalidURL) as error:
            # what httpx makes of ALL_PROXY=socks://…, NO_PROXY=[::1] or a missing SSL_CERT_FILE
            raise SetupError(
                f"The connection cannot be set up: {quoted(str(error))}",
                "Check ALL_PROXY, HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE in the environment.",
            ) from error

    def _delay(self, tries: int, asked: float | None) -> float:
        """Exponential backoff with full jitter, or what the service asked for."""
        if asked is not None:
            return min(asked, _LONGEST_ASKED_DELAY)
        return self._draw() * min(_FIRST_DELAY * 2.0**tries, _LONGEST_DELAY)

    def _wait(self, delay: float, tries: int, retries: int, error: AnswerError) -> Iterator[Event]:
        until = self._clock() + delay
        while (left := until - self._clock()) > 0:
            yield Notice("retry", f"{error.what} Asking again in {left:.0f} s ({tries} of {retries}).")
            self._sleep(min(PULL_SECONDS, left))


class _Line:
    """A connection to one endpoint, with the sockets by which it can be hung up from another thread."""

    def __init__(self, endpoint: Endpoint, tls: ssl.SSLContext | None) -> None:
        self.base_url = endpoint.base_url
        self._sockets: list[socket.socket] = []
        self._hung_up = False
        self._lock = threading.Lock()
        self.http = httpx.Client(
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=120),
            verify=tls or False,  # none is needed where the address is http
            trust_env=not endpoint.is_local,  # a proxy cannot reach this machine's own loopback
            follow_redirects=False,
        )

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Note the sockets that a request opens (httpcore's trace extension)."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete", "connect_unix_socket.complete")):
            opened = info["return_value"].get_extra_info("socket")
            with self._lock:
                self._sockets = [opened]
                if self._hung_up:
                    _shut(opened)

    def hang_up(self) -> None:
        """Free the connection now, whatever a thread is waiting for on it."""
        with self._lock:
            self._hung_up = True
            for opened in self._sockets:
                _shut(opened)
        self.http.close()


def _shut(opened: socket.socket) -> None:
    with contextlib.suppress(OSError):
        socket.socket.shutdown(opened, socket.SHUT_RDWR)  # not SSLSocket's own, which is for one thread only


class _Pace:
    """Lets a reader take what has come in small heaps: to wake up for each chunk costs more than the chunk.

    Whatever has been read is on its way to the page before the reader rests. A burst is not slowed down.
    """

    def __init__(self, over: threading.Event, clock: Callable[[], float]) -> None:
        self._over = over
        self._clock = clock
        self._since = clock()
        self._chunks = 0
        self._total = 0

    def rest(self) -> None:
        """Rest for a moment if chunks come one by one; not at the beginning of an answer."""
        self._chunks += 1
        self._total += 1
        if self._clock() - self._since < _HEAP_SECONDS:
            return
        if self._chunks < _CHUNKS_OF_A_BURST and self._total > _CHUNKS_AT_ONCE:
            self._over.wait(_REST_SECONDS)
        self._since, self._chunks = self._clock(), 0


class _End(enum.Enum):
    """How far a reader has come that has read the answer whole."""

    OF_ANSWER = enum.auto()
    OF_RESPONSE = enum.auto()


class _Bearer(httpx.Auth):
    """Puts the key into its header, where no local variable of a frame that is shown has it."""

    def __init__(self, key: Key | None) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self._key is not None:
            request.headers["Authorization"] = f"Bearer {self._key.reveal()}"
        yield request


class _Exchange:
    """One request and its answer: a thread reads, the caller pulls."""

    def __init__(
        self,
        line: _Line,
        endpoint: Endpoint,
        request: Mapping[str, Any],
        patience: Patience,
        clock: Callable[[], float],
    ) -> None:
        self._line = line
        self._endpoint = endpoint
        self._request = request
        self._patience = patience
        self._clock = clock
        self._arrived: queue.SimpleQueue[list[Event] | BaseException | _End] = queue.SimpleQueue()
        self._over = threading.Event()
        self.was_read_whole = False

    def events(self) -> Iterator[Event]:
        """Yield the events as they come, and a `Tick` each tenth of a second in which nothing does."""
        reader = threading.Thread(target=self._read, name="glm_magic reader", daemon=True)
        since = self._clock()
        reader.start()
        try:
            while True:
                try:
                    item = self._arrived.get(timeout=PULL_SECONDS)
                except queue.Empty:
                    yield Tick(self._clock() - since)
                    continue
                since = self._clock()
                if isinstance(item, _End):
                    self.was_read_whole = self._response_ends()
                    return
                if isinstance(item, BaseException):
                    raise item
                yield from item
        finally:
            self._over.set()

    def _response_ends(self) -> bool:
        """Whether the response ends soon after the answer; then its connection can be used again.

        Reported: gateways send frames after [DONE], or leave the response open; neither takes the answer back.
        """
        with contextlib.suppress(queue.Empty):
            return self._arrived.get(timeout=PULL_SECONDS) is _End.OF_RESPONSE
        return False

    def _read(self) -> None:
        pace = _Pace(self._over, self._clock)
        said: Facts | None = None
        try:
            for events in self._answer():
                if self._over.is_set():
                    return
                fresh = [event for event in events if event != said]  # most chunks repeat model and id
                if fresh:
                    said = next((event for event in fresh if isinstance(event, Facts)), said)
                    self._arrived.put(fresh)
                pace.rest()
        except BaseException as error:
            self._arrived.put(error)
        else:
            self._arrived.put(_End.OF_RESPONSE)

    def _answer(self) -> Iterator[list[Event]]:
        headers = {
            "Accept": "text/event-stream, application/json",
            "Accept-Encoding": "identity",  # so that the bound on what is read bounds the memory too
            "User-Agent": f"glm_magic/{__version__}",
        }
        timeout = httpx.Timeout(self._patience.silence, connect=self._patience.connect)
        try:
            with self._line.http.stream(
                "POST",
                self._endpoint.url,
                json=self._endpoint.written(self._request),
                headers=headers,
                auth=_Bearer(self._endpoint.key),
                timeout=timeout,
                extensions={"trace": self._line.trace},
            ) as response:
                yield from self._events_of(response)
        except httpx.HTTPError as error:
            raise _fault(error, self._endpoint, self._patience) from None
        except httpx.InvalidURL as error:
            raise SetupError(f"base_url is not an address: {error}") from None

    def _events_of(self, response: httpx.Response) -> Iterator[list[Event]]:
        if not response.is_success:
            raise self._refusal(response)
        chunks = response.iter_bytes()
        yield from wire.read(chunks, wire.Asked(str(self._request.get("model", "")), self._endpoint.url))
        self._arrived.put(_End.OF_ANSWER)
        for _ in chunks:  # what follows is read, so that the connection can be used again
            if self._over.is_set():
                return

    def _refusal(self, response: httpx.Response) -> GlmError:
        body = wire.read_refusal(response.iter_bytes())
        if response.is_redirect:
            where = quoted(response.headers.get("location", ""))
            return SetupError(
                f"The service moved: {self._endpoint.url} leads to {where}. The key does not follow.",
                "Set base_url to the new address if you trust it.",
            )
        error = refusals.refused(
            response.status_code,
            body,
            model=str(self._request.get("model", "")),
            url=self._endpoint.url,
            request_id=response.headers.get("x-request-id", ""),
        )
        # no document mentions it, and some gateways send it
        with contextlib.suppress(ValueError):
            error.retry_after = max(0.0, float(response.headers.get("retry-after", "")))
        return error


def _fault(error: httpx.HTTPError, endpoint: Endpoint, patience: Patience) -> AnswerError:
    told = quoted(str(error)) or type(error).__name__
    match error:
        case httpx.ReadTimeout():
            return Stalled(
                f"The service was silent for {patience.silence:g} s.",
                "Run the cell again; %glm_config timeout=600 waits longer.",
            )
        case httpx.ConnectTimeout():
            return ConnectionFailed(
                f"{endpoint.base_url} did not answer within {patience.connect:g} s.",
                "Check the address and the network; %glm_config connect_timeout=30 waits longer.",
            )
        case httpx.ConnectError() if "CERTIFICATE" in told.upper():
            return ConnectionFailed(
                f"The certificate of {endpoint.base_url} is not trusted: {told}",
                "Behind a company's proxy, set SSL_CERT_FILE to its certificate.",
            )
        case httpx.ConnectError() if "SSL" in told.upper():
            return ConnectionFailed(
                f"No secure connection to {endpoint.base_url}: {told}.",
                "Does the service speak https there? A server on this machine often speaks http.",
            )
        case httpx.ProxyError():
            return ConnectionFailed(f"The proxy refused: {told}", "Check HTTPS_PROXY, ALL_PROXY and NO_PROXY.")
        case httpx.ConnectError():
            return ConnectionFailed(
                f"Nothing answers at {endpoint.base_url}: {told}.",
                "Is the server running, and is base_url right? %glm_config base_url shows it.",
            )
        case _:
            return ConnectionFailed(f"The connection to {endpoint.base_url} broke: {told}.", "Run the cell again.")
