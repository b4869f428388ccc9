"""The runs that have an answer: in this kernel, in the store, in the record and in the recording that is replayed."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glm_magic.asking.recordings import OFF, THIS_NOTEBOOK, Recordings
from glm_magic.chat.place import Place
from glm_magic.comparing.outbox import Outbox
from glm_magic.comparing.plan import Plan, Recorded
from glm_magic.errors import GlmError, HistoryError
from glm_magic.notebook import comparison
from glm_magic.notebook.batches import BatchTable, PendingBatch
from glm_magic.notebook.journal import Journal, recorded_runs
from glm_magic.notebook.runs import FailedRun, RunKey, SavedRun
from glm_magic.notebook.store import Store

_STORE, _RECORD = "The store of answers", "not recorded"


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where the runs of a cell are kept: at its place, in the store or not, in a `record`; `source` is replayed."""

    place: Place
    save: bool = True
    record: str = ""
    source: str = OFF


@dataclass(frozen=True, slots=True)
class BatchesOfCell:
    """The table in which the batches of a cell are, and where in it."""

    table: BatchTable
    notebook: str
    place: Place

    def batches(self) -> list[PendingBatch]:
        """Return the batches from which something may come. Raises `HistoryError` if they cannot be read."""
        return self.table.at(self.notebook, self.place)


class RecordedRuns:
    """The runs of a recording. Each is given once; `given` holds the ids of those that were."""

    def __init__(self, runs: Iterable[tuple[Place, SavedRun | FailedRun]] = (), given: set[str] | None = None) -> None:
        self._given = set() if given is None else given
        self._by_request: dict[Recorded, list[tuple[Place, SavedRun]]] = {}
        self._failed: dict[Recorded, dict[Place, FailedRun]] = {}
        for place, run in runs:
            if isinstance(run, FailedRun):
                self._failed.setdefault(_asked(run.key), {})[place] = run
            else:
                self._by_request.setdefault(_asked(run.key), []).append((place, run))

    def requests(self, *, ask: bool) -> Container[Recorded]:
        """Return what need not be asked: where nothing is asked, failures are given back as well."""
        return self._by_request.keys() if ask else self._by_request.keys() | self._failed.keys()

    def failed(self, key: RunKey, place: Place) -> FailedRun | None:
        """Return the failure of a run, of the same cell if that has one."""
        found = self._failed.get(_asked(key), {})
        return found.get(place) or next(iter(found.values()), None)

    def find(self, key: RunKey, place: Place) -> SavedRun | None:
        """Return a run that was not given yet: one of the same cell, else the first; None if there is none."""
        found = self._by_request.get(_asked(key), ())
        free = [(where, run) for where, run in found if run.attempt.id not in self._given]
        return next((run for where, run in free if where == place), free[0][1] if free else None)


@dataclass(frozen=True, slots=True)
class Known:
    """The runs of a place that need not be asked: those kept, by key, and those of a recording that is replayed.

    Nor are those asked that are `pending` in a batch, each with what is said of it, and those that have `failed` in
    one just now.
    """

    place: Place
    kept: Mapping[RunKey, SavedRun]
    recorded: RecordedRuns = field(default_factory=RecordedRuns)
    pending: Mapping[RunKey, str] = field(default_factory=dict)
    failed: Mapping[RunKey, GlmError] = field(default_factory=dict)

    def lacks(self, key: RunKey) -> bool:
        """Whether a run is to be asked."""
        return self.of(key) is None and key not in self.pending and key not in self.failed

    def of(self, key: RunKey) -> SavedRun | None:
        """Return the answer to a run, None if it is to be asked."""
        kept, recorded = self.kept.get(key), self.recorded.find(key, self.place)
        # without cell ids, what is kept is of all cells, and another one may have asked the same
        return (kept or recorded) if self.place.has_id else (recorded or kept)


@dataclass(slots=True)
class KeptRuns:
    """The runs of one kernel's comparisons, and those of earlier ones as far as they were kept.

    `wall` tells the seconds since the epoch. What cannot be read or written costs nothing but the keeping: the
    problems of `recordings` report it.
    """

    recordings: Recordings
    wall: Callable[[], float]
    latest: Plan | None = None  # the comparison that was planned last, also by a dry run
    _here: dict[Place, dict[RunKey, SavedRun]] = field(default_factory=dict)
    _shown: dict[Place, str] = field(default_factory=dict)  # as JSON, which takes a tenth of the memory
    _recorded: dict[str, RecordedRuns] = field(default_factory=dict)
    _given: set[str] = field(default_factory=set)
    _outboxes: dict[tuple[str, Place], Outbox] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.Lock)

    # --- reading -------------------------------------------------------------------------------

    def of(self, keeping: Keeping, fingerprints: Iterable[str] = ()) -> dict[RunKey, SavedRun]:
        """Return the runs of a place that have an answer, by their keys; of several, the last one.

        Where there are none, they are those of a cell that the notebook no longer has, if that has asked some of the
        requests with these `fingerprints`: it was cut and pasted. They come to belong to this place.
        """
        self.flush(keeping)
        place, problems = keeping.place, list[str]()
        found: dict[RunKey, SavedRun] = {}
        if keeping.record:
            self._try(lambda: found.update(_by_key(_in_record(self.recordings.file(keeping.record), place))), _RECORD)
        self._try(lambda: found.update(_by_key(self._in_file(keeping, problems))))
        path = self._notebook(keeping)
        if path is not None:
            stored = self._try(lambda: self._store.runs.at(path, place, problems)) or ()
            if not stored and place not in self._here and not self._try(lambda: self._store.batches.at(path, place)):
                stored = self._try(lambda: self._pasted(path, place, frozenset(fingerprints), problems)) or ()
            found.update(_by_key(stored))
        for problem in problems:
            self.recordings.note(f"{_STORE}: {problem}")
        with self._lock:
            found.update(self._here.get(_where(place), {}))
        return found

    def recorded(self, source: str) -> RecordedRuns:
        """Return the runs of a recording. Raises `HistoryError` if there is nothing to read."""
        if source == OFF:
            return RecordedRuns()
        if source not in self._recorded:
            is_own = source == THIS_NOTEBOOK
            path = self.recordings.this_notebook() if is_own else Path(source).expanduser()
            problems: list[str] = []
            try:
                runs = recorded_runs(path, problems)
            except HistoryError as error:
                if not is_own:
                    raise
                runs, problems = [], [error.what]  # it was never saved; the store has its runs
            self._recorded[source] = RecordedRuns(runs, self._given)
            for problem in problems:
                self.recordings.note(problem)
        return self._recorded[source]

    def _in_file(self, keeping: Keeping, problems: list[str]) -> Iterable[SavedRun]:
        data = self.recordings.archive.comparison(keeping.place, save=keeping.save)
        return () if data is None else comparison.decode(data, problems)

    def _pasted(self, path: str, place: Place, asked: frozenset[str], problems: list[str]) -> list[SavedRun]:
        has_cell = self.recordings.archive.has_cell
        common = {
            old: len(asked & known)
            for old, known in self._store.compared(path).items()
            if old.cell != place.cell and old not in self._here and not has_cell(old.cell)
        }
        old = max(common, key=lambda old: common[old], default=None)
        if old is None or not common[old]:
            return []
        self._store.move_comparison(path, old, place)
        return self._store.runs.at(path, place, problems)

    def batches(self, keeping: Keeping) -> BatchesOfCell | None:
        """Return the batches of a place; None where nothing keeps them."""
        where = _where(keeping.place)
        with self._lock:
            self._here.setdefault(where, {})  # a cell that looks like it is a copy
        path = self._notebook(keeping)
        if path is not None:
            return BatchesOfCell(self._store.batches, path, where)
        file = self.recordings.file(keeping.record) if keeping.record else None
        return (
            BatchesOfCell(file.batches, "", where)  # like its runs, of whatever notebook
            if isinstance(file, Store)
            else None
        )

    def overlooked(self, keeping: Keeping) -> frozenset[RunKey]:
        """Return the runs of a place that are pending in batches of the store, where that is turned off."""
        path, place = self.recordings.archive.path, keeping.place
        if keeping.save or not place.has_id or path is None:
            return frozenset()
        cell = BatchesOfCell(self._store.batches, str(path), place)
        keys = self._try(lambda: [key for batch in cell.batches() for key in cell.table.keys(batch.label)])
        return frozenset(keys or ())

    # --- writing -------------------------------------------------------------------------------

    def add(self, keeping: Keeping, *runs: SavedRun) -> bool:
        """Keep runs that have ended; return whether they are written."""
        for run in runs:
            self.note(keeping, run.key, run)
        written = [self._try(functools.partial(outbox.put, *runs), whose) for whose, outbox in self._to(keeping)]
        return all(written)

    def note(self, keeping: Keeping, key: RunKey, run: SavedRun) -> None:
        """Keep a run in this kernel alone. A replayed one has another key here, if it came from another service."""
        with self._lock:
            self._given.add(run.attempt.id)
            self._here.setdefault(_where(keeping.place), {})[key] = run

    def flush(self, keeping: Keeping) -> None:
        """Write what could not be written before."""
        for whose, outbox in self._to(keeping):
            self._try(outbox.flush, whose)

    def judge(self, keeping: Keeping, key: RunKey, run: SavedRun) -> None:
        """Keep the rating and the note of a run."""
        self.note(keeping, key, run)
        path = self._notebook(keeping)
        if path is not None:
            self._try(lambda: self._store.runs.judge(path, keeping.place, run, now=self.wall()))
        if keeping.record:
            self._try(lambda: self._judge_in_record(self.recordings.file(keeping.record), keeping.place, run), _RECORD)

    def pick(self, keeping: Keeping, runs: Mapping[RunKey, SavedRun]) -> None:
        """Keep which of the `runs`, given by their keys, is picked."""
        before = self._here.get(_where(keeping.place), {})
        for key, run in runs.items():
            if key not in before or before[key].is_picked != run.is_picked:
                self.judge(keeping, key, run)

    # --- what stands on the page ------------------------------------------------------------------

    def show(self, place: Place, bundle: dict[str, Any]) -> None:
        """Note what the notebook keeps of the comparison at a place."""
        self._shown[place] = json.dumps(bundle, ensure_ascii=False)

    def shown_at(self, place: Place, *, save: bool) -> dict[str, Any] | None:
        """Return what the notebook keeps of the comparison at a place, None if there is none."""
        found = self._shown.get(place)
        data: dict[str, Any] | None = json.loads(found) if found else None
        return data or self.recordings.archive.comparison(place, save=save)

    # -------------------------------------------------------------------------------------------

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

    def _to(self, keeping: Keeping) -> list[tuple[str, Outbox]]:
        """Return where the runs of a place go, each with what it is called."""
        place, found = keeping.place, list[tuple[str, Outbox]]()
        path = self._notebook(keeping)
        with self._lock:
            if path is not None:
                into_store = Outbox(lambda runs: self._store.runs.add(path, place, runs, now=self.wall()))
                found.append((_STORE, self._outboxes.setdefault((path, place), into_store)))
            if keeping.record:
                into_record = Outbox(lambda runs: self._into_record(keeping.record, place, runs))
                found.append((_RECORD, self._outboxes.setdefault((f"record={keeping.record}", place), into_record)))
        return found

    def _into_record(self, record: str, place: Place, runs: list[SavedRun]) -> None:
        file = self.recordings.file(record)
        if isinstance(file, Store):
            file.runs.add(str(self.recordings.archive.path or ""), place, runs, now=self.wall())
        else:
            with self._lock:
                file.add_runs(place, runs)

    def _judge_in_record(self, file: Journal | Store, place: Place, run: SavedRun) -> None:
        if isinstance(file, Store):
            file.runs.judge(str(self.recordings.archive.path or ""), place, run, now=self.wall())
        else:
            with self._lock:
                file.judge(place, run)

    def _try(self, work: Callable[[], Any], whose: str = _STORE) -> Any:
        try:
            return work()
        except HistoryError as error:
            self.recordings.note_once(f"{whose}: {error.what}")
            return None


def _by_key(runs: Iterable[SavedRun]) -> dict[RunKey, SavedRun]:
    return {run.key: run for run in runs}


def _asked(key: RunKey) -> Recorded:
    return key.fingerprint, key.nth, key.repeat


def _in_record(file: Journal | Store, place: Place) -> list[SavedRun]:
    """Return the runs of a record that may be those of a place: where there are no cell ids, that is all."""
    runs = file.runs.all([]) if isinstance(file, Store) else file.runs([])
    return [run for where, run in runs if where == place or not (place.has_id and where.has_id)]


def _where(place: Place) -> Place:
    """Return the place under which this kernel finds runs again: a cell without an id is another at each run."""
    return place if place.has_id else Place("")
