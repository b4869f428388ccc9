import asyncio
import contextlib
import contextvars
import gc
import os
import signal
import threading
from collections.abc import Iterator

import pytest
from real_kernel import Kernel
from waiting import comes_true

from glm_magic.tools import run as calling
from glm_magic.tools.results import MOST_ITEMS
from glm_magic.tools.run import run
from glm_magic.tools.tool import Outcome, arguments, tool

WHERE = contextvars.ContextVar("WHERE", default="nowhere")


def outcome(function, written="{}", stopped=None):
    offered = tool(function, "f")
    return run(offered, arguments(offered, written), stopped)


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def tool_threads():
    return [thread for thread in threading.enumerate() if thread.name == "glm_magic tool"]


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No thread stays, and no coroutine that nobody awaited: Python says so when it sweeps."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin without it
    gc.freeze()  # the many objects of earlier tests need no look
    yield
    assert comes_true(lambda: not tool_threads())
    gc.collect()
    gc.unfreeze()


def test_a_function_is_called_with_its_arguments_in_the_callers_thread():
    def f(a: int, b: str = "x"):
        return [a, b, threading.current_thread() is threading.main_thread()]

    assert outcome(f, '{"a": "3"}') == Outcome('[3, "x", true]')


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no such city"), "ValueError: no such city"),
        (KeyError("Bern"), "KeyError: 'Bern'"),
        (RuntimeError(), "RuntimeError"),
        (SystemExit(1), "SystemExit: 1"),
        (GeneratorExit(), "GeneratorExit"),
        (asyncio.CancelledError(), "CancelledError"),
        (ValueError("two\nlines \x1b[31m\ud800red\u202e"), "ValueError: two lines [31m\ufffdred"),
    ],
)
def test_an_error_is_an_outcome_that_says_it_whether_the_function_is_async_or_not(error, text):
    def f():
        raise error

    async def g():
        await asyncio.sleep(0)
        raise error

    assert outcome(f) == Outcome(text, failed=True)
    assert outcome(g) == Outcome(text, failed=True)


@pytest.mark.parametrize("method", ["__repr__", "__str__", "__iter__"])
def test_a_result_or_an_error_that_exits_when_it_is_looked_at_does_not_end_the_cell(method):
    def leave(_):
        raise SystemExit("bye")

    def gives():
        return {"ok": 1, "bad": type("Bad", (), {method: leave})()}

    def fails():
        raise type("BadError", (Exception,), {method: leave})

    assert outcome(gives).text.startswith('{"ok": 1, "bad": ')
    assert outcome(fails) == Outcome("BadError", failed=True)


def test_an_error_as_long_as_a_book_is_cut():
    def f():
        raise ValueError("x" * 10**6)

    assert len(outcome(f).text) < 700


def test_an_error_that_cannot_say_what_it_is_has_a_name():
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    def f():
        raise Mute

    assert outcome(f) == Outcome("Mute", failed=True)


def test_an_async_function_runs_to_its_end_though_a_loop_is_running():
    async def f(a: int):
        await asyncio.sleep(0)
        return a + 1

    async def cell():
        return outcome(f, '{"a": 1}')

    assert outcome(f, '{"a": 1}') == Outcome("2")
    assert asyncio.run(cell()) == Outcome("2")


def test_an_async_function_runs_in_the_context_of_the_caller():
    async def f():
        await asyncio.sleep(0)
        return WHERE.get()

    token = WHERE.set("in the cell")
    assert outcome(f) == Outcome("in the cell")
    WHERE.reset(token)


def test_an_async_method_and_an_async_object_run_too():
    class Station:
        async def read(self):
            return 1

        async def __call__(self):
            return 2

    assert outcome(Station().read) == Outcome("1")
    assert outcome(Station()) == Outcome("2")


def test_what_a_function_returns_to_be_awaited_is_awaited():
    async def later():
        return "done"

    class Ready:
        def __await__(self):
            return later().__await__()

    assert outcome(lambda: later()) == Outcome("done")  # noqa: PLW0108 - that is the point
    assert outcome(Ready) == Outcome("done")


def test_an_async_generator_is_read():
    async def f():
        for number in range(3):
            await asyncio.sleep(0)
            yield number

    async def g():
        return f()

    assert outcome(f) == Outcome("[0, 1, 2]")
    assert outcome(g) == Outcome("[0, 1, 2]")


def test_an_async_generator_without_end_is_read_for_a_while_and_closed():
    closed = []

    async def f():
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    text = outcome(f).text
    assert text.count("1,") == MOST_ITEMS
    assert text.endswith('"[more items: it was not read to its end]"]')
    assert closed == [True]


def test_a_generator_that_fails_is_an_error():
    def f():
        yield 1
        raise ValueError("no")

    async def g():
        yield 1
        raise ValueError("no")

    assert outcome(f) == outcome(g) == Outcome("ValueError: no", failed=True)


def test_tasks_that_an_async_function_leaves_end_with_it():
    ended = []

    async def forever():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def f():
        f.task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        return "done"

    assert outcome(f) == Outcome("done")
    assert ended == [True]


def test_an_interrupt_stops_a_function():
    reached = []

    def f():
        signal.raise_signal(signal.SIGINT)
        reached.append(True)

    with pytest.raises(KeyboardInterrupt):
        outcome(f)
    assert not reached


def test_an_interrupt_stops_a_generator():
    def f():
        yield 1
        signal.raise_signal(signal.SIGINT)
        yield 2

    with pytest.raises(KeyboardInterrupt):
        outcome(f)


def test_an_interrupt_cancels_an_async_function_and_lets_it_put_itself_in_order():
    ended = []

    async def f():
        try:
            interrupt()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        outcome(f)
    assert ended == [True]


def test_an_interrupt_closes_an_async_generator():
    ended = []

    async def f():
        try:
            yield 1
            interrupt()
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        outcome(f)
    assert ended == [True]


def test_an_interrupt_is_not_held_up_by_what_does_not_end(monkeypatch):
    monkeypatch.setattr(calling, "_GRACE_SECONDS", 0.01)
    may_end = threading.Event()

    async def f():
        interrupt()
        while not may_end.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.001)

    with pytest.raises(KeyboardInterrupt):
        outcome(f)
    assert tool_threads()
    may_end.set()


def test_a_second_interrupt_does_not_wait_for_the_end(monkeypatch):
    monkeypatch.setattr(calling, "_GRACE_SECONDS", 600)
    may_end = threading.Event()

    async def f():
        try:
            interrupt()
            await asyncio.Event().wait()
        finally:
            interrupt()
            while not may_end.is_set():  # noqa: ASYNC110 - an event of another thread
                await asyncio.sleep(0.001)

    with pytest.raises(KeyboardInterrupt):
        outcome(f)
    assert tool_threads()
    may_end.set()


def test_a_keyboard_interrupt_that_an_async_function_raises_is_one():
    async def f():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outcome(f)


def test_what_was_interrupted_before_it_began_does_not_begin():
    begun = []

    async def f():
        begun.append(True)

    task = calling._Task(f())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(task.whole())
    assert not begun


def test_an_interrupt_after_the_end_is_harmless():
    async def f():
        return 1

    task = calling._Task(f())
    assert asyncio.run(task.whole()) == 1
    task.cancel()


# --- in the background, where no interrupt comes -------------------------------------------------


def test_what_is_stopped_in_the_background_is_left_behind_at_once():
    stopped, ends = threading.Event(), threading.Event()

    def f():
        stopped.set()
        ends.wait(60)

    with pytest.raises(KeyboardInterrupt):
        outcome(f, stopped=stopped.is_set)
    ends.set()


def test_an_async_function_that_is_stopped_in_the_background_is_cancelled():
    stopped, cleaned = threading.Event(), threading.Event()

    async def f():
        try:
            stopped.set()
            await asyncio.sleep(60)
        finally:
            cleaned.set()

    with pytest.raises(KeyboardInterrupt):
        outcome(f, stopped=stopped.is_set)
    assert cleaned.wait(10)


def test_what_ends_in_the_background_gives_its_result():
    assert outcome(lambda: 7, stopped=lambda: False).text == "7"


CELL = """
from __future__ import annotations
import asyncio, threading
from glm_magic.tools.run import run
from glm_magic.tools.tool import arguments, tool

def sync(a: int):
    print("sync", a)

async def later(a: int):
    await asyncio.sleep(0)
    print("async", a, threading.current_thread() is threading.main_thread())
    return a

async def items():
    print("items")
    yield 1

async def stuck():
    try:
        print("waiting")
        await asyncio.Event().wait()
    finally:
        print("put in order")

def call(function, written="{}"):
    offered = tool(function, "f")
    return run(offered, arguments(offered, written))
"""


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    yield kernel
    kernel.close()


def said(messages):
    """What a cell has printed, and the errors that it ended with."""
    printed = "".join(message["content"]["text"] for message in messages if message["msg_type"] == "stream")
    return printed, [message["content"]["ename"] for message in messages if message["msg_type"] == "error"]


def test_in_a_kernel_tools_print_into_the_cell_and_an_interrupt_stops_them(kernel):
    def stop(message):
        if message["msg_type"] == "stream" and "waiting" in message["content"]["text"]:
            kernel.manager.interrupt_kernel()

    def run_cell(code, seen=None):
        return said(kernel.run(code, seen=seen)[1])

    assert run_cell(CELL) == ("", [])
    assert run_cell("call(sync, '{\"a\": 1}')") == ("sync 1\n", [])
    cell = "print(call(later, '{\"a\": 2}').text); print(call(items).text)"
    assert run_cell(cell) == ("async 2 False\n2\nitems\n[1]\n", [])
    assert run_cell("call(stuck); print('went on')", stop) == ("waiting\nput in order\n", ["KeyboardInterrupt"])
    assert run_cell("print(call(later, '{\"a\": 3}').text)") == ("async 3 False\n3\n", [])
