"""The turns in a saved notebook, and the conversations that they form; the file is only read."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glm_magic.chat.attempt import Attempt, contexts_of, in_order
from glm_magic.chat.conversation import Conversation, Turn
from glm_magic.chat.place import Place
from glm_magic.errors import HistoryError, quoted, summed_up
from glm_magic.notebook import bundle, comparison, ipynb
from glm_magic.notebook.runs import FailedRun, SavedRun


@dataclass(frozen=True, slots=True)
class SavedTurn:
    """A turn as saved in a file.

    `place` is the id of its cell there and its index among the cell's turns; `where` names it for a person.
    """

    chat: str
    place: Place
    attempt: Attempt
    earlier: tuple[Attempt, ...] = ()
    where: str = ""

    @property
    def bundle(self) -> dict[str, Any]:
        """The turn as a bundle."""
        return bundle.encode(self.chat, self.attempt, self.earlier, self.place.call)

    def others(self) -> Iterator[SavedTurn]:
        """Yield, for each earlier attempt, the turn in which that one counts."""
        for attempt in self.earlier:
            rest = (other for other in (*self.earlier, self.attempt) if other is not attempt and other.messages)
            yield replace(self, attempt=attempt, earlier=in_order(*rest))


@dataclass(frozen=True, slots=True)
class Restored:
    """What a notebook holds: a conversation per chat, those sent alone, and `warnings` about what was not restored."""

    conversations: dict[str, Conversation]
    one_shots: Conversation
    warnings: tuple[str, ...]


def restore(path: Path, made_since: Container[str] = ()) -> Restored:
    """Return the conversations in the notebook at `path`, and its one-shot answers.

    Each chat gets its latest turn and exactly the turns that it was sent after; attempts whose ids are in
    `made_since` do not count as its latest. A bundle that cannot be read costs only its own turn. Raises
    `HistoryError` if the file is not a notebook.
    """
    problems: list[str] = []
    saved = list(saved_turns(path, problems))
    found = conversations(saved, problems, made_since)
    return Restored(found, _one_shots(_made_before(saved, made_since)), summed_up(problems))


def conversations(
    saved: Sequence[SavedTurn], problems: list[str], made_since: Container[str] = ()
) -> dict[str, Conversation]:
    """Return the conversation of each chat that these turns form, as `restore` does."""
    saved = _made_before(saved, made_since)
    # where a cell was copied with its outputs, the turn belongs to the first copy
    by_id = {earlier.id: (turn, earlier) for turn in reversed(saved) for earlier in turn.earlier if earlier.messages}
    by_id |= {turn.attempt.id: (turn, turn.attempt) for turn in reversed(saved) if turn.attempt.messages}
    chats: dict[str, list[SavedTurn]] = {}
    for turn in saved:
        if turn.chat:  # a one-shot answer belongs to no chat
            chats.setdefault(turn.chat, []).append(turn)
    return {chat: _conversation(chat, turns, by_id, problems) for chat, turns in chats.items()}


def _made_before(saved: Sequence[SavedTurn], made_since: Container[str]) -> Sequence[SavedTurn]:
    """Return the turns as they were before the attempts with these ids were made."""
    return [before for turn in saved if (before := _before(turn, made_since)) is not None] if made_since else saved


def _one_shots(saved: Iterable[SavedTurn]) -> Conversation:
    turns: dict[Place, Turn] = {}
    for turn in saved:
        if not turn.chat and turn.attempt.messages and turn.place not in turns:
            attempts = in_order(*(made for made in (*turn.earlier, turn.attempt) if made.messages))
            counting = next(made for made in attempts if made.id == turn.attempt.id)
            turns[turn.place] = Turn(turn.place, attempts, counting, restored=True)
    return Conversation(tuple(turns.values()), one_shot=True)


def _before(turn: SavedTurn, made_since: Container[str]) -> SavedTurn | None:
    """Return a turn with the latest attempt that was not made since; None if it has no such attempt."""
    if turn.attempt.id not in made_since:
        return turn
    others = [attempt for attempt in turn.earlier if attempt.messages and attempt.id not in made_since]
    return replace(turn, attempt=others[-1], earlier=tuple(others[:-1])) if others else None


def saved_turns(path: Path, problems: list[str]) -> Iterator[SavedTurn]:
    """Yield the turns in the notebook at `path`, from the top; append a sentence to `problems` for each damaged one.

    Raises `HistoryError` if the file is not a notebook.
    """
    return turns_in(ipynb.cells_as_saved(path), problems)


def turns_in(cells: Iterable[dict[str, Any]], problems: list[str]) -> Iterator[SavedTurn]:
    """Yield the turns in the cells of a notebook, as `saved_turns` does."""
    for where, cell_id, cell in _known_by(cells):
        calls = 0
        for data in _bundles(cell, bundle.MIME_TYPE):
            try:
                found = bundle.decode(data)
            except HistoryError as error:
                problems.append(f"{where.capitalize()}: {error.what}")
                calls += 1
                continue
            if found.problem:
                problems.append(f"{where.capitalize()}: {found.problem}")
            place = Place(cell_id, calls if found.call is None else found.call)
            calls += bool(found.attempt.messages)
            yield SavedTurn(found.chat, place, found.attempt, found.earlier, where)


def saved_runs(path: Path, problems: list[str]) -> Iterator[tuple[Place, SavedRun | FailedRun]]:
    """Yield the runs of the comparisons in a notebook, those that failed too.

    A sentence is appended to `problems` for each damaged one.
    Raises `HistoryError` if the file is not a notebook.
    """
    for where, cell_id, cell in _known_by(ipynb.cells_as_saved(path)):
        for data in _bundles(cell, comparison.MIME_TYPE):
            own: list[str] = []
            place = Place(cell_id, comparison.call_of(data))
            try:
                for run in comparison.decode(data, own):
                    yield place, run
                for failed in comparison.failures(data):
                    yield place, failed
            except HistoryError as error:
                own.append(error.what)
            problems += [f"{where.capitalize()}: {problem}" for problem in own]


def comparisons_in(cells: Iterable[dict[str, Any]]) -> dict[Place, Any]:
    """Return the bundles of the comparisons in the cells of a notebook, as they are, by their places."""
    return {
        Place(cell_id, comparison.call_of(data)): data
        for _, cell_id, cell in _known_by(cells)
        for data in _bundles(cell, comparison.MIME_TYPE)
    }


def _known_by(cells: Iterable[dict[str, Any]]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield each cell with its name for a person, and with its id; of several with one id the first has it."""
    seen: set[str] = set()
    for number, cell in enumerate(cells, start=1):
        where = f"cell {number}"
        known_as = cell.get("id")
        cell_id = known_as if isinstance(known_as, str) and known_as not in seen else where
        seen.add(cell_id)
        yield where, cell_id, cell


def _bundles(cell: dict[str, Any], kind: str) -> Iterator[Any]:
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else ():
        data = output.get("data") if isinstance(output, dict) else None
        if isinstance(data, dict) and kind in data:
            yield data[kind]


def _conversation(
    chat: str,
    saved: Iterable[SavedTurn],
    by_id: dict[str, tuple[SavedTurn, Attempt]],
    problems: list[str],
) -> Conversation:
    """Return the conversation of one chat; `by_id` has every attempt in the file, earlier ones included."""
    saved = tuple(saved)
    # a replayed answer keeps the time of its recording, so it may seem older than the turns before it
    followed = {id_ for turn in saved for id_ in turn.attempt.after}
    last = max(enumerate(saved), key=lambda at: (at[1].attempt.id not in followed, at[1].attempt.created, at[0]))[1]
    own = [last.attempt.id] if last.attempt.messages else []
    wanted = tuple(dict.fromkeys([*last.attempt.after, *own]))
    name = quoted(repr(chat))
    found = [by_id[id_] for id_ in wanted if id_ in by_id]
    if len(found) < len(wanted):
        problems.append(f"Chat {name}: {len(wanted) - len(found)} of {len(wanted)} turns are no longer in the file.")
    taken = {turn.attempt.id for turn, _ in found}
    left = [turn.where for turn in saved if turn.attempt.messages and turn.attempt.id not in taken]
    if left:
        problems.append(
            f"Chat {name}: not restored, because its latest turn was not sent after them: {', '.join(summed_up(left))}."
        )
    before: list[str] = []
    turns: dict[Place, Turn] = {}
    contexts = contexts_of((attempt, False) for _, attempt in found)
    for (turn, attempt), context in zip(found, contexts, strict=True):
        if attempt.new:
            before.clear()
        # the file has no digest of the messages that were sent before it, but it has the ids of their attempts
        known = replace(attempt, context=context if attempt.after == tuple(before) else "stale")
        before.append(attempt.id)
        attempts = in_order(*(made for made in (*turn.earlier, turn.attempt) if made.messages), known)
        place = Place(attempt.id) if turn.place in turns else turn.place
        turns[place] = Turn(place, attempts, known, restored=True, forked=turn.chat != chat)
    return Conversation(tuple(turns.values()))
