"""Whether an Output widget captures a cell's outputs; it shows them, but ignores later updates."""

from __future__ import annotations

import sys


def is_captured(message: str) -> bool:
    """Whether an Output widget captures the outputs of the request with the id `message`."""
    widgets = getattr(sys.modules.get("ipywidgets.widgets.widget"), "_instances", {})
    # `interact` and most callbacks use one too
    return bool(message) and any(getattr(widget, "msg_id", "") == message for widget in [*widgets.values()])
