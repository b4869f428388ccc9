"""Recorded turns and runs: the JSON Lines file that new ones are appended to, and those in files and folders."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from glm_magic.chat.place import Place
from glm_magic.errors import HistoryError
from glm_magic.notebook import bundle, files
from glm_magic.notebook.document import SavedTurn, saved_runs, saved_turns
from glm_magic.notebook.runs import FailedRun, RunKey, SavedRun
from glm_magic.notebook.store import SUFFIX as STORE
from glm_magic.notebook.store import Store

NOTEBOOK, LINES = ".ipynb", ".jsonl"
_KINDS = (NOTEBOOK, LINES, STORE)

_Recorded = TypeVar("_Recorded")


class Journal:
    """A file of turns, one per line as ``{"cell": …, "turn": {…}}``; it holds each answer once.

    The runs of comparisons have lines of their own: ``{"cell": …, "run": {…}, "turn": {…}}``.
    Every method raises `HistoryError` if the system refuses.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: set[str] | None = None

    def turns(self, problems: list[str]) -> list[SavedTurn]:
        """Return the turns, oldest first; append a sentence to `problems` for each damaged line."""
        turns: list[SavedTurn] = []
        known: set[str] = set()
        for number, line in self._lines():
            try:
                data = json.loads(line)
                if _is_run(data):
                    known.add(data["turn"]["id"])
                    continue
                found = bundle.decode(data["turn"] if isinstance(data, dict) and "turn" in data else data)
            except (ValueError, RecursionError):
                problems.append(f"Line {number}: not JSON, or only partly written.")
            except HistoryError as error:
                problems.append(f"Line {number}: {error.what}")
            else:
                cell = data.get("cell")
                if found.problem:
                    problems.append(f"Line {number}: {found.problem}")
                place = Place(cell if isinstance(cell, str) else "", found.call or 0)
                turns.append(SavedTurn(found.chat, place, found.attempt, found.earlier, f"line {number}"))
        self._known = known | {turn.attempt.id for turn in turns}
        return turns

    def runs(self, problems: list[str]) -> list[tuple[Place, SavedRun]]:
        """Return the runs of comparisons with their places, oldest first; of several lines for one, the last counts.

        A sentence is appended to `problems` for each damaged line.
        """
        runs: dict[str, tuple[Place, SavedRun]] = {}
        for number, line in self._lines():
            with contextlib.suppress(ValueError, RecursionError):  # `turns` says it
                data = json.loads(line)
                if not _is_run(data):
                    continue
                try:
                    found = bundle.decode(data["turn"])
                    judged = data.get("rating"), str(data.get("note", "")), data.get("picked") is True
                    run = SavedRun(RunKey(**data["run"]), found.attempt, *judged)
                except (TypeError, HistoryError):
                    problems.append(f"Line {number}: the run is damaged.")
                else:
                    runs[run.attempt.id] = Place(str(data.get("cell", "")), found.call or 0), run
        return list(runs.values())

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield the lines that are not blank, with their numbers."""
        try:
            text = files.read(self.path)
        except FileNotFoundError:
            return
        for number, line in enumerate(text.split(b"\n"), start=1):
            if line.strip():
                yield number, line

    def add(self, turns: list[tuple[Place, dict[str, Any]]]) -> None:
        """Append turns, each given as its place and its bundle; those that are already in the file are skipped."""
        self._add({turn["id"]: _line(place, turn) for place, turn in turns})

    def add_runs(self, place: Place, runs: list[SavedRun]) -> None:
        """Append runs of a comparison; those whose answers are already in the file are skipped."""
        self._add({run.attempt.id: _run_line(place, run) for run in runs})

    def judge(self, place: Place, run: SavedRun) -> None:
        """Append a run again, with what a person thinks of it now."""
        self._append(_run_line(place, run))

    def _add(self, lines: Mapping[str, bytes]) -> None:
        """Append lines, given by the ids of their answers, without those of answers that are in the file."""
        if self._known is None:
            self.turns([])
        assert self._known is not None
        fresh = {id_: line for id_, line in lines.items() if id_ not in self._known}
        if fresh:
            self._append(b"".join(fresh.values()))
            self._known |= fresh.keys()

    def _append(self, lines: bytes) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | files.NO_WAIT, 0o666)
            with open(file, "r+b", buffering=0) as stream:  # noqa: PTH123 - a descriptor with a mode of its own
                if size := files.regular_size(file, self.path):  # a line that was only partly written is not continued
                    stream.seek(size - 1)
                    lines = lines if stream.read(1) == b"\n" else b"\n" + lines
                if stream.write(lines) < len(lines):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise HistoryError(f"{self.path} cannot be written: {error.strerror or error}") from None

    def clear(self) -> None:
        """Delete the file."""
        self._known = set()
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise HistoryError(f"{self.path} cannot be deleted: {error.strerror or error}") from None


def recorded(path: Path, problems: list[str]) -> list[SavedTurn]:
    """Return the turns in a notebook, a JSON Lines file or a store, or in all such files of a folder, by name.

    A file of a folder that cannot be read costs only its own turns, and adds a sentence to `problems`.
    Raises `HistoryError` if there is nothing to read at `path`.
    """
    return [
        replace(turn, where=f"{file}, {turn.where}" if file else turn.where)
        for file, turn in _in_files(path, _turns_in, problems)
    ]


def recorded_runs(path: Path, problems: list[str]) -> list[tuple[Place, SavedRun | FailedRun]]:
    """Return the runs of comparisons, with their places, in the files that `recorded` reads turns from.

    A notebook has those that failed, too.
    """
    return [run for _, run in _in_files(path, _runs_in, problems)]


def _in_files(
    path: Path, read: Callable[[Path, list[str]], Sequence[_Recorded]], problems: list[str]
) -> Iterator[tuple[str, _Recorded]]:
    """Yield what `read` finds in each file, with the name of the file in a folder."""
    if not path.is_dir():
        for found in read(path, problems):
            yield "", found
        return
    try:
        files_there = sorted(file for file in path.iterdir() if file.suffix in _KINDS and file.is_file())
    except OSError as error:
        raise HistoryError(f"{path} cannot be read: {error.strerror or error}") from None
    if not files_there:
        raise HistoryError(f"No {NOTEBOOK}, {LINES} or {STORE} file in {path}.")
    for file in files_there:
        own: list[str] = []
        try:
            for found in read(file, own):
                yield file.name, found
        except HistoryError as error:
            own.append(error.what)
        problems += [f"{file.name}: {problem}" for problem in own]


def _turns_in(path: Path, problems: list[str]) -> list[SavedTurn]:
    if path.suffix == LINES and path.exists():
        return Journal(path).turns(problems)
    if path.suffix == STORE and path.exists():
        with contextlib.closing(Store(path)) as store:
            return store.turns(None, problems)
    if path.suffix == NOTEBOOK:
        return list(saved_turns(path, problems))
    raise _not_a_recording(path)


def _runs_in(path: Path, problems: list[str]) -> Sequence[tuple[Place, SavedRun | FailedRun]]:
    if path.suffix == LINES and path.exists():
        return Journal(path).runs(problems)
    if path.suffix == STORE and path.exists():
        with contextlib.closing(Store(path)) as store:
            return store.runs.all(problems)
    if path.suffix == NOTEBOOK:
        return list(saved_runs(path, problems))
    raise _not_a_recording(path)


def _not_a_recording(path: Path) -> HistoryError:
    return HistoryError(
        f"{path} is not a recording." if path.exists() else f"{path} cannot be read: there is no such file.",
        f"A recording is an {NOTEBOOK}, {LINES} or {STORE} file, or a folder of them.",
    )


def _is_run(data: Any) -> bool:
    return isinstance(data, dict) and isinstance(data.get("run"), dict) and isinstance(data.get("turn"), dict)


def _run_line(place: Place, run: SavedRun) -> bytes:
    judged = {"rating": run.rating, "note": run.note, "picked": run.is_picked}
    judged = {name: value for name, value in judged.items() if value not in (None, "", False)}
    return _line(place, bundle.encode("", run.attempt, call=place.call), run=asdict(run.key), **judged)


def _line(place: Place, turn: dict[str, Any], **more: Any) -> bytes:
    text = json.dumps({"cell": place.cell, "turn": turn, **more}, ensure_ascii=False, sort_keys=True)
    return text.encode() + b"\n"
