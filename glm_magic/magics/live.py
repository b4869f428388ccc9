"""The live controls of one kernel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


class Refreshed(Protocol):
    """Controls that show what holds in the kernel."""

    def refresh(self) -> None:
        """Show what holds now."""


@dataclass(slots=True)
class Live:
    """The live controls, by what they are: the panel, and a playground for each cell that has one."""

    controls: dict[str, Refreshed] = field(default_factory=dict)

    def refresh(self) -> None:
        """Let all of them show what holds now."""
        for each in [*self.controls.values()]:
            each.refresh()
