"""A notebook for each test: a real shell, the magics, and the scripted server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from desk import Desk
from glm_server import GlmServer
from IPython.core.interactiveshell import InteractiveShell
from ipython_shell import Notebook, close, new_shell


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.setattr(InteractiveShell, "_instance", None)
    shell = new_shell()
    monkeypatch.setattr(InteractiveShell, "_instance", shell)  # `display` looks for it there
    yield shell
    close(shell)


@pytest.fixture
def notebook(shell: InteractiveShell, server: GlmServer, monkeypatch: pytest.MonkeyPatch) -> Notebook:
    monkeypatch.setenv("GLM_BASE_URL", server.url)
    shell.run_line_magic("load_ext", "glm_magic")
    return Notebook(shell, server)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, server: GlmServer, tmp_path: Path) -> Iterator[Desk]:
    monkeypatch.setenv("GLM_BASE_URL", server.url)
    (tmp_path / "notes").mkdir()
    desk = Desk(tmp_path / "notes" / "mine.ipynb", server, monkeypatch)
    yield desk
    desk.end()
