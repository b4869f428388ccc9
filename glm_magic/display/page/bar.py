"""The live line of an answer that is under way: Stop, what happens, tokens, seconds; and what the model thinks."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

_HERE = Path(__file__).parent


class Bar(anywidget.AnyWidget):
    """A line on the page that the browser keeps going; `seconds` is how long it has been asked when it appears.

    It is shown in one output at a time. When the answer has ended, that output becomes static, and the bar serves
    the next answer: a widget that is closed leaves its code in a notebook that is executed without a page.
    """

    _esm = _HERE / "bar.js"
    _css = _HERE / "bar.css"

    key = traitlets.Unicode().tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)
    said = traitlets.Unicode().tag(sync=True)
    seconds = traitlets.Float().tag(sync=True)
    first_token_seconds = traitlets.Float().tag(sync=True)
    tokens = traitlets.Int().tag(sync=True)
    marks = traitlets.List(traitlets.Unicode()).tag(sync=True)
    background = traitlets.Bool().tag(sync=True)
    over = traitlets.Unicode().tag(sync=True)

    def __init__(self) -> None:
        super().__init__(key=uuid.uuid4().hex)
        self._on_stop: Callable[[], None] | None = None
        self.on_msg(self._heard)

    def begin(
        self, title: str, marks: tuple[str, ...], seconds: float, on_stop: Callable[[], None] | None
    ) -> dict[str, Any]:
        """Serve another answer, and return what shows the bar, by MIME type.

        `on_stop` is called at Stop where the answer does not hold the kernel; else Stop interrupts the kernel.
        """
        self._on_stop = on_stop
        self.update(title=title, marks=list(marks), seconds=seconds, background=on_stop is not None, tokens=0, over="")
        self.forget_thoughts()
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return {"application/vnd.jupyter.widget-view+json": view}

    def update(self, **values: Any) -> None:
        """Show other values; those that have not changed cost nothing."""
        with self.hold_sync():
            for name, value in values.items():
                setattr(self, name, value)

    def end(self, line: str) -> None:
        """Say how the answer ended, where the bar is still seen: on a page that was loaded again meanwhile."""
        self._on_stop = None
        self.update(over=line)

    def think(self, text: str) -> None:
        """Add to what the model thinks."""
        self.send({"thought": text})

    def forget_thoughts(self) -> None:
        """Show what the model thinks no more."""
        self.send({"forget": True})

    def _heard(self, _widget: object, content: Any, _buffers: object) -> None:
        if self._on_stop is not None and isinstance(content, dict) and content.get("stop"):
            self._on_stop()


class Bars:
    """The bars of one kernel: as many as answers were ever under way at once."""

    def __init__(self) -> None:
        self._idle: list[Bar] = []

    def take(self) -> Bar:
        """Return a bar that serves no answer."""
        return self._idle.pop() if self._idle else Bar()

    def give_back(self, bar: Bar) -> None:
        """Take back a bar whose output has become static."""
        self._idle.append(bar)
