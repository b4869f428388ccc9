"""Where a turn belongs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where a turn belongs: its cell, and the index (from 0) of the question in one run of that cell."""

    cell: str
    call: int = 0
