"""Interrupts while a cell asks: one stops it, and those that follow at once break nothing off."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from typing import Any


class Interrupts:
    """Takes interrupts while a cell asks: one raises `KeyboardInterrupt`, those that follow at once do not.

    Stop is often clicked twice, and a second interrupt would break off putting in order what had arrived,
    or the kernel's own work at the end of the cell.
    """

    GRACE_SECONDS = 1.0

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._before: Any = None
        self._interrupted_at = float("-inf")

    def __enter__(self) -> None:
        with contextlib.suppress(ValueError):  # only the main thread can, and only it is interrupted
            before = signal.signal(signal.SIGINT, self._take)
            self._before = self._before or before

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or not issubclass(kind, KeyboardInterrupt):
            self.end()

    def end(self) -> None:
        """Let interrupts be what they were before."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def forget(self) -> None:
        """Leave it to the kernel, which sets its own handlers at the end of a cell."""
        self._before = None

    def _take(self, _signal: int, _frame: object) -> None:
        now = self._clock()
        if now - self._interrupted_at > self.GRACE_SECONDS:
            self._interrupted_at = now
            raise KeyboardInterrupt
