"""An answer in the background of a real kernel: whose outputs are whose."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from glm_server import GlmServer, error, stream
from real_kernel import Kernel
from waiting import comes_true

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def rest(kernel: Kernel, until: str) -> list[dict[str, Any]]:
    """What comes after the cells have ended, up to a message that holds a text."""
    messages: list[dict[str, Any]] = []
    end = time.monotonic() + 60
    while time.monotonic() < end:
        messages.append(kernel.client.get_iopub_msg(timeout=60))
        if until in str(messages[-1]["content"]):
            return messages
    raise AssertionError(f"waited in vain for {until}")


def test_it_goes_on_in_its_own_cell_while_others_run(kernel: Kernel, server: GlmServer) -> None:
    gate = threading.Event()
    server.answer(stream("Half ", gate, "and whole."))
    status, asked = kernel.run("%%glm --bg\nask", "a")
    assert status == "ok"
    cell = asked[0]["parent_header"]["msg_id"]
    status, other = kernel.run("print('meanwhile')\nx = 1", "b")
    assert status == "ok"
    assert "meanwhile" in str(other)
    gate.set()
    late = rest(kernel, "7 in, 5 out")
    shown = [message for message in late if "display_data" in message["msg_type"]]
    assert shown
    assert {message["parent_header"]["msg_id"] for message in shown} == {cell}
    names = {message["content"]["transient"]["display_id"] for message in shown}
    assert len(names) == 2  # the line, and the answer
    status, _ = kernel.run("assert _glm.wait().text == 'Half and whole.'", "c")
    assert status == "ok"


def test_its_error_is_an_error_output_of_its_cell(kernel: Kernel, server: GlmServer) -> None:
    server.answer(error(400, {"error": {"code": "1210", "message": "no"}}))
    _, asked = kernel.run("%%glm --bg\nask", "a")
    cell = asked[0]["parent_header"]["msg_id"]
    seen = [*asked, *rest(kernel, "ename")] if "ename" not in str(asked) else asked
    (failed,) = [message for message in seen if message["msg_type"] == "error"]
    assert failed["parent_header"]["msg_id"] == cell
    assert failed["content"]["ename"] == "ServiceError"
    status, _ = kernel.run("%%glm\nmore", "b")
    assert status == "error"


def test_the_end_of_the_kernel_ends_it(kernel: Kernel, server: GlmServer) -> None:
    gate = threading.Event()
    server.answer(stream("Half ", gate, "never."))
    kernel.run("%%glm --bg\nask", "a")
    assert comes_true(lambda: len(server.requests) == 1)
    kernel.manager.shutdown_kernel(now=False)
    assert server.hung_up.wait(60)
    gate.set()
