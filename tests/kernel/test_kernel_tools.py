"""Tools in a real kernel, with ipykernel 6 and 7: stopped, agreed to by a person, in the background."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from glm_server import GlmServer, calls, stream
from ipykernels import VERSIONS, python_path
from real_kernel import Kernel

# jupyter_client leaves sockets and loops to the garbage collector
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

SECONDS = 60.0
TOOLS = '''
import asyncio, time
ran = []

def sleep():
    """Sleep."""
    ran.append("begun")
    print("asleep", flush=True)
    time.sleep(300)
    ran.append("went on")

def stubborn():
    """Go on after whatever happens."""
    while len(ran) < 9:
        try:
            sleep()
        except Exception as error:
            ran.append(repr(error))

def deaf():
    """Take an interrupt for itself."""
    try:
        sleep()
    except KeyboardInterrupt:
        return "I was not asleep."

async def gentle():
    """Sleep in a loop."""
    ran.append("begun")
    print("asleep", flush=True)
    try:
        await asyncio.sleep(300)
        ran.append("went on")
    finally:
        ran.append("put in order")

async def gentle_stream():
    """Sleep between two values."""
    yield "one"
    yield await gentle()

def add(a: int, b: int) -> int:
    """Add two numbers."""
    ran.append((a, b))
    return a + b
'''


@pytest.fixture(scope="module")
def kernels() -> Iterator[Callable[[str], Kernel]]:
    """Return the kernel with an ipykernel of that version; there is one of each, and the tests share them."""
    started: dict[str, Kernel] = {}

    def kernel(version: str) -> Kernel:
        if version not in started:
            started[version] = Kernel(**({"PYTHONPATH": python_path(version)} if version in VERSIONS else {}))
            started[version].run("%load_ext glm_magic")
        return started[version]

    yield kernel
    for each in started.values():
        each.close()


@pytest.fixture(params=[*VERSIONS, "installed"])
def kernel(request: pytest.FixtureRequest, kernels: Callable[[str], Kernel], server: GlmServer) -> Kernel:
    kernel = kernels(request.param)
    kernel.run(f"%glm_config --reset\n%glm_config base_url={server.url}\n%glm_history --clear\n{TOOLS}")
    if request.param != "installed":
        assert value(kernel, "__import__('ipykernel').__version__").startswith(request.param)
    return kernel


def value(kernel: Kernel, expression: str) -> Any:
    """Return what an expression is in the kernel."""
    _, messages = kernel.run(f"import json; print(json.dumps({expression}))")
    return json.loads("".join(message["content"]["text"] for message in messages if message["msg_type"] == "stream"))


def send(kernel: Kernel, code: str, cell: str, *, allow_stdin: bool = True) -> str:
    """Send a cell as a front end does before which a person sits; return the id of the request."""
    content = {"code": code, "silent": False, "store_history": True, "stop_on_error": True, "user_expressions": {}}
    message = kernel.client.session.msg("execute_request", {**content, "allow_stdin": allow_stdin})
    message["metadata"] = {"cellId": cell}
    kernel.client.shell_channel.send(message)
    return str(message["header"]["msg_id"])


def reply(kernel: Kernel, request: str) -> dict[str, Any]:
    """Return how a cell has ended."""
    while (found := kernel.client.get_shell_msg(timeout=SECONDS))["parent_header"].get("msg_id") != request:
        pass
    return dict(found["content"])


def asked(kernel: Kernel, answers: list[Any]) -> Callable[[], list[str]]:
    """Answer what the kernel asks on the input line, or do what stands in place of an answer; return the prompts."""
    prompts: list[str] = []

    def look() -> list[str]:
        if kernel.client.stdin_channel.msg_ready():
            prompts.append(kernel.client.get_stdin_msg(timeout=SECONDS)["content"]["prompt"])
            answer = answers.pop(0)
            if callable(answer):
                answer()
            else:
                kernel.client.input(answer)
        return prompts

    return look


def follow(
    kernel: Kernel,
    request: str,
    *,
    look: Callable[[], Any] = list,
    seen: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Return what a cell puts on the page, until it has ended; `look` is called again and again meanwhile."""
    messages = []
    until = time.monotonic() + SECONDS
    while True:
        assert time.monotonic() < until, "the cell does not end"
        look()
        try:
            message = kernel.client.get_iopub_msg(timeout=0.05)
        except queue.Empty:
            continue
        if message["parent_header"].get("msg_id") != request:
            continue
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            return messages
        messages.append(message)
        if seen is not None:
            seen(message)


class Interrupting:
    """Interrupts the kernel when the tool has said that it sleeps."""

    def __init__(self, kernel: Kernel, times: int = 1) -> None:
        self._kernel = kernel
        self._times = times
        self._is_done = False

    def __call__(self, message: dict[str, Any]) -> None:
        if not self._is_done and "asleep" in message["content"].get("text", ""):
            self._is_done = True
            for _ in range(self._times):
                self._kernel.manager.interrupt_kernel()


STOPPED = {
    "sleep": ["begun"],
    "stubborn": ["begun"],
    "deaf": ["begun"],
    "gentle": ["begun", "put in order"],
    "gentle_stream": ["begun", "put in order"],
}


@pytest.mark.parametrize("tool", STOPPED)
def test_a_stop_breaks_into_a_tool_and_leaves_no_call_that_nobody_has_answered(
    kernel: Kernel, server: GlmServer, tool: str
) -> None:
    server.answer(calls((tool, {}), text="Let me see."), stream("Never."))
    first = send(kernel, f"%%glm -T {tool}\nhi", "a")
    second = send(kernel, "ran.append('Run All went on')", "b")
    messages = follow(kernel, first, seen=Interrupting(kernel, times=2))  # as an impatient person does
    (error,) = [message["content"] for message in messages if message["msg_type"] == "error"]
    assert (error["ename"], error["evalue"]) == ("Interrupted", "Stopped. What had arrived is kept.")
    assert reply(kernel, first)["status"] == "error"
    assert reply(kernel, second)["status"] in ("aborted", "error")
    assert value(kernel, "ran") == STOPPED[tool], "it has slept on"
    assert len(server.requests) == 1

    assert kernel.run("%%glm\nnext", "c")[0] == "ok"
    assert server.last.messages == [("user", "hi"), ("assistant", "Let me see."), ("user", "next")]
    assert not any("tool_calls" in message for message in server.last.body["messages"])


def test_a_stop_in_a_later_round_keeps_the_text_before_it_alone(kernel: Kernel, server: GlmServer) -> None:
    server.answer(calls(("add", {"a": 1, "b": 2}), text="First."), calls(("sleep", {}), ("add", {"a": 3, "b": 4})))
    request = send(kernel, "%%glm -T add,sleep\nhi", "a")
    messages = follow(kernel, request, seen=Interrupting(kernel))
    assert value(kernel, "ran") == [[1, 2], "begun"], messages
    kernel.run("%%glm\nnext", "b")
    assert server.last.messages == [("user", "hi"), ("assistant", "First."), ("user", "next")]


def test_a_person_agrees_on_the_input_line_and_edits_arguments(kernel: Kernel, server: GlmServer) -> None:
    three = [("add", {"a": a, "b": 1}) for a in (1, 2, 3)]
    server.answer(calls(*three), stream("Done."))
    look = asked(kernel, ["y", "", "e", '{"a": "x"}', '{"a": 30, "b": 1}', "y"])
    request = send(kernel, "%%glm --approve -T add\nhi", "a")
    messages = follow(kernel, request, look=look)
    assert reply(kernel, request)["status"] == "ok", messages
    prompts = look()
    assert [prompt.partition("?")[0] for prompt in prompts if prompt.startswith("Run")] == [
        'Run add({"a": 1, "b": 1})',
        'Run add({"a": 2, "b": 1})',
        'Run add({"a": 3, "b": 1})',
        'Run add({"a": 30, "b": 1})',
    ]
    assert "not valid" in prompts[4]
    assert value(kernel, "ran") == [[1, 1], [30, 1]]
    sent = server.last.body["messages"]
    assert [message["content"] for message in sent[2:]] == [
        "2",
        "The person at the notebook did not allow this call.",
        "31",
    ]
    assert [json.loads(call["function"]["arguments"])["a"] for call in sent[1]["tool_calls"]] == [1, 2, 30]


def test_a_stop_while_the_question_waits_runs_nothing(kernel: Kernel, server: GlmServer) -> None:
    server.answer(calls(("add", {"a": 1, "b": 2}), text="May I?"))
    look = asked(kernel, [kernel.manager.interrupt_kernel])
    request = send(kernel, "%%glm --approve -T add\nhi", "a")
    messages = follow(kernel, request, look=look)
    assert [message["content"]["ename"] for message in messages if message["msg_type"] == "error"] == ["Interrupted"]
    assert reply(kernel, request)["status"] == "error"
    assert value(kernel, "ran") == []
    kernel.run("%%glm\nnext", "b")
    assert server.last.messages == [("user", "hi"), ("assistant", "May I?"), ("user", "next")]


def test_without_an_input_line_nothing_is_sent(kernel: Kernel, server: GlmServer) -> None:
    request = send(kernel, "%%glm --approve -T add\nhi", "a", allow_stdin=False)
    (error,) = [found["content"] for found in follow(kernel, request) if found["msg_type"] == "error"]
    assert error["ename"] == "SetupError"
    assert "nobody can type there" in error["evalue"]
    assert reply(kernel, request)["status"] == "error"
    assert server.requests == []


def test_in_the_background_a_tool_runs_while_other_cells_do(kernel: Kernel, server: GlmServer) -> None:
    server.answer(calls(("add", {"a": 1, "b": 2})), stream("Three."))
    kernel.run("%%glm --bg -T add\nhi", "a")
    assert kernel.run("print(_glm.wait().text)", "b")[0] == "ok"
    assert value(kernel, "[_glm.text, ran]") == ["Three.", [[1, 2]]]
    kernel.run("%%glm\nnext", "c")
    assert [message["role"] for message in server.last.body["messages"]] == [
        *("user", "assistant", "tool", "assistant"),
        "user",
    ]


@pytest.mark.parametrize("tool", ["short", "wait_for_it"])
def test_a_stop_in_the_background_is_heard_when_the_tool_has_ended(
    kernel: Kernel, server: GlmServer, tool: str
) -> None:
    kernel.run(
        "import threading; gate = threading.Event()\n"
        "def short():\n    ran.append('begun')\n    gate.wait(60)\n    return 1\n"
        "async def wait_for_it():\n    return short()\n"
    )
    server.answer(calls((tool, {}), text="Hm."), stream("Never."))
    kernel.run(f"%%glm --bg -T {tool}\nagain", "c")
    kernel.run("while not ran: time.sleep(0.01)\n_glm.stop()\ngate.set()", "d")
    kernel.run("_glm.wait()", "e")
    assert value(kernel, "[_glm.text, _glm.interrupted]") == ["Hm.", True]
    assert len(server.requests) == 1
    kernel.run("%%glm\nnext", "f")
    assert server.last.messages == [("user", "again"), ("assistant", "Hm."), ("user", "next")]


def test_a_stop_in_the_background_does_not_wait_for_a_tool(kernel: Kernel, server: GlmServer) -> None:
    server.answer(calls(("gentle", {}), text="Hm."), stream("Never."))
    kernel.run("%%glm --bg -T gentle\nagain", "c")
    kernel.run("while not ran: time.sleep(0.01)\nlate = _glm\nlate.stop()", "d")
    try:
        kernel.run("try:\n    late.wait(60)\nexcept Exception:\n    pass", "e")
        # nothing waits for what the tool does at its end, so here the test does
        kernel.run(
            "until = time.monotonic() + 60\nwhile len(ran) < 2 and time.monotonic() < until: time.sleep(0.01)", "f"
        )
        assert value(kernel, "[late.done, ran]") == [True, ["begun", "put in order"]]
    finally:
        kernel.run("%reload_ext glm_magic")  # what is under way still is of no concern to later cells
