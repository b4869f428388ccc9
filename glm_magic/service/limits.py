"""The limiters of this process, one for each endpoint and model, and the file that remembers what each of them bore."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from glm_magic.service.embedded_child import ANSWERS_AT_ONCE
from glm_magic.service.endpoint import Endpoint
from glm_magic.service.limiter import START, Limiter

_MOST_REMEMBERED = 500
_MOST_BYTES = 100_000


class Limits:
    """Limiters by endpoint and model.

    `file` tells where to remember; None remembers nothing. `timing` is for the limiters: `clock`, `sleep`, `draw`.
    """

    def __init__(self, file: Callable[[], Path] | None = None, **timing: Any) -> None:
        self._file = file
        self._timing = timing
        self._lock = threading.Lock()
        self._limiters: dict[tuple[str, str], Limiter] = {}
        self._known: dict[str, int] = {}  # the limits that were read or written, by the name in the file

    def of(self, endpoint: Endpoint | None, model: str) -> Limiter:
        """Return the limiter of a model; None is the embedded model's endpoint."""
        base_url = "" if endpoint is None or endpoint.embedded else endpoint.base_url
        with self._lock:
            limiter = self._limiters.get((base_url, model))
            if limiter is None:
                limiter = self._remembered(base_url, model) if base_url else self._embedded()
                self._limiters[base_url, model] = limiter
        return limiter

    def _embedded(self) -> Limiter:
        return Limiter(cap=ANSWERS_AT_ONCE, **self._timing)  # its server has so many slots; the rest would queue there

    def _remembered(self, base_url: str, model: str) -> Limiter:
        whose = f"{base_url}\n{model}".encode(errors="replace")
        name = hashlib.sha256(whose).hexdigest()[:32]  # so that neither stands in the file
        self._known[name] = self._read().get(name, START)
        return Limiter(self._known[name], at_rest=functools.partial(self._remember, name), **self._timing)

    def _remember(self, name: str, limit: int) -> None:
        """Keep the limit, if it has changed; a file that cannot be written is left as it is."""
        if self._file is None or self._known[name] == limit:
            return
        self._known[name] = limit
        with contextlib.suppress(OSError), self._lock:
            path = self._file()
            kept = self._read()
            kept.pop(name, None)
            kept[name] = limit  # the latest stands last
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
            try:
                with os.fdopen(handle, "w", encoding="ascii") as file:
                    json.dump(dict(list(kept.items())[-_MOST_REMEMBERED:]), file)
                Path(temporary).replace(path)
            finally:
                Path(temporary).unlink(missing_ok=True)

    def _read(self) -> dict[str, int]:
        """Return what the file holds, as far as it makes sense."""
        if self._file is None:
            return {}
        try:
            with open(self._file(), "rb", opener=_no_wait) as file:
                kept = json.loads(file.read(_MOST_BYTES))
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(kept, dict):
            return {}
        return {name: limit for name, limit in kept.items() if type(limit) is int and 1 <= limit <= 1000}


def limits_file() -> Path:
    """Return where the limits are kept, in the user's data directory."""
    import platformdirs  # noqa: PLC0415 - only needed here

    return Path(platformdirs.user_data_dir("glm_magic", appauthor=False), "limits.json")


def _no_wait(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))  # a named pipe would wait until somebody writes
