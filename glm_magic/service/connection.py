"""One HTTP connection, which tells when everything that has arrived is read, and can be hung up at any time.

A reader must know when it is about to wait: that is the moment to hand on what it has read, and to rest, so
that a slow stream is taken in small heaps instead of one wake-up a chunk. Neither httpx nor httpcore says so,
and one read of a socket holds many chunks. So the stream that httpcore opens, and shows to its trace
extension, has its `read` wrapped: it is called only when nothing that was read before is left.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    import httpcore

    from glm_magic.service.endpoint import Endpoint

KEEPALIVE_SECONDS = 120

_OPENED = ("connect_tcp.complete", "start_tls.complete", "connect_unix_socket.complete")


def unchanged(timeout: float | None) -> float | None:
    """Leave the timeout of a read as it is."""
    return timeout


class Connection:
    """A connection to one endpoint. `before_read` is called with the timeout of each read, and may shorten it."""

    before_read: Callable[[float | None], float | None]

    def __init__(self, endpoint: Endpoint, tls: ssl.SSLContext) -> None:
        self.base_url = endpoint.base_url
        self.before_read = unchanged
        self._stream: httpcore.NetworkStream | None = None
        self._hung_up = False
        self._in_use = False
        self._lock = threading.Lock()
        self.http = httpx.Client(
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEPALIVE_SECONDS),
            verify=tls,
            trust_env=not endpoint.is_local,  # a proxy cannot reach this machine's own loopback
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # accept none and send none
        )

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Note the stream that a request opens (httpcore's trace extension)."""
        if not event.endswith(_OPENED):
            return
        stream: httpcore.NetworkStream = info["return_value"]
        read = stream.read

        def read_after(max_bytes: int, timeout: float | None = None) -> bytes:
            return read(max_bytes, self.before_read(timeout))

        stream.read = read_after  # type: ignore[method-assign]
        with self._lock:
            self._stream = stream
            if self._hung_up:
                _shut(stream)

    @property
    def has_arrived(self) -> bool:
        """Whether something has arrived that is not read yet."""
        return self._stream is not None and bool(self._stream.get_extra_info("is_readable"))

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Leave closing the socket to this thread: closed under a read, its number may be another's by then."""
        with self._lock:
            self._in_use = True
        try:
            yield
        finally:
            with self._lock:
                self._in_use = False
                hung_up = self._hung_up
            if hung_up:
                self.http.close()

    def hang_up(self) -> None:
        """End the connection now, whatever a thread is waiting for on it."""
        with self._lock:
            self._hung_up = True
            if self._stream is not None:
                _shut(self._stream)
            in_use = self._in_use
        if not in_use:
            self.http.close()


def _shut(stream: httpcore.NetworkStream) -> None:
    with contextlib.suppress(OSError):
        # not SSLSocket's own shutdown, which is for one thread only
        socket.socket.shutdown(stream.get_extra_info("socket"), socket.SHUT_RDWR)
