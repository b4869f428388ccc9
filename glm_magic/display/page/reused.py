"""Shows one answer after the other in the same outputs: a cell has room for so many."""

from __future__ import annotations

from typing import Any

from glm_magic.display.view import Show


class Reused:
    """Shows data by name, as `Show` does; what `begin` follows is shown in the outputs of what came before.

    The outputs stay in their order. Those that are left over are emptied by `end`.
    """

    def __init__(self, show: Show, name: str) -> None:
        """`name` makes the outputs' names unique in the kernel."""
        self._show = show
        self._name = name
        self._made = 0
        self._taken: dict[str, str] = {}

    def begin(self) -> None:
        """Begin with the first output."""
        self._taken = {}

    def __call__(self, data: dict[str, Any], name: str, *, update: bool) -> None:
        if not update:
            self._taken[name] = f"{self._name}-{len(self._taken)}"
            update = len(self._taken) <= self._made
            self._made = max(self._made, len(self._taken))
        self._show(data, self._taken[name], update=update)

    def end(self) -> None:
        """Empty the outputs that are left over."""
        for left in range(len(self._taken), self._made):
            self._show({"text/plain": ""}, f"{self._name}-{left}", update=True)
