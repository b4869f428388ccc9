"""The view of a comparison in a terminal; for now it says how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TextIO

from glm_magic.display.grid import Changes, Grid
from glm_magic.display.page.grid.texts import as_plain


class TerminalGrid:
    """Writes the settled grid to a stream."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def begin(self, grid: Grid) -> None:
        """Show nothing yet."""

    def paint(self, changes: Changes) -> None:
        """Show nothing yet."""

    def settle(self, grid: Grid, attached: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Write the grid."""
        if self._stream is not None:
            print(as_plain(grid), file=self._stream)

    def rewrite(self, grid: Grid, attached: Mapping[str, Any]) -> None:
        """Show nothing: what is written stays."""
