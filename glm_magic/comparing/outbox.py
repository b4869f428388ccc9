"""Writes runs as they end; what cannot be written waits for a later time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from glm_magic.errors import HistoryError
from glm_magic.notebook.runs import SavedRun

_PAUSE_SECONDS = 60.0  # another kernel may hold the store, and each attempt waits for it


class Outbox:
    """The runs of one place on their way to one file. Runs that end at once are written together."""

    def __init__(self, write: Callable[[list[SavedRun]], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: list[SavedRun] = []
        self._not_before = float("-inf")

    def put(self, *runs: SavedRun) -> bool:
        """Write runs, and those that wait; return whether nothing waits any more. Raises `HistoryError` if it fails."""
        with self._lock:
            self._waiting += runs
        with self._writing:  # whoever came first may have written it
            if self._clock() >= self._not_before:
                self._flush()
        with self._lock:
            return not self._waiting

    def flush(self) -> None:
        """Write what waits now. Raises `HistoryError` if that fails."""
        with self._writing:
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            runs, self._waiting = self._waiting, []
        if not runs:
            return
        try:
            self._write(runs)
        except HistoryError:
            with self._lock:
                self._waiting = [*runs, *self._waiting]
            self._not_before = self._clock() + _PAUSE_SECONDS
            raise
        self._not_before = float("-inf")
