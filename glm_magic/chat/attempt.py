"""An attempt: a question with its answer, or a message inserted without asking, as it is sent later."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from glm_magic.chat import strict_json
from glm_magic.chat.events import Event, ReasoningDelta, Sources, TextDelta, ToolCalling, ToolResult
from glm_magic.chat.fingerprint import canonical
from glm_magic.chat.messages import Message, ToolCall
from glm_magic.chat.reply import Details, Reply, ToolRun, details_of

_INSERTED = ("system", "assistant")  # the roles of a message that `--role` inserts


@dataclass(frozen=True, slots=True)
class Attempt(Details):
    """One answered question, or one message inserted without asking.

    `messages` are its own: question, tool calls with their results, answer. `after` are the ids of the attempts
    that were sent before it, `context` is the digest of their messages (``""`` if not known). `new` is a
    boundary: nothing before it is sent. `role` is ``"user"`` for a question, else the role of the inserted message.
    `system` is the leading system message of the request (``""`` if none). `created` is in seconds since the epoch.
    The other fields are those of its `Reply`; `reasoning` is never sent back.
    """

    id: str
    messages: tuple[Message, ...]
    after: tuple[str, ...] = ()
    context: str = ""
    new: bool = False
    role: str = "user"
    system: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    created: float = 0.0

    @property
    def question(self) -> str:
        """The text of its first message."""
        return self.messages[0].content if self.messages else ""

    @property
    def answer(self) -> str:
        """The text of its last message."""
        return self.messages[-1].content if self.messages else ""

    def events(self) -> Iterator[Event]:
        """Yield the events that a view paints, in their original order."""
        if self.role != "user":
            return
        if self.reasoning:
            yield ReasoningDelta(self.reasoning)
        runs = {run.id: run for run in self.tool_runs}
        numbered: dict[str, tuple[int, ToolCall]] = {}
        for message in self.messages[1:]:
            if message.role == "tool":
                number, call = numbered[message.tool_call_id]
                run = runs.get(call.id, ToolRun(call.id, 0.0))
                yield ToolResult(number, call, message.content, run.seconds, run.failed)
                continue
            if message.content:
                yield TextDelta(message.content)
            for call in message.tool_calls:
                numbered[call.id] = len(numbered), call
                yield ToolCalling(*numbered[call.id])
        if self.sources:
            yield Sources(self.sources)

    def reply(self, **circumstances: Any) -> Reply:
        """Return the answer as it was given; `circumstances` are the fields that an attempt does not have."""
        return Reply(
            self.answer,
            tool_calls=tuple(call for message in self.messages for call in message.tool_calls),
            steps=self.messages[1:-1],
            **details_of(self),
            **circumstances,
        )


def in_order(*attempts: Attempt) -> tuple[Attempt, ...]:
    """Return the attempts sorted by the time they were made; of equal ids, only the last one given."""
    by_id = {attempt.id: attempt for attempt in attempts}
    return tuple(sorted(by_id.values(), key=lambda attempt: attempt.created))


def is_whole(role: str, messages: tuple[Message, ...]) -> bool:
    """Whether the messages of an attempt of this `role` can be sent as part of a conversation.

    A question must lead to an answer, and each tool call must have its result before the next message.
    """
    if not role:  # an edit that added no message
        return not messages
    if role != "user":  # inserted without asking
        return role in _INSERTED and [message.role for message in messages] == [role] and _is_text(messages[0])
    if len(messages) < len(("question", "answer")):
        return False
    question, *between, answer = messages
    if (question.role, answer.role) != ("user", "assistant") or not (_is_text(question) and _is_text(answer)):
        return False
    open_calls: set[str] = set()
    for message in between:
        if open_calls:
            if message.role != "tool" or message.tool_calls or message.tool_call_id not in open_calls:
                return False
            open_calls.remove(message.tool_call_id)
        elif message.role == "assistant" and message.tool_calls and not message.tool_call_id:
            if not _can_be_answered(message.tool_calls):
                return False
            open_calls = {call.id for call in message.tool_calls}
        else:
            return False
    return not open_calls


def _can_be_answered(calls: tuple[ToolCall, ...]) -> bool:
    """Whether each call has a unique id for its result to name, and arguments that a service can parse."""
    ids = {call.id for call in calls}
    return len(ids) == len(calls) and "" not in ids and all(strict_json.is_object(call.arguments) for call in calls)


def _is_text(message: Message) -> bool:
    return bool(message.content) and not message.tool_calls and not message.tool_call_id


def context_digest(attempts: tuple[Attempt, ...]) -> str:
    """Return the digest that `Conversation.stale` compares."""
    digest = hashlib.sha256()
    for attempt in attempts:
        _digest_into(digest, attempt.messages)
    return digest.hexdigest()


def contexts_of(counting: Iterable[tuple[Attempt, bool]]) -> Iterator[str]:
    """Yield, for each pair of an attempt and whether it is skipped, the digest of the messages sent before it."""
    digest = hashlib.sha256()
    for attempt, skipped in counting:
        if attempt.new:
            digest = hashlib.sha256()
        yield digest.hexdigest()
        if not skipped:
            _digest_into(digest, attempt.messages)


def _digest_into(digest: Any, messages: tuple[Message, ...]) -> None:
    for message in messages:
        digest.update(canonical(message.to_api()))
