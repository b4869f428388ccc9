"""A batch over two real kernels: the first is killed while it submits, the second collects."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from batch_server import BatchServer
from glm_server import Answer, Received
from real_kernel import Kernel

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CELL = "%%glm -t 0,1 -n 2 --batch\nhi"


class HoldingServer(BatchServer):
    """Creates batches, and holds the answers that say so until `gate` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.created, self.gate = threading.Event(), threading.Event()

    def other(self, request: Received) -> Answer:
        answer = super().other(request)
        if request.method == "POST" and request.path.endswith("/batches"):
            self.created.set()
            answer.steps.insert(0, self.gate)
        return answer


@pytest.fixture
def server() -> Iterator[HoldingServer]:
    with HoldingServer() as server:
        yield server
        server.gate.set()


def test_a_kernel_that_is_killed_while_it_submits_has_its_batch_collected_by_the_next(
    server: HoldingServer, tmp_path: Path
) -> None:
    path = tmp_path / "mine.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), path)

    def start() -> Kernel:
        kernel = Kernel(GLM_BASE_URL=server.url, JPY_SESSION_NAME=str(path))
        kernel.run("%load_ext glm_magic")
        return kernel

    first = start()
    try:
        first.send(CELL, "cell")
        assert server.created.wait(60)
        first.manager.signal_kernel(9)
    finally:
        first.close()
    server.gate.set()
    second = start()
    try:
        _, shown = second.run(CELL, "cell")
        assert "pending in batch_1 since" in str(shown)
        server.run("batch_1")
        status, _ = second.run(CELL, "cell")
        assert status == "ok"
        _, shown = second.run("print([run.text for run in _glm])")
        assert str(["You said: hi"] * 4) in str([message["content"].get("text") for message in shown])
    finally:
        second.close()
    assert len(server.batches) == 1
