"""One request and its response: a thread reads it into events, and the caller pulls them.

A pull waits a tenth of a second at most, so that an interrupt or a tick of the page is never late. What was
read together travels together: the reader hands on all that has arrived whenever it is about to wait for more.
Then it rests for a moment if the socket is empty, because to wake up for each chunk costs more than the chunk;
it does not rest in a burst, nor at the beginning of an answer.
"""

from __future__ import annotations

import contextlib
import enum
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from glm_magic.chat.events import Event, Tick, joined
from glm_magic.errors import SetupError
from glm_magic.protocol.chunks import AnswerReader
from glm_magic.service import faults, wire
from glm_magic.service.connection import Connection, unchanged
from glm_magic.service.limiter import Slot
from glm_magic.version import __version__

if TYPE_CHECKING:
    from glm_magic.service.endpoint import Endpoint
    from glm_magic.service.keys import Key

PULL_SECONDS = 0.1

_READS_AT_ONCE = 4  # the head, the role, and the first words of an answer are handed on as they come
_MOST_OF_A_TRICKLE = 32  # events in one read: after more of them, more are on their way
HEADERS = {
    "Accept": "text/event-stream, application/json",
    "Accept-Encoding": "identity",  # the bounds on what is read are then bounds on memory
    "User-Agent": f"glm_magic/{__version__}",
}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds, how often to retry, and how many requests may be in flight.

    `silence` is the longest time without content, not the longest answer; and the longest with nothing but refusals,
    if it is more than two minutes.
    """

    silence: float = 300.0
    connect: float = 10.0
    retries: int = 3
    concurrency: int = 32


class _End(enum.Enum):
    """How far the reader got without an error."""

    OF_ANSWER = enum.auto()
    OF_RESPONSE = enum.auto()


class Bearer(httpx.Auth):
    """Puts the key into its header, out of reach of the local variables of any frame that is shown."""

    def __init__(self, key: Key | None) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self._key is not None:
            request.headers["Authorization"] = f"Bearer {self._key.reveal()}"
        yield request


class Exchange:
    """One request on a connection of its own, and in a `slot`, which it ends when the service is done with it.

    `rest` says for how many seconds a reader may rest.
    """

    def __init__(
        self,
        connection: Connection,
        endpoint: Endpoint,
        request: Mapping[str, Any],
        patience: Patience,
        *,
        slot: Slot,
        clock: Callable[[], float],
        rest: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._endpoint = endpoint
        self._request = request
        self._patience = patience
        self._slot = slot
        self._clock = clock
        self._rest = rest
        # not a SimpleQueue: in CPython it forgets its timeout if a signal's handler outlasts it, and Stop would be lost
        self._arrived: queue.Queue[list[Event] | BaseException | _End] = queue.Queue()
        self._heap: list[Event] = []  # read, and not handed on yet
        self._reads = 0
        self._has_content = True  # since the latest read; the first one starts the clock
        self._content_at = 0.0
        self._may_rest = True
        self._over = threading.Event()
        self.was_read_whole = False

    def events(self) -> Iterator[Event]:
        """Yield the events as they come, and a `Tick` for each tenth of a second without one."""
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
                if isinstance(item, list):
                    yield from item
                elif isinstance(item, _End):
                    self.was_read_whole = self._response_ends()
                    return
                else:
                    raise item
        finally:
            self._over.set()

    def _response_ends(self) -> bool:
        """Whether the response ends soon after the answer, so that its connection can be used again.

        Reported: gateways send frames after [DONE], or leave the response open; the answer is complete all the same.
        """
        with contextlib.suppress(queue.Empty):
            return self._arrived.get(timeout=PULL_SECONDS) is _End.OF_RESPONSE
        return False

    # --- in the reader thread ----------------------------------------------------------------

    def _read(self) -> None:
        self._connection.before_read = self._before_read
        try:
            with self._connection.in_use():
                self._send()
        except BaseException as error:
            self._hand_on()
            self._slot.end(error)
            self._arrived.put(error)
        else:
            self._connection.before_read = unchanged  # an idle connection keeps no request alive
            self._arrived.put(_End.OF_RESPONSE)

    def _send(self) -> None:
        timeout = httpx.Timeout(self._patience.silence, connect=self._patience.connect)
        try:
            with self._connection.http.stream(
                "POST",
                self._endpoint.url,
                json=self._endpoint.written(self._request),
                headers=HEADERS,
                auth=Bearer(self._endpoint.key),
                timeout=timeout,
                extensions={"trace": self._connection.trace},
            ) as response:
                self._receive(response)
        except httpx.HTTPError as error:
            raise faults.fault(
                error, self._endpoint, silence=self._patience.silence, connect=self._patience.connect
            ) from None
        except httpx.InvalidURL as error:
            raise SetupError(f"base_url is not an address: {error}") from None

    def _receive(self, response: httpx.Response) -> None:
        model = str(self._request.get("model", ""))
        if not response.is_success:
            raise faults.refusal(response, self._endpoint, model)
        faults.check_encoding(response)
        pieces = response.iter_raw()
        heap = self._heap
        for events in wire.read(pieces, AnswerReader(model=model, url=self._endpoint.url)):
            heap += events
            self._has_content = True
            if not self._slot.has_begun:
                self._slot.begin()
        self._may_rest = False
        self._hand_on()
        self._slot.end()  # not when the caller has pulled it all, who may take a long time
        self._arrived.put(_End.OF_ANSWER)
        for _ in pieces:  # read the rest, so that the connection can be used again
            if self._over.is_set():
                return

    def _before_read(self, timeout: float | None) -> float | None:
        """Hand on what was read, and rest if nothing more has arrived; return the timeout of the read.

        A service that keeps sending blank lines, pings or 1xx responses is silent all the same: only content
        starts the timeout anew.
        """
        is_burst = len(self._heap) > _MOST_OF_A_TRICKLE
        self._hand_on()
        now = self._clock()
        if self._has_content:
            self._content_at, self._has_content = now, False
        left = self._content_at + self._patience.silence - now
        if left <= 0:
            raise faults.stalled(self._patience.silence)
        self._reads += 1
        if self._may_rest and not is_burst and self._reads > _READS_AT_ONCE and not self._connection.has_arrived:
            time.sleep(self._rest())
        return left if timeout is None else min(left, timeout)

    def _hand_on(self) -> None:
        if self._heap:
            self._arrived.put(joined(self._heap))
            self._heap.clear()
