"""Asks endpoints: picks a connection for each request, and retries failures that may pass before the first token."""

from __future__ import annotations

import contextlib
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx

from glm_magic.chat.events import PART_OF_AN_ANSWER, Event, Facts, Notice
from glm_magic.errors import (
    AnswerError,
    BrokenStream,
    ConnectionFailed,
    RateLimited,
    ServiceDown,
    ServiceError,
    SetupError,
    quoted,
)
from glm_magic.service import faults
from glm_magic.service.calls import Calls
from glm_magic.service.connection import Connection
from glm_magic.service.endpoint import Endpoint
from glm_magic.service.exchange import PULL_SECONDS, Exchange, Patience
from glm_magic.service.limiter import LONGEST_PAUSE, Slot
from glm_magic.service.limits import Limits

__all__ = ["Client", "Patience"]

_FIRST_DELAY, _LONGEST_DELAY = 0.5, 8.0
_MOST_IDLE = 32  # connections kept for later requests
# Readers of slow streams rest so long between two reads: 2 ms for each stream under way, so that all together
# wake up at most five hundred times a second; never so long that the page would show it.
_REST, _LONGEST_REST, _REST_PER_STREAM = 0.025, 0.08, 0.002
_MAY_PASS = (ConnectionFailed, RateLimited, ServiceDown)


class Client:
    """Asks endpoints. Keeps connections warm between cells; one request has a connection to itself.

    Each request waits for its turn at the limiter of its endpoint and model, of `limits`. `sleep`, `clock` and `draw`
    (a random number from 0 to 1) are arguments so that tests need not wait.
    """

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.limits = limits or Limits(clock=clock, sleep=sleep, draw=draw)
        self._sleep = sleep
        self._clock = clock
        self._draw = draw
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._under_way = 0
        self._times_closed = 0
        # base URLs of servers that refuse `stream_options`, and of those that want a slash at the end of the path
        self._without_usage: set[str] = set()
        self._with_slash: set[str] = set()
        self._tls: dict[bool, ssl.SSLContext] = {}  # with certificates it takes 15 ms to make

    def stream(self, endpoint: Endpoint, request: Mapping[str, Any], patience: Patience) -> Iterator[Event]:
        """Send `request` and yield what comes back, until the answer or an `AnswerError` ends it.

        Failures that may pass are retried as long as nothing of an answer has come. A refusal because of too many
        requests is none of these `retries`: the request waits at the limiter, as all others do. A service that refuses
        `stream_options`, or wants a slash at the end of its address, is asked that way at once and from then on.
        Closing the iterator ends the request.
        """
        begun, tries, why, delay = False, 0, "", 0.0
        if endpoint.base_url in self._without_usage:
            request = _without_usage(request)
        if endpoint.base_url in self._with_slash:
            endpoint = endpoint.with_slash
        slot = self.limits.of(endpoint, str(request.get("model", ""))).slot(patience.concurrency, patience.silence)
        while True:
            try:
                yield from slot.wait(why)
                for event in self._ask_once(endpoint, request, patience, slot):
                    begun = begun or isinstance(event, PART_OF_AN_ANSWER)
                    if isinstance(event, Facts) and event.finish_reason == "network_error" and not begun:
                        raise ServiceDown("The service could not answer (network_error).", "Run the cell again.")
                    yield event
            except faults.SlashWanted:
                self._with_slash.add(endpoint.base_url)
                endpoint = endpoint.with_slash
            except AnswerError as error:
                if begun and isinstance(error, ConnectionFailed):
                    raise BrokenStream(
                        f"The connection broke in the middle of the answer: {error.what}",
                        "What had arrived is on the page; it is not in the conversation. Run the cell again.",
                    ) from error
                if not begun and _refuses_usage(error, request):
                    self._without_usage.add(endpoint.base_url)
                    request = _without_usage(request)
                elif not begun and error.was_stale:  # there are only so many kept connections, and this one is gone
                    pass
                else:
                    if begun or not _may_pass(error, slot):
                        raise
                    why = error.what
                    if not slot.is_by_limit:
                        if tries >= patience.retries:
                            raise
                        tries += 1
                        delay = self._delay(tries, error.retry_after)
            else:
                return
            finally:
                slot.end()
            if delay:
                yield from self._wait(delay, why, f"{tries} of {patience.retries}")
                delay = 0.0
            slot = slot.again()

    @contextlib.contextmanager
    def calls(self, endpoint: Endpoint, patience: Patience) -> Iterator[Calls]:
        """Give what sends plain requests to an endpoint, on a connection of its own."""
        connection = self._opened(endpoint)
        try:
            yield Calls(connection, endpoint, patience)
        finally:
            connection.hang_up()

    def close(self) -> None:
        """Close the idle connections, and each of the others when its answer ends."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._times_closed += 1
        for connection in idle:
            connection.hang_up()

    def _ask_once(
        self, endpoint: Endpoint, request: Mapping[str, Any], patience: Patience, slot: Slot
    ) -> Iterator[Event]:
        connection, was_idle = self._connection_to(endpoint)
        with self._lock:
            self._under_way += 1
            times_closed = self._times_closed
        exchange = Exchange(connection, endpoint, request, patience, slot=slot, clock=self._clock, rest=self._rest)
        try:
            yield from exchange.events()
        except ConnectionFailed as error:  # a service may close a connection that has been idle, or used often
            error.was_stale = was_idle
            raise
        finally:
            dropped: Connection | None = connection
            with self._lock:
                self._under_way -= 1
                if exchange.was_read_whole and times_closed == self._times_closed:
                    self._idle.append(connection)
                    dropped = self._idle.pop(0) if len(self._idle) > _MOST_IDLE else None
            if dropped is not None:
                dropped.hang_up()

    def _rest(self) -> float:
        return min(max(_REST, self._under_way * _REST_PER_STREAM), _LONGEST_REST)

    def _connection_to(self, endpoint: Endpoint) -> tuple[Connection, bool]:
        """Return a connection to ask on, and whether it was kept from an earlier answer."""
        with self._lock:
            for connection in reversed(self._idle):  # the one that was used last is the likeliest to be open
                if connection.base_url == endpoint.base_url:
                    self._idle.remove(connection)
                    return connection, True
        return self._opened(endpoint), False

    def _opened(self, endpoint: Endpoint) -> Connection:
        try:
            verify = endpoint.base_url.startswith("https:")  # an http address needs no TLS
            if verify not in self._tls:
                self._tls[verify] = httpx.create_ssl_context(verify=verify)
            return Connection(endpoint, self._tls[verify])
        except (ValueError, ImportError, OSError, httpx.InvalidURL) as error:
            # httpx raises them for ALL_PROXY=socks://…, NO_PROXY=[::1] or a missing SSL_CERT_FILE
            raise SetupError(
                f"The connection cannot be set up: {quoted(str(error))}",
                "Check ALL_PROXY, HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE in the environment.",
            ) from error

    def _delay(self, tries: int, asked: float | None) -> float:
        """Exponential backoff with full jitter, or what the service asked for."""
        if asked is not None:
            return asked
        return self._draw() * min(_FIRST_DELAY * 2.0**tries, _LONGEST_DELAY)

    def _wait(self, delay: float, why: str, which: str) -> Iterator[Event]:
        until = self._clock() + delay
        while (left := until - self._clock()) > 0:
            yield Notice("retry", f"{why} Retrying in {left:.0f} s ({which}).")
            self._sleep(min(PULL_SECONDS, left))


def _may_pass(error: AnswerError, slot: Slot) -> bool:
    """Whether to ask again after a failure before the first token; if it is too late for that, the error says so."""
    if not isinstance(error, _MAY_PASS):
        return False
    if error.retry_after is not None and error.retry_after > LONGEST_PAUSE:
        error.remedy = f"The service asks to wait {error.retry_after:.0f} s. Run the cell again after that."
        return False
    if slot.is_hopeless and slot.is_by_limit:
        error.remedy = f"The service refused it {slot.refusals} times. {error.remedy}"
    return not slot.is_hopeless


def _refuses_usage(error: AnswerError, request: Mapping[str, Any]) -> bool:
    """Whether `stream_options` is what the service did not take (reported: gpustack#429 and strict validators)."""
    return (
        isinstance(error, ServiceError)
        and error.status in (400, 422)
        and "stream_options" in request
        and "stream_options" in error.what
    )


def _without_usage(request: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in request.items() if name != "stream_options"}
