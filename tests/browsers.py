"""The browser that the tests drive."""

from __future__ import annotations

import shutil

_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def executable() -> str | None:
    """Return the path of the first Chromium that is installed, if any."""
    return next(filter(None, map(shutil.which, _NAMES)), None)
