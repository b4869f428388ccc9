"""The turns in a saved notebook, and the conversations that they make; the file is only read."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glm_magic.chat.conversation import Attempt, Conversation, Place, Turn, context_digest
from glm_magic.errors import HistoryError, quoted
from glm_magic.notebook import bundle


@dataclass(frozen=True, slots=True)
class SavedTurn:
    """A turn as it stands in a file: `place` is its cell's id there, and its number among the cell's turns."""

    chat: str
    place: Place
    attempt: Attempt
    earlier: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class Restored:
    """What a notebook holds: a conversation for each chat, and `warnings` for what could not be read."""

    conversations: dict[str, Conversation]
    warnings: tuple[str, ...]


def restore(path: Path) -> Restored:
    """Return the conversations in the notebook at `path`.

    Of each chat it takes the bundle that was made last, and exactly the turns that it was sent after.
    A bundle that cannot be read costs that turn. Raises `HistoryError` if the file is no notebook.
    """
    problems: list[str] = []
    saved = list(_saved_turns(_read(path), problems))
    chats: dict[str, list[SavedTurn]] = {}
    for turn in saved:
        if turn.chat:  # a one-shot answer belongs to no chat
            chats.setdefault(turn.chat, []).append(turn)
    return Restored({chat: _conversation(chat, turns, problems) for chat, turns in chats.items()}, tuple(problems))


def _read(path: Path) -> Any:
    import nbformat  # noqa: PLC0415 - slow, and only needed here

    try:
        with path.open(encoding="utf-8") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an older notebook without cell ids is fine
            return nbformat.read(file, as_version=4)
    except OSError as error:
        raise HistoryError(
            f"{path} cannot be read: {error.strerror or error}", "Give the path of a saved notebook."
        ) from None
    except Exception as error:  # nbformat raises many kinds; any of them means that it is no notebook
        raise HistoryError(f"{path} is not a notebook: {quoted(str(error))}") from None


def _saved_turns(notebook: Any, problems: list[str]) -> Iterator[SavedTurn]:
    for number, cell in enumerate(notebook.cells, start=1):
        calls = 0
        for output in cell.get("outputs", ()):
            data = output.get("data", {}).get(bundle.MIME_TYPE)
            if data is None:
                continue
            place = Place(cell.get("id") or f"cell {number}", calls)
            calls += 1
            try:
                chat, attempt, earlier = bundle.decode(data)
            except HistoryError as error:
                problems.append(f"Cell {number}: {error.what}")
            else:
                yield SavedTurn(chat, place, attempt, earlier)


def _conversation(chat: str, saved: Iterable[SavedTurn], problems: list[str]) -> Conversation:
    by_id: dict[str, SavedTurn] = {}
    last: SavedTurn | None = None
    for turn in saved:
        by_id[turn.attempt.id] = turn
        if last is None or turn.attempt.created >= last.attempt.created:
            last = turn
    if last is None:
        return Conversation()
    wanted = [*last.attempt.after, *([last.attempt.id] if last.attempt.messages else [])]
    missing = [id_ for id_ in wanted if id_ not in by_id]
    if missing:
        problems.append(f"Chat {chat!r}: {len(missing)} of {len(wanted)} turns are not in the file any more.")
    turns: list[Turn] = []
    sent: tuple[Attempt, ...] = ()
    for id_ in wanted:
        if id_ in by_id:
            found = by_id[id_]
            attempt = _with_context(found.attempt, sent)
            sent = (attempt,) if attempt.new else (*sent, attempt)
            turns.append(Turn(found.place, (*found.earlier, attempt), attempt, restored=True))
    return Conversation(tuple(turns))


def _with_context(attempt: Attempt, sent: tuple[Attempt, ...]) -> Attempt:
    """A restored turn is stale when the ids that it was asked after are not those before it now."""
    is_current = attempt.new or attempt.after == tuple(other.id for other in sent)
    return replace(attempt, context=context_digest(() if attempt.new else sent) if is_current else "stale")
