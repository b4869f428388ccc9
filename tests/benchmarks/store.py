"""What a large store of answers adds to the first question of a kernel."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from goals import figure

from glm_magic.asking.session import Session
from glm_magic.chat.attempt import Attempt
from glm_magic.chat.events import Facts, TextDelta
from glm_magic.chat.messages import Message
from glm_magic.chat.place import Place
from glm_magic.notebook.bundle import encode
from glm_magic.notebook.store import Store
from glm_magic.service.services import EventStream, Services
from glm_magic.settings.layers import Layers

NOTEBOOKS, CELLS, ATTEMPTS = 100, 50, 20
REPEATS = 15


class Scripted(Services):
    """Services that answer at once."""

    def stream(self, endpoint: object, body: object, settings: object) -> EventStream:
        events = TextDelta("answer"), Facts("id", "m", "stop")
        return EventStream(lambda _: (event for event in events))


def _fill(store: Store, folder: Path) -> None:
    for number in range(NOTEBOOKS):
        turns = []
        for cell in range(CELLS):
            for count in range(ATTEMPTS):
                made = Attempt(
                    f"{number}-{cell}-{count}",
                    (Message("user", f"Question {count} of cell {cell}."), Message("assistant", "An answer. " * 40)),
                    created=float(count),
                )
                turns.append((Place(f"cell-{cell}"), encode("main", made)))
        store.add(str(folder / f"{number}.ipynb"), turns, now=time.time())


def _first_question(notebook: Callable[[], Path | None], prompt: str, cell: str) -> float:
    """Return the milliseconds of the first question of a kernel, and of letting go of what it has opened."""
    environ = {"GLM_BASE_URL": "http://127.0.0.1:1/v1"}
    session = Session(Layers(environ), services=Scripted(environ), notebook=notebook)
    started = time.perf_counter()
    list(session.ask(session.plan(Message("user", prompt), Place(cell))))
    taken = (time.perf_counter() - started) * 1000
    session.close()
    return taken


def main() -> None:
    """Print what it adds where the cell is known by its id, by its prompt, and not at all."""
    total = NOTEBOOKS * CELLS * ATTEMPTS
    print(f"the first question of a kernel beside a store of {total:,} answers, median of {REPEATS}")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_DATA_HOME"] = folder
        path = Path(folder, "glm_magic", "answers.db")
        store = Store(path)
        _fill(store, Path(folder))
        store.close()
        notebook = Path(folder, "7.ipynb")
        notebook.write_text('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}', encoding="utf-8")
        print(f"  {path.stat().st_size / 1e6:.0f} MB")
        cases: dict[str, tuple[str, str]] = {
            "a known cell": ("Question 1 of cell 3.", "cell-3"),
            "a pasted cell": ("Question 1 of cell {number}.", "pasted-{number}"),
            "a new cell": ("Something else.", "new-{number}"),
        }
        for name, (prompt, cell) in cases.items():
            added: list[Any] = []
            for number in range(REPEATS):
                asked = prompt.format(number=number + 10), cell.format(number=number)
                without = _first_question(lambda: None, *asked)
                added.append(_first_question(lambda: notebook, *asked) - without)
            figure(name, statistics.median(added), "ms added", at_most=20)
