"""A real kernel, and notebooks executed as nbclient does."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import nbformat
import pytest
from glm_server import GlmServer
from nbclient import NotebookClient
from real_kernel import Kernel


@pytest.fixture(autouse=True)
def swept() -> Iterator[None]:
    """Have what jupyter_client and nbclient leave to the garbage collector collected in the test that left it."""
    yield
    gc.collect()


@pytest.fixture
def kernel(server: GlmServer) -> Iterator[Kernel]:
    kernel = Kernel(GLM_BASE_URL=server.url)
    kernel.run("%load_ext glm_magic")
    yield kernel
    kernel.close()


@pytest.fixture
def execute(server: GlmServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Execute cells as nbclient does, and return the notebook."""
    monkeypatch.setenv("GLM_BASE_URL", server.url)

    def run(*sources: str) -> Any:
        cells = [nbformat.v4.new_code_cell(source) for source in ("%load_ext glm_magic", *sources)]
        notebook = nbformat.v4.new_notebook(cells=cells)
        NotebookClient(notebook, timeout=120, kernel_name="python3", allow_errors=True).execute()
        return notebook

    return run
