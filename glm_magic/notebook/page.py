"""The order of a notebook's cells on its page, as last saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from glm_magic.errors import HistoryError
from glm_magic.notebook import ipynb


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
                ids = (cell.get("id") for cell in ipynb.cells_as_saved(path))
                self._read = (state, tuple(id_ for id_ in ids if isinstance(id_, str)))
        except (OSError, ValueError, HistoryError):  # ValueError: a NUL in the path
            return ()
        return self._read[1]
