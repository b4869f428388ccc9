"""A console that talks to a kernel (jupyter console, qtconsole) shows plain text, and no update of an output."""

from __future__ import annotations

import functools
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import real_kernel
from glm_server import GlmServer, stream
from jupyter_client.manager import KernelManager

# jupyter_client leaves sockets and loops to the garbage collector
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def console(server: GlmServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[real_kernel.Kernel]:
    """A kernel as a console starts it: the file with its ports is named by the console's process id."""
    manager = functools.partial(KernelManager, connection_file=str(tmp_path / "kernel-4711.json"))
    monkeypatch.setattr(real_kernel, "KernelManager", manager)
    kernel = real_kernel.Kernel(GLM_BASE_URL=server.url)
    kernel.run("%load_ext glm_magic")
    yield kernel
    kernel.close()
    gc.collect()


def test_a_console_gets_the_answer_as_text_while_it_comes_and_no_output_that_is_updated(
    console: real_kernel.Kernel, server: GlmServer
) -> None:
    server.answer(stream("# Head\n\n", "**bold** \x1b[2J"))
    streamed: list[Any] = []

    def seen(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            streamed.append(message["content"]["text"])

    status, messages = console.run("%glm hi", seen=seen)
    assert status == "ok"
    assert "".join(streamed).startswith("# Head\n\n**bold**  [2J\n[GLM-4-Air")
    assert not {"display_data", "update_display_data"} & {message["msg_type"] for message in messages}


def test_a_console_gets_the_settings_as_a_table(console: real_kernel.Kernel) -> None:
    _, messages = console.run("%glm_config")
    shown = [message["content"]["data"] for message in messages if message["msg_type"] == "display_data"]
    assert "application/vnd.jupyter.widget-view+json" not in shown[-1]
    assert "temperature" in shown[-1]["text/plain"]
