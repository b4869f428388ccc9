"""Waiting for what comes true before long; a slow machine only waits longer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def comes_true(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Whether the condition comes true in time."""
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()


def readers() -> int:
    """How many threads read an answer."""
    return sum(thread.name == "glm_magic reader" for thread in threading.enumerate())
