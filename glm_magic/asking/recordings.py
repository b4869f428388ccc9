"""What has been answered before: each recorded answer is given once in this kernel, and new ones are kept."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from glm_magic.chat.messages import Message
from glm_magic.chat.place import Place
from glm_magic.errors import HistoryError
from glm_magic.notebook.document import SavedTurn
from glm_magic.notebook.journal import Journal, recorded
from glm_magic.settings.declared import Value

OFF, THIS_NOTEBOOK = "off", "notebook"

_ANEW = "Ask anew with --no-replay, and save the notebook (or record=FILE.jsonl)."

_MOST_PROBLEMS = 5


def source_of(setting: Value, *, replay: bool | None = None) -> str:
    """Return the recording that may answer; `replay` is what the cell says of it, None if nothing."""
    source = str(setting or OFF)
    return OFF if replay is False else THIS_NOTEBOOK if replay and source == OFF else source


class Recordings:
    """The record that is read (one at a time), and what has been given from it.

    `notebook` tells the path of this kernel's notebook, None if it is not known.
    """

    def __init__(self, notebook: Callable[[], Path | None]) -> None:
        self._notebook = notebook
        self._lock = threading.Lock()  # answers in the background are kept from threads of their own
        self._source = OFF
        self._by_fingerprint: dict[str, list[SavedTurn]] = {}
        self._went_on: frozenset[str] = frozenset()  # what later turns were asked after
        self._given: set[str] = set()  # also what this kernel itself has asked: it is on the page
        self._answered: set[tuple[Place, str]] = set()
        self._journal: Journal | None = None
        self._problems: list[str] = []
        self._files: dict[str, Journal] = {}

    # --- reading -----------------------------------------------------------------------------

    def read(self, source: str) -> None:
        """Read a record whole: `OFF`, `THIS_NOTEBOOK`, a file or a folder.

        With this notebook's, its journal is read too, and the answers in the file are put into that.
        Raises `HistoryError` if there is nothing to read; then the record is what it was.
        """
        problems: list[str] = []
        journal: Journal | None = None
        turns: list[SavedTurn] = []
        if source == THIS_NOTEBOOK:
            path = self._this_notebook()
            journal = journal_of(path)
            turns = _with_journal(path, journal, problems)
            try:
                journal.add([(turn.place, turn.bundle) for turn in turns])
            except HistoryError as error:
                problems.append(_unkept(error))
        elif source != OFF:
            turns = recorded(_path(source), problems)
        self._source, self._journal, self._problems = source, journal, problems
        self._went_on = frozenset(id_ for turn in turns if turn.attempt.messages for id_ in turn.attempt.after)
        self._by_fingerprint = {}
        earlier = [other for turn in turns for other in turn.others()]
        for turn in [*turns, *earlier]:
            self._by_fingerprint.setdefault(turn.attempt.fingerprint, []).append(turn)

    def problems(self) -> tuple[str, ...]:
        """Return what could not be read or kept since it was asked last; of many, the first few."""
        problems, self._problems = self._problems, []
        more = len(problems) - _MOST_PROBLEMS
        return (*problems[:_MOST_PROBLEMS], *([f"and {more} more like these"] if more > 0 else []))

    def find(self, source: str, fingerprint: str, place: Place | None) -> SavedTurn | None:
        """Return the recorded turn that answers a request, if it has not been given yet.

        Of several it is that of the same cell, else the first. An interrupted answer is given where the
        conversation went on from it; else it is asked again, to its end. A place is answered once:
        when its cell runs again, it asks anew.
        """
        if source != self._source:
            self.read(source)
        if place is not None and (place, fingerprint) in self._answered:
            return None
        free = [turn for turn in self._by_fingerprint.get(fingerprint, ()) if self._may_be_given(turn)]
        return min(free, key=lambda turn: _distance(turn.place, place), default=None)

    def nearest(self, prompt: Message) -> str:
        """Say what to do where no answer is recorded, and whether one to the same prompt is."""
        same = [
            turn for turns in self._by_fingerprint.values() for turn in turns if turn.attempt.messages[:1] == (prompt,)
        ]
        if same and not any(map(self._may_be_given, same)):
            if not any(turn.attempt.id in self._given for turn in same):
                return "The recorded answer to this prompt was interrupted: ask it to its end with --no-replay."
            return "The answer to this prompt has been given in this kernel: restart it, or ask with --no-replay."
        if same:
            return (
                f"An answer to this prompt is recorded ({same[0].where}), asked with other turns before it or with\n"
                f"other settings. {_ANEW}"
            )
        return _ANEW

    def give(self, turn: SavedTurn, place: Place | None) -> None:
        """Note that a recorded turn has been given at `place`."""
        self._given.add(turn.attempt.id)
        if place is not None:
            self._answered.add((place, turn.attempt.fingerprint))

    def _may_be_given(self, turn: SavedTurn) -> bool:
        attempt = turn.attempt
        return attempt.id not in self._given and (not attempt.interrupted or attempt.id in self._went_on)

    # --- keeping -----------------------------------------------------------------------------

    def keep(self, place: Place, bundle: dict[str, Any], *, source: str, record: str) -> None:
        """Keep a turn in the journal, while `source` is this notebook, and in the file `record`, if one is named.

        Where that fails, the answer is on the page all the same, and `problems` says so.
        """
        with self._lock:
            self._given.add(bundle["id"])
            self._answered.add((place, bundle["fingerprint"]))
            try:
                if source == THIS_NOTEBOOK != self._source:
                    self.read(source)
                if source == THIS_NOTEBOOK and self._journal is not None:
                    self._journal.add([(place, bundle)])
            except HistoryError as error:
                self._problems.append(_unkept(error))
            try:
                if record:
                    self.file(record).add([(place, bundle)])
            except HistoryError as error:
                self._problems.append(_unkept(error))

    def file(self, record: str) -> Journal:
        """Return the file that `record` names. Raises `HistoryError` if it cannot be one."""
        if record not in self._files:
            path = _path(record).absolute()
            if path.suffix != ".jsonl" or path.is_dir():
                raise HistoryError(f"record takes a .jsonl file, not {record!r}.", "%glm_config record=answers.jsonl")
            if not path.parent.is_dir():
                raise HistoryError(f"There is no folder {path.parent}.", "Make it, or name another file.")
            self._files[record] = Journal(path)
        return self._files[record]

    def forget(self) -> Path:
        """Empty this notebook's journal, and return the notebook's path."""
        path = self._this_notebook()
        journal = self._journal or journal_of(path)
        journal.clear()
        if self._source == THIS_NOTEBOOK:
            self._source = OFF  # what it held is read no more; the file is read anew
        return path

    def _this_notebook(self) -> Path:
        path = self._notebook()
        if path is None:
            raise HistoryError(
                "This kernel does not know its notebook's file.",
                "Name it: %glm_config replay=FILE.ipynb, or a .jsonl file, or a folder.",
            )
        return path


def _with_journal(notebook: Path, journal: Journal, problems: list[str]) -> list[SavedTurn]:
    """Return the turns in a notebook and in its journal, first those to be given first.

    What is damaged, or cannot be read, costs what is in it. Raises `HistoryError` if nothing at all can be read.
    """
    beside: list[str] = []
    kept: list[SavedTurn] = []
    try:
        kept = journal.turns(beside)
    except HistoryError as error:
        beside.append(error.what)
    turns: list[SavedTurn] = []
    try:
        turns = recorded(notebook, problems)
    except HistoryError as error:  # it may be damaged, and the journal is whole
        if not kept:
            raise
        problems.append(error.what)
    saved_at = notebook.stat().st_mtime if turns else 0.0
    problems += [f"The journal: {problem}" for problem in beside]
    inside = {turn.attempt.id for turn in turns}
    others = [turn for turn in kept if turn.attempt.id not in inside]
    # the newest answer first; what was said without asking is the same each time, and its times have an order
    others.sort(key=lambda turn: -turn.attempt.created if turn.attempt.role == "user" else turn.attempt.created)
    # an answer that came after the file was saved is newer than what stands there
    unsaved = [turn for turn in others if turn.attempt.created > saved_at]
    return [*unsaved, *turns, *(turn for turn in others if turn.attempt.created <= saved_at)]


def _path(source: str) -> Path:
    try:
        return Path(source).expanduser()
    except RuntimeError as error:  # there is no such user
        raise HistoryError(f"{source} cannot be read: {error}") from None


def journal_of(notebook: Path) -> Journal:
    """Return the journal of a notebook: private, in the user's data directory."""
    import platformdirs  # noqa: PLC0415 - only needed here

    name = hashlib.sha256(str(notebook.absolute()).encode()).hexdigest()[:32]
    folder = Path(platformdirs.user_data_dir("glm_magic", appauthor=False)) / "journals"
    return Journal(folder / f"{name}.jsonl", private=True)


def _distance(place: Place, asked: Place | None) -> int:
    if asked is None or place.cell != asked.cell:
        return 2
    return 0 if place == asked else 1


def _unkept(error: HistoryError) -> str:
    return f"not kept for a replay: {error.what}"
