"""The widget that makes the grids on a page usable while the kernel lives; it has no output of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anywidget
import traitlets

_HERE = Path(__file__).parent
_SCRIPTS = ("words", "data", "parts", "cells", "heads", "tools", "grid", "widget")  # each uses those before it


class Grids(anywidget.AnyWidget):
    """The grids of one kernel. The browser finds their elements by key, and shows grids in them that can be used.

    `begun` holds the grids that are under way, for a page whose script is loaded while they are. Patches are messages:
    a front end takes them while a cell runs.
    """

    _esm = "\n".join((_HERE / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS)
    _css = _HERE / "grid.css"

    begun = traitlets.Dict().tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self._hearers: dict[str, Callable[[Mapping[str, Any]], None]] = {}
        self._wholes: dict[str, Callable[[], dict[str, Any]]] = {}
        self._runs = itertools.count()
        self.on_msg(self._heard)

    def add(
        self, key: str, whole: Callable[[], dict[str, Any]], on_action: Callable[[Mapping[str, Any]], None]
    ) -> None:
        """Add a grid. `whole` returns all of it as it is then; `on_action` is called with what a person does in it."""
        self._wholes[key] = whole
        self._hearers[key] = on_action

    def begin(self, key: str) -> None:
        """Show a grid that is under way."""
        self.begun = {**self.begun, key: {**self._wholes[key](), "run": next(self._runs)}}

    def patch(self, key: str, patch: Mapping[str, Any]) -> None:
        """Show what has changed in a grid."""
        self.send({"grid": key, "patch": patch})

    def send_whole(self, key: str) -> None:
        """Show a grid as it is now, in the place of what was known of it."""
        self.send({"grid": key, "whole": self._wholes[key]()})

    def end(self, key: str) -> None:
        """Forget that a grid is under way."""
        self.begun = {other: whole for other, whole in self.begun.items() if other != key}

    def _heard(self, _widget: object, content: Any, _buffers: object) -> None:
        if not isinstance(content, dict):
            return
        wanted = content.get("want")
        if isinstance(wanted, str) and wanted in self._wholes:
            self.send_whole(wanted)
        key = content.get("grid")
        if isinstance(key, str) and key in self._hearers:
            self._hearers[key](content)
