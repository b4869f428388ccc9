"""What is said about an answer when it has ended, and what the page keeps of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from glm_magic.chat import catalogue
from glm_magic.chat.messages import Usage
from glm_magic.chat.request import estimated_tokens
from glm_magic.chat.settings import SETTINGS
from glm_magic.display.view import Ending
from glm_magic.errors import GlmError, Withdrawn
from glm_magic.notebook.bundle import MIME_TYPE

if TYPE_CHECKING:
    from glm_magic.asking import Asking, Question
    from glm_magic.chat.conversation import Attempt, Place, Turn
    from glm_magic.chat.reply import Reply
    from glm_magic.session import Session


def ending_of(session: Session, asking: Asking, reply: Reply | None, error: GlmError | None = None) -> Ending:
    """Return how a question ended: with a reply, with a part of one, or with an error."""
    question = asking.question
    facts = [_who(question, reply)]
    if reply is not None:
        facts += [*_tokens(reply), _time(reply)]
    if error is not None:
        facts.append("failed")
    elif reply is None:
        facts.append("stopped before anything came")
    elif reply.interrupted:
        facts.append("interrupted")
    elif reply.finish_reason == "length":
        facts.append("cut off at its most tokens: raise --max-tokens")
    elif reply.tool_calls:
        names = ", ".join(call.name for call in reply.tool_calls)
        facts.append(f"asked for {names}, which was not run; not kept in the conversation")
    if reply is not None and reply.replayed:
        facts.append("replayed")
    facts += [*_chat(session, question), *session.recordings.problems()]
    return Ending(tuple(facts), _attached(session, asking), withdrawn=isinstance(error, Withdrawn))


def ending_of_message(session: Session, chat: str, place: Place, attempt: Attempt) -> Ending:
    """Return how putting a message into a conversation ended."""
    facts = (f"{attempt.role} message, not asked", _in_chat(chat, len(attempt.after)))
    return Ending(facts, {MIME_TYPE: session.bundle_at(chat, place)} if saves_turns(session) else {})


def saves_turns(session: Session) -> bool:
    """Whether the notebook keeps the turns."""
    return bool(session.sources.find(SETTINGS["save_turns"])[0])


def dry_run(question: Question) -> str:
    """Return the exact request, without its key, and what it might cost; nothing is sent."""
    endpoint = question.endpoint
    lines = []
    if endpoint is None:
        lines.append(f"POST to the embedded model {question.model}, on this machine")
    else:
        key = f"Authorization: Bearer {endpoint.key.masked}" if endpoint.key else "no Authorization"
        lines.append(f"POST {endpoint.url}  ({key})")
    lines.append(json.dumps(question.body, ensure_ascii=False, indent=2))
    tokens = estimated_tokens(question.body)
    known = catalogue.MODELS.get(question.model) if endpoint is not None and endpoint.is_glm else None
    price = f", {known.cost(Usage(total_tokens=tokens)):.6f} CNY by the list," if known else ""
    lines.append(f"1 request, about {tokens} tokens to read{price} and the answer. Nothing was sent.")
    return "\n".join(lines)


def _who(question: Question, reply: Reply | None) -> str:
    model = reply.model if reply is not None else question.model
    if question.is_embedded:
        return f"{model}, the embedded model (not for judging prompts)"
    return model if model.lower() == question.model.lower() else f"{question.model} (answered by {model})"


def _tokens(reply: Reply) -> list[str]:
    if reply.usage is None:
        return []
    cost = f", {reply.cost:.6f} CNY" if reply.cost else ""
    return [f"{reply.usage.prompt_tokens} + {reply.usage.completion_tokens} tokens{cost}"]


def _time(reply: Reply) -> str:
    first = reply.first_token_seconds
    return f"{reply.seconds:.1f} s" + (f", first after {first:.1f} s" if first is not None else "")


def _chat(session: Session, question: Question) -> list[str]:
    if not question.keep:
        return ["one-shot: no earlier turns sent, none kept"]
    conversation = session.chats.conversation(question.chat)
    turn = conversation.find(question.place)
    stale = len(conversation.stale() & {attempt.id for attempt in conversation.sent()})
    later = [f"stale now: {stale} {'turn' if stale == 1 else 'turns'} (%glm_history shows which)"] if stale else []
    return [*attempt_of(turn), _in_chat(question.chat, len(question.sent_after)), *later]


def attempt_of(turn: Turn | None) -> list[str]:
    """Say which of a turn's attempts counts, if there are several."""
    if turn is None or turn.counting is None or len(turn.attempts) == 1:
        return []
    return [f"attempt {turn.number} of {len(turn.attempts)}"]


def _in_chat(chat: str, sent: int) -> str:
    return f"chat {chat}, {sent} earlier {'turn' if sent == 1 else 'turns'} sent"


def _attached(session: Session, asking: Asking) -> dict[str, Any]:
    if not asking.question.settings["save_turns"]:
        return {}
    kept = session.bundle(asking.question, asking.attempt)
    return {MIME_TYPE: kept} if kept else {}
