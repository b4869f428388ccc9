"""A turn as the JSON that stands beside its answer in the notebook.

Version 1. A bundle holds what is needed to show the turn again and to ask it again: its own messages, but not
those before it. It holds no cell id, no key and nothing about the kernel that wrote it.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from glm_magic.chat.attempt import Attempt, is_whole
from glm_magic.chat.conversation import MOST_EARLIER_ATTEMPTS
from glm_magic.chat.fingerprint import canonical
from glm_magic.chat.messages import Message, Usage
from glm_magic.chat.reply import CURRENCY, Source, ToolRun
from glm_magic.errors import HistoryError, quoted

MIME_TYPE = "application/vnd.glm-magic.turn+json"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle as read: its `chat` (``""`` for a one-shot answer), the attempt that counts, and the earlier ones.

    `call` is the index of the question in its cell's run, None if the bundle does not have it. `left_out` counts
    the earlier attempts beyond those that a bundle may hold; the latest are kept.
    """

    chat: str
    attempt: Attempt
    earlier: tuple[Attempt, ...] = ()
    call: int | None = None
    left_out: int = 0

    @property
    def problem(self) -> str:
        """What was not read; ``""`` if nothing."""
        if not self.left_out:
            return ""
        return f"{self.left_out} earlier answers were left out; a turn has at most {MOST_EARLIER_ATTEMPTS}."


def encode(chat: str, attempt: Attempt, earlier: tuple[Attempt, ...] = (), call: int = 0) -> dict[str, Any]:
    """Return the bundle of a turn in which `attempt` counts; `earlier` are its other attempts, oldest first."""
    return {
        "version": VERSION,
        "kind": "turn" if attempt.role == "user" else "edit",
        "chat": chat,
        "call": call,
        **fields_of(attempt),
        "attempts": [fields_of(other) for other in earlier[-MOST_EARLIER_ATTEMPTS:]],
    }


def read(text: str) -> Bundle:
    """Read a bundle that was written as text. Raises `HistoryError` as `decode` does, and if it is not JSON."""
    try:
        data = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        raise HistoryError("not JSON.") from None
    return decode(data)


def decode(bundle: Any) -> Bundle:
    """Read a bundle.

    Raises `HistoryError` if a later version wrote it, if it is not a bundle, or if its turn could not be sent.
    """
    version = bundle.get("version") if isinstance(bundle, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise HistoryError(
            f"The turn was written by a later glm_magic (version {version}; this one reads up to {VERSION}).",
            "Update glm_magic as it was installed.",
        )
    if version != VERSION:
        raise HistoryError("It is not a turn that glm_magic wrote.")
    try:
        canonical(bundle)  # NaN or a lone surrogate, anywhere in it, could be neither sent nor saved
        chat, call, earlier = bundle["chat"], bundle.get("call"), bundle["attempts"]
        if not isinstance(chat, str):
            raise TypeError("the chat is not a string")
        return Bundle(
            chat,
            attempt_of(bundle),
            tuple(attempt_of(other) for other in earlier[-MOST_EARLIER_ATTEMPTS:]),
            call if type(call) is int and call >= 0 else None,
            left_out=max(0, len(earlier) - MOST_EARLIER_ATTEMPTS),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise HistoryError(f"The turn is damaged ({type(error).__name__}: {quoted(str(error))}).") from error


def fields_of(attempt: Attempt) -> dict[str, Any]:
    """Return an attempt as JSON."""
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
        **({"currency": attempt.currency} if attempt.currency != CURRENCY else {}),
        "reasoning": attempt.reasoning,
        "finish_reason": attempt.finish_reason,
        "model": attempt.model,
        "created": attempt.created,
        "seconds": attempt.seconds,
        "first_token_seconds": attempt.first_token_seconds,
        # left out where empty, as in most answers, so that a bundle of an earlier version is written back unchanged
        **({"tool_runs": [asdict(run) for run in attempt.tool_runs]} if attempt.tool_runs else {}),
        **({"sources": [asdict(source) for source in attempt.sources]} if attempt.sources else {}),
        **({"repeats_key": True} if attempt.repeats_key else {}),
        "state": "interrupted" if attempt.interrupted else "complete",
    }


def attempt_of(data: dict[str, Any], *, is_answered: bool = True) -> Attempt:
    """Read an attempt; one that is not answered yet has its question alone.

    Raises `KeyError`, `TypeError`, `ValueError` or `AttributeError` if it is damaged.
    """
    id_, after = data["id"], data["after"]
    if not isinstance(id_, str) or not all(isinstance(other, str) for other in after):
        raise TypeError("an id is not a string")
    messages = tuple(Message.from_api(message) for message in data["messages"])
    role = str(data["role"])
    if not (is_whole(role, messages) if is_answered else [each.role for each in messages] == ["user"]):
        raise ValueError("its messages are not a question and its answer")
    return Attempt(
        id=id_,
        messages=messages,
        after=tuple(after),
        new=bool(data["new"]),
        role=role,
        system=str(data.get("system", "")),  # version 0.1.0 wrote no system, cost, reasoning, tool_runs or sources
        parameters=dict(data["parameters"]),
        fingerprint=str(data["fingerprint"]),
        usage=Usage.from_api(data["usage"]),
        cost=_number_or_none(data.get("cost")),
        currency=str(data.get("currency", CURRENCY)),
        reasoning=str(data.get("reasoning", "")),
        finish_reason=str(data["finish_reason"]),
        model=str(data["model"]),
        created=_number(data["created"]),
        seconds=_number(data["seconds"]),
        first_token_seconds=_number_or_none(data["first_token_seconds"]),
        tool_runs=tuple(
            ToolRun(str(run["id"]), _number(run["seconds"]), bool(run["failed"])) for run in data.get("tool_runs", ())
        ),
        sources=tuple(Source(**{name: str(text) for name, text in item.items()}) for item in data.get("sources", ())),
        interrupted=data["state"] == "interrupted",
        repeats_key=bool(data.get("repeats_key", False)),
    )


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):  # the text "NaN" is a float too; it can be neither compared nor saved
        raise ValueError("a number is not finite")
    return number


def _number_or_none(value: Any) -> float | None:
    return None if value is None else _number(value)
