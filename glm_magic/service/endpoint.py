"""Where to ask: a base URL as people write it, and the key that goes there."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from glm_magic.chat import images
from glm_magic.errors import SetupError
from glm_magic.protocol.models import GLM_HOSTS
from glm_magic.service.keys import Key

GLM_CHINA = "https://open.bigmodel.cn/api/paas/v4"

_PATH = "/chat/completions"

_USERINFO = re.compile(r"//[^/?#]*@")
_NAME_OF_A_SECRET = re.compile(r"key|token|secret|password|signature|^(sig|auth)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and its key: `base_url` is without ``/chat/completions``, and may have a query.

    `embedded` says that the embedded model answers there. `path` has a slash at its end where the server wants one.
    """

    base_url: str
    key: Key | None = None
    embedded: bool = False
    path: str = _PATH

    @property
    def url(self) -> str:
        """The address that is asked: the query, which Azure and gateways want, stays at the end."""
        address, mark, query = self.base_url.partition("?")
        return address + self.path + mark + query

    @property
    def with_slash(self) -> Endpoint:
        """The same endpoint, asked with a slash at the end of the path."""
        return replace(self, path=self.path.rstrip("/") + "/")

    @property
    def host(self) -> str:
        """The name or address of the host."""
        return urlsplit(self.base_url).hostname or ""

    @property
    def is_glm(self) -> bool:
        """Whether it is one of GLM's own hosts.

        They count a stream's tokens unasked; their documents do not know `stream_options`.
        """
        return self.host in GLM_HOSTS

    @property
    def is_local(self) -> bool:
        """Whether it is this machine."""
        return _is_this_machine(self.host)

    def written(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a request body as this host takes it.

        GLM's own hosts take an image as bare base64 and refuse a data URL (code 1210); all others want the data URL.
        """
        return images.with_urls(request, images.bare) if self.is_glm else request


def endpoint(base_url: str, key: Key | None) -> Endpoint:
    """Return the endpoint that `base_url` means, with or without a final slash or path.

    Raises `SetupError` if it is no http(s) address, or if `key` would leave this machine unencrypted.
    """
    address, _, query = base_url.strip().partition("?")
    address = address.rstrip("/").removesuffix(_PATH).rstrip("/")
    written = f"{address}?{query}" if query else address
    parts = _split(written)
    if parts is None:
        raise SetupError(
            f"base_url is not an http(s) address: {_USERINFO.sub('//…@', base_url)!r}",
            "For example: %glm_config base_url=http://127.0.0.1:8000/v1",
        )
    if parts.username or parts.password:
        raise SetupError(
            "base_url has a password in it.", "Put the key into GLM_API_KEY, and leave it out of the address."
        )
    for name, _ in parse_qsl(query):
        if _NAME_OF_A_SECRET.search(name):
            raise SetupError(
                f"base_url has a key in it: {name}.", "Put the key into GLM_API_KEY, and leave it out of the address."
            )
    if key is not None and parts.scheme == "http" and not _is_this_machine(parts.hostname or ""):
        raise SetupError(
            f"The key (from {key.source}) is not sent unencrypted to another machine: {written}",
            "Use an https address, or unset the key if the server needs none.",
        )
    return Endpoint(written, key)


def _split(address: str) -> SplitResult | None:
    """Return the parts of an http(s) address that can be asked; None for anything else."""
    if any(character.isspace() or not character.isprintable() for character in address):  # urlsplit drops some
        return None
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
        if re.fullmatch(r"[0-9]+(\.[0-9]+){3}", host) or ":" in host:
            ipaddress.ip_address(host)
    except ValueError:
        return None
    return parts if parts.scheme in ("http", "https") and host and not parts.fragment else None


def _is_this_machine(host: str) -> bool:
    """Whether a host is this machine in any spelling: a name (RFC 6761), loopback, or "every address" (0.0.0.0)."""
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            address = ipaddress.IPv4Address(socket.inet_aton(host))  # 127.1, 0x7f.1: as the resolver reads it
        except (OSError, UnicodeError):
            return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_unspecified
