"""Marks on stale answers: shown while the kernel lives, never saved."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets


class Marks(anywidget.AnyWidget):
    """Marks the lines of the answers whose ids are in `stale`; it has no output of its own."""

    _esm = Path(__file__).with_name("marks.js")

    stale = traitlets.List(traitlets.Unicode()).tag(sync=True)
