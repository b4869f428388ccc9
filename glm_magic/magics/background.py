"""Answers that are asked for in the background: the cell has ended, and goes on filling in."""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from glm_magic.errors import GlmError, Interrupted, StillPending, printable

if TYPE_CHECKING:
    from glm_magic.asking.ask import Asking
    from glm_magic.chat.events import Event
    from glm_magic.chat.place import Place
    from glm_magic.chat.reply import Reply

_WAIT_SECONDS = 0.1  # an interrupt is taken between two waits


class Pending:
    """An answer in the background. Once it is `done`, it has what its `Reply` has (``pending.text`` …).

    Before, whatever it does not have yet raises `StillPending`.
    """

    def __init__(self, asking: Asking, stopping: threading.Event) -> None:
        """`stopping` is set when it is to stop."""
        self._asking = asking
        self._stopping = stopping
        self._reply: Reply | None = None
        self._error: BaseException | None = None
        self._ended = threading.Event()

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._ended.is_set()

    @property
    def failed(self) -> bool:
        """Whether it has ended with an error."""
        return isinstance(self._error, GlmError)

    def wait(self, timeout: float | None = None) -> Reply:
        """Wait for the end, at most `timeout` seconds, and return the reply; one that was stopped has its part.

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
        self._stopping.set()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if not self.done:
            raise self._still_pending()
        return getattr(self.wait(), name)

    def __str__(self) -> str:
        if not self.done:
            raise self._still_pending()
        return str(self.wait())

    def __repr__(self) -> str:
        if not self.done:
            return f"Pending(model={self._asking.question.model!r})"
        return printable(repr(self._error or self._reply))

    def _still_pending(self) -> StillPending:
        return StillPending(
            f"The answer of {self._asking.question.model} is still under way.", "Wait for it: _glm.wait()"
        )

    def follow(self, paint: Callable[[Event], None]) -> tuple[Reply | None, BaseException | None]:
        """Paint what happens, to the end or until it is stopped; return the reply, or the error instead."""
        try:
            with contextlib.closing(iter(self._asking)) as events:
                for event in events:
                    paint(event)
                    if self._stopping.is_set():
                        raise KeyboardInterrupt
        except KeyboardInterrupt:
            return self._asking.interrupt(), None
        except Exception as error:
            return None, error
        return self._asking.reply, None

    def end(self, reply: Reply | None, error: BaseException | None = None) -> None:
        """Note how it ended."""
        self._reply = reply
        self._error = error
        if reply is None and error is None:
            self._error = Interrupted("Stopped. Nothing had arrived; nothing is kept.")
        self._ended.set()


class Background:
    """The answers of one kernel that are under way in the background."""

    def __init__(self) -> None:
        self._asked: list[tuple[str, Place, Pending]] = []

    def start(self, chat: str, place: Place, pending: Pending, work: Callable[[], None]) -> None:
        """Run `work`, which ends `pending`, in a thread that ends with the kernel; `chat` is ``""`` for a one-shot."""
        self._asked = [entry for entry in self._asked if not entry[2].done or (entry[0] and entry[2].failed)]
        self._asked.append((chat, place, pending))
        context = contextvars.copy_context()  # it knows whose outputs these are
        threading.Thread(target=context.run, args=(work,), name="glm_magic background", daemon=True).start()

    def before(self, chat: str, place: Place | None = None) -> tuple[Pending, ...]:
        """Return what must have ended before something is asked in `chat` or at `place`."""
        return tuple(asked for in_chat, at, asked in self._asked if (chat and in_chat == chat) or at == place)

    def wait(self, pendings: tuple[Pending, ...], place: Place | None = None) -> None:
        """Wait for them. Raises the error with which one failed, once; not for the cell at `place`, which asks anew."""
        for pending in pendings:
            try:
                pending.wait()
            except KeyboardInterrupt:
                if not pending.done:
                    said = "Stopped waiting; nothing was sent. The answer in the background goes on."
                    raise Interrupted(said) from None
            except GlmError:
                if (place, pending) not in [(at, asked) for _, at, asked in self._asked]:
                    raise
            finally:
                if pending.done:
                    self._asked = [entry for entry in self._asked if entry[2] is not pending]

    def stop(self) -> None:
        """Stop all of it."""
        for _, _, pending in self._asked:
            pending.stop()
