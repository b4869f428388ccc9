"""A turn as the JSON that stands beside its answer in the notebook, and back.

Version 1. It holds what it takes to know the turn again and to ask it again: its own messages, not
those before it; no cell id, no key, nothing of the run that wrote it.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from glm_magic.chat.conversation import MOST_EARLIER_ATTEMPTS, Attempt, is_whole
from glm_magic.chat.fingerprint import canonical
from glm_magic.chat.messages import Message, Usage
from glm_magic.chat.reply import Source, ToolRun
from glm_magic.errors import HistoryError, quoted

MIME_TYPE = "application/vnd.glm-magic.turn+json"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle says: the `chat` (``""`` for a one-shot answer), the attempt that counts, the earlier ones.

    `call` is the how manieth question (from 0) of its cell's run it was; None if it does not say.
    """

    chat: str
    attempt: Attempt
    earlier: tuple[Attempt, ...] = ()
    call: int | None = None


def encode(chat: str, attempt: Attempt, earlier: tuple[Attempt, ...] = (), call: int = 0) -> dict[str, Any]:
    """Return the bundle of a turn whose `attempt` counts and which had the answers `earlier`, oldest first."""
    return {
        "version": VERSION,
        "kind": "turn" if attempt.role == "user" else "edit",
        "chat": chat,
        "call": call,
        **_fields(attempt),
        "attempts": [_fields(other) for other in earlier[-MOST_EARLIER_ATTEMPTS:]],
    }


def decode(bundle: Any) -> Bundle:
    """Return what a bundle says.

    Raises `HistoryError` if a later version wrote it, or it is no bundle, or could not be sent.
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
        canonical(bundle)  # half a character, in a text or an id, could be neither digested nor sent nor saved
        chat, call = bundle["chat"], bundle.get("call")
        if not isinstance(chat, str):
            raise TypeError("chat is no text")
        return Bundle(
            chat,
            _attempt(bundle),
            tuple(_attempt(other) for other in bundle["attempts"]),
            call if type(call) is int and call >= 0 else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise HistoryError(f"It is a damaged turn ({type(error).__name__}: {quoted(str(error))}).") from error


def _fields(attempt: Attempt) -> dict[str, Any]:
    return {
        "id": attempt.id,
        "after": list(attempt.after),
        "new": attempt.new,
        "role": attempt.role,
        "system": attempt.system,
        "messages": [message.to_api() for message in attempt.messages],
        "parameters": attempt.parameters,
        "fingerprint": attempt.fingerprint,
        "usage": attempt.usage.to_api() if attempt.usage else None,
        "cost": attempt.cost,
        "reasoning": attempt.reasoning,
        "finish_reason": attempt.finish_reason,
        "model": attempt.model,
        "created": attempt.created,
        "seconds": attempt.seconds,
        "first_token_seconds": attempt.first_token_seconds,
        # most answers have neither; and what an earlier version wrote is written again as it was
        **({"tool_runs": [asdict(run) for run in attempt.tool_runs]} if attempt.tool_runs else {}),
        **({"sources": [asdict(source) for source in attempt.sources]} if attempt.sources else {}),
        "state": "interrupted" if attempt.interrupted else "complete",
    }


def _attempt(data: dict[str, Any]) -> Attempt:
    id_, after = data["id"], data["after"]
    if not isinstance(id_, str) or not all(isinstance(other, str) for other in after):
        raise TypeError("an id is no text")
    json.dumps(data["parameters"], allow_nan=False)
    messages = tuple(Message.from_api(message) for message in data["messages"])
    role = str(data["role"])
    if not is_whole(role, messages):
        raise ValueError("its messages are not a question and its answer")
    return Attempt(
        id=id_,
        messages=messages,
        after=tuple(after),
        new=bool(data["new"]),
        role=role,
        system=str(data.get("system", "")),  # this, cost, reasoning, tool_runs and sources came later
        parameters=dict(data["parameters"]),
        fingerprint=str(data["fingerprint"]),
        usage=Usage.from_api(data["usage"]),
        cost=_number_or_none(data.get("cost")),
        reasoning=str(data.get("reasoning", "")),
        finish_reason=str(data["finish_reason"]),
        model=str(data["model"]),
        created=_number(data["created"]),
        seconds=_number(data["seconds"]),
        first_token_seconds=_number_or_none(data["first_token_seconds"]),
        tool_runs=tuple(
            ToolRun(str(run["id"]), _number(run["seconds"]), bool(run["failed"])) for run in data.get("tool_runs", ())
        ),
        sources=tuple(Source(**{name: str(said) for name, said in item.items()}) for item in data.get("sources", ())),
        interrupted=data["state"] == "interrupted",
    )


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):  # it could be neither compared nor written as JSON
        raise ValueError("a number is none")
    return number


def _number_or_none(value: Any) -> float | None:
    return None if value is None else _number(value)
