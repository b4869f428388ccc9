"""The runs that have an answer: in this kernel, in the store, in the record and in the recording that is replayed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glm_magic.asking.recordings import OFF, THIS_NOTEBOOK, Recordings
from glm_magic.chat.place import Place
from glm_magic.errors import HistoryError
from glm_magic.notebook.journal import Journal, recorded_runs
from glm_magic.notebook.runs import RunKey, SavedRun
from glm_magic.notebook.store import Store


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where the runs of a cell are kept: at its place, in the store or not, in a `record`; `source` is replayed."""

    place: Place
    save: bool = True
    record: str = ""
    source: str = OFF


@dataclass(slots=True)
class KeptRuns:
    """The runs of one kernel's comparisons, and those of earlier ones as far as they were kept.

    `wall` tells the seconds since the epoch. What cannot be read or written costs nothing but the keeping: the
    problems of `recordings` report it.
    """

    recordings: Recordings
    wall: Callable[[], float]
    _here: dict[Place, dict[RunKey, SavedRun]] = field(default_factory=dict)
    _recorded: dict[str, dict[tuple[str, int, int], SavedRun]] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.Lock)

    def of(self, keeping: Keeping) -> dict[RunKey, SavedRun]:
        """Return the runs of a place that have an answer, by their keys; of several, the last one."""
        found: dict[RunKey, SavedRun] = {}
        if keeping.record:
            self._try(lambda: found.update(_by_key(_in_record(self.recordings.file(keeping.record)))))
        path = self._notebook(keeping)
        if path is not None:
            problems: list[str] = []
            self._try(lambda: found.update(_by_key(self._store.runs.at(path, keeping.place, problems))))
            for problem in problems:
                self.recordings.note(f"The store of answers: {problem}")
        with self._lock:
            found.update(self._here.get(_where(keeping.place), {}))
        return found

    def recorded(self, source: str) -> dict[tuple[str, int, int], SavedRun]:
        """Return the runs of a recording, by fingerprint, number among equal requests, and repeat.

        Raises `HistoryError` if there is nothing to read.
        """
        if source == OFF:
            return {}
        if source not in self._recorded:
            path = self.recordings.archive.path if source == THIS_NOTEBOOK else Path(source).expanduser()
            problems: list[str] = []
            runs = recorded_runs(path, problems) if path is not None else []
            self._recorded[source] = {(run.key.fingerprint, run.key.nth, run.key.repeat): run for run in runs}
            for problem in problems:
                self.recordings.note(problem)
        return self._recorded[source]

    def add(self, keeping: Keeping, run: SavedRun) -> None:
        """Keep a run that has ended."""
        self.note(keeping, run)
        path = self._notebook(keeping)
        if path is not None:
            self._try(lambda: self._store.runs.add(path, keeping.place, [run], now=self.wall()))
        if keeping.record:
            self._try(lambda: self._into_record(self.recordings.file(keeping.record), keeping.place, run))

    def note(self, keeping: Keeping, run: SavedRun) -> None:
        """Keep a run in this kernel alone."""
        with self._lock:
            self._here.setdefault(_where(keeping.place), {})[run.key] = run

    def judge(self, keeping: Keeping, run: SavedRun) -> None:
        """Keep the rating and the note of a run."""
        self.note(keeping, run)
        path = self._notebook(keeping)
        if path is not None:
            self._try(lambda: self._store.runs.judge(path, run))

    def pick(self, keeping: Keeping, runs: Iterable[SavedRun], id_: str) -> None:
        """Keep which of the runs of a place is picked, by the id of its answer; the others no longer are."""
        for run in runs:
            self.note(keeping, run)
        path = self._notebook(keeping)
        if path is not None:
            self._try(lambda: self._store.runs.pick(path, keeping.place, id_))

    @property
    def _store(self) -> Store:
        return self.recordings.archive.store

    def _notebook(self, keeping: Keeping) -> str | None:
        """Return the notebook that the store keeps the runs under; None if it keeps none."""
        archive = self.recordings.archive
        if not keeping.save or not keeping.place.has_id or archive.path is None:
            return None
        archive.saved(save=keeping.save)  # the store takes in what it lacks, and follows a renamed notebook
        return str(archive.path)

    def _into_record(self, file: Journal | Store, place: Place, run: SavedRun) -> None:
        if isinstance(file, Store):
            file.runs.add(str(self.recordings.archive.path or ""), place, [run], now=self.wall())
        else:
            with self._lock:
                file.add_run(place, run)

    def _try(self, work: Callable[[], Any]) -> None:
        try:
            work()
        except HistoryError as error:
            self.recordings.note_once(f"not kept: {error.what}")


def _by_key(runs: Iterable[SavedRun]) -> dict[RunKey, SavedRun]:
    return {run.key: run for run in runs}


def _in_record(file: Journal | Store) -> list[SavedRun]:
    return file.runs.at(None, None, []) if isinstance(file, Store) else file.runs([])


def _where(place: Place) -> Place:
    """Return the place under which this kernel finds runs again: a cell without an id is another at each run."""
    return place if place.has_id else Place("")
