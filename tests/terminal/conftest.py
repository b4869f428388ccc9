"""A terminal to write to, and IPython on one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from emulator import Shell, Terminal
from glm_server import GlmServer


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal as most are, whatever the tests run in."""
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture
def terminal(colours: None) -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


@pytest.fixture
def open_shell(server: GlmServer) -> Iterator[Callable[..., Shell]]:
    shells: list[Shell] = []

    def run(**how: Any) -> Shell:
        shells.append(Shell(GLM_BASE_URL=server.url, **how))
        shells[-1].run("%load_ext glm_magic")
        return shells[-1]

    yield run
    for shell in shells:
        shell.close()
