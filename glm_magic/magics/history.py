"""`%glm_history`: shows what will be sent, and changes it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from glm_magic.chat.attempt import Attempt
from glm_magic.chat.conversation import Conversation, Turn
from glm_magic.chat.place import DEFAULT_CHAT
from glm_magic.chat.reply import Reply
from glm_magic.chat.templates import OPEN
from glm_magic.display import safe_text
from glm_magic.display.page.line import line as line_data
from glm_magic.display.tables import table
from glm_magic.errors import HistoryError, OptionError, SettingError, counted, quoted, summed_up
from glm_magic.magics import attempts, refresh, turns
from glm_magic.magics.facts import ANOTHER_TEXT, about_attempt, command_for
from glm_magic.magics.formatters import data_of_prompt
from glm_magic.magics.new_cell import notebook_file, put_below
from glm_magic.magics.parsing import AskLine, parse
from glm_magic.magics.shared import Shared
from glm_magic.magics.turns import edit, number_of_turns, saved_only
from glm_magic.magics.written import ask_line
from glm_magic.notebook.export.requests import REQUESTS, export_requests
from glm_magic.notebook.export.write import export

_DIFF = "%glm_history --show TURN --diff N M"


def run(shared: Shared, line: str) -> Reply | None:
    """Do what the line says; return the answer that ``--attempt`` makes active.

    Raises `GlmError`, in which case nothing has changed.
    """
    parsed = parse(line, "%glm_history", shared.evaluate)
    if parsed.rest:
        raise OptionError(f"%glm_history does not know {parsed.rest!r}.", "%glm_history? shows what it does.")
    named = parsed.filled.get("chat", "")
    if "chat" in parsed.filled:
        _check_is_known(shared, named)
    chat = named or DEFAULT_CHAT
    match parsed.filled.get("action", ()):
        case ():
            shared.outputs.show(turns.as_table(shared, chat))
        case ("--panel",):
            _show_panel(shared, chat)
        case ("--list",):
            _list(shared)
        case ("--clear",):
            edit(shared, chat, lambda conversation: conversation.without(*(t.place for t in conversation)), "Cleared")
        case ("--refresh",):
            refresh.run(shared, chat)
        case ("--undo",):
            _undo(shared, chat)
        case ("--attempt", number, *which):
            return _attempt(shared, chat, number, *which)
        case ("--attempts", number):
            _show_attempts(shared, chat, number)
        case ("--text", number, *which):
            _put_text_below(shared, chat, number, *which)
        case ("--show", number, *which) if "diff" in parsed.filled and not which:
            _show_difference(shared, chat, number, parsed.filled["diff"], side="side" in parsed.filled)
        case ("--show", _, _) if "diff" in parsed.filled:
            raise OptionError("--diff takes the two numbers, and --show the turn's alone.", _DIFF)
        case ("--show", number, *which):
            _show_turn(shared, chat, number, *which)
        case ("--skip" | "--unskip" as what, number):
            _skip(shared, chat, number, again=what == "--unskip")
        case ("--fork", new):
            forked = shared.session.chats.forked(chat, _name(new))
            edit(shared, new, lambda _: forked, f"Copied from chat {chat}")
        case ("--order",):
            _order(shared, chat)
        case ("--prune",):
            _prune(shared, chat)
        case ("--restore", *files):
            _restore(shared, files, force="force" in parsed.filled)
        case ("--export", file):
            _export(shared, file, named, force="force" in parsed.filled)
        case ("--forget",):
            _forget(shared, force="force" in parsed.filled)
    return None


# --- what is there --------------------------------------------------------------------------------


def _show_panel(shared: Shared, chat: str) -> None:
    if shared.outputs.is_a_page and shared.cells.have_ids:  # else nobody is before the page
        with contextlib.suppress(ImportError):
            from glm_magic.magics.turns_panel import TurnsHands  # noqa: PLC0415 - it loads the widgets

            name = f"turns of {chat}"
            hands = shared.controls.get(name) or TurnsHands(shared, chat)
            assert isinstance(hands, TurnsHands), "by its name"
            shared.controls[name] = hands
            hands.show(shared.cells.run.cell)
            return
    shared.outputs.show(turns.as_table(shared, chat))


def _list(shared: Shared) -> None:
    rows = [(chat, str(len(conversation.sent()))) for chat, conversation in shared.session.chats.items()]
    shared.outputs.show(table("Chats", ("chat", "turns sent"), rows, most=shared.outputs.width))


def _show_attempts(shared: Shared, chat: str, number: str) -> None:
    turn = _turn(shared, chat, number)
    shared.outputs.show(attempts.as_table(number, turn, command_for(chat), width=shared.outputs.width))


def _show_turn(shared: Shared, chat: str, number: str, which: str = "") -> None:
    turn, attempt = _of_turn(shared, chat, number, which)
    at = turn.attempts.index(attempt) + 1
    facts = about_attempt(shared.session, attempt)
    facts += [f"attempt {at} of {len(turn.attempts)}"] if len(turn.attempts) > 1 else []
    facts += [ANOTHER_TEXT] if turn.is_of_another_text(attempt) else []
    shared.outputs.show(line_data((f"Turn {number}", *facts)))
    if attempt.role == "user":
        shared.outputs.show(data_of_prompt(attempts.parameter_lines(attempt)))
    shared.outputs.show_turn(attempt)


def _show_difference(shared: Shared, chat: str, number: str, between: tuple[str, ...], *, side: bool) -> None:
    turn = _turn(shared, chat, number)
    if len(turn.attempts) == 1:
        again = "Run its cell again." if shared.cells.have_ids else "Without a notebook, each question is another turn."
        raise HistoryError(f"Turn {number} has only one attempt; nothing to compare.", again)
    between = between or (str(len(turn.attempts) - 1), str(len(turn.attempts)))
    if len(between) != len(("N", "M")):
        raise OptionError("--diff takes two numbers or none.", _DIFF)
    before, after = (_chosen(turn, chat, number, one) for one in between)
    shared.outputs.show(line_data((f"Turn {number}: from attempt {between[0]} to attempt {between[1]}",)))
    for data in attempts.compared(before, after, side=side, width=shared.outputs.width):
        shared.outputs.show(data)


def _put_text_below(shared: Shared, chat: str, number: str, which: str = "") -> None:
    turn, attempt = _of_turn(shared, chat, number, which)
    is_raw = OPEN in attempt.question  # its expressions have been evaluated
    line = ask_line({}, AskLine(chat=chat, role=attempt.role, raw=is_raw))
    put_below(f"{line}\n{attempt.question}", "text", beside=turn.place.cell)


def _of_turn(shared: Shared, chat: str, number: str, which: str) -> tuple[Turn, Attempt]:
    """Return a turn, and its attempt with that number, else the active one, else the last."""
    turn = _turn(shared, chat, number)
    return turn, _chosen(turn, chat, number, which) if which else turn.counting or turn.attempts[-1]


# --- what changes ---------------------------------------------------------------------------------


def _undo(shared: Shared, chat: str) -> None:
    if not shared.session.chats.conversation(chat).sent():
        raise HistoryError(f"Chat {quoted(chat)} has no turn to undo.", f"{command_for(chat)} shows what it has.")
    if not refresh.undo(shared, chat):
        edit(shared, chat, Conversation.undo, "Undone")


def _skip(shared: Shared, chat: str, number: str, *, again: bool) -> None:
    place = _turn(shared, chat, number, active=True).place
    change, how = (Conversation.unskip, "sent again") if again else (Conversation.skip, "skipped")
    edit(shared, chat, lambda conversation: change(conversation, place), f"Turn {number} is {how}")


def _attempt(shared: Shared, chat: str, number: str, *which: str) -> Reply:
    turn = _turn(shared, chat, number)
    if not which:
        raise OptionError("--attempt needs a turn and the number of its attempt.", "%glm_history --attempt TURN N")
    attempt = _chosen(turn, chat, number, which[0])
    place = turn.place
    edit(
        shared,
        chat,
        lambda conversation: conversation.choose(place, attempt),
        f"Attempt {which[0]} of turn {number} is active",
    )
    # a fork shows what stands in the other chat; and what is shown already is left as it is, as in a replay
    if not turn.forked and attempt is not turn.counting:
        refresh.rewrite(shared, chat, place)
    if turn.forked or turn.restored or turn.counting is None or not shared.outputs.is_a_page:
        shared.outputs.show_turn(attempt)  # this kernel has no display of it, or one of a failure
    if names := _names_of_others(shared, turn, attempt):
        hold = "holds" if len(names) == 1 else "hold"
        to_bind = f"{names[0]} = {command_for(chat)} --attempt {number} {which[0]}"
        shared.outputs.show_text(f"{', '.join(names)} {hold} another attempt. To bind this one: {to_bind}")
    reply = attempt.reply()
    shared.formatter.show_once(reply)
    return reply


def _names_of_others(shared: Shared, turn: Turn, attempt: Attempt) -> list[str]:
    """Return the notebook's names that hold the answer of another attempt of the turn."""
    others = {other.answer for other in turn.attempts} - {attempt.answer}
    return [
        name
        for name, value in shared.shell.user_ns.items()
        if isinstance(value, Reply) and value.text in others and not name.startswith("_")
    ]


def _order(shared: Shared, chat: str) -> None:
    page = shared.page.cells()
    if not any(turn.place.cell in page for turn in shared.session.chats.conversation(chat)):
        raise HistoryError(
            f"The saved notebook has no cell of chat {quoted(chat)}, so its order is not known.", "Save the notebook."
        )
    edit(shared, chat, lambda conversation: conversation.in_order_of(page), "In the order of the page as last saved")


def _prune(shared: Shared, chat: str) -> None:
    conversation = shared.session.chats.conversation(chat)
    places = [turn.place for turn in conversation if shared.cells.is_deleted(turn)]
    what = f"{number_of_turns(len(places))} of deleted cells removed"
    edit(shared, chat, lambda conversation: conversation.without(*places), what)


def _turn(shared: Shared, chat: str, number: str, *, active: bool = False) -> Turn:
    """Return the turn with this number in the table. Raises `HistoryError` if it has no answer, or no `active` one."""
    numbered = shared.session.chats.conversation(chat).numbered
    fitting = {at: turn for at, turn in numbered.items() if turn.counting is not None or not active}
    what = "an active answer" if active else "an answer"
    if number not in fitting:
        there = f"It has: {', '.join(fitting)}. {command_for(chat)} shows them."
        there = there if fitting else " ".join(["It has none yet.", *saved_only(shared)])
        raise HistoryError(f"Chat {quoted(chat)} has no turn {number!r} with {what}.", there)
    return fitting[number]


def _check_is_known(shared: Shared, chat: str) -> None:
    """Raise `SettingError` if there is no such chat in this kernel."""
    try:
        shared.session.chats.known(chat)
    except SettingError as error:
        raise SettingError(error.what, " ".join([error.remedy, *saved_only(shared)])) from None


def _chosen(turn: Turn, chat: str, number: str, which: str) -> Attempt:
    found = {str(at): attempt for at, attempt in enumerate(turn.attempts, 1)}.get(which)
    if found is None:
        raise HistoryError(
            f"Turn {number} has no attempt {which!r}.",
            f"It has {len(turn.attempts)}: {command_for(chat)} --show {number} N shows one.",
        )
    return found


def _name(chat: str) -> str:
    if not chat.strip():
        raise OptionError("--fork needs a name for the new chat.", "%glm_history --fork NEW")
    return chat


# --- files ----------------------------------------------------------------------------------------


def _restore(shared: Shared, files: list[str], *, force: bool) -> None:
    path = Path(files[0]).expanduser() if files else notebook_file(shared.shell)
    if path is None:
        raise HistoryError("This kernel does not know its notebook's file.", "%glm_history --restore FILE.ipynb")
    added, warnings = shared.session.history.restore(path, force=force)
    if not any(added.values()):
        warnings = (*warnings, "It holds no answer of glm_magic that is not here.")
    restored = [f"chat {quoted(chat)}: {number_of_turns(number)}" for chat, number in added.items()]
    shared.outputs.show_text(
        "\n".join([f"Restored from {path}: " + (", ".join(summed_up(restored)) or "nothing"), *warnings])
    )


def _export(shared: Shared, file: str, chat: str, *, force: bool) -> None:
    path = Path(file).expanduser()
    own = notebook_file(shared.shell)
    if own is not None and _are_one_file(own, path):
        raise HistoryError(f"{path} is this notebook itself.", "Give the export another name.")
    if path.name.lower().endswith(REQUESTS):
        _export_requests(shared, path, force=force)
        return
    chats = shared.session.chats
    every = path.suffix.lower() == ".jsonl" and not chat  # one line each
    names = [*chats] if every else [chat or DEFAULT_CHAT]
    conversations = {name: chats.conversation(name).kept() for name in names}
    export(
        path,
        conversations,
        base_url=shared.session.services.base_url(shared.session.layers.values({})),
        neutralise=safe_text.markdown,
        force=force,
    )
    turns = sum(map(len, conversations.values()))
    shared.outputs.show_text(f"Written: {number_of_turns(turns)} to {path}")


def _export_requests(shared: Shared, path: Path, *, force: bool) -> None:
    plan = shared.kept_runs.latest
    if plan is None:
        raise HistoryError(
            f"{path.name} is for the requests of a comparison, and none was run in this kernel.",
            "Run the cell of one, or its dry run: %%glm … -N",
        )
    number = export_requests(path, plan.requests, force=force)
    shared.outputs.show_text(f"Written: {counted(number, 'request')} to {path}")


def _forget(shared: Shared, *, force: bool) -> None:
    path = shared.session.recordings.forget(force=force)
    shared.outputs.show_text(
        f"The store has no answers of {path.name} any more. Those in the notebook itself are still there."
    )


def _are_one_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)  # whatever the links and capitals
    except (OSError, ValueError):
        return os.path.realpath(one) == os.path.realpath(other)
