"""Asks an endpoint which models it has: ``GET {base_url}/models``, as OpenAI's API and most servers have it."""

from __future__ import annotations

from typing import Any

from glm_magic.errors import ServiceError, printable
from glm_magic.service.calls import NO_ROUTE, Calls

_MOST, _LONGEST_NAME = 10_000, 200


def models(calls: Calls) -> tuple[str, ...]:
    """Return the names of the models, in the endpoint's order.

    Raises `ServiceError` if the endpoint refuses, or does not tell.
    """
    try:
        names = _names(calls.json("GET", "/models"))
    except ServiceError as error:
        if error.status in NO_ROUTE:
            raise _not_told(calls, f"HTTP {error.status}") from None
        raise
    if names is None:
        raise _not_told(calls, "its answer is not a list of models")
    return tuple(dict.fromkeys(names))[:_MOST]


def _not_told(calls: Calls, why: str) -> ServiceError:
    return ServiceError(
        f"{calls.endpoint.base_url} does not tell which models it has ({why}).",
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
