"""The runs of comparisons on their way into files and out of them."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from glm_magic.asking.recordings import Recordings
from glm_magic.chat.attempt import Attempt
from glm_magic.chat.messages import Message
from glm_magic.chat.place import Place
from glm_magic.comparing.kept import Keeping, KeptRuns, Known, RecordedRuns
from glm_magic.comparing.outbox import Outbox
from glm_magic.errors import HistoryError
from glm_magic.notebook.runs import FailedRun, RunKey, SavedRun

CELL, OTHER = Place("0a1b2c3d"), Place("4e5f6a7b")


def run(id_: str, repeat: int = 0, fingerprint: str = "f") -> SavedRun:
    said = Message("user", "hi"), Message("assistant", f"answer {id_}")
    return SavedRun(RunKey("s", fingerprint, 0, repeat), Attempt(id_, said, fingerprint=fingerprint))


class File:
    """Takes runs, or refuses them."""

    def __init__(self) -> None:
        self.writes: list[list[str]] = []
        self.refuses = False
        self.attempts = 0

    def write(self, runs: list[SavedRun]) -> None:
        self.attempts += 1
        if self.refuses:
            raise HistoryError("The disk is full.")
        self.writes.append([run.attempt.id for run in runs])


def test_what_could_not_be_written_is_written_with_the_next_and_not_tried_with_each() -> None:
    file, now = File(), [0.0]
    outbox = Outbox(file.write, lambda: now[0])
    file.refuses = True
    with pytest.raises(HistoryError):
        outbox.put(run("1"))
    outbox.put(run("2"))  # at once after that
    assert file.attempts == 1
    file.refuses = False
    now[0] = 61.0
    outbox.put(run("3"))
    outbox.put(run("4"))
    assert file.writes == [["1", "2", "3"], ["4"]]


def test_what_waits_is_written_when_the_comparison_ends() -> None:
    file = File()
    outbox = Outbox(file.write, lambda: 0.0)
    file.refuses = True
    for _ in range(2):
        with pytest.raises(HistoryError):
            outbox.flush() if file.attempts else outbox.put(run("1"))
    file.refuses = False
    outbox.flush()
    outbox.flush()
    assert file.writes == [["1"]]


def test_runs_that_end_while_another_is_written_are_written_together_before_anybody_goes_on() -> None:
    file, begun, go_on = File(), threading.Event(), threading.Event()

    def write(runs: list[SavedRun]) -> None:
        begun.set()
        assert go_on.wait(60)
        file.write(runs)

    outbox = Outbox(write)
    threads = [threading.Thread(target=outbox.put, args=(run(str(number)),)) for number in range(8)]
    threads[0].start()
    assert begun.wait(60)
    for thread in threads[1:]:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert sorted(id_ for ids in file.writes for id_ in ids) == sorted(map(str, range(8)))
    assert file.writes[0] == ["0"]


def test_two_kernels_that_run_one_comparison_at_once_leave_an_answer_of_each(tmp_path: Path) -> None:
    kernels = [KeptRuns(Recordings(lambda: tmp_path / "a.ipynb"), time.time) for _ in range(3)]
    for kernel in kernels[:2]:
        kernel.of(Keeping(CELL))

    def ask(kernel: KeptRuns, name: str) -> None:
        for number in range(50):
            kernel.add(Keeping(CELL), run(f"{name}{number}", number))

    threads = [threading.Thread(target=ask, args=(kernel, name)) for kernel, name in zip(kernels, "xy", strict=False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    found = kernels[2].of(Keeping(CELL))
    assert [key.repeat for key in sorted(found, key=lambda key: key.repeat)] == list(range(50))
    assert all(kernel.recordings.problems() == () for kernel in kernels)
    assert kernels[0].of(Keeping(CELL))[RunKey("s", "f")].attempt.id == "x0", "a kernel keeps to its own"
    for kernel in kernels:
        kernel.recordings.close()


def test_a_recorded_run_is_given_once_and_that_of_the_cell_first() -> None:
    given: set[str] = set()
    recorded = RecordedRuns([(OTHER, run("1")), (CELL, run("2")), (OTHER, FailedRun(RunKey("", "g"), "no"))], given)
    key = RunKey("another service", "f")
    assert recorded.find(key, CELL) == run("2")
    assert recorded.find(key, Place("run 1")) == run("1")
    given.add("2")
    assert recorded.find(key, CELL) == run("1")
    given.add("1")
    assert recorded.find(key, CELL) is None
    assert ("g", 0, 0) not in recorded.requests(ask=True)
    assert ("g", 0, 0) in recorded.requests(ask=False)
    assert recorded.failed(RunKey("s", "g"), CELL) == FailedRun(RunKey("", "g"), "no")


def test_without_cell_ids_a_recording_comes_before_what_another_cell_has_asked() -> None:
    kept, recorded = {RunKey("s", "f"): run("kept")}, [(OTHER, run("recorded"))]
    for place, first in ((CELL, "kept"), (Place("run 2"), "recorded")):
        found = Known(place, kept, RecordedRuns(recorded)).of(RunKey("s", "f"))
        assert found is not None
        assert found.attempt.id == first
