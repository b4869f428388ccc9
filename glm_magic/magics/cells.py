"""The cell that is running, as the front end identifies it, and what it has asked."""

from __future__ import annotations

import re
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from glm_magic.chat.place import Place

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from glm_magic.chat.conversation import Turn


def request(shell: InteractiveShell, part: str) -> dict[str, Any]:
    """Return a part of the message with which the front end runs the cell: its header, metadata or content."""
    parent: Any = getattr(shell, "get_parent", dict)()
    found = parent.get(part) if isinstance(parent, dict) else None
    return found if isinstance(found, dict) else {}


class Run:
    """One execution of a cell: its id, its text where it is known, and how many questions it has asked."""

    def __init__(self, cell: str, raw: str | None, *, is_typed_line_by_line: bool = False) -> None:
        """In a terminal a cell is typed line by line, and ends with the blank lines that end the typing."""
        self.cell = cell
        self._is_typed_line_by_line = is_typed_line_by_line
        self.calls = 0
        self._lock = threading.Lock()  # a cell may ask from threads of its own
        self._raw = [raw]  # a cell that runs another one, as %%capture does, has both

    def next_place(self) -> Place:
        """Return the place of the next question."""
        with self._lock:
            self.calls += 1
            return Place(self.cell, self.calls - 1)

    def as_typed(self, body: str) -> str:
        """Return the body of a cell magic without the newline that IPython adds to a cell; no other is dropped.

        In a terminal, the blank lines that end the typing are dropped as well.
        """
        if self._is_typed_line_by_line:
            return re.sub(r"(?:[ \t]*\n)+[ \t]*\Z", "", body)
        raw = self._raw[-1]
        if raw is not None and not raw.endswith("\n") and (raw + "\n").endswith(body):
            return body.removesuffix("\n")
        return body

    def begin(self, raw: str | None) -> None:
        """Note the text of a cell that runs within this one."""
        self._raw.append(None if raw is None else self.as_typed(raw))

    def end(self) -> bool:
        """Note that a cell has ended; return whether it was the outermost one."""
        self._raw.pop()
        return not self._raw


class Cells:
    """The cells of one notebook, by the ids that the front end sends; without ids each run is a cell of its own.

    Cells may run at the same time, in subshells: each finds its own run by its context. A thread that a cell has
    started has none, and belongs to the cell that began last.

    `have_ids` says whether the front end sends ids. `deleted` holds those that it has reported deleted and that have
    not run since.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._own: ContextVar[Run | None] = ContextVar("run", default=None)
        self._running: list[Run] = []
        self._lock = threading.Lock()
        self._runs = 0
        self._counts: dict[str, str] = {}
        self.deleted: set[str] = set()
        self.have_ids = False

    @property
    def run(self) -> Run:
        """The run of the cell that is running."""
        run = self._current()
        if run is None:  # the extension was loaded in this very cell, or there is no cell
            return self._new_run(None)
        return run

    def begin(self, raw: str | None) -> None:
        """Note that a cell begins to run."""
        own = self._own.get()
        if own is not None and own in self._running:
            own.begin(raw)
            return
        run = self._new_run(raw)
        self._own.set(run)
        with self._lock:
            self._running.append(run)

    def end(self, count: int | None) -> Run | None:
        """Note that a cell has ended; return its run if it was the outermost one.

        `count` is the execution count on the page; None if the page does not count, as under nbval.
        """
        run = self._current()
        if run is None or not run.end():
            return None
        with self._lock:
            self._running.remove(run)
        self._own.set(None)
        self._counts[run.cell] = str(count or self._runs + 1)  # the first run was that which loaded the magics
        return run

    def label(self, turn: Turn) -> str:
        """Return the execution count of the cell that a turn comes from, as the page shows it."""
        return "saved" if turn.restored else f"[{self._counts.get(turn.place.cell, '*')}]"

    def is_deleted(self, turn: Turn) -> bool:
        """Whether the cell of a turn has been deleted; a forked copy does not depend on it."""
        return turn.place.cell in self.deleted and not turn.forked

    def _current(self) -> Run | None:
        own = self._own.get()
        if own is not None and own in self._running:
            return own
        return self._running[-1] if self._running else None

    def _new_run(self, raw: str | None) -> Run:
        is_in_a_terminal = hasattr(self._shell, "simple_prompt")
        return Run(self._begin(), raw, is_typed_line_by_line=is_in_a_terminal)

    def _begin(self) -> str:
        self._runs += 1
        metadata = request(self._shell, "metadata")
        cell_id, deleted = metadata.get("cellId"), metadata.get("deletedCells")
        self.have_ids = isinstance(cell_id, str) and bool(cell_id)
        cell = str(cell_id) if self.have_ids else f"run {self._runs}"
        self._counts[cell] = "*"
        if isinstance(deleted, list):
            self.deleted |= {other for other in deleted if isinstance(other, str)}
        self.deleted.discard(cell)  # a cell that was cut and pasted is reported too
        return cell
