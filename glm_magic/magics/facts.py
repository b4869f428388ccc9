"""The facts about an answer: what its line says when it has ended, and what the page keeps of it."""

from __future__ import annotations

from collections.abc import Sequence

from glm_magic.asking.ask import Asking
from glm_magic.asking.history import History
from glm_magic.asking.question import Question
from glm_magic.asking.session import Session
from glm_magic.chat.attempt import Attempt
from glm_magic.chat.conversation import Conversation, Turn
from glm_magic.chat.place import DEFAULT_CHAT, ONE_SHOT, Place
from glm_magic.chat.reply import Reply
from glm_magic.display.reply_facts import (
    OF_THE_STREAM,
    calls,
    flaws,
    in_json,
    in_order,
    time,
    tokens,
    what_was_set,
    who,
)
from glm_magic.display.view import Ending
from glm_magic.errors import GlmError, Withdrawn
from glm_magic.magics.words import as_word
from glm_magic.notebook.bundle import MIME_TYPE
from glm_magic.protocol import request

ANOTHER_TEXT = "asked with another text"

_MOST_NAMED = 5


def ending_of(
    asking: Asking, reply: Reply | None, error: GlmError | None, *, page: Sequence[str], problems: tuple[str, ...]
) -> Ending:
    """Return how a question ended: with a reply, with a part of one, or with an error.

    `page` are the notebook's cells in their order, as far as it is known; `problems` are what could not be read or
    kept meanwhile.
    """
    question = asking.question
    facts = [who(question.model, reply, is_embedded=question.is_embedded)]
    facts += what_was_set(request.parameters(question.body), question.system)
    if reply is not None:
        facts += [*tokens(reply), *_of_unknown_cost(question, reply), *calls(reply), time(reply)]
        if reply.repeats_key:
            facts.append("the service put your API key into the answer; it is masked")
    if error is not None:
        facts.append("failed")
    elif reply is None:
        facts.append("stopped before any text")
    else:
        facts += flaws(reply)
    turn = asking.turn
    counting = turn.counting
    from_before = 0 if question.recorded else asking.history.from_before(turn)  # a replay says what its notebook says
    facts += _in_conversation(
        asking.conversation, question.chat, turn, len(question.sent_after), from_before=from_before
    )
    facts += images_left_out(question)
    facts += _out_of_order(asking.conversation, turn, question.sent_after, page)
    kept = asking.bundle if question.settings["save_turns"] else None
    return Ending(
        (*facts, *problems),
        {MIME_TYPE: kept} if kept else {},
        withdrawn=isinstance(error, Withdrawn),
        turn=counting.id if counting else "",
    )


def _of_unknown_cost(question: Question, reply: Reply) -> list[str]:
    """Return that a budget is set, and that it does not know what the answer cost."""
    is_known = reply.cost is not None or question.is_embedded or reply.replayed
    return [] if is_known or question.settings["budget"] is None else ["cost unknown, not counted in the budget"]


def ending_of_attempt(session: Session, chat: str, turn: Turn) -> Ending:
    """Return how the attempt that counts at a turn ended, when it was made."""
    history, attempt = session.history, turn.counting
    assert attempt is not None, "something counts there"
    if attempt.role != "user":
        return ending_of_message(history, chat, turn.place, attempt)
    conversation = history.chats.conversation(chat)
    facts = (
        *about_attempt(session, attempt),
        *_in_conversation(conversation, chat, turn, len(attempt.after)),
    )
    return Ending(facts, _attached(history, chat, turn.place), turn=attempt.id)


def about_attempt(session: Session, attempt: Attempt) -> list[str]:
    """Return the facts about an attempt alone."""
    if attempt.role != "user":
        return [f"{attempt.role} message, not asked"]
    asked, reply = str(attempt.parameters.get("model", attempt.model)), attempt.reply()
    return [
        who(asked, reply, is_embedded=asked == session.services.embedded.name),
        *what_was_set(attempt.parameters, attempt.system),
        *tokens(reply),
        *calls(reply),
        time(reply),
        *flaws(reply),
    ]


def ending_of_message(history: History, chat: str, place: Place, attempt: Attempt) -> Ending:
    """Return how adding a message to a conversation ended."""
    facts = (f"{attempt.role} message, not asked", _in_chat(chat, len(attempt.after)))
    return Ending(facts, _attached(history, chat, place), turn=attempt.id)


def _attached(history: History, chat: str, place: Place) -> dict[str, object]:
    return {MIME_TYPE: history.bundle_at(chat, place)} if history.saves_turns else {}


def command_for(chat: str) -> str:
    """Return the ``%glm_history`` of this chat, to which an option can be added."""
    return f"%glm_history -c {as_word(chat)}" if chat != DEFAULT_CHAT else "%glm_history"


def written_parameters(attempt: Attempt) -> dict[str, str]:
    """Return the system message and the parameters of an attempt as text."""
    system = {"system": attempt.system} if attempt.system else {}
    sent = {name: value for name, value in in_order(attempt.parameters) if name not in OF_THE_STREAM}
    return {**system, **{name: value if isinstance(value, str) else in_json(value) for name, value in sent.items()}}


def _in_conversation(
    conversation: Conversation, chat: str, turn: Turn, sent: int, *, from_before: int = 0
) -> list[str]:
    """Return which attempt is active, how many turns were sent before it, and which turns are stale now.

    `from_before` is how many attempts were made in another kernel.
    """
    facts = [f"attempt {turn.number} of {len(turn.attempts)}"] if turn.number and len(turn.attempts) > 1 else []
    if facts and from_before:
        facts = [f"{facts[0]}, {from_before} from before"]
    facts.append(_in_chat(chat, sent))
    if turn.counting is not None and turn.is_of_another_text(turn.counting):
        number = next(at for at, other in conversation.numbered.items() if other.place == turn.place)
        facts.append(f"{ANOTHER_TEXT} ({command_for(chat)} --text {number})")
    stale = conversation.stale() & {attempt.id for attempt in conversation.sent()}
    numbers = [at for at, other in conversation.numbered.items() if other.counting and other.counting.id in stale]
    if numbers:
        facts.append(f"stale now: {turns_named(numbers)} (%glm_history)")
    return facts


def _out_of_order(
    conversation: Conversation, turn: Turn, sent_after: Sequence[Attempt], page: Sequence[str]
) -> list[str]:
    """Return which turns were sent before a turn although their cells stand below its own."""
    rows = {cell: row for row, cell in enumerate(page)}
    own = rows.get(turn.place.cell, len(rows))
    sent = {attempt.id for attempt in sent_after}
    below = [
        at
        for at, other in conversation.numbered.items()
        if other.counting and other.counting.id in sent and rows.get(other.place.cell, -1) > own
    ]
    return [f"asked after {turns_named(below)} from below it (%glm_history --order)"] if below else []


def images_left_out(question: Question) -> list[str]:
    """Return that the images of earlier turns were not sent, where the model reads text only."""
    if not request.reads_text_only(question.model, embedded=question.is_embedded):
        return []
    images = any(request.has_images(message) for attempt in question.sent_after for message in attempt.messages)
    return ["images of earlier turns left out: the model reads text only"] if images else []


def turns_named(numbers: Sequence[str]) -> str:
    """Return the numbers of turns as words."""
    named = ", ".join(numbers[:_MOST_NAMED]) + (" …" if len(numbers) > _MOST_NAMED else "")
    return f"{'turn' if len(numbers) == 1 else 'turns'} {named}"


def _in_chat(chat: str, sent: int) -> str:
    if chat == ONE_SHOT:
        return "one-shot: no earlier turns sent"
    named = f"chat {chat}, " if chat != DEFAULT_CHAT else ""
    return f"{named}{sent} earlier {'turn' if sent == 1 else 'turns'} sent"
