"""Puts code into a new cell below the running one. It is never run, and never put there twice."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.getipython import get_ipython

from glm_magic.errors import CellError, HistoryError, SetupError, printable

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_SOURCE = "set_next_input"
_DONE = "glm_magic_new_cells"  # in the shell's place for what extensions remember: the texts that were put below


def put_below(code: str, what: str = "code", *, beside: str = "") -> str:
    """Put `code` into a new cell below the running one, without running it; print and return a line that says so.

    `what` says what it is, and `beside` is the id of a cell that may hold it too.

    Nothing happens if this kernel has put the same code below before, or if the saved notebook has a cell that holds
    it: Run All makes no second one. A front end makes one cell for each run, so what a run puts below goes into one.
    In a terminal it is what the next prompt begins with.

    Raises `CellError` if there is no code, `SetupError` outside of IPython.
    """
    code = printable(code).strip("\n") if what == "code" else code
    if not code.strip():
        raise CellError("There is no code to put into a cell.", "The answer has no code block; its text is reply.text.")
    shell: InteractiveShell | None = get_ipython()  # type: ignore[no-untyped-call]
    if shell is None:
        raise SetupError(
            "There is no notebook to put a cell into.", "Call this in a cell of a notebook, or in IPython."
        )
    said = _put(shell, code, what, beside)
    print(said)
    return said


def notebook_file(shell: InteractiveShell) -> Path | None:
    """Return the path of the kernel's notebook, as the front end tells it; None if it does not."""
    name = shell.user_ns.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME", "")
    return Path(str(name)) if name else None


def _put(shell: InteractiveShell, code: str, what: str, beside: str) -> str:
    done: set[str] = shell.meta.setdefault(_DONE, set())
    if code in done:
        return f"A new cell with this {what} was put below before: nothing done."
    before = _put_by_this_run(shell)
    whole = f"{before}\n\n{code}" if before else code
    done.add(code)
    saved = _saved_cells(shell, beside)
    if code.strip() in saved or whole.strip() in saved:
        if code.strip() not in saved:
            _take_back(shell)
        return f"The notebook has a cell with this {what} already: nothing done."
    shell.set_next_input(whole, replace=False)
    lines = code.count("\n") + 1
    return f"{lines} line{'s' * (lines > 1)} of {what} put into {'the' if before else 'a'} new cell below, not run."


def _saved_cells(shell: InteractiveShell, beside: str) -> frozenset[str]:
    from glm_magic.notebook import ipynb  # noqa: PLC0415 - loaded when there is code to put below

    path = notebook_file(shell)
    try:
        cells = ipynb.cells(path) if path else []
    except HistoryError:  # it was never saved, or renamed: then nothing is known of its cells
        return frozenset()
    sources = (cell.get("source") for cell in cells if not beside or cell.get("id") != beside)
    return frozenset("".join(map(str, source)).strip() for source in sources if isinstance(source, (str, list)))


def _put_by_this_run(shell: InteractiveShell) -> str:
    """Return what this run has put below so far; the front end makes the cell when the run ends."""
    if hasattr(shell, "kernel"):
        waiting = [payload for payload in _payloads(shell) if payload.get("source") == _SOURCE]
        return "".join(str(payload["text"]) for payload in waiting if not payload.get("replace"))
    return str(getattr(shell, "rl_next_input", None) or "")


def _take_back(shell: InteractiveShell) -> None:
    """Take back what this run has put below: the notebook already has a cell with all of it."""
    manager: Any = shell.payload_manager
    others = [payload for payload in _payloads(shell) if payload.get("source") != _SOURCE]
    manager.clear_payload()
    for payload in others:
        manager.write_payload(payload, single=False)


def _payloads(shell: InteractiveShell) -> list[dict[str, Any]]:
    manager: Any = shell.payload_manager
    return [*manager.read_payload()]
