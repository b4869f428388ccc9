"""Answers in the background: the cell has ended, and its output goes on filling in."""

from __future__ import annotations

import contextvars
import inspect
import re
import threading
import traceback
from collections.abc import Callable
from typing import Any

from glm_magic.chat.place import ONE_SHOT, Place
from glm_magic.chat.reply import Reply
from glm_magic.errors import GlmError, Interrupted, StillPending, described, printable

_DISPLAYS = re.compile(r"__repr__|__str__|_repr_\w+_")
_WAIT_SECONDS = 0.1  # an interrupt is taken between two waits


class Pending:
    """An answer in the background. Once it is `done`, it has the attributes of its `Reply` (``pending.text`` …).

    Until then they raise `StillPending`; if the answer failed, they raise its error. Names that a `Reply` does not
    have are ordinary AttributeErrors, and within the display of a DataFrame or another container ``str()`` is
    ``repr()``, so that libraries can look at what they are given.
    """

    def __init__(self, model: str) -> None:
        """`model` is what is asked."""
        self._model = model
        self._reply: Any = None
        self._error: BaseException | None = None
        self._ended = threading.Event()
        self.stopping = threading.Event()

    @property
    def done(self) -> bool:
        """Whether it has ended, also with an error."""
        return self._ended.is_set()

    @property
    def failed(self) -> bool:
        """Whether it has ended with an error."""
        return isinstance(self._error, GlmError)

    def wait(self, timeout: float | None = None) -> Any:
        """Wait for at most `timeout` seconds and return the reply; a stopped one holds what had arrived.

        Raises the error with which it ended, `StillPending` after `timeout`, `Interrupted` if it was stopped
        before anything had arrived.
        """
        left = timeout
        while not self._ended.wait(_WAIT_SECONDS if left is None else min(_WAIT_SECONDS, left)):
            if left is not None and (left := left - _WAIT_SECONDS) <= 0:
                raise self._still_pending()
        if self._error is not None:
            raise self._error
        assert self._reply is not None, "it has ended well"
        return self._reply

    def stop(self) -> None:
        """Stop it at once; what has arrived is kept."""
        self.stopping.set()

    def check(self) -> None:
        """Raise `KeyboardInterrupt` if it has been stopped."""
        if self.stopping.is_set():
            raise KeyboardInterrupt

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(Reply, name):
            raise AttributeError(f"A Reply has no attribute {name!r}.", name=name, obj=self)
        if not self.done:
            raise self._still_pending()
        return getattr(self.wait(), name)

    def __str__(self) -> str:
        if self._reply is None and _is_in_a_display():
            return repr(self)
        if not self.done:
            raise self._still_pending()
        return str(self.wait())

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __repr__(self) -> str:
        if not self.done:
            return f"Pending(model={self._model!r})"
        return printable(repr(self._error or self._reply))

    def _still_pending(self) -> StillPending:
        return StillPending(f"The answer of {self._model} is still in progress.", "Wait for it: _glm.wait()")

    def end(self, reply: object, error: BaseException | None = None) -> None:
        """Record how it ended."""
        self._reply = reply
        self._error = error
        if reply is None and error is None:
            self._error = Interrupted("Stopped. Nothing had arrived; nothing is kept.")
        elif error is not None and not isinstance(error, (Exception, KeyboardInterrupt)):
            self._error = RuntimeError(described(error))  # SystemExit must not end the cell that waits
        self._ended.set()


def _is_in_a_display() -> bool:
    """Whether `Pending.__str__` is called to show what the answer is in: pandas and polars call ``str()`` for that."""
    callers = (frame.f_code for frame, _ in traceback.walk_stack(inspect.currentframe()))
    return any(_DISPLAYS.fullmatch(code.co_name) and code is not Pending.__str__.__code__ for code in callers)


class Background:
    """The answers of one kernel that are in progress in the background."""

    def __init__(self) -> None:
        self._asked: list[tuple[str, Place, Pending]] = []

    def start(self, chat: str, place: Place, pending: Pending, work: Callable[[], None]) -> None:
        """Run `work`, which ends `pending`, in a daemon thread.

        If `work` fails before it has ended `pending`, that error ends it.
        """
        self._asked = [
            entry for entry in self._asked if not entry[2].done or (entry[0] != ONE_SHOT and entry[2].failed)
        ]
        self._asked.append((chat, place, pending))
        context = contextvars.copy_context()  # it knows whose outputs these are

        def whole() -> None:
            error: BaseException | None = None
            try:
                work()
            except BaseException as failure:
                error = failure
            if not pending.done:
                pending.end(None, error)

        threading.Thread(target=context.run, args=(whole,), name="glm_magic background", daemon=True).start()

    def before(self, chat: str, place: Place | None = None) -> tuple[Pending, ...]:
        """Return the answers that must end before the next one in `chat` or at `place`; a one-shot waits for none."""
        return tuple(asked for in_chat, at, asked in self._asked if in_chat == chat != ONE_SHOT or at == place)

    def wait(self, pendings: tuple[Pending, ...], place: Place | None = None) -> None:
        """Wait for `pendings`. Raises the error of a failed one, once; not to the cell at `place`, which asks again."""
        for pending in pendings:
            try:
                pending.wait()
            except KeyboardInterrupt:
                if not pending.done:
                    what = "Stopped waiting; nothing was sent. The answer in the background goes on."
                    raise Interrupted(what) from None
            except GlmError:
                if (place, pending) not in [(at, asked) for _, at, asked in self._asked]:
                    raise
            finally:
                if pending.done:
                    self._asked = [entry for entry in self._asked if entry[2] is not pending]

    def stop(self) -> None:
        """Stop them all."""
        for _, _, pending in self._asked:
            pending.stop()
