"""Interrupts while a cell asks: they are taken between two events, so that they break nothing off."""

from __future__ import annotations

import _thread
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any


class Interrupts:
    """Takes interrupts while a cell asks: `check`, between two events, raises `KeyboardInterrupt` for one.

    Events come at least ten times a second. An exception that is raised at an arbitrary point could break off a
    library that is being imported, be swallowed there, or stop what keeps the text that has arrived. If no `check`
    comes within a second, the exception is raised wherever the program is.

    Only the main thread is interrupted; in other threads nothing here has an effect. `clock` counts seconds.
    """

    GRACE_SECONDS = 1.0

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._before: Any = None
        self._depth = 0
        self._first_at: float | None = None
        self._is_taken = False
        self._at_once = False

    def __enter__(self) -> None:
        if not _in_main_thread():
            return
        self._depth += 1
        if self._depth > 1:  # an expression in a prompt asks as well
            return
        self._first_at, self._is_taken = None, False
        before = signal.signal(signal.SIGINT, self._take)
        self._before = self._before or before

    @property
    def has_come(self) -> bool:
        """Whether an interrupt has come."""
        return self._first_at is not None and _in_main_thread()

    def check(self) -> None:
        """Raise `KeyboardInterrupt` if an interrupt has come."""
        if self.has_come:
            self._is_taken = True
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def acting_at_once(self) -> Iterator[None]:
        """Let an interrupt act at once: within it, code of the notebook runs, or the person is asked."""
        if not _in_main_thread():
            yield
            return
        self.check()
        before, self._at_once = self._at_once, True
        try:
            yield
        finally:
            self._at_once = before

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not _in_main_thread():
            return
        self._depth -= 1
        if self._depth == 0 and (kind is None or not issubclass(kind, KeyboardInterrupt)):
            self.end()

    def end(self) -> None:
        """Let interrupts be what they were before."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        self.forget()

    def forget(self) -> None:
        """Leave it to the kernel, which sets its own handlers at the end of a cell; what has come is over with it."""
        self._before = self._first_at = None

    def _take(self, _signal: int, _frame: object) -> None:
        now = self._clock()
        is_first = self._first_at is None
        self._first_at = now if self._first_at is None else self._first_at
        if (self._at_once and is_first) or now - self._first_at > self.GRACE_SECONDS:
            self._is_taken = True
            raise KeyboardInterrupt
        if is_first:
            timer = threading.Timer(1.1 * self.GRACE_SECONDS, self._take_again)
            timer.daemon = True
            timer.start()

    def _take_again(self) -> None:
        """Interrupt once more, unless the first interrupt was taken meanwhile."""
        if (
            self._depth
            and self._first_at is not None
            and not self._is_taken
            and signal.getsignal(signal.SIGINT) == self._take
        ):
            _thread.interrupt_main()


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
