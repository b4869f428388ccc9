"""Recorded answers: each is given once in this kernel, and new answers are recorded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from glm_magic.asking.archive import Archive
from glm_magic.chat.messages import Message
from glm_magic.chat.place import Place
from glm_magic.errors import HistoryError, summed_up
from glm_magic.notebook.document import SavedTurn
from glm_magic.notebook.journal import LINES, Journal, recorded
from glm_magic.notebook.store import SUFFIX as STORE
from glm_magic.notebook.store import Store
from glm_magic.settings.setting import Value

OFF, THIS_NOTEBOOK = "off", "notebook"

_ASK_AGAIN = "Ask again with --no-replay, then save the notebook (or set record=FILE.jsonl)."

_MOST_PROBLEMS = 5  # they are shown in the line of an answer


def source_of(setting: Value, *, replay: bool | None = None) -> str:
    """Return the recording that may answer; `replay` is what the cell says of it, None if nothing."""
    source = str(setting or OFF)
    return OFF if replay is False else THIS_NOTEBOOK if replay and source == OFF else source


class Recordings:
    """The turns of one source at a time, and which of them have been given.

    `notebook` returns the path of this kernel's notebook, None if it is not known; `wall` the seconds since the epoch.
    """

    def __init__(self, notebook: Callable[[], Path | None], wall: Callable[[], float] = time.time) -> None:
        self.archive = Archive(notebook, wall, self.note_once)
        self._wall = wall
        self._lock = threading.Lock()  # answers in the background are kept from threads of their own
        self._source = OFF
        self._by_fingerprint: dict[str, list[SavedTurn]] = {}
        self._followed: frozenset[str] = frozenset()  # ids of the attempts that later turns were sent after
        self._given: set[str] = set()  # this kernel's own answers too: they are on the page
        self._answered: set[tuple[Place, str]] = set()
        self._problems: list[str] = []
        self._noted: set[str] = set()
        self._files: dict[str, Journal | Store] = {}

    # --- reading -----------------------------------------------------------------------------

    def read(self, source: str, *, save: bool = True) -> None:
        """Read all turns of a source: `OFF`, `THIS_NOTEBOOK`, a file or a folder.

        What the store has of this notebook is read with it, and the store gets the answers in the file unless `save`
        is false: a front end empties a cell's outputs whenever it runs, even if nothing is asked then. Raises
        `HistoryError` if there is nothing to read; then the previous source stays.
        """
        problems: list[str] = []
        turns: list[SavedTurn] = []
        if source == THIS_NOTEBOOK:
            path = self.this_notebook()
            turns = self._own(path, problems, save=save)
            self.archive.copy(turns, save=save)
        elif source != OFF:
            turns = recorded(_path(source), problems)
        self._source = source
        self._problems = [*self._problems, *problems]
        self._followed = frozenset(id_ for turn in turns if turn.attempt.messages for id_ in turn.attempt.after)
        self._by_fingerprint = {}
        earlier = [other for turn in turns for other in turn.others()]
        for turn in [*turns, *earlier]:
            self._by_fingerprint.setdefault(turn.attempt.fingerprint, []).append(turn)

    def problems(self) -> tuple[str, ...]:
        """Return what could not be read or recorded since the last call, summed up."""
        problems, self._problems = self._problems, []
        return summed_up(problems, _MOST_PROBLEMS)

    def note(self, what: str) -> None:
        """Have `problems` report something once."""
        self._problems.append(what)

    def note_once(self, what: str) -> None:
        """Have `problems` report, once in this kernel, what goes wrong again with each answer."""
        if what not in self._noted:
            self._noted.add(what)
            self.note(what)

    def find(self, source: str, fingerprint: str, place: Place | None, *, save: bool = True) -> SavedTurn | None:
        """Return a recorded turn that answers a request and has not been given yet, None if there is none.

        Of several, one of the same cell is preferred, else the first. An interrupted answer is given only if
        later turns were sent after it. A place is answered once: when its cell runs again, the model is asked.
        """
        if source != self._source:
            self.read(source, save=save)
        if place is not None and (place, fingerprint) in self._answered:
            return None
        free = [turn for turn in self._by_fingerprint.get(fingerprint, ()) if self._may_be_given(turn)]
        return min(free, key=lambda turn: _distance(turn.place, place), default=None)

    def nearest(self, prompt: Message) -> str:
        """Return what to do if no answer was found, and whether one to the same prompt is recorded."""
        same = [
            turn for turns in self._by_fingerprint.values() for turn in turns if turn.attempt.messages[:1] == (prompt,)
        ]
        if same and not any(map(self._may_be_given, same)):
            if not any(turn.attempt.id in self._given for turn in same):
                return "The recorded answer to this prompt was interrupted; ask again with --no-replay."
            return "This kernel has already given the answer to this prompt; restart it, or ask with --no-replay."
        if same:
            return (
                f"An answer to this prompt is recorded ({same[0].where}), but with other turns before it or\n"
                f"other settings. {_ASK_AGAIN}"
            )
        return _ASK_AGAIN

    def give(self, turn: SavedTurn, place: Place | None) -> None:
        """Note that a recorded turn has been given at `place`."""
        self._given.add(turn.attempt.id)
        if place is not None:
            self._answered.add((place, turn.attempt.fingerprint))

    def _may_be_given(self, turn: SavedTurn) -> bool:
        attempt = turn.attempt
        return attempt.id not in self._given and (not attempt.interrupted or attempt.id in self._followed)

    # --- recording -------------------------------------------------------------------------

    def keep(self, place: Place, bundle: dict[str, Any], *, save: bool = True, record: str = "") -> None:
        """Keep a turn in the store unless `save` is false, and in the file `record` if one is named.

        A failure costs nothing but the recording: `problems` reports it.
        """
        with self._lock:
            self._given.add(bundle["id"])
            self._answered.add((place, bundle["fingerprint"]))
            self.archive.add(place, bundle, save=save)
            try:
                if record:
                    self._record(self.file(record), place, bundle)
            except HistoryError as error:
                self.note(f"not recorded: {error.what}")

    def has_given(self, id_: str) -> bool:
        """Whether this kernel has made an answer, or has given it from a recording."""
        return id_ in self._given

    def _record(self, file: Journal | Store, place: Place, bundle: dict[str, Any]) -> None:
        if isinstance(file, Store):
            file.add(str(self.archive.path or ""), [(place, bundle)], now=self._wall())
        else:
            file.add([(place, bundle)])

    def file(self, record: str) -> Journal | Store:
        """Return the file that the setting `record` names. Raises `HistoryError` if it cannot be one."""
        if record not in self._files:
            path = _path(record).absolute()
            if path.suffix not in (LINES, STORE) or path.is_dir():
                raise HistoryError(
                    f"record takes a {LINES} or {STORE} file, not {record!r}.", "%glm_config record=answers.jsonl"
                )
            if not path.parent.is_dir():
                raise HistoryError(f"There is no folder {path.parent}.", "Create it, or name another file.")
            file = Journal(path) if path.suffix == LINES else Store(path)
            if isinstance(file, Store):
                file.check()
            self._files[record] = file
        return self._files[record]

    def forget(self, *, force: bool = False) -> Path:
        """Delete what the store has of this notebook, and return the notebook's path. Raises as `Archive.forget`."""
        path = self.this_notebook()
        self.archive.forget(path, force=force)
        if self._source == THIS_NOTEBOOK:
            self._source = OFF  # the notebook is read again, now without the store
        return path

    def close(self) -> None:
        """Close the files; they open again when they are needed."""
        self.archive.close()
        for file in self._files.values():
            if isinstance(file, Store):
                file.close()

    def _own(self, path: Path, problems: list[str], *, save: bool) -> list[SavedTurn]:
        """Return the turns in this notebook and in the store, in the order in which they are to be given.

        Raises `HistoryError` only if neither can be read.
        """
        self.archive.saved(save=save)  # the store takes in what it lacks
        beside: list[str] = []
        kept: list[SavedTurn] = []
        try:
            kept = self.archive.stored(beside)
        except HistoryError as error:
            beside.append(error.what)
        turns: list[SavedTurn] = []
        try:
            turns = recorded(path, problems)
        except HistoryError as error:
            if not kept:
                raise
            problems.append(error.what)
        saved_at = path.stat().st_mtime if turns else 0.0
        problems += [f"The store of answers: {problem}" for problem in beside]
        inside = {turn.attempt.id for turn in turns}
        others = [turn for turn in kept if turn.attempt.id not in inside]
        # the newest answer first; edits are equal each time, so they are given in the order in which they were made
        others.sort(key=lambda turn: -turn.attempt.created if turn.attempt.role == "user" else turn.attempt.created)
        # an answer that came after the file was saved is newer than those in the file
        unsaved = [turn for turn in others if turn.attempt.created > saved_at]
        return [*unsaved, *turns, *(turn for turn in others if turn.attempt.created <= saved_at)]

    def this_notebook(self) -> Path:
        """Return the path of this kernel's notebook. Raises `HistoryError` if it is not known."""
        path = self.archive.path
        if path is None:
            raise HistoryError(
                "This kernel does not know its notebook's file.",
                "Name it: %glm_config replay=FILE.ipynb, or a .jsonl file, or a folder.",
            )
        return path


def _path(source: str) -> Path:
    try:
        return Path(source).expanduser()
    except RuntimeError as error:  # no such user
        raise HistoryError(f"{source} cannot be read: {error}") from None


def _distance(place: Place, asked: Place | None) -> int:
    if asked is None or place.cell != asked.cell:
        return 2
    return 0 if place == asked else 1
