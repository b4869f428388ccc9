"""Interrupts while a cell asks: they are taken between two events, and break nothing off."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any


class Interrupts:
    """Takes interrupts while a cell asks: `check`, between two events, raises `KeyboardInterrupt` for one.

    Events come at least ten times a second. An exception that is raised wherever the program happens to be could
    break off a library that is being loaded, be swallowed there, or cut short the putting in order of what had
    arrived. One that comes more than a second after the first is raised at once, should no event come.
    """

    GRACE_SECONDS = 1.0

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._before: Any = None
        self._first_at: float | None = None
        self._at_once = False

    def __enter__(self) -> None:
        self._first_at = None
        with contextlib.suppress(ValueError):  # only the main thread can, and only it is interrupted
            before = signal.signal(signal.SIGINT, self._take)
            self._before = self._before or before

    @property
    def has_come(self) -> bool:
        """Whether an interrupt has come."""
        return self._first_at is not None

    def check(self) -> None:
        """Raise `KeyboardInterrupt` if an interrupt has come."""
        if self.has_come:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def acting_at_once(self) -> Iterator[None]:
        """Let an interrupt break in wherever the program is: a tool of the notebook, or a question to the person."""
        self.check()
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

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
        is_first = self._first_at is None
        self._first_at = now if self._first_at is None else self._first_at
        if (self._at_once and is_first) or now - self._first_at > self.GRACE_SECONDS:
            raise KeyboardInterrupt
