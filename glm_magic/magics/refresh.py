"""`%glm_history --refresh`: asks the stale turns again, in their order, and shows the old answers against the new."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from glm_magic.asking import refresh
from glm_magic.asking.question import Question
from glm_magic.asking.refresh import Again
from glm_magic.chat.conversation import Conversation
from glm_magic.chat.place import Place
from glm_magic.display.page.line import line
from glm_magic.errors import HistoryError, Interrupted, quoted
from glm_magic.magics import answering, approving, attempts, names
from glm_magic.magics.facts import about_attempt, command_for, ending_of_attempt
from glm_magic.magics.forecasts import in_sum
from glm_magic.magics.shared import Shared
from glm_magic.magics.turns import edit, edit_now
from glm_magic.tools.tool import Tool, checked, tool


def run(shared: Shared, chat: str) -> None:
    """Ask the stale turns of a chat again. Raises `HistoryError` if there are none, and `Interrupted`.

    What cannot be asked is said before anything is sent. A turn that was stopped, or that fails, keeps its answer.
    """
    shared.wait_for(chat)
    again = refresh.turns(shared.session.chats.conversation(chat))
    if not again:
        raise HistoryError(f"Chat {quoted(chat)} has no stale turn; nothing was sent.", f"See {command_for(chat)}.")
    planned = [_planned(shared, chat, turn) for turn in again]
    shared.session.check_limits(*planned)
    if any(question.wishes.tools and question.settings["approve"] for question in planned):
        approving.check_can_ask(shared.shell, background=False)
    shared.outputs.show_text(_beforehand(shared, again, planned))
    done: list[Again] = []
    with shared.interrupts:
        try:
            for turn in again:
                shared.interrupts.check()
                if turn.attempt.id in shared.session.chats.conversation(chat).stale():  # its answers may be the same
                    done.append(_ask(shared, chat, turn))
        except KeyboardInterrupt:
            raise Interrupted(
                f"Stopped. {len(done)} of {len(again)} turns were asked again.",
                f"{command_for(chat)} --undo takes that back." if done else "",
            ) from None
        finally:
            if done:
                what = "1 turn was asked again" if len(done) == 1 else f"{len(done)} turns were asked again"
                edit_now(shared, chat, lambda conversation: conversation, f"{what} (--undo takes that back)")
                shared.session.history.note_refresh(chat, tuple(done))


def undo(shared: Shared, chat: str) -> bool:
    """Take a refresh back, if that was the last change of the chat; return whether it was."""
    turns = shared.session.history.refreshed(chat)
    if not turns:
        return False

    def back(conversation: Conversation) -> Conversation:
        for turn in turns:
            conversation = conversation.choose(turn.place, turn.attempt)
        return conversation

    have = "turn has its" if len(turns) == 1 else "turns have their"
    edit(shared, chat, back, f"{len(turns)} refreshed {have} old answer again")
    for turn in turns:
        if turn.is_shown:
            rewrite(shared, chat, turn.place)
    return True


def rewrite(shared: Shared, chat: str, place: Place) -> None:
    """Show the attempt that counts at a place where this kernel has shown its cell's answer."""
    turn = shared.session.chats.turn(chat, place)
    if turn.counting is not None:
        shared.outputs.rewrite(place, turn.counting, ending_of_attempt(shared.session, chat, turn))


def _beforehand(shared: Shared, again: tuple[Again, ...], planned: list[Question]) -> str:
    """Return what asking again will take, as far as that can be told before the new answers are there."""
    numbers = ", ".join(turn.number for turn in again)
    what = f"Asking turn {numbers} again" if len(again) == 1 else f"Asking turns {numbers} again"
    return f"{what}: {in_sum([shared.session.forecast(question) for question in planned])}."


def _ask(shared: Shared, chat: str, turn: Again) -> Again:
    """Ask a turn again, and show its old answer against the new one; return it as it was."""
    question = _planned(shared, chat, turn)
    is_replayed = question.recorded is not None
    asking = answering.ask(shared, question)
    waiting = shared.outputs.saying(f"turn {turn.number} is asked again")
    try:
        with contextlib.nullcontext() if is_replayed else waiting, contextlib.closing(iter(asking)) as events:
            for _ in events:
                shared.interrupts.check()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            asking.interrupt()
        shared.session.history.edit(chat, lambda conversation: conversation.choose(turn.place, turn.attempt))
        raise
    new = shared.session.chats.turn(chat, turn.place).counting
    if not is_replayed:
        rewrite(shared, chat, turn.place)
    if new is not None:
        facts = about_attempt(shared.session, new)
        shared.outputs.show(line((f"Turn {turn.number}, old against new", *facts)))
        for data in attempts.compared(turn.attempt, new, side=False, width=shared.outputs.width):
            shared.outputs.show(data)
    return replace(turn, is_shown=not is_replayed)


def _planned(shared: Shared, chat: str, turn: Again) -> Question:
    offered = functools.partial(_offered, shared, turn)
    wishes = turn.wishes(chat, offered, embedded=shared.session.services.embedded.name)
    return shared.session.plan(turn.attempt.messages[0], turn.place, wishes)


def _offered(shared: Shared, turn: Again, tools: tuple[Mapping[str, Any], ...]) -> tuple[Tool, ...]:
    """Return the tools that a turn was offered, as the notebook has them now. Raises `OptionError` for one it lacks."""
    found: list[Tool] = []
    for each in tools:
        function = each.get("function")
        if isinstance(function, Mapping):
            where = f"The tool of turn {turn.number}"
            found += names.tools(str(function["name"]), shared.names, known=shared.known_names, as_typed=where)
        else:
            found.append(tool(each, str(each["type"])))
    return checked(found)
