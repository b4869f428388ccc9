"""What a service says when it refuses becomes the error that names the cause and the remedy.

The meaning of the codes is that of the official code tables; the HTTP statuses and the shapes of the
bodies are those that were seen on the wire. The comments tag what could not be tried against the live
service: confirmed (an official document, an SDK's source or a captured response) or reported.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http import HTTPStatus

from glm_magic.chat import catalogue
from glm_magic.errors import (
    AuthenticationError,
    BalanceError,
    ModelUnknown,
    RateLimited,
    ServiceDown,
    ServiceError,
    quoted,
)


@dataclass(frozen=True, slots=True)
class _Said:
    """What the body says, whatever its shape."""

    message: str = ""
    code: str = ""
    kind: str = ""
    request_id: str = ""


def refused(status: int, body: object, *, model: str = "", url: str = "") -> ServiceError:
    """Return the error for a refusal.

    `status` is the HTTP status, or 0 for an error inside a stream that began with 200. `body` is the
    parsed JSON, or the text where it is none. `model` and `url` are what was asked for and where.
    """
    said = _read(body)
    status = status or _status_in(said)
    kind, what, remedy = _judge(status, said, model=model, url=url)
    asked = f" (request {quoted(said.request_id)})" if said.request_id else ""
    label = f"HTTP {status}" if status else "in the stream"
    if said.code and said.code != str(status):
        label += f", code {quoted(said.code)}"
    text = f": {quoted(said.message)}" if said.message else ""
    return kind(f"{what} [{label}]{text}{asked}", remedy, status=status, code=said.code, request_id=said.request_id)


def _read(body: object) -> _Said:
    if isinstance(body, str):
        if re.match(r"\s*<(!doctype|html|head|body)", body, re.IGNORECASE):
            title = re.search(r"<title[^>]*>(.*?)</title", body, re.IGNORECASE | re.DOTALL)
            return _Said(f"an HTML page{', ' + repr(quoted(title[1])) if title else ''}", kind="html")
        return _Said(body)
    if not isinstance(body, dict):
        return _Said(json.dumps(body) if body is not None else "")
    error = body.get("error")
    if isinstance(error, dict):  # GLM's own shape, and OpenAI's
        inner = error
    elif isinstance(error, str):  # a bare string; with a path, it is the gateway of GLM that knows no such URL
        inner = {"message": " ".join(filter(None, (error, _string(body.get("path"))))), "code": body.get("status")}
    else:  # flat, or FastAPI's detail
        inner = {**body, "message": body.get("message") or body.get("msg") or body.get("detail")}
    request_id = inner.get("request_id") or body.get("request_id")
    return _Said(
        _string(inner.get("message")), _string(inner.get("code")), _string(inner.get("type")), _string(request_id)
    )


def _string(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _status_in(said: _Said) -> int:
    """An error inside a stream often gives its HTTP status as its code."""
    number = int(said.code) if re.fullmatch("[0-9]{3}", said.code) else 0
    return number if number in HTTPStatus.__members__.values() and number >= HTTPStatus.BAD_REQUEST else 0


_Verdict = tuple[type[ServiceError], str, str]

_KEY_REMEDY = (
    "Check the key, and that it belongs to this endpoint: %glm_config --table shows where it comes from.\n"
    "It is in GLM_API_KEY, ZAI_API_KEY or ZHIPUAI_API_KEY, or in the variable that api_key_env names."
)
_LATER = "Wait a little and run the cell again, or ask another model with -m."

# Meaning of `error.code`: confirmed by the official tables. 1113 came with HTTP 429 (confirmed by a capture).
_CODES: dict[str, _Verdict] = {
    **dict.fromkeys(
        ("1000", "1001", "1002", "1003", "1004", "invalid_api_key"),
        (AuthenticationError, "The service does not accept the key", _KEY_REMEDY),
    ),
    **dict.fromkeys(
        ("1113", "insufficient_user_quota", "insufficient_quota"),
        (
            BalanceError,
            "The account has no balance left",
            "Top up the account, or ask a free model, for example -m GLM-4-Flash.",
        ),
    ),
    **dict.fromkeys(
        ("1302", "rate_limit_exceeded"),
        (RateLimited, "Too many requests at once for this account", "Wait a little and run the cell again."),
    ),
    **dict.fromkeys(("1305", "1312"), (RateLimited, "The model is overloaded", _LATER)),
    "1234": (ServiceDown, "The service had a network error of its own", "Run the cell again."),
    **dict.fromkeys(
        ("1261", "context_length_exceeded", "exceed_context_size_error"),
        (
            ServiceError,
            "The prompt is longer than the model reads",
            "Shorten it, or send less of the conversation: --new or --no-history.",
        ),
    ),
    **dict.fromkeys(
        ("1300", "1301"),
        (ServiceError, "The service's content filter refused", "Reword the prompt or what it inserts."),
    ),
}

_STATUSES: dict[int, _Verdict] = {
    HTTPStatus.UNAUTHORIZED: _CODES["1000"],
    HTTPStatus.FORBIDDEN: (AuthenticationError, "The key may not do this", _KEY_REMEDY),
    HTTPStatus.PAYMENT_REQUIRED: _CODES["1113"],
    HTTPStatus.TOO_MANY_REQUESTS: _CODES["1302"],
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: _CODES["1261"],
}


def _judge(status: int, said: _Said, *, model: str, url: str) -> _Verdict:
    if verdict := _CODES.get(said.code) or _CODES.get(said.kind):
        return verdict
    lower = said.message.lower()
    # 1211 is GLM's; the others are what OpenAI's and the new-api family's say.
    names_model = "model" in lower and any(words in lower for words in ("not exist", "not found", "unknown"))
    if (
        said.code in ("1211", "model_not_found")
        or said.kind == "model_not_found"
        or (names_model and status in (0, HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND))
    ):
        return _unknown_model(model)
    if verdict := _STATUSES.get(status):
        return verdict
    if status == HTTPStatus.NOT_FOUND:
        return ServiceError, f"There is no chat service at {url or 'this address'}", _right_url(url)
    if status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT) or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ServiceDown, "The service failed", "Run the cell again in a while."
    if said.kind == "html":
        return ServiceError, "Something between here and the service answered", "Check base_url and the proxy settings."
    return ServiceError, "The service refused the request", "%glm -N shows the request that was sent."


def _unknown_model(model: str) -> _Verdict:
    meant = catalogue.near_miss(model)
    hint = f"Did you mean -m {meant}? " if meant and meant != model else ""
    return (
        ModelUnknown,
        f"The endpoint has no model {quoted(model)!r}" if model else "The endpoint has no such model",
        hint + "Known by name: " + ", ".join(catalogue.MODELS),
    )


def _right_url(url: str) -> str:
    without = re.sub(r"/v1(?=/chat/completions$|/?$)", "", url)
    if "/paas/v4/v1" in url:  # confirmed: GLM's path ends in /v4, and /v1 after it is a 404
        return f"GLM's path has no /v1: %glm_config base_url={without.removesuffix('/chat/completions')}"
    return "Check base_url: it is the address up to, but without, /chat/completions."
