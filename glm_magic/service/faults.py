"""Failures of HTTP as our own errors: a request that got no response, and a response that is a refusal."""

from __future__ import annotations

import contextlib

import httpx

from glm_magic.errors import AnswerError, BrokenStream, ConnectionFailed, GlmError, SetupError, Stalled, quoted
from glm_magic.protocol import refusals
from glm_magic.service import wire
from glm_magic.service.endpoint import Endpoint


def refusal(response: httpx.Response, endpoint: Endpoint, model: str) -> GlmError:
    """Read a response that is not a success, and return its error."""
    if response.is_redirect:
        where = quoted(response.headers.get("location", ""))
        return SetupError(
            f"{endpoint.url} redirects to {where}. The key is not sent there.",
            "Set base_url to the new address if you trust it.",
        )
    encoding = _encoding(response)
    error = refusals.refused(
        response.status_code,
        f"a body compressed as {encoding}, not read" if encoding else wire.read_refusal(response.iter_raw()),
        model=model,
        url=endpoint.url,
        request_id=response.headers.get("x-request-id", ""),
    )
    # GLM's documents do not mention it, and some gateways send it
    with contextlib.suppress(ValueError):
        error.retry_after = max(0.0, float(response.headers.get("retry-after", "")))
    return error


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
