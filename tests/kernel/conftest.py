"""A real kernel, and notebooks executed as nbclient does. The tests of a module share a kernel, emptied for each."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from queue import Empty
from typing import Any

import nbformat
import pytest
from glm_server import GlmServer
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from real_kernel import Kernel
from traitlets import Type

LOAD = "%load_ext glm_magic"


def as_new(server: GlmServer) -> str:
    """Return the cell that puts a kernel back to where it began, and loads the magics for a server."""
    forget = "%unload_ext glm_magic\n%reset -f\nget_ipython().meta.clear()"  # it keeps conversations for a later load
    return f"{forget}\nimport os\nos.environ['GLM_BASE_URL'] = {server.url!r}\n{LOAD}"


class WakefulChannel(AsyncZMQSocketChannel):
    """A channel that looks for messages four times a second, whether or not something wakes it.

    nbclient sends what an Output widget shows on the socket that it waits on for the reply. Now and then that takes the
    wake-up for the reply away, and nbclient finds the reply when its timeout ends.
    """

    async def get_msg(self, timeout: float | None = None) -> dict[str, Any]:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                return await super().get_msg(0.25)
            except Empty:
                if end is not None and time.monotonic() >= end:
                    raise


class WakefulClient(AsyncKernelClient):
    """A client that waits for replies on a wakeful channel."""

    shell_channel_class = Type(WakefulChannel)


@pytest.fixture(autouse=True)
def swept() -> Iterator[None]:
    """Have what jupyter_client and nbclient leave to the garbage collector collected in the test that left it."""
    gc.freeze()  # the many objects of earlier tests need no look
    yield
    gc.collect()
    gc.unfreeze()


@pytest.fixture(scope="module")
def kernels() -> Iterator[list[Kernel]]:
    """The kernels that were started for a module; the last one is in use."""
    kernels: list[Kernel] = []
    yield kernels
    for kernel in kernels:
        kernel.close()


@pytest.fixture
def kernel(kernels: list[Kernel], server: GlmServer) -> Kernel:
    if not kernels or not kernels[-1].manager.is_alive():
        kernels.append(Kernel())
    kernels[-1].run(as_new(server))
    return kernels[-1]


@pytest.fixture(scope="module")
def manager() -> Iterator[AsyncKernelManager]:
    """The kernel for nbclient, which starts it when it executes the first notebook."""
    manager = AsyncKernelManager(kernel_name="python3", client_factory=WakefulClient)
    yield manager
    if manager.has_kernel:
        run_sync(manager.shutdown_kernel)(now=True)
    run_sync(manager.cleanup_resources)()


@pytest.fixture
def execute(server: GlmServer, manager: AsyncKernelManager) -> Callable[..., Any]:
    """Execute cells as nbclient does, and return the notebook."""

    def run(*sources: str) -> Any:
        notebook = new_notebook(as_new(server), *sources)
        client = NotebookClient(notebook, km=manager, timeout=120, allow_errors=True)
        client.execute()
        assert client.kc is not None
        client.kc.stop_channels()
        return notebook

    return run


@pytest.fixture
def execute_in_new_kernel(server: GlmServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Execute cells as nbclient does, in a kernel of their own."""
    monkeypatch.setenv("GLM_BASE_URL", server.url)

    def run(*sources: str) -> Any:
        notebook = new_notebook(LOAD, *sources)
        NotebookClient(notebook, timeout=120, kernel_name="python3", allow_errors=True).execute()
        return notebook

    return run


def new_notebook(*sources: str) -> Any:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
