"""The order of a notebook's cells on its page, as last saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from glm_magic.errors import HistoryError
from glm_magic.notebook import files


class SavedPage:
    """The cells of the file that `notebook` names; it is read again when it has changed."""

    def __init__(self, notebook: Callable[[], Path | None]) -> None:
        self._notebook = notebook
        self._read: tuple[object, tuple[str, ...]] = (None, ())

    def cells(self) -> tuple[str, ...]:
        """Return the ids of the cells, from the top; none if there is no such file, or if it cannot be read."""
        path = self._notebook()
        try:
            if path is None:
                return ()
            status = path.stat()
            state = (path, status.st_mtime_ns, status.st_size)
            if state != self._read[0]:
                self._read = (state, _ids(path))
        except (OSError, ValueError, HistoryError, RecursionError):
            return ()
        return self._read[1]


def _ids(path: Path) -> tuple[str, ...]:
    """Return the ids of the cells. The whole of nbformat is not needed for that, and takes long to load."""
    notebook = json.loads(files.read(path))
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    ids = (cell.get("id") for cell in cells if isinstance(cell, dict)) if isinstance(cells, list) else ()
    return tuple(id_ for id_ in ids if isinstance(id_, str))
