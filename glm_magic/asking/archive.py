"""What is kept of the kernel's notebook: its answers in the store, and in its file as last saved."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import Any

from glm_magic.chat.attempt import Attempt, in_order
from glm_magic.chat.messages import Message
from glm_magic.chat.place import Place
from glm_magic.errors import HistoryError
from glm_magic.notebook import comparison, ipynb
from glm_magic.notebook.document import SavedTurn, comparisons_in, turns_in
from glm_magic.notebook.journal import Journal
from glm_magic.notebook.store import Store

KEPT_SECONDS = 90 * 24 * 3600.0  # after its notebook was last used


class Archive:
    """The answers of one notebook, of this kernel and of those before it.

    `notebook` tells the notebook's path, None if it is not known: then there is nothing, and nothing is kept. `wall`
    tells the seconds since the epoch. `tell` is told what cannot be read or written; nothing else comes of it.
    Where `save` is false, nothing is written.
    """

    def __init__(
        self, notebook: Callable[[], Path | None], wall: Callable[[], float], tell: Callable[[str], None]
    ) -> None:
        self._notebook = notebook
        self._wall = wall
        self._tell = tell
        self._lock = threading.RLock()
        self._store: Store | None = None
        self._path: Path | None = None  # of the notebook that was read
        self._saved: list[SavedTurn] = []
        self._comparisons: dict[Place, Any] = {}
        self._cells: frozenset[str] = frozenset()
        self._claimed: set[Place] = set()

    @property
    def path(self) -> Path | None:
        """The path of the notebook, None if it is not known."""
        path = self._notebook()
        return path.absolute() if path else None

    @property
    def store(self) -> Store:
        """The user's own store."""
        if self._store is None:
            self._store = Store(_data() / "answers.db", tell=self._tell)
        return self._store

    def saved(self, *, save: bool) -> list[SavedTurn]:
        """Return the turns in the notebook's file, as they were when this kernel first needed them."""
        with self._lock:
            path = self.path
            if path != self._path:
                self._path, self._saved, self._comparisons, self._cells = path, [], {}, frozenset()
                if path is not None:
                    self._read(path, save=save)
            return self._saved

    def comparison(self, place: Place, *, save: bool) -> Any:
        """Return the bundle of a comparison in the notebook's file, None if there is none at that place."""
        with self._lock:
            self.saved(save=save)
            return self._comparisons.get(place)

    def has_cell(self, cell: str) -> bool:
        """Whether the notebook's file has a cell, as it was when this kernel first needed it."""
        return cell in self._cells

    def attempts(
        self, place: Place, prompt: Message, *, save: bool, taken: Container[Place] = ()
    ) -> tuple[Attempt, ...]:
        """Return the attempts of the turn at `place`, oldest first.

        They are found by the cell's id, else by `prompt` among the turns of cells that the notebook no longer has;
        those come to belong to `place`. Turns at places in `taken` belong to other cells of this kernel.
        """
        with self._lock:
            path, saved = self.path, self.saved(save=save)
            if path is None:
                return ()
            found = self._at(path, place) if place.has_id else []
            if not found:
                free = (old for old in self._asked(path, prompt, saved) if self._is_free(old, place, taken))
                old = next(free, None)
                if old is not None:
                    self._claimed.add(old)
                    found = self._at(path, old)
                    if save and place.has_id:
                        self._try(lambda: self.store.move(str(path), old, place))
                        self._add(path, [(place, turn.bundle) for turn in found])
            return _attempts(found)

    def turn(self, place: Place, *, save: bool) -> SavedTurn | None:
        """Return the turn of a cell that has not run in this kernel; None if nothing is kept of it."""
        with self._lock:
            path, saved = self.path, self.saved(save=save)
            if path is None or not place.has_id:
                return None
            attempts = _attempts(self._at(path, place))
            if not attempts:
                return None
            last = next((turn for turn in reversed(saved) if turn.place == place and turn.attempt.messages), None)
            chat = last.chat if last else self._at(path, place)[-1].chat
            counting = last.attempt if last else attempts[-1]
            others = tuple(attempt for attempt in attempts if attempt.id != counting.id)
            return SavedTurn(chat, place, counting, others)

    def calls(self, cell: str, *, save: bool) -> frozenset[int]:
        """Return the numbers of the questions of a cell that something is kept of."""
        with self._lock:
            path, saved = self.path, self.saved(save=save)
            if path is None or not Place(cell).has_id:
                return frozenset()
            stored: frozenset[int] = self._try(lambda: self.store.calls(str(path), cell)) or frozenset()
            return stored | {turn.place.call for turn in saved if turn.place.cell == cell and _made(turn)}

    def stored(self, problems: list[str]) -> list[SavedTurn]:
        """Return the notebook's answers in the store. Raises `HistoryError` if it cannot be read."""
        path = self.path
        return [] if path is None else self.store.turns(str(path), problems)

    def add(self, place: Place, turn: dict[str, Any], *, save: bool) -> None:
        """Keep a turn, given as its bundle."""
        with self._lock:
            self.saved(save=save)
            if save and self._path is not None:
                self._add(self._path, [(place, turn)])

    def copy(self, turns: Iterable[SavedTurn], *, save: bool) -> None:
        """Keep turns that were read elsewhere."""
        with self._lock:
            self.saved(save=save)
            if save and self._path is not None:
                self._copy(self._path, turns)

    def forget(self, path: Path, *, force: bool = False) -> None:
        """Delete what is kept of a notebook outside of its file.

        Raises `HistoryError` if that fails, and unless `force` is true, if requests are pending in batches: they would
        be asked and paid again.
        """
        waiting = 0 if force else self.store.batches.waiting(str(path.absolute()))
        if waiting:
            raise HistoryError(
                f"{waiting:,} request{'s are' if waiting > 1 else ' is'} pending in batches; nothing was deleted.",
                "Cancel them first: run their cells again, then _glm.cancel(). To forget them too, add --force.",
            )
        journal_of(path).clear()
        self.store.forget(str(path.absolute()))

    def close(self) -> None:
        """Close the store; it opens again when it is needed."""
        if self._store is not None:
            self._store.close()

    # --- the notebook, as this kernel finds it -------------------------------------------------

    def _read(self, path: Path, *, save: bool) -> None:
        try:
            cells = ipynb.cells_as_saved(path)
        except HistoryError:  # it was never saved, or is damaged: who restores or replays it is told
            cells = []
        self._saved = list(turns_in(cells, []))
        self._comparisons = comparisons_in(cells)
        self._cells = _ids(cells)
        if save:
            self._try(lambda: self._take_in(path))

    def _take_in(self, path: Path) -> None:
        """Bring what the store has of this notebook up to date."""
        store, known_as = self.store, str(path)
        store.sweep(self._wall() - KEPT_SECONDS)
        for other, cells in store.elsewhere(known_as, self._cells).items():
            gone = cells - _cells_at(Path(other))  # the file was renamed; what it was copied from has them still
            if gone:
                store.rename(other, known_as, gone)
        if not store.knows(known_as):
            self._add_journal(path)
        # cells without an id have none in the store: their numbers say nothing once the notebook has changed
        self._copy(path, (turn for turn in self._saved if turn.place.has_id))
        self._copy_runs(path)
        store.touch(known_as, self._wall())

    def _copy_runs(self, path: Path) -> None:
        there = self.store.runs.ids(str(path)) if self._comparisons else frozenset()
        for place, data in self._comparisons.items():
            if place.has_id and not comparison.ids(data) <= there:
                runs = [run for run in comparison.decode(data, []) if run.attempt.id not in there]
                self.store.runs.add(str(path), place, runs, now=self._wall())

    def _add_journal(self, path: Path) -> None:
        """Take in the journal of an earlier version; the file is left."""
        problems: list[str] = []
        try:
            turns = journal_of(path).turns(problems)
        except HistoryError as error:
            turns, problems = [], [error.what]
        if turns:
            self._add(path, [(turn.place, turn.bundle) for turn in turns])
        for problem in problems:
            self._tell(f"The journal: {problem}")

    def _copy(self, path: Path, turns: Iterable[SavedTurn]) -> None:
        def lacks(turn: SavedTurn) -> bool:
            return not all(self.store.has(str(path), attempt.id) for attempt in (turn.attempt, *turn.earlier))

        if missing := self._try(lambda: [(turn.place, turn.bundle) for turn in turns if lacks(turn)]):
            self._add(path, missing)

    def _add(self, path: Path, turns: list[tuple[Place, dict[str, Any]]]) -> None:
        self._try(lambda: self.store.add(str(path), turns, now=self._wall()))

    def _at(self, path: Path, place: Place) -> list[SavedTurn]:
        problems: list[str] = []
        stored = self._try(lambda: self.store.at(str(path), place, problems)) or []
        for problem in problems:
            self._tell(f"The store of answers: {problem}")
        return [*(turn for turn in self._saved if turn.place == place), *stored]

    def _asked(self, path: Path, prompt: Message, saved: list[SavedTurn]) -> list[Place]:
        """Return the places where `prompt` was asked, the latest first."""
        stored = self._try(lambda: self.store.places(str(path), prompt)) or []
        in_file = [
            turn.place
            for turn in reversed(saved)
            if any(attempt.messages[:1] == (prompt,) for attempt in (turn.attempt, *turn.earlier))
        ]
        return [*(place for place in stored if place.has_id), *in_file]

    def _is_free(self, old: Place, place: Place, taken: Container[Place]) -> bool:
        """Whether the turn at `old` may be that of the cell at `place`, which has no turn by its own id."""
        if old in taken or old in self._claimed or old.cell == place.cell:
            return False
        return not place.has_id or old.cell not in self._cells  # else it belongs to that cell

    def _try(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except HistoryError as error:
            self._tell(f"The store of answers: {error.what}")
            return None


def journal_of(notebook: Path) -> Journal:
    """Return the journal that earlier versions kept of a notebook."""
    name = hashlib.sha256(str(notebook.absolute()).encode()).hexdigest()[:32]
    return Journal(_data() / "journals" / f"{name}.jsonl")


def _data() -> Path:
    import platformdirs  # noqa: PLC0415 - only needed here

    return Path(platformdirs.user_data_dir("glm_magic", appauthor=False))


def _ids(cells: Iterable[dict[str, Any]]) -> frozenset[str]:
    return frozenset(id_ for cell in cells if isinstance(id_ := cell.get("id"), str))


def _cells_at(path: Path) -> frozenset[str]:
    try:
        return _ids(ipynb.cells_as_saved(path))
    except HistoryError:
        return frozenset()


def _made(turn: SavedTurn) -> list[Attempt]:
    return [attempt for attempt in (*turn.earlier, turn.attempt) if attempt.messages]


def _attempts(turns: list[SavedTurn]) -> tuple[Attempt, ...]:
    return in_order(*(attempt for turn in turns for attempt in _made(turn)))
