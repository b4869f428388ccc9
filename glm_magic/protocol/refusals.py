"""Turns a refusal of the service into the error that names the cause and the remedy.

GLM's codes mean what its official code tables say (confirmed); the HTTP statuses they come with, and the
shapes of the bodies, are those seen on the wire. Comments tag every other fact as
confirmed (an official document, a source, or a captured response), reported (by users or by third-party
code) or uncertain. Nothing was tried against the live service.
"""

from __future__ import annotations

import json
import re
import textwrap
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from glm_magic.errors import (
    ContentFiltered,
    ModelUnknown,
    PromptTooLong,
    ServiceError,
    UsageCap,
    quoted,
)
from glm_magic.protocol import codes, models, words


@dataclass(frozen=True, slots=True)
class _ErrorBody:
    """The content of a body, whatever its shape.

    `path` is what a gateway could not find. `filtered` holds the sides and levels of GLM's content filter,
    `tokens` and `limit` the sizes of the prompt and of the context window (0 if unknown).
    """

    message: str = ""
    code: str = ""
    kind: str = ""
    request_id: str = ""
    path: str = ""
    filtered: tuple[tuple[str, int | None], ...] = ()
    tokens: int = 0
    limit: int = 0


def refused(
    status: int, body: object, *, model: str = "", url: str = "", request_id: str = "", has_key: bool = True
) -> ServiceError:
    """Return the error for a refusal.

    `status` is the HTTP status, or 0 for an error inside a stream that began with 200. `body` is the
    parsed JSON, or the text if it is not JSON. `model` and `url` are what was requested and where;
    `request_id` is the id from a header, for a body without one. `has_key` says whether a key was sent.
    """
    found = _read(body)
    status = status or _status_in(found)
    kind, what, remedy = _judge(status, found, model=model, url=url)
    if not has_key and (kind, what, remedy) in (codes.NO_KEY, codes.CODES["1001"]):
        what, remedy = codes.NONE_SENT
    request_id = found.request_id or request_id
    asked = f" (request {quoted(request_id)})" if request_id else ""
    label = f"HTTP {status}" if status else "in the stream"
    if found.code and found.code != str(status):
        label += f", code {quoted(found.code)}"
    text = f": {quoted(found.message)}" if found.message else ""
    return kind(f"{what} [{label}]{text}{asked}", remedy, status=status, code=found.code, request_id=request_id)


# --- the body ------------------------------------------------------------------------------------


def _read(body: object) -> _ErrorBody:
    if isinstance(body, str):
        if re.match(r"\s*<(!doctype|html|head|body)", body, re.IGNORECASE):
            title = re.search(r"<title[^>]*>(.*?)</title", body, re.IGNORECASE | re.DOTALL)
            return _ErrorBody(f"an HTML page{', ' + repr(quoted(title[1])) if title else ''}", kind="html")
        return _ErrorBody(body)
    if not isinstance(body, dict):
        return _ErrorBody(json.dumps(body) if body is not None else "")
    error = body.get("error")
    if isinstance(error, dict):  # GLM's own shape, and OpenAI's
        inner = error
    elif isinstance(error, str):  # a bare string; with a path, it is GLM's gateway, which does not know the URL
        inner = {"message": " ".join(filter(None, (error, _string(body.get("path"))))), "code": body.get("status")}
    else:  # flat, or FastAPI's detail
        inner = {**body, "message": body.get("message") or body.get("msg") or body.get("detail")}
    message = _string(inner.get("message"))
    return _ErrorBody(
        message,
        _string(inner.get("code")),
        _string(inner.get("type")),
        _string(inner.get("request_id") or body.get("request_id")),
        _string(body.get("path")),
        _filtered(body.get("contentFilter") or body.get("content_filter") or inner.get("contentFilter")),
        # confirmed: llama.cpp has fields for the counts, others name them in the message
        _count(inner.get("n_prompt_tokens")) or _number_in(message, words.TOKENS),
        _count(inner.get("n_ctx")) or _number_in(message, words.LIMIT),
    )


def _string(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _count(value: object) -> int:
    return value if type(value) is int and value > 0 else 0


def _number_in(message: str, pattern: re.Pattern[str]) -> int:
    found = pattern.search(message)
    return int(found[1].replace(",", "")) if found else 0


def _filtered(entries: Any) -> tuple[tuple[str, int | None], ...]:
    """Return whose text the content filter rejected, and how severe it is (0 is the worst, 3 the mildest)."""
    return tuple(
        (_string(entry.get("role")), level if type(level := entry.get("level")) is int else None)
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict)
    )


def _status_in(found: _ErrorBody) -> int:
    """Return the HTTP status that an error inside a stream often has as its code; 0 if it has none."""
    number = int(found.code) if re.fullmatch("[0-9]{3}", found.code) else 0
    return number if number in HTTPStatus.__members__.values() and number >= HTTPStatus.BAD_REQUEST else 0


# --- the meaning ---------------------------------------------------------------------------------


def _judge(status: int, found: _ErrorBody, *, model: str, url: str) -> codes.Verdict:
    code = _code_of(found)
    if verdict := _of_code(code, found, url) or codes.CODES.get(code):
        return verdict
    if code in codes.UNKNOWN_MODEL_CODES:
        return _unknown_model(model)
    if code in codes.TOO_LONG_CODES:
        return _too_long(found)
    return _of_words(status, found, model) or _of_status(status, code, found, url)


def _code_of(found: _ErrorBody) -> str:
    """Return the most specific code: the body's, its type, or that of an error that a gateway wrapped as text."""
    wrapped = re.search(r"""["']code["']: ?["']?(1[0-9]{3})\b""", found.message)  # reported of LiteLLM
    given = (found.code, found.kind, wrapped[1] if wrapped else "")
    return next((code for code in given if code in codes.KNOWN_CODES), found.code)


def _of_code(code: str, found: _ErrorBody, url: str) -> codes.Verdict | None:
    """Return the verdict on a code whose remedy depends on the rest of the body."""
    match code:
        case "1214" if "messages" in found.message:
            # confirmed text, "messages parameter is illegal"; reported cause: no user message among them
            return (
                ServiceError,
                "The service rejected the messages",
                f"They must include a user message, and none may be empty. {codes.SEE_REQUEST}",
            )
        case "1210" | "1214" if "temperature" in found.message or "top_p" in found.message:
            # reported in 2024: exactly 0 and exactly 1 were refused
            return (*codes.BAD_PARAMETER[:2], f"Try 0.01 instead of 0, and 0.99 instead of 1. {codes.SEE_REQUEST}")
        case "1221" | "1222":
            return (*codes.NO_SUCH_API, _right_url(url, found.path))
        case "1313":
            # reported by users who asked the coding plan's endpoint directly
            base = _glm_base(url)
            general = base.replace("/coding/", "/")
            other = f"\nFor work other than coding: %glm_config base_url={general}" if general != base else ""
            return UsageCap, "The plan's fair-use rule forbids this", codes.PLAN_REMEDY + other
        case _ if code in codes.FILTER_CODES:
            return _content_filter(found)
        case _:
            return None


def _of_words(status: int, found: _ErrorBody, model: str) -> codes.Verdict | None:
    """Return the verdict on what the message says, if it has words that are known."""
    if found.kind == "html" or found.message.startswith(("[", "{")):  # validators list faults, and quote the prompt
        return None
    message = words.GATEWAY_TRAILER.sub("", found.message)
    if words.NO_BALANCE_LEFT.search(message):
        return codes.NO_BALANCE
    if words.USED_UP.search(message):
        return codes.CODES["1308"]
    if status != HTTPStatus.TOO_MANY_REQUESTS and words.TOO_LONG.search(message):  # else a limit of tokens a minute
        return _too_long(found)
    may_be_asked = status in (0, HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND)  # else the server itself lacks it
    if words.NO_CHANNEL.search(message) or (may_be_asked and words.NO_MODEL.search(message)):
        return _unknown_model(model)
    return _content_filter(found) if words.SENSITIVE.search(message) else None


def _of_status(status: int, code: str, found: _ErrorBody, url: str) -> codes.Verdict:
    if found.kind == "html" and status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return codes.BETWEEN  # a firewall, or a proxy that requires a login: an API answers in JSON
    if verdict := codes.STATUSES.get(status):
        return verdict
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return _too_long(found)
    if status == HTTPStatus.NOT_FOUND:
        return ServiceError, f"There is no chat service at {url or 'this address'}", _right_url(url, found.path)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return codes.DOWN
    if found.kind == "html":
        return codes.BETWEEN
    if code in ("1200", "1230"):  # uncertain whose fault it is, and which status it comes with
        return ServiceError, "The service could not process the request", f"Run the cell again. {codes.SEE_REQUEST}"
    return ServiceError, "The service refused the request", codes.SEE_REQUEST


def _unknown_model(model: str) -> codes.Verdict:
    found, meant = models.known(model), models.near_miss(model)
    hint = f"Did you mean -m {meant}? " if meant and meant != model else ""
    if found is not None and found.successor:
        now = f"GLM's own hosts serve it as {found.current}, and its" if found.current else "Its"
        hint += f"{now} successor is {found.successor}: -m {found.successor}"
    else:
        listed = "Known models: " + ", ".join(models.MODELS)
        hint = textwrap.fill(hint + listed, codes.LINE, break_on_hyphens=False)
    return (
        ModelUnknown,
        f"The endpoint has no model {quoted(model)!r}" if model else "The endpoint has no such model",
        hint,
    )


def _too_long(found: _ErrorBody) -> codes.Verdict:
    with_answer = bool(words.WITH_ANSWER.search(found.message))
    what = "Prompt and answer do not fit the model's context window" if with_answer else ""
    what = what or "The prompt does not fit the model's context window"
    if found.tokens > found.limit > 0:
        what += f": {found.tokens} tokens, {found.tokens - found.limit} over the limit of {found.limit}"
    elif found.limit:
        what += f": at most {found.limit} tokens"
    return PromptTooLong, what, codes.LESS + ("\nOr ask for a shorter answer: --max-tokens N." if with_answer else "")


def _content_filter(found: _ErrorBody) -> codes.Verdict:
    sides = {role for role, _ in found.filtered}
    levels = [level for _, level in found.filtered if level is not None]
    # confirmed: user is the input, assistant the output; level 0 is the worst, 3 the mildest
    severity = f", level {min(levels)} of 0 (worst) to 3" if levels else ""
    if sides == {"assistant"}:
        return (
            ContentFiltered,
            f"The service's content filter refused the answer{severity}",
            "Run the cell again, or reword the prompt.",
        )
    what = "the prompt" if "user" in sides else "the request"
    return (
        ContentFiltered,
        f"The service's content filter refused {what}{severity}",
        "Reword the prompt or what it inserts. If the cause is in an earlier turn: %glm_history --skip TURN.",
    )


# --- the address ---------------------------------------------------------------------------------

_ASKED_PATH = "/chat/completions"


def _right_url(url: str, path: str) -> str:
    address, mark, query = url.partition("?")
    base = address.removesuffix(_ASKED_PATH)
    # reported often: clients append a path that is already there
    right = _glm_base(base) or base.partition(_ASKED_PATH)[0].replace("/v4/v1", "/v4")
    if right != base:  # confirmed: GLM's path ends in /v4, and /v1 after it is a 404
        why = "GLM's path has no /v1" if "/v4/v1" in base else "The address should be"
        return f"{why}: %glm_config base_url={right}{mark}{query}"
    if "/v4/v1" in path:  # base_url is right, but the server behind it asks GLM at a wrong address
        return f"That server asks GLM at {quoted(path)}. The GLM address in its settings should end in /v4."
    if url and not re.search(r"/v[0-9]", urlsplit(url).path):
        return f"Check base_url. Most servers need /v1: %glm_config base_url={base}/v1{mark}{query}"
    return f"Check base_url. It is the address without {_ASKED_PATH}."


def _glm_base(url: str) -> str:
    """Return the base URL of the chat service on the host of `url`, if it is one of GLM's own; else ``""``."""
    parts = urlsplit(url)
    if parts.hostname not in models.GLM_HOSTS:
        return ""
    return f"https://{parts.hostname}/api/{'coding/' if '/coding/' in parts.path else ''}paas/v4"
