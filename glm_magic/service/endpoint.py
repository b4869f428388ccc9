"""Where to ask: a base URL as people write it, and the key that goes there."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from glm_magic.chat import images
from glm_magic.errors import SetupError
from glm_magic.protocol.models import GLM_HOSTS
from glm_magic.service.keys import Key

GLM_CHINA = "https://open.bigmodel.cn/api/paas/v4"

_PATH = "/chat/completions"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and its key: `base_url` up to but without ``/chat/completions``.

    `embedded` says that the embedded model answers there. `path` has a slash at its end where the server wants one.
    """

    base_url: str
    key: Key | None = None
    embedded: bool = False
    path: str = _PATH

    @property
    def url(self) -> str:
        """The address that is asked."""
        return self.base_url + self.path

    @property
    def is_glm(self) -> bool:
        """Whether it is one of GLM's own hosts.

        They count a stream's tokens unasked; their documents do not know `stream_options`.
        """
        return urlsplit(self.base_url).hostname in GLM_HOSTS

    @property
    def is_local(self) -> bool:
        """Whether it is this machine."""
        return _is_loopback(urlsplit(self.base_url).hostname or "")

    def written(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a request body as this host takes it.

        GLM's own hosts take an image as bare base64 and refuse a data URL (code 1210); all others want the data URL.
        """
        return images.with_urls(request, images.bare) if self.is_glm else request


def endpoint(base_url: str, key: Key | None) -> Endpoint:
    """Return the endpoint that `base_url` means, with or without a final slash or path.

    Raises `SetupError` if it is no http(s) address, or if `key` would leave this machine unencrypted.
    """
    written = base_url.strip().rstrip("/").removesuffix(_PATH).rstrip("/")
    try:
        parts = urlsplit(written)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise SetupError(
            f"base_url is not an http(s) address: {base_url!r}",
            "For example: %glm_config base_url=http://127.0.0.1:8000/v1",
        )
    if parts.username or parts.password:
        raise SetupError(
            "base_url has a password in it.", "Put the key into GLM_API_KEY, and leave it out of the address."
        )
    if key is not None and parts.scheme == "http" and not _is_loopback(host):
        raise SetupError(
            f"The key (from {key.source}) is not sent unencrypted to another machine: {written}",
            "Use an https address, or unset the key if the server needs none.",
        )
    return Endpoint(written, key)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
