"""A conversation: turns at their places, each with its attempts, that can be sent at any time.

It is immutable: every change returns a new one, so that a turn enters whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from glm_magic.chat.attempt import Attempt, contexts_of, in_order
from glm_magic.chat.messages import Message
from glm_magic.chat.place import Place

MOST_EARLIER_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Turn:
    """A place with its attempts, oldest first; `counting` is the one that is sent, if any.

    A `restored` turn came from a file, and no cell of this kernel has asked it yet. A `skipped` turn is not sent
    until its cell runs again. A `forked` turn is a copy: its cell belongs to another chat until it asks in this one.
    `asks` is the text with which its cell has asked last, ``""`` where that is not known.
    """

    place: Place
    attempts: tuple[Attempt, ...] = ()
    counting: Attempt | None = None
    restored: bool = False
    skipped: bool = False
    forked: bool = False
    asks: str = ""

    def is_of_another_text(self, attempt: Attempt) -> bool:
        """Whether an attempt was made with another text than that with which the cell has asked last."""
        return bool(self.asks) and attempt.question != self.asks

    @property
    def sent(self) -> Attempt | None:
        """The attempt that is sent, unless a later boundary excludes the turn."""
        return None if self.skipped else self.counting

    @property
    def earlier(self) -> tuple[Attempt, ...]:
        """The attempts that do not count; of more than ten, the latest."""
        others = tuple(attempt for attempt in self.attempts if attempt is not self.counting)
        return others[-MOST_EARLIER_ATTEMPTS:]

    @property
    def number(self) -> int:
        """The number of the attempt that counts, from 1; 0 if none does."""
        return 0 if self.counting is None else self.attempts.index(self.counting) + 1


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns in the order in which their cells first ran. Those of a `one_shot` conversation are never sent together."""

    turns: tuple[Turn, ...] = ()
    one_shot: bool = False

    def __iter__(self) -> Iterator[Turn]:
        return iter(self.turns)

    @property
    def numbered(self) -> dict[str, Turn]:
        """The turns by their numbers, from 1; one without any attempt, as where nothing but failed, has none."""
        return {str(number): turn for number, turn in enumerate((t for t in self.turns if t.attempts), start=1)}

    def find(self, place: Place) -> Turn | None:
        """Return the turn at `place`, if there is one."""
        return next((turn for turn in self.turns if turn.place == place), None)

    def reserve(self, place: Place, question: Message | None = None) -> Conversation:
        """Return a conversation with a turn at `place`.

        A known place stays where it is, and is no longer a forked copy. A new place claims a restored turn with
        the same `question`, if there is one. Otherwise a further call of a known cell goes into the order of that
        cell's calls, and a new cell goes last.
        """
        asks = question.content if question is not None else ""
        known = self.find(place)
        if known is not None:
            if not known.forked and asks in ("", known.asks):
                return self
            return self._at(place, lambda turn: replace(turn, forked=False, asks=asks or turn.asks))
        for at, turn in enumerate(self.turns):
            if turn.restored and turn.counting is not None and turn.counting.messages[:1] == (question,):
                claimed = replace(turn, place=place, restored=False, forked=False, asks=asks)
                return replace(self, turns=(*self.turns[:at], claimed, *self.turns[at + 1 :]))
        same_cell = [at for at, turn in enumerate(self.turns) if turn.place.cell == place.cell]
        earlier_calls = [at for at in same_cell if self.turns[at].place.call < place.call]
        at = earlier_calls[-1] + 1 if earlier_calls else same_cell[0] if same_cell else len(self.turns)
        return replace(self, turns=(*self.turns[:at], Turn(place, asks=asks), *self.turns[at:]))

    def commit(self, place: Place, attempt: Attempt, others: tuple[Attempt, ...] = ()) -> Conversation:
        """Return a conversation in which `attempt` counts at `place`; its earlier attempts and `others` are kept."""
        return self._at(
            place, lambda turn: Turn(place, in_order(*turn.attempts, *others, attempt), attempt, asks=turn.asks)
        )

    def choose(self, place: Place, attempt: Attempt) -> Conversation:
        """Return a conversation in which `attempt`, an attempt at `place`, counts."""
        return self._at(
            place,
            lambda turn: replace(
                turn,
                attempts=in_order(*turn.attempts, attempt),  # a recording may have brought another copy of it
                counting=attempt,
                skipped=False,
            ),
        )

    def fork(self) -> Conversation:
        """Return a copy for another chat, of the turns with an attempt that counts."""
        return Conversation(
            tuple(replace(turn, forked=True, asks="") for turn in self.turns if turn.counting is not None)
        )

    def retire(self, place: Place) -> Conversation:
        """Return a conversation in which no attempt counts at `place`; they are kept."""
        return self._at(place, lambda turn: replace(turn, counting=None, restored=False, skipped=False))

    def skip(self, place: Place) -> Conversation:
        """Return a conversation in which the turn at `place` is not sent.

        Its attempt still counts. A boundary stays one, or skipping a turn would send more.
        """
        return self._at(place, lambda turn: replace(turn, skipped=turn.counting is not None))

    def unskip(self, place: Place) -> Conversation:
        """Return a conversation in which the turn at `place` is sent again."""
        return self._at(place, lambda turn: replace(turn, skipped=False))

    def adopt(self, place: Place, attempts: tuple[Attempt, ...], question: Message | None = None) -> Conversation:
        """Return a conversation with a turn at `place`, as `reserve` does, that also has `attempts` of another chat."""
        return self.reserve(place, question)._at(  # noqa: SLF001 - of its own class
            place, lambda turn: replace(turn, attempts=in_order(*attempts, *turn.attempts))
        )

    def without(self, *places: Place) -> Conversation:
        """Return a conversation without the turns at `places`."""
        return replace(self, turns=tuple(turn for turn in self.turns if turn.place not in places))

    def merged(self, saved: Conversation) -> Conversation:
        """Return a conversation with the turns of `saved` too; a turn that is in both keeps its place and answer here.

        A saved turn stands before the turn here that it came before.
        """
        here = {turn.place: turn for turn in self.turns}
        elsewhere = [turn for turn in self.turns if saved.find(turn.place) is None]  # their cells have other ids now
        before: dict[Place, list[Turn]] = {}
        known: dict[Place, Turn] = {}
        waiting: list[Turn] = []
        last: Place | None = None
        for turn in saved.turns:
            own = here.get(turn.place) or next((other for other in elsewhere if _ask_the_same(turn, other)), None)
            if own is None:
                waiting.append(turn)
                continue
            if own in elsewhere:
                elsewhere.remove(own)
            known[own.place] = replace(own, attempts=in_order(*turn.attempts, *own.attempts))
            before.setdefault(own.place, []).extend(waiting)
            waiting, last = [], own.place
        turns: list[Turn] = [] if last is not None else waiting
        for turn in self.turns:
            turns += [*before.get(turn.place, ()), known.get(turn.place, turn)]
            if turn.place == last:
                turns += waiting
        return replace(self, turns=tuple(turns))

    def in_order_of(self, cells: Sequence[str]) -> Conversation:
        """Return a conversation in the order of these cells; a turn of any other cell follows the one before it."""
        rows = {cell: row for row, cell in reversed([*enumerate(cells)])}
        row, keyed = -1, []
        for turn in self.turns:
            row = rows.get(turn.place.cell, row)
            keyed.append((row, turn))
        return replace(self, turns=tuple(turn for _, turn in sorted(keyed, key=lambda pair: pair[0])))

    def undo(self) -> Conversation:
        """Return a conversation in which the last turn that is sent no longer counts; unchanged if none is sent."""
        sent = self.sent()
        last = next((turn for turn in reversed(self.turns) if sent and turn.counting is sent[-1]), None)
        return self if last is None else self.retire(last.place)

    def sent(self, before: Place | None = None, *, new: bool = False) -> tuple[Attempt, ...]:
        """Return the attempts that are sent, starting at the latest boundary.

        With `before`, return those that are sent before a question at that place; none if that is `new`.
        """
        if new or self.one_shot:
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

    def kept(self) -> tuple[Attempt, ...]:
        """Return all attempts that count and are not skipped, including those before a boundary.

        If a boundary is skipped, the next attempt becomes the boundary. One-shot answers are no conversation to keep.
        """
        if self.one_shot:
            return ()
        kept: list[Attempt] = []
        new = False
        for turn in self.turns:
            if turn.counting is None:
                continue
            new = new or turn.counting.new
            if not turn.skipped:
                kept.append(replace(turn.counting, new=new))
                new = False
        return tuple(kept)

    def stale(self) -> frozenset[str]:
        """Return the ids of the attempts that count but were sent after other messages than now.

        Skipped ones are included, since they may be sent again.
        """
        if self.one_shot:
            return frozenset()
        counting = [(turn.counting, turn.skipped) for turn in self.turns if turn.counting is not None]
        contexts = contexts_of(counting)
        return frozenset(
            attempt.id
            for (attempt, _), context in zip(counting, contexts, strict=True)
            if attempt.context not in ("", context)
        )

    def _at(self, place: Place, change: Any) -> Conversation:
        return replace(self, turns=tuple(change(turn) if turn.place == place else turn for turn in self.turns))


def _ask_the_same(turn: Turn, other: Turn) -> bool:
    mine, others = turn.counting, other.counting
    return mine is not None and others is not None and mine.messages[:1] == others.messages[:1]
