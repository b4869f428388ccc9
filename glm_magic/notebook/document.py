"""The turns in a saved notebook, and the conversations that they make; the file is only read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glm_magic.chat.conversation import Attempt, Conversation, Turn, contexts_of, in_order
from glm_magic.chat.place import Place
from glm_magic.errors import HistoryError
from glm_magic.notebook import bundle, ipynb


@dataclass(frozen=True, slots=True)
class SavedTurn:
    """A turn as it stands in a file.

    `place` is its cell's id there, and its number among the cell's turns; `where` names it for a person.
    """

    chat: str
    place: Place
    attempt: Attempt
    earlier: tuple[Attempt, ...] = ()
    where: str = ""

    @property
    def bundle(self) -> dict[str, Any]:
        """The turn as its JSON."""
        return bundle.encode(self.chat, self.attempt, self.earlier, self.place.call)

    def others(self) -> Iterator[SavedTurn]:
        """Yield the turn as it would be if one of its earlier answers counted."""
        for attempt in self.earlier:
            rest = (other for other in (*self.earlier, self.attempt) if other is not attempt and other.messages)
            yield replace(self, attempt=attempt, earlier=in_order(*rest))


@dataclass(frozen=True, slots=True)
class Restored:
    """What a notebook holds: a conversation for each chat, and `warnings` for what could not be taken."""

    conversations: dict[str, Conversation]
    warnings: tuple[str, ...]


def restore(path: Path) -> Restored:
    """Return the conversations in the notebook at `path`.

    Of each chat it takes the bundle that was made last, and exactly the turns that it was sent after.
    A bundle that cannot be read costs that turn. Raises `HistoryError` if the file is no notebook.
    """
    problems: list[str] = []
    saved = list(saved_turns(path, problems))
    # of cells that were copied with their outputs the first one is the turn's
    by_id = {earlier.id: (turn, earlier) for turn in reversed(saved) for earlier in turn.earlier if earlier.messages}
    by_id |= {turn.attempt.id: (turn, turn.attempt) for turn in reversed(saved) if turn.attempt.messages}
    chats: dict[str, list[SavedTurn]] = {}
    for turn in saved:
        if turn.chat:  # a one-shot answer belongs to no chat
            chats.setdefault(turn.chat, []).append(turn)
    return Restored({chat: _conversation(chat, turns, by_id, problems) for chat, turns in chats.items()}, (*problems,))


def saved_turns(path: Path, problems: list[str]) -> Iterator[SavedTurn]:
    """Yield the turns in the notebook at `path`, from the top; add a sentence to `problems` for each damaged one.

    Raises `HistoryError` if the file is no notebook.
    """
    seen: set[str] = set()
    for number, cell in enumerate(ipynb.cells(path), start=1):
        where = f"cell {number}"
        known_as = cell.get("id")
        cell_id = known_as if isinstance(known_as, str) and known_as not in seen else where
        seen.add(cell_id)
        calls = 0
        for data in _bundles(cell):
            try:
                found = bundle.decode(data)
            except HistoryError as error:
                problems.append(f"{where.capitalize()}: {error.what}")
                calls += 1
                continue
            place = Place(cell_id, calls if found.call is None else found.call)
            calls += bool(found.attempt.messages)
            yield SavedTurn(found.chat, place, found.attempt, found.earlier, where)


def _bundles(cell: dict[str, Any]) -> Iterator[Any]:
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else ():
        data = output.get("data") if isinstance(output, dict) else None
        if isinstance(data, dict) and bundle.MIME_TYPE in data:
            yield data[bundle.MIME_TYPE]


def _conversation(
    chat: str,
    saved: Iterable[SavedTurn],
    by_id: dict[str, tuple[SavedTurn, Attempt]],
    problems: list[str],
) -> Conversation:
    """Make the conversation of one chat; `by_id` knows every answer in the file, earlier ones too."""
    saved = tuple(saved)
    # a replayed answer has the time of then, so it may be older than the one that it was asked after
    gone_on_from = {id_ for turn in saved for id_ in turn.attempt.after}
    last = max(enumerate(saved), key=lambda at: (at[1].attempt.id not in gone_on_from, at[1].attempt.created, at[0]))[1]
    own = [last.attempt.id] if last.attempt.messages else []
    wanted = tuple(dict.fromkeys([*last.attempt.after, *own]))
    found = [by_id[id_] for id_ in wanted if id_ in by_id]
    if len(found) < len(wanted):
        problems.append(
            f"Chat {chat!r}: {len(wanted) - len(found)} of {len(wanted)} turns are not in the file any more."
        )
    taken = {turn.attempt.id for turn, _ in found}
    left = [turn.where for turn in saved if turn.attempt.messages and turn.attempt.id not in taken]
    if left:
        problems.append(
            f"Chat {chat!r}: not taken, because its latest turn was not sent after them: {', '.join(left)}."
        )
    before: list[str] = []
    turns: dict[Place, Turn] = {}
    contexts = contexts_of((attempt, False) for _, attempt in found)
    for (turn, attempt), context in zip(found, contexts, strict=True):
        if attempt.new:
            before.clear()
        # what it was asked with is not in the file, but the ids of what it was asked after are
        known = replace(attempt, context=context if attempt.after == tuple(before) else "stale")
        before.append(attempt.id)
        attempts = in_order(*(made for made in (*turn.earlier, turn.attempt) if made.messages), known)
        place = Place(attempt.id) if turn.place in turns else turn.place
        turns[place] = Turn(place, attempts, known, restored=True, forked=turn.chat != chat)
    return Conversation(tuple(turns.values()))
