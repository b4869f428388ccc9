"""A notebook in a front end, with one kernel after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from glm_server import GlmServer
from IPython.core.interactiveshell import InteractiveShell
from ipython_shell import Notebook, close, new_shell

from glm_magic.notebook.bundle import MIME_TYPE


class Desk:
    """A notebook in a front end: its cells, what they show, its file, and one kernel after the other."""

    def __init__(self, path: Path, server: GlmServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.server = server
        self.cells: dict[str, str] = {}
        self.outputs: dict[str, list[dict[str, Any]]] = {}
        self._monkeypatch = monkeypatch
        self._shell: InteractiveShell | None = None
        self.restart()

    def restart(self, *lines: str) -> None:
        """Begin a new kernel, and run lines in it that stand in no cell."""
        self.end()
        self._monkeypatch.setattr(InteractiveShell, "_instance", None)
        self._shell = new_shell()
        self._monkeypatch.setattr(InteractiveShell, "_instance", self._shell)
        self._monkeypatch.setenv("JPY_SESSION_NAME", str(self.path))
        self._shell.run_line_magic("load_ext", "glm_magic")
        self.kernel = Notebook(self._shell, self.server)
        for line in lines:
            self.kernel.run(line)

    def end(self) -> None:
        if self._shell is not None:
            close(self._shell)
            self._shell = None

    def run(self, cell: str, source: str | None = None) -> str:
        """Run a cell as a front end does, and return the text that it shows; raise what it raises."""
        self.cells[cell] = source = self.cells[cell] if source is None else source
        self.outputs[cell] = []
        try:
            self.kernel.run(source, cell)
        finally:
            self.outputs[cell] = [dict(data) for data in self.kernel.page.outputs.values()]
        return self.text(cell)

    def asked(self, cell: str, *texts: str) -> None:
        for text in texts:
            self.run(cell, f"%%glm\n{text}")

    def text(self, cell: str) -> str:
        return "\n".join(data.get("text/plain", "") for data in self.outputs[cell])

    def bundle(self, cell: str) -> dict[str, Any]:
        (bundle,) = [data[MIME_TYPE] for data in self.outputs[cell] if MIME_TYPE in data]
        return bundle

    def attempts(self, cell: str) -> list[str]:
        """Return what was asked in the attempts of a cell's turn, as its bundle has them: the one that counts last."""
        bundle = self.bundle(cell)
        counting = [bundle] if bundle["messages"] else []
        return [made["messages"][0]["content"] for made in (*bundle["attempts"], *counting)]

    def save(self, path: Path | None = None) -> None:
        notebook = nbformat.v4.new_notebook()
        for cell, source in self.cells.items():
            made = nbformat.v4.new_code_cell(source, id=cell)
            made.outputs = [nbformat.v4.new_output("display_data", data=data) for data in self.outputs.get(cell, [])]
            notebook.cells.append(made)
        nbformat.write(notebook, path or self.path)

    def rename_cell(self, cell: str, new: str) -> None:
        """Cut a cell and paste it, where that gives it another id."""
        self.cells = {new if id_ == cell else id_: source for id_, source in self.cells.items()}
        self.outputs = {new if id_ == cell else id_: outputs for id_, outputs in self.outputs.items()}

    @property
    def store(self) -> Path:
        return self.path.parent.parent / "data" / "glm_magic"

    def sent(self) -> list[list[tuple[str, str]]]:
        return [request.messages for request in self.server.requests]
