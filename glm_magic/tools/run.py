"""Runs a function of the notebook that a model has called, and returns the outcome as text."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

from glm_magic.errors import described
from glm_magic.tools.results import MOST_ITEMS, Items, result_text, taken
from glm_magic.tools.signatures import Call
from glm_magic.tools.tool import Outcome, Tool

_Value = TypeVar("_Value")

_GLANCE_SECONDS = 0.1  # where waiting cannot be interrupted (Windows), this is how late an interrupt is
_GRACE_SECONDS = 2.0  # how long a cancelled coroutine may take to clean up


def run(tool: Tool, call: Call, stopped: Callable[[], bool] | None = None) -> Outcome:
    """Call a tool's function in this thread; what it raises is the outcome, except for a `KeyboardInterrupt`.

    Awaitables and async iterators run in a thread with an event loop of its own, because a kernel's loop is already
    running, and in the caller's context, so that what they print belongs to the cell. An interrupt cancels them,
    waits at most two seconds for them to end, and is raised.

    In the background no interrupt comes. There `stopped` tells whether the person has stopped the answer. A
    `KeyboardInterrupt` is raised then, and a function that cannot be cancelled is left behind in a thread of its own.
    """
    return stoppable(lambda: _run(tool, call, stopped or (lambda: False)), stopped)


def stoppable(work: Callable[[], _Value], stopped: Callable[[], bool] | None) -> _Value:
    """Do `work` and return its result: in this thread, where an interrupt stops it.

    In the background no interrupt comes. `work` gets a thread of its own there, and is left behind in it with a
    `KeyboardInterrupt` once `stopped` is true.
    """
    return work() if stopped is None else _in_a_thread(work, stopped)


def _run(tool: Tool, call: Call, stopped: Callable[[], bool]) -> Outcome:
    assert tool.function is not None, "the service runs its own tools"
    try:
        value = tool.function(*call.args, **call.kwargs)
        if inspect.isawaitable(value) or hasattr(type(value), "__aiter__"):
            task = _Task(value)
            value = _in_a_thread(lambda: asyncio.run(task.whole()), stopped, task.cancel)
        if isinstance(value, Iterator):  # a generator runs only when it is read
            value = taken(value)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit must not end the cell either
        return Outcome(described(error), failed=True)
    return Outcome(result_text(value))


def _in_a_thread(
    work: Callable[[], _Value], stopped: Callable[[], bool], cancel: Callable[[], None] | None = None
) -> _Value:
    """Do `work` in a thread and return its result; after an interrupt, wait for what was cancelled to end."""
    outcome: Future[_Value] = Future()
    done = threading.Event()
    context = contextvars.copy_context()

    def whole() -> None:
        try:
            outcome.set_result(context.run(work))
        except BaseException as error:  # it is raised in the caller's thread
            outcome.set_exception(error)
        finally:
            done.set()

    # a daemon: a function that goes on after it was cancelled must not keep the kernel alive
    thread = threading.Thread(target=whole, name="glm_magic tool", daemon=True)
    try:
        thread.start()
        while not done.wait(_GLANCE_SECONDS):
            if stopped():
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        if cancel is not None:
            cancel()
            done.wait(_GRACE_SECONDS)
        raise
    return outcome.result()


class _Task:
    """An awaitable that runs in another thread's loop, and can be cancelled from this one even before it begins."""

    def __init__(self, value: Any) -> None:
        self._value = value
        self._lock = threading.Lock()
        self._cancel: Callable[[], object] | None = None
        self._is_cancelled = False

    async def whole(self) -> Any:
        """Await the value, and read an async iterator."""
        value = self._value
        task = asyncio.current_task()
        assert task is not None, "this is run by a task"
        loop = asyncio.get_running_loop()
        with self._lock:
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
            if self._is_cancelled:
                if inspect.iscoroutine(value):
                    value.close()
                raise asyncio.CancelledError
        if inspect.isawaitable(value):
            value = await value
        if hasattr(type(value), "__aiter__"):
            value = await _taken(value)
        return value

    def cancel(self) -> None:
        """Cancel the task, at its beginning if it has not begun."""
        with self._lock:
            self._is_cancelled = True
            if self._cancel is not None:
                with contextlib.suppress(RuntimeError):  # it has just ended and closed its loop
                    self._cancel()


async def _taken(values: Any) -> Items:
    items: list[Any] = []
    async for item in values:
        if len(items) == MOST_ITEMS:
            if inspect.isasyncgen(values):
                await values.aclose()
            return Items(tuple(items), more=True)
        items.append(item)
    return Items(tuple(items))
