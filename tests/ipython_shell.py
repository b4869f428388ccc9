"""A real IPython shell with a page that remembers what was put on it."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from typing import Any

import pytest
from glm_server import GlmServer, Received
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from glm_magic.chat.events import Event
from glm_magic.display.page.view import PageView


class Page(DisplayPublisher):
    """Outputs by name, as a front end keeps them: an update replaces what it names."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.outputs: dict[str, dict[str, Any]] = {}
        self.before: dict[str, dict[str, Any]] = {}  # of the cells that ran before
        self.messages = 0

    def turn(self) -> None:
        """Let another cell run; what an answer in the background shows goes to the one that asked."""
        self.before, self.outputs = {**self.before, **self.outputs}, {}

    def publish(self, data, metadata=None, source=None, *, transient=None, update=False, **kwargs):
        name = (transient or {}).get("display_id") or f"unnamed {len(self.outputs)}"
        outputs = self.before if update and name not in self.outputs else self.outputs
        if threading.current_thread() is not threading.main_thread():
            whose = name.rpartition("-")[0]
            outputs = self.before if any(other.startswith(whose) for other in self.before) else outputs
        assert update == (name in outputs), "an update names an output that is there, a new one does not"
        outputs[name] = data
        self.messages += 1

    @property
    def text(self) -> str:
        return "\n".join(data.get("text/plain", "") for data in self.outputs.values())

    def saved(self, mime: str) -> list[Any]:
        return [data[mime] for data in self.outputs.values() if mime in data]


class Notebook:
    """Runs cells as a kernel does, each with its cell id."""

    def __init__(self, shell: InteractiveShell, server: GlmServer) -> None:
        self.shell = shell
        self.server = server
        self.page: Page = shell.display_pub  # type: ignore[assignment]
        self._parent: dict[str, Any] = {}
        shell.get_parent = lambda: self._parent  # type: ignore[attr-defined]

    def run(self, code: str, cell: str | None = None) -> Any:
        """Run a cell, and return its value; raise what it raised."""
        self._parent = {"metadata": {"cellId": cell}} if cell else {}
        self.page.turn()
        result = self.shell.run_cell(code, store_history=True)
        result.raise_error()
        return result.result

    def restart(self) -> None:
        """Begin anew, as a kernel does that is restarted: nothing is kept, not even by the shell."""
        self.shell.run_line_magic("unload_ext", "glm_magic")
        self.shell.meta.clear()
        self.shell.run_line_magic("load_ext", "glm_magic")

    def sent(self, code: str, cell: str | None = None) -> Received:
        """Run a cell, and return the one request that it sent."""
        before = len(self.server.requests)
        self.run(code, cell)
        assert len(self.server.requests) == before + 1
        return self.server.last


def interrupt_painting(monkeypatch: pytest.MonkeyPatch, when: Callable[[Event], object]) -> None:
    """Raise KeyboardInterrupt, as Ctrl-C does, once the page has painted an event for which `when` is true."""
    paint = PageView.paint

    def painted(view: PageView, event: Event) -> None:
        paint(view, event)
        if when(event):
            raise KeyboardInterrupt

    monkeypatch.setattr(PageView, "paint", painted)


def new_shell(config: Config | None = None) -> InteractiveShell:
    config = config or Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell(display_pub_class=Page, config=config)
    shell.kernel = object()  # a page, not a terminal
    return shell


def close(shell: InteractiveShell) -> None:
    """Undo what a shell does to the interpreter."""
    if "GLMMagics" in shell.magics_manager.registry:
        shell.extension_manager.unload_extension("glm_magic")
    shell.history_manager.end_session()
    shell.restore_sys_module_state()
    atexit.unregister(shell.atexit_operations)  # it sweeps the memory, for each shell anew
