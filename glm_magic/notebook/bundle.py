"""A turn as the JSON that stands beside its answer in the notebook, and back.

Version 1. It holds what it takes to know the turn again and to ask it again: its own messages, not
those before it; no cell id, no key, nothing of the run that wrote it.
"""

from __future__ import annotations

from typing import Any

from glm_magic.chat.conversation import MOST_EARLIER_ATTEMPTS, Attempt
from glm_magic.chat.messages import Message, Usage
from glm_magic.chat.recording import canonical
from glm_magic.errors import HistoryError

MIME_TYPE = "application/vnd.glm-magic.turn+json"
VERSION = 1


def encode(chat: str, attempt: Attempt, earlier: tuple[Attempt, ...] = ()) -> dict[str, Any]:
    """Return the bundle of a turn whose `attempt` counts and which had the answers `earlier`, oldest first."""
    return {
        "version": VERSION,
        "kind": "turn" if attempt.role == "user" else "edit",
        "chat": chat,
        **_fields(attempt),
        "attempts": [_fields(other) for other in earlier[-MOST_EARLIER_ATTEMPTS:]],
    }


def encode_edit(chat: str, id_: str, after: tuple[str, ...], created: float) -> dict[str, Any]:
    """Return the bundle of a change that adds no message: the turns `after` are those that count since."""
    return encode(chat, Attempt(id_, (), after=after, created=created, role=""))


def decode(bundle: Any) -> tuple[str, Attempt, tuple[Attempt, ...]]:
    """Return the chat, the counting attempt and the earlier ones of a bundle.

    Raises `HistoryError` if a later version wrote it, or it is no bundle.
    """
    version = bundle.get("version") if isinstance(bundle, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise HistoryError(
            f"A later glm_magic wrote it (version {version}; this one reads up to {VERSION}).",
            "%pip install --upgrade glm_magic",
        )
    if version != VERSION:
        raise HistoryError("It is not a turn that glm_magic wrote.")
    try:
        chat = bundle["chat"]
        if not isinstance(chat, str):
            raise TypeError("chat is no text")
        return chat, _attempt(bundle), tuple(_attempt(other) for other in bundle["attempts"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise HistoryError(f"It is a damaged turn ({type(error).__name__}: {error}).") from error


def _fields(attempt: Attempt) -> dict[str, Any]:
    return {
        "id": attempt.id,
        "after": list(attempt.after),
        "new": attempt.new,
        "role": attempt.role,
        "messages": [message.to_api() for message in attempt.messages],
        "parameters": attempt.parameters,
        "fingerprint": attempt.fingerprint,
        "usage": attempt.usage.to_api() if attempt.usage else None,
        "finish_reason": attempt.finish_reason,
        "model": attempt.model,
        "created": attempt.created,
        "seconds": attempt.seconds,
        "first_token_seconds": attempt.first_token_seconds,
        "state": "interrupted" if attempt.interrupted else "complete",
    }


def _attempt(data: dict[str, Any]) -> Attempt:
    id_, after = data["id"], data["after"]
    if not isinstance(id_, str) or not all(isinstance(other, str) for other in after):
        raise TypeError("an id is no text")
    canonical(data["messages"])  # half a character could be neither digested nor sent
    first = data["first_token_seconds"]
    return Attempt(
        id=id_,
        messages=tuple(Message.from_api(message) for message in data["messages"]),
        after=tuple(after),
        new=bool(data["new"]),
        role=str(data["role"]),
        parameters=dict(data["parameters"]),
        fingerprint=str(data["fingerprint"]),
        usage=Usage.from_api(data["usage"]),
        finish_reason=str(data["finish_reason"]),
        model=str(data["model"]),
        created=float(data["created"]),
        seconds=float(data["seconds"]),
        first_token_seconds=None if first is None else float(first),
        interrupted=data["state"] == "interrupted",
    )
