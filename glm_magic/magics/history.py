"""`%glm_history`: what will be sent, and the ways to change it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glm_magic.asking.chats import DEFAULT_CHAT
from glm_magic.chat.conversation import Attempt, Conversation, Turn
from glm_magic.errors import HistoryError, OptionError, quoted, summed_up
from glm_magic.magics.ending import ending_of_attempt, saves_turns
from glm_magic.magics.options import Option, Reader
from glm_magic.notebook.bundle import MIME_TYPE
from glm_magic.settings.declared import SETTINGS

if TYPE_CHECKING:
    from glm_magic.magics.glm import GLMMagics

HISTORY_OPTIONS: tuple[Option, ...] = (
    Option("--chat", "the conversation (default main)", "c", "NAME"),
    Option("--clear", "empty the conversation"),
    Option("--undo", "take the last turn out"),
    Option("--attempt", "let answer N of a turn (its number in the table) count again", "", "TURN N"),
    Option("--show", "show a turn again, or its answer N: --show TURN [N]", "", "TURN"),
    Option("--diff", "with --show: the words that changed between two answers: --diff [N M]"),
    Option("--skip", "do not send a turn until its cell runs again", "", "TURN"),
    Option("--unskip", "send a turn that was skipped", "", "TURN"),
    Option("--fork", "copy the conversation into the chat NEW", "", "NEW"),
    Option("--prune", "take out the turns whose cells were deleted"),
    Option("--list", "show the chats"),
    Option("--restore", "take over the conversations of a saved notebook: --restore [FILE.ipynb]"),
    Option("--export", "write the conversation to a file: .ipynb .jsonl .md .py .sh", "", "FILE"),
    Option("--force", "with --restore, --export: in place of what is there"),
    Option("--forget", "empty this notebook's journal of answers for a replay"),
)

_MORE_WORDS = {"--attempt": 1, "--show": 1, "--diff": 2, "--restore": 1}  # that may follow beside the option's own
_OF_NO_CHAT = ("--list", "--restore", "--forget")
_BESIDE = {"--force": ("--restore", "--export"), "--diff": ("--show",)}  # options of other options


@dataclass(slots=True)
class _Line:
    """What a line says: the chat (``""`` if it names none), what to do, and the words for it."""

    chat: str = ""
    action: str = ""
    words: tuple[str, ...] = ()
    force: bool = False
    diff: tuple[str, ...] | None = None

    def read(self, magics: GLMMagics, line: str) -> None:
        """Read a line. Raises `OptionError` or `SettingError`."""
        reader = Reader(line, HISTORY_OPTIONS, "%glm_history")
        actions: list[str] = []
        beside: list[str] = []
        for option, word in reader:
            words = [] if word is None else [word]
            for _ in range(_MORE_WORDS.get(option.flag, 0)):
                following = reader.following()
                words += [] if following is None else [following]
            values = tuple(word.value(magics.evaluate) for word in words)
            match option.flag:
                case "--chat":
                    self.chat = magics.session.chats.known(values[0])
                case "--force":
                    beside.append(option.flag)
                    self.force = True
                case "--diff":
                    beside.append(option.flag)
                    self.diff = values
                case action:
                    actions.append(action)
                    self.action, self.words = action, values
        if reader.rest.strip():
            raise OptionError(f"%glm_history does not know {reader.rest!r}.", "%glm_history? shows what it does.")
        if len(actions) > 1:
            raise OptionError(f"One at a time: {' '.join(actions)}.", "Write a line for each.")
        for flag in beside:
            if self.action not in _BESIDE[flag]:
                raise OptionError(f"{flag} goes with {' or '.join(_BESIDE[flag])}.", "%glm_history? shows how.")
        if self.chat and self.action in _OF_NO_CHAT:
            raise OptionError(f"{self.action} is not about one chat.", "Leave --chat out.")


def run(magics: GLMMagics, line: str) -> None:
    """Do what the line says. Raises `GlmError`, and then nothing has changed."""
    said = _Line()
    said.read(magics, line)
    chat = said.chat or DEFAULT_CHAT
    match said.action:
        case "":
            _show(magics, chat)
        case "--list":
            _list(magics)
        case "--clear":
            _edit(magics, chat, lambda _: Conversation(), "Cleared")
        case "--undo":
            _undo(magics, chat)
        case "--attempt":
            _attempt(magics, chat, *said.words)
        case "--show":
            _show_turn(magics, chat, said)
        case "--skip":
            place = _sendable(magics, chat, said.words[0]).place
            _edit(magics, chat, lambda conversation: conversation.skip(place), f"Turn {said.words[0]} is skipped")
        case "--unskip":
            place = _sendable(magics, chat, said.words[0]).place
            _edit(magics, chat, lambda conversation: conversation.unskip(place), f"Turn {said.words[0]} counts")
        case "--fork":
            forked = magics.session.chats.forked(chat, _name(said.words[0]))
            _edit(magics, said.words[0], lambda _: forked, f"Copied from chat {chat}")
        case "--prune":
            _prune(magics, chat)
        case "--restore":
            _restore(magics, said.words, force=said.force)
        case "--export":
            _export(magics, said)
        case _:
            path = magics.session.recordings.forget()
            magics.outputs.show_text(
                f"The journal of {path.name} is empty. What the notebook itself holds is still there."
            )


# --- what is there --------------------------------------------------------------------------------


def _show(magics: GLMMagics, chat: str) -> None:
    from glm_magic.display.tables import shorten, table  # noqa: PLC0415
    from glm_magic.protocol.tokens import estimated_content_tokens, estimated_text_tokens  # noqa: PLC0415

    conversation = magics.session.chats.conversation(chat)
    stale, sent = conversation.stale(), {attempt.id for attempt in conversation.sent()}
    system = str(magics.session.sources.find(SETTINGS["system"])[0] or "")
    rows, tokens = [], estimated_text_tokens(system) if system else 0
    for number, turn in enumerate(conversation, start=1):
        attempt = turn.counting
        if attempt is None:
            kept = f", {len(turn.attempts)} earlier kept" if turn.attempts else ""
            deleted = "cell deleted" if magics.cells.is_deleted(turn) else ""
            rows.append((str(number), magics.cells.label(turn), "", f"nothing counts here{kept}", "", deleted))
            continue
        size = sum(estimated_content_tokens(message.to_api()["content"]) for message in attempt.messages)
        tokens += size if attempt.id in sent else 0
        asked = attempt.question if attempt.role == "user" else f"({attempt.role}) {attempt.question}"
        answer = shorten(attempt.answer, 40) if attempt.role == "user" else ""
        state = _state(turn, attempt, is_sent=attempt.id in sent, is_stale=attempt.id in stale)
        if magics.cells.is_deleted(turn):
            state += ", cell deleted"
        rows.append((str(number), magics.cells.label(turn), shorten(asked, 40), answer, f"~{size}", state))
    leading = "the system message and " if system else ""
    note = f"The next cell sends {leading}{len(sent)} of {len(rows)} turns, about {tokens} tokens."
    magics.outputs.show(
        dict(table(f"Chat {chat}", ("turn", "cell", "asked", "answered", "tokens", "state"), rows, note))
    )


def _state(turn: Turn, attempt: Attempt, *, is_sent: bool, is_stale: bool) -> str:
    words = ["skipped" if turn.skipped else "sent" if is_sent else "before a --new: not sent"]
    if attempt.new:
        words.append("new")
    if is_stale:
        words.append("stale")
    if attempt.interrupted:
        words.append("interrupted")
    if turn.forked:
        words.append("forked")
    if len(turn.attempts) > 1:
        words.append(f"attempt {turn.number} of {len(turn.attempts)}")
    return ", ".join(words)


def _list(magics: GLMMagics) -> None:
    from glm_magic.display.tables import table  # noqa: PLC0415

    rows = [(chat, str(len(conversation.sent()))) for chat, conversation in magics.session.chats.items()]
    magics.outputs.show(dict(table("Chats", ("chat", "turns sent"), rows)))


def _show_turn(magics: GLMMagics, chat: str, said: _Line) -> None:
    from glm_magic.display.differences import differences  # noqa: PLC0415
    from glm_magic.display.page.line import line  # noqa: PLC0415
    from glm_magic.magics.ending import about_attempt  # noqa: PLC0415

    number, *which = said.words
    turn = _turn(magics, chat, number, lambda turn: bool(turn.attempts), "an answer")
    if said.diff is not None:
        if len(turn.attempts) == 1:
            raise HistoryError(f"Turn {number} has one answer: there is nothing to compare.", "Run its cell again.")
        numbers = said.diff or (str(len(turn.attempts) - 1), str(len(turn.attempts)))
        if which or len(numbers) != len(("N", "M")):
            raise OptionError("--diff takes two numbers, or none.", f"%glm_history --show {number} --diff 1 2")
        before, after = (_chosen(turn, number, one) for one in numbers)
        magics.outputs.show(dict(line((f"Turn {number}: from attempt {numbers[0]} to attempt {numbers[1]}",))))
        if before.question != after.question:
            magics.outputs.show(differences(before.question, after.question))
        if "user" in (before.role, after.role):  # else there is the message alone
            magics.outputs.show(differences(before.answer, after.answer))
        return
    attempt = _chosen(turn, number, which[0]) if which else turn.counting or turn.attempts[-1]
    at = turn.attempts.index(attempt) + 1
    tries = (f"attempt {at} of {len(turn.attempts)}",) if len(turn.attempts) > 1 else ()
    magics.outputs.show(dict(line((f"Turn {number}", *about_attempt(magics.session, attempt), *tries))))
    magics.outputs.show_turn(attempt)


# --- what changes ---------------------------------------------------------------------------------


def _edit(magics: GLMMagics, chat: str, change: Callable[[Conversation], Conversation], what: str) -> None:
    magics.wait_for(chat)
    saves = saves_turns(magics.session)  # first: a wrong variable is said before anything has changed
    bundle = magics.session.edit(chat, change)
    left = len(magics.session.chats.conversation(chat).sent())
    line = quoted(f"{what}: chat {chat} now sends {_turns(left)}.")
    magics.outputs.show({"text/plain": line, **({MIME_TYPE: bundle} if saves else {})})


def _turns(number: int) -> str:
    return f"{number} {'turn' if number == 1 else 'turns'}"


def _undo(magics: GLMMagics, chat: str) -> None:
    if not magics.session.chats.conversation(chat).sent():
        raise HistoryError(f"Chat {quoted(chat)} has no turn to undo.", "%glm_history shows what it has.")
    _edit(magics, chat, Conversation.undo, "Undone")


def _attempt(magics: GLMMagics, chat: str, number: str, *which: str) -> None:
    turn = _turn(magics, chat, number, lambda turn: bool(turn.attempts), "an answer")
    if not which:
        raise OptionError("--attempt needs the turn and the number of its answer.", "%glm_history --attempt TURN N")
    attempt = _chosen(turn, number, which[0])
    place = turn.place
    _edit(
        magics,
        chat,
        lambda conversation: conversation.choose(place, attempt),
        f"Attempt {which[0]} of turn {number} counts",
    )
    # a fork shows what stands in the other chat; and what is shown already is left as it is, as in a replay
    if not turn.forked and attempt is not turn.counting:
        ending = ending_of_attempt(magics.session, chat, magics.session.chats.turn(chat, place))
        magics.outputs.rewrite(place, attempt, ending)
    if turn.forked or turn.restored or turn.counting is None or not magics.outputs.is_a_page:
        magics.outputs.show_turn(attempt)  # this kernel has no display of it, or one of a failure


def _prune(magics: GLMMagics, chat: str) -> None:
    conversation = magics.session.chats.conversation(chat)
    places = [turn.place for turn in conversation if magics.cells.is_deleted(turn)]
    what = f"{_turns(len(places))} of deleted cells taken out"
    _edit(magics, chat, lambda conversation: conversation.without(*places), what)


def _turn(magics: GLMMagics, chat: str, number: str, fits: Callable[[Turn], bool], what: str) -> Turn:
    """Return the turn with this number in the table. Raises `HistoryError` if there is none that fits."""
    fitting = {str(at): turn for at, turn in enumerate(magics.session.chats.conversation(chat), 1) if fits(turn)}
    if number not in fitting:
        there = f"It has: {', '.join(fitting)}. %glm_history shows them." if fitting else "It has none yet."
        raise HistoryError(f"Chat {quoted(chat)} has no turn {number!r} with {what}.", there)
    return fitting[number]


def _sendable(magics: GLMMagics, chat: str, number: str) -> Turn:
    return _turn(magics, chat, number, lambda turn: turn.counting is not None, "an answer that counts")


def _chosen(turn: Turn, number: str, which: str) -> Attempt:
    found = {str(at): attempt for at, attempt in enumerate(turn.attempts, 1)}.get(which)
    if found is None:
        raise HistoryError(
            f"Turn {number} has no attempt {which!r}.",
            f"It has {len(turn.attempts)}: %glm_history --show {number} N shows one.",
        )
    return found


def _name(chat: str) -> str:
    if not chat.strip():
        raise OptionError("--fork needs a name for the new chat.", "%glm_history --fork NEW")
    return chat


# --- files ----------------------------------------------------------------------------------------


def _restore(magics: GLMMagics, words: tuple[str, ...], *, force: bool) -> None:
    path = Path(words[0]).expanduser() if words else magics.notebook_file()
    if path is None:
        raise HistoryError("This kernel does not know its notebook's file.", "%glm_history --restore FILE.ipynb")
    conversations, warnings = magics.session.restore(path, force=force)
    if not any(conversation.turns for conversation in conversations.values()):
        warnings = (*warnings, "There is no answer of glm_magic in it.")
    restored = [
        f"chat {quoted(chat)}: {_turns(len(conversation.turns))}" for chat, conversation in conversations.items()
    ]
    magics.outputs.show_text(
        "\n".join([f"Restored from {path}: " + (", ".join(summed_up(restored)) or "nothing"), *warnings])
    )


def _export(magics: GLMMagics, said: _Line) -> None:
    from glm_magic.display import safe_text  # noqa: PLC0415
    from glm_magic.notebook.export.write import export  # noqa: PLC0415

    path = Path(said.words[0]).expanduser()
    own = magics.notebook_file()
    if own is not None and _are_one_file(own, path):
        raise HistoryError(f"{path} is this notebook itself.", "Give the export another name.")
    chats = magics.session.chats
    every = path.suffix.lower() == ".jsonl" and not said.chat  # one line each
    names = [*chats] if every else [said.chat or DEFAULT_CHAT]
    conversations = {name: chats.conversation(name).kept() for name in names}
    export(
        path,
        conversations,
        base_url=magics.session.base_url(),
        neutralise=safe_text.markdown,
        force=said.force,
    )
    turns = sum(map(len, conversations.values()))
    magics.outputs.show_text(f"Written: {_turns(turns)} to {path}")


def _are_one_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)  # whatever the links and capitals
    except (OSError, ValueError):
        return os.path.realpath(one) == os.path.realpath(other)
