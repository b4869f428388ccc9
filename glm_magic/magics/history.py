"""`%glm_history`: what will be sent, and the ways to change it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from glm_magic.chat.conversation import Attempt, Conversation, Place, Turn
from glm_magic.chat.request import estimated_text_tokens
from glm_magic.chats import DEFAULT_CHAT
from glm_magic.errors import HistoryError, OptionError
from glm_magic.magics.ending import saves_turns
from glm_magic.magics.options import Option, Reader, read_words
from glm_magic.notebook.bundle import MIME_TYPE

if TYPE_CHECKING:
    from typing import Any

    from glm_magic.magics.glm import GLMMagics

HISTORY_OPTIONS: tuple[Option, ...] = (
    Option("--chat", "the conversation (default main)", "c", "NAME"),
    Option("--clear", "empty the conversation"),
    Option("--undo", "take the last turn out"),
    Option("--skip", "do not send a turn (its number in the table) until its cell runs again", "", "TURN"),
    Option("--unskip", "send a turn that was skipped", "", "TURN"),
    Option("--list", "show the chats"),
    Option("--restore", "take the conversations over from a saved notebook: --restore [FILE.ipynb]"),
    Option("--force", "with --restore: also in place of a conversation that has begun"),
)

_NOTEBOOK_VARIABLE = "JPY_SESSION_NAME"


def run(magics: GLMMagics, line: str) -> None:
    """Do what the line says. Raises `GlmError`, and then nothing has changed."""
    reader = Reader(line, HISTORY_OPTIONS, "%glm_history")
    chat, flags = DEFAULT_CHAT, []
    file = turn = ""
    for option, word in reader:
        if option.flag == "--chat":
            assert word is not None
            chat = magics.session.chats.known(word.value(magics.evaluate))
        else:
            flags.append(option.flag)
            if word is not None:
                turn = word.value(magics.evaluate)
            if option.flag == "--restore":
                following = next(read_words(reader.rest), None)
                if following is not None and not following.looks_like_an_option:
                    file = following.value(magics.evaluate)
                    reader.at = len(line) - len(reader.rest) + following.end
    if reader.rest.strip():
        raise OptionError(f"%glm_history does not know {reader.rest!r}.", "%glm_history? shows what it does.")
    actions = [flag for flag in flags if flag != "--force"]
    if len(actions) > 1:
        raise OptionError(f"One at a time: {' '.join(actions)}.")
    match actions:
        case []:
            _show(magics, chat)
        case ["--list"]:
            _list(magics)
        case ["--clear"]:
            _edit(magics, chat, lambda _: Conversation(), "Cleared")
        case ["--undo"]:
            _undo(magics, chat)
        case ["--skip"]:
            place = _numbered(magics.session.chats.conversation(chat), chat, turn)
            _edit(magics, chat, lambda conversation: conversation.skip(place), f"Turn {turn} is skipped")
        case ["--unskip"]:
            place = _numbered(magics.session.chats.conversation(chat), chat, turn)
            _edit(magics, chat, lambda conversation: conversation.unskip(place), f"Turn {turn} counts")
        case _:
            _restore(magics, file, force="--force" in flags)


def _show(magics: GLMMagics, chat: str) -> None:
    from glm_magic.display.tables import shorten, table  # noqa: PLC0415

    conversation = magics.session.chats.conversation(chat)
    sent, stale = conversation.sent(), conversation.stale()
    rows, tokens = [], 0
    for number, turn in enumerate(conversation, start=1):
        attempt = turn.counting
        if attempt is None:
            kept = f", {len(turn.attempts)} earlier kept" if turn.attempts else ""
            rows.append((str(number), turn.place.cell[:8], "", f"nothing counts here{kept}", "", ""))
            continue
        size = sum(estimated_text_tokens(message.content) for message in attempt.messages)
        tokens += size if attempt in sent else 0
        asked = attempt.question if attempt.role == "user" else f"({attempt.role}) {attempt.question}"
        answer = shorten(attempt.answer, 40) if attempt.role == "user" else ""
        state = _state(turn, attempt, is_sent=attempt in sent, is_stale=attempt.id in stale)
        rows.append((str(number), turn.place.cell[:8], shorten(asked, 40), answer, f"~{size}", state))
    note = f"The next cell sends {len(sent)} of {len(rows)} turns, about {tokens} tokens."
    magics.show(dict(table(f"Chat {chat}", ("turn", "cell", "asked", "answered", "tokens", "state"), rows, note)))


def _state(turn: Turn, attempt: Attempt, *, is_sent: bool, is_stale: bool) -> str:
    words = ["skipped" if turn.skipped else "sent" if is_sent else "before a --new: not sent"]
    if attempt.new:
        words.append("new")
    if is_stale:
        words.append("stale")
    if attempt.interrupted:
        words.append("interrupted")
    if len(turn.attempts) > 1:
        words.append(f"attempt {len(turn.attempts)} of {len(turn.attempts)}")
    return ", ".join(words)


def _list(magics: GLMMagics) -> None:
    from glm_magic.display.tables import table  # noqa: PLC0415

    rows = [(chat, str(len(conversation.sent()))) for chat, conversation in magics.session.chats.items()]
    magics.show(dict(table("Chats", ("chat", "turns sent"), rows)))


def _undo(magics: GLMMagics, chat: str) -> None:
    if not magics.session.chats.conversation(chat).sent():
        raise HistoryError(f"Chat {chat} has no turn to undo.")
    _edit(magics, chat, Conversation.undo, "Undone")


def _numbered(conversation: Conversation, chat: str, number: str) -> Place:
    """Return the place of the turn with this number in the table. Raises `HistoryError` if nothing counts there."""
    counting = {str(at): turn.place for at, turn in enumerate(conversation, start=1) if turn.counting is not None}
    if number not in counting:
        there = f"It has: {', '.join(counting)}. %glm_history shows them." if counting else "It has none yet."
        raise HistoryError(f"Chat {chat} has no turn {number!r} that could be sent.", there)
    return counting[number]


def _edit(magics: GLMMagics, chat: str, change: Any, what: str) -> None:
    saves = saves_turns(magics.session)  # first: a wrong variable is said before anything has changed
    bundle = magics.session.edit(chat, change)
    left = len(magics.session.chats.conversation(chat).sent())
    line = f"{what}: chat {chat} now sends {left} {'turn' if left == 1 else 'turns'}."
    magics.show({"text/plain": line, **({MIME_TYPE: bundle} if saves else {})})


def _restore(magics: GLMMagics, file: str, *, force: bool) -> None:
    name = file or os.environ.get(_NOTEBOOK_VARIABLE, "")
    if not name:
        raise HistoryError("This kernel does not know its notebook's file.", "%glm_history --restore FILE.ipynb")
    conversations, warnings = magics.session.restore(Path(name).expanduser(), force=force)
    if not any(conversation.turns for conversation in conversations.values()):
        warnings = (*warnings, "There is no answer of glm_magic in it.")
    restored = [f"chat {chat}: {len(conversation.turns)} turns" for chat, conversation in conversations.items()]
    magics.show_text("\n".join([f"Restored from {name}: " + (", ".join(restored) or "nothing"), *warnings]))
