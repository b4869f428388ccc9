"""A kernel that runs the cells of a benchmark."""

from __future__ import annotations

import os
import sys
import tempfile

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager


class Kernel:
    """A kernel whose iopub bytes are counted, with a store of its own."""

    def __init__(self, url: str = "", specs: KernelSpecManager | None = None) -> None:
        specs = specs or KernelSpecManager()
        self.manager = KernelManager(kernel_name="python3", kernel_spec_manager=specs)
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        environ = {"GLM_BASE_URL": url, "XDG_DATA_HOME": self._folder.name}
        self.manager.start_kernel(env={**os.environ, **environ}, cwd=tempfile.gettempdir(), stderr=-3)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.run("import time, os")

    def run(self, code: str) -> tuple[int, str]:
        """Run a cell; return the bytes that it put on iopub, and what it printed."""
        session = self.client.session
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        message = session.msg("execute_request", content)
        message["metadata"] = {"cellId": "cell"}  # as a page sends it, so that the line about an answer is live
        self.client.shell_channel.send(message)
        sent = message["header"]["msg_id"]
        size, printed = 0, ""
        while True:
            frames = self.client.iopub_channel.socket.recv_multipart()
            _, parts = session.feed_identities(frames)
            message = session.deserialize(parts)
            if message["parent_header"].get("msg_id") != sent:
                continue
            size += sum(map(len, frames))
            if message["msg_type"] == "stream":
                printed += message["content"]["text"]
            if message["msg_type"] == "error":
                sys.exit("\n".join(message["content"]["traceback"]))
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return size, printed

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self._folder.cleanup()
