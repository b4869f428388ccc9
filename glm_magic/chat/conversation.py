"""A conversation: turns at their places, each with its attempts; always fit to be sent.

An immutable value. Every change returns a new one, so that a turn enters whole or not at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from glm_magic.chat.messages import Message, Usage
from glm_magic.chat.recording import canonical

MOST_EARLIER_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Place:
    """Where a turn belongs: its cell, and the how manieth question (from 0) of one run of that cell."""

    cell: str
    call: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One answered question, or one message put in without asking.

    `messages` are its own: question, tool calls with their results, answer. `after` are the ids of
    the attempts that were sent before it, and `context` the digest of their messages (``""`` if
    not known). `new` is a boundary: nothing before it is sent. `role` is ``"user"`` where it was
    asked, else the role of the message put in. `created` counts seconds since the epoch.
    """

    id: str
    messages: tuple[Message, ...]
    after: tuple[str, ...] = ()
    context: str = ""
    new: bool = False
    role: str = "user"
    parameters: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    usage: Usage | None = None
    finish_reason: str = ""
    model: str = ""
    created: float = 0.0
    seconds: float = 0.0
    first_token_seconds: float | None = None
    interrupted: bool = False

    @property
    def question(self) -> str:
        """The text of its first message."""
        return self.messages[0].content if self.messages else ""

    @property
    def answer(self) -> str:
        """The text of its last message."""
        return self.messages[-1].content if self.messages else ""


@dataclass(frozen=True, slots=True)
class Turn:
    """A place and what was tried there, oldest first; `counting` is the attempt that is sent, if any.

    `restored` says that it came from a file, and no cell of this kernel has asked it yet. A `skipped`
    turn is not sent, whatever counts, until its cell runs again.
    """

    place: Place
    attempts: tuple[Attempt, ...] = ()
    counting: Attempt | None = None
    restored: bool = False
    skipped: bool = False

    @property
    def sent(self) -> Attempt | None:
        """The attempt that is sent, as far as the turn itself decides."""
        return None if self.skipped else self.counting

    @property
    def earlier(self) -> tuple[Attempt, ...]:
        """The attempts that do not count, at most the ten latest."""
        others = tuple(attempt for attempt in self.attempts if attempt is not self.counting)
        return others[-MOST_EARLIER_ATTEMPTS:]


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns in the order in which their cells first ran."""

    turns: tuple[Turn, ...] = ()

    def __iter__(self) -> Iterator[Turn]:
        return iter(self.turns)

    def find(self, place: Place) -> Turn | None:
        """Return the turn at `place`, if there is one."""
        return next((turn for turn in self.turns if turn.place == place), None)

    def reserve(self, place: Place, question: Message | None = None) -> Conversation:
        """Return a conversation in which `place` is taken.

        A place that is known stays where it is. One that a restored turn with the same `question`
        waits for is claimed. A further call of a known cell stands in the order of that cell's calls; all
        others go last.
        """
        known = self.find(place)
        if known is not None:
            return self
        for at, turn in enumerate(self.turns):
            if turn.restored and turn.counting is not None and turn.counting.messages[:1] == (question,):
                claimed = replace(turn, place=place, restored=False)
                return Conversation((*self.turns[:at], claimed, *self.turns[at + 1 :]))
        same_cell = [at for at, turn in enumerate(self.turns) if turn.place.cell == place.cell]
        earlier_calls = [at for at in same_cell if self.turns[at].place.call < place.call]
        at = earlier_calls[-1] + 1 if earlier_calls else same_cell[0] if same_cell else len(self.turns)
        return Conversation((*self.turns[:at], Turn(place), *self.turns[at:]))

    def commit(self, place: Place, attempt: Attempt) -> Conversation:
        """Return a conversation in which `attempt` counts at `place`; earlier attempts are kept."""
        return self._at(place, lambda turn: Turn(turn.place, (*turn.attempts, attempt), attempt))

    def retire(self, place: Place) -> Conversation:
        """Return a conversation in which nothing counts at `place`; its attempts are kept."""
        return self._at(place, lambda turn: replace(turn, counting=None, restored=False, skipped=False))

    def skip(self, place: Place) -> Conversation:
        """Return a conversation in which the turn at `place` is not sent.

        It keeps what counts. If it is a boundary, it stays one: to send less must not send more.
        """
        return self._at(place, lambda turn: replace(turn, skipped=turn.counting is not None))

    def unskip(self, place: Place) -> Conversation:
        """Return a conversation in which what counts at `place` is sent again."""
        return self._at(place, lambda turn: replace(turn, skipped=False))

    def adopt(self, place: Place, attempts: tuple[Attempt, ...]) -> Conversation:
        """Return a conversation in which `place` is taken and has the `attempts` made elsewhere."""
        taken = self.reserve(place)
        return Conversation(
            tuple(replace(t, attempts=(*attempts, *t.attempts)) if t.place == place else t for t in taken)
        )

    def without(self, place: Place) -> Conversation:
        """Return a conversation without the turn at `place`."""
        return Conversation(tuple(turn for turn in self.turns if turn.place != place))

    def undo(self) -> Conversation:
        """Return a conversation in which the last turn that is sent counts no more; the same one if none is."""
        sent = self.sent()
        last = next((turn for turn in reversed(self.turns) if sent and turn.counting is sent[-1]), None)
        return self if last is None else self.retire(last.place)

    def sent(self, before: Place | None = None, *, new: bool = False) -> tuple[Attempt, ...]:
        """Return the attempts that are sent, from the latest boundary on.

        With `before`, those that a question at that place is sent after; none if it is `new` itself.
        """
        if new:
            return ()
        sent: list[Attempt] = []
        for turn in self.turns:
            if before is not None and turn.place == before:
                break
            if turn.counting is not None and turn.counting.new:
                sent.clear()
            if turn.sent is not None:
                sent.append(turn.sent)
        return tuple(sent)

    def stale(self) -> frozenset[str]:
        """Return the ids of the counting attempts that were asked with other messages before them.

        One that is skipped is compared too: it may be sent again.
        """
        found: set[str] = set()
        digest = hashlib.sha256()
        for turn in self.turns:
            attempt = turn.counting
            if attempt is None:
                continue
            if attempt.new:
                digest = hashlib.sha256()
            if attempt.context and attempt.context != digest.hexdigest():
                found.add(attempt.id)
            if not turn.skipped:
                _digest_into(digest, attempt.messages)
        return frozenset(found)

    def _at(self, place: Place, change: Any) -> Conversation:
        return Conversation(tuple(change(turn) if turn.place == place else turn for turn in self.turns))


def context_digest(attempts: tuple[Attempt, ...]) -> str:
    """Return the digest by which `Conversation.stale` knows what a question was asked after."""
    digest = hashlib.sha256()
    for attempt in attempts:
        _digest_into(digest, attempt.messages)
    return digest.hexdigest()


def _digest_into(digest: Any, messages: tuple[Message, ...]) -> None:
    for message in messages:
        digest.update(canonical(message.to_api()))
