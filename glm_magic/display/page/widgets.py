"""Whether an Output widget takes what a cell puts on the page; it shows outputs, and ignores updates of them."""

from __future__ import annotations

import sys


def is_captured(message: str) -> bool:
    """Whether an Output widget takes the outputs of the request whose id is `message`."""
    widgets = getattr(sys.modules.get("ipywidgets.widgets.widget"), "_instances", {})
    # `interact`, and callbacks that show anything, have one too
    return bool(message) and any(getattr(widget, "msg_id", "") == message for widget in [*widgets.values()])
