"""Where a turn belongs."""

from __future__ import annotations

import re
from dataclasses import dataclass

DEFAULT_CHAT = "main"
ONE_SHOT = "one-shot"  # its turns are asked alone: none is sent with another

# what nbformat allows as a cell's id; "run 3" is not one, nor is the address by which VS Code names a cell
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a turn belongs: its cell, and the index (from 0) of the question in one run of that cell."""

    cell: str
    call: int = 0

    @property
    def has_id(self) -> bool:
        """Whether the cell is named by an id that its notebook keeps; a name of another kind is of one kernel only."""
        return _ID.fullmatch(self.cell) is not None
