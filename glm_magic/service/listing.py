"""Asks an endpoint which models it has: ``GET {base_url}/models``, as OpenAI's API and most servers have it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx

from glm_magic.errors import ServiceError, SetupError, printable
from glm_magic.service import faults, wire
from glm_magic.service.connection import Connection
from glm_magic.service.endpoint import Endpoint
from glm_magic.service.exchange import HEADERS, Bearer, Patience

_PATH = "/models"
_NO_ROUTE = (404, 405, 501)
_MOST, _LONGEST_NAME = 10_000, 200


def models(connection: Connection, endpoint: Endpoint, patience: Patience) -> tuple[str, ...]:
    """Return the names of the models, in the endpoint's order.

    Raises `ServiceError` if the endpoint refuses, or does not tell; `SetupError` or `AnswerError` if it cannot be
    asked.
    """
    asked = replace(endpoint, path=_PATH)
    try:
        try:
            body = _get(connection, asked, patience)
        except faults.SlashWanted:
            body = _get(connection, asked.with_slash, patience)
    except httpx.HTTPError as error:
        raise faults.fault(error, endpoint, silence=patience.silence, connect=patience.connect) from None
    except httpx.InvalidURL as error:
        raise SetupError(f"base_url is not an address: {error}") from None
    names = _names(body)
    if names is None:
        raise _not_told(endpoint, "its answer is not a list of models")
    return tuple(dict.fromkeys(names))[:_MOST]


def _get(connection: Connection, asked: Endpoint, patience: Patience) -> object:
    timeout = httpx.Timeout(patience.silence, connect=patience.connect)
    with connection.http.stream("GET", asked.url, headers=HEADERS, auth=Bearer(asked.key), timeout=timeout) as response:
        if response.status_code in _NO_ROUTE:
            raise _not_told(asked, f"HTTP {response.status_code}")
        if not response.is_success:
            raise faults.refusal(response, asked, "")
        faults.check_encoding(response)
        return wire.read_body(response.iter_raw(), wire.LONGEST_BODY)


def _not_told(endpoint: Endpoint, why: str) -> ServiceError:
    return ServiceError(
        f"{endpoint.base_url} does not tell which models it has ({why}).",
        "Ask a model by its name all the same: -m NAME, or %glm_config model=NAME.",
    )


def _names(body: object) -> list[str] | None:
    """Return the names in a list of models; None if it is none.

    OpenAI's has them as the `id`s of `data`; some gateways send the bare list (reported: Together).
    """
    found: Any = body.get("data", body.get("models")) if isinstance(body, dict) else body
    if not isinstance(found, list):
        return None
    ids = [entry.get("id", entry.get("name")) if isinstance(entry, dict) else entry for entry in found]
    return [name for name in ids if isinstance(name, str) and _is_a_name(name)]


def _is_a_name(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_NAME and text.isprintable() and printable(text) == text.strip()
