"""The turns of a chat: as the table of `%glm_history` and its panel show them, and how they are changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from glm_magic.asking.forecast import attempt_tokens
from glm_magic.chat.attempt import Attempt
from glm_magic.chat.conversation import Conversation, Turn
from glm_magic.display.tables import shorten, table
from glm_magic.errors import quoted
from glm_magic.magics.facts import ANOTHER_TEXT
from glm_magic.magics.forecasts import spent
from glm_magic.magics.shared import Shared
from glm_magic.notebook.bundle import MIME_TYPE
from glm_magic.protocol.models import DEFAULT_MODEL, known
from glm_magic.protocol.tokens import estimated_text_tokens
from glm_magic.settings.declared import SETTINGS

_LONGEST = 40  # characters of a text


@dataclass(frozen=True, slots=True)
class _Row:
    """A turn: its number and cell, what was asked and answered, roughly its tokens, and its state in words.

    `counts` says that it has an answer that counts.
    """

    number: str
    cell: str
    asked: str
    answered: str
    tokens: int
    state: str
    counts: bool = True
    is_sent: bool = False
    is_skipped: bool = False


def as_table(shared: Shared, chat: str) -> dict[str, str]:
    """Return what will be sent, and from which cells, as a table by MIME type."""
    rows = _rows(shared, chat)
    system = _system_tokens(shared)
    leading = "the system message and " if system else ""
    sent = [row for row in rows if row.is_sent]
    tokens = system + sum(row.tokens for row in sent)
    note = f"The next cell sends {leading}{len(sent)} of {len(rows)} turns, about {tokens} tokens."
    if shared.session.chats.conversation(chat).one_shot:
        note = "Each of these was sent alone, and is sent with no other cell."
    saved = saved_only(shared) if not rows else []
    note = " ".join(filter(None, [note, *saved, spent(shared.session.services.ledger.total)]))
    columns = ("turn", "cell", "asked", "answered", "tokens", "state")
    cells = [
        (row.number, row.cell, row.asked, row.answered, f"~{row.tokens}" if row.counts else "", row.state)
        for row in rows
    ]
    return table(f"Chat {chat}", columns, cells, note, most=shared.outputs.width)


def as_ticks(shared: Shared, chat: str) -> dict[str, Any]:
    """Return the turns as rows with a tick, and how much of the model's context window they fill."""
    rows = _rows(shared, chat)
    ticks = [
        {
            "number": row.number,
            "asked": f"{row.cell} {row.asked}",
            "tokens": f"~{row.tokens:,}",
            "state": row.state,
            "ticked": not row.is_skipped,
        }
        for row in rows
        if row.counts
    ]
    model = str(shared.session.layers.find(SETTINGS["model"])[0] or DEFAULT_MODEL)
    used = _system_tokens(shared) + sum(row.tokens for row in rows if row.is_sent)
    estimate = shared.session.services.ledger.prompt_tokens(model, used)
    found = known(model)
    most = found.context if found is not None and found.context is not None else 0
    of = f" of {most:,}" if most else "; the context window is not known"
    said = f"{shorten(model)}: {estimate}{of}"
    return {"chat": shorten(chat), "turns": ticks, "used": estimate.tokens, "most": most, "said": said}


def edit(shared: Shared, chat: str, change: Callable[[Conversation], Conversation], what: str) -> None:
    """Change a chat once nothing is under way in it, and say `what` was done."""
    shared.wait_for(chat)
    edit_now(shared, chat, change, what)


def edit_now(shared: Shared, chat: str, change: Callable[[Conversation], Conversation], what: str) -> None:
    """Change a chat, and say `what` was done."""
    saves = shared.session.history.saves_turns  # first: a wrong variable is an error before anything has changed
    bundle = shared.session.history.edit(chat, change)
    conversation = shared.session.chats.conversation(chat)
    left = "" if conversation.one_shot else f": chat {chat} now sends {number_of_turns(len(conversation.sent()))}"
    line = quoted(f"{what}{left}.")
    shared.outputs.show({"text/plain": line, **({MIME_TYPE: bundle} if saves else {})})


def number_of_turns(number: int) -> str:
    """Return a number of turns in words."""
    return f"{number} {'turn' if number == 1 else 'turns'}"


def saved_only(shared: Shared) -> list[str]:
    """Return a hint if the saved notebook holds turns that this kernel does not know, as after a restart."""
    number = shared.session.history.unrestored()
    are = "saved turn is" if number == 1 else "saved turns are"
    return [f"{number} {are} not here: %glm_history --restore"] if number else []


def _system_tokens(shared: Shared) -> int:
    return estimated_text_tokens(str(shared.session.layers.find(SETTINGS["system"])[0] or ""))


def _rows(shared: Shared, chat: str) -> list[_Row]:
    conversation = shared.session.chats.conversation(chat)
    stale, sent = conversation.stale(), {attempt.id for attempt in conversation.sent()}
    rows = []
    for number, turn in conversation.numbered.items():
        attempt, cell = turn.counting, shared.cells.label(turn)
        if attempt is None:
            kept = f"no active answer, {len(turn.attempts)} earlier kept"
            deleted = "cell deleted" if shared.cells.is_deleted(turn) else ""
            rows.append(_Row(number, cell, "", kept, 0, deleted, counts=False))
            continue
        asked = attempt.question if attempt.role == "user" else f"({attempt.role}) {attempt.question}"
        answer = shorten(attempt.answer, _LONGEST) if attempt.role == "user" else ""
        is_sent = attempt.id in sent
        how = "alone" if conversation.one_shot else "sent" if is_sent else "before a --new: not sent"
        state = _state(turn, attempt, how, is_stale=attempt.id in stale)
        if shared.cells.is_deleted(turn):
            state += ", cell deleted"
        size = attempt_tokens(attempt)
        rows.append(
            _Row(
                number,
                cell,
                shorten(asked, _LONGEST),
                answer,
                size,
                state,
                is_sent=is_sent,
                is_skipped=turn.skipped,
            )
        )
    return rows


def _state(turn: Turn, attempt: Attempt, how: str, *, is_stale: bool) -> str:
    state = ["skipped" if turn.skipped else how]
    if attempt.new:
        state.append("new")
    if is_stale:
        state.append("stale")
    if attempt.interrupted:
        state.append("interrupted")
    if turn.forked:
        state.append("forked")
    if turn.is_of_another_text(attempt):
        state.append(ANOTHER_TEXT)
    if len(turn.attempts) > 1:
        state.append(f"attempt {turn.number} of {len(turn.attempts)}")
    return ", ".join(state)
