"""Failures of HTTP as our own errors: a request that got no response, and a response that is a refusal."""

from __future__ import annotations

import contextlib
import math
import time
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin

import httpx

from glm_magic.errors import AnswerError, BrokenStream, ConnectionFailed, GlmError, SetupError, Stalled, quoted
from glm_magic.protocol import refusals
from glm_magic.service import wire
from glm_magic.service.endpoint import Endpoint


class SlashWanted(SetupError):
    """The server redirects to the same address with a slash at its end (reported: FastAPI does)."""


def refusal(response: httpx.Response, endpoint: Endpoint, model: str) -> GlmError:
    """Read a response that is not a success, and return its error."""
    if response.is_redirect:
        location = response.headers.get("location", "")
        wants_slash = not endpoint.path.endswith("/") and urljoin(endpoint.url, location) == endpoint.with_slash.url
        kind = SlashWanted if wants_slash else SetupError
        return kind(
            f"{endpoint.url} redirects to {quoted(location)}. The key is not sent there.",
            "Set base_url to the new address if you trust it.",
        )
    encoding = _encoding(response)
    error = refusals.refused(
        response.status_code,
        f"a body compressed as {encoding}, not read" if encoding else wire.read_body(response.iter_raw()),
        model=model,
        url=endpoint.url,
        request_id=response.headers.get("x-request-id", ""),
        has_key=endpoint.key is not None,
    )
    error.retry_after = seconds_to_wait(response.headers.get("retry-after", ""), time.time())
    return error


def seconds_to_wait(retry_after: str, now: float) -> float | None:
    """Return the seconds that a Retry-After header asks for, as a number or as a date; None if it has neither.

    GLM's documents do not mention the header, and some gateways send it. `now` is in seconds since the epoch.
    """
    with contextlib.suppress(ValueError):
        seconds = float(retry_after)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    with contextlib.suppress(ValueError, OverflowError):
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - now)
    return None


def check_encoding(response: httpx.Response) -> None:
    """Raise `BrokenStream` if a body is compressed: nobody asked for it, and a small one can expand without bound."""
    if encoding := _encoding(response):
        raise BrokenStream(
            f"The service compressed its answer ({encoding}), although the request did not allow it.",
            "Ask without the proxy or gateway that compresses, or set it to send text as it is.",
        )


def _encoding(response: httpx.Response) -> str:
    """Return the name of a response's compression, ``""`` if it has none."""
    encoding = quoted(response.headers.get("content-encoding", "").strip())
    return "" if encoding.lower() == "identity" else encoding


def stalled(seconds: float) -> Stalled:
    """Return the error for `seconds` without any content."""
    return Stalled(
        f"The service was silent for {seconds:g} s.", "Run the cell again; %glm_config timeout=600 waits longer."
    )


def fault(error: httpx.HTTPError, endpoint: Endpoint, *, silence: float, connect: float) -> AnswerError:
    """Return the error for a request that failed; `silence` and `connect` are its timeouts in seconds."""
    reason = quoted(str(error)) or type(error).__name__
    match error:
        case httpx.ReadTimeout():
            return stalled(silence)
        case httpx.ConnectTimeout():
            return ConnectionFailed(
                f"{endpoint.base_url} did not answer within {connect:g} s.",
                "Check the address and the network; %glm_config connect_timeout=30 waits longer.",
            )
        case httpx.ConnectError() if "CERTIFICATE" in reason.upper():
            return ConnectionFailed(
                f"The certificate of {endpoint.base_url} is not trusted: {reason}",
                "Behind a company's proxy, set SSL_CERT_FILE to its certificate.",
            )
        case httpx.ConnectError() if "SSL" in reason.upper():
            return ConnectionFailed(
                f"No secure connection to {endpoint.base_url}: {reason}.",
                "Does the service speak https there? A server on this machine often speaks http.",
            )
        case httpx.ProxyError():
            return ConnectionFailed(f"The proxy refused: {reason}", "Check HTTPS_PROXY, ALL_PROXY and NO_PROXY.")
        case httpx.ConnectError():
            return ConnectionFailed(
                f"Nothing answers at {endpoint.base_url}: {reason}.",
                "Check that the server is running and base_url is right: %glm_config base_url shows it.",
            )
        case _:
            return ConnectionFailed(f"The connection to {endpoint.base_url} broke: {reason}.", "Run the cell again.")
