"""A real kernel, asked by its protocol, or by nbclient."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forked_kernels
import nbformat
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

forked_kernels.install()


class Kernel:
    """A kernel and what it says, message by message."""

    def __init__(self, **environment: str) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(env={**os.environ, **environment})
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def send(self, code: str, cell: str | None = None) -> dict[str, Any]:
        """Have a cell run, and return the message that says so."""
        content = {"code": code, "silent": False, "store_history": True, "stop_on_error": True, "allow_stdin": False}
        message = self.client.session.msg("execute_request", {**content, "user_expressions": {}})
        message["metadata"] = {"cellId": cell} if cell else {}
        self.client.shell_channel.send(message)
        return message

    def run(
        self, code: str, cell: str | None = None, *, seen: Callable[[dict[str, Any]], None] | None = None
    ) -> tuple[str, list[dict[str, Any]]]:
        """Run a cell; return the status and the messages. `seen` is called with each message as it comes."""
        message = self.send(code, cell)
        messages: list[dict[str, Any]] = []
        until = time.monotonic() + 120
        while time.monotonic() < until:
            received = self.client.get_iopub_msg(timeout=120)
            if received["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            if received["msg_type"] == "status" and received["content"]["execution_state"] == "idle":
                break
            messages.append(received)
            if seen is not None:
                seen(received)
        reply = self.client.get_shell_msg(timeout=60)
        while reply["parent_header"].get("msg_id") != message["header"]["msg_id"]:  # of the start
            reply = self.client.get_shell_msg(timeout=60)
        return reply["content"]["status"], messages

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


def execute(path: Path) -> Any:
    """Execute a notebook in a new kernel, and save it."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    ).execute()
    nbformat.write(notebook, path)
    return [cell.outputs for cell in notebook.cells]
