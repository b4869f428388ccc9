"""The marks of stale answers on the page: live as long as the kernel, never in the saved file."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets


class Marks(anywidget.AnyWidget):
    """Marks the lines about the answers whose ids are `stale`; it has no output of its own."""

    _esm = Path(__file__).with_name("marks.js")

    stale = traitlets.List(traitlets.Unicode()).tag(sync=True)
